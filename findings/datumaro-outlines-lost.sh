#!/usr/bin/env bash
# Guess: a COCO set whose objects have outlines, written as VOC segmentation, has every object in its masks.
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
os.makedirs("coco/images/train")
os.makedirs("coco/annotations")
for k in (1, 2):
    Image.new("RGB", (30, 20)).save(f"coco/images/train/{k}.jpg")
outline = {"category_id": 1, "bbox": [3, 2, 4, 3], "area": 12, "iscrowd": 0, "segmentation": [[3, 2, 7, 2, 7, 5, 3, 5]]}
# a crowd is run lengths, column after column: rows 0 to 3 of the columns 20 to 23
runs = {"size": [20, 30], "counts": [400, 4, 16, 4, 16, 4, 16, 4, 136]}
crowd = {"category_id": 1, "bbox": [20, 0, 4, 4], "area": 16, "iscrowd": 1, "segmentation": runs}
with open("coco/annotations/instances_train.json", "w") as file:
    json.dump({"images": [{"id": k, "file_name": f"{k}.jpg", "width": 30, "height": 20} for k in (1, 2)],
               "categories": [{"id": 1, "name": "cat"}],
               "annotations": [{"id": 1, "image_id": 1, **outline}, {"id": 2, "image_id": 1, **crowd},
                               {"id": 3, "image_id": 2, **outline}]}, file)
Dataset.import_from("coco", "coco_instances").export("voc", "voc_segmentation", save_media=True)
drawn = np.asarray(Image.open("voc/SegmentationObject/1.png").convert("L")) > 0
listed = open("voc/ImageSets/Segmentation/train.txt").read().split()
print(f"datumaro {version('datumaro')}")
print("Guess: picture 1 has an object of 12 pixels and a crowd of 16, picture 2 an object of 12, and both are listed.")
print("Seen: outlines are left out, without a word; what is drawn is the crowd, the one thing VOC has no word for:")
print(f"    picture 1: {drawn.sum()} pixels, columns {np.nonzero(drawn)[1].min()} to {np.nonzero(drawn)[1].max()}")
print(f"    picture 2: {'a mask' if os.path.exists('voc/SegmentationObject/2.png') else 'no mask'};  listed: {listed}")
raise SystemExit(not (drawn.sum() == 16 and drawn[:4, 20:24].all() and listed == ["1"]))
PY
env/bin/python -W ignore show.py
