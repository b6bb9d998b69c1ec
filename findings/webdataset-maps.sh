#!/usr/bin/env bash
# Guess: `decode("pil")` gives the picture that Pillow would open: a map of classes its classes, a map of depth its depths.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check webdataset==1.0.2 pillow==13.0.0 numpy==2.4.6
cat > show.py <<'PY'
from importlib.metadata import version

import numpy as np
import webdataset as wds
from PIL import Image

classes = Image.fromarray(np.array([[0, 5, 7, 255]], np.uint8))
classes.putpalette([(37 * i * c) % 256 for i in range(256) for c in (1, 2, 3)])  # as VOC and ADE20K keep theirs
classes.save("classes.png")
Image.fromarray(np.array([[90, 300, 1200, 60000]], np.uint16)).save("depth.png")  # millimetres, 16 bits
with wds.TarWriter("one.tar") as tar:
    tar.write({"__key__": "a", "classes.png": open("classes.png", "rb").read(), "depth.png": open("depth.png", "rb").read()})
print(f"webdataset {version('webdataset')}, Pillow {version('pillow')}")
print("Guess: with \"pil\" classes 0 5 7 255 and depths 90 300 1200 60000; with \"l8\", one number a pixel, the classes too.")
print("Seen: every PNG is made a photograph first: classes become their palette's colours or greys, and depths end at 255:")
said = {}
for how in ("pil", "l8"):
    one = next(iter(wds.WebDataset("one.tar", shardshuffle=False).decode(how)))
    said[how] = [np.asarray(one[f]) for f in ("classes.png", "depth.png")]
    for name, got in zip(("classes", "depth"), said[how]):
        print(f"    {how:4} {name:8} shape {got.shape}  first channel {(got[..., 0] if got.ndim == 3 else got).ravel().tolist()}")
first = [a[..., 0] if a.ndim == 3 else a for pair in said.values() for a in pair]
raise SystemExit(not (first[1].tolist() == first[3].tolist() == [[90, 255, 255, 255]] and first[0].tolist() != [[0, 5, 7, 255]]
                      and first[2].tolist() != [[0, 5, 7, 255]]))
PY
env/bin/python -W ignore show.py
