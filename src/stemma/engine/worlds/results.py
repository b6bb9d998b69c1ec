"""Finished trials of agents as one record, `results.json`."""
from __future__ import annotations

import json
import os
import statistics
from pathlib import Path
from typing import Any

from ..comparing.job import Job


def collect(folder: Path, jobs: list[Job], errors: dict[str, str], about: dict[str, Any]) -> dict[str, Any]:
    """The record of a comparison of agents: a system's seeds under `runs`, its returns over them in `summary`,
    the best first."""
    by_system: dict[str, list[dict[str, Any]]] = {}
    for job in jobs:
        if not (Path(job.folder) / "trial.json").is_file():
            continue
        trial = json.loads((Path(job.folder) / "trial.json").read_text(encoding="utf-8"))
        by_system.setdefault(job.id.rsplit("-s", 1)[0].replace("@", ":"),
                             []).append(trial | {"folder": os.path.relpath(job.folder, folder)})
    systems = []
    for ident, trials in by_system.items():
        returns = [t["metrics"]["return"] for t in trials]
        spread = statistics.stdev(returns) if len(returns) > 1 else None
        systems.append({
            "id": ident, "title": trials[0]["label"] + (f" ({ident.partition(':')[2]})" if ":" in ident else ""),
            "paper": trials[0]["paper"], "main": "return",
            "summary": {"return": {"mean": statistics.fmean(returns), "spread": spread, "values": returns}},
            "runs": [t | {"status": "done"} for t in trials],
        })
    systems.sort(key=lambda s: -s["summary"]["return"]["mean"])
    failed = [{"title": k.rsplit("-s", 1)[0], "seed": int(k.rsplit("-s", 1)[1]), "status": "failed", "error": v}
              for k, v in errors.items()]
    return {**about, "systems": systems, "failed": failed}


__all__ = ["collect"]
