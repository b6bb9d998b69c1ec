"""Greedy non-maximum suppression on padded batches: static shapes, the same answer as one box after another; and the
soft one, which lowers scores.

Axes: B images, N candidates, K kept.
"""
from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from . import boxes as bx
from .compiled import compiled

TRIPS = 32  # rounds in a traced graph: enough for chains of 32 boxes, each suppressed by the one before
CHUNK = 1024  # candidates looked at first on a GPU: the best of them nearly always fill the list
PAIRS = 2**25  # pairs of boxes compared at a time: bounds the memory of a large batch


def nms(
    boxes: Float[Tensor, "B N 4"],
    scores: Float[Tensor, "B N"],
    labels: Int[Tensor, "B N"] | None = None,
    iou: float = 0.5,
    keep: int = 100,
    groups: Int[Tensor, "B N"] | None = None,
) -> Int[Tensor, "B keep"]:
    """Indices of the `keep` best survivors of each image, best first, -1 where there are fewer.

    A box is dropped when a better survivor of the same image, label and group overlaps it by more than `iou`.
    A score of -inf or a label below 0 marks padding. Ties are broken by position.

    Exact in eager mode, where the candidates are read in chunks of falling score until the list is full (suppression
    only ever looks upwards, so what is left unread cannot matter). A traced graph reads them all at once; compiled for
    a processor or written as ONNX it holds one operator in the place of rounds (`suppress`).
    """
    boxes, scores = boxes.detach().float(), scores.detach().float()
    n = boxes.shape[1]
    if n == 0 or keep == 0:
        return torch.full((len(boxes), keep), -1, dtype=torch.long, device=boxes.device)
    if labels is not None:
        scores = scores.masked_fill(labels < 0, -torch.inf)
    kind = labels if labels is not None else torch.zeros_like(scores, dtype=torch.long)
    if groups is not None:
        kind = kind + groups * (kind.max() + 1)
    ranked, order = scores.sort(dim=1, descending=True, stable=True)
    boxes, kind, valid = bx.take(boxes, order), kind.gather(1, order), ranked > -torch.inf
    if torch.compiler.is_compiling():
        whole = torch.onnx.is_in_onnx_export() or boxes.device.type == "cpu" and not torch.compiler.is_exporting()
        alive = suppress(boxes, kind, valid, iou, keep) if whole else _survivors(boxes, kind, valid, iou, TRIPS)
        return _best(alive, order, keep)
    if boxes.device.type != "cpu":
        return _best(_in_chunks(boxes, kind, valid, iou, keep), order, keep)
    out = torch.full((len(order), keep), -1)
    for row, places, found in zip(out, order, _found(boxes, kind, valid, iou, keep)):
        row[: len(found)] = places[found[:keep]]
    return out


def _in_chunks(boxes: Tensor, kind: Tensor, valid: Bool[Tensor, "B N"], iou: float, keep: int) -> Bool[Tensor, "B N"]:
    """Who survives, of the best of each image at first, and of four times as many until each has `keep`."""
    n = boxes.shape[1]
    m = min(n, max(CHUNK, 2 * keep))
    while True:
        alive = _survivors(boxes[:, :m], kind[:, :m], valid[:, :m], iou, 0)
        if m == n or not bool(((alive.sum(1) < keep) & valid[:, m]).any()):
            return F.pad(alive, (0, n - m))
        m = min(n, 4 * m)


def _survivors(boxes: Tensor, kind: Tensor, valid: Bool[Tensor, "B N"], iou: float, trips: int) -> Bool[Tensor, "B N"]:
    """Who survives among boxes sorted by falling score.

    A box lives when no living box before it overlaps it. Starting from "all live" and applying that rule to everyone
    at once settles box i after as many rounds as its longest chain of suppressors;
    the fixed point is the greedy answer.
    """
    b, n = kind.shape
    step = b if trips else max(1, min(b, PAIRS // (n * n)))
    over = torch.cat([_overlaps(boxes[i : i + step], kind[i : i + step], iou) for i in range(0, b, step)])
    alive = valid
    while True:
        before = alive
        for _ in range(trips or 4):  # looking whether anything changed costs a wait for the device, so not every round
            hit = torch.bmm(alive.to(over.dtype)[:, None], over)[:, 0]
            before, alive = alive, valid & (hit == 0)
        if trips or bool((before == alive).all()):
            return alive


def _overlaps(boxes: Tensor, kind: Tensor, iou: float) -> Float[Tensor, "B N N"]:
    """[b, i, j] is 1 where i may suppress j: it comes before, is of its kind and overlaps it. Half precision where a
    sum of ones is quick in it."""
    over = (bx.iou(boxes, boxes) > iou) & (kind[:, :, None] == kind[:, None, :])
    return over.triu(1).to(torch.float16 if boxes.is_cuda else torch.float32)


def _found(boxes: Tensor, kind: Tensor, valid: Bool[Tensor, "B N"], iou: float, keep: int) -> Iterator[Tensor]:
    """The same through torchvision's compiled loop, which is quicker on a processor: of each image the places of the
    survivors, at least of the best `keep`.

    Kinds are kept apart by shifting each to a place of its own, in float64, where the shift costs no precision. The
    loop's time grows as the square of what it is given: of many, half as many again as are wanted come first, and then,
    beside those that survived, as many as are likely to bring what is short.
    """
    every = boxes.double()
    every = every + (kind * (every.amax() - every.amin() + 1))[..., None]
    falling = torch.arange(every.shape[1], 0, -1, dtype=every.dtype)
    first = keep + keep // 2
    for far, real in zip(every, valid.sum(1).tolist()):  # padding is last
        end = first if 2 * first < real else real
        found = compiled().nms(far[:end], falling[:end], iou)
        while end < real and len(found) < keep:
            more = min(real, end + (keep - len(found)) * end * 3 // (2 * len(found)) + 1)
            asked = torch.cat([found, torch.arange(end, more)])
            found, end = asked[compiled().nms(far[asked], falling[: len(asked)], iou)], more
        yield found


@torch.library.custom_op("stemma::suppress", mutates_args=())
def suppress(boxes: Tensor, kind: Tensor, valid: Tensor, iou: float, keep: int) -> Tensor:
    """Who survives among boxes "B N 4" sorted by falling score, "B N": one operator of a graph, which whoever writes
    the graph puts the runtime's own in the place of. The best `keep` are sure to be there."""
    alive = torch.zeros_like(valid)
    for row, found in zip(alive, _found(boxes, kind, valid, iou, keep)):
        row[found] = True
    return alive


@suppress.register_fake
def _(boxes: Tensor, kind: Tensor, valid: Tensor, iou: float, keep: int) -> Tensor:
    return torch.empty_like(valid)


def _best(alive: Bool[Tensor, "B N"], order: Int[Tensor, "B N"], keep: int) -> Int[Tensor, "B keep"]:
    """The first `keep` of the living, as positions before sorting."""
    rank = alive.cumsum(1) - 1
    slot = torch.where(alive & (rank < keep), rank, keep)  # the spare slot takes all others
    out = order.new_full((len(order), keep + 1), -1)
    return out.scatter(1, slot, torch.where(slot < keep, order, -1))[:, :keep]


def nms_one(boxes: Float[Tensor, "N 4"], scores: Float[Tensor, " N"], iou: float) -> Int[Tensor, " M"]:
    """`nms` of one picture and one class, unpadded."""
    out = nms(boxes[None], scores[None], None, iou, len(boxes))[0]
    return out[out >= 0]


def soft_nms(
    boxes: Float[Tensor, "B N 4"],
    scores: Float[Tensor, "B N"],
    labels: Int[Tensor, "B N"],
    keep: int = 100,
    sigma: float = 0.5,
    least: float = 1e-3,
) -> tuple[Int[Tensor, "B keep"], Float[Tensor, "B keep"]]:
    """Soft-NMS (arXiv 1704.04503, eq. 4): (indices of the `keep` best, -1 where there are fewer; their lowered scores),
    best first.

    The best candidate is taken, and those of its label lose a factor exp(-IoU^2 / sigma); `keep` times. Candidates that
    fall to `least` or below, or have a label under 0, are not taken.
    """
    boxes, left = boxes.detach().float(), scores.detach().float().masked_fill(labels < 0, -1.0)
    rounds = min(keep, boxes.shape[1])

    def taken(left: Tensor, _: Tensor | None = None) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        value, at = left.max(1, keepdim=True)
        box, label = bx.take(boxes, at), labels.gather(1, at)
        over = bx.iou(box, boxes)[:, 0]
        left = torch.where(labels == label, left * torch.exp(-over.square() / sigma), left).scatter(1, at, -1.0)
        return left, (torch.where(value > least, at, -1)[:, 0], torch.where(value > least, value, 0.0)[:, 0])

    if torch.compiler.is_exporting() and rounds:  # one loop in the graph, where all rounds written out take minutes
        from torch._higher_order_ops.scan import scan

        _, (places, values) = scan(taken, left, left.new_zeros(rounds))
    else:
        found = []
        for _ in range(rounds):
            left, one = taken(left)
            found.append(one)
        places, values = (torch.stack(v) for v in zip(*found)) if found else (labels[:, :0].T, left[:, :0].T)
    short = keep - rounds
    return F.pad(places.T, (0, short), value=-1), F.pad(values.T, (0, short))
