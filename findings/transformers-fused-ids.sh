#!/usr/bin/env bash
# Guess: segments of a panoptic answer of transformers have an id each, of which only those of a class that is to be fused share one.
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
from transformers import DetrImageProcessor, Mask2FormerImageProcessor, MaskFormerImageProcessor

names = {0: "sky", 1: "cat", 2: "dog"}
kinds = [0, 1, 0, 2]  # a bird's eye view through bars: sky, a cat, sky again, a dog
scores = torch.full((1, 4, 4), 1e-9)
masks = torch.full((1, 4, 16, 16), -9.0)
for query, kind in enumerate(kinds):
    scores[0, query, kind], scores[0, query, 3] = 0.95, 0.05
    masks[0, query, :, 4 * query : 4 * query + 4] = 9.0
seen = {}
for processor in (Mask2FormerImageProcessor(), MaskFormerImageProcessor(), DetrImageProcessor()):
    answer = SimpleNamespace(class_queries_logits=scores.log(), masks_queries_logits=masks.clone(), logits=scores.log(), pred_masks=masks.clone())
    made = processor.post_process_panoptic_segmentation(answer, label_ids_to_fuse={0}, target_sizes=[(16, 16)])[0]
    seen[type(processor).__name__] = [(names[one["label_id"]], one["id"]) for one in made["segments_info"]]
print(f"transformers {transformers.__version__}, torch {torch.__version__}")
print("Guess: sky 1, cat 2, sky 1 again, as it is to be fused, dog 3.")
print("Seen: the counter goes back to the fused segment's id and counts on from there, so that the next object gets an id that is taken: cat and dog")
print("    are one number in the map of segments, and cannot be told apart:")
for name, rows in seen.items():
    print(f"    {name:26} {', '.join(f'{what} {ident}' for what, ident in rows)}")
raise SystemExit(any(rows != [("sky", 1), ("cat", 2), ("sky", 1), ("dog", 2)] for rows in seen.values()))
PY
env/bin/python -W ignore show.py
