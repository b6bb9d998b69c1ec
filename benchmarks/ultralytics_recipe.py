"""ultralytics' smallest detector by its own recipe, in a budget of processor time: a row to read beside ours.

    pip install --target FOLDER ultralytics==8.4.190
    stemma convert path/to/bccd --to yolo --out FOLDER/bccd
    python benchmarks/ultralytics_recipe.py FOLDER FOLDER/bccd --budget 4m --size 256 --out yolo.onnx

From random weights, as its pretrained ones lie where this cannot reach; its own optimiser, rates and augmentation. One
epoch is timed, and as many follow as go into the budget with its validations left out, so that its rates fall to the
end. Then its own export, static, with its suppression inside; `answers.py` measures that. AGPL-3.0: nothing of it is
part of Stemma.
"""
from __future__ import annotations

import argparse
import shutil
import sys
import time
from pathlib import Path

import torch

from stemma.engine.running.budget import Budget
from stemma.engine.running.devices import keep_memory


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("installed", type=Path)
    p.add_argument("data", type=Path, help="a folder of YOLO's form")
    p.add_argument("--model", default="yolo26n")
    p.add_argument("--budget", default="4m")
    p.add_argument("--size", type=int, default=256)
    p.add_argument("--batch", type=int, default=8)
    p.add_argument("--out", type=Path, default=Path("yolo.onnx"))
    a = p.parse_args()
    torch.set_num_threads(1)
    keep_memory()
    sys.path.append(str(a.installed))
    from ultralytics import YOLO  # type: ignore[import-not-found, unused-ignore]

    def trained(epochs: int) -> tuple[YOLO, float]:
        net = YOLO(f"{a.model}.yaml")
        begin = time.process_time()
        net.train(data=str(a.data / "data.yaml"), epochs=epochs, imgsz=a.size, batch=a.batch, device="cpu", workers=0,
                  val=False, plots=False, project=str(a.out.parent.resolve() / "yolo"), exist_ok=True, seed=0,
                  pretrained=False, verbose=False)
        return net, time.process_time() - begin

    trained(1)
    _, once = trained(1)
    net, took = trained(max(1, round(Budget.parse(a.budget).amount / once)))
    print(f"{a.model}: {took:.0f} s of processor time, an epoch {once:.1f} s")
    shutil.move(net.export(format="onnx", imgsz=a.size, nms=True), a.out)


if __name__ == "__main__":
    main()
