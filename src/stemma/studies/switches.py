"""What is a part of DreamerV3 worth, and how far back does its memory reach? Agents that differ in one setting live in
worlds that differ in one number, and are asked on the same fresh episodes.

    python -m stemma.studies.switches parts --env gym:CartPole-v1 --scales .01 1 100
    python -m stemma.studies.switches memory --lengths 1 6 16 --budget 150steps

parts: symlog, two-hot bins, free nats and the slow critic are taken away one at a time, and the world's rewards are
multiplied; what is earned is divided again, so that a row of equal numbers says that the size of rewards means nothing.

memory: the gated unit and a small transformer learn from the same lives by chance in T-mazes, whole ones at a time. The
sign of the beginning is seen again behind the turn, and what is foreseen of that step is asked for it; one in two is
chance. What is foreseen of a step learns from what is then seen: a sign is .7 nats, and a divergence with a free nat
would teach none of it. The belief is 4 variables of 4 classes, so that it is learned soon.

All train with one seed; the interval is that of the episodes, and does not say what another seed would give. A study
that is stopped goes on where it was; switches.json holds what was found.
"""
from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from ..core import interrupts, outputs
from ..core.part import leaves
from ..core.types import StemmaError
from ..data.worlds import envs, t_maze
from ..engine.running import checkpoint
from ..engine.running.progress import going
from ..engine.worlds import agents, lives
from . import Asked, begun, keep, natural, positive, say, seed

PAPER, WHOLE, CHANCE = "dreamerv3", "as it is", "chance"
SHORT: dict[str, dict[str, Any]] = {  # what costs is the number of steps, one after another
    "parts": {"recipe.batch": 16, "recipe.lr": 1e-3, "recipe.warmup_steps": 50, "recipe.life.then.0.sequence": 8,
              "recipe.life.then.0.ratio": 16, "recipe.life.then.1.amount": 4, "behaviour.horizon": 8},
    "memory": {"recipe.batch": 16, "recipe.lr": 1e-3, "recipe.warmup_steps": 30, "recipe.life.cross": False,
               "recipe.life.first.0.policy": "random", "recipe.life.first.0.amount": 256,
               "recipe.life.then.0.ratio": 0, "recipe.life.then.0.amount": 10**6,
               "recipe.life.then.0.losses": "^(vector|terminal|kl)$", "dynamics.latent.groups": 4,
               "dynamics.latent.classes": 4, "heads.0.foreseen": 1.0}}
Agent = tuple[str, dict[str, Any]]  # a preset and settings


def parts(env: str, far: float) -> dict[str, Agent]:
    """The agents from which a part was taken. Without symlog the bins of rewards and values are equal ones up to `far`;
    without two-hot each is one number, whose symlog is told."""
    _, spec, _ = checkpoint.plan(PAPER, "small", None, envs.info_of(env))
    of = lambda name: [path for path, _ in leaves(spec) if path.endswith(f".{name}")]
    taken: dict[str, dict[str, Any]] = {
        WHOLE: {}, "no symlog": dict.fromkeys(of("squash"), False) | dict.fromkeys(of("far"), far),
        "no two-hot": dict.fromkeys(of("bins"), 1), "no free nats": {"rule.free": 0.0},
        "no slow critic": {"behaviour.pull": 0.0}}
    return {name: ("small", sets) for name, sets in taken.items()}


def memories(length: int) -> dict[str, Agent]:
    """The agents that differ in how they remember, for a maze of `length`, whose lives they learn from whole. The
    transformer looks back as far as a life lasts."""
    whole = {"recipe.life.then.0.sequence": length + 2}
    return {"gated unit": ("small", {"context": False} | whole),
            "transformer": ("window-small", {"dynamics.cell.window": length + 2} | whole)}


def paying(env: str, scale: float) -> str:
    """The world whose rewards are multiplied."""
    return env if scale == 1 else f"times:{plainly(scale)}:{env}"


def plainly(x: float) -> str:
    """A number with all its digits and no power."""
    return np.format_float_positional(x, trim="-")


@torch.no_grad()
def foretold(model: nn.Module, lived: list[envs.Episode]) -> np.ndarray:
    """Of lives of one length in a T-maze: 1 where what is foreseen of the last step is the sign seen there, else 0."""
    m: Any = model
    batch = {k: torch.from_numpy(np.stack([e[k] for e in lived])) for k in (*m.senses, "action", "first")}
    torch.manual_seed(0)
    posts, _ = m.dynamics.observe(m.encode(batch)[:, :-1], batch["action"][:, :-1], batch["first"][:, :-1])
    said = m.said("vector", m.dynamics.prior({k: v[:, -1] for k, v in posts.items()}, batch["action"][:, -1]))
    sides = len(t_maze.SIDES)
    right: np.ndarray = (said[:, :sides].argmax(-1) == batch["vector"][:, -1, :sides].argmax(-1)).numpy().astype(float)
    return right


def study(what: str, out: str | Path, worlds: Sequence[float], env: str = "gym:CartPole-v1", budget: str = "300steps",
          episodes: int = 32, far: float = 300.0, seed: int = 0, sets: dict[str, Any] | None = None) -> dict[str, Any]:
    """The record of "parts" (`worlds` are scales of the rewards of `env`) or "memory" (lengths of T-mazes). Raises
    `StemmaError` for a setting that there is not and for a folder with a study of other settings."""
    out, scaled = Path(out), what == "parts"
    named = {plainly(w): paying(env, w) if scaled else f"t-maze:{plainly(w)}" for w in worlds}
    common = SHORT[what] | (sets or {})
    todo: list[tuple[str, str, Agent | None]] = []
    for label, world in named.items():
        chosen = parts(env, far) if scaled else memories(int(label))
        for name, (preset, own) in chosen.items():
            checkpoint.plan(PAPER, preset, own | common, envs.info_of(world))  # what is wrong is told before all
            todo.append((name, label, (preset, own | common)))
        todo += [(CHANCE, label, None)] * scaled
    file = out / "switches.json"
    outputs.claim([file])
    asked = {"what": what, "budget": budget, "episodes": episodes, "seed": seed, "sets": common}
    record = begun(file, asked | ({"env": env, "far": far} if scaled else {})) | {"worlds": list(named)}
    rows: list[dict[str, Any]] = record.setdefault("rows", [])
    for name, label, agent in going(todo, "agents and worlds"):
        if any((r["agent"], r["world"]) == (name, label) for r in rows):
            continue
        row: dict[str, Any] = {"agent": name, "world": label}
        model: Any
        if agent is None:  # who acts by chance is asked what the world is alone
            model = checkpoint.build(PAPER, "small", info=envs.info_of(named[label]))
        else:
            place = out / re.sub(r"\W+", "-", f"{name} {label}")
            run = agents.train(PAPER, named[label], budget, agent[0], place, seed, agent[1], resume=True, device="cpu",
                               val_every=0, val_episodes=1, progress=False)
            model, end = run.load("last"), list(run.metrics())[-1]
            row |= {"updates": end["step"], "lived": end["images"], "seconds": end["seconds"]}
        if not scaled:
            found = foretold(model, lives.by_chance(model, named[label], episodes, seed))
        elif agent is None:
            found = agents.earned(lives.by_chance(model, named[label], episodes, seed)) / float(label)
        else:
            with agents.crew_for(model, named[label]) as crew:
                seeds = lives.seeds_of(agents.EVALUATION, seed, episodes)
                found = agents.returns_of(model, crew, seeds)[0] / float(label)
        spread = agents.spread_of(found)
        rows.append(row | {"mean": spread["mean"], "interval": spread["interval"]})
        keep(file, record)
    return record


def table(record: dict[str, Any]) -> list[list[str]]:
    """What was found: an agent a line, a world a column."""
    scaled = record["what"] == "parts"
    found = {(r["agent"], r["world"]): r for r in record["rows"]}
    show = lambda r: f"{r['mean']:.{1 if scaled else 3}f} ± {r['interval']:.{1 if scaled else 3}f}"
    return [["rewards times" if scaled else "corridor of", *record["worlds"]],
            *([name, *(show(found[name, w]) for w in record["worlds"])]
              for name in dict.fromkeys(r["agent"] for r in record["rows"]))]


def main(argv: list[str] | None = None) -> None:
    """The commands of this file's head."""
    parser = Asked("switches", __doc__)
    parser.add_argument("what", choices=tuple(SHORT),
                        help="what each part is worth where rewards are multiplied, or how far back a memory reaches")
    parser.add_argument("--env", default="gym:CartPole-v1", help="the world whose rewards are multiplied")
    parser.add_argument("--scales", type=positive, nargs="+", default=[0.01, 1.0, 100.0],
                        help="by which its rewards are multiplied")
    parser.add_argument("--far", type=positive, default=300.0,
                        help="the most that equal bins tell where symlog is taken away")
    parser.add_argument("--lengths", type=natural, nargs="+", default=[1, 6, 16],
                        help="steps of a T-maze's corridor")
    parser.add_argument("--budget", default="300steps")
    parser.add_argument("--episodes", type=natural, default=0,
                        help="fresh ones that each agent is asked on; 32 where it is not given, of mazes 400")
    parser.add_argument("--set", action="append", default=[], metavar="PATH=VALUE",
                        help="a setting of all agents, as of `stemma train`; repeatable")
    parser.add_argument("--out", default="")
    parser.add_argument("--seed", type=seed, default=0)
    a = parser.parse_args(argv)
    if wrong := [s for s in a.set if not s.partition("=")[2]]:
        raise StemmaError(f"--set takes PATH=VALUE, not '{wrong[0]}'")
    episodes = a.episodes or (32 if a.what == "parts" else 400)
    out = a.out or f"runs/{a.what}"
    record = study(a.what, out, a.scales if a.what == "parts" else a.lengths, a.env, a.budget, episodes, a.far,
                   a.seed, dict(s.split("=", 1) for s in a.set))
    say(table(record), 14)
    asked = "Returns, divided again," if a.what == "parts" else "Share of signs that are foreseen behind the turn,"
    print(f"{asked} of {episodes} fresh episodes, with their 95 % interval; one seed")
    print(Path(out) / "switches.json")


if __name__ == "__main__":
    interrupts.command(main)


__all__ = ["foretold", "memories", "parts", "paying", "study", "table"]
