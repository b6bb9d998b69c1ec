"""What a training holds before it does anything: processor time and the peak of memory after each of its imports.

    python benchmarks/imports.py
"""
from __future__ import annotations

import importlib
import os
import resource
import sys
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")


def say(what: str) -> None:
    mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    print(f"{what:42} {time.process_time():6.2f} s {mb:6.0f} MB {len(sys.modules):6} modules, the compiler "
          f"{'among them' if 'torch._dynamo' in sys.modules else 'not among them'}", flush=True)


def main() -> None:
    say("Python")
    for name in ("numpy", "torch", "stemma.engine.pictures.fit"):
        importlib.import_module(name)
        say(name)
    import torch

    torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    say("an optimiser of PyTorch's made")
    from stemma.engine.running.devices import make_fabric

    make_fabric("cpu", "fp32")
    say("Lightning Fabric launched")
    for name in ("torchvision.ops", "timm", "hotcoco", "scipy.optimize"):
        importlib.import_module(name)
        say(name)


if __name__ == "__main__":
    main()
