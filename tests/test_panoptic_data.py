"""COCO panoptic: colours to segments, things and stuff, and the same pictures in other encodings."""
from __future__ import annotations

import json
import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from made_data import noise
from stemma.core.types import DataError
from stemma.data.open import open_dataset, recognise
from stemma.data.readers.panoptic import decode, encode
from stemma.data.records import DataWarning


def make_panoptic(root: Path, **change: Any) -> Path:
    """One picture with two things (one a crowd), one stuff and a void corner."""
    ids = np.full((40, 60), 70_000, np.int32)
    ids[5:15, 5:25], ids[20:30, 30:50], ids[35:, 55:] = 300, 9, 0
    noise(root / "images/a.jpg")
    (root / "panoptic_train").mkdir(parents=True, exist_ok=True)
    Image.fromarray(encode(ids)).save(root / "panoptic_train/a.png")
    segments = [{"id": 9, "category_id": 4, "iscrowd": 1, "bbox": [30, 20, 20, 10], "area": 200},
                {"id": 70_000, "category_id": 50, "iscrowd": 0, "bbox": [0, 0, 60, 40], "area": 1975},
                {"id": 300, "category_id": 2, "iscrowd": 0, "bbox": [5, 5, 20, 10], "area": 200}]
    doc: dict[str, Any] = {
        "images": [{"id": 1, "file_name": "a.jpg", "height": 40, "width": 60}],
        "annotations": [{"image_id": 1, "file_name": "a.png", "segments_info": segments}],
        "categories": [{"id": 2, "name": "cat", "isthing": 1}, {"id": 50, "name": "sky", "isthing": 0},
                       {"id": 4, "name": "dog", "isthing": 1}],
    } | change
    (root / "panoptic_train.json").write_text(json.dumps(doc))
    return root


def test_segments_things_and_stuff(tmp_path: Path) -> None:
    data = open_dataset(make_panoptic(tmp_path / "p"), "all")
    info = data.info
    assert (recognise(tmp_path / "p") == "panoptic" and info.classes.names == ("cat", "dog")
            and info.panoptic is not None)
    assert (info.panoptic.names == ("cat", "dog", "sky") and info.panoptic.things == (True, True, False)
            and info.semantic == info.panoptic)
    s = data[0]
    assert (s.panoptic is not None and s.segments is not None and s.segments_crowd is not None
            and s.semantic is not None and s.masks is not None)
    assert s.segments.tolist() == [1, 2, 0] and s.segments_crowd.tolist() == [True, False, False]
    assert (s.panoptic[5:15, 5:25] == 3).all() and s.panoptic[39, 59] == 0 and s.panoptic[0, 0] == 2
    assert s.semantic[39, 59] == 255 and s.semantic[0, 0] == 2 and s.semantic[6, 6] == 0
    np.testing.assert_array_equal(s.labels, [1, 0])
    np.testing.assert_array_equal(s.boxes, [[30, 20, 50, 30], [5, 5, 25, 15]])
    assert (s.crowd.tolist() == [True, False] and s.masks.sum((1, 2)).tolist() == [200, 200]
            and s.masks[1, 5:15, 5:25].all())


def test_boxes_are_found_in_the_map_where_the_json_has_none(tmp_path: Path) -> None:
    root = make_panoptic(tmp_path / "p")
    doc = json.loads((root / "panoptic_train.json").read_text())
    for s in doc["annotations"][0]["segments_info"]:
        del s["bbox"], s["area"]
    (root / "panoptic_train.json").write_text(json.dumps(doc))
    np.testing.assert_array_equal(open_dataset(root, "all").truth(0).boxes, [[30, 20, 50, 30], [5, 5, 25, 15]])


def test_an_id_without_a_segment_is_named(tmp_path: Path) -> None:
    root = make_panoptic(tmp_path / "p")
    Image.fromarray(encode(np.full((40, 60), 12_345, np.int32))).save(root / "panoptic_train/a.png")
    with pytest.raises(DataError, match=r"a\.png: has the id 12345, which segments_info does not name"):
        open_dataset(root, "all").truth(0)


def test_stuff_alone_has_maps_and_no_objects(tmp_path: Path) -> None:
    categories = [{"id": k, "name": str(k), "isthing": "0"} for k in (2, 4, 50)]
    data = open_dataset(make_panoptic(tmp_path / "q", categories=categories), "all")
    assert data.info.kinds == ("semantic", "panoptic") and data.info.panoptic is not None
    s = data[0]
    assert (s.panoptic is not None and s.semantic is not None and not len(s.boxes)
            and set(np.unique(s.semantic)) == {0, 1, 2, 255})


def test_the_area_of_a_segment_is_counted_where_it_is_not_said(tmp_path: Path) -> None:
    root = make_panoptic(tmp_path / "p")
    doc = json.loads((root / "panoptic_train.json").read_text())
    ids = np.full((40, 60), 70_000, np.int32)
    ids[5:15, 5:25], ids[20:30, 30:50] = 300, 9
    ids[6:14, 6:24] = 70_000  # a ring: far less than its box
    Image.fromarray(encode(ids)).save(root / "panoptic_train/a.png")
    for s in doc["annotations"][0]["segments_info"]:
        del s["area"]
    (root / "panoptic_train.json").write_text(json.dumps(doc))
    assert open_dataset(root, "all").truth(0).area.tolist() == [200, 200 - 8 * 18]


def test_pictures_of_one_base_name_have_their_own_segments(tmp_path: Path) -> None:
    """The same ids mean road and car in one folder, car and road in the other; Windows wrote the names."""
    doc: dict[str, Any] = {"images": [], "annotations": [], "categories": [
        {"id": 1, "name": "road", "isthing": 0}, {"id": 2, "name": "car", "isthing": 1}]}
    for i, (cam, road, car) in enumerate((("camA", 1, 2), ("camB", 2, 1))):
        ids = np.full((40, 60), road, np.int32)
        ids[10:20, 10 + i : 30] = car
        noise(tmp_path / f"images/{cam}/0001.jpg", seed=i)
        (tmp_path / "panoptic" / cam).mkdir(parents=True)
        Image.fromarray(encode(ids)).save(tmp_path / f"panoptic/{cam}/0001.png")
        doc["images"].append({"id": i, "file_name": f"{cam}\\0001.jpg", "height": 40, "width": 60})
        doc["annotations"].append({"image_id": i, "file_name": f"{cam}\\0001.png", "segments_info": [
            {"id": road, "category_id": 1}, {"id": car, "category_id": 2}]})
    (tmp_path / "panoptic.json").write_text(json.dumps(doc))
    data = open_dataset(tmp_path, "all")
    for i in range(2):
        s = data[i]
        assert (s.semantic is not None and s.boxes.tolist() == [[10 + i, 10, 30, 20]]
                and s.area.tolist() == [200 - 10 * i])
        assert (s.semantic[10:20, 10 + i : 30] == 1).all() and s.semantic[0, 0] == 0


def test_faults(tmp_path: Path) -> None:
    root = make_panoptic(tmp_path / "p", images=[{"id": 1, "file_name": "a.jpg", "height": 40, "width": 60},
                                                 {"id": 2, "file_name": "b.jpg"}])
    with pytest.warns(DataWarning, match="missing map"):
        assert len(open_dataset(root, "all")) == 1
    with pytest.raises(DataError, match="no known category"):
        open_dataset(make_panoptic(tmp_path / "r", categories=[{"id": 2, "name": "cat", "isthing": 1}]), "all")
    with pytest.raises(DataError, match="climbs out"):
        open_dataset(make_panoptic(tmp_path / "s",
                                   images=[{"id": 1, "file_name": "../../z.jpg", "height": 40, "width": 60}]), "all")
    (tmp_path / "p/panoptic_train/a.png").unlink()
    with pytest.raises(DataError, match="no images"):
        open_dataset(tmp_path / "p", "all")


def test_a_second_annotation_of_a_picture_is_named(tmp_path: Path) -> None:
    doc = json.loads((make_panoptic(tmp_path / "p") / "panoptic_train.json").read_text())
    (one,) = doc["annotations"]
    with pytest.warns(DataWarning, match="is a second one of image 1. it is left out"):
        data = open_dataset(make_panoptic(tmp_path / "same", annotations=[one, one]), "all")
    assert len(data) == 1 and len(data.truth(0).boxes) == 2
    other = one | {"segments_info": one["segments_info"][:1]}
    with pytest.raises(DataError, match="is a second one of image 1. put all of its segments into one"):
        open_dataset(make_panoptic(tmp_path / "other", annotations=[one, other]), "all")


def test_colours_round_trip(tmp_path: Path) -> None:
    ids = np.random.default_rng(0).integers(0, 1 << 24, (9, 11)).astype(np.int32)
    Image.fromarray(encode(ids)).save(tmp_path / "x.png")
    np.testing.assert_array_equal(decode(tmp_path / "x.png"), ids)


VALUE = (st.none() | st.integers(-3, 10**30) | st.floats() | st.text(max_size=4)
         | st.lists(st.integers(0, 60) | st.floats(), max_size=5) | st.sampled_from(
             ["a.png", "../a.png", {}, [{}], [{"id": 9}], {"id": 9, "category_id": 2}]))


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(["images", "annotations", "categories", "segments_info"]), st.integers(0, 2),
       st.sampled_from(["id", "image_id", "file_name", "segments_info", "category_id", "iscrowd", "bbox", "area",
                        "height", "width", "name", "isthing"]), VALUE)
def test_fuzzed_documents_raise_data_errors_alone(tmp_path: Path, part: str, k: int, key: str, value: Any) -> None:
    root = make_panoptic(tmp_path / "p")
    doc = json.loads((root / "panoptic_train.json").read_text())
    rows = doc["annotations"][0]["segments_info"] if part == "segments_info" else doc[part]
    rows[k % len(rows)][key] = value
    (root / "panoptic_train.json").write_text(json.dumps(doc))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            data = open_dataset(root, "all", format="panoptic", on_fault="report")
            for i in range(len(data)):
                assert np.isfinite(data.truth(i).boxes).all()
        except DataError as e:
            assert str(e)


@pytest.mark.data
def test_the_sample_with_its_folders_named(shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Maps and pictures have one root wherever the pictures lie: in the data, or elsewhere."""
    root = shared_data / "panoptic_sample/sample_data"
    whole = open_dataset(root, "all", format="panoptic")
    shutil.copytree(root / "input_images", tmp_path / "elsewhere" / "pictures")
    monkeypatch.chdir(root)
    two = {"encoding": "2ch", "maps": "panoptic_examples_2ch_format", "names": root.parent / "panoptic_coco_categories.json"}
    for where in (root, Path(".")):
        for options in ({"images": "input_images"}, {"images": tmp_path / "elsewhere" / "pictures"}, two,
                        {**two, "images": "input_images"}, {**two, "images": tmp_path / "elsewhere" / "pictures"}):
            told = open_dataset(where, "all", format="panoptic", **options)
            assert len(told) == len(whole) == 2
            for i in range(2):
                a, b = whole[i], told[i]
                np.testing.assert_array_equal(a.semantic, b.semantic)
                np.testing.assert_array_equal(a.image, b.image)
                assert sorted(a.boxes.tolist()) == sorted(b.boxes.tolist())
    with pytest.raises(DataError, match="--maps FOLDER"):
        open_dataset(root, "all", format="panoptic", encoding="2ch")


@pytest.mark.data
def test_the_sample_in_three_encodings(shared_data: Path) -> None:
    root = shared_data / "panoptic_sample"
    rgb = open_dataset(root / "sample_data/panoptic_examples.json", "all")
    two = open_dataset(root / "sample_data/panoptic_examples_2ch_format", "all", format="panoptic", encoding="2ch",
                       categories=root / "panoptic_coco_categories.json")
    detection = open_dataset(root / "sample_data/panoptic_coco_detection_format.json", "all")
    assert (len(rgb) == len(two) == len(detection) == 2 and len(rgb.info.panoptic or ()) == 133
            and len(rgb.info.classes) == 80)
    for i, segments in enumerate((18, 32)):
        a, b, c = rgb[i], two[i], detection[i]
        assert Path(a.file) == Path(b.file) == Path(c.file)
        assert (a.segments is not None and b.segments is not None and a.panoptic is not None and b.panoptic is not None
                and c.masks is not None)
        assert len(a.segments) == len(b.segments) == len(c.labels) == segments
        np.testing.assert_array_equal(a.semantic, b.semantic)
        pairs = np.unique(np.stack([a.panoptic, b.panoptic], -1).reshape(-1, 2), axis=0)
        assert (len(pairs) == len(np.unique(pairs[:, 0]))
                == len(np.unique(pairs[:, 1]))), "the two maps draw the same segments"
        np.testing.assert_array_equal(np.stack([a.panoptic == k + 1 for k in range(segments)]), c.masks)
        assert a.masks is not None
        for box, mask in zip(a.boxes, a.masks):
            ys, xs = np.nonzero(mask)
            assert box.tolist() == [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]
