"""A class at every pixel: a trunk, a decoder, a loss. Axes: B images, C classes, N instances, H W pixels of the
picture, h w of the scored window."""
from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ..core.part import In, Part, along
from ..core.types import IGNORE, Batch, Losses, SemanticMap, StemmaError
from ..ops.tiles import overlap_tile
from ..parts.maps.decoders import Decoder
from ..parts.maps.losses import PixelCrossEntropy, PixelLoss
from ..parts.maps.post import PixelPost
from ..parts.maps.upsample import Grid
from ..parts.preprocess import Preprocess
from ..parts.trunk import Trunk


@dataclass(frozen=True)
class Segmenter:
    """A semantic segmenter as a value. The steps of `post` change the probabilities of a prediction;
    no loss sees them."""

    backbone: Part[Trunk]
    decoder: Part[Decoder]
    loss: PixelLoss = field(default_factory=PixelCrossEntropy)
    preprocess: Preprocess = Preprocess()
    post: tuple[PixelPost, ...] = ()

    @property
    def needs(self) -> frozenset[str]:
        """The kinds of target that the loss reads."""
        return self.loss.needs

    @property
    def separates(self) -> bool:
        """Whether touching objects are drawn apart in training, so that the connected regions of a map are objects."""
        return getattr(self.loss, "background", -1) >= 0

    def times(self, ratio: float) -> Segmenter:
        """The same for pictures `ratio` times as large: what the loss and the steps of `post` say in pixels."""
        return replace(self, loss=along(self.loss, ratio), post=tuple(along(p, ratio) for p in self.post))

    def build(self, classes: int) -> SegmenterModel:
        return SegmenterModel(self, classes)


class SegmenterModel(nn.Module):
    """The network of a `Segmenter`.

    A trunk may say with `divisor` what the picture's sides must divide by (1 where it pads by itself); otherwise it is
    its coarsest stride. Where the logits' cells lie on pixels (offset .5: 0, s, 2 s, ...), the sides are that and one
    more, and upsampling keeps the corners.
    """

    def __init__(self, spec: Segmenter, classes: int) -> None:
        super().__init__()
        if classes < 1:
            raise StemmaError(f"a segmenter needs at least one class, not {classes}")
        self.spec, self.classes = spec, classes
        self.backbone = spec.backbone.build(In((3,), (1,), classes))
        self.decoder = spec.decoder.build(self.backbone.out)
        self.divisor = int(getattr(self.backbone, "divisor", self.backbone.out.strides[-1]))
        self.grid = Grid.of(self.decoder.out, 0)
        self.corners = self.grid.stride > 1 and self.grid.offset == 0.5

    @property
    def no_graph(self) -> str:
        """Why predictions cannot be exported; empty where they can."""
        return next((said for step in self.spec.post if (said := getattr(step, "no_graph", ""))), "")

    def window(self, logits: Tensor) -> tuple[slice, slice]:
        """The rows and columns of the picture that `logits` speak of: all of them,
        unless convolutions ate the border."""
        first = max(self.first, 0)
        return slice(first, first + logits.shape[-2]), slice(first, first + logits.shape[-1])

    @property
    def first(self) -> int:
        """The picture's pixel on which the first logit lies once the logits are at stride 1;
        negative where they begin outside."""
        if self.corners:
            return 0
        return round(self.grid.offset - self.grid.stride / 2)

    def forward(self, images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B C h w"]:
        """Logits at the picture's own resolution. h w = H W, but for a trunk of valid convolutions that does not mirror
        (`window`)."""
        height, width = images.shape[-2:]
        logits = self.coarse(images)
        if self.corners:
            size = [round((side - 1) * self.grid.stride) + 1 for side in logits.shape[-2:]]
            logits = F.interpolate(logits, size, mode="bilinear", align_corners=True)
        elif self.grid.stride != 1:
            logits = F.interpolate(logits, scale_factor=float(self.grid.stride), mode="bilinear", align_corners=False)
        before, inside = max(-self.first, 0), max(self.first, 0)
        return logits[..., before : before + height - inside, before : before + width - inside]

    def enlarged(self, images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B 3 H2 W2"]:
        """The picture, normalised, with zeros at the right and below up to a size that the network takes."""
        return F.pad(self.spec.preprocess(images), self.missing(*images.shape[-2:]))

    def missing(self, height: int, width: int) -> tuple[int, int, int, int]:
        """What `F.pad` adds to a picture of a size that the network does not take."""
        return 0, (self.corners - width) % self.divisor, 0, (self.corners - height) % self.divisor

    def coarse(self, images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B C h w"]:
        """Logits at the network's own stride."""
        logits: Tensor = self.decoder(self.backbone(self.enlarged(images)))
        return logits

    def loss(self, batch: Batch) -> Losses:
        """{"pixel": scalar}.

        Raises `StemmaError` where the batch has no semantic map.
        """
        labels, masks = batch.targets.semantic, batch.targets.masks
        if labels is None:
            raise StemmaError("this system learns from semantic maps and the data has none: use data with class masks, "
                              "or a detector")
        logits = self(batch.images)
        rows, columns = self.window(logits)
        masks = None if masks is None or "masks" not in self.spec.needs else masks[..., rows, columns]
        return {"pixel": self.spec.loss(logits, labels[:, rows, columns].long(), masks)}

    def _map(self, logits: Tensor, images: Tensor, sizes: Tensor | None) -> SemanticMap:
        height, width = images.shape[-2:]
        rows, columns = self.window(logits)
        scores = F.pad(logits.float().softmax(1), (columns.start, width - columns.stop, rows.start, height - rows.stop))
        seen = torch.zeros_like(scores[:, 0], dtype=torch.bool)
        seen[:, rows, columns] = True
        if sizes is not None:
            y, x = torch.arange(height, device=images.device), torch.arange(width, device=images.device)
            seen = seen & ((y < sizes[:, :1])[:, :, None] & (x < sizes[:, 1:])[:, None, :])
        for step in self.spec.post:
            scores = step(scores, images, seen)
        # as argmax, which a CPU takes several times longer for
        return SemanticMap(scores.max(1).indices.masked_fill(~seen, IGNORE), scores)

    @torch.no_grad()
    def predict(self, images: Float[Tensor, "B 3 H W"], sizes: Float[Tensor, "B 2"] | None = None) -> SemanticMap:
        """The likeliest class of every pixel and the probabilities of all;
        255 beyond `sizes` and where the network says nothing."""
        return self._map(self(images), images, sizes)

    @torch.no_grad()
    def predict_tiled(self, images: Float[Tensor, "B 3 H W"], tile: int = 512, context: int = 96,
                      sizes: Tensor | None = None) -> SemanticMap:
        """As `predict`, by overlapping tiles with `context` pixels around each (`overlap_tile`),
        for pictures too large for one pass.

        Equal to `predict` inside the picture where the receptive field is within `context` and both numbers divide by
        the coarsest stride.
        """
        return self._map(overlap_tile(self.forward, images, tile, context), images, sizes)
