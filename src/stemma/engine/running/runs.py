"""The folder of a training: run.json (what was run), metrics.jsonl (what it said), best/last.safetensors,
state.safetensors (exact resume)."""
from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from ...core.types import StemmaError
from . import checkpoint

try:
    from fcntl import LOCK_EX, LOCK_NB, flock
except ImportError:  # a system that is not Unix
    flock = None  # type: ignore[assignment]

FORMAT = 1
BEGUN = re.compile(r"\.run\.\d+\.new\.json")  # a run.json that a kill left half-written: nothing of a run yet


@dataclass(frozen=True)
class Run:
    """A training on disk. `record` is run.json: paper, preset, sets, task, spec (every leaf), recipe, budget, batch,
    seed, data, versions, machine, state ("running", "finished", "stopped", "failed"), spent, best, error.
    """

    path: Path

    def __fspath__(self) -> str:
        """A run stands for its folder wherever a path is taken: `stemma.load(run)`."""
        return str(self.path)

    @classmethod
    def open(cls, path: str | Path) -> Run:
        """The run in folder `path`. Raises `StemmaError` when it holds none."""
        path = Path(path)
        if not (path / "run.json").is_file():
            raise StemmaError(f"{path} is not a run: it has no run.json" if path.exists() else f"no run at {path}")
        run = cls(path)
        if not {"format", "paper", "state"} <= set(run.record):
            raise StemmaError(f"{path} is not a run of Stemma: its run.json says neither paper nor state; choose "
                              "another folder")
        return run

    @classmethod
    def create(cls, path: str | Path, record: dict[str, Any]) -> Run:
        """Start a folder. An empty or absent one is taken; anything else is refused, so that nothing is overwritten.

        Raises `StemmaError` when the folder holds other files or another run.
        """
        path = Path(path)
        if path.exists() and not path.is_dir():
            raise StemmaError(f"{path} is a file; a run needs a folder. Choose another --out")
        if (path / "run.json").is_file():
            raise StemmaError(f"{path} already holds a run; continue it with --resume, or choose another --out")
        if path.exists() and not all(p.is_file() and BEGUN.fullmatch(p.name) for p in path.iterdir()):
            raise StemmaError(f"{path} holds files that are not a run's; choose an empty or new folder with --out")
        run = cls(path)
        run.tidy()
        checkpoint.write_text(path / "run.json", json.dumps({"format": FORMAT} | checkpoint.jsonable(record), indent=1))
        return run

    @property
    def record(self) -> dict[str, Any]:
        try:
            record = json.loads((self.path / "run.json").read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise StemmaError(f"cannot read {self.path / 'run.json'}: {error}; bring it back from a copy, or choose "
                              "another folder") from error
        if not isinstance(record, dict):
            raise StemmaError(f"{self.path / 'run.json'} holds a {type(record).__name__}, and is no record of a run")
        return record

    def hold(self, record: dict[str, Any], *keys: str) -> None:
        """Raises `StemmaError` where the run was run with another of these settings than `record` has. A recipe that is
        another though `sets` are the same is of another version; what it does not say is as it is by default."""
        old = self.record
        for key in keys:
            was, now = old[key], checkpoint.jsonable(record[key])
            if key == "recipe":
                with suppress(TypeError):  # it says what this version does not know
                    was = checkpoint.jsonable(checkpoint.recipe_from(was).as_dict())
            if apart := list(_apart(key, was, now)):
                how = "the version that began it, whose preset says so" if key == "recipe" else "the same settings"
                raise StemmaError(f"{self.path} was run with {'; '.join(apart)}; resume with {how}, or choose another "
                                  "--out")

    def hold_data(self, record: dict[str, Any]) -> None:
        """Raises `StemmaError` where the run was trained or validated on other data than `record` says."""
        before, now = self.record["data"], record["data"]
        for key, what in (("fingerprint", "trained"), ("val_fingerprint", "validated")):
            if before.get(key, now.get(key)) != now.get(key):
                raise StemmaError(f"{self.path} was {what} on other data ({before['where']}), or its files have "
                                  "changed since; choose another --out")

    def update(self, **changes: Any) -> None:
        """Change fields of run.json. Raises `StemmaError` when the disk does not take it."""
        checkpoint.write_text(self.path / "run.json", json.dumps(self.record | checkpoint.jsonable(changes), indent=1))

    @property
    def state(self) -> str:
        return str(self.record["state"])

    @property
    def best(self) -> Path:
        """The weights file of the best validation, or the last one where nothing was validated."""
        return checkpoint.find(self.path, "best")

    @property
    def last(self) -> Path:
        return checkpoint.find(self.path, "last")

    def load(self, which: str = "best", device: str = "cpu") -> nn.Module:
        """The trained model, in eval mode."""
        return checkpoint.load(self.path, which, device)

    def metrics(self, kind: str | None = None) -> Iterator[dict[str, Any]]:
        """The lines of metrics.jsonl, in order; of one kind ("train" or "val") when told.
        A line cut short by a kill is passed over."""
        file = self.path / "metrics.jsonl"
        if not file.is_file():
            return
        with open(file, encoding="utf-8") as f:
            for line in f:
                if not line.endswith("\n"):
                    return
                entry = json.loads(line)
                if kind is None or entry["kind"] == kind:
                    yield entry

    def log(self, entry: dict[str, Any]) -> None:
        """Append one line to metrics.jsonl."""
        with open(self.path / "metrics.jsonl", "a", encoding="utf-8") as f:
            f.write(json.dumps(checkpoint.jsonable(entry)) + "\n")

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """Within it an error that comes before a training can note it leaves "failed" in run.json, not "running".
        Before the first step of a system with changed settings it is said to be theirs (`checkpoint.told_of_sets`).
        Raises `StemmaError` where another process trains in the folder."""
        with alone(self.path):
            try:
                yield
            except Exception as error:
                with suppress(StemmaError):  # a full disk must not hide what happened
                    if self.state == "running":
                        self.update(state="failed", error=f"{type(error).__name__}: {error}")
                if (told := self._told(error)) is not None:
                    raise told from error
                raise

    def _told(self, error: Exception) -> StemmaError | None:
        try:
            record = self.record
        except StemmaError:
            return None
        if (record.get("spent") or {}).get("steps"):
            return None
        return checkpoint.told_of_sets(str(record["paper"]).replace("_", "-"), record.get("sets"), error,
                                       "trained")

    def tidy(self) -> None:
        """Remove the files that a kill left half-written, ours and those of safetensors' writer."""
        for p in (*self.path.glob(".*.new*"), *self.path.glob(".tmp*")):
            p.unlink(missing_ok=True)

    @property
    def said(self) -> int:
        """Bytes of metrics.jsonl so far: what a saved state knows to have been said."""
        file = self.path / "metrics.jsonl"
        return file.stat().st_size if file.is_file() else 0

    @property
    def saved(self) -> bool:
        """Whether there is a state to go on from."""
        return (self.path / "state.safetensors").is_file()

    def take_up(self, **changes: Any) -> bool:
        """Set a folder in order whose run is resumed, with other fields of run.json, and say whether there is a state
        to go on from; without one it begins anew. Raises `StemmaError` where that would write over what was learned."""
        record, learned = self.record, any((self.path / f"{w}.safetensors").is_file() for w in ("best", "last"))
        if not self.saved and learned and record["state"] != "failed" and (record.get("spent") or {}).get("steps"):
            self.update(state="stopped")  # and not failed, which begins anew
            raise StemmaError(f"{self.path} holds weights and no state.safetensors, without which a run is not "
                              f"continued; begin from them in another folder (--start {self.path} --out ...), or "
                              "remove this one")
        self.tidy()
        self.update(state="running", error=None, **changes)
        if not self.saved:
            self.rewind(0)
        return self.saved

    def rewind(self, said: int) -> None:
        """Forget what was said after the first `said` bytes: a resumed run says it again."""
        if self.said > said:
            os.truncate(self.path / "metrics.jsonl", said)


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Within it no other process works in `folder`; raises `StemmaError` where one does. The lock is one of the folder
    itself, which ends with its process, whatever ends that; where a system has no such locks nothing is held. Of the
    processes that torchrun starts the first holds it for all."""
    if flock is None or os.environ.get("RANK", "0") != "0":
        yield
        return
    held = os.open(folder, os.O_RDONLY)
    _HELD.add(held)
    try:
        try:
            flock(held, LOCK_EX | LOCK_NB)
        except BlockingIOError:
            raise StemmaError(f"another process is at work in {folder}; let it end, or choose another --out") from None
        except OSError:  # a file system without locks
            pass
        yield
    finally:
        _HELD.remove(held)
        os.close(held)


_HELD: set[int] = set()  # open folders that are locked


def _let_go() -> None:
    """A forked process has its parent's locks, and would keep them when that is killed."""
    for held in _HELD:
        os.close(held)
    _HELD.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go)


def _apart(name: str, was: Any, now: Any) -> Iterator[str]:
    """What differs of two values of JSON, each by its own name."""
    if isinstance(was, dict) and isinstance(now, dict) and was and now:
        for key in dict.fromkeys((*was, *now)):
            yield from _apart(f"{name}.{key}", was.get(key), now.get(key))
    elif was != now:
        yield f"{name} = {was}, not {now}"


def begun_at(out: str | Path, record: dict[str, Any], resume: bool, fabric: Any) -> tuple[Run, bool]:
    """The run's folder, begun by one of the processes, and whether it is continued. Raises `StemmaError` when it was
    run with other settings or data."""
    out = Path(out)
    again = resume and (out / "run.json").is_file()
    fabric.barrier()
    if not again:
        if fabric.is_global_zero:
            Run.create(out, record)
        fabric.barrier()
        return Run.open(out), False
    run = Run.open(out)
    run.hold(record, "paper", "preset", "sets", "seed", "batch", "classes", "recipe")
    run.hold_data(record)
    fabric.barrier()
    return run, True
