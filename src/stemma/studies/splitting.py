"""If a class A that is known resembles a new class B, does it help to split A into A1 ... An before?

    python -m stemma.studies.splitting --seeds 10 --out runs/splitting

Drawn concepts (`data.drawn_concepts`). A network learns sixteen coarse classes, a ground with a filling each, from the
same pictures under three sets of labels: all coarse; one class A split into its real kinds (three colours); A split
into as many by chance, which tells more outputs from finer meaning. Then B: twelve concepts that are kinds of A too and
were not seen (a size that no picture of A had, another colour, other outlines), told apart from N pictures each by
regression on the features. Seeds are
paired: a seed's three networks begin with the same weights and see the same pictures, and B's pictures are the same.
"""
from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..core import interrupts, outputs
from ..core.paper import get
from ..core.part import In
from ..core.sentence import many
from ..data import drawn_concepts as drawn
from ..data.labelled import Part
from ..engine.running.budget import Budget
from ..engine.running.progress import going
from ..engine.transfer import features, heads, training
from ..ops import softmax_regression as regression
from ..parts.classifier import Network
from ..report import charts
from ..report.sheet import definitions, grid, leaf, remark
from ..report.tags import tag, text
from ..skeletons.protocol import Look
from . import Asked, keep, natural

ARMS = {"coarse": "A as one class", "real": "A split into its kinds", "chance": "A split by chance"}
SHOTS = (1, 4, 16)
STRENGTH = 1e-2  # of the regression on few pictures, the same for all
RESAMPLES = 10_000


def kinds() -> tuple[list[str], int, tuple[str, ...]]:
    """(leaves that are learned from, the coarse class A among sixteen, the twelve concepts of B)."""
    seen = [", ".join(p) for p in itertools.product(*(s[:n] for s, n in zip(drawn.STEPS, drawn.SEEN)))]
    ground, filling = drawn.STEPS[0][0], drawn.STEPS[1][0]
    near = [", ".join((ground, filling, c, "small", o)) for c in drawn.STEPS[2] for o in drawn.STEPS[4][2:]]
    return seen, 0, tuple(sorted(near))


def coarse(leaf: str) -> int:
    """The number of a leaf's ground and filling among the sixteen; -1 where one of them is not learned."""
    ground, filling = leaf.split(", ")[:2]
    grounds, fillings = drawn.STEPS[0][: drawn.SEEN[0]], drawn.STEPS[1][: drawn.SEEN[1]]
    return grounds.index(ground) * len(fillings) + fillings.index(filling) if (ground in grounds
                                                                               and filling in fillings) else -1


def labels_of(arm: str, leaves: NDArray[np.int64], seen: list[str], rng: np.random.Generator) -> NDArray[np.int64]:
    """Labels of pictures of seen leaves: sixteen, or eighteen where A is split into three."""
    out = np.array([coarse(c) for c in seen])[leaves]
    part = np.array([drawn.STEPS[2].index(c.split(", ")[2]) for c in seen])[leaves]
    if arm == "chance":
        part = rng.permutation(np.arange(len(leaves)) % 3)
    if arm != "coarse":
        out = np.where((out == 0) & (part > 0), 15 + part, out)
    return out.astype(np.int64)


def once(seed: int, steps: int, width: int) -> dict[str, Any]:
    """What the three networks of a seed reach: {arm: {"A": top-1 over the sixteen, "B": {shots: top-1}}}."""
    seen, _, near = kinds()
    x, leaves = drawn.drawn(tuple(seen), "seen", "").split("train", seed)
    held, held_leaves = drawn.drawn(tuple(seen), "seen", "").split("test", seed)
    few_x, few_y = drawn.drawn(near, "level", "").split("train", seed)
    test_x, test_y = drawn.drawn(near, "level", "").split("test", seed)
    found: dict[str, Any] = {}
    look, recipe = Look(32), get("imagenet-transfer").recipe("small")
    for arm in ARMS:
        y = labels_of(arm, leaves, seen, np.random.default_rng([seed, 1]))
        torch.manual_seed(seed)
        network = Network(In((3,), (1,)), f"tiny-{width}")
        torch.manual_seed(seed)
        how = training.How(0.1, 1e-4, Budget(steps, "steps"), 1.0, seed=seed)
        course = training.Training(training.Tuned(network, 16 if arm == "coarse" else 18), look,
                                   Part(y, x.__getitem__, ""), recipe, how, "cpu")
        while not course.go():
            continue
        said = course.scores(Part(held_leaves, held.__getitem__, "")).argmax(1)
        said = np.where(said >= 16, 0, said)  # a part of A is A
        right = said == np.array([coarse(c) for c in seen])[held_leaves]
        found[arm] = {"A": float(right.mean()), "B": {}}
        network.eval()
        with torch.no_grad():
            rows, test = (torch.cat([network.features(look(b))
                                     for b in features.batches(Part(t, v.__getitem__, ""), 32)])
                          for v, t in ((few_x, few_y), (test_x, test_y)))
        for n in SHOTS:
            at = heads.shots(few_y, n, seed)
            axes = regression.turned(rows[at])
            fitted = regression.fit(axes, torch.from_numpy(few_y[at]), [STRENGTH], len(near), tolerance=1e-5)
            weight, bias = axes.back(fitted.w[0])
            found[arm]["B"][str(n)] = float(((test.double() @ weight + bias).argmax(1).numpy() == test_y).mean())
    return found


def gains(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """For every comparison and number of pictures the mean paired difference on B with its 95 % interval over seeds
    (bootstrap), and a word: "helps", "hurts" or "cannot say"."""
    out = []
    for arm, other in (("real", "coarse"), ("chance", "coarse"), ("real", "chance")):
        for n in map(str, SHOTS):
            d = np.array([r[arm]["B"][n] - r[other]["B"][n] for r in runs])
            drawn_means = d[np.random.default_rng(0).integers(0, len(d), (RESAMPLES, len(d)))].mean(1)
            low, high = np.quantile(drawn_means, (0.025, 0.975))
            out.append({"arm": arm, "than": other, "shots": int(n), "gain": float(d.mean()), "low": float(low),
                        "high": float(high), "word": "helps" if low > 0 else "hurts" if high < 0 else "cannot say"})
    return out


def study(out: str | Path, seeds: int = 10, steps: int = 300, width: int = 8) -> dict[str, Any]:
    """Run all seeds (those that the folder holds already are kept) and write splitting.json and splitting.html."""
    out = Path(out)
    outputs.claim([out / "splitting.json", out / "splitting.html"])
    file = out / "splitting.json"
    kept = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    runs = kept["runs"] if (kept.get("steps"), kept.get("width")) == (steps, width) else []
    record: dict[str, Any] = {}
    for seed in going(range(seeds), "seeds"):
        if seed >= len(runs):
            runs.append(once(seed, steps, width))
        record = {"steps": steps, "width": width, "runs": runs[: max(seeds, seed + 1)], "gains": gains(runs),
                  "concepts": list(kinds()[2])}
        keep(file, record)
    outputs.put_text(out / "splitting.html", page(record))
    return record


def answer(record: dict[str, Any]) -> str:
    """What came of it, in a sentence or two."""
    fine = [g for g in record["gains"] if (g["arm"], g["than"]) == ("real", "chance")]
    words = {g["word"] for g in fine}
    head = {frozenset({"helps"}): "Splitting by meaning helps, beyond what more outputs do",
            frozenset({"hurts"}): "Splitting by meaning hurts beside a split by chance"}.get(
                frozenset(words), "It cannot be said for all numbers of pictures that splitting by meaning helps more "
                "than a split by chance")
    told = ", ".join(f"{g['gain']:+.3f} ({g['low']:+.3f} to {g['high']:+.3f}) at {g['shots']}" for g in fine)
    return f"{head}: {told} pictures a class, over {many(len(record['runs']), 'seed')}."


def page(record: dict[str, Any]) -> str:
    """The study as one page."""
    lines = [charts.Line(i, ARMS[a], tuple((float(n), float(np.mean([r[a]["B"][str(n)] for r in record["runs"]])))
                                           for n in SHOTS)) for i, a in enumerate(ARMS)]
    heads_ = ("compared", "pictures a class", "gain on B", "95 % over seeds", "")
    body = [(f"{ARMS[g['arm']]}, less {ARMS[g['than']]}", g["shots"], f"{g['gain']:+.3f}",
             f"{g['low']:+.3f} to {g['high']:+.3f}", g["word"]) for g in record["gains"]]
    on_a = "; ".join(f"{ARMS[a]}: {np.mean([r[a]['A'] for r in record['runs']]):.3f}" for a in ARMS)
    return leaf(
        "Does splitting a class help?", tag("div", tag("p", text(answer(record)), cls="head"), cls="answer"),
        remark("Seeds are paired; concepts are drawn, so that what lies near looks alike by construction."),
        charts.legend(lines), tag("div", charts.line_chart(lines, "pictures a class", "accuracy on B", "Accuracy on B"),
                                  style="max-width:40rem"),
        grid(heads_, body),
        definitions({"accuracy on the sixteen, a part of A counted as A": text(on_a),
                     "B": text("; ".join(record["concepts"])),
                     "network": text(f"tiny-{record['width']}, {record['steps']} steps")}))


def main(argv: list[str] | None = None) -> None:
    """The command of this file's head."""
    parser = Asked("splitting", __doc__)
    parser.add_argument("--seeds", type=natural, default=10)
    parser.add_argument("--steps", type=natural, default=300, help="of each network's training")
    parser.add_argument("--width", type=natural, default=8, help="channels of the networks, tiny-WIDTH")
    parser.add_argument("--out", default="runs/splitting")
    a = parser.parse_args(argv)
    print(answer(study(a.out, a.seeds, a.steps, a.width)))
    print(Path(a.out) / "splitting.html")


if __name__ == "__main__":
    interrupts.command(main)


__all__ = ["answer", "gains", "kinds", "labels_of", "once", "page", "study"]
