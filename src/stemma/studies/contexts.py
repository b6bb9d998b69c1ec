"""Does a language model fit what words mean to the world that is spoken of? Wong, Grand et al. claim translations that
mind the context and are pragmatically apt (rational meaning construction, arXiv 2306.12672).

    python -m stemma.studies.contexts --model FILE.gguf --draws 10 --out runs/contexts

Vague words ("tom is very strong.") are asked in two worlds of tug-of-war, the released one, where strengths lie about
50, and one where they lie about 5. The examples that the model is shown have none of these words. Of each word and
world the likeliest answer and draws at .7: how many bound Tom's strength at all, from which side, at which number, and
where strength then lies in deviations of the world's own. Told are the share of words whose likeliest answer is another
in the other world, and the share that moves strength the right way. --model also takes the address of a server on this
machine.
"""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from ..core import interrupts, outputs
from ..data.language.meanings import DOMAINS, WORD, Domain
from ..engine.language import runtime
from ..engine.running.progress import going
from ..parts.language.church.infer import infer
from ..parts.language.church.reader import ChurchError, read
from . import Asked, keep, number, say, seed

RELEASED, LAW, MEAN, SPREAD = DOMAINS["tug-of-war"], "(gaussian {:g} {:g})", 50.0, 20.0
WORDS = {"strong": 1, "very strong": 1, "incredibly strong": 1, "somewhat strong": 1, "weak": -1, "very weak": -1,
         "incredibly weak": -1, "somewhat weak": -1}  # and where they move strength
WORLDS = {"about 50": 1.0, "about 5": 0.1}
WARM, SAMPLES, WHOM = 0.7, 1000, "tom"


@dataclass(frozen=True)
class Scaled(Domain):
    """Tug-of-war with strengths of another size."""

    factor: float = 1.0

    @cached_property
    def model(self) -> str:
        return RELEASED.model.replace(LAW.format(MEAN, SPREAD), LAW.format(MEAN * self.factor, SPREAD * self.factor))

    @cached_property
    def vocabulary(self) -> tuple[str, ...]:
        return (*super().vocabulary, *{w for said in WORDS for w in WORD.findall(said)})


def world(factor: float) -> Scaled:
    """The domain whose examples have no vague word, and bounds of the world's own size."""
    bound = {"fit for a match": f"(> (strength '{{a}}) {10 * factor:g})",
             "no giant": f"(< (strength '{{a}}) {90 * factor:g})", "lazy": "(> (laziness '{a}) 0.5)"}
    return Scaled(RELEASED.name, RELEASED.people, RELEASED.templates, {"x": bound}, RELEASED.watch, factor)


def bound(means: str | None) -> tuple[int, float] | None:
    """(1 for a least and -1 for a most, the number) of a meaning that bounds the strength that is told; None of
    another."""
    match read(means) if means else []:
        case [["condition", [">" | ">=" | "<" | "<=" as side, ["strength", ["quote", who]], float() | int() as at]]]:
            return (1 if side in (">", ">=") else -1, float(at)) if who == WHOM else None
    return None


def moved(domain: Scaled, means: str | None) -> float | None:
    """Where strength lies once that is told, in deviations of the world's own; None where it cannot be told."""
    if means is None:
        return None
    try:
        p = infer(read(f"{domain.model}\n{means}\n(query (strength '{WHOM}))"), "rejection", SAMPLES,
                  tries=50 * SAMPLES)
    except ChurchError:
        return None
    return (p.mean - MEAN * domain.factor) / (SPREAD * domain.factor)


def study(out: str | Path, model: str, draws: int = 10, words: Sequence[str] = tuple(WORDS), examples: int = 12,
          seed: int = 0) -> dict[str, Any]:
    """Ask everything, and write contexts.json. Raises `StemmaError` where there is no such language model."""
    file = Path(out) / "contexts.json"
    outputs.claim([file])
    runtime.look_at(model)
    net = SimpleNamespace(path=model, examples=examples, tokens=96, temperature=0.0, shown="evenly")
    rows: list[dict[str, Any]] = []
    for said in going(words, "words"):
        for name, factor in WORLDS.items():
            domain, sentence = world(factor), f"{WHOM} is {said}."
            answers = [runtime.ask(net, domain, sentence, WARM if k else 0.0, seed + k) for k in range(1 + draws)]
            found = [b for b in map(bound, answers) if b is not None]
            right = [at / factor for side, at in found if side == WORDS[said]]
            rows.append({"says": said, "world": name, "means": answers[0], "moved": moved(domain, answers[0]),
                         "asked": len(answers), "bounds": len(found), "right_side": len(right),
                         "at": float(np.mean(right)) if right else None,
                         "spread": float(np.std(right)) if right else None})
    pairs = [(rows[i], rows[i + 1]) for i in range(0, len(rows), 2)]
    record = {"model": model, "draws": draws, "seed": seed, "rows": rows,
              "changed": float(np.mean([a["means"] != b["means"] for a, b in pairs])),
              "right_way": float(np.mean([(r["moved"] or 0.0) * WORDS[r["says"]] > 0.1 for r in rows]))}
    keep(file, record)
    return record


def table(record: dict[str, Any]) -> list[tuple[str, ...]]:
    """Headings, and a row for each word and world; bounds are told as of the released world."""
    shown = lambda v: "-" if v is None else f"{v:.2f}"  # noqa: E731
    return [("tom is", "strengths", "bounds", "right side", "at", "spread", "then"),
            *((r["says"], r["world"], f"{r['bounds']} of {r['asked']}", str(r["right_side"]), shown(r["at"]),
               shown(r["spread"]), shown(r["moved"])) for r in record["rows"])]


def main(argv: list[str] | None = None) -> None:
    """The command of this file's head."""
    parser = Asked("contexts", __doc__)
    parser.add_argument("--model", required=True, metavar="FILE.gguf", help="a language model, or a server's address")
    parser.add_argument("--draws", type=number(int, 0), default=10, help="answers that are drawn besides the likeliest")
    parser.add_argument("--seed", type=seed, default=0)
    parser.add_argument("--out", default="runs/contexts")
    a = parser.parse_args(argv)
    record = study(a.out, a.model, a.draws, seed=a.seed)
    say(table(record), 18)
    print(f"another meaning in the other world: {record['changed']:.2f}; moves strength the right way: "
          f"{record['right_way']:.2f}")
    print(Path(a.out) / "contexts.json")


if __name__ == "__main__":
    interrupts.command(main)


__all__ = ["Scaled", "bound", "moved", "study", "table", "world"]
