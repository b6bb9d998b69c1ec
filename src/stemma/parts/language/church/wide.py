"""Many worlds at once: a program whose course does not hang on what is drawn is run once for a batch of worlds, with
rows of numbers and truths (`run.Many`) in the place of each.

Where a test is a row, both branches are run and each world takes its own: draws in the other branch are of no
consequence, for they are independent. All that would hang on a row otherwise (the length of a list, what is remembered
under a drawn name, a condition or definition within a branch) raises `NotWide`, and so does any fault, which may be one
of a branch that no world would have taken: whoever asked then runs world by world, as ever.
"""
from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from .builtins import BASE, listed, plain, whole
from .chance import Law
from .reader import ChurchError, Pair, parts_of
from .run import Builtin, Code, Limits, Many, NotWide, World, key_of

AT_ONCE, ROWS = 4096, 4000  # worlds of a batch; rows that a batch may hold
EXACT = 1 << 53  # whole numbers beyond it are no longer exact


class Wide(World):
    """A batch of worlds: `kept` says which of them agree with the conditions so far."""

    def __init__(self, limits: Limits, names: dict[Any, int], count: int, rng: np.random.Generator) -> None:
        super().__init__(limits, names)
        self.count, self.rng, self.kept, self.rows = count, rng, np.ones(count, bool), 0
        self.globals = Names(self)

    def row(self, values: Any) -> Many:
        """Values [N] as what a program holds."""
        self.rows += 1
        if self.rows > ROWS or values.dtype.kind == "i" and (abs(values) > EXACT).any():
            raise NotWide("too much for a batch of worlds")
        return Many(values)

    def choose(self, law: Law, at: int) -> Any:
        raise NotWide("a draw from what are no numbers")

    def condition(self, true: Any) -> None:
        if self.branches:
            raise NotWide("a condition within a branch")
        if isinstance(true, Many):
            self.kept &= true.values if true.values.dtype == bool else True
        elif true is False:
            self.kept[:] = False

    def fork(self, test: Many, then: Code, other: Code, e: Any, a: int) -> Any:
        if test.values.dtype != bool:
            return then(self, e, a)  # a number is true
        self.branches += 1
        x, y = then(self, e, a), other(self, e, a)
        self.branches -= 1
        if not isinstance(x, Many) and not isinstance(y, Many) and type(x) is type(y) and key_of(x) == key_of(y):
            return x
        one, two = (v.values if isinstance(v, Many) else np.asarray(v) for v in (x, y))
        if one.dtype.kind not in "bif" or one.dtype != two.dtype:
            raise NotWide("branches of two kinds")
        return self.row(np.where(test.values, one, two))


class Names(dict[str, Any]):
    """What is defined: the same in all worlds of a batch."""

    def __init__(self, world: Wide) -> None:
        super().__init__(WIDE)
        self.world = world

    def __setitem__(self, name: str, value: Any) -> None:
        if self.world.branches:
            raise NotWide("a definition within a branch")
        super().__setitem__(name, value)


# ---------------------------------------------------------------- what programs call

WIDE: dict[str, Builtin] = {}
# of these a row may be a part, which they hand on and never look at
CARRY = ("car", "first", "cdr", "rest", "cons", "pair", "append", "concatenate", "list", "null?", "pair?", "list?",
         "length", "second", "third", "last", "list-ref", "list-elt", "reverse", "zip", "update-list", "map", "apply",
         "fold", "foldl", "repeat", "mem", "hist", "density", "make-gensym", "make_gensym")


def holds(x: Any) -> bool:
    """Whether a row is in it, or may be (in a function)."""
    return any(kind == "is" and not isinstance(v, (bool, int, float, str)) for kind, v in parts_of(x))


def _numbers(x: Any) -> Any:
    """A number, or a row of them."""
    if not isinstance(x, Many):
        return plain(x)
    if x.values.dtype == bool:
        raise NotWide("truths are no numbers")
    return x.values


def _rowed(name: str, f: Callable[..., Any]) -> None:
    """Give programs a function of numbers that takes rows as well; without one it is what it was."""
    base = BASE[name]

    def call(w: Any, at: int, *xs: Any) -> Any:
        if not any(isinstance(x, Many) for x in xs):
            return base.function(w, at, *xs) if base.wide else base.function(*xs)
        return w.row(np.broadcast_to(f(*map(_numbers, xs)), w.count))

    WIDE[name] = Builtin(name, call, True, base.least, base.most)


def _folded(f: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    def over(*xs: Any) -> Any:
        out = xs[0]
        for x in xs[1:]:
            out = f(out, x)
        return out

    return over


def _product(a: Any, b: Any) -> Any:
    if all(np.asarray(v).dtype.kind == "i" for v in (a, b)) and np.any(abs(np.asarray(a, float) * b) > EXACT):
        raise NotWide("whole numbers that are no longer exact")
    return a * b


def _divided(a: Any, b: Any) -> Any:
    if np.any(np.asarray(b) == 0) or all(np.asarray(v).dtype.kind == "i" for v in (a, b)):
        raise NotWide("what comes out whole stays whole")
    return a / b


def _ordered(test: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    return lambda *xs: np.logical_and.reduce([np.asarray(test(a, b)) for a, b in zip(xs, xs[1:])])


for _name, _f in (("+", _folded(operator.add)), ("*", _folded(_product)), ("/", _folded(_divided)),
                  ("-", lambda *xs: _folded(operator.sub)(*xs) if len(xs) > 1 else -xs[0]), ("abs", abs),
                  ("min", _folded(np.minimum)), ("max", _folded(np.maximum)),
                  *((s, _ordered(t)) for s, t in (("<", operator.lt), ("<=", operator.le), (">", operator.gt),
                                                  (">=", operator.ge), ("=", operator.eq), ("leq", operator.le)))):
    _rowed(_name, _f)


def _wide(name: str) -> Callable[[Any], Any]:
    def keep(f: Any) -> Any:
        WIDE[name] = Builtin(name, f, True, BASE[name].least, BASE[name].most)
        return f

    return keep


@_wide("sum")
def _sum(w: Wide, at: int, x: Any) -> Any:
    if not any(isinstance(v, Many) for v in listed(x)):
        return BASE["sum"].function(x)
    return w.row(np.broadcast_to(_folded(operator.add)(0, *map(_numbers, x)), w.count))


@_wide("not")
def _not(w: Wide, at: int, x: Any) -> Any:
    if isinstance(x, Many):
        return w.row(~x.values) if x.values.dtype == bool else False
    return x is False


@_wide("boolean->number")
def _number(w: Wide, at: int, x: Any) -> Any:
    if isinstance(x, Many):
        return w.row(x.values.astype(np.int64)) if x.values.dtype == bool else 1
    return 0 if x is False else 1


def _drawn(name: str, fits: Callable[..., Any], draw: Callable[..., Any]) -> None:
    """A draw for each world, from numbers or rows of them that fit."""
    def call(w: Any, at: int, *xs: Any) -> Any:
        given = [_numbers(x) for x in xs]
        if not np.all(fits(*given)):
            raise NotWide("a law that is none")
        return w.row(draw(w.rng, w.count, *given))

    WIDE[name] = Builtin(name, call, True, BASE[name].least, BASE[name].most)


_drawn("flip", lambda p=0.5: (np.asarray(p) >= 0) & (np.asarray(p) <= 1), lambda r, n, p=0.5: r.random(n) < p)
_drawn("gaussian", lambda m, d: np.asarray(d) > 0, lambda r, n, m, d: m + d * r.standard_normal(n))
_drawn("uniform", lambda a, b: np.asarray(a) < b, lambda r, n, a, b: a + (b - a) * r.random(n))
_drawn("exponential", lambda rate: np.asarray(rate) > 0, lambda r, n, rate: r.standard_exponential(n) / rate)


@_wide("random-integer")
def _integer(w: Wide, at: int, n: Any) -> Any:
    if whole(n) < 1:
        raise NotWide("takes 1 or more")
    return w.row(w.rng.integers(0, whole(n), w.count))


def _barred(base: Builtin) -> Builtin:
    """What looks at what it is given: for whatever holds no row."""
    def call(w: Any, at: int, *xs: Any) -> Any:
        if any(map(holds, xs)):
            raise NotWide(f"{base.name} looks at what differs between worlds")
        return base.function(w, at, *xs) if base.wide else base.function(*xs)

    return Builtin(base.name, call, True, base.least, base.most)


for _n, _b in BASE.items():
    if _n not in WIDE:
        WIDE[_n] = _b if _n in CARRY else _barred(_b)


def _told(x: Any, at: np.ndarray) -> list[Any]:
    """What a query says in some worlds."""
    if not isinstance(x, Many) and not holds(x):
        return [x] * len(at)
    if isinstance(x, Many):
        return list(x.values[at].tolist())
    if isinstance(x, list):
        return [list(v) for v in zip(*(_told(v, at) for v in x))] if x else [[] for _ in at]
    if isinstance(x, Pair):
        return [Pair(a, b) for a, b in zip(_told(x.head, at), _told(x.tail, at))]
    return [x] * len(at)


def drawn(program: Any, n: int, seed: int, tries: int) -> tuple[list[Any], int] | None:
    """(what the query says in the first `n` worlds that agree with the conditions, worlds up to the last of them), or
    None where the program does not run in batches. program: `infer.Program`."""
    rng, values, tried = np.random.default_rng(seed), list[Any](), 0
    try:
        while len(values) < n and tried < tries:
            w = Wide(program.limits, program.names, min(AT_ONCE, tries - tried), rng)
            with np.errstate(all="ignore"):  # numbers beyond all numbers are those of Python
                said = program.run(w)
            if w.weight:
                return None
            at = np.flatnonzero(w.kept)[: n - len(values)]
            values += _told(said, at)
            tried += int(at[-1]) + 1 if len(values) == n else w.count
    except ChurchError:
        return None
    return values, tried


__all__ = ["Wide", "drawn"]
