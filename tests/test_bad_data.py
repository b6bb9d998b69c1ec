"""Hostile and odd files: every one is either read rightly or refused with a DataError that names it."""
from __future__ import annotations

import json
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from made_data import coco_doc, make_coco, make_voc, make_yolo, noise, voc_xml
from stemma.core.types import DataError
from stemma.data.doctor import examine
from stemma.data.images import SUFFIXES, header, image_size, listing, range_of, read_image, read_map, to_uint8
from stemma.data.mix import Labelled, Mixture
from stemma.data.open import open_dataset
from stemma.data.records import DataWarning
from stemma.data.subset import Subset, read_at

RNG = np.random.default_rng(0)
RGB = RNG.integers(0, 256, (40, 60, 3), dtype=np.uint8)


# ---------------------------------------------------------------- documents


def test_empty_data_sets(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no images"):
        open_dataset(make_coco(tmp_path / "a", {**coco_doc(0)}, images=0), "all")
    (tmp_path / "v/Annotations").mkdir(parents=True)
    with pytest.raises(DataError, match="no VOC annotations"):
        open_dataset(tmp_path / "v", format="voc")
    make_yolo(tmp_path / "y", [])
    with pytest.raises(DataError, match="neither a folder nor a list|no images"):
        open_dataset(tmp_path / "y", "all")


def test_images_without_any_object(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no objects in any of the 3 images"):
        open_dataset(make_coco(tmp_path / "a", coco_doc() | {"annotations": []}), "all")
    with pytest.raises(DataError, match="no objects in any"):
        open_dataset(make_yolo(tmp_path / "y", ["", ""]), "all")
    with pytest.raises(DataError, match="no object in any"):
        open_dataset(make_voc(tmp_path / "v", [voc_xml(())] * 2), "all")
    # one image without objects is none of these: it trains as background
    data = open_dataset(make_voc(tmp_path / "w", [voc_xml(()), voc_xml()]), "all")
    assert data.truth(0).boxes.shape == (0, 4) and data.truth(0).labels.shape == (0,)


def test_one_pixel_boxes_and_pictures(tmp_path: Path) -> None:
    doc = coco_doc(1)
    doc["images"][0] |= {"height": 1, "width": 1}
    doc["annotations"] = [{"id": 1, "image_id": 100, "category_id": 3, "bbox": [0, 0, 1, 1],
                           "segmentation": [[0, 0, 1, 0, 1, 1, 0, 1]]}]
    path = make_coco(tmp_path, doc, images=0)
    noise(tmp_path / "images/train/0.png", 1, 1)
    s = open_dataset(path, "all")[0]
    assert s.image is not None and s.image.shape == (1, 1, 3) and s.masks is not None and s.masks.shape == (1, 1, 1)
    assert s.boxes.tolist() == [[0, 0, 1, 1]] and s.area.tolist() == [1]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 1e300, None, "7", [], {}, 10**400])
def test_a_box_that_is_no_box(tmp_path: Path, value: object) -> None:
    doc = coco_doc(2)
    doc["annotations"][0]["bbox"] = [5, 5, value, 10]
    path = make_coco(tmp_path, doc, images=2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data = open_dataset(path, "all")
        for s in (data[i] for i in range(len(data))):
            assert np.isfinite(s.boxes).all() and len(s.boxes) == 2 and s.boxes[:, 2].max() <= 60
    assert len(data) == (2 if value in (1e300, "7") else 1), "whole, or not at all"


def test_truncated_json(tmp_path: Path) -> None:
    text = json.dumps(coco_doc())
    for cut in (0, 1, 40, len(text) // 2, len(text) - 1):
        path = make_coco(tmp_path, text[:cut])
        with pytest.raises(DataError, match=r"instances_train\.json.*line 1, column \d+"):
            open_dataset(path, format="coco")
        with pytest.raises(DataError, match="instances_train"):
            open_dataset(path)


@pytest.mark.parametrize("text", ["[" * 10_000 + "]" * 10_000, '{"annotations":' * 10_000 + "1" + "}" * 10_000,
                                  '{"images": [], "categories": [], '
                                  '"annotations": ' + "[" * 10_000 + "]" * 10_000 + "}"])
def test_json_nested_ten_thousand_deep(tmp_path: Path, text: str) -> None:
    with pytest.raises(DataError, match="instances_train.*nested too deeply"):
        open_dataset(make_coco(tmp_path, text), format="coco")
    with pytest.raises(DataError, match="nested too deeply"):
        open_dataset(make_coco(tmp_path, text))


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "images/../../x.png", "C:\\x.png",
                                  "..\\..\\x.png", "a\0.png"])
def test_file_names_that_leave_the_folder(tmp_path: Path, name: str) -> None:
    doc = coco_doc()
    doc["images"][1]["file_name"] = name
    path = make_coco(tmp_path, doc)
    with pytest.raises(DataError, match=r"instances_train\.json, record image 101, field 'file_name'"):
        open_dataset(path, "all")
    with pytest.raises(DataError):
        open_dataset(path, "all", on_fault="refuse")


@pytest.mark.parametrize("raw", [
    b"", b"\x00" * 100, b"\xff\xfe\x00", b"null", b"3", b'"x"', b"[]", b"{}", b'{"images": 3}', b"\x89PNG\r\n",
    b'{"a": 1' + b"0" * 5000 + b"}",
])
def test_files_that_are_no_annotations(tmp_path: Path, raw: bytes) -> None:
    path = make_coco(tmp_path, raw)
    for format in ("coco", "panoptic", None):
        with pytest.raises(DataError, match="instances_train"):
            open_dataset(path, format=format)


# ---------------------------------------------------------------- pictures


def test_sixteen_bits_are_scaled(tmp_path: Path) -> None:
    full = RNG.integers(0, 65536, (40, 60), dtype=np.uint16)
    full[0, 0] = 65535

    def saved(pixels: np.ndarray, name: str) -> Path:
        (tmp_path / name).parent.mkdir()
        Image.fromarray(pixels).save(tmp_path / name)
        return tmp_path / name

    got = read_image(saved(full, "16/full.png"))
    assert got.shape == (40, 60, 3) and got.dtype == np.uint8
    np.testing.assert_array_equal(got[..., 0], np.round(full / 257).astype(np.uint8))
    np.testing.assert_array_equal(read_map(tmp_path / "16/full.png"), full)
    twelve = read_image(saved((full >> 4).astype(np.uint16), "12/twelve.png"))  # a 12-bit sensor in a 16-bit file
    assert abs(twelve[..., 0].astype(int) - got[..., 0]).max() <= 1
    floats = read_image(saved((full / 65535).astype(np.float32), "float/float.tif"))
    assert abs(floats[..., 0].astype(int) - got[..., 0]).max() <= 1
    assert to_uint8(np.array([[np.nan, np.inf, 0.5, 1.0]], np.float32)).tolist() == [[0, 0, 128, 255]]
    assert to_uint8(np.zeros((2, 2), np.uint16)).max() == 0
    tops = [0, 200, 255, 256, 1023, 1024, 4095, 5000, 65535, 1e6]
    assert [range_of(t) for t in tops] == [255, 255, 255, 511, 1023, 2047, 4095, 8191, 65535, 2**20 - 1]
    assert [range_of(t, True) for t in (0.2, 1.0, 1.5, 255.5)] == [1, 1, 255, 511]


def camera(root: Path, count: int = 12) -> Path:
    """A COCO folder of grey 16-bit pictures: the same object of 2000 counts in all,
    a few pixels of 5000 in every other."""
    doc = coco_doc(count)
    for i in range(count):
        grey = np.full((40, 60), 500, np.uint16)
        grey[6:16, 5:25] = 2000
        if i % 2:
            grey[0, :4] = 5000
        (root / "images").mkdir(parents=True, exist_ok=True)
        Image.fromarray(grey).save(root / f"images/{i}.png")
    (root / "annotations.json").write_text(json.dumps(doc))
    return root


def test_one_scale_for_a_set(tmp_path: Path) -> None:
    with pytest.warns(DataWarning, match=r"8191 is white in all of them \(5000 is the brightest pixel of 12\)"):
        data = open_dataset(camera(tmp_path / "c"), "all")
    assert data.info.white == 8191 and any("8191" in n for n in examine(tmp_path / "c").notes)
    greys = {tuple(np.unique(data[i].image[6:16, 5:25]).tolist()) for i in range(len(data))}  # type: ignore[index]
    assert greys == {(62,)}, "the same counts are the same grey in all pictures"
    assert read_image(tmp_path / "c/images/0.png")[8, 8, 0] == 62, "a picture alone is read as those beside it"
    at = read_at(Subset(Labelled(data), [0, 1]), 4095)
    assert at.info.white == 4095 and at[0].image[8, 8, 0] == 125 == at[1].image[8, 8, 0]  # type: ignore[index]
    assert data.info.white == 8191 and read_at(data, None) is data
    plain = open_dataset(make_coco(tmp_path / "p"), "all")
    assert plain.info.white is None and read_at(plain, 4095) is plain


def test_pictures_that_the_scale_of_a_set_makes_black_are_told(tmp_path: Path) -> None:
    from stemma.data.images import white_of

    soft = np.linspace(0, 1, 200, dtype=np.float32).reshape(10, 20)
    files = [tmp_path / f"{k}.tif" for k in range(3)]
    for k, file in enumerate(files):
        Image.fromarray((soft * 60000).astype(np.uint16) if k == 0 else soft).save(file)
    found = white_of(files)
    assert found is not None and found.value == 65535 and found.black == 2
    floats = white_of(files[1:])
    assert floats is not None and floats.value == 1 and floats.black == 0
    Image.fromarray(np.zeros((10, 20), np.uint16)).save(files[1])  # black by itself
    dark = white_of(files[:2])
    assert dark is not None and dark.black == 0


def test_colour_of_16_bits_a_channel_is_said(tmp_path: Path) -> None:
    """Pillow keeps the upper 8 bits of such a PNG: 4000 of 4095 become 15 of 255."""
    path = make_coco(tmp_path)
    wide = b"".join(b"\0" + np.full((60, 3), 4000, ">u2").tobytes() for _ in range(40))

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    for i in range(3):
        (tmp_path / f"images/train/{i}.png").write_bytes(
            b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 60, 40, 16, 2, 0, 0, 0))
            + chunk(b"IDAT", zlib.compress(wide)) + chunk(b"IEND", b""))
    with pytest.warns(DataWarning, match="3 colour pictures, the first 0.png, have 16 bits a channel.*upper 8 alone"):
        data = open_dataset(path, "all")
    assert data.info.white is None and any("16 bits a channel" in n for n in examine(path).notes)


def test_parts_of_a_mixture_are_read_at_one_scale(tmp_path: Path) -> None:
    dark = camera(tmp_path / "dark")
    for p in (tmp_path / "dark/images").iterdir():
        Image.fromarray((np.asarray(Image.open(p)) // 4).astype(np.uint16)).save(p)
    parts = [open_dataset(camera(tmp_path / "light"), "all"), open_dataset(dark, "all")]
    mixed = Mixture(parts)
    assert [p.info.white for p in parts] == [8191, 2047] and mixed.info.white == 8191
    assert {int(mixed[i].image[8, 8, 0]) for i in range(len(mixed))} == {62, 16}  # type: ignore[index]


@pytest.mark.parametrize(("mode", "suffix"), [
    ("L", "png"), ("L", "jpg"), ("P", "png"), ("1", "png"), ("LA", "png"), ("RGBA", "png"), ("CMYK", "jpg"),
    ("CMYK", "tif"), ("RGB", "bmp"), ("RGB", "webp"), ("RGB", "tif"), ("P", "gif"), ("RGB", "ppm"), ("YCbCr", "jpg"),
])
def test_modes_and_kinds_become_rgb(tmp_path: Path, mode: str, suffix: str) -> None:
    path = tmp_path / f"x.{suffix}"
    Image.fromarray(RGB).convert(mode).save(path)
    got = read_image(path)
    with Image.open(path) as im:
        want = np.asarray(im.convert("RGB"))
    assert got.shape == (40, 60, 3) and got.dtype == np.uint8 and image_size(path) == (40, 60)
    np.testing.assert_array_equal(got, want)


def test_every_kind_that_is_read_when_named_is_read_in_a_folder(tmp_path: Path) -> None:
    Image.init()
    no_pictures = {".mpg", ".mpeg", ".iim", ".pcd"}  # films, news texts, clouds of points
    for ending, kind in Image.registered_extensions().items():
        if kind in Image.OPEN and kind not in ("EPS", "WMF", "HDF5", "GRIB", "BUFR") and ending not in no_pictures:
            assert ending in SUFFIXES, f"{ending} ({kind})"
        if kind in Image.OPEN and kind in Image.SAVE and ending in SUFFIXES and kind != "SPIDER":
            mode = {"MSP": "1", "XBM": "1"}.get(kind, "L" if ending in (".bw", ".pfm") else "RGB")
            try:
                Image.fromarray(RGB).convert(mode).save(tmp_path / f"x{ending}", format=kind)
            except (OSError, ValueError, KeyError):
                continue
            assert read_image(tmp_path / f"x{ending}").ndim == 3 and f"x{ending}" in listing(tmp_path)


@pytest.mark.parametrize("suffix", ["gif", "webp", "png", "tif"])
def test_animations_give_their_first_frame(tmp_path: Path, suffix: str) -> None:
    frames = [Image.fromarray(np.full((40, 60, 3), v, np.uint8)) for v in (10, 200, 90)]
    frames[0].save(tmp_path / f"x.{suffix}", save_all=True, append_images=frames[1:],
                   **({"lossless": True} if suffix == "webp" else {}))
    assert abs(read_image(tmp_path / f"x.{suffix}").astype(int) - 10).max() <= 2


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_exif_orientation(tmp_path: Path, orientation: int, suffix: str) -> None:
    from PIL import ImageOps

    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"x.{suffix}"
    Image.fromarray(RGB).save(path, exif=exif, **({"quality": 95} if suffix == "jpg" else {}))
    with Image.open(path) as im:
        want = np.asarray(ImageOps.exif_transpose(im))
        raster = np.asarray(im)
    assert header(path).orientation == orientation and image_size(path) == want.shape[:2]
    np.testing.assert_array_equal(read_image(path), want)
    if want.shape != raster.shape:  # annotated on the raster: its size says so
        np.testing.assert_array_equal(read_image(path, expect=(40, 60)), raster)
        np.testing.assert_array_equal(read_image(path, expect=(60, 40)), want)


def test_pictures_of_another_size_than_annotated_are_refused(tmp_path: Path) -> None:
    path = make_coco(tmp_path)
    noise(tmp_path / "images/train/1.png", 50, 50)
    data = open_dataset(path, "all")
    position = data.table.files.index("images/train/1.png")  # type: ignore[attr-defined]
    with pytest.raises(DataError,
                       match=r"1\.png, field 'size': is 50 x 50 pixels, and .*instances_train\.json says 60 x 40"):
        data[position]
    assert data[0].image is not None


def white_png(path: Path, height: int, width: int) -> None:
    """A grey PNG of one value, written row by row: a large one takes no memory."""
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    packer = zlib.compressobj(1)
    rows = b"".join(packer.compress(b"\0" + b"\xff" * width) for _ in range(height)) + packer.flush()
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
                     + chunk(b"IDAT", rows) + chunk(b"IEND", b""))


def test_twelve_thousand_by_nine_thousand(tmp_path: Path) -> None:
    path = tmp_path / "large.png"
    white_png(path, 9000, 12_000)
    assert image_size(path) == (9000, 12_000)
    with pytest.warns(UserWarning, match="12000 x 9000 pixels take 324 MB"):
        image = read_image(path)
    assert image.shape == (9000, 12_000, 3) and image[-1, -1].tolist() == [255, 255, 255]
    with pytest.raises(DataError, match="12000 x 9000 pixels, more than the 1,000,000"):
        read_image(path, limit=1_000_000)


def test_a_decompression_bomb_is_refused_by_its_header(tmp_path: Path) -> None:
    (tmp_path / "bomb.png").write_bytes(b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sIIBBBBB", 13, b"IHDR", 100_000, 100_000,
                                                                           8, 2, 0, 0, 0) + b"\0" * 4)
    for read in (read_image, read_map):
        with pytest.raises(DataError, match="100000 x 100000 pixels, more than the"):
            read(tmp_path / "bomb.png")


def test_jpegs_may_be_decoded_small(tmp_path: Path) -> None:
    noise(tmp_path / "x.jpg", 800, 1200)
    small = read_image(tmp_path / "x.jpg", at_least=150)
    assert small.shape == (200, 300, 3) and read_image(tmp_path / "x.jpg", at_least=900).shape == (800, 1200, 3)


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp", "gif", "bmp"])
def test_truncated_and_damaged_pictures(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"x.{suffix}"
    Image.fromarray(RGB).save(path)
    raw = path.read_bytes()
    for cut in (len(raw) // 2, 30, 3, 0):
        path.write_bytes(raw[:cut])
        with pytest.raises(DataError, match=rf"x\.{suffix}.*(truncated|empty|damaged|not an image)"):
            read_image(path)
    path.unlink()
    for function in (read_image, image_size, read_map):
        with pytest.raises(DataError, match="no such"):
            function(path)
    path.mkdir()
    with pytest.raises(DataError, match="is a folder"):
        read_image(path)


def test_text_that_calls_itself_a_picture(tmp_path: Path) -> None:
    (tmp_path / "x.jpg").write_text("<html>not found</html>")
    with pytest.raises(DataError, match="not an image"):
        read_image(tmp_path / "x.jpg")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(["jpg", "png", "gif", "tif", "webp", "bmp"]), st.binary(min_size=1, max_size=60),
       st.floats(0, 1), st.booleans())
def test_fuzzed_pictures_raise_data_errors_alone(tmp_path: Path, suffix: str, noise_bytes: bytes, share: float,
                                                 cut: bool) -> None:
    path = tmp_path / f"f.{suffix}"
    small = Image.fromarray(RGB[:16, :24])
    exif = Image.Exif()
    exif[0x0112] = 6
    small.save(path, **({"exif": exif} if suffix in ("jpg", "png", "webp") else {}))
    raw = path.read_bytes()
    at = int(share * len(raw))
    path.write_bytes(raw[:at] + noise_bytes + (b"" if cut else raw[at + len(noise_bytes) :]))
    for function in (header, read_image, read_map):
        try:
            function(path)
        except DataError as e:
            assert e.file == str(path)
