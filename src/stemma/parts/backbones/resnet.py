"""ResNet-50/101/152 as detectors use it: frozen batch norm, early stages frozen, C2..C5 handed out.

Parameter and buffer names are those of torchvision's `resnet50` without the classifier.
"""
from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ...core.part import In
from ..trunk import Trunk

Norm = Literal["batch", "frozen"]
DEPTHS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}


class FrozenBatchNorm(nn.Module):
    """Batch norm whose statistics and scale are constants: buffers, no parameters, the same in training and evaluation.

    A state dict of `nn.BatchNorm2d` loads (`num_batches_tracked` is dropped).
    """

    def __init__(self, channels: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        self.register_buffer("weight", torch.ones(channels))
        self.register_buffer("bias", torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def _load_from_state_dict(self, state_dict, prefix, *rest) -> None:  # type: ignore[no-untyped-def]
        state_dict.pop(f"{prefix}num_batches_tracked", None)
        super()._load_from_state_dict(state_dict, prefix, *rest)

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
        return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias,  # type: ignore[arg-type]
                            False, 0.0, self.eps)


def normalise(norm: Norm, channels: int, eps: float = 1e-5) -> nn.Module:
    return nn.BatchNorm2d(channels, eps) if norm == "batch" else FrozenBatchNorm(channels, eps)


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 with a shortcut (He et al. 2015, fig. 5 right); the stride sits on the 3x3, or on the first 1x1 as
    first published.

    `kernel` is the side of the first convolution and of the shortcut's, unpadded; `middle` that of the second.
    `project` puts a convolution on the shortcut where the shapes do not ask for one too.
    """

    def __init__(
        self, channels: int, width: int, stride: int = 1, norm: Norm = "frozen", eps: float = 1e-5,
        stride_first: bool = False, dilation: int = 1, kernel: int = 1, middle: int = 3, project: bool = False
    ) -> None:
        super().__init__()
        first, second = (stride, 1) if stride_first else (1, stride)
        self.conv1 = nn.Conv2d(channels, width, kernel, first, bias=False)
        self.bn1 = normalise(norm, width, eps)
        self.conv2 = nn.Conv2d(width, width, middle, second, dilation * (middle // 2), dilation, bias=False)
        self.bn2 = normalise(norm, width, eps)
        self.conv3 = nn.Conv2d(width, width * 4, 1, bias=False)
        self.bn3 = normalise(norm, width * 4, eps)
        self.downsample: nn.Module | None = None
        if stride != 1 or channels != width * 4 or project:
            self.downsample = nn.Sequential(nn.Conv2d(channels, width * 4, kernel, stride, bias=False),
                                            normalise(norm, width * 4, eps))

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        y = F.relu(self.bn2(self.conv2(y)), inplace=True)
        y = self.bn3(self.conv3(y))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)), inplace=True)


def stage(
    channels: int, width: int, blocks: int, stride: int, norm: Norm = "frozen", eps: float = 1e-5,
    stride_first: bool = False, dilation: int = 1, first: int = 1
) -> nn.Sequential:
    """One ResNet stage of bottlenecks: `channels` in, 4 x `width` out. The 3x3s are dilated by `dilation`, that of the
    first block by `first`."""
    head = Bottleneck(channels, width, stride, norm, eps, stride_first, first)
    return nn.Sequential(head, *[Bottleneck(width * 4, width, 1, norm, eps, stride_first, dilation)
                                 for _ in range(blocks - 1)])


def atrous(stride: int, most: int, dilation: int, after: bool) -> tuple[int, int, int]:
    """(stride, dilation of the stage, dilation of its first 3x3) where a stage would halve a map of `stride` times a
    `dilation`, and `most` is the
    coarsest stride wanted: a stride that is not taken dilates whatever comes `after` it, the first 3x3 included where
    the stride sat before it. Every second cell of the result is what the strided stage gives (DeepLab sec. 3.1).
    """
    if stride * 2 <= most:
        return 2, dilation, dilation
    return 1, dilation * 2, dilation * 2 if after else dilation


def initialise(module: nn.Module) -> None:
    """He initialisation of every convolution."""
    for m in module.modules():
        if isinstance(m, nn.Conv2d):
            nn.init.kaiming_normal_(m.weight, mode="fan_out", nonlinearity="relu")


class ResNet(Trunk):
    """Levels 0..3 are C2..C5 (strides 4..32); stages above the last wanted level are not built: `levels=(2,)` is the C4
    trunk.

    `freeze` counts frozen groups from the input: 0 none, 1 the stem, 2 the stem and C2 (as torchvision and detectron2
    do), up to 5. `stride` is the coarsest that is wanted: strides beyond it are not taken, and what follows is dilated
    (`atrous`). `ceil` pools after the stem without padding and rounds up, as Caffe does: 321 pixels give C3 of 40
    cells, and not 41.
    """

    SCRATCH = {"norm": "batch", "freeze": 0}

    def __init__(
        self, inp: In, depth: int = 50, levels: tuple[int, ...] = (0, 1, 2, 3), norm: Norm = "frozen", freeze: int = 2,
        eps: float = 1e-5, stride_first: bool = False, stride: int = 32, ceil: bool = False,
    ) -> None:
        super().__init__()
        self.levels, self.ceil = levels, ceil
        self.conv1 = nn.Conv2d(inp.channels[0], 64, 7, 2, 3, bias=False)
        self.bn1 = normalise(norm, 64, eps)
        before, strides, dilation = 64, [4], 1
        for i, blocks in enumerate(DEPTHS[depth][: max(levels) + 1]):
            step, dilation, first = (1, 1, 1) if i == 0 else atrous(strides[-1], stride, dilation, stride_first)
            strides += [strides[-1] * step] if i else []
            self.add_module(f"layer{i + 1}",
                            stage(before, 64 * 2**i, blocks, step, norm, eps, stride_first, dilation, first))
            before = 256 * 2**i
        initialise(self)
        groups = [[self.conv1, self.bn1], *[[m] for name, m in self.named_children() if name.startswith("layer")]]
        for m in [m for group in groups[:freeze] for m in group]:
            m.requires_grad_(False)
        self.out = In(tuple(256 * 2**i for i in levels), tuple(inp.strides[0] * strides[i] for i in levels),
                      inp.classes)

    def forward(self, x: Float[Tensor, "B 3 H W"]) -> list[Tensor]:
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x)), inplace=True), 3, 2, 0 if self.ceil else 1,
                         ceil_mode=self.ceil)
        found = []
        for i in range(max(self.levels) + 1):
            x = self.get_submodule(f"layer{i + 1}")(x)
            found.append(x)
        return [found[i] for i in self.levels]
