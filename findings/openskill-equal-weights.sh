#!/usr/bin/env bash
# Guess: players that all have one weight are rated as without weights, whether it is 1, 2 or a tenth.
# (openskill/models/weng_lin/plackett_luce.py, `rate`: a weight is "the contribution of each player to the team's performance"; weights are first
# scaled from 1 to 2 within a team, where equal ones are all 2, and then multiply what is won and divide what is lost.)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check openskill==6.2.0
cat > show.py <<'PY'
from importlib.metadata import version

from openskill.models import BradleyTerryFull, PlackettLuce, ThurstoneMostellerFull

seen = {}
for kind in (PlackettLuce, BradleyTerryFull, ThurstoneMostellerFull):
    for weight in (None, 0.1, 1.0, 2.0):
        model = kind()
        weights = None if weight is None else [[weight], [weight]]
        (winner,), (loser,) = model.rate([[model.rating()], [model.rating()]], ranks=[1, 2], weights=weights)
        seen[kind.__name__, weight] = [round(winner.mu - 25, 2), round(loser.mu - 25, 2)]
model = PlackettLuce()
mean = {}
for weights in (None, [[1.0], [1.0]]):
    a, b = model.rating(), model.rating()
    for game in range(100):  # two equals, who win in turns
        (a,), (b,) = model.rate([[a], [b]], ranks=[1, 2] if game % 2 else [2, 1], weights=weights)
    mean["no weights" if weights is None else "weights of 1"] = round((a.mu + b.mu) / 2, 1)
print(f"openskill {version('openskill')}")
print("Guess: a beats b; what a wins b loses, and equal weights change nothing.")
print("Seen: with any equal weights a wins twice as much and b loses half as much, so that the more is played the better all are:")
for (kind, weight), (winner, loser) in seen.items():
    print(f"    {kind:24} {'no weights' if weight is None else f'both {weight}':11} {winner:+6.2f} {loser:+6.2f}")
print("    the mean of two equals after 100 games, from 25: " + ", ".join(f"{name} {value}" for name, value in mean.items()))
plain = {kind: seen[kind, None][0] for kind, weight in seen if weight is None}
right = all(abs(seen[kind, None][1] + gain) < .02 and all(abs(seen[kind, w][0] - 2 * gain) < .02 and abs(seen[kind, w][1] + gain / 2) < .02 for w in (.1, 1., 2.))
            for kind, gain in plain.items())
raise SystemExit(not (right and abs(mean["no weights"] - 25) < .2 and mean["weights of 1"] > 30))
PY
env/bin/python -W ignore show.py
