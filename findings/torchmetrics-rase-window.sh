#!/usr/bin/env bash
# Guess: `relative_average_spectral_error` of torchmetrics is in per cent of the mean, as its name says: some 10 for a picture that is a tenth
# darker, in windows of whatever size.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check torchmetrics==1.9.0 torch==2.14.1 numpy==2.4.6
cat > show.py <<'PY'
import torch
import torchmetrics
from torchmetrics.functional.image import relative_average_spectral_error

torch.manual_seed(0)
picture = 0.5 + 0.1 * torch.rand(1, 3, 64, 64)
darker = 0.9 * picture
hand = float(100 / picture.mean() * (picture - darker).square().mean().sqrt())
print(f"torchmetrics {torchmetrics.__version__}")
print(f"Guess: {hand:.1f} per cent, which is 100 / mean * root mean square error, with every window.")
print("Seen: it is that times the window's pixels, as a mean over a window is divided by its size once more:")
seen = {}
for window in (2, 4, 8, 16):
    seen[window] = float(relative_average_spectral_error(darker, picture, window_size=window))
    print(f"    window_size {window:2}: {seen[window]:7.1f}, divided by {window * window:3} it is {seen[window] / window**2:.1f}" + ("   (the default)" if window == 8 else ""))
raise SystemExit(not all(abs(v / w**2 / hand - 1) < 0.05 for w, v in seen.items()))
PY
env/bin/python -W ignore show.py
