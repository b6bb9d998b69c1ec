#!/usr/bin/env bash
# Guess: a focal loss over classes with gamma 0 and without alpha is the cross entropy: `focal_loss` of kornia, `FocalLoss(use_softmax=True)` of
# MONAI. What is ignored (`ignore_index`) is in no mean.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check kornia==0.9.0 monai==1.6.1 torch==2.14.1 numpy==2.4.6
cat > show.py <<'PY'
from importlib.metadata import version

import torch
from kornia.losses import focal_loss
from monai.losses import FocalLoss
from torch.nn.functional import cross_entropy

torch.manual_seed(0)
seen = {}
for classes in (3, 21):
    scores, truth = torch.randn(2, classes, 8, 8), torch.randint(0, classes, (2, 8, 8))
    part = truth.clone()
    part[:, :6] = -100  # three quarters of the pixels are ignored
    seen[classes] = [v.item() for v in (
        cross_entropy(scores, truth), focal_loss(scores, truth, alpha=None, gamma=0.0, reduction="mean"),
        FocalLoss(gamma=0.0, use_softmax=True, to_onehot_y=True)(scores, truth[:, None]),
        cross_entropy(scores, part), focal_loss(scores, part, alpha=None, gamma=0.0, reduction="mean", ignore_index=-100))]
print(f"kornia {version('kornia')}, monai {version('monai')}, torch {torch.__version__}")
print("Guess: the five numbers of a line differ by chance alone.")
print("Seen: both divide by the classes too, though one of them a pixel has a loss, and kornia by the ignored pixels:")
for classes, (entropy, kornia, monai, entropy_part, kornia_part) in seen.items():
    print(f"    {classes:2} classes: cross entropy {entropy:.3f}, kornia {kornia:.3f}, MONAI {monai:.3f};"
          f" three quarters ignored: cross entropy {entropy_part:.3f}, kornia {kornia_part:.3f}")
raise SystemExit(not all(abs(e / k - c) < 0.01 * c and abs(e / m - c) < 0.01 * c and abs(ep / kp - 4 * c) < 0.04 * c
                         for c, (e, k, m, ep, kp) in seen.items()))
PY
env/bin/python -W ignore show.py
