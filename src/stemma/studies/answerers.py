"""Is it better to translate and infer than to answer at once? Wong, Grand et al. claim coherent and robust reasoning of
the first (rational meaning construction, arXiv 2306.12672); here a net that answers without a world stands beside it.

    python -m stemma.studies.answerers --texts 8000 --out runs/answerers

A text tells matches of tug-of-war ("mary beat tom.") and asks who is stronger; worlds of the domain's own model say who
won and what is true. The net, a GRU over words, learns from so many texts of one to four matches with the true answer.
The other way reads each sentence by the domain's grammar and infers, and learns nothing. Both are asked of texts of one
to eight matches: how often they are right, the mean squared error of their probability (a coin's is .25), and how far
the net's probability is from the inferred one.
"""
from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..core import interrupts, outputs
from ..data.language.meanings import DOMAINS, NAMES, WORD, parsed
from ..engine.running.progress import going
from ..parts.language.church.infer import infer
from ..parts.language.church.reader import ChurchError, read
from . import Asked, keep, natural, say, seed

DOMAIN = DOMAINS["tug-of-war"]
LEARNED, ASKED = (1, 2, 3, 4), (1, 2, 4, 6, 8)  # matches of a text
WORLDS, ACCEPTED, TRIES = 8, 300, 200_000  # texts of one list of matches; worlds of an answer, and those drawn for them


@dataclass(frozen=True)
class Text:
    """Sentences that are so in a world, the question, and whether the answer is yes."""

    told: tuple[str, ...]
    asks: str
    true: bool


def texts(count: int, lengths: tuple[int, ...], seed: int) -> list[Text]:
    """Texts of as many matches as each of `lengths` in turn; of every `WORLDS` the same play, in other worlds."""
    rng, out = np.random.default_rng([seed, 51]), list[Text]()
    while len(out) < count:
        k = lengths[len(out) // WORLDS % len(lengths)]
        pairs = [tuple(map(str, rng.choice(NAMES[:5], 2, replace=False))) for _ in range(k)]
        there = sorted({x for p in pairs for x in p})
        a, b = map(str, rng.choice(there, 2, replace=False))
        said = " ".join(f"(won-against '({x}) '({y}))" for x, y in pairs)
        program = read(f"{DOMAIN.model}\n(query (list {said} (stronger-than? '{a} '{b})))")
        for *won, true in infer(program, "rejection", WORLDS, int(rng.integers(2**31))).values:
            told = tuple(f"{x if w else y} beat {y if w else x}." for w, (x, y) in zip(won, pairs, strict=True))
            out.append(Text(told, f"is {a} stronger than {b}?", bool(true)))
    return out[:count]


def inferred(text: Text, seed: int = 0) -> float | None:
    """The chance of yes in worlds that agree with what is told, read by the grammar; None where it does not have a
    sentence, or no such world is found."""
    means = [m for s in (*text.told, text.asks) if (m := parsed(DOMAIN, s)) is not None]
    if len(means) <= len(text.told):
        return None
    try:
        return infer(read("\n".join([DOMAIN.model, *means])), "rejection", ACCEPTED, seed, tries=TRIES).mean
    except ChurchError:
        return None


class Answerer(nn.Module):
    """A GRU over the words of a text; the logit of yes."""

    def __init__(self, words: tuple[str, ...], width: int = 64) -> None:
        super().__init__()
        self.place = {w: i + 1 for i, w in enumerate(words)}
        self.table = nn.Embedding(len(words) + 1, width // 2, padding_idx=0)
        self.read, self.say = nn.GRU(width // 2, width, batch_first=True), nn.Linear(width, 1)

    def tokens(self, of: list[Text]) -> Tensor:
        """[N, L], padded in front, so that the question is read last."""
        rows = [[self.place[w] for s in (*t.told, t.asks) for w in WORD.findall(s)] for t in of]
        longest = max(map(len, rows))
        return torch.tensor([[0] * (longest - len(r)) + r for r in rows])

    def forward(self, tokens: Tensor) -> Tensor:
        said: Tensor = self.say(self.read(self.table(tokens))[0][:, -1])[:, 0]
        return said


def learned(of: list[Text], epochs: int, seed: int) -> Answerer:
    """A net that has read the texts so many times."""
    torch.manual_seed(seed)
    words = tuple(sorted({w for t in of for s in (*t.told, t.asks) for w in WORD.findall(s)} | set(NAMES[:5])))
    net, rng = Answerer(words), np.random.default_rng([seed, 52])
    tokens, true = net.tokens(of), torch.tensor([float(t.true) for t in of])
    optimizer = torch.optim.AdamW(net.parameters(), lr=3e-3)
    batches = [b for _ in range(epochs) for b in np.array_split(rng.permutation(len(of)), max(1, len(of) // 64))]
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, len(batches))
    for at in batches:
        optimizer.zero_grad()
        F.binary_cross_entropy_with_logits(net(tokens[at]), true[at]).backward()
        optimizer.step()
        schedule.step()
    return net.eval()


def study(out: str | Path, count: int = 8000, asked: int = 80, epochs: int = 15, seed: int = 0) -> dict[str, Any]:
    """Learn, ask both, and write answerers.json. asked: texts of each length."""
    file = Path(out) / "answerers.json"
    outputs.claim([file])
    net, rows = learned(texts(count, LEARNED, seed), epochs, seed), []
    for k in going(ASKED, "lengths"):
        held = texts(asked, (k,), seed + 1000 + k)
        with torch.no_grad():
            said = net(net.tokens(held)).sigmoid().double().numpy()
        found = [inferred(t, seed) for t in held]
        some = np.array([p is not None for p in found])
        thought, true = np.array([p if p is not None else 0.5 for p in found]), np.array([t.true for t in held])
        rows.append({"matches": k, "asked": len(held), "unanswered": int((~some).sum()),
                     "apart": float(np.abs(said - thought)[some].mean()) if some.any() else None,
                     **{name: {"right": float(((p >= 0.5) == true).mean()), "error": float(((p - true) ** 2).mean())}
                        for name, p in (("net", said), ("inferred", thought))}})
    record = {"texts": count, "epochs": epochs, "seed": seed, "learned": list(LEARNED), "rows": rows}
    keep(file, record)
    return record


def table(record: dict[str, Any]) -> list[tuple[str, ...]]:
    """Headings, and a row for each number of matches."""
    heads = ("matches", "net right", "inferred right", "net's error", "inferred's error", "apart")
    return [heads, *((str(r["matches"]), f"{r['net']['right']:.3f}", f"{r['inferred']['right']:.3f}",
                      f"{r['net']['error']:.3f}", f"{r['inferred']['error']:.3f}",
                      "-" if r["apart"] is None else f"{r['apart']:.3f}") for r in record["rows"])]


def main(argv: list[str] | None = None) -> None:
    """The command of this file's head."""
    parser = Asked("answerers", __doc__)
    parser.add_argument("--texts", type=natural, default=8000, help="texts that the net learns from")
    parser.add_argument("--asked", type=natural, default=80, help="texts of each length that both are asked of")
    parser.add_argument("--epochs", type=natural, default=15, help="how often the net sees each text")
    parser.add_argument("--seed", type=seed, default=0)
    parser.add_argument("--out", default="runs/answerers")
    a = parser.parse_args(argv)
    say(table(study(a.out, a.texts, a.asked, a.epochs, a.seed)), 16)
    print(Path(a.out) / "answerers.json")


if __name__ == "__main__":
    interrupts.command(main)


__all__ = ["Answerer", "Text", "inferred", "learned", "study", "table", "texts"]
