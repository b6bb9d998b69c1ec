#!/usr/bin/env bash
# Guess: lsnms.wbc, "weighted box clustering", weighs boxes that overlap by their scores, as in the paper that it names (Retina U-Net,
# arXiv 1811.08661): of scores .9 and .3 the box lies near the first.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check lsnms==0.5.0 numpy==2.3.5
cat > show.py <<'PY'
from importlib.metadata import version

import lsnms
import numpy as np

boxes = np.array([[0.0, 0, 10, 10], [0, 0, 10, 14]])
found = {}
for scores in ([0.9, 0.3], [0.9, 0.9], [0.9, 0.001]):
    pooled, score, _ = lsnms.wbc(boxes, np.array(scores), iou_threshold=0.5)
    found[tuple(scores)] = round(float(pooled[0, 3]), 3), round(float(score[0]), 4)
print(f"lsnms {version('lsnms')}")
print("Guess: boxes that end at 10 (score .9) and 14 (score .3) become one that ends at 11.")
print("Seen: it ends at 12 whatever the scores are; they are averaged, and weigh nothing:")
for scores, (end, score) in found.items():
    print(f"    scores {scores}: ends at {end}, score {score}")
raise SystemExit(not all(end == 12 for end, _ in found.values()))
PY
env/bin/python -W ignore show.py
