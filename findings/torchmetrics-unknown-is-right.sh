#!/usr/bin/env bash
# Guess: `allow_unknown_preds_category=True` of `PanopticQuality` takes an answer that leaves pixels without a class, as an answer may;
# an object under them is missed, as to panopticapi.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check torchmetrics==1.9.0 torch==2.14.1 numpy==2.4.6
cat > show.py <<'PY'
from importlib.metadata import version

import torch
from torchmetrics.detection import PanopticQuality

ROAD, CAR, UNKNOWN = 0, 1, 9
truth = torch.zeros(1, 20, 60, 2, dtype=torch.long)  # class and number of object: five cars of 10 x 8 pixels on a road
for k in range(5):
    truth[0, 5:15, 12 * k + 2:12 * k + 10] = torch.tensor([CAR, k + 1])
unknown, road = truth.clone(), truth.clone()
unknown[0, :, 12:] = torch.tensor([UNKNOWN, 0])  # one car is found, and four fifths of the picture have no answer
road[0, :, 12:] = torch.tensor([ROAD, 0])  # one car is found, and the others are taken for road
seen = {}
for name, answer in (("unknown", unknown), ("road", road)):
    metric = PanopticQuality(things={CAR}, stuffs={ROAD}, allow_unknown_preds_category=True, return_per_class=True)
    seen[name] = [round(v, 3) for v in metric(answer, truth).squeeze().tolist()]
print(f"torchmetrics {version('torchmetrics')}, torch {torch.__version__}")
print("Guess: cars have a quality of .333 in both answers (one of five found, 1 / (1 + 4 / 2)).")
print("Seen: what is under unknown pixels need not be found, and they are in no union: saying nothing is as good as being right:")
for name, (car, ground) in seen.items():
    print(f"    the rest of the picture {name:8} cars {car:.3f}, road {ground:.3f}")
raise SystemExit(not (sorted(seen["unknown"]) == [1, 1] and 0.333 in seen["road"]))
PY
env/bin/python -W ignore show.py
