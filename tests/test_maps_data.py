"""Images beside maps: instance ids, class ids, layouts, and derived splits."""
from __future__ import annotations

import contextlib
import struct
import warnings
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from made_data import make_maps, noise
from stemma.core.types import DataError
from stemma.data.doctor import examine
from stemma.data.images import read_map
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


def few_bits(path: Path, m: np.ndarray, bits: int) -> None:
    """Writes a map as grey PNG or TIFF of 2 or 4 bits, its numbers as they are."""
    h, w = m.shape
    per = 8 // bits
    row = np.zeros((h, -(-w // per), per), np.uint8)
    row.reshape(h, -1)[:, :w] = m
    packed = (row << (8 - bits * (1 + np.arange(per)))).sum(2).astype(np.uint8)
    if path.suffix == ".png":
        raw = np.concatenate([np.zeros((h, 1), np.uint8), packed], 1).tobytes()
        parts = [b"IHDR" + struct.pack(">IIBBBBB", w, h, bits, 0, 0, 0, 0), b"IDAT" + zlib.compress(raw), b"IEND"]
        path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(
            struct.pack(">I", len(p) - 4) + p + struct.pack(">I", zlib.crc32(p)) for p in parts))
    else:
        raw = packed.tobytes()
        tags = [(256, w), (257, h), (258, bits), (259, 1), (262, 1), (273, 122), (277, 1), (278, h), (279, len(raw))]
        entries = b"".join(struct.pack("<HHII", t, 4, 1, v) for t, v in tags)
        path.write_bytes(b"II*\0" + struct.pack("<IH", 8, 9) + entries + bytes(4) + raw)


@pytest.mark.parametrize("bits", [2, 4])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_numbers_of_few_bits_are_read_as_they_are_stored(tmp_path: Path, suffix: str, bits: int) -> None:
    """Pillow 13.0.0 reads grey of 2 and 4 bits as tones: of the classes 0 to 3 in 2 bits it makes 0, 85, 170 and 255.
    rasterio 1.4.4 (GDAL's option NBITS) writes maps so, and reads the numbers again
    (`findings/rasterio-few-bits.sh`). Tones are what black and white is cut by."""
    m = instances(2 ** bits - 1, np.uint8)
    root = make_maps(tmp_path / "d", [m])
    (root / "labels/m0.png").unlink()
    few_bits(root / f"labels/m0{suffix}", m, bits)
    (root / "classes.txt").write_text("\n".join(f"class {k}" for k in range(2**bits)))
    s = open_dataset(root, "all", maps="class").truth(0)
    assert s.semantic is not None
    np.testing.assert_array_equal(s.semantic, m)
    (root / "classes.txt").unlink()
    s = open_dataset(root, "all", maps="instance").truth(0)
    assert s.masks is not None and len(s.masks) == 2**bits - 1
    s = open_dataset(root, "all", maps="binary").truth(0)
    assert s.semantic is not None
    np.testing.assert_array_equal(s.semantic, m >= 2 ** (bits - 1))  # the brighter half


@pytest.mark.parametrize("most", [1, 5, 20, 254, 256, 1000, 65534])
@pytest.mark.parametrize("plain", [False, True])
def test_portable_grey_maps_of_every_largest_number(tmp_path: Path, most: int, plain: bool) -> None:
    """Pillow 13.0.0 stretches these too, to 255 or 65535 (GDAL's option MAXVAL writes such)."""
    m = np.unique(np.linspace(0, most, min(most + 1, 4000)).astype(np.int64))[None]
    data = (" ".join(map(str, m[0])).encode() if plain else m.astype(">u2" if most > 255 else "u1").tobytes())
    (tmp_path / "m.pgm").write_bytes(f"P{2 if plain else 5} {m.shape[1]} 1 {most}\n".encode() + data)
    np.testing.assert_array_equal(read_map(tmp_path / "m.pgm"), m)


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


def test_a_remark_among_the_names_of_classes_is_no_class(tmp_path: Path) -> None:
    make_maps(tmp_path, [np.tile(np.array([0, 1, 2], np.uint8), (40, 20))] * 2)
    for text in ("# of the camera\nsky\n#\n\ncar\nroad\n", "0 sky\n# 1 is what moves\n1 car\n2 road\n"):
        (tmp_path / "classes.txt").write_text(text)
        data = open_dataset(tmp_path, "all")
        assert data.info.classes.names == ("sky", "car", "road") and data.truth(0).semantic[0, :3].tolist() == [0, 1, 2]


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


# ---------------------------------------------------------------- black and white, in any coat


def half(value: int = 255) -> np.ndarray:
    """A map whose right half is `value`."""
    m = np.zeros((40, 60), np.uint8)
    m[:, 30:] = value
    return m


def saved(root: Path, maps: Sequence[np.ndarray], labels: str, **save: Any) -> Path:
    """Images beside maps that are saved in a way of their own."""
    for k, m in enumerate(maps):
        noise(root / "images" / f"m{k}.jpg", *m.shape[:2], seed=k)
        path = root / labels.format(k)
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(m).save(path, **save)
    return root


@pytest.mark.parametrize("way", ["rgb", "jpeg", "colour jpeg", "resized", "rgba"])
def test_black_and_white_is_seen_in_any_coat(tmp_path: Path, way: str) -> None:
    m = half()
    coats = {"rgb": np.stack([m] * 3, -1), "rgba": np.stack([m, m, m, np.full_like(m, 255)], -1), "jpeg": m,
             "colour jpeg": np.stack([m] * 3, -1), "resized": m}
    if way == "resized":
        m = np.asarray(Image.fromarray(half()).resize((30, 20), Image.Resampling.BILINEAR))
        coats[way] = np.asarray(Image.fromarray(m).resize((60, 40), Image.Resampling.BILINEAR))
    ending = "jpg" if "jpeg" in way else "png"
    root = saved(tmp_path, [coats[way]] * 3, f"Masks/m{{}}.{ending}", **({"quality": 80} if ending == "jpg" else {}))
    said = pytest.warns(DataWarning, match="black and white, cut at 128: .* of 7,200 pixels of the 3 maps")
    with said if way in ("jpeg", "resized") else contextlib.nullcontext():
        data = open_dataset(root, "all")
    assert recognise(root) == "maps" and data.info.classes.names == ("background", "foreground")
    semantic = data.truth(1).semantic
    assert semantic is not None
    np.testing.assert_array_equal(semantic, half() > 0)


def test_jpegs_of_class_ids_are_refused(tmp_path: Path) -> None:
    root = saved(tmp_path, [np.tile(np.repeat(np.array([0, 40, 80, 120], np.uint8), 15), (40, 1))] * 2, "masks/m{}.jpg")
    with pytest.raises(DataError, match="is a JPEG, in which numbers .* do not survive.*PNG"):
        open_dataset(root, "all")


def test_maps_that_are_all_empty_are_refused(tmp_path: Path) -> None:
    root = saved(tmp_path, [half(0)] * 20, "masks/m{}.png")
    with pytest.raises(DataError, match="nothing but 0 in all of its 20 maps"):
        open_dataset(root, "all")
    Image.fromarray(half()).save(root / "masks/m7.png")
    assert open_dataset(root, "all").info.classes.names == ("background", "foreground")


def test_what_numbers_are_may_be_said(tmp_path: Path) -> None:
    root = saved(tmp_path, [half(90)] * 2, "masks/m{}.png")
    assert open_dataset(root, "all", maps="binary").truth(0).semantic.max() == 0  # type: ignore[union-attr]
    (root / "names").write_text("\n".join(f"c{k}" for k in range(91)))
    assert open_dataset(root, "all", maps="class",  # type: ignore[union-attr]
                        names="names").truth(0).semantic.max() == 90
    assert open_dataset(root, "all", maps="instance", names="cell").info.classes.names == ("cell",)
    with pytest.raises(DataError, match="'colour' is unknown"):
        open_dataset(root, "all", maps="colour")


# ---------------------------------------------------------------- colours and numbers that a list explains


LISTS = {
    "labelmap.txt":
    "# label:color_rgb:parts:actions\nsky:0,0,0::\ncar:48,112,32:wheel:\nvoid:255,255,255::\nwheel:::\n",
    "label_colors.txt": "0 0 0\tsky\n48 112 32 car\n255 255 255 Void\n",
    "class_dict.csv": "name,r,g,b\nsky,0,0,0\ncar,48,112,32\nunlabelled,255,255,255\n",
    "dataset_meta.json": '{"label_map": {"0": "sky", "1": "car", "2": "ignore"}, "segmentation_colors": '
                         '[[0, 0, 0], [48, 112, 32], [255, 255, 255]]}',
}


def painted(m: np.ndarray) -> np.ndarray:
    return np.array([(0, 0, 0), (48, 112, 32), (255, 255, 255)], np.uint8)[m]


@pytest.mark.parametrize("name", LISTS)
@pytest.mark.parametrize("palette", [False, True])
def test_colours_that_a_list_explains(tmp_path: Path, name: str, palette: bool) -> None:
    m = half(1)
    m[0] = 2
    maps = [painted(m)] * 2
    root = saved(tmp_path, maps, "masks/m{}.png")
    if palette:
        for p in (root / "masks").iterdir():
            Image.open(p).quantize(8).save(p)
    (root / name).write_text(LISTS[name])
    data = open_dataset(root, "all")
    assert data.info.classes.names == ("sky", "car") and data.info.kinds == ("semantic",)
    semantic = data.truth(0).semantic
    assert semantic is not None
    np.testing.assert_array_equal(semantic, np.where(m == 2, 255, m))
    wild = painted(m)
    wild[3, 4] = 1, 2, 3
    Image.fromarray(wild).save(root / "masks/m1.png")
    with pytest.raises(DataError, match=r"m1\.png: has the colour \(1, 2, 3\)"):
        open_dataset(root, "all").truth(1)
    for k in range(2, 30):
        noise(root / "images" / f"m{k}.jpg", seed=k)
        Image.fromarray(painted(m)).save(root / "masks" / f"m{k}.png")
    data = open_dataset(root, "all")  # among many it may not be looked at when the data is opened
    with pytest.raises(DataError, match=r"m1\.png: has the colour \(1, 2, 3\), which the class list does not name"):
        data.truth(data.table.files.index("images/m1.jpg"))  # type: ignore[attr-defined]


@pytest.mark.parametrize(("name", "text", "said"), [
    ("labelmap.txt", "sky:0,0,0::\nsky:1,1,1::\n", "two classes have the name sky"),
    ("labelmap.txt", "sky:0,0,0::\ncar:0,0,0::\n", r"number or colour \(0, 0, 0\)"),
    ("labelmap.txt", "sky:0,0::\n", "is no colour"), ("labelmap.txt", "sky:0,0,300::\n", "is no colour"),
    ("labelmap.txt", "sky\n", "no class with its colour"), ("labelmap.txt", "# none\n", "names no class"),
    ("class_dict.csv", "what,r,g,b\n", "has the columns what"),
    ("_classes.csv", "Pixel Value, Class\nx, y\n", "no number"),
    ("dataset_meta.json", "[]", "no description of classes"), ("label_colors.txt", "0 0 x sky\n", "is no colour"),
])
def test_lists_that_explain_nothing(tmp_path: Path, name: str, text: str, said: str) -> None:
    root = saved(tmp_path, [painted(half(1))] * 2, "masks/m{}.png")
    (root / name).write_text(text)
    with pytest.raises(DataError, match=said):
        open_dataset(root, "all")


def test_cvat_segmentation_masks_with_their_lists(tmp_path: Path) -> None:
    for k, sub in enumerate(("", "cam/", "cam/")):
        noise(tmp_path / f"JPEGImages/{sub}p{k}.jpg", seed=k)
        for folder in ("SegmentationClass", "SegmentationObject"):
            (tmp_path / folder / sub).mkdir(parents=True, exist_ok=True)
            Image.fromarray(painted(half(1))).save(tmp_path / folder / f"{sub}p{k}.png")
    (tmp_path / "labelmap.txt").write_text(LISTS["labelmap.txt"])
    lists = tmp_path / "ImageSets/Segmentation"
    lists.mkdir(parents=True)
    (lists / "default.txt").write_text("p0\ncam/p1\ncam/p2\n")
    data = open_dataset(tmp_path, "all")
    assert data.table.files == ["JPEGImages/p0.jpg", "JPEGImages/cam/p1.jpg",  # type: ignore[attr-defined]
                                "JPEGImages/cam/p2.jpg"]
    (lists / "default.txt").rename(lists / "train.txt")
    (lists / "val.txt").write_text("cam/p2\ngone\n")
    assert splits(tmp_path) == ("train", "val")
    with pytest.warns(DataWarning, match="no image 'gone'"):
        assert len(open_dataset(tmp_path, "val")) == 1


def test_roboflow_masks_beside_their_images(tmp_path: Path) -> None:
    for split in ("train", "valid"):
        for k in range(3):
            noise(tmp_path / split / f"im_{k}_jpg.rf.{k}a.jpg", seed=k)
            Image.fromarray(half(2)).save(tmp_path / split / f"im_{k}_jpg.rf.{k}a_mask.png")
        (tmp_path / split / "_classes.csv").write_text("Pixel Value, Class\n0, background\n1, bolt\n2, nut\n")
    assert recognise(tmp_path) == "maps" and splits(tmp_path) == ("train", "val")
    data = open_dataset(tmp_path, "val")
    assert len(data) == 3 and data.info.classes.names == ("background", "bolt", "nut")
    assert sorted(np.unique(data.truth(0).semantic)) == [0, 2]
    assert not examine(tmp_path).unused
    flat = tmp_path / "train"
    assert recognise(flat) == "maps" and len(open_dataset(flat, "all")) == 3


def test_maps_are_paired_by_their_paths(tmp_path: Path) -> None:
    for sub, value in (("a", 1), ("b", 255)):
        noise(tmp_path / f"Images/{sub}/x.JPG", seed=value)
        (tmp_path / f"Masks/{sub}").mkdir(parents=True)
        Image.fromarray(half(value)).save(tmp_path / f"Masks/{sub}/x_mask.PNG")
    data = open_dataset(tmp_path, "all")
    assert data.table.maps == [("Masks/a/x_mask.PNG",), ("Masks/b/x_mask.PNG",)]  # type: ignore[attr-defined]
    (tmp_path / "Images").rename(tmp_path / "one")
    (tmp_path / "Masks").rename(tmp_path / "two")
    with pytest.raises(DataError, match="holds pictures in folders by class"):
        open_dataset(tmp_path, "all")
    assert len(open_dataset(tmp_path, "all", format="maps", images="one", labels="two")) == 2
    with pytest.raises(DataError, match="say --images FOLDER .* and --labels FOLDER"):
        open_dataset(tmp_path, "all", format="maps")


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


@pytest.mark.parametrize("copied", [False, True], ids=["maps without EXIF", "maps with the EXIF of their pictures"])
@pytest.mark.parametrize("drawn", ["stored", "turned"])
def test_a_map_says_which_view_of_a_turned_picture_it_was_drawn_on(tmp_path: Path, drawn: str, copied: bool) -> None:
    """EXIF turns the picture, and a map of numbers is read as it is stored: the two fit in one of the views."""
    bright = np.zeros((40, 60), np.uint8)
    bright[5:15, 30:50] = 1
    grey = Image.fromarray(np.stack([bright * 250] * 3, -1))
    exif = grey.getexif()
    exif[0x112] = 6
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    for k in range(3):
        grey.save(tmp_path / "images" / f"{k}.jpg", exif=exif, quality=95)
        drawing = Image.fromarray(bright if drawn == "stored" else np.rot90(bright, -1).copy())
        drawing.save(tmp_path / "masks" / f"{k}.png", **({"exif": exif} if copied else {}))
    data = open_dataset(tmp_path, "all", on_fault="report")
    assert len(data) == 3
    for k in range(3):
        s = data[k]
        assert s.image is not None and s.semantic is not None
        assert s.image.shape[:2] == s.semantic.shape == ((40, 60) if drawn == "stored" else (60, 40))
        assert s.image[s.semantic == 1].mean() > 200 and s.image[s.semantic == 0].mean() < 20
    assert any(f"3 read {'as stored' if drawn == 'stored' else 'turned'}" in n for n in examine(tmp_path).notes)
