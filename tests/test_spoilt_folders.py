"""Folders of ten formats that are spoilt by chance: nothing is lost without a word, nothing of the input is changed; and
what such folders found, each with its right value. `benchmarks/fuzz_folders.py` runs as many as one likes."""
from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from layouts import put
from made_data import noise, voc_xml
from stemma.core.types import DataError
from stemma.data.doctor import Report, examine
from stemma.data.open import open_dataset, recognise
from stemma.data.records import DataWarning

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))

import fuzz_folders  # noqa: E402

BOX = {"x": 5, "y": 6, "width": 20, "height": 10}


@pytest.mark.parametrize("first", range(0, 60, 10))
def test_spoilt_folders_lose_nothing_without_a_word(tmp_path: Path, first: int) -> None:
    seen = set()
    for n in range(first, first + 10):
        folder, outcome, wrong = fuzz_folders.one(7, n, tmp_path / str(n))
        assert not wrong, f"--seed 7 --only {n}: {folder.done}: {wrong}"
        seen.add(outcome)
    assert "whole" in seen or "told" in seen


def test_the_judge_sees_what_vanished(tmp_path: Path) -> None:
    """The fuzzer's own check: an object that is neither read nor named, and one on a picture that is not its own."""
    folder = fuzz_folders.fresh(np.random.default_rng(1), "yolo")
    first, other = (p for p in folder.pictures[:2])
    seen = fuzz_folders.Seen(read={p.digest: [(t.name, tuple(map(float, t.box))) for t in p.things]
                                   for p in folder.pictures})
    assert not fuzz_folders.judge(folder, seen)
    gone = seen.read[first.digest].pop()
    assert len(fuzz_folders.judge(folder, seen)) == 1
    seen.lines = [f"{first.file}: has a line that cannot be read"]
    assert not fuzz_folders.judge(folder, seen)
    seen.read[other.digest].append(gone)
    assert any("nobody wrote" in w for w in fuzz_folders.judge(folder, seen))


# ---------------------------------------------------------------- what was found


def pictures(root: Path, count: int = 3, folder: str = "") -> None:
    for k in range(count):
        noise(root / folder / f"{k}.png", seed=k)


def held(where: Path, **options: Any) -> dict[str, int]:
    """Picture -> its objects, as training reads them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        data = open_dataset(where, "all", **options)
    return {Path(s.file).name: len(s.labels) for s in (data[i] for i in range(len(data)))}


def named(report: Report, *words: str) -> bool:
    return any(all(w in f"{f} {f.picture}" for w in words) for f in report.faults)


def via(root: Path, **change: Any) -> None:
    pictures(root)
    shape = {"name": "rect", **BOX}
    rows = {f"{k}.png": {"filename": f"{k}.png", "size": 1, "file_attributes": {}, "regions": [
        {"shape_attributes": shape, "region_attributes": {"label": "cat"}}]} for k in range(3)}
    rows["1.png"] = {k: v for k, v in (rows["1.png"] | change).items() if v is not None}
    put(root / "via.json", rows)


@pytest.mark.parametrize("regions", [None, "text", 7], ids=["absent", "text", "number"])
def test_a_picture_of_via_without_a_list_of_regions_is_no_background(tmp_path: Path, regions: Any) -> None:
    via(tmp_path, regions=regions)
    assert held(tmp_path) == {"0.png": 1, "2.png": 1}
    assert named(examine(tmp_path), "1.png", "regions")


@pytest.mark.parametrize("rows", [None, "text", {}], ids=["absent", "text", "object"])
def test_a_picture_of_createml_without_annotations_is_no_background(tmp_path: Path, rows: Any) -> None:
    pictures(tmp_path)
    doc = [{"image": f"{k}.png", "annotations": [{"label": "cat", "coordinates": BOX}]} for k in range(3)]
    doc[1] = {"image": "1.png"} | ({} if rows is None else {"annotations": rows})
    put(tmp_path / "a.json", doc)
    assert held(tmp_path) == {"0.png": 1, "2.png": 1}
    assert named(examine(tmp_path), "1.png", "annotations")


def test_an_object_without_a_class_name_makes_no_class(tmp_path: Path) -> None:
    """In CreateML's JSON and in Supervisely's, where no list names the classes: its picture is left out alone."""
    pictures(tmp_path / "createml")
    put(tmp_path / "createml/a.json", [{"image": f"{k}.png", "annotations": [
        {"label": "cat" if k != 1 else "", "coordinates": BOX}]} for k in range(3)])
    pictures(tmp_path / "supervisely", folder="ds/img")
    for k in range(3):
        put(tmp_path / f"supervisely/ds/ann/{k}.png.json", {"size": {"height": 40, "width": 60}, "tags": [], "objects": [
            {"classTitle": "cat" if k != 1 else "", "geometryType": "rectangle",
             "points": {"exterior": [[5, 6], [24, 15]], "interior": []}}]})
    for name in ("createml", "supervisely"):
        assert held(tmp_path / name) == {"0.png": 1, "2.png": 1}
        report = examine(tmp_path / name)
        assert report.classes == ("cat",) and named(report, "no class name", "1.png")


def tasks(**change: Any) -> list[dict[str, Any]]:
    """Label Studio's export of three pictures; `change` is of the region of the second."""
    return [{"data": {"image": f"/data/upload/{k}.png"}, "annotations": [{"result": [
        {"id": "r", "type": "rectanglelabels", "original_width": 60, "original_height": 40,
         "value": BOX | {"rotation": 0, "rectanglelabels": ["cat"]}} | (change if k == 1 else {})]}]} for k in range(3)]


@pytest.mark.parametrize("kind", [None, -1, "Rectangle Labels", "x"])
def test_a_region_of_label_studio_is_known_by_its_extent(tmp_path: Path, kind: Any) -> None:
    pictures(tmp_path)
    put(tmp_path / "result.json", tasks(type=kind))
    assert held(tmp_path) == {"0.png": 1, "1.png": 1, "2.png": 1}


@pytest.mark.parametrize("rows", ["text", None, [{"result": "x"}], ["x"], [{"result": [{}]}]],
                         ids=["text", "null", "result", "list", "region"])
def test_a_task_whose_regions_cannot_be_read_is_no_background(tmp_path: Path, rows: Any) -> None:
    pictures(tmp_path)
    doc = tasks()
    doc[1]["annotations"] = rows
    put(tmp_path / "result.json", doc)
    assert held(tmp_path) == {"0.png": 1, "2.png": 1}
    assert named(examine(tmp_path), "1.png")


def test_records_that_cannot_be_read_are_named_with_their_picture(tmp_path: Path) -> None:
    pictures(tmp_path)
    put(tmp_path / "result.json", tasks(value=BOX | {"rotation": float("nan"), "rectanglelabels": ["cat"]}))
    assert named(examine(tmp_path), "region 0 of 1.png")


def test_a_label_file_of_zeros_is_no_picture_without_objects(tmp_path: Path) -> None:
    pictures(tmp_path, folder="images")
    for k in range(3):
        put(tmp_path / f"labels/{k}.txt", "0 0.5 0.5 0.2 0.2\n" if k != 1 else "\0" * 18)
    put(tmp_path / "classes.txt", "cat\n")
    assert held(tmp_path) == {"0.png": 1, "2.png": 1}
    assert named(examine(tmp_path), "1.txt", "zeros")


def test_a_second_byte_order_mark_is_no_part_of_a_class(tmp_path: Path) -> None:
    pictures(tmp_path, folder="image_2")
    for k in range(3):
        put(tmp_path / f"label_2/{k}.txt", "")
        text = "\ufeff" * (k == 1) + "cat 0 0 0 5 6 25 16 1 1 1 0 0 9 0\n"
        (tmp_path / f"label_2/{k}.txt").write_bytes(text.encode("utf-16" if k == 1 else "utf-8"))
    assert held(tmp_path) == {"0.png": 1, "1.png": 1, "2.png": 1} and examine(tmp_path).classes == ("cat",)


def test_an_object_of_voc_of_another_tag_takes_its_picture_out(tmp_path: Path) -> None:
    pictures(tmp_path, folder="JPEGImages")
    for k in range(3):
        put(tmp_path / f"Annotations/{k}.xml", voc_xml().replace("object>", "Object>") if k == 1 else voc_xml())
    assert held(tmp_path) == {"0.png": 1, "2.png": 1}
    assert named(examine(tmp_path), "1.xml", "<Object>")


def test_voc_in_folders_of_any_names(tmp_path: Path) -> None:
    pictures(tmp_path, folder="photos")
    for k in range(3):
        put(tmp_path / f"truth/{k}.xml", voc_xml())
    assert recognise(tmp_path) == "voc" and held(tmp_path) == {"0.png": 1, "1.png": 1, "2.png": 1}


ROWS = ["filename,class,xmin,ymin,xmax,ymax", *(f"{k}.png,cat,5,6,20,30" for k in range(3))]


def test_a_quotation_mark_that_is_not_closed_swallows_no_rows(tmp_path: Path) -> None:
    pictures(tmp_path)
    put(tmp_path / "labels.csv", "\n".join([*ROWS[:2], '"1.png,cat,5,6,20,30', ROWS[3]]))
    with pytest.raises(DataError, match="quotation mark"):
        held(tmp_path)


def test_a_row_that_ends_early_is_no_picture_without_objects(tmp_path: Path) -> None:
    pictures(tmp_path)
    put(tmp_path / "labels.csv", "\n".join([*ROWS[:3], "2.png,cat,5,6"]))
    assert held(tmp_path) == {"0.png": 1, "1.png": 1}
    assert named(examine(tmp_path), "2.png", "line 4")
    put(tmp_path / "labels.csv", "\n".join([*ROWS[:3], "2"]))
    assert held(tmp_path) == {"0.png": 1, "1.png": 1}
    put(tmp_path / "labels.csv", "\n".join([*ROWS[:3], "2.png,,,,,"]))
    assert held(tmp_path) == {"0.png": 1, "1.png": 1, "2.png": 0}


def test_a_row_of_too_many_cells_is_refused(tmp_path: Path) -> None:
    pictures(tmp_path)
    put(tmp_path / "labels.csv", "\n".join([*ROWS[:3], "2.png,cat,5,5,6,20,30"]))
    with pytest.raises(DataError, match="line 4.*7 cells for 6 columns"):
        held(tmp_path)
    put(tmp_path / "labels.csv", "\n".join([*ROWS[:3], "2.png,cat,5,6,20,30,,"]))
    assert held(tmp_path) == {"0.png": 1, "1.png": 1, "2.png": 1}


def shape(label: str, *points: list[float]) -> dict[str, Any]:
    return {"label": label, "points": list(points), "shape_type": "rectangle", "group_id": None}


def labelme(path: Path, *shapes: dict[str, Any]) -> None:
    noise(path.with_suffix(".png"), seed=len(str(path)) + sum(map(ord, path.stem)))
    put(path, {"imagePath": f"{path.stem}.png", "imageHeight": 40, "imageWidth": 60, "shapes": list(shapes)})


def test_labelme_in_folders_of_any_names(tmp_path: Path) -> None:
    labelme(tmp_path / "left/0.json", shape("cat", [1, 2], [9, 9]))
    labelme(tmp_path / "right side/0.json", shape("cat", [3, 4], [19, 19]), shape("dog", [3, 4], [8, 30]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data = open_dataset(tmp_path, "all")
    found = {Path(s.file).parent.name: s.boxes.tolist() for s in map(data.truth, range(len(data)))}
    assert found == {"left": [[1, 2, 9, 9]], "right side": [[3, 4, 19, 19], [3, 4, 8, 30]]}


def test_what_labelme_ignores_is_a_crowd_of_every_class(tmp_path: Path) -> None:
    labelme(tmp_path / "0.json", shape("cat", [1, 2], [9, 9]), shape("__ignore__", [20, 20], [40, 30]))
    labelme(tmp_path / "1.json", shape("dog", [1, 2], [9, 9]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data = open_dataset(tmp_path, "all")
    s = data.truth(0)
    assert data.info.classes.names == ("cat", "dog")
    assert s.crowd.tolist() == [False, True, True] and s.labels.tolist() == [0, 0, 1]


def test_annotations_outside_the_splits_are_named(tmp_path: Path) -> None:
    for split in ("train", "val"):
        labelme(tmp_path / split / "0.json", shape("cat", [1, 2], [9, 9]))
    labelme(tmp_path / "lost.json", shape("cat", [1, 2], [9, 9]))
    unused = examine(tmp_path).unused
    assert unused.annotations == ["lost.json"] and unused.pictures == ["lost.png"]


def test_a_value_means_one_grey_in_every_split(tmp_path: Path) -> None:
    for split, top in (("train", 4000), ("val", 900)):
        pixels = np.full((40, 60), 300, np.uint16)
        pixels[6:16, 5:25] = top
        (tmp_path / "images" / split).mkdir(parents=True)
        Image.fromarray(pixels).save(tmp_path / "images" / split / "0.png")
        put(tmp_path / f"annotations/instances_{split}.json", {
            "images": [{"id": 1, "file_name": "0.png", "width": 60, "height": 40}],
            "categories": [{"id": 1, "name": "cat"}],
            "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [5, 6, 20, 10], "area": 200,
                             "iscrowd": 0}]})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        greys = {int(open_dataset(tmp_path, s)[0].image[0, 0, 0]) for s in ("train", "val")}
    assert greys == {round(300 * 255 / 4095)}
    assert all(data.info.white == 4095 for data in examine(tmp_path).opened.values())
