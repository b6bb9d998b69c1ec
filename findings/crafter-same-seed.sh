#!/usr/bin/env bash
# Guess: two games of crafter with one seed and the same actions are one game, picture for picture, as the seed promises.
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


def play(seed):
    """The pictures of a game whose actions are drawn by a generator of their own."""
    env, draw, pictures = crafter.Env(seed=seed), np.random.default_rng(0), []
    env.reset()
    for _ in range(300):
        picture, _, done, _ = env.step(int(draw.integers(17)))
        pictures.append(picture.tobytes())
        if done:
            break
    return pictures


def parted(games):
    """The first step at which not all games show one picture, or None."""
    return next((k for k, now in enumerate(zip(*games)) if len(set(now)) > 1), None)


seen = {}
for seed in range(4):
    games = [play(seed) for _ in range(3)]
    seen[seed] = parted(games), [len(game) for game in games]
print(f"crafter {version('crafter')}, numpy {np.__version__}")
print("Guess: three games of one seed, played with the same actions, are one and the same.")
print("Seen: animals and zombies are kept in sets, which Python orders by where in memory each lies, and of these one is drawn to be taken away;")
print("    the world begins alike, and the games part:")
for seed, (step, lengths) in seen.items():
    print(f"    seed {seed}: part at step {step}, and are over after {lengths} steps")
raise SystemExit(all(step is None for step, _ in seen.values()))
PY
env/bin/python -W ignore show.py
