#!/usr/bin/env bash
# Guess: with weights="quadratic" the disagreement of two grades is the square of their difference.
# (sklearn/metrics/_classification.py, `cohen_kappa_score`: the weights are differences of positions in the list of labels, which is the list of
# those that occur. Cohen 1968, "Weighted kappa", weights the cells of the whole scale.)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check scikit-learn==1.9.1 scipy==1.17.1 numpy==2.4.6
cat > show.py <<'PY'
from importlib.metadata import version

import numpy as np
from sklearn.metrics import cohen_kappa_score

grades = range(5)  # of a scale from 0 to 4; no picture of this split has a 2 or a 3
truth = np.array([0, 0, 1, 1, 4, 4, 4, 0])
answer = np.array([0, 1, 1, 0, 4, 0, 4, 0])
seen, right = {}, {}
for power, weights in ((1, "linear"), (2, "quadratic")):
    apart = np.abs(truth - answer) ** power
    chance = np.abs(truth[:, None] - answer) ** power
    right[weights] = 1 - apart.mean() / chance.mean()
    seen[weights] = cohen_kappa_score(truth, answer, weights=weights), cohen_kappa_score(truth, answer, weights=weights, labels=grades)
print(f"scikit-learn {version('scikit-learn')}")
print("Guess: a grade that no picture has does not change the kappa of the others: 0 and 4 are four apart.")
print("Seen: they are as far apart as there are grades between them in this split, unless `labels` names all of the scale:")
for weights, (plain, named) in seen.items():
    print(f"    {weights:10} by the grades {right[weights]:.4f}   cohen_kappa_score {plain:.4f}   with labels=range(5) {named:.4f}")
raise SystemExit(not (all(abs(named - right[w]) < 1e-12 for w, (_, named) in seen.items())
                      and [round(plain, 4) for plain, _ in seen.values()] == [0.4667, 0.5]))
PY
env/bin/python -W ignore show.py
