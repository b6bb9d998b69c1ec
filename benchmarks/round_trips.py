"""Which format holds what, and how exactly it comes back: one truth is written in every layout that is read, opened,
converted into every format that is written, and opened again.

    python benchmarks/round_trips.py            the table of docs/formats.md
    python benchmarks/round_trips.py --only via labelme

The layouts are those of `tests/layouts.py`. A cell of a written format is the largest difference of a box or a point in
pixels, of what both formats hold; a difference of masks, classes or splits is told in words, and the exit status is
their number.
"""
from __future__ import annotations

import argparse
import sys
import tempfile
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from layouts import LAYOUTS, WHAT, WRITTEN, trip  # noqa: E402

TITLES = {"coco": "COCO", "voc": "VOC", "yolo": "YOLO"}
HEAD = ("format", "edges between pixels", "outlines", "masks in pieces", "crowds", "points",
        *(f"by way of {TITLES[to]}" for to in WRITTEN))


def holds(name: str) -> list[str]:
    """What a layout can hold, a cell each."""
    return ["yes" if what in LAYOUTS[name].holds else "" for what in WHAT]


def main() -> int:
    ask = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    ask.add_argument("--only", nargs="*", default=list(LAYOUTS), choices=list(LAYOUTS), metavar="NAME")
    wrong = 0
    print("| " + " | ".join(HEAD) + " |\n|" + "---|" * len(HEAD))
    for name in ask.parse_args().only:
        cells = []
        for to in WRITTEN:
            with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
                warnings.simplefilter("ignore")
                far, pixels, said = trip(LAYOUTS[name], to, Path(folder))
            bad = said or (f"{pixels} pixels of masks differ" if pixels else "")
            wrong += bool(bad)
            cells.append(bad or (f"{far:.0e}" if far else "0"))
        print("| " + " | ".join([LAYOUTS[name].title, *holds(name), *cells]) + " |", flush=True)
    return wrong


if __name__ == "__main__":
    sys.exit(main())
