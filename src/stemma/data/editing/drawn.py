"""Drawn edits, `edits[:SIZE[:COUNT]]`: two shapes on a grey, noisy ground and what may be asked of them, with the exact
picture that should come of it.

recolour   make the square red                          the shape in another colour
remove     remove the disc                              the ground where it stood
swap       swap the square and the disc                 each where the other was
mark       mark the triangle in blue                    the shape half covered by the colour (`ops.edits`)
encircle   encircle the disc with yellow                an opaque disc at its centre

A fifth of what is marked or encircled is not there; the picture then stays as it is, bit for bit. Edit i is a function
of (seed, split, i), of the size and of the kinds; a point counts pixels from the upper left corner, centres at .5.
"""
from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...core.samples import DataError, Info
from ...ops.edits import paint_disc, paint_mask
from .pairs import ANSWERS, Pair, info_of

SHAPES = ("square", "disc", "triangle")
COLOURS: dict[str, tuple[float, float, float]] = {
    "red": (0.9, 0.1, 0.1), "green": (0.1, 0.75, 0.15), "blue": (0.1, 0.2, 0.9), "yellow": (0.95, 0.9, 0.1),
    "magenta": (0.85, 0.1, 0.85),
}
KINDS = ("recolour", "remove", "swap", "mark", "encircle")
WORDS: dict[str, tuple[str, ...]] = {
    "recolour": ("make the {s} {c}", "turn the {s} {c}", "paint the {s} {c}"),
    "remove": ("remove the {s}", "take the {s} away", "erase the {s}"),
    "swap": ("swap the {s} and the {o}", "exchange the {s} and the {o}"),
    "mark": ("mark the {s} in {c}", "mark the pixels of the {s} in {c}", "colour the mask of the {s} {c}"),
    "encircle": ("encircle the {s} with {c}", "circle the {s} with {c}", "put a {c} dot on the {s}"),
}
PAINTED = {  # what a picture is said to hold besides, where no instruction says it (InstructDiffusion sec. 3.4)
    "mark": " with a few different color patches here and there", "encircle": " surrounded with a {c} circle",
}
COUNT = {"train": 6000, "val": 300, "test": 300}
ABSENT = 0.2  # of what is marked or encircled
RADIUS = 1.5 / 16  # of the disc that encircles, to the picture's side
_NAME = re.compile(r"edits(?::(\d{1,4})(?::(\d{1,7}))?)?")
_STREAM = {"train": 11, "val": 12, "test": 13}


@dataclass(frozen=True)
class Thing:
    """A shape before it is drawn, in shares of the picture's side."""

    shape: str
    colour: str
    x: float
    y: float
    r: float


def cover(t: Thing, size: int) -> np.ndarray:
    """Which part of each pixel a shape covers, float32 (H, W), by its signed distance."""
    y, x = np.mgrid[:size, :size].astype(np.float32) + 0.5
    u, v, r = x - t.x * size, y - t.y * size, t.r * size
    if t.shape == "disc":
        d = np.hypot(u, v) - r
    elif t.shape == "square":
        d = np.maximum(np.abs(u), np.abs(v)) - 0.9 * r
    else:  # upright: apex above, two sides of slope 2
        d = np.maximum((2 * np.abs(u) - (v + r)) / np.sqrt(np.float32(5)), v - r)
    return np.asarray(np.clip(0.5 - d, 0.0, 1.0), np.float32)


class Edits:
    """A split of drawn edits. Raises `DataError` for what cannot be drawn."""

    known: tuple[str, ...] = KINDS  # that can be asked for
    version = 1  # a change of what is drawn changes this, and with it every fingerprint

    def __init__(self, size: int = 64, count: int = 6000, split: str = "train", seed: int = 0,
                 kinds: Sequence[str] = KINDS):
        where = f"edits:{size}:{count}"
        if not 8 <= size <= 1024:
            raise DataError(where, f"a side of {size} pixels cannot be drawn", "use 8 to 1024", field="size")
        if count < 1:
            raise DataError(where, "asks for no edit", "use a count of 1 or more", field="count")
        if split not in _STREAM:
            raise DataError(where, f"there is no split '{split}'", "it has train, val, test")
        unknown = [k for k in kinds if k not in self.known]
        if unknown or not kinds:
            raise DataError(where, f"no edits of the kind {', '.join(unknown) or 'none'} are drawn",
                            f"there are {', '.join(self.known)}")
        self.size, self.count, self.split, self.seed, self.kinds = size, count, split, seed, tuple(kinds)

    @property
    def info(self) -> Info:
        return info_of("edits", "edits", self.kinds)

    @functools.cached_property
    def fingerprint(self) -> str:
        said = repr((self.version, self.size, self.count, self.split, self.seed, self.kinds))
        return hashlib.blake2b(said.encode(), digest_size=16).hexdigest()

    def __len__(self) -> int:
        return self.count

    def kind(self, i: int) -> str:
        return self.kinds[i % len(self.kinds)]

    def versions(self, i: int) -> int:
        return 1

    def scene(self, i: int) -> tuple[np.ndarray, np.ndarray]:
        """The picture of edit i as it was, uint8 (H, W, 3), and what stands where in it, uint8 (H, W): 0 the ground, 1
        and more a shape of `SHAPES`."""
        _, _, _, ground, things = self._begun(i)
        what = np.zeros((self.size, self.size), np.uint8)
        for t in things:
            what[cover(t, self.size) >= 0.5] = 1 + SHAPES.index(t.shape)
        return shown(self._draw(ground, *things)), what

    def alone(self, i: int) -> tuple[np.ndarray, int]:
        """The first thing of edit i by itself on its ground: uint8 (H, W, 3), and which of `SHAPES` it is."""
        _, _, _, ground, (a, _) = self._begun(i)
        return shown(self._draw(ground, a)), SHAPES.index(a.shape)

    def _begun(self, i: int) -> tuple[np.random.Generator, np.ndarray, np.ndarray, np.ndarray, tuple[Thing, Thing]]:
        """(random numbers that go on, shapes, colours, ground, the two things) of edit i."""
        rng = np.random.default_rng([self.seed, _STREAM[self.split], i])
        shapes = rng.permutation(SHAPES)
        colours = rng.permutation(list(COLOURS))
        things = self._places(rng, shapes, colours)
        ground = rng.uniform(0.35, 0.65) + rng.normal(0.0, 0.03, (3, self.size, self.size))
        return rng, shapes, colours, ground.astype(np.float32), things

    def pair(self, i: int, version: int = 0) -> Pair:
        rng, shapes, colours, ground, (a, b) = self._begun(i)
        kind = self.kind(i)
        before = self._draw(ground, a, b)
        template = WORDS[kind][int(rng.integers(len(WORDS[kind])))]
        absent = kind in ANSWERS and rng.random() < ABSENT
        colour = str(colours[2])  # neither object's
        shape = str(shapes[2]) if absent else a.shape
        said = template.format(s=shape, c=colour, o=b.shape)
        region = cover(a, self.size)
        point: tuple[float, float] | None = None
        changed = a
        if kind == "recolour":
            changed = Thing(a.shape, colour, a.x, a.y, a.r)
            after = self._draw(ground, changed, b)
        elif kind == "remove":
            after = self._draw(ground, b)
        elif kind == "swap":
            there = Thing(a.shape, a.colour, b.x, b.y, a.r), Thing(b.shape, b.colour, a.x, a.y, b.r)
            after = self._draw(ground, *there)
            region = np.max([cover(x, self.size) for x in (a, b, *there)], 0)
        elif absent:
            after, region = before, np.zeros_like(region)
        elif kind == "mark":
            after = paint_mask(before, region, COLOURS[colour])
        else:
            point = (a.x * self.size, a.y * self.size)
            after = paint_disc(before, point, RADIUS * self.size, COLOURS[colour])
        seen = things_of(*([b] if kind == "remove" else [changed, b]))
        if kind in PAINTED and not absent:
            seen += PAINTED[kind].format(c=colour)
        return Pair(shown(before), shown(after), said, kind, region >= 0.5, point,
                    COLOURS[colour] if kind in ("recolour", *ANSWERS) else None,
                    (things_of(a, b), seen), shape,
                    f"{self.split} {i}")

    def _places(self, rng: np.random.Generator, shapes: np.ndarray, colours: np.ndarray) -> tuple[Thing, Thing]:
        """Two things that do not touch."""
        r = rng.uniform(0.15, 0.21, 2)
        while True:
            x, y = (rng.uniform(r + 0.03, 0.97 - r) for _ in range(2))
            if np.hypot(x[0] - x[1], y[0] - y[1]) > 1.35 * r.sum():
                break
        first, second = (Thing(str(shapes[k]), str(colours[k]), float(x[k]), float(y[k]), float(r[k])) for k in (0, 1))
        return first, second

    def _draw(self, ground: np.ndarray, *things: Thing) -> np.ndarray:
        picture = ground
        for t in things:
            picture = paint_mask(picture, cover(t, self.size), COLOURS[t.colour], alpha=0.0)
        return picture


def things_of(*things: Thing) -> str:
    """Things in words: a red square and a blue disc."""
    return " and ".join(f"a {t.colour} {t.shape}" for t in things)


def shown(picture: np.ndarray) -> np.ndarray:
    """[3, H, W] in 0..1 as uint8 (H, W, 3)."""
    return np.ascontiguousarray(np.rint(np.clip(picture, 0, 1) * 255).astype(np.uint8).transpose(1, 2, 0))


def is_drawn(where: object) -> bool:
    """Whether `where` asks for drawn edits."""
    return isinstance(where, str) and (where == "edits" or where.startswith("edits:"))


def open_drawn(where: str, split: str, kinds: Sequence[str] = KINDS) -> Edits:
    """`edits[:SIZE[:COUNT]]`; COUNT is that of the split which is opened. Raises `DataError`."""
    found = _NAME.fullmatch(where)
    if found is None:
        raise DataError(where, "is not how drawn edits are named", "write edits, edits:SIZE or edits:SIZE:COUNT")
    count = int(found[2]) if found[2] else COUNT.get(split, 1)
    return Edits(int(found[1] or 64), count, split, kinds=kinds)


__all__ = ["ABSENT", "COLOURS", "KINDS", "RADIUS", "SHAPES", "Edits", "Thing", "cover", "is_drawn", "open_drawn",
           "shown", "things_of"]
