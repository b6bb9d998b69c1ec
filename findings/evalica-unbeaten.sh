#!/usr/bin/env bash
# Guess: a model that is never beaten has by far the largest score of Bradley and Terry, up to some limit.
# (Without a defeat its score grows without end; what is not finite is replaced by the smallest number allowed, and so is everything that is divided by it.)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check evalica==0.4.2 numpy==2.4.6 pandas==3.1.1
cat > show.py <<'PY'
from importlib.metadata import version

import evalica

won = evalica.Winner.X
games = {"a beats b eight times": (["a"] * 8, ["b"] * 8),
         "a beats b and c, who beat each other": (["a", "a", "b", "c", "b"], ["b", "c", "c", "b", "c"]),
         "the same, and b has beaten a once": (["a", "a", "b", "c", "b", "b"], ["b", "c", "c", "b", "c", "a"])}
seen = {}
for name, (xs, ys) in games.items():
    for way in (evalica.bradley_terry, evalica.newman):
        result = way(xs, ys, [won] * len(xs))
        seen[name, way.__name__] = {who: float(result.scores[who]) for who in sorted(result.scores.index)}
print(f"evalica {version('evalica')}")
print("Guess: a is first, with a large number.")
print("Seen: where a is never beaten bradley_terry gives everybody the same .000001, without a word:")
for (name, way), scores in seen.items():
    print(f"    {name:38} {way:14} " + "  ".join(f"{who} {score:.6g}" for who, score in scores.items()))
level = [set(scores.values()) for (name, way), scores in seen.items() if way == "bradley_terry"]
raise SystemExit(not (level[0] == level[1] == {1e-06} and len(level[2]) == 3))
PY
env/bin/python -W ignore show.py
