#!/usr/bin/env bash
# Guess: the spectral angle between a picture and itself is 0.
# (image_similarity_measures/quality_metrics.py, `sam`, multiplies the two pictures in their own type: products of 8 bits are cut to 8 bits, and the
# lengths that it divides by are not. Its other measures turn pictures into fractions first.)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check image-similarity-measures==0.3.6 numpy==1.26.4
cat > show.py <<'PY'
from importlib.metadata import version

import numpy as np
from image_similarity_measures.quality_metrics import psnr, sam

picture = np.full((8, 8, 3), (200, 100, 50), np.uint8)
rows = {"uint8": float(sam(picture, picture)), "float64": float(sam(picture.astype(float), picture.astype(float)))}
other = picture.copy()
other[0] -= 20
noise = {"as it comes": float(psnr(picture, other)), "max_p=255": float(psnr(picture, other, max_p=255))}
print(f"image-similarity-measures {version('image-similarity-measures')}")
print("Guess: a picture of 8 bits, as every reader of PNG and JPEG gives it, has an angle of 0 with itself.")
print("Seen: it is nearly at right angles to itself; as fractions it is at 0:")
for kind, angle in rows.items():
    print(f"    {kind:8} {angle:6.2f} degrees")
print("And the white of its `psnr`, `rmse` and `ssim` is 4095, that of 12 bits, whatever type a picture has:")
for how, value in noise.items():
    print(f"    psnr {how:12} {value:5.1f} dB")
raise SystemExit(not (rows["uint8"] > 80 and rows["float64"] < 1e-3 and 24 < noise["as it comes"] - noise["max_p=255"] < 24.2))
PY
env/bin/python -W ignore show.py
