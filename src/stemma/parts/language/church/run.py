"""Running a program: expressions become closures once, worlds run them many times.

A world holds what one run needs: the source of its draws, what `mem` remembers, counts of steps and cells, and the
address of each call. An address is a number for a call path (Wingate et al. 2011); a remembered call begins a path of
its own, named by the remembering function and the arguments, so that a draw is the same one wherever it is asked for.
"""
from __future__ import annotations

import functools
import random
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ....core.sentence import many
from .chance import Law
from .reader import ChurchError, Pair, Symbol, parts_of, write


@dataclass(frozen=True)
class Limits:
    """What one run may take: steps (calls), cells (things that lists, texts and memories hold), calls within calls."""

    steps: int = 200_000
    cells: int = 200_000
    depth: int = 4_000


class Rejected(Exception):
    """A condition is false in this world."""


class NotWide(ChurchError):
    """A program that a batch of worlds cannot run (`wide`)."""


class Many:
    """A number or truth that differs between the worlds of a batch: `values`, a NumPy row of them."""

    __slots__ = ("values",)

    def __init__(self, values: Any) -> None:
        self.values = values


class World:
    """One run. A subclass says where draws come from, and whether it asks for them by their addresses (`named`)."""

    named = False

    def __init__(self, limits: Limits, names: dict[Any, int]) -> None:
        self.limits, self.names = limits, names
        self.left, self.cells, self.depth, self.weight = limits.steps, limits.cells, 0, 0.0
        self.globals: dict[str, Any] = {}
        self.branches = 0  # within which a batch of worlds runs both ways

    def choose(self, law: Law, at: int) -> Any:
        raise NotImplementedError

    def condition(self, true: Any) -> None:
        if true is False:
            raise Rejected

    def fork(self, test: Many, then: Code, other: Code, e: Any, a: int) -> Any:
        """What a branch gives whose test differs between worlds."""
        raise NotImplementedError

    def work(self, things: int) -> None:
        """A look at so many things of a list or text: sixteen of them are a step."""
        self.left -= things >> 4
        if self.left < 0:
            raise ChurchError(f"the program takes more than {self.limits.steps:,} steps")

    def charge(self, cells: int) -> None:
        self.cells -= cells
        if self.cells < 0:
            raise ChurchError(f"the program holds more than {self.limits.cells:,} things")

    def place(self, key: Any) -> int:
        """The number of an address; 0 for all where none is asked for."""
        if not self.named:
            return 0
        found = self.names.get(key)
        if found is None:
            found = self.names[key] = len(self.names)
        return found


class Drawn(World):
    """Every draw is new."""

    def __init__(self, limits: Limits, names: dict[Any, int], rng: random.Random) -> None:
        super().__init__(limits, names)
        self.rng = rng

    def choose(self, law: Law, at: int) -> Any:
        return law.draw(self.rng)


class Frame:
    """Variables of one call, and those around it."""

    __slots__ = ("values", "outer")

    def __init__(self, values: list[Any], outer: Any) -> None:
        self.values, self.outer = values, outer


Code = Callable[[World, Any, int], Any]  # world, frame, address -> value
UNSET = object()


class Closure:
    """A function of a program, made at an address."""

    __slots__ = ("names", "rest", "size", "body", "outer", "label", "at")

    def __init__(self, names: list[Symbol], rest: bool, size: list[Symbol], body: Code, outer: Any, label: str,
                 at: int) -> None:
        self.names, self.rest, self.size, self.body, self.outer, self.label = names, rest, size, body, outer, label
        self.at = at

    def __str__(self) -> str:
        return f"#<function {self.label}>"


class Remembered:
    """A function that answers alike to equal arguments within a world."""

    __slots__ = ("function", "at", "told")

    def __init__(self, function: Any, at: int) -> None:
        self.function, self.at, self.told = function, at, dict[Any, Any]()

    def __str__(self) -> str:
        return f"#<mem {self.function}>"


class Builtin:
    """A function of Python that a program may call; `wide` ones are handed the world and the address too."""

    __slots__ = ("name", "function", "wide", "least", "most")

    def __init__(self, name: str, function: Callable[..., Any], wide: bool, least: int, most: int) -> None:
        self.name, self.function, self.wide, self.least, self.most = name, function, wide, least, most

    def __str__(self) -> str:
        return f"#<{self.name}>"


def key_of(x: Any) -> Any:
    """A value as what a dictionary can hold: equal values have equal keys, and a function is itself alone. Raises
    `ChurchError` for a value of too many parts (`parts_of`)."""
    if type(x) is Symbol:
        return ("s", x)
    if isinstance(x, (list, Pair)):
        return tuple((kind,) if kind != "is" else key_of(v) for kind, v in parts_of(x))
    if isinstance(x, bool):
        return ("b", x)
    if isinstance(x, (int, float)):
        return x
    if isinstance(x, str):
        return ("t", x)
    if isinstance(x, Many):
        raise NotWide("what differs between worlds is no key")
    return x


def _lasting(key: Any) -> Any:
    """A key for addresses, which outlive a world: a function of the program by where it was made."""
    if isinstance(key, tuple):
        return tuple(map(_lasting, key))
    return ("f", key.at) if isinstance(key, (Closure, Remembered)) else key


def apply(w: World, f: Any, args: list[Any], at: int) -> Any:
    """Call a function of a program, a builtin or a remembered one."""
    w.left -= 1
    if w.left < 0:
        raise ChurchError(f"the program takes more than {w.limits.steps:,} steps")
    if type(f) is Closure:
        names = f.names
        if f.rest:
            k = len(names) - 1
            if len(args) < k:
                raise ChurchError(f"{f.label} takes {k} or more arguments and is given {len(args)}")
            args = [*args[:k], list(args[k:])]
        elif len(args) != len(names):
            raise ChurchError(f"{f.label} takes {many(len(names), 'argument')} and is given {len(args)}")
        w.depth += 1
        if w.depth > w.limits.depth:
            raise ChurchError(f"calls within calls more than {w.limits.depth:,} deep")
        value = f.body(w, Frame(args + [UNSET] * (len(f.size) - len(args)), f.outer), at)
        w.depth -= 1
        return value
    if type(f) is Builtin:
        if not f.least <= len(args) <= f.most:
            wanted = many(f.least, "argument") if f.least == f.most else f"{f.least} or more arguments"
            raise ChurchError(f"{f.name} takes {wanted} and is given {len(args)}")
        try:
            return f.function(w, at, *args) if f.wide else f.function(*args)
        except (TypeError, ValueError, AttributeError, IndexError, ZeroDivisionError, OverflowError) as error:
            said = " ".join(write(a) for a in args)
            raise ChurchError(f"({f.name} {said[:80]}): {_why(error)}") from None
    if type(f) is Remembered:
        key = tuple(map(key_of, args))
        told = f.told
        if key not in told:
            w.charge(1)
            told[key] = apply(w, f.function, args, w.place((f.at, _lasting(key))) if w.named else 0)
        return told[key]
    raise ChurchError(f"{write(f)[:60]} is no function")


def _why(error: Exception) -> str:
    """What went wrong in a builtin, in words of the language; `ValueError` alone has words of ours."""
    words = {ZeroDivisionError: "division by zero", OverflowError: "a number too large",
             IndexError: "there are fewer things in it"}
    return words.get(type(error), str(error) if isinstance(error, ValueError) else "takes other arguments")


# ---------------------------------------------------------------- expressions to closures


class Scope:
    """The names that a place in a program sees: those of the function around it, and of those around that."""

    def __init__(self, names: list[Symbol] | None, outer: Scope | None) -> None:
        self.names, self.outer = names, outer

    def find(self, name: Symbol) -> tuple[int, int] | None:
        scope: Scope | None = self
        up = 0
        while scope is not None and scope.names is not None:
            if name in scope.names:
                return up, scope.names.index(name)
            scope, up = scope.outer, up + 1
        return None


class Compiler:
    """Turns expressions into closures. Global names live in `globals`, which a world fills anew. `named`: for worlds
    that ask for draws by their addresses; for others what is run most often makes none."""

    def __init__(self, named: bool = True) -> None:
        self.named, self.sites = named, 0

    def site(self) -> int:
        self.sites += 1
        return self.sites

    def code(self, x: Any, scope: Scope) -> Code:
        """The closure of one expression."""
        if isinstance(x, Symbol):
            return self._name(x, scope)
        if isinstance(x, list):
            if not x:
                return lambda w, e, a: []
            if isinstance(x[0], Symbol) and scope.find(x[0]) is None and (form := getattr(
                    self, "_f_" + FORMS.get(x[0], ""), None)):
                made: Code = form(x, scope)
                return made
            return self._call(x, scope)
        if isinstance(x, Pair):
            raise ChurchError(f"{write(x)} is a pair and no expression; quote it")
        return lambda w, e, a: x

    def _name(self, name: Symbol, scope: Scope) -> Code:
        found = scope.find(name)
        if found is None:
            def look(w: Any, e: Any, a: int) -> Any:
                try:
                    return w.globals[name]
                except KeyError:
                    raise ChurchError(f"nothing here is called '{name}'") from None

            return look
        up, i = found

        def get(w: World, e: Any, a: int) -> Any:
            for _ in range(up):
                e = e.outer
            value = e.values[i]
            if value is UNSET:
                raise ChurchError(f"'{name}' is used before it is defined")
            return value

        def own(w: World, e: Any, a: int) -> Any:
            value = e.values[i]
            return get(w, e, a) if value is UNSET else value

        return get if up else own

    def _call(self, x: list[Any], scope: Scope) -> Code:
        f, args, site = self.code(x[0], scope), [self.code(v, scope) for v in x[1:]], self.site()
        if not self.named and len(args) == 1:
            one = args[0]
            return lambda w, e, a: apply(w, f(w, e, 0), [one(w, e, 0)], 0)
        if not self.named and len(args) == 2:
            one, two = args
            return lambda w, e, a: apply(w, f(w, e, 0), [one(w, e, 0), two(w, e, 0)], 0)
        if not self.named:
            return lambda w, e, a: apply(w, f(w, e, 0), [v(w, e, 0) for v in args], 0)

        def call(w: World, e: Any, a: int) -> Any:
            at = w.place((a, site))
            return apply(w, f(w, e, at), [v(w, e, w.place((at, i))) for i, v in enumerate(args)], at)

        return call

    def body(self, xs: list[Any], scope: Scope) -> Code:
        """Several expressions, the value of the last."""
        if not xs:
            raise ChurchError("a function or let without a body")
        codes = [self.code(x, scope) for x in xs]
        if len(codes) == 1:
            return codes[0]
        first, last, named = codes[:-1], codes[-1], self.named

        def run(w: World, e: Any, a: int) -> Any:
            for i, c in enumerate(first):
                c(w, e, w.place((a, "b", i)) if named else 0)
            return last(w, e, a)

        return run

    # ---- special forms: each is handed the whole expression

    def _f_quote(self, x: list[Any], scope: Scope) -> Code:
        _length(x, 2)
        value = x[1]
        return lambda w, e, a: value

    def _f_if(self, x: list[Any], scope: Scope) -> Code:
        if len(x) not in (3, 4):
            raise ChurchError(f"{write(x)[:60]}: if takes a test and one or two branches")
        test, then = self.code(x[1], scope), self.code(x[2], scope)
        other: Code = self.code(x[3], scope) if len(x) == 4 else lambda w, e, a: False
        named = self.named

        def run(w: World, e: Any, a: int) -> Any:
            true = test(w, e, w.place((a, "if")) if named else 0)
            if type(true) is Many:
                return w.fork(true, then, other, e, a)
            return (then if true is not False else other)(w, e, a)

        return run

    def _f_cond(self, x: list[Any], scope: Scope) -> Code:
        rows = []
        for row in x[1:]:
            if not isinstance(row, list) or len(row) < 2:
                raise ChurchError(f"{write(row)[:60]}: a row of cond has a test and what it gives")
            test = (lambda w, e, a: True) if row[0] == "else" else self.code(row[0], scope)
            rows.append((test, self.body(row[1:], scope)))
        named = self.named

        def run(w: World, e: Any, a: int) -> Any:
            for i, (test, then) in enumerate(rows):
                true = test(w, e, w.place((a, "cond", i)) if named else 0)
                if type(true) is Many:
                    raise NotWide("rows of cond that differ between worlds")
                if true is not False:
                    return then(w, e, w.place((a, "then", i)) if named else 0)
            return False

        return run

    def _f_case(self, x: list[Any], scope: Scope) -> Code:
        if len(x) < 3:
            raise ChurchError(f"{write(x)[:60]}: case takes a value and rows")
        value, rows = self.code(x[1], scope), []
        for row in x[2:]:
            if not isinstance(row, list) or len(row) < 2:
                raise ChurchError(f"{write(row)[:60]}: a row of case has values and what they give")
            data = row[0][1] if isinstance(row[0], list) and row[0][:1] == [Symbol("quote")] else row[0]
            items = data if isinstance(data, list) else [data]
            bare = [v[1] if isinstance(v, list) and v[:1] == [Symbol("quote")] and len(v) == 2 else v for v in items]
            held = None if data == "else" else [key_of(v) for v in bare]
            rows.append((held, self.body(row[1:], scope)))

        def run(w: World, e: Any, a: int) -> Any:
            key = key_of(value(w, e, w.place((a, "case"))))
            for held, then in rows:
                if held is None or key in held:
                    return then(w, e, a)
            return False

        return run

    def _f_and(self, x: list[Any], scope: Scope) -> Code:
        return self._chain(x, scope, True)

    def _f_or(self, x: list[Any], scope: Scope) -> Code:
        return self._chain(x, scope, False)

    def _chain(self, x: list[Any], scope: Scope, all_: bool) -> Code:
        codes, named = [self.code(v, scope) for v in x[1:]], self.named

        def run(w: World, e: Any, a: int, begin: int = 0) -> Any:
            value: Any = all_
            for i in range(begin, len(codes)):
                value = codes[i](w, e, w.place((a, i)) if named else 0)
                if type(value) is Many:
                    if i == len(codes) - 1:
                        return value
                    rest = functools.partial(run, begin=i + 1)
                    stay = functools.partial(_as_it_is, False if all_ else value)
                    return w.fork(value, rest, stay, e, a) if all_ else w.fork(value, stay, rest, e, a)
                if (value is False) == all_:
                    return value
            return value

        return run

    def _f_lambda(self, x: list[Any], scope: Scope, label: str = "lambda") -> Code:
        if len(x) < 3:
            raise ChurchError(f"{write(x)[:60]}: a function has names and a body")
        names, rest = _names(x[1])
        inner = list(names) + [d for d in _defined(x[2:]) if d not in names]
        body = self.body(x[2:], Scope(inner, scope))
        return lambda w, e, a: Closure(names, rest, inner, body, e, label, a)

    def _f_let(self, x: list[Any], scope: Scope) -> Code:
        pairs = _pairs(x)
        made = self._f_lambda([x[0], [n for n, _ in pairs], *x[2:]], scope, "let")
        values, site = [self.code(v, scope) for _, v in pairs], self.site()
        if not self.named:
            return lambda w, e, a: apply(w, made(w, e, 0), [v(w, e, 0) for v in values], 0)

        def run(w: World, e: Any, a: int) -> Any:
            at = w.place((a, site))
            return apply(w, made(w, e, at), [v(w, e, w.place((at, i))) for i, v in enumerate(values)], at)

        return run

    def _f_let_star(self, x: list[Any], scope: Scope) -> Code:
        pairs, let = _pairs(x), Symbol("let")
        inner = [let, [[*pairs[-1]]] if pairs else [], *x[2:]]
        for pair in reversed(pairs[:-1]):
            inner = [let, [[*pair]], inner]
        return self._f_let(inner, scope)

    def _f_begin(self, x: list[Any], scope: Scope) -> Code:
        return self.body(x[1:], scope)

    def _f_define(self, x: list[Any], scope: Scope) -> Code:
        if len(x) < 3:
            raise ChurchError(f"{write(x)[:60]}: define takes a name and a value")
        if isinstance(x[1], Pair):
            name, value = x[1].head, [Symbol("lambda"), x[1].tail, *x[2:]]
        elif isinstance(x[1], list):
            name, value = x[1][0] if x[1] else None, [Symbol("lambda"), x[1][1:], *x[2:]]
        else:
            _length(x, 3)
            name, value = x[1], x[2]
        if not isinstance(name, Symbol):
            raise ChurchError(f"{write(x)[:60]}: what is defined has a name")
        if name in FORMS:
            raise ChurchError(f"'{name}' is a form of the language and cannot be defined")
        function = isinstance(value, list) and value[:1] == [Symbol("lambda")]
        code = self._f_lambda(value, scope, str(name)) if function else self.code(value, scope)
        found, site = scope.find(name), self.site()
        if scope.names is None:
            def put(w: Any, e: Any, a: int) -> Any:
                w.globals[name] = code(w, e, w.place((a, site)))
                return name

            return put
        if found is None or found[0]:
            raise ChurchError(f"'{name}' is defined within an expression; define it in a body of its own")
        i = found[1]

        def keep(w: World, e: Any, a: int) -> Any:
            e.values[i] = code(w, e, w.place((a, site)))
            return name

        return keep

    def _f_condition(self, x: list[Any], scope: Scope) -> Code:
        _length(x, 2)
        code, site = self.code(x[1], scope), self.site()

        def run(w: World, e: Any, a: int) -> Any:
            w.condition(code(w, e, w.place((a, site))))
            return True

        return run

    def _f_rejection(self, x: list[Any], scope: Scope) -> Code:
        """A query within a program: drawn until its conditions hold, in the world that it stands in."""
        made, site = self._f_lambda([x[0], [], *spoken(x[1:])], scope, str(x[0])), self.site()

        def run(w: World, e: Any, a: int) -> Any:
            if not isinstance(w, Drawn):
                raise ChurchError(f"{x[0]} stands within what is inferred; only rejection draws a query in a query")
            at, depth = w.place((a, site)), w.depth
            while True:
                try:
                    return apply(w, made(w, e, at), [], at)
                except Rejected:
                    w.depth = depth

        return run

    def _f_outer(self, x: list[Any], scope: Scope) -> Code:
        raise ChurchError(f"{x[0]} says how a whole program is inferred over and is its last expression; within one "
                          "there is rejection-query")

    def _f_query(self, x: list[Any], scope: Scope) -> Code:
        _length(x, 2)
        return self.code(x[1], scope)


FORMS = {n: n for n in ("quote", "if", "cond", "case", "and", "or", "lambda", "let", "begin", "define", "condition",
                        "query")} | {"let*": "let_star", "rejection-query": "rejection", "mh-query": "outer",
                                     "enumeration-query": "outer"}


def spoken(body: list[Any]) -> list[Any]:
    """The body of a Church query with its conditions before what is asked. Without `(condition ...)` what is asked is
    the last but one, and the last what must hold: (rejection-query define ... asked held)."""
    if not body:
        raise ChurchError("a query without anything that is asked")
    at = [i for i, x in enumerate(body) if not (isinstance(x, list) and x and x[0] in ("define", "condition"))]
    if at[-1:] != [len(body) - 1] and at:  # conditions stand behind what is asked
        return [x for i, x in enumerate(body) if i != at[-1]] + [body[at[-1]]]
    if at[-2:] == [len(body) - 2, len(body) - 1]:
        return [*body[:-2], [Symbol("condition"), body[-1]], body[-2]]
    return body


def _as_it_is(value: Any, w: World, e: Any, a: int) -> Any:
    return value


def _length(x: list[Any], n: int) -> None:
    if len(x) != n:
        raise ChurchError(f"{write(x)[:60]}: {x[0]} takes {n - 1} thing(s), not {len(x) - 1}")


def _names(x: Any) -> tuple[list[Symbol], bool]:
    """The names of a function's arguments, and whether the last takes all the rest."""
    names, rest = [], False
    while isinstance(x, Pair):
        names.append(x.head)
        x = x.tail
    if isinstance(x, Symbol):
        names.append(x)
        rest = True
    else:
        names += x if isinstance(x, list) else [x]
    if not all(isinstance(n, Symbol) for n in names) or len(set(names)) != len(names):
        raise ChurchError(f"{write(names)[:60]}: arguments are names, each its own")
    return names, rest


def _pairs(x: list[Any]) -> list[tuple[Symbol, Any]]:
    if len(x) < 3 or not isinstance(x[1], list) or not all(
            isinstance(p, list) and len(p) == 2 and isinstance(p[0], Symbol) for p in x[1]):
        raise ChurchError(f"{write(x)[:60]}: let takes pairs of a name and a value, and a body")
    return [(p[0], p[1]) for p in x[1]]


def _defined(body: list[Any]) -> list[Symbol]:
    found = list[Symbol]()
    for x in body:
        if isinstance(x, list) and x[:1] == [Symbol("begin")]:
            found += [name for name in _defined(x[1:]) if name not in found]
        elif isinstance(x, list) and x[:1] == [Symbol("define")] and len(x) > 1:
            name = x[1].head if isinstance(x[1], Pair) else x[1][0] if isinstance(x[1], list) and x[1] else x[1]
            if isinstance(name, Symbol) and name not in found:
                found.append(name)
    return found


@contextmanager
def room(limits: Limits) -> Iterator[None]:
    """Python's own limit of calls within calls, wide enough for a program's."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(max(before, 12 * limits.depth + 2_000))
    try:
        yield
    finally:
        sys.setrecursionlimit(before)


__all__ = ["Builtin", "Closure", "Code", "Compiler", "Drawn", "FORMS", "Frame", "Limits", "Many", "NotWide", "Rejected",
           "Remembered", "Scope", "World", "apply", "key_of", "room", "spoken"]
