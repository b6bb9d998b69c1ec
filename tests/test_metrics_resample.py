"""Measures under other weights of the pictures: equal to those of data that hold each picture so often,
and what intervals say."""
from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from metrics_cases import coco_case, columns_of, reference, repeated
from stemma.core.types import StemmaError
from stemma.metrics import Evaluator, coco, resample
from stemma.metrics.detection import Kind
from stemma.metrics.resample import Ranked, Ratios, Tallies, interval, weights
from test_metrics_evaluator import INFO, SIDE, right, toy

TASKS = ("detection", "instances", "amodal", "keypoints", "proposals", "weak", "semantic", "panoptic")
EXACT = 1e-12


def said(seed: int, objects: int) -> dict[str, Any]:
    """A poor prediction for `toy(seed, objects)`; scores are equal to those of other pictures."""
    r, s = np.random.default_rng(seed), toy(seed, objects)
    p = right(s)
    again = r.integers(0, objects, 4)
    p["boxes"] = np.concatenate([s.boxes, s.boxes[again]]) + r.normal(0, 1, (objects + 4, 4))
    p["labels"] = np.concatenate([s.labels, r.integers(0, 2, 4)])
    p["scores"] = r.permutation(8)[: objects + 4] / 8
    p["masks"] = np.roll(np.concatenate([s.masks, s.masks[again]]), 1, int(r.integers(1, 3)))
    p["keypoints"] = np.concatenate([s.keypoints, s.keypoints[again]]) + r.normal(0, 0.7, (objects + 4, 2, 3))
    p["semantic"] = np.where(r.random((SIDE, SIDE)) < 0.3, 0, p["semantic"])
    p["panoptic"] = np.where(r.random((SIDE, SIDE)) < 0.2, 1, p["panoptic"])
    return p


PICTURES = [(i, 1 + i % 4) for i in range(7)]


def measured(task: Any, times: Any) -> Evaluator:
    """An evaluator that has seen the i-th picture `times[i]` times, one after the other."""
    evaluator, order = Evaluator(INFO, task), itertools.count()
    for picture, n in zip(PICTURES, times):
        for _ in range(int(n)):
            evaluator.add(toy(*picture), said(*picture), next(order))
    return evaluator


@pytest.mark.parametrize("task", TASKS)
def test_weights_are_so_many_pictures(task: Any) -> None:
    ones = np.ones(len(PICTURES))
    whole = measured(task, ones)
    tallies = whole.tallies("data")
    assert tallies.order.tolist() == list(range(len(PICTURES)))
    drawn = np.concatenate([ones[None], weights(len(PICTURES), 3, 6), np.eye(len(PICTURES))[:2], 3 * ones[None]])
    assert tallies.by_measure
    for name, tally in tallies.by_measure.items():
        values = tally.at(drawn)
        for times, value in zip(drawn, values):
            true = measured(task, times).result()[name]
            assert np.isnan(value) if true is None else value == pytest.approx(true, abs=EXACT), (name, times)
        assert 0.05 < whole.result()[name] < 0.98, name


@pytest.mark.parametrize("kind", ("boxes", "masks", "keypoints"))
@pytest.mark.parametrize("seed", range(5))
def test_weights_equal_pycocotools_on_repeated_pictures(kind: Kind, seed: int) -> None:
    """Crowds, ties, empty pictures, objects without points, more detections than count."""
    truth, results = coco_case(seed, kind)
    # no two alike in a picture: their copies would go by turns, and a weight is one step
    for i, d in enumerate(results):
        d["score"] += 1e-4 * sum(other["image_id"] == d["image_id"] for other in results[:i])
    columns = columns_of(truth, results, kind)
    n = len(truth["images"])
    drawn = np.concatenate([np.ones((1, n)), weights(n, seed, 3)])
    precise = coco.tally(*columns, kind).at(drawn)
    reached = coco.tally(*columns, kind, limit=10, agnostic=True, recall=True).at(drawn)
    for times, ap, ar in zip(drawn, precise, reached):
        again = repeated(truth, results, times)
        whole = reference(*again, kind).eval["precision"][:, :, :, 0, -1]
        aside = reference(*again, kind, (2, 10, 1000), agnostic=True).eval["recall"][:, :, 0, 1]
        both = ((ap, whole[~np.isnan(whole)]), (ar, aside[~np.isnan(aside)]))
        # pycocotools finds no keypoints when classes are set aside
        for value, true in both[: 1 if kind == "keypoints" else 2]:
            assert value == pytest.approx(true.mean(), abs=1e-9) if len(true) else np.isnan(value)


@pytest.mark.parametrize("kind", ("boxes", "masks", "keypoints"))
def test_pictures_are_matched_a_few_at_a_time(kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    columns = columns_of(*coco_case(3, kind), kind)
    drawn = weights(len(columns[0]), 0, 5)
    whole = coco.tally(*columns, kind).at(drawn)
    assert len(columns[0]) > 2
    for count in (1, 2):
        monkeypatch.setattr(coco, "_AT_ONCE", count)
        assert np.array_equal(coco.tally(*columns, kind).at(drawn), whole, equal_nan=True)


def test_two_processes_tell_what_one_does() -> None:
    for task in TASKS:
        whole = measured(task, np.ones(len(PICTURES)))
        parts: list[Any] = [Evaluator(INFO, task), Evaluator(INFO, task)]  # type: ignore[arg-type]
        for i, picture in reversed(list(enumerate(PICTURES))):
            parts[i % 2].add(toy(*picture), said(*picture), i)
        parts[1].merge(parts[0])
        ours, theirs = whole.tallies(), parts[1].tallies()
        assert ours.order.tolist() == theirs.order.tolist()
        for name, tally in ours.by_measure.items():
            assert np.array_equal(tally.at(ours.weights(20)),
                                  theirs.by_measure[name].at(theirs.weights(20))), (task, name)


def test_average_precision_by_hand() -> None:
    """One class, three pictures: right, wrong, right from the best score down;
    the third picture holds a second object."""
    group = (np.arange(3), np.zeros(3, int), np.array([0.9, 0.8, 0.7]), np.array([[True, False, True]]),
             np.zeros((1, 3), bool))
    found = resample.ranked([group], np.array([[1], [0], [2]]), 1, "all")
    drawn = np.array([[1, 1, 1], [1, 0, 1], [0, 1, 1], [2, 2, 1], [0, 1, 0]])
    # area under the monotone precision: recalls 1/3 and 2/3 at precision 1 and 2/3;
    # without the false one both at 1; ...
    assert found.at(drawn) == pytest.approx([1 / 3 + 2 / 9, 2 / 3, 1 / 4, 1 / 2 + 3 / 20, np.nan], nan_ok=True)


# ---------------------------------------------------------------- intervals


def test_pictures_are_drawn_as_many_as_there_are_and_alike_for_all() -> None:
    drawn = weights(9, resample.seed_of("abc"), 400)
    assert drawn.shape == (400, 9) and (drawn.sum(1) == 9).all() and drawn.mean(0) == pytest.approx(np.ones(9), abs=0.2)
    assert np.array_equal(drawn, weights(9, resample.seed_of("abc"), 400))
    assert not np.array_equal(drawn, weights(9, resample.seed_of("abd"), 400))


def test_the_interval_of_a_mean_is_students() -> None:
    """Of a plain mean the interval is mean -+ t s / sqrt(N), which the percentiles of a bootstrap alone fall short
    of."""
    from scipy.stats import t

    x = np.random.default_rng(0).normal(0, 1, 12)
    values = weights(12, 0, 20_000) @ x / 12
    found = interval(values, 12)
    half = t.ppf(0.975, 11) * x.std(ddof=1) / np.sqrt(12)
    assert found == pytest.approx((x.mean() - half, x.mean() + half), abs=0.06 * half)
    narrow = np.quantile(values, [0.025, 0.975])
    assert narrow[0] > found[0] + 0.1 * half and narrow[1] < found[1] - 0.1 * half


def test_where_nothing_can_be_told_there_is_no_interval() -> None:
    values = np.linspace(0, 1, 1000)
    assert interval(values, resample.FEWEST - 1) is None and interval(values, resample.FEWEST) is not None
    values[: 50] = np.nan
    assert interval(values, 20) is not None
    values[: 200] = np.nan
    assert interval(values, 20) is None


def made(r: np.random.Generator, pictures: int, skill: float) -> Ranked:
    """A detector of two classes on so many pictures: an object is found as often as `skill` says,
    and something false comes with it."""
    n = 3 * pictures
    picture, label = np.repeat(np.arange(pictures), 3), r.integers(0, 2, n)
    positives = np.zeros((pictures, 2), int)
    np.add.at(positives, (picture, label), 1)
    hit = r.random((2, n)) < np.array([[skill], [0.6 * skill]])
    return resample.ranked([(picture, label, r.random(n) + hit.sum(0) / 2, hit, np.zeros_like(hit))], positives, 2)


@pytest.mark.parametrize("pictures", [16, 60])
def test_equal_systems_are_seldom_called_apart_and_unlike_ones_often(pictures: int) -> None:
    """Of pairs of equal systems about one in twenty may be called apart; of pairs as unlike as .45 and .8 most are on
    enough pictures."""
    r, apart, found = np.random.default_rng(pictures), 0, 0
    for _ in range(200):
        drawn = weights(pictures, int(r.integers(1 << 30)), 200)
        a, b, c = (made(r, pictures, skill).at(drawn) for skill in (0.45, 0.45, 0.8))
        for other in (b, c):
            low, high = interval(other - a, pictures) or (0.0, 0.0)
            apart += (low > 0 or high < 0) and other is b
            found += low > 0 and other is c
    assert apart <= 20 and found >= (100 if pictures == 16 else 190), (apart, found)


def several(r: np.random.Generator, pictures: int, classes: int = 8) -> Ranked:
    """A detector of several classes: four objects a picture, half of them found, and six false ones, scores that
    overlap."""
    groups, positives = [], np.zeros((pictures, classes), int)
    for i in range(pictures):
        label, false = r.integers(0, classes, r.poisson(4)), r.integers(0, classes, r.poisson(6))
        np.add.at(positives[i], label, 1)
        mine = label[r.random(len(label)) < 0.5]
        scores = np.concatenate([r.normal(1, 1, len(mine)), r.normal(-0.2, 1, len(false))])
        hit = (np.arange(len(scores)) < len(mine))[None]
        groups.append((np.full(len(scores), i), np.concatenate([mine, false]), scores, hit, np.zeros_like(hit)))
    return resample.ranked(groups, positives, 1)


def test_an_average_precision_of_few_pictures_is_not_said_to_be_higher_still() -> None:
    """Of 100 sets of 40 pictures with 8 classes resamples lie above the measure, and percentiles alone leave out what
    many pictures say, all on one side, more often than the moved interval does."""
    r = np.random.default_rng(3)
    many = float(np.mean([resample.itself(several(r, 4000)) for _ in range(2)]))
    missed, higher = {"moved": 0, "percentiles": 0}, 0.0
    for k in range(100):
        one = several(r, 40)
        values, value = one.at(weights(40, k, 200)), resample.itself(one)
        assert value == pytest.approx(float(one.at(np.ones((1, 40)))[0]))
        higher += (values.mean() - value) / 100
        for name, ends in (("percentiles", interval(values, 40)), ("moved", interval(values, 40, value))):
            assert ends is not None
            missed[name] += not ends[0] <= many <= ends[1]
    assert 0.005 < higher < 0.03 and missed["moved"] < missed["percentiles"] and missed["moved"] <= 12, (missed, higher)


def test_a_moved_interval_stays_within_what_resamples_reached() -> None:
    values = np.concatenate([np.full(900, 1.0), np.linspace(0.9, 1, 100)])
    low, high = interval(values, 40, 1.0) or (0.0, 0.0)
    assert high == 1.0 and low > 0.9
    assert interval(np.ones(100), 40, 1.0) == (1.0, 1.0) and interval(values, 40, float("nan")) == interval(values, 40)


# ---------------------------------------------------------------- on disk


@pytest.mark.parametrize("task", TASKS)
def test_what_is_kept_says_the_same_when_read(tmp_path: Path, task: Any) -> None:
    tallies = measured(task, np.ones(len(PICTURES))).tallies("print")
    tallies.save(tmp_path / "pictures.npz")
    again = Tallies.read(tmp_path / "pictures.npz")
    assert (again.fingerprint == "print" and again.order.tolist() == tallies.order.tolist()
            and len(list(tmp_path.iterdir())) == 1)
    drawn = tallies.weights(30)
    assert np.array_equal(drawn, again.weights(30)) and again.by_measure.keys() == tallies.by_measure.keys()
    for name, tally in again.by_measure.items():
        assert np.array_equal(tally.at(drawn), tallies.by_measure[name].at(drawn), equal_nan=True)


def test_a_file_that_is_something_else_is_named(tmp_path: Path) -> None:
    path = tmp_path / "pictures.npz"
    with pytest.raises(FileNotFoundError):
        Tallies.read(path)
    good = Tallies("x", np.arange(3), {"mIoU": Ratios(np.ones((3, 2)), np.ones((3, 2)))})
    good.save(path)
    whole = path.read_bytes()
    for broken in (b"", b"nothing", whole[:-40]):
        path.write_bytes(broken)
        with pytest.raises(StemmaError, match="pictures.npz does not hold"):
            Tallies.read(path)
    np.savez(path, order=np.arange(3), fingerprint=np.array("x"),
             **{"mIoU/ratios/above": np.ones((2, 2)), "mIoU/ratios/below": np.ones((2, 2))})
    with pytest.raises(StemmaError, match="for 3 pictures"):
        Tallies.read(path)
    np.savez(path, order=np.array([None, {}], object), fingerprint=np.array("x"))
    with pytest.raises(StemmaError, match="pickle"):
        Tallies.read(path)
