#!/usr/bin/env bash
# Guess: a hole that `CoarseDropout` or `Erasing` cuts elsewhere leaves a box as it is.
# (albumentations/augmentations/dropout/functional.py, `resize_boxes_to_visible_area`: edges, which are 32-bit shares of the picture by then, times
# its side are cut down to whole pixels: 90 of 200 is 89.)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check albumentations==2.0.8 albucore==0.0.24 numpy==2.4.6
cat > show.py <<'PY'
import os

os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"  # asks the network for a newer one otherwise
import albumentations as A
import numpy as np

picture = np.full((200, 200, 3), 255, np.uint8)
boxes = [[40, 30, 90, 50], [100.5, 60.5, 110.5, 70.5], *([x, 20, x + 1, 30] for x in range(200))]  # a car, a sign, and 200 poles one pixel wide
names = ["car", "sign", *(["pole"] * 200)]
seen = {}
for name, cuts in {"CoarseDropout": [A.CoarseDropout((1, 1), (4, 4), (4, 4), fill=0, p=1)], "Erasing": [A.Erasing((0.001, 0.001), (1, 1), p=1)],
                   "HorizontalFlip, twice": [A.HorizontalFlip(p=1)] * 2}.items():
    for seed in range(200):
        both = A.Compose(cuts, bbox_params=A.BboxParams("pascal_voc", label_fields=["names"]), seed=seed)
        made = both(image=picture, bboxes=np.array(boxes), names=names)
        if (made["image"][:80] == 255).all():  # the hole is below everything
            break
    kept = [(str(n), [round(float(v), 1) for v in box]) for n, box in zip(made["names"], made["bboxes"])]
    seen[name] = dict(kept)["car"], dict(kept)["sign"], sum(n == "pole" for n, _ in kept)
print(f"albumentations {A.__version__}; a picture of 200 x 200 pixels")
print("Guess: where the hole is apart from all objects, boxes are as they were: 40 30 90 50, 100.5 60.5 110.5 70.5, and 200 of one pixel by ten.")
print("Seen: whole edges lose a pixel where their share is not exact, others their fraction, and of the thin boxes many are gone:")
for name, (car, sign, poles) in seen.items():
    print(f"    {name:23}" + ", ".join(" ".join(f"{v:g}" for v in box) for box in (car, sign)) + f", and {poles}")
(*cut, flipped) = seen.values()
same = flipped == ([40, 30, 90, 50], [100.5, 60.5, 110.5, 70.5], 200)
raise SystemExit(not same or any(car != [40, 30, 89, 50] or sign != [100, 60, 110, 70] or poles > 190 for car, sign, poles in cut))
PY
env/bin/python -W ignore show.py
