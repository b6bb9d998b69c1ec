"""A protocol's course: the network learns its source where it has no weights, then for each data set the path of
strengths is walked, and the trainings of the grids are made. `train` is the wing's.

A unit is a stretch of steps or one strength; between units the state can be saved, and what a unit computes is a
function of that state, the seed and its place in the course. So a run that is killed and resumed ends with the same
bytes (for budgets in steps, epochs or images).
"""
from __future__ import annotations

import copy
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from ...core.interrupts import Wishes
from ...core.types import Classes, Info, StemmaError
from ...data.labelled import Labelled, Part, joined, open_set, open_sets, say
from ...metrics.carried import measured, packed, tightness
from ...ops import softmax_regression as regression
from ...skeletons.protocol import Protocol, Search, set_names
from ..running import checkpoint, devices, prices, progress
from ..running.budget import Budget, Spent
from ..running.clock import Stopwatch, clock
from ..running.ending import Ending
from ..running.runs import Run
from . import features, forecast, heads, training
from .named import Named, begun, named


class Unit(NamedTuple):
    """What is to be done: "source", "path" (a strength of a set), "refit", "trial" (of a search, for `grid` pictures a
    class, 0: all), "final", "grid" (a training of a set), "again" (the best one on training and validation)."""

    kind: str
    set: int = 0
    at: int = 0
    grid: int = 0


def labels_of(one: Labelled, *splits: str) -> np.ndarray:
    """Of some splits, one after the other."""
    return np.concatenate([one.parts[x].labels for x in splits])


def units_of(spec: Protocol, sets: Sequence[Labelled]) -> list[Unit]:
    """The course, in order."""
    out = [Unit("source")] if spec.source is not None else []
    for s in range(len(sets)):
        if isinstance(spec.probe, Search):
            for k in (0, *heads.fewer(spec.probe, labels_of(sets[s], "train", "val"))):
                out += [*(Unit("trial", s, i, k) for i in range(spec.probe.trials)), Unit("final", s, 0, k)]
        else:
            out += [*(Unit("path", s, i) for i in range(spec.probe.count)), Unit("refit", s)]
    for g, grid in enumerate(spec.grids):
        for s in range(min(grid.sets or len(sets), len(sets))):
            if not sets[s].features:
                out += [*(Unit("grid", s, i, g) for i in range(len(grid.points()))), Unit("again", s, 0, g)]
    return out


def info_of(sets: Sequence[Labelled]) -> Info:
    """What a model must know of its data sets; of such whose rows are features also how many numbers these have."""
    wide = tuple(s.features for s in sets)
    names = set_names((s.name, s.classes) for s in sets)
    return Info("+".join(s.name for s in sets), "labelled", Classes(names), ("classes",),
                inputs=tuple((s.name, int(s.many)) for s in sets),
                choices=(*(len(s.classes) for s in sets), *(wide if any(wide) else ())))


class Course:
    """A course in progress: model, results so far, the training at hand; how to go on, save and restore."""

    def __init__(self, run: Run, model: nn.Module, sets: list[Labelled], budget: Budget, seed: int, device: str, *,
                 save_every: Budget | None = None, show: bool = True, wishes: Wishes | None = None) -> None:
        m: Any = model
        self.run, self.model, self.spec, self.recipe = run, m.to(device), m.spec, m.recipe
        self.sets, self.budget, self.seed, self.device, self.save_every = sets, budget, seed, device, save_every
        self.units, self.at = units_of(m.spec, sets), 0
        probe = m.spec.probe
        self.strengths = ([] if isinstance(probe, Search) else
                          regression.path(probe.weakest, probe.strongest, probe.count))
        self.bar, self.clock, self.wishes = (progress.Training(run.path.name, show), Stopwatch(device),
                                             wishes or Wishes())
        self.results: dict[str, Any] = {"source": None, "sets": [
            {"name": s.name, "classes": len(s.classes), "count": {k: len(p) for k, p in s.parts.items()},
             "measure": self.spec.measure_of(s.name, s.many), "path": [], "grids": {}} for s in sets]}
        self.warm: list[Tensor] = []  # the last two strengths' solutions, in principal axes
        self.best: tuple[Tensor, Tensor] | None = None  # the best strength's weights and bias
        self.now: training.Training | None = None
        self.steps, self.images, self.loss, self.saved = 0, 0, float("nan"), Spent()
        self.prices: prices.Prices = {}  # of a step, by what is trained
        self._seen: dict[Any, Any] = {}  # features and principal axes of the set at hand
        self._digest = ""
        self.foreseen: forecast.Forecast | None = None

    @property
    def spent(self) -> Spent:
        return self.clock.spent(self.steps, float(self.at), self.images)

    # ------------------------------------------------------------ the loop

    def go(self) -> None:
        """Go on to the end, or until a signal comes; leave the folder as it should be."""
        with self.wishes.watched():
            ending = Ending(self.wishes, self._save, self._record, self.bar.line,
                            lambda whole: f"at {self.at} of {len(self.units)} parts")
            try:
                with ending.within():
                    while self.at < len(self.units):
                        self.clock.start()
                        over = self._do(self.units[self.at])
                        self.clock.lap()
                        self.at += over
                        self.bar.update(self._done(), self.spent, self.loss)
                        self.wishes.heed()
                        if self.save_every is not None and self.save_every.passed(self.saved, self.spent):
                            self._save()
                    self._write({"kind": "val", "accuracy": self.accuracy("val")})
                    self._save()
                    ending.finished(self.results.get("cut"), prices.mended(self._kept(), self.prices, self.clock))
            finally:
                self.bar.stop()

    def _done(self) -> float:
        """The part of the course that is done: of a budget in seconds and what was foreseen besides, else of units."""
        if self.budget.unit == "seconds" and self.foreseen is not None and self.at < len(self.units):
            return min(self.clock.work / (self.budget.amount + self.foreseen.besides), 0.99)
        return (self.at + (self.now.fraction if self.now is not None else 0.0)) / len(self.units)

    def foresee(self) -> None:
        """Say beforehand what a budget in seconds does not cover."""
        if self.budget.unit == "seconds":
            with self.wishes.anywhere(), torch.random.fork_rng(devices=[]):
                self.foreseen = forecast.of(self.model.network, self.spec, self.sets, self.recipe.batch, self.device)
            if (says := self.foreseen.says(self.budget.amount)) is not None:
                self.bar.line(says)

    def accuracy(self, split: str) -> float:
        """Mean over sets of what was measured with the best strength."""
        found = [s["linear"][split] for s in self.results["sets"] if "linear" in s]
        return float(np.mean(found)) if found else float("nan")

    def _do(self, unit: Unit) -> bool:
        """Whether a unit is over."""
        if unit.kind == "path":
            return self._strength(unit)
        if unit.kind == "refit":
            return self._refit(unit)
        if unit.kind == "trial":
            return self._trial(unit)
        if unit.kind == "final":
            return self._final(unit)
        if self.now is None:
            self.now = self._begun(unit)
        price = self._price(unit)
        self.clock.start()
        work, wall, steps = self.clock.work, self.clock.wall, self.now.steps
        over = self._stretch(self.now, self.now.ahead(price))
        self.clock.lap(None if price is None else price * (self.now.steps - steps))
        self.now.seconds += self.clock.work - work
        self.now.wall += self.clock.wall - wall
        self._on_the_way(unit, self.now)
        if over or self.now.fraction >= self._until(unit):
            self._trained(unit, self.now)
            if (cut := self.now.how.length.cut(self.now.spent)) is not None:
                self.results.setdefault("cut", f"of a training ({self._named(unit)}): {cut}")
            self.now = None
            return True
        return False

    def _on_the_way(self, unit: Unit, now: training.Training) -> None:
        """Measure the last training of a grid at its steps on the way (`Grid.curve`), the others where they may stop
        (`Grid.stops`)."""
        if unit.kind == "grid" and self.spec.grids[unit.grid].stops:
            way, count = self._tuned(unit).setdefault("way", []), self.spec.grids[unit.grid].stops
            if len(way) < count and now.fraction >= (len(way) + 1) / count and np.isfinite(now.loss):
                with self.wishes.anywhere():
                    value = self._measured(unit.set, "val", now.scores(self.sets[unit.set].parts["val"]))
                while len(way) < count and now.fraction >= (len(way) + 1) / count:
                    way.append({"part": (len(way) + 1) / count, "val": value, "steps": now.steps})
        grid = self.spec.grids[unit.grid] if unit.kind == "again" else None
        if grid is None or not grid.curve:
            return
        curve = self.results["sets"][unit.set]["grids"][grid.name].setdefault("curve", [])
        if len(curve) < grid.curve and now.fraction >= 2.0 ** (len(curve) + 1 - grid.curve):
            with self.wishes.anywhere():
                found = self._measured(unit.set, "test", now.scores(self.sets[unit.set].parts["test"]))
            while len(curve) < grid.curve and now.fraction >= 2.0 ** (len(curve) + 1 - grid.curve):
                curve.append({"steps": now.steps, "test": found})

    def _tuned(self, unit: Unit) -> dict[str, Any]:
        """What is known of a grid on a set."""
        said: dict[str, Any] = self.results["sets"][unit.set]["grids"].setdefault(self.spec.grids[unit.grid].name,
                                                                                  {"points": []})
        return said

    def _until(self, unit: Unit) -> float:
        """The part of its length at which a training ends: the last one's may be that of the best before it."""
        best = max(self._tuned(unit)["points"], key=lambda p: float(p["val"])) if unit.kind == "again" else {}
        return float(best.get("part", 1.0))

    def _named(self, unit: Unit) -> str:
        return "source" if unit.kind == "source" else f"{self.spec.grids[unit.grid].name}, {self.sets[unit.set].name}"

    def _price(self, unit: Unit) -> float | None:
        """What a step of a training costs, where its budget is in seconds of processor time: as it was found before,
        else by trying steps of a copy out. None: the clock says it."""
        if self.budget.unit != "seconds" or self.clock.by != "processor":
            return None
        kind = self._named(unit)
        if kind not in self.prices:
            kept = self._kept()
            self.prices |= kept.read() or {}
            if kind not in self.prices:
                with torch.random.fork_rng(devices=[]), self.wishes.anywhere():
                    tried = self._begun(unit, copy.deepcopy(self.model.network))

                    def step() -> float:
                        tried.go(1)
                        return 1.0

                    found = prices.found(step, Stopwatch(self.device, self.clock.threads),
                                         prices.room(tried.how.length.amount))
                self.prices |= kept.write({kind: found})
        return self.prices[kind]

    def _kept(self) -> prices.Kept:
        """Where prices of these networks on these sets are kept."""
        return prices.Kept(checkpoint.describe(self.model) | {
            "sets": [s.digest for s in self.sets], "threads": self.clock.threads, "processor": devices.processor()})

    def _stretch(self, now: training.Training, count: int) -> bool:
        steps, images = now.steps, now.images
        over = now.go(count)
        self.steps, self.images, self.loss = self.steps + now.steps - steps, self.images + now.images - images, now.loss
        return over

    # ------------------------------------------------------------ logistic regression

    def _rows(self, s: int, split: str) -> Tensor:
        """Features of a split, kept while its set is at hand."""
        if ("rows", s, split) not in self._seen:
            if not self._digest:
                self._digest = features.digest_of(self.model.network)
            one = self.sets[s]
            with self.wishes.anywhere():
                found = features.of(self.model.network, self.spec.look, one.parts[split], one.features, self._digest,
                                    self.bar.counting(f"{one.name}, {split}: pictures", len(one.parts[split])))
            self._seen = {k: v for k, v in self._seen.items() if k[1] == s} | {("rows", s, split): found}
        rows: Tensor = self._seen["rows", s, split]
        return rows

    def _axes(self, s: int, whole: bool) -> regression.Turned:
        if ("axes", s, whole) not in self._seen:
            rows = self._rows(s, "train")
            rows = torch.cat([rows, self._rows(s, "val")]) if whole else rows
            with self.wishes.anywhere():
                self._seen["axes", s, whole] = regression.turned(rows.to(self.device))
        axes: regression.Turned = self._seen["axes", s, whole]
        return axes

    def _labels(self, s: int, *splits: str) -> Tensor:
        return torch.from_numpy(labels_of(self.sets[s], *splits)).to(self.device)

    def _answered(self, s: int, scores: np.ndarray) -> None:
        """Keep which pictures of test are told right, so that two networks can be held against one another."""
        labels = self.sets[s].parts["test"].labels
        if labels.ndim == 1:
            said = self.results["sets"][s]
            said["right"] = packed(scores.argmax(1) == labels)
            if said["measure"] == "per-class":
                said["classes_of"] = labels.tolist()

    def _measured(self, s: int, split: str, scores: np.ndarray) -> float:
        return measured(self.results["sets"][s]["measure"], scores, self.sets[s].parts[split].labels)

    def _strength(self, unit: Unit) -> bool:
        """One strength of the path, begun where the two before it point to."""
        s, probe, said = unit.set, self.spec.probe, self.results["sets"][unit.set]
        if unit.at == 0:
            self.warm, self.best = [], None
        rows = self._axes(s, False)
        with self.wishes.anywhere():
            fitted = regression.fit(rows, self._labels(s, "train"), [self.strengths[unit.at]],
                                    len(self.sets[s].classes), regression.ahead(self.warm), tolerance=probe.tolerance,
                                    most=probe.most)
        weight, bias = rows.back(fitted.w[0])
        scores = (self._rows(s, "val").to(weight) @ weight + bias).cpu().numpy()
        value, before = self._measured(s, "val", scores), max((p["val"] for p in said["path"]), default=-1.0)
        said["path"].append({"strength": self.strengths[unit.at], "val": value, "loss": float(fitted.loss),
                             "slope": float(fitted.slope), "iterations": int(fitted.iterations),
                             "converged": bool(fitted.converged)})
        self.warm = [*self.warm[-1:], fitted.w]
        if value > before:
            self.best = weight, bias
        self._write({"kind": "strength", "set": said["name"], **said["path"][-1]})
        return True

    def _refit(self, unit: Unit) -> bool:
        """The best strength on training and validation: the set's classifier."""
        s, said = unit.set, self.results["sets"][unit.set]
        best = max(said["path"], key=lambda p: p["val"])
        assert self.best is not None
        rows = self._axes(s, True)
        with self.wishes.anywhere():
            fitted = regression.fit(rows, self._labels(s, "train", "val"), [best["strength"]],
                                    len(self.sets[s].classes), rows.forth(*self.best)[None],
                                    tolerance=self.spec.probe.tolerance, most=self.spec.probe.most)
        weight, bias = rows.back(fitted.w[0])
        head = self.model.heads[s]
        with torch.no_grad():
            head.weight.copy_(weight.mT), head.bias.copy_(bias)
        scores = (self._rows(s, "test").to(weight) @ weight + bias).cpu().numpy()
        self._answered(s, scores)
        test, labels = self._rows(s, "test"), self.sets[s].parts["test"].labels
        tight = tightness(test.numpy(), labels) if labels.ndim == 1 else float("nan")
        rough = [p["strength"] for p in said["path"] if not p["converged"]]
        said["linear"] = {"strength": best["strength"], "val": best["val"], "test": self._measured(s, "test", scores),
                          "not_converged": len(rough), "tightness": tight if np.isfinite(tight) else None}
        if rough:
            self.bar.line(f"{said['name']}: {len(rough)} of {len(self.strengths)} strengths stopped before their slope "
                          f"was {self.spec.probe.tolerance:g}, from {max(rough):.1e} down")
        self.bar.line(f"{said['name']}: {said['measure']} {said['linear']['test']:.3f} at a strength of "
                      f"{best['strength']:.1e}")
        self._write({"kind": "set", "set": said["name"], **said["linear"]})
        self.warm, self.best, self._seen = [], None, {}
        return True

    # ------------------------------------------------------------ a search

    def _pool(self, s: int) -> Tensor:
        """Unit-length features of what a search learns from: training and validation."""
        if ("pool", s, "") not in self._seen:
            rows = torch.cat([self._rows(s, "train"), self._rows(s, "val")])
            self._seen["pool", s, ""] = nn.functional.normalize(rows, dim=1).to(self.device)
        pool: Tensor = self._seen["pool", s, ""]
        return pool

    def _parted(self, s: int, each: int) -> tuple[np.ndarray, np.ndarray]:
        """(learned from, held out) of the pool, for `each` pictures a class. One picture a class that is held inside is
        held against itself."""
        probe, labels = self.spec.probe, self._labels(s, "train", "val").cpu().numpy()
        own = int(np.random.SeedSequence([self.seed, s]).generate_state(1)[0] >> 1)
        if each and probe.inside:
            some = heads.shots(labels, each, own)
            keep, off = heads.held_out(labels[some], probe.held, own)
            return some[keep], some[off] if len(off) else some[keep]
        keep, off = heads.held_out(labels, probe.held, own)
        return keep[heads.shots(labels[keep], each, own)], off

    def _told(self, unit: Unit) -> dict[str, Any]:
        """Where the trials and the result for a number of pictures a class are kept."""
        said: dict[str, Any] = self.results["sets"][unit.set]
        if not unit.grid:
            return said
        few: dict[str, Any] = said["grids"].setdefault(f"{unit.grid} a class", {"path": []})
        return few

    def _trial(self, unit: Unit) -> bool:
        """One rate and weight decay of the search."""
        s, probe, said = unit.set, self.spec.probe, self._told(unit)
        seed = self._seed(Unit("trial", s, 0, unit.grid))
        keep, off = self._parted(s, unit.grid)
        x, y = self._pool(s), self._labels(s, "train", "val")
        lr, decay = heads.asked(said["path"], probe, seed)
        with self.wishes.anywhere():
            weight, bias = heads.descend(x[keep], y[keep], len(self.sets[s].classes), lr, decay, probe, seed + unit.at)
        finite = bool(torch.isfinite(bias).all())
        scores = (x[off] @ weight.mT + bias).cpu().numpy()
        value = measured(self.results["sets"][s]["measure"], scores, y[off].cpu().numpy()) if finite else 0.0
        said["path"].append({"lr": lr, "decay": decay, "val": value})
        self._write({"kind": "trial", "set": self.sets[s].name, "each": unit.grid, **said["path"][-1]})
        return True

    def _final(self, unit: Unit) -> bool:
        """The best of the search, learned once more: from all of the pool, or from as few pictures, dealt anew from all
        of it unless what was held out came from among them; measured on test."""
        s, probe, said = unit.set, self.spec.probe, self._told(unit)
        best, seed = max(said["path"], key=lambda p: float(p["val"])), self._seed(unit)
        x, y = self._pool(s), self._labels(s, "train", "val")
        keep = np.arange(len(x)) if not unit.grid else self._parted(s, unit.grid)[0] if probe.inside else heads.shots(
            y.cpu().numpy(), unit.grid, seed)
        with self.wishes.anywhere():
            weight, bias = heads.descend(x[keep], y[keep], len(self.sets[s].classes), best["lr"], best["decay"], probe,
                                         seed)
        test = nn.functional.normalize(self._rows(s, "test"), dim=1).to(self.device)
        scores, truth = (test @ weight.mT + bias).cpu(), self._labels(s, "test").cpu()
        found = {"lr": best["lr"], "decay": best["decay"], "val": best["val"], "pictures": len(keep),
                 "test": self._measured(s, "test", scores.numpy())}
        if truth.ndim == 1:
            top = scores.topk(min(5, scores.shape[1])).indices
            found["top5"] = float((top == truth[:, None]).any(1).float().mean())
        if unit.grid:
            said |= found
        else:
            said["linear"] = found
            self._answered(s, scores.numpy())
            head = self.model.heads[s]
            with torch.no_grad():
                head.weight.copy_(weight), head.bias.copy_(bias)
        of = f"{unit.grid} a class" if unit.grid else "all"
        self.bar.line(f"{self.sets[s].name}, {of}: {found['test']:.3f} at a rate of {best['lr']:.2g}")
        if not unit.grid and (rest := sorted(set(probe.shots) - set(heads.fewer(probe, y.cpu().numpy())))):
            self.bar.line(f"{self.sets[s].name}: no class has more than {rest[0]} pictures to learn from; "
                          f"{', '.join(map(str, rest))} a class are all of them, and not searched for again")
        self._write({"kind": "set", "set": self.sets[s].name, "each": unit.grid, **found})
        return True

    # ------------------------------------------------------------ trainings

    def _length(self, times: float, share: float) -> Budget:
        """A training's part of the budget."""
        spec, all_ = self.spec, 0.0
        for u in self.units:
            all_ += spec.source.share if u.kind == "source" else spec.grids[u.grid].share if u.kind in ("grid", "again"
                                                                                                          ) else 0.0
        part = share / all_
        times = part if self.budget.unit == "seconds" else times
        return replace(self.budget, amount=max(self.budget.amount * times, 1e-9),
                       wall=None if self.budget.wall is None else self.budget.wall * part)

    def _seed(self, unit: Unit) -> int:
        return int(np.random.SeedSequence([self.seed, unit.set, unit.at, unit.grid, len(unit.kind)])
                   .generate_state(1)[0] >> 1)

    def _begun(self, unit: Unit, network: nn.Module | None = None) -> training.Training:
        """The training of a unit at its first step; a source's of a `network` in the place of the model's."""
        seed = self._seed(unit)
        torch.manual_seed(seed)
        if unit.kind == "source":
            spec = self.spec.source
            one = source_of(spec.data, self.sets)
            model = training.Tuned(network or self.model.network, len(one.classes),
                                   self.spec.look.size if spec.auxiliary else 0)
            how = training.How(spec.lr, spec.decay, self._length(spec.length, spec.share), 1.0, spec.smoothing,
                               spec.dropout, spec.scale, spec.auxiliary, seed)
            return training.Training(model, self.spec.look, one.parts["train"], self.recipe, how, self.device)
        grid, one = self.spec.grids[unit.grid], self.sets[unit.set]
        lr, decay = self._point(unit)
        network = (copy.deepcopy(self.model.network) if grid.begin == "trained"
                   else copy.deepcopy(self.spec.network).build(_inputs()))
        how = training.How(lr, decay / lr, self._length(grid.length, grid.share), grid.area,
                           scale=self.spec.source is None or self.spec.source.scale, seed=seed)
        part = one.parts["train"] if unit.kind == "grid" else joined(one.parts["train"], one.parts["val"])
        return training.Training(training.Tuned(network, len(one.classes)), self.spec.look, part, self.recipe, how,
                                 self.device)

    def _point(self, unit: Unit) -> tuple[float, float]:
        """(rate, decay) of a training; of the last one those of the best."""
        points: list[tuple[float, float]] = self.spec.grids[unit.grid].points()
        if unit.kind == "grid":
            return points[unit.at]
        said = self.results["sets"][unit.set]["grids"][self.spec.grids[unit.grid].name]
        return points[max(range(len(points)), key=lambda i: float(said["points"][i]["val"]))]

    def _trained(self, unit: Unit, now: training.Training) -> None:
        """What a training that is over has reached."""
        with self.wishes.anywhere():
            if unit.kind == "source":
                one = source_of(self.spec.source.data, self.sets)
                test = measured("top-1", now.scores(one.parts["test"]), one.parts["test"].labels)
                self.results["source"] = {"name": one.name, "test": test, "steps": now.steps,
                                          "count": len(one.parts["test"]), "classes": len(one.classes)}
                self.bar.line(f"{one.name}: top-1 {test:.3f} after {now.steps} steps")
                self._write({"kind": "source", **self.results["source"]})
                self._digest = ""
                return
            one, grid = self.sets[unit.set], self.spec.grids[unit.grid]
            said = self._tuned(unit)
            lr, decay = self._point(unit)
            if unit.kind == "grid":
                value = (self._measured(unit.set, "val", now.scores(one.parts["val"]))
                         if np.isfinite(now.loss) else 0.0)
                way = said.pop("way", ())
                stopped = max(way, key=lambda p: float(p["val"])) if way else {}
                said["points"].append({"lr": lr, "decay": decay, "val": value, "steps": now.steps} | stopped)
                self._write({"kind": "grid", "set": one.name, "grid": grid.name, **said["points"][-1]})
                return
            said |= {"lr": lr, "decay": decay, "steps": now.steps,
                     "test": self._measured(unit.set, "test", now.scores(one.parts["test"]))}
            self.bar.line(f"{one.name}: {grid.name} {said['test']:.3f}")
            self._write({"kind": "tuned", "set": one.name, "grid": grid.name, "test": said["test"]})

    # ------------------------------------------------------------ saving and restoring

    def _write(self, entry: dict[str, Any]) -> None:
        head = {"kind": entry["kind"], "step": self.steps, "images": self.images, "seconds": round(self.clock.work, 3),
                "wall": round(self.clock.wall, 3), "epoch": self.at, "fraction": round(self.at / len(self.units), 4)}
        try:
            self.run.log(head | entry)
        except OSError as error:
            self.bar.trouble(f"cannot write {self.run.path / 'metrics.jsonl'}: {error}; it goes on")

    def _record(self, state: str, **more: Any) -> None:
        value = self.accuracy("val")
        self.run.update(state=state, spent=vars(self.spent), results=self.results,
                        best={"score": None if value != value else value, "step": self.steps, "metric": "accuracy"},
                        images_per_second=self.images / max(self.clock.work, 1e-9),
                        peak_memory_mb=devices.peak_memory_mb(torch.device(self.device)), **more)

    def _save(self) -> None:
        tensors = {f"model/{k}": v for k, v in self.model.state_dict().items()}
        plain: dict[str, Any] | None = None
        if self.now is not None:
            more, plain = self.now.state()
            tensors |= {f"now/{k}": v for k, v in more.items()}
        tensors |= {f"path/warm/{i}": w for i, w in enumerate(self.warm)}
        if self.best is not None:
            tensors |= {"path/weight": self.best[0], "path/bias": self.best[1]}
        meta = {"format": checkpoint.FORMAT, "at": self.at, "results": self.results, "now": plain, "steps": self.steps,
                "images": self.images, **self.clock.kept(), "prices": self.prices, "said": self.run.said}
        checkpoint.save(self.run.path / "last.safetensors", self.model, step=self.steps, results=self.results)
        checkpoint.write_tensors(self.run.path / "state.safetensors", tensors, checkpoint.jsonable(meta))
        self.saved = self.spent

    def restore(self) -> None:
        """Continue from the saved state. Raises `StemmaError` where it does not fit."""
        tensors, meta = checkpoint.read_tensors(self.run.path / "state.safetensors")
        part = lambda head: {k[len(head):]: v.to(self.device) for k, v in tensors.items() if k.startswith(head)}
        self.model.load_state_dict(part("model/"))
        self.at, self.results, self.steps, self.images = meta["at"], meta["results"], meta["steps"], meta["images"]
        self.prices = meta.get("prices", {})
        self.clock.resume(meta)
        kept = part("path/")
        self.warm = [kept[k] for k in sorted(kept) if k.startswith("warm/")]
        self.best = (kept["weight"], kept["bias"]) if "weight" in kept else None
        if meta["now"] is not None:
            self.now = self._begun(self.units[self.at])
            self.now.restore(part("now/"), meta["now"])
        self.saved = self.spent
        self.run.rewind(meta["said"])
        self.bar.line(f"continuing {self.run.path} at {self.at} of {len(self.units)} parts")


def source_of(data: str, sets: Sequence[Labelled]) -> Labelled:
    """The set that a network learns first. "drawn": the concepts that count as seen where they are among the sets, else
    the broad source."""
    named = "drawn:seen" if any(s.name == "seen" for s in sets) else "drawn:source"
    return open_set(named if data == "drawn" else data)


def _inputs() -> Any:
    from ...core.part import In

    return In((3,), (1,))


# ---------------------------------------------------------------- a run


def planned(paper: Any, preset: str, sets: dict[str, Any] | None, info: Info | None,
            start: Any = None) -> tuple[dict[str, Any], dict[str, Tensor] | None, str]:
    """(settings, weights, whose they are) of a protocol: the setting "backbone", and `--start`, as those of a network.
    Raises `StemmaError`."""
    sets = dict(sets or {})
    name = sets.pop("backbone", None)
    found = named(str(name)) if name is not None else None
    weights = found.state if found else None
    said = found.says if found else "random weights"
    settings = (found.sets if found else {}) | sets
    if start is not None:
        if isinstance(start, (list, tuple)):
            raise StemmaError("one file of weights is taken, not several: a protocol carries one network over")
        other = _started(str(getattr(start, "path", start)), settings.get("network.name"))
        settings, weights, said = (found.sets if found else {}) | other.sets | sets, other.state, other.says
    card, spec, recipe = checkpoint.plan(paper, preset, settings, info)
    if weights is None:
        said = "random weights, which " + ("have learned nothing" if spec.source is None else "learn drawn things first"
                                           if spec.source.data == "drawn" else f"learn {spec.source.data} first")
    training.check(recipe)
    return settings, weights, said


def _started(start: str, name: str | None) -> Named:
    """The network that weights are given for; `name`: which, where that was said besides."""
    found = begun(start, name) if name is not None and Path(start).expanduser().is_file() else named(start)
    if found.state is None:
        raise StemmaError(f"{start} is no file of weights")
    return found


def train(
    paper: Any, data: str | Path, budget: str | Budget | None = "60s", preset: str = "small",
    out: str | Path = "runs/run", seed: int = 0, sets: dict[str, Any] | None = None, resume: bool = False, *,
    device: str = "auto", save_every: str | None = "60s", progress: bool = True, start: Any = None,
    wall: str | None = None, val_every: float = 0.2,
) -> Run:
    """Carry a network over to the data sets that `data` names (`data.labelled`) by a protocol, and return its run
    folder; the answers of its course are run.json's `results`.

    budget: of the trainings alone (the path of strengths is always walked whole): "2000steps", "12epochs" or
    "50000images" for each fine-tuning, "10m" shared by all; what looking at pictures takes besides is said beforehand.
    wall: likewise shared by the trainings. None: the published length. sets: settings by path;
    "backbone" names a network (`named`). start: weights of it. val_every has no use: validation is part of the course.
    Raises `StemmaError` as `stemma.engine.pictures.fit.train`.
    """
    if str(data).startswith("env:"):
        raise StemmaError(f"a network is carried over to pictures, not to {data}; name data sets with --data")
    found = open_sets(data)
    if progress:
        say(found)
    info = info_of(found)
    device = devices.pick_device(device)
    settings, weights, says = planned(paper, preset, sets, info, start)
    torch.manual_seed(seed)
    model = checkpoint.build(paper, preset, sets=settings, info=info)
    m: Any = model
    left = m.network.take(weights) if weights is not None else []
    length = Budget.parse(m.recipe.length if budget is None else budget, wall)
    record = {
        **checkpoint.describe(model), "budget": str(length), "wall_limit": length.wall, "clock": clock(device),
        "batch": m.recipe.batch, "seed": seed, "machine": devices.machine(), "processes": 1, "device": device,
        "precision": "fp32", "start": {"says": says, "left": left}, "network": m.network.name,
        "parameters": sum(p.numel() for p in m.network.parameters()),
        "data": {"where": str(data), "format": "labelled", "fingerprint": "+".join(s.digest for s in found),
                 "notes": [f"{s.name}: {n}" for s in found for n in s.notes]},
        "state": "running", "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }
    out, again = Path(out), resume and (Path(out) / "run.json").is_file()
    if again:
        run = Run.open(out)
        old = run.record
        run.hold(record, "paper", "preset", "sets", "seed", "recipe")
        run.hold_data(record)
        if run.state == "finished" and length.over(old):
            return run
        if old["budget"] != str(length):
            raise StemmaError(f"{out} was run with a budget of {old['budget']}, and the trainings of a grid are of one "
                              "length; resume with it, or choose another --out")
    wishes = Wishes()
    with wishes.watched():
        run = Run.open(out) if again else Run.create(out, record)
        with run.guarded():
            goes_on = again and run.take_up()
            course = Course(run, model, found, length, seed, device, show=progress, wishes=wishes,
                            save_every=Budget.parse(save_every) if save_every else None)
            if goes_on:
                course.restore()
            elif progress:
                course.bar.line(f"{m.network.name}: {says}; pictures of {m.spec.look.size} pixels")
                course.foresee()
            course.go()
    return run


def part_of(sets: Sequence[Labelled], split: str) -> list[Part]:
    """A split of each set. Raises `StemmaError` for one that there is not."""
    if split not in ("train", "val", "test"):
        raise StemmaError(f"a set has train, val and test, not '{split}'")
    return [s.parts[split] for s in sets]


__all__ = ["Course", "Unit", "info_of", "part_of", "planned", "train", "units_of"]
