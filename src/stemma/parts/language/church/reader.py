"""Text to expressions and back: symbols, numbers, strings, #t and #f, lists, dotted pairs, 'quotes and ; comments.

A list is a Python list, a pair whose tail is no list a `Pair`, a symbol a `Symbol`. `[...]` reads as `(...)`.
"""
from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ....core.types import StemmaError

DEEP, LONG = 200, 200_000  # brackets within one another, and characters, that are read
ESCAPED = {"n": "\n", "t": "\t", "r": "\r"}
LETTER = {v: k for k, v in ESCAPED.items()}
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
            put(_text(word[1:-1], line) if kind == "text" else _atom(word, line), quotes)
            quotes = 0
    if len(stack) > 1:
        raise ChurchError(f"line {stack[-1][1]}: a bracket is not closed")
    if quotes:
        raise ChurchError("a quote at the end, with nothing after it")
    return stack[0][0]


def _atom(word: str, line: int) -> Any:
    if word in ("#t", "#true", "true"):
        return True
    if word in ("#f", "#false", "false"):
        return False
    if word[0] in "`,#":
        raise ChurchError(f"line {_seen(word, line)}: " + (
            "of what begins with # there are #t and #f" if word[0] == "#"
            else "quasi-quote is not of this language; build it by list and pair"))
    _seen(word, line)
    found = number(word)
    return Symbol(word) if found is None else found


def _text(body: str, line: int) -> str:
    """What stands between two marks; \\n, \\t and \\r are what they are in other languages."""
    _seen(re.sub(r"[\n\t\r]", " ", body), line)
    return re.sub(r"\\(.)", lambda m: ESCAPED.get(m[1], m[1]), body, flags=re.DOTALL)


def _seen(word: str, line: int) -> str:
    """A word after its line. Raises `ChurchError` for a letter that cannot be seen, which no message could show."""
    if not word.isprintable():
        raise ChurchError(f"line {line}: {ascii(word[:20])} has a letter that cannot be seen")
    return f"{line}: {word[:20]}"


def number(word: str) -> int | float | None:
    """The number that a word is; None for a word that is none."""
    if re.fullmatch(r"[+-]?\d{1,18}", word):
        return int(word)
    if re.fullmatch(r"[+-]?(\d+\.\d*|\.\d+|\d+)([eE][+-]?\d{1,3})?", word):
        return float(word)
    return None


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


def parts_of(x: Any, quotes: bool = False) -> Iterator[tuple[str, Any]]:
    """A list or pair from first to last, however deep: ("(", None) and (")", None) around what stands within,
    (".", None) before the tail of a pair, ("is", value) for all else; with `quotes`, ("'", None) before what is quoted.
    Raises `ChurchError` for more than `LONG` parts: a list that holds another twice, and so on, has them in little
    memory."""
    left: list[tuple[str, Any]] = [("is", x)]
    for _ in range(LONG):
        if not left:
            return
        kind, value = left.pop()
        if kind == "is" and isinstance(value, list):
            if quotes and len(value) == 2 and isinstance(value[0], Symbol) and value[0] == "quote":
                left.append(("is", value[1]))
                yield "'", None
                continue
            left.append((")", None))
            left.extend(("is", v) for v in reversed(value))
            yield "(", None
        elif kind == "is" and isinstance(value, Pair):
            left += [(")", None), ("is", value.tail), (".", None), ("is", value.head)]
            yield "(", None
        else:
            yield kind, value
    raise ChurchError(f"a value of more than {LONG:,} things within one another")


def write(x: Any) -> str:
    """An expression or value as text that reads back as the same; one of more than `LONG` parts ends in "..."."""
    if not isinstance(x, (list, Pair)):
        return _written(x)
    out, glued = list[str](), True
    try:
        for kind, value in parts_of(x, quotes=True):
            word = _written(value) if kind == "is" else kind
            out.append(word if glued or word == ")" else " " + word)
            glued = kind in ("(", "'")
    except ChurchError:
        out.append(" ...")
    return "".join(out)


def _written(x: Any) -> str:
    if x is True or x is False:
        return "#t" if x else "#f"
    if isinstance(x, Symbol):
        return str(x)
    if isinstance(x, str):
        return '"' + re.sub(r'[\\"\n\t\r]', lambda m: "\\" + LETTER.get(m[0], m[0]), x) + '"'
    return repr(x) if isinstance(x, (int, float)) else str(x)


__all__ = ["ChurchError", "Pair", "Symbol", "number", "parts_of", "read", "write"]
