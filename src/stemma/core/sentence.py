"""How things are said in a line. Apart, so that `stemma list` reads cards without loading anything heavy."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any


def first_sentence(said: str) -> str:
    """The first paragraph of a file's docstring on one line, up to its arXiv number."""
    return " ".join(said.strip().split("\n\n")[0].split()).split(" arXiv")[0]


def many(n: int, one: str, several: str = "") -> str:
    """A count and its word: "1 class", "1,800 pictures"; several: the plural, where it is not `one` with an s."""
    return f"{n:,} {one if n == 1 else several or one + 's'}"


def teller(say: Callable[[str], object]) -> Callable[..., None]:
    """A `warnings.showwarning` that hands each warning to `say` once, as one line, without the place in our code where
    it was raised."""
    told: set[str] = set()

    def tell(message: Warning | str, category: type[Warning], filename: str, lineno: int, file: Any = None,
             line: str | None = None) -> None:
        if (text := " ".join(str(message).split())) not in told:
            told.add(text)
            say(text)

    return tell


__all__ = ["first_sentence", "many", "teller"]
