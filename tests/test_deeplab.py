"""DeepLab v1 and v2: counts, the identities of dilated convolution, scales, labels at stride 8, rates of the
classifier, windows."""
from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models import resnet50, vgg16

import stemma
from stemma.core.part import In, edit, part
from stemma.core.recipe import Augment
from stemma.core.types import Batch, Sample, StemmaError, Targets
from stemma.data import augment as aug
from stemma.engine.pictures.export import export as stemma_export
from stemma.engine.running.optim import groups_of
from stemma.engine.running.schedule import factor
from stemma.papers.localization import deeplab, fcn
from stemma.papers.localization.deeplab import DeepLab
from stemma.parts.backbones.resnet import ResNet, stage
from stemma.parts.backbones.tiny import TinyResNet
from stemma.parts.backbones.vgg import VGGAtrous
from stemma.parts.maps.decoders import ASPP
from stemma.parts.maps.post import DenseCRF

RGB = In((3,), (1,), 5)


def small(**kw: Any) -> DeepLab:
    return replace(deeplab.spec("small"),
                   **({"backbone": part(TinyResNet, widths=(4, 6, 8), levels=(2,), stride=8), "post": ()} | kw))


def batch(h: int = 65, w: int = 57, classes: int = 4) -> Batch:
    g = torch.Generator().manual_seed(4)
    t = Targets(torch.zeros(2, 0, 4), torch.zeros(2, 0, dtype=torch.long),
                semantic=torch.randint(0, classes, (2, h, w), generator=g))
    sizes = torch.tensor([[h, w]] * 2, dtype=torch.float32)
    return Batch(torch.rand(2, 3, h, w, generator=g), t, sizes, sizes, torch.arange(2))


@pytest.mark.parametrize("fact", deeplab.PAPER.facts, ids=lambda f: f.variant or "paper")
def test_the_published_counts(fact: Any) -> None:
    spec = deeplab.spec(fact.variant or "paper")
    for path, value in fact.sets:
        spec = edit(spec, path, value)
    with torch.device("meta"):
        model = spec.build(fact.classes)
        assert sum(p.numel() for p in model.parameters()) == fact.value
        assert model.coarse(torch.empty(1, 3, 321, 321)).shape == (1, 21, 41, 41)
        assert model(torch.empty(1, 3, 500, 375)).shape == (1, 21, 500, 375)


# ---------------------------------------------------------------- dilated convolution


def test_a_dilated_convolution_is_one_with_holes_filled_by_zeros() -> None:
    x, w = torch.randn(2, 3, 13, 11), torch.randn(4, 3, 3, 3)
    for r in (2, 3):
        holes = torch.zeros(4, 3, 2 * r + 1, 2 * r + 1)
        holes[..., ::r, ::r] = w
        torch.testing.assert_close(F.conv2d(x, w, padding=r, dilation=r), F.conv2d(x, holes, padding=r))


@pytest.mark.parametrize("rate", [2, 4])
def test_a_dilated_stage_is_the_plain_one_on_every_phase(rate: int) -> None:
    """The map of a dilated stage, taken apart into rate^2 phases, is the undilated stage on the phases of its input."""
    torch.manual_seed(0)
    plain, wide = stage(8, 4, 2, 1), stage(8, 4, 2, 1, dilation=rate, first=rate)
    wide.load_state_dict(plain.state_dict())
    x = torch.randn(1, 8, 4 * rate, 5 * rate)
    whole = torch.zeros(1, 16, 4 * rate, 5 * rate)
    for i in range(rate):
        for j in range(rate):
            whole[..., i::rate, j::rate] = plain(x[..., i::rate, j::rate])
    torch.testing.assert_close(wide(x), whole)


@pytest.mark.parametrize("make", [
    lambda s: ResNet(RGB, levels=(3,), stride=s, stride_first=True), lambda s: ResNet(RGB, levels=(3,), stride=s),
    lambda s: TinyResNet(RGB, (4, 6, 8, 10), 2, (3,), s),
], ids=["stride on the 1x1", "stride on the 3x3", "tiny"])
def test_a_stride_removed_and_dilated_for_gives_the_old_map_between_new_cells(make: Any) -> None:
    torch.manual_seed(0)
    coarse, fine = make(32).eval(), make(8).eval()
    fine.load_state_dict(coarse.state_dict())
    assert (coarse.out.strides, fine.out.strides) == ((32,), (8,))
    x = torch.randn(1, 3, 65, 50)
    with torch.no_grad():
        a, b = coarse(x)[0], fine(x)[0]
        torch.testing.assert_close(b[..., ::4, ::4][..., : a.shape[-2], : a.shape[-1]], a, rtol=1e-4, atol=1e-4)


@pytest.mark.oracle("torchvision's dilated ResNet", "deeplab")
def test_dilated_resnet_is_torchvisions() -> None:
    torch.manual_seed(0)
    theirs = resnet50(replace_stride_with_dilation=[False, True, True]).eval()
    ours = ResNet(RGB, levels=(1, 3), stride=8)
    ours.load_state_dict({k: v for k, v in theirs.state_dict()
                          .items() if not k.startswith("fc.") and "tracked" not in k})
    x = torch.randn(1, 3, 65, 65)
    with torch.no_grad():
        y = theirs.maxpool(theirs.relu(theirs.bn1(theirs.conv1(x))))
        want = theirs.layer4(theirs.layer3(theirs.layer2(theirs.layer1(y))))
        torch.testing.assert_close(ours(x)[1], want, rtol=1e-4, atol=1e-4)
    assert ours.out.strides == (8, 8)


def test_vgg_keeps_its_names_and_its_last_pools_keep_the_size() -> None:
    net = VGGAtrous(RGB, 0.125)
    with torch.device("meta"):
        names = {k for k in vgg16(weights=None).state_dict() if k.startswith("features.")}
    assert set(net.state_dict()) == names
    pools = [m for m in net.features if isinstance(m, nn.MaxPool2d)]
    assert [(m.kernel_size, m.stride) for m in pools] == [(3, 2)] * 3 + [(3, 1)] * 2
    assert [m.dilation[0] for m in net.features if isinstance(m, nn.Conv2d)] == [1] * 10 + [2] * 3
    with torch.no_grad():  # pool4's stride: taken, with conv5 undilated, it gives every second cell before pool5
        x, cut = torch.randn(1, 3, 81, 65), len(net.features) - 1
        fine = net.features[:cut](x)
        pools[3].stride = 2
        for m in list(net.features)[24:]:
            if isinstance(m, nn.Conv2d):
                m.dilation, m.padding = (1, 1), (1, 1)
        torch.testing.assert_close(fine[..., ::2, ::2], net.features[:cut](x), rtol=1e-4, atol=1e-5)


def test_aspp_sums_its_branches_and_a_rate_beyond_the_map_is_a_1x1() -> None:
    torch.manual_seed(0)
    inp, x = In((6,), (8,), 3), torch.randn(2, 6, 9, 7)
    plain = ASPP(inp, rates=(1, 2, 9)).eval()
    want = sum(F.conv2d(x, m.weight, m.bias, padding=m.dilation, dilation=m.dilation)
               for m in plain.score)
    torch.testing.assert_close(plain([x]), want)
    far = plain.score[2]
    torch.testing.assert_close(far(x),
                               F.conv2d(x, far.weight[..., 1:2, 1:2], far.bias))
    assert plain.score[0].weight.std().item() == pytest.approx(0.01, rel=0.3)  # type: ignore[operator]
    deep = ASPP(inp, rates=(2, 3), width=5).eval()
    branches = [s(F.relu(b(F.relu(a(x))))) for a, b, s in zip(deep.fc6, deep.fc7, deep.score)]
    torch.testing.assert_close(deep([x]), branches[0] + branches[1])


# ---------------------------------------------------------------- the model


def test_cells_lie_on_every_eighth_pixel() -> None:
    torch.manual_seed(0)
    model, x = small().build(4).eval(), torch.rand(1, 3, 65, 49)
    assert model.corners and model.first == 0
    with torch.no_grad():
        coarse, whole = model.coarse(x), model(x)
        assert coarse.shape[-2:] == (9, 7) and whole.shape[-2:] == (65, 49)
        torch.testing.assert_close(whole[..., ::8, ::8], coarse, rtol=1e-4, atol=1e-5)
        odd = model(x[..., :60, :44])
        assert odd.shape[-2:] == (60, 44)


def test_labels_are_those_of_every_eighth_pixel() -> None:
    model, t = small().build(4), torch.arange(2 * 60 * 49).view(2, 60, 49) % 200
    got = model.sampled(t, torch.zeros(2, 4, 9, 7))
    assert torch.equal(got[:, :8], t[:, ::8, ::8]) and (got[:, 8] == 255).all()  # rows beyond the picture pay nothing
    half = model.sampled(t[:, :49], torch.zeros(2, 4, 4, 4))
    assert torch.equal(half, t[:, :49][:, ::16, ::16])


def test_scales_share_weights_and_the_largest_score_counts() -> None:
    torch.manual_seed(0)
    alike = deeplab.spec().loss  # every label weighs the same
    model, b = small(scales=(1.0, 0.75, 0.5), loss=alike).build(4).eval(), batch(65, 65)
    each = model.each(b.images)
    assert [tuple(y.shape[-2:]) for y in each] == [(9, 9), (7, 7), (5, 5)]
    with torch.device("meta"):
        paper = deeplab.spec().build(21)
        assert [y.shape[-1] for y in paper.each(torch.empty(1, 3, 321, 321))] == [41, 31, 21]
    up = [F.interpolate(y, (9, 9), mode="bilinear", align_corners=True) for y in each]
    torch.testing.assert_close(model.coarse(b.images), torch.maximum(torch.maximum(up[0], up[1]), up[2]))
    one = small(loss=alike).build(4).eval()
    one.load_state_dict(model.state_dict())
    torch.testing.assert_close(one.coarse(b.images), each[0])
    losses, alone = model.loss(b), one.loss(b)
    assert list(losses) == ["pixel", "pixel_100", "pixel_75", "pixel_50"] and list(alone) == ["pixel"]
    torch.testing.assert_close(alone["pixel"], losses["pixel_100"])
    assert b.targets.semantic is not None
    torch.testing.assert_close(alone["pixel"], F.cross_entropy(each[0], b.targets.semantic[:, ::8, ::8]))
    with pytest.raises(StemmaError, match="semantic maps"):
        model.loss(replace(b, targets=replace(b.targets, semantic=None)))


def test_the_crf_acts_on_predictions_alone() -> None:
    torch.manual_seed(0)
    b = batch(40, 40)
    plain, idle, sharp = (small(post=p).build(4).eval()
                          for p in ((), (DenseCRF(smooth=0.0, appearance=0.0),), (DenseCRF(appearance_rgb=20.0),)))
    for m in (idle, sharp):
        m.load_state_dict(plain.state_dict())
    sizes = torch.tensor([[40.0, 40.0], [30.0, 40.0]])
    a, c, d = (m.predict(b.images, sizes) for m in (plain, idle, sharp))
    assert torch.equal(a.labels, c.labels) and (d.labels[1, 30:] == 255).all() and (d.labels[0] < 4).all()
    assert d.scores is not None and a.scores is not None and not torch.allclose(a.scores, d.scores)
    torch.testing.assert_close(d.scores.sum(1), torch.ones(2, 40, 40))
    assert torch.equal(plain.loss(b)["pixel"], sharp.loss(b)["pixel"])


def test_a_lattice_is_no_graph_and_every_pair_is_one(tmp_path: Path) -> None:
    x = torch.rand(1, 3, 24, 24)
    exact = small(post=(DenseCRF(iterations=2, method="exact"),)).build(3).eval()
    assert exact.no_graph == "" and "lattice" in small(post=(DenseCRF(),)).build(3).no_graph
    graph = torch.export.export(Predicts(exact), (x,)).module()
    torch.testing.assert_close(graph(x), exact.predict(x).scores)
    model = stemma.build("deeplab", "small", classes=3)
    with pytest.raises(StemmaError, match="no graph can hold.*lattice"):
        stemma_export(model, tmp_path / "x.pt2", "torch")


class Predicts(nn.Module):
    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.model.predict(x).scores
        return scores


# ---------------------------------------------------------------- training


@pytest.mark.parametrize(("preset", "lr"), [("paper", 2.5e-4), ("vgg-aspp", 1e-3), ("large-fov", 1e-3)])
def test_the_classifier_learns_ten_times_as_fast(preset: str, lr: float) -> None:
    with torch.device("meta"):
        groups = groups_of(deeplab.spec(preset).build(21), deeplab.recipe(preset))
    for g in groups:
        for name in g["names"]:
            head, bias = ".score." in name, name.endswith(".bias")
            times = 10 * (1 + bias) if head else 2 if bias else 1
            assert g["base_lr"] == pytest.approx(lr * times), name
            assert g["weight_decay"] == (0 if bias else 5e-4)


def test_each_preset_has_its_released_models_crf() -> None:
    """(w2, its deviation, w1, its deviations in pixels and colours): v1's script and those of v2's two models."""
    found = {p: deeplab.spec(p).post for p in ("large-fov", "vgg-aspp", "paper")}
    assert {p: (c.smooth, c.smooth_xy, c.appearance, c.appearance_xy, c.appearance_rgb, c.iterations)
            for p, (c,) in found.items() if isinstance(c, DenseCRF)} == {
        "large-fov": (3, 3, 4, 49, 5, 10), "vgg-aspp": (2, 2, 4, 65, 3, 10), "paper": (3, 1, 4, 67, 3, 10)}


def test_the_rate_falls_as_a_power_of_what_is_left() -> None:
    r = deeplab.recipe()
    assert [factor(r, t) for t in (0.0, 0.25, 0.9)] == pytest.approx([1, 0.75**0.9, 0.1**0.9])
    v1 = deeplab.recipe("large-fov")
    assert ([factor(v1, t) for t in (0.1, 0.5, 0.9)] == pytest.approx([1, 0.1, 0.01])
            and (v1.batch, v1.length) == (20, "6000steps"))


def test_pictures_are_scaled_and_cut_to_windows() -> None:
    y, x = np.mgrid[:60, :90]
    image = np.stack([y * 4, x * 2, 0 * x], -1).astype(np.uint8)
    s = Sample(image, (60, 90), np.zeros((0, 4), np.float32), *(np.zeros(0),) * 3,
               semantic=(x // 10).astype(np.uint8))
    seen = set()
    for seed in range(12):
        a = aug.augment(s, np.random.default_rng(seed), Augment(flip=0.0, zoom=(0.5, 1.0, 1.5), window=(48, 72)))
        assert (a.image is not None and a.semantic is not None
                and a.size == (48, 72) == a.image.shape[:2] == a.semantic.shape)
        known = a.semantic != 255
        step = (float(a.image[10, 40, 1]) - a.image[10, 5, 1]) / 70  # pixels of the file a pixel of the window
        seen.add(round(1 / step, 1))
        wide = a.image[..., 1].astype(float) / 2
        assert known.any() and np.abs(wide[known] // 10 - a.semantic[known]).mean() < 0.3
        if step > 1.5:  # a picture of half the size is filled up with the mean colour and ignored labels
            assert not known[30:].any() and not known[:, 45:].any() and (a.image[40, 60] == [124, 116, 104]).all()
    assert seen == {0.5, 1.0, 1.5}
    assert not aug.only_symmetries(Augment(zoom=(1.0,))) and not aug.only_symmetries(Augment(window=(8,)))
    square = aug.cut(s, np.random.default_rng(0), (33, 33), np.zeros(3, np.uint8))
    assert square.size == (33, 33)


def test_fcn_and_deeplab_differ_as_told() -> None:
    changed = [slots for slots, _ in deeplab.PAPER.parents[0].told]
    assert (changed == [("()",), ("scales",), ("backbone",), ("decoder",), ("loss",), ("post",)]
            and deeplab.PAPER.parents[0].paper is fcn.PAPER)
    tensor: Tensor = deeplab.spec("small").build(3)(torch.rand(1, 3, 128, 96))
    assert tensor.shape == (1, 3, 128, 96)
