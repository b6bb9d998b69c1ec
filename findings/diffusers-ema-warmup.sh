#!/usr/bin/env bash
# Guess: `EMAModel(decay=0.9999, use_ema_warmup=False)` of diffusers averages with .9999 from the first step.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check diffusers==0.42.1 torch==2.14.1 numpy==2.4.6
cat > show.py <<'PY'
import diffusers
import torch
from diffusers.training_utils import EMAModel

weight = torch.nn.Parameter(torch.zeros(1))
average = EMAModel([weight], decay=0.9999, use_ema_warmup=False)
seen = {}
for step in range(1, 1001):
    weight.data.fill_(1.0)
    average.step([weight])
    if step in (1, 2, 10, 100, 1000):
        seen[step] = round(average.cur_decay_value, 4), round(average.shadow_params[0].item(), 4)
print(f"diffusers {diffusers.__version__}, torch {torch.__version__}")
print("Guess: without a warm-up the average of a weight that goes from 0 to 1 at once is .0001 after one step and .095 after a thousand.")
print("Seen: there is a warm-up all the same, (1 + t) / (10 + t); `use_ema_warmup` chooses another one. The first step forgets the start:")
for step, (decay, value) in seen.items():
    print(f"    step {step:4}  decay {decay:.4f}  average {value:.4f}")
raise SystemExit(not (seen[1] == (0, 1) and seen[1000][0] == round(1000 / 1009, 4)))
PY
env/bin/python -W ignore show.py
