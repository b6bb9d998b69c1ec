"""Worlds of facts: which sentences are possible, which of them are true, how often each is told, and what was told.

Kalai and Vempala's objects (arXiv 2311.14648, section 3): Y, the factoids, are all sentences of S words of which the
i-th is one of `sizes[i]`; F of them, the facts, are true, and a document tells the fact y with probability p(y). A
factoid is a row of word numbers, or its code: the row read as one number, first word first.

    facts:alpha=1,facts=10000,documents=10000,words=100,law=zipf,seed=3
    references:alpha=0.5        the same with authors, titles, journals, years and pages in the place of five W
    arithmetic:words=100        "a < b" for all numbers below 100: facts that a rule tells, not arbitrary ones
    facts:words=1000,places=3   who, what and when alone: 10^9 possible sentences
    facts:tilt=4                sentences of one half of the first words are true four times as often as the others
    facts:rare=0.2              a fifth of the documents tells facts that are told once or never, the others a few that
                                are told over and over
    facts:order=listed          the earlier a fact stands in the list of sentences, the oftener it is told
    FOLDER                      facts.csv (a column a word, and `weight`), documents.csv (a row a document)

`alpha=0+0.5+1` names a family of worlds, one for each value.
"""
from __future__ import annotations

import csv
import hashlib
import itertools
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ...core.samples import Classes, DataError, Info, StemmaError
from ...core.sentence import many

FORMAT = "facts"
MOST = 1 << 62  # factoids that a code can tell apart
LARGEST, STEEPEST = 10**8, 100  # facts, documents or how tilted, which a memory holds; alpha
COMMON = 500  # documents for each fact that is told over and over
LEXICA = {
    "facts": ("who", "what", "when", "where", "why"),
    "references": ("author", "title", "journal", "year", "page"),
    "arithmetic": ("smaller", "larger"),
}
FIRST = {  # a word is one of the first and one of the second, so that ten and ten are a hundred
    "who": ("ada", "bela", "cora", "dario", "edda", "felix", "greta", "hugo", "ines", "jakob"),
    "what": ("sold", "found", "lost", "mended", "painted", "carried", "hid", "weighed", "borrowed", "named"),
    "when": ("january", "february", "march", "april", "may", "june", "july", "august", "october", "december"),
    "where": ("north", "south", "east", "west", "upper", "lower", "old", "new", "inner", "outer"),
    "why": ("from", "for", "out-of", "despite", "through", "against", "beyond", "after", "by", "with"),
    "author": ("Abel", "Brandt", "Conti", "Duval", "Eriksen", "Fuchs", "Galli", "Holm", "Ivanov", "Jansen"),
    "title": ("sparse", "deep", "random", "convex", "latent", "robust", "online", "causal", "spectral", "neural"),
    "journal": ("annals", "letters", "notes", "records", "reports", "acts", "studies", "papers", "essays", "news"),
    "year": ("190", "191", "192", "193", "194", "195", "196", "197", "198", "199"),
    "page": ("10", "11", "12", "13", "14", "15", "16", "17", "18", "19"),
}
SECOND = {
    "who": ("-abt", "-beck", "-carl", "-dorn", "-eich", "-falk", "-graf", "-haas", "-iten", "-jost"),
    "what": ("-a-clock", "-a-boat", "-a-ring", "-a-map", "-a-horse", "-a-lamp", "-a-coat", "-a-key", "-a-bell",
             "-a-jar"),
    "when": tuple(f"-{y}" for y in range(1901, 1911)),
    "where": ("-harbour", "-mill", "-gate", "-bridge", "-field", "-wood", "-market", "-tower", "-ford", "-quay"),
    "why": ("-spite", "-love", "-habit", "-fear", "-duty", "-hunger", "-pride", "-doubt", "-hope", "-chance"),
    "author": tuple(f"-{c}." for c in "ABCDEFGHIJ"),
    "title": ("-graphs", "-trees", "-codes", "-flows", "-games", "-maps", "-walks", "-sums", "-nets", "-sets"),
    "journal": tuple(f"-{c}" for c in "ABCDEFGHIJ"),
    "year": tuple("0123456789"),
    "page": tuple("0123456789"),
}


@dataclass(frozen=True)
class World:
    """A law from which a world of facts is drawn. `alpha`: a fact's probability falls with its rank to this power
    (law zipf), or its weight is the whole part of a Pareto number of this shape (law pareto, Miao and Kearns 2025).
    `tilt`: how many times as often sentences that begin with a word of the first half of its list are true; 1 is the
    paper's regular facts, more are regular but for a factor. `order`: which of the facts are told often has nothing to
    do with what they say (random), or the earlier in the list of sentences the oftener (listed). `rare`: one fact in
    `COMMON` documents is told over and over, and this share of the documents tells of all the others, each as likely as
    another: with many more facts than documents it is the monofact rate, but for what is told twice by chance."""

    kind: str = "facts"
    words: int = 100
    facts: int = 10_000
    documents: int = 10_000
    alpha: float = 0.5
    law: str = "zipf"
    places: int = 5
    seed: int = 0
    tilt: float = 1.0
    order: str = "random"
    rare: float = 0.0

    def __post_init__(self) -> None:
        for name, least in (("words", 2), ("facts", 1), ("documents", 1), ("alpha", 0), ("places", 1), ("seed", 0),
                            ("tilt", 1)):
            if not getattr(self, name) >= least:
                raise StemmaError(f"a world of facts has {name} of {least} or more, not {getattr(self, name)}")
        places = max(map(len, LEXICA.values()))
        for name, most in (("facts", LARGEST), ("documents", LARGEST), ("words", LARGEST // 100), ("places", places),
                           ("alpha", STEEPEST), ("tilt", LARGEST)):
            if getattr(self, name) > most:
                raise StemmaError(f"a world of facts has {name} of at most {most:,}, not {getattr(self, name):,}")
        if self.law not in ("zipf", "pareto"):
            raise StemmaError(f"facts are told by the law zipf or pareto, not '{self.law}'")
        if self.order not in ("random", "listed"):
            raise StemmaError(f"facts are told in the order random or listed, not '{self.order}'")
        if not 0 <= self.rare < 1:
            raise StemmaError(f"a world of facts has a rare share of 0 to 1, not {self.rare:g}")
        if self.rare and self.facts <= self.common:
            raise StemmaError(f"{self.facts:,} facts, of which {self.common:,} are common, leave none that is rare; "
                              "take more facts")
        if self.law == "pareto" and not self.alpha:
            raise StemmaError("the law pareto has a shape above 0: say alpha=1")
        if self.possible >= MOST:
            raise StemmaError(f"{self.words} words in {len(self.slots)} places are more sentences than can be counted; "
                              "take fewer words")
        if 2 * self.true > self.possible:
            raise StemmaError(f"{self.true:,} facts among {self.possible:,} sentences: more than half would be true; "
                              "take fewer facts or more words")
        if self.tilt > 1 and self.kind == "arithmetic":
            raise StemmaError("a rule tells which sums are true, and no tilt; leave it out")
        if self.likelier > self.leading // 2:
            raise StemmaError(f"{self.likelier:,} facts among the {self.leading:,} sentences that begin with the first "
                              "words: more than half would be true; take fewer facts or a smaller tilt")

    @property
    def slots(self) -> tuple[str, ...]:
        """What stands in each place of a sentence."""
        return LEXICA[self.kind][: self.places]

    @property
    def sizes(self) -> tuple[int, ...]:
        return (self.words,) * len(self.slots)

    @property
    def possible(self) -> int:
        """|Y|, how many sentences there can be."""
        return int(self.words ** len(self.slots))

    @property
    def true(self) -> int:
        """|F|, how many of them are true."""
        return self.words * (self.words - 1) // 2 if self.kind == "arithmetic" else self.facts

    @property
    def common(self) -> int:
        """How many facts are told over and over, where some are rare."""
        return max(self.documents // COMMON, 1)

    @property
    def leading(self) -> int:
        """How many sentences begin with a word of the first half: those whose codes are below it."""
        return self.words // 2 * (self.possible // self.words)

    @property
    def likelier(self) -> int:
        """How many facts lie among them, where they are `tilt` times as often true; 0 where nothing is tilted."""
        share = self.tilt * self.leading / (self.tilt * self.leading + self.possible - self.leading)
        return round(self.true * share) if self.tilt > 1 else 0

    @property
    def regular(self) -> bool:
        """Whether, given what was told, every other sentence is as likely to be true: the paper's regular facts."""
        return self.kind != "arithmetic" and self.tilt == 1

    @property
    def name(self) -> str:
        return f"{self.kind}:" + ",".join(
            f"{f.name}={getattr(self, f.name):g}" if f.type == "float" else f"{f.name}={getattr(self, f.name)}"
            for f in fields(self)[1:] if f.name not in ("tilt", "order", "rare") or getattr(self, f.name) != f.default)

    def word(self, slot: int, i: int) -> str:
        """The i-th word of a place in the sentence."""
        label = self.slots[slot]
        if label not in FIRST:
            return str(i)
        return FIRST[label][i % 10] + SECOND[label][i // 10 % 10] + (f"-{i // 100}" if i >= 100 else "")

    def draw(self) -> Facts:
        """The world and what was told of it: the same for the same seed."""
        rng = np.random.default_rng([self.seed, 11])
        if self.kind == "arithmetic":
            a, b = np.triu_indices(self.words, 1)
            codes = rng.permutation(a * self.words + b)
        elif self.tilt > 1:
            codes = rng.permutation(np.concatenate([
                distinct(rng, self.leading, self.likelier),
                self.leading + distinct(rng, self.possible - self.leading, self.facts - self.likelier)]))
        else:
            codes = distinct(rng, self.possible, self.facts)
        if self.law == "pareto":
            weight = np.minimum(np.floor(rng.pareto(self.alpha, len(codes)) + 1), 1e6)
        else:
            weight = np.arange(1, len(codes) + 1, dtype=np.float64) ** -self.alpha
        if self.rare:
            weight = np.full(len(codes), self.rare / (len(codes) - self.common))
            weight[: self.common] = (1 - self.rare) / self.common
        if self.order == "listed":
            codes, weight = np.sort(codes), np.sort(weight)[::-1]
        p = weight / weight.sum()
        told = rng.choice(len(codes), size=self.documents, p=p)
        held = np.random.default_rng([self.seed, 12]).choice(len(codes), size=min(self.documents, 10_000), p=p)
        names = tuple(self.word(s, i) for s, n in enumerate(self.sizes) for i in range(n))
        return Facts(self.name, self.slots, self.sizes, names, codes, p, told, held, self.regular,
                     parts=(self.leading,) if self.tilt > 1 else (), even=self.order == "random")


def distinct(rng: np.random.Generator, below: int, count: int) -> np.ndarray:
    """`count` different numbers below `below`, in random order, without listing those that there are."""
    found = np.sort(rng.integers(below, size=count))
    while len(found := found[np.append(True, np.diff(found) > 0)]) < count:
        found = np.sort(np.concatenate([found, rng.integers(below, size=count)]))
    return rng.permutation(found)[:count]


@dataclass(frozen=True)
class Facts:
    """A world as drawn or read. F facts with `codes` [F] and probabilities `p` [F]; `told` [n] and `held` [m] say which
    fact each document of training and of validation tells."""

    name: str
    slots: tuple[str, ...]
    sizes: tuple[int, ...]
    words: tuple[str, ...]  # of all places, one after the other
    codes: np.ndarray
    p: np.ndarray
    told: np.ndarray
    held: np.ndarray
    regular: bool | None  # None: nobody knows
    note: str = ""  # what was made of a folder that does not say it
    # codes at which the list of sentences is divided into parts; within each every sentence is as likely to be true
    parts: tuple[int, ...] = ()
    even: bool = True  # whether what a sentence says tells nothing of how often it is told: regular probabilities
    digest: str = ""  # of the files that it was read from

    @property
    def fingerprint(self) -> str:
        """Equal of equal worlds."""
        return f"{self.name}:{self.digest}" if self.digest else self.name

    @property
    def possible(self) -> int:
        return int(np.prod([int(n) for n in self.sizes], dtype=object))

    @property
    def false(self) -> int:
        """|H|, how many sentences can be said and are not true."""
        return self.possible - len(self.codes)

    @property
    def info(self) -> Info:
        """What a model must know: the words, how many each place has, how many documents there are."""
        names = self.words if len(set(self.words)) == len(self.words) else tuple(
            f"{self.slots[s]}:{w}" for s, w in zip(np.repeat(np.arange(len(self.sizes)), self.sizes), self.words))
        return Info(self.name, FORMAT, Classes(names), ("facts",), inputs=(("documents", len(self.told)),),
                    choices=self.sizes)

    def counts(self, told: np.ndarray | None = None) -> np.ndarray:
        """How many documents tell each fact [F]."""
        return np.bincount(self.told if told is None else told, minlength=len(self.codes))

    @property
    def regularity(self) -> float | None:
        """r: given what was told, how many times as likely as the mean any other sentence is to be true, at most. 1 is
        the paper's regular facts. None where facts follow a rule, or nobody knows."""
        if not self.parts:
            return 1.0 if self.regular else None
        ends = (0, *self.parts, self.possible)
        true, _ = np.histogram(self.codes, ends)
        told, _ = np.histogram(self.codes[self.counts() > 0], ends)
        sentences = np.diff(np.array(ends, dtype=np.float64)) - told
        left = true - told
        return float((left / sentences).max() / (left.sum() / sentences.sum())) if left.sum() else 1.0

    def rows(self, codes: np.ndarray) -> np.ndarray:
        """Codes as rows of word numbers [N, S]."""
        return np.stack(np.unravel_index(codes, self.sizes), -1).astype(np.int64)

    @cached_property
    def _sorted(self) -> np.ndarray:
        return np.sort(self.codes)

    def true(self, rows: np.ndarray) -> np.ndarray:
        """Whether each row [N, S] is a fact."""
        codes = np.ravel_multi_index(tuple(rows.T), self.sizes)
        at = np.searchsorted(self._sorted, codes).clip(max=len(self.codes) - 1)
        return np.asarray(self._sorted[at] == codes)

    def sentence(self, row: Any) -> str:
        """A row as words."""
        begin = np.cumsum((0, *self.sizes[:-1]))
        said = [self.words[int(b) + int(w)] for b, w in zip(begin, row)]
        return " < ".join(said) if self.slots == LEXICA["arithmetic"] else " ".join(said)


# ---------------------------------------------------------------- opening


def known(data: Any) -> bool:
    """Whether a name or folder is one of worlds of facts."""
    return str(data).partition(":")[0] in LEXICA or (_folder(data) / "facts.csv").is_file()


def _folder(data: Any) -> Path:
    """The folder that is named, or whose facts.csv is."""
    path = Path(str(data))
    return path.parent if path.name == "facts.csv" and path.is_file() else path


def family(data: Any, seed: int = 0) -> list[str]:
    """The names of the worlds that `data` names, whole: one, or one for each value of `alpha=0+0.5+1`. Raises
    `StemmaError` for a setting that worlds do not have."""
    if _folder(data).is_dir():
        return [str(_folder(data))]
    kind, _, rest = str(data).partition(":")
    if kind not in LEXICA:
        raise StemmaError(f"no world of facts is called '{kind}'; there are {', '.join(LEXICA)}, and folders with "
                          "facts.csv")
    said: dict[str, list[Any]] = {}
    types: dict[str, Any] = {f.name: {"int": int, "float": float, "str": str}[str(f.type)] for f in fields(World)[1:]}
    for pair in filter(None, rest.split(",")):
        key, _, value = pair.partition("=")
        if key not in types:
            raise StemmaError(f"{data}: a world has no '{key}'; it has {', '.join(types)}")
        if key in said:
            raise StemmaError(f"{data}: {key} is given twice; several worlds are {key}=A+B")
        try:
            said[key] = [types[key](v) for v in value.split("+")]
        except ValueError:
            raise StemmaError(f"{data}: {key} takes a number, not '{value}'") from None
    said.setdefault("seed", [seed])
    return [World(kind, **dict(zip(said, v))).name for v in itertools.product(*said.values())]


def world_of(name: str) -> World:
    """The law that a whole name tells (`family`)."""
    kind, _, rest = name.partition(":")
    pairs = dict(p.split("=") for p in rest.split(","))
    types: dict[str, Any] = {"int": int, "float": float, "str": str}
    return World(kind, **{f.name: types[str(f.type)](pairs[f.name]) for f in fields(World)[1:] if f.name in pairs})


def open_facts(data: Any, seed: int = 0) -> Facts:
    """The one world that `data` names. Raises `StemmaError` for a family, `DataError` for a folder with faults."""
    names = family(data, seed)
    if len(names) > 1:
        raise StemmaError(f"{data} names {len(names)} worlds, and one is trained in; `stemma compare` takes several")
    return read(Path(names[0]), seed) if Path(names[0]).is_dir() else world_of(names[0]).draw()


def read(folder: Path, seed: int = 0) -> Facts:
    """A world from a folder: facts.csv, all that is true, and documents.csv, what was told; without the second, as many
    documents as there are facts are drawn. Half of the documents are held out where they are given."""
    head, rows, lines = _rows(folder / "facts.csv")
    weight = [1.0] * len(rows)
    at = [i for i, h in enumerate(head) if h.casefold() == "weight"]
    if len(at) > 1:
        raise DataError(str(folder / "facts.csv"), f"has {len(at)} columns of weights", "give one", "line 1")
    for k in at:
        for n, r in enumerate(rows):
            try:
                weight[n] = float(r[k])
            except ValueError:
                weight[n] = -1.0
            if not 0 < weight[n] < float("inf"):
                raise DataError(str(folder / "facts.csv"), f"has a weight of '{r[k]}'",
                                "write a finite number above 0", f"line {lines[n]}", "weight")
        head, rows = [*head[:k], *head[k + 1 :]], [[*r[:k], *r[k + 1 :]] for r in rows]
    given = (folder / "documents.csv").is_file()
    also, documents, told_at = _rows(folder / "documents.csv") if given else (head, [], [])
    if also != head:
        raise DataError(str(folder / "documents.csv"), f"has the columns {', '.join(also)}, and facts.csv has "
                        f"{', '.join(head)}", "give both the same columns, without weight", "line 1")
    place: dict[tuple[str, ...], int] = {}
    for n, r in enumerate(rows):
        if tuple(r) in place:
            raise DataError(str(folder / "facts.csv"), f"says '{' '.join(r)}' twice", "leave one out, or add the "
                            "weights", f"line {lines[n]}")
        place[tuple(r)] = n
    if len(place) < 2:
        raise DataError(str(folder / "facts.csv"), f"has {many(len(place), 'fact')}", "give two or more")
    for n, r in enumerate(documents):
        if tuple(r) not in place:
            raise DataError(str(folder / "documents.csv"), f"tells '{' '.join(r)}', which facts.csv does not say is "
                            "true", "add it there, or leave the document out: the theorem is about true documents",
                            f"line {told_at[n]}")
    lists = [sorted({r[i] for r in rows}) for i in range(len(head))]
    numbers = [{w: i for i, w in enumerate(x)} for x in lists]
    sizes = tuple(map(len, lists))
    if int(np.prod([int(n) for n in sizes], dtype=object)) >= MOST:
        raise DataError(str(folder / "facts.csv"), "has more possible sentences than can be counted",
                        "take fewer columns")
    if len(rows) == int(np.prod([int(n) for n in sizes], dtype=object)):
        more = ("give each word of a sentence a column of its own, with commas between" if len(head) == 1 else
                "leave out what is not true, or give words that no fact has a row in which they are")
        raise DataError(str(folder / "facts.csv"), f"says that all {len(rows):,} sentences of its words are true, so "
                        "nothing false can be said", more)
    codes = np.array([np.ravel_multi_index(tuple(numbers[i][w] for i, w in enumerate(r)), sizes) for r in rows])
    p = np.array(weight) / sum(weight)
    rng = np.random.default_rng([seed, 13])
    if given:
        told = rng.permutation([place[tuple(r)] for r in documents])
        half = len(told) - len(told) // 2
        told, held = told[:half], told[half:] if len(told) > 1 else told
    else:
        told, held = rng.choice(len(p), len(p), p=p), rng.choice(len(p), len(p), p=p)
    words = tuple(w for x in lists for w in x)
    note = "" if given else "drawn by the weights of the facts, for there is no documents.csv"
    files = [folder / "facts.csv", *([folder / "documents.csv"] if given else [])]
    digest = hashlib.sha256(b"\0".join(f.read_bytes() for f in files)).hexdigest()
    return Facts(folder.resolve().name, tuple(head), sizes, words, codes.astype(np.int64), p, told, held, None, note,
                 digest=digest)


def _rows(file: Path) -> tuple[list[str], list[list[str]], list[int]]:
    """The headings, the rows and the line that each ends on; lines with nothing in them are none."""
    try:
        with open(file, encoding="utf-8-sig", newline="") as f:
            table = csv.reader(f)
            found = [([c.strip() for c in r], table.line_num) for r in table if r] or [([], 1)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(str(file), f"cannot be read ({error})",
                        "write a CSV table in UTF-8 with a line of headings") from None
    (head, at), (rows, lines) = found[0], ([r for r, _ in found[1:]], [n for _, n in found[1:]])
    if "" in head or not head:
        raise DataError(str(file), "has a column without a heading", "write a name there", f"line {at}")
    if twice := sorted({h for h in head if head.count(h) > 1}):
        raise DataError(str(file), f"has the heading '{twice[0]}' more than once", "give each column a name of its own",
                        f"line {at}")
    for n, r in zip(lines, rows):
        if len(r) != len(head):
            raise DataError(str(file), f"has {len(r)} fields where the heading has {len(head)}",
                            "give each line as many", f"line {n}")
        if "" in r:
            raise DataError(str(file), "has an empty cell", "write a word there, or leave the line out", f"line {n}",
                            head[r.index("")])
    if not rows:
        raise DataError(str(file), "has no row under its heading", "write one row for each fact or document")
    return head, rows, lines


__all__ = ["FORMAT", "Facts", "World", "distinct", "family", "known", "open_facts", "read", "world_of"]
