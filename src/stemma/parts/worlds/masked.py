"""A belief whose classes are foreseen together and not each by itself: a masked model of them fills in all from some
(Dynalang's nets.py, impl "maskgit"; MaskGIT, arXiv 2202.04200).

Axes: N beliefs, G groups, C classes, H numbers of the memory, E of an embedding.
"""
from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ...core.part import In, Part, part
from ..attention import pre_normed
from .blocks import NormedGRU, NormedRSSM
from .dynamics import State
from .latents import Categorical, chosen, one_hot


class MaskedClasses(nn.Module):
    """A transformer over the groups, of which some are hidden, and the memory beside them: logits of every group."""

    def __init__(self, groups: int, classes: int, memory: int, embed: int, layers: int, heads: int, wide: int) -> None:
        super().__init__()
        self.shown, self.recalled = nn.Linear(classes, embed), nn.Linear(memory, embed)
        self.hidden = nn.Parameter(torch.zeros(embed))
        self.place = nn.Parameter(torch.randn(groups, embed) * 0.02)
        self.net = pre_normed(embed, heads, wide, layers)
        self.told = nn.Linear(embed, classes)

    def forward(self, hot: Float[Tensor, "N G C"], hidden: Tensor, deter: Float[Tensor, "N H"]) -> Tensor:
        x = torch.where(hidden[..., None], self.hidden, self.shown(hot)) + self.place
        logits: Tensor = self.told(self.net(torch.cat([self.recalled(deter)[:, None], x], 1))[:, 1:])
        return logits


class MaskedRSSM(NormedRSSM):
    """A `NormedRSSM` whose prior is a masked model. To learn, a part of what was seen is hidden, of a size by the
    cosine of a uniform number, and only there the divergence counts, as the mean over groups ("hidden" says which). To
    foresee, all is hidden and filled in by `steps`: each draws every group and keeps the surest, ever more by a cosine.

    The authors' repository names this and does not hold its file: layers and schedule are MaskGIT's, sizes theirs.
    """

    def __init__(self, inp: In, latent: Categorical = Categorical(32, 32), cell: Part = part(NormedGRU),
                 hidden: int = 1024, norm: str = "layer", learned: bool = True, embed: int = 256, layers: int = 4,
                 heads: int = 4, wide: int = 256, steps: int = 4) -> None:
        super().__init__(inp, latent, cell, hidden, 0, norm, learned)
        self.masked = MaskedClasses(latent.groups, latent.classes, self.size, embed, layers, heads, wide)
        self.steps = steps
        del self.expect

    def initial(self, like: Tensor, count: int) -> State:
        if self.start is None:
            return super().initial(like, count)
        state = self._foreseen(self.start.tanh().expand(count, -1))
        return {k: v for k, v in state.items() if k != "hidden"}

    def _stats(self, hot: Tensor, hidden: Tensor, deter: Tensor) -> Tensor:
        said: Tensor = self.latent.stats(self.masked(hot, hidden, deter).flatten(-2))["logits"]
        return said

    def _foreseen(self, deter: Tensor, temperature: float = 1.0, posts: State | None = None) -> State:
        lead, memory = deter.shape[:-1], deter.flatten(0, -2)
        stoch, logits, hidden = self._filled(memory, temperature)
        if posts is not None:
            n, groups = len(memory), self.latent.groups
            share = (torch.rand(n, 1, device=memory.device) * math.pi / 2).cos()
            hidden = torch.rand(n, groups, device=memory.device).argsort(1).argsort(1) < (share * groups).ceil()
            # the divergence alone moves what was seen, and not what is shown of it
            logits = self._stats(posts["stoch"].detach().reshape(n, groups, -1), hidden, memory)
        back = lambda x: x.view(*lead, *x.shape[1:])
        return {"logits": back(logits), "hidden": back(hidden), "stoch": back(stoch), "deter": deter}

    def _filled(self, deter: Float[Tensor, "N H"], temperature: float) -> tuple[Tensor, Tensor, Tensor]:
        """(a draw [N, G C] through which gradients pass, logits of each group when it was drawn, where: all True)."""
        n, groups = len(deter), self.latent.groups
        every = torch.ones(n, groups, dtype=torch.bool, device=deter.device)
        hidden, hot = every, deter.new_zeros(n, groups, self.latent.classes)
        logits = soft = hot
        for step in range(self.steps):
            said = self._stats(hot, hidden, deter) / (temperature or 1.0)
            p = said.softmax(-1)
            index = chosen(p.detach()) if temperature else p.argmax(-1)
            drawn = one_hot(index, p)
            sure = p.detach().gather(-1, index[..., None])[..., 0].masked_fill(~hidden, 2.0)
            left = int(groups * math.cos(math.pi / 2 * (step + 1) / self.steps) + 1e-6)
            still = sure.argsort(1).argsort(1) < left
            new = (hidden & ~still)[..., None]
            hot, logits = torch.where(new, drawn, hot), torch.where(new, said, logits)
            soft, hidden = torch.where(new, p, soft), still
        return (hot + soft - soft.detach() if soft.requires_grad else hot).flatten(1), logits, every

    def drawn(self, state: State) -> Tensor:
        deter = state["deter"]
        return self._filled(deter.flatten(0, -2), 1.0)[0].view(*deter.shape[:-1], -1)

    def divergence(self, post: State, prior: State) -> Tensor:
        if "hidden" not in prior:
            return super().divergence(post, prior)
        each = (post["logits"].exp() * (post["logits"] - prior["logits"])).sum(-1)
        return (each * prior["hidden"]).sum(-1) / prior["hidden"].sum(-1)


__all__ = ["MaskedClasses", "MaskedRSSM"]
