"""Which concepts are far from what a network has seen? The selection of ImageNet-CoG, step by step with counts: unseen
concepts of WordNet in five levels.

    python -m stemma.studies.concepts /usr/share/wordnet                    # the ImageNet lists that timm brings
    python -m stemma.studies.concepts DICT --agg mean --content descendants --size 1000 --out levels.json

DICT holds data.noun and index.sense of WordNet 3.0 (Debian: wordnet-base, wordnet-sense-index). --pool and --seen take
files with a concept a line; without them they are the MIIL release of ImageNet-21K and the thousand of ImageNet-1K.
--pictures takes a file with a concept and how many pictures it has a line: concepts with fewer than --least are left
out, as the paper does, and --content pictures tells information by these counts.
"""
from __future__ import annotations

import json
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

from ..core import interrupts, outputs
from ..core.types import StemmaError
from ..data.concepts import PICTURES, Chosen, choose, read_counts, read_list, read_wordnet
from . import Asked

LISTS = {"pool": "imagenet21k_miil_w21_synsets.txt", "seen": "imagenet_synsets.txt"}


def listed(file: str | Path | None, which: str) -> list[str]:
    """The concepts of a file, or of the list that timm brings. Raises `DataError`."""
    return read_list(file or Path(str(files("timm.data").joinpath("_info", LISTS[which]))))


def selected(folder: str | Path, pool: str | Path | None = None, seen: str | Path | None = None, agg: str = "max",
             content: Any = "counts", smooth: float = 1.0, size: int = 0, pictures: str | Path | None = None,
             least: int = PICTURES) -> Chosen:
    """The levels (`concepts.choose`) of the pool by the dictionary in `folder`. content: "counts", "descendants", or
    "pictures", the counts of that file. Raises `DataError`."""
    graph = read_wordnet(folder)
    there = read_counts(pictures) if pictures is not None else None
    if content == "pictures":
        if there is None:
            raise StemmaError("information is told by counts of pictures: name their file with --pictures")
        graph, content = replace(graph, counts=there), "counts"
    known = listed(seen, "seen")
    if lost := [c for c in known if c not in graph.parents]:
        raise StemmaError(f"{len(lost)} concepts that were seen are not in {folder}, first {lost[0]}: the offsets are "
                          "those of WordNet 3.0")
    return choose(graph, listed(pool, "pool"), known, graph.content(content, smooth), agg, size, pictures=there,
                  least=least)


def main(argv: list[str] | None = None) -> None:
    """The command of this file's head."""
    ask = Asked("concepts", __doc__)
    ask.add_argument("dictionary", help="folder of WordNet 3.0's data.noun and index.sense")
    ask.add_argument("--pool", help="file of concepts to choose from")
    ask.add_argument("--seen", help="file of concepts that were seen")
    ask.add_argument("--agg", choices=("max", "mean"), default="max",
                     help="nearness to the nearest one seen, or the mean")
    ask.add_argument("--content", choices=("counts", "descendants", "pictures"), default="counts",
                     help="what information is told by")
    ask.add_argument("--smooth", type=float, default=1.0, help="added to each count")
    ask.add_argument("--size", type=int, default=0, help="concepts of a level, the middle ones; 0: all")
    ask.add_argument("--pictures", help="file of concepts and how many pictures each has")
    ask.add_argument("--least", type=int, default=PICTURES, help="pictures that a concept has at least")
    ask.add_argument("--out", help="write levels.json, which --data levels:FOLDER reads")
    a = ask.parse_args(argv)
    found = selected(a.dictionary, a.pool, a.seen, a.agg, a.content, a.smooth, a.size, a.pictures, a.least)
    for said, count in found.steps:
        print(f"{count:>8,}  {said}")
    for i, (level, mean) in enumerate(zip(found.levels, found.means()), 1):
        low = min(found.scores[c] for c in level)
        print(f"L{i}: {len(level):,} concepts, mean similarity {mean:.3f}, from {low:.3f} on")
    if a.out:
        outputs.put_text(Path(a.out), json.dumps([list(level) for level in found.levels]))
        print(a.out)


if __name__ == "__main__":
    interrupts.command(main)


__all__ = ["listed", "selected"]
