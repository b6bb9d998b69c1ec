#!/usr/bin/env bash
# Guess: `post_process_panoptic_segmentation` of transformers gives a segment the pixels of its mask, those above `mask_threshold`, and the rest to none.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check transformers==5.24.0 torch==2.14.1 torchvision==0.29.1 numpy==2.4.6 pillow==13.0.0
cat > show.py <<'PY'
import logging
from types import SimpleNamespace

import torch
import transformers
from transformers import Mask2FormerImageProcessor

logging.disable(logging.WARNING)
processor = Mask2FormerImageProcessor()


def segments(scores, masks):
    """What is made of an answer with these queries: the score of the class 1 and the probabilities of the mask of each."""
    score, mask = torch.tensor(scores), torch.stack(masks)
    classes = torch.stack([torch.full_like(score, 1e-9), score, 1 - score], 1)  # two classes, and none
    answer = SimpleNamespace(class_queries_logits=classes.log()[None], masks_queries_logits=mask.logit()[None])
    made = processor.post_process_panoptic_segmentation(answer, threshold=0.5, mask_threshold=0.5, label_ids_to_fuse=set(), target_sizes=[(16, 16)])[0]
    return [(round(one["score"], 2), int((made["segmentation"] == one["id"]).sum())) for one in made["segments_info"]]


small = torch.full((16, 16), 1e-6)
small[4:8, 4:8] = 0.999  # 16 of 256 pixels
upper, lower = torch.full((16, 16), 0.01), torch.full((16, 16), 0.01)
upper[:8], lower[8:] = 0.8, 0.999
seen = segments([0.95], [small]), segments([0.6, 0.95], [upper, lower])
print(f"transformers {transformers.__version__}, torch {torch.__version__}")
print("Guess: one object of 16 pixels is a segment of 16 pixels; a query of score .6, mask .8 is above both thresholds of .5, and a segment.")
print("Seen: every pixel goes to whichever query says most there, be it one in a million: a lone object fills the picture. And the mask is held to")
print("    its threshold after it was multiplied with the score, so that .6 times .8 is too little for a segment (score, pixels):")
print(f"    one object of 16 pixels                        {seen[0]}")
print(f"    halves: scores .6 and .95, masks .8 and .999   {seen[1]}")
raise SystemExit(seen != ([(0.95, 256)], [(0.95, 128)]))
PY
env/bin/python -W ignore show.py
