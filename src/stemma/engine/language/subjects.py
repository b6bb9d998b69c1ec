"""What a system of language is about: a module for each kind, found by the model's `subject`. The loop, runs, commands
and pages ask it and know none.

A subject opens data (`open_`), hands batches, measures while training (`check`) and after (`measure`), and answers
(`predict`).
"""
from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import Any, Protocol

import numpy as np
from torch import Tensor, nn

from ...core.types import Info, StemmaError


class Corpus(Protocol):
    """Data that are learned from: rows to draw batches of, and what is measured of a model on them."""

    name: str
    fingerprint: str  # equal of equal data
    info: Info
    about: str  # a sentence on what it is
    main: str  # of what `check` says, the number that chooses the best weights
    higher: bool  # whether more of it is better

    def __len__(self) -> int: ...
    def handed(self, model: nn.Module, seed: int) -> None: ...
    def batch(self, rows: np.ndarray) -> dict[str, Tensor]: ...
    def counted(self, model: nn.Module) -> None: ...
    def check(self, model: nn.Module) -> dict[str, float]: ...


SUBJECTS = ("facts", "meanings")


def subject(name: str) -> ModuleType:
    """The module of a subject."""
    return import_module(f".{name}", __package__)


def of_data(data: Any) -> str:
    """The subject that data belong to. Raises `StemmaError` for data of none."""
    for name in SUBJECTS:
        if subject(name).known(data):
            return name
    raise StemmaError(f"'{data}' is nothing that language is learned from; there are "
                      + "; ".join(subject(n).SAYS for n in SUBJECTS))


__all__ = ["SUBJECTS", "Corpus", "of_data", "subject"]
