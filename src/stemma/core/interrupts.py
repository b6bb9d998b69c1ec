"""Ctrl-C, SIGTERM and SIGHUP are wishes: work ends where its state is whole, its children end with it,
and the status says why.

    with raised():                 a command: a wish is the exception `Interrupted`, at once
        ...
        wishes = Wishes()
        with wishes.watched():     within it, work with a state: a wish waits ...
            while True:
                unit()
                wishes.heed()      ... until the work asks for it, between two units
                with wishes.anywhere():
                    look()         or is heeded at once, where nothing of the state is changed

Only the main thread hears signals; elsewhere these do nothing. A SIGHUP that is ignored (`nohup`) stays ignored.
"""
from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

from .sentence import teller

TOLD = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
# seconds within which a second Ctrl-C is the first one, sent twice: by the terminal and by a program between
SAME = 1.0


class Interrupted(KeyboardInterrupt):
    """A signal wished that work ends. `number` is the signal. `whole`: it was heeded where the work's state is worth
    saving."""

    def __init__(self, number: int = signal.SIGINT, whole: bool = False) -> None:
        super().__init__(signal.Signals(number).name)
        self.number, self.whole = int(number), whole

    @property
    def status(self) -> int:
        """What a process that ended by it returns: 130 for Ctrl-C, 143 for SIGTERM, 129 for SIGHUP."""
        return 128 + self.number


def of(error: KeyboardInterrupt) -> Interrupted:
    """Any `KeyboardInterrupt` as one of ours: Python's own is a Ctrl-C."""
    return error if isinstance(error, Interrupted) else Interrupted()


class Wishes:
    """What the signals wished while work went on: `number` is the first signal, 0 for none."""

    def __init__(self) -> None:
        self.number, self.since, self.now = 0, 0.0, False

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """Within it signals are noted for `heed`; a second Ctrl-C raises `Interrupted` at once. One that nobody heeded
        is raised at the end."""
        with _handled(self._note):
            yield
        self.heed()

    def heed(self) -> None:
        """Raise `Interrupted` where a signal came: the state is whole here."""
        if self.number:
            raise Interrupted(self.number, whole=True)

    @contextlib.contextmanager
    def anywhere(self, here: bool = True) -> Iterator[None]:
        """Within it (and `here`) a signal is heeded at once: nothing that is saved changes meanwhile."""
        if not here:
            yield
            return
        self.now = True
        try:
            self.heed()
            yield
        finally:
            self.now = False

    def _note(self, number: int, frame: Any) -> None:
        again = self.number and number == signal.SIGINT and time.monotonic() - self.since > SAME
        if not self.number:
            self.number, self.since = number, time.monotonic()
        if self.now or again:
            now, self.now = self.now, False
            raise Interrupted(self.number, whole=now)


@contextlib.contextmanager
def raised() -> Iterator[None]:
    """Within it each of the signals raises `Interrupted` where the program is."""
    def stop(number: int, frame: Any) -> NoReturn:
        raise Interrupted(number)

    with _handled(stop):
        yield


@contextlib.contextmanager
def _handled(handler: Callable[[int, Any], None]) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    nohup = getattr(signal, "SIGHUP", None)
    heard = [s for s in TOLD if s != nohup or signal.getsignal(s) != signal.SIG_IGN]
    before = {s: signal.signal(s, handler) for s in heard}
    try:
        yield
    finally:
        for s, old in before.items():
            signal.signal(s, signal.SIG_DFL if old is None else old)


def command(main: Callable[[], object]) -> NoReturn:
    """Run a program's `main`. Told to end, it leaves no children, says so in a line,
    and the status is that of the signal; a user's mistake is a line, and 2; a warning is a line."""
    from .samples import StemmaError

    try:
        with raised(), warnings.catch_warnings():
            warnings.showwarning = teller(lambda text: print(f"note: {text}", file=sys.stderr))
            main()
    except StemmaError as error:
        end_children()
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(error.code) from None
    except KeyboardInterrupt as error:
        end_children()
        with contextlib.suppress(OSError):  # the terminal may be gone
            print("stopped; nothing was left half-written", file=sys.stderr)
        raise SystemExit(of(error).status) from None
    raise SystemExit(0)


# ---------------------------------------------------------------- children


@contextlib.contextmanager
def shielded(*heard: int) -> Iterator[None]:
    """Processes and threads that are started within it never hear the signals, but for those `heard`: of a terminal's
    Ctrl-C the parent alone learns, and ends them.

    Those that come meanwhile are delivered at the end. Handlers that a library installs meanwhile (SDL's, Ray's,
    ViZDoom's before 1.3) give way to those that were there.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    handlers = {s: signal.getsignal(s) for s in TOLD}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [s for s in TOLD if s not in heard])
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            for s, handler in handlers.items():
                if handler is not None:
                    signal.signal(s, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class Ended(SystemExit):
    """A child was told to end: no exit of its own, which code of others may take."""


def as_child() -> None:
    """To be called first in a child that its parent ends: it does not hear a terminal, SIGTERM raises `Ended`, and it
    outlives no parent."""
    def end(number: int, frame: Any) -> NoReturn:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # once is enough: what closes is not struck again
        raise Ended(128 + number)

    for s in TOLD:
        signal.signal(s, end if s == signal.SIGTERM else signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, TOLD)
    end_with_parent()


def end_with_parent() -> None:
    """On Linux, be sent SIGTERM when the thread that started this process ends, even by SIGKILL: two must not train
    into one folder."""
    if sys.platform == "linux":
        import ctypes

        parent = os.getppid()
        ctypes.CDLL(None).prctl(1, int(signal.SIGTERM))
        if os.getppid() != parent:  # it ended just now
            os.kill(os.getpid(), signal.SIGTERM)


def end_children(pid: int | None = None) -> None:
    """Kill what a process (this one) has started and what that has: the last resort where one was told to end.
    On Linux."""
    for child in descendants(pid or os.getpid()):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(child, signal.SIGKILL)


def end_group(leader: int) -> None:
    """Kill what is left of the session that began with the process `leader`."""
    if hasattr(os, "killpg"):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(leader, signal.SIGKILL)


def descendants(pid: int) -> list[int]:
    """Processes that `pid` has started, and those that these have. None where there is no /proc."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            parent = int(stat.read_text(errors="replace").rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(stat.parent.name))
    found, look = [], [pid]
    while look:
        own = children.get(look.pop(), [])
        found += own
        look += own
    return found


__all__ = ["Ended", "Interrupted", "Wishes", "as_child", "command", "descendants", "end_children", "end_group",
           "end_with_parent", "of", "raised", "shielded"]
