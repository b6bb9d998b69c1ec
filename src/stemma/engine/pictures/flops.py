"""How many floating-point operations a picture takes, counted by PyTorch as they run: a formula of ours for one
operator alone."""
from __future__ import annotations

from math import prod
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from ...core.modes import evaluating
from ...ops.compiled import compiled


def _deformed(x: torch.Size, weight: torch.Size, *rest: Any, out_shape: torch.Size, **more: Any) -> int:
    """torchvision's deformable convolution, which PyTorch's counter passes over: it multiplies as a plain one does."""
    return 2 * prod(out_shape) * prod(weight[1:])


def flops(model: nn.Module, images: Tensor | tuple[int, int], of: Literal["predict", "forward"] = "predict",
          proposals: Tensor | None = None) -> int:
    """Operations of one picture, a multiply-add counted as two.

    images: pictures `B 3 H W` in 0..1 on the model's device, over which the count is a mean,
    or a (height, width) of an empty one.
    of:     "predict", all that is done for a picture: a two-stage detector's regions depend on what it sees, so give it
            real pictures; or "forward", the network before proposals and decoding.
    proposals: `B P 4`, for a system that takes its boxes from outside.

    Matrix products, convolutions and attention are counted, which is all but a few in a hundred of what these networks
    do; pooling, norms, NMS and interpolation are not.
    """
    m: Any = model
    compiled()  # registers the operator that is counted here
    ours: dict[Any, Any] = {torch.ops.torchvision.deform_conv2d: _deformed}
    if not isinstance(images, Tensor):
        images = torch.zeros(1, 3, *images, device=next(model.parameters()).device)
    more: dict[str, Tensor] = {} if proposals is None else {"proposals": proposals}
    with evaluating(model), torch.no_grad(), FlopCounterMode(display=False, custom_mapping=ours) as counter:
        m.predict(images, **more) if of == "predict" else m(images)
    return int(round(counter.get_total_flops() / len(images)))


__all__ = ["flops"]
