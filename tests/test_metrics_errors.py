"""Errors by kind: one hand-made case each, and the numbers of TIDE's own program."""
from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metrics_cases import drawn, record, shot
from stemma.metrics import coco
from stemma.metrics.errors import KINDS, Errors, errors

OBJECT = (0, 0, 10, 10, 0)
OTHER = (50, 50, 60, 60, 1)


def found(*rows: tuple[float, ...], true: tuple[tuple[float, ...], ...] = (OBJECT, OTHER)) -> Errors:
    """Errors of one picture whose second object is always found, so that class b keeps an AP of 1."""
    return errors(record(shot(true, [*rows, (50, 50, 60, 60, 1, 0.9)])))


def only(e: Errors, **expected: int) -> None:
    assert e.count == {k: expected.get(k, 0) for k in KINDS}


def test_none() -> None:
    e = found((0, 0, 10, 10, 0, 0.9))
    only(e)
    assert e.ap50 == pytest.approx(1) and all(abs(v) < 1e-12 for v in e.gain.values())


def test_nothing_at_all() -> None:
    for rec in (record(), record(shot())):
        e = errors(rec)
        only(e)
        assert np.isnan(e.ap50)
    only(errors(record(shot([], [(0, 0, 9, 9, 0, 0.9)]))), background=1)


def test_localisation() -> None:
    e = found((0, 0, 10, 3, 0, 0.9))  # overlap .3
    only(e, localisation=1)  # and the object is not missed: the error points to it
    assert e.ap50 == pytest.approx(0.5) and e.gain["localisation"] == pytest.approx(0.5)
    assert e.gain["missed"] == e.gain["class"] == 0


def test_class() -> None:
    e = found((0, 0, 10, 10, 2, 0.9))
    only(e, **{"class": 1})
    assert e.gain["class"] == pytest.approx(0.5) and e.gain["localisation"] == 0


def test_both() -> None:
    e = found((0, 0, 10, 3, 1, 0.95))  # the better of the two b's: precision of b is one half
    only(e, both=1, missed=1)
    assert e.ap50 == pytest.approx(0.25) and e.gain["both"] == pytest.approx(0.25)


def test_duplicate() -> None:
    e = found((0, 0, 10, 10, 0, 0.9), (0, 0, 10, 9, 0, 0.8), true=(OBJECT, OTHER, (80, 80, 90, 90, 0)))
    only(e, duplicate=1, missed=1)
    assert e.gain["duplicate"] == 0  # it comes after the last hit
    e = errors(record(shot([OBJECT, (80, 80, 90, 90, 0)], [(*OBJECT, 0.9), (*OBJECT, 0.8), (80, 80, 90, 90, 0, 0.7)])))
    only(e, duplicate=1)
    assert e.gain["duplicate"] == pytest.approx(1 - (51 + 50 * 2 / 3) / 101)


def test_background() -> None:
    e = found((0, 0, 10, 10, 0, 0.5), (20, 20, 30, 30, 0, 0.9))
    only(e, background=1)
    assert e.ap50 == pytest.approx(0.75) and e.gain["background"] == pytest.approx(0.25)
    only(found((0, 0, 10, 10, 0, 0.5), (9, 9, 19, 19, 0, 0.9)), background=1)  # overlap .005


def test_what_lies_exactly_on_a_threshold() -> None:
    """As tidecv 1.0.1 asks (quantify.py): at .1 of an object of its class it is misplaced, of another class background;
    at .5 the class is wrong; just above .1 it is both."""
    only(found((0, 0, 10, 1, 0, 0.9)), localisation=1)
    only(found((0, 0, 10, 1, 1, 0.9)), background=1, missed=1)
    only(found((0, 0, 10, 1.1, 1, 0.9)), both=1, missed=1)
    only(found((0, 0, 10, 5, 1, 0.9)), **{"class": 1})


def test_missed() -> None:
    e = found((0, 0, 10, 10, 0, 0.9), true=(OBJECT, OTHER, (80, 80, 90, 90, 0)))
    only(e, missed=1)
    assert e.ap50 == pytest.approx((51 / 101 + 1) / 2) and e.gain["missed"] == pytest.approx(1 - e.ap50)


def test_localisation_comes_before_class() -> None:
    """It overlaps its class by .3 and another by 1."""
    only(found((0, 0, 10, 10, 2, 0.9), true=(OBJECT, OTHER, (0, 0, 10, 3, 2))), localisation=1, missed=1)


def test_two_that_point_to_one_object() -> None:
    """Mending makes the better one right and drops the other."""
    e = found((0, 0, 10, 3, 0, 0.9), (0, 7, 10, 10, 0, 0.95))
    only(e, localisation=2)
    assert e.ap50 + e.gain["localisation"] == pytest.approx(1)


def test_one_that_points_to_a_taken_object_is_dropped() -> None:
    e = found((0, 0, 10, 3, 0, 0.95), (0, 0, 10, 10, 0, 0.9))
    only(e, localisation=1)
    assert e.ap50 == pytest.approx(0.75) and e.gain["localisation"] == pytest.approx(0.25)


def test_in_a_crowd_nothing_is_an_error() -> None:
    only(found((0, 0, 10, 10, 0, 0.9), (70, 70, 80, 80, 0, 0.95), true=(OBJECT, OTHER, (65, 65, 95, 95, 0, True))))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.booleans())
def test_ap50_is_cocos_and_every_false_detection_has_one_kind(seed: int, ties: bool) -> None:
    rec = drawn(seed, ties=ties)
    e = errors(rec)
    sizes, truths, det = coco.columns(list(rec))
    np.testing.assert_allclose(e.ap50, coco.evaluate(sizes, rec.names, truths, det).ap(0.5), atol=1e-12)
    from stemma.metrics.detection import matches

    assert sum(v for k, v in e.count.items() if k != "missed") == int((~matches(rec).hit).sum())
    assert all(np.isnan(v) or v > -1e-9 for k, v in e.gain.items() if k in ("both", "duplicate", "background"))


# tidecv 1.0.1 over drawn(seed, images=8, ties=False, crowd=0): AP50 and, in the order of KINDS, (count, dAP),
# in points of AP.
TIDE = {
    0: (9.57, ((3, 1.51), (7, 9.33), (5, 0.55), (5, 0.07), (24, 1.79), (23, 14.58))),
    1: (6.50, ((2, 0.81), (18, 7.33), (8, 0.26), (8, 0.20), (29, 3.40), (34, 13.89))),
    2: (7.80, ((2, 0.23), (12, 22.56), (2, 0.11), (4, 0.45), (6, 0.83), (27, 6.99))),
    3: (13.22, ((3, 0.00), (20, 16.39), (8, 0.39), (4, 0.08), (26, 6.29), (15, 12.93))),
    4: (7.63, ((1, 0.00), (10, 15.24), (5, 0.31), (4, 0.31), (13, 6.71), (18, 15.49))),
    5: (8.34, ((0, 0.00), (8, 3.07), (6, 0.55), (6, 0.53), (21, 2.63), (32, 20.54))),
}


@pytest.mark.parametrize("seed", sorted(TIDE))
def test_equals_tide(seed: int) -> None:
    e = errors(drawn(seed, images=8, ties=False, crowd=0.0))
    ap50, kinds = TIDE[seed]
    assert abs(e.ap50 * 100 - ap50) < 0.0051
    for kind, (count, gain) in zip(KINDS, kinds):
        assert e.count[kind] == count, kind
        assert abs(e.gain[kind] * 100 - gain) < 0.0101, kind
