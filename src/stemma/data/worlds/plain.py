"""Arrays out of a file that Python's pickle wrote, without running it.

Such a file is a program, and reading it in the usual way does what it says. Here its instructions are looked at one by
one: dicts, tuples, strings, numbers and NumPy's arrays of numbers are understood, and whatever else a file holds is an
error. Nothing is imported, called or made that it names.
"""
from __future__ import annotations

import re
from pickletools import genops
from typing import Any

import numpy as np

ARRAY, KIND = "_reconstruct", "dtype"  # what NumPy's arrays and their kinds are made by
PUT = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
TUPLES = {"EMPTY_TUPLE": 0, "TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
VALUES = ("BININT", "BININT1", "BININT2", "BINFLOAT", "LONG1", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8",
          "SHORT_BINBYTES", "BINBYTES", "BINBYTES8")


class Named:
    """What a file names, or has made of a name; `state` is what it then fills it with."""

    def __init__(self, name: str, given: Any = None) -> None:
        self.name, self.given, self.state = name, given, None


def _array(x: Any) -> Any:
    """What was read, with arrays in the place of what stands for them. Raises `ValueError` for other things made."""
    if isinstance(x, dict):
        return {k: _array(v) for k, v in x.items()}
    if not isinstance(x, Named):
        return x
    if x.name != ARRAY or not isinstance(x.state, tuple) or len(x.state) != 5:
        raise ValueError(f"it makes something by {x.name}, and only arrays of numbers are read")
    _, shape, kind, by_columns, raw = x.state
    if not isinstance(kind, Named) or kind.name != KIND or not re.fullmatch(r"[iufb][1248]", str(kind.given[0])):
        raise ValueError("an array that it holds is not one of numbers")
    order = "<" if not kind.state or kind.state[1] == "|" else kind.state[1]
    flat = np.frombuffer(raw, np.dtype(order + kind.given[0]))
    return flat.reshape(shape, order="F" if by_columns else "C")


def plain(data: bytes) -> Any:
    """What a pickle of dicts, tuples, strings, numbers and arrays holds. Raises `ValueError` for any other."""
    stack: list[Any] = []
    memo: list[Any] = []
    mark = object()

    def since() -> list[Any]:
        at = len(stack) - 1 - stack[::-1].index(mark)
        got = stack[at + 1 :]
        del stack[at:]
        return got

    for op, arg, _ in genops(data):
        name = op.name
        if name in ("PROTO", "FRAME", "STOP"):
            continue
        if name == "MEMOIZE":
            memo.append(stack[-1])
        elif name in ("BINGET", "LONG_BINGET"):
            stack.append(memo[int(str(arg))])
        elif name in VALUES or name in PUT:
            stack.append(PUT.get(name, arg))
        elif name == "MARK":
            stack.append(mark)
        elif name == "EMPTY_DICT":
            stack.append({})
        elif name == "TUPLE":
            stack.append(tuple(since()))
        elif name in TUPLES:
            count = len(stack) - TUPLES[name]
            stack[count:] = [tuple(stack[count:])]
        elif name in ("SETITEM", "SETITEMS"):
            pairs = since() if name == "SETITEMS" else [stack.pop(-2), stack.pop()]
            stack[-1].update(zip(pairs[::2], pairs[1::2]))
        elif name == "STACK_GLOBAL":
            _, what = stack.pop(-2), stack.pop()
            stack.append(Named(str(what)))
        elif name == "REDUCE":
            given = stack.pop()
            stack[-1] = Named(stack[-1].name, given)
        elif name == "BUILD":
            state = stack.pop()
            stack[-1].state = state
        else:
            raise ValueError(f"it holds {name}, which no array needs")
    found = stack.pop()
    return tuple(_array(x) for x in found) if isinstance(found, tuple) else _array(found)


__all__ = ["plain"]
