"""Papers' cards read from their source, without importing them: what `list` and `tree` print.

Importing one paper imports torch, which takes seconds; a card is written as literals at the end of a paper's
file, so that Python's own parser can read it in a millisecond. A card that is not literal is imported instead.
"""
from __future__ import annotations

import ast
import functools
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..core.sentence import first_sentence

# ((slots, the sentence that tells them), ...), as `core.paper.Parent.told`
Told = tuple[tuple[tuple[str, ...], str], ...]


@dataclass(frozen=True)
class Card:
    """What can be said of a paper without building it. `parents` are (name, ((slots, sentence), ...))."""

    name: str
    title: str
    authors: str
    year: int
    arxiv: str
    task: str
    summary: str
    group: str
    line: str
    parents: tuple[tuple[str, Told], ...] = ()
    presets: tuple[str, ...] = ("paper", "small")

    @property
    def cli_name(self) -> str:
        return self.name.replace("_", "-")

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {
            "name": self.cli_name,
            "parents": [{"paper": n.replace("_", "-"), "changes": [{"slots": list(s), "what": w} for s, w in c]}
                        for n, c in self.parents],
        }


def cards() -> list[Card]:
    """Every paper's card, by year then name."""
    return sorted((_card(p) for p in _files()), key=lambda c: (c.year, c.name))


def names() -> list[str]:
    """Every paper's name, as its file is called."""
    return [p.stem for p in _files()]


def tree(all_cards: list[Card]) -> dict[str, list[str]]:
    """Children by parent's name, in the order of `all_cards`; "" holds the roots.
    A paper hangs under its first parent."""
    known = {c.name for c in all_cards}
    out: dict[str, list[str]] = {"": []}
    for c in all_cards:
        first = next((n for n, _ in c.parents if n in known), "")
        out.setdefault(first, []).append(c.name)
    return out


def _files() -> list[Path]:
    root = Path(__file__).resolve().parents[1] / "papers"
    return sorted(p for p in root.glob("*/*.py") if not p.name.startswith("_"))


@functools.cache
def _card(path: Path) -> Card:
    try:
        return _read(path)
    except (ValueError, KeyError, TypeError, StopIteration):
        return _imported(path)


def _read(path: Path) -> Card:
    """The card of the file at `path`; `ValueError` and its kin where it is not written as literals."""
    module = ast.parse(path.read_text(encoding="utf-8"))
    aliases = {a.asname or a.name: a.name for n in ast.walk(module) if isinstance(n, ast.ImportFrom) for a in n.names}
    call = next(n.value for n in module.body if isinstance(n, ast.Assign) and isinstance(n.targets[0], ast.Name)
                and n.targets[0].id == "PAPER")
    if not isinstance(call, ast.Call):
        raise ValueError("PAPER is not a plain call")
    order = ("title", "authors", "year", "arxiv", "task", "spec", "recipe", "summary", "parents")
    given = dict(zip(order, call.args)) | {k.arg or "": k.value for k in call.keywords}
    literal = {k: ast.literal_eval(given[k])
               for k in ("title", "authors", "year", "arxiv", "task", "summary", "presets") if k in given}
    said = first_sentence(ast.get_docstring(module) or path.stem.replace("_", "-"))
    return Card(name=path.stem, group=path.parent.name, line=said, parents=_parents(given.get("parents"), aliases),
                **literal)


def _parents(node: ast.expr | None, aliases: dict[str, str]) -> tuple[tuple[str, Told], ...]:
    if node is None:
        return ()
    if not isinstance(node, ast.Tuple):
        raise ValueError("parents are not a plain tuple")
    out = []
    for e in node.elts:
        if not isinstance(e, ast.Call):
            raise ValueError("a parent is not a plain call")
        given = dict(zip(("paper", "changes"), e.args)) | {k.arg or "": k.value for k in e.keywords}
        paper = given["paper"]
        if not (isinstance(paper, ast.Attribute) and isinstance(paper.value, ast.Name) and paper.attr == "PAPER"):
            raise ValueError("a parent is not `module.PAPER`")
        changes = ast.literal_eval(given["changes"])
        told = tuple(((s,) if isinstance(s, str) else tuple(map(str, s)), str(w)) for s, w in changes)
        out.append((aliases[paper.value.id], told))
    return tuple(out)


def _imported(path: Path) -> Card:
    from ..core.paper import get

    p = get(path.stem)
    parents = tuple((x.paper.name, x.told) for x in p.parents)
    return Card(p.name, p.title, p.authors, p.year, p.arxiv, p.task, p.summary, path.parent.name, p.line,
                parents, p.presets)


__all__ = ["Card", "cards", "tree"]
