"""How hard do the examples of a dense detector pull, and do two losses of a detector pull the same way? GHM's fig. 2,
made again: the histogram of gradient norms of finished runs, side by side.

    python -m stemma.studies.gradients runs/retinanet runs/ghm --data scenes --out runs/gradients
    python -m stemma.studies.gradients runs/relation-networks --data crowds --between cls removal

The first takes runs of dense detectors with one sigmoid a class (RetinaNet, GHM) and writes gradients.json and
gradients.html. An example is an (anchor, class) pair that the loss asks, and its norm is g = |sigmoid(x) - y| (eq. 4).
Of a trained detector most lie at 0, and a hump of outliers at 1.

The second asks any detector: the cosine of the gradients of two of its losses, batch by batch, over the weights that
both move, part by part of the network. Relation Networks learn to name regions and to drop duplicates at once: below 0
they contradict each other there. Several losses may be added: cls+box.
"""
from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..core import interrupts, outputs
from ..core.types import Batch, StemmaError
from ..data.open import open_split, spread
from ..engine.pictures import outside
from ..engine.pictures.tasks import needs_of
from ..engine.running import checkpoint
from ..engine.running.devices import pick_device
from ..engine.running.progress import going
from ..report import charts
from ..skeletons.dense import DenseRule
from . import Asked, keep, natural, say


def cosines(model: nn.Module, batches: Iterable[Batch], one: str, other: str) -> dict[str, list[list[float]]]:
    """For each part of a network that two losses move, by the first word of its weights' names, and for "all" of them:
    of every batch [cosine of both gradients, how long the second is by the first]. `one` and `other` are losses, or
    sums of some, "cls+box". A batch in which either has no gradient there is left out. Raises `StemmaError` for a loss
    that the model does not pay."""
    m: Any = model
    found: dict[str, list[list[float]]] = {}
    for b in batches:
        said = m.loss(b)
        sides: list[dict[str, Tensor]] = []
        for asked in (one, other):
            names = asked.split("+")
            if unknown := [k for k in names if k not in said]:
                raise StemmaError(f"--between: {m.paper.cli_name} pays {', '.join(said)}, and not '{unknown[0]}'")
            weights = {n: p for n, p in m.named_parameters() if p.requires_grad}
            slopes = torch.autograd.grad(torch.stack([said[k] for k in names]).sum(), list(weights.values()),
                                         retain_graph=True, allow_unused=True)
            sides.append({n: g.flatten().double() for n, g in zip(weights, slopes) if g is not None})
        shared = [n for n in sides[0] if n in sides[1]]
        for part in dict.fromkeys([n.split(".")[0] for n in shared] + ["all"]):
            a, c = (torch.cat([side[n] for n in shared if part in (n.split(".")[0], "all")]) for side in sides)
            size = a.norm(), c.norm()
            if min(size) > 0:
                found.setdefault(part, []).append([float(a @ c / (size[0] * size[1])), float(size[1] / size[0])])
    return found


def contradiction(
    runs: Sequence[str | Path], data: Any, out: str | Path, one: str, other: str, split: str = "val",
    limit: int | None = None, batch: int = 8, device: str = "auto", seed: int = 0
) -> dict[str, Any]:
    """The record of `cosines` of every run on the same pictures, drawn alike, and its page in `out`."""
    outputs.claim([Path(out) / "between.json", Path(out) / "between.html"])
    where, pictures, rows = pick_device(device), spread(open_split(data, split), limit), []
    for run in going(runs, "runs"):
        model: Any = checkpoint.load(run, device=where).eval()
        checkpoint.check_classes(model, pictures.info, pictures.info.name)
        needs = needs_of(model.paper.task_of(model.preset), model.spec, pictures.info.kinds)
        loader = outside.loader(model, pictures, model.recipe, batch=batch, needs=needs)
        torch.manual_seed(seed)
        rows.append({"run": str(run), "name": f"{model.paper.label} ({Path(run).name})",
                     "parts": cosines(model, (b.to(where) for b in loader.epoch(0)), one, other)})
    record = {"data": pictures.info.name, "split": split, "pictures": len(pictures), "batch": batch,
              "between": [one, other], "rows": rows}
    keep(Path(out) / "between.json", record)
    from ..report.sheet import grid, leaf, remark

    note = remark(f"{len(pictures)} pictures of {pictures.info.name} ({split}), {batch} at a time. The cosine of the "
                  f"gradients of {one} and {other}, over the weights that both move; below 0 they contradict.")
    outputs.put_text(Path(out) / "between.html", leaf("Two losses", note, grid(*told(record)),
                                                      heading=f"Do {one} and {other} pull the same way?"))
    return record


def told(record: dict[str, Any]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """(heads, rows) of a record of `contradiction`."""
    heads = ("run", "part", "batches", "cosine", "from", "to", "below 0", "second by first")
    rows: list[tuple[str, ...]] = []
    for r in record["rows"]:
        for part, pairs in r["parts"].items():
            cosine, ratio = (sorted(v) for v in zip(*pairs))
            rows.append((r["name"], part, str(len(pairs)), f"{sum(cosine) / len(cosine):.3f}", f"{cosine[0]:.3f}",
                         f"{cosine[-1]:.3f}", f"{sum(c < 0 for c in cosine) / len(cosine):.0%}",
                         f"{ratio[len(ratio) // 2]:.3g}"))
    return heads, rows


@torch.no_grad()
def norms(model: nn.Module, batches: Iterable[Batch], bins: int = 30) -> Float[Tensor, " bins"]:
    """How many examples of `batches` have a gradient norm in each of `bins` equal parts of 0..1. Raises `StemmaError`
    for a model without such examples."""
    m: Any = model
    rule = getattr(m, "rule", None)
    if not isinstance(rule, DenseRule) or rule.cls.extra:  # type: ignore[union-attr]
        raise StemmaError("gradient norms are those of dense detectors with one sigmoid a class: train "
                          "retinanet or ghm")
    count = torch.zeros(bins, dtype=torch.float64)
    for b in batches:
        raw = m(b.images)
        state, _, label = rule.targets(raw, b.targets, m.classes, b.sizes)
        y = label[..., None] == torch.arange(raw.logits.shape[-1], device=label.device)
        g = (raw.logits.sigmoid() - y.float()).abs()[state >= 0]
        count += torch.bincount((g * bins).long().clamp(max=bins - 1).flatten(), minlength=bins).double().cpu()
    return count


def study(
    runs: Sequence[str | Path], data: Any, out: str | Path, split: str = "val", bins: int = 30,
    limit: int | None = None, batch: int = 8, device: str = "auto"
) -> dict[str, Any]:
    """The study's record, and its page in `out`: counts of every run on the same pictures."""
    outputs.claim([Path(out) / "gradients.json", Path(out) / "gradients.html"])
    where, pictures, rows = pick_device(device), spread(open_split(data, split), limit), []
    for run in going(runs, "runs"):
        model: Any = checkpoint.load(run, device=where).eval()
        checkpoint.check_classes(model, pictures.info, pictures.info.name)
        loader = outside.loader(model, pictures, model.recipe, batch=batch, needs=frozenset({"boxes"}))
        count = norms(model, (b.to(where) for b in loader.epoch(0)), bins)
        rows.append({"run": str(run), "name": f"{model.paper.label} ({Path(run).name})", "counts": count.tolist()})
    record = {"data": pictures.info.name, "split": split, "pictures": len(pictures), "bins": bins, "rows": rows}
    keep(Path(out) / "gradients.json", record)
    outputs.put_text(Path(out) / "gradients.html", page(record))
    return record


def page(record: dict[str, Any]) -> str:
    """The study as one page with its plot; an empty bin is drawn at one example."""
    from ..report.sheet import grid, leaf, remark

    rows, bins = record["rows"], record["bins"]
    lines = [charts.Line(i, r["name"], tuple(((k + 0.5) / bins, math.log10(max(c, 1.0)))
                                             for k, c in enumerate(r["counts"]))) for i, r in enumerate(rows)]
    body = []
    for r in rows:
        whole = max(sum(r["counts"]), 1.0)
        body.append((r["name"], f"{whole:,.0f}", f"{100 * r['counts'][0] / whole:.2f} %",
                     f"{100 * r['counts'][-1] / whole:.4f} %"))
    heads = ("run", "examples", f"norm below {1 / bins:.3g}", f"norm above {1 - 1 / bins:.3g}")
    note = remark(f"{record['pictures']} pictures of {record['data']} ({record['split']}). Easy examples lie left, "
                  "outliers right; the height is a logarithm.")
    chart = charts.line_chart(lines, "gradient norm", "log10 of the number of examples", "Gradient norms")
    return leaf("Gradient norms", note, charts.legend(lines), chart, grid(heads, body),
                heading="How hard do the examples pull?")


def main(argv: list[str] | None = None) -> None:
    """The command of this file's head."""
    parser = Asked("gradients", __doc__)
    parser.add_argument("runs", nargs="+")
    parser.add_argument("--data", required=True)
    parser.add_argument("--split", default="val")
    parser.add_argument("--out", default="runs/gradients")
    parser.add_argument("--bins", type=natural, default=30, help="of the histogram of gradient lengths")
    parser.add_argument("--between", nargs=2, metavar="LOSS", help="two losses, whose gradients' cosine is asked")
    parser.add_argument("--limit", type=natural)
    parser.add_argument("--device", default="auto")
    args = parser.parse_args(argv)
    if args.between:
        one, other = args.between
        heads, rows = told(contradiction(args.runs, args.data, args.out, one, other, args.split, args.limit,
                                         device=args.device))
        print("  ".join(heads))
        say(rows, 1)
        print(Path(args.out) / "between.html")
        return
    record = study(args.runs, args.data, args.out, args.split, args.bins, args.limit, device=args.device)
    for r in record["rows"]:
        whole = max(sum(r["counts"]), 1.0)
        print(f"{r['name']}: {whole:,.0f} examples, {r['counts'][0] / whole:.2%} in the first bin, "
              f"{r['counts'][-1] / whole:.4%} in the last")
    print(Path(args.out) / "gradients.html")


if __name__ == "__main__":
    interrupts.command(main)


__all__ = ["contradiction", "cosines", "norms", "page", "study", "told"]
