#!/usr/bin/env bash
# Guess: `precision_score`, `recall_score` and `f1_score` of confidenceinterval, "with the standard scikit-learn naming convention and
# interface" (its page), are of two classes what scikit-learn's of the same names are: of the positive class.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check confidenceinterval==1.0.5 scikit-learn==1.8.0 numpy==1.26.4
cat > show.py <<'PY'
from importlib.metadata import version

import confidenceinterval
import sklearn.metrics

labels = [1] * 20 + [0] * 180  # 20 pictures with a crack, 12 of them found, and 6 false alarms
answers = [1] * 12 + [0] * 8 + [1] * 6 + [0] * 174
print(f"confidenceinterval {version('confidenceinterval')}, scikit-learn {version('scikit-learn')}")
print("Guess: precision .667, recall .6 and F1 .632, with an interval around each.")
print("Seen: all three are the share of right answers, as `average` is \"micro\" unless it is named, and so are their intervals:")
rows = []
for name in ("precision_score", "recall_score", "f1_score", "accuracy_score"):
    theirs, (low, high) = getattr(confidenceinterval, name)(labels, answers)
    rows.append((round(float(getattr(sklearn.metrics, name)(labels, answers)), 3), round(float(theirs), 3)))
    print(f"    {name:16} scikit-learn {rows[-1][0]:.3f}   confidenceinterval {theirs:.3f}, {low:.3f} to {high:.3f}")
raise SystemExit(rows != [(0.667, 0.93), (0.6, 0.93), (0.632, 0.93), (0.93, 0.93)])
PY
env/bin/python -W ignore show.py
