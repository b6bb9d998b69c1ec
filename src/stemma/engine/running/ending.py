"""How work with a folder ends: done, told to end, or failed; the folder says which, and what continues it."""
from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from ...core.interrupts import Interrupted, Wishes, of
from ...core.types import StemmaError
from . import prices


@dataclass(frozen=True)
class Ending:
    """`save()` writes the state, `record(state, **more)` the word for it in run.json, `line` tells the user. `left`:
    where the work stands, from whether its state was whole: "at step 12"."""

    wishes: Wishes
    save: Callable[[], None]
    record: Callable[..., None]
    line: Callable[[str], None]
    left: Callable[[bool], str]

    @contextmanager
    def within(self) -> Iterator[None]:
        """Whatever ends the work within, its folder is left as it should be, and the error goes on. What failed while a
        wish waited failed by what took its children: it is the wish that is raised."""
        try:
            yield
        except KeyboardInterrupt as wish:
            self._stop(of(wish))
            raise
        except BaseException as error:
            if self.wishes.number:
                self._stop(Interrupted(self.wishes.number), error)
                raise Interrupted(self.wishes.number) from error
            with suppress(StemmaError):  # a full disk must not hide what happened
                self.record("failed", error=f"{type(error).__name__}: {error}")
            raise

    def finished(self, cut: str | None, mended: float | None = None) -> None:
        """The work is done. `cut`: what ended it before its budget was used, None for nothing. `mended`: the part of
        what was counted that it took, where that was clearly less (`prices.mended`), which is said."""
        for line in prices.told(mended):
            self.line(line)
        self.record("finished", ended=time.strftime("%Y-%m-%dT%H:%M:%S%z"), cut=cut, mended=mended)
        if cut:
            self.line(cut)

    def _stop(self, wish: Interrupted, error: BaseException | None = None) -> None:
        """In the midst of a unit of work, what was saved last is what continues."""
        try:
            if wish.whole:
                self.save()
        finally:
            why = f": {type(error).__name__}: {error}" if error is not None else ""
            self.record("stopped", error="interrupted" + why)
        self.line(f"stopped {self.left(wish.whole)}; the same command with --resume continues")
