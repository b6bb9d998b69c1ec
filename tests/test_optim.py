"""Optimisers: Muon's orthogonalisation, groups, freezing, and their state on disk."""
from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from learning import Learned
from stemma.core.recipe import Recipe
from stemma.core.types import StemmaError
from stemma.engine.running.ema import Ema
from stemma.engine.running.optim import (
    Muon,
    groups_of,
    is_matrix,
    load_optimizer_state,
    make_optimizer,
    optimizer_state,
    orthogonalise,
    set_awake,
    set_rate,
)


def net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 16, 3), nn.Conv2d(16, 16, 3),
                         nn.Flatten(), nn.Linear(16 * 4, 5))


def grads(model: nn.Module, seed: int) -> None:
    g = torch.Generator().manual_seed(seed)
    for p in model.parameters():
        # in the parameter's layout, as autograd leaves it
        p.grad = torch.empty_like(p).copy_(torch.randn(p.shape, generator=g))


# ---------------------------------------------------------------- orthogonalisation


@pytest.mark.parametrize("shape", [(4, 8, 8), (3, 16, 144), (2, 64, 576), (1, 1, 9)])
def test_singular_values_come_near_one_and_vectors_stay(shape: tuple[int, ...]) -> None:
    x = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    y = orthogonalise(x, 5)
    values = torch.linalg.svdvals(y)
    wide = shape[1] < shape[2]
    # a square random matrix has values near 0, which rise slower
    assert values.max() < 1.3 and (values.min() > 0.6 or not wide)
    u, _, v = torch.linalg.svd(x, full_matrices=False)
    along = torch.diagonal(u.mT @ y @ v.mT, dim1=1, dim2=2)
    assert torch.allclose(along.sort(1).values, values.sort(1).values, atol=1e-3)


def test_gram_steps_equal_the_steps_on_the_matrix_itself() -> None:
    a, b, c = 3.4445, -4.7750, 2.0315
    x = torch.randn(5, 12, 40, dtype=torch.float64)
    y = x / x.flatten(1).norm(dim=1).view(-1, 1, 1)
    for _ in range(5):
        g = y @ y.mT
        y = a * y + (b * g + c * g @ g) @ y
    assert torch.allclose(orthogonalise(x, 5).double(), y, atol=2e-5)


def test_bf16_momenta_are_orthogonalised_in_fp32() -> None:
    x = torch.randn(2, 32, 288)
    assert torch.allclose(orthogonalise(x.bfloat16()), orthogonalise(x), atol=0.02)
    assert orthogonalise(torch.zeros(2, 4, 9)).abs().max() == 0


# ---------------------------------------------------------------- Muon


def test_batched_muon_equals_one_matrix_at_a_time() -> None:
    model = net()
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    optimizer = make_optimizer(model, Recipe(optimizer="muon", lr=0.05, momentum=0.9, other_lr=1e-3, weight_decay=0.1))
    momentum: dict[str, torch.Tensor] = {}
    for seed in range(3):
        grads(model, seed)
        for n, p in model.named_parameters():
            if not is_matrix(p):
                continue
            g = p.grad
            assert g is not None
            momentum[n] = momentum.get(n, torch.zeros_like(p)) * 0.9 + 0.1 * g
            u = (0.1 * g + 0.9 * momentum[n]).flatten(1)
            tall = u.shape[0] > u.shape[1]
            o = orthogonalise((u.T if tall else u)[None], 4)[0]
            step = (o.T if tall else o).reshape(p.shape) * max(1.0, u.shape[0] / u.shape[1]) ** 0.5
            before[n] = before[n] * (1 - 0.05 * 0.1) - 0.05 * step
        optimizer.step()
    matrices = [n for n, p in model.named_parameters() if is_matrix(p)]
    assert matrices == ["3.weight", "4.weight", "6.weight"]
    for n, p in model.named_parameters():
        if n in matrices:
            assert torch.allclose(p, before[n], atol=1e-5), n


def test_what_is_no_matrix_takes_adamw_steps() -> None:
    mine, theirs = net(), net()
    optimizer = make_optimizer(mine, Recipe(optimizer="muon", other_lr=2e-3, weight_decay=0.1))
    rest = [p for p in theirs.parameters() if not is_matrix(p)]
    adamw = torch.optim.AdamW(rest, lr=2e-3, betas=(0.9, 0.99), weight_decay=0.1)
    for seed in range(4):
        grads(mine, seed)
        grads(theirs, seed)
        optimizer.step()
        adamw.step()
    for (n, a), b in zip(mine.named_parameters(), theirs.parameters()):
        assert is_matrix(a) or torch.allclose(a, b, atol=1e-7), n


def test_muon_learns(learned: Learned) -> None:
    model, x = net(), torch.randn(32, 3, 8, 8)
    y = torch.arange(32) % 5
    optimizer = make_optimizer(model, Recipe(optimizer="muon", lr=0.02, other_lr=4e-3, weight_decay=0.0))
    first = last = 0.0
    for i in range(30):
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        first, last = (loss.item() if i == 0 else first), loss.item()
    learned("loss", last, at_most=0.1 * first, untrained=first)


# ---------------------------------------------------------------- groups


def test_rates_decay_and_freezing_by_name() -> None:
    model = net()
    r = Recipe(optimizer="sgd", lr=0.1, weight_decay=0.01, lr_mult=((r"^0\.", 0.0), (r"^6\.", 10.0)),
               no_decay=r"^1\.|bias")
    groups = {n: g for g in groups_of(model, r, scale=0.5) for n in g["names"]}
    assert "0.weight" not in groups and not model[0].weight.requires_grad
    assert groups["6.weight"]["base_lr"] == pytest.approx(0.5) and groups["3.weight"]["base_lr"] == pytest.approx(0.05)
    assert (groups["1.weight"]["weight_decay"] == 0 == groups["3.bias"]["weight_decay"]
            and groups["3.weight"]["weight_decay"] == 0.01)


def test_decay_is_spared_by_the_kind_of_module_that_holds_a_parameter() -> None:
    model = net()
    groups = {n: g["weight_decay"] for g in groups_of(model, Recipe(weight_decay=0.01, no_decay=r"\.bias$|^BatchNorm"))
              for n in g["names"]}
    norms = {n for n, m in model.named_modules() if isinstance(m, nn.BatchNorm2d)}
    assert norms and {n for n, decay in groups.items() if not decay} == (
        {f"{n}.weight" for n in norms} | {n for n in groups if n.endswith(".bias")})


def test_set_rate_scales_every_group() -> None:
    optimizer = make_optimizer(net(), Recipe(optimizer="adamw", lr=0.1, lr_mult=((r"^6\.", 10.0),)))
    assert set_rate(optimizer, 0.1) == pytest.approx(0.1)
    assert sorted(g["lr"] for g in optimizer.param_groups) == pytest.approx([0.01, 0.1])


@pytest.mark.parametrize(
    "change, word", [({"lr_mult": (("backbone", 0.1),)}, "matches no parameter"),
                     ({"lr_mult": (("(", 0.1),)}, "regular expression"), ({"lr_mult": ((".", 0.0),)}, "frozen")]
)
def test_wrong_groups_are_told(change: dict[str, Any], word: str) -> None:
    with pytest.raises(StemmaError, match=word):
        groups_of(net(), replace(Recipe(), **change))


def test_phases_wake_some_parameters_and_never_the_frozen() -> None:
    model = net()
    set_awake(model, r"^[036]\.", {"0.weight", "0.bias"})
    assert [n for n, p in model.named_parameters() if p.requires_grad] == ["3.weight", "3.bias", "6.weight", "6.bias"]
    with pytest.raises(StemmaError, match="nothing would learn"):
        set_awake(model, "nothing", set())


# ---------------------------------------------------------------- state


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw", "muon"])
def test_state_goes_through_flat_tensors_exactly(name: str) -> None:
    recipe = Recipe(optimizer=name, lr=0.01, other_lr=1e-3)  # type: ignore[arg-type]
    a, b = (net().to(memory_format=torch.channels_last) for _ in range(2))
    first = make_optimizer(a, recipe)
    for seed in range(3):
        grads(a, seed)
        first.step()
    tensors, scalars = optimizer_state(first)
    assert tensors and all("/" in k for k in tensors)
    b.load_state_dict(a.state_dict())
    second = make_optimizer(b, recipe)
    load_optimizer_state(second, {k: v.clone().contiguous() for k, v in tensors.items()}, scalars)
    for seed in range(3, 6):
        for model, optimizer in ((a, first), (b, second)):
            grads(model, seed)
            optimizer.step()
    assert all(torch.equal(x, y) for x, y in zip(a.parameters(), b.parameters()))


def test_state_of_another_model_is_refused() -> None:
    optimizer = make_optimizer(net(), Recipe())
    with pytest.raises(StemmaError, match="speaks of 'elsewhere'"):
        load_optimizer_state(optimizer, {"elsewhere/momentum_buffer": torch.zeros(1)}, {})


# ---------------------------------------------------------------- averages


def test_ema_warms_up_and_copies_statistics() -> None:
    model = net()
    ema = Ema(model, 0.99)
    expected = model[3].weight.detach().clone()
    for t in range(1, 6):
        with torch.no_grad():
            model[3].weight.add_(1.0)
            model[1].running_mean.add_(1.0)
        ema.update()
        d = min(0.99, (1 + t) / (10 + t))
        expected = d * expected + (1 - d) * model[3].weight.detach()
    assert torch.allclose(ema.model.get_parameter("3.weight"), expected, atol=1e-5)
    assert torch.equal(ema.model.get_buffer("1.running_mean"), model[1].running_mean)
    assert not any(p.requires_grad for p in ema.model.parameters())


def test_muon_is_a_torch_optimiser() -> None:
    optimizer = make_optimizer(net(), Recipe(optimizer="muon"))
    assert isinstance(optimizer, Muon) and isinstance(optimizer, torch.optim.Optimizer)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_a_phase_that_wakes_more_of_a_group_steps_on(momentum: float) -> None:
    """SGD's fused step wants memories of all parameters of a group or of none."""
    net = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2))
    plain = [p.detach().clone() for p in net.parameters()]
    o = make_optimizer(net, Recipe(optimizer="sgd", lr=0.1, momentum=momentum, weight_decay=0.0))
    x, memory = torch.randn(3, 4), [torch.zeros_like(p) for p in plain]
    for awake in ("^1", ".*", "^0", ".*"):
        set_awake(net, awake, set())
        o.zero_grad(set_to_none=True)
        net(x).square().sum().backward()
        for i, p in enumerate(net.parameters()):
            if p.grad is not None:
                memory[i] = momentum * memory[i] + p.grad
                plain[i] = plain[i] - 0.1 * memory[i]
        o.step()
    for ours, wanted in zip(net.parameters(), plain):
        torch.testing.assert_close(ours.detach(), wanted)
