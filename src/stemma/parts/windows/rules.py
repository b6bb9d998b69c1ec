"""Rules of networks on windows: what each window learns, and what all of them say together.

Axes: B images, A windows of all passes, C classes, G boxes of a window (one a class, or one).
"""
from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from ...core.part import Count
from ...core.types import Batch, Detections, Losses, StemmaError
from ...ops import boxes as bx
from ...ops.constants import constant
from ...ops.masks import bounds, crop
from ...ops.nms import nms
from ...ops.scalars import normaliser
from ..dense.assign import Assign, ByIoU, Candidates
from ..dense.coders import Edges
from ..dense.losses import ClassLoss, Softmax
from ..dense.sample import Mined, Sampler
from ..points import labels_of, point_detections
from .map_boxes import enclose
from .merge import GreedyMerge
from .patches import Canonical, cut
from .windows import Looks, WindowsRaw


@dataclass(frozen=True)
class ClassBoxRule:
    """OverFeat: losses "classify" of windows on objects (sec. 3), "box" (sec. 4) and "detect" with background (sec. 5),
    for a phase each.

    `top` classes of each size take part in merging (sec. 4.3, a); `candidates` pairs of window and class at most,
    above `score`.
    """

    assign: Assign = ByIoU(0.5, 0.5)
    sample: Sampler = Mined()
    cls: ClassLoss = Softmax()
    coder: Edges = Edges()
    post: GreedyMerge = GreedyMerge()
    top: Count = 5
    candidates: Count = 200
    score: float = 0.05

    def logits(self, classes: int) -> int:
        return classes + self.cls.extra

    def loss(self, net: Looks, batch: Batch) -> Losses:
        raw, t, c = net.look(batch.images, net.spec.scales), batch.targets, net.classes
        with torch.no_grad():
            state, index = self.assign(Candidates(raw.references(), None, None, raw.sizes(batch.sizes)), t)
            pos = (state == 1) & raw.inside(batch.sizes)
            state = torch.where(raw.inside(batch.sizes), state, -1)
            label = (torch.where(pos, t.labels.clamp(0, c - 1).gather(1, index), c) if t.boxes.shape[1]
                     else torch.full_like(index, c))
        cls = self.cls(raw.logits, label)
        used = self.sample(state, cls.detach())
        box = raw.logits.sum(-1) * 0
        if raw.codes is not None:
            code = self.of_class(raw.codes.unflatten(-1, (-1, 4)), label.clamp(max=c - 1))
            want = self.coder.encode(raw.references(), bx.take(t.boxes, index)) if t.boxes.shape[1] else code.detach()
            box = (code - want).square().sum(-1)
        some, all_used = normaliser(pos.sum().to(cls)), normaliser(used.sum().to(cls))
        return {
            "classify": torch.where(pos, cls, 0.0).sum() / some, "box": torch.where(pos, box, 0.0).sum() / some,
            "detect": torch.where(used, cls, 0.0).sum() / all_used,
        }

    @staticmethod
    def of_class(codes: Float[Tensor, "B A G 4"], label: Tensor) -> Float[Tensor, "B A 4"]:
        """The four numbers of a window's class; of all classes where they share them."""
        at = label if codes.shape[2] > 1 else torch.zeros_like(label)
        return codes.gather(2, at[..., None, None].expand(-1, -1, 1, 4))[:, :, 0]

    def scores(self, raw: WindowsRaw, sizes: Tensor | None = None) -> Float[Tensor, "B A C"]:
        """Probabilities of the classes; 0 for windows whose middle is not in the picture."""
        return self.cls.scores(raw.logits) * raw.inside(sizes)[..., None]

    def classify(self, raw: WindowsRaw, sizes: Tensor | None = None) -> Float[Tensor, "B C"]:
        """The whole picture's classes (sec. 3.3): the best window of each size and mirror image,
        averaged over these."""
        return torch.stack([s.amax(1) for s in raw.split(self.scores(raw, sizes))]).mean(0)

    def predict(self, net: Looks, raw: WindowsRaw, sizes: Tensor | None = None) -> Detections:
        """Sec. 4.3: boxes of the best classes of each size, from every window of it, merged."""
        scores = self.scores(raw, sizes)
        kept = []
        for s in raw.split(scores):
            best = s.amax(1)
            least = best.topk(min(self.top, best.shape[1]), dim=1).values[:, -1:]
            kept.append(s * (best >= least)[:, None])
        value, pair = torch.cat(kept, 1).flatten(1).topk(min(self.candidates, scores[0].numel()), dim=1)
        at, label = pair // scores.shape[2], pair % scores.shape[2]
        boxes = raw.references()
        if raw.codes is not None:
            code = self.of_class(bx.take(raw.codes, at).unflatten(-1, (-1, 4)), label)
            code = torch.where(raw.mirrored[at][..., None], self.coder.mirrored(code), code)
            boxes = self.coder.decode(bx.take(boxes, at), code)
        else:
            boxes = bx.take(boxes, at)
        return self.post(Detections(bx.clip(boxes, raw.sizes(sizes)), value,
                                    torch.where(value > self.score, label, -1)))


@dataclass(frozen=True)
class WindowLabels(ClassBoxRule):
    """OverFeat sec. 3, for data that has image labels alone: every window learns the picture's classes; no background,
    no boxes, a point a class."""

    def logits(self, classes: int) -> int:
        return classes

    def loss(self, net: Looks, batch: Batch) -> Losses:
        raw, wanted = net.look(batch.images), labels_of(batch.targets, net.classes)
        inside = raw.inside(batch.sizes).float()
        wanted = (wanted / wanted.sum(1, keepdim=True).clamp(min=1))[:, None].expand_as(raw.logits)
        # cross entropy, for one label; 0 at best for several
        cost = F.kl_div(raw.logits.log_softmax(-1), wanted, reduction="none").sum(-1)
        return {"classify": ((cost * inside).sum(1) / inside.sum(1).clamp(min=1)).mean()}

    def scores(self, raw: WindowsRaw, sizes: Tensor | None = None) -> Float[Tensor, "B A C"]:
        return raw.logits.softmax(-1) * raw.inside(sizes)[..., None]

    def predict(self, net: Looks, raw: WindowsRaw, sizes: Tensor | None = None) -> Detections:
        where = bx.centre_size(raw.windows)[0][self.scores(raw, sizes).argmax(1)]
        return point_detections(self.classify(raw, sizes), where, raw.sizes(sizes))


@dataclass(frozen=True)
class MaskRule:
    """DeepMask eq. 1, on windows cut from the pictures; at test the `keep` best windows of all sizes, with the masks'
    `limit` as in sec. 4.

    target: the masks that are learned; of amodal ones the windows lie around the whole object too.
    truth: side of the masks that are compared, to which the net's are upsampled. weight: lambda. alternate: with this
    probability a step is on scores alone, else on masks alone, as in the released code; 0 takes both, as in eq. 1. nms:
    IoU above which a box gives way; 0 keeps all.
    """

    sample: Canonical = Canonical()
    truth: int = 112
    weight: float = 1 / 32
    alternate: float = 0.0
    limit: float = 0.2
    keep: Count = 1000
    nms: float = 0.0
    side: int = 28
    target: Literal["masks", "amodal"] = "masks"

    @property
    def needs(self) -> frozenset[str]:
        return frozenset({self.target})

    def logits(self, classes: int) -> int:
        return 1

    def loss(self, net: Looks, batch: Batch) -> Losses:
        """Sum over windows of (1 + y) / (2 w h) sum_ij log(1 + exp(-m_ij f_ij)) + lambda log(1 + exp(-y s)),
        divided by their number."""
        t, spec = batch.targets, net.spec
        masks = t.masks if self.target == "masks" else t.amodal
        if masks is None:
            what = "the masks" if self.target == "masks" else "the whole (amodal) masks"
            raise StemmaError(f"DeepMask learns from {what} of objects and the data have none: use data with masks, "
                              "or a system that learns from boxes")
        if self.target == "amodal":
            t = replace(t, boxes=bounds(masks))
        positive, owner, there = self.sample.positive(t)
        negative, free = self.sample.negative(t, batch.sizes,
                                              (spec.window / max(spec.scales), spec.window / min(spec.scales)))
        windows = torch.cat([positive, negative], 1)
        mean = constant(spec.preprocess.mean, batch.images)
        raw = net.look(cut(batch.images, windows, spec.window, mean, spec.margin), border=0)
        score, codes = raw.logits[:, 0, 0].view(windows.shape[:2]), raw.codes
        assert codes is not None
        y = torch.cat([torch.ones_like(there), torch.zeros_like(free)], 1).to(score)
        used = torch.cat([there, free], 1).to(score)
        f = net.head.masks(codes[:, 0].view(*windows.shape[:2], -1)[:, : positive.shape[1]]).float()
        f = F.interpolate(f, size=(self.truth, self.truth), mode="bilinear", align_corners=False)
        m = (crop(masks, positive, owner, self.truth) >= 0.5).to(f) if masks.shape[1] else torch.zeros_like(f)
        count = normaliser(used.sum())
        mask = (F.softplus((1 - 2 * m) * f).mean((2, 3)) * there).sum() / count
        says = self.weight * (F.softplus((1 - 2 * y) * score) * used).sum() / count
        if self.alternate:
            coin = (torch.rand_like(count) < self.alternate).to(mask)
            mask, says = mask * (1 - coin), says * coin
        return {"mask": mask, "score": says}

    def predict(self, net: Looks, raw: WindowsRaw, sizes: Tensor | None = None) -> Detections:
        """Windows by score (sec. 3.3); a mask is what its window says with `limit` or more,
        its box what encloses that. Label 0."""
        assert raw.codes is not None
        score = raw.logits[..., 0].sigmoid() * raw.inside(sizes)
        score, at = score.topk(min(self.keep, score.shape[1]), dim=1)
        maps = net.head.masks(bx.take(raw.codes, at)).float()
        limit = torch.logit(maps.new_tensor(self.limit))
        boxes, masks, found = enclose(maps, bx.take(raw.references(), at), limit, raw.sizes(sizes), self.side)
        d = Detections(boxes, score, torch.where(found & (score > 0), 0, -1), masks)
        return d.take(nms(d.boxes, d.scores, d.labels, self.nms, self.keep)) if self.nms else d
