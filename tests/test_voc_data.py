"""Pascal VOC: coordinates, difficult objects, split lists, segmentation maps, hostile XML."""
from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from made_data import make_voc, noise, voc_xml
from stemma.core.types import DataError
from stemma.data.open import open_dataset, recognise, splits
from stemma.data.records import DataWarning


def test_pixels_from_one_become_edges_and_difficult_becomes_crowd(tmp_path: Path) -> None:
    data = open_dataset(make_voc(tmp_path / "v"), "all")
    assert recognise(tmp_path / "v") == "voc" and data.info.classes.names == ("cat", "dog")
    np.testing.assert_allclose(data.truth(0).boxes, [[0, 0, 20, 10]])  # xmin 1, ymin 1: the first pixel
    np.testing.assert_allclose(data.truth(2).boxes, [[9, 9, 60, 40]])
    assert data.truth(2).crowd.tolist() == [True] and data.truth(0).crowd.tolist() == [False]
    np.testing.assert_array_equal(data.truth(1).labels, [1, 0])
    image = data[0].image
    assert image is not None and image.shape == (40, 60, 3)
    np.testing.assert_allclose(open_dataset(tmp_path / "v", "all", one_based=False).truth(2).boxes, [[10, 10, 60, 40]])


def test_a_point_is_degenerate_and_two_pixels_are_not(tmp_path: Path) -> None:
    make_voc(tmp_path / "v", [voc_xml((("cat", 5, 5, 5, 5), ("cat", 5, 5, 6, 6)))])
    with pytest.warns(DataWarning, match=r"degenerate box.*v0\.xml.*object 0.*\(5, 5, 5, 5\)"):
        data = open_dataset(tmp_path / "v", "all")
    np.testing.assert_allclose(data.truth(0).boxes, [[4, 4, 6, 6]])


def test_split_lists_share_one_class_list(tmp_path: Path) -> None:
    make_voc(tmp_path / "v", splits={"train": [0], "val": [1, 2], "cat_train": [0], "trainval": [0, 1, 2]})
    assert splits(tmp_path / "v") == ("train", "val", "trainval"), "lists of one class are no splits"
    train, val = open_dataset(tmp_path / "v"), open_dataset(tmp_path / "v", "validation")
    assert (len(train), len(val)) == (1, 2)
    assert train.info.classes == val.info.classes, "dog is in val alone, and both number the classes alike"
    with pytest.raises(DataError, match="no split 'test'.*train, val"):
        open_dataset(tmp_path / "v", "test")


def test_a_class_file_gives_the_order_and_the_borders(tmp_path: Path) -> None:
    make_voc(tmp_path / "v")
    (tmp_path / "v/classes.txt").write_text("dog\ncat\nbird\n")
    assert open_dataset(tmp_path / "v", "all").info.classes.names == ("dog", "cat", "bird")
    (tmp_path / "v/classes.txt").write_text("dog\n")
    with pytest.raises(DataError, match=r"v0\.xml.*object 0.*'cat' is not in the class list"):
        open_dataset(tmp_path / "v", "all")


def test_segmentation_maps(tmp_path: Path) -> None:
    root = make_voc(tmp_path / "v", [voc_xml((("cat", 1, 1, 20, 10), ("dog", 31, 21, 60, 40)))])
    (root / "ImageSets/Segmentation").mkdir(parents=True)
    (root / "ImageSets/Segmentation/train.txt").write_text("v0\n")
    objects, classes = np.zeros((40, 60), np.uint8), np.zeros((40, 60), np.uint8)
    objects[:10, :20], objects[20:, 30:], objects[19, 30:] = 1, 2, 255
    classes[:10, :20], classes[20:, 30:], classes[19, 30:] = 1, 2, 255
    for folder, m in (("SegmentationObject", objects), ("SegmentationClass", classes)):
        (root / folder).mkdir()
        im = Image.fromarray(m)
        im.putpalette([v for k in range(256) for v in (k, 255 - k, 7)])
        im.save(root / folder / "v0.png")
    data = open_dataset(root, "all", which="Segmentation")
    assert data.info.kinds == ("boxes", "masks", "semantic") and data.info.semantic is not None
    assert data.info.semantic.names == ("background", "cat", "dog")
    s = data.truth(0)
    assert s.masks is not None and s.semantic is not None
    np.testing.assert_array_equal(s.masks, [objects == 1, objects == 2])
    np.testing.assert_array_equal(s.semantic, classes)
    np.testing.assert_allclose(s.area, [200, 600])
    Image.fromarray(np.full((40, 60), 9, np.uint8)).save(root / "SegmentationClass/v0.png")
    with pytest.raises(DataError, match="class id 9"):
        data.truth(0)


@pytest.mark.parametrize("text", [
    '<!DOCTYPE a [<!ENTITY x "y">]><annotation><object><name>&x;</name></object></annotation>',
    '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><annotation>&x;</annotation>',
    '<?xml version="1.0"?><!DOCTYPE l [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]><annotation>&b;</annotation>',
])
def test_entities_are_never_expanded(tmp_path: Path, text: str) -> None:
    root = make_voc(tmp_path / "v")
    (root / "Annotations/v0.xml").write_text(text)
    with pytest.raises(DataError, match="document type or entities"):
        open_dataset(root, "all", on_fault="refuse")
    (root / "Annotations/v0.xml").write_bytes(text.encode("utf-16"))
    with pytest.raises(DataError, match="document type or entities"):
        open_dataset(root, "all", on_fault="refuse")


def test_truncated_xml_leaves_its_image_out(tmp_path: Path) -> None:
    root = make_voc(tmp_path / "v")
    (root / "Annotations/v1.xml").write_text(voc_xml()[:80])
    with pytest.warns(DataWarning, match=r"v1\.xml: is no well-formed XML.*line 1"):
        assert len(open_dataset(root, "all")) == 2
    (root / "JPEGImages/v0.jpg").unlink()
    with pytest.warns(DataWarning, match="missing image"):
        assert len(open_dataset(root, "all")) == 1


def test_deep_xml_does_not_break(tmp_path: Path) -> None:
    root = make_voc(tmp_path / "v")
    (root / "Annotations/v0.xml").write_text("<annotation>" + "<a>" * 10_000 + "</a>" * 10_000 + "</annotation>")
    assert len(open_dataset(root, "all").truth(0).boxes) == 0


def test_lists_may_not_climb(tmp_path: Path) -> None:
    root = make_voc(tmp_path / "v", splits={"train": [0], "val": [1]})
    (root / "ImageSets/Main/train.txt").write_text("v0\n../../etc/passwd\n")
    with pytest.raises(DataError, match="climbs out"):
        open_dataset(root)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=60), st.integers(0, 300), st.text(st.characters(exclude_categories=["Cs"]), max_size=20))
def test_fuzzed_xml_raises_data_errors_alone(tmp_path: Path, raw: bytes, cut: int, word: str) -> None:
    root = tmp_path / "v"
    if not root.exists():
        noise(make_voc(root) / "JPEGImages/v0.jpg")
    sound = voc_xml((("cat", 1, 1, 20, 10), ("dog", 2, 2, 5, 5))).replace("dog", word).encode()
    (root / "Annotations/v0.xml").write_bytes(sound[:cut] + raw + sound[cut + len(raw) :])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            data = open_dataset(root, "all")
            assert all(np.isfinite(data.truth(i).boxes).all() for i in range(len(data)))
        except DataError as e:
            assert "v" in e.file


@pytest.mark.data
def test_bccd(shared_data: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        sets = {s: open_dataset(shared_data / "bccd", s) for s in ("train", "val", "test")}
    assert {s: len(d) for s, d in sets.items()} == {"train": 205, "val": 87, "test": 72}
    assert sum(len(d.table.boxes) for d in sets.values()) == 4888 - 2  # type: ignore[attr-defined]
    faults = [f for d in sets.values() for f in d.faults]  # type: ignore[attr-defined]
    assert (sorted(Path(f.file).stem for f in faults) == ["BloodImage_00338", "BloodImage_00343"]
            and {f.kind for f in faults} == {"degenerate box"})
    counts = sum(d.counts() for d in sets.values())  # type: ignore[attr-defined]
    assert dict(zip(sets["train"].info.classes.names, counts.tolist())) == {"Platelets": 361,
                                                                            "RBC": 4155 - 2, "WBC": 372}


@pytest.mark.data
def test_neu_det(shared_data: Path) -> None:
    train, val = open_dataset(shared_data / "neu_det"), open_dataset(shared_data / "neu_det", "val")
    assert (len(train), len(val), len(train.info.classes)) == (1620, 180, 6)
    assert len(train.table.boxes) + len(val.table.boxes) == 4189  # type: ignore[attr-defined]
    image = val[0].image
    assert image is not None and image.shape == (200, 200, 3)
