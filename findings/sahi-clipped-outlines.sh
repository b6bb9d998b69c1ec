#!/usr/bin/env bash
# Guess: sahi's `clip_bboxes_to_img_dims=True` clips boxes that leave the picture, and does nothing else.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check sahi==0.12.8 numpy==2.4.6 pillow==13.0.0
cat > show.py <<'PY'
import json
from importlib.metadata import version

from sahi.utils.coco import Coco

with open("truth.json", "w") as file:
    json.dump({"images": [{"id": 1, "file_name": "one.png", "width": 80, "height": 60}], "categories": [{"id": 1, "name": "kite"}],
               "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [5, 5, 20, 20], "area": 200, "iscrowd": 0,
                                "segmentation": [[5, 5, 25, 5, 5, 25]]},
                               {"id": 2, "image_id": 1, "category_id": 1, "bbox": [70, 50, 20, 20], "area": 200, "iscrowd": 0,
                                "segmentation": [[70, 50, 90, 50, 70, 70]]}]}, file)
written = {clip: Coco.from_coco_dict_or_path("truth.json", clip_bboxes_to_img_dims=clip).json["annotations"] for clip in (False, True)}
print(f"sahi {version('sahi')}")
print("Guess: the second kite's box ends at the picture's edge, at 80 and 60; the first stays as it is.")
print("Seen: every object becomes a box alone, also one that lies inside: the outlines are gone, and areas are those of the boxes:")
for clip, objects in written.items():
    for one in objects:
        print(f"    clip {clip!s:5}  box {one['bbox']}, area {one['area']}, outline {one['segmentation']}")
raise SystemExit(not (all(one["segmentation"] for one in written[False]) and not any(one["segmentation"] for one in written[True])
                      and [one["area"] for one in written[True]] == [400, 100]))
PY
env/bin/python -W ignore show.py 2> said || { status=$?; cat said; exit $status; }  # its bars of progress
