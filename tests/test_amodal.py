"""What is hidden: files that say it, measures by occlusion and of order, pictures, and the papers that learn it."""
from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import stemma
from learning import Learned
from made_data import noise
from stemma.core.types import Batch, Classes, DataError, Info, StemmaError, Targets
from stemma.data.convert import convert
from stemma.data.doctor import examine
from stemma.data.loader import Loader
from stemma.data.open import open_dataset, open_split
from stemma.data.readers import rle
from stemma.data.readers.amodal import annotated
from stemma.data.readers.coco import write_coco, write_coco_a
from stemma.data.scenes import Scenes
from stemma.engine.pictures import draw
from stemma.engine.pictures.answers import coco_entries, to_file
from stemma.engine.pictures.trainer import Trainer
from stemma.metrics import Evaluator
from stemma.metrics.amodal import CRITERIA, agreement, hidden, matched, occlusion
from stemma.ops.depth import depth_pairs, front_first
from stemma.ops.masks import bounds, crop
from stemma.papers.localization import amodal_instance, deepmask, semantic_amodal
from stemma.parts.windows.complete import Grow, Paste, read_in
from stemma.parts.windows.patches import around
from stemma.skeletons.complete import Completion, CompletionModel

torch.set_num_threads(1)
H, W = 40, 60


def square(x1: int, y1: int, x2: int, y2: int, h: int = H, w: int = W) -> np.ndarray:
    m = np.zeros((h, w), bool)
    m[y1:y2, x1:x2] = True
    return m


def a_scene() -> tuple[np.ndarray, np.ndarray]:
    """(visible, amodal) of three squares: 0 before 1 before 2."""
    whole = np.stack([square(5, 5, 25, 25), square(15, 10, 40, 30), square(35, 8, 55, 35)])
    return np.stack([whole[0], whole[1] & ~whole[0], whole[2] & ~whole[1]]), whole


# ---------------------------------------------------------------- order and measures


def test_depth_pairs_follow_from_the_masks_and_an_order_from_the_pairs() -> None:
    visible, whole = a_scene()
    assert depth_pairs(visible, whole).tolist() == [[0, 1], [1, 2]]
    assert front_first(range(3), [(1, 2), (0, 1)]) == ([0, 1, 2], [])
    assert front_first(range(4), [(1, 2), (2, 3), (3, 1)]) == ([0], [1, 2, 3])
    np.testing.assert_allclose(occlusion(visible, whole), [0, 150 / 500, 100 / 540])


@pytest.mark.oracle("the drawn scenes' own order of painting", "semantic_amodal", how="the same pairs")
def test_scenes_are_seen_in_the_order_in_which_they_were_painted() -> None:
    """Whichever of two was painted later hides the other where both are."""
    data, count = Scenes(30, size=96, seed=2), 0
    for i in range(len(data)):
        s = data.truth(i)
        assert s.masks is not None and s.amodal is not None and not (s.masks & ~s.amodal).any()
        for front, back in depth_pairs(s.masks, s.amodal).tolist():
            common = s.amodal[front] & s.amodal[back]
            assert (s.masks[front] & common).sum() > (s.masks[back] & common).sum()
            count += 1
    assert count > 20


def said(masks: list[np.ndarray], scores: list[float], visible: list[np.ndarray] | None = None) -> dict[str, Any]:
    boxes = bounds(torch.from_numpy(np.stack(masks))).numpy()
    out: dict[str, Any] = {"boxes": boxes, "scores": np.array(scores), "labels": np.zeros(len(masks), int),
                           "masks": [rle.encode(m) for m in masks]}
    return out if visible is None else out | {"visible": [rle.encode(m) for m in visible]}


def sample_of(visible: np.ndarray, whole: np.ndarray, **extra: Any) -> Any:
    n = len(whole)
    return stemma.core.types.Sample(
        None, (H, W), bounds(torch.from_numpy(visible)).numpy(), np.zeros(n, np.int64), np.zeros(n, bool),
        visible.sum((1, 2)).astype(np.float32), masks=visible, amodal=whole, extra=extra)


def order_slowly(visible: np.ndarray, whole: np.ndarray, found: dict[str, Any], t: float) -> dict[str, float]:
    """The order metric as amodaleval says it, with loops over pixels."""
    masks = [rle.decode(m, H, W) for m in found["masks"]]
    seen = [rle.decode(m, H, W) for m in found["visible"]]
    ranked = sorted(range(len(masks)), key=lambda k: -found["scores"][k])
    taken: dict[int, int] = {}
    for d in ranked:
        best, at = t, None
        for g in range(len(whole)):
            both, either = (masks[d] & whole[g]).sum(), (masks[d] | whole[g]).sum()
            if g not in taken and both / either >= best:
                best, at = both / either, g
        if at is not None:
            taken[at] = d
    pairs = depth_pairs(visible, whole).tolist()
    right = dict.fromkeys(CRITERIA, 0)
    for front, back in pairs:
        if front not in taken or back not in taken:
            continue
        a, b = taken[front], taken[back]
        pixels = [(y, x) for y in range(H) for x in range(W) if masks[a][y, x] and masks[b][y, x]]
        if not pixels:
            continue
        lost = [sum(not seen[d][y, x] for y, x in pixels) for d in (a, b)]
        top = [min(y for y in range(H) if masks[d][y].any()) for d in (a, b)]
        surer = found["scores"][a] > found["scores"][b]
        right["score"] += surer
        right["area"] += masks[a].sum() < masks[b].sum()
        right["y"] += top[0] > top[1]
        right["invisible"] += lost[0] < lost[1] if sum(lost) else surer
        right["oracle"] += 1
    return {c: n / len(pairs) for c, n in right.items()}


@pytest.mark.oracle("the order metric restated on five regions", "semantic_amodal", how="the same shares")
def test_the_order_of_five_regions_by_each_criterion() -> None:
    rng = np.random.default_rng(0)
    sums = dict.fromkeys(CRITERIA, 0.0)
    for _ in range(12):
        corner = np.stack([rng.integers(0, 30, 5), rng.integers(0, 15, 5)], 1)
        side = rng.integers(12, 25, (5, 2))
        whole = np.stack([square(x, y, x + w, y + h) for (x, y), (w, h) in zip(corner, side)])
        visible = np.stack([m & ~whole[:k].any(0) for k, m in enumerate(whole)])
        moved = [np.roll(m, int(rng.integers(-2, 3)), 1) for m in whole]
        seen = [m & ~np.any([moved[j] for j in range(k)], axis=0) if k and rng.random() < 0.7 else m
                for k, m in enumerate(moved)]
        found = said(moved, rng.random(5).round(3).tolist(), seen)
        for t, threshold in ((0, 0.5), (4, 0.7)):
            got = hidden(sample_of(visible, whole), found)
            want = order_slowly(visible, whole, found, threshold)
            assert len(got.pairs) and {c: got.right[c][t].mean() for c in CRITERIA} == pytest.approx(want)
            sums = {c: sums[c] + want[c] for c in CRITERIA}
    assert sums["oracle"] > max(sums[c] for c in CRITERIA if c != "oracle") and min(sums.values()) > 0


def recall_slowly(pictures: list[tuple[Any, dict[str, Any]]], low: float, high: float, t: float) -> float:
    """Recall of objects whose occlusion lies in (low, high]; others may be matched, and then do not count."""
    hit = count = 0
    for truth, found in pictures:
        rates = occlusion(truth.masks, truth.amodal)
        iou = np.array([[(rle.decode(m, H, W) & g).sum() / (rle.decode(m, H, W) | g).sum() for g in truth.amodal]
                        for m in found["masks"]])[np.argsort(-found["scores"], kind="stable")]
        inside = (rates > low) & (rates <= high)
        free = np.ones(len(rates), bool)
        for row in iou:  # COCO: an object that counts is preferred to one that is ignored
            for group in (inside, ~inside):
                best = np.where(free & group, row, -1)
                if best.max() >= t:
                    free[best.argmax()] = False
                    hit += int(inside[best.argmax()])
                    break
        count += int(inside.sum())
    return hit / count


@pytest.mark.oracle("brute-force matching by degree of occlusion", "semantic_amodal")
def test_recall_by_occlusion_ignores_and_does_not_delete() -> None:
    rng = np.random.default_rng(1)
    pictures, evaluator = [], Evaluator(Scenes(1).info, "amodal")
    for i in range(10):
        corner = np.stack([rng.integers(0, 35, 5), rng.integers(0, 20, 5)], 1)
        side = rng.integers(10, 22, (5, 2))
        whole = np.stack([square(x, y, x + w, y + h) for (x, y), (w, h) in zip(corner, side)])
        visible = np.stack([m & ~whole[:k].any(0) for k, m in enumerate(whole)])
        whole, visible = whole[visible.any((1, 2))], visible[visible.any((1, 2))]
        moved = [np.roll(m, int(rng.integers(-3, 4)), 1) for m in whole]
        truth, found = sample_of(visible, whole), said(moved, rng.random(len(moved)).round(3).tolist())
        pictures.append((truth, found))
        evaluator.add(truth, found, i)
    r = evaluator.result()
    for name, low, high in (("none", -1.0, 0.0), ("partial", 0.0, 0.25), ("heavy", 0.25, 1.0)):
        want = np.mean([recall_slowly(pictures, low, high, t) for t in np.linspace(0.5, 0.95, 10)])
        assert r[f"mask_AR100_{name}"] == pytest.approx(want, abs=1e-9), name
    assert set(r) >= {"mask_AP", "mask_AR10", "mask_AR1000", "order_invisible"} and "AP" not in r


def test_recall_of_things_and_of_stuff_apart() -> None:
    """As onlyThings of amodaleval: the other kind is ignored, so that what finds it costs nothing."""
    visible, whole = a_scene()
    truth = sample_of(visible, whole)
    truth.labels = np.array([0, 0, 1])
    classes = Classes(("thing", "stuff"), things=(True, False))
    evaluator = Evaluator(Info("two", "made", classes, ("boxes", "masks", "amodal")), "amodal")
    evaluator.add(truth, said([whole[0], whole[2]], [0.9, 0.8]), 0)
    r = evaluator.result()
    assert r["mask_AR100_things"] == pytest.approx(0.5) and r["mask_AR100_stuff"] == 1.0
    assert r["mask_AR1000_things"] == pytest.approx(0.5)
    plain = Evaluator(Scenes(1).info, "amodal")
    plain.add(sample_of(visible, whole), said(list(whole), [0.9, 0.8, 0.7]), 0)
    assert "mask_AR100_things" not in plain.result()


def agreement_slowly(one: Any, other: Any) -> tuple[float, int, int]:
    """(F at IoU .5, pairs of partners that both order, alike), pair by pair; the surest pairs first."""
    iou = {(i, j): float((a & b).sum() / (a | b).sum()) for i, a in enumerate(one.amodal)
           for j, b in enumerate(other.amodal)}
    best = sorted(range(len(one.amodal)), key=lambda i: -max(v for k, v in iou.items() if k[0] == i))
    partner: dict[int, int] = {}
    for i in best:
        free = {j: v for (k, j), v in iou.items() if k == i and j not in partner.values()}
        if free and max(free.values()) >= 0.5:
            partner[i] = max(free, key=lambda j: free[j])
    there = [tuple(p) for p in depth_pairs(other.masks, other.amodal).tolist()]
    both = [(partner[i], partner[j]) for i, j in depth_pairs(one.masks, one.amodal).tolist()
            if i in partner and j in partner]
    alike = sum(p in there for p in both)
    return 2 * len(partner) / (len(one.amodal) + len(other.amodal)), alike + sum(p[::-1] in there for p in both), alike


@pytest.mark.oracle("agreement region by region, pair by pair", "semantic_amodal", how="the same counts")
def test_two_annotators_agree_on_regions_and_on_their_order() -> None:
    rng = np.random.default_rng(4)
    seen = 0
    for _ in range(10):
        samples = []
        corner = np.stack([rng.integers(0, 35, 5), rng.integers(0, 20, 5)], 1)
        side = rng.integers(10, 22, (5, 2))
        for order in (rng.permutation(5), rng.permutation(5)):
            moved = corner + rng.integers(-2, 3, (5, 2)).clip(-corner)
            whole = np.stack([square(x, y, x + w, y + h) for (x, y), (w, h) in zip(moved[order], side[order])])
            visible = np.stack([m & ~whole[:k].any(0) for k, m in enumerate(whole)])
            samples.append(sample_of(visible, whole))
        a = agreement(*samples)
        f, ordered, alike = agreement_slowly(*samples)
        assert a.f == pytest.approx(f) and (a.ordered, a.alike) == (ordered, alike) and a.counts == (5, 5)
        seen += ordered
        same = agreement(samples[0], samples[0])
        assert same.f == 1 and same.alike == same.ordered and (same.best == 1).all()
        np.testing.assert_allclose(a.rates, occlusion(samples[0].masks, samples[0].amodal))
    assert seen > 10


def test_labels_are_aside_and_a_perfect_answer_is_perfect() -> None:
    data = Scenes(6, size=96, seed=5)
    evaluator, other = Evaluator(data.info, "amodal"), Evaluator(data.info, "amodal")
    for i in range(len(data)):
        s = data.truth(i)
        assert s.masks is not None and s.amodal is not None
        found = said(list(s.amodal), np.linspace(1, 0.5, len(s.labels)).tolist(), list(s.masks))
        (evaluator if i % 2 else other).add(s, found, i)
    evaluator.merge(other)
    r = evaluator.result()
    assert r["mask_AP"] == r["mask_AR100"] == r["order_invisible"] == r["order_oracle"] == 1
    assert r["order_score"] < 1 and set(evaluator.tallies().by_measure) == {"mask_AP"}
    assert matched(np.zeros((0, 3)), 0.5).tolist() == [-1, -1, -1]


def test_truth_without_whole_masks_is_told() -> None:
    visible, whole = a_scene()
    truth = sample_of(visible, whole)
    truth.masks = None
    with pytest.raises(DataError, match="visible and amodal masks"):
        hidden(truth, said(list(whole), [1.0, 0.5, 0.2]))


# ---------------------------------------------------------------- files


def coco_a_doc(**change: Any) -> dict[str, Any]:
    """One picture of three regions as COCO-A writes it, polygons and run lengths."""
    visible, whole = a_scene()
    regions = [
        {"id": 7, "segmentation": [5.0, 5, 25, 5, 25, 25, 5, 25], "name": "cup", "isStuff": 0, "order": 1,
         "occlude_rate": 0},
        *({"id": 8 + k, "segmentation": rle.encode(whole[k]), "visible_mask": rle.encode(visible[k]), "name": "box",
           "invisible_mask": rle.encode(whole[k] & ~visible[k]), "isStuff": int(k == 2), "order": k + 1,
           "occlude_rate": 1 - visible[k].sum() / whole[k].sum()} for k in (1, 2)),
    ]
    return {"images": [{"id": 3, "file_name": "0.png", "height": H, "width": W}],
            "annotations": [{"id": 1, "image_id": 3, "author": "ann", "regions": regions,
                             "depth_constraint": "1-2,2-3", "size": 3, **change}]}


def written(root: Path, doc: dict[str, Any]) -> Path:
    noise(root / "0.png", H, W)
    (root / "annotations.json").write_text(json.dumps(doc))
    return root


def test_coco_as_regions_are_read_with_their_hidden_parts_and_order(tmp_path: Path) -> None:
    data = open_dataset(written(tmp_path, coco_a_doc()), "all")
    visible, whole = a_scene()
    assert set(data.info.kinds) >= {"boxes", "masks", "amodal"} and data.info.classes.names == ("thing", "stuff")
    assert data.info.classes.things == (True, False)
    s = data.truth(0)
    assert s.masks is not None and s.amodal is not None
    np.testing.assert_array_equal(s.masks, visible)
    np.testing.assert_array_equal(s.amodal, whole)
    assert s.extra["depth"].tolist() == [[0, 1], [1, 2]] and s.labels.tolist() == [0, 0, 1]
    assert s.boxes.tolist() == bounds(torch.from_numpy(visible)).tolist()


def test_of_two_annotators_the_first_is_read_and_it_is_said(tmp_path: Path) -> None:
    doc = coco_a_doc()
    doc["annotations"].append({**doc["annotations"][0], "id": 2, "regions": doc["annotations"][0]["regions"][:1]})
    data = open_dataset(written(tmp_path, doc), "all")
    assert len(data.truth(0).labels) == 3 and any("annotator" in n for n in data.notes)


@pytest.mark.parametrize("seen", ["visible_mask", "inmodal_seg"])
def test_flat_files_with_visible_masks_are_read_as_d2sa_and_kins_have_them(tmp_path: Path, seen: str) -> None:
    visible, whole = a_scene()
    rows = [{"id": k + 1, "image_id": 3, "category_id": 4, "iscrowd": 0, "area": int(whole[k].sum()),
             "bbox": [0, 0, 60, 40], "segmentation": rle.encode(whole[k]), seen: rle.encode(visible[k])}
            for k in range(3)]
    doc = {**coco_a_doc(), "annotations": rows, "categories": [{"id": 4, "name": "cup"}]}
    s = open_dataset(written(tmp_path, doc), "all").truth(0)
    assert s.masks is not None and s.amodal is not None
    np.testing.assert_array_equal(s.masks, visible)
    np.testing.assert_array_equal(s.amodal, whole)
    assert s.boxes.tolist() == bounds(torch.from_numpy(visible)).tolist() and "depth" not in s.extra


def test_kins_later_names_are_read(tmp_path: Path) -> None:
    """update_train_2020.json: amodal and inmodal outlines, boxes x, y, width and height, by their first letters."""
    def ring(x1: int, y1: int, x2: int, y2: int) -> list[list[int]]:
        return [[x1, y1, x2, y1, x2, y2, x1, y2]]

    rows = [{"id": k + 1, "image_id": 3, "category_id": 4, "iscrowd": 0, "a_segm": ring(10, 5, 30, 25), "a_area": 400,
             "a_bbox": [10, 5, 20, 20], "i_segm": seen, "i_area": 0, "i_bbox": [10, 5, 8, 20], "oco_id": 1, "ico_id": k}
            for k, seen in enumerate((ring(10, 5, 18, 25), ring(10, 5, 30, 25), []))]
    doc = {**coco_a_doc(), "annotations": rows, "categories": [{"id": 4, "name": "car"}]}
    data = open_dataset(written(tmp_path, doc), "all")
    s = data.truth(0)
    assert s.masks is not None and s.amodal is not None and s.boxes.tolist() == [[10, 5, 18, 25], [10, 5, 30, 25]]
    np.testing.assert_array_equal(s.masks, [square(10, 5, 18, 25), square(10, 5, 30, 25)])
    np.testing.assert_array_equal(s.amodal, [square(10, 5, 30, 25)] * 2)
    assert s.area.tolist() == [160, 400] and "1 objects of which nothing is seen are left out" in data.notes


@pytest.mark.parametrize("seen", ["visible_mask", "inmodal_seg"])
@pytest.mark.parametrize("none", [[], {}, rle.encode(np.zeros((H, W), bool))], ids=["list", "object", "no pixel"])
def test_what_is_wholly_hidden_is_not_seen_however_that_is_written(tmp_path: Path, seen: str, none: Any) -> None:
    """No outline and one without a pixel are one; null says nothing, and the whole is visible."""
    rows = [{"id": k + 1, "image_id": 3, "category_id": 4, "iscrowd": 0, "area": 400, "bbox": [5, 5, 20, 20],
             "segmentation": rle.encode(square(5, 5, 25, 25)), seen: said} for k, said in enumerate((none, None))]
    data = open_dataset(written(tmp_path, {**coco_a_doc(), "annotations": rows,
                                           "categories": [{"id": 4, "name": "cup"}]}), "all")
    assert len(data.truth(0).labels) == 1 and data.table.record.tolist() == [2]
    assert "1 objects of which nothing is seen are left out" in data.notes
    doc = coco_a_doc()
    doc["annotations"][0]["regions"][2][seen] = none
    doc["annotations"][0]["regions"][2].pop("visible_mask" if seen == "inmodal_seg" else "none", None)
    assert [m.sum() > 0 for m in annotated(doc, "x.json")[3][0].masks] == [True, True, False]
    assert len(open_dataset(written(tmp_path, doc), "all").truth(0).labels) == 2


def test_a_visible_mask_of_a_picture_without_a_size_is_told(tmp_path: Path) -> None:
    rows = [{"id": 1, "image_id": 3, "category_id": 4, "iscrowd": 0, "area": 400, "bbox": [5, 5, 20, 20],
             "segmentation": rle.encode(square(5, 5, 25, 25)), "visible_mask": []}]
    doc = {**coco_a_doc(), "annotations": rows, "categories": [{"id": 4, "name": "cup"}]}
    del doc["images"][0]["height"]
    data = open_dataset(written(tmp_path, doc), "all")
    assert len(data.truth(0).labels) == 1
    assert [f.mend for f in data.faults if f.field == "visible_mask"] == ["the whole mask is taken as visible"]


def test_stuff_is_read_as_it_is_written_and_pictures_that_are_none_are_told(tmp_path: Path) -> None:
    doc = coco_a_doc()
    regions = doc["annotations"][0]["regions"]
    for r, said in zip(regions, ("0", "1", "perhaps")):
        r["isStuff"] = said
    data = open_dataset(written(tmp_path, doc), "all")
    assert data.truth(0).labels.tolist() == [0, 1, 0]
    assert [str(f) for f in data.faults] == [
        f"{tmp_path / 'annotations.json'}, record region 3 of image 3, field 'isStuff': 'perhaps' is neither yes nor no "
        "(0 or 1). it counts as a thing"]
    with pytest.raises(DataError, match="region 3 of annotation 1, field 'isStuff': 'perhaps'.*write 0 or 1"):
        annotated(doc, "x.json")
    regions[2]["isStuff"] = 0
    doc["annotations"].append({"id": 2, "image_id": [1], "regions": regions[:1]})
    data = open_dataset(written(tmp_path, doc), "all")
    assert len(data.truth(0).labels) == 3
    assert [(f.record, f.field, f.problem) for f in data.faults] == [("annotation 4", "image_id", "there is no image [1]")]
    with pytest.raises(DataError, match="annotation 2, field 'image_id': is of a picture whose size is not told"):
        annotated(doc, "x.json")
    rows = [{"id": 1, "image_id": [1], "category_id": 4, "bbox": [5, 5, 20, 20], "area": 1, "visible_mask": [],
             "segmentation": regions[1]["segmentation"]},
            {"id": 2, "image_id": 3, "category_id": 4, "bbox": [5, 5, 20, 20], "area": 1, "iscrowd": 0,
             "segmentation": regions[1]["segmentation"]}]
    flat = {**doc, "annotations": rows, "categories": [{"id": 4, "name": "cup"}]}
    assert [f.problem for f in open_dataset(written(tmp_path, flat), "all").faults] == ["there is no image [1]"]


@pytest.mark.parametrize("writer", [write_coco, write_coco_a])
def test_what_is_written_is_read_again(tmp_path: Path, writer: Any) -> None:
    data = Scenes(4, size=64, seed=3)
    for i in range(4):
        noise(tmp_path / data.truth(i).file, 64, 64, format="PNG")
    writer(data, tmp_path / "truth.json")
    again = open_dataset(tmp_path, "all")
    for i in range(4):
        a, b = data.truth(i), again.truth(i)
        assert a.masks is not None and b.masks is not None and a.amodal is not None and b.amodal is not None
        order = [next(k for k in range(len(b.masks)) if (b.masks[k] == m).all()) for m in a.masks]
        assert sorted(order) == list(range(len(a.masks)))
        np.testing.assert_array_equal(b.amodal[order], a.amodal)
        if writer is write_coco_a:
            want = {(order[f], order[k]) for f, k in depth_pairs(a.masks, a.amodal).tolist()}
            assert {tuple(p) for p in b.extra["depth"].tolist()} == want and all(f < k for f, k in want)


def faults_of(root: Path, doc: dict[str, Any]) -> list[Any]:
    return examine(written(root, doc)).faults


def test_bad_a_whole_mask_smaller_than_its_visible_one(tmp_path: Path) -> None:
    doc = coco_a_doc()
    doc["annotations"][0]["regions"][1]["segmentation"] = rle.encode(square(15, 10, 20, 15))
    (fault,) = [f for f in faults_of(tmp_path, doc) if f.kind == "visible outside amodal"]
    assert "annotation 2" in fault.record and "350 visible pixels lie outside the whole mask of 25" in fault.problem
    s = open_dataset(tmp_path, "all").truth(0)
    assert s.masks is not None and s.amodal is not None and not (s.masks & ~s.amodal).any()


@pytest.mark.parametrize("text,says", [
    ("1-2,2-3,3-1", "the order runs in a circle among the regions 1, 2, 3"), ("1-2,2-9", "'2-9' names no two of the 3"),
    ("1-2,behind", "'behind' names no two"),
])
def test_bad_a_cycle_in_the_depth_order(tmp_path: Path, text: str, says: str) -> None:
    (fault,) = [f for f in faults_of(tmp_path, coco_a_doc(depth_constraint=text)) if f.kind == "depth order"]
    assert fault.record == "image 3" and fault.field == "depth_constraint" and says in fault.problem and fault.safe
    pairs = open_dataset(tmp_path, "all").truth(0).extra["depth"].tolist()
    assert pairs == ([] if "circle" in says else [[0, 1]])


def test_bad_an_occlusion_rate_that_disagrees(tmp_path: Path) -> None:
    doc = coco_a_doc()
    doc["annotations"][0]["regions"][2]["occlude_rate"] = 0.7
    (fault,) = [f for f in faults_of(tmp_path, doc) if f.kind == "occlusion rate"]
    assert "says 0.70, and the masks 0.19" in fault.problem


def test_objects_of_which_nothing_is_seen_are_left_out_and_it_is_said(tmp_path: Path) -> None:
    doc = coco_a_doc()
    doc["annotations"][0]["regions"][1] |= {"visible_mask": rle.encode(np.zeros((H, W), bool)), "occlude_rate": 1.0}
    data = open_dataset(written(tmp_path, doc), "all")
    assert len(data.truth(0).labels) == 2 and any("nothing is seen" in n for n in data.notes)
    assert data.truth(0).extra["depth"].tolist() == []


def test_a_visible_mask_that_cannot_be_decoded_is_told(tmp_path: Path) -> None:
    doc = coco_a_doc()
    doc["annotations"][0]["regions"][1]["visible_mask"] = {"size": [H, W], "counts": "~~~"}
    (fault,) = [f for f in faults_of(tmp_path, doc) if f.kind == "visible mask"]
    assert "annotation 2" in fault.record and "cannot be decoded" in fault.problem


# ---------------------------------------------------------------- answers and pictures


def test_both_masks_leave_as_coco_json_and_the_hidden_part_is_hatched() -> None:
    data = Scenes(2, size=96, seed=3)
    model = stemma.build("amodal-instance", "small", info=data.info).eval()
    batch = batch_of(model, data)
    entry = to_file(model.predict(batch.images, batch.sizes), batch)[0]
    assert len(entry["visible"]) == len(entry["masks"]) > 0
    row = next(coco_entries(entry, 1, (1,)))
    whole, seen = (rle.decode(row[k], 96, 96) for k in ("segmentation", "visible_mask"))
    assert not (seen & ~whole).any()
    assert row["occlude_rate"] == pytest.approx(1 - seen.sum() / whole.sum() if whole.any() else 0)
    visible, amodal = a_scene()
    layer = draw.overlay(said(list(amodal), [0.9, 0.8, 0.7], list(visible)), (H, W))
    assert layer is not None
    alpha = np.asarray(layer)[..., 3]
    lost = square(16, 11, 24, 24) & (amodal[1] & ~visible[1])  # under the first: drawn as the first
    assert len(np.unique(alpha[lost])) == 1
    alone = draw.overlay(said([amodal[1]], [0.9], [visible[1]]), (H, W))
    assert alone is not None
    inner = np.asarray(alone)[..., 3][lost]
    assert set(np.unique(inner)) == {40, 230} and 0.3 < (inner == 230).mean() < 0.7


# ---------------------------------------------------------------- the papers


def batch_of(model: Any, data: Any = None, count: int = 2) -> Batch:
    data = data if data is not None else Scenes(count, size=128, seed=3)
    return next(iter(Loader(data, model.recipe, train=False, batch=count, mean=model.spec.preprocess.mean,
                            needs=frozenset({"boxes", "masks", "amodal"})).epoch(0)))


def test_published_counts() -> None:
    with torch.device("meta"):
        nets = {"paper": semantic_amodal.spec().build(80), "expand": semantic_amodal.spec("expand").build(80),
                "instance": amodal_instance.spec().build(80)}
    count = {k: sum(p.numel() for p in m.parameters()) for k, m in nets.items()}
    facts = [(f.what, f.variant, f.value) for f in semantic_amodal.PAPER.facts]
    assert ("parameters", "", count["paper"]) in facts and ("parameters", "expand", count["expand"]) in facts
    assert count["paper"] == next(f.value for f in deepmask.PAPER.facts if f.what == "parameters")
    mine = {f.what: f.value for f in amodal_instance.PAPER.facts}
    assert count["instance"] == mine["parameters"] and nets["instance"].head.side ** 2 == mine["cells of a map"]
    assert nets["expand"].head.side ** 2 == 3_136


def targets_of(visible: np.ndarray, whole: np.ndarray) -> Targets:
    v = torch.from_numpy(visible)[None]
    return Targets(bounds(v), torch.zeros(1, len(visible), dtype=torch.long), masks=v,
                   amodal=torch.from_numpy(whole)[None])


def test_amodalmask_learns_the_whole_about_the_whole() -> None:
    """Where nothing is hidden its loss is DeepMask's; windows lie about the whole box."""
    visible, whole = a_scene()
    spec = deepmask.spec("small")
    torch.manual_seed(0)
    modal = replace(spec, rule=replace(spec.rule)).build(1).eval()
    amodal = semantic_amodal.spec("small").build(1).eval()
    amodal.load_state_dict(modal.state_dict())
    images, sizes = torch.rand(1, 3, H, W), torch.tensor([[float(H), W]])

    def losses(net: Any, v: np.ndarray, a: np.ndarray) -> Any:
        torch.manual_seed(1)
        return net.loss(Batch(images, targets_of(v, a), sizes, sizes, torch.zeros(1, dtype=torch.long)))

    same = losses(modal, whole, whole), losses(amodal, visible, whole)
    assert {k: v.item() for k, v in same[0].items()} == {k: v.item() for k, v in same[1].items()}
    assert losses(modal, visible, whole)["mask"] != same[0]["mask"]
    with pytest.raises(StemmaError, match="amodal"):
        t = replace(targets_of(visible, whole), amodal=None)
        amodal.loss(Batch(images, t, sizes, sizes, torch.zeros(1, dtype=torch.long)))


@pytest.mark.oracle("the drawn scenes' own whole masks, pixel by pixel", "amodal_instance", how="the same pixels")
def test_made_occlusions_know_the_whole_that_the_scene_knows() -> None:
    """Of objects that nothing hid, what is to be learned after pasting is the scene's own amodal mask; what is shown is
    the scene where nothing was pasted; neighbours are unknown."""
    data = Scenes(12, size=128, seed=4)
    model = stemma.build("amodal-instance", "small", info=data.info)
    t = (batch := batch_of(model, data, 12)).targets
    assert t.masks is not None and t.amodal is not None
    free = (t.masks == t.amodal).flatten(2).all(2) & t.valid
    owner = free.to(torch.uint8).argmax(1)[:, None]
    boxes, there = torch.gather(t.boxes, 1, owner[..., None].expand(-1, -1, 4)), free.any(1)[:, None]
    paste, side = Paste(side=128, room=1.0, share=0.2), 128
    frames = around((boxes[..., :2] + boxes[..., 2:]) / 2, (boxes[..., 2:] - boxes[..., :2]).amax(-1))
    torch.manual_seed(0)
    s = paste(batch.images, t, boxes, owner, there, torch.zeros(3))
    pasted = 0
    for b in range(12):
        if not there[b]:
            continue
        x1, y1, x2, y2 = frames[b, 0].tolist()
        step, k = (x2 - x1) / side, int(owner[b])
        for j in range(2, side, 9):
            for i in range(2, side, 9):
                px, py = x1 + (i + 0.5) * step, y1 + (j + 0.5) * step
                y, x = int(py), int(px)
                if not (1 <= y < 126 and 1 <= x < 126):
                    continue
                near = t.amodal[b, k, y - 1 : y + 2, x - 1 : x + 2]
                if near.all() or not near.any():  # away from the edge, where shares of pixels decide
                    assert s.whole[b, 0, j, i] == near.all()
                others = torch.stack([t.masks[b, n] for n in range(len(t.masks[b])) if n != k]).any(0)
                nearby = others[y - 1 : y + 2, x - 1 : x + 2]
                assert s.unknown is not None
                if not near.any() and (nearby.all() or not nearby.any()):
                    assert s.unknown[b, 0, j, i] == nearby.all()
        seen = bounds(s.whole[b, 0])
        pasted += bool((s.boxes[b, 0] != seen).any())
        assert (s.boxes[b, 0, :2] >= seen[:2]).all() and (s.boxes[b, 0, 2:] <= seen[2:]).all()
    assert pasted >= 2


def test_without_an_occluder_the_whole_is_what_is_seen() -> None:
    data = Scenes(4, size=128, seed=4)
    model = stemma.build("amodal-instance", "small", info=data.info)
    batch = batch_of(model, data, 4)
    _, owner, there = model.rule.sample.positive(batch.targets)
    boxes = torch.gather(batch.targets.boxes, 1, owner[..., None].expand(-1, -1, 4))
    s = Paste(count=0)(batch.images, batch.targets, boxes, owner, there, torch.zeros(3))
    assert torch.equal(s.boxes[:, 0], bounds(s.whole[:, 0]) * s.used) or (s.boxes[s.used[:, 0], 0]
                                                                           == bounds(s.whole[s.used[:, 0], 0])).all()


def test_unknown_pixels_get_no_gradient_and_a_band_makes_more_of_them() -> None:
    data = Scenes(4, size=128, seed=4)
    model = stemma.build("amodal-instance", "small", info=data.info).eval()
    batch = batch_of(model, data, 4)
    for p in model.modal.parameters():
        p.requires_grad_(False)
    torch.manual_seed(0)
    s = model.shown(batch)
    held: list[Tensor] = []
    say = model.say

    def kept(*a: Any) -> Tensor:
        held.append(say(*a))
        held[-1].retain_grad()
        return held[-1]

    model.say = kept
    torch.manual_seed(0)
    model.loss(batch)["amodal"].backward()
    grad = held[0].grad
    assert grad is not None
    assert s.unknown is not None
    unknown = crop(s.unknown, model.frames(s.boxes), s.owner, 24) >= 0.5
    assert unknown.any() and (grad[unknown] == 0).all() and (grad[~unknown & s.used[..., None, None]] != 0).all()
    torch.manual_seed(0)
    wide = replace(model.rule.paste, band=4)(batch.images, batch.targets, *_objects(model, batch), torch.zeros(3))
    torch.manual_seed(0)
    thin = model.rule.paste(batch.images, batch.targets, *_objects(model, batch), torch.zeros(3))
    assert (wide.unknown & ~thin.unknown).any() and not (thin.unknown & ~wide.unknown).any()
    assert not (wide.unknown & wide.whole).any()


def _objects(model: Any, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(2)
    _, owner, there = model.rule.sample.positive(batch.targets)
    return torch.gather(batch.targets.boxes, 1, owner[..., None].expand(-1, -1, 4)), owner, there


def grown_slowly(box: list[float], heat: np.ndarray, frame: list[float], size: tuple[int, int],
                 g: Grow) -> list[float]:
    """One round of expansion with a fine grid in place of the eight by eight reading."""
    x1, y1, x2, y2 = box
    dx, dy = (x2 - x1) * g.step, (y2 - y1) * g.step
    out = list(box)
    n = heat.shape[0]
    bands = ((x1 - dx, y1, x1, y2), (x1, y1 - dy, x2, y1), (x2, y1, x2 + dx, y2), (x1, y2, x2, y2 + dy))
    for k, (a, b, c, d) in enumerate(bands):
        total = 0.0
        for j in range(8):
            for i in range(8):
                px, py = a + (i + 0.5) / 8 * (c - a), b + (j + 0.5) / 8 * (d - b)
                u = min(max((px - frame[0]) / (frame[2] - frame[0]) * n - 0.5, 0), n - 1)
                v = min(max((py - frame[1]) / (frame[3] - frame[1]) * n - 0.5, 0), n - 1)
                u0, v0 = min(int(u), n - 2), min(int(v), n - 2)
                fu, fv = u - u0, v - v0
                total += ((1 - fv) * ((1 - fu) * heat[v0, u0] + fu * heat[v0, u0 + 1])
                          + fv * ((1 - fu) * heat[v0 + 1, u0] + fu * heat[v0 + 1, u0 + 1]))
        if total / 64 > g.limit:
            out[k] += (-dx, -dy, dx, dy)[k]
    return [max(out[0], 0), max(out[1], 0), min(out[2], size[1]), min(out[3], size[0])]


@pytest.mark.oracle("the expansion loop in plain Python", "amodal_instance")
def test_boxes_grow_as_the_loop_says_never_shrink_and_stop_at_the_edge() -> None:
    rng = np.random.default_rng(0)
    g, size = Grow(10, 0.1, 0.4), (100, 120)
    box = np.concatenate([rng.uniform(20, 50, (1, 6, 2)), rng.uniform(60, 95, (1, 6, 2))], 2)
    frame = np.concatenate([box[..., :2] - 15, box[..., 2:] + 15], 2)
    heat = rng.random((1, 6, 12, 12)) * rng.uniform(0.4, 1.4, (1, 6, 1, 1))
    boxes, maps = torch.from_numpy(box), torch.from_numpy(heat)
    sizes = torch.tensor([[100.0, 120.0]], dtype=torch.float64)
    for _ in range(6):
        grown = g(boxes, maps, torch.from_numpy(frame), sizes)
        want = [grown_slowly(boxes[0, k].tolist(), heat[0, k], frame[0, k].tolist(), size, g) for k in range(6)]
        torch.testing.assert_close(grown[0], torch.tensor(want, dtype=torch.float64), rtol=1e-6, atol=1e-6)
        assert (grown[..., :2] <= boxes[..., :2]).all() and (grown[..., 2:] >= boxes[..., 2:]).all()
        boxes = grown
    everywhere = torch.ones(1, 6, 12, 12, dtype=torch.float64)
    for _ in range(40):
        boxes = g(boxes, everywhere, torch.from_numpy(frame), sizes)
    assert boxes[0].tolist() == [[0, 0, 120, 100]] * 6
    assert torch.equal(g(boxes, everywhere * 0, torch.from_numpy(frame), sizes), boxes)


def test_a_seen_mask_goes_in_at_its_place() -> None:
    maps = torch.ones(1, 1, 7, 7)
    heat = read_in(maps, torch.tensor([[[10.0, 20, 30, 40]]]), torch.tensor([[[0.0, 0, 40, 40]]]), 40)[0, 0]
    want = torch.zeros(40, 40)
    want[20:40, 10:30] = 1
    torch.testing.assert_close(heat, want)


def test_what_finds_objects_sleeps_while_the_whole_is_learned() -> None:
    for name, preset in (("semantic-amodal", "expand-small"), ("amodal-instance", "small")):
        model: CompletionModel = stemma.build(name, preset, info=Scenes(1).info)
        first, second = model.recipe.phases  # type: ignore[union-attr]
        batch = batch_of(model)
        assert set(model.loss(batch)) == {"mask", "score", "amodal"}
        for p in model.modal.parameters():
            p.requires_grad_(False)
        model.train()
        before = {k: v.clone() for k, v in model.modal.state_dict().items()}
        losses = model.loss(batch)
        assert set(losses) == {"amodal"} and second.losses == "^amodal$" and first.train == r"^modal\."
        losses["amodal"].backward()
        assert all(torch.equal(v, model.modal.state_dict()[k]) for k, v in before.items())
        for p in model.modal.parameters():
            p.requires_grad_(True)
        for p in (*model.trunk.parameters(), *model.head.parameters()):
            p.requires_grad_(False)
        assert set(model.loss(batch)) == {"mask", "score"}


def test_data_without_masks_is_refused() -> None:
    model = stemma.build("amodal-instance", "small", info=Scenes(1).info)
    batch = batch_of(model)
    with pytest.raises(StemmaError, match="masks"):
        model.loss(replace(batch, targets=replace(batch.targets, masks=None)))
    assert isinstance(model.spec, Completion) and model.spec.needs == {"masks"}
    assert semantic_amodal.spec("expand").needs == {"masks", "amodal"}


@pytest.mark.whole
def test_the_whole_is_learned_from_pasted_occlusions(learned: Learned) -> None:
    """Given true seen masks, the second net's IoU with the true whole on occluded objects, untrained and trained on
    made occlusions of the same scenes; the first net is silent."""
    data = Scenes(16, size=128, seed=6)
    model = stemma.build("amodal-instance", "small", info=data.info).train()
    batch = batch_of(model, data, 16)
    t = batch.targets
    assert t.masks is not None and t.amodal is not None
    rate = 1 - t.masks.flatten(2).sum(2) / t.amodal.flatten(2).sum(2).clamp(min=1)
    some = (rate > 0.1) & t.valid
    index = torch.arange(t.labels.shape[1]).expand_as(t.labels)

    def given(images: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
        return boxes, seen_of[0]

    seen_of: list[Tensor] = []
    model.seen = given

    def iou() -> float:
        model.eval()
        frames = model.frames(t.boxes)
        with torch.no_grad():
            whole = model.say(batch.images, t.boxes, crop(t.masks, t.boxes, index, 28), frames) >= 0
        want = crop(t.amodal, frames, index, 24) >= 0.5
        model.train()
        return float(((whole & want).flatten(2).sum(2) / (whole | want).flatten(2).sum(2).clamp(min=1))[some].mean())

    before = iou()
    optimizer = torch.optim.AdamW([*model.trunk.parameters(), *model.head.parameters()], 3e-3)
    for step in range(55):
        torch.manual_seed(step)
        s = model.shown(batch)
        seen_of[:] = [crop(s.whole, s.boxes, s.owner, 28)]  # the whole inside the seen box stands for what is seen
        optimizer.zero_grad()
        torch.manual_seed(step)
        model.loss(batch)["amodal"].backward()
        optimizer.step()
    assert some.sum() > 10
    learned("IoU with the whole", iou(), at_least=0.28, untrained=before)


def test_trained_killed_and_resumed_in_the_second_phase_it_ends_alike_and_is_compared(tmp_path: Path) -> None:
    """The commands as for every other: train, resume, evaluate, predict to both masks, compare to the page."""
    data, val = Scenes(16, size=64, seed=1), Scenes(4, size=64, seed=1, split="val")
    how: dict[str, Any] = {"val": val, "batch": 4, "progress": False, "val_every": 0, "save_every": "1steps",
                           "sets": {"recipe.resize.size": 64}}
    alone = stemma.train("amodal-instance", data, "6steps", "small", tmp_path / "alone", **how)
    begun = Trainer._save

    class Struck(Exception):
        pass

    def save(self: Any, *a: Any, **k: Any) -> Any:
        out = begun(self, *a, **k)
        if self.steps == 5:  # the second phase begins with the fifth step
            raise Struck
        return out

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, "_save", save)
        with pytest.raises(Struck):
            stemma.train("amodal-instance", data, "6steps", "small", tmp_path / "killed", **how)
    again = stemma.train("amodal-instance", data, "6steps", "small", tmp_path / "killed", resume=True, **how)
    one, two = (Path(r.path) / "last.safetensors" for r in (alone, again))
    assert one.read_bytes() == two.read_bytes()
    r = stemma.evaluate(again, val, out=tmp_path / "said.json")
    assert r["task"] == "amodal" and "mask_AR100_heavy" in r and "order_oracle" in r
    rows = json.loads((tmp_path / "said.json").read_text())
    assert rows and all(k in rows[0] for k in ("segmentation", "visible_mask"))


@pytest.mark.slow
def test_a_comparison_has_a_section_of_whole_objects(tmp_path: Path) -> None:
    found = stemma.compare(["semantic-amodal", "deepmask"], "scenes:64:20", budget="2steps", preset="small", seeds=1,
                           out=tmp_path / "compared")
    page = (tmp_path / "compared" / "report.html").read_text()
    assert "Whole objects, hidden parts too" in page and {s["main"] for s in found.results["systems"]} == {"mask_AP", "AR100"}


def test_hidden_parts_are_converted_whole_or_their_loss_is_said(tmp_path: Path) -> None:
    """To COCO-A and back by the command's own way: masks, whole masks and order as they were; COCO says what it leaves."""
    done = convert("scenes:64:12", "coco-a", tmp_path / "a")
    first, again = (open_split(where, "train") for where in ("scenes:64:12", str(tmp_path / "a")))
    hidden_parts = 0
    for i in range(12):
        a, b = first.truth(i), again.truth(i)
        assert a.masks is not None and b.masks is not None and a.amodal is not None and b.amodal is not None
        order = [next(k for k in range(len(b.masks)) if (b.masks[k] == m).all()) for m in a.masks]
        np.testing.assert_array_equal(b.amodal[order], a.amodal)
        assert len(b.extra["depth"]) == len(depth_pairs(a.masks, a.amodal))
        hidden_parts += int((a.amodal & ~a.masks).any((1, 2)).sum())
    assert any("have points, which are left out" in line for line in done.lost) and hidden_parts
    for to in ("coco", "yolo", "voc"):
        (said,) = [line for line in convert(tmp_path / "a", to, tmp_path / to).lost if "hidden" in line]
        assert int(said.split()[0]) >= hidden_parts and said.endswith("which are left out; coco-a holds them")
    with pytest.raises(DataError, match="has no amodal masks, which coco-a is made of.*use one of coco, voc, yolo"):
        convert(tmp_path / "voc", "coco-a", tmp_path / "none")


def test_an_answer_is_the_same_however_many_views_are_looked_at_together() -> None:
    """A thousand views of 224 pixels at once took 18 GB; nothing but memory hangs on `chunk`."""
    torch.manual_seed(0)
    model: Any = stemma.build("semantic-amodal", preset="expand-small", classes=3).eval()
    seen: list[int] = []
    model.trunk.register_forward_pre_hook(lambda m, x: seen.append(len(x[0])))
    said = []
    for chunk in (1 << 20, 6):
        model.rule = replace(model.rule, chunk=chunk)
        said.append(model(torch.linspace(0, 1, 2 * 3 * 96 * 96).view(2, 3, 96, 96)))
    assert len(seen) > 2 and seen[0] == sum(seen[1:]) and set(seen[1:]) == {6, seen[-1]}
    for k in ("boxes", "masks", "visible"):
        assert torch.allclose(getattr(said[0], k), getattr(said[1], k), atol=1e-4)
