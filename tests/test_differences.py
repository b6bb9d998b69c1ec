"""Where evaluators differ on valid files (docs/differences.md), and by which rule another program's number comes out."""
from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine_help import ROOT
from evaluators import LIBRARIES, PANOPTIC, PanopticFiles, measured, panoptic_metric, quality, version
from stemma.core.types import StemmaError
from stemma.metrics import differences, panoptic_differences
from stemma.metrics.detection import Picture, Record

Files = tuple[dict[str, Any], list[dict[str, Any]]]


def files(side: int = 40) -> Files:
    """Six boxes of one class in two pictures, and detections of them, best first."""
    truth = [{"id": i, "image_id": 1 + i % 2, "category_id": 1, "bbox": [10 + 25 * i, 10, 20, side], "area": 20.0 * side,
              "iscrowd": 0} for i in range(1, 7)]
    images = [{"id": i, "width": 200, "height": 200, "file_name": f"{i}.jpg"} for i in (1, 2)]
    found = [{"image_id": a["image_id"], "category_id": 1, "bbox": a["bbox"], "score": 0.9 - 0.05 * k}
             for k, a in enumerate(truth)]
    return {"images": images, "annotations": truth, "categories": [{"id": 1, "name": "cell"}]}, found


def changed(key: str, value: Any, which: slice = slice(None), side: int = 40) -> Files:
    """`files` whose annotations say another `key`; None: do not say it."""
    truth, found = files(side)
    for a in truth["annotations"][which]:
        a |= {key: value}
        if value is None:
            del a[key]
    return truth, found


def overlapping(shares: list[float]) -> Files:
    """Detections that are lower than the objects: their overlap is that share."""
    truth, found = files()
    for d, share in zip(found, shares, strict=True):
        d["bbox"] = [*d["bbox"][:3], 40 * share]
    return truth, found


CASES: dict[str, Callable[[], Files]] = {
    "id-0": lambda: changed("id", 0, slice(1)), "shared-id": lambda: changed("id", 1, slice(2)),
    "no-area": lambda: changed("area", None, side=100), "no-iscrowd": lambda: changed("iscrowd", None),
    "limits-to-50": files, "exact-thresholds": lambda: overlapping([0.6, 0.65, 0.7, 0.8, 0.9, 0.95]),
    "exactly-half": lambda: overlapping([0.5] * 6), "area-beside-box": lambda: changed("area", 3200.0),
    "ignore-key": lambda: changed("ignore", 1, slice(1)),
}


def people(points: int = 17) -> Files:
    """Six people in two pictures with all their points labelled, found a little to the right."""
    truth, found = files()
    rng = np.random.default_rng(0)
    truth["categories"] = [{"id": 1, "name": "person", "keypoints": [f"p{i}" for i in range(points)], "skeleton": []}]
    for a, d in zip(truth["annotations"], found, strict=True):
        x, y, w, h = a["bbox"]
        at = np.stack([x + w * rng.random(points), y + h * rng.random(points), np.full(points, 2)], 1)
        a |= {"keypoints": at.reshape(-1).tolist(), "num_keypoints": points, "area": 3200.0}
        d |= {"keypoints": (at + [2.0, 0, 0]).reshape(-1).tolist()}
        del d["bbox"]
    return truth, found


def bare_people(counted: bool) -> Files:
    """`people`, of whom two have no labelled point; counted: `num_keypoints` says so."""
    truth, found = people()
    for a in truth["annotations"]:
        a |= {"keypoints": [0] * 51, "num_keypoints": 0} if a["id"] < 3 else {}
        if not counted:
            del a["num_keypoints"]
    return truth, found


POINT_CASES: dict[str, Callable[[], Files]] = {
    "no-num-keypoints": lambda: bare_people(False), "no-labelled-points": lambda: bare_people(True),
    "five-points": lambda: people(5),
}


def panoptic(case: str) -> tuple[PanopticFiles, PanopticFiles]:
    """A cat, found all but a column, and sky, found; and what the case adds."""
    maps = np.zeros((2, 40, 60), np.int64)
    rows: tuple[list[dict[str, Any]], list[dict[str, Any]]] = ([], [])

    def put(which: int, number: int, category: int, y: int, x: int, h: int, w: int, crowd: int = 0) -> None:
        maps[which, y : y + h, x : x + w] = number
        rows[which].append({"id": number, "category_id": category, "iscrowd": crowd})

    put(0, 1, 1, 2, 2, 10, 10)
    put(1, 1, 1, 2, 2, 10, 9)
    for which in (0, 1):
        put(which, 2, 3, 25, 0, 15, 60)
    if case == "panoptic-crowds":
        for k, x in enumerate((20, 40)):
            put(0, 10 + k, 1, 2, x, 10, 10, 1)
            put(1, 10 + k, 1, 2, x, 10, 10)
    elif case == "panoptic-missed":
        put(0, 10, 2, 2, 20, 10, 10)
    elif case == "panoptic-void":
        put(1, 10, 1, 14, 20, 8, 10)
    elif case == "everything":  # of each two or three, sky in two pieces, and a dog found where a crowd of cats is
        for k, x in enumerate((16, 30)):
            put(0, 10 + k, 1, 2, x, 10, 10, 1)
            put(1, 10 + k, 1, 2, x, 10, 10)
        put(0, 20, 2, 2, 44, 10, 8)
        for k, (category, x) in enumerate(((1, 2), (2, 14), (2, 20))):
            put(1, 21 + k, category, 14, x, 8, 5)
        put(0, 30, 1, 14, 45, 10, 10, 1)
        put(1, 30, 2, 14, 45, 10, 10)
        put(0, 31, 2, 14, 30, 10, 10)
        put(1, 31, 2, 14, 30, 10, 6)
        put(1, 32, 3, 25, 50, 15, 10)
    return (maps[0], rows[0]), (maps[1], rows[1])


PANOPTIC_CASES = ("panoptic-column", "panoptic-crowds", "panoptic-missed", "panoptic-void")
PAGE = (ROOT / "docs" / "differences.md").read_text(encoding="utf-8")
ROWS = {cells[0]: cells[1:] for line in PAGE.splitlines()
        if (cells := [c.strip() for c in line.strip("| ").split("|")])[0] in (*CASES, *POINT_CASES, *PANOPTIC_CASES)}
HEADING = dict(re.findall(r"(?<=\| )(pycocotools|faster-coco-eval|hotcoco|torchmetrics|panopticapi-lite) ([\d.]+)(?= )",
                          PAGE))


def test_the_page_has_a_row_for_each_case() -> None:
    assert set(ROWS) == {*CASES, *POINT_CASES, *PANOPTIC_CASES} and set(HEADING) == {*LIBRARIES, *PANOPTIC}
    assert all(f"- **{case}**: " in PAGE for case in ROWS)


def agree(case: str, libraries: Sequence[str], measure: Callable[[str], dict[str, float] | str]) -> dict[str, str]:
    """The cells of a case, after holding each program of the heading's version, and what is here, to its own."""
    number, *cells = ROWS[case]
    said = dict(zip((*libraries, "right", "here"), cells, strict=True))
    for library in (*libraries, "here"):
        if library == "here" or version(library) == HEADING[library]:
            value = measure(library)
            told = value if isinstance(value, str) else f"{value[number]:.4f}".replace("0.", ".", 1)
            assert told == said[library], library
    return said


@pytest.mark.parametrize("case", CASES)
def test_each_cell_is_what_the_program_says(case: str, tmp_path: Path) -> None:
    limits = [1, 10, 50] if case == "limits-to-50" else None
    truth, found = CASES[case]()
    said = agree(case, LIBRARIES, lambda library: measured(library, truth, found, tmp_path, limits))
    assert said["here"] == said["right"]


@pytest.mark.parametrize("case", POINT_CASES)
def test_each_cell_of_people_is_what_the_program_says(case: str, tmp_path: Path) -> None:
    truth, found = POINT_CASES[case]()
    said = agree(case, LIBRARIES, lambda library: measured(library, truth, found, tmp_path, kind="keypoints"))
    assert said["right"] in (said["here"], "–"), "where the published rules say something"


@pytest.mark.parametrize("case", PANOPTIC_CASES)
def test_each_cell_of_panoptic_quality_is_what_the_program_says(case: str, tmp_path: Path) -> None:
    """panopticapi-lite is not among the extras: it is held where it is installed."""
    truth, found = panoptic(case)
    categories = [{"id": 1, "name": "cat", "isthing": 1}, {"id": 2, "name": "dog", "isthing": 1},
                  {"id": 3, "name": "sky", "isthing": 0}]
    said = agree(case, PANOPTIC, lambda library: quality(library, truth, found, tmp_path, categories))
    assert said["here"] == said["right"]


# ---------------------------------------------------------------- whose number is it


def record(seed: int = 0, frequency: tuple[str, ...] = ()) -> Record:
    """Drawn objects with crowds and sizes that are not their boxes', and detections near them; with a `frequency` of
    federated data, of which no class is marked everywhere."""
    rng = np.random.default_rng(seed)
    out = Record(("a", "b"), frequency=frequency)
    searched = (np.zeros(0, np.int64), np.array([0, 1])) if frequency else (None, None)
    for order in range(12):
        corner, size = rng.uniform(0, 100, (8, 2)), rng.uniform(8, 90, (8, 2))
        boxes = np.concatenate([corner, corner + size], 1)
        found = np.concatenate([boxes + rng.normal(0, 3, boxes.shape), boxes[:4] + 40])
        found[:, 2:] = np.maximum(found[:, 2:], found[:, :2] + 1)
        labels = rng.integers(0, 2, 8)
        out.add(Picture(order, (200, 200), boxes, labels, np.arange(8) == 3, size.prod(1) * 0.4, found,
                        rng.permutation(120)[:12] / 120 + 0.003, np.concatenate([labels, 1 - labels[:4]]),
                        absent=searched[0], partial=searched[1]))
    return out


@pytest.mark.parametrize("rule", differences.RULES, ids=lambda r: r.name)
def test_numbers_made_by_a_rule_are_known_as_its(rule: differences.Rule) -> None:
    """By their six digits in a file; where two rules say the same on these detections both are named."""
    one = record(frequency=("r", "f") if rule.name.startswith("LVIS") else ())
    theirs = {k: round(v, 6) for k, v in rule.numbers(one, "boxes").items() if not np.isnan(v)}
    said = differences.explain(one, {"boxes": theirs})
    same = [r["rule"] for r in said if r["same"]]
    assert rule.name in same and said[0]["same"] and said[0]["apart"] < 1e-5
    assert [r["apart"] for r in said if not r["same"]] == sorted(r["apart"] for r in said if not r["same"])
    if rule.name in ("crowds are objects like others", "sizes by the box, not by `area`", "classes do not count",
                     "VOC, 11 points", "detections below a score of 0.25 left out"):
        assert same == [rule.name]


def test_the_sigmas_of_other_points_are_known(tmp_path: Path) -> None:
    """hotcoco's number of people of five points comes out by the first of COCO's sigmas."""
    truth, found = people(5)
    theirs = measured("hotcoco", truth, found, tmp_path, kind="keypoints")
    assert isinstance(theirs, dict)
    out = Record(("person",), ("boxes", "keypoints"))
    for i in (1, 2):
        there, said = ([r for r in rows if r["image_id"] == i] for rows in (truth["annotations"], found))
        boxes = np.array([[x, y, x + w, y + h] for x, y, w, h in (r["bbox"] for r in there)], float)
        at = [np.array([r["keypoints"] for r in rows], float).reshape(3, 5, 3) for rows in (there, said)]
        out.add(Picture(i, (200, 200), boxes, np.zeros(3, np.int64), np.zeros(3, bool), np.full(3, 3200.0), boxes,
                        np.array([d["score"] for d in said]), np.zeros(3, np.int64), keypoints=at[0],
                        found_keypoints=at[1]))
    rows = differences.explain(out, {"keypoints": {k: theirs[k] for k in ("AP", "AP50", "AP75")}})
    assert "the first of COCO's sigmas" in [r["rule"] for r in rows if r["same"]]
    assert "one sigma, .05, for every keypoint" not in [r["rule"] for r in rows if r["same"]]


def test_what_torchmetrics_says_comes_out_by_its_thresholds(tmp_path: Path) -> None:
    """The whole way, from its own numbers: .4446 where COCO's rules say .4893."""
    truth, found = CASES["exact-thresholds"]()
    theirs = measured("torchmetrics", truth, found, tmp_path)
    assert isinstance(theirs, dict)
    file = tmp_path / "theirs.json"
    file.write_text(json.dumps({"map": theirs["AP"], "map_50": theirs["AP50"], "map_large": -1.0}))
    out = Record(("cell",))
    for i in (1, 2):
        there = [a for a in truth["annotations"] if a["image_id"] == i]
        said = [d for d in found if d["image_id"] == i]
        corners = [np.array([[x, y, x + w, y + h] for x, y, w, h in (r["bbox"] for r in rows)]) for rows in (there, said)]
        out.add(Picture(i, (200, 200), corners[0], np.zeros(3, np.int64), np.zeros(3, bool), np.full(3, 800.0),
                        corners[1], np.array([d["score"] for d in said]), np.zeros(3, np.int64)))
    said = differences.explain(out, differences.read(file))
    assert said[0]["rule"] == "thresholds of IoU in float32" and said[0]["same"]
    ours = next(r for r in said if r["rule"] == "COCO's rules, as here")
    assert not ours["same"] and ours["numbers"]["AP"] == pytest.approx([0.489274, 0.444554], abs=1e-6)


CATEGORIES = [{"id": 1, "name": "cat", "isthing": 1}, {"id": 2, "name": "dog", "isthing": 1},
              {"id": 3, "name": "sky", "isthing": 0}, {"id": 4, "name": "road", "isthing": 0}]


@pytest.mark.parametrize("rule", panoptic_differences.RULES, ids=lambda r: r.name)
def test_panoptic_numbers_made_by_a_rule_are_known_as_its(rule: panoptic_differences.Rule) -> None:
    """Crowds, void, a missed segment and stuff in pieces at once: no two rules say the same of them."""
    metric = panoptic_metric(*panoptic("everything"), CATEGORIES)
    theirs = {k: round(v, 6) for k, v in rule.numbers(metric).items()}
    said = differences.explain(None, {"panoptic": theirs}, metric)
    assert [r["rule"] for r in said if r["same"]] == [rule.name] and said[0]["rule"] == rule.name
    ours = {k: v for k, v in metric.result().items() if k in theirs}
    assert panoptic_differences.RULES[0].numbers(metric) == pytest.approx(ours, abs=1e-12)


@pytest.mark.parametrize("library", [x for x in PANOPTIC if version(x) or x != "panopticapi-lite"])
def test_what_a_program_says_of_segments_comes_out_by_its_rule(library: str, tmp_path: Path) -> None:
    """panopticapi-lite is not among the extras: it is held where it is installed."""
    truth, found = panoptic("everything")
    theirs = quality(library, truth, found, tmp_path, CATEGORIES)
    assert isinstance(theirs, dict)
    said = differences.explain(None, {"panoptic": theirs}, panoptic_metric(truth, found, CATEGORIES))
    assert library in said[0]["who"] and said[0]["apart"] < 1e-6 and not said[1]["same"]
    assert not next(r for r in said if r["rule"].startswith("the paper's"))["same"]


def test_panoptic_numbers_are_read_by_the_names_that_programs_give(tmp_path: Path) -> None:
    wanted = {"PQ": 0.5, "PQ_things": 0.6, "RQ_stuff": 0.7}
    for told in ({"All": {"pq": 0.5, "n": 9}, "Things": {"pq": 0.6}, "Stuff": {"rq": 0.7, "n": 4}},
                 {"panoptic_seg": {"PQ": 50.0, "PQ_th": 60.0, "RQ_st": 70.0}}, wanted,
                 {"coco_panoptic/PQ": 50.0, "coco_panoptic/PQ_th": 60.0, "coco_panoptic/RQ_st": 70.0}):
        (tmp_path / "theirs.json").write_text(json.dumps(told))
        assert differences.read(tmp_path / "theirs.json") == {"panoptic": pytest.approx(wanted)}
    with pytest.raises(StemmaError, match="their numbers are of panoptic, and what is measured here is boxes"):
        differences.explain(record(), {"panoptic": wanted})


@pytest.mark.parametrize(("text", "wanted"), [
    ("[0.4, 0.6, 0.5, 0.1, 0.2, 0.3, 0.3, 0.4, 0.45, -1, 0.2, 0.3]", {"boxes": {"AP": 0.4, "AP75": 0.5, "AR100": 0.45}}),
    ('{"bbox": {"AP": 41.2, "AP50": 63.0, "APs": 20.5}, "segm": {"AP": 38.1}}',
     {"boxes": {"AP": 0.412, "AP50": 0.63, "AP_small": 0.205}, "masks": {"AP": 0.381}}),
    ('{"coco/bbox_mAP": 0.4, "coco/bbox_mAP_50": 0.6, "coco/segm_mAP_s": 0.1, "epoch": 3}',
     {"boxes": {"AP": 0.4, "AP50": 0.6}, "masks": {"AP_small": 0.1}}),
    ('{"metrics/mAP50(B)": 0.6, "metrics/mAP50-95(B)": 0.4, "metrics/mAP50(M)": 0.5, "fitness": 0.42}',
     {"boxes": {"AP": 0.4, "AP50": 0.6}, "masks": {"AP50": 0.5}}),
    ('{"map": 0.4, "map_50": 0.6, "mar_100": 0.5, "map_large": -1.0, "classes": [0, 1]}',
     {"boxes": {"AP": 0.4, "AP50": 0.6, "AR100": 0.5}}),
])
def test_numbers_are_read_by_the_names_that_programs_give(text: str, wanted: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "theirs.json").write_text(text)
    read = differences.read(tmp_path / "theirs.json")
    assert set(read) == set(wanted)
    for kind, numbers in wanted.items():
        got = read[kind]
        assert {k: got[k] for k in numbers} == pytest.approx(numbers)
        assert all(0 <= v <= 1 for v in got.values())


@pytest.mark.parametrize("text", ["", "{}", "[1, 2]", '{"loss": 0.3}', "7", '{"AP": true}', '{"AP": "good"}'])
def test_a_file_without_numbers_is_told_in_a_line(text: str, tmp_path: Path) -> None:
    (tmp_path / "theirs.json").write_text(text)
    with pytest.raises(StemmaError, match="theirs.json"):
        differences.read(tmp_path / "theirs.json")
    with pytest.raises(StemmaError, match="their numbers are of masks, and what is measured here is boxes"):
        differences.explain(record(), {"masks": {"AP": 0.3}})


@pytest.mark.parametrize("paper", ["retinanet", "panoptic-fpn"])
def test_numbers_of_a_system_are_explained_where_it_is_measured(paper: str, tmp_path: Path) -> None:
    """Its own numbers, written as another program's, come out by the rules that hold here."""
    import stemma

    data = stemma.open_dataset("scenes:64:6", "val")
    model = stemma.build(paper, preset="small", sets={"recipe.resize.size": 64}, info=data.info)
    first = stemma.evaluate(model, data, limit=4)
    theirs = {k: v for k, v in first.items() if k in ("AP", "AP50", "PQ", "SQ", "RQ_stuff") and v is not None}
    (tmp_path / "theirs.json").write_text(json.dumps(theirs))
    said = stemma.evaluate(model, data, limit=4, explain_difference=tmp_path / "theirs.json")["explained"]
    kinds = {"boxes"} if paper == "retinanet" else {"panoptic"}
    assert theirs and kinds <= {r["kind"] for r in said}
    assert any(r["same"] and r["rule"].endswith("as here") for r in said if r["kind"] in kinds)
