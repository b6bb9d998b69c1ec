"""torchvision's operators, brought in when one is first called.

The package imports PyTorch's compiler (`torchvision/ops/roi_align.py` of 0.29.1 does, for one question), which takes as
long as PyTorch itself and 200 MB; what asks no operator (`stemma show`, the training of a map) goes without.
"""
from __future__ import annotations

from types import ModuleType


def compiled() -> ModuleType:
    """`torchvision.ops`, with `nms`, `roi_align`, `roi_pool` and `deform_conv2d`."""
    import torchvision

    ops: ModuleType = torchvision.ops
    return ops
