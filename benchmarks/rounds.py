"""AttractioNet's rounds on a CPU: what it takes, after the picture's map is there, to score all seeds of a picture of
128 pixels, to refine and score what is best in each of five rounds, and to suppress at many thresholds.

    OMP_NUM_THREADS=1 python benchmarks/rounds.py [--seeds 2000] [--rounds 5] [--keep 150 2000] [--times 9] [--run RUN]

The small preset, with weights at random or a run's (boxes that stand still are not refined again, so that what has
learned has less to do); milliseconds of processor time of one thread, median with quartiles. `keep` is
how many boxes are refined in a round; 150 are the preset's.
"""
from __future__ import annotations

import argparse
import statistics
import time
from dataclasses import replace
from typing import Any

import torch

import stemma
from stemma.data.scenes import Scenes


def milliseconds(model: Any, images: torch.Tensor, times: int) -> list[float]:
    """Of whole answers, less what the map takes."""
    xs = model.backbone(model.spec.preprocess(images))
    was = model.backbone.forward
    model.backbone.forward = lambda x: xs
    try:
        found = []
        for _ in range(times + 2):
            start = time.process_time()
            model.predict(images)
            found.append(1e3 * (time.process_time() - start))
    finally:
        model.backbone.forward = was
    return found[2:]


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--seeds", type=int, default=2000)
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--keep", type=int, nargs="+", default=[150, 2000])
    p.add_argument("--times", type=int, default=9)
    p.add_argument("--run")
    a = p.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    data = Scenes(1, 128, seed=1)
    model: Any = (stemma.load(a.run) if a.run else stemma.build("attractionet", "small", info=data.info)).eval()
    picture = data[0].image
    assert picture is not None
    images = torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255
    spec = model.spec
    for keep in a.keep:
        model.spec = replace(spec, seeds=replace(spec.seeds, count=a.seeds), rounds=a.rounds, keep=keep)
        with torch.no_grad():
            count = len(model.spec.seeds((128, 128), images))
            low, middle, high = statistics.quantiles(milliseconds(model, images, a.times), n=4)
        print(f"{count:,} seeds, {a.rounds} rounds of {keep:,} boxes at most: {middle:.0f} ms ({low:.0f} to {high:.0f})"
              , flush=True)


if __name__ == "__main__":
    main()
