#!/usr/bin/env bash
# Guess: `directed_hausdorff` of a set without points is an error, as of sets with other numbers of columns, or not a number.
# (scipy/spatial/distance.py hands it on to _hausdorff.pyx, whose largest distance begins at 0 and whose two indices begin as nothing at all. The
# largest of no distances may be called 0; the page says that the indices are those of points of the two sets.)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check scipy==1.17.1 numpy==2.4.6
cat > show.py <<'PY'
from importlib.metadata import version

import numpy as np
from scipy.spatial.distance import directed_hausdorff

truth = np.zeros((50, 50), bool)
truth[10:30, 10:30] = True
answers = {"the truth itself": truth, "one pixel wrong": truth.copy(), "nothing found": np.zeros_like(truth)}
answers["one pixel wrong"][49, 49] = True
seen = {}
for said, answer in answers.items():
    points = np.argwhere(answer), np.argwhere(truth)
    distance, first, second = directed_hausdorff(*points)
    seen[said] = round(float(distance), 2), 0 <= first < len(points[0]) and 0 <= second < len(points[1]), round(float(directed_hausdorff(*points[::-1])[0]), 2)
print(f"scipy {version('scipy')}")
print("Guess: an answer without a pixel has no distance to the truth.")
print("Seen: it has that of a perfect one, 0, and the two points between which it is said to be are in neither set; the other way it is infinite:")
for said, (there, known, back) in seen.items():
    print(f"    {said:17} to the truth {there:6}, {'by two of their points      ' if known else 'by points that are not there'}   from the truth {back}")
raise SystemExit(list(seen.values()) != [(0, True, 0), (28.28, True, 0), (0, False, float("inf"))])
PY
env/bin/python -W ignore show.py
