"""GA-RPN: anchors that the net makes itself; it says where objects may be and of what shape, and fits its features to
that shape.  arXiv 1901.03278"""
from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ...core.paper import Claim, Fact, Paper, Parent, Size
from ...core.part import part
from ...core.recipe import Phase, Recipe
from ...core.types import Detections, Losses, Targets
from ...ops import boxes as bx
from ...ops.scalars import normaliser
from ...parts.dense.anchors import Pyramid
from ...parts.dense.assign import ByIoU, Candidates
from ...parts.dense.coders import Delta
from ...parts.dense.guided import ByBestShape, GuidedHead, GuidedTowerHead, bounded, locations
from ...parts.dense.losses import ClassLoss, Focal, SmoothL1
from ...parts.dense.post import PerClassNMS
from ...parts.dense.sample import Everything, Random, Sampler, draw
from ...parts.dense.select import Proposals
from ...skeletons.dense import Dense, DenseRule
from . import fpn, retinanet


@dataclass(frozen=True)
class Guided(DenseRule):
    """Sec. 3: `anchors` are squares, one a cell; `shapes` says what codes of width and height mean. Everything else of
    the rule is about the anchors made of both, which no loss moves.

    `locate` pays for places, an object's middle `centre` against what lies outside its `ignore`, which weighs `spare`;
    bounded IoU (bent at `bend`) for shapes, of cells that `assign_shape` and `sample_shape` choose, divided by these or
    by the positive ones, as the rule is. Answers leave out cells less sure of their place than `least`, training none.
    """

    shapes: Delta = Delta((0.07, 0.07, 0.14, 0.14))
    locate: ClassLoss = Focal()
    centre: float = 0.2
    ignore: float = 0.5
    spare: float = 0.1
    assign_shape: ByBestShape = ByBestShape(0.7, 0.3)
    sample_shape: Sampler = Random(256, 0.5)
    bend: float = 0.2
    loc_weight: float = 1.0
    shape_weight: float = 0.1
    least: float = 0.01

    def made(self, raw: Any) -> Float[Tensor, "B A 4"]:
        """The squares with the widths and heights that the net says."""
        still = torch.zeros_like(raw.shape)
        return self.shapes.decode(raw.references(), torch.cat([still, raw.shape], -1))

    def loss(self, raw: Any, t: Targets, classes: int, sizes: Tensor | None = None, prefix: str = "") -> Losses:
        """`loc` and `shape` beside the parent's (eq. 7)."""
        anchors = self.anchors
        assert isinstance(anchors, Pyramid)
        with torch.no_grad():
            place = locations(raw, t, anchors.scales[0], self.centre, self.ignore, anchors.offset)
            state, index = self.assign_shape(Candidates(raw.references(), raw.stride), t)
            used = draw(self.sample_shape, state, torch.zeros_like(raw.object), raw.references(), index)
        each = self.locate(raw.object[..., None], 1 - place.clamp(min=0))
        weight = torch.where(place == 1, 1.0, torch.where(place == 0, self.spare, 0.0))
        loc = (each * weight).sum() / normaliser(torch.full((), each.numel() / 200, device=each.device))
        shape = raw.shape.sum() * 0
        if t.boxes.shape[1]:
            want = bx.centre_size(bx.take(t.boxes, index))[1]
            off, own = bounded(bx.centre_size(self.made(raw))[1], want, self.bend), used & (state == 1)
            count = used if self.divide == "sampled" else own
            shape = torch.where(own, off, 0.0).sum() / normaliser(count.sum().float())
        said = replace(raw, anchors=self.made(raw).detach(), shape=None)
        return super().loss(said, t, classes, sizes, prefix) | {
            f"{prefix}loc": self.loc_weight * loc, f"{prefix}shape": self.shape_weight * shape}

    def asked(self, object: Float[Tensor, "*A"]) -> Bool[Tensor, "*A"]:
        """Where a place is sure enough."""
        return object.float().sigmoid() >= self.least

    def propose(self, raw: Any, sizes: Tensor | None = None, training: bool = False) -> Detections:
        out = ~self.asked(raw.object)[..., None]
        raw = raw if training else replace(raw, logits=raw.logits.masked_fill(out, -torch.inf))
        return super().propose(raw, sizes, training)

    def said(self, raw: Any, at: Tensor) -> Float[Tensor, "B M 4"]:
        few = replace(raw, anchors=bx.take(raw.references(), at), shape=bx.take(raw.shape, at))
        return self.coder.decode(self.made(few), bx.take(raw.codes, at))

    def predict(self, raw: Any, sizes: Tensor | None = None) -> Detections:
        out = ~self.asked(raw.object)[..., None]
        return super().predict(replace(raw, logits=raw.logits.masked_fill(out, -1e4)), sizes)


def guide(rule: DenseRule, scale: float, offset: float, **change: Any) -> Guided:
    """The parent's rule on anchors that the net makes from squares of `scale` cells."""
    same = {k: getattr(rule, k) for k in rule.__dataclass_fields__}
    return Guided(**same | {"anchors": Pyramid((scale,), (1.0,), offset)} | change)


def spec(preset: str = "paper") -> Any:
    """FPN whose proposals are guided; "retinanet": RetinaNet so; "plug-in": the first, for a detector that was trained
    with others; "small", "retinanet-small" and "plug-in-small": ours, for two cores."""
    small = preset.endswith("small")
    size = "small" if small else "paper"
    if preset.startswith("retinanet"):
        r = retinanet.spec(size)
        rule = guide(r.rule, 2.1 if small else 4.0, 0.5 if small else 0.0, shapes=Delta(), box=SmoothL1(0.04),
                     assign_shape=ByBestShape(0.5, 0.4, least=0.4), sample_shape=Everything(),
                     assign=r.rule.assign if small else ByIoU(0.5, 0.5, rescue=True))
        return replace(r, rule=rule, head=part(GuidedTowerHead, depth=1, norm="batch") if small else
                       part(GuidedTowerHead))
    p, bent = fpn.spec(size), SmoothL1(1.0)
    assert p.rpn is not None
    coder, halved = Delta((0.07, 0.07, 0.11, 0.11)), Delta((0.05, 0.05, 0.1, 0.1))
    if small:
        return replace(p, rpn=guide(p.rpn, 4.0, 0.5, coder=coder), rpn_head=part(GuidedHead))
    rpn = guide(p.rpn, 8.0, 0.0, coder=coder, box=bent, assign=ByIoU(0.7, 0.3, rescue=True, least=0.3),
                proposals=Proposals(1000, 300, 2000, 300))
    stage = replace(p.stages[0], assign=ByIoU(0.6, 0.6), sample=Random(256, 0.25), count=256, coder=halved, box=bent)
    return replace(p, rpn=rpn, rpn_head=part(GuidedHead), stages=(stage,), post=(PerClassNMS(0.5, 1e-3, 100),))


def recipe(preset: str = "paper") -> Recipe:
    """Its parent's, after a rise from a third over 500 steps, with gradients of a norm of 35 at most; "plug-in": three
    epochs of COCO in which backbone and pyramid sleep."""
    size = "small" if preset.endswith("small") else "paper"
    r = retinanet.recipe(size) if preset.startswith("retinanet") else fpn.recipe(size)
    r = replace(r, clip=35.0, warmup=500 / 90_000, warmup_factor=1 / 3) if size == "paper" else r
    if preset.startswith("plug-in"):
        r = replace(r, phases=(Phase("proposals and regions", 1.0, r"^rpn_head|^heads"),))
    return replace(r, length="3epochs", warmup=500 / (3 * 118_287 / 16)) if preset == "plug-in" else r


def resized(spec: Any, recipe: Recipe, size: int) -> tuple[Any, Recipe]:
    """As FPN or RetinaNet, whichever it is."""
    parent: Paper = retinanet.PAPER if isinstance(spec, Dense) else fpn.PAPER
    return parent.at(spec, recipe, size)


PAPER = Paper(
    title="Region Proposal by Guided Anchoring",
    authors="Wang, Chen, Yang, Loy, Lin",
    year=2019,
    arxiv="1901.03278",
    task="detection",
    spec=spec,
    recipe=recipe,
    presets=("paper", "retinanet", "plug-in", "small", "retinanet-small", "plug-in-small"),
    summary="Nearly all anchors of a dense grid lie on nothing, and their shapes are somebody's guess. Here a map says "
    "where an object's middle may be, and another of what width and height, so that each cell has one anchor and most "
    "have none. As anchors then differ from cell to cell, a deformable convolution told of the shape fits the features "
    "to it. There are a tenth as many anchors, and proposals are better; any trained detector can take them in.",
    parents=(
        Parent(fpn.PAPER, (
            ("rpn", "an anchor a cell, its place and shape learned by losses of their own"),
            ("rpn_head", "maps of places and shapes, and features that are adapted to the shape"),
            ("stages", "regions answer for objects from an overlap of .6 on, 256 a picture, deltas half as wide"),
            ("post", "whatever scores a thousandth is kept"),
        )),
        Parent(retinanet.PAPER, (("", "'retinanet': its two towers have guided anchors"),)),
    ),
    claims=(
        Claim("COCO val2017 proposal AR@1000, R50", 0.684, "mmdetection, configs/guided_anchoring"),
        Claim("COCO val2017 box AP, Faster R-CNN R50", 0.396, "mmdetection, configs/guided_anchoring"),
        Claim("COCO val2017 box AP, RetinaNet R50", 0.369, "mmdetection, configs/guided_anchoring"),
    ),
    facts=(Fact("parameters of the proposal head", 1_182_104, 80, source="layer by layer; the plain one has 593,935"),),
    notes=(
        "Shapes weigh a tenth (rpn.shape_weight), as in the paper; mmdetection weighs them as places.",
        "Where objects overlap, the middle of one is positive though it lie in another's surroundings; in mmdetection "
        "the later object of the list decides. In a crowd no cell is asked for a place; there all are.",
        "The anchor's centre moves nothing in the loss of shapes, which is of widths and heights alone; mmdetection "
        "adds the centre's share, which no gradient sees.",
        "'plug-in' trains proposals and regions on the backbone and the pyramid of a trained detector, which sleep: "
        "stemma train ga-rpn --preset plug-in --start runs/fpn.",
    ),
    size=Size("as FPN's or RetinaNet's, whichever the preset guides", resized),
)
