"""What the doctor found, on a terminal."""
from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape

from ..core.sentence import many
from .screen import out, show, table

if TYPE_CHECKING:
    from ..data.doctor import Report
    from ..data.records import Fault

BAR = 40  # columns of the longest bar, where there is room


def render(report: Report, examples: int = 3, rows: int = 30, console: Console = out) -> None:
    """Tables of splits, sizes and classes, so many faults of a kind, and the notes. rows: classes that are counted one
    by one, the commonest."""
    about = ", ".join([report.format, *report.about, *report.kinds])
    console.print(f"[bold]{escape(report.where)}[/]  {about}")
    if report.splits:
        _splits(report, console)
        _classes(report, rows, console)
        for title, key in (("object size, share of the picture's side", "relative_sizes"),
                           ("aspect, width / height", "aspects")):
            bins = Counter[str]()
            for s in report.splits.values():
                bins.update(getattr(s, key))
            if bins:
                _bars(title, bins, console)
    groups: dict[str, list[Fault]] = defaultdict(list)
    for f in report.faults:
        groups[f.kind].append(f)
    if report.faults or report.notes:
        console.print()
    for kind, found in sorted(groups.items(), key=lambda g: (all(f.safe for f in g[1]), -len(g[1]))):
        colour = "yellow" if all(f.safe for f in found) else "red"
        console.print(f"[{colour}]{len(found)} x {escape(kind)}[/]"
                      + ("" if colour == "yellow" else ": training refuses this"))
        for f in found[:examples]:
            console.print(f"    {escape(str(f))}", soft_wrap=True, highlight=False)
        if len(found) > examples:
            console.print(f"    ... and {len(found) - examples} more")
    for note in report.notes:
        console.print(f"[dim]note[/] {escape(note)}", soft_wrap=True, highlight=False)
    if not report.faults:
        console.print("[green]no faults[/]")
    else:
        last = ("training refuses the data until those named so are mended" if report.refused
                else "none that training refuses; it mends or skips what it can")
        console.print(f"{many(len(report.faults), 'fault')}: {last}")


def _under(title: str, console: Console, names: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table under its title: words, and numbers behind them."""
    t = table(*map(escape, names), title=title, numbers=tuple(map(escape, names[1:])))
    for row in rows:
        t.add_row(*map(escape, row))
    console.print()
    show(t, console)


def _splits(report: Report, console: Console) -> None:
    """How many pictures and objects there are, and how large they are."""
    boxed = any(s.objects or s.unit == "objects" for s in report.splits.values())
    counts, sizes = [], []
    for name, s in report.splits.items():
        each = (f"{s.per_image['least']:g} to {s.per_image['most']:g}, median {s.per_image['median']:g}"
                if s.per_image else "-")
        counts.append((name, f"{s.images:,}",
                       *((f"{s.objects:,}", f"{s.crowd:,}", f"{s.empty:,}", each) if boxed else ())))
        least, most = s.image_sizes.get("least", [0, 0]), s.image_sizes.get("most", [0, 0])
        size = f"{least[0]} x {least[1]}" if least == most else f"{least[0]} x {least[1]} to {most[0]} x {most[1]}"
        areas = [f"{v:,}" for v in s.coco_sizes.values()] if boxed else []
        sizes.append((name, size, *areas, *["-"] * (3 * boxed - len(areas))))
    own = ("objects", "crowd", "empty", "objects an image") if boxed else ()
    _under("splits", console, ("split", f"{report.each}s", *own), counts)
    if any(s.image_sizes for s in report.splits.values()):
        _under("sizes, height x width" + "; objects by COCO's borders of area" * boxed, console,
               ("split", f"{report.each}s", *(("small", "medium", "large") if boxed else ())), sizes)


def _classes(report: Report, rows: int, console: Console) -> None:
    """What there is of each class in each split."""
    total = Counter[str]()
    for s in report.splits.values():
        total.update(s.classes)
    ranked = [c for c, n in total.most_common() if n]
    lines = [(c, [c]) for c in ranked[:rows]]
    if len(total) > len(ranked):
        lines.append((f"{len(total) - len(ranked)} others", []))
    if len(ranked) > rows:
        lines.append((f"... and {len(ranked) - rows} more", ranked[rows:]))
    _under(f"{next(iter(report.splits.values())).unit} of each {report.sort}", console, (report.sort, *report.splits),
           [(label, *(f"{sum(s.classes.get(c, 0) for c in of):,}" for s in report.splits.values()))
            for label, of in lines])


def _bars(title: str, bins: Counter[str], console: Console) -> None:
    top, counts = max(bins.values()), {label: f"{n:,}" for label, n in bins.items()}
    wide, number = max(map(cell_len, bins)), max(map(len, counts.values()))
    room = max(0, min(BAR, console.width - wide - number - 4))
    console.print(f"\n[bold]{title}[/]")
    for label, n in counts.items():
        console.print(f"{label:<{wide}}  {n:>{number}}  {'█' * round(room * bins[label] / max(top, 1))}".rstrip(),
                      highlight=False)


__all__ = ["render"]
