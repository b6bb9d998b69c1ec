"""YOLO: boxes and polygons in fractions, data.yaml, lists, and YAML that wants to build objects."""
from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from made_data import make_yolo, noise
from stemma.core.types import DataError
from stemma.data.convert import convert
from stemma.data.open import open_dataset, recognise, splits
from stemma.data.readers import rle
from stemma.data.readers.yolo import label_file
from stemma.data.records import DataWarning


def test_boxes_are_fractions_of_the_image(tmp_path: Path) -> None:
    data = open_dataset(make_yolo(tmp_path / "y"), "all")
    assert recognise(tmp_path / "y") == "yolo" == recognise(tmp_path / "y/data.yaml")
    assert data.info.classes.names == ("cat", "dog") and data.info.kinds == ("boxes",)
    np.testing.assert_allclose(data.truth(0).boxes, [[15, 10, 45, 30]])
    np.testing.assert_allclose(data.truth(1).boxes, [[12, 6, 18, 14], [0, 0, 60, 40]], atol=1e-5)
    assert data.truth(1).labels.tolist() == [1, 0] and len(data.truth(2).boxes) == 0


def test_polygons(tmp_path: Path) -> None:
    make_yolo(tmp_path / "y", ["0 0.1 0.1 0.9 0.1 0.9 0.9\n1 0.5 0.5 0.2 0.2\n"])
    data = open_dataset(tmp_path / "y", "all")
    s = data.truth(0)
    assert "masks" in data.info.kinds and s.masks is not None
    np.testing.assert_allclose(s.boxes, [[6, 4, 54, 36], [24, 16, 36, 24]], rtol=1e-5)
    np.testing.assert_array_equal(s.masks[0], rle.decode([[6.0, 4.0, 54.0, 4.0, 54.0, 36.0]], 40, 60))
    assert s.masks[1].sum() == 12 * 8  # a box among polygons: its mask is the box


def test_poses(tmp_path: Path) -> None:
    yaml = "train: images/train\nnames: {0: cat}\nkpt_shape: [2, 3]\nflip_idx: [1, 0]\n"
    make_yolo(tmp_path / "y", ["0 0.5 0.5 0.5 0.5 0.1 0.2 2 0.3 0.4 0\n"], yaml)
    data = open_dataset(tmp_path / "y", "all")
    points = data.truth(0).keypoints
    assert points is not None and data.info.points is not None and data.info.points.flip == (1, 0)
    np.testing.assert_allclose(points, [[[6, 8, 2], [0, 0, 0]]], rtol=1e-6)


@pytest.mark.parametrize(("said", "names"), [
    ("{0: [nose, left_eye], 1: [nose, left_eye]}", ("nose", "left_eye")), ("[[nose, tail]]", ("nose", "tail")),
    ("[nose, tail]", ("nose", "tail")), ("{0: [nose, tail], 1: [tail, nose]}", None), ("{0: [nose]}", None),
    ("[[nose, nose]]", None), ("7", None), ("{}", None), ("[[1, 2]]", None),
])
def test_names_of_points(tmp_path: Path, said: str, names: tuple[str, ...] | None) -> None:
    """As Ultralytics has them, a list a class; points whose names say nothing are numbered, which is noted."""
    yaml = f"train: images/train\nnames: [cat, dog]\nkpt_shape: [2, 3]\nkpt_names: {said}\n"
    make_yolo(tmp_path / "y", ["0 0.5 0.5 0.5 0.5 0.1 0.2 2 0.3 0.4 0\n"], yaml)
    data = open_dataset(tmp_path / "y", "all")
    assert data.info.points is not None and data.info.points.names == (names or ("point_0", "point_1"))
    assert any("kpt_names is not read" in n for n in data.notes) == (names is None)


@pytest.mark.parametrize("names", ["[cat, dog]", "{0: cat, 1: dog}", "\n  - cat\n  - dog"])
def test_names_as_list_or_mapping(tmp_path: Path, names: str) -> None:
    make_yolo(tmp_path / "y", yaml=f"train: images/train\nval: images/train\nnc: 2\nnames: {names}\n")
    assert open_dataset(tmp_path / "y/data.yaml").info.classes.names == ("cat", "dog")


@pytest.mark.parametrize(("names", "said"), [
    ("{0: off, 1: on}", ("off", "on")), ("[01, 02]", ("01", "02")), ("[no, Yes]", ("no", "Yes")),
    ("[1.10, 1e3]", ("1.10", "1e3")),
    ("[2026-11-28, null]", ("2026-11-28", "null")), ("{'0': a, 01: b}", ("a", "b")), ("['on', \"off\"]", ("on", "off")),
])
def test_names_are_what_is_written(tmp_path: Path, names: str, said: tuple[str, ...]) -> None:
    make_yolo(tmp_path / "y", yaml=f"train: images/train\nnc: '2'\nnames: {names}\n")
    assert open_dataset(tmp_path / "y", "train").info.classes.names == said


def test_lists_of_images_and_roboflow_paths(tmp_path: Path) -> None:
    root = make_yolo(tmp_path / "y", yaml="train: train.txt\nval: ../images/train\nnames: [cat, dog]\n")
    (root / "train.txt").write_text("./images/train/1.png\nimages/train/2.png\n")
    assert splits(root) == ("train", "val")
    assert len(open_dataset(root)) == 2 and len(open_dataset(root, "val")) == 3


def test_an_image_listed_twice_counts_once(tmp_path: Path) -> None:
    root = make_yolo(tmp_path / "y", yaml="train: train.txt\nval: images/train\nnames: [cat, dog]\n")
    (root / "train.txt").write_text("images/train/1.png\nimages/train/1.png\n")
    with pytest.warns(DataWarning, match="image listed twice"):
        assert len(open_dataset(root)) == 1


def test_darknet_folder_with_labels_beside_images(tmp_path: Path) -> None:
    for i in range(12):
        noise(tmp_path / "d/obj_train_data" / f"{i}.png", seed=i)
        (tmp_path / "d/obj_train_data" / f"{i}.txt").write_text("0 0.5 0.5 0.5 0.5")
    with pytest.raises(DataError, match="neither a data.yaml nor a classes.txt"):
        open_dataset(tmp_path / "d", format="yolo")
    (tmp_path / "d/classes.txt").write_text("thing\n")
    with pytest.warns(DataWarning, match="train 10, val 1, test 1"):
        parts = [set(open_dataset(tmp_path / "d", s).table.files)  # type: ignore[attr-defined]
                 for s in ("train", "val", "test")]
    assert len(set.union(*parts)) == 12 == sum(map(len, parts))


def test_where_labels_lie() -> None:
    assert label_file("images/train/a.jpg") == "labels/train/a.txt"
    assert label_file("images/x/images/a.b.jpg") == "images/x/labels/a.b.txt"
    assert label_file("all/a.jpg") == "all/a.txt"


def test_faults_name_file_and_line(tmp_path: Path) -> None:
    make_yolo(tmp_path / "y", ["0 0.5 0.5 0.5 0.5\n0 a b c d\n0 1 2\n0 nan 0.5 0.5 0.5\n0 0.5 0.5 0 0.1\n0 0.9 0.5 0.4 "
                               "0.2\n0 1.5 1.5 0.1 0.1\n0 412 205 60 33\n", "1 0.5 0.5 0.5 0.5\n"])
    data = open_dataset(tmp_path / "y", "all", on_fault="report")
    kinds = [(f.kind, f.record.split(" of ")[0]) for f in data.faults]  # type: ignore[attr-defined]
    assert sorted(kinds) == sorted([("broken record", "line 2"), ("broken record", "line 3"),
                                    ("box not finite", "line 4"), ("degenerate box", "line 5"),
                                    ("box partly outside", "line 6"), ("box outside", "line 7"),
                                    ("not fractions", "line 8")])
    assert all(f.file.endswith("labels/train/0.txt") for f in data.faults)  # type: ignore[attr-defined]
    assert (data.table.files  # type: ignore[attr-defined]
            == ["images/train/1.png"]), "not one of its objects is passed over"
    (tmp_path / "y/labels/train/0.txt").write_text("2 0.5 0.5 0.5 0.5\n")
    with pytest.raises(DataError, match=r"0\.txt, record line 1, field 'class': the class 2 is not one of the 2"):
        open_dataset(tmp_path / "y", "all")


def test_labels_in_pixels_are_named_so(tmp_path: Path) -> None:
    make_yolo(tmp_path / "y", ["0 30 20 30 20\n", "1 15 10 6 8\n"])
    with pytest.raises(DataError, match="none of the 2 images.*line 1: '0 30 20 30 20' are no fractions.*look "
                       "like pixels"):
        open_dataset(tmp_path / "y", "all")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_byte_order_marks_and_line_ends_of_any_editor(tmp_path: Path, encoding: str) -> None:
    root = make_yolo(tmp_path / "y")
    (root / "data.yaml").unlink()
    (root / "classes.txt").write_text("cat\r\ndog\r\n", encoding=encoding)
    for p in (root / "labels/train").iterdir():
        p.write_text(p.read_text().replace("\n", "\r\n"), encoding=encoding)
    data = open_dataset(root, "all")
    assert data.info.classes.names == ("cat", "dog") and [len(data.truth(i).labels) for i in range(3)] == [1, 2, 0]
    (root / "labels/train/0.txt").write_bytes(b"0 0.5 0.5 0.5 \xff\n")
    with pytest.warns(DataWarning, match="broken annotation.*1 picture is left out.*no UTF-8 text"):
        assert len(open_dataset(root, "all")) == 2


@pytest.mark.parametrize(("line", "said"), [
    ("0 0.5 0.5 0.5 0.5 0.83", "1 lines have a sixth number.*confidences"),
    ("0 0.5 0.5 0.5 0.5 17", "numbers of tracks"),
    ("0 0.5 0.5 0.5 0.5 0.9 12", "a confidence and the number of a track"), ("cat 0.5 0.5 0.5 0.5", ""),
    ("0.0 5e-1 .5 0.5 0.5", ""),
])
def test_what_models_write_beside_a_box_is_left_out(tmp_path: Path, line: str, said: str) -> None:
    make_yolo(tmp_path / "y", [f"1 0.1 0.1 0.1 0.1\n{line}\n"])
    data = open_dataset(tmp_path / "y", "all", on_fault="report")
    np.testing.assert_allclose(data.truth(0).boxes[1], [15, 10, 45, 30])
    notes = " ".join(data.notes)  # type: ignore[attr-defined]
    assert data.faults == [] and data.info.kinds == ("boxes",)  # type: ignore[attr-defined]
    if said:
        with pytest.warns(DataWarning, match=said):
            open_dataset(tmp_path / "y", "all")
    else:
        assert not notes


@pytest.mark.parametrize("line", ["0 0.5 0.5 0.5 0.5 0.9 0.4", "0 0.5 0.5 0.5 0.5 -0.4", "0 0.5 0.5 0.5 0.5 1.57",
                                  "0,0.5,0.5,0.5,0.5", "0 0.5 0.5 0.5 0.5 # by me"])
def test_a_line_that_is_not_understood_takes_its_image_out(tmp_path: Path, line: str) -> None:
    make_yolo(tmp_path / "y", [f"1 0.1 0.1 0.1 0.1\n{line}\n", "0 0.5 0.5 0.5 0.5 0.25\n", "1 0.5 0.5 0.5 0.5\n"])
    data = open_dataset(tmp_path / "y", "all", on_fault="report")
    left = [f.removeprefix("images/train/") for f in data.table.files]  # type: ignore[attr-defined]
    if line.endswith("0.4") and len(line.split()) == 7:  # three points are a polygon
        assert left == ["0.png", "1.png", "2.png"] and "masks" in data.info.kinds
    elif len(line.split()) == 6 and "#" not in line:
        # an angle: then the other sixth number is none to be left out either
        assert left == ["2.png"]
    else:
        assert left == ["1.png", "2.png"]
    assert len(data.truth(len(data) - 1).labels) == 1


def test_boxes_among_polygons_are_named(tmp_path: Path) -> None:
    make_yolo(tmp_path / "y", ["0 0.1 0.1 0.9 0.1 0.9 0.9\n1 0.5 0.5 0.2 0.2\n"])
    data = open_dataset(tmp_path / "y", "all", on_fault="report")
    assert [(f.kind, f.record) for f in data.faults] == [("no mask", "line 2")]  # type: ignore[attr-defined]


# ---------------------------------------------------------------- where things lie


def layout(root: Path, *, images: str, labels: str, names: Sequence[str] = ("a", "b"), ending: str = ".jpg") -> None:
    """Pictures of 40 x 60 in a folder and a label of one box for each in another one."""
    for k, n in enumerate(names):
        noise(root / images / f"{n}{ending}", seed=k + len(images))
        path = root / labels / f"{n}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("1 0.5 0.5 0.5 0.5\n")


def found(where: Path, split: str = "all", **options: Any) -> list[str]:
    """The files of a split, each of which has its one object."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data = open_dataset(where, split, **options)
    assert all(len(data.truth(i).labels) == 1 for i in range(len(data)))
    return list(data.table.files)  # type: ignore[attr-defined]


def test_folders_are_read_with_all_below_them(tmp_path: Path) -> None:
    for sub in ("", "day/", "night/far/"):
        layout(tmp_path, images=f"images/train/{sub}", labels=f"labels/train/{sub}")
    (tmp_path / "data.yaml").write_text("path: .\ntrain: images/train\nnames: [cat, dog]\n")
    train = [f"images/train/{s}{n}.jpg" for s in ("", "day/", "night/far/") for n in "ab"]
    assert found(tmp_path) == sorted(train)
    (tmp_path / "data.yaml").write_text("names: [cat, dog]\n")
    assert found(tmp_path) == sorted(train)


@pytest.mark.parametrize(("images", "labels"), [
    ("Images", "Labels"), ("IMAGES", "LABELS"), ("images", "annots"), ("JPEGImages", "labels"), (".", "."),
    ("imgs", "txt"), ("obj_train_data", "obj_train_data"), ("images", "labels/images")])
def test_labels_are_found_in_any_case_and_beside(tmp_path: Path, images: str, labels: str) -> None:
    layout(tmp_path, images=images, labels=labels, ending=".JPG")
    (tmp_path / "Classes.TXT").write_text("cat\ndog\n")
    assert recognise(tmp_path) == "yolo" and len(found(tmp_path)) == 2
    for p in tmp_path.rglob("*.txt"):
        p.rename(p.with_suffix(".TXT"))
    assert len(found(tmp_path)) == 2


@pytest.mark.parametrize(("images", "labels"), [("Images/{}", "Labels/{}"), ("{}/Images", "{}/Labels"), ("{}", "{}"),
                                                ("images/{}", "images/{}"), ("{}", "labels/{}")])
def test_splits_are_found_in_folders(tmp_path: Path, images: str, labels: str) -> None:
    for part in ("Train", "Valid", "test"):
        layout(tmp_path, images=images.format(part), labels=labels.format(part))
    (tmp_path / "classes.txt").write_text("cat\ndog\n")
    assert recognise(tmp_path) == "yolo" and splits(tmp_path) == ("train", "val", "test")
    assert [len(found(tmp_path, s)) for s in ("train", "val", "test")] == [2, 2, 2]


def test_flat_folders_hold_only_what_is_labelled(tmp_path: Path) -> None:
    layout(tmp_path, images=".", labels=".")
    noise(tmp_path / "c.jpg", seed=9)
    noise(tmp_path / "raw/d.jpg", seed=10)
    (tmp_path / "classes.txt").write_text("cat\ndog\n")
    with pytest.warns(DataWarning, match="1 of 3 images have no label file.*c.jpg"):
        data = open_dataset(tmp_path, "all")
    assert data.table.files == ["a.jpg", "b.jpg", "c.jpg"]  # type: ignore[attr-defined]
    (tmp_path / "classes.txt").unlink()
    with pytest.raises(DataError, match="neither a data.yaml nor a classes.txt.*--classes FILE"):
        open_dataset(tmp_path, "all")
    assert len(open_dataset(tmp_path, "all", names=["cat", "dog"])) == 3


def test_darknet_names_what_lies_elsewhere(tmp_path: Path) -> None:
    for part in ("train", "Validation"):
        layout(tmp_path, images=f"obj_{part}_data/sub", labels=f"obj_{part}_data/sub", ending=".PNG")
        (tmp_path / f"{part}.txt").write_text("\n".join(f"data/obj_{part}_data/sub/{n}.PNG" for n in "ab"))
    (tmp_path / "obj.names").write_text("cat\ndog\n")
    (tmp_path / "obj.data").write_text("classes = 2\ntrain = data/train.txt\nvalid = data/Validation.txt\n"
                                       "names = data/obj.names\nbackup = backup/\n")
    assert recognise(tmp_path) == "yolo" and splits(tmp_path) == ("train", "val")
    assert found(tmp_path, "val") == ["obj_Validation_data/sub/a.PNG", "obj_Validation_data/sub/b.PNG"]
    data = open_dataset(tmp_path, "val")
    assert data.info.classes.names == ("cat", "dog")
    (tmp_path / "obj.names").unlink()
    with pytest.raises(DataError, match=r"obj\.data, field 'names'.*obj\.names, which is not there.*--classes"):
        open_dataset(tmp_path, "val")


def test_a_split_that_is_named_and_not_there_is_left_out(tmp_path: Path) -> None:
    layout(tmp_path, images="train/images", labels="train/labels")
    (tmp_path / "data.yaml").write_text("train: ../train/images\nval: ../valid/images\ntest: ../test/images\n"
                                        "names: [cat, dog]\n")
    with pytest.warns(DataWarning, match="missing split.*'valid/images', which is not there"):
        data = open_dataset(tmp_path, "all")
    assert len(data) == 2 and splits(tmp_path) == ("train", "val")
    (tmp_path / "data.yaml").write_text("train: ../lost/images\nval: ../train/images\nnames: [cat, dog]\n")
    with pytest.raises(DataError, match="names 'lost/images'.*neither a folder nor a list"):
        open_dataset(tmp_path, "all")


def test_paths_of_another_machine_are_read_here_and_said(tmp_path: Path) -> None:
    layout(tmp_path, images="train/images", labels="train/labels")
    (tmp_path / "data.yaml").write_text("path: /content/set\ntrain: /content/set/train/images\nnames: [cat, dog]\n")
    with pytest.warns(DataWarning, match="names '/content/set/train/images'; read is train/images"):
        assert len(open_dataset(tmp_path, "all")) == 2
    (tmp_path / "list.txt").write_text("C:\\me\\set\\train\\images\\a.jpg\n/home/me/b.jpg\n")
    (tmp_path / "data.yaml").write_text("train: list.txt\nnames: [cat, dog]\n")
    assert found(tmp_path) == ["train/images/a.jpg", "train/images/b.jpg"]


def test_a_yaml_elsewhere_is_followed_where_it_is_named_itself(tmp_path: Path) -> None:
    layout(tmp_path / "parts", images="images/train", labels="labels/train")
    for path in (str(tmp_path / "parts"), "../parts"):
        (tmp_path / "configs").mkdir(exist_ok=True)
        config = tmp_path / "configs/data.yaml"
        config.write_text(f"path: {path}\ntrain: images/train\nnames: [cat, dog]\n")
        assert found(config) == ["images/train/a.jpg", "images/train/b.jpg"]
        with pytest.raises(DataError,
                           match="leads out of the folder of the YAML; it is not followed. Name .*data.yaml itself"):
            open_dataset(tmp_path / "configs")


def test_a_yaml_below_the_folder_is_named(tmp_path: Path) -> None:
    root = make_yolo(tmp_path / "y", ["0 0.5 0.5 0.5 0.5\n"] * 4)
    (root / "config").mkdir()
    (root / "data.yaml").rename(root / "config/data.yaml")
    with pytest.raises(DataError, match=r"config/data.yaml may be it: name that file"):
        open_dataset(root, "train")


def test_folders_that_options_name(tmp_path: Path) -> None:
    layout(tmp_path / "d", images="pictures/day", labels="notes/day")
    layout(tmp_path / "d", images="pictures/night", labels="notes/night")
    noise(tmp_path / "d/other/x.jpg")
    (tmp_path / "d/names.list").write_text("cat\ndog\n")
    with pytest.raises(DataError):
        open_dataset(tmp_path / "d", "all")
    options = {"images": "pictures", "labels": "notes", "names": "names.list", "format": "yolo"}
    assert len(found(tmp_path / "d", **options)) == 4
    assert len(found(tmp_path / "d", **(options | {"images": str(tmp_path / "d/pictures"), "names": "cat,dog"}))) == 4
    (tmp_path / "d/pictures").rename(tmp_path / "store")
    assert found(tmp_path / "d", **(options | {"images": str(tmp_path / "store")})) == [
        "day/a.jpg", "day/b.jpg", "night/a.jpg", "night/b.jpg"]
    with pytest.raises(DataError, match="nowhere: is no folder. check --images"):
        open_dataset(tmp_path / "d", "all", **(options | {"images": "nowhere"}))


def test_where_no_label_is_found_the_error_says_where_they_were_looked_for(tmp_path: Path) -> None:
    layout(tmp_path, images="images/train", labels="boxes/train")
    (tmp_path / "data.yaml").write_text("train: images/train\nnames: [cat, dog]\n")
    with pytest.raises(DataError, match="no objects in any of the 2.*looked for in .*images/train.*--labels PLACE"):
        open_dataset(tmp_path, "all")
    assert len(found(tmp_path, labels="boxes")) == 2


def test_one_label_file_of_two_images_is_said(tmp_path: Path) -> None:
    layout(tmp_path, images="images", labels="labels")
    noise(tmp_path / "images/a.png", seed=4)
    (tmp_path / "classes.txt").write_text("cat\ndog\n")
    with pytest.warns(DataWarning, match="label of two images.*images/a.jpg and images/a.png"):
        assert len(open_dataset(tmp_path, "all")) == 3


@pytest.mark.parametrize(("yaml", "said"), [
    ("names: !!python/object/apply:os.system ['touch {mark}']\ntrain: images/train\n",
     "tag or key that plain data does not need"),
    ("names: !!python/object/new:tuple [[a]]\ntrain: images/train\n", "tag or key"),
    ("train: !custom x\nnames: [a]\n", "tag or key"),
    ("names: [cat, dog\ntrain: images/train\n", "is no YAML at line"),
    ("- a\n- b\n", "is no mapping"),
    ("train: images/train\nnames: []\n", "no list of class names"),
    ("train: images/train\nnames: [a, a]\n", "named twice"),
    ("train: images/train\nnames: {0: a, 2: b}\n", "without a gap"),
    ("train: images/train\nnc: 3\nnames: [a, b]\n", "nc is 3, and there are 2 names"),
    ("train: ../../etc\nnames: [cat, dog]\n", "climbs out"),
    ("train: /etc\nnames: [cat, dog]\n", "absolute path"),
    ("train: images/nowhere\nnames: [cat, dog]\n", "neither a folder nor a list"),
    ("train: 5\nnames: [cat, dog]\n", "no path or list of paths"),
    ("a: &a [x]\nb: {<<: *a}\nnames: [cat]\n", "merge keys"),
    ("train: images/train\nnames: " + "[" * 10_000, "nested too deeply|is no YAML"),
])
def test_yaml_that_is_refused(tmp_path: Path, yaml: str, said: str) -> None:
    mark = tmp_path / "executed"
    make_yolo(tmp_path / "y", yaml=yaml.replace("{mark}", str(mark)))
    with pytest.raises(DataError, match=said):
        open_dataset(tmp_path / "y", format="yolo")
    assert not mark.exists()


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=60), st.integers(0, 60))
def test_fuzzed_yaml_raises_data_errors_alone(tmp_path: Path, text: str, cut: int) -> None:
    root = tmp_path / "y"
    if not root.exists():
        make_yolo(root)
    sound = "path: .\ntrain: images/train\nnames: [cat, dog]\nkpt_shape: [3, 2]\n"
    (root / "data.yaml").write_text(sound[:cut] + text + sound[cut:], encoding="utf-8")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            open_dataset(root, "all", format="yolo", on_fault="report")
        except DataError as e:
            assert str(e)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(st.floats() | st.integers(-3, 10**20) | st.sampled_from(["x", "1e999", "-"]), max_size=9),
                max_size=4))
def test_fuzzed_labels_raise_data_errors_alone(tmp_path: Path, lines: list[list[object]]) -> None:
    root = tmp_path / "y"
    if not root.exists():
        make_yolo(root)
    (root / "labels/train/0.txt").write_text("\n".join(" ".join(map(str, line)) for line in lines))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data = open_dataset(root, "all", on_fault="report")
        assert all(np.isfinite(data.truth(i).boxes).all() for i in range(len(data)))


def test_a_class_may_begin_with_a_hash_and_a_remark_has_a_blank_behind_it(tmp_path: Path) -> None:
    """A name left out would move the numbers of all that follow: every object would have another's class."""
    root = tmp_path / "set"
    for k in range(3):
        noise(root / "images" / f"{k}.png", seed=k)
        (root / "labels").mkdir(exist_ok=True)
        (root / "labels" / f"{k}.txt").write_text(f"{k} .5 .5 .2 .2\n")
    (root / "classes.txt").write_text("# what is drawn\n##hash\n#\nbolt, big\n## more\n- dash: x\n")
    with pytest.warns(DataWarning, match="'##hash' is taken for a class: a remark has a blank behind its #"):
        data = open_dataset(root, "all")
    assert data.info.classes.names == ("##hash", "bolt, big", "- dash: x")
    assert sorted(int(data[i].labels[0]) for i in range(3)) == [0, 1, 2]
    for to in ("coco", "yolo", "voc"):
        convert(root, to, tmp_path / to)
        back = [open_dataset(tmp_path / to, s) for s in ("train", "val")]
        assert {b.info.classes.names for b in back} == {data.info.classes.names}
        found = {Path(s.file).stem: int(s.labels[0]) for b in back for s in (b[i] for i in range(len(b)))}
        assert all(found[k] == int(k) for k in found) and found
