"""Measures of proposals, points, image labels, pedestrians and counting: by hand, against slow procedures,
over random records."""
from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metrics_cases import coco_case, drawn, record, reference, shot
from stemma.core.types import Classes, Info, Sample
from stemma.metrics import Evaluator, coco, counts, matches
from stemma.metrics.count import between
from stemma.metrics.curves import equal_error
from stemma.metrics.detection import Record, box_iou, to_rles
from stemma.metrics.miss import LEVELS, miss_rate
from stemma.metrics.points import image_ap, inside, point_ap, tolerance_in
from stemma.metrics.recall import average_recall, recall_by_count

SEEDS = range(8)
INFO = Info("toys", "made", Classes(("a", "b")), ("boxes", "masks"))

# ---------------------------------------------------------------- miss rate


def slow_miss_rate(r: Record, c: int) -> float:
    """MR-2 of one class as its definition reads: every score a threshold, matching and counting done anew at each."""
    images = list(r)
    total = sum(int(((p.labels == c) & ~p.crowd).sum()) for p in images)
    if not total:
        return math.nan
    events = []  # (score, place, in order of matching): +1 hit, -1 false, 0 ignored
    place = 0
    for p in images:
        mine = [i for i in range(len(p.scores)) if p.found_labels[i] == c]
        taken: set[int] = set()
        for i in sorted(mine, key=lambda i: (-p.scores[i], i)):
            what, best = -1, 0.5
            for g in [g for g in range(len(p.labels)) if p.labels[g] == c and not p.crowd[g] and g not in taken]:
                o = float(box_iou(p.found[i][None], p.boxes[g][None])[0, 0])
                if o >= best:
                    what, best, at = 1, o, g
            if what == 1:
                taken.add(at)
            else:
                for g in [g for g in range(len(p.labels)) if p.labels[g] == c and p.crowd[g]]:
                    w, h = np.clip(np.minimum(p.found[i][2:], p.boxes[g][2:])
                                   - np.maximum(p.found[i][:2], p.boxes[g][:2]), 0, None)
                    area = np.prod(p.found[i][2:] - p.found[i][:2])
                    if area > 0 and w * h / area >= 0.5:
                        what = 0
            events.append((-p.scores[i], place, what))
            place += 1
    events.sort()
    logs = []
    for level in np.logspace(-2, 0, 9):
        hits = false = 0
        reached = 0.0
        for _, _, what in events:
            hits, false = hits + (what == 1), false + (what == -1)
            if false / len(images) <= level:
                reached = hits / total
        logs.append(math.log(max(1 - reached, 1e-10)))
    return math.exp(sum(logs) / 9)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("ties", (True, False))
def test_miss_rate_equals_the_slow_procedure(seed: int, ties: bool) -> None:
    r = drawn(seed, images=5, ties=ties, crowd=0.3)
    np.testing.assert_allclose(miss_rate(r).rate, [slow_miss_rate(r, c) for c in range(3)], atol=1e-12)


def test_miss_rate_by_hand() -> None:
    """Ten pictures, two people in each of two. One is found before any false box, one after one false box (.1 an
    image), two never: at .01, .018, .032, .056 the miss rate is 3/4; at .1 and the four levels above 2/4."""
    people = [(0, 0, 10, 30, 0), (50, 0, 60, 30, 0)]
    first = shot(people, [(0, 0, 10, 30, 0, 0.9), (80, 80, 90, 99, 0, 0.8), (50, 0, 60, 30, 0, 0.7)])
    r = record(first, shot(people, order=1), *(shot(order=i) for i in range(2, 10)), names=("person",))
    got = miss_rate(r)
    assert got.miss[0].tolist() == [0.75] * 4 + [0.5] * 5
    assert got.mean == pytest.approx((0.75**4 * 0.5**5) ** (1 / 9))
    assert LEVELS[[0, 4, 8]].tolist() == pytest.approx([0.01, 0.1, 1.0])


def test_miss_rate_perfect_and_degenerate() -> None:
    person = (0, 0, 10, 30, 0)
    assert miss_rate(record(shot([person], [(*person, 0.5)]))).rate[0] == pytest.approx(1e-10)
    assert miss_rate(record(shot([person]))).rate[0] == 1.0
    assert math.isnan(miss_rate(record(shot([], [(*person, 0.5)]))).mean)
    assert math.isnan(miss_rate(Record(("a",))).mean)


def test_what_lies_in_an_ignore_region_is_no_false_positive() -> None:
    crowd = (40, 40, 100, 100, 0, 1)
    inside_it = [(45 + k, 45, 60 + k, 60, 0, 0.9) for k in range(5)]
    right = (0, 0, 10, 30, 0, 0.1)
    assert miss_rate(record(shot([right[:5], crowd], [*inside_it, right]))).rate[0] == pytest.approx(1e-10)
    assert miss_rate(record(shot([right[:5]], [*inside_it, right]))).rate[0] == 1.0
    elsewhere = (*right[:4], 1, 0.1)
    # of another class
    assert miss_rate(record(shot([(*right[:4], 1), crowd],
                                 [(*b[:4], 1, b[5]) for b in inside_it] + [elsewhere]))).rate[1] == 1.0


def test_objects_of_other_heights_are_ignored() -> None:
    """Caltech's "reasonable": of people 49 and 51 high the lower neither gains nor costs; boxes lower than 40 do not
    exist, those of 45 do."""
    low, high = (0, 0, 20, 49, 0), (50, 0, 70, 51, 0)
    both = [(*low, 0.9), (*high, 0.8)]
    assert miss_rate(record(shot([low, high], both)), least=50).rate[0] == pytest.approx(1e-10)
    assert miss_rate(record(shot([low, high], both[1:])), least=50).rate[0] == pytest.approx(1e-10)
    # 39 high
    assert miss_rate(record(shot([low, high], [(0, 60, 20, 99, 0, 0.95), *both])),
                     least=50).rate[0] == pytest.approx(1e-10)
    # 45 high: a false positive, allowed at the last level alone
    one_false = record(shot([low, high], [(0, 50, 20, 95, 0, 0.95), *both]))
    assert miss_rate(one_false, least=50).rate[0] == pytest.approx(1e-10 ** (1 / 9))
    assert math.isnan(miss_rate(record(shot([low, high], both)), least=60).mean)
    assert miss_rate(record(shot([low, high], both)), most=50).rate[0] == pytest.approx(1e-10)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), score=st.floats(0, 1))
def test_miss_rate_bounds_and_monotony(seed: int, score: float) -> None:
    """It lies in 0..1, falls no lower for a false box more, and does not depend on the scores but by their order."""
    r = drawn(seed, images=3)
    plain = miss_rate(r).rate
    known = ~np.isnan(plain)
    assert ((plain[known] >= 0) & (plain[known] <= 1)).all()
    worse, squared = Record(r.names), Record(r.names)
    for p in r:
        arrays = dict(vars(p))
        squared.add(type(p)(**(arrays | {"scores": p.scores**2})))
        extra = {"found": np.concatenate([p.found, [[900, 900, 950, 950]]]), "scores": np.append(p.scores, score),
                 "found_labels": np.append(p.found_labels, 0)}
        worse.add(type(p)(**(arrays | extra)))
    assert (miss_rate(worse).rate[known] >= plain[known] - 1e-12).all()
    np.testing.assert_allclose(miss_rate(squared).rate, plain)


# ---------------------------------------------------------------- points and image labels


def slow_points(r: Record, c: int, tolerance: float | None) -> float:
    """AP of points (or image labels, without a tolerance) as the paper's section 5 reads, by loops;
    the area under the envelope."""
    rows, present = [], 0
    for p in r:
        held = [g for g in range(len(p.labels)) if p.labels[g] == c and not p.crowd[g]]
        hard = [g for g in range(len(p.labels)) if p.labels[g] == c and p.crowd[g]]
        present += bool(held)
        mine = [i for i in range(len(p.scores)) if p.found_labels[i] == c]
        if not mine or (hard and not held):
            continue
        i = max(mine, key=lambda i: (p.scores[i], -i))
        x, y = (p.found[i][0] + p.found[i][2]) / 2, (p.found[i][1] + p.found[i][3]) / 2

        def near(g: int, x: float = x, y: float = y, p: Any = p) -> bool:
            if tolerance is None:
                return True
            t = tolerance * min(1, max(p.size) / 500)
            b = p.boxes[g]
            return bool(b[0] - t <= x <= b[2] + t and b[1] - t <= y <= b[3] + t)

        if any(near(g) for g in held):
            rows.append((-p.scores[i], p.order, 1))
        elif not any(near(g) for g in hard):
            rows.append((-p.scores[i], p.order, 0))
        elif tolerance is None and not hard:
            rows.append((-p.scores[i], p.order, 0))
    if not present:
        return math.nan
    rows.sort()
    hit = [h for _, _, h in rows]
    area = 0.0
    for k, h in enumerate(hit):
        if h:
            area += max(sum(hit[: j + 1]) / (j + 1) for j in range(k, len(hit))) / present
    return area


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("ties", (True, False))
def test_points_and_labels_equal_the_slow_procedure(seed: int, ties: bool) -> None:
    r = drawn(seed, images=8, ties=ties, crowd=0.3)
    np.testing.assert_allclose(point_ap(r, 18.0).ap, [slow_points(r, c, 18.0) for c in range(3)], atol=1e-12)
    np.testing.assert_allclose(image_ap(r).ap, [slow_points(r, c, None) for c in range(3)], atol=1e-12)


def test_points_by_hand() -> None:
    """Three pictures of a class: the best point hits in the first, misses in the second, hits in the third: precisions
    1, 1/2, 2/3 at recalls 1/3, 1/3, 2/3 and an area of 1/3 + 2/9. The second-best point of a picture does not count. As
    image labels all are right."""
    box = (20, 20, 40, 40, 0)
    r = record(
        shot([box], [(25, 25, 35, 35, 0, 0.9), (80, 80, 90, 90, 0, 0.85)], order=0),
        shot([box], [(80, 80, 90, 90, 0, 0.8), (25, 25, 35, 35, 0, 0.7)], order=1),
        shot([box], [(25, 25, 35, 35, 0, 0.6)], order=2), names=("a",),
    )
    assert point_ap(r).mean == pytest.approx(1 / 3 + 2 / 9)
    assert image_ap(r).mean == 1.0
    assert point_ap(r).precision[0, [0, 33, 34, 66, 67]].tolist() == pytest.approx([1, 1, 2 / 3, 2 / 3, 0])


def test_the_tolerance_is_18_pixels_of_500() -> None:
    """In a 500-pixel picture a point 18 pixels off the box is right and one 18.1 off is not;
    at 100 pixels it is 3.6."""
    assert [tolerance_in(s) for s in ((375, 500), (500, 333), (1000, 20), (100, 50))] == [18, 18, 18, 3.6]
    box = [(100, 100, 200, 200, 0)]
    for size, off, right in (((400, 500), 18.0, 1.0), ((400, 500), 18.1, 0.0), ((640, 480), 18.0, 1.0),
                             ((250, 250), 9.0, 1.0), ((250, 250), 9.1, 0.0)):
        x = 200 + off
        assert point_ap(record(shot(box, [(x - 2, 140, x + 2, 160, 0, 0.5)], size=size), names=("a",))).mean == right
    assert inside(np.array([[5.0, 5.0]]), np.array([[6.0, 0, 9, 9], [5, 5, 5, 5]]), 0.0).tolist() == [[False, True]]


def test_difficult_objects_and_points() -> None:
    easy, hard = (0, 0, 10, 10, 0), (50, 50, 90, 90, 0, 1)
    on_easy, on_hard = (0, 0, 10, 10, 0, 0.9), (60, 60, 70, 70, 0, 0.9)
    assert (math.isnan(point_ap(record(shot([hard], [on_hard]))).mean)
            and math.isnan(image_ap(record(shot([hard], [on_easy]))).mean))
    sure = shot([easy], [(0, 0, 10, 10, 0, 0.5)], order=1)
    # a picture with difficult objects alone does not count
    assert point_ap(record(shot([hard], [on_easy]), sure)).mean == 1.0
    assert point_ap(record(shot([easy, hard], [on_hard]), sure)).mean == 0.5  # left out, and the easy one is not found
    assert point_ap(record(shot([easy], [on_hard]), sure)).mean == 0.25  # false: precision 1/2 at recall 1/2


def test_weak_through_the_evaluator() -> None:
    truth = Sample(None, (500, 500), np.array([[0, 0, 50, 50], [100, 100, 200, 200]], np.float32), np.array([0, 1]),
                   np.zeros(2, bool), np.ones(2, np.float32))
    e = Evaluator(INFO, "weak")
    e.add(truth, {"boxes": [[20, 20, 30, 30], [300, 300, 310, 310]], "scores": [0.2, 0.9], "labels": [0, 1]})
    assert e.result() == {"point_AP": 0.5, "image_AP": 1.0, "per_class": {"a": {"point_AP": 1.0, "image_AP": 1.0},
                                                                          "b": {"point_AP": 0.0, "image_AP": 1.0}}}
    assert e.details()["pr"]["a"][1] == [1.0] * 101 and e.details()["pr_mean"][1] == [0.5] * 101


# ---------------------------------------------------------------- counting and the equal error


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_equal_error_is_where_precision_meets_recall(seed: int) -> None:
    found = matches(drawn(seed), limit=None)
    for c, value in enumerate(equal_error(found)):
        n = int(found.positives[c])
        hit = found.hit[found.labels == c]
        if not n:
            assert math.isnan(value)
        elif len(hit) >= n:
            assert value == hit[:n].mean() and value == hit[:n].sum() / n
        else:
            assert value == hit.sum() / n


def test_counting_people() -> None:
    """Three of two, none of one, two of two: errors 1, 1, 0. Scores of .5 do not count, crowd objects neither."""
    box, box2 = (0, 0, 10, 10, 0), (20, 0, 30, 10, 0)
    r = record(
        shot([box, box2], [(*box, 0.9), (*box2, 0.8), (*box2, 0.51), (*box2, 0.5)], order=0), shot([box], [], order=1),
        shot([box, box2, (0, 0, 90, 90, 0, 1)], [(*box, 0.9), (*box2, 0.9)], order=2),
    )
    assert counts(r).error == pytest.approx(2 / 3) and counts(r).bias == 0


def test_boxes_between_two_people() -> None:
    """Repulsion Loss counts false positives that lie on two at once: IoU of a third with both, .5 and .2 not reached or
    passed."""
    left, right, far = (0, 0, 10, 10, 0), (10, 0, 20, 10, 0), (40, 0, 50, 10, 0)
    middle, near = (5, 0, 15, 10, 0), (2, 0, 12, 10, 0)  # of the latter 2/3 with the left one
    one = shot([left, right, far], [(*middle, 0.9), (*near, 0.9), (*left, 0.8), (*middle, 0.4)], order=0)
    other = shot([left, (10, 0, 20, 10, 1)], [(*middle, 0.9)], order=1)  # of another class
    crowd = shot([left, (10, 0, 20, 10, 0, 1)], [(*middle, 0.9)], order=2)
    assert between(record(one)) == 1 and between(record(other, crowd)) == 0
    assert between(record(one, other, crowd)) == pytest.approx(1 / 3) and math.isnan(between(record()))


def test_detection_reports_them() -> None:
    truth = Sample(None, (500, 500), np.array([[0, 0, 50, 50], [100, 100, 200, 200]], np.float32), np.array([0, 1]),
                   np.zeros(2, bool), np.ones(2, np.float32))
    e = Evaluator(INFO, "detection")
    e.add(truth, {"boxes": [[0, 0, 50, 50], [90, 90, 290, 290]], "scores": [0.9, 0.4], "labels": [0, 1]})
    result = e.result()
    assert (result["EER"], result["point_AP"], result["count_error"], result["between"]) == (0.5, 1.0, 1.0, 0.0)
    assert result["MR2"] == pytest.approx((1 + 1e-10) / 2) and result["per_class"]["b"]["MR2"] == pytest.approx(1.0)


# ---------------------------------------------------------------- proposals


@pytest.mark.parametrize("kind", ("boxes", "masks"))
@pytest.mark.parametrize("seed", range(4))
def test_average_recall_equals_pycocotools(kind: Any, seed: int) -> None:
    """AR at 10, 100 and 1,000 proposals without classes, by size too, through the same columns as a record's."""
    truth, results = coco_case(seed, kind)
    ref = reference(truth, results, kind, (10, 100, 1000), agnostic=True)
    # with classes: not the same numbers, but the same call
    ours = coco.evaluate_files(truth, results, kind, limits=(10, 100, 1000))
    assert ours.limits == (10, 100, 1000)
    want = ref.eval["recall"]
    image = {x["id"]: i for i, x in enumerate(truth["images"])}
    label = {c["id"]: i for i, c in enumerate(truth["categories"])}
    e = Evaluator(Info("x", "x", Classes(tuple(c["name"] for c in truth["categories"])), ("boxes", "masks")),
                  "proposals")
    for x in truth["images"]:
        t, f = ([a for a in rows if a["image_id"] == x["id"]] for rows in (truth["annotations"], results))
        corner = lambda rows: np.array([[b[0], b[1], b[0] + b[2], b[1] + b[3]]
                                        for b in (r.get("bbox", [0, 0, 0, 0]) for r in rows)], float).reshape(-1, 4)
        masks = [r.decode() for r in to_rles([a["segmentation"] for a in t])] if kind == "masks" else None
        sample = Sample(None, (x["height"], x["width"]), corner(t), np.array([label[a["category_id"]] for a in t], int),
                        np.array([a["iscrowd"] for a in t], bool), np.array([a["area"] for a in t], float),
                        None if masks is None else np.array(masks, bool).reshape(-1, x["height"], x["width"]))
        said = {"boxes": corner(f), "scores": [r["score"] for r in f], "labels": np.zeros(len(f), int)}
        e.add(sample, said | ({"masks": [r["segmentation"] for r in f]} if kind == "masks" else {}), image[x["id"]])
    got, prefix = e.result(), "mask_" if kind == "masks" else ""
    assert (prefix + "AR100" in got) and ("mask_AR100" in got) == (kind == "masks")
    mean = lambda part: float(part[part >= 0].mean()) if (part >= 0).any() else None  # noqa: E731
    for m, limit in enumerate((10, 100, 1000)):
        assert got[f"{prefix}AR{limit}"] == pytest.approx(mean(want[:, 0, 0, m]), abs=1e-9)
        if limit > 10:
            for a, size in enumerate(("small", "medium", "large"), 1):
                assert got[f"{prefix}AR{limit}_{size}"] == pytest.approx(mean(want[:, 0, a, m]), abs=1e-9)


def test_average_recall_by_hand() -> None:
    """Two objects: one is had exactly by the first proposal, one at IoU .7 by the eleventh: AR10 is 1/2, AR100 1/2 +
    5/10 / 2 (.5 to .7)."""
    objects = [(0, 0, 10, 10, 0), (50, 50, 60, 60, 1)]
    found = [(0, 0, 10, 10, 0, 0.9), *((80, 0, 85, 5, 0, 0.8),) * 9, (50, 50, 60, 57, 0, 0.1)]
    got = average_recall(record(shot(objects, found)))
    assert got["AR10"] == pytest.approx(0.5) and got["AR100"] == got["AR1000"] == pytest.approx(0.75)
    assert got["AR100_small"] == pytest.approx(0.75) and math.isnan(got["AR1000_large"])
    number, reached = recall_by_count(record(shot(objects, found)), (1, 10, 11))
    assert number.tolist() == [1, 10, 11] and reached.tolist() == pytest.approx([0.5, 0.5, 0.75])


def test_proposals_without_masks_are_measured_by_their_boxes_where_the_data_have_masks() -> None:
    masks = np.zeros((1, 40, 40), bool)
    masks[0, 5:20, 5:20] = True
    truth = Sample(None, (40, 40), np.array([[5, 5, 20, 20]], np.float32), np.array([1]), np.zeros(1, bool),
                   np.array([225], np.float32), masks)
    bare = {"boxes": truth.boxes, "scores": [0.5], "labels": [0]}
    e, f, g = (Evaluator(INFO, "proposals") for _ in range(3))
    e.add(truth, bare)
    assert e.result()["AR10"] == 1 and "mask_AR10" not in e.result() and e.details()["recall"]["100"] == [1.0] * 11
    f.add(truth, bare | {"masks": masks}, 3)
    assert f.result()["mask_AR10"] == 1 and f.details()["mask_recall"]["count"][-1] == 1000
    g.merge(f)  # one that has seen nothing takes the other's kinds
    assert g.result() == f.result()
