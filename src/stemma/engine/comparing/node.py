"""One training on a node of a cluster: in a folder that only the node sees, watched for what is to come home.

A parcel is what is new in the run's folder. A whole one is taken between two saves, so that a run which continues from
it elsewhere ends as if it had never moved; a light one brings the last lines of its metrics alone, for the progress.
"""
from __future__ import annotations

import contextlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from ...core import interrupts, outputs
from ...data.packing import signature, unpack
from . import processes

EVERY = 5.0  # seconds between two whole parcels, at least
STATE, METRICS = "state.safetensors", "metrics.jsonl"
BESIDE = (".log", ".error", ".warnings")  # what a training leaves beside its job


@dataclass(frozen=True)
class Packed:
    """A folder on its way: its name, the hash of what it holds, and what stands for its pieces."""

    name: str
    hash: str
    pieces: tuple[Any, ...]


@dataclass(frozen=True)
class Place:
    """Where a training will be: a node, and which of the paths it needs are not there."""

    host: str
    versions: dict[str, str]
    missing: tuple[str, ...]


@dataclass(frozen=True)
class Parcel:
    """What is new of a run. `code`: how its process ended, None while it works. `names`: all files that the run has,
    where the parcel is whole."""

    code: int | None
    files: dict[str, bytes]
    names: frozenset[str] | None = None
    beside: dict[str, bytes] = field(default_factory=dict)


class Training:
    """A training in a process of its own, in a folder of its own. `fetch` brings the pieces of what was packed."""

    def __init__(self, fetch: Callable[[Any], bytes]) -> None:
        self.fetch, self.scratch = fetch, Path(tempfile.mkdtemp(prefix="stemma-run-"))
        self.process: subprocess.Popen[bytes] | None = None
        self.sent: dict[str, tuple[int, ...]] = {}
        self.moved: dict[str, str] = {}  # where data lie at home -> where they lie here
        self.at = 0.0

    def look_around(self, wanted: dict[str, str]) -> Place:
        """Where this is. wanted: path -> `data.packing.signature` of what must lie there."""
        missing = tuple(p for p, said in wanted.items() if signature(p) != said)
        return Place(platform.node(), versions(), missing)

    def begin(self, job: dict[str, Any], threads: int, run: dict[str, bytes], beside: dict[str, bytes],
              data: dict[str, Packed]) -> None:
        """Start the process, where `run` (files of its folder) and `beside` left it. data: what did not lie here."""
        self.moved = {path: str(self._unpacked(packed)) for path, packed in data.items()}
        self.folder, self.job = self.scratch / "run", self.scratch / f"{job['id']}.json"
        for name, content in run.items():
            target = self.folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
            self.sent[name] = _stamp(target)
        for suffix, content in beside.items():
            self.job.with_suffix(suffix).write_bytes(content)
        job = {**_moved(job, self.moved), "folder": str(self.folder)}
        self.job.write_text(json.dumps(job, indent=1), encoding="utf-8")
        env = processes.environment(threads)
        self.process = processes.start([str(self.job)], self.job.with_suffix(".log"), env)

    def look(self, seconds: float = 0.0) -> Parcel:
        """What is new after so many seconds, or when the process has ended before; a whole parcel then, and where the
        state was saved anew."""
        assert self.process is not None
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(seconds)
        code = self.process.poll()
        saved = (self.folder / STATE).is_file() and _stamp(self.folder / STATE) != self.sent.get(STATE)
        if code is not None or saved and time.monotonic() - self.at >= EVERY:
            return self._whole(code)
        return Parcel(None, self._new([METRICS]))

    def stop(self, seconds: float = processes.GRACE) -> Parcel:
        """Let it save its state and end, and take it home."""
        if self.process is None:
            return Parcel(None, {})
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(seconds)
            except subprocess.TimeoutExpired:
                interrupts.end_group(self.process.pid)
        return self._whole(self.process.wait())

    def close(self) -> None:
        """End what is left, and leave nothing here but data that others may use."""
        if self.process is not None:
            interrupts.end_group(self.process.pid)
            self.process.wait()
        shutil.rmtree(self.scratch, ignore_errors=True)

    # ------------------------------------------------------------ parcels

    def _whole(self, code: int | None) -> Parcel:
        if code is not None and self.process is not None:
            interrupts.end_group(self.process.pid)
        while True:
            before, sent = _stamp(self.folder / STATE), dict(self.sent)
            names = sorted(p.relative_to(self.folder).as_posix() for p in self.folder.rglob("*")
                           if p.is_file() and not _unfinished(p.name)) if self.folder.is_dir() else []
            files = self._new(names)
            if _stamp(self.folder / STATE) == before:
                break
            self.sent = sent  # it was saved meanwhile: files of two moments make no state
        self.at = time.monotonic()
        beside = {s: self._as_at_home(p.read_bytes()) for s in BESIDE if (p := self.job.with_suffix(s)).is_file()}
        if "run.json" in files:
            files["run.json"] = self._as_at_home(files["run.json"])
        there = frozenset(n for n in names if n in self.sent)  # one that was deleted before it was read is no loss
        return Parcel(code, files, there, beside)

    def _as_at_home(self, text: bytes) -> bytes:
        for home, here in self.moved.items():
            text = text.replace(here.encode(), home.encode())
        return text

    def _new(self, names: Iterable[str]) -> dict[str, bytes]:
        found = {}
        for name in names:
            path = self.folder / name
            stamp = _stamp(path)
            if stamp and stamp != self.sent.get(name):
                try:
                    found[name] = path.read_bytes()
                except FileNotFoundError:
                    continue
                self.sent[name] = stamp
        return found

    # ------------------------------------------------------------ data

    def _unpacked(self, packed: Packed) -> Path:
        """Where what was packed lies on this node: sent once, and kept under `$STEMMA_CACHE` (default
        ~/.cache/stemma)."""
        cache = outputs.cache() / "sent"
        place = cache / packed.hash / packed.name  # a data set is called after its folder
        if not place.is_dir():
            cache.mkdir(parents=True, exist_ok=True)
            work = Path(tempfile.mkdtemp(prefix=".coming-", dir=cache))
            try:
                unpack(map(self.fetch, packed.pieces), work / packed.name)
                try:
                    os.rename(work, place.parent)
                except OSError:  # another training was first; its data are the same
                    if not place.is_dir():
                        raise
            except OSError as error:
                raise OSError(f"{platform.node()} cannot keep the data that were sent in {cache} ({error}); free "
                                  "some space there, or name another folder with STEMMA_CACHE") from error
            finally:
                shutil.rmtree(work, ignore_errors=True)
        return place


def versions() -> dict[str, str]:
    """What decides the bits of a training on this node."""
    found = {"python": ".".join(map(str, sys.version_info[:3]))}
    for name in ("torch", "torchvision", "timm"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def _stamp(path: Path) -> tuple[int, ...]:
    """What changes when a file is written anew; nothing where there is none."""
    try:
        s = path.stat()
    except OSError:
        return ()
    return s.st_mtime_ns, s.st_size, s.st_ino


def _unfinished(name: str) -> bool:
    return name.startswith(".") and (".new" in name or name.startswith(".tmp"))


def _moved(value: Any, moved: dict[str, str]) -> Any:
    """A job with the paths of data as they are on this node."""
    if isinstance(value, str):
        for old in sorted(moved, key=len, reverse=True):  # as a whole, or the beginning of a longer one
            value = moved[old].join(re.split(rf"{re.escape(old)}(?=[/+*]|$)", value))
        return value
    if isinstance(value, dict):
        return {k: _moved(v, moved) for k, v in value.items()}
    return [_moved(v, moved) for v in value] if isinstance(value, list) else value


__all__ = ["BESIDE", "EVERY", "Packed", "Parcel", "Place", "STATE", "Training", "versions"]
