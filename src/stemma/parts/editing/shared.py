"""Two pictures of two captions that differ as little as they can: what the second one's self-attention looks at is
what the first one's does, for a part of the steps (InstructPix2Pix sec. 3.1.2; its released code shares self-attention,
where Prompt-to-Prompt, arXiv 2208.01626, injects that between picture and words)."""
from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


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


@contextmanager
def shared(net: nn.Module, passes: int = 2) -> Iterator[Shared]:
    """Within it the self-attentions of a network of diffusers' are computed by one `Shared`; then as they were."""
    processor, before = Shared(passes), {}
    for name, m in net.named_modules():
        if name.endswith("attn1") and hasattr(m, "set_processor"):
            before[name] = m.processor
            m.set_processor(processor)
    try:
        yield processor
    finally:
        for name, was in before.items():
            net.get_submodule(name).set_processor(was)  # type: ignore[operator]


def attends(net: nn.Module) -> bool:
    """Whether there is self-attention to share."""
    return any(name.endswith("attn1") and hasattr(m, "set_processor") for name, m in net.named_modules())


__all__ = ["Shared", "attends", "shared"]
