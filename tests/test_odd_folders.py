"""Folders as people put them together by hand: boxes in other numbers, one picture in two files, several files of one
split, names in other letters, class lists that disagree. Nothing may be lost or mislabelled without a word."""
from __future__ import annotations

import base64
import json
import re
import threading
import unicodedata
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from layouts import LAYOUTS, truth
from made_data import noise
from stemma.core.types import DataError
from stemma.data.convert import convert
from stemma.data.doctor import Report, examine
from stemma.data.images import read_image
from stemma.data.misread import misread
from stemma.data.open import open_dataset, splits
from stemma.data.readers import rle
from stemma.data.readers.panoptic import encode
from stemma.data.records import DataWarning

W, H = 60, 40
NAMES = ("bolt", "nut")
Box = tuple[int, float, float, float, float]  # class, x1, y1, x2, y2
Write = Callable[[Path, Sequence[tuple[str, Sequence[Box]]]], None]


def objects(k: int) -> list[Box]:
    """Two boxes, one in each half of a picture."""
    return [(k % 2, 3 + k, 4, 20 + k, 18 + k), ((k + 1) % 2, 36, 20 - k, 50 + k, 37)]


def put(path: Path, doc: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(doc if isinstance(doc, bytes) else (doc if isinstance(doc, str) else json.dumps(doc)).encode())
    return path


def pictures(root: Path, count: int = 6, name: str = "images/{}.png") -> list[list[Box]]:
    """Pictures of noise and their objects."""
    for k in range(count):
        noise(root / name.format(k), H, W, seed=k)
    return [objects(k) for k in range(count)]


def coco(rows: Sequence[tuple[str, Sequence[Box]]], box: Callable[..., Any] = lambda a, b, x, y: [a, b, x - a, y - b],
         **more: Any) -> dict[str, Any]:
    """A COCO document; `box` writes corners as four numbers."""
    return {
        "images": [{"id": i, "file_name": n, "width": W, "height": H} for i, (n, _) in enumerate(rows)],
        "categories": [{"id": c, "name": n} for c, n in enumerate(NAMES)],
        "annotations": [{"id": 10 * i + j, "image_id": i, "category_id": c, "bbox": box(*at)} | {
            k: v(*at) for k, v in more.items()} for i, (_, own) in enumerate(rows) for j, (c, *at) in enumerate(own)]}


def labelme(name: str, own: Sequence[Box]) -> dict[str, Any]:
    return {"imagePath": name, "imageHeight": H, "imageWidth": W, "shapes": [
        {"label": NAMES[c], "points": [[a, b], [x, y]], "shape_type": "rectangle"} for c, a, b, x, y in own]}


def voc(name: str, own: Sequence[Box], first: int = 1) -> str:
    rows = "".join(f"<object><name>{NAMES[c]}</name><bndbox><xmin>{a + first}</xmin><ymin>{b + first}</ymin><xmax>{x}"
                   f"</xmax><ymax>{y}</ymax></bndbox></object>" for c, a, b, x, y in own)
    return f"<annotation><filename>{name}</filename>{rows}</annotation>"


def yolo(own: Sequence[Box]) -> str:
    return "".join(f"{c} {(a + x) / 2 / W} {(b + y) / 2 / H} {(x - a) / W} {(y - b) / H}\n" for c, a, b, x, y in own)


def opened(root: Path, split: str = "all", **options: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        return open_dataset(root, split, **options)


def examined(root: Path) -> Report:
    return examine(root, decode=False)


def held(data: Any, truth: Sequence[Sequence[Box]] | None = None) -> None:
    """Every picture k, called by its number, has its own objects."""
    assert len(data) == 6
    for i in range(6):
        s = data.truth(i)
        k = int("".join(c for c in Path(s.file).stem if c.isdigit()))
        want = sorted((NAMES[c], *at) for c, *at in (truth or [objects(j) for j in range(6)])[k])
        found = sorted((data.info.classes.names[c], *b) for c, b in zip(s.labels, s.boxes.round(3).tolist()))
        assert found == want, s.file


# ---------------------------------------------------------------- boxes in other numbers


def fractions(a: float, b: float, x: float, y: float) -> tuple[float, ...]:
    return a / W, b / H, x / W, y / H


def write_coco(root: Path, box: Callable[..., Any]) -> None:
    put(root / "annotations.json", coco([(f"{k}.png", own) for k, own in enumerate(pictures(root))], box))


def write_csv(root: Path, head: str, box: Callable[..., Any]) -> None:
    rows = [f"filename,class,{head}"]
    rows += [",".join(map(str, (f"{k}.png", NAMES[c], *box(*at)))) for k, own in enumerate(pictures(root))
             for c, *at in own]
    put(root / "labels.csv", "\n".join(rows))


def write_createml(root: Path, box: Callable[..., Any]) -> None:
    put(root / "annotations.json", [{"image": f"{k}.png", "annotations": [
        {"label": NAMES[c], "coordinates": dict(zip(("x", "y", "width", "height"), box(*at)))} for c, *at in own]}
        for k, own in enumerate(pictures(root))])


def write_yolo(root: Path, box: Callable[..., Any]) -> None:
    for k, own in enumerate(pictures(root)):
        put(root / f"labels/{k}.txt", "".join(f"{c} {' '.join(map(str, box(*at)))}\n" for c, *at in own))
    put(root / "data.yaml", "names: [bolt, nut]")


def write_voc(root: Path, box: Callable[..., Any]) -> None:
    for k, own in enumerate(pictures(root, name="JPEGImages/{}.png")):
        put(root / f"Annotations/{k}.xml", voc(f"{k}.png", [(c, *box(*at)) for c, *at in own], 0))


def write_labelme(root: Path, box: Callable[..., Any]) -> None:
    for k, own in enumerate(pictures(root, name="{}.png")):
        put(root / f"{k}.json", labelme(f"{k}.png", [(c, *box(*at)) for c, *at in own]))


def corners(*at: float) -> tuple[float, ...]:
    return at


def size(a: float, b: float, x: float, y: float) -> tuple[float, ...]:
    return a, b, x - a, y - b


@pytest.mark.parametrize(("write", "box", "said"), [
    (write_coco, corners, "read as x, y, width, height, and as x1, y1, x2, y2 all"),
    (lambda r, b: write_csv(r, "x,y,w,h", b), corners, "read as x, y, width, height, and as x1, y1, x2, y2 all"),
    (lambda r, b: write_csv(r, "xmin,ymin,xmax,ymax", b), size,
     "have no extent .* as x1, y1, x2, y2, and as x, y, width"),
    (write_createml, corners, "read as cx, cy, width, height, and as x1, y1, x2, y2 all"),
    (write_yolo, fractions, "read as cx, cy, width, height, and as x1, y1, x2, y2 all"),
    (write_voc, size, "have no extent .* as x1, y1, x2, y2, and as x, y, width, height"),
    (write_coco, lambda *at: list(size(*fractions(*at))), "12 of 12 boxes lie within the first pixel"),
    (write_voc, fractions, "12 of 12 boxes lie within the first pixel"),
    (write_labelme, fractions, "12 of 12 boxes lie within the first pixel"),
])
def test_boxes_in_other_numbers_are_refused(tmp_path: Path, write: Any, box: Any, said: str) -> None:
    write(tmp_path, box)
    with pytest.raises(DataError, match=said):
        opened(tmp_path)
    report = examined(tmp_path)
    assert report.refused and [f.kind for f in report.faults if not f.safe and "unusable" not in f.kind] == [
        "boxes in other numbers"]


def test_boxes_that_are_meant_as_they_are_written_pass() -> None:
    """Whole pictures, a few that leave theirs, one pixel at the corner, and numbers of any kind."""
    rng = np.random.default_rng(0)
    hw = np.full((400, 2), (400, 600))
    low = rng.uniform(0, (500, 300), (400, 2))
    boxes = np.concatenate([low, low + rng.uniform(5, 150, (400, 2))], 1)  # a third leave their pictures
    whole = np.tile([0.0, 0.0, 600.0, 400.0], (400, 1))
    for b in (boxes, whole, np.tile([0.0, 0.0, 1.0, 1.0], (400, 1)), np.full((400, 4), np.nan)):
        for spelt in ("", "corners", "size", "centre"):
            assert misread(b, hw, np.ones(400, bool), spelt) is None  # type: ignore[arg-type]


# ---------------------------------------------------------------- masks in other numbers


def ring(a: float, b: float, x: float, y: float) -> list[list[float]]:
    return [[a, b, x, b, x, y, a, y]]


def runs(order: str) -> Callable[..., dict[str, Any]]:
    """Run lengths of a box, column by column ("F") or row by row."""
    def of(a: int, b: int, x: int, y: int) -> dict[str, Any]:
        mask = np.zeros((H, W), np.uint8)
        mask[b:y, a:x] = 1
        flat = mask.reshape(-1, order=order)  # type: ignore[call-overload]
        return {"size": [H, W], "counts": np.diff([0, *np.flatnonzero(np.diff(flat)) + 1, flat.size]).tolist()}
    return of


@pytest.mark.parametrize(("segment", "said"), [
    (lambda *at: ring(*fractions(*at)), "12 masks lie beside .* read as fractions of the picture all of them fit"),
    (lambda a, b, x, y: ring(b, a, y, x), "masks lie beside .* read as y, x all of them fit"),
    (runs("C"), "12 masks lie beside .* read as runs row by row all of them fit"),
    (runs("F"), ""), (ring, ""),
])
def test_masks_in_other_numbers_are_refused(tmp_path: Path, segment: Any, said: str) -> None:
    put(tmp_path / "a.json", coco([(f"{k}.png", own) for k, own in enumerate(pictures(tmp_path))],
                                  segmentation=segment))
    if said:
        with pytest.raises(DataError, match=said):
            opened(tmp_path)
        assert examined(tmp_path).refused
    else:
        held(opened(tmp_path))


# ---------------------------------------------------------------- outlines in other brackets


@pytest.mark.parametrize("way", ["flat", "pairs", "pairs of one", "dictionaries"])
def test_polygons_in_other_brackets_are_read(tmp_path: Path, way: str) -> None:
    def ring(a: float, b: float, x: float, y: float) -> Any:
        points = [[a, b], [x, b], [x, y], [a, y]]
        flat = [v for p in points for v in p]
        return {"flat": flat, "pairs": [points], "pairs of one": points,
                "dictionaries": [[{"x": x, "y": y} for x, y in points]]}[way]

    put(tmp_path / "annotations.json", coco([(f"{k}.png", own) for k, own in enumerate(pictures(tmp_path))],
                                            segmentation=ring))
    with pytest.warns(DataWarning, match="12 x polygon in other brackets.*it is read as one"):
        data = open_dataset(tmp_path, "all")
    held(data)
    s = data.truth(2)
    assert s.masks is not None
    for mask, (_, a, b, x, y) in zip(s.masks, objects(2)):
        assert mask.sum() == (x - a) * (y - b) and mask[int(b) : int(y), int(a) : int(x)].all()


@pytest.mark.parametrize("seg", [[10**400] * 6, [[[10**400, 1]] * 3], [[]], [{}], [{"x": 1}] * 3, [True] * 6, [[[]]]])
def test_what_is_no_polygon_in_any_brackets_stays_none(seg: Any) -> None:
    found = rle.respelled(seg)
    assert found is None or rle.problem(found, H, W)


# ---------------------------------------------------------------- one picture in two files


def two_labelme(root: Path, first: Sequence[Box], second: Sequence[Box]) -> None:
    for k, own in enumerate(pictures(root, name="{}.png")):
        put(root / f"{k}.json", labelme(f"{k}.png", first if k == 0 else own))
    put(root / "0_again.json", labelme("0.png", second))


def two_csv(root: Path, first: Sequence[Box], second: Sequence[Box]) -> None:
    own = pictures(root)
    for n, rows in (("a", [first, *own[1:]]), ("b", [second])):
        put(root / f"{n}.csv", "filename,class,xmin,ymin,xmax,ymax\n" + "".join(
            f"{k}.png,{NAMES[c]},{a},{b},{x},{y}\n" for k, of in enumerate(rows) for c, a, b, x, y in of))


def two_cvat(root: Path, first: Sequence[Box], second: Sequence[Box]) -> None:
    own = pictures(root)
    for n, rows in (("a", [first, *own[1:]]), ("b", [second])):
        put(root / f"{n}.xml", "<annotations><version>1.1</version>" + "".join(
            f'<image id="{k}" name="{k}.png" width="{W}" height="{H}">' + "".join(
                f'<box label="{NAMES[c]}" xtl="{a}" ytl="{b}" xbr="{x}" ybr="{y}"/>' for c, a, b, x, y in of)
            + "</image>" for k, of in enumerate(rows)) + "</annotations>")


def two_label_studio(root: Path, first: Sequence[Box], second: Sequence[Box]) -> None:
    own = pictures(root)
    for n, rows in (("a", [first, *own[1:]]), ("b", [second])):
        put(root / f"{n}.json", [{"data": {"image": f"/data/{k}.png"}, "annotations": [{"result": [
            {"id": f"{j}", "type": "rectanglelabels", "original_width": W, "original_height": H, "value": {
                "x": a / W * 100, "y": b / H * 100, "width": (x - a) / W * 100, "height": (y - b) / H * 100,
                "rectanglelabels": [NAMES[c]]}} for j, (c, a, b, x, y) in enumerate(of)]}]}
            for k, of in enumerate(rows)])


@pytest.mark.parametrize("write", [two_labelme, two_csv, two_cvat, two_label_studio])
def test_a_picture_in_two_files_loses_no_object(tmp_path: Path, write: Any) -> None:
    both = objects(0)
    for n, (first, second) in enumerate(((both[:1], both[1:]), ((), both), (both, ()), (both, both[::-1]))):
        if write is two_csv and not (first and second):
            continue  # a table has no row of a picture without objects
        root = tmp_path / str(n)
        write(root, first, second)
        if n < 3:
            with pytest.raises(DataError, match="0.png is listed before by .*, with other objects"):
                opened(root)
            assert [f.kind for f in examined(root).faults if not f.safe] == ["image listed twice"]
        else:
            with pytest.warns(DataWarning, match="1 x image listed twice.; the first"):
                held(open_dataset(root, "all"))


def test_labelmes_own_name_finds_a_picture_that_was_renamed(tmp_path: Path) -> None:
    for k, own in enumerate(pictures(tmp_path, name="new_{}.png")):
        put(tmp_path / f"new_{k}.json", labelme(f"{k}.jpg", own))
    held(opened(tmp_path))
    assert any("6 annotations name no picture that is there, the first '0.jpg', which is read as new_0.png" in n
               for n in examined(tmp_path).notes)


def test_labelmes_path_that_names_another_picture_is_told(tmp_path: Path) -> None:
    for k, own in enumerate(pictures(tmp_path, name="{}.png")):
        if k != 4:
            put(tmp_path / f"{k}.json", labelme("4.png" if k == 5 else f"{k}.png", own))
    assert any("the one that is called like 5.png names '4.png', which is taken" in n for n in examined(tmp_path).notes)


def test_a_picture_that_stands_in_labelmes_json_alone_is_told(tmp_path: Path) -> None:
    for k, own in enumerate(pictures(tmp_path, 4, "{}.png")):
        held_in = base64.b64encode((tmp_path / f"{k}.png").read_bytes()).decode()
        put(tmp_path / f"{k}.json", labelme(f"{k}.png", own) | {"imageData": held_in})
    assert not any("imageData" in n for n in examined(tmp_path).notes)
    (tmp_path / "2.png").unlink()
    assert len(opened(tmp_path)) == 3
    assert sum("1 picture of split 'all' that no file holds stand" in n for n in examined(tmp_path).notes) == 1


def test_label_studio_finds_the_picture_that_was_uploaded(tmp_path: Path) -> None:
    two_label_studio(tmp_path, objects(0), ())
    (tmp_path / "b.json").unlink()
    put(tmp_path / "a.json", (tmp_path / "a.json").read_text().replace("/data/", "/data/upload/3/8c6fcf5f-"))
    held(opened(tmp_path))


# ---------------------------------------------------------------- several files of one split


def test_two_documents_pasted_into_one_are_told(tmp_path: Path) -> None:
    rows = [(f"{k}.png", own) for k, own in enumerate(pictures(tmp_path))]
    one, two = (json.dumps(coco(r)) for r in (rows[:3], rows[3:]))
    put(tmp_path / "annotations.json", f"{one[:-1]}, {two[1:]}")
    with pytest.raises(DataError, match="has the list 'images' twice in one object: all but the last would be lost"):
        opened(tmp_path)
    doc = coco(rows) | {"info": {"images": 6, "annotations": "twelve"}}
    put(tmp_path / "annotations.json", doc)
    held(opened(tmp_path))


def test_two_annotation_files_of_a_split_are_told_apart(tmp_path: Path) -> None:
    for year, some in (("2014", range(3)), ("2017", range(3, 6))):
        put(tmp_path / f"annotations/instances_train{year}.json", coco([(f"{k}.png", objects(k)) for k in some]))
        for k in some:
            noise(tmp_path / f"train{year}/{k}.png", H, W, seed=k)
    put(tmp_path / "annotations/instances_val2014.json", coco([("2.png", objects(2))]))
    put(tmp_path / "annotations/instances_val2017.json", coco([("3.png", objects(3))]))
    with pytest.raises(DataError, match="two annotation files of the split 'train', .*2014.json and .*2017.json"):
        splits(tmp_path)
    told = {"labels": "annotations/instances_train2014.json"}
    data = opened(tmp_path, "train", **told)
    assert [Path(data.truth(i).file).name for i in range(len(data))] == ["0.png", "1.png", "2.png"]
    assert opened(tmp_path, "val", **told).truth(0).file.endswith("2.png")  # of the same year


def test_two_lists_of_a_split_are_told(tmp_path: Path) -> None:
    for k, own in enumerate(pictures(tmp_path, name="JPEGImages/{}.png")):
        put(tmp_path / f"Annotations/{k}.xml", voc(f"{k}.png", own))
    for name, of in (("train", "0\n1"), ("val", "2"), ("valid", "3\n4\n5")):
        put(tmp_path / f"ImageSets/Main/{name}.txt", of)
    with pytest.raises(DataError, match="has two lists of the split 'val', val.txt and valid.txt"):
        splits(tmp_path)


def test_folders_of_one_split_are_read_together(tmp_path: Path) -> None:
    for k in range(6):
        part = ("train2014", "train2017", "val")[k // 2]
        noise(tmp_path / f"images/{part}/{k}.png", H, W, seed=k)
        put(tmp_path / f"labels/{part}/{k}.txt", yolo(objects(k)))
    put(tmp_path / "classes.txt", "bolt\nnut\n")
    assert [len(opened(tmp_path, s)) for s in ("train", "val")] == [4, 2]


# ---------------------------------------------------------------- names in other letters


@pytest.mark.parametrize("few", [False, True])
@pytest.mark.parametrize("format", ["coco", "voc", "yolo", "csv", "maps"])
def test_letters_in_pieces_are_the_same_letters(tmp_path: Path, format: str, few: bool) -> None:
    """A Mac writes the accents of names apart, and annotations have them in one piece."""
    def name(k: int, form: Any) -> str:
        return unicodedata.normalize(form, f"caf\u00e9 {k}" if k < 3 or not few else f"cafe {k}")

    folder = {"voc": "JPEGImages", "csv": "."}.get(format, "images")
    for k in range(6):
        noise(tmp_path / folder / f"{name(k, 'NFD')}.png", H, W, seed=k)
        if format == "voc":
            put(tmp_path / f"Annotations/{name(k, 'NFC')}.xml", voc(f"{name(k, 'NFC')}.png", objects(k)))
        if format == "yolo":
            put(tmp_path / f"labels/{name(k, 'NFC')}.txt", yolo(objects(k)))
        if format == "maps":
            path = tmp_path / f"masks/{name(k, 'NFC')}.png"
            path.parent.mkdir(exist_ok=True)
            Image.fromarray(np.full((H, W), k > 0, np.uint8)).save(path)
    rows = [(f"{name(k, 'NFC')}.png", objects(k)) for k in range(6)]
    if format == "coco":
        put(tmp_path / "annotations.json", coco(rows))
    if format == "yolo":
        put(tmp_path / "data.yaml", "names: [bolt, nut]")
    if format == "csv":
        put(tmp_path / "labels.csv", "filename,class,xmin,ymin,xmax,ymax\n" + "".join(
            f"{n},{NAMES[c]},{a},{b},{x},{y}\n" for n, own in rows for c, a, b, x, y in own))
    data = opened(tmp_path)
    if format != "maps":
        return held(data)
    assert len(data) == 6 and sum(int(data.truth(i).semantic.max()) for i in range(6)) == 5
    return None


def test_another_folders_picture_is_no_picture_in_other_letters(tmp_path: Path) -> None:
    for k in range(1, 6):
        noise(tmp_path / f"images/train/caf\u00e9{k}.png", H, W, seed=k)
    noise(tmp_path / "images/val/caf\u00e90.png", H, W)
    for split, some in (("train", range(6)), ("val", range(1))):
        rows = [(f"caf\u00e9{k}.png", objects(k)) for k in some]
        put(tmp_path / f"annotations/instances_{split}.json", coco(rows))
    with pytest.warns(DataWarning, match="1 x missing image"):
        assert len(open_dataset(tmp_path, "train")) == 5


@pytest.mark.parametrize("name", ["https://host.example/bucket/im%20{}.png?key=1", "im%20{}.png", "sub/im%20{}.png"])
def test_addresses_on_the_web_are_names(tmp_path: Path, name: str) -> None:
    rows = [(name.format(k), own) for k, own in enumerate(pictures(tmp_path, name="images/im {}.png"))]
    put(tmp_path / "annotations.json", coco(rows))
    held(opened(tmp_path))


def test_pictures_of_one_list_may_lie_in_several_folders(tmp_path: Path) -> None:
    rows = []
    for k in range(6):
        noise(tmp_path / f"images/{NAMES[k % 2]}/{k}.png", H, W, seed=k)
        rows.append((f"{k}.png", objects(k)))
    put(tmp_path / "annotations.json", coco(rows))
    held(opened(tmp_path))
    (tmp_path / "images/bolt/0.png").unlink()
    noise(tmp_path / "test/0.png", H, W, seed=9)  # of another split: none of the list's
    assert len(opened(tmp_path)) == 5


@pytest.mark.parametrize("encoding", ["gb2312", "windows-1251", "utf-8", "latin-1", "no-such"])
def test_xml_is_read_in_the_encoding_that_it_declares(tmp_path: Path, encoding: str) -> None:
    names = {"gb2312": ("螺栓", "螺母"), "windows-1251": ("болт", "гайка")}.get(encoding, ("\u00e9crou", "nut"))
    codec = "utf-8" if encoding == "no-such" else encoding
    for k, own in enumerate(pictures(tmp_path, name="JPEGImages/{}.png")):
        text = voc(f"{k}.png", own).replace("bolt", names[0]).replace("nut", names[1])
        head = f'<?xml version="1.0" encoding="{encoding}"?>' if encoding != "latin-1" else ""
        put(tmp_path / f"Annotations/{k}.xml", (head + text).encode(codec if k else "utf-8"))
    data = opened(tmp_path)
    assert set(data.info.classes.names) == set(names) and data.counts().tolist() == [6, 6]


def test_elements_may_be_called_in_capitals(tmp_path: Path) -> None:
    for k, own in enumerate(pictures(tmp_path, name="JPEGImages/{}.png")):
        text = voc(f"{k}.png", own)
        put(tmp_path / f"Annotations/{k}.xml", text.replace("object>", "Object>").replace("bndbox>", "BndBox>").replace(
            "name>", "Name>").replace("xmin", "Xmin") if k < 3 else text)
    held(opened(tmp_path))


def test_an_object_of_two_boxes_takes_its_picture_out(tmp_path: Path) -> None:
    for k, own in enumerate(pictures(tmp_path, name="JPEGImages/{}.png")):
        text = voc(f"{k}.png", own)
        put(tmp_path / f"Annotations/{k}.xml", text if k else text.replace("</object><object><name>nut</name>", ""))
    with pytest.warns(DataWarning, match="1 picture is left out.*the object has several names or boxes"):
        assert len(open_dataset(tmp_path, "all")) == 5


def test_filename_says_which_ending(tmp_path: Path) -> None:
    for k, own in enumerate(pictures(tmp_path, name="JPEGImages/{}.png")):
        noise(tmp_path / f"JPEGImages/{k}.jpg", H, W, seed=k + 100)
        put(tmp_path / f"Annotations/{k}.xml", voc(f"{k}.png", own))
    data = opened(tmp_path)
    held(data)
    assert all(data.truth(i).file.endswith(".png") for i in range(6))


# ---------------------------------------------------------------- tables and lists


@pytest.mark.parametrize(("head", "cells"), [
    ("Image Name,Label Name,X Min,Y Min,X Max,Y Max", lambda n, c, a, b, x, y: (n, c, a, b, x, y)),
    ("image-path,species,x1,y1,x2,y2", lambda n, c, a, b, x, y: (n, c, a, b, x, y)),
    ("image,x,y,width,height,label", lambda n, c, a, b, x, y: (n, a, b, x - a, y - b, c)),
    ("image,class,xc,yc,w,h", lambda n, c, a, b, x, y: (n, c, (a + x) / 2, (b + y) / 2, x - a, y - b)),
    ("image,x_center,y_center,width,height,class", lambda n, c, a, b, x, y: (
        n, (a + x) / 2 / W, (b + y) / 2 / H, (x - a) / W, (y - b) / H, c)),
    ("fname,bbox_x1,bbox_y1,bbox_x2,bbox_y2,class", lambda n, c, a, b, x, y: (n, a, b, x, y, c)),
    ("Filename,Width,Height,Roi.X1,Roi.Y1,Roi.X2,Roi.Y2,ClassId", lambda n, c, a, b, x, y: (n, W, H, a, b, x, y, c)),
    ("image,cx,cy,w,h,width,height,class", lambda n, c, a, b, x, y: (
        n, (a + x) / 2, (b + y) / 2, x - a, y - b, W, H, c)),
])
def test_columns_are_known_by_many_names(tmp_path: Path, head: str, cells: Any) -> None:
    rows = [",".join(map(str, cells(f"{k}.png", NAMES[c], *at))) for k, own in enumerate(pictures(tmp_path))
            for c, *at in own]
    put(tmp_path / "labels.csv", "\n".join([head, *rows]))
    held(opened(tmp_path))


def test_a_table_without_a_known_class_says_so(tmp_path: Path) -> None:
    write_csv(tmp_path, "xmin,ymin,xmax,ymax", corners)
    put(tmp_path / "labels.csv", (tmp_path / "labels.csv").read_text().replace("class", "what it is", 1))
    assert opened(tmp_path).info.classes.names == ("object",)
    assert any("no column of labels.csv is known to say a class (filename, what it is, " in n
               for n in examined(tmp_path).notes)


def test_a_table_in_another_encoding_is_told(tmp_path: Path) -> None:
    write_csv(tmp_path, "xmin,ymin,xmax,ymax", corners)
    put(tmp_path / "labels.csv", (tmp_path / "labels.csv").read_text().replace("nut", "\u00e9crou").encode("cp1252"))
    with pytest.raises(DataError, match="labels.csv: is no UTF-8 text .*save it as UTF-8"):
        opened(tmp_path)


def test_groups_that_nobody_knows_of_are_none(tmp_path: Path) -> None:
    write_csv(tmp_path, "xmin,ymin,xmax,ymax,IsGroupOf", lambda *at: (*at, (1, -1, 0)[int(at[1]) % 3]))
    data = opened(tmp_path)
    want = [[int(b) % 3 == 0 for _, _, b, *_ in objects(k)] for k in range(6)]
    assert [data.truth(i).crowd.tolist() for i in range(6)] == want
    assert any("it is not known whether they are of a group (-1)" in n for n in examined(tmp_path).notes)


def test_createmls_other_keys(tmp_path: Path) -> None:
    write_createml(tmp_path, lambda a, b, x, y: ((a + x) / 2, (b + y) / 2, x - a, y - b))
    text = (tmp_path / "annotations.json").read_text()
    put(tmp_path / "annotations.json", text.replace('"image"', '"imagefilename"').replace('"annotations"',
                                                                                        '"annotation"'))
    held(opened(tmp_path))


@pytest.mark.parametrize("text", ["[{} {} {} {}]", "({}, {}, {}, {})", "{};{};{};{}"])
def test_boxes_in_a_cell_stand_in_any_brackets(tmp_path: Path, text: str) -> None:
    rows = [f'{k}.png,{NAMES[c]},"{text.format(a, b, x - a, y - b)}"' for k, own in enumerate(pictures(tmp_path))
            for c, a, b, x, y in own]
    put(tmp_path / "labels.csv", "\n".join(["image,class,bbox", *rows]))
    held(opened(tmp_path))


def test_a_class_of_two_words_shifts_no_column_of_kitti(tmp_path: Path) -> None:
    for k, own in enumerate(pictures(tmp_path, name="image_2/{}.png")):
        put(tmp_path / f"label_2/{k}.txt", "".join(f"{'Person sitting' if k == 3 else NAMES[c]} 0 0 -1.5 {a} {b} {x} {y} "
                                                   "1 1 1 0 0 9 0\n" for c, a, b, x, y in own))
    with pytest.warns(DataWarning, match="1 picture is left out.*'Person sitting .* is not one word and 14 numbers"):
        data = open_dataset(tmp_path, "all")
    assert len(data) == 5 and data.truth(0).boxes.tolist() == [list(b) for _, *b in objects(0)]


def test_class_lists_that_disagree_are_told(tmp_path: Path) -> None:
    for k, own in enumerate(pictures(tmp_path)):
        put(tmp_path / f"labels/{k}.txt", yolo(own))
    put(tmp_path / "data.yaml", "names: [bolt, nut]")
    put(tmp_path / "labels/classes.txt", "nut\nbolt\n")
    held(opened(tmp_path))
    assert any("classes.txt lists other classes than data.yaml, or in another order (nut, bolt and bolt, nut)" in n
               for n in examined(tmp_path).notes)
    put(tmp_path / "labels/classes.txt", "bolt\nnut\n")
    assert not any("lists other classes" in n for n in examined(tmp_path).notes)


def test_class_lists_of_splits_in_another_order_are_refused(tmp_path: Path) -> None:
    for k in range(6):
        split = "train" if k < 4 else "val"
        noise(tmp_path / f"{split}/images/{k}.png", H, W, seed=k)
        put(tmp_path / f"{split}/labels/{k}.txt", yolo(objects(k)))
    put(tmp_path / "train/labels/classes.txt", "bolt\nnut\n")
    put(tmp_path / "val/labels/classes.txt", "nut\nbolt\n")
    assert [f.kind for f in examined(tmp_path).faults] == ["class lists disagree"]


# ---------------------------------------------------------------- lines of YOLO


@pytest.mark.parametrize("each", [2, 3])
def test_poses_that_nothing_declares_are_no_polygons(tmp_path: Path, each: int) -> None:
    for k, own in enumerate(pictures(tmp_path)):
        rows = [line + "".join(f" {px / W} {py / H}" + " 2" * (each == 3) for px, py in (
            (a + 2, b + 2), (x - 2, b + 2), (x - 2, y - 2), (a + 2, y - 2)))
            for line, (_, a, b, x, y) in zip(yolo(own).splitlines(), own)]
        put(tmp_path / f"labels/{k}.txt", "\n".join(rows))
    put(tmp_path / "data.yaml", "names: [bolt, nut]")
    with pytest.raises(DataError, match=rf"line 1: is a box and 4 keypoints of {each} numbers.*\[4, {each}\] into"):
        opened(tmp_path)
    put(tmp_path / "data.yaml", f"names: [bolt, nut]\nkpt_shape: [4, {each}]")
    held(opened(tmp_path))


@pytest.mark.parametrize("points", [4, 6, 24])
def test_polygons_of_one_number_of_points_are_no_poses(tmp_path: Path, points: int) -> None:
    """Also those about the middle of their pictures, where a first pair could be a middle and a second a size."""
    turn = np.arange(points) * 2 * np.pi / points
    for k in range(6):
        noise(tmp_path / f"images/{k}.png", H, W, seed=k)
        xy = np.stack([0.5 + (0.2 + k / 40) * np.cos(turn + k), 0.5 + 0.3 * np.sin(turn + k)], 1).reshape(-1)
        put(tmp_path / f"labels/{k}.txt", "0 " + " ".join(map(str, xy)))
    put(tmp_path / "data.yaml", "names: [bolt, nut]")
    assert "masks" in opened(tmp_path).info.kinds and not examined(tmp_path).faults


def test_a_turned_box_is_not_taken_for_a_score(tmp_path: Path) -> None:
    for k, own in enumerate(pictures(tmp_path)):
        put(tmp_path / f"labels/{k}.txt", "".join(f"{r} {90 - 20 * k}\n" for r in yolo(own).splitlines()))
    put(tmp_path / "data.yaml", "names: [bolt, nut]")
    with pytest.raises(DataError, match="a box that is turned is not read"):
        for k in range(6):
            put(tmp_path / f"labels/{k}.txt", "".join(f"{r} {-10 - k}\n" for r in yolo(objects(k)).splitlines()))
        opened(tmp_path)
    for k in range(6):
        put(tmp_path / f"labels/{k}.txt", "".join(f"{r} {10 + k}\n" for r in yolo(objects(k)).splitlines()))
    assert any("Were they angles" in n for n in examined(tmp_path).notes)


# ---------------------------------------------------------------- pictures and maps


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_boxes_on_the_raster_are_turned_for_yolo(tmp_path: Path, orientation: int) -> None:
    """Its lines hold no size that could tell on which view of a turned picture they were drawn."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    rows = []
    for k in range(6):
        pixels = np.full((H, W, 3), 90, np.uint8)
        c, a, b, x, y = objects(k)[0]
        pixels[int(b) : int(y), int(a) : int(x)] = (255, 40, 40)
        (tmp_path / "in/images").mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(tmp_path / f"in/images/{k}.png", exif=exif)
        rows.append((f"{k}.png", [objects(k)[0]]))

    def ring(a: float, b: float, x: float, y: float) -> Any:
        return [[a, b, x, b, x, y, a, y]]

    for n, more in enumerate(({}, {"segmentation": ring})):
        put(tmp_path / "in/annotations.json", coco(rows, **more))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            convert(tmp_path / "in", "yolo", tmp_path / f"out{n}")
        data = opened(tmp_path / f"out{n}", "train")
        for i in range(len(data)):
            s = data.truth(i)
            red = np.argwhere(read_image(s.file)[..., 1] < 60)
            np.testing.assert_allclose(s.boxes[0], [*red.min(0)[::-1], *(red.max(0)[::-1] + 1)], atol=1e-4)


def test_pages_of_a_stack_are_told(tmp_path: Path) -> None:
    rows = []
    for k in range(6):
        pixels = Image.fromarray(noise(tmp_path / f"images/{k}.tif", H, W, seed=k))
        if k < 2:
            pixels.save(tmp_path / f"images/{k}.tif", save_all=True, append_images=[pixels] * 3)
        rows.append((f"{k}.tif", objects(k)))
    put(tmp_path / "annotations.json", coco(rows))
    assert any("2 pictures have several pages, of which the first alone is read" in n and "0.tif has 4" in n
               for n in examine(tmp_path).notes)


def test_run_lengths_without_a_pixel_are_told(tmp_path: Path) -> None:
    rows = [(f"{k}.png", own) for k, own in enumerate(pictures(tmp_path))]
    doc = coco(rows, segmentation=lambda a, b, x, y: [[a, b, x, b, x, y, a, y]])
    doc["annotations"][0]["segmentation"] = {"size": [H, W], "counts": [H * W]}
    put(tmp_path / "annotations.json", doc)
    with pytest.warns(DataWarning, match="1 x broken mask.*the mask has no pixel. its box is taken as the mask"):
        data = open_dataset(tmp_path, "all")
    held(data)
    assert data.truth(0).masks[0].sum() == 17 * 14  # type: ignore[index]


def test_a_set_of_which_a_format_holds_no_picture_is_not_written(tmp_path: Path) -> None:
    """YOLO has no crowds, so that their pictures are left out: here all of them, and then all of val."""
    for split in ("train", "val"):
        rows = [(f"{k}.png", own) for k, own in enumerate(pictures(tmp_path, name=f"in/images/{split}/{{}}.png"))]
        put(tmp_path / f"in/annotations/instances_{split}.json", coco(rows, iscrowd=lambda a, b, x, y: int(a < 30)))
    with pytest.raises(DataError, match="has no picture that yolo can hold: 12 pictures with crowds are left out.* coco"):
        convert(tmp_path / "in", "yolo", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    put(tmp_path / "in/annotations/instances_train.json", coco(rows))
    found = convert(tmp_path / "in", "yolo", tmp_path / "out")
    assert found.pictures == {"train": 6, "val": 0} and "1 of the splits have no picture left: val" in found.lost


def test_void_beside_a_class_is_ignored(tmp_path: Path) -> None:
    pictures(tmp_path)
    m = np.zeros((H, W), np.uint8)
    m[4:20, 4:20], m[6:18, 6:18] = 255, 1
    (tmp_path / "masks").mkdir()
    for k in range(6):
        Image.fromarray(m).save(tmp_path / f"masks/{k}.png")
    with pytest.warns(DataWarning, match="1 is read as foreground, and 255 beside it is ignored"):
        data = open_dataset(tmp_path, "all")
    semantic = data.truth(0).semantic
    assert semantic is not None
    np.testing.assert_array_equal(semantic, m)
    told = opened(tmp_path, maps="binary").truth(0).semantic
    np.testing.assert_array_equal(told, m > 0)


@pytest.mark.parametrize("maps", [None, "binary"])
def test_ones_in_some_maps_and_255_in_others_are_foreground(tmp_path: Path, maps: str | None) -> None:
    pictures(tmp_path)
    (tmp_path / "masks").mkdir()
    m = np.zeros((H, W), np.uint8)
    m[4:20, 4:20] = 1
    for k in range(6):
        Image.fromarray(m * (255 if k % 2 else 1)).save(tmp_path / f"masks/{k}.png")
    data = opened(tmp_path, **({} if maps is None else {"maps": maps}))
    for i in range(6):
        np.testing.assert_array_equal(data.truth(i).semantic, m)


def test_one_broken_map_leaves_the_other_segments(tmp_path: Path) -> None:
    from stemma.data.readers.panoptic import encode

    doc: dict[str, Any] = {"images": [], "annotations": [], "categories": [
        {"id": 1, "name": "bolt", "isthing": 1}, {"id": 2, "name": "floor", "isthing": 0}]}
    for k in range(4):
        noise(tmp_path / f"train/{k}.jpg", H, W, seed=k)
        ids = np.full((H, W), 9)
        ids[5:20, 5:20] = 4
        path = tmp_path / f"annotations/panoptic_train/{k}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(encode(ids)).save(path)
        doc["images"].append({"id": k, "file_name": f"{k}.jpg", "height": H, "width": W})
        doc["annotations"].append({"image_id": k, "file_name": f"{k}.png", "segments_info": [
            {"id": 4, "category_id": 1}, {"id": 9, "category_id": 2}]})
    path.write_bytes(path.read_bytes()[:100])
    put(tmp_path / "annotations/panoptic_train.json", doc)
    report = examined(tmp_path)
    assert [(f.kind, f.safe, f.mend) for f in report.faults] == [("unusable map", True, "the image is left out")]
    assert report.splits["train"].images == 3


@pytest.mark.parametrize("layout", ["leftImg8bit/{split}/aachen/a_{k}.png gtFine/{split}/aachen/a_{k}_labelIds.png",
                                    "seq1/img1/{k}.jpg seq2/img1/{k}.jpg"])
def test_folders_of_other_data_are_no_classes(tmp_path: Path, layout: str) -> None:
    for k in range(4):
        for name in layout.split():
            noise(tmp_path / name.format(split="train" if k < 3 else "val", k=k), H, W, seed=k)
    with pytest.raises(DataError, match="holds no data set of a known format; it holds 8 pictures"):
        opened(tmp_path)


@pytest.mark.parametrize("name,text,what", [
    ("scans/a.dcm", "", "DICOM"), ("scans/a.nii.gz", "", "NIfTI"), ("train.tfrecord-00000-of-00002", "", None),
    ("train.tfrecord", "", "TensorFlow's records"),
    ("data.ndjson", '{"type": "dataset", "task": "detect"}', "Ultralytics' NDJSON"),
    ("releases/latest/annotations/a.json", '{"image": {"filename": "a.png", "workview_url": "https://a"}}',
     "V7's Darwin JSON"),
    ("labels/day/a.json", '{"imageheight": 9, "identity": "frame", "imagename": "a.png", "tags": [], "children": []}',
     "EuroCity Persons' JSON"),
    ("labels/day/a.json", '{"imagename": "a.png", "tags": [], "children": [{"x0": 3}]}', None),
    ("a.json", '[{"image": "a.png", "labels": ["red", "old"]}]', "a list of classes or captions of whole pictures"),
    ("annotations/a.json", '{"width": 9, "height": 9, "ispano": false, "objects": []}',
     "Mapillary's JSON of traffic signs"),
    ("annos/a.json", '{"source": "shop", "pair_id": 1, "item1": {"bounding_box": [1, 2, 3, 4]}}', "DeepFashion2's JSON"),
    ("objects.json", '[{"image_id": 1, "objects": [{"synsets": [], "names": ["a"], "x": 1}]}]',
     "Visual Genome's objects"),
    ("a.json", '{"types": ["a"], "imgs": {"1": {"path": "a.png", "objects": []}}}',
     "a JSON of pictures by name (TT100K, TextOCR, COCO-Text)"),
    ("a.json", '[{"image_id": 1, "category_id": 2, "bbox": [1, 2, 3, 4], "score": 0.5}]',
     "a list of answers in COCO's format, not of truth"),
    ("Annotations/a.xml", "<HRSC_Image><Img_ID>a</Img_ID></HRSC_Image>", "HRSC2016's XML"),
    ("training/label_02/0000.txt", "0 -1 DontCare -1 -1 -10 1.5 2 3 4 -1 -1 -1 -1 -1 -1 -1\n", "KITTI's tracks"),
    ("a.csv", "id,annotation,width,height\na,118145 6 118849 7 119553 8,704,520\n",
     "a table of run lengths or outlines"),
    ("a.csv", "id,class,segmentation\na,large,\nb,small,28094 3 28358 7 28623 9", "a table of run lengths or outlines"),
    ("a.csv", "video_id,image_id,annotations\n0,0-1,\"[{'x': 559, 'y': 213, 'width': 50, 'height': 32}]\"\n",
     "a table with several boxes in a cell"),
    ("gt.txt", "a.ppm;774;411;815;446;11\n", "a table of pictures and numbers whose columns no known words name"),
    ("labels.csv", 'a.jpg 950 574 1004 620 0 "car"\n',
     "a table of pictures and numbers whose columns no known words name"),
    ("notes.txt", "a.png is a picture of 1 2 3\n", None), ("labels.xlsx", "PK", "a spreadsheet"),
    ("annotations/a.json", '{"version": "2.0", "schema_ref": "https://darwin-public/darwin_json/2.0/schema.json"}',
     "V7's Darwin JSON"),
    ("labels.json", '{"classes": ["a"], "labels": {"a": []}}', "FiftyOne's own JSON"),
    ("p.json", '{"project": {"pid": "x", "data_format_version": "3.1.0"}}', "a project of VIA 3"),
    ("gtFine/train/aachen/aachen_0_gtFine_polygons.json", '{"objects": []}', "Cityscapes' polygons"),
    ("train/MOT17-02/gt/gt.txt", "1,1,10,10,20,15,1,1,1", "MOTChallenge's tables"), ("notes.txt", "gt", None),
    ("p.json", '{"project": {"pid": "__VIA_PROJECT_ID__"}}', "a project of VIA 3"),
    ("p.csv", '# CSV_HEADER = metadata_id,file_list\n"1","[""a.png""]"', "VIA 3's table"),
    ("export.json", '[{"External ID": "a.png", "Label": {}}]', "Labelbox's JSON"),
    ("a.jsonl", '{"reference_id": "a", "geometry": {"x": 1}}', "Scale's JSON (Nucleus)"),
    ("instances_txt/0001.txt", "0 2001 2 40 60 abc", "MOTS' run lengths"),
    ("config_v1.2.json", '{"labels": [{"readable": "Bird"}]}', "Mapillary Vistas' list of classes"),
    ("images/a/ADE_train_00000001_atr.txt", "001 # 0 # 0 # door", "the whole of ADE20K"),
    ("train/metadata.jsonl", '{"file_name": "a.png", "text": "a cat"}', "Hugging Face's list of pictures, without boxes"),
    ("data/train-0.parquet", "PAR1", "Hugging Face's Parquet, with the pictures in it"),
    ("train-annotations-object-segmentation.csv", "MaskPath,ImageID,LabelName\na_m.png,a,/m/01",
     "OpenImages' table of masks"),
    ("_annotations.train.jsonl", '{"image": "a.png", "prefix": "detect", "suffix": "<loc1>"}', "a language model's JSONL"),
    ("instances.json", '{"videos": [{"file_names": ["a.png"]}], "annotations": []}', "a JSON of videos (YouTube-VIS)"),
    ("gt/gt_a.txt", "1,1,2,1,2,2,1,2,Hello", "ICDAR's outlines of words"),
    ("labels/gt_a.txt", "1,1,2,1,2,2,1,2,Hello", "ICDAR's outlines of words"),
    ("train.txt", "images/a.png 1,1,20,20,0 5,5,9,9,1\n", "keras-yolo3's list of boxes"),
    ("p.json", '{"image": {"file_name": "a.png"}, "annotations": [{"stability_score": 0.9}]}', "SA-1B's JSON"),
    ("set.json", '[{"file_name": "a.png", "annotations": [{"bbox_mode": 0}]}]', "Detectron2's list"),
    ("samples.json", '{"samples": [{"filepath": "a.png"}]}', "FiftyOne's own export"),
    ("sama.json", '[{"id": "1", "assignment_id": "x", "answers": {}}]', "Sama's JSON"),
    ("x.geojson", '{"type": "FeatureCollection"}', "a GeoJSON"), ("maps/a.mat", "MATLAB 5.0", "a MATLAB file"),
    ("project.csv", 'image,id,label\na.png,1,"[{""x"": 1, ""original_width"": 60}]"', "Label Studio's table"),
    ("train.csv", "ImageId,EncodedPixels\na.png,1 2 3 4\n", "a table of run lengths"),
    ("train.csv", "image_id,PredictionString\na,0 1.0 1 2 3 4\n", "a table with several boxes in a cell"),
    ("train/_classes.csv", "filename, car, dog\na.png, 1, 0", "a table of the classes of whole pictures"),
    ("annotations/a.json", '{"version": "2.0", "item": {"name": "a.png", "slots": [{"type": "image", "slot_name": "0"}]}}',
     "V7's Darwin JSON"),
    ("out.jsonl", '{"source-ref": "s3://b/a.png", "boxes": {"annotations": []}}', "SageMaker's manifest"),
    ("a.jsonl", '{"imageGcsUri": "gs://b/a.png", "boundingBoxAnnotations": []}', "Vertex AI's list of boxes"),
    ("a.csv", "TRAINING,gs://b/a.png,bolt,0.1,0.1,,,0.3,0.3,,\n", "Vertex AI's table of boxes"),
    ("a.csv", "gs://b/a.png,bolt,0.1,0.1,,,0.3,0.3,,\n", "Vertex AI's table of boxes"),
    ("a.jsonl", '{"image_url": "AmlDatastore://a.png", "image_details": {"width": 9}, "label": [{"topX": 0.1}]}',
     "Azure ML's list of boxes"),
    ("a.jsonl", '{"image": "a.png", "answer": "accept", "spans": [{"label": "bolt", "points": [[1, 2]]}]}',
     "Prodigy's list"),
    ("a.csv", 'path,annotations\na.png,"[{""label"": ""bolt"", ""coordinates"": {""x"": 9}}]"', "Turi Create's table"),
    ("v1.0-mini/object_ann.json", '[{"token": "0", "bbox": [1, 2, 3, 4], "sample_data_token": "1"}]', "nuImages' tables"),
    ("Annotations/a.jpg.txt", "2\n1 3 4 20 30\n2 5 6 7 8\n", "WiderPerson's list of a picture's people")])
def test_a_layout_that_is_known_and_not_read_is_named(tmp_path: Path, name: str, text: str, what: str | None) -> None:
    noise(tmp_path / "images" / "a.png")
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match="holds no data set of a known format; it holds 1 picture") as said:
        open_dataset(tmp_path)
    assert (f"{name} is {what}, which is not read" in said.value.problem) == (what is not None)


def test_tracks_of_kitti_are_no_folders_of_classes(tmp_path: Path) -> None:
    for k in range(4):
        noise(tmp_path / f"training/image_02/{k // 2:04d}/{k % 2:06d}.png", H, W, seed=k)
    for k in range(2):
        put(tmp_path / f"training/label_02/{k:04d}.txt", "0 1 Car 0 0 -1.57 3 4 20 18 1.5 1.6 3.9 -2 1.7 20 -1.6\n")
    with pytest.raises(DataError, match="training/label_02/0000.txt is KITTI's tracks, which is not read"):
        opened(tmp_path)


def test_numbers_of_yolo_may_have_a_decimal_comma(tmp_path: Path) -> None:
    for k, own in enumerate(pictures(tmp_path)):
        put(tmp_path / f"labels/{k}.txt", yolo(own).replace(".", ","))
    put(tmp_path / "classes.txt", "bolt\nnut\n")
    held(opened(tmp_path))
    put(tmp_path / "labels/0.txt", "0 0,5 0.5 0,25 0,25\n")  # which of the two parts numbers is not known
    put(tmp_path / "labels/1.txt", "0 0,5,0,5 0,25,0,25\n")
    data = opened(tmp_path)
    assert len(data) == 4 and sorted(f.problem[-16:] for f in data.faults) == [" are not numbers"] * 2


@pytest.mark.parametrize("every", [False, True])
def test_objects_of_voc_within_another_element_are_no_background(tmp_path: Path, every: bool) -> None:
    """FAIR1M's <objects>, beside pictures whose objects stand where VOC has them."""
    for k, own in enumerate(pictures(tmp_path, name="JPEGImages/{}.png")):
        text = voc(f"{k}.png", own)
        if every or k == 2:
            text = text.replace("<object>", "<objects><object>", 1).replace("</annotation>", "</objects></annotation>")
        put(tmp_path / f"Annotations/{k}.xml", text)
    said = r"2\.xml, record <objects>: holds each <object>, which is read where it stands in <annotation> itself"
    if every:
        with pytest.raises(DataError, match=said.replace("2", "0", 1)):
            opened(tmp_path)
        return
    for more in ({}, {"drop_records": True}):  # of that picture nothing is known
        data = opened(tmp_path, **more)
        assert sorted(Path(data.truth(i).file).stem for i in range(len(data))) == ["0", "1", "3", "4", "5"]
        assert [bool(re.search(said, str(f))) for f in data.faults] == [True]


def test_a_table_parted_by_tabs_may_be_called_tsv(tmp_path: Path) -> None:
    rows = [f'"{k}.png"\t"{NAMES[c]}"\t{a}\t{b}\t{x}\t{y}' for k, own in enumerate(pictures(tmp_path))
            for c, a, b, x, y in own]
    put(tmp_path / "labels.tsv", "\n".join(["filename\tclass\txmin\tymin\txmax\tymax", *rows]))
    held(opened(tmp_path))
    held(opened(tmp_path / "labels.tsv"))


def test_pictures_of_a_kind_that_is_not_read_are_named(tmp_path: Path) -> None:
    """A telephone's HEIC, beside YOLO's lines, COCO's JSON, and nothing."""
    for k in range(3):
        put(tmp_path / f"yolo/images/{k}.heic", b"\0\0\0\x18ftypheic")
        put(tmp_path / f"coco/images/{k}.heic", b"\0\0\0\x18ftypheic")
        put(tmp_path / f"bare/{k}.heic", b"\0\0\0\x18ftypheic")
        put(tmp_path / f"yolo/labels/{k}.txt", yolo(objects(k)))
    put(tmp_path / "yolo/classes.txt", "bolt\nnut\n")
    put(tmp_path / "coco/annotations.json", coco([(f"{k}.jpg", objects(k)) for k in range(3)]))
    for name, first in (("yolo", "images/0.heic"), ("coco", "images/0.heic"), ("bare", "0.heic")):
        with pytest.raises(DataError, match=f"3 pictures are of a kind that is not read, the first {first}: save them"):
            opened(tmp_path / name)


@pytest.mark.parametrize(("raw", "said"), [
    ('{"images": [1,}, "notes": "of a tool"}', "is no JSON .* at line 1, column 15"), ('// by hand\n{"images": [], "annotations": []}', "line 1"),
    ('{"images": [], "annotations": []}'.encode("utf-16"), "annotations.json is a JSON in UTF-16")])
def test_a_json_that_is_none_is_told(tmp_path: Path, raw: Any, said: str) -> None:
    pictures(tmp_path, 2)
    put(tmp_path / "annotations.json", raw)
    with pytest.raises(DataError, match=said):
        opened(tmp_path)


def test_maps_of_numpy_are_named(tmp_path: Path) -> None:
    pictures(tmp_path, 2)
    (tmp_path / "masks").mkdir()
    np.save(tmp_path / "masks/0.npy", np.zeros((H, W), np.uint8))
    with pytest.raises(DataError, match="masks/0.npy is a map in NumPy's format"):
        opened(tmp_path)


def test_pictures_of_another_ending_are_named_where_none_is_there(tmp_path: Path) -> None:
    put(tmp_path / "annotations.json", coco([(f"{k}.jpg", own) for k, own in enumerate(pictures(tmp_path))]))
    with pytest.raises(DataError, match=r"0\.jpg; images/0\.png is: write the ending of the pictures into the annotat"):
        opened(tmp_path)


@pytest.mark.parametrize(("head", "cells"), [
    ("frame,xmin,xmax,ymin,ymax,class_name", lambda n, c, a, b, x, y: (n, a, x, b, y, c)),
    ("Filename;Annotation tag;Upper left corner X;Upper left corner Y;Lower right corner X;Lower right corner Y",
     lambda n, c, a, b, x, y: (n, c, a, b, x, y)),
    ("patientId,x,y,width,height,label", lambda n, c, a, b, x, y: (n, a, b, x - a, y - b, c)),
    ("img_path,x1,y1,x2,y2,class", lambda n, c, a, b, x, y: (f"images/{n}", a, b, x, y, c))])
def test_columns_as_published_tables_call_them(tmp_path: Path, head: str, cells: Any) -> None:
    """Udacity's driving, LISA's signs, RSNA's pneumonia."""
    part = ";" if ";" in head else ","
    rows = [part.join(map(str, cells(f"{k}.png", NAMES[c], *at))) for k, own in enumerate(pictures(tmp_path))
            for c, *at in own]
    put(tmp_path / "labels.csv", "\n".join([head, *rows]))
    held(opened(tmp_path))


@pytest.mark.parametrize("name", ["labels.jsonl", "labels.ndjson", "boxes.manifest", "boxes.tsv"])
def test_a_file_of_notes_that_nobody_knows_is_named(tmp_path: Path, name: str) -> None:
    noise(tmp_path / "images" / "a.png")
    (tmp_path / name).write_text('{"what": "nobody knows"}\n')
    with pytest.raises(DataError) as said:
        open_dataset(tmp_path)
    assert name in said.value.problem, said.value.problem


@pytest.mark.parametrize("every", [False, True])
def test_a_class_that_is_drawn_as_lines_alone_says_what_it_takes_out(tmp_path: Path, every: bool) -> None:
    rows = ""
    for k in range(4):
        noise(tmp_path / f"images/{k}.png", H, W, seed=k)
        lane = '<polyline label="lane" points="1,1;20,20"/>' * (every or k < 2)
        bolt = '<polyline label="bolt" points="1,1;20,20"/>' * (k == 3)  # of this class others can be used
        rows += (f'<image id="{k}" name="{k}.png" width="{W}" height="{H}"><box label="bolt" xtl="2" ytl="3" xbr="20" '
                 f'ybr="30"/>{lane}{bolt}</image>')
    put(tmp_path / "annotations.xml", f"<annotations><version>1.1</version><meta/>{rows}</annotations>")
    said = [n for n in examined(tmp_path).notes if "can be used" in n]
    count = 4 if every else 2
    assert len(said) == 1, said
    assert "class 'lane'" in said[0] and "a line has no extent" in said[0]
    assert f"{count} of 4 pictures, with {count} of other classes, are left out" in said[0]


# ---------------------------------------------------------------- folders of tools and of published sets


def named_boxes(data: Any) -> dict[str, list[Any]]:
    """Below the last folder of each split: picture -> (class, box rounded to hundredths, whether a crowd)."""
    return {Path(s.file).name: [(data.info.classes.names[c], *np.round(b, 2).tolist(), bool(k))
                                for c, b, k in zip(s.labels, s.boxes, s.crowd)]
            for s in (data.truth(i) for i in range(len(data)))}


@pytest.mark.parametrize("place", ["{}/annotations.json", "{}/annotations/instances_default.json"])
def test_a_file_within_a_split_means_the_pictures_beside_it(tmp_path: Path, place: str) -> None:
    for k, split in enumerate(("train", "val")):
        doc = coco([(f"{i}.png", objects(i)) for i in range(2)])
        put(tmp_path / place.format(split), doc)
        for i in range(2):
            noise(tmp_path / split / "images" / f"{i}.png", H, W, seed=10 * k + i)
    assert splits(tmp_path) == ("train", "val")
    for split in ("train", "val"):
        data = opened(tmp_path, split)
        assert [Path(data.truth(i).file) for i in range(2)] == [tmp_path / split / "images" / f"{i}.png" for i in (0, 1)]


def test_base_names_that_two_folders_have_are_refused_unless_the_pictures_are_the_same(tmp_path: Path) -> None:
    put(tmp_path / "annotations.json", coco([("0.png", objects(0))]))
    noise(tmp_path / "left" / "0.png", H, W, seed=0)
    noise(tmp_path / "over" / "0.png", H, W, seed=0)
    assert len(opened(tmp_path)) == 1
    noise(tmp_path / "over" / "0.png", H, W, seed=1)
    with pytest.raises(DataError, match="'0.png' is a picture in left and another one in over. say --images left"):
        opened(tmp_path)
    assert Path(opened(tmp_path, images="over").truth(0).file).parent.name == "over"


def test_a_box_of_five_numbers_is_told(tmp_path: Path) -> None:
    noise(tmp_path / "0.png", H, W)
    noise(tmp_path / "1.png", H, W)
    doc = coco([("0.png", objects(0)), ("1.png", objects(1))])
    doc["annotations"][0]["bbox"].append(30)
    put(tmp_path / "annotations.json", doc)
    data = opened(tmp_path)
    assert list(named_boxes(data)) == ["1.png"] and any("1 annotations have a 'bbox' that is not four" in n
                                                        for n in data.notes)


def test_a_class_that_is_called_by_a_number_does_not_take_anothers_place(tmp_path: Path) -> None:
    noise(tmp_path / "images" / "0.png", H, W)
    put(tmp_path / "data.yaml", "names: ['0', '10', '2', bolt]")  # as sorted by their letters
    put(tmp_path / "labels" / "0.txt", "2 .5 .5 .2 .2\n1 .2 .2 .2 .2\nbolt .8 .8 .1 .1\n")
    assert [c for c, *_ in named_boxes(opened(tmp_path))["0.png"]] == ["2", "10", "bolt"]
    put(tmp_path / "data.yaml", "names: ['1', '0']")
    put(tmp_path / "labels" / "0.txt", "0 .5 .5 .2 .2\n")
    assert [c for c, *_ in named_boxes(opened(tmp_path))["0.png"]] == ["1"]


def test_turned_boxes_of_yolo_are_told_and_other_outlines_are_not(tmp_path: Path) -> None:
    noise(tmp_path / "images" / "0.png", H, W)
    put(tmp_path / "data.yaml", "names: [bolt]")
    aslant = [(20, 10), (32, 26), (24, 32), (12, 16)]  # 20 x 10

    def notes(*outlines: Any) -> list[str]:
        put(tmp_path / "labels" / "0.txt", "".join(
            "0 " + " ".join(f"{x / W:.6f} {y / H:.6f}" for x, y in o) + "\n" for o in outlines))
        found: list[str] = opened(tmp_path).notes
        return [n for n in found if "turned boxes" in n]

    upright = [(1, 1), (9, 1), (9, 5), (1, 5)]
    assert notes(aslant, upright) == ["1 lines are the four corners of turned boxes: they are read as outlines, and a "
                                      "box is the upright one around them"]
    assert not notes(upright) and not notes(aslant, [(1, 1), (9, 1), (9, 9), (1, 5)]) and not notes(aslant, aslant[:3])


def test_imagenets_folders_and_lists(tmp_path: Path) -> None:
    for split, sub in (("train", "train/n01"), ("val", "val")):
        for k in range(2):
            noise(tmp_path / "Data" / "DET" / sub / f"{split}_{k}.png", H, W, seed=k)
            put(tmp_path / "Annotations" / "DET" / sub / f"{split}_{k}.xml", voc(f"{split}_{k}", objects(k), 1))
    put(tmp_path / "ImageSets" / "DET" / "train.txt", "n01/train_0 1\nn01/train_1 2\n")
    put(tmp_path / "ImageSets" / "DET" / "val.txt", "val_0 1\nval_1 2")
    assert splits(tmp_path) == ("train", "val")
    for split in ("train", "val"):
        found = named_boxes(opened(tmp_path, split))
        assert found == {f"{split}_{k}.png": [(NAMES[c], *at, False) for c, *at in objects(k)] for k in range(2)}


@pytest.mark.parametrize(("inner", "said"), [
    ("<robndbox><cx>9</cx><cy>9</cy><w>5</w><h>5</h><angle>.3</angle></robndbox>", "a turned box alone"),
    ("<polygon><pt><x>1</x><y>1</y></pt></polygon>", "an outline alone"), ("", "no box")])
def test_what_stands_in_the_place_of_vocs_box_is_named(tmp_path: Path, inner: str, said: str) -> None:
    for k in range(2):
        noise(tmp_path / "JPEGImages" / f"{k}.png", H, W)
        own = voc(f"{k}.png", objects(k), 1)
        put(tmp_path / "Annotations" / f"{k}.xml", own if k else own.replace(
            "</annotation>", f"<object><name>nut</name>{inner}</object></annotation>"))
    data = opened(tmp_path)
    assert list(named_boxes(data)) == ["1.png"] and said in data.faults[0].problem


def datumaro(root: Path, own: list[dict[str, Any]]) -> Any:
    noise(root / "images" / "default" / "a.png", H, W)
    put(root / "annotations" / "default.json", {
        "info": {}, "categories": {"label": {"labels": [{"name": n} for n in NAMES]}},
        "items": [{"id": "a", "image": {"path": "a.png", "size": [H, W]}, "annotations": [
            {"attributes": {}, "group": 0, "label_id": 0, **a} for a in own]}]})
    return opened(root, on_fault="report")


def test_a_group_of_boxes_of_datumaro_loses_none(tmp_path: Path) -> None:
    one, other = ({"type": "bbox", "bbox": [x, 5, 10, 10], "group": 1} for x in (5, 30))
    found = named_boxes(datumaro(tmp_path, [one, other, {**other, "label_id": 1}]))["a.png"]
    assert found == [("bolt", 5, 5, 15, 15, False), ("bolt", 30, 5, 40, 15, False), ("nut", 30, 5, 40, 15, False)]
    outline = {"type": "polygon", "points": [5, 5, 15, 5, 15, 15], "group": 1}
    assert "2 boxes and an outline of one of them" in datumaro(tmp_path, [one, other, outline]).faults[0].problem
    assert len(named_boxes(datumaro(tmp_path, [one, outline]))["a.png"]) == 1


def test_ellipses_and_turned_boxes_of_datumaro(tmp_path: Path) -> None:
    data = datumaro(tmp_path, [
        {"type": "ellipse", "points": [5, 5, 25, 15]},
        {"type": "bbox", "bbox": [10, 15, 20, 10], "attributes": {"rotation": 90.0, "occluded": False}},
        {"type": "bbox", "bbox": [40, 5, 10, 10], "attributes": {"rotation": 0.0}}])
    assert named_boxes(data)["a.png"] == [("bolt", 5, 5, 25, 15, False), ("bolt", 15, 10, 25, 30, False),
                                          ("bolt", 40, 5, 50, 15, False)]
    assert abs(data.truth(0).masks[0].sum() - np.pi * 50) < 4
    left = datumaro(tmp_path, [{"type": "skeleton", "elements": []}]).faults[0]
    assert "its skeleton has no labelled point" in left.problem


def test_cvats_is_crowd_is_a_crowd(tmp_path: Path) -> None:
    noise(tmp_path / "images" / "a.png", H, W)
    box = '<box label="bolt" xtl="{0}" ytl="5" xbr="{1}" ybr="15"><attribute name="is_crowd">{2}</attribute></box>'
    put(tmp_path / "annotations.xml", f'<annotations><version>1.1</version><image name="a.png" width="{W}" height="{H}">'
        + box.format(5, 20, "false") + box.format(30, 50, "true") + "</image></annotations>")
    data = opened(tmp_path)
    assert named_boxes(data)["a.png"] == [("bolt", 5, 5, 20, 15, False), ("bolt", 30, 5, 50, 15, True)]
    put(tmp_path / "annotations.xml", (tmp_path / "annotations.xml").read_text().replace(">true<", ">perhaps<"))
    assert "is_crowd 'perhaps' is neither yes nor no" in opened(tmp_path, on_fault="report").faults[0].problem


@pytest.mark.parametrize("turn", [None, 0, 360, 90])
def test_regions_of_a_turned_picture_of_label_studio_are_told(tmp_path: Path, turn: int | None) -> None:
    noise(tmp_path / "a.png", H, W)
    region = {"type": "rectanglelabels", "original_width": W, "original_height": H, "image_rotation": turn, "value": {
        "x": 10, "y": 10, "width": 50, "height": 25, "rotation": 0, "rectanglelabels": ["bolt"]}}
    put(tmp_path / "export.json", [{"id": 1, "data": {"image": "a.png"}, "annotations": [{"result": [region]}]}])
    data = opened(tmp_path, on_fault="report")
    assert ["turned by 90 degrees" in f.problem for f in data.faults] == ([True, False] if turn == 90 else [])


def test_tags_of_supervisely_pictures_are_told(tmp_path: Path) -> None:
    noise(tmp_path / "set" / "img" / "a.png", H, W)
    put(tmp_path / "meta.json", {"classes": [{"title": "bolt", "shape": "rectangle"}], "tags": []})
    put(tmp_path / "set" / "ann" / "a.png.json", {"size": {"height": H, "width": W}, "tags": [{"name": "train"}], "objects": [
        {"classTitle": "bolt", "geometryType": "rectangle", "points": {"exterior": [[1, 1], [9, 9]], "interior": []}}]})
    assert any(n.startswith("1 pictures have the tag 'train', which is not read") for n in opened(tmp_path).notes)


def test_marks_and_scores_of_a_table_are_told(tmp_path: Path) -> None:
    for k in range(2):
        noise(tmp_path / "images" / f"{k}.png", H, W)
    put(tmp_path / "boxes.csv", "ImageID,LabelName,Confidence,XMin,XMax,YMin,YMax,IsDepiction,IsOccluded,IsGroupOf\n"
        "0.png,bolt,1,.1,.5,.2,.6,1,0,0\n1.png,bolt,0.8,.1,.5,.2,.6,1,-1,1\n")
    data = opened(tmp_path)
    assert named_boxes(data) == {f"{k}.png": [("bolt", 6, 8, 30, 24, bool(k))] for k in range(2)}
    assert data.unread == {"the mark 'IsDepiction'": 2, "the mark 'Confidence'": 1}


@pytest.mark.parametrize("layout", ["coco", "voc", "yolo"])
def test_archives_in_the_place_of_pictures_are_named(tmp_path: Path, layout: str) -> None:
    put(tmp_path / "images.zip", b"PK")
    put(*{"coco": (tmp_path / "annotations.json", coco([("0.png", objects(0))])),
          "voc": (tmp_path / "Annotations" / "0.xml", voc("0.png", objects(0), 1)),
          "yolo": (tmp_path / "data.yaml", "names: [bolt]\ntrain: images/train")}[layout])
    with pytest.raises(DataError, match=r"unpack images.zip: archives are not read"):
        opened(tmp_path)


def test_panoptic_maps_that_lie_with_their_json(tmp_path: Path) -> None:
    """Mapillary Vistas: training/images, training/v2.0/panoptic of the JSON and its maps."""
    root = tmp_path / "training"
    (root / "v2.0" / "panoptic").mkdir(parents=True)
    doc: dict[str, Any] = {"images": [], "annotations": [], "categories": [{"id": 1, "name": "bolt", "isthing": 1}]}
    for k in range(2):
        noise(root / "images" / f"{k}.jpg", H, W, seed=k)
        ids = np.zeros((H, W), np.int32)
        ids[5:15, 10:30] = 7
        Image.fromarray(encode(ids)).save(root / "v2.0" / "panoptic" / f"{k}.png")
        doc["images"].append({"id": f"p{k}", "file_name": f"{k}.jpg", "height": H, "width": W})
        doc["annotations"].append({"image_id": f"p{k}", "file_name": f"{k}.png", "segments_info": [
            {"id": 7, "category_id": 1, "bbox": [10, 5, 20, 10], "area": 200, "iscrowd": 0}]})
    put(root / "v2.0" / "panoptic" / "panoptic_2020.json", doc)
    for options in ({"images": "images"}, {}):
        data = opened(root, format="panoptic", labels="v2.0/panoptic/panoptic_2020.json", **options)
        assert named_boxes(data) == {f"{k}.jpg": [("bolt", 10, 5, 30, 15, False)] for k in range(2)}
        assert data.truth(0).masks[0].sum() == 200


# ---------------------------------------------------------------- Hugging Face's imagefolder, BDD100K, DOTA


CARD = """---
license: mit
dataset_info:
  features:
  - name: image
    dtype: image
  - name: kind
    dtype:
      class_label:
        names: ['0', '1', '2']
  - name: objects
    sequence:
    - name: bbox
      sequence: float32
    - name: category
      dtype:
        class_label:
          names:
            '0': bolt
            '1': nut
---
# Parts
"""


def hugging(k: int, own: Sequence[Box], kind: str) -> dict[str, Any]:
    boxes = [[a, b, x - a, y - b] for _, a, b, x, y in own]
    if kind == "rows":
        return {"file_name": f"{k}.png", "objects": [{"bbox": b, "category": NAMES[c]} for b, (c, *_) in zip(boxes, own)]}
    return {"file_name": f"{k}.png", "text": "a caption with boxes", "width": W, "height": H, "objects": {
        "id": list(range(len(own))), "area": [1] * len(own), "bbox": boxes,
        "category" if kind == "card" else "categories": [c if kind == "card" else NAMES[c] for c, *_ in own]}}


@pytest.mark.parametrize("kind", ["card", "words", "rows", "csv"])
def test_objects_of_an_imagefolder_are_read(tmp_path: Path, kind: str) -> None:
    truth = pictures(tmp_path, name="{}.png")
    truth[2] = []
    rows = [hugging(k, own, kind) for k, own in enumerate(truth)]
    if kind == "csv":
        lines = [f'{r["file_name"]},"{json.dumps(r["objects"]).replace(chr(34), 2 * chr(34))}"' for r in rows]
        put(tmp_path / "metadata.csv", "\n".join(["file_name,objects", *lines]))
    else:
        put(tmp_path / "metadata.jsonl", "\r\n".join(json.dumps(r) for r in rows).encode("utf-8-sig"))
    put(tmp_path / "README.md", CARD)
    data = opened(tmp_path)
    assert data.info.format == "imagefolder" and not data.faults
    held(data, truth)
    notes = " ".join(examined(tmp_path).notes)
    assert ("called as README.md says: bolt, nut" in notes) == (data.info.classes.names == NAMES)
    assert ("6 pictures have 'text', which is not read" in notes) == (kind in ("card", "words"))


def test_splits_of_an_imagefolder_and_categories_that_nobody_names(tmp_path: Path) -> None:
    for s in ("train", "validation"):
        truth = pictures(tmp_path / s, name="{}.png")
        put(tmp_path / s / "metadata.jsonl", "\n".join(json.dumps(hugging(k, own, "card")) for k, own in enumerate(truth)))
    assert splits(tmp_path) == ("train", "val")
    for s in ("train", "val"):
        data = opened(tmp_path, s)
        assert len(data) == 6 and data.info.classes.names == ("0", "1") and sum(data.counts()) == 12
    assert "2 categories are numbers, and no README.md" in " ".join(examined(tmp_path).notes)
    put(tmp_path / "README.md", CARD.replace("            '1': nut\n", ""))
    faults = examined(tmp_path).faults
    assert {f.problem for f in faults if f.kind == "broken record"} == {"its category is 1, and the card names 1 (0 to 0)"}


def test_lists_of_an_imagefolder_that_do_not_fit(tmp_path: Path) -> None:
    pictures(tmp_path, name="{}.png")
    rows = [{"file_name": "0.png", "objects": {"bbox": [[1, 2, 3, 4]], "category": ["bolt"]}},
            {"file_name": "1.png", "objects": {"bbox": [[1, 2, 3, 4]], "category": []}},
            {"file_name": "2.png", "objects": {"bbox": [[1, 2, 3]], "category": ["bolt"]}},
            {"file_name": "3.png", "objects": "none"}]
    put(tmp_path / "metadata.jsonl", "\n".join(map(json.dumps, rows)))
    data = opened(tmp_path)
    assert [Path(f).name for f in data.table.files] == ["0.png"]
    assert [f.problem for f in data.faults] == [
        "has 1 boxes and 0 of 'category'", "its bbox is not made of four numbers",
        "has objects that are neither lists of boxes and categories nor a list of objects"]


def frame(name: str, own: Sequence[Box], **more: Any) -> dict[str, Any]:
    """A frame of Scalabel, whose far corners are the last pixels of their objects."""
    return {"name": name, "timestamp": 10000, "attributes": {"weather": "clear"}, "labels": [
        {"id": f"{c}", "category": NAMES[c], "attributes": {"occluded": True, "truncated": False, "crowd": False},
         "manualShape": True, "box2d": {"x1": a, "y1": b, "x2": x - 1, "y2": y - 1}} for c, a, b, x, y in own]} | more


@pytest.mark.parametrize("kind", ["list", "frames", "files"])
def test_frames_of_bdd100k_are_read(tmp_path: Path, kind: str) -> None:
    truth = pictures(tmp_path, name="images/100k/train/{}.jpg")
    frames = [frame(f"{k}.jpg", own) for k, own in enumerate(truth)]
    lane = {"category": "lane", "poly2d": [{"vertices": [[1, 1], [9, 9]], "types": "LL", "closed": False}]}
    frames[0]["labels"].append(lane)
    if kind == "files":
        for k, f in enumerate(frames):
            f["frames"] = [{"timestamp": 10000, "objects": [
                o if "box2d" in o else {"category": "lane/road curb", "poly2d": [[1, 1, "L"], [9, 9, "L"]]}
                for o in f.pop("labels")]}]
            put(tmp_path / f"labels/100k/train/{k}.json", f | {"name": f"{k}"})
    else:
        put(tmp_path / "labels/det_20/det_train.json", frames if kind == "list" else {"frames": frames, "groups": None})
    data = opened(tmp_path, "train")
    assert data.info.format == "bdd100k" and data.info.kinds == ("boxes",) and data.unread == {
        "the attribute 'occluded'": 12}
    assert any("1 open lines have no extent and are not read (lane" in n for n in data.notes)
    assert len(data) + len(opened(tmp_path, "val")) == 6
    put(tmp_path / "split.txt", "")
    held(opened_whole(tmp_path))


def opened_whole(root: Path) -> Any:
    """All that is marked as training, as the doctor opens it."""
    return examined(root).opened["train"]


def test_areas_and_crowds_of_bdd100k(tmp_path: Path) -> None:
    noise(tmp_path / "images" / "a.png", H, W)
    noise(tmp_path / "images" / "b.png", H, W, seed=1)
    curve = [[10, 30, "L"], [10, 20, "C"], [30, 20, "C"], [30, 30, "C"]]
    put(tmp_path / "labels.json", [
        {"name": "a.png", "labels": [
            {"category": "area/drivable", "poly2d": curve},
            {"category": "bus", "attributes": {"crowd": True}, "poly2d": [
                {"vertices": [[1, 1], [9, 1], [9, 9]], "types": "LLL", "closed": True}]}]},
        {"name": "b.png", "labels": None}])
    data = opened(tmp_path)
    assert named_boxes(data) == {"a.png": [("area/drivable", 10, 22.5, 30, 30, False), ("bus", 1, 1, 9, 9, True)],
                                 "b.png": []}


@pytest.mark.parametrize("room", ["labels", "labelTxt-v1.5", "train/labelTxt", "annfiles"])
def test_lines_of_dota_are_no_yolo_wherever_they_lie(tmp_path: Path, room: str) -> None:
    inner = "train/images" if "/" in room else "images"
    for k in range(3):
        noise(tmp_path / inner / f"P{k}.png", H, W, seed=k)
    put(tmp_path / room / "P0.txt", "imagesource:GoogleEarth\r\ngsd:0.14\r\n10 5 30 5 30 20 10 20 small-vehicle 0\r\n"
        "40.0 5.0 50.0 15.0 40.0 25.0 30.0 15.0 ship 1\r\n")
    put(tmp_path / room / "P1.txt", "2 2 9 2 9 9 2 9 ship 0\n")
    put(tmp_path / room / "P2.txt", "")
    data = opened(tmp_path, "train" if "/" in room else "all")
    data = examined(tmp_path).opened[data.source]
    assert data.info.format == "dota" and data.info.difficult
    assert named_boxes(data) == {"P0.png": [("small-vehicle", 10, 5, 30, 20, False), ("ship", 30, 5, 50, 25, True)],
                                 "P1.png": [("ship", 2, 2, 9, 9, False)], "P2.png": []}


def test_lines_of_kitti_in_a_folder_of_labels_are_no_yolo(tmp_path: Path) -> None:
    noise(tmp_path / "images" / "0.png", H, W)
    put(tmp_path / "labels" / "0.txt", "Car 0.00 0 -1.5 1 2 30 30 1 1 1 1 1 1 1\n")
    assert named_boxes(opened(tmp_path)) == {"0.png": [("Car", 1, 2, 30, 30, False)]}


# ---------------------------------------------------------------- boxes that are turned, skeletons


@pytest.mark.parametrize("outline", [[], [[20, 10, 40, 10, 40, 20, 20, 20]]])
def test_boxes_of_coco_that_cvat_turned_are_read_as_outlines(tmp_path: Path, outline: list[Any]) -> None:
    doc = coco([("0.png", [(0, 20, 10, 40, 20), (1, 2, 25, 22, 35)])])
    for a, degrees in zip(doc["annotations"], (90.0, 0.0)):
        a |= {"segmentation": outline if degrees else [], "iscrowd": 0, "area": 200,
              "attributes": {"occluded": False, "rotation": degrees}}
    noise(tmp_path / "images" / "0.png", H, W)
    put(tmp_path / "annotations" / "instances_default.json", doc)
    data = opened(tmp_path)
    assert named_boxes(data) == {"0.png": [("bolt", 25, 5, 35, 25, False), ("nut", 2, 25, 22, 35, False)]}
    assert any("1 annotations have the attribute 'rotation'" in n for n in data.notes) and not data.unread
    assert data[0].masks is not None and int(data[0].masks[0].sum()) == 200


def test_skeletons_and_turned_boxes_of_datumaro(tmp_path: Path) -> None:
    noise(tmp_path / "images" / "default" / "a.png", H, W)
    element = lambda label, x, y, seen: {"type": "points", "label_id": label, "points": [x, y], "visibility": [seen]}
    put(tmp_path / "annotations" / "default.json", {
        "info": {}, "categories": {"label": {"labels": [{"name": n, "parent": p} for n, p in (
            ("person", ""), ("left eye", "person"), ("right eye", "person"), ("car", ""))]},
            "points": {"items": [{"label_id": 0, "labels": ["left eye", "right eye"], "joints": [[1, 2]]}]}},
        "items": [{"id": "a", "image": {"path": "a.png", "size": [H, W]}, "annotations": [
            {"type": "skeleton", "label_id": 0, "group": 0, "elements": [
                element(1, 10, 12, 2), element(2, 20, 22, 1)]},
            {"type": "rotated_bbox", "label_id": 3, "group": 0, "points": [30, 20, 20, 10, 90]}]}]})
    data = opened(tmp_path)
    assert data.info.classes.names == ("person", "car") and data.info.points.names == ("left eye", "right eye")
    assert named_boxes(data) == {"a.png": [("person", 10, 12, 20, 22, False), ("car", 25, 10, 35, 30, False)]}
    assert data.truth(0).keypoints[0].tolist() == [[10, 12, 2], [20, 22, 1]] and data.info.points.lines == ((0, 1),)


# ---------------------------------------------------------------- names of classes


ODD_NAMES = ("a,b", 'say "hi"', "in/out", "x" * 300, "Cat", "cat", "01", "1e5", "true", "null", "~", "background",
             "__background__", "ignore", "#x", "a: b", "- a", "'q'", "a  b", "<b> & co", "[a]", "*a", "%41", "a\\b")


@pytest.mark.parametrize("to", ["coco", "voc", "yolo"])
def test_any_name_of_a_class_comes_back(tmp_path: Path, to: str) -> None:
    noise(tmp_path / "data" / "0.png", H, W)
    doc = coco([("0.png", [])])
    doc["categories"] = [{"id": k, "name": n} for k, n in enumerate(ODD_NAMES, 1)]
    doc["annotations"] = [{"id": k, "image_id": 0, "category_id": k, "bbox": [k, 1, 5, 5]} for k in range(
        1, len(ODD_NAMES) + 1)]
    put(tmp_path / "data" / "annotations.json", doc)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        convert(tmp_path / "data", to, tmp_path / "out")
    data = opened(tmp_path / "out", "train")
    assert data.info.classes.names == ODD_NAMES
    assert [(data.info.classes.names[c], b[0]) for c, b in zip(data.truth(0).labels, data.truth(0).boxes)] == [
        (n, pytest.approx(k)) for k, n in enumerate(ODD_NAMES, 1)]


@pytest.mark.parametrize("mixed", [True, False])
@pytest.mark.parametrize("kind", [
    "bdd100k", "createml", "csv", "cvat", "datumaro", "coco", "imagefolder", "label_studio", "labelme", "supervisely",
    "via", "via_csv", "voc", "yolo"])
def test_names_that_differ_in_blanks_around_them_stay_apart_or_it_is_told(tmp_path: Path, kind: str, mixed: bool) -> None:
    it = LAYOUTS[kind]
    rows = truth(it.holds, ("cat", "cat ") if mixed else ("cat", "dog"))
    if not mixed:  # each split has a spelling of its own
        rows["val"] = {p: [replace(x, name=x.name.replace("cat", "cat ")) for x in own] for p, own in rows["val"].items()}
    it.write(tmp_path, rows)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        found = {s: open_dataset(tmp_path, s) for s in ("train", "val")}
    names = found["train"].info.classes.names
    told = [n for n in examined(tmp_path).notes if "'cat' and 'cat '" in n]
    assert found["val"].info.classes.names == names and len(told) == 1
    if "cat " in names:
        assert "are classes of their own" in told[0]
    else:
        assert told == ["'cat' and 'cat ' differ in blanks around them alone and are one class, 'cat'"]
        objects = {s: Counter(names[k] for i in range(len(d)) for k in d.truth(i).labels) for s, d in found.items()}
        assert objects == {s: {"cat": 12} if mixed else {"cat": 6, "dog": 6} for s in ("train", "val")}


def test_blanks_around_a_name_are_told_and_what_xml_loses_of_them(tmp_path: Path) -> None:
    noise(tmp_path / "data" / "0.png", H, W)
    doc = coco([("0.png", objects(0))])
    doc["categories"][0]["name"] = " bolt "
    put(tmp_path / "data" / "annotations.json", doc)
    assert any("' bolt ' has blanks around the name" in n for n in examined(tmp_path / "data").notes)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        lost = convert(tmp_path / "data", "voc", tmp_path / "voc").lost
        assert "1 class names lose the blanks around them: those of an XML text are layout" in lost
        assert opened(tmp_path / "voc", "train").info.classes.names == NAMES
        for to in ("coco", "yolo"):
            convert(tmp_path / "data", to, tmp_path / to)
            assert opened(tmp_path / to, "train").info.classes.names == (" bolt ", "nut")
        doc["categories"][1]["name"] = "bolt"
        put(tmp_path / "data" / "annotations.json", doc)
        with pytest.raises(DataError, match="the classes ' bolt ' and 'bolt', which differ in blanks around them alone"):
            convert(tmp_path / "data", "voc", tmp_path / "again")


def test_reading_pictures_in_threads_leaves_warnings_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two readers are within at once, and the first is done first: what the second puts back is the silence of the
    other where `warnings.catch_warnings` is used, and all that is said afterwards is lost."""
    noise(tmp_path / "0.png", H, W)
    plain, there, both, done = Image.open, threading.Event(), threading.Event(), threading.Event()

    def slow(*args: Any, **more: Any) -> Any:
        if threading.current_thread().name == "first":
            there.set()
            both.wait(30)
        else:
            both.set()
            done.wait(30)
        return plain(*args, **more)

    monkeypatch.setattr(Image, "open", slow)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        before = list(warnings.filters)
        one, other = (threading.Thread(target=read_image, args=(tmp_path / "0.png",), name=n) for n in ("first", "second"))
        one.start()
        there.wait(30)
        other.start()
        one.join(30)
        done.set()
        other.join(30)
        assert all(f in before or f[3] is not None for f in warnings.filters), "of Pillow's alone nothing is heard"


# ---------------------------------------------------------------- a picture that is gone


def write_gone(root: Path, kind: str, split: str, truth: Sequence[Sequence[Box]]) -> None:
    """The annotations of a split, beside its pictures where nothing else is said."""
    rows = [(f"{k}.png", own) for k, own in enumerate(truth)]
    at = root / split
    if kind == "coco":
        put(at / "_annotations.coco.json", coco(rows))
    elif kind == "coco in images":
        put(root / "annotations" / f"instances_{split}.json", coco(rows))
    elif kind == "createml":
        put(at / "_annotations.createml.json", [{"image": n, "annotations": [
            {"label": NAMES[c], "coordinates": {"x": (a + x) / 2, "y": (b + y) / 2, "width": x - a, "height": y - b}}
            for c, a, b, x, y in own]} for n, own in rows])
    elif kind == "csv":
        put(at / "_annotations.csv", "filename,class,xmin,ymin,xmax,ymax\n" + "".join(
            f"{n},{NAMES[c]},{a},{b},{x},{y}\n" for n, own in rows for c, a, b, x, y in own))
    elif kind == "imagefolder":
        put(at / "metadata.jsonl", "\n".join(json.dumps(hugging(k, own, "words")) for k, own in enumerate(truth)))
    elif kind == "yolo":
        put(root / f"{split}.txt", "".join(f"./images/{split}/{n}\n" for n, _ in rows))
        put(root / "data.yaml", "train: train.txt\nval: val.txt\nnames: [bolt, nut]")
        for n, own in rows:
            put(root / "labels" / split / n.replace(".png", ".txt"), yolo(own))
    else:
        for n, own in rows:
            put(at / n.replace(".png", ".json" if kind == "labelme" else ".xml"),
                labelme(n, own) if kind == "labelme" else voc(n, own))


@pytest.mark.parametrize("kind", ["coco", "coco in images", "createml", "csv", "imagefolder", "yolo", "labelme", "voc"])
def test_no_picture_of_another_split_stands_for_one_that_is_gone(tmp_path: Path, kind: str) -> None:
    inner = "images/" if kind in ("coco in images", "yolo") else ""
    for o, split in enumerate(("train", "val")):
        for k in range(3):
            noise(tmp_path / f"{inner}{split}" / f"{k}.png", H, W, seed=10 * o + k)
        write_gone(tmp_path, kind, split, [objects(k) for k in range(3)])
    (tmp_path / f"{inner}train" / "1.png").unlink()
    data = opened(tmp_path, "train")
    assert [tmp_path / f"{inner}train" / f"{k}.png" for k in (0, 2)] == [data.path(i) for i in range(len(data))]
    assert [f.kind for f in data.faults] == ["missing image"] and len(opened(tmp_path, "val")) == 3


def test_folders_of_splits_are_told_apart_in_any_words(tmp_path: Path) -> None:
    """A file of CVAT with subsets, and pictures of the same names in Train and Validation."""
    text = ""
    for s in ("Train", "Validation"):
        for k in range(2):
            noise(tmp_path / "images" / s / "cam 1" / f"{k}.png", H, W, seed=k + len(s))
            text += f'<image id="{k}" name="cam 1/{k}.png" subset="{s}" width="{W}" height="{H}">' + "".join(
                f'<box label="{NAMES[c]}" xtl="{a}" ytl="{b}" xbr="{x}" ybr="{y}"/>' for c, a, b, x, y in objects(k)
            ) + "</image>"
    put(tmp_path / "annotations.xml", f"<annotations><version>1.1</version><meta/>{text}</annotations>")
    for split, folder in (("train", "Train"), ("val", "Validation")):
        data = opened(tmp_path, split)
        assert [data.path(i) for i in range(2)] == [tmp_path / "images" / folder / "cam 1" / f"{k}.png" for k in (0, 1)]


def test_tables_of_makesense_and_the_list_of_ade(tmp_path: Path) -> None:
    put(tmp_path / "a" / "labels_my-project.csv", "".join(
        f"{NAMES[c]},{a},{b},{x - a},{y - b},{k}.png,{W},{H}\r\n" for k, own in enumerate(pictures(tmp_path / "a"))
        for c, a, b, x, y in own))
    held(opened(tmp_path / "a"))
    for s in ("training", "validation"):
        noise(tmp_path / "b" / "images" / s / "0.jpg", H, W, seed=len(s))
        drawn = np.zeros((H, W), np.uint8)
        drawn[5:, 5:], drawn[20:, 20:] = 2, 3
        (tmp_path / "b" / "annotations" / s).mkdir(parents=True)
        Image.fromarray(drawn).save(tmp_path / "b" / "annotations" / s / "0.png")
    put(tmp_path / "b" / "objectInfo150.txt", "Idx\tRatio\tTrain\tVal\tStuff\tName\n" + "".join(
        f"{k}\t.1\t9\t9\t{k % 2}\t{n}\n" for k, n in enumerate(("wall", "building, edifice", "sky"), 1)))
    data = opened(tmp_path / "b", "train")
    assert data.info.classes.names == ("wall", "building, edifice", "sky")
    semantic = data[0].semantic
    assert semantic[0, 0] == 255 and semantic[10, 10] == 1 and semantic[-1, -1] == 2


@pytest.mark.parametrize("name", ["SKU-110K", "number"])
def test_tables_of_sku_110k_say_corners_and_whole_pictures_behind_them(tmp_path: Path, name: str) -> None:
    called = NAMES if name == "SKU-110K" else ("0", "1")
    put(tmp_path / "annotations_train.csv", "".join(
        f"{k}.png,{a},{b},{x},{y},{called[c]},{W},{H}\n" for k, own in enumerate(pictures(tmp_path))
        for c, a, b, x, y in own))
    data = opened(tmp_path, "train")
    whole = open_dataset(tmp_path, "val")
    seen = {Path(d.truth(i).file).stem: d.truth(i).boxes.tolist() for d in (data, whole) for i in range(len(d))}
    assert data.info.classes.names == called
    assert {int(k): v for k, v in seen.items()} == {k: [list(at) for _, *at in objects(k)] for k in range(6)}


def regions(k: int, **more: Any) -> list[dict[str, Any]]:
    """What Label Studio says of picture k, in percent of it."""
    return [{"id": f"r{k}{j}", "type": "rectanglelabels", "original_width": W, "original_height": H, "value": {
        "x": a / W * 100, "y": b / H * 100, "width": (x - a) / W * 100, "height": (y - b) / H * 100, "rotation": 0,
        "rectanglelabels": [NAMES[c]]}} | more for j, (c, a, b, x, y) in enumerate(objects(k))]


@pytest.mark.parametrize("way", ["to_name", "item_index"])
def test_a_task_of_several_pictures_gives_each_its_own_regions(tmp_path: Path, way: str) -> None:
    pictures(tmp_path)
    sides = ("left", "right")
    put(tmp_path / "export.json", [{
        "id": k, "data": {s: f"/data/upload/1/{k + j}.png" for j, s in enumerate(sides)} if way == "to_name" else {
            "pictures": [f"/data/upload/1/{k + j}.png" for j in (0, 1)]},
        "annotations": [{"result": [r for j, s in enumerate(sides) for r in regions(k + j, **(
            {"to_name": s} if way == "to_name" else {"to_name": "pager", "item_index": j}))]}]} for k in (0, 2, 4)])
    held(opened(tmp_path))


def test_regions_of_which_nobody_knows_the_picture_take_all_of_their_task_out(tmp_path: Path) -> None:
    pictures(tmp_path)
    tasks = [{"id": k, "data": {"image": f"{k}.png"}, "annotations": [{"result": regions(k, to_name="img")}]}
             for k in range(4)]
    tasks.append({"id": 4, "data": {"image": "/a/4.png", "other": "/a/5.png"}, "annotations": [{"result": [
        *regions(4, to_name="img-1"), *regions(5, to_name="img-2")]}]})
    put(tmp_path / "export.json", tasks)
    data = opened(tmp_path)
    assert sorted(Path(data.truth(i).file).stem for i in range(len(data))) == ["0", "1", "2", "3"]
    said = [f.problem for f in examined(tmp_path).faults]
    assert sum("its task has 2 pictures, and which of them a region is drawn on is not said" in m for m in said) == 2


def test_pennfudan_is_maps_and_no_classes_of_pictures(tmp_path: Path) -> None:
    for k, own in enumerate(pictures(tmp_path, name="PNGImages/FudanPed{}.png")):
        drawn = np.zeros((H, W), np.uint8)
        for j, (_, a, b, x, y) in enumerate(own, 1):
            drawn[b:y, a:x] = j
        (tmp_path / "PedMasks").mkdir(exist_ok=True)
        Image.fromarray(drawn).save(tmp_path / f"PedMasks/FudanPed{k}_mask.png")
        put(tmp_path / f"Annotation/FudanPed{k}.txt", "# Compatible with PASCAL Annotation Version 1.00")
    with pytest.raises(DataError, match="could hold instances or classes"):
        opened(tmp_path)
    data = opened(tmp_path, maps="instance")
    assert len(data) == 6
    assert sorted(data[2].boxes.tolist()) == [list(at) for _, *at in objects(2)]


def test_a_document_of_coco_a_picture_is_told_in_a_short_line(tmp_path: Path) -> None:
    for k, own in enumerate(pictures(tmp_path, 30)):
        put(tmp_path / "annotations" / f"p{k:02d}.json", coco([(f"{k}.png", own)]))
    with pytest.raises(DataError, match=r"several annotation files \(p00, p01, p02, p03, p04, p05 and 24 more\)"):
        opened(tmp_path)


# ---------------------------------------------------------------- lists beside the labels


def test_lists_of_a_split_divide_yolo_that_no_configuration_divides(tmp_path: Path) -> None:
    for k, own in enumerate(pictures(tmp_path)):
        put(tmp_path / "labels" / f"{k}.txt", yolo(own))
    put(tmp_path / "classes.txt", "bolt\nnut\n")
    put(tmp_path / "train.txt", "".join(f"images/{k}.png\n" for k in range(4)))
    put(tmp_path / "val.txt", "/old/place/images/4.png\r\n/old/place/images/5.png\r\n")
    assert splits(tmp_path) == ("train", "val")
    assert [len(opened(tmp_path, s)) for s in ("train", "val")] == [4, 2]
    report = examined(tmp_path)
    assert not report.unused and any("train.txt and val.txt divide the data" in n for n in report.notes)
    put(tmp_path / "train.txt", "trained on Monday")
    assert splits(tmp_path) == ("train", "val", "test", "all")


def test_numbers_of_a_table_are_the_lines_of_a_class_list_beside_it(tmp_path: Path) -> None:
    rows = [f"{k}.png,{c},{a},{b},{x},{y}" for k, own in enumerate(pictures(tmp_path)) for c, a, b, x, y in own]
    put(tmp_path / "labels.csv", "\n".join(["filename,class_id,xmin,ymin,xmax,ymax", *rows]))
    put(tmp_path / "classes.txt", "bolt\nnut\n")
    held(opened(tmp_path))
    assert any("called as the lines of classes.txt, from 0: 0 bolt, 1 nut" in n for n in examined(tmp_path).notes)
    put(tmp_path / "classes.txt", "bolt\n")
    assert opened(tmp_path).info.classes.names == ("0", "1")


def test_lines_of_dota_beside_yolo_made_of_them(tmp_path: Path) -> None:
    """Ultralytics' DOTAv1: labels/train and labels/train_original."""
    for k, own in enumerate(pictures(tmp_path, name="images/train/{}.png")):
        put(tmp_path / "labels" / "train" / f"{k}.txt", "".join(
            f"{c} {a / W} {b / H} {x / W} {b / H} {x / W} {y / H} {a / W} {y / H}\n" for c, a, b, x, y in own))
        put(tmp_path / "labels" / "train_original" / f"{k}.txt", "".join(
            f"{a} {b} {x} {b} {x} {y} {a} {y} {NAMES[c]} 0\n" for c, a, b, x, y in own))
    put(tmp_path / "data.yaml", "train: images/train\nnames: [bolt, nut]\n")
    assert examined(tmp_path).format == "yolo"
    held(opened_whole(tmp_path))


@pytest.mark.parametrize("ending", [".jsonl", ".csv"])
def test_maps_that_an_imagefolder_names_are_read(tmp_path: Path, ending: str) -> None:
    for s in ("train", "validation"):
        rows = []
        for k in range(3):
            noise(tmp_path / s / "raw" / f"{k}.png", H, W, seed=k + len(s))
            drawn = np.zeros((H, W), np.uint8)
            drawn[5:20, 5:20] = 255
            (tmp_path / s / "drawn").mkdir(exist_ok=True)
            Image.fromarray(drawn).save(tmp_path / s / "drawn" / f"m{2 - k}.png")
            rows.append({"image_file_name": f"raw/{k}.png", "mask_file_name": f"drawn/m{2 - k}.png"})
        put(tmp_path / s / f"metadata{ending}", "\n".join(map(json.dumps, rows)) if ending == ".jsonl" else "\n".join(
            [",".join(rows[0]), *(",".join(r.values()) for r in rows)]))
    assert splits(tmp_path) == ("train", "val")
    data = opened(tmp_path, "train")
    assert data.info.format == "maps" and data.table.maps == [(f"train/drawn/m{2 - k}.png",) for k in range(3)]
    assert data[1].semantic is not None and int((data[1].semantic == 1).sum()) == 225
    assert not examined(tmp_path).unused


def test_one_list_of_an_imagefolder_may_name_pictures_of_all_splits(tmp_path: Path) -> None:
    rows = []
    for s in ("train", "validation"):
        truth = pictures(tmp_path, name=s + "/{}.png")
        rows += [hugging(k, own, "words") | {"file_name": f"{s}/{k}.png"} for k, own in enumerate(truth)]
    put(tmp_path / "metadata.jsonl", "\n".join(map(json.dumps, rows)))
    assert splits(tmp_path) == ("train", "val")
    for s, folder in (("train", "train"), ("val", "validation")):
        data = opened(tmp_path, s)
        held(data)
        assert {Path(data.truth(i).file).parent.name for i in range(6)} == {folder}


@pytest.mark.parametrize("kind", ["labelme", "supervisely", "bdd100k"])
def test_a_file_of_no_bytes_for_a_picture_is_a_fault(tmp_path: Path, kind: str) -> None:
    """What it held is lost: its picture is no picture without objects, and is not passed over without a word."""
    truth = pictures(tmp_path, name="ds/img/{}.png" if kind == "supervisely" else "{}.png")
    for k, own in enumerate(truth):
        if kind == "labelme":
            put(tmp_path / f"{k}.json", labelme(f"{k}.png", own))
        elif kind == "bdd100k":
            put(tmp_path / f"labels/{k}.json", {"name": f"{k}", "frames": [{"objects": frame("", own)["labels"]}]})
        else:
            put(tmp_path / f"ds/ann/{k}.png.json", {"size": {"height": H, "width": W}, "objects": [
                {"classTitle": NAMES[c], "geometryType": "rectangle", "points": {"exterior": [[a, b], [x - 1, y - 1]]}}
                for c, a, b, x, y in own]})
    lost = {"labelme": "3.json", "bdd100k": "labels/3.json", "supervisely": "ds/ann/3.png.json"}[kind]
    put(tmp_path / lost, "" if kind != "bdd100k" else '{"name": "3", "frames": [{"objects": [{"box2d"')
    data = opened(tmp_path)
    assert len(data) == 5 and [(f.kind, f.safe) for f in data.faults] == [("broken annotation", True)]
    assert data.faults[0].file.endswith(lost)
