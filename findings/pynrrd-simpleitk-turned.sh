#!/usr/bin/env bash
# Guess: a mask of rows by columns that pynrrd writes has as many rows and columns to SimpleITK.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check pynrrd==1.1.3 SimpleITK==2.5.7 numpy==2.4.6
cat > show.py <<'PY'
from importlib.metadata import version

import nrrd
import numpy as np
import SimpleITK as sitk

mask = np.zeros((4, 4), np.uint8)
mask[0] = 1  # the upper row of a square picture
seen = {}
for order in (None, "C"):
    nrrd.write("mask.nrrd", mask, **({} if order is None else {"index_order": order}))
    seen[order] = sitk.GetArrayFromImage(sitk.ReadImage("mask.nrrd")).tolist()
sitk.WriteImage(sitk.GetImageFromArray(mask), "mask.nrrd")
back = nrrd.read("mask.nrrd")[0].tolist()
print(f"pynrrd {version('pynrrd')}, SimpleITK {version('SimpleITK')}")
print("Guess: the upper row, 1 1 1 1, comes back as the upper row.")
print("Seen: pynrrd counts axes from the fastest, and turns the picture over its diagonal, in both directions; a square one still fits its mask.")
print("    `index_order=\"C\"` is as SimpleITK has it:")
for name, rows in (("written by pynrrd", seen[None]), ("by pynrrd with index_order C", seen["C"]), ("written by SimpleITK, read by pynrrd", back)):
    print(f"    {name:36} {rows}")
turned = mask.T.tolist()
raise SystemExit(not (seen[None] == turned and seen["C"] == mask.tolist() and back == turned))
PY
env/bin/python -W ignore show.py
