#!/usr/bin/env bash
# Guess: a box that DETR's processor of transformers makes a label of is the same box after `post_process_object_detection` with the picture's size.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check transformers==5.24.0 torch==2.14.1 torchvision==0.29.1 numpy==2.4.6 pillow==13.0.0
cat > show.py <<'PY'
from types import SimpleNamespace

import torch
import transformers
from PIL import Image
from transformers import ConditionalDetrImageProcessor, DeformableDetrImageProcessor, DetrImageProcessor, RTDetrImageProcessor, YolosImageProcessor

pictures = [Image.new("RGB", (64, 64)), Image.new("RGB", (128, 64))]
objects = [{"image_id": k, "annotations": [{"bbox": [32, 16, 16, 32], "category_id": 0, "area": 512, "iscrowd": 0}]} for k in (0, 1)]
seen = {}
for make in (DetrImageProcessor, ConditionalDetrImageProcessor, DeformableDetrImageProcessor, YolosImageProcessor, RTDetrImageProcessor):
    processor = make() if make is RTDetrImageProcessor else make(size={"shortest_edge": 64, "longest_edge": 128})
    for many in (1, 2):
        label = processor(pictures[:many], annotations=objects[:many], return_tensors="pt")["labels"][0]["boxes"]
        answer = SimpleNamespace(logits=torch.tensor([[[9.0, -9.0]]]), pred_boxes=label[None])  # a network that has learned its labels by heart
        back = processor.post_process_object_detection(answer, target_sizes=[(64, 64)])[0]["boxes"][0]
        seen[make.__name__, many] = [round(v) for v in back.tolist()]
print(f"transformers {transformers.__version__}, torch {torch.__version__}")
print("Guess: the first picture's box, 32 16 48 48, whichever pictures are in the batch.")
print("Seen: beside a wider picture its label is a share of the padded width, and the answer is multiplied by the picture's own: a perfect network's")
print("    box is in the wrong place, at half of its width (a processor that does not pad is right):")
for (name, many), box in seen.items():
    print(f"    {name:30} {'alone             ' if many == 1 else 'beside a wider one'}  {box}")
raise SystemExit(any(box != ([16, 16, 24, 48] if many == 2 and name != "RTDetrImageProcessor" else [32, 16, 48, 48])
                     for (name, many), box in seen.items()))
PY
env/bin/python -W ignore show.py
