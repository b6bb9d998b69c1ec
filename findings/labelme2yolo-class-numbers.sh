#!/usr/bin/env bash
# Guess: the same files, converted twice by the same command, have the same numbers of classes.
# The page of labelme2yolo (pypi.org/project/labelme2yolo, 0.4.0) has "--seed: seed for random shuffling [default: 42]", so that what is random is repeated, and
# nothing about the order of classes; only `--help` knows of `--deterministic_labels` ("slower but consistent IDs across runs").
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check labelme2yolo==0.4.0 pillow==13.0.0 pyyaml==6.0.4
cat > show.py <<'PY'
import json
import shutil
import subprocess
from importlib.metadata import version

import yaml
from PIL import Image

names = ["cat", "dog", "elk", "fox", "owl"]
for number in range(5):
    Image.new("RGB", (200, 100)).save(f"{number}.png")
    shapes = [{"label": name, "points": [[20 * k + 5, 10], [20 * k + 20, 60]], "shape_type": "rectangle", "group_id": None, "flags": {}} for k, name in enumerate(names)]
    with open(f"{number}.json", "w") as file:
        json.dump({"version": "5.5.0", "flags": {}, "shapes": shapes, "imagePath": f"{number}.png", "imageData": None, "imageHeight": 100, "imageWidth": 200}, file)


def classes(*options):
    shutil.rmtree("YOLODataset", ignore_errors=True)
    subprocess.run(["env/bin/labelme2yolo", "--json_dir", ".", *options], check=True, capture_output=True)
    with open("YOLODataset/dataset.yaml") as file:
        return list(yaml.safe_load(file)["names"].values())


plain, told = [classes() for _ in range(8)], [classes("--deterministic_labels") for _ in range(4)]
print(f"labelme2yolo {version('labelme2yolo')}")
print("Guess: eight conversions, one order of classes.")
print("Seen: the order is that of a hash table, another one each time: labels of today's conversion name other things to yesterday's network:")
for order in plain[:4]:
    print("    ", ", ".join(f"{k} {name}" for k, name in enumerate(order)))
print(f"    {len(set(map(tuple, plain)))} orders in eight conversions; with --deterministic_labels {len(set(map(tuple, told)))} in four: {', '.join(told[0])}")
raise SystemExit(not (len(set(map(tuple, plain))) > 1 and len(set(map(tuple, told))) == 1 and all(sorted(p) == names for p in plain)))
PY
env/bin/python -W ignore show.py
