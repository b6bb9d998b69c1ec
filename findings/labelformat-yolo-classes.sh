#!/usr/bin/env bash
# Guess: classes of a YOLO set are numbered from 0 without gaps, as its trainers have it, whatever ids COCO gave them.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check labelformat==0.1.17 pyyaml==6.0.3
cat > show.py <<'PY'
import json
from importlib.metadata import version
from pathlib import Path

import yaml
from labelformat.formats import COCOObjectDetectionInput, YOLOv8ObjectDetectionOutput

Path("truth.json").write_text(json.dumps({
    "images": [{"id": 1, "file_name": "one.jpg", "width": 30, "height": 20}],
    "categories": [{"id": 3, "name": "cat"}, {"id": 7, "name": "dog"}],
    "annotations": [{"id": 1, "image_id": 1, "category_id": 7, "bbox": [3, 2, 4, 3], "area": 12, "iscrowd": 0}]}))
found = COCOObjectDetectionInput(Path("truth.json"))
YOLOv8ObjectDetectionOutput(output_file=Path("yolo/data.yaml"), output_split="train").save(label_input=found)
said = yaml.safe_load(Path("yolo/data.yaml").read_text())
line = Path("yolo/labels/one.txt").read_text().split()
print(f"labelformat {version('labelformat')}")
print("Guess: COCO's categories 3 and 7 become the classes 0 and 1.")
print("Seen: they keep their numbers, beside a count of classes under them:")
print(f"    data.yaml  nc: {said['nc']}, names: {said['names']}")
print(f"    one.txt    a dog is class {line[0]}")
raise SystemExit((said["nc"], said["names"], line[0]) != (2, {3: "cat", 7: "dog"}, "7"))
PY
env/bin/python -W ignore show.py
