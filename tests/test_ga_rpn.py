"""GA-RPN: places, shapes, adapted features, and anchors that are made of them."""
from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import stemma
from engine_help import short
from learning import Learned
from stemma.core.part import In
from stemma.core.types import Batch, Targets
from stemma.engine.running import optim
from stemma.ops import boxes as bx
from stemma.papers.localization import fpn, ga_rpn
from stemma.parts.dense.assign import ByIoU, Candidates
from stemma.parts.dense.guided import Adaption, ByBestShape, GuidedHead, bounded, locations
from stemma.parts.dense.losses import SmoothL1
from stemma.parts.dense.sample import Everything

INP = In((8, 8, 8), (4, 8, 16), 1, anchors=(1, 1, 1), logits=1)


def batch(boxes: list[list[float]] | None = None) -> Batch:
    g = torch.Generator().manual_seed(1)
    at = torch.tensor([boxes or [[8.0, 8, 40, 36], [50, 40, 118, 120]]] * 2)
    y, x = torch.arange(128)[:, None], torch.arange(128)
    images = 0.2 * torch.rand(2, 3, 128, 128, generator=g)
    for i, p in enumerate(at):
        for k in p:
            images[i, :, (y >= k[1]) & (y < k[3]) & (x >= k[0]) & (x < k[2])] += 0.6
    sizes = torch.full((2, 2), 128.0)
    return Batch(images, Targets(at, torch.arange(at.shape[1]).expand(2, -1) % 3), sizes, sizes, torch.arange(2))


def net(preset: str = "small") -> Any:
    torch.manual_seed(0)
    return ga_rpn.spec(preset).build(3)


def test_the_published_counts() -> None:
    with torch.device("meta"):
        mine, plain = ga_rpn.spec().build(80), fpn.spec().build(80)
    count: Any = lambda m: sum(p.numel() for p in m.parameters())  # noqa: E731
    (fact,) = ga_rpn.PAPER.facts
    assert count(mine.rpn_head) == fact.value == 1_182_104 and count(plain.rpn_head) == 593_935
    assert set(mine.spec.rpn.anchors.counts(5)) == {1}


def test_mmdetections_settings() -> None:
    """configs/guided_anchoring: squares of 8 strides, nine shapes, .7 and .3, 256; the second look at .6."""
    p, r = ga_rpn.spec(), ga_rpn.spec("retinanet")
    rule = p.rpn
    assert rule.anchors.scales == (8.0,) and rule.anchors.ratios == (1.0,) and r.rule.anchors.scales == (4.0,)
    assert rule.shapes.stds == (0.07, 0.07, 0.14, 0.14) and rule.coder.stds == (0.07, 0.07, 0.11, 0.11)
    a = rule.assign_shape
    assert (a.pos, a.neg, a.least, a.octaves, a.ratios) == (0.7, 0.3, 0.3, 3, (0.5, 1.0, 2.0))
    assert rule.assign == ByIoU(0.7, 0.3, rescue=True, least=0.3) and r.rule.assign == ByIoU(0.5, 0.5, rescue=True)
    assert (rule.centre, rule.ignore, rule.spare, rule.least) == (0.2, 0.5, 0.1, 0.01)
    assert (rule.loc_weight, rule.shape_weight) == (1.0, 0.1)  # the paper's
    s = p.stages[0]
    assert (s.assign.pos, s.count, s.coder.stds) == (0.6, 256, (0.05, 0.05, 0.1, 0.1))
    r = ga_rpn.recipe()
    assert (rule.proposals.keep, rule.proposals.keep_train) == (300, 300) and (r.clip, r.warmup_factor) == (35, 1 / 3)
    assert s.box == rule.box == SmoothL1(1.0) and round(r.warmup * 90_000) == 500


def test_without_a_word_on_shape_anchors_are_squares_and_else_the_coders() -> None:
    m, b = net().eval(), batch()
    raw, rule = m(b.images).rpn, m.spec.rpn
    square = replace(raw, shape=torch.zeros_like(raw.shape))
    torch.testing.assert_close(rule.made(square), raw.references().float())
    shape = torch.randn_like(raw.shape)
    size = bx.centre_size(rule.made(replace(raw, shape=shape)))[1]
    torch.testing.assert_close(size, bx.centre_size(raw.references())[1] * (0.14 * shape).exp(), rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(bx.centre_size(raw.references())[1][..., 0], 4 * raw.stride.expand(2, -1))


@pytest.mark.oracle("torch's convolution where offsets are zero", "ga_rpn")
def test_without_offsets_the_adaption_is_a_plain_convolution() -> None:
    a, x, shape = Adaption(8, 6, 4), torch.randn(2, 8, 9, 7), torch.randn(2, 2, 9, 7)
    nn.init.zeros_(a.offset.weight)
    torch.testing.assert_close(a(x, shape), F.conv2d(x, a.weight, padding=1).relu(), rtol=1e-4, atol=1e-5)


@pytest.mark.oracle("torchvision's deformable convolution", "ga_rpn")
def test_the_adaption_is_a_deformable_convolution_of_the_shapes_offsets() -> None:
    from torchvision.ops import deform_conv2d

    a, x, shape = Adaption(8, 6, 4), torch.randn(2, 8, 9, 7), torch.randn(2, 2, 9, 7, requires_grad=True)
    found = a(x, shape)
    torch.testing.assert_close(found, deform_conv2d(x, a.offset(shape), a.weight, padding=1).relu(), rtol=1e-3,
                               atol=1e-4)
    found.sum().backward()
    assert shape.grad is None and a.offset.weight.grad is not None  # shapes are told, and not moved


@pytest.mark.oracle("the head of RPN with the same filters", "ga_rpn")
def test_fig_2_the_head_layer_by_layer() -> None:
    head, x = GuidedHead(INP, groups=2), torch.randn(1, 8, 6, 5)
    logits, codes, loc, shape = head([x, x, x])
    y = head.conv(x).relu()
    z = head.adapt(y, head.shape(y))
    rows = lambda v: v.permute(0, 2, 3, 1).flatten(1, 2)  # noqa: E731
    for found, want in ((logits, head.cls(z)), (codes, head.box(z)), (loc[..., None], head.loc(y)),
                        (shape, head.shape(y))):
        torch.testing.assert_close(found[:, :30], rows(want))
    assert torch.allclose(head.loc.bias.sigmoid(), torch.tensor([0.01]))  # type: ignore[union-attr]


@pytest.mark.parametrize("preset", ["small", "retinanet-small"])
@torch.no_grad()
def test_an_answer_adapts_only_cells_that_may_hold_an_object(preset: str) -> None:
    """Sec. 3.2, inference: what is asked for is as in training, the rest is left out, and the answer is the same."""
    m, b = net(preset).eval(), batch()
    head, rule = (m.head, m.rule) if preset.startswith("retinanet") else (m.rpn_head, m.spec.rpn)
    nn.init.normal_(head.loc.weight, std=0.3)
    whole, spared = (getattr(r, "rpn", r) for r in (m(b.images), m(b.images, True)))
    asked = rule.asked(whole.object)
    assert 0.05 < asked.float().mean() < 0.95
    torch.testing.assert_close(spared.logits[asked], whole.logits[asked], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(spared.codes[asked], whole.codes[asked], rtol=1e-5, atol=1e-6)
    assert (spared.logits[~asked] - whole.logits[~asked]).abs().max() > 1e-3
    tell = rule.propose if preset == "small" else rule.predict
    for found, want in zip(vars(tell(spared)).values(), vars(tell(whole)).values()):
        if want is not None:
            torch.testing.assert_close(found, want, rtol=1e-5, atol=1e-5)


@pytest.mark.oracle("a lattice of widths and heights, searched one by one", "ga_rpn")
def test_eq_4_the_best_shape_over_all_widths_and_heights() -> None:
    """vIoU: the nine sampled shapes come near the best over all, which a lattice finds, and never pass it."""
    g = torch.Generator().manual_seed(3)
    centre = torch.rand(40, 2, generator=g) * 60 + 20
    square = bx.from_centre(centre, torch.full((40, 2), 24.0))
    size = 24 * 2 ** (torch.rand(40, 1, generator=g)) * torch.cat([s := 2 ** (torch.rand(40, 1, generator=g) - 0.5),
                                                                   1 / s], 1)
    truth = bx.from_centre(centre + torch.rand(40, 2, generator=g) * 6 - 3, size)
    found = ByBestShape(0.7, 0.3).overlap(truth[:, None], square[:, None])[:, 0, 0]
    sides = torch.arange(8.0, 80, 1.0)
    lattice = torch.stack(torch.meshgrid(sides, sides, indexing="ij"), -1).reshape(-1, 2)
    gaps = []
    for i in range(40):
        best = max(float(bx.iou(truth[i : i + 1], bx.from_centre(centre[i], part)[:, :]).max())
                   for part in lattice.split(2000))
        assert float(found[i]) <= best + 2e-2
        gaps.append(best - float(found[i]))
    assert sum(gaps) / 40 < 0.15
    nine = [max(float(bx.iou(truth[i : i + 1], bx.from_centre(centre[i : i + 1], torch.tensor(
        [[24 * 2 ** (k / 3) / math.sqrt(r), 24 * 2 ** (k / 3) * math.sqrt(r)]])))) for k in range(3)
                for r in (0.5, 1.0, 2.0)) for i in range(40)]
    torch.testing.assert_close(found, torch.tensor(nine), rtol=1e-4, atol=1e-5)


@pytest.mark.oracle("1 - IoU of boxes that differ in width alone", "ga_rpn")
def test_eq_6_bounded_overlap_of_shapes() -> None:
    w = torch.rand(50) * 40 + 5
    said, want = torch.stack([w, torch.full_like(w, 20.0)], 1), torch.full((50, 2), 20.0)
    off = 1 - bx.iou_each(bx.from_centre(torch.zeros(50, 2), said), bx.from_centre(torch.zeros(50, 2), want))
    bent = torch.where(off < 0.2, 0.5 * off**2 / 0.2, off - 0.1)
    torch.testing.assert_close(bounded(said, want), bent, rtol=1e-4, atol=1e-5)


def holds(box: list[float], cell: tuple[int, int], share: float, stride: float, offset: float) -> bool:
    """Whether a cell of a level lies in the middle `share` of a box, ends rounded to cells and cut to the map."""
    last = math.ceil(128 / stride) - 1
    for at, low, high in zip(cell, box[:2], box[2:]):
        ends = [min(max(round(((low + high) / 2 + sign * share * (high - low) / 2) / stride - offset), 0), last)
                for sign in (-1, 1)]
        if not ends[0] <= at <= ends[1]:
            return False
    return True


@pytest.mark.oracle("cell by cell, as mmdetection paints regions", "ga_rpn", how="equal")
@pytest.mark.parametrize("offset", [0.0, 0.5])
def test_sec_3_2_places_cell_by_cell(offset: float) -> None:
    m = net().eval()
    b = batch([[8.0, 8, 40, 36], [50, 40, 118, 120], [90, 5, 104, 30], [0, 100, 20, 128]])
    raw = m(b.images).rpn
    centre, stride = bx.centre_size(raw.anchors)[0], raw.stride
    moved = replace(raw, anchors=raw.anchors + ((offset - 0.5) * stride)[:, None])
    found, i = locations(moved, b.targets, 4.0, 0.2, 0.5, offset)[0], 0
    strides = sorted(set(stride.tolist()))
    for level, s in enumerate(strides):
        cells = centre[stride == s]
        for x, y in (cells / s - 0.5).round().long().tolist():
            want = 0
            for box in b.targets.boxes[0].tolist():
                x1, y1, x2, y2 = box
                side = math.sqrt((x2 - x1) * (y2 - y1))
                own = min(max(math.floor(math.log2(side / (4 * strides[0])) + 0.5), 0), len(strides) - 1)

                if own == level and holds(box, (x, y), 0.2, s, offset):
                    want = 1
                elif abs(own - level) <= 1 and holds(box, (x, y), 0.5, s, offset) and want != 1:
                    want = -1
            assert int(found[i]) == want, (s, x, y)
            i += 1
    assert i == len(found) and {-1, 0, 1} == set(found.tolist())


def test_an_object_that_no_level_claims_costs_no_shape_and_is_trained_on() -> None:
    """Two pixels wide: no sampled shape overlaps it by .3. Its place is learned, its shape is not."""
    m, b = net().train(), batch([[60.0, 60, 62, 62]])
    squares = m(b.images).rpn
    state, _ = m.spec.rpn.assign_shape(Candidates(squares.references(), squares.stride), b.targets)
    assert not (state == 1).any()
    losses = m.loss(b)
    assert losses["rpn_shape"] == 0 and losses["rpn_loc"] > 0 and all(torch.isfinite(v) for v in losses.values())
    none = m.loss(replace(b, targets=Targets(torch.zeros(2, 0, 4), torch.zeros(2, 0, dtype=torch.long))))
    assert none["rpn_shape"] == 0 and all(torch.isfinite(v) for v in none.values())


def test_what_is_no_place_is_left_out_of_proposals() -> None:
    m, b = net().eval(), batch()
    raw, rule = m(b.images).rpn, m.spec.rpn
    some = torch.full_like(raw.object, -9.0)
    some[:, 100:105] = 0.0
    found = rule.propose(replace(raw, object=some))
    assert 1 <= int((found.labels[0] >= 0).sum()) <= 5
    nowhere = replace(raw, object=some * 0 - 9)
    assert not (rule.propose(nowhere).labels >= 0).any()
    # regions learn from proposals of all cells, however unsure their places are yet
    for name, found in vars(rule.propose(nowhere, training=True)).items():
        if found is not None:
            assert torch.equal(found, getattr(rule.propose(raw, training=True), name))
    assert (rule.propose(nowhere, training=True).labels >= 0).sum() > 100


def test_in_a_crowd_no_cell_is_asked_for_a_place() -> None:
    """Its cells are background no more, on all levels; those of an object in it are its own as ever."""
    m = net().eval()
    b = batch([[8.0, 8, 120, 90], [30, 30, 60, 60]])
    raw, crowd = m(b.images).rpn, torch.zeros_like(b.targets.labels, dtype=torch.bool)
    crowd[0, 0] = True
    alone = locations(raw, Targets(b.targets.boxes[:, 1:], b.targets.labels[:, 1:]), 4.0, 0.2, 0.5, 0.5)[0]
    found = locations(raw, replace(b.targets, crowd=crowd), 4.0, 0.2, 0.5, 0.5)[0]
    x, y = bx.centre_size(raw.anchors)[0].unbind(-1)
    deep, out = ((x > 8 + k) & (x < 120 - k) & (y > 8 + k) & (y < 90 - k) for k in (raw.stride, -raw.stride))
    assert set(raw.stride[deep].tolist()) == {4, 8, 16, 32}
    assert torch.equal(found == 1, alone == 1) and (found == 1).any()
    assert (found[deep] != 0).all() and torch.equal(found[~out], alone[~out]) and (found[~out] == 0).any()


def test_plugged_in_what_sleeps_keeps_its_statistics_too(tmp_path: Path) -> None:
    """Backbone and pyramid of the trained detector are the same, bit for bit, when the training is over."""
    start = short(tmp_path / "fpn", "2steps", "fpn")
    plugged = short(tmp_path / "ga", "3steps", "ga-rpn", preset="plug-in-small", start=start.path)
    old, new = stemma.load(start).state_dict(), stemma.load(plugged).state_dict()
    still = [k for k in old if k.startswith(("backbone.", "neck."))]
    assert any(k.endswith("running_mean") for k in still) and all(torch.equal(old[k], new[k]) for k in still)
    assert any(not torch.equal(old[k], new[k]) for k in old if k.startswith("heads."))


def test_plugged_in_the_backbone_sleeps() -> None:
    """An FPN's weights but the proposal head's are taken; only proposals and regions learn."""
    m, old = net("plug-in-small"), fpn.spec("small").build(3)
    kept = {k: v for k, v in old.state_dict().items() if not k.startswith("rpn_head")}
    missing, unknown = m.load_state_dict(kept, strict=False)
    assert not unknown and all(k.startswith("rpn_head") for k in missing)
    (phase,) = ga_rpn.recipe("plug-in-small").phases
    optim.set_awake(m, phase.train, set())
    awake = {n.split(".")[0] for n, p in m.named_parameters() if p.requires_grad}
    r = ga_rpn.recipe("plug-in")
    assert awake == {"rpn_head", "heads"} and r.length == "3epochs"
    assert round(r.warmup * 3 * 118_287 / r.batch) == 500  # steps of COCO


def test_retinanet_is_guided_on_both_towers() -> None:
    m, b = net("retinanet-small").train(), batch()
    losses = m.loss(b)
    assert set(losses) == {"cls", "box", "loc", "shape"}
    d = m.eval().predict(b.images, b.sizes)
    assert d.boxes.shape[0] == 2 and m.head.adapt_cls.weight is not m.head.adapt_box.weight


@pytest.mark.oracle("cell by cell: all that answer for an object, and their mean", "ga_rpn")
def test_retinanets_shapes_are_not_sampled_and_are_divided_by_those_that_answer() -> None:
    """GARetinaHead of mmdetection has no sampler of shapes (ga_sampling is False)."""
    m, b = net("retinanet-small").train(), batch()
    torch.manual_seed(1)
    raw = m(b.images)
    raw = replace(raw, shape=torch.randn_like(raw.shape))
    rule = m.rule
    state, index = rule.assign_shape(Candidates(raw.references(), raw.stride), b.targets)
    made, total, count = bx.centre_size(rule.made(raw))[1], 0.0, 0
    for i, a in (state == 1).nonzero().tolist():
        box = b.targets.boxes[i, index[i, a]]
        for said, want in zip(made[i, a].tolist(), (box[2:] - box[:2]).tolist(), strict=True):
            off = 1 - min(said / want, want / said)
            total += off * off / 0.4 if off < 0.2 else off - 0.1
        count += 1
    assert count > 3
    torch.testing.assert_close(rule.loss(raw, b.targets, 3, b.sizes)["shape"],
                               torch.tensor(rule.shape_weight * total / count), rtol=1e-4, atol=1e-6)
    assert ga_rpn.spec("retinanet").rule.sample_shape == Everything()


def test_places_and_shapes_learn(learned: Learned) -> None:
    """Sixty steps on one batch bring down what places and shapes cost."""
    m, b = net().train(), batch()
    optimizer, seen = torch.optim.AdamW(m.parameters(), 3e-3), []
    for _ in range(60):
        losses = m.loss(b)
        optimizer.zero_grad()
        torch.stack(list(losses.values())).sum().backward()
        optimizer.step()
        seen.append({k: v.item() for k, v in losses.items()})
    for k in ("rpn_loc", "rpn_shape"):
        learned(k, min(s[k] for s in seen[-3:]), at_most=0.85 * seen[0][k], untrained=seen[0][k])
