"""What the engine's tests share: small scenes, a short training, and weights as bytes."""
from __future__ import annotations

import functools
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from stemma.core.types import Batch, Targets
from stemma.data.scenes import Scenes
from stemma.engine.running.runs import Run
from stemma.engine.running.training import Training
from stemma.engine.wings import train

SETS: dict[str, Any] = {"recipe.resize.size": 64, "recipe.precision": "fp32"}
ROOT = Path(__file__).resolve().parents[1]


def scenes(count: int = 24, split: str = "train", size: int = 64) -> Any:
    return Scenes(count, size, split=split).cache()


def short(out: Path, budget: str = "6steps", paper: str = "retinanet", data: Any = None, val: Any = None,
          **more: Any) -> Run:
    """A training of a few steps on small scenes."""
    sets = SETS | ({"rule.score": 0.001} if paper == "retinanet" else {}) | more.pop("sets", {})
    settings: dict[str, Any] = {"batch": 4, "device": "cpu", "progress": False, "val_every": 0.5} | more
    return train(paper, data if data is not None else scenes(), budget, out=out, sets=sets,
                 val=val if val is not None else scenes(6, "val"), **settings)


class Killed(BaseException):
    """What stands for a kill."""


def alone_and_in_pieces(folder: Path, monkeypatch: pytest.MonkeyPatch, kills: int, **settings: Any) -> tuple[Run, Run]:
    """A training left alone, and the same as if killed after each of its first `kills` steps: every step is computed by
    a trainer that came fresh from the disk."""
    alone = short(folder / "alone", **settings)
    step, reached = Training._step, [0]

    def one(self: Training, *a: Any) -> None:
        if self.steps > reached[-1]:
            raise Killed
        step(self, *a)

    monkeypatch.setattr(Training, "_step", one)
    for k in range(kills):
        reached.append(k)
        with pytest.raises(Killed):
            short(folder / "pieces", resume=True, **settings)
    monkeypatch.undo()
    return alone, short(folder / "pieces", resume=True, **settings)


def drawn_batch(boxes: Tensor) -> Batch:
    """Two pictures of 128 pixels with bright rectangles at `boxes` (2, 2, 4), of the classes 0 and 2, and 1 alone."""
    g = torch.Generator().manual_seed(1)
    y, x = torch.arange(128)[:, None], torch.arange(128)
    images = 0.2 * torch.rand(2, 3, 128, 128, generator=g)
    for i, p in enumerate(boxes):
        for k in p:
            images[i, :, (y >= k[1]) & (y < k[3]) & (x >= k[0]) & (x < k[2])] += 0.6
    sizes = torch.full((2, 2), 128.0)
    return Batch(images, Targets(boxes, torch.tensor([[0, 2], [1, -1]])), sizes, sizes, torch.arange(2))


@functools.cache
def noisy_batch(images: int = 2) -> Batch:
    """Pictures of noise of 128 pixels with three objects of four classes each."""
    torch.manual_seed(3)
    low = torch.rand(images, 3, 2) * 60
    boxes = torch.cat([low, low + 20 + torch.rand(images, 3, 2) * 40], -1)
    size = torch.full((images, 2), 128.0)
    return Batch(torch.rand(images, 3, 128, 128), Targets(boxes, torch.randint(0, 4, (images, 3))), size, size,
                 torch.arange(images))


def thrown_alike(models: Sequence[Any], batch: dict[str, Tensor], name: str) -> tuple[list[Tensor], Any, Any]:
    """(that loss of each model of a world, the last one's posteriors and priors), every time from the same draws."""
    losses = []
    for m in models:
        torch.manual_seed(0)
        losses.append(m.loss(batch, f"^{name}$")[name])
    torch.manual_seed(0)
    last = models[-1]
    return losses, *last.dynamics.observe(last.encode(batch), batch["action"], batch["first"])


def script(code: str, *args: str, wait: bool = True, env: dict[str, str] | None = None) -> subprocess.Popen[str]:
    """Python in a process of its own that can import the tests."""
    paths = os.pathsep.join([str(ROOT / "src"), str(ROOT / "tests")])
    settings = os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"} | (env or {})
    process = subprocess.Popen([sys.executable, "-c", code, *args], env=settings, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True)
    if wait:
        out, err = process.communicate(timeout=900)
        assert process.returncode == 0, err
    return process


def told_in_one_line(words: Sequence[str], why: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A command with a user's mistake ends with status 2 and says why, without a traceback."""
    from stemma.cli import main

    with pytest.raises(SystemExit) as stop:
        main(list(words))
    said = capsys.readouterr().err
    assert stop.value.code == 2 and why in said.replace("\n", " ") and "Traceback" not in said


def lived_in_pieces(live: Callable[[], Run], folder: Path, monkeypatch: pytest.MonkeyPatch, begin: int = -1,
                    tries: int = 60) -> tuple[Run | None, list[int]]:
    """A life that is struck before each unit after the `begin`-th, and again after each episode was written but before
    it was counted, and lives on each time. The run, None where it was not over after so many tries; the episodes."""
    from stemma.data.worlds.replay import Replay
    from stemma.engine.worlds import agents

    unit, add, done, at, run = agents.Agent._unit, Replay.add, list[int](), [begin], None

    def one(self: agents.Agent, stage: Any) -> None:
        if self.tick > at[0]:
            raise Killed
        unit(self, stage)

    def written(self: Replay, number: int, lived: Any, write: bool = True) -> None:
        if write and number not in done:
            done.append(number)
            self.write(number, lived)
            raise Killed
        add(self, number, lived, write)

    monkeypatch.setattr(agents.Agent, "_unit", one)
    monkeypatch.setattr(Replay, "add", written)
    for _ in range(tries):
        try:
            run = live()
            break
        except Killed:
            at[0] += 1
            Run.open(folder).update(state="running")
    monkeypatch.undo()
    return run, done


def carried_in_pieces(carry: Callable[[], Run], kills: Sequence[int], monkeypatch: pytest.MonkeyPatch) -> Run:
    """A course of a protocol that is struck before each of these units (counted over all its lives), and goes on."""
    from stemma.engine.transfer import course

    done, count, rest = course.Course._do, [0], iter(kills)
    until = [next(rest)]

    def some(self: Any, unit: Any) -> bool:
        if count[0] == until[0]:
            self._save()
            until[0] = next(rest, -1)
            raise Killed
        count[0] += 1
        return done(self, unit)

    monkeypatch.setattr(course.Course, "_do", some)
    for _ in kills:
        with pytest.raises(Killed):
            carry()
    return carry()


def thirty_steps(model: Any, batch: Batch) -> list[float]:
    """Losses of thirty steps on one batch."""
    optimizer, seen = torch.optim.AdamW(model.parameters(), 2e-3), list[float]()
    for _ in range(30):
        loss = torch.stack(list(model.loss(batch).values())).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        seen.append(loss.item())
    return seen
