"""Records that are no objects: a click that marks no place leaves its picture as it is, a line or a box without extent
takes it out unless `drop_records` says that the record alone is left out. Alike in every format."""
from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from made_data import noise
from stemma.cli import main
from stemma.data.open import open_dataset
from stemma.data.records import DataWarning

W, H = 60, 40
NAMES = ("bolt", "nut")
Box = tuple[int, float, float, float, float]  # class, x1, y1, x2, y2
CLICK: Box = (0, 30, 10, 30, 10)
LINE: Box = (1, 30, 10, 34, 10)


def own(k: int) -> list[Box]:
    """Two boxes a picture, a click besides in the first, and a line in the second."""
    more = {0: [CLICK], 1: [LINE]}.get(k, [])
    return [(k % 2, 3 + k, 4, 20 + k, 18 + k), (1 - k % 2, 36, 20 - k, 50 + k, 37), *more]


Rows = dict[str, list[Box]]


def put(path: Path, doc: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(doc if isinstance(doc, str) else json.dumps(doc))


def coco(root: Path, rows: Rows) -> None:
    put(root / "annotations.json", {
        "images": [{"id": i, "file_name": n, "width": W, "height": H} for i, n in enumerate(rows)],
        "categories": [{"id": c, "name": n} for c, n in enumerate(NAMES)], "annotations": [
            {"id": 10 * i + j, "image_id": i, "category_id": c, "bbox": [a, b, x - a, y - b]}
            for i, of in enumerate(rows.values()) for j, (c, a, b, x, y) in enumerate(of)]})


def voc(root: Path, rows: Rows) -> None:
    for name, of in rows.items():
        put(root / f"Annotations/{name[:-4]}.xml", f"<annotation><filename>{name}</filename>" + "".join(
            f"<object><name>{NAMES[c]}</name><bndbox><xmin>{a}</xmin><ymin>{b}</ymin><xmax>{x}</xmax><ymax>{y}</ymax>"
            "</bndbox></object>" for c, a, b, x, y in of) + "</annotation>")


def yolo(root: Path, rows: Rows) -> None:
    for name, of in rows.items():
        put(root / f"labels/{name[:-4]}.txt", "".join(
            f"{c} {(a + x) / 2 / W:.9f} {(b + y) / 2 / H:.9f} {(x - a) / W:.9f} {(y - b) / H:.9f}\n"
            for c, a, b, x, y in of))
    put(root / "data.yaml", "names: [bolt, nut]")


def labelme(root: Path, rows: Rows) -> None:
    for name, of in rows.items():
        put(root / f"images/{name[:-4]}.json", {"imagePath": name, "imageHeight": H, "imageWidth": W, "shapes": [
            {"label": NAMES[c], "points": [[a, b], [x, y]], "shape_type": "rectangle"} for c, a, b, x, y in of]})


def cvat(root: Path, rows: Rows) -> None:
    put(root / "annotations.xml", "<annotations><version>1.1</version><meta/>" + "".join(
        f'<image id="{i}" name="{n}" width="{W}" height="{H}">' + "".join(
            f'<box label="{NAMES[c]}" xtl="{a}" ytl="{b}" xbr="{x}" ybr="{y}"/>' for c, a, b, x, y in of) + "</image>"
        for i, (n, of) in enumerate(rows.items())) + "</annotations>")


def via(root: Path, rows: Rows) -> None:
    put(root / "via.json", {n: {"filename": n, "size": 1, "file_attributes": {}, "regions": [
        {"region_attributes": {"label": NAMES[c]}, "shape_attributes":
         {"name": "rect", "x": a, "y": b, "width": x - a, "height": y - b}} for c, a, b, x, y in of]}
        for n, of in rows.items()})


def createml(root: Path, rows: Rows) -> None:
    put(root / "annotations.json", [{"image": n, "annotations": [
        {"label": NAMES[c], "coordinates": {"x": (a + x) / 2, "y": (b + y) / 2, "width": x - a, "height": y - b}}
        for c, a, b, x, y in of]} for n, of in rows.items()])


def table(root: Path, rows: Rows) -> None:
    put(root / "labels.csv", "filename,class,xmin,ymin,xmax,ymax\n" + "".join(
        f"{n},{NAMES[c]},{a},{b},{x},{y}\n" for n, of in rows.items() for c, a, b, x, y in of))


def kitti(root: Path, rows: Rows) -> None:
    for name, of in rows.items():
        put(root / f"label_2/{name[:-4]}.txt", "".join(
            f"{NAMES[c]} 0 0 0 {a} {b} {x} {y} 1 1 1 0 0 9 0\n" for c, a, b, x, y in of))


def label_studio(root: Path, rows: Rows) -> None:
    put(root / "export.json", [{"id": i, "data": {"image": n}, "annotations": [{"id": i, "result": [
        {"id": f"{i}-{j}", "type": "rectanglelabels", "original_width": W, "original_height": H, "value": {
            "x": a / W * 100, "y": b / H * 100, "width": (x - a) / W * 100, "height": (y - b) / H * 100,
            "rectanglelabels": [NAMES[c]]}} for j, (c, a, b, x, y) in enumerate(of)]}]}
        for i, (n, of) in enumerate(rows.items())])


WRITERS: list[Callable[[Path, Rows], None]] = [coco, voc, yolo, labelme, cvat, via, createml, table, kitti,
                                               label_studio]


def pictures(root: Path, write: Callable[[Path, Rows], None], rows: Rows) -> None:
    folder = {voc: "JPEGImages", kitti: "image_2"}.get(write, "images")
    for k, name in enumerate(rows):
        noise(root / folder / name, H, W, seed=k)
    write(root, rows)


def held(root: Path, **options: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        return open_dataset(root, "all", **options)


def boxes(data: Any) -> dict[str, list[tuple[float, ...]]]:
    """Picture -> its (class, box), in order."""
    index = [NAMES.index(n) if n in NAMES else -1 for n in data.info.classes.names]
    return {Path(s.file).name: sorted((index[c], *b) for c, b in zip(s.labels, s.boxes.round(3).tolist()))
            for s in (data.truth(i) for i in range(len(data)))}


def usable(rows: Rows, write: Callable[[Path, Rows], None]) -> dict[str, list[tuple[float, ...]]]:
    one = write is voc  # its corners count from 1
    return {n: sorted((c, a - one, b - one, x, y) for c, a, b, x, y in of if x > a and y > b) for n, of in rows.items()}


@pytest.mark.parametrize("write", WRITERS, ids=lambda w: w.__name__)
def test_a_click_is_left_out_alone_and_a_line_takes_its_picture_or_is_dropped(
    tmp_path: Path, write: Callable[[Path, Rows], None]
) -> None:
    rows = {f"{k}.png": own(k) for k in range(6)}
    pictures(tmp_path, write, rows)
    want = usable(rows, write)
    data = held(tmp_path)
    assert boxes(data) == {n: of for n, of in want.items() if n != "1.png"}
    said = {f.picture.rpartition("/")[2]: f.mend for f in data.faults if f.kind == "degenerate box"}
    assert said == {"0.png": "it is left out: a click marks no place",
                    "1.png": "the picture is left out; --drop-records leaves out this record alone"}
    data = held(tmp_path, drop_records=True)
    assert boxes(data) == want
    said = {f.picture.rpartition("/")[2]: f.mend for f in data.faults if f.kind == "degenerate box"}
    assert said == {"0.png": "it is left out: a click marks no place",
                    "1.png": "the record is left out, and what it marks counts as background"}


def test_clicks_that_are_no_slips_take_their_pictures_out(tmp_path: Path) -> None:
    """A corner of all zeros is no click but no number; a click may be all that somebody marked in a picture; and a
    class of which a third are clicks is marked by them."""
    rows = {f"{k}.png": own(k)[:2] for k in range(6)}
    rows["6.png"] = [CLICK]
    rows["7.png"] = [*own(0)[:2], (0, 0, 0, 0, 0)]
    pictures(tmp_path / "a", coco, rows)
    want = usable(rows, coco)
    assert boxes(held(tmp_path / "a")) == {f"{k}.png": want[f"{k}.png"] for k in range(6)}
    assert boxes(held(tmp_path / "a", drop_records=True)) == want
    rows = {f"{k}.png": own(k)[:2] + [CLICK] * (k < 3) for k in range(6)}
    pictures(tmp_path / "b", coco, rows)
    assert sorted(boxes(held(tmp_path / "b"))) == ["3.png", "4.png", "5.png"]


def polyline(root: Path, rows: Rows) -> None:
    cvat(root, rows)
    path = root / "annotations.xml"
    path.write_text(path.read_text().replace("</image>", '<polyline label="lane" points="1,1;20,20"/></image>', 1))


def linestrip(root: Path, rows: Rows) -> None:
    labelme(root, rows)
    path = root / "images/0.json"
    doc = json.loads(path.read_text())
    doc["shapes"] += [{"label": "lane", "points": [[1, 1], [9, 9], [20, 9]], "shape_type": "linestrip"},
                      {"label": "lane", "points": [[1, 1]], "shape_type": "point"}]
    put(path, doc)


def point(root: Path, rows: Rows) -> None:
    via(root, rows)
    doc = json.loads((root / "via.json").read_text())
    doc["0.png"]["regions"].append({"region_attributes": {"label": "lane"}, "shape_attributes":
                                    {"name": "point", "cx": 3, "cy": 4}})
    put(root / "via.json", doc)


def no_name(root: Path, rows: Rows) -> None:
    yolo(root, rows)
    path = root / "labels/0.txt"
    path.write_text(path.read_text() + "1 .5 .5 .1\n")


def no_box(root: Path, rows: Rows) -> None:
    voc(root, rows)
    path = root / "Annotations/0.xml"
    path.write_text(path.read_text().replace("</annotation>", "<object><name>nut</name></object></annotation>"))


def neither(root: Path, rows: Rows) -> None:
    coco(root, rows)
    doc = json.loads((root / "annotations.json").read_text())
    doc["annotations"].append({"id": 99, "image_id": 0, "category_id": 1})
    put(root / "annotations.json", doc)


@pytest.mark.parametrize(("write", "like"), [(polyline, cvat), (linestrip, labelme), (point, via), (no_name, yolo),
                                             (no_box, voc), (neither, coco)], ids=lambda w: w.__name__)
def test_a_record_of_another_shape_is_dropped_where_that_is_told(
    tmp_path: Path, write: Callable[[Path, Rows], None], like: Callable[[Path, Rows], None]
) -> None:
    rows = {f"{k}.png": own(k)[:2] for k in range(6)}
    folder = {voc: "JPEGImages"}.get(like, "images")
    for k, name in enumerate(rows):
        noise(tmp_path / folder / name, H, W, seed=k)
    write(tmp_path, rows)
    want = usable(rows, like)
    data = held(tmp_path)
    assert boxes(data) == {n: of for n, of in want.items() if n != "0.png"}
    assert all("--drop-records" in f.mend for f in data.faults) and data.faults
    data = held(tmp_path, drop_records=True)
    assert boxes(data) == want
    assert {f.mend for f in data.faults} == {"the record is left out, and what it marks counts as background"}


def test_a_file_of_which_nothing_can_be_read_takes_its_picture_all_the_same(tmp_path: Path) -> None:
    rows = {f"{k}.png": own(k)[:2] for k in range(6)}
    for write, file in ((yolo, "labels/2.txt"), (voc, "Annotations/2.xml"), (via, "")):
        pictures(tmp_path / write.__name__, write, rows)
        if file:
            (tmp_path / write.__name__ / file).write_bytes(b"\0" * 64)
        else:
            doc = json.loads((tmp_path / "via/via.json").read_text())
            doc["2.png"]["regions"] = None
            put(tmp_path / "via/via.json", doc)
        data = held(tmp_path / write.__name__, drop_records=True)
        assert sorted(boxes(data)) == [f"{k}.png" for k in (0, 1, 3, 4, 5)], write.__name__


def test_every_command_that_reads_data_is_told_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = {f"{k}.png": own(k) for k in range(6)}
    pictures(tmp_path / "in", coco, rows)
    with pytest.raises(SystemExit):
        main(["doctor", str(tmp_path / "in"), "--json", "--drop-records"])
    report = json.loads(capsys.readouterr().out)
    assert {s: (f["images"], f["objects"]) for s, f in report["splits"].items()} == {"all": (6, 12)}
    with pytest.raises(SystemExit):
        main(["convert", str(tmp_path / "in"), "--to", "yolo", "--out", str(tmp_path / "out"), "--drop-records"])
    assert sum(len(p.read_text().splitlines()) for p in (tmp_path / "out").rglob("labels/**/*.txt")) == 12
