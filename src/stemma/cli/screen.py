"""What every command shares: consoles, JSON, numbers as text, and the one line that a user's mistake gets."""
from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

FIRST = int(os.environ.get("RANK", "0")) == 0  # of the processes that torchrun starts, one speaks for all
out = Console(highlight=False, emoji=False, quiet=not FIRST)
err = Console(stderr=True, highlight=False, emoji=False)


def said(**options: Any) -> dict[str, Any]:
    """The options that were given: those that are not None."""
    return {k: v for k, v in options.items() if v is not None}


def started() -> list[str]:
    """The words that start this program once more, to be pasted: `stemma` where that is what the shell finds, else the
    script or `python -m stemma` as they were typed; `torchrun` where several processes train together."""
    if (together := int(os.environ.get("LOCAL_WORLD_SIZE", "1"))) > 1:
        return ["torchrun", "--nproc-per-node", str(together), "-m", "stemma"]
    script = Path(sys.argv[0])
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    if spec is not None and spec.name == "stemma.__main__":
        return sys.orig_argv[:len(sys.orig_argv) - len(sys.argv) + 1]
    if script.stem != "stemma" or script.parent == Path():
        return ["stemma"]
    found = shutil.which("stemma")
    return ["stemma" if found and script.exists() and os.path.samefile(found, script) else sys.argv[0]]


def print_json(value: Any) -> None:
    """JSON on stdout, plain, so that it can be piped. NaN and infinity become null."""
    if FIRST:
        sys.stdout.write(json.dumps(_clean(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def _clean(v: Any) -> Any:
    if isinstance(v, dict):
        return {str(k): _clean(x) for k, x in v.items()}
    if isinstance(v, (list, tuple)):
        return [_clean(x) for x in v]
    if hasattr(v, "tolist"):
        return _clean(v.tolist())
    if isinstance(v, float) and (v != v or v in (float("inf"), float("-inf"))):
        return None
    return v if isinstance(v, (str, int, float, bool, type(None))) else str(v)


def table(*columns: str, title: str | None = None, numbers: tuple[str, ...] = ()) -> Table:
    """An empty table in the house style; columns in `numbers` are set to the right."""
    t = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, header_style="dim",
              padding=(0, 2, 0, 0))
    for c in columns:
        t.add_column(c, justify="right" if c in numbers else "left", no_wrap=c in numbers, overflow="fold")
    return t


def show(t: Table, console: Console | None = None) -> None:
    """Print a table under its title, no word or number of it cut off: one wider than the terminal, or `console`, stands
    in parts below one another, each beside the columns of text that it begins with."""
    to, least = console or out, []
    for c in t.columns:
        texts = [Text.from_markup(str(x)).plain for x in (c.header, *c.cells)]
        words = texts if c.no_wrap else [w for x in texts for w in x.split()]
        c.min_width = min(max(map(cell_len, words), default=0), to.width // 2)
        least.append(2 + c.min_width)
    begins = next((i for i, c in enumerate(t.columns) if c.no_wrap), len(least))
    parts: list[list[int]] = [[]]
    for i in range(begins, len(least)):
        if parts[-1] and sum(least[:begins]) + sum(least[k] for k in (*parts[-1], i)) - 2 > to.width:
            parts.append([])
        parts[-1].append(i)
    if t.title:  # a title of the table's own would be broken where the table is narrow
        to.print(f"[bold]{t.title}[/]")
    for part in parts:
        columns = [t.columns[i] for i in (*range(begins), *part)]
        said = table(*(str(c.header) for c in columns))
        for made, c in zip(said.columns, columns):
            made.justify, made.no_wrap, made.min_width = c.justify, c.no_wrap, c.min_width
        for row in zip(*(c.cells for c in columns)):
            said.add_row(*row)
        to.print(said)


def fitting(names: Iterable[str], beside: Iterable[str]) -> list[str]:
    """The first columns of numbers, one at least, that a line has room for; beside: the longest text of each other
    column."""
    found, wide = list(names), lambda columns: sum(2 + max(len(c), 5) for c in columns)
    while len(found) > 1 and wide(found) + wide(beside) > out.width:
        found.pop()
    return found


def number(v: Any) -> str:
    """A measure as text: three decimals below 10, thousands set apart, a dash for what is not there."""
    if v is None or (isinstance(v, float) and v != v):
        return "-"
    if isinstance(v, bool):
        return "yes" if v else "no"
    if isinstance(v, int):
        return f"{v:,}"
    if isinstance(v, float):
        return f"{v:z.3f}" if abs(v) < 10 else f"{v:,.1f}"
    return str(v)


def parse_sets(pairs: list[str] | None, backbone: str | None = None,
               proposals: str | None = None, from_scratch: bool = False) -> dict[str, str] | None:
    """`["rule.cls.gamma=1.5"]` as a dict, with the settings "backbone" and "proposals" where they are named; raises
    `StemmaError` where there is no `=`."""
    found = {k: v for k, v in (("backbone", backbone), ("proposals", proposals),
                              ("from_scratch", "yes" * from_scratch)) if v}
    for p in pairs or []:
        path, eq, value = p.partition("=")
        if not eq or not path.strip():
            from ..core.samples import StemmaError

            raise StemmaError(f"--set takes PATH=VALUE, not '{p}'; for example --set recipe.lr=0.01 (`stemma show "
                              "PAPER --flat` lists the paths)")
        found[path.strip()] = value.strip()
    return found or None
