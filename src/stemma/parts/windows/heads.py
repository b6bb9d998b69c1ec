"""Fully connected layers at every place of a map, as convolutions: what a head over windows is made of.

Axes: B images, C channels, K logits, E numbers of a code, H W cells of the map, h w windows.
"""
from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from ...core.part import In
from ..backbones.chain import started


class WindowHead(nn.Module):
    """A head that reads a square of `cells` x `cells` cells at every place of level `level`.

    forward: levels "B C H W" each -> (logits "B K h w", codes "B E h w" or None),
    h = H - cells + 1 for a head that pads nothing.
    """

    cells: int
    level: int = -1

    def forward(self, xs: list[Tensor]) -> tuple[Tensor, Tensor | None]:
        raise NotImplementedError


def fully(channels: int, widths: tuple[int, ...], out: int, kernel: int, dilation: int = 1,
          dropout: float = 0.0) -> nn.Sequential:
    """Fully connected layers over a kernel x kernel square of cells that lie `dilation` apart, one after another,
    at every place.

    The first is a convolution as large as the square, the others are 1x1 (OverFeat sec. 3.5, fig. 5). `widths` are of
    the layers before the last, each followed by a ReLU and dropout.
    """
    layers: list[nn.Module] = []
    for i, width in enumerate((*widths, out)):
        layers.append(nn.Conv2d(channels, width, kernel if i == 0 else 1, dilation=dilation if i == 0 else 1))
        if i < len(widths):
            layers += [nn.ReLU(inplace=True), nn.Dropout(dropout)]
        channels = width
    return nn.Sequential(*layers)


def uncommitted(*answers: nn.Module, std: float = 0.01) -> None:
    """Weights of last layers from a normal of deviation `std`: what they say begins near the even answer. By its
    fan-out a layer of one logit would begin with weights of 1.4."""
    for m in answers:
        assert isinstance(m, nn.Conv2d | nn.Linear)
        nn.init.normal_(m.weight, 0.0, std)


class OffsetPool(nn.MaxPool2d):
    """OverFeat's offset max pooling with its results interleaved (sec. 3.3, fig. 3).

    A pool of stride p, taken from each of its p x p offsets (dy, dx), gives p x p maps; a head slides over each of
    them, and its answers are laid back, that of offset (dy, dx) on rows dy, dy + p, ... and columns dx, dx + p, ... .
    The same numbers come from the pool at stride 1 and a head whose first layer is dilated by p: what is computed here.
    """

    def __init__(self, size: int) -> None:
        super().__init__(size, 1)


class ClassBoxHead(WindowHead):
    """OverFeat's classifier (fig. 5) and regressor (sec. 4.1) over the offset-pooled map.

    kernel: side of the pooled square that the first layer reads. boxes: widths of the regressor; () leaves it out.
    per_class: four edges for every class, else four for all of them.
    """

    def __init__(
        self, inp: In, kernel: int = 5, pool: int = 3, widths: tuple[int, ...] = (4096, 4096),
        boxes: tuple[int, ...] = (4096, 1024), per_class: bool = True, dropout: float = 0.5, std: float = 0.01,
    ) -> None:
        super().__init__()
        self.cells = kernel * pool
        self.pool = OffsetPool(pool)
        self.classifier = fully(inp.channels[-1], widths, inp.logits, kernel, pool, dropout)
        self.regressor = (fully(inp.channels[-1], boxes, 4 * (inp.classes if per_class else 1), kernel, pool) if boxes
                          else None)
        started(self, std)
        uncommitted(*(net[-1] for net in (self.classifier, self.regressor) if net is not None))  # whatever `std` is

    def forward(self, xs: list[Tensor]) -> tuple[Tensor, Tensor | None]:
        x = self.pool(xs[-1])
        return self.classifier(x), None if self.regressor is None else self.regressor(x)


class MaskHead(WindowHead):
    """DeepMask's two branches (sec. 3.1): a mask of side x side for the window,
    and whether an object lies in its middle.

    The mask: a 1x1 convolution to `hidden` channels with a ReLU, then two linear layers with nothing between them, that
    is one fully connected layer of rank `rank`. Its first half is what `forward` gives as the window's code; `masks` is
    the second, taken where it is wanted alone.
    The score: a 2x2 pool, taken at every offset, and fully connected layers over `kernel` / 2 cells. With `shared`, as
    in the released code, it reads the code instead.
    """

    def __init__(
        self, inp: In, kernel: int = 14, hidden: int = 512, rank: int = 512, side: int = 56,
        widths: tuple[int, ...] = (512, 1024), dropout: float = 0.5, shared: bool = False,
    ) -> None:
        super().__init__()
        c = inp.channels[-1]
        self.cells, self.side, self.shared = kernel, side, shared
        self.reduce = nn.Sequential(nn.Conv2d(c, hidden, 1), nn.ReLU(inplace=True))
        self.encode = nn.Conv2d(hidden, rank, kernel)
        self.decode = nn.Linear(rank, side * side)
        self.pool = OffsetPool(2)
        score = fully(rank, widths, inp.logits, 1, 1, dropout) if shared else fully(c, widths, inp.logits,
                                                                                    kernel // 2, 2, dropout)
        self.score = nn.Sequential(nn.Dropout(dropout), *score) if shared else score
        started(self, 0.0)
        nn.init.zeros_(self.decode.bias)
        uncommitted(self.decode, score[-1])

    def forward(self, xs: list[Tensor]) -> tuple[Tensor, Tensor]:
        code = self.encode(self.reduce(xs[-1]))
        return self.score(code if self.shared else self.pool(xs[-1])), code

    def masks(self, codes: Float[Tensor, "*A E"]) -> Float[Tensor, "*A S S"]:
        """Logits of the windows' pixels, of a grid over the window."""
        out: Tensor = self.decode(codes)
        return out.view(*codes.shape[:-1], self.side, self.side)
