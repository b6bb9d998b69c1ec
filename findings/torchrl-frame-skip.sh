#!/usr/bin/env bash
# Guess: an episode that ends within the four frames of a step of `FrameSkipTransform(4)` ends there, and the reward is of the frames up to it.
# The docs of torchrl 0.14 (torchrl.envs.transforms.FrameSkipTransform): "applies the same action repeatedly in the parent environment";
# gymnasium's MaxAndSkipObservation, and every frame skip since DQN's, leaves the loop at the end of the episode.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check torchrl==0.14.1 tensordict==0.14.3 gymnasium==1.4.0 torch==2.14.1 numpy==2.4.6
cat > show.py <<'PY'
from importlib.metadata import version

import gymnasium
import numpy as np
from gymnasium.wrappers import MaxAndSkipObservation
from torchrl.envs import GymWrapper
from torchrl.envs.transforms import FrameSkipTransform, TransformedEnv


class Clock(gymnasium.Env):
    """An observation is the number of its frame, each is worth 1; the goal is passed at frame 6, and that ends the episode."""

    observation_space = gymnasium.spaces.Box(0, 255, (1,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.frame = 0
        return np.array([0], np.float32), {}

    def step(self, action):
        self.frame += 1
        return np.array([self.frame], np.float32), 1.0, self.frame == 6, False, {}


skipping = MaxAndSkipObservation(Clock(), skip=4)
skipping.reset()
steps, ended = [], False
while not ended:
    _, reward, ended, _, _ = skipping.step(0)
    steps.append((reward, ended))
rollout = TransformedEnv(GymWrapper(Clock()), FrameSkipTransform(4)).rollout(5)["next"]
seen = [(float(r), bool(d)) for r, d in zip(rollout["reward"].flatten(), rollout["done"].flatten())]
print(f"torchrl {version('torchrl')}, tensordict {version('tensordict')}, gymnasium {gymnasium.__version__}")
print("Guess: two steps, worth 4 and 2 frames, the second of which ends the episode.")
print("Seen: the transform plays on through the end, and only the last frame of four says whether it was one, so that this game has none:")
print("    gymnasium MaxAndSkipObservation  " + ", ".join(f"reward {r:g}{' and the end' if e else ''}" for r, e in steps))
print("    torchrl FrameSkipTransform       " + ", ".join(f"reward {r:g}{' and the end' if e else ''}" for r, e in seen) + f"; the last frame seen is {rollout['observation'][-1].item():g}")
raise SystemExit(not (steps == [(4.0, False), (2.0, True)] and seen == [(4.0, False)] * 5))
PY
env/bin/python -W ignore show.py
