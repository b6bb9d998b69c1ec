"""Finished trials as the systems of one record: what is alike whatever was measured."""
from __future__ import annotations

import json
import os
import statistics
from pathlib import Path
from typing import Any

from .job import Job


def systems_of(folder: Path, jobs: list[Job], errors: dict[str, str], main: str) -> dict[str, Any]:
    """{"systems", "failed"}: a system's seeds under `runs`, each of its measures over them in `summary` (mean, spread,
    values), the best by `main` first."""
    by_system: dict[str, list[dict[str, Any]]] = {}
    for job in jobs:
        if not (Path(job.folder) / "trial.json").is_file():
            continue
        trial = json.loads((Path(job.folder) / "trial.json").read_text(encoding="utf-8"))
        by_system.setdefault(job.id.rsplit("-s", 1)[0].replace("@", ":"),
                             []).append(trial | {"folder": os.path.relpath(job.folder, folder)})
    systems = []
    for ident, trials in by_system.items():
        measured = {k: [t["metrics"][k] for t in trials if t["metrics"].get(k) is not None]
                    for k in trials[0]["metrics"]}
        systems.append({
            "id": ident, "title": trials[0]["label"] + (f" ({ident.partition(':')[2]})" if ":" in ident else ""),
            "paper": trials[0]["paper"], "main": main, "runs": [t | {"status": "done"} for t in trials],
            "summary": {k: {"mean": statistics.fmean(v), "values": v,
                            "spread": statistics.stdev(v) if len(v) > 1 else None} for k, v in measured.items() if v},
        })
    systems.sort(key=lambda s: -s["summary"].get(main, {"mean": 0.0})["mean"])
    failed = [{"title": k.rsplit("-s", 1)[0], "seed": int(k.rsplit("-s", 1)[1]), "status": "failed", "error": v}
              for k, v in errors.items()]
    return {"systems": systems, "failed": failed}


__all__ = ["systems_of"]
