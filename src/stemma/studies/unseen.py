"""Are objects of classes found that were never in a training picture? Recall of systems that do not ask for classes, on
those that they learned from and on those that were held out (DeepMask, InstanceFCN and AttractioNet say that they
generalise).

    python -m stemma.studies.unseen deepmask instance-fcn attractionet faster-rcnn --data scenes:128:4000 --budget 30s
        --without disc,star --without ellipse,square --without ring,triangle --limit 100

trains each once for every --without, on the pictures without an object of those classes, and measures the recall of
boxes on held-out pictures of all. Detectors answer with their proposals. Each group is unseen in one training and seen
in the others, so that both are measured on the same objects. Writes unseen.json and unseen.html; the same command goes
on where it was stopped.
"""
from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import stemma

from ..core import interrupts, outputs
from ..core import paper as cards
from ..core.types import Dataset, StemmaError
from ..data.open import open_split, spread
from ..data.subset import subset
from ..engine.running import checkpoint
from ..engine.running.devices import pick_device
from ..engine.running.runs import Run
from ..metrics.detection import Record
from ..metrics.recall import average_recall
from . import Asked, keep, natural, say
from .regions import groups_of, seen

LIMITS = (10, 100, 1000)


def without(data: Dataset, labels: Sequence[int]) -> Dataset:
    """The pictures in which no object of these labels is. Raises `StemmaError` where none is left."""
    at = [i for i in range(len(data)) if not np.isin(data.truth(i).labels, labels).any()]
    if not at:
        raise StemmaError(f"{data.info.name}: every picture has an object of a class that is held out; hold out fewer")
    return subset(data, at)


def recall(record: Record, labels: Sequence[int]) -> list[float]:
    """Average recall of the best `LIMITS` answers, of the objects of these labels alone."""
    some = Record(record.names, record.kinds)
    for one in record:
        some.add(one.only(np.isin(one.labels, labels), slice(None)))
    found = average_recall(some, LIMITS)
    return [found[f"AR{n}"] for n in LIMITS]


def trained(paper: str, data: Dataset, val: Dataset, budget: str, out: Path, seed: int, device: str) -> Run:
    """The finished run in `out`; begun, or gone on with, where there is none."""
    if (out / "run.json").is_file() and Run.open(out).state == "finished":
        return Run.open(out)
    return stemma.train(paper, data, budget=budget, out=out, seed=seed, resume=True, val=val, val_every=0,
                        device=device)


def study(papers: Sequence[str], data: str | Path, out: str | Path, held: Sequence[str], budget: str = "30s",
          limit: int | None = None, device: str = "auto") -> dict[str, Any]:
    """The study's record, and its page in `out`; the runs lie beside it. held: groups of classes, "class,class"."""
    outputs.claim([Path(out) / "unseen.json", Path(out) / "unseen.html"])
    train, val = open_split(data, "train"), open_split(data, "val")
    pictures, where = spread(open_split(data, "test"), limit), pick_device(device)
    groups = groups_of(held, train.info.classes.names, "--without")
    every = [labels for name, labels in groups.items() if name != "all"]
    if len(every) < 2 or len(set(sum(every, ()))) < sum(map(len, every)):
        raise StemmaError("--without takes two groups of classes or more, with no class in two of them, so that each "
                          "is seen in a training and unseen in another")
    rows = []
    for paper in papers:
        card = cards.get(paper)
        for seed, labels in enumerate(every):
            run = trained(card.name, without(train, labels), without(val, labels), budget,
                          Path(out) / f"{card.cli_name}-{seed}", seed, device)
            model = checkpoint.load(run.path, "last", device=where).eval()
            record = seen(model, pictures, where, "predict" if card.task == "proposals" else "proposals")
            rows.append({"paper": card.cli_name, "name": card.label, "without": held[seed],
                         "recall": [recall(record, group) for group in every]})
    found = {"data": train.info.name, "pictures": len(pictures), "budget": budget, "held": list(held), "rows": rows}
    keep(Path(out) / "unseen.json", found)
    outputs.put_text(Path(out) / "unseen.html", page(found))
    return found


def table(record: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """(heads, rows): mean and deviation over the groups of their recall where they were held out, and by nets that saw
    them."""
    heads = ["system", "their classes", *(f"AR{n}" for n in LIMITS)]
    out, kinds = [], len(record["held"])
    for name in dict.fromkeys(r["name"] for r in record["rows"]):
        runs = [r["recall"] for r in record["rows"] if r["name"] == name]
        unseen = np.array([runs[k][k] for k in range(kinds)])
        saw = np.array([np.mean([runs[s][k] for s in range(kinds) if s != k], 0) for k in range(kinds)])
        for title, values in (("seen", saw), ("held out", unseen), ("difference", unseen - saw)):
            out.append([name, title, *(f"{m:.3f} ± {d:.3f}" for m, d in zip(values.mean(0), values.std(0, ddof=1)))])
    return heads, out


def page(record: dict[str, Any]) -> str:
    """The study as one page."""
    from ..report.sheet import grid, leaf, remark

    heads, rows = table(record)
    note = remark(f"{record['pictures']} pictures of {record['data']}, {record['budget']} a training; held out in turn:"
                  f" {'; '.join(record['held'])}. The deviation is over these groups, each of another training.")
    return leaf("Unseen classes", note, grid(heads, rows), heading="Are objects of unseen classes found?")


def main(argv: list[str] | None = None) -> None:
    """The command of this file's head."""
    parser = Asked("unseen", __doc__)
    parser.add_argument("papers", nargs="+", help="names of papers (`stemma list`)")
    parser.add_argument("--data", required=True)
    parser.add_argument("--without", action="append", required=True, metavar="CLASS,CLASS",
                        help="classes that are left out of training together; twice or more")
    parser.add_argument("--budget", default="30s")
    parser.add_argument("--limit", type=natural)
    parser.add_argument("--out", default="runs/unseen")
    parser.add_argument("--device", default="auto")
    a = parser.parse_args(argv)
    heads, rows = table(study(a.papers, a.data, a.out, a.without, a.budget, a.limit, a.device))
    say((heads, *rows), 16)
    print(Path(a.out) / "unseen.html")


if __name__ == "__main__":
    interrupts.command(main)


__all__ = ["page", "recall", "study", "table", "without"]
