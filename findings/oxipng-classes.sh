#!/usr/bin/env bash
# Guess: oxipng is lossless: a map of classes whose numbers are its palette's indices, as of Pascal VOC, is the same afterwards.
# (Lossless are the colours: entries of the palette that no pixel has are taken out, and the others are moved up or sorted.)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check pyoxipng==9.1.1 pillow==13.0.0 numpy==2.4.6
cat > show.py <<'PY'
from importlib.metadata import version

import numpy as np
import oxipng
import PIL
from PIL import Image

classes = np.zeros((60, 80), np.uint8)
classes[10:30, 10:40], classes[35:55, 30:70] = 15, 7  # a person and a car of Pascal VOC
image = Image.fromarray(classes)
palette = np.random.default_rng(0).integers(0, 256, (256, 3)).astype(np.uint8)
image.putpalette(palette.tobytes())
image.save("map.png")
seen = {}
for level in (0, 2, 6):
    oxipng.optimize("map.png", "small.png", level=level)
    with Image.open("small.png") as small:
        seen[level] = np.unique(np.asarray(small)).tolist(), bool((np.asarray(small.convert("RGB")) == palette[classes]).all())
print(f"pyoxipng {version('pyoxipng')}, Pillow {PIL.__version__}")
print("Guess: the classes 0, 7 and 15 before and after.")
print("Seen: the colours are the same, and the classes are 0, 1 and 2, at every level:")
for level, (numbers, colours) in seen.items():
    print(f"    level {level}: classes {numbers}, colours {'equal' if colours else 'others'}")
raise SystemExit(any(numbers != [0, 1, 2] or not colours for numbers, colours in seen.values()))
PY
env/bin/python -W ignore show.py
