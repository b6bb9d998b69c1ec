"""What is said of edits before anything heavy is loaded: it imports no torch."""
from __future__ import annotations

from collections.abc import Sequence

from ...data.editing.open import is_edits, open_edits


def look(data: str, format: str | None, tasks: Sequence[str] = (), run: str | None = None) -> None:
    """Raises `DataError` for a place that holds no edits."""
    if not is_edits(data):
        open_edits(data)


__all__ = ["look"]
