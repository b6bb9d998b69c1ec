"""DreamerV3's belief along a sequence with its gradient written out, as `by_hand.GaussianSteps` does PlaNet's: a step
is some forty small operators each way, and each weight's gradient is one product over all steps.

Axes: B sequences, T steps, H numbers of the memory in K blocks of W, S = C G of the drawn part (G variables of C
classes, the classes first, so that a softmax runs over many variables at once), M hidden units, E of the layer that
sees.
"""
from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from . import latents
from .by_hand import ATEN, Normed, normed_silu


def back_from(slope: Tensor, weight: Tensor, normed: Normed) -> tuple[Tensor, Tensor]:
    """(slope of what the weights were multiplied to, slope of x) from that of `normed_silu`."""
    unit, scaled, size = normed
    slope = ATEN.silu_backward(slope, scaled)
    inner = slope * weight
    along = (inner * unit).mean(-1, keepdim=True)
    return slope, inner.addcmul_(unit, along, value=-1).mul_(size)


class BlockSteps(torch.autograd.Function):
    """(what actions give to the layer of blocks, its bias with them [B, T, H], what is seen gives to the posterior's
    [B, T, E], drawn part [B, S] and memory [B, H] before, which steps hold on to them [B, T, 1], steps at which some do
    not, (K, C, share of uniform chances, eps), weights) -> (chances [B, T, C, G], drawn part [B, T, C G], memory
    [B, T, H]) of the posteriors; gradients of what is drawn go straight through to the chances.

    Weights: of the layers for the memory and for the drawn part with their biases, and their norms' [2, M]; the blocks'
    for both [2 M, H] and for their own part of the memory [K, W, W], their norm's; the gates' (reset, update,
    candidate) [K, W, 3 W] and [K, 1, 3 W]; the posterior's for the memory, its norm's, its statistics' and bias.
    Draws are those of `Categorical.sample`, step by step."""

    @staticmethod
    def forward(ctx: Any, driven: Tensor, seen: Tensor, stoch: Tensor, deter: Tensor, keep: Tensor, forgets: list[bool],
                sizes: tuple[int, int, float, float], *weights: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        of_deter, bias0, of_stoch, bias1, near, common, own, norm, gate, opened, recall, clear, judge, judged = weights
        (blocks, classes, mix, eps), b, units = sizes, len(deter), near.shape[-1]
        wide, notes, out = deter.shape[-1] // blocks, [], []
        even = near.new_tensor(1 / classes)
        rows = zip(driven.unbind(1), seen.unbind(1), keep.unbind(1), forgets)
        for did, eye, on, forget in rows:
            stoch, deter = (stoch * on, deter * on) if forget else (stoch, deter)
            both = near.new_empty(b, 2, units)
            torch.addmm(bias0, deter, of_deter.mT, out=both[:, 0])
            torch.addmm(bias1, stoch, of_stoch.mT, out=both[:, 1])
            both, of_both = normed_silu(both, near, eps)
            mine = deter.view(b, blocks, wide).transpose(0, 1).contiguous()
            x = torch.addmm(did, both.flatten(1), common)
            x.view(b, blocks, wide).add_(torch.bmm(mine, own).transpose(0, 1))
            x, of_x = normed_silu(x, norm, eps)
            x = x.view(b, blocks, wide).transpose(0, 1).contiguous()
            gates, new = torch.baddbmm(opened, x, gate).split((2 * wide, wide), -1)
            gates = gates.sigmoid()
            reset, update = gates.chunk(2, -1)
            candidate = (reset * new).tanh_()
            after = torch.lerp(mine, candidate, update).transpose(0, 1).reshape(b, -1)
            eyed, of_eyed = normed_silu(torch.addmm(eye, after, recall.mT), clear, eps)
            p = torch.addmm(judged, eyed, judge.mT).view(b, classes, -1).softmax(1)
            mixed = torch.lerp(p, even, mix)
            notes.append((stoch, deter, mine, both, x, gates, new, candidate, eyed, p, of_both, of_x, of_eyed))
            stoch = torch.zeros_like(mixed).scatter_(1, latents.chosen(mixed.mT)[:, None], 1.0).flatten(1)
            deter = after
            out.append((mixed, stoch, deter))
        ctx.notes, ctx.sizes, ctx.forgets, ctx.after = notes, sizes, forgets, [o[2] for o in out]
        chances, drawn, memory = (torch.stack(x, 1) for x in zip(*out))
        ctx.save_for_backward(keep, *weights)
        return chances, drawn, memory

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor | None, ...]:
        keep, of_deter, _, of_stoch, _, near, common, own, norm, gate, _, recall, clear, judge, _ = ctx.saved_tensors
        (blocks, _, mix, _), (b, t) = ctx.sizes, keep.shape[:2]
        wide = own.shape[-1]
        told = (slopes[0] + slopes[1].reshape_as(slopes[0])) * (1 - mix)
        straight = of_stoch * (1 - mix)  # a draw's slope is its chance's, of which a part is p
        d_drawn, d_deter, d_stoch = torch.zeros_like(told[:, 0]), torch.zeros_like(slopes[2][:, 0]), None
        back = []
        steps = list(zip(ctx.notes, ctx.forgets, keep.unbind(1), told.unbind(1), slopes[2].unbind(1)))
        for i, (note, forget, on, said, held) in reversed(list(enumerate(steps))):
            _, _, mine, _, _, gates, new, candidate, _, p, of_both, of_x, of_eyed = note
            reset, update = gates.chunk(2, -1)
            d_raw = ATEN._softmax_backward_data(said + d_drawn, p, 1, p.dtype).flatten(1)
            s_eyed, d_eyed = back_from(d_raw @ judge, clear, of_eyed)
            after = torch.addmm(d_deter + held, d_eyed, recall).view(b, blocks, wide).transpose(0, 1)
            d_new = after * update
            stay = after - d_new
            d_new = ATEN.tanh_backward(d_new, candidate)
            d_gates = torch.cat([d_new * new, after * (candidate - mine)], -1)
            d_gates = torch.cat([ATEN.sigmoid_backward(d_gates, gates), d_new * reset], -1)
            d_x = torch.bmm(d_gates, gate.mT).transpose(0, 1).reshape(b, -1)
            s_x, d_x = back_from(d_x, norm, of_x)
            stay = torch.baddbmm(stay, d_x.view(b, blocks, wide).transpose(0, 1), own.mT)
            s_both, d_both = back_from((d_x @ common.mT).view(b, 2, -1), near, of_both)
            d_deter = torch.addmm(stay.transpose(0, 1).reshape(b, -1), d_both[:, 0], of_deter)
            if i == 0:
                d_stoch = d_both[:, 1] @ of_stoch
            d_drawn = (d_both[:, 1] @ straight).view_as(d_drawn)
            if forget:
                d_deter, d_drawn = d_deter * on, d_drawn * on[..., None]
                d_stoch = d_stoch if d_stoch is None else d_stoch * on
            back.append((d_x, d_eyed, d_both, d_raw, s_both, s_x, s_eyed, d_gates))
        back.reverse()
        d_x, d_eyed, d_both, d_raw, s_both, s_x, s_eyed = (torch.cat(x) for x in [*zip(*back)][:7])
        d_gates = torch.cat([x[7] for x in back], 1)
        kept = [*zip(*ctx.notes)]
        stoch, deter, both, eyed = (torch.cat(kept[k]) for k in (0, 1, 3, 8))
        mine, x = (torch.cat(kept[k], 1) for k in (2, 4))
        units = [(torch.cat([n[0] for n in kept[k]]) * s).sum(0) for k, s in ((10, s_both), (11, s_x), (12, s_eyed))]
        apart = lambda v: v.view(t, b, -1).transpose(0, 1)
        d_own = torch.bmm(mine.mT, d_x.view(t * b, blocks, wide).transpose(0, 1))
        return (apart(d_x), apart(d_eyed), d_stoch, d_deter, None, None, None, d_both[:, 0].mT @ deter,
                d_both[:, 0].sum(0), d_both[:, 1].mT @ stoch, d_both[:, 1].sum(0), units[0], both.flatten(1).mT @ d_x,
                d_own, units[1], torch.bmm(x.mT, d_gates), d_gates.sum(1, True), d_eyed.mT @ torch.cat(ctx.after),
                units[2], d_raw.mT @ eyed, d_raw.sum(0))


__all__ = ["BlockSteps"]
