"""How often a model must say what is not true: Good and Turing's estimates, calibration over level sets, the bound.

Kalai and Vempala 2024 (arXiv 2311.14648 v3). F facts among |Y| possible sentences, p [F] the chance that a document
tells each, n documents that tell fact i `counts[i]` times, g a model's probability of sentences. U is what no document
told, true or not; H what is not true; the rate of hallucination is g(H). Probabilities of single sentences come as
natural logarithms.
"""
from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

# ---------------------------------------------------------------- what was seen once, and what was never seen


def monofacts(counts: np.ndarray) -> float:
    """The monofact rate: facts that one document tells, over the number of documents (not of facts)."""
    return good_turing(counts, 0)


def good_turing(counts: np.ndarray, r: int) -> float:
    """Good's estimate of the mass of what was told `r` times: (r + 1) N(r + 1) / n."""
    return float((r + 1) * (counts == r + 1).sum() / counts.sum())


def missing_mass(p: np.ndarray, counts: np.ndarray) -> float:
    """p(U): the chance that the next document tells what none has told."""
    return float(p[counts == 0].sum())


def expected_monofacts(p: np.ndarray, n: int) -> float:
    """E of `monofacts`: sum of p (1 - p)^(n - 1)."""
    return float((p * np.exp((n - 1) * np.log1p(-p))).sum())


def expected_missing(p: np.ndarray, n: int) -> float:
    """E of `missing_mass`: sum of p (1 - p)^n."""
    return float((p * np.exp(n * np.log1p(-p))).sum())


def concentration(n: int, delta: float) -> float:
    """How far the monofact rate lies from the missing mass at most, with probability 1 - delta: the theorem's term."""
    return math.sqrt(6 * math.log(6 / delta) / n)


def interval(counts: np.ndarray, z: float = 1.96) -> tuple[float, float]:
    """Where the missing mass lies, by Esty's normal limit (Annals of Statistics 1983): MF ± z sqrt(N1 + 2 N2 - N1²/n)
    / n."""
    n, n1, n2 = counts.sum(), (counts == 1).sum(), (counts == 2).sum()
    half = z * math.sqrt(max(float(n1 + 2 * n2 - n1**2 / n), 0.0)) / n
    rate = float(n1 / n)
    return max(rate - half, 0.0), min(rate + half, 1.0)


def certain(counts: np.ndarray, delta: float = 0.05) -> tuple[float, float]:
    """Where the missing mass lies with probability 1 - delta, whatever the law of the facts (McAllester and Schapire,
    COLT 2000, the theorem's own term): the monofact rate ± `concentration`."""
    half = concentration(int(counts.sum()), delta)
    rate = monofacts(counts)
    return max(rate - half, 0.0), min(rate + half, 1.0)


def resampled(counts: np.ndarray, draws: int = 1000, seed: int = 0, level: float = 0.95) -> tuple[float, float]:
    """Where the monofact rate lies over so many other documents of the same law, which is not known: documents are
    drawn anew from a smoothed one (a parametric bootstrap), Good and Turing's mass spread evenly over as many facts not
    told as Chao's estimate says there are, N1^2 / (2 N2), the rest by counts. How far the rates lie apart is taken of
    them, and not where they lie, for there are more facts than Chao's. Drawing from the documents themselves tells
    nothing here: what is told once comes twice, or not at all."""
    n, once, twice = int(counts.sum()), int((counts == 1).sum()), int((counts == 2).sum())
    missing = once / n
    more = max(round(once**2 / (2 * max(twice, 1))), 1) if once else 0
    told = counts[counts > 0]
    p = np.concatenate([(1 - missing) * told / n, np.full(more, missing / max(more, 1))])
    rng = np.random.default_rng(seed)
    rates = np.array([(rng.multinomial(n, p / p.sum()) == 1).sum() / n for _ in range(draws)])
    low, high = missing + np.quantile(rates - rates.mean(), [(1 - level) / 2, (1 + level) / 2])
    return max(float(low), 0.0), min(max(float(high), missing), 1.0)


# ---------------------------------------------------------------- calibration


@dataclass(frozen=True)
class Levels:
    """The blocks of a partition of all sentences: their mass under the truth, `p` [B], and under the model, `g` [B]."""

    p: np.ndarray
    g: np.ndarray

    @property
    def miscalibration(self) -> float:
        """Half the sum of |p(B) - g(B)|. Over the level sets of g it is the total variation between g and p made even
        within each: Mis(g, p)."""
        return float(np.abs(self.p - self.g).sum() / 2)

    def coarser(self, into: np.ndarray) -> Levels:
        """The blocks joined: block i becomes part of `into[i]`."""
        return Levels(np.bincount(into, self.p), np.bincount(into, self.g))


def level_sets(log_g: np.ndarray, p: np.ndarray, rest: float, log_rest: float | None = None) -> Levels:
    """The level sets of a model, from its probabilities of all facts [F] and its mass `rest` of all that is false.

    log_rest: the one probability that every false sentence has, where it is one; the facts that share it, those that no
    document told, lie in one block with them, so that nothing need be listed. None: no two false sentences are alike,
    which makes the measure the plain distance of g from p, and never smaller than over any coarser partition.
    """
    told = np.round(log_g, 9)  # what is equal but for the last bits is equal
    if log_rest is not None:
        told = np.append(told, round(log_rest, 9) if math.isfinite(log_rest) else log_rest)
    _, block = np.unique(told, return_inverse=True)
    mass = np.exp(log_g)
    if log_rest is not None:
        return Levels(np.bincount(block, np.append(p, 0.0)), np.bincount(block, np.append(mass, rest)))
    return Levels(np.append(np.bincount(block, p), 0.0), np.append(np.bincount(block, mass), rest))


def binned(log_g: np.ndarray, p: np.ndarray, rest: float, drawn: np.ndarray, bins: int = 20) -> tuple[float, float]:
    """(miscalibration over `bins` bins of about equal model mass, what of it sampling alone would give).

    drawn: log probabilities [M] of false sentences that the model said. Half of them set the bins' edges with the
    facts' own, half measure, so that no bin is judged by what drew it. The plug-in lies too high by about the second
    number.
    """
    first, second = drawn[::2], drawn[1::2]
    values = np.concatenate([log_g, first])
    weight = np.concatenate([np.exp(log_g), np.full(len(first), rest / max(len(first), 1))])
    order = np.argsort(values)
    share = np.cumsum(weight[order]) / max(weight.sum(), 1e-300)
    at = np.searchsorted(share, np.arange(1, bins) / bins)
    edges = np.unique(values[order][at.clip(max=len(order) - 1)])
    inside = lambda v, w: np.bincount(np.digitize(v, edges), w, minlength=len(edges) + 1)  # noqa: E731
    part = inside(second, np.ones(len(second))) / max(len(second), 1)
    levels = Levels(inside(log_g, p), inside(log_g, np.exp(log_g)) + rest * part)
    noise = rest * np.sqrt(2 * part * (1 - part) / (math.pi * max(len(second), 1))).sum() / 2
    return levels.miscalibration, float(noise)


def nearly_alike(log_g: np.ndarray, p: np.ndarray, rest: float, drawn: np.ndarray, eps: float = 0.1) -> float:
    """Miscalibration where sentences whose probabilities are alike to a factor 1 - eps share a block: g within
    ((1 - eps)^(i + 1), (1 - eps)^i], the paper's blocks of nearly equal ones. drawn: log probabilities [M] of false
    sentences that the model said; each stands for its part of `rest`."""
    values = np.concatenate([log_g, drawn])
    block = np.where(np.isfinite(values), np.floor(np.maximum(values, -1e6) / math.log1p(-eps) + 1e-9), -1)
    _, into = np.unique(block, return_inverse=True)
    mass = np.concatenate([np.exp(log_g), np.full(len(drawn), rest / max(len(drawn), 1))])
    if not len(drawn) and rest:
        into, mass = np.append(into, into.max() + 1), np.append(mass, rest)
    true = np.concatenate([p, np.zeros(len(mass) - len(p))])
    return Levels(np.bincount(into, true), np.bincount(into, mass)).miscalibration


# ---------------------------------------------------------------- the bound


@dataclass(frozen=True)
class Bound:
    """The least rate of hallucination, with probability 1 - delta over the documents, and what it is made of."""

    monofacts: float
    miscalibration: float
    sparsity: float
    concentration: float
    delta: float

    @property
    def value(self) -> float:
        return self.monofacts - self.miscalibration - self.sparsity - self.concentration

    @property
    def vacuous(self) -> bool:
        """Whether it says nothing: every rate is above it."""
        return self.value <= 0

    @property
    def says(self) -> str:
        """The bound in words."""
        if self.vacuous:
            return f"vacuous ({self.value:.3f}): it holds of every model"
        return f"at least {self.value:.3f} with probability {1 - self.delta:g}"


def bound(monofact_rate: float, miscalibration: float, facts: int, false: int, documents: int,
          delta: float = 0.01, regularity: float = 1.0, even: bool = True) -> Bound:
    """Theorem 1's bound: MF - Mis - 3 exp(-s) / delta - sqrt(6 ln(6 / delta) / n), where exp(-s) is |F| / |H|.

    At delta .01 these are the paper's 300 |F| / |H| and 7 / sqrt(n), the second rounded up from 6.195. Raises
    `ValueError` for a delta outside 0..1 and a regularity below 1.

    regularity: r of facts that are regular but for a factor: given the documents, no sentence that they do not tell is
    more than r times as likely as the mean of these to be true, nor has more than r times their mean probability. Then
    the first term is r times as large, as the theorem's proof has it. For of g, what lies on facts that were not told
    is r |F in U| / |U| of it at most, in expectation; and what level sets of both kinds mix, r |told| / |U|. Both
    together are r |F| / |U| < r |F| / |H|, and exceed 3 / delta times that with probability delta / 3.

    even: where it is no, facts alone are regular and what a sentence says may tell how often it is told (the paper's
    corollary). A level set then has of what was not told, in expectation, no more mass than facts, r |F in U| / |U| of
    its sentences; its told ones, n over all sets, share in that. So the term has the documents besides: n + 1 times,
    of which the one is g's own mass on facts not told, and the corollary n.
    """
    if not 0 < delta < 1:
        raise ValueError(f"delta is a probability between 0 and 1, not {delta}")
    if not regularity >= 1:
        raise ValueError(f"a regularity is 1 or more, not {regularity}")
    return Bound(monofact_rate, miscalibration, 3 * regularity * facts / false / delta * (1 if even else documents + 1),
                 concentration(documents, delta), delta)


def sparsity(facts: int, false: int) -> float:
    """s, where facts are as exp(-s) to what is false: the largest for which a world is s-sparse."""
    return math.log(false / facts)


def token_error(probability: np.ndarray, hit: np.ndarray, bins: int = 15) -> float:
    """The expected calibration error of next words: over `bins` equal bins of the probability [N] of the likeliest
    word, the mean |probability - share of hits|, weighed by how many fall in."""
    at = np.minimum((probability * bins).astype(int), bins - 1)
    said, right = np.bincount(at, probability, bins), np.bincount(at, hit.astype(float), bins)
    return float(np.abs(said - right).sum() / len(hit))


__all__ = ["Bound", "Levels", "binned", "bound", "certain", "concentration", "expected_missing", "expected_monofacts",
           "good_turing", "interval", "level_sets", "missing_mass", "monofacts", "nearly_alike", "resampled",
           "sparsity", "token_error"]
