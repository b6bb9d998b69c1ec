#!/usr/bin/env bash
# Guess: an episode of ViZDoom that its time limit cuts is truncated and not terminated, as `treat_episode_timeout_as_truncation=True`, the default
# since 1.3, says.
# (vizdoom/gymnasium_wrapper/base_gymnasium_env.py, `step`: `terminated` is `is_episode_finished()`, which is true of a limit too.)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check vizdoom==1.3.2 gymnasium==1.4.0 pygame-ce==2.5.8 numpy==2.4.6
cat > show.py <<'PY'
from importlib.metadata import version

import gymnasium as gym
from vizdoom import gymnasium_wrapper  # noqa: F401

seen = {}
try:
    for name, treated in (("VizdoomBasic-v1", True), ("VizdoomBasic-v1", False), ("VizdoomTakeCover-v1", True)):
        env = gym.make(name, frame_skip=4 if "Basic" in name else 30, treat_episode_timeout_as_truncation=treated)
        env.reset(seed=0)
        terminated = truncated = False
        while not (terminated or truncated):
            _, _, terminated, truncated, _ = env.step(0)  # the player stands still: nothing happens in Basic, and in TakeCover he is shot
        seen[name, treated] = terminated, truncated
        env.close()
except Exception as error:
    print(f"the engine does not start here: {error}")
    raise SystemExit(2)
print(f"vizdoom {version('vizdoom')}, gymnasium {version('gymnasium')}")
print("Guess: a limit is (False, True), a death (True, False).")
print("Seen: a limit is both, so that a learner that asks `terminated` whether anything comes after gives the last state no value, as after a death:")
for (name, treated), (terminated, truncated) in seen.items():
    print(f"    {name:20} {'a limit' if 'Basic' in name else 'a death':8} treat_episode_timeout_as_truncation={treated!s:6} terminated {terminated!s:6} truncated {truncated}")
raise SystemExit(list(seen.values()) != [(True, True), (True, False), (True, False)])
PY
env/bin/python -W ignore show.py 2> /dev/null
