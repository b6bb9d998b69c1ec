#!/usr/bin/env bash
# Guess: a crowd of a COCO file (`iscrowd` 1) is a crowd in what sahi writes of it.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check sahi==0.12.8 numpy==2.4.6 pillow==13.0.0
cat > show.py <<'PY'
import json
from importlib.metadata import version

from PIL import Image
from sahi.slicing import slice_coco
from sahi.utils.coco import Coco

Image.new("RGB", (80, 60)).save("one.png")
with open("truth.json", "w") as file:
    json.dump({"images": [{"id": 1, "file_name": "one.png", "width": 80, "height": 60}],
               "categories": [{"id": 1, "name": "person"}],
               "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [5, 5, 20, 20], "area": 400, "iscrowd": 0,
                                "segmentation": [[5, 5, 25, 5, 25, 25, 5, 25]]},
                               {"id": 2, "image_id": 1, "category_id": 1, "bbox": [10, 30, 60, 20], "area": 1200,
                                "iscrowd": 1, "segmentation": {"size": [60, 80], "counts": [630, *[20, 40] * 59, 20, 610]}}]},
              file)
whole = Coco.from_coco_dict_or_path("truth.json").json
tiles, _ = slice_coco("truth.json", ".", "tiles", output_dir="tiles", slice_height=60, slice_width=40,
                      overlap_height_ratio=0, overlap_width_ratio=0, verbose=False)
print(f"sahi {version('sahi')}")
print("Guess: one object and one crowd, as the file has it, read and written; of two tiles each holds a part of the crowd, as a crowd.")
print("Seen: the crowd is an object like another, a box alone, to be found by a detector and counted as missed:")
for name, file in (("in the file", json.load(open("truth.json"))), ("written again", whole), ("in tiles", tiles)):
    print(f"    {name:14} iscrowd {[a['iscrowd'] for a in file['annotations']]}")
raise SystemExit(any(a["iscrowd"] for a in whole["annotations"] + tiles["annotations"]))
PY
env/bin/python -W ignore show.py 2> said || { status=$?; cat said; exit $status; }  # its bars of progress
