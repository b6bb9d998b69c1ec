"""The command `stemma`. A user's mistake gets one line on stderr and exit status 2; `--debug` shows where it arose."""
from __future__ import annotations

import os
import shlex
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Annotated, Any

import typer
from rich.markup import escape
from typer.core import TyperGroup

from ..core import interrupts, memory
from ..core.interrupts import Interrupted
from ..core.sentence import teller
from . import reading, working
from .screen import err, started


class Stopped(Exception):
    """A command was told to end by the signal of which `wish` knows."""

    def __init__(self, wish: Interrupted) -> None:
        super().__init__(str(wish))
        self.wish = wish


class Commands(TyperGroup):
    """All commands. What interrupts one is handed on as it is: typer alone would make of every signal an exit with 130,
    or 1."""

    def make_context(self, *args: Any, **more: Any) -> Any:
        with _told():
            return super().make_context(*args, **more)

    def invoke(self, ctx: Any) -> Any:
        with _told():
            return super().invoke(ctx)


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt as error:
        raise Stopped(interrupts.of(error)) from error


app = typer.Typer(
    name="stemma",
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

EXAMPLES = """[bold]Begin here[/]
  [cyan]stemma list[/]                                        the papers there are
  [cyan]stemma doctor MY_FOLDER[/]                            faults in a data set
  [cyan]stemma train fpn --data scenes --budget 60s[/]        train one
  [cyan]stemma compare fpn ssd --data scenes --budget 60s[/]  train several, one report
  [cyan]stemma COMMAND --help[/]                              more of these"""


def _version(asked: bool) -> None:
    if asked:
        from .. import __version__

        typer.echo(f"stemma {__version__}")
        raise typer.Exit


@app.callback(epilog=EXAMPLES)
def _top(
    version: Annotated[bool, typer.Option("--version", help="Print the version and stop.", is_eager=True,
                                          callback=_version)] = False,
    debug: Annotated[bool,
                     typer.Option("--debug", help="Show where an error arose. Goes anywhere on the line.")] = False,
) -> None:
    """A reading list of papers that runs, most of them of vision: each is trained, measured and compared under one
    budget."""


reading.register(app)
working.register(app)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line `argv` (default: this process's). Ends by `SystemExit` with the exit status.

    Ctrl-C, SIGTERM and SIGHUP end a command where its state is whole, with how to go on, and with the status 130,
    143 or 129.
    """
    args = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in args
    args = [a for a in args if a != "--debug"]
    for stream in (sys.stdout, sys.stderr):  # a file's name need be no text, nor a screen know every letter
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        with interrupts.raised(), warnings.catch_warnings():
            if not debug:
                warnings.showwarning = teller(
                    lambda text: err.print(f"[yellow]note:[/] {escape(text)}", soft_wrap=True))
            code = app(args, prog_name="stemma", standalone_mode=False)
    except (Stopped, KeyboardInterrupt) as error:
        wish = error.wish if isinstance(error, Stopped) else interrupts.of(error)
        if argv is None:  # this process is the command, and what it has started goes with it
            interrupts.end_children()
        with suppress(OSError):  # the terminal may be gone
            _say_how_to_go_on(args)
        raise SystemExit(wish.status) from None
    except Exception as error:
        if hasattr(error, "format_message"):
            raise SystemExit(_usage(error)) from None
        if memory.full(error) and not debug and not hasattr(error, "code"):
            err.print("[bold red]error:[/] there is not enough memory for this; smaller batches, pictures or tiles "
                      "take less (--batch, --size, --tile, where the command's --help has them)", soft_wrap=True)
            raise SystemExit(2) from None
        types = sys.modules.get("stemma.core.samples")
        if debug or types is None or not isinstance(error, types.StemmaError):
            raise
        err.print(f"[bold red]error:[/] {_plain(str(error))}", soft_wrap=True)
        raise SystemExit(error.code) from None
    raise SystemExit(code if isinstance(code, int) else 0)


# commands that go on where they were stopped, and what is said to them
RESUMES = {"train": ("--resume",), "compare": ()}


def _say_how_to_go_on(args: list[str]) -> None:
    """One line: the command as it was typed, with what makes it go on.
    Of several processes that train together the first says it."""
    if int(os.environ.get("RANK", "0")):
        return
    command = next((a for a in args if not a.startswith("-")), "")
    if command not in RESUMES:
        err.print("stopped; nothing was left half-written", soft_wrap=True)
        return
    more = [w for w in RESUMES[command] if w not in args]
    err.print(f"stopped; resume with: {escape(shlex.join([*started(), *args, *more]))}", soft_wrap=True)


def _usage(error: Any) -> int:
    """A command line that cannot be read, in one line; the exit status. Without a message, help was printed."""
    said = _plain(error.format_message())
    if said:
        path = error.ctx.command_path if getattr(error, "ctx", None) is not None else "stemma"
        err.print(f"[bold red]error:[/] {said[0].lower()}{said[1:].rstrip('.')} (see `{path} --help`)", soft_wrap=True)
    return int(error.exit_code)


def _plain(text: str) -> str:
    return escape(" ".join(text.split()))


__all__ = ["app", "main"]
