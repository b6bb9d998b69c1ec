"""Exports of labelling tools and tables: one truth written in every layout is read alike;
shapes, splits and faults of each."""
from __future__ import annotations

import base64
import csv
import io
import json
import math
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image

from layouts import H, W, painted, percent, png64, put, region, runs
from made_data import noise
from stemma.core.types import DataError
from stemma.data import formats, images
from stemma.data.doctor import examine
from stemma.data.doctors import examiner
from stemma.data.formats import drafts_at, module_of
from stemma.data.open import open_dataset, open_pair, recognise, splits
from stemma.data.readers.label_studio import brush
from stemma.data.records import DataWarning

Truth = dict[str, list[tuple[str, float, float, float, float]]]
TRUTH: Truth = {  # with a picture without objects, and two of one base name
    "a.png": [("cat", 5, 6, 25, 16), ("dog", 30, 2, 58, 38)], "cam 1/b.png": [("dog", 1, 1, 20, 10)],
    "cam 2/b.png": [("cat", 10.5, 8, 33, 30)], "none.png": [],
}


def pictures(root: Path, truth: Truth = TRUTH, folder: str = "images") -> None:
    for k, name in enumerate(truth):
        noise(root / folder / name, H, W, seed=k)


def cvat_xml(images: str, labels: tuple[str, ...] = ("cat", "dog")) -> str:
    rows = "".join(f"<label><name>{n}</name></label>" for n in labels)
    return ('<?xml version="1.0" encoding="utf-8"?><annotations><version>1.1</version><meta><task>'
            f'<labels>{rows}</labels>'
            f"</task></meta>{images}</annotations>")


def cvat(root: Path, truth: Truth) -> None:
    put(root / "annotations.xml", cvat_xml("".join(
        f'<image id="{k}" name="{n}" width="{W}" height="{H}">' + "".join(
            f'<box label="{c}" occluded="0" xtl="{a}" ytl="{b}" xbr="{x}" ybr="{y}" z_order="0"></box>'
            for c, a, b, x, y in rows) + "</image>" for k, (n, rows) in enumerate(truth.items()))))


def labelme(root: Path, truth: Truth) -> None:
    for n, rows in truth.items():
        put((root / "images" / n).with_suffix(".json"), {
            "version": "5.4.1", "flags": {}, "imagePath": n.rpartition("/")[2], "imageData": None, "imageHeight": H,
            "imageWidth": W, "shapes": [{"label": c, "points": [[x, y], [a, b]], "group_id": None,
                                         "shape_type": "rectangle", "flags": {}} for c, a, b, x, y in rows]})


def createml(root: Path, truth: Truth) -> None:
    put(root / "_annotations.createml.json", [
        {"image": n, "annotations": [{"label": c, "coordinates": {"x": (a + x) / 2, "y": (b + y) / 2, "width": x - a,
                                                                  "height": y - b}} for c, a, b, x, y in rows]}
        for n, rows in truth.items()])


def via(root: Path, truth: Truth) -> None:
    put(root / "via_project.json", {"_via_settings": {}, "_via_attributes": {}, "_via_img_metadata": {
        f"{n}123": {"filename": n, "size": 123, "file_attributes": {}, "regions": [
            {"shape_attributes": {"name": "rect", "x": a, "y": b, "width": x - a, "height": y - b},
             "region_attributes": {"label": c, "note": "x"}} for c, a, b, x, y in rows]}
        for n, rows in truth.items()}})


def via_csv(root: Path, truth: Truth) -> None:
    out = io.StringIO()
    rows = csv.writer(out)
    rows.writerow(["filename", "file_size", "file_attributes", "region_count", "region_id", "region_shape_attributes",
                   "region_attributes"])
    for n, objects in truth.items():
        for k, (c, a, b, x, y) in enumerate(objects):
            rows.writerow([n, 9, "{}", len(objects), k, json.dumps(
                {"name": "rect", "x": a, "y": b, "width": x - a, "height": y - b}), json.dumps({"label": c})])
        if not objects:
            rows.writerow([n, 9, "{}", 0, 0, "{}", "{}"])
    put(root / "via.csv", out.getvalue())


def label_studio(root: Path, truth: Truth) -> None:
    put(root / "export.json", [
        {"id": k, "data": {"image": f"/data/local-files/?d=store/{n.replace(' ', '%20')}"}, "annotations": [
            {"id": k, "was_cancelled": False, "result": [
                region("rectanglelabels", c, **percent(*box)) for c, *box in rows]}]}
        for k, (n, rows) in enumerate(truth.items())])


def label_studio_min(root: Path, truth: Truth) -> None:
    put(root / "min.json", [{"image": f"s3://bucket/{n}", "id": k, "label": [
        {**percent(*box), "rectanglelabels": [c], "original_width": W, "original_height": H} for c, *box in rows]}
        for k, (n, rows) in enumerate(truth.items())])


def table(root: Path, truth: Truth) -> None:
    lines = ["filename,width,height,class,xmin,ymin,xmax,ymax"]
    for n, rows in truth.items():
        lines += [f"{n},{W},{H},{c},{a},{b},{x},{y}" for c, a, b, x, y in rows] or [f"{n},{W},{H},,,,,"]
    put(root / "_annotations.csv", "\n".join(lines))


def open_images(root: Path, truth: Truth) -> None:
    lines = ["ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsTruncated,IsGroupOf"]
    for n, rows in truth.items():
        lines += [f"{n.removesuffix('.png')},x,/m/{c},1,{a / W},{x / W},{b / H},{y / H},0,0,0"
                  for c, a, b, x, y in rows]
        lines += [f"{n.removesuffix('.png')},x,,,,,,,,,"] if not rows else []
    put(root / "boxes.csv", "\n".join(lines))
    put(root / "class-descriptions-boxable.csv", "/m/cat,cat\n/m/dog,dog\n")


def spreadsheet(root: Path, truth: Truth) -> None:
    """As a spreadsheet of a language with a decimal comma saves it."""
    table(root, truth)
    path = root / "_annotations.csv"
    path.write_bytes("\ufeff".encode() + path.read_text().replace(",", ";").replace(".5", ",5")
                     .replace("\n", "\r\n").encode())


def bare_table(root: Path, truth: Truth) -> None:
    put(root / "train_boxes.csv", "\n".join(
        line for n, rows in truth.items() for line in [f"{n},{a},{b},{x},{y},{c}" for c, a, b, x, y in rows]
        or [f"{n},,,,,"]))


def one_column(root: Path, truth: Truth) -> None:
    put(root / "boxes.csv", "image_id,bbox,label\n" + "\n".join(
        line for n, rows in truth.items()
        for line in [f'{n},"[{a}, {b}, {x - a}, {y - b}]",{c}' for c, a, b, x, y in rows] or [f"{n},,"]))


def kitti(root: Path, truth: Truth) -> None:
    for n, rows in truth.items():
        put((root / "label_2" / n).with_suffix(".txt"), "".join(
            f"{c} 0.00 0 -1.57 {a} {b} {x} {y} 1.5 1.6 3.9 1.8 1.5 8.4 -1.6\n" for c, a, b, x, y in rows))
    (root / "images").rename(root / "image_2")


def supervisely(root: Path, truth: Truth) -> None:
    """Corners are pixels, both inside: half pixels cannot be said, and are written as polygons."""
    put(root / "meta.json", {"classes": [{"title": n, "shape": "any"} for n in ("cat", "dog")], "tags": []})
    for n, rows in truth.items():
        put(root / "ds" / "ann" / f"{n}.json", {"size": {"height": H, "width": W}, "tags": [], "objects": [
            {"classTitle": c, "geometryType": "rectangle",
             "points": {"exterior": [[a, b], [x - 1, y - 1]], "interior": []}} for c, a, b, x, y in rows]})
    (root / "ds").mkdir(exist_ok=True)
    (root / "images").rename(root / "ds" / "img")


def datumaro(root: Path, truth: Truth) -> None:
    put(root / "annotations" / "default.json", {
        "info": {}, "categories": {"label": {"labels": [{"name": n, "parent": ""} for n in ("cat", "dog")]}},
        "items": [{"id": n.rsplit(".", 1)[0], "image": {"path": n, "size": [H, W]}, "annotations": [
            {"id": k, "type": "bbox", "label_id": ("cat", "dog").index(c), "bbox": [a, b, x - a, y - b], "group": 0,
             "attributes": {"is_crowd": False}} for k, (c, a, b, x, y) in enumerate(rows)]}
            for n, rows in truth.items()]})


WRITERS: dict[str, Callable[[Path, Truth], None]] = {
    "cvat": cvat, "labelme": labelme, "createml": createml, "via": via, "via_csv": via_csv,
    "label-studio": label_studio, "label_studio_min": label_studio_min, "csv": table, "open_images": open_images,
    "bare_table": bare_table, "one_column": one_column, "kitti": kitti,
    "supervisely": supervisely, "datumaro": datumaro,
}
KIND = {"via_csv": "via", "label_studio_min": "label-studio", "open_images": "csv", "bare_table": "csv",
        "spreadsheet": "csv",
        "one_column": "csv"}


def opened(where: Path, split: str = "all", **options: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return open_dataset(where, split, **options)


def held(data: Any) -> Truth:
    """What a data set says, as `TRUTH`."""
    out: Truth = {}
    for i, file in enumerate(data.table.files):
        s = data[i]
        out[file.removeprefix("ds/").partition("/")[2]] = [(data.info.classes.names[k], *map(float, b))
                                       for k, b in zip(s.labels, data.truth(i).boxes)]
    return out


@pytest.mark.parametrize("layout", WRITERS)
def test_one_truth_is_read_alike_from_every_layout(tmp_path: Path, layout: str) -> None:
    pictures(tmp_path)
    WRITERS[layout](tmp_path, TRUTH)
    assert recognise(tmp_path) == KIND.get(layout, layout)
    data = opened(tmp_path)
    assert data.info.classes.names == ("cat", "dog") and data.info.kinds == ("boxes",) and not data.faults
    found = held(data)
    assert set(found) == set(TRUTH)
    for name, rows in TRUTH.items():
        assert [r[0] for r in found[name]] == [r[0] for r in rows]
        np.testing.assert_allclose([r[1:] for r in found[name]] or np.zeros((0, 4)),
                                   [r[1:] for r in rows] or np.zeros((0, 4)), atol=1e-9)
    report = examine(tmp_path, near=False)
    unused = {k: v for k, v in report.unused.as_dict().items() if v}
    assert unused in ({}, {"annotations": ["class-descriptions-boxable.csv"]}) and report.status == 0


@pytest.mark.parametrize("layout", [k for k in WRITERS if k not in ("kitti", "supervisely", "datumaro")])
def test_a_folder_a_split(tmp_path: Path, layout: str) -> None:
    for split, truth in (("train", TRUTH), ("valid", {"v.png": [("dog", 2, 3, 20, 30)]})):
        pictures(tmp_path / split, truth)
        WRITERS[layout](tmp_path / split, truth)
    assert splits(tmp_path) == ("train", "val")
    train, val = opened(tmp_path, "train"), opened(tmp_path, "val")
    assert (len(train), len(val)) == (4, 1) and val.truth(0).file.endswith("valid/images/v.png")
    assert train.info.classes.names == val.info.classes.names == ("cat", "dog"), "numbered alike in all splits"
    assert val.truth(0).labels.tolist() == [1]


@pytest.mark.parametrize("layout", WRITERS)
def test_classes_may_be_told(tmp_path: Path, layout: str) -> None:
    pictures(tmp_path)
    WRITERS[layout](tmp_path, TRUTH)
    data = opened(tmp_path, names=["dog", "bird", "cat"])
    assert data.info.classes.names == ("dog", "bird", "cat") and held(data)["a.png"][0][0] == "cat"
    with pytest.raises(DataError, match="the class 'dog' is not in the list of classes"):
        opened(tmp_path, names=["cat", "bird"])


def test_a_folder_is_recognised_once_and_walked_once_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By training and by the doctor, however many splits and formats there are."""
    for split in ("train", "valid"):
        pictures(tmp_path / split)
        labelme(tmp_path / split, TRUTH)
    asked, walked = [], []
    find, rooms = formats.formats_at, images._rooms
    monkeypatch.setattr(formats, "formats_at", lambda path: asked.append(path) or find(path))
    monkeypatch.setattr("stemma.data.classes.doctor.formats_at", formats.formats_at)
    monkeypatch.setattr(images, "_rooms", lambda *way: walked.append(way) or rooms(*way))
    for look in (open_pair, lambda path: examiner(path)(path)):
        asked.clear()
        look(tmp_path)
        assert asked == [tmp_path]
    walked.clear()
    assert find(tmp_path) == ["labelme"] and walked and len(set(walked)) == len(walked)
    pictures(tmp_path / "later")
    assert "later/images/a.png" in images.walk(tmp_path), "what is written afterwards is seen"


@pytest.mark.parametrize("layout", [k for k in WRITERS if k not in ("labelme", "kitti", "supervisely", "datumaro")])
def test_a_file_may_be_named_itself(tmp_path: Path, layout: str) -> None:
    pictures(tmp_path)
    WRITERS[layout](tmp_path, TRUTH)
    file = next(p for p in sorted(tmp_path.iterdir()) if p.is_file() and "class-desc" not in p.name)
    assert recognise(file) == KIND.get(layout, layout) and len(opened(file)) == 4
    (tmp_path / "images").rename(tmp_path / "elsewhere")
    assert len(opened(tmp_path, images="elsewhere", labels=file.name)) == 4


# ---------------------------------------------------------------- shapes


def mask_of(where: Path, **options: Any) -> np.ndarray:
    """The one mask of the one picture."""
    data = opened(where, **options)
    assert len(data) == 1 and "masks" in data.info.kinds and not data.faults
    masks = data.truth(0).masks
    assert masks is not None and len(masks) == 1
    return np.asarray(masks[0])


def disc(cx: float, cy: float, rx: float, ry: float) -> np.ndarray:
    y, x = np.mgrid[:H, :W] + 0.5
    return ((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2 <= 1


def near(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two masks are alike but for their rims."""
    return bool((a & b).sum() > 0.93 * (a | b).sum())


def diamond() -> np.ndarray:
    """A square of side 20 around (30, 20), turned by 45 degrees."""
    y, x = np.mgrid[:H, :W] + 0.5
    return abs(x - 30) + abs(y - 20) <= 10 * math.sqrt(2)


def blob() -> np.ndarray:
    m = np.zeros((H, W), bool)
    m[5:15, 10:30] = True
    m[8:12, 15:20] = False
    return m


SQUARE = [20, 10, 40, 10, 40, 30, 20, 30]
PAIRS = [[SQUARE[k], SQUARE[k + 1]] for k in range(0, 8, 2)]


def labelme_shape(kind: str, points: list[list[float]], **more: Any) -> dict[str, Any]:
    return {"imagePath": "a.png", "imageHeight": H, "imageWidth": W, "imageData": None,
            "shapes": [{"label": "cat", "points": points, "shape_type": kind, "group_id": None, **more}]}


def via_shape(**shape: Any) -> dict[str, Any]:
    return {"a.png1": {"filename": "a.png", "size": 1, "regions": {"0": {  # as VIA 1 writes regions
        "shape_attributes": shape, "region_attributes": {"type": "cat"}}}}}


def task(*regions: dict[str, Any], **more: Any) -> list[dict[str, Any]]:
    return [{"data": {"image": "/data/upload/7/a.png"}, "annotations": [{"result": list(regions), **more}]}]


def cvat_shape(text: str) -> str:
    return cvat_xml(f'<image id="0" name="a.png" width="{W}" height="{H}">{text}<tag label="dog"></tag></image>')


SHAPES: dict[str, tuple[str, Any, Callable[[], np.ndarray]]] = {
    "labelme polygon": ("a.json", labelme_shape("polygon", PAIRS), lambda: square()),
    "labelme circle": ("a.json", labelme_shape("circle", [[30, 20], [40, 20]]), lambda: disc(30, 20, 10, 10)),
    "labelme mask": ("a.json", labelme_shape("mask", [[10, 5], [29, 14]], mask=png64(blob()[5:15, 10:30])), blob),
    "cvat polygon": ("x.xml", cvat_shape('<polygon label="cat" points="20,10;40,10;40,30;20,30"/>'), lambda: square()),
    "cvat turned box": ("x.xml", cvat_shape('<box label="cat" xtl="20" ytl="10" xbr="40" ybr="30" rotation="45"/>'),
                        diamond),
    "cvat ellipse": ("x.xml", cvat_shape('<ellipse label="cat" cx="30" cy="20" rx="20" ry="9"/>'),
                     lambda: disc(30, 20, 20, 9)),
    "cvat mask": ("x.xml", cvat_shape('<mask label="cat" left="10" top="5" width="20" height="10" rle="'
                                      + ",".join(map(str, runs(blob()[5:15, 10:30]))) + '"/>'), blob),
    "via polygon": ("v.json", via_shape(name="polygon", all_points_x=SQUARE[::2], all_points_y=SQUARE[1::2]),
                    lambda: square()),
    "via circle": ("v.json", via_shape(name="circle", cx=30, cy=20, r=10), lambda: disc(30, 20, 10, 10)),
    "via ellipse": ("v.json", via_shape(name="ellipse", cx=30, cy=20, rx=9, ry=20, theta=math.pi / 2),
                    lambda: disc(30, 20, 20, 9)),
    "studio polygon": ("e.json", task(region("polygonlabels", "cat",
                                             points=[[100 * x / W, 100 * y / H] for x, y in PAIRS])), lambda: square()),
    "studio turned box": ("e.json", task(region("rectanglelabels", "cat", **percent(
        30, 20 - 10 * math.sqrt(2), 50, 40 - 10 * math.sqrt(2)) | {"rotation": 45})), diamond),
    "studio ellipse": ("e.json", task(region("ellipselabels", "cat", x=50, y=50, radiusX=100 * 20 / W,
                                             radiusY=100 * 9 / H, rotation=0)), lambda: disc(30, 20, 20, 9)),
    "studio brush": ("e.json", task(region("brushlabels", "cat", format="rle", rle=painted(blob()))), blob),
}


def square() -> np.ndarray:
    m = np.zeros((H, W), bool)
    m[10:30, 20:40] = True
    return m


@pytest.mark.parametrize("name", SHAPES)
def test_shapes_are_masks_where_they_are_drawn(tmp_path: Path, name: str) -> None:
    file, doc, want = SHAPES[name]
    noise(tmp_path / "a.png", H, W)
    put(tmp_path / file, doc)
    found = mask_of(tmp_path)
    exact = name.endswith((" mask", "brush", "polygon"))
    assert (found == want()).all() if exact else near(found, want())


def test_runs_of_the_brush_are_decoded_as_they_are_written() -> None:
    r = np.random.default_rng(0)
    for share in (0.02, 0.5, 1.0):
        mask = r.random((H, W)) < share
        np.testing.assert_array_equal(brush(painted(mask), H, W), mask)
    for bad in ([], [1, 2, 3], painted(blob())[:-9], [256]):
        with pytest.raises((ValueError, IndexError, OverflowError)):
            brush(bad, H, W)
    with pytest.raises(ValueError, match="for 10 x 10 pixels"):
        brush(painted(blob()), 10, 10)


def test_parts_of_one_group_are_one_object(tmp_path: Path) -> None:
    doc = labelme_shape("polygon", [[1, 1], [9, 1], [9, 9], [1, 9]], group_id=3)
    doc["shapes"].append(doc["shapes"][0] | {"points": [[20, 1], [29, 1], [29, 9], [20, 9]]})
    doc["shapes"].append(doc["shapes"][0] | {"label": "dog"})
    noise(tmp_path / "a.png", H, W)
    put(tmp_path / "a.json", doc)
    s = opened(tmp_path).truth(0)
    assert len(s.boxes) == 2 and s.boxes[0].tolist() == [1, 1, 29, 9] and s.masks[0].sum() == 8 * 8 + 9 * 8


NO_EXTENT: dict[str, tuple[str, Any]] = {
    "labelme point": ("b.json", labelme_shape("point", [[3, 4]])),
    "labelme line": ("b.json", labelme_shape("linestrip", [[3, 4], [9, 9], [12, 3]])),
    "labelme no label": ("b.json", labelme_shape("polygon", PAIRS, label="")),
    "labelme mask": ("b.json", labelme_shape("mask", [[1, 1], [3, 3]], mask="zzz")),
    "cvat line": ("b.xml", cvat_shape('<polyline label="cat" points="1,2;3,4"/>')),
    "cvat points": ("b.xml", cvat_shape('<points label="cat" points="1,2"/>')),
    "cvat mask": ("b.xml", cvat_shape('<mask label="cat" left="0" top="0" width="9" height="9" rle="3,4"/>')),
    "cvat box": ("b.xml", cvat_shape('<box label="cat" xtl="1" ytl="2" xbr="x" ybr="4"/>')),
    "via point": ("b.json", via_shape(name="point", cx=1, cy=2)),
    "studio point": ("b.json", task(region("keypointlabels", "cat", x=3, y=4))),
    "studio two labels": ("b.json", task({**region("rectanglelabels", "cat"), "value": percent(1, 1, 9, 9) | {
        "rectanglelabels": ["cat", "dog"]}})),
    "studio brush": ("b.json", task(region("brushlabels", "cat", format="rle", rle=[1, 2, 3]))),
}


@pytest.mark.parametrize("name", NO_EXTENT)
def test_what_has_no_extent_takes_its_picture_out(tmp_path: Path, name: str) -> None:
    file, doc = NO_EXTENT[name]
    noise(tmp_path / "a.png", H, W)
    put(tmp_path / file, doc)
    report = examine(tmp_path)
    assert [f.kind for f in report.faults if f.kind != "unusable split"] in (
        ["broken record"], ["box not finite"], ["point without an object"]) or (
        not report.splits), name
    with pytest.raises(DataError, match="picture is left out|no object of a class"):
        opened(tmp_path)


def test_one_bad_shape_leaves_the_other_pictures(tmp_path: Path) -> None:
    pictures(tmp_path)
    cvat(tmp_path, TRUTH)
    text = (tmp_path / "annotations.xml").read_text()
    (tmp_path / "annotations.xml").write_text(text.replace('<box label="cat" occluded="0" xtl="5"',
                                                           '<points label="cat" points="1,2"/>'
                                                           '<box label="cat" xtl="5"', 1))
    with pytest.warns(DataWarning, match="1 picture is left out.*annotations.xml.*is in no group, so that no object has it"):
        data = open_dataset(tmp_path, "all")
    assert sorted(f.partition("/")[2] for f in data.table.files) == [  # type: ignore[attr-defined]
        "cam 1/b.png", "cam 2/b.png", "none.png"]


# ---------------------------------------------------------------- each tool's own


def test_cvat_subsets_are_splits_and_video_is_refused(tmp_path: Path) -> None:
    for k in range(4):
        noise(tmp_path / f"images/{k}.png", H, W, seed=k)
    rows = "".join(f'<image id="{k}" name="{k}.png" subset="{s}" width="{W}" height="{H}"><box label="cat" xtl="1" '
                   'ytl="1" xbr="9" ybr="9"/></image>' for k, s in enumerate(("Train", "Train", "Validation", "Test")))
    put(tmp_path / "annotations.xml", cvat_xml(rows))
    assert splits(tmp_path) == ("train", "val", "test") and len(opened(tmp_path, "train")) == 2
    assert opened(tmp_path, "val").info.classes.names == ("cat", "dog"), "the tool's own list"
    for beside in ("", rows):
        put(tmp_path / "annotations.xml", cvat_xml(beside + '<track id="0" label="cat"></track>'))
        with pytest.raises(DataError, match="CVAT for video.*images 1.1"):
            opened(tmp_path)
    put(tmp_path / "annotations.xml", "<!DOCTYPE a [<!ENTITY b 'c'>]>" + cvat_xml(rows))
    with pytest.raises(DataError, match="document type or entities"):
        opened(tmp_path)


def test_tasks_that_several_people_labelled(tmp_path: Path) -> None:
    noise(tmp_path / "a.png", H, W)
    noise(tmp_path / "b.png", H, W, seed=1)
    boxes = [region("rectanglelabels", "cat", **percent(k, k, 20, 20)) for k in (1, 2, 3)]
    both = [{"result": [boxes[0]], "was_cancelled": True}, {"result": [boxes[1]]},
            {"result": [boxes[2]], "ground_truth": True}]
    choice = {"type": "choices", "from_name": "q", "to_name": "image", "value": {"choices": ["sharp"]}}
    doc = [{"data": {"image": "http://host/up/a.png?x=1"}, "annotations": both},
           {"data": {"image": "b.png"}, "annotations": []}]
    put(tmp_path / "e.json", doc)
    with pytest.warns(DataWarning, match="1 tasks were labelled more than once"):
        data = open_dataset(tmp_path, "all")
    assert len(data) == 1 and data.truth(0).boxes.tolist() == [[3, 3, 20, 20]]
    assert examine(tmp_path).unused.pictures == ["b.png"], "nobody labelled it: it is no picture without objects"
    both[2]["ground_truth"] = False
    both[1]["result"].append(choice)
    put(tmp_path / "e.json", doc)
    assert opened(tmp_path).truth(0).boxes.tolist() == [[2, 2, 20, 20]]


def test_the_attribute_that_is_the_class(tmp_path: Path) -> None:
    noise(tmp_path / "a.png", H, W)
    doc = via_shape(name="rect", x=1, y=1, width=9, height=9)
    region_of = doc["a.png1"]["regions"]["0"]
    for attributes, names in (({"species": "cat"}, ("cat",)), ({}, ("object",)), ({"a": "x", "class": "dog"}, ("dog",)),
                              ({"type": {"cat": False, "dog": True}}, ("dog",))):
        region_of["region_attributes"] = attributes
        put(tmp_path / "v.json", doc)
        assert opened(tmp_path).info.classes.names == names
    region_of["region_attributes"] = {"colour": "x", "shape": "dog"}
    put(tmp_path / "v.json", doc)
    with pytest.raises(DataError, match="colour, shape, and none is called label or class"):
        opened(tmp_path)


def test_tables_of_other_columns(tmp_path: Path) -> None:
    pictures(tmp_path)
    put(tmp_path / "boxes.csv", "image;x\n")
    with pytest.raises(DataError, match="no data set of a known format"):
        opened(tmp_path)
    put(tmp_path / "boxes.csv", "split,image,x,y,w,h,isgroupof\ntrain,a.png,1,2,10,20,0\nval,none.png,1,1,5,5,0\n"
        "val,none.png,1,1,30,30,1\n")
    assert splits(tmp_path) == ("train", "val")
    val = opened(tmp_path, "val").truth(0)
    assert val.boxes.tolist() == [[1, 1, 6, 6], [1, 1, 31, 31]] and val.crowd.tolist() == [False, True]
    assert opened(tmp_path, "train").info.classes.names == ("object",)
    put(tmp_path / "boxes.csv",
        "filename,class,xmin,ymin,xmax,ymax\na.png,cat,1,2,x,20\nnone.png,cat,1,2,9,9\n,cat,1,1,2,2\n")
    report = examine(tmp_path)
    assert {f.kind: f.record.split(" of ")[0] for f in report.faults} == {"broken record": "line 4",
                                                                          "box not finite": "line 2"}
    assert report.refused, "of a line that names no picture, nobody knows whose object it is"


def test_what_kitti_does_not_care_for_is_a_crowd_of_every_class(tmp_path: Path) -> None:
    pictures(tmp_path)
    kitti(tmp_path, TRUTH)
    with open(tmp_path / "label_2/a.txt", "a") as f:
        f.write("DontCare -1 -1 -10 1 1 9 9 -1 -1 -1 -1000 -1000 -1000 -10\n")
    with pytest.warns(DataWarning, match="1 places are marked DontCare"):
        data = open_dataset(tmp_path, "all")
    s = data.truth(data.table.files.index("image_2/a.png"))  # type: ignore[attr-defined]
    assert data.info.classes.names == ("cat", "dog")
    assert s.crowd.tolist() == [False, False, True, True] and sorted(s.labels[2:].tolist()) == [0, 1]
    put(tmp_path / "label_2/none.txt", "cat 0 0 1 2\n")
    assert "none.png" not in " ".join(opened(tmp_path).table.files)


# ---------------------------------------------------------------- anything may stand in a file


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from([k for k in WRITERS if k != "kitti"]), st.binary(max_size=30), st.floats(0, 1), st.booleans())
@example("via_csv", b"\r\r", 0.9, False).via("a line end of old machines")
@example("via_csv", b"\0", 0.4, False).via("a name that no file can have")
def test_fuzzed_exports_raise_data_errors_alone(tmp_path: Path, layout: str, raw: bytes, share: float,
                                                cut: bool) -> None:
    root = tmp_path / layout
    if not root.exists():
        pictures(root)
        WRITERS[layout](root, TRUTH)
        for p in [p for p in root.rglob("*") if p.suffix in (".json", ".xml", ".csv")]:
            p.with_name(p.name + ".sound").write_bytes(p.read_bytes())
    for sound in root.rglob("*.sound"):
        whole = sound.read_bytes()
        at = int(share * len(whole))
        sound.with_name(sound.name.removesuffix(".sound")).write_bytes(whole[:at] + raw + (b"" if cut else whole[at:]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            data = open_dataset(root, "all", format=KIND.get(layout, layout), on_fault="report")
            for i in range(len(data)):
                data.truth(i)
        except DataError as e:
            assert str(e)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(sorted(SHAPES)), st.recursive(
    st.none() | st.booleans() | st.integers(-3, 10**12) | st.floats() | st.text(max_size=4),
    lambda x: st.lists(x, max_size=3) | st.dictionaries(st.text(max_size=3), x, max_size=3), max_leaves=5),
       st.integers(0, 60))
def test_any_value_may_stand_for_another(tmp_path: Path, name: str, value: Any, place: int) -> None:
    file, doc, _ = SHAPES[name]
    if isinstance(doc, str):
        return
    doc = json.loads(json.dumps(doc))
    spots: list[tuple[Any, Any]] = []

    def walk(at: Any) -> None:
        for k in list(at) if isinstance(at, dict) else range(len(at)) if isinstance(at, list) else ():
            spots.append((at, k))
            walk(at[k])

    walk(doc)
    holder, key = spots[place % min(len(spots), 60)]
    holder[key] = value
    root = tmp_path / "f"
    root.mkdir(exist_ok=True)
    noise(root / "a.png", H, W)
    for p in root.glob("*.json"):
        p.unlink()
    put(root / file, doc)
    kind = {"a": "labelme", "v": "via", "e": "label-studio"}[file[0]]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            data = open_dataset(root, "all", format=kind, on_fault="report")
            for i in range(len(data)):
                assert np.isfinite(data.truth(i).boxes).all()
        except DataError as e:
            assert str(e)


@pytest.mark.data
def test_one_published_truth_in_six_layouts(shared_data: Path) -> None:
    """273 boxes in 100 pictures (which are not there), as the tools of review_object_detection_metrics wrote them."""
    base = shared_data / "eval_results/review_object_detection_metrics/data/database/gts"
    found = {}
    for name, kind in (("coco_format_v1", "coco"), ("coco_format_v2", "coco"), ("cvat_format", "cvat"),
                       ("openimages_format", "csv"), ("pascalvoc_format", "voc"), ("imagenet_format", "voc")):
        assert recognise(base / name) == kind
        path, module = module_of(base / name, None)
        draft = drafts_at(path, module)["all"]()
        t = draft.table
        found[name] = sorted((Path(t.files[i]).stem, draft.classes.names[c], *np.round(b, 3).tolist())
                             for i, c, b in zip(t.image, t.labels, t.boxes))
        assert (len(t.files), len(t.boxes)) == (100, 273) and not draft.faults
    truth = found["coco_format_v1"]
    assert truth == found["cvat_format"] == found["coco_format_v2"]
    for name in ("pascalvoc_format", "imagenet_format"):  # that count from 1: their first pixel is the edge before it
        assert [r[:2] for r in found[name]] == [r[:2] for r in truth]
        apart = np.array([r[2:] for r in truth]) - np.array([r[2:] for r in found[name]])
        np.testing.assert_allclose(apart, np.tile([1.0, 1, 0, 0], (273, 1)), atol=1e-3)
    path, module = module_of(base / "openimages_format", None)
    table = module._table(path / "all_bounding_boxes.csv")
    assert module._fractions([table]), "with decimal commas"


# ---------------------------------------------------------------- Supervisely, Datumaro, VisDrone


def alone(root: Path, *figures: dict[str, Any]) -> Path:
    """A project of one picture with these figures."""
    supervisely_of = {"size": {"height": H, "width": W}, "objects": [{"classTitle": "cat", **f} for f in figures]}
    noise(root / "ds" / "img" / "a.png", H, W)
    put(root / "ds" / "ann" / "a.png.json", supervisely_of)
    return root


def test_the_data_sets_of_a_supervisely_project_are_its_splits(tmp_path: Path) -> None:
    pictures(tmp_path)
    supervisely(tmp_path, TRUTH)
    (tmp_path / "ds").rename(tmp_path / "train")
    noise(tmp_path / "val" / "img" / "v.png", H, W)
    put(tmp_path / "val" / "ann" / "v.png.json", {"size": {"height": H, "width": W}, "objects": [
        {"classTitle": "dog", "geometryType": "rectangle", "points": {"exterior": [[1, 2], [8, 9]], "interior": []}}]})
    assert splits(tmp_path) == ("train", "val") and opened(tmp_path, "val").truth(0).labels.tolist() == [1]
    assert len(opened(tmp_path / "train")) == 4  # a data set alone


def test_holes_and_bitmaps_of_supervisely(tmp_path: Path) -> None:
    import zlib

    square = [[10, 5], [40, 5], [40, 35], [10, 35]]
    hole = [[20, 15], [30, 15], [30, 25], [20, 25]]
    root = alone(tmp_path / "holes", {"geometryType": "polygon", "points": {"exterior": square, "interior": [hole]}})
    mask = mask_of(root)
    assert mask[10, 12] and not mask[20, 25] and mask.sum() == 30 * 30 - 10 * 10
    shape = disc(8, 6, 8, 6)[:12, :16]
    for name, packed in (("packed", True), ("plain", False)):
        buffer = io.BytesIO()
        alpha = np.where(shape, 255, 0).astype(np.uint8)
        Image.fromarray(np.dstack([alpha * 0, alpha * 0, alpha * 0, alpha])).save(buffer, "png")
        raw = zlib.compress(buffer.getvalue()) if packed else buffer.getvalue()
        root = alone(tmp_path / name, {"geometryType": "bitmap", "bitmap": {
            "data": base64.b64encode(raw).decode(), "origin": [20, 9]}})
        whole = np.zeros((H, W), bool)
        whole[9:21, 20:36] = shape
        assert np.array_equal(mask_of(root), whole)


NODES = {"f4a1": {"label": "nose", "loc": [3, 1], "color": "#0000FF"}, "b7": {"label": "left_ear", "loc": [1, 1]},
         "c9": {"label": "right_ear", "loc": [5, 1]}}
HEAD = {"title": "head", "shape": "graph", "geometry_config": {"nodes": NODES, "edges": [
    {"src": "f4a1", "dst": "b7"}, {"src": "f4a1", "dst": "c9", "color": "#00FF00"}]}}
GRAPH = {"classTitle": "head", "geometryType": "graph", "nodes": {
    "f4a1": {"loc": [20, 10]}, "b7": {"loc": [14, 8], "disabled": True}}}


def test_a_graph_of_supervisely_is_an_object_of_keypoints(tmp_path: Path) -> None:
    """Its box is the rectangle of its points, both of whose corners are pixels; a point that is not there is not
    labelled, a disabled one hidden; names and lines are the template's."""
    root = alone(tmp_path, GRAPH)
    put(root / "meta.json", {"classes": [HEAD]})
    data = opened(root)
    s, points = data.truth(0), data.info.points
    assert points.names == ("nose", "left_ear", "right_ear") and points.lines == ((0, 1), (0, 2))
    assert "keypoints" in data.info.kinds and [points.names[k] for k in points.flip] == ["nose", "right_ear", "left_ear"]
    assert s.keypoints.tolist() == [[[20, 10, 2], [14, 8, 1], [0, 0, 0]]] and s.boxes.tolist() == [[14, 8, 21, 11]]


def test_a_graph_and_a_figure_of_one_instance_are_one_object(tmp_path: Path) -> None:
    box = {"classTitle": "head", "geometryType": "rectangle", "instance": "x1",
           "points": {"exterior": [[10, 4], [29, 23]], "interior": []}}
    root = alone(tmp_path, box, GRAPH | {"instance": "x1"}, GRAPH)
    put(root / "meta.json", {"classes": [HEAD]})
    s = opened(root).truth(0)
    assert s.boxes.tolist() == [[10, 4, 30, 24], [14, 8, 21, 11]] and s.keypoints[:, 0].tolist() == [[20, 10, 2]] * 2


@pytest.mark.parametrize(("nodes", "said"), [
    ({}, "without nodes"), ({"f4a1": {"loc": [1]}}, "not two finite numbers"), ({"zz": {"loc": [1, 2]}}, "'zz'"),
    ({"f4a1": {"loc": [4, 5], "disabled": "perhaps"}}, "neither yes nor no")])
def test_bad_graphs_of_supervisely(tmp_path: Path, nodes: dict[str, Any], said: str) -> None:
    root = alone(tmp_path, GRAPH | {"nodes": nodes})
    noise(root / "ds" / "img" / "b.png", H, W, seed=3)
    put(root / "ds" / "ann" / "b.png.json", {"size": {"height": H, "width": W}, "objects": [GRAPH]})
    put(root / "meta.json", {"classes": [HEAD]})
    data = opened(root)
    assert len(data) == 1 and any(said in f.problem and "a.png" in f.picture for f in data.faults)


def test_figures_without_an_extent_take_their_picture_out(tmp_path: Path) -> None:
    pictures(tmp_path)
    supervisely(tmp_path, TRUTH)
    path = tmp_path / "ds" / "ann" / "a.png.json"
    doc = json.loads(path.read_text())
    bad: list[dict[str, Any]] = [
        {"geometryType": "point", "points": {"exterior": [[3, 4]], "interior": []}},
        {"geometryType": "rectangle", "points": {"exterior": [[3, None], [5, 6]], "interior": []}},
        {"geometryType": "bitmap", "bitmap": {"data": "no base64!", "origin": [1, 2]}}, {"geometryType": "bitmap"}]
    for figure in bad:
        put(path, doc | {"objects": [{"classTitle": "cat", **figure}]})
        data = opened(tmp_path)
        assert len(data) == 3 and len(data.faults) == 1 and "the picture is left out" in str(data.faults[0])


def test_parts_of_a_group_of_datumaro_are_one_object(tmp_path: Path) -> None:
    noise(tmp_path / "images" / "train" / "a.png", H, W)
    noise(tmp_path / "images" / "val" / "b.png", H, W, seed=1)
    square, far = [5, 5, 15, 5, 15, 15, 5, 15], [30, 20, 40, 20, 40, 30, 30, 30]
    row = {"label_id": 0, "attributes": {}, "group": 3}
    for split, name, own in (
        ("train", "a", [{"type": "polygon", "points": square, **row}, {"type": "bbox", "bbox": [5, 5, 35, 25], **row},
                        {"type": "polygon", "points": far, **row}, {"type": "caption", "caption": "x"},
                        {"type": "polygon", "points": far, **row, "group": 0, "attributes": {"is_crowd": True}}]),
        ("val", "b", [{"type": "mask", "rle": {"counts": [0, 40, 2360], "size": [H, W]}, **row}])):
        put(tmp_path / "annotations" / f"{split}.json", {
            "info": {}, "categories": {"label": {"labels": [{"name": "cat"}]}},
            "items": [{"id": name, "image": {"path": f"{name}.png", "size": [H, W]}, "annotations": own}]})
    assert splits(tmp_path) == ("train", "val")
    data = opened(tmp_path, "train")
    s = data.truth(0)
    assert s.boxes.tolist() == [[5, 5, 40, 30], [30, 20, 40, 30]] and s.crowd.tolist() == [False, True]
    assert s.masks[0].sum() == 200 and any("caption" in n for n in data.notes)
    assert opened(tmp_path, "val").truth(0).masks[0].sum() == 40
    doc = json.loads((tmp_path / "annotations" / "train.json").read_text())
    doc["items"][0]["annotations"][0]["label_id"] = 7
    put(tmp_path / "annotations" / "train.json", doc)
    with pytest.raises(DataError, match="label_id 7 is none of the 1 classes"):
        opened(tmp_path, "train")


def visdrone(root: Path, lines: dict[str, str]) -> Path:
    for k, (name, text) in enumerate(lines.items()):
        noise(root / "images" / f"{name}.png", H, W, seed=k)
        put(root / "annotations" / f"{name}.txt", text)
    return root


def test_what_visdrone_does_not_measure_is_a_crowd(tmp_path: Path) -> None:
    lines = {"a": "5,6,20,10,1,4,0,1\n1,1,3,4,0,1,0,0,\n", "b": "30,20,9,9,0,0,0,0\n2,3,4,5,1,10,0,0\n", "none": "",
             "c": "3,3,9,9,0,11,0,0\n10,10,8,8,1,1,1,2\n"}
    for part in ("VisDrone2019-DET-train", "VisDrone2019-DET-val"):
        visdrone(tmp_path / part, lines)
    assert recognise(tmp_path / part) == "visdrone" and recognise(tmp_path) == "visdrone"
    assert splits(tmp_path) == ("train", "val")
    data = opened(tmp_path, "train")
    of = {Path(f).stem: data.truth(i) for i, f in enumerate(data.table.files)}
    names = data.info.classes.names
    assert len(names) == 10 and len(data) == 4 and len(of["none"].labels) == 0 and not data.faults
    assert [names[k] for k in of["a"].labels] == ["car", "pedestrian"] and of["a"].crowd.tolist() == [False, True]
    assert of["a"].boxes[0].tolist() == [5, 6, 25, 16]
    assert of["b"].crowd.sum() == 10 and of["c"].crowd.sum() == 10 and len(set(of["c"].labels[of["c"].crowd])) == 10
    put(tmp_path / part / "annotations" / "a.txt", "5,6,20,10,1,12,0,1\n")
    put(tmp_path / part / "annotations" / "c.txt", "5,6,x,10,1,1,0,1\n")
    data = opened(tmp_path, "val")
    assert len(data) == 2 and {f.problem.split()[0] for f in data.faults} == {"the", "'5,6,x,10,1,1,0,1'"}
