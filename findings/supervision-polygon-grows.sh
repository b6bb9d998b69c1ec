#!/usr/bin/env bash
# Guess: a polygon of a COCO file becomes the mask that pycocotools makes of it, but perhaps for a pixel at a corner.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check supervision==0.31.2 pycocotools==2.0.11 pillow==13.0.0 numpy==2.4.6
cat > show.py <<'PY'
import json
from importlib.metadata import version

import numpy as np
import supervision as sv
from PIL import Image
from pycocotools import mask

square = [3, 2, 7, 2, 7, 5, 3, 5]  # 4 wide, 3 high
Image.fromarray(np.zeros((20, 30, 3), np.uint8)).save("one.png")
with open("truth.json", "w") as file:
    json.dump({"images": [{"id": 1, "file_name": "one.png", "width": 30, "height": 20}],
               "categories": [{"id": 1, "name": "thing"}],
               "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [3, 2, 4, 3], "area": 12,
                                "iscrowd": 0, "segmentation": [square]}]}, file)
data = sv.DetectionDataset.from_coco(images_directory_path=".", annotations_path="truth.json", force_masks=True)
read = next(iter(data))[2]
theirs = mask.decode(mask.frPyObjects([square], 20, 30))[..., 0].astype(bool)
ours = read.mask[0]
rows, columns = np.nonzero(ours)
print(f"supervision {version('supervision')}, pycocotools {version('pycocotools')}")
print("Guess: the outline (3, 2) to (7, 5) holds 12 pixels for both, as the file's `area` says.")
print("Seen: supervision fills the outline's right and lower edge too, so that each mask is a column and a row larger:")
print(f"    pycocotools {theirs.sum()} pixels")
print(f"    supervision {ours.sum()} pixels, columns {columns.min()} to {columns.max()}, rows {rows.min()} to {rows.max()}, "
      f"beside its box {read.xyxy[0].tolist()}")
print(f"    IoU of the two {(ours & theirs).sum() / (ours | theirs).sum():.2f}")
raise SystemExit(not (theirs.sum() == 12 and ours.sum() == 20))
PY
env/bin/python -W ignore show.py
