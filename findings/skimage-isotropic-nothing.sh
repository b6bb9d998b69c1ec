#!/usr/bin/env bash
# Guess: an opening leaves an empty mask empty, as it takes pixels away, and a closing leaves a full one full.
# (skimage/morphology/isotropic.py, `isotropic_dilation` and `isotropic_erosion`: both compare scipy's `distance_transform_edt` with the radius, and
# of a mask without background that measures to a pixel above the first one.)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check scikit-image==0.26.0 scipy==1.17.1 numpy==2.4.6
cat > show.py <<'PY'
from importlib.metadata import version

import numpy as np
from skimage import morphology

empty = np.zeros((12, 12), bool)
ways = {"isotropic_dilation": empty, "isotropic_opening": empty, "isotropic_erosion": ~empty, "isotropic_closing": ~empty}
seen = {}
for name, mask in ways.items():
    with_disk = getattr(morphology, name.split("_")[1])(mask, morphology.disk(4))
    seen[name] = getattr(morphology, name)(mask, 4), with_disk
print(f"scikit-image {version('scikit-image')}, scipy {version('scipy')}")
print("Guess: of 144 pixels an empty mask keeps 0 and a full one 144, as with `opening`, `closing`, `dilation`, `erosion` and a disk of that radius.")
print("Seen: the first corner is another one, where no pixel is set, or all are:")
for name, (made, disk) in seen.items():
    print(f"    {name:20} of {'144' if ways[name].any() else '  0'} pixels makes {made.sum():3}; with a disk {disk.sum():3}")
print("    the corner of the opened empty mask:")
for row in seen["isotropic_opening"][0][:5].astype(int):
    print("        " + " ".join(map(str, row[:6])))
corner = seen["isotropic_dilation"][0]
raise SystemExit(not (corner[0, 0] and 0 < corner.sum() < 72 and seen["isotropic_opening"][0].sum() > 0
                      and np.array_equal(seen["isotropic_erosion"][0], ~corner) and seen["isotropic_closing"][0].sum() < 144
                      and all(np.array_equal(disk, ways[name]) for name, (_, disk) in seen.items())))
PY
env/bin/python -W ignore show.py
