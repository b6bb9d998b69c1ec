#!/usr/bin/env bash
# Guess: `iou_score(reduction="macro")` of segmentation-models-pytorch leaves classes out of the mean that are nowhere.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check segmentation-models-pytorch==0.6.0 timm==1.0.31 torch==2.14.1 torchvision==0.29.1 numpy==2.4.6
cat > show.py <<'PY'
import segmentation_models_pytorch as smp
import torch

truth = torch.zeros(2, 8, 8, dtype=torch.long)
answer = torch.ones(2, 8, 8, dtype=torch.long)  # every pixel of both pictures is wrong
seen = {}
for classes in (2, 21, 150):
    counts = smp.metrics.get_stats(answer, truth, mode="multiclass", num_classes=classes)
    seen[classes] = [round(float(smp.metrics.iou_score(*counts, reduction=how)), 3) for how in ("macro", "macro-imagewise")]
    seen[classes].append(round(float(smp.metrics.iou_score(*counts, reduction="macro", zero_division=0)), 3))
print(f"segmentation-models-pytorch {smp.__version__}, torch {torch.__version__}")
print("Guess: 0, as every pixel is wrong, whatever other classes there are.")
print("Seen: a class that is neither in the truth nor in the answer is a perfect one, and most of a mean over many classes; with `zero_division=0`")
print("    it is a failed one:")
for classes, (macro, imagewise, zero) in seen.items():
    print(f"    {classes:3} classes, every pixel wrong: macro {macro}  macro-imagewise {imagewise}  with zero_division=0 {zero}")
raise SystemExit(seen != {2: [0, 0, 0], 21: [0.905, 0.905, 0], 150: [0.987, 0.987, 0]})
PY
env/bin/python -W ignore show.py
