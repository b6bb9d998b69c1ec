"""Sentences to the tokens of their meanings: an encoder and a decoder of attention, a table of what was seen, and what
stands for a language model from outside.

Axes: N sentences, L words of a sentence, T tokens of a meaning, V vocabulary. 0 pads, 1 begins, 2 ends, 3 to
8 are the names of a sentence, in the order in which they come.
"""
from __future__ import annotations

from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from ...core.part import In
from ...core.types import Losses, StemmaError

PAD, BEGIN, END = 0, 1, 2
NAMES = range(3, 9)


class Attention(nn.Module):
    """`layers` blocks on each side (Vaswani et al. 2017), normalised first, one embedding for words and tokens.
    Sentence and meaning are of at most `inp.channels` words and tokens.

    In training each sentence begins at a place by chance, up to `shift` words late (Kiyono et al. 2021, arXiv
    2109.05644): what is heard within a frame is then known at the beginning of a sentence too.
    """

    way = "net"

    def __init__(self, inp: In, width: int = 128, layers: int = 2, heads: int = 4, dropout: float = 0.1,
                 shift: int = 8) -> None:
        super().__init__()
        self.longest, self.shift = inp.channels, shift
        self.embed = nn.Embedding(inp.classes, width, padding_idx=PAD)
        self.places = nn.Parameter(torch.randn(2, max(inp.channels[0] + shift, inp.channels[1]), width) * 0.02)
        block: dict[str, Any] = {"dim_feedforward": 4 * width, "dropout": dropout, "activation": "gelu",
                                 "batch_first": True, "norm_first": True}
        self.reads = nn.TransformerEncoder(nn.TransformerEncoderLayer(width, heads, **block), layers,
                                           nn.LayerNorm(width), enable_nested_tensor=False)
        self.writes = nn.TransformerDecoder(nn.TransformerDecoderLayer(width, heads, **block), layers,
                                            nn.LayerNorm(width))
        self.out = nn.Linear(width, inp.classes)

    def _put(self, x: Tensor, side: int) -> Tensor:
        at = torch.arange(x.shape[1], device=x.device).expand(len(x), -1)
        if self.training and side == 0 and self.shift:
            at = at + torch.randint(self.shift + 1, (len(x), 1), device=x.device)
        put: Tensor = self.embed(x) + self.places[side][at]
        return put

    def logits(self, said: Int[Tensor, "N L"], meant: Int[Tensor, "N T"]) -> Float[Tensor, "N T V"]:
        """Of the token after each of `meant`, which begins with 1."""
        mask = torch.ones(meant.shape[1], meant.shape[1], dtype=torch.bool, device=meant.device).triu(1)
        silent = said == PAD
        read = self.reads(self._put(said, 0), src_key_padding_mask=silent)
        h = self.writes(self._put(meant, 1), read, tgt_mask=mask, memory_key_padding_mask=silent)
        found: Tensor = self.out(h)
        return found

    def loss(self, said: Int[Tensor, "N L"], meant: Int[Tensor, "N T"]) -> Losses:
        """Cross-entropy of the next token, mean over tokens that are no padding."""
        x = self.logits(said, meant[:, :-1])
        return {"tokens": nn.functional.cross_entropy(x.flatten(0, 1), meant[:, 1:].flatten(), ignore_index=PAD)}

    def say(self, said: Int[Tensor, "N L"], temperature: float = 0.0,
            generator: torch.Generator | None = None) -> Int[Tensor, "N T"]:
        """Meanings token by token, the likeliest each time, or drawn at a temperature above 0. A name that the
        sentence does not have is never said."""
        if said.shape[1] > self.longest[0]:
            raise StemmaError(f"a sentence of {said.shape[1]} words is longer than the {self.longest[0]} that this "
                              "translator was built for")
        out = torch.full((len(said), 1), BEGIN, dtype=torch.long, device=said.device)
        strange = torch.stack([(said != k).all(1) for k in NAMES], 1)
        over = torch.zeros(len(said), dtype=torch.bool, device=said.device)
        for _ in range(self.longest[1] - 1):
            logits = self.logits(said, out)[:, -1]
            logits[:, [PAD, BEGIN]] = -torch.inf  # no words
            logits[:, NAMES.start : NAMES.stop].masked_fill_(strange, -torch.inf)
            if temperature:
                p = (logits / temperature).softmax(-1).cpu()
                new = torch.multinomial(p, 1, generator=generator)[:, 0].to(said.device)
            else:
                new = logits.argmax(-1)
            out = torch.cat([out, torch.where(over, PAD, new)[:, None]], 1)
            over = over | (new == END)
            if bool(over.all()):
                break
        return out[:, 1:]


class Nearest(nn.Module):
    """The meaning of the sentence that shares most words with this one, of those that were counted: a yardstick."""

    way = "net"
    said: Tensor
    meant: Tensor
    filled: Tensor

    def __init__(self, inp: In, pairs: int = 4000) -> None:
        super().__init__()
        self.pairs = pairs
        self.longest = inp.channels
        self.register_buffer("said", torch.zeros(pairs, inp.channels[0], dtype=torch.long))
        self.register_buffer("meant", torch.zeros(pairs, inp.channels[1], dtype=torch.long))
        self.register_buffer("filled", torch.zeros((), dtype=torch.long))
        self.classes = inp.classes

    def count(self, said: Int[Tensor, "N L"], meant: Int[Tensor, "N T"]) -> None:
        """Take pairs in."""
        at = int(self.filled)
        if at + len(said) > self.pairs:
            raise StemmaError(f"this table was built for {self.pairs:,} pairs")
        self.said[at : at + len(said), : said.shape[1]] = said
        self.meant[at : at + len(said), : meant.shape[1]] = meant
        self.filled += len(said)

    def _bags(self, x: Tensor) -> Tensor:
        bags = torch.zeros(len(x), self.classes, device=x.device)
        bags.scatter_add_(1, x, torch.ones_like(x, dtype=torch.float))
        bags[:, PAD] = 0
        return bags

    def say(self, said: Int[Tensor, "N L"], temperature: float = 0.0,
            generator: torch.Generator | None = None) -> Int[Tensor, "N T"]:
        """The first of the nearest, whatever the temperature; nothing where nothing was counted."""
        if not int(self.filled):
            return torch.full((len(said), 1), END, device=said.device)
        own, here = self._bags(self.said[: int(self.filled)]), self._bags(said)
        shared = torch.minimum(own[None], here[:, None]).sum(-1) if len(here) * len(own) < 100_000 else torch.stack(
            [torch.minimum(own, h).sum(-1) for h in here])
        near = shared / (own.sum(-1) + here.sum(-1)[:, None] - shared).clamp(min=1)
        return self.meant[near.argmax(-1)][:, 1:]

    def loss(self, said: Int[Tensor, "N L"], meant: Int[Tensor, "N T"]) -> Losses:
        """The share of tokens that the nearest has otherwise."""
        found = self.say(said)[:, : meant.shape[1] - 1]
        wanted = meant[:, 1:]
        return {"tokens": ((found != wanted) & (wanted != PAD)).float().sum() / (wanted != PAD).sum()}


class Outside(nn.Module):
    """What writes meanings outside of this net. grammar: the domain's own grammar, which has its sentences and no
    others. model: a language model in GGUF, or served by llama.cpp on this machine, at `path` (FILE.gguf,
    http://127.0.0.1:8080), shown the world and `examples` pairs, the same for every sentence ("evenly") or those that
    are most like it ("alike"), asked `samples` times at `temperature`, its answer held to a grammar of what the
    sentence asks for."""

    def __init__(self, inp: In, way: str = "grammar", path: str = "", examples: int = 12, samples: int = 1,
                 temperature: float = 0.0, tokens: int = 96, shown: Literal["evenly", "alike"] = "evenly") -> None:
        super().__init__()
        if way not in ("grammar", "model"):
            raise ValueError(f"way is grammar or model, not '{way}'")
        self.way, self.path, self.examples, self.samples, self.shown = way, path, examples, samples, shown
        self.temperature, self.tokens = temperature, tokens

    def count(self, said: Int[Tensor, "N L"], meant: Int[Tensor, "N T"]) -> None:
        """Nothing is learned: pairs are shown when it is asked."""


__all__ = ["Attention", "Nearest", "Outside"]
