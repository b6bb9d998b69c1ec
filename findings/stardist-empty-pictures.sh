#!/usr/bin/env bash
# Guess: a picture without an object in which none is found counts as right, or does not count.
# (stardist/matching.py, `_safe_divide`: 0 / 0 is 0; `matching_dataset(by_image=True)` takes the mean of that.)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check stardist==0.9.2 numpy==2.4.6
cat > show.py <<'PY'
from importlib.metadata import version

import numpy as np
from stardist.matching import matching, matching_dataset

empty = np.zeros((16, 16), int)
cells = empty.copy()
cells[2:6, 2:6], cells[8:14, 8:14] = 1, 2
truth = [cells, empty, empty, empty]  # found exactly: the answer is the truth
names = ("accuracy", "f1", "panoptic_quality")
seen = {"the empty picture": matching(empty, empty), "four pictures, by_image=True": matching_dataset(truth, truth, by_image=True, show_progress=False),
        "four pictures": matching_dataset(truth, truth, show_progress=False)}
seen = {said: [float(getattr(m, name)) for name in names] for said, m in seen.items()}
print(f"stardist {version('stardist')}")
print("Guess: the truth itself as the answer has 1, over one picture with cells and three without.")
print("Seen: nothing found where nothing is has 0, so that a perfect answer has a mean of a quarter:")
print(f"    {'':30}" + "".join(f"{name:>18}" for name in names))
for said, values in seen.items():
    print(f"    {said:30}" + "".join(f"{v:18g}" for v in values))
raise SystemExit(list(seen.values()) != [[0] * 3, [0.25] * 3, [1] * 3])
PY
env/bin/python -W ignore show.py
