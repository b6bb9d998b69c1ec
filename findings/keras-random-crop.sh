#!/usr/bin/env bash
# Guess: a box follows the picture out of which a window is cut: the layer, which is told its format, moves it by the window's corner.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check keras==3.15.1 jax==0.10.2 numpy==2.4.6
cat > show.py <<'PY'
import jax
import keras
import numpy as np

print(f"keras {keras.__version__}, jax {jax.__version__}")
print("Guess: a box stays around its white rectangle.")
print("Seen: what the window begins below the picture's top is taken from the box's x, and what it begins right of the left edge from its y:")
apart = 0
for name, high, wide, (x1, y1, x2, y2) in (("tall", 100, 64, (20, 40, 40, 60)), ("wide", 64, 100, (40, 20, 60, 40))):
    picture = np.zeros((1, high, wide, 3), np.float32)  # a window of 64 x 64 can move one way alone
    picture[:, y1:y2, x1:x2] = 255
    layer = keras.layers.RandomCrop(64, 64, seed=0, data_format="channels_last")
    layer.bounding_box_format = "xyxy"
    boxes = {"boxes": np.array([[[x1, y1, x2, y2]]], np.float32), "labels": np.array([[1]], np.float32)}
    out = layer({"images": picture, "bounding_boxes": boxes}, training=True)
    ys, xs = np.nonzero(np.asarray(out["images"])[0, ..., 0] > 127)
    drawn = [int(v) for v in (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1)]
    box = np.asarray(out["bounding_boxes"]["boxes"]).reshape(-1).astype(int).tolist()
    print(f"    of a {name} picture: the rectangle at {drawn}, its box {box}")
    apart += drawn != box
raise SystemExit(apart != 2)
PY
KERAS_BACKEND=jax env/bin/python -W ignore show.py
