"""Words that a sentence brings into a world: "an uncle is a brother of a parent" is a definition, and "uncle" may stand
from then on wherever a word of its kind may.

A sentence with a new word is read with a known one in its place, by whatever reads sentences, and the new word takes
its place again in the meaning. So nothing need be trained anew.
"""
from __future__ import annotations

import re
from dataclasses import dataclass

from .meanings import WORD, Domain


@dataclass(frozen=True)
class Growth:
    """A form of sentence that defines {n}: `kinds` are the blanks of the domain (`Domain.words`) that {x} and {y} are
    of, the first that of the new word. In meanings `place`, with a known word's code for {}, becomes `new`."""

    says: str
    means: str
    kinds: tuple[str, ...]
    place: str = "{}"
    new: str = "{n}"


OF = "(define ({n} a b) (some (map (lambda (c) (and ({x} a c) ({y} c b))) all-names)))"
BOTH, EITHER = "(define ({n} who) (and {x} {y}))", "(define ({n} who) {x})"
GROWTHS: dict[str, tuple[Growth, ...]] = {
    "tug-of-war": tuple(Growth(says, means, ("x",) * k, new="({n} '{a})") for says, means, k in (
        ("{n} means {x} and {y}.", BOTH, 2), ("{n} means {x}.", EITHER, 1))),
    "kinship": (
        Growth("a {n} is a {x} of a {y}.", OF, ("x", "x")),
        Growth("a {n} is a {x} or a {y}.", "(define ({n} a b) (or ({x} a b) ({y} a b)))", ("x", "x"))),
    "scenes": (Growth("a {n} is a {y} {x}.", "(define {n} (both? (is-colour? '{y}) (is-shape? '{x})))", ("x", "y"),
                      "(is-shape? '{})"),),
    "motion": (Growth("{n} means {x} and {y}.", "(define ({n} thing) (and ({x} thing) ({y} thing)))", ("z", "z")),),
    "planning": (Growth("{n} means {x} or {y}.", "(define ({n} who) (or (likes? who '{x}) (likes? who '{y})))",
                        ("x", "x"), "(likes? '{a} '{})", "({n} '{a})"),),
}


@dataclass(frozen=True)
class NewWord:
    """A word and the form that brought it."""

    word: str
    growth: Growth

    @property
    def code(self) -> str:
        """What stands for it where the code of a word of its kind may."""
        return self.growth.new.replace("{n}", self.word) if self.growth.place == "{}" else self.word


def brought(domain: Domain, sentence: str, known: tuple[NewWord, ...] = ()) -> tuple[NewWord, str] | None:
    """(the new word, its definition) of a sentence that brings one; None for any other. known: new words so far, of
    which it may be made where they stand as words do."""
    text = " ".join(WORD.findall(sentence.lower()))
    for g in GROWTHS.get(domain.name, ()):
        tables = {b: dict(domain.words[k]) for b, k in zip("xy", g.kinds)}
        for w in known:
            if w.growth.place == "{}":
                for b, k in zip("xy", g.kinds):
                    tables[b] |= {w.word: w.code} if w.growth.kinds[0] == k else {}
        pattern = re.sub(r"\ba\b", "(?:a|an)", g.says.replace(".", r" \."))
        for b, table in tables.items():
            words = sorted(map(re.escape, table), key=len, reverse=True)
            pattern = pattern.replace(f"{{{b}}}", f"(?P<{b}>{'|'.join(words)})")
        m = re.fullmatch(pattern.replace("{n}", r"(?P<n>[^\W\d_][\w-]*)"), text)
        if m is not None and m["n"] not in domain.vocabulary and m["n"] not in domain.people:
            means = g.means
            for b, table in tables.items():
                means = means.replace(f"{{{b}}}", table[m[b]].replace("'{a}", "who"))
            return NewWord(m["n"], g), means.replace("{n}", m["n"])
    return None


def stood_in(domain: Domain, sentence: str, known: tuple[NewWord, ...]) -> tuple[str, list[tuple[NewWord, str]]]:
    """(the sentence with a known word in the place of each new one, which for which)."""
    words, swaps = WORD.findall(sentence.lower()), list[tuple[NewWord, str]]()
    for w in known:
        at = [i for i, x in enumerate(words) if x in (w.word, f"{w.word}s")]
        other = next((k for k in domain.words[w.growth.kinds[0]] if not {k, f"{k}s"} & set(words)), None)
        if at and other is not None:
            for i in at:
                words[i] = other + words[i][len(w.word):]
            swaps.append((w, other))
    return (" ".join(words) if swaps else sentence), swaps


def put_back(domain: Domain, means: str, swaps: list[tuple[NewWord, str]]) -> str | None:
    """A meaning with new words in their places again; None where one cannot stand there."""
    for w, other in swaps:
        g = w.growth
        pattern = re.escape(g.place.replace("{}", domain.words[g.kinds[0]][other]))
        pattern = rf"(?<![^\s()'])({pattern})(?![^\s()'])".replace(re.escape("{a}"), r"(?P<a>[^\s()']+)", 1)
        means, count = re.subn(pattern, g.new.replace("{n}", w.word).replace("{a}", r"\g<a>"), means)
        if not count:
            return None
    return means


__all__ = ["GROWTHS", "Growth", "NewWord", "brought", "put_back", "stood_in"]
