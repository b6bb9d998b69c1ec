"""What a network on windows says, and where: the raw output, and what a rule may ask of the network.

Axes: B images, A windows of all passes, K logits, E numbers of a code.
"""
from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ...core.types import Batch, Detections, Losses
from ...ops import boxes as bx


@dataclass(frozen=True)
class WindowsRaw:
    """What the head says of every window, and where the windows lie on the network's input. float32."""

    logits: Float[Tensor, "B A K"]
    codes: Float[Tensor, "B A E"] | None
    windows: Float[Tensor, "A 4"]
    passes: tuple[tuple[int, int], ...]  # rows and columns of windows of each pass
    mirrors: tuple[bool, ...]  # passes over the mirrored picture: what their codes say of left and right is exchanged
    image: tuple[int, int]  # height and width of the network's input, padding included

    @property
    def levels(self) -> tuple[int, ...]:
        """Windows of each pass."""
        return tuple(h * w for h, w in self.passes)

    @property
    def mirrored(self) -> Bool[Tensor, " A"]:
        """Whether a window was seen in the mirrored picture."""
        parts = [torch.full((n,), m, dtype=torch.bool, device=self.windows.device)
                 for n, m in zip(self.levels, self.mirrors)]
        return torch.cat(parts)

    def references(self) -> Float[Tensor, "B A 4"]:
        return self.windows.expand(len(self.logits), -1, -1)

    def sizes(self, sizes: Tensor | None) -> Float[Tensor, "B 2"]:
        """`sizes`, or the whole input where they are not known."""
        if sizes is not None:
            return sizes
        return torch.stack([self.logits.new_full((len(self.logits),), float(v)) for v in self.image], 1)

    def inside(self, sizes: Tensor | None) -> Bool[Tensor, "B A"]:
        """Whether the middle of a window lies in the picture; where none does, as in a picture that is narrower than
        the windows' stride, whether none is nearer to it. Every picture has one."""
        middle = bx.centre_size(self.windows)[0]
        edge = self.sizes(sizes).flip(-1)[:, None]
        inside = ((middle > 0) & (middle < edge)).all(-1)
        off = ((middle - edge).clamp(min=0) + (-middle).clamp(min=0)).square().sum(-1)
        return torch.where(inside.any(1, keepdim=True), inside, off == off.amin(1, keepdim=True))

    def split(self, v: Float[Tensor, "B A *E"]) -> list[Tensor]:
        """`v` by passes."""
        return list(v.split(self.levels, 1))


torch.export.register_dataclass(WindowsRaw)


class Looks(Protocol):
    """A network on windows, as its rule sees it."""

    spec: Any
    classes: int
    head: Any
    grid: Any  # where the cells of its map lie: `stride`, `offset`

    def look(
        self, images: Float[Tensor, "B 3 H W"], scales: tuple[float, ...] = (1.0,), mirror: bool = False,
        border: int | None = None
    ) -> WindowsRaw: ...


@runtime_checkable
class Rule(Protocol):
    """The weightless half: what is looked at in training, what it should have said, and what the answers mean."""

    def logits(self, classes: int) -> int:
        """Logits of a window."""

    def loss(self, net: Looks, batch: Batch) -> Losses: ...
    def predict(self, net: Looks, raw: WindowsRaw, sizes: Tensor | None = None) -> Detections: ...


def mirror_boxes(boxes: Float[Tensor, "*A 4"], width: float) -> Float[Tensor, "*A 4"]:
    """Boxes of a picture `width` wide, in its mirror image."""
    x1, y1, x2, y2 = boxes.unbind(-1)
    return torch.stack([width - x2, y1, width - x1, y2], -1)
