"""Charts as inline SVG, written by hand: no library, no script, readable in light and dark.

A chart is drawn in a fixed viewBox and scales to its column; colours come from the page's CSS (`.s0`, `.s1` ... one a
system, with a dash and a marker of its own so that colour is never the only sign).
"""
from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from .tags import tag, text

W, H = 560, 340
LEFT, RIGHT, TOP, BOTTOM = 68, 14, 14, 50
DASHES = ("", "7 4", "2 3", "10 3 2 3", "5 2 1 2 1 2", "12 5")
MARKERS = ("circle", "square", "triangle", "diamond", "cross")


@dataclass(frozen=True)
class Line:
    """One curve: `system` is its number in the page's palette; a `faint` one is a single seed under its mean."""

    system: int
    name: str
    points: tuple[tuple[float, float], ...]
    faint: bool = False


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round numbers from `low` to `high`, `about` of them."""
    if not high > low:
        return [low]
    raw = (high - low) / about
    unit = 10.0 ** math.floor(math.log10(raw))
    step = next(m * unit for m in (1, 2, 2.5, 5, 10) if m * unit >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [round(i * step, 10) for i in range(first, math.floor(high / step + 1e-9) + 1)]


def plain(v: float, of: Sequence[float] = ()) -> str:
    """A number for an axis: 0.25, 40, 1.5k, 3M; on an axis whose numbers are `of`, in the unit of the largest."""
    every = [x for x in (*of, v) if x] or [v]
    for size, mark in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if (most := max(map(abs, every))) >= size * 10 or (most >= size and all(x % (size / 100) == 0 for x in every)):
            return f"{v / size:g}{mark if v else ''}"
    return f"{v:g}"


def marker(kind: int, x: float, y: float, size: float = 3.2, title: str = "") -> str:
    """A point of the system's own shape."""
    name, r = MARKERS[kind % len(MARKERS)], size
    inner = f"<title>{escape(title)}</title>" if title else ""
    if name == "circle":
        return f'<circle class="m" cx="{x:.1f}" cy="{y:.1f}" r="{r}">{inner}</circle>'
    shape = {
        "square": f"M{x - r:.1f} {y - r:.1f}h{2 * r}v{2 * r}h{-2 * r}z",
        "triangle": f"M{x:.1f} {y - 1.2 * r:.1f}l{1.2 * r:.1f} {2.2 * r:.1f}h{-2.4 * r:.1f}z",
        "diamond": f"M{x:.1f} {y - 1.4 * r:.1f}l{1.4 * r:.1f} {1.4 * r:.1f}l{-1.4 * r:.1f} "
        f"{1.4 * r:.1f}l{-1.4 * r:.1f} {-1.4 * r:.1f}z",
        "cross": f"M{x - r:.1f} {y - r:.1f}l{2 * r} {2 * r}m0 {-2 * r}l{-2 * r} {2 * r}",
    }[name]
    return f'<path class="m{" open" if name == "cross" else ""}" d="{shape}">{inner}</path>'


def line_chart(
    lines: Sequence[Line], x_label: str, y_label: str, title: str, y_max: float | None = None,
    x_max: float | None = None, markers: bool = True, y_min: float = 0.0, x_min: float = 0.0,
    at: Mapping[float, str] | None = None,
) -> str:
    """Curves over a common pair of axes that begin at zero, or at `x_min` and `y_min` (above zero: with a `y_max`); an
    empty string when there is nothing to draw. at: what is written below the curves at which places, in the place of
    round numbers."""
    points = [p for line in lines for p in line.points if all(map(math.isfinite, p))]
    if not points:
        return ""
    right = x_max or max(x for x, _ in points) or 1.0
    x_min = x_min if x_min < right else 0.0
    highest = max(y for _, y in points)
    top = y_max or (0.0 if y_min < 0 and highest <= 0 else roof(highest))
    px = lambda x: LEFT + (W - LEFT - RIGHT) * (x - x_min) / (right - x_min)
    py = lambda y: H - BOTTOM - (H - TOP - BOTTOM) * (min(max(y, y_min), top) - y_min) / (top - y_min)
    out = [f'<svg viewBox="0 0 {W} {H}" role="img" aria-label="{escape(title, quote=True)}" class="chart">'
           f'<title>{escape(title)}</title>']
    rows, round_ = ticks(y_min, top), ticks(x_min, right, 6)
    for t in rows:
        out.append(f'<line class="grid" x1="{LEFT}" x2="{W - RIGHT}" y1="{py(t):.1f}" y2="{py(t):.1f}"/>'
                   f'<text class="tick" x="{LEFT - 8}" y="{py(t) + 4:.1f}" text-anchor="end">{plain(t, rows)}</text>')
    for t, said in (at or {t: plain(t, round_) for t in round_}).items():
        out.append(f'<text class="tick" x="{px(t):.1f}" y="{H - BOTTOM + 20}" text-anchor="middle">'
                   f'{escape(said)}</text>')
    out.append(f'<line class="axis" x1="{LEFT}" x2="{W - RIGHT}" y1="{py(y_min):.1f}" y2="{py(y_min):.1f}"/>')
    out.append(f'<text class="label" x="{(LEFT + W - RIGHT) / 2}" y="{H - 4}" '
               f'text-anchor="middle">{escape(x_label)}</text>')
    middle = (TOP + H - BOTTOM) / 2
    out.append(f'<text class="label" x="14" y="{middle}" text-anchor="middle" transform="rotate(-90 14 '
               f'{middle})">{escape(y_label)}</text>')
    for line in lines:
        ok = [p for p in line.points if all(map(math.isfinite, p))]
        if not ok:
            continue
        d = "M" + "L".join(f"{px(x):.1f} {py(y):.1f}" for x, y in ok)
        dashed = "" if line.faint else _dash(line.system)
        out.append(f'<g class="s{line.system}{" faint" if line.faint else ""}" data-system="{line.system}">'
                   f'<path class="curve" d="{d}"{dashed}><title>{escape(line.name)}</title></path>')
        if markers and not line.faint or len(ok) == 1:  # a point makes no curve
            out += [marker(line.system, px(x), py(y), title=f"{line.name}: {y:.3f} at {x:,.4g} {x_label}")
                    for x, y in ok]
        out.append("</g>")
    return "".join(out) + "</svg>"


def _dash(system: int) -> str:
    dash = DASHES[system % len(DASHES)]
    return f' stroke-dasharray="{dash}"' if dash else ""


def around(values: Sequence[float]) -> tuple[float, float]:
    """(least, most) of an axis that holds these numbers with a tenth of their spread about them."""
    low, high = min(values), max(values)
    room = (high - low) / 10 or abs(high) / 10 or 1.0
    return low - room, high + room


def roof(v: float) -> float:
    """A round number at or above `v`."""
    if v <= 0:
        return 1.0
    step = ticks(0, v)
    unit = (step[1] - step[0] if len(step) > 1 else 0.0) or v  # ticks of a number near 0 are all 0
    return math.ceil(v / unit - 1e-9) * unit


def legend_swatch(system: int) -> str:
    """The little line and marker that stands for a system wherever it is named."""
    line = f'<path class="curve" d="M1 6H33"{_dash(system)}/>'
    return f'<svg class="swatch s{system}" viewBox="0 0 34 12" aria-hidden="true">{line}{marker(system, 17, 6)}</svg>'


def legend(lines: Iterable[Line]) -> str:
    """What each line of a chart is."""
    return tag("ul", *(tag("li", legend_swatch(x.system), text(x.name)) for x in lines), cls="legend")


def whisker(
    mean: float, spread: float | None, low: float, high: float, label: str, over: Sequence[float] | None = None,
    side: str = "",
) -> str:
    """A gain on a common scale: a dot at `mean`, a thin bar of `spread` either side, a broad one over the interval
    `over`, a line at nothing gained. side: "up", "down" or "level", which gives it its colour;
    that of the sign unless told."""
    w, h = 220, 26
    at = lambda v: 8 + (w - 16) * (min(max(v, low), high) - low) / ((high - low) or 1.0)
    bar = (f'<line class="whisker" x1="{at(mean - spread):.1f}" x2="{at(mean + spread):.1f}" y1="13" y2="13"/>'
           if spread else "")
    side = side or ("up" if mean > 0 else "down")
    broad = f'<line class="over" x1="{at(over[0]):.1f}" x2="{at(over[1]):.1f}" y1="13" y2="13"/>' if over else ""
    return (f'<svg class="gain {side}" viewBox="0 0 {w} {h}" role="img" aria-label="{escape(label, quote=True)}">'
            f'<title>{escape(label)}</title>'
            f'{broad}<line class="axis" x1="{at(0):.1f}" x2="{at(0):.1f}" y1="2" y2="24"/>'
            f'<line class="reach" x1="{at(0):.1f}" x2="{at(mean):.1f}" y1="13" y2="13"/>{bar}'
            f'<circle cx="{at(mean):.1f}" cy="13" r="5"/></svg>')


__all__ = ["Line", "around", "legend", "legend_swatch", "line_chart", "marker", "plain", "ticks", "whisker"]
