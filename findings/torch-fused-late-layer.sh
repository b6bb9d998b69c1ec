#!/usr/bin/env bash
# Guess: a layer that joins later, with a first gradient and no momentum yet, is stepped by either kind of SGD.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check torch==2.14.1 numpy==2.4.6
cat > show.py <<'PY'
import torch


def trained(fused):
    """Two steps, the second layer trained from the second one on: the weights, or the error."""
    first, later = (torch.nn.Parameter(torch.ones(2)) for _ in range(2))
    steps = torch.optim.SGD([first, later], lr=0.1, momentum=0.9, fused=fused)
    first.grad = torch.ones(2)
    steps.step()
    first.grad, later.grad = torch.ones(2), torch.ones(2)
    try:
        steps.step()
    except TypeError as error:
        return f"TypeError: {error}"
    return f"the layers' weights are {first[0].item():.2f} and {later[0].item():.2f}"


print(f"torch {torch.__version__}, on the CPU")
print("Guess: `fused=True` is the same step made faster; a layer without a gradient yet, as one frozen at first, is let be.")
print("Seen: the fused step wants the momentum of all or of none, and the message names neither SGD nor a layer:")
seen = {fused: trained(fused) for fused in (False, True)}
for fused, said in seen.items():
    print(f"    fused={fused!s:5}  {said}")
raise SystemExit(not (seen[False].endswith("0.71 and 0.90") and seen[True].startswith("TypeError")))
PY
env/bin/python -W ignore show.py
