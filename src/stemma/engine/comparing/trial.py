"""One training of a comparison as a process: `python -m stemma.engine.comparing.trial JOB.json`.

The run's folder gains `trial.json`, what its wing measured of it. A trial that was killed continues where its training
was saved; one that has a `trial.json` is finished.
"""
from __future__ import annotations

import contextlib
import json
import math
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ...core import interrupts
from ...core import paper as papers
from ...core.types import StemmaError
from .. import wings
from ..running import checkpoint
from ..running.budget import Spent
from ..running.runs import Run
from .job import Job


def run(job: Job, noted: Path | None = None) -> dict[str, Any]:
    """Train (or finish) a job and measure it; returns what `trial.json` holds. Raises as the wing's `train` does.

    noted: the file of the warnings so far, those of an earlier try included.
    """
    folder = Path(job.folder)
    if (folder / "trial.json").is_file():
        done: dict[str, Any] = json.loads((folder / "trial.json").read_text(encoding="utf-8"))
        return done
    wing = wings.named(job.wing) if job.wing else wings.wing_of(papers.get(job.paper).task)
    said = wing.trial(job, folder)
    said |= _timed(Run.open(folder).record) | {"warnings": warnings_in(noted) if noted else []}
    checkpoint.write_text(folder / "trial.json", json.dumps(checkpoint.jsonable(_finite(said))))
    return said


def warnings_in(file: Path) -> list[str]:
    """The warnings that a trial's processes left in a file, each once."""
    lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    return list(dict.fromkeys(json.loads(line) for line in lines if line.endswith('"')))


FOR_PROGRAMMERS = (DeprecationWarning, PendingDeprecationWarning, FutureWarning)


@contextlib.contextmanager
def noting(file: Path) -> Iterator[None]:
    """Within it a warning is also left in `file`, a line each, for whoever started this process to read. What is meant
    for programmers, that something will go or change, stays in the log."""
    with warnings.catch_warnings():
        told, seen = warnings.showwarning, set(warnings_in(file))

        def note(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
            said = " ".join(str(message).split())
            if said not in seen and not issubclass(category, FOR_PROGRAMMERS):
                seen.add(said)
                with contextlib.suppress(OSError), open(file, "a", encoding="utf-8") as f:
                    f.write(json.dumps(said) + "\n")
            told(message, category, *place, **more)

        warnings.showwarning = note
        yield


def _timed(record: dict[str, Any]) -> dict[str, Any]:
    """Of a run's record, what its seconds were: of which clock, how many passed by the wall's, whether that cut it."""
    spent = Spent.of(record)
    return {"seconds": spent.seconds, "worked": spent.worked, "wall": spent.wall, "clock": record.get("clock", "wall"),
            "threads": record["machine"]["threads"], "cut": record.get("cut"), "precision": record["precision"],
            "mended": record.get("mended")}


def _finite(v: Any) -> Any:
    if isinstance(v, dict):
        return {k: _finite(x) for k, x in v.items()}
    if isinstance(v, (list, tuple)):
        return [_finite(x) for x in v]
    return None if isinstance(v, float) and not math.isfinite(v) else v


def _latency(spec: dict[str, Any]) -> dict[str, Any]:
    """How long an answer takes, by run folder, or why it is not known: the wing of the first run measures it."""
    wing: Any = wings.wing_of(checkpoint.card_of(spec["folders"][0], "last").task)
    more = {"data_options": spec["data_options"]} if spec.get("data_options") else {}
    found: dict[str, Any] = wing.latency(spec["folders"], spec["data"], spec["format"], spec["device"], **more)
    return found


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
                job, noted = Job.read(path), path.with_suffix(".warnings")
                if not (Path(job.folder) / "state.safetensors").is_file():
                    noted.unlink(missing_ok=True)  # of a try that left nothing to go on from, as on a full disk
                with noting(noted):
                    run(job, noted)
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
