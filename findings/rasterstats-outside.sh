#!/usr/bin/env bash
# Guess: what of a zone lies outside of the raster has no value, and does not count.
# (rasterstats/io.py, `Raster.read`: an array is laid into one full of `nodata`, which is -999 where none is named; a file is read by rasterio with
# `boundless=True`, which fills with 0 where the file names no nodata value.)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check rasterstats==0.21.0 rasterio==1.4.4 shapely==2.2.0 numpy==2.4.6
cat > show.py <<'PY'
from importlib.metadata import version

import numpy as np
import rasterio
from rasterstats import zonal_stats

classes = np.array([[1, 1, 2, 2]] * 4, np.int16)  # no pixel of class 0
place = rasterio.transform.from_origin(0, 4, 1, 1)  # x from 0 to 4, y from 4 down to 0, a pixel is 1 wide and high
for name, nodata in (("plain.tif", None), ("named.tif", 9)):
    with rasterio.open(name, "w", driver="GTiff", width=4, height=4, count=1, dtype="int16", transform=place, nodata=nodata) as file:
        file.write(classes, 1)
zone = {"type": "Polygon", "coordinates": [[[-2, 0], [2, 0], [2, 4], [-2, 4], [-2, 0]]]}  # half of it outside, half on class 1
ways = {"an array": (classes, {"affine": place}), "a file, nodata 9": ("named.tif", {}), "a file without nodata": ("plain.tif", {}),
        "the same, nodata=-999 in the call": ("plain.tif", {"nodata": -999})}
seen = {said: (zonal_stats(zone, source, stats=["count", "mean", "min"], **more)[0], zonal_stats(zone, source, categorical=True, stats=[], **more)[0])
        for said, (source, more) in ways.items()}
print(f"rasterstats {version('rasterstats')}, rasterio {version('rasterio')}")
print("Guess: of a zone of 16 pixels of which 8 are outside of the raster 8 count, all of class 1.")
print("Seen: so it is for an array; of a file that names no nodata value the 8 outside are of class 0, though the package says that it sets nodata to -999:")
for said, (numbers, counted) in seen.items():
    print(f"    {said:34} {numbers}   pixels by class {counted}")
right, wrong = ({"min": 1.0, "mean": 1.0, "count": 8}, {1: 8}), ({"min": 0.0, "mean": 0.5, "count": 16}, {0: 8, 1: 8})
raise SystemExit(list(seen.values()) != [right, right, wrong, wrong])
PY
env/bin/python -W ignore show.py
