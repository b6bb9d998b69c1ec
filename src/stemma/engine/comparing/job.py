"""What one process of a comparison is told."""
from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ..running import checkpoint
from ..running.budget import Budget


@dataclass(frozen=True)
class Job:
    """One training of one system with one seed, and how it is measured."""

    id: str
    paper: str
    preset: str
    seed: int
    data: str
    budget: str
    folder: str
    format: str | None = None
    sets: dict[str, Any] = field(default_factory=dict)
    device: str = "auto"
    precision: str | None = None
    batch: int | None = None
    workers: int = 0
    limit: int | None = None
    validations: int = 6
    wall: str | None = None
    data_options: dict[str, Any] = field(default_factory=dict)  # how the data is read
    auto: str = "auto"  # what the precision "auto" means in this comparison
    start: list[str] = field(default_factory=list)  # weights to begin from
    wing: str = ""  # whose comparison it is; "": that of the paper's task
    told: dict[str, Any] = field(default_factory=dict)  # what the wing tells all trainings
    named: str = ""  # the data as the comparison's command has it, where `data` is said for other processes

    @property
    def length(self) -> Budget:
        """The budget, with its wall time."""
        return Budget.parse(self.budget, self.wall)

    def precision_of(self, recipe: str) -> str:
        """What it computes in, where its recipe says `recipe`."""
        asked = self.precision or recipe
        return self.auto if asked == "auto" else asked

    def save(self, path: Path) -> None:
        checkpoint.write_text(path, json.dumps(asdict(self), indent=1))

    @classmethod
    def read(cls, path: Path) -> Job:
        return cls(**json.loads(path.read_text(encoding="utf-8")))


__all__ = ["Job"]
