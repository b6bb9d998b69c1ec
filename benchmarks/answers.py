"""What a whole answer costs, a picture's file in and boxes out, and what it is worth: processor time of one thread a
picture, and AP on the same held-out pictures.

    python benchmarks/answers.py --data bccd runs/fpn runs/ssd runs/fpn/predictions.onnx tv.safetensors --rounds 3
    YOLO=path/to/ultralytics python benchmarks/answers.py --data bccd runs/fpn yolo.onnx

A run folder is asked by `stemma.predict`, a file at a time; an `.onnx` that `stemma export` wrote is run by ONNX
Runtime after Pillow has read and resized the file; `.safetensors` are torchvision's detectors, as
`torchvision_recipe.py --out` wrote them, behind torchvision's own decoder and resizing; an `.onnx` that ultralytics
wrote is asked by its own predictor (its folder in YOLO, as `pip install --target` makes it). All take their turns at
every picture, `rounds` times; milliseconds are of the median picture, quartiles in brackets. Memory that is freed is
kept, as in training.
"""
from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

import stemma
from exported import opened
from stemma.core.types import Dataset
from stemma.data.images import read_image
from stemma.data.open import held_out
from stemma.engine.running.devices import keep_memory
from stemma.metrics import Evaluator

Answer = Callable[[Path], dict[str, np.ndarray]]  # of a picture's file: boxes (n, 4) in its pixels, scores, labels
LEAST = 0.05  # score, of all alike


def run_folder(path: Path) -> Answer:
    """Stemma, eager."""
    model = stemma.load(path)
    return lambda file: stemma.predict(model, file, threshold=LEAST, device="cpu")[0]


def exported(path: Path) -> Answer:
    """Stemma's predictions as a graph. The picture keeps its form; what is left of the input is black."""
    from PIL import Image

    session = opened(path)
    height, width = session.get_inputs()[0].shape[2:]
    names = [o.name for o in session.get_outputs()]

    def answer(file: Path) -> dict[str, np.ndarray]:
        pixels = read_image(file)
        scale = min(height / pixels.shape[0], width / pixels.shape[1])
        h, w = round(pixels.shape[0] * scale), round(pixels.shape[1] * scale)
        laid = np.zeros((1, 3, height, width), np.float32)
        laid[0, :, :h, :w] = np.asarray(Image.fromarray(pixels).resize((w, h), Image.Resampling.BILINEAR)
                                        ).transpose(2, 0, 1) / np.float32(255)
        said = {n: x[0] for n, x in zip(names, session.run(None, {"images": laid}))}
        kept = (said["labels"] >= 0) & (said["scores"] >= LEAST)
        return {"boxes": said["boxes"][kept] / np.float32(scale), "scores": said["scores"][kept],
                "labels": said["labels"][kept]}

    return answer


def torchvision_file(path: Path, data: Dataset) -> Answer:
    from safetensors import safe_open
    from torchvision.io import decode_image

    from torchvision_recipe import network

    with safe_open(path, "pt") as held:
        told = json.loads(held.metadata()["settings"])
        net: Any = network(told["model"], len(data.info.classes), told["size"], told["longest"])
        net.load_state_dict({k: held.get_tensor(k) for k in held.keys()})
    net.eval()
    first = int(told["model"] == "faster-rcnn")

    def answer(file: Path) -> dict[str, np.ndarray]:
        with torch.no_grad():
            said = net([decode_image(str(file), "RGB").float() / 255])[0]
        kept = said["scores"] >= LEAST
        return {"boxes": said["boxes"][kept].numpy(), "scores": said["scores"][kept].numpy(),
                "labels": said["labels"][kept].numpy() - first}

    return answer


def ultralytics_file(path: Path, data: Dataset) -> Answer:
    sys.path.append(os.environ["YOLO"])
    from ultralytics import YOLO  # type: ignore[import-not-found, unused-ignore]

    net = YOLO(path, task="detect")
    side = opened(path).get_inputs()[0].shape[2:]
    place: dict[int, int] = {}

    def answer(file: Path) -> dict[str, np.ndarray]:
        said = net.predict(file, imgsz=tuple(side), conf=LEAST, device="cpu", verbose=False)[0]
        if not place:
            place.update({k: data.info.classes.names.index(n) for k, n in said.names.items()})
        boxes = said.boxes
        return {"boxes": boxes.xyxy.numpy(), "scores": boxes.conf.numpy(),
                "labels": np.array([place[int(k)] for k in boxes.cls], np.int64)}

    return answer


def system(path: Path, data: Dataset) -> Answer:
    """What answers, by what a path is."""
    if path.is_dir():
        return run_folder(path)
    if path.suffix == ".safetensors":
        return torchvision_file(path, data)
    ours = "boxes" in [o.name for o in opened(path).get_outputs()]
    return exported(path) if ours else ultralytics_file(path, data)


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("systems", nargs="+", type=Path)
    p.add_argument("--data", required=True)
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--limit", type=int, help="pictures at most")
    a = p.parse_args()
    torch.set_num_threads(1)
    keep_memory()
    data = held_out(a.data, limit=a.limit).measured
    files = [Path(a.data) / data.truth(i).file for i in range(len(data))]
    answers = {path: system(path, data) for path in a.systems}
    measures = {path: Evaluator(data.info, "detection") for path in answers}
    spent: dict[Path, list[float]] = {path: [] for path in answers}
    for answer in answers.values():
        answer(files[0])  # what is done once is no part of an answer
    for turn in range(a.rounds):
        for i, file in enumerate(files):
            for path, answer in answers.items():
                begin = time.process_time()
                said = answer(file)
                spent[path].append(1e3 * (time.process_time() - begin))
                if turn == 0:
                    measures[path].add(data.truth(i), {k: said[k] for k in ("boxes", "scores", "labels")}, i)
    print(f"{len(files)} pictures, {a.rounds} rounds\n| system | ms a picture | AP | AP50 |\n|---|---|---|---|")
    for path in answers:
        low, middle, high = statistics.quantiles(spent[path], n=4)
        found = measures[path].result()
        print(f"| {path} | {middle:.1f} ({low:.1f} to {high:.1f}) | {found['AP']:.3f} | {found['AP50']:.3f} |")


if __name__ == "__main__":
    main()
