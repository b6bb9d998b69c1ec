#!/usr/bin/env bash
# Guess: a matrix of doubles of MATLAB, which is what all its numbers are unless said otherwise, is float64 in Python.
# scipy.io.loadmat (docs.scipy.org, 1.17): `mat_dtype`: "If True, return arrays in same dtype as would be loaded into MATLAB (instead of the dtype with which
# they are saved)". What it does not say: MATLAB saves doubles that are whole numbers in the fewest bytes ("MAT-File Format", Data Element: "automatically
# compressed"), so that the type depends on the values, and sums of corners and sizes wrap around.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check scipy==1.17.1 numpy==2.4.6
cat > show.py <<'PY'
import struct

import numpy as np
import scipy
from scipy.io import loadmat


def element(kind, data):
    return struct.pack("<II", kind, len(data)) + data + bytes(-len(data) % 8)


def as_matlab_saves(name, rows):
    """A file of level 5 with one matrix of class double, its whole numbers stored in as few bytes as they need (types 2, 4: uint8, uint16; 9: double)."""
    values = np.array(rows, float)
    kind, stored = next((k, t) for k, t in ((2, np.uint8), (4, np.uint16), (9, np.float64)) if np.array_equal(values, values.astype(t)))
    matrix = element(6, struct.pack("<II", 6, 0)) + element(5, struct.pack("<ii", *values.shape)) + element(1, name.encode())
    header = b"MATLAB 5.0 MAT-file".ljust(124) + struct.pack("<H", 0x0100) + b"IM"
    return header + element(14, matrix + element(kind, values.astype(stored).tobytes("F")))


seen = {}
print(f"scipy {scipy.__version__}, numpy {np.__version__}")
print("Guess: x + width, the right edge of each box, is 450 and 30.")
print("Seen: the type is that of the largest number in the file, and in the smallest type the edge wraps around:")
for name, boxes in (("all below 256", [[200, 100, 250, 50], [10, 10, 20, 20]]), ("one of 300", [[200, 100, 250, 50], [10, 10, 20, 300]]),
                    ("one of 20.5", [[200, 100, 250, 50], [10, 10, 20.5, 20]])):
    with open("boxes.mat", "wb") as file:
        file.write(as_matlab_saves("boxes", boxes))
    for as_matlab in (False, True):
        read = loadmat("boxes.mat", mat_dtype=as_matlab)["boxes"]
        seen[name, as_matlab] = read.dtype.name, (read[:, 0] + read[:, 2]).tolist()
        print(f"    numbers {name:13} mat_dtype={as_matlab!s:5}  {read.dtype.name:7}  right edges {seen[name, as_matlab][1]}")
raise SystemExit(not (seen["all below 256", False] == ("uint8", [194, 30]) and seen["one of 300", False] == ("uint16", [450, 30])
                      and all(seen[k, True][0] == "float64" for k in ("all below 256", "one of 300", "one of 20.5"))))
PY
env/bin/python -W ignore show.py
