"""Agents: live in a world, learn a model of it, act by it. One loop for every paper of task "world"; what it does is
the recipe's `life`.

A unit is one episode (or one group that is lived side by side), one update, or one generation. What a unit computes is
a function of the state before it, of the seed and of its number; the state is saved between units, and an episode is on
disk before it counts. So a run that is killed at any moment and resumed lives every episode once and ends with the same
bytes (for budgets in steps, episodes or images).
"""
from __future__ import annotations

import math
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ...core.interrupts import Wishes
from ...core.recipe import Stage
from ...core.types import StemmaError
from ...data.worlds import envs
from ...data.worlds.replay import Replay
from ..running import checkpoint, devices, optim, progress
from ..running.budget import Budget, Spent
from ..running.clock import Stopwatch, clock
from ..running.ending import Ending
from ..running.loop import Loop
from ..running.prices import Kept, Ledger, mended
from ..running.runs import Run
from . import dreams
from .evolve import Strategy, strategy

SIDE_BY_SIDE = 16  # episodes of one group; a constant, so that what is lived does not depend on the machine
# where the seeds of episodes that are not learned from begin
VALIDATION, EVALUATION, CHANCE = 1_000_000, 2_000_000, 3_000_000


def name_of(data: Any) -> str:
    """An environment's name from what stands for data: "env:takecover" or "takecover"."""
    return envs.get(str(data)).name


def seed_of(seed: int, number: int) -> int:
    """The seed of an episode of a run."""
    return int(np.random.SeedSequence([seed, number, 5]).generate_state(1)[0] >> 1)


# ---------------------------------------------------------------- living as the agent


def live_side_by_side(model: nn.Module, crew: envs.Crew, seeds: list[int], noise: float = 0.0) -> list[envs.Episode]:
    """One episode of each seed under the agent, stepped together and acted for in one batch. An episode depends on the
    others through the batch's random numbers alone: equal seeds in equal order give equal episodes."""
    m: Any = model
    device = next(model.parameters()).device
    worlds = [crew.world(i) for i in range(len(seeds))]
    torch.manual_seed(seeds[0])
    seen = [w.reset(seed=s)[0] for w, s in zip(worlds, seeds)]
    records = [envs.Recorder(o, m.classes) for o in seen]
    on = [True] * len(worlds)
    carry = None
    first = torch.ones(len(worlds), dtype=torch.bool, device=device)
    beliefs: list[dict[str, np.ndarray]] = []
    while any(on):
        batch = {k: torch.from_numpy(np.stack([o[k] for o in seen])).to(device) for k in m.senses if k in seen[0]}
        action, carry = m.act(batch | {"first": first}, carry, noise)
        first = torch.zeros_like(first)
        if m.context:
            beliefs.append({k: v.cpu().numpy() for k, v in m.kept(carry).items()})
        chosen = action.float().cpu().numpy()
        for i, world in enumerate(worlds):
            if on[i]:
                seen[i], reward, over, cut, _ = world.step(chosen[i])
                records[i].add(seen[i], chosen[i], reward, over)
                on[i] = not (over or cut)
    lived = [r.episode() for r in records]
    if m.context:  # what was believed at each step; nothing begins at the last one
        for i, episode in enumerate(lived):
            n = len(episode["reward"]) - 1
            episode |= {k: np.stack([*(b[k][i] for b in beliefs[:n]), np.zeros_like(beliefs[0][k][i])])
                        for k in beliefs[0]}
    return lived


def returns_of(model: nn.Module, crew: envs.Crew, seeds: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """(returns, lengths) of the agent without noise."""
    lived: list[envs.Episode] = []
    for i in range(0, len(seeds), SIDE_BY_SIDE):
        lived += live_side_by_side(model, crew, seeds[i : i + SIDE_BY_SIDE])
    return earned(lived), np.array([len(e["reward"]) - 1 for e in lived])


def earned(lived: list[envs.Episode]) -> np.ndarray:
    """The return of each episode."""
    return np.array([float(e["reward"].sum()) for e in lived])


def spread_of(values: np.ndarray) -> dict[str, float]:
    """Mean with the half-width of its 95 % interval (Student's t), deviation, and the ends."""
    from scipy.stats import t

    n = len(values)
    sd = float(values.std(ddof=1)) if n > 1 else 0.0
    half = float(t.ppf(0.975, n - 1)) * sd / math.sqrt(n) if n > 1 else float("nan")
    ends = {"median": float(np.median(values)), "min": float(values.min()), "max": float(values.max())}
    return {"mean": float(values.mean()), "interval": half, "std": sd, **ends}


def slopes(model: nn.Module) -> dict[str, Tensor]:
    """The length of the gradient ("gradient"), and that of each part of the model that learns ("gradient_dynamics"):
    of the actor and the critic it is that of their own losses, before anything is clipped."""
    parts: dict[str, list[Tensor]] = {}
    for name, p in model.named_parameters():
        if p.grad is not None:
            parts.setdefault(f"gradient_{name.partition('.')[0]}", []).append(p.grad)
    long = {k: nn.utils.get_total_norm(v) for k, v in parts.items()}
    return {"gradient": torch.linalg.vector_norm(torch.stack(list(long.values())))} | long


def crew_for(model: nn.Module, name: str, workers: int = 0) -> envs.Crew:
    """Worlds that are drawn as the model wants them."""
    m: Any = model
    return envs.Crew(name, workers, m.spec.pixels.size, m.spec.pixels.grey, tuple(m.senses))


# ---------------------------------------------------------------- the run


@dataclass
class Here:
    """Where in its life a run is: round (-1: what comes once), stage, units done in it,
    the budget's fraction when it began."""

    round: int = -1
    stage: int = 0
    done: int = 0
    begun: float = 0.0
    episode: int = 0  # the number of the first episode of a stage that collects


class Agent(Loop):
    """A life in progress: model, episodes, optimisers, counters; how to go on, save and restore."""

    def __init__(self, run: Run, model: nn.Module, name: str, budget: Budget, seed: int, device: str, *,
                 workers: int = 0, val_every: float = 0.2, val_episodes: int = 5, save_every: Budget | None = None,
                 log_every: int = 0, show: bool = True, compile: bool = False, wishes: Wishes | None = None) -> None:
        m: Any = model
        self.run, self.model, self.recipe, self.life, self.name = run, m.to(device), m.recipe, m.recipe.life, name
        self.budget, self.seed, self.device, self.workers, self.val_every, self.val_episodes = (
            budget, seed, device, workers, val_every, val_episodes
        )
        self.save_every, self.log_every = save_every, log_every
        self.replay = Replay(run.path / "episodes", self.life.capacity)
        self.crew = crew_for(model, name, workers)
        self.bar = progress.Training(run.path.name, show)
        self.clock, self.compiled = Stopwatch(device), compile
        self.prices = self._prices()
        self.here, self.tick, self.steps, self.frames = Here(), 0, 0, 0
        self.validations, self.fresh, self.score = 0, True, float("nan")
        self.best: dict[str, Any] = {"score": None, "step": -1, "metric": "return"}
        self.optimizers: dict[str, torch.optim.Optimizer] = {}
        self.es: Strategy | None = None
        self.elected: float | None = None
        self.closed_at = -1  # the tick at which it was measured for the last time
        self.es_begin: Tensor | None = None
        self.codes: Tensor | None = None
        self.coded = False
        self.queue: Iterator[envs.Episode] | None = None
        self.sums: dict[str, Tensor] = {}
        self.summed, self.loss, self.wishes, self.saved = 0, float("nan"), wishes or Wishes(), Spent()
        self.evolves = any(s.do == "evolve" for s in (*self.life.first, *self.life.then))
        if compile:
            m.returns, m.learn = torch.compile(m.imagined_returns), torch.compile(m.loss)

    def _prices(self) -> Ledger:
        """What lived steps, updates and generations cost, for a budget of seconds of processor time."""
        if self.budget.unit != "seconds" or self.clock.by != "processor":
            return Ledger()
        return Ledger(Kept(checkpoint.describe(self.model) | {
            "env": self.name, "workers": self.workers, "compile": self.compiled, "threads": self.clock.threads,
            "processor": devices.processor(),
        }))

    @property
    def spent(self) -> Spent:
        return self.clock.spent(self.steps, float(self.replay.count), self.frames)

    @property
    def fraction(self) -> float:
        return self.budget.fraction(self.spent)

    @property
    def stages(self) -> tuple[Stage, ...]:
        stages: tuple[Stage, ...] = self.life.first if self.here.round < 0 else self.life.then
        return stages

    # ------------------------------------------------------------ the loop

    def go(self) -> None:
        """Live until the budget is used, the rounds are over or a signal comes; leave the folder as it should be."""
        with self.wishes.watched():
            self._go()

    def _go(self) -> None:
        ending = Ending(self.wishes, self._save, self._record, self.bar.line,
                        lambda whole: f"at step {self.steps}" if whole else f"in the midst of step {self.steps + 1}")
        begun = self.spent
        try:
            with ending.within():
                self._between()  # what was due when it was told to end
                while not self._over():
                    stage, lived = self.stages[self.here.stage], self.frames
                    self.clock.start()
                    self._unit(stage)
                    self.prices.lap(self.clock, stage.name, self.frames - lived if stage.do == "collect" else 1)
                    self.tick += 1
                    self.here.done += 1
                    self._between()
                if self.closed_at != self.tick:  # a kill may come between this and what follows
                    self._validate()
                    self.closed_at = self.tick
                self._save()
                self.prices.settle()
                ending.finished(self.budget.cut(self.spent, begun),
                                mended(self.prices.kept, self.prices.prices, self.clock))
        finally:
            self.bar.stop()

    def _over(self) -> bool:
        """Whether life is over; enters the next stage where the one at hand is done."""
        while True:
            fraction = self.budget.fraction(self.spent)
            if fraction >= 1 or (self.life.rounds and self.here.round >= self.life.rounds):
                return True
            if not self.stages:
                self._enter(self.here.round + 1, 0, fraction)
                continue
            stage = self.stages[self.here.stage]
            if self.here.done == 0 and self.here.stage == 0 and self.here.round == -1 and self.tick == 0:
                self._begin(stage)
            if self._part(stage, fraction) < 1:
                return False
            last = self.here.stage == len(self.stages) - 1
            self._enter(self.here.round + last, 0 if last else self.here.stage + 1, fraction)

    def _enter(self, round: int, stage: int, fraction: float) -> None:
        self.here = Here(round, stage, 0, fraction, self.replay.count)
        self.es, self.es_begin, self.elected = None, None, None
        self.replay.drop("code")
        self.coded, self.codes, self.queue = False, None, None
        if stage < len(self.stages) and not (self.life.rounds and round >= self.life.rounds):
            self._begin(self.stages[stage])

    def _begin(self, stage: Stage) -> None:
        if stage.do == "evolve":
            self.es_begin = self.model.actor.flat().detach().cpu().double()
        if self.tick and not (self.here.round and not self.life.rounds):  # of a life in endless rounds the first alone
            self.bar.line(f"{self.spent}, {self.frames} steps lived: {stage.name}")

    def _part(self, stage: Stage, fraction: float) -> float:
        """The part of a stage that is done."""
        if stage.ratio:
            learned = self.steps * (stage.batch or self.recipe.batch) * stage.sequence
            return learned / max(stage.ratio * self.frames, 1e-9)
        counted = self.here.done * self._group(stage) / max(stage.amount, 1) if stage.amount or not stage.share else 0.0
        if not stage.share:
            return counted
        rest = self.stages[self.here.stage :]
        rounds = max(max(self.life.rounds, 1) - 1 - self.here.round, 0)
        shares = sum(s.share for s in rest) + rounds * sum(s.share for s in self.life.then)
        own: float = (1 - self.here.begun) * stage.share / shares
        return max(counted, (fraction - self.here.begun) / max(own, 1e-9))

    def _group(self, stage: Stage) -> int:
        """Episodes, updates or generations of one unit."""
        return min(SIDE_BY_SIDE, stage.amount) if stage.do == "collect" and stage.policy == "agent" else 1

    def _unit(self, stage: Stage) -> None:
        {"collect": self._collect, "fit": self._fit, "evolve": self._evolve}[stage.do](stage)

    # ------------------------------------------------------------ the three units

    def _collect(self, stage: Stage) -> None:
        """The next episodes: from the disk where a run before the kill has lived them already."""
        number = self.replay.count
        group = range(number, min(number + self._group(stage), self.here.episode + max(stage.amount, 1)))
        if all(self.replay.path(n).is_file() for n in group):
            lived = [self.replay.read(n) for n in group]
            known = True
        elif stage.policy == "random":
            if self.queue is None:
                last = self.here.episode + max(stage.amount, 1)
                self.queue = self.crew.random([seed_of(self.seed, n) for n in range(number, last)])
            with self.wishes.anywhere():
                lived, known = [next(self.queue)], False
            if self.model.context:
                n, blank = len(lived[0]["reward"]), self.model.dynamics.initial(torch.zeros(1, device=self.device), 1)
                lived[0] |= {k: np.repeat(v.cpu().numpy(), n, 0) for k, v in self.model.kept(blank).items()}
        else:
            self.model.eval()
            with self.wishes.anywhere():
                lived, known = (live_side_by_side(self.model, self.crew, [seed_of(self.seed, n) for n in group],
                                                  stage.noise), False)
        if known:
            self.queue = None
        for n, episode in zip(group, lived, strict=True):
            self.replay.add(n, episode, write=not known)
            self.frames += len(episode["reward"]) - 1
            self._write({"kind": "episode", "episode": n, "return": float(episode["reward"].sum()), "length":
                         len(episode["reward"]) - 1, "policy": stage.policy, "failed": bool(episode["terminal"].any())})

    def _fit(self, stage: Stage) -> None:
        """One update on sequences of what was lived."""
        devices.seed_step(self.seed, self.steps, 0)
        rng = np.random.default_rng([self.seed, self.steps, 9])
        if stage.stored and not self.coded:
            self._encode()
            devices.seed_step(self.seed, self.steps, 0)
        channels = ("code", "action", "reward", "first", "terminal") if stage.stored else None
        lived = self.replay.sample(rng, stage.batch or self.recipe.batch, stage.sequence + self.model.context,
                                   recent=stage.recent, endings=stage.endings, cross=self.life.cross, channels=channels,
                                   newest=stage.newest)
        rows = lived.pop("row")
        batch = {k: torch.from_numpy(v).to(self.device) for k, v in lived.items()}
        optimizer = self._optimizer(stage)
        if stage.end_lr:
            fall = (stage.end_lr
                    / (stage.lr or self.recipe.lr)) ** min(1.0, self._part(stage, self.budget.fraction(self.spent)))
            optim.set_rate(optimizer, fall)
        if self.recipe.warmup_steps:
            optim.set_rate(optimizer, min(1.0, (self.steps + 1) / self.recipe.warmup_steps))
        self.model.train()
        self.model.told = {}
        losses = self.model.learn(batch, stage.losses)
        total = torch.stack(list(losses.values())).sum()
        total.backward()
        if not math.isfinite(float(total.detach())):
            said = ", ".join(f"{k} = {float(v.detach()):g}" for k, v in losses.items())
            raise StemmaError(f"the loss is not a finite number at step {self.steps} ({said}); lower the rate (--set "
                              f"recipe.lr={self.recipe.lr / 2:g})")
        awake = [p for g in optimizer.param_groups for p in g["params"]]
        told = self.model.told | slopes(self.model)
        if self.recipe.clip:
            nn.utils.clip_grad_norm_(awake, self.recipe.clip)
        for pattern, longest in self.recipe.clips:
            nn.utils.clip_grad_norm_([p for n, p in self.model.named_parameters() if re.search(pattern, n)], longest)
        if stage.clip_value or self.recipe.clip_value:
            nn.utils.clip_grad_value_(awake, stage.clip_value or self.recipe.clip_value)
        optimizer.step()
        self.model.zero_grad(set_to_none=True)
        self.model.updated()
        if self.model.context:
            self.replay.renew(rows[:, self.model.context :], {k: v.cpu().numpy() for k, v in self.model.fresh.items()})
        for k, v in (*losses.items(), ("", total), *((f"told/{k}", v) for k, v in told.items())):
            self.sums[k] = self.sums.get(k, torch.zeros((), device=self.device)) + v.detach()
        self.steps, self.summed = self.steps + 1, self.summed + 1
        self.fresh = self.fresh or not self.evolves

    def _evolve(self, stage: Stage) -> None:
        """One generation of the controller."""
        if self.es is None:
            assert self.es_begin is not None
            self.es = strategy(stage.strategy, self.es_begin.numpy(), stage.sigma, stage.population,
                               seed_of(self.seed, self.here.round + 1))
        self.model.eval()
        candidates = self.es.ask()
        said: dict[str, float] = {}
        told, frames = len(self.es.history), self.frames
        try:
            fitness = self._fitness(torch.from_numpy(candidates).float(), stage, stage.rollouts, said)
            cost = stage.penalty * np.square(candidates).mean(1)
            self.es.tell(fitness - cost)
            mean, elected = torch.from_numpy(self.es.mean), {}
            if stage.elect and len(self.es.history) % stage.elect == 0:
                score = self._fitness(mean[None].float(), stage, stage.population * stage.rollouts)[0]
                elected = {"elected": float(score)}
        except KeyboardInterrupt:  # a generation counts when it is over
            del self.es.history[told:]
            self.frames = frames
            raise
        if not stage.elect or self.elected is None or elected and elected["elected"] > self.elected:
            self.model.actor.load_flat(mean)
            self.elected = elected.get("elected", self.elected)
        self.steps, self.fresh = self.steps + 1, True
        self._write({"kind": "evolve", "generation": len(self.es.history), "mean": float(fitness.mean()),
                     "best": float(fitness.max()), "sigma": self.es.sigma, **said, **elected})

    def _fitness(self, weights: Tensor, stage: Stage, each: int, said: dict[str, float] | None = None) -> np.ndarray:
        """Mean return of controllers [P, W] over `each` lives, in the dream or in the world;
        `said` takes how the dreams went."""
        weights = weights.to(self.device)
        if not stage.dream:
            return self._in_the_world(weights, each)
        with self.wishes.anywhere():
            if self.codes is None:
                self.codes = dreams.beginnings(self.model, self.replay, self.device)
            devices.seed_step(self.seed, self.steps, 1)
            dreamt = dreams.rollouts(self.model, weights, self.codes, each, stage.horizon, stage.temperature,
                                     stage.sampled)
        if said is not None:
            said |= {"length": float(dreamt.lengths.mean()), "ended": float(dreamt.ended.float().mean())}
        fitness: np.ndarray = dreamt.returns.double().mean(1).cpu().numpy()
        return fitness

    def _in_the_world(self, weights: Tensor, each: int) -> np.ndarray:
        """Fitness of candidates by episodes of the world itself, the same ones for all."""
        before = self.model.actor.flat().detach().clone()
        found, frames = [], 0
        try:
            with self.wishes.anywhere():
                for w in weights:
                    self.model.actor.load_flat(w)
                    seeds = [seed_of(self.seed, VALIDATION + self.steps * each + i) for i in range(each)]
                    returns, lengths = returns_of(self.model, self.crew, seeds)
                    frames += int(lengths.sum())
                    found.append(returns.mean())
        finally:
            self.model.actor.load_flat(before)
        self.frames += frames
        return np.array(found)

    def _encode(self) -> None:
        """Give every held step its code, as it is when the stage begins."""
        self.model.eval()
        arrays, n = self.replay.arrays, self.replay.steps
        codes = []
        with torch.no_grad(), self.wishes.anywhere():
            for i in range(0, n, 256):
                seen = {k: torch.from_numpy(arrays[k][i : min(i + 256, n)]).to(self.device)
                        for k in (*self.model.senses, "first") if k in arrays}
                codes.append(self.model.encode(seen).half().cpu())
        self.replay.put("code", torch.cat(codes).numpy())
        self.coded = True

    def _optimizer(self, stage: Stage) -> torch.optim.Optimizer:
        """The optimiser of a stage, which keeps its memory from round to round;
        parameters that the stage does not train sleep."""
        optim.set_awake(self.model, stage.train, set())
        if stage.name not in self.optimizers:
            own = replace(self.recipe, lr=stage.lr) if stage.lr else self.recipe
            self.optimizers[stage.name] = optim.make_optimizer(self.model, own)
        return self.optimizers[stage.name]

    # ------------------------------------------------------------ between units

    def _validate(self) -> None:
        """The agent's return without noise, on the same episodes each time;
        not lived again where nothing that acts has changed."""
        self._log()
        self.model.eval()
        entry: dict[str, Any] = {"kind": "val"}
        if self.fresh:
            with self.wishes.anywhere():
                returns, lengths = returns_of(self.model, self.crew, [VALIDATION + i for i in range(self.val_episodes)])
            self.score, self.fresh = float(returns.mean()), False
            entry |= {"std": float(returns.std()), "length": float(lengths.mean())}
        entry |= {"return": self.score, "episodes": self.replay.count}
        grown = (not self.evolves or self._ended() or not self.stages
                 or self.stages[self.here.stage].do == "evolve")
        # a controller that has not grown up is nobody's best
        # of equal ones the newest: where nothing was earned yet it has learned more of the world
        better = grown and (self.best["score"] is None or self.score >= self.best["score"])
        if better:
            self.best = {"score": self.score, "step": self.steps, "metric": "return"}
            checkpoint.save(self.run.path / "best.safetensors", self.model, step=self.steps, images=self.frames)
        self._write(entry)
        self.bar.line(f"{self.spent}, {self.replay.count} episodes, {self.frames} steps lived, {self.steps} learned: "
                      f"return {self.score:.1f}"
                      + (" (best)" if better else ""))
        passed = math.floor(self.budget.fraction(self.spent) / self.val_every + 1e-9) if self.val_every else 0
        self.validations = max(self.validations + 1, passed)

    def _write(self, entry: dict[str, Any]) -> None:
        head = {"kind": entry["kind"], "step": self.steps, "images": self.frames, "seconds": round(self.clock.work, 3),
                "wall": round(self.clock.wall, 3), "epoch": self.replay.count, "tick": self.tick,
                "stage": self.stages[self.here.stage].name if self.here.stage < len(self.stages) and not self._ended()
                else ""}
        try:
            self.run.log(head | entry)
        except OSError as error:
            self.bar.trouble(f"cannot write {self.run.path / 'metrics.jsonl'}: {error}; training goes on")

    def _ended(self) -> bool:
        return bool(self.life.rounds and self.here.round >= self.life.rounds)

    def _record(self, state: str, **more: Any) -> None:
        self.run.update(state=state, spent=vars(self.spent), best=self.best,
                        images_per_second=self.frames / max(self.clock.work, 1e-9), episodes=self.replay.count,
                        peak_memory_mb=devices.peak_memory_mb(torch.device(self.device)), **more)

    # ------------------------------------------------------------ saving and restoring

    def _save(self) -> None:
        tensors = {f"model/{k}": v for k, v in self.model.state_dict().items()}
        scalars: dict[str, Any] = {}
        for name, optimizer in self.optimizers.items():
            memory, plain = optim.optimizer_state(optimizer)
            tensors |= {f"optim/{name}/{k}": v for k, v in memory.items()}
            scalars[name] = plain
        if self.es_begin is not None:
            tensors["evolve/begin"] = self.es_begin
            if self.es is not None and self.es.history:
                tensors["evolve/history"] = torch.from_numpy(np.stack(self.es.history))
        for k, v in self.sums.items():
            tensors[f"sums/{k}"] = v
        if self.model.context and self.replay.steps:
            for k in self.model.fresh or ("deter", "stoch"):
                tensors[f"kept/{k}"] = torch.from_numpy(self.replay.arrays[k][: self.replay.steps].copy())
        meta = {
            "format": checkpoint.FORMAT, "here": vars(self.here), "tick": self.tick, "steps": self.steps,
            "frames": self.frames, **self.clock.kept(), "validations": self.validations,
            "fresh": self.fresh, "score": self.score if math.isfinite(self.score) else None, "best": self.best,
            "elected": self.elected, "optim": scalars, "low": self.replay.low, "count": self.replay.count,
            "summed": self.summed, "said": self.run.said, "gone": self.replay.gone, "handed": self.replay.handed,
            "closed_at": self.closed_at,
        }
        checkpoint.save(self.run.path / "last.safetensors", self.model, step=self.steps, images=self.frames)
        checkpoint.write_tensors(self.run.path / "state.safetensors", tensors, meta)
        self.replay.prune()
        self.saved = self.spent

    def restore(self) -> None:
        """Continue from the saved state. Raises `StemmaError` when it does not fit this model, `DataError` where an
        episode is damaged."""
        tensors, meta = checkpoint.read_tensors(self.run.path / "state.safetensors")
        part = lambda head: {k[len(head):]: v for k, v in tensors.items() if k.startswith(head)}
        self.model.load_state_dict(part("model/"))
        for name in ("tick", "steps", "frames", "validations", "fresh", "best", "summed"):
            setattr(self, name, meta[name])
        self.clock.resume(meta)
        self.score = float("nan") if meta["score"] is None else meta["score"]
        self.elected, self.closed_at = meta.get("elected"), meta.get("closed_at", -1)
        self.here = Here(**meta["here"])
        self.sums = {k: v.to(self.device) for k, v in part("sums/").items()}
        self.replay.load(meta["low"], meta["count"])
        self.replay.gone, self.replay.handed = meta.get("gone", 0), meta.get("handed", 0)
        for k, v in part("kept/").items():  # beliefs were written anew since the episodes were lived
            self.replay.arrays[k][: self.replay.steps] = v.numpy()
        every = {s.name: s for s in (*self.life.first, *self.life.then)}
        for name, plain in meta["optim"].items():
            optim.load_optimizer_state(self._optimizer(every[name]), part(f"optim/{name}/"), plain)
        if "evolve/begin" in tensors:
            self.es_begin = tensors["evolve/begin"]
            stage = self.stages[self.here.stage]
            if "evolve/history" in tensors:
                told = tensors["evolve/history"].numpy()
                self.es = strategy(stage.strategy, self.es_begin.numpy(), stage.sigma, stage.population,
                                   seed_of(self.seed, self.here.round + 1), told)
        self.saved = self.spent
        self.run.rewind(meta.get("said", self.run.said))
        self.bar.line(f"continuing {self.run.path} at step {self.steps}, episode {self.replay.count}")


def train(
    paper: Any, data: str | Path, budget: str | Budget | None = "60s", preset: str = "small",
    out: str | Path = "runs/run", seed: int = 0,
    sets: dict[str, Any] | None = None, resume: bool = False, *, device: str = "auto", val_every: float = 0.2,
    val_episodes: int = 5, save_every: str | None = "60s", workers: int = 0, log_every: int = 0, progress: bool = True,
    compile: bool = False, start: Any = None, wall: str | None = None,
) -> Run:
    """Let a paper's agent live in the world that `data` names ("env:takecover") and return its run folder;
    `fit.train` comes here.

    budget: "90s" counts the work of living and learning; "200steps" updates and generations; "60episodes"; "3000images"
    decisions in the world.
    workers: processes in which random episodes are lived. Otherwise as `stemma.engine.pictures.fit.train`,
    and raises as it does.
    """
    name = name_of(data)
    info = envs.info_of(name)
    envs.need(envs.get(name).package, name)
    device = devices.pick_device(device)
    torch.manual_seed(seed)
    model = checkpoint.build(paper, preset, sets=sets, info=info)
    m: Any = model
    if m.recipe.life is None or not (m.recipe.life.first or m.recipe.life.then):
        raise StemmaError(f"{m.paper.cli_name} says in its recipe how it is trained, but not how it lives")
    if any(s.do == "evolve" for s in m.recipe.life.then) and m.actor is None:
        raise StemmaError(f"{m.paper.cli_name} plans and has no controller: its life holds nothing to evolve")
    for s in (*m.recipe.life.first, *m.recipe.life.then):
        if s.do == "evolve":  # what is wrong with it is told now, and not when all that comes before it was learned
            strategy(s.strategy, np.zeros(2), s.sigma, s.population, seed)
    length = Budget.parse(m.recipe.length if budget is None else budget, wall)
    endless = [s.name for s in (*m.recipe.life.first, *m.recipe.life.then) if s.do != "collect"
               and not s.amount and s.share]
    if length.unit in ("epochs", "images") and endless:
        raise StemmaError(f"{m.paper.cli_name} lives no episode while it learns ({', '.join(dict.fromkeys(endless))}), "
                          f"so that a budget of '{budget}' would never be used up; give it in seconds or steps")
    begun = checkpoint.start_from(model, start) if start is not None else None
    record = {
        **checkpoint.describe(model), "budget": str(length), "wall_limit": length.wall, "clock": clock(device),
        "batch": m.recipe.batch, "seed": seed, "machine": devices.machine(), "processes": 1,
        "device": device, "precision": "fp32", "start": begun, "parameters": sum(p.numel() for p in model.parameters()),
        "data": {"where": f"env:{name}", "format": "env", "fingerprint": name}, "state": "running",
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }
    out, again = Path(out), resume and (Path(out) / "run.json").is_file()
    if again:
        run = Run.open(out)
        old = run.record
        run.hold(record, "paper", "preset", "sets", "seed", "recipe")
        if old["data"]["where"] != f"env:{name}":
            raise StemmaError(f"{out} lived in {old['data']['where']}, not env:{name}; choose another --out")
        if run.state == "finished" and length.over(old):
            return run
    wishes = Wishes()
    with wishes.watched():  # from here on the folder says that an agent lives
        run = Run.open(out) if again else Run.create(out, record)
        with run.guarded():
            goes_on = again and run.take_up(budget=str(length), wall_limit=length.wall)
            agent = Agent(run, model, name, length, seed, device, workers=workers, val_every=val_every,
                          val_episodes=val_episodes, save_every=Budget.parse(save_every) if save_every else None,
                          log_every=log_every, show=progress, compile=compile, wishes=wishes)
            try:
                agent.replay.tidy()
                if goes_on:
                    agent.restore()
                agent.go()
            finally:
                agent.crew.close()
    return run


__all__ = ["Agent", "earned", "live_side_by_side", "name_of", "returns_of", "spread_of", "train"]
