"""The three findings of Kornblith, Shlens and Le (2018), held against a comparison: each passes, fails, or cannot be
told from what was run, with the numbers that say so."""
from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy import stats

TUNED, RANDOM = "fine-tuned", "random start"
HARDLY = 0.03  # of accuracy: a gain below it is hardly one


@dataclass(frozen=True)
class Finding:
    """`verdict`: pass, fail or inconclusive."""

    finding: str
    verdict: str
    says: str


def findings(ways: dict[str, Any]) -> list[dict[str, str]]:
    """Of a comparison's ways of measuring (`results.collect`), as plain values."""
    return [asdict(f) for f in (_goes_together(ways), _hardly_helps(ways), _architectures(ways))]


def _r(c: dict[str, Any] | None) -> tuple[dict[str, Any] | None, str]:
    """(the correlation where its interval can be told, what it says)"""
    if c is None or c["low"] is None or not math.isfinite(c["low"]):
        return None, "four networks or more are needed whose accuracy at the source is known"
    return c, f"r = {c['r']:.2f} ({c['low']:.2f} to {c['high']:.2f}), n = {c['n']}"


def _goes_together(ways: dict[str, Any]) -> Finding:
    """Better networks carry over better, by regression on their features and by fine-tuning."""
    verdicts, parts = [], []
    for way in ("linear", TUNED):
        c, says = _r((ways.get(way) or {}).get("r"))
        if c is None:
            if way == "linear":
                return Finding("Better networks carry over better", "inconclusive", says)
            continue
        less = ways[way].get("r_without_weakest")
        alone = less is not None and less["r"] is not None and math.isfinite(less["r"]) and less["r"] <= 0
        verdicts.append("fail" if c["high"] < 0 else "pass" if c["low"] > 0 and not alone else "inconclusive")
        parts.append(f"{'regression' if way == 'linear' else way}: {says}"
                     + (f", without the weakest {less['r']:.2f}" if less and less["r"] is not None else ""))
        bare, told = _r(ways[way].get("r_random"))
        if bare is not None:
            parts.append(f"the same networks with random weights: {told}"
                         + ", so their size alone may be what goes together" * (bare["low"] > 0))
    verdict = verdicts[0] if len(set(verdicts)) == 1 else "fail" if "fail" in verdicts else "inconclusive"
    return Finding("Better networks carry over better", verdict, "; ".join(parts))


def gains(ways: dict[str, Any], of: str, than: str) -> dict[str, tuple[float, float, float]]:
    """{set: (mean over networks of one way's accuracy less another's, and its 95 % interval)}."""
    one, other = ways.get(of), ways.get(than)
    found = {}
    for name in one["sets"] if one and other else ():
        if one and other and name in other["sets"]:
            d = (np.array(one["table"])[:, one["sets"].index(name)]
                 - np.array(other["table"])[:, other["sets"].index(name)])
            half = (float(stats.t.ppf(0.975, len(d) - 1)) * d.std(ddof=1) / math.sqrt(len(d)) if len(d) > 1
                    else math.nan)
            found[name] = (float(d.mean()), float(d.mean() - half), float(d.mean() + half))
    return found


def _told(found: dict[str, tuple[float, float, float]]) -> str:
    return "; ".join(f"{n} {m:+z.3f} ({a:+z.3f} to {b:+z.3f})" for n, (m, a, b) in found.items())


def _hardly_helps(ways: dict[str, Any]) -> Finding:
    """On some sets, those of fine classes, what was learned before helps hardly."""
    name, found = "On some sets pretraining hardly helps", gains(ways, TUNED, RANDOM)
    if not found or any(math.isnan(low) for _, low, _ in found.values()):
        return Finding(name, "inconclusive", "two networks or more are needed, fine-tuned and from a random start")
    hardly = [n for n, (_, _, high) in found.items() if high < HARDLY]
    helped = [n for n, (_, low, _) in found.items() if low > HARDLY]
    verdict = "pass" if hardly else "fail" if len(helped) == len(found) else "inconclusive"
    return Finding(name, verdict, f"gain in accuracy over a random start, less than {HARDLY:g} being hardly one: "
                   + _told(found))


def _architectures(ways: dict[str, Any]) -> Finding:
    """Architectures generalise: better ones are better from a random start too. Features do less so: there are sets
    where training from a random start is better than regression on them."""
    name = "Architectures generalise, features less"
    c, says = _r((ways.get(RANDOM) or {}).get("r"))
    found = gains(ways, "linear", RANDOM)
    if c is None or not found:
        return Finding(name, "inconclusive", "from a random start: " + says)
    worse = [n for n, (_, _, high) in found.items() if high < 0]
    better = [n for n, (_, low, _) in found.items() if low > 0]
    verdict = ("pass" if c["low"] > 0 and worse else "fail" if c["high"] < 0 or len(better) == len(found)
               else "inconclusive")
    return Finding(name, verdict, f"from a random start: {says}; features less a random start: {_told(found)}")


__all__ = ["Finding", "findings", "gains"]
