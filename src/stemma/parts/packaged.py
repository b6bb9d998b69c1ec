"""Networks whose weights install as a package, by name alone: whoever names one need not import what builds it."""
from __future__ import annotations

# the networks whose weights `stemma-vision[weights]` brings, and the blocks of their stages; normalised with mean = std
# = 0.5
DEPTHS = {"tf_efficientnet_lite0": (1, 2, 2, 3, 3, 4, 1), "tf_efficientnet_lite1": (1, 3, 3, 4, 4, 5, 1),
          "tf_efficientnet_lite2": (1, 3, 3, 4, 4, 5, 1)}
PACKAGED = "tf_efficientnet_lite0"  # the one that is taken where none is named

__all__ = ["DEPTHS", "PACKAGED"]
