#!/usr/bin/env bash
# Guess: of a turned rectangle Label Studio writes, in COCO's format, the upright box around it.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check label-studio-sdk==2.1.2 pillow==13.0.0
cat > show.py <<'PY'
import json
import os
import xml.etree.ElementTree as ET
from importlib.metadata import version

from label_studio_sdk.converter import Converter
from PIL import Image

WIDE, HIGH = 400, 100
Image.new("RGB", (WIDE, HIGH)).save("a.png")
# 40 pixels wide and 20 high, turned by a quarter clockwise about its upper left corner (80, 20): it covers 60..80 and 20..60
region = {"id": "r", "type": "rectanglelabels", "from_name": "label", "to_name": "image", "original_width": WIDE,
          "original_height": HIGH, "image_rotation": 0,
          "value": {"x": 20, "y": 20, "width": 10, "height": 20, "rotation": 90, "rectanglelabels": ["cat"]}}
with open("tasks.json", "w") as file:
    json.dump([{"id": 1, "data": {"image": os.path.abspath("a.png")},
                "annotations": [{"id": 1, "completed_by": 1, "was_cancelled": False, "result": [region]}]}], file)
converter = Converter('<View><Image name="image" value="$image"/><RectangleLabels name="label" toName="image">'
                      '<Label value="cat"/></RectangleLabels></View>', ".")
converter.convert_to_coco("tasks.json", "coco", is_dir=False)
converter.convert_to_voc("tasks.json", "voc", is_dir=False)
converter.convert_to_yolo("tasks.json", "yolo", is_dir=False)
converter.convert_to_yolo("tasks.json", "turned", is_dir=False, is_obb=True)
x, y, w, h = json.load(open("coco/result.json"))["annotations"][0]["bbox"]
box = ET.parse("voc/Annotations/a.xml").find("object/bndbox")
cx, cy, dx, dy = (float(v) for v in open("yolo/labels/a.txt").read().split()[1:])
corners = [float(v) for v in open("turned/labels/a.txt").read().split()[1:]]
xs, ys = corners[0::2], corners[1::2]
seen = {"COCO": [x, y, x + w, y + h], "VOC": [float(box.findtext(k)) for k in ("xmin", "ymin", "xmax", "ymax")],
        "YOLO": [(cx - dx / 2) * WIDE, (cy - dy / 2) * HIGH, (cx + dx / 2) * WIDE, (cy + dy / 2) * HIGH],
        "YOLO OBB": [min(xs) * WIDE, min(ys) * HIGH, max(xs) * WIDE, max(ys) * HIGH]}
seen = {k: [abs(round(v)) for v in b] for k, b in seen.items()}
print(f"label-studio-sdk {version('label-studio-sdk')}")
print("Guess: [60, 20, 80, 60], in all formats that have upright boxes.")
print("Seen: for COCO it is turned in per cent of the picture, whose width and height have different ones; for VOC and YOLO it is not turned at all:")
for name, found in seen.items():
    print(f"    {name:9} {found}")
raise SystemExit(seen != {"COCO": [0, 20, 80, 30], "VOC": [80, 20, 120, 40], "YOLO": [80, 20, 120, 40], "YOLO OBB": [60, 20, 80, 60]})
PY
env/bin/python -W ignore show.py
