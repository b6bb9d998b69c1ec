#!/usr/bin/env bash
# Guess: a corner of a box and a keypoint that lies on it are still together after both were mirrored.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check torchvision==0.29.1 torch==2.14.1 numpy==2.4.6
cat > show.py <<'PY'
import torch
import torchvision
from torchvision import tv_tensors
from torchvision.transforms.v2 import functional as F

size = (10, 20)  # height, width
box = tv_tensors.BoundingBoxes(torch.tensor([[3.0, 2.0, 8.0, 6.0]]), format="XYXY", canvas_size=size)
corners = tv_tensors.KeyPoints(torch.tensor([[3.0, 2.0], [8.0, 6.0]]), canvas_size=size)
edge = tv_tensors.KeyPoints(torch.tensor([[20.0, 5.0]]), canvas_size=size)
print(f"torchvision {torchvision.__version__}, torch {torch.__version__}")
print("Guess: one picture has one geometry: mirrored or turned, the two keypoints stay at the box's corners.")
print("Seen: they do when turned by 180 degrees; mirrored both ways, the same thing, they are one pixel off:")
turned = F.rotate(box, 180).tolist()[0], F.rotate(corners, 180).flip(0).flatten().tolist()
both = lambda v: F.vertical_flip(F.horizontal_flip(v))
mirrored = both(box).tolist()[0], both(corners).flip(0).flatten().tolist()
print(f"    turned by 180    box {turned[0]}, keypoints {turned[1]}")
print(f"    mirrored twice   box {mirrored[0]}, keypoints {mirrored[1]}")
print(f"    a point on the right edge (x 20 of 20), mirrored: x {F.horizontal_flip(edge)[0, 0].item():g}")
near = lambda a, b, by: all(abs(p - q - by) < 1e-3 for p, q in zip(a, b))
raise SystemExit(not (near(turned[0], turned[1], 0) and near(mirrored[0], mirrored[1], 1)))
PY
env/bin/python -W ignore show.py
