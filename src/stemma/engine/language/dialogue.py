"""A dialogue: each sentence becomes a piece of program, and what follows from all of them is inferred anew."""
from __future__ import annotations

import functools
import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ...core.types import StemmaError
from ...data.language.growing import NewWord, brought, put_back, stood_in
from ...data.language.meanings import WORD, Domain, called
from ...parts.language.church.builtins import BASE
from ...parts.language.church.infer import Posterior, Program, infer
from ...parts.language.church.reader import ChurchError, Symbol, parts_of, read, write
from ...parts.language.church.run import FORMS, Drawn, Limits, Rejected, room
from ...parts.language.church.table import svg_of
from ...skeletons.meaning import Inference

KINDS = ("condition", "query", "define")
BINS, WHOLE = 12, 24  # bars of numbers; whole numbers that are told one by one
PICTURES = 6  # of an answer that is drawn


def checked(text: str) -> list[Any]:
    """The one piece of a program that a meaning is. Raises `ChurchError` for what is none."""
    forms = read(text)
    if len(forms) != 1 or not isinstance(forms[0], list) or not forms[0] or forms[0][0] not in KINDS:
        raise ChurchError(f"a sentence means one (condition ...), (query ...) or (define ...), not {text[:60]}")
    found: list[Any] = forms[0]
    if len(found) != 2 if found[0] != "define" else len(found) < 3:
        raise ChurchError("(define ...) takes a name and what it is" if found[0] == "define"
                          else f"({found[0]} ...) takes one expression, not {len(found) - 1}")
    return found


def tried(domain: Domain, before: list[Any], form: list[Any], limits: Limits, worlds: int = 3) -> None:
    """Run a piece in some worlds of the prior, which finds what is not there. Raises `ChurchError`."""
    asked = [Symbol("query"), form[1]] if form[0] == "condition" else form
    program, rng = Program([*read(domain.model), *before, asked], limits), random.Random(0)
    with room(limits):
        for _ in range(worlds):
            try:
                program.run(Drawn(limits, program.names, rng))
            except Rejected:
                continue


@dataclass
class Turn:
    """A sentence, what it was taken to mean, and what follows."""

    says: str
    means: str | None
    kind: str
    asks: str = ""
    posterior: dict[str, Any] | None = None
    error: str = ""
    names: list[str] = field(default_factory=list)  # words that nobody here knows, and that were taken for names
    passed: list[str] = field(default_factory=list)  # words that nobody here knows, and that can be no names
    meanings: list[dict[str, Any]] = field(default_factory=list)  # of all that were given: means, share, error


@dataclass
class Dialogue:
    """What was said of a domain so far. `translate` gives a sentence's meanings, the best first, one that was given
    several times as often; a line in brackets is its own meaning, a sentence may bring a new word (`growing`), "undo"
    takes the last sentence back."""

    domain: Domain
    translate: Callable[[str], list[str]]
    inference: Inference
    seed: int = 0
    forms: list[Any] = field(default_factory=list)
    turns: list[Turn] = field(default_factory=list)
    grown: list[tuple[Any, NewWord]] = field(default_factory=list)  # definitions and the words that they bring

    @property
    def limits(self) -> Limits:
        return Limits(steps=self.inference.steps)

    @property
    def words(self) -> tuple[NewWord, ...]:
        """The words that were brought and not taken back."""
        return tuple(word for form, word in self.grown if any(form is f for f in self.forms))

    def say(self, sentence: str) -> Turn:
        """Take a sentence in. What cannot be understood or run, or contradicts what was said, is told and left out."""
        text = sentence.strip()
        if text.lower() == "undo":
            turn = Turn(text, write(self.forms[-1]) if self.forms else None, "undo",
                        error="" if self.forms else "there is nothing to take back")
            self.forms = self.forms[:-1]
        else:
            turn = self._taken(text)
            known = {x for w in self.words for x in (w.word, f"{w.word}s")}
            if not (text.startswith("(") or turn.kind == "define"):
                turn.names = [w for w in strangers(self.domain, text) if w not in known]
                turn.passed = [w for w in called(self.domain, text)[1] if w not in known]
        self.turns.append(turn)
        return turn

    def _understood(self, text: str) -> tuple[list[str], NewWord | None]:
        """(the meanings of a sentence, new words in their places, the word that it brings). Raises `ChurchError` where
        one cannot stand there, or is the name of something."""
        if text.startswith("("):
            return [text], None
        if (new := brought(self.domain, text, self.words)) is not None:
            if new[0].word in BASE or new[0].word in FORMS or Symbol(new[0].word) in _names(self.domain.model):
                raise ChurchError(f"'{new[0].word}' is what a function of the language is called; take another word")
            return [new[1]], new[0]
        plain, swaps = stood_in(self.domain, text, self.words)
        back = [put_back(self.domain, m, swaps) if swaps else m for m in self.translate(plain)]
        if back and not any(back):
            raise ChurchError(f"{', '.join(w.word for w, _ in swaps)} cannot stand there")
        return [m for m in back if m is not None], None

    def _taken(self, text: str) -> Turn:
        try:
            found, new = self._understood(text)
        except StemmaError as error:  # one sentence is too long, or has too many names: the others are heard
            return Turn(text, None, "unknown", error=str(error))
        turn = Turn(text, found[0] if found else None, "unknown",
                    error="" if found else f"the grammar of {self.domain.name} does not have this sentence")
        told = [{"means": m, "share": found.count(m) / len(found), "error": ""} for m in dict.fromkeys(found)]
        for one in told:
            try:
                form = checked(str(one["means"]))
                tried(self.domain, self.forms, form, self.limits)
            except ChurchError as error:
                one["error"] = str(error)
                turn.error = turn.error or str(error)
                continue
            turn = Turn(text, write(form), str(form[0]))
            break
        turn.meanings = told
        if turn.error or turn.kind == "unknown":
            return turn
        asks = form if turn.kind == "query" else [Symbol("query"), self._watch(text)]
        said = self.forms if turn.kind == "query" else [*self.forms, form]
        if turn.kind == "define":
            self.forms = said
            self.grown += [(form, new)] if new is not None else []
            return turn
        try:
            posterior = infer([*read(self.domain.model), *said, asks], self.inference.method, self.inference.samples,
                              self.seed, self.limits, self.inference.tries)
        except ChurchError as error:
            turn.error = str(error)
            return turn
        turn.asks, turn.posterior = write(asks[1]), shown(posterior)
        self.forms = said
        return turn

    def _watch(self, text: str) -> Any:
        """What is watched when nothing is asked: of the first name of the sentence, known or not, where the domain
        has names."""
        new = () if text.startswith("(") else strangers(self.domain, text)
        known = {x for w in self.words for x in (w.word, f"{w.word}s")}
        name = next((w for w in WORD.findall(text.lower()) if w in self.domain.people or w in new and w not in known),
                    None)
        watch = self.domain.watch
        if "{a}" in watch and name is None:
            name = self.domain.people[0]
        return read(watch.replace("{a}", name or ""))[0]


def strangers(domain: Domain, sentence: str) -> list[str]:
    """The names of a sentence that the domain does not have, each once."""
    return [w for w in called(domain, sentence)[0] if w not in domain.people]


@functools.lru_cache(maxsize=8)
def _names(model: str) -> frozenset[Symbol]:
    """Every symbol of a program."""
    return frozenset(v for x in read(model) for kind, v in parts_of(x) if kind == "is" and isinstance(v, Symbol))


def shown(posterior: Posterior) -> dict[str, Any]:
    """A posterior as numbers that a page or a terminal can draw."""
    out: dict[str, Any] = {"method": posterior.method, "samples": len(posterior.values), "tried": posterior.tried,
                           "accepted": posterior.accepted, "effective": posterior.effective}
    pictures = [svg_of(v) for v in posterior.values[:PICTURES]]
    if None not in pictures:
        return out | {"pictures": pictures}
    low, high = (min(posterior.values), max(posterior.values)) if posterior.numeric else (0.0, 0.0)
    few = WHOLE if all(isinstance(v, int) for v in posterior.values) else BINS
    if posterior.numeric and len(set(posterior.values)) > few and math.isfinite(high - low):
        bars = [0.0] * BINS
        for v, w in zip(posterior.values, posterior.weights):
            bars[min(int((v - low) / (high - low) * BINS), BINS - 1)] += w
        return out | {"mean": posterior.mean, "deviation": posterior.deviation, "low": low, "high": high, "bars": bars}
    if posterior.numeric or all(isinstance(v, bool) for v in posterior.values):
        out |= {"mean": posterior.mean}
    table = posterior.table()
    if posterior.numeric and len(table) <= few:  # all of them, the least first
        value = {write(v): v for v in posterior.values}
        return out | {"table": {k: table[k] for k in sorted(table, key=lambda k: value[k])}}
    return out | {"table": dict(list(table.items())[:10])}


def same(domain: Domain, one: str, other: str, limits: Limits, worlds: int = 100) -> bool:
    """Whether two meanings denote the same: of one kind, and in worlds of the prior, each asked both, no further apart
    than the first is from itself asked twice. Of what draws nothing anew that is: equal in every world."""
    try:
        a, b = checked(one), checked(other)
        if a == b:
            return True
        if a[0] != b[0] or a[0] == "define":
            return False
        both = [Symbol("query"), [Symbol("list"), a[1], a[1], b[1]]]
        program, rng, found = Program([*read(domain.model), both], limits), random.Random(0), []
        with room(limits):
            for _ in range(worlds):
                found.append(program.run(Drawn(limits, program.names, rng)))
    except (ChurchError, Rejected):
        return False
    own, across = [_apart(x, y) for x, y, _ in found], [_apart(x, z) for x, _, z in found]
    if not any(own):
        return not any(across)
    gap = [p - q for p, q in zip(across, own)]
    mean = sum(gap) / worlds
    return bool(abs(mean) <= 2 * (sum((g - mean) ** 2 for g in gap) / (worlds - 1) / worlds) ** 0.5)


def _apart(x: Any, y: Any) -> float:
    """The squared difference of numbers; of other things 0 where they are the same."""
    if all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in (x, y)):
        return float((x - y) ** 2)
    return float(write(x) != write(y))


__all__ = ["Dialogue", "Turn", "checked", "same", "shown", "strangers", "tried"]
