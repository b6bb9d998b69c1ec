"""Stemma: a reading list of detection and segmentation papers that runs.

    stemma.build("retinanet", classes=3)                     an untrained model: loss(batch), predict(images)
    stemma.train("retinanet", "scenes", budget="60s")        a run folder
    stemma.load("runs/x").predict(images)                    a trained model
    stemma.evaluate("runs/x", "scenes")                      its metrics
    stemma.predict("runs/x", "photos/")                      boxes, masks and maps in pixels of the files
    stemma.compare(["fpn", "ssd"], "scenes", budget="60s")   a report

Importing this package loads nothing heavy; each name loads what it needs when it is first used.
"""
from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .core.paper import get as paper
    from .core.samples import DataError, StemmaError
    from .data.open import open_dataset
    from .data.scenes import Scenes
    from .engine.pictures.compress import compress
    from .engine.pictures.import_torchvision import from_torchvision
    from .engine.running.checkpoint import build, load, save
    from .engine.running.runs import Run
    from .engine.wings import evaluate, export, predict, train
    from .report import compare

__version__ = "0.1.0"

_HOMES = {
    **dict.fromkeys(("build", "load", "save"), "engine.running.checkpoint"), "Run": "engine.running.runs",
    **dict.fromkeys(("train", "evaluate", "predict", "export"), "engine.wings"), "compare": "report",
    "compress": "engine.pictures.compress", "from_torchvision": "engine.pictures.import_torchvision",
    "open_dataset": "data.open", "Scenes": "data.scenes", "StemmaError": "core.samples", "DataError": "core.samples",
}

__all__ = [
    "DataError", "Run", "Scenes", "StemmaError", "build", "compare", "compress", "evaluate", "export",
    "from_torchvision", "load", "open_dataset", "paper", "predict", "save", "train",
]


def __getattr__(name: str) -> Any:
    if name == "paper":
        return importlib.import_module(".core.paper", __name__).get
    if name in _HOMES:
        return getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)
    raise AttributeError(f"module 'stemma' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
