#!/usr/bin/env bash
# Guess: two models with the same answers are no different to McNemar's test: p is 1.
# (The corrected statistic is (|b - c| - 1)^2 / (b + c): without an answer in which they differ 1 / 0, and infinity has p = 0.)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check mlxtend==0.25.0 statsmodels==0.15.0 numpy==2.4.6
cat > show.py <<'PY'
from importlib.metadata import version

import numpy as np
from mlxtend.evaluate import mcnemar, mcnemar_table
from statsmodels.stats.contingency_tables import mcnemar as other

truth = np.tile([0, 1], 50)
wrong = truth.copy()
wrong[:20] = 1 - wrong[:20]
one_more = wrong.copy()
one_more[20] = 1 - one_more[20]
seen = {}
for name, second in (("the same answers", wrong), ("one answer apart", one_more)):
    table = mcnemar_table(truth, wrong, second)
    seen[name] = [round(float(p), 3) for p in (mcnemar(table)[1], mcnemar(table, exact=True)[1], other(table, exact=False).pvalue, other(table).pvalue)]
print(f"mlxtend {version('mlxtend')}, statsmodels {version('statsmodels')}, numpy {np.__version__}")
print("Guess: p = 1 for two models with the same 100 answers.")
print("Seen: p = 0, the surest difference there can be, by mcnemar of mlxtend, and of statsmodels with exact=False; the exact test says 1:")
for name, (corrected, exact, theirs, theirs_exact) in seen.items():
    print(f"    {name:17} mlxtend {corrected}, exact {exact}; statsmodels exact=False {theirs}, exact {theirs_exact}")
raise SystemExit(seen != {"the same answers": [0, 1, 0, 1], "one answer apart": [1, 1, 1, 1]})
PY
env/bin/python -W ignore show.py
