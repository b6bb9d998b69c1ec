"""What programs may call: numbers, lists, texts, draws. Lists are new ones; nothing given is changed."""
from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable
from typing import Any

from .chance import Among, Flip, Real
from .reader import Pair, Symbol, number, write
from .run import Builtin, NotWide, Remembered, World, apply, key_of

BASE: dict[str, Builtin] = {}
ANY = 1_000_000


def builtin(*names: str, least: int, most: int | None = None, wide: bool = False) -> Callable[[Any], Any]:
    """Give a function of Python to programs under `names`; `wide` ones take the world and the address first."""
    def keep(f: Any) -> Any:
        for n in names:
            BASE[n] = Builtin(n, f, wide, least, least if most is None else most)
        return f

    return keep


def walking(*names: str, least: int, most: int | None = None) -> Callable[[Any], Any]:
    """As `builtin`, of what looks at every thing of a list or text: it counts as work, and a list that it gives as one
    that is held."""
    def keep(f: Any) -> Any:
        def call(w: World, at: int, *xs: Any) -> Any:
            things = 0
            for x in xs:
                if isinstance(x, (list, str)):
                    things += len(x)
            w.work(things)
            found = f(*xs)
            if isinstance(found, list):
                w.charge(len(found))
            return found

        builtin(*names, least=least, most=most, wide=True)(call)
        return f

    return keep


def plain(x: Any) -> Any:
    """A number; whole ones that no longer fit a double become one, so that none grows without bounds."""
    if isinstance(x, bool) or not isinstance(x, (int, float)):
        raise ValueError(f"{write(x)[:40]} is no number")
    return x if isinstance(x, float) or -(1 << 53) <= x <= 1 << 53 else float(x)


def _fold(f: Callable[[Any, Any], Any], first: Any) -> Any:
    return lambda *xs: functools.reduce(lambda a, b: plain(f(plain(a), plain(b))), xs, first)


builtin("+", least=0, most=ANY)(_fold(lambda a, b: a + b, 0))
builtin("*", least=0, most=ANY)(_fold(lambda a, b: a * b, 1))
builtin("-", least=1, most=ANY)(lambda x, *xs: functools.reduce(lambda a, b: plain(a - plain(b)), xs, plain(x)) if xs
                                else -plain(x))
builtin("abs", least=1)(lambda x: abs(plain(x)))
builtin("floor", least=1)(lambda x: math.floor(plain(x)))
builtin("round", least=1)(lambda x: round(plain(x)))
builtin("sqrt", least=1)(lambda x: math.sqrt(plain(x)))
builtin("exp", least=1)(lambda x: math.exp(plain(x)))
builtin("log", least=1)(lambda x: math.log(plain(x)))
builtin("modulo", least=2)(lambda a, b: plain(a) % plain(b))
builtin("min", least=1, most=ANY)(lambda *xs: min(map(plain, xs)))
builtin("max", least=1, most=ANY)(lambda *xs: max(map(plain, xs)))


@builtin("/", least=1, most=ANY)
def divide(x: Any, *xs: Any) -> Any:
    """Whole where it comes out whole."""
    a, rest = (plain(x), [plain(v) for v in xs]) if xs else (1, [plain(x)])
    for b in rest:
        whole = isinstance(a, int) and isinstance(b, int) and b and a % b == 0
        a = a // b if whole else a / b
    return a


@builtin("expt", least=2)
def power(a: Any, b: Any) -> Any:
    """As a double first: a tower of powers overflows and does not fill the memory."""
    x = float(plain(a)) ** float(plain(b))
    if isinstance(x, complex):
        raise ValueError("a root of a negative number")
    return int(x) if isinstance(a, int) and isinstance(b, int) and b >= 0 and abs(x) <= 1 << 53 else x


for _name, _test in (("<", lambda a, b: a < b), ("<=", lambda a, b: a <= b), (">", lambda a, b: a > b),
                     (">=", lambda a, b: a >= b), ("=", lambda a, b: a == b)):
    builtin(_name, least=1, most=ANY)(lambda *xs, test=_test: all(test(plain(a), plain(b)) for a, b in zip(xs, xs[1:])))
BASE["leq"] = BASE["<="]
builtin("number?", least=1)(lambda x: isinstance(x, (int, float)) and not isinstance(x, bool))
builtin("boolean->number", least=1)(lambda x: 0 if x is False else 1)
builtin("not", least=1)(lambda x: x is False)


@builtin("equal?", "eq?", least=2, wide=True)
def equal(w: World, at: int, a: Any, b: Any) -> bool:
    if isinstance(a, list) and isinstance(b, list):
        w.work(len(a) + len(b))
    return bool(key_of(a) == key_of(b))



# ---------------------------------------------------------------- lists


def listed(x: Any) -> list[Any]:
    """A list. Raises `ValueError` for anything else."""
    if not isinstance(x, list):
        raise ValueError(f"{write(x)[:40]} is no list")
    return x


def whole(x: Any) -> int:
    """A whole number from 0 on."""
    if isinstance(x, bool) or not isinstance(x, (int, float)) or x != int(x) or x < 0:
        raise ValueError(f"{write(x)[:40]} is no whole number from 0 on")
    return int(x)


@builtin("car", "first", least=1)
def first(x: Any) -> Any:
    return x.head if isinstance(x, Pair) else listed(x)[0] if x else _empty()


def _empty() -> Any:
    raise ValueError("an empty list has no first")


@builtin("cdr", "rest", least=1, wide=True)
def rest(w: World, at: int, x: Any) -> Any:
    if isinstance(x, Pair):
        return x.tail
    w.charge(max(len(listed(x)) - 1, 0))
    return x[1:] if x else _empty()


@builtin("cons", "pair", least=2, wide=True)
def cons(w: World, at: int, a: Any, b: Any) -> Any:
    w.charge(1 + len(b) if isinstance(b, list) else 1)
    return [a, *b] if isinstance(b, list) else Pair(a, b)


@builtin("append", least=0, most=ANY, wide=True)
def append(w: World, at: int, *xs: Any) -> list[Any]:
    w.charge(sum(len(listed(x)) for x in xs))
    return [v for x in xs for v in x]


builtin("list", least=0, most=ANY, wide=True)(lambda w, at, *xs: (w.charge(len(xs)), list(xs))[1])
builtin("null?", least=1)(lambda x: x == [])
builtin("pair?", least=1)(lambda x: isinstance(x, Pair) or isinstance(x, list) and bool(x))
builtin("list?", least=1)(lambda x: isinstance(x, list))
builtin("symbol?", least=1)(lambda x: isinstance(x, Symbol))
builtin("length", least=1)(lambda x: len(listed(x)))
builtin("second", least=1)(lambda x: listed(x)[1])
builtin("third", least=1)(lambda x: listed(x)[2])
builtin("last", least=1)(lambda x: listed(x)[-1])
builtin("list-ref", least=2)(lambda x, i: listed(x)[whole(i)])
builtin("list-elt", least=2)(lambda x, i: listed(x)[whole(i) - 1 if whole(i) else len(x)])  # from 1 on
walking("reverse", least=1)(lambda x: listed(x)[::-1])
walking("sum", least=1)(lambda x: functools.reduce(lambda a, b: plain(a + plain(b)), listed(x), 0))
walking("member", least=2)(lambda a, x: next((x[i:] for i in (_where(key_of(a), listed(x)),) if i >= 0), False))
walking("member?", least=2)(lambda a, x: _where(key_of(a), listed(x)) >= 0)
walking("difference", least=2)(lambda x, y: [v for away in [set(map(key_of, listed(y)))] for v in listed(x)
                                             if key_of(v) not in away])
walking("assoc", least=2)(lambda k, x: next((p for key in (key_of(k),) for p in listed(x) if key_of(first(p)) == key),
                                            False))
walking("lookup", least=2)(lambda x, k: next(((p.tail if isinstance(p, Pair) else p[1:]) for key in (key_of(k),)
                                              for p in listed(x) if key_of(first(p)) == key), []))
walking("max_cdr", least=1)(lambda x: max(listed(x), key=lambda p: p.tail))


def _where(key: Any, x: list[Any]) -> int:
    """Where the first thing of this key stands; -1 where none does."""
    return next((i for i, v in enumerate(x) if key_of(v) == key), -1)


@builtin("range", least=2, wide=True)
def span(w: World, at: int, a: Any, b: Any) -> list[int]:
    """The whole numbers from a to b, both in."""
    w.charge(max(int(b) - int(a) + 1, 0))
    return list(range(int(a), int(b) + 1))


@builtin("flatten", least=1, wide=True)
def flatten(w: World, at: int, x: Any) -> list[Any]:
    out: list[Any] = []
    left = listed(x)[::-1]
    while left:
        v = left.pop()
        if isinstance(v, list):
            left += v[::-1]
            w.work(16 * (1 + len(v)))
        else:
            out.append(v)
            w.charge(1)
    return out


@builtin("zip", least=1, most=ANY, wide=True)
def zipped(w: World, at: int, *xs: Any) -> list[Any]:
    w.charge(sum(len(listed(x)) for x in xs))
    return [list(v) for v in zip(*xs)]


@builtin("cartesian_product", least=2, wide=True)
def product(w: World, at: int, x: Any, y: Any) -> list[Any]:
    w.charge(len(listed(x)) * len(listed(y)))
    return [[a, *b] if isinstance(b, list) else Pair(a, b) for a in x for b in y]


@builtin("update-list", least=3, wide=True)
def updated(w: World, at: int, x: Any, i: Any, v: Any) -> list[Any]:
    w.charge(len(listed(x)))
    return [v if k == whole(i) else old for k, old in enumerate(x)]


BASE["concatenate"] = BASE["append"]

# ---------------------------------------------------------------- functions of functions


def each(w: World, at: int, f: Any, *xs: Any) -> list[Any]:
    w.charge(len(listed(xs[0])))
    return [apply(w, f, list(v), w.place((at, i))) for i, v in enumerate(zip(*map(listed, xs)))]


builtin("map", least=2, most=ANY, wide=True)(each)
builtin("filter", least=2, wide=True)(lambda w, at, f, x: [
    v for v, keep in zip(listed(x), each(w, at, f, x)) if keep is not False])
builtin("apply", least=2, wide=True)(lambda w, at, f, x: apply(w, f, list(listed(x)), at))


@builtin("fold", "foldl", least=3, wide=True)
def fold(w: World, at: int, f: Any, start: Any, x: Any) -> Any:
    """f takes an element and what there is so far."""
    for i, v in enumerate(listed(x)):
        start = apply(w, f, [v, start], w.place((at, i)))
    return start


@builtin("all", "every", least=1, most=2, wide=True)
def every(w: World, at: int, *x: Any) -> bool:
    """Of a list, or of a function over one."""
    return all(v is not False for v in _looked(w, at, x))


@builtin("some", "any", least=1, most=2, wide=True)
def some(w: World, at: int, *x: Any) -> bool:
    return any(v is not False for v in _looked(w, at, x))


def _looked(w: World, at: int, x: tuple[Any, ...]) -> list[Any]:
    if len(x) == 2:
        return each(w, at, *x)
    w.work(len(listed(x[0])))
    return listed(x[0])


@builtin("repeat", least=2, wide=True)
def repeat(w: World, at: int, n: Any, f: Any) -> list[Any]:
    w.charge(whole(n))
    return [apply(w, f, [], w.place((at, i))) for i in range(whole(n))]


builtin("mem", least=1, wide=True)(lambda w, at, f: Remembered(f, at))
builtin("hist", "density", least=1, most=3)(lambda x, *more: x)


@builtin("make-gensym", "make_gensym", least=0, most=1, wide=True)
def gensym(w: World, at: int, prefix: str = "g") -> Builtin:
    """A function that gives new names, prefix-0 first, counted from 0 in each world."""
    if not isinstance(prefix, str) or not re.fullmatch(r"[^\s()\[\]'\";]*", prefix):
        raise ValueError(f"{write(prefix)[:40]} cannot begin a name")
    count = [-1]

    def new(w: World, at: int) -> Symbol:
        if w.branches:
            raise NotWide("names are counted world by world")
        w.charge(1)
        count[0] += 1
        return Symbol(f"{prefix}{count[0]}")

    return Builtin("gensym", new, True, 0, 0)


# ---------------------------------------------------------------- texts

@builtin("stringify", least=1, wide=True)
def stringify(w: World, at: int, x: Any) -> str:
    text = str(x) if isinstance(x, str) else write(x)
    w.charge(len(text))
    return text




def texted(x: Any) -> str:
    """A text. Raises `ValueError` for anything else."""
    if not isinstance(x, str):
        raise ValueError(f"{write(x)[:40]} is no text")
    return x


@builtin("string->number", least=1)
def told_number(x: Any) -> Any:
    """The number that a text says, and #f where it says none."""
    found = number(texted(x))
    return False if found is None else found


builtin("string-length", least=1)(lambda x: len(texted(x)))
walking("string-slice", least=2, most=3)(lambda x, a, b=None: texted(x)[whole(a) : None if b is None else whole(b)])
builtin("string-append", least=0, most=ANY, wide=True)(
    lambda w, at, *xs: (w.charge(sum(len(texted(x)) for x in xs)), "".join(xs))[1])

# ---------------------------------------------------------------- draws


@builtin("flip", least=0, most=1, wide=True)
def flip(w: World, at: int, p: Any = 0.5) -> bool:
    if not 0 <= plain(p) <= 1:
        raise ValueError(f"{p} is no probability")
    return bool(w.choose(Flip(float(p)), at))


@builtin("gaussian", least=2, wide=True)
def gaussian(w: World, at: int, mean: Any, deviation: Any) -> float:
    if not plain(deviation) > 0:
        raise ValueError(f"a deviation is above 0, not {deviation}")
    return float(w.choose(Real("gaussian", float(plain(mean)), float(deviation)), at))


@builtin("uniform", least=2, wide=True)
def uniform(w: World, at: int, a: Any, b: Any) -> float:
    if not plain(a) < plain(b):
        raise ValueError(f"uniform goes from less to more, not from {a} to {b}")
    return float(w.choose(Real("uniform", float(a), float(b)), at))


@builtin("exponential", least=1, wide=True)
def exponential(w: World, at: int, rate: Any) -> float:
    if not plain(rate) > 0:
        raise ValueError(f"a rate is above 0, not {rate}")
    return float(w.choose(Real("exponential", float(rate)), at))


@builtin("uniform-draw", least=1, wide=True)
def among(w: World, at: int, items: Any) -> Any:
    """One of a list; which one is drawn, so that what stands in the list may be drawn itself."""
    if not listed(items):
        raise ValueError("nothing to draw from")
    return items[w.choose(Among(tuple(range(len(items)))), at)]


@builtin("random-integer", least=1, wide=True)
def integer(w: World, at: int, n: Any) -> int:
    if whole(n) < 1:
        raise ValueError("takes 1 or more")
    return int(w.choose(Among(tuple(range(whole(n)))), at))


@builtin("factor", least=1, wide=True)
def factor(w: World, at: int, score: Any) -> bool:
    """Weigh this world by exp(score)."""
    w.weight += float(plain(score))
    return True


__all__ = ["BASE"]
