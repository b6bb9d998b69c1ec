"""An update of an agent on lives at random: what `benchmarks/builds.py` takes turns with for agents.

    python benchmarks/updates.py dreamerv3 [--rounds 9]      # milliseconds of one thread's processor time
    python benchmarks/updates.py planet --products           # and what its products of matrices take by themselves
"""
from __future__ import annotations

import argparse
import re
import statistics
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from stemma.data.worlds import envs
from stemma.engine.running import checkpoint, devices, optim

# world, pieces of life, their length
AGENTS = {"dreamerv3": ("gym:CartPole-v1", 16, 32), "planet": ("drawn-pendulum", 32, 20),
          "world-models": ("drawn-dodge", 32, 32)}


def agent_of(name: str, preset: str, sets: dict[str, Any] | None = None) -> Any:
    """An agent for its world, with weights at random."""
    torch.manual_seed(0)
    return checkpoint.build(name, preset, sets=sets, info=envs.info_of(AGENTS[name][0])).train()


def update_of(name: str, model: Any) -> tuple[Callable[[], None], Callable[[], float]]:
    """An update as the last learning stage of its life makes them (of World Models, the memory's), and the loss that it
    began with."""
    _, b, t = AGENTS[name]
    recipe, px, g = model.recipe, model.spec.pixels, torch.Generator().manual_seed(1)
    stage = [s for s in recipe.life.then if s.do == "fit"][-1]
    batch = {"action": torch.rand(b, t, model.classes, generator=g), "reward": torch.randn(b, t, generator=g),
             "first": torch.rand(b, t, generator=g) < 0.02, "terminal": torch.rand(b, t, generator=g) < 0.02}
    for s in model.spec.senses:
        shape = (b, t, s.width) if s.width else (b, t, px.size, px.size, px.channels)
        batch[s.channel] = (torch.randn(shape, generator=g) if s.width else
                            torch.randint(0, 256, shape, dtype=torch.uint8, generator=g))
    if stage.stored:
        with torch.no_grad():
            batch["code"] = model.encode(batch)
        del batch["image"]
    optim.set_awake(model, stage.train, set())
    optimizer = optim.make_optimizer(model, recipe)
    norms = ((".*", recipe.clip), *recipe.clips) if recipe.clip else recipe.clips
    cut = [([p for n, p in model.named_parameters() if re.search(pattern, n)], longest) for pattern, longest in norms]
    out: list[torch.Tensor] = []

    def update() -> None:
        out[:] = [torch.stack(list(model.learn(batch, stage.losses).values())).sum()]
        out[0].backward()
        for weights, longest in cut:
            torch.nn.utils.clip_grad_norm_(weights, longest)
        if stage.clip_value or recipe.clip_value:
            torch.nn.utils.clip_grad_value_(model.parameters(), stage.clip_value or recipe.clip_value)
        optimizer.step()
        model.zero_grad(set_to_none=True)
        model.updated()

    return update, lambda: float(out[0].detach())


class Products(TorchDispatchMode):
    """Counts the products of two matrices that pass through it, by their shapes."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: Counter[tuple[tuple[int, ...], tuple[int, ...]]] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.overloadpacket in (torch.ops.aten.mm, torch.ops.aten.addmm, torch.ops.aten.addmm_, torch.ops.aten.bmm):
            a, b = [x for x in args if isinstance(x, torch.Tensor)][-2:]
            self.seen[tuple(a.shape), tuple(b.shape)] += 1
        return func(*args, **(kwargs or {}))


def milliseconds(run: Callable[[], object], rounds: int) -> list[float]:
    """Processor time of each of `rounds` calls, after two that are not counted."""
    times = []
    for _ in range(rounds + 2):
        begin = time.process_time()
        run()
        times.append(1e3 * (time.process_time() - begin))
    return times[2:]


def products(update: Callable[[], None], rounds: int) -> str:
    """What the products of an update take, each alone on numbers at random that stay in the cache."""
    with Products() as counted:
        update()
    least = {(a, b): min(milliseconds(partial(torch.matmul, torch.randn(a), torch.randn(b)), rounds))
             for a, b in counted.seen}
    work = sum(n * 2e-9 * a[0] * a[-1] * b[-1] * (a[1] if len(a) > 2 else 1) for (a, b), n in counted.seen.items())
    took = sum(n * least[k] for k, n in counted.seen.items())
    return f"{sum(counted.seen.values())} products, {took:.1f} ms by their fastest, {1e3 * work / took:.0f} GFLOP/s"


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("agents", nargs="+", choices=AGENTS)
    p.add_argument("--rounds", type=int, default=9)
    p.add_argument("--products", action="store_true", help="what products of matrices take of it")
    a = p.parse_args()
    torch.set_num_threads(1)
    devices.keep_memory()
    for name in a.agents:
        update, _ = update_of(name, agent_of(name, "small"))
        times = milliseconds(update, a.rounds)
        print(f"{name:16} {statistics.median(times):7.1f} ms ({min(times):.1f} to {max(times):.1f})")
        if a.products:
            print(f"{'':16} {products(update, 50)}")


if __name__ == "__main__":
    main()
