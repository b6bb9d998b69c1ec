"""Progress on a terminal: bars with rate and time left; where there is none, plain lines,
and never long without one."""
from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from .budget import Spent

X = TypeVar("X")
QUIET = 10.0  # seconds after which a line is due where there is no terminal

class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        rate = task.fields.get("rate") or 0.0
        return Text(f"{rate:.0f} images/s" if rate >= 10 else f"{rate:.1f} images/s", style="progress.data.speed")


@contextmanager
def counting(what: str, total: int, show: bool = True,
             rate: bool = True) -> Iterator[Callable[[int], None] | None]:
    """A bar over `total` pictures, or lines now and then; gives a function that is told how many are done. None where
    nothing is shown. rate: how many pictures a second."""
    console = Console(stderr=True)
    if not show:
        yield None
        return
    if not console.is_terminal:
        due = Due()
        yield lambda done: console.print(f"{what}: {done} of {total}", markup=False, soft_wrap=True) if due() else None
        return
    count = TextColumn("{task.completed:.0f}/{task.total:.0f}")
    with Progress(TextColumn("{task.description}"), BarColumn(), count, *([_Rate()] if rate else []),
                  TimeRemainingColumn(), console=console) as bar:
        task, begin = bar.add_task(what, total=total), time.perf_counter()
        yield lambda done: bar.update(task, completed=done, rate=done / max(time.perf_counter() - begin, 1e-9))


def going(items: Iterable[X], what: str) -> Iterator[X]:
    """The items one after the other, while a bar or lines say how many are done."""
    every = list(items)
    with counting(what, len(every), rate=False) as tell:
        for done, item in enumerate(every, 1):
            yield item
            if tell is not None:
                tell(done)


class Due:
    """Says whether a line is due: nothing was said for a while."""

    def __init__(self) -> None:
        self.said = time.monotonic()

    def __call__(self) -> bool:
        late = time.monotonic() - self.said >= QUIET
        if late:
            self.said = time.monotonic()
        return late


class Training:
    """The bar of a training: fraction of the budget, loss, score, images a second, time spent and left.
    `line` prints beside it."""

    def __init__(self, name: str, show: bool = True):
        self.console = Console(stderr=True, highlight=False)
        self.name, self.show, self.due = name, show, Due()
        self.bar: Progress | None = None
        if show and self.console.is_terminal:
            self.bar = Progress(
                TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f}%"),
                TextColumn("{task.fields[loss]}"),
                _Rate(), TextColumn("{task.fields[spent]}"), TimeRemainingColumn(), console=self.console,
            )
            self.task = self.bar.add_task(name, total=1.0, loss="", rate=0.0, spent=Spent())
            self.bar.start()

    def update(self, fraction: float, spent: Spent, loss: float) -> None:
        """Show how far it is. Without a terminal, as a line, where there was none for a while."""
        said = f"loss {loss:.3f}" if loss == loss else ""
        if self.bar is not None:
            self.bar.update(self.task, completed=fraction, rate=spent.images / max(spent.seconds, 1e-9),
                            loss=said, spent=spent)
        elif self.show and self.due():
            self.line(f"{self.name}: {100 * fraction:.0f} %, {spent}" + f", {said}" * bool(said))

    def line(self, text: str) -> None:
        """Say one line, unless progress is off."""
        if self.show:
            with suppress(OSError):  # a terminal that is gone takes no work with it
                (self.bar.console if self.bar is not None else self.console).print(text, markup=False, soft_wrap=True)
                sys.stderr.flush()
            self.due = Due()

    def trouble(self, text: str) -> None:
        """Say what went wrong though the training goes on; as a warning where progress is off,
        for it must not be lost."""
        if self.show:
            self.line(text)
        else:
            warnings.warn(text, stacklevel=2)

    def counting(self, what: str, total: int) -> Callable[[int], None] | None:
        """Of what is done between two steps: lines now and then, where there is no terminal."""
        if self.bar is not None or not self.show:
            return None
        return lambda done: self.line(f"{self.name}: {what} {done} of {total}") if self.due() else None

    def stop(self) -> None:
        if self.bar is not None:
            with suppress(OSError):
                self.bar.stop()
