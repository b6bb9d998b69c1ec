#!/usr/bin/env bash
# Guess: a convolution's backward pass takes twice its forward one, in groups or not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check torch==2.14.1 numpy==2.4.6
cat > show.py <<'PY'
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

x = torch.zeros(1, 64, 16, 16, requires_grad=True)
ratio = {}
print(f"torch {torch.__version__}")
print("Guess: FlopCounterMode counts twice the forward pass for the backward one: a product for the input, one for the weights.")
print("Seen: the weights' product is counted as if there were no groups, so that a depthwise layer's backward is 65 times:")
for groups in (1, 4, 64):
    layer = nn.Conv2d(64, 64, 3, padding=1, groups=groups)
    with FlopCounterMode(display=False) as forward:
        y = layer(x)
    with FlopCounterMode(display=False) as backward:
        y.sum().backward()
    ratio[groups] = backward.get_total_flops() / forward.get_total_flops()
    print(f"    {groups:2} groups  forward {forward.get_total_flops():9}  backward {backward.get_total_flops():9}  "
          f"{ratio[groups]:g} times")
raise SystemExit(ratio != {1: 2, 4: 5, 64: 65})
PY
env/bin/python -W ignore show.py
