"""DreamerV3's belief: classes for what is drawn, a gated unit in blocks for what is remembered.

Axes: B sequences, T steps, H numbers of the memory, S of the drawn part, A of an action, E of an embedded observation.
"""
from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, cast

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ...core.part import In, Part, part
from .block_steps import BlockSteps
from .by_hand import by_hand
from .dynamics import RSSM, State, stacked
from .latents import Categorical, Latent
from .normed import BlockLinear, begin, layers_of, norm_of, normed, topped


def within(action: Tensor) -> Tensor:
    """An action whose numbers are no larger than 1: each is divided by its own size where that is more."""
    return action / action.abs().clamp(min=1).detach()


def gated(raw: tuple[Tensor, Tensor, Tensor], deter: Tensor) -> Tensor:
    """The memory after (reset, candidate, update): the reset acts on the candidate, and the update gate begins shut."""
    reset, new, update = raw
    if torch.is_grad_enabled():
        return torch.lerp(deter, (reset.sigmoid() * new).tanh(), (update - 1).sigmoid())
    return torch.lerp(deter, reset.sigmoid_().mul_(new).tanh_(), update.sub_(1).sigmoid_())  # half the memory


class BlockGRU(nn.Module):
    """(stoch, action, deter) -> deter: a layer over each of the three, then `blocks` small gated units, each of which
    sees all three layers but its own part of the memory alone (rssm.py `_core`; app. B of the second version).
    whole: as `BlockLinear`."""

    def __init__(self, inp: In, size: int = 8192, hidden: int = 1024, blocks: int = 8, whole: bool = False) -> None:
        super().__init__()
        self.size, self.blocks = size, blocks
        self.of = nn.ModuleList(layers_of(n, hidden, 1) for n in (size, inp.channels[0], inp.actions))
        self.hidden = nn.Sequential(begin(BlockLinear(size + 3 * hidden * blocks, size, blocks, whole)),
                                    *normed("rms", size))
        self.gates = begin(BlockLinear(size, 3 * size, blocks, whole))

    def forward(self, stoch: Float[Tensor, "B S"], action: Float[Tensor, "B A"],
                deter: Float[Tensor, "B H"]) -> Float[Tensor, "B H"]:
        cell, did = self.ready(action)
        return cell(stoch, did, deter)

    def ready(self, action: Float[Tensor, "... A"]) -> tuple[Callable[[Tensor, Tensor, Tensor], Tensor], Tensor]:
        """(the cell for the steps of a sequence, what it reads of their actions). Its weights are laid out once: what
        all blocks see is one product over all of them, and each gate comes block by block, so that nothing is moved."""
        return partial(self._moved, *self.laid()), self.of[2](within(action))

    def laid(self) -> tuple[Tensor, Tensor, tuple[tuple[Tensor, Tensor], ...]]:
        """(weights of the blocks' layer for their own part of the memory, and for what all see, which are the layers
        over the memory, the drawn part and the action; bias and weights of the reset, candidate and update gate)."""
        first: Any = self.hidden[0]
        width = self.size // self.blocks
        bias = self.gates.bias.view(self.blocks, 1, 3, width)
        return (first.weight[:, :width], first.weight[:, width:].transpose(0, 1).flatten(1),
                tuple((bias[:, :, i], self.gates.weight[..., i * width : (i + 1) * width]) for i in range(3)))

    def _moved(self, own: Tensor, common: Tensor, gates: tuple[tuple[Tensor, Tensor], ...], stoch: Tensor, did: Tensor,
               deter: Tensor) -> Tensor:
        first: Any = self.hidden[0]
        apart = (self.blocks, -1)
        mine = deter.unflatten(-1, apart).transpose(0, 1)
        x = torch.baddbmm(first.bias.view(self.blocks, 1, -1), mine, own).transpose(0, 1).flatten(-2)
        x = torch.addmm(x, torch.cat([self.of[0](deter), self.of[1](stoch), did], -1), common)
        x = self.hidden[1](x).unflatten(-1, apart).transpose(0, 1)
        reset, new, update = (torch.baddbmm(b, x, w) for b, w in gates)
        return gated((reset, new, update), mine).transpose(0, 1).flatten(-2)


class NormedGRU(nn.Module):
    """The first version's memory: a layer over the drawn part and the action, then one gated unit whose gates are
    normalised together."""

    def __init__(self, inp: In, size: int = 4096, hidden: int = 1024) -> None:
        super().__init__()
        self.size = size
        self.join = layers_of(inp.channels[0] + inp.actions, hidden, 1, "layer")
        self.gates = nn.Sequential(begin(nn.Linear(size + hidden, 3 * size, bias=False)), norm_of("layer", 3 * size))

    def forward(self, stoch: Float[Tensor, "B S"], action: Float[Tensor, "B A"],
                deter: Float[Tensor, "B H"]) -> Float[Tensor, "B H"]:
        x = self.join(torch.cat([stoch, within(action)], -1))
        reset, new, update = self.gates(torch.cat([deter, x], -1)).chunk(3, -1)
        return gated((reset, new, update), deter)


class NormedRSSM(RSSM):
    """An `RSSM` whose layers are normalised: `expecting` of them foresee the drawn part from the memory, one corrects
    it by what is seen. learned: a belief begins at a learned memory and its likeliest classes (the first version).
    """

    def __init__(self, inp: In, latent: Latent = Categorical(32, 64), cell: Part = part(BlockGRU), hidden: int = 1024,
                 expecting: int = 2, norm: str = "rms", learned: bool = False) -> None:
        nn.Module.__init__(self)
        self.latent = latent
        self.cell: Any = cell.build(In((latent.width,), (1,), actions=inp.actions))
        self.size = int(self.cell.size)
        self.expect = topped(self.size, hidden, expecting, latent.params, norm=norm)
        # one layer over both; its half that reads what is seen is worked out for a whole sequence at once
        whole = begin(nn.Linear(self.size + inp.channels[0], hidden, bias=norm == "rms"))
        self.recall = nn.Linear(self.size, hidden, bias=norm == "rms")
        self.see = nn.Linear(inp.channels[0], hidden, bias=False)
        with torch.no_grad():
            self.recall.weight.copy_(whole.weight[:, : self.size])
            self.see.weight.copy_(whole.weight[:, self.size :])
            if self.recall.bias is not None:
                self.recall.bias.zero_()
        self.judge = nn.Sequential(*normed(norm, hidden), begin(nn.Linear(hidden, latent.params)))
        self.start = nn.Parameter(torch.zeros(self.size)) if learned else None
        self.out = In((latent.width + self.size,), (1,), actions=inp.actions)

    def initial(self, like: Tensor, count: int) -> State:
        state = super().initial(like, count)
        if self.start is None:
            return state
        deter = self.start.tanh().expand(count, -1)
        stats = self.latent.stats(self.expect(deter))
        return {**stats, "stoch": self.latent.mode(stats), "deter": deter}

    def _judged(self, deter: Tensor, seen: Tensor) -> State:
        stats = self.latent.stats(self.judge(self.recall(deter) + seen))
        return {**stats, "stoch": self.latent.sample(stats), "deter": deter}

    def step(self, state: State, action: Tensor, embed: Tensor, first: Tensor) -> tuple[State, State]:
        if self.start is not None:
            begun = self.initial(embed, len(embed))
            state = {k: torch.where(first.view(-1, *[1] * (v.ndim - 1)), begun[k], v) for k, v in state.items()}
            prior = self.prior(state, action * ~first[:, None])
            return self.posterior(prior, embed), prior
        return super().step(state, action, embed, first)

    def observe(self, embed: Tensor, action: Tensor, first: Tensor, state: State | None = None,
                brief: bool = False) -> tuple[State, State]:
        if self.start is None and self.blocked and by_hand(embed):
            state = self.initial(embed, len(embed)) if state is None else state
            post = self._by_hand(embed, action, first, state)
            return post, self._foreseen(post["deter"], posts=post)
        if self.start is None:
            return super().observe(embed, action, first, state, brief)
        begun = self.initial(embed, len(embed))
        state, first = (begun, opened(first)) if state is None else (state, first)
        posts = []
        for seen, did, new in zip(self.see(embed).unbind(1), action.unbind(1), first[..., None].unbind(1)):
            stoch, deter = (torch.where(new, begun[k], state[k]) for k in ("stoch", "deter"))
            state = self._judged(self.cell(stoch, did * ~new, deter), seen)
            posts.append(state)
        post = stacked(posts)
        return post, self._foreseen(post["deter"], posts=post)

    @property
    def blocked(self) -> bool:
        """Whether it is the second version's own, for which `BlockSteps` is written."""
        own = (type(self), type(self.cell), type(self.latent)) == (NormedRSSM, BlockGRU, Categorical)
        judge: Any = self.judge
        return own and isinstance(judge[0], nn.RMSNorm) and not self.dropout

    def _by_hand(self, embed: Tensor, action: Tensor, first: Tensor, state: State) -> State:
        """The posteriors of `observe`."""
        cell, latent, judge = self.cell, self.latent, cast(Any, self.judge)
        clear, last = judge[0], judge[2]
        keep = (~first).to(embed.dtype)[..., None]
        swapped = lambda x: x.unflatten(-1, (latent.groups, latent.classes)).mT.flatten(-2)  # classes first
        own, common, ((reset, of_reset), (new, of_new), (update, of_update)) = cell.laid()
        did, width = cell.of[2](within(action * keep)), 2 * cell.of[0][0].out_features
        near = torch.stack([layer[1].weight for layer in cell.of[:2]])
        chances, stoch, deter = BlockSteps.apply(
            F.linear(did, common[width:].mT, cell.hidden[0].bias), self.see(embed) + self.recall.bias,
            swapped(state["stoch"]), state["deter"], keep, first.any(0).tolist(),
            (cell.blocks, latent.classes, latent.mix, clear.eps), cell.of[0][0].weight, cell.of[0][0].bias,
            swapped(cell.of[1][0].weight), cell.of[1][0].bias, near, common[:width], own, cell.hidden[1].weight,
            torch.cat([of_reset, of_update, of_new], -1), torch.cat([reset, update - 1, new], -1), self.recall.weight,
            clear.weight, swapped(last.weight.mT).mT, swapped(last.bias))
        back = lambda x: x.unflatten(-1, (latent.classes, latent.groups)).mT
        return {"logits": back(chances.flatten(-2)).log(), "stoch": back(stoch).flatten(-2), "deter": deter}


def opened(first: Tensor) -> Tensor:
    """Beginnings [B, T] of sequences that know of nothing before them: the first step is one, so that what was done
    before it does not enter (the authors' replay/generic.py)."""
    return torch.cat([torch.ones_like(first[:, :1]), first[:, 1:]], 1)


__all__ = ["BlockGRU", "NormedGRU", "NormedRSSM", "gated", "opened", "within"]
