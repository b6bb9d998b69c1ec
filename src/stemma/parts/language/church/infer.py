"""Inference over programs behind one call: rejection, single-site Metropolis-Hastings, enumeration, weighting.

    infer(read(text), "rejection", 1000)

A program is a list of expressions; its value in a world is that of its last `(query ...)`, or of its last expression.
Worlds in which a `(condition ...)` is false do not count; `(factor x)` weighs a world by exp(x).
"""
from __future__ import annotations

import functools
import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from . import line as _line  # noqa: F401 (gives its primitive to programs)
from . import table as _table  # noqa: F401 (likewise)
from . import town as _town  # noqa: F401 (likewise)
from .builtins import BASE
from .chance import Law
from .reader import ChurchError, Symbol, write
from .run import Code, Compiler, Drawn, Limits, Rejected, Scope, World, key_of, room, spoken

Method = Literal["rejection", "mh", "enumeration", "weighting"]
METHODS: tuple[Method, ...] = ("rejection", "mh", "enumeration", "weighting")
TRIES = 200_000  # worlds that are drawn in search of those that are wanted


@dataclass(frozen=True)
class Posterior:
    """What a query says in worlds that agree with the conditions: `values` with `weights` that add up to 1.

    tried: worlds that were run. accepted: the share that agreed (of moves that were taken, for mh).
    """

    values: list[Any]
    weights: list[float]
    method: str
    tried: int
    accepted: float

    @property
    def effective(self) -> float:
        """The effective number of samples: 1 over the sum of squared weights; of a chain of numbers or truths less what
        neighbours have in common (Geyer 1992: pairs of autocorrelations for as long as their sum is above 0)."""
        alike = 1 / sum(w * w for w in self.weights)
        if self.method != "mh" or not all(isinstance(v, (int, float)) for v in self.values):
            return alike
        x = [float(v) - self.mean for v in self.values]
        n, power = len(x), sum(v * v for v in x)
        if not 0 < power < math.inf:
            return alike
        shared = lambda lag: sum(a * b for a, b in zip(x, x[lag:])) / power  # noqa: E731
        total, lag = -1.0, 0
        while lag + 1 < n and (pair := shared(lag) + shared(lag + 1)) > 0:
            total, lag = total + 2 * pair, lag + 2
        return min(alike, alike / max(total, 1e-9))

    @property
    def numeric(self) -> bool:
        return all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in self.values)

    @property
    def mean(self) -> float:
        """Of numbers, and of truths as 0 and 1."""
        return sum(w * float(v) for v, w in zip(self.values, self.weights))

    @property
    def deviation(self) -> float:
        m = self.mean
        return math.sqrt(max(sum(w * (float(v) - m) ** 2 for v, w in zip(self.values, self.weights)), 0.0))

    def table(self) -> dict[str, float]:
        """Each value, as it is written, with its probability, the likeliest first."""
        found: dict[str, float] = {}
        for v, w in zip(self.values, self.weights):
            found[write(v)] = found.get(write(v), 0.0) + w
        return dict(sorted(found.items(), key=lambda x: -x[1]))

    def chance(self, value: Any = True) -> float:
        """The probability of a value."""
        key = key_of(value)
        return sum(w for v, w in zip(self.values, self.weights) if key_of(v) == key)


class Program:
    """Expressions made ready to be run many times. Raises `ChurchError` for what is no program."""

    def __init__(self, forms: list[Any], limits: Limits = Limits()) -> None:
        self.limits, self.names, self.forms = limits, dict[Any, int](), forms
        if not forms:
            raise ChurchError("there is nothing to run")
        self.plain  # noqa: B018 (what is no program is told here)
        asked = [i for i, x in enumerate(forms) if isinstance(x, list) and x[:1] == [Symbol("query")]]
        self.asked = asked[-1] if asked else len(forms) - 1

    @functools.cached_property
    def plain(self) -> list[Code]:
        """The expressions for worlds that draw without addresses."""
        return self._compiled(Compiler(named=False))

    @functools.cached_property
    def named(self) -> list[Code]:
        """The same for a chain, whose draws have addresses."""
        return self._compiled(Compiler())

    def _compiled(self, compiler: Compiler) -> list[Code]:
        scope = Scope(None, None)
        return [compiler.code(x, scope) for x in self.forms]

    def run(self, w: World) -> Any:
        """The value in one world. Raises `Rejected` where a condition is false, `ChurchError` for what goes wrong."""
        if not w.globals:
            w.globals = dict(BASE)
        value: Any = None
        try:
            for i, code in enumerate(self.named if w.named else self.plain):
                found = code(w, None, w.place(("top", i)))
                if i == self.asked:
                    value = found
        except RecursionError:
            raise ChurchError("calls within calls are too deep") from None
        return value


def infer(forms: list[Any] | Program, method: Method = "rejection", n: int = 1000, seed: int = 0,
          limits: Limits = Limits(), tries: int = TRIES, burn: int = 200, lag: int = 5) -> Posterior:
    """The posterior of a program by `n` samples (all worlds, for enumeration).

    A program whose last expression is (mh-query n lag ... asked held) or (enumeration-query ... asked held) says its
    method itself. tries: worlds that may be run, whatever is found; burn, lag: moves of a chain before the first sample
    and between two. Raises `ChurchError` where the conditions held in none of them, or the program goes wrong.
    """
    if not isinstance(forms, Program):
        forms, method, n, lag = _outer(forms, method, n, lag)
    program = forms if isinstance(forms, Program) else Program(forms, limits)
    if method not in METHODS:
        raise ChurchError(f"infer by {', '.join(METHODS)}, not by '{method}'")
    with room(program.limits):
        ways: dict[str, Callable[..., Posterior]] = {"rejection": rejection, "mh": chain,
                                                     "enumeration": enumeration, "weighting": weighting}
        return ways[method](program, n, random.Random(seed), tries, burn, lag)


def _outer(forms: list[Any], method: Method, n: int, lag: int) -> tuple[list[Any], Method, int, int]:
    """A program without the query around its end, and the method, samples and lag that this says."""
    last = forms[-1] if forms else None
    if not isinstance(last, list) or not last or last[0] not in ("mh-query", "enumeration-query"):
        return forms, method, n, lag
    body = last[1:]
    if last[0] == "mh-query":
        if not all(isinstance(v, int) and not isinstance(v, bool) and v > 0 for v in body[:2]) or len(body) < 3:
            raise ChurchError("mh-query takes how many samples, the moves between two, and a body")
        (n, lag), body, method = body[:2], body[2:], "mh"
    else:
        method = "enumeration"
    *before, asked = spoken(body)
    return [*forms[:-1], *before, [Symbol("query"), asked]], method, n, lag


def _impossible(tried: int) -> ChurchError:
    return ChurchError(f"the conditions held in none of {tried:,} worlds; they may contradict each other or the model")


def rejection(program: Program, n: int, rng: random.Random, tries: int, *_: int) -> Posterior:
    """Worlds are drawn until `n` agree with the conditions, in batches where the program runs in them. Raises
    `ChurchError` for weights, which it cannot heed."""
    from .wide import drawn  # numpy is loaded by those who infer

    found = drawn(program, n, random.Random(rng.random()).getrandbits(63), tries)
    values, tried = found if found is not None else ([], 0)
    while len(values) < n and tried < tries:
        tried += 1
        w = Drawn(program.limits, program.names, rng)
        try:
            value = program.run(w)
        except Rejected:
            continue
        if w.weight:
            raise ChurchError("the program weighs worlds by factor; infer by weighting, mh or enumeration")
        values.append(value)
    if not values:
        raise _impossible(tried)
    return Posterior(values, [1 / len(values)] * len(values), "rejection", tried, len(values) / tried)


def weighting(program: Program, n: int, rng: random.Random, tries: int, *_: int) -> Posterior:
    """`n` worlds that agree with the conditions, weighed by their factors."""
    values: list[Any] = []
    logs: list[float] = []
    tried = 0
    while len(values) < n and tried < tries:
        tried += 1
        w = Drawn(program.limits, program.names, rng)
        try:
            values.append(program.run(w))
            logs.append(w.weight)
        except Rejected:
            continue
    if not values or max(logs) == -math.inf:
        raise _impossible(tried)
    return Posterior(values, _even(logs), "weighting", tried, len(values) / tried)


def _even(logs: list[float]) -> list[float]:
    top = max(logs)
    found = [math.exp(v - top) for v in logs]
    total = sum(found)
    return [v / total for v in found]


class Listed(World):
    """Draws follow `path`, the number of the value at each draw; what comes after it takes the first value."""

    def __init__(self, limits: Limits, names: dict[Any, int], path: list[int]) -> None:
        super().__init__(limits, names)
        self.path, self.sizes, self.log = path, list[int](), 0.0

    def choose(self, law: Law, at: int) -> Any:
        values = law.values()
        i = self.path[len(self.sizes)] if len(self.sizes) < len(self.path) else 0
        self.sizes.append(len(values))
        self.log += law.log(values[i])
        return values[i]


def enumeration(program: Program, n: int, rng: random.Random, tries: int, *_: int) -> Posterior:
    """Every world of a finite discrete program, each once. Raises `ChurchError` where there are more than `tries`."""
    found: dict[Any, list[Any]] = {}
    logs: list[float] = []
    path: list[int] = []
    tried = 0
    while True:
        tried += 1
        if tried > tries:
            raise ChurchError(f"there are more than {tries:,} worlds to list; infer by rejection or mh")
        w = Listed(program.limits, program.names, path)
        try:
            value = program.run(w)
            found.setdefault(key_of(value), [value, []])[1].append(w.log + w.weight)
            logs.append(w.log)
        except Rejected:
            pass
        path = [*path, *[0] * (len(w.sizes) - len(path))][: len(w.sizes)]
        while path and path[-1] == w.sizes[len(path) - 1] - 1:
            path.pop()
        if not path:
            break
        path[-1] += 1
    if not found or _add([x for v in found.values() for x in v[1]]) == -math.inf:
        raise _impossible(tried)
    sums = [_add(v[1]) for v in found.values()]
    return Posterior([v[0] for v in found.values()], _even(sums), "enumeration", tried, math.exp(_add(logs)))


def _add(logs: list[float]) -> float:
    top = max(logs)
    return top + math.log(sum(math.exp(v - top) for v in logs)) if top > -math.inf else top


@dataclass
class Trace(World):
    """One world of a chain: its draws by address, of which those of an earlier world are kept."""

    old: dict[int, tuple[Law, Any, float]]
    again: int  # the address that is drawn anew
    rng: random.Random
    program: Program
    named = True
    draws: dict[int, tuple[Law, Any, float]] = field(default_factory=dict)
    fresh: float = 0.0  # log probability of what was drawn anew, the one at `again` not counted
    moved: float = 0.0  # of the one at `again`: log of what it was less log of what it is, each under its own law

    def __post_init__(self) -> None:
        World.__init__(self, self.program.limits, self.program.names)

    def choose(self, law: Law, at: int) -> Any:
        if at in self.draws:  # the same place twice: each draw has a place of its own
            at = self.place((at, "again", len(self.draws)))
        before = self.old.get(at)
        if before is None or at == self.again:
            value = law.draw(self.rng)
            log = law.log(value)
            if before is None:
                self.fresh += log
            else:
                self.moved = before[2] - log
        else:
            value = before[1]
            log = before[2] if before[0] == law else _log(law, value)
            if log == -math.inf:  # what was kept cannot be under the new law
                raise Rejected
        self.draws[at] = (law, value, log)
        return value

    @functools.cached_property
    def log(self) -> float:
        return sum(d[2] for d in self.draws.values()) + self.weight


def _log(law: Law, value: Any) -> float:
    try:
        return law.log(value)
    except TypeError:
        return -math.inf


def chain(program: Program, n: int, rng: random.Random, tries: int, burn: int, lag: int) -> Posterior:
    """Lightweight Metropolis-Hastings (Wingate, Stuhlmueller and Goodman 2011): one draw, named by its address, is
    drawn anew from its law, the program is run again with the other draws kept, and the new world is taken with
    probability

        p(new) q(old | new) / (p(old) q(new | old)),

    in which the number of draws, those that are new and those that are gone have their part.
    """
    value, world, tried = _begin(program, rng, tries)
    values: list[Any] = []
    taken = moves = 0
    while len(values) < n:
        if not world.draws:
            values += [value] * n
            break
        at = list(world.draws)[int(rng.random() * len(world.draws))]
        other = Trace(world.draws, at, rng, program)
        moves += 1
        try:
            found = program.run(other)
        except Rejected:
            pass
        else:
            # the draw itself: its prior and its proposal are the same law, as it was and as it is
            gone = sum(d[2] for k, d in world.draws.items() if k not in other.draws)
            ratio = other.log - world.log + other.moved + gone - other.fresh
            ratio += math.log(len(world.draws)) - math.log(len(other.draws))
            if rng.random() < math.exp(min(ratio, 0.0)):
                value, world = found, other
                taken += 1
        if moves > burn and (moves - burn) % lag == 0:
            values.append(value)
    values = values[:n]
    return Posterior(values, [1 / n] * n, "mh", tried + moves, taken / max(moves, 1))


def _begin(program: Program, rng: random.Random, tries: int) -> tuple[Any, Trace, int]:
    """A first world that agrees with the conditions."""
    for tried in range(1, tries + 1):
        world = Trace({}, -1, rng, program)
        try:
            value = program.run(world)
        except Rejected:
            continue
        if world.log > -math.inf:
            return value, world, tried
    raise _impossible(tries)


__all__ = ["METHODS", "Method", "Posterior", "Program", "infer"]
