"""Measures of label maps and panoptic quality: perfect, degenerate, by hand, and against slow, obvious versions."""
from __future__ import annotations

import json
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from stemma.core.types import Classes, DataError, Info, Sample, StemmaError
from stemma.metrics import Evaluator
from stemma.metrics.boundary import boundary, boundary_f, boundary_f_by_class, edge_band, tolerance_of
from stemma.metrics.panoptic import PanopticMetric, id_to_rgb, rgb_to_id, to_instances, to_panoptic, to_semantic
from stemma.metrics.semantic import SemanticMetric

THREE = Classes(("car", "road", "sky"), things=(True, False, False))


def sample(semantic: Any = None, panoptic: Any = None, segments: Any = None, crowd: Any = None) -> Sample:
    shape = np.shape(semantic if semantic is not None else panoptic)
    none = np.zeros(0)
    return Sample(
        None, (shape[0], shape[1]), none.reshape(0, 4), none, none.astype(bool), none, semantic=None if semantic is None
        else np.asarray(semantic, np.uint8), panoptic=None if panoptic is None else np.asarray(panoptic, np.int32),
        segments=None if segments is None else np.asarray(segments),
        segments_crowd=None if crowd is None else np.asarray(crowd, bool), file="a.png",
    )


# ---------------------------------------------------------------- semantic


def test_a_perfect_map_scores_one() -> None:
    rng = np.random.default_rng(0)
    m = SemanticMetric(THREE, tolerance=1.0, trimap=(2,))
    for _ in range(3):
        t = rng.integers(0, 3, (12, 9))
        t[0] = 255
        m.add(sample(t), {"semantic": np.where(t == 255, 1, t)})
    r = m.result()
    for key in ("mIoU", "pixel_accuracy", "mean_accuracy", "fwIoU", "mIoU_stuff_foreground", "foreground_IoU",
                "trimap_mIoU_2", "boundary_F"):
        assert r[key] == pytest.approx(1.0), key
    assert r["images"] == 3
    json.dumps(r, allow_nan=False)


def test_nothing_right_and_nothing_there() -> None:
    m = SemanticMetric(THREE)
    assert m.result()["mIoU"] == 0 and m.result()["per_class"]["car"]["IoU"] is None
    m.add(sample(np.full((4, 4), 255)), {"semantic": np.zeros((4, 4))})
    assert m.result()["mIoU"] == 0 and m.matrix.sum() == 0
    # said nothing: wrong, and no class is blamed for it
    m.add(sample(np.zeros((4, 4))), {"semantic": np.full((4, 4), 255)})
    r = m.result()
    assert r["pixel_accuracy"] == 0 and r["mIoU"] == 0 and r["per_class"]["road"]["IoU"] is None
    json.dumps(r, allow_nan=False)


def test_semantic_measures_by_hand() -> None:
    """FCN sec. 5. Truth: 4 car, 2 road (1 more ignored); predicted: 3 of the cars right, 1 as road;
    1 road right, 1 as sky."""
    m = SemanticMetric(THREE)
    m.add(sample([[0, 0, 0, 0], [1, 1, 255, 255]]), {"semantic": np.array([[0, 0, 0, 1], [1, 2, 2, 0]])})
    r = m.result()
    assert r["pixel_accuracy"] == pytest.approx(4 / 6)
    assert r["mean_accuracy"] == pytest.approx((3 / 4 + 1 / 2) / 2)
    assert [r["per_class"][n]["IoU"] for n in THREE.names] == pytest.approx([3 / 4, 1 / 3, 0])
    assert r["mIoU"] == pytest.approx((3 / 4 + 1 / 3) / 3)
    assert r["fwIoU"] == pytest.approx((4 * 3 / 4 + 2 / 3) / 6)
    assert r["mIoU_stuff_foreground"] == r["mIoU"] and r["mIoU_stuff"] == pytest.approx(1 / 6)


def test_shapes_of_one_kind_confused_are_still_foreground() -> None:
    two = Classes(("disc", "star", "grass"), things=(True, True, False))
    m = SemanticMetric(two)
    m.add(sample([[0, 0, 1, 2]]), {"semantic": np.array([[1, 1, 0, 2]])})
    r = m.result()
    assert r["mIoU"] == pytest.approx(1 / 3) and r["mIoU_stuff_foreground"] == 1 and r["foreground_IoU"] == 1


def test_halves_merge_to_the_whole() -> None:
    rng = np.random.default_rng(1)
    pairs = [(rng.integers(0, 3, (8, 8)), rng.integers(0, 3, (8, 8))) for _ in range(4)]
    whole, a, b = (SemanticMetric(THREE, tolerance=1.0, trimap=(1, 3)) for _ in range(3))
    for i, (t, p) in enumerate(pairs):
        whole.add(sample(t), {"semantic": p})
        (a if i % 2 else b).add(sample(t), {"semantic": p})
    a.merge(b)
    got, want = a.result(), whole.result()
    assert got["per_class"] == want["per_class"] and got["images"] == 4
    assert ({k: v for k, v in got.items() if k != "per_class"}
            == pytest.approx({k: v for k, v in want.items() if k != "per_class"}))


def test_boundaries_are_found_within_the_tolerance() -> None:
    square = np.zeros((20, 20), bool)
    square[5:15, 5:15] = True
    assert boundary(square).sum() == 36 and not boundary(np.ones((6, 6), bool)).any()
    moved = np.roll(square, 2, 1)
    assert (boundary_f(square, moved, 2.0) == 1.0 and boundary_f(square, moved, 1.0) < 1
            and boundary_f(square, ~square & False, 3.0) == 0)
    slow = [min(np.hypot(y - a, x - b) for a, b in zip(*np.nonzero(boundary(moved)))) <= 1
            for y, x in zip(*np.nonzero(boundary(square)))]
    recall = np.mean(slow)
    assert boundary_f(square, moved, 1.0) == pytest.approx(recall)  # both squares alike: precision = recall


def test_the_trimap_is_a_band_along_the_edges() -> None:
    t = np.zeros((5, 12), int)
    t[:, 6:] = 1
    assert edge_band(t, 0).sum() == 10 and edge_band(t, 2).sum() == 30 and not edge_band(np.zeros((4, 4)), 2).any()


def test_what_does_not_fit_is_named() -> None:
    m = SemanticMetric(THREE)
    with pytest.raises(StemmaError, match=r"a\.png.*\(3, 3\)"):
        m.add(sample(np.zeros((4, 4))), {"semantic": np.zeros((3, 3))})
    with pytest.raises(DataError, match="label 7"):
        m.add(sample(np.full((4, 4), 7)), {"semantic": np.zeros((4, 4))})
    with pytest.raises(DataError, match="no semantic map"):
        m.add(sample(panoptic=np.zeros((4, 4))), {"semantic": np.zeros((4, 4))})
    with pytest.raises(StemmaError, match="missing"):
        m.add(sample(np.zeros((4, 4))), {})


# ---------------------------------------------------------------- panoptic


def slow_pq(truth: list[Sample], found: list[dict[str, Any]], classes: int) -> dict[int, list[float]]:
    """tp, fp, fn, iou a class by comparing every pair of masks, as sec. 4.1 says it."""
    out: dict[int, list[float]] = {c: [0, 0, 0, 0.0] for c in range(classes)}
    for t, p in zip(truth, found):
        assert t.panoptic is not None and t.segments is not None
        crowd = t.segments_crowd if t.segments_crowd is not None else np.zeros(len(t.segments), bool)
        void = t.panoptic == 0
        g = [(t.panoptic == i + 1, int(c), bool(k)) for i, (c, k) in enumerate(zip(t.segments, crowd))
             if (t.panoptic == i + 1).any()]
        d = [(p["panoptic"] == i + 1, int(c)) for i, c in enumerate(p["segments"]) if (p["panoptic"] == i + 1).any()]
        hit_g, hit_d = set(), set()
        for (i, (gm, gc, gk)), (j, (dm, dc)) in product(enumerate(g), enumerate(d)):
            if gk or gc != dc:
                continue
            iou = (gm & dm).sum() / (gm | (dm & ~void)).sum()
            if iou > 0.5:
                assert i not in hit_g and j not in hit_d, "the matching is unique"
                hit_g.add(i), hit_d.add(j)
                out[gc][0] += 1
                out[gc][3] += iou
        for i, (_, gc, gk) in enumerate(g):
            out[gc][2] += i not in hit_g and not gk
        for j, (dm, dc) in enumerate(d):
            excused = void.copy()
            for gm, gc, gk in g:
                excused |= gm & (gk and gc == dc)
            out[dc][1] += j not in hit_d and not (dm & excused).sum() / dm.sum() > 0.5
    return out


def compare(metric: PanopticMetric, want: dict[int, list[float]]) -> None:
    for c, (tp, fp, fn, iou) in want.items():
        assert (metric.tp[c], metric.fp[c], metric.fn[c]) == (tp, fp, fn), c
        assert metric.iou[c] == pytest.approx(iou, abs=1e-12)


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 10**9))
def test_pq_on_random_maps_is_the_slow_one_and_matches_are_unique(seed: int) -> None:
    rng = np.random.default_rng(seed)
    h, w, s = 6, 7, int(rng.integers(1, 7))
    t = rng.integers(0, s + 1, (h, w))
    p = np.where(rng.random((h, w)) < rng.random(), t, rng.integers(0, s + 1, (h, w)))  # from equal to unrelated
    classes = rng.integers(0, 3, s)
    other = np.where(rng.random(s) < 0.7, classes, rng.integers(0, 3, s))
    truth = sample(panoptic=t, segments=classes, crowd=rng.random(s) < 0.2)
    m = PanopticMetric(THREE)
    m.add(truth, {"panoptic": p, "segments": other})
    compare(m, slow_pq([truth], [{"panoptic": p, "segments": other}], 3))
    order = rng.permutation(s)  # the numbers of the segments carry no meaning
    again = PanopticMetric(THREE)
    again.add(truth, {"panoptic": np.concatenate([[0], np.argsort(order) + 1])[p], "segments": other[order]})
    for name in ("tp", "fp", "fn"):
        assert (getattr(again, name) == getattr(m, name)).all()
    r = m.result()
    for c in r["per_class"].values():
        assert c["PQ"] == pytest.approx(c["SQ"] * c["RQ"])
        assert c["RQ"] == pytest.approx(2 * c["TP"] / max(2 * c["TP"] + c["FP"] + c["FN"], 1))  # F1


def test_overlap_would_break_the_uniqueness() -> None:
    """Why predictions must not overlap: two that do can both pass one half with the same truth."""
    truth = np.zeros(10, bool)
    truth[:8] = True
    a, b = np.arange(10) < 6, (np.arange(10) >= 2) & (np.arange(10) < 9)
    iou = [(truth & x).sum() / (truth | x).sum() for x in (a, b)]
    assert min(iou) > 0.5 and (a & b).any()


def test_a_perfect_panoptic_map_scores_one_and_an_empty_one_nothing() -> None:
    t = np.array([[1, 1, 2], [3, 3, 2], [0, 3, 2]])
    s = sample(panoptic=t, segments=[0, 1, 0])
    m = PanopticMetric(THREE)
    m.add(s, {"panoptic": t, "segments": np.array([0, 1, 0])})
    r = m.result()
    assert r["PQ"] == r["SQ"] == r["RQ"] == r["PQ_things"] == r["PQ_stuff"] == 1.0 and "sky" not in r["per_class"]
    m = PanopticMetric(THREE)
    assert np.isnan(m.result()["PQ"]), "where nothing is seen, nothing is defined"
    m.add(s, {"panoptic": np.zeros((3, 3), int), "segments": np.zeros(0, int)})
    assert m.result()["PQ"] == 0 and m.fn.tolist() == [2, 1, 0]
    json.dumps(m.result(), allow_nan=False)


def test_pq_of_things_is_undefined_where_there_are_none() -> None:
    m = PanopticMetric(THREE)
    road = np.ones((3, 3), int)
    m.add(sample(panoptic=road, segments=[1]), {"panoptic": road, "segments": np.array([1])})
    assert m.result()["PQ"] == m.result()["PQ_stuff"] == 1.0 and np.isnan(m.result()["PQ_things"])


def test_pq_by_hand() -> None:
    """One car of 8 pixels: 6 found, one pixel too many, another on void. Road of 4: half found, which is not above one
    half. A false car of 2."""
    t = np.array([[1, 1, 1, 1, 0], [1, 1, 1, 1, 3], [2, 2, 2, 2, 3]])
    p = np.array([[1, 1, 1, 0, 1], [1, 1, 1, 0, 1], [2, 2, 3, 3, 0]])
    m = PanopticMetric(THREE)
    m.add(sample(panoptic=t, segments=[0, 1, 2]), {"panoptic": p, "segments": np.array([0, 1, 0])})
    assert m.tp.tolist() == [1, 0, 0] and m.fp.tolist() == [1, 1, 0] and m.fn.tolist() == [0, 1, 1]
    assert m.iou[0] == pytest.approx(6 / 9)
    r = m.result()
    assert r["per_class"]["car"]["PQ"] == pytest.approx((6 / 9) / 1.5)
    assert (r["PQ"] == pytest.approx((6 / 9) / 1.5 / 3) and r["PQ_things"] == pytest.approx((6 / 9) / 1.5)
            and r["PQ_stuff"] == 0)
    # of the pixels' classes
    assert (r["mIoU"] == r["mIoU_stuff_foreground"] == pytest.approx((6 / 11 + 1 / 2 + 0) / 3)
            and r["mIoU_stuff"] == 0.25)


def test_void_and_crowd_excuse_only_by_more_than_half() -> None:
    t = np.array([[0, 0, 1, 1, 2, 2]])
    cases = ((False, [1, 1, 0, 0, 1, 1], 1), (False, [1, 1, 0, 0, 1, 0], 0), (True, [0, 0, 1, 1, 1, 0], 0),
             (True, [0, 0, 0, 1, 1, 0], 1))
    for crowd, found, fp in cases:
        m = PanopticMetric(THREE)
        m.add(sample(panoptic=t, segments=[0, 1], crowd=[crowd, False]),
              {"panoptic": np.array([found]), "segments": np.array([0])})
        assert (m.fp[0], m.tp[0], m.fn.tolist()) == (fp, 0, [0 if crowd else 1, 1, 0]), (crowd, found)


def test_stuff_alone_is_matched_by_the_iou_of_its_class() -> None:
    """One segment a class: a class counts as found exactly when its semantic IoU in the picture is above one half."""
    rng = np.random.default_rng(3)
    stuff = Classes(("a", "b", "c"), things=(False,) * 3)
    for _ in range(20):
        t = rng.integers(0, 3, (8, 8))
        p = np.where(rng.random((8, 8)) < 0.7, t, rng.integers(0, 3, (8, 8)))
        m = PanopticMetric(stuff)
        m.add(sample(panoptic=t + 1, segments=[0, 1, 2]), {"panoptic": p + 1, "segments": np.arange(3)})
        s = SemanticMetric(stuff)
        s.add(sample(t), {"semantic": p})
        found = [s.result()["per_class"][n]["IoU"] for n in stuff.names]
        assert m.tp.tolist() == [int(v > 0.5) for v in found]


def test_panoptic_faults_are_named() -> None:
    m = PanopticMetric(THREE)
    s = sample(panoptic=np.ones((2, 2)), segments=[0])
    with pytest.raises(StemmaError, match="id 4 and there are 1"):
        m.add(s, {"panoptic": np.full((2, 2), 4), "segments": np.array([0])})
    with pytest.raises(StemmaError, match="class 9"):
        m.add(s, {"panoptic": np.ones((2, 2)), "segments": np.array([9])})
    with pytest.raises(StemmaError, match="no class"):
        m.add(s, {"panoptic": np.ones((2, 2)), "segments": np.array([-1])})
    with pytest.raises(StemmaError, match="'segments' is missing"):
        m.add(s, {"panoptic": np.ones((2, 2))})
    with pytest.raises(DataError, match="no panoptic map"):
        m.add(sample(np.zeros((2, 2))), {"panoptic": np.ones((2, 2)), "segments": np.array([0])})


# ---------------------------------------------------------------- conversions


def test_colours_code_ids() -> None:
    ids = np.array([[0, 1, 255], [256, 65536, (1 << 24) - 1]])
    assert (rgb_to_id(id_to_rgb(ids)) == ids).all() and id_to_rgb(ids)[1, 0].tolist() == [0, 1, 0]
    with pytest.raises(AssertionError):
        id_to_rgb(np.array([[1 << 24]]))


def test_a_panoptic_map_goes_to_parts_and_back() -> None:
    ids = np.array([[1, 1, 2, 2], [3, 3, 2, 0]])
    segments = np.array([1, 0, 0])
    semantic = to_semantic(ids, segments)
    assert semantic.tolist() == [[1, 1, 0, 0], [0, 0, 0, 255]]
    masks, labels = to_instances(ids, segments, THREE.things)
    assert labels.tolist() == [0, 0] and masks.sum((1, 2)).tolist() == [3, 2]
    back, classes = to_panoptic(semantic, masks, labels, np.array([0, 1]), THREE.things)
    m = PanopticMetric(THREE)
    m.add(sample(panoptic=ids, segments=segments), {"panoptic": back, "segments": classes})
    assert m.result()["PQ"] == 1.0


def test_overlapping_instances_need_a_depth() -> None:
    masks = np.zeros((2, 3, 6), bool)
    masks[0, :, :4], masks[1, :, 2:] = True, True
    semantic = np.ones((3, 6), int)
    for depth, area in (([0, 1], [12, 6]), ([1, 0], [6, 12])):
        ids, labels = to_panoptic(semantic, masks, np.array([0, 0]), np.array(depth), THREE.things)
        assert [(ids == k).sum() for k in (2, 3)] == area and labels.tolist() == [1, 0, 0]
    ids, _ = to_panoptic(np.zeros((3, 6), int), masks[:1], np.array([0]), np.array([0]), THREE.things)
    assert (ids[:, 4:] == 0).all()  # a thing's pixels that nobody claims


# ---------------------------------------------------------------- COCO's sample


def coco_sample(shared_data: Path) -> tuple[Classes, list[Sample]]:
    root = shared_data / "panoptic_sample"
    doc = json.loads((root / "sample_data" / "panoptic_examples.json").read_text())
    categories = json.loads((root / "panoptic_coco_categories.json").read_text())
    classes = Classes(tuple(c["name"] for c in categories), tuple(c["id"] for c in categories),
                      tuple(bool(c["isthing"]) for c in categories))
    label = {c["id"]: i for i, c in enumerate(categories)}
    out = []
    for a in doc["annotations"]:
        rgb = np.array(Image.open(root / "sample_data" / "panoptic_examples" / a["file_name"]))
        raw = rgb_to_id(rgb)
        assert (id_to_rgb(raw) == rgb).all()
        ids = np.zeros(raw.shape, np.int32)
        for i, s in enumerate(a["segments_info"]):
            ids[raw == s["id"]] = i + 1
            assert (raw == s["id"]).sum() == s["area"]
        info = a["segments_info"]
        out.append(sample(panoptic=ids, segments=[label[s["category_id"]] for s in info],
                          crowd=[s["iscrowd"] for s in info]))
    return classes, out


@pytest.mark.data
def test_pq_on_cocos_own_sample(shared_data: Path) -> None:
    classes, truth = coco_sample(shared_data)
    assert [len(s.segments) for s in truth if s.segments is not None] == [18, 32]
    perfect, rough = PanopticMetric(classes), PanopticMetric(classes)
    rng = np.random.default_rng(0)
    found = []
    for s in truth:
        assert s.panoptic is not None and s.segments is not None
        perfect.add(s, {"panoptic": s.panoptic, "segments": s.segments})
        moved = np.roll(s.panoptic, (2, -3), (0, 1))
        moved[rng.random(moved.shape) < 0.05] = 0
        lost = rng.random(len(s.segments)) < 0.2
        moved[np.concatenate([[False], lost])[moved]] = 0
        guess = np.where(rng.random(len(s.segments)) < 0.15, rng.integers(0, len(classes), len(s.segments)), s.segments)
        found.append({"panoptic": moved, "segments": guess})
        rough.add(s, found[-1])
    r = perfect.result()
    assert r["PQ"] == r["PQ_things"] == r["PQ_stuff"] == 1.0
    compare(rough, slow_pq(truth, found, len(classes)))
    classed, one, two = SemanticMetric(classes), PanopticMetric(classes), PanopticMetric(classes)
    for s, f, part in zip(truth, found, (one, two)):
        assert s.panoptic is not None and s.segments is not None
        classed.add(replace(s, semantic=to_semantic(s.panoptic, s.segments)),
                    {"semantic": to_semantic(f["panoptic"], f["segments"])})
        part.add(s, f)
    one.merge(two)
    for name in ("mIoU", "mIoU_stuff", "mIoU_stuff_foreground"):
        assert r[name] == 1.0 > classed.result()[name] == rough.result()[name] == one.result()[name]
    assert 0.1 < rough.result()["PQ"] < 0.9 and rough.fp.sum() > 0 and rough.fn.sum() > 0


def test_all_classes_at_once_are_each_class_alone() -> None:
    rng = np.random.default_rng(3)
    t, p = (rng.integers(0, 4, (12, 15)).repeat(3, 0).repeat(2, 1) for _ in range(2))
    t[t == 3] = 255
    seen = np.where(t == 255, 255, p)
    found = boundary_f_by_class(t, p, 1.5, 255)
    assert set(found) == {0, 1, 2} and found == {c: pytest.approx(boundary_f(t == c, seen == c, 1.5)) for c in found}
    assert tolerance_of((30, 40)) == 1.0 and tolerance_of((300, 400)) == pytest.approx(3.75)


def test_semantic_maps_are_measured_at_their_edges() -> None:
    e = Evaluator(Info("x", "maps", THREE, ("semantic",), semantic=THREE), "semantic")
    t = np.zeros((64, 64), np.uint8)
    t[:, 32:] = 1
    e.add(sample(t), {"semantic": np.roll(t, 3, 1) * (np.arange(64) > 8)})  # the edge lies three pixels off
    r = e.result()
    assert r["boundary_F"] < 0.1 and r["trimap_mIoU_2"] < r["trimap_mIoU_5"] < r["trimap_mIoU_10"] < r["mIoU"]
    e = Evaluator(Info("x", "maps", THREE, ("semantic",), semantic=THREE), "semantic")
    e.add(sample(t), {"semantic": t})
    assert e.result()["boundary_F"] == e.result()["trimap_mIoU_2"] == 1.0
