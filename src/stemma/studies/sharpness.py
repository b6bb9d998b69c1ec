"""How sharp is the bound: does a model hallucinate more by as much as documents tell more facts only once?

    python -m stemma.studies.sharpness --seeds 3 --out runs/sharpness
    python -m stemma.studies.sharpness --models small,lstm --budget 60s

Kalai and Vempala's theorem says at least: the monofact rate s, less the miscalibration. In worlds in which a share of
the documents, 0 to .4, tells facts that none other tells (`facts:rare=S`) each model is trained, and

    sharpness = (hallucination at s - hallucination at 0) - (s - miscalibration at s)

is what it says beyond that: 0 where hallucination follows the theorem's line, above it where a model hallucinates more
than it must. Besides, of each model, over all worlds: the slope of hallucination on s, and the slack over the bound, of
which the theorem says that it is above 0 whatever the architecture.
"""
from __future__ import annotations

import itertools
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from ..core import interrupts, outputs
from ..core import paper as papers
from ..core.samples import StemmaError
from ..data.language.facts import COMMON
from ..engine.language import facts, learning
from ..engine.running.progress import going
from . import Asked, keep, natural, say

PAPER = "calibrated-hallucination"
SHARES = (0.0, 0.05, 0.1, 0.2, 0.4)
MODELS = ("paper", "good-turing", "memoriser", "ngram", "kneser-ney")
MORE = 20  # facts for each document: so many that a rare one is hardly told twice


def presets(models: tuple[str, ...]) -> None:
    """Raises `StemmaError` for a model that the paper's card does not have."""
    if unknown := [m for m in models if m not in papers.get(PAPER).presets]:
        raise StemmaError(f"{PAPER} has no preset '{unknown[0]}'; it has {', '.join(papers.get(PAPER).presets)}")


def trained(model: str, world: str, seed: int, budget: str) -> tuple[Any, facts.Corpus]:
    """A model of a world, and that world; counting takes one pass, learning the budget."""
    learns = not papers.get(PAPER).recipe(model).phases
    with tempfile.TemporaryDirectory() as place:
        run = learning.train(PAPER, world, budget if learns else None, model, Path(place) / model, seed, {},
                             device="cpu", progress=False)
        return run.load(), facts.open_(world, seed)


def once(model: str, share: float, seed: int, documents: int, budget: str) -> dict[str, Any]:
    """What a model is measured at in one world."""
    world = f"facts:alpha=0,facts={MORE * documents},documents={documents},rare={share:g},seed={seed}"
    if not share:  # every document tells what others tell
        world = f"facts:alpha=0,facts={max(documents // COMMON, 1)},documents={documents},seed={seed}"
    said = facts.exact(*trained(model, world, seed, budget))
    kept = ("hallucination", "monofacts", "miscalibration", "bound", "slack")
    return {"model": model, "share": share, "seed": seed, **{k: said[k] for k in kept}}


def summed(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Of one model: by share the means over seeds with the sharpness, the slope over all worlds, the slack's least,
    middle and most."""
    shares = sorted({r["share"] for r in runs})
    mean = lambda share, key: float(np.mean([r[key] for r in runs if r["share"] == share]))  # noqa: E731
    zero = mean(shares[0], "hallucination")
    rows = [{"share": s, **{k: mean(s, k) for k in ("hallucination", "monofacts", "miscalibration")},
             "sharpness": mean(s, "hallucination") - zero - (mean(s, "monofacts") - mean(s, "miscalibration"))}
            for s in shares]
    x, y = (np.array([r[k] for r in runs]) for k in ("monofacts", "hallucination"))
    slack = [r["slack"] for r in runs]
    return {"rows": rows, "slope": float(np.polyfit(x, y, 1)[0]) if np.ptp(x) else float("nan"),
            "slack": [float(v) for v in (min(slack), np.median(slack), max(slack))]}


def study(out: str | Path, models: tuple[str, ...] = MODELS, seeds: int = 3, documents: int = 10_000,
          budget: str = "60s", shares: tuple[float, ...] = SHARES) -> dict[str, Any]:
    """Run all worlds and write sharpness.json. Raises `StemmaError` for a model that the paper's card does not have."""
    file = Path(out) / "sharpness.json"
    outputs.claim([file])
    presets(models)
    runs = [once(m, s, seed, documents, budget)
            for m, s, seed in going(itertools.product(models, shares, range(seeds)), "worlds")]
    record = {"runs": runs, "seeds": seeds, "documents": documents, "budget": budget,
              "models": {m: summed([r for r in runs if r["model"] == m]) for m in models}}
    keep(file, record)
    return record


def main(argv: list[str] | None = None) -> None:
    """The command of this file's head."""
    parser = Asked("sharpness", __doc__)
    parser.add_argument("--models", default=",".join(MODELS), help="presets of calibrated-hallucination, with commas")
    parser.add_argument("--seeds", type=natural, default=3)
    parser.add_argument("--documents", type=natural, default=10_000, help="documents of each world")
    parser.add_argument("--budget", default="60s", help="how long each that learns trains, as of `stemma train`")
    parser.add_argument("--out", default="runs/sharpness")
    a = parser.parse_args(argv)
    record = study(a.out, tuple(filter(None, a.models.split(","))), a.seeds, a.documents, a.budget)
    for model, m in record["models"].items():
        least, middle, most = m["slack"]
        print(f"{model}: slope of hallucination on the monofact rate {m['slope']:.2f}; slack {least:.3f} to "
              f"{most:.3f}, middle {middle:.3f}")
        say([("share", "told once", "false", "miscal.", "sharpness"), *(
            [f"{r['share']:g}", *(f"{r[k]:.3f}" for k in ("monofacts", "hallucination", "miscalibration", "sharpness"))]
            for r in m["rows"])], 10)
    print(Path(a.out) / "sharpness.json")


if __name__ == "__main__":
    interrupts.command(main)


__all__ = ["MODELS", "PAPER", "SHARES", "once", "presets", "study", "summed", "trained"]
