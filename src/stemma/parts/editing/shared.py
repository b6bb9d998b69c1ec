"""What attentions of a network of diffusers' share. Between two pictures of two captions that differ as little as they
can: what the second one's self-attention looks at is what the first one's does, for a part of the steps
(InstructPix2Pix sec. 3.1.2; its released code shares self-attention, where Prompt-to-Prompt, arXiv 2208.01626, injects
that between picture and words). Between the steps of an edit: the keys and values of its words. Between the passes of a
step: what is seen before any word is heard."""
from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Shared:
    """What diffusers calls a processor of an attention. A batch holds (pass, first or second, pair), `passes` times two
    times B; of the pairs that are `on`, bool [B], the second's weights are the first's."""

    on: Tensor | None = None

    def __init__(self, passes: int = 2) -> None:
        self.passes = passes

    def __call__(self, attn: Any, hidden_states: Tensor, encoder_hidden_states: Tensor | None = None,
                 attention_mask: Tensor | None = None, temb: Tensor | None = None, **_: Any) -> Tensor:
        x = hidden_states
        q, k, v = (attn.head_to_batch_dim(f(x)) for f in (attn.to_q, attn.to_k, attn.to_v))
        weights = attn.get_attention_scores(q, k, attention_mask)
        if self.on is not None:
            halves = weights.view(self.passes, 2, len(self.on), -1, *weights.shape[1:])
            weights = torch.where(self.on.view(1, 1, -1, 1, 1, 1), halves[:, :1], halves).reshape(weights.shape)
        out: Tensor = attn.to_out[1](attn.to_out[0](attn.batch_to_head_dim(torch.bmm(weights, v))))
        return out


def _attend(attn: Any, x: Tensor, keys: Tensor, values: Tensor, mask: Any) -> Tensor:
    """What an attention makes of queries [B, N, D] over keys and values [B, heads, L, d]."""
    seen = F.scaled_dot_product_attention(_heads(attn, attn.to_q(x)), keys, values, mask)
    out: Tensor = attn.to_out[1](attn.to_out[0](seen.transpose(1, 2).flatten(2)))
    return out


def _heads(attn: Any, x: Tensor) -> Tensor:
    split: Tensor = x.unflatten(-1, (attn.heads, -1)).transpose(1, 2)
    return split


class Told:
    """A processor of one attention between picture and words: keys and values of words that are the same as last time
    (the same tensor) are not computed again."""

    seen: Tensor | None = None

    def __call__(self, attn: Any, hidden_states: Tensor, encoder_hidden_states: Tensor, attention_mask: Any = None,
                 temb: Any = None, **_: Any) -> Tensor:
        if self.seen is not encoder_hidden_states:
            self.seen = encoder_hidden_states
            self.keys, self.values = (_heads(attn, f(encoder_hidden_states)) for f in (attn.to_k, attn.to_v))
        return _attend(attn, hidden_states, self.keys, self.values, attention_mask)


class Common:
    """A processor of the first self-attention, before which no word was heard: of the passes of a batch, one after the
    other, those that see the same are computed once. sees: what each pass does."""

    def __init__(self, sees: Sequence[object]) -> None:
        self.own = list(dict.fromkeys(sees))
        self.of = [self.own.index(s) for s in sees]

    def __call__(self, attn: Any, hidden_states: Tensor, encoder_hidden_states: Any = None, attention_mask: Any = None,
                 temb: Any = None, **_: Any) -> Tensor:
        passes = hidden_states.chunk(len(self.of))
        x = torch.cat([passes[self.of.index(k)] for k in range(len(self.own))])
        out = _attend(attn, x, _heads(attn, attn.to_k(x)), _heads(attn, attn.to_v(x)), attention_mask)
        each = out.chunk(len(self.own))
        return torch.cat([each[k] for k in self.of])


@contextmanager
def _processed(attentions: Sequence[Any], processor: Callable[[], Any]) -> Iterator[None]:
    """Within it these attentions have a `processor()`; then what they had."""
    before = {}
    for m in attentions:
        before[m] = m.processor
        m.set_processor(processor())
    try:
        yield
    finally:
        for m, was in before.items():
            m.set_processor(was)


def _attentions(net: nn.Module, which: str) -> list[Any]:
    return [m for name, m in net.named_modules() if name.endswith(which) and hasattr(m, "set_processor")]


@contextmanager
def shared(net: nn.Module, passes: int = 2) -> Iterator[Shared]:
    """Within it the self-attentions of a network of diffusers' are computed by one `Shared`; then as they were."""
    processor = Shared(passes)
    with _processed(_attentions(net, "attn1"), lambda: processor):
        yield processor


@contextmanager
def told_once(net: nn.Module, sees: Sequence[object]) -> Iterator[None]:
    """Within it, without gradients, words are turned into keys and values once, however often the network is asked with
    them; and passes of a batch that differ by their words alone, where `sees` is equal, are one until they are heard. A
    network without such attentions is as it was."""
    first = _attentions(net, "attn1")[:1] if len(set(sees)) < len(sees) else []
    with _processed(_attentions(net, "attn2"), Told), _processed(first, lambda: Common(sees)):
        yield


def attends(net: nn.Module) -> bool:
    """Whether there is self-attention to share."""
    return bool(_attentions(net, "attn1"))


__all__ = ["Common", "Shared", "Told", "attends", "shared", "told_once"]
