#!/usr/bin/env bash
# Guess: objects that a VOC segmentation set holds as masks are objects in the COCO file that datumaro writes of it.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check datumaro==1.13.12
cat > show.py <<'PY'
import json
import logging
import os
from importlib.metadata import version

import numpy as np
from datumaro import Dataset
from PIL import Image

logging.disable(logging.WARNING)
for folder in ("JPEGImages", "SegmentationClass", "SegmentationObject", "ImageSets/Segmentation"):
    os.makedirs(f"voc/{folder}")
Image.new("RGB", (30, 20)).save("voc/JPEGImages/1.jpg")
colours = [0, 0, 0, 128, 0, 0, 0, 128, 0] + [0] * (253 * 3)  # VOC's first three
objects = np.zeros((20, 30), np.uint8)
objects[2:8, 3:10], objects[10:18, 12:24] = 1, 2
for folder, drawn in (("SegmentationClass", (objects > 0).astype(np.uint8)), ("SegmentationObject", objects)):
    picture = Image.fromarray(drawn)
    picture.putpalette(colours)
    picture.save(f"voc/{folder}/1.png")
with open("voc/ImageSets/Segmentation/train.txt", "w") as file:
    file.write("1\n")
Dataset.import_from("voc", "voc_segmentation").export("coco", "coco_instances")
with open("coco/annotations/instances_train.json") as file:
    written = json.load(file)["annotations"]
print(f"datumaro {version('datumaro')}")
print("Guess: two aeroplanes of 42 and 96 pixels, iscrowd 0: VOC has no crowds.")
print("Seen: what is a mask and says nothing of crowds becomes one; in the COCO file is nothing that a detector is asked to find:")
for one in written:
    print(f"    area {one['area']:g}, iscrowd {one['iscrowd']}")
raise SystemExit(not (len(written) == 2 and all(one["iscrowd"] == 1 for one in written)))
PY
env/bin/python -W ignore show.py
