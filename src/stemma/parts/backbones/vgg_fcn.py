"""VGG as FCN reads it: the fully connected layers are convolutions, the border is padded wide, pools round up."""
from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ...core.part import In
from ..maps.upsample import Grid, fc_to_conv
from ..trunk import Trunk


class VGGFCN(Trunk):
    """VGG-16 with fc6 a k x k and fc7 a 1x1 convolution (FCN sec. 4.1). Levels: pool3, pool4, fc7 at strides 8, 16, 32.

    `pad` zeros around conv1_1 make every input large enough for fc6, which pads nothing; with `pad` 0, fc6 pads to keep
    its size. The names under `features` are those of torchvision's vgg16; `load_vgg16` takes its state dict.
    """

    SCRATCH = {"norm": True}

    def __init__(
        self, inp: In, widths: tuple[int, ...] = (64, 128, 256, 512, 512), depths: tuple[int, ...] = (2, 2, 3, 3, 3),
        fc: int = 4096, kernel: int = 7, pad: int = 100, dropout: float = 0.5, norm: bool = False,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        self.pools: list[int] = []  # index of each pool in `features`
        grid, before, grids = Grid(1, 0.5), inp.channels[0], []
        for s, (width, depth) in enumerate(zip(widths, depths, strict=True)):
            for d in range(depth):
                border = pad if pad and s == d == 0 else 1
                grid = grid.conv(3, border)
                layers += [nn.Conv2d(before, width, 3, padding=border, bias=not norm),
                           *([nn.BatchNorm2d(width)] if norm else []), nn.ReLU(inplace=True)]
                before = width
            self.pools.append(len(layers))
            layers.append(nn.MaxPool2d(2, 2, ceil_mode=True))
            grid = grid.pool(2)
            grids.append(grid)
        self.features = nn.Sequential(*layers)
        same = 0 if pad else kernel // 2
        self.fc6 = nn.Conv2d(before, fc, kernel, padding=same)
        self.fc7 = nn.Conv2d(fc, fc, 1)
        self.dropout = nn.Dropout(dropout)
        self.divisor = 1 if pad else int(grid.stride)  # what the picture's sides must divide by
        levels = [grids[-3], grids[-2], grid.conv(kernel, same)]
        self.out = In((widths[-3], widths[-2], fc), tuple(int(g.stride) for g in levels), inp.classes,
                      tuple(g.offset for g in levels))
        for m in self.modules():
            if isinstance(m, nn.Conv2d):
                nn.init.kaiming_normal_(m.weight, nonlinearity="relu")
                if m.bias is not None:
                    nn.init.zeros_(m.bias)

    def forward(self, x: Float[Tensor, "B 3 H W"]) -> list[Tensor]:
        pooled = []
        for i, layer in enumerate(self.features):
            x = layer(x)
            if i in self.pools:
                pooled.append(x)
        x = self.dropout(F.relu(self.fc6(x), inplace=True))
        x = self.dropout(F.relu(self.fc7(x), inplace=True))
        return [pooled[-3], pooled[-2], x]

    @torch.no_grad()
    def load_vgg16(self, state: dict[str, Tensor]) -> None:
        """Copy the weights of a VGG-16 classifier, its fully connected layers included, as torchvision names them."""
        own = {k: v for k, v in state.items() if k.startswith("features.")}
        own |= {"fc6.weight": fc_to_conv(state["classifier.0.weight"], self.fc6.in_channels),
                "fc6.bias": state["classifier.0.bias"]}
        own |= {"fc7.weight": fc_to_conv(state["classifier.3.weight"], self.fc7.in_channels),
                "fc7.bias": state["classifier.3.bias"]}
        self.load_state_dict(own)
