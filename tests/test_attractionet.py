"""AttractioNet and LocNet: intervals of rows and columns, seeds, suppression at many thresholds, rounds."""
from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
import torchvision
from torch import Tensor

import stemma
from learning import Learned
from stemma.core.types import Batch
from stemma.data.loader import Loader
from stemma.data.scenes import Scenes
from stemma.ops import boxes as bx
from stemma.papers.localization import attractionet
from stemma.parts.regions.in_out import InOut, ManyNMS, Offsets, Says, Seeds

torch.set_num_threads(1)


def test_published_counts() -> None:
    facts = {(f.what, f.variant): f.value for f in attractionet.PAPER.facts}
    with torch.device("meta"):
        nets = {v: attractionet.spec(v or "paper").build(80) for v in ("", "combined")}
        said = {v: net.where([torch.empty(1, 512, 20, 20)], torch.empty(1, 3, 4)) for v, net in nets.items()}
    assert sum(p.numel() for p in nets[""].parameters()) == facts["parameters", ""]
    for v in nets:
        assert said[v][0, 0].numel() == facts["numbers of a box", v]
    seeds = Seeds()((1000, 1400), torch.zeros(1))
    assert 5_000 < len(seeds) <= facts["seeds at most", ""] == Seeds().count


def test_seeds_cover_a_picture_evenly() -> None:
    seeds = Seeds()((1000, 1400), torch.zeros(1))
    w, h = (seeds[:, 2] - seeds[:, 0]), (seeds[:, 3] - seeds[:, 1])
    shapes = {(round(float(a)), round(float(b))) for a, b in zip(w, h)}
    assert len(shapes) == 25 and min(shapes) == (16, 16) and max(shapes) == (384, 384)
    assert (seeds[:, :2] >= -1e-3).all() and (seeds[:, 2] <= 1400.01).all() and (seeds[:, 3] <= 1000.01).all()
    one = seeds[(w > 380) & (h > 380)]
    for axis, side in ((0, 1400), (1, 1000)):
        at = one[:, axis].unique()
        assert at[0].item() == pytest.approx(0, abs=1e-3) and at[-1].item() == pytest.approx(side - 384, abs=0.1)
        assert (at.diff() - at.diff()[0]).abs().max() < 0.1
    assert len(Seeds(16, 64, 1, 10_000, 0.5)((16, 32), torch.zeros(1))) == 3


def likelihood(p: list[list[float]], says: Says, a: int, b: int) -> float:
    """Eq. 4 to 6: the logarithm of the probability that the object spans parts a to b."""
    total, rows = 0.0, list(p)
    if says != "borders":
        inside = rows.pop(0)
        total += sum(math.log(v if a <= i <= b else 1 - v) for i, v in enumerate(inside))
    if says != "in-out":
        for edge, at in zip(rows, (a, b)):
            total += sum(math.log(v if i == at else 1 - v) for i, v in enumerate(edge))
    return total


@pytest.mark.parametrize("says,vectors", [("in-out", 1), ("borders", 2), ("combined", 3)])
@pytest.mark.oracle("brute force over all intervals", "attractionet", how="the same likelihood")
def test_the_interval_is_the_likeliest_of_all(says: Says, vectors: int) -> None:
    """A double loop over first and last."""
    torch.manual_seed(0)
    place, m = InOut(1.8, 12, says), 12
    for _ in range(60):
        logits = torch.randn(vectors, m, dtype=torch.float64) * 2
        p = logits.sigmoid().clamp(1e-4, 1 - 1e-4).tolist()
        best = max(likelihood(p, says, a, b) for a in range(m) for b in range(a, m))
        a, b = place.interval(logits).tolist()
        assert a <= b and likelihood(p, says, a, b) == pytest.approx(best, rel=1e-9)


def test_eq_4_is_the_sub_array_of_greatest_sum_of_logits() -> None:
    torch.manual_seed(1)
    for _ in range(40):
        z = torch.randn(1, 9)
        a, b = InOut(parts=9).interval(z).tolist()
        sums = {(i, j): float(z[0, i : j + 1].sum()) for i in range(9) for j in range(i, 9)}
        assert sums[a, b] == pytest.approx(max(sums.values()), rel=1e-5)


@pytest.mark.parametrize("says", ["in-out", "borders", "combined"])
def test_perfect_rows_and_columns_err_by_half_a_part_at_most(says: Says) -> None:
    torch.manual_seed(0)
    place = InOut(1.8, 28, says)
    box = bx.from_centre(100 + 50 * torch.rand(200, 2), 20 + 60 * torch.rand(200, 2))
    c, s = bx.centre_size(box)
    search = place.search(bx.from_centre(c + 0.1 * s * torch.randn(200, 2).clamp(-1, 1), s))
    found = place.decode(search, place.target(search, box) * 20 - 10)
    limit = (search[:, 2:] - search[:, :2]).repeat(1, 2) / 28 / 2
    assert ((found - box).abs() <= limit + 1e-3).all()
    assert place.target(search, box).shape[-2] == {"in-out": 1, "borders": 2, "combined": 3}[says]


def test_four_numbers_of_the_same_region_say_the_box_and_cost_nothing_then() -> None:
    """What in-out probabilities are held against: Fast R-CNN's codes of the box that is searched about."""
    torch.manual_seed(0)
    place = Offsets()
    box = bx.from_centre(100 + 50 * torch.rand(1, 20, 2), 20 + 60 * torch.rand(1, 20, 2))
    c, s = bx.centre_size(box)
    about = bx.from_centre(c + 0.1 * s, s * 1.25)
    search = place.search(about)
    torch.testing.assert_close(search, InOut(1.8).search(about))
    codes = torch.stack([torch.full((1, 20, 2), -0.08 / 0.1), torch.full((1, 20, 2), math.log(0.8) / 0.2)], -1)[..., None, :]
    torch.testing.assert_close(place.decode(search, codes), box)
    assert place.cost(codes, search, box).abs().max() < 1e-4
    torch.testing.assert_close(place.cost(codes + 1, search, box), torch.full((1, 20), 4 * 0.5), rtol=1e-4, atol=1e-4)
    paper, other = attractionet.spec("paper"), attractionet.spec("regression")
    assert other.where["parts"] == 2 and replace(other, where=paper.where, place=paper.place, place_weight=20.0) == paper


def test_an_object_beyond_the_search_region_is_cut_to_it() -> None:
    place = InOut(1.0, 8)
    search = torch.tensor([[0.0, 0.0, 80.0, 80.0]])
    inside = place.target(search, torch.tensor([[-50.0, 100.0, 35.0, 200.0]]))[0, :, 0]
    assert inside[0].tolist() == [1, 1, 1, 1, 0, 0, 0, 0]  # 35 / 10 rounds to 4
    assert inside[1].tolist() == [0, 0, 0, 0, 0, 0, 0, 1]


@pytest.mark.oracle("torchvision's nms, threshold after threshold", "attractionet", how="the same boxes and order")
def test_suppression_at_many_thresholds_is_one_after_another() -> None:
    torch.manual_seed(0)
    boxes = bx.from_centre(30 * torch.rand(1, 120, 2), 15 + 15 * torch.rand(1, 120, 2))
    scores = torch.rand(1, 120)
    scores[0, 100:] = 0
    many = ManyNMS((0.9, 0.7, 0.5, 0.4), (60, 30, 20, 6))
    found, said = many(boxes, scores)
    left, level = torch.arange(100), dict[int, int]()
    for t, keep in zip(many.thresholds, many.keeps):
        at = torchvision.ops.nms(boxes[0, left], scores[0, left], t)[:keep]
        left = left[at]
        for k in left.tolist():
            level[k] = level.get(k, 0) + 1
    want = sorted(level, key=lambda k: (-level[k], -float(scores[0, k])))
    n = int((said > 0).sum())
    assert n == len(want) and (said.diff() <= 0).all() and said.max() <= 1
    torch.testing.assert_close(found[0, :n], boxes[0, want])
    torch.testing.assert_close(said[0, :n], torch.tensor([(level[k] + float(scores[0, k])) / 5 for k in want]))


def batch_of(model: Any, count: int = 4) -> Batch:
    return next(iter(Loader(Scenes(count, size=128, seed=3), model.recipe, train=False, batch=count,
                            mean=model.spec.preprocess.mean, needs=frozenset({"boxes"})).epoch(0)))


def test_a_box_is_moved_to_what_its_rows_and_columns_say_and_again() -> None:
    """With a head that knows the truth every seed near an object finds it, and what stands still is not refined."""
    model = stemma.build("attractionet", "small", info=Scenes(1).info).eval()
    truth = torch.tensor([30.0, 40.0, 70.0, 90.0])
    looked: list[int] = []

    def where(xs: list[Tensor], search: Tensor) -> Tensor:
        looked.append(int((bx.area(search) > 0).sum()))
        return model.spec.place.target(search, truth.expand_as(search)) * 20 - 10

    def objects(xs: list[Tensor], boxes: Tensor) -> Tensor:
        iou = bx.iou(boxes, truth.expand(1, 1, 4))[..., 0]
        return torch.stack([0.5 - iou, iou - 0.5], -1) * 8

    model.where.forward, model.object.forward = where, objects
    model.spec = replace(model.spec, rounds=4)
    (d,) = model.predict(torch.zeros(1, 3, 128, 128)).unpad()
    best = bx.iou(d["boxes"][:1], truth[None])
    assert best.item() > 0.9 and (d["labels"] == 0).all()
    assert looked == sorted(looked, reverse=True) and looked[-1] < looked[0] / 3


def test_regions_far_from_objects_are_not_asked_where() -> None:
    """The loss of rows and columns is of regions that overlap an object by .4 alone, and weighs `place_weight`."""
    model = stemma.build("attractionet", "small", info=Scenes(1).info).eval()
    batch = batch_of(model)
    torch.manual_seed(0)
    one = model.loss(batch)
    model.spec = replace(model.spec, place_weight=6.0)
    torch.manual_seed(0)
    two = model.loss(batch)
    assert two["place"].item() == pytest.approx(2 * one["place"].item(), rel=1e-5)
    model.spec = replace(model.spec, move=1.1)
    assert model.loss(batch)["place"] == 0
    assert one["place"].item() == pytest.approx(3 * math.log(2), rel=0.05)  # an even answer


def test_active_boxes_are_the_nets_own() -> None:
    model = stemma.build("attractionet", "small", info=Scenes(1).info).eval()
    batch, spec = batch_of(model), model.spec
    xs = model.backbone(spec.preprocess(batch.images))[-1:]
    seeds = spec.seeds((128, 128), batch.images)
    few = [model.spec for _ in (0,)]
    torch.manual_seed(0)
    every = model.candidates(xs, batch.targets, seeds, batch.sizes)
    model.spec = replace(few[0], active=False)
    torch.manual_seed(0)
    first = model.candidates(xs, batch.targets, seeds, batch.sizes)
    n = first.shape[1]
    assert torch.equal(every[:, :n], first) and every.shape[1] > n
    some = torch.cat([first[:, :24], first[:, 24 : 24 + spec.sample.count]], 1)
    torch.testing.assert_close(every[:, n:], model.moved(xs, some, batch.sizes))
    near = bx.iou(first[:, :24], batch.targets.boxes).amax(-1)
    assert (near > 0.4).float().mean() > 0.8


@pytest.mark.parametrize("preset", ["small", "regression-small"])
def test_small_learns(preset: str, learned: Learned) -> None:
    """Recall of ten proposals at IoU .7 on pictures that it was trained on for a few steps."""
    model = stemma.build("attractionet", preset, info=Scenes(1).info).train()
    batch = batch_of(model, 4)

    def recall() -> float:
        model.eval()
        d = model.predict(batch.images, batch.sizes)
        model.train()
        hit = (bx.iou(d.boxes[:, :10], batch.targets.boxes) > 0.7).any(1) & batch.targets.valid
        return float(hit.sum() / batch.targets.valid.sum())

    before = recall()
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3)
    torch.manual_seed(0)
    for _ in range(50):
        optimizer.zero_grad()
        sum(model.loss(batch).values()).backward()
        optimizer.step()
    learned("recall of ten at IoU .7", recall(), at_least=0.14, untrained=before)
