#!/usr/bin/env bash
# Guess: the first of several environments begins, from one seed, where the environment alone begins.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check gymnasium==1.4.0 numpy==2.4.6
cat > show.py <<'PY'
import gymnasium as gym
import numpy as np

shown = lambda v: " ".join(f"{x:8.4f}" for x in v)
alone, _ = gym.make("CartPole-v1").reset(seed=3)
ways = {"as it comes": gym.make_vec("CartPole-v1", num_envs=2),
        '"sync"': gym.make_vec("CartPole-v1", num_envs=2, vectorization_mode="sync")}
print(f"gymnasium {gym.__version__}")
print("Guess: of two environments the first begins as one alone of the same seed, whichever way they are made.")
print("Seen: CartPole has a class of its own for many, which `make_vec` takes by default and which shares out one stream:")
print(f"    {'alone':12} {shown(alone)}")
first = {}
for name, envs in ways.items():
    begun, _ = envs.reset(seed=3)
    first[name] = bool(np.allclose(begun[0], alone))
    print(f"    {name:12} {shown(begun[0])}  {type(envs.unwrapped).__name__}")
raise SystemExit(first != {"as it comes": False, '"sync"': True})
PY
env/bin/python show.py
