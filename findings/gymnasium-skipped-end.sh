#!/usr/bin/env bash
# Guess: the observation that ends an episode under `MaxAndSkipObservation` is of the frame at which it ended.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check gymnasium==1.4.0 numpy==2.4.6
cat > show.py <<'PY'
import gymnasium
import numpy as np
from gymnasium.wrappers import MaxAndSkipObservation


class Clock(gymnasium.Env):
    """Every observation is the number of its frame; the sixth ends the episode."""

    observation_space = gymnasium.spaces.Box(0, 255, (1,), np.uint8)
    action_space = gymnasium.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.frame = 0
        return np.array([0], np.uint8), {}

    def step(self, action):
        self.frame += 1
        return np.array([self.frame], np.uint8), 1.0, self.frame == 6, False, {}


env = MaxAndSkipObservation(Clock(), skip=4)
env.reset()
seen = [env.step(0) for _ in range(2)]
print(f"gymnasium {gymnasium.__version__}")
print("Guess: four frames a step: observation 4, then, as the episode ends at frame 6, observation 6.")
print("Seen: only the last two of four frames are looked at: an episode that ends earlier in a step ends with the observation before:")
for observation, reward, ended, _, _ in seen:
    print(f"    observation {observation[0]}, reward {reward}, ended {ended}")
raise SystemExit([int(s[0][0]) for s in seen] != [4, 4] or not seen[1][2])
PY
env/bin/python -W ignore show.py
