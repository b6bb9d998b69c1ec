"""Position-sensitive pooling against loops, torchvision and stored results; R-FCN and Deformable ConvNets."""
from __future__ import annotations

import functools
import math
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
from stemma.core.part import In, edit
from stemma.core.types import Batch, Targets
from stemma.ops import psroi
from stemma.ops.roi import roi_align
from stemma.parts.backbones.resnet import ResNet
from stemma.parts.position_heads import PositionAlign, PositionMaps, PositionMean, VoteHead
from stemma.parts.sample import draw

GOLDENS = Path(__file__).parent / "goldens" / "positions.npz"
PAPERS = ("r_fcn",)


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
    return Batch(torch.rand(images, 3, 64, 64), Targets(boxes, torch.randint(0, 4, (images, objects))), size, size, torch.arange(images))


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
    assert found[fact.what] == fact.value


# ---------------------------------------------------------------- pooling


@pytest.mark.parametrize("size", [1, 2, 3])
def test_the_mean_of_each_bin_over_its_own_map_as_by_loops(size: int) -> None:
    x, boxes = torch.randn(2, 2 * size**2, 10, 13, dtype=torch.float32, requires_grad=True), some_boxes()
    got, want = psroi.ps_roi_pool(x, boxes, size, 8), by_loops(x.detach(), boxes, size, 8)
    torch.testing.assert_close(got, want, atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(psroi.ps_roi_pool(bins_outside(x, size), boxes, size, 8, bins_first=True), want, atol=1e-6, rtol=1e-6)


def test_the_integral_image_gives_the_same_with_the_same_gradient() -> None:
    """What a traced graph and a GPU compute."""
    x, boxes = torch.randn(2, 18, 10, 13, requires_grad=True), some_boxes()
    at = torch.floor(boxes + 0.5) / 8
    edges = (*psroi._edges(at[..., 1], at[..., 3], 3, 10), *psroi._edges(at[..., 0], at[..., 2], 3, 13))
    found = [f(x, 3, False, *edges) for f in (psroi._by_bags, psroi._by_integral)]
    torch.testing.assert_close(*found, atol=1e-6, rtol=1e-6)
    weight = torch.randn_like(found[0])
    torch.testing.assert_close(*(torch.autograd.grad((f * weight).sum(), x)[0] for f in found), atol=1e-6, rtol=1e-6)


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
    assert tv.ps_roi_pool(x, flat(inner), 1, 1 / 8).item() == x[..., 1:3, 1:3].mean().item() == psroi.ps_roi_pool(x, inner, 1, 8).item()
    assert tv.roi_pool(x, flat(inner), 1, 1 / 8).item() == x[0, 0, 3, 3].item(), "roi_pool takes the cell of the last corner too"


def test_alignment_is_torchvisions_with_its_gradient() -> None:
    boxes = some_boxes()
    for samples in (1, 2, 3):
        x = torch.randn(2, 18, 10, 13, requires_grad=True)
        got = psroi.ps_roi_align(x, boxes, 3, 8, samples).flatten(0, 1)
        want = tv.ps_roi_align(x, flat(boxes), 3, 1 / 8, samples)
        torch.testing.assert_close(got, want, atol=1e-5, rtol=1e-5)
        weight = torch.randn_like(want)
        torch.testing.assert_close(*(torch.autograd.grad((v * weight).sum(), x, retain_graph=True)[0] for v in (got, want)), atol=1e-5, rtol=1e-5)
        last = psroi.ps_roi_align(bins_outside(x, 3), boxes, 3, 8, samples, bins_first=True)
        torch.testing.assert_close(last.flatten(0, 1), want, atol=1e-5, rtol=1e-5)


def test_stored_results_of_torchvision() -> None:
    stored = np.load(GOLDENS, allow_pickle=False)
    x, rois = torch.from_numpy(stored["feat"]), torch.from_numpy(stored["rois"])
    h, w = x.shape[-2:]
    inside = 0
    for i, roi in enumerate(rois):
        one, box = x[int(roi[0])][None], roi[None, None, 1:]
        torch.testing.assert_close(psroi.ps_roi_align(one, box, 3, 8)[0, 0], torch.from_numpy(stored["ps_roi_align_3_s8_sr2"])[i], atol=1e-5, rtol=0)
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
    """R-FCN: k = 1 is the mean of an FCN's map over the region; k^2 equal maps vote for the mean of the region's bins."""
    x, box = torch.randn(1, 2, 12, 12), torch.tensor([[[16.0, 24, 64, 72]]])
    mean = x[:, :, 3:9, 2:8].mean((2, 3))
    torch.testing.assert_close(psroi.vote(psroi.ps_roi_pool(x, box, 1, 8))[0], mean)
    torch.testing.assert_close(psroi.vote(psroi.ps_roi_pool(x.repeat_interleave(9, 1), box, 3, 8))[0], mean)
    torch.testing.assert_close(psroi.vote(psroi.ps_roi_align(x, box, 1, 8))[0], roi_align(x, box, 1, 8)[0, :, :, 0, 0])


def test_the_vote_is_the_mean_of_the_assembled_window() -> None:
    """InstanceFCN copies each bin from its own map; R-FCN's vote is the mean of what is assembled, where bins have equal areas."""
    x, side = torch.randn(1, 9, 14, 14), 9
    assembled = x.new_zeros(side, side)
    for i in range(3):
        for j in range(3):
            assembled[3 * i : 3 * i + 3, 3 * j : 3 * j + 3] = x[0, 3 * i + j, 2 + 3 * i : 5 + 3 * i, 4 + 3 * j : 7 + 3 * j]
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
    torch.testing.assert_close(logits, op(F.conv2d(x, head.cls.weight, head.cls.bias), boxes, pool.size, 16).mean((3, 4)))
    torch.testing.assert_close(deltas[:, :, 0], op(F.conv2d(x, head.box.weight, head.box.bias), boxes, pool.size, 16).mean((3, 4)))


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
    monkeypatch.setattr(PositionMaps, "forward", lambda self, x, count=None: (calls.append(1), plain(self, x, count))[1])
    m.loss(batch())
    assert len(calls) == 2
    m.eval().predict(batch().images)
    assert len(calls) == 4


def test_the_fifth_stage_keeps_the_stride_and_is_dilated() -> None:
    with torch.device("meta"):
        m = cards.get("r_fcn").spec().build(20)
        assert isinstance(m.backbone, ResNet) and m.out.strides == (16, 16) and m.out.channels == (1024, 2048)
        last = [b.conv2 for b in m.backbone.layer4]
        assert [(c.dilation, c.padding, c.stride) for c in last] == [((2, 2), (2, 2), (1, 1))] * 3 and m.backbone.layer4[0].conv1.stride == (1, 1)
        assert m.rpn_head.conv[0].in_channels == 1024 and m.rpn_head.conv[0].out_channels == 512 and m.heads[0].reduce[0].in_channels == 2048
        assert m(torch.empty(1, 3, 608, 1008)).rpn.logits.shape == (1, 38 * 63 * 9, 2)
        assert cards.get("r_fcn").spec("coco").rpn.anchors.counts(1) == (12,)


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
