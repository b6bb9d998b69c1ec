#!/usr/bin/env bash
# Guess: a weight scales what a comparison moves: with 2 both ratings move twice as far, with 0 not at all, and no point is made or lost.
# (The weight multiplies what was scored and not what was expected: a win of weight w gives the winner K (w - .5) and the loser -K / 2.)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check evalica==0.4.2 numpy==2.4.6 pandas==3.1.1
cat > show.py <<'PY'
from importlib.metadata import version

import evalica

seen = {}
for how in (evalica.Winner.X, evalica.Winner.Draw):
    for weight in (1.0, 2.0, 0.5, 0.0):
        scores = evalica.elo(["a"], ["b"], [how], weights=[weight]).scores
        seen[how.name, weight] = [round(float(scores[name]) - 1000, 3) for name in "ab"]
print(f"evalica {version('evalica')}")
print("Guess: a beats b once, K is 4: 2 and -2 with a weight of 1, 4 and -4 with 2, 1 and -1 with .5, and nothing with 0; a draw moves nobody.")
print("Seen: the loser loses 2 whatever the weight; a win of weight .5 is worth nothing, and one of weight 0 costs the winner 2 as well:")
for (how, weight), (a, b) in seen.items():
    print(f"    {'a beats b' if how == 'X' else 'a draw':10} weight {weight:3}   a {a:+.0f}, b {b:+.0f}")
raise SystemExit(seen != {("X", 1.0): [2, -2], ("X", 2.0): [6, -2], ("X", 0.5): [0, -2], ("X", 0.0): [-2, -2],
                          ("Draw", 1.0): [0, 0], ("Draw", 2.0): [2, 2], ("Draw", 0.5): [-1, -1], ("Draw", 0.0): [-2, -2]})
PY
env/bin/python -W ignore show.py
