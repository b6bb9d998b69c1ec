"""One self-contained page from the results of a comparison; `compare` runs one and writes it.

Nothing is imported before it is used: `stemma list` reads `cards` from here and must not wait for torch.
"""
from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..engine.comparing.compare import Comparison


def compare(
    papers: Sequence[str], data: str | Path, budget: str = "60s", seeds: int = 1, preset: str = "small",
    out: str | Path = "runs/compare", **options: Any
) -> Comparison:
    """Train several papers alike, measure them alike, and write `results.json` and `report.html` into the folder `out`.

    Options and errors are those of `stemma.engine.comparing.compare.compare`. Run again with the same settings, it
    keeps what is finished.
    """
    from ..engine.comparing.compare import compare as run

    done = run(papers, data, budget, seeds, preset, out, **options)
    page_of(done.results).write(done.results, done.path)
    return done


def page_of(results: dict[str, Any]) -> ModuleType:
    """The module that writes the page of a comparison: that of its wing."""
    return import_module(f".{results['wing']}", __name__)


__all__ = ["compare", "page_of"]
