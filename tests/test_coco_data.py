"""COCO JSON: what is read, its masks against pycocotools, and what is written."""
from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pycocotools import mask as reference
from pycocotools.coco import COCO

from made_data import coco_doc, make_coco, noise
from stemma.core.types import DataError, Dataset
from stemma.data.doctor import examine
from stemma.data.files import split_name
from stemma.data.open import open_dataset
from stemma.data.readers import rle
from stemma.data.readers.coco import declared_classes, group_name, results, write_coco, write_results
from stemma.data.records import _SAID, DataWarning, Records


def test_arbitrary_ids_become_labels_in_ascending_order(tmp_path: Path) -> None:
    data = open_dataset(make_coco(tmp_path).parent.parent, "all")
    assert isinstance(data, Dataset)
    assert (data.info.classes.names == ("cat", "dog") and data.info.classes.ids == (3, 7)
            and data.info.classes.parent == ("animal", "animal"))
    s = data[1]
    assert s.image is not None and s.image.shape == (40, 60, 3) and s.id == 101
    np.testing.assert_array_equal(s.labels, [1, 0])
    np.testing.assert_allclose(s.boxes, [[5, 6, 25, 16], [6, 6, 26, 16]])
    np.testing.assert_allclose(s.area, [200, 200])
    assert data.truth(1).image is None and s.masks is None and data.info.kinds == ("boxes",)


def test_polygons_and_both_run_lengths_equal_pycocotools(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    blob = rng.random((40, 60)) > 0.5
    compressed = rle.encode(blob)
    uncompressed = {"size": [40, 60], "counts": [100, 7, 40 * 60 - 107]}
    polygons = [[5.5, 6.2, 20.1, 8.0, 12.0, 30.7], [30, 10, 50, 10, 50, 35, 30, 35]]
    doc = coco_doc(1)
    doc["annotations"] = [
        {"id": k, "image_id": 100, "category_id": 3, "bbox": [1, 1, 50, 38], "iscrowd": int(k > 0), "segmentation": seg}
        for k, seg in enumerate((polygons, compressed, uncompressed))
    ]
    s = open_dataset(make_coco(tmp_path, doc, images=1), "all").truth(0)
    assert s.masks is not None
    want = [reference.decode(reference.merge(reference.frPyObjects(polygons, 40, 60))), blob,
            reference.decode(reference.frPyObjects(uncompressed, 40, 60))]
    for got, expected in zip(s.masks, want):
        np.testing.assert_array_equal(got, np.asarray(expected).astype(bool))
    np.testing.assert_array_equal(s.crowd, [False, True, True])
    np.testing.assert_allclose(s.area, [w.sum() for w in want])  # no area is given: that of the mask
    assert s.semantic is not None and set(np.unique(s.semantic)) <= {0, 1, 255}
    assert (s.semantic[s.masks[0]] == 1).all(), "what is labelled singly shows over crowds"


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.floats(-20, 80, width=32), min_size=6, max_size=20).filter(lambda p: len(p) % 2 == 0),
                min_size=1, max_size=3))
def test_rasterised_polygons_equal_pycocotools(polygons: list[list[float]]) -> None:
    want = reference.decode(reference.merge(reference.frPyObjects(polygons, 40, 60)))
    np.testing.assert_array_equal(rle.decode(polygons, 40, 60), want.astype(bool))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 30), st.integers(1, 30), st.floats(0, 1))
def test_sound_strings_pass_and_cut_ones_do_not(seed: int, h: int, w: int, share: float) -> None:
    masks = [np.random.default_rng(seed + k).random((h, w)) < share for k in range(4)]
    strings = [rle.encode(m)["counts"] for m in masks]
    assert not rle.string_faults(strings, np.full(4, h * w)).any()
    for m, s in zip(masks, strings):
        np.testing.assert_array_equal(rle.decode({"size": [h, w], "counts": s}, h, w), m)
    assert rle.string_faults(strings, np.full(4, h * w + 1)).all()
    assert rle.string_faults([strings[0] + "P", "\x7f" + strings[1], ""], np.full(3, h * w)).all()


def test_images_are_found_where_they_lie(tmp_path: Path) -> None:
    for folder in ("", "train2017", "images", "images/train2017", "data"):
        root = tmp_path / folder.replace("/", "_")
        make_coco(root / "made")
        (root / "set" / folder).mkdir(parents=True)
        for p in (root / "made/images/train").iterdir():
            p.rename(root / "set" / folder / p.name)
        (root / "set/annotations").mkdir()
        (root / "made/annotations/instances_train.json").rename(root / "set/annotations/instances_train2017.json")
        data = open_dataset(root / "set", "all")
        assert len(data) == 3 and data[0].image is not None


# ---------------------------------------------------------------- names, ids and truth values as tools write them


def renamed(root: Path, name: Any, images: int = 3, **more: Any) -> Path:
    """A COCO folder whose pictures lie in images/train; `name(i)` is what the JSON calls them."""
    doc = coco_doc(images)
    for i, im in enumerate(doc["images"]):
        im["file_name"] = name(i)
    return make_coco(root, doc | more, images=images)


@pytest.mark.parametrize("name", [
    lambda i: f"images\\train\\{i}.png", lambda i: f".\\train\\{i}.png", lambda i: f"./{i}.png",
    lambda i: f"images//train/./{i}.png",
])
def test_a_separator_is_only_a_spelling(tmp_path: Path, name: Any) -> None:
    path = renamed(tmp_path, name)
    data = open_dataset(path, "all", on_fault="refuse")
    assert len(data) == 3 and [Path(data[i].file).name for i in range(3)] == ["0.png", "1.png", "2.png"]
    assert not examine(tmp_path).faults


@pytest.mark.parametrize("name", [
    lambda i: f"D:\\jobs\\{i}.png", lambda i: f"..\\label\\{i}.png", lambda i: f"/home/someone/x/{i}.png",
    lambda i: f"upload/1/{i}.png",
])
def test_paths_of_another_machine_lead_to_the_pictures_that_are_there(tmp_path: Path, name: Any) -> None:
    path = renamed(tmp_path, name)
    with pytest.warns(DataWarning, match=r"3 file names, as '.*0\.png', lead nowhere below .*found by the last parts"):
        data = open_dataset(path, "all", on_fault="refuse")
    assert [Path(data[i].file) for i in range(3)] == [tmp_path / f"images/train/{i}.png" for i in range(3)]


def test_a_path_of_another_machine_that_two_pictures_fit_is_named(tmp_path: Path) -> None:
    path = renamed(tmp_path, lambda i: f"D:\\jobs\\{i}.png")
    noise(tmp_path / "images/other/1.png")
    data = open_dataset(path, "train")  # the split's own folder decides
    assert {Path(data[i].file).parent for i in range(len(data))} == {tmp_path / "images/train"}
    noise(tmp_path / "more/0.png")
    (tmp_path / "images/train").rename(tmp_path / "images/some")
    with pytest.raises(DataError, match=r"image 100, field 'file_name'.*could mean images/some/0\.png and more/0\.png"):
        open_dataset(path, "all")


def test_pictures_from_the_folder_of_another_split_are_said(tmp_path: Path) -> None:
    path = make_coco(tmp_path)
    (tmp_path / "images/train").rename(tmp_path / "images/val")
    with pytest.warns(DataWarning, match="pictures of split 'train' are taken from images/val"):
        open_dataset(path, "train")


def test_ids_and_crowds_may_be_text(tmp_path: Path) -> None:
    doc = coco_doc()
    for im in doc["images"]:
        im["id"] = str(im["id"])
    for a in doc["annotations"]:
        a["category_id"], a["iscrowd"], a["id"] = str(a["category_id"]), "0", float(a["id"])
    doc["annotations"][3]["iscrowd"] = "1"
    doc["annotations"][4]["iscrowd"] = "perhaps"
    path = make_coco(tmp_path, doc)
    with pytest.warns(DataWarning, match="annotation 20, field 'iscrowd': 'perhaps' is neither yes nor no"):
        data = open_dataset(path, "all")
    assert [data.truth(i).crowd.tolist() for i in range(3)] == [[False, False], [False, True], [False, False]]
    assert ([data.truth(i).labels.tolist() for i in range(3)] == [[1, 0]] * 3
            and [data.truth(i).id for i in range(3)] == [100, 101, 102])


def test_ids_that_are_words_get_numbers_of_their_own(tmp_path: Path) -> None:
    doc = coco_doc()
    doc["images"][0]["id"], doc["images"][2]["id"] = "b", "a"
    for a in doc["annotations"]:
        a["image_id"] = {100: "b", 102: "a"}.get(a["image_id"], a["image_id"])
    data = open_dataset(make_coco(tmp_path, doc), "all")
    assert [(Path(data.truth(i).file).name, data.truth(i).id) for i in range(3)] == [("1.png", 101), ("2.png", 103),
                                                                                     ("0.png", 102)]


def test_lvis_gives_the_address_alone(tmp_path: Path) -> None:
    doc = coco_doc()
    for im in doc["images"]:
        im["coco_url"] = f"http://images.example.org/train/{im.pop('file_name')}"
    assert len(open_dataset(make_coco(tmp_path, doc), "all", on_fault="refuse")) == 3


def test_keypoints_that_no_category_names_are_read(tmp_path: Path) -> None:
    doc = coco_doc()
    for a in doc["annotations"]:
        a["keypoints"] = [6, 7, 2, 10, 9, 1, 0, 0, 0]
    for categories in (doc["categories"], [c | {"keypoints": []} for c in doc["categories"]]):
        path = make_coco(tmp_path / str(len(categories[0])), doc | {"categories": categories})
        with pytest.warns(DataWarning, match="6 annotations have 3 keypoints that no category names; they are called "
                          "point_0 to point_2"):
            data = open_dataset(path, "all")
        assert data.info.points is not None and data.info.points.names == ("point_0", "point_1", "point_2")
        np.testing.assert_array_equal(data.truth(0).keypoints[0], [[6, 7, 2], [10, 9, 1], [0, 0, 0]])
        assert any("point_0" in n for n in examine(path).notes)


def test_boxes_beside_their_own_masks_are_taken_from_them(tmp_path: Path) -> None:
    """y counted from below; corners in the place of width and height; and what differs by a pixel only."""
    doc = coco_doc()
    ring = [5, 4, 25, 4, 25, 12, 5, 12]
    boxes = [[5, 40 - 12, 20, 8], [5, 4, 25, 12], [5, 4, 20, 8], [5, 4, 21, 9], [5, 4, 20, 8], [5, 4, 20, 8]]
    for a, b in zip(doc["annotations"], boxes):
        a |= {"bbox": b, "segmentation": [ring]}
    doc["annotations"][4] |= {"bbox": [0, 30, 5, 5], "segmentation": {"size": [40, 60], "counts": [164, 8, 2228]}}
    # of two pixels, and no fault
    doc["annotations"][5] |= {"bbox": [7, 7, 1.5, 1.5], "segmentation": [[7, 7, 7.6, 7, 7.6, 7.6, 7, 7.6]]}
    path = make_coco(tmp_path, doc)
    with pytest.warns(DataWarning, match=r"2 x box beside mask.*annotation 0 of .*the box \(5, 28, 25, 36\) lies "
                      r"beside its own mask, which fills \(5, 4, 25, 12\)"):
        data = open_dataset(path, "all")
    found = np.concatenate([data.truth(i).boxes for i in range(3)])
    np.testing.assert_array_equal(found[[0, 4]], [[5, 4, 25, 12], [4, 4, 5, 12]])
    np.testing.assert_array_equal(found[[1, 2, 3]], [[5, 4, 30, 16], [5, 4, 25, 12], [5, 4, 26, 13]])
    faults = [f for f in examine(path).faults if f.kind == "box beside mask"]
    assert [f.record for f in faults] == ["annotation 0 of images/train/0.png", "annotation 20 of images/train/2.png"]


def test_data_of_crowds_alone_are_refused(tmp_path: Path) -> None:
    doc = coco_doc()
    for a in doc["annotations"]:
        a["iscrowd"] = 1
    path = make_coco(tmp_path, doc)
    with pytest.raises(DataError, match="all 6 objects of split 'all' are crowds.*nothing is left to learn"):
        open_dataset(path, "all")
    report = examine(path)
    assert report.refused and [f.kind for f in report.faults] == ["all crowd"]


def test_roboflow_layout_one_folder_a_split(tmp_path: Path) -> None:
    for split in ("train", "valid"):
        make_coco(tmp_path / split)
        (tmp_path / split / "annotations/instances_train.json").rename(tmp_path / split / "_annotations.coco.json")
        for p in (tmp_path / split / "images/train").iterdir():
            p.rename(tmp_path / split / p.name)
    assert len(open_dataset(tmp_path, "val")) == 3
    assert "valid" in open_dataset(tmp_path, "val")[0].file


def test_a_root_row_that_nothing_uses_is_no_class(tmp_path: Path) -> None:
    def doc() -> dict[str, Any]:
        rows = [{"id": 0, "name": "animal", "supercategory": "none"}, *coco_doc()["categories"]]
        return coco_doc() | {"categories": rows}

    make_coco(tmp_path, doc())
    make_coco(tmp_path, doc(), "val")
    for split in ("train", "val"):
        with pytest.warns(DataWarning, match="'animal' has no annotation and is the supercategory of all others"):
            _SAID.clear()
            data = open_dataset(tmp_path, split)
        assert data.info.classes.names == ("cat", "dog") and data.info.classes.ids == (3, 7)
    used = doc()
    used["annotations"][0]["category_id"] = 0
    make_coco(tmp_path, used, "val")
    for split in ("train", "val"):  # one annotation of any split makes it a class of all
        assert open_dataset(tmp_path, split).info.classes.names == ("animal", "cat", "dog")
    other = doc()
    other["categories"][1]["supercategory"] = "pet"
    path = make_coco(tmp_path / "b", other)
    assert open_dataset(path, "all").info.classes.names == ("animal", "cat", "dog")


def test_keypoints(tmp_path: Path) -> None:
    doc = coco_doc(2)
    doc["categories"][0] |= {"keypoints": ["nose", "left_eye", "right_eye"], "skeleton": [[1, 2], [1, 3]]}
    doc["annotations"][0]["keypoints"] = [1, 2, 2, 3, 4, 1, 0, 0, 0]
    doc["annotations"][2]["keypoints"] = [1, 2, 3]
    with pytest.warns(DataWarning, match="broken keypoints"):
        data = open_dataset(make_coco(tmp_path, doc, images=2), "all")
    points = data.info.points
    assert (points is not None and points.flip == (0, 2, 1) and points.lines == ((0, 1), (0, 2))
            and len(points.sigmas) == 3)
    first = data.truth(0).keypoints
    assert first is not None and first.shape == (2, 3, 3)
    np.testing.assert_array_equal(first[0], [[1, 2, 2], [3, 4, 1], [0, 0, 0]])
    other = data.truth(1).keypoints
    assert other is not None and not other.any()


def test_narrow_prepares_what_is_asked(tmp_path: Path) -> None:
    doc = coco_doc(1)
    for a in doc["annotations"]:
        a["segmentation"] = [[5, 6, 25, 6, 25, 16]]
    data = open_dataset(make_coco(tmp_path, doc, images=1), "all")
    assert data.truth(0).masks is not None and data.truth(0).semantic is not None
    assert data.narrow({"boxes"}).truth(0).masks is None  # type: ignore[attr-defined]
    assert data.info.semantic is not None and data.info.semantic.names == ("background", "cat", "dog")


def test_labels_follow_a_checkpoints_classes(tmp_path: Path) -> None:
    from stemma.core.types import Classes

    path = make_coco(tmp_path)
    data = open_dataset(path, "all", classes=Classes(("horse", "dog", "cat")))
    np.testing.assert_array_equal(data.truth(0).labels, [1, 2])
    assert data.info.classes.names == ("horse", "dog", "cat")
    with pytest.raises(DataError, match="only the data has 'cat'"):
        open_dataset(path, "all", classes=Classes(("horse", "dog")))


def test_fingerprint_speaks_of_annotations_and_files(tmp_path: Path) -> None:
    path = make_coco(tmp_path)
    before = open_dataset(path, "all").fingerprint
    assert open_dataset(path, "all").fingerprint == before
    doc = coco_doc()
    doc["annotations"][0]["bbox"][0] += 1
    path.write_text(json.dumps(doc))
    assert open_dataset(path, "all").fingerprint != before


def test_written_truth_reads_back_and_pycocotools_takes_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    doc = coco_doc(2)
    for a in doc["annotations"]:
        a["segmentation"] = [[5, 6, 25, 6, 25, 16, 5, 16]]
    data = open_dataset(make_coco(tmp_path / "a", doc, images=2), "all")
    out = write_coco(data, tmp_path / "a/out.json")
    again = open_dataset(out, images=tmp_path / "a/images/train", split="all")
    for i in range(2):
        a, b = data.truth(i), again.truth(i)
        np.testing.assert_allclose(a.boxes, b.boxes)
        np.testing.assert_array_equal(a.labels, b.labels)
        np.testing.assert_array_equal(a.masks, b.masks)
        assert a.id == b.id
    truth = COCO(str(out))
    predictions = [{"boxes": data.truth(i).boxes, "scores": [0.5, 0.9], "labels": data.truth(i).labels,
                    "masks": data.truth(i).masks} for i in range(2)]
    found = truth.loadRes(str(write_results(tmp_path / "r.json", predictions, [100, 101], data.info.classes)))
    assert len(found.anns) == 4 and {a["category_id"] for a in found.anns.values()} == {3, 7}
    assert results(predictions, [100, 101], data.info.classes)[0]["bbox"] == pytest.approx([5, 6, 20, 10])
    capsys.readouterr()


def test_written_truth_tells_pictures_of_one_base_name_apart(tmp_path: Path) -> None:
    doc = coco_doc(2)
    for cam, im in zip(("camA", "camB"), doc["images"]):
        noise(tmp_path / f"images/{cam}/1.png")
        im["file_name"] = f"{cam}/1.png"
    (tmp_path / "annotations.json").write_text(json.dumps(doc))
    data = open_dataset(tmp_path, "all")
    names = [im["file_name"] for im in json.loads(write_coco(data, tmp_path / "out.json").read_text())["images"]]
    assert names == ["camA/1.png", "camB/1.png"]
    again = json.loads(write_coco(data, tmp_path / "out2.json", tmp_path).read_text())["images"]
    assert [im["file_name"] for im in again] == ["images/camA/1.png", "images/camB/1.png"]


def test_names_of_splits_and_groups() -> None:
    assert [split_name(n) for n in ("instances_train2017", "val", "my-valid", "test_1", "contest", "training",
                                    "x_validation_2", "trainer")] == [
                                        "train", "val", "val", "test", "", "train", "val", ""]
    assert group_name("instances_train2017") == group_name("instances_val2017") == "instances"
    assert group_name("train") == "annotations"


# ---------------------------------------------------------------- faults of records


def fault_kinds(path: Path, **options: object) -> dict[str, int]:
    data = open_dataset(path, "all", on_fault="report", **options)
    out: dict[str, int] = {}
    for f in data.faults:  # type: ignore[attr-defined]
        assert f.file and f.problem and f.mend
        out[f.kind] = out.get(f.kind, 0) + 1
    return out


def test_faults_that_are_mended(tmp_path: Path) -> None:
    doc = coco_doc(5)
    rows = doc["annotations"]
    rows[0]["bbox"] = [5, 5, float("nan"), 4]
    rows[1]["bbox"] = [5, 5, 0, 4]
    rows[2]["bbox"] = [70, 5, 10, 4]
    rows[3]["bbox"] = [50, 30, 30, 30]
    rows[4]["image_id"] = 999
    doc["images"].append({"id": 500, "file_name": "gone.png", "height": 40, "width": 60})
    doc["images"].append(dict(doc["images"][0]))
    del doc["images"][1]["height"]
    rows.append({"id": 50, "image_id": 102, "category_id": 3})
    rows.append({"id": 50, "image_id": 102, "category_id": 3, "bbox": "wide"})
    rows.append({"id": 51, "image_id": 102, "category_id": 3, "bbox": [1, 2, "x", 4]})
    rows[6]["bbox"], rows[7]["bbox"] = [50, 30, 30, 30], [1, 2, 1, 1]
    path = make_coco(tmp_path, doc, images=5)
    kinds = fault_kinds(path)
    assert kinds == {"box not finite": 2, "degenerate box": 1, "box outside": 1, "box partly outside": 2,
                     "unknown image": 1, "missing image": 1, "duplicate id": 2, "no size": 1, "broken record": 2}
    with pytest.warns(DataWarning, match=r"mended 13 faults .*; 4 pictures are left out; .*`stemma doctor`"):
        data = open_dataset(path, "all")
    # a picture of which an object cannot be read is left out: without it the object would be background
    assert data.table.files == ["images/train/3.png", "images/train/4.png"]  # type: ignore[attr-defined]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        open_dataset(path, "all")  # said once
    np.testing.assert_allclose(data.truth(0).boxes, [[50, 30, 60, 40], [1, 2, 2, 3]])  # a one-pixel box is a box
    rows.append("no record")  # of which image, nobody can say
    with pytest.raises(DataError, match="annotation 13: is no object, so its image is not known"):
        open_dataset(make_coco(tmp_path / "b", doc, images=5), "all")
    with pytest.raises(DataError, match="categor|box|image"):
        open_dataset(path, "all", on_fault="refuse")


def test_a_crowd_outside_its_picture_is_left_out_alone(tmp_path: Path) -> None:
    """It covers nothing of the picture, which stays with its objects; of one whose mask lies inside the mask is
    meant."""
    doc = coco_doc(3)
    rows = doc["annotations"]
    for k, seg in ((1, []), (3, [[70, 5, 80, 5, 80, 9]]), (5, [[7, 5, 18, 5, 18, 9]])):
        rows[k] |= {"bbox": [70, 5, 10, 4], "iscrowd": 1, "segmentation": seg}
    path = make_coco(tmp_path, doc)
    data = open_dataset(path, "all")
    assert isinstance(data, Records) and data.table.files == [f"images/train/{k}.png" for k in range(3)]
    assert data.table.record.tolist() == [0, 10, 20, 21]
    assert data.table.crowd.tolist() == [False, False, False, True] and data.table.boxes[3].tolist() == [7, 5, 18, 9]
    said = [(f.record, f.mend) for f in data.faults if f.kind == "box outside"]
    assert sorted(said) == [("annotation 1 of images/train/0.png", "it is left out"),
                            ("annotation 11 of images/train/1.png", "it is left out"),
                            ("annotation 21 of images/train/2.png", "it is taken from the mask")]


def test_a_crowd_without_extent_hides_nothing_and_an_object_without_extent_has_that_of_its_mask(
    tmp_path: Path
) -> None:
    doc = coco_doc(4)
    rows, outline = doc["annotations"], [[7, 5, 18, 5, 18, 9]]
    for k, crowd, seg in ((1, 1, []), (3, 1, outline), (5, 0, outline), (7, 0, [])):
        rows[k] |= {"bbox": [7, 5, 0, 4], "iscrowd": crowd, "segmentation": seg}
    rows[4]["bbox"] = [float("nan"), 5, 3, 4]
    rows[4]["segmentation"] = {"size": [40, 60], "counts": [40 * 10, 5, 40 * 50 - 5]}
    data = open_dataset(make_coco(tmp_path, doc, images=4), "all", on_fault="report")
    assert isinstance(data, Records) and data.table.files == [f"images/train/{k}.png" for k in range(3)]
    assert data.table.record.tolist() == [0, 10, 11, 20, 21]
    assert data.table.boxes[[2, 3, 4]].tolist() == [[7, 5, 18, 9], [10, 0, 11, 5], [7, 5, 18, 9]]
    said = {f.record.split()[1]: (f.kind, f.mend) for f in data.faults if "box" in f.kind}
    assert said == {"1": ("degenerate box", "it is left out"), "11": ("degenerate box", "it is taken from the mask"),
                    "20": ("box not finite", "it is taken from the mask"),
                    "21": ("degenerate box", "it is taken from the mask"),
                    "31": ("degenerate box", "the picture is left out; --drop-records leaves out this record alone")}


@pytest.mark.parametrize("extra", [{}, {"visible_mask": None, "regions": None, "id": "word"}])
def test_what_is_to_be_ignored_is_a_crowd_and_it_is_said(tmp_path: Path, extra: dict[str, object]) -> None:
    """`ignore`, which COCO's older files and many tools have beside iscrowd or in its place."""
    doc = coco_doc(2)
    for row, value in zip(doc["annotations"], (1, 0, "1", True)):
        row["ignore"] = value
    doc["annotations"][3] |= {"iscrowd": 1}
    doc["annotations"][0] |= extra
    data = open_dataset(make_coco(tmp_path, doc, images=2), "all", on_fault="report")
    assert isinstance(data, Records) and data.table.crowd.tolist() == [True, False, True, True]
    assert [n for n in data.notes if "2 annotations have 'ignore' 1" in n] and not data.faults


def test_numbers_as_text_are_numbers_whatever_others_are(tmp_path: Path) -> None:
    doc = coco_doc(2)
    for row, box in zip(doc["annotations"], (["5", "6.5", "20", "10"], [5, 6, "20", 10], [5, 6, "20px", 10])):
        row["bbox"] = box
    data = open_dataset(make_coco(tmp_path, doc, images=2), "all", on_fault="report")
    assert isinstance(data, Records) and data.table.boxes.tolist() == [[5, 6.5, 25, 16.5], [5, 6, 25, 16]]
    assert [(f.kind, f.record) for f in data.faults] == [("box not finite", "annotation 10 of images/train/1.png")]


def test_a_document_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And a list that stands twice in it is seen nevertheless, however large it is."""
    place = make_coco(tmp_path)
    monkeypatch.setattr(Path, "read_bytes", lambda self: pytest.fail("it is read a second time"))
    open_dataset(place, "all")
    monkeypatch.undo()
    text = place.read_text()
    place.write_text(text.replace('"annotations": [', '"annotations": [], "annotations": [', 1))
    with pytest.raises(DataError, match="has the list 'annotations' twice"):
        open_dataset(place, "all")


def test_broken_masks_fall_back_to_their_boxes(tmp_path: Path) -> None:
    doc = coco_doc(3)
    bad = [[[1, 2, 3, 4]], {"size": [40, 60], "counts": [3]}, {"size": [4, 6], "counts": [24]},
           {"size": [40, 60], "counts": "zzzz"}, [[float("nan")] * 6], [[5, 6, 25, 6, 25, 16], [1, 2]]]
    for a, seg in zip(doc["annotations"], bad):
        a["segmentation"] = seg
    path = make_coco(tmp_path, doc)
    assert fault_kinds(path) == {"broken mask": 6}
    with pytest.warns(DataWarning, match="broken mask"):
        data = open_dataset(path, "all")
    masks = data.truth(0).masks
    assert masks is not None and masks[0].sum() == 200 and masks[0, 6:16, 5:25].all()
    sound = data.truth(2).masks
    assert sound is not None
    np.testing.assert_array_equal(sound[1], rle.decode([[5, 6, 25, 6, 25, 16]], 40, 60))


def test_splits_whose_class_lists_disagree_are_refused(tmp_path: Path) -> None:
    from stemma.core.types import Classes

    make_coco(tmp_path)
    other = coco_doc(2)
    other["categories"][1]["name"] = "cow"
    make_coco(tmp_path, other, "val", images=2)
    for split in ("train", "val"):
        with pytest.raises(DataError, match=f"instances_{split}.*'categories': the class list disagrees with that of "
                           ".*only train has 'cat'|only val has 'cow'"):
            open_dataset(tmp_path, split)
    assert len(open_dataset(tmp_path, "val", classes=Classes(("dog", "cow", "cat")))) == 2
    assert declared_classes(tmp_path / "annotations/instances_val.json") == ("cow", "dog")
    (tmp_path / "annotations/instances_val.json").write_text('{"annotations": [], "images": [], '
                                                             '"categories": [{"id": 1,')
    assert declared_classes(tmp_path / "annotations/instances_val.json") == () and len(open_dataset(tmp_path)) == 3


def test_unknown_class_is_refused(tmp_path: Path) -> None:
    doc = coco_doc()
    doc["annotations"][2]["category_id"] = 99
    path = make_coco(tmp_path, doc)
    with pytest.raises(DataError, match="annotation 10.*category_id.*99"):
        open_dataset(path, "all")
    assert fault_kinds(path) == {"unknown class": 1}


@pytest.mark.parametrize(("change", "said"), [
    ({"images": []}, "no images"),
    ({"annotations": []}, "no objects in any"),
    ({"categories": []}, "no categories"),
    ({"categories": [{"id": 1, "name": "a"}, {"id": 1, "name": "b"}]}, "two categories have the id"),
    ({"categories": [{"id": 1, "name": "a"}, {"id": 2, "name": "a"}]}, "two categories have the name"),
    ({"categories": [{"id": "x", "name": "a"}]}, "category 0"),
    ({"images": None}, "no list 'images'"),
])
def test_documents_without_use_are_refused(tmp_path: Path, change: dict[str, object], said: str) -> None:
    with pytest.raises(DataError, match=said):
        open_dataset(make_coco(tmp_path, coco_doc(**change)), "all", format="coco")


# ---------------------------------------------------------------- no reader lets another exception escape

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
    | st.sampled_from([1e400, 10**30, "0.png", "../x", "/etc/passwd"]),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.sampled_from(
        ["id", "image_id", "category_id", "bbox", "segmentation", "file_name", "height", "width", "name", "counts",
         "size", "keypoints", "iscrowd", "area"]),
        inner, max_size=6),
    max_leaves=20,
)


@pytest.mark.whole
@settings(max_examples=150, deadline=None,
          suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.lists(JSON, max_size=3), st.lists(JSON, max_size=4), st.lists(JSON, max_size=2), st.booleans())
def test_fuzzed_documents_raise_data_errors_alone(tmp_path: Path, images: list[object], annotations: list[object],
                                                  categories: list[object], mix: bool) -> None:
    doc = coco_doc(1)
    base = doc if mix else {"images": [], "annotations": [], "categories": []}
    fuzzed = {"images": base["images"] + images, "annotations": base["annotations"] + annotations,
              "categories": base["categories"] + categories}
    if mix:  # records that reach deeper: sound but for one field
        for a in annotations:
            if isinstance(a, dict):
                fuzzed["annotations"].append(dict(doc["annotations"][0]) | a)
        for im in images:
            if isinstance(im, dict):
                fuzzed["images"].append(dict(doc["images"][0]) | im)
    path = make_coco(tmp_path, fuzzed, images=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for mode in ("report", "mend"):
            try:
                data = open_dataset(path, "all", format="coco", on_fault=mode)
                for i in range(len(data)):
                    s = data.truth(i)
                    assert np.isfinite(s.boxes).all() and (s.boxes[:, 2:] > s.boxes[:, :2]).all()
            except DataError:
                pass  # the one exception that may escape


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200), st.integers(0, 900))
def test_fuzzed_bytes_raise_data_errors_alone(tmp_path: Path, raw: bytes, cut: int) -> None:
    sound = json.dumps(coco_doc(1)).encode()
    path = make_coco(tmp_path, sound[:cut] + raw + sound[cut + len(raw) :], images=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            open_dataset(path, "all", on_fault="report")
        except DataError as e:
            assert str(path) in str(e) or "train" in str(e)


# ---------------------------------------------------------------- real


@pytest.mark.data
def test_coco549(shared_data: Path) -> None:
    counts = {"train": (343, 2974), "val": (206, 1786)}
    for split, (images, objects) in counts.items():
        data = open_dataset(shared_data / "coco549", split)
        assert ((len(data), len(data.info.classes)) == (images, 80)
                and data.counts().sum() == objects)
        assert (data.counts() > 0).all() and not data.faults  # type: ignore[attr-defined]
        assert data.info.classes.ids[-1] == 90 and {"boxes", "masks"} <= set(data.info.kinds)
    doc = json.loads((shared_data / "coco549/annotations/instances_val2017.json").read_text())
    sizes = {im["id"]: (im["height"], im["width"]) for im in doc["images"]}
    position = {int(i): k for k, i in enumerate(data.table.ids)}  # type: ignore[attr-defined]
    for a in doc["annotations"][::97]:
        h, w = sizes[a["image_id"]]
        seg = a["segmentation"]
        want = reference.decode(reference.merge(reference.frPyObjects(seg, h, w)) if isinstance(seg, list)
                                else reference.frPyObjects(seg, h, w))
        s = data.truth(position[a["image_id"]])
        assert s.masks is not None and any((m == want.astype(bool)).all() for m in s.masks)


@pytest.mark.data
@pytest.mark.parametrize(("split", "images"), [("train", 130), ("val", 128)])
def test_coco549_keypoints(shared_data: Path, split: str, images: int) -> None:
    data = open_dataset(shared_data / "coco549", split, which="person_keypoints")
    points = data.info.points
    assert len(data) == images and points is not None and len(points.names) == 17 and points.sigmas[0] == 0.026
    assert points.flip[5] == 6 and points.flip[6] == 5 and points.flip[0] == 0 and points.lines[0] == (15, 13)
    s = data[0]
    assert s.image is not None and s.keypoints is not None and s.keypoints.shape[1:] == (17, 3)
