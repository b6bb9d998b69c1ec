"""What the wing of worlds offers to the common commands (`engine.wings`)."""
from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn

from ...core.types import StemmaError
from ...data.worlds import envs
from ..running import checkpoint
from ..running.runs import Run
from ..wings import Asked, Ready
from . import TASKS, agents, lives, results
from .agents import train
from .lives import trial

SCORES = ("return",)
ABOUT = "lives in a world"
INSTEAD = {
    "batch": "say --set recipe.batch={value} (and recipe.life.then.N.batch where a stage has its own)",
    "data_options": "options of how pictures are read have no use",
    "images": "leave the pictures out: it films what it foresees",
}


def evaluate(
    model: nn.Module | Run | str | Path, data: Any = None, *, limit: int | None = None, which: str = "best",
    device: str = "auto", workers: int = 0, progress: bool = False,
) -> dict[str, Any]:
    """Returns over `limit` episodes (20) in the world that `data` names, or the model's own, beside those of chance
    (`lives.evaluate`)."""
    return lives.evaluate(model, data, episodes=limit or 20, which=which, device=device, workers=workers)


def predict(
    model: nn.Module | Run | str | Path, what: Any = None, out: str | Path | None = None, *, data: Any = None,
    which: str = "best", device: str = "auto", progress: bool = False,
) -> dict[str, Any]:
    """Films of what the model foresees, in the folder `out` (`lives.film`). Raises `StemmaError` for pictures, which it
    does not look at."""
    if what:
        raise StemmaError(f"an agent looks at no pictures of yours ({what}); {INSTEAD['images']}")
    return lives.film(model, out or "predictions", data, which=which, device=device)


def export(model: nn.Module | Run | str | Path, *given: Any, **options: Any) -> dict[str, Any]:
    """Raises `StemmaError`: a policy with memory is no one graph of a picture."""
    raise StemmaError(f"{checkpoint.card_of(model).cli_name} {ABOUT} and keeps a memory of it from step to step; there "
                      "is no graph of pictures to export")


def prepare(asked: Asked) -> Ready:
    """Look for the world and hold every agent's settings against it. Raises `StemmaError`."""
    for option in ("size", "upright"):
        if asked.options.get(option):
            raise StemmaError(f"'{option}' means nothing here: an agent {ABOUT}; leave it out")
    name = agents.name_of(asked.data)
    envs.need(envs.get(name).package, name)
    for paper, preset in asked.systems.values():
        checkpoint.plan(paper, preset, asked.sets(paper), envs.info_of(name))
    world = {"env": name, "world": envs.get(name).about, "law": envs.get(name).law}
    return Ready(f"env:{name}", f"env:{name}", world, results.collect)


__all__ = ["ABOUT", "INSTEAD", "SCORES", "TASKS", "evaluate", "export",
           "predict", "prepare", "train", "trial"]
