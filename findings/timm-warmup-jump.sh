#!/usr/bin/env bash
# Guess: timm's CosineLRScheduler rises for the epochs of its warm-up to the full rate, and falls along the cosine from there.
# (Its page has `warmup_prefix`, off unless asked: "If set to True, then every new epoch number equals epoch = epoch - warmup_t".)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check timm==1.0.31 torch==2.14.1 torchvision==0.29.1
cat > show.py <<'PY'
import timm
import torch
from timm.scheduler import CosineLRScheduler


def rates(**options):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    plan = CosineLRScheduler(optimizer, t_initial=10, warmup_t=5, warmup_lr_init=0.1, **options)
    out = []
    for epoch in range(11):
        out.append(round(optimizer.param_groups[0]["lr"], 2))
        plan.step(epoch + 1)
    return out


usual, prefixed = rates(), rates(warmup_prefix=True)
print(f"timm {timm.__version__}, torch {torch.__version__}")
print("Guess: a rate of 1 for 10 epochs with a warm-up of 5 reaches 1 and falls from there.")
print("Seen: it never reaches it: the cosine has run since the first epoch, and the rate drops to where that is:")
print("    as it is           ", *usual)
print("    warmup_prefix=True ", *prefixed)
raise SystemExit(not (max(usual) < 0.83 and usual[4] == 0.82 and usual[5] == 0.5 and prefixed[5] == 1.0))
PY
env/bin/python -W ignore show.py
