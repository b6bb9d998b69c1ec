"""Physics that programs may call: two things on a line, of which the first is pushed once at the other.

As the paper's dynamic scenes have it (domains/d3-grounded-visual-reasoning/dynamic-scenes/world-model.scm of its
release): steps of .5 s, friction that holds what is pushed too little and slows what moves, elastic collisions of what
is nearer than two radii, at the end of which a thing goes on for a whole second. Friction pulls to the left whichever
way a thing moves, as it does there.
"""
from __future__ import annotations

from typing import Any

from .builtins import builtin, plain
from .reader import Symbol, write
from .run import World

NAMES, PLACES = ("red", "blue"), (-3.0, 0.0)
RADIUS, GRAVITY, STEP, LAST = 1.0, 9.8, 0.5, 9
STATIC, KINETIC = {"ball": 0.02, "block": 0.05}, {"ball": 0.01, "block": 0.02}

State = list[tuple[float, float]]  # (place, velocity) of each
Hit = tuple[int, int, float, float]  # step, which, its velocity before and after


def force(pushed: float, v: float, shape: str, mass: float) -> float:
    """What is left of a force after friction."""
    if v == 0 and pushed < STATIC[shape] * mass * GRAVITY:
        return 0.0
    return pushed - KINETIC[shape] * mass * GRAVITY


def sped(v: float, a: float) -> float:
    """The velocity a step later; what would turn round stands still."""
    after = v + a * STEP
    return after if v * after >= 0 else 0.0


def course(shape: str, masses: tuple[float, float], push: float) -> tuple[list[State], list[Hit]]:
    """(states of the steps 0 to 9, the collisions, each as both things undergo it)."""
    now = [(x, sped(0.0, force(push if i == 0 else 0.0, 0.0, shape, masses[i]) / masses[i]))
           for i, x in enumerate(PLACES)]
    states, hits = [now], list[Hit]()
    for step in range(LAST):
        (xa, va), (xb, vb) = now
        if (xa - xb) ** 2 <= (2 * RADIUS) ** 2:
            ma, mb = masses
            after = ((2 * mb * vb + va * (ma - mb)) / (ma + mb), (2 * ma * va + vb * (mb - ma)) / (ma + mb))
            hits += [(step, i, v, w) for i, (v, w) in enumerate(zip((va, vb), after))]
            now = [(x + w, w) for x, w in zip((xa, xb), after)]
        else:
            now = [(x + v * STEP, sped(v, force(0.0, v, shape, m) / m)) for (x, v), m in zip(now, masses)]
        states.append(now)
    return states, hits


@builtin("run-push", least=4, wide=True)
def run_push(w: World, at: int, shape: Any, red: Any, blue: Any, push: Any) -> list[Any]:
    """(states, collisions) of things of a shape, ball or block, with their masses and the push: a state is (place of
    red, its velocity, place of blue, its velocity), a collision (step, who, velocity before, and after). Counts as ten
    steps."""
    w.left -= LAST + 1
    name = str(shape)
    if not isinstance(shape, Symbol) or name not in STATIC:
        raise ValueError(f"things are a ball or a block, not {write(shape)[:40]}")
    masses = float(plain(red)), float(plain(blue))
    if min(masses) <= 0:
        raise ValueError("a mass is above 0")
    states, hits = course(name, masses, float(plain(push)))
    return [[[v for thing in s for v in thing] for s in states],
            [[step, Symbol(NAMES[i]), before, after] for step, i, before, after in hits]]


__all__ = ["LAST", "PLACES", "course"]
