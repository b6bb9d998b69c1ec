"""LVIS's data: read, kept when it is written, and measured by its federated rules, against lvis-api, faster-coco-eval and
hotcoco."""
from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from made_data import noise
from stemma.core.types import Info
from stemma.data.convert import convert
from stemma.data.doctor import examine
from stemma.data.mix import Mixture
from stemma.data.named import ByName
from stemma.data.open import open_dataset
from stemma.data.readers import rle
from stemma.metrics import Evaluator, Record
from stemma.metrics.coco import evaluate_files
from stemma.metrics.detection import matches

NAMES = {"AP": "AP", "AP50": "AP50", "AP75": "AP75", "APr": "APr", "APc": "APc", "APf": "APf", "AP_small": "APs",
         "AP_medium": "APm", "AP_large": "APl", "AR300": "AR@300"}
OF_FASTER = {"APs": "AP_small", "APm": "AP_medium", "APl": "AP_large", "AP": "AP_all", "AP50": "AP_50", "AP75": "AP_75",
             "AR@300": "AR_all"}
Files = tuple[dict[str, Any], list[dict[str, Any]]]


def drawn(seed: int = 0, many: bool = True) -> Files:
    """Truth and results in LVIS's layout: seven classes of each frequency, pictures searched for some of them;
    detections near objects and of classes that nobody looked for. many: one picture has more than 300."""
    rng = np.random.default_rng(seed)
    categories = [{"id": 3 * c + 2, "name": f"class {c}", "frequency": "rcf"[c % 3], "image_count": 5, "synset": "x"}
                  for c in range(7)]
    ids = [c["id"] for c in categories]
    images: list[dict[str, Any]] = []
    truth: list[dict[str, Any]] = []
    found: list[dict[str, Any]] = []
    for i in range(14):
        there = rng.permutation(ids)[:3].tolist()
        rest = [c for c in ids if c not in there]
        images.append({"id": 40 - i, "height": 200, "width": 240, "neg_category_ids": rest[:2],
                       "not_exhaustive_category_ids": there[:1] if i % 2 else [],
                       "coco_url": f"http://images.cocodataset.org/val2017/{i:012d}.jpg"})
        for k in range(int(rng.integers(2, 9))):
            x, y = rng.uniform(0, 100, 2)
            w, h = rng.uniform(6, 130, 2) if k % 2 else rng.uniform(6, 30, 2)
            box = [round(float(v), 2) for v in (x, y, min(w, 239 - x), min(h, 199 - y))]
            a, b, right, low = box[0], box[1], box[0] + box[2], box[1] + box[3]
            truth.append({"id": len(truth) + 1, "image_id": 40 - i, "category_id": there[k % 3], "bbox": box,
                          "area": box[2] * box[3] * 0.9, "segmentation": [[a, b, right, b, right, low, a, low]]})
            for _ in range(2):
                found.append({"image_id": 40 - i, "category_id": int(rng.choice([there[k % 3]] * 3 + ids)),
                              "bbox": [box[0], box[1], box[2] * rng.uniform(0.6, 1), box[3] * rng.uniform(0.7, 1)],
                              "score": float(rng.random())})
        for _ in range(400 if many and i == 3 else 4):
            x, y, w, h = rng.uniform(1, 90, 4)
            found.append({"image_id": 40 - i, "category_id": int(rng.choice(ids)), "bbox": [x, y, w, h],
                          "score": float(rng.random())})
    return {"images": images, "annotations": truth, "categories": categories}, found


def outlined(files: Files) -> Files:
    """The same with outlines: polygons with a corner cut, and every third object two pieces as run lengths; masks are
    found, and no boxes beside them."""
    truth, found = files
    for k, a in enumerate([*truth["annotations"], *found]):
        x, y, w, h = a["bbox"]
        ring = [x, y, x + w, y, x + w, y + 0.6 * h, x + 0.5 * w, y + h, x, y + h]
        mask = rle.decode([ring], 200, 240)
        if k % 3 == 0 and w > 12:
            mask[:, int(x + 0.3 * w) : int(x + 0.4 * w) + 1] = False
        if not mask.any():
            mask[int(y), int(x)] = True
        a["segmentation"] = [ring] if k % 3 and "id" in a else rle.encode(mask)
        if "id" in a:
            a["area"] = float(mask.sum())
        else:
            del a["bbox"]
    return truth, found


def by_lvis(truth: str, found: list[dict[str, Any]], kind: str) -> dict[str, float]:
    import lvis  # not among the extras: it wants OpenCV

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(np, "float", float, raising=False)  # of a numpy before 1.24, which lvis 0.5.3 asks for
        run = lvis.LVISEval(lvis.LVIS(truth), lvis.LVISResults(truth, [dict(r) for r in found]), kind)
        run.run()
    return {k: float(v) for k, v in run.results.items()}


def by_faster(truth: str, found: list[dict[str, Any]], kind: str) -> dict[str, float]:
    from faster_coco_eval import COCO, COCOeval_faster

    gt = COCO(truth)
    run = COCOeval_faster(gt, gt.loadRes([dict(r) for r in found]), kind, lvis_style=True)
    run.params.maxDets = [300]
    run.evaluate()
    run.accumulate()
    run.summarize()
    said = run.stats_as_dict
    return {ours: float(said[OF_FASTER.get(ours, ours)]) for ours in NAMES.values()}


def by_hotcoco(truth: str, found: list[dict[str, Any]], kind: str) -> dict[str, float]:
    from hotcoco import LVIS, LVISeval, LVISResults

    gt = LVIS(truth)
    run = LVISeval(gt, LVISResults(gt, found), kind)
    run.run()
    return dict(run.get_results())


def folder(root: Path, truth: dict[str, Any]) -> Path:
    for i, im in enumerate(truth["images"]):
        noise(root / "val2017" / im["coco_url"].rsplit("/", 1)[-1], 200, 240, seed=i)
    (root / "annotations").mkdir()
    (root / "annotations" / "lvis_v1_val.json").write_text(json.dumps(truth))
    return root


def evaluated(data: Any, found: list[dict[str, Any]], info: Info | None = None) -> Evaluator:
    """As `stemma evaluate` measures a split: pictures by their truth, predictions beside them."""
    info = info or data.info
    number = {i: k for k, i in enumerate(info.classes.ids)}
    masks = "segmentation" in found[0]
    out = Evaluator(info, "instances" if masks else "detection")
    for i in range(len(data)):
        s = data.truth(i)
        own = [r for r in found if r["image_id"] == s.id]
        boxes = np.array([r.get("bbox", [0, 0, 1, 1]) for r in own], float).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        out.add(s, {"boxes": boxes, "scores": [r["score"] for r in own],
                    "labels": [number[r["category_id"]] for r in own],
                    **({"masks": [r["segmentation"] for r in own]} if masks else {})}, i)
    return out


@pytest.mark.parametrize(("kind", "seed"), [("bbox", 0), ("bbox", 1), ("segm", 0), ("segm", 1)])
@pytest.mark.parametrize("oracle", [by_faster, by_hotcoco, *([by_lvis] if find_spec("lvis") else [])])
@pytest.mark.filterwarnings("ignore")
def test_federated_rules_give_the_numbers_of_others(tmp_path: Path, oracle: Callable[..., Any], kind: str,
                                                    seed: int) -> None:
    """To 1e-6, of boxes and of masks, from two files and from a folder. faster-coco-eval counts 300 detections of each
    class and not of each picture: it is asked where no picture has so many."""
    truth, found = drawn(seed, many=oracle is not by_faster)
    if kind == "segm":
        truth, found = outlined((truth, found))
    root = folder(tmp_path, truth)
    file = str(root / "annotations" / "lvis_v1_val.json")
    with contextlib.redirect_stdout(io.StringIO()):
        theirs = oracle(file, found, kind)
    ours = evaluate_files(file, found, "masks" if kind == "segm" else "boxes").numbers()
    data = open_dataset(root, "val")
    again = evaluated(data, found).result()
    for name, other in NAMES.items():
        want = theirs[other] if theirs[other] > -1 else float("nan")
        np.testing.assert_allclose(ours[name], want, atol=1e-6, err_msg=name)
        mine = again[("mask_" if kind == "segm" else "") + name]
        np.testing.assert_allclose(np.nan if mine is None else mine, want, atol=1e-6, err_msg=name)
    assert again["rules"].startswith("LVIS") and "AR100" not in again and "VOC_AP50" not in again


@pytest.mark.filterwarnings("ignore")
def test_what_is_drawn_tells_the_rules_apart(tmp_path: Path) -> None:
    """By COCO's rules the same files give other numbers, and so they do when one of LVIS's rules is not followed."""
    truth, found = drawn()
    want = evaluate_files(truth, found).ap()
    bare = {**truth, "images": [{k: v for k, v in im.items() if "category_ids" not in k} for im in truth["images"]]}
    assert abs(evaluate_files(bare, found).ap() - want) > 1e-3
    whole = {**truth, "images": [im | {"not_exhaustive_category_ids": []} for im in truth["images"]]}
    assert abs(evaluate_files(whole, found).ap() - want) > 1e-4
    best = sorted((r for r in found if r["image_id"] == 37), key=lambda r: -r["score"])
    assert len(best) > 300
    fewer = [r for r in found if r["image_id"] != 37] + best[:300]
    assert evaluate_files(truth, fewer).ap() == pytest.approx(want, abs=1e-12)
    truth, found = outlined(drawn())
    bare |= {"annotations": truth["annotations"]}
    masks = evaluate_files(truth, found, "masks").ap()
    assert abs(masks - want) > 1e-2 and abs(evaluate_files(bare, found, "masks").ap() - masks) > 1e-3


@pytest.mark.filterwarnings("ignore")
def test_a_folder_says_what_was_searched_for(tmp_path: Path) -> None:
    truth, found = drawn()
    data = open_dataset(folder(tmp_path / "lvis", truth), "val")
    assert data.info.frequency == tuple("rcfrcfr") and any("LVIS" in n for n in data.notes)  # type: ignore[attr-defined]
    ids = np.array(data.info.classes.ids)
    for i, im in enumerate(sorted(truth["images"], key=lambda im: im["id"])):
        extra = data.truth(i).extra
        assert ids[extra["absent"]].tolist() == im["neg_category_ids"]
        assert ids[extra["partial"]].tolist() == im["not_exhaustive_category_ids"]
    convert(tmp_path / "lvis", "coco", tmp_path / "coco")
    again = open_dataset(tmp_path / "coco", "val")
    assert again.info.frequency == data.info.frequency
    assert evaluated(again, found).result() == evaluated(data, found).result()
    assert any("searched for" in x for x in convert(tmp_path / "lvis", "yolo", tmp_path / "yolo").lost)
    assert Mixture([data, data]).info.frequency == data.info.frequency  # as of sets that are joined


@pytest.mark.filterwarnings("ignore")
def test_processes_renamed_classes_and_curves_follow_the_rules(tmp_path: Path) -> None:
    truth, found = drawn()
    data = open_dataset(folder(tmp_path, truth), "val")
    whole = evaluated(data, found)
    record = Record.from_bytes(whole.record.to_bytes())
    assert record.frequency == whole.record.frequency
    assert [p.absent.tolist() for p in record] == [p.absent.tolist() for p in whole.record]  # type: ignore[union-attr]
    names = data.info.classes.names[::-1]
    like = Info("model", "coco", type(data.info.classes)(names), ("boxes",))
    turned = evaluated(ByName(data, like), found, ByName(data, like).info).result()
    for key, value in whole.result().items():
        if isinstance(value, float):
            assert turned[key] == pytest.approx(value, abs=1e-12), key
    searched = {(i, int(c)) for i, p in enumerate(whole.record) for c in (*p.labels, *p.absent)}  # type: ignore[misc]
    assert len(matches(whole.record, limit=None).scores) <= sum(
        (i, int(c)) in searched for i, p in enumerate(whole.record) for c in p.found_labels)
    tallied = whole.tallies().by_measure["AP"].at(np.ones((1, len(whole))))
    assert tallied[0] == pytest.approx(whole.result()["AP"], abs=1e-9)


@pytest.mark.filterwarnings("ignore")
def test_an_object_of_a_class_that_is_nowhere_is_told(tmp_path: Path) -> None:
    """Its picture says that nobody found one: one of the two is wrong."""
    truth, _ = drawn()
    root = folder(tmp_path, truth)
    assert not [f for f in examine(root).faults if f.kind == "absent class"]
    first = truth["annotations"][0]
    im = next(im for im in truth["images"] if im["id"] == first["image_id"])
    im["neg_category_ids"].append(first["category_id"])
    (root / "annotations" / "lvis_v1_val.json").write_text(json.dumps(truth))
    (fault,) = [f for f in examine(root).faults if f.kind == "absent class"]
    assert fault.safe and "annotation 1 of" in fault.record and "neg_category_ids" in fault.problem
