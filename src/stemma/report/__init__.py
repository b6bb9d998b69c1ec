"""One self-contained page from the results of a comparison; `compare` runs one and writes it."""
from __future__ import annotations

from typing import Any

from ..engine.compare import Comparison
from ..engine.compare import compare as _run
from .page import write


def compare(papers: list[str], data: Any, budget: str = "60s", seeds: int = 1, preset: str = "small", out: Any = "runs/compare", **options: Any) -> Comparison:
    """Train several papers alike, measure them alike, and write `results.json` and `report.html` into the folder `out`.

    Options and errors are those of `stemma.engine.compare.compare`. Run again with the same settings, it keeps what is finished.
    """
    done = _run(papers, data, budget, seeds, preset, out, **options)
    write(done.results, done.path)
    return done


__all__ = ["compare", "write"]
