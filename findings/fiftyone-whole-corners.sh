#!/usr/bin/env bash
# Guess: an outline with corners on whole pixels that FiftyOne reads from COCO and writes as COCO has the same corners.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check fiftyone==1.22.1 numpy==2.4.6
cat > show.py <<'PY'
import json
from importlib.metadata import version

import fiftyone.core.labels as labels
import fiftyone.core.metadata as metadata
import fiftyone.utils.coco as coco

outline = [29, 10, 58, 10, 58, 57, 29, 57]
with open("truth.json", "w") as file:
    json.dump({"images": [{"id": 1, "file_name": "1.jpg", "width": 100, "height": 100}], "categories": [{"id": 1, "name": "cat"}],
               "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [29, 10, 29, 47], "area": 1363, "iscrowd": 0,
                                "segmentation": [outline]}]}, file)
_, classes, _, _, annotations = coco.load_coco_detection_annotations("truth.json")
size = metadata.ImageMetadata(width=100, height=100, num_channels=3)
read = labels.Polylines(polylines=[one.to_polyline((100, 100), dict(classes)) for one in annotations[1]])
with coco.COCODetectionDatasetExporter(labels_path="out.json", export_media=False) as exporter:
    exporter.export_sample("1.jpg", read, size)
with open("out.json") as file:
    written = json.load(file)["annotations"][0]["segmentation"]
print(f"fiftyone {version('fiftyone')}")
print("Guess: the corners as they were.")
print("Seen: corners are shares of the picture meanwhile, and then cut down to whole numbers: .29 times 100 is 28.999999999999996, hence 28;")
print("    58 and 57 are moved by a pixel too, 10 is not:")
print(f"    read     {[outline]}")
print(f"    written  {written}")
raise SystemExit(written != [[28, 10, 57, 10, 57, 56, 28, 56]])
PY
env/bin/python -W ignore show.py
