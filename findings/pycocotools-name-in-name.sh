#!/usr/bin/env bash
# Guess: `getCatIds(catNms="hot dog")` gives the category of this name, as the code beside it makes a list of what is none.
# (PythonAPI/pycocotools/coco.py: `_isArrayLike` asks for `__iter__` and `__len__`, which strings have had since Python 3, so that the name is kept
# as it is, and `cat['name'] in catNms` asks for a part of it.)
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

names = ["person", "car", "cat", "dog", "bear", "carrot", "hot dog", "teddy bear"]  # eight of COCO's eighty
data = COCO()
data.dataset = {"images": [{"id": i} for i in range(8)], "categories": [{"id": i + 1, "name": name} for i, name in enumerate(names)],
                "annotations": [{"id": i + 1, "image_id": i, "category_id": i + 1, "bbox": [0, 0, 8, 8], "area": 64, "iscrowd": 0} for i in range(8)]}
with contextlib.redirect_stdout(io.StringIO()):
    data.createIndex()


def chosen(asked):
    ids = data.getCatIds(catNms=asked)
    return [c["name"] for c in data.loadCats(ids)], len(data.loadAnns(data.getAnnIds(catIds=ids)))


print(f"pycocotools {version('pycocotools')}")
print("Guess: one name is one category, in a list or not, and a name that no category has is none: one object, or nothing.")
print("Seen: every category whose name is a part of the one that is asked for; and of a name that none has, also in a list, every object that there is:")
seen = {str(asked): chosen(asked) for asked in ("hot dog", "carrot", "teddy bear", "cat", ["hot dog"], ["unicorn"])}
for asked, (found, objects) in seen.items():
    print(f"    {asked:13} {', '.join(found) or 'no category':18} {objects} objects")
raise SystemExit(list(seen.values()) != [(["dog", "hot dog"], 2), (["car", "carrot"], 2), (["bear", "teddy bear"], 2), (["cat"], 1), (["hot dog"], 1), ([], 8)])
PY
env/bin/python -W ignore show.py
