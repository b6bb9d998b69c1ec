#!/usr/bin/env bash
# Guess: a predicted segment that lies in a crowd of its own class costs nothing, however many crowds of it there are.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check panopticapi-lite==0.2.0 hotcoco==1.3.0 numpy==1.26.4 pillow==13.0.0
cat > show.py <<'PY'
import contextlib
import io
import json
from importlib.metadata import version
from pathlib import Path

import numpy as np
from PIL import Image


def written(name, segments):
    """A panoptic map of segments (id, crowd, left edge), squares of one class in a row, above a strip of sky."""
    ids = np.zeros((20, 80), np.uint8)
    ids[16:] = 1
    for number, _, left in segments:
        ids[5:15, left : left + 10] = number
    Path(name).mkdir(exist_ok=True)
    Image.fromarray(np.stack([ids, ids * 0, ids * 0], 2)).save(f"{name}/a.png")
    rows = [{"id": n, "category_id": 1, "iscrowd": crowd, "area": 100, "bbox": [left, 5, 10, 10]}
            for n, crowd, left in segments]
    rows.append({"id": 1, "category_id": 2, "iscrowd": 0, "area": 320, "bbox": [0, 16, 80, 4]})
    Path(f"{name}.json").write_text(json.dumps({
        "images": [{"id": 1, "file_name": "a.png", "height": 20, "width": 80}],
        "annotations": [{"image_id": 1, "file_name": "a.png", "segments_info": rows}],
        "categories": [{"id": 1, "name": "cat", "isthing": 1}, {"id": 2, "name": "sky", "isthing": 0}]}))


def quality(module, crowds):
    """PQ of things: one object, found exactly, and crowds, each covered by a predicted segment."""
    places = [2, 25, 50][: 1 + crowds]
    written("truth", [(10 + k, int(k > 0), left) for k, left in enumerate(places)])
    written("found", [(20 + k, 0, left) for k, left in enumerate(places)])
    with contextlib.redirect_stdout(io.StringIO()):
        compute = __import__(module, fromlist=["pq_compute"]).pq_compute
        return round(float(compute("truth.json", "found.json", "truth", "found")["Things"]["pq"]), 3)


if __name__ == "__main__":
    print(f"panopticapi-lite {version('panopticapi-lite')}, hotcoco {version('hotcoco')}")
    print("Guess: PQ 1 with no crowd, with one and with two.")
    print("Seen: of a class's crowds in a picture the last alone is known; what lies in another counts as a mistake:")
    seen = {}
    for name, module in (("panopticapi-lite", "panopticapi.evaluation"), ("hotcoco", "hotcoco.panoptic")):
        seen[name] = [quality(module, crowds) for crowds in (0, 1, 2)]
        print(f"    {name:17} PQ with 0, 1 and 2 crowds: {seen[name]}")
    raise SystemExit(any(v != [1.0, 1.0, 0.667] for v in seen.values()))
PY
env/bin/python show.py
