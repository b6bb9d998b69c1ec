#!/usr/bin/env bash
# Guess: `labeled_max` gives the largest number of each label, as its page says: `np.max(array[labeled == i])`.
# (mahotas/_labeled.cpp starts from `std::numeric_limits<T>::min()`, which is the least number of a whole type, but the least *positive* one of fractions.)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check mahotas==1.4.19 numpy==2.4.6
cat > show.py <<'PY'
import mahotas
import numpy as np

logits = np.array([[-5, -1, 9, -3, -2]], np.float32)
objects = np.array([[1, 1, 0, 2, 2]])
largest = mahotas.labeled.labeled_max(logits, objects)
least = mahotas.labeled.labeled_min(logits, objects)
whole = mahotas.labeled.labeled_max(logits.astype(np.int32), objects)
print(f"mahotas {mahotas.__version__}")
print("Guess: the largest logits of the objects 1 and 2 are -1 and -2.")
print("Seen: of fractions below zero the largest is the smallest positive number that there is; of whole numbers it is right, and so is the least:")
print(f"    labeled_max, float32   {largest[1]:.3g} {largest[2]:.3g}")
print(f"    labeled_max, int32     {whole[1]} {whole[2]}")
print(f"    labeled_min, float32   {least[1]:g} {least[2]:g}")
tiny = np.finfo(np.float32).tiny
raise SystemExit(not (largest[1] == largest[2] == tiny and list(whole[1:]) == [-1, -2] and list(least[1:]) == [-5, -3]))
PY
env/bin/python -W ignore show.py
