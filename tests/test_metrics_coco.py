"""COCO's measures equal pycocotools' to 1e-9: over real results, over drawn ones, and in the corners."""
from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from made_data import noise
from metrics_cases import coco_case, columns_of, drawn, record, reference, shot
from stemma.core.types import DataError, StemmaError
from stemma.data.open import open_dataset
from stemma.data.readers.points import PERSON
from stemma.engine.pictures.answers import write_coco
from stemma.metrics import Evaluator, coco
from stemma.metrics.detection import Kind, to_rles

KINDS: tuple[Kind, ...] = ("boxes", "masks", "keypoints")
EXACT = 1e-9


def agree(ours: coco.Scores, truth: dict[str, Any], results: list[dict[str, Any]], kind: Kind) -> None:
    ref = reference(truth, results, kind)
    np.testing.assert_allclose(list(ours.numbers().values()), ref.stats, rtol=0, atol=EXACT)
    np.testing.assert_allclose(ours.precision, ref.eval["precision"][:, :, ours.labels], rtol=0, atol=EXACT)
    np.testing.assert_allclose(ours.recall, ref.eval["recall"][:, ours.labels], rtol=0, atol=EXACT)
    for c, row in enumerate(ours.per_class().values()):
        part = ref.eval["precision"][:, :, c, 0, -1]
        assert np.isnan(row["AP"]) if np.isnan(part).all() else abs(row["AP"] - part[~np.isnan(part)].mean()) < EXACT


def by_columns(truth: dict[str, Any], results: list[dict[str, Any]], kind: Kind, **options: Any) -> coco.Scores:
    return coco.evaluate(*columns_of(truth, results, kind), kind, **options)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(12))
def test_drawn_results_equal_pycocotools(kind: Kind, seed: int) -> None:
    truth, results = coco_case(seed, kind)
    agree(by_columns(truth, results, kind), truth, results, kind)
    agree(coco.evaluate_files(truth, results, kind), truth, results, kind)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(5))
def test_files_in_any_order_with_more_fields(kind: Kind, seed: int) -> None:
    """A result with a box beside its mask has the size of the box, "ignore" gives way to "iscrowd",
    images and classes come unsorted."""
    truth, results = coco_case(seed, kind)
    r = np.random.default_rng(seed)
    for d in results:
        d.setdefault("bbox", [float(v) for v in r.integers(0, 120, 4)])
    for a in truth["annotations"]:
        a["ignore"] = int(r.integers(0, 2))
    for part in truth.values():
        r.shuffle(part)
    agree(coco.evaluate_files(truth, results, kind), truth, results, kind)


@pytest.mark.parametrize("kind", ("boxes", "masks"))
@pytest.mark.parametrize("seed", range(5))
def test_labels_aside_and_other_limits_equal_pycocotools(kind: Kind, seed: int) -> None:
    truth, results = coco_case(seed, kind)
    limits = (2, 10, 1000)
    ref = reference(truth, results, kind, limits, agnostic=True)
    ours = by_columns(truth, results, kind, limits=limits, agnostic=True)
    np.testing.assert_allclose(ours.recall, ref.eval["recall"], rtol=0, atol=EXACT)
    np.testing.assert_allclose(ours.precision, ref.eval["precision"], rtol=0, atol=EXACT)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_many_drawn_results_equal_pycocotools(kind: Kind) -> None:
    for seed in range(100, 600):
        truth, results = coco_case(seed, kind)
        agree(by_columns(truth, results, kind), truth, results, kind)


@pytest.mark.parametrize("seed", range(8))
def test_a_record_gives_what_its_columns_do(seed: int) -> None:
    rec = drawn(seed)
    truth: dict[str, Any] = {"images": [], "annotations": [],
                             "categories": [{"id": i, "name": n} for i, n in enumerate(rec.names)]}
    results = []
    for p in rec:
        truth["images"].append({"id": p.order, "height": 200, "width": 200, "file_name": ""})
        for b, label, crowd, area in zip(p.boxes, p.labels, p.crowd, p.area):
            box = [*b[:2], *(b[2:] - b[:2])]
            truth["annotations"].append({"id": len(truth["annotations"]) + 1, "image_id": p.order,
                                         "category_id": int(label), "bbox": [float(v) for v in box],
                                         "area": float(area), "iscrowd": int(crowd)})
        for b, label, score in zip(p.found, p.found_labels, p.scores):
            box = [*b[:2], *(b[2:] - b[:2])]
            results.append({"image_id": p.order, "category_id": int(label), "bbox": [float(v) for v in box],
                            "score": float(score)})
    sizes, truths, found = coco.columns(list(rec))
    agree(coco.evaluate(sizes, rec.names, truths, found), truth, results, "boxes")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("write", [str, lambda i: f"im{i:04d}", float])
def test_ids_may_be_text_and_what_is_not_there_is_filled_in(kind: Kind, write: Any) -> None:
    """pycocotools needs whole numbers, `area`, `iscrowd` and `num_keypoints`; what they would be is known."""
    truth, results = coco_case(3, kind)
    for a in truth["annotations"]:
        a["area"] = float(to_rles([a["segmentation"]])[0].area) if kind == "masks" else a["bbox"][2] * a["bbox"][3]
        a["iscrowd"] = 0
    want = coco.evaluate_files(truth, results, kind).numbers()
    words, said = json.loads(json.dumps((truth, results)))
    for im in words["images"]:
        im["id"] = write(im["id"])
    for row in (*words["annotations"], *said):
        row["image_id"] = write(row["image_id"])
    for a in words["annotations"]:
        for k in ("area", "iscrowd", "num_keypoints", "id"):
            a.pop(k, None)
    np.testing.assert_equal(coco.evaluate_files(words, said, kind).numbers(), want)


@pytest.mark.parametrize("change, field", [
    (lambda t, r: r[0].update(category_id=77), "category_id"), (lambda t, r: r[0].update(image_id="x"), "image_id"),
    (lambda t, r: r[0].update(bbox=[1, 2, 3]), "score or box"),
    (lambda t, r: r[0].update(score="high"), "score or box"),
    (lambda t, r: t["annotations"][0].update(iscrowd="perhaps"), "iscrowd"),
    (lambda t, r: t["annotations"][0].update(bbox=None), "bbox"), (lambda t, r: t.pop("images"), "images"),
    (lambda t, r: t["categories"][0].pop("name"), "categor"), (lambda t, r: r.insert(0, 3), "record 0"),
])
def test_what_cannot_be_measured_is_one_clear_line(change: Any, field: str) -> None:
    truth, results = coco_case(3, "boxes")
    change(truth, results)
    with pytest.raises(DataError, match=field) as wrong:
        coco.evaluate_files(truth, results)
    assert len(str(wrong.value).splitlines()) == 1


@pytest.mark.parametrize("mask", ["hm", {"size": [64, 64], "counts": "~~~"}, {"size": [9, 9], "counts": [81]},
                                  {"counts": [3]}, [[1, 2, 3, 4, 5]], 7])
def test_hotcocos_own_errors_name_the_files(mask: Any) -> None:
    truth, results = coco_case(3, "masks")
    results[0]["segmentation"] = mask
    try:
        coco.evaluate_files(truth, results, "masks")
    except DataError as wrong:
        assert "results" in str(wrong) and len(str(wrong).splitlines()) == 1


def test_crowds_may_be_said_in_words() -> None:
    truth, results = coco_case(4, "boxes")
    want = coco.evaluate_files(truth, results).numbers()
    for a in truth["annotations"]:
        a["iscrowd"] = {0: "0", 1: "true"}[a["iscrowd"]]
    np.testing.assert_equal(coco.evaluate_files(truth, results).numbers(), want)


# ---------------------------------------------------------------- folders


def labelled(root: Path, seed: int, images: int = 12) -> dict[str, Any]:
    """A COCO folder as people have them: image ids in no order, boxes of fractions that reach past the border by less
    than a pixel, areas beside a border of sizes, polygons, crowds, keypoints; the document."""
    r = np.random.default_rng(seed)
    doc: dict[str, Any] = {"images": [], "annotations": [], "categories": [
        {"id": 9, "name": "b"}, {"id": 2, "name": "a", "keypoints": list(PERSON), "skeleton": []}]}
    for i in r.permutation(images).tolist():
        noise(root / "images" / f"{i}.png", 150, 200, i)
        doc["images"].append({"id": i * 7 + 1, "file_name": f"{i}.png", "height": 150, "width": 200})
        for _ in range(int(r.integers(0, 6))):
            w, h = r.uniform(6, 60, 2)
            x, y = r.uniform(-0.9, 200.9 - w), r.uniform(-0.9, 150.9 - h)
            if r.random() < 0.3:
                w = h = 32.00001
            polygon = [x, y, x + w, y + h / 9, x + w, y + h, x, y + h]
            doc["annotations"].append({
                "id": len(doc["annotations"]) + 1, "image_id": i * 7 + 1, "category_id": int(r.choice([2, 9])), "bbox":
                [x, y, w, h], "area": w * h, "iscrowd": 0, "segmentation": [polygon], "num_keypoints": 17, "keypoints":
                np.stack([x + w * r.random(17), y + h * r.random(17), np.full(17, 2)], 1).reshape(-1).tolist(),
            })
    crowd = next(a for a in doc["annotations"] if a["category_id"] == 9)
    crowd |= {"iscrowd": 1, "segmentation": {"size": [150, 200], "counts": [4000, 6000, 20000]}, "area": 6000.0,
              "bbox": [26, 0, 41, 150]}
    (root / "annotations.json").write_text(json.dumps(doc))
    return doc


def guessed(truth: Any, r: np.random.Generator) -> dict[str, Any]:
    """What a model might say: the objects moved, some twice, in float32, with scores that are often equal."""
    from stemma.ops.masks import encode

    at = r.integers(0, len(truth.labels), 2 * len(truth.labels)) if len(truth.labels) else np.zeros(0, int)
    boxes = (truth.boxes[at] + r.normal(0, 2, (len(at), 4))).astype(np.float32)
    masks = [encode(np.roll(truth.masks[k], tuple(r.integers(-4, 5, 2)), (0, 1))) for k in at]
    points = truth.keypoints[at] + np.concatenate([r.normal(0, 2, (len(at), 17, 2)), np.zeros((len(at), 17, 1))], 2)
    labels = np.where(r.random(len(at)) < 0.9, truth.labels[at], 0)
    score = np.sort(r.choice([0.1, 0.3, 0.7, 0.9], len(at)).astype(np.float32))[::-1]
    return {"boxes": boxes, "scores": score, "labels": labels, "masks": masks, "keypoints": points.astype(np.float32)}


@pytest.mark.parametrize("seed", range(3))
def test_a_folder_is_measured_as_pycocotools_measures_its_files(tmp_path: Path, seed: int) -> None:
    """The way of `stemma evaluate DATA --out results.json`: what is measured on the folder is what its two files
    say."""
    doc = labelled(tmp_path, seed)
    data, r = open_dataset(tmp_path, "all"), np.random.default_rng(seed)
    predictions = []
    evaluators = {"boxes": Evaluator(data.info), "masks": Evaluator(data.info, "instances"),
                  "keypoints": Evaluator(data.info, "keypoints")}
    for i in r.permutation(len(data)).tolist():
        predictions.append({"index": i, **guessed(data.truth(i), r)})
        for evaluator in evaluators.values():
            evaluator.add(data.truth(i), predictions[-1], i)
    write_coco(tmp_path / "found.json", data, predictions, data.info)
    results = _load(tmp_path / "found.json")
    for kind, evaluator in evaluators.items():
        own = [{k: v for k, v in d.items() if k in ("image_id", "category_id", "score")
                or k == {"boxes": "bbox", "masks": "segmentation"}.get(kind, kind)}
               for d in results]  # a box beside a mask would set its size
        agree(evaluator.scores(kind), doc, own, kind)
    images = {im["id"]: im["file_name"] for im in _load(tmp_path / "found.images.json")["images"]}
    assert images == {im["id"]: im["file_name"] for im in doc["images"]}


# ---------------------------------------------------------------- real files


@pytest.fixture(scope="module")
def results_dir(shared_data: Path) -> Path:
    return shared_data / "eval_results" / "cocoapi" / "results"


def _load(path: Path) -> Any:
    return json.loads(path.read_text())


@pytest.mark.data
def test_fakebbox100(shared_data: Path, results_dir: Path) -> None:
    truth = _load(shared_data
                  / "eval_results/review_object_detection_metrics/tests/test_coco_eval/gts/sampled_gts_bbox_area.json")
    results = _load(results_dir / "instances_val2014_fakebbox100_results.json")
    scores = coco.evaluate_files(truth, results)
    numbers = scores.numbers()
    assert [round(numbers[k], 3) for k in ("AP", "AP50", "AP75")] == [0.504, 0.697, 0.572]
    agree(scores, truth, results, "boxes")


def _moved(rle: dict[str, Any], by: tuple[int, int]) -> np.ndarray:
    return np.roll(to_rles([rle])[0].decode(), by, (0, 1))


@pytest.mark.data
def test_fakesegm100_against_the_same_masks_moved(results_dir: Path) -> None:
    """Its ground truth is not at hand: each mask moved by some pixels stands in for it, some left out, some crowds,
    some of another class."""
    results = _load(results_dir / "instances_val2014_fakesegm100_results.json")
    r = np.random.default_rng(0)
    categories = sorted({d["category_id"] for d in results})
    images, annotations = {}, []
    for d in results[::2]:
        h, w = d["segmentation"]["size"]
        images[d["image_id"]] = {"id": d["image_id"], "height": h, "width": w, "file_name": ""}
        rle = to_rles(_moved(d["segmentation"], (int(r.integers(-12, 13)), int(r.integers(-12, 13))))[None])[0]
        annotations.append({
            "id": len(annotations) + 1, "image_id": d["image_id"], "category_id": d["category_id"] if r.random() < 0.9
            else categories[0], "segmentation": {"size": [h, w], "counts": rle.counts.decode()}, "area": rle.area,
            "bbox": [0, 0, 1, 1], "iscrowd": int(r.random() < 0.05),
        })
    truth = {"images": list(images.values()), "annotations": annotations,
             "categories": [{"id": c, "name": str(c)} for c in categories]}
    results = [d for d in results if d["image_id"] in images]
    scores = coco.evaluate_files(truth, results, "masks")
    assert 0.15 < scores.ap() < 0.6
    agree(scores, truth, results, "masks")


@pytest.mark.data
def test_fakesegm100_where_coco549_has_its_images(shared_data: Path, results_dir: Path) -> None:
    """Forty-five of its images are in coco549, with real polygons and crowds."""
    results = _load(results_dir / "instances_val2014_fakesegm100_results.json")
    asked = {d["image_id"] for d in results}
    truth: dict[str, Any] = {"images": [], "annotations": [], "categories": []}
    for split in ("train", "val"):
        data = _load(shared_data / f"coco549/annotations/instances_{split}2017.json")
        truth["categories"] = data["categories"]
        truth["images"] += [i for i in data["images"] if i["id"] in asked]
        truth["annotations"] += [a for a in data["annotations"] if a["image_id"] in asked]
    there = {i["id"] for i in truth["images"]}
    assert len(there) >= 40
    results = [d for d in results if d["image_id"] in there]
    scores = coco.evaluate_files(truth, results, "masks")
    assert scores.ap() > 0.2
    agree(scores, truth, results, "masks")


@pytest.mark.data
def test_fakekeypoints100_against_its_points_moved(results_dir: Path) -> None:
    results = _load(results_dir / "person_keypoints_val2014_fakekeypoints100_results.json")
    r = np.random.default_rng(0)
    annotations = []
    for d in results:
        p = np.array(d["keypoints"], float).reshape(-1, 3)
        p[:, :2] += r.normal(0, 5, (17, 2))
        p[:, 2] = r.integers(0, 3, 17) * (r.random() > 0.1)
        low, span = p[:, :2].min(0), np.ptp(p[:, :2], 0)
        annotations.append({
            "id": len(annotations) + 1, "image_id": d["image_id"], "category_id": 1, "bbox": [*low, *span],
            "area": float(span.prod() * 0.6), "iscrowd": int(r.random() < 0.05), "keypoints": p.reshape(-1).tolist(),
            "num_keypoints": int((p[:, 2] > 0).sum()),
        })
    images = [{"id": i, "height": 640, "width": 640, "file_name": ""} for i in {d["image_id"] for d in results}]
    truth = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "person"}]}
    scores = coco.evaluate_files(truth, results, "keypoints")
    assert 0.2 < scores.ap() < 0.9
    agree(scores, truth, results, "keypoints")


@pytest.mark.data
def test_coco549_keypoints_moved(shared_data: Path) -> None:
    truth = _load(shared_data / "coco549/annotations/person_keypoints_val2017.json")
    r = np.random.default_rng(0)
    results = []
    for a in truth["annotations"]:
        p = np.array(a["keypoints"], float).reshape(-1, 3)
        p[:, :2] += r.normal(0, 4, (17, 2))
        results.append({"image_id": a["image_id"], "category_id": 1, "keypoints": p.reshape(-1).tolist(),
                        "score": float(r.random())})
    agree(coco.evaluate_files(truth, results, "keypoints"), truth, results, "keypoints")


# ---------------------------------------------------------------- perfect, degenerate, by hand


def scores_of(*pictures: Any, **options: Any) -> coco.Scores:
    rec = record(*pictures)
    sizes, truths, found = coco.columns(list(rec))
    return coco.evaluate(sizes, rec.names, truths, found, **options)


def test_perfect() -> None:
    numbers = scores_of(shot([(0, 0, 20, 20, 0), (30, 30, 90, 90, 1)],
                             [(0, 0, 20, 20, 0, 0.9), (30, 30, 90, 90, 1, 0.8)])).numbers()
    # The interpolated precision divides by the count + 2.2e-16, as pycocotools does.
    assert all(abs(v - 1) < 1e-12 for k, v in numbers.items() if k not in ("AP_large", "AR_large"))
    assert np.isnan(numbers["AP_large"]) and np.isnan(numbers["AR_large"])


def test_degenerate() -> None:
    nothing = scores_of(shot()).numbers()
    assert all(np.isnan(v) for v in nothing.values())
    only_truth = scores_of(shot([(0, 0, 20, 20, 0)])).numbers()
    assert only_truth["AP"] == only_truth["AR100"] == 0
    only_found = scores_of(shot([], [(0, 0, 20, 20, 0, 0.9)])).numbers()
    assert all(np.isnan(v) for v in only_found.values())
    no_images = coco.evaluate([], ["a"], *coco.columns([])[1:]).numbers()
    assert all(np.isnan(v) for v in no_images.values())


def test_by_hand() -> None:
    """Two objects; hit, miss, hit: precision 1 up to recall .5 (51 levels), then 2/3 (50 levels)."""
    picture = shot([(0, 0, 20, 20, 0), (50, 50, 70, 70, 0)],
                   [(0, 0, 20, 20, 0, 0.9), (80, 0, 99, 20, 0, 0.8), (50, 50, 70, 70, 0, 0.7)])
    scores = scores_of(picture)
    assert abs(scores.ap() - (51 + 50 * 2 / 3) / 101) < 1e-12
    assert scores.ar(limit=1) == 0.5 and scores.ar(limit=10) == 1
    np.testing.assert_allclose(scores.curve(0)[[0, 50, 51, 100]], [1, 1, 2 / 3, 2 / 3])
    # An overlap of .6 counts at .5, .55 and .6: three thresholds of ten.
    assert abs(scores_of(shot([(0, 0, 10, 10, 0)], [(0, 0, 10, 6, 0, 0.5)])).ap() - 0.3) < 1e-12


def test_crowd_costs_nothing_and_gains_nothing() -> None:
    plain = [(0, 0, 20, 20, 0)]
    found = [(0, 0, 20, 20, 0, 0.5), (50, 50, 60, 60, 0, 0.9), (52, 52, 62, 62, 0, 0.8)]
    assert scores_of(shot(plain, found)).ap() < 0.4
    assert scores_of(shot([*plain, (45, 45, 90, 90, 0, True)], found)).ap() > 1 - 1e-12


def test_labels_aside() -> None:
    wrong = shot([(0, 0, 20, 20, 0)], [(0, 0, 20, 20, 1, 0.9)])
    assert scores_of(wrong).ap() == 0
    assert scores_of(wrong, agnostic=True).ap() > 1 - 1e-12


# ---------------------------------------------------------------- mistakes


def test_bad_columns_are_refused() -> None:
    sizes, truths, found = coco.columns([shot([(0, 0, 2, 2, 0)], [(0, 0, np.nan, 2, 0, 0.5)])])
    with pytest.raises(StemmaError, match="NaN"):
        coco.evaluate(sizes, ["a"], truths, found)
    sizes, truths, found = coco.columns([shot([(0, 0, 2, 2, 0)], [(0, 0, 2, 2, 4, 0.5)])])
    with pytest.raises(StemmaError, match="'label' reaches"):
        coco.evaluate(sizes, ["a"], truths, found)
    with pytest.raises(StemmaError, match="no masks"):
        coco.evaluate(sizes, ["a", "b", "c", "d", "e"], truths, found, "masks")


def test_bad_files_are_named(tmp_path: Path) -> None:
    truth = {"images": [{"id": 1, "height": 9, "width": 9}], "categories": [{"id": 1, "name": "a"}], "annotations": []}
    good = {"image_id": 1, "category_id": 1, "bbox": [0, 0, 1, 1], "score": 0.5}
    with pytest.raises(DataError, match="record 1, field 'image_id'"):
        coco.evaluate_files(truth, [good, good | {"image_id": 7}])
    with pytest.raises(DataError, match="field 'score'"):
        coco.evaluate_files(truth, [{"image_id": 1, "category_id": 1, "bbox": [0, 0, 1, 1]}])
    with pytest.raises(DataError, match="NaN"):
        coco.evaluate_files(truth, [good | {"score": float("nan")}])
    (tmp_path / "half.json").write_text('{"images": [')
    with pytest.raises(DataError, match="half.json"):
        coco.evaluate_files(tmp_path / "half.json", [])
    (tmp_path / "deep.json").write_text("[" * 100_000)
    with pytest.raises(DataError, match="deep.json"):
        coco.evaluate_files(tmp_path / "deep.json", [])


def test_without_hotcoco_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "hotcoco", None)
    with pytest.raises(StemmaError, match="pip install 'hotcoco"):
        coco.evaluate([], ["a"], *coco.columns([])[1:])
    with pytest.raises(StemmaError, match="pip install 'hotcoco"):
        coco.evaluate_files({}, [])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="fork is POSIX's")
def test_a_forked_process_is_told_that_it_cannot_measure(tmp_path: Path) -> None:
    """hotcoco 1.3.0 shares its work among threads that a fork leaves behind."""
    at, box = np.zeros(1, np.int64), np.array([[0.0, 0.0, 10.0, 10.0]])
    one = ([(32, 32)], ["thing"], coco.Truths(at, at, box, np.array([100.0]), np.array([False])),
           coco.Found(at, at, box, np.array([0.5])))
    assert coco.evaluate(*one).names == ("thing",)
    pid = os.fork()
    if pid == 0:
        try:
            coco.evaluate(*one)
        except StemmaError as error:
            (tmp_path / "said").write_text(str(error))
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    assert "forked" in (tmp_path / "said").read_text() and "get_context('spawn')" in (tmp_path / "said").read_text()


def test_other_keypoints_take_their_sigmas() -> None:
    """OKS of one point off by d in an object of area s^2: exp(-d^2 / (2 s^2 (2 sigma)^2)), COCO's definition."""
    point = np.array([[[10.0, 10.0, 2.0]]])
    truths = coco.Truths(np.array([0]), np.array([0]), np.array([[0.0, 0, 20, 20]]), np.array([400.0]),
                         np.array([False]), keypoints=point)
    found = coco.Found(np.array([0]), np.array([0]), np.zeros((1, 4)), np.array([0.5]),
                       keypoints=point + [[[1.0, 0, 0]]])

    def ar(sigma: float) -> float:
        return coco.evaluate([(20, 20)], ["a"], truths, found, "keypoints", sigmas=(sigma,)).ar()

    for sigma in (0.02, 0.03, 0.05):
        oks = np.exp(-1 / (2 * 400 * (2 * sigma) ** 2))
        assert abs(ar(sigma) - np.mean(oks >= coco.THRESHOLDS)) < 1e-12
    with pytest.raises(StemmaError, match="2 OKS sigmas for 1"):
        coco.evaluate([(20, 20)], ["a"], truths, found, "keypoints", sigmas=(0.1, 0.1))
