#!/usr/bin/env bash
# Guess: `black_death_v3` of SuperSuit ends an episode with its last agent, and says whether it ended by itself or was cut.
# (supersuit/multiagent_wrappers/black_death.py, `step`: the world is over when each agent is terminated *and* truncated at once, which none is,
# or when there is no agent left to ask, a step later; then every agent is both.)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check supersuit==3.11.0 pettingzoo==1.27.0 gymnasium==1.4.0 numpy==2.4.6
cat > show.py <<'PY'
from importlib.metadata import version

import numpy as np
import supersuit
from gymnasium import spaces
from pettingzoo import ParallelEnv


class World(ParallelEnv):
    metadata, render_mode, possible_agents = {"name": "world"}, None, ["a", "b"]

    def __init__(self, cut):
        self.cut = cut

    def observation_space(self, agent):
        return spaces.Box(0, 9, (1,), np.float32)

    def action_space(self, agent):
        return spaces.Discrete(2)

    def reset(self, seed=None, options=None):
        self.agents, self.steps = ["a", "b"], 0
        return {agent: np.array([5], np.float32) for agent in self.agents}, {agent: {} for agent in self.agents}

    def step(self, actions):
        self.steps += bool(actions)
        present, over = list(self.agents), self.steps == 3  # three steps, in each of which each agent earns 1
        self.agents = [] if over else present
        flags = [{agent: over and cut for agent in present} for cut in (not self.cut, self.cut)]
        return {agent: np.array([5 + self.steps], np.float32) for agent in present}, dict.fromkeys(present, 1.0), *flags, {agent: {} for agent in present}


seen = {}
for way, cut in (("ends by itself", False), ("is cut by a limit", True)):
    for name, wrapped in (("alone", World(cut)), ("black_death_v3", supersuit.black_death_v3(World(cut)))):
        wrapped.reset()
        rows = seen.setdefault((way, name), [])
        while wrapped.agents:
            pictures, rewards, terminated, truncated, _ = wrapped.step(dict.fromkeys(wrapped.agents, 0))
            rows.append((float(pictures["a"][0]), rewards["a"], bool(terminated["a"]), bool(truncated["a"])))
print(f"supersuit {version('supersuit')}, pettingzoo {version('pettingzoo')}")
print("Guess: agents who are there to the end have the same episode with it and without: three steps.")
print("Seen: a fourth step, whose observation is 0, and which alone ends the episode, always by both flags:")
for (way, name), rows in seen.items():
    print(f"    a world that {way}, {name}:")
    for step, (picture, reward, terminated, truncated) in enumerate(rows, 1):
        print(f"        step {step}: agent a sees {picture:g}, earns {reward:g}, terminated {terminated!s:6} truncated {truncated}")
plain, wrapped = [[rows for (_, name), rows in seen.items() if name == which] for which in ("alone", "black_death_v3")]
raise SystemExit(not ([rows[-1] for rows in plain] == [(8, 1, True, False), (8, 1, False, True)] and all(len(rows) == 3 for rows in plain)
                      and all(len(rows) == 4 and rows[2] == (8, 1, False, False) and rows[3] == (0, 0, True, True) for rows in wrapped)))
PY
env/bin/python -W ignore show.py
