"""Which doctor looks at which data: a kind of data that is not pictures with truth brings its own,
`data/KIND/doctor.py` with `knows(where)` and `examine`, and `LOOSE` where much of other kinds looks like its own; all
else is `data.doctor`'s. `near_miss(where)` is the error of a folder that is meant for a kind and lacks something of it;
it is asked before a loose kind takes the folder. Of data that are made of others, each of these is looked at."""
from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from ..core.samples import DataError
from .doctor import Report, examine
from .finding import each_of
from .formats import formats_at
from .labelled import drawn_sets, open_sets
from .mix import is_joined, is_mixture, parts_of
from .open import is_scenes, open_dataset
from .records import Fault

_TAKES = {"few": 2, "crops": 1, "labels": 1, "levels": 1}  # words before a place, and behind which colon it stands


def examiner(where: str | Path, format: str | None = None) -> Callable[..., Any]:
    """The `examine` for the data at `where`; a format that was named is one of pictures with truth. Raises `DataError`
    for a folder that is a near miss of a kind, and of no other."""
    if made_of(where) != [str(where)]:
        return examine_parts
    names = sorted(own.parent.name for own in Path(__file__).parent.glob("*/doctor.py")) if format is None else []
    modules = [import_module(f".{name}.doctor", __package__) for name in names]
    loose = lambda m: getattr(m, "LOOSE", False)
    kind = next((m for m in sorted(modules, key=loose) if m.knows(where)), None)
    missed = [m.near_miss for m in modules if hasattr(m, "near_miss")] if kind is None or loose(kind) else []
    if missed and (kind is not None or _of_no_format(where)):
        for error in (miss(where) for miss in missed):
            if error is not None:
                raise error
    found: Callable[..., Any] = examine if kind is None else kind.examine
    return found


def _of_no_format(where: str | Path) -> bool:
    return (path := Path(where).expanduser()).is_dir() and not formats_at(path)


def made_of(where: str | Path) -> list[str]:
    """The places that a name is made of: the parts of a mixture, sets with commas between, what is behind few:30:,
    crops:, labels: or levels:; the name itself where it is one place."""
    text = str(where)
    if is_scenes(text) or Path(text).expanduser().exists():
        return [text]
    if is_mixture(text):
        each = [place for place, _, _ in parts_of(text)]
    elif len(parts := each_of(text)) > 1:
        each = parts
    elif len(drawn := drawn_sets(text)) > 1:
        return drawn
    elif (colons := _TAKES.get(text.partition(":")[0])) and text.count(":") >= colons:
        each = [text.split(":", colons)[colons]]
    else:
        return [text]
    return list(dict.fromkeys(inner for one in each for inner in made_of(one)))


def examine_parts(where: str | Path, format: str | None = None, **options: Any) -> Report:
    """Each of the places that a name is made of, as its own doctor looks at it, and whether they can be opened together
    as the name says."""
    text = str(where)
    places = made_of(text)
    told = {k: options[k] for k in ("progress", "decode", "near", "workers") if k in options}
    own = {k: v for k, v in options.items() if k not in told}  # how the first is read, and others that are joined to it
    report, formats = Report(text, ""), []
    for k, place in enumerate(places):
        more = own if k == 0 or is_joined(text) else {}
        found: Report = examiner(place, format)(place, format, **told, **more)
        formats.append(found.format)
        _add(report, found, f"{place}: " if len(places) > 1 else "")
    report.format = "+".join(dict.fromkeys(formats))
    if len(places) > 1:
        report.notes.append("pictures that are in two of these sets are not looked for")
    if not report.refused:
        try:
            _together(text, format, own)
        except DataError as e:
            report.faults.append(Fault.of(e, "not to be opened together" if len(places) > 1 else "nothing to learn"))
    return report


def _together(where: str, format: str | None, options: dict[str, Any]) -> None:
    """Open what a name says. Raises DataError."""
    if is_mixture(where):
        open_dataset(where, "train", format, **options)
    elif not any(map(is_scenes, made_of(where))):
        open_sets(where)


def _add(report: Report, found: Report, of: str) -> None:
    """Put what was found at one place to a report, under its name."""
    report.kinds = tuple(dict.fromkeys((*report.kinds, *found.kinds)))
    report.classes = tuple(dict.fromkeys((*report.classes, *found.classes)))
    report.splits |= {of + k: v for k, v in found.splits.items()}
    report.opened |= {of + k: v for k, v in found.opened.items()}
    report.objects |= {of + k: v for k, v in found.objects.items()}
    report.faults += found.faults
    report.notes += [of + note for note in found.notes]
    report.alike += [(of + a, i, of + b, j) for a, i, b, j in found.alike]
    report.twice += found.twice
    for mine, theirs in zip(vars(report.unused).values(), vars(found.unused).values()):
        mine += theirs


__all__ = ["examiner", "made_of"]
