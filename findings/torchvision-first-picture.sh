#!/usr/bin/env bash
# Guess: the strides of the levels are known from the network; at worst they are guessed anew for each picture.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check torchvision==0.29.1 torch==2.14.1 numpy==2.4.6
cat > show.py <<'PY'
import torch
import torchvision
from torchvision.ops import MultiScaleRoIAlign


def levels(side):
    """Four levels of strides 4, 8, 16, 32 over a square picture padded to this side; each cell holds its own column."""
    maps = {}
    for k, stride in enumerate((4, 8, 16, 32)):
        cells = side // stride
        maps[str(k)] = torch.arange(cells, dtype=torch.float32).expand(1, 1, cells, cells)
    return maps


def pooled(align):
    """The mean of what a box from column 32 to 64 of a 64 x 64 picture is pooled to: on the finest level, columns 8 to 16."""
    return align(levels(64), [torch.tensor([[32.0, 0.0, 64.0, 32.0]])], [(64, 64)]).mean().item()


fresh = MultiScaleRoIAlign(["0", "1", "2", "3"], output_size=4, sampling_ratio=2)
used = MultiScaleRoIAlign(["0", "1", "2", "3"], output_size=4, sampling_ratio=2)
used(levels(64), [torch.tensor([[0.0, 0.0, 8.0, 8.0]])], [(40, 40)])  # 40 pixels, padded to 64 as detectors do
seen = pooled(fresh), pooled(used)
print(f"torchvision {torchvision.__version__}, torch {torch.__version__}")
print("Guess: how a box is pooled depends on the box and the maps alone.")
print("Seen: the strides are guessed from the first picture ever pooled, padding and all, rounded, and kept for good:")
print(f"    fresh                            scales {fresh.scales}, the box is {seen[0]:.2f}")
print(f"    after a picture of 40 in 64      scales {used.scales}, the box is {seen[1]:.2f}: off the map")
raise SystemExit(not (fresh.scales == [0.25, 0.125, 0.0625, 0.03125] and used.scales == [0.5, 0.25, 0.125, 0.0625]
                      and 11 < seen[0] < 13 and seen[1] == 0))
PY
env/bin/python -W ignore show.py
