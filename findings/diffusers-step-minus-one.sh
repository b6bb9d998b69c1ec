#!/usr/bin/env bash
# Guess: so many steps are asked for, so many are made, each from 0 to 999.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check diffusers==0.42.1 torch==2.14.1 numpy==2.4.6
cat > show.py <<'PY'
from importlib.metadata import version

import torch
from diffusers import DDIMScheduler

odd = []
for asked in range(1, 1001):
    scheduler = DDIMScheduler(timestep_spacing="trailing")
    scheduler.set_timesteps(asked)
    if len(scheduler.timesteps) != asked:
        odd.append((asked, len(scheduler.timesteps), scheduler.timesteps[-2:].tolist()))
print(f"diffusers {version('diffusers')}, torch {torch.__version__}")
print('Guess: `set_timesteps(n)` with "trailing" spacing makes n steps between 999 and 0, for every n from 1 to 1000.')
print("Seen: for some n the range of fractions runs one too far, and the network is asked about the step -1:")
for asked, made, last in odd[:3]:
    print(f"    {asked} asked, {made} made, the last two {last}")
print(f"    so with {len(odd)} of the 1000")
raise SystemExit(not (len(odd) == 62 and all(made == asked + 1 and last[-1] == -1 for asked, made, last in odd)))
PY
env/bin/python -W ignore show.py
