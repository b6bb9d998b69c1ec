"""The convolutions of YOLOv1's network (fig. 3 of arXiv 1506.02640), YOLOv2's Darknet-19 (table 6 of arXiv 1612.08242)
and YOLOv3's Darknet-53 (table 1 of arXiv 1804.02767)."""
from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from ...core.part import In, Part
from ..trunk import Trunk

POOL = (0, 0, 0)
LAYERS: tuple[tuple[int, int, int], ...] = (  # channels, kernel, stride
    (64, 7, 2), POOL,
    (192, 3, 1), POOL,
    (128, 1, 1), (256, 3, 1), (256, 1, 1), (512, 3, 1), POOL,
    *((256, 1, 1), (512, 3, 1)) * 4, (512, 1, 1), (1024, 3, 1), POOL,
    *((512, 1, 1), (1024, 3, 1)) * 2, (1024, 3, 1), (1024, 3, 2),
    (1024, 3, 1), (1024, 3, 1),
)
MOMENTUM = 0.01  # of a batch norm's averages, which keep .99 a step (darknet, batchnorm_layer.c)
ADDED = 4  # the last of them, which are not trained on ImageNet


class Darknet24(Trunk):
    """24 convolutions with leaky ReLUs of slope 0.1 and four pools: one level of 1024 channels at stride 64.

    `norm="batch"` is the released configuration; the paper's net has biases. `width` multiplies every channel count.
    `pools` of the four pools are kept, the first of them: with two the stride is 16. `of` is another network in the
    place of the first twenty convolutions, those that the paper trains on ImageNet first (sec. 2.2); its last level is
    read, and it should be of stride 32 as theirs is.
    """

    first = (32,)  # the stride of what may stand in the place of the first twenty

    def __init__(self, inp: In, width: float = 1.0, norm: str = "none", pools: int = 4,
                 of: Part[Trunk] | None = None) -> None:
        super().__init__()
        self.of = None if of is None else of.build(inp)
        layers: list[nn.Module] = []
        channels, stride, left = inp.channels[0], inp.strides[0], pools
        if self.of is not None:
            channels, stride = self.of.out.channels[-1], self.of.out.strides[-1]
        for c, kernel, step in LAYERS if self.of is None else LAYERS[-ADDED:]:
            if c == 0:
                if left > 0:
                    layers.append(nn.MaxPool2d(2, 2))
                    stride *= 2
                left -= 1
                continue
            c = max(8, int(c * width))
            layers.append(nn.Conv2d(channels, c, kernel, step, kernel // 2, bias=norm == "none"))
            if norm == "batch":
                layers.append(nn.BatchNorm2d(c, momentum=MOMENTUM))
            layers.append(nn.LeakyReLU(0.1, inplace=True))
            channels, stride = c, stride * step
        self.layers = nn.Sequential(*layers)
        for m in self.modules():
            if isinstance(m, nn.Conv2d):
                nn.init.kaiming_normal_(m.weight, a=0.1, nonlinearity="leaky_relu")
                if m.bias is not None:
                    nn.init.zeros_(m.bias)
        self.out = In((channels,), (stride,), inp.classes)

    def forward(self, x: Float[Tensor, "B 3 H W"]) -> list[Tensor]:
        return [self.layers(x if self.of is None else self.of(x)[-1])]


NINETEEN: tuple[tuple[tuple[int, int], ...], ...] = (  # (channels, kernel) between the five pools
    ((32, 3),),
    ((64, 3),),
    ((128, 3), (64, 1), (128, 3)),
    ((256, 3), (128, 1), (256, 3)),
    ((512, 3), (256, 1), (512, 3), (256, 1), (512, 3)),
    ((1024, 3), (512, 1), (1024, 3), (512, 1), (1024, 3)),
)


def conv_leaky(channels: int, width: int, kernel: int, stride: int = 1, momentum: float = MOMENTUM) -> nn.Sequential:
    """Darknet's block: convolution without bias, batch norm, leaky ReLU of slope 0.1."""
    conv = nn.Conv2d(channels, width, kernel, stride, kernel // 2, bias=False)
    nn.init.kaiming_normal_(conv.weight, a=0.1, nonlinearity="leaky_relu")
    return nn.Sequential(conv, nn.BatchNorm2d(width, momentum=momentum), nn.LeakyReLU(0.1, inplace=True))


class Darknet19(Trunk):
    """YOLOv2 sec. 3: 18 convolutions with batch norm and five pools; the nineteenth, 1x1 to the classes, is a head's.

    `levels` are the stages handed out: 0, 1, 2, 3 have strides 4, 8, 16, 32 and the last two 512 and 1024 channels.
    `width` multiplies every channel count.
    """

    def __init__(self, inp: In, levels: tuple[int, ...] = (2, 3), width: float = 1.0) -> None:
        super().__init__()
        self.at = tuple(i + 2 for i in levels)
        assert levels and max(self.at) < len(NINETEEN), f"levels {levels} of {len(NINETEEN) - 2}"
        self.stages = nn.ModuleList()
        channels, ends = inp.channels[0], []
        for i, stage in enumerate(NINETEEN[: max(self.at) + 1]):
            layers: list[nn.Module] = [nn.MaxPool2d(2, 2)] if i else []
            for c, kernel in stage:
                c = max(8, int(c * width))
                layers.append(conv_leaky(channels, c, kernel))
                channels = c
            self.stages.append(nn.Sequential(*layers))
            ends.append(channels)
        self.out = In(tuple(ends[i] for i in self.at), tuple(inp.strides[0] * 2**i for i in self.at), inp.classes)

    def forward(self, x: Float[Tensor, "B 3 H W"]) -> list[Tensor]:
        found = []
        for stage in self.stages:
            x = stage(x)
            found.append(x)
        return [found[i] for i in self.at]


FIFTY_THREE = ((64, 1), (128, 2), (256, 8), (512, 8), (1024, 4))  # (channels, residual blocks) after each halving


class Residual(nn.Module):
    """Darknet-53's block: 1x1 to half the channels, 3x3 back, and the input added to what comes out."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = max(1, channels // 2)
        self.body = nn.Sequential(conv_leaky(channels, half, 1), conv_leaky(half, channels, 3))

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
        return self.body(x) + x  # type: ignore[no-any-return]


class Darknet53(Trunk):
    """YOLOv3 sec. 2.4: 52 convolutions with batch norm, strided ones in the place of pools; the fifty-third, 1x1 to the
    classes, is a head's.

    `levels` are the stages handed out: 0, 1, 2, 3 have strides 4, 8, 16, 32 and 128, 256, 512, 1024 channels.
    `width` multiplies every channel count.
    """

    def __init__(self, inp: In, levels: tuple[int, ...] = (1, 2, 3), width: float = 1.0) -> None:
        super().__init__()
        self.at = tuple(i + 1 for i in levels)
        assert levels and max(self.at) < len(FIFTY_THREE), f"levels {levels} of {len(FIFTY_THREE) - 1}"
        channels = max(8, int(32 * width))
        self.stem, self.stages, ends = conv_leaky(inp.channels[0], channels, 3), nn.ModuleList(), []
        for c, blocks in FIFTY_THREE[: max(self.at) + 1]:
            c = max(8, int(c * width))
            self.stages.append(nn.Sequential(conv_leaky(channels, c, 3, 2), *[Residual(c) for _ in range(blocks)]))
            channels = c
            ends.append(c)
        self.out = In(tuple(ends[i] for i in self.at), tuple(inp.strides[0] * 2 ** (i + 1) for i in self.at),
                      inp.classes)

    def forward(self, x: Float[Tensor, "B 3 H W"]) -> list[Tensor]:
        x = self.stem(x)
        found = []
        for stage in self.stages:
            x = stage(x)
            found.append(x)
        return [found[i] for i in self.at]
