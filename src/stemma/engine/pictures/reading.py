"""What a run learned from, and how it read that: kept in its run.json, so that the same data is found again, and read
alike."""
from __future__ import annotations

from pathlib import Path
from typing import Any

from ...core.samples import Dataset, StemmaError
from ...data.mix import is_joined, is_mixture
from ...data.open import absolute, is_scenes
from ...data.options import anchored
from ..running.places import data_of, learned_from


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


def remembered(model: Any) -> str | None:
    """What the run that `model` names learned from: by the name that it was told, where that leads somewhere, else by
    its place on the disk, for whoever works in another folder now. None where no run is. Raises `StemmaError` where it
    is at neither."""
    name, run = learned_from(model), getattr(model, "path", model)
    if name is None or not isinstance(at := data_of(run).get("at"), str) or is_scenes(name):
        return name
    for place in (name, at):
        if Path(place).expanduser().exists() or is_joined(place):
            return place
    if is_mixture(at):
        return at
    raise StemmaError(f"{run} was trained on {name}, which is not there any more"
                      + f", nor at {at}" * (at != absolute(name)) + "; say with --data where it lies now")


__all__ = ["kept_as", "reading", "remembered"]
