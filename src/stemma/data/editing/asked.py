"""Data sets with masks, maps or keypoints as an editor is asked about them: `asked:DATA`, whatever `data.open` reads.

mark       Mark the pixels of cat in blue and leave the rest unchanged.      all pixels of a class, half covered
encircle   Circle the left knee of the people with the color red,            one to five joints of a person

Sentences, colours, crops and discs are those of InstructDiffusion's release (dataset/seg/coco_stuff.py,
dataset/pose/pose.py, dataset/prompt). A fifth of what is to be marked is in no pixel, which leaves the picture as it
is; a joint that is not seen is asked for and not drawn, one that is cut off is not asked for. In training an edit has
several versions, each with a crop, classes or joints, colours and words of its own; else it has one, of one joint.
"""
from __future__ import annotations

import hashlib
import math
import re
from dataclasses import replace
from typing import Any

import numpy as np
from PIL import Image

from ...core.samples import IGNORE, DataError, Info, Sample
from ...ops.edits import paint_mask
from .drawn import ABSENT, PAINTED, shown
from .pairs import VISITS, Pair, info_of, square

VERSION = 1
SIDE = 256  # of a person's crop, and of a square in which something is marked, at most
RADIUS = 10 / 256  # of the disc on a joint, to the crop's side
MOST = 5  # joints that are asked for at once
NOTHING = "leave the picture as it is."
MARKS = {"red": (255, 0, 0), "purple": (128, 0, 128), "blue": (0, 0, 255), "green": (0, 128, 0),
         "yellow": (255, 255, 0), "white": (255, 255, 255), "black": (0, 0, 0), "gray": (128, 128, 128)}
CIRCLES = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255), "yellow": (255, 255, 0),
           "cyan": (0, 255, 255), "magenta": (255, 0, 255), "gray": (128, 128, 128), "white": (255, 255, 255),
           "black": (0, 0, 0)}
MARKING = (
    "Mark the pixels of {object} in {color} and leave the rest unchanged.",
    "Color the {object}'s pixels in {color}, keeping the remaining pixels unaltered.",
    "Apply {color} to the pixels of {object} while maintaining the current state of other pixels.",
    "Assign {color} to the pixels belonging to {object}, preserving the rest as they are.",
    "For {object}, set its pixels to {color} and let the others remain the same.",
    "Modify the pixels of {object} to {color} without affecting any other pixels.",
    "Set the {object} pixels to {color} and keep the other pixels in their original state.",
    "Update the pixels of {object} to {color}, but leave the other pixels untouched.",
    "Fill in the pixels of {object} with {color}, retaining the existing colors of the remaining pixels.",
    "Change the {object} pixels to {color}, while keeping the other pixels constant.",
    "Paint the pixels of {object} in {color} and maintain the current appearance of the other pixels.",
)
CIRCLING = (
    "Circle the {joint} of the people with the color {color}, ",
    "Use the {color} color to draw circles around the {joint} of the people, ",
    "Make {color} circles around the {joint} of the people, ", "Put {color} circles on the {joint} of the people, ",
    "Draw {color} circles over the {joint} of the people, ",
    "Surround the {joint} of the people with {color} circles, ",
    "Use the color {color} to make circles on the {joint} of the people, ",
    "Mark the {joint} of the people with {color} circles, ",
    "Create {color} circles around the {joint} of the people, ",
    "Use the color {color} to encircle the {joint} of the people, ",
)
SCALED, TURNED, TURNS, HALF, FEW = 0.35, 45.0, 0.6, 0.3, 8  # of a person's crop in training; FEW: joints of a half body
UPPER = re.compile("nose|eye|ear|head|neck|thorax|shoulder|elbow|wrist")
_STREAM = {"train": 51, "val": 52, "test": 53}


def is_asked(where: object) -> bool:
    """Whether `where` asks a data set as an editor is asked."""
    return isinstance(where, str) and where.startswith("asked:")


class Asked:
    """A split of such edits: first a picture each to mark things in, then a person each to encircle joints of. Raises
    `DataError` for data that hold neither."""

    def __init__(self, data: Any, split: str, seed: int = 0) -> None:
        self.data, self.split, self.seed = data, split, seed
        info: Info = data.info
        self.mapped = "semantic" in info.kinds
        self.points = info.points if "keypoints" in info.kinds else None
        self.classes = (info.semantic or info.classes) if self.mapped else info.classes
        kinds = (*(("mark",) if self.mapped or "masks" in info.kinds else ()), *(("encircle",) if self.points else ()))
        if not kinds:
            raise DataError(info.name, f"holds {', '.join(info.kinds)}, of which nothing can be marked or encircled",
                            "take data with masks, maps or keypoints")
        self.people: list[tuple[int, int]] = []
        for i in range(len(data)) if self.points else ():
            t = data.truth(i)
            if t.keypoints is not None:
                self.people += [(i, k) for k in range(len(t.keypoints))
                                if not t.crowd[k] and (t.keypoints[k, :, 2] > 0).any()]
        self.marked = len(data) if "mark" in kinds else 0
        self.info = info_of(info.name, "asked", kinds)

    @property
    def fingerprint(self) -> str:
        said = repr((VERSION, self.data.fingerprint, self.split, self.seed))
        return hashlib.blake2b(said.encode(), digest_size=16).hexdigest()

    def __len__(self) -> int:
        return self.marked + len(self.people)

    def kind(self, i: int) -> str:
        return "mark" if i < self.marked else "encircle"

    def versions(self, i: int) -> int:
        return VISITS if self.split == "train" else 1

    def pair(self, i: int, version: int = 0) -> Pair:
        rng = np.random.default_rng([self.seed, _STREAM.get(self.split, 54), i, version])
        if i < self.marked:
            sample: Sample = self.data[i]
            return replace(self._marked(sample, rng), file=sample.file)
        image, k = self.people[i - self.marked]
        sample = self.data[image]
        return replace(self._encircled(sample, k, rng), file=sample.file)

    # ------------------------------------------------------------ masks

    def _marked(self, sample: Sample, rng: np.random.Generator) -> Pair:
        picture = np.asarray(sample.image)
        cut = square(picture.shape[:2], rng if self.split == "train" else None)
        picture, masks = picture[cut], {c: m[cut] for c, m in self._masks(sample).items()}
        there = [c for c, m in masks.items() if m.any()]
        none = np.zeros(picture.shape[:2], bool)
        if not there:
            return Pair(picture, picture, NOTHING, "mark", none, captions=("", ""))
        absent = [c for c in range(len(self.classes)) if c not in there]
        away = bool(absent) and rng.random() < ABSENT
        c = int(rng.choice(absent if away else there))
        name = self.classes.names[c].lower().replace("_", " ")
        picture, mask = brought(picture, none if away else masks[c])
        said, rgb = marking(name, rng)
        after = picture if away else painted(picture, mask, rgb)
        seen = "a photo of " + ", ".join(self.classes.names[t].lower() for t in there)
        then = seen if away else seen + PAINTED["mark"]
        return Pair(picture, after, said, "mark", mask, None, rgb, (seen, then), name)

    def _masks(self, sample: Sample) -> dict[int, np.ndarray]:
        """Class -> where it is."""
        if self.mapped:
            assert sample.semantic is not None
            return {int(c): sample.semantic == c for c in np.unique(sample.semantic) if c != IGNORE
                    and 0 <= c < len(self.classes)}
        out: dict[int, np.ndarray] = {}
        for c, m in zip(sample.labels.tolist(), sample.masks if sample.masks is not None else ()):
            if c >= 0:
                out[c] = out[c] | (np.asarray(m) > 0) if c in out else np.asarray(m) > 0
        return out

    # ------------------------------------------------------------ keypoints

    def _encircled(self, sample: Sample, k: int, rng: np.random.Generator) -> Pair:
        assert self.points is not None and sample.keypoints is not None
        points, seen = np.asarray(sample.keypoints[k, :, :2], np.float64), sample.keypoints[k, :, 2] > 0
        picture, box = np.asarray(sample.image), np.asarray(sample.boxes[k], np.float64)
        centre, side = (box[:2] + box[2:]) / 2, 1.25 * float((box[2:] - box[:2]).max())
        turned = 0.0
        if self.split == "train":
            if seen.sum() > FEW and rng.random() < HALF:
                centre, side = self._half(points, seen, rng) or (centre, side)
            side *= float(np.clip(rng.normal(1, SCALED), 1 - SCALED, 1 + SCALED))
            turned = float(np.clip(rng.normal(0, TURNED), -2 * TURNED, 2 * TURNED)) if rng.random() <= TURNS else 0.0
            if rng.random() <= 0.5 and self.points.flip:
                width, mirror = picture.shape[1], list(self.points.flip)
                picture, centre = picture[:, ::-1], np.array([width - centre[0], centre[1]])
                points, seen = np.stack([width - points[:, 0], points[:, 1]], 1)[mirror], seen[mirror]
        crop, at = cropped(picture, centre, side, turned, points)
        count = int(rng.integers(1, MOST + 1)) if self.split == "train" else 1
        joints = rng.permutation(len(points))[:count].tolist()
        names = rng.permutation(list(CIRCLES))[: len(joints)].tolist()
        after, whole, said = crop, np.zeros((SIDE, SIDE), bool), ""
        drawn: list[tuple[int, str]] = []
        for j, colour in zip(joints, names):
            disc = disc_at(at[j])
            if seen[j] and not disc.any():
                continue  # cut off: it is not asked for
            said += CIRCLING[int(rng.integers(len(CIRCLING)))].format(
                color=colour, joint=self.points.names[j].replace("_", " "))
            if seen[j]:
                after, whole = painted(after, disc, _rgb(colour), 0.0), whole | disc
                drawn.append((j, colour))
        if not said:
            return Pair(crop, crop, NOTHING, "encircle", whole, captions=("", ""))
        j, colour = drawn[0] if drawn else (joints[0], names[0])
        circle = PAINTED["encircle"].format(c=colour) if drawn else ""
        return Pair(crop, after, said.strip(), "encircle", whole, (float(at[j, 0]), float(at[j, 1])) if drawn else None,
                    _rgb(colour), ("a photo of a person", "a photo of a person" + circle), self.points.names[j],
                    radius=RADIUS, body=self._body(sample, k, j, SIDE / max(side, 1.0)), sided=True)

    def _body(self, sample: Sample, k: int, j: int, scale: float) -> tuple[float, float, float]:
        """What a joint's error is measured by, in pixels of a crop that is so many times as large (`Pair.body`)."""
        assert self.points is not None
        x1, y1, x2, y2 = map(float, sample.boxes[k])
        sigma = self.points.sigmas[j] if j < len(self.points.sigmas) else 0.0
        return scale * math.sqrt(float(sample.area[k])), scale * max(x2 - x1, y2 - y1), sigma

    def _half(self, points: np.ndarray, seen: np.ndarray,
              rng: np.random.Generator) -> tuple[np.ndarray, float] | None:
        """(middle, side) of a crop of the upper or the lower half of a body; None where too little of it is seen."""
        assert self.points is not None
        upper = np.array([bool(UPPER.search(n)) for n in self.points.names])
        above, below = points[seen & upper], points[seen & ~upper]
        chosen = above if (rng.standard_normal() < 0.5 and len(above) > 2) or len(below) <= 2 else below
        if len(chosen) < 2:
            return None
        return chosen.mean(0), 1.5 * float((chosen.max(0) - chosen.min(0)).max())


def marking(thing: str, rng: np.random.Generator) -> tuple[str, tuple[float, ...]]:
    """(a sentence that asks for a thing to be marked, the colour that it asks for, in 0..1)."""
    colour = list(MARKS)[int(rng.integers(len(MARKS)))]
    said = MARKING[int(rng.integers(len(MARKING)))].format(object=thing, color=colour)
    return said, tuple(v / 255 for v in MARKS[colour])


def brought(picture: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A square of a picture and a mask, of more than `SIDE` pixels, at that many, before anything is painted: Lanczos
    and the nearest pixel, as the release brings them."""
    if len(picture) <= SIDE:
        return picture, mask
    small = Image.fromarray(np.ascontiguousarray(picture)).resize((SIDE, SIDE), Image.Resampling.LANCZOS)
    part = Image.fromarray(mask.astype(np.uint8)).resize((SIDE, SIDE), Image.Resampling.NEAREST)
    return np.asarray(small), np.asarray(part) > 0


def _rgb(colour: str) -> tuple[float, ...]:
    return tuple(v / 255 for v in CIRCLES[colour])


def painted(picture: np.ndarray, mask: np.ndarray, colour: tuple[float, ...], alpha: float = 0.5) -> np.ndarray:
    """A picture, uint8 (H, W, 3), with a mask mixed with a colour in 0..1; elsewhere bit for bit as it was."""
    x = picture.transpose(2, 0, 1).astype(np.float32) / 255
    return np.where(mask[..., None], shown(paint_mask(x, mask.astype(np.float32), colour, alpha)), picture)


def disc_at(at: np.ndarray) -> np.ndarray:
    """bool (SIDE, SIDE): the pixels of a joint's disc, its middle rounded to a pixel."""
    r = round(RADIUS * SIDE)
    y, x = np.mgrid[:SIDE, :SIDE]
    mx, my = (math.floor(v) for v in at)
    return np.asarray((x - mx) ** 2 + (y - my) ** 2 <= r * r + 1)


def cropped(picture: np.ndarray, centre: np.ndarray, side: float, turned: float,
            points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(the square of `side` pixels around `centre`, turned by so many degrees, at SIDE x SIDE; points (K, 2) in it)."""
    a, scale = math.radians(turned), SIDE / max(side, 1.0)
    to = scale * np.array([[math.cos(a), math.sin(a)], [-math.sin(a), math.cos(a)]])
    back = np.linalg.inv(to)
    shift = centre - back @ np.full(2, SIDE / 2)
    rows = (back[0, 0], back[0, 1], shift[0], back[1, 0], back[1, 1], shift[1])
    crop = Image.fromarray(np.ascontiguousarray(picture)).transform((SIDE, SIDE), Image.Transform.AFFINE, rows,
                                                                    Image.Resampling.BILINEAR)
    return np.asarray(crop), (points - centre) @ to.T + SIDE / 2


__all__ = ["CIRCLES", "CIRCLING", "MARKING", "MARKS", "NOTHING", "RADIUS", "SIDE", "VISITS", "Asked", "brought",
           "cropped", "disc_at", "is_asked", "marking", "painted"]
