"""What the engine's tests share: small scenes, a short training, and weights as bytes."""
from __future__ import annotations

import functools
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from stemma.core.types import Batch, Targets
from stemma.data.scenes import Scenes
from stemma.engine.pictures.trainer import Trainer
from stemma.engine.running.runs import Run
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
    step, reached = Trainer._step, [0]

    def one(self: Trainer, *a: Any) -> None:
        if self.steps > reached[-1]:
            raise Killed
        step(self, *a)

    monkeypatch.setattr(Trainer, "_step", one)
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
