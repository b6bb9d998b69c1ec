"""A training as a process of its own, that leads a session: what a terminal sends does not reach it."""
from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

PACKAGE_ROOT = Path(__file__).resolve().parents[3]
GRACE = 60.0  # seconds that a training has to save its state when it is told to stop


def environment(threads: int, gpu: int | None = None) -> dict[str, str]:
    """What a training's process is given: so many threads, this Stemma, and of several GPUs one."""
    env = dict(os.environ)
    env |= {k: str(threads) for k in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
    if threads > 1:  # to spin until another is done is no work, and takes the processor from those who have some
        env.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    env["PYTHONPATH"] = os.pathsep.join(x for x in (str(PACKAGE_ROOT), env.get("PYTHONPATH", "")) if x)
    if gpu is not None:
        shown = env.get("CUDA_VISIBLE_DEVICES", "")
        env["CUDA_VISIBLE_DEVICES"] = shown.split(",")[gpu] if shown else str(gpu)
    return env


def start(words: list[str], log: Path, env: dict[str, str]) -> subprocess.Popen[bytes]:
    """Begin `comparing.trial` with these words; what it says goes into `log`."""
    with open(log, "ab") as f:
        command = [sys.executable, "-m", "stemma.engine.comparing.trial", *words]
        return subprocess.Popen(command, stdout=f, stderr=f, stdin=subprocess.DEVNULL, env=env, start_new_session=True)


__all__ = ["GRACE", "PACKAGE_ROOT", "environment", "start"]
