"""What somebody says to a model of sentences: in files, typed, or on the command line."""
from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ...core.types import DataError
from ...data.files import lines_of


def lines_in(what: Iterable[Any] | None) -> Iterator[str]:
    """The lines of text files, of "-" what is typed, as it is typed, and sentences themselves; empty ones are none.
    Raises `DataError`, before the first, for a file that cannot be read, and for a word that looks like the name of one
    that is not there."""
    found: list[Iterable[str]] = []
    for item in what or ():
        text = str(item)
        if text == "-":
            found.append(_typed())
        elif os.path.isfile(text):  # False, and no error, for a sentence too long to be a name
            found.append(lines_of(Path(text)))
        elif os.path.isdir(text):
            raise DataError(text, "is a folder", "name a text file with a sentence a line, or write a sentence")
        elif len(text.split()) == 1 and not text.startswith("(") and Path(text).suffix[1:].isalpha():
            raise DataError(text, "there is no such file", "check the path; a sentence has several words")
        else:
            found.append([text.strip()])
    return (x for part in found for x in part if x)


def _typed() -> Iterator[str]:
    """What is typed, a line at a time; whoever types is told when."""
    while True:
        if sys.stdin.isatty():
            print("> ", end="", file=sys.stderr, flush=True)
        try:
            line = sys.stdin.readline()
        except UnicodeDecodeError as error:
            raise DataError("-", f"is not UTF-8 text ({error})", "type it, or send it, in UTF-8") from None
        if not line:
            return
        yield line.strip()


__all__ = ["lines_in"]
