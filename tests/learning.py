"""What tests of learning measured and how far it lies from failing; and, in CI, no test that is skipped; and files that tests are given.

The last bits of a training differ between processors, and so, after many steps, do its numbers. A test that learns asks
for half of what it gets on the machine it was written on, or less: `learned` notes by which factor, and the summary of
the test run lists all of them. It also takes what an untrained system gets, which has to fail.
"""
from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any

import pytest

MARGIN = "margin"  # the property of a test's report that holds one `Margin`
ENOUGH = 2.0
# what; its value, what was wanted, what an untrained one has; the factor between
Margin = tuple[str, float, float, float, float]


class Learned:
    """Called by a test with what its training reached; fails where that is not enough,
    or where no training is needed."""

    def __init__(self, note: Callable[[str, Any], None]) -> None:
        self.note = note

    def __call__(
        self, what: str, value: float, *, untrained: float, at_least: float | None = None, at_most: float | None = None
    ) -> None:
        """`value` is a gain that is wanted `at_least`, or a loss or an error that is wanted `at_most`."""
        assert (at_least is None) != (at_most is None), "say at_least or at_most"
        if at_least is not None:
            wanted, words, factor = at_least, "at least", value / at_least
        else:
            assert at_most is not None
            wanted, words, factor = at_most, "at most", float("inf") if value <= 0 else at_most / value
        self.note(MARGIN, (what, float(value), float(wanted), float(untrained), float(factor)))
        idle = untrained < wanted if words == "at least" else untrained > wanted
        assert idle, f"{what}: {words} {wanted:.4g} is wanted, and untrained it is {untrained:.4g} already"
        assert factor >= 1, f"{what} is {value:.4g}; {words} {wanted:.4g} is wanted"  # also where it is not a number


def table(found: Iterable[tuple[str, Margin]]) -> list[str]:
    """A line for every margin of a test run, the smallest first. found: (the test's name, what it noted)"""
    rows = sorted(((margin[-1], test, margin) for test, margin in found), key=lambda row: row[0])
    lines = []
    for factor, test, (what, value, wanted, untrained, _) in rows:
        sign, near = (">=", "" if factor >= ENOUGH else "   closer than a factor of two")
        if untrained > wanted:
            sign = "<="
        numbers = f"{value:<9.3g} {sign} {wanted:<8.3g} untrained {untrained:<8.3g}"
        lines.append(f"{min(factor, 9999.0):6.1f} x   {what:28} {numbers} {test}{near}")
    return lines


@pytest.fixture
def learned(record_property: Callable[[str, Any], None]) -> Learned:
    """`learned(what, value, untrained=..., at_least=...)` or `at_most`: asserts what a training reached,
    notes the margin."""
    return Learned(record_property)


# ---------------------------------------------------------------- skips and the summary

STRICT = os.environ.get("CI", "").lower() not in ("", "0", "false")


def no_skip(report: Any) -> None:
    """A skip becomes a failure: what a test holds is held in CI, or CI says so.
    Expected failures stay what they are."""
    if STRICT and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome, report.longrepr = "failed", f"{reason}\nA skip is a failure where CI is set in the environment."


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """A test of a file that is in nobody's gift, marked `given(VARIABLE)`, is asked for where that variable of the
    environment names the file; elsewhere it is left out, and so neither skipped nor passed."""
    absent = {item for item in items if not all(os.environ.get(m.args[0]) for m in item.iter_markers("given"))}
    if absent:
        config.hook.pytest_deselected(items=list(absent))
        items[:] = [item for item in items if item not in absent]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Any:
    report = yield
    no_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Any:
    report = yield
    no_skip(report)
    return report


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """The margins of tests that learned, and why tests were skipped."""
    say, reports = terminalreporter, [r for group in terminalreporter.stats.values()
                                      for r in group if hasattr(r, "nodeid")]
    noted = [(r.nodeid, v) for r in reports if getattr(r, "when", "") == "call"
             for k, v in r.user_properties if k == MARGIN]
    if noted:
        say.section("what was learned")
        precision = os.environ.get("STEMMA_PRECISION") or "auto"
        say.write_line(f"margin     (precision {precision}; a test fails below 1 and is meant to be at 2 or more)")
        for line in table(noted):
            say.write_line(line)
    skipped = sorted({str(r.longrepr[2] if isinstance(r.longrepr, tuple) else r.longrepr).removeprefix("Skipped: ")
                      for r in terminalreporter.stats.get("skipped", [])})
    if skipped:
        say.section("skipped on this machine")
        for reason in skipped:
            say.write_line(reason)
