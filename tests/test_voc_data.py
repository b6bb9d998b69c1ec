"""Pascal VOC: coordinates, difficult objects, split lists, segmentation maps, hostile XML."""
from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from made_data import coco_doc, make_coco, make_voc, noise, voc_xml
from stemma.core import paper as cards
from stemma.core.recipe import Augment, Resize
from stemma.core.types import DataError
from stemma.data.doctor import examine
from stemma.data.loader import Loader
from stemma.data.open import open_dataset, open_split, recognise, splits
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
    make_voc(tmp_path / "v", [voc_xml((("cat", 5, 5, 5, 5), ("cat", 5, 5, 6, 6))), voc_xml((("cat", 5, 5, 6, 6),))])
    with pytest.warns(DataWarning, match=r"degenerate box.*1 picture is left out.*v0\.xml.*object 0.*\(5, 5, 5, 5\)"):
        data = open_dataset(tmp_path / "v", "all")
    assert len(data) == 1 and data.truth(0).file.endswith("v1.jpg")
    np.testing.assert_allclose(data.truth(0).boxes, [[4, 4, 6, 6]])


def test_an_object_without_a_name_or_a_box_takes_its_picture_out(tmp_path: Path) -> None:
    bad = [voc_xml().replace("<name>cat</name>", "<name> </name>"), voc_xml().replace("bndbox>", "box>"), voc_xml()]
    with pytest.warns(DataWarning, match="2 x broken record.*2 pictures are left out"):
        data = open_dataset(make_voc(tmp_path / "v", bad), "all")
    assert len(data) == 1 and len(data.truth(0).boxes) == 1


@pytest.mark.parametrize("paper,learned", [
    ("ssd", True), ("dssd", True), ("rfb-net", True), ("r-cnn", True), ("spp-net", True), ("fast-rcnn", True),
    ("mr-cnn", True), ("faster-rcnn", False), ("ohem", False), ("r-fcn", False), ("retinanet", False),
])
def test_difficult_objects_are_learned_where_the_authors_code_does(tmp_path: Path, paper: str, learned: bool) -> None:
    """In training alone, and by themselves: a crowd of COCO stays one."""
    recipe = replace(cards.get(paper).recipe(), augment=Augment(flip=0.0), resize=Resize("square", 64))
    assert recipe.difficult == learned
    voc = open_split(make_voc(tmp_path / "v"), "all")
    doc = coco_doc(3)
    doc["annotations"][0]["iscrowd"] = 1
    coco = open_split(make_coco(tmp_path / "c", doc, "all", 3), "all")
    for data, train, want in ((voc, True, 0 if learned else 1), (voc, False, 1), (coco, True, 1)):
        batch = next(iter(Loader(data, recipe, train=train, batch=len(data), needs={"boxes"}).epoch(0)))
        assert batch.targets.crowd is not None and int(batch.targets.crowd.sum()) == want


def test_data_whose_objects_are_all_difficult_are_refused(tmp_path: Path) -> None:
    root = make_voc(tmp_path / "v", [voc_xml(difficult=1)] * 3)
    with pytest.raises(DataError, match="all 3 objects of split 'all' are difficult.*<difficult>0"):
        open_dataset(root, "all")


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


# ---------------------------------------------------------------- which picture, which corner


def one(root: Path, picture: str, xml: str, box: tuple[float, float, float, float], filename: str = "",
        seed: int = 0) -> None:
    """A picture of noise and its annotation, anywhere."""
    noise(root / picture, seed=seed)
    text = voc_xml((("cat", *box),))
    (root / xml).parent.mkdir(parents=True, exist_ok=True)
    (root / xml).write_text(text.replace("<size>", f"<filename>{filename}</filename><size>") if filename else text)


def truths(root: Path, split: str = "all") -> dict[str, list[list[float]]]:
    """Picture, relative to the root, -> its boxes."""
    data = open_dataset(root, split)
    return {Path(s.file).relative_to(root).as_posix(): s.boxes.tolist() for s in map(data.truth, range(len(data)))}


def test_pictures_of_one_base_name_in_sub_folders_are_two(tmp_path: Path) -> None:
    for k, cam in enumerate(("camA", "camB")):
        one(tmp_path, f"JPEGImages/{cam}/0001.jpg", f"Annotations/{cam}/0001.xml", (3 + k, 3, 20, 20),
            f"{cam}/0001.jpg", k)
    want = {"JPEGImages/camA/0001.jpg": [[2, 2, 20, 20]], "JPEGImages/camB/0001.jpg": [[3, 2, 20, 20]]}
    assert truths(tmp_path) == want
    (tmp_path / "ImageSets/Main").mkdir(parents=True)
    for line in ("camB/0001", "camB\\0001.jpg", "JPEGImages/camB/0001.jpg", "./camB/0001.xml"):
        (tmp_path / "ImageSets/Main/default.txt").write_text(line + "\n")
        assert truths(tmp_path, "all") == {"JPEGImages/camB/0001.jpg": [[3, 2, 20, 20]]}, line


def test_a_picture_is_never_given_anothers_truth(tmp_path: Path) -> None:
    """camA's own picture is lost: that of camB, of the same base name, is no substitute."""
    one(tmp_path, "JPEGImages/camB/0001.jpg", "Annotations/camB/0001.xml", (3, 3, 20, 20), "0001.jpg")
    (tmp_path / "Annotations/camA").mkdir()
    (tmp_path / "Annotations/camA/0001.xml").write_text((tmp_path / "Annotations/camB/0001.xml").read_text())
    with pytest.warns(DataWarning, match=r"the image JPEGImages/camA/0001\.jpg is not there"):
        assert truths(tmp_path) == {"JPEGImages/camB/0001.jpg": [[2, 2, 20, 20]]}


def test_the_filename_tells_where_the_annotations_own_name_does_not(tmp_path: Path) -> None:
    one(tmp_path, "JPEGImages/IMG_20.jpg", "Annotations/0001.xml", (3, 3, 20, 20), "IMG_20.jpg")
    one(tmp_path, "JPEGImages/IMG_21.png", "Annotations/0002.xml", (4, 3, 20, 20), "C:\\photos\\IMG_21.jpg", 1)
    one(tmp_path, "JPEGImages/0003.jpg", "Annotations/0003.xml", (5, 3, 20, 20), "IMG_20.jpg", 2)  # its own name first
    assert truths(tmp_path) == {
        "JPEGImages/IMG_20.jpg": [[2, 2, 20, 20]], "JPEGImages/IMG_21.png": [[3, 2, 20, 20]],
        "JPEGImages/0003.jpg": [[4, 2, 20, 20]],
    }
    for sub in ("a", "b"):
        noise(tmp_path / f"JPEGImages/{sub}/IMG_9.jpg")
    one(tmp_path, "x.jpg", "Annotations/0009.xml", (3, 3, 20, 20), "IMG_9.jpg")
    with pytest.raises(DataError, match=r"0009\.xml, field 'filename': could mean a/IMG_9\.jpg and b/IMG_9\.jpg"):
        truths(tmp_path)


def test_names_with_blanks_and_endings_in_capitals(tmp_path: Path) -> None:
    for k in range(3):
        one(tmp_path, f"JPEGImages/part ({k}).JPG", f"Annotations/part ({k}).XML", (3, 3, 20, 20), seed=k)
    assert len(truths(tmp_path)) == 3
    (tmp_path / "ImageSets/Main").mkdir(parents=True)
    (tmp_path / "ImageSets/Main/train.txt").write_text("part (0)\r\npart (1)\r\n")
    (tmp_path / "ImageSets/Main/val.txt").write_text("part (2)  1\n")  # a list of one class has a second word
    assert (len(truths(tmp_path, "train")), len(truths(tmp_path, "val"))) == (2, 1)


def test_a_listed_picture_without_annotation_has_no_objects(tmp_path: Path) -> None:
    root = make_voc(tmp_path / "v", splits={"train": [0, 1]})
    noise(root / "JPEGImages/empty.jpg", seed=9)
    (root / "ImageSets/Main/train.txt").write_text("v0\nv1\nempty\n")
    with pytest.warns(DataWarning, match="1 picture of the list without annotation"):
        data = open_dataset(root, "train", on_fault="refuse")
    assert len(data) + len(open_dataset(root, "val")) == 3
    (root / "ImageSets/Main/train.txt").write_text("v0\nnowhere\n")
    with pytest.raises(DataError, match=r"train\.txt, record line 2.*'nowhere' is neither an annotation nor a picture"):
        open_dataset(root, "train", on_fault="refuse")


@pytest.mark.parametrize("corner", ["0", "0.0", "10.5"])
def test_a_corner_that_cannot_stand_in_a_file_from_one_tells_for_all(tmp_path: Path, corner: str) -> None:
    boxes = [(("cat", 5, 5, 30, 30),), (("dog", corner, 8, 40, 30),)]
    root = make_voc(tmp_path / "v", [voc_xml(b) for b in boxes], {"train": [0], "val": [1]})  # type: ignore[arg-type]
    with pytest.warns(DataWarning, match=r"corners count from 0 \(.* the first of these in "
                      r"Annotations/v1\.xml\); say --one-based"):
        # told by the other split's file
        np.testing.assert_allclose(open_dataset(root, "train").truth(0).boxes, [[5, 5, 30, 30]])
    np.testing.assert_allclose(open_dataset(root, "val").truth(0).boxes, [[float(corner), 8, 40, 30]])
    np.testing.assert_allclose(open_dataset(root, "train", one_based=True).truth(0).boxes, [[4, 4, 30, 30]])
    slip = make_voc(tmp_path / "slip", [voc_xml((("cat", 5, 5, 30, 30),)), voc_xml((("cat", 0, 0, 0, 0),))])
    # a slip of the mouse tells nothing
    np.testing.assert_allclose(open_dataset(slip, "all").truth(0).boxes, [[4, 4, 30, 30]])


def test_a_lone_list_of_all_is_no_split(tmp_path: Path) -> None:
    root = make_voc(tmp_path / "v", [voc_xml()] * 10, {"default": range(10)})
    (root / "labelmap.txt").write_text("# label:color_rgb:parts:actions\nbackground:0,0,0::\ncat:1,2,3::\n")
    assert splits(root) == ("train", "val", "test", "all") and len(open_dataset(root)) == 8
    assert not examine(root).unused


def test_a_few_slips_do_not_tell_how_the_rest_counts(tmp_path: Path) -> None:
    """As in VOC 2012, some of whose annotations have fractions."""
    rows = [("cat", 1, 5, 30, 30)] * 2 + [("cat", 0, 5, 30, 30), ("dog", 45.7, 8, 55, 30), ("dog", 5, 5, 30, 30)]
    root = make_voc(tmp_path / "v", [voc_xml((r,)) for r in rows])
    with pytest.warns(DataWarning, match=r"count from 1, and a few cannot \(1 corners are 0 and 2 are 1, 1 of 5 boxes "
                      r"have fractions; .*v2\.xml\); say --zero-based"):
        data = open_dataset(root, "all")
    np.testing.assert_allclose(data.truth(4).boxes, [[4, 4, 30, 30]])


def test_difficult_may_be_said_in_words(tmp_path: Path) -> None:
    xml = [voc_xml().replace("<difficult>0", f"<difficult>{w}") for w in ("true", "0", "", "perhaps")]
    with pytest.warns(DataWarning, match="'perhaps' is neither yes nor no"):
        data = open_dataset(make_voc(tmp_path / "v", xml), "all")
    assert [bool(data.truth(i).crowd[0]) for i in range(4)] == [True, False, False, False]


@pytest.mark.parametrize("text", ["<annotations><version>9</version></annotations>", "<View><Image/></View>",
                                  "<html></html>"])
def test_an_xml_of_another_tool_is_no_voc(tmp_path: Path, text: str) -> None:
    (tmp_path / "annotations.xml").write_text(f'<?xml version="1.0"?>\n<!-- made -->\n{text}')
    noise(tmp_path / "images/a.png")
    with pytest.raises(DataError, match="no data set of a known format"):
        open_dataset(tmp_path)


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
    (root / "JPEGImages/v2.jpg").unlink()
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
    assert dict(zip(sets["train"].info.classes.names, counts.tolist())) == {"Platelets": 361, "RBC": 4153, "WBC": 372}


@pytest.mark.data
def test_neu_det(shared_data: Path) -> None:
    train, val = open_dataset(shared_data / "neu_det"), open_dataset(shared_data / "neu_det", "val")
    assert (len(train), len(val), len(train.info.classes)) == (1620, 180, 6)
    assert len(train.table.boxes) + len(val.table.boxes) == 4189  # type: ignore[attr-defined]
    image = val[0].image
    assert image is not None and image.shape == (200, 200, 3)
