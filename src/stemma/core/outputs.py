"""Writing to disk, and its one rule: a file that Stemma did not write is never replaced.

Every folder that results are written into keeps a journal, `.stemma-written.jsonl`: a line a file with its name, the
hash of its bytes and whether it says what a model predicted. A file is ours while it is the one that the journal speaks
of. It may be written again, and what was predicted never comes back as input; anything else that stands in the way of a
result is left alone, and the error names it.
"""
from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path

from .samples import StemmaError

JOURNAL = ".stemma-written.jsonl"


def cache() -> Path:
    """Where what can be made anew is kept (drawn scenes, boxes, features, prices, columns): `$STEMMA_CACHE`, else
    ~/.cache/stemma; for a user without a home, a path that takes no file, so that nothing is kept."""
    said = os.environ.get("STEMMA_CACHE")
    try:
        return Path(said).expanduser() if said else Path.home() / ".cache" / "stemma"
    except RuntimeError:
        return Path(os.devnull) / "stemma"


def ours(path: str | Path) -> bool:
    """Whether the file at `path` is one that was written by `put` and not changed since."""
    return _said(Path(path)) is not None


def predicted(path: str | Path) -> bool:
    """Whether the file at `path` is ours and says what a model predicted: a drawn copy, a map, a list of detections."""
    return bool(_said(Path(path)))


def claim(paths: Iterable[str | Path], option: str = "--out", known: Callable[[Path], bool] = ours) -> None:
    """Raises `StemmaError`, naming the first of `paths` where something stands that `put` did not write.

    option: what chooses another place. known: another way to tell our files, where they say themselves what they are.
    """
    for path in map(Path, paths):
        above = next((p for p in path.parents if os.path.lexists(p)), Path())
        if not above.is_dir():
            raise StemmaError(f"cannot write {path}: {above} is not a folder; choose another {option}")
        if path.is_dir() and not path.is_symlink():
            raise StemmaError(f"{path} is a folder, and a file of that name is to be written; choose another {option}")
        if os.path.lexists(path) and (path.is_symlink() or not known(path)):
            raise StemmaError(f"{path} is there, and it is not as Stemma wrote it, so it is not replaced; "
                              f"choose another {option}")


def put(path: str | Path, write: Callable[[Path], object], option: str = "--out", prediction: bool = False) -> Path:
    """A result at `path`: `write` is handed another name beside it, and what it wrote there is moved into place,
    whole or not at all.

    prediction: it says what a model predicted, and is no input of ours.
    Raises `StemmaError` where a file stands that is not ours (`claim`), or the disk does not take it.
    """
    path = Path(path)
    claim([path], option)
    return replace(path, write, journal={"prediction": prediction})


def put_text(path: str | Path, text: str, option: str = "--out", prediction: bool = False) -> Path:
    """`put` of a text file, UTF-8; bytes of a file's name that are no text are spelled out."""
    return put(path, lambda p: p.write_text(text, encoding="utf-8", errors="backslashreplace"), option, prediction)


def clear(folder: str | Path) -> None:
    """Remove the files of `folder` that are ours. Others stay."""
    for name in _journal(Path(folder)):
        if ours(Path(folder) / name):
            (Path(folder) / name).unlink()


def replace(path: str | Path, write: Callable[[Path], object], journal: dict[str, bool] | None = None) -> Path:
    """Write a new file beside `path`, flush it to the disk, and rename it over `path`. On failure `path` is as it was.

    For files inside a folder that is ours as a whole, such as a run's; `put` asks first.
    Raises `StemmaError` when the disk is full or not writable.
    """
    path = Path(path)
    fresh = path.with_name(f".{path.stem}.{os.getpid()}.new{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh.touch()
        mode = fresh.stat().st_mode
        write(fresh)
        os.chmod(fresh, mode)  # as any new file's; safetensors makes its own, for the owner alone
        with open(fresh, "rb+") as f:
            os.fsync(f.fileno())
        # before the file is in place: a kill between the two leaves a line too many, and never a file that we disown
        if journal is not None:
            with open(path.parent / JOURNAL, "a", encoding="utf-8") as f:
                f.write(json.dumps({"file": path.name, "blake2b": _digest(fresh), **journal}) + "\n")
        os.replace(fresh, path)
        if hasattr(os, "O_DIRECTORY"):
            folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
    except OSError as error:
        kept = "the earlier file is untouched" if path.exists() else "nothing was written"
        mend = "Free some space on the disk, or choose" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "Choose"
        raise StemmaError(f"cannot write {path}: {error.strerror or error}; {kept}. {mend} another --out") from error
    finally:
        with contextlib.suppress(OSError):
            fresh.unlink()
    return path


_READ: dict[str, tuple[int, dict[str, dict[str, bool]]]] = {}  # journal -> bytes read so far, and what they said


def _said(path: Path) -> bool | None:
    """Whether the file holds a prediction; None where it is not ours."""
    said = _journal(path.parent).get(path.name)
    return said.get(_digest(path)) if said and path.is_file() and not path.is_symlink() else None


def _journal(folder: Path) -> dict[str, dict[str, bool]]:
    """File name -> hash that it was written with -> whether it held a prediction. A line that was cut short is passed
    over; only what is new is read."""
    path = folder / JOURNAL
    try:
        size = path.stat().st_size
        key = str(path.resolve())
        at, said = _READ.get(key, (0, {}))
        if size < at:
            at, said = 0, {}
        if size > at:
            with open(path, "rb") as f:
                f.seek(at)
                new = f.read()
            whole = new[: new.rfind(b"\n") + 1]
            for line in whole.splitlines():
                try:
                    entry = json.loads(line)
                    said.setdefault(entry["file"], {})[entry["blake2b"]] = bool(entry["prediction"])
                except (ValueError, TypeError, KeyError):
                    continue
            _READ[key] = at + len(whole), said
    except OSError:
        return {}
    return said


def _digest(path: Path) -> str:
    with open(path, "rb") as f:
        return hashlib.file_digest(f, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


__all__ = ["JOURNAL", "cache", "claim", "clear", "ours", "predicted", "put", "put_text", "replace"]
