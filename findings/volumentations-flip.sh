#!/usr/bin/env bash
# Guess: `Flip()` of volumentations-3D turns a volume over along axes that it draws, and the mask along the same ones.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check volumentations-3D==1.0.4 numpy==2.4.6
cat > show.py <<'PY'
import random
from importlib.metadata import version

import numpy as np
import volumentations

volume = np.zeros((4, 4, 4), np.float32)
volume[0, 1, 2] = 1  # one bright pixel, which is the object
mask = (volume > 0).astype(np.uint8)


def apart(change):
    """How many times of 200 the object is elsewhere than its mask says."""
    times = 0
    for seed in range(200):
        random.seed(seed)
        np.random.seed(seed)
        made = volumentations.Compose([change], p=1)(image=volume, mask=mask)
        times += not np.array_equal(made["image"] > 0, made["mask"] > 0)
    return times


seen = {
    "Flip()": apart(volumentations.Flip(p=1)),
    "Flip(0)": apart(volumentations.Flip(0, p=1)),
    "RandomRotate90()": apart(volumentations.RandomRotate90(p=1)),
    "RandomCrop((3, 3, 3))": apart(volumentations.RandomCrop((3, 3, 3), p=1)),
    "Transpose()": apart(volumentations.Transpose(p=1)),
}
print(f"volumentations-3D {version('volumentations-3D')}")
print("Guess: the mask lies on the object in all of them.")
print("Seen: without an axis Flip draws one for the volume and another one for the mask:")
for name, times in seen.items():
    print(f"    {name:22} mask elsewhere {times:3} times of 200")
raise SystemExit(not (seen.pop("Flip()") > 120 and not any(seen.values())))
PY
env/bin/python -W ignore show.py
