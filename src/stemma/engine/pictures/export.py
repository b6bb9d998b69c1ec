"""Write a network for other runtimes, ONNX or `torch.export`, and hold what was written against the eager network on
the spot."""
from __future__ import annotations

import contextlib
import inspect
import io
import logging
import re
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn

from ...core import outputs as outputs_of
from ...core.part import diff, leaves
from ...core.types import StemmaError
from ...data.proposals import grid
from ...ops.compiled import compiled
from ..running import checkpoint
from ..running.runs import Run
from . import outside
from .compress import shortened
from .darknet import to_darknet

Format = Literal["onnx", "torch", "darknet"]
Outputs = Literal["raw", "predictions"]
EXTRA = "ONNX export needs the packages onnx, onnxscript and onnxruntime: pip install 'stemma-vision[onnx]'"
FLOAT, INT32, BOOL = 1, 6, 9  # ONNX's numbers of types
LOOKS = 8  # drawn scenes that are looked at until one is found in which the model finds something
SUREST = 10  # of its objects, where none is as sure as the model asks
REWRITTEN = 5000  # nodes of a graph that the exporter tidies, at most: of ten thousand it takes more than ten minutes
TOLERANCE = 1e-3  # largest difference that is taken for rounding, as a share of the largest value of an output


def named_tensors(value: Any, name: str = "") -> list[tuple[str, Tensor]]:
    """Every tensor inside a network's output with a name: fields by theirs, places of a list by number."""
    if isinstance(value, Tensor):
        return [(name or "output", value)]
    if isinstance(value, dict):
        parts = list(value.items())
    elif isinstance(value, (list, tuple)):
        parts = [(str(i), v) for i, v in enumerate(value)]
    elif is_dataclass(value):
        parts = [(f.name, getattr(value, f.name)) for f in fields(value)]
    else:
        return []
    return [t for k, v in parts for t in named_tensors(v, f"{name}_{k}" if name else str(k))]


class Plain(nn.Module):
    """A model whose output is a flat tuple of tensors, which is what other runtimes know: the network's own,
    or its predictions."""

    def __init__(self, model: nn.Module, outputs: Outputs = "raw"):
        super().__init__()
        self.model: Any = model
        self.outputs = outputs

    def said(self, images: Tensor, *boxes: Tensor) -> list[tuple[str, Tensor]]:
        """The outputs by name. `boxes`: proposals `1 P 4`, for a model that takes them."""
        more = {"proposals": boxes[0]} if boxes else {}
        return named_tensors(self.model(images, **more) if self.outputs == "raw"
                             else self.model.predict(images, **more))

    def forward(self, images: Tensor, *boxes: Tensor) -> tuple[Tensor, ...]:
        return tuple(t for _, t in self.said(images, *boxes))


def export(
    model: nn.Module | Run | str | Path, path: str | Path, format: Format = "onnx", size: tuple[int, int] | None = None,
    outputs: Outputs = "predictions", which: str = "best", svd: Sequence[int] = (),
) -> dict[str, Any]:
    """Write a model, run folder or weights file to `path`, read it back, run it beside eager PyTorch and compare.

    size:    (height, width) of the input, fixed in the file; None: what the recipe prepares, square. A square of
             another size than it was trained at is what the paper's card says of a size (default boxes, anchors), as in
             `evaluate`; an oblong leaves them as they are, and that is said where they would change
    outputs: "predictions", boxes, scores and labels after NMS padded to a fixed count (label -1), or maps; or "raw",
             what the network says before proposals and decoding. Pictures go in as float32 RGB in 0..1, `1 3 H W`;
             normalisation is inside. Of a system that takes its boxes from outside, `proposals` is a second input:
             `1 P 4` in pixels of the input, P as in its recipe, without area where there are fewer.
    format:  "onnx", "torch", or "darknet": YOLOv2, YOLO9000 or YOLOv3 as weights and a cfg, whose numbers are read back
             (`difference` is 0, and `files` are all that was written)
    svd:     write it with the fully connected layers of its region heads shortened to these ranks (`compress`)

    Returns path, format, size, outputs {name: shape}, `difference` (the largest, absolute) by name and in all, and, for
    predictions of objects, how many there were to compare (`compared`) in the drawn scene that is looked at. A model
    that finds nothing in any is written a second time, for the comparison alone, with a least score at which it does.
    A model, or its rule, may say in `no_graph` why its predictions cannot be written.
    Raises `StemmaError` when a package is missing, the network cannot be traced, what would be written computes
    something else or nothing that could be compared, or a file stands at `path` that Stemma did not write.
    """
    if format not in ("onnx", "torch", "darknet"):
        raise StemmaError(f"no export format '{format}'; there are onnx, torch and darknet")
    if outputs not in ("raw", "predictions"):
        raise StemmaError(f"export writes 'raw' outputs or 'predictions', not '{outputs}'")
    path = Path(path)
    if path.suffix != (suffix := {"onnx": ".onnx", "torch": ".pt2", "darknet": ".weights"}[format]):
        raise StemmaError(f"{path}: a file of the format '{format}' ends in {suffix}")
    if format == "darknet":
        net: Any = shortened(model, svd, which).to("cpu").float().eval()
        files = to_darknet(net, path)
        return {"path": str(path), "format": format, "bytes": path.stat().st_size, "files": list(map(str, files)),
                "size": [net.recipe.resize.size] * 2, "outputs": {}, "difference": 0.0, "differences": {}}
    outputs_of.claim([path], "file")
    net = _sized(shortened(model, svd, which), size).to("cpu").float().eval()
    why = next((said for x in (net, getattr(net, "rule", None)) if (said := getattr(x, "no_graph", ""))), "")
    if why and outputs == "predictions":
        raise StemmaError(f"{net.paper.cli_name} predicts what no graph can hold: {why}; export the network alone with "
                          "--outputs raw")
    side = size or (net.recipe.resize.size,) * 2
    plain = Plain(net, outputs).eval()
    more: dict[str, Tensor] = {}
    if outside.wants(net.recipe) and "proposals" in inspect.signature(net.forward if outputs == "raw"
                                                                      else net.predict).parameters:
        count = net.recipe.proposals.count
        boxes = torch.from_numpy(grid(side, count))
        more["proposals"] = torch.cat([boxes, boxes.new_zeros(count - len(boxes), 4)])[None]
    inputs, expected, compared = _look(plain, more, side)
    if compared == 0:  # nothing to compare: what is written is held with a lower score in the place of the model's own
        lenient = Plain(_lenient(net, inputs), outputs).eval()
        told, said, compared = _look(lenient, more, side)
        if not compared:
            raise StemmaError(f"{path} is not written: {net.paper.cli_name} finds nothing in {LOOKS} drawn scenes, "
                              "whatever the least score, so that nothing could be compared; --outputs raw is held by "
                              "what the network says")
        with tempfile.TemporaryDirectory() as scratch:
            _held(lenient, told, said, Path(scratch) / path.name, format, path)
    difference: dict[str, float] = {}
    outputs_of.put(path, lambda fresh: difference.update(_held(plain, inputs, expected, fresh, format, path)), "file")
    shapes = {n: list(t.shape) for n, t in expected}
    written = {"path": str(path), "format": format, "bytes": path.stat().st_size}
    if compared is not None:
        written["compared"] = compared
    return written | {"size": list(side), "outputs": shapes, "difference": max(difference.values(), default=0.0),
                      "differences": difference}


def _look(
    plain: Plain, more: dict[str, Tensor], side: tuple[int, int]
) -> tuple[dict[str, Tensor], list[tuple[str, Tensor]], int | None]:
    """The inputs with the first of some drawn scenes in which the model finds anything (the last where it finds
    nothing), what it says of them, and how many objects that are; None where its outputs are no objects. more: its
    inputs beside the picture."""
    for seed in range(LOOKS):
        inputs = {"images": drawn(side, seed), **more}
        with torch.no_grad():
            said = plain.said(*inputs.values())
        labels = dict(said).get("labels")
        if plain.outputs == "raw" or labels is None or labels.ndim != 2:
            return inputs, said, None
        if found := int((labels >= 0).sum()):
            break
    return inputs, said, found


def _lenient(net: Any, inputs: dict[str, Tensor]) -> nn.Module:
    """The model with a least score that lets its surest objects through: as low as the widest gap between two of its
    first scores, where rounding does not change their order."""
    every = {path: 0.0 for path, value in leaves(net.spec) if path.rpartition(".")[2] == "score"
             and isinstance(value, float) and value > 0}
    free: Any = checkpoint.with_settings(net, every)
    with torch.no_grad():
        said = dict(Plain(free, "predictions").eval().said(*inputs.values()))
    scores = said["scores"][said["labels"] >= 0].sort(descending=True).values[: SUREST + 1]
    if len(scores) < 2:
        return cast(nn.Module, free)
    at = int((scores[:-1] - scores[1:]).argmax())
    return checkpoint.with_settings(net, dict.fromkeys(every, float(scores[at : at + 2].mean())))


def _held(plain: Plain, inputs: dict[str, Tensor], expected: list[tuple[str, Tensor]], fresh: Path, format: Format,
          path: Path) -> dict[str, float]:
    """Write the model to `fresh`, run that beside what it said, and say how far apart they are, by output. Raises
    `StemmaError`, of `path`, where that is more than rounding."""
    names = [n for n, _ in expected]
    got = _onnx(plain, inputs, fresh, names) if format == "onnx" else _torch(plain, inputs, fresh, names)
    difference = {n: _difference(a, b) for (n, a), b in zip(expected, got, strict=True)}
    wrong = [f"{n} by {difference[n]:.3g}" for n, a in expected
             if difference[n] > TOLERANCE * max(1.0, float(a.abs().max()) if a.numel() else 1.0)]
    if wrong:
        raise StemmaError(f"{path} is not written, for it would not compute what the model does: "
                          f"{', '.join(wrong[:3])}")
    return difference


def _sized(net: Any, size: tuple[int, int] | None) -> Any:
    """The model for pictures of that size (`checkpoint.at_size`)."""
    if size is None or net.paper.sizing is None or set(size) == {net.recipe.resize.size}:
        return net
    if size[0] == size[1]:
        return checkpoint.at_size(net, size[0])
    changed = diff(net.spec, net.paper.at(net.spec, net.recipe, max(size))[0])
    if changed:
        warnings.warn(f"{net.paper.cli_name} has {', '.join(list(changed)[:3])} as for {net.recipe.resize.size} "
                      f"pixels: what a size does is known of squares alone, and the file is for {size[0]} x {size[1]}",
                      stacklevel=3)
    return net


def drawn(side: tuple[int, int], seed: int) -> Tensor:
    """A drawn scene of a size, `1 3 H W` in 0..1: a network that has learned sees more in it than in noise."""
    from ...data.scenes import Scenes

    image = Scenes(1, size=min(2048, max(32, *side)), seed=seed)[0].image
    assert image is not None
    whole = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255
    return torch.nn.functional.interpolate(whole, side, mode="bilinear", align_corners=False)


def _difference(a: Tensor, b: Tensor) -> float:
    if tuple(a.shape) != tuple(b.shape):
        return float("inf")
    return float((a.detach().double() - b.detach().double()).abs().max()) if a.numel() else 0.0


def _onnx(plain: Plain, inputs: dict[str, Tensor], path: Path, names: list[str]) -> list[Tensor]:
    try:
        import onnx  # noqa: F401
        import onnxruntime
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise StemmaError(EXTRA) from error
    compiled()  # registers the operator that is translated here
    with _quiet():
        try:
            made: Any = torch.onnx.export(
                plain, (*inputs.values(),), input_names=list(inputs), output_names=names, dynamo=True, verbose=False,
                optimize=False, custom_translation_table={torch.ops.aten.sort.stable: _stable_sort,
                                                          torch.ops.torchvision.roi_pool.default: _roi_pool,
                                                          torch.ops.stemma.suppress.default: _suppress})
            if len(made.model.graph) <= REWRITTEN:
                made.optimize()
            made.save(path, external_data=False)
        except OSError:
            raise
        except Exception as error:
            raise StemmaError(_cannot(plain, error)) from error
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # errors alone
        try:
            session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
            found = session.run(None, {k.name: v.numpy() for k, v in zip(session.get_inputs(), inputs.values(),
                                                                         strict=True)})
        except Exception as error:  # the runtime raises kinds of its own
            raise StemmaError("onnxruntime does not take what would be written: "
                              f"{' '.join(str(error).split())[:200]}") from error
        return [torch.from_numpy(v) for v in found]


def _stable_sort(self: Any, *, stable: bool = True, dim: int = -1, descending: bool = False) -> Any:
    """`aten.sort.stable`, which the exporter lacks, as TopK over the whole axis: ONNX puts the lower index first among
    equals. Truths as numbers."""
    from onnxscript import opset18

    op: Any = opset18
    truths = int(self.dtype) == BOOL
    size = op.Gather(op.Shape(self), op.Constant(value_ints=[dim]))
    values, order = op.TopK(op.Cast(self, to=INT32) if truths else self, size, axis=dim,
                            largest=int(descending), sorted=1)
    return (op.Cast(values, to=BOOL) if truths else values), order


def _roi_pool(x: Any, rois: Any, scale: float, height: int, width: int) -> Any:
    """torchvision's RoIPool as ONNX's, which rounds and cuts alike; the places of the maxima, for gradients alone,
    are left out."""
    from onnxscript import opset18

    op: Any = opset18
    return op.MaxRoiPool(x, rois, pooled_shape=[int(height), int(width)], spatial_scale=float(scale)), op.Shape(rois)


def _suppress(boxes: Any, kind: Any, valid: Any, iou: float, keep: int) -> Any:
    """`ops.nms.suppress` as ONNX's NonMaxSuppression: the kinds that are there as its classes, a box's place from the
    end as its score, so that equals keep their order, and boxes of no area, which suppress nothing, drawn to a line
    (it takes any two corners)."""
    from onnxscript import opset18

    op: Any = opset18
    number = lambda *v: op.Constant(value_ints=list(v))
    _, _, inverse, _ = op.Unique(op.Reshape(kind, number(-1)), sorted=1)
    dense = op.Unsqueeze(op.Reshape(inverse, op.Shape(kind)), number(1))  # B 1 N
    kinds = op.Add(op.ReduceMax(inverse, keepdims=0), op.Constant(value_int=1))
    each = op.Unsqueeze(op.Range(op.Constant(value_int=0), kinds, op.Constant(value_int=1)), number(0, 2))  # 1 K 1
    mine = op.And(op.Equal(dense, each), op.Unsqueeze(valid, number(1)))
    count = op.Gather(op.Shape(kind), op.Constant(value_int=1))
    place = op.Cast(op.Range(count, op.Constant(value_int=0), op.Constant(value_int=-1)), to=FLOAT)
    near, far = op.Split(boxes, axis=2, num_outputs=2)
    picked = op.NonMaxSuppression(
        op.Concat(near, op.Max(near, far), axis=2), op.Where(mine, place, op.Constant(value_float=0.0)),
        number(keep), op.Constant(value_floats=[min(iou, 1.0)]), op.Constant(value_floats=[0.0]))  # it takes no more
    at = op.Gather(picked, number(0, 2), axis=1)
    none = op.Expand(op.Constant(value_int=0), op.Shape(kind))
    there = op.Expand(op.Constant(value_int=1), op.Slice(op.Shape(at), number(0), number(1)))
    return op.Cast(op.ScatterND(none, at, there), to=BOOL)


def _torch(plain: Plain, inputs: dict[str, Tensor], path: Path, names: list[str]) -> list[Tensor]:
    with _quiet():
        try:
            with torch.no_grad():
                program = torch.export.export(plain, (*inputs.values(),))
        except OSError:
            raise
        except Exception as error:
            raise StemmaError(_cannot(plain, error)) from error
        torch.export.save(program, path, extra_files={"outputs": "\n".join(names)})
        with torch.no_grad():
            return list(torch.export.load(path).module()(*inputs.values()))


def _cannot(plain: Plain, error: Exception) -> str:
    name = plain.model.paper.cli_name if hasattr(plain.model, "paper") else type(plain.model).__name__
    advice = "; export the network alone with --outputs raw" if plain.outputs == "predictions" else ""
    root = error
    while root.__cause__ is not None:
        root = root.__cause__  # type: ignore[assignment]
    said = re.sub(r"\x1b\[[0-9;]*m", "", " ".join(str(root).split()))[:200]
    return f"{name} cannot be traced to its {plain.outputs} ({type(root).__name__}: {said}){advice}"


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The exporters tell of every step; here only the outcome counts."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [x.level for x in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


__all__ = ["Plain", "drawn", "export", "named_tensors"]
