#!/usr/bin/env bash
# Guess: a map of labels that is saved with the header of the scan comes back with its labels, or is refused.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check nibabel==5.4.2 numpy==2.4.6
cat > show.py <<'PY'
from importlib.metadata import version

import nibabel as nib
import numpy as np

scan = nib.Nifti1Image(np.zeros((1, 1, 8), np.int16), np.eye(4))
labels = np.arange(8, dtype=np.float64).reshape(1, 1, 8)  # whole numbers in float64, as get_fdata and most resamplers give them
nib.save(nib.Nifti1Image(labels, scan.affine, scan.header), "labels.nii")
back = nib.load("labels.nii").get_fdata()
print(f"nibabel {version('nibabel')}")
print("Guess: 0 to 7: they are whole, and fit into the header's int16.")
print("Seen: they are stretched over all of int16 and multiplied back when read: not whole any more, and `astype(int)` cuts them down:")
print("    saved       ", *labels.ravel().astype(int))
print("    read        ", *(f"{v:.6g}" for v in back.ravel()))
print("    astype(int) ", *back.astype(int).ravel())
raise SystemExit(not (back != labels).any() or back.astype(int).ravel().tolist() == list(range(8)))
PY
env/bin/python -W ignore show.py
