"""What backbones and necks have in common: they map to a list of levels and say what they give."""
from __future__ import annotations

from torch import nn

from ..core.part import In


class Trunk(nn.Module):
    """A backbone (images -> levels) or a neck (levels -> levels).

    `out` tells the channels and the stride of every level that `forward` returns, finest first.
    """

    out: In
