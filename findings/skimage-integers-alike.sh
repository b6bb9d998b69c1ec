#!/usr/bin/env bash
# Guess: the same two pictures have one similarity, whether their 0 to 255 are held in uint8 or in a wider whole number; or an error says why not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check scikit-image==0.26.0 numpy==2.4.6
cat > show.py <<'PY'
import numpy as np
import skimage
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

random = np.random.default_rng(0)
one, other = random.integers(0, 256, (2, 64, 64)).astype(np.uint8)  # noise, and other noise
print(f"scikit-image {skimage.__version__}")
print("Guess: 8 dB and a similarity of about 0, four times; or for whole numbers what it does for fractions, an error without `data_range`.")
print("Seen: white is taken to be the largest number of the type: two pictures of noise in int64, as a sum or a difference gives them, are alike:")
said = {}
for kind in (np.uint8, np.int16, np.int32, np.int64):
    a, b = one.astype(kind), other.astype(kind)
    said[kind] = structural_similarity(a, b), peak_signal_noise_ratio(a, b)
    print(f"    {np.dtype(kind).name:6} structural similarity {said[kind][0]:.4f}, signal to noise {said[kind][1]:5.1f} dB")
raise SystemExit(not (said[np.uint8][0] < 0.1 and said[np.int64][0] > 0.9999 and said[np.int32][1] > 100))
PY
env/bin/python -W ignore show.py
