#!/usr/bin/env bash
# Guess: an n-step transition is done when one of its n steps is the last, and leads to the last state where its steps are fewer than n.
# (src/cpprb/PyReplayBuffer.pyx: `NstepBuffer.add` asks the first n - 1 steps for `done`, and `on_episode_end` hands out the local buffer's
# `next_obs`, into which nothing was ever written.)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check cpprb==11.0.0 numpy==2.4.6
cat > show.py <<'PY'
from importlib.metadata import version

from cpprb import ReplayBuffer

names = ("obs", "act", "rew", "next_obs", "done")
seen = {}
for way in ("ends by itself", "is cut by a limit"):
    buffer = ReplayBuffer(20, {name: {} for name in names}, Nstep={"size": 3, "gamma": 0.5, "rew": "rew", "next": "next_obs"})
    for t in range(5):  # the states 10 to 15; every step earns 1
        buffer.add(obs=10 + t, act=0, rew=1, next_obs=11 + t, done=float(t == 4 and way == "ends by itself"))
    buffer.on_episode_end()
    stored = buffer.get_all_transitions()
    seen[way] = {name: stored[name].ravel().tolist() for name in ("obs", "rew", "next_obs", "done")}
print(f"cpprb {version('cpprb')}")
print("Guess: with n = 3 the states 12, 13 and 14 of an episode 10 to 15 lead to 15, and are done if the episode ended by itself.")
print("Seen: 12 is not done, so that a value is added behind the end; 13 and 14 lead to 1, which is no state of this episode, also where it was cut:")
for way, rows in seen.items():
    print(f"    an episode that {way}:")
    for name, values in rows.items():
        print(f"        {name:9}" + "".join(f"{v:7g}" for v in values))
ended, cut = seen.values()
raise SystemExit(not (ended["done"] == [0, 0, 0, 1, 1] and ended["next_obs"][:3] == [13, 14, 15] == cut["next_obs"][:3]
                      and not {15} & set(cut["next_obs"][3:]) and not any(cut["done"])))
PY
env/bin/python -W ignore show.py
