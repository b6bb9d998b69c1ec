"""How fast pictures arrive: drawing scenes, and the loader over cached,
drawn and (given a folder of them) real pictures.

    python benchmarks/data_path.py [--out data_path.json] [--scenes 300] [--repeats 5]

One thread. Times are processor time of this process (threads that read ahead are counted too), so a busy machine blurs
them little; each line is the median of the repeats with the least and the most. The share of a training step is against
`--step` milliseconds of processor time an image: 5.6 is the quickest small detector tried so far (177 images a second
and core).
"""
from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch

from stemma.core.recipe import Augment, Recipe, Resize
from stemma.core.types import Dataset
from stemma.data.loader import Loader
from stemma.data.scenes import Scenes, _atlas

SYMMETRIES = Augment(flip=0.5, vertical=0.5, quarter=0.5)


def timed(work: Callable[[], int], repeats: int) -> dict[str, float]:
    """Milliseconds of processor time per picture: median, least and most of `repeats`;
    `work` says how many pictures it made."""
    found = []
    for _ in range(repeats):
        start = time.process_time()
        count = work()
        found.append((time.process_time() - start) / count * 1e3)
    return {"ms": statistics.median(found), "least": min(found), "most": max(found),
            "images_per_second": 1e3 / statistics.median(found)}


def epoch(dataset: Dataset, recipe: Recipe, needs: set[str], batch: int = 16) -> Callable[[], int]:
    loader = Loader(dataset, recipe, train=True, batch=batch, needs=needs)
    numbers = iter(range(10**6))
    return lambda: sum(len(b) for b in loader.epoch(next(numbers)))


def main() -> None:
    ask = argparse.ArgumentParser(description="Milliseconds and images a second of the data path.")
    ask.add_argument("--out", type=Path, help="write the numbers here as JSON")
    ask.add_argument("--scenes", type=int, default=320, help="scenes a repeat")
    ask.add_argument("--repeats", type=int, default=5)
    ask.add_argument("--step", type=float, default=5.6, help="processor milliseconds of a training step, an image")
    ask.add_argument("--data", help="a folder of real pictures to measure too")
    args = ask.parse_args()
    torch.set_num_threads(1)
    rows: dict[str, dict[str, float]] = {}
    for size in (128, 256):
        _atlas(size)
        ds = Scenes(args.scenes, size)
        some = max(args.scenes // (size // 128) ** 2, 16)
        rows[f"draw, {size} px"] = timed(lambda ds=ds, some=some:  # type: ignore[misc]
                                         sum(ds[i].image is not None for i in range(some)), args.repeats)
        rows[f"draw into a cache, {size} px"] = timed(lambda size=size, some=some:  # type: ignore[misc]
                                                      len(Scenes(some, size).cache()), args.repeats)
        rows[f"truth alone, {size} px"] = timed(lambda ds=ds, some=some:  # type: ignore[misc]
                                                sum(ds.truth(i).image is None for i in range(some)), args.repeats)
    square = Recipe(resize=Resize("square", 128), augment=SYMMETRIES)
    kept = Scenes(args.scenes, 128).cache()
    rows["loader, cached, boxes, 8 symmetries"] = timed(epoch(kept, square, {"boxes"}), args.repeats)
    rows["loader, cached, masks, 8 symmetries"] = timed(epoch(kept, square, {"boxes", "masks"}), args.repeats)
    rows["loader, cached, semantic, 8 symmetries"] = timed(epoch(kept, square, {"semantic"}), args.repeats)
    rows["loader, cached, panoptic, 8 symmetries"] = timed(epoch(kept, square, {"boxes", "masks", "panoptic"}),
                                                           args.repeats)
    coloured = Recipe(resize=Resize("square", 128), augment=Augment(flip=0.5, colour=0.4))
    rows["loader, cached, boxes, flip and colour"] = timed(epoch(kept, coloured, {"boxes"}), args.repeats)
    ssd = Recipe(resize=Resize("square", 128), augment=Augment(flip=0.5, expand=0.5, crop=True, colour=0.4))
    rows["loader, cached, boxes, SSD's crops"] = timed(epoch(kept, ssd, {"boxes"}), args.repeats)
    rows["loader, drawn each time, boxes"] = timed(epoch(Scenes(args.scenes, 128), square, {"boxes"}), args.repeats)
    if args.data:
        from stemma.data.open import open_dataset

        real = open_dataset(args.data)
        rows[f"loader, {args.data}, 800 px"] = timed(epoch(real, Recipe(resize=Resize()), {"boxes"}, min(8, len(real))),
                                                     1)
    print(f"{'':44}{'ms':>8}{'least':>8}{'most':>8}{'images/s':>10}{'of a step':>11}")
    for name, row in rows.items():
        share = f"{row['ms'] / args.step:.1%}" if name.startswith("loader, cached") else ""
        print(
            f"{name:44}{row['ms']:8.3f}{row['least']:8.3f}{row['most']:8.3f}{row['images_per_second']:10.0f}{share:>11}"
        )
    if args.out:
        about = {"machine": platform.machine(), "python": platform.python_version(), "torch": torch.__version__,
                 "numpy": np.__version__}
        args.out.write_text(json.dumps({"about": about, "scenes": args.scenes, "repeats": args.repeats,
                                        "step_ms": args.step, "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
