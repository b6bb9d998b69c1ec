#!/usr/bin/env bash
# Guess: a folder of pictures with a folder for each class, `train`, `bus` and `car` (three classes of COCO and of VOC), is read with three classes.
# The docs of datasets ("Create an image dataset", ImageFolder, and "Structure your repository", huggingface.co/docs/datasets): folders' names are the labels;
# a folder called train, test or validation is a split. That a class of that name takes the other classes out of the set is on neither page.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check datasets==5.2.0 numpy==2.4.6 pillow==13.0.0
cat > show.py <<'PY'
import os
from importlib.metadata import version

import datasets
import numpy as np
from PIL import Image

datasets.disable_progress_bars()
seen = {}
for names in (("bus", "car", "cat"), ("bus", "car", "train"), ("bus", "car", "test_tube")):
    place = "-".join(names)
    for name in names:
        os.makedirs(f"{place}/{name}")
        for number in range(3):
            Image.fromarray(np.full((8, 8, 3), 20 * number, np.uint8)).save(f"{place}/{name}/{number}.png")
    read = datasets.load_dataset("imagefolder", data_dir=place, cache_dir="cache")
    seen[names] = {split: (len(rows), getattr(rows.features.get("label"), "names", None)) for split, rows in read.items()}
print(f"datasets {version('datasets')}")
print("Guess: nine pictures of three classes, whatever the classes are called.")
print('Seen: the class "train" is taken for a split: its pictures are all that is left, without labels; so is one whose name has "test" as a word:')
for names, got in seen.items():
    print(f"    folders {', '.join(names):20}", "; ".join(f"split {split}: {rows} pictures, labels {labels}" for split, (rows, labels) in got.items()))
raise SystemExit(seen != {("bus", "car", "cat"): {"train": (9, ["bus", "car", "cat"])}, ("bus", "car", "train"): {"train": (3, None)},
                          ("bus", "car", "test_tube"): {"test": (3, None)}})
PY
HF_HUB_OFFLINE=1 HF_HOME=$folder/hf env/bin/python -W ignore show.py
