"""This tree beside the build of another commit: the same training steps or answers, by turns, in a process each.

    python benchmarks/builds.py HEAD~20 mask-rcnn fpn:paper [--batch 16] [--rounds 9] [--bf16] [--predict]
    python benchmarks/builds.py HEAD~20 world-models planet dreamerv3
    python benchmarks/builds.py HEAD~20 yolo-v3 --batch 4 --objects 500   # so many objects in one picture of the batch

Processor time of one thread; the ratio is the older build's over this one's, so that more is faster. Both begin with
equal weights and the same batch, and the last column is how far their first losses (or scores) lie apart, relatively.
"""
from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterable, Iterator
from io import BytesIO
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def child(asked: str, count: int, bf16: bool, predict: bool, objects: int) -> None:
    """A turn for every line of the standard input: its processor time and what came out, as a line of JSON."""
    import torch

    from growth import USUAL, system
    from stemma.engine.running import devices
    from steps import seconds, system_of
    from updates import AGENTS, agent_of, update_of

    torch.set_num_threads(1)
    name, _, preset = asked.partition(":")
    if name in AGENTS:
        devices.keep_memory()
        update, said = update_of(name, agent_of(name, preset or "small"))
        run = torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16)(update)
    elif objects:
        work, out = system(asked, **{**USUAL, "objects": objects}, count=count)["step"], [0.0]
        run, said = lambda: out.__setitem__(0, work()), lambda: out[0]
    else:
        run, said = system_of(name, preset or "small", count, predict, bf16)
    for _ in sys.stdin:
        print(json.dumps((seconds(run), said())), flush=True)


@contextlib.contextmanager
def source_of(commit: str) -> Iterator[Path]:
    """The package's source at a commit, in a folder that lasts as long."""
    with tempfile.TemporaryDirectory() as folder:
        packed = subprocess.run(["git", "archive", commit, "src"], cwd=ROOT, check=True, stdout=subprocess.PIPE)
        with tarfile.open(fileobj=BytesIO(packed.stdout)) as tar:
            tar.extractall(folder, filter="data")
        yield Path(folder) / "src"


class Build:
    """A process that takes turns with the package at `src`: a script that answers each line with two numbers."""

    def __init__(self, src: Path, settings: list[str], script: str = __file__) -> None:
        env = {**os.environ, "PYTHONPATH": f"{src}{os.pathsep}{ROOT / 'benchmarks'}", "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen([sys.executable, script, *settings], env=env, text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def turn(self) -> tuple[float, float]:
        assert self.process.stdin is not None and self.process.stdout is not None
        print(file=self.process.stdin, flush=True)
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit("a build ended before its turn; what it said stands above")
        took, said = json.loads(line)
        return took, said

    def end(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def ratio(pairs: Iterable[tuple[float, float]]) -> str:
    """How many times as much the first of each pair is as the second: the median, and the least and most."""
    each = [a / b for a, b in pairs]
    return f"{statistics.median(each):.2f}x ({min(each):.2f} to {max(each):.2f})"


def measured(old: Path, asked: str, rounds: int, more: list[str]) -> str:
    with contextlib.ExitStack() as stack:
        before, now = (Build(src, ["--child", "-", asked, *more]) for src in (old, ROOT / "src"))
        for build in (before, now):
            stack.callback(build.end)
        apart, pairs = 0.0, []
        for i in range(rounds + 2):  # two to warm up
            (a, x), (b, y) = before.turn(), now.turn()
            if i == 0:  # later steps begin from weights that differ by rounding
                apart = abs(x - y) / max(abs(x), 1e-12)
            pairs += [(a, b)] if i > 1 else []
    was, is_ = (1e3 * statistics.median(v) for v in zip(*pairs))
    return f"{asked:20} {was:7.1f} -> {is_:7.1f} ms  {ratio(pairs)}  apart {apart:.1e}"


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("commit", help="the older build")
    p.add_argument("systems", nargs="+", metavar="PAPER[:PRESET]")
    p.add_argument("--batch", type=int, default=16)
    p.add_argument("--rounds", type=int, default=9)
    p.add_argument("--bf16", action="store_true")
    p.add_argument("--predict", action="store_true")
    p.add_argument("--objects", type=int, default=0, help="in one picture, one in each other, as growth.py draws them")
    p.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    a = p.parse_args()
    if a.child:
        return child(a.systems[0], a.batch, a.bf16, a.predict, a.objects)
    more = ["--batch", str(a.batch), "--objects", str(a.objects), *(["--bf16"] if a.bf16 else []),
            *(["--predict"] if a.predict else [])]
    with source_of(a.commit) as old:
        for system in a.systems:
            print(measured(old, system, a.rounds, more), flush=True)


if __name__ == "__main__":
    main()
