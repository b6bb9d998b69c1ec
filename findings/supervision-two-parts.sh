#!/usr/bin/env bash
# Guess: an object in two parts, or with a hole, is an object in the COCO file that supervision writes of its masks.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check supervision==0.31.2 numpy==2.4.6 pillow==13.0.0
cat > show.py <<'PY'
import json
from importlib.metadata import version

import numpy as np
import supervision as sv
from PIL import Image

Image.new("RGB", (30, 20)).save("one.png")
masks = np.zeros((3, 20, 30), bool)
masks[0, 2:6, 2:8] = True  # whole
masks[1, 8:10, 2:8] = masks[1, 12:16, 2:8] = True  # behind a bar: two parts
masks[2, 2:12, 14:26] = True
masks[2, 5:8, 18:22] = False  # a ring
found = sv.Detections(xyxy=sv.mask_to_xyxy(masks).astype(float), mask=masks, class_id=np.zeros(3, int))
sv.DetectionDataset(["thing"], ["one.png"], {"one.png": found}).as_coco(annotations_path="out.json")
with open("out.json") as file:
    written = json.load(file)["annotations"]
print(f"supervision {version('supervision')}")
print("Guess: three objects, iscrowd 0.")
print("Seen: what a polygon does not hold is written as run lengths, and with them iscrowd 1: COCO's measure then asks nobody to find it,")
print("    and most loaders do not train on it:")
for name, one in zip(("whole", "two parts", "with a hole"), written):
    kind = "polygon" if isinstance(one["segmentation"], list) else "run lengths"
    print(f"    {name:12} {kind:12} iscrowd {one['iscrowd']}")
raise SystemExit([one["iscrowd"] for one in written] != [0, 1, 1])
PY
env/bin/python -W ignore show.py
