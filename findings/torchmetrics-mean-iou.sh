#!/usr/bin/env bash
# Guess: the mean IoU of a set is that of the pixels of all its pictures, as benchmarks of segmentation have it.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check torchmetrics==1.9.0 torch==2.14.1 numpy==2.4.6
cat > show.py <<'PY'
from importlib.metadata import version

import torch
from torchmetrics.classification import MulticlassJaccardIndex
from torchmetrics.segmentation import MeanIoU

# Two pictures of 8 x 8 pixels: in the one half of the pixels are of class 1, and all are found;
# in the other two are, of which one is found.
truth, found = torch.zeros(2, 8, 8, dtype=torch.long), torch.zeros(2, 8, 8, dtype=torch.long)
truth[0, :4] = found[0, :4] = 1
truth[1, 0, :2] = found[1, 0, :1] = 1
seen = {}
for name, metric in (("MulticlassJaccardIndex", MulticlassJaccardIndex(num_classes=2, average="macro")),
                     ("MeanIoU", MeanIoU(num_classes=2, input_format="index"))):
    metric.update(found, truth)
    seen[name] = round(metric.compute().item(), 4)
by_hand = round(sum((((found == c) & (truth == c)).sum() / ((found == c) | (truth == c)).sum()).item() for c in (0, 1)) / 2, 4)
print(f"torchmetrics {version('torchmetrics')}, torch {torch.__version__}")
print("Guess: two metrics of one package, both the mean over classes of intersection over union, agree with the sums by hand.")
print("Seen: `segmentation.MeanIoU` is the mean over pictures of each one's, so that the two pixels in the one weigh as much as the 32 in the other:")
print(f"    by hand                 {by_hand}")
for name, value in seen.items():
    print(f"    {name:22}  {value}")
raise SystemExit(not (seen["MulticlassJaccardIndex"] == by_hand and abs(seen["MeanIoU"] - by_hand) > 0.05))
PY
env/bin/python -W ignore show.py
