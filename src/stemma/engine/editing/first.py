"""What is said of edits before anything heavy is loaded: it imports no torch."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...data.editing.open import is_asked_about, is_edits, open_edits, weighed
from ...data.finding import each_of


def look(data: str, format: str | None, tasks: Sequence[str] = (), run: str | None = None) -> None:
    """Raises `DataError` for a place that holds no edits."""
    if not is_edits(data):
        open_edits(data)


def first_command(where: str, format: str | None = None,
                  data_options: dict[str, Any] | None = None) -> dict[str, str] | None:
    """The command to begin with on edits; None on other data."""
    if not is_edits(where):
        return None
    paper = "instruct-diffusion" if any(is_asked_about(weighed(p)[1]) for p in each_of(where)) else "instruct-pix2pix"
    return {"command": f"stemma train {paper} --data {where} --budget 10m",
            "says": "the small preset learns at 16 pixels; --size 32 sees more and takes longer, --preset paper "
            "wants a GPU"}


__all__ = ["first_command", "look"]
