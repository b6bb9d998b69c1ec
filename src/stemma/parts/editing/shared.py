"""What attentions of a network of diffusers' share. Between two pictures of two captions that differ as little as they
can: what the second one's self-attention looks at is what the first one's does, for a part of the steps
(InstructPix2Pix sec. 3.1.2; its released code shares self-attention, where Prompt-to-Prompt, arXiv 2208.01626, injects
that between picture and words). Between the steps of an edit: the keys and values of its words."""
from __future__ import annotations

from collections.abc import Callable, Iterator
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


class Told:
    """A processor of one attention between picture and words: keys and values of words that are the same as last time
    (the same tensor) are not computed again."""

    seen: Tensor | None = None

    def __call__(self, attn: Any, hidden_states: Tensor, encoder_hidden_states: Tensor, attention_mask: Any = None,
                 temb: Any = None, **_: Any) -> Tensor:
        heads = lambda x: x.unflatten(-1, (attn.heads, -1)).transpose(1, 2)
        if self.seen is not encoder_hidden_states:
            self.seen = encoder_hidden_states
            self.keys, self.values = (heads(f(encoder_hidden_states)) for f in (attn.to_k, attn.to_v))
        x = F.scaled_dot_product_attention(heads(attn.to_q(hidden_states)), self.keys, self.values, attention_mask)
        out: Tensor = attn.to_out[1](attn.to_out[0](x.transpose(1, 2).flatten(2)))
        return out


@contextmanager
def _processed(net: nn.Module, which: str, processor: Callable[[], Any]) -> Iterator[None]:
    """Within it the attentions of this name have a `processor()`; then what they had."""
    before = {}
    for m in _attentions(net, which):
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
    with _processed(net, "attn1", lambda: processor):
        yield processor


@contextmanager
def told_once(net: nn.Module) -> Iterator[None]:
    """Within it, without gradients, words are turned into keys and values once, however often the network is asked with
    them. A network without such attentions is as it was."""
    with _processed(net, "attn2", Told):
        yield


def attends(net: nn.Module) -> bool:
    """Whether there is self-attention to share."""
    return bool(_attentions(net, "attn1"))


__all__ = ["Shared", "Told", "attends", "shared", "told_once"]
