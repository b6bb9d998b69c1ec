"""What backbones and necks have in common: they map to a list of levels and say what they give."""
from __future__ import annotations

from torch import Tensor, nn

from ..core.part import In
from ..core.types import StemmaError


class Trunk(nn.Module):
    """A backbone (images -> levels) or a neck (levels -> levels).

    `out` tells the channels and the stride of every level that `forward` returns, finest first.
    """

    out: In


def asleep(module: nn.Module) -> bool:
    """Whether none of a module's weights learn now: its statistics are to rest too."""
    return not any(p.requires_grad for p in module.parameters())


def several(module: nn.Module, x: Tensor, kernel: int, stride: int, padding: int = 0) -> None:
    """Raises `StemmaError` in training where the map of a batch of one picture shrinks to one cell: a batch norm that
    learns has nothing to compare there."""
    cells = [(n + 2 * padding - kernel) // stride + 1 for n in x.shape[-2:]]
    if module.training and len(x) == 1 and cells == [1, 1] and not asleep(module):
        raise StemmaError("batch norm has nothing to compare on a map of one cell in a batch of one picture: train "
                          "with --batch 2 or more")


def rest(module: nn.Module) -> None:
    """Batch norms whose weights do not learn now (`lr_mult`, a phase) keep their statistics, in training too."""
    for m in module.modules():
        if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d) and asleep(m):
            m.eval()
