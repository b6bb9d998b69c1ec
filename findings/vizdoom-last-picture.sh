#!/usr/bin/env bash
# Guess: the observation that comes with the end of an episode is the picture of that moment, as in other environments.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check vizdoom==1.3.2 gymnasium==1.4.0 pygame-ce==2.5.8 numpy==2.4.6
cat > show.py <<'PY'
from importlib.metadata import version

import gymnasium as gym
from vizdoom import gymnasium_wrapper  # noqa: F401

try:
    env = gym.make("VizdoomBasic-v1")
    env.reset(seed=0)
except Exception as error:
    print(f"the engine does not start here: {error}")
    raise SystemExit(2)
brightest, over = [], False
while not over:
    seen, _, ended, cut, _ = env.step(0)
    over = ended or cut
    brightest.append(int(seen["screen"].max()))
env.close()
print(f"vizdoom {version('vizdoom')}, gymnasium {version('gymnasium')}")
print("Guess: the last observation of an episode is what the player sees then.")
print("Seen: it is black, every pixel 0:")
print(f"    steps {len(brightest)}, the brightest pixel of the last four observations {brightest[-4:]}")
raise SystemExit(not (brightest[-1] == 0 and min(brightest[:-1]) > 0))
PY
env/bin/python show.py 2> /dev/null
