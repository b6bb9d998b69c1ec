#!/usr/bin/env bash
# Guess: `NormalizeReward` divides by how much an episode's discounted return varies: the sum begins anew with each episode, as in baselines' VecNormalize
# (`self.ret[news] = 0.`), and the wrapper of one environment agrees with that of many.
# The docs of 1.4.0 (Wrappers, Reward Wrappers): rewards are normalised "such that their exponential moving average has an approximately fixed variance";
# "a vector version of the wrapper exists", and neither page says that an episode's sum is carried into the next one.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check gymnasium==1.4.0 numpy==2.4.6
cat > show.py <<'PY'
import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.wrappers import NormalizeReward
from gymnasium.wrappers.vector import NormalizeReward as VectorNormalizeReward


class Clock(gymnasium.Env):
    """Episodes of 20 steps, the last of which is worth 1."""

    observation_space = gymnasium.spaces.Box(0, 255, (1,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)

    def __init__(self, truncated):
        self.truncated = truncated

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.frame = 0
        return np.zeros(1, np.float32), {}

    def step(self, action):
        self.frame += 1
        last = self.frame == 20
        return np.array([self.frame], np.float32), float(last), last and not self.truncated, last and self.truncated, {}


def one(truncated):
    env = NormalizeReward(Clock(truncated))
    for _ in range(200):
        env.reset()
        ended = False
        while not ended:
            _, reward, terminated, cut, _ = env.step(0)
            ended = terminated or cut
    return reward


def many(truncated, mode):
    env = VectorNormalizeReward(SyncVectorEnv([lambda: Clock(truncated)], autoreset_mode=mode))
    env.reset()
    episodes = 0
    while episodes < 200:
        _, rewards, terminated, cut, _ = env.step(np.array([0]))
        if terminated[0] or cut[0]:
            episodes, reward = episodes + 1, rewards[0]
    return reward


sums = np.array([0.0] * 19 + [1.0])  # of discounted rewards so far, at each step of an episode
print(f"gymnasium {gymnasium.__version__}")
print("Guess: the one reward of an episode, 1, becomes the same number in every one of these.")
print("Seen: a sum outlives its episode: what ends the episode by termination is counted alone and carried into the next one, and")
print("    where an episode is cut at its time limit nothing begins anew; only the vector wrapper with SAME_STEP does begin anew:")
seen = {}
for truncated, name in ((False, "ends by itself"), (True, "cut at its limit")):
    seen[name] = [round(float(v), 2) for v in (1 / sums.std(), one(truncated), many(truncated, AutoresetMode.NEXT_STEP), many(truncated, AutoresetMode.SAME_STEP))]
    print(f"    {name:17} by hand {seen[name][0]}, NormalizeReward {seen[name][1]}, vector with NEXT_STEP {seen[name][2]}, with SAME_STEP {seen[name][3]}")
raise SystemExit(seen != {"ends by itself": [4.59, 12.23, 12.23, 4.59], "cut at its limit": [4.59, 1.52, 1.52, 4.59]})
PY
env/bin/python -W ignore show.py
