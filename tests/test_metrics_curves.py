"""Precision-recall, F1, calibration, confusion, recall of proposals and counting: perfect, degenerate, by hand."""
from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metrics_cases import drawn, record, shot
from stemma.metrics import coco
from stemma.metrics.confusion import OTHERS, confusion, joined
from stemma.metrics.count import counts
from stemma.metrics.curves import calibration, f1, precision_recall
from stemma.metrics.detection import Matches, matches
from stemma.metrics.recall import average_recall, recall_by_iou

PERFECT = shot([(0, 0, 10, 10, 0), (20, 20, 40, 40, 1)], [(0, 0, 10, 10, 0, 1.0), (20, 20, 40, 40, 1, 1.0)])
EMPTY = shot()
ONLY_TRUE = shot([(0, 0, 10, 10, 0)])
ONLY_FOUND = shot([], [(0, 0, 10, 10, 0, 0.5)])
MIXED = shot([(0, 0, 10, 10, 0), (50, 50, 60, 60, 0)],
             [(0, 0, 10, 10, 0, 0.9), (80, 80, 90, 90, 0, 0.6), (50, 50, 60, 60, 0, 0.3)])


def made(scores: list[float], hit: list[int], positives: int) -> Matches:
    return Matches(("a",), np.array(scores), np.zeros(len(scores), int), np.array(hit, bool), np.array([positives]))


# ---------------------------------------------------------------- precision and recall


def test_curve_perfect() -> None:
    curve = precision_recall(matches(record(PERFECT)))
    np.testing.assert_allclose(curve.precision[:2], 1)
    assert np.isnan(curve.precision[2]).all()
    np.testing.assert_allclose(curve.mean, 1)


def test_curve_degenerate() -> None:
    for one in (EMPTY, ONLY_FOUND):
        assert np.isnan(precision_recall(matches(record(one))).mean).all()
    assert (precision_recall(matches(record(ONLY_TRUE))).mean == 0).all()
    assert (precision_recall(matches(record())).precision.shape) == (3, 101)


def test_curve_by_hand() -> None:
    line = precision_recall(matches(record(MIXED))).precision[0]
    np.testing.assert_allclose(line[:51], 1)
    np.testing.assert_allclose(line[51:], 2 / 3)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6))
def test_a_class_mean_is_its_ap50(seed: int) -> None:
    rec = drawn(seed)
    sizes, truths, found = coco.columns(list(rec))
    scores = coco.evaluate(sizes, rec.names, truths, found)
    curve = precision_recall(matches(rec))
    np.testing.assert_allclose(curve.precision.mean(1), [scores.ap(0.5, label=c) for c in range(3)], atol=1e-12)
    np.testing.assert_allclose(curve.mean, scores.curve(), atol=1e-12)


# ---------------------------------------------------------------- F1


def test_f1_perfect() -> None:
    f = f1(matches(record(PERFECT)))
    assert f.best == 1 and f.best_threshold == 1 and f.f1[0] == 1 and f.f1[-1] == 1


def test_f1_degenerate() -> None:
    for one in (EMPTY, ONLY_FOUND):
        f = f1(matches(record(one)))
        assert np.isnan(f.best) and np.isnan(f.recall).all()
    f = f1(matches(record(ONLY_TRUE)))
    assert f.best == 0 and (f.f1 == 0).all() and (f.precision == 1).all()


def test_f1_by_hand() -> None:
    """Hit .9, false .6, hit .3 of two objects: F1 2/3, 1/2, 4/5 as each is let in."""
    f = f1(matches(record(MIXED)), np.array([0.0, 0.3, 0.5, 0.6, 0.9, 0.95]))
    np.testing.assert_allclose(f.f1, [0.8, 0.8, 0.5, 0.5, 2 / 3, 0])
    np.testing.assert_allclose(f.precision, [2 / 3, 2 / 3, 0.5, 0.5, 1, 1])
    np.testing.assert_allclose(f.recall, [1, 1, 0.5, 0.5, 0.5, 0])
    assert f.best == pytest.approx(0.8) and f.best_threshold == 0.3


def test_f1_keeps_equal_scores_together() -> None:
    f = f1(made([0.5, 0.5, 0.5], [1, 0, 0], 1))
    assert f.best == pytest.approx(0.5) and f.best_threshold == 0.5


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6))
def test_f1_of_a_threshold_is_that_of_what_it_keeps(seed: int) -> None:
    """Matching is greedy by score: letting worse detections in changes nothing for the better ones."""
    rec = drawn(seed, ties=False)
    level = float(np.random.default_rng(seed).random())
    f = f1(matches(rec), np.array([level]))
    hits = kept = total = 0
    for p in rec:
        keep = p.scores >= level
        said = zip(p.found[keep], p.found_labels[keep], p.scores[keep])
        m = matches(record(shot([(*b, c, k) for b, c, k in zip(p.boxes, p.labels, p.crowd)],
                                [(*b, c, s) for b, c, s in said])))
        hits, kept, total = hits + int(m.hit.sum()), kept + len(m.hit), total + int(m.positives.sum())
    if total:
        assert f.f1[0] == pytest.approx(2 * hits / (kept + total))
    assert f.precision[0] == pytest.approx(hits / kept if kept else 1)


# ---------------------------------------------------------------- calibration


def test_calibration_perfect() -> None:
    assert calibration(matches(record(PERFECT))).error == 0
    assert calibration(made([0.75] * 4, [1, 1, 1, 0], 4)).error == 0


def test_calibration_degenerate() -> None:
    fit = calibration(matches(record(EMPTY)))
    assert np.isnan(fit.error) and np.isnan(fit.worst) and fit.count.sum() == 0
    assert calibration(made([1.0, 1.0], [0, 0], 1)).error == 1
    assert calibration(made([0.0], [0], 1)).count[0] == 1


def test_calibration_by_hand() -> None:
    """Bins of a half: {.9, .7} with one hit of two, {.4, .2} with none: gaps .3 and .3; {.5} falls in the lower bin."""
    fit = calibration(made([0.9, 0.7, 0.4, 0.2], [1, 0, 0, 0], 2), bins=2)
    assert fit.error == pytest.approx(0.3) and fit.worst == pytest.approx(0.3)
    np.testing.assert_array_equal(fit.count, [2, 2])
    np.testing.assert_allclose(fit.score, [0.3, 0.8])
    np.testing.assert_allclose(fit.right, [0, 0.5])
    np.testing.assert_array_equal(calibration(made([0.5], [1], 1), bins=2).count, [1, 0])


# ---------------------------------------------------------------- confusion


def test_confusion_perfect() -> None:
    np.testing.assert_array_equal(confusion(record(PERFECT)), np.diag([1, 1, 0, 0]))


def test_confusion_degenerate() -> None:
    assert confusion(record(EMPTY)).sum() == confusion(record()).sum() == 0
    assert confusion(record(ONLY_TRUE))[0, 3] == confusion(record(ONLY_TRUE)).sum() == 1
    assert confusion(record(ONLY_FOUND))[3, 0] == confusion(record(ONLY_FOUND)).sum() == 1
    assert confusion(record(ONLY_FOUND), score=0.6).sum() == 0


def test_confusion_by_hand() -> None:
    true = [(0, 0, 10, 10, 0), (20, 0, 30, 10, 1), (40, 0, 50, 10, 2), (60, 0, 90, 30, 0, True)]
    found = [
        (0, 0, 10, 10, 1, 0.9),  # an a taken for a b
        (20, 0, 30, 9, 1, 0.8),  # a b
        (20, 0, 30, 8, 2, 0.95),  # the same again, overlapping less: background taken for a c
        (40, 0, 50, 4, 2, 0.9),  # overlaps the c by .4: the c is missed, and this is background taken for a c
        (62, 2, 70, 10, 0, 0.9),  # in the crowd: not counted
        (0, 50, 9, 59, 0, 0.4),  # below the score
    ]
    expected = np.zeros((4, 4), int)
    expected[0, 1] = expected[1, 1] = expected[2, 3] = 1
    expected[3, 2] = 2
    np.testing.assert_array_equal(confusion(record(shot(true, found))), expected)


def test_of_many_classes_those_with_few_objects_share_a_row() -> None:
    """Three classes and room for one: the matrix is that of all with rows and columns of the others summed."""
    rec = drawn(3)
    rows, row = joined(rec, most=1)
    assert len(rows) == 2 and rows[1] == OTHERS and rows[0] == rec.names[int(np.flatnonzero(row == 0)[0])]
    objects = np.bincount(np.concatenate([p.labels[~p.crowd] for p in rec]), minlength=3)
    assert objects[int(np.flatnonzero(row == 0)[0])] == objects.max()
    place = np.append(row, 2)
    expected = np.zeros((3, 3), np.int64)
    np.add.at(expected, (place[:, None], place[None]), confusion(rec))
    np.testing.assert_array_equal(confusion(rec, row=row), expected)
    assert joined(rec)[0] == list(rec.names)


def test_confusion_between_equal_overlaps_prefers_the_class() -> None:
    both = shot([(0, 0, 10, 10, 0)], [(0, 0, 10, 10, 1, 0.9), (0, 0, 10, 10, 0, 0.6)])
    matrix = confusion(record(both))
    assert matrix[0, 0] == 1 and matrix[3, 1] == 1 and matrix.sum() == 2


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([0.0, 0.5]))
def test_confusion_counts_everything_once(seed: int, score: float) -> None:
    rec = drawn(seed, crowd=0.0)
    matrix = confusion(rec, score)
    np.testing.assert_array_equal(matrix[:3].sum(1), sum(np.bincount(p.labels, minlength=3) for p in rec))
    np.testing.assert_array_equal(matrix[:, :3].sum(0),
                                  sum(np.bincount(p.found_labels[p.scores >= score], minlength=3) for p in rec))


# ---------------------------------------------------------------- recall of proposals


def test_recall_perfect() -> None:
    wrong_class = shot([(0, 0, 10, 10, 0), (20, 20, 40, 40, 1)], [(0, 0, 10, 10, 2, 0.9), (20, 20, 40, 40, 2, 0.8)])
    numbers = average_recall(record(wrong_class))
    assert numbers["AR10"] == numbers["AR100"] == numbers["AR1000"] == 1
    levels, reached = recall_by_iou(record(wrong_class))
    np.testing.assert_allclose(levels, np.arange(0.5, 1.01, 0.05))
    assert (reached == 1).all()


def test_recall_degenerate() -> None:
    for one in (EMPTY, ONLY_FOUND):
        assert all(np.isnan(v) for v in average_recall(record(one)).values())
        assert np.isnan(recall_by_iou(record(one))[1]).all()
    assert average_recall(record(ONLY_TRUE))["AR100"] == 0


def test_recall_by_hand() -> None:
    """Overlaps .72 and 1 in first and second place: recall at .5 ... .7 is 1, from .75 on 1/2;
    of the best one alone half of it."""
    one = shot([(0, 0, 10, 10, 0), (30, 30, 40, 40, 1)], [(0, 0, 10, 7.2, 0, 0.9), (30, 30, 40, 40, 0, 0.8)])
    np.testing.assert_allclose(recall_by_iou(record(one))[1], [1] * 5 + [0.5] * 6)
    numbers = average_recall(record(one), limits=(1, 10))
    assert numbers["AR10"] == pytest.approx(0.75) and numbers["AR1"] == pytest.approx(0.25)
    assert numbers["AR10_small"] == pytest.approx(0.75) and np.isnan(numbers["AR10_large"])


# ---------------------------------------------------------------- counting


def test_counting() -> None:
    assert counts(record(PERFECT)).error == 0
    assert np.isnan(counts(record()).error)
    pictures: list[Any] = [shot([(0, 0, 9, 9, 0), (0, 0, 9, 9, 1), (0, 0, 9, 9, 1, True)],
                                [(0, 0, 9, 9, 0, 0.9)] * 4 + [(0, 0, 9, 9, 0, 0.5)]), shot(order=1)]
    number = counts(record(*pictures))
    assert number.error == 1 and number.bias == 1
    assert number.per_class == {"a": 1.5, "b": 0.5, "c": 0}
    assert counts(record(*pictures), score=0.95).bias == -1
