"""torchvision's own detector with its reference recipe, in the budget of a comparison: the row to read beside ours.

    python benchmarks/torchvision_recipe.py --data path/to/bccd --budget 9m --model faster-rcnn --size 192 --longest 256

The network is torchvision's FasterRCNN or RetinaNet over its own pyramid of 256 channels, on the same packaged ImageNet
weights of EfficientNet-Lite0 that `--backbone tf_efficientnet_lite0:imagenet` gives ours. The recipe is that of
torchvision's references/detection: SGD of momentum .9 and weight decay 1e-4, a rate of .02 for sixteen pictures scaled
to the batch (RetinaNet: .01), a thousandth of it warmed up over at most 1,000 steps, divided by ten after 16/26 and
22/26 of the training, horizontal flips. `--optimizer adamw` gives it the optimiser of our small presets instead.
Pictures, sizes, splits and measures are ours. Prints one line of JSON; `--out` keeps the weights for `answers.py`.
"""
from __future__ import annotations

import argparse
import json
import warnings
from collections import OrderedDict
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torchvision.models import detection as tv
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.ops.feature_pyramid_network import FeaturePyramidNetwork, LastLevelMaxPool, LastLevelP6P7

from stemma.core.part import In
from stemma.core.recipe import Augment, Recipe, Resize
from stemma.core.types import Batch, Dataset
from stemma.data.loader import Loader
from stemma.data.open import held_out
from stemma.engine.running.budget import Budget, Spent
from stemma.engine.running.clock import Stopwatch
from stemma.engine.running.devices import keep_memory
from stemma.metrics import Evaluator
from stemma.parts.backbones.timm_backbone import Timm


class Body(nn.Module):
    def __init__(self, levels: tuple[int, ...], last: Any) -> None:
        super().__init__()
        self.body = Timm(In((3,), (1,)), levels=levels, weights="package")
        self.fpn = FeaturePyramidNetwork(list(self.body.out.channels), 256, last)
        self.out_channels = 256

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        found: dict[str, Tensor] = self.fpn(OrderedDict((str(i), y) for i, y in enumerate(self.body(x))))
        return found


def network(model: str, classes: int, size: int, longest: int) -> nn.Module:
    """torchvision's network; pictures come at their size already, and the packaged weights want a mean and deviation of
    one half."""
    plain: dict[str, Any] = {"min_size": size, "max_size": longest, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    if model == "faster-rcnn":
        net: nn.Module = tv.FasterRCNN(Body((0, 1, 2, 3), LastLevelMaxPool()), classes + 1, **plain)
        return net
    sizes = tuple((x, int(x * 2 ** (1 / 3)), int(x * 2 ** (2 / 3))) for x in (32, 64, 128, 256, 512))
    net = tv.RetinaNet(Body((1, 2, 3), LastLevelP6P7(256, 256)), classes,
                       anchor_generator=AnchorGenerator(sizes, ((0.5, 1.0, 2.0),) * 5), **plain)
    return net


def unpadded(batch: Batch) -> list[Tensor]:
    return [image[:, : int(h), : int(w)] for image, (h, w) in zip(batch.images, batch.sizes)]


def targets(batch: Batch, first: int) -> list[dict[str, Tensor]]:
    """Boxes and labels of the objects, `first` being the number of the first class."""
    t = batch.targets
    return [{"boxes": t.boxes[i][t.valid[i]], "labels": t.labels[i][t.valid[i]] + first} for i in range(len(batch))]


def evaluate(net: nn.Module, data: Dataset, recipe: Recipe, first: int) -> dict[str, Any]:
    net.eval()
    measure = Evaluator(data.info, "detection")
    for batch in Loader(data, recipe, train=False, batch=8, mean=(0.5,) * 3, needs=frozenset()).epoch(0):
        with torch.no_grad():
            found = net(unpadded(batch))
        for k, one in enumerate(found):
            scale = (batch.original[k] / batch.sizes[k]).flip(0).repeat(2)
            said = {"boxes": (one["boxes"] * scale).numpy(), "scores": one["scores"].numpy(),
                    "labels": one["labels"].numpy().astype(np.int64) - first}
            measure.add(data.truth(int(batch.index[k])), said, int(batch.index[k]))
    net.train()
    return {k: v for k, v in measure.result().items() if k in ("AP", "AP50", "AP75")}


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--data", required=True)
    p.add_argument("--budget", default="9m")
    p.add_argument("--model", default="faster-rcnn", choices=["faster-rcnn", "retinanet"])
    p.add_argument("--size", type=int, default=192)
    p.add_argument("--longest", type=int, default=256)
    p.add_argument("--batch", type=int, default=8)
    p.add_argument("--optimizer", default="sgd", choices=["sgd", "adamw"])
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--out", help="a file of safetensors")
    a = p.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(a.seed)
    warnings.simplefilter("ignore")
    keep_memory()
    budget, recipe = Budget.parse(a.budget), Recipe(batch=a.batch, resize=Resize("shortest", a.size, a.longest, 32),
                                                    augment=Augment(flip=0.5))
    held = held_out(a.data)
    train, test = held.train, held.measured
    first = int(a.model == "faster-rcnn")
    net = network(a.model, len(train.info.classes), a.size, a.longest)
    rate = (0.02 if first else 0.01) * a.batch / 16
    optimizer: torch.optim.Optimizer = torch.optim.SGD(net.parameters(), rate, 0.9, weight_decay=1e-4)
    if a.optimizer == "adamw":
        rate, optimizer = 1e-3, torch.optim.AdamW(net.parameters(), 1e-3, weight_decay=0.01)
    loader = Loader(train, replace(recipe), train=True, batch=a.batch, mean=(0.5,) * 3,
                    needs=frozenset({"boxes"}), seed=a.seed)
    clock = Stopwatch("cpu")  # as Stemma counts its seconds
    spent, epoch, warm = Spent(), 0, min(1000, len(loader) - 1)
    untrained = evaluate(net, test, recipe, first)
    net.train()
    while budget.fraction(spent) < 1:
        for batch in loader.epoch(epoch):
            clock.start()
            done = budget.fraction(spent)
            scale = 0.001 + 0.999 * min(1.0, spent.steps / warm)
            for group in optimizer.param_groups:
                group["lr"] = rate * scale * 0.1 ** ((done >= 16 / 26) + (done >= 22 / 26))
            loss = torch.stack(list(net(unpadded(batch), targets(batch, first)).values())).sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            clock.lap()
            spent = Spent(clock.work, spent.steps + 1, spent.epochs + 1 / len(loader), spent.images + len(batch),
                          clock.wall)
            if budget.fraction(spent) >= 1:
                break
        epoch += 1
    found = evaluate(net, test, recipe, first)
    if a.out:
        save_file(net.state_dict(), a.out, {"settings": json.dumps(vars(a))})
    print(json.dumps({"model": a.model, "optimizer": a.optimizer, "budget": a.budget, "steps": spent.steps,
                      "images": spent.images,
                      "images_per_second": spent.images / spent.seconds, "untrained": untrained, **found}))


if __name__ == "__main__":
    main()
