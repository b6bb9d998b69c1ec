"""The study that explains heat maps away: EM on known evidence, against sums written out, its page, faults of a user."""
from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import stemma
from engine_help import scenes, short
from stemma.core.types import StemmaError
from stemma.parts.regions.grid import GridBranch
from stemma.studies import explaining
from stemma.studies.explaining import Evidence, Mixture


def branch(**more: Any) -> GridBranch:
    return GridBranch(stemma.core.part.In((8,), (4,), 1), width=36, convs=1, each=4, fused=False, **more)


def said(b: GridBranch, regions: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    """(perfect maps of regions, the boxes that they decode to)."""
    p = b.wanted(regions, truth) * 0.98 + 0.01
    return p, b.decode(p, regions)


def crowd(shifts: Tensor) -> tuple[Tensor, Tensor]:
    """Two objects that overlap by .6 and the regions that lie about each, as said by `shifts` of their sides."""
    objects = torch.tensor([[20.0, 20, 60, 60], [30.0, 20, 70, 60]])
    truth = objects.repeat_interleave(len(shifts), 0)
    return truth + 40 * torch.cat([shifts, shifts], 1).repeat(2, 1), truth


@pytest.mark.parametrize("half", [False, True])
def test_objects_that_overlap_are_kept_and_their_copies_are_not(half: bool) -> None:
    """NMS at .5 drops one of two, at .7 it keeps both; explained each comes in once, whatever its copies' scores, and
    lies where it is to a pixel."""
    b = branch(half=half, stride=2 if half else 1)
    regions, truth = crowd(torch.tensor([[0.0, 0.0], [0.12, 0.0], [-0.1, 0.1], [0.0, -0.12]]))
    p, found = said(b, regions, truth)
    scores = torch.tensor([0.9, 0.85, 0.8, 0.7, 0.6, 0.88, 0.5, 0.4])
    evidence = explaining.gathered(b, p, regions, scores, (100, 100))
    for price in (5.0, 20.0):
        at, boxes = explaining.explain(evidence, found, price)
        assert len(at) == 2 and sorted((at // 4).tolist()) == [0, 1]
        torch.testing.assert_close(boxes, truth[at], atol=1.0, rtol=0)
    one, _ = explaining.by_overlap(0.5)(b, p, regions, found, scores, (100, 100))
    assert len(one) == 1
    none, _ = explaining.explain(evidence, found, 1e4)
    assert len(none) == 0, "nobody comes in where the price is more than all is worth"


def test_evidence_is_the_surest_word_of_a_pixel_and_weighs_alike_in_large_and_in_small_regions() -> None:
    """Two regions that say the same with scores .5 and 1 are one of score 1; a region four times as large has crosses
    of as much weight."""
    b = branch()
    small, large = torch.tensor([[20.0, 20, 48, 48]]), torch.tensor([[8.0, 8, 120, 120]])
    mass = []
    for box in (small, large):
        p, _ = said(b, box, box)
        one = explaining.gathered(b, p, box, torch.ones(1), (128, 128))
        two = explaining.gathered(b, p.repeat(2, 1, 1, 1), box.repeat(2, 1), torch.tensor([0.5, 1.0]), (128, 128))
        torch.testing.assert_close(two.mass, one.mass)
        assert torch.equal(two.at, one.at) and one.side == 3 and one.area == 128**2
        mass.append(float(one.mass.sum()))
        near = (one.at - 0.5 - (box[0, :2] + (one.share + 1) / 2 * (box[0, 2:] - box[0, :2]))).abs().amax(1)
        assert float(near.max()) <= 2 * (box[0, 2] - box[0, 0]) / 28 + 1, "votes lie about their own points"
    assert mass[0] == pytest.approx(mass[1], rel=1e-5) == pytest.approx(9 * 5 * 0.99, rel=1e-5)


def votes() -> tuple[Evidence, Tensor]:
    """Votes drawn about two boxes, and a tenth of them anywhere."""
    g, boxes = torch.Generator().manual_seed(0), torch.tensor([[10.0, 10, 40, 30], [25.0, 12, 55, 34]]).double()
    point, which = torch.randint(9, (400,), generator=g), torch.randint(2, (400,), generator=g)
    e = Evidence(point, torch.zeros(400, 2).double(), torch.rand(400, generator=g).double(), 3, 64.0 * 48)
    mine = boxes[which]
    at = mine[:, :2] + (e.share + 1) / 2 * (mine[:, 2:] - mine[:, :2]) + torch.randn(400, 2, generator=g).double()
    lost = torch.rand(400, generator=g) < 0.1
    at[lost] = (torch.rand(400, 2, generator=g).double() * torch.tensor([64.0, 48.0]))[lost]
    return Evidence(point, at, e.mass, 3, e.area), boxes


def test_each_round_of_em_adds_to_the_likelihood_and_finds_the_boxes() -> None:
    e, boxes = votes()
    share, spread = torch.tensor([[0.3, 0.3], [0.1, 0.1]]).double()
    m = Mixture(boxes + torch.tensor([3.0, -2, 4, 2]), share, spread)
    worth = [float(m.likelihood(e) @ e.mass)]
    for _ in range(30):
        m = m.fitted(e)
        worth.append(float(m.likelihood(e) @ e.mass))
    assert worth[-1] > worth[0] + 50 and all(b > a - 1e-2 for a, b in zip(worth, worth[1:]))
    torch.testing.assert_close(m.boxes, boxes, atol=0.5, rtol=0)
    assert float(1 - m.weight.sum()) == pytest.approx(0.1, abs=0.05)


def test_what_an_object_adds_is_the_difference_of_two_likelihoods_written_out() -> None:
    e, boxes = votes()
    old = Mixture(boxes[:1], torch.tensor([0.4]).double(), torch.tensor([0.05]).double())
    gain, weight = explaining.gains(e, old.likelihood(e), boxes[1:], rounds=200)
    total = 0.0

    def cloud(k: int, box: Tensor) -> float:
        value = 1 / 9
        for axis, lo, hi, at in ((0, box[0], box[2], e.at[k, 0]), (1, box[1], box[3], e.at[k, 1])):
            step = int(e.point[k]) // 3 if axis == 0 else int(e.point[k]) % 3
            wide, middle = max(0.05 * float(hi - lo), 0.5), float(lo + step / 2 * (hi - lo))
            value *= math.exp(-((float(at) - middle) ** 2) / (2 * wide**2)) / math.sqrt(2 * math.pi) / wide
        return value

    for k in range(len(e.mass)):
        before = 0.4 * cloud(k, boxes[0]) + 0.6 / (9 * e.area)
        after = (1 - float(weight[0])) * before + float(weight[0]) * cloud(k, boxes[1])
        total += float(e.mass[k]) * (math.log(after) - math.log(before))
    assert float(gain[0]) == pytest.approx(total, rel=1e-6) and total > 20
    for other in (weight * 0.9, weight * 1.1):
        ratio = (e.log_density(boxes[1:], torch.tensor([0.05]).double()) - old.likelihood(e)).exp()
        assert float((1 - other + other * ratio).log() @ e.mass) < float(gain[0]), "the best weight is taken"


def test_the_study_asks_a_run_in_all_ways_and_leaves_it_as_it_was(tmp_path: Path,
                                                                  capsys: pytest.CaptureFixture[str]) -> None:
    run = short(tmp_path / "grid", "4steps", "grid-rcnn", sets={"post.0.score": 0.001})
    explaining.main([str(run.path), "--data", "scenes:64:40", "--limit", "3", "--first", "6", "--overlap", ".3", ".9",
                     "--price", "1e-6", "1e6", "--out", str(tmp_path / "out"), "--device", "cpu"])
    rows = json.loads((tmp_path / "out" / "explaining.json").read_text())["rows"]
    assert [r["rule"] for r in rows] == ["as published", "NMS at 0.3", "NMS at 0.9", "1e-06 nats", "1e+06 nats"]
    found = [r["found"] for r in rows]
    assert 0 < found[1] <= found[2] and found[3] > 0 and found[4] == 0 and found[0] > 0
    assert "kept by" in (tmp_path / "out" / "explaining.html").read_text() and "1e-06 nats" in capsys.readouterr().out
    model: Any = stemma.load(run.path).eval()
    data = scenes(3, "val")
    alone = explaining.measured(model, data, "cpu", None, 6)
    explaining.measured(model, data, "cpu", explaining.by_price(1.0), 6)
    assert explaining.measured(model, data, "cpu", None, 6) == pytest.approx(alone, nan_ok=True)


def test_a_run_without_heat_maps_is_refused_before_any_is_measured(tmp_path: Path) -> None:
    run = short(tmp_path / "fpn", "1steps", "fpn")
    with pytest.raises(StemmaError, match="fpn draws no heat maps of points; name runs of grid-rcnn"):
        explaining.study([run.path], "scenes:64:40", tmp_path / "out")
    with pytest.raises(StemmaError, match="'0' is no number above 0"):
        explaining.main([str(run.path), "--data", "scenes:64:40", "--price", "0"])
