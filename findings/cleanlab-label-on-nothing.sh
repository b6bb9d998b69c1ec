#!/usr/bin/env bash
# Guess: a labelled box where a sure model finds nothing is among the worst labels of a set.
# (cleanlab/object_detection/rank.py knows boxes that were overlooked, badly placed or of another class; a label that no prediction touches is given 1.)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check cleanlab==2.9.0 numpy==2.4.6
cat > show.py <<'PY'
from importlib.metadata import version

import numpy as np
from cleanlab.object_detection.rank import get_label_quality_scores

cat, elsewhere = [10, 10, 50, 50], [300, 300, 350, 350]
found = [np.array([[*cat, 0.99]]), np.empty((0, 5))]  # of two classes: a cat, sure, in each picture
sets = {"the cat": ([cat], [0]), "nothing": ([], []), "the cat, and a cat elsewhere": ([cat, elsewhere], [0, 0]),
        "the cat, and a dog elsewhere": ([cat, elsewhere], [0, 1]), "the cat, and 50 dogs elsewhere": ([cat, *[elsewhere] * 50], [0, *[1] * 50])}
labels = [{"bboxes": np.array(boxes, float).reshape(-1, 4), "labels": np.array(classes, int)} for boxes, classes in sets.values()]
seen = {name: round(float(q), 3) for name, q in zip(sets, get_label_quality_scores(labels, [found] * len(sets), verbose=False))}
print(f"cleanlab {version('cleanlab')}, numpy {np.__version__}")
print("Guess: labels of what a sure model does not see have a low quality, as labels that leave out what it sees.")
print("Seen: they have the quality of a perfect picture, 1, however many there are:")
for name, quality in seen.items():
    print(f"    found: the cat; labelled: {name:32} quality {quality}")
values = list(seen.values())
raise SystemExit(not (values[0] == 1 and values[2:] == [1, 1, 1] and values[1] < 0.3))
PY
env/bin/python -W ignore show.py
