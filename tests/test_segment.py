"""Segmenters: FCN and U-Net as published, their identities, losses and tiles."""
from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy import ndimage
from torch import nn

from stemma.core.paper import check_edge
from stemma.core.part import In, edit, part
from stemma.core.types import Batch, Classes, Info, StemmaError, Targets
from stemma.engine.running.checkpoint import start_from
from stemma.ops.tiles import overlap_tile
from stemma.papers.localization import fcn, u_net
from stemma.parts.backbones.vgg_fcn import VGGFCN
from stemma.parts.maps.decoders import Contract, Expand, ScoreSkips
from stemma.parts.maps.losses import BorderCrossEntropy, PixelCrossEntropy, border_weights, class_weights, separated
from stemma.skeletons.segment import Segmenter, SegmenterModel

NARROW = part(Contract, widths=(4, 6, 8), grey=False, dropout=0.0)


def meta(spec: Segmenter, classes: int) -> SegmenterModel:
    with torch.device("meta"):
        return spec.build(classes)


def batch(b: int = 2, h: int = 40, w: int = 48, classes: int = 4, objects: int = 3) -> Batch:
    g = torch.Generator().manual_seed(4)
    masks = torch.zeros(b, objects, h, w, dtype=torch.bool)
    for i in range(objects):
        masks[:, i, 4 + 9 * i : 12 + 9 * i, 5:20] = True
    semantic = torch.randint(0, classes, (b, h, w), generator=g)
    t = Targets(torch.zeros(b, objects, 4), torch.zeros(b, objects, dtype=torch.long), masks=masks, semantic=semantic)
    sizes = torch.tensor([[h, w]] * b, dtype=torch.float32)
    return Batch(torch.rand(b, 3, h, w, generator=g), t, sizes, sizes, torch.arange(b))


# ---------------------------------------------------------------- published counts


@pytest.mark.parametrize("card", [fcn.PAPER, u_net.PAPER])
def test_the_published_parameter_counts(card: Any) -> None:
    counted = [f for f in card.facts if f.what == "parameters"]
    assert counted
    for fact in counted:
        model = meta(card.spec(fact.variant or "paper"), fact.classes)
        assert sum(p.numel() for p in model.parameters()) == fact.value


def test_learned_upsampling_adds_one_filter_a_class() -> None:
    """Sec. 4.3: intermediate layers are learned from the bilinear start, the final one stays bilinear."""
    model = meta(edit(fcn.spec(), "decoder.learn", True), 21)
    assert sum(p.numel() for p in model.parameters()) == 134_362_751 + 21 * (4 * 4 + 4 * 4)
    one = meta(edit(fcn.spec("32s"), "decoder.learn", True), 21)
    assert sum(p.numel() for p in one.parameters()) == 134_346_581


def test_fcns_crops_are_derived() -> None:
    found = {p: meta(fcn.spec(p), 21) for p in ("32s", "16s", "paper")}
    assert {p: (m.decoder.shifts, m.first) for p, m in found.items()} == {"32s": ([19], -19), "16s": ([-5, 27], -27),
                                                                          "paper": ([-5, -9, 31], -31)}


def test_u_net_gives_388_of_572_with_23_convolutions() -> None:
    model = meta(edit(u_net.spec(), "backbone.mirror", False), 2)
    assert model(torch.zeros(1, 3, 572, 572, device="meta")).shape == (1, 2, 388, 388)
    assert model.first == 92 and model.backbone.context == 92 and model.decoder.shifts == [-4, -16, -40, -88]
    assert sum(isinstance(m, (nn.Conv2d, nn.ConvTranspose2d)) for m in model.modules()) == 23
    assert meta(u_net.spec(), 2)(torch.zeros(1, 3, 512, 333, device="meta")).shape == (1, 2, 512, 333)


def test_u_net_drops_out_at_the_two_coarsest_levels() -> None:
    """Sec. 3.1 has "drop-out layers at the end of the contracting path"; the released net has two, and hands the dropped
    level to the way up."""
    torch.manual_seed(0)
    down = Contract(In((3,), (1,), 2), widths=(4, 6, 8), valid=False, grey=False, dropout=0.5)
    x = torch.rand(1, 3, 32, 32)
    kept, dropped = down.eval()(x), down.train()(x)
    assert torch.equal(dropped[0], kept[0])
    on = dropped[1] != 0
    torch.testing.assert_close(dropped[1][on], 2 * kept[1][on])
    assert 0.3 < float(((kept[1] > 0) & on).sum() / (kept[1] > 0).sum()) < 0.7
    assert float((dropped[2] == 0).float().mean()) > float((kept[2] == 0).float().mean()) + 0.1


@pytest.mark.parametrize("preset", ["paper", "small"])
def test_the_lineage_is_told(preset: str) -> None:
    assert check_edge(u_net.PAPER.parents[0], u_net.PAPER, preset) == []


# ---------------------------------------------------------------- the skeleton


SPECS = {
    "fcn": fcn.spec("small"), "u_net": u_net.spec("small"),
    "vgg": Segmenter(part(VGGFCN, widths=(4, 4, 6, 8, 8), depths=(1, 1, 1, 1, 1), fc=10, kernel=3, pad=40),
                     part(ScoreSkips, std=0.1)),
    "vgg same": Segmenter(part(VGGFCN, widths=(4, 4, 6, 8, 8), depths=(1, 1, 1, 1, 1), fc=10, kernel=3, pad=0,
                               norm=True), part(ScoreSkips, std=0.1, levels=2)),
    "valid": Segmenter(NARROW, part(Expand)),
}


@pytest.mark.parametrize("name", SPECS)
@pytest.mark.parametrize("size", [(64, 64), (37, 51), (5, 3)])
def test_logits_cover_pictures_of_any_size(name: str, size: tuple[int, int]) -> None:
    model = SPECS[name].build(4).eval()
    with torch.no_grad():
        assert model(torch.rand(2, 3, *size)).shape == (2, 4, *size)


@pytest.mark.parametrize("name", SPECS)
def test_training_moves_every_parameter(name: str) -> None:
    model = SPECS[name].build(4)
    losses = model.loss(batch())
    assert set(losses) == {"pixel"} and torch.isfinite(losses["pixel"])
    losses["pixel"].backward()
    assert [n for n, p in model.named_parameters() if p.grad is None or not torch.isfinite(p.grad).all()] == []


def test_logits_lie_where_the_picture_is() -> None:
    """A bright square in the middle lights the middle of the score map, whatever was padded and cropped on the way."""
    x = torch.zeros(1, 3, 96, 128)
    x[..., 32:64, 48:80] = 1.0
    for name in ("vgg", "vgg same", "valid"):
        model = SPECS[name].build(1).eval()
        for m in model.modules():
            if isinstance(m, (nn.Conv2d, nn.ConvTranspose2d)):
                nn.init.constant_(m.weight,
                                  1.0 / m.weight[0].numel() if isinstance(m, nn.Conv2d) else 1.0 / m.weight.shape[0])
        with torch.no_grad():
            y = model(x)[0, 0] - model(torch.zeros_like(x))[0, 0]
        ys, xs = torch.arange(96) + 0.5, torch.arange(128) + 0.5
        centre = (float((y.sum(1) * ys).sum() / y.sum()), float((y.sum(0) * xs).sum() / y.sum()))
        assert centre == pytest.approx((48.0, 64.0), abs=0.5), name


def test_a_loss_without_labels_is_zero_and_ignored_pixels_pay_nothing() -> None:
    model, b = SPECS["fcn"].build(4).eval(), batch()
    assert b.targets.semantic is not None
    void = replace(b, targets=replace(b.targets, semantic=torch.full_like(b.targets.semantic, 255)))
    assert model.loss(void)["pixel"] == 0
    part_void = b.targets.semantic.clone()
    part_void[:, 20:] = 255
    one = model.loss(replace(b, targets=replace(b.targets, semantic=part_void)))["pixel"]
    logits = model(b.images)
    want = PixelCrossEntropy(balance=0.5)(logits[:, :, :20], part_void[:, :20])
    torch.testing.assert_close(one, want)
    with pytest.raises(StemmaError, match="semantic maps"):
        model.loss(replace(b, targets=replace(b.targets, semantic=None)))


def test_valid_convolutions_learn_from_the_window_they_see() -> None:
    model = Segmenter(NARROW.but(mirror=False), part(Expand), PixelCrossEntropy()).build(4)
    b = batch(h=60, w=76)
    assert b.targets.semantic is not None
    logits = model(b.images)
    rows, columns = model.window(logits)
    assert (rows, columns) == (slice(20, 40), slice(20, 56)) and logits.shape[-2:] == (20, 36)
    torch.testing.assert_close(model.loss(b)["pixel"], F.cross_entropy(logits, b.targets.semantic[:, rows, columns]))
    labels = model.predict(b.images).labels
    assert ((labels[:, rows, columns] < 4).all() and (labels[:, :20] == 255).all()
            and (labels == 255).sum() == 2 * (60 * 76 - 20 * 36))


def test_predictions_end_where_the_picture_ends() -> None:
    model = SPECS["u_net"].build(4).eval()
    out = model.predict(torch.rand(2, 3, 32, 40), torch.tensor([[32.0, 40.0], [20.0, 11.0]]))
    assert (out.labels[0] < 4).all() and (out.labels[1, :20, :11] < 4).all()
    assert (out.labels[1, 20:] == 255).all() and (out.labels[1, :, 11:] == 255).all()
    assert out.scores is not None
    torch.testing.assert_close(out.scores.sum(1), torch.ones(2, 32, 40))


def test_pictures_do_not_see_each_other() -> None:
    model = SPECS["vgg"].build(4).eval()
    x = torch.rand(2, 3, 40, 40)
    with torch.no_grad():
        torch.testing.assert_close(model(x), torch.cat([model(x[:1]), model(x[1:])]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["fcn", "u_net"])
def test_the_loss_is_one_graph(name: str) -> None:
    model, b = SPECS[name].build(4), batch(h=32, w=32)
    torch._dynamo.reset()
    step = torch.compile(lambda images: model.loss(replace(b, images=images))["pixel"], fullgraph=True, backend="eager")
    torch.testing.assert_close(step(b.images), model.loss(b)["pixel"], rtol=1e-4, atol=1e-4)


# ---------------------------------------------------------------- FCN


@pytest.mark.oracle("one classifier on joined features", "fcn")
def test_a_sum_of_predictions_is_one_classifier_on_joined_features() -> None:
    """FCN sec. 4.2 by linearity: 1x1 scores, upsampled and added = one 1x1 convolution over the upsampled features side
    by side."""
    inp = In((5, 6, 7), (8, 16, 32), 4)
    head = ScoreSkips(inp, levels=3, std=0.3)
    xs = [torch.randn(1, c, 64 // s, 64 // s) for c, s in zip(inp.channels, inp.strides)]
    y = head(xs)

    def widened(i: int) -> torch.Tensor:
        """Level i's features brought to the pixels through the same upsamplings that its scores go through."""
        only = ScoreSkips(In(inp.channels, inp.strides, inp.channels[i]), levels=3)
        for j, conv in enumerate(only.score.values()):
            assert isinstance(conv, nn.Conv2d)
            nn.init.zeros_(conv.weight)
            if j == i:
                conv.weight.data[..., 0, 0] = torch.eye(inp.channels[i])
        return only(xs).detach()

    joined = torch.cat([widened(i) for i in range(3)], 1)
    weight = torch.cat([m.weight for m in head.score.values()], 1)  # type: ignore[misc]
    torch.testing.assert_close(F.conv2d(joined, weight), y, rtol=1e-4, atol=1e-4)


def test_a_finer_net_continues_from_a_coarser_one() -> None:
    """Sec. 4.2: FCN-16s begins as FCN-32s, and what scores pool4 at zero, so that predictions are at first unmodified;
    FCN-8s begins as FCN-16s."""
    torch.manual_seed(0)
    narrow = lambda p: edit(edit(fcn.spec(p), "backbone.widths", (4, 4, 8, 8, 8)), "backbone.fc", 16).build(5)  # noqa: E731
    nets = {p: narrow(p).eval() for p in ("32s", "16s", "paper")}
    for p in nets["32s"].parameters():
        nn.init.normal_(p, std=0.2)
    x = torch.rand(1, 3, 64, 64)
    for coarse, fine, new in (("32s", "16s", 1), ("16s", "paper", 0)):
        told = start_from(nets[fine], nets[coarse])
        assert told["left"] == [f"decoder.score.{new}.bias", f"decoder.score.{new}.weight"]
        one, two = (nets[p].decoder.score["2"](nets[p].backbone(x)[-1]) for p in (coarse, fine))
        assert torch.equal(one, two) and not nets[fine].decoder.score[str(new)].weight.any()  # type: ignore[operator,union-attr]


def test_at_once_scales_the_skips() -> None:
    inp = In((5, 6, 7), (8, 16, 32), 4)
    plain, scaled = ScoreSkips(inp, std=0.3), ScoreSkips(inp, std=0.3, scales=(1e-4, 1e-2, 1.0))
    scaled.load_state_dict(plain.state_dict())
    xs = [torch.randn(1, c, 64 // s, 64 // s) for c, s in zip(inp.channels, inp.strides)]
    torch.testing.assert_close(scaled(xs), plain([xs[0] * 1e-4, xs[1] * 1e-2, xs[2]]))
    assert meta(fcn.spec("at-once"), 21).decoder.scales == (1e-4, 1e-2, 1.0)


@pytest.mark.oracle("torchvision's VGG-16", "fcn")
def test_vgg_takes_a_classifiers_weights() -> None:
    """On a picture of 32 k pixels a classifier's answer is the convolutional net's centre."""
    import torchvision

    small = torchvision.models.VGG(torchvision.models.vgg.make_layers([4, "M", 4, "M", 6, "M", 8, "M", 8, "M"]),
                                   num_classes=3)
    small.classifier = nn.Sequential(nn.Linear(8 * 49, 10), nn.ReLU(), nn.Dropout(), nn.Linear(10, 10), nn.ReLU(),
                                     nn.Dropout(), nn.Linear(10, 3))
    net = VGGFCN(In((3,), (1,), 2), widths=(4, 4, 6, 8, 8), depths=(1, 1, 1, 1, 1), fc=10, kernel=7, pad=1)
    net.load_vgg16(small.state_dict())
    small.eval(), net.eval()
    x = torch.rand(2, 3, 224, 224)
    with torch.no_grad():
        want = F.relu(small.classifier[3](F.relu(small.classifier[0](small.features(x).flatten(1)))))
        got = net(x)[-1]
    assert got.shape == (2, 10, 1, 1)
    torch.testing.assert_close(got.flatten(1), want, rtol=1e-4, atol=1e-5)


def test_heavy_learning_is_the_mean_at_a_rate_times_the_pixels() -> None:
    logits, labels = torch.randn(2, 3, 8, 9), torch.randint(0, 3, (2, 8, 9))
    torch.testing.assert_close(PixelCrossEntropy(normalise=False)(logits, labels),
                               PixelCrossEntropy()(logits, labels) * 72)


# ---------------------------------------------------------------- U-Net


def test_a_convolution_of_joined_maps_is_a_sum_of_convolutions() -> None:
    a, b = torch.randn(1, 4, 9, 9), torch.randn(1, 4, 9, 9)
    conv = nn.Conv2d(8, 5, 3, bias=False)
    left, right = conv.weight[:, :4], conv.weight[:, 4:]
    torch.testing.assert_close(conv(torch.cat([a, b], 1)), F.conv2d(a, left) + F.conv2d(b, right), rtol=1e-4, atol=1e-5)
    tied = torch.cat([left, left], 1)  # then joining is FPN's adding
    torch.testing.assert_close(F.conv2d(torch.cat([a, b], 1), tied), F.conv2d(a + b, left), rtol=1e-4, atol=1e-5)


@pytest.mark.oracle("one pass over the picture", "u_net")
def test_overlapping_tiles_of_u_net_equal_one_pass() -> None:
    whole = Segmenter(NARROW, part(Expand)).build(3).eval()
    tile = Segmenter(NARROW.but(mirror=False), part(Expand)).build(3).eval()
    tile.load_state_dict(whole.state_dict())
    x = torch.rand(1, 3, 90, 70)
    with torch.no_grad():
        torch.testing.assert_close(overlap_tile(tile, x, 32, 20), whole(x), rtol=1e-4, atol=1e-5)
        again = whole.predict_tiled(x, tile=32, context=40)
    one = whole.predict(x)
    assert torch.equal(again.labels, one.labels)
    torch.testing.assert_close(again.scores, one.scores, rtol=1e-4, atol=1e-5)


def cells(seed: int = 0, n: int = 4, side: int = 40) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    masks = np.zeros((n, side, side), bool)
    ys, xs = np.mgrid[:side, :side]
    for i in range(n):
        y, x = rng.integers(4, side - 4, 2)
        masks[i] = (ys - y) ** 2 + (xs - x) ** 2 <= rng.integers(2, 6) ** 2
    return torch.from_numpy(masks)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.oracle("scipy's distance transform", "u_net")
def test_eq_2_border_weights_against_distance_transforms(seed: int) -> None:
    masks = cells(seed)
    d = np.sort(np.stack([ndimage.distance_transform_edt(~m) for m in masks.numpy()]), 0)
    want = 10 * np.exp(-((d[0] + d[1]) ** 2) / (2 * 5.0**2))
    got = border_weights(torch.stack([masks, masks]))[1].numpy()
    np.testing.assert_allclose(got, want, atol=10 * np.exp(-8))
    assert want.max() > 1


def test_padded_objects_and_lone_cells_weigh_nothing() -> None:
    masks = cells(1)[None]
    more = torch.cat([masks, torch.zeros(1, 2, 40, 40, dtype=torch.bool)], 1)
    assert torch.equal(border_weights(masks), border_weights(more))
    assert border_weights(masks[:, :1]).abs().max() == 0
    loss = BorderCrossEntropy()
    logits, labels = torch.randn(1, 2, 40, 40), masks.any(1).long()
    assert torch.isfinite(loss(logits, labels, masks[:, :0])) and torch.equal(loss(logits, labels, masks),
                                                                              loss(logits, labels, more))


def test_the_border_term_is_added_to_the_class_weight() -> None:
    masks = cells(2)[None]
    labels, logits = masks.any(1).long(), torch.randn(1, 2, 40, 40)
    w = class_weights(labels, 2, 1.0) + border_weights(masks)
    want = (F.cross_entropy(logits, labels, reduction="none") * w).sum() / w.sum()
    torch.testing.assert_close(BorderCrossEntropy()(logits, labels, masks), want)


def test_class_weights_give_every_class_of_a_picture_the_same_say() -> None:
    labels = torch.zeros(2, 10, 10, dtype=torch.long)
    labels[0, :2], labels[0, 5:] = 2, 255
    w = class_weights(labels, 4, 1.0)
    assert (w[0, :2].sum() == pytest.approx(w[0, 2:5].sum().item()) and (w[0, 5:] == 0).all()
            and w[0].sum() == pytest.approx(50.0))
    assert torch.equal(w[1], torch.ones(10, 10))
    half = class_weights(labels, 4, 0.5)
    torch.testing.assert_close(half[0], w[0].sqrt())


def test_touching_instances_are_drawn_apart() -> None:
    masks = torch.zeros(1, 2, 6, 12, dtype=torch.bool)
    masks[0, 0, :, 2:6], masks[0, 1, :, 6:10] = True, True
    labels = masks.any(1).long()
    labels[0, 0] = 255
    out = separated(labels, masks, 0)
    assert ((out[0, 1:, 5:7] == 0).all() and (out[0, 1:, 2:5] == 1).all() and (out[0, 1:, 7:10] == 1).all()
            and (out[0, 0] == 255).all())


def test_prepare_finds_the_background_of_cells() -> None:
    pixels = Classes(("background", "nucleus"), things=(False, True))
    info = Info("x", "maps", Classes(("nucleus",)), ("boxes", "masks", "semantic"), semantic=pixels)
    spec = u_net.prepare(u_net.spec("small"), info)
    assert (isinstance(spec.loss, BorderCrossEntropy) and spec.loss.background == 0 and spec.loss.weight > 0
            and "masks" in spec.needs)
    street = Info("y", "maps", Classes(("road", "sky", "car")), ("semantic",))
    assert u_net.prepare(u_net.spec("small"), street) == u_net.spec("small")


def test_every_layer_of_the_published_u_net_starts_with_deviation_root_two_over_n() -> None:
    """Sec. 3; of an up-convolution's weights one cell reaches each output."""
    torch.manual_seed(0)
    down = Contract(In((3,), (1,), 4), widths=(16, 32, 64))
    for m in [*down.modules(), *Expand(down.out).modules()]:
        if isinstance(m, nn.Conv2d | nn.ConvTranspose2d):
            n = m.in_channels * (9 if m.kernel_size == (3, 3) else 1)
            if m.weight.numel() > 500:
                assert float(m.weight.detach().std()) == pytest.approx((2 / n) ** 0.5, rel=0.12)
            assert m.bias is not None and not m.bias.any()
