"""Rational meaning construction: domains and their pairs, translators, dialogues, and the grammar that an outside
language model is held to, through every command."""
from __future__ import annotations

import io
import json
import math
import os
import re
import subprocess
import sys
from dataclasses import asdict
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

import stemma
from engine_help import Killed, told_in_one_line
from learning import Learned
from stemma.cli import main
from stemma.core import paper as cards
from stemma.core.part import In
from stemma.core.types import StemmaError
from stemma.data.language import meanings
from stemma.data.language.meanings import DOMAINS
from stemma.engine.language import dialogue, runtime
from stemma.engine.language import meanings as subject
from stemma.engine.language.dialogue import Dialogue, same
from stemma.engine.language.learning import Learner
from stemma.engine.running import checkpoint
from stemma.parts.language import translate
from stemma.parts.language.church.reader import ChurchError
from stemma.parts.language.church.run import Limits
from stemma.report.language import transcript
from stemma.skeletons.meaning import Inference

PAPER = "rational-meaning"
TINY = "tug-of-war:pairs=400,seed=0"
NARROW = {"net.width": 32, "net.layers": 1, "net.heads": 2, "recipe.batch": 32}
each = pytest.mark.parametrize("name", DOMAINS)


# ---------------------------------------------------------------- domains


@each
def test_every_sentence_of_a_grammar_is_read_as_what_it_means_and_can_be_run(name: str) -> None:
    domain = DOMAINS[name]
    every = meanings.pairs_of(domain)
    assert len({p.says for p in every}) == len(every), "a sentence means one thing"
    seen: set[int] = set()
    for i, p in enumerate(every):
        if i % 4 and p.template in seen:
            continue
        assert subject.exact(meanings.parsed(domain, p.says), p.means), p
        said, meant, names = meanings.numbered(domain, p.says, p.means)
        assert subject.exact(meanings.text_of(domain, [*meant, meanings.END], names), p.means)
        if p.template not in seen:
            seen.add(p.template)
            assert subject.fate(domain, p.means, p.means, Limits()) == "right", p
    assert len(seen) == len(domain.templates)


@each
def test_what_is_held_out_is_never_trained_on(name: str) -> None:
    m = meanings.open_meanings(f"{name}:pairs=3000", 1)
    train = {p.says for p in m.train}
    assert len(m.train) == 3000 and not train & {p.says for p in (*m.combinations, *m.templates)}
    assert m.templates and all(m.domain.templates[p.template].held for p in m.templates)
    assert meanings.open_meanings(m.name).train == m.train != meanings.open_meanings(f"{name}:pairs=3000", 2).train


def test_there_are_sixty_templates_and_several_are_held_out_whole() -> None:
    every = [t for d in DOMAINS.values() for t in d.templates]
    assert sum(not t.framed for t in every) >= 60 and sum(t.held for t in every) >= 8


@each
def test_every_word_of_a_form_that_is_held_out_is_trained_on(name: str) -> None:
    """What a translator cannot know by any means is not asked of it: the forms are new, their words are not."""
    domain = DOMAINS[name]
    heard = {w for t in domain.templates if not t.held for w in meanings.WORD.findall(t.says)}
    for t in domain.templates:
        assert not t.held or set(meanings.WORD.findall(t.says)) <= heard, t


def test_names_that_nobody_knows_are_copied() -> None:
    domain = DOMAINS["tug-of-war"]
    assert meanings.parsed(domain, "Zoe beat Ulla.") == "(condition (won-against '(zoe) '(ulla)))"
    said, _, names = meanings.numbered(domain, "zoe beat ulla .")
    assert names == ["zoe", "ulla"] and meanings.numbered(domain, "tom beat sue .")[0] == said
    assert meanings.parsed(domain, "colourless green ideas sleep furiously.") is None
    with pytest.raises(StemmaError, match="more than 6 words"):
        meanings.numbered(domain, "sturdy oxen pull heavy carts uphill daily")


@each
def test_words_of_the_languages_closed_classes_are_no_names(name: str) -> None:
    """Nobody is called "in" or "she": no grammar reads such a sentence, no translator copies the word, no language model
    may say it; it is told. Words of the domain are no names either."""
    domain = DOMAINS[name]
    for t in domain.templates:
        if not (set(t.blanks) & set("abcd") - set(domain.words)):
            continue
        for word in ("in", "she", "nobody", "seven", "they", next(w for w in domain.vocabulary[9:] if w.isalpha())):
            says = meanings.filled(domain, domain.templates.index(t))[0].says
            who = next(n for n in domain.people if n in says)
            says = re.sub(rf"\b{who}\b", word, says)
            found = meanings.parsed(domain, says)
            assert found is None or f"'{word}" not in found and f"({word}" not in found.replace("((", "("), says
            assert word not in meanings.numbered(domain, says)[2]
            assert f'"{word}"' not in runtime.grammar_of(domain, says).partition("person ::=")[2].partition("\n")[0]
    d = talk(name, "she told them about it.", samples=5)
    assert d.turns[0].names == ["told"] and {"she", "them"} <= set(d.turns[0].passed) and d.turns[0].error


def test_where_nobody_is_named_nothing_is_asked_of_anybody() -> None:
    said = runtime.grammar_of(DOMAINS["kinship"], "how many people are in the family?")
    assert "parents-of" not in said and said.startswith('root ::= "(query " (call-l-e-n-g-t-h) ")"')
    assert '"(open?"' in runtime.grammar_of(DOMAINS["planning"], "is the pizza place open?")
    assert "has-bike" not in runtime.grammar_of(DOMAINS["planning"], "is the pizza place open?")
    assert '"tom"' in runtime.grammar_of(DOMAINS["tug-of-war"], "how strong?"), "nothing can be said without a name"


def test_a_translator_says_no_name_that_the_sentence_lacks() -> None:
    domain, net = DOMAINS["kinship"], translate.Attention(In((12, 40), (1, 1), 60), width=16, heads=2).eval()
    said, _, names = meanings.numbered(domain, "how many people are in the family?")
    assert names == [] and not set(said) & set(translate.NAMES)
    assert meanings.SPECIAL[translate.NAMES.start :] == tuple(f"@{i}" for i in range(len(translate.NAMES)))
    with torch.no_grad():
        net.out.bias[translate.NAMES.start : translate.NAMES.stop] = 50.0
        for k, row in enumerate(net.say(torch.tensor([said + [0], [translate.NAMES[1], *said], said + [0]])).tolist()):
            assert set(row) & set(translate.NAMES) == ({translate.NAMES[1]} if k == 1 else set())
    assert meanings.text_of(domain, [translate.NAMES[0], meanings.END], []) is None
    assert meanings.text_of(domain, [translate.NAMES[0], meanings.END], ["ann"]) == "ann"


@pytest.mark.parametrize("data, why", [("tug-of-war:pairs=x", "takes pairs=N"), ("tug-of-war:colour=1", "takes pairs=N"),
                                       ("chess", "no domain is called"), ("kinship:pairs=0", "1 or more")])
def test_a_wrong_domain_gets_one_line(data: str, why: str) -> None:
    with pytest.raises(StemmaError, match=why):
        meanings.open_meanings(data)


# ---------------------------------------------------------------- denotation


@pytest.mark.parametrize("one, other, alike", [
    ("(condition (stronger-than? 'tom 'sue))", "(condition (> (strength 'tom) (strength 'sue)))", True),
    ("(condition (stronger-than? 'tom 'sue))", "(condition (stronger-than? 'sue 'tom))", False),
    ("(condition (stronger-than? 'tom 'sue))", "(query (stronger-than? 'tom 'sue))", False),
    ("(query (strength 'tom))", "(query (strength 'sue))", False),
    ("(query (strength 'tom))", "(query (+ (strength 'tom) 0))", True),
    ("(condition (won-against '(tom) '(sue)))", "(condition (> (team-pull '(tom)) (team-pull '(sue))))", True),
    ("(condition (won-against '(tom) '(sue)))", "(condition (won-against '(sue) '(tom)))", False),
    ("(condition (won-against '(tom) '(sue)))", "(condition (won-against '(tom) '(bob)))", False),
    ("(condition (won-against '(tom) '(sue)))", "(condition (nobody))", False), ("(condition #t)", "((", False),
])
def test_what_two_meanings_denote(one: str, other: str, alike: bool) -> None:
    assert same(DOMAINS["tug-of-war"], one, other, Limits()) == alike


# ---------------------------------------------------------------- dialogues


def talk(name: str, *lines: str, samples: int = 400, **more: Any) -> Dialogue:
    domain = DOMAINS[name]
    found = Dialogue(domain, lambda s: [m] if (m := meanings.parsed(domain, s)) else [], Inference(samples=samples, **more))
    for line in lines:
        found.say(line)
    return found


def test_a_dialogue_of_tug_of_war_ends_in_the_golden_posterior() -> None:
    d = talk("tug-of-war", "tom beat john.", "(condition (won-against '(john mary) '(tom sue)))", "how strong is mary?",
             "would mary win against tom?", samples=1500)
    strong, wins = d.turns[2].posterior, d.turns[3].posterior
    assert strong and wins and not any(t.error for t in d.turns)
    assert strong["mean"] == pytest.approx(59.35, abs=4.5 * 18.12 / math.sqrt(1500)) and strong["accepted"] == pytest.approx(0.166, abs=0.02)
    assert wins["mean"] == pytest.approx(0.580, abs=0.06) and sum(strong["bars"]) == pytest.approx(1)


def test_what_is_watched_is_of_the_name_that_was_said() -> None:
    d = Dialogue(DOMAINS["tug-of-war"], lambda s: [p] if (p := meanings.parsed(d.domain, s)) else [],
                 Inference(samples=50))
    assert d.say("José beat 张伟.").asks == "(strength 'josé)" and d.say("sue beat José.").asks == "(strength 'sue)"
    assert d.say("mighty means strong.").kind == "define" and d.say("bob is mighty.").asks == "(strength 'bob)"
    assert d.say("(condition (won-against '(ann) '(eve)))").asks == "(strength 'eve)"


def test_dialogues_of_the_other_domains() -> None:
    kin = talk("kinship", "avery is the father of blake.", "avery is the father of charlie.", "is blake a sibling of charlie?",
               samples=15)
    assert kin.turns[-1].posterior and kin.turns[-1].posterior["mean"] == pytest.approx(1)
    table = talk("scenes", "there are at least two blue cans.", "is there a mug?", samples=300)
    assert table.turns[-1].posterior and table.turns[-1].posterior["mean"] == pytest.approx(0.958, abs=0.05)
    line = talk("motion", "the red ball is pushed hard.", "the red one hits the other.", "are both balls?",
                "does the blue one move?", samples=40)
    assert not any(t.error for t in line.turns)
    assert [t.posterior and t.posterior["mean"] for t in line.turns[2:]] == pytest.approx([1, 1])
    lunch = talk("planning", "bob goes to the sushi place.", "does bob like sushi?", "is the sushi place open?", samples=20)
    assert [t.posterior and t.posterior["mean"] for t in lunch.turns[1:]] == pytest.approx([1, 1])


def test_which_of_two_is_answered_by_a_name() -> None:
    d = talk("tug-of-war", "josh beat lio.", "Who is stronger, Josh or Lio?", "how strong is sue?", samples=300)
    who = d.turns[1].posterior
    assert who and set(who["table"]) == {"josh", "lio"} and sum(who["table"].values()) == pytest.approx(1)
    assert who["table"]["josh"] > 0.6 and [t.names for t in d.turns] == [["lio"], ["lio"], []]
    assert dialogue.strangers(DOMAINS["tug-of-war"], "Who is braver, Josh or Lio?") == ["braver", "lio"]
    kin = talk("kinship", "avery is the father of blake.", "who is the parent of blake, dana or avery?", samples=10)
    assert kin.turns[-1].posterior and set(kin.turns[-1].posterior["table"]) <= {"avery", "dana"}
    lunch = talk("planning", "tom likes pizza.", "sue does not like pizza.", "who likes pizza, sue or tom?", samples=10)
    assert lunch.turns[-1].posterior and lunch.turns[-1].posterior["table"] == pytest.approx({"tom": 1.0})


def test_worlds_grow_by_what_is_defined_and_sentences_are_taken_back() -> None:
    d = talk("tug-of-war", "(define (mighty? who) (> (strength who) 80))", "(condition (mighty? 'eve))",
             "how strong is eve?", "undo", "how strong is eve?", samples=300)
    first, second = d.turns[2].posterior, d.turns[4].posterior
    assert first and second and first["low"] > 80 and second["mean"] == pytest.approx(50, abs=6)
    assert [t.kind for t in d.turns] == ["define", "condition", "query", "undo", "query"]
    assert d.turns[1].posterior and "strength" in d.turns[1].asks
    assert d.turns[3].means == "(condition (mighty? 'eve))"  # what is taken back
    d = talk("tug-of-war", "Zoë beat Jörg.", "how strong is zoë?", samples=50)
    assert d.turns[0].means == "(condition (won-against '(zoë) '(jörg)))" and d.turns[1].posterior
    assert d.turns[0].names == ["zoë", "jörg"]
    assert talk("tug-of-war", "undo").turns[0].error == "there is nothing to take back"


@pytest.mark.parametrize("name, lines, means", [
    ("kinship", ("an uncle is a brother of a parent.", "a granduncle is an uncle of a parent.", "is dana the granduncle of blake?"),
     "(query (granduncle 'dana 'blake))"),
    ("tug-of-war", ("mighty means very strong and hard-working.", "is it true that tom is mighty?"), "(query (mighty 'tom))"),
    ("scenes", ("a blicket is a red mug.", "how many blickets are there?"), "(query (count-of blicket))"),
    ("motion", ("middling means quite heavy and somewhat heavy.", "is the red one middling?"), "(query (middling 'red))"),
    ("planning", ("greens means sushi or vegetarian.", "does tom like greens?"), "(query (greens 'tom))"),
])
def test_a_sentence_brings_a_word_that_later_sentences_have(name: str, lines: tuple[str, ...], means: str) -> None:
    d = talk(name, *lines, "undo", samples=5)
    assert [t.kind for t in d.turns] == [*["define"] * (len(lines) - 1), "query", "undo"] and not any(t.names for t in d.turns)
    assert d.turns[-2].means == means and d.turns[-2].posterior and len(d.words) == len(lines) - 2
    for _ in d.forms[:]:
        d.say("undo")
    assert d.words == () and d.say(lines[-1]).means != means


def test_what_a_new_word_says_is_what_it_was_made_of() -> None:
    d = talk("tug-of-war", "mighty means very strong and hard-working.", "tom is mighty.", "how strong is tom?", samples=200)
    assert d.turns[-1].posterior and d.turns[-1].posterior["low"] > 75
    d = talk("planning", "greens means sushi or vegetarian.", "tom likes greens.", "does tom like sushi?", samples=500)
    assert d.turns[-1].posterior and d.turns[-1].posterior["mean"] == pytest.approx(2 / 3, abs=0.09)
    assert d.say("the greens place is open.").error == "greens cannot stand there"
    d = talk("kinship", "a list is a brother of a parent.", samples=5)
    assert "take another word" in d.turns[0].error and not d.forms


def test_meanings_that_were_given_are_told_with_their_shares() -> None:
    d = Dialogue(DOMAINS["tug-of-war"], lambda s: ["(condition (f 1))", "(query (strength 'tom))", "(condition (f 1))",
                                                   "(query (laziness 'tom))"], Inference(samples=20))
    found = d.say("how strong is tom?").meanings
    assert [(m["share"], bool(m["error"])) for m in found] == [(0.5, True), (0.25, False), (0.25, False)]


def test_a_scene_is_drawn_and_a_dialogue_is_a_page(tmp_path: Path) -> None:
    d = talk("scenes", "there is a red mug.", "(query (picture))", "(query (draw-table '((mug red) (bowl blue))))",
             "(query (draw-table '((cup red))))", samples=20)
    drawn, plain = d.turns[1].posterior, d.turns[2].posterior
    assert drawn and len(drawn["pictures"]) == 6 and all("<title>red mug</title>" in p for p in drawn["pictures"])
    assert plain and plain["pictures"][0].count("<g ") == 2 and 'viewBox="0 0 200 40"' in plain["pictures"][0]
    assert "mug|can|bowl" in d.turns[3].error
    said = {"domain": "scenes", "turns": [asdict(t) for t in d.turns]}
    page = transcript(said, tmp_path).read_text()
    assert "<title>red mug</title>" in page and "there is a red mug." in page and "left out:" in page and "<meter" in page


@pytest.mark.parametrize("name, one, other", [("scenes", "how many mugs are there?", "how many bowls are there?"),
                                              ("motion", "red and blue are balls.", "red and blue are blocks.")])
def test_words_with_an_ending_are_words(name: str, one: str, other: str) -> None:
    a, b = (meanings.numbered(DOMAINS[name], x) for x in (one, other))
    assert a[0] != b[0] and a[2] == b[2] == []  # no name, and not the same sentence


@pytest.mark.parametrize("line, why", [
    ("it rained all day.", "does not have this sentence"), ("(condition (nobody 'tom))", "nothing here is called 'nobody'"),
    ("(condition (> (strength 'tom) 900))", "held in none"), ("(strength 'tom)", "means one"), ("(condition (f", "not closed"),
    ("(define (loop x) (loop x))", ""), ("(query (import os))", "nothing here is called"),
    ("(query (map strength '(tom))) (query 1)", "means one"),
])
def test_what_cannot_be_understood_is_told_and_left_out(line: str, why: str) -> None:
    d = talk("tug-of-war", "tom beat john.", line, "how strong is tom?", tries=3000, samples=100)
    assert why in d.turns[1].error and len(d.forms) == (1 if why else 2)
    assert d.turns[2].posterior


def test_a_sentence_that_no_translator_takes_is_told_and_the_others_are_heard() -> None:
    domain = DOMAINS["tug-of-war"]

    def reads(sentence: str) -> list[str]:
        meanings.numbered(domain, sentence)
        return [str(meanings.parsed(domain, sentence))]

    d = Dialogue(domain, reads, Inference(samples=20))
    for line in ("al bo cy di ed flo gus.", "how strong is tom?"):
        d.say(line)
    assert "more than 6 words" in d.turns[0].error and d.turns[0].kind == "unknown"
    assert d.turns[1].posterior


def test_a_piece_that_never_ends_is_stopped() -> None:
    d = talk("tug-of-war", "(define (loop x) (loop x))", "(condition (loop 1))", steps=5_000)
    assert re.search("steps|deep", d.turns[1].error)


def test_of_several_meanings_the_first_that_can_be_run_is_taken() -> None:
    d = Dialogue(DOMAINS["tug-of-war"], lambda s: ["(condition (", "(condition (f 1))", "(query (strength 'tom))"], Inference(samples=50))
    turn = d.say("how strong?")
    assert turn.kind == "query" and turn.posterior and not turn.error


# ---------------------------------------------------------------- the grammar of a language model


def derive(grammar: str, rng: np.random.Generator) -> str:
    """A sentence of a GBNF grammar, by chance: an independent reading of its rules."""
    rules = dict(line.split(" ::= ", 1) for line in grammar.splitlines())

    def options(body: str) -> list[str]:
        depth, text, out, now = 0, False, [], ""
        for c in body:
            text ^= c == '"'
            depth += (c == "(") * (not text) - (c == ")") * (not text)
            if c == "|" and not depth and not text:
                out.append(now)
                now = ""
            else:
                now += c
        return [*out, now]

    def expand(body: str) -> str:
        out, rest = "", options(body)[rng.integers(len(options(body)))].strip()
        while rest:
            m = re.match(r'"([^"]*)"|([a-z0-9-]+)|\[0-9\]', rest)
            if m is None:
                depth = np.cumsum([(c == "(") - (c == ")") for c in rest])
                end = int((depth == 0).argmax())
                part, rest = rest[1:end], rest[end + 1 :]
                made = [expand(part) for _ in range(1 if rest[:1] not in ("*", "?") else rng.integers(2))]
            else:
                rest = rest[m.end() :]
                n = rng.integers(2) if rest[:1] in ("*", "?") else 1
                made = [str(rng.integers(10)) if m[0] == "[0-9]" else m[1] if m[1] is not None else expand(rules[m[2]])] * int(n)
            out += "".join(made)
            rest = rest.lstrip("*?").strip()
        return out

    return expand(rules["root"])


@each
def test_all_that_the_grammar_allows_can_be_read_and_is_of_the_asked_kind(name: str) -> None:
    domain, rng = DOMAINS[name], np.random.default_rng(0)
    for p in meanings.pairs_of(domain)[::83]:
        grammar = runtime.grammar_of(domain, p.says)
        for _ in range(6):
            said = derive(grammar, rng)
            form = dialogue.checked(said)
            assert form[0] == ("query" if p.says.endswith("?") else "condition"), said
            assert p.means.startswith(f"({form[0]}")
            try:
                dialogue.tried(domain, [], form, Limits())
            except ChurchError as error:  # types of arguments beyond a number, a name, a team are not looked at
                assert "nothing here is called" not in str(error) and "argument(s)" not in str(error), said


class Stub:
    """No language model: it answers what it was told to, and keeps what it was asked. What a real one answers is
    another question (the test below, with STEMMA_GGUF=FILE)."""

    def __init__(self, answer: str) -> None:
        self.answer, self.asked = answer, list[tuple[str, str]]()

    def complete(self, prompt: str, grammar: str, tokens: int, temperature: float, seed: int) -> str:
        self.asked.append((prompt, grammar))
        return self.answer


def test_the_adapter_asks_with_the_world_and_examples_and_takes_one_expression() -> None:
    net = stemma.build(PAPER, "paper", classes=60).net
    domain = DOMAINS["tug-of-war"]
    stub = Stub(" (query (strength 'zoe))\n\n;; next: (condition #t)")
    assert runtime.ask(net, domain, "How strong is Zoe?", runtime=stub) == "(query (strength 'zoe))"
    (prompt, grammar), = stub.asked
    assert domain.model in prompt and prompt.endswith(";; How strong is Zoe?\n") and prompt.count(";;") == 13
    held = [t.says for t in domain.templates if t.held]
    assert not any(p.says in prompt for p in meanings.pairs_of(domain) if domain.templates[p.template].says in held)
    assert 'person ::= "zoe"' in grammar and 'root ::= "(query "' in grammar
    for answer in ("(query (strength", "", "import os", ")"):
        assert runtime.ask(net, domain, "How strong is Zoe?", runtime=Stub(answer)) is None


@each
def test_examples_may_be_those_like_the_sentence(name: str) -> None:
    """Of every plain form itself the likest is of that form, with its own words; held-out forms and frames are never
    shown; how many there are is what is asked for."""
    domain, unlike = DOMAINS[name], 0
    plain = [i for i, t in enumerate(domain.templates) if not (t.held or t.framed)]
    shown = lambda says, n: re.findall(r";; (.*)\n(.*)", runtime.prompt_of(  # noqa: E731
        domain, says, n, "alike").removeprefix(domain.model))
    allowed = {(p.says, p.means) for i in plain for p in meanings.filled(domain, i)}
    for i in plain:
        *before, (likest, means), (asked, _) = shown(says := meanings.filled(domain, i)[-1].says, 5)
        assert asked == says and len(before) == 4 and {*before, (likest, means)} <= allowed
        unlike += set(likest.split()) != set(says.split())
    assert unlike <= 1, "but for a form that says the same in another order"
    assert len(shown("nothing of this is known.", 99)) == len(plain) + 1
    m = stemma.build(PAPER, "paper", classes=60, sets={"net.shown": "alike"})
    assert m.net.shown == "alike" and stemma.build(PAPER, "paper", classes=60).net.shown == "evenly"
    with pytest.raises((StemmaError, ValueError), match="evenly"):
        stemma.build(PAPER, "paper", classes=60, sets={"net.shown": "often"})


def test_the_examples_shown_are_the_same_in_every_process() -> None:
    """Whatever order a process keeps words in."""
    ask = ("from stemma.data.language.meanings import DOMAINS; from stemma.engine.language.runtime import prompt_of\n"
           "for d in DOMAINS.values():\n for t in d.templates[:12]: print(prompt_of(d, t.says, 12, 'alike'))")
    one, other = (subprocess.run([sys.executable, "-c", ask], env=os.environ | {"PYTHONHASHSEED": seed}, check=True,
                                 capture_output=True).stdout for seed in ("1", "2"))
    assert one == other and one.count(b";; ") > 500


def test_a_language_model_is_asked_at_its_server(monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[dict[str, Any]] = []

    class Answers(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            heard.append(json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or "{}"))
            said = {"content": "(query (strength 'tom))\n"} if self.path in ("/completion", "/there") else {}
            self.send_response(302 if self.path == "/moved/completion" else 200)
            self.send_header("Location", "/there")
            self.end_headers()
            self.wfile.write(json.dumps(said).encode())

        do_GET = do_POST

        def log_message(self, *words: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Answers)
    Thread(target=server.serve_forever, daemon=True).start()
    path = f"http://127.0.0.1:{server.server_port}"
    net = SimpleNamespace(path=path, examples=3, tokens=40, temperature=0.0, shown="evenly")
    assert runtime.ask(net, DOMAINS["tug-of-war"], "how strong is tom?", 0.7, 5) == "(query (strength 'tom))"
    assert heard[0]["seed"] == 5 and heard[0]["temperature"] == 0.7 and "root ::=" in heard[0]["grammar"]
    assert heard[0]["prompt"].endswith(";; how strong is tom?\n")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")  # nobody is there
    monkeypatch.delenv("no_proxy", raising=False)
    assert runtime.Served(path).complete("", "", 1, 0.0, 0)
    for other in ("/elsewhere", "/moved"):
        with pytest.raises(StemmaError, match="did not answer"):
            runtime.Served(path + other).complete("", "", 1, 0.0, 0)
    server.shutdown()
    server.server_close()
    with pytest.raises(StemmaError, match="did not answer.*start llama-server") as said:
        runtime.Served(path).complete("", "", 1, 0.0, 0)
    assert "\n" not in str(said.value)
    for other in ("http://example.org:80", "https://127.0.0.1.example.org", "http://"):
        with pytest.raises(StemmaError, match="on this machine alone"):
            runtime.look_at(other)


def test_a_language_model_that_is_not_there_gets_one_line(tmp_path: Path) -> None:
    file = tmp_path / "model.gguf"
    file.write_bytes(b"not a model")
    runtime.runtime_at.cache_clear()
    with pytest.raises(StemmaError, match="no language model is named"):
        runtime.runtime_at("")
    for path, why in ((tmp_path / "none.gguf", "no language model at|needs the package"), (file, "is no GGUF|needs the package")):
        with pytest.raises(StemmaError, match=why):
            runtime.runtime_at(str(path))
    file.write_bytes(b"GGUF")
    with pytest.raises(StemmaError, match="may be cut short|needs the package") as said:
        runtime.runtime_at(str(file))
    assert "\n" not in str(said.value)


GGUF = os.environ.get("STEMMA_GGUF", "")


def test_vague_words_are_asked_in_two_worlds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that minds the world bounds at 60 and at 6, and what it says moves strength; nothing else is a bound."""
    from stemma.studies import contexts

    seen = list[str]()

    class Minds:
        def complete(self, prompt: str, grammar: str, tokens: int, temperature: float, seed: int) -> str:
            seen.append(prompt)
            few, weak = "(gaussian 5 2)" in prompt, prompt.rstrip().endswith("weak.")
            assert few or "(gaussian 50 20)" in prompt
            assert not re.search(r";; .*(strong|weak)\.\n[(]", prompt), "no example has the words"
            at = (35 if weak else 60 + seed) * (0.1 if few else 1)
            return f"(condition ({'<' if weak else '>'} (strength 'tom) {at:g}))"

    monkeypatch.setattr(runtime, "look_at", lambda path: None)
    monkeypatch.setattr(runtime, "runtime_at", lambda path: Minds())
    record = contexts.study(tmp_path, "any.gguf", 2, ("strong", "weak"))
    assert len(seen) == 2 * 2 * 3 and record["changed"] == 1.0 and record["right_way"] == 1.0
    strong, same_strong, weak, _ = record["rows"]
    assert (strong["bounds"], strong["right_side"]) == (3, 3) and strong["at"] == pytest.approx(61) == same_strong["at"]
    z = math.exp(-0.125) / math.sqrt(2 * math.pi) / 0.3085375  # mean of a normal number above half a deviation
    assert strong["moved"] == pytest.approx(z, abs=0.1) and weak["moved"] < -0.8
    assert len(contexts.table(record)) == 5 and (tmp_path / "contexts.json").is_file()
    for means in (None, "(query (strength 'tom))", "(condition (> (strength 'john) 3))", "(condition (> 3 (strength 'tom)))"):
        assert contexts.bound(means) is None
    assert contexts.moved(contexts.world(1.0), "(condition (> (size 'tom) 3))") is None
    names = runtime.grammar_of(contexts.world(1.0), "tom is very strong.")
    assert 'person ::= "tom"\n' in names, "its words are no names"


@pytest.mark.given("STEMMA_GGUF")
def test_a_real_language_model_answers_within_the_grammar() -> None:
    """With STEMMA_GGUF=FILE a real model is asked; without one the grammar alone is held, by the tests above."""
    net = stemma.build(PAPER, "paper", classes=60, sets={"net.path": GGUF}).net
    for name, says in (("tug-of-war", "tom beat john."), ("scenes", "is there a red mug?")):
        said = runtime.ask(net, DOMAINS[name], says)
        assert said and dialogue.checked(said)[0] == ("query" if says.endswith("?") else "condition")


# ---------------------------------------------------------------- through the commands


@pytest.mark.parametrize("fact", cards.get(PAPER).facts, ids=lambda f: f.variant or "paper")
def test_parameters(fact: Any) -> None:
    with torch.device("meta"):
        m = stemma.build(PAPER, fact.variant or "paper", classes=fact.classes)
    assert sum(p.numel() for p in m.parameters()) == fact.value


def short(out: Path, preset: str = "small", budget: str = "6steps", data: str = TINY, sets: Any = None, **more: Any) -> Any:
    sets = (NARROW if preset == "small" else {"recipe.batch": 90}) | (sets or {})
    return stemma.train(PAPER, data, budget, preset, out, sets=sets, device="cpu", progress=False, **({"val_every": 0.5} | more))


@pytest.mark.parametrize("preset", cards.get(PAPER).presets)
def test_every_preset_trains_saves_loads_and_is_measured(tmp_path: Path, preset: str, monkeypatch: pytest.MonkeyPatch) -> None:
    stub, sets = Stub("(query (strength 'tom))"), {}
    if preset == "paper":
        with pytest.raises(StemmaError, match="no language model is named"):
            short(tmp_path / "none", preset, "1epochs")
        assert not (tmp_path / "none").exists()
        (tmp_path / "model.gguf").write_bytes(b"GGUF")
        sets = {"net.path": str(tmp_path / "model.gguf")}
        monkeypatch.setattr(runtime, "look_at", lambda path: None)
        monkeypatch.setattr(runtime, "runtime_at", lambda path: stub)
    run = short(tmp_path / "run", preset, "1epochs" if preset != "small" else "6steps", sets=sets)
    assert run.state == "finished" and run.record["best"]["metric"] == "exact"
    said = stemma.evaluate(run, limit=2)
    assert set(said["kinds"]) == {"combinations", "templates", "seen"} and all(k["asked"] == 2 for k in said["kinds"].values())
    for k in said["kinds"].values():
        assert 0 <= k["exact"] <= k["denotation"] <= k["once"] <= 1 and k["exact"] <= k["executable"] <= 1
        assert k["denotation"] + sum(k["fates"].values()) == pytest.approx(1)
    if preset == "grammar":
        assert said["kinds"]["templates"]["exact"] == 1 == said["exact"]
    if preset == "nearest":
        assert said["kinds"]["seen"]["exact"] == 1
        asked = (corpus := subject.open_(TINY)).data.templates[:33]
        found = subject.translate(run.load(), corpus.domain, [p.says for p in asked])
        assert np.mean([subject.exact(f, p.means) for f, p in zip(found, asked)]) < 0.7
    if preset == "paper":
        assert said["executable"] == 1 and stub.asked
    found = stemma.predict(run, ["how strong is tom?"], tmp_path / "out")
    assert len(found["turns"]) == 1 and (tmp_path / "out" / "predictions.json").is_file()


@pytest.mark.parametrize("found, became", [
    (None, "silent"), ("(query (strength 'tom)", "unread"), ("(strength 'tom)", "unread"), ("tom is strong", "unread"),
    ("(query (size 'tom))", "stopped"), ("(query (strength 'tom 'john))", "stopped"), ("(query (+ 1 (quote tom)))", "stopped"),
    ("(condition (> (strength 'tom) 50))", "kind"), ("(query (strength 'john))", "other"),
    ("(query (strength 'tom))", "right"), ("(query (+ 0 (strength 'tom)))", "right"),
])
def test_what_becomes_of_a_meaning(found: str | None, became: str) -> None:
    """What cannot be read, cannot be run, asks where it is to tell, or denotes another thing is told apart."""
    assert subject.fate(DOMAINS["tug-of-war"], found, "(query (strength 'tom))", Limits()) == became


def test_of_first_answers_it_is_told_what_became_and_five_are_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    corpus, warm = subject.open_(TINY), list[float]()
    answers = ["(query", "(query (size 'tom))", "(define (x) 1)", None]

    def translate(m: Any, domain: Any, sentences: list[str], temperature: float = 0.0, seed: int = 0) -> list[str | None]:
        warm.append(temperature)
        return [answers[i % 4] for i in range(len(sentences))]

    monkeypatch.setattr(subject, "translate", translate)
    spec = SimpleNamespace(inference=Inference())
    said = subject.measure(SimpleNamespace(spec=spec, net=SimpleNamespace(way="small")), corpus, limit=4)  # type: ignore[arg-type]
    assert warm == [0.0, *[subject.WARM] * 4] * 3
    for k in said["kinds"].values():
        assert k["fates"] == {"silent": 0.25, "unread": 0.25, "kind": 0.25, "stopped": 0.25, "other": 0.0}
        assert k["executable"] == 0.25 and k["denotation"] == k["once"] == 0.0
        assert [w["fate"] for w in k["wrong"]] == ["cannot be read", "cannot be run", "another kind", "nothing said"]


@pytest.mark.parametrize("preset", ["small", "nearest"])
def test_killed_anywhere_it_ends_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, preset: str) -> None:
    settings: dict[str, Any] = {"save_every": "0.000001s", "budget": "4steps" if preset == "small" else "1epochs"}
    alone = short(tmp_path / "alone", preset, **settings)
    step = Learner._step
    for k in range(2):
        def one(self: Learner, k: int = k) -> None:
            if self.steps > k:
                raise Killed
            step(self)

        monkeypatch.setattr(Learner, "_step", one)
        with pytest.raises(Killed):
            short(tmp_path / "pieces", preset, resume=True, **settings)
    monkeypatch.undo()
    pieces = short(tmp_path / "pieces", preset, resume=True, **settings)
    for name in ("best", "last"):
        assert (alone.path / f"{name}.safetensors").read_bytes() == (pieces.path / f"{name}.safetensors").read_bytes()


def test_no_mark_is_said_where_a_word_is_due() -> None:
    """Also by a net that has learned nothing: what pads and what begins are no tokens of a meaning."""
    net = translate.Attention(In((9, 12), (1, 1), 40), width=16, heads=2).eval()
    with torch.no_grad():
        net.out.bias[:2] = 50.0
        for temperature in (0.0, 1.0):
            for row in net.say(torch.full((4, 5), 7), temperature).tolist():
                said = row[: row.index(2)] if 2 in row else row
                assert all(token > 2 for token in said)


def test_the_nearest_sentence_is_no_translator(tmp_path: Path) -> None:
    """Held-out fillings that are new to whoever copies names, which most are not: the nearest sentence that was seen
    has hardly any right. Those that differ from what was seen by their names alone it mostly has."""
    right: dict[bool, list[bool]] = {True: [], False: []}
    for name in DOMAINS:
        run = stemma.train(PAPER, name, "1epochs", "nearest", tmp_path / name, device="cpu", progress=False, val_every=0)
        corpus = subject.open_(name)
        heard = {tuple(meanings.numbered(corpus.domain, p.says)[0]) for p in corpus.data.train}
        told = [tuple(meanings.numbered(corpus.domain, p.says)[0]) in heard for p in corpus.data.combinations]
        asked = [p for p, old in zip(corpus.data.combinations, told) if not old]
        asked += [p for p, old in zip(corpus.data.combinations, told) if old][:20]
        found = subject.translate(run.load(), corpus.domain, [p.says for p in asked])
        for k, (f, p) in enumerate(zip(found, asked)):
            right[k < told.count(False)].append(subject.exact(f, p.means))
    assert len(right[True]) >= 40 and np.mean(right[True]) < 0.3
    assert len(right[False]) >= 60 and np.mean(right[False]) > 0.6


def test_small_learns_to_translate(tmp_path: Path, learned: Learned) -> None:
    run = stemma.train(PAPER, "tug-of-war", "120steps", "small", tmp_path / "run", device="cpu", progress=False, val_every=0,
                       sets={"net.width": 64, "net.layers": 1, "recipe.lr": 0.003, "net.dropout": 0.0})
    corpus = subject.open_("tug-of-war")
    torch.manual_seed(0)
    bare = stemma.build(PAPER, "small", info=corpus.info, sets=run.record["sets"]).eval()
    learned("share of held-out fillings that are exact", corpus.check(run.load())["exact"],
            untrained=corpus.check(bare)["exact"], at_least=0.4)
    asked = corpus.data.templates[:110]
    share = lambda m: np.mean([subject.exact(f, p.means) for f, p in zip(  # noqa: E731
        subject.translate(m, corpus.domain, [p.says for p in asked]), asked)])
    learned("share of sentences of new forms that are exact", share(run.load()), untrained=share(bare), at_least=0.4)
    two = [p for p in corpus.data.combinations if p.says.startswith("who ")][:30]
    two = [meanings.Pair(*(re.sub(rf"\\b{p.says[:-1].split()[-1]}\\b", "lio", t) for t in (p.says, p.means)), 0) for p in two]
    asked = [*two, meanings.Pair("Who is stronger, Josh or Lio?", "(query (stronger-of 'josh 'lio))", 0)]
    learned("share of questions which of two that are exact", share(run.load()), untrained=share(bare), at_least=0.4)


@pytest.mark.slow
@pytest.mark.parametrize("name, steps", [("tug-of-war", 600), ("scenes", 160), ("kinship", 600)])
def test_small_is_exact_of_what_it_was_trained_on_and_of_fillings_held_out(tmp_path: Path, learned: Learned, name: str,
                                                                           steps: int) -> None:
    """95 % of what was trained on and 85 % of the fillings that were not: errors of at most .05 and .15."""
    run = stemma.train(PAPER, name, f"{steps}steps", "small", tmp_path / "run", device="cpu", progress=False, val_every=0,
                       sets={"net.width": 64, "net.layers": 1, "recipe.lr": 0.003, "net.dropout": 0.0})
    corpus = subject.open_(name)
    torch.manual_seed(0)
    bare = stemma.build(PAPER, "small", info=corpus.info, sets=run.record["sets"]).eval()
    for kind, pairs, most in (("trained on", corpus.data.train, 0.05), ("held-out fillings", corpus.data.combinations, 0.15)):
        asked = pairs[:256]
        errors = [1 - np.mean([subject.exact(f, p.means) for f, p in zip(
            subject.translate(m, corpus.domain, [p.says for p in asked]), asked)]) for m in (run.load(), bare)]
        learned(f"errors of {kind}, {name}", errors[0], untrained=errors[1], at_most=most)


def test_a_trained_translator_holds_a_dialogue_from_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str],
                                                           monkeypatch: pytest.MonkeyPatch) -> None:
    def run(*words: str) -> str:
        with pytest.raises(SystemExit) as stop:
            main(list(words))
        said = capsys.readouterr()
        assert not stop.value.code, said.err
        return said.out

    where, file = str(tmp_path / "run"), tmp_path / "talk.txt"
    file.write_text("# a match\ntom beat john.\nhow strong is tom?\nnobody knows why.\n")
    run("train", PAPER, "--data", TINY, "-p", "grammar", "--out", where)
    assert "denotes the right" in run("evaluate", where, "--limit", "4")
    out = run("predict", where, str(file), "--out", str(tmp_path / "said"))
    assert "(query (strength 'tom))" in out and "█" in out and "left out:" in out
    assert "tom beat john." in (tmp_path / "said" / "dialogue.html").read_text()
    said = json.loads(run("predict", where, str(file), "--json"))
    assert [t["kind"] for t in said["turns"]] == ["condition", "query", "unknown"] and said["failed"] == 1
    monkeypatch.setattr("sys.stdin", io.StringIO("how lazy is eve?\n"))
    assert json.loads(run("predict", where, "-", "--json"))["turns"][0]["asks"] == "(laziness 'eve)"
    with pytest.raises(SystemExit) as stop:
        main(["predict", where])
    assert stop.value.code == 2 and "a dialogue needs sentences" in capsys.readouterr().err

    class Typing(io.StringIO):
        """Somebody at a terminal, who reads each answer before the next sentence."""

        def isatty(self) -> bool:
            return True

        def readline(self, size: int = -1, /) -> str:
            answers.append(capsys.readouterr())
            return super().readline(size)

    answers: list[Any] = []
    monkeypatch.setattr("sys.stdin", Typing("tom beat john.\nhow strong is tom?\n"))
    end = run("predict", where, "-", "--out", str(tmp_path / "typed"))
    assert [a.err for a in answers] == ["> "] * 3 and "dialogue.html" in end and "strength" not in end
    assert [("won-against" in a.out, "(query (strength 'tom))" in a.out) for a in answers] == [
        (False, False), (True, False), (False, True)]


@pytest.mark.parametrize("words, why", [
    (("train", PAPER, "--data", "facts:alpha=1"), "learns from sentences of a domain"),
    (("train", "calibrated-hallucination", "--data", "kinship"), "learns from worlds of facts"),
    (("train", PAPER, "--data", "nowhere"), "nothing that language is learned from"),
])
def test_a_mistake_gets_one_line(words: tuple[str, ...], why: str, capsys: pytest.CaptureFixture[str], tmp_path: Path,
                                 monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    told_in_one_line(words, why, capsys)


@pytest.mark.whole
def test_compare_translators_over_domains_and_write_one_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from stemma.cli.language import compared
    from stemma.engine.comparing import trial
    from stemma.engine.comparing.job import Job
    from stemma.engine.language import wing
    from stemma.report.language import write

    data, jobs = f"{TINY.partition(',')[0]}+scenes:pairs=200", []
    for preset in ("grammar", "nearest"):
        ident = f"{PAPER}@{preset}-s0"
        jobs.append(Job(ident, PAPER, preset, 0, data, "1epochs", str(tmp_path / ident), device="cpu", limit=5))
        trial.run(jobs[-1])
    about = {"subject": "meanings", "data": data, "budget": "1epochs", "seeds": 1, "preset": "small", "command": "stemma",
             "machine": {"jobs": 1, "threads": 1, "device": "cpu"}, "created": "", "clock": "processor"}
    results = json.loads(json.dumps(checkpoint.jsonable(wing.collect(tmp_path, jobs, {}, about))))
    assert [w["short"] for w in results["systems"][0]["runs"][0]["worlds"]] == ["tug-of-war", "scenes"]
    page = write(results, tmp_path).read_text()
    assert "grammar gives 100 %" in page and "What was misunderstood" in page
    compared(results)
    assert "nearest" in capsys.readouterr().out


def test_whole_numbers_are_told_one_by_one_from_the_least() -> None:
    """Up to 24 of them; more, and other numbers, as bars."""
    d = Dialogue(DOMAINS["tug-of-war"], lambda s: [], Inference(samples=400))
    few, many = (d.say(f"(query (random-integer {n}))").posterior for n in (20, 200))
    assert few is not None and list(few["table"]) == [str(i) for i in range(20)] and "bars" not in few
    assert sum(few["table"].values()) == pytest.approx(1)
    assert many is not None and len(many["bars"]) == 12 and "table" not in many


def test_answers_beyond_all_numbers_are_a_table() -> None:
    d = Dialogue(DOMAINS["tug-of-war"], lambda s: [], Inference(samples=60))
    for said in ("(query (if (flip) (gaussian 0 1) (* 1e308 10)))", "(query (gaussian 0 1e308))"):
        found = d.say(said).posterior
        assert found is not None and "bars" not in found and found["table"]


def test_pieces_with_too_little_or_too_much_are_told_and_the_dialogue_goes_on() -> None:
    d = Dialogue(DOMAINS["tug-of-war"], lambda s: [], Inference(samples=20))
    for said, why in (("(condition)", r"(condition ...) takes one expression, not 0"), ("(query)", "one expression, not 0"),
                      ("(query 1 2)", "one expression, not 2"), ("(define)", "takes a name and what it is"),
                      ("(define f)", "takes a name")):
        assert why in d.say(said).error
    assert not d.say("(query (strength 'tom))").error and len(d.turns) == 6


def test_sentences_come_from_files_of_every_kind(tmp_path: Path) -> None:
    from stemma.core.types import DataError
    from stemma.engine.language.lines import lines_in

    (tmp_path / "a.txt").write_bytes("\ufeff# a comment\r\nTom beat John.\r\n\r\n".encode())
    assert list(lines_in([str(tmp_path / "a.txt"), "Is Tom strong?"])) == ["# a comment", "Tom beat John.", "Is Tom strong?"]
    long = "tom beat john and " * 40
    assert list(lines_in([long, "hi."])) == [long.strip(), "hi."], "no name of a file is so long"
    (tmp_path / "l1.txt").write_bytes("Zo\xeb".encode("latin-1"))
    for what, why in ((tmp_path / "l1.txt", "is no UTF-8 text"), ("nofile.txt", "nofile.txt: there is no such file"),
                      (tmp_path, "is a folder")):
        with pytest.raises(DataError, match=why):
            lines_in([str(what)])
