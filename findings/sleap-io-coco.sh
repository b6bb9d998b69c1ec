#!/usr/bin/env bash
# Guess: a COCO file of keypoints that sleap-io reads and writes says the same afterwards of boxes, areas, visibility and objects.
# (sleap_io/io/coco.py: an object's box and area are made anew of its points, a point of visibility 1 is read as seen, and an outline becomes a mask
# of its own, which is written with iscrowd 1.)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check sleap-io==0.9.5 numpy==2.4.6 pillow==13.0.0
cat > show.py <<'PY'
import json

import sleap_io
from PIL import Image

Image.new("RGB", (64, 48)).save("a.png")
points = [10, 11, 2, 20, 21, 1, 0, 0, 0]  # the second is hidden, the third unknown
mouse = {"id": 1, "image_id": 1, "category_id": 1, "keypoints": points, "num_keypoints": 2, "bbox": [5, 5, 30, 30], "area": 450.0, "iscrowd": 0,
         "segmentation": [[5, 5, 35, 5, 35, 35]]}
kind = {"id": 1, "name": "mouse", "keypoints": ["nose", "tail", "ear"], "skeleton": [[1, 2]]}
with open("in.json", "w") as f:
    json.dump({"images": [{"id": 1, "file_name": "a.png", "width": 64, "height": 48}], "categories": [kind], "annotations": [mouse]}, f)
sleap_io.save_coco(sleap_io.load_coco("in.json"), "out.json")
with open("out.json") as f:
    written = json.load(f)["annotations"]
print(f"sleap-io {sleap_io.__version__}")
print("Guess: one object with the box 5 5 30 30 and the area 450, by which COCO's keypoint similarity is scaled; its second point is hidden (1).")
print("Seen: the box is that of the points, the area with it a fifth, the hidden point is seen (2), and the outline is a second object, a crowd:")
for a in (mouse, *written):
    print(f"    {'in ' if a is mouse else 'out'} box {' '.join(f'{v:g}' for v in a['bbox'])}, area {a['area']:g}, iscrowd {a['iscrowd']}, keypoints "
          + " ".join(f"{v:g}" for v in a.get("keypoints", [])))
first, second = written
raise SystemExit(not (first["bbox"] == [10, 11, 10, 10] and first["area"] == 100 and first["keypoints"][5] == 2 and second["iscrowd"] == 1
                      and "keypoints" not in second))
PY
env/bin/python -W ignore show.py
