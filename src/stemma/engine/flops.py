"""How many floating-point operations one forward pass takes, counted by PyTorch as it runs: no formula of ours."""
from __future__ import annotations

import copy

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


def flops(model: nn.Module, size: tuple[int, int], batch: int = 1) -> int:
    """Operations of `model(images)` for `batch` pictures of `size` (height, width); a multiply-add counts as two.

    Matrix products, convolutions and attention are counted, which is all but a few in a hundred of what these networks do;
    pooling, norms, NMS and interpolation are not. Runs on the `meta` device where the model can, without memory or time,
    and on the model's own device else.
    """
    was = model.training
    try:
        return _count(copy.deepcopy(model).to("meta").eval(), size, batch, torch.device("meta"))
    except (NotImplementedError, RuntimeError):  # an operator without a meta kernel, or a shape that depends on values
        device = next(model.parameters()).device
        return _count(model.eval(), size, batch, device)
    finally:
        model.train(was)


def _count(model: nn.Module, size: tuple[int, int], batch: int, device: torch.device) -> int:
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        model(torch.zeros(batch, 3, *size, device=device))
    return int(counter.get_total_flops())


__all__ = ["flops"]
