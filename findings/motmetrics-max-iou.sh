#!/usr/bin/env bash
# Guess: `max_iou=0.7` of motmetrics' `iou_matrix` is an IoU: what it lets pass has to do with an IoU of .7.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check motmetrics==1.4.0 numpy==1.26.4
cat > show.py <<'PY'
import motmetrics
import numpy as np
from motmetrics.distances import iou_matrix

truth = np.array([[0.0, 0.0, 10.0, 10.0]])
seen = {}
for moved in (1, 4, 6):
    found = np.array([[0.0, moved, 10.0, 10.0]])
    iou = round((10 - moved) / (10 + moved), 2)
    seen[iou] = [not np.isnan(iou_matrix(truth, found, max_iou=limit)[0, 0]) for limit in (0.3, 0.5, 0.7)]
print(f"motmetrics {motmetrics.__version__}, numpy {np.__version__}")
print("Guess: .7 is the strictest of the limits .3, .5 and .7: pairs need an IoU of .7 to match.")
print("Seen: it is the largest distance, 1 - IoU, and the most lenient: with .7 an IoU of .43 is a match, with .3 none is below .7:")
for iou, passed in seen.items():
    print(f"    IoU {iou:.2f}  may match with max_iou " + ", ".join(f"{limit}: {'yes' if yes else 'no'}" for limit, yes in zip((0.3, 0.5, 0.7), passed)))
raise SystemExit(seen != {0.82: [True, True, True], 0.43: [False, False, True], 0.25: [False, False, False]})
PY
env/bin/python -W ignore show.py
