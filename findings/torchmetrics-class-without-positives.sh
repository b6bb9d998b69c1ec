#!/usr/bin/env bash
# Guess: a class that no picture has is left out of the mean of `MulticlassAUROC`, and `MulticlassAveragePrecision` says the same with
# `thresholds=200`, which its page calls a way to save memory, as without.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check torchmetrics==1.9.0 torch==2.14.1 numpy==2.4.6
cat > show.py <<'PY'
from importlib.metadata import version

import torch
from torchmetrics.classification import MulticlassAUROC, MulticlassAveragePrecision

truth = torch.tensor([0, 0, 1, 1, 2, 2])  # and no 3
scores = torch.full((6, 4), 0.05)
scores[torch.arange(6), truth] = 0.85  # all right, and sure of it
seen = {f"{name} {thresholds or 'exact'}": [kind(4, average=average, thresholds=thresholds)(scores, truth) for average in ("macro", "none")]
        for name, kind in (("AUROC", MulticlassAUROC), ("average precision", MulticlassAveragePrecision)) for thresholds in (None, 200)}
print(f"torchmetrics {version('torchmetrics')}, torch {torch.__version__}")
print("Guess: 1 for each of them.")
print("Seen: but for the exact average precision the class that is nowhere is in the mean, with 0:")
for name, (mean, each) in seen.items():
    print(f"    {name:23} {mean:.2f}, of each class {[round(v, 2) + 0.0 for v in each.tolist()]}")
raise SystemExit(not ([round(mean.item(), 2) for mean, _ in seen.values()] == [0.75, 0.75, 1, 0.75]))
PY
env/bin/python -W ignore show.py
