"""Tasks that no example showed, out of masks: what is where, by boxes and masks, and which of several things a picture
holds (InstructDiffusion, sec. 4.3)."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ...core.types import Sample
from ...data.editing.drawn import COLOURS, SHAPES, Edits
from ...data.editing.loading import mask_at, stretched
from ...metrics import coco
from ...metrics.detection import Kind, Picture, picture
from ...ops.edits import frames, patches, read_mask

Ask = Callable[[list[np.ndarray]], np.ndarray]  # pictures, uint8 (H, W, 3) -> where each of `SHAPES` is, [B, T, S, S]
PICTURES = 60  # pictures of each sort that are asked about
WORDS = "mark the {thing} in {colour}"


def masks(model: Any, images: Float[Tensor, "B 3 H W"], things: Sequence[str], colour: str | Sequence[str] = "blue",
          words: str = WORDS, seed: int | Sequence[int] = 0, **options: Any) -> np.ndarray:
    """Where each of `things` is in each picture in 0..1, bool [B, T, H, W]: asked one after the other, in one colour or
    one of each picture's own, read by the model's reader, or by the colour where it has none."""
    found, names = [], [colour] * len(images) if isinstance(colour, str) else list(colour)
    colours = torch.tensor([COLOURS[c] for c in names]).to(images)
    for thing in things:
        made = model.edit(images, [words.format(thing=thing, colour=c) for c in names], seed=seed, **options)
        with torch.no_grad():
            found.append(((model.reader(images, made, colours) > 0) if model.reader is not None
                          else read_mask(images, made, colours)).cpu().numpy())
    return np.stack(found, 1)


def free(picture: np.ndarray) -> str:
    """The colour that a picture, uint8 (H, W, 3), is furthest from everywhere: in it a mark shows."""
    pixels = picture.reshape(-1, 3) / 255
    return max(COLOURS, key=lambda c: float(np.square(pixels - np.array(COLOURS[c])).sum(1).min()))


def detect(marked: np.ndarray, least: int = 4) -> list[dict[str, np.ndarray]]:
    """Objects of `masks` [B, T, H, W], a dict a picture: `boxes` (N, 4) x1 y1 x2 y2 in pixels, `masks` bool (N, H, W),
    `labels` (N,) positions in the list of things, `scores` (N,): a patch's pixels as a share of all that were marked of
    its thing."""
    out = []
    for one in marked:
        each = [(t, patch, frames(patch, least)[0], patch.sum() / mask.sum()) for t, mask in enumerate(one)
                for patch in patches(mask, least)]
        out.append({"boxes": np.array([e[2] for e in each], np.float64).reshape(-1, 4),
                    "masks": np.array([e[1] for e in each], bool).reshape(-1, *marked.shape[-2:]),
                    "labels": np.array([e[0] for e in each], np.int64),
                    "scores": np.array([e[3] for e in each], np.float64)})
    return out


def classify(marked: np.ndarray) -> np.ndarray:
    """Which of the things covers the largest area of each picture, int64 [B], of `masks`; -1 where none was marked."""
    area = marked.sum((-2, -1))
    return np.where(area.any(-1), area.argmax(-1), -1).astype(np.int64)


def by_marking(model: Any, size: int, device: str, **options: Any) -> Ask:
    """What a model marks when it is told to, at its size, in a colour that the picture lacks; the noise of a picture is
    that of its position."""

    def ask(pictures: list[np.ndarray]) -> np.ndarray:
        images = np.stack([stretched(p, (size, size)).transpose(2, 0, 1) for p in pictures])
        return masks(model, torch.from_numpy(images).float().to(device) / 255, SHAPES, [free(p) for p in pictures],
                     seed=range(len(pictures)), **options)

    return ask


def derived(ask: Ask, edits: Edits, count: int = PICTURES) -> dict[str, Any]:
    """What comes out of masks that are asked for of every thing.

    named: share of pictures of one thing that are classified as it; taken_for: of each thing how often as what ("" is
    nothing). ap, ap50, mask_ap: COCO's measures of what is detected in pictures of two things.
    """
    count = min(count, len(edits))
    alone, truth = zip(*(edits.alone(i) for i in range(count)))
    said, names = classify(ask(list(alone))), (*SHAPES, "")
    taken = {s: {n: int(((said == k) & (np.array(truth) == t)).sum()) for k, n in zip((*range(len(SHAPES)), -1), names)}
             for t, s in enumerate(SHAPES)}
    scenes = [edits.scene(i) for i in range(count)]
    found = detect(ask([s[0] for s in scenes]))
    rows = [picture(_truth(what, f["masks"].shape[-2:], i), f, len(SHAPES), i, ("boxes", "masks"))
            for i, ((_, what), f) in enumerate(zip(scenes, found, strict=True))]
    boxes, areas = _scores(rows, "boxes"), _scores(rows, "masks")
    return {"named": float(np.mean(said == truth)), "ap": boxes.ap(), "ap50": boxes.ap(0.5), "mask_ap": areas.ap(),
            "taken_for": taken}


def _scores(rows: list[Picture], kind: Kind) -> coco.Scores:
    sizes, truths, found = coco.columns(rows, kind)
    return coco.evaluate(sizes, SHAPES, truths, found, kind)


def _truth(what: np.ndarray, size: tuple[int, int], i: int) -> Sample:
    """The things of a drawn picture as objects, at another size."""
    each = [(t, mask_at(what == 1 + t, size)) for t in range(len(SHAPES)) if (what == 1 + t).any()]
    shown = [(t, m) for t, m in each if m.any()]
    areas = np.stack([m for _, m in shown])
    boxes = np.concatenate([frames(m, 1)[:1] for _, m in shown])
    return Sample(None, size, boxes.astype(np.float32), np.array([t for t, _ in shown], np.int64),
                  np.zeros(len(shown), bool), areas.sum((1, 2)).astype(np.float32), masks=areas, id=i)


__all__ = ["COLOURS", "PICTURES", "Ask", "by_marking", "classify", "derived", "detect", "free", "masks"]
