#!/usr/bin/env bash
# Guess: what is found in a picture that holds nothing is a mistake, and lowers AP.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check map-boxes==1.0.6 pandas==2.3.3 numpy==2.2.6
cat > show.py <<'PY'
from importlib.metadata import version

from map_boxes import mean_average_precision_for_boxes

truth = [["a", "cat", 0.1, 0.5, 0.1, 0.5], ["b", "dog", 0.1, 0.5, 0.1, 0.5]]  # the picture c holds nothing
found = [["a", "cat", 0.8, 0.1, 0.5, 0.1, 0.5], ["b", "dog", 0.8, 0.1, 0.5, 0.1, 0.5]]
print(f"map-boxes {version('map-boxes')}")
print("Guess: a cat too many, surer than all others, lowers the AP of cats to a half, whichever picture it is in.")
print("Seen: only pictures with an object of some class are looked at; the whole of what is found in others is left out:")
seen = []
for name, more in (("none too many", []), ("one in a, beside a cat", ["a"]), ("one in b, beside a dog", ["b"]),
                   ("fifty in c, where there is nothing", ["c"] * 50)):
    wrong = [[p, "cat", 0.9, 0.6, 0.9, 0.6, 0.9] for p in more]
    mean, of = mean_average_precision_for_boxes(truth, found + wrong, verbose=False)
    seen.append(float(of["cat"][0]))
    print(f"    {name:35} AP of cats {seen[-1]:g}, mAP {mean:g}")
raise SystemExit(seen != [1.0, 0.5, 0.5, 1.0])
PY
env/bin/python -W ignore show.py
