#!/usr/bin/env bash
# Guess: tifffile writes a stack of four masks as it writes one of two or of five: a page each.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check tifffile==2026.3.3 pillow==13.0.0 numpy==2.4.6
cat > show.py <<'PY'
import numpy as np
import PIL
import tifffile
from PIL import Image

seen = {}
for n in (2, 3, 4, 5):
    masks = np.zeros((n, 8, 8), np.uint8)
    for k in range(n):
        masks[k, k] = 255  # the mask k is row k
    tifffile.imwrite(f"{n}.tif", masks)
    with Image.open(f"{n}.tif") as image:
        alone = np.asarray(image.convert("L"))  # as who reads a mask does
        seen[n] = image.n_frames, image.mode, sorted({int(y) for y in np.nonzero(alone)[0]})
print(f"tifffile {tifffile.__version__}, pillow {PIL.__version__}")
print("Guess: as many pages as masks, and the first page is the first mask, row 0.")
print("Seen: a stack whose first axis is 3 or 4 long is taken for the colours of one picture, 4 for those and how opaque they are: read as grey,")
print("    three masks are one, and of four the last is not there:")
for n, (pages, mode, rows) in seen.items():
    print(f"    {n} masks  {pages} page{'s' if pages > 1 else ' '}  mode {mode:4}  read as grey, first page: rows {rows}")
raise SystemExit(seen != {2: (2, "L", [0]), 3: (1, "RGB", [0, 1, 2]), 4: (1, "RGBA", [0, 1, 2]), 5: (5, "L", [0])})
PY
env/bin/python -W ignore show.py
