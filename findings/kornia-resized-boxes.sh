#!/usr/bin/env bash
# Guess: a box of 0 0 10 10 is one of 0 0 20 20 when kornia makes picture and box twice as large.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check kornia==0.9.0 torch==2.14.1 numpy==2.4.6
cat > show.py <<'PY'
import kornia
import kornia.augmentation as K
import torch

seen = {}
for side, large in ((20, 40), (200, 640)):
    half = side // 2
    picture = torch.zeros(1, 1, side, side)
    picture[..., :half, :half] = 1
    boxes = torch.tensor([[[0.0, 0.0, half, half], [half, half, side, side]]])
    many = K.AugmentationSequential(K.Resize((large, large)), data_keys=["input", "bbox_xyxy"])
    shown, moved = many(picture, boxes)
    seen[side, large] = int((shown[0, 0, 0] > 0.5).sum()), [[round(v, 2) for v in box] for box in moved[0].tolist()]
print(f"kornia {kornia.__version__}, torch {torch.__version__}")
print("Guess: a box's edges are multiplied as the picture is, and one at the picture's edge stays there.")
print("Seen: the picture grows as its sides do, while boxes are multiplied by (new side - 1) / (old side - 1): the object ends before its box does, and")
print("    the box at the edge leaves the picture:")
for (side, large), (wide, boxes) in seen.items():
    print(f"    {side} to {large} pixels: the object is {wide} wide; boxes {boxes[0]} and {boxes[1]}")
raise SystemExit(seen != {(20, 40): (20, [[0, 0, 20.53, 20.53], [20.53, 20.53, 41.05, 41.05]]),
                          (200, 640): (320, [[0, 0, 321.11, 321.11], [321.11, 321.11, 642.21, 642.21]])})
PY
env/bin/python -W ignore show.py
