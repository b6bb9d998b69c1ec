"""Systems of language: count documents, or learn from them by gradients. One loop for every paper of the wing.

A unit is one batch; what it computes is a function of the state before it, of the seed and of its number. So a run that
is killed at any moment and resumed ends with the same bytes (for budgets in steps, epochs or images).
"""
from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ...core.interrupts import Wishes
from ...core.types import StemmaError
from ..running import checkpoint, devices, optim, prices, progress, schedule
from ..running.budget import Budget, Spent
from ..running.clock import Stopwatch, clock
from ..running.ending import Ending
from ..running.loop import Loop
from ..running.runs import Run
from . import subjects


class Learner(Loop):
    """A training in progress: model, optimiser, counters; how to go on, save and restore."""

    LINES = 100

    def __init__(self, run: Run, model: nn.Module, corpus: subjects.Corpus, budget: Budget, seed: int, device: str, *,
                 batch: int, val_every: float = 0.2, save_every: Budget | None = None, show: bool = True,
                 wishes: Wishes | None = None) -> None:
        m: Any = model
        self.run, self.model, self.recipe, self.corpus = run, m.to(device), m.recipe, corpus
        self.budget, self.seed, self.device, self.batch = budget, seed, device, batch
        self.save_every = save_every
        counting = [p.run for p in self.recipe.phases]
        if counting and (len(counting) > 1 or not counting[0]):
            raise StemmaError("a system of language counts in one phase or learns without any; its recipe has "
                              f"{len(counting)}")
        self.counts = getattr(model, counting[0]) if counting else None
        self.val_every = 0.0 if counting else val_every  # what counts is looked at when all is counted
        self.bar = progress.Training(run.path.name, show)
        self.clock = Stopwatch(device)
        self.steps = self.images = self.validations = self.summed = 0
        self.best: dict[str, Any] = {"score": None, "step": -1, "metric": corpus.main}
        self.sums: dict[str, Tensor] = {}
        self.loss, self.wishes, self.saved = float("nan"), wishes or Wishes(), Spent()
        self.optimizer = None if self.counts else optim.make_optimizer(model, self.recipe, batch / self.recipe.batch)
        self.order: tuple[int, np.ndarray] = (-1, np.zeros(0, int))
        self.prices: prices.Prices = {}  # of a step, or of a row that is counted
        self.kept: prices.Kept | None = None

    @property
    def spent(self) -> Spent:
        return self.clock.spent(self.steps, self.images / len(self.corpus), self.images)

    @property
    def fraction(self) -> float:
        """The part of the training that is done: of the budget, or of the one pass of what counts."""
        own = self.images / len(self.corpus) if self.counts else 0.0
        return max(self.budget.fraction(self.spent), own)

    def go(self) -> None:
        """Learn until the budget is used, all is counted or a signal comes; leave the folder as it should be."""
        with self.wishes.watched():
            left = lambda whole: f"at step {self.steps}" if whole else f"in the midst of step {self.steps + 1}"
            ending = Ending(self.wishes, self._save, self._record, self.bar.line, left)
            begun = self.spent
            try:
                with ending.within():
                    self._find_price()
                    self._between()
                    while self.fraction < 1:
                        self.clock.start()
                        begin = self.images
                        self._step()
                        price = self.prices.get("row")
                        self.clock.lap(None if price is None else price * (self.images - begin))
                        self._between()
                    if self.counts:
                        self.corpus.counted(self.model)
                    self._validate()
                    self._save()
                    ending.finished(self.budget.cut(self.spent, begun),
                                    prices.mended(self.kept, self.prices, self.clock))
            finally:
                self.bar.stop()

    def _find_price(self) -> None:
        """What a row costs, for a budget of seconds of processor time: as it was found before, else by trying steps
        out, of which nothing is left."""
        if self.budget.unit != "seconds" or self.clock.by != "processor":
            return
        self.kept = prices.Kept(checkpoint.describe(self.model) | {
            "data": self.corpus.name, "batch": self.batch, "threads": self.clock.threads,
            "processor": devices.processor()})
        if self.steps:
            return
        weights = {k: v.clone() for k, v in self.model.state_dict().items()}

        def step() -> float:
            self.model.load_state_dict(weights)  # what counts would else be full soon
            self.images = 0
            self._step()
            return float(self.images)

        def tried() -> prices.Prices:
            return {"row": prices.found(step, Stopwatch(self.device, self.clock.threads),
                                        prices.room(self.budget.amount))}

        self.prices = self.kept.read() or self.kept.write(tried())
        self.model.load_state_dict(weights)
        if self.optimizer is not None:
            self.optimizer.state.clear()
        self.steps = self.images = self.summed = 0
        self.sums = {}

    def _rows(self) -> np.ndarray:
        """The next batch's rows: in order where they are counted, else in an order of their own for each epoch."""
        n = len(self.corpus)
        if self.counts:
            return np.arange(self.images, min(self.images + self.batch, n))
        found: list[np.ndarray] = []
        at, want = self.images, self.batch
        while want:
            epoch, offset = divmod(at, n)
            if self.order[0] != epoch:
                self.order = (epoch, np.random.default_rng([self.seed, epoch, 7]).permutation(n))
            took = self.order[1][offset : offset + want]
            found.append(took)
            at, want = at + len(took), want - len(took)
        return np.concatenate(found)

    def _step(self) -> None:
        rows = self._rows()
        batch = {k: v.to(self.device) for k, v in self.corpus.batch(rows).items()}
        devices.seed_step(self.seed, self.steps, 0)
        if self.counts:
            with torch.no_grad():
                self.counts(batch)
        else:
            assert self.optimizer is not None
            optim.set_rate(self.optimizer, schedule.factor(self.recipe, self.fraction, self.steps + 1))
            self.model.train()
            losses = self.model.loss(batch)
            total = torch.stack(list(losses.values())).sum()
            total.backward()
            if not math.isfinite(float(total.detach())):
                raise StemmaError(f"the loss is not a finite number at step {self.steps}; lower the rate (--set "
                                  f"recipe.lr={self.recipe.lr / 2:g})")
            if self.recipe.clip:
                nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.clip)
            self.optimizer.step()
            self.model.zero_grad(set_to_none=True)
            for k, v in (*losses.items(), ("", total)):
                self.sums[k] = self.sums.get(k, torch.zeros((), device=self.device)) + v.detach()
            self.summed += 1
        self.steps, self.images = self.steps + 1, self.images + len(rows)

    def _validate(self) -> None:
        self._log()
        self.model.eval()
        with self.wishes.anywhere():
            said = self.corpus.check(self.model)
        score = said[self.corpus.main]
        gain = 1 if self.corpus.higher else -1
        better = self.best["score"] is None or gain * score > gain * self.best["score"]
        if better:
            self.best = {"score": score, "step": self.steps, "metric": self.corpus.main}
            checkpoint.save(self.run.path / "best.safetensors", self.model, step=self.steps, images=self.images)
        self._write({"kind": "val", **said})
        self.bar.line(f"{self.spent}, {self.steps} steps: {self.corpus.main} {score:.3f}" + " (best)" * better)
        passed = math.floor(self.fraction / self.val_every + 1e-9) if self.val_every else 0
        self.validations = max(self.validations + 1, passed)

    def _write(self, entry: dict[str, Any]) -> None:
        head = {"kind": entry["kind"], "step": self.steps, "images": self.images, "seconds": round(self.clock.work, 3),
                "wall": round(self.clock.wall, 3), "epoch": self.images / len(self.corpus)}
        said = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in entry.items()}
        try:
            self.run.log(head | said)
        except OSError as error:
            self.bar.trouble(f"cannot write {self.run.path / 'metrics.jsonl'}: {error}; training goes on")

    def _record(self, state: str, **more: Any) -> None:
        self.run.update(state=state, spent=vars(self.spent), best=self.best,
                        images_per_second=self.images / max(self.clock.work, 1e-9),
                        peak_memory_mb=devices.peak_memory_mb(torch.device(self.device)), **more)

    # ------------------------------------------------------------ saving and restoring

    def _save(self) -> None:
        tensors = {f"model/{k}": v for k, v in self.model.state_dict().items()}
        plain: dict[str, float] = {}
        if self.optimizer is not None:
            memory, plain = optim.optimizer_state(self.optimizer)
            tensors |= {f"optim/{k}": v for k, v in memory.items()}
        tensors |= {f"sums/{k}": v for k, v in self.sums.items()}
        meta = {"format": checkpoint.FORMAT, "steps": self.steps, "images": self.images, **self.clock.kept(),
                "prices": self.prices, "validations": self.validations, "best": self.best, "optim": plain,
                "summed": self.summed, "said": self.run.said}
        checkpoint.save(self.run.path / "last.safetensors", self.model, step=self.steps, images=self.images)
        checkpoint.write_tensors(self.run.path / "state.safetensors", tensors, meta)
        self.saved = self.spent

    def restore(self) -> None:
        """Continue from the saved state. Raises `StemmaError` when it does not fit this model."""
        tensors, meta = checkpoint.read_tensors(self.run.path / "state.safetensors")
        part = lambda head: {k[len(head):]: v for k, v in tensors.items() if k.startswith(head)}
        self.model.load_state_dict(part("model/"))
        for name in ("steps", "images", "validations", "best", "summed"):
            setattr(self, name, meta[name])
        self.prices = meta.get("prices", {})
        self.clock.resume(meta)
        self.sums = {k: v.to(self.device) for k, v in part("sums/").items()}
        if self.optimizer is not None:
            optim.load_optimizer_state(self.optimizer, part("optim/"), meta["optim"])
        self.saved = self.spent
        self.run.rewind(meta["said"])
        self.bar.line(f"continuing {self.run.path} at step {self.steps}")


def corpus_for(card: Any, name: str, data: Any, seed: int) -> subjects.Corpus:
    """The data as the subject `name` of a paper's systems reads them. Raises `StemmaError` where they are another's."""
    about = subjects.subject(name)
    if not about.known(data):
        subjects.of_data(data)
        raise StemmaError(f"{card.cli_name} learns from {about.SAYS}, not from '{data}'")
    corpus: subjects.Corpus = about.open_(data, seed)
    return corpus


def opened(card: Any, data: Any, preset: str, sets: dict[str, Any] | None, seed: int) -> tuple[Any, subjects.Corpus]:
    """The untrained model of a preset for data, and the data."""
    paper, spec, _ = checkpoint.plan(card, preset, sets)
    corpus = corpus_for(paper, spec.subject, data, seed)
    torch.manual_seed(seed)
    model: Any = checkpoint.build(paper, preset, sets=sets, info=corpus.info)
    corpus.handed(model, seed)
    return model, corpus


def train(
    paper: Any, data: str | Path, budget: str | Budget | None = "60s", preset: str = "small",
    out: str | Path = "runs/run", seed: int = 0, sets: dict[str, Any] | None = None, resume: bool = False, *,
    device: str = "auto", batch: int | None = None, val_every: float = 0.2, save_every: str | None = "60s",
    progress: bool = True, start: Any = None, wall: str | None = None,
) -> Run:
    """Train a paper's system on what `data` names ("facts:alpha=0.5") and return its run folder.

    budget: "90s", "2000steps", "12epochs", "50000images" (documents or sentences); what counts ends with its one pass.
    Otherwise as `stemma.engine.pictures.fit.train`, and raises as it does.
    """
    device = devices.pick_device(device)
    model, corpus = opened(paper, data, preset, sets, seed)
    m: Any = model
    length = Budget.parse(m.recipe.length if budget is None else budget, wall)
    begun = checkpoint.start_from(model, start) if start is not None else None
    size = min(batch or m.recipe.batch, len(corpus))
    record = {
        **checkpoint.describe(model), "budget": str(length), "wall_limit": length.wall, "clock": clock(device),
        "batch": size, "seed": seed, "machine": devices.machine(), "processes": 1, "device": device,
        "precision": "fp32", "start": begun, "parameters": sum(p.numel() for p in model.parameters()),
        "data": {"where": str(data), "format": corpus.info.format, "fingerprint": corpus.fingerprint},
        "state": "running", "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }
    out, again = Path(out), resume and (Path(out) / "run.json").is_file()
    if again:
        run = Run.open(out)
        run.hold(record, "paper", "preset", "sets", "seed", "recipe", "batch")
        run.hold_data(record)
        old = run.record
        if old["state"] == "finished" and length.over(old):
            return Run.open(out)
    wishes = Wishes()
    with wishes.watched():
        run = Run.open(out) if again else Run.create(out, record)
        with run.guarded():
            goes_on = again and run.take_up(budget=str(length), wall_limit=length.wall)
            learner = Learner(run, model, corpus, length, seed, device, batch=size, val_every=val_every,
                              save_every=Budget.parse(save_every) if save_every else None, show=progress,
                              wishes=wishes)
            if goes_on:
                learner.restore()
            learner.go()
    return run


__all__ = ["Learner", "corpus_for", "opened", "train"]
