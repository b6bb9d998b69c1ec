#!/usr/bin/env bash
# Guess: a transform of MONAI gives a new picture back and leaves the one it was given, `NormalizeIntensity(nonzero=True)` as any other.
# (monai/transforms/intensity/array.py, `NormalizeIntensity._normalize`: with `nonzero` or `channel_wise` the numbers are written into the slices
# of what came in.)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check monai==1.6.1 torch==2.14.1 scipy==1.17.1 numpy==2.4.6
cat > show.py <<'PY'
from importlib.metadata import version

import monai.transforms as T
import numpy as np
import torch

ways = {"NormalizeIntensity()": T.NormalizeIntensity(), "NormalizeIntensity(nonzero=True)": T.NormalizeIntensity(nonzero=True),
        "NormalizeIntensity(channel_wise=True)": T.NormalizeIntensity(channel_wise=True), "ScaleIntensity()": T.ScaleIntensity(),
        "ScaleIntensity(channel_wise=True)": T.ScaleIntensity(channel_wise=True), "ThresholdIntensity(20)": T.ThresholdIntensity(20),
        "AdjustContrast(2)": T.AdjustContrast(2)}
seen = {}
for name, way in ways.items():
    for kind, make in (("numpy", np.array), ("torch", torch.tensor)):
        scan = make([[[0.0, 10, 20], [30, 40, 50]]]) if kind == "torch" else make([[[0.0, 10, 20], [30, 40, 50]]], np.float32)
        way(scan)
        seen[name, kind] = [round(float(v), 2) for v in scan.flatten()]
kept = [0.0, 10.0, 20.0, 30.0, 40.0, 50.0]
print(f"monai {version('monai')}, torch {torch.__version__}")
print(f"Guess: the scan that was handed over is {kept} afterwards.")
print("Seen: so it is, but for two ways of normalising, which write into it:")
for name in ways:
    print(f"    {name:38} " + ", ".join(f"{kind}: {'as it was' if seen[name, kind] == kept else seen[name, kind]}" for kind in ("numpy", "torch")))
changed = {name for name, _ in seen if seen[name, "numpy"] != kept and seen[name, "torch"] != kept}
raise SystemExit(changed != {"NormalizeIntensity(nonzero=True)", "NormalizeIntensity(channel_wise=True)"})
PY
env/bin/python -W ignore show.py
