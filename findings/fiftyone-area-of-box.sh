#!/usr/bin/env bash
# Guess: `area` of an object with a mask, in the COCO file that FiftyOne writes, is the mask's: it decides what is small to COCO's measure.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check fiftyone==1.22.1 pycocotools==2.0.11 numpy==2.4.6
cat > show.py <<'PY'
import json
from importlib.metadata import version

import fiftyone.core.labels as labels
import fiftyone.core.metadata as metadata
import fiftyone.utils.coco as coco

with open("truth.json", "w") as file:
    json.dump({"images": [{"id": 1, "file_name": "1.jpg", "width": 100, "height": 100}], "categories": [{"id": 1, "name": "kite"}],
               "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [20, 20, 40, 40], "area": 800, "iscrowd": 0,
                                "segmentation": [[20, 20, 60, 20, 20, 60]]}]}, file)
_, classes, _, _, annotations = coco.load_coco_detection_annotations("truth.json")
size = metadata.ImageMetadata(width=100, height=100, num_channels=3)
written = {}
for kind in ("masks", "outlines"):
    if kind == "masks":
        read = labels.Detections(detections=[one.to_detection((100, 100), dict(classes), load_segmentation=True) for one in annotations[1]])
    else:
        read = labels.Polylines(polylines=[one.to_polyline((100, 100), dict(classes)) for one in annotations[1]])
    with coco.COCODetectionDatasetExporter(labels_path=f"{kind}.json", export_media=False) as exporter:
        exporter.export_sample("1.jpg", read, size)
    with open(f"{kind}.json") as file:
        written[kind] = json.load(file)["annotations"][0]
print(f"fiftyone {version('fiftyone')}, pycocotools {version('pycocotools')}")
print("Guess: about 800, as in the file that was read: a small object, below 32 x 32 = 1024.")
print("Seen: it is the box's, beside the outline that is half of it: the object is a medium one now, in truth as in AP_small and AP_medium:")
for kind, one in written.items():
    print(f"    {kind:9} area {one['area']:g}, box {[round(v, 3) for v in one['bbox']]}, outline {'kept' if one['segmentation'] else 'lost'}")
raise SystemExit(not all(abs(one["area"] - 1600) < 1e-6 and one["segmentation"] for one in written.values()))
PY
env/bin/python -W ignore show.py
