"""Is a model that is calibrated word by word calibrated about facts, and the other way round? And does the theorem's
sentence hold prompt by prompt?

    python -m stemma.studies.calibrations --seeds 3 --out runs/calibrations

Kalai and Vempala's calibration is about whole sentences: over each level set of a model's probabilities its mass is the
truth's. The usual one is about next words: a word that is given .3 comes three times in ten. In worlds of facts
(`facts:alpha=...`) the study measures both, exactly and on held-out documents, of

    words    each word by itself, as often as documents had it: what it says of a word is right, of sentences it knows
             nothing
    facts    made for the question: half of the facts, together with all sentences that end in one word, are one level,
             what is left is another, and each level has its true mass; nothing else of it is true
    truth    the paper's calibrated model, for which both hold

and of Kneser-Ney trigrams, for each first word given as a prompt, the share of the facts under it that one document
told beside how often what is said next is false.
"""
from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ..core import interrupts, outputs
from ..data.language.facts import Facts, open_facts
from ..engine.language import facts, learning
from ..engine.running.progress import going
from ..metrics import hallucination as rates
from . import Asked, keep, natural

PROMPTS = 100
SYSTEMS: dict[str, tuple[str, dict[str, Any]]] = {
    "words": ("ngram", {"net.order": 1, "net.add": 1.0}), "truth": ("paper", {}), "prompts": ("kneser-ney", {})}


def _ahead(world: Facts, codes: np.ndarray, weight: np.ndarray, rows: np.ndarray, at: int) -> np.ndarray:
    """Of these sentences the weight of those that begin as each row does and go on with each word of a place,
    [N, W]."""
    begins, where = np.unique(codes // int(np.prod(world.sizes[at + 1:], dtype=object)), return_inverse=True)
    mass, size = np.bincount(where, weight), world.sizes[at]
    prefix = np.zeros(len(rows), np.int64)
    for i in range(at):
        prefix = prefix * world.sizes[i] + rows[:, i]
    wanted = prefix[:, None] * size + np.arange(size)
    place = np.searchsorted(begins, wanted).clip(max=len(begins) - 1)
    return np.where(begins[place] == wanted, mass[place], 0.0)


def _words(world: Facts, next_word: Callable[[np.ndarray, int, int], np.ndarray]) -> float:
    """The error of next words on held-out documents. next_word: rows, a place, how many sentences go on from each of
    its words -> the mass of each word, [N, W]."""
    rows, said, hit = world.rows(world.codes[world.held]), [], []
    for at in range(len(world.sizes)):
        p = next_word(rows, at, int(np.prod(world.sizes[at + 1:], dtype=object)))
        said.append((p / p.sum(1, keepdims=True)).max(1))
        hit.append(p.argmax(1) == rows[:, at])
    return rates.token_error(np.concatenate(said), np.concatenate(hit))


def two_levels(world: Facts, seed: int) -> dict[str, Any]:
    """The model that is calibrated about facts and not word by word: its miscalibration, which is 0 but for rounding,
    its rate of hallucination, and its error of next words on held-out documents."""
    last = world.sizes[-1]
    ends = world.codes % last == 0  # in the last place's first word
    known = ends | (np.random.default_rng([seed, 17]).random(len(world.codes)) < 0.5)
    apart, mass = world.codes[known & ~ends], float(world.p[known].sum())
    size = world.possible // last + len(apart)  # of the first level
    one, two = mass / size, (1 - mass) / (world.possible - size)
    levels = rates.Levels(np.array([mass, float(world.p[~known].sum())]), np.array([one * size, two * (
        world.possible - size)]))

    def next_word(rows: np.ndarray, at: int, below: int) -> np.ndarray:
        own = (np.arange(last) == 0) * 1.0 if at == len(world.sizes) - 1 else below // last
        first = _ahead(world, apart, np.ones(len(apart)), rows, at) + own
        return np.asarray(first * one + (below - first) * two)

    return {"miscalibration": levels.miscalibration, "token_error": _words(world, next_word),
            "hallucination": float(1 - known.sum() * one - (~known).sum() * two)}


def told(world: Facts) -> float:
    """The error of next words of the calibrated model that the paper gives: what was told has its true chance, what was
    not shares the rest evenly."""
    these = world.counts() > 0
    codes = world.codes[these]
    each = float(world.p[~these].sum()) / (world.possible - len(codes))
    return _words(world, lambda rows, at, below: np.asarray(
        (below - _ahead(world, codes, np.ones(len(codes)), rows, at)) * each
        + _ahead(world, codes, world.p[these], rows, at)))


def once(alpha: float, seed: int) -> dict[str, Any]:
    """What each model of a world is measured at."""
    name = f"facts:alpha={alpha:g},seed={seed}"
    corpus = facts.open_(name, seed)
    found: dict[str, Any] = {"alpha": alpha, "seed": seed, "facts": two_levels(open_facts(name, seed), seed)}
    with tempfile.TemporaryDirectory() as place:
        for system, (preset, sets) in SYSTEMS.items():
            run = learning.train("calibrated-hallucination", name, None, preset, Path(place) / system, seed, sets,
                                 device="cpu", progress=False)
            model: Any = run.load()
            if system == "prompts":
                found[system] = by_prompt(facts.prompted(model, corpus, PROMPTS))
                continue
            said = facts.exact(model, corpus)
            found[system] = {k: said[k] for k in ("miscalibration", "hallucination", "monofacts", "bound")}
            found[system]["token_error"] = (facts.token_error(model, corpus) if system == "words"
                                            else told(corpus.world))
    return found


def by_prompt(rows: list[dict[str, Any]]) -> dict[str, float]:
    """How hallucination goes with the monofact rate from prompt to prompt."""
    x, y = (np.array([r[k] for r in rows]) for k in ("monofacts", "hallucination"))
    slope = float(np.polyfit(x, y, 1)[0]) if np.ptp(x) else float("nan")
    return {"prompts": len(rows), "r": float(np.corrcoef(x, y)[0, 1]), "slope": slope, "monofacts": float(x.mean()),
            "hallucination": float(y.mean())}


def study(out: str | Path, seeds: int = 3, alphas: tuple[float, ...] = (0.5, 1.0)) -> dict[str, Any]:
    """Run all worlds and write calibrations.json."""
    file = Path(out) / "calibrations.json"
    outputs.claim([file])
    runs = [once(a, s) for a, s in going(itertools.product(alphas, range(seeds)), "worlds")]
    mean = lambda who, key: float(np.mean([r[who][key] for r in runs]))  # noqa: E731
    record = {"runs": runs, "seeds": seeds, "alphas": list(alphas), "means": {
        who: {key: mean(who, key) for key in ("token_error", "miscalibration", "hallucination")}
        for who in ("words", "facts", "truth")} | {"prompts": {k: mean("prompts", k) for k in (
            "r", "slope", "monofacts", "hallucination")}}}
    keep(file, record)
    return record


def answer(record: dict[str, Any]) -> str:
    """What came of it."""
    m, lines = record["means"], []
    for who, says in (("words", "Each word by itself"), ("facts", "Two levels of facts"),
                      ("truth", "The paper's model")):
        lines.append(f"{says}: error of next words {m[who]['token_error']:.4f}, miscalibration "
                     f"{m[who]['miscalibration']:.3f}, hallucination {m[who]['hallucination']:.3f}")
    p = m["prompts"]
    lines.append(f"By prompt (Kneser-Ney): hallucination goes with the monofact rate under the prompt by r = "
                 f"{p['r']:.2f}, slope {p['slope']:.2f}; {p['hallucination']:.3f} beside {p['monofacts']:.3f} in the "
                 "mean")
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> None:
    """The command of this file's head."""
    parser = Asked("calibrations", __doc__)
    parser.add_argument("--seeds", type=natural, default=3)
    parser.add_argument("--out", default="runs/calibrations")
    a = parser.parse_args(argv)
    print(answer(study(a.out, a.seeds)))
    print(Path(a.out) / "calibrations.json")


if __name__ == "__main__":
    interrupts.command(main)


__all__ = ["answer", "by_prompt", "once", "study", "two_levels"]
