#!/usr/bin/env bash
# Guess: soft NMS gives boxes that overlap better ones lower scores: that is what it is.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check ensemble-boxes==1.0.9 numpy==2.4.6
cat > show.py <<'PY'
from importlib.metadata import version

from ensemble_boxes import soft_nms

boxes = [[0.1, 0.1, 0.5, 0.5], [0.1, 0.1, 0.5, 0.48], [0.6, 0.6, 0.9, 0.9]]  # the second lies on the first, IoU .95
scores, labels = [0.9, 0.8, 0.3], [0, 0, 0]
said = {}
for method, name in ((1, "linear"), (2, "gaussian")):
    kept, found, _ = soft_nms([boxes], [scores], [labels], method=method, sigma=0.5, iou_thr=0.5, thresh=0.001)
    said[name] = [float(round(s, 3)) for s in found]
print(f"ensemble-boxes {version('ensemble-boxes')}")
print("Guess: .9, .3, and for the double .8 times .05 (linear) or times exp(-.95 * .95 / .5) = .16 (gaussian).")
print("Seen: lowered scores decide the order and what is dropped below `thresh`, and then the old ones are given back:")
print("    the double is as sure as before, and average precision counts it as if nothing had been done:")
for name, found in said.items():
    print(f"    {name:9} scores {found}")
raise SystemExit(not all(sorted(found) == [0.3, 0.8, 0.9] for found in said.values()))
PY
env/bin/python -W ignore show.py
