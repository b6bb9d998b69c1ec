#!/usr/bin/env bash
# Guess: the p-value of `proportion_difference` of mlxtend is small where two shares differ, whichever comes first; that of statsmodels is.
# (mlxtend/evaluate/proportion_difference.py: `p = norm.cdf(z)`, whatever the sign of z. Its docstring calls it the p-value.)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check mlxtend==0.25.0 statsmodels==0.15.0 numpy==2.4.6
cat > show.py <<'PY'
from importlib.metadata import version

from mlxtend.evaluate import proportion_difference
from statsmodels.stats.proportion import test_proportions_2indep as two_sided

rows = []
for first, second in ((0.8, 0.9), (0.9, 0.8), (0.85, 0.85)):
    z, p = proportion_difference(first, second, n_1=200)
    rows.append((first, second, float(z), float(p), float(two_sided(round(200 * first), 200, round(200 * second), 200, method="wald").pvalue)))
print(f"mlxtend {version('mlxtend')}, statsmodels {version('statsmodels')}")
print("Guess: .005 for accuracies of .8 and .9 of 200 pictures each, in either order, and 1 for two that are alike.")
print("Seen: twice too small one way, near 1 the other, where no difference is seen however large it is, and .5 of two that are alike:")
for first, second, z, p, right in rows:
    print(f"    {first} and {second:<5} z {z:6.3f}   mlxtend p {p:.4f}   statsmodels p {right:.4f}")
(*_, small, right), (*_, large, same), (*_, even, one) = rows
raise SystemExit(not (abs(right - same) < 1e-9 and right < 0.01 and abs(2 * small - right) < 1e-6 and large > 0.99 and even == 0.5 and one == 1))
PY
env/bin/python -W ignore show.py
