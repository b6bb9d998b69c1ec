"""One label and one identity a pixel, from instances that overlap and a class map (Kirillov et al. 2018, sec. 7).

Axes: B images, D detections, M side of a mask, C classes, S = D + C segments, H W pixels.
"""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ...core.types import IGNORE, Detections, PanopticMap, StemmaError, Targets

MaskAt = Callable[[int], Bool[Tensor, "B H W"]]  # the mask of the d-th detection of every image


def pasted(d: Detections, height: int, width: int, threshold: float = 0.5) -> MaskAt:
    """Masks on the picture: each M x M map sampled bilinearly at the pixels' centres inside its box, 0 outside,
    cut at `threshold`.

    One detection of every image at a time, so that B D H W pixels are never held.
    """
    if d.masks is None:
        raise StemmaError("a panoptic map is merged from detections with masks")
    masks = d.masks
    ys = torch.arange(height, device=masks.device, dtype=torch.float32) + 0.5
    xs = torch.arange(width, device=masks.device, dtype=torch.float32) + 0.5

    def at(i: int) -> Bool[Tensor, "B H W"]:
        x1, y1, x2, y2 = d.boxes[:, i].float().unbind(-1)
        u = (xs[None] - x1[:, None]) / (x2 - x1).clamp(min=1e-3)[:, None] * 2 - 1
        v = (ys[None] - y1[:, None]) / (y2 - y1).clamp(min=1e-3)[:, None] * 2 - 1
        inside = (u.abs() <= 1)[:, None, :] & (v.abs() <= 1)[:, :, None]
        grid = torch.stack([u[:, None, :].expand(-1, height, -1), v[:, :, None].expand(-1, -1, width)], -1).clamp(-2, 2)
        return (F.grid_sample(masks[:, i : i + 1].float(), grid, padding_mode="border",
                              align_corners=False)[:, 0] >= threshold) & inside

    return at


@dataclass(frozen=True)
class PanopticMerge:
    """Instances first, by score; then the class map fills what is left with stuff.

    An instance below `score` is left out, and so is one whose mask lies by more than `overlap` on instances already
    laid down; of the others the uncovered part is laid down. A stuff class with fewer than `stuff_area` pixels left
    becomes void, and so does what the class map calls a thing and no instance claims.
    """

    score: float = 0.5
    overlap: float = 0.5
    stuff_area: int = 64 * 64

    def __call__(
        self, mask_at: MaskAt, labels: Int[Tensor, "B D"], scores: Float[Tensor, "B D"], semantic: Int[Tensor, "B H W"],
        things: tuple[int, ...], classes: int, confidence: Float[Tensor, "B H W"] | None = None,
    ) -> PanopticMap:
        """`labels` are classes of the panoptic list, best detection first, -1 padding;
        `semantic` outside 0..C-1 is void.

        Segments are numbered without gaps: the instances that were kept, then the stuff. A stuff segment's score is the
        mean `confidence` of its pixels.
        """
        b, n = labels.shape
        ids = torch.zeros_like(semantic, dtype=torch.int64)
        kept = torch.zeros(b, n, dtype=torch.bool, device=ids.device)
        wanted = (labels >= 0) & (scores >= self.score)
        for i in range(n):
            mask = mask_at(i)
            area, covered = mask.sum((1, 2)), (mask & (ids > 0)).sum((1, 2))
            ok = wanted[:, i] & (area > 0) & (covered <= self.overlap * area)
            ids = torch.where(mask & (ids == 0) & ok[:, None, None], i + 1, ids)
            kept[:, i] = ok
        stuff = torch.ones(classes + 1, dtype=torch.bool, device=ids.device)
        stuff[[*things, classes]] = False
        known = torch.where((semantic >= 0) & (semantic < classes), semantic, classes).long()
        left = torch.where((ids == 0) & stuff[known], known, classes).flatten(1)
        area = torch.zeros(b, classes + 1, device=ids.device).scatter_add_(1, left,
                                                                           torch.ones_like(left, dtype=torch.float32))
        enough = ((area >= self.stuff_area) & (area > 0))[:, :classes]
        sure = torch.ones_like(left, dtype=torch.float32) if confidence is None else confidence.flatten(1).float()
        mean = torch.zeros_like(area).scatter_add_(1, left, sure)[:, :classes] / area[:, :classes].clamp(min=1)
        ids = torch.where((left < classes) & F.pad(enough, (0, 1)).gather(1, left), n + 1 + left,
                          ids.flatten(1)).view(ids.shape)
        return tidy(ids, torch.cat([kept, enough], 1),
                    torch.cat([labels, torch.arange(classes, device=ids.device).expand(b, -1)], 1),
                    torch.cat([scores.float(), mean], 1))


def tidy(ids: Int[Tensor, "B H W"], live: Bool[Tensor, "B S"], labels: Int[Tensor, "B S"],
         scores: Float[Tensor, "B S"]) -> PanopticMap:
    """Number the live segments without gaps and put the padding last."""
    order = torch.argsort(~live, dim=1, stable=True)
    number = F.pad(torch.where(live, live.cumsum(1), 0), (1, 0))  # of segment s at s + 1; void stays 0
    new = number.gather(1, ids.flatten(1)).view(ids.shape)
    ok = live.gather(1, order)
    return PanopticMap(new, labels.gather(1, order).masked_fill(~ok, -1), scores.gather(1, order).masked_fill(~ok, 0.0))


def semantic_of(panoptic: Int[Tensor, "B H W"], segments: Int[Tensor, "B S"],
                ignore: int = 255) -> Int[Tensor, "B H W"]:
    """The class of every pixel of a panoptic truth, `ignore` at void."""
    table = F.pad(segments, (1, 0), value=-1)
    found = table.gather(1, panoptic.flatten(1)).view(panoptic.shape)
    return torch.where(found < 0, ignore, found)


def things_as_one(things: tuple[int, ...], classes: int) -> tuple[Int[Tensor, " 256"], Int[Tensor, " K"]]:
    """(the place of every label among K = 1 + kinds of stuff, things being the first, 255 staying itself; the class of
    every place, -1 for things).

    Raises `StemmaError` where `things` names no class, one twice, or one that does not exist.
    """
    stuff = [c for c in range(classes) if c not in things]
    if not things or len(stuff) + len(things) != classes:
        raise StemmaError(f"'things' must list which of the {classes} classes are objects, not {things}; data with a "
                          "panoptic class list tells it")
    place = torch.zeros(IGNORE + 1, dtype=torch.int64)
    place[stuff], place[IGNORE] = torch.arange(1, 1 + len(stuff)), IGNORE
    return place, torch.tensor([-1, *stuff])


def things_apart(things: tuple[int, ...], classes: int) -> tuple[Int[Tensor, " 256"], Int[Tensor, " C"]]:
    """The same where every kind of thing keeps a place of its own, so that places are the classes. Raises `StemmaError`
    as `things_as_one`."""
    things_as_one(things, classes)
    kinds = torch.arange(classes)
    kinds[list(things)] = -1
    return torch.arange(IGNORE + 1), kinds


def instances_of(
    panoptic: Int[Tensor, "B H W"], segments: Int[Tensor, "B S"], things: tuple[int, ...], classes: int,
    crowd: Bool[Tensor, "B S"] | None = None
) -> Targets:
    """The things of a panoptic truth as objects: masks, the boxes around them, labels by place in `things` (-1 for
    stuff and for what has no pixel)."""
    s = segments.shape[1]
    masks = panoptic[:, None] == torch.arange(1, s + 1, device=panoptic.device)[None, :, None, None]
    place = torch.full((classes + 1,), -1, dtype=torch.int64, device=panoptic.device)
    place[list(things)] = torch.arange(len(things), device=panoptic.device)
    rows, columns = masks.any(3), masks.any(2)
    labels = torch.where(rows.any(2), place[torch.where(segments < 0, classes, segments)], -1)

    def ends(line: Bool[Tensor, "B S L"]) -> tuple[Tensor, Tensor]:
        return line.int().argmax(2), line.shape[2] - line.flip(2).int().argmax(2)

    (y1, y2), (x1, x2) = ends(rows), ends(columns)
    boxes = torch.stack([x1, y1, x2, y2], -1).float() * (labels >= 0)[..., None]
    return Targets(boxes, labels, crowd, masks & (labels >= 0)[..., None, None], panoptic=panoptic, segments=segments)
