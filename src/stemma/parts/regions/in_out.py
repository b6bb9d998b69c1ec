"""Boxes from probabilities of rows and columns (LocNet): the head that says them, what they should be, and the interval
that they mean; and where to begin to look (AttractioNet).

Axes: R regions, C channels, s bins a side, M parts of a side of the search region.
"""
from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from ...core.part import Count, In
from ...ops import boxes as bx
from ...ops.constants import remember
from ...ops.nms import nms
from ...ops.roi import roi_align
from ..dense.coders import Delta
from ..low_rank import linear, over_bins

Says = Literal["in-out", "borders", "combined"]
ROWS = {"in-out": 1, "borders": 2, "combined": 3}  # vectors of M an axis


class InOutHead(nn.Module):
    """LocNet fig. 3: the search region, pooled bilinearly, two 3x3 convolutions, the maximum over rows and over
    columns, and on each a fully connected layer of M logits.

    `says`: "in-out", whether each column (row) crosses the object; "borders", whether it holds its first, its last
    edge; or both (sec. 3.1).
    """

    def __init__(self, inp: In, width: int = 512, bins: int = 14, parts: int = 56, says: Says = "in-out",
                 norm: bool = False) -> None:
        super().__init__()
        self.bins, self.parts, self.says, self.stride = bins, parts, says, inp.strides[-1]
        layers: list[nn.Module] = []
        for c in (inp.channels[-1], width):
            layers.append(nn.Conv2d(c, width, 3, padding=1, bias=not norm))
            layers += [nn.BatchNorm2d(width)] * norm + [nn.ReLU(inplace=True)]
        self.convs = nn.Sequential(*layers)
        self.x, self.y = (nn.Linear(width * bins, parts * ROWS[says]) for _ in range(2))
        for m in self.convs:
            if isinstance(m, nn.Conv2d):
                nn.init.kaiming_normal_(m.weight, nonlinearity="relu")
        for fc in (self.x, self.y):
            nn.init.normal_(fc.weight, std=0.001)
            nn.init.zeros_(fc.bias)

    def forward(self, xs: list[Tensor], search: Float[Tensor, "B R 4"]) -> Float[Tensor, "B R 2 V M"]:
        """Logits over columns (0) and rows (1) of search regions; V vectors of M an axis, as `says`."""
        seen = self.convs(roi_align(xs[-1], search, self.bins, self.stride, 2, True).flatten(0, 1))
        said = [fc(seen.amax(axis).flatten(1)) for fc, axis in ((self.x, -2), (self.y, -1))]
        return torch.stack(said, 1).float().view(*search.shape[:2], 2, ROWS[self.says], self.parts)


class ObjectHead(nn.Module):
    """Whether a box holds an object, whatever it is (AttractioNet sec. 3.1): pooled bilinearly, two fully connected
    layers, a logit for and one against."""

    def __init__(self, inp: In, width: int = 4096, bins: int = 7, dropout: float = 0.5) -> None:
        super().__init__()
        self.bins, self.stride = bins, inp.strides[-1]
        self.fc6 = linear(inp.channels[-1] * bins * bins, width)
        self.fc7 = linear(width, width)
        self.score = nn.Linear(width, 2)
        self.dropout = nn.Dropout(dropout)
        nn.init.normal_(self.score.weight, std=0.01)
        nn.init.zeros_(self.score.bias)

    def forward(self, xs: list[Tensor], boxes: Float[Tensor, "B R 4"]) -> Float[Tensor, "B R 2"]:
        x = over_bins(self.fc6, roi_align(xs[-1], boxes, self.bins, self.stride, 2, True))
        x = self.dropout(F.relu(self.fc7(self.dropout(F.relu(x)))))
        said: Tensor = self.score(x)
        return said.float()


@dataclass(frozen=True)
class InOut:
    """LocNet sec. 3: a box is searched for in a region `factor` times as large, cut into `parts` columns and rows."""

    factor: float = 1.8
    parts: int = 56
    says: Says = "in-out"
    clip: float = 1e-4  # probabilities are kept this far from 0 and 1 when an interval is chosen

    def search(self, boxes: Float[Tensor, "*R 4"]) -> Float[Tensor, "*R 4"]:
        c, s = bx.centre_size(boxes)
        return bx.from_centre(c, s * self.factor)

    def ends(self, search: Float[Tensor, "*R 4"], truth: Float[Tensor, "*R 4"]) -> Int[Tensor, "*R 2 2"]:
        """(first, last) column and row that the object crosses, cut to the search region; last >= first."""
        first, side = search[..., :2], (search[..., 2:] - search[..., :2]).clamp(min=1e-3)
        low, high = (((truth[..., i : i + 2] - first) / side * self.parts).round().long() for i in (0, 2))
        low = low.clamp(0, self.parts - 1)
        return torch.stack([low, torch.maximum((high - 1).clamp(0, self.parts - 1), low)], -1)

    def target(self, search: Float[Tensor, "*R 4"], truth: Float[Tensor, "*R 4"]) -> Float[Tensor, "*R 2 V M"]:
        """Eq. 1 and 2: what each column and row should say."""
        ends = self.ends(search, truth)
        at = torch.arange(self.parts, device=ends.device)
        low, high = ends[..., :1], ends[..., 1:]
        inside, edges = ((at >= low) & (at <= high)), torch.stack([at == low, at == high], -2)
        which = {"in-out": [inside[..., None, :]], "borders": [edges],
                 "combined": [inside[..., None, :], edges]}[self.says]
        return torch.cat(which, -2).float()

    def cost(self, logits: Float[Tensor, "B R 2 V M"], search: Tensor, truth: Tensor) -> Float[Tensor, "B R"]:
        """Binary cross entropy, the mean over a region's columns and rows."""
        said = F.binary_cross_entropy_with_logits(logits, self.target(search, truth), reduction="none")
        return said.flatten(2).mean(-1)

    def interval(self, logits: Float[Tensor, "*R V M"]) -> Int[Tensor, "*R 2"]:
        """The interval of greatest likelihood (eq. 4 to 6): with in-out the sub-array of greatest sum of logits; with
        borders the pair of greatest product of their two probabilities alone, first <= last; with both the greatest sum
        of logits of the two (authors' code)."""
        bound = math.log(1 / self.clip - 1)
        z = logits.clamp(-bound, bound)
        z = F.logsigmoid(z) if self.says == "borders" else z
        begin, end = torch.zeros_like(z[..., 0, :]), torch.zeros_like(z[..., 0, :])
        if self.says != "borders":
            total = z[..., 0, :].cumsum(-1)
            begin, end = begin - (total - z[..., 0, :]), end + total
        if self.says != "in-out":
            begin, end = begin + z[..., -2, :], end + z[..., -1, :]
        best = begin
        for step in (2**k for k in range((self.parts - 1).bit_length())):  # the greatest so far: ONNX has no cummax
            best = torch.maximum(best, F.pad(best[..., :-step], (step, 0), value=-torch.inf))
        last = (best + end).argmax(-1, keepdim=True)
        before = torch.arange(begin.shape[-1], device=begin.device) <= last
        return torch.cat([torch.where(before, begin, -torch.inf).argmax(-1, keepdim=True), last], -1)

    def decode(self, search: Float[Tensor, "*R 4"], logits: Float[Tensor, "*R 2 V M"]) -> Float[Tensor, "*R 4"]:
        """The boxes that columns and rows mean."""
        ends = self.interval(logits)  # *R 2 2
        step = (search[..., 2:] - search[..., :2]) / self.parts
        return torch.cat([search[..., :2] + ends[..., 0] * step, search[..., :2] + (ends[..., 1] + 1) * step], -1)


@dataclass(frozen=True)
class Offsets:
    """What in-out probabilities stand against: two numbers an axis, how far the object's middle lies from the box's and
    the logarithm of how much longer it is, in the steps of Fast R-CNN's codes. The same search region is looked at."""

    factor: float = 1.8
    codes: Delta = Delta((0.1, 0.1, 0.2, 0.2))

    def search(self, boxes: Float[Tensor, "*R 4"]) -> Float[Tensor, "*R 4"]:
        return InOut(self.factor).search(boxes)

    def cost(self, logits: Float[Tensor, "B R 2 1 2"], search: Tensor, truth: Tensor) -> Float[Tensor, "B R"]:
        """Smooth L1, summed over the four numbers."""
        want = self.codes.encode(self.boxes(search), truth)
        return F.smooth_l1_loss(self.flat(logits), want, reduction="none").sum(-1)

    def decode(self, search: Float[Tensor, "*R 4"], logits: Float[Tensor, "*R 2 1 2"]) -> Float[Tensor, "*R 4"]:
        return self.codes.decode(self.boxes(search), self.flat(logits))

    def boxes(self, search: Float[Tensor, "*R 4"]) -> Float[Tensor, "*R 4"]:
        """The boxes that search regions are of."""
        c, s = bx.centre_size(search)
        return bx.from_centre(c, (s / self.factor).clamp(min=1e-3))

    @staticmethod
    def flat(logits: Float[Tensor, "*R 2 1 2"]) -> Float[Tensor, "*R 4"]:
        """Middle x, y, length x, y."""
        return logits[..., 0, :].transpose(-1, -2).flatten(-2)


SHAPES = ((16.0, 16.0), *(shape for s in (32.0, 50.0, 72.0, 96.0, 128.0, 192.0, 256.0, 384.0)
                          for shape in ((s, s / 2), (s / 2, s), (s, s))))  # the authors' 25: width, height


@dataclass(frozen=True)
class Seeds:
    """AttractioNet sec. 3.2: boxes that cover a picture evenly, laid as by the authors' code.

    `shapes` are widths and heights in pixels of the file, each `scale` of the network's. Each that is smaller than the
    picture has its share of `count`, small ones more; its boxes lie `apart` of a side from one another, 4 pixels at
    least, or as much more as keeps them to the share, and come nearer while some of `count` are left over. Where a
    shape is too large, the whole picture is a seed.
    """

    shapes: tuple[tuple[float, float], ...] = SHAPES
    scale: float = 1000 / 480
    count: Count = 10_000
    apart: float = 1 / 8

    def __call__(self, size: tuple[int, int], like: Tensor) -> Float[Tensor, "S 4"]:
        """For a picture of (height, width) pixels of the network's."""
        def make() -> tuple[Tensor, ...]:
            rows = self.laid(size[1] / self.scale, size[0] / self.scale)
            return (self.scale * torch.tensor(rows, dtype=like.dtype, device=like.device).view(-1, 4),)

        return remember((self, size, like.device, like.dtype), make)[0]

    def laid(self, w: float, h: float) -> list[tuple[float, float, float, float]]:
        """The same in pixels of the file."""
        shapes = [(a, b) for a, b in self.shapes if a < w and b < h]
        rows = [(0.0, 0.0, w, h)] if len(shapes) < len(self.shapes) else []
        if not shapes:
            return rows
        wide, high = (max(sides) for sides in zip(*shapes, strict=True))
        ratios = [int(min(24, wide // a) * min(24, high // b)) for a, b in shapes]
        share = self.count // sum(ratios)

        def many(shape: tuple[float, float], step: tuple[float, float]) -> int:
            return math.prod(len(self.line(n, side, by)) for n, side, by in zip((w, h), shape, step, strict=True))

        steps = []
        for shape, ratio in zip(shapes, ratios, strict=True):
            step = (max(4.0, shape[0] * self.apart), max(4.0, shape[1] * self.apart))
            while many(shape, step) > ratio * share and many(shape, step) > 1:
                step = (step[0] + 2, step[1] + 2)
            steps.append(step)
        left = self.count - len(rows) - sum(map(many, shapes, steps))
        for i in [*range(len(shapes))][::-1] * 3:
            for k in range(6):
                nearer = (steps[i][0] * (0.75 + 0.05 * k), steps[i][1] * (0.75 + 0.05 * k))
                more = many(shapes[i], nearer) - many(shapes[i], steps[i])
                if left > more:
                    steps[i], left = nearer, left - more
                    break
        for (a, b), step in zip(shapes, steps, strict=True):
            xs, ys = self.line(w, a, step[0]), self.line(h, b, step[1])
            rows += [(x, y, x + a, y + b) for y in ys for x in xs]
        return rows

    @staticmethod
    def line(length: float, side: float, step: float) -> list[float]:
        """Where boxes begin along a side of the picture: what is left over lies half at either end."""
        room = length - side
        return [room % step / 2 + k * step for k in range(int(room // step) + 1)]


@dataclass(frozen=True)
class ManyNMS:
    """AttractioNet's last suppression (the authors' postprocess): at the first threshold, and what is left of that at
    each of the others by itself. Of what survives the last, the best `keeps` come first; then of what survives the one
    before, until so many are there as that keeps; and so on. A score is the place of the threshold and the objectness,
    over the number of thresholds."""

    thresholds: tuple[float, ...] = (0.95, 0.90, 0.85, 0.80, 0.75, 0.65, 0.60, 0.55)
    keeps: tuple[Count, ...] = (2000, 1000, 400, 200, 100, 40, 20, 10)

    def __call__(self, boxes: Float[Tensor, "B K 4"], scores: Float[Tensor, "B K"]) -> tuple[Tensor, Tensor]:
        """(boxes, scores), best first; a score of 0 is padding, before and after."""
        at = nms(boxes, torch.where(scores > 0, scores, -torch.inf), None, self.thresholds[0],
                 min(self.keeps[0], scores.shape[1]))
        boxes, scores = bx.take(boxes, at.clamp(min=0)), scores.gather(1, at.clamp(min=0)) * (at >= 0)
        n = scores.shape[1]
        level, taken = torch.zeros_like(scores), torch.zeros_like(scores, dtype=torch.bool)
        for i in range(len(self.thresholds) - 1, -1, -1):
            alive = scores > 0
            if i:
                own = nms(boxes, torch.where(alive, scores, -torch.inf), None, self.thresholds[i], n)
                alive = torch.zeros_like(torch.cat([alive, alive[:, :1]], 1)).scatter(
                    1, torch.where(own >= 0, own, n), True)[:, :-1]
            free = alive & ~taken
            free = free & (free.cumsum(1) + taken.sum(1, keepdim=True) <= self.keeps[i])
            level, taken = torch.where(free, float(i), level), taken | free
        said = (level + scores) * taken / len(self.thresholds)
        order = said.sort(dim=1, descending=True, stable=True).indices
        return bx.take(boxes, order), said.gather(1, order)
