"""Weights that stand for ImageNet's where there are none: drawn, and scaled layer by layer so that what each hands on
is as large as in a trained net (Mishkin and Matas, "All you need is a good init", 2015)."""
from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stemma.parts.backbones.even import natural
from stemma.parts.backbones.resnet import Bottleneck, FrozenBatchNorm
from stemma.parts.regions.heads import FCHead, Res5Head

SHORTCUT = 0.5  # what a residual branch adds, beside what it is added to


@torch.no_grad()
def pretend(model: nn.Module, seed: int = 0) -> nn.Module:
    """Draw the weights of every backbone of `model`, of a net that names crops, and of what classifiers bring besides (a
    last stage, fully connected layers on 7 x 7 bins), and scale them on `natural` pictures."""
    torch.manual_seed(seed)
    bodies = [(n, m) for n, m in model.named_modules() if n.rpartition(".")[2] in ("backbone", "crop")]
    for name, body in bodies:
        whole: Any = model.get_submodule(name.rpartition(".")[0])
        pictures = whole.spec.preprocess((0.226 * natural(2, 160) + 0.45).clamp(0, 1))
        last = scaled(body, pictures)[-1]
        for head in whole.modules():
            if isinstance(head, Res5Head) and isinstance(head.stage[0], Bottleneck):
                scaled(head.stage, last)
            if isinstance(head, FCHead) and len(head.body) and head.body[0].in_features == last.shape[1] * 49:
                scaled(head.body, F.adaptive_max_pool2d(last, 7).flatten(1))
    return model


def scaled(net: Any, x: Tensor) -> Any:
    """What `net` says of `x` once every layer answers with a deviation of 1: norms take the statistics that they see,
    other layers are drawn and divided."""
    seen: set[int] = set()
    normed = any(isinstance(m, (FrozenBatchNorm, nn.BatchNorm2d)) for m in net.modules())

    def norm(m: Any, given: tuple[Tensor]) -> None:
        m.running_mean.copy_(given[0].mean((0, 2, 3)))
        m.running_var.copy_(given[0].var((0, 2, 3)).clamp(min=1e-4))
        nn.init.normal_(m.weight, 1.0, 0.1)
        nn.init.normal_(m.bias, 0.0, 0.1)

    def layer(m: Any, _: Any, out: Tensor) -> Tensor:
        if id(m) not in seen:
            seen.add(id(m))
            factor = 1 / out.std().clamp(min=1e-6)
            m.weight.mul_(factor)
            out = out * factor
            if m.bias is not None:  # a plain wall is not silence to a trained net
                old = m.bias * factor
                shift = nn.init.normal_(m.bias, 0.0, 0.1) - old
                out = out + (shift[:, None, None] if out.ndim == 4 else shift)
        return out

    hooks = []
    for m in net.modules():
        if isinstance(m, (FrozenBatchNorm, nn.BatchNorm2d)):
            hooks.append(m.register_forward_pre_hook(norm))
        elif isinstance(m, (nn.Conv2d, nn.Linear)) and bool(m.weight.any()):  # offsets begin at zero
            nn.init.kaiming_normal_(m.weight, nonlinearity="relu")
            if not normed:
                hooks.append(m.register_forward_hook(layer))
    was = net.training
    out = net.eval()(x)
    net.train(was)
    for h in hooks:
        h.remove()
    for m in net.modules():
        if isinstance(m, Bottleneck):
            m.bn3.weight.mul_(SHORTCUT)  # type: ignore[operator]
    return net.eval()(x) if normed else out
