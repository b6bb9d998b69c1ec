#!/usr/bin/env bash
# Guess: a picture of a world of 11 by 6 cells is an array of 6 rows, whether it holds pixels or the kinds of cells.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check minigrid==3.2.0 gymnasium==1.4.0 numpy==2.4.6
cat > show.py <<'PY'
from importlib.metadata import version

import gymnasium as gym
import minigrid  # noqa: F401
from minigrid.core.constants import OBJECT_TO_IDX
from minigrid.wrappers import FullyObsWrapper, RGBImgObsWrapper

made = lambda: gym.make("MiniGrid-BlockedUnlockPickup-v0")
cells, pixels = FullyObsWrapper(made()), RGBImgObsWrapper(made())
codes, drawn = (env.reset(seed=1)[0]["image"] for env in (cells, pixels))
world = cells.unwrapped
x, y = world.agent_pos
print(f"minigrid {version('minigrid')}, gymnasium {version('gymnasium')}")
print("Guess: `image` is rows by columns from either wrapper.")
print("Seen: of pixels it is rows by columns, of cells columns by rows, and the observation spaces say so:")
print(f"    the world           {world.width} wide, {world.height} high, the agent in column {x}, row {y}")
print(f"    RGBImgObsWrapper    {drawn.shape}")
print(f"    FullyObsWrapper     {codes.shape}, the agent at image[{x}, {y}]: {codes[x, y, 0] == OBJECT_TO_IDX['agent']}")
raise SystemExit(not (codes.shape == (11, 6, 3) and drawn.shape[0] * 11 == drawn.shape[1] * 6
                      and codes[x, y, 0] == OBJECT_TO_IDX["agent"]))
PY
env/bin/python show.py
