"""The evaluator: each task's numbers on perfect, degenerate and hand-made predictions, JSON, merging, mistakes."""
from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from stemma.core.types import Classes, Info, Points, Sample, StemmaError
from stemma.metrics import Evaluator, plain
from stemma.metrics.detection import to_rles

NAMES = ("cat", "dog", "sky")
INFO = Info(
    "toys", "made", Classes(NAMES[:2]), ("boxes", "masks", "amodal", "keypoints", "semantic", "panoptic"),
    semantic=Classes(NAMES, things=(True, True, False), parent=("animal", "animal", "stuff")),
    panoptic=Classes(NAMES, things=(True, True, False)), points=Points(("nose", "tail"), sigmas=(0.05, 0.05)),
)
SIDE = 24


def toy(seed: int, objects: int = 3) -> Sample:
    """Rectangles that do not touch, with every kind of target."""
    r = np.random.default_rng(seed)
    corner = np.array([[0, 0], [0, 12], [12, 0], [12, 12]])[r.permutation(4)[:objects]].reshape(-1, 2)
    boxes = np.concatenate([corner, corner + r.integers(5, 11, (objects, 2))], 1)
    masks = np.zeros((objects, SIDE, SIDE), bool)
    labels = r.integers(0, 2, objects)
    semantic, ids = np.full((SIDE, SIDE), 2, np.uint8), np.full((SIDE, SIDE), objects + 1, np.int32)
    for i, (x1, y1, x2, y2) in enumerate(boxes):
        masks[i, y1:y2, x1:x2] = True
        semantic[masks[i]], ids[masks[i]] = labels[i], i + 1
    points = np.stack([boxes[:, :2] + 1, boxes[:, 2:] - 1], 1)
    keypoints = np.concatenate([points, np.full((objects, 2, 1), 2)], 2).astype(np.float32)
    return Sample(
        None, (SIDE, SIDE), boxes.astype(np.float32), labels, np.zeros(objects, bool),
        masks.sum((1, 2)).astype(np.float32), masks, masks.copy(), keypoints,
        semantic, ids, np.concatenate([labels, [2]]), file=f"toy{seed}.png", id=seed,
    )


def right(s: Sample) -> dict[str, Any]:
    """The truth as a prediction, of whatever task."""
    return {
        "boxes": s.boxes, "scores": np.linspace(0.9, 0.5, len(s.labels)), "labels": s.labels, "masks": s.masks,
        "keypoints": s.keypoints, "semantic": s.semantic, "panoptic": s.panoptic, "segments": s.segments,
    }


NOTHING: dict[str, Any] = {
    "boxes": np.zeros((0, 4)), "scores": np.zeros(0), "labels": np.zeros(0, int), "semantic": np.full((SIDE, SIDE), 3),
    "panoptic": np.zeros((SIDE, SIDE), np.int32), "segments": np.zeros(0, int),
}
MAIN = {
    "detection": ("AP", "AP50", "AR100"), "instances": ("AP", "mask_AP", "mask_AP75"), "amodal": ("mask_AP", "mask_AR100"),
    "keypoints": ("AP", "keypoint_AP", "keypoint_AR50"),
    "proposals": ("AR10", "AR100", "AR1000"), "weak": ("point_AP", "image_AP"), "semantic": ("mIoU", "pixel_accuracy"),
    "panoptic": ("PQ", "SQ", "RQ"),
}


def run(task: Any, samples: list[Sample], predict: Any) -> Evaluator:
    e = Evaluator(INFO, task)
    for s in samples:
        e.add(s, predict(s))
    return e


TOYS = [toy(i, 1 + i % 4) for i in range(5)]


@pytest.mark.parametrize("task", MAIN)
def test_perfect(task: str) -> None:
    e = run(task, TOYS, right)
    result = e.result()
    assert len(e) == 5
    for key in MAIN[task]:
        assert result[key] == pytest.approx(1), key
    json.dumps([result, e.details()], allow_nan=False)


@pytest.mark.parametrize("task", MAIN)
def test_degenerate(task: str) -> None:
    for samples in ([], [toy(0, 0)]):
        e = run(task, samples, lambda s: NOTHING)
        json.dumps([e.result(), e.details()], allow_nan=False)
    result = run(task, TOYS, lambda s: NOTHING).result()
    assert all(result[k] == 0 for k in MAIN[task])


def test_no_objects_is_undefined_and_not_zero() -> None:
    assert run("detection", [toy(0, 0)], right).result()["AP"] is None
    assert run("detection", TOYS, right).result()["AP_large"] is None


def test_by_hand() -> None:
    """One cat found with an overlap of .6 by box, one dog not at all: AP .3 and 0, and AP50 1 and 0."""
    s = toy(0, 2)
    s.labels, s.boxes = np.array([0, 1]), np.array([[0, 0, 10, 10], [12, 12, 20, 20]], np.float32)
    e = run("detection", [s], lambda s: {"boxes": [[0, 0, 10, 6]], "scores": [0.8], "labels": [0]})
    result = e.result()
    assert result["AP"] == pytest.approx(0.15) and result["AP50"] == pytest.approx(0.5) and result["AP75"] == 0
    assert result["per_class"]["cat"]["AP"] == pytest.approx(0.3) and result["per_class"]["dog"]["AP50"] == 0
    assert result["count_error"] == 1
    details = e.details()
    assert details["confusion"]["matrix"] == [[1, 0, 0], [0, 0, 1], [0, 0, 0]]
    assert details["confusion"]["score"] == 0.8 and details["f1"]["best"] == pytest.approx(2 / 3)
    assert details["errors"]["missed"]["count"] == 1
    assert details["count"] == {"error": 1, "bias": -1, "score": 0.8, "per_class": {"cat": 0, "dog": 1}}
    assert details["pr"].keys() == {"cat", "dog"} and details["pr"]["dog"][1] == [0.0] * 101
    assert details["voc"]["AP50"] == 0.5 and details["calibration"]["ECE"] == pytest.approx(0.2)


def test_masks_in_any_form_measure_the_same() -> None:
    def other(s: Sample) -> dict[str, Any]:
        shifted = np.roll(np.asarray(s.masks), 2, 2)
        return right(s) | {"masks": shifted}

    def as_runs(s: Sample) -> dict[str, Any]:
        return other(s) | {"masks": [r.as_dict() for r in to_rles(other(s)["masks"])]}

    a, b = run("instances", TOYS, other).result(), run("instances", TOYS, as_runs).result()
    assert a == b and 0 < a["mask_AP"] < 1 and a["AP"] == pytest.approx(1)


def test_kinds_may_be_chosen() -> None:
    e = Evaluator(INFO, "instances", kinds=("masks",))
    s = toy(3)
    e.add(s, {"scores": np.ones(3), "labels": s.labels, "masks": s.masks})
    assert e.result()["mask_AP"] == pytest.approx(1) and "AP" not in e.result()
    assert e.details("masks")["errors"]["missed"]["count"] == 0
    with pytest.raises(StemmaError, match="measures masks, not boxes"):
        e.scores("boxes")


def test_proposals_have_no_classes() -> None:
    wrong = run("proposals", TOYS, lambda s: right(s) | {"labels": 1 - s.labels})
    assert wrong.result()["AR100"] == wrong.result()["mask_AR100"] == 1


@pytest.mark.parametrize("task", MAIN)
def test_merging_equals_one_process(task: str) -> None:
    r = np.random.default_rng(0)
    said = []
    for s in TOYS:
        p = right(s)
        p["boxes"] = p["boxes"] + r.normal(0, 1, p["boxes"].shape)
        p["masks"] = np.roll(p["masks"], 1, 1)
        p["keypoints"] = p["keypoints"] + r.normal(0, 1, p["keypoints"].shape)
        p["semantic"] = np.where(r.random((SIDE, SIDE)) < 0.2, 0, p["semantic"])
        p["panoptic"] = np.where(r.random((SIDE, SIDE)) < 0.2, 1, p["panoptic"])
        p["scores"] = np.full(len(p["scores"]), 0.5)  # ties, settled by the position
        said.append(p)
    whole, parts = Evaluator(INFO, task), [Evaluator(INFO, task), Evaluator(INFO, task)]  # type: ignore[arg-type]
    for i, (s, p) in enumerate(zip(TOYS, said)):
        whole.add(s, p)
        parts[i % 2].add(s, p, i)
    parts[1].merge(parts[0])
    assert len(parts[1]) == 5
    assert parts[1].result() == whole.result()
    assert parts[1].details() == whole.details()


def test_an_image_seen_by_two_processes() -> None:
    a, b = Evaluator(INFO, "detection"), Evaluator(INFO, "detection")
    for e in (a, b):
        e.add(TOYS[1], right(TOYS[1]), 1)
        e.add(TOYS[1], NOTHING, 1)
    a.merge(b)
    assert len(a) == 1 and a.result()["AP"] == pytest.approx(1)
    c, d = Evaluator(INFO, "semantic"), Evaluator(INFO, "semantic")
    for e in (c, d):
        e.add(TOYS[1], right(TOYS[1]), 1)
    with pytest.raises(StemmaError, match="both evaluators have seen image 1"):
        c.merge(d)
    with pytest.raises(StemmaError, match="different tasks"):
        a.merge(c)


def test_stuff_and_foreground() -> None:
    """Cats taken for dogs cost nothing where both are foreground."""
    s = toy(1, 4)
    swapped = np.array([1, 0, 2])[np.asarray(s.semantic)]
    result = run("semantic", [s], lambda s: {"semantic": swapped}).result()
    assert result["mIoU_stuff_foreground"] == 1 and result["mIoU"] < 0.5
    confusion = run("semantic", [s], lambda s: {"semantic": swapped}).details()["confusion"]
    assert np.array(confusion["matrix"]).shape == (3, 4) and confusion["rows"] == list(NAMES)


def test_mistakes_are_named() -> None:
    with pytest.raises(StemmaError, match="no measures for the task 'editing'"):
        Evaluator(INFO, "editing")
    with pytest.raises(StemmaError, match="toy1.png.*label 2"):
        run("detection", [toy(1, 2)], lambda s: right(s) | {"labels": np.array([0, 2])})


def test_plain() -> None:
    value = {"a": float("nan"), 1: [np.float32(2), np.int64(3), (np.inf, True)], "b": np.array([[1.0, np.nan]]),
             "c": "x", "d": None}
    assert plain(value) == {"a": None, "1": [2.0, 3, [None, True]], "b": [[1.0, None]], "c": "x", "d": None}
