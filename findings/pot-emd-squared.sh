#!/usr/bin/env bash
# Guess: ot.emd2_1d of POT is the earth mover's distance of two samples on a line: of one that lies 3 further on it is 3, as scipy says.
# (Its page: metric is 'sqeuclidean' unless another is named; so is that of ot.dist.)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check POT==0.9.7.post1 numpy==2.4.6 scipy==1.17.0
cat > show.py <<'PY'
import numpy as np
import ot
import scipy
from scipy.stats import wasserstein_distance

first = np.array([0.0, 1, 2, 5])
rows = []
for shift in (0.5, 3.0):
    second = first + shift
    cost = ot.dist(first[:, None], second[:, None])
    rows.append((shift, ot.emd2_1d(first, second), ot.emd2(ot.unif(4), ot.unif(4), cost), ot.wasserstein_1d(first, second),
                 wasserstein_distance(first, second)))
print(f"POT {ot.__version__}, scipy {scipy.__version__}")
print("Guess: all of them say how far the second sample is shifted.")
print("Seen: emd2_1d, and emd2 with ot.dist, say its square; wasserstein_1d of the same package says the distance:")
print("    shifted by  emd2_1d  emd2 of dist  wasserstein_1d  scipy")
for r in rows:
    print("    {:10.1f}  {:7.2f}  {:12.2f}  {:14.2f}  {:5.2f}".format(*map(float, r)))
raise SystemExit(not all(np.allclose(r[1:3], r[0] ** 2) and np.allclose(r[3:], r[0]) for r in rows))
PY
env/bin/python -W ignore show.py
