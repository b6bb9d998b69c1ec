#!/usr/bin/env bash
# Guess: with one category in all, counting keypoints with categories or without (useCats = 0) is the same number.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check pycocotools==2.0.11 numpy==2.4.6
cat > show.py <<'PY'
import contextlib
import io
from importlib.metadata import version

from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

points = [10, 10, 2, 20, 20, 2] + [0, 0, 0] * 15


def ap(kind, pooled):
    """AP of a detection that is the truth itself."""
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = {
            "images": [{"id": 1, "width": 100, "height": 100}],
            "categories": [{"id": 1, "name": "person"}],
            "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "iscrowd": 0, "bbox": [0, 0, 40, 40],
                             "area": 1600, "keypoints": points, "num_keypoints": 2}]}
        truth.createIndex()
        shape = {"bbox": [0, 0, 40, 40]} if kind == "bbox" else {"keypoints": points}
        run = COCOeval(truth, truth.loadRes([{"image_id": 1, "category_id": 1, "score": 0.9, **shape}]), kind)
        run.params.useCats = 0 if pooled else 1
        run.evaluate()
        run.accumulate()
        run.summarize()
    return round(float(run.stats[0]), 3)


seen = {(kind, pooled): ap(kind, pooled) for kind in ("bbox", "keypoints") for pooled in (False, True)}
print(f"pycocotools {version('pycocotools')}")
print("Guess: AP 1 for a perfect detection of the one object, by category or with all categories as one.")
print("Seen: keypoints are compared under the category -1, which has none, so that nothing matches and no word is said:")
for (kind, pooled), value in seen.items():
    print(f"    {kind:10} useCats {int(not pooled)}   AP {value}")
raise SystemExit(list(seen.values()) != [1.0, 1.0, 1.0, 0.0])
PY
env/bin/python show.py
