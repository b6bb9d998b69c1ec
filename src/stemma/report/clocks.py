"""By which clocks a comparison was timed, and what else its numbers do not say, in sentences for page and screen."""
from __future__ import annotations

from typing import Any

from ..core.sentence import many
from . import words

BUSY = 0.8  # `engine.running.clock.TRUSTED`, which this room does not load


def lines(results: dict[str, Any]) -> list[str]:
    """What is to be known of its times: how busy the machine was, where wall time ran out, by which clock
    latencies are."""
    runs = [(s, r) for s in results["systems"] for r in s["runs"] if r.get("share") is not None]
    out = _busy([r for _, r in runs], results)
    cut = [f"{s['title']}, seed {r['seed']}: {r['cut']}" for s, r in runs if r.get("cut")]
    if cut:
        less = ", and had less than the budget" if len(cut) == len(runs) else ", and had less work than the others"
        out.append(f"Wall time cut {len(cut)} of {many(len(runs), 'training')}, which ended on time{less}: "
                   f"{'; '.join(cut)}.")
    budget = float(results["budget"][:-1]) if words.timed(results) else 0.0  # what ends before it had all its work
    cheap = [(s, r, r["worked"] / r["seconds"]) for s, r in runs
             if r.get("worked") and r["seconds"] and r["seconds"] >= BUSY * budget]
    if short := [f"{s['title']}, seed {r['seed']}: {words.score(part, 2)}" for s, r, part in cheap if part < BUSY]:
        out.append("Steps of some trainings took clearly less than they were counted at, for the machine was busy when "
                   f"that was found, so that these had less work than their budget bought ({'; '.join(short)} of it). "
                   "Their price is mended: run them again in another folder.")
    late = results.get("latency", {})
    if late.get("by") == "processor":
        out.append(f"When single pictures were timed the machine gave {words.score(late['share'], 2)} of what they "
                   "wanted: latencies are of processor time, for the clock could not be trusted.")
    return out


def noted(results: dict[str, Any]) -> list[str]:
    """What was decided or warned of on the way, each once."""
    out = [f"{n[0].upper()}{n[1:]}." for n in results.get("notes", [])]
    for w in results.get("warnings", []):
        n = len(w["trainings"])
        out.append(f"{w['text']} ({w['trainings'][0] if n == 1 else f'{n} trainings'})")
    return out


def _busy(runs: list[dict[str, Any]], results: dict[str, Any]) -> list[str]:
    """Where work and wall time lie apart."""
    runs = [r for r in runs if r["clock"] == "processor" and r["wall"] >= 1]  # what is over at once says nothing
    shares = sorted(r["share"] for r in runs)
    if not shares or shares[0] >= BUSY:
        return []
    some = words.score(shares[0], 2) + (f" to {words.score(shares[-1], 2)}" if shares[-1] - shares[0] >= 0.01 else "")
    slowest = max(runs, key=lambda r: float(r["wall"]))
    took = f"{slowest['seconds']:.0f} s of work took up to {slowest['wall']:,.0f} s by the clock"
    threads = max(r["threads"] for r in runs)
    if threads > 1:
        why = (f"Trainings used {some} of the {threads} threads that each was given: the machine was busy, or they had "
               "not enough to do for so many")
    else:
        why = f"The machine was busy: trainings got {some} of a core"
    counted = words.timed(results) and results["clock"] == "processor" and not any(
        r.get("cut") or (r.get("worked") or r["seconds"]) < BUSY * float(results["budget"][:-1])
        for s in results["systems"] for r in s["runs"])
    none = " Work is what the budget counts, so each had as much." if counted else ""
    return [f"{why}, and {took}.{none}"]


__all__ = ["BUSY", "lines", "noted"]
