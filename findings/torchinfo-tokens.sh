#!/usr/bin/env bash
# Guess: the multiplications that torchinfo counts for a transformer grow with the number of its tokens, as those of a convolution do with the picture.
# The page of torchinfo (github.com/TylerYep/torchinfo, 1.8.0): the column "mult_adds", "Total mult-adds", of a forward pass of the given `input_size`;
# for a `Linear` over 196 tokens that is 196 times what it is for one.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check torchinfo==1.8.0 torch==2.14.1 numpy==2.4.6
cat > show.py <<'PY'
import torch
import torchinfo
from torch import nn

count = lambda layer, *size: torchinfo.summary(layer, input_size=size, verbose=0).total_mult_adds
linear, conv = nn.Linear(768, 3072), nn.Conv2d(768, 3072, 1)
block = nn.TransformerEncoderLayer(64, 4, 128, batch_first=True)
print(f"torchinfo {torchinfo.__version__}, torch {torch.__version__}")
print("Guess: 196 tokens take 196 times one token; a Linear layer of all of them is a 1 x 1 convolution of 14 x 14 pixels.")
print("Seen: of a Linear layer the numbers in its weights are counted once for each picture, however many tokens it goes over:")
seen = {}
for name, values in (("Linear, 1 token and 196", (count(linear, 1, 1, 768), count(linear, 1, 196, 768))),
                     ("the same as Conv2d", (count(conv, 1, 768, 1, 1), count(conv, 1, 768, 14, 14))),
                     ("TransformerEncoderLayer", (count(block, 1, 1, 64), count(block, 1, 196, 64)))):
    seen[name] = values
    print(f"    {name:24} {values[0]:>9,} and {values[1]:>11,}")
print(f"    a Linear layer of 196 tokens by hand: {196 * 768 * 3072:,} and no bias")
a, b, c = seen.values()
raise SystemExit(not (a[0] == a[1] < 768 * 3073 * 3072 and b[1] == 196 * b[0] and c[0] == c[1] and a[1] * 190 < 196 * 768 * 3072))
PY
env/bin/python -W ignore show.py
