"""Options that commands gain from elsewhere: those of the data readers, and those that one wing alone has."""
from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, get_type_hints

import typer

from ..data.options import OPTIONS

_PANEL = "How the data is read"


def gathers(command: Callable[..., Any], into: str, more: dict[str, Any]) -> Callable[..., Any]:
    """`command` with the options `more`, name -> annotation; those that are given reach it as the dict `into`."""
    @functools.wraps(command)
    def run(**given: Any) -> Any:
        found = {name: given.pop(name) for name in more}
        given[into] = {k: v for k, v in found.items() if v is not None and v != []}
        return command(**given)

    hints = get_type_hints(command, include_extras=True)
    own = [p.replace(annotation=hints.get(p.name, p.annotation)) for p in inspect.signature(command).parameters.values()
           if p.name != into]
    every = [*own, *(inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)
                     for name, annotation in more.items())]
    run.__signature__ = inspect.Signature(every)  # type: ignore[attr-defined]
    run.__annotations__ = {p.name: p.annotation for p in every}
    del run.__wrapped__
    return run


def reads_data(command: Callable[..., Any]) -> Callable[..., Any]:
    """`command` with an option for each of the readers' (`data.options`), which reach it as `data_options`."""
    def kind(o: Any) -> Any:
        return (list[str] if o.several else str if o.value else bool) | None

    return gathers(command, "data_options", {o.name: Annotated[kind(o), typer.Option(
        o.flags, help=o.help, rich_help_panel=_PANEL, metavar=o.value or None)] for o in OPTIONS})


def asks_wings(command: Callable[..., Any]) -> Callable[..., Any]:
    """`command` with the options that wings have of their own: `OPTIONS` of `cli/WING.py`, command -> name ->
    annotation, which reach it as `own`. A wing that has none of that name refuses it (`engine.wings.call`)."""
    more: dict[str, Any] = {}
    for options in of_wings("OPTIONS"):
        more |= options.get(command.__name__, {})
    return gathers(command, "own", more)


def of_wings(name: str) -> Iterator[Any]:
    """What each wing's file of this folder says under a name; such files load nothing heavy."""
    here = Path(__file__).parent
    for wing in sorted(p.parent.name for p in here.parent.glob("engine/*/wing.py")):
        if (here / f"{wing}.py").is_file():
            yield getattr(import_module(f".{wing}", __package__), name, {})


def known(paper: str, preset: str = "paper") -> str:
    """A preset's name as the paper's card writes it. Raises `StemmaError` for a name that no paper has, or a preset
    that this one has not, before torch is loaded."""
    from ..core.nearest import paper_key, preset_of
    from ..report.cards import cards, names

    key = paper_key(paper, names())
    return preset_of(next(c for c in cards() if c.name == key), preset)


def is_there(run: str, which: str) -> None:
    """Raises `StemmaError` for a run that has no weights, before torch is loaded."""
    from ..engine.running.places import there

    there(run, which)


def is_split(name: str, data: str, format: str | None, options: dict[str, Any] | None) -> bool:
    """Whether data have a split of that name; true where they cannot be opened, which is told where they are."""
    from ..core.samples import StemmaError
    from ..data.open import splits

    try:
        return name in splits(data, format, **(options or {}))
    except StemmaError:
        return True


def look_first(systems: Sequence[str], *data: str | None, format: str | None = None, networks: bool = False) -> None:
    """Raises what is wrong with the names of systems and with each of `data` before torch is loaded: what
    `engine/WING/first.py` says, where the papers' wing has one. Such a wing's systems are papers; in others a name may
    be a network's, and with `networks` one that stands alone may."""
    from ..core.nearest import NoPaper, paper_key
    from ..report.cards import cards

    of = {c.name: c.task for c in cards()}
    tasks: list[str] = []
    strange: NoPaper | None = None
    for word in systems:
        try:
            tasks.append(of[paper_key(word.partition(":")[0].partition("@")[0], of)])
        except NoPaper as error:
            strange = strange or error
    if strange is not None and not networks and not tasks and len(systems) == 1 and ":" not in systems[0]:
        raise strange
    first = _first(tasks)
    if first is None:
        return
    if strange is not None:
        if strange.near and not (networks and getattr(first, "NETWORKS", False)):
            raise strange
        return  # no paper's name is near: it may be a network's, which loads torch to be told
    for one in data:
        if one:
            first.look(one, format, tasks)


def look_again(run: str, which: str, data: str | None = None, format: str | None = None,
               images: Any = None) -> None:
    """As `look_first`, of a run: its weights, and the data or pictures that it is asked about."""
    is_there(run, which)
    from ..engine.running.places import told
    from ..report.cards import cards

    paper, _ = told(run, which)
    card = next((c for c in cards() if c.name == paper), None)
    first = None if card is None else _first([card.task])
    if first is None or card is None:
        return
    if data:
        first.look(data, format, [card.task], run)
    if images and hasattr(first, "pictures"):
        first.pictures(images)


def _first(tasks: Sequence[str]) -> ModuleType | None:
    """`engine/WING/first.py` of the wing of these tasks; None where it has none."""
    for wing in sorted(p.parent.name for p in Path(__file__).parent.parent.glob("engine/*/first.py")):
        own = import_module(f"..engine.{wing}", __package__).TASKS
        if tasks and all(t in own for t in tasks):
            return import_module(f"..engine.{wing}.first", __package__)
    return None


__all__ = ["asks_wings", "gathers", "is_split", "is_there", "known", "look_again", "look_first", "of_wings",
           "reads_data"]
