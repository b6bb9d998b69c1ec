#!/usr/bin/env bash
# Guess: where two maps overlap, `merge` of rasterio with method "first" keeps what the first says, whatever class that is.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check rasterio==1.4.4 numpy==2.4.6
cat > show.py <<'PY'
import numpy as np
import rasterio
from rasterio.merge import merge
from rasterio.transform import from_origin


def tile(path, kind, left):
    with rasterio.open(path, "w", driver="GTiff", width=4, height=1, count=1, dtype="uint8", crs="EPSG:3857",
                       transform=from_origin(left, 1, 1, 1)) as file:
        file.write(np.full((1, 1, 4), kind, np.uint8))
    return path


seen = {}
for kind in (0, 1):
    tiles = [tile("left.tif", kind, 0), tile("right.tif", 5, 2)]  # two columns of each are the same place; none says nodata
    seen[kind] = [merge(tiles, method=how)[0].ravel().tolist() for how in ("first", "last")]
    seen[kind].append(merge(tiles, nodata=255)[0].ravel().tolist())
print(f"rasterio {rasterio.__version__}, GDAL {rasterio.__gdal_version__}")
print("Guess: the first tile's four pixels, then two of the second.")
print("Seen: without a nodata value 0 is one: where the first tile says class 0, a class like any other, the second is taken:")
for kind, (first, last, told) in seen.items():
    print(f"    tiles of {kind} and 5:  first {first}  last {last}  first, nodata=255 {told}")
raise SystemExit(seen != {0: [[0, 0, 5, 5, 5, 5], [0, 0, 5, 5, 5, 5], [0, 0, 0, 0, 5, 5]],
                          1: [[1, 1, 1, 1, 5, 5], [1, 1, 5, 5, 5, 5], [1, 1, 1, 1, 5, 5]]})
PY
env/bin/python -W ignore show.py
