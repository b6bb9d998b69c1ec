#!/usr/bin/env bash
# Guess: masks that transformers' `post_process_instance_segmentation` brings to `target_sizes` lie where the network saw them, however the batch was padded.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check transformers==5.24.0 torch==2.14.1 torchvision==0.29.1 numpy==2.4.6 pillow==13.0.0
cat > show.py <<'PY'
import logging
from types import SimpleNamespace

import numpy as np
import torch
import transformers
from PIL import Image
from transformers import Mask2FormerImageProcessor

logging.disable(logging.WARNING)
processor = Mask2FormerImageProcessor(size={"shortest_edge": 64, "longest_edge": 200})


def found(pictures):
    """Columns of the object in the first picture, after a network that finds it exactly: whatever is red, a cell for four pixels."""
    batch = processor([Image.fromarray(picture) for picture in pictures], return_tensors="pt")
    red = batch["pixel_values"][:, 0, 2::4, 2::4] > 1  # padding is 0, the mean of all pictures
    masks = torch.where(red, 9.0, -9.0)[:, None]
    scores = torch.tensor([1e-9, 0.95, 0.05]).log().expand(len(pictures), 1, 3)
    answer = SimpleNamespace(class_queries_logits=scores, masks_queries_logits=masks)
    made = processor.post_process_instance_segmentation(answer, target_sizes=[picture.shape[:2] for picture in pictures])[0]
    columns = (made["segmentation"] == made["segments_info"][0]["id"]).any(0).nonzero().ravel().tolist()
    return tuple(batch["pixel_values"].shape[2:]), (columns[0], columns[-1])


square, wide = np.zeros((64, 64, 3), np.uint8), np.zeros((64, 128, 3), np.uint8)
square[:, 32:, 0] = wide[:, 64:, 0] = 255  # the right half of each
alone, beside = found([square]), found([square, wide])
print(f"transformers {transformers.__version__}, torch {torch.__version__}")
print("Guess: an object in columns 32 to 63 of 64 is there, whatever other pictures are in its batch.")
print("Seen: the masks of the padded picture, padding and all, are drawn over the picture's own size: beside a picture twice as wide")
print("    the same object is half as wide, and elsewhere:")
print(f"    alone, batch of {alone[0]}:               columns {alone[1]}")
print(f"    beside a wider one, batch of {beside[0]}: columns {beside[1]}")
raise SystemExit(not (alone[1] == (32, 63) and 14 <= beside[1][0] <= 17 and 30 <= beside[1][1] <= 33))
PY
env/bin/python -W ignore show.py
