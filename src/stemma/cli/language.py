"""What the working commands show of systems of language: rates beside the bound, what is said, a comparison."""
from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.markup import escape

from .screen import err, number, out, show, table

DATA = "Of language facts, or a domain of sentences such as `tug-of-war`."  # of --data


def evaluated(said: dict[str, Any]) -> None:
    """What was measured, as its subject has it."""
    SHOWN[said["subject"]][0](said)


def predicted(said: dict[str, Any], where: Path | None) -> None:
    """What was said or answered."""
    SHOWN[said["subject"]][1](said, where)


def plain(said: dict[str, Any]) -> dict[str, Any]:
    """What was said, as JSON holds it."""
    return said


def compared(results: dict[str, Any]) -> None:
    """The table of a comparison, best first."""
    from ..report.language import answer, columns

    head, more = answer(results)
    out.print(f"\n[bold]{escape(results['data'])}[/]\n{escape(head)}")
    for line in more:
        out.print(f"  • {escape(line)}")
    names = dict(list(columns(results["subject"]).items())[:5])  # the page has them all
    t = table("system", "seed", "on", *names.values(), numbers=("seed", *names.values()))
    for s in results["systems"]:
        for r in s["runs"]:
            for w in r["worlds"]:
                t.add_row(escape(s["title"]), str(r["seed"]), escape(w["short"]), *(number(w[k]) for k in names))
    show(t)
    for r in results["failed"]:
        err.print(f"[red]failed:[/] {escape(r['title'])} seed {r['seed']}: {escape(str(r.get('error')))}",
                  soft_wrap=True)


# ---------------------------------------------------------------- worlds of facts


def _rates(said: dict[str, Any]) -> None:
    t = table("of what is said", "value", "", numbers=("value",))
    t.add_row("hallucination", number(said["hallucination"]), f"by {said['said']:,} sentences "
              f"{said['drawn_hallucination']:.3f} ± {1.96 * said['drawn_error']:.3f}")
    t.add_row("monofact rate", number(said["monofacts"]), f"of other documents {said['resampled_low']:.3f} to "
              f"{said['resampled_high']:.3f}")
    t.add_row("never told", number(said["missing"]), f"by Esty {said['missing_low']:.3f} to "
              f"{said['missing_high']:.3f}, whatever the law {said['certain_low']:.3f} to {said['certain_high']:.3f}")
    t.add_row("miscalibration", number(said["miscalibration"]), f"by bins {said['binned']:.3f}, of which drawing alone "
              f"gives {said['binned_noise']:.3f}; of those alike to a tenth {said['alike']:.3f}")
    t.add_row("bound", number(said["bound"]), escape(said["says"]))
    t.add_row("slack", number(said["slack"]), "VIOLATED" if said["violated"] else "")
    t.add_row("nats a sentence", number(said["nats"]), "held out")
    if said["token_error"] is not None:
        t.add_row("error of next words", number(said["token_error"]), "expected calibration error, held out")
    show(t)
    assumed = {True: "regular facts, as the theorem asks", False: "facts that a rule tells: the theorem does not speak "
               "of them", None: "whether its facts are regular is not known"}[said["regular"]]
    if said["regularity"] and not said["regular"]:
        assumed = f"facts regular but for a factor of {said['regularity']:.2f}, which is in the bound"
    if not said["even"]:
        assumed += "; what a sentence says tells how often it is told: the corollary for facts alone"
    out.print(f"{escape(said['world'])}: {escape(said['about'])}; {assumed}", soft_wrap=True)
    names = {"nats": "nats", "hallucination": "hallucination", "miscalibration": "miscalibration", "bound": "bound"}
    if len(way := said.get("curve", ())) > 1:
        best = min(range(len(way)), key=lambda i: way[i]["nats"] if way[i]["nats"] is not None else float("inf"))
        stopped = table("stopped at step", *names.values(), "", numbers=("stopped at step", *names.values()))
        shown = sorted({round(i * (len(way) - 1) / 7) for i in range(8)} | {best})
        for i in shown:
            stopped.add_row(f"{way[i]['step']:,}", *(number(way[i][k]) for k in names), "best" if i == best else "")
        show(stopped)
    turned = table("turned after training", "hallucination", "said at all", "miscalibration",
                   numbers=("hallucination", "said at all", "miscalibration"))
    for k in said["knobs"]:
        turned.add_row(k["knob"], *(number(k[x]) for x in ("hallucination", "coverage", "miscalibration")))
    show(turned)


def _sentences(said: dict[str, Any], where: Path | None) -> None:
    t = table("", "says", "nats", numbers=("nats",))
    for s in said["sentences"]:
        t.add_row("[green]true[/]" if s["true"] else "[red]false[/]", escape(s["says"]), f"{-s['log_probability']:.1f}")
    show(t)
    out.print(f"{100 * said['hallucination']:.0f} % of these are not true"
              + (f"; {escape(str(where / 'predictions.json'))}" if where else ""), soft_wrap=True)


# ---------------------------------------------------------------- sentences and their meanings


def _translations(said: dict[str, Any]) -> None:
    from ..engine.language.meanings import FATES

    names = {"exact": "exact", "executable": "can be run", "denotation": "denotes the right", "once": "once in five"}
    t = table("sentences", "asked", *names.values(), numbers=("asked", *names.values()))
    asked = {"combinations": "fillings not seen", "templates": "forms not seen", "seen": "trained on"}
    for kind, label in asked.items():
        k = said["kinds"][kind]
        t.add_row(label, str(k["asked"]), *(number(k[n]) for n in names))
    show(t)
    out.print(f"{escape(said['world'])}: {escape(said['about'])}", soft_wrap=True)
    astray = table("of the first answers", *FATES.values(), numbers=tuple(FATES.values()))
    for kind, label in asked.items():
        astray.add_row(label, *(number(said["kinds"][kind]["fates"][k]) for k in FATES))
    show(astray)
    for w in said["kinds"]["templates"]["wrong"][:3]:
        out.print(f"[dim]{escape(w['says'])}[/]  {escape(str(w['means']))}", soft_wrap=True)


def told(t: dict[str, Any]) -> None:
    """A turn of a dialogue: what a sentence was taken to mean, and what follows."""
    out.print(f"[bold]{escape(t['says'])}[/]\n  {escape(t['means'] or '-')}", soft_wrap=True, highlight=False)
    if t["names"]:
        out.print(f"  [yellow]taken for names:[/] {escape(', '.join(t['names']))}", soft_wrap=True)
    if t["passed"]:
        out.print(f"  [yellow]not known here:[/] {escape(', '.join(t['passed']))}", soft_wrap=True)
    if t["error"]:
        out.print(f"  [red]left out:[/] {escape(t['error'])}", soft_wrap=True)
    elif (p := t["posterior"]) is not None:
        out.print(f"  [dim]{escape(t['asks'])}[/]", soft_wrap=True, highlight=False)
        for line in _drawn(p):
            out.print(f"    {escape(line)}", soft_wrap=True, highlight=False)


def _dialogue(said: dict[str, Any], where: Path | None) -> None:
    for t in () if said.get("told") else said["turns"]:
        told(t)
    if where:
        from ..report.language import transcript

        out.print(escape(f"{transcript(said, where)}, {where / 'predictions.json'}"), soft_wrap=True)


def _drawn(p: dict[str, Any]) -> list[str]:
    """A posterior in lines: bars of a histogram or of a table."""
    if "pictures" in p:
        return [f"{len(p['pictures'])} pictures of {p['samples']:,}, on the page"]
    if "bars" in p:
        step, top = (p["high"] - p["low"]) / len(p["bars"]), max(p["bars"])
        head = f"mean {p['mean']:.2f}, deviation {p['deviation']:.2f}, {p['samples']:,} of {p['tried']:,} worlds"
        return [head, *(f"{p['low'] + step * (i + 0.5):8.2f} {'█' * round(30 * b / top)}"
                        for i, b in enumerate(p["bars"]))]
    wide = max(map(len, p["table"]))
    return [f"{k:{wide}}  {v:.3f} {'█' * round(30 * v)}" for k, v in p["table"].items()]


SHOWN: dict[str, tuple[Any, Any]] = {"facts": (_rates, _sentences), "meanings": (_translations, _dialogue)}

__all__ = ["DATA", "compared", "evaluated", "plain", "predicted", "told"]
