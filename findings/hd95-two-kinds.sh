#!/usr/bin/env bash
# Guess: the 95 % Hausdorff distance of two masks is one number, whatever measures it.
# (medpy/metric/binary.py, `hd95`: the percentile of the distances of both directions together; surface_distance/metrics.py,
# `compute_robust_hausdorff`: the larger one of the two directions' percentiles. Neither page says that there is another.)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check medpy==0.5.2 surface-distance==0.1 numpy==2.4.6
cat > show.py <<'PY'
from importlib.metadata import version

import numpy as np
import surface_distance
from medpy.metric.binary import hd, hd95

truth = np.zeros((80, 80), bool)
truth[10:30, 10:30] = True
found = truth.copy()
found[60:62, 60:62] = True  # the object itself exactly, and four pixels far away
distances = surface_distance.compute_surface_distances(truth, found, (1, 1))
seen = {"medpy": (hd95(found, truth), hd(found, truth)),
        "surface-distance": tuple(surface_distance.compute_robust_hausdorff(distances, percent) for percent in (95, 100))}
seen = {name: [round(float(v), 1) for v in pair] for name, pair in seen.items()}
print(f"medpy {version('medpy')}, surface-distance {version('surface-distance')}")
print("Guess: both say the same of an object found exactly with four false pixels far away.")
print("Seen: one says 0, as of the edges of both masks together less than 5 % are far; the other more than 40, as of the edge found more is:")
print("                      95 %    100 %")
for name, (robust, whole) in seen.items():
    print(f"    {name:18}{robust:6g}{whole:9g}")
raise SystemExit(not (seen["medpy"][0] == 0 and seen["surface-distance"][0] > 40 and all(pair[1] > 40 for pair in seen.values())))
PY
env/bin/python -W ignore show.py
