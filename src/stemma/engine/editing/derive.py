"""Tasks that no example showed, out of masks: what is where, by boxes, and which of several things a picture holds
(InstructDiffusion, sec. 4.3)."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ...ops.edits import frames, read_mask

COLOURS = {"red": (0.9, 0.1, 0.1), "blue": (0.1, 0.2, 0.9), "yellow": (0.95, 0.9, 0.1)}
WORDS = "mark the {thing} in {colour}"


def masks(model: Any, images: Float[Tensor, "B 3 H W"], things: Sequence[str], colour: str = "blue",
          words: str = WORDS, seed: int = 0, **options: Any) -> np.ndarray:
    """Where each of `things` is in each picture in 0..1, bool [B, T, H, W]: asked one after the other, read by the
    model's reader, or by the colour where it has none."""
    found = []
    for thing in things:
        made = model.edit(images, [words.format(thing=thing, colour=colour)] * len(images), seed=seed, **options)
        if model.reader is not None:
            with torch.no_grad():
                colours = torch.tensor(COLOURS[colour]).to(images).expand(len(images), 3)
                found.append((model.reader(images, made, colours) > 0).cpu().numpy())
        else:
            found.append(read_mask(images, made, COLOURS[colour]).cpu().numpy())
    return np.stack(found, 1)


def detect(marked: np.ndarray, least: int = 4) -> list[dict[str, np.ndarray]]:
    """Boxes of `masks` [B, T, H, W], a dict a picture: `boxes` (N, 4) x1 y1 x2 y2 in pixels, `labels` (N,) positions in
    the list of things, `scores` (N,): a patch's pixels as a share of all that were marked of its thing."""
    out = []
    for picture in marked:
        boxes, labels, scores = [np.zeros((0, 4))], [], []
        for t, mask in enumerate(picture):
            found = frames(mask, least)
            boxes.append(found)
            labels += [t] * len(found)
            whole = max(int(mask.sum()), 1)
            scores += [int(mask[int(b[1]) : int(b[3]), int(b[0]) : int(b[2])].sum()) / whole for b in found]
        out.append({"boxes": np.concatenate(boxes), "labels": np.array(labels, np.int64),
                    "scores": np.array(scores, np.float64)})
    return out


def classify(marked: np.ndarray) -> np.ndarray:
    """Which of the things covers the largest area of each picture, int64 [B], of `masks`."""
    return np.asarray(marked.sum((-2, -1)).argmax(-1), np.int64)


__all__ = ["COLOURS", "classify", "detect", "masks"]
