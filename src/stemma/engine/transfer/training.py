"""Training of a whole network with its classifier, in stretches: between two of them its state can be saved, and what a
step does is a function of the state, the seed and its number."""
from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from ...core.modes import evaluating
from ...core.recipe import Recipe
from ...core.types import StemmaError
from ...data.labelled import Part
from ...skeletons.protocol import Look, cross_entropy
from ..running import devices, optim
from ..running.budget import Budget, Spent
from . import features

STRETCH = 10  # steps


@dataclass(frozen=True)
class How:
    """One training: rate, decay as the optimiser has it, its length, the least share of a picture in a crop (1: the
    whole), and what a source asks for besides."""

    lr: float
    decay: float
    length: Budget
    area: float = 0.08
    smoothing: float = 0.0
    dropout: float = 0.0
    scale: bool = True
    auxiliary: float = 0.0
    seed: int = 0


class Tuned(nn.Module):
    """A network and one classifier; `side` > 0 gives it a second one, on the mean of the last map of a picture of so
    many pixels that is larger than the final map. Raises `StemmaError` where there is none."""

    def __init__(self, network: nn.Module, classes: int, side: int = 0) -> None:
        super().__init__()
        m: Any = network
        self.network: Any = network
        self.head = nn.Linear(m.width, classes)
        nn.init.zeros_(self.head.bias)
        self.aside: nn.Linear | None = None
        if side:
            self.at, width = larger(m, side)
            self.aside = nn.Linear(width, classes)

    def both(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Features, and the logits of the second classifier."""
        assert self.aside is not None
        seen: list[Tensor] = []
        hook = self.network.get_submodule(self.at).register_forward_hook(lambda m, i, o: seen.append(o))
        try:
            features_ = self.network.features(x)
        finally:
            hook.remove()
        return features_, self.aside(seen[-1].mean((2, 3)))


@torch.no_grad()
def larger(network: Any, side: int) -> tuple[str, int]:
    """(name, channels) of the last module whose map is larger than the final one."""
    maps: list[tuple[str, tuple[int, ...]]] = []

    def hear(name: str) -> Any:
        return lambda m, i, o: maps.append((name, tuple(o.shape))) if isinstance(o, Tensor) and o.ndim == 4 else None

    hooks = [m.register_forward_hook(hear(name)) for name, m in network.named_modules() if name]
    with evaluating(network):
        network.features(torch.zeros(1, 3, side, side, device=next(network.parameters()).device))
    for h in hooks:
        h.remove()
    final = next((shape[2] for _, shape in reversed(maps) if shape[2] > 1), 0)
    found = next(((name, shape[1]) for name, shape in reversed(maps) if shape[2] > final > 0), None)
    if found is None:
        raise StemmaError(f"{network.name} has no map that is larger than its last; leave source.auxiliary at 0")
    return found


class Training:
    """`go()` takes a stretch of steps and says whether the end is reached."""

    def __init__(self, model: Tuned, look: Look, part: Part, recipe: Recipe, how: How, device: str) -> None:
        self.model, self.look, self.part, self.recipe, self.how, self.device = (
            model.to(device), look, part, recipe, how, device)
        self.steps, self.seconds, self.wall, self.images, self.loss = 0, 0.0, 0.0, 0, float("nan")
        self.batch = min(recipe.batch, len(part))
        for m in model.modules():
            if isinstance(m, nn.modules.batchnorm._BatchNorm):
                m.momentum = momentum_of(self.per_epoch)
        for p in model.parameters():
            p.requires_grad_(True)
        for m in model.modules() if not how.scale else ():
            if isinstance(m, nn.modules.batchnorm._BatchNorm) and m.weight is not None:
                nn.init.ones_(m.weight.requires_grad_(False))
        self.optimizer = optim.make_optimizer(model, replace(recipe, optimizer="sgd", lr=how.lr,
                                                             weight_decay=how.decay))
        for g in self.optimizer.param_groups:
            g["nesterov"] = True

    @property
    def per_epoch(self) -> float:
        """Steps of an epoch."""
        return max(len(self.part) / self.batch, 1.0)

    @property
    def spent(self) -> Spent:
        return Spent(self.seconds, self.steps, self.steps / self.per_epoch, self.images, self.wall)

    @property
    def fraction(self) -> float:
        """How much of its length is used."""
        return self.how.length.fraction(self.spent)

    def ahead(self, price: float | None) -> int:
        """How many steps a stretch takes: as many as go into what is left of a length in seconds, at `price` or at what
        those before took; one where nobody knows what a step takes."""
        length = self.how.length
        each = price or (self.seconds / self.steps if self.steps else None)
        left = [length.amount - self.seconds] if length.unit == "seconds" else []
        left += [length.wall - self.wall] if length.wall is not None else []
        if not left:
            return STRETCH
        return 1 if not each else min(max(math.ceil(min(left) / each), 1), STRETCH)

    def go(self, stretch: int = STRETCH) -> bool:
        """Up to `stretch` steps; True when its length is used. Seconds are added by whoever has the clock."""
        self.model.train()
        for _ in range(stretch):
            if self.fraction >= 1:
                return True
            optim.set_rate(self.optimizer, 0.5 * (1 + math.cos(math.pi * self.fraction)))
            devices.seed_step(self.how.seed, self.steps, 0)
            pictures, labels = self.drawn(self.steps)
            shown, labels = self.look(pictures.to(self.device)), labels.to(self.device)
            if self.how.auxiliary:
                x, aside = self.model.both(shown)
            else:
                x = self.model.network.features(shown)
            if self.how.dropout:
                x = nn.functional.dropout(x, self.how.dropout, True)
            loss = cross_entropy(self.model.head(x), labels, self.how.smoothing)
            if self.how.auxiliary:
                loss = loss + self.how.auxiliary * cross_entropy(aside, labels, self.how.smoothing)
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            self.optimizer.step()
            self.steps, self.images = self.steps + 1, self.images + len(labels)
        self.loss = float(loss.detach())
        if not math.isfinite(self.loss):
            self.loss = math.inf
        return self.fraction >= 1 or not math.isfinite(self.loss)

    def drawn(self, step: int) -> tuple[Tensor, Tensor]:
        """(pictures, labels) of a step: each epoch takes every picture once, in an order of its own; crops and mirrors
        by chance."""
        n, size = len(self.part), self.look.size
        at = np.arange(step * self.batch, (step + 1) * self.batch)
        orders = {e: np.random.default_rng([self.how.seed, 3, int(e)]).permutation(n) for e in np.unique(at // n)}
        rng = np.random.default_rng([self.how.seed, 4, step])
        index = [int(orders[i // n][i % n]) for i in at]
        shown = [cropped(self.part.read(i), size, self.how.area, self.recipe.augment.flip, rng) for i in index]
        return torch.from_numpy(np.stack(shown)), torch.from_numpy(self.part.labels[index])

    @torch.no_grad()
    def scores(self, part: Part) -> np.ndarray:
        """Logits (N, C) of a split: its middle, from a short side that is 8 / 7 of the size."""
        self.model.eval()
        short = round(self.look.size * 8 / 7) if self.how.area < 0.4 else self.look.size
        rows = [self.model.head(self.model.network.features(self.look(x.to(self.device)))).cpu()
                for x in features.batches(part, self.look.size, short)]
        return torch.cat(rows).numpy()

    # ------------------------------------------------------------ saving

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """(tensors, plain values) from which `restore` goes on."""
        memory, plain = optim.optimizer_state(self.optimizer)
        tensors = {f"net/{k}": v for k, v in self.model.state_dict().items()} | {f"memory/{k}": v
                                                                                for k, v in memory.items()}
        return tensors, {"steps": self.steps, "seconds": self.seconds, "wall": self.wall, "images": self.images,
                         "loss": self.loss if math.isfinite(self.loss) else None, "optim": plain}

    def restore(self, tensors: dict[str, Tensor], plain: dict[str, Any]) -> None:
        part = lambda head: {k[len(head):]: v for k, v in tensors.items() if k.startswith(head)}
        self.model.load_state_dict(part("net/"))
        optim.load_optimizer_state(self.optimizer, part("memory/"), plain["optim"])
        self.steps, self.seconds, self.images = plain["steps"], plain["seconds"], plain["images"]
        self.wall = plain.get("wall", 0.0)
        self.loss = float("nan") if plain["loss"] is None else plain["loss"]


def momentum_of(per_epoch: float) -> float:
    """How far statistics of batch norm move with a step, as PyTorch counts it: 1 - max(1 - 10 / s, .9) for s steps an
    epoch."""
    return 1 - max(1 - 10 / per_epoch, 0.9)


def cropped(picture: np.ndarray, size: int, area: float, flip: float, rng: np.random.Generator) -> np.ndarray:
    """A part of a picture by chance, at least `area` of it and between 3:4 and 4:3, at `size` x `size`, mirrored or
    not (Szegedy et al. 2015)."""
    h, w = picture.shape[:2]
    box = (0.0, 0.0, float(w), float(h))
    if area < 1:
        for _ in range(10):
            share, shape = rng.uniform(area, 1.0) * h * w, math.exp(rng.uniform(math.log(3 / 4), math.log(4 / 3)))
            wide, tall = math.sqrt(share * shape), math.sqrt(share / shape)
            if wide <= w and tall <= h:
                x, y = rng.uniform(0, w - wide), rng.uniform(0, h - tall)
                box = (x, y, x + wide, y + tall)
                break
    mirrored = rng.random() < flip
    if box == (0.0, 0.0, w, h) and h == w == size:
        out = picture
    else:
        out = np.asarray(Image.fromarray(picture).resize((size, size), Image.Resampling.BICUBIC, box=box))
    return np.ascontiguousarray(out[:, ::-1]) if mirrored else out


def check(recipe: Recipe) -> None:
    """Raises `StemmaError` for a recipe that this training does not follow."""
    if recipe.optimizer != "sgd" or recipe.schedule != "cosine":
        raise StemmaError("a protocol trains by sgd under a cosine; recipe.optimizer and recipe.schedule stay so")


__all__ = ["How", "Training", "Tuned", "check", "cropped", "larger", "momentum_of"]
