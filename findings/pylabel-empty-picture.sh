#!/usr/bin/env bash
# Guess: a picture without an object is, in a COCO file, a picture without an object.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check pylabel==0.1.55 pandas==2.3.3 numpy==2.2.6
cat > show.py <<'PY'
import json
from importlib.metadata import version

from pylabel import importer

pictures = [{"id": k, "file_name": f"{k}.png", "width": 80, "height": 60} for k in (1, 2, 3)]
with open("truth.json", "w") as file:  # the second picture holds nothing
    json.dump({"images": pictures, "categories": [{"id": 1, "name": "cat"}],
               "annotations": [{"id": k, "image_id": k, "category_id": 1, "bbox": [10 * k, 5, 20, 20], "area": 400, "iscrowd": 0,
                                "segmentation": []} for k in (1, 3)]}, file)
importer.ImportCoco("truth.json", name="set").export.ExportToCoco("again.json")
seen = [(a["id"], a["image_id"], a["bbox"]) for a in json.load(open("again.json"))["annotations"]]
print(f"pylabel {version('pylabel')}")
print("Guess: two objects, in the pictures 1 and 3, as they were.")
print("Seen: at a picture of nothing the object before it is written once more, with the same id:")
for number, picture, box in seen:
    print(f"    id {number}, picture {picture}, box {box}")
raise SystemExit(not (len(seen) == 3 and seen[0] == seen[1]))
PY
env/bin/python -W ignore show.py 2> said || { status=$?; cat said; exit $status; }  # its bars of progress
