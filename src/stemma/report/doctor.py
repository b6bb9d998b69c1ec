"""What the doctor found, as one page: faults with their picture and record drawn, pictures that look alike side by
side, what the boxes are like, and where a trained system doubts a label. Nothing is fetched."""
from __future__ import annotations

import base64
import io
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from ..core import outputs
from ..core.samples import DataError
from ..core.sentence import many
from ..data.doctor import Report
from ..data.images import header
from ..data.records import Fault, Records
from ..engine.doubts import Doubt
from . import charts
from .sheet import POLICY, asset, coded, fold, remark, section
from .tags import items, table, tag, text

SIDE = 320  # pixels of a drawn picture's longer side
DRAWN, LISTED = 6, 50  # faults of a kind that are drawn, and listed
PAIRS, DOUBTS, TOPS = 8, 24, 6
GRID = 24  # cells of the map of places
Box = Sequence[float]


def write(report: Report, path: Path | str, begin: Mapping[str, str] | None = None,
          doubts: Sequence[Doubt] | None = None) -> Path:
    """Write the page to `path` and return it. begin: {"command", "says"} to begin with. doubts: of a trained system,
    None where none was asked. A file that Stemma did not write is never replaced."""
    return outputs.put_text(path, render(report, begin, doubts), "--html")


def render(report: Report, begin: Mapping[str, str] | None = None, doubts: Sequence[Doubt] | None = None) -> str:
    """The page as text."""
    parts = [
        ("faults", "Faults", _faults(report)),
        ("doubts", "Doubted labels", _doubts(report, doubts)),
        ("alike", "Pictures that look alike", _alike(report)),
        ("classes", report.sorts[1].capitalize(), _classes(report)),
        ("boxes", "Sizes, shapes and places", _boxes(report)),
        ("tops", "The smallest and the most crowded", _tops(report)),
        ("notes", "Notes", items(map(coded, report.notes)) if report.notes else ""),
    ]
    parts = [p for p in parts if p[2]]
    name = Path(report.where).name or report.where
    title = f"{name}: what the doctor found"
    pictures = sum(s.images for s in report.splits.values())
    meta = " · ".join([report.format, many(pictures, report.each.replace("image", "picture")), *report.about,
                       *report.kinds])
    head = tag("head", tag("meta", charset="utf-8"), tag("meta", http_equiv="Content-Security-Policy", content=POLICY),
               tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
               tag("link", rel="icon", href="data:,"), tag("title", text(title)),
               tag("style", asset("page.css") + asset("doctor.css")))
    body = tag("body", tag("header", tag("h1", text(title)), tag("p", text(meta), cls="meta")),
               tag("nav", items(tag("a", t, href=f"#{i}") for i, t, _ in parts), aria_label="Sections"),
               tag("main", _answer(report, begin), *(section(i, t, inside) for i, t, inside in parts)))
    return "<!doctype html>" + tag("html", head, body, lang="en") + "\n"


def _answer(report: Report, begin: Mapping[str, str] | None) -> str:
    kinds = Counter(f.kind for f in report.faults)
    if report.refused:
        hard = Counter(f.kind for f in report.faults if not f.safe)
        said = f"Training refuses these data until {_counted(hard)} {'is' if hard.total() == 1 else 'are'} mended."
    elif kinds:
        said = f"Training mends or leaves out what is wrong by itself: {_counted(kinds)}."
    else:
        said = "No faults."
    out = tag("div", tag("h2", "In short"), tag("p", text(said), cls="head"), cls=f"answer{' warn' * report.refused}")
    if begin:
        out += tag("div", tag("h2", "To begin with"), tag("pre", tag("code", text(begin["command"]))),
                   tag("p", text(begin["says"])), cls="answer")
    return out


def _counted(kinds: Counter[str]) -> str:
    return ", ".join(f"{n:,}\u00a0× {k}" for k, n in kinds.most_common())


# ---------------------------------------------------------------- pictures


def _figure(data: Records, i: int, boxes: Iterable[tuple[Box, str, str]], title: str, note: str,
            about: Box | None = None) -> str:
    """A picture with boxes (box, class of its line, word) over it; of `about` (x1, y1, x2, y2) its surroundings alone.
    Empty where the picture cannot be read."""
    try:
        image = data[i].image
    except DataError:
        return ""
    assert image is not None
    h, w = image.shape[:2]
    x1, y1, x2, y2 = (0, 0, w, h) if about is None else _around(about, w, h)
    part = Image.fromarray(np.ascontiguousarray(image[y1:y2, x1:x2]))
    part.thumbnail((SIDE, SIDE))
    uri = _uri(part)
    wide, high = x2 - x1, y2 - y1
    size = max(wide, high) / 20
    marks = []
    for box, kind, word in boxes:
        a, b, c, d = box[0] - x1, box[1] - y1, box[2] - x1, box[3] - y1
        far = a > wide / 2  # the word stands where it has room
        at = {"x": f"{a:.1f}", "y": f"{b:.1f}", "width": f"{max(c - a, 0.5):.1f}", "height": f"{max(d - b, 0.5):.1f}"}
        shown = tag("text", text(word), x=f"{min(c, wide) if far else max(a, 1):.1f}",
                    y=f"{min(max(b - size * 0.3, size), high - 2):.1f}", font_size=f"{size:.1f}",
                    stroke_width=f"{size / 4:.1f}", text_anchor="end" if far else None) if word else ""
        ring = tag("circle", cls=f"box {kind}", cx=f"{(a + c) / 2:.1f}", cy=f"{(b + d) / 2:.1f}",
                   r=f"{size:.1f}") if min(c - a, d - b) < size / 4 else ""  # too thin to be seen
        marks.append(tag("rect", cls="box under", **at) + tag("rect", cls=f"box {kind}", **at) + ring + shown)
    drawn = tag("svg", tag("image", href=uri, width=wide, height=high), *marks, viewBox=f"0 0 {wide} {high}",
                role="img", aria_label=f"{title}: {note}")
    return tag("figure", drawn, tag("figcaption", tag("b", text(title)), tag("span", text(note))))


def _around(box: Box, w: int, h: int) -> tuple[int, int, int, int]:
    """A square window about a box, four times as large and 64 pixels at least, cut to the picture."""
    side = min(max(64.0, 4 * max(box[2] - box[0], box[3] - box[1])), max(w, h))
    x, y = (box[0] + box[2] - side) / 2, (box[1] + box[3] - side) / 2
    x, y = min(max(x, 0), max(w - side, 0)), min(max(y, 0), max(h - side, 0))
    return int(x), int(y), int(min(x + side, w)), int(min(y + side, h))


def _uri(image: Image.Image, kind: str = "jpeg") -> str:
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, kind, quality=82)
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _wall(figures: Iterable[str]) -> str:
    found = [f for f in figures if f]
    return tag("div", *found, cls="finds") if found else ""


# ---------------------------------------------------------------- sections


def _faults(report: Report) -> str:
    groups: dict[str, list[Fault]] = defaultdict(list)
    for f in report.faults:
        groups[f.kind].append(f)
    at = {file: (data, i) for data in report.opened.values() for i, file in enumerate(data.table.files)}
    loose = _Loose(report)
    out = []
    for kind, found in sorted(groups.items(), key=lambda g: (all(f.safe for f in g[1]), -len(g[1]))):
        refused = "" if all(f.safe for f in found) else ": training refuses this"
        figures = []
        for f in [f for f in found if f.picture][:DRAWN]:
            boxes = [(f.box, "bad", f.kind)] if f.box and np.isfinite(f.box).all() else []
            where = at.get(f.picture)
            figures.append(_figure(*where, boxes, f.picture, f.record) if where else loose.figure(f, boxes))
        rows = [tag("tr", *(tag("td", text(v)) for v in (f.file, f.record, f.field, f.problem, f.mend)))
                for f in found[:LISTED]]
        head = "".join(tag("th", h, cls="plain", scope="col") for h in ("file", "record", "field", "problem", "mend"))
        more = remark(f"and {len(found) - LISTED:,} more; `stemma doctor --json` lists all") * (len(found) > LISTED)
        out.append(tag("h3", text(f"{len(found):,} × {kind}{refused}")) + _wall(figures)
                   + fold((f"{LISTED} of " if len(found) > LISTED else "") + many(len(found), "record"),
                          table(head, rows, "said") + more))
    return "".join(out)


class _Loose:
    """Pictures that were left out of their split for a fault, and are looked at for it."""

    def __init__(self, report: Report):
        self.data = next(iter(report.opened.values()), None)

    def figure(self, fault: Fault, boxes: Sequence[tuple[Box, str, str]]) -> str:
        if self.data is None or not (self.data.root / fault.picture).is_file():
            return ""
        try:
            size = header(self.data.root / fault.picture).size
        except DataError:
            return ""
        one = self.data.part([0])
        one.table = replace(one.table, files=[fault.picture], sizes=np.array([size]))
        return _figure(one, 0, boxes, fault.picture, fault.record)


def _doubts(report: Report, doubts: Sequence[Doubt] | None) -> str:
    if doubts is None:
        return ""
    if not doubts:
        return remark("The run is sure of nothing that disagrees with a label.")
    figures = []
    for d in doubts[:DOUBTS]:
        data = report.opened[d.split]
        truth = data.narrow({"boxes"}).truth(d.picture)
        boxes: list[tuple[Box, str, str]] = [(b, "known", "") for b in truth.boxes.tolist()]
        boxes.append((d.box, "bad", d.found or d.truth))
        figures.append(_figure(data, d.picture, boxes, data.table.files[d.picture], str(d), d.box))
    return remark(f"{many(len(doubts), 'place')} where the run disagrees with the labels and is sure, or finds "
                  f"nothing at all of what is labelled; the surest {min(len(doubts), DOUBTS)}. Thin boxes are labels. "
                  "Some of these are errors of the run.") + _wall(figures)


def _alike(report: Report) -> str:
    if not report.alike:
        return ""
    rows = []
    for a_split, a, b_split, b in report.alike[:PAIRS]:
        one, two = report.opened[a_split], report.opened[b_split]
        pair = [_figure(data, i, (), data.table.files[i], split)
                for data, i, split in ((one, a, a_split), (two, b, b_split))]
        rows.append(tag("div", *pair, cls="pair" + " across" * (a_split != b_split)))
    across = sum(p[0] != p[2] for p in report.alike)
    where = (f"{across:,} of them across splits, where what is trained on is measured. Those stand first" if across
             else "none of them across splits")
    return remark(f"{many(len(report.alike), 'pair')}, {where}.") + tag("div", *rows, cls="finds")


def _classes(report: Report) -> str:
    if not report.splits:
        return ""
    total: Counter[str] = Counter()
    for s in report.splits.values():
        total.update(s.classes)
    unit = next(iter(report.splits.values())).unit
    top = max(total.values(), default=1) or 1
    rows = []
    parts = report.splits if len(report.splits) > 1 else {}
    for name, n in total.most_common():
        if not n:
            continue
        own = [s.classes.get(name, 0) for s in parts.values()]
        bar = tag("td", text(f"{n:,}"), cls="main", style=f"--v:{100 * n / top:.1f}%")
        rows.append(tag("tr", tag("th", text(name), scope="row"), bar, *(tag("td", f"{v:,}") for v in own)))
    head = "".join(tag("th", text(h), cls="plain", scope="col") for h in (report.sort, f"{unit}, all", *parts))
    none = [n for n, v in total.items() if not v]
    rest = fold(f"{many(len(none), *report.sorts)} {'does' if len(none) == 1 else 'do'} not appear",
                tag("p", text(", ".join(none)))) if none else ""
    return table(head, rows) * bool(rows) + rest


def _boxes(report: Report) -> str:
    every = list(report.objects.values())
    if not every:
        return ""
    boxes = np.concatenate([o.boxes for o in every])
    sizes = np.concatenate([o.sizes[o.image] for o in every])[:, ::-1].astype(np.float64)  # width, height
    share = boxes.reshape(-1, 2, 2) / sizes[:, None]
    wide, high = (np.clip(share[:, 1] - share[:, 0], 1e-4, 1)).T
    ratio = np.log2((boxes[:, 2] - boxes[:, 0]) / np.maximum(boxes[:, 3] - boxes[:, 1], 1e-9))
    figures = [
        (_bars(np.sqrt(wide * high), np.linspace(0, 1, 21), "root of the share of the picture"), "Size"),
        (_bars(np.clip(ratio, -4, 4), np.linspace(-4, 4, 25), "log2 of width over height"), "Shape"),
        (_places(share), "Place: how often a point is covered"),
    ]
    return tag("div", *(tag("figure", drawn, tag("figcaption", tag("b", said))) for drawn, said in figures),
               cls="finds wide")


def _bars(values: np.ndarray, edges: np.ndarray, label: str) -> str:
    """A histogram."""
    counts, _ = np.histogram(values, edges)
    w, h, left, base, room = 320, 220, 40, 180, 172  # `base`: where bars stand, `room`: the tallest one's height
    top = charts.roof(max(int(counts.max()), 1))
    step = (w - left - 8) / len(counts)
    bars = [tag("rect", tag("title", f"{edges[k]:.2f} to {edges[k + 1]:.2f}: {n:,}"), cls="bin",
                x=f"{left + k * step:.1f}", y=f"{base - max(room * n / top, n > 0):.1f}", width=f"{step - 1:.1f}",
                height=f"{max(room * n / top, n > 0):.1f}") for k, n in enumerate(counts.tolist())]
    marks = charts.ticks(float(edges[0]), float(edges[-1]), 4)
    words = [tag("text", charts.plain(v, marks), cls="tick",
                 x=f"{left + (v - edges[0]) / (edges[-1] - edges[0]) * (w - left - 8):.1f}",
                 y=h - 20, text_anchor="middle") for v in marks]
    words += [tag("text", label, cls="label", x=(w + left) / 2, y=h - 3, text_anchor="middle"),
              tag("text", charts.plain(top), cls="tick", x=left - 4, y=18, text_anchor="end"),
              tag("text", "0", cls="tick", x=left - 4, y=base, text_anchor="end")]
    return tag("svg", *bars, *words, cls="chart", viewBox=f"0 0 {w} {h}", role="img", aria_label=f"histogram, {label}")


def _places(share: np.ndarray) -> str:
    """How many boxes cover each cell of the picture, as a map."""
    ends = np.clip((share * GRID).round().astype(int), 0, GRID)
    lift = np.zeros((GRID + 1, GRID + 1))
    low, high = ends[:, 0], np.maximum(ends[:, 1], ends[:, 0] + 1).clip(max=GRID)
    for x, y, sign in ((low[:, 0], low[:, 1], 1), (high[:, 0], low[:, 1], -1), (low[:, 0], high[:, 1], -1),
                       (high[:, 0], high[:, 1], 1)):
        np.add.at(lift, (y, x), sign)
    cover = lift.cumsum(0).cumsum(1)[:GRID, :GRID]
    grey = (255 - 215 * cover / max(cover.max(), 1)).astype(np.uint8)
    image = Image.fromarray(grey).resize((SIDE, SIDE), Image.Resampling.NEAREST)
    return tag("svg", tag("image", href=_uri(image, "png"), width=SIDE, height=SIDE), viewBox=f"0 0 {SIDE} {SIDE}",
               role="img", aria_label="map of how often a point of a picture is covered by a box")


def _tops(report: Report) -> str:
    own = {name: o for name, o in report.objects.items()  # no picture was passed over, so that numbers are theirs
           if name in report.opened and len(o.sizes) == len(report.opened[name])}
    if not own:
        return ""
    small = sorted((float(o.area[k]), name, k) for name, o in own.items()
                   for k in np.argsort(o.area, kind="stable")[:TOPS].tolist())[:TOPS]
    crowded = sorted((-n, name, i) for name, o in own.items()
                     for i, n in enumerate(np.bincount(o.image).tolist()))[:TOPS]
    figures = []
    for area, name, k in small:
        data, o = report.opened[name], own[name]
        i, word = int(o.image[k]), report.classes[int(o.labels[k])]
        figures.append(_figure(data, i, [(o.boxes[k], "bad", word)], data.table.files[i],
                               f"{word}, {area:,.0f} square pixels", o.boxes[k]))
    many = [_figure(report.opened[name], i, [(b, "known", "") for b in own[name].boxes[own[name].image == i].tolist()],
                    report.opened[name].table.files[i], f"{-n:,} objects") for n, name, i in crowded]
    return tag("h3", "Smallest objects") + _wall(figures) + tag("h3", "Most objects") + _wall(many)


__all__ = ["render", "write"]
