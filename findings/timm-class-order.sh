#!/usr/bin/env bash
# Guess: the class folders 1, 2 and 10 get the same numbers from timm as from torchvision's `ImageFolder`.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check timm==1.0.31 torch==2.14.1 torchvision==0.29.1 pillow==13.0.0
cat > show.py <<'PY'
from pathlib import Path

import timm
import torchvision
from PIL import Image
from timm.data import create_dataset
from torchvision.datasets import ImageFolder

names = ["1", "2", "10", "Cat", "ant"]
for name in names:
    Path("pictures", name).mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(f"pictures/{name}/a.png")
one, other = create_dataset("", "pictures").reader.class_to_idx, ImageFolder("pictures").class_to_idx
print(f"timm {timm.__version__}, torchvision {torchvision.__version__}")
print("Guess: the names in their order as text, as torchvision has it.")
print("Seen: timm sorts as a reader would, 10 after 2 and ant before Cat, so that what was trained with one and is measured with the other has")
print("    its classes mixed up:")
for name, numbers in (("timm", one), ("torchvision", other)):
    print(f"    {name:12} {dict(sorted(numbers.items(), key=lambda item: item[1]))}")
raise SystemExit(not (one == {"1": 0, "2": 1, "10": 2, "ant": 3, "Cat": 4} and other == {"1": 0, "10": 1, "2": 2, "Cat": 3, "ant": 4}))
PY
env/bin/python -W ignore show.py
