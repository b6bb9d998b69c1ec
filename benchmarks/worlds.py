"""How fast agents dream, plan and live, as ratios in one run: `python benchmarks/worlds.py [--quick] [--json]`.

Dream steps a second, batched against one at a time; milliseconds of one planned decision, eager against compiled; steps
a second of a world, by one process and by two. Figures are medians of alternating rounds, so that a busy moment of the
machine falls on both sides of a ratio.
"""
from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

import stemma
from stemma.data.worlds import envs
from stemma.engine.worlds import dreams


def rates(work: dict[str, Callable[[], float]], rounds: int) -> dict[str, float]:
    """Units of work a second, by name: the median over rounds in which each takes its turn."""
    found: dict[str, list[float]] = {k: [] for k in work}
    for _ in range(rounds):
        for k, f in work.items():
            begin = time.perf_counter()
            done = f()
            found[k].append(done / (time.perf_counter() - begin))
    return {k: statistics.median(v) for k, v in found.items()}


def dreaming(rounds: int, batch: int, steps: int) -> dict[str, float]:
    """Steps a second of World Models' small dream, its endings switched off: in one batch through `rollouts`, and by
    the gymnasium environment."""
    model: Any = stemma.build("world-models", "small", classes=1).eval()
    with torch.no_grad():
        model.heads["terminal"].net[-1].bias.fill_(-50.0)
    codes = torch.zeros(16, 64)
    env = dreams.dream_env(model, codes, horizon=10**9)
    env.reset(seed=0)
    weights = torch.randn(batch // 8, model.actor.flat().numel()) * 0.1

    def many() -> float:
        dreams.rollouts(model, weights, codes, 8, steps)
        return float(len(weights) * 8 * steps)

    def single() -> float:
        for _ in range(200):
            env.step(np.zeros(1, np.float32))
        return 200.0

    many(), single()
    return rates({"batched": many, "one at a time": single}, rounds)


def planning(rounds: int, preset: str, compiled: bool) -> dict[str, float]:
    """Milliseconds of a decision of PlaNet's search."""
    model: Any = stemma.build("planet", preset, classes=1).eval()
    state = model.dynamics.initial(torch.zeros(1), 1)
    ways = {"eager": model.imagined_returns} | ({"compiled": torch.compile(model.imagined_returns)} if compiled else {})

    def by(way: Any) -> Callable[[], float]:
        def decide() -> float:
            model.returns = way
            with torch.no_grad():
                for _ in range(3):
                    model.plan(state)
            return 3.0
        return decide

    work = {k: by(v) for k, v in ways.items()}
    for f in work.values():
        f()
    return {k: 1000 / v for k, v in rates(work, rounds).items()}


def living(rounds: int, name: str, episodes: int) -> dict[str, float]:
    """Decisions a second of lives by chance, 64-pixel pictures and all, in one process and in two."""
    with envs.Crew(name, 1) as one, envs.Crew(name, 2) as two:
        def by(crew: envs.Crew) -> Callable[[], float]:
            return lambda: float(sum(len(e["reward"]) - 1 for e in crew.random(range(episodes))))

        work = {"1 worker": by(one), "2 workers": by(two)}
        for f in work.values():
            f()
        return rates(work, rounds)


def main() -> None:
    """Print the table, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer rounds, nothing compiled")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--env", nargs="*", default=["drawn-pendulum", "drawn-dodge", "takecover", "cartpole-swingup"])
    args = parser.parse_args()
    rounds = 2 if args.quick else 7
    said: dict[str, Any] = {"threads": torch.get_num_threads()}
    said["dream steps a second"] = dreaming(rounds, 256 if args.quick else 1024, 20 if args.quick else 60)
    said["milliseconds a decision, small"] = planning(rounds, "small", not args.quick)
    if not args.quick:
        said["milliseconds a decision, paper"] = planning(3, "paper", False)
    for name in args.env:
        try:
            envs.need(envs.get(name).package, name)
        except stemma.StemmaError as error:
            said[f"decisions a second, {name}"] = str(error)
            continue
        said[f"decisions a second, {name}"] = living(rounds if name.startswith("drawn") else 2, name,
                                                     8 if name.startswith("drawn") else 2)
    if args.json:
        print(json.dumps(said, indent=1))
        return
    for what, values in said.items():
        if isinstance(values, dict):
            a, b = (*values.values(), None)[:2]
            ratio = f"   ratio {max(a, b) / min(a, b):.2f}" if b else ""
            values = ", ".join(f"{k} {v:,.1f}" for k, v in values.items()) + ratio
        print(f"{what}: {values}")


if __name__ == "__main__":
    main()
