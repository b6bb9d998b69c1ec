#!/usr/bin/env bash
# Guess: an answer that is the truth itself has IoU 1.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check torchmetrics==1.9.0 torch==2.14.1 torchvision==0.29.1 numpy==2.4.6
cat > show.py <<'PY'
from importlib.metadata import version

import torch
from torchmetrics.detection import GeneralizedIntersectionOverUnion, IntersectionOverUnion

print(f"torchmetrics {version('torchmetrics')}, torch {torch.__version__}")
print("Guess: of a picture's objects found exactly the IoU is 1, however many they are.")
print("Seen: each box is compared with every object of its class, and the mean is over all pairs, those of different objects too:")
seen = []
for count in (1, 2, 4):
    left = torch.arange(count) * 50.0
    boxes = torch.stack([left, left * 0, left + 40, left * 0 + 40], 1)
    labels = torch.zeros(count, dtype=torch.long)
    values = []
    for metric in (IntersectionOverUnion(), GeneralizedIntersectionOverUnion()):
        metric.update([{"boxes": boxes, "labels": labels, "scores": torch.ones(count)}], [{"boxes": boxes, "labels": labels}])
        values.append(round(next(iter(metric.compute().values())).item(), 3))
    print(f"    {count} cats found exactly: IoU {values[0]}, generalized IoU {values[1]}")
    seen.append(values[0])
raise SystemExit(seen != [1.0, 0.5, 0.25])
PY
env/bin/python -W ignore show.py
