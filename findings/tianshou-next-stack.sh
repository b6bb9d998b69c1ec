#!/usr/bin/env bash
# Guess: where a buffer of tianshou stacks frames (`stack_num=4`), what it gives as the next observation of a step is what it gives as the
# observation of the step after it, whether it stores next observations or looks them up (`ignore_obs_next=True`).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check tianshou==2.0.1 torch==2.14.1 numpy==2.4.6
cat > show.py <<'PY'
from importlib.metadata import version

import numpy as np
from tianshou.data import Batch, ReplayBuffer


def filled(**more):
    """A buffer with an episode of six steps, whose observations are 0, 1, … 6."""
    buffer = ReplayBuffer(20, stack_num=4, **more)
    for t in range(6):
        buffer.add(Batch(obs=t, act=0, rew=1.0, terminated=t == 5, truncated=False, obs_next=t + 1, info={}))
    return buffer


print(f"tianshou {version('tianshou')}")
print("Guess: after step 0 an agent has seen 0 0 0 1, as step 1 says.")
print("Seen: unless next observations are looked up, the first frame of an episode is in none of its next observations: what a critic is")
print("    asked behind a step of the first three is a history that no agent ever has:")
places = np.arange(6)
stored, looked = filled(), filled(ignore_obs_next=True)
now, told, found = stored[places].obs, stored[places].obs_next, looked[places].obs_next
for t in range(5):
    print(f"    step {t}: next {told[t]}, with ignore_obs_next {found[t]}, the step after it begins with {now[t + 1]}")
unlike = [t for t in range(5) if not np.array_equal(told[t], now[t + 1])]
raise SystemExit(not (unlike == [0, 1, 2] and np.array_equal(found[:5], now[1:]) and told[0].tolist() == [1, 1, 1, 1]))
PY
env/bin/python -W ignore show.py
