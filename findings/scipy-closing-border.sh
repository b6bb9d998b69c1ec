#!/usr/bin/env bash
# Guess: to close a mask (dilate, then erode) adds pixels and takes none away.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check scipy==1.17.1 numpy==2.4.6 scikit-image==0.26.0
cat > show.py <<'PY'
import numpy as np
import scipy
import skimage
from scipy.ndimage import binary_closing, grey_closing
from skimage.morphology import closing

mask = np.zeros((6, 10), bool)
mask[:, :7] = True  # an object cut off by three edges of the picture
mask[3, 3] = False  # with a hole of one pixel
by_scipy, grey, by_skimage = binary_closing(mask), grey_closing(mask.astype(np.uint8), 3), closing(mask)
print(f"scipy {scipy.__version__}, scikit-image {skimage.__version__}")
print("Guess: the hole is filled, and every pixel of the mask stays.")
print("Seen: outside of the picture is background when it erodes, so that the mask comes off every edge that it touches;")
print("    grey_closing of the same module, and scikit-image, keep it:")
for name, done in (("mask", mask), ("scipy binary_closing", by_scipy), ("scipy grey_closing", grey > 0), ("scikit-image closing", by_skimage)):
    print(f"    {name:22} {int(done.sum()):2} pixels, {int((mask & ~done).sum()):2} of the mask's own lost")
raise SystemExit(not ((mask & ~by_scipy).sum() == 18 and by_skimage.sum() == 42 and (grey > 0).sum() == 42))
PY
env/bin/python -W ignore show.py
