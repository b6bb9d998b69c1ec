"""CrowdHuman's .odgt, WIDER FACE's lists, Caltech's videos and CityPersons: read as published, what is wrong with them
told, and people of whom a part is hidden measured apart."""
from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io

from made_data import make_yolo, noise
from stemma.core.types import DataError, Sample
from stemma.data.doctor import examine
from stemma.data.open import open_dataset
from stemma.metrics import Evaluator, Record, miss_rate, picture
from stemma.metrics.miss import SUBSETS, by_subset
from test_cli import run
from test_odd_folders import put


def person(x: float, ignore: int = 0, tag: str = "person", **more: Any) -> dict[str, Any]:
    return {"tag": tag, "fbox": [x, 5, 10, 30], "vbox": [x, 5, 10, 12], "hbox": [x + 2, 5, 4, 5],
            "head_attr": {"ignore": ignore, "occ": 0, "unsure": 0}, "extra": {"box_id": 0, "occ": 0, "ignore": ignore},
            **more}


def odgt(root: Path, lines: list[Any], name: str = "annotation_train.odgt") -> Path:
    for n in ("a", "b,1", "c"):
        noise(root / "Images" / f"{n}.jpg", 40, 60)
    (root / name).write_text("\n".join(x if isinstance(x, str) else json.dumps(x) for x in lines) + "\n")
    return root


LINES = [
    {"ID": "a", "gtboxes": [person(3), person(20, ignore=1), {"tag": "mask", "fbox": [30, 0, 20, 40],
                                                              "extra": {"ignore": 1}}]},
    {"ID": "b,1", "gtboxes": [person(7)]}, {"ID": "c", "gtboxes": []},
]


@pytest.mark.parametrize("which,box", [("full", [3, 5, 13, 35]), ("visible", [3, 5, 13, 17]), ("head", [5, 5, 9, 10])])
def test_people_are_read_whole_seen_or_by_their_heads(tmp_path: Path, which: str, box: list[float]) -> None:
    data = open_dataset(odgt(tmp_path, LINES), "all", people=which)
    assert data.info.format == "crowdhuman" and data.info.classes.names == ("person",) and len(data) == 3
    s = data[0]
    assert s.boxes[0].tolist() == box and s.crowd.tolist() == ([False, True] if which != "full"
                                                               else [False, True, True])
    assert Path(s.file).name == "a.jpg" and data[1].boxes.shape == (1, 4) and not len(data[2].boxes)
    assert any("to be ignored" in n for n in data.notes)


def test_what_is_ignored_costs_nothing_in_measuring(tmp_path: Path) -> None:
    data = open_dataset(odgt(tmp_path, LINES), "all")
    record = Record(("person",))
    for i in range(3):
        s = data.truth(i)
        record.add(picture(s, {"boxes": s.boxes, "scores": [1.0] * len(s.boxes), "labels": s.labels}, 1, i))
    assert miss_rate(record).mean < 1e-6
    assert miss_rate(record, least=50).mean != miss_rate(record, least=50).mean  # none is so tall: undefined


def test_bad_a_line_that_is_no_json(tmp_path: Path) -> None:
    faults = examine(odgt(tmp_path, [*LINES, '{"ID": "c", "gtboxes": [', '{"ID": 3}'])).faults
    said = {f.record: f.problem for f in faults}
    assert "is no JSON" in said["line 4"] and "no object with a text 'ID'" in said["line 5"]
    assert len(open_dataset(tmp_path, "all")) == 3


def test_bad_a_person_without_the_box_that_is_wanted(tmp_path: Path) -> None:
    broken = person(3)
    del broken["vbox"]
    root = odgt(tmp_path, [{"ID": "a", "gtboxes": [broken]}, *LINES[1:]])
    data = open_dataset(root, "all", people="visible")
    assert len(data) == 2 and any("box 0 has no 'vbox'" in f.problem for f in data.faults)
    with pytest.raises(DataError, match="no boxes called 'feet'.*full, visible, head: say --people visible"):
        open_dataset(root, "all", people="feet")


@pytest.mark.parametrize("which,box", [("head", "hbox"), ("visible", "vbox")])
def test_who_has_no_head_or_is_not_seen_is_left_out_and_it_is_said(tmp_path: Path, which: str, box: str) -> None:
    root = odgt(tmp_path, [{"ID": "a", "gtboxes": [person(20), person(3) | {box: [0, 0, 0, 0], "head_attr": {}}]}, *LINES[1:]])
    data = open_dataset(root, "all", people=which)
    assert len(data) == 3 and len(data.truth(0).boxes) == 1 and not data.truth(0).crowd.any()
    assert f"1 people whose '{box}' is all zeros have none, and are left out" in data.notes
    whole = open_dataset(root, "all")
    assert len(whole.truth(0).boxes) == 2 and not any("zeros" in n for n in whole.notes)
    odgt(tmp_path, [{"ID": "a", "gtboxes": [person(3) | {box: [4, 5, 0, 6]}]}, *LINES[1:]])
    assert any(f.kind == "degenerate box" for f in open_dataset(tmp_path, "all", people=which).faults)


FACES = """0--Parade/a.jpg
2
3 4 10 12 0 0 0 0 0 0
20 4 10 12 2 0 0 1 2 0
0--Parade/none.jpg
0
0 0 0 0 0 0 0 0 0 0
1--Crowd/b.jpg
1
30 10 8 9 1 0 0 0 0 1
"""


def wider(root: Path, text: str = FACES) -> Path:
    for n in ("0--Parade/a", "0--Parade/none", "1--Crowd/b"):
        noise(root / "WIDER_train" / "images" / f"{n}.jpg", 40, 60)
    folder = root / "wider_face_split"
    folder.mkdir(exist_ok=True)
    (folder / "wider_face_train_bbx_gt.txt").write_text(text)
    return root


def test_faces_are_read_and_pictures_without_one_too(tmp_path: Path) -> None:
    data = open_dataset(wider(tmp_path), "train")
    assert data.info.format == "wider" and data.info.classes.names == ("face",)
    by = {Path(data.truth(i).file).name: data.truth(i) for i in range(len(data))}
    whole = {n: open_dataset(tmp_path, s) for n, s in (("train", "train"), ("val", "val"))}
    by |= {Path(d.truth(i).file).name: d.truth(i) for d in whole.values() for i in range(len(d))}
    assert by["a.jpg"].boxes.tolist() == [[3, 4, 13, 16], [20, 4, 30, 16]]
    assert by["a.jpg"].crowd.tolist() == [False, True] and by["b.jpg"].boxes.tolist() == [[30, 10, 38, 19]]
    assert len(by["none.jpg"].boxes) == 0 and set(by) == {"a.jpg", "b.jpg", "none.jpg"}


def test_bad_a_count_and_no_rows(tmp_path: Path) -> None:
    text = FACES.replace("3 4 10 12 0 0 0 0 0 0\n20 4 10 12 2 0 0 1 2 0\n", "")
    faults = examine(wider(tmp_path, text)).faults
    assert any("'0--Parade/a.jpg' has the number 2 and 0 lines of faces" in f.problem for f in faults), faults
    faults = examine(wider(tmp_path, FACES.replace("jpg\n1\n", "jpg\nmany\n"))).faults
    assert any("is followed by no number of faces" in f.problem for f in faults)


def test_bad_a_face_of_no_height_takes_its_picture_out(tmp_path: Path) -> None:
    """One that is marked invalid has nothing in which anything could count."""
    report = examine(wider(tmp_path, FACES.replace("30 10 8 9", "30 10 8 0")))
    (fault,) = [f for f in report.faults if f.kind == "degenerate box"]
    assert "line 10 of " in fault.record and "b.jpg" in fault.picture and fault.safe
    report = examine(wider(tmp_path, FACES.replace("30 10 8 9 1 0 0 0", "30 10 8 0 1 0 0 1")))
    assert not [f for f in report.faults if f.kind != "duplicate image"]


@pytest.mark.parametrize("box", [0, None, {"fbox": [3, 5, 10, 30]}, {"tag": 1, "fbox": [3, 5, 10, 30]},
                                 {"tag": "person", "fbox": [3, 5, 10, 30], "extra": {"ignore": "perhaps"}}])
def test_bad_a_box_of_which_nobody_knows_whether_it_counts(tmp_path: Path, box: Any) -> None:
    """It would be a place in which nothing counts, or background."""
    root = odgt(tmp_path, [{"ID": "a", "gtboxes": [person(20), box]}, *LINES[1:]])
    data = open_dataset(root, "all")
    assert len(data) == 2 and any("box 1 of Images/a.jpg" in f.record for f in data.faults)


def test_a_tag_and_a_label_in_other_case_are_the_same(tmp_path: Path) -> None:
    root = odgt(tmp_path / "crowd", [{"ID": "a", "gtboxes": [person(20) | {"tag": "PERSON"}]}, *LINES[1:]])
    assert open_dataset(root, "all")[0].crowd.tolist() == [False]
    root = city(tmp_path / "city", objects=[("Pedestrian", [3, 5, 10, 30], [3, 5, 10, 15])])
    assert open_dataset(root, "train").truth(0).crowd.tolist() == [False]
    root = city(tmp_path / "other", objects=[("pedestrain", [3, 5, 10, 30], [3, 5, 10, 15])])
    assert any("'pedestrain' of box 0 is none of" in f.problem for f in examine(root).faults)


def test_bad_a_row_of_other_than_ten_numbers(tmp_path: Path) -> None:
    faults = examine(wider(tmp_path, FACES.replace("30 10 8 9 1 0 0 0 0 1", "30 10 8 tall"))).faults
    assert any("'30 10 8 tall' is no line of ten whole numbers" in f.problem for f in faults)


# ---------------------------------------------------------------- Caltech and CityPersons


def frame_of(lbl: str, pos: tuple[float, ...], posv: tuple[float, ...] = (0, 0, 0, 0), occl: int = 0,
             labels: list[str] | None = None) -> dict[str, Any]:
    labels = labels if labels is not None else []
    labels.append(lbl)
    return {"id": float(len(labels)), "pos": np.array(pos, float), "posv": np.array(posv, float), "occl": float(occl),
            "lock": 0.0}


def vbb(path: Path, frames: list[list[dict[str, Any]]], labels: list[str], vers: float = 1.4, **more: Any) -> Path:
    """A file as vbb.m writes it: a struct A of cells, and the version."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lists = np.empty((1, len(frames)), object)
    for k, objects in enumerate(frames):
        kind = [(n, object) for n in ("id", "pos", "posv", "occl", "lock")]
        lists[0, k] = np.array([tuple(o.values()) for o in objects], kind).reshape(1, -1) if objects else np.zeros((0, 0))
    names = np.empty((1, len(labels)), object)
    names[0, :] = labels
    a = {"nFrame": float(len(frames)), "objLists": lists, "maxObj": float(len(labels)), "objInit": np.ones((1, len(labels))),
         "objLbl": names, "altered": 0.0, "log": 0.0, "logLen": 0.0} | more
    scipy.io.savemat(path, {"A": a, "vers": vers}, appendmat=False)
    return path


def caltech(root: Path, vers: float = 1.4) -> Path:
    """Two videos, of which some frames lie there as pictures."""
    labels: list[str] = []
    first = [[], [frame_of("person", (3, 5, 10, 30), labels=labels), frame_of("people", (20, 0, 20, 20), labels=labels)],
             [], [frame_of("person", (7, 2, 20, 40), (7, 2, 20, 10), 1, labels=labels)]]
    vbb(root / "annotations" / "set00" / "V001.vbb", first, labels, vers)
    vbb(root / "annotations" / "set06" / "V000.vbb", 
        [[frame_of("person?", (0, 0, 9, 9), labels=(other := [])), frame_of("person", (1, 1, 4, 8), labels=other)]], other, vers)
    for n in ("set00_V001_I00001", "set00_V001_I00003", "set06_V000_I00000"):
        noise(root / "images" / f"{n}.jpg", 48, 64)
    return root


def by_name(data: Any) -> dict[str, Any]:
    return {Path(data.truth(i).file).stem: data.truth(i) for i in range(len(data))}


def test_caltechs_videos_are_read_frame_by_frame(tmp_path: Path) -> None:
    whole = {s: open_dataset(caltech(tmp_path), s) for s in ("train", "val", "test")}
    assert whole["train"].info.format == "caltech" and whole["train"].info.classes.names == ("person",)
    by = by_name(whole["train"]) | by_name(whole["val"])
    assert set(by) == {"set00_V001_I00001", "set00_V001_I00003"}
    one, three = by["set00_V001_I00001"], by["set00_V001_I00003"]
    assert one.boxes.tolist() == [[3, 5, 13, 35], [20, 0, 40, 20]] and one.crowd.tolist() == [False, True]
    assert one.visible.tolist() == [1, 1] and three.visible.tolist() == [0.25]
    assert three.boxes.tolist() == [[7, 2, 27, 42]] and whole["train"][0].visible is None
    (unclear,) = by_name(whole["test"]).values()
    assert unclear.crowd.tolist() == [True, False] and any("to be ignored" in n for n in whole["test"].notes)
    assert by_name(open_dataset(tmp_path, "train", people="visible"))["set00_V001_I00003"].boxes.tolist() == [[7, 2, 27, 12]]


@pytest.mark.parametrize("vers", [1.0, 1.3, 1.4])
def test_the_versions_that_vbb_m_reads(tmp_path: Path, vers: float) -> None:
    assert len(open_dataset(caltech(tmp_path, vers), "test")) == 1


def test_bad_a_vbb_of_another_version(tmp_path: Path) -> None:
    root = caltech(tmp_path)
    vbb(root / "annotations" / "set00" / "V001.vbb", [[]], ["person"], 2.0)
    faults = examine(root).faults
    (fault,) = [f for f in faults if f.kind == "broken annotation"]
    assert "is a .vbb of version 2; 0.06, 1.0, 1.1, 1.2, 1.3, 1.4 are known" in fault.problem and fault.file.endswith("V001.vbb")
    assert fault.field == "vers"


@pytest.mark.parametrize("spoil,said", [
    (lambda p: p.write_bytes(b"no matrix"), "is no MATLAB file of version 5 to 7"),
    (lambda p: p.write_bytes(p.read_bytes()[:400]), "MATLAB file|breaks off|holds no struct 'A'"),
    (lambda p: scipy.io.savemat(p, {"B": 3.0}, appendmat=False), "holds no struct 'A' with a number 'vers'"),
    (lambda p: scipy.io.savemat(p, {"A": {"nFrame": 1.0}, "vers": 1.4}, appendmat=False), "has no 'objLists' or no 'objLbl'"),
])
def test_bad_a_vbb_that_is_none(tmp_path: Path, spoil: Any, said: str) -> None:
    root = caltech(tmp_path)
    spoil(root / "annotations" / "set00" / "V001.vbb")
    (fault,) = [f for f in examine(root).faults if f.kind == "broken annotation"]
    assert re.search(said, fault.problem), fault.problem


def test_bad_an_object_without_a_label(tmp_path: Path) -> None:
    root = caltech(tmp_path)
    vbb(root / "annotations" / "set00" / "V001.vbb", [[], [frame_of("person", (3, 5, 10, 30), labels=["a", "b"])]], ["person"])
    assert any("frame 1 has an object without a label or a box" in f.problem for f in examine(root).faults)


def test_bad_videos_without_pictures(tmp_path: Path) -> None:
    root = caltech(tmp_path)
    for p in (root / "images").iterdir():
        p.unlink()
    with pytest.raises(DataError, match="no picture of a frame of these videos.*setSS_VVVV_IFFFFF.jpg"):
        open_dataset(root, "train")


TEXT = "% bbGt version=3\nperson 3 5 10 30 0 0 0 0 0 0 0\nperson 7 2 20 40 1 7 2 20 10 0 0\nperson 9 9 5 5 0 0 0 0 0 1 0\n"


def texts(root: Path, text: str = TEXT) -> Path:
    (root / "annotations").mkdir(parents=True, exist_ok=True)
    for name, said in (("set00_V000_I00029", text), ("set01_V000_I00059", "% bbGt version=3\n"), ("set06_V000_I00029.jpg", TEXT)):
        noise(root / "images" / f"{name.removesuffix('.jpg')}.jpg", 48, 64)
        (root / "annotations" / f"{name}.txt").write_text(said)
    return root


def test_caltechs_text_files_are_read(tmp_path: Path) -> None:
    data = open_dataset(texts(tmp_path), "train")
    by = by_name(data) | by_name(open_dataset(tmp_path, "val"))
    s = by["set00_V000_I00029"]
    assert s.boxes.tolist() == [[3, 5, 13, 35], [7, 2, 27, 42], [9, 9, 14, 14]] and s.crowd.tolist() == [False, False, True]
    assert s.visible.tolist() == [1, 0.25, 1] and not len(by["set01_V000_I00059"].boxes)
    assert len(open_dataset(tmp_path, "test").truth(0).boxes) == 3


def test_nothing_is_seen_of_what_is_hidden_by_its_whole_box_in_a_text_file(tmp_path: Path) -> None:
    """bbGt.m: the visible part of what is wholly hidden is written as its whole box."""
    text = TEXT.replace("person 7 2 20 40 1 7 2 20 10", "person 7 2 20 40 1 7 2 20 40")
    by = by_name(open_dataset(texts(tmp_path, text), "train")) | by_name(open_dataset(tmp_path, "val"))
    s = by["set00_V000_I00029"]
    assert s.visible.tolist() == [1, 0, 1] and s.crowd.tolist() == [False, False, True]
    by = {k: v for split in ("train", "val") for k, v in by_name(open_dataset(tmp_path, split, people="visible")).items()}
    assert by["set00_V000_I00029"].crowd.tolist() == [False, True, True]


def test_bad_text_files(tmp_path: Path) -> None:
    faults = examine(texts(tmp_path, TEXT.replace("version=3", "version=2"))).faults
    assert any("is of bbGt version 2; 3 is known" in f.problem for f in faults)
    faults = examine(texts(tmp_path, TEXT.replace("person 3 5 10 30 0 0", "person 3 five 10 30 0 0"))).faults
    assert any("line 2: 'person 3 five" in f.problem and "no label and eleven numbers" in f.problem for f in faults)


def test_other_labels_of_text_files_are_classes(tmp_path: Path) -> None:
    data = open_dataset(texts(tmp_path, TEXT.replace("person 3", "Bicycle 3")), "train")
    assert data.info.classes.names == ("Bicycle", "person")


PEOPLE = [("pedestrian", [3, 5, 10, 30], [3, 5, 10, 15]), ("rider", [20, 0, 20, 20], [20, 0, 20, 20]),
          ("ignore", [40, 0, 9, 9], [40, 0, 9, 9])]


def city(root: Path, mat: bool = False, objects: Any = PEOPLE) -> Path:
    """A city's picture a split, annotated by JSON or by MATLAB."""
    for split, town in (("train", "aachen"), ("val", "frankfurt")):
        name = f"{town}_000000_000019"
        noise(root / "leftImg8bit" / split / town / f"{name}_leftImg8bit.png", 48, 64)
        if mat:
            kinds = {"ignore": 0, "pedestrian": 1, "rider": 2}
            rows = [[kinds[label], *box, k, *seen] for k, (label, box, seen) in enumerate(objects)]
            cell = np.empty((1, 1), object)
            cell[0, 0] = {"cityname": town, "im_name": f"{name}_leftImg8bit.png", "bbs": np.array(rows, float).reshape(-1, 10)}
            (root / "annotations").mkdir(exist_ok=True)
            scipy.io.savemat(root / "annotations" / f"anno_{split}.mat", {f"anno_{split}_aligned": cell})
        else:
            folder = root / "gtBboxCityPersons" / split / town
            folder.mkdir(parents=True, exist_ok=True)
            said = [{"instanceId": k, "label": label, "bbox": box, "bboxVis": seen} for k, (label, box, seen) in enumerate(objects)]
            (folder / f"{name}_gtBboxCityPersons.json").write_text(json.dumps({"imgHeight": 48, "imgWidth": 64, "objects": said}))
    return root


@pytest.mark.parametrize("mat", [False, True])
def test_city_persons_are_read_with_what_can_be_seen(tmp_path: Path, mat: bool) -> None:
    for split in ("train", "val"):
        data = open_dataset(city(tmp_path, mat), split)
        s = data.truth(0)
        assert data.info.format == "citypersons" and data.info.classes.names == ("pedestrian",) and len(data) == 1
        assert s.boxes.tolist() == [[3, 5, 13, 35], [20, 0, 40, 20], [40, 0, 49, 9]]
        assert s.crowd.tolist() == [False, True, True] and s.visible.tolist() == [0.5, 1, 1]
    assert open_dataset(tmp_path, "train", people="visible").truth(0).boxes[0].tolist() == [3, 5, 13, 20]


@pytest.mark.parametrize("mat", [False, True])
def test_a_city_picture_of_one_pedestrian_and_one_of_none(tmp_path: Path, mat: bool) -> None:
    assert len(open_dataset(city(tmp_path, mat, PEOPLE[:1]), "train").truth(0).boxes) == 1
    folder = tmp_path / "leftImg8bit" / "train" / "aachen"
    noise(folder / "aachen_000000_000020_leftImg8bit.png", 48, 64)
    if mat:
        cell = np.empty((1, 2), object)
        for k, boxes in ((19, np.array([[1, 3, 5, 10, 30, 0, 3, 5, 10, 15]], float)), (20, np.zeros((0, 0)))):
            cell[0, k - 19] = {"cityname": "aachen", "im_name": f"aachen_000000_0000{k}_leftImg8bit.png", "bbs": boxes}
        scipy.io.savemat(tmp_path / "annotations" / "anno_train.mat", {"anno_train_aligned": cell})
    else:
        place = tmp_path / "gtBboxCityPersons" / "train" / "aachen" / "aachen_000000_000020_gtBboxCityPersons.json"
        place.write_text('{"imgHeight": 48, "imgWidth": 64, "objects": []}')
    assert [len(s.boxes) for _, s in sorted(by_name(open_dataset(tmp_path, "train")).items())] == [1, 0]


def test_bad_city_persons(tmp_path: Path) -> None:
    faults = examine(city(tmp_path, objects=[("pedestrian", [3, 5, 10], [3, 5, 10, 15])])).faults
    assert any("box 0 is not made of four numbers" in f.problem for f in faults)
    for text in ('{"objects": 3}', '{"objects": [], "imgHeight": Infinity}'):
        next(tmp_path.rglob("*.json")).write_text(text)
        assert any("is no JSON object with a list 'objects'" in f.problem for f in examine(tmp_path).faults)
    wide = {"label": "pedestrian", "bbox": [3, 5, 10**400, 30]}
    next(tmp_path.rglob("*.json")).write_text(json.dumps({"imgHeight": 48, "imgWidth": 64, "objects": [wide]}))
    assert any("box 0 is not made of four numbers" in f.problem for f in examine(tmp_path).faults)


def test_bad_city_persons_of_matlab(tmp_path: Path) -> None:
    scipy.io.savemat(city(tmp_path, True) / "annotations" / "anno_train.mat", {"other": 1.0})
    assert any("holds no variable called anno_" in f.problem for f in examine(tmp_path).faults)


# ---------------------------------------------------------------- MR-2 of people that are hidden


def published(pictures: list[tuple[Any, Any, Any]], heights: tuple[float, float], seen: tuple[float, float]) -> float:
    """The benchmark's rule, box by box: what lies outside the ranges is ignored, detections beyond the heights by more
    than 1.25 are dropped, a detection takes the best free person, or else any ignored place."""
    rows, people = [], 0
    for truth, visible, found in pictures:
        ignored = [not (heights[0] <= b[3] - b[1] <= heights[1] and seen[0] <= v <= seen[1]) for b, v in zip(truth, visible)]
        people += ignored.count(False)
        taken: set[int] = set()
        for *box, score in sorted(found, key=lambda d: -d[4]):
            if not heights[0] / 1.25 <= box[3] - box[1] <= heights[1] * 1.25:
                continue
            best, overlap, kind = -1, 0.5, ""
            for wanted in (False, True):
                for g, b in enumerate(truth):
                    if ignored[g] is not wanted or g in taken or best >= 0 and kind == "person" and wanted:
                        continue
                    w = max(0.0, min(box[2], b[2]) - max(box[0], b[0])) * max(0.0, min(box[3], b[3]) - max(box[1], b[1]))
                    own = (box[2] - box[0]) * (box[3] - box[1])
                    share = w / own if wanted else w / (own + (b[2] - b[0]) * (b[3] - b[1]) - w)
                    if share >= overlap:
                        best, overlap, kind = g, share, "ignored" if wanted else "person"
            if kind == "person":
                taken.add(best)
            if kind != "ignored":
                rows.append((score, kind == "person"))
    rows.sort(key=lambda r: -r[0])
    misses = []
    for level in np.logspace(-2, 0, 9):
        false = hit = reached = 0
        for _, right in rows:
            false, hit = false + (not right), hit + right
            if false / len(pictures) > level:
                break
            reached = hit
        misses.append(max(1 - reached / people, 1e-10))
    return float(np.exp(np.mean(np.log(misses))))


@pytest.mark.parametrize("seed", range(4))
def test_mr2_of_the_published_subsets(seed: int) -> None:
    rng = np.random.default_rng(seed)
    data, record = [], Record(("person",))
    for i in range(12):
        low = rng.uniform(0, 300, (6, 2))
        truth = np.concatenate([low, low + np.stack([rng.uniform(10, 40, 6), rng.choice([15, 22, 45, 50, 60, 75, 90, 140], 6)], 1)], 1)
        visible = rng.choice([0.1, 0.2, 0.4, 0.65, 0.8, 1.0], 6)
        found = np.concatenate([truth[rng.random(6) < 0.7], rng.uniform(0, 60, (3, 4)) + [0, 0, 61, 70]])
        found = found + rng.normal(0, 2, found.shape)
        scores = rng.permutation(1000)[: len(found)] / 1000 + i * 1e-5
        data.append((truth, visible, np.concatenate([found, scores[:, None]], 1)))
        sample = Sample(None, (400, 400), truth, np.zeros(6, np.int64), np.zeros(6, bool), np.full(6, 900.0), visible=visible)
        record.add(picture(sample, {"boxes": found, "scores": scores, "labels": np.zeros(len(found), int)}, 1, i))
    assert set(SUBSETS) == {"reasonable", "small", "heavy", "all", "bare", "partial"}
    got = by_subset(record)
    for name, (low, high, least, most) in SUBSETS.items():
        assert got[name] == pytest.approx(published(data, (low, high), (least, most)), abs=1e-12), name
    assert got == by_subset(Record.from_bytes(record.to_bytes()))


def test_evaluation_tells_the_subsets_where_data_say_what_is_seen(tmp_path: Path) -> None:
    lines = [{"ID": "a", "gtboxes": [{"tag": "person", "fbox": [3, 5, 20, 30], "vbox": [3, 5, 20, 24], "extra": {"ignore": 0}},
                                     {"tag": "person", "fbox": [30, 0, 20, 35], "vbox": [30, 0, 20, 14], "extra": {"ignore": 0}}]}]
    data = open_dataset(odgt(tmp_path, lines), "all")
    s = data.truth(0)
    assert s.visible.tolist() == [0.8, 0.4]
    evaluator = Evaluator(data.info)
    evaluator.add(s, {"boxes": s.boxes[:1], "scores": [0.9], "labels": [0]}, 0)
    r = evaluator.result()
    assert r["MR2_all"] == pytest.approx(0.5) and r["MR2_reasonable"] is None  # none is 50 pixels high
    plain = Evaluator(data.info)
    s.visible = None
    plain.add(s, {"boxes": s.boxes[:1], "scores": [0.9], "labels": [0]}, 0)
    assert not any(k.startswith("MR2_") for k in plain.result())


@pytest.mark.parametrize("which", ["full", "visible"])
def test_which_boxes_of_people_is_an_option_of_every_command(tmp_path: Path, which: str,
                                                           capsys: pytest.CaptureFixture[str]) -> None:
    root = odgt(tmp_path / "data", LINES)
    assert run(capsys, "convert", str(root), "--to", "coco", "--out", str(tmp_path / which), "--people", which)[0] == 0
    rows = [a for p in (tmp_path / which / "annotations").iterdir() for a in json.loads(p.read_text())["annotations"]]
    assert {a["bbox"][3] for a in rows if not a["iscrowd"]} == {30 if which == "full" else 12}
    status, said, _ = run(capsys, "doctor", str(root), "--people", "feet")
    assert status == 1 and "has no boxes called 'feet'" in said
    status, _, error = run(capsys, "doctor", str(make_yolo(tmp_path / "yolo")), "--people", "full")
    assert status == 2 and "'--people' is unknown to this format" in error and ", which" not in error


def test_faces_of_two_splits_whose_pictures_are_called_alike(tmp_path: Path) -> None:
    for k, split in enumerate(("train", "val")):
        noise(tmp_path / f"WIDER_{split}" / "images" / "0--Parade" / "a.jpg", 40, 60, seed=k)
        put(tmp_path / "wider_face_split" / f"wider_face_{split}_bbx_gt.txt",
            f"0--Parade/a.jpg\n1\n{5 + k} 2 20 10 0 0 0 0 0 0 \n")
    for k, split in enumerate(("train", "val")):
        data = open_dataset(tmp_path, split)
        assert data.table.files == [f"WIDER_{split}/images/0--Parade/a.jpg"]  # type: ignore[attr-defined]
        assert data.truth(0).boxes.tolist() == [[5 + k, 2, 25 + k, 12]]
