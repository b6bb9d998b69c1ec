"""Questions about papers, each an experiment, `python -m stemma.studies.NAME --help`; here, how all are asked."""
from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from ..core import outputs
from ..core.samples import StemmaError
from ..core.sentence import first_sentence
from ..metrics import plain

SAID = {
    "run": "a run's folder or a weights file",
    "runs": "folders of runs or weights files",
    "--budget": "how long each trains, as of `stemma train`",
    "--data": "data, as of `stemma evaluate`",
    "--device": "auto, cpu, cuda, cuda:N or mps",
    "--limit": "so many at most, spread over the split; all where it is not given",
    "--out": "the folder for what is found",
    "--seed": "of all that is drawn by chance",
    "--seeds": "how many seeds, from 0 on",
    "--split": "the split that is measured",
    "--which": "the weights of the best validation, or the last ones",
}


class Asked(argparse.ArgumentParser):
    """The parser of the study `name`, described by the first sentence of its file's head `doc`. What several studies
    ask is told alike, each option with its default, and a line that cannot be read is a `StemmaError`."""

    def __init__(self, name: str, doc: str | None) -> None:
        super().__init__(prog=f"python -m stemma.studies.{name}", description=first_sentence(doc or ""))

    def add_argument(self, *names: str, **more: Any) -> argparse.Action:
        told, default = more.pop("help", None) or SAID.get(names[0], ""), more.get("default")
        if default not in (None, "", [], argparse.SUPPRESS):
            said = " ".join(map(str, default)) if isinstance(default, list) else default
            told += f" [default: {said}]"
        return super().add_argument(*names, help=told.strip() or None, **more)

    def error(self, message: str) -> NoReturn:
        raise StemmaError(f"{message} (see `{self.prog} --help`)")


def number(kind: type[Any], least: float, most: float = float("inf"), above: bool = False) -> Callable[[str], Any]:
    """What reads a number, int or float, that is `least` or more (`above`: more than it) and at most `most`."""
    def read(word: str) -> Any:
        try:
            found = kind(word)
        except ValueError:
            found = None
        if found is None or not (least < found if above else least <= found) or not found <= most:
            name = "whole number" if kind is int else "number"
            bounds = f"above {least:g}" if above else f"of {least:g} or more"
            end = "" if most == float("inf") else f" and {most:,} at most"
            raise argparse.ArgumentTypeError(f"'{word}' is no {name} {bounds}{end}")
        return found

    return read


def say(rows: Iterable[Sequence[str]], width: int) -> None:
    """Print rows with columns of so many letters."""
    for row in rows:
        print("  ".join(f"{v:{width}}" for v in row))


def keep(file: Path, record: Any) -> None:
    """Write what was found as JSON, in which NaN and infinities are null."""
    outputs.put_text(file, json.dumps(plain(record), indent=1, allow_nan=False, default=str))


def begun(file: Path, asked: dict[str, Any]) -> dict[str, Any]:
    """What a study has found so far, with what it was asked; that alone where it has not begun. Raises `StemmaError`
    where it was asked otherwise."""
    if not file.is_file():
        return dict(asked)
    record: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    if {k: record.get(k) for k in asked} != plain(asked):
        raise StemmaError(f"{file.parent} holds a study of other settings; choose another --out")
    return record


natural, seed, positive = number(int, 1), number(int, 0, 2**32 - 1), number(float, 0.0, above=True)

__all__ = ["SAID", "Asked", "begun", "keep", "natural", "number", "positive", "say", "seed"]
