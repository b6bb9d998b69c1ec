"""A language model by path, the trained translator and the grammar on the same sentences: how often each one's meaning
denotes the right thing, at the first try and within five.

    python benchmarks/translations.py fresh --model FILE.gguf --runs RUNS --out fresh.json
    python benchmarks/translations.py prompts --model FILE.gguf --folder world-models --out prompts.json
    python benchmarks/translations.py dialogues --model FILE.gguf --runs RUNS --out dialogues.json

`fresh`: sixty sentences that were written for this (FRESH), fifteen of each domain, in words of the domain and put
otherwise than its grammar puts them; what each means was written beside it. --runs holds a run of rational-meaning's
preset small for each domain, `DOMAIN/run.json`. `prompts`: every pair of sentence and meaning that the prompt files of
Wong, Grand et al. print, in a copy of their repository; the released world is the world, the other pairs of the file
are shown to the model, whose answer is held to brackets that close; grammar and translators are those of the domain
that the world is nearest to. The first try takes the likeliest words; four more are drawn at
.7. `dialogues`: one of each domain, sentence by sentence, each at the first try that can be run; the answers beside
GOLDEN, what an independent sampler or logic gives. --each N takes N sentences of a domain or file, evenly spread, and
--tries N of the tries. What answers is looked at again only where it was not right, and all that was asked is kept,
so that it can be stopped.
"""
from __future__ import annotations

import argparse
import functools
import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

from stemma.data.language import meanings
from stemma.data.language.meanings import DOMAINS, Domain
from stemma.engine.language import meanings as subject
from stemma.engine.language import runtime
from stemma.engine.language.dialogue import Dialogue, same
from stemma.engine.running import checkpoint
from stemma.parts.language.church.reader import ChurchError, read, write
from stemma.parts.language.church.run import Limits
from stemma.skeletons.meaning import Inference

TRIES, WARM, TOKENS = 5, 0.7, 96
WORLDS = {"d1-probabilistic-reasoning": ("prompt", "tug-of-war"), "d2-relational-reasoning": ("prompt", "kinship"),
          "d3-grounded-visual-reasoning/static-scenes": ("prompt-examples", "scenes"),
          "d3-grounded-visual-reasoning/dynamic-scenes": ("prompt-examples", "motion"),
          "d4-goal-directed-reasoning": ("prompt-examples", "planning")}  # file, and the domain that it is nearest to
CLOSED = r'''root ::= list
list ::= "(" ws (item (ws item)*)? ws ")"
item ::= list | "'" item | atom
atom ::= [a-zA-Z0-9_?!*<>=+/.-]+
ws ::= [ \n]*'''

FRESH = {"tug-of-war": """
tom was stronger than john => (condition (stronger-than? 'tom 'john))
john lost against mary => (condition (won-against '(mary) '(john)))
sue is the stronger of sue and bob => (condition (stronger-than? 'sue 'bob))
alice and josh lost to eve => (condition (won-against '(eve) '(alice josh)))
bob is not lazy => (condition (not (> (laziness 'bob) 0.5)))
mary is not very strong => (condition (not (> (strength 'mary) 75)))
eve is lazier than alice is => (condition (lazier-than? 'eve 'alice))
in this match tom won and sue lost => (condition (won-against '(tom) '(sue)))
it is true that john is weak => (condition (< (strength 'john) 40))
josh has a strength of more than 60 => (condition (> (strength 'josh) 60))
is it true that bob is weaker than tom? => (query (stronger-than? 'tom 'bob))
would john lose to mary? => (query (won-against '(mary) '(john)))
tell me how strong eve is? => (query (strength 'eve))
which of tom and sue is lazier? => (query (lazier-of 'tom 'sue))
what is the laziness of josh? => (query (laziness 'josh))
""", "kinship": """
blake's father is avery => (condition (father-of? 'avery 'blake))
dana has avery as a sister => (condition (sister-of? 'avery 'dana))
charlie is a child of blake => (condition (child-of? 'charlie 'blake))
blake is the brother of nobody but dana => (condition (brother-of? 'blake 'dana))
it is not true that avery is the mother of dana => (condition (not (mother-of? 'avery 'dana)))
avery has no sister called blake => (condition (not (sister-of? 'blake 'avery)))
the grandfather of charlie is dana => (condition (grandfather-of? 'dana 'charlie))
dana and blake are siblings => (condition (sibling-of? 'dana 'blake))
charlie has a daughter, avery => (condition (daughter-of? 'avery 'charlie))
we know that dana has no parents here => (condition (null? (parents-of 'dana)))
is avery the son of charlie? => (query (son-of? 'avery 'charlie))
does dana have a grandchild called blake? => (query (grandchild-of? 'blake 'dana))
does charlie have blake as a brother? => (query (brother-of? 'blake 'charlie))
how many people are in the family? => (query (length people))
how many parents does blake have? => (query (length (parents-of 'blake)))
""", "scenes": """
there are no red things => (condition (= (count-of (is-colour? 'red)) 0))
at least one thing is a can => (condition (> (count-of (is-shape? 'can)) 0))
there are two or more yellow bowls => (condition (>= (count-of (both? (is-colour? 'yellow) (is-shape? 'bowl))) 2))
a mug is there => (condition (> (count-of (is-shape? 'mug)) 0))
some can is green => (condition (> (count-of (both? (is-colour? 'green) (is-shape? 'can))) 0))
something here is blue => (condition (> (count-of (is-colour? 'blue)) 0))
no bowl is there => (condition (= (count-of (is-shape? 'bowl)) 0))
there is no blue mug => (condition (= (count-of (both? (is-colour? 'blue) (is-shape? 'mug))) 0))
there are many red cans on the table => (condition (>= (count-of (both? (is-colour? 'red) (is-shape? 'can))) 5))
there are at least five things => (condition (>= (length (things 'table)) 5))
how many red things are there? => (query (count-of (is-colour? 'red)))
how many mugs do you see? => (query (count-of (is-shape? 'mug)))
is any bowl yellow? => (query (> (count-of (both? (is-colour? 'yellow) (is-shape? 'bowl))) 0))
is there anything green? => (query (> (count-of (is-colour? 'green)) 0))
how many blue cans are there? => (query (count-of (both? (is-colour? 'blue) (is-shape? 'can))))
""", "planning": """
tom does like pizza => (condition (likes? 'tom 'pizza))
sue hates vegetarian => (condition (not (likes? 'sue 'vegetarian)))
the sushi place is not open => (condition (not (open? 'sushi)))
bob goes by bicycle => (condition (eq? (goes-by 'bob) 'biking))
mary is walking => (condition (eq? (goes-by 'mary) 'walking))
john owns a bicycle => (condition (has-bike 'john))
it is true that the pizza place is open => (condition (open? 'pizza))
alice goes for pizza => (condition (eq? (goes-to 'alice) 'pizza))
eve does not pass danner => (condition (not (passes? 'eve 'danner)))
josh passes the lawn => (condition (passes? 'josh 'lawn))
where is tom going? => (query (goes-to 'tom))
is the vegetarian place shut? => (query (not (open? 'vegetarian)))
does john pass barlow on the way? => (query (passes? 'john 'barlow))
how does mary go? => (query (goes-by 'mary))
does sue own a bicycle? => (query (has-bike 'sue))
"""}


GOLDEN: dict[str, list[tuple[str, float | None]]] = {  # a sentence, and the mean of its posterior where it asks
    "tug-of-war": [("tom beat john.", None), ("john and mary beat tom and sue.", None), ("how strong is mary?", 59.35),
                   ("would mary win against tom?", 0.580)],
    "kinship": [("avery is the father of blake.", None), ("avery is the father of charlie.", None),
                ("is blake a sibling of charlie?", 1.0), ("is charlie the father of avery?", 0.0)],
    "scenes": [("is there a mug?", 0.8606), ("there are at least two blue cans.", None), ("is there a mug?", 0.958)],
    "planning": [("bob goes to the sushi place.", None), ("does bob like sushi?", 1.0),
                 ("is the sushi place open?", 1.0)],
}


def pairs_in(text: str) -> list[tuple[str, str]]:
    return [(a.strip(), b.strip()) for a, b in (x.split(" => ") for x in text.strip().splitlines())]


class Kept:
    """What was asked, on disk."""

    def __init__(self, file: str) -> None:
        self.file = Path(file)
        self.rows: dict[str, Any] = json.loads(self.file.read_text()) if self.file.is_file() else {}

    def ask(self, key: str, how: Callable[[], Any]) -> Any:
        if key not in self.rows:
            self.rows[key] = how()
            self.file.write_text(json.dumps(self.rows, indent=0))
        return self.rows[key]


def tried(kept: Kept, key: str, say: Callable[[float, int], str | None], right: Callable[[str], bool],
          tries: int = TRIES) -> list[bool]:
    """Whether each try was right, up to the first that was."""
    out: list[bool] = []
    for k in range(tries):
        found = kept.ask(f"{key} #{k}", lambda k=k: say(WARM if k else 0.0, k))  # type: ignore[misc]
        out.append(bool(found) and right(str(found)))
        if out[-1]:
            break
    return out


def told(name: str, rows: list[list[bool]], seconds: float) -> None:
    n = len(rows)
    first, ever = sum(r[0] for r in rows), sum(any(r) for r in rows)
    print(f"{name:34} {n:3} sentences: pass@1 {first / n:.2f} ({first}), pass@5 {ever / n:.2f} ({ever}); "
          f"{seconds:.0f} s", flush=True)


Asked = Callable[[Domain, str], Callable[[float, int], str | None]]  # a sentence -> what it means at each try


def systems_of(a: argparse.Namespace) -> dict[str, Asked]:
    net = SimpleNamespace(path=a.model, examples=12, tokens=TOKENS, temperature=0.0, shown=a.shown)
    systems: dict[str, Asked] = {}
    if a.runs:
        models: dict[str, Any] = {d: checkpoint.resolve(Path(a.runs) / d, "best").eval() for d in DOMAINS
                                  if d in FRESH or (Path(a.runs) / d).is_dir()}
        old = [d for d, m in models.items() if subject.open_(m.info.name).info.classes != m.info.classes]
        if old:
            raise SystemExit(f"{', '.join(old)} of {a.runs} learned other words than the domain has now; train anew")
        systems["trained"] = lambda d, s: lambda t, k: subject.translate(models[d.name], d, [s], t, k)[0]
    systems["grammar"] = lambda d, s: lambda t, k: meanings.parsed(d, s)
    if a.model:
        name = Path(a.model).stem + " alike" * (a.shown == "alike")
        systems[name] = lambda d, s: lambda t, k: runtime.ask(net, d, s, t, k)
    return systems


def some(rows: list[Any], each: int) -> list[Any]:
    """So many of them, evenly spread; 0: all."""
    return [rows[i * len(rows) // each] for i in range(each)] if 0 < each < len(rows) else rows


def fresh(a: argparse.Namespace) -> None:
    kept, limits = Kept(a.out), Limits()
    for system, how in systems_of(a).items():
        every: list[list[bool]] = []
        begin = time.process_time()
        for name, text in FRESH.items():
            rows, start = [], time.process_time()
            for says, means in some(pairs_in(text), a.each):
                says = says if says.endswith("?") else f"{says}."
                rows.append(tried(kept, f"{system} {says}", how(DOMAINS[name], says),
                                  lambda f, n=name, m=means: same(DOMAINS[n], f, m, limits),  # type: ignore[misc]
                                  1 if system == "grammar" else a.tries))
            told(f"{system}, {name}", rows, time.process_time() - start)
            every += rows
        told(f"{system}, all", every, time.process_time() - begin)


def prompts(a: argparse.Namespace) -> None:
    """Every pair of the prompt files: by the language model, to which the others are shown, and by the grammar and the
    translators of the nearest domains, which know other sentences and say them in words of their own world."""
    kept, ours = Kept(a.out), systems_of(argparse.Namespace(**{**vars(a), "model": ""}))
    every: dict[str, list[list[bool]]] = {}
    torch.set_num_threads(1)
    for place, (file, near) in WORLDS.items() if not a.only else [(p, f) for p, f in WORLDS.items() if a.only in p]:
        folder = Path(a.folder) / "domains" / place
        world, text = (folder / "world-model.scm").read_text(), (folder / f"{file}.scm").read_text()
        found = re.findall(r";; (Condition|Query): ([^\n]*)\n(.*?)(?=\n;;|\Z)", text, re.S)
        pairs = [(kind, says.strip(), means.strip()) for kind, says, means in found]
        shown = re.sub(r"(?m)^\s*;.*\n", "", world)
        domain = SimpleNamespace(model=shown, name=place)
        head = shown if len(shown) < 9000 else "\n".join(  # what is there, by name: the whole is too long
            x for x in shown.splitlines() if x.startswith("(define"))
        able = [s for s in ours if s == "grammar" or (Path(a.runs) / near).is_dir()]
        for system in (*([""] if a.model else []), *able):
            rows, begin = [], time.process_time()
            for i, (kind, says, means) in some(list(enumerate(pairs)), a.each):
                if system:
                    say = ours[system](DOMAINS[near], says)
                else:
                    examples = "\n\n".join(f";; {k}: {s}\n{m}" for j, (k, s, m) in enumerate(pairs) if j != i)
                    prompt = f"{head}\n{examples}\n\n;; {kind}: {says}\n"
                    say = functools.partial(answer, runtime.runtime_at(a.model), prompt)
                rows.append(tried(kept, f"{system} {place} {says}".strip(), say,
                                  lambda f, d=domain, m=means: alike(d, f, m),  # type: ignore[misc]
                                  1 if system == "grammar" else a.tries))
            told(f"{system} {place}".strip(), rows, time.process_time() - begin)
            every.setdefault(system, []).extend(rows)
    for system, rows in every.items():
        told(f"{system} all".strip(), rows, 0.0)


def dialogues(a: argparse.Namespace) -> None:
    """A dialogue of each domain to its golden posterior."""
    kept, inference = Kept(a.out), Inference(samples=400)
    for system, how in systems_of(a).items():
        reached = 0
        for name, lines in GOLDEN.items():
            def understood(sentence: str, n: str = name, s: str = system, h: Asked = how) -> list[str]:
                ways = range(1 if s == "grammar" else a.tries)
                found = [kept.ask(f"{s} {sentence} #{k}", lambda k=k: h(DOMAINS[n], sentence)(WARM if k else 0.0, k))
                         for k in ways]
                return [x for x in dict.fromkeys(found) if x]

            talk, well = Dialogue(DOMAINS[name], understood, inference), True
            for says, golden in lines:
                turn = talk.say(says)
                told = f"{says:34} {turn.means}"
                if golden is not None:
                    mean = (turn.posterior or {}).get("mean")
                    spread = (turn.posterior or {}).get("deviation") or (golden * (1 - golden)) ** 0.5
                    near = mean is not None and abs(mean - golden) <= 4.5 * max(spread, 0.01) / inference.samples**0.5
                    told, well = f"{told}  {mean if mean is None else round(mean, 3)} beside {golden}", well and near
                print(f"  {told}{'  ' + turn.error if turn.error else ''}", flush=True)
            reached += well
            print(f"{system}, {name}: {'ends in the golden posterior' if well else 'does not'}", flush=True)
        print(f"{system}: {reached} of {len(GOLDEN)}", flush=True)


def answer(model: runtime.Runtime, prompt: str, temperature: float, seed: int) -> str | None:
    text = model.complete(prompt, CLOSED, TOKENS, temperature, seed)
    try:
        forms = read(re.split(r"\n\s*;;", text)[0])
    except ChurchError:
        return None
    return write(forms[0]) if forms else None


def alike(domain: Any, found: str, means: str) -> bool:
    """Whether a meaning is the printed one, or denotes the same in the released world; a printed one that cannot be run
    (brackets that do not close, a shape that there is not) can only be repeated."""
    try:
        wanted = read(means)
    except ChurchError:
        return re.sub(r"\s+", "", found) == re.sub(r"\s+", "", means)
    defines, last = wanted[:-1], write(wanted[-1])
    try:
        if write(read(found)[0]) == last:
            return True
        held = SimpleNamespace(model=domain.model + "\n" + "\n".join(map(write, defines)))
        return same(held, found, last, Limits(), 40)  # type: ignore[arg-type]
    except (ChurchError, RecursionError):
        return False


def main() -> None:
    ask = argparse.ArgumentParser()
    ask.add_argument("way", choices=("fresh", "prompts", "dialogues"))
    for name in ("model", "runs", "folder", "out", "only"):
        ask.add_argument(f"--{name}", default="")
    for name, value in (("each", 0), ("tries", TRIES)):
        ask.add_argument(f"--{name}", type=int, default=value)
    ask.add_argument("--shown", choices=("evenly", "alike"), default="evenly")
    a = ask.parse_args()
    {"fresh": fresh, "prompts": prompts, "dialogues": dialogues}[a.way](a)


if __name__ == "__main__":
    main()
