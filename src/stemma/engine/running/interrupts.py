"""Ctrl-C and SIGTERM as wishes: work ends where its state is whole."""
from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol


class Interruptible(Protocol):
    """Work that looks, between two units, whether it is to end."""

    interrupted: bool


@contextmanager
def signals(work: Interruptible) -> Iterator[None]:
    """Within it Ctrl-C and SIGTERM set `work.interrupted`; a second Ctrl-C raises `KeyboardInterrupt` at once. In the
    main thread alone."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: Any) -> None:
        if work.interrupted and number == signal.SIGINT:
            raise KeyboardInterrupt
        work.interrupted = True

    before = {s: signal.signal(s, stop) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for s, handler in before.items():
            signal.signal(s, handler)


__all__ = ["Interruptible", "signals"]
