"""Sentences and their meanings as a subject: how often a translation is the right one, can be run, denotes the right
thing; and dialogues."""
from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ...core import outputs
from ...core.types import Info, StemmaError
from ...data.language import meanings
from ...parts.language.church.reader import ChurchError, read
from ...parts.language.church.run import Limits
from ..running import checkpoint
from . import runtime
from .dialogue import Dialogue, checked, same, tried
from .lines import lines_in

SAYS = f"sentences of a domain ({', '.join(meanings.DOMAINS)})"
ASKED = 60  # sentences of each kind that are measured
SAMPLES, WARM = 5, 0.7  # answers for what is right once in five: the likeliest, the others drawn at this temperature
FATES = {"silent": "nothing said", "unread": "cannot be read", "kind": "another kind", "stopped": "cannot be run",
         "other": "means another thing"}  # what becomes of a meaning that is not right
known = meanings.known


class Corpus:
    """A domain's pairs as numbers."""

    main, higher = "exact", True

    def __init__(self, data: meanings.Meanings) -> None:
        self.data, self.domain, self.name, self.info = data, data.domain, data.name, data.info
        self.fingerprint = data.name  # drawn, all of it
        self.about = (f"{len(data.train):,} pairs of {len(data.domain.templates)} forms; held out "
                      f"{len(data.combinations)} fillings and {len(data.templates)} sentences of forms not seen")
        said, meant = zip(*(meanings.numbered(self.domain, p.says, p.means)[:2] for p in data.train))
        self.said = padded(list(map(list, said)))
        self.meant = padded([[meanings.BEGIN, *x, meanings.END] for x in meant])

    def __len__(self) -> int:
        return len(self.said)

    def handed(self, model: nn.Module, seed: int) -> None:
        """Raises `StemmaError` where a language model is to be asked and there is none: it would train to nothing."""
        m: Any = model
        if m.net.way == "model":
            runtime.look_at(m.net.path)

    def batch(self, rows: np.ndarray) -> dict[str, Tensor]:
        """{"said" [N, L], "meant" [N, T]} of pairs."""
        at = torch.from_numpy(rows)
        return {"said": self.said[at], "meant": self.meant[at]}

    def counted(self, model: nn.Module) -> None:
        """Nothing more is to be told."""

    def check(self, model: nn.Module) -> dict[str, float]:
        """The share of held-out fillings whose meaning is exact. NaN of a language model, which is asked when it is
        measured and not while pairs are counted."""
        m: Any = model
        if m.net.way == "model":
            return {"exact": float("nan")}
        asked = self.data.combinations[:128]
        found = translate(m, self.domain, [p.says for p in asked])
        return {"exact": float(np.mean([exact(f, p.means) for f, p in zip(found, asked)]))}


def padded(rows: list[list[int]]) -> Tensor:
    """Rows of numbers as one tensor, padded at the end."""
    out = torch.full((len(rows), max(map(len, rows))), meanings.PAD)
    for i, r in enumerate(rows):
        out[i, : len(r)] = torch.tensor(r)
    return out


def open_(data: Any, seed: int = 0) -> Corpus:
    """The corpus of the domain that `data` names."""
    return Corpus(meanings.open_meanings(data, seed))


def family(data: Any, seed: int = 0) -> list[str]:
    """The one domain that `data` names; several with `+` between them: tug-of-war+kinship."""
    return [meanings.whole(x, seed) for x in str(data).split("+")]


def translate(model: Any, domain: meanings.Domain, sentences: list[str], temperature: float = 0.0,
              seed: int = 0) -> list[str | None]:
    """What each sentence means, as text; None where nothing is said."""
    if model.net.way == "grammar":
        return [meanings.parsed(domain, s) for s in sentences]
    if model.net.way == "model":
        return [runtime.ask(model.net, domain, s, temperature, seed) for s in sentences]
    told = [meanings.numbered(domain, s) for s in sentences]
    out: list[str | None] = []
    device = next((t.device for t in (*model.parameters(), *model.buffers())), torch.device("cpu"))
    for i in range(0, len(told), 64):
        part = told[i : i + 64]
        said = padded([t[0] or [meanings.END] for t in part]).to(device)
        tokens = model.say(said, temperature, seed + i).tolist()
        out += [meanings.text_of(domain, x, names) for x, (_, _, names) in zip(tokens, part)]
    return out


def exact(found: str | None, wanted: str) -> bool:
    """Whether two texts read as the same expressions."""
    try:
        return found is not None and read(found) == read(wanted)
    except ChurchError:
        return False


def fate(domain: meanings.Domain, found: str | None, wanted: str, limits: Limits) -> str:
    """What became of a meaning: "right", or one of `FATES`. silent: there is none; unread: it is no piece of a program;
    stopped: it cannot be run in the world; kind: it can, and tells where it is to ask, or the like; other: it is of the
    kind, and denotes another thing."""
    if found is None:
        return "silent"
    try:
        form = checked(found)
    except ChurchError:
        return "unread"
    try:
        tried(domain, [], form, limits)
    except ChurchError:
        return "stopped"
    return "kind" if form[0] != checked(wanted)[0] else "right" if same(domain, found, wanted, limits) else "other"


def measure(model: nn.Module, corpus: Corpus, seed: int = 0, limit: int | None = None) -> dict[str, Any]:
    """Of fillings that were not seen, of forms that were not, and of what was trained on: the shares of meanings that
    are exact, can be run, denote the right thing, and denote it once in five draws. `limit`: sentences of each."""
    m: Any = model
    domain, limits = corpus.domain, Limits(steps=m.spec.inference.steps)
    kinds: dict[str, tuple[meanings.Pair, ...]] = {
        "combinations": corpus.data.combinations, "templates": corpus.data.templates,
        "seen": corpus.data.train}
    out: dict[str, Any] = {"world": corpus.name, "short": domain.name, "about": corpus.about, "kinds": {}}
    for kind, pairs in kinds.items():
        asked = pairs[: limit or ASKED]
        words = [p.says for p in asked]
        found = translate(m, domain, words)
        fates = [fate(domain, f, p.means, limits) for f, p in zip(found, asked)]
        right = [f == "right" for f in fates]
        once = list(right)
        if m.net.way != "grammar":
            for k in range(SAMPLES - 1):
                left = [i for i, r in enumerate(once) if not r]
                more = translate(m, domain, [words[i] for i in left], WARM, seed + 1 + k) if left else []
                for i, f in zip(left, more):
                    once[i] = bool(f) and same(domain, str(f), asked[i].means, limits)
        out["kinds"][kind] = {
            "asked": len(asked), "exact": _share(exact(f, p.means) for f, p in zip(found, asked)),
            "executable": _share(f in ("right", "other", "kind") for f in fates), "denotation": _share(right),
            "once": _share(once), "fates": {k: _share(f == k for f in fates) for k in FATES},
            "wrong": [{"says": p.says, "means": f, "wanted": p.means, "fate": FATES[why]}
                      for f, p, why in zip(found, asked, fates) if why != "right"][:5]}
    first = out["kinds"]["combinations"]
    return out | {k: first[k] for k in ("exact", "executable", "denotation", "once")} | {
        f"{k}_of_new_forms": out["kinds"]["templates"][k] for k in ("exact", "executable", "denotation", "once")}


def _share(values: Any) -> float:
    found = [bool(v) for v in values]
    return sum(found) / len(found) if found else float("nan")


def predict(model: nn.Module, corpus: Corpus, what: Any, out: Path | None, seed: int = 0,
            count: int = 0, told: Callable[[dict[str, Any]], None] | None = None) -> dict[str, Any]:
    """A dialogue: `what` are text files with a sentence a line, sentences themselves, or "-" for what is typed. After
    each the posterior of what was asked last; `told` is given each turn as soon as it is over, and then "told" is so.
    Raises `StemmaError` where nothing is said."""
    m: Any = model
    lines = lines_in(what)
    if m.net.way == "model":
        runtime.look_at(m.net.path)

    def understood(sentence: str) -> list[str]:
        draws = 1 if m.net.way == "grammar" else getattr(m.net, "samples", SAMPLES)
        warm = getattr(m.net, "temperature", 0) or WARM
        best = translate(m, corpus.domain, [sentence])
        more = [translate(m, corpus.domain, [sentence], warm, seed + 1 + k)[0] for k in range(draws - 1)]
        return [str(x) for x in (*best, *more) if x]

    talk = Dialogue(corpus.domain, understood, m.spec.inference, seed)
    for line in lines:
        if not line.startswith("#"):
            turn = talk.say(line)
            if told is not None:
                told(asdict(turn))
    if not talk.turns:
        raise StemmaError(f"a dialogue needs sentences: name a text file with one a line, or - to type them; such as "
                          f"'{corpus.data.train[0].says}'")
    record = {"domain": corpus.domain.name, "turns": [asdict(t) for t in talk.turns],
              "failed": sum(bool(t.error) for t in talk.turns)}
    if out is not None:
        outputs.put_text(out / "predictions.json", json.dumps(checkpoint.jsonable(record), indent=1), prediction=True)
    return record | ({"told": True} if told is not None else {})


def again(info: Info) -> str | None:
    """The data that a model was trained on, from what it knows of them."""
    return info.name


__all__ = ["FATES", "SAYS", "Corpus", "again", "exact", "family", "fate", "known", "measure", "open_", "predict",
           "translate"]
