"""Are facts that a rule tells hallucinated as arbitrary ones are? Kalai and Vempala's theorem is of arbitrary facts
alone: of systematic ones, such as which of two numbers is smaller, what was not told can be known.

    python -m stemma.studies.systematic --seeds 3 --out runs/systematic
    python -m stemma.studies.systematic --models small,lstm --budget 60s

Two worlds of sentences of two words, with as many words, facts and documents, and the same law by which facts are told,
so that as many are told only once: in `arithmetic` "a < b" is true where it is, in `facts` as many pairs are true by
chance. In each a model is trained that can generalise and some that count. Told are the share of facts told once, the
share of what a model says that is false, its mass on all that no document told, and which part of that mass is false,
beside the part of all such sentences that is (`chance`): a model that cannot tell what it was not told is there.
"""
from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np

from ..core import interrupts, outputs
from ..engine.language import facts
from ..engine.running.progress import going
from . import Asked, keep, natural, say
from .sharpness import presets, trained

KINDS = ("arithmetic", "facts")
MODELS = ("small", "kneser-ney", "good-turing")
MEASURED = ("monofacts", "hallucination", "new", "new_false", "chance")


def world_of(kind: str, words: int, documents: int, seed: int) -> str:
    """The name of a world of either kind; as many facts in both."""
    true = words * (words - 1) // 2
    own = f"places=2,facts={true}," if kind == "facts" else ""
    return f"{kind}:alpha=0,words={words},documents={documents},{own}seed={seed}"


def once(model: str, kind: str, seed: int, words: int, documents: int, budget: str) -> dict[str, Any]:
    """What a model says in one world."""
    net, corpus = trained(model, world_of(kind, words, documents, seed), seed, budget)
    said, new = facts.exact(net, corpus), corpus.facts[corpus.world.counts() == 0]
    true, false = float(net.log_prob(new).exp().sum()), said["hallucination"]  # of what was not told
    return {"model": model, "kind": kind, "seed": seed, "monofacts": said["monofacts"], "hallucination": false,
            "new": true + false, "new_false": false / (true + false) if true + false else float("nan"),
            "chance": corpus.world.false / (corpus.world.false + len(new))}


def study(out: str | Path, models: tuple[str, ...] = MODELS, seeds: int = 3, words: int = 100, documents: int = 5000,
          budget: str = "1000steps") -> dict[str, Any]:
    """Run all worlds and write systematic.json. Raises `StemmaError` for a model that the paper's card does not
    have."""
    file = Path(out) / "systematic.json"
    outputs.claim([file])
    presets(models)
    runs = [once(m, k, s, words, documents, budget)
            for m, k, s in going(itertools.product(models, KINDS, range(seeds)), "worlds")]
    record = {"runs": runs, "seeds": seeds, "words": words, "documents": documents, "budget": budget, "means": {
        m: {k: {v: float(np.mean([r[v] for r in runs if (r["model"], r["kind"]) == (m, k)])) for v in MEASURED}
            for k in KINDS} for m in models}}
    keep(file, record)
    return record


def main(argv: list[str] | None = None) -> None:
    """The command of this file's head."""
    parser = Asked("systematic", __doc__)
    parser.add_argument("--models", default=",".join(MODELS), help="presets of calibrated-hallucination, with commas")
    parser.add_argument("--seeds", type=natural, default=3)
    parser.add_argument("--words", type=natural, default=100, help="words of each place; half of all pairs are true")
    parser.add_argument("--documents", type=natural, default=5000, help="documents of each world")
    parser.add_argument("--budget", default="1000steps", help="how long each that learns trains, as of `stemma train`")
    parser.add_argument("--out", default="runs/systematic")
    a = parser.parse_args(argv)
    record = study(a.out, tuple(filter(None, a.models.split(","))), a.seeds, a.words, a.documents, a.budget)
    say([("model", "world", "told once", "false", "not told", "of it false", "chance"), *(
        (m, k, *(f"{row[v]:.3f}" for v in MEASURED)) for m, both in record["means"].items() for k, row in both.items())
    ], 12)
    print(Path(a.out) / "systematic.json")


if __name__ == "__main__":
    interrupts.command(main)


__all__ = ["KINDS", "MODELS", "once", "study", "world_of"]
