#!/usr/bin/env bash
# Guess: seed 0 is a seed as 1 is: two strategies of it ask for the same points.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check cma==4.5.0 numpy==2.4.6
cat > show.py <<'PY'
import cma
import numpy as np


def asked(seed):
    return np.array(cma.CMAEvolutionStrategy([0.0, 0.0], 1.0, {"seed": seed, "verbose": -9}).ask())


same = {seed: bool(np.array_equal(asked(seed), asked(seed))) for seed in (0, 1, 2)}
print(f"cma {cma.__version__}")
print("Guess: two strategies of one seed ask for the same points, whatever the seed.")
print("Seen: seed 0 means the clock, so that no two runs are alike:")
for seed, equal in same.items():
    print(f"    seed {seed}: the same points twice: {equal}")
raise SystemExit(same != {0: False, 1: True, 2: True})
PY
env/bin/python -W ignore show.py
