#!/usr/bin/env bash
# Guess: a keypoint's angle turns with the picture, the same way whichever transform turns it.
# The docs of albumentations (Keypoints augmentation, albumentations.ai/docs/3-basic-usage/keypoint-augmentations): "Keypoint angles are counter-clockwise";
# a quarter turn by `Rotate` and one by `RandomRotate90` or `D4` are the same picture.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check albumentations==2.0.8 numpy==2.4.6
cat > show.py <<'PY'
import albumentations as A
import numpy as np

picture = np.zeros((101, 101, 3), np.uint8)
base, tip = (50, 50, 0.0), (70, 50, 0.0)  # an arrow to the right, 20 pixels long: angle 0


def turned(transform, seed=0):
    done = A.Compose([transform], keypoint_params=A.KeypointParams("xya", remove_invisible=False), seed=seed)(image=picture, keypoints=[base, tip])["keypoints"]
    (x, y, angle), (u, v, _) = done
    return (round(float(u - x)), round(float(v - y))), round(float(angle))


print(f"albumentations {A.__version__}")
print("Guess: an arrow that points up afterwards, 20 pixels higher, has the angle 90 (counter-clockwise), and one that points down 270.")
print("Seen: Rotate, SafeRotate and Affine have it so, RandomRotate90 and Transpose the other way round:")
seen = {}
for name, transform in (("Rotate(90)", A.Rotate((90, 90), p=1)), ("SafeRotate(90)", A.SafeRotate((90, 90), p=1)), ("Affine(rotate=90)", A.Affine(rotate=(90, 90), p=1)),
                        ("Rotate(-90)", A.Rotate((-90, -90), p=1)), ("Transpose", A.Transpose(p=1))):
    seen[name] = turned(transform)
for seed in range(20):
    moved, angle = turned(A.RandomRotate90(p=1), seed)
    if moved in ((0, -20), (0, 20)):
        seen["RandomRotate90, " + ("up" if moved[1] < 0 else "down")] = moved, angle
for name, ((dx, dy), angle) in seen.items():
    print(f"    {name:22} the arrow points {'up' if dy < 0 else 'down':4} angle {angle}")
raise SystemExit(seen != {"Rotate(90)": ((0, -20), 90), "SafeRotate(90)": ((0, -20), 90), "Affine(rotate=90)": ((0, -20), 90), "Rotate(-90)": ((0, 20), 270),
                          "Transpose": ((0, 20), 90), "RandomRotate90, up": ((0, -20), 270), "RandomRotate90, down": ((0, 20), 90)})
PY
NO_ALBUMENTATIONS_UPDATE=1 env/bin/python -W ignore show.py
