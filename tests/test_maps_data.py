"""Images beside maps: instance ids, class ids, layouts, and derived splits."""
from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from made_data import make_maps, noise
from stemma.core.types import DataError
from stemma.data.open import open_dataset, recognise, splits
from stemma.data.records import DataWarning


def instances(count: int, dtype: type = np.uint16, step: int = 1) -> np.ndarray:
    """A map of `count` squares of 4 x 4 with ids step, 2 step, ..."""
    m = np.zeros((40, 60), dtype)
    for k in range(count):
        y, x = 6 * (k // 9), 6 * (k % 9)
        m[y : y + 4, x : x + 4] = (k + 1) * step
    return m


def test_instance_maps_give_boxes_masks_and_two_classes(tmp_path: Path) -> None:
    root = make_maps(tmp_path / "d", [instances(3), instances(5), instances(0), instances(1)])
    data = open_dataset(root, "all")
    assert (recognise(root) == "maps" and data.info.kinds == ("boxes", "masks", "semantic")
            and data.info.classes.names == ("object",))
    assert data.info.semantic is not None and data.info.semantic.names == ("background", "object")
    s = data[0]
    assert s.masks is not None and s.semantic is not None and s.image is not None
    np.testing.assert_array_equal(s.boxes, [[0, 0, 4, 4], [6, 0, 10, 4], [12, 0, 16, 4]])
    np.testing.assert_array_equal(s.masks, [instances(3) == k for k in (1, 2, 3)])
    np.testing.assert_array_equal(s.semantic, instances(3) > 0)
    np.testing.assert_array_equal(s.area, [16, 16, 16])
    empty = data.truth(2)
    assert empty.boxes.shape == (0, 4) and empty.masks is not None and empty.masks.shape == (0, 40, 60)
    assert data.counts().tolist() == [9]  # type: ignore[attr-defined]


@pytest.mark.parametrize("step", [7, 100_000])
def test_ids_need_not_be_consecutive(tmp_path: Path, step: int) -> None:
    m = instances(4, np.int32, step)
    root = make_maps(tmp_path / "d", [instances(1)])
    Image.fromarray(np.stack([m & 255, m >> 8 & 255, m >> 16], -1).astype(np.uint8)).save(root / "labels/m0.png")
    data = open_dataset(root, "all", maps="instance", names=("nucleus",))
    s = data.truth(0)
    assert s.masks is not None and data.info.classes.names == ("nucleus",)
    np.testing.assert_array_equal(s.masks, [m == k * step for k in (1, 2, 3, 4)])
    np.testing.assert_array_equal(s.extra["instances"], m // step)


def test_class_maps_with_void(tmp_path: Path) -> None:
    m = np.tile(np.array([0, 1, 2, 255], np.uint8), (40, 15))
    for split in ("train", "val"):
        make_maps(tmp_path / "d", [m, m], split, f"{split}annot")
    (tmp_path / "d/classes.txt").write_text("sky\nVoid\nroad\n")
    data = open_dataset(tmp_path / "d", "val")
    assert splits(tmp_path / "d") == ("train", "val") and data.info.kinds == ("semantic",)
    assert (data.info.classes.names == ("sky", "road") == (data.info.semantic or data.info.classes).names
            and data.info.classes.ids == (0, 2))
    s = data[0]
    assert s.semantic is not None and s.boxes.shape == (0, 4)
    np.testing.assert_array_equal(s.semantic[0, :4], [0, 255, 1, 255])
    Image.fromarray(m + 3).save(tmp_path / "d/valannot/m1.png")
    with pytest.raises(DataError, match=r"m1\.png: has the class id 3"):
        data.truth(1)


@pytest.mark.parametrize("top", [1, 255])
def test_binary_masks_are_background_and_foreground(tmp_path: Path, top: int) -> None:
    data = open_dataset(make_maps(tmp_path / "d", [(instances(3) > 0).astype(np.uint8) * top] * 2, labels="masks"),
                        "all")
    assert data.info.classes.names == ("background", "foreground")
    semantic = data.truth(0).semantic
    assert semantic is not None
    np.testing.assert_array_equal(semantic, instances(3) > 0)


def test_what_cannot_be_told_is_asked(tmp_path: Path) -> None:
    m = np.tile(np.array([0, 4, 9, 20], np.uint8), (40, 15))
    root = make_maps(tmp_path / "d", [m, m])
    with pytest.raises(DataError, match="instances or classes.*classes.txt"):
        open_dataset(root, "all")
    assert open_dataset(root, "all", maps="instance").truth(0).labels.shape == (3,)
    with pytest.raises(DataError, match="have no names"):
        open_dataset(root, "all", maps="class")


@pytest.mark.parametrize(("images", "labels"),
                         [("images/train", "masks/train"), ("train/images", "train/masks"), ("train", "train_labels")])
def test_layouts(tmp_path: Path, images: str, labels: str) -> None:
    for split in ("train", "val"):
        make_maps(tmp_path / "d", [instances(2), instances(5)], images.replace("train", split),
                  labels.replace("train", split))
    assert recognise(tmp_path / "d") == "maps" and splits(tmp_path / "d") == ("train", "val")
    assert len(open_dataset(tmp_path / "d", "val")) == 2


def test_map_names_may_have_tails_and_maps_may_be_missing(tmp_path: Path) -> None:
    root = make_maps(tmp_path / "d", [instances(2), instances(5), instances(4)])
    (root / "labels/m0.png").rename(root / "labels/m0_mask.png")
    (root / "labels/m1.png").unlink()
    with pytest.warns(DataWarning, match=r"missing map.*m1\.png"):
        assert len(open_dataset(root, "all")) == 2


def test_sizes_must_agree(tmp_path: Path) -> None:
    root = make_maps(tmp_path / "d", [instances(2), instances(5)])
    noise(root / "images/m0.png", 30, 60)
    with pytest.raises(DataError, match=r"labels/m0\.png: is 60 x 40, and its picture is 60 x 30"):
        open_dataset(root, "all")[0]


def test_derived_splits_are_disjoint_whole_and_the_same_each_time(tmp_path: Path) -> None:
    root = make_maps(tmp_path / "d", [instances(k % 7) for k in range(30)])
    with pytest.warns(DataWarning, match="train 24, val 3, test 3"):
        parts = {s: open_dataset(root, s).table.files for s in ("train", "val", "test")}  # type: ignore[attr-defined]
    assert sorted(sum(parts.values(), [])) == open_dataset(root, "all").table.files  # type: ignore[attr-defined]
    assert open_dataset(root, "val").table.files == parts["val"]  # type: ignore[attr-defined]
    assert len({open_dataset(root, s).fingerprint for s in parts}) == 3
    assert splits(root) == ("train", "val", "test", "all")


def test_index_csv_may_name_splits(tmp_path: Path) -> None:
    root = make_maps(tmp_path / "d", [instances(k) for k in range(4)])
    (root / "index.csv").write_text("id,split\nm0,train\nm1,training\nm2,val\nm3,test\n")
    assert splits(root) == ("train", "val", "test") and len(open_dataset(root)) == 2


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(["classes.txt", "index.csv", "train.txt"]),
       st.binary(max_size=60) | st.sampled_from([b"0 a\n99999999999 b", b"id,split\nm0", b"a b\n../x ../y\n"]))
def test_fuzzed_lists_raise_data_errors_alone(tmp_path: Path, name: str, raw: bytes) -> None:
    root = tmp_path / "d"
    if not root.exists():
        make_maps(root, [instances(2), instances(5)], "train", "trainannot")
        make_maps(root / "other", [instances(2), instances(5)])
    for at in (root, root / "other"):
        for p in at.glob("*.*"):
            p.unlink()
        (at / name).write_bytes(raw)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                data = open_dataset(at, "train", format="maps", on_fault="report")
                data.truth(0)
            except DataError as e:
                assert str(e)


def test_a_list_pairs_images_with_maps(tmp_path: Path) -> None:
    root = make_maps(tmp_path / "d", [instances(2), instances(5), instances(3)], "train", "trainannot")
    (root / "train.txt").write_text("/SegNet/CamVid/train/m2.png /SegNet/CamVid/trainannot/m2.png\ntrain/m0.png "
                                    "trainannot/m9.png\n")
    with pytest.warns(DataWarning, match="m9.png is not there"):
        data = open_dataset(root, "all", maps="instance")
    assert data.table.files == ["train/m2.png"]  # type: ignore[attr-defined]


@pytest.mark.data
def test_dsb2018(shared_data: Path) -> None:
    data = open_dataset(shared_data / "dsb2018", "all")
    assert len(data) == 664 and data.counts().tolist() == [28_986]  # type: ignore[attr-defined]
    parts = [set(open_dataset(shared_data / "dsb2018", s).table.files)  # type: ignore[attr-defined]
             for s in ("train", "val", "test")]
    assert [len(p) for p in parts] == [532, 66, 66] and len(set.union(*parts)) == 664
    s = data[0]
    assert s.image is not None and s.masks is not None and len(s.masks) == len(s.boxes) == 27


@pytest.mark.data
def test_camvid(shared_data: Path) -> None:
    sets = {s: open_dataset(shared_data / "camvid", s) for s in ("train", "val", "test")}
    assert {s: len(d) for s, d in sets.items()} == {"train": 367, "val": 101, "test": 233}
    s = sets["val"][3]
    assert s.image is not None and s.semantic is not None and s.semantic.shape == (360, 480) == s.image.shape[:2]
    assert (set(np.unique(s.semantic)) <= {*range(11), 255} and len(sets["val"].info.classes) == 11
            and "Unlabelled" not in sets["val"].info.classes.names)
