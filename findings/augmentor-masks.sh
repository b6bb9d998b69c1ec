#!/usr/bin/env bash
# Guess: Augmentor turns a mask beside its picture by the nearest pixel, and leaves it alone where the picture is only covered.
# (Augmentor/Operations.py does to each of the pictures of a group what it does to the first: `RotateRange`, `Zoom`, `Shear` and `Resize` are
# bicubic, `RandomErasing` draws noise.)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check Augmentor==0.2.12 pillow==13.0.0 numpy==2.4.6
cat > show.py <<'PY'
import random
from importlib.metadata import version

import Augmentor
import numpy as np

random.seed(0)
np.random.seed(0)
mask = np.zeros((60, 60), np.uint8)
mask[10:40, 10:30] = 1
mask[20:50, 30:50] = 5
picture = np.repeat(mask[:, :, None] * 40, 3, axis=2)
ways = {"flip_left_right(1)": lambda p: p.flip_left_right(1), "rotate(1, 20, 20)": lambda p: p.rotate(1, 20, 20), "shear(1, 15, 15)": lambda p: p.shear(1, 15, 15),
        "zoom_random(1, 0.8)": lambda p: p.zoom_random(1, 0.8), "resize(1, 45, 45)": lambda p: p.resize(1, 45, 45), "random_erasing(1, 0.3)": lambda p: p.random_erasing(1, 0.3)}
seen = {}
for name, way in ways.items():
    pipeline = Augmentor.DataPipeline([[picture, mask]])
    way(pipeline)
    seen[name] = np.unique(np.asarray(pipeline.sample(1)[0][1])).tolist()
print(f"Augmentor {version('Augmentor')}, Pillow {version('pillow')}")
print("Guess: of the classes 0, 1 and 5 no other is made.")
print("Seen: what turns, shears or zooms makes classes between those that touch; what erases a part of the picture writes noise into the mask:")
for name, classes in seen.items():
    print(f"    {name:24} {' '.join(map(str, classes[:12]))}{f' and {len(classes) - 12} more' if len(classes) > 12 else ''}")
flip, *turned, erased = seen.values()
raise SystemExit(not (flip == [0, 1, 5] and all({2, 3, 4} & set(classes) for classes in turned) and len(erased) > 20))
PY
env/bin/python -W ignore show.py
