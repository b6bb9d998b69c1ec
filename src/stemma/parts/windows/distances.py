"""Boxes as distances from every cell of a fine map, learned on patches: the head, and what a patch teaches (DenseBox).

Axes: B images, M patches, N objects, A cells of all looks, C classes, K landmarks.
"""
from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from ...core.part import Count, In
from ...core.types import Batch, Detections, Losses, StemmaError, Targets
from ...ops import boxes as bx
from ...ops.constants import constant
from ...ops.nms import nms
from ...ops.scalars import normaliser
from ..backbones.chain import started
from ..dense.coders import Distances
from ..dense.sample import Sampler, TopShare
from .heads import WindowHead, fully, uncommitted
from .patches import Canonical, cut
from .windows import Looks, WindowsRaw

Measure = Literal["height", "longer"]


class PixelHead(WindowHead):
    """Two branches of 1x1 convolutions on every cell of the finest level, which all levels are joined at (DenseBox
    fig. 3): scores "C" and four distances.

    Logits of a cell: C scores; where the rule asks for more of them, then K landmarks from a third branch, and C scores
    again, refined from both by a convolution of `refine` channels over 5 x 5 cells (sec. 3.4).
    """

    cells, level = 1, 0

    def __init__(self, inp: In, hidden: int = 512, dropout: float = 0.5, refine: int = 64, std: float = 0.01) -> None:
        super().__init__()
        channels, c, points = sum(inp.channels), inp.classes, inp.logits - 2 * inp.classes
        branch = lambda n: fully(channels, (hidden,), n, 1, dropout=dropout)  # noqa: E731
        self.score, self.box = branch(c), branch(4)
        if points > 0:
            self.landmarks = branch(points)
            self.refine = nn.Sequential(nn.Conv2d(c + points, refine, 5, padding=2), nn.ReLU(inplace=True),
                                        nn.Conv2d(refine, c, 1))
        started(self, 0.0)
        uncommitted(self.score[-1], self.box[-1], *((self.landmarks[-1], self.refine[-1]) if points > 0 else ()),
                    std=std)

    def forward(self, xs: list[Tensor]) -> tuple[Tensor, Tensor]:
        branch = lambda net: net[1:](joined(xs, net[0]))  # noqa: E731
        score, box = branch(self.score), branch(self.box)
        if not hasattr(self, "refine"):
            return score, box
        both = torch.cat([score, branch(self.landmarks)], 1)
        return torch.cat([both, self.refine(both)], 1), box


def joined(xs: list[Tensor], conv: nn.Conv2d) -> Float[Tensor, "B D H W"]:
    """A 1x1 convolution of all levels laid on one another at the size of the first, bilinear where they are coarser
    (DenseBox sec. 3.2, "multi-level feature fusion").

    Such a convolution and enlarging can be exchanged: each level passes its own channels of the weights at its own
    size, and the sum is that of the levels laid on one another.
    """
    size = (xs[0].shape[-2], xs[0].shape[-1])
    first, *rest = conv.weight.split([x.shape[1] for x in xs], 1)
    y = F.conv2d(xs[0], first, conv.bias)
    for x, weight in zip(xs[1:], rest):
        y = y + F.interpolate(F.conv2d(x, weight), size=size, mode="bilinear", align_corners=False)
    return y


@dataclass(frozen=True)
class Patches(Canonical):
    """Windows around objects, and windows anywhere at any size of the looks. An object's size is its height, as
    published for faces, or its longer side."""

    size: Measure = "height"

    def sides(self, boxes: Float[Tensor, "*A 4"]) -> Float[Tensor, "*A"]:
        return measured(boxes, self.size).clamp(min=1e-3) / self.fill


def measured(boxes: Float[Tensor, "*A 4"], how: Measure) -> Float[Tensor, "*A"]:
    """The size of a box in pixels: its height, or its longer side."""
    side = boxes[..., 2:] - boxes[..., :2]
    return side[..., 1] if how == "height" else side.amax(-1)


@dataclass(frozen=True)
class Painted:
    """What the cells of patches should say."""

    owner: Int[Tensor, "M A"]  # place in the targets; 0 where there is none
    positive: Bool[Tensor, "M A"]
    asked: Bool[Tensor, "M A"]


@dataclass(frozen=True)
class DistanceRule:
    """DenseBox sec. 3.2 to 3.4, on windows: the window of a cell is a square of the standard size around it.

    `circle`: cells nearer to an object's middle than this share of its size are positive. `within`: the sizes that a
    look is asked for, as shares of the standard; objects of other sizes are background. `ring`: cells so near to a
    positive one are not asked. `side` is that of a patch, in pixels. `points` > 0 are landmarks, and a score refined
    by them; the cell of a landmark and those within `spot` cells are positive. Scores are cut to 0..1.
    """

    sample: Patches = Patches(positives=1, negatives=1, fill=50 / 240, shift=25 / 240, octave=0.3219, away=0.0,
                              apart=0.0, least=1.0, tries=1)
    mine: Sampler = TopShare()
    coder: Distances = Distances()
    side: int = 240
    circle: float = 0.3
    within: tuple[float, float] = (0.8, 1.25)
    ring: int = 2
    box_weight: float = 3.0
    points: int = 0
    spot: float = 1.0
    point_weight: float = 0.5
    score: float = 0.05
    pre: int = 1000
    nms: float = 0.5
    keep: Count = 100

    @property
    def needs(self) -> frozenset[str]:
        return frozenset({"keypoints"} if self.points else ())

    def logits(self, classes: int) -> int:
        return 2 * classes + self.points if self.points else classes

    def paint(self, t: Targets, raw: WindowsRaw, picture: Float[Tensor, "M 4"]) -> Painted:
        """Which cells of patches are positive and for which object, and which are asked. `t` and `picture`, the
        picture's own edges, in pixels of the patches. A cell in several circles is that of the nearest middle."""
        middle, standard = bx.centre_size(raw.windows)
        x, y = middle[:, 0], middle[:, 1]
        p = picture[..., None]
        asked = (x > p[:, 0]) & (x < p[:, 2]) & (y > p[:, 1]) & (y < p[:, 3])
        if not t.boxes.shape[1]:
            return Painted(torch.zeros_like(asked, dtype=torch.long), torch.zeros_like(asked), asked)
        size = measured(t.boxes, self.sample.size)
        ok = self.shown(t, standard[0, 0])
        centre = bx.centre_size(t.boxes)[0]
        away = (((x - centre[..., :1]) ** 2 + (y - centre[..., 1:]) ** 2).sqrt()
                .masked_fill(~ok[..., None], torch.inf))  # M N A
        inside = away <= (self.circle * size)[..., None]
        near, owner = away.masked_fill(~inside, torch.inf).min(1)
        positive = near < torch.inf
        spread = F.max_pool2d(positive.float().view(-1, 1, *raw.passes[0]), 2 * self.ring + 1, 1, self.ring)
        asked = positive | (asked & (spread.flatten(1) == 0))
        if t.crowd is not None:
            b = t.boxes[..., None]
            held = (x > b[..., 0, :]) & (x < b[..., 2, :]) & (y > b[..., 1, :]) & (y < b[..., 3, :])
            asked = asked & (positive | ~(held & (t.crowd & (t.labels >= 0))[..., None]).any(1))
        return Painted(torch.where(positive, owner, 0), positive, asked)

    def shown(self, t: Targets, standard: Tensor) -> Bool[Tensor, "M N"]:
        """Which objects have a size that a look is asked for; a patch's own lies on the edge at most."""
        share = measured(t.boxes, self.sample.size) / standard
        return t.valid & (share >= self.within[0] - 1e-4) & (share <= self.within[1] + 1e-4)

    def loss(self, net: Looks, batch: Batch) -> Losses:
        """Scalars `cls` and `box`, with landmarks also `point` and `refine`: squared errors of the cells chosen,
        divided by their number."""
        spec, t, mean = net.spec, batch.targets, constant(net.spec.preprocess.mean, batch.images)
        if self.points and t.keypoints is None:
            raise StemmaError("DenseBox with landmarks learns from keypoints and the data have none: use data with "
                              "keypoints, or the preset without landmarks")
        around, _, there = self.sample.positive(t)
        sides = (self.side / max(spec.scales), self.side / min(spec.scales))
        anywhere, found = self.sample.negative(t, batch.sizes, sides)
        windows, used = torch.cat([around, anywhere], 1), torch.cat([there, found], 1).flatten()
        raw = net.look(cut(batch.images, windows, self.side, mean), border=0)
        on, picture = self.onto(t, batch.sizes, windows)
        want = self.paint(on, raw, picture)
        said = raw.logits[..., : net.classes]
        y = torch.zeros_like(said)
        if t.boxes.shape[1]:
            label = on.labels.clamp(0, net.classes - 1).gather(1, want.owner)
            y = F.one_hot(label, net.classes).to(y) * want.positive[..., None]
        state = torch.where(want.asked & used[:, None], want.positive.long(), -1)
        cost = (said - y).square().sum(-1)
        chosen = self.mine(state, cost.detach())
        count = normaliser(chosen.sum().to(cost))
        assert raw.codes is not None
        box = raw.codes.square().sum(-1) * 0
        if t.boxes.shape[1]:
            goal = self.coder.encode(raw.references(), bx.take(on.boxes, want.owner))
            box = torch.where(chosen & (state == 1), (raw.codes - goal).square().sum(-1), 0.0)
        losses = {"cls": torch.where(chosen, cost, 0.0).sum() / count, "box": self.box_weight * box.sum() / count}
        if not self.points:
            return losses
        spots = self.spots(on, raw)
        off = (raw.logits[..., net.classes : -net.classes] - spots.float()).square()
        at = self.mine(torch.where((state >= 0)[..., None], spots.long(), -1), off.detach())
        refined = (raw.logits[..., -net.classes :] - y).square().sum(-1)
        losses["point"] = self.point_weight * torch.where(at, off, 0.0).sum() / normaliser(at.sum().to(off))
        return losses | {"refine": torch.where(chosen, refined, 0.0).sum() / count}

    def onto(self, t: Targets, sizes: Float[Tensor, "B 2"],
             windows: Float[Tensor, "B P 4"]) -> tuple[Targets, Float[Tensor, "M 4"]]:
        """(the objects of every patch, the picture's edges), in pixels of the patches; M = B P."""
        first = windows[:, :, None, :2].repeat(1, 1, 1, 2)
        scale = self.side / (windows[..., 2:3] - windows[..., :1])[:, :, None]
        edges = torch.cat([torch.zeros_like(sizes), sizes.flip(-1)], 1)[:, None, None]
        p = windows.shape[1]
        each = lambda v: v[:, None].expand(-1, p, *v.shape[1:]).flatten(0, 1)  # noqa: E731
        points = None
        if self.points and t.keypoints is not None:
            at = (t.keypoints[:, None, ..., :2] - first[..., None, :2]) * scale[..., None]
            points = torch.cat([at, t.keypoints[:, None, ..., 2:].expand(-1, p, -1, -1, -1)], -1).flatten(0, 1)
        on = Targets(((t.boxes[:, None] - first) * scale).flatten(0, 1), each(t.labels),
                     None if t.crowd is None else each(t.crowd), keypoints=points)
        return on, ((edges - first) * scale).flatten(0, 1)[:, 0]

    def spots(self, t: Targets, raw: WindowsRaw) -> Bool[Tensor, "M A K"]:
        """The cells within `spot` cells of a landmark of an object whose size is asked for."""
        assert t.keypoints is not None
        middle, standard = bx.centre_size(raw.windows)
        ok = self.shown(t, standard[0, 0])
        reach = self.spot * (middle[:, 0].max() - middle[:, 0].min()) / max(raw.passes[0][1] - 1, 1)
        away = (middle[:, None, None] - t.keypoints[:, None, ..., :2]).square().sum(-1)  # M A N K
        seen = (t.keypoints[..., 2] > 0) & ok[..., None]
        found: Tensor = ((away <= reach**2) & seen[:, None]).any(2)
        return found

    def predict(self, net: Looks, raw: WindowsRaw, sizes: Tensor | None = None) -> Detections:
        """The best cells of all looks, decoded, then NMS within a class."""
        assert raw.codes is not None
        said = raw.logits[..., -net.classes :].clamp(0, 1) * raw.inside(sizes)[..., None]
        value, pair = said.flatten(1).topk(min(self.pre, said[0].numel()), dim=1)
        at, label = pair // net.classes, pair % net.classes
        boxes = self.coder.decode(bx.take(raw.references(), at), bx.take(raw.codes, at))
        d = Detections(bx.clip(boxes, raw.sizes(sizes)), value, torch.where(value > self.score, label, -1))
        return d.take(nms(d.boxes, d.scores, d.labels, self.nms, self.keep))
