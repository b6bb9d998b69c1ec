"""COCO's JSON by columns: it says what the document read as a whole says, whatever is wrong with it; and kept columns
are those of the file that is there, or are made anew."""
from __future__ import annotations

import copy
import hashlib
import inspect
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stemma.core.types import DataError
from stemma.data import vetting
from stemma.data.open import cached, open_dataset
from stemma.data.readers import coco, columns, rle, sound
from stemma.data.readers.segments import _BLOCK, Growing, Segments

H, W = 40, 60
ODD: tuple[Any, ...] = (None, "", "7", "x", 7.0, 7.5, True, -1, 10**20, 10**30, 1e300, float("inf"), [], {}, [1, 2],
                        ["1", "2", "3", "4"], [1, 2, 3, "4"], [True, 2, 3, 4], [None, 1, 2, 3], [[]], [[1, 2, 3]],
                        [[1, 1, 9, 1, 9, 9.25], [1, 2]], [[1, 1, 1e7, 1, 9, 9]], [["1", "2", "3", "4", "5", "6"]],
                        [[True, 1, 9, 1, 9, 9]], [1, 1, 9, 1, 9, 9], {"size": [H, W], "counts": [100, 300, 2000]},
                        {"size": [H, W], "counts": [100, 300]}, {"size": [1, 2], "counts": "ab"}, {"counts": [-1]},
                        [5.5] * 6, [5, 5, 2] * 2, [5, 5, 9] * 2, [0.0] * 3)


def document(rng: np.random.Generator) -> dict[str, Any]:
    """Four pictures, a dozen objects; sometimes points or LVIS's lists."""
    pointed, federated = rng.random() < 0.3, rng.random() < 0.2
    images = [{"id": 10 * k + 1, "file_name": f"pictures/{k}.jpg", "height": H, "width": W} for k in range(4)]
    if federated:
        images[int(rng.integers(4))]["neg_category_ids"] = [1]
    rows = []
    for k in range(12):
        x, y, w, h = (rng.random(4) * 20 + 1).round(2).tolist()
        a = {"id": k + 5, "image_id": int(rng.choice([1, 11, 21, 31])), "category_id": int(rng.integers(1, 3)),
             "bbox": [x, y, w, h], "area": round(w * h, 2), "iscrowd": int(rng.random() < 0.2),
             "segmentation": [[x, y, x + w, y, x + w, y + h, x, y + h]], "caption": "Ω \" \\ \n"}
        if rng.random() < 0.2:
            a["segmentation"] = {"size": [H, W], "counts": [100, 300, 2000]}
        if pointed and rng.random() < 0.7:
            a |= {"keypoints": [3, 4, 2, 5, 6, 1] if rng.random() < 0.9 else [3, 4, 5] * 2, "num_keypoints": 2}
        rows.append(a)
    categories = [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}]
    if pointed and rng.random() < 0.7:
        categories[0]["keypoints"] = ["left_eye", "right_eye"]
    return {"info": {}, "images": images, "annotations": rows, "categories": categories}


def spoil(doc: dict[str, Any], rng: np.random.Generator) -> None:
    rows = doc["annotations" if rng.random() < 0.85 else "images"]
    k = int(rng.integers(len(rows)))
    if not isinstance(rows[k], dict):
        return
    how = rng.random()
    if how < 0.05:
        rows[k] = copy.deepcopy(ODD[int(rng.integers(len(ODD)))])
    elif how < 0.1:
        rows.append(copy.deepcopy(rows[k]))
    elif how < 0.25:
        rows[k].pop(str(rng.choice(list(rows[k]))), None)
    else:
        names = [*rows[k], "segmentation", "bbox", "keypoints", *(["visible_mask", "amodal"] if how > 0.97 else [])]
        rows[k][str(rng.choice(names))] = copy.deepcopy(ODD[int(rng.integers(len(ODD)))])


def told(place: Path) -> Any:
    """All that the reader says of a file, with NaN as text."""
    try:
        d = coco.read(place, place)
    except (DataError, OSError) as e:  # `formats.call` makes one of the other
        return str(e)
    t = d.table
    plain = None if t.segments is None else [
        [np.asarray(r, dtype=float).tolist() if isinstance(r, np.ndarray) else r for r in s] if isinstance(s, list)
        else s for s in t.segments]
    return repr([d.faults, d.notes, d.classes, d.kinds, d.digest, d.points, sorted(d.out), d.frequency, t.files,
                 t.sizes.tolist(), t.ids.tolist(), t.image.tolist(), t.boxes.tolist(), t.labels.tolist(),
                 t.crowd.tolist(), t.area.tolist(), t.record.tolist(), plain,
                 None if t.keypoints is None else t.keypoints.tolist(), t.amodal, t.depth, t.searched])


def as_a_whole(monkeypatch: pytest.MonkeyPatch, place: Path) -> Any:
    with monkeypatch.context() as m:
        m.setattr(coco, "_plain", lambda source: None)
        return told(place)




@pytest.mark.parametrize("seed", range(4))
def test_records_of_every_kind_say_the_same_by_columns_and_as_a_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    place, by_columns = tmp_path / "a.json", 0
    for number in range(150):
        rng = np.random.default_rng([seed, number])
        doc = document(rng)
        for _ in range(int(rng.integers(0, 4))):
            spoil(doc, rng)
        place.write_text(json.dumps(doc, ensure_ascii=bool(number % 2)).replace("Infinity", "1e999"), "utf-8")
        by_columns += coco._plain(place) is not None
        assert told(place) == as_a_whole(monkeypatch, place), number
    assert by_columns > 130  # hidden parts alone are read as a whole


def test_a_missing_box_is_taken_from_the_outline_and_a_missing_outline_from_the_box(tmp_path: Path) -> None:
    doc, place = document(np.random.default_rng(1)), tmp_path / "a.json"
    for a in doc["annotations"]:
        a |= {"iscrowd": 0, "segmentation": [[2, 3, 9.5, 3, 9.5, 11.25], [1, 4, 5, 4, 5, 6]], "bbox": [1, 3, 8.5, 8.25]}
    del doc["annotations"][2]["bbox"], doc["annotations"][5]["segmentation"]
    place.write_text(json.dumps(doc))
    d = coco.read(place, place)
    assert [f.kind for f in d.faults] == ["no box", "no mask"] and not d.out
    assert (d.table.boxes == [1, 3, 9.5, 11.25]).all()


TOKENS = (b"NaN", b"Infinity", b"01", b"1.", b".5", b"-", b"+1", b"\x00", b"\n", b"\xff", b"\xc3\x28", b"\\u12",
          b"\\ud800", b"{", b"}", b"[", b"]", b",", b":", b'"', b"\\", b"1e999", b"9" * 400, b"9" * 4400,
          b"\xef\xbb\xbf", b"\xed\xa0\x80", b"-0", b"[" * 2000)


def test_damaged_bytes_say_the_same_by_columns_and_as_a_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place, by_columns = tmp_path / "a.json", 0
    for number in range(700):
        rng = np.random.default_rng([9, number])
        raw = bytearray(json.dumps(document(rng)).encode())
        for _ in range(int(rng.integers(1, 3))):
            at, token = int(rng.integers(len(raw))), TOKENS[int(rng.integers(len(TOKENS)))]
            raw[at : at + int(rng.integers(0, 3))] = token if rng.random() < 0.7 else bytes([int(rng.integers(256))])
        place.write_bytes(raw)
        by_columns += coco._plain(place) is not None
        assert told(place) == as_a_whole(monkeypatch, place), number
    assert by_columns > 60


@pytest.mark.parametrize("text", ['{"a": 1}', "[]", "", "nothing", '{"images": [], "annotations": [], "categories": {}}',
                                  '{"images": [], "annotations": [{"regions": []}], "categories": []}',
                                  '{"images": [5], "annotations": [5], "categories": [5]}'])
def test_what_is_no_document_of_coco_is_told_as_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                       text: str) -> None:
    place = tmp_path / "a.json"
    place.write_text(text)
    assert told(place) == as_a_whole(monkeypatch, place)


# ---------------------------------------------------------------- outlines


def test_outlines_come_back_as_they_were_put_in_be_they_hundredths_or_not() -> None:
    rng = np.random.default_rng(0)
    for digits in (2, 9):
        values: list[Any] = []
        for k in range(_BLOCK // 500):
            rings = [(rng.random(2 * int(rng.integers(3, 400))) * 640).round(digits).tolist()
                     for _ in range(int(rng.integers(1, 4)))]
            values.append([None, {"size": [1, 1], "counts": [1]}, rings][min(k % 20, 2)])
        found = Segments.of(values)
        assert (found.store.points.dtype == np.int32) == (digits == 2)
        for was, now in zip(values, found, strict=True):
            assert now == was if not isinstance(was, list) else [r.tolist() for r in now] == was
        some = found.take(np.array([5, 2, 1, 0]))
        assert some[3] is None and some[2] == values[1] and [r.tolist() for r in some[1]] == values[2]
        assert some.absent().tolist() == [False, False, False, True] and some.odd() == [2]
        points = np.concatenate(values[5]).reshape(-1, 2)
        np.testing.assert_array_equal(some.bounds()[0], [*points.min(0), *points.max(0)])


def test_hundredths_end_where_a_number_needs_more_and_what_was_before_stays() -> None:
    new, first = Growing(), [[1.25, 2, 3, 4.5, 5, 6]]
    new.extend([first] * (_BLOCK // 6 + 1))
    new.extend([[[1 / 3, 2, 3, 4.5, 5, 6]], [[1e9, 2, 3, 4.5, 5, 6]]])
    found = new.segments()
    assert [r.tolist() for r in found[0]] == first and found[len(found) - 2][0][0] == 1 / 3
    assert found.odd() == [len(found) - 1]  # farther than a polygon may reach


# ---------------------------------------------------------------- kept columns


@pytest.fixture
def large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that counts as large, and is old enough."""
    monkeypatch.setenv("STEMMA_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(columns, "KEPT", 100)
    place = tmp_path / "data" / "a.json"
    place.parent.mkdir()
    doc = document(np.random.default_rng(5))
    doc["annotations"][3]["id"] = "word"
    doc["annotations"][4]["segmentation"] = [[1, 2, 3]]
    place.write_text(json.dumps(doc))
    old(place)
    return place


def old(place: Path) -> None:
    os.utime(place, (1e9, 1e9))


def unread(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> Any:
        raise AssertionError("the file is parsed again")

    monkeypatch.setattr(columns, "Document", refuse)
    monkeypatch.setattr(coco, "load_json", refuse)


def kept_file(place: Path) -> Path:
    (found,) = (place.parents[1] / "cache" / "columns").iterdir()
    return found


def test_kept_columns_say_the_same_and_the_file_is_not_parsed_again(large: Path,
                                                                    monkeypatch: pytest.MonkeyPatch) -> None:
    whole, first = as_a_whole(monkeypatch, large), told(large)
    unread(monkeypatch)
    assert told(large) == first == whole
    assert coco.looks_like(large) == "coco"


@pytest.mark.parametrize("change", [
    lambda p: p.write_text(p.read_text().replace('"cat"', '"cow"')),  # of equal length
    lambda p: p.write_text(p.read_text() + " "),
])
def test_a_file_that_changed_is_parsed_again_even_at_the_same_time_and_length(
    large: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[Path], Any]
) -> None:
    told(large)
    change(large)
    old(large)
    assert told(large) == as_a_whole(monkeypatch, large)


def test_damaged_columns_are_made_anew(large: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = told(large)
    place = kept_file(large)
    sound = place.read_bytes()
    rng = np.random.default_rng(0)
    for k in range(120):
        raw = bytearray(sound)
        if k % 3 == 0:
            del raw[int(rng.integers(len(raw))) :]
        elif k % 3 == 1:
            raw[int(rng.integers(len(raw)))] ^= 1 << int(rng.integers(8))
        else:
            at = len(raw) - int(rng.integers(1, 1800))  # the table of contents
            raw[at : at + 4] = rng.bytes(4)
        place.write_bytes(raw)
        assert told(large) == said, k
    place.unlink()
    place.mkdir()
    assert told(large) == said


def test_a_file_that_was_written_a_moment_ago_or_is_small_is_not_kept(large: Path,
                                                                      monkeypatch: pytest.MonkeyPatch) -> None:
    os.utime(large)
    told(large)
    old(large)
    monkeypatch.setattr(columns, "KEPT", 1 << 24)
    told(large)
    assert not (large.parents[1] / "cache").exists()


def test_what_is_kept_does_not_change_within_a_version(tmp_path: Path) -> None:
    """Else columns that an earlier build kept would be taken for those of this one, words of faults included."""
    images = [{"id": 7, "file_name": "b.jpg", "height": 40, "width": 60}, {"id": 7, "file_name": "a\\\\b.jpg"}, 5,
              {"id": "x", "file_name": "c.jpg", "neg_category_ids": [1]}, {"id": 2}]
    plain_row = {"id": 1, "image_id": 7, "category_id": 1, "bbox": [1, 2, 3, 4.5], "area": 9}
    rows = [plain_row | {"segmentation": [[1, 2, 4, 2, 4, 6.25]], "keypoints": [1, 2, 2]}, plain_row | {"id": "word"},
            plain_row | {"segmentation": {"size": [40, 60], "counts": [2400]}}, plain_row | {"segmentation": [[1, 2]]}, 7]
    place = tmp_path / "a.json"
    place.write_text(json.dumps({"images": images, "annotations": rows, "categories": [{"id": 1, "name": "cat"}]}))
    plain, said = coco._plain(place), hashlib.blake2b(digest_size=8)
    assert plain is not None and plain.rows.odd and plain.rows.segments.store.others and plain.images.faults
    for name, column in sorted(columns._written(plain).items()):
        said.update(f"{name} {column.dtype} {column.shape}".encode() + column.tobytes())
    for judge in (sound, rle.problem, rle.string_faults, rle.all_bounds):  # what is kept of it is what these said
        said.update(inspect.getsource(judge).encode())
    assert (columns.VERSION, said.hexdigest()) == (6, "0df9f38b0049d361"), "raise VERSION, and write the new hash here"


def test_what_is_kept_as_sound_is_vetted_no_more_and_all_else_is(large: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The verdict of each row is that of its vetting alone: wrong boxes, masks and areas are never called sound."""
    good = {"image_id": 1, "category_id": 1, "iscrowd": 0, "area": 9.0, "bbox": [2, 2, 6, 6],
            "segmentation": [[2, 2, 8, 2, 8, 8]]}
    runs = {"size": [40, 60], "counts": [2 + 2 * 40, 6, 2400 - 6 - 82]}
    wrong: list[dict[str, Any]] = [
        {"bbox": [2, 2, 0, 6]}, {"bbox": [70, 2, 6, 6]}, {"bbox": [50, 2, 16, 6]}, {"bbox": [0, 0, 0.5, 0.5]},
        {"area": 0}, {"area": None}, {"image_id": 9}, {"image_id": 2}, {"segmentation": [[1, 2]]},
        {"segmentation": [[30, 30, 39, 30, 39, 39]]}, {"segmentation": runs | {"size": [60, 40]}},
        {"segmentation": runs | {"counts": [2400]}}, {"segmentation": runs | {"counts": [5, 5]}}, {"segmentation": [2] * 6},
        {"segmentation": [[2, 2, 8, 2, 8, 2e7]]}]
    right = [{}, {"bbox": [2, 2, 6, 6.5]}, {"iscrowd": 1, "segmentation": runs, "bbox": [2, 2, 1, 6]}, {"segmentation": []}]
    images = [{"id": 1, "file_name": "a.jpg", "height": 40, "width": 60}, {"id": 2, "file_name": "b.jpg"}]
    rows = [good | {"id": k} | more for k, more in enumerate(right + wrong)]
    large.write_text(json.dumps({"images": images, "annotations": rows, "categories": [{"id": 1, "name": "cat"}]}))
    old(large)
    plain = coco._plain(large)
    assert plain is not None and plain.rows.sound.tolist() == [True] * len(right) + [False] * len(wrong)

    def opened() -> tuple[Any, ...]:
        d = coco.read(large, large)
        t, faults = vetting.vet_boxes(d.table, np.zeros(2, dtype=bool))
        return [str(f) for f in faults], t.boxes.tolist(), t.area.tolist(), [repr(s) for s in t.segments or ()]

    second = opened()
    monkeypatch.setattr(coco, "_sound", lambda doc: np.zeros(len(doc.rows), dtype=bool))
    kept_file(large).unlink()
    assert opened() == second and len(second[0]) > 8  # with nothing known before


def test_a_second_opening_asks_for_no_file_and_counts_those_that_are_there(large: Path,
                                                                           monkeypatch: pytest.MonkeyPatch) -> None:
    """Which pictures are there is seen anew each time, in the list of their folder; sizes in bytes come with the
    fingerprint alone."""
    folder = large.parent / "pictures"
    folder.mkdir(exist_ok=True)
    names = [f"{k:03d}.jpg" for k in range(100)]
    for n in names:
        (folder / n).write_bytes(n.encode())
    os.link(folder / names[0], large.parents[1] / "elsewhere.jpg")
    (folder / names[1]).unlink()
    (folder / names[1]).symlink_to(folder / names[2])
    (folder / names[3]).unlink()
    (folder / names[3]).symlink_to(large.parents[1] / "elsewhere.jpg")
    images = [{"id": k, "file_name": n, "height": 40, "width": 60} for k, n in enumerate(names)]
    rows = [{"id": k, "image_id": k, "category_id": 1, "bbox": [2, 2, 6, 6], "area": 9, "iscrowd": 0} for k in range(100)]
    large.write_text(json.dumps({"images": images, "annotations": rows, "categories": [{"id": 1, "name": "cat"}]}))
    old(large)
    first = open_dataset(large, "all", on_fault="report")
    (folder / names[7]).unlink()
    unread(monkeypatch)
    asked: list[str] = []
    stat = os.stat
    monkeypatch.setattr(os, "stat", lambda p, **k: (asked.append(str(p)), stat(p, **k))[1])
    again = open_dataset(large, "all", on_fault="report")
    pictures = {a for a in asked if "/pictures/" in a}
    assert len(first) == 99 and len(again) == 98 and len(pictures) < 40
    assert [f.kind for f in again.faults] == ["path", "missing image"]
    before = again.fingerprint
    (folder / names[9]).write_bytes(b"of another length")
    assert open_dataset(large, "all", on_fault="report").fingerprint != before == again.fingerprint


@pytest.mark.parametrize("error", [RecursionError, MemoryError])
def test_what_can_be_read_and_not_written_is_not_kept(large: Path, monkeypatch: pytest.MonkeyPatch,
                                                      error: type[Exception]) -> None:
    """A record that is nested as deeply as can just be read; columns of which there is no room for a second copy."""
    def full(*_: Any, **__: Any) -> str:
        raise error

    whole = as_a_whole(monkeypatch, large)
    with monkeypatch.context() as m:
        m.setattr(json, "dumps", full)
        assert told(large) == whole
    assert not (large.parents[1] / "cache").exists()


def test_numbers_of_files_beyond_63_bits_are_kept(large: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As file systems of a network have them."""
    stat = os.stat

    def far(path: Any, **options: Any) -> os.stat_result:
        found = stat(path, **options)
        return os.stat_result((found[0], found[1] + (1 << 63), *found[2:]), {
            "st_mtime_ns": found.st_mtime_ns, "st_ctime_ns": found.st_ctime_ns, "st_mtime": found.st_mtime})

    monkeypatch.setattr(os, "stat", far)
    assert (large.stat().st_ino >> 63) == 1
    first = told(large)
    unread(monkeypatch)
    assert told(large) == first


@pytest.mark.parametrize("named", ["", None])
def test_a_user_without_a_home_opens_data_and_keeps_nothing(large: Path, monkeypatch: pytest.MonkeyPatch,
                                                            named: str | None) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    whole = as_a_whole(monkeypatch, large)
    monkeypatch.setattr(Path, "home", staticmethod(homeless))
    monkeypatch.chdir(large.parents[1])
    monkeypatch.delenv("STEMMA_CACHE") if named is None else monkeypatch.setenv("STEMMA_CACHE", named)
    assert told(large) == told(large) == whole
    scenes = cached(open_dataset("scenes:32:4"))
    assert len(scenes) == 4 and scenes[3].image is not None
    assert sorted(p.name for p in large.parents[1].iterdir()) == ["data"]


def test_where_nothing_can_be_kept_the_data_opens(large: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (large.parents[1] / "cache").write_text("a file in the way")
    assert told(large) == as_a_whole(monkeypatch, large)
    with pytest.raises(DataError, match="none of the 4 images"):
        open_dataset(large, "all")
