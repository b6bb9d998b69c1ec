"""`train`: from a paper's name and a data set to a finished run folder."""
from __future__ import annotations

import time
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ...core import paper as papers
from ...core.interrupts import Wishes
from ...core.paper import Paper
from ...core.types import DataError, Dataset, StemmaError, at_least
from ...data.named import named_as
from ...data.open import absolute, open_pair, spread, suited
from ...data.subset import read_at
from ..running import checkpoint
from ..running.budget import Budget
from ..running.clock import clock
from ..running.devices import machine, make_fabric, precision_of
from ..running.runs import Run, begun_at
from ..running.training import Plan
from . import begin, starts
from .measured import measured
from .reading import kept_as, reading
from .tasks import check_kinds
from .trainer import Trainer


def train(
    paper: str | Paper, data: str | Path | Dataset, budget: str | Budget | None = "60s", preset: str = "small",
    out: str | Path = "runs/run", seed: int = 0, sets: dict[str, Any] | None = None, resume: bool = False, *, val: str
    | Path | Dataset | None = None, format: str | None = None, device: str = "auto", precision: str | None = None,
    batch: int | None = None, val_every: float = 0.2, val_images: int | None = 256, save_every: str | None = "60s",
    patience: int = 0, workers: int = 0, deterministic: bool = False, compile: bool = False, sync_bn: bool = False,
    start: str | Path | nn.Module | list[str] | None = None, log_every: int = 0, progress: bool = True,
    data_options: dict[str, Any] | None = None, proposals: str | None = None, wall: str | None = None,
    size: int | str | None = None, upright: bool | str | None = None,
) -> Run:
    """Train a paper on a data set and return its run folder.

    budget:     "90s", "2m", "2000steps", "12epochs", "50000images" (see `Budget`); None: as many images as the recipe
                was published with
    sets:       settings by path, {"head.width": 128, "recipe.lr": 0.01}
    resume:     continue the run in `out` from its saved state, exactly; begin anew where there is none
    val:        a split's name, or another data set, to validate on; None: the data's "val" split
    precision:  "auto", "fp32", "bf16", "fp16"; None: the recipe's
    batch:      images a step, over all processes; the learning rate follows it. None: the recipe's. One that a GPU's
                memory cannot take is taken in parts, as with recipe.accumulate
    val_every:  fraction of the budget between validations (loss and metric, on `val_images` pictures);
                0: at the end alone
    save_every: how often the state for an exact resume is saved: "60s", "500steps", None
    patience:   stop after so many validations without a better score; 0: never
    start:      weights to begin from: a run, a weights file or a model, of which tensors of another shape are left as
                they are; or a backbone's state dict as other libraries write it (`starts`), or a list of these
    log_every:  steps between lines of metrics.jsonl; 0: about 200 lines a run
    data_options: what `open_dataset` takes besides: images, which, maps, names, ...
    size:       pixels, as the paper's card says what a size means (`stemma show`); "preset": as the preset has it;
                None or "auto": the presets for two cores take one from the training pictures (`begin`), the others keep
                theirs
    upright:    "yes": pictures are mirrored left to right alone, "no": turned and mirrored in all ways; "preset" and
                "auto" as above
    proposals:  another source of boxes than the recipe's, or a file of them, for a system that takes them from outside
    wall:       "1h": the most time by the clock that training may take, whatever the budget;
                run.json says where it ran out ("cut")

    Under `torchrun` every process trains its share of each batch. Ctrl-C and SIGTERM save the state, then raise
    `KeyboardInterrupt`. Raises `StemmaError` for wrong settings, data that do not fit the paper, a loss that is NaN
    (naming the pictures), a full disk.
    """
    if not 0 <= val_every <= 1:
        raise StemmaError(f"val_every is a fraction of the budget, 0 to 1, not {val_every}")
    at_least(1, batch=batch)
    at_least(0, workers=workers, patience=patience)
    card = papers.get(paper) if isinstance(paper, str) else paper
    if isinstance(data, str) and data.startswith("env:"):
        raise StemmaError(f"{card.cli_name} learns from pictures with truth; name them with --data (environments are "
                          "for agents, `stemma list --task world`)")
    asked_format = format
    format, told = reading(out if resume else None, data, format, data_options)
    format, options = suited(data, card.task_of(preset), format, told)
    train_set, val_set = open_pair(data, val, format, **options)
    val_set = named_as(read_at(val_set, train_set.info.white), train_set.info, card.task_of(preset),
                       "the validation data")
    where = str(data) if isinstance(data, (str, Path)) else data.info.name
    if not len(train_set):
        raise DataError(where, "the training split holds no pictures", "Add pictures, or name another split")
    info = train_set.info
    sets = starts.built_for(sets, start)
    sets = sets if proposals is None else {**(sets or {}), "proposals": proposals}
    old = Run.open(out).record if resume and (Path(out) / "run.json").is_file() else None
    sets, chosen = begin.settled(card, preset, sets, train_set, begin.Wish.of(size, upright), old)
    card, spec, recipe = checkpoint.plan(paper, preset, sets, info)
    check_kinds(card, preset, info, where)
    found = measured(card, spec, recipe, train_set, sets, Path(out) if resume else None)
    sets = {**(sets or {}), **found} if found else sets
    if left := begin.left_behind(card, preset, sets, info):
        warnings.warn(left, stacklevel=2)
    if precision is None and old is not None:
        precision = old["precision"]
    fabric = make_fabric(device, precision or recipe.precision, unused=bool(recipe.phases))
    together = recipe.batch if batch is None else batch
    if together % (fabric.world_size * recipe.accumulate):
        raise StemmaError(f"a batch of {together} cannot be shared by {fabric.world_size} processes x "
                          f"{recipe.accumulate} parts; choose a multiple")
    length = (Budget.parse(recipe.length, wall).for_batch(recipe.batch, together) if budget is None
              else Budget.parse(budget, wall))

    torch.manual_seed(seed)
    if fabric.device.type == "cuda":
        torch.backends.cudnn.benchmark = not deterministic and recipe.resize.kind in ("square", "letterbox")
    model = checkpoint.build(card, preset, sets=sets, info=info)
    checkpoint.check_classes(model, val_set.info, "the validation data")
    begun = starts.all_of(model, start)
    if old is None or not (Path(out) / "state.safetensors").is_file():
        starts.sound(model, begun)
    record: dict[str, Any] = {
        **checkpoint.describe(model), "budget": str(length), "wall_limit": length.wall,
        "clock": clock(str(fabric.device)),
        "batch": together, "seed": seed, "machine": machine(), "processes": fabric.world_size,
        "device": str(fabric.device), "precision": precision_of(fabric), "start": begun and begun.as_dict(),
        "parameters": sum(p.numel() for p in model.parameters()),
        "data": {"where": where, "format": info.format, "fingerprint": train_set.fingerprint, "images": len(train_set),
                 "val_images": len(val_set), "val_fingerprint": val_set.fingerprint, "white": info.white,
                 **({"at": absolute(data)} if isinstance(data, (str, Path)) else {}),
                 **kept_as(data, asked_format, told)},
        "measured": found, "begin": chosen and chosen.as_dict(), "state": "running",
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }
    wishes = Wishes()
    with wishes.watched():  # from here on the folder says that a training runs
        run, again = begun_at(out, record, resume, fabric)
        if again and run.state == "finished" and length.over(run.record):
            return run
        plan = Plan(length, together, seed, val_every, Budget.parse(save_every) if save_every else None, patience,
                    workers, compile, sync_bn, log_every, progress, deterministic)
        with run.guarded():
            trainer = Trainer(run, fabric, model, train_set, spread(val_set, val_images), plan, wishes)
            if chosen is not None:
                trainer.bar.line(chosen.says)
            if begun is not None and not again:
                trainer.bar.line(begun.says)
            if again and fabric.is_global_zero:
                run.take_up(budget=str(length), wall_limit=length.wall)
            if again and run.saved:
                trainer.restore()
            trainer.fit()
        return run


__all__ = ["train"]
