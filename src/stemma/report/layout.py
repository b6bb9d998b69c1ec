"""Where the boxes and lines of a lineage go: time runs down, a row a year,
and more rows where a paper builds on one of its own year.

The usual four steps of a layered drawing (Sugiyama et al. 1981): rows; points for lines that pass a row; an order in
each row that crosses few lines; places that keep the order and are as near to the neighbours' as can be.
"""
from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass, field

Edge = tuple[str, str]  # parent, child


@dataclass
class Layout:
    """Centres of boxes in pixels, the points of every line from parent to child, the first row of each year, and the
    size of it all."""

    at: dict[str, tuple[float, float]]
    lines: dict[Edge, list[tuple[float, float]]]
    years: list[tuple[int, float]]
    width: float
    height: float
    rows: list[list[str]] = field(default_factory=list)


def lay(years: dict[str, int], edges: Sequence[Edge], width: float = 150, row: float = 92, gap: float = 14,
        thin: float = 12) -> Layout:
    """Lay out boxes of `width` named by `years`, whose parents are not younger.
    `thin`: the room of a line that passes a row."""
    level = _levels(years, edges)
    row_of = {key: i for i, key in enumerate(sorted({(years[n], level[n]) for n in years}))}
    where = {n: row_of[years[n], level[n]] for n in years}
    rows: list[list[str]] = [[n for n in years if where[n] == i] for i in range(len(row_of))]
    chains: dict[Edge, list[str]] = {}
    links: list[Edge] = []
    for a, b in edges:
        between = [f"{a}>{b}@{i}" for i in range(where[a] + 1, where[b])]
        for i, name in zip(range(where[a] + 1, where[b]), between):
            rows[i].append(name)
        chain = [a, *between, b]
        chains[a, b] = chain
        links += zip(chain, chain[1:])
    above: dict[str, list[str]] = {n: [] for r in rows for n in r}
    below: dict[str, list[str]] = {n: [] for r in rows for n in r}
    for a, b in links:
        above[b].append(a)
        below[a].append(b)
    rows = _ordered(rows, above, below)
    room = {n: width + gap if n in years else thin for r in rows for n in r}
    x = _placed(rows, above, below, room, years)
    left = min(x[n] - room[n] / 2 for n in x)
    right = max(x[n] + room[n] / 2 for n in x)
    spot = {n: (x[n] - left, (i + 0.5) * row) for i, r in enumerate(rows) for n in r}
    first: dict[int, float] = {}
    for (year, _), i in row_of.items():
        first.setdefault(year, (i + 0.5) * row)
    return Layout({n: spot[n] for n in years}, {e: [spot[n] for n in c] for e, c in chains.items()},
                  sorted(first.items()), right - left, len(rows) * row, rows)


def _levels(years: dict[str, int], edges: Sequence[Edge]) -> dict[str, int]:
    """How many papers of its own year a paper builds on, one upon the other."""
    level = dict.fromkeys(years, 0)
    for _ in years:
        for a, b in edges:
            if years[a] == years[b]:
                level[b] = max(level[b], level[a] + 1)
    return level


def crossings(rows: list[list[str]], below: dict[str, list[str]]) -> int:
    """Pairs of lines that cross between neighbouring rows."""
    count = 0
    for upper, lower in zip(rows, rows[1:]):
        place = {n: i for i, n in enumerate(lower)}
        ends = [place[b] for a in upper for b in sorted(below[a], key=lambda n: place[n])]
        count += sum(p > q for i, p in enumerate(ends) for q in ends[i + 1 :])
    return count


def _ordered(rows: list[list[str]], above: dict[str, list[str]], below: dict[str, list[str]],
             sweeps: int = 24) -> list[list[str]]:
    """Rows sorted by the mean place of their neighbours, down and up by turns;
    the order with the fewest crossings wins."""
    best, fewest = [list(r) for r in rows], crossings(rows, below)
    rows = [list(r) for r in rows]
    for sweep in range(sweeps):
        near = below if sweep % 2 else above
        for i in range(len(rows) - 2, -1, -1) if sweep % 2 else range(1, len(rows)):
            other = rows[i + 1] if sweep % 2 else rows[i - 1]
            share = {n: (k + 0.5) / len(other) for k, n in enumerate(other)}
            own = {n: (k + 0.5) / len(rows[i]) for k, n in enumerate(rows[i])}
            rows[i].sort(key=lambda n: sum(share[m] for m in near[n]) / len(near[n]) if near[n]  # noqa: B023
                         else own[n])
        now = crossings(rows, below)
        if now < fewest:
            best, fewest = [list(r) for r in rows], now
    return best


def _placed(
    rows: list[list[str]], above: dict[str, list[str]], below: dict[str, list[str]], room: dict[str, float],
    boxes: Container[str], sweeps: int = 30
) -> dict[str, float]:
    """Places along each row that keep its order and its rooms apart, each as near as can be to the mean of its
    neighbours' (least squares)."""
    x: dict[str, float] = {}
    for r in rows:
        at = -sum(room[n] for n in r) / 2
        for n in r:
            x[n] = at + room[n] / 2
            at += room[n]
    for sweep in range(sweeps):
        for r in rows if sweep % 2 == 0 else rows[::-1]:
            wanted = []
            for n in r:
                # a line that passes stays straight
                near = [(1 + 3 * (n not in boxes and m not in boxes), x[m]) for m in (*above[n], *below[n])]
                wanted.append(sum(k * v for k, v in near) / sum(k for k, _ in near) if near else x[n])
            for n, v in zip(r, apart(wanted, [room[n] for n in r])):
                x[n] = v
    return x


def apart(wanted: Sequence[float], room: Sequence[float]) -> list[float]:
    """The places nearest to `wanted` (least squares) at which neighbours are half of both their rooms apart: isotonic
    regression of the slack."""
    offsets, total = [], 0.0
    for i, r in enumerate(room):
        total += (room[i - 1] + r) / 2 if i else 0.0
        offsets.append(total)
    blocks: list[list[float]] = []  # mean, count
    for w, o in zip(wanted, offsets):
        blocks.append([w - o, 1])
        while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
            (m, n), (p, q) = blocks.pop(-2), blocks.pop()
            blocks.append([(m * n + p * q) / (n + q), n + q])
    slack = [m for m, n in blocks for _ in range(int(n))]
    return [s + o for s, o in zip(slack, offsets)]


__all__ = ["Edge", "Layout", "apart", "crossings", "lay"]
