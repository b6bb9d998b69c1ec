#!/usr/bin/env bash
# Guess: pixels that touch have one number, however long the thing is that they make.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check kornia==0.9.0 torch==2.14.1 numpy==2.4.6
cat > show.py <<'PY'
import kornia
import torch
from kornia.contrib import connected_components

seen = {}
for long in (50, 100, 150, 300):
    line = torch.zeros(1, 1, 3, 320)
    line[..., 1, :long] = 1
    numbers = connected_components(line)
    seen[long] = int(numbers[line > 0].unique().numel())
print(f"kornia {kornia.__version__}, torch {torch.__version__}")
print("Guess: a straight line is one component.")
print("Seen: numbers spread by a pixel a round, and after 100 rounds that is that; no word of what is not done yet:")
for long, count in seen.items():
    print(f"    a line of {long:3} pixels  {count:3} components")
raise SystemExit(not (seen[50] == seen[100] == 1 and seen[300] == 200))
PY
env/bin/python -W ignore show.py
