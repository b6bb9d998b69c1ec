"""What all pages share: sections, notes, folds, definitions, and what a page may load (nothing)."""
from __future__ import annotations

from importlib.resources import files
from typing import Any

from . import clocks
from .tags import items, table, tag, text

PALETTE = 10  # systems with a colour of their own; more wrap round
POLICY = (  # nothing is fetched
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'; base-uri 'none'; "
    "form-action 'none'"
)
System = dict[str, Any]


def section(ident: str, title: str, inside: str) -> str:
    return tag("section", tag("h2", title, id=f"h-{ident}"), inside, id=ident, aria_labelledby=f"h-{ident}")


def asset(name: str) -> str:
    return files("stemma.report").joinpath(name).read_text(encoding="utf-8")


def remark(words_: str) -> str:
    return tag("p", text(words_), cls="note")


def beside(results: dict[str, Any]) -> str:
    """What is to be known beside the numbers: of the clocks, of wall time, of warnings.
    Empty where there is nothing."""
    lines = clocks.lines(results) + clocks.noted(results)
    return (tag("div", tag("h2", "Beside the numbers"), items(map(text, lines)), cls="answer", role="note") if lines
            else "")


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


__all__ = ["PALETTE", "POLICY", "System", "asset", "beside", "definitions", "fold", "remark", "runs_of", "section"]
