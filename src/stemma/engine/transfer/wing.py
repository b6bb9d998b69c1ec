"""What the wing of transfer offers to the common commands (`engine.wings`)."""
from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from ...core import paper as papers
from ...core.types import StemmaError
from ...data.finding import each_of
from ...data.labelled import open_sets
from ...data.open import absolute
from ...data.packing import needed
from ...parts.backbones.timm_backbone import no_pretrained
from ..running import checkpoint
from ..running.runs import Run
from ..wings import Asked, Ready
from . import TASKS, course, measure, results
from .course import train
from .measure import trial
from .named import is_network, label_of

SCORES = ("accuracy",)
ABOUT = "carries a network over to sets of pictures with one class each"
INSTEAD = {
    "batch": "say --set recipe.batch={value}",
    "precision": "it computes in fp32, and regression in float64",
    "data_options": "options of how boxes are read have no use; convert the data, or name crops:FOLDER",
    "size": "say --set look.size={value}",
    "val": "validation is part of each data set",
}
NETWORKS = True  # a system of a comparison may be a network by this wing's protocol
PROTOCOL = "imagenet-transfer"  # by which a network is measured that is named alone


def evaluate(
    model: nn.Module | Run | str | Path, data: Any = None, *, split: str | None = None, which: str = "best",
    device: str = "auto", progress: bool = False,
) -> dict[str, Any]:
    """Accuracy on each data set (`measure.evaluate`); split: test where none is named."""
    return measure.evaluate(model, data, split=split or "test", which=which, device=device, progress=progress)


def predict(
    model: nn.Module | Run | str | Path, what: Any = None, out: str | Path | None = None, *, data: Any = None,
    which: str = "best", device: str = "auto", progress: bool = False,
) -> list[dict[str, Any]]:
    """The likeliest classes of pictures for each data set (`measure.predict`)."""
    return measure.predict(model, what, out, which=which, device=device, progress=progress)


def export(model: nn.Module | Run | str | Path, path: str | Path = "model.pt2", format: str | None = None, *,
           which: str = "best", outputs: str = "predictions") -> dict[str, Any]:
    """Write the network with its classifiers as a graph of `torch.export`: uint8 (1, S, S, 3) -> logits a data set,
    held against the network on the spot. Raises `StemmaError` for another format."""
    if format not in (None, "torch"):
        raise StemmaError("a network that is carried over is exported by torch.export alone; write model.pt2")
    m: Any = checkpoint.resolve(model, which).eval()
    size = m.spec.look.size
    x = torch.randint(0, 256, (1, size, size, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    graph = torch.export.export(m, (x,))
    from ...core import outputs as writing

    with torch.no_grad():
        apart = max(float((a - b).abs().max()) for a, b in zip(m(x), graph.module()(x)))
    writing.put(path, lambda p: torch.export.save(graph, p), "file")
    return {"path": str(path), "format": "torch", "outputs": [name for name, _, _ in m.spec.sets], "input": [1, size,
            size, 3], "difference": apart}


def stands_for(name: str) -> str | None:
    """A network's name as a system of a comparison, "imagenet-transfer@resnet50"; None where it names none."""
    return f"{PROTOCOL}@{name}" if is_network(name) else None


def label(name: str) -> str:
    """What a network is called."""
    return label_of(name)


def prepare(asked: Asked) -> Ready:
    """Open the data sets and hold every network's settings against them. Raises `StemmaError`."""
    for option in ("size", "upright", "limit", "precision", "batch", "format", "data_options"):
        if asked.options.get(option):
            raise StemmaError(f"'{option}' means nothing here: {PROTOCOL} {ABOUT}; "
                              + INSTEAD.get(option, "leave it out").format(value=asked.options[option]))
    where = asked.data
    if where.startswith("env:"):
        raise StemmaError(f"a network is carried over to pictures, not to {where}; name data sets with --data")
    found = open_sets(where)
    info = course.info_of(found)
    own: dict[str, dict[str, Any]] = {}
    titles: dict[str, str] = {}
    for ident, (paper, preset) in asked.systems.items():
        network = asked.networks.get(ident)
        own[ident] = {"backbone": network} if network else {}
        settings, weights, _ = course.planned(paper, preset, asked.sets(paper) | own[ident], info)
        with no_pretrained(), torch.device("meta"):
            checkpoint.build(paper, preset, sets=settings, info=info)
        label = label_of(network) if network else papers.get(paper).label
        several = len({p for p, _ in asked.systems.values()}) > 1 or not network
        titles[ident.replace(":", "@")] = f"{papers.get(paper).cli_name}: {label}" if network and several else label
    place, files = _absolute(where)
    about = {"data": {"name": "+".join(s.name for s in found), "where": where, "notes": [f"{s.name}: {n}" for s in found
                                                                                      for n in s.notes]},
             "titles": titles, "sets": [{"name": s.name, "classes": len(s.classes),
                                         "count": {k: len(p) for k, p in s.parts.items()}} for s in found]}
    own = {i: {k: _absolute_network(v) for k, v in s.items()} for i, s in own.items()}
    weights_files = [v for s in own.values() for v in s.values() if Path(v).is_file()]
    return Ready(where, place, about, results.collect, sets=own, files=(*files, *weights_files),
                 fingerprint="+".join(s.digest for s in found))


def _placed(one: str) -> tuple[str, list[str]]:
    """A data set under a name that other processes understand, and the files that it needs; drawn ones need none."""
    kind, colon, rest = one.strip().partition(":")
    if kind == "drawn":
        return one.strip(), []
    if colon and kind == "few":
        number, _, place = rest.partition(":")
        inner, files = _placed(place)
        return f"few:{number}:{inner}", files
    if colon and kind in ("crops", "labels"):
        return f"{kind}:{absolute(rest)}", [str(p) for p in needed(rest)]
    levels = bool(colon) and kind == "levels"
    path = str(Path(rest if levels else one.strip()).expanduser().resolve())
    return f"levels:{path}" if levels else path, [path]


def _absolute(where: str) -> tuple[str, list[str]]:
    """`_placed` of several data sets with commas between."""
    placed = [_placed(one) for one in each_of(where) if one.strip()]
    return ",".join(name for name, _ in placed), list(dict.fromkeys(f for _, files in placed for f in files))


def _absolute_network(name: str) -> str:
    return str(Path(name).expanduser().resolve()) if Path(name).exists() else name


__all__ = ["ABOUT", "INSTEAD", "NETWORKS", "SCORES", "TASKS", "evaluate", "export",
           "label", "predict", "prepare", "stands_for", "train", "trial"]
