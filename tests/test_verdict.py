"""Which gap is clear, what is said of it, and what would tell: every case of seeds and pictures."""
from __future__ import annotations

import copy
from typing import Any

import pytest

from stemma.engine.pictures.results import gain
from stemma.engine.pictures.verdict import verdict
from stemma.report import words

ONE: dict[str, Any] = {"gain": 0.05, "overlap": None}
APART, MIXED = ONE | {"overlap": False}, ONE | {"overlap": True}
# half of it is twice the gain: eight times the pictures
WIDE: dict[str, Any] = {"interval": [-0.05, 0.16], "pictures": 16}
NARROW: dict[str, Any] = {"interval": [0.02, 0.08], "pictures": 200}
FEW: dict[str, Any] = {"interval": None, "pictures": 5, "few": True}

CASES = [  # gap, clear, told apart, in a table, what would tell
    (APART | NARROW, True, True, "clear: beyond the spread of seeds and pictures", ""),
    (APART | WIDE, False, False, "not clear: 16 pictures cannot tell",
     "About 130 test pictures would tell a gap of this size; more seeds alone would not."),
    (APART | FEW, False, False, "not clear: 5 pictures are too few to tell",
     "More test pictures would tell; more seeds alone would not."),
    (APART, False, True, "clear of the seeds' spread; over pictures unknown", ""),
    (MIXED | NARROW, False, False, "not clear: within the spread of the seeds", "More seeds would tell."),
    (MIXED | WIDE, False, False, "not clear: within the spread of the seeds, and 16 pictures cannot tell",
     "About 130 test pictures and more seeds would tell."),
    (MIXED | FEW, False, False, "not clear: within the spread of the seeds, and 5 pictures are too few to tell",
     "More test pictures and more seeds would tell."),
    (MIXED, False, False, "not clear: within the spread of the seeds", "More seeds would tell."),
    (ONE | NARROW, False, True, "clear on these 200 pictures; one seed: spread unknown",
     "--seeds 3 would show it."),
    (ONE | NARROW | {"gain": 0.022}, False, True,
     "clear on these 200 pictures; one seed: spread unknown", "--seeds 3 would tell."),
    (ONE | WIDE, False, False, "not clear: 16 pictures cannot tell; one seed",
     "About 130 test pictures would tell a gap of this size; more seeds alone would not."),
    (ONE | FEW, False, False, "not clear: 5 pictures are too few to tell; one seed",
     "More test pictures would tell; more seeds alone would not."),
    (ONE, False, True, "one seed: spread unknown", "--seeds 3 would show it."),
    (ONE | WIDE | {"gain": -0.08, "interval": [-0.2, 0.08]}, False, False, "not clear: 16 pictures cannot tell; "
     "one seed", "About 130 test pictures would tell a gap of this size; more seeds alone would not."),
    (ONE | WIDE | {"gain": 0.002}, False, False, "not clear: 16 pictures cannot tell; one seed",
     "Far more than 16 test pictures would tell; more seeds alone would not."),
    (ONE | NARROW | {"gain": -0.05, "interval": [-0.08, -0.02]}, False, True,
     "clear on these 200 pictures; one seed: spread unknown", "--seeds 3 would show it."),
    (ONE | {"gain": 0.0, "interval": [0.0, 0.0], "pictures": 40}, False, False, "not clear: 40 pictures cannot tell; "
     "one seed", "Far more than 40 test pictures would tell; more seeds alone would not."),
    (APART | NARROW | {"starved": "FPN"}, False, False, "not told: FPN had less work than its budget bought",
     "The same in another folder would tell: the price of a step is mended."),
]


@pytest.mark.parametrize(("gap", "clear", "apart", "short", "would"), CASES)
def test_every_case(gap: dict[str, Any], clear: bool, apart: bool, short: str, would: str) -> None:
    v = verdict(gap)
    assert (v.clear, v.told_apart, v.short(), v.would("test")) == (clear, apart, short, would)
    assert words.edge_verdict(gap) == short
    assert not (v.clear and v.would("test"))


def test_no_common_measure_is_said() -> None:
    assert words.edge_verdict({"gain": None,
                               "note": "no common measure: AP and mIoU"}) == "no common measure: AP and mIoU"


def test_pictures_that_would_tell_are_rounded_upwards() -> None:
    gap = {"gain": 0.05, "overlap": None}
    for interval, pictures, needed in (([-0.1, 0.2], 200, 3600), ([-0.001, 0.101], 163, 340), ([-0.001, 0.101], 7, 15),
                                       ([-0.42, 0.5], 20, None), ([-0.3, 0.4], 20, 2000)):
        assert verdict(gap | {"interval": interval, "pictures": pictures}).needed == needed


def test_an_interval_on_the_other_side_tells_nothing() -> None:
    """A few odd pictures can carry a gain that almost all resamples lack."""
    v = verdict({"gain": 0.01, "overlap": False, "interval": [-0.05, -0.001], "pictures": 40})
    assert v.pictures == "level" and not v.clear


# ---------------------------------------------------------------- in the answer


def compared(second: dict[str, Any] | None, seeds: int = 1, pictures: int = 16,
             third: dict[str, Any] | None = None) -> dict[str, Any]:
    """Results of FPN and RetinaNet, and of SSD where `third`; `second`,
    `third`: what is known of FPN's lead over each."""
    def system(name: str, title: str, values: list[float]) -> dict[str, Any]:
        spread = 0.01 if seeds > 1 else None
        return {"id": name, "title": title, "main": "AP", "summary": {"AP": {
            "mean": sum(values) / len(values), "spread": spread, "values": values, "untrained": 0.001,
            "interval": [0.31, 0.52]}}}

    systems = [system("fpn", "FPN", [0.42, 0.44][:seeds]), system("retinanet", "RetinaNet", [0.37, 0.39][:seeds])]
    leads = [{"first": "fpn", "second": "retinanet", "metric": "AP", "gain": 0.05, "pictures": pictures,
              **second}] if second else []
    if third:
        systems.append(system("ssd", "SSD", [0.3, 0.32][:seeds]))
        leads.append({"first": "fpn", "second": "ssd", "metric": "AP", "gain": 0.12, "pictures": pictures, **third})
    data = {"name": "cells", "split": "test", "measured": pictures, "whole": pictures}
    return {"systems": systems, "data": data, "budget": "60s", "leads": {"AP": leads}}


def test_sixteen_pictures_cannot_tell_and_more_seeds_would_not() -> None:
    head, more = words.answer(compared(ONE | WIDE), "AP")
    assert (head == "FPN has the highest AP (.420), but RetinaNet (.370) cannot be told from it: 16 test pictures are "
            "not enough.")
    assert more[0] == ("The lead over RetinaNet is +.050: −.050 to +.160 (95 %) over 16 test pictures. "
                       "About 130 test pictures would tell a gap of this size; more seeds alone would not.")
    assert "--seeds" not in head + more[0]
    head, more = words.answer(compared(ONE | FEW, pictures=5), "AP")
    assert head.endswith("cannot be told from it: 5 test pictures are too few.")
    assert more[0] == "The lead over RetinaNet is +.050. More test pictures would tell; more seeds alone would not."


def test_seeds_and_pictures_must_agree() -> None:
    head, more = words.answer(compared(APART | NARROW, 2, 200), "AP")
    assert head == ("FPN did best: AP .430 ± .010 over 2 seeds, .050 ahead of RetinaNet (.380 ± .010), and no seed of "
                    "another overlaps; the lead is +.020 to +.080 (95 %) over 200 test pictures.")
    head, more = words.answer(compared(APART | WIDE, 2), "AP")
    assert head.startswith("FPN has the highest AP (.430 ± .010), but RetinaNet (.380 ± .010) cannot be told from it: "
                           "16 test pictures are not enough.")
    head, more = words.answer(compared(MIXED | NARROW, 2, 200), "AP")
    assert head.endswith("cannot be told from it: their 2 seeds "
                         "overlap.") and more[0].endswith("over 200 test pictures. More seeds would tell.")
    head, more = words.answer(compared(MIXED | WIDE, 2), "AP")
    assert head.endswith("cannot be told from it: their 2 seeds overlap and 16 test pictures are not enough.")
    head, more = words.answer(compared(APART | WIDE, 2, third=MIXED | NARROW | {"pictures": 16}), "AP")
    assert ("but RetinaNet (.380 ± .010) and SSD (.310 ± .010) cannot be told from it: their 2 seeds overlap, or 16 "
            "test pictures are not enough." in head)
    assert more[0].startswith("The lead over RetinaNet is") and more[1].startswith("The lead over SSD is")


def test_a_lead_over_one_that_had_less_work_is_none() -> None:
    """Three FPNs of one comparison had .73, .70 and .11 of their budget's work, as the machine was busy when their step
    was priced, and stood .151 behind Grid R-CNN, "clear: beyond the spread of seeds and pictures"."""
    head, more = words.answer(compared(APART | NARROW | {"starved": "RetinaNet"}, 2, 200), "AP")
    assert head.endswith("but RetinaNet (.380 ± .010) cannot be told from it: RetinaNet had less work than the budget "
                         "bought.")
    assert more[0].endswith("The same in another folder would tell: the price of a step is mended.")


def test_who_had_less_work_matters_where_it_lost() -> None:
    def system(name: str, value: float, *worked: float) -> dict[str, Any]:
        return {"id": name, "title": name.upper(), "main": "AP", "summary": {"AP": {
            "mean": value, "spread": 0.01, "values": [value - 0.01, value + 0.01]}},
            "runs": [{"seconds": 60.0, "worked": w} for w in worked]}

    whole, starved = system("a", 0.2, 60.0, 58.0), system("b", 0.1, 60.0, 7.0)
    assert gain(starved, whole)["starved"] == gain(whole, starved)["starved"] == "B"
    assert "starved" not in gain(whole, system("b", 0.3, 60.0, 7.0))  # it won with less
    assert "starved" not in gain(whole, system("b", 0.1, 60.0, 49.0)) and "starved" not in gain(whole, {
        **starved, "runs": [{"seconds": 60.0, "worked": None}, {"status": "failed", "seconds": 60.0}]})


def test_of_one_seed_it_is_said_what_is_known() -> None:
    head, more = words.answer(compared(ONE | NARROW, pictures=200), "AP")
    assert (head == "FPN did best: AP .420, .050 ahead of RetinaNet (.370). With one seed the spread is unknown; "
            "--seeds 3 would show it.")
    assert (more[0] == "The lead is +.020 to +.080 (95 %) over 200 test pictures, for these trainings; others may do "
            "otherwise.")
    head, more = words.answer(compared(ONE | NARROW | {"gain": 0.022, "interval": [0.01, 0.03]}, pictures=2000), "AP")
    assert (head == "FPN is first with AP .420, but only .022 ahead of RetinaNet (.370): with one seed that may be "
            "chance. --seeds 3 would tell.")
    known = compared(ONE | NARROW, pictures=200)
    alone = copy.deepcopy(known) | {"systems": known["systems"][:1], "leads": {}}
    assert (words.answer(alone, "AP")[0] == "FPN reached AP .420 (95 % over 200 test pictures: .310 to .520) "
            "with one seed.")


def test_where_numbers_were_measured() -> None:
    assert words.measured_on({"split": "test", "measured": 16, "whole": 16}) == "16 pictures of test"
    assert words.measured_on({"split": "val", "measured": 200, "whole": 4952}) == "200 of the 4,952 pictures of val"
    assert words.measured_on({"split": "val", "measured": 1, "whole": 1}) == "1 picture of val"
    assert words.measured_on({"name": "old"}) == ""


@pytest.mark.parametrize(("worse", "better", "said"), [
    ([0.4, 0.5], [0.5, 0.6], True), ([0.4, 0.5], [0.51, 0.6], False), ([0.4, 0.55], [0.6, 0.5], True),
    ([0.4], [0.5, 0.6], None),
])
def test_seeds_interlock_from_where_they_touch(worse: list[float], better: list[float], said: bool | None) -> None:
    a, b = ({"summary": {"AP": {"values": v}}} for v in (worse, better))
    assert words.overlap(a, b, "AP") is said and words.overlap(b, a, "AP") is said
