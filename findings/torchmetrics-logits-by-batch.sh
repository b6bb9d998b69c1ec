#!/usr/bin/env bash
# Guess: `BinaryAUROC` of torchmetrics is the same whether scores come in one `update` or in two.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check torchmetrics==1.9.0 torch==2.14.1 numpy==2.4.6
cat > show.py <<'PY'
import torch
import torchmetrics
from torchmetrics.classification import BinaryAUROC, BinaryAveragePrecision

logits = torch.tensor([0.9, 0.2, 0.4, 3.0, -2.0, 0.1])
truth = torch.tensor([1, 0, 1, 0, 0, 1])
seen = {}
for measure in (BinaryAUROC, BinaryAveragePrecision):
    once, twice = measure(), measure()
    once.update(logits, truth)
    for part in (slice(0, 3), slice(3, 6)):
        twice.update(logits[part], truth[part])
    seen[measure.__name__] = round(once.compute().item(), 3), round(twice.compute().item(), 3)
print(f"torchmetrics {torchmetrics.__version__}, torch {torch.__version__}")
print("Guess: the same number, as all scores are kept.")
print("Seen: each batch is asked by itself whether it is logits: one that lies in 0 to 1 by chance is left as it is, another goes through a sigmoid, and")
print("    scores of two kinds are ranked among each other:")
for name, (one, two) in seen.items():
    print(f"    {name:22} in one batch {one}  in two {two}")
raise SystemExit(seen != {"BinaryAUROC": (0.556, 0.667), "BinaryAveragePrecision": (0.589, 0.639)})
PY
env/bin/python -W ignore show.py
