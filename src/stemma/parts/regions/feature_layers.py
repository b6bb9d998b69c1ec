"""Fully connected layers on one long vector a region: AlexNet's, and what R-CNN and SPP-net put their SVMs on."""
from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from ...core.part import In
from .heads import RegionHead


class FeatureLayers(RegionHead):
    """Fully connected layers on a region's features, which a view pools and not this head, and a logit a class and
    background on the last of them.

    Weights from N(0, `std`), biases `bias` (AlexNet's); `std=0` takes Kaiming's.
    `norm` puts batch norm before each ReLU.
    """

    def __init__(
        self, inp: In, widths: tuple[int, ...] = (4096, 4096), dropout: float = 0.5, std: float = 0.005,
        bias: float = 1.0, norm: bool = False,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = inp.channels[0]
        for width in widths:
            layers.append(nn.Linear(before, width))
            layers += [nn.BatchNorm1d(width)] * norm + [nn.ReLU(inplace=True)] + [nn.Dropout(dropout)] * (dropout > 0)
            before = width
        self.body, self.cls, self.width = nn.Sequential(*layers), nn.Linear(before, inp.logits), before
        for m in self.body:
            if isinstance(m, nn.Linear):
                nn.init.normal_(m.weight, std=std) if std else nn.init.kaiming_normal_(m.weight, nonlinearity="relu")
                nn.init.constant_(m.bias, bias)
        nn.init.normal_(self.cls.weight, std=0.01)
        nn.init.zeros_(self.cls.bias)

    def forward(self, x: Float[Tensor, "N D"]) -> Float[Tensor, "N E"]:  # type: ignore[override]
        y: Tensor = self.body(x)
        return y
