"""Is a recurrent network with dropout a state-space model? Models of one world that differ in how their belief moves,
learned from the same lives: remembered and drawn (PlaNet's RSSM), drawn alone (SSM), remembered alone (RNN), and the
RNN whose memory loses numbers by chance, in foreseeing as in learning.

    python -m stemma.studies.transitions --env drawn-pendulum --steps 1000 --out runs/transitions

As published nothing teaches the RNN what it foresees, for its divergence counts for nothing; so it is learned again
with pictures and rewards told up to five steps ahead (observation overshooting, `rule.ahead`), as the RSSM beside it
is, and dropout so alone.
Each sees the same lives by chance and takes as many updates; nothing is lived besides. Of fresh lives then, after five
frames: how likely what comes is under many futures that it draws, whether those are as far apart as they are wrong (a
spread of 1 is right, less is too sure), and what a search of its dream earns. What is remembered and what is drawn are
read by linear probes, where the world tells its own state, with a share of the frames unseen.

Dropout at rate p gives a number h of the memory noise of |h| sqrt(p / (1 - p)): in proportion to it, of a strength that
nothing learns, and nothing that is seen takes it away. What PlaNet learned is set beside it: its own noise, as a share
of what it draws about.
"""
from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..core import interrupts, outputs
from ..core.types import StemmaError
from ..data.worlds import envs
from ..engine.running import checkpoint
from ..engine.running.progress import going
from ..engine.worlds import agents, lives
from ..parts.worlds.dynamics import State, flat, stacked
from ..report import charts
from ..report.sheet import definitions, grid, leaf, remark
from ..report.tags import tag, text
from . import Asked, begun, keep, natural

RATES = (0.05, 0.1, 0.2)
AHEAD: dict[str, Any] = {"rule.ahead": True, "rule.distance": 5}
KINDS = {"rssm": "small", "ssm": "ssm-small", "rnn": "rnn-small"}
ARMS: dict[str, tuple[str, dict[str, Any]]] = {
    **{k: (preset, {}) for k, preset in KINDS.items()},
    **{f"{k} ahead": (KINDS[k], AHEAD) for k in ("rssm", "rnn")},  # of ssm the loss is no number by step 359
    **{f"dropout {p:g}": ("rnn-small", AHEAD | {"dynamics.dropout": p}) for p in RATES}}
HORIZONS = (1, 5, 10, 20)
UNSEEN = (0.0, 0.5, 0.9)  # shares of the frames
RIDGE = 1e-3  # of the probes on columns of unit variance, times the number of rows


def lived(model: Any, seeds: list[int]) -> tuple[dict[str, Tensor], Tensor | None, list[str]]:
    """Lives by chance of equal length as a batch [B, T, ...], with the world's own state [B, T, D] and the names of its
    numbers, where it tells it."""
    card, told = envs.get(model.info.name), []
    with agents.crew_for(model, card.name) as crew:
        world, found = crew.world(0), []
        state = getattr(world.unwrapped, "truth", dict)
        for s in seeds:
            policy, truth = envs.RandomPolicy(card.law, model.classes, s, card.choices), list[dict[str, float]]()

            def noting(policy: Any = policy, truth: Any = truth) -> Any:
                truth.append(state())  # of the frame that was just seen
                return policy()

            found.append(envs.live(world, noting, s))
            told.append([*truth, state()])
    steps = min(len(e["reward"]) for e in found)
    if steps <= lives.CONTEXT + 1:
        raise StemmaError(f"a life by chance in '{card.name}' ends within {steps} steps, before there is anything to "
                          "foresee; name a world of longer lives")
    batch = {k: torch.from_numpy(np.stack([e[k][:steps] for e in found])) for k in found[0]}
    names = list(told[0][0])
    rows = torch.tensor([[[s[n] for n in names] for s in t[:steps]] for t in told]) if names else None
    return batch, rows, names


@torch.no_grad()
def foresight(model: Any, batch: dict[str, Tensor], draws: int) -> dict[str, dict[str, list[float]]]:
    """By channel and steps ahead: "nats" that the truth costs under the mixture of `draws` futures and the head's own
    noise (constants left out), and, of rewards, "error" of their mean (root of the mean square) and "spread", how far
    they are apart beside it."""
    wide = {k: v.repeat_interleave(draws, 0) for k, v in batch.items()}
    beliefs = model.open_loop(wide, lives.CONTEXT)
    steps = batch["reward"].shape[1]
    rows = [lives.CONTEXT - 1 + h for h in HORIZONS if lives.CONTEXT - 1 + h < steps]
    out: dict[str, dict[str, list[float]]] = {}
    for head in model.spec.heads:
        truth = model.values(head.channel, wide)[:, rows]
        state = {k: v[:, rows] for k, v in beliefs.items()}
        error = model.error(head, state, truth).unflatten(0, (-1, draws))
        out[head.channel] = {"nats": (math.log(draws) - torch.logsumexp(-error, 1)).mean(0).tolist()}
        if head.channel == "reward":
            said = model.said("reward", state).unflatten(0, (-1, draws))
            wrong = (said.mean(1) - batch["reward"][:, rows]).square().mean(0)
            apart = said.var(1).mean(0) * (1 + 1 / draws)
            out["reward"] |= {"error": wrong.sqrt().tolist(), "spread": (apart / wrong).sqrt().tolist()}
    return out


@torch.no_grad()
def beliefs_of(model: Any, batch: dict[str, Tensor], unseen: float) -> State:
    """The beliefs [B, T, ...] of who misses a share of the frames and has closed eyes there."""
    codes, first = model.encode(batch), batch["first"]
    state = model.dynamics.initial(codes, len(codes))
    chances = torch.Generator().manual_seed(0)
    missed = torch.rand(first.shape, generator=chances) < unseen
    states = []
    for t in range(first.shape[1]):
        post, prior = model.dynamics.step(state, batch["action"][:, t], codes[:, t], first[:, t])
        gone = missed[:, t, None] & ~first[:, t, None]
        state = {k: torch.where(gone, prior[k], v) for k, v in post.items()}
        states.append(state)
    return stacked(states)


def probes(model: Any, learn: tuple[dict[str, Tensor], Tensor], test: tuple[dict[str, Tensor], Tensor]
           ) -> dict[str, list[list[float]]]:
    """By part of the belief ("deter", "stoch"), and share of unseen frames, the share of each number's variance that a
    linear reading explains on lives that it was not fitted to; 0 where it explains nothing."""
    out: dict[str, list[list[float]]] = {}
    for unseen in UNSEEN:
        both = [flat(beliefs_of(model, batch, unseen)) for batch, _ in (learn, test)]
        for part in (p for p in ("deter", "stoch") if p in both[0]):
            middle, size = both[0][part].double().mean(0), both[0][part].double().std(0).clamp(min=1e-6)
            x, z = (torch.cat([(b[part] - middle) / size, torch.ones(len(b[part]), 1)], -1) for b in both)
            y, truth = (t.flatten(0, 1).double() for _, t in (learn, test))
            gram = x.mT @ x + RIDGE * len(x) * torch.eye(x.shape[1], dtype=x.dtype)
            left = truth - z @ torch.linalg.solve(gram, x.mT @ y)
            told = 1 - left.square().mean(0) / truth.var(0, correction=0)
            out.setdefault(part, []).append(told.clamp(min=0).tolist())
    return out


@torch.no_grad()
def noise_of(model: Any, batch: dict[str, Tensor]) -> float | None:
    """The median share that what is drawn before it sees deviates from its mean by, of the mean's size over lives; None
    where nothing is drawn."""
    dynamics = model.dynamics
    if dynamics.latent.noiseless:
        p = dynamics.dropout
        return math.sqrt(p / (1 - p)) if p else None
    _, priors = dynamics.observe(model.encode(batch), batch["action"], batch["first"])
    size = priors["mean"].square().mean((0, 1)).sqrt()
    return float((priors["std"].mean((0, 1)) / size.clamp(min=1e-6)).median())


def once(name: str, env: str, out: Path, seed: int, steps: int, life: int, episodes: int, draws: int,
         device: str) -> dict[str, Any]:
    """One arm's row."""
    preset, sets = ARMS[name]
    sets = sets | {"recipe.life.first.0.amount": life, "recipe.life.then.0.amount": steps}
    run = agents.train("planet", f"env:{env}", f"{steps}steps", preset, out / f"{name.replace(' ', '-')}-s{seed}", seed,
                       sets, resume=True, device=device, val_every=0, val_episodes=1, progress=False)
    model: Any = checkpoint.resolve(run, "last").to("cpu").eval()
    torch.manual_seed(seed)
    learn, told, names = lived(model, lives.seeds_of(agents.CHANCE, seed, 64))
    test, truth, _ = lived(model, lives.seeds_of(agents.EVALUATION, seed, 64))
    measured = lives.evaluate(run, episodes=episodes, which="last", device=device, random_episodes=episodes)
    return {"arm": name, "seed": seed, "foresight": foresight(model, test, draws), "noise": noise_of(model, test),
            "numbers": names, "probes": probes(model, (learn, told), (test, truth)) if told is not None
            and truth is not None else {},
            **{k: measured[k] for k in ("return", "interval", "random", "random_interval")}}


def study(out: str | Path, env: str = "drawn-pendulum", seeds: int = 1, steps: int = 1000, life: int = 60,
          episodes: int = 20, draws: int = 32, device: str = "auto") -> dict[str, Any]:
    """The study's record; what is finished of it stays in `out` and is not done again."""
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    file = out / "transitions.json"
    outputs.claim([file, out / "transitions.html"])
    record = begun(file, {"env": envs.get(env).name, "steps": steps, "lives": life, "episodes": episodes,
                          "draws": draws})
    record.setdefault("rows", [])
    for number, name in going([(s, a) for s in range(seeds) for a in ARMS], "models"):
        if not any((r["arm"], r["seed"]) == (name, number) for r in record["rows"]):
            record["rows"].append(once(name, env, out, number, steps, life, episodes, draws, device))
            keep(file, record)
    outputs.put_text(out / "transitions.html", page(record))
    return record


def mean(record: dict[str, Any], arm: str, *path: str | int) -> float:
    """A number of an arm's rows, over its seeds; NaN where it has none."""
    found = []
    for row in (r for r in record["rows"] if r["arm"] == arm):
        value: Any = row
        for key in path:
            there = isinstance(value, list) or value is not None and key in value
            value = value[key] if there else None
        found.append(float("nan") if value is None else float(value))
    return float(np.mean(found)) if found else float("nan")


def tables(record: dict[str, Any]) -> list[tuple[str, tuple[str, ...], list[list[str]]]]:
    """(what it is, heads, rows) of what was found."""
    shown = lambda x, digits=3: "–" if math.isnan(x) else f"{x:.{digits}f}"
    ahead = [str(h) for h in HORIZONS[: len(record["rows"][0]["foresight"]["reward"]["nats"])]]
    of = lambda channel, what, digits=3: [[a, *(shown(mean(record, a, "foresight", channel, what, i), digits)
                                               for i in range(len(ahead)))] for a in ARMS]
    out = [("Nats that rewards cost, by steps ahead", ("model", *ahead), of("reward", "nats"))]
    if "image" in record["rows"][0]["foresight"]:
        out.append(("Nats that pictures cost, by steps ahead", ("model", *ahead), of("image", "nats", 2)))
    out += [
        ("Error of the mean reward that is foreseen", ("model", *ahead), of("reward", "error", 2)),
        ("Spread of rewards that are drawn, beside that error", ("model", *ahead), of("reward", "spread", 2)),
        ("What its search earns", ("model", "return", "± 95 %", "noise, of the mean's size"), [
            [a, *(shown(mean(record, a, k), 1) for k in ("return", "interval")), shown(mean(record, a, "noise"), 2)]
            for a in ARMS]
         + [["chance", *(shown(mean(record, "rssm", k), 1) for k in ("random", "random_interval")), ""]]),
    ]
    for i, number in enumerate(record["rows"][0]["numbers"]):
        rows = [[a, part, *(shown(mean(record, a, "probes", part, u, i), 2) for u in range(len(UNSEEN)))]
                for a in ARMS for part in ("deter", "stoch")]
        out.append((f"Variance of {number} that is read off, by share of frames unseen",
                    ("model", "part", *map(str, UNSEEN)), [r for r in rows if set(r[2:]) != {"–"}]))
    return out


def page(record: dict[str, Any]) -> str:
    """The study as one page."""
    ahead = HORIZONS[: len(record["rows"][0]["foresight"]["reward"]["nats"])]
    lines = [charts.Line(i, a, tuple((float(h), mean(record, a, "foresight", "reward", "nats", k))
                                     for k, h in enumerate(ahead))) for i, a in enumerate(ARMS)]
    order = sorted(ARMS, key=lambda a: mean(record, a, "foresight", "reward", "nats", len(ahead) - 1))
    head = f"{ahead[-1]} steps ahead, what comes costs least nats under {order[0]}, most under {order[-1]}."
    facts = {"world": text(record["env"]), "learned from": text(f"{record['lives']} lives by chance, "
             f"{record['steps']} updates each"), "measured on": text("64 fresh lives by chance, "
             f"{record['draws']} futures of each; returns on {record['episodes']} episodes"),
             "seeds": text(str(1 + max(r["seed"] for r in record["rows"])))}
    return leaf("Ways for a belief to move", tag("div", tag("p", text(head), cls="head"), cls="answer"),
                charts.legend(lines),
                tag("div", charts.line_chart(lines, "steps ahead", "nats", "Nats that rewards cost"),
                    style="max-width:40rem"),
                *(tag("h2", text(t)) + grid(h, r) for t, h, r in tables(record)),
                remark("A spread of 1 is as far apart as wrong; less is too sure. Dropout's noise is a share of each "
                       "number that nothing learns and no sight takes away, PlaNet's is learned and corrected."),
                tag("h2", "How this was made"), definitions(facts),
                heading="Is a recurrent network with dropout a state-space model?")


def main(argv: list[str] | None = None) -> None:
    """The command of this file's head."""
    parser = Asked("transitions", __doc__)
    parser.add_argument("--env", default="drawn-pendulum", help="the world")
    parser.add_argument("--seeds", type=natural, default=1)
    parser.add_argument("--steps", type=natural, default=1000, help="updates of each model")
    parser.add_argument("--lives", type=natural, default=60, help="by chance, that all learn from")
    parser.add_argument("--episodes", type=natural, default=20, help="in which its search acts")
    parser.add_argument("--draws", type=natural, default=32, help="futures of each life")
    parser.add_argument("--out", default="runs/transitions")
    parser.add_argument("--device", default="auto")
    args = parser.parse_args(argv)
    record = study(args.out, args.env, args.seeds, args.steps, args.lives, args.episodes, args.draws, args.device)
    for title, heads, rows in tables(record):
        print(title)
        for row in (heads, *rows):
            print("  " + "  ".join(f"{v:12}" for v in row).rstrip())
    print(Path(args.out) / "transitions.html")


if __name__ == "__main__":
    interrupts.command(main)


__all__ = ["ARMS", "page", "probes", "study", "tables"]
