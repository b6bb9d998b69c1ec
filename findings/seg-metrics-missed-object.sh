#!/usr/bin/env bash
# Guess: the Hausdorff distance of an object that was not found is infinite, nan or left out.
# (seg_metrics/seg_metrics.py: where one of the two masks is empty all distances stay 0.)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check seg-metrics==1.2.8 numpy==2.4.6
cat > show.py <<'PY'
import logging
from importlib.metadata import version

import numpy as np
import seg_metrics.seg_metrics as sg

logging.disable(logging.CRITICAL)
truth = np.zeros((12, 12, 12), np.uint8)
truth[2:5, 2:5, 2:5], truth[8:10, 8:10, 8:10] = 1, 2
answers = {"both found": truth.copy(), "the second missed": np.where(truth == 2, 0, truth), "the second a voxel off": truth.copy()}
answers["the second a voxel off"][truth == 2] = 0
answers["the second a voxel off"][9:11, 8:10, 8:10] = 2
seen = {}
for name, answer in answers.items():
    found = sg.write_metrics(labels=[1, 2], gdth_img=truth, pred_img=answer, metrics=["dice", "hd", "hd95", "msd"])[0]
    seen[name] = {key: round(float(found[key][1]), 3) for key in ("dice", "hd", "hd95", "msd")}
print(f"seg-metrics {version('seg-metrics')}, numpy {np.__version__}")
print("Guess: an object that is not found has no distance, or an infinite one.")
print("Seen: it has 0, as one that is found exactly; found a voxel away it has a worse one:")
for name, values in seen.items():
    print(f"    {name:23} " + "  ".join(f"{key} {value}" for key, value in values.items()))
missed = seen["the second missed"]
raise SystemExit(not (missed == {"dice": 0, "hd": 0, "hd95": 0, "msd": 0} and seen["both found"] == {"dice": 1, "hd": 0, "hd95": 0, "msd": 0}
                      and seen["the second a voxel off"]["hd"] == 1))
PY
env/bin/python -W ignore show.py
