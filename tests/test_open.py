"""Opening data: recognition, splits, aliases, options, and messages that help."""
from __future__ import annotations

import functools
import inspect
import json
import os
import pickle
import shutil
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from made_data import coco_doc, make_coco, make_maps, make_voc, make_yolo, noise, voc_xml
from stemma.core import outputs
from stemma.core.types import Classes, DataError, Dataset, Info, StemmaError
from stemma.data import records
from stemma.data.doctor import examine
from stemma.data.formats import FORMATS
from stemma.data.images import listing, safe_join
from stemma.data.named import named_as
from stemma.data.open import held_out, open_dataset, recognise, same_classes, splits
from stemma.data.options import OPTIONS, anchored, typed
from stemma.data.records import DataWarning
from stemma.data.scenes import Scenes


def test_crowds_are_scenes_of_many_that_hide_one_another() -> None:
    from stemma.metrics.detection import box_iou

    data, few = open_dataset("crowds:128:40"), open_dataset("scenes:128:40")
    assert (recognise("crowds") == "scenes" and data.fingerprint != few.fingerprint
            and len(open_dataset("crowds:64:40", "val")) == 4)
    number = [len(data.truth(i).labels) for i in range(40)]
    closest = [float((box_iou(b, b) - np.eye(len(b))).max())
               for b in (data.truth(i).boxes.astype(float) for i in range(40))]
    assert (np.mean(number) > 8 and max(number) <= 24 and np.mean(np.array(closest) > 0.5) > 0.3
            and len(few.truth(0).labels) <= 8)
    assert len(open_dataset("crowds:64:4", objects=(1, 1)).truth(0).labels) == 1


def test_scenes_by_their_description() -> None:
    data = open_dataset("scenes:64:30")
    assert recognise("scenes:64:30") == "scenes" and splits("scenes") == ("train", "val", "test")
    assert len(data) == 30 and data.truth(0).size == (64, 64) and len(open_dataset("scenes:64:30", "valid")) == 3
    assert isinstance(data, Dataset) and open_dataset("scenes:64:30", "test").fingerprint != data.fingerprint
    for bad, said in (("scenes:", "no description"), ("scenes:64:0", "no scene"), ("scenes:4", "side of 4"),
                      ("scenes:64:2:1", "no description")):
        with pytest.raises(DataError, match=said):
            open_dataset(bad)
    with pytest.raises(DataError, match="no split 'best'"):
        open_dataset("scenes", "best")
    with pytest.raises(DataError, match="option 'colour' is unknown"):
        open_dataset("scenes", colour=1)
    with pytest.raises(DataError, match="class list disagrees"):
        open_dataset("scenes:64:2", classes=Classes(("cat",)))


@pytest.mark.parametrize("alias", ["val", "valid", "validation", "Validation", "dev"])
def test_split_aliases(tmp_path: Path, alias: str) -> None:
    make_coco(tmp_path)
    make_coco(tmp_path, split="val", images=2)
    assert len(open_dataset(tmp_path, alias)) == 2 and len(open_dataset(tmp_path, "training")) == 3
    assert splits(tmp_path) == ("train", "val")


@pytest.mark.parametrize(("below", "name"), [
    ("kangaroo", "kangaroo"), ("kangaroo/images", "kangaroo"), ("kangaroo/JPEGImages", "kangaroo"),
    ("kangaroo/annotations", "kangaroo"), ("kangaroo/data", "kangaroo/data"),
    ("kangaroo/data/train/images", "kangaroo/data"),
    ("cells-train", "cells-train"), ("valid", "kangaroo"), ("kangaroo/train2017", "kangaroo"),
])
def test_data_are_called_by_a_name_that_tells(tmp_path: Path, below: str, name: str) -> None:
    root = tmp_path / "kangaroo" if "kangaroo" not in below else tmp_path
    folder = root / below
    folder.mkdir(parents=True)
    make_coco(folder)
    assert open_dataset(folder).info.name == name
    document = next(folder.rglob("*.json"))
    assert open_dataset(document).info.name == name
    link = tmp_path / "images"
    link.symlink_to(folder)
    assert open_dataset(link).info.name == name


def test_a_missing_val_is_a_tenth_of_train(tmp_path: Path) -> None:
    make_yolo(tmp_path / "y", ["0 0.5 0.5 0.5 0.5"] * 20)
    with pytest.warns(UserWarning, match="no val.*train 18, val 2"):
        train = open_dataset(tmp_path / "y")
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # it was said
        val = open_dataset(tmp_path / "y", "val")
    assert splits(tmp_path / "y") == ("train", "val")
    assert (len(train), len(val), len(open_dataset(tmp_path / "y", "all"))) == (18, 2, 20)
    assert not set(train.table.files) & set(val.table.files)  # type: ignore[attr-defined]
    with pytest.raises(DataError, match="no split 'test'"):
        open_dataset(tmp_path / "y", "test")


def test_what_is_nothing_or_several_is_said(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file or folder"):
        recognise(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="is an empty folder"):
        open_dataset(tmp_path / "empty")
    (tmp_path / "empty" / "notes.md").write_text("none yet")
    with pytest.raises(DataError, match="known format.*Looked for: COCO.*VOC.*YOLO.*panoptic.*maps"):
        open_dataset(tmp_path / "empty")
    make_coco(tmp_path / "both")
    make_yolo(tmp_path / "both")
    with pytest.raises(DataError, match="could be coco or yolo.*--format"):
        open_dataset(tmp_path / "both")
    assert len(open_dataset(tmp_path / "both", "all", format="yolo")) == 3
    with pytest.raises(DataError, match="format 'tfrecord' is unknown.*coco, voc, yolo, panoptic, maps"):
        open_dataset(tmp_path / "both", format="tfrecord")
    with pytest.raises(DataError, match=r"set[/\\]inner \(voc\); name that"):
        make_voc(tmp_path / "set/inner")
        recognise(tmp_path / "set")
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(DataError, match="no file of annotations"):
        open_dataset(tmp_path / "notes.txt")
    with pytest.raises(DataError, match="option 'spin' is unknown"):
        open_dataset(tmp_path / "both", format="coco", spin=1)
    with pytest.raises(DataError, match="on_fault='ignore' is unknown"):
        open_dataset(tmp_path / "both", "all", format="yolo", on_fault="ignore")  # type: ignore[arg-type]


def test_several_annotation_files_ask_which(tmp_path: Path) -> None:
    path = make_coco(tmp_path)
    (path.rename(path.with_name("people_train.json")).with_name("cars_train.json")
     .write_bytes((tmp_path / "annotations/people_train.json").read_bytes()))
    with pytest.raises(DataError, match="several annotation files.*cars, people.*--labels cars \\(in Python "
                       "labels='cars'\\)"):
        open_dataset(tmp_path)
    assert len(open_dataset(tmp_path, "all", which="cars")) == len(open_dataset(tmp_path, "all", labels="cars")) == 3
    assert len(open_dataset(tmp_path, "all", labels="annotations/people_train.json")) == 3
    with pytest.raises(DataError, match="no annotations called 'dogs'"):
        open_dataset(tmp_path, which="dogs")


def test_class_lists_of_two_splits_must_agree(tmp_path: Path) -> None:
    a = Info("a", "coco", Classes(("cat", "dog")), ("boxes",))
    same_classes(a, Info("b", "coco", Classes(("cat", "dog"), ids=(3, 7)), ("boxes",)))
    with pytest.raises(DataError, match="field 'classes'.*only the first has 'dog'; only the second has 'cow'"):
        same_classes(a, Info("b", "coco", Classes(("cat", "cow")), ("boxes",)))
    with pytest.raises(DataError, match="another order"):
        same_classes(a, Info("b", "coco", Classes(("dog", "cat")), ("boxes",)))


def test_what_was_predicted_is_no_data(tmp_path: Path) -> None:
    make_coco(tmp_path)
    found = open_dataset(tmp_path, "train")
    outputs.put_text(tmp_path / "predictions.json", json.dumps(coco_doc(1)), prediction=True)
    outputs.put(tmp_path / "images" / "train" / "drawn.png", lambda p: noise(p), prediction=True)
    assert (open_dataset(tmp_path, "train").fingerprint == found.fingerprint
            and "drawn.png" not in listing(tmp_path / "images" / "train"))
    outputs.put(tmp_path / "images" / "train" / "more.png", lambda p: noise(p))
    assert "more.png" in listing(tmp_path / "images" / "train"), "what was converted is"


def test_classes_are_matched_by_name(tmp_path: Path) -> None:
    """The same pictures labelled by others: another order, one class more, one that nobody drew."""
    mine = open_dataset(make_yolo(tmp_path / "mine", ["0 .5 .5 .5 .5", "1 .5 .5 .2 .2"]), "all")
    texts = ["2 .5 .5 .5 .5\n1 .2 .2 .1 .1", "0 .5 .5 .2 .2"]
    other = make_yolo(tmp_path / "theirs", texts, "train: images/train\nnames: [dog, washer, cat]\n")
    with pytest.warns(DataWarning, match="matched by name.*left out, for the model does not know it: 'washer'"):
        theirs = named_as(open_dataset(other, "all"), mine.info, "detection")
    assert theirs.info.classes.names == ("cat",
                                         "dog") and theirs.info.classes.ids == (2, 0), "ids are those of the data"
    for i in range(2):
        a, b = mine.truth(i), theirs.truth(i)
        np.testing.assert_array_equal(a.boxes, b.boxes)
        np.testing.assert_array_equal(a.labels, b.labels)
        assert theirs[i].image is not None and len(theirs[i].labels) == 1
    assert named_as(mine, mine.info, "detection") is mine
    few = open_dataset(make_yolo(tmp_path / "few", texts[1:], "train: images/train\nnames: [dog]\n"), "all")
    assert named_as(few, mine.info,
                    "detection").info.classes.ids == (1, 0), "a class that the data lack has an id above"
    with pytest.raises(DataError, match="has no class that the model knows: it has 'dog', and the model 'bird'"):
        named_as(few, replace(mine.info, classes=Classes(("bird",))), "detection")


def test_maps_are_matched_by_name_too() -> None:
    data = Scenes(3, 64, split="val")
    info = data.info
    assert info.semantic is not None and info.panoptic is not None
    turned = replace(info.semantic, names=info.semantic.names[::-1], ids=(),
                     things=info.semantic.things[::-1], parent=())
    less = replace(turned, names=turned.names[1:], ids=(), things=turned.things[1:], parent=())
    for like in (turned, less):
        other = named_as(data, replace(info, semantic=like, panoptic=like), "panoptic")
        for i in range(3):
            a, b = data.truth(i), other.truth(i)
            assert (a.semantic is not None and b.semantic is not None and a.panoptic is not None
                    and b.panoptic is not None)
            names = np.array([*like.names, *[""] * (256 - len(like.names))])
            old = np.array([*info.semantic.names, *[""] * (256 - len(info.semantic.names))])[a.semantic]
            gone = ~np.isin(old, like.names)
            np.testing.assert_array_equal(names[b.semantic][~gone], old[~gone])
            assert (b.semantic[gone] == 255).all() and (b.panoptic[gone] == 0).all()
            assert a.segments is not None and b.segments is not None
            segment = np.array(["", *[info.panoptic.names[k] for k in a.segments]])[a.panoptic]
            found = np.array(["", *[like.names[k] for k in b.segments]])[b.panoptic]
            np.testing.assert_array_equal(found[~gone], segment[~gone])


def test_links_out_of_the_folder_are_refused(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    path = make_coco(tmp_path / "d")
    picture = tmp_path / "d/images/train/1.png"
    picture.rename(secret / "1.png")
    os.symlink(secret / "1.png", picture)
    with pytest.raises(DataError, match="link that leads outside"):
        open_dataset(path, "all")
    assert open_dataset(path, "all", follow_links=True)[1].image is not None
    with pytest.raises(DataError, match="outside"):
        safe_join(tmp_path / "d", "images/train/1.png")
    assert safe_join(tmp_path / "d", "images/train/0.png").is_file()
    os.symlink(tmp_path / "d/images/train/0.png", tmp_path / "d/images/train/alias.png")
    assert safe_join(tmp_path / "d", "images/train/alias.png").is_file()  # a link inside is no harm
    (tmp_path / "d/images/train").rename(secret / "train")
    os.symlink(secret / "train", tmp_path / "d/images/train")
    with pytest.raises(DataError, match="link that leads outside"):
        open_dataset(path, "all")


@pytest.mark.parametrize("name", ["/etc/passwd", "../x", "a/../../x", "..\\x", "C:\\x", "C:/x", "", " ", "a\0b",
                                  "\\\\server\\x", "x" * 5000])
def test_names_that_leave_the_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError):
        safe_join(tmp_path, name)


def test_data_sets_travel_to_worker_processes(tmp_path: Path) -> None:
    make_coco(tmp_path / "c")
    root = make_maps(tmp_path / "m", [np.eye(40, 60, dtype=np.uint16)] * 2)
    for data in (open_dataset(tmp_path / "c", "all"), open_dataset(root, "all", maps="instance")):
        again = pickle.loads(pickle.dumps(data))
        assert again.fingerprint == data.fingerprint
        np.testing.assert_array_equal(again[1].image, data[1].image)
        np.testing.assert_array_equal(again.truth(1).boxes, data.truth(1).boxes)


def test_indices_beyond_the_end(tmp_path: Path) -> None:
    data = open_dataset(make_coco(tmp_path), "all")
    with pytest.raises(IndexError):
        data.truth(3)
    assert data.truth(-1).id == data.truth(2).id and len(list(data)) == 3  # type: ignore[call-overload]


@pytest.mark.data
def test_real_folders_are_recognised_and_open_fast(shared_data: Path) -> None:
    want = {"bccd": "voc", "neu_det": "voc", "coco549": "coco", "dsb2018": "maps", "camvid": "maps",
            "panoptic_sample/sample_data/panoptic_examples.json": "panoptic"}
    assert {k: recognise(shared_data / k) for k in want} == want

    def least(work: Callable[[], Any]) -> float:
        spent = []
        for _ in range(3):
            start = time.process_time()
            work()
            spent.append(time.process_time() - start)
        return min(spent)

    def parsed(contents: list[bytes], parse: Callable[[bytes], Any]) -> list[Any]:
        return [parse(text) for text in contents]

    texts = {"coco549": ("*.json", json.loads), "bccd": ("*.xml", ElementTree.fromstring)}
    for name, (pattern, parse) in texts.items():  # no picture is read: opening costs little more than parsing
        files = [*(shared_data / name).rglob(pattern)]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            opened = least(functools.partial(open_dataset, shared_data / name))
        times = opened / least(functools.partial(parsed, [f.read_bytes() for f in files], parse))
        assert times < 6, f"opening {name} took {times:.1f} times as long as parsing its annotations"
    with pytest.raises(DataError, match="could be coco or panoptic"):
        recognise(shared_data / "panoptic_sample/sample_data")
    with pytest.raises(DataError, match=r"sample_data \(coco or panoptic\); name that"):
        recognise(shared_data / "panoptic_sample")


# ---------------------------------------------------------------- options


def test_an_option_that_a_format_does_not_have_is_named_as_typed(tmp_path: Path) -> None:
    make_coco(tmp_path)
    with pytest.raises(DataError, match="option '--one-based/--zero-based' is unknown to this format. it has "
                       ".*--images, .*--labels.*--split-file"):
        open_dataset(tmp_path, one_based=False)


def test_options_mean_the_same_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "d/pictures").mkdir(parents=True)
    (tmp_path / "store").mkdir()
    (tmp_path / "names.txt").write_text("a\nb\n")
    monkeypatch.chdir(tmp_path)
    said = {"images": "pictures", "labels": "store", "names": "names.txt", "split_file": ["names.txt", "gone.txt"],
            "one_based": False, "maps": "class", "encoding": None}
    assert anchored(said, "d") == {
        "images": "pictures", "labels": str(tmp_path / "store"), "names": str(tmp_path / "names.txt"),
        "split_file": [str(tmp_path / "names.txt"), "gone.txt"], "one_based": False, "maps": "class"}
    assert typed(said)[:4] == ["--images", "pictures", "--labels", "store"] and "--zero-based" in typed(said)
    assert typed({"names": ["a", "b"], "follow_links": True}) == ["--classes", "a,b", "--follow-links"]


def test_an_archive_is_to_be_unpacked(tmp_path: Path) -> None:
    make_yolo(tmp_path / "y")
    for kind in ("zip", "gztar"):
        with pytest.raises(DataError, match="is an archive. unpack it, and name the folder"):
            recognise(shutil.make_archive(str(tmp_path / "set"), kind, tmp_path / "y"))


def test_every_option_is_told_by_its_readers(tmp_path: Path) -> None:
    """Each option of the command line is one of a reader, and each of a reader can be typed, but for two old names; how
    data is divided, and what becomes of a record that cannot be read, is no reader's."""
    known = {k for m in FORMATS.values() for k, p in inspect.signature(m.read).parameters.items()
             if p.kind is p.KEYWORD_ONLY} - {"split"}
    assert {o.name for o in OPTIONS} - {"split_file", "train_split", "drop_records"} == known - {"which", "categories"}


def test_pictures_that_are_trained_on_and_measured_are_told(tmp_path: Path) -> None:
    root = make_yolo(tmp_path / "y", ["0 0.5 0.5 0.5 0.5\n"] * 6, split="train")
    for s in ("test", "val"):
        shutil.copytree(root / "images/train", root / "images" / s)
        shutil.copytree(root / "labels/train", root / "labels" / s)
    options: dict[str, Any] = {"names": ["cat", "dog"]}

    def said(val: str, test: str, **more: Any) -> list[str]:
        (root / "data.yaml").write_text(f"train: images/train\nval: {val}\ntest: {test}\nnames: [cat, dog]\n")
        records._SAID.clear()
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always", DataWarning)
            held_out(str(root), options=options | more)
        return [str(w.message) for w in told if "trained on" in str(w.message)]

    assert said("images/val", "images/test") == []
    assert "6 of the 6 pictures of split 'val' are trained on" in "".join(said("images/train", "images/test"))
    assert "6 of the 6 pictures of split 'test' are trained on" in "".join(said("images/val", "images/train"))
    assert said("images/val", "images/test", train_split="trainval") == [], "which is asked for"


@pytest.mark.parametrize("form", ["table", "tabs", "json", "lists"])
def test_a_split_file_divides(tmp_path: Path, form: str) -> None:
    root = make_yolo(tmp_path / "y", ["0 0.5 0.5 0.5 0.5\n"] * 6, split="all")
    (root / "data.yaml").write_text("names: [cat, dog]\n")
    (root / "images/all").rename(root / "images/x")
    (root / "labels/all").rename(root / "labels/x")
    parts = {"train": ["images/x/0.png", "1.png", "x/2.png"], "val": ["3.png"], "test": ["/home/me/4"]}
    rows = [(n, s) for s, names in parts.items() for n in names]
    files = [root / "division.csv"]
    if form == "table":
        files[0].write_text("split,picture\n" + "\n".join(f"{s},{n}" for n, s in rows))
    elif form == "tabs":
        files[0].write_text("\n".join(f"{n}\t{ {'val': 'valid'}.get(s, s)}" for n, s in rows))
    elif form == "json":
        files = [root / "division.json"]
        files[0].write_text(json.dumps(parts))
    else:
        files = [root / f"{s}.txt" for s in parts]
        for s, names in parts.items():
            (root / f"{s}.txt").write_text("\n".join(names))
    options = {"split_file": [str(f) for f in files]}
    assert splits(root, **options) == ("train", "val", "test")
    with pytest.warns(UserWarning, match="1 of 6 pictures are in no split of the split file.*images/x/5.png"):
        got = {s: open_dataset(root, s, **options).table.files for s in parts}  # type: ignore[attr-defined]
    assert got == {"train": [f"images/x/{k}.png" for k in range(3)], "val": ["images/x/3.png"],
                   "test": ["images/x/4.png"]}
    report = examine(root, **options)
    assert {s: f.images for s, f in report.splits.items()} == {"train": 3, "val": 1, "test": 1}


def test_split_files_that_cannot_be_meant(tmp_path: Path) -> None:
    root = make_yolo(tmp_path / "y", ["0 0.5 0.5 0.5 0.5\n"] * 3)
    make_yolo(tmp_path / "z", ["0 0.5 0.5 0.5 0.5\n"] * 3,
              "train: images/train\nval: images/train\nnames: [cat, dog]\n")
    (tmp_path / "twice.csv").write_text("0.png,train\n0.png,val\n")
    (tmp_path / "bare.csv").write_text("0.png,train\n1.png,\n")
    (tmp_path / "none.csv").write_text("a.png,train\n")
    for name, said in (("twice.csv", "puts .*0.png into train and val"), ("bare.csv", "line 2.*has no split"),
                       ("none.csv", "names no picture.*'a.png'"), ("gone.csv", "is no file. check --split-file")):
        with pytest.raises(DataError, match=said):
            open_dataset(root, split_file=tmp_path / name)
    with pytest.raises(DataError, match="divided already \\(train, val\\).*--split-file"):
        open_dataset(tmp_path / "z", split_file=tmp_path / "twice.csv")


def test_voc_folders_and_classes_that_options_name(tmp_path: Path) -> None:
    root = make_voc(tmp_path / "v", [voc_xml()] * 3)
    (root / "JPEGImages").rename(tmp_path / "store")
    (root / "Annotations").rename(root / "boxes of mine")
    (root / "old").mkdir()
    (root / "old/x.xml").write_text(voc_xml((("cow", 1, 1, 5, 5),)))
    data = open_dataset(root, "all", format="voc", labels="boxes of mine", images=tmp_path / "store", names="dog,cat")
    assert len(data) == 3 and data.info.classes.names == ("dog", "cat") and data.truth(0).labels.tolist() == [1]
    assert data[0].image is not None


def test_a_folder_of_two_formats_is_read_as_its_task_needs_and_a_run_remembers_what_it_was_told(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from stemma.engine.pictures import first
    from stemma.engine.pictures.reading import kept_as, reading

    make_coco(tmp_path / "two")
    panoptic = {"images": [], "annotations": [{"segments_info": []}], "categories": []}
    (tmp_path / "two" / "annotations" / "parts.json").write_text(json.dumps(panoptic))
    (tmp_path / "two" / "annotations" / "instances_train.json").rename(tmp_path / "two" / "annotations" / "boxes.json")
    monkeypatch.chdir(tmp_path / "two")
    with pytest.raises(DataError, match="could be coco or panoptic.*--format coco or --format panoptic"):
        first.look(".", None, ["detection"])
    first.look(".", None, ["panoptic"])
    first.look(".", "coco", ["detection"])
    run = tmp_path / "run"
    run.mkdir()
    (run / "run.json").write_text(json.dumps({"data": {"format": "coco", **kept_as(".", "coco", {})}}))
    first.look(".", None, ["detection"], str(run))
    first.look(str(tmp_path / "two"), None, ["detection"], str(run / "best.safetensors"))
    assert reading(run, ".", None, None) == ("coco", {}) and reading(run, ".", "panoptic", None) == ("panoptic", {})
    assert reading(run, tmp_path, None, None) == (None, {}), "other data are not read so"
    (run / "run.json").write_text(json.dumps({"data": {"format": "panoptic", **kept_as(".", "panoptic", {"maps": "x"})}}))
    assert reading(run, ".", None, None) == reading(run, ".", "panoptic", None) == ("panoptic", {"maps": "x"})
    assert reading(run, ".", "coco", None) == ("coco", {}), "options are of a format"
    assert reading(run, ".", None, {"which": "boxes"}) == (None, {"which": "boxes"})
    assert kept_as(".", None, {}) == {}, "what was not told is not kept"


def test_a_run_finds_its_data_from_any_folder_and_says_where_they_have_gone(tmp_path: Path,
                                                                           monkeypatch: pytest.MonkeyPatch) -> None:
    from stemma.engine.pictures.reading import remembered

    def of(where: str, at: str | None) -> str | None:
        (tmp_path / "run.json").write_text(json.dumps({"data": {"where": where, **({"at": at} if at else {})}}))
        return remembered(tmp_path)

    for name in ("one", "two"):
        make_coco(tmp_path / "here" / name)
    one, two = (str(tmp_path / "here" / name) for name in ("one", "two"))
    monkeypatch.chdir(tmp_path / "here")
    assert of("one", one) == "one" and of("one+two", f"{one}+{two}") == "one+two" and of("scenes", "scenes") == "scenes"
    assert of("one", "/was/there/before/one") == "one", "a project that was moved as a whole"
    assert of("gone", None) == "gone", "a run of an older build"
    monkeypatch.chdir(tmp_path)
    assert of("one", one) == one and of("one+two", f"{one}+{two}") == f"{one}+{two}"
    with pytest.raises(StemmaError, match=f"trained on one, which is not there any more, nor at {one}x; say with --data where"):
        of("one", f"{one}x")
    with pytest.raises(StemmaError, match="trained on one, which is not there any more; say with --data where"):
        of("one", str(tmp_path / "one"))


def test_a_comma_belongs_to_a_name_where_a_place_is_called_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from stemma.data.doctors import made_of
    from stemma.data.finding import each_of

    monkeypatch.chdir(tmp_path)
    for name in ("a", "b", "a,b", "c, d"):
        (tmp_path / name).mkdir()
    for text, places in (
        ("a", ["a"]), ("a,b", ["a,b"]), ("a,c", ["a", "c"]), (" a , b2 ", ["a", "b2"]), ("few:3:a,b", ["few:3:a,b"]),
        ("few:3:a,few:3:b", ["few:3:a", "few:3:b"]), ("b,few:3:a,b", ["b", "few:3:a,b"]), ("c, d,a", ["c, d", "a"]),
        ("2*a,b", ["2*a,b"]), ("x,y", ["x", "y"]), (",", [","]), (0, [0]), (Path("a,b"), [Path("a,b")])
    ):
        assert each_of(text) == places, text
    assert made_of("few:3:a,b") == ["a,b"] and made_of("crops:c, d,few:3:a") == ["c, d", "a"]
