#!/usr/bin/env bash
# Guess: a COCO object is one shape in the CVAT file that datumaro writes of it.
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
import xml.etree.ElementTree as ET
from importlib.metadata import version

from datumaro import Dataset
from PIL import Image

logging.disable(logging.WARNING)
os.makedirs("coco/images/train")
os.makedirs("coco/annotations")
Image.new("RGB", (30, 20)).save("coco/images/train/1.jpg")
with open("coco/annotations/instances_train.json", "w") as file:
    json.dump({"images": [{"id": 1, "file_name": "1.jpg", "width": 30, "height": 20}], "categories": [{"id": 1, "name": "cat"}],
               "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [3, 2, 4, 3], "area": 12, "iscrowd": 0,
                                "segmentation": [[3, 2, 7, 2, 7, 5, 3, 5]]}]}, file)
Dataset.import_from("coco", "coco_instances").export("cvat", "cvat")
Dataset.import_from("coco", "coco_instances").export("labelme", "label_me")
shapes = [shape.tag for shape in ET.parse("cvat/train.xml").getroot().find("image")]
more = [one.findtext("name") for one in ET.parse("labelme/Annotations/train/1.xml").getroot().iter("object")]
print(f"datumaro {version('datumaro')}")
print("Guess: one polygon, of one cat.")
print("Seen: its box is an annotation of its own beside it, in one group; CVAT shows and counts two cats, LabelMe's file holds two too:")
print(f"    CVAT     {shapes}")
print(f"    LabelMe  {more}")
raise SystemExit(not (shapes == ["polygon", "box"] and more == ["cat", "cat"]))
PY
env/bin/python -W ignore show.py
