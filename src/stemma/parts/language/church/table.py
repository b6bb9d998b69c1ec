"""Graphics that programs may call: things on a table as a picture, which is a value of the language, and that value as
SVG."""
from __future__ import annotations

from typing import Any

from .builtins import builtin, listed
from .reader import Symbol, write
from .run import World

SIDE, ACROSS, MOST = 40, 5, 40  # pixels of a thing's place, places in a row, things in a picture
SHAPES = {
    "mug": '<rect x="8" y="10" width="18" height="22" rx="3"/><path d="M26 15h4a4 4 0 0 1 4 4v3a4 4 0 0 1-4 4h-4" '
           'fill="none" stroke="currentColor" stroke-width="3"/>',
    "can": '<rect x="11" y="9" width="18" height="23"/><ellipse cx="20" cy="9" rx="9" ry="3"/>'
           '<ellipse cx="20" cy="32" rx="9" ry="3"/>',
    "bowl": '<path d="M6 16h28a14 14 0 0 1-28 0z"/>',
}
COLOURS = {"red": "#d62728", "blue": "#1f77b4", "green": "#2ca02c", "yellow": "#e7b416"}


def _named(thing: list[Any]) -> bool:
    return all(isinstance(v, str) for v in thing[:2]) and thing[0] in SHAPES and thing[1] in COLOURS


@builtin("draw-table", least=1, wide=True)
def draw_table(w: World, at: int, things: Any) -> list[Any]:
    """(picture (shape colour x y) ...) of a list of (shape colour), places in pixels, row by row."""
    if len(listed(things)) > MOST:
        raise ValueError(f"a picture has {MOST} things or fewer")
    w.charge(5 * len(things))
    out: list[Any] = [Symbol("picture")]
    for i, thing in enumerate(things):
        if not isinstance(thing, list) or len(thing) != 2 or not _named(thing):
            raise ValueError(f"a thing is ({'|'.join(SHAPES)} {'|'.join(COLOURS)}), not {write(thing)[:40]}")
        out.append([*thing, SIDE * (i % ACROSS), SIDE * (i // ACROSS)])
    return out


def svg_of(value: Any) -> str | None:
    """A picture as an SVG element; None for any other value."""
    if not isinstance(value, list) or value[:1] != [Symbol("picture")]:
        return None
    drawn = ""
    for thing in value[1:]:
        if not isinstance(thing, list) or len(thing) != 4 or not _named(thing) or not all(
                isinstance(v, (int, float)) for v in thing[2:]):
            return None
        colour = COLOURS[thing[1]]
        drawn += (f'<g transform="translate({thing[2]:g} {thing[3]:g})" fill="{colour}" color="{colour}">'
                  f"<title>{thing[1]} {thing[0]}</title>{SHAPES[thing[0]]}</g>")
    rows = max(1, -(-(len(value) - 1) // ACROSS))
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {SIDE * ACROSS} {SIDE * rows}" '
            f'width="{SIDE * ACROSS}" height="{SIDE * rows}" role="img">{drawn}</svg>')


__all__ = ["COLOURS", "SHAPES", "svg_of"]
