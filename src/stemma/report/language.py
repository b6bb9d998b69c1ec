"""A comparison of systems of language as one page, `report.html`: the answer, the table, and the pictures that its
subject asks for."""
from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..core import outputs
from ..core.sentence import many
from ..engine.language.meanings import FATES
from . import charts, words
from .sheet import PALETTE, System, answered, definitions, fold, grid, leaf, made_on, page, remark, runs_of
from .tags import table, tag, text

Answer = tuple[str, list[str]]


def columns(subject: str) -> dict[str, str]:
    """What the table shows of a world: key -> heading."""
    return COLUMNS[subject]


def answer(r: dict[str, Any]) -> Answer:
    """(the first sentence, more)."""
    return ANSWERS[r["subject"]](r)


def write(results: dict[str, Any], folder: Path | str) -> Path:
    """Write `report.html` into `folder`."""
    return outputs.put_text(Path(folder) / "report.html", render(results))


def render(r: dict[str, Any]) -> str:
    """The page as text."""
    colour = {s["id"]: i % PALETTE for i, s in enumerate(r["systems"])}
    sections = [("results", "Results", "Results", _table(r, colour)),
                *PICTURES[r["subject"]](r, colour),
                ("learning", "Learning", "Learning", _learning(r, colour)),
                ("made", "Method", "How this was made", _made(r))]
    title = f"{many(len(r['systems']), 'system')}, {words.length(r)} each, on {r['data']}"
    seeds = f"{many(r['seeds'], 'seed')} each"
    return page(r, title, f"{seeds} · preset {r['preset']} · {r['machine']['device']}",
                answered(r, r["data"], answer(r)), sections)


def _cell(v: Any) -> str:
    if isinstance(v, bool) or v is None or isinstance(v, str):
        return tag("td", "–" if v is None else text(v) if isinstance(v, str) else "yes" if v else "no")
    return tag("td", f"{v:.3f}" if abs(v) < 100 else f"{v:,.0f}", data_sort=f"{v:.6g}")


def _table(r: dict[str, Any], colour: dict[str, int]) -> str:
    names = COLUMNS[r["subject"]]
    rows = []
    for s in r["systems"]:
        for x in s["runs"]:
            for w in x["worlds"]:
                rows.append(tag("tr", tag("th", charts.legend_swatch(colour[s["id"]]), " ", text(s["title"]),
                                          scope="row"), tag("td", str(x["seed"])),
                                tag("td", text(w["short"]), cls="left words"),
                                *(_cell(w[k]) for k in names)))
    heads = ("system", "seed", "on", *names.values())
    return remark(NOTES[r["subject"]]) + table(_heads(heads), rows, "sortable")


def _heads(names: tuple[str, ...]) -> str:
    """Headings that sort, those of words to the left."""
    return "".join(tag("th", tag("button", n), scope="col", cls="left" * (n in ("on", "sentences", "knob")))
                   for n in names)


def _legend(systems: list[System], colour: dict[str, int]) -> str:
    return tag("ul", *(tag("li", charts.legend_swatch(colour[s["id"]]), text(s["title"]), data_of=colour[s["id"]])
                       for s in systems), cls="legend")


def _learning(r: dict[str, Any], colour: dict[str, int]) -> str:
    main = r["systems"][0]["main"]
    lines = []
    for s in r["systems"]:
        for x in s["runs"]:
            for w in x["worlds"]:
                points = tuple((float(p["seconds"]), float(p[main])) for p in w["curve"]
                               if isinstance(p[main], (int, float)))
                if len(points) > 1:
                    lines.append(charts.Line(colour[s["id"]], f"{s['title']}, seed {x['seed']}, {w['short']}", points))
    chart = charts.line_chart(lines, words.seconds(r), main, f"{main} against {words.seconds(r)}")
    return remark("Held out, during the training.") + _legend(r["systems"], colour) + tag(
        "div", tag("div", chart), cls="two") if chart else ""


def _made(r: dict[str, Any]) -> str:
    facts = {
        "command": tag("code", text(r["command"])), "data": text(r["data"]),
        "budget": text(f"{words.length(r)} for each system, seed and world"
                       + "; a model that counts has read all after one pass" * (r["subject"] == "facts")),
        **made_on(r),
    }
    return definitions(facts) + fold("Every run", runs_of(r, {"seed": "seed", "folder": "folder",
                                                              "finished": "finished"}))


# ---------------------------------------------------------------- worlds of facts


def _worlds(r: dict[str, Any]) -> list[tuple[System, dict[str, Any], dict[str, Any]]]:
    return [(s, x, w) for s in r["systems"] for x in s["runs"] for w in x["worlds"]]


def _facts_answer(r: dict[str, Any]) -> Answer:
    """Whether the bound held everywhere, and what it was worth; how closely hallucination follows what is told once."""
    found = _worlds(r)
    broken = [f"{s['title']} (seed {x['seed']}, {w['short']})" for s, x, w in found if w["violated"]]
    vacuous = sum(w["vacuous"] for _, _, w in found)
    head = (f"The bound held in all {len(found)} trainings; in {vacuous} of them it is vacuous." if not broken else
            f"The bound is broken in {len(broken)} of {len(found)} trainings: {', '.join(broken[:3])}.")
    more = []
    if tilted := [w["regularity"] for _, _, w in found if (w.get("regularity") or 1.0) > 1]:
        more.append(f"Facts are regular but for a factor of {max(tilted):.2f}, by which the bound's term of sparsity "
                    "is multiplied.")
    if not all(w.get("even", True) for _, _, w in found):
        more.append("Where what a sentence says tells how often it is told, the term of sparsity has the number of "
                    "documents besides (the corollary for facts alone).")
    if any(w["regular"] is not True and not w.get("regularity") for _, _, w in found):
        more.append("Not all facts here are known to be regular: of those the theorem says nothing.")
    for s in r["systems"]:
        own = [(w["monofacts"], w["hallucination"]) for _, _, w in _worlds({"systems": [s]})]
        line = f"{s['title']} hallucinates in {_span([h for _, h in own])} of what it says"
        if (slope := _slope(own)) is not None:
            line += f"; over {len(own)} worlds the slope on the monofact rate is {slope:.2f}"
        more.append(line + f", miscalibration {_span([w['miscalibration'] for x in s['runs'] for w in x['worlds']])}.")
    return head, more


def _span(values: list[float]) -> str:
    low, high = min(values), max(values)
    return f"{low:.3f}" if high - low < 5e-4 else f"{low:.3f} to {high:.3f}"


def _slope(points: list[tuple[float, float]]) -> float | None:
    """The least-squares slope, where the monofact rates differ enough for one."""
    n = len(points)
    if n < 3 or max(x for x, _ in points) - min(x for x, _ in points) < 0.05:
        return None
    mx, my = sum(x for x, _ in points) / n, sum(y for _, y in points) / n
    return sum((x - mx) * (y - my) for x, y in points) / sum((x - mx) ** 2 for x, _ in points)


def _facts_pictures(r: dict[str, Any], colour: dict[str, int]) -> list[tuple[str, str, str, str]]:
    def chart(x: Callable[[dict[str, Any]], float], y: str, x_label: str, title: str, diagonal: bool) -> str:
        lines = [charts.Line(PALETTE - 1, "hallucination as high as the monofact rate", ((0.0, 0.0), (1.0, 1.0)),
                             faint=True)] if diagonal else []
        for s in r["systems"]:
            own = sorted((x(w), float(w[y])) for _, _, w in _worlds({"systems": [s]}) if math.isfinite(w[y]))
            lines.append(charts.Line(colour[s["id"]], s["title"], tuple(own)))
        low = min(0.0, *(v for line in lines for _, v in line.points)) if lines else 0.0
        return charts.line_chart(lines, x_label, y, title, y_min=low)

    hallucination = chart(lambda w: w["monofacts"], "hallucination", "monofact rate",
                          "Hallucination against the monofact rate", True)
    slack = chart(lambda w: w["monofacts"], "slack", "monofact rate", "Slack against the monofact rate", False)
    by_documents = chart(lambda w: float(w["documents"]), "slack", "documents", "Slack against documents", False)
    mis = chart(lambda w: w["miscalibration"], "hallucination", "miscalibration",
                "Hallucination against miscalibration", False)
    knobs = _knobs(r)
    panels = "".join(tag("div", tag("h4", head), drawn) for head, drawn in (
        ("Hallucination and what was told once", hallucination), ("Hallucination and miscalibration", mis),
        ("Slack over the bound", slack), ("Slack and how many documents", by_documents)))
    ways = [tag("div", tag("h4", head), drawn) for key, head in (
        ("hallucination", "Hallucination while it learns"), ("miscalibration", "Miscalibration while it learns"))
        if (drawn := _on_the_way(r, colour, key))]
    stopping = ("stopping", "Stopping", "Where a training could have been stopped",
                remark("A line a training, a point a validation. The weights that are measured are those of the fewest "
                       "nats held out: what is learned behind them is documents by heart, which lowers hallucination "
                       "and raises miscalibration.")
                + _legend(r["systems"], colour) + tag("div", "".join(ways), cls="two") if ways else "")
    return [("rates", "Rates", "Hallucination, calibration and the bound",
             remark("A point a training. On the faint line a model hallucinates as often as facts were told once; "
                    "slack is what hallucination lies above the bound, below 0 the bound would be broken.")
             + _legend(r["systems"], colour) + tag("div", panels, cls="two")), stopping,
            ("knobs", "Knobs", "What is turned after training", knobs)]


def _on_the_way(r: dict[str, Any], colour: dict[str, int], key: str) -> str:
    """A measure of each validation against the updates before it; nothing where no training was looked at twice."""
    lines = []
    for s, x, w in _worlds(r):
        points = tuple((float(p["step"]), float(p[key])) for p in w["curve"] if isinstance(p[key], (int, float)))
        if len(points) > 1:
            lines.append(charts.Line(colour[s["id"]], f"{s['title']}, seed {x['seed']}, {w['short']}", points))
    return charts.line_chart(lines, "updates", key, f"{key} against updates", y_min=0.0) if lines else ""


def _knobs(r: dict[str, Any]) -> str:
    heads = ("system", "on", "knob", "hallucination", "said at all", "miscalibration")
    rows = [tag("tr", tag("th", text(s["title"]), scope="row"), tag("td", text(w["short"]), cls="left"),
                tag("td", text(k["knob"]), cls="left words"),
                *(_cell(k[n]) for n in ("hallucination", "coverage", "miscalibration")))
            for s in r["systems"] for x in s["runs"][:1] for w in x["worlds"] for k in w["knobs"]]
    return remark("The first seed of each. Less hallucination is bought with silence or with miscalibration.") + table(
        _heads(heads), rows, "sortable")


# ---------------------------------------------------------------- sentences and their meanings


def _meanings_answer(r: dict[str, Any]) -> Answer:
    """Who translates best what was not seen, by what it denotes."""
    mean = lambda s, k: sum(w[k] or 0.0 for _, _, w in _worlds({"systems": [s]})) / len(_worlds({"systems": [s]}))
    order = sorted(r["systems"], key=lambda s: -mean(s, "denotation"))
    best = order[0]
    head = (f"{best['title']} gives {100 * mean(best, 'denotation'):.0f} % of sentences that it has not seen the right "
            f"meaning, {100 * mean(best, 'denotation_of_new_forms'):.0f} % of those of a form that it has not seen.")
    more = [f"{s['title']}: {100 * mean(s, 'denotation'):.0f} % and {100 * mean(s, 'denotation_of_new_forms'):.0f} %; "
            f"{100 * mean(s, 'executable'):.0f} % can be run." for s in order[1:]]
    return head, more


def _meanings_pictures(r: dict[str, Any], colour: dict[str, int]) -> list[tuple[str, str, str, str]]:
    labels = (("combinations", "fillings not seen"), ("templates", "forms not seen"), ("seen", "trained on"))
    heads = ("system", "on", "sentences", "asked", "exact", "can be run", "denotes the right", "once in five",
             *FATES.values())
    rows = [tag("tr", tag("th", text(s["title"]), scope="row"), tag("td", text(w["short"]), cls="left"),
                tag("td", label, cls="left"),
                tag("td", str(w["kinds"][kind]["asked"])),
                *(_cell(w["kinds"][kind][n]) for n in ("exact", "executable", "denotation", "once")),
                *(_cell(w["kinds"][kind]["fates"][n]) for n in FATES))
            for s, x, w in _worlds(r) if x is s["runs"][0] for kind, label in labels]
    wrong = [tag("tr", tag("th", text(s["title"]), scope="row"), tag("td", text(e["says"]), cls="left"),
                 *(tag("td", tag("code", text(str(e[k] or "–"))), cls="left") for k in ("means", "wanted")),
                 tag("td", text(e["fate"]), cls="left"))
             for s, x, w in _worlds(r) if x is s["runs"][0] for kind, _ in labels for e in w["kinds"][kind]["wrong"]]
    tables = table(_heads(heads), rows, "sortable")
    errors = table("".join(tag("th", n, scope="col", cls="left") for n in
                           ("system", "says", "was taken to mean", "means", "what became of it")), wrong, "plain wrap")
    return [("kinds", "Sentences", "What was seen and what was not", tables),
            ("wrong", "Wrong", "What was misunderstood", errors if wrong else "")]


# ---------------------------------------------------------------- a dialogue


def transcript(said: dict[str, Any], folder: Path | str) -> Path:
    """Write a dialogue as a page, `dialogue.html`: each sentence, what it was taken to mean, what follows."""
    turns = [tag("section", tag("h2", text(t["says"])), tag("p", tag("code", text(t["means"] or "–"))), _told(t))
             for t in said["turns"]]
    return outputs.put_text(Path(folder) / "dialogue.html", leaf(f"A dialogue on {said['domain']}", *turns),
                            prediction=True)


def _told(t: dict[str, Any]) -> str:
    """What is said beneath a sentence."""
    lines = [tag("p", text(f"{label}: {', '.join(words)}"), cls="note") for label, words in (
        ("taken for names", t["names"]), ("not known here", t["passed"])) if words]
    other = [m for m in t["meanings"] if m["share"] < 1]
    if other:
        lines.append(fold(f"{len(other)} meanings", grid(("meaning", "share", "fault"), (
            (m["means"], f"{m['share']:.2f}", m["error"]) for m in other))))
    p = t["posterior"]
    if t["error"]:
        lines.append(tag("p", text(f"left out: {t['error']}"), cls="note"))
    elif p is not None:
        lines += [tag("p", tag("code", text(t["asks"]))), "".join(p["pictures"]) if "pictures" in p else _posterior(p),
                  tag("p", text(f"by {p['method']}, {p['samples']:,} of {p['tried']:,} worlds"), cls="note")]
    return "".join(lines)


def _posterior(p: dict[str, Any]) -> str:
    """A posterior as bars with their values."""
    if "bars" in p:
        step = (p["high"] - p["low"]) / len(p["bars"])
        rows = [(f"{p['low'] + step * i:.2f} to {p['low'] + step * (i + 1):.2f}", b) for i, b in enumerate(p["bars"])]
        head = tag("p", text(f"mean {p['mean']:.2f}, deviation {p['deviation']:.2f}"))
    else:
        rows, head = list(p["table"].items()), ""
    cells = [tag("tr", tag("th", text(name), scope="row"), tag("td", f"{share:.3f}"),
                 tag("td", tag("meter", min="0", max="1", value=f"{share:.4f}"))) for name, share in rows]
    return head + table(tag("th", "value", scope="col") + tag("th", "share", scope="col") + tag("th", "", scope="col"),
                        cells)


COLUMNS: dict[str, dict[str, str]] = {
    "meanings": {"exact": "exact", "executable": "can be run", "denotation": "right", "once": "once in five",
                 "denotation_of_new_forms": "right, new forms"},
    "facts": {"hallucination": "says false", "monofacts": "told once", "miscalibration": "miscalibrated",
              "bound": "bound", "nats": "nats", "binned": "by bins", "token_error": "of words"},
}
NOTES = {
    "meanings": "Of fillings of known forms that were not trained on: a meaning is exact where it reads as the same "
    "program, right where it says the same in worlds of the model.",
    "facts": "Rates of hallucination are exact: one less the model's mass on the facts. A bound at or below 0 is "
    "vacuous. Miscalibration is over level sets; by bins it lies higher than it is by what drawing gives; of words it "
    "is the expected calibration error of next words.",
}
ANSWERS: dict[str, Callable[[dict[str, Any]], Answer]] = {"facts": _facts_answer,
                                                           "meanings": _meanings_answer}
PICTURES: dict[str, Callable[[dict[str, Any], dict[str, int]], list[tuple[str, str, str, str]]]] = {
    "facts": _facts_pictures, "meanings": _meanings_pictures}

__all__ = ["answer", "columns", "render", "transcript", "write"]
