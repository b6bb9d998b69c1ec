"""Predictions and truths drawn on pictures: boxes, masks, keypoints, maps of classes.

What is drawn is a dict as `evaluate.to_file` gives it, in pixels of the picture: boxes, scores, labels, masks,
keypoints; or semantic; or panoptic and segments.
"""
from __future__ import annotations

import colorsys
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ...core.types import IGNORE, Points, Sample
from ...ops.masks import decode

Colour = tuple[int, int, int]
_FIRST: tuple[Colour, ...] = (
    (86, 180, 233), (230, 159, 0), (47, 211, 155), (240, 228, 66), (255, 127, 80), (229, 143, 208), (184, 161, 255),
    (155, 229, 100), (255, 255, 255), (255, 182, 163), (127, 231, 231), (217, 199, 160),
)


CROWD = 12  # objects from which on words are drawn where they fit only


def colour(label: int) -> Colour:
    """A class's colour: twelve that are told apart by lightness as well, then hues by the golden angle."""
    if label < len(_FIRST):
        return _FIRST[label]
    r, g, b = colorsys.hls_to_rgb(label * 0.61803398875 % 1.0, (0.45, 0.6, 0.75)[label % 3], 0.8)
    return round(r * 255), round(g * 255), round(b * 255)


def _ink(c: Colour) -> Colour:
    return (0, 0, 0) if 0.299 * c[0] + 0.587 * c[1] + 0.114 * c[2] > 140 else (255, 255, 255)


def as_prediction(sample: Sample, task: str = "detection") -> dict[str, Any]:
    """The truth of a picture in the form of a task's prediction, so that it can be drawn beside one."""
    if task == "semantic":
        return {"semantic": sample.semantic}
    if task == "panoptic":
        return {"panoptic": sample.panoptic, "segments": sample.segments}
    extra = {"instances": {"masks": sample.masks}, "amodal": {"masks": sample.amodal, "visible": sample.masks},
             "keypoints": {"keypoints": sample.keypoints}}.get(task, {})
    return {"boxes": sample.boxes, "labels": sample.labels, **extra}


def overlay(prediction: dict[str, Any], size: tuple[int, int], alpha: float = 0.5) -> Image.Image | None:
    """The masks or the map of a prediction as a transparent picture (RGBA) of `size` (height, width), outlines opaque.
    None where there are none."""
    h, w = size
    ids = np.zeros((h, w), np.int32)  # 0: nothing; else 1 + place in `colours`
    hatched = np.zeros((h, w), bool)  # amodal masks: where they are hidden
    colours: list[Colour] = []
    if "semantic" in prediction:
        labels = np.asarray(prediction["semantic"]).astype(np.int32)
        top = int(labels.max(where=labels != IGNORE, initial=-1))
        ids, colours = np.where(labels == IGNORE, 0, labels + 1).astype(np.int32), [colour(i) for i in range(top + 1)]
    elif "panoptic" in prediction:
        ids = np.asarray(prediction["panoptic"]).astype(np.int32)
        for k, label in enumerate(np.asarray(prediction["segments"]).tolist()):
            shade = 1.0 - 0.12 * (k % 4)
            r, g, b = colour(int(label))
            colours.append((round(r * shade), round(g * shade), round(b * shade)))
    elif prediction.get("masks") is not None and len(prediction["masks"]):
        visible = prediction.get("visible")
        for k in reversed(range(len(prediction["masks"]))):  # the best on top
            whole = _plain(prediction["masks"][k])
            ids[whole] = k + 1
            if visible is not None:
                hatched[whole] = ~_plain(visible[k])[whole]
        colours = [colour(int(label)) for label in prediction["labels"]]
    if not colours:
        return None
    table = np.zeros((len(colours) + 1, 4), np.uint8)
    table[1:, :3], table[1:, 3] = colours, round(alpha * 255)
    out = table[ids.clip(0, len(colours))]
    stripe = hatch((h, w))
    out[hatched & stripe, 3], out[hatched & ~stripe, 3] = 230, round(alpha * 80)
    edge = np.zeros((h, w), bool)
    edge[:, 1:] |= ids[:, 1:] != ids[:, :-1]
    edge[1:] |= ids[1:] != ids[:-1]
    edge[:, :-1] |= edge[:, 1:] & (ids[:, :-1] > 0)
    out[edge & (ids > 0), 3] = 255
    return Image.fromarray(out, "RGBA")


def hatch(size: tuple[int, int]) -> np.ndarray:
    """bool (H, W): stripes from the lower left to the upper right, by which what is hidden is drawn."""
    step = max(3, round(max(size) / 64))
    y, x = np.ogrid[: size[0], : size[1]]
    return np.asarray((x + y) % (2 * step) < step)


def _plain(mask: Any) -> np.ndarray:
    return decode(mask) if isinstance(mask, dict) else np.asarray(mask).astype(bool)


def draw(
    image: np.ndarray, prediction: dict[str, Any], names: Sequence[str], points: Points | None = None,
    threshold: float = 0.0, alpha: float = 0.5
) -> Image.Image:
    """A picture (uint8 H W 3) with a prediction on it: what scores `threshold` or more, the best drawn last. Text and
    lines suit the picture's size.

    Masks of a data set with one class have a hue each. Where there are more than a dozen objects, words that do not fit
    their box are left out.
    """
    prediction = above(prediction, threshold)
    if "objects" in prediction:
        return _outlined(image, prediction["objects"], alpha)
    h, w = image.shape[:2]
    canvas = Image.fromarray(image).convert("RGBA")
    many = len(prediction.get("labels", ())) > CROWD
    hues = (prediction | {"labels": np.arange(len(prediction["labels"]))} if prediction.get("masks") is not None
            and len(names) == 1 else prediction)
    colours = overlay(hues, (h, w), alpha)
    if colours is not None:
        canvas = Image.alpha_composite(canvas, colours)
    canvas = canvas.convert("RGB")
    pen = ImageDraw.Draw(canvas)
    line = max(1, round(max(h, w) / 400))
    font = ImageFont.load_default(max(9, min(40, max(h, w) / 45)))
    if "boxes" in prediction:
        order = (np.argsort(prediction["scores"], kind="stable") if "scores" in prediction
                 else range(len(prediction["labels"])))
        hue = [colour(int(label)) for label in hues["labels"]]
        for k in order:
            _object(pen, prediction, int(k), hue[k], points, line)
        for k in order:  # no line goes through a word
            _word(pen, prediction, int(k), hue[k], names, font, (h, w), many)
        return canvas
    for label, where in _regions(prediction):
        ys, xs = np.nonzero(where)
        if len(ys) < 0.002 * h * w:
            continue
        middle = np.argmin((xs - xs.mean()) ** 2 + (ys - ys.mean()) ** 2)
        _tag(pen, names[label] if label < len(names) else str(label), float(xs[middle]), float(ys[middle]),
             colour(label), font, (h, w), centred=True)
    return canvas


def _outlined(image: np.ndarray, objects: dict[str, Any], alpha: float) -> Image.Image:
    """Objects found in a map, each in a hue of its own: they are many, small and of few classes,
    so neither boxes nor words."""
    layer = overlay(objects | {"labels": np.arange(len(objects["labels"]))}, (image.shape[0], image.shape[1]), alpha)
    canvas = Image.fromarray(image).convert("RGBA")
    return (canvas if layer is None else Image.alpha_composite(canvas, layer)).convert("RGB")


def above(prediction: dict[str, Any], threshold: float) -> dict[str, Any]:
    """The detections that score `threshold` or more; maps as they are."""
    if "scores" not in prediction or "panoptic" in prediction or threshold <= 0:
        return prediction
    keep = np.flatnonzero(np.asarray(prediction["scores"]) >= threshold)
    out = dict(prediction)
    for k in ("boxes", "scores", "labels", "keypoints"):
        if out.get(k) is not None:
            out[k] = np.asarray(out[k])[keep]
    for k in ("masks", "visible", "names"):
        if out.get(k) is not None:
            out[k] = [out[k][i] for i in keep]
    return out


def _regions(prediction: dict[str, Any]) -> list[tuple[int, np.ndarray]]:
    if "semantic" in prediction:
        return [(int(c), prediction["semantic"] == c) for c in np.unique(prediction["semantic"]) if c != IGNORE]
    return [(int(c), prediction["panoptic"] == k + 1) for k, c in enumerate(prediction["segments"])]


def _object(pen: ImageDraw.ImageDraw, p: dict[str, Any], k: int, c: Colour, points: Points | None, line: int) -> None:
    x1, y1, x2, y2 = (float(v) for v in p["boxes"][k])
    dark = (20, 20, 20)
    pen.rectangle((x1 - line, y1 - line, max(x2, x1) + line, max(y2, y1) + line), outline=dark, width=line)
    pen.rectangle((x1, y1, max(x2, x1), max(y2, y1)), outline=c, width=line)
    if p.get("keypoints") is None:
        return
    spots = np.asarray(p["keypoints"][k], float)
    seen = spots[:, 2] > 0
    for a, b in points.lines if points is not None else ():
        if seen[a] and seen[b]:
            pen.line([tuple(spots[a, :2]), tuple(spots[b, :2])], fill=c, width=line + 1)
    r = line + 1
    for x, y in spots[seen, :2]:
        pen.ellipse((x - r, y - r, x + r, y + r), fill=c, outline=dark)


def _word(pen: ImageDraw.ImageDraw, p: dict[str, Any], k: int, c: Colour, names: Sequence[str], font: Any,
          size: tuple[int, int], many: bool) -> None:
    """What an object is, and how sure that is. Among many, a word wider than its box would hide others."""
    label, (x1, y1, x2, _) = int(p["labels"][k]), (float(v) for v in p["boxes"][k])
    text = names[label] if label < len(names) else str(label)
    if "scores" in p:
        text += f" {float(p['scores'][k]):.2f}"
    if not many or pen.textlength(text, font=font) < x2 - x1:
        _tag(pen, text, x1, y1, c, font, size)


def _tag(pen: ImageDraw.ImageDraw, text: str, x: float, y: float, c: Colour, font: Any, size: tuple[int, int],
         centred: bool = False) -> None:
    """A word on a field of its colour, moved so that it stays inside the picture."""
    left, top, right, bottom = pen.textbbox((0, 0), text, font=font)
    w, h = right - left + 4, bottom - top + 4
    x, y = (x - w / 2, y - h / 2) if centred else (x, y - h)
    x, y = min(max(x, 0), max(size[1] - w, 0)), min(max(y, 0), max(size[0] - h, 0))
    pen.rectangle((x, y, x + w, y + h), fill=c)
    pen.text((x + 2 - left, y + 2 - top), text, fill=_ink(c), font=font)


__all__ = ["above", "as_prediction", "colour", "draw", "overlay"]
