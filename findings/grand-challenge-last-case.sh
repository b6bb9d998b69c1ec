#!/usr/bin/env bash
# Guess: a bootstrap draws from all cases.
# (grand_challenge_metrics/roc.py, `get_bootstrapped_roc_ci_curves` and `get_bootstrapped_ci_point_error`: `rng.randint(0, len(y_pred) - 1, …)`,
# and numpy's `randint` leaves its upper end out.)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check grand-challenge-metrics==0.6.0 scikit-learn==1.9.1 scipy==1.17.1 numpy==2.4.6
cat > show.py <<'PY'
from importlib.metadata import version

import numpy as np
from grand_challenge_metrics.roc import get_bootstrapped_roc_ci_curves
from sklearn.metrics import roc_auc_score

truth = np.array([0, 1, 0, 1, 0, 1, 0, 1, 0, 1])
scores = np.array([0.1, 0.9, 0.2, 0.8, 0.7, 0.6, 0.3, 0.5, 0.4, 0.95])
seen = {}
for said, place in (("the last case, a sick one", -1), ("another sick one", 1)):
    for score in (0.95, 0.01):
        given = scores.copy()
        given[place] = score
        curve = get_bootstrapped_roc_ci_curves(given, truth, num_bootstraps=2000)
        seen[said, score] = [float(v) for v in (roc_auc_score(truth, given), curve.low_az_val, curve.high_az_val, curve.mean_tpr_vals.mean())]
print(f"grand-challenge-metrics {version('grand-challenge-metrics')}")
print("Guess: the interval of an area under the curve moves when a case is answered otherwise, whichever it is.")
print("Seen: of ten cases the last is never drawn: it may be answered best or worst, and the interval is the same to the last digit:")
for (said, score), row in seen.items():
    print(f"    {said:26} scored {score:4}: area {row[0]:.3f}, interval {row[1]:.3f} to {row[2]:.3f}, mean sensitivity {row[3]:.4f}")
last, other = ([seen[said, score] for score in (0.95, 0.01)] for said in ("the last case, a sick one", "another sick one"))
raise SystemExit(not (last[0][0] != last[1][0] and last[0][1:] == last[1][1:] and other[0][1:] != other[1][1:]))
PY
env/bin/python -W ignore show.py
