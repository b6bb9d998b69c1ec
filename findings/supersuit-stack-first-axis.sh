#!/usr/bin/env bash
# Guess: `frame_stack_v1(env, 4, stack_dim=0)` of SuperSuit has the last four pictures along the first axis, the newest last, as
# `stack_dim=-1` has along the last one.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check supersuit==3.11.0 pettingzoo==1.27.0 gymnasium==1.4.0 numpy==2.4.6
cat > show.py <<'PY'
from importlib.metadata import version

import gymnasium
import numpy as np
import supersuit


class Clock(gymnasium.Env):
    """A picture of one grey, which is the number of the frame."""

    action_space = gymnasium.spaces.Discrete(2)

    def __init__(self, shape):
        self.observation_space = gymnasium.spaces.Box(0, 255, shape, np.uint8)

    def picture(self):
        return np.full(self.observation_space.shape, self.frame, np.uint8)

    def reset(self, *, seed=None, options=None):
        self.frame = 1
        return self.picture(), {}

    def step(self, action):
        self.frame += 1
        return self.picture(), 0.0, False, False, {}


def stacked(shape, axis):
    """The grey of each of the stacked pictures, six frames into the game, and the shape of all of them."""
    env = supersuit.frame_stack_v1(Clock(shape), 4, stack_dim=axis)
    env.reset()
    for _ in range(5):
        seen, *_ = env.step(0)
    greys = np.moveaxis(seen, axis, 0).reshape(seen.shape[axis], -1)
    assert (greys == greys[:, :1]).all()
    return greys[:, 0].tolist(), seen.shape


print(f"supersuit {version('supersuit')}, gymnasium {version('gymnasium')}")
print("Guess: frames 3, 4, 5 and 6 along either axis.")
print("Seen: of grey pictures (height, width) along the first axis the newest is there three times, and behind it one that stays black;")
print("    what an agent could see of movement is gone. Pictures with a channel are right along both:")
rows = {}
for shape in ((8, 8), (1, 8, 8), (8, 8, 1)):
    for axis in (-1, 0):
        greys, made = stacked(shape, axis)
        rows[shape, axis] = greys
        print(f"    {str(shape):10} stack_dim {axis:2}: shape {made}, frames {greys if len(greys) == 4 else sorted(set(greys))}")
same = [3, 4, 5, 6]
raise SystemExit(not (rows[(8, 8), -1] == same and rows[(8, 8), 0] == [6, 6, 6, 0] and rows[(1, 8, 8), 0] == same and rows[(8, 8, 1), -1] == same))
PY
env/bin/python -W ignore show.py
