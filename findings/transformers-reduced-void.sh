#!/usr/bin/env bash
# Guess: pixels marked 255 in a map of classes, "to be ignored", stay so when `do_reduce_labels` counts every class down by one, in each image processor.
# The docs of transformers 5.24 (Mask2FormerImageProcessor, do_reduce_labels): "decrement all label values of segmentation maps by 1 … The background label will
# be replaced by `ignore_index`"; those of SegFormer, BEiT and DPT, which share the words, leave 255 at 255.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check transformers==5.24.0 torch==2.14.1 torchvision==0.29.1 pillow==13.0.0 numpy==2.4.6
cat > show.py <<'PY'
import numpy as np
import torch
import transformers
from PIL import Image
from transformers import BeitImageProcessor, DPTImageProcessor, Mask2FormerImageProcessor, MaskFormerImageProcessor, SegformerImageProcessor

classes = np.zeros((8, 8), np.uint8)  # as ADE20k's: 0 is no class, classes count from 1
classes[0:2], classes[2:4], classes[6:] = 1, 150, 255  # and 255 is what an augmentation padded
picture = Image.new("RGB", (8, 8))
seen = {}
for processor in (SegformerImageProcessor, BeitImageProcessor, DPTImageProcessor):
    maps = processor(do_resize=False, do_center_crop=False, do_reduce_labels=True)([picture], [classes], return_tensors="pt")["labels"]
    seen[processor.__name__] = {int(c): int((torch.as_tensor(np.array(maps)) == c).sum()) for c in np.unique(np.array(maps)) if c != 255}
for processor in (MaskFormerImageProcessor, Mask2FormerImageProcessor):
    made = processor(do_resize=False, do_reduce_labels=True, ignore_index=255)([picture], [classes], return_tensors="pt")
    seen[processor.__name__] = {int(c): int(m.sum()) for c, m in zip(made["class_labels"][0], made["mask_labels"][0])}
print(f"transformers {transformers.__version__}, torch {torch.__version__}")
print("Guess: two classes are left, 0 and 149, of 16 pixels each; 0 and 255 are not learnt.")
print("Seen: MaskFormer and Mask2Former make of 255 a class 254, a mask to be found, though `ignore_index` is 255; the others leave it out:")
for name, found in seen.items():
    print(f"    {name:26} " + ", ".join(f"class {c}: {n} pixels" for c, n in found.items()))
right = {0: 16, 149: 16}
raise SystemExit(not (all(seen[p] == right for p in ("SegformerImageProcessor", "BeitImageProcessor", "DPTImageProcessor"))
                      and all(seen[p] == right | {254: 16} for p in ("MaskFormerImageProcessor", "Mask2FormerImageProcessor"))))
PY
env/bin/python -W ignore show.py
