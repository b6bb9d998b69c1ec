"""The record of an evaluation: runs, overlaps, greedy matching against COCO's, checks, bytes and merging."""
from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metrics_cases import drawn, record, shot
from stemma.core.types import DataError, Sample, StemmaError
from stemma.metrics import coco
from stemma.metrics.detection import (
    IGNORED,
    Picture,
    Record,
    Rle,
    box_iou,
    by_score,
    interpolate,
    mask_iou,
    match,
    matches,
    mean_of,
    overlap,
    picture,
    to_rles,
)


@pytest.mark.parametrize("shape", [(0, 5, 7), (1, 5, 7), (3, 16, 9), (2, 1, 1)])
def test_runs_there_and_back(shape: tuple[int, int, int]) -> None:
    masks = np.random.default_rng(0).random(shape) > 0.5
    rles = to_rles(masks)
    assert len(rles) == len(masks)
    for rle, m in zip(rles, masks):
        np.testing.assert_array_equal(rle.decode(), m)
        assert rle.area == m.sum()
        as_text = {"size": [rle.height, rle.width], "counts": rle.counts.decode()}
        flat = m.T.reshape(-1)
        changes = np.flatnonzero(np.diff(np.concatenate([[0], flat.astype(int)]))).tolist()
        as_list = {"size": list(m.shape), "counts": np.diff([0, *changes, flat.size]).tolist()}
        assert to_rles([as_text, as_list, rle, rle.as_dict(), m]) == (rle,) * 5


def test_runs_of_nonsense() -> None:
    with pytest.raises(StemmaError, match="run-length dict"):
        to_rles([3])
    with pytest.raises(StemmaError, match="N, H, W"):
        to_rles(np.zeros((3, 3)))


def test_overlaps_equal_hotcoco() -> None:
    from hotcoco import mask

    r = np.random.default_rng(0)
    a, b = (np.sort(r.uniform(0, 50, (n, 2, 2)), 1).reshape(n, 4) for n in (7, 5))
    b[0, 2:] = b[0, :2]
    crowd = np.array([False, True, False, True, False])

    def wide(v: np.ndarray) -> list[list[float]]:
        return np.concatenate([v[:, :2], v[:, 2:] - v[:, :2]], 1).tolist()

    np.testing.assert_allclose(box_iou(a, b, crowd), mask.iou(wide(a), wide(b), crowd.astype(int).tolist()), atol=1e-12)
    m, n = r.random((4, 20, 20)) > 0.5, r.random((5, 20, 20)) > 0.3
    inter = (m[:, None] & n[None]).sum((2, 3))
    union = np.where(crowd[None], m.sum((1, 2))[:, None], (m[:, None] | n[None]).sum((2, 3)))
    np.testing.assert_allclose(mask_iou(to_rles(m), to_rles(n), crowd), inter / union)
    assert mask_iou((), to_rles(n)).shape == (0, 5) and mask_iou(to_rles(m), ()).shape == (4, 0)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.booleans(), st.sampled_from([0.5, 0.75]))
def test_matching_equals_coco(seed: int, ties: bool, threshold: float) -> None:
    rec = drawn(seed, ties=ties)
    found = matches(rec, threshold)
    sizes, truths, det = coco.columns(list(rec))
    scores = coco.evaluate(sizes, rec.names, truths, det)
    t = int(np.argmin(abs(scores.thresholds - threshold)))
    for c, n in enumerate(found.positives):
        expected = scores.precision[t][:, scores.labels == c, 0, -1].T
        if n:
            hit = found.hit[found.labels == c]
            np.testing.assert_allclose(interpolate(hit, int(n)), expected[0], rtol=0, atol=1e-12)
            assert hit.sum() / n == pytest.approx(scores.recall[t, scores.labels == c, 0, -1][0])
        else:
            assert np.isnan(expected).all()


def test_matching_by_hand() -> None:
    ious = np.array([[0.6, 0.7, 0.0], [0.9, 0.8, 0.0], [0.6, 0.6, 0.8], [0.1, 0.1, 0.9]])
    labels, crowd = np.zeros(3, int), np.array([False, False, True])
    np.testing.assert_array_equal(match(ious, np.zeros(4, int), labels, crowd, 0.5), [1, 0, IGNORED, IGNORED])
    np.testing.assert_array_equal(match(ious, np.array([1, 0, 1, 1]), labels, crowd, 0.5), [-1, 0, -1, -1])
    assert match(np.zeros((0, 3)), np.zeros(0, int), labels, crowd, 0.5).shape == (0,)
    np.testing.assert_array_equal(match(np.zeros((2, 0)), np.zeros(2, int), labels[:0], crowd[:0], 0.5), [-1, -1])


def test_equal_overlaps_go_to_the_last_object() -> None:
    assert match(np.array([[0.7, 0.7]]), np.zeros(1, int), np.zeros(2, int), np.zeros(2, bool), 0.5)[0] == 1


def test_the_best_of_each_class() -> None:
    one = shot([], [(0, 0, 1, 1, c, s) for c, s in [(0, 0.1), (1, 0.9), (0, 0.5), (0, 0.5), (1, 0.2)]])
    np.testing.assert_array_equal(by_score(one, None), [1, 2, 3, 4, 0])
    np.testing.assert_array_equal(by_score(one, 2), [1, 2, 3, 4])
    np.testing.assert_array_equal(by_score(one, 1), [1, 2])


def test_mean_of_what_is_defined() -> None:
    assert mean_of([1.0, float("nan"), 3.0]) == 2
    assert np.isnan(mean_of([float("nan")])) and np.isnan(mean_of([]))


# ---------------------------------------------------------------- what is refused


def sample(n: int = 2, **more: Any) -> Sample:
    boxes = np.array([[1, 1, 5, 6], [2, 3, 8, 9], [0, 0, 3, 3]][:n], np.float32).reshape(-1, 4)
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    return Sample(None, (10, 12), boxes, np.zeros(n, np.int64), np.zeros(n, bool), area, file="pic.jpg", **more)


def prediction(n: int = 2, **more: Any) -> dict[str, Any]:
    return {"boxes": np.tile(np.array([[1, 1, 5, 6]], np.float32), (n, 1)), "scores": np.full(n, 0.5, np.float32),
            "labels": np.zeros(n, np.int64), **more}


@pytest.mark.parametrize(("change", "says"), [
    ({"boxes": np.zeros((3, 4))}, r"'boxes' must have the shape \(2, 4\)"),
    ({"labels": np.zeros(1, int)}, "'labels' must have the shape"),
    ({"labels": np.array([0, 5])}, "label 5 is outside 0..2"),
    ({"labels": np.array([0, -1])}, "label -1 is outside"),
    ({"scores": np.array([0.5, np.nan])}, "'scores' holds NaN"),
    ({"boxes": np.array([[0, 0, 1, 1], [0, 0, np.inf, 1]])}, "'boxes' holds NaN or infinity"),
])
def test_predictions_that_do_not_fit(change: dict[str, Any], says: str) -> None:
    with pytest.raises(StemmaError, match="pic.jpg.*" + says):
        picture(sample(), prediction() | change, 3, 0)


def test_masks_that_do_not_fit() -> None:
    whole = sample(masks=np.ones((2, 10, 12), bool))
    with pytest.raises(StemmaError, match="0 masks for 2 scores"):
        picture(whole, prediction(), 3, 0, ("masks",))
    with pytest.raises(StemmaError, match="a mask is 5x5 but the image is 10x12"):
        picture(whole, prediction(masks=np.ones((2, 5, 5), bool)), 3, 0, ("masks",))
    with pytest.raises(DataError, match="pic.jpg.*'masks'"):
        picture(sample(), prediction(masks=np.ones((2, 10, 12), bool)), 3, 0, ("masks",))
    with pytest.raises(DataError, match="'amodal'"):
        picture(whole, prediction(masks=np.ones((2, 10, 12), bool)), 3, 0, ("masks",), amodal=True)
    with pytest.raises(DataError, match="'keypoints'"):
        picture(sample(), prediction(), 3, 0, ("keypoints",))


def test_boxes_come_from_masks_when_left_out() -> None:
    m = np.zeros((1, 10, 12), bool)
    m[0, 2:5, 3:9] = True
    said = {"scores": [0.5], "labels": [0], "masks": m}
    np.testing.assert_array_equal(picture(sample(masks=np.ones((2, 10, 12), bool)), said, 1, 0, ("masks",)).found,
                                  [[3, 2, 9, 5]])


def test_no_detections_in_any_form() -> None:
    for said in ({}, {"boxes": [], "scores": [], "labels": []}, prediction(0), prediction(0, masks=[])):
        one = picture(sample(masks=np.zeros((2, 10, 12), bool), keypoints=np.zeros((2, 3, 3))), said, 3, 0,
                      ("boxes", "masks", "keypoints"))
        assert (one.found.shape == (0, 4) and one.found_masks == () and one.found_keypoints is not None
                and one.found_keypoints.shape == (0, 3, 3))


# ---------------------------------------------------------------- bytes and merging


def full(order: int, seed: int) -> Picture:
    r = np.random.default_rng(seed)
    n, d = int(r.integers(0, 4)), int(r.integers(0, 4))
    return Picture(
        order, (8, 9), r.random((n, 4)), r.integers(0, 3, n), r.random(n) > 0.5, r.random(n), r.random((d, 4)),
        r.random(d), r.integers(0, 3, d), to_rles(r.random((n, 8, 9)) > 0.5), r.random((n, 2, 3)),
        to_rles(r.random((d, 8, 9)) > 0.5), r.random((d, 2, 3)),
    )


def same(a: Record, b: Record) -> None:
    assert (a.names, a.kinds, len(a)) == (b.names, b.kinds, len(b))
    for p, q in zip(a, b):
        for name, value in vars(p).items():
            (np.testing.assert_array_equal(value, getattr(q, name), strict=True) if isinstance(value, np.ndarray)
             else None)
            assert isinstance(value, np.ndarray) or value == getattr(q, name), name


@pytest.mark.parametrize("count", [0, 1, 5])
def test_bytes_there_and_back(count: int) -> None:
    whole = Record(("a", "b", "c"), ("boxes", "masks", "keypoints"))
    for i in range(count):
        whole.add(full(i * 3, i))
    same(whole, Record.from_bytes(whole.to_bytes()))
    plain = record(shot([(0, 0, 1, 1, 0)], [(0, 0, 1, 1, 0, 0.5)]), shot(order=4))
    same(plain, Record.from_bytes(plain.to_bytes()))


def test_merging_restores_the_order_and_drops_doubles() -> None:
    whole, left, right = (Record(("a", "b", "c"), ("boxes", "masks", "keypoints")) for _ in range(3))
    for i in range(7):
        whole.add(full(i, i))
        (right if i % 2 else left).add(full(i, i))
    right.add(full(0, 0))
    right.merge(left)
    same(whole, right)
    with pytest.raises(StemmaError, match="do not merge"):
        whole.merge(Record(("a",)))


def test_a_mask_is_small() -> None:
    m = np.zeros((1, 600, 800), bool)
    m[0, 100:300, 200:500] = True
    assert isinstance(to_rles(m)[0], Rle) and len(to_rles(m)[0].counts) < 2000


def test_overlap_by_mask() -> None:
    a = np.zeros((1, 4, 4), bool)
    a[0, :2] = True
    one = Picture(0, (4, 4), np.array([[0.0, 0, 4, 4]]), np.zeros(1, int), np.zeros(1, bool), np.ones(1),
                  np.array([[0.0, 0, 4, 4]]), np.ones(1),
                  np.zeros(1, int), to_rles(a), None, to_rles(np.ones((1, 4, 4), bool)))
    assert overlap(one)[0, 0] == 1 and overlap(one, "masks")[0, 0] == 0.5
