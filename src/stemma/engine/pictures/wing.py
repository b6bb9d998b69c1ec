"""What the wing of pictures offers to the common commands (`engine.wings`)."""
from __future__ import annotations

import warnings
from functools import partial
from pathlib import Path
from typing import Any

from ...core import paper as papers
from ...core.types import StemmaError
from ...data.open import absolute, held_out, suited
from ...data.packing import needed
from ...data.proposals import images_file
from ...data.subset import spread
from ..running import checkpoint
from ..wings import Asked, Ready
from . import TASKS, begin, outside, results, starts
from .export import export
from .fit import train
from .measure import evaluate
from .predict import predict
from .starts import weights
from .tasks import check_kinds
from .trial import CURVE, UNTRAINED, latency, trial

SCORES = results.MAINS
ABOUT = "learns from pictures with truth"
INSTEAD: dict[str, str] = {}


def prepare(asked: Asked) -> Ready:
    """Open the data once, as all the systems read them, and hold every system's settings against them.
    Raises `StemmaError`."""
    where, format, told = asked.data, asked.options["format"], asked.options["data_options"]
    tasks = {ident: papers.get(name).task_of(p) for ident, (name, p) in asked.systems.items()}
    if len({str(suited(where, task, format, told)) for task in tasks.values()}) > 1:
        raise StemmaError(f"{where} holds annotations of several kinds in files of their own, and "
                          f"{' and '.join(tasks)} read different ones; compare apart")
    held = held_out(where, format, asked.options["limit"], next(iter(tasks.values())), told)
    info, wish = held.train.info, begin.Wish.of(asked.options["size"], asked.options["upright"])
    cards = {ident: (papers.get(name), preset, asked.sets(name)) for ident, (name, preset) in asked.systems.items()}
    chosen = begin.kept(asked.kept) if asked.kept is not None else begin.choose(cards.values(), held.train, wish)
    gained = {ident: begin.settings(*system, wish, chosen) for ident, system in cards.items()}
    for ident, (_, _, sets) in cards.items():
        built = starts.built_for(sets | gained[ident], asked.options.get("start"))
        gained[ident] |= {k: v for k, v in built.items() if k == "backbone"}
    recipes = []
    for ident, (card, preset, sets) in cards.items():
        _, _, recipe = checkpoint.plan(card, preset, sets | gained[ident], info)
        if left := begin.left_behind(card, preset, sets, info):
            warnings.warn(left, stacklevel=2)
        check_kinds(card, preset, info, where)
        recipes.append(recipe)

    def compute() -> None:
        for recipe in recipes:
            for part in (held.train, spread(held.val, CURVE), held.measured):
                outside.fill(outside.with_proposals(part, recipe), show=asked.show)

    def collect(folder: Path, jobs: list[Any], errors: dict[str, str], about: dict[str, Any]) -> dict[str, Any]:
        return results.collect(folder, jobs, errors, about, held.measured)

    said: dict[str, Any] = {
        "name": info.name, "where": where, "train": len(held.train), "val": len(held.val), "split": held.split,
        "measured": len(held.measured), "whole": held.whole, "untrained": min(UNTRAINED, len(held.measured)),
        "curve": min(CURVE, len(held.val)), "fingerprint": held.train.fingerprint,
    }
    begun = chosen.as_dict() if chosen is not None else None
    named = [str(Path(r.proposals.file).resolve()) for r in recipes if r.proposals.kind == "file"]
    named += [str(beside) for n in named if (beside := images_file(n)).is_file()]
    files = tuple(dict.fromkeys([*map(str, needed(where, format)), *named]))
    begins = starts.shared(asked.options.get("start") or [], {
        ident: partial(checkpoint.build, card, preset, sets=sets | gained[ident], info=info)
        for ident, (card, preset, sets) in cards.items()})
    prints = dict.fromkeys(part.fingerprint for part in (held.train, held.val, held.measured))
    return Ready(where, absolute(where), {"data": said | {"begin": begun}}, collect, compute, begun, gained, files,
                 begins, fingerprint="+".join(prints))


__all__ = ["ABOUT", "INSTEAD", "SCORES", "TASKS", "evaluate", "export", "latency",
           "predict", "prepare", "train", "trial", "weights"]
