"""R-CNN and SPP-net: crops, pyramids, SVMs, regressions, against hand computations, PyTorch,
OpenCV's conventions and scikit-learn."""
from __future__ import annotations

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
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import stemma
from engine_help import short
from stemma.core.part import In, part
from stemma.core.recipe import Augment
from stemma.core.types import Batch, StemmaError, Targets
from stemma.data.loader import Loader
from stemma.data.proposals import Proposed
from stemma.data.scenes import Scenes
from stemma.engine.pictures import outside
from stemma.engine.running.optim import groups_of
from stemma.ops import boxes as bx
from stemma.ops.crops import warp, with_context
from stemma.ops.spp import cells_of, pyramid_pool
from stemma.papers.localization import r_cnn, spp_net
from stemma.parts.backbones.alexnet import CaffeNet, NearNorm, ZFNet
from stemma.parts.backbones.pyramid import Scales
from stemma.parts.dense.coders import Delta
from stemma.parts.dense.post import PerClassNMS
from stemma.parts.regions.regions import Regions
from stemma.parts.regions.ridge import Ridge, fit_class, fit_ridge, whiten
from stemma.parts.regions.svm import SVM, Miner, fit_svm, objective
from stemma.parts.windows.views import PyramidPool, Warp
from stemma.skeletons.fitted import Fitted, FittedModel
from stemma.skeletons.fitting import overlap_by_class

torch.set_num_threads(1)
PRESETS = [("r_cnn", "small"), ("spp_net", "small")]


def scenes(count: int = 6, **more: Any) -> Scenes:
    return Scenes(count, size=96, seed=4, **more)


def batches(model: Any, count: int = 4, batch: int = 2) -> list[Batch]:
    recipe = replace(model.recipe, proposals=replace(model.recipe.proposals, kind="jitter", count=64),
                     augment=Augment(flip=0.0))
    data = Proposed(scenes(count), recipe.proposals)
    return list(Loader(data, recipe, train=False, batch=batch, needs=frozenset({"boxes", "proposals"})).epoch(0))


def built(name: str, preset: str = "small", sets: dict[str, Any] | None = None) -> Any:
    torch.manual_seed(0)
    return stemma.build(name, preset=preset, info=scenes().info, sets=sets)


# ---------------------------------------------------------------- counts


def test_published_counts() -> None:
    fact, = r_cnn.PAPER.facts
    with torch.device("meta"):
        net = r_cnn.detector().build(fact.classes)
        assert sum(p.numel() for p in net.parameters()) == fact.value == 56_954_261
        assert net.backbone(torch.empty(1, 3, 227, 227))[0].shape == (1, 256, 6, 6)
        assert net.svm_weight.shape == (20, 4096) and net.ridge_weight.shape == (20, 9216 + 1, 4)
        spp = spp_net.spec().build(20)
    assert isinstance(spp, FittedModel) and spp.ridge_weight.shape == (20, 12_800 + 1, 4)
    assert PyramidPool((1, 2, 3, 6)).bins == 50 and PyramidPool((1, 2, 4)).bins == 21
    for fact in spp_net.PAPER.facts:
        view: Any = spp_net.spec().view
        view = replace(view, levels=dict(fact.sets).get("view.levels", view.levels))
        assert fact.value == (view.bins if "bins" in fact.what else view.bins * 256)


def test_zf_gives_13_cells_of_224_pixels_with_its_first_centre_at_pixel_20() -> None:
    net = ZFNet(In((3,), (1,)))
    assert net(torch.zeros(1, 3, 224, 224))[0].shape == (1, 256, 13, 13)
    assert (net.out.strides, net.out.offsets) == ((16,), (20.5,))
    x = torch.zeros(1, 3, 400, 400, requires_grad=True)
    with torch.no_grad():
        for p in net.parameters():
            p.fill_(0.01)
    y = Chainless(net)(x + 1)
    y[0, 0, 10, 10].backward()
    rows = x.grad[0].abs().sum((0, 2)).nonzero()[:, 0].double()  # type: ignore[index]
    middle = (rows.min() + rows.max() + 1) / 2
    assert abs(middle - (20.5 + 16 * 10)) <= 8  # ties of max pooling move the support by less than a pool
    caffe = CaffeNet(In((3,), (1,)))
    assert caffe.out.offsets == (33.5,) and caffe.out.strides == (32,)


class Chainless(torch.nn.Module):
    """ZF-5 with means for its max pools, so that the gradient shows the whole receptive field."""

    def __init__(self, net: ZFNet):
        super().__init__()
        self.layers = [torch.nn.AvgPool2d(3, 2, ceil_mode=True, count_include_pad=False)
                       if isinstance(m, torch.nn.MaxPool2d) else
                       torch.nn.Identity() if isinstance(m, (torch.nn.ReLU, NearNorm)) else m for m in net.features]

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
        return x


def test_normalisation_within_a_channel() -> None:
    x = torch.randn(1, 2, 4, 5)
    y = NearNorm(3, 0.5, 0.75)(x)
    square = F.pad(x.square(), (1, 1, 1, 1))
    assert torch.allclose(y[0, 1, 2, 3], x[0, 1, 2, 3] / (1 + 0.5 * square[0, 1, 2:5, 3:6].sum() / 9) ** 0.75)


# ---------------------------------------------------------------- crops


def test_context_is_16_pixels_of_the_warped_crop() -> None:
    """R-CNN appendix A: after warping, the box itself covers 227 - 2 x 16 pixels in the middle."""
    box = torch.tensor([[10.0, 20.0, 110.0, 60.0]])
    grown = with_context(box, 227, 16)
    assert torch.allclose(grown[:, 2:] - grown[:, :2], torch.tensor([[100.0, 40.0]]) * 227 / 195)
    inner = (box - grown[:, :2].repeat(1, 2)) / (grown[:, 2:] - grown[:, :2]).repeat(1, 2) * 227
    assert torch.allclose(inner, torch.tensor([[16.0, 16.0, 211.0, 211.0]]))
    square = with_context(box, 227, 16, square=True)
    assert (torch.allclose(square[:, 2:] - square[:, :2], torch.full((1, 2), 100.0 * 227 / 195))
            and torch.allclose(square.mean(1), box.mean(1)))
    assert torch.equal(with_context(box, 227, 0), box)


def test_a_crop_of_whole_pixels_is_the_pixels_and_what_is_outside_is_zero() -> None:
    images = torch.randn(2, 3, 20, 24) + 5
    crops = warp(images, torch.tensor([[4.0, 3.0, 12.0, 11.0], [-4.0, -2.0, 4.0, 6.0], [20.0, 16.0, 28.0, 24.0]]),
                 torch.tensor([0, 1, 1]), 8)
    torch.testing.assert_close(crops[0], images[0, :, 3:11, 4:12])
    torch.testing.assert_close(crops[1, :, 2:, 4:], images[1, :, :6, :4])
    assert (crops[1, :, :2] == 0).all() and (crops[1, :, :, :4] == 0).all()
    torch.testing.assert_close(crops[2, :, :4, :4], images[1, :, 16:, 20:])
    assert (crops[2, :, 4:] == 0).all() and (crops[2, :, :, 4:] == 0).all()


@pytest.mark.oracle("bilinear resizing of torch", "r_cnn")
def test_a_warped_crop_is_a_bilinear_resize() -> None:
    images = torch.randn(1, 3, 40, 40)
    crop = warp(images, torch.tensor([[8.0, 10.0, 24.0, 18.0]]), torch.tensor([0]), 32)
    whole = F.interpolate(images[:, :, 10:18, 8:24], (32, 32), mode="bilinear", align_corners=False)
    # the resize repeats its border, the crop reads on
    torch.testing.assert_close(crop[:, :, 4:-4, 4:-4], whole[:, :, 4:-4, 4:-4], atol=1e-5, rtol=1e-5)


# ---------------------------------------------------------------- the pyramid


@settings(max_examples=40, deadline=None)
@given(st.data())
@pytest.mark.oracle("adaptive pooling of torch", "spp_net")
def test_bins_are_those_of_adaptive_pooling_of_the_window(data: st.DataObject) -> None:
    """SPP-net sec. 2.2: bin i of n is [floor(i w / n), ceil((i + 1) w / n))."""
    h, w = data.draw(st.integers(1, 15)), data.draw(st.integers(1, 15))
    x1, y1 = data.draw(st.integers(0, w - 1)), data.draw(st.integers(0, h - 1))
    x2, y2 = data.draw(st.integers(x1, w - 1)), data.draw(st.integers(y1, h - 1))
    x = torch.randn(2, 3, h, w, generator=torch.Generator().manual_seed(h * 16 + w))
    window, image = torch.tensor([[x1, y1, x2, y2]], dtype=torch.float32), torch.tensor([1])
    part_ = x[1:, :, y1 : y2 + 1, x1 : x2 + 1]
    levels = (1, 2, 3, 6)
    most = torch.cat([F.adaptive_max_pool2d(part_, n).flatten(1) for n in levels], 1)
    mean = torch.cat([F.adaptive_avg_pool2d(part_, n).flatten(1) for n in levels], 1)
    torch.testing.assert_close(pyramid_pool(x, window, image, levels), most)
    half = pyramid_pool(x.bfloat16(), window, image, levels)
    assert half.dtype == torch.bfloat16 and torch.equal(half, pyramid_pool(x.bfloat16().float(), window, image, levels)
                                                        .bfloat16())
    torch.testing.assert_close(pyramid_pool(x, window, image, levels, "avg"), mean, atol=1e-5, rtol=1e-4)


@pytest.mark.oracle("area resizing of torch", "spp_net")
def test_an_average_pyramid_is_the_area_resized_map_flattened_and_its_length_is_fixed() -> None:
    lengths = set()
    for h, w in ((7, 9), (12, 6), (13, 13)):
        x = torch.randn(1, 4, h, w)
        window = torch.tensor([[0.0, 0.0, w - 1, h - 1]])
        got = pyramid_pool(x, window, torch.tensor([0]), (1, 2, 4), "avg")
        torch.testing.assert_close(got, torch.cat([F.interpolate(x, (n, n), mode="area").flatten(1) for n in (1, 2, 4)],
                                                  1), atol=1e-5, rtol=1e-4)
        lengths.add(got.shape)
    assert lengths == {(1, 4 * 21)}


@pytest.mark.oracle("torchvision's roi_pool", "spp_net")
def test_one_level_is_roi_pooling() -> None:
    x = torch.randn(1, 4, 14, 14)
    box = torch.tensor([[3.0, 2.0, 10.0, 9.0]])
    got = pyramid_pool(x, box, torch.tensor([0]), (7,))
    torch.testing.assert_close(got.view(1, 4, 7, 7), tv.roi_pool(x, [box * 16], 7, 1 / 16))


@given(st.floats(0, 300), st.floats(0, 300), st.floats(1, 300), st.floats(1, 300))
@settings(max_examples=100, deadline=None)
def test_a_box_takes_the_cells_whose_centres_it_holds_and_never_none(x: float, y: float, w: float, h: float) -> None:
    """SPP-net appendix A: floor(x / S) + 1 and ceil(x / S) - 1, with the offset of a net that is not padded by half its
    kernels."""
    box = torch.tensor([[x, y, x + w, y + h]], dtype=torch.float32)
    x1, y1, x2, y2 = cells_of(box, 16, 20.5, (13, 13))[0].tolist()
    for low, high, a, b in ((x1, x2, box[0, 0], box[0, 2]), (y1, y2, box[0, 1], box[0, 3])):
        held = [c for c in range(13) if a < 20.5 + 16 * c < b]
        assert 0 <= low <= high <= 12 and low == int(low)
        assert [low, high] == [held[0], held[-1]] if held else low == high
    code = cells_of(box, 16, 20.5, (100, 100), "code", 6.5)[0].tolist()
    first, last = (np.floor((box[0, :2].numpy() - 20.5 + 6.5) / 16 + 0.5),
                   np.ceil((box[0, 2:].numpy() - 20.5 - 6.5) / 16 - 0.5))
    if (last >= first).all() and (first >= 0).all():
        assert code == [*first.tolist(), *last.tolist()]


def test_a_box_is_pooled_at_the_scale_that_makes_it_224_pixels_wide() -> None:
    """spm_expected_scale: 224 min(h, w) / sqrt(area), the nearest of the five short sides."""
    sizes = spp_net.SIZES
    view = PyramidPool(sizes=sizes)
    shares = tuple(s / 1200 for s in sorted(sizes, reverse=True))
    boxes = torch.tensor([[0.0, 0, side, side * ratio] for side in (60, 224, 300, 400, 560, 1100)
                          for ratio in (0.5, 1.0, 2.0)])
    wanted = 224 * 1200 / bx.area(boxes).sqrt()
    expected = (wanted[:, None] - torch.tensor(sorted(sizes, reverse=True))).abs().argmin(1)
    assert torch.equal(view.scale_of(boxes, shares), expected) and len(expected.unique()) >= 4
    trunk = Scales(In((3,), (1,)), part(ZFNet), sizes).eval()
    xs = [torch.full((1, 256, 75, 75), float(k)) for k in range(5)]
    pooled = view(trunk, xs, boxes, torch.zeros(len(boxes), dtype=torch.long))
    assert torch.equal(pooled[:, 0], expected.float()) and pooled.shape == (len(boxes), 12_800)
    alone = view(trunk, xs[3:4], boxes, torch.zeros(len(boxes), dtype=torch.long))  # as in training
    assert (alone == 3).all()


# ---------------------------------------------------------------- SVMs


def problem(n: int = 300, d: int = 20, seed: int = 0) -> tuple[Tensor, Tensor]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, d))
    y = np.where(x @ rng.normal(size=d) + rng.normal(size=n) > 1.5, 1.0, -1.0)
    x *= 20 / np.linalg.norm(x, axis=1).mean()
    return torch.from_numpy(x), torch.from_numpy(y)


@pytest.mark.oracle("scikit-learn's LinearSVC", "r_cnn")
def test_svms_are_liblinears() -> None:
    """rcnn_train.m: .5 |w|^2 + .5 (b / 10)^2 + C (2 sum of positive hinges + sum of negative hinges)."""
    svm = pytest.importorskip("sklearn.svm", reason="an oracle: pip install scikit-learn")
    for n, d in ((300, 20), (40, 90)):  # more examples than features, and fewer
        x, y = problem(n, d, d)
        w, b = fit_svm(x, y, SVM(), tolerance=1e-7)
        oracle = svm.LinearSVC(loss="hinge", C=1e-3, class_weight={1: 2}, intercept_scaling=10, tol=1e-8,
                               max_iter=1_000_000).fit(x.numpy(), y.numpy())
        theirs = torch.from_numpy(oracle.coef_[0]), torch.from_numpy(oracle.intercept_)[0]
        torch.testing.assert_close(objective(x, y, w, b, SVM()), objective(x, y, *theirs, SVM()), rtol=1e-6, atol=0)
        torch.testing.assert_close(w, theirs[0], rtol=1e-3, atol=1e-4)
        torch.testing.assert_close(b, theirs[1], rtol=1e-3, atol=1e-3)


def test_where_it_starts_changes_no_svm_and_one_side_alone_is_fitted() -> None:
    x, y = problem(120, 8, 3)
    w, b = fit_svm(x, y, SVM(), tolerance=1e-7)
    other = fit_svm(x, y, SVM(), (torch.randn(8).double(), torch.tensor(3.0)), tolerance=1e-7)
    torch.testing.assert_close(w, other[0], rtol=1e-4, atol=1e-5)
    assert fit_svm(x.float(), y.float(), SVM())[0].dtype == torch.float32
    w, b = fit_svm(x[y < 0], y[y < 0], SVM())
    assert ((x[y < 0] @ w + b) < 0).all()


def test_mining_ends_where_all_negatives_at_once_would() -> None:
    x, y = problem(3000, 16, 5)
    s = SVM(grow=100)
    miner = Miner(2, 16, s)
    pos, neg = x[y > 0].float(), x[y < 0].float()
    miner.add(pos, torch.zeros(len(pos), dtype=torch.long))
    for few in neg.split(60):
        miner.mine(few, torch.tensor([[0.1, 0.9]]).expand(len(few), 2))
    w, b = miner.finish()
    assert miner.counts[1] < 0.9 * len(neg) and not miner.negatives[1] and (w[1] == 0).all() and miner.fits > 2
    whole = fit_svm(x, y, s)
    assert objective(x, y, w[0].double(), b[0].double(), s) < 1.02 * objective(x, y, *whole, s)


def test_of_the_first_picture_all_negatives_and_then_the_hard_ones() -> None:
    miner = Miner(1, 2, SVM(grow=10**9))
    miner.add(torch.tensor([[20.0, 0.0]]).repeat(5, 1), torch.zeros(5, dtype=torch.long))
    # an IoU of .3 is left out
    miner.mine(torch.tensor([[0.0, 20.0], [0.0, 18.0], [5.0, 5.0]]), torch.tensor([[0.0], [0.29], [0.3]]))
    assert miner.fits == 1 and miner.added == [0]
    margin = lambda v: (torch.tensor([v]) @ miner.weight[0] + miner.bias[0]).item()  # noqa: E731
    easy, hard = [-60.0, 30.0], [15.0, 0.0]
    assert margin(easy) < -1.0001 < margin(hard)
    before = miner.counts[1]
    miner.mine(torch.tensor([easy, hard]), torch.zeros(2, 1))
    assert miner.counts[1] == before + 1 and miner.added == [1] and miner.fits == 1
    miner.finish()
    assert miner.fits == 2


def test_of_negatives_that_lie_on_one_another_the_hardest_is_kept() -> None:
    """SPP-net sec. 4.1: a negative is removed if it overlaps another by more than .7; of each picture and class."""
    boxes = torch.tensor([[0.0, 0.0, 10.0, 10.0], [0.0, 0.0, 10.0, 9.0], [0.0, 0.0, 10.0, 6.0], [40.0, 0.0, 50.0, 10.0]])
    x, overlap = torch.tensor([[1.0], [2.0], [3.0], [4.0]]), torch.tensor([[0.0, 0.0]] * 3 + [[0.0, 0.5]])
    for apart, wanted in ((1.0, [[1, 2, 3, 4], [1, 2, 3]]), (0.7, [[2, 3, 4], [2, 3]])):
        miner = Miner(2, 1, SVM(apart=apart, easy=-9.0, grow=100))
        miner.started, miner.weight = True, torch.full((2, 1), 0.1)
        miner.mine(x, overlap, boxes)
        assert [sorted(torch.cat(rows)[:, 0].tolist()) for rows in miner.negatives] == wanted
    assert isinstance(spp_net.spec(), Fitted) and spp_net.spec().svm == SVM(apart=0.7)  # type: ignore[union-attr]


def test_spp_nets_last_biases_alone_are_spared_from_decay() -> None:
    """pascal_finetune_fc_spm_train.prototxt: biases learn twice as fast, and that of fc8 does not decay."""
    recipe = spp_net.recipe()
    with torch.device("meta"):
        groups = groups_of(spp_net.spec().build(20), recipe)
    decay = {n: (g["base_lr"] / recipe.lr, g["weight_decay"]) for g in groups for n in g["names"]}
    wanted = {f"head.{k}.{n}": (r, 0.0 if (k, n) == ("cls", "bias") else 5e-4) for k in ("body.0", "body.3", "cls")
              for n, r in (("weight", 1.0), ("bias", 2.0))}
    assert decay == wanted


def test_overlap_by_class() -> None:
    iou = torch.tensor([[0.2, 0.7, 0.4, 0.9], [0.0, 0.1, 0.6, 0.9]])
    assert torch.equal(overlap_by_class(iou, torch.tensor([2, 0, 2, -1]), 3),
                       torch.tensor([[0.7, 0.0, 0.4], [0.1, 0.0, 0.6]]))


# ---------------------------------------------------------------- regressions


@pytest.mark.oracle("scikit-learn's Ridge", "r_cnn")
def test_ridge_is_sklearns_with_a_penalised_bias_by_either_way() -> None:
    linear = pytest.importorskip("sklearn.linear_model", reason="an oracle: pip install scikit-learn")
    for n, d in ((200, 12), (9, 40)):
        rng = np.random.default_rng(n)
        x, y = rng.normal(size=(n, d)) * 5, rng.normal(size=(n, 4))
        oracle = linear.Ridge(alpha=1000, fit_intercept=False).fit(np.concatenate([x, np.ones((n, 1))], 1), y)
        torch.testing.assert_close(fit_ridge(torch.from_numpy(x), torch.from_numpy(y), 1000.0),
                                   torch.from_numpy(oracle.coef_.T), rtol=1e-6, atol=1e-10)


def test_whitened_targets_have_covariance_one_up_to_the_floor() -> None:
    y = (torch.randn(500, 4, dtype=torch.float64) @ torch.randn(4, 4, dtype=torch.float64)
         + torch.tensor([1.0, -2, 0.5, 0], dtype=torch.float64))
    mean, forth, back = whiten(y)
    z = (y - mean) @ forth
    cov = z.T @ z / len(z)
    values = torch.linalg.eigvalsh(torch.cov(y.T, correction=0))
    torch.testing.assert_close(torch.linalg.eigvalsh(cov), (values / (values + 0.001)).sort().values)
    torch.testing.assert_close(forth @ back, torch.eye(4, dtype=torch.float64), atol=1e-9, rtol=0)


def test_the_whitening_is_multiplied_into_the_weights() -> None:
    x, y = torch.randn(60, 5), torch.randn(60, 4) * torch.tensor([0.1, 0.2, 0.3, 0.4])
    r = Ridge(weight=3.0)
    weight, mean = fit_class(x, y, r)
    mu, forth, back = whiten(y.double())
    beta = fit_ridge(x, (y.double() - mu) @ forth, 3.0)
    by_hand = torch.cat([x, torch.ones(60, 1)], 1).double() @ beta @ back + mu
    torch.testing.assert_close((torch.cat([x, torch.ones(60, 1)], 1) @ weight + mean).double(), by_hand,
                               atol=1e-5, rtol=1e-4)
    none, still = fit_class(x[:0], y[:0], r)
    assert (none == 0).all() and (still == 0).all()


def test_deltas_decode_to_what_was_encoded() -> None:
    a, b = torch.rand(50, 4) * 50, torch.rand(50, 4) * 50
    a[:, 2:] += a[:, :2] + 1
    b[:, 2:] += b[:, :2] + 1
    torch.testing.assert_close(Delta().decode(a, Delta().encode(a, b)), b, rtol=1e-4, atol=1e-3)


# ---------------------------------------------------------------- the models


def test_a_step_takes_32_objects_and_96_others_from_all_pictures_together() -> None:
    """R-CNN sec. 2.3."""
    stage = r_cnn.detector().stages[0]
    state = torch.cat([torch.ones(50), torch.zeros(400), -torch.ones(9)])[torch.randperm(459)]
    every = Regions(torch.zeros(1, 459, 4), state.long()[None], state.long()[None] * 0, (state >= 0)[None].float(),
                    (state == 1)[None].float())
    place = stage.choose(every, None)[0]
    assert place.shape == (128,) and (state[place] == 1).sum() == 32 and (state[place] == 0).sum() == 96
    assert len(place.unique()) == 128


@pytest.mark.parametrize("name,preset", PRESETS)
def test_fitting_makes_linear_layers_of_the_svms_and_does_not_depend_on_the_batch(name: str, preset: str) -> None:
    found = []
    for size in (1, 2):
        m = built(name, preset).eval()
        said: list[str] = []
        m.fit(lambda m=m, size=size: iter(batches(m, 4, size)), said.append)
        found.append(m)
        assert len(said) == 2 and m.fitted == 1
    a, b = found
    for k in ("svm_weight", "ridge_weight", "long"):
        torch.testing.assert_close(getattr(a, k), getattr(b, k), rtol=2e-2, atol=2e-3)
    batch = batches(a)[0]
    p = batch.targets.proposals
    assert p is not None
    raw = a(batch.images, p)
    xs = a.prepare(batch.images)
    low, top = a.features(xs, p[1, 5:6], torch.tensor([1]))
    layer = torch.nn.Linear(top.shape[1], a.classes)
    layer.weight.data, layer.bias.data = a.svm_weight * 20 / a.long[1], a.svm_bias
    torch.testing.assert_close(raw.scores[1, 5], (2 * layer(top)[0]).sigmoid(), rtol=1e-3, atol=1e-4)
    moved = Delta().decode(p[1, 5],
                           torch.cat([low[0] * 20 / a.long[0], torch.ones(1)]) @ a.ridge_weight[2] + a.ridge_mean[2])
    torch.testing.assert_close(raw.boxes[1, 5, 2], moved, rtol=1e-3, atol=1e-2)


def test_lengths_of_features_are_brought_to_twenty() -> None:
    m = built("spp_net").eval()
    m.fit(lambda: iter(batches(m)), lambda line: None)
    total: list[Tensor] = []
    for b in batches(m):
        p = b.targets.proposals
        assert p is not None
        for i in range(len(p)):
            few = p[i][bx.area(p[i]) > 0]
            total.append(m.features(m.prepare(b.images), few, torch.full((len(few),), i))[1].norm(dim=1))
    assert torch.allclose(m.scales[1] * torch.cat(total).mean(), torch.tensor(20.0), rtol=1e-3)


def moving(spec: Any) -> tuple[Any, Tensor, Tensor]:
    """(a detector of three classes whose regressions push boxes right, down or nowhere, a picture, twenty boxes)."""
    torch.manual_seed(0)
    m = spec.build(3).eval()
    m.ridge_mean.copy_(torch.tensor([[0.3, 0.0, 0.0, 0.0], [0.0, 0.3, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]]))
    images, corner = torch.rand(1, 3, 96, 96), torch.rand(1, 20, 2) * 40
    return m, images, torch.cat([corner, corner + 24], -1)


def test_in_r_cnn_all_proposals_move_and_are_suppressed_where_they_went() -> None:
    """rcnn_test_bbox_regressor.m moves what rcnn_test.m scored, and imdb_eval_voc.m suppresses at .3: once."""
    published = r_cnn.detector()
    assert isinstance(published.post[0], PerClassNMS) and published.post[0].iou == 0.3
    m, images, boxes = moving(replace(r_cnn.detector("small"), first=published.first, post=published.post))
    boxes[:, ::2, 2:] += 16  # large ones go farther, away from those they lay on
    m.ridge_mean.mul_(2)
    with torch.no_grad():
        raw, d = m(images, boxes), m.predict(images, proposals=boxes)
    for c in range(3):
        moved = raw.boxes[0, :, c].clamp(0, 96)
        kept, mine = tv.nms(moved, raw.scores[0, :, c], 0.3), d.labels[0] == c
        torch.testing.assert_close(d.boxes[0][mine], moved[kept])
        torch.testing.assert_close(d.scores[0][mine], raw.scores[0, kept, c])
        assert (kept.tolist() == tv.nms(boxes[0], raw.scores[0, :, c], 0.3).tolist()) == (c == 2)  # which stays in place


def test_in_spp_net_proposals_are_suppressed_and_what_is_left_moves() -> None:
    """spp_test.m and spp_test_bbox_regressor.m: NMS at .3 among the proposals of a class that score -1.5; the boxes
    given out are where the survivors went."""
    published = spp_net.spec()
    assert isinstance(published, Fitted) and published.first is not None and published.first.iou == 0.3
    assert published.first.score == pytest.approx(1 / (1 + math.exp(3)), abs=1e-4)
    m, images, boxes = moving(replace(spp_net.spec("small"), first=replace(published.first, score=0.0),
                                      post=(PerClassNMS(1.0, 0.0, 200),)))
    with torch.no_grad():
        raw, d = m(images, boxes), m.predict(images, proposals=boxes)
    for c in range(3):
        kept = tv.nms(boxes[0], raw.scores[0, :, c], 0.3)
        mine = d.labels[0] == c
        assert 1 < len(kept) == int(mine.sum()) < 20
        torch.testing.assert_close(d.boxes[0][mine], raw.boxes[0, kept, c].clamp(0, 96))
        torch.testing.assert_close(d.scores[0][mine], raw.scores[0, kept, c])


def test_without_svm_and_ridge_the_softmax_names_the_proposals() -> None:
    spec = replace(r_cnn.detector("small"), svm=None, ridge=None)
    m = spec.build(8).eval()
    m.fitted.fill_(1.0)
    boxes = torch.tensor([[[10.0, 10.0, 40.0, 40.0], [20.0, 5.0, 60.0, 50.0]]])
    raw = m(torch.rand(1, 3, 64, 64), boxes)
    torch.testing.assert_close(raw.boxes, boxes[:, :, None].expand(-1, -1, 8, -1))
    assert (raw.scores.sum(-1) < 1).all()


def test_unfitted_it_answers_by_its_softmax_and_fitted_by_its_svms() -> None:
    m = built("r_cnn").eval()
    b = batches(m)[0]
    one = m(b.images, b.targets.proposals).scores
    m.fit(lambda: iter(batches(m)), lambda line: None)
    two = m(b.images, b.targets.proposals).scores
    assert not torch.allclose(one, two)
    m.fitted.zero_()
    torch.testing.assert_close(m(b.images, b.targets.proposals).scores, one)


def test_positives_by_overlap_are_another_rule() -> None:
    m = built("r_cnn", sets={"svm.examples": "proposals", "svm.above": 0.5}).eval()
    said: list[str] = []
    m.fit(lambda: iter(batches(m)), said.append)
    objects = sum(int(b.targets.valid.sum()) for b in batches(m))
    assert int(re.findall(r"([\d,]+) positives", said[0])[0].replace(",", "")) > objects


def test_pictures_without_objects_are_mined() -> None:
    m = built("spp_net").eval()
    empty = [replace(b, targets=replace(b.targets, labels=torch.full_like(b.targets.labels, -1),
                                        boxes=b.targets.boxes * 0)) for b in batches(m)]
    m.fit(lambda: iter(empty), lambda line: None)
    assert torch.isfinite(m.svm_weight).all() and m.fitted == 1
    none = [replace(b, targets=Targets(torch.zeros(2, 0, 4), torch.zeros(2, 0, dtype=torch.long),
                                       proposals=b.targets.proposals)) for b in batches(m)]
    m.fit(lambda: iter(none), lambda line: None)
    assert torch.isfinite(m.loss(none[0])["cls"])


def test_without_proposals_it_says_what_it_wants() -> None:
    m = built("r_cnn").eval()
    with pytest.raises(StemmaError, match="takes its proposals from outside"):
        m.predict(torch.rand(1, 3, 64, 64))


def test_frozen_convolutions_stay_and_the_classifier_starts_them(tmp_path: Path) -> None:
    """SPP-net fine-tunes the fully connected layers alone."""
    recipe = spp_net.recipe()
    assert recipe.lr_mult[0] == (r"^backbone", 0.0)
    with torch.device("meta"):
        for paper, preset in ((p, k) for p in (r_cnn, spp_net) for k in ("paper", "small")):
            whole = "classifier" if preset == "paper" else "classifier-small"
            own, first = ({n: p.shape for n, p in paper.spec(k).build(3).named_parameters()} for k in (preset, whole))
            assert {n for n in own if n not in first or own[n] != first[n]} <= {"head.cls.weight", "head.cls.bias"}
    torch.manual_seed(0)
    m = replace(spp_net.spec("small"), stages=spp_net.spec("small").stages).build(8)
    m.recipe = spp_net.recipe("small")  # type: ignore[assignment]
    awake = [p for n, p in m.named_parameters() if re.search(spp_net.recipe("small").phases[1].train, n)]
    m.loss(batches(m)[0])["cls"].backward()
    assert (len(awake) and all(p.grad is not None for p in awake)
            and not any(n.startswith("backbone") for n, p in m.named_parameters() if any(p is a for a in awake)))


def test_a_whole_picture_is_one_region_of_any_size() -> None:
    m: Any = stemma.build("spp_net", preset="classifier-small", classes=5)
    assert m(torch.rand(2, 3, 96, 96)).shape == m(torch.rand(2, 3, 128, 80)).shape == (2, 5)
    d = m.eval().predict(torch.rand(1, 3, 96, 96))
    assert torch.allclose(d.scores.sum(1), torch.ones(1), atol=1e-5) and (d.boxes.mean(-1) == 48).all()
    padded = F.pad(torch.rand(1, 3, 96, 96), (0, 32))
    assert m.spec.view.levels == (1, 2, 4)
    loss = m.loss(Batch(padded, Targets(torch.zeros(1, 1, 4), torch.tensor([[2]])), torch.tensor([[96.0, 96.0]]),
                        torch.ones(1, 2), torch.zeros(1)))
    torch.testing.assert_close(loss["cls"], -m(padded, torch.tensor([[96.0, 96.0]])).log_softmax(1)[0, 2])


@pytest.mark.parametrize("view", [Warp(48, 4, square=True), Warp(32, 0)])
def test_crops_of_other_shapes_train(view: Warp) -> None:
    m = replace(r_cnn.detector("small"), view=view).build(8)
    m.recipe = r_cnn.recipe("small")  # type: ignore[assignment]
    loss = m.loss(batches(m)[0])["cls"]
    loss.backward()
    assert torch.isfinite(loss)


def test_trained_saved_loaded_and_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEMMA_CACHE", str(tmp_path / "cache"))
    settings_: dict[str, Any] = {"paper": "spp_net", "budget": "6steps", "proposals": "jitter", "save_every": "1steps",
                                 "resume": True, "sets": {"recipe.proposals.count": 48}, "data": scenes(16),
                                 "val": scenes(4, split="val"), "val_every": 0}
    alone = short(tmp_path / "alone", **settings_)
    m: Any = alone.load("last")
    assert m.fitted == 1 and m.recipe.proposals.kind == "jitter" and (m.svm_weight != 0).any()

    class Killed(BaseException):
        pass

    mine = Miner.mine

    def dying(self: Miner, *a: Any) -> None:
        if self.started:
            raise Killed
        mine(self, *a)

    monkeypatch.setattr(Miner, "mine", dying)
    with pytest.raises(Killed):
        short(tmp_path / "killed", **settings_)
    monkeypatch.setattr(Miner, "mine", mine)
    again = short(tmp_path / "killed", **settings_)
    assert (again.path / "last.safetensors").read_bytes() == (alone.path / "last.safetensors").read_bytes()
    found = stemma.predict(alone.path, scenes(2)[0].image, proposals="grid", threshold=0.0)
    assert found[0]["boxes"].shape[1] == 4 and outside.wants(m.recipe)
