"""What do size and memory buy an agent? Agents that differ in one setting learn apart, by several seeds each, and what
is found has its interval over those seeds.

    python -m stemma.studies.apart foresight --seeds 3
    python -m stemma.studies.apart controllers --seeds 3

foresight: do larger models of DreamerV3 foresee farther? Three sizes learn from the same lives by chance. Of fresh
lives then, after five steps, the world's numbers are foreseen with closed eyes, 45 steps on; the error of the mean
future is told in shares of what the numbers vary by, so that 1 is no better than their mean.

controllers: does M help World Models' controller, and does a larger controller? All are evolved in the world itself.
One reads V and a trained M, one V and an M that learned nothing (one update, at a rate of 1e-12), one V alone, one V by
40 hidden units.

A study that is stopped goes on where it was; apart.json holds what was found.
"""
from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import t as student
from torch import Tensor

from ..core import interrupts, outputs
from ..core.types import StemmaError
from ..data.worlds import envs
from ..engine.running import checkpoint
from ..engine.running.progress import going
from ..engine.worlds import agents, lives
from . import Asked, begun, keep, natural, say

HORIZONS = (1, 5, 15, 45)
Agent = dict[str, Any]
LIFE = "recipe.life.then"
BUDGET = {"foresight": "300steps", "controllers": "100000steps"}  # a controller is done by itself before


def sized(deter: int, hidden: int, classes: int) -> Agent:
    """A small DreamerV3's memory, units of every layer, and classes of each variable."""
    return {"dynamics.cell.size": deter, "dynamics.cell.hidden": hidden, "dynamics.hidden": hidden,
            "dynamics.latent.classes": classes}


EVOLVED: Agent = {"recipe.life.first.0.amount": 20, f"{LIFE}.0.amount": 150, f"{LIFE}.1.amount": 100,
                  f"{LIFE}.2.amount": 12, f"{LIFE}.2.population": 16, f"{LIFE}.2.rollouts": 1,
                  f"{LIFE}.2.dream": False}
QUESTIONS: dict[str, tuple[str, str, Agent, dict[str, Agent]]] = {  # paper, world, settings of all, of each
    "foresight": ("dreamerv3", "gym:Pendulum-v1", {
        "recipe.batch": 16, "recipe.lr": 1e-3, "recipe.warmup_steps": 30, "recipe.life.first.0.policy": "random",
        "recipe.life.first.0.amount": 40, f"{LIFE}.0.ratio": 0, f"{LIFE}.0.amount": 10**6, f"{LIFE}.0.sequence": 16,
        f"{LIFE}.0.losses": "^(vector|reward|terminal|kl)$", "context": False},
        {"memory of 64": sized(64, 16, 4), "memory of 256": sized(256, 64, 8), "memory of 512": sized(512, 128, 16)}),
    "controllers": ("world-models", "drawn-pendulum", EVOLVED, {
        "V and M": {}, "V and untrained M": {f"{LIFE}.1.amount": 1, f"{LIFE}.1.lr": 1e-12},
        "V alone": {"actor.reads": ("stoch",)}, "V, hidden layer": {"actor.reads": ("stoch",), "actor.hidden": 40}}),
}


@torch.no_grad()
def astray(model: Any, lived: list[envs.Episode], draws: int = 16) -> list[float]:
    """At each of `HORIZONS` after `lives.CONTEXT` steps, the squared error of the mean of `draws` futures of the
    "vector", in shares of its numbers' variance, mean over the numbers. Raises `StemmaError` where lives are too short
    to say."""
    steps = min(len(e["reward"]) for e in lived)
    if steps < lives.CONTEXT + HORIZONS[-1]:
        raise StemmaError(f"a life by chance of {steps} steps is too short for {HORIZONS[-1]} to be foreseen")
    batch = {k: torch.from_numpy(np.stack([e[k][:steps] for e in lived])) for k in lived[0]}
    torch.manual_seed(0)
    wide = {k: v.repeat_interleave(draws, 0) for k, v in batch.items()}
    rows = [lives.CONTEXT - 1 + h for h in HORIZONS]
    beliefs = {k: v[:, rows] for k, v in model.open_loop(wide, lives.CONTEXT).items()}
    said = model.said("vector", beliefs).unflatten(0, (-1, draws)).mean(1)
    return shares_missed(said, batch["vector"], rows)


def shares_missed(said: Tensor, truth: Tensor, rows: list[int]) -> list[float]:
    """Of what is said [N, R, D] of `rows` of the truth [N, T, D], the squared error by row, in shares of the variance
    of each number over all N and T, mean over D."""
    missed = (said - truth[:, rows]).square().mean(0) / truth.flatten(0, 1).var(0, correction=0).clamp(min=1e-12)
    return [float(x) for x in missed.mean(-1)]


def interval(found: list[float]) -> float:
    """Half of Student's 95 % interval of the mean of two numbers or more."""
    n = len(found)
    return float(student.ppf(0.975, n - 1) * np.std(found, ddof=1) / n**0.5)


def once(what: str, name: str, out: Path, seed: int, budget: str, episodes: int) -> dict[str, Any]:
    """One agent's row: "found", a number for each column."""
    paper, world, common, own = QUESTIONS[what]
    run = agents.train(paper, world, budget, "small", out / re.sub(r"\W+", "-", f"{name} {seed}"), seed,
                       common | own[name], resume=True, device="cpu", val_every=0, val_episodes=1, progress=False)
    model: Any = run.load("last")
    row = {"agent": name, "seed": seed, "seconds": list(run.metrics())[-1]["seconds"],
           "parameters": sum(p.numel() for p in model.parameters())}
    if what == "foresight":
        return row | {"found": astray(model, lives.by_chance(model, world, episodes, 0))}
    with agents.crew_for(model, world) as crew:
        returns = agents.returns_of(model, crew, lives.seeds_of(agents.EVALUATION, 0, episodes))[0]
    spread = agents.spread_of(returns)
    return row | {"found": [spread["mean"]], "interval": spread["interval"]}


def study(what: str, out: str | Path, seeds: int = 3, budget: str = "", episodes: int = 32) -> dict[str, Any]:
    """The study's record; what is finished of it stays in `out` and is not done again."""
    out, budget = Path(out), budget or BUDGET[what]
    file = out / "apart.json"
    outputs.claim([file])
    paper, world, common, own = QUESTIONS[what]
    for sets in own.values():  # what is wrong is told before all
        checkpoint.plan(paper, "small", common | sets, envs.info_of(world))
    record = begun(file, {"what": what, "budget": budget, "episodes": episodes})
    rows: list[dict[str, Any]] = record.setdefault("rows", [])
    for number, name in going([(s, a) for s in range(seeds) for a in own], "agents"):
        if not any((r["agent"], r["seed"]) == (name, number) for r in rows):
            rows.append(once(what, name, out, number, budget, episodes))
            keep(file, record)
    if what == "controllers" and "chance" not in record:
        model = checkpoint.build(paper, "small", info=envs.info_of(world))
        record["chance"] = agents.spread_of(agents.earned(lives.by_chance(model, world, episodes, 0)))
        keep(file, record)
    return record


def table(record: dict[str, Any]) -> list[list[str]]:
    """What was found: an agent a line, with the mean over its seeds and the interval."""
    ahead = record["what"] == "foresight"
    digits = 2 if ahead else 1
    out = [["steps ahead", *map(str, HORIZONS)] if ahead else ["controller", "return"]]
    for name in dict.fromkeys(r["agent"] for r in record["rows"]):
        rows = [r for r in record["rows"] if r["agent"] == name]
        line = [name]
        for column in zip(*(r["found"] for r in rows)):
            wide = interval(list(column)) if len(rows) > 1 else rows[0].get("interval")
            line.append(f"{np.mean(column):.{digits}f}" + (f" ± {wide:.{digits}f}" if wide is not None else ""))
        out.append(line)
    if "chance" in record:
        out.append(["chance", f"{record['chance']['mean']:.1f} ± {record['chance']['interval']:.1f}"])
    return out


def main(argv: list[str] | None = None) -> None:
    """The commands of this file's head."""
    parser = Asked("apart", __doc__)
    parser.add_argument("what", choices=tuple(QUESTIONS), help="how far models of several sizes foresee, or what "
                        "controllers of several kinds earn")
    parser.add_argument("--seeds", type=natural, default=3)
    parser.add_argument("--budget", default="", help="of each agent; without, " + ", ".join(
        f"{v} for {k}" for k, v in BUDGET.items()))
    parser.add_argument("--episodes", type=natural, default=32, help="fresh ones that each is asked on")
    parser.add_argument("--out", default="")
    a = parser.parse_args(argv)
    out = a.out or f"runs/{a.what}"
    record = study(a.what, out, a.seeds, a.budget, a.episodes)
    say(table(record), 18)
    over = f"{a.seeds} seeds with Student's 95 % interval over them" if a.seeds > 1 else "one seed"
    print(f"Means of {over}; {a.episodes} fresh episodes each")
    print(Path(out) / "apart.json")


if __name__ == "__main__":
    interrupts.command(main)


__all__ = ["HORIZONS", "QUESTIONS", "astray", "interval", "shares_missed", "study", "table"]
