#!/usr/bin/env bash
# Guess: `scoring(…, metric="matthews_corr_coef")` of mlxtend is within -1 and 1, and what scikit-learn says, however many answers there are.
# (mlxtend/evaluate/scoring.py multiplies four sums of answers in 64-bit whole numbers: from some hundred thousand answers on the product is
# larger than such a number can be, and what is left of it is any number, or a negative one. NumPy warns of an overflow, once.)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check mlxtend==0.25.0 numpy==2.4.6 scikit-learn==1.9.1
cat > show.py <<'PY'
from importlib.metadata import version

import numpy as np
from mlxtend.evaluate import scoring
from sklearn.metrics import matthews_corrcoef

rows = []
for high, wide in ((128, 128), (256, 256), (512, 512), (500, 1000), (600, 1000), (1080, 1920)):
    truth = (np.arange(high * wide) < high * wide // 2).astype(int)  # the upper half of a picture is object
    answer = np.where(np.arange(high * wide) % 10 == 0, 1 - truth, truth)  # and each tenth pixel is wrong
    rows.append((f"{high} x {wide}", float(scoring(truth, answer, metric="matthews_corr_coef")), float(matthews_corrcoef(truth, answer))))
print(f"mlxtend {version('mlxtend')}, numpy {version('numpy')}, scikit-learn {version('scikit-learn')}")
print("Guess: .8 for each picture, of which half is object and a tenth of the pixels wrong.")
print("Seen: right up to 256 x 256 pixels; of larger ones a correlation is nan or far above 1:")
for name, theirs, right in rows:
    print(f"    {name:12} mlxtend {theirs:8.3f}   scikit-learn {right:.3f}")
small, large = rows[:2], rows[2:]
raise SystemExit(not (all(abs(theirs - right) < 1e-9 for _, theirs, right in small) and all(not abs(theirs) <= 1 for _, theirs, _ in large)
                      and any(theirs > 1 for _, theirs, _ in large)))
PY
env/bin/python -W ignore show.py
