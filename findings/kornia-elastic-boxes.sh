#!/usr/bin/env bash
# Guess: `RandomElasticTransform` in kornia's `AugmentationSequential` moves boxes and keypoints as far as the picture, or refuses them, as
# `RandomThinPlateSpline` and `RandomFisheye` do.
# (kornia/augmentation/_2d/geometric/elastic_transform.py, `apply_transform_box`, gives the boxes back; a remark says that they may not be
# affected too much.)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check kornia==0.9.0 torch==2.14.1 numpy==2.4.6
cat > show.py <<'PY'
from importlib.metadata import version

import kornia.augmentation as A
import torch

torch.manual_seed(0)
points = torch.tensor([[[20.0, 15.0], [70, 15], [45, 30], [25, 45], [75, 40]]])  # x and y of five objects of 7 x 7 pixels
boxes = torch.cat([points - 3, points + 4], 2)
picture = torch.zeros(1, 1, 60, 90)
for k, (x, y) in enumerate(points[0].int().tolist()):
    picture[0, 0, y - 3:y + 4, x - 3:x + 4] = k + 1
keys = ["input", "mask", "keypoints", "bbox_xyxy"]
seen = {}
for name, one in (("turned", A.RandomRotation((20.0, 20.0), p=1)), ("elastic, alpha 5", A.RandomElasticTransform(alpha=(5.0, 5.0), p=1)),
                  ("elastic, alpha 10", A.RandomElasticTransform(alpha=(10.0, 10.0), p=1))):
    _, mask, moved, edges = A.AugmentationSequential(one, data_keys=keys)(picture, picture.clone(), points.clone(), boxes.clone())
    middles = torch.stack([torch.nonzero(mask[0, 0] == k + 1).float().mean(0).flip(0) for k in range(5)])
    seen[name] = [(middles - moved[0]).norm(dim=1).max().item(), torch.equal(moved, points) and torch.equal(edges, boxes)]
print(f"kornia {version('kornia')}, torch {torch.__version__}")
print("Guess: keypoints are in the middle of their objects afterwards, but for a part of a pixel.")
print("Seen: picture and mask are deformed, boxes and keypoints are where they were:")
for name, (far, same) in seen.items():
    print(f"    {name:17} a keypoint is up to {far:.1f} pixels from its object's middle; boxes and keypoints unchanged: {same}")
raise SystemExit(not (seen["turned"][0] < 0.3 and all(far > 2 and same for far, same in (seen["elastic, alpha 5"], seen["elastic, alpha 10"]))))
PY
env/bin/python -W ignore show.py
