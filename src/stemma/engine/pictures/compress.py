"""Make a trained model smaller: its region heads' fully connected layers by truncated SVD (Fast R-CNN sec. 3.1)."""
from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import nn

from ...core.part import edit, leaves
from ...core.types import StemmaError
from ...parts.low_rank import shorten
from ..running import checkpoint
from ..running.runs import Run

END = "head.ranks"  # the setting of a head whose layers may be of low rank


def compress(model: nn.Module | Run | str | Path, ranks: Sequence[int], which: str = "best") -> nn.Module:
    """The model with the first fully connected layers of its region heads in two steps each, through `ranks` numbers; 0
    leaves a layer whole.

    A layer of u x v weights keeps its t largest singular values and has t (u + v) weights then: Fast R-CNN takes
    (1024, 256) for fc6 and fc7. What comes back is a model like any other, whose setting `stages.N.head.ranks` says
    what was done: it predicts, is saved, trains and is exported. The model given stays as it is.

    Raises `StemmaError` when the model has no such layers, or a rank is below 0 or above the layer's smaller side.
    """
    net: Any = checkpoint.resolve(model, which)
    wanted = tuple(int(r) for r in ranks)
    paths = [k for k, _ in leaves(net.spec) if k.endswith(END)]
    name = net.paper.cli_name
    if not paths:
        raise StemmaError(f"{name} has no fully connected layers over regions; truncated SVD shortens those of "
                          "fast-rcnn, faster-rcnn and fpn")
    if not wanted or min(wanted) < 0:
        raise StemmaError(f"the ranks of layers are numbers of 0 or more, one a layer, not {wanted}")
    spec = net.spec
    for path in paths:
        if any(dict(leaves(spec))[path]):
            raise StemmaError(f"{name} has been shortened already ({path} is {dict(leaves(spec))[path]}); give the "
                              "model from before")
        _check(net, path, wanted)
        spec = edit(spec, path, wanted)
    short = spec.build(net.classes)
    short.load_state_dict(shorten(net.state_dict(), short.state_dict()))
    short = checkpoint.adorn(short, net.paper, net.preset, net.recipe, net.info,
                             {**net.sets, **dict.fromkeys(paths, wanted)})
    if hasattr(net, "meta"):
        short.meta = copy.deepcopy(net.meta)
    device = next(net.parameters()).device
    return short.to(device).train(net.training)


def _check(net: Any, path: str, ranks: tuple[int, ...]) -> None:
    """Raises `StemmaError` where a rank is larger than the layer that it should shorten."""
    head = net.heads[int(path.split(".")[1])]
    layers = [m for m in head.body if isinstance(m, nn.Linear)]
    if len(ranks) > len(layers):
        raise StemmaError(f"{len(ranks)} ranks for {len(layers)} fully connected layers")
    for i, (rank, layer) in enumerate(zip(ranks, layers)):
        if rank > min(layer.weight.shape):
            u, v = layer.weight.shape
            raise StemmaError(f"layer {i + 1} is {u} x {v}, so its rank is at most {min(u, v)}, not {rank}")


def shortened(model: nn.Module | Run | str | Path, svd: Sequence[int], which: str = "best") -> nn.Module:
    """The model as it is (`checkpoint.resolve`), or where ranks are given compressed by them."""
    return compress(model, svd, which) if svd else checkpoint.resolve(model, which)


__all__ = ["compress", "shortened"]
