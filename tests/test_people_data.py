"""CrowdHuman's .odgt and WIDER FACE's lists: read as published, and what is wrong with them told."""
from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from made_data import noise
from stemma.core.types import DataError
from stemma.data.doctor import examine
from stemma.data.open import open_dataset
from stemma.metrics import Record, miss_rate, picture


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
    data = open_dataset(odgt(tmp_path, LINES), "all", which=which)
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
    data = open_dataset(root, "all", which="visible")
    assert len(data) == 2 and any("box 0 has no 'vbox'" in f.problem for f in data.faults)
    with pytest.raises(DataError, match="no boxes called 'feet'.*full, visible, head"):
        open_dataset(root, "all", which="feet")


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


def test_bad_a_face_of_no_height(tmp_path: Path) -> None:
    faults = examine(wider(tmp_path, FACES.replace("30 10 8 9", "30 10 8 0"))).faults
    (fault,) = [f for f in faults if f.kind == "no area"]
    assert fault.record == "line 10" and "a face of 8 x 0 pixels" in fault.problem and fault.safe


def test_bad_a_row_of_other_than_ten_numbers(tmp_path: Path) -> None:
    faults = examine(wider(tmp_path, FACES.replace("30 10 8 9 1 0 0 0 0 1", "30 10 8 tall"))).faults
    assert any("'30 10 8 tall' is no line of ten whole numbers" in f.problem for f in faults)
