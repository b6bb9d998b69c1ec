"""Where the weights of a run lie. It imports no torch, so that a wrong path is told at once."""
from __future__ import annotations

import os
from pathlib import Path

from ...core.samples import StemmaError


def find(where: str | os.PathLike[str], which: str = "best") -> Path:
    """The weights file that a path means: itself, or `best`/`last` in a run folder (`last` where there is no best)."""
    path = Path(where)
    if which not in ("best", "last"):
        raise StemmaError(f"a run has 'best' and 'last' weights, not '{which}'")
    if not path.is_dir():
        return path
    for name in (which, "last", "best"):
        if (path / f"{name}.safetensors").is_file():
            return path / f"{name}.safetensors"
    raise StemmaError(f"no weights in {path}: it has neither best.safetensors nor last.safetensors")


def checked(path: Path) -> Path:
    """A file that is there. Raises `StemmaError`."""
    if not path.is_file():
        raise StemmaError(f"no checkpoint at {path}")
    return path


def there(where: str | os.PathLike[str], which: str = "best") -> Path:
    """`find`, of a file that is there. Raises `StemmaError`."""
    return checked(find(where, which))


__all__ = ["checked", "find", "there"]
