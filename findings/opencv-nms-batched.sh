#!/usr/bin/env bash
# Guess: `NMSBoxesBatched`, "across different classes", never holds boxes of two classes against each other.
# (modules/dnn/src/nms.cpp: every class is moved by its number times one more than the largest coordinate, which is at least 0.)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check opencv-python-headless==5.0.0.93 numpy==2.4.6
cat > show.py <<'PY'
import cv2

boxes = [[10, 10, 100, 100], [12, 11, 100, 100], [200, 200, 50, 50]]  # x, y, width, height: a person, the horse below, a dog
scores, classes = [0.9, 0.8, 0.7], [0, 1, 2]
kept = {}
for name, moved in (("origin at the upper left corner", 0), ("origin in the middle", 130), ("origin at the lower right corner", 300)):
    here = [[x - moved, y - moved, w, h] for x, y, w, h in boxes]
    kept[name] = sorted(int(i) for i in cv2.dnn.NMSBoxesBatched(here, scores, classes, 0.1, 0.5))
print(f"OpenCV {cv2.__version__}")
print("Guess: of three boxes of three classes all three are kept, wherever the origin of the coordinates is.")
print("Seen: where the coordinates are below 0 classes are hardly moved apart: the horse is suppressed by the person:")
for name, indices in kept.items():
    print(f"    {name:33} kept {', '.join(('person', 'horse', 'dog')[i] for i in indices)}")
raise SystemExit(list(kept.values()) != [[0, 1, 2], [0, 1, 2], [0, 2]])
PY
env/bin/python -W ignore show.py
