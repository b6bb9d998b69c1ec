"""Finished trials of agents as one record, `results.json`."""
from __future__ import annotations

from pathlib import Path
from typing import Any

from ..comparing.job import Job
from ..comparing.record import systems_of


def collect(folder: Path, jobs: list[Job], errors: dict[str, str], about: dict[str, Any]) -> dict[str, Any]:
    """The record of a comparison of agents: a system's seeds under `runs`, its returns over them in `summary`,
    the best first."""
    return {**about, **systems_of(folder, jobs, errors, "return")}


__all__ = ["collect"]
