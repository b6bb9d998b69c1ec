"""Pictures for a report: a picture at the size it is shown, and masks or maps as a transparent layer over it."""
from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from ...core import outputs

# Told apart by lightness as well as hue; class i takes colour i, round and round.
COLOURS = (
    "#56b4e9", "#e69f00", "#2fd39b", "#f0e442", "#ff7f50", "#e58fd0", "#b8a1ff", "#9be564", "#f4f4f4", "#7fb2ff",
    "#3f8f5f", "#3a6fd8", "#d9c7a0", "#a8553a", "#7fe7e7", "#c0c0c0",
)
SIDE = 384  # longest side at which a picture is kept for a report
RGB = np.array([[int(c[i : i + 2], 16) for i in (1, 3, 5)] for c in COLOURS], np.uint8)


def shown_size(size: tuple[int, int]) -> tuple[int, int]:
    """(height, width) at which a picture of `size` is shown: itself, or its longest side brought down to `SIDE`."""
    scale = min(1.0, SIDE / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def save_picture(image: np.ndarray, path: Path) -> None:
    """A uint8 (H, W, 3) picture as a JPEG of the shown size."""
    h, w = shown_size((image.shape[0], image.shape[1]))
    small = Image.fromarray(image).resize((w, h), Image.Resampling.LANCZOS)
    outputs.put(path, lambda p: small.save(p, quality=88), prediction=True)


def mask_layer(masks: Sequence[np.ndarray], labels: Sequence[int], size: tuple[int, int]) -> np.ndarray:
    """Masks (each bool (H, W)) as one uint8 RGBA layer of the shown size: tinted inside, strong along the edge; the
    first lies on top."""
    h, w = shown_size(size)
    layer = np.zeros((h, w, 4), np.uint8)
    for mask, label in reversed(list(zip(masks, labels, strict=True))):
        small = _nearest(np.asarray(mask, bool), (h, w))
        layer[small] = (*RGB[int(label) % len(RGB)], 96)
        layer[_edge(small)] = (*RGB[int(label) % len(RGB)], 235)
    return layer


def map_layer(classes: np.ndarray, size: tuple[int, int], ids: np.ndarray | None = None, void: int = 255) -> np.ndarray:
    """A map of classes (H, W) as an RGBA layer: the class's colour everywhere,
    darker along the borders of classes (or of `ids`)."""
    h, w = shown_size(size)
    small = _nearest(np.asarray(classes), (h, w))
    layer = np.zeros((h, w, 4), np.uint8)
    layer[..., :3] = RGB[small.astype(np.int64) % len(RGB)]
    layer[..., 3] = np.where(small == void, 0, 150)
    where = small if ids is None else _nearest(np.asarray(ids), (h, w))
    border = np.zeros((h, w), bool)
    border[:, 1:] |= where[:, 1:] != where[:, :-1]
    border[1:] |= where[1:] != where[:-1]
    layer[border & (small != void)] = (20, 20, 20, 220)
    return layer


def save_layer(layer: np.ndarray, path: Path) -> None:
    """An RGBA layer as a small PNG."""
    outputs.put(path, lambda p: Image.fromarray(layer).save(p, optimize=True), prediction=True)


def _nearest(v: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    if v.shape == size:
        return v
    y = ((np.arange(size[0]) + 0.5) * v.shape[0] / size[0]).astype(int)
    x = ((np.arange(size[1]) + 0.5) * v.shape[1] / size[1]).astype(int)
    picked: np.ndarray = v[y[:, None], x[None]]
    return picked


def _edge(mask: np.ndarray) -> np.ndarray:
    inner = mask.copy()
    inner[1:] &= mask[:-1]
    inner[:-1] &= mask[1:]
    inner[:, 1:] &= mask[:, :-1]
    inner[:, :-1] &= mask[:, 1:]
    edge: np.ndarray = mask & ~inner
    return edge


__all__ = ["COLOURS", "SIDE", "map_layer", "mask_layer", "save_layer", "save_picture", "shown_size"]
