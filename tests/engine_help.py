"""What the engine's tests share: small scenes, a short training, and weights as bytes."""
from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from stemma.data.scenes import Scenes
from stemma.engine.pictures.fit import train
from stemma.engine.running.runs import Run

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
