"""How many pictures of a class until random weights are as good a start as learned ones? Kornblith, Shlens and Le
(2018) found that learned weights hardly help on two sets of fine classes (cars and aeroplanes).

    python -m stemma.studies.starts --seeds 3 --out runs/starts

A small network learns the drawn source; it is then trained on so many pictures of each class of two drawn sets, one of
coarse classes ("outlines") and one of fine ones ("fine", flowers that are nearly alike), beside the same network from
random weights, which has twice as many steps. Both as imagenet-transfer's small preset has it: the best of its rates by
validation, then on all, and measured on the pictures that are left. Told is the gain of learned weights by set and
number, and from which number on it is less than .03, where it hardly helps.
"""
from __future__ import annotations

import itertools
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from ..core import interrupts, outputs
from ..core import paper as papers
from ..engine.running.progress import going
from ..engine.transfer import course
from ..engine.transfer.findings import HARDLY, RANDOM, TUNED
from . import Asked, keep, natural, say

SETS, COUNTS = ("outlines", "fine"), (10, 30, 100)


def once(seed: int, network: str, budget: str, counts: tuple[int, ...] = COUNTS) -> list[dict[str, Any]]:
    """Accuracy by set and number of pictures a class, from learned and from random weights."""
    paper, how = papers.get("imagenet-transfer"), dict[str, Any](device="cpu", progress=False, save_every=None)
    with tempfile.TemporaryDirectory() as place:
        source = course.train(paper, f"drawn:{SETS[0]}", budget, "small", Path(place) / "source", seed,
                              {"backbone": network, "grids": "", "probe.count": 1}, **how)
        found = []
        for name, count in going(itertools.product(SETS, counts), "trainings"):
            run = course.train(paper, f"few:{count}:drawn:{name}", budget, "small", Path(place) / f"{name}{count}",
                               seed, {"backbone": str(source.path), "probe.count": 1}, **how)
            said = run.record["results"]["sets"][0]["grids"]
            found.append({"set": name, "count": count, "seed": seed, "tuned": said[TUNED]["test"],
                          "random": said[RANDOM]["test"]})
    return found


def summed(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """By set and number: means over seeds, the gain and its deviation over them."""
    out = []
    for name, count in dict.fromkeys((r["set"], r["count"]) for r in runs):
        own = [r for r in runs if (r["set"], r["count"]) == (name, count)]
        gain = [r["tuned"] - r["random"] for r in own]
        out.append({"set": name, "count": count, **{k: float(np.mean([r[k] for r in own])) for k in (
            "tuned", "random")}, "gain": float(np.mean(gain)),
            "deviation": float(np.std(gain, ddof=1)) if len(gain) > 1 else float("nan")})
    return out


def crossing(rows: list[dict[str, Any]], name: str) -> int | None:
    """The least number of pictures a class from which on learned weights hardly help; None: they help at all."""
    own = sorted((r for r in rows if r["set"] == name), key=lambda r: -int(r["count"]))
    small = [int(r["count"]) for r in itertools.takewhile(lambda r: r["gain"] < HARDLY, own)]
    return small[-1] if small else None


def study(out: str | Path, seeds: int = 3, network: str = "tiny-8", budget: str = "150steps") -> dict[str, Any]:
    """Run all seeds and write starts.json."""
    file = Path(out) / "starts.json"
    outputs.claim([file])
    runs = [r for seed in range(seeds) for r in once(seed, network, budget)]
    rows = summed(runs)
    record = {"runs": runs, "seeds": seeds, "network": network, "budget": budget, "means": rows,
              "crossing": {name: crossing(rows, name) for name in SETS}}
    keep(file, record)
    return record


def main(argv: list[str] | None = None) -> None:
    """The command of this file's head."""
    parser = Asked("starts", __doc__)
    parser.add_argument("--seeds", type=natural, default=3)
    parser.add_argument("--network", default="tiny-8", help="as of `stemma compare`, without weights")
    parser.add_argument("--budget", default="150steps", help="how long each is fine-tuned; the source four times, a "
                        "random start twice as long")
    parser.add_argument("--out", default="runs/starts")
    a = parser.parse_args(argv)
    record = study(a.out, a.seeds, a.network, a.budget)
    say([("set", "a class", "learned", "random", "gain", "deviation"), *(
        (r["set"], str(r["count"]), *(f"{r[k]:.3f}" for k in ("tuned", "random", "gain", "deviation")))
        for r in record["means"])], 10)
    for name, count in record["crossing"].items():
        print(f"{name}: " + ("learned weights help at every number" if count is None else
                             f"from {count} pictures a class on learned weights hardly help"))
    print(Path(a.out) / "starts.json")


if __name__ == "__main__":
    interrupts.command(main)


__all__ = ["COUNTS", "SETS", "crossing", "once", "study", "summed"]
