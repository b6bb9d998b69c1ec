"""What does each way of inference cost as more is told?

    python -m stemma.studies.inference --matches 10 --out runs/inference

Matches of tug-of-war are told one after the other, who is named first having won, and the strength of Tom is asked
(rational meaning construction, arXiv 2306.12672, from whose domain the first model is). A way's worth is its effective
samples a second of processor time: of rejection those that it accepts, of a chain less what neighbours have in common.

    released   the domain's own model, strengths and laziness real numbers: rejection runs thousands of worlds at once
    finite     three strengths, and a flip for each who pulls: rejection runs world by world, and all worlds can be
               listed, four times as many with each match
"""
from __future__ import annotations

import math
from pathlib import Path
from time import process_time
from typing import Any

from ..core import interrupts, outputs
from ..data.language.meanings import DOMAINS
from ..parts.language.church.infer import Method, infer
from ..parts.language.church.reader import ChurchError, read
from . import Asked, keep, natural, seed

FINITE = """
(define strength (mem (lambda (who) (uniform-draw '(30 50 70)))))
(define (pull who) (if (flip 0.3) (/ (strength who) 2) (strength who)))
(define (won-against ours theirs) (> (sum (map pull ours)) (sum (map pull theirs))))
"""
MODELS = {"released": DOMAINS["tug-of-war"].model, "finite": FINITE}
MATCHES = (("tom", "john"), ("mary", "sue"), ("tom", "mary"), ("john", "sue"), ("tom", "sue"), ("john", "mary"))
WAYS: dict[str, tuple[Method, ...]] = {"released": ("rejection", "mh"), "finite": ("rejection", "mh", "enumeration")}
SAMPLES, TRIES = 500, 20_000


def told(model: str, matches: int) -> str:
    """The program: a model, what was told of so many matches, what is asked."""
    said = (MATCHES[i % len(MATCHES)] for i in range(matches))
    conditions = "\n".join(f"(condition (won-against '({a}) '({b})))" for a, b in said)
    return f"{MODELS[model]}\n{conditions}\n(query (strength 'tom))"


def once(model: str, way: Method, matches: int, seed: int = 0, samples: int = SAMPLES,
         tries: int = TRIES) -> dict[str, Any]:
    """What a way found, what it took, and its effective samples a second; "error" where it gave up."""
    begun = process_time()
    try:
        p = infer(read(told(model, matches)), way, samples, seed, tries=tries)
    except ChurchError as error:
        return {"model": model, "way": way, "matches": matches, "seconds": process_time() - begun, "error": str(error)}
    seconds = max(process_time() - begun, 1e-9)
    exact = way == "enumeration"
    return {"model": model, "way": way, "matches": matches, "seconds": seconds, "mean": p.mean,
            "deviation": p.deviation, "tried": p.tried, "accepted": p.accepted,
            "effective": None if exact else p.effective, "rate": None if exact else p.effective / seconds}


def study(out: str | Path, matches: int = 10, seed: int = 0) -> dict[str, Any]:
    """Run every way on 1 to `matches` matches and write inference.json."""
    file = Path(out) / "inference.json"
    outputs.claim([file])
    found = [once(model, way, k, seed) for model, ways in WAYS.items() for way in ways for k in range(1, matches + 1)]
    record = {"matches": matches, "seed": seed, "samples": SAMPLES, "tries": TRIES, "found": found}
    keep(file, record)
    return record


def answer(record: dict[str, Any]) -> str:
    """What came of it, a line a measurement: the mean with its error, and effective samples a second."""
    lines = ["model     way          matches     mean +-      worlds  accepted  seconds  effective a second"]
    for f in record["found"]:
        head = f"{f['model']:9} {f['way']:12} {f['matches']:7d}"
        if "error" in f:
            lines.append(f"{head}  gave up after {f['seconds']:.2f} s: {f['error']}")
            continue
        error = 0.0 if f["effective"] is None else f["deviation"] / math.sqrt(f["effective"])
        rate = "exact" if f["rate"] is None else f"{f['rate']:,.0f}"
        lines.append(f"{head} {f['mean']:8.2f} {error:4.2f} {f['tried']:10,} {f['accepted']:9.4f} {f['seconds']:8.3f}"
                     f"  {rate:>18}")
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> None:
    """The command of this file's head."""
    parser = Asked("inference", __doc__)
    parser.add_argument("--matches", type=natural, default=10, help="of tug-of-war, told one after another")
    parser.add_argument("--seed", type=seed, default=0)
    parser.add_argument("--out", default="runs/inference")
    a = parser.parse_args(argv)
    print(answer(study(a.out, a.matches, a.seed)))
    print(Path(a.out) / "inference.json")


if __name__ == "__main__":
    interrupts.command(main)


__all__ = ["answer", "once", "study", "told"]
