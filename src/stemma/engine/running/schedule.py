"""Learning rate as a function of the fraction of the budget that is used: warm-up, then step, poly, cosine,
linear or constant."""
from __future__ import annotations

import math
from dataclasses import replace

from ...core.recipe import Phase, Recipe

LEAST, MOST = 10, 0.25  # a warm-up takes so many steps, however short the budget, and at most that part of it


def factor(recipe: Recipe, fraction: float, steps: float = math.inf) -> float:
    """What the base rate is multiplied with at `fraction` (0..1) of the budget, after `steps` steps.

    step:   gamma to the number of milestones passed, or the product of their gammas
    poly:   (1 - fraction) ** power (DeepLab)
    cosine: half a cosine down to 0
    linear: 1 until the first milestone, then straight to 0
    In the first `warmup` of the budget, the result is also multiplied with a line from `warmup_factor` to 1, or the
    `warmup_power` of one, or the factor alone (power 0); where that is less than LEAST steps, in the first LEAST, or
    the first quarter of a budget shorter still.
    """
    f = min(1.0, max(0.0, fraction))
    if recipe.schedule == "step":
        passed = sum(m <= f for m in recipe.milestones)
        value = math.prod(recipe.gammas[:passed]) if recipe.gammas else recipe.gamma**passed
    elif recipe.schedule == "poly":
        value = (1 - f) ** recipe.power
    elif recipe.schedule == "cosine":
        value = 0.5 * (1 + math.cos(math.pi * f))
    elif recipe.schedule == "linear":
        begin = recipe.milestones[0] if recipe.milestones else 0.0
        value = 1.0 if f <= begin else (1 - f) / (1 - begin)
    else:
        value = 1.0
    if recipe.warmup and (risen := max(min(f / recipe.warmup, steps / LEAST), f / max(MOST, recipe.warmup))) < 1:
        rise = risen**recipe.warmup_power if recipe.warmup_power else 0.0
        value *= recipe.warmup_factor + (1 - recipe.warmup_factor) * rise
    return value


def batch_scale(recipe: Recipe, batch: int) -> float:
    """The linear rule: a step of `batch` images takes `batch / recipe.batch` times the rate (Goyal et al., arXiv
    1706.02677)."""
    return batch / recipe.batch


def span(phases: tuple[Phase, ...], index: int) -> tuple[float, float]:
    """The fractions of the budget at which a phase begins and ends; shares are normalised to 1."""
    total, passed = sum(p.share for p in phases), sum(p.share for p in phases[:index])
    return passed / total, (passed + phases[index].share) / total


def learning(phases: tuple[Phase, ...], fraction: float) -> float:
    """The fraction of what the schedule of rates runs over: phases that run a method take no part in it."""
    length = taken = 0.0
    for i, p in enumerate(phases):
        begin, end = span(phases, i)
        if not p.run:
            length += end - begin
            taken += min(max(fraction - begin, 0.0), end - begin)
    return taken / length if length else fraction


def rate(recipe: Recipe, fraction: float, phase: int, steps: float = math.inf) -> float:
    """What the base rate is multiplied with at `fraction` of the budget, in the phase of that index (-1: none): by the
    phase's own milestones and warm-up and the part of it that is over, where it has some, else by the schedule over all
    phases that learn."""
    if phase >= 0 and (own := recipe.phases[phase]).milestones:
        begin, end = span(recipe.phases, phase)
        mine = replace(recipe, milestones=own.milestones, gammas=(), warmup=own.warmup)
        return factor(mine, (fraction - begin) / max(end - begin, 1e-12), steps)
    return factor(recipe, learning(recipe.phases, fraction), steps)


def phase_at(phases: tuple[Phase, ...], fraction: float) -> int:
    """Index of the phase that `fraction` falls into; shares are normalised to 1. -1 where there are no phases."""
    if not phases:
        return -1
    total, passed = sum(p.share for p in phases), 0.0
    for i, p in enumerate(phases):
        passed += p.share / total
        if fraction < passed - 1e-12:
            return i
    return len(phases) - 1
