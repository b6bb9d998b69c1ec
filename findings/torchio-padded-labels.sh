#!/usr/bin/env bash
# Guess: what `Pad` and `CropOrPad` of torchio lay around a label map is a label that is there, or the one for the background, as its `Resize` and
# `RandomAffine` treat a `LabelMap` unlike a picture.
# (torchio/transforms/preprocessing/spatial/pad.py hands every image to `numpy.pad` with the same `padding_mode`, label maps too.)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check torchio==1.2.1 torch==2.14.1 numpy==2.1.3
cat > show.py <<'PY'
import torch
import torchio

labels = torch.zeros(1, 6, 6, 1, dtype=torch.uint8)
labels[0, :4] = 4  # the classes 0 and 4
subject = torchio.Subject(scan=torchio.ScalarImage(tensor=labels.float()), classes=torchio.LabelMap(tensor=labels))
kinds = {"Pad(2, padding_mode='mean')": torchio.Pad(2, padding_mode="mean"),
         "CropOrPad(10, padding_mode='mean')": torchio.CropOrPad((10, 10, 1), padding_mode="mean"),
         "Pad(2, padding_mode='linear_ramp')": torchio.Pad(2, padding_mode="linear_ramp"),
         "Pad(2, padding_mode='edge')": torchio.Pad(2, padding_mode="edge"),
         "Resize(11)": torchio.Resize((11, 11, 1))}
seen = {name: transform(subject).classes.data.unique().int().tolist() for name, transform in kinds.items()}
print(f"torchio {torchio.__version__}, torch {torch.__version__}")
print("Guess: a label map with the classes 0 and 4 has no others afterwards; the mean is for the scan beside it.")
print("Seen: the padding is the mean of the class numbers too: a class 2 that nobody drew, and with a ramp 1 and 2:")
for name, classes in seen.items():
    print(f"    {name:36} {classes}")
raise SystemExit(list(seen.values()) != [[0, 2, 4], [0, 2, 4], [0, 1, 2, 4], [0, 4], [0, 4]])
PY
env/bin/python -W ignore show.py
