"""What is written as ONNX, in turns: the predictions, the network alone, eager PyTorch, and a file of another build.

    python benchmarks/exported.py runs/demo/fpn-s0 runs/demo/ssd-s0
    python benchmarks/exported.py runs/demo/fpn-s0 --beside before.onnx    # made by `stemma export` of that build

One drawn scene of the size that a run prepares, one thread, milliseconds of processor time a picture: the median over
rounds, and of a ratio median and range.
"""
from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

import stemma
from stemma.engine.pictures.export import drawn, export


def opened(path: Path) -> Any:
    """A file in ONNX Runtime on one thread."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def session(path: Path) -> Callable[[np.ndarray], Any]:
    """What runs a file on one thread."""
    runs = opened(path)
    return lambda x: runs.run(None, {"images": x})


def cost(run: Callable[[], Any], times: int) -> float:
    """Milliseconds of processor time."""
    begin = time.process_time()
    for _ in range(times):
        run()
    return (time.process_time() - begin) / times * 1e3


def main() -> None:
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("runs", nargs="+", type=Path)
    ask.add_argument("--beside", type=Path, help="a file that another build wrote of the one run")
    ask.add_argument("--rounds", type=int, default=7)
    ask.add_argument("--times", type=int, default=20, help="pictures a round")
    a = ask.parse_args()
    torch.set_num_threads(1)
    for run in a.runs:
        model: Any = stemma.load(run)
        side = (model.recipe.resize.size,) * 2
        image = drawn(side, 0)
        with tempfile.TemporaryDirectory() as folder:
            said = export(model, Path(folder) / "predictions.onnx", size=side)
            export(model, Path(folder) / "raw.onnx", size=side, outputs="raw")
            ways = {"predictions": session(Path(folder) / "predictions.onnx"),
                    "network": session(Path(folder) / "raw.onnx")}
            if a.beside:
                ways["beside"] = session(a.beside)
        took: dict[str, list[float]] = {k: [] for k in [*ways, "eager"]}
        with torch.inference_mode():
            for i in range(a.rounds + 1):  # the first warms up
                for name, way in ways.items():
                    took[name] += [cost(partial(way, image.numpy()), a.times)] * (i > 0)
                took["eager"] += [cost(partial(model.predict, image), a.times)] * (i > 0)
        print(f"{run.name}: {side[0]} px, {said['compared']} objects compared, difference {said['difference']:.1e}; "
              + ", ".join(f"{k} {median(v):.2f} ms" for k, v in took.items()))
        for name in [k for k in ("eager", "beside") if k in took]:
            ratios = sorted(b / p for b, p in zip(took[name], took["predictions"], strict=True))
            print(f"  {name} over predictions: {median(ratios):.1f}x ({ratios[0]:.1f} to {ratios[-1]:.1f})")


if __name__ == "__main__":
    main()
