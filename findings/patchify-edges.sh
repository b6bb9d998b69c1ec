#!/usr/bin/env bash
# Guess: `patchify` of a picture whose sides the patch does not divide raises an error, or pads.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check patchify==0.2.3 numpy==1.26.4
cat > show.py <<'PY'
from importlib.metadata import version

import numpy as np
from patchify import patchify

classes = np.zeros((100, 100), np.uint8)
classes[40:60, 97:] = 1  # an object at the right edge
seen = {}
for high in (32, 50):
    patches = patchify(classes, (high, high), step=high)
    seen[high] = patches.shape[:2], int(patches.size), int((patches == 1).sum())
print(f"patchify {version('patchify')}")
print("Guess: an error, as 32 does not divide 100, or four patches a side, the last filled up.")
print("Seen: three a side: the last four rows and columns, and the object in them, are in no patch, and nothing says so:")
for high, ((down, across), pixels, thing) in seen.items():
    print(f"    patches of {high}: {down} x {across}, {pixels} of 10000 pixels, {thing} of the object's 60")
raise SystemExit(seen != {32: ((3, 3), 9216, 0), 50: ((2, 2), 10000, 60)})
PY
env/bin/python -W ignore show.py
