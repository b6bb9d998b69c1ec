"""How data is read where it does not say so itself: the options of the readers, by one name in Python and one flag on
every command that reads data."""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Option:
    """An option of the readers. `paths`: it may name files or folders. `flags`: how it is typed, "--yes/--no" for one
    that says which; `value`: what follows it, "" where nothing does."""

    name: str
    flags: str
    value: str
    help: str
    paths: bool = False
    several: bool = False


OPTIONS = (
    Option("images", "--images", "FOLDER", "Where the pictures lie, in the data folder or anywhere.", True),
    Option("labels", "--labels", "PLACE", "Where the annotations lie: a folder or file, or the name of one of several "
           "(instances, person_keypoints; Main, Segmentation).", True),
    Option("maps", "--maps", "KIND", "What the numbers of maps are: instance, class or binary. Of panoptic data, the "
           "folder of maps.", True),
    Option("names", "--classes", "FILE",
           "Class names, one a line, in the order of their numbers; or first,second.", True),
    Option("split_file", "--split-file", "FILE", "Which picture is in which split: a table of pictures and splits, or "
           "a list whose file name says the split. Repeatable.", True, True),
    Option("one_based", "--one-based/--zero-based", "",
           "Whether Pascal VOC's corners count pixels from 1. Seen from the corners when not said."),
    Option("train_split", "--train-split", "NAME", "The split to train on: one of the data's own, or trainval, "
           "which is train and val together where there is none of that name."),
    Option("drop_records", "--drop-records", "", "Where a record cannot be read as an object (a line, a point, a box "
           "without extent), leave out it alone and keep its picture: what it marks counts as background."),
    Option("follow_links", "--follow-links", "", "Read what lies behind links that lead out of the data folder."),
    Option("people", "--people", "KIND", "Of CrowdHuman, CityPersons and Caltech, which boxes: full, visible (what can "
           "be seen), or CrowdHuman's head."),
    Option("encoding", "--encoding", "KIND", "Of panoptic maps: rgb, or 2ch for panopticapi's two channels."),
)
_BY_NAME = {o.name: o for o in OPTIONS}


def spelled(name: str, value: str = "") -> str:
    """An option as it is typed, and as it is written in Python: "--images FOLDER (in Python images=...)"."""
    o = _BY_NAME.get(name)
    if o is None:
        return f"{name}={value or '...'} (in Python)"
    flag = o.flags.split("/")[0]
    what = value or o.value
    return f"{flag}{' ' if what else ''}{what} (in Python {name}={repr(value) if value else '...' if what else 'True'})"


def flag_of(name: str) -> str:
    """An option as it is typed, where it can be."""
    return _BY_NAME[name].flags if name in _BY_NAME else name


def typed(options: Mapping[str, Any]) -> list[str]:
    """Options as words of a command line."""
    out: list[str] = []
    for o in OPTIONS:
        value = options.get(o.name)
        yes, _, no = o.flags.partition("/")
        if isinstance(value, bool):
            out += [yes] if value else [no] if no else []
        elif value is not None:
            out += [w for v in (value if isinstance(value, (list, tuple)) and o.several else [value])
                    for w in (yes, ",".join(map(str, v)) if isinstance(v, (list, tuple)) else str(v))]
    return out


def anchored(options: Mapping[str, Any] | None, where: Any) -> dict[str, Any]:
    """Options that mean the same from any folder: paths that do not lie in the data folder are made absolute. `None`
    values are left out."""
    out = {k: v for k, v in (options or {}).items() if v is not None}
    base = Path(where) if isinstance(where, (str, Path)) else None
    base = base.parent if base is not None and base.is_file() else base
    for k, v in out.items():
        if k in _BY_NAME and _BY_NAME[k].paths:
            several = isinstance(v, (list, tuple)) and _BY_NAME[k].several
            fixed = [_fixed(x, base) for x in (v if several else [v])]
            out[k] = fixed if several else fixed[0]
    return out


def _fixed(value: Any, base: Path | None) -> Any:
    if not isinstance(value, (str, Path)):
        return value
    try:
        if base is not None and (base / value).exists() or not Path(value).expanduser().exists():
            return str(value)
        return str(Path(value).expanduser().resolve())
    except (OSError, ValueError):
        return str(value)


__all__ = ["OPTIONS", "Option", "anchored", "flag_of", "spelled", "typed"]
