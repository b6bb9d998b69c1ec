"""Does the cost of a training step, of answers and of an evaluation grow as the work does?

    python benchmarks/growth.py fpn retinanet yolo-v2 yolo-v2:yolo9000-small ssd mask-rcnn   # by classes, objects, size
    python benchmarks/growth.py fpn --along objects [--batch 4] [--rounds 3]
    python benchmarks/growth.py evaluation                     # the measures, and what a report draws of them
    python benchmarks/growth.py fpn evaluation --src ELSEWHERE/src                        # of another build

Every number is of a process of its own: processor time of one thread (the median of `--rounds` after one that is not
counted) and the megabytes that its peak lies above what it held when the model and its batch were there. In a batch
one picture has all the objects and the others one, as the padding of a loader makes it: what grows with B x N is then
seen. Weights are random. An evaluation is of 200 pictures with 7 objects and 100 detections each unless told.
"""
from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
AXES = {"classes": (1, 80, 1_000, 9_000), "objects": (1, 10, 100, 500), "size": (128, 256, 512)}
USUAL = {"classes": 3, "objects": 7, "size": 128}


def peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def tree(count: int) -> Any:
    """So many classes, ten to a parent, ten parents to one of theirs and so on."""
    from stemma.core.types import Classes

    return Classes(tuple(f"class {c}" for c in range(count)), parent=tuple(
        "" if c < 10 else f"class {c // 10 - 1}" for c in range(count)))


def truth(rng: np.random.Generator, objects: int, classes: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    side = np.exp(rng.uniform(np.log(8), np.log(size / 2), (objects, 2)))
    corner = rng.uniform(0, 1, (objects, 2)) * (size - side)
    return np.concatenate([corner, corner + side], 1).astype(np.float32), rng.integers(0, classes, objects)


def system(name: str, classes: int, objects: int, size: int, count: int) -> dict[str, Callable[[], object]]:
    import torch

    import stemma
    from stemma.core import paper as cards
    from stemma.core.types import Batch, Info, Targets
    from stemma.engine.running import devices, optim

    torch.set_num_threads(1)
    torch.manual_seed(0)
    devices.keep_memory()
    name, _, preset = name.partition(":")
    preset = preset or "small"
    info = Info("drawn", "drawn", tree(classes), ("boxes", "masks"))
    model: Any = stemma.build(name, preset, info=info)
    rng = np.random.default_rng(0)
    boxes, labels = np.zeros((count, objects, 4), np.float32), np.full((count, objects), -1)
    for i in range(count):
        n = objects if i == 0 else 1
        boxes[i, :n], labels[i, :n] = truth(rng, n, classes, size)
    masks = None
    if cards.get(name).task_of(preset) == "instances":
        ramp = torch.arange(size) + 0.5
        b = torch.from_numpy(boxes)[..., None]
        masks = (((ramp >= b[:, :, 1]) & (ramp < b[:, :, 3]))[..., None]
                 & ((ramp >= b[:, :, 0]) & (ramp < b[:, :, 2]))[:, :, None])
    targets = Targets(torch.from_numpy(boxes), torch.from_numpy(labels), masks=masks)
    sizes = torch.full((count, 2), float(size))
    batch = Batch(torch.rand(count, 3, size, size).contiguous(memory_format=torch.channels_last), targets, sizes, sizes,
                  torch.arange(count))
    model.to(memory_format=torch.channels_last)
    optimizer = optim.make_optimizer(model, model.recipe)

    def step() -> float:
        model.train()
        optimizer.zero_grad()
        loss = torch.stack(list(model.loss(batch).values())).sum()
        loss.backward()
        optimizer.step()
        return float(loss.detach())

    def answers() -> None:
        model.eval()
        with torch.no_grad():
            model.predict(batch.images, batch.sizes)

    return {"step": step, "answers": answers}


def evaluation(classes: int, objects: int, pictures: int = 200) -> dict[str, Callable[[], object]]:
    from stemma.core.types import Info, Sample
    from stemma.engine.pictures.paired import intervals
    from stemma.metrics import Evaluator

    rng, size = np.random.default_rng(0), 512
    evaluator = Evaluator(Info("drawn", "drawn", tree(classes), ("boxes",)), "detection")
    for _ in range(pictures):
        boxes, labels = truth(rng, objects, classes, size)
        found, said = truth(rng, 100, classes, size)
        near = rng.random(100) < 0.4
        like = rng.integers(0, objects, 100)
        found[near], said[near] = boxes[like[near]] + rng.normal(0, 2, (int(near.sum()), 4)), labels[like[near]]
        found[:, 2:] = np.maximum(found[:, 2:], found[:, :2] + 1)
        none = np.zeros(objects, bool)
        area = np.prod(boxes[:, 2:] - boxes[:, :2], 1)
        evaluator.add(Sample(None, (size, size), boxes, labels, none, area),
                      {"boxes": found, "scores": rng.random(100), "labels": said})

    def again() -> Evaluator:
        """Of the same pictures, with nothing measured yet."""
        new = Evaluator(evaluator.info, "detection")
        new.merge(evaluator)
        return new

    return {"result": lambda: again().result(), "result and details": lambda: (e := again()).result() and e.details(),
            "intervals": lambda: intervals(evaluator.tallies())}


def child(name: str, at: dict[str, int], count: int, rounds: int) -> dict[str, float]:
    out: dict[str, float] = {}
    jobs = (evaluation(at["classes"], at["objects"]) if name == "evaluation"
            else system(name, at["classes"], at["objects"], at["size"], count))
    before = peak()
    for what, work in jobs.items():
        took = []
        for _ in range(rounds + 1):
            start = time.process_time()
            work()
            took.append(time.process_time() - start)
        out |= {f"{what} ms": 1e3 * statistics.median(took[1:] or took), f"{what} MB": peak() - before}
    return out


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("systems", nargs="+", metavar="PAPER[:PRESET] | evaluation")
    p.add_argument("--along", nargs="+", choices=AXES, default=list(AXES))
    p.add_argument("--at", nargs="+", type=int, help="in the place of the usual numbers")
    p.add_argument("--batch", type=int, default=4)
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--src", type=Path, default=ROOT / "src")
    p.add_argument("--child", help=argparse.SUPPRESS)
    a = p.parse_args()
    if a.child:
        print(json.dumps(child(a.systems[0], json.loads(a.child), a.batch, a.rounds)))
        return
    for name in a.systems:
        for axis in a.along:
            if name == "evaluation" and axis == "size":
                continue
            for v in a.at or AXES[axis]:
                words = [sys.executable, __file__, name, "--child", json.dumps(USUAL | {axis: v}), "--batch",
                         str(a.batch), "--rounds", str(a.rounds)]
                env = {**os.environ, "PYTHONPATH": str(a.src), "OMP_NUM_THREADS": "1"}
                done = subprocess.run(words, env=env, stdout=subprocess.PIPE, text=True)
                cells = ([f"{v:,.0f}" for v in json.loads(done.stdout).values()] if done.returncode == 0
                         else [f"ended with {done.returncode}"])
                print(f"| {name} | {axis} | {v:,} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
