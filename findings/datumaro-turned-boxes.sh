#!/usr/bin/env bash
# Guess: a turned box of a CVAT file becomes, in a COCO file, an outline or the upright box around it; an ellipse becomes an outline.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check datumaro==1.13.12
cat > show.py <<'PY'
import json
import os
from collections import Counter
from importlib.metadata import version

import datumaro
from PIL import Image

os.makedirs("cvat/images")
for name in ("a.png", "b.png"):
    Image.new("RGB", (80, 60)).save(f"cvat/images/{name}")
with open("cvat/train.xml", "w") as file:
    file.write("""<?xml version="1.0" encoding="utf-8"?><annotations><version>1.1</version>
<meta><task><labels><label><name>ship</name><attributes></attributes></label></labels></task></meta>
<image id="0" name="a.png" width="80" height="60">
  <box label="ship" occluded="0" xtl="2" ytl="2" xbr="12" ybr="10" z_order="0"></box>
  <box label="ship" occluded="0" xtl="20" ytl="20" xbr="50" ybr="30" z_order="0" rotation="30"></box>
  <ellipse label="ship" occluded="0" cx="60" cy="45" rx="8" ry="5" z_order="0"></ellipse>
</image>
<image id="1" name="b.png" width="80" height="60">
  <box label="ship" occluded="0" xtl="20" ytl="20" xbr="50" ybr="30" z_order="0" rotation="30"></box>
</image></annotations>""")
data = datumaro.Dataset.import_from("cvat", "cvat")
read = {item.id: [type(a).__name__ for a in item.annotations] for item in data}
data.export("coco", "coco", save_media=True)
data.export("yolo", "yolo", save_media=True)
coco = json.load(open("coco/annotations/instances_train.json"))
names = {i["id"]: i["file_name"] for i in coco["images"]}
in_coco = Counter(names[a["image_id"]] for a in coco["annotations"])
in_yolo = {n: len(open(f"yolo/obj_train_data/{n}.txt").read().split()) // 5 for n in "ab"}
print(f"datumaro {version('datumaro')}")
print("Guess: a.png has three ships in whatever it is written as, and b.png one.")
print("Seen: ellipses are passed over when a file is read, turned boxes when one is written, without a word; b.png is a picture of nothing:")
print(f"    read           a.png {read['a']}, b.png {read['b']}")
print(f"    in COCO's file a.png {in_coco['a.png']}, b.png {in_coco['b.png']}")
print(f"    in YOLO's      a.png {in_yolo['a']}, b.png {in_yolo['b']}")
raise SystemExit(not (sorted(read["a"]) == ["Bbox", "RotatedBbox"] and read["b"] == ["RotatedBbox"] and in_coco == {"a.png": 1}
                      and in_yolo == {"a": 1, "b": 0}))
PY
env/bin/python -W ignore show.py
