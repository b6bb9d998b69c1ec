#!/usr/bin/env bash
# Guess: after `RandomShear` a box is around what it was around before, whatever the picture's shape.
# (keras/src/layers/preprocessing/image_preprocessing/random_shear.py, `_shear_bboxes`: boxes are sheared as shares of width and height by the
# factor that shears the pixels.)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check keras==3.15.1 jax==0.10.2 numpy==2.4.6
cat > show.py <<'PY'
import os

os.environ["KERAS_BACKEND"] = "jax"
import keras
import numpy as np

seen = {}
for high, wide in ((100, 100), (50, 200), (200, 50)):
    for along in "xy":
        picture = np.zeros((1, high, wide, 3), np.float32)
        picture[0, high // 2 - 5:high // 2 + 5, wide // 2 - 5:wide // 2 + 5] = 200  # an object of 10 x 10 pixels in the middle
        boxes = {"boxes": np.array([[[wide // 2 - 5, high // 2 - 5, wide // 2 + 5, high // 2 + 5]]], np.float32), "labels": np.array([[0]])}
        factors = {"x_factor": (0.2, 0.2) if along == "x" else 0.0, "y_factor": (0.2, 0.2) if along == "y" else 0.0}
        layer = keras.layers.RandomShear(**factors, fill_mode="constant", seed=0, bounding_box_format="xyxy")
        sheared = layer({"images": picture, "bounding_boxes": boxes}, training=True)
        rows, columns = np.nonzero(np.asarray(sheared["images"])[0, ..., 0] > 100)
        object_ = [int(v) for v in (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)]
        seen[high, wide, along] = object_, np.asarray(sheared["bounding_boxes"]["boxes"])[0, 0].round().astype(int).tolist()
print(f"keras {keras.__version__}")
print("Guess: the box holds the object, in every picture.")
print("Seen: in square pictures it does; in others it is moved by height to width, or width to height, too far or not far enough:")
print("    height, width, along     object           box")
for (high, wide, along), (object_, box) in seen.items():
    print(f"    {high:6}{wide:7}{along:>7}   " + "  ".join("".join(f"{v:5}" for v in row) for row in (object_, box)))
apart = {key: int(abs(np.subtract(object_, box)).max()) for key, (object_, box) in seen.items()}
raise SystemExit(any((off > 3) != (high != wide) for (high, wide, _), off in apart.items()))
PY
env/bin/python -W ignore show.py
