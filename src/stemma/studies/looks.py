"""What is a dilated look at a picture? TridentNet's looks beside what they stand for: the same filters on maps made
smaller, and an image pyramid.

    python -m stemma.studies.looks runs/tridentnet --data scenes --out runs/looks

takes runs of tridentnet whose looks share their filters. With the same weights, and nothing learned anew, the look of
dilation d is replaced in three ways: its stage's maps are made d times smaller and what the filters say of them larger
again (resampled), the whole picture is (pyramid), or nothing is dilated (undilated). Told are the cosine of the
features with those of the run as it is, look by look, mean over cells, and what the detector finds with them. A run of
one step on a backbone of ImageNet's says how near dilation leaves its features to a pyramid's.
"""
from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ..core import interrupts, outputs
from ..core.types import StemmaError
from ..data.open import open_split, spread
from ..engine.pictures import outside
from ..engine.running import checkpoint
from ..engine.running.devices import pick_device
from ..engine.running.progress import going
from ..metrics import coco
from ..parts.backbones.trident import TridentConv
from . import Asked, keep, natural, say
from .regions import seen

WAYS = ("as it is", "dilated", "resampled", "pyramid", "undilated")


def convolutions(model: nn.Module) -> list[TridentConv]:
    """Those whose filters look several times; raises `StemmaError` where there are none, or each look has its own."""
    found = [m for m in model.modules() if isinstance(m, TridentConv)]
    if not found or any(len(m.others) for m in found):
        raise StemmaError("looks that share their filters are compared: name runs of tridentnet, not of shared=false")
    return found


@contextmanager
def put(of: Any, **values: Any) -> Iterator[None]:
    """An object with other attributes."""
    was = {k: getattr(of, k) for k in values}
    for k, v in values.items():
        setattr(of, k, v)
    try:
        yield
    finally:
        for k, v in was.items():
            setattr(of, k, v)


@contextmanager
def seeing(model: nn.Module, way: str) -> Iterator[None]:
    """A TridentNet whose looks are had in one of `WAYS`, with its own weights."""
    m: Any = model
    convs, looks = convolutions(m), m.spec.dilations
    with ExitStack() as stack:
        if way == "undilated":
            for c in convs:
                stack.enter_context(put(c, looks=(1,) * len(looks)))
        elif way in ("dilated", "resampled"):
            for c in convs:
                stack.enter_context(put(c, resample=way == "resampled"))
        elif way == "pyramid":
            plain, trunk = m.backbone.forward, m.backbone
            chosen = looks if m.spec.fast < 0 else looks[m.spec.fast : m.spec.fast + 1]

            def pyramid(x: Float[Tensor, "B 3 H W"]) -> list[Tensor]:
                with ExitStack() as inner:
                    for c in convs:
                        inner.enter_context(put(c, looks=(1,), fast=-1))
                    inner.enter_context(put(m, spec=replace(m.spec, dilations=(1,), fast=-1)))
                    whole = plain(x)
                    maps = [whole if d == 1 else plain(F.interpolate(x, [-(-n // d) for n in x.shape[2:]], mode="area"))
                            for d in chosen]
                return [torch.cat([F.interpolate(y[k], to.shape[2:], mode="bilinear") for y in maps])
                        for k, to in enumerate(whole)]

            trunk.forward = pyramid
            stack.callback(trunk.__dict__.pop, "forward")
        yield


@torch.no_grad()
def features(model: nn.Module, images: Float[Tensor, "B 3 H W"]) -> list[Float[Tensor, "B C H W"]]:
    """The map of each look, which proposals and regions read."""
    m: Any = model
    every: Tensor = m.neck(m.backbone(m.spec.preprocess(images)))[-1]
    return list(every.chunk(m.looks))


def alike(model: nn.Module, data: Any, device: str, way: str) -> list[float]:
    """Of each look the cosine of its features, had in that way, with those as it is: mean over the cells that lie in a
    picture."""
    m: Any = model
    total, cells = torch.zeros(m.looks, dtype=torch.float64), 0
    for raw in outside.loader(m, data, m.recipe, batch=8, needs=frozenset({"boxes"})).epoch(0):
        b = raw.to(device)
        own = features(m, b.images)
        with seeing(m, way):
            other = features(m, b.images)
        h, w = own[0].shape[2:]
        stride = m.out.strides[-1]
        y, x = ((torch.arange(n, device=b.images.device) + 0.5) * stride for n in (h, w))
        inside = (y < b.sizes[:, :1])[:, :, None] & (x < b.sizes[:, 1:])[:, None]
        cells += int(inside.sum())
        total += torch.stack([F.cosine_similarity(p, q, 1)[inside].double().sum().cpu() for p, q in zip(own, other)])
    return (total / max(cells, 1)).tolist()


def study(runs: Sequence[str | Path], data: Any, out: str | Path, split: str = "val", limit: int | None = None,
          which: str = "last", device: str = "auto") -> dict[str, Any]:
    """The study's record, and its page in `out`. Raises `StemmaError` for a run without shared looks, before any is
    measured."""
    outputs.claim([Path(out) / "looks.json", Path(out) / "looks.html"])
    where, pictures, rows = pick_device(device), spread(open_split(data, split), limit), []
    models: list[Any] = [checkpoint.load(run, which, device=where).eval() for run in runs]
    for run, model in zip(runs, models):
        try:
            convolutions(model)
        except StemmaError as error:
            raise StemmaError(f"{run}: {error}") from error
        checkpoint.check_classes(model, pictures.info, pictures.info.name)
    for run, model in zip(runs, models):
        name = f"{model.paper.label} ({Path(run).name})"
        for way in going(WAYS, name):
            cosine = alike(model, pictures, where, way)
            with seeing(model, way):
                record = seen(model, pictures, where)
            sizes, truths, found = coco.columns(list(record))
            scores = coco.evaluate(sizes, record.names, truths, found)
            rows.append({"run": str(run), "name": name, "way": way, "looks": list(model.spec.dilations),
                         "cosine": cosine, "AP": scores.ap(), "AP50": scores.ap(0.5)})
    record_ = {"data": pictures.info.name, "split": split, "pictures": len(pictures), "rows": rows}
    keep(Path(out) / "looks.json", record_)
    outputs.put_text(Path(out) / "looks.html", page(record_))
    return record_


def table(record: dict[str, Any]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """(heads, rows); cosines by look, in the order of the run's dilations."""
    heads = ("run", "looks", "cosine of each", "AP", "AP50")
    return heads, [(r["name"], r["way"], " ".join(f"{c:.3f}" for c in r["cosine"]), f"{r['AP']:.3f}",
                    f"{r['AP50']:.3f}") for r in record["rows"]]


def page(record: dict[str, Any]) -> str:
    """The study as one page."""
    from ..report.sheet import grid, leaf, remark

    note = remark(f"{record['pictures']} pictures of {record['data']} ({record['split']}); the same weights in all "
                  "rows of a run. Cosines are with its own features, look by look.")
    return leaf("Looks", note, grid(*table(record)), heading="What is a dilated look at a picture?")


def main(argv: list[str] | None = None) -> None:
    """The command of this file's head."""
    parser = Asked("looks", __doc__)
    parser.add_argument("runs", nargs="+")
    parser.add_argument("--data", required=True)
    parser.add_argument("--split", default="val")
    parser.add_argument("--limit", type=natural)
    parser.add_argument("--which", choices=("best", "last"), default="last")
    parser.add_argument("--out", default="runs/looks")
    parser.add_argument("--device", default="auto")
    a = parser.parse_args(argv)
    heads, rows = table(study(a.runs, a.data, a.out, a.split, a.limit, a.which, a.device))
    say((heads, *rows), 24)
    print(Path(a.out) / "looks.html")


if __name__ == "__main__":
    interrupts.command(main)


__all__ = ["WAYS", "alike", "convolutions", "features", "page", "put", "seeing", "study", "table"]
