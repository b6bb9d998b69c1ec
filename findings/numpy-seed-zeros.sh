#!/usr/bin/env bash
# Guess: a list of numbers seeds a stream of its own: [5], [5, 0] and [5, 0, 0] are three streams, say of a run, of its worker 0 and of that one's epoch 0.
# (numpy/random/bit_generator.pyx: the entropy is filled up with zeros to four words before it is mixed, and a number of more than 32 bits is several words.)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check numpy==2.4.6
cat > show.py <<'PY'
import numpy as np

seeds = ([5], [5, 0], [5, 0, 0], [5, 0, 0, 0], [5, 1], [2**32 + 5], [0, 5])
first = {str(seed): np.random.default_rng(seed).integers(0, 10**6, 3).tolist() for seed in seeds}
spawned = np.random.default_rng(np.random.SeedSequence(5).spawn(1)[0]).integers(0, 10**6, 3).tolist()
print(f"numpy {np.__version__}")
print("Guess: [5], [5, 0] and [5, 0, 0] are three streams, and a seed beyond 32 bits is none of the others.")
print("Seen: zeros at the end, up to four numbers, count for nothing, and 2**32 + 5 is [5, 1]:")
for seed, numbers in first.items():
    print(f"    default_rng({seed + ')':15} {numbers}")
print(f"    SeedSequence(5).spawn  {spawned}")
zeros = [first[str([5, 0, 0, 0][:n])] for n in range(1, 5)]
raise SystemExit(not (all(z == zeros[0] for z in zeros) and first["[5, 1]"] == first[f"[{2**32 + 5}]"]
                      and len({str(v) for v in (zeros[0], first["[5, 1]"], first["[0, 5]"], spawned)}) == 4))
PY
env/bin/python -W ignore show.py
