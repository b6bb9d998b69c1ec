"""All papers on one page: a drawn tree by year, and of each paper its card, what it changes of its parents, its
numbers, its notes, its code.

The page is a function of the papers' own declarations and files. Nothing is fetched; it reads without its script.
"""
from __future__ import annotations

import importlib
import io
import keyword
import tokenize
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..core import outputs
from ..core.paper import Paper, named, trained_apart
from ..core.part import diff
from ..core.sentence import many
from .layout import lay
from .sheet import POLICY, asset
from .tags import items, table, tag, text

BOX = (150, 44)
TASKS = ("detection", "instances", "keypoints", "semantic", "panoptic", "proposals", "weak", "amodal", "world",
         "editing", "transfer", "language")
GROUPS = {
    "localization": "Finding and outlining", "worlds": "World models", "editing": "Editing pictures",
    "transfer": "Carrying over", "language": "Language",
}
MOST_SETTINGS = 60  # differences that are listed


def write(path: str | Path, papers: Iterable[Paper] | None = None, made: str = "") -> Path:
    """Write the page of `papers` (default: all) to `path`; `made` is said at its end."""
    from ..core.paper import papers as all_papers

    outputs.claim([path], "--html")
    return outputs.put_text(path, render(list(papers or all_papers()), made), "--html")


def kin(papers: Iterable[Paper], name: str) -> list[Paper]:
    """The paper `name` with its ancestors and descendants."""
    every = list(papers)
    ancestors = next(p for p in every if p.name == name).ancestors()
    return [p for p in every if p.name in ancestors or name in p.ancestors()]


def render(papers: list[Paper], made: str = "") -> str:
    """The page as text."""
    papers = sorted(papers, key=lambda p: (p.year, p.name))
    groups = [(g, [p for p in papers if group_of(p) == g]) for g in GROUPS]
    groups = [(g, members) for g, members in groups if members]
    edges = sum(len(p.parents) for p in papers)
    title = f"{len(papers)} papers and what each changed" if len(papers) != 1 else "One paper"
    said = ("Time runs down. A line leads from a paper to one that was built from it by naming what changes; a test "
            "holds every sentence against both.")
    span = f"{edges} lines of descent, {papers[0].year} to {papers[-1].year}. {said}"
    head = tag("head", tag("meta", charset="utf-8"), tag("meta", http_equiv="Content-Security-Policy", content=POLICY),
               tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
               tag("link", rel="icon", href="data:,"), tag("title", text(title)),
               tag("style", asset("page.css") + asset("lineage.css")))
    drawings = [(tag("h2", GROUPS[g]) if len(groups) > 1 else "") + tag("div", drawing(members), cls="tree", tabindex=0)
                for g, members in groups]
    body = tag(
        "body",
        tag("header", tag("h1", text(title)), tag("p", text(span), cls="meta"), legend(papers)),
        tag("main", tag("div", *drawings, id="tree"), tag("div", *(card(p, papers) for p in papers))),
        tag("footer", text(made or "Written by stemma from the papers' own files.")),
        tag("script", asset("lineage.js")),
    )
    return "<!doctype html>" + tag("html", head, body, lang="en") + "\n"


def group_of(p: Paper) -> str:
    return p.spec.__module__.split(".")[-2]


def legend(papers: list[Paper]) -> str:
    there = [t for t in TASKS if any(p.task == t for p in papers)]
    return items((tag("i", cls=f"key t-{t}") + text(t) for t in there), cls="legend")


# ---------------------------------------------------------------- the tree


def drawing(papers: list[Paper]) -> str:
    """Boxes and lines of one group as SVG, every box a link to its card."""
    names = {p.name for p in papers}
    edges = [(e.paper.name, p.name) for p in papers for e in p.parents if e.paper.name in names]
    plan = lay({p.name: p.year for p in papers}, edges, BOX[0])
    width, height = plan.width + 64, plan.height
    out = [tag("line", x1=0, x2=round(width), y1=round(y), y2=round(y), cls="year") for _, y in plan.years]
    for (a, b), points in plan.lines.items():
        out.append(tag("path", d=_curve([(x + 60, y) for x, y in points]), cls="line", data_from=a, data_to=b))
    for p in papers:
        x, y = plan.at[p.name]
        left, top = round(x + 60 - BOX[0] / 2, 1), round(y - BOX[1] / 2, 1)
        inside = (
            tag("title", text(p.line)), tag("rect", x=left, y=top, width=BOX[0], height=BOX[1], rx=8, cls="box"),
            tag("rect", x=left, y=top, width=7, height=BOX[1], rx=3, cls=f"task t-{p.task}"),
            *(tag("text", text(line), x=left + 15, y=round(y + 5 + 16 * (k - (n - 1) / 2), 1), cls="name")
              for n, k, line in _lines(p.label)),
        )
        out.append(tag("a", *inside, href=f"#{p.cli_name}", data_paper=p.name, aria_label=f"{p.label}, {p.year}"))
    out += [tag("text", str(year), x=4, y=round(y - BOX[1] / 2 - 6), cls="year")  # over the boxes, where a page that
            for year, y in plan.years]  # is narrower than the tree keeps it in sight
    size = {"viewBox": f"0 0 {width:.0f} {height:.0f}", "width": f"{width:.0f}", "height": f"{height:.0f}"}
    return tag("svg", *out, aria_label="Which paper was built from which", **size)


def _lines(label: str, most: int = 16) -> list[tuple[int, int, str]]:
    """(lines in all, number, text) of a label on at most two lines."""
    if len(label) <= most:
        return [(1, 0, label)]
    words, first = label.split(), ""
    while words and len(f"{first} {words[0]}".strip()) <= most:
        first = f"{first} {words.pop(0)}".strip()
    rest = " ".join(words)
    if not first:
        first, rest = rest[:most], rest[most:]
    return [(2, 0, first), (2, 1, rest if len(rest) <= most else rest[: most - 1] + "…")]


def _curve(points: list[tuple[float, float]]) -> str:
    """A line through the points that leaves and meets each downwards, box edges at its ends."""
    (x, y), *_ = points
    points = [(x, y + BOX[1] / 2), *points[1:-1], (points[-1][0], points[-1][1] - BOX[1] / 2)]
    d = f"M{points[0][0]:.1f} {points[0][1]:.1f}"
    for (a, b), (u, v) in zip(points, points[1:]):
        m = (b + v) / 2
        d += f" C{a:.1f} {m:.1f} {u:.1f} {m:.1f} {u:.1f} {v:.1f}"
    return d


# ---------------------------------------------------------------- a card


def card(p: Paper, papers: list[Paper]) -> str:
    """One paper's card, its changes, numbers, notes and source."""
    there = {q.name for q in papers}
    children = [q for q in papers if any(e.paper.name == p.name for e in q.parents)]
    source = Path(importlib.import_module(p.spec.__module__).__file__ or "").read_text(encoding="utf-8")
    said, about = p.line.partition(": ")[2] or p.line, f"{p.authors} · {p.year}"
    arxiv = (tag("a", f"arXiv {text(p.arxiv)}", href=f"https://arxiv.org/abs/{p.arxiv}", rel="noreferrer") if p.arxiv
             else "")
    chips = tag("p", tag("span", tag("i", cls=f"key t-{p.task}"), text(p.task), cls="chip"),
                *(tag("code", text(x)) for x in p.presets), cls="chips")
    inside = [
        tag("h2", text(p.label)),
        tag("p", tag("b", text(p.title)), "<br/>", text(about), " · " if arxiv else "", arxiv, cls="meta"), chips,
        tag("p", text(said[:1].upper() + said[1:]), cls="said"), tag("p", text(p.summary)),
    ]
    for edge in p.parents:
        name = edge.paper.label
        who = tag("a", text(name), href=f"#{edge.paper.cli_name}") if edge.paper.name in there else text(name)
        told = (text(what) + " " + tag("code", text(named(slots)), cls="slot") for slots, what in edge.told)
        changes = items(told, cls="changes")
        inside += [tag("h3", f"From {who}"), changes, settings(edge.paper, p)]
        if apart := trained_apart(edge, p):
            inside += [tag("h3", "and trained differently"), items((text(what) for _, what in apart), cls="changes")]
    if children:
        inside += [tag("h3", "Built from it"),
                   tag("p", ", ".join(tag("a", text(q.label), href=f"#{q.cli_name}") for q in children))]
    if p.claims:
        rows = [tag("tr", tag("td", text(c.what)), tag("td", text(f"{c.value:g}")),
                    tag("td", text(c.source), cls="left")) for c in p.claims]
        inside += [tag("h3", "What it claims"),
                   table("<th>claim</th><th>value</th><th class=\"left\">where</th>", rows, cls="plain wrap")]
    if p.facts:
        rows = [tag("tr", tag("td", text(_of(f))), tag("td", text(f"{f.value:,}")),
                    tag("td", text(f.source), cls="left")) for f in p.facts]
        inside += [tag("h3", "What can be counted"),
                   table("<th>count</th><th>value</th><th class=\"left\">where</th>", rows, cls="plain wrap")]
    if p.notes:
        inside += [tag("h3", "What the paper leaves open, and what was chosen"), items(map(text, p.notes), cls="notes")]
    count = len(source.splitlines())
    where = "/".join(p.spec.__module__.split("."))
    inside.append(tag("details", tag("summary", text(f"Its code: {where}.py, {count} lines")),
                      listing(source)))
    return tag("section", *inside, id=p.cli_name, cls="card", data_name=p.name, tabindex=-1)


def _of(f: Any) -> str:
    of = [x for x in (f.variant, many(f.classes, "class", "classes"), ", ".join(f"{k}={v}" for k, v in f.sets)) if x]
    return f"{f.what} ({', '.join(of)})"


def settings(parent: Paper, child: Paper) -> str:
    """Every setting of the published presets that differs, folded."""
    d = {k: v for k, v in diff(parent.spec("paper"), child.spec("paper")).items()}
    if not d:
        return ""
    cells = [(tag("code", text(k)), *(tag("code", text(_short(x))) for x in v))
             for k, v in list(d.items())[:MOST_SETTINGS]]
    rows = [tag("tr", tag("td", k), tag("td", a, cls="left"), tag("td", b, cls="left")) for k, a, b in cells]
    more = f" The first {MOST_SETTINGS} are listed." if len(d) > MOST_SETTINGS else ""
    head = (f"<th>setting</th><th class=\"left\">{text(parent.cli_name)}</th>"
            f"<th class=\"left\">{text(child.cli_name)}</th>")
    return tag("details", tag("summary", text(f"{len(d)} settings differ.{more}")), table(head, rows, cls="plain"))


def _short(value: Any) -> str:
    said = ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
    return said if len(said) <= 60 else said[:57] + "..."


# ---------------------------------------------------------------- code


def listing(source: str) -> str:
    """Source with line numbers; comments, strings, keywords, numbers and the names that are defined stand out."""
    lines = source.splitlines()
    numbers = "\n".join(str(i + 1) for i in range(len(lines)))
    return tag("div", tag("pre", numbers, cls="numbers", aria_hidden="true"),
               tag("pre", tag("code", highlighted(source))), cls="listing", tabindex=0)


def highlighted(source: str) -> str:
    """Python source as HTML with a span around each token of a kind; text and its order are unchanged."""
    lines = source.splitlines(keepends=True)
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line))
    out, at, before = [], 0, ""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        kind = _kind(token, before)
        if token.string.strip():
            before = token.string
        if not kind:
            continue
        begin, end = (starts[row - 1] + column for row, column in (token.start, token.end))
        out += [text(source[at:begin]), tag("span", text(source[begin:end]), cls=kind)]
        at = end
    return "".join([*out, text(source[at:])])


def _kind(token: tokenize.TokenInfo, before: str) -> str:
    name = tokenize.tok_name[token.type]
    if name == "COMMENT":
        return "c"
    if name == "STRING" or name.startswith("FSTRING"):
        return "s"
    if name == "NUMBER":
        return "n"
    if name == "NAME":
        return "d" if before in ("def", "class") else "k" if keyword.iskeyword(token.string) else ""
    return "k" if name == "OP" and token.string == "@" and before in ("", "\n") else ""


__all__ = ["card", "drawing", "highlighted", "kin", "listing", "render", "write"]
