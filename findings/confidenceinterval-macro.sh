#!/usr/bin/env bash
# Guess: the 95 % interval of a macro F1 by `f1_score(…, average="macro")` of confidenceinterval, whose method is of a paper, is about as
# wide as the one that its bootstrap gives, and holds the truth in 95 of 100 samples.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check confidenceinterval==1.0.5 scikit-learn==1.8.0 numpy==1.26.4
cat > show.py <<'PY'
from importlib.metadata import version

import confidenceinterval
import numpy as np

PICTURES = 1000


def answers(rng, classes):
    """Labels, and answers of which four in five are right and the others guessed."""
    labels = rng.integers(0, classes, PICTURES)
    return labels, np.where(rng.random(PICTURES) < 0.8, labels, rng.integers(0, classes, PICTURES))


def half(interval):
    return (interval[1] - interval[0]) / 2


print(f"confidenceinterval {version('confidenceinterval')}")
print("Guess: an interval as wide as the F1 of such samples varies.")
print("Seen: of two classes it is more than twice as wide, of ten too narrow and of thirty not half as wide; that of the micro F1 is right:")
ratios = {}
for classes in (2, 10, 30):
    rng = np.random.default_rng(0)
    found = {average: [confidenceinterval.f1_score(*answers(rng, classes), average=average) for _ in range(200)] for average in ("macro", "micro")}
    wide = {a: (np.mean([half(i) for _, i in rows]), 1.96 * np.std([v for v, _ in rows])) for a, rows in found.items()}
    ratios[classes] = {a: w / s for a, (w, s) in wide.items()}
    print(f"    {classes:2} classes: " + ", ".join(f"{a} ±{w:.4f} where 95 % lie in ±{s:.4f}" for a, (w, s) in wide.items()))
labels, guesses = answers(np.random.default_rng(1), 2)
formula = half(confidenceinterval.f1_score(labels, guesses, average="macro")[1])
drawn = half(confidenceinterval.f1_score(labels, guesses, average="macro", method="bootstrap_percentile", random_state=0)[1])
print(f"    one sample of two classes: ±{formula:.4f} by the formula, ±{drawn:.4f} by the package's own bootstrap")
right = all(0.85 < r["micro"] < 1.15 for r in ratios.values())
raise SystemExit(not (right and ratios[2]["macro"] > 2 and ratios[10]["macro"] < 0.9 and ratios[30]["macro"] < 0.5 and formula > 2 * drawn))
PY
env/bin/python -W ignore show.py
