"""The terms on which the trainings of a comparison run, decided once and kept in its compare.json: what the precision
"auto" means, and how many threads each has. So no training computes otherwise than another, and a comparison that is
resumed, here or on another machine, goes on as it began.
"""
from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ...core import outputs
from ..running.devices import pick_precision, processor


@dataclass(frozen=True)
class Terms:
    """`precision` is what "auto" means, `threads` those of a training; `device` and `cpu`: where that was decided."""

    precision: str
    threads: int
    device: str
    cpu: str = ""


def here(device: str, threads: int) -> Terms:
    """What this machine would decide."""
    return Terms(pick_precision(device, "auto"), threads, device, processor())


def settle(folder: Path, now: Terms) -> tuple[Terms, list[str]]:
    """The terms of the comparison in `folder`, and what is to be said of them: those that it has, else those that its
    trainings have begun with, else `now`. They are written into its compare.json, beside what it was asked."""
    file = folder / "compare.json"
    plan: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    said: list[str] = []
    if "terms" in plan:
        kept = Terms(**plan["terms"])
    else:
        kept, said = _begun(folder, plan, now)
    plan["terms"] = asdict(kept)
    outputs.put_text(file, json.dumps(plan, indent=1))
    if told(kept) != told(now):
        on = f" on {kept.cpu}" if kept.cpu and kept.cpu != now.cpu else ""
        said.append(f"this comparison began{on} with {told(kept)}, and goes on so; now it would be {told(now)}")
    return kept, said


def told(terms: Terms) -> str:
    """In a few words."""
    return f"{terms.precision} on {terms.device}, {terms.threads} thread{'s' if terms.threads > 1 else ''} a training"


def _begun(folder: Path, plan: dict[str, Any], now: Terms) -> tuple[Terms, list[str]]:
    """The terms of a comparison from before they were kept, by the runs in it: the commonest of each."""
    runs = [json.loads(f.read_text(encoding="utf-8")) for f in sorted(folder.glob("*/run.json"))]
    asked = [plan.get("precision") or r["recipe"]["precision"] for r in runs]
    chosen = Counter(r["precision"] for r, a in zip(runs, asked) if a == "auto")
    threads = Counter(r["machine"]["threads"] for r in runs if "machine" in r)
    kept = Terms(chosen.most_common(1)[0][0] if chosen else now.precision,
                 threads.most_common(1)[0][0] if threads else now.threads, now.device, now.cpu if not runs else "")
    if len(chosen) < 2:
        return kept, []
    counts = " and ".join(f"{n} in {p}" for p, n in chosen.most_common())
    return kept, [f"each training had chosen its precision for itself, {counts}: those go on as they began, and new "
                  f"ones compute in {kept.precision}"]


__all__ = ["Terms", "here", "settle", "told"]
