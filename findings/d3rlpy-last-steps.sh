#!/usr/bin/env bash
# Guess: a dataset of ten steps of which the fourth ends an episode has ten steps in d3rlpy, the last six as an episode that was cut, or it is refused.
# (d3rlpy/dataset/episode_generator.py: an episode is made where a step is marked as terminal or as a timeout; what comes behind the last mark is not asked.)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check d3rlpy==2.8.1 torch==2.14.1 numpy==2.4.6
cat > show.py <<'PY'
from importlib.metadata import version

import numpy as np
import structlog
from d3rlpy.dataset import MDPDataset

structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(30))
observations, actions, rewards, nothing = np.arange(1000, dtype=np.float32)[:, None], np.zeros((1000, 1), np.float32), np.ones(1000, np.float32), np.zeros(1000, np.float32)
seen = {}
for name, marks in (("an end at step 400", {"terminals": 400}), ("an end at 400, a limit at 700", {"terminals": 400, "timeouts": 700})):
    flags = {"terminals": nothing.copy()}
    for kind, step in marks.items():
        flags.setdefault(kind, nothing.copy())[step - 1] = 1
    episodes = MDPDataset(observations, actions, rewards, **flags).episodes
    seen[name] = ([e.size() for e in episodes], float(sum(e.rewards.sum() for e in episodes)))
print(f"d3rlpy {version('d3rlpy')}")
print("Guess: 1000 steps whose recording stopped in the middle of an episode are 1000 steps, or an error.")
print("Seen: what comes behind the last mark is in no episode, and nothing is said:")
for name, (sizes, total) in seen.items():
    print(f"    {name:31} episodes of {', '.join(map(str, sizes))} steps, {total:g} of the reward of 1000")
raise SystemExit([sizes for sizes, _ in seen.values()] != [[400], [400, 300]])
PY
env/bin/python -W ignore show.py 2>&1 | grep -v -i gym
