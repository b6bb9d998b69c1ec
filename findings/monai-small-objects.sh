#!/usr/bin/env bash
# Guess: `RemoveSmallObjects(min_size=10)` takes each island of fewer than ten pixels out of a map of classes, and keeps those of ten.
# (monai/transforms/utils.py, `remove_small_objects`: a map whose largest class is 1 is given to scikit-image as a mask, any other as it is,
# and the function of the same name takes whole numbers for the numbers of objects.)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check monai==1.6.1 torch==2.14.1 scikit-image==0.26.0 scipy==1.17.1 numpy==2.4.6
cat > show.py <<'PY'
from importlib.metadata import version

import torch
from monai.transforms import RemoveSmallObjects

specks = torch.zeros(1, 16, 16, dtype=torch.int32)
specks[0, 12:15, 1:3] = specks[0, 2:5, 5:8] = 1  # islands of 6 and of 9 pixels, far apart
ten = torch.zeros(1, 16, 16, dtype=torch.int32)
ten[0, 2:4, 2:7] = 1  # an island of 10


def left(classes):
    return int((RemoveSmallObjects(min_size=10)(classes) > 0).sum())


seen = {"specks of class 1": left(specks), "the same specks of class 2": left(2 * specks), "an island of ten of class 1": left(ten)}
print(f"monai {version('monai')}, scikit-image {version('scikit-image')}")
print("Guess: 0 pixels are left of the specks, whatever their class, and 10 of the island of ten.")
print("Seen: pixels of a class are counted together as soon as there is a class 2; and an island of `min_size` pixels is gone:")
for name, number in seen.items():
    print(f"    {name:29} {number} pixels left")
raise SystemExit(list(seen.values()) != [0, 15, 0])
PY
env/bin/python -W ignore show.py
