"""VGG16 (Simonyan & Zisserman 2014, column D), as it is and as SSD cuts it, and SSD's extra levels.

Layers are numbered as in torchvision's `vgg16().features`, so that its ImageNet weights load by name.
"""
from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ...core.part import In
from ..trunk import Trunk, several

Norm = Literal["none", "batch"]
WIDTHS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
WIDTHS_19 = ((64, 64), (128, 128), (256,) * 4, (512,) * 4, (512,) * 4)  # column E


def vgg_layers(channels: int, width: float = 1.0, ceil: tuple[int, ...] = (),
               widths: tuple[tuple[int, ...], ...] = WIDTHS, norm: Norm = "none") -> list[nn.Module]:
    """The convolutions of `widths` with their ReLUs and a pool after each stage; pools after the stages in `ceil` round
    up. `norm="batch"` puts batch norm before each ReLU (torchvision's vgg16_bn), to learn from nothing."""
    layers: list[nn.Module] = []
    for stage, convs in enumerate(widths):
        for c in convs:
            c = max(8, int(c * width))
            layers += [nn.Conv2d(channels, c, 3, padding=1), *[nn.BatchNorm2d(c)] * (norm == "batch"),
                       nn.ReLU(inplace=True)]
            channels = c
        layers.append(nn.MaxPool2d(2, 2, ceil_mode=stage in ceil))
    return layers


class VGG16(Trunk):
    """VGG16 up to conv5_3: one level of 512 channels at stride 16, which the first region detectors read.

    `ceil` rounds every pool up, as Caffe does: 600 x 1000 pixels give 38 x 63 cells.
    """

    SCRATCH = {"norm": "batch"}

    def __init__(self, inp: In, width: float = 1.0, ceil: bool = False, norm: Norm = "none") -> None:
        super().__init__()
        self.features = nn.Sequential(*vgg_layers(inp.channels[0], width, (0, 1, 2, 3) if ceil else (), norm=norm)[:-1])
        _kaiming(self)
        self.out = In((max(8, int(512 * width)),), (16 * inp.strides[0],), inp.classes)

    def forward(self, x: Float[Tensor, "B 3 H W"]) -> list[Tensor]:
        return [self.features(x)]


class VGGLevels(Trunk):
    """VGG16 or VGG19 (columns D and E) up to the last convolution of a stage: `levels` 0, 1, 2 end stages 3, 4 and 5,
    of 256, 512 and 512 channels at strides 4, 8 and 16."""

    SCRATCH = {"norm": "batch"}

    def __init__(self, inp: In, depth: int = 16, levels: tuple[int, ...] = (0, 1, 2), norm: Norm = "none") -> None:
        super().__init__()
        assert depth in (16, 19), f"VGG has 16 or 19 layers here, not {depth}"
        layers = vgg_layers(inp.channels[0], widths=WIDTHS if depth == 16 else WIDTHS_19, norm=norm)
        ends = [i for i, m in enumerate(layers) if isinstance(m, nn.MaxPool2d)][2:]  # pool3, pool4, pool5
        self.features = nn.Sequential(*layers[: ends[max(levels)]])
        self.ends = [ends[i] for i in sorted(levels)]
        _kaiming(self)
        self.out = In(tuple((256, 512, 512)[i] for i in sorted(levels)),
                      tuple((4, 8, 16)[i] * inp.strides[0] for i in sorted(levels)), inp.classes)

    def forward(self, x: Float[Tensor, "B C H W"]) -> list[Tensor]:
        found, start = [], 0
        for end in self.ends:
            x = self.features[start:end](x)
            found.append(x)
            start = end
        return found

    def between(self, level: int) -> nn.Module:
        """The layers from one level handed out to the next, which is `level`."""
        return self.features[self.ends[level - 1] : self.ends[level]]


class VGGAtrous(Trunk):
    """VGG16 as DeepLab v1 reads it (sec. 3.1): pools are 3x3, the last two keep the map's size, and conv5 is dilated
    by 2. 512 channels at stride 8.

    With padding on both sides cell i lies on pixel 8 i: 321 pixels give 41 cells. Its convolutions keep their names in
    torchvision's vgg16.
    """

    SCRATCH = {"norm": "batch"}
    undilated = (16,)  # the stride that its level would have

    def __init__(self, inp: In, width: float = 1.0, norm: Norm = "none") -> None:
        super().__init__()
        layers = vgg_layers(inp.channels[0], width, norm=norm)
        pools = [i for i, m in enumerate(layers) if isinstance(m, nn.MaxPool2d)]
        for k, i in enumerate(pools):
            layers[i] = nn.MaxPool2d(3, 2 if k < 3 else 1, 1)
        for m in layers[pools[3] :]:
            if isinstance(m, nn.Conv2d):
                m.dilation, m.padding = (2, 2), (2, 2)
        self.features = nn.Sequential(*layers)
        _kaiming(self)
        self.out = In((max(8, int(512 * width)),), (8 * inp.strides[0],), inp.classes)

    def forward(self, x: Float[Tensor, "B 3 H W"]) -> list[Tensor]:
        return [self.features(x)]


class L2Norm(nn.Module):
    """ParseNet's layer in SSD sec. 3.1: each place is scaled to unit length over the channels,
    times a learned factor a channel."""

    def __init__(self, channels: int, scale: float = 20.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((channels,), scale))

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
        return self.weight.view(1, -1, 1, 1) * F.normalize(x, dim=1)


class VGGReduced(Trunk):
    """VGG16 as SSD uses it (sec. 3): pool5 becomes 3x3 of stride 1, fc6 a 3x3 dilated by 6, fc7 a 1x1.

    Gives conv4_3 (L2-normalised to `scale`, or as it is at 0; stride 8) and fc7 (stride 16). pool3 rounds up: 300
    pixels give 38 cells.
    """

    SCRATCH = {"norm": "batch"}

    def __init__(self, inp: In, width: float = 1.0, fc: int = 1024, scale: float = 20.0, norm: Norm = "none") -> None:
        super().__init__()
        layers = vgg_layers(inp.channels[0], width, ceil=(2,), norm=norm)
        c, cut = max(8, int(512 * width)), 33 if norm == "batch" else 23
        self.low = nn.Sequential(*layers[:cut])  # to conv4_3
        self.norm: nn.Module = L2Norm(c, scale) if scale else nn.Identity()
        self.high = nn.Sequential(
            *layers[cut:-1], nn.MaxPool2d(3, 1, 1),
            nn.Conv2d(c, fc, 3, padding=6, dilation=6), nn.ReLU(inplace=True), nn.Conv2d(fc, fc, 1),
            nn.ReLU(inplace=True),
        )
        _kaiming(self)
        self.out = In((c, fc), (8 * inp.strides[0], 16 * inp.strides[0]), inp.classes)

    def forward(self, x: Float[Tensor, "B 3 H W"]) -> list[Tensor]:
        low = self.low(x)
        return [self.norm(low), self.high(low)]


class Extras(Trunk):
    """SSD's extra levels above the backbone's (fig. 2): each a 1x1 that narrows and a 3x3 that shrinks the map.

    `layers` are (narrow, wide, kernel, stride, padding). `norm="batch"` is for small nets trained from nothing (not in
    the paper). The stride that `out` tells of a level doubles at each, also where the map shrinks for want of padding:
    a rule that lays boxes has its own steps there.
    """

    def __init__(self, inp: In, layers: tuple[tuple[int, int, int, int, int], ...], norm: str = "none") -> None:
        super().__init__()
        self.blocks, self.layers, self.normed = nn.ModuleList(), layers, norm == "batch"
        channels, strides = list(inp.channels), list(inp.strides)
        for narrow, wide, kernel, stride, padding in layers:
            block: list[nn.Module] = []
            for a, b, conv in ((channels[-1], narrow, (1, 1, 0)), (narrow, wide, (kernel, stride, padding))):
                block.append(nn.Conv2d(a, b, *conv, bias=norm == "none"))
                block += [nn.BatchNorm2d(b)] * (norm == "batch") + [nn.ReLU(inplace=True)]
            self.blocks.append(nn.Sequential(*block))
            channels.append(wide)
            strides.append(strides[-1] * 2)
        for m in self.modules():
            if isinstance(m, nn.Conv2d):
                nn.init.xavier_uniform_(m.weight)
                if m.bias is not None:
                    nn.init.zeros_(m.bias)
        self.out = In(tuple(channels), tuple(strides), inp.classes)

    def forward(self, xs: list[Tensor]) -> list[Tensor]:
        xs = list(xs)
        for block, (_, _, *conv) in zip(self.blocks, self.layers):
            if self.normed:
                several(self, xs[-1], *conv)
            xs.append(block(xs[-1]))
        return xs


def _kaiming(net: nn.Module) -> None:
    for m in net.modules():
        if isinstance(m, nn.Conv2d):
            nn.init.kaiming_normal_(m.weight, mode="fan_out", nonlinearity="relu")
            if m.bias is not None:
                nn.init.zeros_(m.bias)
