#!/usr/bin/env bash
# Guess: what a ring of cpprb gives back is what was added, also where it saves memory by `next_of` and `stack_compress` at once:
# each is right alone.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check cpprb==11.0.0 numpy==2.4.6
cat > show.py <<'PY'
from importlib.metadata import version

import numpy as np
from cpprb import ReplayBuffer

SIZE, LENGTH = 16, 5


def stack(episode, t):  # the last four pictures, each of them one number here; the first is repeated
    return np.array([100 * episode + max(0, t - 3 + i) for i in range(4)])


def play(next_of, stacked):
    kind = {"shape": (4,), "dtype": np.int32}
    columns = {"obs": kind, "act": {"dtype": np.int32}, "done": {}} | ({} if next_of else {"next_obs": kind})
    options = ({"next_of": "obs"} if next_of else {}) | ({"stack_compress": "obs"} if stacked else {})
    buffer, added, wrong, asked, example = ReplayBuffer(SIZE, columns, **options), [], {}, 0, None
    for episode in range(1, 101):
        for t in range(LENGTH):
            added.append((stack(episode, t), stack(episode, t + 1)))
            buffer.add(obs=added[-1][0], act=len(added) - 1, next_obs=added[-1][1], done=float(t == LENGTH - 1))
        buffer.on_episode_end()
        found = buffer.get_all_transitions()
        for before, number, after in zip(found["obs"], found["act"].ravel(), found["next_obs"]):
            asked += 1
            if not (np.array_equal(before, added[number][0]) and np.array_equal(after, added[number][1])):
                wrong[int(number) % SIZE] = wrong.get(int(number) % SIZE, 0) + 1
                example = example or (before.tolist(), after.tolist(), added[number][1].tolist())
    return wrong, asked, example


print(f"cpprb {version('cpprb')}")
print("Guess: all transitions of a ring of 16, into which 100 episodes of five steps went, are among those that were added.")
print("Seen: with both options the transition in the ring's last place leads, as long as it stays, into pictures of another episode:")
seen = {}
for name, ways in (("next_of", (True, False)), ("stack_compress", (False, True)), ("both", (True, True))):
    seen[name], asked, example = play(*ways)
    print(f"    {name:15} wrong by place in the ring: {seen[name]}, of {asked} transitions looked at")
print(f"    the first: {example[0]} leads to {example[1]}, and was added as leading to {example[2]}")
raise SystemExit(not (not seen["next_of"] and not seen["stack_compress"] and set(seen["both"]) == {SIZE - 1} and seen["both"][SIZE - 1] > 20))
PY
env/bin/python -W ignore show.py
