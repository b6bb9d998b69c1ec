"""Trainings that are made again: their steps had been counted at clearly more than they took.

A price that is found while a machine is starved can be several times too high (`running.prices`), and a training that
counts by it has so much less work than its budget bought. At its end it keeps the lower price. Here it is set aside and
made again by that, once, so that what is compared had equal work.
"""
from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from ..running import checkpoint
from ..running.clock import TRUSTED
from .job import Job
from .remarks import trial_of


def due(job: Job, folder: Path) -> bool:
    """Whether a finished training of the comparison in `folder` had less than TRUSTED of its work by a price that
    is mended now, and was not made again yet."""
    part = trial_of(job).get("mended")
    return part is not None and part < TRUSTED and not trial_of(job).get("cut") and not _noted(job, folder).is_file()


def begin(job: Job, folder: Path) -> None:
    """Note what it had, and leave nothing of it that would be gone on from. Killed in between, it begins anew by the
    next call."""
    part, old = trial_of(job)["mended"], folder / "jobs" / f"{job.id}.before"
    shutil.rmtree(old, ignore_errors=True)
    os.replace(job.folder, old)
    checkpoint.write_text(_noted(job, folder), json.dumps(part))
    shutil.rmtree(old, ignore_errors=True)


def told(jobs: Iterable[Job], folder: Path) -> list[str]:
    """Which trainings were made again and why, a line."""
    had = {j.id: float(json.loads(_noted(j, folder).read_text(encoding="utf-8"))) for j in jobs
           if _noted(j, folder).is_file()}
    if not had:
        return []
    said = ", ".join(f"{ident} {part:.2f}".replace(" 0.", " .") for ident, part in had.items())
    return ["made again, as their steps had been counted at more than they took, for the machine was busy when "
            f"that was found (the part of their work that they had: {said})"]


def _noted(job: Job, folder: Path) -> Path:
    return folder / "jobs" / f"{job.id}.again"


__all__ = ["begin", "due", "told"]
