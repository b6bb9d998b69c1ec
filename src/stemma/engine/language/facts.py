"""Worlds of facts as a subject: what a model says that is not true, beside what it must (`metrics.hallucination`)."""
from __future__ import annotations

import json
import math
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ...core import outputs
from ...core.types import Info, StemmaError
from ...data.language import facts
from ...metrics import hallucination as rates
from ...parts.language.knobs import Knobs
from ..running import checkpoint
from .lines import lines_in

SAYS = "worlds of facts (facts:alpha=0.5, references, arithmetic, or a folder with facts.csv)"
DELTA = 0.01  # the paper's 99 %
RESAMPLES = 200  # other documents of the same law, of which the monofact rate is told
SAID = 5000  # sentences that are drawn to be looked at
known = facts.known
family = facts.family


class Corpus:
    """The documents of a world, and its truth."""

    main, higher = "nats", False

    def __init__(self, world: facts.Facts) -> None:
        self.world, self.name, self.info = world, world.name, world.info
        self.fingerprint = world.fingerprint
        self.about = (f"{len(world.codes):,} facts among {world.possible:.3g} sentences, {len(world.told):,} documents"
                      + f" ({world.note})" * bool(world.note))
        self.told = torch.from_numpy(world.rows(world.codes[world.told]))
        self.held = torch.from_numpy(world.rows(world.codes[world.held]))
        self.facts = torch.from_numpy(world.rows(world.codes))

    def __len__(self) -> int:
        return len(self.order)

    @cached_property
    def order(self) -> np.ndarray:
        """The documents that training sees, by number; `documents_as` says others."""
        return np.arange(len(self.told))

    def handed(self, model: nn.Module, seed: int) -> None:
        """Take up how a system is handed documents: each sentence once, or some of them more often."""
        m: Any = model
        way, order = m.spec.documents, np.arange(len(self.told))
        if way.once:
            order = np.unique(self.world.told, return_index=True)[1]
            order.sort()
        if way.repeat:
            chosen = np.random.default_rng([seed, 21]).random(len(order)) < way.repeat
            order = np.repeat(order, np.where(chosen, way.times, 1))
        counting = bool(m.recipe.phases)
        if counting and len(order) > dict(self.info.inputs)["documents"]:
            raise StemmaError("a table holds as many documents as there are; documents.repeat is for word-by-word "
                              "models")
        self.order = order

    def batch(self, rows: np.ndarray) -> dict[str, Tensor]:
        """{"rows": word numbers [N, S]} of documents."""
        return {"rows": self.told[torch.from_numpy(self.order[rows])]}

    def counted(self, model: nn.Module) -> None:
        """All documents were counted: an oracle is told the truth."""
        m: Any = model
        if m.oracle:
            m.know(self.facts.to(_device(m)), torch.from_numpy(self.world.p).to(_device(m)))

    def check(self, model: nn.Module) -> dict[str, float]:
        """Held-out nats a sentence, and what is exact of hallucination, without drawing a sentence."""
        m: Any = model
        nats = float(-m.log_prob(self.held.to(_device(m)), Knobs()).mean())
        said = exact(m, self)
        return {"nats": nats, **{k: said[k] for k in ("hallucination", "monofacts", "missing", "miscalibration",
                                                      "bound", "slack")}}


def _device(model: Any) -> torch.device:
    return next((t.device for t in (*model.parameters(), *model.buffers())), torch.device("cpu"))


def open_(data: Any, seed: int = 0) -> Corpus:
    """The corpus of the one world that `data` names."""
    return Corpus(facts.open_facts(data, seed))


def exact(model: Any, corpus: Corpus, knobs: Knobs | None = None, delta: float = DELTA) -> dict[str, Any]:
    """What needs no sampling: the model's mass on facts and on the rest, its level sets, the bound."""
    world, counts = corpus.world, corpus.world.counts()
    log_g = model.log_prob(corpus.facts.to(_device(model)), knobs).cpu().numpy()
    rest = min(max(1.0 - float(np.exp(log_g).sum()), 0.0), 1.0)
    levels = rates.level_sets(log_g, world.p, rest, model.log_rest(knobs))
    found = rates.bound(rates.monofacts(counts), levels.miscalibration, len(world.codes), world.false,
                        len(world.told), delta, world.regularity or 1.0, world.even)
    low, high = rates.interval(counts)
    return {
        "hallucination": rest, "monofacts": found.monofacts, "missing": rates.missing_mass(world.p, counts),
        "missing_low": low, "missing_high": high, "miscalibration": levels.miscalibration, "bound": found.value,
        "slack": rest - found.value, "vacuous": found.vacuous, "violated": rest < found.value, "says": found.says,
        "sparsity_term": found.sparsity, "concentration": found.concentration, "delta": delta,
        "sparse": rates.sparsity(len(world.codes), world.false), "regular": world.regular,
        "regularity": world.regularity, "even": world.even,
        "facts": len(world.codes), "possible": float(world.possible), "documents": len(world.told),
    }


def measure(model: nn.Module, corpus: Corpus, seed: int = 0, limit: int | None = None) -> dict[str, Any]:
    """All that is said of a model in a world: exact rates, the same by `limit` sentences (5,000), calibration by bins
    and by next words, and what each post-training knob would do."""
    m: Any = model
    said, counts = limit or SAID, corpus.world.counts()
    out = {"world": corpus.name, "short": short(corpus), "about": corpus.about, **corpus.check(m), **exact(m, corpus)}
    rows = m.draw(said, seed)
    false = ~corpus.world.true(rows.numpy())
    log_g = m.log_prob(corpus.facts.to(_device(m))).cpu().numpy()
    drawn = m.log_prob(rows[torch.from_numpy(false)].to(_device(m))).cpu().numpy()
    mis, noise = rates.binned(log_g, corpus.world.p, out["hallucination"], drawn)
    rate = float(false.mean())
    out |= {"said": said, "drawn_hallucination": rate, "drawn_error": math.sqrt(rate * (1 - rate) / said),
            "binned": mis, "binned_noise": noise, "token_error": token_error(m, corpus),
            "alike": rates.nearly_alike(log_g, corpus.world.p, out["hallucination"], drawn)}
    for name, (low, high) in (("certain", rates.certain(counts)), ("resampled", rates.resampled(counts, RESAMPLES))):
        out |= {f"{name}_low": low, f"{name}_high": high}
    out["knobs"] = [_turned(m, corpus, name, knobs, seed, said) for name, knobs in settings(m, rows)]
    if hasattr(m.net, "all_logits"):
        out["prompts"] = prompted(m, corpus)
    return out


def short(corpus: Corpus) -> str:
    """A world in a word or two."""
    if again(corpus.info) is None:
        return corpus.name
    law = facts.world_of(corpus.name)
    return ", ".join(filter(None, (law.kind * (law.kind != "facts"), f"alpha {law.alpha:g}",
                                   f"tilt {law.tilt:g}" * (law.tilt > 1),
                                   f"order {law.order}" * (law.order != "random"),
                                   f"rare {law.rare:g}" * (law.rare > 0))))


def token_error(model: Any, corpus: Corpus) -> float | None:
    """The expected calibration error of next words on held-out documents; None for a table, which has no words."""
    if not hasattr(model.net, "all_logits"):
        return None
    rows = corpus.held.to(_device(model))
    said, hit = [], []
    with torch.no_grad():
        for at, logits in enumerate(model.net.all_logits(rows)):
            p, best = logits.softmax(-1).max(-1)
            said.append(p.cpu().numpy())
            hit.append((best == rows[:, at]).cpu().numpy())
    return rates.token_error(np.concatenate(said), np.concatenate(hit))


def settings(model: Any, rows: Tensor) -> list[tuple[str, Knobs]]:
    """Knobs to try: temperatures, top-p, silence below the median and the upper quartile of what is said."""
    own: Knobs = model.spec.knobs
    found = [(f"temperature {t:g}", replace(own, temperature=t)) for t in (0.5, 0.7, 1.5)]
    found += [(f"top-p {p:g}", replace(own, top_p=p)) for p in (0.5, 0.9)]
    log = model.log_prob(rows.to(_device(model)))
    found += [(f"silent below the {word} of what it says", replace(own, silent=float(torch.quantile(log, q))))
              for word, q in (("median", 0.5), ("upper quartile", 0.75))]
    return [*found, ("only what was told", replace(own, told_alone=True))]


def _turned(model: Any, corpus: Corpus, name: str, knobs: Knobs, seed: int, said: int) -> dict[str, Any]:
    """Hallucination among what is said, how much is said at all, and the miscalibration of what is said."""
    world = corpus.world
    rows = model.draw(said, seed + 1, knobs)
    log_g = model.log_prob(corpus.facts.to(_device(model)), knobs).cpu().numpy()
    kept = model.log_prob(rows.to(_device(model)), knobs).cpu().numpy() >= knobs.silent
    speaks = log_g >= knobs.silent
    if knobs.told_alone:
        counts = world.counts()
        codes = np.ravel_multi_index(tuple(rows.numpy().T), world.sizes)
        kept &= np.isin(codes, world.codes[counts > 0])
        speaks &= counts > 0
    false = ~world.true(rows.numpy())
    mass, log_rest = np.where(speaks, np.exp(log_g), 0.0), None if knobs.told_alone else model.log_rest(knobs)
    whole = min(max(1.0 - float(np.exp(log_g).sum()), 0.0), 1.0)  # on all that is false, if none of it is silent
    if knobs.told_alone:
        rest = 0.0
    elif log_rest is not None:
        rest = whole if log_rest >= knobs.silent else 0.0
    else:
        rest = whole if knobs.silent == -math.inf else float((false & kept).mean())
    total = max(float(mass.sum()) + rest, 1e-300)  # of what could be said; what is silent is no sentence
    with np.errstate(divide="ignore"):
        spoken = np.log(mass / total)
    if log_rest is not None:
        log_rest = log_rest - math.log(total) if rest else -math.inf
    levels = rates.level_sets(spoken, world.p, rest / total, log_rest)
    return {"knob": name, "hallucination": float(false[kept].mean()) if kept.any() else float("nan"),
            "coverage": float(kept.mean()), "miscalibration": levels.miscalibration}


def prompted(model: Any, corpus: Corpus, most: int = 20) -> list[dict[str, Any]]:
    """A prompt is the first word; for each of the most told ones, which share of the facts under it was told once and
    how often the model, given it, says what is false. Exact, by the chain rule."""
    world, counts = corpus.world, corpus.world.counts()
    rows = corpus.facts.numpy()
    first = rows[:, 0]
    told = np.bincount(first, counts, minlength=world.sizes[0])
    once = np.bincount(first, counts == 1, minlength=world.sizes[0])
    log_g = model.log_prob(corpus.facts.to(_device(model)))
    with torch.no_grad():
        p = torch.log_softmax(model.net.logits(corpus.facts[:1].to(_device(model)), 0), -1)[0].double()
    given = (log_g - p[corpus.facts[:, 0].to(p.device)]).exp().cpu().numpy()
    mass = np.bincount(first, given, minlength=world.sizes[0])
    best = np.argsort(-told, kind="stable")[:most]
    return [{"prompt": world.words[w], "documents": int(told[w]), "monofacts": float(once[w] / max(told[w], 1)),
             "hallucination": float(np.clip(1 - mass[w], 0, 1))} for w in best if told[w]]


def predict(model: nn.Module, corpus: Corpus, what: Any, out: Path | None, seed: int = 0,
            count: int = 20, told: object = None) -> dict[str, Any]:
    """Sentences that the model says, whether each is true, and how likely it found it; after `what` (first words, or a
    text file with a beginning a line) where that is given. told: of dialogues alone. Raises `StemmaError` for words
    that the world has not."""
    m: Any = model
    world = corpus.world
    begins = [_numbers(world, line) for line in lines_in(what)] or [[]]
    each = max(1, count // len(begins))
    said = []
    for i, begin in enumerate(begins):
        rows = m.draw(each, seed + i, given=torch.tensor(begin, dtype=torch.long) if begin else None)
        for row, log, true in zip(rows.tolist(), m.log_prob(rows.to(_device(m))).tolist(), world.true(rows.numpy())):
            said.append({"says": world.sentence(row), "true": bool(true), "log_probability": log, "given": len(begin)})
    record = {"world": corpus.name, "sentences": said,
              "hallucination": 1 - sum(s["true"] for s in said) / len(said)}
    if out is not None:
        outputs.put_text(out / "predictions.json", json.dumps(checkpoint.jsonable(record), indent=1), prediction=True)
    return record


def _numbers(world: facts.Facts, line: str) -> list[int]:
    words = line.replace("<", " ").split()
    if len(words) > len(world.sizes):
        raise StemmaError(f"'{line}' has {len(words)} words, and a sentence here {len(world.sizes)}")
    begin = np.cumsum((0, *world.sizes))
    out = []
    for i, w in enumerate(words):
        own = world.words[begin[i] : begin[i + 1]]
        if w not in own:
            raise StemmaError(f"'{w}' is no {world.slots[i]} of {world.name}; one is '{own[0]}'")
        out.append(own.index(w))
    return out


def again(info: Info) -> str | None:
    """The data that a model was trained on, from what it knows of them; None where that says no more than a name."""
    return info.name if info.name.partition(":")[0] in facts.LEXICA else None


__all__ = ["DELTA", "SAYS", "Corpus", "again", "exact", "family", "known", "measure", "open_", "predict", "prompted",
           "settings", "token_error"]
