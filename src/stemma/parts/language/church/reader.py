"""Text to expressions and back: symbols, numbers, strings, #t and #f, lists, dotted pairs, 'quotes and ; comments.

A list is a Python list, a pair whose tail is no list a `Pair`, a symbol a `Symbol`. `[...]` reads as `(...)`.
"""
from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from ....core.types import StemmaError

DEEP, LONG = 200, 200_000  # brackets within one another, and characters, that are read
TOKEN = re.compile(r"""\s*(?:;[^\n]*\n?\s*)*(?:(?P<open>[(\[])|(?P<close>[)\]])|(?P<quote>')"""
                   r"""|(?P<text>"(?:\\.|[^"\\])*")|(?P<atom>[^\s()\[\]'";]+)|(?P<end>$)|(?P<odd>.))""", re.DOTALL)


class ChurchError(StemmaError):
    """A program that cannot be read, or that goes wrong when it is run."""


class Symbol(str):
    """A name in a program."""

    __slots__ = ()


@dataclass(frozen=True)
class Pair:
    """`(head . tail)` where the tail is no list."""

    head: Any
    tail: Any


def read(text: str) -> list[Any]:
    """All expressions of a text, in order. Raises `ChurchError`, with the line of a bracket too many or too few."""
    if len(text) > LONG:
        raise ChurchError(f"a program of {len(text):,} characters is longer than the {LONG:,} that are read")
    stack: list[tuple[list[Any], int, int]] = [([], 0, 0)]  # what is open, its line, quotes before it
    quotes, at = 0, 0

    def put(value: Any, marks: int) -> None:
        for _ in range(marks):
            value = [Symbol("quote"), value]
        stack[-1][0].append(value)

    while at < len(text):
        found = TOKEN.match(text, at)
        assert found is not None
        at, kind, word = found.end(), found.lastgroup, found.group(found.lastgroup or 0)
        line = text.count("\n", 0, found.start(found.lastgroup or 0)) + 1
        if kind == "end":
            break
        if kind == "odd":
            raise ChurchError(f"line {line}: {word!r} begins a text that does not end")
        if kind == "open":
            if len(stack) > DEEP:
                raise ChurchError(f"line {line}: brackets within one another more than {DEEP} deep")
            stack.append(([], line, quotes))
            quotes = 0
        elif kind == "close":
            if len(stack) == 1:
                raise ChurchError(f"line {line}: a closing bracket that nothing opened")
            if quotes:
                raise ChurchError(f"line {line}: a quote before a closing bracket")
            items, _, marks = stack.pop()
            put(_dotted(items, line), marks)
        elif kind == "quote":
            quotes += 1
        else:
            put(word[1:-1].replace('\\"', '"').replace("\\\\", "\\") if kind == "text" else _atom(word), quotes)
            quotes = 0
    if len(stack) > 1:
        raise ChurchError(f"line {stack[-1][1]}: a bracket is not closed")
    return stack[0][0]


def _atom(word: str) -> Any:
    if word in ("#t", "true"):
        return True
    if word in ("#f", "false"):
        return False
    if re.fullmatch(r"[+-]?\d{1,18}", word):
        return int(word)
    if re.fullmatch(r"[+-]?(\d+\.\d*|\.\d+|\d+)([eE][+-]?\d{1,3})?", word):
        return float(word)
    return Symbol(word)


def _dotted(items: list[Any], line: int) -> Any:
    if Symbol(".") not in [x for x in items if isinstance(x, Symbol)]:
        return items
    if len(items) < 3 or items[-2] != "." or items.count(Symbol(".")) > 1:
        raise ChurchError(f"line {line}: a dot stands before the last of two or more things")
    tail: Any = items[-1]
    if isinstance(tail, list):
        return items[:-2] + tail
    for head in reversed(items[:-2]):
        tail = Pair(head, tail)
    return tail


def write(x: Any) -> str:
    """An expression or value as text that reads back as the same."""
    if x is True or x is False:
        return "#t" if x else "#f"
    if isinstance(x, Symbol):
        return str(x)
    if isinstance(x, str):
        return '"' + x.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if isinstance(x, list):
        if len(x) == 2 and isinstance(x[0], Symbol) and x[0] == "quote":
            return "'" + write(x[1])
        return "(" + " ".join(map(write, x)) + ")"
    if isinstance(x, Pair):
        return f"({write(x.head)} . {write(x.tail)})"
    return repr(x) if isinstance(x, (int, float)) else str(x)


__all__ = ["ChurchError", "Pair", "Symbol", "read", "write"]
