"""Operators that read where they are told to: deformable convolution and deformable pooling of regions (Deformable
ConvNets sec. 2).

Axes: B images, R regions an image, C channels, G groups of offsets, K taps of a kernel, H W of a map, s bins a side, n
samples a bin and side. Offsets are (y, x), tap after tap in reading order, in cells for a convolution and in sides of
the region for pooling.
"""
from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from .compiled import compiled
from .constants import remember
from .psroi import LEAST, bags
from .roi import level_of


def _read(x: Float[Tensor, "N C H W"], y_at: Float[Tensor, "N P Q"], x_at: Float[Tensor, "N P Q"],
          outside: Literal["zeros", "border"]) -> Tensor:
    """Bilinear readings at cells (y, x), cell centres at whole numbers: N C P Q."""
    h, w = x.shape[-2:]
    grid = torch.stack([(2 * x_at + 1) / w - 1, (2 * y_at + 1) / h - 1], -1)
    seen: Tensor = F.grid_sample(x, grid.to(x.dtype), "bilinear", outside, align_corners=False)
    return seen


def deform_conv2d(
    x: Float[Tensor, "B C H W"], offset: Float[Tensor, "B D Ho Wo"], weight: Float[Tensor, "O C k k"],
    bias: Float[Tensor, " O"] | None = None, stride: int = 1, padding: int = 0, dilation: int = 1,
    mask: Float[Tensor, "B E Ho Wo"] | None = None, method: Literal["auto", "columns", "torchvision"] = "auto",
    only: Bool[Tensor, "B Ho Wo"] | None = None,
) -> Float[Tensor, "B O Ho Wo"]:
    """Eq. 2: each tap of the kernel reads at its place plus an offset of its own, bilinearly, and zero outside the map.

    `offset` has 2 k k channels a group, (y, x) of each tap; groups share the channels between them. `mask` multiplies
    what a tap reads. "torchvision" is its operator, used on a GPU; "columns" gathers the readings with `grid_sample`
    and multiplies once, which on a CPU takes a half to an eighth of the time, and which traces and exports.
    `only`: cells that are asked for; the others are 0, and an eager CPU leaves their work out. Without gradient.
    Computed in float32 and returned in `x`'s dtype.
    """
    taps = weight.shape[-1] ** 2
    b, groups = len(x), offset.shape[1] // (2 * taps)
    if method == "torchvision" or (method == "auto" and x.is_cuda and not torch.compiler.is_compiling()):
        args = (x.float(), offset.float(), weight.float(), None if bias is None else bias.float(), stride,
                padding, dilation)
        with torch.autocast(x.device.type, enabled=False):
            done: Tensor = compiled().deform_conv2d(*args, mask=None if mask is None else mask.float())
        return (done if only is None else done * only[:, None]).to(x.dtype)
    high, wide = offset.shape[-2:]
    if only is not None and sparing(x):
        at = only.flatten().nonzero()[:, 0]
        said, part = (None if v is None else v.permute(0, 2, 3, 1).flatten(0, 2)[at] for v in (offset, mask))
        assert said is not None
        rows = deform_rows([x], at, said, weight, stride, padding, dilation, part)
        rows = rows if bias is None else rows + bias.float()
        full = rows.new_zeros(b * high * wide, len(weight)).index_copy(0, at, rows)
        return full.view(b, high, wide, -1).permute(0, 3, 1, 2).to(x.dtype)
    moved = offset.float().reshape(b * groups, taps, 2, high * wide)
    cells = torch.arange(high * wide, device=x.device)
    k = torch.arange(weight.shape[-1], device=x.device, dtype=moved.dtype) * dilation - padding
    y_at = moved[:, :, 0] + k.repeat_interleave(len(k))[:, None] + cells.div(wide, rounding_mode="floor") * stride
    x_at = moved[:, :, 1] + k.repeat(len(k))[:, None] + cells.remainder(wide) * stride
    seen = _read(x.float().reshape(b * groups, -1, *x.shape[-2:]), y_at, x_at, "zeros")  # (B G) C/G K Ho Wo
    if mask is not None:
        seen = seen * mask.float().reshape(b * groups, 1, taps, high * wide)
    # a product a picture: one for all would turn every reading first
    out = torch.bmm(weight.float().flatten(1).expand(b, -1, -1), seen.reshape(b, -1, high * wide))
    out = (out if bias is None else out + bias.float()[:, None]).view(b, -1, high, wide)
    return (out if only is None else out * only[:, None]).to(x.dtype)


def sparing(x: Tensor) -> bool:
    """Whether work at some cells alone costs less than at all of them: where shapes may depend on values."""
    return not x.is_cuda and not torch.compiler.is_compiling()


def deform_rows(
    xs: Sequence[Float[Tensor, "B C _ _"]], at: Int[Tensor, " N"], offset: Float[Tensor, "N D"],
    weight: Float[Tensor, "O C k k"], stride: int = 1, padding: int = 0, dilation: int = 1,
    mask: Float[Tensor, "N E"] | None = None,
) -> Float[Tensor, "N O"]:
    """`deform_conv2d` of levels that share a kernel, at some cells of its maps alone: `at` counts them picture by
    picture, in a picture level by level and row by row. Computed and returned in float32.

    Each tap is a bag of the four cells about it, so that no cell is read that was not asked for, and no picture waits
    for the one that asks for most.
    """
    side, (b, c), device = weight.shape[-1], xs[0].shape[:2], xs[0].device
    taps, shapes = side**2, tuple((x.shape[-2], x.shape[-1]) for x in xs)
    groups = offset.shape[1] // (2 * taps)

    def make() -> tuple[Tensor, ...]:
        rows, start = [], 0
        for h, w in shapes:
            high, wide = ((n + 2 * padding - dilation * (side - 1) - 1) // stride + 1 for n in (h, w))
            rows += [(y * stride - padding, x * stride - padding, h, w, start) for y in range(high)
                     for x in range(wide)]
            start += (h + 2) * (w + 2)
        return (torch.tensor(rows, dtype=torch.int32, device=device).T.contiguous(),)

    cells = remember(("deformed cells", shapes, side, stride, padding, dilation, device), make)[0]  # 5 A
    picture, own = at.div(cells.shape[1], rounding_mode="floor"), at.remainder(cells.shape[1])
    here = cells[:, own]
    tap = torch.arange(side, device=device, dtype=torch.int32) * dilation
    place = (here[:2, :, None] + torch.stack([tap.repeat_interleave(side), tap.repeat(side)])[:, None]).float()  # 2 N K
    p = offset.float().view(-1, groups, taps, 2).permute(3, 0, 1, 2).contiguous() + place[:, :, None]  # 2 N G K
    limit = here[2:4, :, None, None].float()
    p = p.clamp(min=-1).minimum(limit)  # in a rim of zeros about each level, which is what lies further out too
    low = p.floor().minimum(limit - 1)
    y_part, x_part = (p - low).unbind()
    y, x = low.int().unbind()
    own_cells = sum((h + 2) * (w + 2) for h, w in shapes)
    first, wide = picture.int() * own_cells + here[4], here[3] + 2
    base = (first + wide + 1)[:, None] * groups + torch.arange(groups, device=device, dtype=torch.int32)  # N G
    corner = torch.stack([torch.zeros_like(wide), torch.ones_like(wide), wide, wide + 1], -1) * groups
    rows = (y * (wide * groups)[:, None, None] + x * groups + base[..., None])[..., None] + corner[:, None, None]
    share = y_part.new_empty(rows.shape)  # filled in place, which takes half of what stacking does
    for i, (v, u) in enumerate((a, e) for a in (1 - y_part, y_part) for e in (1 - x_part, x_part)):
        share[..., i] = v * u
    if mask is not None:
        share = share * mask.float().view(-1, groups, taps, 1)
    table, start = xs[0].new_zeros(b, own_cells, c, dtype=torch.float32), 0
    for v, (h, w) in zip(xs, shapes):
        end = start + (h + 2) * (w + 2)
        table[:, start:end].view(b, h + 2, w + 2, c)[:, 1:-1, 1:-1] = v.permute(0, 2, 3, 1)
        start = end
    seen = F.embedding_bag(rows.view(-1, 4), table.view(-1, c // groups), mode="sum",
                           per_sample_weights=share.view(-1, 4))
    kernel = weight.float().view(-1, groups, c // groups, taps).transpose(2, 3).flatten(1)
    return F.linear(seen.view(len(at), c * taps), kernel).float()


def _spots(lo: Tensor, hi: Tensor, offset: Tensor, size: int, samples: int, limit: Tensor | int,
           axis: int) -> tuple[Tensor, Tensor]:
    """Sample points of every bin along one axis, (..., s, s, n): (where, its share of the bin's mean along the axis).

    `lo`, `hi` are sides of the regions in cells (...), `offset` moves each bin (..., s, s) by that many sides. The
    points of a bin begin at its first edge. One more than half a cell outside the map is not counted;
    the others are moved onto it.
    """
    side = (hi - lo).clamp(min=LEAST)[..., None, None, None]
    bins = torch.arange(size, device=lo.device, dtype=lo.dtype)
    bins = bins[:, None] if axis == 0 else bins[None, :]
    points = torch.arange(samples, device=lo.device, dtype=lo.dtype) / samples
    at = lo[..., None, None, None] + (bins[..., None] + points) / size * side + offset[..., None] * side
    end = limit - 1 if not isinstance(limit, Tensor) else (limit - 1).to(at)[..., None, None, None]
    real = ((at >= -0.5) & (at <= end + 0.5)).to(at)
    share = real / real.sum(-1, keepdim=True).clamp(min=1)
    at = at.clamp(min=0)
    return at.minimum(end) if isinstance(end, Tensor) else at.clamp(max=end), share


def _sides(boxes: Float[Tensor, "B R 4"], scale: Tensor | float, rounded: bool) -> tuple[Tensor, ...]:
    """x1, y1, x2, y2 in cells, centres at whole numbers."""
    at = boxes.float()
    at = torch.floor(at + 0.5) if rounded else at
    return (at * (scale[..., None] if isinstance(scale, Tensor) else scale) - 0.5).unbind(-1)


def deform_roi_pool(
    xs: Sequence[Float[Tensor, "B C _ _"]], boxes: Float[Tensor, "B R 4"], offset: Float[Tensor, "B R 2 s s"] | None,
    size: int, strides: Sequence[int],
    samples: int = 4, canonical: float = 224.0, rounded: bool = True, sensitive: bool = False,
) -> Float[Tensor, "B R C {size} {size}"]:
    """Eq. 5 and 6: mean of each bin, moved by its offset (y, x) times the region's height and width; without offsets
    the bins stay where they are.

    Of several levels, each region reads that of its size (FPN eq. 1). With `sensitive`, bin (i, j) reads maps of its
    own, channels ordered (i s + j) C + c. `rounded`: boxes rounded to whole pixels, as published. Differentiable in the
    maps, the offsets and (not rounded) the boxes.
    """
    b, r, _ = boxes.shape
    device = boxes.device
    shapes, each = tuple((x.shape[-2], x.shape[-1]) for x in xs), size**2 if sensitive else 1

    def make() -> tuple[Tensor, ...]:
        cells = torch.tensor(shapes, dtype=torch.int32, device=device)
        start = (cells.prod(1).int() * b).cumsum(0, dtype=torch.int32) - cells.prod(1).int() * b
        return torch.cat([cells, start[:, None]], 1), torch.tensor([1.0 / s for s in strides[: len(xs)]], device=device)

    table, scale = remember(("deformed levels", shapes, tuple(strides), b, device), make)
    level = (torch.zeros_like(boxes[..., 0], dtype=torch.long) if len(xs) == 1
             else level_of(boxes.detach(), strides[: len(xs)], canonical))
    h, w, start = table[level].unbind(-1)
    x1, y1, x2, y2 = _sides(boxes, scale[level], rounded)
    dy, dx = offset.float().unbind(2) if offset is not None else (boxes.new_zeros(b, r, size, size),) * 2
    base = (start + torch.arange(b, device=device, dtype=torch.int32)[:, None] * (h * w))[..., None, None]
    width = w[..., None, None]

    def corners(at: Tensor, share: Tensor, limit: Tensor) -> tuple[Tensor, Tensor]:
        low = at.detach().floor()
        part = at - low
        far = (low.int() + 1).minimum((limit - 1).int()[..., None, None, None])
        return torch.cat([low.int(), far], -1), torch.cat([(1 - part) * share, part * share], -1)  # (..., 2 n)

    yc, yw = corners(*_spots(y1, y2, dy, size, samples, h, 0), h)
    xc, xw = corners(*_spots(x1, x2, dx, size, samples, w, 1), w)
    rows = (yc * width[..., None] + base[..., None])[..., :, None] + xc[..., None, :]
    if sensitive:
        rows = rows * each + torch.arange(each, device=device, dtype=torch.int32).view(size, size, 1, 1)
    n = rows.shape[-1] ** 2
    weight = yw[..., :, None] * xw[..., None, :]
    cells = torch.cat([x.permute(0, 2, 3, 1).reshape(-1, x.shape[1] // each) for x in xs]).float()
    out = bags(cells, rows.reshape(-1, n), weight.reshape(-1, n))
    return out.view(b, r, size, size, -1).permute(0, 1, 4, 2, 3).to(xs[0].dtype)


def deform_ps_roi_pool(
    x: Float[Tensor, "B D H W"], boxes: Float[Tensor, "B R 4"], offset: Float[Tensor, "B R C 2 s s"], size: int,
    stride: int, samples: int = 4, rounded: bool = True,
) -> Float[Tensor, "B R C {size} {size}"]:
    """Deformable position-sensitive pooling (sec. 2.2, fig. 4) with offsets of each output's own;
    channels ordered (i s + j) C + c."""
    b, d, h, w = x.shape
    outputs, r = d // size**2, boxes.shape[1]
    x1, y1, x2, y2 = (v[:, :, None] for v in _sides(boxes, 1.0 / stride, rounded))
    dy, dx = offset.float().unbind(3)
    y_at, y_share = _spots(y1, y2, dy, size, samples, h, 0)  # B R C s s n
    x_at, x_share = _spots(x1, x2, dx, size, samples, w, 1)

    def maps_first(v: Tensor) -> Tensor:  # (B s s C) R Q
        return v.permute(0, 3, 4, 2, 1, 5, 6).reshape(b * d, r, samples**2)

    shape = (*y_at.shape, samples)
    ys, xs = (maps_first(v.expand(shape)) for v in (y_at[..., :, None], x_at[..., None, :]))
    share = maps_first((y_share[..., :, None] * x_share[..., None, :]).expand(shape))
    seen = _read(x.float().reshape(b * d, 1, h, w), ys, xs, "border")[:, 0]
    out = (seen * share).sum(-1).view(b, size, size, outputs, r)
    return out.permute(0, 4, 3, 1, 2).to(x.dtype)
