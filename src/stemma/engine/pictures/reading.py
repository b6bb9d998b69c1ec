"""How a run read its data: kept in its run.json, so that the same data is read alike again."""
from __future__ import annotations

from pathlib import Path
from typing import Any

from ...core.types import Dataset
from ...data.open import absolute
from ...data.options import anchored
from ..running.runs import Run


def reading(
    model: Any, data: str | Path | Dataset, format: str | None, options: dict[str, Any] | None
) -> tuple[str | None, dict[str, Any]]:
    """Format and reader's options for `data`: those that were given, else those of the run that `model` names (a run,
    its folder, or a weights file in it) where it read the same data."""
    said = anchored(options, data)
    kept = _kept(model)
    if said or not kept.get("options") or not isinstance(data, (str, Path)) or kept.get("place") != absolute(data):
        return format, said
    return format or kept.get("format"), dict(kept["options"])


def kept_as(data: str | Path | Dataset, options: dict[str, Any]) -> dict[str, Any]:
    """What run.json keeps of it."""
    place = absolute(data) if isinstance(data, (str, Path)) else None
    return {"place": place, "options": options} if options else {}


def _kept(model: Any) -> dict[str, Any]:
    if isinstance(model, Run):
        path = model.path
    elif isinstance(model, (str, Path)):
        path = Path(model) if Path(model).is_dir() else Path(model).parent
    else:
        return {}
    if not (path / "run.json").is_file():
        return {}
    found = Run.open(path).record.get("data")
    return found if isinstance(found, dict) else {}


__all__ = ["kept_as", "reading"]
