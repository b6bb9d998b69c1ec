"""Keypoints of labelling tools: CVAT's skeletons and points, labelme's and Label Studio's points, Datumaro's: whose they
are, what they are called, and what is told of those that nobody has."""
from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from layouts import LAYOUTS, LINES, H, W, percent, put, region
from made_data import noise
from stemma.core.types import DataError
from stemma.data.doctor import examine
from stemma.data.open import open_dataset
from stemma.data.readers.points import PERSON, points_named
from stemma.data.records import DataWarning

SVG = ('<svg>&lt;line x1="1" y1="2" x2="3" y2="4" stroke="black" data-type="edge" data-node-from="1" stroke-width="0.5" '
       'data-node-to="2"&gt;&lt;/line&gt;&lt;circle r="1.5" cx="1" cy="2" data-type="element node" data-element-id="1" '
       'data-node-id="1" data-label-name="left eye"&gt;&lt;/circle&gt;&lt;circle r="1.5" cx="3" cy="4" data-type="element '
       'node" data-element-id="2" data-node-id="2" data-label-name="right eye"&gt;&lt;/circle&gt;&lt;circle r="1.5" '
       'data-type="element node" data-element-id="3" data-node-id="3" data-label-name="nose"&gt;&lt;/circle&gt;</svg>')
LABELS = ("<label><name>face</name><type>skeleton</type>" + SVG + "</label>" + "".join(
    f"<label><name>{n}</name><type>points</type><parent>face</parent></label>" for n in ("left eye", "right eye", "nose"))
    + "<label><name>car</name><type>rectangle</type></label>")


def cvat(root: Path, *images: str) -> Path:
    rows = "".join(f'<image id="{k}" name="{k}.png" width="{W}" height="{H}">{text}</image>'
                   for k, text in enumerate(images))
    for k in range(len(images)):
        noise(root / "images" / f"{k}.png", H, W, seed=k)
    put(root / "annotations.xml", f"<annotations><version>1.1</version><meta><job><labels>{LABELS}</labels></job></meta>"
        f"{rows}</annotations>")
    return root


def skeleton(points: dict[str, tuple[float, float, str]]) -> str:
    return '<skeleton label="face" source="manual" z_order="0">' + "".join(
        f'<points label="{n}" source="manual" outside="{int(s == "outside")}" occluded="{int(s == "hidden")}" '
        f'points="{x:.2f},{y:.2f}"><attribute name="sure">yes</attribute></points>' for n, (x, y, s) in points.items()
    ) + "</skeleton>"


FACE = {"left eye": (10.0, 8.0, ""), "right eye": (30.5, 9.0, "hidden"), "nose": (20.0, 20.0, "")}


def opened(where: Path, **options: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return open_dataset(where, "all", **options)


def test_skeletons_of_cvat_are_objects_with_named_points_and_lines(tmp_path: Path) -> None:
    car = '<box label="car" xtl="1" ytl="1" xbr="9" ybr="9" occluded="0"/>'
    data = opened(cvat(tmp_path, skeleton(FACE) + car, skeleton(FACE | {"nose": (0.0, 0.0, "outside")})))
    points = data.info.points
    assert points is not None and points.names == ("left eye", "right eye", "nose") and points.lines == ((0, 1),)
    assert points.flip == (1, 0, 2) and data.info.classes.names == ("face", "car") and "keypoints" in data.info.kinds
    one, two = data.truth(0), data.truth(1)
    assert one.boxes.tolist() == [[10, 8, 30.5, 20], [1, 1, 9, 9]] and one.keypoints is not None
    assert one.keypoints.tolist() == [[[10, 8, 2], [30.5, 9, 1], [20, 20, 2]], [[0, 0, 0]] * 3]
    assert two.keypoints[0].tolist() == [[10, 8, 2], [30.5, 9, 1], [0, 0, 0]]
    assert any("2 objects are skeletons or points alone" in n for n in data.notes)


@pytest.mark.parametrize("image,said", [
    (skeleton({"nose": (3.0, 4.0, "")}), "1 labelled points span no box"),
    (skeleton({n: (0.0, 0.0, "outside") for n in FACE}), "the skeleton has no labelled point"),
    ('<points label="nose" points="3,4" occluded="0"/>', "the point 'nose' is in no group, so that no object has it"),
    ('<points label="nose" points="3,4" occluded="0" group_id="7"/>', "has the group '7', in which 0 boxes or outlines are"),
    ('<points label="nose" points="3,4" group_id="1"/>' + '<box label="car" group_id="1" xtl="1" ytl="1" xbr="9" '
     'ybr="9"/>' * 2, "in which 2 boxes or outlines are"),
    ('<points label="nose" points="3,4" group_id="1"/>' * 2 + '<box label="car" group_id="1" xtl="1" ytl="1" xbr="9" '
     'ybr="9"/>', "is the second of this name in its object"),
])
def test_points_that_nobody_has_are_told_and_take_their_picture_out(tmp_path: Path, image: str, said: str) -> None:
    root = cvat(tmp_path, image, skeleton(FACE))
    with pytest.warns(DataWarning, match="1 picture is left out") as caught:
        data = open_dataset(root, "all")
    assert any(said in str(w.message) for w in caught) and len(data) == 1
    report = examine(root, near=False)
    assert [f for f in report.faults if said in f.problem and f.kind in ("point without an object", "broken record")]


def test_points_in_a_row_and_points_in_a_group_of_cvat(tmp_path: Path) -> None:
    row = '<points label="car" points="3,4;20,30;9,12" occluded="0"/>'
    data = opened(cvat(tmp_path, row, '<box label="face" group_id="2" xtl="1" ytl="2" xbr="40" ybr="30"/>'
                       '<points label="nose" points="8,9" group_id="2" occluded="1"/>'))
    assert data.info.points.names == ("left eye", "right eye", "nose", "point_0", "point_1", "point_2")
    assert data.truth(0).boxes.tolist() == [[3, 4, 20, 30]] and data.truth(0).keypoints[0, 3:].tolist() == [
        [3, 4, 2], [20, 30, 2], [9, 12, 2]]
    assert data.truth(1).boxes.tolist() == [[1, 2, 40, 30]] and data.truth(1).keypoints[0, 2].tolist() == [8, 9, 1]


def labelme(root: Path, *shapes: dict[str, Any]) -> Path:
    noise(root / "a.png", H, W)
    put(root / "a.json", {"version": "5.4.1", "flags": {}, "imagePath": "a.png", "imageData": None, "imageHeight": H,
                          "imageWidth": W, "shapes": [{"flags": {}, **s} for s in shapes]})
    return root


def test_points_of_labelme_belong_to_the_box_of_their_group(tmp_path: Path) -> None:
    box = {"label": "person", "shape_type": "rectangle", "points": [[1, 2], [40, 30]], "group_id": 5}
    nose = {"label": "nose", "shape_type": "point", "points": [[8, 9]], "group_id": 5}
    tail = {"label": "left_ear", "shape_type": "point", "points": [[18, 9]], "group_id": 5}
    other = box | {"group_id": None, "points": [[3, 3], [9, 9]]}
    data = opened(labelme(tmp_path / "one", nose, box, other, tail))
    s = data.truth(0)
    assert data.info.classes.names == ("person",) and data.info.points.names == ("left_ear", "nose")
    assert s.keypoints.tolist() == [[[18, 9, 2], [8, 9, 2]], [[0, 0, 0], [0, 0, 0]]]
    alone = labelme(tmp_path / "two", box, nose | {"group_id": None})
    with pytest.raises(DataError, match="the point 'nose' is in no group"):
        opened(alone)
    people = [box, *({"label": n, "shape_type": "point", "points": [[k, k]], "group_id": 5} for k, n in enumerate(PERSON))]
    points = opened(labelme(tmp_path / "three", *people)).info.points
    assert points.names == PERSON and points.sigmas[0] == 0.026, "COCO's order and sigmas, where the names are COCO's"


def studio(root: Path, *rows: dict[str, Any]) -> Path:
    noise(root / "a.png", H, W)
    put(root / "export.json", [{"data": {"image": "/data/upload/1/a.png"}, "annotations": [{"result": list(rows)}]}])
    return root


@pytest.mark.parametrize("how", ["parentID", "from", "to"])
def test_points_of_label_studio_belong_to_what_they_name(tmp_path: Path, how: str) -> None:
    box = region("rectanglelabels", "person", **percent(6, 4, 36, 24)) | {"id": "r"}
    nose = region("keypointlabels", "nose", x=25, y=50, width=0.4) | {"id": "k"}
    ends = {"from": ("k", "r"), "to": ("r", "k")}
    rows = [nose | {"parentID": "r"}, box] if how == "parentID" else [
        nose, box, {"type": "relation", "from_id": ends[how][0], "to_id": ends[how][1], "direction": "right"}]
    data = opened(studio(tmp_path, *rows))
    assert data.info.classes.names == ("person",) and data.info.points.names == ("nose",)
    np.testing.assert_allclose(data.truth(0).keypoints, [[[15, 20, 2]]])
    np.testing.assert_allclose(data.truth(0).boxes, [[6, 4, 36, 24]])
    with pytest.raises(DataError, match="the point 'nose' is in no group"):
        opened(studio(tmp_path / "alone", box, nose))


def test_a_line_that_two_classes_of_datumaro_share_is_one(tmp_path: Path) -> None:
    it = LAYOUTS["datumaro"]
    it.write(tmp_path, it.truth(frozenset({"points"})))
    points = open_dataset(tmp_path, "train").info.points
    assert points is not None and points.lines == LINES


def test_points_of_datumaro_without_a_group_are_an_object(tmp_path: Path) -> None:
    noise(tmp_path / "images" / "default" / "a.png", H, W)
    row = {"id": 0, "type": "points", "label_id": 0, "group": 0, "attributes": {}, "points": [3, 4, 20, 30, 0, 0],
           "visibility": [2, 1, 0]}
    doc: dict[str, Any] = {"info": {}, "categories": {"label": {"labels": [{"name": "face", "parent": ""}]}, "points": {
        "items": [{"label_id": 0, "labels": ["left eye", "right eye", "nose"], "joints": [[1, 2], [2, 3]]}]}},
        "items": [{"id": "a", "image": {"path": "a.png", "size": [H, W]}, "annotations": [row]}]}
    put(tmp_path / "annotations" / "default.json", doc)
    data = opened(tmp_path)
    assert data.info.points.names == ("left eye", "right eye", "nose") and data.info.points.lines == ((0, 1), (1, 2))
    assert data.truth(0).boxes.tolist() == [[3, 4, 20, 30]]
    assert data.truth(0).keypoints.tolist() == [[[3, 4, 2], [20, 30, 1], [0, 0, 0]]]
    row["points"] = [3, 4, 20]
    put(tmp_path / "annotations" / "default.json", json.dumps(doc))
    with pytest.raises(DataError, match="has 3 numbers of points and 3 of visibility, where 3 points are due"):
        opened(tmp_path)


def test_points_that_nobody_labelled_are_told(tmp_path: Path) -> None:
    """Of all of them and of one, by the doctor and by training."""
    layout = LAYOUTS["coco_points"]
    layout.write(tmp_path, layout.truth(frozenset({"points"})))
    for split, bare in (("train", (0, 1, 2)), ("val", (1,))):
        path = tmp_path / "annotations" / f"person_keypoints_{split}.json"
        doc = json.loads(path.read_text())
        for a in doc["annotations"]:
            for k in bare:
                a["keypoints"][3 * k : 3 * k + 3] = [0, 0, 0]
        put(path, doc)
    said = examine(tmp_path).notes
    assert any("split 'train' has no labelled keypoint in any of its" in n for n in said)
    assert any("split 'val' has keypoints that are labelled in no object: 'left_ear'" in n for n in said)
    with pytest.warns(DataWarning, match="no labelled keypoint"):
        open_dataset(tmp_path, "train")


@pytest.mark.parametrize("names,flip", [
    (("nose", "left_eye", "right_eye"), (0, 2, 1)), (("LeftEye", "RightEye", "LEFT", "RIGHT"), (1, 0, 3, 2)),
    (("l_eye", "r_eye", "REye", "LEye", "eye.R", "eye.L", "Leg"), (1, 0, 3, 2, 5, 4, 6)),
    (("bright", "leftmost", "L1", "L2"), (0, 1, 2, 3)),
])
def test_the_mirror_image_of_a_point_is_told_by_its_name(names: tuple[str, ...], flip: tuple[int, ...]) -> None:
    assert points_named(names).flip == flip


def test_points_without_sides_are_told(tmp_path: Path) -> None:
    """Of a numbered eye nobody knows that it is a right one in a mirrored picture."""
    layout = LAYOUTS["coco_points"]
    layout.write(tmp_path, layout.truth(frozenset({"points"})))
    assert not any("mirror image" in n for n in examine(tmp_path).notes)
    for path in (tmp_path / "annotations").glob("*.json"):
        doc = json.loads(path.read_text())
        for c in doc["categories"]:
            c["keypoints"] = [f"p{k}" for k in range(len(c["keypoints"]))]
        put(path, doc)
    said = [n for n in examine(tmp_path).notes if "mirror image" in n]
    assert said and "none of the 3 keypoints is the mirror image" in said[0] and "recipe.augment.flip=0" in said[0]


def test_points_beside_their_objects_are_told(tmp_path: Path) -> None:
    """Fractions of the picture, where pixels are due."""
    layout = LAYOUTS["coco_points"]
    layout.write(tmp_path, layout.truth(frozenset({"points"})))
    assert not any("beside their objects" in n for n in examine(tmp_path).notes)
    path = tmp_path / "annotations" / "person_keypoints_train.json"
    doc = json.loads(path.read_text())
    for a in doc["annotations"]:
        a["keypoints"] = [v / (W, H, 1)[k % 3] for k, v in enumerate(a["keypoints"])]
    put(path, doc)
    (said,) = [n for n in examine(tmp_path).notes if "beside their objects" in n]
    assert "split 'train'" in said and " of images/train/a.png: are they fractions" in said


def test_categories_of_coco_have_points_of_their_own(tmp_path: Path) -> None:
    """A person's and a car's: those of one name are one, and each object has those of its own category."""
    noise(tmp_path / "a.png", H, W)
    of = {1: ["front", "left_wheel", "right_wheel", "front"], 2: ["left_ear", "front"], 3: []}
    rows = [{"id": k, "image_id": 1, "category_id": c, "bbox": [2, 2, 20, 20], "area": 400, "iscrowd": 0, "keypoints": flat}
            for k, (c, flat) in enumerate((
                (1, [3, 4, 2, 5, 6, 1, 7, 8, 2, 9, 10, 2]), (2, [11, 12, 2, 13, 14, 1]), (2, [1, 1, 2] * 4),
                (3, [3, 3, 2] * 4), (2, [1, 1, 2, 1, 1, 7]), (1, [])))]
    doc = {"images": [{"id": 1, "file_name": "a.png", "width": W, "height": H}], "annotations": rows, "categories": [
        {"id": c, "name": "abc"[c - 1], "keypoints": names, "skeleton": [[1, 2]]} for c, names in of.items()]}
    put(tmp_path / "annotations.json", doc)
    data = opened(tmp_path)
    points, found = data.info.points, data.truth(0).keypoints
    assert points.names == ("front", "left_wheel", "right_wheel", "front", "left_ear")
    assert points.flip == (0, 2, 1, 3, 4) and points.lines == ((0, 1), (4, 0))
    assert found[0].tolist() == [[3, 4, 2], [5, 6, 1], [7, 8, 2], [9, 10, 2], [0, 0, 0]]
    assert found[1].tolist() == [[13, 14, 1], *[[0, 0, 0]] * 3, [11, 12, 2]]
    assert found[3].tolist() == [*[[3, 3, 2]] * 4, [0, 0, 0]] and not found[[2, 4, 5]].any()
    said = [str(f) for f in data.faults]
    assert len(said) == 2 and "annotation 2" in said[0] and "annotation 4" in said[1]
    assert "but 12 numbers: the category 'b' has 2 points" in said[0] and "numbers:" not in said[1]
    for c in doc["categories"]:
        del c["keypoints"]
    put(tmp_path / "annotations.json", doc)
    said = [str(f) for f in opened(tmp_path).faults]
    assert any("but 6 numbers: no category names its points, and most annotations have 4" in f for f in said), said
