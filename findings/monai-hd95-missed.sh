#!/usr/bin/env bash
# Guess: where an object is not found its Hausdorff distance is infinite, the 95th percentile of it too, and so is the mean over the pictures.
# (monai/metrics/hausdorff_distance.py: `torch.quantile` of distances that are all inf is nan, and `do_metric_reduction` leaves nan out.)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check monai==1.6.1 torch==2.14.1 scipy==1.17.1 numpy==2.4.6
cat > show.py <<'PY'
from importlib.metadata import version

import torch
from monai.metrics import HausdorffDistanceMetric, SurfaceDistanceMetric

# Ten pictures with an object each, of which one is found, exactly.
truth = torch.zeros(10, 1, 20, 20)
truth[:, 0, 5:9, 5:9] = 1
found = torch.zeros_like(truth)
found[0] = truth[0]
seen = {}
for name, metric in (("Hausdorff distance", HausdorffDistanceMetric()), ("Hausdorff distance, percentile=95", HausdorffDistanceMetric(percentile=95)),
                     ("Hausdorff distance, percentile=100", HausdorffDistanceMetric(percentile=100)), ("mean surface distance", SurfaceDistanceMetric())):
    metric(found, truth)
    seen[name] = metric.aggregate().item()
print(f"monai {version('monai')}, torch {torch.__version__}")
print("Guess: inf for each of them: nine of ten objects are missed.")
print("Seen: with a percentile a missed object is nan, and left out of the mean: the answer is as good as a perfect one:")
for name, value in seen.items():
    print(f"    {name:35} {value}")
inf = float("inf")
raise SystemExit(not (list(seen.values()) == [inf, 0.0, 0.0, inf]))
PY
env/bin/python -W ignore show.py
