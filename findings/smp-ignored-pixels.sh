#!/usr/bin/env bash
# Guess: pixels to be ignored change nothing: the loss is the mean over the others, as of torch's own `CrossEntropyLoss(ignore_index=255)`.
# The docs of segmentation-models-pytorch 0.5.0 (Losses): `SoftCrossEntropyLoss` is a "drop-in replacement for torch.nn.CrossEntropyLoss with label_smoothing",
# `SoftBCEWithLogitsLoss` one for `BCEWithLogitsLoss` with a target value "that is ignored and does not contribute to the input gradient".
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check segmentation-models-pytorch==0.5.0 torch==2.14.1 torchvision==0.29.1 numpy==2.4.6
cat > show.py <<'PY'
from importlib.metadata import version

import torch
from segmentation_models_pytorch.losses import DiceLoss, FocalLoss, SoftBCEWithLogitsLoss, SoftCrossEntropyLoss
from torch import nn

torch.manual_seed(0)
scores, truth = torch.randn(1, 3, 8, 8), torch.randint(0, 3, (1, 8, 8))
one, binary = torch.randn(1, 1, 8, 8), torch.randint(0, 2, (1, 1, 8, 8)).float()
padded, padded_binary = truth.clone(), binary.clone()
padded[:, 2:] = padded_binary[:, :, 2:] = 255  # six of eight rows are padding
pairs = {
    "torch CrossEntropyLoss": (nn.CrossEntropyLoss(ignore_index=255), 0), "SoftCrossEntropyLoss": (SoftCrossEntropyLoss(smooth_factor=0.0, ignore_index=255), 0),
    "SoftBCEWithLogitsLoss": (SoftBCEWithLogitsLoss(ignore_index=255), 1), "DiceLoss": (DiceLoss("multiclass", ignore_index=255), 0),
    "FocalLoss": (FocalLoss("multiclass", ignore_index=255), 0),
}
print(f"segmentation-models-pytorch {version('segmentation-models-pytorch')}, torch {torch.__version__}")
print("Guess: padding three quarters of the truth with the number to be ignored gives the loss of the other quarter.")
print("Seen: two losses of the package set the ignored pixels to 0 and divide by all of them, so that the loss and its gradient shrink with the padding:")
seen = {}
for name, (loss, which) in pairs.items():
    x, padded_truth, y = ((scores, padded, truth[:, :2]), (one, padded_binary, binary[:, :, :2]))[which]
    seen[name] = loss(x, padded_truth).item() / loss(x[:, :, :2], y).item()
    print(f"    {name:23} with padding {loss(x, padded_truth).item():.4f}, of the quarter alone {loss(x[:, :, :2], y).item():.4f}")
near = lambda a, b: abs(a - b) < 1e-3
raise SystemExit(not (near(seen["SoftCrossEntropyLoss"], 0.25) and near(seen["SoftBCEWithLogitsLoss"], 0.25)
                      and all(near(seen[k], 1) for k in ("torch CrossEntropyLoss", "DiceLoss", "FocalLoss"))))
PY
env/bin/python -W ignore show.py
