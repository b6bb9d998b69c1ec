"""The layouts in which backbones' weights are handed around, each read into torchvision's names.

    recognised(state)    what a state dict is: torchvision's or timm's ResNet, VGG, GoogLeNet or AlexNet, the trunk of
                         torchvision's FCN and DeepLab, a ResNet as detectron2 names it
    keep, kept           a backbone as a file of ours, which says what it means
    darknet(path, body)  a file of Darknet's, whose numbers stand in the order of the layers

A file may fit by its shapes and mean another net: MSRA's ResNets, which Caffe's detectors began from, have their
strides on the first 1x1 of a block, torchvision's on the 3x3. `Source` says which, and for which colours it is.
"""
from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from ...core.part import In
from ...core.sentence import many
from ...core.types import StemmaError
from ...parts.backbones.darknet import Darknet19, Darknet53
from ...parts.necks import ConcatPyramid, Passthrough
from ...parts.preprocess import UNIT, Preprocess
from . import checkpoint

State = dict[str, Tensor]
Kind = Literal["resnet", "vgg", "googlenet", "alexnet", "darknet", "timm"]
PREFIXES = ("module.", "backbone.body.", "backbone.bottom_up.", "backbone.", "model.")
DEPTHS: dict[tuple[int, ...], int] = {(3, 4, 6, 3): 50, (3, 4, 23, 3): 101, (3, 8, 36, 3): 152}
VGGS = {8: 11, 10: 13, 13: 16, 16: 19}  # convolutions -> the net's name
CAFFE = Preprocess((123.675 / 255, 116.28 / 255, 103.53 / 255), (1 / 255,) * 3)  # detectron2's for MSRA's weights
DARKNETS: dict[str, type[Darknet19] | type[Darknet53]] = {"darknet19": Darknet19, "darknet53": Darknet53}
HALF = Preprocess((0.5,) * 3, (0.5,) * 3)  # torchvision's GoogLeNet


@dataclass(frozen=True)
class Source:
    """Weights of one net under torchvision's names (channels of colour as R, G, B)."""

    net: str  # "resnet50", "resnet101-caffe", "vgg16", "vgg16-bn", "googlenet", "alexnet", "darknet53"
    kind: Kind
    says: str  # in words, for people
    state: State
    colours: Preprocess = Preprocess()
    stride_first: bool = False  # of a ResNet: strides on the first 1x1
    left: tuple[str, ...] = field(default=())  # what the file holds besides


def recognised(state: State) -> Source:
    """What a state dict is, by its names. Raises `StemmaError` where it is of no layout that is known."""
    for prefix in PREFIXES:
        inside = {k[len(prefix):]: v for k, v in state.items() if k.startswith(prefix)}
        if inside and (found := _named(inside)) is not None:
            rest = tuple(k for k in state if not k.startswith(prefix))
            return replace(found, left=found.left + rest)
    if (found := _named(state)) is not None:
        return found
    some = ", ".join(list(state)[:3])
    raise StemmaError(f"these weights are of no layout that is known here (names like {some}); known are torchvision's "
                      "and timm's ResNet-50, -101 and -152, VGG, GoogLeNet and AlexNet, and detectron2's ResNets")


def _named(state: State) -> Source | None:
    if "stem.conv1.weight" in state and any(k.startswith("res2.") for k in state):
        state = {_from_detectron2(k): v for k, v in state.items()}
    if "conv1.weight" in state and "layer1.0.conv1.weight" in state:
        return _resnet(state)
    if "conv1.conv.weight" in state and "inception3a.branch1.conv.weight" in state:
        own = {k: v for k, v in state.items() if re.match(r"conv\d\.|inception", k)}
        return Source("googlenet", "googlenet", "torchvision's GoogLeNet", own, HALF, left=_less(state, own))
    first = state.get("features.0.weight")
    if first is not None and first.shape[1:] == (3, 3, 3):
        return _vgg(state)
    if first is not None and first.shape == (64, 3, 11, 11):
        own = {k: v for k, v in state.items() if not k.startswith("classifier.6")}
        return Source("alexnet", "alexnet", "torchvision's AlexNet", own, left=_less(state, own))
    return None


def _less(state: State, own: State) -> tuple[str, ...]:
    return tuple(k for k in state if k not in own and not k.endswith("batches_tracked"))


def _from_detectron2(key: str) -> str:
    """torchvision's name for one of detectron2's: stem.conv1.norm.weight -> bn1.weight, res2.0.shortcut ->
    layer1.0.downsample."""
    key = re.sub(r"^stem\.", "", key)
    key = re.sub(r"^res(\d)\.", lambda m: f"layer{int(m[1]) - 1}.", key)
    key = re.sub(r"shortcut\.norm\.", "downsample.1.", key)
    key = re.sub(r"shortcut\.", "downsample.0.", key)
    return re.sub(r"conv(\d)\.norm\.", r"bn\1.", key)


def _resnet(state: State) -> Source:
    blocks = tuple(len({k.split(".")[1] for k in state if k.startswith(f"layer{i}.")}) for i in (1, 2, 3, 4))
    if "layer1.0.conv3.weight" not in state:
        raise StemmaError(f"these weights are of a ResNet of basic blocks ({sum(blocks) * 2 + 2} layers); the systems "
                          "here stand on ResNet-50, -101 or -152, whose blocks are bottlenecks")
    depth = DEPTHS.get(blocks) or DEPTHS.get((*blocks[:3], 3))
    if depth is None or state["layer1.0.conv2.weight"].shape[:2] != (64, 64):
        raise StemmaError(f"these weights are of a ResNet with stages of {blocks} blocks, the first "
                          f"{tuple(state['layer1.0.conv2.weight'].shape[:2])} wide; known are ResNet-50, -101 and "
                          "-152, 64 wide and without groups (no ResNeXt, no wide ResNet)")
    own = {k: v for k, v in state.items()
           if re.match(r"(conv1|bn1|layer\d)\.", k) and not k.endswith("batches_tracked")}
    norms = sorted({k.rpartition(".")[0] for k in own if k.endswith(".bias")})
    caffe = folded(own, norms) and not any(k.endswith("batches_tracked") for k in state)
    for n in norms:  # a file of scales and shifts alone
        own.setdefault(f"{n}.running_mean", torch.zeros_like(own[f"{n}.bias"]))
        own.setdefault(f"{n}.running_var", torch.ones_like(own[f"{n}.bias"]))
    if not caffe:
        return Source(f"resnet{depth}", "resnet", f"ResNet-{depth} as torchvision and timm train it, strides on the "
                      "3x3", own, left=_less(state, own))
    own["conv1.weight"] = own["conv1.weight"].flip(1)  # B, G, R
    return Source(f"resnet{depth}-caffe", "resnet", f"ResNet-{depth} as MSRA trained it for Caffe, strides on the "
                  "first 1x1", own, CAFFE, True, _less(state, own))


def folded(state: State, norms: list[str]) -> bool:
    """Whether batch norms have no statistics of their own: none in the file, or means of 0 and variances all alike.
    MSRA's were folded into scales and shifts when they were converted."""
    means = [state[k] for n in norms if (k := f"{n}.running_mean") in state]
    spread = [state[k] for n in norms if (k := f"{n}.running_var") in state]
    return not means or (not any(bool(m.any()) for m in means) and all(bool((v == v[0]).all()) for v in spread))


def _vgg(state: State) -> Source:
    """Also timm's, whose fully connected layers are convolutions with names of their own."""
    for theirs, ours in (("pre_logits.fc1", "classifier.0"), ("pre_logits.fc2", "classifier.3")):
        for leaf in ("weight", "bias"):
            if (k := f"{theirs}.{leaf}") in state:
                state = {**state, f"{ours}.{leaf}": state[k].flatten(1) if leaf == "weight" else state[k]}
                del state[k]
    convs = [k for k, v in state.items() if k.startswith("features.") and v.ndim == 4]
    name = VGGS.get(len(convs))
    if name is None:
        raise StemmaError(f"these weights are named as a VGG's are, and none of VGG-11, -13, -16 and -19 has their "
                          f"{many(len(convs), 'convolution')}")
    norm = "features.1.running_mean" in state
    own = {k: v for k, v in state.items() if re.match(r"features\.|classifier\.[03]\.", k)}
    return Source(f"vgg{name}{'-bn' * norm}", "vgg", f"VGG-{name}{' with batch norm' * norm} as torchvision and timm "
                  "train it", own, left=_less(state, own))


def darknet(path: Path, body: nn.Module) -> Source:
    """Darknet's file of weights for the convolutions of `body`, in their order: of each its shifts, scales, means,
    variances and weights (`load_convolutional_weights` of its source). The file may end after any of them, may end
    with a classifier of 1,000 classes, and may be of the whole detector. Raises `StemmaError` for another length."""
    raw = np.fromfile(path, np.uint8)
    major, minor = (int(v) for v in raw[:8].view(np.int32)) if len(raw) > 20 else (0, 0)
    values = torch.from_numpy(raw[20 if major * 10 + minor >= 2 else 16:].copy().view(np.float32)
                              if len(raw) % 4 == 0 else np.zeros(0, np.float32))
    convs = [(n, m) for n, m in body.named_modules() if isinstance(m, nn.Conv2d)]
    norms = [n for n, m in body.named_modules() if isinstance(m, nn.BatchNorm2d)]
    if len(norms) != len(convs):
        raise StemmaError(f"{path} has batch norms, as Darknet's files have, and this backbone has none")
    state, at = {}, 0
    for (name, conv), norm in zip(convs, norms):
        c = conv.out_channels
        if at + 4 * c + conv.weight.numel() > len(values):
            break
        for leaf in ("bias", "weight", "running_mean", "running_var"):
            state[f"{norm}.{leaf}"] = values[at : at + c].clone()
            at += c
        state[f"{name}.weight"] = values[at : at + conv.weight.numel()].view_as(conv.weight).clone()
        at += conv.weight.numel()
        if not (state[f"{norm}.running_var"] >= 0).all():
            raise StemmaError(f"{path} has variances below 0 where this backbone's are; it is of another net")
    wide, rest = convs[-1][1].out_channels, len(values) - at
    if not state or rest not in (0, 1000 * (wide + 1)) and not (at == _numbers(body) and _of_detector(body, rest)):
        raise StemmaError(f"{path} holds {len(values):,} numbers, which end within a layer of this backbone; it is of "
                          "another net")
    return Source("darknet", "darknet", f"Darknet's weights of {len(state) // 5} convolutions", state, UNIT)


def of_darknet(path: Path, net: str) -> Source:
    """A file of Darknet's as a backbone of ours, "darknet19" or "darknet53", in all its layers. Raises `StemmaError`
    for a file of another net, or of a part of this one."""
    body = DARKNETS[net](In((3,), (1,)), levels=(3,))
    source = darknet(path, body)
    whole = sum(isinstance(m, nn.Conv2d) for m in body.modules())
    if len(source.state) < 5 * whole:
        raise StemmaError(f"{path} holds {len(source.state) // 5} of {net}'s {whole} convolutions")
    return replace(source, net=net)


def _numbers(body: nn.Module) -> int:
    """Numbers that Darknet writes of a net: its weights, and the statistics of its norms."""
    return sum(p.numel() for p in body.parameters()) + sum(2 * m.num_features for m in body.modules()
                                                           if isinstance(m, nn.BatchNorm2d))


def _of_detector(body: nn.Module, rest: int) -> bool:
    """Whether so many numbers after a backbone are the neck and the last layers of its detector, YOLOv3 or YOLOv2 and
    YOLO9000, of whatever number of classes."""
    with torch.device("meta"):
        if isinstance(body, Darknet53):  # three boxes of five numbers and the classes on each of three maps
            after = [(_numbers(ConcatPyramid(In((256, 512, 1024), (8, 16, 32)))), 3 * (256 + 512 + 1024 + 3))]
        elif isinstance(body, Darknet19):
            after = [(_numbers(Passthrough(In((512, 1024), (16, 32)))), 1025), (0, 1025)]
        else:
            return False
    return any(rest - neck >= 6 * unit and (rest - neck) % unit == 0 for neck, unit in after)


# ---------------------------------------------------------------- where people get them, and files of ours

WHERE = {  # net -> a file of it
    "resnet": "torchvision: torch.save(torchvision.models.{net}(weights='DEFAULT').state_dict(), '{net}.pth'), or "
              "timm's {net}, or a trunk of torchvision's FCN, DeepLab or detectors",
    "caffe": "detectron2's ImageNetPretrained/MSRA (R-50.pkl, R-101.pkl), whose arrays are first saved as tensors: "
             "torch.save({{k: torch.from_numpy(v) for k, v in pickle.load(open('R-101.pkl', 'rb'), encoding='latin1')"
             "['model'].items()}}, 'R-101.pth')",
    "vgg": "torchvision: torch.save(torchvision.models.{net}(weights='DEFAULT').state_dict(), '{net}.pth'), or timm's",
    "alexnet": "torchvision: torch.save(torchvision.models.alexnet(weights='DEFAULT').state_dict(), 'alexnet.pth')",
    "googlenet": "torchvision's googlenet, with --set {path}.form=torchvision, which gives the net its layers",
    "caffenet": "Caffe's own file has a layout that is not read here; torchvision's alexnet goes in with --set "
                "{path}.form=torchvision",
    "zf": "no library hands it out in a layout that is read here",
    "darknet19": "Darknet's own darknet19_448.conv.23, as it is",
    "darknet53": "Darknet's own darknet53.conv.74 or yolov3.weights, as they are",
    "darknet24": "Darknet's own extraction.conv.weights, as it is, where the net has batch norm",
    "chain": "no library hands it out",
}


def where_from(net: str, path: str) -> str:
    """Where people get weights of `net`, for the backbone whose settings are at `path`."""
    kind = "caffe" if net.endswith("-caffe") else net if net in WHERE else net.rstrip("-bn0123456789")
    return WHERE[kind].format(net=net.replace("-", "_"), path=path)


def told(source: Source, net: str) -> Source:
    """The same weights where a person says that they are of `net`: their shapes cannot tell whose strides they were
    trained with. Raises `StemmaError` where they are of another net altogether."""
    if source.net == net:
        return source
    if source.kind == "resnet" and source.net.removesuffix("-caffe") == net.removesuffix("-caffe"):
        caffe = net.endswith("-caffe")
        state = dict(source.state)
        if caffe != source.stride_first:
            state["conv1.weight"] = state["conv1.weight"].flip(1)
        says = f"ResNet-{net.removeprefix('resnet').removesuffix('-caffe')} that is said to have its strides on the "
        return replace(source, net=net, says=says + ("first 1x1" if caffe else "3x3"), state=state,
                       colours=CAFFE if caffe else Preprocess(), stride_first=caffe)
    raise StemmaError(f"they are of {source.says} ({source.net}), not of {net}")


def keep(path: Path, source: Source) -> None:
    """Write a backbone's weights as a file of ours, with what they mean."""
    checkpoint.write_tensors(path, source.state, {
        "format": checkpoint.FORMAT, "backbone": source.net, "kind": source.kind, "says": source.says,
        "mean": source.colours.mean, "std": source.colours.std, "stride_first": source.stride_first})


def kept(path: Path) -> Source | None:
    """The weights of a file that `keep` wrote; None for another."""
    try:
        if "backbone" not in (meta := checkpoint.read_meta(path)):
            return None
    except StemmaError:
        return None
    colours = Preprocess(tuple(meta["mean"]), tuple(meta["std"]))
    return Source(meta["backbone"], meta["kind"], meta["says"], checkpoint.read_tensors(path)[0], colours,
                  meta["stride_first"])


__all__ = ["DARKNETS", "Source", "darknet", "folded", "keep", "kept", "of_darknet", "recognised", "told", "where_from"]
