#!/usr/bin/env bash
# Guess: importing Lightning Fabric brings in PyTorch and Fabric's own modules; packages that happen to be installed beside it stay where they are.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check lightning-fabric==2.6.6 lightning-utilities==0.15.3 torchmetrics==1.9.0 torch==2.14.1 \
    torchvision==0.29.1 matplotlib==3.11.2
cat > show.py <<'PY'
import sys
from importlib.metadata import version

import lightning_fabric  # noqa: F401

brought = {name: sum(m.split(".")[0] == name for m in sys.modules) for name in ("torchmetrics", "torchvision", "matplotlib")}
print(f"lightning-fabric {version('lightning-fabric')}, torchmetrics {version('torchmetrics')}, torchvision {version('torchvision')}")
print("Guess: `import lightning_fabric` imports PyTorch and its own modules.")
print("Seen: it asks whether torchmetrics is 1.0 or newer by importing all of it (`utilities/imports.py`), which brings torchvision and matplotlib too.")
for name, count in brought.items():
    print(f"    modules of {name:13} {count:4}")
raise SystemExit(not all(brought.values()))
PY
env/bin/python -W ignore show.py
