"""What a command costs before it does anything: this tree beside the build of another commit, by turns, a process each.

    python benchmarks/commands.py COMMIT [--rounds 7] ["show fpn" "list" ...]

Processor time, system time included, and the peak of memory of the whole process. The ratio is the older build's time
over this one's, so that more is faster.
"""
from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
from pathlib import Path

from builds import ROOT, ratio, source_of

COMMANDS = ("--help", "list", "tree", "show fpn", "diff faster-rcnn fpn", "weights fpn", "claims fpn")


def cost(src: Path, words: list[str]) -> tuple[float, float]:
    """Seconds of the processor and MB at the peak of one command."""
    done = subprocess.Popen([sys.executable, "-m", "stemma", *words], stdout=subprocess.DEVNULL,
                            env={**os.environ, "PYTHONPATH": str(src), "OMP_NUM_THREADS": "1"})
    _, status, used = os.wait4(done.pid, 0)
    done.returncode = os.waitstatus_to_exitcode(status)
    if done.returncode:
        raise SystemExit(f"stemma {' '.join(words)} ended with {done.returncode}")
    return used.ru_utime + used.ru_stime, used.ru_maxrss / 1e3


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("commit", help="the older build")
    p.add_argument("commands", nargs="*", default=COMMANDS)
    p.add_argument("--rounds", type=int, default=7)
    a = p.parse_intermixed_args()
    with source_of(a.commit) as old:
        for command in a.commands:
            turns = [(cost(old, command.split()), cost(ROOT / "src", command.split())) for _ in range(a.rounds + 1)][1:]
            before, here = ([statistics.median(v) for v in zip(*side)] for side in zip(*turns))
            said = ratio((was[0], now[0]) for was, now in turns)
            print(f"{command:22} {before[0]:5.2f} -> {here[0]:5.2f} s  {said}  {before[1]:6.0f} -> {here[1]:5.0f} MB",
                  flush=True)


if __name__ == "__main__":
    main()
