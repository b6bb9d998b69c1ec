"""Repulsion loss: its terms pair by pair, gradients through the decoder,
what moves a box and what does not, settings."""
from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import stemma
from engine_help import alone_and_in_pieces, drawn_batch, scenes
from learning import Learned
from stemma.core import paper as cards
from stemma.core.types import StemmaError, Targets
from stemma.ops import boxes as bx
from stemma.papers.localization import faster_rcnn, repulsion_loss, ssd
from stemma.parts.dense.coders import Delta
from stemma.parts.dense.repulsion import Repulsion, smooth_ln
from stemma.skeletons.dense import Dense


def common(a: Any, b: Any) -> float:
    return max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))


def size(a: Any) -> float:
    return (a[2] - a[0]) * (a[3] - a[1])


def overlap(a: Any, b: Any) -> float:
    return common(a, b) / (size(a) + size(b) - common(a, b))


def bent(x: float, sigma: float) -> float:
    """Eq. 6."""
    if x <= sigma:
        return -math.log(max(1 - x, 1e-3))
    return (x - sigma) / (1 - sigma) - math.log(1 - sigma)


def by_loops(r: Repulsion, said: Any, refs: Any, index: Any, positive: Any, objects: Any,
             valid: Any) -> tuple[float, float]:
    """Eq. 4 to 7, a pair at a time, over a batch of pictures."""
    of_objects, of_boxes, answering, pairs = 0.0, 0.0, 0, 0
    for b in range(len(said)):
        mine = [i for i in range(len(said[b])) if positive[b][i]]
        answering += len(mine)
        for i in mine:
            others = [n for n in range(len(objects[b])) if n != index[b][i] and valid[b][n]]
            best = max(others, key=lambda n: overlap(objects[b][n], refs[b][i]), default=None)
            if best is not None and overlap(objects[b][best], refs[b][i]) > 0:
                g = objects[b][best]
                share = common(g, said[b][i]) / size(g) if r.overlap == "iog" else overlap(g, said[b][i])
                of_objects += bent(share, r.sigma_gt)
            for j in mine:
                if index[b][i] != index[b][j] and (x := overlap(said[b][i], said[b][j])) > 0:
                    of_boxes, pairs = of_boxes + bent(x, r.sigma_box), pairs + 1
    return r.gt * of_objects / max(answering, 1), r.box * of_boxes / max(pairs, 1)


def a_crowd(seed: int = 0, many: int = 24) -> tuple[Tensor, Tensor, Tensor, Tensor, Targets]:
    """(codes, candidates, object of each, which answer, objects) of two pictures in which people stand close."""
    g = torch.Generator().manual_seed(seed)
    objects = torch.zeros(2, 5, 4)
    for b in range(2):
        for n in range(4):
            x, y = 20 + 14 * n + 4 * torch.rand(2, generator=g)
            objects[b, n] = torch.stack([x, y - 10 * n, x + 24, y - 10 * n + 60])
    labels = torch.tensor([[0, 0, 0, 0, -1], [0, 0, 0, 0, -1]])
    crowd = torch.zeros(2, 5, dtype=torch.bool)
    crowd[1, 3] = True
    index = torch.randint(0, 3, (2, many), generator=g)
    refs = bx.take(objects, index) + 12 * (torch.rand(2, many, 4, generator=g) - 0.5)
    return (torch.randn(2, many, 4, generator=g), refs, index, torch.rand(2, many, generator=g) < 0.6,
            Targets(objects, labels, crowd=crowd))


CODER = Delta((0.1, 0.1, 0.2, 0.2))
VARIANTS = [Repulsion(), Repulsion(sigma_gt=0.3, sigma_box=0.5), Repulsion(overlap="iou", gt=1.0, box=0.25),
            Repulsion(sigma_gt=0.0, box=0.0), Repulsion(gt=0.0, sigma_box=1.0)]


@pytest.mark.parametrize("r", VARIANTS)
@pytest.mark.oracle("a loop over the pairs", "repulsion_loss")
def test_both_terms_pair_by_pair(r: Repulsion) -> None:
    codes, refs, index, positive, t = a_crowd()
    said = CODER.decode(refs, codes)
    found = r(said, refs, index, positive, t)
    want = by_loops(r, said.double().tolist(), refs.double().tolist(), index.tolist(), positive.tolist(),
                    t.boxes.double().tolist(), t.valid.tolist())
    assert set(found) == {k for k, w in (("rep_gt", r.gt), ("rep_box", r.box)) if w}
    got = torch.stack([found.get(k, torch.zeros(())) for k in ("rep_gt", "rep_box")])
    torch.testing.assert_close(got.double(), torch.tensor(want, dtype=torch.float64), rtol=1e-4, atol=1e-6)
    assert any(w > 0.01 for w in want)


@pytest.mark.parametrize("r", VARIANTS)
@pytest.mark.oracle("finite differences through the decoder", "repulsion_loss")
def test_gradients_reach_the_codes(r: Repulsion) -> None:
    codes, refs, index, positive, t = a_crowd(1, 10)
    codes = codes.requires_grad_()
    torch.stack(list(r(CODER.decode(refs, codes), refs, index, positive, t).values())).sum().backward()
    rows = refs.double(), index.tolist(), positive.tolist(), t.boxes.double().tolist(), t.valid.tolist()

    def cost(c: Tensor) -> float:
        return sum(by_loops(r, CODER.decode(rows[0], c).tolist(), rows[0].tolist(), *rows[1:]))

    eps, base, want = 1e-5, codes.detach().double(), torch.zeros_like(codes, dtype=torch.float64)
    for place in np.ndindex(*codes.shape):
        up, down = base.clone(), base.clone()
        up[place] += eps
        down[place] -= eps
        want[place] = (cost(up) - cost(down)) / (2 * eps)
    assert codes.grad is not None and want.abs().max() > 1e-4
    torch.testing.assert_close(codes.grad.double(), want, rtol=1e-3, atol=1e-5)
    assert not codes.grad[~positive].any()


@pytest.mark.parametrize("sigma", [0.0, 0.3, 0.5, 0.9])
def test_eq_6_is_continuous_and_so_is_its_slope(sigma: float) -> None:
    x = torch.tensor([sigma - 1e-4, sigma, sigma + 1e-4]).clamp(min=0).requires_grad_()
    y = smooth_ln(x, sigma)
    assert (y[2] - y[0]).abs() < 5e-3
    (slope,) = torch.autograd.grad(y.sum(), x)
    torch.testing.assert_close(slope[2], slope[1] if sigma == 0 else slope[0], rtol=0.02, atol=0.02)
    grid = torch.linspace(0, 0.99, 50)
    torch.testing.assert_close(smooth_ln(grid, 0.0), grid)
    torch.testing.assert_close(smooth_ln(grid, 1.0), -(1 - grid).log())
    assert smooth_ln(torch.ones(1), 1.0).isfinite().all()


def alone(at: list[float], objects: list[list[float]], own: int = 0, **how: Any) -> dict[str, float]:
    boxes = torch.tensor([objects])
    t = Targets(boxes, torch.zeros(1, len(objects), dtype=torch.long))
    said = torch.tensor([[at]])
    r = Repulsion(**how)
    found = r(said, boxes[:, own : own + 1], torch.tensor([[own]]), torch.ones(1, 1, dtype=torch.bool), t)
    return {k: float(v) for k, v in found.items()}


def test_with_one_object_nothing_repels() -> None:
    assert alone([0, 0, 12, 10], [[0.0, 0, 10, 10]]) == {"rep_gt": 0, "rep_box": 0}


def test_boxes_of_one_object_do_not_repel_one_another() -> None:
    _, refs, index, positive, t = a_crowd()
    same = torch.zeros_like(index)
    assert float(Repulsion(gt=0)(refs, refs, same, positive, t)["rep_box"]) == 0
    assert float(Repulsion(gt=0)(refs, refs, index, positive, t)["rep_box"]) > 0


def test_growing_escapes_the_union_and_not_the_object() -> None:
    """Sec. 4.2: a box that covers a fifth of the other object and grows away from it."""
    objects = [[0.0, 0, 10, 10], [8.0, 0, 18, 10]]
    near, grown = [0.0, 0, 10, 10], [-40.0, 0, 10, 10]
    for how, moved in (("iog", False), ("iou", True)):
        a, b = (alone(x, objects, box=0.0, overlap=how)["rep_gt"] for x in (near, grown))
        assert (b < 0.5 * a) == moved and (a == b) == (not moved)
    assert alone(near, objects, box=0.0, sigma_gt=0.0, gt=1.0)["rep_gt"] == pytest.approx(0.2)
    assert alone(near, objects, box=0.0, sigma_gt=0.0, gt=1.0, overlap="iou")["rep_gt"] == pytest.approx(1 / 9)
    away = alone([-2.0, 0, 8, 10], objects, box=0.0)["rep_gt"]
    assert away == 0 < alone(near, objects, box=0.0)["rep_gt"]


def test_only_the_first_boxes_are_compared_and_those_that_answer_come_first() -> None:
    codes, refs, index, positive, t = a_crowd()
    said = CODER.decode(refs, codes)
    enough = int(positive.sum(1).max())
    whole, few = (Repulsion(most=n)(said, refs, index, positive, t) for n in (256, enough))
    for k in whole:
        torch.testing.assert_close(whole[k], few[k])


def test_without_objects_nothing_is_paid_and_all_is_finite() -> None:
    codes, refs, index, positive, _ = a_crowd()
    empty = Targets(torch.zeros(2, 0, 4), torch.zeros(2, 0, dtype=torch.long))
    codes.requires_grad_()
    found = Repulsion()(CODER.decode(refs, codes), refs, index, positive & False, empty)
    torch.stack(list(found.values())).sum().backward()
    assert all(v == 0 for v in found.values()) and codes.grad is not None and not codes.grad.any()


# ---------------------------------------------------------------- in the systems


@pytest.mark.parametrize("preset,path", [("small", "stages.0.repel"), ("ssd-small", "rule.repel")])
def test_terms_are_settings_and_apart(preset: str, path: str) -> None:
    b = the_batch()
    for sets, terms in (({}, {"rep_gt", "rep_box"}), ({f"{path}.gt": 0.0}, {"rep_box"}), ({f"{path}.box": 0.0},
                                                                                         {"rep_gt"}),
                        ({f"{path}.overlap": "iou", f"{path}.sigma_box": 0.5}, {"rep_gt", "rep_box"})):
        torch.manual_seed(0)
        model: Any = stemma.build("repulsion-loss", preset, 3, dict(sets)).train()
        losses = model.loss(b)
        assert {k for k in losses if k.startswith("rep_")} == terms
        assert all(v.isfinite() for v in losses.values())
    with pytest.raises(StemmaError, match="takes one of iog, iou, not 'giou'"):
        stemma.build("repulsion-loss", preset, 3, {f"{path}.overlap": "giou"})


def test_what_draws_is_divided_by_the_boxes_that_answer() -> None:
    """Eq. 2, and with both terms off and the parent's divisor the parent's loss."""
    b, said = the_batch(), {}
    spec: Any = repulsion_loss.spec("small")
    for name, stage in (("parent", faster_rcnn.spec("small").stages[0]),
                        ("child", replace(spec.stages[0], divide="positives")),
                        ("off", replace(spec.stages[0], repel=None))):
        torch.manual_seed(0)
        model = replace(spec, stages=(stage,)).build(3).train()
        torch.manual_seed(1)
        said[name] = {k: v.item() for k, v in model.loss(b).items()}
    assert said["parent"] == said["off"] and said["child"]["cls"] == said["parent"]["cls"]
    assert said["child"]["box"] > said["parent"]["box"] > 0


def test_the_published_settings() -> None:
    s: Any = repulsion_loss.spec()
    assert s.stages[0].repel == Repulsion(0.5, 0.5, 1.0, 0.0, "iog") and s.stages[0].divide == "positives"
    with torch.device("meta"):
        model = s.build(1)
    assert model.out.strides == (8,) and [m.dilation[0] for m in (model.backbone.layer3[1].conv2,
                                                                   model.backbone.layer4[1].conv2)] == [2, 4]
    (fact,) = repulsion_loss.PAPER.facts
    parent = replace(s, stages=(replace(s.stages[0], repel=None),))
    with torch.device("meta"):
        more = sum(p.numel() for p in model.parameters()) - sum(p.numel() for p in parent.build(1).parameters())
    assert more == fact.value
    r = repulsion_loss.recipe()
    assert (r.lr, r.batch, r.length, r.milestones, r.weight_decay) == (0.016, 4, "80000steps", (0.75,), 1e-4)
    small: Any = repulsion_loss.spec("small").stages[0]
    assert small.divide == "sampled" and small.repel.gt == small.repel.box == pytest.approx(0.5 * small.positive, 0.05)
    one: Any = repulsion_loss.spec("ssd")
    assert isinstance(one, Dense) and replace(one, rule=replace(one.rule, repel=None)) == ssd.spec()
    assert one.rule.repel == Repulsion(1.0, 0.0, sigma_gt=0.0)
    assert cards.get("repulsion-loss").at(s, repulsion_loss.recipe(), 1331)[1].resize.longest == 2662


@pytest.mark.parametrize("preset", ["small", "ssd-small"])
def test_stopped_and_resumed(preset: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings: dict[str, Any] = {"budget": "2steps", "paper": "repulsion-loss", "preset": preset, "save_every": "1steps",
                                "data": scenes(6), "val": scenes(2, "val"), "val_every": 0}
    alone_, pieces = alone_and_in_pieces(tmp_path, monkeypatch, 1, **settings)
    assert (pieces.path / "last.safetensors").read_bytes() == (alone_.path / "last.safetensors").read_bytes()


def the_batch() -> Any:
    return drawn_batch(torch.tensor([[[8.0, 8, 60, 66], [40, 20, 100, 90]], [[20.0, 30, 90, 100], [0, 0, 0, 0]]]))


def test_boxes_learn_to_keep_apart(learned: Learned) -> None:
    """Boxes that begin between two neighbours, each drawn to its own and driven from the other's: steps on their
    codes."""
    objects = torch.tensor([[[10.0, 10, 34, 70], [28.0, 10, 52, 70]]])
    t, index = Targets(objects, torch.zeros(1, 2, dtype=torch.long)), torch.tensor([[0, 1, 0, 1]])
    refs = torch.tensor([[[16.0, 12, 40, 68], [22.0, 12, 46, 68], [18.0, 8, 42, 72], [20.0, 14, 44, 74]]])
    yes = torch.ones(1, 4, dtype=torch.bool)
    codes = torch.zeros(1, 4, 4, requires_grad=True)
    optimizer, seen = torch.optim.SGD([codes], 0.5), []
    for _ in range(300):
        optimizer.zero_grad()
        cost = torch.stack(list(Repulsion()(CODER.decode(refs, codes), refs, index, yes, t).values())).sum()
        cost.backward()
        optimizer.step()
        seen.append(cost.item())
    learned("repulsion", seen[-1], at_most=0.5 * seen[0], untrained=seen[0])
