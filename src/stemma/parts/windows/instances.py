"""Masks assembled from maps that each know one place of an object (InstanceFCN).

Axes: B images, A windows of all passes (one a cell), K = k^2 maps, P chosen windows, m cells a side of a window.
"""
from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from ...core.part import Count, In
from ...core.types import Batch, Detections, Losses, StemmaError, Targets
from ...ops import boxes as bx
from ...ops.constants import remember
from ...ops.masks import crop
from ...ops.nms import nms
from ...ops.scalars import normaliser
from ..backbones.chain import started
from ..dense.sample import Random
from ..regions.regions import compact
from .heads import WindowHead, uncommitted
from .map_boxes import enclose
from .patches import Canonical
from .windows import Looks, WindowsRaw


class InstanceHead(WindowHead):
    """Two branches at every cell (InstanceFCN sec. 3.2): a 1x1 to `width` channels and a 3x3 to `k`^2 maps, of which
    map (i, j) says whether a cell is the (i, j)-th part of an object; and a 3x3 and a 1x1 that say whether an object
    lies in the middle of the window around the cell. Their number of weights knows nothing of a mask's size.
    """

    def __init__(self, inp: In, k: int = 5, width: int = 512) -> None:
        super().__init__()
        c, self.k, self.cells = inp.channels[-1], k, 1
        self.parts = nn.Sequential(nn.Conv2d(c, width, 1), nn.ReLU(inplace=True), nn.Conv2d(width, k * k, 3, padding=1))
        self.score = nn.Sequential(nn.Conv2d(c, width, 3, padding=1), nn.ReLU(inplace=True),
                                   nn.Conv2d(width, inp.logits, 1))
        started(self, 0.0)
        uncommitted(self.score[-1], self.parts[-1])

    def forward(self, xs: list[Tensor]) -> tuple[Tensor, Tensor]:
        return self.score(xs[-1]), self.parts(xs[-1])


def assemble(codes: Float[Tensor, "B A K"], at: Int[Tensor, "B P"], passes: tuple[tuple[int, int], ...],
             side: int) -> Float[Tensor, "B P {side} {side}"]:
    """Sec. 3.1: the window of `side` x `side` cells around each chosen cell, its (i, j)-th of k x k parts copied from
    the same cells of map (i, j). Row y belongs to part floor(y k / side). Nothing is learned here.

    Cells beyond the map's edge are those at the edge.
    """
    b, _, kk = codes.shape
    k = round(kk**0.5)

    def make() -> tuple[Tensor, ...]:
        """Where each cell's window begins in the widened maps, of which pass it is, and the way from there to each cell
        of a window, by pass."""
        begins, which, ways, start = [], [], [], 0
        step = torch.arange(side)
        part = step * k // side
        for i, (h, w) in enumerate(passes):
            tall, wide = h + side - 1, w + side - 1
            begins.append((start + torch.arange(h)[:, None] * wide + torch.arange(w)).flatten())
            which.append(torch.full((h * w,), i))
            ways.append(((part[:, None] * k + part) * tall * wide + step[:, None] * wide + step).flatten())
            start += kk * tall * wide
        return tuple(v.to(codes.device) for v in (torch.cat(begins), torch.cat(which), torch.stack(ways)))

    begins, which, ways = remember(("instances", passes, k, side, codes.device), make)
    edge = (side // 2, side - 1 - side // 2) * 2  # so far a window reaches over the map
    maps = torch.cat([F.pad(own.transpose(1, 2).unflatten(2, size), edge, mode="replicate").flatten(1)
                      for own, size in zip(codes.split([h * w for h, w in passes], 1), passes)], 1)
    first = begins[at] + maps.shape[1] * torch.arange(b, device=at.device)[:, None]
    index = first[..., None] + (ways if len(passes) == 1 else ways[which[at]])
    return maps.flatten().index_select(0, index.flatten()).view(*at.shape, side, side)


@dataclass(frozen=True)
class InstanceRule:
    """InstanceFCN sec. 3.3 and 3.4. Of all windows of a picture `count` learn, half of them positive if there are as
    many: those that hold an object in their middle at their size (`sample`, DeepMask's rule). Each pays for its score,
    and a positive one for every cell of its assembled mask. `every` looks at all scales in training, else at the
    picture as it comes, whose size the recipe draws.

    At test the `first` best windows are assembled, a mask is what reaches `limit`, boxes of masks that overlap a better
    one by more than `nms` go, and `keep` are left.
    """

    sample: Canonical = Canonical()
    count: Count = 256
    every: bool = False
    weight: float = 1.0
    limit: float = 0.5
    first: Count = 2000
    nms: float = 0.8
    keep: Count = 1000
    side: int = 28

    @property
    def needs(self) -> frozenset[str]:
        return frozenset({"masks"})

    def logits(self, classes: int) -> int:
        return 1

    def cells(self, net: Looks) -> int:
        """Cells a side of a window, which has one in its middle."""
        cells = int(net.spec.window / net.grid.stride + 0.5)
        if cells % 2 == 0:
            step = round(net.grid.stride)
            raise StemmaError(f"a window of {net.spec.window} pixels has {cells} cells a side and none in its middle; "
                              f"set window={(cells - 1) * step} or {(cells + 1) * step}")
        return cells

    def label(self, windows: Float[Tensor, "A 4"], t: Targets) -> tuple[Int[Tensor, "B A"], Int[Tensor, "B A"]]:
        """(state, object): 1 where an object lies in the middle at the window's size, 0 where none does by far, -1
        between. A window of several objects is that of the nearest one."""
        s = self.sample
        middle, size = bx.centre_size(windows)
        side = size.amax(-1)
        if not t.boxes.shape[1]:
            blank = torch.zeros(len(t.labels), len(windows), dtype=torch.long, device=windows.device)
            return blank, blank
        away = (middle[:, None] - bx.centre_size(t.boxes)[0][:, None]).abs().amax(-1)  # B A N
        octaves = (side[:, None] / s.sides(t.boxes)[:, None]).log2().abs()
        shown = t.valid & ((t.boxes[..., 2:] - t.boxes[..., :2]).amin(-1) >= s.least)
        fits = (away <= s.shift * side[:, None]) & (octaves <= s.octave) & shown[:, None]
        nearest = away.masked_fill(~fits, torch.inf).argmin(-1)
        free = s.clear(middle.expand(len(t.labels), -1, -1), side.expand(len(t.labels), -1), t)
        return fits.any(-1).long() - (~fits.any(-1) & ~free).long(), nearest

    def loss(self, net: Looks, batch: Batch) -> Losses:
        """Sum over windows of L(score) + mean over cells of L(mask), logistic, divided by their number."""
        t = batch.targets
        if t.masks is None:
            raise StemmaError("InstanceFCN learns from the masks of objects and the data have none: use data with "
                              "masks, or a system that learns from boxes")
        raw = net.look(batch.images, net.spec.scales if self.every else (1.0,))
        assert raw.codes is not None
        score = raw.logits[..., 0]
        with torch.no_grad():
            state, owner = self.label(raw.windows, t)
            state = torch.where(raw.inside(batch.sizes), state, -1)
            used = Random(self.count, 0.5)(state, score)
            at = compact(used & (state == 1), torch.zeros_like(used), self.count // 2)
            there, place = (at >= 0).to(score), at.clamp(min=0)
        count = normaliser(used.sum().to(score))
        said = F.softplus(torch.where(state == 1, -score, score)) * used
        m = self.cells(net)
        f = assemble(raw.codes, place, raw.passes, m)
        if t.masks.shape[1]:
            want = crop(t.masks, raw.windows[place], owner.gather(1, place), m) >= 0.5
        else:
            want = torch.zeros_like(f, dtype=torch.bool)
        mask = (F.softplus(torch.where(want, -f, f)).mean((2, 3)) * there).sum() / count
        return {"score": said.sum() / count, "mask": self.weight * mask}

    def predict(self, net: Looks, raw: WindowsRaw, sizes: Tensor | None = None) -> Detections:
        """Windows by score; label 0. A mask is a probability inside the box of what reaches the limit."""
        assert raw.codes is not None
        score = raw.logits[..., 0].sigmoid() * raw.inside(sizes)
        score, at = score.topk(min(self.first, score.shape[1]), dim=1)
        maps = assemble(raw.codes, at, raw.passes, self.cells(net)).float()
        limit = torch.logit(maps.new_tensor(self.limit))
        boxes, masks, found = enclose(maps, bx.take(raw.references(), at), limit, raw.sizes(sizes), self.side)
        label = torch.where(found & (score > 0), 0, -1)
        d = Detections(boxes, score.masked_fill(label < 0, 0.0), label)
        kept = nms(d.boxes, d.scores, d.labels, self.nms, min(self.keep, at.shape[1]))
        return replace(d, masks=masks).take(kept)
