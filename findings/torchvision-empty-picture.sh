#!/usr/bin/env bash
# Guess: a picture without objects has what was asked for, empty: boxes of shape (0, 4), no labels.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check torchvision==0.29.1 torch==2.14.1 pycocotools==2.0.11 pillow==13.0.0 numpy==2.4.6
cat > show.py <<'PY'
import contextlib
import io
import json

import torch
import torchvision
from PIL import Image
from torchvision.datasets import CocoDetection, wrap_dataset_for_transforms_v2

for k in (1, 2):
    Image.new("RGB", (20, 20)).save(f"{k}.png")
with open("truth.json", "w") as file:
    json.dump({"images": [{"id": k, "file_name": f"{k}.png", "width": 20, "height": 20} for k in (1, 2)],
               "categories": [{"id": 1, "name": "thing"}],
               "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 1, 5, 5], "area": 25, "iscrowd": 0}]},
              file)
with contextlib.redirect_stdout(io.StringIO()):
    data = wrap_dataset_for_transforms_v2(CocoDetection(".", "truth.json"), target_keys=("boxes", "labels"))
print(f"torchvision {torchvision.__version__}, torch {torch.__version__}")
print('Guess: each target has the keys asked for, "boxes" and "labels".')
print('Seen: the target of a picture without objects has the key "image_id" alone, which was not asked for:')
keys = [sorted(data[k][1]) for k in range(2)]
for name, has in zip(("with an object", "without any"), keys):
    print(f"    a picture {name:15} {has}")
raise SystemExit(keys != [["boxes", "labels"], ["image_id"]])
PY
env/bin/python -W ignore show.py
