#!/usr/bin/env bash
# Guess: with `min_visibility=0.5` a box of which less than half is left after the augmentation is dropped.
# The docs of albumentations: a box goes when the ratio of its area after augmentation to that before augmentation is below `min_visibility`
# (albumentations.ai, Bounding boxes augmentation); `BboxParams` of 2.0.8: "minimum fraction of area for a bounding box to remain this box in the result".
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check albumentations==2.0.8 numpy==2.4.6
cat > show.py <<'PY'
import albumentations as A
import numpy as np

picture = np.zeros((100, 100, 3), np.uint8)
box = (10, 10, 90, 90)
one = [A.Crop(0, 0, 50, 50)]
two = [A.Crop(0, 0, 55, 100), A.Crop(0, 0, 55, 55)]
four = [*two, A.Crop(0, 0, 35, 55), A.Crop(0, 0, 35, 35)]
left = {}
for name, crops in (("one crop", one), ("two crops", two), ("four crops", four)):
    for each in (True, False):
        compose = A.Compose(crops, bbox_params=A.BboxParams("pascal_voc", min_visibility=0.5, check_each_transform=each, label_fields=[]))
        kept = compose(image=picture, bboxes=[box])["bboxes"]
        everything = A.Compose(crops, bbox_params=A.BboxParams("pascal_voc", label_fields=[]))(image=picture, bboxes=[box])["bboxes"][0]
        share = (everything[2] - everything[0]) * (everything[3] - everything[1]) / 80**2
        left[name, each] = round(float(share), 2), len(kept)
print(f"albumentations {A.__version__}")
print("Guess: half of the box, as it was handed over, has to be left.")
print("Seen: each crop is asked whether half of what the crop before it left is left, so that a tenth of the box can stay:")
for (name, each), (share, kept) in left.items():
    print(f"    {name:11} check_each_transform={each!s:5}  {share:4.0%} of the box in the picture: {'kept' if kept else 'dropped'}")
raise SystemExit(not (left["one crop", True] == (0.25, 0) and left["two crops", True][1] == 1 and left["two crops", True][0] < 0.4
                      and left["four crops", True][1] == 1 and left["four crops", True][0] < 0.15))
PY
NO_ALBUMENTATIONS_UPDATE=1 env/bin/python -W ignore show.py
