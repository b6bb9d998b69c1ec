#!/usr/bin/env bash
# Guess: a random search draws each of the whole numbers 0 to 4 as often as the others, and a number between 0 and 10 evenly, whatever holds it.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check nevergrad==1.0.12 scikit-optimize==0.10.2 numpy==2.4.6 scikit-learn==1.9.1
cat > show.py <<'PY'
from importlib.metadata import version

import nevergrad as ng
import numpy as np
from skopt.space import Integer


def searched(parameter):
    parameter.random_state.seed(0)
    search = ng.optimizers.RandomSearch(parametrization=parameter, budget=10_000)
    return np.array([float(np.ravel(search.ask().value)[0]) for _ in range(5_000)])


whole = [int(n) for n in np.bincount(searched(ng.p.Scalar(lower=0, upper=4).set_integer_casting()).astype(int), minlength=5)]
drawn = {kind: [int(n) for n in np.bincount(Integer(0, 4, transform=kind).rvs(5_000, random_state=0), minlength=5)] for kind in ("identity", "normalize")}
fifths = {name: [int(n) for n in np.histogram(searched(made), np.linspace(0, 10, 6))[0]]
          for name, made in (("Scalar(lower=0, upper=10)", ng.p.Scalar(lower=0, upper=10)), ("Array(shape=(1,), lower=0, upper=10)", ng.p.Array(shape=(1,), lower=0, upper=10)))}
print(f"nevergrad {ng.__version__}, scikit-optimize {version('scikit-optimize')}")
print("Guess: of 5000 draws each of the numbers 0 to 4, or each fifth of 0 to 10, has 1000 or so.")
print("Seen: both round a fraction between the ends, so that 0 and 4 have half of the others' share; and what nevergrad draws evenly as a Scalar")
print("    it draws from a bell around the middle as an Array of one number:")
print(f"    nevergrad  RandomSearch, Scalar(lower=0, upper=4).set_integer_casting():  0 to 4  {whole}")
for kind, counts in drawn.items():
    print(f"    skopt      Integer(0, 4, transform={kind!r}):".ljust(79) + f"0 to 4  {counts}")
for name, counts in fifths.items():
    print(f"    nevergrad  RandomSearch, {name}:".ljust(79) + f"fifths  {counts}")


def halved(counts):
    return all(400 < counts[end] < 800 for end in (0, 4)) and all(1050 < n < 1450 for n in counts[1:4])


even, bell = fifths.values()
raise SystemExit(not (halved(whole) and halved(drawn["normalize"]) and min(drawn["identity"]) > 850 and min(even) > 850 and bell[0] < 300 < 2000 < bell[2]))
PY
env/bin/python -W ignore show.py
