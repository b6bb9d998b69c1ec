#!/usr/bin/env bash
# Guess: the geometric mean of the sensitivities is over the classes of the truth: what is wrongly named is wrong, whatever name it gets.
# (imblearn/metrics/_classification.py: the classes are those of truth and answer together, and one that no picture has, has a sensitivity of 0.)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check imbalanced-learn==0.14.2 scikit-learn==1.9.1 numpy==2.4.6
cat > show.py <<'PY'
import imblearn
import numpy as np
from imblearn.metrics import geometric_mean_score
from sklearn.metrics import recall_score

truth = np.repeat([0, 1], 100)
seen = {}
for name, wrong in (("another class of the two", 0), ("a class that is nowhere", 2)):
    answer = truth.copy()
    answer[-1] = wrong
    seen[name] = [round(float(geometric_mean_score(truth, answer, **more)), 3) for more in ({}, {"labels": [0, 1]})]
    sensitivities = recall_score(truth, answer, labels=[0, 1], average=None).tolist()
print(f"imbalanced-learn {imblearn.__version__}, numpy {np.__version__}")
print(f"Guess: one of 200 answers is wrong, the sensitivities are {sensitivities}, and their geometric mean is .995.")
print("Seen: it is 0 where the wrong one names a class that no picture has, unless labels says which classes there are:")
for name, (mean, told) in seen.items():
    print(f"    the wrong answer is {name + ':':26} {mean}, and with labels=[0, 1] {told}")
raise SystemExit(seen != {"another class of the two": [0.995, 0.995], "a class that is nowhere": [0.0, 0.995]})
PY
env/bin/python -W ignore show.py
