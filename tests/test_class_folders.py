"""Folders of class folders given to the common commands: told from data with boxes, counted, and never "0 objects"."""
from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from made_data import make_coco, make_maps, make_voc, make_yolo, noise
from stemma.core.types import DataError
from stemma.data.classes import folders
from stemma.data.formats import formats_at
from stemma.data.labelled import open_set
from stemma.data.open import open_dataset
from test_cli import run

SPLITS = {"train": {"cat": 3, "dog": 2, "owl": 2}, "val": {"cat": 1, "dog": 1}, "test": {"cat": 1, "dog": 1, "owl": 1}}


def made(root: Path, splits: dict[str, dict[str, int]] = SPLITS) -> Path:
    for s, of in splits.items():
        for c, n in of.items():
            (root / s / c).mkdir(parents=True, exist_ok=True)
            for k in range(n):
                noise(root / s / c / f"{k}.jpg", 20, 30, seed=sum(map(ord, s + c)) * 9 + k)
    return root


def test_splits_of_class_folders_are_counted(tmp_path: Path) -> None:
    assert folders.counts(made(tmp_path / "a")) == SPLITS
    assert folders.counts(made(tmp_path / "b", {".": {"cat": 2, "dog": 1}})) == {"all": {"cat": 2, "dog": 1}}
    assert folders.counts(made(tmp_path / "c", {"train": {"cat": 2, "dog": 2, "owl": 0}}))["train"]["owl"] == 0
    made(tmp_path / "d", {"pictures": {"cat": 2, "dog": 2}})
    for split, lines in (("train", "pictures/cat/0.jpg cat\npictures/dog/0.jpg dog\n"), ("test", "pictures/cat/1.jpg\n")):
        (tmp_path / "d" / f"{split}.txt").write_text(lines)
    assert folders.counts(tmp_path / "d") == {"train": {"cat": 1, "dog": 1}, "test": {"cat": 1}}


@pytest.mark.parametrize("odd", ["train", "test", "val"])
def test_a_class_may_be_called_as_a_split_is(odd: str, tmp_path: Path) -> None:
    """A train beside bus and car, classes of COCO; datasets 5.2.0 takes it for a split and drops the others
    (`findings/datasets-class-train.sh`)."""
    from stemma.data.labelled import open_set

    root = made(tmp_path / "a", {".": {"bus": 6, "car": 6, odd: 6}})
    assert folders.counts(root) == {"all": {"bus": 6, "car": 6, odd: 6}}
    found = open_set(str(root))
    assert found.classes == tuple(sorted(("bus", "car", odd))) and sum(map(len, found.parts.values())) == 18
    split = made(tmp_path / "b", {"train": {"bus": 4, odd: 4}, "val": {"bus": 2, odd: 2}})
    assert folders.counts(split) == {"train": {"bus": 4, odd: 4}, "val": {"bus": 2, odd: 2}}


@pytest.mark.parametrize("how", ["pictures beside", "one class", "rooms", "nothing"])
def test_other_folders_are_none(tmp_path: Path, how: str) -> None:
    made(tmp_path, {".": {"one class": {"cat": 2}, "rooms": {"images": 2, "other": 2}}.get(how, {"cat": 2, "dog": 2})}
         if how != "nothing" else {})
    if how == "pictures beside":
        noise(tmp_path / "x.jpg", 20, 30)
    assert folders.counts(tmp_path) == {}
    with pytest.raises(DataError, match="is an empty folder" if how == "nothing" else "holds no data set of a known "
                       "format"):
        open_dataset(tmp_path)


def test_a_system_that_needs_boxes_says_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = made(tmp_path / "animals")
    for words in (("train", "ssd", "--preset", "small", "--data", str(root), "--out", str(tmp_path / "run")),
                  ("convert", str(root), "--to", "coco", "--out", str(tmp_path / "out"))):
        status, said, error = run(capsys, *words)
        line = " ".join((said + error).split())
        assert status == 2 and "Traceback" not in line and "0 objects" not in line
        assert "holds pictures in folders by class (cat 5, dog 4, owl 3): labels of whole pictures, and no boxes" in line
        assert "stemma doctor" in line and "BOXES+labels:" in line
    assert not (tmp_path / "run").exists() and not (tmp_path / "out").exists()


def test_the_doctor_prints_classes_by_split_and_empty_ones(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = made(tmp_path / "animals")
    status, said, _ = run(capsys, "doctor", str(root))
    assert status == 0 and "pictures of each class" in said and "no faults" in said and "objects" not in said
    rows = {r.split()[0]: r.split()[1:] for r in said.splitlines() if r.strip() and r.split()[0] in SPLITS["train"]}
    assert rows == {"cat": ["3", "1", "1"], "dog": ["2", "1", "1"], "owl": ["2", "0", "1"]}
    assert "val: no picture of the class owl" in said and "imagenet-transfer" in said
    (root / "train" / "ape").mkdir()
    (root / "train" / "dog" / "9.jpg").write_bytes(b"no picture")
    (root / "val" / "dog" / "again.jpg").write_bytes((root / "train" / "cat" / "0.jpg").read_bytes())
    status, said, _ = run(capsys, "doctor", str(root), "--json")
    report = json.loads(said)
    assert status == 1 and report["fault_counts"] == {"empty class": 1, "unreadable image": 1, "duplicate image": 1}
    assert report["splits"]["train"]["classes"] == {"ape": 0, "cat": 3, "dog": 3, "owl": 2}
    assert any("lie in two folders" in f["mend"] for f in report["faults"])
    assert any("ape" in n for n in open_set(root).notes)
    (root / "val").rename(root / "Validation")
    (root / "Validation" / "cow").mkdir()
    _, said, _ = run(capsys, "doctor", str(root), "--json")
    assert {f["file"] for f in json.loads(said)["faults"] if f["kind"] == "empty class"} == {
        str(root / "train" / "ape"), str(root / "Validation" / "cow")}, "as the folders are called"


def test_data_with_boxes_or_maps_stay_what_they_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import numpy as np

    make_yolo(tmp_path / "yolo")
    make_maps(tmp_path / "maps", [np.eye(40, 60, dtype=np.uint8)] * 2)
    for name, kind in (("yolo", "yolo"), ("maps", "maps")):
        status, said, error = run(capsys, "doctor", str(tmp_path / name), "--json")
        assert status in (0, 1) and said, error  # nothing where a signal that is meant for the tests ends the command
        assert json.loads(said)["format"] == kind


def test_a_wrong_folder_is_told_before_anything_heavy_is_loaded(tmp_path: Path) -> None:
    """By its line and in a process that has loaded no torch: `doctor`, `convert`, `train` and `compare` of what needs
    boxes."""
    (tmp_path / "wrong").mkdir()
    (tmp_path / "wrong" / "notes.txt").write_text("nothing here")
    code = ("import sys\nfrom stemma.cli import main\nsys.argv[1:] = {words}\ntry:\n    main()\nexcept SystemExit as e:\n"
            "    print(e.code, 'torch' in sys.modules)\n")
    for words in (["doctor", str(tmp_path / "wrong")], ["train", "ssd", "--data", str(tmp_path / "wrong")],
                  ["train", "ssd", "--data", str(tmp_path / "nowhere")],
                  ["compare", "fpn", "ssd:small", "--data", str(tmp_path / "wrong")],
                  ["convert", str(tmp_path / "nowhere"), "--to", "coco", "--out", str(tmp_path / "out")],
                  ["convert", str(tmp_path / "wrong"), "--to", "coco", "--out", str(tmp_path / "out")]):
        done = subprocess.run([sys.executable, "-c", code.format(words=words)], capture_output=True, text=True, check=False)
        assert done.stdout.strip() == "2 False" and "Traceback" not in done.stderr, (words, done.stderr)
        assert "no data set of a known format" in done.stderr or "no such file or folder" in done.stderr


def test_a_wrong_folder_is_told_of_a_run_and_by_every_wing_before_torch_is_loaded(tmp_path: Path) -> None:
    """`evaluate` and `predict` of a run, `train --val`, sets that are joined, and what other wings train on."""
    from safetensors.numpy import save_file

    wrong, nowhere = tmp_path / "wrong", str(tmp_path / "nowhere")
    wrong.mkdir()
    (wrong / "notes.txt").write_text("nothing here")
    good = made(tmp_path / "good")
    make_yolo(tmp_path / "yolo")
    run_at = tmp_path / "run"
    run_at.mkdir()
    save_file({}, run_at / "best.safetensors", {"stemma": json.dumps({"paper": "retinanet", "preset": "small"})})
    cases = [["evaluate", str(run_at), "--data", str(wrong)], ["evaluate", str(run_at), "--data", nowhere],
             ["evaluate", str(run_at), "--data", str(wrong), "--images", "x"],
             ["evaluate", str(run_at / "best.safetensors"), "--data", str(good)],
             ["predict", str(run_at), str(wrong)], ["predict", str(run_at), nowhere],
             ["train", "ssd", "--data", str(tmp_path / "yolo"), "--val", str(wrong)],
             ["train", "ssd", "--data", str(tmp_path / "yolo"), "--val", nowhere],
             ["train", "ssd", "--data", f"{tmp_path / 'yolo'}+{wrong}"],
             ["train", "imagenet-transfer", "--data", str(wrong)], ["train", "imagenet-transfer", "--data", nowhere],
             ["compare", "imagenet-transfer", "--data", str(wrong)],
             ["train", "instruct-pix2pix", "--data", str(wrong)], ["train", "instruct-pix2pix", "--data", nowhere],
             ["doctor", str(wrong), "--with", str(run_at), "--html", str(tmp_path / "page.html")]]
    code = ("import sys\nfrom stemma.cli import main\nfor words in {cases}:\n    sys.argv[1:] = words\n    try:\n"
            "        main()\n    except SystemExit as e:\n        print(e.code, 'torch' in sys.modules)\n"
            "        print('next', file=sys.stderr)\n")
    done = subprocess.run([sys.executable, "-c", code.format(cases=cases)], capture_output=True, text=True, check=False,
                          cwd=tmp_path)
    assert done.stdout.split("\n")[:-1] == ["2 False"] * len(cases), (done.stdout, done.stderr)
    said = done.stderr.split("next\n")
    for words, line in zip(cases, said, strict=False):
        assert line.startswith("error: ") and line.count("\n") == 1, (words, line)
        assert "wrong" in line or "nowhere" in line or "good" in line, (words, line)


def test_a_folder_of_data_sets_names_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is no data set and no folder of classes: the sets below are named, however deep, with their formats."""
    store = tmp_path / "store"
    make_yolo(store / "a")
    make_coco(store / "deep" / "down" / "b")
    for words in (["doctor", str(store)], ["train", "ssd", "--data", str(store)]):
        status, _, error = run(capsys, *words)
        line = " ".join(error.split())
        assert status == 2 and f"{store / 'a'} (yolo), {store / 'deep/down/b'} (coco); name one" in line, line
    status, _, error = run(capsys, "doctor", str(store / "deep"))
    assert status == 2 and f"this folder below does: {store / 'deep/down/b'} (coco); name that" in " ".join(error.split())
    make_coco(made(store / "deep" / "birds") / "old")
    status, said, _ = run(capsys, "doctor", str(store / "deep" / "birds"), "--json")
    assert json.loads(said)["format"] == "class folders", "a set beside its classes changes nothing"


def test_a_part_of_a_data_set_names_the_whole(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import numpy as np

    make_coco(tmp_path / "boxes")
    maps = make_maps(tmp_path / "maps", [np.eye(40, 60, dtype=np.uint8)] * 2)
    parts = [maps / "images", maps / "labels"]
    parts += [p for p in (tmp_path / "boxes").iterdir() if p.is_dir() and not list(p.glob("*.json"))]
    assert len(parts) > 2
    for part in parts:
        status, _, error = run(capsys, "doctor", str(part))
        assert status == 2 and f"it is a part of one. name {part.parent}" in " ".join(error.split()), (part, error)
    # a set of voc's beside pictures in a folder of any name
    loose = tmp_path / "loose" / "pictures"
    make_voc(tmp_path / "loose")
    (tmp_path / "loose" / "JPEGImages").rename(loose)
    (tmp_path / "loose" / "Annotations").rename(tmp_path / "loose" / "said of them")
    shutil.rmtree(tmp_path / "loose" / "ImageSets", ignore_errors=True)
    status, _, error = run(capsys, "doctor", str(loose))
    assert status == 2 and f"name {loose.parent}" in " ".join(error.split())
    # names of splits are no classes
    for split in ("train2017", "val2017"):
        (tmp_path / "bare" / split).mkdir(parents=True)
        for k in range(2):
            noise(tmp_path / "bare" / split / f"{k}.jpg", 20, 30, seed=len(split) + k)
    status, _, error = run(capsys, "doctor", str(tmp_path / "bare"))
    assert status == 2 and "it holds 4 pictures without annotations of any" in " ".join(error.split())


@pytest.mark.parametrize("name", ["images", "train"])
def test_what_lies_elsewhere_below_a_home_folder_makes_no_set_of_it(tmp_path: Path, name: str,
                                                                    capsys: pytest.CaptureFixture[str]) -> None:
    """Pictures without annotations, in a folder beside which works of any kind lie."""
    shape = {"label": "a", "points": [[1, 1], [9, 9]], "shape_type": "rectangle"}
    page = {"version": "5.0", "flags": {}, "shapes": [shape], "imagePath": "y.png", "imageHeight": 40, "imageWidth": 60}
    for place in (tmp_path / "work" / "deep" / "down", tmp_path / "labelled"):
        noise(place / "y.png")
        (place / "y.json").write_text(json.dumps(page))
    make_coco(tmp_path / "coco")
    noise(tmp_path / name / "x.png")
    assert formats_at(tmp_path) == ["labelme"]
    status, _, error = run(capsys, "doctor", str(tmp_path / name))
    assert status == 2 and "it holds 1 picture without annotations of any" in " ".join(error.split()), error
    (tmp_path / name / "x.json").write_text(json.dumps(page | {"imagePath": "x.png"}))
    assert run(capsys, "doctor", str(tmp_path / name), "--json")[0] == 0


def test_a_picture_of_another_set_is_not_pointed_at(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A set whose pictures are away, beside one that has pictures of the same names."""
    for name in ("a", "b"):
        make_coco(tmp_path / name)
        (tmp_path / name / "images" / "train").rename(tmp_path / name / "pictures")
    shutil.rmtree(tmp_path / "a" / "pictures")
    _, said, _ = run(capsys, "doctor", str(tmp_path / "a"), "--json")
    (mend,) = [f["mend"] for f in json.loads(said)["faults"] if f["kind"] == "unusable split"]
    assert "put the images there" in mend and str(tmp_path / "b") not in mend


def test_annotations_alone_say_where_the_pictures_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = tmp_path / "boxes"
    at = make_coco(root).parent
    status, said, _ = run(capsys, "doctor", str(at), "--json")
    (fault, *_) = [f for f in json.loads(said)["faults"] if f["kind"] == "unusable split"]
    assert status == 1 and f"name {root}, which holds the annotations too" in fault["mend"]


def test_what_the_doctor_prints_fits_eighty_columns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                    capsys: pytest.CaptureFixture[str]) -> None:
    """No line of a table is longer, and no word of a heading broken."""
    monkeypatch.setenv("COLUMNS", "80")
    make_coco(tmp_path / "boxes")
    made(tmp_path / "classes")
    for folder in ("boxes", "classes"):
        _, said, _ = run(capsys, "doctor", str(tmp_path / folder))
        tables = said[said.index("splits") :].split("note ")[0].split("no faults")[0].splitlines()
        assert tables and all(len(line) <= 80 for line in tables) and "…" not in "".join(tables)
    _, said, _ = run(capsys, "doctor", str(tmp_path / "boxes"))
    for heading in ("objects an image", "crowd", "empty", "medium", "large"):
        assert heading in said


def test_what_is_packed_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import zipfile

    for k in range(2):
        noise(tmp_path / "set" / "images" / f"{k}.png", seed=k)
    with zipfile.ZipFile(tmp_path / "set" / "labels.zip", "w") as packed:
        packed.writestr("labels/0.txt", "0 .5 .5 .2 .2\n")
    status, _, error = run(capsys, "doctor", str(tmp_path / "set"))
    assert status == 2 and "holds 2 pictures without annotations of any. unpack labels.zip: archives are not read" in (
        " ".join(error.split()))


def test_the_doctor_reads_arrays_and_names_the_parts_of_a_mixture(tmp_path: Path) -> None:
    from stemma.data.doctors import examiner

    y = np.arange(60) % 3
    np.savez(tmp_path / "a.npz", x=np.zeros((60, 8, 8), np.uint8), y=y)
    report = examiner(tmp_path / "a.npz")(tmp_path / "a.npz", None)
    assert sum(f.classes["1"] for f in report.splits.values()) == 20 and not report.faults and report.status == 0
    np.savez(tmp_path / "b.npz", x=np.zeros((60, 8, 8), np.uint8), y=np.where(y, np.nan, 0.0))
    report = examiner(tmp_path / "b.npz")(tmp_path / "b.npz", None)
    assert report.status != 0 and "labels that are not finite" in report.faults[0].problem
    for name in ("scenes:64+labels:my/birds", "labels:my/birds"):
        with pytest.raises(DataError, match="my/birds"):
            examiner(name)(name, None)
    assert len(examiner("scenes:64+scenes:64")("scenes:64+scenes:64", None).splits) == 3
