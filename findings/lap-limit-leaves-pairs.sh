#!/usr/bin/env bash
# Guess: lap.lapjv with cost_limit=.5 leaves out pairs that cost more, and matches as many of the others as it can.
# (It stands so in the trackers that use it for boxes and tracks: "linear_assignment(cost, thresh)".)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check lapx==0.11.1 numpy==2.4.6 scipy==1.17.0
cat > show.py <<'PY'
from importlib.metadata import version

import lap
import numpy as np
from scipy.optimize import linear_sum_assignment

cost = np.array([[0.00, 0.40], [0.40, 0.95]])  # two tracks, two boxes
_, of_track, _ = lap.lapjv(cost, extend_cost=True, cost_limit=0.5)
rows, columns = linear_sum_assignment(np.where(cost <= 0.5, cost, 1e3))
gated = [(int(r), int(c)) for r, c in zip(rows, columns) if cost[r, c] <= 0.5]
pairs = [(r, int(c)) for r, c in enumerate(of_track) if c >= 0]
total = lambda found: sum(cost[r, c] for r, c in found) + 0.5 * (2 - len(found))
print(f"lapx {version('lapx')}")
print("Guess: both tracks are matched, since each has a box at .4, which is below the limit.")
print("Seen: one is left alone: a track and a box without a partner cost the limit together, so that pairs far below it are given up:")
print(f"    lapjv, cost_limit=.5         {pairs}, with .5 for what is left {total(pairs):.2f}")
print(f"    scipy, costs over .5 barred  {gated}, likewise {total(gated):.2f}")
raise SystemExit(not (pairs == [(0, 0)] and gated == [(0, 1), (1, 0)] and total(pairs) < total(gated)))
PY
env/bin/python -W ignore show.py
