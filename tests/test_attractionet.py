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
from stemma.core.types import Batch, StemmaError
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
    """AttractioNet_create_seed_boxes.m on a picture of 640 x 480, which the network sees 1,000 pixels high."""
    widths = [16, 32, 16, 32, 50, 25, 50, 72, 36, 72, 96, 48, 96, 128, 64, 128, 192, 96, 192, 256, 128, 256, 384, 192, 384]
    heights = [16, 16, 32, 32, 25, 50, 50, 36, 72, 72, 48, 96, 96, 64, 128, 128, 96, 192, 192, 128, 256, 256, 192, 384, 384]
    assert Seeds().shapes == tuple((float(a), float(b)) for a, b in zip(widths, heights, strict=True))
    seeds = Seeds()((1000, 1333), torch.zeros(1, dtype=torch.float64)) * 0.48
    size = (seeds[:, 2:] - seeds[:, :2]).round().int()
    assert 9_900 < len(seeds) <= 10_000
    assert (seeds >= -1e-6).all() and (seeds[:, 2] <= 640).all() and (seeds[:, 3] <= 480 + 1e-6).all()
    counts = []
    for w, h in zip(widths, heights, strict=True):
        one = seeds[(size == torch.tensor([w, h])).all(1)]
        counts.append(len(one))
        for axis, (side, length) in enumerate(((w, 639.84), (h, 480))):
            at = one[:, axis].unique()
            assert at[0].item() == pytest.approx(length - side - at[-1].item(), abs=0.1)  # as much room at either end
            assert len(at) == 1 or (at.diff() - at.diff()[0]).abs().max() < 1e-6
    assert counts[0] == max(counts) and min(counts) > 0
    few = Seeds()((500, 500), torch.zeros(1))  # 240 pixels of the file
    assert few[0].tolist() == pytest.approx([0, 0, 500, 500]) and ((few[:, 2:] - few[:, :2]).amax(1) < 501).all()
    assert len(Seeds(((64.0, 64.0),), 1.0)((16, 32), torch.zeros(1))) == 1


def likelihood(p: list[list[float]], says: Says, a: int, b: int) -> float:
    """What the authors' decoding looks for the most of: the logarithm of the probability that the object spans parts a
    to b; of borders alone that of the two."""
    total, rows = 0.0, list(p)
    if says == "borders":
        return math.log(rows[0][a]) + math.log(rows[1][b])
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


@pytest.mark.oracle("the authors' postprocess by torchvision's nms", "attractionet", how="the same boxes and order")
def test_suppression_at_many_thresholds_is_the_authors() -> None:
    """Each threshold on what the first left, not one after another; the lowest fills the first places."""
    torch.manual_seed(0)
    boxes = bx.from_centre(30 * torch.rand(1, 120, 2), 15 + 15 * torch.rand(1, 120, 2))
    scores = torch.rand(1, 120)
    scores[0, 100:] = 0
    many = ManyNMS((0.9, 0.7, 0.5, 0.4), (60, 30, 20, 6))
    found, said = many(boxes, scores)
    first = torchvision.ops.nms(boxes[0, :100], scores[0, :100], 0.9)[:60]
    chosen: list[int] = []
    want: list[float] = []
    for i in (3, 2, 1, 0):
        at = first[torchvision.ops.nms(boxes[0, first], scores[0, first], many.thresholds[i])] if i else first
        more = [k for k in at.tolist() if k not in chosen][: many.keeps[i] - len(chosen)]
        chosen += more
        want += [(i + float(scores[0, k])) / 4 for k in more]
    n = int((said > 0).sum())
    assert n == len(chosen) and (said.diff() <= 0).all() and said.max() <= 1
    torch.testing.assert_close(found[0, :n], boxes[0, chosen])
    torch.testing.assert_close(said[0, :n], torch.tensor(want))
    in_turn = first
    for t, keep in zip(many.thresholds[1:], many.keeps[1:], strict=True):
        in_turn = in_turn[torchvision.ops.nms(boxes[0, in_turn], scores[0, in_turn], t)][:keep]
    assert in_turn.tolist() != chosen[:6]  # which is another answer


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


@pytest.mark.oracle("algorithm 1 in plain steps", "attractionet", how="the same pool")
def test_a_refined_box_has_the_score_of_the_box_that_it_came_from() -> None:
    model = stemma.build("attractionet", "small", info=Scenes(1).info).eval()
    pools: list[tuple[Tensor, Tensor]] = []

    class Kept(ManyNMS):
        def __call__(self, boxes: Tensor, scores: Tensor) -> tuple[Tensor, Tensor]:
            pools.append((boxes, scores))
            return super().__call__(boxes, scores)

    model.spec = replace(model.spec, rounds=3, last=Kept(keeps=model.spec.last.keeps))
    with torch.no_grad():
        images, size = torch.rand(1, 3, 128, 128), torch.tensor([[128.0, 128.0]])
        model.predict(images)
        xs = model.backbone(model.spec.preprocess(images))[-1:]
        boxes = bx.clip(model.spec.seeds((128, 128), images)[None], (128, 128))
        want_boxes, want_scores = [], []
        for k in range(3):
            said = model.object(xs, boxes).softmax(-1)[0, :, 1]
            whole = (boxes[0, :, 2:] - boxes[0, :, :2]).amin(-1) > 1e-2  # what lies beyond the picture's edge is none
            boxes, said = boxes[:, whole], said[whole]
            if k == 0:
                at = torchvision.ops.nms(boxes[0], said, 0.9)[: model.spec.keep]
                boxes, said = boxes[:, at], said[at]
            new = model.moved(xs, boxes, size)
            want_boxes.append(new[0])
            want_scores.append(said)
            still = bx.iou_each(boxes, new)[0] < 0.9
            boxes, said = new[:, still], said[still]
            at = torchvision.ops.nms(boxes[0], said, 0.9)[: model.spec.keep]
            boxes = boxes[:, at]
    boxes, scores = pools[0]
    real = scores[0] > 0
    torch.testing.assert_close(boxes[0, real], torch.cat(want_boxes), rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(scores[0, real], torch.cat(want_scores), rtol=1e-4, atol=1e-5)


def test_bad_no_round_at_all() -> None:
    with pytest.raises(StemmaError, match="'rounds' must be 1 or more, not 0"):
        stemma.build("attractionet", "small", 3, {"rounds": 0})


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


@pytest.mark.whole
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


def test_an_interval_can_be_written_for_other_runtimes() -> None:
    """ONNX has no running maximum."""
    class Ends(torch.nn.Module):
        def forward(self, logits: Tensor) -> Tensor:
            return InOut(1.8, 12).interval(logits)

    z = torch.randn(3, 2, 1, 12)
    written = torch.onnx.export(Ends(), (z,), dynamo=True, verbose=False)
    assert written is not None and not any("Scan" in n.op_type for n in written.model_proto.graph.node)


def test_as_many_proposals_come_for_every_picture() -> None:
    """Also where fewer boxes than that are left to look at: a graph has them all, and was refused for it."""
    torch.manual_seed(0)
    model = stemma.build("attractionet", "regression-small", 3).eval()
    found = [model.predict(x) for x in (torch.zeros(1, 3, 128, 128), torch.rand(2, 3, 128, 128))]
    room = min(model.spec.last.keeps[0], model.spec.rounds * model.spec.keep)
    assert [d.boxes.shape[1] for d in found] == [room] * 2 and not (found[0].boxes[found[0].labels < 0]).any()
    assert all((d.labels < 0).any() for d in found)
