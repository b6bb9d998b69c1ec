#!/usr/bin/env bash
# Guess: to count a model's layers or operations changes nothing in the model.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check ptflops==0.7.5 torchsummary==1.5.1 fvcore==0.1.5.post20221221 torch==2.14.1 numpy==2.4.6
cat > show.py <<'PY'
import contextlib
import io
import logging
from importlib.metadata import version

import torch
from fvcore.nn import FlopCountAnalysis
from ptflops import get_model_complexity_info
from torch import nn
from torchsummary import summary

logging.disable()
seen = {}
for name, count in (("ptflops", lambda m: get_model_complexity_info(m, (3, 16, 16), print_per_layer_stat=False)),
                    ("torchsummary", lambda m: summary(m, (3, 16, 16), device="cpu")),
                    ("fvcore", lambda m: FlopCountAnalysis(m, torch.randn(1, 3, 16, 16)).total())):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5)).train()
    with contextlib.redirect_stdout(io.StringIO()):
        count(model)
    seen[name] = [part.training for part in model], int(model[1].num_batches_tracked)
print(", ".join(f"{name} {version(name)}" for name in ("ptflops", "torchsummary", "fvcore", "torch")))
print("Guess: a model that is being trained is so afterwards, with the statistics that it had.")
print("Seen: ptflops leaves it in `eval()`, without dropout and with its norms still, and torchsummary and fvcore let the norms learn")
print("    from noise:")
for name, (modes, batches) in seen.items():
    print(f"    {name:13} convolution, norm, dropout in training: {modes}  batches in the norm's statistics: {batches}")
raise SystemExit(seen != {"ptflops": ([False] * 3, 0), "torchsummary": ([True] * 3, 1), "fvcore": ([True] * 3, 1)})
PY
env/bin/python -W ignore show.py
