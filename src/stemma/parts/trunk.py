"""What backbones and necks have in common: they map to a list of levels and say what they give."""
from __future__ import annotations

from torch import nn

from ..core.part import In


class Trunk(nn.Module):
    """A backbone (images -> levels) or a neck (levels -> levels).

    `out` tells the channels and the stride of every level that `forward` returns, finest first.
    """

    out: In


def asleep(module: nn.Module) -> bool:
    """Whether none of a module's weights learn now: its statistics are to rest too."""
    return not any(p.requires_grad for p in module.parameters())


def rest(module: nn.Module) -> None:
    """Batch norms whose weights do not learn now keep their statistics."""
    for m in module.modules():
        if isinstance(m, nn.BatchNorm2d) and asleep(m):
            m.eval()
