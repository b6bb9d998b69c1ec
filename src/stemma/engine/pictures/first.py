"""What is said of data before anything heavy is loaded: it imports no torch."""
from __future__ import annotations

from ...data.formats import is_scenes, module_of
from ...data.mix import is_mixture


def look(data: str, format: str | None = None) -> None:
    """Raises `DataError` for a place that is not there or holds no data set of a known format."""
    if not is_scenes(data) and not is_mixture(data):
        module_of(data, format)


__all__ = ["look"]
