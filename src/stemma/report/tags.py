"""HTML as nested calls: `tag("li", text("a < b"), cls="lit")`."""
from __future__ import annotations

from collections.abc import Iterable
from html import escape

VOID = {"meta", "link", "image", "use", "line", "rect", "circle"}


def text(value: object) -> str:
    """Anything as text that is safe inside an element."""
    return escape(str(value), quote=False)


def tag(name: str, /, *inside: str, cls: str = "", **attributes: object) -> str:
    """One element. `data_x=1` becomes `data-x="1"`; None and False leave an attribute out, True writes it bare."""
    given: dict[str, object] = {"class": cls or None,
                                **{k.rstrip("_").replace("_", "-"): v for k, v in attributes.items()}}
    written = "".join(f" {k}" if v is True else f' {k}="{escape(str(v), quote=True)}"'
                      for k, v in given.items() if v is not None and v is not False)
    return f"<{name}{written}/>" if name in VOID and not inside else f"<{name}{written}>{''.join(inside)}</{name}>"


def items(lines: Iterable[str], **attributes: object) -> str:
    """A `<ul>` of finished HTML lines."""
    return tag("ul", *(tag("li", x) for x in lines), **attributes)  # type: ignore[arg-type]


def table(head: str, rows: Iterable[str], cls: str = "", **around: object) -> str:
    """A table that scrolls sideways in its own frame where it is wider than the page."""
    return tag("div", tag("table", tag("thead", tag("tr", head)), tag("tbody", *rows), cls=cls), cls="scroll",
               tabindex=0, **around)


__all__ = ["items", "table", "tag", "text"]
