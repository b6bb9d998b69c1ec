"""Several looks with the same filters, dilated in ways of their own (TridentNet sec. 3.2).

Axes: L looks, B images.
"""
from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ...core.types import StemmaError

SIDES = ((3, 3), (5, 5))


class TridentConv(nn.Conv2d):
    """Sec. 3.2: the same filters for every look, dilated as that look is; looks lie one after another in the batch.
    `fast`: in prediction that one alone. `others` has filters for looks beyond the first, where they share none.
    `resample`: a look's map is made smaller by its rate and what the filters say of it larger again, in the place of
    dilated filters.

    Published on 3x3s; sides of 5 and filters of one channel each (timm's networks) are dilated alike.
    """

    def __init__(self, of: nn.Conv2d, dilations: tuple[int, ...], fast: int, shared: bool,
                 resample: bool = False) -> None:
        side = of.kernel_size[0]
        super().__init__(of.in_channels, of.out_channels, side, of.stride[0], side // 2, groups=of.groups,
                         bias=of.bias is not None)
        self.load_state_dict(of.state_dict())
        self.weight.requires_grad_(of.weight.requires_grad)
        self.looks, self.fast, self.resample = dilations, fast, resample
        self.others = nn.ParameterList([] if shared else [self.weight.detach().clone() for _ in dilations[1:]])

    def forward(self, x: Float[Tensor, "LB C H W"]) -> Float[Tensor, "LB D h w"]:
        weights = [self.weight, *(self.others or [self.weight] * (len(self.looks) - 1))]
        every = list(zip(weights, self.looks))
        every = every if self.training or self.fast < 0 else every[self.fast : self.fast + 1]
        return torch.cat([self._look(part, w, d) for part, (w, d) in zip(x.chunk(len(every)), every, strict=True)])

    def _look(self, x: Tensor, w: Tensor, d: int) -> Tensor:
        rim = self.kernel_size[0] // 2
        if not self.resample or d == 1:
            return F.conv2d(x, w, self.bias, self.stride, d * rim, d, self.groups)
        small = F.interpolate(x, [-(-n // d) for n in x.shape[2:]], mode="area")
        said = F.conv2d(small, w, self.bias, 1, rim, 1, self.groups)
        return F.interpolate(said, [-(-n // self.stride[0]) for n in x.shape[2:]], mode="bilinear")


def part_looks(trunk: nn.Module, stage: str, dilations: tuple[int, ...], fast: int, shared: bool,
               looks: Callable[[], int], resample: bool = False) -> None:
    """Lets the blocks but the first of a trunk's `stage` see a picture `looks()` times, in place; names stay.

    Raises `StemmaError` where there is no such stage of several blocks of 3x3 or 5x5 convolutions.
    """
    blocks = list(dict(trunk.named_modules()).get(stage, nn.Sequential()).children())[1:]
    inside = {id(m) for b in blocks for m in b.modules() if isinstance(m, nn.Conv2d) and m.kernel_size in SIDES}
    if not inside:
        raise StemmaError(f"stage={stage}: this backbone has no such stage of several blocks of 3x3 or 5x5 "
                          "convolutions, where looks could part; say the path of one")
    for name, m in list(trunk.named_modules()):
        if id(m) in inside and isinstance(m, nn.Conv2d):
            home, _, last = name.rpartition(".")
            setattr(trunk.get_submodule(home), last, TridentConv(m, dilations, fast, shared, resample))
    blocks[0].register_forward_pre_hook(lambda _, x: x[0].repeat(looks(), 1, 1, 1))
