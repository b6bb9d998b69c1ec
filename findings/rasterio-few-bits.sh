#!/usr/bin/env bash
# Guess: a map of four classes comes back from a lossless file, whichever library writes it and whichever reads it.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check rasterio==1.4.4 pillow==13.0.0 opencv-python-headless==5.0.0.93 tifffile==2026.3.3 imagecodecs==2026.3.6 numpy==2.4.6
cat > show.py <<'PY'
from importlib.metadata import version

import cv2
import numpy as np
import rasterio
import rasterio.shutil
import tifffile
from PIL import Image

classes = np.array([[0, 1, 2, 3]], np.uint8)
shape = {"driver": "GTiff", "width": 4, "height": 1, "count": 1, "dtype": "uint8"}
for name, bits in (("eight.tif", {}), ("two.tif", {"NBITS": 2})):
    with rasterio.open(name, "w", **shape, **bits) as file:
        file.write(classes, 1)
rasterio.shutil.copy("eight.tif", "two.png", driver="PNG", NBITS=2)
rasterio.shutil.copy("eight.tif", "most.pgm", driver="PNM", MAXVAL=3)


def shown(pixels):
    return "not read" if pixels is None else " ".join(str(int(v)) for v in np.asarray(pixels).reshape(-1))


print(", ".join(f"{p} {version(p)}" for p in ("rasterio", "pillow", "opencv-python-headless", "tifffile")))
print("Guess: 0 1 2 3, of a PNG and a TIFF of two bits a pixel and of a portable grey map whose largest number is 3.")
print("Seen: Pillow stretches the numbers until the largest that the file has room for is white, OpenCV does so with the PNG:")
seen = {}
for name in ("two.png", "two.tif", "most.pgm"):
    with rasterio.open(name) as file:
        seen[name] = [shown(file.read(1)), shown(Image.open(name)), shown(cv2.imread(name, cv2.IMREAD_UNCHANGED))]
    print(f"    {name:8}  rasterio {seen[name][0]}, Pillow {seen[name][1]}, OpenCV {seen[name][2]}"
          + (f", tifffile {shown(tifffile.imread(name))}" if name.endswith("tif") else ""))
raise SystemExit(not (all(v[0] == "0 1 2 3" and v[1] == "0 85 170 255" for v in seen.values()) and seen["two.png"][2] == "0 85 170 255"))
PY
OPENCV_LOG_LEVEL=SILENT env/bin/python -W ignore show.py
