"""Proposals by looking again: seeds that cover the picture are scored and refined, round after round, where it pays
(AttractioNet).

Axes: B images, N objects, S seeds, R regions, V vectors of M parts.
"""
from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ..core.part import Count, In, Part, part
from ..core.types import Batch, Detections, Losses, StemmaError, Targets
from ..ops import boxes as bx
from ..ops.nms import nms
from ..ops.scalars import normaliser
from ..parts.backbones.tiny import TinyResNet
from ..parts.dense.assign import Assign, ByIoU, Candidates
from ..parts.dense.sample import Random
from ..parts.preprocess import Preprocess
from ..parts.regions.in_out import InOut, InOutHead, ManyNMS, ObjectHead, Offsets, Seeds
from ..parts.regions.regions import compact, there
from ..parts.trunk import Trunk
from ..parts.windows.patches import evenly


@dataclass(frozen=True)
class Attend:
    """The spec.

    Training: of the seeds, of `about` boxes near the truth (moved and stretched by up to `jitter` of their size) and of
    what the net itself makes of both (`active`), `sample` are asked whether they hold an object, `assign` says which;
    those that overlap one by `move` are asked where it is, which weighs `place_weight`.
    Prediction: in each of `rounds` the `keep` best boxes that overlap no better one by `nms` are scored and refined; a
    refined box goes into the pool with the score of the box that it came from (algorithm 1). One that moved to an
    overlap of `settled` with itself is not refined again. The pool goes into `last`.
    """

    preprocess: Preprocess = Preprocess()
    backbone: Part[Trunk] = part(TinyResNet, levels=(1,))
    where: Part[InOutHead] = part(InOutHead)
    object: Part[ObjectHead] = part(ObjectHead)
    seeds: Seeds = Seeds()
    place: InOut | Offsets = InOut()
    assign: Assign = ByIoU(0.5, 0.5)
    sample: Random = Random(128, 0.5)
    move: float = 0.4
    place_weight: float = 20.0
    jitter: float = 0.3
    about: int = 64
    active: bool = True
    rounds: Count = 5
    keep: Count = 2000
    nms: float = 0.9
    settled: float = 0.9
    last: ManyNMS = ManyNMS()

    def build(self, classes: int) -> AttendModel:
        return AttendModel(self, classes)


@dataclass(frozen=True)
class AttendRaw:
    """The map, and the seeds with what is said of them. float32."""

    level: Float[Tensor, "B C H W"]
    seeds: Float[Tensor, "S 4"]
    logits: Float[Tensor, "B S 2"]
    image: tuple[int, int]


torch.export.register_dataclass(AttendRaw)


class AttendModel(nn.Module):
    """`model(images)`, `model.loss(batch)`, `model.predict(images, sizes)`: proposals, label 0."""

    def __init__(self, spec: Attend, classes: int) -> None:
        super().__init__()
        if spec.rounds < 1:
            raise StemmaError(f"rounds={spec.rounds}: boxes are scored and refined once at least")
        self.spec, self.classes = spec, classes
        self.backbone = spec.backbone.build(In((3,), (1,), classes))
        self.where: nn.Module = spec.where.build(self.backbone.out)
        self.object: nn.Module = spec.object.build(self.backbone.out)

    def forward(self, images: Float[Tensor, "B 3 H W"]) -> AttendRaw:
        """The first look: every seed's objectness."""
        xs = self.backbone(self.spec.preprocess(images))[-1:]
        size = (images.shape[-2], images.shape[-1])
        seeds = bx.clip(self.spec.seeds(size, images.float())[None], size)[0]
        return AttendRaw(xs[0], seeds, self.object(xs, seeds.expand(len(images), -1, -1)), size)

    def moved(self, xs: list[Tensor], boxes: Float[Tensor, "B R 4"], sizes: Tensor) -> Float[Tensor, "B R 4"]:
        """Where the objects of boxes are said to be; a box without area stays one."""
        search = self.spec.place.search(boxes)
        found = bx.clip(self.spec.place.decode(search, self.where(xs, search)), sizes)
        return torch.where((bx.area(boxes) > 0)[..., None], found, boxes)

    def candidates(self, xs: list[Tensor], t: Targets, raw_seeds: Tensor, sizes: Tensor) -> Float[Tensor, "B P 4"]:
        """What may be trained on: boxes about the truth, seeds, and what the net makes of them now."""
        spec = self.spec
        about = t.boxes.new_zeros(len(sizes), spec.about, 4)
        if t.boxes.shape[1]:
            c, s = bx.centre_size(bx.take(t.boxes, evenly(t.valid, about[..., 0])))
            noise = [2 * torch.rand_like(c, dtype=torch.float32) - 1 for _ in range(2)]
            about = bx.from_centre(c + noise[0] * spec.jitter * s, s * (1 + noise[1] * spec.jitter))
            about = bx.clip(about, sizes) * t.valid.any(1)[:, None, None]
        rank = torch.rand_like(raw_seeds[:, 0].expand(len(sizes), -1), dtype=torch.float32)
        few = rank.topk(min(2 * spec.sample.count, rank.shape[1]), dim=1).indices
        seeds = bx.clip(bx.take(raw_seeds.expand(len(sizes), -1, -1), few), sizes)
        first = torch.cat([about, seeds], 1)
        if not spec.active:
            return first
        with torch.no_grad():
            some = torch.cat([about, seeds[:, : spec.sample.count]], 1)
            return torch.cat([first, self.moved([x.detach() for x in xs], some, sizes)], 1)

    def loss(self, batch: Batch) -> Losses:
        """`object`: cross entropy; `place`: what its rule says of rows and columns of regions near an object."""
        t, spec, sizes = batch.targets, self.spec, batch.sizes
        xs = self.backbone(spec.preprocess(batch.images))[-1:]
        size = (batch.images.shape[-2], batch.images.shape[-1])
        boxes = self.candidates(xs, t, spec.seeds(size, batch.images.float()), sizes)
        with torch.no_grad():
            state, index = spec.assign(Candidates(boxes), t)
            state = torch.where(bx.area(boxes) > 0, state, -1)
            used = spec.sample(state, torch.zeros_like(boxes[..., 0]))
            at = compact(used & (state == 1), used & (state == 0), min(spec.sample.count, boxes.shape[1]))
            place = at.clamp(min=0)
            chosen, label = bx.take(boxes, place), state.gather(1, place)
            real = (at >= 0).to(chosen)
        said = self.object(xs, chosen)
        cls = F.cross_entropy(said.flatten(0, 1), label.clamp(min=0).flatten(), reduction="none").view_as(real)
        losses = {"object": (cls * real).sum() / normaliser(real.sum())}
        search = spec.place.search(chosen)
        logits = self.where(xs, search)
        if not t.boxes.shape[1]:
            return losses | {"place": logits.sum() * 0}
        truth = bx.take(t.boxes, index.gather(1, place))
        near = real * (bx.iou_each(chosen, truth) >= spec.move) * t.valid.gather(1, index.gather(1, place))
        cost = spec.place.cost(logits, search, truth)
        return losses | {"place": spec.place_weight * (cost * near).sum() / normaliser(near.sum())}

    @torch.no_grad()
    def predict(self, images: Float[Tensor, "B 3 H W"], sizes: Float[Tensor, "B 2"] | None = None) -> Detections:
        """Sec. 3.2: attend, refine, repeat; then suppression at many thresholds."""
        raw, spec = self(images), self.spec
        if sizes is None:
            sizes = images.new_tensor(raw.image).float().expand(len(images), 2)
        xs, pool = [raw.level], []
        boxes = bx.clip(raw.seeds.expand(len(images), -1, -1), sizes)
        boxes, scores = self.best(boxes, self.score(raw.logits, boxes))
        for k in range(spec.rounds):
            scores = self.score(self.object(xs, boxes), boxes) if k else scores
            new = self.moved(xs, boxes, sizes)
            pool.append((new, scores))
            boxes, _ = self.best(new, torch.where(bx.iou_each(boxes, new) >= spec.settled, 0.0, scores))
        found, said = spec.last(torch.cat([b for b, _ in pool], 1), torch.cat([s for _, s in pool], 1))
        room = min(spec.last.keeps[0], spec.rounds * min(spec.keep, len(raw.seeds))) - said.shape[1]
        found, said = F.pad(found, (0, 0, 0, room)), F.pad(said, (0, room))  # as many as a graph has
        return Detections(found * (said > 0)[..., None], said, torch.where(said > 0, 0, -1))

    def best(self, boxes: Float[Tensor, "B R 4"], scores: Float[Tensor, "B R"]) -> tuple[Tensor, Tensor]:
        """(those to be refined, best first; their scores); places left over have no area and score 0."""
        rank = torch.where(scores > 0, scores, -torch.inf)
        at = nms(boxes, rank, None, self.spec.nms, min(self.spec.keep, boxes.shape[1]))
        boxes = there(bx.take(boxes, at.clamp(min=0)) * (at >= 0)[..., None])
        return boxes, (scores.gather(1, at.clamp(min=0)) * (at >= 0))[:, : boxes.shape[1]]

    @staticmethod
    def score(logits: Float[Tensor, "B R 2"], boxes: Float[Tensor, "B R 4"]) -> Float[Tensor, "B R"]:
        """Probability of an object; 0 for boxes without area."""
        return logits.softmax(-1)[..., 1] * ((boxes[..., 2:] - boxes[..., :2]).amin(-1) > 1e-2)
