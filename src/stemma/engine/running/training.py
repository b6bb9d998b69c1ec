"""The training loop, whatever is learned: one budget, exact resume, the best and the last weights.

A run is repeatable bit by bit (for budgets in steps, epochs or images): the order and the augmentation of pictures are
functions of (seed, epoch, position), and the random numbers of a step (samplers, dropout) are functions of (seed, step,
rank), so nothing that happens between two steps, a validation, a save or a kill, can change what comes next.
"""
from __future__ import annotations

import itertools
import math
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from ...core import memory
from ...core.interrupts import Wishes
from ...core.recipe import Recipe
from ...core.sentence import many
from ...core.types import Batch, StemmaError
from ...parts.trunk import rest
from . import checkpoint, devices, optim, prices, progress, schedule
from .budget import Budget, Spent
from .clock import Stopwatch
from .ema import Ema
from .ending import Ending
from .runs import Run


class Held:
    """A batch that wrappers of modules pass on untouched."""

    def __init__(self, batch: Batch):
        self.batch = batch


class Step(nn.Module):
    """`model.loss` as a forward, for what wraps forwards: precision, DDP, compilation."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model: Any = model

    def forward(self, held: Held) -> dict[str, Tensor]:
        losses: dict[str, Tensor] = self.model.loss(held.batch)
        return losses


@dataclass(frozen=True)
class Plan:
    """How a training runs, beside the recipe."""

    budget: Budget
    batch: int  # images a step, over all processes and parts
    seed: int = 0
    val_every: float = 0.2  # fraction of the budget; 0: at the end alone
    save_every: Budget | None = Budget(60.0, "seconds")
    patience: int = 0
    workers: int = 0
    compile: bool = False
    sync_bn: bool = False
    log_every: int = 0
    show: bool = True
    deterministic: bool = False


class Training(ABC):
    """A training in progress: model, optimiser, averages and counters; how to run, save and restore them. What its
    batches are and how it is validated its kind of work says."""

    loader: Any  # `data.loader.Loader`, of the batches that a step takes
    parts: int  # so many of them a step

    def __init__(self, run: Run, fabric: Any, model: nn.Module, data: Any, val: Any, plan: Plan,
                 wishes: Wishes | None = None):
        if plan.sync_bn and fabric.world_size > 1 and fabric.device.type == "cuda":
            model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
        m: Any = model
        self.model, self.recipe = m, m.recipe
        recipe: Recipe = m.recipe
        self.data: Any = data
        self.run, self.fabric, self.val, self.plan, self.device = run, fabric, val, plan, fabric.device
        self.precision = devices.precision_of(fabric)
        self.layout = devices.layout(m, recipe.channels_last, fabric.device)
        m.to(fabric.device, memory_format=self.layout)
        self._share(recipe.accumulate)
        self.optimizer = optim.make_optimizer(m, recipe, schedule.batch_scale(recipe, plan.batch),
                                              scaler=self._scaler() is not None)
        self.frozen = {n for n, p in m.named_parameters() if not p.requires_grad}
        self.ema = Ema(m, recipe.ema) if recipe.ema else None
        self.module, self.stepper = fabric.setup(torch.compile(Step(m)) if plan.compile else Step(m), self.optimizer)
        # CPUs decide together; no wait for a GPU
        self.control: Any = dist.new_group(backend="gloo") if fabric.world_size > 1 else None
        self.watch = _Watch(self.device)
        self.bar = progress.Training(run.path.name, plan.show and fabric.is_global_zero)
        self.clock = Stopwatch(str(self.device))
        self.prices: prices.Prices = {}
        self.kept: prices.Kept | None = None
        self.fits = prices.Ledger()  # of phases that run a method
        self.still, self.pixels = False, 0.0  # whether steps are tried out; megapixels of the last one
        self.steps, self.epoch, self.at, self.images = 0, 0, 0, 0
        self.validations, self.validated_at, self.stale, self.phase = 0, -1, 0, -2
        self.best: dict[str, Any] = {"score": None, "step": -1}
        self.sums: dict[str, Tensor] = {}
        self.summed, self.loss, self.rate = 0, float("nan"), 0.0
        self.wishes, self.saved, self.saved_at = wishes or Wishes(), Spent(), -1
        self.fitted, self.ran = 0, -1  # batches of phases that run a method; the last of these phases that is over

    # ------------------------------------------------------------ the loop

    @property
    def spent(self) -> Spent:
        epochs = self.epoch + (self.at + self.fitted) / len(self.loader)
        return self.clock.spent(self.steps, epochs, self.images)

    def fit(self) -> None:
        """Train until the budget is used, patience ends or a signal comes; leave the folder as it should be."""
        with self.wishes.watched(), memory.watched(self._less):
            self._fit()

    def _fit(self) -> None:
        ending = Ending(self.wishes, lambda: self._save(final=True), self._record, self.bar.line,
                        lambda whole: f"at step {self.steps if whole else max(self.saved_at, 0)}")
        batches: Any = None
        begun = self.spent
        try:
            with ending.within(), devices.repeatable(self.plan.deterministic):
                with self.wishes.anywhere(self.control is None):
                    self._look_ahead()
                    if self.device.type == "cuda" or self.plan.compile or not self.plan.budget.repeatable:
                        self._warm_up()  # also finds in how many parts a step is taken, which its price depends on
                    self._find_prices()
                batches = self._batches()
                while True:
                    fraction = self._between()
                    over = fraction >= 1 or 0 < self.plan.patience <= self.stale
                    phase = len(self.recipe.phases) if over else self._phase(fraction)
                    if due := self._owed(phase):
                        self._run_method(due[0])
                        continue
                    if over or phase >= len(self.recipe.phases) > 0:
                        break
                    self.clock.start()
                    self._step(batches, fraction)
                    self.clock.lap(self._price())
                if self.validated_at != self.steps:
                    self._measured()
                self._save(final=True)
                ending.finished(self.plan.budget.cut(self.spent, begun),
                                prices.mended(self.kept, self.prices, self.clock))
        except Exception as error:
            if not memory.full(error):
                raise
            raise StemmaError(f"a batch of {self.plan.batch} in {many(self.parts, 'part')} does not fit into the "
                              f"memory of {self.device}; {self._less()}") from error
        finally:
            if batches is not None:
                batches.close()
            self.bar.stop()

    def _less(self) -> str:
        """What would take less memory."""
        parts = next((p for p in range(2 * self.parts, self.plan.batch + 1) if self.plan.batch % p == 0), 0)
        return "; ".join([
            f"--set recipe.accumulate={parts} takes a batch in smaller parts" if parts else
            "a part is one picture already", f"--batch {self.plan.batch // 2} is half of it" if self.plan.batch > 1
            else "a smaller --size or another preset is left"])

    @abstractmethod
    def _share(self, parts: int) -> None:
        """Take each step in so many parts: batches of the `loader`, which this makes, whose gradients are added."""

    def _look_ahead(self) -> None:
        """What is read or computed before the clock starts: nothing."""
        return

    def _run_method(self, phase: int) -> None:
        """Run the method of a phase that has no steps."""
        raise StemmaError(f"phase '{self.recipe.phases[phase].name}' runs a method, which is not done in this kind of "
                          "work")

    def _measured(self) -> None:
        """Validate. Raises `StemmaError` where a system with changed settings learns and cannot answer."""
        try:
            self._validate()
        except Exception as error:
            m: Any = self.model
            told = checkpoint.told_of_sets(m.paper.cli_name, m.sets, error, "validated")
            if self.validations or told is None:
                raise
            raise told from error

    @abstractmethod
    def _validate(self) -> None:
        """Measure the averaged weights on rank 0, keep the best (`_scored`), and say so to all (`_validated`)."""

    def _batches(self) -> Any:
        while True:
            for batch in self.loader.epoch(self.epoch, self.at):
                self.at += 1
                if self.at >= len(self.loader):
                    self.epoch, self.at = self.epoch + 1, 0
                yield batch

    def _step(self, batches: Iterator[Batch], fraction: float) -> None:
        devices.seed_step(self.plan.seed, self.steps, self.fabric.global_rank)
        self._enter_phase(fraction)
        self.rate = optim.set_rate(self.optimizer, schedule.rate(self.recipe, fraction, self.phase, self.steps)
                                   * (not self.still))
        rest(self.model.train())
        self.pixels = 0.0
        for part in range(self.parts):
            batch = next(batches)
            self.pixels += batch.images.numel() / batch.images.shape[1] / 1e6
            with self.fabric.no_backward_sync(self.module, enabled=part < self.parts - 1):
                losses = self._losses(batch)
                total = torch.stack(list(losses.values())).sum()
                self.watch.look(total)
                self.fabric.backward(total / self.parts)
            if not math.isfinite(self.watch.value()):
                raise self._not_finite(batch, losses)
            for k, v in (*losses.items(), ("", total)):
                self.sums[k] = self.sums.get(k, torch.zeros((), device=self.device)) + v.detach().float() / self.parts
        if self.recipe.clip:
            self.fabric.clip_gradients(self.module, self.optimizer, max_norm=self.recipe.clip, error_if_nonfinite=False)
        if self.recipe.clip_value:
            self.fabric.clip_gradients(self.module, self.optimizer, clip_val=self.recipe.clip_value)
        self.stepper.step()
        self.optimizer.zero_grad(set_to_none=True)
        if self.ema is not None:
            self.ema.update()
        self.steps, self.images, self.summed = self.steps + 1, self.images + self.plan.batch, self.summed + 1

    def _losses(self, batch: Batch) -> dict[str, Tensor]:
        batch = batch.to(self.device)
        said: dict[str, Tensor] = self.module(Held(replace(batch,
                                                           images=batch.images.contiguous(memory_format=self.layout))))
        phase = self.recipe.phases[self.phase].losses if self.recipe.phases else ".*"
        return {k: v * weight_of(self.recipe, k) for k, v in said.items() if re.search(phase, k)}

    def _enter_phase(self, fraction: float) -> None:
        now = min(self._phase(fraction), len(self.recipe.phases) - 1)
        if now != self.phase and now >= 0 and not self.recipe.phases[now].run:
            optim.set_awake(self.model, self.recipe.phases[now].train, self.frozen)
            if not self.still:
                self.bar.line(f"step {self.steps}: phase '{self.recipe.phases[now].name}'")
        self.phase = now

    def _phase(self, fraction: float) -> int:
        """The phase that is on: that of the fraction, or the one after a method that was done before its share was
        used. -1 where there are none."""
        return max(schedule.phase_at(self.recipe.phases, fraction), self.ran + 1) if self.recipe.phases else -1

    def _owed(self, now: int) -> list[int]:
        """Phases up to `now` that run a method and have not: one is never passed over, however short the budget."""
        return [i for i, p in enumerate(self.recipe.phases[: now + 1]) if p.run and i > self.ran]

    def _pulse(self) -> tuple[float, bool]:
        """(the fraction of the budget that is used, whether a save is due), by rank 0's clock; the bar is moved."""
        fraction = self.plan.budget.fraction(self.spent)
        due = self.plan.save_every is not None and self.plan.save_every.passed(self.saved, self.spent)
        if self.control is not None:
            said = torch.tensor([fraction, self.wishes.number, float(due)], dtype=torch.float64)
            dist.broadcast(said, 0, group=self.control)
            fraction, due = float(said[0]), bool(said[2])
            self.wishes.number = int(said[1])
        self.bar.update(fraction, self.spent, self.loss)
        return fraction, due

    def _between(self) -> float:
        """Do what is due between two steps: a line, a validation, a save.
        None of it changes what the next step computes.

        Returns the fraction of the budget used, by rank 0's clock. Raises `Interrupted` on every rank when it was told
        to stop.
        """
        fraction, due = self._pulse()
        if self.steps and self.steps % (self.plan.log_every or max(1,
                                                                   round(self.steps / max(fraction, 1e-9) / 200))) == 0:
            self._log()
        self.wishes.heed()
        if self.plan.val_every and fraction >= (self.validations + 1) * self.plan.val_every - 1e-9:
            self._measured()
            due = True
        if due and self.steps:
            self._save()
        return fraction

    # ------------------------------------------------------------ what it says

    def _log(self) -> None:
        """A line of metrics.jsonl: losses since the last line, over all ranks."""
        if not self.summed:
            return
        names = list(self.sums)
        means = torch.stack([self.sums[k] for k in names]) / self.summed
        if self.fabric.world_size > 1:
            dist.all_reduce(means)
            means /= self.fabric.world_size
        values = dict(zip(names, means.tolist()))
        self.loss = values.pop("")
        self.sums, self.summed = {}, 0
        self._write({"kind": "train", "loss": self.loss, "losses": values, "lr": self.rate})

    def _scored(self, score: float | None, metric: str, on: str) -> None:
        """Keep the weights where they are the best so far; None: the measure is undefined there."""
        self.stale += 1
        if self.best["score"] is None or (score is not None and score > self.best["score"]):
            self.stale = 0
            self.best = {"score": score, "step": self.steps, "metric": metric, "on": on}
            self._weights("best")

    def _validated(self) -> None:
        """Every process knows how stale the best weights are, and when the next validation is due."""
        if self.control is not None:
            said = torch.tensor([self.stale])
            dist.broadcast(said, 0, group=self.control)
            self.stale = int(said)
        passed = (math.floor(self.plan.budget.fraction(self.spent) / self.plan.val_every + 1e-9)
                  if self.plan.val_every else 0)
        self.validations, self.validated_at = max(self.validations + 1, passed), self.steps

    def _write(self, entry: dict[str, Any]) -> None:
        if self.fabric.is_global_zero:
            spent = self.spent
            head = {"kind": entry["kind"], "step": self.steps, "images": self.images,
                    "seconds": round(spent.seconds, 3), "wall": round(spent.wall, 3),
                    "epoch": round(spent.epochs, 4)}
            try:
                self.run.log(head | entry)
            except OSError as error:
                self.bar.trouble(f"cannot write {self.run.path / 'metrics.jsonl'}: {error}; training goes on")

    def _record(self, state: str, **more: Any) -> None:
        if self.fabric.is_global_zero:
            self.run.update(state=state, spent=vars(self.spent), best=self.best, images_per_second=self.images
                            / max(self.clock.work, 1e-9), peak_memory_mb=devices.peak_memory_mb(self.device), **more)

    def _not_finite(self, batch: Batch, losses: dict[str, Tensor]) -> StemmaError:
        files = [self.data.truth(i).file or f"picture {i}" for i in batch.index.tolist()]
        parts = ", ".join(f"{k} = {float(v.detach()):g}" for k, v in losses.items())
        if self.fabric.is_global_zero and self._sound():
            self._weights("last")
            kept = f"The weights from before this step are in {self.run.path / 'last.safetensors'}"
        else:
            kept = f"The weights themselves are no longer finite; the last good ones are those saved in {self.run.path}"
        return StemmaError(f"the loss is not a finite number at step {self.steps} ({parts}), on these pictures: "
                           f"{', '.join(files)}. {kept}. Look at these pictures' labels, or lower the rate (--set "
                           f"recipe.lr={self.recipe.lr / 2:g})")

    # ------------------------------------------------------------ saving and restoring

    def _scaler(self) -> Any:
        """The GradScaler of fp16 training, or None."""
        return getattr(self.fabric._precision, "scaler", None)

    def _sound(self) -> bool:
        """Whether every weight and statistic is finite."""
        return all(bool(torch.isfinite(v).all()) for v in self.model.state_dict().values() if v.is_floating_point())

    def _weights(self, name: str) -> None:
        state = self.ema.state() if self.ema is not None else self.model.state_dict()
        try:
            checkpoint.save(self.run.path / f"{name}.safetensors", self.model, state, step=self.steps,
                            images=self.images)
        except StemmaError as error:
            self.bar.trouble(f"{error}; training goes on")

    def _save(self, final: bool = False) -> None:
        """The last weights and the state for an exact resume. On a full disk training goes on,
        and only the last save raises.

        Weights that are not finite replace nothing: the next loss ends the run.
        """
        if self.fabric.is_global_zero and self._sound():
            tensors = {f"model/{k}": v for k, v in self.model.state_dict().items()}
            if self.ema is not None:
                tensors |= {f"ema/{k}": v for k, v in self.ema.state().items()}
            memory, scalars = optim.optimizer_state(self.optimizer)
            tensors |= {f"optim/{k}": v for k, v in memory.items()}
            scaler = self._scaler()
            meta = {
                "format": checkpoint.FORMAT, "steps": self.steps, "epoch": self.epoch, "at": self.at,
                "images": self.images, **self.clock.kept(), "prices": self.prices,
                "validations": self.validations, "validated_at": self.validated_at, "stale": self.stale,
                "best": self.best, "optim": scalars, "ema_updates": self.ema.updates if self.ema else 0,
                "scaler": scaler.state_dict() if scaler else None, "world": self.fabric.world_size, "parts": self.parts,
                "fitted": self.fitted, "ran": self.ran, "said": self.run.said,
            }
            try:
                state = self.ema.state() if self.ema is not None else self.model.state_dict()
                checkpoint.save(self.run.path / "last.safetensors", self.model, state, step=self.steps,
                                images=self.images)
                checkpoint.write_tensors(self.run.path / "state.safetensors", tensors, meta)
            except StemmaError as error:
                if final:
                    raise
                self.bar.trouble(f"{error}; training goes on")
        self.saved, self.saved_at = self.spent, self.steps

    def restore(self) -> None:
        """Continue from the saved state. Raises `StemmaError` when it does not fit this model or this number of
        processes."""
        tensors, meta = checkpoint.read_tensors(self.run.path / "state.safetensors")
        together = meta["world"]
        if together != self.fabric.world_size:
            raise StemmaError(f"{self.run.path} was trained by {together} process(es), not "
                              f"{self.fabric.world_size}; an exact resume needs as many")
        part = lambda head: {k[len(head):]: v for k, v in tensors.items() if k.startswith(head)}  # noqa: E731
        self.model.load_state_dict(part("model/"))
        if self.ema is not None:
            self.ema.load(part("ema/"), meta["ema_updates"])
        optim.load_optimizer_state(self.optimizer, part("optim/"), meta["optim"])
        if meta["scaler"]:
            self._scaler().load_state_dict(meta["scaler"])
        for name in ("steps", "epoch", "at", "images", "validations", "validated_at", "stale", "best"):
            setattr(self, name, meta[name])
        self.fitted, self.ran = meta.get("fitted", 0), meta.get("ran", -1)
        self.clock.resume(meta)
        self.prices = meta.get("prices", {})
        if meta["parts"] != self.parts:
            self._share(meta["parts"])
        self.saved, self.saved_at = self.spent, self.steps
        if self.fabric.is_global_zero:
            self.run.rewind(meta.get("said", self.run.said))
        self.bar.line(f"continuing {self.run.path} at step {self.steps}")

    # ------------------------------------------------------------ surroundings

    def _warm_up(self) -> None:
        """Compile and load kernels on a first batch before the clock starts; weights and memories are put back.

        A batch that does not fit into memory is halved, and halved again: steps keep their size, and take more parts.
        """
        before = {k: v.clone() for k, v in self.model.state_dict().items()}
        self._enter_phase(self.plan.budget.fraction(self.spent))
        rest(self.model.train())
        try:
            while True:
                devices.seed_step(self.plan.seed, self.steps, self.fabric.global_rank)
                batch = next(iter(self.loader.epoch(self.epoch, self.at)))
                try:
                    self.fabric.backward(torch.stack(list(self._losses(batch).values())).sum())
                    break
                except Exception as error:
                    if not memory.full(error):
                        raise
                    if self.steps or self.fabric.world_size > 1 or self.plan.batch % (self.parts * 2):
                        raise
                self.optimizer.zero_grad(set_to_none=True)
                self._share(self.parts * 2)
                self.bar.trouble(f"a batch of {self.plan.batch} does not fit into memory; each step takes {self.parts} "
                                 f"parts of {self.plan.batch // self.parts}")
        finally:
            self.optimizer.zero_grad(set_to_none=True)
            self.model.load_state_dict(before)

    def _find_prices(self) -> None:
        """What a step of each phase costs, for a budget of seconds of processor time: as it was found before, else by
        trying a few out, of which nothing is left. Several processes that train together are clocked."""
        budget = self.plan.budget
        if budget.unit != "seconds" or self.clock.by != "processor" or self.fabric.world_size > 1:
            return
        what = {
            **checkpoint.describe(self.model), "data": self.data.fingerprint, "batch": self.plan.batch,
            "parts": self.parts, "workers": self.plan.workers, "compile": self.plan.compile,
            "precision": self.precision, "threads": self.clock.threads, "processor": devices.processor(),
        }
        self.kept, self.fits = prices.Kept(what), prices.Ledger(prices.Kept(what | {"fits": True}))
        if not self.steps:
            self.prices = self.kept.read() or self.kept.write(self._try_out())

    def _try_out(self) -> prices.Prices:
        """The price of a step of each phase that has steps. Weights, memories and counters are put back."""
        phases, tried = self.recipe.phases, Stopwatch(str(self.device), self.clock.threads)
        steps = [i for i, p in enumerate(phases) if not p.run] if phases else [-1]
        names = ("steps", "images", "summed", "sums", "phase", "rate")
        counters = {k: getattr(self, k) for k in names}
        averages = None if self.ema is None else ({k: v.clone() for k, v in self.ema.state().items()}, self.ema.updates)
        weights = {k: v.clone() for k, v in self.model.state_dict().items()}
        self.still, self.sums, found = True, {}, {}
        try:
            for i in steps:
                begin = schedule.span(phases, i)[0] + 1e-9 if phases else 0.0
                found[str(i)] = prices.found(self._tried(begin), tried,
                                             prices.room(self.plan.budget.amount) / len(steps))
        finally:
            self.still = False
            self.optimizer.state.clear()
            optim.set_awake(self.model, ".*", self.frozen)
            self.model.load_state_dict(weights)
            if self.ema is not None and averages is not None:
                self.ema.load(*averages)
            for k, v in counters.items():
                setattr(self, k, v)
        return found

    def _tried(self, fraction: float) -> Callable[[], float]:
        """What takes a step that is tried out, and says its megapixels."""
        batches = (b for epoch in itertools.count(self.epoch) for b in self.loader.epoch(epoch))

        def step() -> float:
            self._step(batches, fraction)
            return self.pixels

        return step

    def _price(self) -> float | None:
        """Seconds that the last step counts for; None where the clock says it."""
        price = self.prices.get(str(self.phase))
        return None if price is None else price * self.pixels


class _Watch:
    """Reads a loss without making a GPU wait: the copy starts before the backward pass is queued, and is read after."""

    def __init__(self, device: torch.device):
        self.cuda = device.type == "cuda"
        self.held = torch.zeros((), pin_memory=self.cuda)
        self.event: Any = torch.cuda.Event() if self.cuda else None

    def look(self, loss: Tensor) -> None:
        self.held.copy_(loss.detach(), non_blocking=True)
        if self.cuda:
            self.event.record()

    def value(self) -> float:
        if self.cuda:
            self.event.synchronize()
        return float(self.held)


def weight_of(recipe: Recipe, loss: str) -> float:
    """What a loss is multiplied with: the first of `recipe.loss_weights` of that name."""
    return next((w for name, w in recipe.loss_weights if name == loss), 1.0)


__all__ = ["Held", "Plan", "Step", "Training", "weight_of"]
