#!/usr/bin/env bash
# Guess: pictures in cat/indoor are of the class cat to timm, as they are to torchvision.
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

for name in ("cat/indoor", "cat/outdoor", "dog/indoor", "dog/outdoor"):
    Path("pictures", name).mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(f"pictures/{name}/a.png")
one, other = create_dataset("", "pictures").reader.class_to_idx, ImageFolder("pictures").class_to_idx
print(f"timm {timm.__version__}, torchvision {torchvision.__version__}")
print("Guess: two classes, cat and dog.")
print("Seen: the innermost folder is the class, wherever it is, so that there are two other classes, of cats and dogs mixed:")
for name, numbers in (("timm", one), ("torchvision", other)):
    print(f"    {name:12} {numbers}")
raise SystemExit(not (one == {"indoor": 0, "outdoor": 1} and other == {"cat": 0, "dog": 1}))
PY
env/bin/python -W ignore show.py
