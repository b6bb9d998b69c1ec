"""What the working commands show of networks that are carried over: accuracy by data set, classes of pictures, the
table of a comparison."""
from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.markup import escape

from ..core.sentence import many
from .screen import err, fitting, number, out, table

DATA = "To carry networks over to: folders of class folders, or `drawn`, with commas between."  # of --data


def evaluated(said: dict[str, Any]) -> None:
    """Accuracy on each data set beside chance, and what trainings of the whole network reached."""
    grids = list(dict.fromkeys(g for of in said.get("trained", {}).values() for g in of))
    tight = {k: v for k, v in said.get("tightness", {}).items() if v is not None}
    names = ("value", "chance", *grids, *(["tightness"] if tight else []), "pictures")
    t = table("data set", "measure", *names, numbers=names)
    for name, v in said["sets"].items():
        trained = said.get("trained", {}).get(name, {})
        t.add_row(escape(name), v["measure"], number(v["value"]), number(v["chance"]),
                  *(number(trained.get(g)) for g in grids), *([number(tight.get(name))] if tight else []),
                  number(v["pictures"]))
    out.print(t)
    source = said.get("source")
    begun = f"; top-1 {number(source['test'])} on {source['name']}, which it learned first" if source else ""
    out.print(f"{escape(said['network'])}: {number(said['accuracy'])} in the mean of {many(len(said['sets']), 'set')}, "
              f"{said['split']}{begun}")


def plain(said: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What was seen in pictures, as JSON holds it."""
    return said


def predicted(said: list[dict[str, Any]], where: Path | None) -> None:
    """The likeliest classes of each picture, a line a data set."""
    for row in said[:20]:
        out.print(f"[bold]{escape(row['file'])}[/]", soft_wrap=True)
        for name, best in row["sets"].items():
            out.print(f"  {escape(name)}: " + ", ".join(f"{escape(c)} {p:.2f}" for c, p in best), soft_wrap=True)
    if len(said) > 20:
        out.print(f"and {len(said) - 20} more")
    if where is not None:
        out.print(f"[bold]{escape(str(where / 'predictions.json'))}[/]", soft_wrap=True)


def exported(said: dict[str, Any]) -> None:
    """What was written, and how far it is from PyTorch's own answer."""
    out.print(f"[bold]{escape(said['path'])}[/]  pictures {tuple(said['input'])} -> logits of "
              f"{escape(', '.join(said['outputs']))}; largest difference {said['difference']:.1e}", soft_wrap=True)


def compared(results: dict[str, Any]) -> None:
    """The table of networks and data sets, best first, and the correlation."""
    from ..report.transfer import answer

    head, more = answer(results)
    out.print(f"\n{escape(head)}")
    for line in more:
        out.print(f"  • {escape(line)}")
    for way, said in results["ways"].items():
        if not said["sets"]:
            continue
        always = ("source top-1", "adjusted", "± 95 %")
        sets = fitting(said["sets"], (*always, max((s["title"] for s in results["systems"]), key=len)))
        names = (always[0], *sets, *always[1:])
        t = table("network", *names, numbers=names, title=way)
        for i, s in enumerate(results["systems"]):
            t.add_row(escape(s["title"]), number(s["top1"]), *(number(v) for v in said["table"][i][: len(sets)]),
                      number(said["adjusted"][i]), number(said["intervals"][i]))
        out.print(t)
        if left := len(said["sets"]) - len(sets):
            out.print(f"[dim]{many(left, 'more set')} in the report[/]")
    for f in results["findings"]:
        out.print(f"{escape(f['finding'])}: [bold]{f['verdict']}[/], {escape(f['says'])}", soft_wrap=True)
    for r in results["failed"]:
        err.print(f"[red]failed:[/] {escape(r['title'])} seed {r['seed']}: {escape(str(r.get('error')))}",
                  soft_wrap=True)


__all__ = ["DATA", "compared", "evaluated", "exported", "plain", "predicted"]
