"""Concepts that are drawn: a tree in which every step down fixes one thing more of a picture, so that what lies near in
the tree looks alike by construction. Some of its leaves are the concepts that are seen, the rest is cut into levels by
how near it is to them, as WordNet's concepts are (`concepts.choose`).

Steps, from what changes most of a picture to what changes least: the ground, the filling, the colour, the size, the
outline.
"""
from __future__ import annotations

import functools
import itertools

import numpy as np
from numpy.typing import NDArray

from . import drawn_classes as draw
from .concepts import LEVELS, Chosen, Concepts, choose

COLOURS = {"red": (0.9, 0.2, 0.2), "green": (0.2, 0.75, 0.25), "blue": (0.25, 0.4, 0.95), "violet": (0.8, 0.3, 0.85)}
GROUNDS = {"red ground": (0.3, 0.1, 0.1), "green ground": (0.08, 0.25, 0.1), "blue ground": (0.1, 0.12, 0.32),
           "dark ground": (0.06, 0.06, 0.06), "light ground": (0.9, 0.88, 0.85)}
STEPS = (tuple(GROUNDS), ("plain", "striped", "checked", "ring", "dotted"), tuple(COLOURS), ("large", "small"),
         ("triangle", "square", "star", "flower", "hexagon"))
SEEN = (4, 4, 3, 1, 3)  # of each step so many, the first ones: what is seen has these alone
KNOWN = 48  # leaves of these that are seen
EACH = 12  # concepts of a level
SHARES = {"seen": (("train", 4800), ("val", 480), ("test", 960)),
          "level": (("train", 480), ("val", 120), ("test", 480))}
ROOT = "drawn thing"


@functools.cache
def graph() -> Concepts:
    """The tree; a concept is called by its steps from the root."""
    parents: dict[str, tuple[str, ...]] = {ROOT: ()}
    for depth in range(1, len(STEPS) + 1):
        for path in itertools.product(*STEPS[:depth]):
            parents[", ".join(path)] = (", ".join(path[:-1]) or ROOT,)
    return Concepts(parents, {c: c for c in parents}, {})


def _leaves(within: bool) -> list[str]:
    """Leaves all of whose steps are among those that are seen; or the others. In an order of chance, so that ties fall
    by chance."""
    allowed = [set(s[:n]) for s, n in zip(STEPS, SEEN)]
    every = [p for p in itertools.product(*STEPS) if all(w in a for w, a in zip(p, allowed)) == within]
    return [", ".join(every[i]) for i in np.random.default_rng(5).permutation(len(every))]


def seen() -> tuple[str, ...]:
    """The leaves that are seen."""
    return tuple(sorted(_leaves(True)[:KNOWN]))


@functools.cache
def levels() -> Chosen:
    """The other leaves in five levels, those in the middle of each."""
    return choose(graph(), _leaves(False), seen(), graph().content("descendants"), size=EACH)


@functools.cache
def sets() -> dict[str, draw.Drawn]:
    """"seen" and "L1" to "L5"."""
    out = {"seen": drawn(seen(), "seen", "concepts to learn from")}
    for i, level in enumerate(levels().levels, 1):
        out[f"L{i}"] = drawn(tuple(sorted(level)), "level", f"unseen concepts, level {i} of {LEVELS}")
    return out


def drawn(classes: tuple[str, ...], kind: str, about: str) -> draw.Drawn:
    """A set of such concepts."""
    rows = np.array([[STEPS[d].index(w) for d, w in enumerate(c.split(", "))] for c in classes])

    def picture(rng: np.random.Generator, labels: NDArray[np.int64]) -> NDArray[np.uint8]:
        ground, filling, colour, small, outline = rows[labels].T
        n = len(labels)
        radius, angle, _ = draw._placed(rng, n, (1.0, 1.0), 0.2)
        size = np.where(small == 0, rng.uniform(0.72, 0.92, n), rng.uniform(0.45, 0.58, n))
        cover = draw._outlined(STEPS[4], outline, radius, angle, size)
        u, v = radius * np.cos(angle), radius * np.sin(angle)
        dots = ((np.cos(u * 14) + np.cos(v * 14)) > 0.6) * cover
        inside = np.where((filling == 4)[:, None, None], dots, draw._filled(filling, cover, radius, angle, size))
        hue = np.array(list(COLOURS.values()))[colour] * rng.uniform(0.75, 1.0, (n, 1)) + rng.normal(0, 0.06, (n, 3))
        back = np.array(list(GROUNDS.values()))[ground] * rng.uniform(0.6, 1.1, (n, 1)) + rng.normal(0, 0.03, (n, 3))
        return draw._painted(rng, inside, hue.clip(0, 1), back.clip(0, 1))

    return draw.Drawn(classes, picture, about, SHARES[kind])


__all__ = ["COLOURS", "EACH", "GROUNDS", "KNOWN", "SEEN", "STEPS", "drawn", "graph", "levels", "seen", "sets"]
