"""How a run read its data: kept in its run.json, so that the same data is read alike again."""
from __future__ import annotations

from pathlib import Path
from typing import Any

from ...core.samples import Dataset
from ...data.open import absolute
from ...data.options import anchored
from ..running.places import data_of


def reading(
    model: Any, data: str | Path | Dataset, format: str | None, options: dict[str, Any] | None
) -> tuple[str | None, dict[str, Any]]:
    """Format and reader's options for `data`: those that were given, else those of the run that `model` names (a run,
    its folder, or a weights file in it) where it read the same data, and in no other format."""
    said = anchored(options, data)
    where = getattr(model, "path", model)
    kept = data_of(where) if isinstance(where, (str, Path)) else {}
    if said or not kept.get("place") or not isinstance(data, (str, Path)) or kept["place"] != absolute(data):
        return format, said
    if format not in (None, kept.get("format")):
        return format, said  # options are of a format
    return kept.get("format"), dict(kept.get("options") or {})


def kept_as(data: str | Path | Dataset, format: str | None, options: dict[str, Any]) -> dict[str, Any]:
    """What run.json keeps of it, where anything was told."""
    place = absolute(data) if isinstance(data, (str, Path)) else None
    return {"place": place, "options": options} if options or format and place else {}


__all__ = ["kept_as", "reading"]
