"""Optimisers of a recipe: SGD, Adam, AdamW, Muon (orthogonalised momentum) with all Gram matrices of one size in one
product, and LaProp."""
from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.optim.adamw import adamw

from ...core.recipe import Recipe
from ...core.types import StemmaError

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)  # Jordan's quintic: steepest at 0, singular values end in about 0.7..1.2
SIDE = 32  # Gram matrices are filled up with zeros to a multiple of this, so that more of them are of one size


def factors(gram: Float[Tensor, "K M M"], steps: int = 5) -> Float[Tensor, "K M M"]:
    """Of matrices x, from their gram = x x^T in float32: the Q with which Q x is U V^T of x (approximately), by
    Newton-Schulz.

    A step is x <- (a + b G + c G^2) x with G = x x^T. The factor is a polynomial in G, so the steps can be taken on the
    M x M matrices alone: G <- P G P, Q <- P Q. Rows and columns of zeros below and beside a Gram matrix change nothing
    of it.
    """
    a, b, c = NEWTON_SCHULZ
    norm = gram.diagonal(dim1=1, dim2=2).sum(1).sqrt().view(-1, 1, 1) + 1e-7
    gram = gram / norm.square()
    total: Tensor | None = None
    for step in range(steps):
        p = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
        p.diagonal(dim1=1, dim2=2).add_(a)
        total = p if total is None else p @ total
        if step < steps - 1:
            gram = p @ gram @ p
    assert total is not None
    return total / norm


def orthogonalise(x: Float[Tensor, "K M N"], steps: int = 5) -> Float[Tensor, "K M N"]:
    """U V^T of each matrix (approximately). Wants M <= N. Computes in float32: the Gram matrix squares the spread of
    the singular values, which bf16 would lose."""
    x = x.float()
    return factors(x @ x.mT, steps) @ x


def is_matrix(p: Tensor) -> bool:
    """Whether Muon treats a parameter as a matrix: linear layers and convolutions, but not those that read the picture
    (up to 3 channels in) nor depthwise ones."""
    return p.ndim >= 2 and p.shape[1] > 3


class _ByGroup(torch.optim.Optimizer):
    """An optimiser whose step is `_update` of each group, over its parameters that have a gradient."""

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> Any:
        """Update every parameter that has a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            live = [p for p in group["params"] if p.grad is not None]
            if live:
                self._update(group, live)
        return loss

    def _update(self, group: dict[str, Any], live: list[Tensor]) -> None:
        raise NotImplementedError


class Muon(_ByGroup):
    """Muon (Jordan et al., 2024) for matrices, AdamW for the rest, as one optimiser.

    Momentum m <- mu m + (1 - mu) g; the step is the orthogonalised (1 - mu) g + mu m (Nesterov), times sqrt(max(1, rows
    / columns)). A convolution is the matrix out x (in kh kw). Groups with `matrix` False take AdamW steps at their own
    rate. Weight decay is decoupled. Four Newton-Schulz steps do here what Jordan's five do.
    """

    def __init__(self, groups: Iterable[dict[str, Any]], lr: float = 0.04, momentum: float = 0.95, steps: int = 4,
                 betas: tuple[float, float] = (0.9, 0.99)):
        super().__init__(groups, {"lr": lr, "momentum": momentum, "steps": steps, "betas": betas, "eps": 1e-8,
                                  "weight_decay": 0.0, "matrix": True})

    def _update(self, group: dict[str, Any], live: list[Tensor]) -> None:
        self._matrices(group, live) if group["matrix"] else self._adamw(group, live)

    def _matrices(self, group: dict[str, Any], live: list[Tensor]) -> None:
        mu = group["momentum"]
        grads = [p.grad for p in live if p.grad is not None]
        for p in live:
            if not self.state[p]:
                self.state[p]["momentum"] = torch.zeros_like(p)
        momenta = [self.state[p]["momentum"] for p in live]
        torch._foreach_lerp_(momenta, grads, 1 - mu)
        updates = torch._foreach_lerp(grads, momenta, mu)
        by_side: dict[int, list[tuple[Tensor, Tensor]]] = {}
        for p, update in zip(live, updates):
            order = sorted(range(1, p.ndim), key=p.stride, reverse=True)  # columns as they lie, so that none is moved
            w, x = p.permute(0, *order).view(len(p), -1), update.permute(0, *order).flatten(1).float()
            by_side.setdefault(-(-min(x.shape) // SIDE) * SIDE, []).append((w, x))
        for side, pairs in by_side.items():
            grams = torch.zeros(len(pairs), side, side, device=live[0].device)
            for gram, (_, x) in zip(grams, pairs):
                m = min(x.shape)
                torch.mm(*((x, x.mT) if m == len(x) else (x.mT, x)), out=gram[:m, :m])
            for q, (w, x) in zip(factors(grams, group["steps"]), pairs):
                m, rate = min(x.shape), group["lr"] * max(1.0, x.shape[0] / x.shape[1]) ** 0.5
                w.addmm_(*((q[:m, :m], x) if m == len(x) else (x, q[:m, :m])), alpha=-rate,
                         beta=1 - group["lr"] * group["weight_decay"])

    def _adamw(self, group: dict[str, Any], live: list[Tensor]) -> None:
        for p in live:
            if not self.state[p]:
                self.state[p].update(step=torch.zeros(()), exp_avg=torch.zeros_like(p), exp_avg_sq=torch.zeros_like(p))
        states = [self.state[p] for p in live]
        adamw(
            live, [p.grad for p in live if p.grad is not None], [s["exp_avg"] for s in states],
            [s["exp_avg_sq"] for s in states], [],
            [s["step"] for s in states], foreach=True, amsgrad=False, beta1=group["betas"][0], beta2=group["betas"][1],
            lr=group["lr"], weight_decay=group["weight_decay"], eps=group["eps"], maximize=False,
        )


class LaProp(_ByGroup):
    """LaProp (Ziyin et al. 2020): the gradient is divided by its running root mean square, and momentum is taken of
    what comes of it; both corrected for their beginning. agc > 0: adaptive clipping before (Brock et al. 2021), of each
    tensor as a whole, as DreamerV3 has it: its gradient is at most `agc` times as long as it, or as `shortest`."""

    def __init__(self, groups: Iterable[dict[str, Any]], lr: float = 4e-5, betas: tuple[float, float] = (0.9, 0.999),
                 eps: float = 1e-20, agc: float = 0.0, shortest: float = 1e-3):
        super().__init__(groups, {"lr": lr, "betas": betas, "eps": eps, "agc": agc, "shortest": shortest})

    def _update(self, group: dict[str, Any], live: list[Tensor]) -> None:
        for p in live:
            if not self.state[p]:
                self.state[p].update(step=torch.zeros(()), square=torch.zeros_like(p), momentum=torch.zeros_like(p))
        states, grads = [self.state[p] for p in live], [p.grad for p in live if p.grad is not None]
        if group["agc"]:
            long, most = torch._foreach_norm(grads), torch._foreach_norm(live)
            torch._foreach_clamp_min_(most, group["shortest"])
            over = torch._foreach_div(long, torch._foreach_mul(most, group["agc"]))
            grads = list(torch._foreach_div(grads, torch._foreach_clamp_min(over, 1.0)))
        (b1, b2), t = group["betas"], states[0]["step"].add_(1).item()
        for s in states[1:]:
            s["step"].add_(1)
        squares, momenta = [s["square"] for s in states], [s["momentum"] for s in states]
        torch._foreach_mul_(squares, b2)
        torch._foreach_addcmul_(squares, grads, grads, 1 - b2)
        size = torch._foreach_sqrt(torch._foreach_div(squares, 1 - b2**t))
        torch._foreach_add_(size, group["eps"])
        torch._foreach_lerp_(momenta, torch._foreach_div(grads, size), 1 - b1)
        torch._foreach_add_(live, torch._foreach_div(momenta, 1 - b1**t), alpha=-group["lr"])


def groups_of(model: nn.Module, recipe: Recipe, scale: float = 1.0) -> list[dict[str, Any]]:
    """Parameter groups of equal treatment. Each has `base_lr`, the rate before the schedule: recipe rate x `scale` x
    the first `lr_mult` whose regex matches the name. A factor of 0 freezes. `no_decay` is held against the name and
    against the kind of module that holds the parameter. Groups are in a fixed order.

    Raises `StemmaError` when a regex is wrong, or matches no parameter, or everything is frozen.
    """
    used: set[str] = set()
    groups: dict[tuple[float, bool, bool], dict[str, Any]] = {}
    kinds = {n: type(m).__name__ for n, m in model.named_modules()}
    for name, p in model.named_parameters():
        mult = 1.0
        for pattern, value in recipe.lr_mult:
            if matches(pattern, name, "lr_mult"):
                used.add(pattern)
                mult = value
                break
        if mult == 0:
            p.requires_grad_(False)
        if not p.requires_grad:
            continue
        decay = not (recipe.no_decay and any(matches(recipe.no_decay, said, "no_decay")
                                             for said in (name, kinds[name.rpartition(".")[0]])))
        matrix = recipe.optimizer == "muon" and is_matrix(p)
        lr = recipe.lr if recipe.optimizer != "muon" or matrix else recipe.other_lr or recipe.lr / 10
        group = groups.setdefault((mult, decay, matrix), {
            "params": [], "names": [], "lr": lr * scale * mult, "base_lr": lr * scale * mult,
            "weight_decay": recipe.weight_decay if decay else 0.0, "matrix": matrix,
        })
        group["params"].append(p)
        group["names"].append(name)
    unused = [p for p, _ in recipe.lr_mult if p not in used]
    if unused:
        raise StemmaError(f"recipe.lr_mult: '{unused[0]}' matches no parameter; names look like "
                          f"{', '.join(n for n, _ in list(model.named_parameters())[:3])}")
    if not groups:
        raise StemmaError("every parameter is frozen; nothing is left to train")
    return list(groups.values())


def make_optimizer(model: nn.Module, recipe: Recipe, scale: float = 1.0, scaler: bool = False) -> torch.optim.Optimizer:
    """The recipe's optimiser over `model`, rates multiplied with `scale`.
    `scaler`: a GradScaler is used, so no fused step."""
    groups = groups_of(model, recipe, scale)
    for g in groups:
        if recipe.optimizer != "muon":
            del g["matrix"]
    fused = None if scaler or any(not p.is_floating_point() for g in groups for p in g["params"]) else True
    device = next(model.parameters()).device.type
    fused = fused if device in ("cpu", "cuda") else None
    if recipe.optimizer == "sgd":
        sgd = torch.optim.SGD(groups, lr=recipe.lr, momentum=recipe.momentum, fused=fused)
        for p in (p for g in groups for p in g["params"] if recipe.momentum):
            # the first step's momentum is the gradient, as from nothing; a fused step wants the memory of all or of
            # none, and a phase of a recipe wakes some of a group
            sgd.state[p]["momentum_buffer"] = torch.zeros_like(p)
        return sgd
    if recipe.optimizer == "adam":
        return torch.optim.Adam(groups, lr=recipe.lr, eps=recipe.eps, fused=fused)
    if recipe.optimizer == "laprop":
        return LaProp(groups, lr=recipe.lr, eps=recipe.eps, agc=recipe.agc)
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=recipe.lr, eps=recipe.eps, fused=fused)
    return Muon(groups, lr=recipe.lr, momentum=recipe.momentum)


def set_rate(optimizer: torch.optim.Optimizer, factor: float) -> float:
    """Give every group its base rate times `factor`; returns the highest rate."""
    for g in optimizer.param_groups:
        g["lr"] = g["base_lr"] * factor
    return float(max(g["lr"] for g in optimizer.param_groups))


def optimizer_state(optimizer: torch.optim.Optimizer) -> tuple[dict[str, Tensor], dict[str, float]]:
    """The optimiser's memory as flat tensors ("name/key") and scalars of the same form;
    rates are the schedule's and not in it."""
    tensors: dict[str, Tensor] = {}
    scalars: dict[str, float] = {}
    for g in optimizer.param_groups:
        for name, p in zip(g["names"], g["params"], strict=True):
            for key, value in optimizer.state.get(p, {}).items():
                if isinstance(value, Tensor):
                    tensors[f"{name}/{key}"] = value
                elif value is not None:
                    scalars[f"{name}/{key}"] = value
    return tensors, scalars


def load_optimizer_state(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor],
                         scalars: dict[str, float]) -> None:
    """Put back what `optimizer_state` gave, in the memory layout of each parameter."""
    by_name = {n: (p, g) for g in optimizer.param_groups for n, p in zip(g["names"], g["params"], strict=True)}
    for full, value in [*tensors.items(), *scalars.items()]:
        name, key = full.rsplit("/", 1)
        if name not in by_name:
            raise StemmaError(f"the saved optimizer state speaks of '{name}', which this model has not, or has frozen; "
                              "resume with the settings of the run")
        p, group = by_name[name]
        if isinstance(value, Tensor):
            if key == "step":  # a fused step counts on the device, the others on the CPU
                value = value.to(p.device) if group.get("fused") else value
            else:
                value = torch.empty_like(p, dtype=value.dtype).copy_(value)
        optimizer.state[p][key] = value


def set_awake(model: nn.Module, pattern: str, frozen: set[str]) -> None:
    """Let only parameters whose name matches `pattern` learn (a phase of a recipe); `frozen` ones never do.

    Raises `StemmaError` when none is left.
    """
    awake = 0
    for name, p in model.named_parameters():
        on = name not in frozen and matches(pattern, name, "phases")
        p.requires_grad_(on)
        p.grad = None
        awake += on
    if not awake:
        raise StemmaError(f"recipe.phases: no parameter matches '{pattern}', so nothing would learn")


def matches(pattern: str, name: str, field: str) -> bool:
    """Whether a parameter's name matches a pattern of the recipe's `field`. Raises `StemmaError` for a bad pattern."""
    try:
        return re.search(pattern, name) is not None
    except re.error as error:
        raise StemmaError(f"recipe.{field}: '{pattern}' is not a regular expression ({error})") from error
