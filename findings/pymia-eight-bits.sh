#!/usr/bin/env bash
# Guess: the errors of pymia are those of NumPy on fractions, whatever the type of two pictures: one grey value too bright is a mean absolute
# error of 1, as one too dark is.
# (pymia/evaluation/metric/continuous.py subtracts the arrays as they are, and squares the rest in their own type; PSNR goes by scikit-image.)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check pymia==0.3.4 numpy==2.4.6
cat > show.py <<'PY'
from importlib.metadata import version

import numpy as np
from pymia.evaluation import metric

KINDS = metric.MeanAbsoluteError, metric.MeanSquaredError, metric.RootMeanSquaredError, metric.PeakSignalToNoiseRatio


def measure(reference, prediction):
    values = []
    for kind in KINDS:
        one = kind()
        one.reference, one.prediction = reference, prediction
        values.append(float(one.calculate()))
    return values


picture = (np.arange(64 * 64, dtype=np.uint8).reshape(64, 64) % 200 + 20).astype(np.uint8)  # 20 to 219
rows = [(name, measure(picture.astype(kind), (picture.astype(int) + by).astype(kind)))
        for name, by in (("one darker", -1), ("one brighter", 1), ("16 brighter", 16)) for kind in (np.float64, np.uint8)]
print(f"pymia {version('pymia')}, numpy {version('numpy')}")
print("Guess: the second row of each pair, of the same pictures in 8 bits, is the first.")
print("Seen: what is one brighter is off by 255, and an error of 16 has a square of 0; the signal to noise ratio is right:")
for number, (name, (mae, mse, rmse, psnr)) in enumerate(rows):
    print(f"    {name:13} {('float64', 'uint8')[number % 2]:8} mean absolute {mae:5.0f}   squared {mse:5.0f}   root {rmse:4.0f}   PSNR {psnr:.1f} dB")
(_, dark), (_, dark8), (_, bright), (_, bright8), (_, more), (_, more8) = rows
raise SystemExit(not (np.allclose(dark, dark8) and bright[0] == 1 and bright8[0] == 255 and more[1] == 256 and more8[1] == 0
                      and np.isclose(more[3], more8[3])))
PY
env/bin/python -W ignore show.py
