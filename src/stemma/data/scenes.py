"""Scenes: pictures drawn from a seed, with every kind of truth that a detector or segmenter may be trained on.

A scene is a few regions of stuff (sky, grass, water, sand, brick) and one to eight objects (round: disc, ellipse, ring,
crescent; polygonal: triangle, square, star, cross) painted from far to near. A shape is a signed distance function in
pixels, so that its edge is anti-aliased by coverage and its truth needs no second rendering:

- amodal mask: pixels that the shape covers by half or more; modal mask: those of them that no nearer object covers by
  half
- boxes: of the modal mask, as COCO has them; `extra["amodal_boxes"]` holds those of the amodal mask inside the picture
- keypoints: five points of the shape's own frame; 2 seen, 1 behind a nearer object, 0 outside the picture
- semantic and panoptic classes: the objects' classes first (with the objects' label numbers), then the stuff

Scene i is a function of (seed, split, i) and of the drawing options: not of `count`, nor of what was drawn before.
Objects of which less than `visible` can be seen are taken out before anything is drawn,
so nothing in a picture is unlabelled.

Axes: N objects, M the most objects a scene may have, K keypoints, H W pixels (H = W = size). y points down.
"""
from __future__ import annotations

import functools
import hashlib
import json
import math
import mmap
import multiprocessing
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..core import interrupts
from ..core.samples import Classes, DataError, Info, Points, Sample, StemmaError
from .augment import OBJECT, Stack, tight

VERSION = 1  # a change of what is drawn changes this, and with it every fingerprint
SPLITS = ("train", "val", "test")
QUIET = 10.0  # seconds of drawing after which it says how far it is
STUFF = ("sky", "grass", "water", "sand", "brick")
ROUND = ("disc", "ellipse", "ring", "crescent")
POLYGONAL = ("triangle", "square", "star", "cross")
THINGS = ROUND + POLYGONAL
KINDS = ("boxes", "masks", "amodal", "keypoints", "semantic", "panoptic", "image_labels")
POINTS = Points(
    names=("centre", "top", "right", "bottom", "left"),
    flip=(0, 1, 4, 3, 2),
    lines=((0, 1), (0, 2), (0, 3), (0, 4)),
    sigmas=(0.05, 0.05, 0.05, 0.05, 0.05),
)
K = len(POINTS.names)
TILT = math.pi / 6  # less than half of every shape's own symmetry, so that "top" can be told from the picture

_PARENTS = ("round",) * len(ROUND) + ("polygonal",) * len(POLYGONAL)
CLASSES = Classes(THINGS, ids=tuple(range(1, 1 + len(THINGS))), parent=_PARENTS)
ALL_CLASSES = Classes(
    THINGS + STUFF,
    ids=tuple(range(1, 1 + len(THINGS) + len(STUFF))),
    things=(True,) * len(THINGS) + (False,) * len(STUFF),
    parent=_PARENTS + ("stuff",) * len(STUFF),
)
INFO = Info("scenes", "scenes", CLASSES, KINDS, semantic=ALL_CLASSES, panoptic=ALL_CLASSES, points=POINTS)


# ---------------------------------------------------------------- shapes


@dataclass(frozen=True)
class Shape:
    """An object before it is drawn: its class, place, scale and tilt, and one number that varies within the class."""

    label: int
    x: float  # of the frame's origin, pixels
    y: float
    r: float  # pixels per unit of the frame
    tilt: float  # radians, clockwise on the screen
    form: float  # aspect, hole or arm width, by class
    mirror: float  # 1 or -1: which way it faces

    def frame(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Picture coordinates -> the shape's own, in pixels."""
        c, s = np.float32(math.cos(self.tilt)), np.float32(math.sin(self.tilt))
        dx, dy = x - np.float32(self.x), y - np.float32(self.y)
        return (c * dx + s * dy) * np.float32(self.mirror), c * dy - s * dx

    def place(self, points: np.ndarray) -> np.ndarray:
        """Points of the frame (.., 2), in units -> picture coordinates (.., 2)."""
        c, s = math.cos(self.tilt), math.sin(self.tilt)
        u, v = points[..., 0] * self.mirror * self.r, points[..., 1] * self.r
        return np.stack([self.x + c * u - s * v, self.y + s * u + c * v], -1)

    def distance(self, u: np.ndarray, v: np.ndarray) -> np.ndarray:
        """Signed distance in pixels, negative inside, at frame coordinates in pixels."""
        return _DISTANCE[self.label](u, v, self.r, self.form)


def _disc(u: np.ndarray, v: np.ndarray, r: float, form: float) -> np.ndarray:
    distance: np.ndarray = np.sqrt(u * u + v * v) - np.float32(r)
    return distance


def _ellipse(u: np.ndarray, v: np.ndarray, r: float, form: float) -> np.ndarray:
    """First-order distance to the implicit curve: exact on the edge, where coverage is decided."""
    a, b = _axes(form)
    p, q = u / np.float32(a * r), v / np.float32(b * r)
    value = p * p + q * q
    slope = np.sqrt((p / np.float32(a * r)) ** 2 + (q / np.float32(b * r)) ** 2) + np.float32(1e-6)
    level = np.sqrt(value)
    distance: np.ndarray = level * (level - 1) / slope
    return distance


def _axes(form: float) -> tuple[float, float]:
    """Semi-axes of an ellipse: lying where `form` < 1, upright above."""
    return (1.0, form) if form < 1 else (1 / form, 1.0)


def _ring(u: np.ndarray, v: np.ndarray, r: float, form: float) -> np.ndarray:
    distance: np.ndarray = (np.abs(np.sqrt(u * u + v * v) - np.float32(r * (1 + form) / 2))
                            - np.float32(r * (1 - form) / 2))
    return distance


_BITE, _BITE_AT = 0.85, 0.62  # radius and place of the disc that is cut out of a crescent
_HORN = (1 - _BITE**2 + _BITE_AT**2) / (2 * _BITE_AT)  # x of the horns' tips
_MIDDLE = (_HORN - 1) / 2  # x of the middle of a crescent's box: the frame's origin lies there


def _crescent(u: np.ndarray, v: np.ndarray, r: float, form: float) -> np.ndarray:
    u = u + np.float32(r * _MIDDLE)
    w = u - np.float32(r * _BITE_AT)
    vv = v * v
    distance: np.ndarray = np.maximum(np.sqrt(u * u + vv) - np.float32(r), np.float32(r * _BITE) - np.sqrt(w * w + vv))
    return distance


def _triangle(u: np.ndarray, v: np.ndarray, r: float, form: float) -> np.ndarray:
    """Isosceles: apex (0, -1), base (+-form, 1)."""
    side = math.hypot(2.0, form)
    slope = (np.abs(u) * np.float32(2.0) - (v + np.float32(r)) * np.float32(form)) / np.float32(side)
    distance: np.ndarray = np.maximum(slope, v - np.float32(r))
    return distance


def _square(u: np.ndarray, v: np.ndarray, r: float, form: float) -> np.ndarray:
    distance: np.ndarray = np.maximum(np.abs(u), np.abs(v)) - np.float32(r)
    return distance


def _star(u: np.ndarray, v: np.ndarray, r: float, form: float) -> np.ndarray:
    """Five points, inner radius `form`: folded by its mirror lines until one edge is left."""
    a: np.ndarray = np.abs(u)
    b = -v  # now the first tip points along +b
    # mirrors through the origin: the second tip, the notch beside the first
    for angle in (2 * math.pi / 5, math.pi / 5):
        nx, ny = np.float32(math.cos(angle)), np.float32(-math.sin(angle))
        over = 2 * np.maximum(a * nx + b * ny, 0)
        a, b = a - over * nx, b - over * ny
        a = np.abs(a)
    tip = np.array([0.0, r])
    notch = np.array([math.sin(math.pi / 5), math.cos(math.pi / 5)]) * form * r
    edge = notch - tip
    n = np.array([-edge[1], edge[0]]) / np.hypot(*edge)  # points away from the middle
    return (a - np.float32(tip[0])) * np.float32(n[0]) + (b - np.float32(tip[1])) * np.float32(n[1])


def _cross(u: np.ndarray, v: np.ndarray, r: float, form: float) -> np.ndarray:
    a, b = np.abs(u), np.abs(v)
    long, arm = np.float32(r), np.float32(r * form)
    distance: np.ndarray = np.minimum(np.maximum(a - long, b - arm), np.maximum(a - arm, b - long))
    return distance


_DISTANCE = (_disc, _ellipse, _ring, _crescent, _triangle, _square, _star, _cross)
# least and most of `form`, by class
_FORMS = ((1, 1), (0.45, 0.62), (0.48, 0.6), (1, 1), (0.8, 1.1), (1, 1), (0.46, 0.54), (0.29, 0.36))


def _outline(label: int, form: float) -> np.ndarray:
    """Points (n, 2) whose hull is the shape's, in frame units."""
    if THINGS[label] == "triangle":
        return np.array([[0, -1], [form, 1], [-form, 1]])
    if THINGS[label] == "square":
        return np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
    if THINGS[label] == "star":
        return _circle(5)
    if THINGS[label] == "cross":
        return np.array([[-1, -form], [-1, form], [1, -form], [1, form], [-form, -1], [form, -1],
                         [-form, 1], [form, 1]])
    if THINGS[label] == "ellipse":
        return np.asarray(_circle(48) * np.array(_axes(form)))
    if THINGS[label] == "crescent":
        arc = _circle(48) - np.array([_MIDDLE, 0.0])
        return np.concatenate([arc[arc[:, 0] <= _HORN - _MIDDLE],
                               [[_HORN - _MIDDLE, y * math.sqrt(1 - _HORN**2)] for y in (-1, 1)]])
    return _circle(48)


@functools.cache
def _circle(n: int) -> np.ndarray:
    turn = 2 * np.pi * np.arange(n) / n
    return np.stack([np.sin(turn), -np.cos(turn)], -1)


def _keypoints(label: int, form: float) -> np.ndarray:
    """Centre, top, right, bottom, left (5, 2) in frame units: on the outline where the axes leave the shape."""
    top, right, bottom, left = (0.0, -1.0), (1.0, 0.0), (0.0, 1.0), (-1.0, 0.0)
    centre = (0.0, 0.0)
    if THINGS[label] == "ellipse":
        a, b = _axes(form)
        top, right, bottom, left = (0.0, -b), (a, 0.0), (0.0, b), (-a, 0.0)
    elif THINGS[label] == "crescent":
        bulge, hollow = -1 - _MIDDLE, _BITE_AT - _BITE - _MIDDLE
        centre, left, right = ((bulge + hollow) / 2, 0.0), (bulge, 0.0), (hollow, 0.0)
        top, bottom = (-_MIDDLE, -1.0), (-_MIDDLE, 1.0)
    elif THINGS[label] == "triangle":
        right, left = (form, 1.0), (-form, 1.0)
    elif THINGS[label] == "star":
        reach, high = math.sin(2 * math.pi / 5), -math.cos(2 * math.pi / 5)
        right, left, bottom = (reach, high), (-reach, high), (0.0, form)
    return np.array([centre, top, right, bottom, left])


# ---------------------------------------------------------------- layout: what is where, without colours


@dataclass
class _Layout:
    """A scene's geometry: shapes from far to near, their coverages and the maps that follow from them."""

    shapes: list[Shape]
    windows: list[tuple[int, int, int, int]]  # y1, y2, x1, x2 of each coverage
    frames: list[tuple[np.ndarray, np.ndarray, np.ndarray]]  # u, v, distance inside the window
    ids: np.ndarray  # uint8 (H, W): 0 stuff, else 1 + the index of the object seen there
    stuff: tuple[int, ...]  # stuff classes, from the first band to the last
    cuts: np.ndarray  # float32 (bands - 1, size): where each band ends, pixels
    across: bool  # bands run from left to right instead of from top to bottom


def _paint(windows: Sequence[tuple[int, int, int, int]], insides: Sequence[np.ndarray], size: int) -> np.ndarray:
    ids = np.zeros((size, size), np.uint8)
    for k, ((y1, y2, x1, x2), inside) in enumerate(zip(windows, insides)):
        ids[y1:y2, x1:x2][inside] = k + 1
    return ids


@functools.cache
def _pixels(size: int) -> np.ndarray:
    """Centres of the pixels along one side."""
    return np.arange(size, dtype=np.float32) + np.float32(0.5)


# ---------------------------------------------------------------- colours and textures


_ATLAS = 3  # the stuff is cut from fields of this many pictures' width
_COLOURS = {  # two ends of each stuff's colour, RGB in 0..1
    "sky": ((0.42, 0.63, 0.90), (0.93, 0.96, 0.99)),
    "grass": ((0.16, 0.36, 0.10), (0.52, 0.70, 0.28)),
    "water": ((0.05, 0.24, 0.40), (0.30, 0.62, 0.72)),
    "sand": ((0.70, 0.58, 0.38), (0.96, 0.87, 0.68)),
    "brick": ((0.80, 0.76, 0.70), (0.62, 0.27, 0.20)),
}


@functools.cache
def _atlas(size: int) -> dict[str, np.ndarray]:
    """A field in 0..1 for each stuff, and `grain` around 0: float32 (3 size, 3 size), the same in every process."""
    side, scale = _ATLAS * size, size / 128
    rng = np.random.default_rng(20_170_101)
    fy = np.fft.fftfreq(side)[:, None] * scale  # cycles per 1/128 of the picture
    fx = np.fft.rfftfreq(side)[None, :] * scale
    f = np.sqrt(fy * fy + fx * fx)

    def noise(weight: np.ndarray, contrast: float) -> np.ndarray:
        weight = weight.copy()
        weight[0, 0] = 0
        field = np.fft.irfft2(np.fft.rfft2(rng.standard_normal((side, side))) * weight, s=(side, side))
        return np.asarray(field / field.std() * contrast, np.float32)

    soft = np.exp(-((f / 0.25) ** 2))
    fields = {
        "sky": noise(np.exp(-((fx / 0.03) ** 2) - (fy / 0.08) ** 2) / (f + 0.006), 0.3) + 0.3,
        "grass": noise(np.exp(-((fy / 0.05) ** 2)) * soft * (fx > 0.02), 0.22) + noise(soft / (f + 0.02), 0.10) + 0.5,
        "water": noise(np.exp(-((fx / 0.035) ** 2) - ((fy - np.sign(fy) * 0.10) / 0.05) ** 2), 0.26)
        + noise(soft / (f + 0.02), 0.08) + 0.42,
        "sand": noise(np.exp(-((f / 0.45) ** 2)), 0.13) + noise(soft / (f + 0.02) ** 1.5, 0.14) + 0.55,
    }
    fields = {k: np.clip(v, 0, 1) for k, v in fields.items()}
    # bricks of 16 x 8 hundred-and-twenty-eighths, every second course shifted by half a brick
    t = _pixels(side) / np.float32(scale)
    course = np.floor(t / 8).astype(np.int64)
    x = t[None, :] + 8.0 * (course % 2)[:, None]
    number = np.floor(x / 16).astype(np.int64)
    tone = rng.uniform(0.75, 1.1, (course.max() + 1, number.max() + 1)).astype(np.float32)[course[:, None], number]
    # distance to the nearest joint
    joint = np.minimum((8 - np.abs(2 * (t % 8) - 8))[:, None], 16 - np.abs(2 * (x % 16) - 16)) / 2
    face = np.clip((joint - 0.6) * scale + 0.5, 0, 1)
    fields["brick"] = (face * np.clip(tone + noise(soft / (f + 0.05), 0.05), 0.6, 1.15)).astype(np.float32)
    fields["grain"] = rng.standard_normal((side, side)).astype(np.float32)
    return fields


def _hsv(h: np.ndarray, s: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Hue, saturation, value (n,) in 0..1 -> RGB float32 (n, 3)."""
    k = (np.array([5.0, 3.0, 1.0]) + 6 * h[:, None]) % 6
    return np.asarray(v[:, None] * (1 - s[:, None] * np.clip(np.minimum(k, 4 - k), 0, 1)), np.float32)


def _colour(rng: np.random.Generator, near: np.ndarray) -> np.ndarray:
    """A lively colour (3,): the first of six draws that is well away from the colours (n, 3) around it,
    or the farthest."""
    draws = rng.random((3, 6))
    colours = _hsv(draws[0], 0.95 - 0.5 * draws[1] ** 2, 0.55 + 0.45 * draws[2])
    distance = np.minimum(np.abs(colours[:, None] - near).sum(-1).min(1), 0.75)
    return np.asarray(colours[distance.argmax()])


def _cloth(rng: np.random.Generator, shape: Shape, u: np.ndarray, v: np.ndarray, scale: float) -> np.ndarray:
    """The pattern on an object, in 0..1: plain, shaded, stripes, checks, dots or rings."""
    kind, period, turn, phase = rng.random(4)
    r = np.float32(shape.r)
    if kind < 0.22 or shape.r < 8 * scale:
        return np.clip(np.float32(0.5) - v / (2 * r) - u / (4 * r), 0, 1)  # lit from the upper left
    wave = np.float32(2 * math.pi / max(5.0 * scale, shape.r * (0.3 + 0.4 * period)))
    c, s = np.float32(math.cos(turn * math.pi)), np.float32(math.sin(turn * math.pi))
    p, q = (u * c + v * s) * wave + np.float32(6 * phase), (v * c - u * s) * wave
    sharp = np.float32(1.5 / wave)
    if kind < 0.45:
        field = np.sin(p)
    elif kind < 0.62:
        field = np.sin(p) * np.sin(q) * 2
    elif kind < 0.82:
        field = (np.cos(p) + np.cos(q) - np.float32(0.9)) * 1.2
    else:
        field = np.sin(np.sqrt(u * u + v * v) * wave + np.float32(6 * phase))
    return np.asarray(np.clip(field * sharp * np.float32(0.5) + np.float32(0.5), 0, 1))


# ---------------------------------------------------------------- the data set


class Scenes:
    """Drawn scenes as a data set. `split` is "train", "val" or "test": three disjoint streams of one seed.

    objects: least and most objects a scene; sizes: longest side of an object as a share of the picture's;
    overlap: most of the smaller of two boxes that may lie inside the other when an object is placed (0: apart; 1:
    anything);
    crowd: share of the objects that are placed against or over another one;
    visible: objects seen by less than this share of their part inside the picture are taken out.

    Raises `StemmaError` where an option makes no sense.
    """

    def __init__(
        self,
        count: int,
        size: int = 128,
        seed: int = 0,
        split: str = "train",
        objects: tuple[int, int] = (1, 8),
        sizes: tuple[float, float] = (0.08, 0.5),
        overlap: float = 0.5,
        crowd: float = 0.4,
        visible: float = 0.3,
    ):
        if split not in SPLITS:
            raise StemmaError(f"scenes have no split '{split}'; there are: {', '.join(SPLITS)}")
        if count < 0:
            raise StemmaError(f"scenes: count must be 0 or more, not {count}")
        if not 32 <= size <= 2048:
            raise StemmaError(f"scenes: size must be 32 to 2048 pixels, not {size}")
        if not 0 <= objects[0] <= objects[1] <= 64:
            raise StemmaError(f"scenes: objects must be two counts from 0 to 64, the smaller first, not {objects}")
        if not 0 < sizes[0] <= sizes[1] <= 1:
            raise StemmaError("scenes: sizes must be two shares of the picture in (0, 1], the smaller first, "
                              f"not {sizes}")
        if not all(0 <= share <= 1 for share in (overlap, crowd, visible)):
            raise StemmaError(f"scenes: overlap, crowd and visible are shares from 0 to 1, not {overlap}, {crowd} "
                              f"and {visible}")
        self.count, self.size, self.seed, self.split = count, size, seed, split
        self.objects, self.sizes, self.overlap, self.crowd, self.visible = objects, sizes, overlap, crowd, visible

    @property
    def info(self) -> Info:
        return INFO

    @property
    def options(self) -> dict[str, object]:
        """What the drawing depends on, as JSON-able values."""
        return {
            "version": VERSION, "count": self.count, "size": self.size, "seed": self.seed, "split": self.split,
            "objects": list(self.objects), "sizes": list(self.sizes), "overlap": self.overlap, "crowd": self.crowd,
            "visible": self.visible,
        }  # fmt: skip

    @property
    def fingerprint(self) -> str:
        return hashlib.sha256(json.dumps(["scenes", self.options], sort_keys=True).encode()).hexdigest()

    @staticmethod
    def splits() -> tuple[str, ...]:
        return SPLITS

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, i: int) -> Sample:
        """The picture and all its truth. Raises `IndexError` beyond the end."""
        i = self._index(i)
        layout = self._layout(i)
        return self._sample(i, layout, self._draw(i, layout))

    def truth(self, i: int) -> Sample:
        """All the truth without the picture: nothing is coloured."""
        i = self._index(i)
        return self._sample(i, self._layout(i), None)

    def cache(self, folder: str | Path | None = None, workers: int = 0, amodal: bool = False) -> CachedScenes:
        """The same scenes drawn once and kept: in memory, or as memory-mapped files below `folder`."""
        return CachedScenes(self, folder, workers, amodal)

    def _index(self, i: int) -> int:
        if not -self.count <= i < self.count:
            raise IndexError(f"scene {i} of {self.count}")
        return i % self.count

    def _rng(self, i: int, what: int) -> np.random.Generator:
        return np.random.Generator(np.random.PCG64(np.random.SeedSequence([self.seed & 0xFFFFFFFF,
                                                                           SPLITS.index(self.split), i, what])))

    def _layout(self, i: int) -> _Layout:
        rng, size = self._rng(i, 0), self.size
        stuff, cuts, across = self._bands(rng)
        shapes: list[Shape] = []
        boxes: list[tuple[float, float, float, float]] = []
        for _ in range(int(rng.integers(self.objects[0], self.objects[1] + 1))):
            label = int(rng.integers(len(THINGS)))
            low, high = _FORMS[label]
            a, b, c, d = rng.random(4).tolist()
            form = low + (high - low) * a
            mirror = 1.0 if d < 0.5 else -1.0
            if THINGS[label] == "ellipse" and d < 0.5:
                form = 1 / form
            tilt = 0.0 if THINGS[label] in ("disc", "ring") else (2 * b - 1) * TILT
            hull = Shape(label, 0, 0, 1, tilt, form, mirror).place(_outline(label, form))
            (x1, y1), (x2, y2) = hull.min(0).tolist(), hull.max(0).tolist()
            r = size * self.sizes[0] * (self.sizes[1] / self.sizes[0]) ** c / max(x2 - x1, y2 - y1)
            x1, y1, x2, y2 = x1 * r, y1 * r, x2 * r, y2 * r
            w, h, reach = x2 - x1, y2 - y1, 0.3  # up to `reach` of an object may lie beyond the border
            beside = boxes[int(rng.integers(len(boxes)))] if rng.random() < self.crowd and boxes else None
            for px, py in rng.random((12, 2)).tolist():
                left, top = (-reach * w + px * (size - (1 - 2 * reach) * w),
                             -reach * h + py * (size - (1 - 2 * reach) * h))
                if beside is not None:
                    near = 0.45 + 0.5 * py  # 1: in touch
                    left = ((beside[0] + beside[2] - w) / 2 + near * math.cos(2 * math.pi * px)
                            * (beside[2] - beside[0] + w) / 2)
                    top = ((beside[1] + beside[3] - h) / 2 + near * math.sin(2 * math.pi * px)
                           * (beside[3] - beside[1] + h) / 2)
                box = (left, top, left + w, top + h)
                inside = -reach * w <= left <= size - (1 - reach) * w and -reach * h <= top <= size - (1 - reach) * h
                if inside and all(_cover(box, other) <= self.overlap for other in boxes):
                    break
            else:
                continue
            shapes.append(Shape(label, box[0] - x1, box[1] - y1, r, tilt, form, mirror))
            boxes.append(box)
        windows, frames, insides = [], [], []
        at = _pixels(size)
        for shape, (left, top, right, bottom) in zip(shapes, boxes):
            x1, x2 = max(int(left) - 1, 0), min(math.ceil(right) + 1, size)
            y1, y2 = max(int(top) - 1, 0), min(math.ceil(bottom) + 1, size)
            u, v = shape.frame(at[None, x1:x2], at[y1:y2, None])
            distance = shape.distance(u, v)
            windows.append((y1, y2, x1, x2))
            frames.append((u, v, distance))
            insides.append(distance <= 0)  # coverage of a half or more
        whole = [int(m.sum()) for m in insides]
        keep = list(range(len(shapes)))
        while True:  # taking one out can only show more of the others
            ids = _paint([windows[k] for k in keep], [insides[k] for k in keep], size)
            seen = np.bincount(ids.ravel(), minlength=len(keep) + 1)[1:]
            least = max(12.0, 0.0006 * size * size)
            poor = [(seen[j] / max(whole[k], 1), j)
                    for j, k in enumerate(keep) if seen[j] < max(self.visible * whole[k], least)]
            if not poor:
                break
            del keep[min(poor)[1]]
        return _Layout([shapes[k] for k in keep], [windows[k] for k in keep], [frames[k] for k in keep], ids,
                       stuff, cuts, across)

    def _bands(self, rng: np.random.Generator) -> tuple[tuple[int, ...], np.ndarray, bool]:
        """One to four bands of stuff, cut by tilted and wavy lines."""
        size = self.size
        bands = 1 + int(np.searchsorted((0.08, 0.45, 0.85), rng.random()))
        stuff = rng.permutation(len(STUFF))[:bands].tolist()
        across = bool(rng.random() < 0.3) and 0 not in stuff
        if 0 in stuff:  # the sky is above
            stuff = [0] + [s for s in stuff if s != 0]
        x = (_pixels(size) / np.float32(size) - np.float32(0.5)).astype(np.float32)
        cuts = np.empty((bands - 1, size), np.float32)
        tilt = 0.35 * (2 * rng.random() - 1)
        for k in range(bands - 1):
            shift, amp1, amp2, phase1, phase2 = rng.random(5).tolist()
            level = (k + 1) / bands + 0.12 * (2 * shift - 1)
            wave = (0.035 * amp1 * np.sin(x * np.float32(7) + np.float32(6.3 * phase1))
                    + 0.015 * amp2 * np.sin(x * np.float32(23) + np.float32(6.3 * phase2)))
            cuts[k] = (level + tilt * x + wave) * size
        return tuple(stuff), np.maximum.accumulate(cuts, 0), across

    def _stuff(self, layout: _Layout) -> np.ndarray:
        """uint8 (H, W): the stuff class (0..4) at every pixel, objects or not."""
        y = _pixels(self.size)[:, None]
        band = np.zeros((self.size, self.size), np.uint8)
        for cut in layout.cuts:
            band += y >= cut[None, :]
        found = np.array(layout.stuff, np.uint8)[band]
        return np.ascontiguousarray(found.T) if layout.across else found

    def _regions(self, layout: _Layout) -> np.ndarray:
        """uint8 (H, W): stuff class 0..4, or OBJECT + index of the object seen there."""
        return np.where(layout.ids > 0, layout.ids + np.uint8(OBJECT - 1), self._stuff(layout))

    def _draw(self, i: int, layout: _Layout) -> np.ndarray:
        """uint8 (H, W, 3)."""
        rng, size = self._rng(i, 1), self.size
        scale = size / 128
        atlas = _atlas(size)
        picture = np.empty((3, size, size), np.float32)
        y = _pixels(size)[:, None]
        tones: list[np.ndarray] = []
        for k, s in enumerate(layout.stuff):
            low, high = (np.array(c, np.float32) for c in _COLOURS[STUFF[s]])
            jitter = rng.normal(0, 0.035, 3).astype(np.float32) + np.float32(rng.normal(0, 0.04))
            low, high = low + jitter, high + jitter
            oy, ox = rng.integers(0, (_ATLAS - 1) * size + 1, 2)
            field = atlas[STUFF[s]][oy : oy + size, ox : ox + size]
            if rng.random() < 0.5:
                field = field[:, ::-1]
            tones.append((low + high) / 2)
            if k == 0:
                np.multiply(field, (high - low)[:, None, None], out=picture)
                picture += low[:, None, None]
                continue
            first = max(int(layout.cuts[k - 1].min()) - 1, 0)  # rows that this band may reach
            cover = np.clip(y[first:] - layout.cuts[k - 1][None, :] + np.float32(0.5), 0, 1)
            if layout.across:
                part, cover, field = picture[:, :, first:], cover.T, field[:, first:]
            else:
                part, field = picture[:, first:], field[first:]
            colour = field * (high - low)[:, None, None]
            colour += low[:, None, None]
            colour -= part
            colour *= cover
            part += colour
        for shape, (y1, y2, x1, x2), (u, v, distance) in zip(layout.shapes, layout.windows, layout.frames):
            colour = _colour(rng, np.array(tones))
            tones.append(colour)
            other = colour * np.float32(0.55) if rng.random() < 0.5 else colour + (1 - colour) * np.float32(0.55)
            cloth = _cloth(rng, shape, u, v, scale)
            rim = np.float32(min(1.6 * scale, shape.r * 0.16) + 0.4)
            # a dark edge: touching objects stay apart
            shade = 1 - np.float32(0.55) * np.clip(distance / rim + np.float32(1.2), 0, 1)
            shadow = picture[:, y1:y2, x1:x2]
            paint = cloth * (other - colour)[:, None, None]
            paint += colour[:, None, None]
            paint *= shade
            paint -= shadow
            paint *= np.clip(np.float32(0.5) - distance, 0, 1)
            shadow += paint
        light = np.float32(rng.uniform(215, 260))
        oy, ox = rng.integers(0, (_ATLAS - 1) * size + 1, 2)
        picture *= light
        picture += atlas["grain"][oy : oy + size, ox : ox + size] * np.float32(rng.uniform(1, 5))
        np.clip(picture, 0, 255, out=picture)
        out = np.empty((size, size, 3), np.uint8)
        for c in range(3):
            out[..., c] = picture[c]
        return out

    def _amodal(self, layout: _Layout) -> np.ndarray:
        """bool (N, H, W)."""
        amodal = np.zeros((len(layout.shapes), self.size, self.size), bool)
        for k, ((y1, y2, x1, x2), (_, _, distance)) in enumerate(zip(layout.windows, layout.frames)):
            amodal[k, y1:y2, x1:x2] = distance <= 0
        return amodal

    def _sample(self, i: int, layout: _Layout, image: np.ndarray | None) -> Sample:
        amodal = self._amodal(layout)
        labels = np.array([s.label for s in layout.shapes], np.int64)
        return _assemble(i, self, image, self._regions(layout), labels, _points(layout, amodal), amodal)


def _cover(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> float:
    """Intersection over the smaller of two boxes."""
    w, h = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    if w <= 0 or h <= 0:
        return 0.0
    return w * h / min((a[2] - a[0]) * (a[3] - a[1]), (b[2] - b[0]) * (b[3] - b[1]))


def _points(layout: _Layout, amodal: np.ndarray) -> np.ndarray:
    """Keypoints float32 (N, K, 3) with visibility: 2 seen, 1 behind a nearer object, 0 (and at 0, 0) outside."""
    size = len(layout.ids)
    points = np.zeros((len(layout.shapes), K, 3), np.float32)
    for k, shape in enumerate(layout.shapes):
        xy = shape.place(_keypoints(shape.label, shape.form))
        if shape.mirror < 0:
            xy = xy[list(POINTS.flip)]  # left and right are the picture's
        inside: np.ndarray = np.asarray(((xy >= 0) & (xy < size)).all(1))
        at = np.clip(xy, 0, size - 1).astype(np.int64)
        hidden = amodal[k + 1 :, at[:, 1], at[:, 0]].any(0)
        points[k, :, :2] = np.where(inside[:, None], xy, 0)
        points[k, :, 2] = np.where(inside, np.where(hidden, 1, 2), 0)
    return points


def _split(ids: np.ndarray, n: int, first: int) -> np.ndarray:
    """Masks bool (N, H, W) of an id map whose objects are `first`, `first` + 1, ..."""
    return np.asarray(ids[None] == np.arange(first, first + n, dtype=np.uint8)[:, None, None])


def _panoptic(regions: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Region map -> (int32 ids: objects 1..N in order, then the stuff that is seen; class of each segment)."""
    stuff = np.flatnonzero(np.bincount(regions.ravel(), minlength=OBJECT)[: len(STUFF)])
    table = np.zeros(256, np.int32)
    table[OBJECT : OBJECT + len(labels)] = 1 + np.arange(len(labels))
    table[stuff] = 1 + len(labels) + np.arange(len(stuff))
    return table[regions], np.concatenate([labels, len(THINGS) + stuff]).astype(np.int64)


def _semantic(regions: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Region map -> uint8 semantic map."""
    table = np.full(256, 255, np.uint8)
    table[: len(STUFF)] = len(THINGS) + np.arange(len(STUFF))
    table[OBJECT : OBJECT + len(labels)] = labels
    return np.asarray(table[regions])


def _assemble(
    i: int, scenes: Scenes, image: np.ndarray | None, regions: np.ndarray, labels: np.ndarray, points: np.ndarray,
    amodal: np.ndarray | None
) -> Sample:
    masks = _split(regions, len(labels), OBJECT)
    panoptic, segments = _panoptic(regions, labels)
    present = np.zeros(len(THINGS), np.float32)
    present[labels] = 1
    return Sample(
        image=image,
        size=(scenes.size, scenes.size),
        boxes=tight(masks),
        labels=labels,
        crowd=np.zeros(len(labels), bool),
        area=masks.sum((1, 2)).astype(np.float32),
        masks=masks,
        amodal=amodal,
        keypoints=points,
        semantic=_semantic(regions, labels),
        panoptic=panoptic,
        segments=segments,
        segments_crowd=np.zeros(len(segments), bool),
        image_labels=present,
        file=f"scene {i} of {scenes.split}",
        id=i,
        extra={} if amodal is None else {"amodal_boxes": tight(amodal)},
    )


# ---------------------------------------------------------------- drawn once


class CachedScenes:
    """Scenes drawn once into flat arrays: pixels uint8 (count, H, W, 4), red, green, blue and region in one word,
    and the objects.

    With `folder` the arrays are memory-mapped files in a sub-folder named by the fingerprint, found again by the next
    run and shared by processes that run side by side; without it they are in memory. `workers` > 1 draws in that many
    processes (where the system can fork; else in this one). `amodal` keeps amodal masks too, one bit a pixel; else they
    are drawn when an object is asked for.

    Raises `DataError` naming the folder to remove where its files are damaged, `OSError` where it cannot be written.
    """

    def __init__(self, scenes: Scenes, folder: str | Path | None = None, workers: int = 0, amodal: bool = False):
        self.scenes, self.keeps_amodal = scenes, amodal
        n, m, size = scenes.count, max(scenes.objects[1], 1), scenes.size
        layout: dict[str, tuple[tuple[int, ...], str]] = {
            "pixels": ((n, size, size, 4), "u1"),
            "boxes": ((n, m, 4), "f4"),
            "labels": ((n, m), "i1"),
            "keypoints": ((n, m, K, 3), "f4"),
        }
        if amodal:
            layout["amodal"] = ((n, m, size, (size + 7) // 8), "u1")
        if folder is None:
            self.arrays = {k: _shared(shape, dtype) for k, (shape, dtype) in layout.items()}
            self._fill(workers)
            return
        place = Path(folder) / f"scenes-{size}-{scenes.split}-{scenes.fingerprint[:16]}{'-amodal' if amodal else ''}"
        if not place.is_dir():
            place.parent.mkdir(parents=True, exist_ok=True)
            work = Path(tempfile.mkdtemp(prefix=".drawing-", dir=place.parent))
            try:
                self.arrays = {
                    k: np.zeros(shape, dtype) if 0 in shape
                    else np.lib.format.open_memmap(work / f"{k}.npy", "w+", dtype, shape)
                    for k, (shape, dtype) in layout.items()
                }
                self._fill(workers)
                for k, v in self.arrays.items():
                    if isinstance(v, np.memmap):
                        v.flush()
                    else:
                        np.save(work / f"{k}.npy", v)
                try:
                    os.rename(work, place)
                except OSError:  # another process was first; its scenes are the same
                    if not place.is_dir():
                        raise
            finally:
                shutil.rmtree(work, ignore_errors=True)
        self.arrays = {k: self._open(place / f"{k}.npy", shape) for k, (shape, _) in layout.items()}

    @property
    def info(self) -> Info:
        return INFO

    @property
    def split(self) -> str:
        return self.scenes.split

    @property
    def fingerprint(self) -> str:
        """That of the scenes: drawn ahead or not, the data are the same."""
        return self.scenes.fingerprint

    @property
    def size(self) -> int:
        return self.scenes.size

    def __len__(self) -> int:
        return len(self.scenes)

    def __getitem__(self, i: int) -> Sample:
        return self._get(self.scenes._index(i), True)

    def truth(self, i: int) -> Sample:
        return self._get(self.scenes._index(i), False)

    def gather(self, index: np.ndarray, kinds: frozenset[str]) -> Stack | None:
        """Many scenes at once, for the loader's fast path; None where amodal masks are wanted."""
        if "amodal" in kinds:
            return None
        return Stack(
            pixels=[self.arrays["pixels"][i] for i in index],
            boxes=self.arrays["boxes"][index],
            labels=self.arrays["labels"][index].astype(np.int64),
            keypoints=self.arrays["keypoints"][index] if "keypoints" in kinds else None,
            stuff=len(STUFF),
            things=len(THINGS),
        )

    @staticmethod
    def _open(file: Path, shape: tuple[int, ...]) -> np.ndarray:
        try:
            found = np.load(file, mmap_mode=None if 0 in shape else "r", allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise DataError(str(file), f"the drawn scenes cannot be read ({error})",
                            f"remove {file.parent}; they will be drawn again") from error
        if found.shape != shape:
            raise DataError(str(file), f"holds an array of {found.shape}, not of {shape}",
                            f"remove {file.parent}; it will be drawn again")
        return np.asarray(found)

    def _get(self, i: int, picture: bool) -> Sample:
        a = self.arrays
        n = int((a["labels"][i] >= 0).sum())
        size = self.scenes.size
        image = np.ascontiguousarray(a["pixels"][i, ..., :3]) if picture else None
        regions = np.ascontiguousarray(a["pixels"][i, ..., 3])
        amodal = (np.unpackbits(a["amodal"][i, :n], axis=-1, count=size).astype(bool) if self.keeps_amodal
                  else self.scenes._amodal(self.scenes._layout(i)))
        return _assemble(i, self.scenes, image, regions, a["labels"][i, :n].astype(np.int64),
                         np.array(a["keypoints"][i, :n]), amodal)

    def _fill(self, workers: int) -> None:
        n = len(self.scenes)
        parts = min(workers, n // 16)
        if parts < 2 or "fork" not in multiprocessing.get_all_start_methods():
            self._fill_some(range(n), said=True)
            return
        _atlas(self.scenes.size)  # once, before the processes part
        fork = multiprocessing.get_context("fork")
        children = [fork.Process(target=self._fill_apart, args=(range(k, n, parts),)) for k in range(parts - 1)]
        try:
            with interrupts.shielded():
                for child in children:
                    child.start()
            self._fill_some(range(parts - 1, n, parts), said=True)
        except BaseException:
            for child in children:
                if child.pid is not None:
                    child.terminate()
            raise
        finally:
            for child in children:
                if child.pid is not None:
                    child.join()
        if any(child.exitcode for child in children):
            raise StemmaError("drawing scenes failed in a worker process (exit codes "
                              f"{[c.exitcode for c in children]}); try again with workers=0")

    def _fill_apart(self, numbers: range) -> None:
        interrupts.as_child()
        self._fill_some(numbers)

    def _fill_some(self, numbers: range, said: bool = False) -> None:
        s, a, due = self.scenes, self.arrays, time.monotonic() + QUIET
        for i in numbers:
            if said and time.monotonic() >= due:
                print(f"drawing scenes, once: {i} of {s.count}", file=sys.stderr, flush=True)
                due = time.monotonic() + QUIET
            layout = s._layout(i)
            n, amodal = len(layout.shapes), s._amodal(layout)
            a["pixels"][i, ..., :3] = s._draw(i, layout)
            a["pixels"][i, ..., 3] = s._regions(layout)
            a["boxes"][i, :n], a["boxes"][i, n:] = tight(_split(layout.ids, n, 1)), 0
            a["labels"][i, :n], a["labels"][i, n:] = [shape.label for shape in layout.shapes], -1
            a["keypoints"][i, :n], a["keypoints"][i, n:] = _points(layout, amodal), 0
            if self.keeps_amodal:
                a["amodal"][i, :n], a["amodal"][i, n:] = np.packbits(amodal, axis=-1), 0


def _shared(shape: tuple[int, ...], dtype: str) -> np.ndarray:
    """An array of zeros in memory that forked processes write together."""
    count = math.prod(shape)
    if count == 0:
        return np.zeros(shape, dtype)
    return np.frombuffer(mmap.mmap(-1, count * np.dtype(dtype).itemsize), dtype).reshape(shape)


__all__ = ["ALL_CLASSES", "CLASSES", "INFO", "POINTS", "SPLITS", "STUFF", "THINGS", "CachedScenes", "Scenes", "Shape"]
