"""GHM: the density of gradients, the weights it gives, and a loss that remembers through a resume."""
from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import stemma
from engine_help import alone_and_in_pieces, scenes, short
from stemma.core import paper as cards
from stemma.core.part import In, Part, diff
from stemma.data.loader import Loader
from stemma.engine.running import checkpoint
from stemma.papers.localization import ghm, retinanet
from stemma.papers.localization.ghm import GHMC, GHMR, Density

INP = In((3,), (1,), 4)


def some(a: int = 60, k: int = 4) -> tuple[Tensor, Tensor, Tensor]:
    """(logits, labels with k as background, which are used) of two pictures."""
    torch.manual_seed(1)
    labels = torch.where(torch.rand(2, a) < 0.3, torch.randint(0, k, (2, a)), k)
    return 2 * torch.randn(2, a, k), labels, torch.rand(2, a) < 0.8


def by_loops(logits: Tensor, labels: Tensor, used: Tensor, bins: int, momentum: float, memory: list[float]) -> float:
    """GHM-C one example and one bin at a time, as the paper's text has it. `memory` is changed."""
    rows = []
    for b in range(len(logits)):
        for i in range(logits.shape[1]):
            for c in range(logits.shape[2]):
                if used[b, i]:
                    y = float(labels[b, i] == c)
                    x = logits[b, i, c].double()
                    g = abs(float(x.sigmoid()) - y)
                    rows.append((min(int(g * bins), bins - 1),
                                 float(F.binary_cross_entropy_with_logits(x, torch.tensor(y).double()))))
    n = len(rows)
    held = [sum(j == k for j, _ in rows) for k in range(bins)]
    weight = {}
    for k in range(bins):
        if held[k]:
            memory[k] = momentum * memory[k] + (1 - momentum) * held[k]
            weight[k] = n / (memory[k] if momentum else held[k]) / sum(h > 0 for h in held)
    return sum(weight[k] * ce for k, ce in rows) / n


@pytest.mark.parametrize("bins,momentum", [(30, 0.0), (10, 0.75), (1, 0.0)])
@pytest.mark.oracle("a loop over bins", "ghm")
def test_eq_9_the_loss_is_that_of_a_loop_over_bins(bins: int, momentum: float) -> None:
    loss, memory = GHMC(INP, bins=bins, momentum=momentum).train(), [0.0] * bins
    for step in range(3):
        logits, labels, used = some()
        logits = logits + step
        assert loss.over(logits, labels, used).item() == pytest.approx(by_loops(logits, labels, used, bins, momentum,
                                                                                memory), rel=1e-5)
    if momentum:
        np.testing.assert_allclose(loss.counts, memory, rtol=1e-5)


def test_weights_sum_to_n_and_every_occupied_bin_weighs_the_same() -> None:
    logits, labels, used = some()
    loss = GHMC(INP, momentum=0.0)
    _, g = loss.cost(logits, labels)
    beta, n = loss.weigh(g, used[..., None].expand_as(g))
    assert n == used.sum() * 4 and beta.sum().item() == pytest.approx(n.item(), rel=1e-5)
    assert (beta[~used] == 0).all()
    at = (g * 30).int().clamp(max=29)
    sums = [beta[used[..., None] & (at == i)].sum().item() for i in range(30) if (used[..., None] & (at == i)).any()]
    np.testing.assert_allclose(sums, n.item() / len(sums), rtol=1e-4)


def test_regions_all_divide_by_every_bin() -> None:
    logits, labels, used = some()
    one, other = GHMC(INP, momentum=0.0), GHMC(INP, momentum=0.0, regions="all")
    g = one.cost(logits, labels)[1]
    where = used[..., None].expand_as(g)
    occupied = (torch.bincount((g[where] * 30).long().clamp(max=29), minlength=30) > 0).sum()
    torch.testing.assert_close(other.weigh(g, where)[0] * 30, one.weigh(g, where)[0] * occupied)


@pytest.mark.oracle("cross entropy of torch", "ghm")
def test_with_one_bin_it_is_the_mean_cross_entropy_and_the_mean_of_asl1() -> None:
    logits, labels, used = some()
    plain = F.binary_cross_entropy_with_logits(logits, F.one_hot(labels, 5)[..., :4].float(),
                                               reduction="none")[used].mean()
    torch.testing.assert_close(GHMC(INP, bins=1, momentum=0.0).over(logits, labels, used), plain)
    pred, want = torch.randn(2, 60, 4), torch.randn(2, 60, 4)
    box = GHMR(INP, bins=1, momentum=0.0)
    torch.testing.assert_close(box.over(pred, want, used), (((pred - want) ** 2 + 0.02**2).sqrt() - 0.02)[used].mean())


def test_strength_is_a_power_of_the_weights() -> None:
    """1 is GHM as published, and what every preset but small has; 0 is the mean cross entropy."""
    logits, labels, used = some()
    whole, root, none = (GHMC(INP, momentum=0.0, strength=s) for s in (1.0, 0.5, 0.0))
    where = used[..., None].expand_as(logits)
    g = whole.cost(logits, labels)[1]
    torch.testing.assert_close(root.weigh(g, where)[0], GHMC(INP, momentum=0.0).weigh(g, where)[0].sqrt())
    torch.testing.assert_close(none.over(logits, labels, used), whole.cost(logits, labels)[0][used].mean())
    parts = {preset: ghm.spec(preset).rule.cls for preset in ("paper", "small", "c")}
    built: dict[str, Any] = {k: v.build(INP) for k, v in parts.items() if isinstance(v, Part)}
    assert {k: (v.strength, v.bins) for k, v in built.items()} == {"paper": (1.0, 30), "small": (0.5, 10),
                                                                   "c": (1.0, 30)}


def test_eq_13_and_14_authentic_smooth_l1_and_the_size_of_its_gradient() -> None:
    d = torch.linspace(-1, 1, 41, dtype=torch.float64, requires_grad=True)
    GHMR(INP)(d[:, None].expand(-1, 4), torch.zeros(41, 4, dtype=torch.float64)).sum().div(4).backward()
    torch.testing.assert_close(d.grad, (d / (d**2 + 0.02**2).sqrt()).detach())


@pytest.mark.oracle("autograd", "ghm")
def test_eq_4_g_is_the_size_of_the_gradient_of_cross_entropy() -> None:
    logits, labels, _ = some()
    logits.requires_grad_(True)
    cost, g = GHMC(INP).cost(logits, labels)
    cost.sum().backward()
    assert logits.grad is not None
    torch.testing.assert_close(logits.grad.abs(), g)


def test_eq_11_unit_regions_rank_examples_as_the_exact_density_does() -> None:
    """Eq. 5 to 8 pair by pair: how many lie within half a region of each, over the region's length inside 0..1."""
    g = torch.distributions.Beta(0.3, 1.2).sample((1000,)).double()
    width = 1 / 30
    near = ((g[:, None] - g[None]).abs() <= width / 2).sum(1)
    exact = near / ((g + width / 2).clamp(max=1) - (g - width / 2).clamp(min=0))
    density = Density(INP, 30, 0.0, "all")
    beta, n = density.weigh(g.float(), torch.ones(1000, dtype=torch.bool))
    unit = n / beta  # GD = N / beta
    rank = lambda v: v.double().argsort().argsort().double()  # noqa: E731
    assert torch.corrcoef(torch.stack([rank(exact), rank(unit)]))[0, 1] > 0.9
    assert (unit / exact).log().abs().median() < 0.25


def test_weights_take_no_gradient_and_evaluation_remembers_nothing() -> None:
    logits, labels, used = some()
    loss = GHMC(INP).eval()
    before = loss.counts.clone()
    one, two = loss.over(logits, labels, used), loss.over(logits, labels, used)
    assert torch.equal(loss.counts, before) and torch.equal(one, two)
    logits.requires_grad_(True)
    beta, n = loss.weigh(loss.cost(logits, labels)[1], used[..., None].expand_as(logits))
    assert not beta.requires_grad and not n.requires_grad


def test_fig_2_counts_every_example_by_its_norm(tmp_path: Path) -> None:
    """The histogram is that of a loop over the examples, for both losses; one page for several runs."""
    from stemma.studies import gradients

    model: Any = stemma.build("ghm", "small", classes=8).eval()
    b = next(iter(Loader(scenes(2, "val"), model.recipe, train=False, batch=2).epoch(0)))
    with torch.no_grad():
        raw = model(b.images)
        state, _, label = model.rule.targets(raw, b.targets, 8, b.sizes)
    want = [0] * 10
    for x, to, asked in zip(raw.logits.flatten(0, 1).sigmoid().tolist(), label.flatten().tolist(),
                            state.flatten().tolist()):
        for c, p in enumerate(x if asked >= 0 else []):
            want[min(int(abs(p - (c == to)) * 10), 9)] += 1
    assert np.abs(gradients.norms(model, [b], 10).numpy() - want).sum() <= 2  # float32 on the edge of a bin
    runs = [short(tmp_path / name, "1steps", paper=name, val_every=0).path for name in ("retinanet", "ghm")]
    record = gradients.study(runs, scenes(4, "val"), tmp_path / "out", device="cpu")
    assert len(record["rows"]) == 2 and sum(record["rows"][0]["counts"]) == sum(record["rows"][1]["counts"]) > 1000
    assert ("<svg" in (tmp_path / "out" / "gradients.html").read_text()
            and (tmp_path / "out" / "gradients.json").is_file())
    with pytest.raises(stemma.StemmaError, match="one sigmoid a class"):
        gradients.norms(stemma.build("ssd", "small", classes=8), [b])


def test_the_paper_is_retinanet_with_another_loss_and_the_pair_is_fair() -> None:
    for preset in ("paper", "small"):
        changed = diff(retinanet.spec(preset), ghm.spec(preset))
        assert {k.split(".")[1] for k in changed} == {"cls", "box", "box_weight"}
        recipes = diff(retinanet.recipe(preset), ghm.recipe(preset))
        longer = {} if preset == "small" else {"length": ("90000steps", "14epochs"),
                                               "milestones": ((2 / 3, 8 / 9), (8 / 14, 11 / 14))}
        assert recipes == {"clip": (0.0, 35.0), **longer}


def test_a_model_builds_what_its_rule_remembers_with() -> None:
    model: Any = stemma.build("ghm", "small", classes=8)
    assert (isinstance(model.spec.rule.cls, Part) and model.rule.cls is model.memory["cls"]
            and model.rule.box is model.memory["box"])
    assert {k for k in model.state_dict() if k.startswith("memory")} == {"memory.cls.counts", "memory.box.counts"}


@pytest.mark.parametrize("fact", ghm.PAPER.facts, ids=lambda f: f.what)
def test_counts(fact: cards.Fact) -> None:
    with torch.device("meta"):
        model = stemma.build("ghm", fact.variant or "paper", fact.classes, dict(fact.sets))
    assert sum(p.numel() for p in model.parameters()) == fact.value


def test_the_memory_is_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped after every step and continued from the disk, it ends with the weights and the counts of a run left
    alone."""
    settings: dict[str, Any] = {"budget": "3steps", "paper": "ghm", "save_every": "1steps", "data": scenes(8),
                                "val": scenes(2, "val"), "val_every": 0}
    alone, pieces = alone_and_in_pieces(tmp_path, monkeypatch, 2, **settings)
    a, b = (checkpoint.read_tensors(r.path / "last.safetensors")[0] for r in (alone, pieces))
    assert a["memory.cls.counts"].sum() > 0 and a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)
