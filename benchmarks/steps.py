"""A training step of a paper beside its parent's, by turns in one process: processor time, and the arithmetic that it
adds, counted by convolutions and matrix products alone.

    python benchmarks/steps.py dssd rfb-net repulsion-loss [--preset small] [--batch 16] [--rounds 9]
    python benchmarks/steps.py tridentnet/faster-rcnn:c4-small       # beside another system than its first parent
    python benchmarks/steps.py ga-rpn --predict                      # answers in the place of steps
    python benchmarks/steps.py ga-rpn --predict --runs runs/ga-rpn runs/fpn    # of what two runs have learned

A child's step should take at most 1.15 times its parent's plus what it adds. The last column is how many times longer
the child takes over how many times more it computes.
"""
from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

import stemma
from stemma.core import paper as cards
from stemma.data.loader import Loader
from stemma.data.scenes import Scenes
from stemma.engine.running import devices, optim


def system_of(name: str, preset: str, count: int, predict: bool, bf16: bool = False,
              run: str = "") -> tuple[Callable[[], None], Callable[[], float]]:
    """One step of a paper's own recipe on one batch of drawn scenes, or its answers to it, with weights at random, or
    those of `run`; and what came out of it the last time: the loss, or the sum of scores. As `train` does it: freed
    memory kept for the next step, weights and pictures laid out as the recipe says, and the network and its losses
    alone in bf16."""
    devices.keep_memory()
    torch.manual_seed(0)
    card = cards.get(name)
    recipe, data = card.recipe(preset), Scenes(count, 128, seed=1)
    model: Any = stemma.load(run) if run else stemma.build(name, preset, info=data.info)
    model.train(not predict)
    kinds = frozenset({"boxes", "masks", "semantic", "panoptic", "keypoints", "amodal"}.intersection(data.info.kinds))
    batch = next(iter(Loader(data, recipe, train=True, batch=count, mean=model.spec.preprocess.mean, seed=1,
                             needs=kinds).epoch(0)))
    layout = torch.channels_last if recipe.channels_last else torch.contiguous_format
    model.to(memory_format=layout)
    batch = replace(batch, images=batch.images.contiguous(memory_format=layout))
    optimizer = optim.make_optimizer(model, recipe)
    cast = partial(torch.autocast, "cpu", dtype=torch.bfloat16, enabled=bf16)
    out: list[torch.Tensor] = []

    def answer() -> None:
        with cast():
            out[:] = [model.predict(batch.images, batch.sizes).scores.sum()]

    def step() -> None:
        optimizer.zero_grad()
        with cast():
            out[:] = [torch.stack(list(model.loss(batch).values())).sum()]
        out[0].backward()
        optimizer.step()

    return answer if predict else step, lambda: float(out[0].detach())


def step_of(name: str, preset: str, count: int, predict: bool, bf16: bool = False, run: str = "") -> Callable[[], None]:
    return system_of(name, preset, count, predict, bf16, run)[0]


def seconds(run: Callable[[], None]) -> float:
    start = time.process_time()
    run()
    return time.process_time() - start


def arithmetic(run: Callable[[], None]) -> int:
    with FlopCounterMode(display=False) as counter:
        run()
    return int(counter.get_total_flops())


def measured(asked: str, preset: str, count: int, rounds: int, predict: bool,
             runs: tuple[str, str] = ("", "")) -> str:
    """asked: CHILD[:PRESET], and beside it /PARENT[:PRESET] where that is not its first parent at the same preset."""
    (name, own), (parent, theirs_) = ((*part.split(":"), preset)[:2] for part in (asked + "/").split("/")[:2])
    card = cards.get(name)
    parent = parent or card.parents[0].paper.name
    child, other = (step_of(n, p, count, predict, run=r)
                    for n, p, r in zip((card.name, parent), (own, theirs_), runs))
    work = arithmetic(child) / arithmetic(other)
    for run in (child, other):
        run()
    pairs = [(seconds(child), seconds(other)) for _ in range(rounds)]
    low, middle, high = statistics.quantiles([a / b for a, b in pairs], n=4)
    mine, theirs = (1e3 * statistics.median(v) for v in zip(*pairs))
    return (f"{card.cli_name:16} {mine:8.0f} ms  {parent:14} {theirs:8.0f} ms  "
            f"time {middle:.2f} ({low:.2f} to {high:.2f})  arithmetic {work:.2f}  over {middle / work:.2f}")


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("papers", nargs="+")
    p.add_argument("--preset", default="small")
    p.add_argument("--batch", type=int, default=16)
    p.add_argument("--rounds", type=int, default=9)
    p.add_argument("--predict", action="store_true")
    p.add_argument("--runs", nargs=2, default=("", ""), metavar=("CHILD", "PARENT"))
    a = p.parse_args()
    torch.set_num_threads(1)
    for name in a.papers:
        print(measured(name, a.preset, a.batch, a.rounds, a.predict, tuple(a.runs)), flush=True)


if __name__ == "__main__":
    main()
