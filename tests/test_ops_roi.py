"""RoIAlign and RoIPool against torchvision, stored results, and what they must do on ramps;
masks in and out of pictures."""
from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pycocotools.mask as reference
import pytest
import torch
import torch.nn.functional as F
import torchvision.ops as tv
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torchvision.models.detection.roi_heads import paste_masks_in_image, project_masks_on_boxes

from stemma.ops import crops, deform, psroi, roi
from stemma.ops import masks as mk
from stemma.ops.roi import level_of, roi_align, roi_align_levels, roi_pool
from stemma.parts import low_rank

GOLDENS = Path(__file__).parent / "goldens" / "roi.npz"


def some_boxes(b: int, r: int, side: float, beyond: float = 8.0) -> Tensor:
    """Boxes of all sizes, some over the border, one empty and one inside out."""
    centre, size = torch.rand(b, r, 2) * side, torch.exp(torch.rand(b, r, 2) * 4) * side / 64
    boxes = torch.cat([centre - size / 2, centre + size / 2], -1).clamp(-beyond, side + beyond)
    boxes[:, 0] = torch.tensor([5.0, 5, 5, 5])
    boxes[:, 1:2] = torch.tensor([30.0, 40, 12, 41])
    return boxes


def flat(boxes: Tensor) -> Tensor:
    index = torch.arange(len(boxes)).repeat_interleave(boxes.shape[1])[:, None].to(boxes)
    return torch.cat([index, boxes.flatten(0, 1)], 1)


@pytest.mark.parametrize("aligned", [False, True])
@pytest.mark.parametrize("samples", [-1, 2])
def test_stored_results_of_torchvision(aligned: bool, samples: int) -> None:
    stored = np.load(GOLDENS, allow_pickle=False)
    x, rois = torch.from_numpy(stored["feat"]), torch.from_numpy(stored["rois"])
    want = torch.from_numpy(stored[f"roi_align_7_s8_aligned{int(aligned)}_sr{samples}"])
    for i, box in enumerate(rois):
        got = roi_align(x[int(box[0])][None], box[None, None, 1:], 7, 8, samples, aligned)[0, 0]
        torch.testing.assert_close(got, want[i], atol=1e-5, rtol=0)


def test_stored_results_of_roi_pool() -> None:
    stored = np.load(GOLDENS, allow_pickle=False)
    x, rois = torch.from_numpy(stored["feat"]), torch.from_numpy(stored["rois"])
    for i, box in enumerate(rois):
        assert torch.equal(roi_pool(x[int(box[0])][None], box[None, None, 1:], 7, 8)[0, 0],
                           torch.from_numpy(stored["roi_pool_7_s8"])[i])


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 2**20), st.integers(1, 3), st.integers(1, 9), st.integers(1, 13), st.integers(1, 13),
    st.integers(1, 5), st.sampled_from([1, 2, 3]), st.booleans(), st.sampled_from([4, 8, 10]),
)
def test_any_map_and_boxes_as_torchvision(seed: int, b: int, r: int, h: int, w: int, size: int, samples: int,
                                          aligned: bool, stride: int) -> None:
    torch.manual_seed(seed)
    boxes = some_boxes(b, r, float(max(h, w) * stride))
    a = torch.randn(b, 3, h, w, requires_grad=True)
    c = a.detach().clone().requires_grad_()
    got = roi_align(a, boxes, size, stride, samples, aligned, "bag")
    want = tv.roi_align(c, flat(boxes), size, 1 / stride, samples, aligned)
    torch.testing.assert_close(got.flatten(0, 1), want, atol=1e-5, rtol=1e-5)
    weight = torch.randn_like(want)
    (got.flatten(0, 1) * weight).sum().backward()
    (want * weight).sum().backward()
    torch.testing.assert_close(a.grad, c.grad, atol=5e-5, rtol=1e-5)


def test_channels_last_and_bf16_maps() -> None:
    x, boxes = torch.randn(2, 8, 9, 7), some_boxes(2, 6, 60.0)
    want = roi_align(x, boxes, 4, 8)
    torch.testing.assert_close(roi_align(x.to(memory_format=torch.channels_last), boxes, 4, 8), want)
    half = roi_align(x.bfloat16(), boxes, 4, 8)
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.float(), want, atol=0.03, rtol=0.03)


def test_all_levels_in_one_call_as_torchvision() -> None:
    shapes, strides = [(40, 56), (20, 28), (10, 14), (5, 7)], (4, 8, 16, 32)
    xs = [torch.randn(2, 6, *s, requires_grad=True) for s in shapes]
    boxes = some_boxes(2, 40, 200.0, 0.0)[:, 2:]  # no area, no level
    boxes[..., 1::2].clamp_(max=156)
    pool = tv.MultiScaleRoIAlign(["0", "1", "2", "3"], 5, 2, canonical_scale=40)
    want = pool({str(i): x for i, x in enumerate(xs)}, list(boxes), [(160, 224)] * 2)
    assert len(level_of(boxes, strides, 40.0).unique()) == 4
    weight = torch.randn_like(want)
    expected = torch.autograd.grad((want * weight).sum(), xs)
    for method in ("bag", "torchvision"):
        got = roi_align_levels(xs, boxes, 5, strides, 2, False, 40.0, method).flatten(0, 1)
        # on one canvas the boxes lie further from the origin, with fewer digits after the point
        atol = 1e-5 if method == "bag" else 2e-4
        torch.testing.assert_close(got, want, atol=atol, rtol=0)
        for mine, theirs in zip(torch.autograd.grad((got * weight).sum(), xs), expected):
            torch.testing.assert_close(mine, theirs, atol=10 * atol, rtol=1e-5)


def former_pairs(of: Callable[[Tensor, Tensor], Tensor], ys: Tensor, xs: Tensor) -> Tensor:
    """What `of` makes of each cell of one axis and each of the other, bin by bin: the former way, by broadcasting."""
    b, r, s, m = ys.shape
    return of(ys[:, :, :, None, :, None], xs[:, :, None, :, None, :]).reshape(b * r * s * s, m * xs.shape[-1])


def former_gradient(rows: Tensor, weight: Tensor, grad: Tensor, cells: int) -> Tensor:
    """Of a table: every pair adds its weight times the gradient of its bag to the row that it names."""
    each = grad.repeat_interleave(rows.shape[1], 0) * weight.flatten()[:, None]
    return torch.zeros(cells, grad.shape[1]).index_add(0, rows.flatten().long(), each)


def test_the_cells_of_a_bin_are_listed_as_by_broadcasting() -> None:
    torch.manual_seed(0)
    for m, n in ((4, 4), (3, 3), (4, 3)):
        ys, xs = torch.rand(2, 5, 7, m), torch.rand(2, 5, 7, n)
        for of in (torch.add, torch.mul):
            assert torch.equal(roi._pairs(of, ys, xs).reshape(-1, m * n), former_pairs(of, ys, xs))


@pytest.mark.parametrize(("cells", "bags", "n", "dtype"), [
    (40, 60, 9, torch.int32), (120, 60, 16, torch.int64), (80000, 5000, 4, torch.int32), (14, 0, 4, torch.int32),
    (3, 1, 16, torch.int32),  # a bag that reads a row several times
])
def test_pairs_are_listed_row_by_row_in_their_order(cells: int, bags: int, n: int, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    rows, weight = torch.randint(0, cells, (bags, n), dtype=dtype), torch.rand(bags, n)
    bag, first, share = roi._by_row(rows, weight, cells)
    want, order = rows.flatten().sort(stable=True)
    assert torch.equal(bag.long(), order // n) and torch.equal(share, weight.flatten()[order])
    assert torch.equal(first.long(), torch.searchsorted(want, torch.arange(cells, dtype=dtype)))
    if bags:
        table = torch.randn(cells, 6, requires_grad=True)
        out = roi.Bags.apply(table, rows, weight)
        grad = torch.randn_like(out)
        (got,) = torch.autograd.grad(out, table, grad)
        torch.testing.assert_close(got, former_gradient(rows, weight, grad, cells), atol=1e-5, rtol=1e-5)


@pytest.mark.oracle("torchvision's roi_align")
@pytest.mark.parametrize(("b", "p", "h", "w", "side"), [(2, 6, 64, 67, 32), (3, 2, 40, 90, 96), (2, 3, 20, 20, 8)])
def test_crops_are_averaged_as_by_torchvision(b: int, p: int, h: int, w: int, side: int) -> None:
    torch.manual_seed(0)
    images = torch.rand(b, 3, h, w, requires_grad=True)
    half = side / 2 * 2 ** (torch.rand(b, p, 1) * 3 - 1.5)
    middle = torch.rand(b, p, 2) * torch.tensor([w, h])
    boxes = torch.cat([middle - half, middle + half], -1)
    boxes[0, 0] = 0  # of no area, as where nothing was drawn
    assert max(h, w) <= crops.FEW * side
    got = crops.averaged(images, boxes, side)
    want = tv.roi_align(images, flat(boxes), side, 1.0, -1, True)
    assert not got[0].any() and want[1:].any()
    torch.testing.assert_close(got, want, atol=1e-5, rtol=0)
    slope = torch.randn_like(want)
    mine, theirs = (torch.autograd.grad(v, images, slope)[0] for v in (got, want))
    torch.testing.assert_close(mine, theirs, atol=1e-4, rtol=0)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(crops.averaged(images, boxes, side), got)
    with torch.no_grad():  # as an exported graph
        assert torch.equal(crops.averaged(images, boxes, side), want)


def test_crops_of_a_large_picture_are_torchvisions() -> None:
    torch.manual_seed(0)
    images, boxes = torch.rand(2, 3, 50, 30), torch.tensor([[[3.0, 5, 21, 23]], [[-4.0, 20, 40, 64]]])
    assert 50 > crops.FEW * 8
    assert torch.equal(crops.averaged(images, boxes, 8), tv.roi_align(images, flat(boxes), 8, 1.0, -1, True))
    assert crops.averaged(images, boxes[:, :0], 32).shape == (0, 3, 32, 32)


def ramp(h: int, w: int) -> Tensor:
    """3 x + 5 y + 1 in cells, at cell centres."""
    return (3 * torch.arange(w)[None] + 5 * torch.arange(h)[:, None] + 1.0)[None, None].float()


def test_an_affine_ramp_is_read_exactly_at_the_centre_of_each_bin() -> None:
    x, box = ramp(20, 30), torch.tensor([[[24.0, 40.0, 136.0, 96.0]]])
    step = torch.tensor([112 / 7, 56 / 7])
    cx = (24 + (torch.arange(7) + 0.5) * step[0]) / 8 - 0.5
    cy = (40 + (torch.arange(7) + 0.5) * step[1]) / 8 - 0.5
    want = 3 * cx[None] + 5 * cy[:, None] + 1
    torch.testing.assert_close(roi_align(x, box, 7, 8, 2, True)[0, 0, 0], want)


def test_the_legacy_form_reads_half_a_cell_later() -> None:
    x, box = ramp(20, 30), torch.tensor([[[24.0, 40.0, 136.0, 96.0]]])
    torch.testing.assert_close(roi_align(x, box, 7, 8, 2, False) - roi_align(x, box, 7, 8, 2, True),
                               torch.full((1, 1, 1, 7, 7), 0.5 * (3 + 5)))


def test_the_gradient_reaches_the_boxes() -> None:
    """On a ramp, moving the box right by t pixels adds 3 t / stride to every bin."""
    box = torch.tensor([[[24.0, 40.0, 136.0, 96.0]]], requires_grad=True)
    roi_align(ramp(20, 30), box, 4, 8).mean().backward()
    torch.testing.assert_close(box.grad[0, 0], torch.tensor([3 / 16, 5 / 16, 3 / 16, 5 / 16]))


def test_roi_pool_of_one_bin_is_the_maximum_over_the_rounded_inclusive_window() -> None:
    x = torch.randn(1, 2, 12, 15)
    for box in ([3.2, 17.0, 61.9, 80.0], [20.0, 20.0, 23.0, 23.0]):
        x1, y1, x2, y2 = (math.floor(v / 8 + 0.5) for v in box)
        want = x[0, :, y1 : y2 + 1, x1 : x2 + 1].amax((1, 2))
        assert torch.equal(roi_pool(x, torch.tensor([[box]]), 1, 8)[0, 0, :, 0, 0], want)
    near = torch.tensor([[[17.0, 17.0, 60.0, 70.0]]])
    assert torch.equal(roi_pool(x, near, 3, 8), roi_pool(x, near + 2.9, 3,
                                                         8)), "a shift that rounds away changes nothing"
    assert not torch.equal(roi_align(x, near, 3, 8), roi_align(x, near + 2.9, 3, 8))


def test_fpn_levels_change_at_112_224_448() -> None:
    """FPN eq. 1."""
    sides = [10.0, 111.9, 112.1, 223.9, 224.0, 447.9, 448.1, 2000.0]
    boxes = torch.tensor([[[0.0, 0.0, s, s] for s in sides]])
    assert (level_of(boxes, (4, 8, 16, 32))[0] + 2).tolist() == [2, 2, 3, 3, 4, 4, 5, 5]
    assert (level_of(boxes[:, 4:5], (4, 8, 16, 32))[0] + 2).item() == 4 and math.log2((4, 8, 16, 32)[2]) == 4


def test_paste_is_torchvisions_to_the_last_bit() -> None:
    # torchvision fails on a box that begins beyond the picture
    masks, low = torch.rand(30, 28, 28), torch.rand(30, 2) * 78 - 10
    boxes = torch.cat([low, low + torch.rand(30, 2) * 70], 1)
    assert torch.equal(mk.paste(masks, boxes, (70, 90)), paste_masks_in_image(masks[:, None], boxes, (70, 90))[:, 0])


def test_crop_is_torchvisions_and_reads_the_owner_alone() -> None:
    masks, boxes, owner = torch.rand(2, 3, 64, 80) > 0.5, some_boxes(2, 5, 64.0, 0.0), torch.randint(0, 3, (2, 5))
    want = torch.stack([project_masks_on_boxes(m, b, o, 14) for m, b, o in zip(masks, boxes, owner)])
    at = torch.tensor([7, 0, 3, 9])
    assert torch.equal(mk.crop(masks, boxes, owner, 14), want)
    assert torch.equal(mk.crop(masks, boxes, owner, 14, at), want.flatten(0, 1)[at])


def test_run_lengths_as_pycocotools() -> None:
    rng = np.random.default_rng(0)
    for mask in (rng.random((37, 23)) > 0.6, np.zeros((5, 9), bool), np.ones((5, 9), bool), np.eye(6, dtype=bool)):
        code = mk.encode(mask)
        assert code == reference.encode(np.asfortranarray(mask.astype(np.uint8))) and mk.area(code) == mask.sum()
        assert np.array_equal(mk.decode(code), mask)
    assert np.array_equal(mk.decode({"size": [2, 3], "counts": [1, 2, 3]}), np.array([[0, 1, 0], [1, 0, 0]], bool))
    with pytest.raises(ValueError, match="add up to 5"):
        mk.decode({"size": [2, 3], "counts": [5]})


def test_tables_of_one_picture_are_laid_out_by_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """A map of one picture can be seen as rows of channels without being so: bags of that take ten times as long."""
    laid, bags = [], F.embedding_bag

    def noted(rows: Tensor, table: Tensor, *rest: Any, **more: Any) -> Tensor:
        laid.append(table.is_contiguous())
        return bags(rows, table, *rest, **more)

    monkeypatch.setattr(F, "embedding_bag", noted)
    x, boxes = torch.randn(1, 36, 8, 8), torch.tensor([[[4.0, 4, 40, 50], [0, 0, 64, 64]]])
    with torch.no_grad():
        roi.roi_align(x, boxes, 3, 8)
        roi.roi_align_levels([x, x[..., :4, :4]], boxes, 3, (8, 16))
        psroi.ps_roi_pool(x, boxes, 3, 8)
        deform.deform_roi_pool([x], boxes, None, 3, (8,))
        deform.deform_rows([x], torch.tensor([3, 9]), torch.zeros(2, 18), torch.randn(4, 36, 3, 3), padding=1)
    assert len(laid) == 5 and all(laid)


@pytest.mark.parametrize("rank", [0, 2])
def test_a_layer_over_bins_turns_weights_in_the_place_of_bins(rank: int) -> None:
    """Few weights and many regions, and the other way; values and gradients are those of the flattened bins."""
    for regions in (1, 40):
        layer = low_rank.linear(5 * 9, 7, rank)
        x = torch.randn(2, regions, 3, 3, 5).movedim(-1, -3).requires_grad_()
        found, want = low_rank.over_bins(layer, x), layer(x.flatten(-3))
        torch.testing.assert_close(found, want, rtol=1e-5, atol=1e-5)
        slope, asked = torch.randn_like(want), (x, *layer.parameters())
        for a, b in zip(*(torch.autograd.grad(y, asked, slope) for y in (found, want))):
            torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)
