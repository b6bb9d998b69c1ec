"""One training of a comparison as a process: `python -m stemma.engine.comparing.trial JOB.json`.

The run's folder gains `trial.json`, what its wing measured of it. A trial that was killed continues where its training
was saved; one that has a `trial.json` is finished.
"""
from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

from ...core import interrupts
from ...core import paper as papers
from ...core.types import StemmaError
from .. import wings
from ..running import checkpoint
from .job import Job


def run(job: Job) -> dict[str, Any]:
    """Train (or finish) a job and measure it; returns what `trial.json` holds. Raises as the wing's `train` does."""
    folder = Path(job.folder)
    if (folder / "trial.json").is_file():
        done: dict[str, Any] = json.loads((folder / "trial.json").read_text(encoding="utf-8"))
        return done
    said = wings.wing_of(papers.get(job.paper).task).trial(job, folder)
    checkpoint.write_text(folder / "trial.json", json.dumps(checkpoint.jsonable(_finite(said))))
    return said


def _finite(v: Any) -> Any:
    if isinstance(v, dict):
        return {k: _finite(x) for k, x in v.items()}
    if isinstance(v, (list, tuple)):
        return [_finite(x) for x in v]
    return None if isinstance(v, float) and not math.isfinite(v) else v


def _latency(spec: dict[str, Any]) -> dict[str, float | str]:
    """Milliseconds an answer takes, by run folder, or why there is none: the wing of the first run measures them."""
    wing = wings.wing_of(checkpoint.card_of(spec["folders"][0], "last").task)
    return wing.latency(spec["folders"], spec["data"], spec["format"], spec["device"])


def main(argv: list[str]) -> int:
    """`JOB.json`: run it. `--latency SPEC.json`: measure latencies into the file that the spec names. An error is left
    beside the job, in one line."""
    interrupts.end_with_parent()
    path = Path(argv[-1])
    trouble = path.with_suffix(".error")
    trouble.unlink(missing_ok=True)
    try:
        with interrupts.raised():
            if argv[0] == "--latency":
                spec = json.loads(path.read_text(encoding="utf-8"))
                checkpoint.write_text(spec["out"], json.dumps(_latency(spec)))
            else:
                run(Job.read(path))
    except KeyboardInterrupt as wish:
        return interrupts.of(wish).status
    except StemmaError as error:
        trouble.write_text(" ".join(str(error).split()), encoding="utf-8")
        return 2
    except Exception as error:
        trouble.write_text(f"{type(error).__name__}: {' '.join(str(error).split())}"[:2000], encoding="utf-8")
        raise
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
