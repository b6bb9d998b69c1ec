#!/usr/bin/env bash
# Guess: with `DiceLoss("binary")` of segmentation-models-pytorch a network pays for what it finds where nothing is.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check segmentation-models-pytorch==0.6.0 timm==1.0.31 torch==2.14.1 torchvision==0.29.1 numpy==2.4.6
cat > show.py <<'PY'
import segmentation_models_pytorch as smp
import torch

empty = torch.zeros(2, 1, 8, 8)
one_pixel = empty.clone()
one_pixel[0, 0, 0, 0] = 1
seen = {}
for loss in (smp.losses.DiceLoss, smp.losses.JaccardLoss, smp.losses.TverskyLoss):
    for name, truth in (("none", empty), ("one", one_pixel)):
        logits = torch.full((2, 1, 8, 8), 2.0, requires_grad=True)  # all of both pictures is found
        value = loss("binary")(logits, truth)
        value.backward()
        seen[loss.__name__, name] = round(value.item(), 3), bool(logits.grad.abs().sum() > 0)
print(f"segmentation-models-pytorch {smp.__version__}, torch {torch.__version__}")
print("Guess: a loss near 1 for pictures that are all object to the network and have none.")
print("Seen: a batch without an object has no loss and no gradient, whatever is found in it; with one pixel of object it has both:")
for (loss, name), (value, moves) in seen.items():
    print(f"    {loss:12} {name:4} pixel of object in the batch: loss {value}, {'a' if moves else 'no'} gradient")
raise SystemExit(any((value > 0.9, moves) != (name == "one",) * 2 for (_, name), (value, moves) in seen.items()))
PY
env/bin/python -W ignore show.py
