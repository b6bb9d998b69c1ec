#!/usr/bin/env bash
# Guess: what one tool writes as COCO, COCO's own reader reads.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check labelformat==0.1.17 pycocotools==2.0.11 numpy==2.4.6
cat > show.py <<'PY'
import json
from importlib.metadata import version
from pathlib import Path

import contextlib
import io

from labelformat.formats import COCOObjectDetectionInput, COCOObjectDetectionOutput
from pycocotools.coco import COCO

Path("truth.json").write_text(json.dumps({
    "images": [{"id": 1, "file_name": "one.jpg", "width": 30, "height": 20}],
    "categories": [{"id": 1, "name": "cat"}],
    "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [3, 2, 4, 3], "area": 12, "iscrowd": 0},
                    {"id": 2, "image_id": 1, "category_id": 1, "bbox": [10, 2, 9, 9], "area": 81, "iscrowd": 1}]}))
COCOObjectDetectionOutput(output_file=Path("again.json")).save(label_input=COCOObjectDetectionInput(Path("truth.json")))
objects = json.loads(Path("again.json").read_text())["annotations"]
said = "read"
with contextlib.redirect_stdout(io.StringIO()):
    COCO("truth.json")
    try:
        COCO("again.json")
    except KeyError as error:
        said = f"KeyError: {error}"
print(f"labelformat {version('labelformat')}, pycocotools {version('pycocotools')}")
print("Guess: a COCO file read and written again has its objects' ids, areas and crowds, or at least ids.")
print("Seen: an object is left with three fields, which pycocotools cannot read, and a crowd is an object like any other:")
print(f"    fields       {sorted(objects[1])}")
print(f"    pycocotools  {said}")
raise SystemExit(not (sorted(objects[1]) == ["bbox", "category_id", "image_id"] and said == "KeyError: 'id'"))
PY
env/bin/python -W ignore show.py
