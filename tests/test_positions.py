"""Position-sensitive pooling against loops, torchvision and stored results; R-FCN and Deformable ConvNets."""
from __future__ import annotations

import functools
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import torchvision.ops as tv
from torch import Tensor, nn

from stemma.core import paper as cards
from stemma.core.part import In, edit, part
from stemma.core.types import Batch, Detections, SemanticMap, StemmaError, Targets
from stemma.engine.running.optim import groups_of
from stemma.engine.running.schedule import factor
from stemma.ops import deform, psroi
from stemma.ops.roi import level_of, roi_align
from stemma.parts.backbones.resnet import ResNet
from stemma.parts.backbones.tiny import TinyResNet
from stemma.parts.dense.sample import draw
from stemma.parts.regions.deformable import Bins, DeformConv, Deformed, DeformFCHead, DeformVoteHead, reach
from stemma.parts.regions.position_heads import PositionAlign, PositionMaps, PositionMean, VoteHead

GOLDENS = Path(__file__).parent / "goldens" / "positions.npz"
PAPERS = ("r_fcn", "deformable_convnets")


def count(m: nn.Module) -> int:
    return sum(p.numel() for p in m.parameters())


def total(losses: dict[str, Tensor]) -> Tensor:
    return torch.stack(list(losses.values())).sum()


@functools.cache
def batch(images: int = 2, objects: int = 3) -> Batch:
    torch.manual_seed(3)
    low = torch.rand(images, objects, 2) * 30
    boxes = torch.cat([low, low + 12 + torch.rand(images, objects, 2) * 20], -1)
    size = torch.full((images, 2), 64.0)
    return Batch(torch.rand(images, 3, 64, 64), Targets(boxes, torch.randint(0, 4, (images, objects))), size, size,
                 torch.arange(images))


def flat(boxes: Tensor) -> Tensor:
    index = torch.arange(len(boxes)).repeat_interleave(boxes.shape[1])[:, None].to(boxes)
    return torch.cat([index, boxes.flatten(0, 1)], 1)


def some_boxes(b: int = 2, r: int = 9, w: float = 104.0, h: float = 80.0) -> Tensor:
    """Of all sizes, some over the border, one empty."""
    low = torch.rand(b, r, 2) * torch.tensor([0.9 * w, 0.9 * h]) - 6
    boxes = torch.cat([low, low + torch.rand(b, r, 2) * 60], -1)
    boxes[:, 0] = torch.tensor([5.0, 5, 5, 5])
    return boxes


def bins_outside(x: Tensor, size: int) -> Tensor:
    return x.unflatten(1, (-1, size**2)).transpose(1, 2).flatten(1, 2)


def by_loops(x: Tensor, boxes: Tensor, size: int, stride: float) -> Tensor:
    """The published definition, bin by bin: boxes rounded to pixels, every cell that a bin touches, its own map."""
    b, d, h, w = x.shape
    out = x.new_zeros(b, boxes.shape[1], d // size**2, size, size)
    for n in range(b):
        for r, box in enumerate(boxes[n].tolist()):
            x1, y1, x2, y2 = (math.floor(v + 0.5) / stride for v in box)
            high, wide = max(y2 - y1, 0.1) / size, max(x2 - x1, 0.1) / size
            for i in range(size):
                for j in range(size):
                    top, bottom = max(math.floor(y1 + i * high), 0), min(math.ceil(y1 + (i + 1) * high), h)
                    left, right = max(math.floor(x1 + j * wide), 0), min(math.ceil(x1 + (j + 1) * wide), w)
                    if bottom > top and right > left:
                        for c in range(d // size**2):
                            out[n, r, c, i, j] = x[n, (c * size + i) * size + j, top:bottom, left:right].mean()
    return out


@pytest.mark.parametrize("name,i", [(n, i) for n in PAPERS for i in range(len(cards.get(n).facts))])
def test_published_counts(name: str, i: int) -> None:
    fact = cards.get(name).facts[i]
    spec = cards.get(name).spec(fact.variant or "paper")
    for path, value in fact.sets:
        spec = edit(spec, path, value)
    with torch.device("meta"):
        m = spec.build(fact.classes)
    found = {"parameters": count(m)}
    if isinstance(head := m.heads[0], VoteHead):
        found |= {"class maps": head.cls.out_channels, "box maps": head.box.out_channels}
    if isinstance(head, DeformVoteHead):
        layers = [c.offset for c in m.backbone.modules() if isinstance(c, DeformConv)]
        found |= {"offset channels of a convolution": layers[0].out_channels, "offset maps of the classes":
                  head.shift_cls.out_channels, "offset maps of the box": head.shift_box.out_channels,
                  "parameters of the offsets": sum(map(count, [*layers, head.shift_cls, head.shift_box]))}
    assert found[fact.what] == fact.value


# ---------------------------------------------------------------- pooling


@pytest.mark.parametrize("size", [1, 2, 3])
@pytest.mark.oracle("loops over bins", "r_fcn")
def test_the_mean_of_each_bin_over_its_own_map_as_by_loops(size: int) -> None:
    x, boxes = torch.randn(2, 2 * size**2, 10, 13, dtype=torch.float32, requires_grad=True), some_boxes()
    got, want = psroi.ps_roi_pool(x, boxes, size, 8), by_loops(x.detach(), boxes, size, 8)
    torch.testing.assert_close(got, want, atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(psroi.ps_roi_pool(bins_outside(x, size), boxes, size, 8, bins_first=True), want,
                               atol=1e-6, rtol=1e-6)


def test_the_integral_image_gives_the_same_with_the_same_gradient() -> None:
    """What a traced graph and a GPU compute."""
    x, boxes = torch.randn(2, 18, 10, 13, requires_grad=True), some_boxes()
    at = torch.floor(boxes + 0.5) / 8
    edges = (*psroi._edges(at[..., 1], at[..., 3], 3, 10), *psroi._edges(at[..., 0], at[..., 2], 3, 13))
    found = [f(x, 3, False, *edges) for f in (psroi._by_bags, psroi._by_integral)]
    torch.testing.assert_close(*found, atol=1e-6, rtol=1e-6)
    weight = torch.randn_like(found[0])
    torch.testing.assert_close(*(torch.autograd.grad((f * weight).sum(), x)[0] for f in found), atol=1e-6, rtol=1e-6)


@pytest.mark.oracle("torchvision's ps_roi_pool", "r_fcn")
def test_boxes_that_lie_inside_and_on_cells_pool_as_in_torchvision() -> None:
    x = torch.randn(2, 18, 12, 15)
    low = torch.randint(0, 7, (2, 20, 2))
    cells = torch.cat([low, low + torch.randint(3, 5, (2, 20, 2))], -1).float()
    want = tv.ps_roi_pool(x, flat(cells * 8), 3, 1 / 8)
    torch.testing.assert_close(psroi.ps_roi_pool(x, cells * 8, 3, 8).flatten(0, 1), want)
    shaken = cells * 8 + (torch.rand(2, 20, 4) - 0.5) * 7
    torch.testing.assert_close(psroi.ps_roi_pool(x, shaken, 3, 8, whole_cells=True).flatten(0, 1), want)


def test_torchvision_leaves_out_the_last_row_and_column_and_ends_before_the_last_cell() -> None:
    """Why its operator is an oracle for boxes inside alone."""
    x = torch.arange(36.0).view(1, 1, 6, 6).expand(1, 1, 6, 6).contiguous()
    whole = torch.tensor([[[0.0, 0, 48, 48]]])
    assert psroi.ps_roi_pool(x, whole, 1, 8).item() == x.mean().item()
    assert tv.ps_roi_pool(x, flat(whole), 1, 1 / 8).item() == pytest.approx(x[..., :5, :5].mean().item())
    inner = torch.tensor([[[8.0, 8, 24, 24]]])
    assert (tv.ps_roi_pool(x, flat(inner), 1, 1 / 8).item() == x[..., 1:3, 1:3].mean().item()
            == psroi.ps_roi_pool(x, inner, 1, 8).item())
    assert tv.roi_pool(x, flat(inner), 1, 1 / 8).item() == x[0, 0, 3, 3].item(), ("roi_pool takes the cell of the "
                                                                                  "last corner too")


@pytest.mark.oracle("torchvision's ps_roi_align", "r_fcn")
def test_alignment_is_torchvisions_with_its_gradient() -> None:
    boxes = some_boxes()
    for samples in (1, 2, 3):
        x = torch.randn(2, 18, 10, 13, requires_grad=True)
        got = psroi.ps_roi_align(x, boxes, 3, 8, samples).flatten(0, 1)
        want = tv.ps_roi_align(x, flat(boxes), 3, 1 / 8, samples)
        torch.testing.assert_close(got, want, atol=1e-5, rtol=1e-5)
        weight = torch.randn_like(want)
        torch.testing.assert_close(*(torch.autograd.grad((v * weight).sum(), x, retain_graph=True)[0]
                                     for v in (got, want)), atol=1e-5, rtol=1e-5)
        last = psroi.ps_roi_align(bins_outside(x, 3), boxes, 3, 8, samples, bins_first=True)
        torch.testing.assert_close(last.flatten(0, 1), want, atol=1e-5, rtol=1e-5)


def test_the_gradient_of_a_long_table_is_torchvisions() -> None:
    x, boxes = torch.randn(1, 18, 62, 64, requires_grad=True), some_boxes(1, 40, 512.0, 496.0)
    assert x.shape[2] * x.shape[3] * 9 > 2**15
    got, want = psroi.ps_roi_align(x, boxes, 3, 8).flatten(0, 1), tv.ps_roi_align(x, flat(boxes), 3, 1 / 8, 2)
    slope = torch.randn_like(want)
    torch.testing.assert_close(*(torch.autograd.grad((v * slope).sum(), x)[0] for v in (got, want)),
                               atol=1e-5, rtol=1e-5)


def test_stored_results_of_torchvision() -> None:
    stored = np.load(GOLDENS, allow_pickle=False)
    x, rois = torch.from_numpy(stored["feat"]), torch.from_numpy(stored["rois"])
    h, w = x.shape[-2:]
    inside = 0
    for i, roi in enumerate(rois):
        one, box = x[int(roi[0])][None], roi[None, None, 1:]
        torch.testing.assert_close(psroi.ps_roi_align(one, box, 3, 8)[0, 0],
                                   torch.from_numpy(stored["ps_roi_align_3_s8_sr2"])[i], atol=1e-5, rtol=0)
        if box[..., 2].item() / 8 + 0.5 < w - 1 and box[..., 3].item() / 8 + 0.5 < h - 1 and box.min() >= 0:
            inside += 1
            got = psroi.ps_roi_pool(one, box, 3, 8, whole_cells=True)[0, 0]
            torch.testing.assert_close(got, torch.from_numpy(stored["ps_roi_pool_3_s8"])[i], atol=1e-5, rtol=0)
    assert inside >= 1


def test_channel_order_is_output_then_row_then_column() -> None:
    """(c k + i) k + j: each bin of each output reads the map of that number."""
    x = torch.arange(18.0).view(1, 18, 1, 1).expand(1, 18, 6, 6)
    got = psroi.ps_roi_pool(x, torch.tensor([[[0.0, 0, 48, 48]]]), 3, 8)[0, 0]
    assert torch.equal(got, torch.arange(18.0).view(2, 3, 3))


def test_one_bin_is_average_pooling_and_equal_maps_vote_as_one() -> None:
    """R-FCN: k = 1 is the mean of an FCN's map over the region; k^2 equal maps vote for the mean of the region's
    bins."""
    x, box = torch.randn(1, 2, 12, 12), torch.tensor([[[16.0, 24, 64, 72]]])
    mean = x[:, :, 3:9, 2:8].mean((2, 3))
    torch.testing.assert_close(psroi.vote(psroi.ps_roi_pool(x, box, 1, 8))[0], mean)
    torch.testing.assert_close(psroi.vote(psroi.ps_roi_pool(x.repeat_interleave(9, 1), box, 3, 8))[0], mean)
    torch.testing.assert_close(psroi.vote(psroi.ps_roi_align(x, box, 1, 8))[0], roi_align(x, box, 1, 8)[0, :, :, 0, 0])


@pytest.mark.oracle("the assembled window", "r_fcn")
def test_the_vote_is_the_mean_of_the_assembled_window() -> None:
    """InstanceFCN copies each bin from its own map; R-FCN's vote is the mean of what is assembled,
    where bins have equal areas."""
    x, side = torch.randn(1, 9, 14, 14), 9
    assembled = x.new_zeros(side, side)
    for i in range(3):
        for j in range(3):
            assembled[3 * i : 3 * i + 3, 3 * j : 3 * j + 3] = x[0, 3 * i + j, 2 + 3 * i : 5 + 3 * i,
                                                                4 + 3 * j : 7 + 3 * j]
    box = torch.tensor([[[4.0, 2, 13, 11]]])
    torch.testing.assert_close(psroi.vote(psroi.ps_roi_pool(x, box, 3, 1))[0, 0, 0], assembled.mean())


def test_alignment_moves_with_the_box() -> None:
    """On ramps, a box moved by t pixels reads t / stride more."""
    ramp = (3 * torch.arange(20.0)[None, :] + 5 * torch.arange(20.0)[:, None]).expand(1, 9, 20, 20)
    box = torch.tensor([[[30.0, 40, 100, 110]]], requires_grad=True)
    psroi.vote(psroi.ps_roi_align(ramp, box, 3, 8)).sum().backward()
    torch.testing.assert_close(box.grad[0, 0], torch.tensor([3 / 16, 5 / 16, 3 / 16, 5 / 16]))


# ---------------------------------------------------------------- R-FCN


def test_maps_in_the_order_of_the_work_are_the_published_maps() -> None:
    conv, x = PositionMaps(6, 5, 3, std=0.5), torch.randn(2, 6, 8, 8)
    plain = F.conv2d(x, conv.weight, conv.bias)
    torch.testing.assert_close(conv(x), bins_outside(plain, 3))
    torch.testing.assert_close(conv(x, 2), bins_outside(plain[:, :18], 3))


@pytest.mark.parametrize("pool", [PositionMean(3), PositionAlign(3), PositionMean(7)])
def test_the_head_votes_with_pooled_maps(pool: Any) -> None:
    head = VoteHead(In((4, 6), (16, 16), 3, logits=4), pool, 5)
    xs, boxes = [torch.randn(2, 4, 10, 13), torch.randn(2, 6, 10, 13)], some_boxes(2, 7, 200.0, 150.0)
    logits, deltas = head(head.prepare(xs), boxes)
    assert logits.shape == (2, 7, 4) and deltas.shape == (2, 7, 1, 4)
    x = head.reduce(xs[1])
    op = psroi.ps_roi_align if isinstance(pool, PositionAlign) else psroi.ps_roi_pool
    torch.testing.assert_close(logits,
                               op(F.conv2d(x, head.cls.weight, head.cls.bias), boxes, pool.size, 16).mean((3, 4)))
    torch.testing.assert_close(deltas[:, :, 0],
                               op(F.conv2d(x, head.box.weight, head.box.bias), boxes, pool.size, 16).mean((3, 4)))


def test_deltas_of_the_background_are_never_read() -> None:
    inp, boxes = In((6,), (16,), 3, logits=4), some_boxes(1, 4)
    head = VoteHead(inp, PositionMean(3), 0, background=True)
    head(head.prepare([torch.randn(1, 6, 10, 13)]), boxes)[1].sum().backward()
    grad = head.box.weight.grad.view(8, 9, -1)
    assert grad[:4].abs().sum() > 0 and grad[4:].abs().sum() == 0


def test_maps_are_made_once_a_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    m = cards.get("r_fcn").spec("small").build(4)
    calls: list[int] = []
    plain = PositionMaps.forward
    monkeypatch.setattr(PositionMaps, "forward",
                        lambda self, x, count=None: (calls.append(1), plain(self, x, count))[1])
    m.loss(batch())
    assert len(calls) == 2
    m.eval().predict(batch().images)
    assert len(calls) == 4


def test_the_fifth_stage_keeps_the_stride_and_is_dilated() -> None:
    with torch.device("meta"):
        m = cards.get("r_fcn").spec().build(20)
        assert isinstance(m.backbone, ResNet) and m.out.strides == (16, 16) and m.out.channels == (1024, 2048)
        last = [b.conv2 for b in m.backbone.layer4]
        assert ([(c.dilation, c.padding, c.stride) for c in last] == [((2, 2), (2, 2), (1, 1))] * 3
                and m.backbone.layer4[0].conv1.stride == (1, 1))
        assert (m.rpn_head.conv[0].in_channels == 1024 and m.rpn_head.conv[0].out_channels == 512
                and m.heads[0].reduce[0].in_channels == 2048)
        assert m.backbone.ceil  # the authors' Caffe pools so
        assert m(torch.empty(1, 3, 608, 1008)).rpn.logits.shape == (1, 38 * 63 * 9, 2)
        assert cards.get("r_fcn").spec("coco").rpn.anchors.counts(1) == (12,)


def test_published_schedules() -> None:
    """VOC as the released solver has it with its two pictures a step; COCO as sec. 4.2 has it with eight, its short
    side drawn from five."""
    card = cards.get("r_fcn")
    voc, coco = card.recipe("paper"), card.recipe("coco")
    assert ((voc.batch, voc.length, voc.lr, voc.weight_decay) == (2, "110000steps", 1e-3, 5e-4)
            and voc.milestones[0] * 110_000 == pytest.approx(80_000))
    assert (coco.batch, coco.length, coco.lr) == (8, "120000steps", 1e-3) and coco.milestones[0] * 120_000 == 90_000
    assert voc.resize.scales == () and coco.resize.scales == (400, 500, 600, 700, 800) and coco.resize.longest == 1000
    with torch.device("meta"):
        groups = groups_of(card.spec().build(20), voc)
    rate = {n: g["base_lr"] / voc.lr for g in groups for n in g["names"]}
    assert rate["heads.0.cls.bias"] == rate["rpn_head.box.bias"] == 2 and rate["heads.0.cls.weight"] == 1


def test_deformable_nets_take_the_steps_of_the_authors_code() -> None:
    """resnet_v1_101_voc0712_rfcn_dcn_end2end_ohem.yaml: seven epochs over 16,551 pictures and their mirror images, at
    .0005 on the sum over four, decay .0005, a warm-up of 1,000 steps; test.py: what scores .001, 300 of a picture."""
    card, seen = cards.get("deformable_convnets"), 2 * 16_551
    for preset in ("paper", "faster"):
        r = card.recipe(preset)
        steps = float(r.length.removesuffix("epochs")) * 16_551 / r.batch
        assert steps == pytest.approx(7 * seen / 4) and r.milestones[0] * steps == pytest.approx(4.83 * seen / 4)
        assert r.warmup * steps == pytest.approx(1000, rel=0.02) and r.lr == pytest.approx(4 * 0.0005)
        assert [factor(r, n / steps) for n in (0, 500, 950, 1100)] == pytest.approx([0.1, 0.1, 0.1, 1])
        assert r.lr * r.weight_decay == pytest.approx(0.0005 * 0.0005) and re.search(r.no_decay, "heads.0.cls.bias")
        (post,) = card.spec(preset).post
        assert (post.score, post.keep, post.iou) == (0.001, 300, 0.3)
    assert cards.get("r_fcn").spec().post[0].score == 0, "the code has no threshold"


def test_without_mining_background_lies_near_objects() -> None:
    """rfcn_config_simple.m: 128 of each of two pictures, a quarter objects, background of an overlap of .1 to .5."""
    mined, drawn = (cards.get("r_fcn").spec(p).stages[0] for p in ("paper", "random"))
    assert (drawn.assign.low, drawn.assign.neg, drawn.sample.count, drawn.sample.positive) == (0.1, 0.5, 128, 0.25)
    assert mined.assign.low == 0 and mined.once and not drawn.once


def test_all_regions_are_seen_once_and_the_hardest_pay() -> None:
    m, b = cards.get("r_fcn").spec("small").build(4).eval(), batch()
    s = m.spec.stages[0]
    assert s.once and s.sample.count == 48
    m = replace(m.spec, stages=(replace(s, sample=replace(s.sample, count=20)),)).build(4).eval()
    s = m.spec.stages[0]
    raw = m(b.images)
    seen = next(m.chain(raw, b))
    every = s.label(m.propose(raw, b.sizes, True), b.targets, 4)
    assert (seen.regions.weight > 0).sum() == 40 and seen.logits.requires_grad and every.weight.sum() > 40
    cls, box = s.cost(seen.logits, seen.deltas, seen.regions, b.targets)
    used = draw(s.sample, seen.regions.state, (cls + box).detach(), seen.regions.boxes, seen.regions.labels)
    assert torch.equal(used, seen.regions.weight > 0)
    total(m.train().loss(b)).backward()
    assert all(p.grad is not None for p in m.parameters())


# ---------------------------------------------------------------- deformable convolution


def offsets(y: float, x: float, taps: int = 9, groups: int = 1, size: tuple[int, int] = (11, 13)) -> Tensor:
    return torch.tensor([y, x]).repeat(taps * groups)[None, :, None, None].expand(1, -1, *size).contiguous()


METHODS = pytest.mark.parametrize("method", ["columns", "torchvision"])


@METHODS
def test_offsets_of_zero_are_the_plain_convolution(method: Any) -> None:
    x, w, b = torch.randn(2, 8, 11, 13), torch.randn(6, 8, 3, 3), torch.randn(6)
    zero = offsets(0, 0, groups=2).expand(2, -1, -1, -1)
    torch.testing.assert_close(deform.deform_conv2d(x, zero, w, b, 1, 1, 1, None, method), F.conv2d(x, w, b, 1, 1),
                               atol=1e-4, rtol=1e-4)


@METHODS
def test_one_offset_for_all_taps_is_a_shifted_convolution(method: Any) -> None:
    """(1, 2): one row down, two columns right."""
    x, w = torch.randn(1, 4, 11, 13), torch.randn(5, 4, 3, 3)
    got = deform.deform_conv2d(x, offsets(1, 2), w, None, 1, 1, 1, None, method)
    shifted = F.pad(x, (0, 2, 0, 1))[:, :, 1:, 2:]
    inside = (slice(None), slice(None), slice(1, -2), slice(1, -3))
    torch.testing.assert_close(got[inside], F.conv2d(shifted, w, None, 1, 1)[inside], atol=1e-4, rtol=1e-4)


@METHODS
def test_offsets_as_long_as_the_taps_are_a_dilation_of_two(method: Any) -> None:
    x, w = torch.randn(1, 4, 11, 13), torch.randn(5, 4, 3, 3)
    taps = torch.stack(torch.meshgrid(torch.arange(-1.0, 2), torch.arange(-1.0, 2), indexing="ij"), -1).flatten()
    got = deform.deform_conv2d(x, taps[None, :, None, None].expand(1, -1, 11, 13).contiguous(), w, None, 1, 1,
                               1, None, method)
    torch.testing.assert_close(got, F.conv2d(x, w, None, 1, 2, 2), atol=1e-4, rtol=1e-4)


def test_the_order_of_offsets_is_y_then_x_tap_by_tap() -> None:
    """A kernel that has its last tap alone reads what the last pair of offsets says."""
    x, w = torch.randn(1, 1, 11, 13), torch.zeros(1, 1, 3, 3)
    w[0, 0, 2, 2] = 1
    offset = torch.zeros(1, 18, 11, 13)
    offset[:, 16], offset[:, 17] = 2, -3
    got = deform.deform_conv2d(x, offset, w, None, 1, 1)
    torch.testing.assert_close(got[0, 0, 4, 6], x[0, 0, 4 + 1 + 2, 6 + 1 - 3], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("groups,stride,padding,dilation,kernel",
                         [(2, 1, 1, 1, 3), (4, 1, 2, 2, 3), (1, 2, 1, 1, 3), (1, 1, 0, 1, 1)])
@pytest.mark.oracle("torchvision's deform_conv2d", "deformable_convnets")
def test_columns_and_their_gradients_are_torchvisions(groups: int, stride: int, padding: int, dilation: int,
                                                      kernel: int) -> None:
    x, w = torch.randn(2, 8, 11, 13, requires_grad=True), torch.randn(6, 8, kernel, kernel, requires_grad=True)
    high, wide = ((n + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1 for n in (11, 13))
    offset = (3 * torch.randn(2, 2 * groups * kernel**2, high, wide)).requires_grad_()
    for mask in (None, torch.rand(2, groups * kernel**2, high, wide)):
        found = [deform.deform_conv2d(x, offset, w, torch.ones(6), stride, padding, dilation, mask, m)
                 for m in ("columns", "torchvision")]
        torch.testing.assert_close(*found, atol=1e-4, rtol=1e-4)
        slope = torch.randn_like(found[0])
        for a, b in zip(*(torch.autograd.grad((f * slope).sum(), (x, offset, w)) for f in found)):
            torch.testing.assert_close(a, b, atol=5e-4, rtol=1e-3)


@METHODS
@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_cells_that_nobody_asks_for_are_left_out(method: Any, share: float) -> None:
    """Of two pictures that ask for different numbers of cells; a stride, a mask and a bias beside."""
    x, offset, w = torch.randn(2, 8, 12, 13), 3 * torch.randn(2, 36, 6, 7), torch.randn(6, 8, 3, 3)
    rest = (torch.ones(6), 2, 1, 1, torch.rand(2, 18, 6, 7), method)
    only = torch.rand(2, 6, 7) < share
    only[1, :3] = False
    found = deform.deform_conv2d(x, offset, w, *rest, only=only)
    torch.testing.assert_close(found, deform.deform_conv2d(x, offset, w, *rest) * only[:, None], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_cells_of_all_levels_at_once_say_what_each_level_says(share: float) -> None:
    """Offsets reach far outside the maps; cells are counted picture by picture, in a picture level by level."""
    xs = [torch.randn(2, 8, *size) for size in ((9, 7), (5, 4), (1, 2))]
    offsets, w = [4 * torch.randn(2, 36, *x.shape[-2:]) for x in xs], torch.randn(6, 8, 3, 3)
    rows = lambda maps: torch.cat([v.flatten(2).mT for v in maps], 1).flatten(0, 1)  # noqa: E731
    want = rows([deform.deform_conv2d(x, o, w, None, 1, 1) for x, o in zip(xs, offsets)])
    at = (torch.rand(len(want)) < share).nonzero()[:, 0]
    found = deform.deform_rows(xs, at, rows(offsets)[at], w, padding=1)
    torch.testing.assert_close(found, want[at], atol=1e-5, rtol=1e-5)


@METHODS
def test_stored_results_of_deformable_convolution(method: Any) -> None:
    stored = {k: torch.from_numpy(v) for k, v in np.load(GOLDENS, allow_pickle=False).items()}
    args = (stored["feat"], stored["dcn_offset"], stored["dcn_w"], stored["dcn_b"], 1, 1, 1)
    torch.testing.assert_close(deform.deform_conv2d(*args, None, method), stored["dcn_g2_pad1"], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(deform.deform_conv2d(*args, stored["dcn_mask"], method), stored["dcn_g2_pad1_mod"],
                               atol=1e-4, rtol=1e-4)


def test_maps_that_lie_channels_last_and_half_precision() -> None:
    """As training lays them out."""
    x, offset, w, mask = (torch.randn(2, 8, 11, 13), torch.randn(2, 36, 11, 13), torch.randn(6, 8, 3, 3),
                          torch.rand(2, 18, 11, 13))
    want = deform.deform_conv2d(x, offset, w, None, 1, 1, 1, mask)
    last = [v.contiguous(memory_format=torch.channels_last) for v in (x, offset, mask)]
    torch.testing.assert_close(deform.deform_conv2d(last[0], last[1], w, None, 1, 1, 1, last[2]), want,
                               atol=1e-5, rtol=1e-5)
    half = deform.deform_conv2d(x.bfloat16(), offset, w, None, 1, 1, 1, mask)
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.float(), want, atol=0.3, rtol=0.05)


@pytest.mark.parametrize("name,preset", [("r_fcn", "small"), ("deformable_convnets", "small"),
                                         ("deformable_convnets", "faster-small")])
def test_systems_train_channels_last_and_in_bf16(name: str, preset: str) -> None:
    m, b = cards.get(name).spec(preset).build(4).to(memory_format=torch.channels_last), batch()
    with torch.autocast("cpu", torch.bfloat16):
        losses = m.loss(replace(b, images=b.images.contiguous(memory_format=torch.channels_last)))
    total(losses).backward()
    assert all(torch.isfinite(v) for v in losses.values()) and all(p.grad is not None for p in m.parameters())


# ---------------------------------------------------------------- deformable pooling


def pooled_by_loops(x: Tensor, box: list[float], offset: Tensor, size: int, stride: float, samples: int,
                    sensitive: bool) -> Tensor:
    """One region of one picture, point by point, as the published operator has it;
    offsets (C or 1, 2, s, s) in sides."""
    d, h, w = x.shape
    outputs = d // size**2 if sensitive else d
    x1, y1, x2, y2 = (math.floor(v + 0.5) / stride - 0.5 for v in box)
    high, wide = max(y2 - y1, 0.1), max(x2 - x1, 0.1)
    out = torch.zeros(outputs, size, size)
    for c in range(outputs):
        for i in range(size):
            for j in range(size):
                dy, dx = offset[min(c, len(offset) - 1), :, i, j].tolist()
                found = []
                for a in range(samples):
                    for b in range(samples):
                        y = y1 + i * high / size + dy * high + a * high / size / samples
                        z = x1 + j * wide / size + dx * wide + b * wide / size / samples
                        if -0.5 <= y <= h - 0.5 and -0.5 <= z <= w - 0.5:
                            y, z = min(max(y, 0), h - 1), min(max(z, 0), w - 1)
                            m = x[(c * size + i) * size + j] if sensitive else x[c]
                            t, s = math.floor(y), math.floor(z)
                            u, v = min(t + 1, h - 1), min(s + 1, w - 1)
                            top = m[t, s] * (1 - z + s) + m[t, v] * (z - s)
                            found.append(top * (1 - y + t) + (m[u, s] * (1 - z + s) + m[u, v] * (z - s)) * (y - t))
                out[c, i, j] = torch.stack(found).mean() if found else 0.0
    return out


@pytest.mark.oracle("loops over bins", "deformable_convnets")
def test_deformable_pooling_as_by_loops() -> None:
    boxes = some_boxes(2, 2)
    x = torch.randn(2, 8, 10, 13)
    shared, own = 0.2 * torch.randn(2, 2, 2, 2, 2), 0.2 * torch.randn(2, 2, 2, 2, 2, 2)
    plain = deform.deform_roi_pool([x], boxes, shared, 2, (8,))
    place = deform.deform_roi_pool([bins_outside(x, 2)], boxes, shared, 2, (8,), sensitive=True)
    each = deform.deform_ps_roi_pool(bins_outside(x, 2), boxes, own, 2, 8)
    for n in range(2):
        for r in range(2):
            box = boxes[n, r].tolist()
            torch.testing.assert_close(plain[n, r], pooled_by_loops(x[n], box, shared[n, r][None], 2, 8, 4, False),
                                       atol=1e-4, rtol=1e-4)
            torch.testing.assert_close(place[n, r], pooled_by_loops(x[n], box, shared[n, r][None], 2, 8, 4, True),
                                       atol=1e-4, rtol=1e-4)
            torch.testing.assert_close(each[n, r], pooled_by_loops(x[n], box, own[n, r], 2, 8, 4, True),
                                       atol=1e-4, rtol=1e-4)


def test_offsets_of_zero_pool_where_the_bins_are_and_equal_ones_move_the_region() -> None:
    x, boxes = torch.randn(2, 6, 20, 26), torch.tensor([[[32.0, 40, 96, 104], [48, 48, 80, 96]]] * 2)
    still = deform.deform_roi_pool([x], boxes, None, 4, (8,))
    assert torch.equal(still, deform.deform_roi_pool([x], boxes, torch.zeros(2, 2, 2, 4, 4), 4, (8,)))
    offset = torch.zeros(2, 2, 2, 4, 4)
    offset[:, 0, 0], offset[:, 0, 1] = 0.25, -0.5  # of 64 pixels: 16 down, 32 to the left
    moved = boxes + torch.tensor([[-32.0, 16, -32, 16], [0, 0, 0, 0]])
    torch.testing.assert_close(deform.deform_roi_pool([x], boxes, offset, 4, (8,)),
                               deform.deform_roi_pool([x], moved, None, 4, (8,)), atol=1e-5, rtol=1e-5)


def test_one_offset_for_all_outputs_is_the_shared_form_with_the_same_gradients() -> None:
    x, boxes = torch.randn(2, 18, 10, 13, requires_grad=True), some_boxes()
    shared = (0.2 * torch.randn(2, 9, 2, 3, 3)).requires_grad_()
    one = deform.deform_roi_pool([x], boxes, shared, 3, (8,), sensitive=True)
    two = deform.deform_ps_roi_pool(x, boxes, shared[:, :, None].expand(-1, -1, 2, -1, -1, -1), 3, 8)
    torch.testing.assert_close(one, two, atol=1e-4, rtol=1e-4)
    slope = torch.randn_like(one)
    for a, b in zip(*(torch.autograd.grad((v * slope).sum(), (x, shared)) for v in (one, two))):
        torch.testing.assert_close(a, b, atol=2e-3, rtol=1e-3)


def test_the_gradient_of_an_offset_is_the_slope_of_the_map() -> None:
    """On 3 x + 5 y in cells, an offset of one side moves a bin of a region of 8 cells by 24 or 40."""
    ramp = (3 * torch.arange(30.0)[None, :] + 5 * torch.arange(30.0)[:, None]).expand(1, 1, 30, 30)
    offset = torch.zeros(1, 1, 2, 2, 2, requires_grad=True)
    deform.deform_roi_pool([ramp], torch.tensor([[[64.0, 64, 128, 128]]]), offset, 2, (8,)).sum().backward()
    torch.testing.assert_close(offset.grad[0, 0], torch.tensor([40.0, 24.0])[:, None, None].expand(2, 2, 2),
                               atol=1e-3, rtol=1e-4)


def test_each_region_reads_the_level_of_its_size() -> None:
    xs = [torch.randn(1, 3, 32 // 2**i, 32 // 2**i) for i in range(3)]
    boxes = torch.tensor([[[8.0, 8, 24, 24], [10, 10, 60, 60], [0, 0, 120, 120]]])
    got = Bins(3, levels=3, canonical=96.0)(xs, (4, 8, 16), boxes)
    level = level_of(boxes, (4, 8, 16), 96.0)[0].tolist()
    assert len(set(level)) >= 2
    for r, i in enumerate(level):
        torch.testing.assert_close(got[:, r],
                                   deform.deform_roi_pool([xs[i]], boxes[:, r : r + 1], None, 3, (4 * 2**i,))[:, 0])


# ---------------------------------------------------------------- Deformable ConvNets


@pytest.mark.oracle("the net without offsets", "deformable_convnets")
def test_a_net_whose_offsets_are_zero_is_the_net_it_extends() -> None:
    plain = TinyResNet(In((3,), (1,), 1), widths=(8, 8, 16), levels=(1, 2), stride=8)
    of = part(TinyResNet, widths=(8, 8, 16), levels=(1, 2), stride=8)
    m = Deformed(In((3,), (1,), 1), of, r"stages\.2\.\d+\.conv2", 4)
    missing, unexpected = m.body.load_state_dict(plain.state_dict(), strict=False)
    assert not unexpected and missing and all(".offset." in k for k in missing), "the plain net's weights load by name"
    x = torch.rand(2, 3, 64, 80)
    for a, b in zip(plain.eval()(x), m.eval()(x)):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4)
    conv = m.body.stages[2][0].conv2
    assert (isinstance(conv, DeformConv) and conv.offset.out_channels == 72
            and conv.dilation == (2, 2) == conv.offset.dilation)
    m(x)[1].sum().backward()
    assert conv.offset.weight.grad.abs().sum() > 0, "offsets learn though they begin at zero"
    nn.init.constant_(conv.offset.bias, 0.5)
    assert list(reach(m, x).values()) == [pytest.approx(0.5**0.5)]
    with pytest.raises(StemmaError, match="no convolution of TinyResNet is named 'layer4'"):
        Deformed(In((3,), (1,), 1), of, "layer4")


def test_heads_whose_offsets_are_zero_pool_where_the_bins_are() -> None:
    inp, boxes = In((6,), (8,), 3, logits=4), some_boxes(2, 5)
    x = [torch.randn(2, 6, 10, 13)]
    head = DeformVoteHead(inp, 3, 4, 5)
    for layer in (head.reduce[0], head.cls, head.box):
        nn.init.normal_(layer.weight)
    maps = head.prepare(x)
    logits, deltas = head(maps, boxes)
    torch.testing.assert_close(logits, psroi.vote(deform.deform_roi_pool([maps[0]], boxes, None, 3, (8,),
                                                                         sensitive=True)), atol=1e-5, rtol=1e-4)
    nn.init.normal_(head.shift_cls.weight, std=0.5)
    logits2, deltas2 = head(head.prepare(x), boxes)
    assert not torch.allclose(logits, logits2,
                              atol=1e-4) and torch.equal(deltas, deltas2), "classes and box have offsets of their own"
    two = DeformFCHead(inp, Bins(3, levels=1), 8, 1, "agnostic")
    torch.testing.assert_close(two.features(x, boxes), Bins(3, levels=1)(x, (8,), boxes))
    nn.init.normal_(two.shift.bias, std=2.0)
    moved = two.features(x, boxes)
    assert not torch.allclose(moved, Bins(3, levels=1)(x, (8,), boxes), atol=1e-3)
    moved.sum().backward()
    assert two.shift.weight.grad.abs().sum() > 0


@pytest.mark.parametrize("preset", ["paper", "faster", "fpn", "fpn-pool", "rpn", "deeplab"])
def test_every_variant_is_built_with_its_layers(preset: str) -> None:
    card = cards.get("deformable_convnets")
    with torch.device("meta"):
        m = card.spec(preset).build(20)
    layers = [n for n, c in m.named_modules() if isinstance(c, DeformConv)]
    assert len(layers) == {"paper": 3, "faster": 3, "fpn": 13, "fpn-pool": 0, "rpn": 3, "deeplab": 3}[preset]
    groups = {c.offset.out_channels // 18 for c in m.modules() if isinstance(c, DeformConv)}
    assert groups == {"paper": {4}, "faster": {4}, "fpn": {1}, "fpn-pool": set(), "rpn": {4}, "deeplab": {1}}[preset]
    heads = [h for h in getattr(m, "heads", []) if isinstance(h, DeformFCHead | DeformVoteHead)]
    assert len(heads) == (preset in ("paper", "faster", "fpn-pool"))
    rate = {n: g["base_lr"] / card.recipe(preset).lr for g in groups_of(m, card.recipe(preset)) for n in g["names"]}
    if preset == "paper":
        assert (rate["heads.0.reduce.0.weight"] == pytest.approx(3)
                and rate["heads.0.shift_cls.weight"] == rate["backbone.body.layer4.0.conv2.offset.weight"] == 1)
        assert not any(n.startswith(("backbone.body.conv1",
                                     "backbone.body.layer1")) for n in rate), "the stem and the second stage are fixed"
    if preset in ("faster", "fpn-pool"):
        assert rate["heads.0.shift.weight"] == pytest.approx(0.01)
    if preset == "faster":
        assert (m.spec.stages[0].assign.low == 0.1
                and card.spec().stages[0].assign.low == 0), "the two-layer head learns from background near objects"


@pytest.mark.parametrize("preset", ["small", "faster-small", "rpn-small", "deeplab-small"])
def test_every_small_variant_learns_and_predicts(preset: str) -> None:
    m, b = cards.get("deformable_convnets").spec(preset).build(4).train(), batch()
    b = replace(b, targets=replace(b.targets, semantic=torch.randint(0, 4, (2, 64, 64)),
                                   masks=torch.rand(2, 3, 64, 64) > 0.5))
    total(m.loss(b)).backward()
    shifted = {n: p.grad for n, p in m.named_parameters() if "offset" in n or "shift" in n}
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in m.parameters())
    assert sum(float(g.abs().sum()) > 0 for g in shifted.values()) >= len(shifted) // 2
    assert isinstance(m.eval().predict(b.images, b.sizes), SemanticMap if preset.startswith("deeplab") else Detections)
