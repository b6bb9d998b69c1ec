#!/usr/bin/env bash
# Guess: a map of classes that is handed to `CenterCrop` beside its picture comes back with the classes that it had, as from `Resizing`.
# The docs of Keras 3 (keras.io, CenterCrop): a picture smaller than the window is resized, "the largest possible window in the image that matches the
# target aspect ratio"; `segmentation_masks` are a target of the preprocessing layers, and `Resizing` takes the nearest pixel for them.
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

classes = np.zeros((1, 6, 6, 1), np.uint8)
classes[0, :, 3:] = 4  # the left half is of class 0, the right half of class 4
picture = np.repeat(classes, 3, -1).astype("float32")
seen = {}
for name, layer in (("CenterCrop(4, 4)", keras.layers.CenterCrop(4, 4)), ("CenterCrop(12, 12)", keras.layers.CenterCrop(12, 12)),
                    ("CenterCrop(4, 8)", keras.layers.CenterCrop(4, 8)), ("Resizing(12, 12)", keras.layers.Resizing(12, 12))):
    maps = np.asarray(layer({"images": picture, "segmentation_masks": classes})["segmentation_masks"])
    seen[name] = maps.shape[1:3], maps.dtype.name, [round(float(v), 2) for v in np.unique(maps)]
print(f"keras {keras.__version__}, jax {jax.__version__}")
print("Guess: every pixel of the map is of class 0 or of class 4.")
print("Seen: where the window is larger than the picture, in one direction, CenterCrop mixes neighbouring classes into classes that were not there:")
for name, (shape, dtype, values) in seen.items():
    print(f"    {name:19} {shape[0]:2} x {shape[1]:2}, {dtype:7}  classes {values}")
whole = [0.0, 4.0]
raise SystemExit(not (seen["CenterCrop(4, 4)"][2] == whole == seen["Resizing(12, 12)"][2]
                      and len(seen["CenterCrop(12, 12)"][2]) > 2 and len(seen["CenterCrop(4, 8)"][2]) > 2))
PY
KERAS_BACKEND=jax JAX_PLATFORMS=cpu env/bin/python -W ignore show.py
