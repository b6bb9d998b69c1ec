#!/usr/bin/env bash
# Guess: `FlattenObservation` of gymnasium lays the parts of a `Dict` space side by side in the order in which they are written.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check gymnasium==1.4.0 numpy==2.4.6
cat > show.py <<'PY'
import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.wrappers import FlattenObservation

one = spaces.Box(-1, 1, (1,))


class World(gymnasium.Env):
    action_space = spaces.Discrete(2)

    def __init__(self, space):
        self.observation_space = space

    def reset(self, seed=None, options=None):
        return {"velocity": np.array([0.5], np.float32), "angle": np.array([-0.25], np.float32)}, {}


ways = {'Dict({"velocity": …, "angle": …})': spaces.Dict({"velocity": one, "angle": one}),
        "Dict(velocity=…, angle=…)": spaces.Dict(velocity=one, angle=one),
        'Dict([("velocity", …), ("angle", …)])': spaces.Dict([("velocity", one), ("angle", one)])}
seen = {name: FlattenObservation(World(space)).reset()[0].tolist() for name, space in ways.items()}
print(f"gymnasium {gymnasium.__version__}")
print("Guess: velocity .5 and angle -.25 are .5 -.25, as written and as observed.")
print("Seen: a plain dictionary is sorted by its keys, names and pairs are kept as written: a policy that was trained on one of these worlds gets in")
print("    the other the angle for the velocity:")
for name, values in seen.items():
    print(f"    {name:38} {values}")
raise SystemExit(list(seen.values()) != [[-0.25, 0.5], [0.5, -0.25], [0.5, -0.25]])
PY
env/bin/python -W ignore show.py
