"""Which doctor looks at which data: a kind of data that is not pictures with truth brings its own,
`data/KIND/doctor.py` with `knows(where)` and `examine`, and `LOOSE` where much of other kinds looks like its own; all
else is `data.doctor`'s."""
from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from ..core.samples import DataError
from .doctor import examine
from .mix import is_mixture, parts_of


def examiner(where: str | Path, format: str | None = None) -> Callable[..., Any]:
    """The `examine` for the data at `where`; a format that was named is one of pictures with truth. Raises `DataError`
    for several data sets mixed."""
    if is_mixture(where):
        each = [place for place, _, _ in parts_of(str(where))]
        what = f"is {len(each)} data sets, mixed" if len(each) > 1 else "says how data are taken into a mixture"
        raise DataError(str(where), what, "look at each alone: " + ", ".join(f"stemma doctor {one}" for one in each))
    names = sorted(own.parent.name for own in Path(__file__).parent.glob("*/doctor.py")) if format is None else []
    modules = [import_module(f".{name}.doctor", __package__) for name in names]
    for module in sorted(modules, key=lambda m: getattr(m, "LOOSE", False)):
        if module.knows(where):
            found: Callable[..., Any] = module.examine
            return found
    return examine


__all__ = ["examiner"]
