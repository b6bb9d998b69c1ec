#!/usr/bin/env bash
# Guess: equal weights change nothing, as "None, which means weight == 1 for each model" of `nms_method` says, and no call changes its arguments.
# (ensemble_boxes/ensemble_boxes_nms.py, `nms_method`: scores are divided by the sum of the weights where there are weights, and put back in the
# caller's list.)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check ensemble-boxes==1.0.9 numpy==2.4.6
cat > show.py <<'PY'
from importlib.metadata import version

from ensemble_boxes import nms, non_maximum_weighted, soft_nms

boxes = [[[0.0, 0.0, 0.1, 0.1], [0.5, 0.5, 0.6, 0.6]], [[0.3, 0.3, 0.4, 0.4]]]  # two models, no two boxes touch
labels = [[0, 0], [0]]


def seen(fuse, **options):
    scores = [[0.8, 0.6], [0.5]]
    return [[round(float(s), 3) for s in fuse(boxes, scores, labels, **options)[1]] for _ in range(3)]


print(f"ensemble-boxes {version('ensemble-boxes')}")
print("Guess: weights=[1, 1] gives .8, .6 and .5 as no weights do, and so again when the same lists are fused once more.")
print("Seen: every score is halved, and halved in the caller's own list: the second call has a quarter, the third an eighth:")
rows = {"nms": seen(nms), "nms, [1, 1]": seen(nms, weights=[1, 1]), "soft_nms, [1, 1]": seen(soft_nms, weights=[1, 1]),
        "non_maximum_weighted, [1, 1]": seen(non_maximum_weighted, weights=[1, 1])}
for name, calls in rows.items():
    print(f"    {name:29} " + "   ".join(", ".join(f"{s:g}" for s in scores) for scores in calls))
same, halved = [[0.8, 0.6, 0.5]] * 3, [[0.4, 0.3, 0.25], [0.2, 0.15, 0.125], [0.1, 0.075, 0.062]]
raise SystemExit(list(rows.values()) != [same, halved, halved, same])
PY
env/bin/python -W ignore show.py
