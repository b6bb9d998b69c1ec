"""Budgets and the schedules that follow them."""
from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stemma.core.recipe import Phase, Recipe
from stemma.core.types import StemmaError
from stemma.engine.running.budget import Budget, Spent
from stemma.engine.running.schedule import batch_scale, factor, phase_at, rate


@pytest.mark.parametrize(
    "text, amount, unit",
    [
        ("90s", 90, "seconds"), ("2m", 120, "seconds"), ("1.5h", 5400, "seconds"), ("45 min", 2700, "seconds"),
        ("2000steps", 2000, "steps"),
        ("90_000 steps", 90000, "steps"), ("90ksteps", 90000, "steps"), ("12epochs", 12, "epochs"),
        ("0.5 epoch", 0.5, "epochs"), ("50,000images", 50000, "images"),
        ("30 Seconds", 30, "seconds"), ("1step", 1, "steps"),
    ],
)
def test_budgets_are_read(text: str, amount: float, unit: str) -> None:
    assert Budget.parse(text) == Budget(amount, unit)
    assert Budget.parse(str(Budget.parse(text))) == Budget.parse(text)


@pytest.mark.parametrize("text", ["", "90", "s", "ninety s", "-5s", "0steps", "5 parsecs", "1s2m", "1e3steps",
                                  "infs", "nan s"])
def test_what_is_no_budget_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(StemmaError) as said:
        Budget.parse(text)
    assert "\n" not in str(said.value) and repr(text)[1:-1] in str(said.value)


spents = st.builds(Spent, st.floats(0, 1e6), st.integers(0, 10**6), st.floats(0, 1e3), st.integers(0, 10**9))


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(["90s", "2000steps", "12epochs", "50000images"]), spents, spents)
def test_fraction_lies_in_0_to_1_and_never_falls(text: str, a: Spent, b: Spent) -> None:
    budget = Budget.parse(text)
    more = Spent(a.seconds + b.seconds, a.steps + b.steps, a.epochs + b.epochs, a.images + b.images)
    assert 0 <= budget.fraction(a) <= budget.fraction(more) <= 1


def test_a_budget_counts_its_own_unit_alone() -> None:
    assert Budget.parse("10steps").fraction(Spent(seconds=1e9, steps=5, epochs=99, images=10**9)) == 0.5
    assert Budget.parse("10s").fraction(Spent(seconds=20, steps=0)) == 1


def test_published_length_keeps_its_images_at_another_batch() -> None:
    assert Budget.parse("90000steps").for_batch(16, 8) == Budget(180000, "steps")
    assert Budget.parse("12epochs").for_batch(16, 8) == Budget(12, "epochs")


# ---------------------------------------------------------------- schedules


def test_step_schedule_by_hand() -> None:
    r = Recipe(schedule="step", milestones=(0.5, 0.75), gamma=0.1, warmup=0.0)
    assert [factor(r, f) for f in (0, 0.49, 0.5, 0.74, 0.75, 1)] == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01])


def test_steps_may_differ_and_there_is_one_for_each_milestone() -> None:
    r = Recipe(schedule="step", milestones=(0.5, 0.75), gammas=(0.5, 0.2), warmup=0.0)
    assert [factor(r, f) for f in (0, 0.5, 0.75)] == pytest.approx([1, 0.5, 0.1])
    with pytest.raises(ValueError, match="recipe.gammas=.* one for each of recipe.milestones"):
        replace(r, milestones=(0.5,))


def test_poly_cosine_linear_constant_by_hand() -> None:
    r = Recipe(warmup=0.0)
    assert factor(replace(r, schedule="poly", power=0.9), 0.5) == pytest.approx(0.5**0.9)
    assert [factor(replace(r, schedule="cosine"), f) for f in (0, 0.5, 1)] == pytest.approx([1, 0.5, 0])
    linear = replace(r, schedule="linear", milestones=(0.7,))
    assert [factor(linear, f) for f in (0, 0.7, 0.85, 1)] == pytest.approx([1, 1, 0.5, 0])
    assert factor(replace(r, schedule="constant"), 0.99) == 1


def test_warm_up_rises_in_a_line_from_its_factor() -> None:
    r = Recipe(schedule="constant", warmup=0.1, warmup_factor=0.2)
    assert [factor(r, f) for f in (0, 0.05, 0.1)] == pytest.approx([0.2, 0.6, 1.0])


def test_warm_up_rises_with_a_power_or_stays() -> None:
    r = Recipe(schedule="constant", warmup=0.1, warmup_factor=0.0, warmup_power=4.0)
    assert [factor(r, f) for f in (0, 0.05, 0.1)] == pytest.approx([0, 0.5**4, 1])  # darknet's burn-in
    still = replace(r, warmup_factor=0.1, warmup_power=0.0)
    assert [factor(still, f) for f in (0, 0.05, 0.0999, 0.1)] == pytest.approx([0.1, 0.1, 0.1, 1])


def test_a_phase_with_milestones_has_a_warm_up_of_its_own() -> None:
    phases = (Phase("a", 1.0, milestones=(0.8,), warmup=0.1), Phase("b", 1.0, milestones=(0.5,)))
    r = Recipe(phases=phases, warmup=0.3, warmup_factor=0.2, milestones=(0.1, 0.2), gammas=(0.5, 0.5))
    at = [rate(r, f, p) for f, p in ((0.0, 0), (0.025, 0), (0.05, 0), (0.4, 0), (0.5, 1), (0.75, 1))]
    assert at == pytest.approx([0.2, 0.6, 1, 0.1, 1, 0.1])


def test_warm_up_never_vanishes_in_a_short_budget() -> None:
    r = Recipe(schedule="constant", warmup=0.01, warmup_factor=0.0)
    long = [factor(r, s / 10_000, s) for s in (0, 50, 100)]
    assert long == pytest.approx([0, 0.5, 1])
    assert [factor(r, s / 200, s) for s in (0, 2, 5, 10)] == pytest.approx([0, 0.2, 0.5, 1])
    assert [factor(r, s / 8, s) for s in (0, 1, 2, 3)] == pytest.approx([0, 0.5, 1, 1])
    assert factor(replace(r, warmup=0.0), 0, 0) == 1


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(["step", "poly", "cosine", "linear", "constant"]), st.floats(0, 1), st.floats(0, 0.3))
def test_factors_are_between_0_and_1(schedule: str, fraction: float, warmup: float) -> None:
    value = factor(Recipe(schedule=schedule, warmup=warmup), fraction)  # type: ignore[arg-type]
    assert 0 <= value <= 1 + 1e-12 and math.isfinite(value)


def test_the_rate_follows_the_batch_in_a_line() -> None:
    assert batch_scale(Recipe(batch=16), 4) == 0.25


def test_phases_share_the_budget() -> None:
    phases = (Phase("head", 1.0), Phase("all", 3.0))
    assert [phase_at(phases, f) for f in (0, 0.2, 0.25, 0.9, 1.0)] == [0, 0, 1, 1, 1]
    assert phase_at((), 0.5) == -1
