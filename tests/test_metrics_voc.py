"""VOC's average precision against the references that ship with two published evaluators, a slow oracle,
and by hand."""
from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metrics_cases import drawn, record, shot
from stemma.metrics.detection import Picture, Record, box_iou
from stemma.metrics.voc import average_precision, voc


def read_text(truth: Path, found: Path, wide: bool) -> Record:
    """Text files, one an image: `class x y x2 y2 [difficult]` and `class score x y x2 y2`;
    `wide`: width and height in the last two."""

    def rows(path: Path) -> list[list[str]]:
        return [line.split() for line in path.read_text().splitlines() if line.strip()] if path.exists() else []

    def boxes(values: list[list[str]]) -> np.ndarray:
        a = np.array(values, float).reshape(-1, 4)
        return np.concatenate([a[:, :2], a[:, :2] + a[:, 2:]], 1) if wide else a

    files = sorted(truth.glob("*.txt"))
    names = sorted({r[0] for f in files for r in rows(f) + rows(found / f.name)})
    out = Record(names)
    for i, f in enumerate(files):
        t, d = rows(f), rows(found / f.name)
        out.add(Picture(
            i, (500, 500), boxes([r[1:5] for r in t]), np.array([names.index(r[0]) for r in t], int),
            np.array([len(r) > 5 for r in t], bool), np.zeros(len(t)), boxes([r[2:6] for r in d]),
            np.array([float(r[1]) for r in d]), np.array([names.index(r[0]) for r in d], int),
        ))
    return out


@pytest.mark.data
@pytest.mark.parametrize(("points", "expected"), [
    ("11", (0.3333333333, 0.2683982683, 0.0303030303, 0)), ("all", (0.3371980676, 0.2456866804, 0.0222222222, 0)),
])
def test_review_of_metrics(shared_data: Path, points: str, expected: tuple[float, ...]) -> None:
    """review_object_detection_metrics, tests/test_case_1: AP at IoU .1, .3, .5, .75."""
    case = shared_data / "eval_results/review_object_detection_metrics/tests/test_case_1"
    rec = read_text(case / "gts", case / "dets", wide=True)
    ours = [voc(rec, iou, points, inclusive=True).mean for iou in (0.1, 0.3, 0.5, 0.75)]  # type: ignore[arg-type]
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-9)


CARTUCHO = {
    "backpack": 22.73, "bed": 85.94, "book": 17.52, "bookcase": 14.29, "bottle": 23.48, "bowl": 31.86,
    "cabinetry": 7.93, "chair": 53.84, "coffeetable": 4.55, "countertop": 19.05, "cup": 42.50, "diningtable": 39.66,
    "doll": 0.00, "door": 20.69, "heater": 7.69, "nightstand": 71.43, "person": 42.86, "pictureframe": 17.71,
    "pillow": 13.01, "pottedplant": 62.31, "remote": 73.21, "shelf": 0.00, "sink": 16.33, "sofa": 90.48, "tap": 1.39,
    "tincan": 0.00, "tvmonitor": 63.25, "vase": 18.75, "wastecontainer": 45.45, "windowblind": 23.53,
}


@pytest.mark.data
def test_cartucho(shared_data: Path) -> None:
    """Cartucho/mAP's own program over its own example prints these (commit 3605865): mAP 31.05 %."""
    folder = shared_data / "eval_results/cartucho_map/input"
    scores = voc(read_text(folder / "ground-truth", folder / "detection-results", wide=False), 0.5, "all",
                 inclusive=True)
    ours = {k: v * 100 for k, v in scores.per_class().items() if not np.isnan(v)}
    assert ours.keys() == CARTUCHO.keys()
    for name, value in CARTUCHO.items():
        assert abs(ours[name] - value) < 0.00501, name
    assert f"{scores.mean * 100:.2f}" == "31.05"


def slow(rec: Record, threshold: float, c: int, points: str) -> float:
    """The devkit's procedure, one detection at a time."""
    pictures = list(rec)
    queue = [(-p.scores[d], i, d) for i, p in enumerate(pictures)
             for d in range(len(p.scores)) if p.found_labels[d] == c]
    queue.sort(key=lambda q: q[0])
    taken: set[tuple[int, int]] = set()
    total = sum(int(((p.labels == c) & ~p.crowd).sum()) for p in pictures)
    if not total:
        return float("nan")
    tp = fp = 0
    curve = []
    for _, i, d in queue:
        p = pictures[i]
        best, at = -1.0, -1
        for g in range(len(p.labels)):
            if p.labels[g] == c:
                value = float(box_iou(p.found[d : d + 1], p.boxes[g : g + 1])[0, 0])
                if value > best:
                    best, at = value, g
        if best >= threshold and p.crowd[at]:
            continue
        if best >= threshold and (i, at) not in taken:
            taken.add((i, at))
            tp += 1
        else:
            fp += 1
        curve.append((tp / total, tp / (tp + fp)))
    if points == "11":
        return sum(max([q for r, q in curve if r >= k * 0.1], default=0.0) for k in range(11)) / 11
    area, reached = 0.0, 0.0
    for n, (r, _) in enumerate(curve):
        if r > reached:
            area += (r - reached) * max(q for _, q in curve[n:])
            reached = r
    return area


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([0.1, 0.5, 0.75]), st.sampled_from(["11", "all"]))
def test_equals_the_slow_procedure(seed: int, threshold: float, points: str) -> None:
    rec = drawn(seed, images=4)
    scores = voc(rec, threshold, points)  # type: ignore[arg-type]
    np.testing.assert_allclose(scores.ap, [slow(rec, threshold, c, points) for c in range(3)], rtol=0, atol=1e-12)


def test_perfect() -> None:
    scores = voc(record(shot([(0, 0, 9, 9, 0), (20, 20, 40, 40, 1)], [(0, 0, 9, 9, 0, 0.9), (20, 20, 40, 40, 1, 0.2)])))
    assert scores.mean == 1 and scores.hits == (1, 1, 0) and scores.false == (0, 0, 0)
    assert np.isnan(scores.ap[2])


def test_degenerate() -> None:
    assert np.isnan(voc(record(shot())).mean)
    assert np.isnan(voc(record(shot([], [(0, 0, 9, 9, 0, 0.9)]))).mean)
    assert voc(record(shot([(0, 0, 9, 9, 0)]))).mean == 0
    assert voc(record(shot([(5, 5, 5, 5, 0)], [(5, 5, 5, 5, 0, 0.9)]))).mean == 0


def test_by_hand() -> None:
    """Hit, false, hit of two: recall .5, .5, 1 and precision 1, .5, 2/3."""
    picture = shot([(0, 0, 10, 10, 0), (50, 50, 60, 60, 0)],
                   [(0, 0, 10, 10, 0, 0.9), (80, 80, 90, 90, 0, 0.8), (50, 50, 60, 60, 0, 0.7)])
    assert abs(voc(record(picture), points="all").mean - (0.5 + 0.5 * 2 / 3)) < 1e-12
    assert abs(voc(record(picture), points="11").mean - (6 + 5 * 2 / 3) / 11) < 1e-12


def test_difficult_objects_neither_gain_nor_cost() -> None:
    found = [(0, 0, 10, 10, 0, 0.9), (50, 50, 60, 60, 0, 0.8)]
    assert voc(record(shot([(50, 50, 60, 60, 0)], found))).mean == 0.5
    scores = voc(record(shot([(50, 50, 60, 60, 0), (0, 0, 10, 10, 0, True)], found)))
    assert scores.mean == 1 and scores.true[0] == 1 and scores.false[0] == 0


def test_a_second_detection_of_an_object_is_false_even_beside_a_free_one() -> None:
    """VOC holds it against the object overlapped most; COCO would give it the free one."""
    true = [(0, 0, 10, 10, 0), (0, 3, 10, 13, 0)]
    scores = voc(record(shot(true, [(0, 0, 10, 10, 0, 0.9), (0, 1, 10, 11, 0, 0.8)])))
    assert scores.hits[0] == 1 and scores.false[0] == 1


def test_inclusive_edges() -> None:
    """Pixels 0..9 and 0..4: 50 of 100 pixels when the edge counts, 36 of 81 when it does not."""
    picture = shot([(0, 0, 9, 9, 0)], [(0, 0, 9, 4, 0, 0.9)])
    assert voc(record(picture), 0.5, inclusive=True).mean == 1
    assert voc(record(picture), 0.5).mean == 0


def test_levels_are_floating_point_tenths() -> None:
    """A recall of 3/5 is below 0.6000000000000001, as in the evaluators that papers used."""
    assert average_precision(np.array([0.6]), np.array([1.0]), "11") == pytest.approx(6 / 11)
