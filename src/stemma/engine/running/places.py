"""Where the weights of a run lie, and what files beside and within say of it. It imports no torch, so that a wrong path
is told at once."""
from __future__ import annotations

import json
import os
import warnings
from pathlib import Path
from typing import Any

from ...core.samples import StemmaError

KEY = "stemma"  # what a weights file's metadata is called
_LONGEST = 1 << 26  # bytes of a header that is read


def find(where: str | os.PathLike[str], which: str = "best") -> Path:
    """The weights file that a path means: itself, or `best`/`last` in a run folder (`last` where there is no best)."""
    path = Path(where)
    if which not in ("best", "last"):
        raise StemmaError(f"a run has 'best' and 'last' weights, not '{which}'")
    if not path.is_dir():
        return path
    for name in (which, "last", "best"):
        if (path / f"{name}.safetensors").is_file():
            if name != which and _apart(path):
                warnings.warn(f"{path} has no {which}.safetensors: {name}.safetensors is read", stacklevel=2)
            return path / f"{name}.safetensors"
    raise StemmaError(f"no weights in {path}: it has neither best.safetensors nor last.safetensors"
                      + _runs(path))


def _apart(run: Path) -> bool:
    """Whether a run's best weights are others than its last, as its run.json says."""
    record = _record(run)
    try:
        return bool(record["best"]["step"] != record["spent"]["steps"])
    except (KeyError, TypeError):
        return False


def _record(run: Path) -> dict[str, Any]:
    """run.json of a folder; {} where there is none that can be read."""
    try:
        found = json.loads((run / "run.json").read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def checked(path: Path) -> Path:
    """A file that is there. Raises `StemmaError`."""
    if not path.is_file():
        raise StemmaError(f"no checkpoint at {path}{_runs(path.parent)}")
    return path


def _runs(folder: Path) -> str:
    """The runs that lie in a folder, for whoever named none of them; nothing where there are none."""
    found = sorted(x.parent for x in folder.glob("*/run.json"))
    return f"; there are: {', '.join(map(str, found[:8]))}{', ...' * (len(found) > 8)}" * bool(found)


def there(where: str | os.PathLike[str], which: str = "best") -> Path:
    """`find`, of a file that is there. Raises `StemmaError`."""
    return checked(find(where, which))


def told(where: str | os.PathLike[str], which: str = "best") -> tuple[str, str]:
    """(paper, preset) of a weights file by its header alone; empty where it does not say: then it is read as a whole,
    which says what is wrong with it."""
    try:
        with open(find(where, which), "rb") as f:
            size = int.from_bytes(f.read(8), "little")
            head = json.loads(f.read(size)) if size <= _LONGEST else {}
        meta = json.loads(head["__metadata__"][KEY])
        return str(meta["paper"]), str(meta.get("preset", ""))
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return "", ""


def data_of(where: str | os.PathLike[str]) -> dict[str, Any]:
    """What run.json keeps of the data of a run (its folder, or a weights file in it); {} where there is none."""
    kept = _record(Path(where) if Path(where).is_dir() else Path(where).parent).get("data")
    return kept if isinstance(kept, dict) else {}


def learned_from(model: Any) -> str | None:
    """What a run learned from, as its run.json names it; None for a model, or where no run is."""
    where = getattr(model, "path", model)
    found = data_of(where).get("where") if isinstance(where, (str, Path)) else None
    return found if isinstance(found, str) else None


__all__ = ["KEY", "checked", "data_of", "find", "learned_from", "there", "told"]
