"""Folders as tools export them and people keep them: the division that they say themselves, maps of one name in several
folders, corners as tools count them, and lines for what is not read."""
from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from made_data import make_yolo, noise
from stemma.core.types import DataError
from stemma.data.convert import convert
from stemma.data.doctor import examine
from stemma.data.labelled import open_set
from stemma.data.open import open_dataset, splits
from stemma.data.records import DataWarning
from test_odd_folders import NAMES, Box, H, W, coco, labelme, objects, opened, pictures, put, voc, yolo

Rows = Sequence[tuple[str, Sequence[Box]]]  # of each picture its path and its objects


def table(rows: Rows) -> str:
    return "filename,class,xmin,ymin,xmax,ymax\n" + "".join(
        f"{n},{NAMES[c]},{a},{b},{x},{y}\n" for n, own in rows for c, a, b, x, y in own)


def via(rows: Rows) -> dict[str, Any]:
    return {n: {"filename": n, "size": -1, "file_attributes": {}, "regions": [
        {"shape_attributes": {"name": "rect", "x": a, "y": b, "width": x - a, "height": y - b},
         "region_attributes": {"type": NAMES[c]}} for c, a, b, x, y in own]} for n, own in rows}


def each(ending: str, write: Callable[[str, Sequence[Box]], Any], room: str = "") -> Callable[[Path, Rows], None]:
    """Writes a file a picture, beside it or in a folder of its own."""
    def all_of(root: Path, rows: Rows) -> None:
        for n, own in rows:
            put((root / room / Path(n).name if room else root / n).with_suffix(ending), write(Path(n).name, own))
    return all_of


def one(name: str, write: Callable[[Rows], Any]) -> Callable[[Path, Rows], None]:
    return lambda root, rows: put(root / name, write(rows)) and None


WRITE = {"coco": one("annotations.json", coco), "csv": one("boxes.csv", table), "via": one("via.json", via),
         "labelme": each(".json", labelme), "voc": each(".xml", voc, "annotations")}


def told(where: Path, **options: Any) -> str:
    """What the doctor says of a folder."""
    found = examine(where, near=False, **options)
    return " | ".join([*map(str, found.faults), *found.notes])


def held(where: Path, split: str, **options: Any) -> dict[str, list[tuple[str, list[float]]]]:
    """Picture -> its classes and boxes."""
    data = opened(where, split, **options)
    return {data.table.files[i]: sorted((NAMES[k], b.tolist()) for k, b in zip(t.labels, t.boxes))
            for i in range(len(data)) for t in [data.truth(i)]}


def right(rows: Rows) -> dict[str, list[tuple[str, list[float]]]]:
    return {n: sorted((NAMES[c], [float(v) for v in box]) for c, *box in own) for n, own in rows}


@pytest.mark.parametrize("kind", ["coco", "csv", "via"])
def test_folders_of_splits_divide_what_one_file_names(tmp_path: Path, kind: str) -> None:
    """Else a hash would deal the pictures of val/ into training."""
    root = tmp_path / "set"
    rows = [(f"{'val' if k > 3 else 'train'}/{k}.png", objects(k)) for k in range(6)]
    for k, (n, _) in enumerate(rows):
        noise(root / n, H, W, seed=k)
    WRITE[kind](root, rows)
    assert splits(root) == ("train", "val")
    assert held(root, "train") == right(rows[:4]) and held(root, "val") == right(rows[4:])
    assert "the folders of its pictures divide the data" in told(root)
    for to in ("coco", "voc", "yolo"):
        convert(root, to, tmp_path / to)
        for split, own in (("train", rows[:4]), ("val", rows[4:])):
            back = {Path(n).name: found for n, found in held(tmp_path / to, split).items()}
            assert back.keys() == {Path(n).name for n, _ in own}
            for n, objs in right(own).items():
                there = back[Path(n).name]
                assert [c for c, _ in there] == [c for c, _ in objs]
                assert np.allclose([b for _, b in there], [b for _, b in objs], atol=1e-6)


@pytest.mark.parametrize("kind", list(WRITE))
@pytest.mark.parametrize("name, line", [("{}.txt", "{}"), ("{}_list.txt", "./images/{}.png annotations/{}.xml"),
                                        ("ImageSets/{}.txt", "images/{}.png")], ids=["stems", "pairs", "ImageSets"])
def test_lists_of_splits_divide_what_nothing_else_does(tmp_path: Path, kind: str, name: str, line: str) -> None:
    rows = [(f"images/{k}.png", own) for k, own in enumerate(pictures(tmp_path))]
    WRITE[kind](tmp_path, rows)
    for split, of in (("train", range(4)), ("val", range(4, 6))):
        put(tmp_path / name.format(split), "\n".join(line.replace("{}", str(k)) for k in of))
    options = {"format": "voc"} if kind == "voc" else {}
    assert list(map(len, (opened(tmp_path, "train", **options), opened(tmp_path, "val", **options)))) == [4, 2]
    assert sorted(held(tmp_path, "val", **options).values()) == sorted(right(rows[4:]).values())


def test_lists_that_do_not_divide_are_told(tmp_path: Path) -> None:
    rows = [(f"images/{k}.png", own) for k, own in enumerate(pictures(tmp_path))]
    WRITE["coco"](tmp_path, rows)
    put(tmp_path / "train.txt", "0\n1\n2\n")
    put(tmp_path / "val.txt", "2\n3\n")
    assert splits(tmp_path) == ("train", "val", "test", "all")
    assert "do not divide the data: val.txt puts images/2.png into train and val" in told(tmp_path)
    put(tmp_path / "val.txt", "3\n9\n")
    said = told(tmp_path)
    assert "train.txt and val.txt divide the data" in said and "1 names of train.txt and val.txt are no picture" in said
    assert "2 of 6 pictures are in no split of train.txt and val.txt and are not used" in said
    put(tmp_path / "train.txt", "hello\nworld\n")
    put(tmp_path / "val.txt", "again\n")
    assert splits(tmp_path) == ("train", "val", "test", "all"), "notes of somebody"


def test_a_folder_that_is_called_like_a_split_divides_nothing_alone(tmp_path: Path) -> None:
    """Pictures of trains beside those of buses."""
    rows = [(f"{'train' if k % 2 else 'bus'}/{k}.png", objects(k)) for k in range(6)]
    for k, (n, _) in enumerate(rows):
        noise(tmp_path / n, H, W, seed=k)
    WRITE["csv"](tmp_path, rows)
    assert splits(tmp_path) == ("train", "val", "test", "all") and held(tmp_path, "all") == right(rows)


def test_supervisely_data_sets_beside_train_are_splits_of_their_own(tmp_path: Path) -> None:
    put(tmp_path / "meta.json", {"classes": [{"title": n, "shape": "rectangle"} for n in NAMES]})
    for k in range(6):
        room = "holdout" if k > 3 else "train"
        noise(tmp_path / room / "img" / f"{k}.png", H, W, seed=k)
        put(tmp_path / room / "ann" / f"{k}.png.json", {"size": {"height": H, "width": W}, "tags": [], "objects": [
            {"classTitle": NAMES[c], "geometryType": "rectangle", "tags": [],
             "points": {"exterior": [[a, b], [x - 1, y - 1]], "interior": []}} for c, a, b, x, y in objects(k)]})
    assert splits(tmp_path) == ("train", "val", "holdout")
    both = held(tmp_path, "train") | held(tmp_path, "val")
    assert sorted(both) == [f"train/img/{k}.png" for k in range(4)]
    assert held(tmp_path, "holdout") == right([(f"holdout/img/{k}.png", objects(k)) for k in (4, 5)])
    assert "splits of their own, which are opened by their names alone: holdout" in told(tmp_path)


@pytest.mark.parametrize("to", ["coco", "voc", "yolo"])
def test_splits_of_their_own_names_come_back(tmp_path: Path, to: str) -> None:
    """A set with a minival beside train and val, as every writer writes it; a class that it lacks counts as well."""
    root = tmp_path / "set"
    for split, at in (("train", range(4)), ("val", range(4, 6)), ("minival", range(6, 8))):
        rows = [(f"{k}.png", objects(k)[: 1 + (split != "minival")]) for k in at]
        for k in at:
            noise(root / "images" / split / f"{k}.png", H, W, seed=k)
        put(root / "annotations" / f"instances_{split}.json", coco(rows))
    assert splits(root) == ("train", "val", "minival")
    convert(root, to, tmp_path / to)
    assert splits(tmp_path / to) == ("train", "val", "minival")
    for split in ("train", "val", "minival"):
        one, two = ({Path(n).name: o for n, o in held(at, split).items()} for at in (root, tmp_path / to))
        assert one.keys() == two.keys()
        assert all(a[0] == b[0] and np.allclose(a[1], b[1], atol=1e-6) for n in one
                   for a, b in zip(one[n], two[n], strict=True))


# ---------------------------------------------------------------- maps


def drawn(root: Path, name: str, k: int) -> np.ndarray:
    """A map of the classes 1 and 2 that no other number has."""
    m = np.zeros((H, W), np.uint8)
    m[4 : 8 + k, 3:20], m[20:30, 30 : 36 + k] = 1, 2
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(m).save(root / name)
    return m


def test_a_map_is_no_picture_of_another_folder(tmp_path: Path) -> None:
    """Two cameras number their pictures alike, and one map is not there."""
    maps = {}
    for k, room in enumerate(("a", "b", "c")):
        noise(tmp_path / "images" / room / "1.png", H, W, seed=k)
        if room != "b":
            maps[f"images/{room}/1.png"] = drawn(tmp_path, f"masks/{room}/1.png", k)
    (tmp_path / "masks/c/1.png").rename(tmp_path / "masks/1.png")  # nor is it b's
    put(tmp_path / "classes.txt", "ground\nbolt\nnut\n")
    data = opened(tmp_path, "all", maps="class")
    assert data.table.files == ["images/a/1.png"]
    assert np.array_equal(data.truth(0).semantic, maps["images/a/1.png"])
    assert told(tmp_path, maps="class").count("has no map in masks") == 2


def test_pairs_of_a_list_may_have_one_name_in_two_folders(tmp_path: Path) -> None:
    names = ["a/1", "b/1", "a/2"]
    maps = [drawn(tmp_path, f"trainannot/{n}.png", k) for k, n in enumerate(names)]
    for k, n in enumerate(names):
        noise(tmp_path / "train" / f"{n}.png", H, W, seed=k)
    put(tmp_path / "classes.txt", "ground\nbolt\nnut\n")
    put(tmp_path / "train.txt", "".join(f"/SegNet/train/{n}.png /SegNet/trainannot/{n}.png\n" for n in names)
        + "/SegNet/train/a 3.png /SegNet/trainannot/a 3.png\n")
    found = opened(tmp_path, "train", maps="class")
    again = opened(tmp_path, "val", maps="class")
    seen = {d.table.files[i]: d.truth(i).semantic for d in (found, again) for i in range(len(d))}
    assert sorted(seen) == sorted(f"train/{n}.png" for n in names)
    assert all(np.array_equal(seen[f"train/{n}.png"], m) for n, m in zip(names, maps))
    assert "is not a picture and its map" in told(tmp_path, maps="class")


def test_maps_of_cvats_camvid_are_no_classes(tmp_path: Path) -> None:
    colour = np.array([(0, 0, 0), (250, 50, 83), (51, 221, 255)], np.uint8)
    maps = [drawn(tmp_path, f"defaultannot/{k}.png", k) for k in range(4)]
    for k, m in enumerate(maps):
        noise(tmp_path / "default" / f"{k}.png", H, W, seed=k)
        Image.fromarray(colour[m]).save(tmp_path / "defaultannot" / f"{k}.png")
    put(tmp_path / "label_colors.txt", "0 0 0 background\n250 50 83 bolt\n51 221 255 nut\n")
    put(tmp_path / "default.txt", "".join(f"/default/{k}.png /defaultannot/{k}.png\n" for k in range(4)))
    data = opened(tmp_path, "all")
    assert data.info.semantic.names == ("background", *NAMES)
    assert all(np.array_equal(data.truth(i).semantic, m) for i, m in enumerate(maps))


# ---------------------------------------------------------------- corners, names, encodings


@pytest.mark.parametrize("tool", ["CVAT", "Label Studio", "LabelImg"])
def test_corners_are_counted_as_the_tool_does(tmp_path: Path, tool: str) -> None:
    """CVAT and Datumaro write 3.0 and Label Studio 3 for an edge from 0; LabelImg counts from 1."""
    for k, own in enumerate(pictures(tmp_path, name="JPEGImages/{}.png")):
        text = voc(f"{k}.png", own, first=int(tool == "LabelImg"))
        if tool == "CVAT":
            for c in ("xmin", "ymin", "xmax", "ymax"):
                text = text.replace(f"</{c}>", f".0</{c}>")
        elif tool == "Label Studio":
            text = text.replace("<object>", "<owner><flickrid>NULL</flickrid><name>Label Studio</name></owner><object>", 1)
        put(tmp_path / "Annotations" / f"{k}.xml", text)
    assert held(tmp_path, "all") == right([(f"JPEGImages/{k}.png", objects(k)) for k in range(6)])
    assert ("corners count from 0" in told(tmp_path)) == (tool != "LabelImg")


def test_ones_among_corners_with_points_count_from_one(tmp_path: Path) -> None:
    rows = [(0, 0, 0, 9, 9), (1, 3, 4, 20, 18)]
    noise(tmp_path / "JPEGImages" / "a.png", H, W)
    put(tmp_path / "Annotations" / "a.xml", voc("a.png", rows).replace("</xmin>", ".0</xmin>"))
    assert held(tmp_path, "all") == right([("JPEGImages/a.png", rows)])


def test_names_of_fiftyones_open_images(tmp_path: Path) -> None:
    for split, of in (("train", range(4)), ("validation", range(4, 6))):
        rows = [f"{k:016x},xclick,/m/0{c},1,{a / W},{x / W},{b / H},{y / H},0,0,0,0,0\n" for k in of
                for c, a, b, x, y in objects(k)]
        for k in of:
            noise(tmp_path / split / "data" / f"{k:016x}.png", H, W, seed=k)
        put(tmp_path / split / "labels" / "detections.csv", "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,"
            "IsOccluded,IsTruncated,IsGroupOf,IsDepiction,IsInside\n" + "".join(rows))
        put(tmp_path / split / "metadata" / "classes.csv", "/m/00,bolt\n/m/01,nut\n")
    data = opened(tmp_path, "val")
    assert data.info.classes.names == NAMES and len(data) == 2
    assert sorted(data.table.labels.tolist()) == [0, 0, 1, 1]


def test_yolo_below_a_list_of_classes(tmp_path: Path) -> None:
    """FiftyOne's YOLOv4Dataset: obj.names and images.txt above data/."""
    for k, own in enumerate(pictures(tmp_path, name="data/{}.png")):
        put(tmp_path / "data" / f"{k}.txt", yolo(own))
    put(tmp_path / "obj.names", "bolt\nnut\n")
    put(tmp_path / "images.txt", "".join(f"data/{k}.png\n" for k in range(6)))
    data = opened(tmp_path)
    assert len(data) == 6 and data.info.classes.names == NAMES
    assert np.allclose(np.sort(data.table.boxes[:2], 0), np.sort([b[1:] for b in objects(0)], 0))


@pytest.mark.parametrize("rows", [6, 400])
def test_a_table_in_utf_16(tmp_path: Path, rows: int) -> None:
    """As Excel saves "Unicode text", of more than the bytes that are looked at first, too."""
    pictures(tmp_path)
    text = "filename\tclass\txmin\tymin\txmax\tymax\r\n" + "".join(
        f"{k % 6}.png\t{NAMES[k % 2]}\t{3 + k % 9}\t4\t20\t18\r\n" for k in range(rows))
    put(tmp_path / "boxes.csv", text.encode("utf-16"))
    data = opened(tmp_path)
    assert len(data) == 6 and len(data.table.boxes) == rows


# ---------------------------------------------------------------- lines


@pytest.mark.parametrize("name, text, said, mend", [
    ("train.csv", "image,label\n0.png,bolt\n", "a table of classes or captions", "a path and a class a line"),
    ("captions.txt", "image,caption\n0.png,A dog runs .\n", "a table of classes or captions", "a folder a class"),
    ("train.jsonl", '{"file": "images/0.png", "label": "bolt"}\n', "a list of classes or captions", "a folder a class"),
    ("data/train-0.parquet", b"PAR1\x15\x04PAR1", "Hugging Face's Parquet", "write the pictures as files"),
    ("train/data-00000-of-00001.arrow", b"\xff\xff\xff\xff", "Hugging Face's Arrow", "write the pictures as files"),
    ("out.manifest", '{"source-ref": "s3://b/0.png"}\n', "SageMaker's manifest", "COCO's JSON"),
    ("labels.json", [{"label_hash": "x", "data_units": {}}], "a labelling tool's own JSON", "export COCO's JSON"),
    ("0.png.json", {"metadata": {}, "instances": [{"className": "bolt"}]}, "a labelling tool's own JSON", "export COCO"),
    ("annot/train.json", [{"joints_vis": [1], "joints": [[5, 6]]}], "MPII's points", "COCO's keypoints"),
    ("what.json", {"a": 1}, "what.json holds none that is known", "If a labelling tool wrote them, export COCO's JSON"),
])
def test_what_is_not_read_is_named_with_what_to_do(tmp_path: Path, name: str, text: Any, said: str, mend: str) -> None:
    pictures(tmp_path)
    put(tmp_path / name, text)
    with pytest.raises(DataError) as e:
        open_dataset(tmp_path)
    assert said in e.value.problem and mend in e.value.mend and "\n" not in str(e.value)


def test_the_advice_for_annotations_apart_from_their_pictures_works(tmp_path: Path) -> None:
    for k, own in enumerate(pictures(tmp_path, name="photographs/{}.png")):
        put(tmp_path / "mine" / f"{k}.json", labelme(f"..\\photographs\\{k}.png", own))
    with pytest.raises(DataError) as e:
        open_dataset(tmp_path)
    assert e.value.mend == "say --format labelme --labels mine"
    assert held(tmp_path, "all", format="labelme", labels="mine") == right(
        [(f"photographs/{k}.png", objects(k)) for k in range(6)])


@pytest.mark.parametrize("kind", ["crops", "labels"])
def test_splits_of_other_names_are_told_where_one_is_to_be_learned_from(tmp_path: Path, kind: str) -> None:
    make_yolo(tmp_path, ["0 0.5 0.5 0.5 0.5\n"] * 4, split="day")
    assert splits(tmp_path) == ("day",)
    with pytest.raises(DataError, match="has nothing to train on: its splits are day. call a split train"):
        open_set(f"{kind}:{tmp_path}")


def test_crops_leave_out_pictures_that_cannot_be_read(tmp_path: Path) -> None:
    """As the doctor says, and detectors do."""
    side = [(c, 3 + 20 * c, 4, 23 + 20 * c, 30) for c in (0, 1)]
    for split, count in (("train", 12), ("val", 4), ("test", 4)):
        rows = [(f"{k}.png", side) for k in range(count)]
        for k, (n, _) in enumerate(rows):
            noise(tmp_path / split / n, H, W, seed=100 * len(split) + k + 1000 * (split == "val"))
        put(tmp_path / split / "_annotations.coco.json", coco(rows))
    whole = open_set(f"crops:{tmp_path}")
    first = tmp_path / "train" / "0.png"
    first.write_bytes(first.read_bytes()[:200])
    found = open_set(f"crops:{tmp_path}")
    assert len(whole.parts["train"]) == 24 and len(found.parts["train"]) == 22
    assert all(found.parts["train"].read(i).shape == (26, 20, 3) for i in range(22))
    assert any("1 picture of train cannot be read and left out" in n for n in found.notes) and not whole.notes
    assert found.parts["train"].digest != whole.parts["train"].digest
    assert found.parts["val"].digest == whole.parts["val"].digest
    assert len(open_set(f"labels:{tmp_path}").parts["train"]) == 11
    assert json.loads(json.dumps(examine(tmp_path, near=False).as_dict()))["fault_counts"]["unreadable image"] == 1


@pytest.mark.parametrize("room", ["", "annotations/", "ImageSets/Main/"])
def test_trainval_is_trained_on_where_nothing_else_is(tmp_path: Path, room: str) -> None:
    """Oxford Pets' lists, with numbers behind each name, and VOC's."""
    rows = [(f"images/{k}.png", own) for k, own in enumerate(pictures(tmp_path))]
    WRITE["voc" if "Main" in room else "labelme"](tmp_path, rows)
    put(tmp_path / room / "list.txt", "#Image CLASS-ID\n0 1 1 1\n")
    for split, of in (("trainval", range(4)), ("test", range(4, 6))):
        put(tmp_path / room / f"{split}.txt", "\n".join(f"{k} 1" + " 1 1" * ("Main" not in room) for k in of))
    if "Main" in room:
        (tmp_path / room / "list.txt").unlink()
    assert splits(tmp_path) == ("train", "val", "test")
    assert held(tmp_path, "train") | held(tmp_path, "val") == right(rows[:4]) and held(tmp_path, "test") == right(rows[4:])
    assert len(opened(tmp_path, "train", train_split="trainval")) == 4
    put(tmp_path / room / "train.txt", "0\n1\n2\n")
    put(tmp_path / room / "val.txt", "3\n")
    assert held(tmp_path, "val") == right(rows[3:4]) and held(tmp_path, "train") == right(rows[:3])


def test_marks_of_one_file_are_counted_once_for_its_splits(tmp_path: Path) -> None:
    rows = [(f"{'val' if k > 3 else 'train'}/{k}.png", objects(k)) for k in range(6)]
    for k, (n, _) in enumerate(rows):
        noise(tmp_path / n, H, W, seed=k)
    doc = coco(rows)
    doc["annotations"][0]["attributes"] = doc["annotations"][-1]["attributes"] = {"hat": True}
    put(tmp_path / "annotations.json", doc)
    assert "train, val: 2 objects have" in told(tmp_path)


def test_classes_that_two_splits_spell_apart_are_told(tmp_path: Path) -> None:
    """Of boxes and of folders of classes, by the doctor and where they are opened."""
    for k in range(12):
        room = f"{('train', 'test')[k // 6]}/{('dog', 'cat', 'dog', 'Cat')[k // 3]}"
        noise(tmp_path / "classes" / room / f"{k}.png", H, W, seed=k)
    for k in range(4):
        noise(tmp_path / "boxes" / ("train", "val")[k // 2] / f"{k}.png", H, W, seed=k)
    for split, at, name in (("train", (0, 1), "cat"), ("val", (2, 3), "Cat")):
        put(tmp_path / "boxes" / split / "metadata.jsonl", "\n".join(json.dumps(
            {"file_name": f"{k}.png", "objects": {"bbox": [[2, 2, 9, 9]], "category": [name]}}) for k in at))
    wanted = "'Cat' and 'cat' are classes of their own, and differ in case"
    assert wanted in told(tmp_path / "boxes") and any(wanted in n for n in open_set(tmp_path / "classes").notes)
    with pytest.warns(DataWarning, match=wanted):
        open_dataset(tmp_path / "boxes", "val")
