"""A belief in which words are no part of what is drawn: the token that is heard goes into the memory as it is, and the
next one is foreseen beside the frame (Dynalang's code, nets.py, TokenRSSM).

Axes: B sequences, A numbers of an action, E of an embedded observation, V tokens.
"""
from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ...core.part import In, Part, part
from .blocks import NormedGRU, within
from .dynamics import State
from .early import EarlyRSSM
from .latents import Categorical, Latent, chosen, one_hot
from .normed import topped


class TokenHot(nn.Module):
    """A token as its one-hot, [N, V]: what `TokenRSSM` hears, and nothing is learned of it."""

    def __init__(self, inp: In) -> None:
        super().__init__()
        self.out = In((inp.channels[0],), (1,))

    def forward(self, x: Float[Tensor, " N"]) -> Float[Tensor, "N V"]:
        return nn.functional.one_hot(x.long(), self.out.channels[0]).float()


class TokenToldHead(nn.Module):
    """What a `TokenRSSM` itself foresees of tokens, its part "words": no weights. Loss: cross-entropy."""

    def __init__(self, inp: In) -> None:
        super().__init__()

    def forward(self, x: Float[Tensor, "N V"]) -> Float[Tensor, "N V"]:
        return x

    def loss(self, said: Float[Tensor, "N V"], truth: Float[Tensor, " N"]) -> Float[Tensor, " N"]:
        return nn.functional.cross_entropy(said, truth.long(), reduction="none")

    def mean(self, said: Float[Tensor, "N V"]) -> Float[Tensor, "N V"]:
        return said.softmax(-1)


class TokenRSSM(EarlyRSSM):
    """An early belief whose memory takes in what is drawn from the frame, and the token itself. The memory before and
    the action foresee both: the frame's classes, and "words", log chances of the token (of one that was heard, 0).

    The last `words` numbers of what is seen are the token's one-hot; with none it is an `EarlyRSSM`.
    """

    def __init__(self, inp: In, words: int = 32_100, latent: Latent = Categorical(32, 32),
                 cell: Part = part(NormedGRU), hidden: int = 1024, expecting: int = 3, norm: str = "layer",
                 learned: bool = True) -> None:
        nn.Module.__init__(self)
        self.latent, self.words = latent, words
        self.cell: Any = cell.build(In((latent.width + words,), (1,), actions=inp.actions))
        self.size = int(self.cell.size)
        self.expect = topped(self.size + inp.actions, hidden, expecting, latent.params + words, norm=norm)
        self.judge = topped(inp.channels[0] - words, hidden, 1, latent.params, norm=norm)
        self.start = nn.Parameter(torch.zeros(self.size)) if learned else None
        self.out = In((latent.width + self.size,), (1,), actions=inp.actions)

    def initial(self, like: Tensor, count: int) -> State:
        return super().initial(like, count) | {"words": like.new_zeros(count, self.words)}

    def _taken(self, state: State, action: Tensor, raw: Tensor, said: Tensor, word: Tensor,
               temperature: float = 1.0) -> State:
        stats = self.latent.stats(raw)
        stoch = self.latent.sample(stats, temperature)
        deter = self.cell(torch.cat([stoch, word], -1), action, state["deter"])
        return {**stats, "stoch": stoch, "words": said, "deter": deter}

    def prior(self, state: State, action: Float[Tensor, "B A"], temperature: float = 1.0) -> State:
        raw, said = self.expect(torch.cat([state["deter"], within(action)], -1)).split(
            (self.latent.params, self.words), -1)
        said = said.log_softmax(-1)
        word = one_hot(chosen(said.detach().exp()), said) if self.words else said
        return self._taken(state, action, raw, said, word, temperature)

    def _seen(self, state: State, action: Tensor, embed: Float[Tensor, "B E"]) -> State:
        frame, word = embed.split((embed.shape[-1] - self.words, self.words), -1)
        heard = word.clamp(min=torch.finfo(word.dtype).tiny).log()
        return self._taken(state, action, self.judge(frame), heard, word)


__all__ = ["TokenHot", "TokenRSSM", "TokenToldHead"]
