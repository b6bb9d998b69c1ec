"""Bilinear filters, grids, crops, tiles, elastic fields and distances, each against what it should equal."""
from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from torch import nn

from stemma.ops.distance import crowded, distance, nearest_two
from stemma.ops.elastic import elastic_field, warp
from stemma.ops.tiles import mirror_index, mirror_pad, overlap_tile
from stemma.parts.maps.upsample import BilinearUp, Grid, bilinear_kernel, fc_to_conv, overlap


@pytest.mark.parametrize("factor", [2, 4, 8, 32])
def test_a_bilinear_deconvolution_is_interpolation_in_the_interior(factor: int) -> None:
    x = torch.randn(2, 3, 6, 5)
    y = BilinearUp(3, factor)(x)
    want = F.interpolate(x, scale_factor=float(factor), mode="bilinear", align_corners=False)
    half = factor // 2
    y = y[..., half:-half, half:-half]
    assert y.shape == want.shape
    inner = slice(factor, -factor)
    torch.testing.assert_close(y[..., inner, inner], want[..., inner, inner], rtol=1e-5, atol=1e-5)
    ones = BilinearUp(1, factor)(torch.ones(1, 1, 5, 5))
    torch.testing.assert_close(ones[..., factor:-factor, factor:-factor], torch.ones(1, 1, 4 * factor, 4 * factor))


def test_fixed_and_learned_filters_begin_alike_and_one_trains() -> None:
    x = torch.randn(1, 4, 5, 5)
    fixed, learned = BilinearUp(4, 2), BilinearUp(4, 2, learn=True)
    torch.testing.assert_close(fixed(x), learned(x))
    assert [p.shape for p in learned.parameters()] == [(4, 1, 4, 4)] and not list(fixed.parameters())
    assert bilinear_kernel(2).sum() == pytest.approx(4.0)


@pytest.mark.parametrize("factor", [2, 8])
def test_upsampling_commutes_with_a_1x1_convolution(factor: int) -> None:
    x, conv = torch.randn(2, 6, 5, 7), nn.Conv2d(6, 4, 1, bias=False)
    torch.testing.assert_close(conv(BilinearUp(6, factor)(x)), BilinearUp(4, factor)(conv(x)), rtol=1e-4, atol=1e-5)


def test_a_fully_connected_layer_is_a_convolution_over_its_whole_map() -> None:
    x, fc = torch.randn(3, 8, 7, 7), nn.Linear(8 * 49, 10)
    y = F.conv2d(x, fc_to_conv(fc.weight, 8), fc.bias)
    torch.testing.assert_close(y[..., 0, 0], fc(x.flatten(1)), rtol=1e-4, atol=1e-5)


def test_shift_and_stitch_is_the_net_without_its_stride() -> None:
    """FCN sec. 3.2: f^2 shifted passes, interlaced, equal one pass without the pool's stride and with the next filter
    dilated by it."""
    first, second = nn.Conv2d(1, 3, 3), nn.Conv2d(3, 2, 3)
    x = torch.randn(1, 1, 21, 21)
    dense = F.conv2d(F.max_pool2d(first(x), 2, 1), second.weight, second.bias, dilation=2)
    stitched = torch.zeros_like(dense)
    for i in range(2):
        for j in range(2):
            y = second(F.max_pool2d(first(x[..., i:, j:]), 2, 2))
            h, w = stitched[..., i::2, j::2].shape[-2:]
            stitched[..., i::2, j::2] = y[..., :h, :w]
    torch.testing.assert_close(stitched, dense, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(dense[..., ::2, ::2], second(F.max_pool2d(first(x), 2, 2))[
        ..., : -(-dense.shape[-1] // 2), : -(-dense.shape[-1] // 2)
    ])


def test_grids_follow_maps_through_layers() -> None:
    """A ramp whose value is the pixel's own coordinate shows where each map lies."""
    x = (torch.arange(64.0) + 0.5).expand(1, 1, 64, 64)
    mean3 = torch.full((1, 1, 3, 3), 1 / 9)
    g, y = Grid(1, 0.5), x
    y, g = F.conv2d(y, mean3), g.conv(3)
    y, g = F.avg_pool2d(y, 2), g.pool()
    y, g = F.conv2d(y, mean3), g.conv(3)
    y, g = F.avg_pool2d(y, 2), g.pool()
    want = g.offset + g.stride * torch.arange(y.shape[-1])
    torch.testing.assert_close(y[0, 0, 0], want)
    up, gu = BilinearUp(1, 2)(y), g.up(2, 4)
    want = gu.offset + gu.stride * torch.arange(up.shape[-1])
    torch.testing.assert_close(up[0, 0, up.shape[-1] // 2, 2:-2], want[2:-2])
    a, b = overlap(x, y.repeat_interleave(4, -1).repeat_interleave(4, -2), 3)
    assert a.shape == b.shape
    with pytest.raises(AssertionError, match="apart"):
        Grid(2, 0.5).shift(Grid(2, 1.5))


# ---------------------------------------------------------------- tiles


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 9), st.integers(0, 30), st.integers(0, 30))
def test_mirroring_goes_on_beyond_the_picture(size: int, before: int, after: int) -> None:
    want = np.pad(np.arange(size), (before, after), mode="reflect")
    assert mirror_index(size, before, after).tolist() == want.tolist()


def test_mirror_pad_agrees_with_torch_and_numpy() -> None:
    x = torch.randn(2, 3, 6, 9)
    torch.testing.assert_close(mirror_pad(x, 3, 4, 2, 5), F.pad(x, (3, 4, 2, 5), mode="reflect"))
    want = np.pad(x.numpy(), ((0, 0), (0, 0), (20, 7), (11, 13)), mode="reflect")
    np.testing.assert_array_equal(mirror_pad(x, 11, 13, 20, 7).numpy(), want)


@pytest.mark.parametrize("together", [1, 4])
def test_tiles_of_a_valid_net_have_no_seams(together: int) -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 3))
    x = torch.randn(2, 3, 19, 23)
    with torch.no_grad():
        torch.testing.assert_close(overlap_tile(net, x, 8, 2, together), net(mirror_pad(x, 2, 2, 2, 2)),
                                   rtol=1e-5, atol=1e-6)
    with pytest.raises(AssertionError, match="a tile of"):
        overlap_tile(nn.Conv2d(3, 2, 3), x, 8, 2)


# ---------------------------------------------------------------- elastic


def test_a_warp_is_scipys_map_coordinates() -> None:
    field = elastic_field(21, 17, sigma=3.0, generator=torch.Generator().manual_seed(1))
    x = torch.rand(1, 2, 21, 17)
    got = warp(x, field)
    ys, xs = np.mgrid[:21, :17] + np.stack([field[0, 1].numpy(), field[0, 0].numpy()])
    for c in range(2):
        want = ndimage.map_coordinates(x[0, c].numpy().astype(np.float64), [ys, xs], order=1, mode="mirror")
        np.testing.assert_allclose(got[0, c].numpy(), want, atol=1e-4)
    filled = warp(x, field, fill=-1.0)
    out = (ys < -0.5) | (ys > 20.5) | (xs < -0.5) | (xs > 16.5)
    assert out.any() and ((filled[0, 0].numpy() == -1) == out).all()


def test_no_displacement_moves_nothing_and_labels_stay_labels() -> None:
    x = torch.randint(0, 5, (1, 1, 12, 15))
    assert torch.equal(warp(x, torch.zeros(1, 2, 12, 15), "nearest"), x)
    field = torch.zeros(1, 2, 12, 15)
    field[:, 0] = 1.0
    assert torch.equal(warp(x, field, "nearest")[..., :-1], x[..., 1:])


def test_the_displacements_have_the_wanted_spread_and_are_smooth() -> None:
    f = elastic_field(65, 65, 10.0, 3, 400, torch.Generator().manual_seed(0))
    assert abs(f[:, :, ::32, ::32].std().item() - 10) < 0.5  # the lattice points keep their own draw
    assert f.diff(dim=-1).abs().max() < 5


# ---------------------------------------------------------------- distance


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 12), st.integers(1, 14), st.integers(1, 14))
def test_the_distance_is_scipys_within_reach(seed: int, reach: int, h: int, w: int) -> None:
    masks = np.random.default_rng(seed).random((2, h, w)) < 0.1
    got = distance(torch.from_numpy(masks), reach).numpy()
    for m, g in zip(masks, got):
        want = ndimage.distance_transform_edt(~m) if m.any() else np.full(m.shape, np.inf)
        want = np.where(want <= reach, want, np.inf)
        np.testing.assert_allclose(g, want, rtol=1e-6)


def test_the_two_nearest_are_different_masks() -> None:
    masks = torch.zeros(1, 3, 5, 20, dtype=torch.bool)
    masks[0, 0, 2, 0], masks[0, 0, 2, 4], masks[0, 1, 2, 10] = True, True, True
    d1, d2 = nearest_two(masks, 15)
    assert d1[0, 2, 2] == 2 and d2[0, 2, 2] == 8  # mask 0 is nearer twice, and counts once
    one = nearest_two(masks[:, :1], 15)
    assert torch.isinf(one[1]).all()


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 6), st.integers(1, 9), st.floats(0.01, 0.4))
def test_the_two_nearest_are_the_least_of_every_distance(seed: int, n: int, reach: int, share: float) -> None:
    masks = torch.from_numpy(np.random.default_rng(seed).random((2, n, 9, 11)) < share)  # masks overlap
    every = torch.cat([distance(masks, reach), torch.full((2, 2, 9, 11), float("inf"))], 1).sort(1).values
    first, second = nearest_two(masks, reach)
    assert torch.equal(first, every[:, 0]) and torch.equal(second, every[:, 1])
    assert torch.equal(crowded(masks), F.max_pool2d(masks.float(), 3, 1, 1).sum(1) > 1)
