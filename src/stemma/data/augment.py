"""Random changes of training pictures: `recipe.Augment` applied to a Sample, or to many cached scenes at once.

Every change is a function of one random generator, so that the same seed gives the same picture. Geometry is applied to
the picture and to every kind of truth together; coordinates are continuous, pixel k covers k to k + 1.

Order, on the picture as it was read: colour, expand, IoU crop, scale and translate, zoom, window, quarter turn,
vertical flip, horizontal flip. The elastic warp comes after resizing (`elastic`), so that its pixels are the network's.

What becomes of objects: the IoU crop keeps those whose centre lies in it (Liu et al., SSD, section 2.2), every other
change all of which something is left; boxes are clipped, and dropped where a side under one pixel or none of the mask
is left. A picture that had objects keeps at least one: a draw that would lose all is drawn again, and after `TRIES`
left out.
"""
from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ..core.recipe import Augment
from ..core.types import IGNORE, Points, Sample
from ..ops.elastic import elastic_field, warp
from .transforms import resize

OBJECT = 16  # in the region byte of a Stack: below, a stuff class; from here on, 16 + index of the object
TRIES = 40
LEAST = 1.0  # pixels: objects thinner than this after a crop are dropped
GREY = (0.299, 0.587, 0.114)  # ITU-R BT.601 luma
# NTSC: luma, and a plane of chroma in which hue is an angle
_YIQ = np.array([GREY, (0.5959, -0.2746, -0.3213), (0.2115, -0.5227, 0.3112)])
_RGB = np.linalg.inv(_YIQ)


@dataclass(frozen=True)
class Symmetry:
    """One of the eight symmetries of a square: a quarter turn (0, or 1 anticlockwise, or 3 clockwise), then flips."""

    quarter: int = 0
    vertical: bool = False
    flip: bool = False


@dataclass
class Stack:
    """Many cached square pictures before collation. A pixel is red, green, blue and its region (see OBJECT)."""

    pixels: list[np.ndarray]  # uint8 (H, H, 4) each
    boxes: np.ndarray  # float32 (B, N, 4)
    labels: np.ndarray  # int64 (B, N), -1 padding
    keypoints: np.ndarray | None  # float32 (B, N, K, 3)
    stuff: int  # stuff classes; in the semantic map they come after the `things`
    things: int


# ---------------------------------------------------------------- decisions


def ordered(s: Sample, order: np.ndarray) -> Sample:
    """The same picture, its objects in another order."""
    return replace(s, **{k: v[order] for k in ("boxes", "labels", "crowd", "area", "masks", "amodal", "keypoints",
                                                   "visible") if (v := getattr(s, k)) is not None})


def draw_symmetry(rng: np.random.Generator, a: Augment) -> Symmetry:
    """Always three numbers of the generator, whatever is switched on."""
    q, v, f = rng.random(3).tolist()
    turn = 0 if q >= a.quarter else 1 if q < a.quarter / 2 else 3
    return Symmetry(turn, v < a.vertical, f < a.flip)


def draw_colour(rng: np.random.Generator, a: Augment) -> np.ndarray:
    """float32 (4,): factors of brightness, contrast, saturation and an angle of hue in radians."""
    u = 2 * rng.random(4) - 1
    return np.array([1 + a.colour * u[0], 1 + a.colour * u[1], 1 + a.colour * u[2],
                     0.1 * a.colour * u[3] * 2 * math.pi], np.float32)


def only_symmetries(a: Augment) -> bool:
    """Whether a picture keeps its size and its objects: what the fast path of cached scenes can do (colour
    included)."""
    return (a.scale == 0 and a.stretch == 0 and a.expand == 0 and not a.crop and not a.shuffle and a.elastic == 0
            and not a.zoom and not a.window)


# ---------------------------------------------------------------- colour


def colour(images: Float[Tensor, "B 3 H W"], factors: Float[Tensor, "B 4"]) -> Float[Tensor, "B 3 H W"]:
    """Brightness, contrast (about the mean luma), saturation (about the luma) and hue (a turn in YIQ),
    as one affine map of RGB.

    `images` in 0..1, the result clipped to 0..1.
    """
    f = factors.to(images)
    grey = torch.tensor(GREY, dtype=images.dtype, device=images.device)
    yiq, back = (torch.from_numpy(m).to(images) for m in (_YIQ, _RGB))
    c, s = f[:, 3].cos() * f[:, 2], f[:, 3].sin() * f[:, 2]
    zero, one = torch.zeros_like(c), torch.ones_like(c)
    turn = torch.stack([one, zero, zero, zero, c, -s, zero, s, c], -1).view(-1, 3, 3)
    mix = back @ turn @ yiq * (f[:, 0] * f[:, 1])[:, None, None]  # the luma is untouched by saturation and hue
    mean = torch.einsum("bchw,c->b", images, grey) / (images.shape[-1] * images.shape[-2])
    offset = (1 - f[:, 1]) * f[:, 0] * mean
    out = torch.einsum("bij,bjhw->bihw", mix, images) + offset[:, None, None, None]
    return out.clamp_(0, 1)


# ---------------------------------------------------------------- geometry of one sample


def flip(s: Sample, points: Points | None = None) -> Sample:
    """Mirrored left to right; keypoints change places with their mirror images."""
    return _mirror(s, points, axis=-1)


def vertical(s: Sample, points: Points | None = None) -> Sample:
    """Mirrored top to bottom. A mirror image has left and right exchanged whichever way it was made, so keypoints
    change places here too."""
    return _mirror(s, points, axis=-2)


def _mirror(s: Sample, points: Points | None, axis: int) -> Sample:
    h, w = s.size
    side, a = (w, 0) if axis == -1 else (h, 1)

    def turn(v: np.ndarray) -> np.ndarray:
        return np.flip(v, axis)

    def boxes(b: np.ndarray) -> np.ndarray:
        b = b.copy()
        b[:, a], b[:, a + 2] = side - b[:, a + 2], side - b[:, a].copy()
        return b

    keypoints = s.keypoints
    if keypoints is not None:
        keypoints = mirror_points(keypoints, float(side), a, points)
    return _maps(s, turn, lambda v: v.flip(axis + 2), boxes, keypoints, s.size)


def mirror_points(keypoints: np.ndarray, side: float, axis: int, points: Points | None) -> np.ndarray:
    """Keypoints (.., K, 3) of a picture mirrored along x (axis 0) or y (axis 1); unlabelled ones stay at 0, 0."""
    k: np.ndarray = keypoints[..., list(points.flip), :] if points is not None and points.flip else keypoints.copy()
    k[..., axis] = np.where(k[..., 2] > 0, side - k[..., axis], 0)
    return k


def quarter(s: Sample, turns: int) -> Sample:
    """Turned anticlockwise by `turns` times 90 degrees."""
    for _ in range(turns % 4):
        h, w = s.size

        def turn(v: np.ndarray) -> np.ndarray:
            return np.flip(v.swapaxes(-1, -2), -2)

        def boxes(b: np.ndarray, w: int = w) -> np.ndarray:
            return np.asarray(np.stack([b[:, 1], w - b[:, 2], b[:, 3], w - b[:, 0]], 1))

        keypoints = None if s.keypoints is None else quarter_points(s.keypoints, float(w))
        s = _maps(s, turn, torch.rot90, boxes, keypoints, (w, h))
    return s


def quarter_points(keypoints: np.ndarray, width: float) -> np.ndarray:
    """Keypoints (.., K, 3) of a picture of this width turned anticlockwise by 90 degrees."""
    k = keypoints.copy()
    k[..., 0] = keypoints[..., 1]
    k[..., 1] = np.where(k[..., 2] > 0, width - keypoints[..., 0], 0)
    return k


def _maps(
    s: Sample,
    turn: Callable[[np.ndarray], np.ndarray],
    turn_image: Callable[[Tensor], Tensor],
    boxes: Callable[[np.ndarray], np.ndarray],
    keypoints: np.ndarray | None,
    size: tuple[int, int],
) -> Sample:
    """A copy with `turn` applied to every map (last two axes: y, x), `turn_image` to the picture (H, W, 3) and `boxes`
    to every set of boxes.

    The picture goes through torch, which mirrors bytes five times as fast as numpy; maps stay views."""
    image = None if s.image is None else turn_image(torch.from_numpy(s.image)).numpy()
    return replace(
        s,
        image=image,
        size=size,
        boxes=boxes(s.boxes),
        masks=None if s.masks is None else turn(s.masks),
        amodal=None if s.amodal is None else turn(s.amodal),
        keypoints=keypoints,
        semantic=None if s.semantic is None else turn(s.semantic),
        panoptic=None if s.panoptic is None else turn(s.panoptic),
        proposals=None if s.proposals is None else boxes(s.proposals),
    )


def window(s: Sample, box: tuple[int, int, int, int], fill: np.ndarray, keep: np.ndarray | None = None) -> Sample:
    """The part of a sample inside `box` (x1, y1, x2, y2; whole pixels), which may reach beyond the picture: there it is
    `fill` (3,) uint8.

    `keep` (N,) bool says which objects stay; None keeps those whose centre lies inside. Boxes are clipped, objects left
    with a side under `LEAST` or with nothing of their mask dropped, keypoints that fall outside become unlabelled.
    """
    x1, y1, x2, y2 = box
    if keep is None:
        keep = centred(s.boxes, box)
    h, w = s.size
    size = (y2 - y1, x2 - x1)
    assert size[0] > 0 and size[1] > 0
    sy, sx = slice(max(y1, 0), max(min(y2, h), 0)), slice(max(x1, 0), max(min(x2, w), 0))  # what is taken
    ty, tx = (slice(max(-y1, 0), max(-y1, 0) + max(sy.stop - sy.start, 0)),
              slice(max(-x1, 0), max(-x1, 0) + max(sx.stop - sx.start, 0)))

    def clip(b: np.ndarray) -> np.ndarray:
        moved = b - np.array([x1, y1, x1, y1], np.float32)
        return np.asarray(np.clip(moved, 0, np.array([size[1], size[0], size[1], size[0]], np.float32)), np.float32)

    def cut(v: np.ndarray, beyond: int) -> np.ndarray:
        if y1 >= 0 and x1 >= 0 and y2 <= h and x2 <= w:
            return v[..., sy, sx]
        out = np.full((*v.shape[:-2], *size), beyond, v.dtype)
        out[..., ty, tx] = v[..., sy, sx]
        return out

    image = s.image
    if image is not None:
        if y1 >= 0 and x1 >= 0 and y2 <= h and x2 <= w:
            canvas = image[sy, sx]
        else:
            canvas = np.empty((*size, 3), np.uint8)
            canvas.reshape(size[0], -1)[:] = np.tile(fill, size[1])  # row by row: quicker than three bytes at a time
            canvas[ty, tx] = image[sy, sx]
        image = canvas
    boxes = clip(s.boxes)
    keep = keep & ((boxes[:, 2:] - boxes[:, :2]) >= LEAST).all(1)
    if s.masks is not None:
        whole = s.masks if s.amodal is None else s.masks | s.amodal
        keep = keep & (whole[:, sy, sx].any((1, 2)) | ~whole.any((1, 2)))
    keypoints = s.keypoints
    if keypoints is not None:
        keypoints = keypoints[keep].copy()
        keypoints[..., :2] -= np.array([x1, y1], np.float32)
        out_of_it = ((keypoints[..., 0] < 0) | (keypoints[..., 1] < 0) | (keypoints[..., 0] > size[1])
                     | (keypoints[..., 1] > size[0]))
        keypoints[out_of_it | (keypoints[..., 2] == 0)] = 0
    masks = None if s.masks is None else cut(s.masks[keep], 0)
    area = s.area[keep] if masks is None else masks.sum((1, 2)).astype(np.float32)
    return replace(
        s,
        image=image,
        size=size,
        boxes=boxes[keep],
        labels=s.labels[keep],
        crowd=s.crowd[keep],
        area=area,
        masks=masks,
        amodal=None if s.amodal is None else cut(s.amodal[keep], 0),
        keypoints=keypoints,
        semantic=None if s.semantic is None else cut(s.semantic, IGNORE),
        panoptic=None if s.panoptic is None else cut(s.panoptic, 0),
        image_labels=_still_present(s, keep),
        proposals=None if s.proposals is None else clip(s.proposals),
    )


def _still_present(s: Sample, keep: np.ndarray) -> np.ndarray | None:
    """Image labels after objects were lost: a class that had objects and has none left is absent."""
    if s.image_labels is None or not len(s.labels) or keep.all():
        return s.image_labels
    labels = s.image_labels.copy()
    gone = np.setdiff1d(s.labels, s.labels[keep])
    labels[gone] = np.minimum(labels[gone], 0)
    return labels


def centred(boxes: np.ndarray, box: tuple[int, int, int, int]) -> np.ndarray:
    """Which boxes (N, 4) have their centre inside `box`: bool (N,)."""
    c = (boxes[:, :2] + boxes[:, 2:]) / 2
    inside: np.ndarray = ((c > np.array(box[:2])) & (c < np.array(box[2:]))).all(1)
    return inside


def expand(s: Sample, rng: np.random.Generator, fill: np.ndarray, most: float = 4.0) -> Sample:
    """SSD's zoom out: pasted at random on a canvas of `fill`, 1 to `most` times as wide and as high (Liu et al.,
    section 3.6)."""
    h, w = s.size
    ratio, x, y = rng.random(3).tolist()
    ratio = 1 + (most - 1) * ratio
    height, width = int(h * ratio), int(w * ratio)
    left, top = int((width - w) * x), int((height - h) * y)
    return window(s, (-left, -top, width - left, height - top), fill, np.ones(len(s.boxes), bool))


def iou_crop(s: Sample, rng: np.random.Generator, fill: np.ndarray, every: bool = False) -> Sample:
    """SSD's patch sampling (Liu et al., section 2.2): the whole picture, or a patch whose overlap (IoU) with an object
    is at least .1, .3, .5, .7 or .9, or anything. Objects with their centre in the patch stay.

    A patch is the picture made .3 to 1 times as large, and then up to 2 times as wide as high or the other way, as far
    as it stays inside. `every`: the overlap is asked of all objects of the picture (RFB Net's code).
    """
    if not len(s.boxes):
        return s
    h, w = s.size
    for _ in range(TRIES):
        least = (None, 0.0, 0.1, 0.3, 0.5, 0.7, 0.9)[int(rng.integers(7))]
        if least is None:
            return s
        draws = rng.random((TRIES, 4))
        scale = 0.3 + 0.7 * draws[:, 0]
        low, high = np.maximum(0.5, scale**2), np.minimum(2.0, scale**-2)
        stretch = np.sqrt(low + (high - low) * draws[:, 1])
        sides = (np.stack([scale * stretch, scale / stretch], 1) * (w, h)).astype(np.int64)
        corner = ((np.array([w, h]) - sides) * draws[:, 2:]).astype(np.int64)
        patches = np.concatenate([corner, corner + sides], 1)
        centres = (s.boxes[:, :2] + s.boxes[:, 2:]) / 2
        inside = ((centres > patches[:, None, :2]) & (centres < patches[:, None, 2:])).all(-1)  # (TRIES, N)
        iou = _iou(patches, s.boxes)
        met = iou.min(1) if every else np.where(inside, iou, -1).max(1)
        for k in np.flatnonzero((sides.min(1) >= 1) & (met >= least)).tolist():
            x1, y1, x2, y2 = patches[k].tolist()
            cut = window(s, (x1, y1, x2, y2), fill, inside[k])
            if len(cut.boxes):
                return cut
    return s


def _iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """IoU of boxes (M, 4) with boxes (N, 4): (M, N)."""
    a = a[:, None]
    sides = np.clip(np.minimum(a[..., 2:], b[:, 2:]) - np.maximum(a[..., :2], b[:, :2]), 0, None)
    inter = sides[..., 0] * sides[..., 1]
    area = lambda v: (v[..., 2] - v[..., 0]) * (v[..., 3] - v[..., 1])
    return np.asarray(inter / np.maximum(area(a) + area(b) - inter, 1e-9))


def jitter(s: Sample, rng: np.random.Generator, fraction: float, fill: np.ndarray) -> Sample:
    """YOLOv1's scaling and translation by up to `fraction` of the picture (Redmon et al., section 2.2): each side of
    the view moves in or out by up to that; what was beyond the picture is `fill`.
    Of objects that reach out of the view what is left stays, wherever their centre is (as in the released code)."""
    h, w = s.size
    for _ in range(TRIES):
        dx1, dx2, dy1, dy2 = ((2 * rng.random(4) - 1) * fraction).tolist()
        box = (round(dx1 * w), round(dy1 * h), max(round(w + dx2 * w), round(dx1 * w) + 1),
               max(round(h + dy2 * h), round(dy1 * h) + 1))
        cut = window(s, box, fill, np.ones(len(s.boxes), bool))
        if len(cut.boxes) or not len(s.boxes):
            return cut
    return s


def zoom(s: Sample, rng: np.random.Generator, factors: tuple[float, ...]) -> Sample:
    """Scaled by one of `factors` (DeepLab v2 sec. 4.1: .5 to 1.5)."""
    factor = factors[int(rng.integers(len(factors)))]
    h, w = s.size
    return resize(s, (max(1, round(h * factor)), max(1, round(w * factor))))


def stretch(s: Sample, rng: np.random.Generator, fraction: float, fill: np.ndarray) -> Sample:
    """As YOLOv3's code: the ratio of the sides changes as if each became longer or shorter by up to `fraction`, and the
    whole picture lies anywhere in a square of `fill`, as large as fits."""
    h, w = s.size
    wide, high = (1 + fraction * (2 * rng.random(2) - 1)).tolist()
    side, ratio = max(h, w), w * wide / (h * high)
    s = resize(s, (max(1, round(side / max(ratio, 1))), max(1, round(side * min(ratio, 1)))))
    y, x = (int(rng.integers(side - v + 1)) for v in s.size)
    return window(s, (-x, -y, side - x, side - y), fill, np.ones(len(s.boxes), bool))


def cut(s: Sample, rng: np.random.Generator, size: tuple[int, int], fill: np.ndarray) -> Sample:
    """A window of `size` (height, width) somewhere in the picture, with what is left of any object (as in CornerNet's
    code); a smaller picture is filled up at the right and below."""
    (h, w), (height, width) = s.size, size
    for _ in range(TRIES):
        y, x = int(rng.integers(max(h - height, 0) + 1)), int(rng.integers(max(w - width, 0) + 1))
        part = window(s, (x, y, x + width, y + height), fill, np.ones(len(s.boxes), bool))
        if len(part.boxes) or not len(s.boxes):
            break
    return part


def elastic(s: Sample, rng: np.random.Generator, sigma: float) -> Sample:
    """U-Net's smooth warp (Ronneberger et al., section 3.1): displacements drawn on a coarse 3 x 3 grid with deviation
    `sigma` pixels, made smooth by bicubic interpolation. Boxes follow their masks where there are masks, else their own
    displaced outline."""
    if s.image is None:
        return s
    h, w = s.size
    generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
    field = elastic_field(h, w, sigma, generator=generator)

    def fetch(v: np.ndarray, mode: Literal["bilinear", "nearest"]) -> np.ndarray:
        """Maps (C, H, W) sampled at the displaced places, as float32."""
        return np.asarray(warp(torch.from_numpy(np.ascontiguousarray(v)).float()[None], field, mode)[0].numpy())

    image = np.clip(fetch(s.image.transpose(2, 0, 1), "bilinear") + 0.5, 0, 255).astype(np.uint8).transpose(1, 2, 0)
    masks = None if s.masks is None else fetch(s.masks, "nearest") > 0.5
    moved = -field[0].numpy()  # to first order: what is fetched from x + d lands at x - d

    def displace(p: np.ndarray) -> np.ndarray:
        ix, iy = np.clip(p[..., 0], 0, w - 1).astype(np.int64), np.clip(p[..., 1], 0, h - 1).astype(np.int64)
        return np.asarray(p + np.stack([moved[0, iy, ix], moved[1, iy, ix]], -1))

    def stretch(b: np.ndarray) -> np.ndarray:
        if not len(b):
            return b
        t = np.linspace(0, 1, 9, dtype=np.float32)
        xs, ys = b[:, 0:1] + (b[:, 2:3] - b[:, 0:1]) * t, b[:, 1:2] + (b[:, 3:4] - b[:, 1:2]) * t
        edges = [(xs, b[:, 1:2] + 0 * xs), (xs, b[:, 3:4] + 0 * xs), (b[:, 0:1] + 0 * ys, ys), (b[:, 2:3] + 0 * ys, ys)]
        p = displace(np.concatenate([np.stack(e, -1) for e in edges], 1))
        out = np.concatenate([p.min(1), p.max(1)], 1)
        return np.asarray(np.clip(out, 0, np.array([w, h, w, h])), np.float32)

    boxes = stretch(s.boxes) if masks is None else tight(masks)
    keypoints = s.keypoints
    if keypoints is not None:
        keypoints = keypoints.copy()
        keypoints[..., :2] = displace(keypoints[..., :2])
        gone = ((keypoints[..., 0] < 0) | (keypoints[..., 1] < 0) | (keypoints[..., 0] > w) | (keypoints[..., 1] > h)
                | (keypoints[..., 2] == 0))
        keypoints[gone] = 0
    new = replace(
        s,
        image=image,
        boxes=boxes,
        masks=masks,
        amodal=None if s.amodal is None else fetch(s.amodal, "nearest") > 0.5,
        keypoints=keypoints,
        semantic=None if s.semantic is None else fetch(s.semantic[None], "nearest")[0].astype(s.semantic.dtype),
        panoptic=None if s.panoptic is None else fetch(s.panoptic[None], "nearest")[0].astype(s.panoptic.dtype),
        proposals=None if s.proposals is None else stretch(s.proposals),
        area=s.area if masks is None else masks.sum((1, 2)).astype(np.float32),
    )
    keep = np.asarray(((boxes[:, 2:] - boxes[:, :2]) >= LEAST).all(1))
    return select(new, keep) if keep.any() or not len(keep) else s


def tight(masks: np.ndarray) -> np.ndarray:
    """Boxes float32 (N, 4) xyxy around masks (N, H, W), edges continuous; all 0 where a mask is empty."""
    n, h, w = masks.shape
    if n == 0:
        return np.zeros((0, 4), np.float32)
    rows: np.ndarray = np.asarray(masks.any(2))
    columns: np.ndarray = np.asarray(masks.any(1))
    boxes = np.stack([columns.argmax(1), rows.argmax(1), w - columns[:, ::-1].argmax(1), h - rows[:, ::-1].argmax(1)],
                     1)
    return (boxes * np.asarray(rows.any(1))[:, None]).astype(np.float32)


def select(s: Sample, keep: np.ndarray) -> Sample:
    """A copy with the objects where `keep` (N,) bool; the maps of pixels stay."""
    if keep.all():
        return s
    some = lambda v: None if v is None else v[keep]
    return replace(
        s, boxes=s.boxes[keep], labels=s.labels[keep], crowd=s.crowd[keep], area=s.area[keep],
        image_labels=_still_present(s, keep), masks=some(s.masks), amodal=some(s.amodal), keypoints=some(s.keypoints),
    )  # fmt: skip


def symmetry(s: Sample, which: Symmetry, points: Points | None = None) -> Sample:
    """Quarter turn, then the flips."""
    if which.quarter:
        s = quarter(s, which.quarter)
    if which.vertical:
        s = vertical(s, points)
    return flip(s, points) if which.flip else s


def augment(s: Sample, rng: np.random.Generator, a: Augment, mean: tuple[float, ...] = (0.485, 0.456, 0.406),
            points: Points | None = None) -> Sample:
    """All of `a` but the elastic warp. `mean` (RGB in 0..1) fills what lies beyond the picture."""
    which = draw_symmetry(rng, a)
    factors = draw_colour(rng, a)
    if a.colour and s.image is not None:
        pixels = torch.from_numpy(np.ascontiguousarray(s.image)).permute(2, 0, 1)[None].float() / 255
        changed = colour(pixels, torch.from_numpy(factors)[None])
        s = replace(s, image=(changed[0] * 255 + 0.5).to(torch.uint8).permute(1, 2, 0).numpy())
    fill = np.array([round(255 * m) for m in mean], np.uint8)
    if a.crop and a.crop_every:
        s = iou_crop(s, rng, fill, True)
    if a.expand and rng.random() < a.expand:
        s = expand(s, rng, fill)
    if a.crop and not a.crop_every:
        s = iou_crop(s, rng, fill)
    if a.scale:
        s = jitter(s, rng, a.scale, fill)
    if a.stretch:
        s = stretch(s, rng, a.stretch, fill)
    if a.zoom:
        s = zoom(s, rng, a.zoom)
    if a.window:
        s = cut(s, rng, (a.window[0], a.window[-1]), fill)
    if a.shuffle:
        s = ordered(s, rng.permutation(len(s.boxes)))
    return symmetry(s, which, points)


# ---------------------------------------------------------------- many square pictures at once


def turn_stack(stack: Stack, which: list[Symmetry],
               points: Points | None = None) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Symmetries of a stack, one a picture: pixels uint8 (B, H, H, 4), boxes (B, N, 4), keypoints, equal to `symmetry`
    on each sample."""
    side = len(stack.pixels[0])
    out = np.empty((len(stack.pixels), side, side, 4), np.uint8)
    words = out.view(np.uint32)[..., 0]  # a pixel and its region move as one word
    for k, (pixels, s) in enumerate(zip(stack.pixels, which)):
        v = pixels.view(np.uint32)[..., 0]
        if s.quarter:
            v = np.rot90(v, s.quarter)
        if s.vertical:
            v = v[::-1]
        words[k] = v[:, ::-1] if s.flip else v
    boxes, keypoints, valid = stack.boxes.copy(), stack.keypoints, stack.labels >= 0
    turned = np.array([s.quarter for s in which])
    for _ in range(int(turned.max(initial=0))):
        on = turned > 0
        b = boxes[on]
        boxes[on] = np.stack([b[..., 1], side - b[..., 2], b[..., 3], side - b[..., 0]], -1)
        if keypoints is not None:
            keypoints = np.where(on[:, None, None, None], quarter_points(keypoints, float(side)), keypoints)
        turned = turned - on
    for axis, on in ((1, np.array([s.vertical for s in which])), (0, np.array([s.flip for s in which]))):
        low, high = boxes[on, :, axis].copy(), boxes[on, :, axis + 2].copy()
        boxes[on, :, axis], boxes[on, :, axis + 2] = side - high, side - low
        if keypoints is not None:
            keypoints = np.where(on[:, None, None, None], mirror_points(keypoints, float(side), axis, points),
                                 keypoints)
    boxes[~valid] = 0
    return out, boxes, keypoints
