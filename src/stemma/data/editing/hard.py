"""Drawn edits of the sorts that InstructPix2Pix was seen to fail at (its sec. 5): asked for by their kinds alone
(`--set tasks=[['count',1.0],...]`), never part of what `edits:SIZE` holds by itself.

count      add another square; leave nothing but the disc       as many as are asked for
move       move the disc to the left                            the thing elsewhere
spatial    make the upper shape red                             which one is said by where it stands
viewpoint  turn the picture upside down; look closer            all of it seen otherwise

So are, of InstructDiffusion's tasks,

refer      mark the left square in blue; mark the red disc      which one of two alike is said by where it stands or by
                                                                its colour, and half covered; a fifth is not there
deblur, denoise, watermark                                      the scene as it is, of one that was spoiled (`restored`)

And pairs to learn from as another model makes them, in which what should stay moves a little; held-out ones are exact:

unsteady   make the square red                                  in another colour, on a ground of another grey
"""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from ...ops.edits import paint_mask
from .drawn import ABSENT, COLOURS, KINDS, PAINTED, Edits, Thing, cover, shown, things_of
from .drawn import WORDS as DRAWN
from .pairs import RESTORED, Pair
from .restored import WORDS, spoiled

HARD = ("count", "move", "spatial", "viewpoint")
SIDES = {"left": (-1, 0), "right": (1, 0), "top": (0, -1), "bottom": (0, 1)}
SHIFTS = (0.3, 0.2, 0.15, 0.1)  # of the picture's side, the longest for which there is room
APART, EDGE, CLOSER = 1.2, 0.01, 1.6
MOVED = 0.06  # standard deviation of the grey's, in 0..1, of pairs that are unsteady
WIDER = 7 / 3  # as wide the greys of their grounds are: 0.15 to 0.85, so that a picture says much of what follows
SMALLER = (1.0, 0.85, 0.7)  # of a second thing, the largest for which there is room

Done = tuple[str, np.ndarray, np.ndarray, str, str]  # instruction, picture after, region, colour, caption after


class Hard(Edits):
    """Drawn edits, these kinds among them."""

    known = (*KINDS, *HARD, "refer", "unsteady", *RESTORED)
    version = 2

    def pair(self, i: int, version: int = 0) -> Pair:
        kind = self.kind(i)
        if kind in KINDS:
            return super().pair(i, version)
        rng, _, colours, ground, things = self._begun(i)
        if kind == "unsteady":
            return self._unsteady(rng, ground, things, str(colours[2]), f"{self.split} {i}")
        if kind in RESTORED:
            return self._restored(kind, rng, ground, things, f"{self.split} {i}")
        if kind == "refer":
            return self._referred(rng, ground, things, list(map(str, colours)), f"{self.split} {i}")
        before = self._draw(ground, *things)
        said, after, region, colour, then = MADE[kind](self, rng, ground, before, things, str(colours[2]))
        return Pair(shown(before), shown(after), said, kind, region >= 0.5, None, COLOURS[colour],
                    (things_of(*things), then), things[0].shape, f"{self.split} {i}", sided=True)

    def _unsteady(self, rng: np.random.Generator, ground: np.ndarray, things: tuple[Thing, Thing], colour: str,
                  file: str) -> Pair:
        a, b = things
        then, words = replace(a, colour=colour), DRAWN["recolour"]
        ground = ground + np.float32((WIDER - 1) * (ground.mean() - 0.5))
        moved = ground + np.float32(rng.normal(0.0, MOVED) if self.split == "train" else 0.0)
        said = words[int(rng.integers(len(words)))].format(s=a.shape, c=colour)
        return Pair(shown(self._draw(ground, a, b)), shown(self._draw(moved, then, b)), said, "unsteady",
                    cover(a, self.size) >= 0.5, None, COLOURS[colour], (things_of(a, b), things_of(then, b)), a.shape,
                    file)

    def _restored(self, kind: str, rng: np.random.Generator, ground: np.ndarray, things: tuple[Thing, Thing],
                  file: str) -> Pair:
        after, words = shown(self._draw(ground, *things)), WORDS[kind]
        seen = things_of(*things)
        return Pair(spoiled(after, kind, rng), after, words[int(rng.integers(len(words)))], kind,
                    captions=(seen, seen), file=file)

    def _referred(self, rng: np.random.Generator, ground: np.ndarray, things: tuple[Thing, Thing], colours: list[str],
                  file: str) -> Pair:
        a, b = things[0], replace(things[1], shape=things[0].shape)
        before, absent, by_colour = self._draw(ground, a, b), rng.random() < ABSENT, rng.random() < 0.5
        which = colours[3] if absent else a.colour if by_colour else side(a, b)
        region = np.zeros((self.size, self.size), np.float32) if absent else cover(a, self.size)
        after = before if absent else paint_mask(before, region, COLOURS[colours[2]])
        word = ("mark the {} in {}", "mark the pixels of the {} in {}")[int(rng.integers(2))]
        seen = things_of(a, b)
        return Pair(shown(before), shown(after), word.format(f"{which} {a.shape}", colours[2]), "refer", region >= 0.5,
                    None, COLOURS[colours[2]], (seen, seen if absent else seen + PAINTED["mark"]), a.shape, file,
                    sided=True)


def side(a: Thing, b: Thing) -> str:
    """Where a thing stands beside another, in a word."""
    across, down = a.x - b.x, a.y - b.y
    if abs(across) > abs(down):
        return "left" if across < 0 else "right"
    return "upper" if down < 0 else "lower"


def free(things: tuple[Thing, ...], t: Thing) -> bool:
    """Whether a thing stands within the picture and touches none of the others."""
    inside = all(t.r + EDGE <= v <= 1 - t.r - EDGE for v in (t.x, t.y))
    return inside and all(np.hypot(t.x - o.x, t.y - o.y) > APART * (t.r + o.r) for o in things)


def _count(e: Edits, rng: np.random.Generator, ground: np.ndarray, before: np.ndarray, things: tuple[Thing, Thing],
           colour: str) -> Done:
    a, b = things
    places = rng.uniform(0.1, 0.9, (60, 2)).tolist()
    there = next((t for k in SMALLER for x, y in places if free(things, t := replace(a, x=x, y=y, r=k * a.r))), None)
    if there is None or rng.random() < 0.4:
        return (f"leave nothing but the {a.shape}", e._draw(ground, a), cover(b, e.size), b.colour, things_of(a))
    word = ("add another {}", "put a second {} in the picture")[int(rng.integers(2))]
    return word.format(a.shape), e._draw(before, there), cover(there, e.size), a.colour, things_of(a, there, b)


def _move(e: Edits, rng: np.random.Generator, ground: np.ndarray, before: np.ndarray, things: tuple[Thing, Thing],
          colour: str) -> Done:
    a, b = things
    room = {s: next((k for k in SHIFTS if free((b,), replace(a, x=a.x + u * k, y=a.y + v * k))), 0.0)
            for s, (u, v) in SIDES.items()}
    best = [s for s in SIDES if room[s] == max(room.values())]
    side = best[int(rng.integers(len(best)))]
    u, v = SIDES[side]
    there = replace(a, x=a.x + u * room[side], y=a.y + v * room[side])
    word = ("move the {} to the {}", "shift the {} to the {}")[int(rng.integers(2))]
    region = np.maximum(cover(a, e.size), cover(there, e.size))
    return word.format(a.shape, side), e._draw(ground, there, b), region, a.colour, things_of(there, b)


def _spatial(e: Edits, rng: np.random.Generator, ground: np.ndarray, before: np.ndarray, things: tuple[Thing, Thing],
             colour: str) -> Done:
    a, b = things
    where = side(a, b)
    word = ("make the {} shape {}", "paint the {} shape {}")[int(rng.integers(2))]
    then = replace(a, colour=colour)
    return word.format(where, colour), e._draw(ground, then, b), cover(a, e.size), colour, things_of(then, b)


def _viewpoint(e: Edits, rng: np.random.Generator, ground: np.ndarray, before: np.ndarray, things: tuple[Thing, Thing],
               colour: str) -> Done:
    everywhere, what = np.ones(before.shape[1:], np.float32), int(rng.integers(3))
    a, b = things
    if what == 0:
        return "turn the picture upside down", before[:, ::-1, ::-1].copy(), everywhere, a.colour, things_of(a, b)
    if what == 1:
        return ("turn the picture a quarter to the left", np.rot90(before, axes=(1, 2)).copy(), everywhere, a.colour,
                things_of(a, b))
    near = [replace(t, x=CLOSER * (t.x - 0.5) + 0.5, y=CLOSER * (t.y - 0.5) + 0.5, r=CLOSER * t.r) for t in things]
    return "look closer at the middle", e._draw(ground, *near), everywhere, a.colour, things_of(a, b)


MADE: dict[str, Callable[..., Done]] = {"count": _count, "move": _move, "spatial": _spatial, "viewpoint": _viewpoint}

__all__ = ["HARD", "Hard", "free", "side"]
