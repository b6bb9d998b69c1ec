"""What the working commands show of systems of language: rates beside the bound, what is said, a comparison."""
from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.markup import escape

from .screen import err, number, out, table


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
    out.print(t)
    for r in results["failed"]:
        err.print(f"[red]failed:[/] {escape(r['title'])} seed {r['seed']}: {escape(str(r.get('error')))}",
                  soft_wrap=True)


# ---------------------------------------------------------------- worlds of facts


def _rates(said: dict[str, Any]) -> None:
    t = table("of what is said", "value", "", numbers=("value",))
    t.add_row("hallucination", number(said["hallucination"]), f"by {said['said']:,} sentences "
              f"{said['drawn_hallucination']:.3f} ± {1.96 * said['drawn_error']:.3f}")
    t.add_row("monofact rate", number(said["monofacts"]), f"what was never told lies in {said['missing_low']:.3f} to "
              f"{said['missing_high']:.3f}, and is {said['missing']:.3f}")
    t.add_row("miscalibration", number(said["miscalibration"]), f"by bins {said['binned']:.3f}, of which drawing alone "
              f"gives {said['binned_noise']:.3f}")
    t.add_row("bound", number(said["bound"]), escape(said["says"]))
    t.add_row("slack", number(said["slack"]), "VIOLATED" if said["violated"] else "")
    t.add_row("nats a sentence", number(said["nats"]), "held out")
    if said["token_error"] is not None:
        t.add_row("error of next words", number(said["token_error"]), "expected calibration error, held out")
    out.print(t)
    assumed = {True: "regular facts, as the theorem asks", False: "facts that a rule tells: the theorem does not speak "
               "of them", None: "whether its facts are regular is not known"}[said["regular"]]
    out.print(f"{escape(said['world'])}: {escape(said['about'])}; {assumed}", soft_wrap=True)
    turned = table("turned after training", "hallucination", "said at all", "miscalibration",
                   numbers=("hallucination", "said at all", "miscalibration"))
    for k in said["knobs"]:
        turned.add_row(k["knob"], *(number(k[x]) for x in ("hallucination", "coverage", "miscalibration")))
    out.print(turned)


def _sentences(said: dict[str, Any], where: Path | None) -> None:
    t = table("", "says", "nats", numbers=("nats",))
    for s in said["sentences"]:
        t.add_row("[green]true[/]" if s["true"] else "[red]false[/]", escape(s["says"]), f"{-s['log_probability']:.1f}")
    out.print(t)
    out.print(f"{100 * said['hallucination']:.0f} % of these are not true"
              + (f"; {escape(str(where / 'predictions.json'))}" if where else ""), soft_wrap=True)


SHOWN: dict[str, tuple[Any, Any]] = {"facts": (_rates, _sentences)}

__all__ = ["compared", "evaluated", "plain", "predicted"]
