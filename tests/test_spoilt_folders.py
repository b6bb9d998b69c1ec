"""Folders of every format that are spoilt by chance: nothing is lost without a word, nothing of the input is changed; and
what such folders found, each with its right value. `benchmarks/fuzz_folders.py` runs as many as one likes."""
from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from layouts import LAYOUTS, put
from made_data import make_maps, noise, voc_xml
from stemma.core.types import DataError
from stemma.data.convert import convert
from stemma.data.doctor import Report, examine
from stemma.data.open import open_dataset, open_pair, recognise
from stemma.data.records import DataWarning

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))

import fuzz_folders  # noqa: E402
import small_folders  # noqa: E402

BOX = {"x": 5, "y": 6, "width": 20, "height": 10}


@pytest.mark.parametrize("format", small_folders.FORMATS)
def test_what_is_spoilt_is_whole_before(tmp_path: Path, format: str) -> None:
    folder = small_folders.fresh(np.random.default_rng(3), format)
    seen = fuzz_folders.look(fuzz_folders.write(folder, tmp_path), tmp_path / "out", "")
    assert not seen.crash and not seen.error and not fuzz_folders.judge(folder, seen)
    for p in folder.pictures:
        there = sorted((t.name, t.box) for t in p.things)
        assert sorted(seen.read[p.digest]) == [(n, pytest.approx(b, abs=0.02)) for n, b in there], p.file


@pytest.mark.parametrize("first", range(0, 84, 12))
def test_spoilt_folders_lose_nothing_without_a_word(tmp_path: Path, first: int) -> None:
    """Four of each format."""
    seen = set()
    for n in range(first, first + 12):
        folder, outcome, wrong = fuzz_folders.one(7, n, tmp_path / str(n))
        assert not wrong, f"--seed 7 --only {n}: {folder.done}: {wrong}"
        seen.add(outcome)
    assert "whole" in seen or "told" in seen


def test_the_judge_sees_what_vanished(tmp_path: Path) -> None:
    """The fuzzer's own check: an object that is neither read nor named, and one on a picture that is not its own."""
    folder = small_folders.fresh(np.random.default_rng(1), "yolo")
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


@pytest.mark.parametrize("tag", ["Object", "objects"])
def test_an_object_of_voc_of_another_tag_is_read_or_takes_its_picture_out(tmp_path: Path, tag: str) -> None:
    """In other letters it is one of VOC's."""
    pictures(tmp_path, folder="JPEGImages")
    for k in range(3):
        put(tmp_path / f"Annotations/{k}.xml", voc_xml().replace("object>", f"{tag}>") if k == 1 else voc_xml())
    if tag == "Object":
        assert held(tmp_path) == {"0.png": 1, "1.png": 1, "2.png": 1}
        return
    assert held(tmp_path) == {"0.png": 1, "2.png": 1}
    assert named(examine(tmp_path), "1.xml", f"<{tag}>")


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


@pytest.mark.parametrize("closed", [False, True])
def test_nor_does_one_in_a_column_that_nobody_reads(tmp_path: Path, closed: bool) -> None:
    """A remark of two lines is one."""
    pictures(tmp_path)
    head, *rows = (f"{r},{'remark' if not k else 'good'},{k}" for k, r in enumerate(ROWS))
    put(tmp_path / "labels.csv", "\n".join([head, rows[0].replace("good", '"two\nlines"'), *rows[1:]]))
    assert held(tmp_path) == {"0.png": 1, "1.png": 1, "2.png": 1}
    rows = [rows[0].replace("good", '"good'), rows[1], rows[2].replace("good", 'good"' if closed else "good")]
    put(tmp_path / "labels.csv", "\n".join([head, *rows]))
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


# ---------------------------------------------------------------- people, maps, segments


def laid_out(name: str, root: Path) -> Path:
    """A layout's own truth, without crowds, masks and points."""
    layout = LAYOUTS[name]
    layout.write(root, layout.truth(frozenset()))
    return root


def lost(report: Report, picture: str) -> bool:
    """Whether a picture is named as one that is left out, or that training skips."""
    return any(picture in f"{f} {f.picture}" and ("left out" in f.mend or "skips" in f.mend) for f in report.faults)


@pytest.mark.parametrize("line", ["2,3,12,14,1,0,0", "2,3,12,14,1,4,0,0,0", "2,3,12,14,1,4", "2,3,12,14,1,inf,0,0",
                                  "2,3,12,14,1,nan,0,0", "2,3,12,14,1,1.5,0,0"])
def test_a_line_of_visdrone_of_other_than_eight_numbers_is_no_ignored_region(tmp_path: Path, line: str) -> None:
    """A line that lost its category would mark a place of every class."""
    root = laid_out("visdrone", tmp_path)
    put(root / "VisDrone2019-DET-train" / "annotations" / "a.txt", line)
    assert lost(examine(root), "a.txt")


@pytest.mark.parametrize(("count", "rows"), [(1, 2), (0, 1), (3, 2)])
def test_faces_that_are_not_as_many_as_the_list_says_take_their_picture_out(tmp_path: Path, count: int, rows: int) -> None:
    root = laid_out("wider", tmp_path)
    lists = root / "wider_face_split" / "wider_face_train_bbx_gt.txt"
    first, _, rest = lists.read_text().partition("0--train/cam_1/b.jpg")
    put(lists, f"0--train/a.jpg\n{count}\n" + "5 6 10 11 0 0 0 0 0 0\n" * rows + "0--train/cam_1/b.jpg" + rest)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data = open_dataset(root, "train")
    assert len(data) == 4 and lost(examine(root), "a.jpg") and not lost(examine(root), "b.jpg")


def test_one_wrong_number_makes_no_pixels_of_fractions(tmp_path: Path) -> None:
    root = laid_out("open_images", tmp_path)
    table = root / "train-annotations-bbox.csv"
    lines = table.read_text().splitlines()
    lines[1] = lines[1].replace(",1,0.", ",1,71.", 1)
    put(table, "\n".join(lines))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data = open_dataset(root, "train")
    assert len(data) == 4 and min(b[2] - b[0] for i in range(4) for b in data.truth(i).boxes) > 10
    assert lost(examine(root), "a.png")


def test_the_list_of_class_names_is_found_in_any_case_and_is_used(tmp_path: Path) -> None:
    root = laid_out("open_images", tmp_path)
    names = root / "class-descriptions-boxable.csv"
    names.rename(root / "Class-Descriptions-Boxable.CSV")
    report = examine(root)
    assert report.classes == ("cat", "dog") and not report.unused.annotations
    (root / "Class-Descriptions-Boxable.CSV").unlink()
    assert any("2 classes are called by codes (/m/cat, /m/dog)" in n for n in examine(root).notes)


@pytest.mark.parametrize("kind", ["cuboid_3d", None, "Bbox"])
def test_an_annotation_of_datumaro_of_another_type_takes_its_picture_out(tmp_path: Path, kind: Any) -> None:
    """Labels and captions are of whole pictures, and no objects."""
    root = laid_out("datumaro", tmp_path)
    path = root / "annotations" / "train.json"
    doc = json.loads(path.read_text())
    doc["items"][0]["annotations"][1]["type"] = kind
    doc["items"][1]["annotations"].append({"type": "label", "label_id": 0})
    put(path, doc)
    report = examine(root)
    assert lost(report, "a.png") and any("1 annotations of the kind label" in n for n in report.notes)
    del doc["items"][0]["annotations"]
    put(path, doc)
    assert lost(examine(root), "a.png")


def panoptic(root: Path) -> Path:
    return laid_out("panoptic", root) / "annotations" / "panoptic_train"


def test_a_segment_without_a_pixel_takes_its_picture_out(tmp_path: Path) -> None:
    """It would be an object with a box and an empty mask; the doctor says so before training does."""
    path = panoptic(tmp_path) / "a.png"
    with Image.open(path) as im:
        pixels = np.array(im)
    pixels[(pixels == pixels[10, 5]).all(-1)] = 0
    Image.fromarray(pixels).save(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data = open_dataset(tmp_path, "train")
    with pytest.raises(DataError, match="has no pixel of the segment"):
        [data.truth(i) for i in range(len(data))]
    assert lost(examine(tmp_path), "panoptic_train/a.png")


@pytest.mark.parametrize("name", ["panoptic", "maps"])
def test_a_map_that_is_a_link_out_of_the_folder_is_not_read(tmp_path: Path, name: str) -> None:
    root = laid_out(name, tmp_path / "in")
    path = root / ("annotations/panoptic_train/a.png" if name == "panoptic" else "masks/train/a.png")
    path.rename(tmp_path / "outside.png")
    path.symlink_to(tmp_path / "outside.png")
    assert any("is a link that leads outside" in f.problem and "a.png" in str(f) for f in examine(root).faults)
    with pytest.raises(DataError, match="leads outside the data folder"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        open_dataset(root, "train")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert len(open_dataset(root, "train", follow_links=True)) == 5


def test_maps_that_all_are_links_are_read_where_that_is_said(tmp_path: Path) -> None:
    three = np.zeros((20, 30), np.uint8)
    three[2:8, 2:8], three[10:15, 10:20], three[16:19, 2:8] = 1, 2, 3
    one = np.minimum(three, 1)
    root = make_maps(tmp_path / "in", [three, three, one], labels="masks")
    (root / "masks").rename(tmp_path / "masks")
    (root / "masks").mkdir()
    for file in (tmp_path / "masks").iterdir():
        (root / "masks" / file.name).symlink_to(file)
    with pytest.raises(DataError, match="leads outside the data folder"):
        open_dataset(root, "all")
    assert len(open_dataset(root, "all", follow_links=True)) == 3


def test_a_map_outside_of_the_folder_does_not_say_what_maps_hold(tmp_path: Path) -> None:
    """It lies between those that are looked at, which are empty."""
    bare = np.zeros((20, 30), np.uint8)
    root = make_maps(tmp_path / "in", [bare] * 40, labels="masks")
    Image.fromarray(np.eye(20, 30, dtype=np.uint8)).save(tmp_path / "outside.png")
    (root / "masks" / "m8.png").unlink()
    (root / "masks" / "m8.png").symlink_to(tmp_path / "outside.png")
    with pytest.raises(DataError, match="has nothing but 0 in all of its 40 maps"):
        open_dataset(root, "all")


def test_numbers_of_maps_mean_the_same_in_every_split(tmp_path: Path) -> None:
    """Two objects in the maps of training, one in each of validation's: these are objects too, and no foreground."""
    one, two = np.zeros((2, 40, 60), np.uint8)
    one[3:9, 4:20] = 1
    two[3:9, 4:20], two[20:30, 4:20], two[20:30, 30:50] = 1, 2, 3
    for split, maps in (("train", [two, one]), ("val", [one])):
        for k, m in enumerate(maps):
            noise(tmp_path / "images" / split / f"{k}.png", seed=k + 5 * (split == "val"))
            (tmp_path / "masks" / split).mkdir(parents=True, exist_ok=True)
            Image.fromarray(m).save(tmp_path / "masks" / split / f"{k}.png")
    for split in ("train", "val"):
        assert open_dataset(tmp_path, split).info.classes.names == ("object",)
    (tmp_path / "masks/train/0.png").write_bytes(b"no picture")  # and it takes nothing with it but its own
    (tmp_path / "masks/train/0.png").rename(tmp_path / "masks/train/2.png")
    Image.fromarray(two).save(tmp_path / "masks/train/0.png")
    noise(tmp_path / "images/train/2.png", seed=9)
    report = examine(tmp_path)
    assert not report.refused and lost(report, "masks/train/2.png")


def test_maps_of_one_number_say_how_they_are_read(tmp_path: Path) -> None:
    make_maps(tmp_path, [np.eye(40, 60, dtype=np.uint8)] * 3)
    assert any("background and foreground; say --maps instance" in n for n in examine(tmp_path).notes)


def test_a_map_is_found_whatever_the_case_of_its_name(tmp_path: Path) -> None:
    root = laid_out("maps", tmp_path)
    (root / "masks/train/a.png").rename(root / "masks/train/A.PNG")
    report = examine(root)
    assert not report.faults and not report.unused and report.splits["train"].images == 5


def test_splits_whose_classes_disagree_are_refused(tmp_path: Path) -> None:
    """By training as by the doctor: a label would mean two things."""
    root = laid_out("datumaro", tmp_path / "in")
    path = root / "annotations" / "val.json"
    doc = json.loads(path.read_text())
    doc["categories"]["label"]["labels"].reverse()
    put(path, doc)
    assert examine(root).refused
    with pytest.raises(DataError, match="class lists disagree"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        open_pair(root)
    with pytest.raises(DataError, match="class lists disagree"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        convert(root, "yolo", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_data_without_a_training_split_say_so(tmp_path: Path) -> None:
    root = laid_out("coco", tmp_path)
    (root / "annotations" / "instances_train.json").unlink()
    assert any("there is no split 'train' to learn from; val can be measured on" in n for n in examine(root).notes)


def test_a_panoptic_set_of_void_alone_is_no_traceback(tmp_path: Path) -> None:
    from stemma.data.look import places

    data = open_dataset(panoptic(tmp_path).parent.parent, "train")
    empty = [data.truth(i) for i in range(len(data))]
    for s in empty:
        s.semantic = np.full((40, 60), 255, np.uint8)
        s.boxes, s.labels, s.crowd = s.boxes[:0], s.labels[:0], s.crowd[:0]
    assert places(empty) is None


SEVERAL = [n for n in small_folders.FORMATS if n not in ("wider", "crowdhuman", "citypersons", "caltech")]  # of several classes


@pytest.mark.parametrize("format", SEVERAL)
def test_a_class_that_a_split_lacks_keeps_its_number(format: str, tmp_path: Path) -> None:
    """Of every format, where one split or the other has no object of a class."""
    lacking = set()
    for seed in range(40):
        folder = small_folders.fresh(np.random.default_rng(seed), format)
        have = [{t.name for p in folder.pictures if p.split == s for t in p.things} for s in ("train", "val")]
        lacks = {k for k in (0, 1) if have[1 - k] - have[k]}
        if {p.split for p in folder.pictures} != {"train", "val"} or not lacks - lacking:
            continue
        lacking |= lacks
        place = fuzz_folders.write(folder, tmp_path / str(seed))
        train, val = (open_dataset(place, s, on_fault="report").info.classes for s in ("train", "val"))
        assert train == val and have[0] | have[1] <= set(train.names) | {"object"}, (have, train, val)
        if lacking == {0, 1}:
            return
    assert format == "label-studio", f"no folder of {format} lacked a class"


@pytest.mark.parametrize("kind", ["videos", "texts"])
def test_caltechs_labels_have_one_number_in_all_splits(kind: str, tmp_path: Path) -> None:
    from test_people_data import TEXT, caltech, frame_of, texts, vbb

    if kind == "texts":
        root = texts(tmp_path, TEXT.replace("person 7", "cyclist 7"))
    else:
        root = caltech(tmp_path)
        vbb(root / "annotations" / "set00" / "V001.vbb",
            [[], [frame_of("cyclist", (3, 5, 10, 30), labels=(labels := []))]], labels)
    for split in ("train", "val", "test"):
        assert open_dataset(root, split).info.classes.names == ("cyclist", "person")


def test_a_stop_of_the_whole_is_no_fault_of_one_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command ends in its own way at SIGTERM; what runs many of them in one process ends then too."""
    import folder_cases
    from stemma import cli

    for code in (129, 130, 143):
        monkeypatch.setattr(cli, "main", lambda _, code=code: sys.exit(code))
        for run in (folder_cases.stemma, fuzz_folders.command):
            with pytest.raises(KeyboardInterrupt):
                run("doctor", "scenes")


def test_after_a_command_was_listened_to_the_consoles_speak_where_python_does(capsys: pytest.CaptureFixture[str]) -> None:
    import folder_cases
    from stemma.cli import screen

    said = folder_cases.stemma("train", "no-such-paper", "--data", "scenes:64:16")
    assert said.code == 2 and "no-such-paper" in said.err and not said.out
    for console, read in ((screen.out, 0), (screen.err, 1)):
        console.print("heard")
        assert capsys.readouterr()[read] == "heard\n"


@pytest.mark.parametrize("format", ["yolo", "voc", "labelme", "kitti", "supervisely", "visdrone", "caltech"])
def test_one_file_that_is_no_text_costs_its_own_picture_alone(format: str, tmp_path: Path) -> None:
    """Of every format that has a file of annotations a picture."""
    for seed in range(30):
        folder = small_folders.fresh(np.random.default_rng(seed), format)
        place = fuzz_folders.write(folder, tmp_path / str(seed))
        pictured = {p.stem for p in folder.pictures}
        files = [p for p in sorted(place.rglob("*")) if p.suffix in (".txt", ".xml", ".json") and p.is_file()
                 and p.name.split(".")[0] in pictured]
        before = sum(s.images for s in examine(place, workers=1).splits.values())
        if len(files) >= 3 and before == len(folder.pictures):
            files[0].write_bytes(files[0].read_bytes().rstrip()[:-1] + b"\xff\xfe\xff")
            report = examine(place, workers=1)
            assert sum(s.images for s in report.splits.values()) == before - 1
            (fault,) = [f for f in report.faults if f.kind == "broken annotation"]
            assert Path(fault.file) == files[0] and "left out" in fault.mend
            return
    raise AssertionError(f"no folder of {format} has three files")
