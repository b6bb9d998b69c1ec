#!/usr/bin/env bash
# Guess: an optimiser is plain arithmetic on tensors; where the compiler is switched off, making one does not bring it in.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check torch==2.14.1 numpy==2.4.6
cat > show.py <<'PY'
import resource
import sys
import time

import torch


def held():
    """Megabytes of memory of this program, which Linux tells; nan elsewhere."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * resource.getpagesize() / 1e6
    except OSError:
        return float("nan")


names = "torch._dynamo", "torch._inductor", "sympy"
number = torch.nn.Parameter(torch.zeros(1))
before, modules, memory, begin = [n in sys.modules for n in names], len(sys.modules), held(), time.perf_counter()
torch.optim.SGD([number], lr=0.1)
seconds, memory, modules = time.perf_counter() - begin, held() - memory, len(sys.modules) - modules
after = [n in sys.modules for n in names]
print(f"torch {torch.__version__}")
print("Guess: with TORCHDYNAMO_DISABLE=1 and TORCH_COMPILE_DISABLE=1, `SGD` of one number imports nothing to speak of.")
print("Seen: `add_param_group` asks the compiler to leave it alone, and imports all of it to ask:")
print(f"    {modules} modules more, {memory:.0f} MB, {seconds:.1f} s")
for name, was, now in zip(names, before, after):
    print(f"    {name:16} imported before {was}, after {now}")
raise SystemExit(any(before) or not all(after) or modules < 300)
PY
TORCHDYNAMO_DISABLE=1 TORCH_COMPILE_DISABLE=1 env/bin/python -W ignore show.py
