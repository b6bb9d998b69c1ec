"""Darknet's YOLOv2, YOLO9000 and YOLOv3 as ours, and ours as Darknet's: a .cfg that lists the layers, and a .weights
file that holds their numbers in that order.

    from_darknet(cfg, weights)    a model; every section of the cfg is held against the layers of our net first
    to_darknet(model, path)       the two files, and a .tree where classes stand on one

The file begins with major, minor and revision, 32-bit each, then how many pictures were seen: 64 bits from version 0.2
on (20 bytes in all), 32 before (16). Of each convolution follow its shifts, with batch norm its scales, means and
variances, then its weights, 32-bit floats (`load_weights_upto`, `load_convolutional_weights` of the released parser).
"""
from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from ...core import outputs
from ...core.types import Classes, Info, StemmaError
from ...parts.backbones.darknet import Darknet19, Darknet53, Residual
from ...parts.dense.heads import RegionHead
from ...parts.dense.word_tree import WordTree
from ...parts.necks import ConcatPyramid, Passthrough, Same
from ..running.checkpoint import build

ALSO = {"network": "net", "conv": "convolutional", "max": "maxpool"}
LAYERS = ("convolutional", "maxpool", "route", "reorg", "shortcut", "upsample", "region", "yolo")
FIRST = 32  # channels of the first layer as published


@dataclass(frozen=True)
class Section:
    """A section of a cfg: what it is, the line it begins in, its settings."""

    kind: str
    line: int
    settings: dict[str, str]


@dataclass(frozen=True)
class Layer:
    """A layer of Darknet's as our net has it: its settings as a cfg writes them, and what holds its numbers."""

    kind: str
    settings: dict[str, str]
    conv: nn.Conv2d | None = None
    norm: nn.BatchNorm2d | None = None

    def tensors(self) -> list[Tensor]:
        """In the order of the file."""
        if self.conv is None:
            return []
        if self.norm is None:
            assert self.conv.bias is not None
            return [self.conv.bias, self.conv.weight]
        m, v = self.norm.running_mean, self.norm.running_var
        assert m is not None and v is not None
        return [self.norm.bias, self.norm.weight, m, v, self.conv.weight]


# ---------------------------------------------------------------- the cfg


def read_cfg(path: str | Path) -> list[Section]:
    """The sections of a cfg, [net] first. Raises `StemmaError` with the line for what cannot be read."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise StemmaError(f"{path} cannot be read as a cfg of Darknet's: {error}") from error
    found: list[Section] = []
    for number, row in enumerate(text.splitlines(), 1):
        row = "".join(row.split())  # Darknet drops all spaces
        if not row or row[0] in "#;":
            continue
        if row[0] == "[":
            kind = row.strip("[]").lower()
            kind = ALSO.get(kind, kind)
            if kind not in ("net", *LAYERS):
                raise StemmaError(f"{path}: line {number} begins a section [{kind}], which none of YOLOv2, YOLO9000 "
                                  f"and YOLOv3 has; theirs are {', '.join(LAYERS)}")
            found.append(Section(kind, number, {}))
            continue
        key, sign, value = row.partition("=")
        if not sign or not found:
            raise StemmaError(f"{path}: line {number} is no setting of a section: '{row[:40]}'")
        found[-1].settings.setdefault(key, value)  # of two that are alike Darknet takes the first
    if not found or found[0].kind != "net" or any(s.kind == "net" for s in found[1:]):
        raise StemmaError(f"{path} is no cfg of Darknet's: it has to begin with one section [net]")
    return found


def numbers(path: str | Path, s: Section, key: str, default: str | None = None) -> list[float]:
    """A setting as numbers. Raises `StemmaError` with the line where it is missing or is none."""
    text = s.settings.get(key, default)
    try:
        if text is None:
            raise ValueError("missing")
        return [float(x) for x in text.split(",") if x]
    except ValueError as error:
        raise StemmaError(f"{path}: the section [{s.kind}] of line {s.line} needs '{key}' as numbers, and has "
                          f"{'none' if text is None else repr(text)}") from error


def one(path: str | Path, s: Section, key: str, default: str | None = None) -> int:
    found = numbers(path, s, key, default)
    if len(found) != 1 or not found[0].is_integer():  # nor are nan and inf
        raise StemmaError(f"{path}: '{key}' of the section [{s.kind}] of line {s.line} is one whole number, not "
                          f"'{s.settings.get(key)}'")
    return int(found[0])


def resolved(kind: str, settings: dict[str, str], at: int) -> dict[str, Any]:
    """What of a layer's settings makes it the layer that it is; places of other layers counted from the first.
    Raises `ValueError` for what is no number."""
    def whole(key: str, default: int) -> int:
        return int(settings.get(key, default))

    if kind == "convolutional":
        size = whole("size", 1)
        padding = size // 2 if whole("pad", 0) else whole("padding", 0)
        return {"filters": whole("filters", 1), "size": size, "stride": whole("stride", 1), "padding": padding,
                "batch_normalize": whole("batch_normalize", 0), "groups": whole("groups", 1),
                "activation": settings.get("activation", "logistic")}
    if kind == "maxpool":
        return {"size": whole("size", whole("stride", 1)), "stride": whole("stride", 1)}
    if kind in ("route", "shortcut"):
        key = "layers" if kind == "route" else "from"
        at_ = [int(x) for x in settings.get(key, "").split(",") if x]
        more = {"activation": settings.get("activation", "linear")} if kind == "shortcut" else {}
        return {key: [x if x >= 0 else at + x for x in at_], **more}
    if kind in ("reorg", "upsample"):
        return {"stride": whole("stride", 1 if kind == "reorg" else 2)}
    anchors = [float(x) for x in settings.get("anchors", "").split(",") if x]
    masks = [int(x) for x in settings.get("mask", "").split(",") if x]
    return {"classes": whole("classes", 20), "anchors": anchors, **({"mask": masks} if kind == "yolo" else
                                                                    {"coords": whole("coords", 4)})}


# ---------------------------------------------------------------- our nets as Darknet's layers


def layers_of(model: Any) -> list[Layer]:
    """The layers of a YOLOv2, YOLO9000 or YOLOv3 in Darknet's order. Raises `StemmaError` for another net, and for one
    that Darknet computes otherwise."""
    body, neck, head = (getattr(model, k, None) for k in ("backbone", "neck", "head"))
    found: list[Layer] = []

    def convolve(block: Any) -> None:
        many = isinstance(block, nn.Sequential)
        conv: Any = block[0] if many else block
        norm: Any = block[1] if many else None
        settings = {"batch_normalize": "1"} if norm is not None else {}
        settings |= {"filters": str(conv.out_channels), "size": str(conv.kernel_size[0]), "stride": str(conv.stride[0]),
                     "pad": "1", "activation": "linear" if norm is None else "leaky"}
        found.append(Layer("convolutional", settings, conv, norm))

    def add(kind: str, **settings: Any) -> None:
        found.append(Layer(kind, {k.rstrip("_"): str(v) for k, v in settings.items()}))

    if not isinstance(head, RegionHead) or not isinstance(body, (Darknet19, Darknet53)):
        raise StemmaError(f"{model.paper.cli_name} (preset {model.preset}) is no net that Darknet's files can hold: "
                          "they hold YOLOv2, YOLO9000 and YOLOv3 on their own backbones")
    sizes = model.spec.rule.anchors.sizes
    said = {"classes": head.k - 5, "anchors": ",".join(f"{v:.7g}" for v in sizes), "num": len(sizes) // 2}
    ends: list[int] = []
    if isinstance(body, Darknet53):
        convolve(body.stem)
    for stage in body.stages:
        for m in cast(nn.Sequential, stage):
            if isinstance(m, nn.MaxPool2d):
                add("maxpool", size=2, stride=2)
            elif isinstance(m, Residual):
                convolve(m.body[0])
                convolve(m.body[1])
                add("shortcut", from_=-3, activation="linear")
            else:
                convolve(m)
        ends.append(len(found) - 1)
    ends = [ends[i] for i in body.at]
    if isinstance(neck, ConcatPyramid):
        each = len(sizes) // 2 // len(ends)
        for i in reversed(range(len(ends))):
            for block in cast(nn.Sequential, neck.bodies[i]):
                convolve(block)
            convolve(neck.outs[i])
            convolve(head.last[i])
            add("yolo", mask=",".join(str(each * i + k) for k in range(each)), **said)
            if i:
                add("route", layers=-4)
                convolve(neck.downs[i - 1])
                add("upsample", stride=2)
                add("route", layers=f"-1,{ends[i - 1]}")
        return found
    if isinstance(neck, Passthrough):
        if neck.order != "darknet":
            raise StemmaError("its passthrough folds pixels as space_to_depth, and Darknet's reorg folds them "
                              "otherwise: train it with --set neck.order=darknet")
        for block in neck.deep:
            convolve(block)
        deep = len(found) - 1
        add("route", layers=ends[0])
        convolve(neck.side)
        add("reorg", stride=neck.factor)
        add("route", layers=f"-1,{deep}")
        convolve(neck.join)
    elif not isinstance(neck, Same):
        raise StemmaError(f"Darknet has no neck like {type(neck).__name__}")
    convolve(head.last[0])
    add("region", bias_match=1, coords=4, softmax=1, **said)
    return found


def held_against(path: str | Path, sections: list[Section], layers: list[Layer], name: str) -> None:
    """Raises `StemmaError` at the first section that is not the layer that our net has there."""
    for i, s in enumerate(sections):
        where = f"{path}: section {i}, [{s.kind}] of line {s.line},"
        if i >= len(layers):
            raise StemmaError(f"{where} is one more than {name} has: {len(sections)} sections for {len(layers)} layers")
        want = layers[i]
        if s.kind != want.kind:
            raise StemmaError(f"{where} stands where {name} has [{want.kind}]: this is the cfg of another net")
        try:
            has = resolved(s.kind, s.settings, i)
        except ValueError as error:
            raise StemmaError(f"{where} has a setting that is no number: {error}") from error
        ours = resolved(want.kind, want.settings, i)
        if odd := [k for k in ours if has[k] != ours[k]]:
            k = odd[0]
            raise StemmaError(f"{where} has {k}={_said(has[k])} where {name} has {k}={_said(ours[k])}: this is the cfg "
                              "of another net")
    if len(sections) < len(layers):
        raise StemmaError(f"{path} ends after {len(sections)} sections, and {name} has {len(layers)} layers")


def _said(v: Any) -> str:
    return ",".join(f"{x:g}" if isinstance(x, float) else str(x) for x in v) if isinstance(v, list) else str(v)


# ---------------------------------------------------------------- the weights


def read_numbers(path: str | Path) -> np.ndarray:
    """The 32-bit floats of a weights file, without its header. Raises `StemmaError` for what is no such file."""
    path = Path(path)
    try:
        raw = np.fromfile(path, np.uint8)
    except OSError as error:
        raise StemmaError(f"{path} cannot be read: {error.strerror or error}") from error
    if len(raw) < 16:
        raise StemmaError(f"{path} is no file of Darknet's weights: {len(raw)} bytes hold no header")
    major, minor, revision = (int(v) for v in raw[:12].view(np.int32))
    if not all(0 <= v < 1000 for v in (major, minor, revision)):
        raise StemmaError(f"{path} is no file of Darknet's weights: it does not begin with a version, but with "
                          f"{raw[:4].tobytes()!r}")
    body = raw[20 if major * 10 + minor >= 2 else 16 :]
    if len(body) % 4:
        raise StemmaError(f"{path} is cut off within a number: {len(body)} bytes after its header")
    return body.view(np.float32) if body.flags.aligned else np.frombuffer(body.tobytes(), np.float32)


def fill(layers: list[Layer], values: np.ndarray, path: str | Path, cfg: str | Path, lines: list[int]) -> None:
    """Copy the numbers into the layers' tensors. Raises `StemmaError` where they are too few, too many, or none that a
    net could have."""
    want = sum(t.numel() for layer in layers for t in layer.tensors())
    at, place = 0, 0
    with torch.no_grad():
        for place, layer in enumerate(layers):
            for t in layer.tensors():
                if at + t.numel() > len(values):
                    raise StemmaError(f"{path} ends within section {place}, line {lines[place]} of {cfg}: it holds "
                                      f"{len(values):,} numbers of {want:,}; it is cut off, or of another net")
                t.copy_(torch.from_numpy(values[at : at + t.numel()].copy()).view_as(t))
                at += t.numel()
            odd = [t for t in layer.tensors() if not t.isfinite().all()]
            if odd or layer.norm is not None and bool((layer.tensors()[3] < 0).any()):
                raise StemmaError(f"{path} has {'numbers that are none' if odd else 'variances below 0'} where section "
                                  f"{place}, line {lines[place]} of {cfg}, has its own: it is of another net")
    if len(values) > at:
        raise StemmaError(f"{path} holds {len(values):,} numbers, and {cfg} asks for {want:,}: {len(values) - at:,} "
                          "are too many; it is of another net")


# ---------------------------------------------------------------- both


def read_tree(path: str | Path) -> tuple[list[str], list[str]]:
    """(name of each node, name of the node above it or "") of a .tree: a name and the line of its parent, from 0, or -1
    at the top. Raises `StemmaError` with the line."""
    try:
        rows = [r.split() for r in Path(path).read_text(encoding="utf-8").splitlines() if r.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise StemmaError(f"{path} cannot be read as a tree of classes: {error}") from error
    names, parents = [], []
    for n, row in enumerate(rows, 1):
        if len(row) != 2 or not row[1].lstrip("-").isdigit() or not -1 <= int(row[1]) < len(rows):
            raise StemmaError(f"{path}: line {n} is no name and the line of its parent: '{' '.join(row)[:40]}'")
        names.append(row[0])
        parents.append(int(row[1]))
    return names, ["" if p < 0 else names[p] for p in parents]


def from_darknet(cfg: str | Path, weights: str | Path, names: list[str] | None = None,
                 tree: str | Path | None = None) -> Any:
    """A YOLOv2, YOLO9000 or YOLOv3 with the weights of Darknet's files, in eval mode.

    Anchors, classes and the size of pictures are the cfg's; nets that are as much narrower in every layer are read too.
    `names`: the classes', in order. `tree`: the .tree of a net whose cfg names one, where it is not found beside the
    cfg.

    Raises `StemmaError` in one line where the cfg is of another net, or the weights are of another than the cfg's.
    """
    net, *sections = read_cfg(cfg)
    outs = [s for s in sections if s.kind in ("region", "yolo")]
    convs = [s for s in sections if s.kind == "convolutional"]
    if not outs or not convs:
        raise StemmaError(f"{cfg} is no detector: it has no section [region] or [yolo]")
    classes, anchors = one(cfg, outs[0], "classes"), tuple(numbers(cfg, outs[0], "anchors"))
    if (first := one(cfg, convs[0], "filters")) < 1:
        raise StemmaError(f"{cfg}: 'filters' of the section [convolutional] of line {convs[0].line} must be 1 or more, "
                          f"not {first}")
    wide = first / FIRST
    width, height = (one(cfg, net, k, "416") for k in ("width", "height"))
    if width != height:
        raise StemmaError(f"{cfg} is for pictures of {width} x {height}; squares are read here: set width and height "
                          "alike")
    sets: dict[str, Any] = {"rule.anchors.sizes": anchors}
    paper, preset, info = "yolo-v3" if outs[0].kind == "yolo" else "yolo-v2", "paper", None
    if paper == "yolo-v2" and "tree" in outs[0].settings:
        preset, found = "yolo9000", tree or next((p for p in (Path(cfg).parent / outs[0].settings["tree"],
                                                              Path(cfg).parent / Path(outs[0].settings["tree"]).name)
                                                  if p.is_file()), None)
        if found is None:
            raise StemmaError(f"{cfg} hangs its classes on the tree '{outs[0].settings['tree']}', which is not beside "
                              "it: give it with --tree FILE")
        nodes, above = read_tree(found)
        if len(nodes) != classes:
            raise StemmaError(f"{found} has {len(nodes)} nodes, and {cfg} has {classes} classes")
        called = dict(zip(nodes, names)) if names and len(names) == classes else {n: n for n in nodes}
        names = list(called.values())
        info = _info(names, [called.get(a, "") for a in above])
    elif names is not None:
        info = _info(names, [])
    if names is not None and len(names) != classes:
        raise StemmaError(f"{len(names)} class names are given, and {cfg} has {classes} classes")
    if paper == "yolo-v2" and preset == "paper":
        sets["neck.order"] = "darknet"
    if wide != 1:
        sets["backbone.width"] = wide
        if paper == "yolo-v3":
            sets["neck.widths"] = tuple(int(c * wide) for c in (128, 256, 512))
        elif preset == "paper":
            sets |= {"neck.width": int(1024 * wide), "neck.narrow": int(64 * wide)}
    model: Any = build(paper, preset, classes, sets, info)
    if width != model.recipe.resize.size:
        sets["recipe.resize.size"] = width
        model = build(paper, preset, classes, sets, info)
    layers = layers_of(model)
    held_against(cfg, sections, layers, f"{model.paper.label if preset == 'paper' else 'YOLO9000'}")
    fill(layers, read_numbers(weights), weights, cfg, [s.line for s in sections])
    return model.eval()


def _info(names: list[str], parents: list[str]) -> Info:
    try:
        return Info("darknet", "yolo", Classes(tuple(names), parent=tuple(parents)), ("boxes",))
    except ValueError as error:
        raise StemmaError(f"the class names cannot be used: {error}") from error


def to_darknet(model: Any, path: str | Path) -> list[Path]:
    """Write a model as Darknet's weights at `path`, NAME.weights, with NAME.cfg and, of classes on a tree, NAME.tree
    beside it; then read them back. Raises `StemmaError` for a net that Darknet has not, or where a file stands that is
    not ours."""
    path = Path(path)
    layers, size, tree = layers_of(model), model.recipe.resize.size, model.spec.rule.cls
    files = [path, path.with_suffix(".cfg")]
    rows = [f"[net]\nbatch=1\nsubdivisions=1\nwidth={size}\nheight={size}\nchannels=3\n"]
    if isinstance(tree, WordTree) and tree.parents:
        files.append(path.with_suffix(".tree"))
        layers = [*layers[:-1], Layer("region", layers[-1].settings | {"tree": files[-1].name})]
    outputs.claim(files, "file")
    known = () if model.info is None else model.info.classes.names
    rows += ["\n".join([f"[{la.kind}]", *(f"{k}={v}" for k, v in la.settings.items())]) + "\n" for la in layers]
    flat = [t.detach().float().cpu().numpy().ravel() for la in layers for t in la.tensors()]
    header = np.array([0, 2, 0], np.int32).tobytes() + np.array([0], np.int64).tobytes()
    written = [header + np.concatenate(flat).astype("<f4").tobytes(), "\n".join(rows).encode()]
    if len(files) > 2:
        named = [n.replace(" ", "_") for n in known] + [f"node{i}" for i in range(len(known), len(tree.parents))]
        written.append("".join(f"{n} {p}\n" for n, p in zip(named, tree.parents)).encode())
    with tempfile.TemporaryDirectory() as folder:
        tried = [Path(folder) / f.name for f in files]
        for at, data in zip(tried, written):
            at.write_bytes(data)
        again = layers_of(from_darknet(tried[1], tried[0]))
    if not all(torch.equal(a.detach().float().cpu(), b) for x, y in zip(layers, again, strict=True)
               for a, b in zip(x.tensors(), y.tensors(), strict=True)):
        raise StemmaError(f"{path} is not written: read back, its numbers are others")
    for at, data in zip(files, written):
        outputs.put(at, lambda p, data=data: p.write_bytes(data), "file")  # type: ignore[misc]
    return files


__all__ = ["Layer", "Section", "fill", "from_darknet", "layers_of", "read_cfg", "read_numbers", "read_tree",
           "to_darknet"]
