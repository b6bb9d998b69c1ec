"""A set of boxes from every cell of a map: a recurrent decoder says them one after another, a matching tells it which
object each should have been.

Axes: B images, N objects, M cells over all images, S steps of the decoder, J objects that a cell answers for, K logits.
Boxes are (centre x, centre y, width, height) in pixels, the centre relative to that of the cell.
"""
from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from ...core.part import In
from ...core.types import Targets
from ...ops import boxes as bx
from ...ops.constants import remember


class LstmCell(nn.Module):
    """A long short-term memory without biases: (input and last output) -> gates -> (output, memory).

    tied: what the output gate lets through is forgotten, forget = 1 - output, and has no weights of its own; tanh: of
    the memory before it is let out. ReInspect has the first and not the second (sec. 4.1, "no bias terms, no output
    non-linearities"; its code ties the gates). Untied and with tanh it is torch's `LSTMCell` without bias, whose order
    of gates (input, forget, value, output) it keeps.
    """

    def __init__(self, channels: int, cells: int, tied: bool = True, tanh: bool = False, init: float = 0.1) -> None:
        super().__init__()
        self.tied, self.tanh, self.cells = tied, tanh, cells
        gates = 3 if tied else 4
        self.read = nn.Linear(channels, gates * cells, bias=False)
        self.recall = nn.Linear(cells, gates * cells, bias=False)
        for layer in (self.read, self.recall):
            nn.init.uniform_(layer.weight, -init, init)

    def forward(self, seen: Float[Tensor, "M G"],
                last: tuple[Tensor, Tensor]) -> tuple[Float[Tensor, "M H"], Float[Tensor, "M H"]]:
        """`seen` is `read` of the input: it is the same at every step."""
        hidden, memory = last
        parts = (seen + self.recall(hidden)).chunk(3 if self.tied else 4, -1)
        value, out = parts[-2].tanh(), parts[-1].sigmoid()
        memory = memory * (1 - out if self.tied else parts[1].sigmoid()) + parts[0].sigmoid() * value
        return out * (memory.tanh() if self.tanh else memory), memory


class SetHead(nn.Module):
    """ReInspect's decoder (sec. 3): every cell of the last level says `inp.anchors[-1]` boxes, the surest first.

    A 1x1 convolution, times `shrink`; at each step the same features enter the recurrent cell, and what it says passes
    dropout and that step's own layers: `inp.logits` logits, and a box in units of `scale` pixels.
    forward: levels -> (logits "B A K", codes "B A 4"), A by row, column, step.
    """

    def __init__(
        self, inp: In, width: int = 1024, cells: int = 250, dropout: float = 0.15, shrink: float = 0.01,
        scale: float = 100.0, std: float = 0.005, tied: bool = True, tanh: bool = False, init: float = 0.1,
    ) -> None:
        super().__init__()
        self.shrink, self.scale = shrink, scale
        self.reduce = nn.Conv2d(inp.channels[-1], width, 1)
        self.cell = LstmCell(width, cells, tied, tanh, init)
        self.dropout = nn.Dropout(dropout)
        self.confidence = nn.ModuleList(nn.Linear(cells, inp.logits) for _ in range(inp.anchors[-1]))
        self.box = nn.ModuleList(nn.Linear(cells, 4) for _ in range(inp.anchors[-1]))
        nn.init.normal_(self.reduce.weight, 0.0, std)
        nn.init.zeros_(self.reduce.bias)  # type: ignore[arg-type]
        for layer in (*self.confidence, *self.box):
            assert isinstance(layer, nn.Linear)
            nn.init.uniform_(layer.weight, -init, init)
            nn.init.zeros_(layer.bias)

    def forward(self, xs: list[Tensor]) -> tuple[Float[Tensor, "B A K"], Float[Tensor, "B A 4"]]:
        x = self.reduce(xs[-1]) * self.shrink
        seen = self.cell.read(x.flatten(2).mT.flatten(0, 1))
        hidden = memory = seen.new_zeros(len(seen), self.cell.cells)
        logits, codes = [], []
        for confidence, box in zip(self.confidence, self.box):
            hidden, memory = self.cell(seen, (hidden, memory))
            said = self.dropout(hidden)
            logits.append(confidence(said))
            codes.append(self.scale * box(said))
        return (torch.stack(logits, 1).unflatten(0, (len(x), -1)).flatten(1, 2),
                torch.stack(codes, 1).unflatten(0, (len(x), -1)).flatten(1, 2))


def cell_objects(
    t: Targets, cells: Float[Tensor, "M 4"], side: float, count: int
) -> tuple[Float[Tensor, "B M J 4"], Int[Tensor, "B M J"], Bool[Tensor, "B M J"]]:
    """The objects that touch the square of `side` pixels in the middle of each cell: (boxes, places in the targets,
    which are real), at most `count`.

    Where there are more, those whose centres lie nearest. They come from top to bottom, then from left to right.
    """
    middle, size = bx.centre_size(t.boxes)
    at = bx.centre_size(cells)[0]
    apart = middle[:, None] - at[:, None]
    touch = (apart.abs() < (size[:, None] + side) / 2).all(-1) & t.valid[:, None]
    far = apart.square().sum(-1).masked_fill(~touch, torch.inf)
    n = min(count, t.boxes.shape[1])
    near = far.topk(n, dim=-1, largest=False)
    place, real = near.indices, near.values < torch.inf
    for axis in (0, 1):  # a stable sort by x, and then by y
        key = apart[..., axis].gather(-1, place).masked_fill(~real, torch.inf)
        order = key.argsort(dim=-1, stable=True)
        place, real = place.gather(-1, order), real.gather(-1, order)
    boxes = torch.cat([apart, size[:, None].expand_as(apart)], -1)
    boxes = boxes.gather(2, place[..., None].expand(*place.shape, 4))
    if n < count:
        pad = count - n
        boxes, place, real = (torch.cat([v, v.new_zeros(*v.shape[:2], pad, *v.shape[3:])], 2)
                              for v in (boxes, place, real))
    return boxes, place, real


def orders(steps: int, device: torch.device) -> Int[Tensor, "P S"]:
    """All ways to give `steps` objects a step each."""
    assert steps <= 7, f"{steps} steps have too many orders to try; 7 at most"

    def make() -> tuple[Tensor, ...]:
        return (torch.tensor(list(itertools.permutations(range(steps))), device=device),)

    return remember(("orders", steps, device), make)[0]


def assign(first: Int[Tensor, "M S J"], second: Float[Tensor, "M S J"],
           real: Bool[Tensor, "M J"]) -> Int[Tensor, "M J"]:
    """The step of each object in the matching that costs least: by the sum of `first`,
    and between equals by that of `second`. S = J.

    Objects that are not real cost nothing. All S! matchings are tried at once: for the 5 steps of the paper 120, which
    is less work on a batch of cells, and has a fixed shape, beside one run of the Hungarian algorithm a cell. Integers
    decide first, so that the order is exact where one number a pair (o M^2 + r M + d) would lose digits.
    """
    ways = orders(first.shape[1], first.device)
    objects = torch.arange(first.shape[2], device=first.device)
    whole = (first * real[:, None])[:, ways, objects].sum(-1)
    rest = (second * real[:, None])[:, ways, objects].sum(-1)
    best = rest.masked_fill(whole > whole.amin(1, keepdim=True), torch.inf).argmin(1)
    return ways[best]


@dataclass(frozen=True)
class SetMatch:
    """Which object each step of a cell should have said (sec. 3.1 and 3.2).

    hungarian: of all one-to-one matchings the one of least cost, pairs compared by (o, r, d) in this order: o, whether
    the said centre lies outside the object's box (`ratio` .5 of its sides); r, the step, so that boxes come without
    gaps and the surest first; d, the
    L1 distance. first: the same among as many first steps as there are objects.
    fixed: objects from top to bottom, in turn.
    """

    how: Literal["hungarian", "first", "fixed"] = "hungarian"
    ratio: float = 0.5

    def cost(self, said: Float[Tensor, "M S 4"],
             truth: Float[Tensor, "M J 4"]) -> tuple[Int[Tensor, "M S J"], Int[Tensor, " S"], Float[Tensor, "M S J"]]:
        """(o, r, d) of every pair (eq. 2)."""
        off = (said[:, :, None] - truth[:, None]).abs()
        outside = (off[..., :2] > self.ratio * truth[:, None, :, 2:]).any(-1)
        return outside.long(), torch.arange(said.shape[1], device=said.device), off.sum(-1)

    @torch.no_grad()
    def __call__(self, said: Float[Tensor, "M S 4"], truth: Float[Tensor, "M J 4"],
                 real: Bool[Tensor, "M J"]) -> Int[Tensor, "M S"]:
        """For each step its object, -1 for none."""
        m, s = said.shape[:2]
        objects = torch.arange(s, device=said.device)
        if self.how == "fixed":  # real objects come first
            return torch.where(real, objects, -1)
        o, r, d = self.cost(said, truth)
        whole = o * s * s + r[:, None]  # ranks sum to less than s * s
        if self.how == "first":
            whole = whole + (r[None, :] >= real.sum(1, keepdim=True))[..., None] * s**4
        step = assign(whole, d, real)
        return said.new_full((m, s), -1, dtype=torch.long).scatter(1, step, torch.where(real, objects, -1))
