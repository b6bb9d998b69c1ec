"""Can the whole be told from a part? A regressor says how far an object goes on beyond the region that it is shown, as
the size of a head tells that of a person; do heat maps and probabilities of rows and columns?

    python -m stemma.studies.beyond runs/fpn runs/grid-rcnn runs/attractionet --data scenes --out runs/beyond

takes runs of detectors that look inside regions (Faster R-CNN's family, AttractioNet). Each object of a split is given
to them as a region that holds its upper part alone, a share of its height; its class is told too. What they answer is
held against the whole box, once with the picture as it is and once with the rest of every object painted over in the
mean colour, where nothing of it is to be seen.
"""
from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from ..core import interrupts, outputs
from ..core.types import Detections, StemmaError
from ..data.open import open_split, spread
from ..engine.pictures import outside
from ..engine.running import checkpoint
from ..engine.running.devices import pick_device
from ..engine.running.progress import going
from ..ops import boxes as bx
from ..parts.regions.heads import own
from ..skeletons.attend import AttendModel
from ..skeletons.two_stage import TwoStageModel
from . import Asked, keep, natural, number, say
from .regions import changed

SHARES = (1.0, 0.75, 0.5, 0.33)


def able(model: nn.Module) -> bool:
    """Whether a model answers for regions that it is given; one that sees a picture several times does not."""
    return isinstance(model, AttendModel) or isinstance(model, TwoStageModel) and not hasattr(model, "looks")


@torch.no_grad()
def told(model: nn.Module, images: Float[Tensor, "B 3 H W"], sizes: Float[Tensor, "B 2"],
         regions: Float[Tensor, "B N 4"], labels: Int[Tensor, "B N"]) -> Float[Tensor, "B N 4"]:
    """Where a model says that the objects of regions lie, as those of the classes `labels`; a region of no area, which
    stands behind the others, stays as it is."""
    m: Any = model
    if isinstance(m, AttendModel):
        return m.moved(m.backbone(m.spec.preprocess(images))[-1:], regions, sizes)
    with changed(m, rpn=None):
        raw = m(images)
        d = m.pairs(raw, m.prepared(raw.levels), sizes, regions)
    each = d.boxes.unflatten(1, (-1, m.classes))
    label = labels[:, : each.shape[1]].clamp(min=0)
    d = Detections(own(each, label), torch.ones_like(label, dtype=each.dtype), label)
    for branch in m.branches:
        d = branch.predict(raw.levels, d, None) if branch.moves else d
    return torch.cat([bx.clip(d.boxes, sizes), regions[:, each.shape[1]:]], 1)


def upper(boxes: Float[Tensor, "*N 4"], share: float) -> Float[Tensor, "*N 4"]:
    """The upper `share` of boxes."""
    x1, y1, x2, y2 = boxes.unbind(-1)
    return torch.stack([x1, y1, x2, y1 + share * (y2 - y1)], -1)


def hidden(images: Float[Tensor, "B 3 H W"], boxes: Float[Tensor, "B N 4"], share: float,
           colour: Sequence[float]) -> Float[Tensor, "B 3 H W"]:
    """Pictures with what lies below the upper `share` of every box painted over."""
    y, x = (torch.arange(n, device=images.device) + 0.5 for n in images.shape[-2:])
    x1, _, x2, y2 = boxes[..., None].unbind(-2)
    cut = upper(boxes, share)[..., 3:]
    rows, columns = (y >= cut) & (y < y2), (x >= x1) & (x < x2)  # B N H, B N W
    over = (rows[..., :, None] & columns[..., None, :]).any(1, keepdim=True)
    return torch.where(over, images.new_tensor(colour)[:, None, None], images)


def measured(model: nn.Module, data: Any, device: str, shares: Sequence[float] = SHARES) -> list[dict[str, Any]]:
    """Of each share, with the picture whole and with the rest painted over: {"share", "painted", "objects", "iou": mean
    with the whole box, "half": the share of answers with an IoU of .5 or more, "edge": the median of how far the lower
    edge lies off, in heights of the object}. Crowds aside."""
    m: Any = model
    ways = [(s, over) for s in shares for over in ([False, True] if s < 1 else [False])]
    found: dict[tuple[float, bool], list[Tensor]] = {way: [] for way in ways}
    for raw in outside.loader(m, data, m.recipe, batch=8, needs=frozenset({"boxes"})).epoch(0):
        b = raw.to(device)
        t = b.targets
        here = t.valid if t.crowd is None else t.valid & ~t.crowd
        order = here.to(torch.int8).argsort(dim=1, descending=True, stable=True)
        boxes, labels, here = bx.take(t.boxes, order), t.labels.gather(1, order), here.gather(1, order)
        if not here.any():
            continue
        boxes = boxes * here[..., None]
        for share, over in ways:
            seen = hidden(b.images, boxes, share, m.spec.preprocess.mean) if over else b.images
            said = told(m, seen, b.sizes, upper(boxes, share), labels)[here]
            truth = boxes[here]
            edge = (said[:, 3] - truth[:, 3]).abs() / (truth[:, 3] - truth[:, 1])
            found[share, over].append(torch.stack([bx.iou_each(said, truth), edge]).cpu())
    rows = []
    for (share, over), parts in found.items():
        iou, edge = torch.cat(parts, 1) if parts else torch.full((2, 1), float("nan"))
        rows.append({"share": share, "painted": over, "objects": len(iou) if parts else 0, "iou": float(iou.mean()),
                     "half": float((iou >= 0.5).float().mean()), "edge": float(edge.median())})
    return rows


def study(runs: Sequence[str | Path], data: Any, out: str | Path, split: str = "val",
          shares: Sequence[float] = SHARES, limit: int | None = None, which: str = "last",
          device: str = "auto") -> dict[str, Any]:
    """The study's record, and its page in `out`. Raises `StemmaError` for a run that looks inside no regions, before
    any is measured."""
    outputs.claim([Path(out) / "beyond.json", Path(out) / "beyond.html"])
    where, pictures, rows = pick_device(device), spread(open_split(data, split), limit), []
    models: list[Any] = []
    for run in runs:
        models.append(checkpoint.load(run, which, device=where).eval())
        if not able(models[-1]):
            raise StemmaError(f"{run}: {models[-1].paper.cli_name} answers for no region that it is given; name "
                              "runs of fpn, grid-rcnn, attractionet or others of theirs")
        checkpoint.check_classes(models[-1], pictures.info, pictures.info.name)
    for run, model in going(list(zip(runs, models)), "runs"):
        name = f"{model.paper.label} ({Path(run).name})"
        rows += [{"run": str(run), "name": name, **row} for row in measured(model, pictures, where, shares)]
    record = {"data": pictures.info.name, "split": split, "pictures": len(pictures), "rows": rows}
    keep(Path(out) / "beyond.json", record)
    outputs.put_text(Path(out) / "beyond.html", page(record))
    return record


def table(record: dict[str, Any]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """(heads, rows)"""
    heads = ("run", "upper part", "the rest", "IoU with the whole", "IoU of .5", "lower edge off by")
    return heads, [(r["name"], f"{r['share']:g}", "painted over" if r["painted"] else "is there", f"{r['iou']:.3f}",
                    f"{r['half']:.3f}", f"{r['edge']:.3f}") for r in record["rows"]]


def page(record: dict[str, Any]) -> str:
    """The study as one page."""
    from ..report.sheet import grid, leaf, remark

    note = remark(f"{record['pictures']} pictures of {record['data']} ({record['split']}). A region is the upper "
                  "part of an object's box; by itself it has an IoU with the whole of just its share.")
    return leaf("Beyond the region", note, grid(*table(record)), heading="Can the whole be told from a part?")


def main(argv: list[str] | None = None) -> None:
    """The command of this file's head."""
    parser = Asked("beyond", __doc__)
    parser.add_argument("runs", nargs="+")
    parser.add_argument("--data", required=True)
    parser.add_argument("--split", default="val")
    parser.add_argument("--shown", type=number(float, 0.1, 1), nargs="+", default=list(SHARES),
                        help="shares of the height that a region holds")
    parser.add_argument("--limit", type=natural)
    parser.add_argument("--which", choices=("best", "last"), default="last")
    parser.add_argument("--out", default="runs/beyond")
    parser.add_argument("--device", default="auto")
    a = parser.parse_args(argv)
    heads, rows = table(study(a.runs, a.data, a.out, a.split, a.shown, a.limit, a.which, a.device))
    say((heads, *rows), 22)
    print(Path(a.out) / "beyond.html")


if __name__ == "__main__":
    interrupts.command(main)


__all__ = ["able", "hidden", "measured", "page", "study", "table", "told", "upper"]
