"""GHM: RetinaNet, with each example weighed by how rare the size of its gradient is.  arXiv 1811.05181"""
from __future__ import annotations

from dataclasses import replace
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from ...core.paper import Claim, Fact, Paper, Parent
from ...core.part import In, part
from ...core.recipe import Recipe
from ...ops.scalars import across_ranks
from ...skeletons.dense import Dense, DenseRule
from . import retinanet


class Density(nn.Module):
    """Sec. 3.3: gradient density on unit regions. [0, 1] is cut into `bins`,
    and an example's density is the count of its bin.

    `momentum` keeps a moving average of the counts (eq. 12), from zero as in the authors' code;
    0 takes those of the batch alone.
    `regions`: the weights N / (count x M) are divided by M = the bins that hold an example ("occupied", the code:
    without momentum they sum to N) or by all bins ("all", the density of eq. 11 as written). Counts are of the whole
    batch, over all processes. `strength`, not in the paper: the power to which weights are raised. 1 harmonizes as
    published, 0 weighs all examples alike.
    """

    counts: Tensor

    def __init__(self, inp: In, bins: int, momentum: float, regions: Literal["occupied", "all"] = "occupied",
                 strength: float = 1.0) -> None:
        super().__init__()
        self.bins, self.momentum, self.regions, self.strength = bins, momentum, regions, strength
        self.register_buffer("counts", torch.zeros(bins))

    @torch.no_grad()
    def weigh(self, g: Float[Tensor, "*A"], used: Bool[Tensor, "*A"]) -> tuple[Float[Tensor, "*A"], Float[Tensor, ""]]:
        """(beta of every example, 0 where it is not used; N). Remembers the counts in training."""
        at = torch.where(used, (g * self.bins).int().clamp(0, self.bins - 1), self.bins)
        found = across_ranks(torch.stack([(at == i).sum() for i in range(self.bins)]).float())
        total, there = found.sum().clamp(min=1), found > 0
        density = found
        if self.momentum:
            density = torch.where(there, self.momentum * self.counts + (1 - self.momentum) * found, self.counts)
            if self.training:
                self.counts.copy_(density)
        m = there.sum().clamp(min=1) if self.regions == "occupied" else self.bins
        beta = torch.where(there, (total / (density * m).clamp(min=1e-9)) ** self.strength, 0.0)
        return F.pad(beta, (0, 1)).index_select(0, at.flatten()).view_as(g), total


class GHMC(Density):
    """Eq. 9: cross entropy of every (anchor, class), each weighed by beta over g = |sigmoid(x) - y| (eq. 4),
    over their number N."""

    def __init__(self, inp: In, bins: int = 30, momentum: float = 0.75,
                 regions: Literal["occupied", "all"] = "occupied", strength: float = 1.0) -> None:
        super().__init__(inp, bins, momentum, regions, strength)

    @property
    def extra(self) -> int:
        return 0

    def cost(self, logits: Tensor, labels: Int[Tensor, "*A"]) -> tuple[Tensor, Tensor]:
        """(cross entropy, size of its gradient) of every (anchor, class)."""
        y = labels[..., None] == torch.arange(logits.shape[-1], device=logits.device)
        return F.softplus(logits) - torch.where(y, logits, 0.0), (logits.detach().sigmoid() - y.float()).abs()

    def over(self, logits: Float[Tensor, "*A K"], labels: Int[Tensor, "*A"],
             used: Bool[Tensor, "*A"]) -> Float[Tensor, ""]:
        cost, g = self.cost(logits, labels)
        beta, n = self.weigh(g, used[..., None].expand_as(g))
        return (beta * cost).sum() / n

    def forward(self, logits: Tensor, labels: Tensor) -> Float[Tensor, "*A"]:
        """The plain cross entropy, summed over the classes."""
        return self.cost(logits, labels)[0].sum(-1)

    def scores(self, logits: Tensor) -> Tensor:
        return logits.sigmoid()


class GHMR(Density):
    """Eq. 15: authentic smooth L1 sqrt(d^2 + mu^2) - mu of each code (eq. 13),
    weighed over g = |d| / sqrt(d^2 + mu^2) (eq. 14)."""

    def __init__(self, inp: In, bins: int = 10, momentum: float = 0.7, mu: float = 0.02,
                 regions: Literal["occupied", "all"] = "occupied") -> None:
        super().__init__(inp, bins, momentum, regions)
        self.mu = mu

    @property
    def decoded(self) -> bool:
        return False

    def root(self, pred: Tensor, want: Tensor) -> Tensor:
        return ((pred - want).square() + self.mu**2).sqrt()

    def over(self, pred: Float[Tensor, "*A 4"], want: Float[Tensor, "*A 4"],
             used: Bool[Tensor, "*A"]) -> Float[Tensor, ""]:
        root = self.root(pred, want)
        beta, n = self.weigh((pred - want).detach().abs() / root.detach(), used[..., None].expand_as(root))
        return (beta * (root - self.mu)).sum() / n

    def forward(self, pred: Tensor, want: Tensor) -> Float[Tensor, "*A"]:
        return (self.root(pred, want) - self.mu).sum(-1)


def spec(preset: str = "paper") -> Dense[DenseRule]:
    """RetinaNet with GHM-C and GHM-R; "c": with GHM-C alone; "small"."""
    p, cls, box, weight = retinanet.spec("small" if preset == "small" else "paper"), part(GHMC), part(GHMR), 10.0
    # not in the paper: fewer bins for fewer examples, and a parabola as wide as the errors of a minute's training are
    if preset == "small":
        # roots: whole weights claim every class at every thing; box to match
        cls, box, weight = part(GHMC, bins=10, strength=0.5), part(GHMR, mu=0.2), 0.5
    return replace(p, rule=replace(p.rule, cls=cls) if preset == "c" else replace(p.rule, cls=cls, box=box,
                                                                                  box_weight=weight))


def recipe(preset: str = "paper") -> Recipe:
    """RetinaNet's for 14 epochs, a tenth of the rate from the ninth and from the twelfth; gradients are cut at a norm
    of 35, as in the authors' code. "small" differs from RetinaNet's small by that alone."""
    if preset == "small":
        return replace(retinanet.recipe("small"), clip=35.0)
    return replace(retinanet.recipe(), length="14epochs", milestones=(8 / 14, 11 / 14), clip=35.0)


PAPER = Paper(
    title="Gradient Harmonized Single-stage Detector",
    authors="Li, Liu, Wang",
    year=2018,
    arxiv="1811.05181",
    task="detection",
    spec=spec,
    recipe=recipe,
    summary="Sorted by the size of their gradient, a dense detector's examples pile up at both ends: countless easy "
    "backgrounds that hardly pull, and a crowd of outliers that pull hard and may be mislabelled. Dividing each "
    "example by how many others pull as hard makes every size of gradient count the same, "
    "for classes and for boxes. The count is a histogram that is carried along from step to step, so that no threshold "
    "or exponent is left to tune.",
    parents=(
        Parent(
            retinanet.PAPER,
            (
                ("rule.cls", "cross entropy over gradient density (GHM-C) in the place of the focal loss"),
                ("rule.box", "authentic smooth L1 over gradient density (GHM-R) in the place of smooth L1"),
                ("rule.box_weight", "ten times the box loss, which is now a mean over all positive codes"),
            ),
        ),
    ),
    claims=(
        Claim("AP, COCO val2017, R50", 0.370, "MMDetection's GHM configuration, 1x"),
        Claim("AP, COCO test-dev, X101", 0.416, "table 6"),
        Claim("AP, COCO minival, R50, GHM-C alone", 0.358, "authors' code, README"),
        Claim("the same, RetinaNet", 0.356, "authors' code, README"),
    ),
    facts=(Fact("parameters", 37_968_692, 80, (("backbone.norm", "batch"),),
                source="RetinaNet's: the loss has a memory and no weights"),),
    notes=(
        "The moving average starts at zero, as in the authors' code, so the first steps weigh 1 / (1 - momentum) times "
        "as much; the paper does not say.",
        "The paper's density divides by all unit regions; the authors' code, and rule.cls.regions=occupied here, by "
        "those that hold an example.",
        "In evaluation the loss is weighed by the remembered counts moved once by the batch, and remembers nothing. "
        "Fig. 2: `stemma.studies.gradients`.",
        "N counts (anchor, class) pairs and codes that are asked for, over the whole batch (the code: a GPU's); "
        "positives are not counted for the class loss.",
        "The authors' code ends after 12 of the paper's 14 epochs, and lets the rate fall at the same two.",
        "The preset small takes the square root of the class weights and half the box loss, not GHM as published: "
        "rule.cls.strength=1, rule.box_weight=10.",
    ),
    presets=("paper", "small", "c"),
)
