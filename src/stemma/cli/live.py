"""The board of a comparison while it runs: one line a training, on a terminal; elsewhere plain lines of what changed,
and of how far all are where nothing did for a while."""
from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from rich.live import Live
from rich.table import Table
from rich.text import Text

from .screen import err

QUIET = 10.0  # seconds after which a line is due where there is no terminal
if TYPE_CHECKING:
    from ..engine.comparing.compare import State

LOOK = {"waiting": "dim", "training": "cyan", "measuring": "blue", "done": "green", "kept": "green",
        "failed": "bold red"}


def _far(s: State) -> str:
    """How far a training is, and the last numbers that it said."""
    learns = s.status == "training"
    said = [f"{100 * s.fraction:.0f} %", str(s.spent)] if learns and (s.spent.steps or s.fraction) else [s.status]
    said += [f"loss {s.loss:.3f}"] if learns and s.loss is not None else []
    said += [f"last {s.last}"] if s.last else []
    return f"{s.job.id}: {', '.join(said)}"


class Board:
    """Shows states that `compare` hands to `show`, with a bar for each and the time that is left."""

    def __init__(self, budget: str, quiet: bool = False):
        self.budget, self.quiet = budget, quiet
        self.begin = self.told = time.monotonic()
        self.seen: dict[str, str] = {}
        self.live: Live | None = (Live(console=err, refresh_per_second=2, transient=True) if err.is_terminal
                                  and not quiet else None)

    def __enter__(self) -> Board:
        if self.live is not None:
            self.live.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self.stop()

    def stop(self) -> None:
        if self.live is not None:
            with suppress(OSError):  # the terminal may be gone
                self.live.stop()

    def say(self, line: str) -> None:
        """Print a line above the board."""
        if not self.quiet:
            (self.live.console if self.live is not None else err).print(line, markup=False, soft_wrap=True)

    def show(self, states: list[State]) -> None:
        """Draw the states anew, or say which changed."""
        if self.quiet:
            return
        if self.live is not None:
            self.live.update(self._table(states))
            return
        for s in states:
            if self.seen.get(s.job.id) != s.status:
                self.seen[s.job.id] = s.status
                if s.status != "waiting":
                    said = (f"{s.job.id}: {s.status}" + (f" {s.last}" if s.last else "")
                            + (f": {s.error}" if s.error else ""))
                    self._line(said)
        if time.monotonic() - self.told >= QUIET:
            at_work = [_far(s) for s in states if s.status in ("training", "measuring")]
            waiting = sum(s.status == "waiting" for s in states)
            self._line("; ".join([*at_work, *([f"{waiting} waiting"] if waiting else [])]))

    def _line(self, text: str) -> None:
        self.told = time.monotonic()
        with suppress(OSError):  # the terminal may be gone
            err.print(f"{self.told - self.begin:5.0f} s  {text}", markup=False, soft_wrap=True)

    def _table(self, states: list[State]) -> Table:
        t = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
        for name in ("training", "", f"of {self.budget}", "time", "score", ""):
            t.add_column(name, justify="right" if name == "score" else "left")
        for s in states:
            full = round(24 * s.fraction)
            bar = Text("━" * full, style=LOOK[s.status]) + Text("━" * (24 - full), style="bright_black")
            t.add_row(s.job.id, bar, f"{100 * s.fraction:3.0f} %", str(s.spent) if s.spent.steps else "", s.last,
                      Text(s.error[:60] or s.status, style=LOOK[s.status]))
        t.add_row(Text(self._left(states), style="dim"))
        return t

    def _left(self, states: list[State]) -> str:
        spent = time.monotonic() - self.begin
        work = [s for s in states if s.status != "kept"]
        done = sum(1.0 if s.status in ("done", "failed") else 0.97 * s.fraction for s in work)
        if done < 0.02 * len(work):
            return f"{spent:.0f} s"
        left = spent * (len(work) - done) / done
        return (f"{spent:.0f} s, about {left:.0f} s left" if left < 120 else f"{spent:.0f} s, about "
                f"{left / 60:.0f} min left")
