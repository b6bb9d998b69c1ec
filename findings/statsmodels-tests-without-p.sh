#!/usr/bin/env bash
# Guess: a comparison without a p-value (nan) stays nan, and the others are corrected among themselves, or all are refused.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check statsmodels==0.15.0 numpy==2.4.6
cat > show.py <<'PY'
from importlib.metadata import version

import numpy as np
from statsmodels.stats.multitest import multipletests

seen = {}
for method in ("holm", "fdr_bh", "simes-hochberg", "hommel"):
    seen[method] = []
    for p in ([0.01, 0.02, 0.03], [0.01, 0.02, 0.03, np.nan]):
        reject, corrected = multipletests(p, method=method)[:2]
        seen[method].append((int(reject[:3].sum()), corrected[:3].round(3).tolist()))
print(f"statsmodels {version('statsmodels')}, numpy {np.__version__}")
print("Guess: .01, .02 and .03 are what they are beside a nan, or all of it is nan and nothing is decided.")
print("Seen: Holm counts the nan as a test more, and finds one difference of three; Benjamini and Hochberg's corrected numbers are all nan while all three")
print("differences are found; Hommel finds none:")
for method, ((n, alone), (m, beside)) in seen.items():
    print(f"    {method:15} alone {n} of 3 {alone}, beside a nan {m} of 3 {beside}")
nan = all(np.isnan(seen[method][1][1]).all() for method in ("fdr_bh", "simes-hochberg", "hommel"))
raise SystemExit(not (nan and [seen[method][1][0] for method in seen] == [1, 3, 1, 0] and all(seen[method][0][0] == 3 for method in seen)))
PY
env/bin/python -W ignore show.py
