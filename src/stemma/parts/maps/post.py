"""What is done to class probabilities after the network: steps of a segmenter's `post`.
Axes: B images, C classes, H W pixels."""
from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ...core.types import IGNORE
from ...ops.crf import Method, mean_field

FLOOR = 1e-5  # probabilities below it count as it: an energy of at most 11.5
GRID: dict[str, tuple[float, ...]] = {"appearance": (3, 4, 5, 6), "appearance_xy": (30, 40, 50, 60, 70, 80, 90, 100),
                                      "appearance_rgb": (3, 4, 5, 6)}
Scored = tuple[Tensor, Tensor, Tensor]  # probabilities B C H W, pictures B 3 H W in 0..1, true labels B H W


@runtime_checkable
class PixelPost(Protocol):
    """Probabilities from probabilities and the pictures (RGB in 0..1);
    `seen` are the pixels that the network spoke of."""

    def __call__(self, scores: Float[Tensor, "B C H W"], images: Float[Tensor, "B 3 H W"],
                 seen: Bool[Tensor, "B H W"]) -> Float[Tensor, "B C H W"]: ...


@dataclass(frozen=True)
class DenseCRF:
    """The dense CRF of `ops.crf.mean_field` on the picture's colours in whole levels of 0..255. Weights of 0 or
    no iterations change no label."""

    iterations: int = 10
    smooth: float = 3.0
    smooth_xy: float = 1.0
    appearance: float = 4.0
    appearance_xy: float = 67.0
    appearance_rgb: float = 3.0
    method: Method = "lattice"

    def times(self, ratio: float) -> DenseCRF:
        """For pictures `ratio` times as large."""
        return replace(self, smooth_xy=self.smooth_xy * ratio, appearance_xy=self.appearance_xy * ratio)

    @property
    def no_graph(self) -> str:
        """Why it cannot be part of an exported graph; empty where it can."""
        return ("" if self.method == "exact" else "the lattice of its CRF has as many points as the picture's "
                "colours ask for")

    def __call__(self, scores: Float[Tensor, "B C H W"], images: Float[Tensor, "B 3 H W"],
                 seen: Bool[Tensor, "B H W"]) -> Float[Tensor, "B C H W"]:
        energy = -scores.float().clamp(min=FLOOR).log()
        return mean_field(
            energy, (images.float() * 255).round(), self.iterations, self.smooth, self.smooth_xy, self.appearance,
            self.appearance_xy, self.appearance_rgb, self.method, seen,
        )


def search(crf: DenseCRF, scored: Sequence[Scored],
           grid: Mapping[str, tuple[float, ...]] = GRID) -> tuple[DenseCRF, float]:
    """The settings of `grid` with the best mean IoU on some labelled pictures, and that IoU: from coarse to fine
    (DeepLab v1 sec. 5, on 100 pictures).

    Starts in the middle of every list, tries all combinations of places `stride` apart around the best so far, halves
    the stride, and at stride 1 goes on until nothing better lies beside.
    """
    known: dict[tuple[int, ...], float] = {}
    names = tuple(grid)

    def made(at: tuple[int, ...]) -> DenseCRF:
        chosen: dict[str, Any] = {n: grid[n][i] for n, i in zip(names, at)}
        return replace(crf, **chosen)

    best = tuple((len(grid[n]) - 1) // 2 for n in names)
    stride = max(1, max(len(v) for v in grid.values()) // 4)
    while True:
        beside = [sorted({min(max(i + s, 0), len(grid[n]) - 1) for s in (-stride, 0, stride)})
                  for i, n in zip(best, names)]
        for at in itertools.product(*beside):
            if at not in known:
                known[at] = mean_iou(made(at), scored)
        found = max(known, key=lambda a: known[a])
        if found == best and stride == 1:
            return made(best), known[best]
        stride = max(1, stride // 2) if found == best else stride
        best = found


def mean_iou(post: PixelPost, scored: Sequence[Scored]) -> float:
    """Mean IoU of the labels after `post`, over the classes that occur."""
    matrix: Int[Tensor, "C C"] | None = None
    for scores, images, labels in scored:
        c = scores.shape[1]
        said = post(scores, images, torch.ones_like(labels, dtype=torch.bool)).argmax(1)
        counted = labels != IGNORE
        pairs = torch.bincount(labels[counted] * c + said[counted], minlength=c * c).view(c, c)
        matrix = pairs if matrix is None else matrix + pairs
    assert matrix is not None, "no pictures to choose on"
    hit = matrix.diagonal()
    union = matrix.sum(0) + matrix.sum(1) - hit
    return float((hit[union > 0] / union[union > 0]).mean())
