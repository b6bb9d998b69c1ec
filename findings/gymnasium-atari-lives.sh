#!/usr/bin/env bash
# Guess: with `terminal_on_life_loss` the next `reset` goes on with the next life, as in the wrapper of baselines that it is named after (`EpisodicLifeEnv`: "all states are still reachable even though lives are episodic").
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check gymnasium==1.4.0 ale-py==0.12.1 opencv-python-headless==5.0.0.93 numpy==2.4.6
cat > show.py <<'PY'
from importlib.metadata import version

import ale_py
import gymnasium as gym
import numpy as np
from ale_py.vector_env import AtariVectorEnv
from gymnasium.wrappers import AtariPreprocessing

gym.register_envs(ale_py)
one = AtariPreprocessing(gym.make("ALE/Breakout-v5", frameskip=1, repeat_action_probability=0), noop_max=0,
                         terminal_on_life_loss=True)
many = AtariVectorEnv(game="breakout", num_envs=1, noop_max=0, episodic_life=True, repeat_action_probability=0)


def lives(step, begin, number):
    """Lives at the end of each of four episodes, and at the beginning of the next; the ball is served, and missed."""
    ends, begins = [], []
    for _ in range(4):
        k, over = 0, False
        while not over:
            _, _, ended, cut, info = step(int(k % 10 == 0))
            over, k = bool(np.any(ended) or np.any(cut)), k + 1
        ends.append(number(info))
        begins.append(number(begin()))
    return ends, begins


print(f"gymnasium {gym.__version__}, ale-py {version('ale-py')}")
print("Guess: an episode ends with a life, and the next begins with the lives that are left: 4, 3, 2, 1.")
print("Seen: every reset is a new game, of gymnasium's wrapper and of ale-py's `episodic_life` alike: what comes after a first life is never played:")
one.reset()
many.reset()
seen = {"AtariPreprocessing": lives(one.step, lambda: one.reset()[1], lambda info: int(info["lives"])),
        # it begins anew by itself, at the step after the last
        "AtariVectorEnv": lives(lambda a: many.step(np.array([a])), lambda: many.step(np.array([0]))[4],
                                lambda info: int(info["lives"][0]))}
for name, (ends, begins) in seen.items():
    print(f"    {name:18} lives left at the end {ends}, at the next beginning {begins}")
raise SystemExit(any(v != ([4] * 4, [5] * 4) for v in seen.values()))
PY
env/bin/python -W ignore show.py 2> said || { status=$?; cat said; exit $status; }  # its banner
