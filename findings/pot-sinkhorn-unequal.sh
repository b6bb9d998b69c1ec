#!/usr/bin/env bash
# Guess: ot.sinkhorn refuses masses of unlike sums, as ot.emd of the same package does: no plan can move one onto a heap of two.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check POT==0.9.7.post1 numpy==2.4.6 scipy==1.17.0
cat > show.py <<'PY'
import numpy as np
import ot

first, second = np.array([0.5, 0.5]), np.array([1.0, 1.0])
cost = np.array([[0.0, 1], [1, 0]])
try:
    ot.emd(first, second, cost)
    said = "a plan"
except AssertionError as error:
    said = " ".join(str(error).split())[:96]
plan = ot.sinkhorn(first, second, cost, 0.1)
turned = ot.sinkhorn(second, first, cost, 0.1)
print(f"POT {ot.__version__}")
print("Guess: both say that the masses differ.")
print("Seen: sinkhorn gives a plan, which has the sums that it made last, and no word that the others are not met:")
print(f"    emd       {said}")
print(f"    sinkhorn  rows {plan.sum(1).round(3)} (asked {first}), columns {plan.sum(0).round(3)} (asked {second})")
print(f"    turned    rows {turned.sum(1).round(3)} (asked {second}), columns {turned.sum(0).round(3)} (asked {first})")
raise SystemExit(not ("same sum" in said and np.isfinite(plan).all() and abs(plan.sum() - second.sum()) > 0.5))
PY
env/bin/python -W ignore show.py
