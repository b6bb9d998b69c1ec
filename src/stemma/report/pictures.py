"""`results.json` as one page, `report.html`: answers first, nothing fetched, readable without its script.

The page is a function of the results and of the picture files beside them, so it can be written anew at any time.
"""
from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from ..core import outputs
from ..core.paper import named
from ..core.sentence import many
from ..engine.pictures.verdict import verdict
from . import charts, words
from .claims import of_results
from .sheet import PALETTE, System, beside, coded, definitions, fold, made_on, page, remark, runs_of
from .tags import items, table, tag, text
from .wall import wall
from .words import ERRORS, MAINS, MEASURES, SECTIONS, mean_of

ROOM, LONG = 9, 7  # columns besides the main one that 1,152 pixels have room for; of long headings
MOST_CLASSES = 24  # of a confusion matrix shown at once
MOST_ROWS = 300  # of the table of classes
Groups = dict[str, list[System]]  # main measure -> the systems it ranks


def write(results: dict[str, Any] | Path, folder: Path | str | None = None) -> Path:
    """Write `report.html` into `folder` from results, or from the path of a `results.json`. Returns the page's path.

    Raises `FileNotFoundError` where a picture that the results name is missing.
    """
    if isinstance(results, Path):
        folder = folder or results.parent
        results = json.loads(results.read_text(encoding="utf-8"))
    assert folder is not None and isinstance(results, dict), "a folder is needed beside a dict of results"
    path = Path(folder) / "report.html"
    return outputs.put_text(path, render(results, Path(folder)))


def render(results: dict[str, Any], folder: Path) -> str:
    """The page as text. `folder` holds the pictures that the results name."""
    systems = results["systems"]
    colour = {s["id"]: i % PALETTE for i, s in enumerate(systems)}
    groups: Groups = {m: v for m in MAINS if (v := [s for s in systems if s["main"] == m])}
    sections = [
        ("results", "Results", "Results", _tables(groups, colour, results["data"])),
        ("ideas", "Ideas", "What each idea bought", _edges(results)),
        ("claims", "Claims", "What the papers claim of one another", _claims(results)),
        ("learning", "Learning", "Learning", _learning(results, groups, colour)),
        ("precision", "Precision", "Precision and recall", _precision(systems, colour)),
        ("recall", "Recall", "Recall of proposals", _recall(systems, colour)),
        ("classes", "Classes", "Class by class", _classes(groups, colour)),
        ("errors", "Errors", "Errors by kind", _errors(systems)),
        ("confusion", "Confusion", "What is taken for what", _confusion(systems)),
        ("pictures", "Pictures", "Where they disagree most", _pictures(results, groups, folder)),
        ("made", "Method", "How this was made", _made(results)),
    ]
    title = f"{many(len(systems), 'system')}, {words.length(results)} each, on {results['data']['name']}"
    return page(results, title, _meta(results), _answers(results, groups), sections)


def _meta(r: dict[str, Any]) -> str:
    d = r["data"]
    parts = [many(d["train"], "training picture")] if d.get("train") else []
    parts += [f"measured on {said}"] if (said := words.measured_on(d)) else []
    parts += [many(len(d.get("classes", [])), "class", "classes"), f"{many(r['seeds'], 'seed')} each",
              f"preset {r['preset']}"]
    return " · ".join([*parts, *filter(None, [r.get("machine", {}).get("device")])])


def _answers(r: dict[str, Any], groups: Groups) -> str:
    out = []
    line, alone = words.untrained_line(r), len(groups) == 1
    for main in groups:
        head, more = words.answer(r, main)
        more = [*more, line] if line and alone else more
        if head:
            out.append(tag("div", tag("h2", SECTIONS[main]), tag("p", text(head), cls="head"),
                           items(map(coded, more)) if more else "", cls="answer"))
    failed = ([(s["title"], x) for s in r["systems"] for x in s["runs"] if x["status"] != "done"]
              + [(x["title"], x) for x in r.get("failed", [])])
    if failed:
        lines = [text(f"{t}, seed {x.get('seed', '?')}: {x.get('error') or 'did not finish'}") for t, x in failed]
        out.append(tag("div", tag("h2", "Not finished"), items(lines), cls="answer warn", role="note"))
    return "".join(out) + beside(r, *([line] if line and not alone else ()))


# ---------------------------------------------------------------- tables


def _tables(groups: Groups, colour: dict[str, int], data: dict[str, Any]) -> str:
    shown = any(x.get("interval") for v in groups.values() for s in v for x in s["summary"].values())
    over = ("“Low to high” under a number is its 95 % interval over pictures: where it might lie on other pictures of "
            "the kind, by a bootstrap of those measured. " if shown else "")
    few = (f", on {data['untrained']:,} of the pictures" if data.get("untrained")
           and data["untrained"] != data.get("measured") else "")
    on = f"Measured on {said}. " if (said := words.measured_on(data)) else ""
    out = [remark(f"{on}Means over seeds, ± their standard deviation. {over}A dot marks the best of a column; click a "
                  f"heading to sort. “Untrained” is the same net with random weights, measured in the same way{few}.")]
    for main, systems in groups.items():
        out += [tag("h3", SECTIONS[main])] if len(groups) > 1 else []
        for title, columns in _split(systems, main).items():
            out += [tag("h4", title) if title else "", _table(systems, main, colour, columns)]
        more = [m for m in (*words.FOLDED.get(main, ()), *words.MORE)
                if any(mean_of(s, m) is not None for s in systems)]
        if more:
            parts = [more[i : i + LONG] for i in range(0, len(more), LONG)]
            out.append(fold("More measures", "".join(_table(systems, main, colour, part, bare=True) for part in parts)))
    return "".join(out)


def _split(systems: list[System], main: str) -> dict[str, list[str]]:
    """A section's columns besides the main one, by the heading of the table that they stand in: as few tables as have
    room for them."""
    aside = (main, *words.FOLDED.get(main, ()), *words.COSTS)
    there = [m for m in MEASURES if any(mean_of(s, m) is not None for s in systems)]
    scores = [m for m in there if m not in aside]
    out = {"": scores}
    if len(scores) > ROOM:
        out = {kind: [m for m in scores if m in members] for kind, members in words.KINDS.items()}
    out |= {"What it costs": [m for m in there if m in words.COSTS]}
    return {title: columns for title, columns in out.items() if columns or not title}


def _table(systems: list[System], main: str, colour: dict[str, int], others: list[str], bare: bool = False) -> str:
    """A table of the main measure and `others`, best first. bare: without intervals and untrained nets."""
    columns = [main, *others]
    bare = bare or all(m in words.COSTS for m in others) and bool(others)
    top = max((mean_of(s, main) or 0.0 for s in systems), default=0.0) or 1.0
    best = {m: _best(systems, m) for m in columns}
    heads = [tag("th", tag("button", "system"), scope="col")]
    heads += [tag("th", tag("button", words.heading(m)), scope="col", title=words.about(m)[1],
                  aria_sort="descending" if m == main else None) for m in columns]
    rows = []
    for s in words.ranked(systems, main) + [s for s in systems if mean_of(s, main) is None]:
        cells = [tag("th", charts.legend_swatch(colour[s["id"]]), " ", text(s["title"]), " ",
                     tag("small", text(s.get("year", ""))), scope="row")]
        for m in columns:
            v, x = mean_of(s, m), s["summary"].get(m, {})
            shown = words.written(m, v)
            spread = x.get("spread") if words.varies(m) else None
            lines = [words.spread_of(m, v, spread)] if v is not None and spread is not None else []
            lines += [words.between(x["interval"])] if x.get("interval") and not bare else []
            sort = "" if v is None else f"{v:.6g}"
            kind = "best" if best[m] == s["id"] else ""
            if m == main:
                lines += ([f"untrained {words.score(x['untrained'])}"] if x.get("untrained") is not None and not bare
                          else [])
                share = 100 * max(v or 0.0, 0.0) / top
                attributes = {"cls": f"{kind} main s{colour[s['id']]}".strip(), "style": f"--v:{share:.0f}%"}
            else:
                attributes = {"cls": kind}
            cells.append(tag("td", shown, *(tag("span", line, cls="sub") for line in lines), data_sort=sort,
                             **attributes))
        rows.append(tag("tr", *cells))
    return table("".join(heads), rows, "sortable")


def _best(systems: list[System], measure: str) -> str | None:
    """The one system that leads in a measure; None when it is alone or shares the lead."""
    values = sorted((v, s["id"]) for s in systems if (v := mean_of(s, measure)) is not None)
    more_is_better = ((words.about(measure)[2] == "score" and measure not in words.LESS)
                      or measure.endswith("images_per_second"))
    lead, chaser = ((values[-1], values[-2]) if len(values) > 1 and more_is_better
                    else (values[0], values[1]) if len(values) > 1 else (None, None))
    return lead[1] if lead and chaser and lead[0] != chaser[0] else None


# ---------------------------------------------------------------- what each idea bought


def _edges(r: dict[str, Any]) -> str:
    edges = r.get("edges", [])
    if not edges:
        return ""
    titles = {s["id"]: s["title"] for s in r["systems"]}
    ends = [abs(v) for e in edges if e.get("gain") is not None
            for v in (e["gain"], abs(e["gain"]) + (e.get("spread") or 0.0), *(e.get("interval") or ()))]
    reach = max(ends, default=0.0) or 1.0
    note = remark("Along every line of descent among the systems compared: what the child says that it changes of its "
                 "parent, as far as the two systems that were trained bear it out, and what that was worth here, "
                 "under this budget and on this data. Where they are trained differently too, that is said apart; "
                 "`compare --same-recipe` trains all alike. "
                 "It is the whole step that is measured, not each sentence alone, "
                 "and a gain at a small budget need not hold at the published one. A gain is clear where the seeds do "
                 "not interlock and the interval over pictures, both systems measured on the same resamples of them, "
                 "leaves out nothing gained: the broad bar is that interval, the thin one the deviation over seeds.")
    split = r["data"].get("split", "")
    return note + tag("ul", *(_edge(e, titles, reach, split) for e in edges), cls="edges")


def _edge(e: dict[str, Any], titles: dict[str, str], reach: float, split: str) -> str:
    via = tag("span", text(f" by way of {', '.join(e['through'])}"), cls="note") if e.get("through") else ""
    name = tag("h3", text(titles[e["parent"]]), tag("span", "→", cls="arrow", aria_label="to"),
               text(titles[e["child"]]), via)
    by = lambda c: f" · {c['by']}" if e.get("through") and c.get("by") else ""
    slots = lambda c: tag("span", text(named(c["slots"]) + by(c)), cls="slot")
    changes = items(text(c["what"]) + " " + slots(c) for c in e["changes"]) + _apart(e, slots)
    said = tag("div", text(words.edge_verdict(e)), cls="verdict")
    if e.get("gain") is None:
        return tag("li", tag("div", name, changes), tag("div", said))
    label, gain, spread = MEASURES[e["metric"]][0], e["gain"], e.get("spread")
    found, ends = verdict(e), e.get("interval")
    side = ("up" if gain > 0 else "down") if found.told_apart else "level"
    small = tag("small", f" ± {words.score(spread)} {label}" if spread is not None else f" {label}")
    figure = tag("div", words.signed(gain), small, cls=f"figure {side}")
    drawn = charts.whisker(gain, spread, -reach, reach, f"{words.signed(gain)} {label}: {found.short()}", ends, side)
    over = tag("div", text(f"{words.between(ends, sign=True)} over {found.count:,} {split} "
                           "pictures"), cls="over") if ends else ""
    would = tag("div", text(found.would(split)), cls="over") if not found.told_apart else ""
    return tag("li", tag("div", name, changes), tag("div", figure, drawn, over, said, would))


def _claims(r: dict[str, Any]) -> str:
    """The orderings between the compared papers' claims, and what was measured here says to each."""
    found = of_results(r)
    if not found:
        return ""
    note = remark("Two papers that state one measure on one set say which of them is better. Here both were trained "
                  "under one budget on these data: what that says to the ordering, and why where it says nothing. "
                  "`stemma claims` lists each claim with its source.")
    rows = [tag("tr", tag("td", text(c["says"]), cls="left"), tag("td", text(c["verdict"]), cls="left"),
                tag("td", text(c["why"]), cls="left")) for c in found]
    return note + table('<th class="left">claimed</th><th class="left">verdict</th><th class="left">why</th>', rows,
                        cls="plain wrap")


def _apart(e: dict[str, Any], slots: Callable[[dict[str, Any]], str]) -> str:
    """What lies between two systems beside the idea: other settings, another training; and what the cards tell that
    these two do not show."""
    folded = lambda head, lines: tag("details", tag("summary", text(head)), items(lines))  # noqa: E731
    out = []
    if e.get("trained"):
        out.append(folded("and trained differently", [text(c["what"]) + " " + slots(c) for c in e["trained"]]))
    if e.get("besides"):
        out.append(folded("and set differently", map(text, e["besides"])))
    if e.get("untrue"):
        out.append(folded("told on the cards, alike in these two", [text(c["what"]) for c in e["untrue"]]))
    return "".join(out)


# ---------------------------------------------------------------- curves


def _legend(systems: Iterable[System], colour: dict[str, int]) -> str:
    return tag("ul", *(tag("li", charts.legend_swatch(colour[s["id"]]), text(s["title"]), data_of=colour[s["id"]])
                       for s in systems), cls="legend")


def _learning(r: dict[str, Any], groups: Groups, colour: dict[str, int]) -> str:
    out, data = [], r["data"]
    for main, systems in groups.items():
        have = [s for s in systems if any(p.get("value") is not None for c in s.get("curves", []) for p in c["points"])]
        if not have:
            continue
        label = MEASURES[main][0]
        panels = []
        for key, head, x_label in (("seconds", "Against time", f"{words.seconds(r)} in training"),
                                   ("images", "Against pictures", "training pictures seen")):
            chart = charts.line_chart(_curves(have, key, colour), x_label, label, f"{label} against {x_label}")
            panels.append(tag("div", tag("h4", head), chart))
        out += [tag("h3", SECTIONS[main]) if len(groups) > 1 else "", _legend(have, colour),
                tag("div", *panels, cls="two")]
    many = " Thin lines are single seeds, thick ones their mean." if any("faint" in x for x in out) else ""
    count, val = data.get("curve"), data.get("val")
    some = (f"{count:,} of the {val:,} pictures of val" if count and count != val
            else f"the {count:,} pictures of val" if count else "the validation pictures")
    note = f"Measured on {some} during training." + many
    return remark(note) + "".join(out) if out else ""


def _curves(systems: list[System], key: str, colour: dict[str, int]) -> list[charts.Line]:
    """Each seed thin, and their mean over it where there are several."""
    lines = []
    for s in systems:
        runs = [[(float(p[key]), float(p["value"])) for p in c["points"] if p.get("value") is not None]
                for c in s["curves"]]
        runs = [r for r in runs if r]
        if len(runs) > 1:
            lines += [charts.Line(colour[s["id"]], f"{s['title']}, one seed", tuple(r), faint=True) for r in runs]
        n = min(map(len, runs), default=0)
        mean = tuple((sum(r[i][0] for r in runs) / len(runs), sum(r[i][1] for r in runs) / len(runs)) for i in range(n))
        lines.append(charts.Line(colour[s["id"]], s["title"], mean))
    return lines


def _precision(systems: list[System], colour: dict[str, int]) -> str:
    have = [s for s in systems if s.get("pr")]
    panels = []
    for iou, said in (("0.50", "at IoU 0.50"), ("0.75", "at IoU 0.75"), ("points", "of the best point of a class")):
        lines = [charts.Line(colour[s["id"]], s["title"], tuple(zip(s["pr"]["recall"], s["pr"]["precision"][iou])))
                 for s in have if iou in s["pr"]["precision"]]
        if lines:
            chart = charts.line_chart(lines, "recall", "precision", f"Precision against recall {said}", 1.0, 1.0,
                                      markers=False)
            panels.append(tag("div", tag("h4", said.removeprefix("at ").capitalize() if iou == "points"
                                         else f"IoU {iou}"), chart))
    if not panels:
        return ""
    return remark("Mean over classes: the precision that is kept at "
                  "each recall.") + _legend(have, colour) + tag("div", *panels, cls="two")


def _recall(systems: list[System], colour: dict[str, int]) -> str:
    """How much proposals reach: against their number, and against the overlap that is asked for."""
    have = [s for s in systems if s.get("recall")]
    if not have:
        return ""

    def panel(head: str, lines: list[charts.Line], x_label: str, y_label: str, right: float) -> str:
        return tag("div", tag("h4", head), charts.line_chart(lines, x_label, y_label, f"{y_label} against {x_label}",
                                                             1.0, right, markers=False))

    def lines(x: str, y: str) -> list[charts.Line]:
        at = [[math.log10(v) if x == "count" else v for v in s["recall"][x]] for s in have]
        return [charts.Line(colour[s["id"]], s["title"], tuple(zip(a, s["recall"][y]))) for s, a in zip(have, at)]

    panels = [
        panel("By their number", lines("count", "AR"), "proposals a picture, as a power of ten", "average recall", 3.0),
        panel("By the overlap asked for, a hundred a picture", lines("iou", "100"), "IoU", "recall", 1.0),
    ]
    return remark("Classes aside. Average recall is the mean over IoU "
                  ".50 to .95.") + _legend(have, colour) + tag("div", *panels, cls="two")


# ---------------------------------------------------------------- classes, errors, confusion


def _classes(groups: Groups, colour: dict[str, int]) -> str:
    out = []
    for main, systems in groups.items():
        have = [s for s in systems if s.get("per_class")]
        key = {"mIoU": "IoU"}.get(main, main)
        names, note = _most_apart(have, key)
        if not names:
            continue
        heads = ([tag("th", tag("button", "class"), scope="col")]
                 + [tag("th", tag("button", text(s["title"])), scope="col", cls="percent") for s in have])
        rows = []
        for n in names:
            cells = [tag("th", text(n), scope="row")]
            for s in have:
                v = s["per_class"].get(n, {}).get(key)
                if v is None:
                    cells.append(tag("td", "–", cls="percent", data_sort=""))
                else:
                    bar = tag("span", cls=f"bar s{colour[s['id']]}", style=f"--v:{max(100 * v, 1):.0f}")
                    cells.append(tag("td", bar, words.score(v, 2), cls="percent", data_sort=f"{v:.5f}"))
            rows.append(tag("tr", *cells))
        out += [tag("h3", f"{MEASURES.get(key, (key,))[0]} of each class"), note,
                table("".join(heads), rows, "sortable")]
    return "".join(out)


def _most_apart(systems: list[System], key: str) -> tuple[list[str], str]:
    """(the classes of the table, what is said of those that are left out): a page of thousands is not read."""
    names = list(dict.fromkeys(n for s in systems for n in s["per_class"]))
    if len(names) <= MOST_ROWS:
        return names, ""
    have = {n: [v for s in systems if (v := s["per_class"].get(n, {}).get(key)) is not None] for n in names}
    first = sorted(names, key=lambda n: -(max(have[n]) - min(have[n])) if have[n] else 1.0)[:MOST_ROWS]
    return [n for n in names if n in set(first)], remark(
        f"The {MOST_ROWS} classes in which systems lie furthest apart, of {len(names):,}; all are in results.json.")


def _errors(systems: list[System]) -> str:
    have = [s for s in systems if s.get("errors")]
    if not have:
        return ""
    kinds = [k for k in ERRORS if any(s["errors"].get(k) is not None for s in have)]
    number = {k: list(ERRORS).index(k) for k in kinds}
    shown = lambda v: f"{v:,.0f}" if v >= 10 or v == int(v) else words.score(v)
    most = max(sum(s["errors"].get(k) or 0.0 for k in kinds) for s in have) or 1.0
    rows = []
    for s in have:
        values = {k: float(s["errors"].get(k) or 0.0) for k in kinds}
        segments = [tag("div", shown(v) if v / most > 0.05 else "", cls=f"seg e{number[k]}",
                        style=f"width:{100 * v / most:.2f}%", title=f"{k}: {shown(v)}")
                    for k, v in values.items()]
        said = f"{s['title']}: " + ", ".join(f"{k} {shown(v)}" for k, v in values.items())
        track = tag("div", *segments, cls="track", role="img", aria_label=said)
        rows.append(tag("div", tag("b", text(s["title"])), track, tag("span", shown(sum(values.values()))), cls="bars"))
    legend = tag("ul", *(tag("li", tag("span", cls=f"key e{number[k]}"), tag("b", k), text(" " + ERRORS[k]))
                         for k in kinds), cls="legend")
    note = ("What each kind of mistake costs: the AP50 that mending it alone would give back, as TIDE counts it (Bolya "
            "et al. 2020). The costs of several kinds do not add up exactly; the bar's length is their plain sum.")
    return remark(note) + legend + tag("div", *rows, cls="stack")


def _confusion(systems: list[System]) -> str:
    have = [s for s in systems if s.get("confusion")]
    if not have:
        return ""
    note = remark("Rows are what is there, columns what the system said, each row in per cent of its total. "
                 "Where there are boxes, the last column counts objects not found and the last row boxes on nothing.")
    choice = tag("select", *(tag("option", text(s["title"]), value=s["id"]) for s in have), data_choice="confusion",
                 hidden=True, aria_label="System")
    panels = [tag("div", tag("h3", text(s["title"])), _matrix(s["confusion"]), data_panel_of="confusion",
                  data_panel=s["id"]) for s in have]
    return note + choice + "".join(panels)


def _matrix(c: dict[str, Any]) -> str:
    names, cols, matrix = list(c["rows"]), list(c["columns"]), c["matrix"]
    note = ""
    if len(names) > MOST_CLASSES:
        wrong = [sum(v for j, v in enumerate(row) if cols[j] != names[i]) for i, row in enumerate(matrix)]
        keep = sorted(sorted(range(len(names)), key=lambda i: -wrong[i])[:MOST_CLASSES])
        kept = {names[i] for i in keep}
        at = [j for j, n in enumerate(cols) if n in kept or n not in names]
        note = remark(f"The {MOST_CLASSES} classes with most mistakes, of {len(names)}.")
        names, matrix, cols = ([names[i] for i in keep], [[matrix[i][j] for j in at] for i in keep],
                               [cols[j] for j in at])
    rows = []
    for name, row in zip(names, matrix):
        total = sum(row) or 1.0
        cells = [tag("th", text(name), scope="row")]
        for said, v in zip(cols, row):
            shown = f"{100 * v / total:.0f}" if v / total >= 0.005 else ""
            tip = f"{name}, said to be {said}: {v:,.0f} of {sum(row):,.0f}"
            cells.append(tag("td", shown, cls="own" if said == name else "",
                             style=f"--a:{0.85 * v / total:.3f}", title=tip))
        rows.append(tag("tr", *cells))
    head = tag("th", "truth ╲ said", scope="col", cls="plain") + "".join(tag("th", text(n), scope="col") for n in cols)
    return note + table(head, rows, "heat", style="width:fit-content;max-width:100%")


# ---------------------------------------------------------------- pictures, and how it was made


def _pictures(r: dict[str, Any], groups: Groups, folder: Path) -> str:
    out = []
    for main, systems in groups.items():
        classes = ((r["data"].get("pixel_classes") if main not in words.OBJECTS else None)
                   or r["data"].get("classes", []))
        html = wall(r.get("pictures", {}).get(main, []), systems, classes, folder, main)
        if html:
            out += [tag("h3", SECTIONS[main]) if len(groups) > 1 else "", html]
    note = ("Held-out pictures on which the systems' answers differ most in quality. Colour is the class; a dashed box "
            "matches no object. Point at a box for its score.")
    return remark(note) + "".join(out) if out else ""


def _made(r: dict[str, Any]) -> str:
    d = r["data"]
    classes = d.get("classes", [])
    weights = {"best": "with the weights that were best on val", "last": "with the last weights, for the best were "
               "chosen on val"}.get(
                   next((s.get("weights", "") for s in r["systems"]), ""), "")
    facts = {
        "command": tag("code", text(r["command"])) if r.get("command") else "",
        "data": text(f"{d.get('where', d['name'])}: {d.get('train', '?')} training pictures, {d.get('val', '?')} of "
                     f"val; fingerprint {d.get('fingerprint', '')[:16]}"),
        "measured on": text(f"{words.measured_on(d)}, {weights}" if words.measured_on(d) else ""),
        "begun": text(d["begin"]["says"] if d.get("begin") else ""),
        "classes": text(", ".join(classes[:60]) + (" ..." if len(classes) > 60 else "")),
        "budget": text(f"{words.length(r)} of training for each of {many(r['seeds'], 'seed')}"),
        "latencies": text({"processor": "by processor time, for the clock could not be trusted",
                           "wall": "by the clock"}.get(r.get("latency", {}).get("by"), "")),
        "precision": text(", ".join(dict.fromkeys(s.get("precision", "") for s in r["systems"]))),
        **made_on(r),
    }
    terms = {words.heading(k): text(words.about(k)[1]) for k in (*MEASURES, *words.MORE)
             if any(k in s["summary"] for s in r["systems"])}
    systems = {s["title"]: text(s.get("about", "")) for s in r["systems"]}
    columns = {"seed": "seed", "status": "state", "steps": "steps", "images": "pictures", "folder": "folder"}
    folds = {"Every run": runs_of(r, columns), "What the columns mean": definitions(terms),
             "The systems": definitions(systems)}
    return definitions(facts) + "".join(fold(k, v) for k, v in folds.items())


__all__ = ["render", "write"]
