"""Whether one system is ahead of another: what the seeds say, what the pictures say, and what would tell.

A gap is clear when both agree: the seeds of the two systems do not interlock, and the interval of the gap over
pictures, both systems measured on the same resamples of them, leaves out nothing gained. A gap behind which the one
that lost had clearly less work than the budget bought is not told at all.
"""
from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

from ...core.sentence import many

Seeds = Literal["apart", "overlap", "one"]
Pictures = Literal["apart", "level", "few", "unknown"]
CHANCE = 0.03  # two seeds of one recipe differed by .022 on 200 scenes: smaller gaps of single seeds say nothing
POWER = 2.0  # (1.96 + .84)^2 / 1.96^2: pictures that tell a gap four times of five, over those that just might
MOST = 100  # times the pictures that there are: beyond it no number is named
SEEDS = 3  # trainings that begin to show a spread
LESS = 0.8  # of the work that was counted: with less a training was not served as the others were


@dataclass(frozen=True)
class Verdict:
    """What is known of a gap. `count`: pictures measured; `needed`: pictures that would tell,
    None where no such number is known. `starved`: title of the system that lost, where it had less work (`starved`)."""

    gap: float
    seeds: Seeds
    pictures: Pictures
    count: int
    needed: int | None = None
    starved: str = ""

    @property
    def clear(self) -> bool:
        """Both the seeds and the pictures say so, of equal work."""
        return self.seeds == "apart" and self.pictures == "apart" and not self.starved

    @property
    def told_apart(self) -> bool:
        """Nothing that was measured speaks against it; one seed, or results without an interval, say nothing."""
        return self.seeds != "overlap" and self.pictures in ("apart", "unknown") and not self.starved

    def short(self) -> str:
        """A few words for a table."""
        if self.starved:
            return f"not told: {self.starved} had less work than its budget bought"
        few = {"level": f"{many(self.count, 'picture')} cannot tell",
               "few": f"{many(self.count, 'picture is', 'pictures are')} too few to tell"}
        over = few.get(self.pictures, "")
        if self.seeds == "overlap":
            return "not clear: within the spread of the seeds" + (f", and {over}" if over else "")
        if over:
            return f"not clear: {over}" + ("; one seed" if self.seeds == "one" else "")
        if self.seeds == "one":
            clear = f"clear on these {self.count:,} pictures; " if self.pictures == "apart" else ""
            return f"{clear}one seed: spread unknown"
        return ("clear: beyond the spread of seeds and pictures" if self.clear else "clear of the seeds' spread; over "
                "pictures unknown")

    def would(self, split: str = "") -> str:
        """What would tell, as a sentence; empty where the gap is clear.
        split: the name of the split that was measured."""
        what = f"{split} pictures".strip()
        if self.starved:
            return "The same in another folder would tell: the price of a step is mended."
        more = {"level": f"about {self.needed:,} {what}" if self.needed else f"far more than {self.count:,} {what}",
                "few": f"more {what}"}
        over = more.get(self.pictures, "")
        if self.seeds == "overlap":
            return _sentence(f"{over} and more seeds would tell" if over else "more seeds would tell")
        if over:
            size = " a gap of this size" if self.needed else ""
            return _sentence(f"{over} would tell{size}; more seeds alone would not")
        if self.seeds == "one":
            return f"--seeds {SEEDS} would " + ("tell." if abs(self.gap) < CHANCE else "show it.")
        return ""


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + "."


def verdict(gap: dict[str, Any]) -> Verdict:
    """The verdict on {"gain", "overlap": None of one seed, "interval": [low, high] or None, "pictures": how many,
    "few": too few for one, "starved": title of the one that lost, where it had less work}.

    The width of an interval goes with the root of the number of pictures: so many would tell as make it leave out
    nothing gained four times of five.
    """
    g, interval, count = gap["gain"], gap.get("interval"), int(gap.get("pictures") or 0)
    seeds: Seeds = "one" if gap.get("overlap") is None else "overlap" if gap["overlap"] else "apart"
    less = gap.get("starved") or ""
    if interval is None:
        return Verdict(g, seeds, "few" if gap.get("few") else "unknown", count, starved=less)
    low, high = interval
    if (g > 0 and low > 0) or (g < 0 and high < 0):
        return Verdict(g, seeds, "apart", count, starved=less)
    half = g - low if g > 0 else high - g
    ratio = POWER * (half / abs(g)) ** 2 if g else float("inf")
    return Verdict(g, seeds, "level", count, _rounded(count * ratio) if ratio <= MOST else None, less)


def starved(system: dict[str, Any]) -> bool:
    """Whether a training of a compared system had clearly less work than its budget bought: its steps took less than
    LESS of what they were counted at, as the machine was busy when their price was found. What counted hardly any
    seconds had done all its work at once."""
    runs = (r for r in system.get("runs", []) if r.get("worked") and r["seconds"] > 1)
    return any(r["worked"] < LESS * r["seconds"] for r in runs)


def _rounded(n: float) -> int:
    """A number of pictures to two figures, upwards."""
    unit: int = 10 ** max(len(str(int(n))) - 2, 0)
    return math.ceil(n / unit - 1e-9) * unit


__all__ = ["CHANCE", "LESS", "Verdict", "starved", "verdict"]
