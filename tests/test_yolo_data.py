"""YOLO: boxes and polygons in fractions, data.yaml, lists, and YAML that wants to build objects."""
from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from made_data import make_yolo, noise
from stemma.core.types import DataError
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


@pytest.mark.parametrize("names", ["[cat, dog]", "{0: cat, 1: dog}", "\n  - cat\n  - dog"])
def test_names_as_list_or_mapping(tmp_path: Path, names: str) -> None:
    make_yolo(tmp_path / "y", yaml=f"train: images/train\nval: images/train\nnc: 2\nnames: {names}\n")
    assert open_dataset(tmp_path / "y/data.yaml").info.classes.names == ("cat", "dog")


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
                               "0.2\n0 5 5 0.1 0.1\n"])
    data = open_dataset(tmp_path / "y", "all", on_fault="report")
    kinds = [(f.kind, f.record.split(" of ")[0]) for f in data.faults]  # type: ignore[attr-defined]
    assert sorted(kinds) == sorted([("broken record", "line 2"), ("broken record", "line 3"),
                                    ("box not finite", "line 4"), ("degenerate box", "line 5"),
                                    ("box partly outside", "line 6"), ("box outside", "line 7")])
    assert all(f.file.endswith("labels/train/0.txt") for f in data.faults)  # type: ignore[attr-defined]
    (tmp_path / "y/labels/train/0.txt").write_text("2 0.5 0.5 0.5 0.5\n")
    with pytest.raises(DataError, match=r"0\.txt, record line 1, field 'class': the class 2 is not one of the 2"):
        open_dataset(tmp_path / "y", "all")


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
