#!/usr/bin/env bash
# Guess: in `label_ranking_average_precision_score` a picture without labels counts 0, as in `average_precision_score(average="samples")`, or not at all.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check scikit-learn==1.9.1 numpy==2.4.6
cat > show.py <<'PY'
import numpy as np
import sklearn
from sklearn.metrics import average_precision_score, label_ranking_average_precision_score

truth = np.array([[1, 0, 0, 0]] + [[0, 0, 0, 0]] * 3)  # of four pictures three have nothing in them
scores = np.array([[0.1, 0.9, 0.9, 0.9]] * 4)  # and the one label is ranked last
ranked = [float(label_ranking_average_precision_score(truth[:n], scores[:n])) for n in (1, 2, 4)]
plain = [float(average_precision_score(truth[:n], scores[:n], average="samples")) for n in (1, 2, 4)]
print(f"scikit-learn {sklearn.__version__}")
print("Guess: .25, whatever number of empty pictures there is, or less with each of them.")
print("Seen: a picture without labels is a perfect one, whatever is found in it: three of them make .81 of the worst answer; the other measure makes .06:")
for n, one, other in zip((0, 1, 3), ranked, plain):
    print(f"    {n} empty: label_ranking_average_precision_score {one:.4f}  average_precision_score, samples {other:.4f}")
raise SystemExit(not (np.allclose(ranked, [0.25, 0.625, 0.8125]) and np.allclose(plain, [0.25, 0.125, 0.0625])))
PY
env/bin/python -W ignore show.py
