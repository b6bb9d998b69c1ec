"""Data sets written in other formats: the same truth comes back, and what cannot be held is said."""
from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from layouts import held
from made_data import coco_doc, make_coco, make_voc, make_yolo, noise, voc_xml
from stemma.core.samples import DataError
from stemma.data.convert import FORMATS, convert
from stemma.data.doctor import examine
from stemma.data.open import open_split
from stemma.data.records import DataWarning, Records
from test_cli import run

BLOB = np.zeros((40, 60), bool)
BLOB[10:20, 12:30] = BLOB[14:18, 40:50] = True


def rich(root: Path, whole: bool = False) -> Path:
    """A COCO folder of two splits: fractions, polygons of one and two rings, run lengths, a crowd, an empty picture,
    and two pictures of one base name. `whole`: of pixels that are whole and outlines of one ring."""
    from stemma.data.readers import rle

    ring, other = [5.0, 6.0, 25.0, 6.0, 25.0, 16.0, 5.0, 16.0], [30.0, 8.0, 41.0, 8.0, 41.0, 20.0]
    part = 0 if whole else 0.25
    shapes: list[Any] = [([5, 6, 20, 10], [ring]), ([2, 3, 17, 20], None), ([11, 0, 8 + part, 9], None)]
    if not whole:
        shapes += [([5, 6, 36, 14], [ring, other]), ([12, 10, 38, 10], rle.encode(BLOB))]
    for split, names in (("train", ["a/0.png", "b/0.png", "1.png", "2.png"]), ("val", ["3.png", "4.png"])):
        images = [{"id": 7 * i + 3, "file_name": n, "height": 40, "width": 60} for i, n in enumerate(names)]
        objects = [
            {"id": 100 * i + k + 1, "image_id": 7 * i + 3, "category_id": (7, 3)[k % 2], "bbox": box,
             "iscrowd": int(not whole and split == "train" and i == 2 and k == 4), "area": 33.5 + k,
             **({"segmentation": seg} if seg is not None else {})}
            for i in range(len(names) - 1) for k, (box, seg) in enumerate(shapes)
        ]
        for i, n in enumerate(names):
            noise(root / "images" / split / n, seed=i + len(split))
        path = root / "annotations" / f"instances_{split}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(coco_doc(0) | {"images": images, "annotations": objects}))
    return root


def truth(where: Path, **options: Any) -> dict[str, dict[str, list[tuple[Any, ...]]]]:
    """split -> picture, by its pixels -> (class, crowd, box) of its objects, sorted."""
    return {split: {picture: sorted((name, crowd, *(round(float(v), 2) for v in box)) for name, crowd, box, _, _ in rows)
                    for picture, rows in pages.items()} for split, pages in held(where, **options)[0].items()}


def masks(where: Path) -> dict[str, list[bytes]]:
    """picture of the training split -> its objects' masks, sorted."""
    return {picture: sorted(mask.tobytes() for _, _, _, mask, _ in rows)
            for picture, rows in held(where)[0]["train"].items()}


def made(root: Path, kind: str) -> Path:
    """A folder of a kind, whose truth every format can hold."""
    if kind == "coco":
        return rich(root, whole=True)
    if kind == "voc":
        objects = (("cat", 1, 1, 20, 10), ("dog", 5, 7, 31, 38))
        return make_voc(root, [voc_xml(objects)] * 3,
                        splits={"train": [0, 1], "val": [2]})
    if kind == "yolo":
        make_yolo(root, split="train")
        return make_yolo(root, split="val")
    if kind == "labelme":
        for i in range(6):
            noise(root / f"{i}.png", seed=i)
            shapes = [{"label": ("cat", "dog")[k % 2], "points": [[3 + k, 4], [20 + k, 19]], "shape_type": "rectangle"}
                      for k in range(3)]
            (root / f"{i}.json").write_text(json.dumps({"version": "5.0", "shapes": shapes, "imagePath": f"{i}.png",
                                                        "imageHeight": 40, "imageWidth": 60, "flags": {}}))
    if kind == "createml":
        rows = []
        for i in range(6):
            noise(root / f"{i}.png", seed=i)
            rows.append({"image": f"{i}.png", "annotations": [
                {"label": "cat", "coordinates": {"x": 20.0, "y": 12.0, "width": 10.0, "height": 8.0}}]})
        (root / "annotations.json").write_text(json.dumps(rows))
    return root


@pytest.mark.parametrize("to", FORMATS)
@pytest.mark.parametrize("kind", ["coco", "voc", "yolo", "labelme", "createml"])
@pytest.mark.filterwarnings("ignore::stemma.data.records.DataWarning")
def test_the_same_truth_comes_back(tmp_path: Path, kind: str, to: str) -> None:
    """Equal splits, pictures, classes and boxes to .01 pixel; and again from there into every other format."""
    (tmp_path / "data").mkdir()
    before = truth(made(tmp_path / "data", kind))
    done = convert(tmp_path / "data", to, tmp_path / "one")
    assert truth(tmp_path / "one") == before and sum(done.pictures.values()) == sum(map(len, before.values()))
    for other in FORMATS:
        convert(tmp_path / "one", other, tmp_path / other)
        assert truth(tmp_path / other) == before


@pytest.mark.filterwarnings("ignore::stemma.data.records.DataWarning")
def test_coco_holds_all_of_coco(tmp_path: Path) -> None:
    data = rich(tmp_path / "data")
    done = convert(data, "coco", tmp_path / "out")
    assert not done.lost and all("has no mask" in m for m in done.mended)
    assert truth(tmp_path / "out") == truth(data) and masks(tmp_path / "out") == masks(data)
    ours, theirs = (json.loads((r / "annotations" / "instances_train.json").read_text())
                    for r in (tmp_path / "out", data))
    for key in ("bbox", "area", "iscrowd", "category_id", "image_id"):
        assert [a[key] for a in ours["annotations"]] == [a[key] for a in theirs["annotations"]]
    assert {c["id"]: c["name"] for c in ours["categories"]} == {c["id"]: c["name"] for c in theirs["categories"]}


@pytest.mark.filterwarnings("ignore::stemma.data.records.DataWarning")
def test_outlines_of_one_ring_are_held_by_yolo(tmp_path: Path) -> None:
    data = rich(tmp_path / "data", whole=True)
    convert(data, "yolo", tmp_path / "out")
    assert masks(tmp_path / "out") == masks(data)


@pytest.mark.filterwarnings("ignore::stemma.data.records.DataWarning")
def test_what_yolo_cannot_hold_is_said_and_is_no_background(tmp_path: Path) -> None:
    data = rich(tmp_path / "data")
    done = convert(data, "yolo", tmp_path / "out")
    assert [re.sub(r"\d+", "N", x.split(":")[0]) for x in done.lost] == [
        "N classes say what they are a kind of, which is left out; coco holds it",
        "N areas are left out",
        "N masks in several pieces, or of run lengths, are written as their boxes",
        "N pictures with crowds are left out"]
    assert done.lost[3].startswith("1 pictures") and done.pictures == {"train": 3, "val": 2}
    kept, every = truth(tmp_path / "out"), truth(data)
    assert all(kept[s][p] == every[s][p] for s in kept for p in kept[s])
    assert sorted(p.name for p in (tmp_path / "out" / "labels" / "train").rglob("*.txt")) == ["0.txt", "0.txt", "2.txt"]
    assert not (tmp_path / "out" / "images" / "train" / "1.png").exists()


@pytest.mark.filterwarnings("ignore::stemma.data.records.DataWarning")
def test_voc_counts_pixels_from_one_unless_boxes_have_fractions(tmp_path: Path) -> None:
    convert(rich(tmp_path / "data", whole=True), "voc", tmp_path / "whole")
    text = (tmp_path / "whole" / "Annotations" / "train" / "1.xml").read_text()
    assert "<xmin>3</xmin>" in text and "<xmax>19</xmax>" in text  # x 2 to 19
    doc = coco_doc(2)
    for a in doc["annotations"]:
        a["bbox"][0] += 0.5
    for split in ("train", "val"):
        make_coco(tmp_path / "broken", doc, split, 2)
    done = convert(tmp_path / "broken", "voc", tmp_path / "out")
    assert any("fractions" in x for x in done.lost) and truth(tmp_path / "out") == truth(tmp_path / "broken")


def two_sets(root: Path) -> str:
    """Two COCO sets that are joined: equal names and numbers of pictures, JPEG, polygons; the second alone has a test
    split."""
    for k, (name, splits) in enumerate((("a", ("train", "val")), ("b", ("train", "val", "test")))):
        for split in splits:
            doc = coco_doc(2)
            for i, im in enumerate(doc["images"]):
                im["file_name"] = f"{i}.jpg"
                noise(root / name / "images" / split / f"{i}.jpg", seed=40 * k + 10 * len(split) + i, format="JPEG")
            for a in doc["annotations"]:
                x, y, w, h = a["bbox"]
                a["segmentation"] = [[x, y, x + w, y, x + w, y + h]]
            path = root / name / "annotations" / f"instances_{split}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(doc))
    return f"{root / 'a'}+{root / 'b'}"


@pytest.mark.parametrize("to", FORMATS)
@pytest.mark.filterwarnings("ignore::stemma.data.records.DataWarning")
def test_sets_that_are_joined_keep_every_split_file_and_name(tmp_path: Path, to: str) -> None:
    """Each picture once, whatever its times an epoch; a name that two have is told apart."""
    where = two_sets(tmp_path / "in")
    done = convert(f"{tmp_path / 'in' / 'a'}*3+{tmp_path / 'in' / 'b'}", to, tmp_path / "out")
    assert done.pictures == {"train": 4, "val": 4, "test": 2}
    assert f"3 times an epoch {tmp_path / 'in' / 'a'} is read, which is left out: it is written once" in done.lost
    want: dict[str, dict[str, Any]] = {}
    for place in where.split("+"):
        for split, pages in truth(Path(place)).items():
            want.setdefault(split, {}).update(pages)
    assert truth(tmp_path / "out") == want
    files = {p.name: p.read_bytes() for p in (tmp_path / "out").rglob("*.jpg") if p.parent.name == "train"}
    assert sorted(files) == ["0.jpg", "0_2.jpg", "1.jpg", "1_2.jpg"] and not list((tmp_path / "out").rglob("*.png"))
    assert files["0_2.jpg"] == (tmp_path / "in" / "b" / "images" / "train" / "0.jpg").read_bytes()
    if to == "coco":
        doc = json.loads((tmp_path / "out" / "annotations" / "instances_train.json").read_text())
        assert len({im["id"] for im in doc["images"]}) == 4
        assert all(isinstance(a["segmentation"], list) for a in doc["annotations"])
    with pytest.raises(DataError, match="lies in the data folder"):
        convert(where, to, tmp_path / "in" / "b" / "out")


def test_of_sets_that_are_joined_it_is_said_what_is_not_measured_and_not_written(tmp_path: Path) -> None:
    where = two_sets(tmp_path)
    with pytest.warns(DataWarning, match=r"the split 'val' is that of .*/a alone; that of .*/b is not read"):
        assert len(open_split(where, "val")) == 2
    done = convert(f"{tmp_path / 'a'}+{tmp_path / 'a'}", "coco", tmp_path / "once")
    assert done.pictures == {"train": 2, "val": 2}
    assert done.lost[0] == "2 pictures come more than once in train, and are written once"
    done = convert(f"{tmp_path / 'a'}+labels:{tmp_path / 'b'}", "coco", tmp_path / "boxed")
    assert done.pictures == {"train": 2, "val": 2}
    assert done.lost == [f"1 part is left out, labels:{tmp_path / 'b'}: it marks no objects"]


def test_a_picture_is_written_into_one_split(tmp_path: Path) -> None:
    """What --train-split takes from another split is left out there, and of data too few to divide all is "train"."""
    two_sets(tmp_path)
    done = convert(tmp_path / "b", "coco", tmp_path / "both", train_split="trainval")
    assert done.pictures == {"train": 4, "test": 2}
    assert done.lost == ["2 pictures of val are left out there: they are in train"]
    assert len(list((tmp_path / "both").rglob("*.jpg"))) == 6
    done = convert(tmp_path / "b", "coco", tmp_path / "other", train_split="val")
    assert done.pictures == {"train": 2, "test": 2} and done.lost[1:] == [
        "2 pictures of the data's own train are left out: --train-split takes another"]
    make_coco(tmp_path / "few", coco_doc(2), "", 2)
    with pytest.warns(DataWarning, match=r"not divided into splits \(2 images\), too few for train and val and test: "
                      "each of them is all of it"):
        done = convert(tmp_path / "few", "yolo", tmp_path / "small")
    assert done.pictures == {"train": 2}


def test_points_go_to_coco_and_yolo(tmp_path: Path) -> None:
    done = convert("scenes:64:6", "yolo", tmp_path / "yolo")
    assert any("outline or a pose" in x for x in done.lost)
    convert("scenes:64:6", "coco", tmp_path / "coco")
    first, second, third = (open_split(w, "train") for w in ("scenes:64:6", tmp_path / "coco", tmp_path / "yolo"))
    for i in range(6):
        a, b, c = first.truth(i), second.truth(i), third.truth(i)
        assert a.keypoints is not None and b.keypoints is not None and c.keypoints is not None
        assert np.allclose(a.keypoints, b.keypoints, atol=1e-4) and np.allclose(a.keypoints[..., 2] > 0,
                                                                               c.keypoints[..., 2] > 0)
        assert b.masks is not None and a.masks is not None and np.array_equal(a.masks, b.masks)
    assert second.info.points is not None and first.info.points is not None
    assert third.info.points is not None and third.info.points.names == first.info.points.names
    assert third.info.points.flip == first.info.points.flip
    assert f"{len(first.info.points.lines)} lines between points are left out" in done.lost
    assert second.info.points.names == first.info.points.names and second.info.points.lines == first.info.points.lines


def crowd_human(root: Path) -> Path:
    """Two people a picture, of the second of which two fifths can be seen."""
    for split in ("train", "val"):
        lines = []
        for i in range(2):
            noise(root / "Images" / f"{split}{i}.jpg", 240, 320, seed=i + len(split), format="JPEG")
            people = [{"tag": "person", "fbox": [x, 20, 60, 150], "vbox": [x, 20, 60, h], "hbox": [x, 20, 8, 8],
                       "head_attr": {}, "extra": {"box_id": 0, "occ": 0}} for x, h in ((20, 150), (120, 60))]
            lines.append(json.dumps({"ID": f"{split}{i}", "gtboxes": people}))
        (root / f"annotation_{split}.odgt").write_text("\n".join(lines))
    return root


@pytest.mark.filterwarnings("ignore::stemma.data.records.DataWarning")
def test_how_much_can_be_seen_goes_to_coco_and_is_told_elsewhere(tmp_path: Path) -> None:
    data = crowd_human(tmp_path / "data")
    parts = ["8 objects have a box of what is seen besides (--people visible reads it; its share of the whole is kept), "
             "which is not read", "8 objects have a box of the head besides (--people head reads it), which is not read"]
    assert convert(data, "coco", tmp_path / "coco").lost == parts
    for to in ("voc", "yolo"):
        assert convert(data, to, tmp_path / to).lost == [
            *parts, "8 objects say how much of them can be seen, which is left out; coco holds it"]
    for where in (data, tmp_path / "coco"):
        seen = open_split(where, "train").truth(0).visible
        assert seen is not None and seen.tolist() == [1, 0.4]
    path = tmp_path / "coco" / "annotations" / "instances_train.json"
    doc = json.loads(path.read_text())
    for a, share in zip(doc["annotations"], (1.7, None, "much", 0.25)):
        a["vis_ratio"] = share
    path.write_text(json.dumps(doc))
    again = open_split(tmp_path / "coco", "train")
    assert isinstance(again, Records) and again.table.visible is not None
    np.testing.assert_array_equal(again.table.visible, [np.nan, np.nan, np.nan, 0.25])
    assert sorted((f.record, f.problem) for f in again.faults) == [
        ("annotation 1 of train/train0.jpg", "is 1.7, no share from 0 to 1"),
        ("annotation 3 of train/train1.jpg", "is much, no share from 0 to 1")]


@pytest.mark.filterwarnings("ignore::stemma.data.records.DataWarning")
def test_areas_that_are_not_those_of_what_is_written_are_told(tmp_path: Path) -> None:
    """By these COCO's evaluation calls an object small. Three of an object's box, and one of half of it."""
    for split in ("train", "val"):
        doc = coco_doc(1)
        doc["annotations"] += [dict(a, id=a["id"] + 50, bbox=[30, 8, 20, 12]) for a in doc["annotations"]]
        for a in doc["annotations"]:
            a["area"] = a["bbox"][2] * a["bbox"][3]
        doc["annotations"][3]["area"] /= 2
        make_coco(tmp_path / "data", doc, split, 1)
    for to in ("yolo", "voc"):
        assert "2 areas are left out: those of boxes and outlines will be taken" in convert(
            tmp_path / "data", to, tmp_path / to).lost
    convert(tmp_path / "data", "coco", tmp_path / "coco")
    assert sorted(open_split(tmp_path / "coco", "train").truth(0).area.tolist()) == [120, 200, 200, 240]


@pytest.mark.filterwarnings("ignore::stemma.data.records.DataWarning")
def test_stuff_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Sky and road of COCO panoptic, two segments a picture, are no objects; a mended copy says so too."""
    root = tmp_path / "data"
    for split in ("train", "val"):
        noise(root / split / "0.jpg", 90, 120, seed=len(split), format="JPEG")
        ids = np.zeros((90, 120, 3), np.uint8)
        ids[:40], ids[40:], ids[50:70, 20:50] = (1, 0, 0), (2, 0, 0), (3, 0, 0)
        (root / "annotations" / f"panoptic_{split}").mkdir(parents=True)
        Image.fromarray(ids).save(root / "annotations" / f"panoptic_{split}" / "0.png")
        info = [{"id": k, "category_id": c, "iscrowd": 0, "area": n, "bbox": box} for k, c, n, box in (
            (1, 3, 4800, [0, 0, 120, 40]), (2, 4, 5400, [0, 40, 120, 50]), (3, 1, 600, [20, 50, 30, 20]))]
        (root / "annotations" / f"panoptic_{split}.json").write_text(json.dumps({
            "images": [{"id": 0, "file_name": "0.jpg", "width": 120, "height": 90}],
            "annotations": [{"image_id": 0, "file_name": "0.png", "segments_info": info}],
            "categories": [{"id": c, "name": n, "isthing": int(c == 1)} for c, n in ((1, "car"), (3, "sky"), (4, "road"))],
        }))
    line = "4 segments of stuff are left out: objects alone are held"
    done = convert(root, "coco", tmp_path / "coco")
    assert done.lost == [line] and done.objects == {"train": 1, "val": 1}
    _, said, _ = run(capsys, "doctor", str(root), "--fix", str(tmp_path / "mended"))
    assert line in said


def test_what_coco_a_cannot_hold_is_told(tmp_path: Path) -> None:
    """Of drawn scenes: classes and what they are a kind of; that the order of regions is not the data's own."""
    done = convert("scenes:64:4", "coco-a", tmp_path / "a")
    assert "8 classes are written as names of regions: read again, there are things and stuff alone" in done.lost
    assert any(x.startswith("6 pictures do not say which object is in front: ") for x in done.lost)
    again = convert(tmp_path / "a", "coco-a", tmp_path / "b")
    assert not [x for x in again.lost if "classes are" in x or "in front" in x]


def test_endings_and_the_case_of_names_keep_pictures_apart(tmp_path: Path) -> None:
    doc = coco_doc(2)
    doc["images"][1]["file_name"] = "0.jpg"
    for split in ("train", "val"):
        make_coco(tmp_path / "data", doc, split, 1)
        noise(tmp_path / "data" / "images" / split / "0.jpg", seed=9 + len(split))
    for to in FORMATS:
        convert(tmp_path / "data", to, tmp_path / to)
        assert truth(tmp_path / to) == truth(tmp_path / "data")


def test_nothing_that_is_there_is_touched(tmp_path: Path) -> None:
    data = rich(tmp_path / "data", whole=True)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "x.txt").write_text("mine")
    with pytest.raises(DataError, match="holds something already.*--out"):
        convert(data, "coco", tmp_path / "mine")
    with pytest.raises(DataError, match="lies in the data folder"):
        convert(data, "coco", data / "coco")
    with pytest.raises(DataError, match="no format that is written. use one of coco, coco-a, voc, yolo"):
        convert(data, "pascal", tmp_path / "out")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["data", "mine"]


def test_a_failure_leaves_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from stemma.data.writers import coco

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(coco, "write", full)
    with pytest.raises(OSError, match="No space"):
        convert(rich(tmp_path / "data", whole=True), "coco", tmp_path / "out")
    assert [p.name for p in tmp_path.iterdir()] == ["data"]


@pytest.mark.filterwarnings("ignore::stemma.data.records.DataWarning")
def test_maps_of_classes_are_no_objects(tmp_path: Path) -> None:
    for i in range(3):
        noise(tmp_path / "data" / "images" / f"{i}.png", seed=i)
        (tmp_path / "data" / "masks").mkdir(exist_ok=True)
        Image.fromarray((np.arange(2400).reshape(40, 60) % 3).astype(np.uint8)).save(
            tmp_path / "data" / "masks" / f"{i}.png")
    with pytest.raises(DataError, match="maps of classes and no objects"):
        convert(tmp_path / "data", "coco", tmp_path / "out", maps="class", names=["a", "b", "c"])


@pytest.mark.filterwarnings("ignore::stemma.data.records.DataWarning")
def test_the_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = rich(tmp_path / "data", whole=True)
    doc = json.loads((data / "annotations" / "instances_train.json").read_text())
    doc["annotations"][0]["bbox"] = [50, 6, 20, 10]  # ten pixels outside
    doc["annotations"][0].pop("segmentation")
    (data / "annotations" / "instances_train.json").write_text(json.dumps(doc))
    (data / "images" / "train" / "b" / "0.png").write_bytes(b"no picture")
    status, said, _ = run(capsys, "doctor", str(data), "--fix", str(tmp_path / "mended"))
    assert status == 1 and "faults were mended" in said
    changes = (tmp_path / "mended" / "CHANGES.md").read_text()
    assert "it is clipped" in changes and "b/0.png is left out: it cannot be used" in changes
    again = examine(tmp_path / "mended")
    assert not again.faults and {k: v.images for k, v in again.splits.items()} == {"train": 3, "val": 2}
    words = ["convert", str(tmp_path / "mended"), "--to", "yolo", "--out", str(tmp_path / "yolo")]
    status, said, _ = run(capsys, *words)
    assert status == 0 and "train" in said and "yolo: " in said
    status, _, error = run(capsys, *words)
    assert status == 2 and "holds something already" in error and "Traceback" not in error
    _, said, _ = run(capsys, "convert", str(data), "--to", "voc", "--out", str(tmp_path / "voc"), "--json")
    assert json.loads(said)["format"] == "voc"


ODD = {"caf\udce9.png": 0, "two\nlines.png": 1, "a 'b' & {x}.png": 2}  # bytes that are no UTF-8, and a line's end


@pytest.mark.parametrize("to", FORMATS)
@pytest.mark.filterwarnings("ignore::stemma.data.records.DataWarning")
def test_names_that_are_no_lines_of_text_get_others(tmp_path: Path, to: str) -> None:
    root = make_yolo(tmp_path / "data")
    for name, seed in ODD.items():
        noise(root / "images" / "train" / name, seed=20 + seed)
        (root / "labels" / "train" / name.replace(".png", ".txt")).write_text("0 .5 .5 .2 .2")
    done = convert(root, to, tmp_path / "out")
    assert any("2 pictures have names that are no lines of text" in x and "caf%E9.png" in x for x in done.lost)
    assert truth(root) == truth(tmp_path / "out") and not examine(tmp_path / "out").faults


@pytest.mark.whole
def test_a_name_that_is_no_text_is_shown_and_told_on_any_screen(tmp_path: Path) -> None:
    """A page, a terminal of strict UTF-8 or of ASCII, and JSON hold it, with the byte spelled out."""
    root = make_yolo(tmp_path / "data")
    noise(root / "images" / "train" / "two.png", seed=30)
    (root / "images" / "train" / "caf\udce9.png").write_bytes(b"no picture")
    (root / "labels" / "train" / "caf\udce9.txt").write_text("0 .5 .5 .2 .2")
    page = tmp_path / "page.html"
    for coding, more in (("utf-8:strict", ["--html", str(page)]), ("ascii:strict", []), ("utf-8:strict", ["--json"])):
        done = subprocess.run([sys.executable, "-m", "stemma", "doctor", str(root), *more], capture_output=True,
                              env=os.environ | {"PYTHONIOENCODING": coding})
        assert done.returncode == 1 and b"caf\\udce9.png" in done.stdout and b"Traceback" not in done.stderr, done.stderr
    assert "caf\udce9.png" in json.dumps(json.loads(done.stdout), ensure_ascii=False) and "caf\\udce9.png" in page.read_text()


@pytest.mark.filterwarnings("ignore::stemma.data.records.DataWarning")
def test_a_mended_copy_has_a_picture_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One that is there twice with the same objects is left out and named; one whose objects differ is for a person to
    judge."""
    root = make_yolo(tmp_path / "data")
    images, labels = root / "images" / "train", root / "labels" / "train"
    first = sorted(images.iterdir())[0]
    for name, text in (("same", (labels / f"{first.stem}.txt").read_text()), ("other", "0 .5 .5 .2 .2")):
        (images / f"{name}.png").write_bytes(first.read_bytes())
        (labels / f"{name}.txt").write_text(text)
    status, _, _ = run(capsys, "doctor", str(root), "--fix", str(tmp_path / "mended"))
    changes = (tmp_path / "mended" / "CHANGES.md").read_text()
    assert status == 1 and "same.png is left out" in changes and "other.png is left out" not in changes
    assert [f.kind.split()[0] for f in examine(tmp_path / "mended").faults] == ["duplicate"]
    status, _, error = run(capsys, "doctor", str(root), "--fix", str(root / "mended"))
    assert status == 2 and "choose another folder with --fix" in error


@pytest.mark.parametrize("name", ["# of bolts", "##", "a\nb", "a\x0bb", "a\ud800", "\x1b[31mred", " ", "#nut", "## nut", "x\ty",
                                  "- a: b", "'\"&<", "{a}"])
def test_a_class_of_any_name_comes_back_or_is_refused(tmp_path: Path, name: str) -> None:
    """A list of one name a line would lose a remark, or make two of what holds an end of line."""
    doc = coco_doc(3)
    doc["categories"][0]["name"] = name
    make_coco(tmp_path / "set", doc, "train", 3)
    want = open_split(tmp_path / "set", "train").info.classes.names
    assert name in want
    lines, text = name in ("#nut", "x\ty", "- a: b", "'\"&<", "{a}"), "\ud800" not in name
    for to, can in (("coco", True), ("yolo", text), ("voc", lines)):
        if can:
            convert(tmp_path / "set", to, tmp_path / to)
            assert open_split(tmp_path / to, "train").info.classes.names == want
        else:
            with pytest.raises(DataError, match=f"a name that {to} cannot hold. rename it, or use coco"):
                convert(tmp_path / "set", to, tmp_path / to)
            assert not (tmp_path / to).exists()


@pytest.mark.filterwarnings("ignore::stemma.data.records.DataWarning")
def test_numbers_of_coco_are_kept_and_those_of_others_are_no_others(tmp_path: Path) -> None:
    """Of pictures and of objects, in all splits; 0, which COCO's own evaluation takes for no match, is no object's."""
    own = {"train": coco_doc(2), "val": coco_doc(2)}
    for split, doc in own.items():
        make_coco(tmp_path / "data", doc, split, 2)
    make_yolo(tmp_path / "yolo")
    for place, to in (("data", "out"), ("yolo", "new")):
        convert(tmp_path / place, "coco", tmp_path / to)
    read = {to: {p.stem.partition("_")[2]: json.loads(p.read_text())
                 for p in sorted((tmp_path / to / "annotations").glob("*.json"))} for to in ("out", "new")}
    for split, doc in own.items():
        ours = read["out"][split]
        assert [im["id"] for im in ours["images"]] == [im["id"] for im in doc["images"]] == [100, 101]
        of = {a["id"]: (a["image_id"], a["category_id"], a["bbox"]) for a in doc["annotations"]}
        mine = {a["id"]: (a["image_id"], a["category_id"], a["bbox"]) for a in ours["annotations"]}
        (fresh,) = mine.keys() - of.keys()
        assert fresh >= 12 and mine.pop(fresh) == of.pop(0) and mine == of
    for kind in ("images", "annotations"):
        every = [row["id"] for doc in read["new"].values() for row in doc[kind]]
        assert len(read["new"]) > 1 and len(every) == len(set(every)) and (kind == "images" or 0 not in every)


@pytest.mark.filterwarnings("ignore::stemma.data.records.DataWarning")
def test_what_is_said_of_objects_and_not_read_is_counted(tmp_path: Path) -> None:
    """Attributes, marks and boxes of another part of a person; by the doctor too."""
    doc = coco_doc(2)
    doc["annotations"][0] |= {"attributes": {"occluded": True, "rotation": 0.0, "kind": ""}, "track_id": 7}
    doc["annotations"][1] |= {"attributes": {"occluded": False}, "num_keypoints": 0, "score": 0.25}
    make_coco(tmp_path / "coco", doc, images=2)
    xml = voc_xml().replace("</name>", "</name><pose>Left</pose><truncated>1</truncated><occluded>0</occluded>")
    make_voc(tmp_path / "voc", [xml, voc_xml(), voc_xml()], {"train": [0, 1], "val": [2]})
    person = {"tag": "person", "fbox": [1, 1, 20, 30], "vbox": [1, 1, 20, 15], "hbox": [5, 1, 6, 6]}
    (tmp_path / "people").mkdir()
    for split in ("train", "val"):
        noise(tmp_path / "people" / "Images" / f"{split}.jpg")
        (tmp_path / "people" / f"annotation_{split}.odgt").write_text(json.dumps(
            {"ID": split, "gtboxes": [person, person | {"hbox": [0, 0, 0, 0]}]}) + "\n")
    want = {"coco": ["1 objects have the attribute 'occluded'", "1 objects have the attribute 'track_id'",
                     "1 objects have the attribute 'score'"],
            "voc": ["1 objects have the mark <pose>", "1 objects have the mark <truncated>"],
            "people": ["4 objects have a box of what is seen besides (--people visible reads it; its share of the whole "
                       "is kept)", "2 objects have a box of the head besides (--people head reads it)"]}
    for place, said in want.items():
        lost = [x for x in convert(tmp_path / place, "coco", tmp_path / f"{place}-out").lost if "is not read" in x]
        assert sorted(lost) == sorted(f"{x}, which is not read" for x in said)
        notes = [n for n in examine(tmp_path / place).notes if "which is not read" in n]
        assert {n.partition(": ")[2].partition(" objects have ")[2].removesuffix(", which is not read") for n in notes
                } == {x.partition(" objects have ")[2] for x in said}
