#!/usr/bin/env bash
# Guess: an optimiser refuses an option that it does not have, as those of PyTorch do, so that a slip of the pen shows; and `maximize=True` on the
# negated loss takes the same steps as without it on the loss.
# (pytorch_optimizer/optimizer/*.py: the constructors end with `**kwargs`; adan.py keeps the gradient before it changes its sign.)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check pytorch-optimizer==4.1.0 torch==2.14.1 numpy==2.4.6
cat > show.py <<'PY'
from importlib.metadata import version

import torch
from pytorch_optimizer import Adan, Fromage, Lamb, get_supported_optimizers, load_optimizer


def after(optimiser, maximize=False, steps=50, **options):
    at = torch.nn.Parameter(torch.linspace(-1, 1, 5))
    moves = optimiser([at], lr=0.01, maximize=maximize, **options)
    for _ in range(steps):
        moves.zero_grad()
        (((at - 2) ** 2).sum() * (-1 if maximize else 1)).backward()
        moves.step()
    return at.detach()


def takes(optimiser):
    try:
        optimiser([torch.nn.Parameter(torch.ones(3, 3))], lr=0.01, wieght_decay=0.3)
        return True
    except Exception as problem:  # other needs, such as a number of steps, are no answer
        return False if "wieght_decay" in str(problem) else None


kinds = [takes(load_optimizer(name)) for name in get_supported_optimizers()]
taken, refused = kinds.count(True), kinds.count(False)
slip = torch.equal(after(Lamb, wieght_decay=0.3), after(Lamb)), not torch.equal(after(Lamb, weight_decay=0.3), after(Lamb))
unheard = torch.equal(after(Fromage, weight_decay=0.3), after(Fromage))
adan, mirrored = after(Adan), after(Adan, maximize=True)
lamb = torch.equal(after(Lamb), after(Lamb, maximize=True))
print(f"pytorch-optimizer {version('pytorch-optimizer')}, torch {torch.__version__}")
print("Guess: `Lamb(…, wieght_decay=0.3)` is a TypeError, and so is a weight decay for an optimiser that has none.")
print("Seen: nearly all take any name as an option, and do nothing with it; and `maximize` of Adan goes another way:")
print(f"    optimisers that take the option `wieght_decay`: {taken}; that refuse it: {refused} (those of PyTorch itself)")
print(f"    Lamb: `wieght_decay=0.3` is as without it {slip[0]}, `weight_decay=0.3` is not {slip[1]};  Fromage: `weight_decay=0.3` is as without it {unheard}")
print(f"    up the negated loss as down the loss: Lamb {lamb};  Adan {torch.equal(adan, mirrored)}, {mirrored.numpy().round(3)} and {adan.numpy().round(3)}")
raise SystemExit(not (taken > 90 and refused < 15 and all(slip) and unheard and lamb and (adan - mirrored).abs().max() > 0.01))
PY
env/bin/python -W ignore show.py
