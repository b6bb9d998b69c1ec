#!/usr/bin/env bash
# Guess: a map of the classes 1, 4 and 9 that is read at half its size with Resampling.nearest has the classes 1, 4 and 9.
# (GDAL's COG driver puts smaller copies beside a raster larger than 512 pixels, of a map without a palette by cubic interpolation, and a smaller reading,
# whatever its resampling, is taken from the copy.)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check rasterio==1.4.4 numpy==2.4.6
cat > show.py <<'PY'
import numpy as np
import rasterio
from rasterio.enums import Resampling

blocks = np.random.default_rng(0).choice(np.array([1, 4, 9], np.uint8), (205, 205))
classes = np.kron(blocks, np.ones((5, 5), np.uint8))[:1024, :1024]  # squares of 5 pixels
seen = {}
for driver in ("GTiff", "COG"):
    with rasterio.open("map.tif", "w", driver=driver, width=1024, height=1024, count=1, dtype="uint8", compress="deflate") as file:
        file.write(classes, 1)
    with rasterio.open("map.tif") as file:
        half = {way.name: file.read(1, out_shape=(512, 512), resampling=way) for way in (Resampling.nearest, Resampling.mode)}
        seen[driver] = (file.read(1) == classes).all(), *(half[way] for way in ("nearest", "mode"))
print(f"rasterio {rasterio.__version__}, GDAL {rasterio.__gdal_version__}")
print("Guess: the classes 1, 4 and 9, from either file.")
print("Seen: a cloud optimised GeoTIFF, which is whole at its own size, gives classes at half of it that the map has not:")
for driver, (whole, nearest, mode) in seen.items():
    print(f"    {driver:5} {'equal' if whole else 'other'} at its own size; at half of it by nearest {np.unique(nearest).tolist()}, by mode {np.unique(mode).tolist()},")
    print(f"          {(~np.isin(nearest, (1, 4, 9))).mean():.0%} of the pixels have another class than 1, 4 and 9")
plain, cog = seen["GTiff"], seen["COG"]
raise SystemExit(not (plain[0] and cog[0] and set(np.unique(plain[1])) == {1, 4, 9} and (~np.isin(cog[1], (1, 4, 9))).mean() > 0.3
                      and len(np.unique(cog[2])) > 3))
PY
env/bin/python -W ignore show.py
