#!/usr/bin/env bash
# Guess: `add_weighted_adapter(["a", "b"], [wa, wb], combination_type="linear")` makes an adapter whose change of the weights is wa times a's plus wb times
# b's, as the name says.
# (peft/tuners/lora/model.py: the two factors are added each, with the root of the weight, so that B of a meets A of b too.)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check peft==0.21.2 torch==2.14.1 numpy==2.4.6
cat > show.py <<'PY'
from importlib.metadata import version

import torch
from peft import LoraConfig, get_peft_model

torch.manual_seed(0)
config = LoraConfig(target_modules=["0"], r=4, lora_alpha=8)
model = get_peft_model(torch.nn.Sequential(torch.nn.Linear(32, 32)), config, adapter_name="a")
model.add_adapter("b", config)
with torch.no_grad():
    for name, part in model.named_parameters():
        if "lora_" in name:
            part.copy_(torch.randn_like(part))
layer = model.base_model.model[0]
change = {name: layer.get_delta_weight(name).detach() for name in "ab"}


def cosine(x, y):
    return torch.nn.functional.cosine_similarity(x.flatten(), y.flatten(), 0).item()


print(f"peft {version('peft')}, torch {torch.__version__}")
print("Guess: the change of the combined adapter is the weighted sum of the two changes.")
print('Seen: with "cat" it is; with "linear" half of it is products of one adapter\'s B with the other\'s A, which neither has learned:')
seen = {}
for kind in ("cat", "linear"):
    for weights in ((1.0, 1.0), (0.5, 0.5), (1.0, -1.0)):
        model.add_weighted_adapter(["a", "b"], list(weights), "both", combination_type=kind)
        wanted, made = weights[0] * change["a"] + weights[1] * change["b"], layer.get_delta_weight("both").detach()
        seen[kind, weights] = ((made - wanted).norm() / wanted.norm()).item()
        print(f"    {kind:6} weights {weights[0]:g} and {weights[1]:g}: off by {seen[kind, weights]:.3f} of the sum's size, cosine {cosine(made, wanted):.3f}")
        model.delete_adapter("both")
raise SystemExit(not all(off < 1e-5 if kind == "cat" else off > 0.7 for (kind, _), off in seen.items()))
PY
env/bin/python -W ignore show.py
