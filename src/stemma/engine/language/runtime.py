"""A language model, in GGUF or served on this machine, as a writer of meanings: a prompt of the world and examples, an
answer held to a grammar.

The grammar (GBNF) is typed by the sentence: a question can be answered by a query alone, what is told by a condition;
functions are those of the domain, with as many arguments as they take, and what is quoted is a name of the sentence or
a word of the domain: where nobody is named nothing is said of anybody. So an answer can always be read; what it says
may still be wrong, and is never run as Python.
"""
from __future__ import annotations

import functools
import importlib.util
import json
import math
import re
from collections import Counter
from http.client import HTTPException
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, ProxyHandler, Request, build_opener

from ...core.types import StemmaError
from ...data.language import meanings
from ...data.language.meanings import Domain, Pair
from ...parts.language.church.reader import Symbol, read, write

EXTRA = "stemma-vision[language]"
WAIT, MOST = 120, 1 << 20  # seconds, and bytes, of an answer


class Runtime(Protocol):
    """What runs a language model: the text that follows a prompt, held to a grammar in GBNF."""

    def complete(self, prompt: str, grammar: str, tokens: int, temperature: float, seed: int) -> str: ...


def prompt_of(domain: Domain, sentence: str, examples: int, shown: str = "evenly") -> str:
    """The world, pairs of sentences and meanings (of plain forms, none of a form that is held out), and the sentence.
    `shown`: "evenly", of forms from first to last; "alike", of those that are most like the sentence."""
    forms = [meanings.filled(domain, i) for i, t in enumerate(domain.templates) if not (t.held or t.framed)]
    count = min(examples, len(forms))
    pairs = (_alike(domain, sentence, forms)[len(forms) - count :] if shown == "alike"
             else [forms[i * len(forms) // count][0] for i in range(count)])
    told = "\n\n".join(f";; {p.says}\n{p.means}" for p in pairs)
    return f"{domain.model}\n{told}\n\n;; {sentence.strip()}\n"


def _alike(domain: Domain, sentence: str, forms: list[list[Pair]]) -> list[Pair]:
    """Of each form the filling that is most like the sentence, the likest last: examples that are near what is asked
    help most (Liu et al. 2022, arXiv 2101.06804; they ask a network what is near, here it is words). Likeness is the
    share of words in common, in which a word counts the more the fewer forms have it; a name is like any other."""
    words = lambda says: frozenset(w if w in domain.known else "" for w in meanings.WORD.findall(says.lower()))  # noqa: E731
    heard = [[words(p.says) for p in form] for form in forms]
    having = Counter(w for form in heard for w in frozenset().union(*form))
    weight = lambda ws: math.fsum(math.log((1 + len(forms)) / (1 + having[w])) + 1e-9 for w in ws)  # noqa: E731
    asked = words(sentence)
    likeness = [max((weight(asked & h) / weight(asked | h), -k) for k, h in enumerate(form)) for form in heard]
    return [forms[i][-likeness[i][1]] for i in sorted(range(len(forms)), key=lambda i: (likeness[i][0], -i))]


def question(sentence: str) -> bool:
    """Whether a sentence asks."""
    first = sentence.lower().split()[0] if sentence.split() else ""
    return sentence.strip().endswith("?") or first in ("how", "what", "who", "where", "would", "is", "does", "are")


def grammar_of(domain: Domain, sentence: str) -> str:
    """What may be answered, in GBNF: rules `bool`, `number`, `thing` from how the domain's own meanings use its
    functions."""
    functions: dict[str, set[tuple[str, ...]]] = {}
    results: dict[str, str] = {}
    words: set[str] = set()
    names = meanings.called(domain, sentence)[0]

    def kind(x: Any) -> str:
        if isinstance(x, (int, float)):
            return "amount"
        if isinstance(x, list) and x and x[0] == "quote":
            inner = x[1]
            if isinstance(inner, list):
                return "team"
            if inner not in domain.people:
                words.add(str(inner))
            return "name" if inner in domain.people else "word"
        if isinstance(x, list) and x:
            functions.setdefault(str(x[0]), set()).add(tuple(kind(v) for v in x[1:]))
            return f"call-{_rule(str(x[0]))}"
        return "amount" if isinstance(x, bool) else _plain(str(x))

    def _plain(name: str) -> str:
        results.setdefault(name, "bare")
        return f"bare-{_rule(name)}"

    heads: dict[str, set[str]] = {"condition": set(), "query": set()}
    for i, t in enumerate(domain.templates):
        for p in meanings.filled(domain, i) if not t.framed else ():
            form = read(p.means)[0]
            heads[str(form[0])].add(kind(form[1]))
    want = "query" if question(sentence) else "condition"
    if not names and (nobody := _of_nobody(functions, heads[want])) is not None:
        functions, heads[want] = nobody
    rules = [f'root ::= "({want} " ({" | ".join(sorted(heads[want]))}) ")"']
    for f, uses in sorted(functions.items()):
        bodies = [" ".join([f'"({f}"', *(f'" " {k}' for k in use), '")"']) for use in sorted(uses)]
        rules.append(f"call-{_rule(f)} ::= {' | '.join(bodies)}")
    rules += [f'bare-{_rule(n)} ::= "{n}"' for n in sorted(results)]
    alternatives = " | ".join(f'"{n}"' for n in names or domain.people) or '"nobody"'
    rules.append(f"person ::= {alternatives}")
    rules.append("name ::= \"'\" person")
    rules.append('team ::= "\'(" person (" " person)* ")"')
    rules.append("word ::= " + (" | ".join(f'"\'{w}"' for w in sorted(words)) or '"\'none"'))
    rules.append('amount ::= [0-9] [0-9]? ("." [0-9])?')
    return "\n".join(rules)


def _of_nobody(functions: dict[str, set[tuple[str, ...]]],
               heads: set[str]) -> tuple[dict[str, set[tuple[str, ...]]], set[str]] | None:
    """The functions, their uses and what may be said with them without a name; None where that is nothing."""
    while True:
        gone = {"name", "team", *(f"call-{_rule(f)}" for f, uses in functions.items() if not uses)}
        left = {f: {use for use in uses if not gone & set(use)} for f, uses in functions.items()}
        if left == functions:
            return ({f: uses for f, uses in left.items() if uses}, heads - gone) if heads - gone else None
        functions = left


def _rule(name: str) -> str:
    """A name as GBNF can hold it."""
    return "-".join(str(ord(c)) if not c.isalnum() else c for c in name)


def look_at(path: str) -> None:
    """Raises `StemmaError` where no language model is named, its file is none, nothing is installed that runs it, or it
    is asked for at another machine: weights say whom they ask, and sentences go nowhere else unasked."""
    if path.startswith(("http://", "https://")):
        if urlsplit(path).hostname not in ("127.0.0.1", "localhost", "::1"):
            raise StemmaError(f"a language model is asked for on this machine alone, not at {path}; say --set "
                              "net.path=http://127.0.0.1:8080, where llama.cpp's server listens")
        return
    if not path:
        raise StemmaError("no language model is named; say --set net.path=FILE.gguf when it is trained, or take the "
                          "preset small or grammar")
    if importlib.util.find_spec("xllamacpp") is None:
        raise StemmaError(f"a language model by path needs the package xllamacpp: pip install '{EXTRA}'")
    if not Path(path).is_file():
        raise StemmaError(f"no language model at '{path}'; name a GGUF file with --set net.path=FILE")
    with open(path, "rb") as f:
        if f.read(4) != b"GGUF":
            raise StemmaError(f"{path} is no GGUF file")


class Xllama:
    """`xllamacpp`, llama.cpp as a wheel. Raises `StemmaError` where it or the file is not there."""

    def __init__(self, path: str) -> None:
        look_at(path)
        import xllamacpp

        params = xllamacpp.CommonParams()
        params.model.path = str(path)
        params.n_ctx, params.warmup, params.verbosity = 4096, False, 0
        params.cpuparams.n_threads = 1
        try:
            self.server: Any = xllamacpp.Server(params)
        except RuntimeError as error:
            raise StemmaError(f"{path} cannot be loaded as a language model ({error}); it may be cut short, or of "
                              "another kind: fetch it again, or name another") from None

    def complete(self, prompt: str, grammar: str, tokens: int, temperature: float, seed: int) -> str:
        found: Any = self.server.handle_completions({
            "prompt": prompt, "grammar": grammar, "max_tokens": tokens, "n_predict": tokens,
            "temperature": temperature, "seed": seed, "stop": ["\n;;"]})
        if not isinstance(found, dict) or not found.get("choices"):
            raise StemmaError(f"the language model did not answer: {str(found)[:200]}")
        return str(found["choices"][0]["text"])


class _Stays(HTTPRedirectHandler):
    """Goes nowhere else when it is told to."""

    def redirect_request(self, *told: Any) -> None:
        return None


class Served:
    """A server on this machine that speaks as llama.cpp's does, at `path`: POST /completion."""

    def __init__(self, path: str) -> None:
        look_at(path)
        self.url = path.rstrip("/") + "/completion"
        self.opener = build_opener(ProxyHandler({}), _Stays)  # whatever proxy the machine has

    def complete(self, prompt: str, grammar: str, tokens: int, temperature: float, seed: int) -> str:
        asked = json.dumps({"prompt": prompt, "grammar": grammar, "n_predict": tokens, "temperature": temperature,
                            "seed": seed, "stop": ["\n;;"]}).encode()
        try:
            with self.opener.open(Request(self.url, asked, {"Content-Type": "application/json"}), timeout=WAIT) as said:
                return str(json.loads(said.read(MOST))["content"])
        except (OSError, ValueError, KeyError, TypeError, HTTPException) as error:
            raise StemmaError(f"the language model at {self.url} did not answer ({' '.join(str(error).split())[:120]})"
                              "; start llama-server there, or name a GGUF file with --set net.path=FILE") from None


@functools.lru_cache(maxsize=1)
def runtime_at(path: str) -> Runtime:
    """The runtime of a model's file or of a server, kept."""
    return Served(path) if path.startswith(("http://", "https://")) else Xllama(path)


def ask(net: Any, domain: Domain, sentence: str, temperature: float = 0.0, seed: int = 0,
        runtime: Runtime | None = None) -> str | None:
    """What the language model of `net` takes a sentence to mean; None where its answer ends within a bracket."""
    said = (runtime or runtime_at(net.path)).complete(
        prompt_of(domain, sentence, net.examples, net.shown), grammar_of(domain, sentence), net.tokens,
        temperature or net.temperature, seed)
    text = re.split(r"\n\s*;;", said)[0].strip()
    try:
        forms = read(text)
    except StemmaError:
        return None
    return write(forms[0]) if forms and isinstance(forms[0], list) and not isinstance(forms[0], Symbol) else None


__all__ = ["Runtime", "Served", "Xllama", "ask", "grammar_of", "look_at", "prompt_of", "question", "runtime_at"]
