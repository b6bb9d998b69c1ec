"""RetinaNet and SSD300 against torchvision's: equal random weights, the same pictures,
the same detections and losses."""
from __future__ import annotations

import functools
from collections.abc import Callable

import pytest
import torch
import torchvision
from torch import Tensor, nn

from stemma.core.types import Batch, Targets
from stemma.engine.pictures.import_dense import rename, retinanet_keys, ssd_keys
from stemma.papers.localization import retinanet, ssd
from stemma.skeletons.dense import DenseModel

Pair = tuple[nn.Module, DenseModel]


def spread(convs: list[nn.Module], features: list[Tensor], bias: float) -> None:
    """Scale random heads so that their outputs have deviation 1 (random features would saturate every score and tie
    them all)."""
    with torch.no_grad():
        for conv, x in zip(convs, features):
            conv.bias.zero_()
            conv.weight.div_(conv(x).std())
            conv.bias.fill_(bias)


@functools.cache
def ssd_pair() -> Pair:
    torch.manual_seed(1)
    theirs = torchvision.models.detection.ssd300_vgg16(weights=None, weights_backbone=None).eval()
    with torch.no_grad():
        levels = list(theirs.backbone((torch.rand(1, 3, 300, 300) - 0.5) * 255).values())
    spread(list(theirs.head.classification_head.module_list), levels, 0.0)
    spread(list(theirs.head.regression_head.module_list), levels, 0.0)
    ours = ssd.spec("torchvision").build(90).eval()
    ours.load_state_dict(ssd_keys(theirs.state_dict()))
    return theirs, ours


@functools.cache
def retina_pair() -> Pair:
    torch.manual_seed(2)
    theirs = torchvision.models.detection.retinanet_resnet50_fpn(weights=None, weights_backbone=None).eval()
    with torch.no_grad():
        x = list(theirs.backbone(torch.randn(1, 3, 128, 128)).values())[0]
        for head, last, bias in ((theirs.head.classification_head, "cls_logits", -4.0),
                                 (theirs.head.regression_head, "bbox_reg", 0.0)):
            y = x
            for layer in head.conv:
                layer[0].weight.div_(layer[0](y).std())
                y = layer(y)
            spread([getattr(head, last)], [y], bias)
    ours = retinanet.spec("torchvision").build(91).eval()
    ours.load_state_dict(retinanet_keys(theirs.state_dict()))
    return theirs, ours


def padded(pictures: list[Tensor], mean: tuple[float, ...]) -> tuple[Tensor, Tensor]:
    """One batch with the mean colour beyond each picture, sides a multiple of 32; and the true sizes."""
    h, w = (-(-max(p.shape[i] for p in pictures) // 32) * 32 for i in (1, 2))
    out = torch.tensor(mean)[None, :, None, None].repeat(len(pictures), 1, h, w)
    for o, p in zip(out, pictures):
        o[:, : p.shape[1], : p.shape[2]] = p
    return out, torch.tensor([[float(p.shape[1]), float(p.shape[2])] for p in pictures])


def same(theirs: dict[str, Tensor], ours: dict[str, Tensor], shift: int) -> None:
    assert len(theirs["scores"]) > 20, "too few detections to compare"
    assert len(theirs["scores"]) == len(ours["scores"])
    torch.testing.assert_close(ours["scores"], theirs["scores"], rtol=0, atol=1e-5)
    near = (theirs["scores"][:, None] - ours["scores"]).abs() <= 1e-5  # equal scores may change places
    near &= (theirs["boxes"][:, None] - ours["boxes"]).abs().amax(-1) <= 1e-3
    near &= theirs["labels"][:, None] == ours["labels"] + shift
    assert near.any(1).all() and near.any(0).all()


@pytest.mark.parametrize("size", [(128, 160), (200, 264), (96, 96), (160, 231)])
@pytest.mark.oracle("torchvision's detector, equal weights", "retinanet")
def test_retinanet_detects_the_same(size: tuple[int, int]) -> None:
    theirs, ours = retina_pair()
    theirs.transform.min_size, theirs.transform.max_size = (min(size),), max(size)
    pictures = [torch.rand(3, *size)]
    with torch.no_grad():
        want = theirs(pictures)
    images, sizes = padded(pictures, ours.spec.preprocess.mean)
    got = ours.predict(images, sizes).unpad()
    for a, b in zip(want, got):
        same(a, b, 0)


def test_retinanet_detects_the_same_in_a_padded_batch() -> None:
    theirs, ours = retina_pair()
    theirs.transform.min_size, theirs.transform.max_size = (128,), 512
    pictures = [torch.rand(3, 128, 192), torch.rand(3, 160, 128)]
    with torch.no_grad():
        want = theirs(pictures)
    images, sizes = padded(pictures, ours.spec.preprocess.mean)
    for a, b in zip(want, ours.predict(images, sizes).unpad()):
        same(a, b, 0)


@pytest.mark.parametrize("size", [(300, 300), (240, 320), (411, 200)])
@pytest.mark.oracle("torchvision's detector, equal weights", "ssd")
def test_ssd_detects_the_same(size: tuple[int, int]) -> None:
    theirs, ours = ssd_pair()
    pictures = [torch.rand(3, *size)]
    with torch.no_grad():
        want = theirs(pictures)
        resized = theirs.transform(pictures)[0].tensors * torch.tensor(theirs.transform.image_std)[:, None, None]
    images = resized + torch.tensor(theirs.transform.image_mean)[:, None, None]
    got = ours.predict(images).scale(torch.tensor([[size[0] / 300, size[1] / 300]])).unpad()
    same(want[0], got[0], 1)


def targets(size: tuple[int, int], labels: tuple[int, ...], shift: int) -> tuple[Targets, list[dict[str, Tensor]]]:
    h, w = size
    low = torch.rand(2, len(labels), 2) * torch.tensor([w * 0.5, h * 0.5])
    boxes = torch.cat([low, low + 20 + torch.rand(2, len(labels), 2) * torch.tensor([w * 0.4 - 20, h * 0.4 - 20])], -1)
    names = torch.tensor([labels, labels[::-1]])
    return Targets(boxes, names), [{"boxes": b, "labels": n + shift} for b, n in zip(boxes, names)]


def losses(pair: Pair, size: tuple[int, int], shift: int) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    theirs, ours = pair
    ours_t, theirs_t = targets(size, (3, 41, 7), shift)
    pictures = [torch.rand(3, *size) for _ in range(2)]
    # the outer module alone: without weights theirs has batch norm, which must keep its statistics
    theirs.training = True
    want = theirs([p.clone() for p in pictures], theirs_t)
    theirs.training = False
    images, sizes = padded(pictures, ours.spec.preprocess.mean) if size != (300, 300) else (torch.stack(pictures),
                                                                                            torch.full((2, 2), 300.0))
    got = ours.loss(Batch(images, ours_t, sizes, sizes, torch.arange(2)))
    return want, got


@pytest.mark.parametrize("pair,size,shift", [(retina_pair, (128, 160), 0), (ssd_pair, (300, 300), 1)])
@pytest.mark.oracle("torchvision's losses", "retinanet", "ssd")
def test_losses_on_the_same_targets_agree(pair: Callable[[], Pair], size: tuple[int, int], shift: int) -> None:
    theirs, _ = pair()
    torch.manual_seed(0)  # the same pictures whether the pair is new or was made before
    if shift == 0:
        theirs.transform.min_size, theirs.transform.max_size = (128,), 512
    want, got = losses(pair(), size, shift)
    torch.testing.assert_close(got["cls"], want["classification"], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(got["box"], want["bbox_regression"], rtol=1e-4, atol=1e-5)


def test_published_files_name_the_towers_the_old_way() -> None:
    theirs, ours = retina_pair()
    old = {}
    for k, v in theirs.state_dict().items():
        for head in ("classification_head", "regression_head"):
            for i in range(4):
                k = k.replace(f"head.{head}.conv.{i}.0.", f"head.{head}.conv.{2 * i}.")
        old[k] = v
    assert set(retinanet_keys(old)) == set(ours.state_dict())


def test_a_foreign_weight_is_named() -> None:
    with pytest.raises(KeyError, match="roi_heads.box_head.fc6.weight"):
        retinanet_keys({"roi_heads.box_head.fc6.weight": torch.zeros(1)})
    with pytest.raises(KeyError, match="nose"):
        rename("nose", ())
