#!/usr/bin/env bash
# Guess: the structural similarity of two pictures that repeat themselves is the same whatever their size.
# (piq/ssim.py averages blocks of max(1, round(shorter side / 256)) pixels first, unless `downsample=False`: from a side of 384 on. Its page says that
# `downsample=True`, the default, is "to match performance with skimage", which averages no blocks.)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check piq==0.8.0 torch==2.14.1 torchvision==0.29.1 numpy==2.4.6
cat > show.py <<'PY'
import piq
import torch

seen = {}
for side in (256, 383, 384, 512):
    rows = torch.arange(side)
    chess = ((rows[:, None] + rows) % 2).float()[None, None]  # fields of one pixel, black and white
    grey = torch.full_like(chess, 0.5)
    seen[side] = [float(piq.ssim(chess, grey, downsample=d)) for d in (True, False)]
print(f"piq {piq.__version__}, torch {torch.__version__}")
print("Guess: a chessboard with fields of one pixel is as unlike flat grey at 512 pixels as at 256.")
print("Seen: from a side of 384 on they are the same picture, as 2 x 2 pixels are averaged first:")
for side, (usual, plain) in seen.items():
    print(f"    side {side}: ssim {usual:.4f}, with downsample=False {plain:.4f}")
raise SystemExit(not (all(v[1] < 0.01 for v in seen.values()) and seen[256][0] < 0.01 and seen[383][0] < 0.01 and seen[384][0] > 0.999 and seen[512][0] > 0.999))
PY
env/bin/python -W ignore show.py
