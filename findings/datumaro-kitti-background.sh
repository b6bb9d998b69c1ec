#!/usr/bin/env bash
# Guess: pixels without a label are background in what datumaro writes as KITTI segmentation, as in its Cityscapes and CamVid.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check datumaro==1.13.12
cat > show.py <<'PY'
import glob
import logging
from importlib.metadata import version

import numpy as np
from datumaro import Dataset
from datumaro.components.annotation import AnnotationType, Mask
from datumaro.components.dataset_base import DatasetItem
from datumaro.components.media import Image as Picture
from PIL import Image

logging.disable(logging.WARNING)
dog = np.zeros((6, 10), np.uint8)
dog[1:3, 1:7] = 1  # 12 of 60 pixels
one = DatasetItem("one", subset="train", media=Picture.from_numpy(np.zeros((6, 10, 3), np.uint8)), annotations=[Mask(dog, label=1)])
data = Dataset.from_iterable([one], categories=["cat", "dog"])
print(f"datumaro {version('datumaro')}")
print("Guess: 12 pixels of dog and 48 of no class; there is no cat.")
print("Seen: KITTI's maps count classes from 0, and what has no label is 0 too: 48 pixels of cat, also when datumaro reads it again:")
found = {}
for kind, file in (("kitti_segmentation", "*/semantic/one.png"), ("cityscapes", "gtFine/*/*labelIds.png")):
    data.export(kind, kind, save_media=True)
    drawn = np.asarray(Image.open(glob.glob(f"{kind}/{file}")[0]))
    back = Dataset.import_from(kind, kind)
    names = [label.name for label in back.categories()[AnnotationType.label].items]
    found[kind] = {names[a.label]: int(a.get_area()) for item in back for a in item.annotations}
    print(f"    {kind:18} numbers in the file {dict(zip(*(a.tolist() for a in np.unique(drawn, return_counts=True))))}, read as {found[kind]}")
raise SystemExit(found != {"kitti_segmentation": {"cat": 48, "dog": 12}, "cityscapes": {"dog": 12}})
PY
env/bin/python -W ignore show.py
