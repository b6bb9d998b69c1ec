#!/usr/bin/env bash
# Guess: of a Create ML file datumaro reads x and y as the middle of a box, which Apple's description says they are
# ("Building an object detector data source"; Roboflow's export writes them so too).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check datumaro==1.13.12
cat > show.py <<'PY'
import json
import os
from importlib.metadata import version

import datumaro
from PIL import Image

os.makedirs("data/train")
Image.new("RGB", (200, 150)).save("data/train/a.png")
json.dump([{"image": "a.png", "annotations": [
    {"label": "cat", "coordinates": {"x": 100, "y": 75, "width": 40, "height": 20}}]}],
    open("data/train/_annotations.createml.json", "w"))
(item,) = datumaro.Dataset.import_from("data", "roboflow_create_ml")
seen = [float(v) for v in item.annotations[0].points]
print(f"datumaro {version('datumaro')}")
print("Guess: a box of 40 x 20 around (100, 75): corners 80, 65, 120, 85.")
print("Seen: the middle is taken as the upper left corner, so that every box lies half its size too far right and down:")
print(f"    {seen}")
raise SystemExit(seen != [100.0, 75.0, 140.0, 95.0])
PY
env/bin/python show.py
