"""A comparison of networks that are carried over as one page, `report.html`: the table of networks and data sets,
accuracy where they were trained against what they carry over, with r, and every set by itself."""
from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..core import outputs
from ..core.sentence import many
from ..engine.transfer.findings import RANDOM, TUNED
from . import charts
from .sheet import PALETTE, answered, definitions, fold, made_on, page, remark, runs_of
from .tags import table, tag, text

System = dict[str, Any]
CLEAR = 4  # networks from which an interval of r can be told


def answer(r: dict[str, Any]) -> tuple[str, list[str]]:
    """(the first sentence, more): which network carries over best, how source and transfer go together, and what the
    whole network's training adds."""
    systems, linear = r["systems"], r["ways"]["linear"]
    best = systems[0]
    head = (f"{best['title']} carries over best: {best['summary']['accuracy']['mean']:.3f} in the mean of "
            f"{many(len(linear['sets']), 'data set')}.")
    more = []
    if len(systems) > 1:
        gap = best["adjusted"] - systems[1]["adjusted"]
        wide = max((v for v in (best["interval"], systems[1]["interval"]) if v is not None and v == v),
                   default=math.nan)
        sure = "more than either's interval" if gap > wide else "within their intervals" if wide == wide else (
            "of one set, so that there is no interval")
        more.append(f"Next is {systems[1]['title']}, {gap:.2f} below in adjusted logits, {sure}.")
        if r.get("apart"):
            told = ", ".join(f"{p:.2g} on {n}" for n, p in r["apart"].items())
            more.append("Were their answers exchanged by chance, picture by picture, they would lie as far apart with "
                        f"a probability of {told} (100,000 draws).")
    for way, said in r["ways"].items():
        if (line := together(said, way)) is not None:
            more.append(line)
    for s in systems:
        lost = [n for n, v in s["runs"][0]["untrained"].items() if v >= (accuracy(r, s, "linear", n) or 0.0)]
        if lost:
            more.append(f"{s['title']} sees no more than the same network with random weights on {', '.join(lost)}.")
    return head, more


def together(said: dict[str, Any], way: str) -> str | None:
    """r of a way with its interval, in a sentence; None where there are fewer than three networks to tell it from."""
    c = said.get("r")
    if c is None or c["r"] is None or c["r"] != c["r"]:
        return None
    name = "Logistic regression" if way == "linear" else way[0].upper() + way[1:]
    line = f"{name}: r = {c['r']:.2f} of source accuracy and transfer, n = {c['n']} networks"
    if c["n"] < CLEAR:
        return line + ", too few for an interval."
    line += f", 95 % interval {c['low']:.2f} to {c['high']:.2f}"
    less = said.get("r_without_weakest")
    if less is not None and less["r"] is not None and less["r"] == less["r"]:
        line += f"; without {said['weakest']}, the weakest, r = {less['r']:.2f}"
    return line + "."


def accuracy(r: dict[str, Any], s: System, way: str, name: str) -> float | None:
    """A network's accuracy on a set in a way."""
    said = r["ways"][way]
    i = next(k for k, x in enumerate(r["systems"]) if x["id"] == s["id"])
    return said["table"][i][said["sets"].index(name)] if name in said["sets"] else None


def write(results: dict[str, Any], folder: Path | str) -> Path:
    """Write `report.html` into `folder`."""
    return outputs.put_text(Path(folder) / "report.html", render(results))


def render(r: dict[str, Any]) -> str:
    """The page as text."""
    colour = {s["id"]: i % PALETTE for i, s in enumerate(r["systems"])}
    sections = [("results", "Results", "Networks and data sets", "".join(_table(r, way, colour) for way in r["ways"])),
                ("source", "Source", "Accuracy at the source, and what is carried over", _scatters(r, colour)),
                ("findings", "Findings", "What the paper found, held against these networks", _findings(r)),
                ("course", "In order", "Over the data sets in order", _course(r, colour)),
                ("sets", "Sets", "Each data set by itself", _sets(r, colour)),
                ("paths", "Paths", "Along the path of strengths", _paths(r, colour)),
                ("curves", "On the way", "Accuracy on the way", _curves(r, colour)),
                ("made", "Method", "How this was made", _made(r))]
    title = f"{many(len(r['systems']), 'network')} on {many(len(r['sets']), 'data set')}"
    about = f"{', '.join(s['name'] for s in r['sets'])} · {many(r['seeds'], 'seed')} each · preset {r['preset']}"
    return page(r, title, about,
                answered(r, "In short", answer(r)), sections)


def _findings(r: dict[str, Any]) -> str:
    rows = [tag("tr", *(tag("td", text(f[k]), cls="left") for k in ("finding", "verdict", "says")))
            for f in r.get("findings", ())]
    heads = "".join(tag("th", h, cls="left") for h in ("finding", "verdict", "numbers"))
    return remark("Pass, fail, or inconclusive: what cannot be told from what was run.") + table(
        heads, rows, "plain wrap") if rows else ""


def _table(r: dict[str, Any], way: str, colour: dict[str, int]) -> str:
    said = r["ways"][way]
    if not said["sets"]:
        return ""
    names = ("network", "source top-1", *said["sets"], "mean logit, adjusted")
    best = [max(row[k] for row in said["table"]) for k in range(len(said["sets"]))]
    rows = []
    for i, s in enumerate(r["systems"]):
        cells = [tag("th", charts.legend_swatch(colour[s["id"]]), " ", text(s["title"]), scope="row"),
                 tag("td", "–" if s["top1"] is None else f"{s['top1']:.3f}", data_sort=f"{s['top1'] or 0:.6g}")]
        for k, v in enumerate(said["table"][i]):
            random = s["runs"][0]["untrained"].get(said["sets"][k]) if way == "linear" else None
            less = tag("span", f"random {random:.3f}", cls="sub") if random is not None else ""
            cells.append(tag("td", f"{v:.3f}", less, cls="best" if v == best[k] else "", data_sort=f"{v:.6g}"))
        half = said["intervals"][i]
        own = tag("span", f"± {half:.2f}", cls="sub") if half is not None and half == half else ""
        cells.append(tag("td", f"{said['adjusted'][i]:+z.2f}", own, data_sort=f"{said['adjusted'][i]:.6g}"))
        rows.append(tag("tr", *cells))
    measures = {x["name"]: x["measure"] for x in r["systems"][0]["runs"][0]["results"]["sets"]}
    told = ", ".join(f"{n}: {measures[n]}" for n in said["sets"])
    note = remark(("Logistic regression on fixed features. " if way == "linear" else f"The whole network, {way}. ")
                  + f"Test pictures, mean over seeds ({told}). The last column is the mean over sets of the logit less "
                  "each set's mean, with the 95 % interval that is left when sets' own differences are removed.")
    return note + table("".join(tag("th", tag("button", text(n)), scope="col") for n in names), rows, "sortable")


def scatter(points: list[tuple[int, str, float, float]], x_label: str, y_label: str, title: str,
            back: Callable[[float], str] = charts.plain) -> str:
    """Points (system, name, x, y) with their names, on axes that are as long as they are."""
    low = [min(x for *_, x, _ in points), min(y for *_, y in points)]
    high = [max(x for *_, x, _ in points), max(y for *_, y in points)]
    room = [0.12 * (b - a) or 0.5 for a, b in zip(low, high)]
    x0, x1, y0, y1 = low[0] - room[0], high[0] + room[0], low[1] - room[1], high[1] + room[1]
    w, h, left, bottom = charts.W, charts.H, charts.LEFT, charts.BOTTOM
    px = lambda x: left + (w - left - charts.RIGHT) * (x - x0) / (x1 - x0)
    py = lambda y: h - bottom - (h - charts.TOP - bottom) * (y - y0) / (y1 - y0)
    out = [f'<svg viewBox="0 0 {w} {h}" role="img" aria-label="{text(title)}" class="chart">'
           f'<title>{text(title)}</title>']
    rows = charts.ticks(y0, y1)
    for t in rows:
        out.append(f'<line class="grid" x1="{left}" x2="{w - charts.RIGHT}" y1="{py(t):.1f}" y2="{py(t):.1f}"/>'
                   f'<text class="tick" x="{left - 8}" y="{py(t) + 4:.1f}" text-anchor="end">'
                   f'{charts.plain(t, rows)}</text>')
    for t in charts.ticks(x0, x1, 6):
        out.append(f'<text class="tick" x="{px(t):.1f}" y="{h - bottom + 20}" text-anchor="middle">{back(t)}</text>')
    out.append(f'<text class="label" x="{(left + w) / 2}" y="{h - 4}" text-anchor="middle">{text(x_label)}</text>')
    middle = (charts.TOP + h - bottom) / 2
    out.append(f'<text class="label" x="14" y="{middle}" text-anchor="middle" transform="rotate(-90 14 {middle})">'
               f'{text(y_label)}</text>')
    for system, name, x, y in points:
        out.append(f'<g class="s{system}" data-system="{system}">'
                   + charts.marker(system, px(x), py(y), 5, f"{name}: {y:.2f} at {back(x)}")
                   + f'<text class="tick" x="{px(x) + 8:.1f}" y="{py(y) - 6:.1f}">{text(name)}</text></g>')
    return "".join(out) + "</svg>"


def _share(logit: float) -> str:
    return f"{1 / (1 + math.exp(-logit)):.3f}"


def _scatters(r: dict[str, Any], colour: dict[str, int]) -> str:
    panels = []
    for way, said in r["ways"].items():
        tops = said.get("logit_top1") or {}
        points = [(colour[s["id"]], s["title"], tops[s["id"]], said["adjusted"][i]) for i, s in enumerate(r["systems"])
                  if s["id"] in tops]
        if len(points) > 1:
            head = "Logistic regression" if way == "linear" else way
            told = together(said, way)
            panels.append(tag("div", tag("h4", text(head)), scatter(
                points, "accuracy at the source (logit scale)", "adjusted logit", f"Source against transfer, {head}",
                _share), remark(told or "Fewer than three networks: no correlation is told.")))
    of = sorted({s["top1_of"] for s in r["systems"] if s["top1_of"]})
    note = "Every network by its accuracy where it was trained" + (f" ({'; '.join(of)})" if of else "") + (
        " and by the mean over sets of its adjusted logit. r is of these points; few networks prove little.")
    return remark(note) + tag("div", *panels, cls="two") if panels else ""


def _sets(r: dict[str, Any], colour: dict[str, int]) -> str:
    said = r["ways"]["linear"]
    tops = said.get("logit_top1") or {}
    panels = []
    for k, name in enumerate(said["sets"]):
        points = [(colour[s["id"]], s["title"], tops[s["id"]], _logit(said["table"][i][k], said["counts"][k]))
                  for i, s in enumerate(r["systems"]) if s["id"] in tops]
        if len(points) < 2:
            continue
        c = said["each"].get(name) or {}
        told = (f"r = {c['r']:.2f}, n = {c['n']}" + (f", {c['low']:.2f} to {c['high']:.2f}" if c["n"] >= CLEAR else "")
                if c.get("r") is not None and c["r"] == c["r"] else "r cannot be told")
        panels.append(tag("div", tag("h4", text(name)), scatter(points, "accuracy at the source (logit scale)",
                                                               "logit of accuracy", f"Source against {name}", _share),
                          remark(told)))
    return tag("div", *panels, cls="two") if panels else ""


def _logit(a: float, n: int) -> float:
    a = min(max(a, 0.5 / n), 1 - 0.5 / n)
    return math.log(a / (1 - a))


def _course(r: dict[str, Any], colour: dict[str, int]) -> str:
    """Accuracy over the sets as they were named, which for levels goes from near to far, in every way."""
    panels = []
    for way, said in r["ways"].items():
        if len(said["sets"]) < 3:
            continue
        lines = [charts.Line(colour[s["id"]], s["title"], tuple((k + 1.0, v) for k, v in enumerate(said["table"][i])))
                 for i, s in enumerate(r["systems"])]
        head = "all pictures" if way == "linear" else way
        panels.append(tag("div", tag("h4", text(head)), charts.line_chart(
            lines, ", ".join(f"{k}: {n}" for k, n in enumerate(said["sets"], 1)), "accuracy on test",
            f"Accuracy over the data sets, {head}")))
    return tag("div", *panels, cls="two") + _lost(r, colour) if panels else ""


def _lost(r: dict[str, Any], colour: dict[str, int]) -> str:
    """Per set, what a network loses of its accuracy at the source, and how far it is from the first that was named."""
    said, ids = r["ways"]["linear"], [s["id"] for s in r["systems"]]
    first = next((i for i in r["titles"] if i in ids), ids[0])
    beside = said["table"][ids.index(first)]
    rows = []
    for s, row in zip(r["systems"], said["table"]):
        cells = [tag("td", f"{100 * (v / s['top1'] - 1):+.0f} %" if s["top1"] else "–",
                     "" if s["id"] == first else tag("span", f"{100 * (v - w):+.1f} points", cls="sub"),
                     data_sort=f"{v:.6g}") for v, w in zip(row, beside)]
        rows.append(tag("tr", tag("th", charts.legend_swatch(colour[s["id"]]), " ", text(s["title"]), scope="row"),
                        *cells))
    name = next(s["title"] for s in r["systems"] if s["id"] == first)
    return remark(f"By regression, all pictures: how much of its accuracy at the source a network loses on a set, and "
                  f"how many points of accuracy lie between it and {name}, which was named first.") + table(
        "".join(tag("th", tag("button", text(n)), scope="col") for n in ("network", *said["sets"])), rows, "sortable")


def _paths(r: dict[str, Any], colour: dict[str, int]) -> str:
    panels = []
    for k, name in enumerate(x["name"] for x in r["systems"][0]["runs"][0]["results"]["sets"]):
        lines = []
        for s in r["systems"]:
            path = s["runs"][0]["results"]["sets"][k]["path"]
            if path and "strength" in path[0]:
                points = tuple((5 - math.log10(p["strength"]), p["val"]) for p in path)
                lines.append(charts.Line(colour[s["id"]], s["title"], points))
        if chart := charts.line_chart(lines, "5 - log10 of the strength: weaker to the right", "accuracy on validation",
                                      f"{name}: accuracy against strength", markers=False):
            panels.append(tag("div", tag("h4", text(name)), chart))
    return remark("How accuracy on validation goes with the strength of the penalty; the first seed of each.") + tag(
        "div", *panels, cls="two") if panels else ""


def _curves(r: dict[str, Any], colour: dict[str, int]) -> str:
    """Accuracy against steps of the last trainings, and how much sooner learned weights are where random ones end."""
    panels, sooner = [], []
    for k, name in enumerate(x["name"] for x in r["systems"][0]["runs"][0]["results"]["sets"]):
        lines = []
        for s in r["systems"]:
            curves = {way: v["curve"] for way, v in s["runs"][0]["results"]["sets"][k]["grids"].items()
                      if v.get("curve")}
            lines += [charts.Line(colour[s["id"]], f"{s['title']}, {way}",
                                  tuple((math.log2(p["steps"]), p["test"]) for p in curve), faint=way == RANDOM)
                      for way, curve in curves.items()]
            if TUNED in curves and RANDOM in curves:
                end = curves[RANDOM][-1]
                at = next((p["steps"] for p in curves[TUNED] if p["test"] >= end["test"]), None)
                sooner.append(f"{s['title']} on {name}: " + (f"{end['steps'] / at:.1f} times as soon" if at else "not"))
        if chart := charts.line_chart(lines, "log2 of the steps", "accuracy on test",
                                      f"{name}: accuracy against steps"):
            panels.append(tag("div", tag("h4", text(name)), chart))
    says = "The first seed of each; faint from a random start."
    if sooner:
        says += " Learned weights are where random ones end: " + "; ".join(sooner) + "."
    return remark(says) + tag("div", *panels, cls="two") if panels else ""


def _made(r: dict[str, Any]) -> str:
    facts = {
        "command": tag("code", text(r["command"])),
        "data": text("; ".join(f"{s['name']}: {many(s['classes'], 'class', 'classes')}, "
                               f"{s['count']['train']:,} to train on, "
                               f"{s['count']['val']:,} to choose by, {s['count']['test']:,} to measure on"
                               for s in r["sets"])),
        "beside": text("; ".join(r["data"]["notes"])),
        "weights": text("; ".join(f"{s['title']}: {s['runs'][0]['weights']}" for s in r["systems"])),
        "budget": text(f"{r['budget']} of trainings for each of {many(r['seeds'], 'seed')}; regression is not counted "
                       "in it"),
        **made_on(r),
    }
    return definitions(facts) + fold("Every run", runs_of(r, {"seed": "seed", "folder": "folder",
                                                             "finished": "finished"}))


__all__ = ["accuracy", "answer", "render", "scatter", "together", "write"]
