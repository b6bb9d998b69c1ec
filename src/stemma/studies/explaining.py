"""Can what a detector sees be explained away, in the place of NMS? Objects explain heat maps as a mixture explains
points (EM): what is explained by one asks for no other.

    python -m stemma.studies.explaining runs/grid-rcnn --data crowds --limit 40 --out runs/explaining

takes runs of grid-rcnn. Of each picture and class the heat maps of all regions, each where its map is half as sure as
at its best, are laid on the picture, the surest of each pixel: evidence of nine kinds of points. A mixture explains it,
background that is alike everywhere and objects with a normal cloud about each point of their box. Of the boxes found,
the one that adds most to the likelihood comes in, all weights and boxes are fitted again, and so on until none adds
--price nats. Beside it NMS on the same boxes, by overlap, and the model as published, whose NMS is on regions, before
their points are looked for. Scores are the network's in all, so that they differ by what is kept and where it lies.
"""
from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MethodType
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from ..core import interrupts, outputs
from ..core.types import Detections, StemmaError
from ..data.open import open_split, spread
from ..engine.running import checkpoint
from ..engine.running.devices import pick_device
from ..engine.running.progress import going
from ..metrics import coco
from ..metrics.miss import miss_rate
from ..ops import boxes as bx
from ..ops.nms import nms
from ..parts.regions.grid import GridBranch
from . import Asked, keep, natural, positive
from .regions import miscounted, seen

ALLOWED = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
PRICES = (5.0, 10.0, 20.0, 40.0, 80.0)
MEASURES = ("AP", "AP50", "AP75", "MR-2", "count error", "found")
NARROW, FIRST, WIDE = 0.02, 0.05, 0.15  # deviations of a cloud, in sides of the box
ROUNDS = 8  # of EM, after each object that comes in


@dataclass(frozen=True)
class Evidence:
    """Votes for points of objects: which of `side` x `side` points, where in pixels, and how much each weighs."""

    point: Int[Tensor, " N"]
    at: Float[Tensor, "N 2"]
    mass: Float[Tensor, " N"]
    side: int
    area: float  # of the picture, over which background is alike

    @property
    def share(self) -> Float[Tensor, "N 2"]:
        """Where on a box the points lie: -1 on its left or upper edge, 1 on the other."""
        return torch.stack([self.point // self.side, self.point % self.side], 1).to(self.at) * (2 / (self.side - 1)) - 1

    def log_density(self, boxes: Float[Tensor, "M 4"], spread: Float[Tensor, " M"]) -> Float[Tensor, "M N"]:
        """Of each object: its cloud about the vote's own point, half a pixel wide at least."""
        centre, size = bx.centre_size(boxes)
        wide = (size * spread[:, None]).clamp(min=0.5)[:, None]
        off = (self.at - centre[:, None] - self.share * size[:, None] / 2) / wide
        return -0.5 * off.square().sum(-1) - wide.log().sum(-1) - math.log(2 * math.pi * self.side**2)

    @property
    def background(self) -> float:
        return -math.log(self.area * self.side**2)


def gathered(branch: GridBranch, p: Float[Tensor, "R P S S"], boxes: Float[Tensor, "R 4"], scores: Float[Tensor, " R"],
             size: tuple[int, int]) -> Evidence:
    """What regions say of a picture of `size` (h, w): each cell that is half as sure as its map's best or surer, times
    the region's score, where it lies; of several regions that speak of a pixel the one that says most. A cell weighs
    alike in large regions and in small ones."""
    r, points, s = p.shape[:3]
    centre, half = bx.centre_size(boxes)
    at, corner = torch.arange(s, device=p.device), branch.corners(p)
    cell = 2 * half / branch.size
    x, y = ((centre - half)[:, None, None, k] + (corner[:, k, None] + at + 0.5) * cell[:, k, None, None]
            for k in (0, 1))  # R P S
    x, y = x[:, :, None].expand(p.shape), y[..., None].expand(p.shape)
    sure = (p >= p.amax((2, 3), keepdim=True) / 2) & (x >= 0) & (y >= 0) & (x < size[1]) & (y < size[0])
    point = torch.arange(points, device=p.device)[:, None, None]
    place = (point * size[0] + y.long()) * size[1] + x.long()
    told = (scores[:, None, None, None] * p)[sure]
    region = torch.arange(r, device=p.device)[:, None, None, None].expand(p.shape)[sure]
    cells = points * size[0] * size[1]
    each, where = (region * cells + place[sure]).unique(return_inverse=True)
    of = torch.zeros(len(each), device=p.device, dtype=p.dtype).index_add_(0, where, told)  # a pixel of one region
    best = torch.zeros(cells, device=p.device, dtype=p.dtype).scatter_reduce_(0, each % cells, of, "amax")
    held = best.nonzero()[:, 0]
    pixel = torch.stack([held % size[1], held // size[1] % size[0]], 1).to(p) + 0.5
    return Evidence(held // (size[0] * size[1]), pixel, best[held], branch.side, float(size[0] * size[1]))


@dataclass
class Mixture:
    """Objects that explain evidence: their boxes, weights and spreads; what they leave is background's."""

    boxes: Float[Tensor, "M 4"]
    weight: Float[Tensor, " M"]
    spread: Float[Tensor, " M"]

    def logs(self, e: Evidence) -> Float[Tensor, "M+1 N"]:
        rest = (1 - self.weight.sum()).clamp(min=1e-12).log() + e.background
        each = self.weight.clamp(min=1e-12).log()[:, None] + e.log_density(self.boxes, self.spread)
        return torch.cat([each, rest.expand(1, len(e.mass))])

    def fitted(self, e: Evidence) -> Mixture:
        """A round of EM: whose votes are whose, then weights, boxes by weighted least squares, and spreads."""
        w = self.logs(e).softmax(0)[:-1] * e.mass
        total = w.sum(1).clamp(min=1e-9)
        u, (_, size) = e.share, bx.centre_size(self.boxes)
        mean_u, mean_x = (w @ v / total[:, None] for v in (u, e.at))
        var = (w @ u.square() / total[:, None] - mean_u.square()).clamp(min=0)
        half = (w @ (u * e.at) / total[:, None] - mean_u * mean_x) / var.clamp(min=1e-9)
        half = torch.where((var > 0.05) & (half > 0.5), half, size / 2)  # votes of one edge alone say no size
        centre = mean_x - mean_u * half
        off = (e.at - centre[:, None] - u * half[:, None]) / (2 * half[:, None])
        spread = ((w[..., None] * off.square()).sum((1, 2)) / (2 * total)).sqrt().clamp(NARROW, WIDE)
        return Mixture(torch.cat([centre - half, centre + half], 1), w.sum(1) / e.mass.sum(), spread)

    def likelihood(self, e: Evidence) -> Float[Tensor, " N"]:
        """The logarithm of each vote's density."""
        return self.logs(e).logsumexp(0)


def gains(e: Evidence, now: Float[Tensor, " N"], boxes: Float[Tensor, "M 4"], rounds: int = 6) -> tuple[Tensor, Tensor]:
    """(nats that each box adds to votes that have log density `now`, the weight with which it does)."""
    ratio = (e.log_density(boxes, boxes.new_full((len(boxes),), FIRST)) - now).clamp(max=50).exp()
    a = torch.full((len(boxes), 1), 0.1).to(boxes)
    for _ in range(rounds):
        a = ((a * ratio / (1 - a + a * ratio)) @ e.mass)[:, None] / e.mass.sum()
    return ((1 - a + a * ratio).clamp(min=1e-12).log() @ e.mass), a[:, 0]


def explain(e: Evidence, boxes: Float[Tensor, "M 4"], price: float) -> tuple[Int[Tensor, " K"], Float[Tensor, "K 4"]]:
    """Which of the boxes come in, in the order in which they do, and where they lie when all are fitted."""
    m = Mixture(boxes[:0], boxes.new_zeros(0), boxes.new_zeros(0))
    came: list[int] = []
    while len(e.mass) and len(came) < len(boxes):
        gain, weight = gains(e, m.likelihood(e), boxes)
        gain[came] = -math.inf
        best = int(gain.argmax())
        if gain[best] < price:
            break
        came.append(best)
        share = torch.cat([m.weight * (1 - weight[best]), weight[best, None]])
        m = Mixture(torch.cat([m.boxes, boxes[best, None]]), share, torch.cat([m.spread, boxes.new_tensor([FIRST])]))
        for _ in range(ROUNDS):
            m = m.fitted(e)
    return torch.tensor(came, dtype=torch.long, device=boxes.device), m.boxes


# ---------------------------------------------------------------- answers of a model

Choose = Callable[[GridBranch, Tensor, Tensor, Tensor, Tensor, tuple[int, int]], tuple[Tensor, Tensor]]


def by_price(price: float) -> Choose:
    def choose(branch: GridBranch, p: Tensor, regions: Tensor, found: Tensor, scores: Tensor,
               size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        return explain(gathered(branch, p, regions, scores, size), found, price)

    return choose


def by_overlap(iou: float) -> Choose:
    def choose(branch: GridBranch, p: Tensor, regions: Tensor, found: Tensor, scores: Tensor,
               size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        at = nms(found[None], scores[None], None, iou, len(found))[0]
        at = at[at >= 0]
        return at, found[at]

    return choose


@torch.no_grad()
def answered(model: nn.Module, images: Tensor, sizes: Tensor | None, choose: Choose, first: int) -> Detections:
    """The model's boxes, of the `first` best regions of each class, less what `choose` leaves out; no NMS before."""
    m: Any = model
    sizes, (rule, *_), branch = m.known(images, sizes), m.spec.post, m.branches[0]
    raw = m(images, True)
    d = m.pairs(raw, m.prepared(raw.levels), sizes, None)
    scores, boxes = d.scores.unflatten(1, (-1, m.classes)), d.boxes.unflatten(1, (-1, m.classes))[:, :, 0]
    rows = []
    for b, size in enumerate(sizes):
        own: list[tuple[Tensor, Tensor, Tensor]] = []
        at = (scores[b] > rule.score).any(1).nonzero()[:, 0]
        if len(at):
            levels = [x[b : b + 1] for x in raw.levels]
            p = branch.maps(levels, boxes[b, at][None])[0].sigmoid()
            found = bx.clip(branch.decode(p, boxes[b, at])[None], size[None])[0]
            for label in range(m.classes):
                mine, value = scores[b, at, label], min(first, len(at))
                use = mine.topk(value).indices
                use = use[mine[use] > rule.score]
                if len(use):
                    h, w = (int(v) for v in size)
                    chosen, where = choose(branch, p[use], boxes[b, at[use]], found[use], mine[use], (h, w))
                    own.append((where, mine[use][chosen], torch.full_like(chosen, label)))
        row = [torch.cat(v) for v in zip(*own)] if own else [boxes.new_zeros(0, 4), boxes.new_zeros(0),
                                                             torch.zeros(0, dtype=torch.long, device=boxes.device)]
        best = row[1].argsort(descending=True, stable=True)[: rule.keep]
        rows.append([v[best] for v in row])
    most = max(len(row[1]) for row in rows)
    out = Detections(boxes.new_zeros(len(rows), most, 4), boxes.new_zeros(len(rows), most),
                     torch.full((len(rows), most), -1, device=boxes.device))
    for b, row in enumerate(rows):
        for v, said in zip((out.boxes, out.scores, out.labels), row):
            v[b, : len(said)] = said
    return Detections(bx.clip(out.boxes, sizes), out.scores, out.labels)


def measured(model: nn.Module, data: Any, device: str, choose: Choose | None, first: int) -> dict[str, float]:
    """`MEASURES` of the model's answers, as it is where nothing chooses. Counts are of what scores as much as the best
    F1 wants."""
    m: Any = model
    if choose is not None:
        m.predict = MethodType(lambda self, images, sizes=None: answered(self, images, sizes, choose, first), m)
    try:
        record = seen(m, data, device)
    finally:
        m.__dict__.pop("predict", None)
    sizes, truths, found = coco.columns(list(record))
    scores = coco.evaluate(sizes, record.names, truths, found)
    said = (scores.ap(), scores.ap(0.5), scores.ap(0.75), miss_rate(record).mean, miscounted(record),
            float(sum(len(one.scores) for one in record)))
    return dict(zip(MEASURES, said))


def study(runs: Sequence[str | Path], data: Any, out: str | Path, split: str = "val",
          overlaps: Sequence[float] = ALLOWED, prices: Sequence[float] = PRICES, first: int = 50,
          limit: int | None = None, which: str = "last", device: str = "auto") -> dict[str, Any]:
    """The study's record, and its page in `out`. Raises `StemmaError` for a run without heat maps, before any is
    measured."""
    outputs.claim([Path(out) / "explaining.json", Path(out) / "explaining.html"])
    where, pictures, rows = pick_device(device), spread(open_split(data, split), limit), []
    models: list[Any] = []
    for run in runs:
        models.append(checkpoint.load(run, which, device=where).eval())
        if not any(isinstance(b, GridBranch) for b in getattr(models[-1], "branches", ())):
            raise StemmaError(f"{run}: {models[-1].paper.cli_name} draws no heat maps of points; name runs of "
                              "grid-rcnn")
        checkpoint.check_classes(models[-1], pictures.info, pictures.info.name)
    ways: list[tuple[str, Choose | None]] = [
        ("as published", None), *((f"NMS at {v:g}", by_overlap(v)) for v in overlaps),
        *((f"{v:g} nats", by_price(v)) for v in prices)]
    for run, model in zip(runs, models):
        name = f"{model.paper.label} ({Path(run).name})"
        rows += [{"run": str(run), "name": name, "rule": rule, **measured(model, pictures, where, choose, first)}
                 for rule, choose in going(ways, name)]
    record = {"data": pictures.info.name, "split": split, "pictures": len(pictures), "first": first, "rows": rows}
    keep(Path(out) / "explaining.json", record)
    outputs.put_text(Path(out) / "explaining.html", page(record))
    return record


def table(record: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """(heads, rows)"""
    return ["run", "kept by", *MEASURES], [[r["name"], r["rule"], *(f"{r[k]:.3f}" for k in MEASURES[:-1]),
                                            f"{r['found']:.0f}"] for r in record["rows"]]


def page(record: dict[str, Any]) -> str:
    """The study as one page."""
    from ..report.sheet import grid, leaf, remark

    note = remark(f"{record['pictures']} pictures of {record['data']} ({record['split']}); of a picture and class the "
                  f"{record['first']} best regions. Counts are of what scores as much as the best F1 wants.")
    return leaf("Explaining away", note, grid(*table(record)), heading="Can heat maps be explained away?")


def main(argv: list[str] | None = None) -> None:
    """The command of this file's head."""
    parser = Asked("explaining", __doc__)
    parser.add_argument("runs", nargs="+")
    parser.add_argument("--data", required=True)
    parser.add_argument("--split", default="val")
    parser.add_argument("--overlap", type=positive, nargs="+", default=list(ALLOWED), help="of a class, for NMS")
    parser.add_argument("--price", type=positive, nargs="+", default=list(PRICES), help="nats that an object must add")
    parser.add_argument("--first", type=natural, default=50, help="regions of a picture and class")
    parser.add_argument("--limit", type=natural)
    parser.add_argument("--which", choices=("best", "last"), default="last")
    parser.add_argument("--out", default="runs/explaining")
    parser.add_argument("--device", default="auto")
    a = parser.parse_args(argv)
    heads, rows = table(study(a.runs, a.data, a.out, a.split, a.overlap, a.price, a.first, a.limit, a.which, a.device))
    for row in (heads, *rows):
        print("  ".join(row))
    print(Path(a.out) / "explaining.html")


if __name__ == "__main__":
    interrupts.command(main)


__all__ = ["Evidence", "Mixture", "answered", "explain", "gains", "gathered", "measured", "page", "study", "table"]
