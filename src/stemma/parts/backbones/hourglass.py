"""Stacked hourglasses of residual blocks (CornerNet sec. 3.5; Newell et al., arXiv 1603.06937)."""
from __future__ import annotations

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ...core.part import In
from ..trunk import Trunk


def conv_relu(channels: int, width: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    """Convolution without bias, batch norm, ReLU."""
    return nn.Sequential(nn.Conv2d(channels, width, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(width),
                         nn.ReLU(inplace=True))


def conv_norm(channels: int, width: int, kernel: int = 1, stride: int = 1) -> nn.Sequential:
    """Convolution without bias, batch norm."""
    return nn.Sequential(nn.Conv2d(channels, width, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(width))


class Residual(nn.Module):
    """Two 3x3 convolutions with batch norm and a shortcut, which is a 1x1 where shape changes."""

    def __init__(self, channels: int, width: int, stride: int = 1) -> None:
        super().__init__()
        self.one = conv_relu(channels, width, 3, stride)
        self.two = conv_norm(width, width, 3)
        self.skip = conv_norm(channels, width, 1, stride) if stride != 1 or channels != width else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.two(self.one(x)) + self.skip(x), inplace=True)


def _row(channels: int, width: int, count: int, stride: int = 1) -> nn.Sequential:
    """`count` blocks, the first of which changes channels and stride."""
    return nn.Sequential(*[Residual(channels if i == 0 else width, width, stride if i == 0 else 1)
                           for i in range(count)])


class Hourglass(nn.Module):
    """Down by strided blocks to the coarsest map and up again by nearest neighbours,
    with blocks on the side added at every size."""

    def __init__(self, widths: tuple[int, ...], blocks: tuple[int, ...]) -> None:
        super().__init__()
        here, below, count = widths[0], widths[1], blocks[0]
        self.side = _row(here, here, count)
        self.down = _row(here, below, count, 2)
        self.inner: nn.Module = Hourglass(widths[1:], blocks[1:]) if len(widths) > 2 else _row(below, below, blocks[1])
        self.up = nn.Sequential(*[Residual(below, below) for _ in range(count - 1)], Residual(below, here))

    def forward(self, x: Tensor) -> Tensor:
        side = self.side(x)
        y: Tensor = side + F.interpolate(self.up(self.inner(self.down(x))), size=side.shape[-2:], mode="nearest")
        return y


class HourglassNet(Trunk):
    """A stem of stride 4, then `stacks` hourglasses; each hands out a map of `width` channels at stride 4,
    and the next begins from it.

    `widths` and `blocks` are of the sizes of an hourglass, from stride 4 down by halves; the defaults are
    Hourglass-104. `stem` are the channels of the 7x7 convolution of stride 2.
    """

    alone = ("an hourglass goes down to coarse maps and up again, which no network of levels does by itself; a preset "
             "with a pyramid takes one")

    def __init__(
        self, inp: In, stacks: int = 2, widths: tuple[int, ...] = (256, 256, 384, 384, 384, 512),
        blocks: tuple[int, ...] = (2, 2, 2, 2, 2, 4), width: int = 256, stem: int = 128,
    ) -> None:
        super().__init__()
        assert len(widths) == len(blocks) > 1, f"one count of blocks a size: {widths}, {blocks}"
        c = widths[0]
        self.stem = nn.Sequential(conv_relu(inp.channels[0], stem, 7, 2), Residual(stem, c, 2))
        self.hourglasses = nn.ModuleList(Hourglass(widths, blocks) for _ in range(stacks))
        self.says = nn.ModuleList(conv_relu(c, width) for _ in range(stacks))
        self.again = nn.ModuleList(conv_norm(c, c) for _ in range(stacks - 1))
        self.back = nn.ModuleList(conv_norm(width, c) for _ in range(stacks - 1))
        self.between = nn.ModuleList(Residual(c, c) for _ in range(stacks - 1))
        self.out = In((width,) * stacks, (inp.strides[0] * 4,) * stacks, inp.classes)

    def forward(self, x: Float[Tensor, "B 3 H W"]) -> list[Tensor]:
        x = self.stem(x)
        found: list[Tensor] = []
        for i, (hourglass, say) in enumerate(zip(self.hourglasses, self.says)):
            found.append(say(hourglass(x)))
            if i < len(self.between):
                x = self.between[i](F.relu(self.again[i](x) + self.back[i](found[-1])))
        return found
