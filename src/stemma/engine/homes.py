"""Which wing a task belongs to, what its trainings read of a recipe, and what to begin with on data. The heads of the
wings' packages and their modules `first` tell it, so that a card is shown, and data are looked at, before anything that
trains is imported.
"""
from __future__ import annotations

import functools
import importlib
import importlib.util
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


def first_command(
    where: str, format: str | None = None, data_options: dict[str, Any] | None = None
) -> dict[str, str] | None:
    """{"command", "says"} of the first wing that knows what to begin with on the data at `where`; None where none
    does. Raises what a wing says of data that it cannot open, where no other one can."""
    wrong: StemmaError | None = None
    for name in dict.fromkeys(homes().values()):
        there = importlib.util.find_spec(f"{__package__}.{name}.first") is not None
        head = importlib.import_module(f"{__package__}.{name}.first") if there else None
        asked = getattr(head, "first_command", None)
        try:
            if asked is not None and (found := asked(where, format, data_options)) is not None:
                return dict(found)
        except StemmaError as error:
            wrong = wrong or error
    if wrong is not None:
        raise wrong
    return None


def lies_in(path: str, beginnings: Iterable[str]) -> bool:
    """Whether a dotted path is one of these or lies below it."""
    return any(path == b or path.startswith(f"{b}.") for b in beginnings)


__all__ = ["first_command", "head_of", "homes", "lies_in", "name_of", "unread"]
