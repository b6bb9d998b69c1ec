"""One small network at every place of the picture, at several sizes of it: what OverFeat, DeepMask and weak
localisation share.

A window is the square of `window` pixels that one answer of the head speaks of. The picture is taken at each of
`scales` of its own size, so windows of one size on those pictures are windows of many sizes on the first.

Axes: B images, A windows of all passes, K logits, E numbers of a code, C classes.
"""
from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Generic

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from typing_extensions import TypeVar

from ..core.part import In, Part, part
from ..core.types import Batch, Detections, Losses
from ..parts.backbones.tiny import TinyResNet
from ..parts.maps.upsample import Grid
from ..parts.preprocess import Preprocess
from ..parts.trunk import Trunk
from ..parts.windows.heads import ClassBoxHead, WindowHead
from ..parts.windows.windows import Rule, WindowsRaw, mirror_boxes

RuleT = TypeVar("RuleT", bound=Rule)


@dataclass(frozen=True)
class Windows(Generic[RuleT]):
    """The spec of a network on windows."""

    rule: RuleT
    backbone: Part[Trunk] = part(TinyResNet, levels=(1,))
    head: Part[WindowHead] = part(ClassBoxHead)
    window: int = 221  # pixels a side of what one answer speaks of
    scales: tuple[float, ...] = (1.0,)  # sizes of the picture that are looked at, as shares of its own
    mirror: bool = False  # each of them also mirrored, when predicting
    border: int = 0  # pixels of mean colour laid around each of them
    margin: int = 0  # pixels around it that the backbone sees and the head does not, in whole cells of its map
    preprocess: Preprocess = Preprocess()

    @property
    def needs(self) -> frozenset[str]:
        """The kinds of target that the rule can use besides those of the task."""
        return frozenset(getattr(self.rule, "needs", ()))

    def build(self, classes: int) -> WindowsModel:
        return WindowsModel(self, classes)


class WindowsModel(nn.Module):
    """`model(images)` looks at every window of every scale; `model.loss(batch)`, `model.predict(images, sizes)`."""

    def __init__(self, spec: Windows[Any], classes: int) -> None:
        super().__init__()
        self.spec, self.classes = spec, classes
        self.rule: Rule = spec.rule
        self.backbone = spec.backbone.build(In((3,), (1,), classes))
        out = self.backbone.out
        self.head = spec.head.build(replace(out, classes=classes, logits=spec.rule.logits(classes)))
        self.grid = Grid.of(out, self.head.level)

    def train(self, mode: bool = True) -> WindowsModel:
        """As ever, but a trunk none of whose weights learn (a phase of the recipe) keeps its statistics too."""
        super().train(mode)
        if not any(p.requires_grad for p in self.backbone.parameters()):
            self.backbone.eval()
        return self

    def forward(self, images: Float[Tensor, "B 3 H W"]) -> WindowsRaw:
        return self.look(images, self.spec.scales, self.spec.mirror)

    def look(
        self, images: Float[Tensor, "B 3 H W"], scales: tuple[float, ...] = (1.0,), mirror: bool = False,
        border: int | None = None
    ) -> WindowsRaw:
        """The head's word on every window of the picture at each of `scales`;
        with `mirror`, of its mirror image besides.

        `border` replaces the spec's.
        """
        border = self.spec.border if border is None else border
        x = self.spec.preprocess(images)
        logits, codes, places, mirrors, passes = [], [], [], [], []
        for scale in scales:
            view = scaled(x, scale)
            for flip in (False, True)[: 1 + mirror]:
                said, code = self.windows(view.flip(-1) if flip else view, border)
                shape = (said.shape[-2], said.shape[-1])
                boxes = self.lay(shape, (x.shape[-2] / view.shape[-2], x.shape[-1] / view.shape[-1]),
                                 border, said.device)
                places.append(mirror_boxes(boxes, x.shape[-1]) if flip else boxes)
                mirrors.append(flip)
                logits.append(said.float().flatten(2).mT)
                codes += [] if code is None else [code.float().flatten(2).mT]
                passes.append(shape)
        every = torch.cat(codes, 1) if codes else None
        return WindowsRaw(torch.cat(logits, 1), every, torch.cat(places), tuple(passes), tuple(mirrors),
                          (x.shape[-2], x.shape[-1]))

    def windows(self, x: Float[Tensor, "B 3 H W"], b: int) -> tuple[Tensor, Tensor | None]:
        """The head's maps over one picture with a border of `b` pixels, made large enough for one window and its margin
        where it is smaller."""
        least = max(self.spec.window, int(self.head.cells * self.grid.stride)) + 2 * self.spec.margin
        h, w = x.shape[-2:]
        view = F.pad(x, (b, max(b, least - w - b), b, max(b, least - h - b)))
        levels = self.backbone(view)
        if self.spec.margin:
            levels = [F.pad(x, (-int(self.spec.margin // s),) * 4) for x, s in zip(levels, self.backbone.out.strides)]
        said: tuple[Tensor, Tensor | None] = self.head(levels)
        return said

    def lay(self, shape: tuple[int, int], ratio: tuple[float, float], border: int,
            device: torch.device) -> Float[Tensor, "A 4"]:
        """Windows of a map of `shape`, row by row, in pixels of the input, `ratio` (y, x) of which are one of the
        scaled picture."""
        first = self.grid.offset + self.grid.stride * (self.head.cells - 1) / 2 + self.spec.margin - border
        y, x = ((first + self.grid.stride * torch.arange(n, device=device, dtype=torch.float32)) * r
                for n, r in zip(shape, ratio))
        middle = torch.stack([x.expand(shape), y[:, None].expand(shape)], -1).reshape(-1, 2)
        half = torch.tensor([ratio[1], ratio[0]], device=device) * (self.spec.window / 2)
        return torch.cat([middle - half, middle + half], 1)

    def loss(self, batch: Batch) -> Losses:
        return self.rule.loss(self, batch)

    @torch.no_grad()
    def predict(self, images: Float[Tensor, "B 3 H W"], sizes: Float[Tensor, "B 2"] | None = None) -> Detections:
        return self.rule.predict(self, self(images), sizes)


def scaled(x: Float[Tensor, "B 3 H W"], scale: float) -> Float[Tensor, "B 3 H2 W2"]:
    """The picture at `scale` of its size, bilinear, antialiased where it shrinks."""
    if scale == 1:
        return x
    size = [max(round(side * scale), 1) for side in x.shape[-2:]]
    return F.interpolate(x, size=size, mode="bilinear", align_corners=False, antialias=scale < 1)


def ladder(scales: tuple[float, ...], ratio: float) -> tuple[float, ...]:
    """`scales` for a picture `ratio` times as large: the finest look stays the whole picture's share that it was, the
    coarsest keeps its pixels, so that windows which keep theirs hold what they held; as many between to an octave.
    """
    if ratio == 1:
        return scales
    finest, coarsest = max(scales), min(min(scales) / ratio, max(scales))
    octave = math.log2(max(scales) / min(scales)) / max(len(scales) - 1, 1) or 0.5  # from one look to the next
    steps = round(math.log2(finest / coarsest) / octave)
    found = tuple(finest * (coarsest / finest) ** (k / steps) for k in range(steps + 1)) if steps else (finest,)
    return found if scales[0] == finest else found[::-1]
