#!/usr/bin/env bash
# Guess: a film of ten pictures that imageio writes as GIF, APNG or WebP and reads again has ten.
# (Pillow, which imageio writes by, makes one frame of neighbours that are alike, and adds up the time for which it is shown.)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check imageio==2.38.1 pillow==13.0.0 numpy==2.4.6
cat > show.py <<'PY'
from importlib.metadata import version

import imageio.v3 as imageio
import numpy as np

greys = [0, 50, 50, 50, 100, 150, 200, 200, 250, 250]  # an agent waits in three places
film = [np.full((16, 16, 3), grey, np.uint8) for grey in greys]
seen = {}
for kind in ("gif", "png", "webp"):
    imageio.imwrite(f"film.{kind}", film, plugin="pillow", duration=50, **({"lossless": True} if kind == "webp" else {}))
    seen[kind] = [int(frame.mean().round()) for frame in imageio.imread(f"film.{kind}", index=..., plugin="pillow")]
print(f"imageio {version('imageio')}, Pillow {version('pillow')}")
print("Guess: the picture at index 7 is the one of step 7.")
print("Seen: neighbours that are alike are one frame, shown for longer; from the first wait on each index is another step:")
print(f"    {'written':8}{len(greys):3}: {' '.join(map(str, greys))}")
for kind, read in seen.items():
    print(f"    {kind:8}{len(read):3}: {' '.join(map(str, read))}")
raise SystemExit(any(read != [0, 50, 100, 150, 200, 250] for read in seen.values()))
PY
env/bin/python -W ignore show.py
