"""Which wing a task belongs to, and what its trainings read of a recipe. The heads of the wings' packages tell it, so
that a card is shown before anything that trains is imported.
"""
from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Iterable
from typing import Any

from ..core.recipe import Recipe
from ..core.samples import StemmaError


@functools.cache
def homes() -> dict[str, str]:
    """Task -> name of its wing."""
    here = importlib.import_module(__package__ or "stemma.engine")
    names = [m.name for m in pkgutil.iter_modules(here.__path__) if m.ispkg]
    return {task: name for name in names for task in getattr(head_of(name), "TASKS", ())}


def head_of(name: str) -> Any:
    """The package of a wing, without its modules."""
    return importlib.import_module(f"{__package__}.{name}")


def name_of(task: str) -> str:
    """The name of the wing that a task belongs to. Raises `StemmaError` for a task that none does."""
    if task not in homes():
        raise StemmaError(f"nothing here trains or measures systems of the task '{task}'; there are "
                          f"{', '.join(sorted(homes()))}")
    return homes()[task]


def unread(task: str, recipe: Recipe) -> tuple[str, ...]:
    """What a recipe holds and trainings of a task's wing do not read: what paths within it begin with."""
    head = head_of(name_of(task))
    return (*head.UNREAD, *(head.idle(recipe) if hasattr(head, "idle") else ()))


def lies_in(path: str, beginnings: Iterable[str]) -> bool:
    """Whether a dotted path is one of these or lies below it."""
    return any(path == b or path.startswith(f"{b}.") for b in beginnings)


__all__ = ["head_of", "homes", "lies_in", "name_of", "unread"]
