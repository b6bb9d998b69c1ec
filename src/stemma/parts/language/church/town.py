"""A planner that programs may call: the best walk or ride to lunch through a small town, by value iteration.

The map, the costs and the start are those of the paper's planning domain; a trip ends at the door of a kitchen.
"""
from __future__ import annotations

from typing import Any

from .builtins import builtin, listed, plain
from .reader import Symbol
from .run import World

TOWN = (
    ("ames", "lawn", "lawn", "lawn", "sushi"),
    ("ames", "lawn", "lawn", "lawn", "danner"),
    ("office", "barlow", "barlow", "barlow", "danner"),
    ("ames", "lawn", "lawn", "lawn", "danner"),
    ("ames", "lawn", "lawn", "lawn", "vegetarian"),
    ("pizza", "carson", "carson", "carson", "danner"),
)
KITCHENS, START, SWEEPS = ("sushi", "pizza", "vegetarian"), (2, 0), 20
WALK, RIDE, RIDE_ON_LAWN = -0.2, -0.01, -1.0
SPOTS = [(r, c) for r in range(len(TOWN)) for c in range(len(TOWN[0]))]


def cost(spot: tuple[int, int], ride: bool) -> float:
    """What a step onto a spot costs."""
    return WALK if not ride else RIDE_ON_LAWN if TOWN[spot[0]][spot[1]] == "lawn" else RIDE


def near(spot: tuple[int, int]) -> list[tuple[int, int]]:
    """The spots a step away, west, east, north, south."""
    r, c = spot
    return [s for s in ((r, c - 1), (r, c + 1), (r - 1, c), (r + 1, c)) if 0 <= s[0] < len(TOWN) and
            0 <= s[1] < len(TOWN[0])]


def plan(worth: dict[str, float], bike: bool) -> tuple[str, str, list[str], float]:
    """(where to, by what, the places passed, what it is worth): "nowhere" where no kitchen is worth the way."""
    ways = (False, True) if bike else (False,)
    ends = {s: worth[TOWN[s[0]][s[1]]] for s in SPOTS if TOWN[s[0]][s[1]] in worth}
    value = {s: ends.get(s, 0.0) for s in SPOTS}  # to stay is worth nothing
    for _ in range(SWEEPS):
        value = {s: ends[s] if s in ends else max(0.0, *(cost(t, w) + value[t] for t in near(s) for w in ways))
                 for s in SPOTS}
    spot, passed, rode = START, list[str](), False
    while spot not in ends:
        steps = [(cost(t, w) + value[t], t, w) for t in near(spot) for w in ways]
        best = max(steps, key=lambda x: x[0])
        if best[0] <= 0 or len(passed) > len(SPOTS):
            return "nowhere", "staying", passed, 0.0
        spot, rode = best[1], rode or best[2]
        if spot not in ends:
            passed.append(TOWN[spot[0]][spot[1]])
    return TOWN[spot[0]][spot[1]], "biking" if rode else "walking", passed, value[START]


@builtin("plan-lunch", least=2, wide=True)
def plan_lunch(w: World, at: int, worth: Any, bike: Any) -> list[Any]:
    """(where by-what place ...) for what sushi, pizza and vegetarian food are worth. Counts as a step for each spot and
    sweep."""
    w.left -= SWEEPS * len(SPOTS)
    if len(listed(worth)) != len(KITCHENS):
        raise ValueError(f"takes what {', '.join(KITCHENS)} are worth")
    where, how, passed, _ = plan(dict(zip(KITCHENS, map(plain, worth))), bike is not False)
    return [Symbol(where), Symbol(how), *map(Symbol, passed)]


__all__ = ["KITCHENS", "TOWN", "plan"]
