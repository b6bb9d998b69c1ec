"""`part(FPN, width=256)`: a module that is described now and built when its inputs are known.

A `Part` is data. Two parts are equal when their class and keyword arguments are equal, so a
paper is a tree of values that can be compared, printed, stored, and edited by path:

    edit(spec, "rule.cls.gamma", 1.5)        a copy with one leaf changed, its type checked
    diff(parent.spec(), child.spec())        {path: (before, after)}
    leaves(spec)                             every (dotted path, value)

What has weights or memory is a `Part`; what has neither is a frozen dataclass with `__call__`.
"""
from __future__ import annotations

import ast
import dataclasses
import difflib
import functools
import inspect
import math
import types
import typing
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Concatenate, Generic, ParamSpec, Protocol, TypeVar, runtime_checkable

from torch import nn

P = ParamSpec("P")
M = TypeVar("M", bound=nn.Module, covariant=True)
X = TypeVar("X")


@dataclass(frozen=True)
class Least:
    """The least that a setting of a kind may be."""

    value: int


Count = Annotated[int, Least(1)]  # a setting of which none leaves nothing to do: boxes that are kept, samples, steps


@dataclass(frozen=True)
class In:
    """What a part is told when it is built: channels and stride of each level, and the class count.

    `classes` counts foreground classes. A head that wants a background logit adds its own.
    A dense head is told besides how many boxes a cell of each level predicts, and how many logits each of them has.
    """

    channels: tuple[int, ...]
    strides: tuple[int, ...]
    classes: int = 0
    # image coordinate of each level's first cell centre; left empty, stride / 2 (nothing padded or cut)
    offsets: tuple[float, ...] = ()
    anchors: tuple[int, ...] = ()
    logits: int = 0
    size: int = 0  # side of the picture, told to what draws it or has as many layers as it takes
    actions: int = 0  # numbers in an agent's action

    def __post_init__(self) -> None:
        if len(self.channels) != len(self.strides):
            raise ValueError(f"one stride a level: channels {self.channels}, strides {self.strides}")
        if self.offsets and len(self.offsets) != len(self.strides):
            raise ValueError(f"one offset a level: strides {self.strides}, offsets {self.offsets}")


@dataclass(frozen=True)
class Part(Generic[M]):
    """A module class with its keyword arguments, waiting for its `In`."""

    cls: Callable[..., M]
    kw: tuple[tuple[str, Any], ...]

    def build(self, inp: In) -> M:
        return self.cls(inp, **dict(self.kw))

    def but(self, **kw: Any) -> Part[M]:
        """The same part with some keyword arguments replaced; a wrong name raises `TypeError`."""
        return part(self.cls, **{**dict(self.kw), **kw})

    def __getitem__(self, name: str) -> Any:
        return dict(self.kw)[name]

    @property
    def name(self) -> str:
        return getattr(self.cls, "__name__", str(self.cls))

    def __repr__(self) -> str:
        return f"{self.name}({', '.join(f'{k}={v!r}' for k, v in self.kw)})"


def part(cls: Callable[Concatenate[In, P], M], /, *args: P.args, **kw: P.kwargs) -> Part[M]:
    """Describe `cls(inp, *args, **kw)`. A wrong or missing keyword fails here, not when it is built."""
    bound = inspect.signature(cls).bind(None, *args, **kw)
    bound.apply_defaults()
    return Part(cls, tuple(list(bound.arguments.items())[1:]))


def _is_node(x: Any) -> bool:
    return isinstance(x, Part) or (dataclasses.is_dataclass(x) and not isinstance(x, type))


def _children(x: Any) -> list[tuple[str, Any]]:
    if isinstance(x, Part):
        return list(x.kw)
    if isinstance(x, tuple):
        return [(str(i), v) for i, v in enumerate(x)]
    return [(f.name, getattr(x, f.name)) for f in dataclasses.fields(x)]


def leaves(x: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every (dotted path, value) of a spec. A node itself appears as `path.()`, valued by its class name."""
    dot = f"{path}." if path else ""
    if _is_node(x):
        yield f"{dot}()", x.name if isinstance(x, Part) else type(x).__name__
    elif not (isinstance(x, tuple) and x and all(_is_node(v) for v in x)):
        yield path, x
        return
    for name, value in _children(x):
        yield from leaves(value, dot + name)


@runtime_checkable
class InPixels(Protocol):
    """Something that measures in pixels of the picture, and can be had for a picture `ratio` times as large."""

    def times(self, ratio: float) -> Any: ...


def along(x: X, ratio: float) -> X:
    """`x` for a picture `ratio` times as large; itself where it measures nothing in pixels."""
    return x.times(ratio) if isinstance(x, InPixels) else x


def from_nothing(x: X) -> X:
    """`x` with every part as it has to be to learn from random weights: with what its class names in `SCRATCH`."""
    if isinstance(x, Part):
        inner = {k: from_nothing(v) for k, v in x.kw}
        return x.but(**inner | getattr(x.cls, "SCRATCH", {}))  # type: ignore[return-value]
    if isinstance(x, tuple):
        return tuple(map(from_nothing, x)) if any(map(_is_node, x)) else x  # type: ignore[return-value]
    if not _is_node(x):
        return x
    inner = {f.name: from_nothing(getattr(x, f.name)) for f in dataclasses.fields(x) if f.init}  # type: ignore[arg-type]
    return dataclasses.replace(x, **inner)  # type: ignore[type-var]


MISSING = "-"


def diff(old: Any, new: Any) -> dict[str, tuple[Any, Any]]:
    """Which leaves differ: {path: (old, new)}, with "-" where one side has no such path."""
    a, b = dict(leaves(old)), dict(leaves(new))
    return {k: (a.get(k, MISSING), b.get(k, MISSING)) for k in sorted(a.keys() | b.keys())
            if a.get(k, MISSING) != b.get(k, MISSING)}


def edit(spec: Any, path: str, value: Any) -> Any:
    """A copy of `spec` with the leaf at `path` set to `value`.

    `value` may be a string from a command line; it is read as the type the leaf has now
    (`"0.5"` becomes a float, `"1,2"` a tuple of ints, `"[['a', 2]]"` a tuple of tuples, `"none"` None where the field
    allows it).

    Raises `ValueError` naming the path, what is there and the nearest names when the path or type is wrong, and for a
    number that no setting of its kind may be: a `Count` below 1, a negative one where none is meant, one that is not
    finite.
    """
    return _edit(spec, path.split("."), value, path)


def _edit(x: Any, keys: list[str], value: Any, path: str) -> Any:
    if not keys:
        return _coerce(x, value, path)
    head, rest = keys[0], keys[1:]
    node = _is_node(x) or isinstance(x, tuple)
    names = [n for n, _ in _children(x)] if node else []
    if head not in names:
        near = difflib.get_close_matches(head, names, 3) or names
        here = "a " + (x.name if isinstance(x, Part) else type(x).__name__)
        hint = f"there are: {', '.join(near)}" if near else "it has no parts"
        raise ValueError(f"no setting '{path}': '{head}' is not in {here}; {hint}")
    old = dict(_children(x))[head]
    new = _typed(x, head, old, value, path) if not rest else _edit(old, rest, value, path)
    if isinstance(x, Part):
        return x.but(**{head: new})
    if isinstance(x, tuple):
        return (*x[: int(head)], new, *x[int(head) + 1 :])
    return dataclasses.replace(x, **{head: new})


def _typed(owner: Any, name: str, old: Any, value: Any, path: str) -> Any:
    kind_of: Any = owner.cls if isinstance(owner, Part) else type(owner)
    hint = _hints(kind_of).get(name)
    options = (typing.get_args(hint) if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union
               else (hint,))
    if type(None) in options and (value is None or (isinstance(value, str) and value.lower() == "none")):
        return None
    literal = next((typing.get_args(o) for o in options if typing.get_origin(o) is typing.Literal), ())
    if literal and value not in literal:
        raise ValueError(f"'{path}' takes one of {', '.join(map(str, literal))}, not {value!r}")
    if old is None:
        kind = next((o for o in options if o in (int, float, str, bool)), None)
        if kind is None:
            raise ValueError(f"'{path}' is None and takes {hint}; set it in Python")
        old = kind()
    rows = any(typing.get_origin(a) is tuple for o in options if typing.get_origin(o) is tuple
               for a in typing.get_args(o))
    if rows and isinstance(value, str | list | tuple):
        return _nested(value, path)
    if old == () and isinstance(value, str):
        inner = next((a for o in options if typing.get_origin(o) is tuple
                      for a in typing.get_args(o) if a in (int, float, str)), str)
        old = (inner(),)
    return _meant(kind_of, name, old, _coerce(old, value, path), path)


def _meant(owner: Any, name: str, old: Any, new: Any, path: str) -> Any:
    """A setting that may be so. Whole numbers are not negative where neither the one before nor the default is."""
    hint = _hints(owner, extras=True).get(name)
    inner = (hint, *typing.get_args(hint)) if typing.get_origin(hint) is tuple else (hint,)
    least = max((m.value for h in inner for m in getattr(h, "__metadata__", ()) if isinstance(m, Least)), default=None)
    default = inspect.signature(owner).parameters[name].default if name in inspect.signature(owner).parameters else old
    known = [v for x in (old, default) for v in (x if isinstance(x, tuple) else (x,))]
    if least is None and known and all(_whole(v) and v >= 0 for v in known):
        least = 0
    for v in new if isinstance(new, tuple) else (new,):
        if isinstance(v, float) and not math.isfinite(v) and v not in known:
            raise ValueError(f"'{path}' is a finite number, not {v}")
        if least is not None and _whole(v) and v < least:
            raise ValueError(f"'{path}' must be {least} or more, not {v}")
    return new


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _nested(text: str | list[Any] | tuple[Any, ...], path: str) -> tuple[Any, ...]:
    """Rows, or rows written as Python or JSON would: brackets of either kind, words in quotes."""
    def frozen(v: Any) -> Any:
        return tuple(map(frozen, v)) if isinstance(v, list | tuple) else v

    try:
        read = frozen(ast.literal_eval(text) if isinstance(text, str) else text)
        if not isinstance(read, tuple) or not all(isinstance(row, tuple) for row in read):
            raise ValueError(text)
        return read
    except (ValueError, SyntaxError, TypeError) as error:
        raise ValueError(f"'{path}' takes rows such as [['a', 1], ['b', 2]]; cannot read {text!r} as that") from error


@functools.cache
def _hints(cls: Hashable, extras: bool = False) -> dict[str, Any]:
    """The annotations of what a class is built with; with `extras` those of kinds too."""
    target: Any = (getattr(cls, "__init__") if isinstance(cls, type) and not dataclasses.is_dataclass(cls)  # noqa: B009
                   else cls)
    try:
        return typing.get_type_hints(target, include_extras=extras)
    except NameError:
        return {}


def _coerce(old: Any, value: Any, path: str) -> Any:
    """Read `value` as the type of `old`."""
    if _is_node(old):
        if _is_node(value):
            return value
        raise ValueError(f"'{path}' is a whole {old.name if isinstance(old, Part) else type(old).__name__}; name a "
                         "setting inside it, or replace it in Python")
    try:
        if isinstance(old, bool):
            if isinstance(value, str):
                return {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}[value.lower()]
            return bool(value)
        if isinstance(old, int):
            number = float(value)
            if number != int(number):
                raise ValueError(value)
            return int(number)
        if isinstance(old, float):
            return float(value)
        if isinstance(old, str):
            return str(value)
        if isinstance(old, tuple):
            items = [v for v in value.strip("()[] ").split(",") if v.strip()] if isinstance(value, str) else list(value)
            like = old[0] if old else None
            if like is None:
                return tuple(items)
            if isinstance(like, int) and not isinstance(like, bool) and any(not float(v).is_integer() for v in items):
                like = float(like)
            return tuple(_coerce(like, v.strip() if isinstance(v, str) else v, path) for v in items)
    except (KeyError, ValueError, TypeError) as error:
        raise ValueError(f"'{path}' is {old!r}, {type(old).__name__}; cannot read {value!r} as that") from error
    if type(value) is type(old):
        return value
    raise ValueError(f"'{path}' is a {type(old).__name__}; set it in Python")
