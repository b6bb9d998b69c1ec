"""JSON that other tools wrote: read safely, and numbers out of it; JSON that is written whole or not at all."""
from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from stemma.core import outputs
from stemma.core.samples import DataError
from stemma.core.values import ident

from ..files import read_bytes
from . import columns


def load_json(path: Path) -> tuple[Any, str]:
    """A JSON document and the sha256 of its bytes. Raises DataError for truncated,
    too deeply nested and undecodable files, and where two documents were pasted into one."""
    raw = read_bytes(path)
    digest = hashlib.sha256(raw).hexdigest()
    try:
        return json.loads(raw, object_pairs_hook=partial(_once, path) if _twice(raw) else None), digest
    except json.JSONDecodeError as e:
        cut = e.pos >= len(e.doc.rstrip()) - 1 or "Unterminated" in e.msg
        what = "the JSON ends too early: the file is truncated" if cut else f"is no JSON ({e.msg})"
        raise DataError(str(path), f"{what} at line {e.lineno}, column {e.colno}",
                        "fetch or write the file again") from None
    except RecursionError:
        raise DataError(str(path), "is nested too deeply to be annotations", "check what wrote it") from None
    except UnicodeDecodeError as e:
        raise DataError(str(path), f"is no UTF-8 text (byte {e.start})", "save it as UTF-8") from None
    except ValueError as e:
        raise DataError(str(path), f"holds a number that cannot be read ({str(e)[:80]})",
                        "check what wrote it") from None


def _twice(raw: bytes) -> bool:
    """Whether a list of a document may stand there twice: none does of a plain one."""
    return any(raw.find(k) != raw.rfind(k) for k in columns.LISTS)


def _once(path: Path, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON, of which a list that stands twice would be lost. Raises DataError."""
    found = dict(pairs)
    if len(found) < len(pairs):
        for key in (k.decode().strip('"') for k in columns.LISTS):
            if sum(k == key and isinstance(v, list) for k, v in pairs) > 1:
                raise DataError(str(path), f"has the list {key!r} twice in one object: all but the last would be lost",
                                "put both into one list", field=key)
    return found


def numbers(values: Sequence[Any], width: int) -> np.ndarray:
    """float64 (n, width) from a column of lists; a row that is not `width` numbers, be they text, becomes NaN."""
    if not values:
        return np.zeros((0, width))
    try:
        out = np.asarray(values, dtype=np.float64)
        if out.shape == (len(values), width):
            return out
    except (TypeError, ValueError, OverflowError):
        pass  # row by row below, so that one bad record does not hide the others
    out = np.full((len(values), width), np.nan)
    for k, v in enumerate(values):
        if isinstance(v, list | tuple) and len(v) == width and all(isinstance(x, int | float | str) for x in v):
            try:
                out[k] = [float(x) for x in v]
            except (OverflowError, ValueError):
                out[k] = np.nan
    return out


def whole(value: Any, default: int) -> int:
    """An id as an int64, or `default` for what is none."""
    found = ident(value)
    return found if isinstance(found, int) and -(2**63) <= found < 2**63 else default


def real(value: Any) -> float:
    """A number, or NaN."""
    try:
        return float(value) if isinstance(value, int | float) else math.nan
    except OverflowError:
        return math.nan


def side(value: Any) -> int:
    """Pixels of a picture's side; 0 for what is no such number."""
    found = real(value)
    return int(found) if 0 < found < 1 << 20 else 0


def write_json(path: str | Path, doc: Any) -> Path:
    """A JSON file, complete or not at all. Raises `StemmaError` where a file stands that Stemma did not write."""
    return outputs.put(path, lambda p: p.write_text(json.dumps(doc, allow_nan=False), encoding="utf-8"))
