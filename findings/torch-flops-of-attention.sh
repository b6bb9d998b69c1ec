#!/usr/bin/env bash
# Guess: an encoder layer multiplies as much in evaluation as in training, but for dropout, which multiplies no matrix.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check torch==2.14.1 numpy==2.4.6
cat > show.py <<'PY'
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

layers = {"TransformerEncoderLayer": (nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), lambda m, x: m(x)),
          "MultiheadAttention": (nn.MultiheadAttention(8, 2, batch_first=True), lambda m, x: m(x, x, x))}
seen = {}
for name, (layer, run) in layers.items():
    for training in (True, False):
        layer.train(training)
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            run(layer, torch.zeros(1, 5, 8))
        seen[name, training] = counter.get_total_flops()
print(f"torch {torch.__version__}")
print("Guess: FlopCounterMode counts the same for a layer of attention in train() and in eval().")
print("Seen: in eval() the layer takes one fused operator, of which the counter knows nothing and says nothing:")
for (name, training), count in seen.items():
    print(f"    {name:24} {'train()' if training else 'eval()':8} {count:6}")
raise SystemExit(not all((count > 0) == training for (_, training), count in seen.items()))
PY
env/bin/python -W ignore show.py
