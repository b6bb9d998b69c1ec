"""How a head writes a box down relative to its reference."""
from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from ...core.part import In
from ...core.sentence import many
from ...ops import boxes as bx
from ...ops.constants import constant

LEAST = 1e-3  # sides are taken to be at least this many pixels, so that a flat box has a finite code
FEW = 32  # targets of a class, from which on its deviation is taken (not in the paper, whose classes have thousands)


@runtime_checkable
class Coder(Protocol):
    def encode(self, ref: Float[Tensor, "*A 4"], box: Float[Tensor, "*A 4"]) -> Float[Tensor, "*A 4"]: ...
    def decode(self, ref: Float[Tensor, "*A 4"], code: Float[Tensor, "*A 4"]) -> Float[Tensor, "*A 4"]: ...


@dataclass(frozen=True)
class Delta:
    """R-CNN eq. 1-4 and 6-9: centre offsets in reference sizes, logarithms of the size ratios, each less its usual mean
    and divided by its usual `stds`.

    When decoding, the logarithms are cut at `limit`, so that no box grows past 62.5 times its reference.
    """

    stds: tuple[float, ...] = (1.0, 1.0, 1.0, 1.0)
    limit: float = math.log(1000 / 16)
    means: tuple[float, ...] = (0.0, 0.0, 0.0, 0.0)

    def encode(self, ref: Tensor, box: Tensor) -> Tensor:
        (c0, s0), (c1, s1) = bx.centre_size(ref), bx.centre_size(box)
        s0, s1 = s0.clamp(min=LEAST), s1.clamp(min=LEAST)
        code = torch.cat([(c1 - c0) / s0, (s1 / s0).log()], -1)
        return code if self.plain else (code - constant(self.means, code)) / constant(self.stds, code)

    def decode(self, ref: Tensor, code: Tensor) -> Tensor:
        c, s = bx.centre_size(ref)
        if not self.plain:
            code = code * constant(self.stds, code) + constant(self.means, code)
        return bx.from_centre(code[..., :2] * s + c, code[..., 2:].clamp(max=self.limit).exp() * s)

    @property
    def plain(self) -> bool:
        return all(s == 1.0 for s in self.stds) and not any(self.means)


@dataclass(frozen=True)
class MeasuredDelta(Delta):
    """`Delta` by the means and deviations of the training set's own targets (Fast R-CNN sec. 2.3), which a run finds
    when it begins; without `fit` it keeps those that stand here."""

    fit: bool = True


class ClassDelta(nn.Module):
    """`Delta` by the means and deviations of each class's own targets, as the release of Fast R-CNN has them, for heads
    that say a box of each class and one of background. A phase of the training measures them
    (`TwoStageModel.measure_targets`) and the net keeps them; until then means are 0 and deviations `stds`.
    """

    means: Tensor
    stds: Tensor

    def __init__(self, inp: In, stds: tuple[float, ...] = (0.1, 0.1, 0.2, 0.2)) -> None:
        super().__init__()
        self.usual = stds
        self.register_buffer("means", torch.zeros(inp.classes + 1, 4))
        self.register_buffer("stds", torch.tensor(stds).repeat(inp.classes + 1, 1))

    def encode(self, ref: Float[Tensor, "*A 1 4"], box: Float[Tensor, "*A 1 4"]) -> Float[Tensor, "*A G 4"]:
        return (Delta().encode(ref, box) - self.means) / self.stds

    def decode(self, ref: Float[Tensor, "*A 1 4"], code: Float[Tensor, "*A G 4"]) -> Float[Tensor, "*A G 4"]:
        return Delta().decode(ref, code * self.stds + self.means)

    def measure(self, found: Iterable[tuple[Float[Tensor, "N 4"], Float[Tensor, "N 4"], Int[Tensor, " N"]]]) -> str:
        """From (regions, their objects' boxes, their classes), each counted with its mirror image, as training has it.
        Classes of fewer than `FEW` targets, or whose targets are all one, keep what is usual: of few the deviation
        says nothing. Returns what was found, in a line."""
        sums = self.means.new_zeros(3, len(self.means), 4, dtype=torch.float64)
        for ref, box, label in found:
            code = Delta().encode(ref, box).double()
            mirrored = code * code.new_tensor((-1.0, 1.0, 1.0, 1.0))
            for i, v in enumerate((torch.ones_like(code), code, code.square())):
                sums[i].index_add_(0, label, v + (mirrored if i == 1 else v))
        count, mean, square = sums[0], *(sums[1:] / sums[0].clamp(min=1))
        deviation = (square - mean.square()).clamp(min=0).sqrt()
        known = ((count >= 2 * FEW) & (deviation > LEAST)).all(1, keepdim=True)
        self.means.copy_(torch.where(known, mean, 0.0))
        self.stds.copy_(torch.where(known, deviation, deviation.new_tensor(self.usual)))
        few = int((~known[:-1]).sum())
        return (f"targets of {int(count[:, 0].sum() / 2):,} regions, class by class; deviations "
                f"{', '.join(f'{v:.3f}' for v in self.stds[:-1].mean(0).tolist())} in the mean"
                + f"; too few of {many(few, 'class', 'classes')}, which keep the usual ones" * bool(few))


@dataclass(frozen=True)
class RootCell:
    """YOLOv1 sec. 2.2: the centre's offset within its cell in cells, and the square roots of width and height as
    fractions of the picture. The network says the roots themselves, which may be negative: decoding squares them.

    The reference is the cell; `cells` is the side S of the square grid, so that the picture is S cells wide and high.
    """

    cells: int = 7

    def encode(self, ref: Tensor, box: Tensor) -> Tensor:
        (c, s), cell = bx.centre_size(box), ref[..., 2:] - ref[..., :2]
        return torch.cat([(c - ref[..., :2]) / cell, (s.clamp(min=0) / (cell * self.cells)).sqrt()], -1)

    def decode(self, ref: Tensor, code: Tensor) -> Tensor:
        cell = ref[..., 2:] - ref[..., :2]
        return bx.from_centre(ref[..., :2] + code[..., :2] * cell, code[..., 2:].square() * (cell * self.cells))


@dataclass(frozen=True)
class Edges:
    """OverFeat sec. 4.1: how far each edge lies from the reference's own, in sides of the reference, divided by `std`.

    The ends of an axis are exchanged when decoding where the code has them the wrong way round.
    """

    std: float = 1.0

    def encode(self, ref: Tensor, box: Tensor) -> Tensor:
        side = (ref[..., 2:] - ref[..., :2]).clamp(min=LEAST) * self.std
        return (box - ref) / torch.cat([side, side], -1)

    def decode(self, ref: Tensor, code: Tensor) -> Tensor:
        side = (ref[..., 2:] - ref[..., :2]) * self.std
        edges = ref + code * torch.cat([side, side], -1)
        return torch.cat([torch.minimum(edges[..., :2], edges[..., 2:]), torch.maximum(edges[..., :2], edges[..., 2:])],
                         -1)

    @staticmethod
    def mirrored(code: Float[Tensor, "*A 4"]) -> Float[Tensor, "*A 4"]:
        """The code of the mirror image, relative to the mirrored reference."""
        left, top, right, bottom = code.unbind(-1)
        return torch.stack([-right, top, -left, bottom], -1)


@dataclass(frozen=True)
class DirectLocation:
    """YOLOv2 sec. 2, "direct location prediction": b = (sigmoid(tx) + cx, sigmoid(ty) + cy, pw exp(tw), ph exp(th)), in
    cells of `stride` pixels; with a `stride` of 0 in those of each prior's own level, which is then told.

    The reference is the prior of width pw and height ph in the middle of its cell, so the centre cannot leave the cell.
    """

    stride: float = 32.0
    limit: float = math.log(1000 / 16)

    def cell(self, strides: Float[Tensor, "*A"] | None) -> float | Float[Tensor, "*A 1"]:
        """The side of a cell in pixels, of each prior where there are several."""
        if self.stride:
            return self.stride
        assert strides is not None, "priors of several levels: tell the stride of each"
        return strides[..., None]

    def said(self, code: Tensor) -> Tensor:
        """What the losses compare: the place within the cell, 0..1, and the logarithms."""
        return torch.cat([code[..., :2].sigmoid(), code[..., 2:]], -1)

    def wanted(self, ref: Tensor, box: Tensor, strides: Tensor | None = None) -> Tensor:
        """The same of a box."""
        (c0, s0), (c1, s1) = bx.centre_size(ref), bx.centre_size(box)
        return torch.cat([(c1 - c0) / self.cell(strides) + 0.5, (s1.clamp(min=LEAST) / s0.clamp(min=LEAST)).log()], -1)

    def encode(self, ref: Tensor, box: Tensor, strides: Tensor | None = None) -> Tensor:
        want = self.wanted(ref, box, strides)
        return torch.cat([want[..., :2].logit(1e-6), want[..., 2:]], -1)

    def decode(self, ref: Tensor, code: Tensor, strides: Tensor | None = None) -> Tensor:
        c, s = bx.centre_size(ref)
        return bx.from_centre(c + (code[..., :2].sigmoid() - 0.5) * self.cell(strides),
                              code[..., 2:].clamp(max=self.limit).exp() * s)


@dataclass(frozen=True)
class Distances:
    """DenseBox sec. 3.2: from the middle of the reference to the box's corners, (x - x1, y - y1, x - x2, y - y2), in
    sides of the reference. The last two are negative where the middle lies in the box."""

    def encode(self, ref: Tensor, box: Tensor) -> Tensor:
        c, s = bx.centre_size(ref)
        return (torch.cat([c, c], -1) - box) / torch.cat([s, s], -1)

    def decode(self, ref: Tensor, code: Tensor) -> Tensor:
        c, s = bx.centre_size(ref)
        return torch.cat([c, c], -1) - code * torch.cat([s, s], -1)
