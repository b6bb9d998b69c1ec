#!/usr/bin/env bash
# Guess: a label of -1, as padding has, costs nothing or is nan, as every label does that is no class.
# (The class's logit is taken by its index, and -1 is the last: what lies beyond the classes on the other side is nan.)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check optax==0.2.8 jax==0.10.2 jaxlib==0.10.2 numpy==2.4.6
cat > show.py <<'PY'
from importlib.metadata import version

import jax
import jax.numpy as jnp
import optax

seen = {}
for label in (2, -1, -3, -4, 3, 255):
    loss = lambda logits: optax.softmax_cross_entropy_with_integer_labels(logits, jnp.array([label]))[0]
    logits = jnp.array([[1.0, 2.0, 3.0]])
    one_hot = optax.softmax_cross_entropy(logits, jax.nn.one_hot(jnp.array([label]), 3))[0]
    seen[label] = round(float(loss(logits)), 3), [round(float(g), 3) for g in jax.grad(loss)(logits)[0]], round(float(one_hot), 3)
print(f"optax {version('optax')}, jax {jax.__version__}")
print("Guess: of three classes the labels -1, 3 and 255 are alike: 0, or nan.")
print("Seen: -1 is the last class, and -3 the first, with its loss and gradient; 3, 255 and -4 are nan; the same labels as one-hot vectors cost nothing:")
for label, (value, gradient, one_hot) in seen.items():
    print(f"    label {label:3}: loss {value}, gradient {gradient}; by softmax_cross_entropy of a one-hot vector {one_hot}")
raise SystemExit(not (seen[-1][:2] == seen[2][:2] == (0.408, [0.09, 0.245, -0.335]) and seen[-1][2] == 0 and seen[-3][0] == 2.408
                      and all(seen[k][0] != seen[k][0] for k in (3, 255, -4))))
PY
env/bin/python -W ignore show.py
