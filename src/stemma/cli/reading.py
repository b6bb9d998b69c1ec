"""Commands that only read papers: `list`, `show`, `tree`, `diff`."""
from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from inspect import getdoc
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from ..core.sentence import many
from .reads import known
from .screen import number, out, print_json, table

if TYPE_CHECKING:
    from ..core.paper import Paper
    from ..report.cards import Card

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
LINE = 44  # least width of a paper's line in `list`; a narrower terminal shows no parents (`tree` does)
PresetOption = Annotated[str, typer.Option("--preset", "-p", help="`paper` as published, `small` for two cores, or "
                                           "another that the card names.")]


def register(app: typer.Typer) -> None:
    """Hang the reading commands on `app`."""
    hang(app, list_papers, "stemma list", "stemma list --task semantic", "stemma list --json | jq '.[].name'",
         name="list")
    hang(app, show, "stemma show fpn", "stemma show mask-rcnn --preset small", "stemma show ssd --flat | grep lr")
    hang(app, tree, "stemma tree", "stemma tree faster-rcnn", "stemma tree --html lineage.html")
    hang(app, diff, "stemma diff faster-rcnn fpn", "stemma diff fpn retinanet --preset small --json")
    hang(app, claims, "stemma claims", "stemma claims ssd", "stemma claims --check runs/compare --check runs/mine")


def hang(app: typer.Typer, command: Callable[..., Any], *lines: str, name: str | None = None) -> None:
    """Hang a command on `app` with examples; what it does is one line, wherever the code breaks it."""
    what, gap, more = (getdoc(command) or "").partition("\n\n")
    app.command(name, help=" ".join(what.split()) + gap + more, epilog=examples(*lines))(command)


def examples(*lines: str) -> str:
    """Help's last paragraph: the commands to try, one a line; what has more than 78 columns cannot be copied whole."""
    return "[bold]Examples[/]\n" + "\n".join(f"  [cyan]{escape(x)}[/]" for x in lines)


def list_papers(
    task: Annotated[str | None, typer.Option("--task", "-t", help="Only one task: detection, instances, semantic, "
                                             "panoptic ...")] = None,
    as_json: Json = False,
) -> None:
    """The papers there are, oldest first."""
    from ..report.cards import cards

    found = [c for c in cards() if task is None or c.task == task]
    if task is not None and not found:
        from ..core.samples import StemmaError

        raise StemmaError(f"no paper of task '{task}'; there are: {', '.join(sorted({c.task for c in cards()}))}")
    if as_json:
        return print_json([c.as_dict() for c in found])
    rows = [(c.cli_name, str(c.year), c.task, ", ".join(n.replace("_", "-") for n, _ in c.parents) or "-",
             _what(c.line)) for c in found]
    cut = out.is_terminal or "COLUMNS" in os.environ  # into a pipe, lines go whole
    head = ("paper", "year", "task", "from", "what it is")
    widths = [max(map(len, column)) + 2 for column in zip(head, *rows, strict=True)][:-1]
    columns = [i for i, n in enumerate(head) if n != "from" or not cut or out.width - sum(widths) >= LINE]
    room = out.width - sum(widths[i] for i in columns[:-1])
    for k, row in enumerate((head, *rows)):
        what = row[-1] if not cut or len(row[-1]) <= room else row[-1][: max(0, room - 1)].rstrip() + "…"
        cells = "".join(row[i].ljust(widths[i]) for i in columns[:-1])
        line = Text(cells + what, "dim") if k == 0 else Text.assemble((cells[: widths[0]], "bold"),
                                                                      cells[widths[0] :], what)
        out.print(line, soft_wrap=True)
    if cut:
        out.print(f"[dim]{len(rows)} papers; `stemma show PAPER` says more, `stemma tree` who descends from whom[/]")
    return None


def _what(line: str) -> str:
    return line.partition(": ")[2] or line


def show(
    paper: Annotated[str, typer.Argument(help="A paper's name, with hyphens or underscores.")],
    preset: PresetOption = "paper",
    size: Annotated[str | None, typer.Option("--size", metavar="N", help="Settings as `--size N` makes them.")] = None,
    flat: Annotated[bool,
                    typer.Option("--flat", help="Every setting on a line of its own, as `--set` takes it.")] = False,
    as_json: Json = False,
) -> None:
    """A paper's card: what it is, what it changes of its parent, its settings, what it claims."""
    preset = known(paper, preset)
    from ..core import paper as cards
    from ..core.part import leaves
    from ..engine import homes

    p = cards.get(paper)
    spec, recipe = p.spec(preset), p.recipe(preset)
    if size is not None:
        spec, recipe = p.at(spec, recipe, size)
    unread = homes.unread(p.task, recipe)
    settings = {k: v for k, v in leaves(spec)} | {f"recipe.{k}": v for k, v in leaves(recipe)
                                                  if not homes.lies_in(k.removesuffix(".()"), unread)}
    if as_json:
        return print_json(_card_json(p, preset, settings))
    if flat:
        for k, v in settings.items():
            if not k.endswith("()"):
                out.print(Text(f"{k} = {_value(v)}"), soft_wrap=True)
        return None
    about = f"{p.cli_name} · {p.task} · presets: {', '.join(p.presets)}"
    out.print(f"[bold]{escape(p.title)}[/]\n{escape(p.authors)}, {p.year}.{f' arXiv {p.arxiv}.' * bool(p.arxiv)} "
              f"[dim]{about}[/]\n")
    out.print(f"[italic]{escape(p.line)}[/]\n\n{escape(p.summary)}\n")
    for edge in p.parents:
        out.print(f"[bold]From {edge.paper.cli_name}, with these changes[/]")
        out.print(_points(Text.assemble(what, (f"  [{cards.named(slots)}]", "dim")) for slots, what in edge.told))
        if apart := cards.trained_apart(edge, p, preset):
            out.print("[bold]and trained differently[/]")
            out.print(_points(Text.assemble(what, (f"  [{cards.named(slots)}]", "dim")) for slots, what in apart))
        out.print()
    if p.begins:
        out.print(Text.assemble(("What it begins from: ", "bold"), p.begins, f" (stemma weights {p.cli_name})\n"))
    if p.sizing is not None:
        out.print(Text.assemble(("What --size sets: ", "bold"), p.sizing.says, "\n"))
    out.print(spec_tree(settings, f"[bold]Settings[/] [dim]at preset {preset}; `--flat` gives them as paths[/]"))
    if p.claims:
        out.print("\n[bold]What it claims[/]")
        t = table("claim", "value", "where", numbers=("value",))
        for c in p.claims:
            t.add_row(escape(c.what), f"{c.value:g}", escape(c.source))
        out.print(Padding(t, (0, 0, 0, 2)))
    if p.facts:
        out.print("\n[bold]What can be counted[/] [dim](held by the tests)[/]")
        t = table("count", "value", "of", "where", numbers=("value",))
        for f in p.facts:
            of = " ".join(filter(None, (f.variant, many(f.classes, "class", "classes"),
                                        *(f"{k}={v}" for k, v in f.sets))))
            t.add_row(escape(f.what), f"{f.value:,}", escape(of), escape(f.source))
        out.print(Padding(t, (0, 0, 0, 2)))
    if p.notes:
        out.print("\n[bold]What the paper leaves open, and what we chose[/]")
        out.print(_points(map(Text, p.notes)))
    return None


def _points(lines: Iterable[Text]) -> Padding:
    """Lines behind dots, what is broken set under its beginning."""
    t = Table.grid(padding=(0, 1))
    for line in lines:
        t.add_row("•", line)
    return Padding(t, (0, 0, 0, 2))


def _card_json(p: Paper, preset: str, settings: dict[str, Any]) -> dict[str, Any]:
    from ..core.paper import trained_apart

    return {
        "name": p.cli_name, "title": p.title, "authors": p.authors, "year": p.year, "arxiv": p.arxiv,
        "task": p.task, "summary": p.summary, "begins": p.begins, "presets": p.presets, "preset": preset,
        "size": None if p.sizing is None else p.sizing.says, "parents":
        [{"paper": e.paper.cli_name, "changes": [{"slots": s, "what": w} for s, w in e.told],
          "trained": [{"slots": s, "what": w} for s, w in trained_apart(e, p, preset)]} for e in p.parents],
        "settings": settings,
        "claims": [{"what": c.what, "value": c.value, "source": c.source} for c in p.claims],
        "facts": [{"what": f.what, "value": f.value, "classes": f.classes, "sets": dict(f.sets), "variant": f.variant,
                   "source": f.source} for f in p.facts],
        "notes": p.notes,
    }


def _value(v: Any) -> str:
    if isinstance(v, tuple):
        return ",".join(map(str, v)) if v else "()"
    return str(v) if v != "" else "''"


def spec_tree(settings: dict[str, Any], title: str) -> Tree:
    """The dotted paths of `leaves` as a tree: parts by class name, their settings beside them."""
    root = Tree(title, guide_style="dim")
    branches: dict[str, Tree] = {"": root}

    def branch(path: str) -> Tree:
        if path not in branches:
            head, _, name = path.rpartition(".")
            kind = settings.get(f"{path}.()", "")
            branches[path] = branch(head).add(Text.assemble((name, "cyan"), " ", (str(kind), "bold")))
        return branches[path]

    plain: dict[str, list[str]] = {}
    for path, value in settings.items():
        head, _, name = path.rpartition(".")
        branch(head)
        if name != "()":
            plain.setdefault(head, []).append(f"{name}={_value(value)}")
    for head, pairs in plain.items():
        at = branches[head]
        if head:
            at.label = Text.assemble(at.label, "  ", ("  ".join(pairs), "dim"))  # type: ignore[arg-type]
        else:
            for pair in pairs:
                at.add(Text(pair))
    return root


def tree(
    paper: Annotated[str | None,
                     typer.Argument(help="Only what descends from this paper; on a page, its ancestors too.")] = None,
    html: Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Write a page for a browser: the tree, "
                                              "each paper's card and code.")] = None,
    as_json: Json = False,
) -> None:
    """Who descends from whom, with what each changed."""
    if html is not None:
        return _page(paper, html)
    from ..report.cards import cards
    from ..report.cards import tree as children_of

    all_cards = cards()
    by_name, children = {c.name: c for c in all_cards}, children_of(all_cards)
    if paper is None:
        roots = children[""]
    else:
        key = paper.strip().lower().replace("-", "_")
        if key not in by_name:
            from ..core.paper import get

            key = get(paper).name
        roots = [key]
    if as_json:
        return print_json([_nested(n, by_name, children) for n in roots])
    for n in roots:
        top = Tree(_tree_line(by_name[n], ""), guide_style="dim")
        _grow(top, n, by_name, children)
        out.print(top)
    return None


def claims(
    paper: Annotated[str | None, typer.Argument(help="Only what this paper claims. \\[default: all]")] = None,
    check: Annotated[list[str] | None, typer.Option("--check", metavar="RUN", help="Hold what a run or a comparison "
                                                    "measured against the claims of its papers. Repeatable.")] = None,
    as_json: Json = False,
) -> None:
    """What papers claim, where it stands and what it would take to check it; with --check what was measured says to
    that: reproduced, same order, contradicted, or cannot say, and why."""
    from ..report import claims as held

    if not check:
        rows = held.listed(paper)
        if as_json:
            return print_json(rows)
        t = table("paper", "claim", "value", "where", "what it takes", numbers=("value",))
        t.columns[0].no_wrap = True
        for r in rows:
            t.add_row(r["paper"], escape(r["what"]), f"{r['value']:g}", escape(r["source"]), escape(r["takes"]))
        return out.print(t)
    found = held.checked([m for where in check for m in held.read(where)], paper)
    if as_json:
        return print_json(found)
    t = table("verdict", "claim", "why")
    for r in found["orders"]:
        t.add_row(r["verdict"], escape(r["says"]), escape(r["why"]))
    for r in found["numbers"]:
        t.add_row(r["verdict"], escape(f"{r['paper']}: {r['what']} {r['value']:g} ({r['source']})"), escape(r["why"]))
    return out.print(t)


def _page(paper: str | None, path: Path) -> None:
    from ..core import paper as papers
    from ..report import lineage

    shown = papers.papers()
    if paper is not None:
        shown = lineage.kin(shown, papers.get(paper).name)
    lineage.write(path, shown)
    out.print(f"The lineage of {len(shown)} papers: {path}", soft_wrap=True)


def _nested(name: str, by_name: dict[str, Card], children: dict[str, list[str]]) -> dict[str, Any]:
    return {"name": by_name[name].cli_name, "year": by_name[name].year,
            "children": [_nested(k, by_name, children) for k in children.get(name, [])]}


def _grow(at: Tree, name: str, by_name: dict[str, Card], children: dict[str, list[str]]) -> None:
    for k in children.get(name, []):
        _grow(at.add(_tree_line(by_name[k], name)), k, by_name, children)


def _tree_line(c: Card, under: str) -> Text:
    line = Text.assemble((c.cli_name, "bold"), (f"  {c.year}  ", "dim"), _what(c.line) if not under else "")
    for parent, changes in c.parents:
        if parent == under:
            line.append("; ".join(sentence for _, sentence in changes))
        elif under:
            line.append(f"  (also from {parent.replace('_', '-')})", style="dim")
    return line


def diff(
    a: Annotated[str, typer.Argument(metavar="A", help="A paper.")],
    b: Annotated[str, typer.Argument(metavar="B", help="Another paper.")],
    preset: PresetOption = "paper",
    recipe: Annotated[bool, typer.Option("--recipe/--no-recipe", help="Compare the training recipes too.")] = True,
    as_json: Json = False,
) -> None:
    """Every setting in which two papers differ, and the sentences that say so."""
    preset = known(b, known(a, preset))
    from ..core import paper as cards
    from ..core.part import diff as differences

    pa, pb = cards.get(a), cards.get(b)
    d = differences(pa.spec(preset), pb.spec(preset))
    if recipe:
        d |= {f"recipe.{k}": v for k, v in differences(pa.recipe(preset), pb.recipe(preset)).items()}
    told = next((e.told for e in pb.parents if e.paper.name == pa.name), ())
    if as_json:
        return print_json({"a": pa.cli_name, "b": pb.cli_name, "preset": preset,
                           "changes": [{"slots": s, "what": w} for s, w in told],
                           "settings": {k: {"a": v[0], "b": v[1]} for k, v in d.items()}})
    for slots, sentence in told:
        out.print(Text.assemble("• ", sentence, (f"  [{cards.named(slots)}]", "dim")))
    if told:
        out.print()
    t = table("setting", pa.cli_name, pb.cli_name)
    for k, (x, y) in d.items():
        t.add_row(Text(k, style="cyan"), Text(_short(x)), Text(_short(y)))
    out.print(t if d else f"{pa.cli_name} and {pb.cli_name} are equal at preset {preset}.")
    return None


def _short(v: Any) -> str:
    text = number(v) if isinstance(v, bool) else _value(v)
    return text if len(text) <= 60 else text[:57] + "..."
