#!/usr/bin/env bash
# Guess: a class that is neither in the truth nor in the answer has the same mark by every measure of a package: 1, or none.
# (Where there is nothing miseval/dice.py, `calc_DSC_Enhanced`, says 1 and miseval/jaccard.py, `calc_IoU_Sets`, says 0.)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check miseval==1.3.0 numpy==2.4.6
cat > show.py <<'PY'
from importlib.metadata import version

import numpy as np
from miseval import evaluate

truth = np.array([[0, 0, 1, 1]])
seen = {m: [float(v) for v in evaluate(truth, truth.copy(), metric=m, multi_class=True, n_classes=3)] for m in ("DSC", "IoU", "SENS", "PREC", "MCC")}
print(f"miseval {version('miseval')}")
print("Guess: a perfect answer is perfect by all of them, and a class 2 that is nowhere has the same mark by Dice (2 I / (1 + I)) and by IoU (I).")
print("Seen: of classes 0, 1 and 2 the last has 1 by Dice and 0 by IoU, recall, precision and correlation:")
for measure, values in seen.items():
    print(f"    {measure:5} {values}  mean {np.mean(values):.3f}")
raise SystemExit(not (seen["DSC"] == [1, 1, 1] and all(seen[m] == [1, 1, 0] for m in ("IoU", "SENS", "PREC", "MCC"))))
PY
env/bin/python -W ignore show.py
