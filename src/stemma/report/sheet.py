"""What all pages share: sections, notes, folds, definitions, and what a page may load (nothing)."""
from __future__ import annotations

from importlib.resources import files
from typing import Any

from .tags import tag, text

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


def definitions(pairs: dict[str, str]) -> str:
    return tag("dl", *(tag("dt", text(k)) + tag("dd", v) for k, v in pairs.items() if v))


def fold(title: str, inside: str) -> str:
    return tag("details", tag("summary", text(title)), inside)


__all__ = ["PALETTE", "POLICY", "System", "asset", "definitions", "fold", "remark", "section"]
