#!/usr/bin/env bash
# Guess: AP knows no unit: boxes as shares of their picture, as YOLO writes them, have that of their pixels.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check mean-average-precision==2024.1.5.0 mapcalc==0.2.2 pandas==2.3.3 numpy==2.2.6
cat > show.py <<'PY'
from importlib.metadata import version

import mapcalc
import numpy as np
from mean_average_precision import MetricBuilder

print(f"mean-average-precision {version('mean-average-precision')}, mapcalc {version('mapcalc')}")
print("Guess: a box that touches no object is a mistake, in pixels of a picture of 1000 x 1000 and as shares of it.")
print("Seen: both count the far edges as pixels (`x2 - x1 + 1`), and as shares they take it for the object found:")
seen = []
for name, unit in (("pixels", 1), ("shares", 1000)):
    truth, found = np.array([100, 100, 200, 200]) / unit, np.array([250, 250, 350, 350]) / unit
    metric = MetricBuilder.build_evaluation_metric("map_2d", async_mode=False, num_classes=1)
    metric.add(np.array([[*found, 0, 0.9]]), np.array([[*truth, 0, 0, 0]]))
    values = [float(metric.value(iou_thresholds=0.5)["mAP"]),
              float(mapcalc.calculate_map({"boxes": [truth.tolist()], "labels": [0]},
                                          {"boxes": [found.tolist()], "labels": [0], "scores": [0.9]}, 0.5))]
    print(f"    {name}: {truth.tolist()} and {found.tolist()}   AP50 {values[0]:g} and {values[1]:g}")
    seen += values
raise SystemExit(seen != [0, 0, 1, 1])
PY
env/bin/python -W ignore show.py
