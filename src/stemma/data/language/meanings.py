"""Sentences beside the programs that they mean: five domains, each a model of a small world in Church and a grammar of
what may be said of it.

The worlds and their constants are those of Wong, Grand et al. 2023 (arXiv 2306.12672); programs and sentences are ours.

    tug-of-war | kinship | scenes | motion | planning, with :pairs=4000,seed=0

A template is a phrase, or a phrase within a frame ("is it true that ...?"), with blanks. A pair is a template with its
blanks filled. A tenth of the fillings, and some templates whole, are never trained on: phrases that are heard within
frames and never plain, and frames that are heard about other phrases. So all their words are trained on, and these ways
of putting them together are not (as Lake & Baroni 2018, arXiv 1711.00350, divide theirs).
"""
from __future__ import annotations

import functools
import itertools
import re
from dataclasses import dataclass, field
from functools import cached_property
from importlib.resources import files
from typing import Any

import numpy as np

from ...core.samples import Classes, Info, StemmaError

FORMAT = "meanings"
NAMES = ("tom", "john", "mary", "sue", "bob", "alice", "josh", "eve")
PEOPLE = "abcd"  # blanks that are names
KIN = ("avery", "blake", "charlie", "dana")
SPECIAL = ("<pad>", "<begin>", "<end>", *(f"@{i}" for i in range(6)))  # @k: the k-th name of the sentence
PAD, BEGIN, END, NAMED = 0, 1, 2, 3
TOKEN = re.compile(r"[()']|[^\s()']+")
WORD = re.compile(r"[\w-]+|[?.,]")
# English's closed classes, by which nobody is called: articles, pronouns, quantifiers, numerals, prepositions,
# conjunctions, auxiliaries, negations and adverbs of grammar. People are called Will and May.
CLOSED = frozenset("""
a an the this that these those i me my mine myself we us our ours ourselves you your yours yourself yourselves he him
his himself she her hers herself it its itself they them their theirs themselves one who whom whose which what whatever
whoever someone somebody something somewhere anyone anybody anything anywhere everyone everybody everything everywhere
nobody nothing nowhere none each other others another all any some every both either neither many much few fewer little
less least more most several enough half such same two three four five six seven eight nine ten eleven twelve first
second third last of in on at by for from to into onto with without within about above across after against along among
around as before behind below beneath beside besides between beyond down during except inside like near off out outside
over past per since through throughout till toward towards under until up upon via and but or nor if then than because
while whereas although though unless whether so yet be am is are was were been being do does did doing done have has had
having can could shall should would might must ought not no never when where why how however here there now once twice
again ever always often sometimes only just also too very quite rather almost even still already else perhaps maybe
instead hardly
""".split())


@dataclass(frozen=True)
class Template:
    """A sentence and its meaning with blanks: {a} {b} {c} {d} names, {x} {y} words that mean something. `held`: never
    trained on. `framed`: a phrase within a frame."""

    says: str
    means: str
    held: bool = False
    framed: bool = False

    @property
    def blanks(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(re.findall(r"{(\w)}", self.says)))


@dataclass(frozen=True)
class Domain:
    """A world in Church, what may be said of it, and what is watched while it is told: `watch` for each name ({a}), or
    once where it has none."""

    name: str
    people: tuple[str, ...]
    templates: tuple[Template, ...]
    words: dict[str, dict[str, str]] = field(default_factory=dict)  # blank -> {word: what it means}
    watch: str = ""

    @cached_property
    def model(self) -> str:
        """The world as a program."""
        return files("stemma.data.language.domains").joinpath(f"{self.name}.church").read_text(encoding="utf-8")

    @cached_property
    def vocabulary(self) -> tuple[str, ...]:
        """Every word and every token that sentences and meanings are made of, names left out."""
        found: dict[str, None] = {}
        for t in self.templates:
            found |= dict.fromkeys(WORD.findall(re.sub(r"{\w}[a-z0-9-]*", "", t.says)))
            found |= dict.fromkeys(TOKEN.findall(re.sub(r"{\w}", "", t.means)))
            found |= dict.fromkeys(x for blank, ending in re.findall(r"{(\w)}([a-z0-9-]+)", t.says)
                                   for word in self.words.get(blank, ()) for x in WORD.findall(word + ending))
        for table in self.words.values():
            found |= dict.fromkeys(x for k, v in table.items() for x in (*WORD.findall(k), *TOKEN.findall(v)))
        return (*SPECIAL, *found)

    @cached_property
    def known(self) -> frozenset[str]:
        """`vocabulary` to look a word up in."""
        return frozenset(self.vocabulary)


def _t(text: str) -> tuple[Template, ...]:
    rows = [line.split(" => ") for line in text.strip().splitlines()]
    plain = [Template(says.strip().lstrip("*"), means.strip(), says.startswith("*")) for says, means in rows]
    return (*plain, *(framed for i, t in enumerate(plain) for framed in _framed(t, i)))


# frames by what ends the phrase that they hold: a sentence that tells, a question
FRAMES = {
    ".": (("is it true that {}?", "(query {})"), ("it is not true that {}.", "(condition (not {}))"),
          ("we know that {}.", "(condition {})"), ("suppose that {}.", "(condition {})")),
    "?": (("tell me, {}?", "(query {})"), ("do you know, {}?", "(query {})"), ("i wonder, {}?", "(query {})")),
}
HELD = 7  # one of so many frames of a phrase that is trained on is not


def _framed(t: Template, number: int) -> list[Template]:
    """A phrase within each frame. One that is held out plain is trained on in all its frames."""
    phrase, meant = t.says[:-1], t.means.partition(" ")[2][:-1]
    return [Template(says.format(phrase), means.format(meant), not t.held and (number + 2 * k) % HELD == 0, True)
            for k, (says, means) in enumerate(FRAMES[t.says[-1]])]


DOMAINS: dict[str, Domain] = {d.name: d for d in (
    Domain("tug-of-war", NAMES, _t("""
{a} won against {b}. => (condition (won-against '({a}) '({b})))
{a} beat {b}. => (condition (won-against '({a}) '({b})))
{b} lost to {a}. => (condition (won-against '({a}) '({b})))
{a} and {b} won against {c}. => (condition (won-against '({a} {b}) '({c})))
{a} beat {b} and {c}. => (condition (won-against '({a}) '({b} {c})))
*{a} was beaten by {b}. => (condition (won-against '({b}) '({a})))
{a} is {x}. => (condition {x})
{a} is stronger than {b}. => (condition (stronger-than? '{a} '{b}))
{a} is weaker than {b}. => (condition (stronger-than? '{b} '{a}))
*{b} is not as strong as {a}. => (condition (stronger-than? '{a} '{b}))
{a} is lazier than {b}. => (condition (lazier-than? '{a} '{b}))
{a} works harder than {b}. => (condition (lazier-than? '{b} '{a}))
how strong is {a}? => (query (strength '{a}))
what is the strength of {a}? => (query (strength '{a}))
how lazy is {a}? => (query (laziness '{a}))
is {a} stronger than {b}? => (query (stronger-than? '{a} '{b}))
is {a} lazier than {b}? => (query (lazier-than? '{a} '{b}))
would {a} win against {b}? => (query (won-against '({a}) '({b})))
would {a} and {b} win against {c}? => (query (won-against '({a} {b}) '({c})))
{a} and {b} beat {c} and {d}. => (condition (won-against '({a} {b}) '({c} {d})))
would {a} and {b} beat {c} and {d}? => (query (won-against '({a} {b}) '({c} {d})))
did {a} beat {b}? => (query (won-against '({a}) '({b})))
would {a} lose to {b}? => (query (won-against '({b}) '({a})))
is {a} weaker than {b}? => (query (stronger-than? '{b} '{a}))
who is stronger, {a} or {b}? => (query (stronger-of '{a} '{b}))
who is weaker, {a} or {b}? => (query (weaker-of '{a} '{b}))
who is lazier, {a} or {b}? => (query (lazier-of '{a} '{b}))
who works harder, {a} or {b}? => (query (busier-of '{a} '{b}))
who would win, {a} or {b}? => (query (winner-of '{a} '{b}))
if {a} played against {b}, who would win? => (query (winner-of '{a} '{b}))
*{a} or {b}, who is stronger? => (query (stronger-of '{a} '{b}))
"""), {"x": {"strong": "(> (strength '{a}) 60)", "very strong": "(> (strength '{a}) 75)",
             "weak": "(< (strength '{a}) 40)", "very weak": "(< (strength '{a}) 25)",
             "lazy": "(> (laziness '{a}) 0.5)", "very lazy": "(> (laziness '{a}) 0.8)",
             "hard-working": "(< (laziness '{a}) 0.2)"}}, "(strength '{a})"),
    Domain("kinship", KIN, _t("""
{a} is the {x} of {b}. => (condition ({x} '{a} '{b}))
{a} is a {x} of {b}. => (condition ({x} '{a} '{b}))
{b} has a {x} called {a}. => (condition ({x} '{a} '{b}))
*the {x} of {b} is {a}. => (condition ({x} '{a} '{b}))
{a} is not the {x} of {b}. => (condition (not ({x} '{a} '{b})))
is {a} the {x} of {b}? => (query ({x} '{a} '{b}))
is {a} a {x} of {b}? => (query ({x} '{a} '{b}))
*does {b} have a {x} called {a}? => (query ({x} '{a} '{b}))
{a} has no parents here. => (condition (null? (parents-of '{a})))
how many parents has {a}? => (query (length (parents-of '{a})))
how large is the family? => (query (length people))
who is the {x} of {c}, {a} or {b}? => (query (which-of {x} '{a} '{b} '{c}))
are {a} and {b} siblings? => (query (sibling-of? '{a} '{b}))
*{a} or {b}, who is the {x} of {c}? => (query (which-of {x} '{a} '{b} '{c}))
"""), {"x": {w: f"{w}-of?" for w in ("parent", "child", "father", "mother", "son", "daughter", "sibling", "brother",
                                     "sister", "grandparent", "grandfather", "grandmother", "grandchild")}},
           "(length people)"),
    Domain("scenes", (), _t("""
there is a {x}. => (condition (> (count-of (is-shape? '{x})) 0))
there is a {y} {x}. => (condition (> (count-of (both? (is-colour? '{y}) (is-shape? '{x}))) 0))
there are at least two {y} {x}s. => (condition (>= (count-of (both? (is-colour? '{y}) (is-shape? '{x}))) 2))
there are many {y} {x}s. => (condition (>= (count-of (both? (is-colour? '{y}) (is-shape? '{x}))) 5))
*some {x} is {y}. => (condition (> (count-of (both? (is-colour? '{y}) (is-shape? '{x}))) 0))
there is something {y}. => (condition (> (count-of (is-colour? '{y})) 0))
nothing is {y}. => (condition (= (count-of (is-colour? '{y})) 0))
there is no {x}. => (condition (= (count-of (is-shape? '{x})) 0))
is there a {x}? => (query (> (count-of (is-shape? '{x})) 0))
is there a {y} {x}? => (query (> (count-of (both? (is-colour? '{y}) (is-shape? '{x}))) 0))
*is some {x} {y}? => (query (> (count-of (both? (is-colour? '{y}) (is-shape? '{x}))) 0))
is anything {y}? => (query (> (count-of (is-colour? '{y})) 0))
how many {x}s are there? => (query (count-of (is-shape? '{x})))
how many things are {y}? => (query (count-of (is-colour? '{y})))
how many things are there? => (query (length (things 'table)))
"""), {"x": {w: w for w in ("mug", "can", "bowl")}, "y": {w: w for w in ("red", "blue", "green", "yellow")}},
           "(length (things 'table))"),
    Domain("motion", (), _t("""
red and blue are {x}s. => (condition (eq? (shape-of 'line) '{x}))
the {y} one is {z}. => (condition ({z} '{y}))
the {y} {x} is {z}. => (condition (and (eq? (shape-of 'line) '{x}) ({z} '{y})))
*there is a {y} {x}, and it is {z}. => (condition (and (eq? (shape-of 'line) '{x}) ({z} '{y})))
the red one is pushed {w}. => (condition ({w} 'red))
the red {x} is pushed {w}. => (condition (and (eq? (shape-of 'line) '{x}) ({w} 'red)))
the {y} one hits the other. => (condition (hits? '{y}))
the {y} {x} hits the other. => (condition (and (eq? (shape-of 'line) '{x}) (hits? '{y})))
there is a collision. => (condition (collide? 'line))
the {y} one moves. => (condition (moves? '{y}))
the {y} one never moves. => (condition (not (moves? '{y})))
the {y} one moves {v}. => (condition ({v} '{y}))
is the {y} one {z}? => (query ({z} '{y}))
is there a collision? => (query (collide? 'line))
does the {y} one move? => (query (moves? '{y}))
does the {y} one move {v}? => (query ({v} '{y}))
*does the {y} one hit the other? => (query (hits? '{y}))
what is the mass of the {y} one? => (query (mass-of '{y}))
how hard is the push? => (query (push-of 'red))
what is the velocity of the {y} one after it is hit? => (query (velocity-after '{y}))
what is the top speed of the {y} one? => (query (top-speed '{y}))
are both {x}s? => (query (eq? (shape-of 'line) '{x}))
which one is heavier? => (query (heavier-of 'red 'blue))
"""), {"x": {w: w for w in ("ball", "block")}, "y": {w: w for w in ("red", "blue")},
       "z": {"somewhat heavy": "somewhat-heavy?", "quite heavy": "quite-heavy?", "somewhat light": "somewhat-light?",
             "very light": "very-light?"},
       "w": {"hard": "pushed-hard?", "lightly": "pushed-lightly?"}, "v": {"quickly": "quickly?", "slowly": "slowly?"}},
           "(mass-of 'red)"),
    Domain("planning", NAMES, _t("""
{a} likes {x}. => (condition (likes? '{a} '{x}))
{a} does not like {x}. => (condition (not (likes? '{a} '{x})))
*{a} hates {x}. => (condition (not (likes? '{a} '{x})))
the {x} place is open. => (condition (open? '{x}))
the {x} place is shut. => (condition (not (open? '{x})))
{a} has a bicycle. => (condition (has-bike '{a}))
{a} has no bicycle. => (condition (not (has-bike '{a})))
{a} goes to the {x} place. => (condition (eq? (goes-to '{a}) '{x}))
{a} walks. => (condition (eq? (goes-by '{a}) 'walking))
{a} rides. => (condition (eq? (goes-by '{a}) 'biking))
{a} passes {y}. => (condition (passes? '{a} '{y}))
does {a} like {x}? => (query (likes? '{a} '{x}))
is the {x} place open? => (query (open? '{x}))
does {a} have a bicycle? => (query (has-bike '{a}))
where does {a} go? => (query (goes-to '{a}))
*where will {a} have lunch? => (query (goes-to '{a}))
does {a} pass {y}? => (query (passes? '{a} '{y}))
who likes {x}, {a} or {b}? => (query (who-likes '{x} '{a} '{b}))
do {a} and {b} like {x}? => (query (and (likes? '{a} '{x}) (likes? '{b} '{x})))
do {a} and {b} go to the same place? => (query (eq? (goes-to '{a}) (goes-to '{b})))
*{a} or {b}, who likes {x}? => (query (who-likes '{x} '{a} '{b}))
"""), {"x": {w: w for w in ("sushi", "pizza", "vegetarian")},
       "y": {w: w for w in ("danner", "barlow", "carson", "ames", "lawn")}}, "(goes-to '{a})"),
)}


@dataclass(frozen=True)
class Pair:
    """A sentence, the program that it means, and the number of its template."""

    says: str
    means: str
    template: int


def pairs_of(domain: Domain) -> list[Pair]:
    """Every sentence of a domain's grammar: each template with each filling of its blanks."""
    return [p for i in range(len(domain.templates)) for p in filled(domain, i, every=True)]


def filled(domain: Domain, number: int, every: bool = False) -> list[Pair]:
    """A template with each filling of its words and the first names; with `every`, all names."""
    t, found = domain.templates[number], []
    people = [b for b in t.blanks if b in PEOPLE]
    words = [b for b in t.blanks if b not in PEOPLE]
    for who in itertools.islice(itertools.permutations(domain.people, len(people)), None if every else 1):
        for what in itertools.product(*(domain.words[b].items() for b in words)):
            says, means = t.says, t.means
            for b, (word, code) in zip(words, what):
                says, means = says.replace(f"{{{b}}}", word), means.replace(f"{{{b}}}", code)
            for b, name in zip(people, who):
                says, means = says.replace(f"{{{b}}}", name), means.replace(f"{{{b}}}", name)
            found.append(Pair(says, means, number))
    return found


def parsed(domain: Domain, sentence: str) -> str | None:
    """What a sentence means by the grammar itself; None where the grammar does not have it. A name may be any word
    that `called` takes for one."""
    text = " ".join(WORD.findall(sentence.lower()))
    for t, pattern in zip(domain.templates, _patterns(domain.name)):
        m = pattern.fullmatch(text)
        if m is not None and all(b in domain.words or w in called(domain, w)[0] for b, w in m.groupdict().items()):
            means = t.means
            for b, word in m.groupdict().items():
                means = means.replace(f"{{{b}}}", domain.words[b][word]) if b in domain.words else means
            for b, word in m.groupdict().items():
                means = means if b in domain.words else means.replace(f"{{{b}}}", word)
            return means
    return None


@functools.lru_cache(maxsize=8)
def _patterns(name: str) -> list[re.Pattern[str]]:
    """Of each template of a domain what its sentences look like."""
    domain, out = DOMAINS[name], []
    for t in domain.templates:
        pattern = re.escape(" ".join(_spaced(t.says)))
        seen: set[str] = set()
        for b in re.findall(r"\\{(\w)\\}", pattern):
            what = "|".join(sorted(map(re.escape, domain.words.get(b, {})), key=len, reverse=True)) or r"[\w-]+"
            pattern = pattern.replace(rf"\{{{b}\}}", rf"(?P<{b}>{what})" if b not in seen else rf"(?P={b})", 1)
            seen.add(b)
        out.append(re.compile(pattern))
    return out


def _spaced(says: str) -> list[str]:
    """A template's words as `parsed` splits a sentence's."""
    return re.findall(r"[a-z0-9-]*{\w}[a-z0-9-]*|[a-z0-9-]+|[?.,]", says)


@dataclass(frozen=True)
class Meanings:
    """A domain's pairs as they are trained on and held out: `train`, `combinations` (fillings not seen), `templates`
    (sentences of a form not seen, each form in turn)."""

    domain: Domain
    train: tuple[Pair, ...]
    combinations: tuple[Pair, ...]
    templates: tuple[Pair, ...]
    name: str

    @property
    def info(self) -> Info:
        """What a model must know: the vocabulary, and the longest sentence and meaning."""
        every = (*self.train, *self.combinations, *self.templates)
        longest = (max(len(WORD.findall(p.says)) for p in every), max(len(TOKEN.findall(p.means)) for p in every))
        return Info(self.name, FORMAT, Classes(self.domain.vocabulary), ("meanings",),
                    inputs=(("pairs", len(self.train)),), choices=(longest[0] + 2, longest[1] + 8))


def known(data: Any) -> bool:
    """Whether a name is that of a domain."""
    return str(data).partition(":")[0] in DOMAINS


def whole(data: Any, seed: int = 0) -> str:
    """The name with every setting said. Raises `StemmaError` for a setting that domains do not have."""
    name, _, rest = str(data).partition(":")
    if name not in DOMAINS:
        raise StemmaError(f"no domain is called '{name}'; there are {', '.join(DOMAINS)}")
    settings = {"pairs": 4000, "seed": seed}
    for pair in filter(None, rest.split(",")):
        key, _, value = pair.partition("=")
        if key not in settings or not value.isdecimal():
            raise StemmaError(f"{data}: a domain takes pairs=N and seed=N, not '{pair}'")
        settings[key] = int(value)
    if settings["pairs"] < 1:
        raise StemmaError(f"{data}: pairs is 1 or more")
    return f"{name}:pairs={settings['pairs']},seed={settings['seed']}"


def open_meanings(data: Any, seed: int = 0) -> Meanings:
    """The pairs that `data` names, dealt by its seed: each template as often as another, each filling as often."""
    name = whole(data, seed)
    domain = DOMAINS[name.partition(":")[0]]
    count, own = (int(v.partition("=")[2]) for v in name.partition(":")[2].split(","))
    rng = np.random.default_rng([own, 31])
    every = pairs_of(domain)
    by: list[list[Pair]] = [[] for _ in domain.templates]
    for p in every:
        by[p.template].append(p)
    groups = [g for g, t in zip(by, domain.templates) if not t.held]
    train: list[list[Pair]] = []
    aside: list[Pair] = []
    for group in groups:
        order = rng.permutation(len(group))
        cut = len(group) // 10
        aside += [group[i] for i in order[:cut]]
        train.append([group[i] for i in order[cut:]])
    drawn = [train[i][rng.integers(len(train[i]))] for i in rng.integers(len(train), size=count)]
    mix = lambda x: tuple(x[i] for i in rng.permutation(len(x)))  # noqa: E731
    held = [mix(g) for g, t in zip(by, domain.templates) if t.held]
    turns = (p for turn in itertools.zip_longest(*held) for p in turn if p is not None)
    return Meanings(domain, tuple(drawn), mix(aside), tuple(turns), name)


# ---------------------------------------------------------------- sentences as numbers


def called(domain: Domain, sentence: str) -> tuple[list[str], list[str]]:
    """(the names of a sentence, the words in it that are neither names nor the domain's), each once. A name is any word
    that the domain does not use otherwise and that the language leaves for one: none of `CLOSED`."""
    words = dict.fromkeys(w for w in WORD.findall(sentence.lower()) if w not in domain.known)
    return [w for w in words if w not in CLOSED], [w for w in words if w in CLOSED]


def numbered(domain: Domain, says: str, means: str | None = None) -> tuple[list[int], list[int], list[str]]:
    """(words of the sentence, tokens of the meaning, the names in it). A name (`called`) stands as @k, the
    k-th of its sentence: so names are copied, and any may be given. What is neither a name nor a word of the domain is
    passed over. Raises `StemmaError` for more names than there are places, or a meaning with a token that neither
    is."""
    at = {w: i for i, w in enumerate(domain.vocabulary)}
    names = called(domain, says)[0]
    if len(names) > len(SPECIAL) - NAMED:
        raise StemmaError(f"'{says}' has more than {len(SPECIAL) - NAMED} words that are not of {domain.name}")
    place = at | {w: NAMED + k for k, w in enumerate(names)}
    said = [place[w] for w in WORD.findall(says.lower()) if w in place]
    meant = []
    for t in TOKEN.findall(means or ""):
        if t not in at and t not in names:
            raise StemmaError(f"'{t}' in {means} is no token of {domain.name}")
        meant.append(at[t] if t in at else at[f"@{names.index(t)}"])
    return said, meant, names


def text_of(domain: Domain, tokens: list[int], names: list[str]) -> str | None:
    """A meaning's tokens as a program; None where it is of a name that the sentence does not have."""
    out = []
    for t in tokens:
        if t == END:
            break
        word = domain.vocabulary[t]
        if word in SPECIAL[NAMED:]:
            if t - NAMED >= len(names):
                return None
            word = names[t - NAMED]
        out.append(word)
    return re.sub(r"\( ", "(", re.sub(r" \)", ")", " ".join(out).replace("' ", "'")))


__all__ = ["BEGIN", "CLOSED", "DOMAINS", "Domain", "END", "FORMAT", "Meanings", "NAMED", "PAD", "Pair", "Template",
           "WORD", "called", "filled", "known", "numbered", "open_meanings", "pairs_of", "parsed", "text_of", "whole"]
