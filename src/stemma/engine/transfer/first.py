"""What is said of data sets with classes before anything heavy is loaded: it imports no torch."""
from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ...data.classes import folders
from ...data.finding import each_of
from ...data.labelled import drawn_sets, open_set

NETWORKS = True  # beside its papers, names may be those of networks


def look(data: str, format: str | None, tasks: Sequence[str] = (), run: str | None = None) -> None:
    """Raises `DataError` for one place, whole by its name, that is not there or holds no pictures by class."""
    path = Path(data).expanduser()
    if ":" not in data and each_of(data) == drawn_sets(data) == [data] and not (path.is_dir() and folders.counts(path)):
        open_set(data)


__all__ = ["look"]
