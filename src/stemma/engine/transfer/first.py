"""What is said of data sets with classes before anything heavy is loaded: it imports no torch."""
from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...core.samples import DataError
from ...data.classes import folders
from ...data.finding import each_of
from ...data.labelled import drawn_sets, open_set
from . import TASKS

NETWORKS = True  # beside its papers, names may be those of networks


def look(data: str, format: str | None, tasks: Sequence[str] = (), run: str | None = None) -> None:
    """Raises `DataError` for one place, whole by its name, that is not there or holds no pictures by class."""
    path = Path(data).expanduser()
    if ":" not in data and each_of(data) == drawn_sets(data) == [data] and not (path.is_dir() and folders.counts(path)):
        open_set(data)


def first_command(where: str, format: str | None = None,
                  data_options: dict[str, Any] | None = None) -> dict[str, str] | None:
    """A comparison of two networks, for a folder of class folders; None for other data."""
    if format or data_options or not Path(where).is_dir():
        return None
    try:
        found = open_set(where)
    except DataError:
        return None
    from ...core import paper as papers  # which brings torch: for these data alone

    takers = " and ".join(p.cli_name for p in papers.papers() if p.task in TASKS)
    return {"command": f"stemma compare tiny-8 tiny-16 --data {where}",
            "says": f"{len(found.classes)} classes of pictures: {takers} take them, which carry networks over; give "
            "others by their timm names, or files of weights"}


__all__ = ["first_command", "look"]
