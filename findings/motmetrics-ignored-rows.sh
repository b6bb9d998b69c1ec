#!/usr/bin/env bash
# Guess: motmetrics leaves out the rows of a MOTChallenge truth that are marked 0, "not to be considered".
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check motmetrics==1.4.0 numpy==1.26.4
cat > show.py <<'PY'
import motmetrics as mm
import numpy as np

with open("gt.txt", "w") as file:  # frame, object, left, top, width, height, considered, class, visibility
    file.write("".join(f"{t},1,11,11,10,10,1,1,1\n{t},2,51,51,10,10,0,8,1\n{t},3,81,81,10,10,0,8,1\n" for t in (1, 2, 3)))
with open("found.txt", "w") as file:  # a tracker that finds all that counts, exactly
    file.write("".join(f"{t},1,11,11,10,10,.9,-1,-1,-1\n" for t in (1, 2, 3)))
seen = {}
for least in (None, 1):
    truth = mm.io.loadtxt("gt.txt", fmt="mot16", **({} if least is None else {"min_confidence": least}))
    kept = mm.utils.compare_to_groundtruth(truth, mm.io.loadtxt("found.txt", fmt="mot16"), "iou", distth=0.5)
    row = mm.metrics.create().compute(kept, metrics=["mota", "num_misses"]).iloc[0]
    seen[least] = round(float(row["mota"]), 3), int(row["num_misses"])
print(f"motmetrics {mm.__version__}, numpy {np.__version__}")
print("Guess: MOTA 1 and nothing missed, as the reader is told that the file is MOTChallenge's.")
print("Seen: it reads the mark as a confidence and keeps all of them, so that what is not to be considered is missed; `min_confidence=1` leaves it out:")
for least, (mota, missed) in seen.items():
    print(f"    loadtxt(…, fmt=\"mot16\"{'' if least is None else ', min_confidence=1'}): MOTA {mota}, {missed} missed")
raise SystemExit(seen != {None: (0.333, 6), 1: (1.0, 0)})
PY
env/bin/python -W ignore show.py
