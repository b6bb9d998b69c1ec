#!/usr/bin/env bash
# Guess: `cv2.dnn.NMSBoxes(…, top_k=2)` gives the two best boxes that are left: "keep at most top_k picked indices".
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check opencv-python-headless==5.0.0.93 numpy==2.4.6
cat > show.py <<'PY'
import cv2

boxes = [[10, 10, 40, 40], [11, 10, 40, 40], [12, 10, 40, 40], [200, 10, 40, 40], [400, 10, 40, 40]]  # one object thrice, two more
scores = [0.9, 0.8, 0.7, 0.6, 0.5]
said = {top: [int(k) for k in cv2.dnn.NMSBoxes(boxes, scores, 0.1, 0.5, top_k=top)] for top in (0, 2, 4)}
print(f"OpenCV {cv2.__version__}")
print("Guess: without a limit the boxes 0, 3 and 4; with top_k=2 the boxes 0 and 3, with top_k=4 all three.")
print("Seen: top_k cuts the candidates before they are compared: where many lie on one object the others are lost:")
for top, kept in said.items():
    print(f"    top_k={top}  {kept}")
raise SystemExit(said != {0: [0, 3, 4], 2: [0], 4: [0, 3]})
PY
env/bin/python -W ignore show.py
