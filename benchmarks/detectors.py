"""Training steps and inference beside torchvision's detectors: equal weights, equal pictures,
interleaved in one process.

    python benchmarks/detectors.py                            # 128 px, a tiny backbone, both eager, one thread
    python benchmarks/detectors.py --backbone resnet50 --size 800 --batch 1 --what infer
    python benchmarks/detectors.py --compile                  # ours compiled
    python benchmarks/detectors.py --own                      # the same tiny backbone, each side with its own settings
                                                              and weights: ours at `small`
    python benchmarks/detectors.py --count                    # operators and host syncs of a training step of batch 16

Each line is the ratio torchvision / ours, as the median and the range over rounds; above 1 ours is faster: of processor
time with one thread, so that other work on the machine counts little, and of wall time with more or on a GPU.
Both sides run the published training settings (2,000 proposals, 512 sampled regions, all anchors for RetinaNet and
SSD), but with --own, which says what a person gets who starts either one on small pictures, and not whose code is
faster.
"""
from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import time
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torchvision.models import detection as tv
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.ops.feature_pyramid_network import FeaturePyramidNetwork, LastLevelMaxPool, LastLevelP6P7

from stemma.core.part import In, part
from stemma.core.types import Batch, Targets
from stemma.engine.pictures.import_torchvision import from_torchvision, layout
from stemma.papers.localization import fpn, mask_rcnn, retinanet
from stemma.parts.backbones.tiny import TinyResNet
from stemma.parts.dense.heads import TowerHead
from stemma.parts.necks import FPN

CLASSES, WIDTH = 8, 64
SYNCS = ("aten._local_scalar_dense", "aten.nonzero", "aten.equal", "aten.is_nonzero", "aten.unique", "aten._unique2",
         "aten.masked_select")


class Body(nn.Module):
    """Our tiny net as torchvision's `backbone`."""

    def __init__(self, levels: tuple[int, ...], last: nn.Module) -> None:
        super().__init__()
        self.body = TinyResNet(In((3,), (1,)), levels=levels)
        self.fpn = FeaturePyramidNetwork(list(self.body.out.channels), WIDTH, last)
        self.out_channels = WIDTH

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        found: dict[str, Tensor] = self.fpn(OrderedDict((str(i), y) for i, y in enumerate(self.body(x))))
        return found


def pair(name: str, backbone: str, size: int) -> tuple[Any, Any]:
    """(ours, torchvision's) with equal weights."""
    torch.manual_seed(0)
    plain: dict[str, Any] = {"min_size": size, "max_size": max(size, 1333) if size > 128 else size}
    if backbone == "resnet50":
        make = {"fpn": tv.fasterrcnn_resnet50_fpn, "mask-rcnn": tv.maskrcnn_resnet50_fpn,
                "retinanet": tv.retinanet_resnet50_fpn, "ssd": tv.ssd300_vgg16}[name]
        theirs = make(weights=None, weights_backbone=None, num_classes=91, **({} if name == "ssd" else plain))
        return from_torchvision(name, theirs.state_dict()), theirs
    if name == "retinanet":
        sizes = tuple((x, int(x * 2 ** (1 / 3)), int(x * 2 ** (2 / 3))) for x in (32, 64, 128, 256, 512))
        anchors = AnchorGenerator(sizes, ((0.5, 1.0, 2.0),) * 5)
        theirs = tv.RetinaNet(Body((1, 2, 3), LastLevelP6P7(WIDTH, WIDTH)), CLASSES, anchor_generator=anchors, **plain)
        spec: Any = replace(
            retinanet.spec("torchvision"), backbone=part(TinyResNet, levels=(1, 2, 3)),
            neck=part(FPN, width=WIDTH, extra="p5"), head=part(TowerHead, width=WIDTH),
        )
    else:
        make = {"fpn": tv.FasterRCNN, "mask-rcnn": tv.MaskRCNN}[name]
        theirs = make(Body((0, 1, 2, 3), LastLevelMaxPool()), CLASSES + 1, **plain)
        spec = {"fpn": fpn, "mask-rcnn": mask_rcnn}[name].spec("paper")
        spec = replace(spec, backbone=part(TinyResNet, levels=(0, 1, 2, 3)), neck=part(FPN, width=WIDTH, extra="pool"))
    ours = spec.build(CLASSES)
    state = layout(name.replace("-", "_"), theirs.state_dict())[1]
    ours.load_state_dict({k: state.get(k, v) for k, v in ours.state_dict().items()})
    return ours, theirs


def own(name: str, size: int) -> tuple[Any, Any]:
    """(ours at `small`, torchvision's over the same tiny backbone), each with its own settings and weights."""
    return ({"fpn": fpn, "mask-rcnn": mask_rcnn, "retinanet": retinanet}[name].spec("small").build(CLASSES),
            pair(name, "tiny", size)[1])


def pictures(count: int, size: int, classes: int, name: str,
             device: str) -> tuple[Batch, list[Tensor], list[dict[str, Tensor]]]:
    """The same pictures and objects for both sides: six boxes of 10 to 50 % of the side a picture. torchvision's
    RetinaNet counts classes from 0."""
    masks, first = name == "mask-rcnn", int(name != "retinanet")
    g = torch.Generator().manual_seed(1)
    images = torch.rand(count, 3, size, size, generator=g)
    wh = size * (0.1 + 0.4 * torch.rand(count, 6, 2, generator=g))
    xy = torch.rand(count, 6, 2, generator=g) * (size - wh)
    boxes, labels = torch.cat([xy, xy + wh], -1), torch.randint(0, classes, (count, 6), generator=g)
    grid = torch.arange(size) + 0.5
    inside_x = (grid >= boxes[..., 0:1]) & (grid <= boxes[..., 2:3])
    inside_y = (grid >= boxes[..., 1:2]) & (grid <= boxes[..., 3:4])
    drawn = inside_y[..., :, None] & inside_x[..., None, :] if masks else None
    sizes = torch.full((count, 2), float(size))
    batch = Batch(images, Targets(boxes, labels, masks=drawn), sizes, sizes, torch.arange(count)).to(device)
    theirs = [
        {"boxes": batch.targets.boxes[i], "labels": batch.targets.labels[i] + first}
        | ({"masks": batch.targets.masks[i].to(torch.uint8)} if batch.targets.masks is not None else {})
        for i in range(count)
    ]
    return batch, list(batch.images), theirs


class Ops(TorchDispatchMode):
    """Counts operators, and those whose result the host waits for."""

    def __init__(self) -> None:
        super().__init__()
        self.found: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = str(func._schema.name).replace("::", ".")
        self.found[name] += 1
        if name in ("aten.index", "aten.index_put_", "aten.index_put") and any(x is not None and x.dtype == torch.bool
                                                                               for x in args[1]):
            self.found["sync"] += 1
        if name in SYNCS:
            self.found["sync"] += 1
        return func(*args, **(kwargs or {}))

    @property
    def numbers(self) -> tuple[int, int]:
        return sum(v for k, v in self.found.items() if k != "sync"), self.found["sync"]


def timed(run: Callable[[], Any], device: str) -> float:
    if device == "cuda":
        torch.cuda.synchronize()
    clock = time.process_time if device == "cpu" and torch.get_num_threads() == 1 else time.perf_counter
    begin = clock()
    run()
    if device == "cuda":
        torch.cuda.synchronize()
    return clock() - begin


def race(ours: Callable[[], Any], theirs: Callable[[], Any], rounds: int, device: str) -> dict[str, float]:
    for run in (ours, theirs, ours, theirs):
        run()
    times = [(timed(ours, device), timed(theirs, device)) for _ in range(rounds)]
    ratios = [b / a for a, b in times]
    return {"ratio": statistics.median(ratios), "least": min(ratios), "most": max(ratios),
            "ours_ms": 1e3 * statistics.median(a for a, _ in times),
            "theirs_ms": 1e3 * statistics.median(b for _, b in times)}


def steps(ours: Any, theirs: Any, batch: Batch, images: list[Tensor], targets: list[dict[str, Tensor]], amp: str,
          compiled: bool) -> dict[str, tuple[Any, Any]]:
    """The runs to compare, by name: (ours, theirs)."""
    device = batch.images.device.type
    cast = (lambda: torch.autocast(device, torch.bfloat16)) if amp == "bf16" else contextlib.nullcontext
    loss_of: Callable[[Batch], dict[str, Tensor]] = torch.compile(ours.loss) if compiled else ours.loss
    last = batch.images.contiguous(memory_format=torch.channels_last)
    again = replace(batch, images=last)

    def train_ours() -> None:
        ours.train().zero_grad(set_to_none=True)
        with cast():
            total = torch.stack(list(loss_of(again).values())).sum()
        total.backward()

    def train_theirs() -> None:
        theirs.train().zero_grad(set_to_none=True)
        with cast():
            total = sum(theirs(images, targets).values())
        total.backward()

    @torch.no_grad()
    def infer_ours() -> None:
        with cast():
            ours.eval().predict(last)

    @torch.no_grad()
    def infer_theirs() -> None:
        with cast():
            theirs.eval()(images)

    return {"train": (train_ours, train_theirs), "infer": (infer_ours, infer_theirs)}


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--models", nargs="+", default=["fpn", "mask-rcnn", "retinanet"],
                   choices=["fpn", "mask-rcnn", "retinanet", "ssd"])
    p.add_argument("--what", nargs="+", default=["train", "infer"], choices=["train", "infer"])
    p.add_argument("--backbone", default="tiny", choices=["tiny", "resnet50"])
    p.add_argument("--size", type=int, default=128)
    p.add_argument("--batch", type=int, default=8)
    p.add_argument("--rounds", type=int, default=7)
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--amp", default="fp32", choices=["fp32", "bf16"],
                   help="precision of ours; torchvision runs in fp32 unless --amp-both")
    p.add_argument("--amp-both", action="store_true")
    p.add_argument("--compile", action="store_true")
    p.add_argument("--own", action="store_true", help="each side with its own settings: ours at `small`")
    p.add_argument("--count", action="store_true", help="count operators and host syncs instead of timing")
    p.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    p.add_argument("--json", type=Path)
    a = p.parse_args()
    torch.set_num_threads(a.threads)
    rows: list[dict[str, Any]] = []
    for name in a.models:
        ours, theirs = (own(name, a.size) if a.own and name != "ssd"
                        else pair(name, "resnet50" if name == "ssd" else a.backbone, a.size))
        size = 300 if name == "ssd" else a.size
        ours, theirs = ours.to(a.device, memory_format=torch.channels_last), theirs.to(a.device)
        batch, images, targets = pictures(a.batch, size, ours.classes, name, a.device)
        for what in a.what:
            mine, other = steps(ours, theirs, batch, images, targets, a.amp, a.compile)[what]
            if a.amp_both:
                other = steps(ours, theirs, batch, images, targets, a.amp, False)[what][1]
            else:
                other = steps(ours, theirs, batch, images, targets, "fp32", False)[what][1]
            row: dict[str, Any] = {"model": name, "what": what, "size": size, "batch": a.batch, "amp": a.amp,
                                   "amp_both": a.amp_both, "compiled": a.compile,
                                   "threads": a.threads, "device": a.device, "backbone": a.backbone, "own": a.own}
            if a.count:
                numbers = []
                for run in (mine, other):
                    run()
                    with Ops() as ops:
                        run()
                    numbers.append(ops.numbers)
                row |= {"ours_operators": numbers[0][0], "theirs_operators": numbers[1][0], "ours_syncs": numbers[0][1],
                        "theirs_syncs": numbers[1][1]}
                print(f"{name:10} {what:5} operators {numbers[0][0]:6} against {numbers[1][0]:6}, host syncs "
                      f"{numbers[0][1]:4} against {numbers[1][1]:4}",
                      flush=True)
            else:
                row |= race(mine, other, a.rounds, a.device)
                print(f"{name:10} {what:5} {size:4} px, batch {a.batch:2}: ours {row['ours_ms']:9.1f} ms, torchvision "
                      f"{row['theirs_ms']:9.1f} ms, {row['ratio']:.2f}x ({row['least']:.2f} to {row['most']:.2f})",
                      flush=True)
            rows.append(row)
    if a.json:
        a.json.write_text(json.dumps({"torch": torch.__version__, "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
