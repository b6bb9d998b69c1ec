"""What stands between a world model's belief and the world: encoders of pictures, and heads that say pictures,
numbers and flags.

An encoder maps one channel's values [N, ...] to codes [N, E] and tells their width in `out`. A head maps features [N,
F] to what it says (`forward`), to its mean in the channel's own units (`mean`), and against the truth to nats (`loss`,
one number a step).

Axes: N steps of sequences laid flat, C H W of pictures, F features, E codes.
"""
from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ...core.part import In
from ...core.types import StemmaError
from .by_hand import HalfSquares, by_hand


def symlog(x: Tensor) -> Tensor:
    """sign(x) ln(1 + |x|): large numbers grow slowly, small ones stay as they are."""
    return x.sign() * x.abs().log1p()


def symexp(x: Tensor) -> Tensor:
    """The inverse of `symlog`."""
    return x.sign() * x.abs().expm1()


@dataclass(frozen=True)
class Pixels:
    """How pictures come to the network: drawn `size` x `size`, then bits, sign and range.

    `bits` < 8 keeps so many, and fills the gap with uniform noise, drawn anew at each look, in learning and in acting
    alike (PlaNet app. A and its released code). Values run over 0..1, minus `shift`, times `gain` (not in any paper:
    what moves in a world without contrast is otherwise hardly learned).
    """

    size: int = 64
    grey: bool = False
    bits: int = 8
    invert: bool = False
    shift: float = 0.0
    gain: float = 1.0

    @property
    def channels(self) -> int:
        return 1 if self.grey else 3

    def __call__(self, image: Tensor) -> Float[Tensor, "... C H W"]:
        """uint8 [..., H, W, C] as the network wants it."""
        x = image.movedim(-1, -3).to(torch.float32, copy=True)
        x = 255 - x if self.invert else x
        if self.bits == 8:
            y: Tensor = (x / 255 - self.shift) * self.gain
            return y
        levels = 2**self.bits
        x.mul_(levels / 256).floor_().add_(torch.rand_like(x)).div_(levels)
        x = x.sub_(self.shift) if self.shift else x
        return x.mul_(self.gain) if self.gain != 1 else x

    def back(self, x: Tensor) -> Tensor:
        """What a head has drawn, as uint8 [..., H, W, C] of the world's colours."""
        x = ((x / self.gain + self.shift).clamp(0, 1) * 255).round()
        colours: Tensor = 255 - x if self.invert else x
        return colours.to(torch.uint8).movedim(-3, -1)


class ConvEncoder(nn.Module):
    """Four convolutions of 4 x 4 with stride 2 and no padding (World Models fig. 22, PlaNet app. A): 64 x 64 becomes 2
    x 2 x 256.

    `code` > 0 puts a linear layer to so many numbers behind: for a variational encoder, means and log variances.
    """

    def __init__(self, inp: In, widths: tuple[int, ...] = (32, 64, 128, 256), code: int = 0) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels, side = inp.channels[0], inp.size
        for w in widths:
            layers += [nn.Conv2d(channels, w, 4, 2), nn.ReLU()]
            channels, side = w, (side - 2) // 2
        if side < 1:
            raise StemmaError(f"a picture of {inp.size} pixels is too small for {len(widths)} convolutions of stride "
                              "2; 64 fits four")
        self.net = nn.Sequential(*layers, nn.Flatten())
        self.code = nn.Linear(channels * side * side, code) if code else nn.Identity()
        self.out = In((code or channels * side * side,), (1,))

    def forward(self, x: Float[Tensor, "N C H W"]) -> Float[Tensor, "N E"]:
        code: Tensor = self.code(self.net(x))
        return code


class HalvingEncoder(nn.Module):
    """Not in any paper: padded convolutions of 4 x 4 with stride 2 until the side is 4, widths doubling from `width`,
    then `code` numbers."""

    def __init__(self, inp: In, width: int = 16, code: int = 128, relu: bool = True) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels, side = inp.channels[0], inp.size
        while side > 4:
            layers += [nn.Conv2d(channels, width, 4, 2, 1), nn.ReLU()]
            channels, side, width = width, side // 2, width * 2
        layers += [nn.Flatten(), nn.Linear(channels * side * side, code), *([nn.ReLU()] if relu else [])]
        self.net = nn.Sequential(*layers)
        self.out = In((code,), (1,))

    def forward(self, x: Float[Tensor, "N C H W"]) -> Float[Tensor, "N E"]:
        code: Tensor = self.net(x)
        return code


class DenseEncoder(nn.Module):
    """Not in any paper: `layers` linear layers of `units`, each with ReLU, over a small picture laid flat, or over a
    channel's numbers."""

    def __init__(self, inp: In, units: int = 128, layers: int = 2) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Flatten(), *dense(inp.channels[0] * inp.size**2, units, layers - 1, units),
                                 nn.ReLU())
        self.out = In((units,), (1,))

    def forward(self, x: Float[Tensor, "N ..."]) -> Float[Tensor, "N E"]:
        code: Tensor = self.net(x)
        return code


class ImageHead(nn.Module):
    """A picture with unit Gaussian noise: half the squared error, summed over pixels.

    `scales` > 1 (not in any paper) adds the same sum for the picture halved once, twice and so on, a halved pixel
    counting for the area that it
    covers: a small thing drawn near its place is then better than one not drawn.
    """

    sigmoid: bool = False
    scales: int = 1

    def loss(self, said: Float[Tensor, "N C H W"], truth: Float[Tensor, "N C H W"]) -> Float[Tensor, " N"]:
        if self.scales == 1 and by_hand(said):
            own: Tensor = HalfSquares.apply(said, truth)
            return own
        error = said - truth
        total = 0.5 * error.square().flatten(1).sum(1)
        for s in range(1, self.scales):
            error = F.avg_pool2d(error, 2)
            total = total + 0.5 * 4**s * error.square().flatten(1).sum(1)
        return total

    def mean(self, said: Tensor) -> Tensor:
        return said


class ConvDecoder(ImageHead):
    """A linear layer to 1024, then transposed convolutions of 5, 5, 6, 6 with stride 2 (the same two figures): 1 x 1
    becomes 64 x 64."""

    def __init__(self, inp: In, widths: tuple[int, ...] = (128, 64, 32), dense: int = 1024,
                 sigmoid: bool = False) -> None:
        super().__init__()
        if inp.size != 64:
            raise StemmaError(f"this decoder draws 64 x 64 pixels, not {inp.size}")
        self.dense, self.sigmoid = nn.Linear(inp.channels[0], dense), sigmoid
        layers: list[nn.Module] = []
        for i, (a, b) in enumerate(zip((dense, *widths), (*widths, inp.logits))):
            layers += [nn.ConvTranspose2d(a, b, 5 if i < 2 else 6, 2), nn.ReLU()]
        self.net = nn.Sequential(*layers[:-1])

    def forward(self, x: Float[Tensor, "N F"]) -> Float[Tensor, "N C H W"]:
        y: Tensor = self.net(self.dense(x)[..., None, None])
        return y.sigmoid() if self.sigmoid else y


class HalvingDecoder(ImageHead):
    """Not in any paper: `HalvingEncoder` the other way round."""

    def __init__(self, inp: In, width: int = 16, sigmoid: bool = False, scales: int = 1) -> None:
        super().__init__()
        times, side = 0, inp.size
        while side > 4:
            side, times = side // 2, times + 1
        channels = width * 2 ** max(times - 1, 0)
        layers: list[nn.Module] = [nn.Linear(inp.channels[0], channels * side * side), nn.ReLU(),
                                   nn.Unflatten(1, (channels, side, side))]
        for i in range(times):
            last = i == times - 1
            layers += [nn.ConvTranspose2d(channels, inp.logits if last else channels // 2, 4, 2, 1),
                       *([] if last else [nn.ReLU()])]
            channels //= 2
        self.net, self.sigmoid, self.scales = nn.Sequential(*layers), sigmoid, scales

    def forward(self, x: Float[Tensor, "N F"]) -> Float[Tensor, "N C H W"]:
        y: Tensor = self.net(x)
        return y.sigmoid() if self.sigmoid else y


class DenseDecoder(ImageHead):
    """Not in any paper: every pixel of a small picture from `layers` layers of `units`."""

    def __init__(self, inp: In, units: int = 128, layers: int = 2, sigmoid: bool = False) -> None:
        super().__init__()
        self.net = dense(inp.channels[0], units, layers, inp.logits * inp.size**2)
        self.net.append(nn.Unflatten(1, (inp.logits, inp.size, inp.size)))
        self.sigmoid = sigmoid

    def forward(self, x: Float[Tensor, "N F"]) -> Float[Tensor, "N C H W"]:
        y: Tensor = self.net(x)
        return y.sigmoid() if self.sigmoid else y


def dense(width: int, units: int, layers: int, out: int) -> nn.Sequential:
    """Linear layers with ReLU between; `layers` 0 is one linear map."""
    net: list[nn.Module] = []
    for _ in range(layers):
        net += [nn.Linear(width, units), nn.ReLU()]
        width = units
    return nn.Sequential(*net, nn.Linear(width, out))


class ScalarHead(nn.Module):
    """A number with unit Gaussian noise: half the squared error.
    `squash`: the error is that of the numbers' `symlog`."""

    def __init__(self, inp: In, units: int = 300, layers: int = 3, squash: bool = False) -> None:
        super().__init__()
        self.net, self.squash = dense(inp.channels[0], units, layers, 1), squash

    def forward(self, x: Float[Tensor, "N F"]) -> Float[Tensor, " N"]:
        said: Tensor = self.net(x)[..., 0]
        return said

    def loss(self, said: Float[Tensor, " N"], truth: Float[Tensor, " N"]) -> Float[Tensor, " N"]:
        return 0.5 * (said - (symlog(truth) if self.squash else truth)).square()

    def mean(self, said: Tensor) -> Tensor:
        return symexp(said) if self.squash else said


class FlagHead(nn.Module):
    """Yes or no: binary cross-entropy, a yes weighing `rare` times as much. `mean` is the probability that it says,
    rarity taken back out.

    `prior` is the chance that the bias begins with: what is rare is otherwise first learned from whatever varies.
    """

    def __init__(self, inp: In, units: int = 0, layers: int = 0, rare: float = 1.0, prior: float = 0.5) -> None:
        super().__init__()
        self.net, self.rare = dense(inp.channels[0], units, layers, 1), rare
        nn.init.constant_(self.net[-1].bias, math.log(prior / (1 - prior)))  # type: ignore[arg-type]

    def forward(self, x: Float[Tensor, "N F"]) -> Float[Tensor, " N"]:
        said: Tensor = self.net(x)[..., 0]
        return said

    def loss(self, said: Float[Tensor, " N"], truth: Float[Tensor, " N"]) -> Float[Tensor, " N"]:
        return F.binary_cross_entropy_with_logits(said, truth, pos_weight=said.new_tensor(self.rare), reduction="none")

    def mean(self, said: Tensor) -> Tensor:
        return (said - torch.log(said.new_tensor(self.rare))).sigmoid()


__all__ = [
    "ConvDecoder", "ConvEncoder", "DenseDecoder", "DenseEncoder", "FlagHead", "HalvingDecoder", "HalvingEncoder",
    "ImageHead", "Pixels", "ScalarHead", "dense", "symexp", "symlog",
]
