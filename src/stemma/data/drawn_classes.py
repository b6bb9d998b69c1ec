"""Pictures of one thing each, drawn in memory: a broad source to learn from and targets to carry over to.

A class says which of a picture's properties are held; all others are chance. The source's classes are pairs of an
outline and a filling under any colour; the targets ask for other things: waves, counts, outlines that the source has
not, pairs of colours. "fine" stands apart: classes that are nearly alike.

Axes: N pictures, H W pixels.
"""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SIDE = 32
Values = NDArray[np.float64]
OUTLINES = ("triangle", "square", "hexagon", "star", "flower", "bar")
FILLINGS = ("plain", "striped", "checked", "ring")
OTHERS = ("pentagon", "star of four", "star of six", "flower of three", "ellipse", "half")  # no source has these
FINE = {f"{k} petals, {name}": (k, depth) for k in (5, 6, 7, 8)
        for name, depth in (("flat", 0.1), ("between", 0.2), ("deep", 0.32))}
COLOURS = ("red", "green", "blue", "yellow")
SHARES = {"train": 400, "val": 200, "test": 400}  # pictures of a target's splits


@dataclass(frozen=True)
class Drawn:
    """A drawn set: class names, and who draws (rng, labels) -> pictures uint8 (N, H, W, 3)."""

    classes: tuple[str, ...]
    draw: Callable[[np.random.Generator, NDArray[np.int64]], NDArray[np.uint8]]
    about: str
    shares: tuple[tuple[str, int], ...] = tuple(SHARES.items())

    def split(self, name: str, seed: int = 0) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """Pictures and labels of a split; classes in turn, so that each has as many."""
        n = dict(self.shares)[name]
        labels = np.arange(n, dtype=np.int64) % len(self.classes)
        rng = np.random.default_rng([seed, list(SHARES).index(name), len(self.classes), n])
        labels = rng.permutation(labels)
        parts = [self.draw(rng, labels[i : i + 1024]) for i in range(0, n, 1024)]
        return np.concatenate(parts), labels


def _grid(n: int, side: int = SIDE) -> tuple[Values, Values]:
    line = (np.arange(side) + 0.5) / side * 2 - 1
    return (np.broadcast_to(line[None, None, :], (n, side, side)),
            np.broadcast_to(line[None, :, None], (n, side, side)))


def _over(v: Values) -> Values:
    return v[:, None, None]


def _placed(rng: np.random.Generator, n: int, size: tuple[float, float], room: float) -> tuple[Values, Values, Values]:
    """(radius, angle, size) of every pixel about a centre, size and turn of chance."""
    x, y = _grid(n)
    s, turn = rng.uniform(*size, n), rng.uniform(0, 2 * np.pi, n)
    cx, cy = (rng.uniform(-room, room, n) for _ in range(2))
    dx, dy = x - _over(cx), y - _over(cy)
    return np.hypot(dx, dy), np.arctan2(dy, dx) + _over(turn), s


def _reach(kind: str, angle: Values) -> Values:
    """How far an outline reaches at an angle; 1 at most."""
    corners = {"triangle": 3, "square": 4, "pentagon": 5, "hexagon": 6}
    if kind in corners:
        step = 2 * np.pi / corners[kind]
        return np.asarray(np.cos(step / 2) / np.cos(np.mod(angle, step) - step / 2))
    waves = {"star": (5, 0.4), "star of four": (4, 0.45), "star of six": (6, 0.35)}
    if kind in waves:
        k, depth = waves[kind]
        return np.asarray(1 - depth * np.abs(2 * np.mod(angle * k / (2 * np.pi), 1) - 1) * 1.4)
    petals = {"flower": 4, "flower of three": 3}
    if kind in petals:
        return np.asarray(0.62 + 0.38 * np.cos(petals[kind] * angle))
    if kind in FINE:
        k, depth = FINE[kind]
        return np.asarray(1 - depth + depth * np.cos(k * angle))
    if kind in ("bar", "ellipse"):
        long, short = (1.0, 0.3) if kind == "bar" else (1.0, 0.55)
        return np.asarray(1 / np.sqrt((np.cos(angle) / long) ** 2 + (np.sin(angle) / short) ** 2))
    return np.asarray(np.where(np.cos(angle) > 0, 1.0, 0.05))  # half


def _outlined(kinds: tuple[str, ...], of: NDArray[np.int64], radius: Values, angle: Values, size: Values) -> Values:
    """Coverage in 0..1 of each picture's outline, soft by a pixel."""
    reach = np.empty_like(radius)
    for i, kind in enumerate(kinds):
        at = of == i
        reach[at] = _reach(kind, angle[at])
    return np.asarray(np.clip((reach * _over(size) - radius) * SIDE / 2 + 0.5, 0, 1))


def _filled(of: NDArray[np.int64], cover: Values, radius: Values, angle: Values, size: Values) -> Values:
    """How much of the cover is filled, by FILLINGS."""
    u, v = radius * np.cos(angle), radius * np.sin(angle)
    striped = (np.sin(u * 18) > 0).astype(float)
    checked = ((np.sin(u * 13) > 0) ^ (np.sin(v * 13) > 0)).astype(float)
    ring = (radius > 0.5 * _over(size)).astype(float)
    of3 = of[:, None, None]
    return np.asarray(np.select([of3 == 0, of3 == 1, of3 == 2], [np.ones_like(cover), striped, checked], ring) * cover)


def _painted(rng: np.random.Generator, cover: Values, hue: Values | None = None,
             ground: Values | None = None) -> NDArray[np.uint8]:
    """Cover as a picture: two colours that are apart in lightness, some noise."""
    n = len(cover)
    dark = rng.random(n) < 0.5
    colour = rng.uniform(0.55, 1.0, (n, 3)) if hue is None else hue
    back = rng.uniform(0.0, 0.4, (n, 3)) if ground is None else ground
    if hue is None:
        colour, back = np.where(dark[:, None], back, colour), np.where(dark[:, None], colour, back)
    picture = back[:, None, None] + cover[..., None] * (colour - back)[:, None, None]
    picture = picture + rng.normal(0, 0.06, picture.shape)
    return np.asarray((picture.clip(0, 1) * 255).round(), np.uint8)


def _things(kinds: tuple[str, ...], fillings: bool) -> Callable[..., NDArray[np.uint8]]:
    def draw(rng: np.random.Generator, labels: NDArray[np.int64]) -> NDArray[np.uint8]:
        n = len(labels)
        radius, angle, size = _placed(rng, n, (0.5, 0.9), 0.2)
        filling = labels % len(FILLINGS) if fillings else rng.integers(0, len(FILLINGS), n)
        outline = labels // len(FILLINGS) if fillings else labels
        cover = _outlined(kinds, outline, radius, angle, size)
        return _painted(rng, _filled(filling, cover, radius, angle, size))

    return draw


def _waves(rng: np.random.Generator, labels: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Four directions by two lengths of waves, any phase and colour."""
    n = len(labels)
    x, y = _grid(n)
    turn = labels // 2 * np.pi / 4 + rng.normal(0, 0.12, n)
    often = np.where(labels % 2 == 0, 7.0, 13.0) * rng.uniform(0.88, 1.12, n)
    along = x * _over(np.cos(turn)) + y * _over(np.sin(turn))
    cover = 0.5 + 0.5 * np.sin(along * _over(often) + _over(rng.uniform(0, 2 * np.pi, n)))
    return _painted(rng, cover * _over(rng.uniform(0.35, 1.0, n)))


def _counts(rng: np.random.Generator, labels: NDArray[np.int64]) -> NDArray[np.uint8]:
    """One to four discs that do not hide one another."""
    n, side = len(labels), 4
    cover = np.zeros((n, SIDE, SIDE))
    cells = rng.random((n, side)).argsort(1)  # the four quarters in an order of chance
    for k in range(4):
        x, y = _grid(n)
        cx = (cells[:, k] % 2 - 0.5) + rng.uniform(-0.18, 0.18, n)
        cy = (cells[:, k] // 2 - 0.5) + rng.uniform(-0.18, 0.18, n)
        size = rng.uniform(0.14, 0.3, n)
        disc = np.clip((_over(size) - np.hypot(x - _over(cx), y - _over(cy))) * SIDE / 2 + 0.5, 0, 1)
        cover = np.maximum(cover, disc * _over((labels >= k).astype(float)))
    return _painted(rng, cover)


def _colours(rng: np.random.Generator, labels: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Which of four colours a thing has, on grey or another colour, in any light."""
    base = np.array([[0.9, 0.15, 0.15], [0.15, 0.75, 0.2], [0.2, 0.3, 0.95], [0.9, 0.85, 0.15]])
    n = len(labels)
    radius, angle, size = _placed(rng, n, (0.3, 0.7), 0.3)
    cover = _outlined(OUTLINES, rng.integers(0, len(OUTLINES), n), radius, angle, size)
    light = rng.uniform(0.4, 1.0, (n, 1))
    ground = base[rng.integers(0, 4, n)] * rng.uniform(0.0, 0.5, (n, 1)) + rng.uniform(0, 0.3, (n, 1))
    return _painted(rng, cover, np.clip(base[labels] * light + rng.normal(0, 0.08, (n, 3)), 0, 1), ground)


SETS: dict[str, Drawn] = {
    "source": Drawn(tuple(f"{o}, {f}" for o in OUTLINES for f in FILLINGS), _things(OUTLINES, True),
                    "six outlines with four fillings, in any colour", (("train", 6000), ("val", 600), ("test", 1200))),
    "outlines": Drawn(OTHERS, _things(OTHERS, False), "six outlines that the source has not, with any filling"),
    "waves": Drawn(tuple(f"{d * 45} degrees, {w}" for d in range(4) for w in ("long", "short")), _waves,
                   "waves in four directions and of two lengths"),
    "counts": Drawn(("one", "two", "three", "four"), _counts, "one to four discs"),
    "colours": Drawn(COLOURS, _colours, "the colour of a thing, in any light"),
    "fine": Drawn(tuple(FINE), _things(tuple(FINE), False), "twelve flowers that are nearly alike, with any filling",
                  (("train", 1200), ("val", 300), ("test", 900))),
}
TARGETS = tuple(name for name in SETS if name not in ("source", "fine"))

__all__ = ["SETS", "SIDE", "TARGETS", "Drawn"]
