#!/usr/bin/env bash
# Guess: `residual_resample` draws each particle as often as its weight says, in the mean, as every resampling does.
# (filterpy/monte_carlo/resampling.py, `residual_resample`: what is left of a particle is its weight less its copies, in place of N weights less them.
# In its tracker since 2023.)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check filterpy==2.0.0 numpy==2.4.6
cat > show.py <<'PY'
from importlib.metadata import version

import numpy as np
from filterpy.monte_carlo import multinomial_resample, residual_resample, stratified_resample, systematic_resample

weights = np.array([0.45, 0.3, 0.15, 0.1])
shares = {}
for resample in (residual_resample, systematic_resample, stratified_resample, multinomial_resample):
    np.random.seed(0)
    drawn = np.concatenate([resample(weights) for _ in range(5000)]).astype(int)
    shares[resample.__name__] = (np.bincount(drawn, minlength=4) / len(drawn)).round(2).tolist()
print(f"filterpy {version('filterpy')}, particles of weight {', '.join(f'{w:g}' for w in weights)}; 5000 times four are drawn")
print("Guess: in the mean the shares of what is drawn are the weights, with each of the four functions.")
print("Seen: with `residual_resample` particles of less than a fourth are never drawn where others have more, and these come too often:")
for name, row in shares.items():
    print(f"    {name:22}" + "".join(f"{share:6.2f}" for share in row))
residual, *others = shares.values()
raise SystemExit(not (residual[2:] == [0, 0] and residual[0] > 0.5 and all(abs(np.array(o) - weights).max() < 0.02 for o in others)))
PY
env/bin/python -W ignore show.py
