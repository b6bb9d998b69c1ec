"""MATLAB's files of annotations (-v5 to -v7), through scipy: numbers, texts, cells and structs of the variables that
are asked for. Nothing in such a file is run; what MATLAB keeps as objects or functions is not read."""
from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import numpy as np

from stemma.core.samples import DataError

from ..files import read_bytes

MOST = 1 << 28  # bytes of a file; annotations of whole data sets have a tenth of it


def names_in(raw: bytes, path: Path) -> list[str]:
    """The names of a file's variables. Raises DataError where it is no MATLAB file that can be read."""
    import scipy.io

    if len(raw) > MOST:
        raise DataError(str(path), f"has {len(raw) >> 20} MB",
                        f"a MATLAB file of more than {MOST >> 20} MB is not read")
    try:
        return [str(name) for name, _, _ in scipy.io.whosmat(io.BytesIO(raw))]
    except Exception as e:  # scipy raises whatever a broken byte leads it to
        raise DataError(str(path), f"is no MATLAB file of version 5 to 7 ({_said(e)})",
                        "save it in MATLAB with -v6 or -v7") from None


def variables(path: Path, wanted: str) -> dict[str, Any]:
    """The variables whose names fit `wanted`, a regex: structs as dicts, cells and rows of structs as lists, a struct
    alone as itself. Raises DataError."""
    import scipy.io

    raw = read_bytes(path)
    names = [n for n in names_in(raw, path) if re.fullmatch(wanted, n)]
    if not names:
        return {}
    try:
        found = scipy.io.loadmat(io.BytesIO(raw), variable_names=names, struct_as_record=False)
    except Exception as e:
        raise DataError(str(path), f"breaks off or is damaged ({_said(e)})", "copy it anew") from None
    return {n: _plain(found[n]) for n in names if n in found}


def _plain(value: Any) -> Any:
    """Structs as dicts, cells as lists, texts as texts, all the way down; a struct alone as itself."""
    if hasattr(value, "_fieldnames"):
        return {n: _plain(getattr(value, n)) for n in value._fieldnames}
    if not isinstance(value, np.ndarray):
        return value
    if value.dtype.kind in "US":
        return str(value.item()) if value.size == 1 else "".join(map(str, value.reshape(-1)))
    if value.dtype != object:
        return value
    flat = value.reshape(-1)
    return _plain(flat[0]) if len(flat) == 1 and hasattr(flat[0], "_fieldnames") else [_plain(v) for v in flat]


def rows(value: Any) -> list[Any]:
    """What stands in a cell, a row of structs or a table: a struct alone is one, an empty matrix none."""
    if isinstance(value, np.ndarray):
        return list(np.atleast_1d(value)) if value.size else []
    return value if isinstance(value, list) else [value]


def numbers(value: Any, count: int) -> list[float] | None:
    """So many finite numbers, or None."""
    try:
        found = np.asarray(value, np.float64).reshape(-1)
    except (TypeError, ValueError, OverflowError):
        return None
    return [float(v) for v in found] if len(found) == count and np.isfinite(found).all() else None


def _said(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:80]


__all__ = ["names_in", "numbers", "rows", "variables"]
