"""Layers that normalise what they say, and the encoders, decoders and heads made of them (DreamerV3, arXiv 2301.04104).

`norm` is "rms" (the paper's second version) or "layer" (its first); every layer but the last is linear, norm, SiLU.

Axes: N beliefs or steps, F numbers of a belief, K bins, C channels.
"""
from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ...core.part import In
from ...core.types import StemmaError
from .by_hand import RMSNormedSiLU, TwoHotLoss, by_hand, over_size, plain
from .nets import ImageHead, symexp, symlog

DEEPER = (2, 3, 4, 4)  # channels of the four convolutions, in multiples of `depth`


class RMSNormSiLU(nn.RMSNorm):
    """SiLU of an `nn.RMSNorm`. Where a CPU learns it is one node: torch's norm is a dozen operators there, whose way
    back takes half as long again."""

    def forward(self, x: Float[Tensor, "... F"]) -> Float[Tensor, "... F"]:
        if not plain(x):
            return F.silu(super().forward(x))
        assert self.eps is not None
        if not torch.is_grad_enabled():
            return F.silu((x * over_size(x, self.eps)).mul_(self.weight), inplace=True)
        out: Tensor = RMSNormedSiLU.apply(x, self.weight, self.eps)
        return out


def normed(kind: str, width: int) -> list[nn.Module]:
    """`norm_of` and SiLU, two modules, so that weights have the same names whichever kind it is."""
    return ([RMSNormSiLU(width, 1e-4), nn.Identity()] if kind == "rms" else [norm_of(kind, width), nn.SiLU()])


def norm_of(kind: str, width: int) -> nn.Module:
    """The norm over the last axis: "rms" without a shift, "layer" with one."""
    return nn.RMSNorm(width, 1e-4) if kind == "rms" else nn.LayerNorm(width, 1e-3)


class ByChannel(nn.Module):
    """A norm over the channels of pictures [N, C, H, W]."""

    def __init__(self, kind: str, width: int) -> None:
        super().__init__()
        self.norm = norm_of(kind, width)

    def forward(self, x: Float[Tensor, "N C H W"]) -> Float[Tensor, "N C H W"]:
        out: Tensor = self.norm(x.movedim(1, -1)).movedim(-1, 1)
        return out


class BlockLinear(nn.Module):
    """A linear map whose matrix is block-diagonal: `blocks` equal parts of the input, each to its own of the output.
    whole: its weights begin as narrow as if each block saw all of the input (so the authors' code counts)."""

    def __init__(self, width: int, out: int, blocks: int, whole: bool = False) -> None:
        super().__init__()
        if width % blocks or out % blocks:
            raise StemmaError(f"{width} and {out} numbers do not part into {blocks} blocks")
        self.blocks, self.fan = blocks, width if whole else width // blocks
        self.weight = nn.Parameter(torch.empty(blocks, width // blocks, out // blocks))
        self.bias = nn.Parameter(torch.zeros(out))

    def forward(self, x: Float[Tensor, "N F"]) -> Float[Tensor, "N G"]:
        y = torch.bmm(x.unflatten(-1, (self.blocks, -1)).transpose(0, 1), self.weight)
        return y.transpose(0, 1).flatten(-2) + self.bias


def begin(module: nn.Module, scale: float = 1.0) -> Any:
    """Weights from a normal cut at two deviations, of variance 1 / fan-in once it is cut, times `scale`; biases 0."""
    for m in module.modules():
        if not isinstance(m, nn.Linear | nn.Conv2d | BlockLinear):
            continue
        fan = m.fan if isinstance(m, BlockLinear) else m.weight[0].numel()
        std = 1.1368 * scale / math.sqrt(fan)
        with torch.no_grad():
            m.weight.zero_() if not scale else nn.init.trunc_normal_(m.weight, 0.0, std, -2 * std, 2 * std)
            if m.bias is not None:
                m.bias.zero_()
    return module


def layers_of(width: int, units: int, layers: int, norm: str = "rms") -> nn.Sequential:
    """`layers` of linear, norm, SiLU. Before a norm that shifts, the linear map has no bias."""
    net: list[nn.Module] = []
    for _ in range(layers):
        net += [nn.Linear(width, units, bias=norm == "rms"), *normed(norm, units)]
        width = units
    made: nn.Sequential = begin(nn.Sequential(*net))
    return made


def topped(width: int, units: int, layers: int, out: int, scale: float = 1.0, norm: str = "rms") -> nn.Sequential:
    """`layers_of` and one linear map to `out` numbers, its weights times `scale`."""
    net = layers_of(width, units, layers, norm)
    net.append(begin(nn.Linear(units if layers else width, out), scale))
    return net


# ---------------------------------------------------------------- what is seen


def runs_of(x: Float[Tensor, "... F"], made: tuple[tuple[str, int], ...]) -> list[tuple[str, Tensor]]:
    """The numbers of a channel by what they are (`Info.numbers`); where that is not told, all of them as "numbers"."""
    return [*zip((kind for kind, _ in made), x.split([n for _, n in made], -1))] if made else [("numbers", x)]


class NumbersEncoder(nn.Module):
    """A channel of numbers: their symlog (`squash`) through `layers`. made: what they are; flags and choices are not
    squashed."""

    def __init__(self, inp: In, units: int = 1024, layers: int = 3, norm: str = "rms", squash: bool = True,
                 made: tuple[tuple[str, int], ...] = ()) -> None:
        super().__init__()
        self.net, self.squash, self.made = layers_of(inp.channels[0], units, layers, norm), squash, made
        self.out = In((units,), (1,))

    def forward(self, x: Float[Tensor, "N F"]) -> Float[Tensor, "N E"]:
        read = [symlog(v) if self.squash and kind == "numbers" else v for kind, v in runs_of(x, self.made)]
        code: Tensor = self.net(torch.cat(read, -1) if self.made else read[0])
        return code


class NumbersHead(nn.Module):
    """A channel of numbers from the belief: squared error of their symlog (`squash`), summed. made: what they are; of
    flags and of choices the loss is their cross-entropy, and the mean their chances."""

    def __init__(self, inp: In, units: int = 1024, layers: int = 3, norm: str = "rms", squash: bool = True,
                 made: tuple[tuple[str, int], ...] = ()) -> None:
        super().__init__()
        self.net, self.squash = topped(inp.channels[0], units, layers, inp.logits, norm=norm), squash
        self.made = made

    def forward(self, x: Float[Tensor, "N F"]) -> Float[Tensor, "N O"]:
        said: Tensor = self.net(x)
        return said

    def loss(self, said: Tensor, truth: Tensor) -> Float[Tensor, " N"]:
        both = zip(runs_of(said, self.made), runs_of(truth, self.made))
        return torch.stack([self._missed(kind, v, t) for (kind, v), (_, t) in both]).sum(0)

    def _missed(self, kind: str, said: Tensor, truth: Tensor) -> Float[Tensor, " N"]:
        if kind == "choice":
            return -(truth * said.log_softmax(-1)).sum(-1)
        if kind == "flags":
            return F.binary_cross_entropy_with_logits(said, truth, reduction="none").sum(-1)
        return (said - (symlog(truth) if self.squash else truth)).square().sum(-1)

    def mean(self, said: Tensor) -> Tensor:
        how: dict[str, Any] = {"choice": lambda v: v.softmax(-1), "flags": torch.sigmoid,
                               "numbers": symexp if self.squash else lambda v: v}
        return torch.cat([how[kind](v) for kind, v in runs_of(said, self.made)], -1)


class PoolingEncoder(nn.Module):
    """Four convolutions of 5 x 5, each halved by its maxima, then norm and SiLU: 64 x 64 becomes 4 x 4 x 4 `depth`.

    `pool` False: convolutions of 4 x 4 with stride 2, channels doubling from `depth` (the first version).
    """

    def __init__(self, inp: In, depth: int = 64, pool: bool = True, norm: str = "rms") -> None:
        super().__init__()
        if inp.size % 16 or not 1 < inp.size // 16 <= 16:
            raise StemmaError(f"a picture is halved four times and ends at a side of 2 to 16: 64 fits, not {inp.size}")
        net: list[nn.Module] = []
        channels = inp.channels[0]
        for i, deeper in enumerate(DEEPER):
            width = depth * (deeper if pool else 2**i)
            net += ([nn.Conv2d(channels, width, 5, padding=2, bias=norm == "rms"), nn.MaxPool2d(2)] if pool
                    else [nn.Conv2d(channels, width, 4, 2, 1, bias=norm == "rms")])
            net += [ByChannel(norm, width), nn.SiLU()]
            channels = width
        self.net = begin(nn.Sequential(*net, nn.Flatten()))
        self.out = In((channels * (inp.size // 16) ** 2,), (1,))

    def forward(self, x: Float[Tensor, "N C H W"]) -> Float[Tensor, "N E"]:
        code: Tensor = self.net(x)
        return code


class BlockDecoder(ImageHead):
    """The way back: the remembered part of the belief by a block-diagonal map, the drawn one by two layers, summed as a
    small picture, then doubled and convolved four times. Squared error, summed over pixels.

    It reads ("deter", "stoch"); `deter` numbers of what it reads are the remembered ones.
    blocks 0: one linear map of both, and transposed convolutions of 4 x 4 (the first version). whole: as `BlockLinear`.
    """

    def __init__(self, inp: In, deter: int = 8192, depth: int = 64, units: int = 1024, blocks: int = 8,
                 norm: str = "rms", sigmoid: bool = True, whole: bool = False) -> None:
        super().__init__()
        if inp.size % 16 or blocks and deter >= inp.channels[0]:
            raise StemmaError(f"this decoder draws pictures of a side that 16 divides, not {inp.size}, from {deter} "
                              f"remembered numbers and some drawn ones, {inp.channels[0]} in all")
        self.deter, self.blocks, self.sigmoid, side = deter, blocks, sigmoid, inp.size // 16
        widths = [depth * (d if blocks else 2**i) for i, d in enumerate(DEEPER)]
        flat, bias = widths[-1] * side * side, norm == "rms"
        self.side, self.top = side, widths[-1]
        if blocks:
            self.recalled = begin(BlockLinear(deter, flat, blocks, whole))
            self.drawn = topped(inp.channels[0] - deter, 2 * units, 1, flat, norm=norm)
            self.first = nn.Sequential(ByChannel(norm, widths[-1]), nn.SiLU())
        else:
            self.whole = begin(nn.Linear(inp.channels[0], flat))
        net: list[nn.Module] = []
        ways = [*zip(widths[::-1], widths[-2::-1]), (widths[0], inp.logits)]
        for i, (a, b) in enumerate(ways):
            last = i == len(ways) - 1
            net += ([nn.Upsample(scale_factor=2), nn.Conv2d(a, b, 5, padding=2, bias=bias or last)] if blocks
                    else [nn.ConvTranspose2d(a, b, 4, 2, 1, bias=bias or last)])
            net += [] if last else [ByChannel(norm, b), nn.SiLU()]
        self.net = begin(nn.Sequential(*net))

    def forward(self, x: Float[Tensor, "N F"]) -> Float[Tensor, "N C H W"]:
        if self.blocks:
            recalled, drawn = x.split((self.deter, x.shape[-1] - self.deter), -1)
            # each block has its channels of every place
            small = self.recalled(recalled).unflatten(-1, (self.blocks, self.side, self.side, -1))
            small = small.movedim(-1, 2).flatten(1, 2)
            y = self.first(small + self.drawn(drawn).unflatten(-1, (self.top, self.side, self.side)))
        else:
            y = self.whole(x).unflatten(-1, (self.top, self.side, self.side))
        out: Tensor = self.net(y)
        return out.sigmoid() if self.sigmoid else out

    def loss(self, said: Tensor, truth: Tensor) -> Float[Tensor, " N"]:
        """`truth` is as the encoder reads it, less half; the picture that is drawn lies in 0..1."""
        return (said - (truth + 0.5 if self.sigmoid else truth)).square().flatten(1).sum(1)

    def mean(self, said: Tensor) -> Tensor:
        return said - 0.5 if self.sigmoid else said


# ---------------------------------------------------------------- numbers as bins


def bins_of(count: int = 255, far: float = 20.0, curved: bool = True) -> Float[Tensor, " K"]:
    """Bins of a two-hot target, mirrored about 0: symexp of equal steps; `curved` False: the equal steps themselves,
    for numbers that were squashed before (the first version). Raises `StemmaError` for an even count: 0 is a bin."""
    if count % 2 == 0:
        raise StemmaError(f"two-hot bins are an odd number, so that 0 is one, not {count}")
    half = torch.linspace(-far, 0, (count + 1) // 2)
    half = symexp(half) if curved else half
    return torch.cat([half, -half[:-1].flip(0)])


def beside(x: Tensor, bins: Float[Tensor, " K"]) -> tuple[Tensor, Tensor]:
    """(the bin above each number, its share of the two beside it, by distance); beyond the ends, the end."""
    x = x.clamp(bins[0], bins[-1])
    above = torch.searchsorted(bins, x.contiguous(), right=True).clamp(1, len(bins) - 1)
    low, high = bins[above - 1], bins[above]
    return above, (x - low) / (high - low)


def two_hot(x: Tensor, bins: Float[Tensor, " K"]) -> Float[Tensor, "... K"]:
    """Numbers as weights of the two bins beside them."""
    above, share = beside(x, bins)
    share = share[..., None].to(bins.dtype)
    return F.one_hot(above - 1, len(bins)) * (1 - share) + F.one_hot(above, len(bins)) * share


def balanced_mean(p: Float[Tensor, "... K"], bins: Float[Tensor, " K"]) -> Tensor:
    """The mean of mirrored bins under `p`: of each pair the difference counts, so that equal weights are 0 and not
    nearly. In the bins' precision, also where products are taken in bfloat16."""
    half = len(bins) // 2
    with torch.autocast(p.device.type, enabled=False):
        return (p[..., half + 1 :] - p[..., :half].flip(-1)) @ bins[half + 1 :]


class TwoHotHead(nn.Module):
    """A number as a distribution over bins: cross-entropy with its two-hot; the mean is that of the bins.

    Its last layer begins at 0, so that it first says exactly 0. curved False: bins of the symlog, and the mean is its
    symexp (the first version). To see what these are worth: squash False has equal bins of the number itself, from
    -`far` to `far`; with one bin it says one number, whose error (of its symlog, unless `squash` is False) is squared.
    """

    bins: Tensor

    def __init__(self, inp: In, units: int = 1024, layers: int = 1, bins: int = 255, curved: bool = True,
                 norm: str = "rms", reads: tuple[str, ...] = (), squash: bool = True, far: float = 20.0) -> None:
        super().__init__()
        self.net = topped(inp.channels[0], units, layers, bins, 0.0, norm)
        self.curved, self.squash, self.one = curved and squash and bins > 1, squash, bins == 1
        self.register_buffer("bins", bins_of(bins, far, self.curved), persistent=False)

    def forward(self, x: Float[Tensor, "N F"]) -> Float[Tensor, "N K"]:
        """What is said, no coarser than its bins: of bfloat16 (autocast) it becomes float32."""
        said: Tensor = self.net(x)
        return said.to(torch.promote_types(said.dtype, self.bins.dtype))

    def loss(self, said: Float[Tensor, "N K"], truth: Float[Tensor, " N"]) -> Float[Tensor, " N"]:
        """Cross-entropy with the two-hot of `truth`, of which two numbers are not 0."""
        return self.losses(said, truth[None])[0]

    def losses(self, said: Float[Tensor, "N K"], truths: Float[Tensor, "M N"],
               shares: tuple[Tensor, Tensor] | None = None) -> Float[Tensor, "M N"]:
        """The losses of several truths for what was said once; `shares` of it, where they are known."""
        truths = symlog(truths) if self.squash and not self.curved else truths
        if self.one:
            return 0.5 * (said[..., 0] - truths).square()
        above, share = beside(truths, self.bins)
        if by_hand(said):
            out: Tensor = TwoHotLoss.apply(said, *(self.shares(said) if shares is None else shares), above, share)
            return out
        both = said.log_softmax(-1).gather(-1, torch.cat([above - 1, above]).mT).mT.unflatten(0, (2, -1))
        return -torch.lerp(both[0], both[1], share)

    def shares(self, said: Float[Tensor, "N K"]) -> tuple[Float[Tensor, "N K"], Float[Tensor, "N K"]]:
        """(logarithms of the bins' shares, shares), without gradients."""
        log = said.detach().log_softmax(-1)
        return log, log.exp()

    def mean(self, said: Float[Tensor, "N K"], p: Float[Tensor, "N K"] | None = None) -> Float[Tensor, " N"]:
        mean = said[..., 0] if self.one else balanced_mean(said.softmax(-1) if p is None else p, self.bins)
        return symexp(mean) if self.squash and not self.curved else mean


class GoingHead(nn.Module):
    """Whether an episode goes on, told as its channel "terminal": the logit is that of going on.

    inside: the discount 1 - 1 / `horizon` is in what is learned, so that `going` is discounted already;
    otherwise `going` multiplies with it (the first version). `mean` is the chance of an end.
    """

    def __init__(self, inp: In, units: int = 1024, layers: int = 1, horizon: int = 333, inside: bool = True,
                 norm: str = "rms") -> None:
        super().__init__()
        self.net = topped(inp.channels[0], units, layers, 1, norm=norm)
        self.discount, self.inside = 1 - 1 / horizon, inside

    def forward(self, x: Float[Tensor, "N F"]) -> Float[Tensor, " N"]:
        said: Tensor = self.net(x)[..., 0]
        return said

    def loss(self, said: Float[Tensor, " N"], truth: Float[Tensor, " N"]) -> Float[Tensor, " N"]:
        target = (1 - truth) * (self.discount if self.inside else 1.0)
        return F.binary_cross_entropy_with_logits(said, target, reduction="none")

    def going(self, said: Tensor) -> Tensor:
        """The weight of the step after this one: the chance that there is one, times the discount."""
        return said.sigmoid() * (1.0 if self.inside else self.discount)

    def mean(self, said: Tensor) -> Tensor:
        return (1 - said.sigmoid() / (self.discount if self.inside else 1.0)).clamp(min=0)


__all__ = ["BlockDecoder", "BlockLinear", "ByChannel", "GoingHead", "NumbersEncoder", "NumbersHead", "PoolingEncoder",
           "TwoHotHead", "balanced_mean", "begin", "beside", "bins_of", "layers_of", "norm_of", "normed",
           "runs_of", "topped", "two_hot"]
