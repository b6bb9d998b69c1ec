"""A comparison of agents as one page, `report.html`: who earned most, learning against steps lived and against seconds,
films of what is foreseen."""
from __future__ import annotations

import base64
import math
from pathlib import Path
from typing import Any

from ..core import outputs
from ..core.sentence import many
from . import charts, words
from .sheet import PALETTE, answered, definitions, fold, made_on, page, remark, runs_of
from .tags import table, tag, text

System = dict[str, Any]
LIKE = 2 / 3, 3 / 2  # how often a dream may fail for one failure of the world, to be believed


def answer(r: dict[str, Any]) -> tuple[str, list[str]]:
    """(the first sentence, more): who earned most, whether that is clear of chance and of the next,
    what the dream is worth."""
    systems = r["systems"]
    best = systems[0]
    chance = best["runs"][0]["metrics"]
    head = (f"{best['title']} earned most: {_mean(best)} an episode, where chance earns {chance['random']:.1f} ± "
            f"{chance['random_interval']:.1f}.")
    if not all(_clear(x) for x in best["runs"]):
        head = (f"No agent is clear of chance ({chance['random']:.1f} ± {chance['random_interval']:.1f}); the best is "
                f"{best['title']} with {_mean(best)}.")
    more = []
    if len(systems) > 1:
        second = systems[1]
        values = best["summary"]["return"]["values"], second["summary"]["return"]["values"]
        if min(map(len, values)) > 1:
            apart = min(values[0]) > max(values[1])
            verdict = "clear of the seeds' spread" if apart else "within the spread of the seeds"
        else:
            verdict = "one seed each: the spread is unknown"
        more.append(f"Next is {second['title']} with {_mean(second)}; {verdict}.")
    for s in systems:
        lost = [x for x in s["runs"] if not _clear(x)]
        if lost and s is not best:
            more.append(f"{s['title']} is not clear of chance in {len(lost)} of {many(len(s['runs']), 'run')}.")
        for x in s["runs"][:1]:
            # where nothing fails, there is nothing to hold it against
            if (d := x.get("dream")) and (d["dream_rate"] or d["real_rate"]):
                low, high = _ratio(*d["dream_counts"], *d["real_counts"])
                verdict = ("may be believed" if LIKE[0] < low and high < LIKE[1] else "are not to be believed"
                           if low > LIKE[1] or high < LIKE[0] else "may be believed or not, too few failed")
                rates = f"{d['dream_rate']:.4f} times a step, in the world {d['real_rate']:.4f}"
                more.append(f"In the dream of {s['title']} lives by chance fail {rates}: its scores "
                            f"{verdict}.")
    return head, more


def _ratio(a: int, of_a: int, b: int, of_b: int) -> tuple[float, float]:
    """95 % interval of the rate a / of_a over b / of_b, both counts of rare events: given a + b, a is binomial, whose
    interval is Clopper and Pearson's (Przyborowski and Wilenski 1940)."""
    from scipy.stats import beta

    low = float(beta.ppf(0.025, a, b + 1)) if a else 0.0
    high = float(beta.ppf(0.975, a + 1, b)) if b else 1.0
    odds = lambda p: math.inf if p >= 1 else p / (1 - p) * of_b / of_a
    return odds(low), odds(high)


def _clear(run: dict[str, Any]) -> bool:
    m = run["metrics"]
    return bool(m["return"] - m["interval"] > m["random"] + m["random_interval"])


def _mean(s: System) -> str:
    x = s["summary"]["return"]
    m = s["runs"][0]["metrics"]
    return f"{x['mean']:z.1f}" + (f" ± {x['spread']:.1f} over {len(x['values'])} seeds" if x["spread"] is not None
                                 else f" ± {m['interval']:.1f}")


def write(results: dict[str, Any], folder: Path | str) -> Path:
    """Write `report.html` into `folder`, where the runs and their films are.
    Raises `FileNotFoundError` where a film is missing."""
    path = Path(folder) / "report.html"
    return outputs.put_text(path, render(results, Path(folder)))


def render(r: dict[str, Any], folder: Path) -> str:
    """The page as text."""
    colour = {s["id"]: i % PALETTE for i, s in enumerate(r["systems"])}
    sections = [
        ("results", "Results", "Results", _table(r["systems"], colour)),
        ("learning", "Learning", "Learning", _learning(r["systems"], colour, words.seconds(r))),
        ("evolved", "Evolved", "How the controllers evolved", _evolved(r["systems"], colour)),
        ("foreseen", "Foreseen", "How far ahead they foresee", _foreseen(r["systems"], colour)),
        ("films", "Films", "The world beside what is foreseen", _films(r["systems"], folder)),
        ("made", "Method", "How this was made", _made(r)),
    ]
    title = f"{many(len(r['systems']), 'agent')}, {words.length(r)} each, in {r['env']}"
    seeds = f"{many(r['seeds'], 'seed')} each"
    return page(r, title, f"{r['world']} · {seeds} · preset {r['preset']} · {r['machine']['device']}",
                answered(r, "Living in " + r["env"], answer(r)), sections)


def _table(systems: list[System], colour: dict[str, int]) -> str:
    names = ("agent", "seed", "return", "chance", "untrained", "decisions lived", "episodes", "learned", "seconds",
             "parameters", "decisions/s")
    rows = []
    for s in systems:
        for x in s["runs"]:
            m = x["metrics"]
            cells = [tag("th", charts.legend_swatch(colour[s["id"]]), " ", text(s["title"]), scope="row"),
                     tag("td", str(x["seed"]))]
            own = tag("span", f"± {m['interval']:.1f}", cls="sub")
            cells.append(tag("td", f"{m['return']:z.1f}", own, cls="best" if x is systems[0]["runs"][0] and _clear(x)
                             else "", data_sort=f"{m['return']:.6g}"))
            other = tag("span", f"± {m['random_interval']:.1f}", cls="sub")
            cells.append(tag("td", f"{m['random']:z.1f}", other, data_sort=f"{m['random']:.6g}"))
            counts = (x["images"], x["episodes"], x["steps"], x["seconds"], x["parameters"], m["decisions_per_second"])
            cells += [tag("td", f"{x['untrained']:.1f}"),
                      *(tag("td", f"{v:,.0f}", data_sort=f"{v:.6g}") for v in counts)]
            rows.append(tag("tr", *cells))
    note = remark("Mean return of episodes that were not lived in training, with its 95 % interval; chance is measured "
                  "on as many episodes, by the world's own law of chance. “Learned” counts updates and generations.")
    return note + table("".join(tag("th", tag("button", n), scope="col") for n in names), rows, "sortable")


def _legend(systems: list[System], colour: dict[str, int]) -> str:
    return tag("ul", *(tag("li", charts.legend_swatch(colour[s["id"]]), text(s["title"]), data_of=colour[s["id"]])
                       for s in systems), cls="legend")


def _learning(systems: list[System], colour: dict[str, int], seconds: str) -> str:
    values = [p["value"] for s in systems for x in s["runs"] for p in x["curve"] if p["value"] is not None]
    if not values:
        return ""
    low = min(0.0, min(values) * 1.05)
    panels = []
    for key, head, label in (("images", "Against steps lived", "decisions in the world"),
                             ("seconds", "Against time", f"{seconds}, living and learning")):
        lines = []
        for s in systems:
            runs = [tuple((float(p[key]), float(p["value"])) for p in x["curve"] if p["value"] is not None)
                    for x in s["runs"]]
            lines += [charts.Line(colour[s["id"]], f"{s['title']}, seed {x['seed']}", c, faint=len(runs) > 1)
                      for x, c in zip(s["runs"], runs)]
            if len(runs) > 1:
                n = min(map(len, runs))
                mean = tuple((sum(c[i][0] for c in runs) / len(runs), sum(c[i][1] for c in runs) / len(runs))
                             for i in range(n))
                lines.append(charts.Line(colour[s["id"]], s["title"], mean))
        panels.append(tag("div", tag("h4", head),
                          charts.line_chart(lines, label, "return", f"Return against {label}", y_min=low)))
    return remark("Return without noise on the same few episodes each time, during the "
                  "training.") + _legend(systems, colour) + tag("div", *panels, cls="two")


def _evolved(systems: list[System], colour: dict[str, int]) -> str:
    grown = [s for s in systems if s["runs"][0].get("evolved")]
    points = lambda s, key: tuple((float(i + 1), float(e[key])) for i, e in enumerate(s["runs"][0]["evolved"]))
    low = min((0.0, *(1.05 * v for s in grown for _, v in points(s, "mean"))))
    lines = [charts.Line(colour[s["id"]], f"{s['title']}, {said}", points(s, key), faint=key == "best")
             for s in grown for key, said in (("best", "best candidate"), ("mean", "mean"))]
    width = [charts.Line(colour[s["id"]], s["title"], points(s, "sigma")) for s in grown]
    panels = [tag("div", tag("h4", head), charts.line_chart(drawn, "generation", label, f"{label} against generation",
                                                            markers=False, y_min=least))
              for head, label, drawn, least in (("Worth", "return of candidates", lines,
                                                 low), ("Spread", "deviation of weights", width, 0.0)) if drawn]
    note = ("Return of a generation's candidates where they were tried, in the dream or in the world: the mean, and "
            "faint the luckiest; the first seed of each.")
    return remark(note) + _legend(grown, colour) + tag("div", *panels, cls="two") if panels else ""


def _foreseen(systems: list[System], colour: dict[str, int]) -> str:
    panels = []
    for key, head, label in (("image", "Pictures", "squared error of pixels"),
                             ("grid", "Grids", "squared error of a grid's colours"),
                             ("vector", "Numbers", "squared error of numbers, each over its range"),
                             ("reward", "Rewards", "squared error of rewards")):
        have = [s for s in systems if s["runs"][0]["error"].get(key)]
        lines = [charts.Line(colour[s["id"]], s["title"], tuple(
            (i + 1.0, float(v)) for i, v in enumerate(s["runs"][0]["error"][key])
        )) for s in have]
        if chart := charts.line_chart(lines, "steps ahead", label, f"{label} against steps ahead", markers=False):
            panels.append(tag("div", tag("h4", head), chart))
    note = "Mean error of what is foreseen after five frames, knowing only what was done; the first seed of each."
    return remark(note) + _legend(systems, colour) + tag("div", *panels, cls="two") if panels else ""


def _films(systems: list[System], folder: Path) -> str:
    figures = []
    for s in systems:
        for name in s["runs"][0]["films"]:
            data = base64.b64encode((folder / s["runs"][0]["folder"] / "films" / name).read_bytes()).decode()
            said = f"the world beside what {text(s['title'])} foresees"
            film = f'<img src="data:image/gif;base64,{data}" alt="{said}" style="width:100%;image-rendering:pixelated">'
            figures.append(tag("figure", film, tag("figcaption", tag("b", text(s["title"])))))
    if not figures:
        return ""
    note = ("Left the world, right what the agent foresees. Under the green bar it sees; under the orange one it only "
            "knows what it did.")
    return remark(note) + tag("div", *figures, cls="row")


def _made(r: dict[str, Any]) -> str:
    facts = {
        "command": tag("code", text(r["command"])), "world": text(f"{r['env']}: {r['world']}; chance is {r['law']}"),
        "budget": text(f"{words.length(r)} of living and learning for each of {many(r['seeds'], 'seed')}"),
        **made_on(r),
    }
    return definitions(facts) + fold("Every run",
                                     runs_of(r, {"seed": "seed", "folder": "folder", "finished": "finished"}))


__all__ = ["answer", "render", "write"]
