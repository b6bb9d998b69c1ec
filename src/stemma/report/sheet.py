"""What all pages share: sections, notes, folds, definitions, and what a page may load (nothing)."""
from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from importlib.resources import files
from typing import Any

from ..core.sentence import many
from . import clocks
from .tags import items, table, tag, text

PALETTE = 10  # systems with a colour of their own; more wrap round
POLICY = (  # nothing is fetched
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'; base-uri 'none'; "
    "form-action 'none'"
)
System = dict[str, Any]
Section = tuple[str, str, str, str]  # the name in its address, a short title, the title, what it holds


def section(ident: str, title: str, inside: str) -> str:
    return tag("section", tag("h2", title, id=f"h-{ident}"), inside, id=ident, aria_labelledby=f"h-{ident}")


def asset(name: str) -> str:
    return files("stemma.report").joinpath(name).read_text(encoding="utf-8")


def coded(said: str) -> str:
    """A sentence made safe; what stands between backticks is code."""
    return re.sub("`([^`]+)`", r"<code>\1</code>", text(said))


def remark(said: str) -> str:
    """A paragraph beside the numbers."""
    return tag("p", coded(said), cls="note")


def beside(results: dict[str, Any], *more: str) -> str:
    """What is to be known beside the numbers: `more`, and of the clocks, of wall time, of warnings.
    Empty where there is nothing."""
    lines = list(more) + clocks.lines(results) + clocks.noted(results)
    return (tag("div", tag("h2", "Beside the numbers"), items(map(coded, lines)), cls="answer", role="note") if lines
            else "")


def answered(results: dict[str, Any], heading: str, answer: tuple[str, list[str]]) -> str:
    """What a page says first: the answer (a sentence and more of them), what did not finish,
    and what is beside the numbers."""
    head, more = answer
    out = tag("div", tag("h2", text(heading)), tag("p", text(head), cls="head"),
              items(map(coded, more)) if more else "", cls="answer")
    failed = [coded(f"{x['title']}, seed {x['seed']}: {x['error']}") for x in results.get("failed", [])]
    out += tag("div", tag("h2", "Not finished"), items(failed), cls="answer warn", role="note") if failed else ""
    return out + beside(results)


def page(results: dict[str, Any], title: str, about: str, answers: str, sections: list[Section]) -> str:
    """A page of a comparison as text: its title, a line about it, the answers, the sections that hold something, and
    what wrote it."""
    sections = [s for s in sections if s[3]]
    head = tag("head", tag("meta", charset="utf-8"), tag("meta", http_equiv="Content-Security-Policy", content=POLICY),
               tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
               tag("link", rel="icon", href="data:,"), tag("title", text(title)), tag("style", asset("page.css")))
    body = tag(
        "body",
        tag("header", tag("h1", text(title)), tag("p", text(about), cls="meta")),
        tag("nav", items(tag("a", short, href=f"#{i}") for i, short, _, _ in sections), aria_label="Sections"),
        tag("main", answers, *(section(i, t, html) for i, _, t, html in sections)),
        tag("footer", text(f"Written by stemma {results.get('stemma', '')}, {results.get('created', '')}.")),
        tag("script", asset("page.js")),
    )
    return "<!doctype html>" + tag("html", head, body, lang="en") + "\n"


def leaf(title: str, *inside: str, heading: str = "") -> str:
    """A page of a study as text: its heading (the title, unless told) and what it holds."""
    head = tag("head", tag("meta", charset="utf-8"), tag("meta", http_equiv="Content-Security-Policy", content=POLICY),
               tag("title", title), tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
               tag("style", asset("page.css")))
    body = tag("body", tag("header", tag("h1", heading or title)), tag("main", *inside))
    return "<!doctype html>" + tag("html", head, body, lang="en") + "\n"


def grid(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table of plain cells, which it makes safe: columns of numbers to the right, of words to the left."""
    lines = [[str(c) for c in row] for row in rows]
    number = re.compile("[-+±]?[0-9.]|[-–]?$")  # or nothing
    words = ["left" * any(not number.match(row[k]) for row in lines) for k in range(len(heads))]
    return table("".join(tag("th", text(h), cls=f"plain {w}".strip()) for h, w in zip(heads, words)),
                 [tag("tr", *(tag("td", text(c), cls=w) for c, w in zip(row, words))) for row in lines])


def made_on(results: dict[str, Any]) -> dict[str, str]:
    """How many trained side by side, the machine and the software of a comparison, as `definitions` takes them."""
    m = results.get("machine", {})
    beside = f"{many(m['jobs'], 'training')} at a time, {many(m['threads'], 'thread')} each" if "jobs" in m else ""
    named = (m.get("cpu"), m.get("cores") and f"{m['cores']} cores", m.get("device"))
    return {"side by side": text(beside), "machine": text(", ".join(str(x) for x in named if x)),
            "software": text(", ".join(f"{k} {v}" for k, v in results.get("versions", {}).items()))}


def runs_of(results: dict[str, Any], columns: dict[str, str]) -> str:
    """Every run: `columns` (key of a run -> heading), and how long it took by either clock."""
    worked = results.get("clock") == "processor"
    heads = {**columns, "seconds": "s of work" if worked else "seconds"}
    heads |= {"wall": "s by the clock", "share": "share of its threads"} if worked else {}
    rows = []
    for s in results["systems"]:
        for x in s["runs"]:
            share = x.get("share")
            said = {k: "–" if v is None else f"{v:,.0f}" if isinstance(v, (int, float)) else v
                    for k, v in ((k, x.get(k)) for k in heads)} | {"share": "–" if share is None else f"{share:.2f}"}
            rows.append(tag("tr", tag("th", text(s["title"]), scope="row"), *(tag("td", text(said[k])) for k in heads)))
    return table("".join(tag("th", h, cls="plain", scope="col") for h in ("system", *heads.values())), rows)


def definitions(pairs: dict[str, str]) -> str:
    return tag("dl", *(tag("dt", text(k)) + tag("dd", v) for k, v in pairs.items() if v))


def fold(title: str, inside: str) -> str:
    return tag("details", tag("summary", text(title)), inside)


__all__ = ["PALETTE", "POLICY", "Section", "System", "answered", "asset", "beside", "coded", "definitions", "fold",
           "grid", "leaf", "made_on", "page", "remark", "runs_of", "section"]
