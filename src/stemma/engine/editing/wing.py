"""What the wing of editing offers to the common commands (`engine.wings`)."""
from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn

from ...core.types import StemmaError
from ..running import checkpoint
from ..running.runs import Run
from . import GUESTS, TASKS
from .fit import train
from .measure import evaluate
from .show import predict
from .trial import prepare, trial

SCORES = ("right",)
ABOUT = "edits pictures as a sentence says"
INSTEAD = {
    "threshold": "it says no scores",
    "outputs": "an edit is many passes of its network with noise between, and no one graph of a picture to export",
    "tile": "its pictures are brought to the network's size; train it at another with --size",
    "upright": "a sentence may speak of left and right, so that pictures are mirrored as the recipe says",
    "format": "drawn edits and the two layouts of folders are known by themselves",
}


def export(model: nn.Module | Run | str | Path, *given: Any, **options: Any) -> dict[str, Any]:
    """Raises `StemmaError`: an edit is many passes with noise between, and no one graph."""
    raise StemmaError(f"{checkpoint.card_of(model).cli_name} {ABOUT}, in many passes of its network with noise "
                      "between; there is no one graph of a picture to export")


__all__ = ["ABOUT", "GUESTS", "INSTEAD", "SCORES", "TASKS", "evaluate", "export", "predict",
           "prepare", "train", "trial"]
