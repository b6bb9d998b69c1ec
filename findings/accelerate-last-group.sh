#!/usr/bin/env bash
# Guess: accelerator.accumulate(model) divides the gradient of a group of batches by how many there are; the last group of an epoch may be
# shorter. (Its page: the loss is divided by gradient_accumulation_steps, and a step is taken at the end of the loader in any case.)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check accelerate==1.15.0 torch==2.14.1 numpy==2.4.6
cat > show.py <<'PY'
import accelerate
import torch
from accelerate import Accelerator
from torch.utils.data import DataLoader, TensorDataset

accelerator = Accelerator(gradient_accumulation_steps=4, cpu=True)
model = torch.nn.Linear(1, 1, bias=False)
optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
loader = DataLoader(TensorDataset(torch.ones(9, 1)), batch_size=1)
model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
slopes, batches = [], 0
for (x,) in loader:
    batches += 1
    with accelerator.accumulate(model):
        accelerator.backward(model(x).mean())  # every batch has a gradient of 1
        if accelerator.sync_gradients:
            slopes.append((batches, round(next(model.parameters()).grad.item(), 3)))
            batches = 0
        optimizer.step()
        optimizer.zero_grad()
print(f"accelerate {accelerate.__version__}, torch {torch.__version__}")
print("Guess: nine batches of gradient 1 in groups of four give steps of 1, 1 and 1.")
print("Seen: the last group is one batch, and its step is a quarter of what it says; by nine batches an epoch one step in three is:")
for n, slope in slopes:
    print(f"    {n} batch{'es' if n > 1 else ''}: gradient {slope}")
raise SystemExit(not (slopes == [(4, 1.0), (4, 1.0), (1, 0.25)]))
PY
env/bin/python -W ignore show.py
