#!/usr/bin/env bash
# Guess: `gymnasium.make_vec("ALE/MsPacman-v5")` plays the game of `gymnasium.make`: a pellet is worth 10.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check ale-py==0.12.1 gymnasium==1.4.0 numpy==2.4.6
cat > show.py <<'PY'
from importlib.metadata import version

import ale_py
import gymnasium
import numpy as np

gymnasium.register_envs(ale_py)
actions = np.random.default_rng(0).integers(0, 9, 200)
alone, many = gymnasium.make("ALE/MsPacman-v5"), gymnasium.make_vec("ALE/MsPacman-v5", num_envs=1)
alone.reset(seed=0)
many.reset(seed=0)
one = sorted({float(alone.step(int(a))[1]) for a in actions})
more = sorted({float(many.step(np.array([a]))[1][0]) for a in actions})
print(f"ale-py {version('ale-py')}, gymnasium {gymnasium.__version__}")
print("Guess: the same rewards, 0 and 10 while only pellets are eaten.")
print("Seen: where make_vec is told nothing it takes ALE's own vector, which clips rewards to -1, 0 and 1 and gives grey pictures of 84,")
print("    four at a time: returns of the one are no scores of the other:")
print(f"    make      rewards {one}  observations {alone.observation_space.shape}")
print(f"    make_vec  rewards {more}  observations {many.single_observation_space.shape}")
raise SystemExit(not (max(one) >= 10 and max(more) == 1))
PY
env/bin/python -W ignore show.py 2> said || { status=$?; cat said; exit $status; }  # the engine's greeting
