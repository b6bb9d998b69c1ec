"""What is said of data and pictures before anything heavy is loaded: it imports no torch."""
from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

from ...data.formats import is_scenes, module_of
from ...data.mix import is_mixture, parts_of
from ...data.open import suited
from ..running.asked import find_pictures
from .advice import first_command
from .reading import reading


def look(data: str, format: str | None, tasks: Sequence[str] = (), run: str | None = None) -> None:
    """Raises `DataError` for a place that is not there or holds no data set of a known format. `run`: where its data
    are the same, they are read as it read them."""
    if is_mixture(data):
        for place, _, alone in parts_of(data):
            if not alone and not is_scenes(place):
                module_of(place, format)
    elif not is_scenes(data):
        format, _ = reading(run, data, format, None)
        for task in tasks or ("",):
            module_of(data, suited(data, task, format)[0])


def pictures(images: Any) -> None:
    """Raises `StemmaError` where there are none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what is left out is said when they are read
        find_pictures(images)


__all__ = ["first_command", "look", "pictures"]
