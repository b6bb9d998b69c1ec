"""Progress on a terminal: bars with rate and time left; plain lines where there is no terminal."""
from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        rate = task.fields.get("rate") or 0.0
        return Text(f"{rate:.0f} images/s" if rate >= 10 else f"{rate:.1f} images/s", style="progress.data.speed")


@contextmanager
def counting(what: str, total: int, show: bool = True) -> Iterator[Callable[[int], None] | None]:
    """A bar over `total` pictures; gives a function that is told how many are done. None where nothing is shown."""
    console = Console(stderr=True)
    if not show or not console.is_terminal:
        yield None
        return
    count = TextColumn("{task.completed:.0f}/{task.total:.0f}")
    with Progress(TextColumn("{task.description}"), BarColumn(), count, _Rate(), TimeRemainingColumn(),
                  console=console) as bar:
        task, begin = bar.add_task(what, total=total), time.perf_counter()
        yield lambda done: bar.update(task, completed=done, rate=done / max(time.perf_counter() - begin, 1e-9))


class Training:
    """The bar of a training: fraction of the budget, loss, score, images a second and time left.
    `line` prints beside it."""

    def __init__(self, name: str, show: bool = True):
        self.console = Console(stderr=True, highlight=False)
        self.show = show
        self.bar: Progress | None = None
        if show and self.console.is_terminal:
            self.bar = Progress(
                TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f}%"),
                TextColumn("loss {task.fields[loss]:.3f}"), _Rate(), TimeRemainingColumn(), console=self.console,
            )
            self.task = self.bar.add_task(name, total=1.0, loss=float("nan"), rate=0.0)
            self.bar.start()

    def update(self, fraction: float, images: int, seconds: float, loss: float) -> None:
        if self.bar is not None:
            self.bar.update(self.task, completed=fraction, rate=images / max(seconds, 1e-9), loss=loss)

    def line(self, text: str) -> None:
        """Say one line, unless progress is off."""
        if self.show:
            with suppress(OSError):  # a terminal that is gone takes no work with it
                (self.bar.console if self.bar is not None else self.console).print(text, markup=False, soft_wrap=True)
                sys.stderr.flush()

    def stop(self) -> None:
        if self.bar is not None:
            with suppress(OSError):
                self.bar.stop()
