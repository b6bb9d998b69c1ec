#!/usr/bin/env bash
# Guess: a finding is right where its middle lies in an object, or its box overlaps one, and false elsewhere, as the package's page says.
# (coco_froc_analysis/froc/froc_stats.py, `update_stats`: pairs that do not match cost a million, and of the assignment all pairs are counted as
# right, those of a million too. Issue 13 of its tracker asked about it, and was closed as not so.)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check coco-froc-analysis==0.2.15 scipy==1.17.1 numpy==1.26.4
cat > show.py <<'PY'
from importlib.metadata import version

from coco_froc_analysis.froc import froc_point
from coco_froc_analysis.froc.froc_curve import calc_scores

truth = {"images": [{"id": n, "width": 200, "height": 200, "file_name": f"{n}.png"} for n in (1, 2)], "categories": [{"id": 1, "name": "lesion"}],
         "annotations": [{"id": n, "image_id": 1, "category_id": 1, "bbox": [20 * n, 10, 10, 10], "area": 100, "iscrowd": 0} for n in (1, 2, 3)]}


def found(*boxes, image=1):
    """Findings of a picture, sure ones."""
    return [{"image_id": image, "category_id": 1, "bbox": list(box), "score": 0.9} for box in boxes]


answers = {"the three objects": found(*(a["bbox"] for a in truth["annotations"])), "three boxes far away": found(*([150, 20 * n, 10, 10] for n in (1, 2, 3))),
           "one object, one box far away": found([20, 10, 10, 10], [150, 150, 10, 10]), "three in the picture without any": found(*[[20, 10, 10, 10]] * 3, image=2)}
seen = {}
for said, answer in answers.items():
    for use_iou in (False, True):
        sensitivity, false = calc_scores(froc_point(truth, answer, 0.5, use_iou, 0.5), {}, {})
        seen[said, use_iou] = round(sensitivity[1][0], 3), false[1][0]
print(f"coco-froc-analysis {version('coco-froc-analysis')}")
print("Guess: three boxes that touch no object are a sensitivity of 0 and, over two pictures, 1.5 false ones a picture.")
print("Seen: in a picture with three objects up to three findings are right, wherever they are:")
for (said, use_iou), (sensitivity, false) in seen.items():
    print(f"    {said:34} by {'IoU > .5' if use_iou else 'middles '}: sensitivity {sensitivity:5}, {false} false a picture")
raise SystemExit(list(seen.values()) != [(1, 0)] * 4 + [(0.667, 0)] * 2 + [(0, 1.5)] * 2)
PY
env/bin/python -W ignore show.py
