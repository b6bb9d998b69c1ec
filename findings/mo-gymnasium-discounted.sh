#!/usr/bin/env bash
# Guess: the discounted return that mo-gymnasium records of an episode is the same whether one environment plays or several side by side, and the
# same in each of equal episodes.
# (mo_gymnasium/wrappers/vector/wrappers.py: where an episode ended, the sum and the length begin anew, and the discounted sum does not.)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check mo-gymnasium==1.3.2 gymnasium==1.4.0 numpy==2.4.6
cat > show.py <<'PY'
from importlib.metadata import version

import gymnasium
import numpy as np
from mo_gymnasium.wrappers import MORecordEpisodeStatistics
from mo_gymnasium.wrappers.vector import MORecordEpisodeStatistics as VectorStatistics
from mo_gymnasium.wrappers.vector import MOSyncVectorEnv


class Three(gymnasium.Env):
    """Episodes of three steps, of which the first is worth 1, 1, the second 1, 2 and the third 1, 3."""

    observation_space = gymnasium.spaces.Box(0, 9, (1,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)
    reward_space = gymnasium.spaces.Box(-9, 9, (2,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.frame = 0
        return np.zeros(1, np.float32), {}

    def step(self, action):
        self.frame += 1
        return np.full(1, self.frame, np.float32), np.array([1, self.frame], np.float32), self.frame == 3, False, {}


def alone(gamma, episodes=3):
    env, found = MORecordEpisodeStatistics(Three(), gamma=gamma), []
    for _ in range(episodes):
        env.reset()
        for _ in range(3):
            *_, info = env.step(0)
        found.append(info["episode"]["dr"].tolist())
    return found


def several(gamma, episodes=3):
    env, found = VectorStatistics(MOSyncVectorEnv([Three, Three]), gamma=gamma), []
    env.reset()
    while len(found) < episodes:
        _, _, terminated, _, info = env.step(np.zeros(2, int))
        if terminated[0]:
            found.append((info["episode"]["dr"][0].tolist(), int(info["episode"]["l"][0]), info["episode"]["r"][0].tolist()))
    return found


print(f"mo-gymnasium {version('mo-gymnasium')}, gymnasium {gymnasium.__version__}")
print("Guess: the discounted return of an episode of rewards 1 1, 1 2 and 1 3 is the same number in each of these.")
print("Seen: of environments side by side the discounted sum goes on from episode to episode, so that the third has three times as much; sum and length are right:")
right = True
for gamma in (0.5, 0.9):
    hand = [sum(gamma ** t for t in range(3)), sum(gamma ** t * (t + 1) for t in range(3))]
    one, many = alone(gamma), several(gamma)
    print(f"    gamma {gamma}: by hand {np.round(hand, 3).tolist()}; alone {np.round(one, 3).tolist()};")
    print(f"        side by side {[np.round(values, 3).tolist() for values, _, _ in many]}, lengths {[n for _, n, _ in many]}, sums {[r for _, _, r in many]}")
    right &= np.allclose(one, hand) and np.allclose([values for values, _, _ in many], [np.multiply(hand, k) for k in (1, 2, 3)])
    right &= all(n == 3 and r == [3, 6] for _, n, r in many)
raise SystemExit(not right)
PY
env/bin/python -W ignore show.py
