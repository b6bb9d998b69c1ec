"""The sentence that a file begins with. Apart, so that `stemma list` reads cards without loading anything heavy."""
from __future__ import annotations


def first_sentence(said: str) -> str:
    """The first paragraph of a file's docstring on one line, up to its arXiv number."""
    return " ".join(said.strip().split("\n\n")[0].split()).split(" arXiv")[0]


__all__ = ["first_sentence"]
