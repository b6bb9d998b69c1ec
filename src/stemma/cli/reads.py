"""The options of the data readers, on every command that reads data."""
from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Annotated, Any, get_type_hints

import typer

from ..data.options import OPTIONS

_PANEL = "How the data is read"


def reads_data(command: Callable[..., Any]) -> Callable[..., Any]:
    """`command` with an option for each of the readers' (`data.options`); those that are given reach it as the dict
    `data_options`."""
    @functools.wraps(command)
    def run(**given: Any) -> Any:
        found = {o.name: given.pop(o.name) for o in OPTIONS}
        given["data_options"] = {k: v for k, v in found.items() if v is not None and v != []}
        return command(**given)

    hints = get_type_hints(command, include_extras=True)
    own = [p.replace(annotation=hints.get(p.name, p.annotation)) for p in inspect.signature(command).parameters.values()
           if p.name != "data_options"]
    more = []
    for o in OPTIONS:
        kind = (list[str] if o.several else str if o.value else bool) | None
        info = typer.Option(o.flags, help=o.help, rich_help_panel=_PANEL, metavar=o.value or None)
        more.append(inspect.Parameter(o.name, inspect.Parameter.KEYWORD_ONLY, default=None,
                                      annotation=Annotated[kind, info]))
    run.__signature__ = inspect.Signature([*own, *more])  # type: ignore[attr-defined]
    run.__annotations__ = {p.name: p.annotation for p in [*own, *more]}
    del run.__wrapped__
    return run


__all__ = ["reads_data"]
