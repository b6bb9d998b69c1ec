"""What is done to the colours before the first convolution."""
from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ..ops.constants import constant


@dataclass(frozen=True)
class Preprocess:
    """(image - mean) / std a channel, on RGB in 0..1. The loader pads with `mean`, so padding is 0 after it.
    Default: ImageNet's."""

    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)

    def __call__(self, images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B 3 H W"]:
        mean, std = (along_rows(v, images) for v in (self.mean, self.std))
        return (images - mean).div_(std)


def along_rows(values: tuple[float, ...], images: Float[Tensor, "B 3 H W"]) -> Tensor:
    """A number a channel, to be taken with every pixel. Where channels lie last on a processor, a whole row of them:
    three numbers at a time are ten times as slow."""
    if images.device.type != "cpu" or torch.compiler.is_compiling() or images.stride(1) != 1:
        return constant(values, images)[:, None, None]
    return constant(values * images.shape[-1], images).view(1, -1, len(values)).permute(2, 0, 1)


# Caffe's: pixels of 0..255, the mean taken off
VGG = Preprocess((123 / 255, 117 / 255, 104 / 255), (1 / 255, 1 / 255, 1 / 255))
UNIT = Preprocess((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))  # Darknet's: 0..1 as they are
