"""Every preset trains: steps of each phase of its own recipe from weights as large as ImageNet's, stopped and resumed
inside each, and a prediction at the end.

`-m whole`, and so CI, takes the first small preset of each paper; `-m slow` takes all others, and `benchmarks/presets.py`
makes a table of it.
"""
from __future__ import annotations

import hashlib
import json
import math
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import stemma
from pretend import pretend
from stemma.core import paper as cards
from stemma.core.paper import Paper
from stemma.core.part import edit, leaves
from stemma.data.scenes import Scenes
from stemma.engine.pictures.fit import train
from stemma.engine.pictures.trainer import Trainer
from stemma.engine.running import devices, optim, schedule

VISION = [n for n in cards.names() if cards.get(n).task in ("detection", "instances", "keypoints", "semantic",
                                                            "panoptic", "proposals", "weak", "amodal")]
EVERY = [(n, p) for n in VISION for p in cards.get(n).presets]
# steps of the shortest phase of a small preset; the box loss of R-FCN's second look doubles in its first twenty, while
# the first begins to find objects for it, and the whole falls below its beginning after thirty
LONGER = {"overfeat": 12, "dcr": 20, "relation_networks": 40, "repulsion_loss": 40, "r_fcn": 60}
# of a published one: one layer on all the numbers of a region, without a warm-up, leaps before it falls
LEAPS = {"noc:naive": 80, "attractionet:regression": 24, "faster_rcnn:alternating": 16}
# windows of 231 pixels, of which one alone is on a drawn thing that nearly fills the picture; and four numbers, which say
# nothing of a thing that is two cells large that the mean of all does not say
LEAST = {"overfeat": 256, "attractionet:regression": 256}
LARGE: dict[str, Any] = {"objects": (1, 1), "sizes": (0.75, 0.95)}
# windows that a net looks at one by one, in an answer or in a step: published, four pictures take a processor hours
FEWER: dict[str, dict[str, Any]] = {"attractionet": {"seeds.count": 300}, "amodal_instance": {"modal.rule.keep": 20},
                                    "dcr:fpn": {"draw.count": 8, "post.0.keep": 20},
                                    "attractionet:regression": {"seeds.count": 48, "sample.count": 16}}
SIZES = (96, 128, 160, 192, 224, 256, 300, 320, 384, 448, 512)  # pixels, the first that a preset can have
STEPS, MORE, PASS = 4, 12, 2  # steps of the shortest phase; of a small preset of one phase; pictures of a step
WIDE, NARROW = 2048, 256  # fully connected layers of so many numbers have fewer here: their weights are most of a net's


def small(preset: str) -> bool:
    return preset.endswith(("small", "pretrained"))


def least(name: str, preset: str) -> int:
    return LEAST.get(f"{name}:{preset}", LEAST.get(name, 0))


def size_of(card: Paper, preset: str) -> int:
    """The least size that a preset's own rules take."""
    if small(preset):
        return card.recipe(preset).resize.size
    for size in SIZES:
        if size < least(card.name, preset):
            continue
        try:
            card.at(card.spec(preset), card.recipe(preset), size)
        except stemma.StemmaError:
            continue
        return size
    raise AssertionError(f"{card.cli_name} takes none of {SIZES}")


def narrowed(spec: Any) -> dict[str, Any]:
    """The settings that make a system's fully connected layers narrow."""
    def less(v: Any) -> Any:
        return tuple(map(less, v)) if isinstance(v, tuple) else NARROW if v >= WIDE else v

    wide = {k: v for k, v in leaves(spec) if k.rpartition(".")[2] in ("width", "widths", "fc", "hidden", "boxes")
            and not isinstance(v, bool)}
    return {k: less(v) for k, v in wide.items() if less(v) != v}


def digest(tensors: dict[str, Tensor]) -> str:
    found = hashlib.sha256()
    for k in sorted(tensors):
        found.update(k.encode() + tensors[k].detach().cpu().contiguous().numpy().tobytes())
    return found.hexdigest()


class Course:
    """What is seen of a training from outside: the loss of one batch where each phase begins and as it is now; and the
    hand that stops it once inside every phase."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.losses: dict[int, list[float]] = {}  # phase -> at its first step, at its last
        self.stopped: set[int] = set()  # phases in which it was stopped
        self.saved: str | None = None  # what the state was that was saved last: a phase without gradient is begun anew
        self.resumed = 0
        enter, pulse, step, save, restore = (Trainer._enter_phase, Trainer._pulse, Trainer._step, Trainer._save,
                                             Trainer.restore)

        def entering(t: Any, fraction: float) -> None:
            enter(t, fraction)
            if t.phase not in self.losses:
                self.losses[t.phase] = [self.loss(t), math.nan]

        def stepping(t: Any, batches: Any, fraction: float) -> None:
            step(t, batches, fraction)
            self.losses[t.phase][1] = self.loss(t)

        def pulsing(t: Any) -> tuple[float, bool]:
            fraction, due = pulse(t)
            if self.inside(t, fraction):
                self.stopped.add(self.phase(t, fraction))
                t.wishes.number = int(signal.SIGINT)
            return fraction, due

        def saving(t: Any, final: bool = False) -> None:
            save(t, final)
            self.saved = digest(self.state(t))

        def restoring(t: Any) -> None:
            restore(t)
            assert digest(self.state(t)) == self.saved, "what was restored is not what was saved"
            self.resumed += 1

        for name, way in (("_enter_phase", entering), ("_step", stepping), ("_pulse", pulsing), ("_save", saving),
                          ("restore", restoring)):
            monkeypatch.setattr(Trainer, name, way)

    def phase(self, t: Any, fraction: float) -> int:
        return min(t._phase(fraction), len(t.recipe.phases) - 1) if t.recipe.phases else -1

    def inside(self, t: Any, fraction: float) -> bool:
        """Whether a training is in the middle of a phase in which it was not stopped."""
        now = self.phase(t, fraction)
        if now in self.stopped or fraction >= 1:
            return False
        begin, end = schedule.span(t.recipe.phases, now) if t.recipe.phases else (0.0, 1.0)
        return begin < fraction < end and t.steps > 0

    def state(self, t: Any) -> dict[str, Tensor]:
        memory, _ = optim.optimizer_state(t.optimizer)
        averages = {} if t.ema is None else {f"ema/{k}": v for k, v in t.ema.state().items()}
        return {f"model/{k}": v for k, v in t.model.state_dict().items()} | averages | memory

    @torch.no_grad()
    def loss(self, t: Any) -> float:
        """Of the first batch, drawn alike, in training; statistics that it moves are put back."""
        before, dice = {k: v.clone() for k, v in t.model.named_buffers()}, torch.get_rng_state()
        devices.seed_step(5, 0, 0)
        t.model.train()
        total = sum(float(v) for v in t._losses(next(iter(t.loader.epoch(0)))).values())
        for k, v in t.model.named_buffers():
            v.copy_(before[k])
        torch.set_rng_state(dice)
        return total


def through(name: str, preset: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Take a preset through its phases, stopped and resumed inside each; a row of the table of presets."""
    card = cards.get(name)
    size, recipe = size_of(card, preset), card.recipe(preset)
    sets: dict[str, Any] = {"recipe.precision": "fp32"}
    if not small(preset):
        sets |= {"size": size} | narrowed(card.spec(preset)) | FEWER.get(name, {}) | FEWER.get(f"{name}:{preset}", {})
    if recipe.proposals.kind != "none":  # boxes near the truth and far from it; outside sources have tests of their own
        sets |= {"recipe.proposals.kind": "jitter", "recipe.proposals.count": 48}
    things = LARGE if least(name, preset) and not small(preset) else {}
    data = Scenes(4, min(size, 160), seed=3, split="train", **things).cache()
    shares = [p.share for p in recipe.phases if not p.run] or [1.0]
    for i, p in enumerate(recipe.phases):  # a method whose published share is no step of so short a training has one
        if p.run and p.share < min(shares) and not small(preset):
            recipe = edit(recipe, f"phases.{i}.share", min(shares))
            sets[f"recipe.phases.{i}.share"] = min(shares)
    model = stemma.build(name, preset=preset, sets=sets, info=data.info)
    if not small(preset):
        pretend(model)
    phases = recipe.phases
    steps = (LONGER.get(name, MORE if not phases else STEPS) if small(preset)
             else LEAPS.get(f"{name}:{preset}", STEPS))
    budget = math.ceil(steps * (sum(p.share for p in phases) or 1.0) / min(shares)) + PASS
    course = Course(monkeypatch)
    how: dict[str, Any] = {"preset": preset, "out": folder / "run", "sets": sets, "batch": PASS, "device": "cpu",
                           "val": data, "val_every": 0, "save_every": None, "progress": False, "size": "preset",
                           "upright": "preset", "start": model}
    for again in range(len(phases) + 2):
        try:
            run = train(name, data, f"{budget}steps", resume=again > 0, **how)
            break
        except KeyboardInterrupt:
            how["start"] = None
    last = next(iter(run.metrics("val")))
    assert run.state == "finished" and run.load("last") is not None and last["val_images"] == len(data)
    assert course.resumed == len(course.stopped) == max(1, len(phases))
    losses = {phases[i].name if i >= 0 else "": v for i, v in course.losses.items()}
    return {"preset": f"{card.cli_name}:{preset}", "pixels": size, "steps": run.record["spent"]["steps"],
            "phases": len(phases) or 1, "resumed": course.resumed, "losses": losses}


def cases() -> Iterator[Any]:
    """Every preset; slow but for the first small one of a paper, which is a whole life in little."""
    light = {n: next((p for p in cards.get(n).presets if small(p)), "") for n in VISION}
    for name, preset in EVERY:
        yield pytest.param(name, preset, marks=pytest.mark.whole if preset == light[name] else pytest.mark.slow)


@pytest.mark.parametrize("name,preset", list(cases()))
def test_a_preset_trains_through_all_its_phases(name: str, preset: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                record_property: Callable[[str, Any], None]) -> None:
    row = through(name, preset, tmp_path, monkeypatch)
    record_property("row", json.dumps(row))
    assert row["losses"], "no phase learned by gradient"
    for phase, (first, last) in row["losses"].items():
        assert math.isfinite(first) and math.isfinite(last) and 0 < last < first, (phase, first, last)
