"""Gradients that are written out: what a CPU's autograd takes long for, as one node each.

A step of a belief is a dozen operators over a few rows, so that autograd's notes cost as much as the arithmetic; and of
each weight the gradient is one product over all steps here, where autograd has one a step and sums them.

Axes: N rows, K bins or components, Z numbers of a code, B sequences, T steps, S numbers of the drawn part, H of the
memory, M hidden units.
"""
from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

ATEN: Any = torch.ops.aten
Normed = tuple[Tensor, Tensor, Tensor]  # numbers over their size, these times the weights, one over the size


def plain(x: Tensor) -> bool:
    """Whether `x` is worked on as it is: float32 on a CPU, where PyTorch's compiler makes no graph."""
    return (x.dtype == torch.float32 and x.device.type == "cpu" and not torch.compiler.is_compiling()
            and not torch.is_autocast_enabled("cpu"))


def by_hand(x: Tensor) -> bool:
    """Whether such a gradient is taken for `x`."""
    return torch.is_grad_enabled() and plain(x)


def over_size(x: Tensor, eps: float) -> Tensor:
    """1 / sqrt(mean(x^2) + eps), the mean over the last axis, which stays as one number."""
    size: Tensor = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    return size.square_().mul_(1 / x.shape[-1]).add_(eps).rsqrt_()


def normed_silu(x: Tensor, weight: Tensor, eps: float) -> tuple[Tensor, Normed]:
    """(silu(weight x / sqrt(mean(x^2) + eps)), what its way back needs)."""
    size = over_size(x, eps)
    unit = x * size
    scaled = unit * weight
    return F.silu(scaled), (unit, scaled, size)


class RMSNormedSiLU(torch.autograd.Function):
    """`normed_silu`, of one weight for each number of the last axis."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        out, notes = normed_silu(x, weight, eps)
        ctx.save_for_backward(*notes, weight)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, Tensor, None]:
        unit, scaled, size, weight = ctx.saved_tensors
        slope = ATEN.silu_backward(slope, scaled)
        both = slope * unit
        along = (both @ weight).mul_(1 / unit.shape[-1])
        of_weight = both.flatten(0, -2).sum(0)
        return slope.mul_(weight).addcmul_(unit, along[..., None], value=-1).mul_(size), of_weight, None


class TwoHotLoss(torch.autograd.Function):
    """Cross-entropy of logits [N, K], whose log-softmax is `log_p` and softmax `p`, with M two-hot truths: their upper
    bins and these bins' shares, [M, N]. The gradient is p and two numbers a truth, without rows of zeros between."""

    @staticmethod
    def forward(ctx: Any, said: Tensor, log_p: Tensor, p: Tensor, above: Tensor, share: Tensor) -> Tensor:
        below, top = log_p.gather(-1, torch.cat([above - 1, above]).mT).mT.unflatten(0, (2, -1))
        ctx.save_for_backward(p, above, share)
        return torch.lerp(below, top, share).neg_()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, None, None, None, None]:
        p, above, share = ctx.saved_tensors
        upper = slope * share
        return (p * slope.sum(0)[:, None]).scatter_add_(
            -1, torch.cat([above - 1, above]).mT, torch.cat([upper - slope, -upper]).mT), None, None, None, None


class MixtureNLL(torch.autograd.Function):
    """-ln of a mixture's density, less its constant, at each number of `x` [..., Z], of logits that need not be
    normalised, means and log deviations [..., K, Z]."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, logit: Tensor, mean: Tensor, log_std: Tensor) -> Tensor:
        sharp = log_std.neg().exp_()
        off = (x.unsqueeze(-2) - mean).mul_(sharp)
        each = torch.addcmul(logit - log_std, off, off, value=-0.5)
        total, prior = each.logsumexp(-2, True), logit.logsumexp(-2, True)
        ctx.save_for_backward(logit, prior, sharp, off, each, total)
        return (prior - total).squeeze(-2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, ...]:
        logit, prior, sharp, off, each, total = ctx.saved_tensors
        slope = slope.unsqueeze(-2)
        blamed = (each - total).exp_().mul_(slope)  # what each component has to answer for
        d_logit = (logit - prior).exp_().mul_(slope).sub_(blamed)
        pulled = blamed * off
        d_std, pull = torch.addcmul(blamed, pulled, off, value=-1), pulled.mul_(sharp)
        return pull.sum(-2) if ctx.needs_input_grad[0] else None, d_logit, pull.neg(), d_std


class HalfSquares(torch.autograd.Function):
    """Half the squared error of each row [N, ...], summed; its slope is the error, and the truth has none."""

    @staticmethod
    def forward(ctx: Any, said: Tensor, truth: Tensor) -> Tensor:
        error = said - truth
        ctx.save_for_backward(error)
        return error.square().flatten(1).sum(1).mul_(0.5)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, None]:
        error, = ctx.saved_tensors
        return error * slope.view(-1, *[1] * (error.ndim - 1)), None


class GaussianSteps(torch.autograd.Function):
    """(what actions give to the layer before the memory [B, T, M], what is seen gives to the posterior's [B, T, M],
    drawn part [B, S] and memory [B, H] before, which steps hold on to them [B, T, 1], steps at which some do not, least
    deviation, weights) -> (mean, deviation, drawn part [B, T, S], memory [B, T, H]) of the posteriors.

    Weights: of the layer before for the drawn part; of the gates for that layer and their bias, for the memory, for the
    reset memory (`GRUCell`); the posterior's for the memory; its statistics' and their bias. Draws are those of
    `Gaussian.sample`, step by step."""

    @staticmethod
    def forward(ctx: Any, driven: Tensor, seen: Tensor, stoch: Tensor, deter: Tensor, keep: Tensor,
                forgets: list[bool], least: float, *weights: Tensor) -> tuple[Tensor, ...]:
        # as they are multiplied with: a product of a few rows takes two thirds of the time that way
        of_stoch, of_x, of_h, of_reset, recall, judge = (w.mT.contiguous() for w in weights if w.ndim == 2)
        bias, judged = (w for w in weights if w.ndim == 1)
        size, notes, out = deter.shape[-1], [], []
        for t, (x, eye, on) in enumerate(zip(driven.unbind(1), seen.unbind(1), keep.unbind(1))):
            stoch, deter = (stoch * on, deter * on) if forgets[t] else (stoch, deter)
            hidden = torch.addmm(x, stoch, of_stoch).relu_()
            gates, new = torch.addmm(bias, hidden, of_x).split((2 * size, size), -1)
            gates = torch.addmm(gates, deter, of_h).sigmoid_()
            reset, update = gates.chunk(2, -1)
            held = reset * deter
            new = torch.addmm(new, held, of_reset).tanh_()
            after = torch.lerp(new, deter, update)
            eyed = torch.addmm(eye, after, recall).relu_()
            mean, raw = torch.addmm(judged, eyed, judge).chunk(2, -1)
            std = F.softplus(raw).add_(least)
            noise = torch.randn_like(std)
            notes.append((stoch, deter, hidden, gates, held, new, eyed, raw, noise))
            stoch, deter = torch.addcmul(mean, std, noise), after
            out.append((mean, std, stoch, deter))
        ctx.notes, ctx.forgets, ctx.after = notes, forgets, [o[3] for o in out]
        ctx.save_for_backward(keep, *weights)
        return tuple(torch.stack(x, 1) for x in zip(*out))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor | None, ...]:
        keep, of_stoch, of_x, _, of_h, of_reset, recall, judge, _ = ctx.saved_tensors
        d_stoch, d_deter = torch.zeros_like(slopes[2][:, 0]), torch.zeros_like(slopes[3][:, 0])
        back = []
        steps = list(zip(ctx.notes, ctx.forgets, keep.unbind(1), *(s.unbind(1) for s in slopes)))
        for (_, deter, hidden, gates, _, new, eyed, raw, noise), forget, on, *slope in reversed(steps):
            reset, update = gates.chunk(2, -1)
            d_stoch = d_stoch + slope[2]
            d_raw = ATEN.softplus_backward(torch.addcmul(slope[1], d_stoch, noise), raw, 1.0, 20.0)
            d_judged = torch.cat([slope[0] + d_stoch, d_raw], -1)
            d_eyed = ATEN.threshold_backward(d_judged @ judge, eyed, 0)
            d_after = torch.addmm(d_deter + slope[3], d_eyed, recall)
            d_deter = d_after * update
            d_new = ATEN.tanh_backward(d_after - d_deter, new)
            d_held = d_new @ of_reset
            d_gates = ATEN.sigmoid_backward(torch.cat([d_held * deter, d_after * (deter - new)], -1), gates)
            d_deter = torch.addmm(d_deter.addcmul_(d_held, reset), d_gates, of_h)
            d_x = torch.cat([d_gates, d_new], -1)
            d_hidden = ATEN.threshold_backward(d_x @ of_x, hidden, 0)
            d_stoch = d_hidden @ of_stoch
            d_stoch, d_deter = (d_stoch * on, d_deter * on) if forget else (d_stoch, d_deter)
            back.append((d_hidden, d_eyed, d_x, d_judged))
        back.reverse()
        d_hidden, d_eyed, d_x, d_judged = (torch.cat(x) for x in zip(*back))
        stoch, deter, hidden, _, held, _, eyed, _, _ = (torch.cat(x) for x in zip(*ctx.notes))
        d_gates, d_new = d_x.split((of_h.shape[0], of_reset.shape[0]), -1)
        b, t = keep.shape[:2]
        return (d_hidden.view(t, b, -1).transpose(0, 1), d_eyed.view(t, b, -1).transpose(0, 1), d_stoch, d_deter, None,
                None, None, d_hidden.mT @ stoch, d_x.mT @ hidden, d_x.sum(0), d_gates.mT @ deter, d_new.mT @ held,
                d_eyed.mT @ torch.cat(ctx.after), d_judged.mT @ eyed, d_judged.sum(0))


__all__ = ["GaussianSteps", "HalfSquares", "MixtureNLL", "Normed", "RMSNormedSiLU", "TwoHotLoss", "by_hand",
           "normed_silu", "over_size", "plain"]
