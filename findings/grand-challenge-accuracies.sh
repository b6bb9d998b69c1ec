#!/usr/bin/env bash
# Guess: `accuracies_from_confusion_matrix` gives for each class the share of pixels that are right about it.
# (grand_challenge_metrics/stats.py, of the package that was called evalutils: it divides with `//`.)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check grand-challenge-metrics==0.6.0 scikit-learn==1.9.1 scipy==1.17.1 numpy==2.4.6
cat > show.py <<'PY'
from importlib.metadata import version

import numpy as np
from grand_challenge_metrics.stats import accuracies_from_confusion_matrix, calculate_confusion_matrix, jaccard_from_confusion_matrix

truth = np.repeat([0, 1, 2], 100).reshape(15, 20)
one_wrong = truth.copy()
one_wrong[0, 0] = 1
seen = {}
for said, answer in (("the truth itself", truth), ("one of 300 pixels wrong", one_wrong), ("every pixel wrong", (truth + 1) % 3)):
    matrix = calculate_confusion_matrix(truth, answer, [0, 1, 2])
    right = [float(np.mean((truth == c) == (answer == c))) for c in range(3)]
    seen[said] = right, accuracies_from_confusion_matrix(matrix).tolist(), jaccard_from_confusion_matrix(matrix).tolist()
print(f"grand-challenge-metrics {version('grand-challenge-metrics')}")
print("Guess: with one of 300 pixels wrong the accuracies of three classes are .997, .997 and 1.")
print("Seen: a class that is not perfect has 0; the Jaccard index beside it is right:")
for said, rows in seen.items():
    print(f"    {said:24} by hand {np.round(rows[0], 3).tolist()}  accuracies {rows[1]}  jaccard {np.round(rows[2], 3).tolist()}")
raise SystemExit([rows[1] for rows in seen.values()] != [[1, 1, 1], [0, 0, 1], [0, 0, 0]])
PY
env/bin/python -W ignore show.py
