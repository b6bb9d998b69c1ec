"""Attention among regions that knows how they lie to each other, and what it is for: heads whose regions see one
another, and duplicates that are found by it in the place of NMS (Relation Networks).

Axes: B images, R regions, N M queries and keys, H heads, D features, C classes, n best regions of a class, T overlaps,
O objects, E numbers of an embedding.
"""
from __future__ import annotations

from typing import Any, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from ...core.part import In
from ...core.types import Targets
from ...ops import boxes as bx
from ..dense.assign import crowded
from .heads import Align, Deltas, FCHead, Pool, Seen

FLOOR, WAVE, NEAR = 1e-6, 1000.0, 1e-3  # least weight of a pair, longest wave, least share of a side
PAIRS = 2**13  # pairs that are embedded at a time


def geometry(boxes: Float[Tensor, "*B N 4"]) -> Float[Tensor, "*B N N 4"]:
    """Sec. 3.2: log |dx| / w, log |dy| / h, log of the ratios of widths and heights, of every pair, in sides of the one
    that looks (the first). Unchanged where all boxes are moved or scaled alike; side by side as in the authors' code.
    """
    centre, size = bx.centre_size(boxes)
    size = size.clamp(min=NEAR)
    away = (centre[..., :, None, :] - centre[..., None, :, :]).abs() / size[..., :, None, :]
    return torch.cat([away.clamp(min=NEAR).log(), (size[..., :, None, :] / size[..., None, :, :]).log()], -1)


def waves(x: Float[Tensor, "*A"], dim: int) -> Float[Tensor, "*A {dim}"]:
    """Sines and cosines of wave lengths up to 1,000 (Vaswani et al. 2017, sec. 3.5), all sines first."""
    rate = WAVE ** (torch.arange(dim // 2, device=x.device, dtype=x.dtype) * (-2 / dim))
    angle = x[..., None] * rate
    return torch.cat([angle.sin(), angle.cos()], -1)


def embed(pairs: Float[Tensor, "*A 4"], dim: int) -> Float[Tensor, "*A {dim}"]:
    """The four numbers, times 100, as `dim` / 4 waves each."""
    return waves(100 * pairs, dim // 4).flatten(-2)


class _PairLogs(torch.autograd.Function):
    """log max(w, 1e-6), w the embedded pairs through a linear layer. What is kept for the way back are the four numbers
    of a pair and the result; the embedding, sixteen times as large, is made anew, and never that of all pairs at once.
    """

    @staticmethod
    def forward(ctx: Any, pairs: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        out = pairs.new_empty(*pairs.shape[:-1], len(weight))
        for part, said in zip(_parts(pairs), _parts(out), strict=True):
            said.copy_(_pair_logs(part, weight, bias))
        ctx.save_for_backward(pairs, weight, out)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[None, Tensor, Tensor]:
        pairs, weight, out = ctx.saved_tensors
        to_weight, to_bias, least = torch.zeros_like(weight), weight.new_zeros(len(weight)), out.new_tensor(FLOOR).log()
        for part, said, pull in zip(_parts(pairs), _parts(out), _parts(slope), strict=True):
            pull = torch.where(said > least, pull * (-said).exp(), 0.0)
            to_weight.addmm_(pull.mT, embed(part, weight.shape[1]))
            to_bias += pull.sum(0)
        return None, to_weight, to_bias


def _parts(pairs: Float[Tensor, "*B N M D"]) -> tuple[Float[Tensor, "P D"], ...]:
    """All pairs in turn, `PAIRS` at a time; of what is contiguous these are views."""
    parts: tuple[Tensor, ...] = pairs.flatten(0, -2).split(PAIRS)
    return parts


def _pair_logs(pairs: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return F.linear(embed(pairs, weight.shape[1]), weight, bias).clamp(min=FLOOR).log()


def pair_logs(pairs: Float[Tensor, "*B N M 4"], layers: list[nn.Linear]) -> list[Float[Tensor, "*B N M H"]]:
    """Eq. 5, log of w_G of every pair, for several layers at once: the embedding is made once. In float32."""
    with torch.autocast(pairs.device.type, enabled=False):
        weight = torch.cat([layer.weight for layer in layers]).float()
        bias = torch.cat([layer.bias for layer in layers]).float()
        logs: Any = _pair_logs if torch.compiler.is_compiling() else _PairLogs.apply
        out: Tensor = logs(pairs.detach().float(), weight, bias)
    return list(out.split([layer.out_features for layer in layers], -1))


class Relation(nn.Module):
    """Eq. 2 to 6: what a region learns of all others; to be added to what it says itself.

    A head weighs another region by softmax over (log w_G + q k / sqrt(d_k)), and gives the sum of their values. With
    w_G = 1 it is multi-head attention without a last layer.
    """

    def __init__(self, width: int, heads: int = 16, key: int = 64, embed: int = 64) -> None:
        super().__init__()
        assert width % heads == 0 and embed % 8 == 0, f"{width} numbers in {heads} heads, embeddings of {embed}"
        self.heads = heads
        self.geometry = nn.Linear(embed, heads)
        self.query, self.key = nn.Linear(width, heads * key), nn.Linear(width, heads * key)
        self.value = nn.Linear(width, width)
        started(self)

    def forward(self, x: Float[Tensor, "B N D"], near: Float[Tensor, "B N N H"],
                keys: Bool[Tensor, "B N"]) -> Float[Tensor, "B N D"]:
        """`keys`: regions that others may learn from; where there are none, nothing is learned but the bias."""
        q, k = (layer(x).unflatten(-1, (self.heads, -1)).transpose(1, 2) for layer in (self.query, self.key))
        v = F.linear(x, self.value.weight).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        a = (q @ k.mT).float() * k.shape[-1] ** -0.5 + near.permute(0, 3, 1, 2)
        a = a.masked_fill(~keys[:, None, None], -1e9).softmax(-1) * keys.any(1)[:, None, None, None]
        out: Tensor = (a.to(v.dtype) @ v).transpose(1, 2).flatten(2) + self.value.bias
        return out


def started(module: nn.Module) -> None:
    """Every linear layer as in the authors' code: N(0, .01), bias 0."""
    for m in module.modules():
        if isinstance(m, nn.Linear):
            nn.init.normal_(m.weight, std=0.01)
            nn.init.zeros_(m.bias)


class RelationHead(FCHead):
    """Sec. 3.3, fig. 2: fully connected layers, and after each of them, before its ReLU, so many `relations` one after
    another. Without any it is the plain head."""

    def __init__(
        self, inp: In, pool: Pool = Align(7), width: int = 1024, relations: tuple[int, ...] = (1, 1), heads: int = 16,
        key: int = 64, embed: int = 64, deltas: Deltas = "agnostic", reduce: int = 0,
    ) -> None:
        super().__init__(inp, pool, width, len(relations), 0.0, deltas, reduce=reduce)
        self.width = width
        self.relations = nn.ModuleList(nn.ModuleList(Relation(width, heads, key, embed) for _ in range(n))
                                       for n in relations)

    def says(self, xs: list[Tensor], boxes: Float[Tensor, "B R 4"],
             keys: Bool[Tensor, "B R"]) -> tuple[Seen, Float[Tensor, "B R D"]]:
        """(logits and deltas, the last layer's features). `keys`: regions that others look at."""
        x = self.features(xs, boxes).flatten(2)
        rows: Any = self.relations
        every: list[Any] = [r for row in rows for r in row]
        near = iter(pair_logs(geometry(boxes.detach()), [r.geometry for r in every]) if every else ())
        layers = [m for m in self.body if isinstance(m, nn.Linear)]
        for layer, row in zip(layers, rows, strict=True):
            x = layer(x)
            for r in row:
                x = x + r(x, next(near), keys)
            x = F.relu(x)
        return self.predict(x), x

    def forward(self, xs: list[Tensor], boxes: Tensor) -> Seen:
        return self.says(xs, boxes, bx.area(boxes) > 0)[0]


class DuplicateRemoval(nn.Module):
    """Sec. 4: of each class the `first` best regions, their ranks and what they look like, one relation among them, and
    a probability of being the one to keep at each of `overlaps`; the final score is the class score times that.

    The loss is cross entropy of the final scores, at each overlap against the best-scored region of every object;
    those weigh `positive`. What lies in a crowd is not asked. `least`:
    classes of which no region scores as much are left out when predicting. `merge`: mean or maximum over the overlaps.
    """

    def __init__(
        self, inp: In, first: int = 100, width: int = 128, rank: int = 1024, heads: int = 16, key: int = 64,
        embed: int = 64, overlaps: tuple[float, ...] = (0.5, 0.6, 0.7, 0.8, 0.9), positive: float = 4.0,
        least: float = 0.01, merge: Literal["mean", "max"] = "mean",
    ) -> None:
        super().__init__()
        self.first, self.waves, self.overlaps, self.positive = first, rank, overlaps, positive
        self.least, self.merge = least, merge
        self.rank, self.look = nn.Linear(rank, width), nn.Linear(inp.channels[0], width)
        self.relation = Relation(width, heads, key, embed)
        self.keep = nn.Linear(width, len(overlaps))
        started(self)
        nn.init.constant_(self.keep.bias, -3.0)

    def forward(
        self, scores: Float[Tensor, "B R C"], boxes: Float[Tensor, "B R 4"], features: Float[Tensor, "B R D"],
        real: Bool[Tensor, "B R"],
    ) -> tuple[Float[Tensor, "B C n"], Int[Tensor, "B C n"], Float[Tensor, "B C n T"]]:
        """(class scores, best first; their regions; the probability of keeping each)."""
        top, at = scores.masked_fill(~real[..., None], 0.0).mT.topk(min(self.first, scores.shape[1]), dim=2)
        b, c, n = at.shape
        rows = at.flatten(1)
        ranks = self.rank(waves(torch.arange(n, device=at.device, dtype=boxes.dtype), self.waves))
        f = bx.take(self.look(features), rows).view(b * c, n, -1) + ranks
        (near,) = pair_logs(geometry(boxes.detach()), [self.relation.geometry])
        image = torch.arange(b, device=at.device)[:, None, None, None]
        near = near[image, at[..., :, None], at[..., None, :]]
        y = F.relu(f + self.relation(f, near.flatten(0, 1), real.gather(1, rows).view(b * c, n)))
        kept: Tensor = self.keep(y)
        return top, at, kept.float().sigmoid().view(b, c, n, -1)

    def loss(self, scores: Tensor, boxes: Tensor, features: Tensor, real: Tensor, t: Targets) -> Tensor:
        top, at, kept = self(scores, boxes, features, real)
        want = wanted(boxes.detach(), at, t, self.overlaps)
        p = top[..., None] * kept
        cost = -(self.positive * want * (p + 1e-8).log() + (1 - want) * (1 - p + 1e-8).log())
        there = (real & ~crowded(boxes.detach(), t))[:, None].expand(-1, at.shape[1], -1).gather(2, at)
        out: Tensor = (cost * there[..., None]).sum() / (len(at) * at.shape[2] * len(self.overlaps))
        return out

    def final(self, top: Float[Tensor, "B C n"], kept: Float[Tensor, "B C n T"]) -> Float[Tensor, "B C n"]:
        merged = kept.mean(-1) if self.merge == "mean" else kept.amax(-1)
        return top * merged * (top.amax(2, keepdim=True) >= self.least)


@torch.no_grad()
def wanted(boxes: Float[Tensor, "B R 4"], at: Int[Tensor, "B C n"], t: Targets,
           overlaps: tuple[float, ...]) -> Float[Tensor, "B C n T"]:
    """Sec. 4: 1 for the best-scored region of each object of its class, among those that overlap it more than any other
    object of the class, and by more than the overlap; as the measure counts."""
    b, c, n = at.shape
    if t.boxes.shape[1] == 0:
        return boxes.new_zeros(b, c, n, len(overlaps))
    iou = bx.take(bx.iou(boxes, t.boxes), at.flatten(1)).view(b, c, n, -1)
    mine = t.valid[:, None] & (t.labels[:, None] == torch.arange(c, device=at.device)[:, None])
    best, owner = iou.masked_fill(~mine[:, :, None], -1.0).max(-1)
    own = F.one_hot(owner, iou.shape[-1]).bool()
    found = []
    for least in overlaps:
        over = own & (best > least)[..., None]
        found.append((over & (over.cumsum(2) == 1)).any(-1))
    return torch.stack(found, -1).to(boxes)
