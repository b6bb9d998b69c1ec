"""What the working commands show of agents: returns beside chance, films, the summary of a comparison."""
from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.markup import escape

from .screen import err, number, out, show, table


def evaluated(said: dict[str, Any]) -> None:
    """Returns beside those of chance, and whether the dream may be believed."""
    t = table("who", "return", "± 95 %", "deviation", "episodes", numbers=("return", "± 95 %", "deviation", "episodes"))
    t.add_row("agent", number(said["return"]), number(said["interval"]), number(said["std"]), str(len(said["returns"])))
    t.add_row(f"chance ({said['law']})", number(said["random"]), number(said["random_interval"]),
              number(said["random_std"]), str(len(said["random_returns"])))
    show(t)
    verdict = "better than chance by more than both intervals" if said["better"] else "not clear of chance"
    out.print(f"{escape(said['env'])}: {verdict}; {said['length']:.0f} decisions an episode, "
              f"{said['decisions_per_second']:.0f} a second")
    if "language" in said:
        w = said["language"]
        out.print(f"words foreseen a step ahead: {number(w['nats'])} nats a token (perplexity "
                  f"{number(w['perplexity'])}), {number(w['forgetful'])} from one step alone; counts of words "
                  f"{number(w['unigram'])}, of pairs {number(w['bigram'])}; {w['tokens']} tokens that nothing was "
                  "learned from")
    if found := said.get("search", {}).get("elite_stds"):
        r = said["search"]["elite_returns"]
        out.print(f"[dim]its search, {len(r)} iterations: return foreseen of the plans that are kept {number(r[0])} to "
                  f"{number(r[-1])}, how far they lie apart {number(found[0])} to {number(found[-1])}[/]")
    if "dream" in said:
        d = said["dream"]
        out.print(f"[dim]failures a step by chance: {d['real_rate']:.4f} in the world, {d['dream_rate']:.4f} in the "
                  f"dream; "
                  + ("no failure was met that could be told ahead" if d["recall"] is None or d["recall"] != d["recall"]
                     else f"failures told one step ahead: {number(d['recall'])} (.5 is chance)") + "[/]")


def plain(said: dict[str, Any]) -> dict[str, Any]:
    """What was filmed, as JSON holds it."""
    return said


def predicted(said: dict[str, Any], where: Path | None) -> None:
    """The films, and how the error grows with the steps that are foreseen; how what was read goes on."""
    for name in said["films"]:
        out.print(f"[bold]{escape(name)}[/]", soft_wrap=True)
    for t in said.get("texts", ()):
        out.print(f"[dim]{escape(t['read'])}[/] [bold]{escape(t['continued'])}[/]\n  was: {escape(t['said'])}",
                  soft_wrap=True)
    if not said["films"]:
        return
    what = "pixels" if {"image", "grid"} & set(said["error"]) else "numbers, each over its range,"
    ahead = next(said["error"][k] for k in ("image", "grid", "vector") if k in said["error"])
    steps = [s for s in (1, 5, 10, 20, 45) if s <= len(ahead)]
    out.print(f"the world on the left, what is foreseen on the right, closed eyes after {said['context']} frames; mean "
              f"squared error of {what} "
              + ", ".join(f"{ahead[s - 1]:.4f} at {s}" for s in steps) + " steps")


def compared(results: dict[str, Any]) -> None:
    """The table of a comparison of agents, best first."""
    from ..report.worlds import answer

    head, more = answer(results)
    out.print(f"\n[bold]{escape(results['env'])}[/]\n{escape(head)}")
    for line in more:
        out.print(f"  • {escape(line)}")
    names = ("return", "± 95 %", "chance", "steps lived", "episodes", "learned", "seconds")
    t = table("agent", "seed", *names, numbers=("seed", *names))
    for s in results["systems"]:
        for r in s["runs"]:
            m = r["metrics"]
            t.add_row(escape(s["title"]), str(r["seed"]), *(number(x) for x in (m["return"], m["interval"], m["random"],
                                                                                 r["images"], r["episodes"], r["steps"],
                                                                                 r["seconds"])))
    show(t)
    for r in results["failed"]:
        err.print(f"[red]failed:[/] {escape(r['title'])} seed {r['seed']}: {escape(str(r.get('error')))}",
                  soft_wrap=True)


__all__ = ["compared", "evaluated", "plain", "predicted"]
