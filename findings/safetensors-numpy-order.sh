#!/usr/bin/env bash
# Guess: an array that is not contiguous is copied as numpy's own `save` does, or refused as safetensors does for PyTorch.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check safetensors==0.8.0 numpy==2.4.6
cat > show.py <<'PY'
import numpy as np
import safetensors
from safetensors.numpy import load_file, save_file

x = np.arange(6, dtype=np.float32).reshape(2, 3)
arrays = {"as it is": x, "transposed": x.T, "Fortran order": np.asfortranarray(x), "every second column": x[:, ::2]}
print(f"safetensors {safetensors.__version__}, numpy {np.__version__}")
print("Guess: what is loaded equals what was saved, or saving it is refused.")
print("Seen: the memory is written as it lies under the shape that the view has; no error, other numbers:")
kept = {}
for name, array in arrays.items():
    save_file({"x": array}, "x.safetensors")
    back = load_file("x.safetensors")["x"]
    kept[name] = bool(np.array_equal(back, array))
    print(f"    {name:20} saved {array.tolist()}  loaded {back.tolist()}")
raise SystemExit(kept != {name: name == "as it is" for name in arrays})
PY
env/bin/python show.py
