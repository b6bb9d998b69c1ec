#!/usr/bin/env bash
# Guess: `render` shows a game of crafter and leaves it as it is; the size of the picture is a matter of the picture.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check crafter==1.8.3 numpy==2.4.6
cat > show.py <<'PY'
from importlib.metadata import version

import crafter
import numpy as np


def drawn(at_step, render, size=64):
    """How many numbers of the world's generator are used up by pictures of this size, at a step of the game."""
    env = crafter.Env(seed=0, size=(size, size))
    env.reset()
    for _ in range(at_step):
        env.step(0)  # stands still
    world = env._world.random
    before = np.random.RandomState()
    before.set_state(world.get_state())
    for _ in range(render):
        env.render()
    ahead = [world.uniform() for _ in range(4)]
    rolls = [before.uniform() for _ in range(60000)]
    return next(k for k in range(len(rolls)) if rolls[k : k + 4] == ahead)


seen = {"by day, one picture": drawn(20, 1), "by night, no picture": drawn(150, 0),
        "by night, one picture of 64 pixels": drawn(150, 1), "by night, one picture of 128 pixels": drawn(150, 1, 128)}
print(f"crafter {version('crafter')}, numpy {np.__version__}")
print("Guess: 0 of the game's random numbers are used up by looking at it.")
print("Seen: darkness is noise, taken from the one generator that also moves animals and zombies, a number for each pixel, so that after a picture")
print("    more (for a film), or one of another size, the game is another:")
for name, count in seen.items():
    print(f"    {name:36} {count:6d} numbers")
day, none, small, large = seen.values()
raise SystemExit(not (day == none == 0 and 0 < small < large))
PY
env/bin/python -W ignore show.py
