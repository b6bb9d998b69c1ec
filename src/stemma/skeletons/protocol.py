"""A protocol as a value: which network is carried over to other data sets, how it looks at pictures, how what it
carries is measured, and which trainings it is held against.

It is built for data sets as a detector is for classes: a network, and for each set a linear classifier of its features.
"""
from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ..core.part import Count, In, Part
from ..core.types import Losses, StemmaError


@dataclass(frozen=True)
class Look:
    """How a picture reaches a network: its short side to `size` (bicubic), the middle cut out, then per colour less
    `mean`, over `std` (of 0..1). bgr: blue comes first."""

    size: int = 224
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)
    bgr: bool = False

    def __call__(self, pictures: Tensor) -> Float[Tensor, "B 3 H W"]:
        """uint8 (B, H, W, 3) RGB as the network reads it, channels first also in memory: a network may be too narrow
        for channels last (`running.devices.layout`)."""
        x = pictures.permute(0, 3, 1, 2).contiguous().float() / 255
        x = x.flip(1) if self.bgr else x
        mean, std = (torch.tensor(v, device=x.device).view(1, 3, 1, 1) for v in (self.mean, self.std))
        return (x - mean) / std


@dataclass(frozen=True)
class Source:
    """What a network without weights learns first: the set by its name ("drawn": what goes with the sets that it is
    then carried over to), at the recipe's batch and momentum. smoothing:
    of labels; dropout: before the classifier; scale: whether batch norm learns its scale, or keeps 1; auxiliary: weight
    of a second classifier on the mean of the last map that is larger than the final one. length: of the budget in
    steps; share: of one in time."""

    data: str = "drawn"
    lr: float = 0.1
    decay: float = 1e-4
    smoothing: float = 0.0
    dropout: float = 0.0
    scale: bool = True
    auxiliary: float = 0.0
    length: float = 4.0
    share: float = 0.6


@dataclass(frozen=True)
class Path:
    """Logistic regression on fixed features along a path of strengths of the L2 penalty on the mean loss, the strongest
    first, each begun where the ones before it point to. The best on validation is fitted anew on training and
    validation."""

    count: Count = 45
    weakest: float = 1e-6
    strongest: float = 1e5
    tolerance: float = 1e-6
    most: Count = 2000


@dataclass(frozen=True)
class Search:
    """A linear classifier of unit-length features by SGD, whose rate and weight decay are searched for by `trials` of a
    tree-structured Parzen estimator on a share `held` of each class; then once on all, and the same for so many
    pictures a class as `shots` say.

    schedule: "cog", the authors' cosine, which lags by an epoch; "cosine". inside: of few pictures a class some are
    held out; else, as the authors have it, those of the whole set are, which few labels would not give.
    """

    trials: Count = 30
    lrs: tuple[float, ...] = (1e-1, 1e2)
    decays: tuple[float, ...] = (1e-12, 1e-4)
    epochs: Count = 100
    batch: Count = 1024
    momentum: float = 0.9
    held: float = 0.2
    shots: tuple[Count, ...] = (1, 2, 4, 8, 16, 32, 64, 128)
    schedule: Literal["cog", "cosine"] = "cog"
    inside: bool = False


@dataclass(frozen=True)
class Grid:
    """Training of the whole network on a set, for each rate and each weight decay (divided by the rate, as it is
    coupled); the best on validation is trained anew on training and validation.

    begin: with the weights that it has, or random ones. lrs, decays: (from, to, count) in equal steps of the logarithm.
    bare: without decay too. length: of the budget in steps. area: least share of a picture that a random crop holds.
    sets: on so many of the sets, 0: all. share: of a budget in time. curve: the last training is measured on test at so
    many of its steps, each twice as late as the one before. stops: trainings are validated at the ends of so many equal
    parts of their length, and the last one stops where the best of all was (early stopping); 0: each goes to its end.
    """

    name: str
    begin: Literal["trained", "random"] = "trained"
    lrs: tuple[float, ...] = (1e-4, 1e-1, 7)
    decays: tuple[float, ...] = (1e-6, 1e-3, 7)
    bare: bool = True
    length: float = 1.0
    area: float = 0.08
    sets: int = 0
    share: float = 1.0
    curve: int = 0
    stops: int = 0

    def points(self) -> list[tuple[float, float]]:
        """(rate, decay before it is divided) of every training."""
        def row(v: tuple[float, ...]) -> list[float]:
            low, high, count = math.log10(v[0]), math.log10(v[1]), int(v[2])
            return [10 ** (low + (high - low) * i / max(count - 1, 1)) for i in range(count)]

        return [(lr, wd) for lr in row(self.lrs) for wd in [*row(self.decays), *([0.0] if self.bare else [])]]


@dataclass(frozen=True)
class Protocol:
    """A network and the ways in which it is measured on data sets.

    top1: the network's accuracy where it was trained, where that is known (0: not). measures: (name of a set, measure);
    others are told by "top-1", sets of several classes a picture by "map-11". sets: (name, classes, whether a picture
    may have several of them), from the data. rows: of each, how many numbers a row has where rows are features that
    were extracted before, of which no network is asked; 0: pictures.
    """

    network: Part[Any]
    look: Look
    probe: Path | Search
    grids: tuple[Grid, ...] = ()
    source: Source | None = None
    measures: tuple[tuple[str, str], ...] = ()
    top1: float = 0.0
    sets: tuple[tuple[str, int, bool], ...] = ()
    rows: tuple[int, ...] = ()

    def build(self, classes: int) -> Carried:
        return Carried(self, classes)

    def measure_of(self, name: str, many: bool) -> str:
        """How accuracy on a set is told."""
        return dict(self.measures).get(name.lower().replace("-", "").replace("_", ""), "map-11" if many else "top-1")


class Carried(nn.Module):
    """The network of a `Protocol` with a linear classifier a data set. `classes`: those of all sets together."""

    def __init__(self, spec: Protocol, classes: int) -> None:
        super().__init__()
        self.spec, self.classes = spec, classes
        self.network: Any = spec.network.build(In((3,), (1,)))
        rows = spec.sets or (("all", classes, False),)
        wide = spec.rows or (0,) * len(rows)
        self.heads = nn.ModuleList(nn.Linear(w or self.network.width, n)
                                   for (_, n, _), w in zip(rows, wide, strict=True))
        for h in self.heads:
            nn.init.zeros_(h.weight), nn.init.zeros_(h.bias)  # type: ignore[arg-type]

    def features(self, pictures: Tensor) -> Float[Tensor, "B D"]:
        """uint8 (B, H, W, 3) -> features."""
        return self.network.features(self.spec.look(pictures))  # type: ignore[no-any-return]

    def forward(self, pictures: Tensor) -> list[Tensor]:
        """uint8 (B, H, W, 3) -> logits (B, C) of each data set. Raises `StemmaError` where one has no pictures."""
        self._shown()
        x = self.brought(self.features(pictures))
        return [h(x) for h in self.heads]

    def _shown(self) -> None:
        if any(self.spec.rows):
            name = next(s[0] for s, w in zip(self.spec.sets, self.spec.rows) if w)
            raise StemmaError(f"'{name}' is a set of features that were extracted before, and no picture can be "
                              "asked about: carry a network over to pictures")

    def brought(self, features: Tensor) -> Tensor:
        """Features as the classifiers take them: of length 1 where they are found by a search."""
        return F.normalize(features, dim=1) if isinstance(self.spec.probe, Search) else features

    @torch.no_grad()
    def predict(self, pictures: Tensor) -> list[Tensor]:
        """Probabilities (B, C) for each data set; of sets of several classes a picture each class by itself. Raises
        `StemmaError` where one has no pictures."""
        self._shown()
        return self.answers(self.features(pictures))

    def answers(self, features: Float[Tensor, "B D"]) -> list[Tensor]:
        """The same for features."""
        many = [m for _, _, m in self.spec.sets] or [False]
        features = self.brought(features)
        return [z.sigmoid() if m else z.softmax(1) for m, z in zip(many, (h(features) for h in self.heads))]

    def loss(self, batch: tuple[Tensor, Tensor], at: int = 0) -> Losses:
        """Cross-entropy of (pictures, labels) of the set `at`."""
        return {"classes": cross_entropy(self.heads[at](self.brought(self.features(batch[0]))), batch[1])}


def cross_entropy(z: Float[Tensor, "B C"], y: Tensor, smoothing: float = 0.0) -> Tensor:
    """Mean over pictures; y: classes (B,), or yes and no (B, C), whose losses are added."""
    if y.ndim == 2:
        return F.binary_cross_entropy_with_logits(z, y.to(z), reduction="sum") / len(z)
    return F.cross_entropy(z, y, label_smoothing=smoothing)


def set_names(sets: Iterable[tuple[str, tuple[str, ...]]]) -> tuple[str, ...]:
    """Class names of several sets in one list: "waves / 45 degrees"."""
    return tuple(f"{name} / {c}" for name, classes in sets for c in classes)


__all__ = ["Carried", "Grid", "Look", "Path", "Protocol", "Search", "Source", "cross_entropy", "set_names"]
