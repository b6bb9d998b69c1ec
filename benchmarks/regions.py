"""What two heads of regions cost where arithmetic does not tell it.

    python benchmarks/regions.py [--rounds 9]
    python benchmarks/regions.py --beside HEAD~20 [--rounds 9]      # pooling alone, by turns with an older build

PANet pools every region from four levels, each for a first layer of its own, where FPN pools it from one: processor
time of both, in turns, forward and backward, memory kept as in training. Relation Networks: what a step of the paper's
two modules keeps for the way back among 300 regions, and the most memory that it takes, beside the same with the
embedding of all pairs kept.
"""
from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from builds import ROOT, Build, source_of
from roi_align import regions as boxes_of
from stemma.core.part import In
from stemma.engine.running import devices
from stemma.parts.regions import relation
from stemma.parts.regions.heads import Align

SETTINGS = {"128 px, 16 pictures, 48 regions of 64 channels": (16, 64, 128, 48),
            "512 px, 2 pictures, 256 regions of 256 channels": (2, 256, 512, 256)}
STRIDES = (4, 8, 16, 32)
REGIONS, WIDTH = 300, 1024


def pooled(name: str) -> Callable[[], tuple[float, float]]:
    """Seconds of the processor that four levels take and that one takes, forward and backward."""
    b, c, side, r = SETTINGS[name]
    torch.manual_seed(0)
    xs = [torch.randn(b, c, side // s, side // s).to(memory_format=torch.channels_last).requires_grad_()
          for s in STRIDES]
    boxes, pool = boxes_of(b, r, side), Align(7, aligned=True)

    def four() -> list[Tensor]:
        return pool.every(xs, STRIDES, boxes)

    def one() -> list[Tensor]:
        return [pool(xs, STRIDES, boxes)]

    slopes = {way: [torch.ones_like(v) for v in way()] for way in (four, one)}

    def seconds(way: Callable[[], list[Tensor]]) -> float:
        start = time.process_time()
        torch.autograd.grad(way(), xs, slopes[way])
        return time.process_time() - start

    return lambda: (seconds(four), seconds(one))


def pooling(name: str, rounds: int) -> str:
    turn = pooled(name)
    pairs = [turn() for _ in range(rounds + 2)][2:]
    mine, theirs = (1e3 * statistics.median(v) for v in zip(*pairs))
    return f"{name}: four levels {mine:.0f} ms, one {theirs:.0f} ms, {spread([a / z for a, z in pairs])}"


def spread(ratios: list[float]) -> str:
    low, middle, high = statistics.quantiles(ratios, n=4)
    return f"{middle:.2f}x ({low:.2f} to {high:.2f})"


def turns(name: str) -> None:
    """A turn for every line of the standard input, as a line of JSON."""
    turn = pooled(name)
    for _ in sys.stdin:
        print(json.dumps(turn()), flush=True)


def beside(commit: str, rounds: int) -> None:
    """The older build's time over this one's."""
    with source_of(commit) as old:
        for name in SETTINGS:
            builds = [Build(src, ["--turns", name], __file__) for src in (old, ROOT / "src")]
            pairs = [[build.turn() for build in builds] for _ in range(rounds + 2)][2:]
            for build in builds:
                build.end()
            for i, way in enumerate(("four levels", "one level")):
                was, is_ = (1e3 * statistics.median(v[k][i] for v in pairs) for k in (0, 1))
                ratio = spread([before[i] / now[i] for before, now in pairs])
                print(f"{name}, {way}: {was:.1f} -> {is_:.1f} ms, {ratio}", flush=True)


def memory(plain: bool) -> dict[str, float]:
    """MiB that a step of the head keeps for the way back, and by how much the process grew at most."""
    torch.manual_seed(0)
    if plain:  # what autograd does by itself
        relation._PairLogs.apply = relation._pair_logs
    pool = Align(7, levels=1)
    head = relation.RelationHead(In((256,), (16,), 80, logits=81), pool, WIDTH)
    x, boxes = torch.randn(1, 256, 38, 63), boxes_of(1, REGIONS, 600)
    F.linear(torch.randn(8, WIDTH), nn.Linear(WIDTH, WIDTH).weight)  # the library's own buffers
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before, kept = resident("VmRSS"), dict[int, int]()

    def note(v: Tensor) -> Tensor:
        kept[v.untyped_storage().data_ptr()] = v.untyped_storage().nbytes()
        return v

    own = {p.untyped_storage().data_ptr() for p in head.parameters()}
    with torch.autograd.graph.saved_tensors_hooks(note, lambda v: v):
        (logits, deltas), _ = head.says([x], boxes, torch.ones(1, REGIONS, dtype=torch.bool))
    bytes_ = sum(n for at, n in kept.items() if at not in own)
    (logits.square().mean() + deltas.square().mean()).backward()
    return {"kept": bytes_ / 2**20, "grown": resident("VmHWM") - before}


def resident(what: str) -> float:
    """MiB of this process now (VmRSS) or at most (VmHWM); Linux alone tells."""
    line = next(v for v in Path("/proc/self/status").read_text().splitlines() if v.startswith(what))
    return float(line.split()[1]) / 2**10


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--rounds", type=int, default=9)
    p.add_argument("--beside", metavar="COMMIT", help="an older build")
    p.add_argument("--turns", choices=tuple(SETTINGS), help=argparse.SUPPRESS)
    p.add_argument("--memory", choices=("ours", "plain"), help="in a process of its own: one way alone, as JSON")
    a = p.parse_args()
    torch.set_num_threads(1)
    if a.memory:
        print(json.dumps(memory(a.memory == "plain")))
        return
    devices.keep_memory()
    if a.turns:
        return turns(a.turns)
    if a.beside:
        return beside(a.beside, a.rounds)
    for name in SETTINGS:
        print(pooling(name, a.rounds), flush=True)
    for way, said in (("ours", "pairs made anew"), ("plain", "embedding kept")):
        out = json.loads(subprocess.run([sys.executable, __file__, "--memory", way], check=True, capture_output=True,
                                        text=True).stdout)
        print(f"relations among {REGIONS} regions, {said}: {out['kept']:.0f} MiB kept for the way back, "
              f"{out['grown']:.0f} MiB more at most")


if __name__ == "__main__":
    main()
