#!/usr/bin/env bash
# Guess: cells of a grid, uint8 from 0 to 10, reach a policy of stable-baselines3 alike, be they 7 x 7 x 3 or a row of 147.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check stable-baselines3==2.9.2 torch==2.14.1 gymnasium==1.4.0 numpy==2.4.6
cat > show.py <<'PY'
import gymnasium
import numpy as np
import stable_baselines3
import torch
from gymnasium import spaces
from stable_baselines3 import PPO


class Grid(gymnasium.Env):
    """Observations as MiniGrid's `image` has them: the kind of thing in a cell, its colour and state, small whole numbers."""
    action_space = spaces.Discrete(2)

    def __init__(self, shape):
        self.observation_space = spaces.Box(0, 255, shape, np.uint8)

    def reset(self, seed=None, options=None):
        return np.full(self.observation_space.shape, 10, np.uint8), {}

    def step(self, action):
        return self.reset()[0], 0.0, False, False, {}


seen = {}
for shape in ((7, 7, 3), (147,), (7, 7)):
    env = Grid(shape)
    policy = PPO("MlpPolicy", env, device="cpu").policy
    cells, _ = policy.obs_to_tensor(env.reset()[0])
    seen[shape] = [round(v, 4) for v in policy.extract_features(cells).unique().tolist()]
print(f"stable-baselines3 {stable_baselines3.__version__}, gymnasium {gymnasium.__version__}, torch {torch.__version__}")
print("Guess: the network of MlpPolicy sees 10, in whatever shape.")
print("Seen: three axes of uint8 from 0 to 255 are taken for a picture and divided by 255, also where the policy is no network for pictures:")
for shape, values in seen.items():
    print(f"    a cell of 10 in {str(shape):9} is {values[0]} to the network")
raise SystemExit(seen != {(7, 7, 3): [0.0392], (147,): [10.0], (7, 7): [10.0]})
PY
env/bin/python -W ignore show.py
