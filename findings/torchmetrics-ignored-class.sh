#!/usr/bin/env bash
# Guess: a class that is ignored (`ignore_index=0`, the background) has no part in the macro mean, whatever is answered.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check torchmetrics==1.9.0 torch==2.14.1 numpy==2.4.6
cat > show.py <<'PY'
from importlib.metadata import version

import torch
from torchmetrics.classification import MulticlassAccuracy, MulticlassF1Score, MulticlassJaccardIndex, MulticlassPrecision, MulticlassRecall

truth = torch.tensor([0] * 200 + [1] * 100 + [2] * 100)
found = truth.clone()
found[200] = 0  # one pixel of class 1 is taken for background
kinds = {"accuracy": MulticlassAccuracy, "precision": MulticlassPrecision, "recall": MulticlassRecall, "F1": MulticlassF1Score,
         "IoU": MulticlassJaccardIndex}
means = {name: [kind(3, average="macro", ignore_index=0)(answer, truth).item() for answer in (truth, found)] for name, kind in kinds.items()}
each = {name: kind(3, average="none", ignore_index=0)(found, truth).tolist() for name, kind in kinds.items()}
print(f"torchmetrics {version('torchmetrics')}, torch {torch.__version__}")
print("Guess: .995 or more for each: of 200 pixels that count 199 are right.")
print("Seen: with that pixel the ignored class is in the mean again, as a class that is always wrong; IoU leaves it out:")
for name, (right, one) in means.items():
    print(f"    {name:9} all right {right:.3f}, one pixel wrong {one:.3f}; of each class {[round(v, 3) for v in each[name]]}")
raise SystemExit(not (all(right == 1 for right, _ in means.values()) and means["IoU"][1] > 0.99
                      and all(0.66 < means[name][1] < 0.67 for name in ("accuracy", "precision", "recall", "F1"))))
PY
env/bin/python -W ignore show.py
