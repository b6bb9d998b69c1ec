"""A training step over its own convolutions alone: how much of it is something else.

    python benchmarks/convolutions.py fpn faster-rcnn retinanet cornernet [--batch 16] [--rounds 9] [--bf16] [--predict]

The convolutions of one step, forward and backward, are kept with their arguments and run again by themselves, in turns
with the whole step: processor time of one thread, median and range of the ratio. A transposed convolution is one too.
"""
from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from builds import ratio
from steps import seconds, step_of

KINDS = ("aten::convolution", "aten::convolution_backward")


class Kept(TorchDispatchMode):
    """The convolutions that ran, as calls to make again."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, Any, Any]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func._schema.name in KINDS:
            self.calls.append((func, args, kwargs or {}))
        return func(*args, **(kwargs or {}))


def alone(run: Callable[[], None]) -> Callable[[], None]:
    with Kept() as kept:
        run()

    @torch.no_grad()
    def again() -> None:
        for func, args, kwargs in kept.calls:
            func(*args, **kwargs)

    return again


def measured(asked: str, count: int, rounds: int, predict: bool, bf16: bool) -> str:
    name, preset = (*asked.split(":"), "small")[:2]
    step = step_of(name, preset, count, predict, bf16)
    for _ in range(3):
        step()
    again = alone(step)
    pairs = [(seconds(step), seconds(again)) for _ in range(rounds + 2)][2:]
    whole, part = (1e3 * statistics.median(v) for v in zip(*pairs))
    return f"{name:16} {whole:7.1f} ms, its convolutions {part:7.1f} ms  {ratio(pairs)}"


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("systems", nargs="+", metavar="PAPER[:PRESET]")
    p.add_argument("--batch", type=int, default=16)
    p.add_argument("--rounds", type=int, default=9)
    p.add_argument("--bf16", action="store_true")
    p.add_argument("--predict", action="store_true")
    a = p.parse_args()
    torch.set_num_threads(1)
    for system in a.systems:
        print(measured(system, a.batch, a.rounds, a.predict, a.bf16), flush=True)


if __name__ == "__main__":
    main()
