#!/usr/bin/env bash
# Guess: an object of keypoints of which one is not there has, in the COCO file that supervisely writes of it, a box around those that are,
# and as many `num_keypoints`.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check supervisely==6.74.51 numpy==2.4.6
cat > show.py <<'PY'
from importlib.metadata import version

from supervisely import Annotation, Label, ObjClass
from supervisely.convert import annotation_to_coco, annotation_to_yolo
from supervisely.geometry.graph import GraphNodes, KeypointsTemplate, Node

template = KeypointsTemplate()
for place, name in enumerate(("head", "hand", "foot")):
    template.add_point(label=name, row=10 * place, col=0)
person = ObjClass("person", GraphNodes, geometry_config=template)
points = [Node(label="head", row=60, col=70), Node(label="hand", row=70, col=80), Node(label="foot", row=90, col=75)]
picture = Annotation((100, 100), [Label(GraphNodes(points), person), Label(GraphNodes(points[:2]), person)])
whole, part = annotation_to_coco(picture, 1, {"person": 1})[0]
lines = annotation_to_yolo(picture, ["person"])
print(f"supervisely {version('supervisely')}")
print("Guess: head and hand at 70 60 and 80 70 have the box 70 60 10 10, and are two keypoints.")
print("Seen: a point that is not there is at 0 0 when the box is made, and counts: in COCO the object reaches into the picture's corner,")
print("    with the area of that box, by which sizes and keypoint similarities are told; in YOLO it does not:")
for name, made, line in (("all three", whole, lines[0]), ("no foot", part, lines[1])):
    _, x, y, wide, high = (100 * float(v) for v in line.split())
    print(f"    {name:10} COCO box {[int(v) for v in made['bbox']]}, area {int(made['area'])}, num_keypoints {made['num_keypoints']}, keypoints "
          f"{[int(v) for v in made['keypoints']]}; YOLO's box {x - wide / 2:.0f} {y - high / 2:.0f} {wide:.0f} {high:.0f}")
seen = [int(v) for v in whole["bbox"]], [int(v) for v in part["bbox"]], int(part["area"]), part["num_keypoints"]
raise SystemExit(seen != ([70, 60, 10, 30], [0, 0, 80, 70], 5600, 3))
PY
env/bin/python -W ignore show.py
