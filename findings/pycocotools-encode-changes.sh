#!/usr/bin/env bash
# Guess: whatever is not 0 in a mask of bytes belongs to the object, as an annotation tool's 255 does.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check pycocotools==2.0.11 faster-coco-eval==1.8.0 hotcoco==1.3.0 numpy==2.4.6
cat > show.py <<'PY'
from importlib.metadata import version

import faster_coco_eval.core.mask
import hotcoco.mask
import numpy as np
import pycocotools.mask

mask = np.zeros((4, 6), np.uint8, order="F")
mask[:, 1:3], mask[:, 3:5] = 1, 2  # as of a map of two objects, or of soft edges
print(", ".join(f"{p} {version(p)}" for p in ("pycocotools", "faster-coco-eval", "hotcoco")))
print("Guess: a mask whose rows are 0 1 1 2 2 0 becomes run lengths of the four middle columns.")
print("Seen: to pycocotools each change of the number ends a run, whichever numbers they are: the 2s are outside, and the 0 after them is inside:")
seen = {}
for name, tools in (("pycocotools", pycocotools.mask), ("faster-coco-eval", faster_coco_eval.core.mask), ("hotcoco", hotcoco.mask)):
    seen[name] = " ".join(str(int(v)) for v in np.asarray(tools.decode(tools.encode(mask)))[0])
    print(f"    {name:16} {seen[name]}")
raise SystemExit(seen != {"pycocotools": "0 1 1 0 0 1", "faster-coco-eval": "0 1 1 0 0 1", "hotcoco": "0 1 1 1 1 0"})
PY
env/bin/python -W ignore show.py
