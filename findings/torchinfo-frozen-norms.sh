#!/usr/bin/env bash
# Guess: `torchinfo.summary(model)` leaves a model as it was: a norm that is in `eval()` stays so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check torchinfo==1.8.0 torch==2.14.1 numpy==2.4.6
cat > show.py <<'PY'
import torch
import torchinfo
from torch import nn


def made():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5)).train()
    model[1].eval()  # frozen, as backbones of detectors are when they are trained further
    return model


model, other = made(), made()
before = [part.training for part in model]
torchinfo.summary(model, (2, 3, 16, 16), verbose=0)
after = [part.training for part in model]
model(torch.full((2, 3, 16, 16), 9.0))  # the next step of training
other(torch.full((2, 3, 16, 16), 9.0))
moved = [not bool((m[1].running_mean == 0).all()) for m in (model, other)]
print(f"torchinfo {torchinfo.__version__}, torch {torch.__version__}")
print("Guess: its table is all that it makes.")
print("Seen: it sets the whole model to what its outermost module was, so that frozen norms learn statistics again from the next step on:")
print(f"    convolution, norm and dropout in training: before {before}, after {after}")
print(f"    the frozen norm's mean after a step: {'moved' if moved[0] else 'as it was'} (without the table: {'moved' if moved[1] else 'as it was'})")
raise SystemExit(not (before == [True, False, True] and after == [True, True, True] and moved == [True, False]))
PY
env/bin/python -W ignore show.py
