"""A wing is a kind of work: finding in pictures, living in a world, and what comes.
Common commands ask the wing and never name one.

A wing is a package beside this file with a module `wing`; its `TASKS` say which cards are its own. So the file system
is the list of wings, and a new one changes nothing here: it brings `engine/NAME/wing.py`,
`report/NAME.py` and `cli/NAME.py`.
"""
from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, cast

from ..core import paper as papers
from ..core.nearest import preset_of
from ..core.paper import Paper
from ..core.types import StemmaError, at_least, is_seed
from .homes import head_of, homes, lies_in, name_of
from .running import checkpoint
from .running.budget import Budget
from .running.devices import need_compiler, pick_device, pick_precision
from .running.runs import Run


@dataclass(frozen=True)
class Asked:
    """What a comparison is asked: which systems, {"mask-rcnn:c4": (paper, preset)}, on which data,
    and `options` of the command."""

    systems: dict[str, tuple[str, str]]
    data: str
    sets: Callable[[str], dict[str, Any]]  # the settings meant for one paper
    options: dict[str, Any] = field(default_factory=dict)
    show: bool = False  # whether progress may be shown
    kept: dict[str, Any] | None = None  # what the folder's compare.json holds, where the comparison was begun before
    networks: dict[str, str] = field(default_factory=dict)  # of systems that are a network by a paper's protocol


@dataclass(frozen=True)
class Ready:
    """A comparison that can begin: its data under a name that other processes understand, what is to be said of them,
    and what is left to do before the first training (`compute`) and after the last (`collect`: folder, jobs, errors,
    about -> results.json)."""

    data: str
    place: str
    about: dict[str, Any]
    collect: Callable[[Path, list[Any], dict[str, str], dict[str, Any]], dict[str, Any]]
    compute: Callable[[], None] = lambda: None
    begin: dict[str, Any] | None = None  # what was chosen for all, kept in compare.json; `says` is told before training
    sets: dict[str, dict[str, Any]] = field(default_factory=dict)  # settings that systems gain by it
    files: tuple[str, ...] = ()  # folders and files that every machine needs which trains
    starts: dict[str, list[str]] = field(default_factory=dict)  # files of weights that systems begin from
    told: dict[str, Any] = field(default_factory=dict)  # what every training is told besides, in `Job.told`
    fingerprint: str = ""  # of the files of the data: a comparison goes on with the same alone


class Wing(Protocol):
    """What a wing offers: a module with these names. Options that a function does not know are refused by `call`."""

    TASKS: tuple[str, ...]
    SCORES: tuple[str, ...]  # the numbers of a validation that progress shows: the first that is there
    ABOUT: str  # what its systems do, after a system's name: "lives in a world"
    INSTEAD: dict[str, str]  # option of another wing -> what to say instead

    train: Callable[..., Run]
    evaluate: Callable[..., dict[str, Any]]
    predict: Callable[..., Any]
    export: Callable[..., dict[str, Any]]
    prepare: Callable[[Asked], Ready]
    trial: Callable[..., dict[str, Any]]
    # What not every wing has: GUESTS, tasks of other wings whose systems it compares with its own (it trains them by
    # `train` of this module and measures them itself; what `Ready.told` holds comes back in `Job.told`);
    # latency(folders, data, format, device) -> how long an answer takes, where comparisons
    # tell it. Beside this module a wing may have `first` (`homes.first_command`).
    # Where a system may be a network by a paper's protocol, `PAPER@NETWORK`, it offers besides NETWORKS = True,
    # label(network) -> what it is called, and stands_for(word) -> "PAPER@NETWORK", or None.


def wing_of(task: str) -> Wing:
    """The wing of a card's task."""
    return named(name_of(task))


def named(name: str) -> Wing:
    """The wing of a name."""
    return cast(Wing, importlib.import_module(f"{__package__}.{name}.wing"))


def together(systems: Iterable[tuple[Paper, str]]) -> str:
    """The name of the one wing of several systems, each a card and a preset: theirs, or the one that has all the others
    as guests. Raises `StemmaError` where there is none."""
    by_name: dict[str, Paper] = {}
    tasks: dict[str, set[str]] = {}
    for card, preset in systems:
        name = name_of(card.task_of(preset))
        by_name.setdefault(name, card)
        tasks.setdefault(name, set()).add(card.task_of(preset))
    hosts = [name for name in by_name if all(of <= set(getattr(named(name), "GUESTS", ()))
                                             for other, of in tasks.items() if other != name)]
    if len(hosts) != 1:
        (one, a), (other, b) = list(by_name.items())[:2]
        raise StemmaError(f"{a.cli_name} is of {one} and {b.cli_name} of {other}: they have no common measure; compare "
                          "them apart")
    return hosts[0]


def call(function: Callable[..., Any], card: Paper, *given: Any, **options: Any) -> Any:
    """Call a wing's function with the options that it knows. Raises `StemmaError` for another one that says
    something."""
    wing, known = wing_of(card.task), inspect.signature(function).parameters
    at_least(1, limit=options.get("limit"), batch=options.get("batch"))
    at_least(0, workers=options.get("workers"), patience=options.get("patience"))
    said, whatever = {}, any(p.kind is p.VAR_KEYWORD for p in known.values())
    for name, value in options.items():
        if name in known or whatever:
            said[name] = value
        elif value:
            instead = wing.INSTEAD.get(name, "leave it out").format(value=value)
            raise StemmaError(f"'{name}' means nothing here: {card.cli_name} {wing.ABOUT}; {instead}")
    if said.get("device") or said.get("precision"):  # wrong ones are told before data are opened
        pick_precision(pick_device(said.get("device") or "auto"), said.get("precision") or "fp32")
    return function(*given, **said)


def check_sets(card: Paper, sets: dict[str, Any] | None) -> None:
    """Raises `StemmaError` for a setting of the recipe that a card's wing does not read."""
    unread = head_of(name_of(card.task)).UNREAD
    for path in sets or ():
        if path.startswith("recipe.") and lies_in(path.removeprefix("recipe."), unread):
            raise StemmaError(f"'{path}' means nothing here: {card.cli_name} {wing_of(card.task).ABOUT}; leave it out")


def stands_for(name: str) -> str | None:
    """The system that a word stands for which is no paper's name: what the first wing that knows it says (a network,
    "PAPER@NETWORK"); None where none does."""
    for task in {name: task for task, name in homes().items()}.values():
        asked = getattr(wing_of(task), "stands_for", None)
        if asked is not None and (found := asked(name)) is not None:
            return str(found)
    return None


# ---------------------------------------------------------------- the commands, whatever the wing


def train(
    paper: str | Paper, data: Any, budget: Any = "60s", preset: str = "small", out: str | Path = "runs/run",
    seed: int = 0, sets: dict[str, Any] | None = None, resume: bool = False, **options: Any,
) -> Run:
    """Train a paper's system and return its run folder.

    data: a folder or file, "scenes", or "env:NAME" for an agent. budget: "90s", "2m", "2000steps", "12epochs",
    "50000images"; None: the
    published length. sets: settings by path, {"head.width": 128, "recipe.lr": 0.01}.
    resume: continue the run in `out`, exactly.
    options: those of the wing: `engine.pictures.fit.train`, `engine.worlds.agents.train`.
    Raises `StemmaError` for one that is not.
    """
    card = papers.get(paper) if isinstance(paper, str) else paper
    is_seed(seed)  # what is said wrongly is told before data are opened
    if not resume:
        preset_of(card, preset)
    if budget is not None:
        Budget.parse(budget, options.get("wall"))
    check_sets(card, sets)
    if options.get("compile"):
        need_compiler(options.get("device") or "auto")
    run: Run = call(wing_of(card.task).train, card, card, data, budget, preset, out, seed, sets, resume, **options)
    return run


def evaluate(model: Any, data: Any = None, **options: Any) -> dict[str, Any]:
    """Measure a model, run, run's folder or weights file on `data`; options and answer are the wing's
    (`engine.pictures.measure.evaluate`, `engine.worlds.lives.evaluate`)."""
    card = checkpoint.card_of(model, options.get("which") or "best")
    result: dict[str, Any] = call(wing_of(card.task).evaluate, card, model, data, **options)
    return result


def predict(model: Any, what: Any = None, out: str | Path | None = None, **options: Any) -> Any:
    """What a model answers: for pictures (`engine.pictures.predict.predict`), or of a world
    (`engine.worlds.lives.film`)."""
    card = checkpoint.card_of(model, options.get("which") or "best")
    return call(wing_of(card.task).predict, card, model, what, out, **options)


def export(model: Any, *given: Any, **options: Any) -> dict[str, Any]:
    """Write a model for other runtimes, as its wing does (`engine.pictures.export.export`)."""
    card = checkpoint.card_of(model, options.get("which") or "best")
    result: dict[str, Any] = call(wing_of(card.task).export, card, model, *given, **options)
    return result


def weights(card: Paper, preset: str, sets: dict[str, Any] | None = None) -> dict[str, Any]:
    """What a preset begins from: its wing's `weights`; where it has none, nothing but random numbers."""
    check_sets(card, sets)
    checkpoint.plan(card, preset, sets)
    asked = getattr(wing_of(card.task), "weights", None)
    found: dict[str, Any] = asked(card, preset, sets) if asked is not None else {
        "paper": card.cli_name, "preset": preset, "begins": card.begins or "random weights", "backbones": [],
        "asleep": 0, "classifiers": [], "from_scratch": {}}
    return found


__all__ = ["Asked", "Ready", "Wing", "call", "check_sets", "evaluate", "export", "name_of",
           "named", "predict", "stands_for", "together", "train", "weights", "wing_of"]
