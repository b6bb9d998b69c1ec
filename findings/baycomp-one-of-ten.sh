#!/usr/bin/env bash
# Guess: to the Bayesian signed-rank test of baycomp, models that are alike on nine of ten data sets, where one is a hair better on the
# tenth, are about as likely to be better one way or the other (the sign test knows one win in ten), and models alike on all are at .5.
# Its page: "(p_left, p_rope, p_right) if rope > 0; otherwise (p_left, p_right)".
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check baycomp==1.0.3 scipy==1.17.0 numpy==1.26.4 matplotlib==3.10.8
cat > show.py <<'PY'
from importlib.metadata import version

import baycomp
import numpy as np
from scipy.stats import wilcoxon

first = np.linspace(0.7, 0.9, 10)
second = first.copy()
second[0] += 0.0001
third = first.copy()
third[0] += 0.0001
third[1] -= 0.0001


def better(a, b, rope=0):
    """The probability that b is better than a."""
    return baycomp.two_on_multiple(a, b, rope=rope, random_state=0)[-1]


hair, narrow, even = better(first, second), better(first, second, 0.001), better(first, third)
p = wilcoxon(second - first).pvalue
alike = baycomp.two_on_multiple(first, first.copy(), random_state=0)
print(f"baycomp {version('baycomp')}")
print("Guess: near .5 each; without a region of equivalence two numbers come back.")
print("Seen: without such a region one data set of ten that is .0001 better makes the model better for certain, since ties halve and the")
print("    rest tips; alike on all ten is not even, but what rounding makes of a sum of ones; and three numbers come back:")
print(f"    .0001 better on one of ten, alike on nine  P(better) {hair:.3f}   (Wilcoxon's p, both sides: {p:.2f})")
print(f"    better on one, worse on another by as much P(better) {even:.3f}")
print(f"    one of ten, with rope=0.001                P(better) {narrow:.3f}")
print(f"    alike on all ten                           {tuple(round(float(v), 2) for v in alike)}")
raise SystemExit(not (hair == 1 and abs(even - 0.5) < 0.02 and narrow == 0 and p > 0.3 and len(alike) == 3 and abs(alike[0] - 0.5) > 0.1))
PY
env/bin/python -W ignore show.py
