#!/usr/bin/env bash
# Guess: the interquartile mean of rliable is the mean of the middle half of the scores, whatever their number, and one lucky run of three does not
# count in full.
# (rliable/metrics.py, `aggregate_iqm`: "Computes the interquartile mean across runs and tasks", by `scipy.stats.trim_mean`, which leaves out whole
# scores alone: a quarter of three is none, and of seven one at each end.)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check scipy==1.17.1 numpy==2.4.6
env/bin/pip install --quiet --disable-pip-version-check --no-deps rliable==1.2.0
cat > show.py <<'PY'
from importlib.metadata import version

import numpy as np
from rliable.metrics import aggregate_iqm, aggregate_mean


def middle_half(scores):
    """The scores in order, each as long as the others, from a quarter of their length to three quarters."""
    scores, n = np.sort(np.array(scores, float)), len(scores)
    share = np.clip(np.minimum(np.arange(n) + 1, 0.75 * n) - np.maximum(np.arange(n), 0.25 * n), 0, 1)
    return float((scores * share).sum() / share.sum())


games = {"0 100": [0, 100], "0 0 100": [0, 0, 100], "0 0 0 100": [0, 0, 0, 100], "0 0 0 50 100": [0, 0, 0, 50, 100], "0 0 0 0 0 50 100": [0] * 5 + [50, 100]}
seen = {}
for name, scores in games.items():
    one_task = np.array(scores, float)[:, None]
    seen[name] = [round(float(value), 1) for value in (aggregate_mean(one_task), aggregate_iqm(one_task), middle_half(scores))]
print(f"rliable {version('rliable')}, scipy {version('scipy')}")
print("Guess: of each number of runs a quarter is left out at both ends, as in the last column.")
print("Seen: of three runs of one task nothing is left out, and the interquartile mean is the mean; of seven a seventh:")
print(f"    {'runs of one task':20}{'mean':>8}{'rliable':>9}{'middle half':>13}")
for name, row in seen.items():
    print(f"    {name:20}{row[0]:8}{row[1]:9}{row[2]:13}")
raise SystemExit([row[1] for row in seen.values()] != [50, 33.3, 0, 16.7, 10] or [row[2] for row in seen.values()] != [50, 16.7, 0, 15, 3.6])
PY
env/bin/python -W ignore show.py
