"""The doctor finds what was put wrong, says where, and prints it."""
from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from made_data import coco_doc, make_coco, make_maps, make_voc, make_yolo, noise, voc_xml
from stemma.cli.examined import render
from stemma.core import outputs
from stemma.core.types import DataError
from stemma.data.doctor import Report, SplitFigures, examine
from stemma.data.open import open_dataset, open_pair
from stemma.data.records import DataWarning


def shown(report: Report) -> str:
    console = Console(file=io.StringIO(), width=150)
    render(report, console=console)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    json.dumps(report.as_dict(), allow_nan=False)
    return text


def test_a_clean_folder(tmp_path: Path) -> None:
    make_coco(tmp_path)
    make_coco(tmp_path, split="val", images=2)
    seen: list[tuple[int, int]] = []
    report = examine(tmp_path, progress=lambda done, total: seen.append((done, total)))
    assert report.status == 0 and not report.refused and report.format == "coco" and seen[-1] == (5, 5)
    train = report.splits["train"]
    assert (train.images, train.objects, train.empty, train.classes) == (3, 6, 0, {"cat": 3, "dog": 3})
    assert train.coco_sizes == {"small": 6, "medium": 0, "large": 0} and train.per_image == {"least": 2, "median": 2.0,
                                                                                             "mean": 2.0, "most": 2}
    assert (train.aspects["2 to 4"] == 6 and sum(train.relative_sizes.values()) == 6
            and train.image_sizes["median"] == [40, 60])
    text = shown(report)
    assert "no faults" in text and "cat" in text and "train" in text


def test_every_kind_of_fault_is_found(tmp_path: Path) -> None:
    doc = coco_doc(8)
    for i in range(8):
        doc["images"][i]["file_name"] = f"{i}.jpg"
    doc["annotations"][0]["bbox"] = [5, 5, float("nan"), 4]
    doc["annotations"][2]["bbox"] = [5, 5, 0, 4]
    doc["annotations"][3]["category_id"] = 5
    doc["annotations"] = [a for a in doc["annotations"] if a["image_id"] != 105]
    path = make_coco(tmp_path, doc, images=0)
    for i in range(8):
        noise(tmp_path / f"images/train/{i}.jpg", seed=i)
    shutil.copy(tmp_path / "images/train/6.jpg", tmp_path / "images/train/7.jpg")
    raw = (tmp_path / "images/train/2.jpg").read_bytes()
    (tmp_path / "images/train/2.jpg").write_bytes(raw[: len(raw) // 2])
    noise(tmp_path / "images/train/3.jpg", 50, 50)
    (tmp_path / "images/train/4.jpg").unlink()
    val = coco_doc(1)
    val["images"][0]["file_name"] = "0.jpg"
    val["categories"][0]["name"] = "cow"
    make_coco(tmp_path, val, "val", images=0)
    (tmp_path / "images/val").mkdir()
    shutil.copy(tmp_path / "images/train/5.jpg", tmp_path / "images/val/0.jpg")
    report = examine(tmp_path)
    counts = report.as_dict()["fault_counts"]
    assert counts == {"box not finite": 1, "degenerate box": 1, "unknown class": 1, "missing image": 1,
                      "duplicate image": 1, "unreadable image": 1,
                      "wrong size": 1, "duplicate across splits": 1, "class lists disagree": 1}
    assert report.status == 1 and report.refused
    by = {f.kind: f for f in report.faults}
    assert by["unreadable image"].file.endswith("2.jpg") and "truncated" in by["unreadable image"].problem
    assert by["wrong size"].file.endswith("3.jpg") and "50 x 50" in by["wrong size"].problem
    assert by["duplicate image"].file.endswith("7.jpg") and "6.jpg" in by["duplicate image"].problem
    assert ("train and val" in by["duplicate across splits"].problem
            or "val and train" in by["duplicate across splits"].problem)
    assert "'dog'" in by["class lists disagree"].problem and "'cow'" in by["class lists disagree"].problem
    assert all(f.file and f.problem and f.mend for f in report.faults)
    assert any("no object" in n for n in report.notes)
    text = shown(report)
    assert "training refuses" in text and str(path) in text.replace("\n", "")


def test_areas_larger_than_their_boxes_are_noted(tmp_path: Path) -> None:
    """supervisely 6.74.51 writes a rectangle of 20 x 10 pixels as the box 19 x 9 with an area of 200. An outline whose
    area is less, a crowd, and a box that is clipped at the picture's edge are none of these."""
    doc = coco_doc(2)
    sides = [([20, 10, 19, 9], 200, 0), ([2, 2, 20, 10], 150, 0), ([2, 20, 19, 9], 200, 1), ([50, 20, 20, 10], 200, 0)]
    doc["annotations"] = [{"id": k + 1, "image_id": doc["images"][k // 2]["id"], "category_id": 3, "bbox": box,
                           "area": area, "iscrowd": crowd} for k, (box, area, crowd) in enumerate(sides)]
    make_coco(tmp_path, doc, images=2)
    notes = [n for n in examine(tmp_path).notes if "larger than the box" in n]
    assert notes == ["train: the area of 1 object is larger than the box: small, medium and large are told by it"]


def test_near_duplicates_are_notes(tmp_path: Path) -> None:
    root = make_voc(tmp_path / "v", [voc_xml()] * 4)
    smooth = Image.fromarray(np.random.default_rng(5)
                             .integers(0, 256, (5, 6, 3), dtype=np.uint8)).resize((60, 40), Image.Resampling.BICUBIC)
    smooth.save(root / "JPEGImages/v0.jpg", quality=95)
    smooth.save(root / "JPEGImages/v1.jpg", quality=60)
    for name in ("v2", "v3"):  # two blank pictures that differ in one pixel resemble each other for no reason
        blank = np.full((40, 60, 3), 90, np.uint8)
        blank[0, 0] = 255 if name == "v2" else 0
        Image.fromarray(blank).save(root / f"JPEGImages/{name}.jpg")
    report = examine(root)
    assert report.status == 0 and [n for n in report.notes if n.startswith("1 pair of pictures look alike")
                                   and "v0.jpg" in n and "v1.jpg" in n]
    assert not any("look alike" in n for n in examine(root, near=False).notes)


def test_a_picture_listed_in_two_splits(tmp_path: Path) -> None:
    make_voc(tmp_path / "v", splits={"train": [0, 1], "val": [1, 2], "trainval": [0, 1, 2]})
    report = examine(tmp_path / "v")
    assert ([f.kind for f in report.faults] == ["image in two splits"] and "v1.jpg" in report.faults[0].file
            and "trainval" not in report.splits)


def test_maps_are_examined_too(tmp_path: Path) -> None:
    m = np.tile(np.array([0, 1], np.uint8), (40, 30))
    root = make_maps(tmp_path / "d", [m, m + 5, m])
    (root / "classes.txt").write_text("sky\nroad\n")
    report = examine(root)
    figures = report.splits["all"]
    assert figures.unit == "pixels" and figures.classes == {"sky": 2400, "road": 2400}
    assert ([f.kind for f in report.faults] == ["unusable map"] and report.faults[0].file.endswith("m1.png")
            and "class id 5" in report.faults[0].problem)
    assert any("not divided" in n for n in report.notes) and "pixels of each class" in shown(report)


def test_of_too_few_pictures_to_divide_it_is_said_what_splits_will_be(tmp_path: Path) -> None:
    for n, said in ((2, "with fewer than three pictures train, val and test will each be all of it"),
                    (3, "train, val and test will be 80, 10 and 10 % by a hash")):
        make_coco(tmp_path / str(n), coco_doc(n), "", n)
        assert any(said in note for note in examine(tmp_path / str(n)).notes)


def test_one_unusable_split_does_not_hide_the_other(tmp_path: Path) -> None:
    make_coco(tmp_path)
    (make_coco(tmp_path, split="val", images=2)).write_text('{"images": [], "annotations": [')
    report = examine(tmp_path, format="coco")
    assert report.splits["train"].images == 3
    broken = tmp_path / "annotations/instances_val.json"
    report = examine(broken, format="coco")
    assert ([f.kind for f in report.faults] == ["unusable split"] and "truncated" in report.faults[0].problem
            and report.status == 1)
    with pytest.raises(DataError, match="no such file"):
        examine(tmp_path / "nowhere")
    with pytest.raises(DataError, match="unknown to this format"):
        examine(tmp_path, format="coco", spin=1)


def test_pointers_of_git_lfs_are_named(tmp_path: Path) -> None:
    path = make_coco(tmp_path)
    for p in (tmp_path / "images/train").iterdir():
        p.write_text(f"version https://git-lfs.github.com/spec/v1\noid sha256:{'a' * 64}\nsize 4321\n")
    report = examine(tmp_path)
    assert [f.kind for f in report.faults] == ["unreadable image"] * 3 and report.status == 1
    assert all("Git LFS pointer" in f.problem and "git lfs pull" in f.mend for f in report.faults)
    assert "no faults" not in shown(report)
    path.write_bytes((tmp_path / "images/train/0.png").read_bytes())
    with pytest.raises(DataError, match="Git LFS pointer"):
        examine(path)


def test_faults_are_told_where_a_split_has_nothing_left(tmp_path: Path) -> None:
    doc = coco_doc()
    for a in doc["annotations"]:
        a["bbox"][2] = 0
    make_coco(tmp_path, doc)
    make_coco(tmp_path, split="val")
    report = examine(tmp_path)
    counts = report.as_dict()["fault_counts"]
    assert counts == {"degenerate box": 6, "unusable split": 1} and report.refused
    assert {s: f.images for s, f in report.splits.items()} == {"train": 0, "val": 3}
    assert "none of the 3 images of split 'train' can be used" in shown(report)


@pytest.mark.parametrize("what", ["crowds", "nothing"])
def test_data_from_which_nothing_can_be_learned_is_a_fault(tmp_path: Path, what: str) -> None:
    doc = coco_doc()
    for a in doc["annotations"]:
        a["iscrowd"] = 1
    path = make_coco(tmp_path, doc if what == "crowds" else coco_doc() | {"annotations": []})
    said = {"crowds": "all 6 objects.*are crowds.*write iscrowd 0", "nothing": "no objects in any of the 3"}[what]
    kind = {"crowds": "all crowd", "nothing": "no objects"}[what]
    report = examine(path)
    assert [(f.kind, f.safe) for f in report.faults] == [(kind, False)] and report.refused
    with pytest.raises(DataError, match=said):
        open_dataset(path)


@pytest.mark.parametrize(("values", "said"), [((0, 0), "are all background"), ((1, 0), "")])
def test_maps_of_one_class_alone(tmp_path: Path, values: tuple[int, int], said: str) -> None:
    maps = [np.full((40, 60), v, np.uint8) for v in values]
    (make_maps(tmp_path, maps) / "classes.txt").write_text("background\nroad\n")
    report = examine(tmp_path, near=False)
    assert [f.problem for f in report.faults if f.kind == "nothing to learn"] == (
        [f"the maps of split 'all' {said}: nothing is left to learn"] if said else [])


def test_what_no_split_reads_is_counted_and_named(tmp_path: Path) -> None:
    root = make_yolo(tmp_path / "y")
    make_coco(tmp_path / "runs/old")
    (tmp_path / "runs/old/run.json").write_text("{}")
    shutil.move(tmp_path / "runs", root / "runs")
    noise(root / "images/more/x.png")
    noise(root / "images/more/deep/y.JFIF", format="JPEG")
    (root / "labels/train/gone.txt").write_text("0 0.5 0.5 0.5 0.5\n")
    (root / "README.md").write_text("about")
    (root / "video.mp4").write_bytes(b"0")
    outputs.put(root / "images/more/drawn.png", lambda p: noise(p), prediction=True)
    report = examine(root)
    assert report.status == 0 and report.unused.as_dict() == {
        "pictures": ["images/more/deep/y.JFIF", "images/more/x.png"], "annotations": ["labels/train/gone.txt"],
        "others": ["video.mp4"]}
    (note,) = [n for n in report.notes if n.startswith("not used")]
    assert "2 pictures (images/more/deep/y.JFIF, images/more/x.png)" in note and "labels/train/gone.txt" in note
    with pytest.warns(DataWarning, match="not used: 2 pictures .* and 1 file of annotations .*stemma doctor") as told:
        open_pair(str(root))
    assert not any("video" in str(w.message) for w in told)


def test_what_lies_behind_a_link_counts_once(tmp_path: Path) -> None:
    make_coco(tmp_path / "d")
    (tmp_path / "d/images").rename(tmp_path / "d/pictures")
    (tmp_path / "d/images").symlink_to(tmp_path / "d/pictures")
    (tmp_path / "d/again").symlink_to(tmp_path / "d")
    assert not examine(tmp_path / "d").unused


def test_turned_pictures_are_noted(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    doc = coco_doc()
    path = make_coco(tmp_path, doc)
    noise(tmp_path / "images/train/0.png", 60, 40, exif=exif)  # 40 x 60 as it is looked at, as annotated
    noise(tmp_path / "images/train/1.png", 40, 60, seed=1, exif=exif)  # annotated as it is stored
    note = "2 pictures have an EXIF orientation: 1 read turned, as the annotated size says; 1 read as stored"
    report = examine(path)
    assert report.status == 0 and any(n.startswith(note) for n in report.notes)
    root = make_yolo(tmp_path / "y")
    noise(root / "images/train/0.png", 60, 40, exif=exif)
    assert any("no annotated size tells" in n and "0.png" in n for n in examine(root).notes)


def test_scenes_have_figures_and_no_faults() -> None:
    report = examine("scenes:64:20")
    assert report.status == 0 and report.splits["train"].images == 20 and report.splits["train"].objects > 20
    assert "drawn" in shown(report)


@pytest.mark.parametrize("what", ["nowhere", "empty", "broken"])
def test_a_wrong_folder_does_not_wait_for_torch(tmp_path: Path, what: str) -> None:
    if what != "nowhere":
        (tmp_path / what).mkdir()
    if what == "broken":
        make_coco(tmp_path / what, coco_doc() | {"annotations": []})
    code = ("import sys\nfrom stemma.cli import main\ntry:\n    main(sys.argv[1:])\nexcept SystemExit as e:\n    "
            "print(e.code, sorted({'torch', 'torchvision', 'timm', 'scipy.ndimage'} & set(sys.modules)))")
    said = subprocess.run([sys.executable, "-c", code, "doctor", str(tmp_path / what)], capture_output=True, text=True)
    assert said.stdout.splitlines()[-1] == f"{1 if what == 'broken' else 2} []", said.stderr


@pytest.mark.data
def test_bccd_has_two_degenerate_boxes(shared_data: Path) -> None:
    report = examine(shared_data / "bccd", near=False)
    assert ({s: f.images for s, f in report.splits.items()} == {"train": 205, "val": 87, "test": 72}
            and report.status == 1)
    assert sorted(Path(f.file).stem for f in report.faults if f.kind == "degenerate box") == ["BloodImage_00338",
                                                                                              "BloodImage_00343"]
    assert len(report.faults) == 2 and sum(f.objects for f in report.splits.values()) == 4886


@pytest.mark.data
def test_neu_det_has_one_duplicate_pair(shared_data: Path) -> None:
    report = examine(shared_data / "neu_det")
    assert ([(f.kind, Path(f.file).name) for f in report.faults] == [("duplicate image", "patches_105.jpg")]
            and "patches_101.jpg" in report.faults[0].problem)


@pytest.mark.data
@pytest.mark.slow
def test_the_other_real_sets_are_clean(shared_data: Path) -> None:
    for name, objects in (("coco549", 4760), ("dsb2018", 28_986), ("camvid", 0)):
        report = examine(shared_data / name)
        assert report.status == 0 and sum(f.objects for f in report.splits.values()) == objects, name


def test_classes_that_differ_in_case_alone_are_told(tmp_path: Path) -> None:
    root = make_yolo(tmp_path, yaml="path: .\ntrain: images/train\nnames: [Traffic light, traffic-light, cat]\n")
    assert any(n.startswith("'Traffic light' and 'traffic-light' are classes of their own") for n in examine(root).notes)
    assert not any("of their own" in n for n in examine(make_yolo(tmp_path / "two")).notes)


@pytest.mark.filterwarnings("ignore")
def test_of_data_that_are_made_of_others_each_is_looked_at_and_the_whole_is_opened(tmp_path: Path) -> None:
    from stemma.data.doctors import examiner, made_of

    def looked(where: str) -> Report:
        return examiner(where)(where)

    for name in "ab":
        make_coco(tmp_path / name)
    (tmp_path / "b" / "images" / "train" / "1.png").write_bytes(b"broken")
    for k in range(12):
        for c in ("x", "y"):
            noise(tmp_path / "classes" / c / f"{k}.png", seed=k + 20 * (c == "y"))
    a, b, classes = (str(tmp_path / n) for n in ("a", "b", "classes"))
    both = looked(f"{a}+{b}*2")
    assert list(both.splits) == [f"{a}: train", f"{b}: train"] and list(both.opened) == list(both.splits)
    assert both.unreadable == [str(tmp_path / "b" / "images" / "train" / "1.png")] and not both.refused
    assert any("pictures that are in two of these sets are not looked for" in n for n in both.notes)
    beside = looked(f"{a}+labels:{classes}")
    assert beside.format == "coco+class folders" and beside.splits[f"{classes}: all"].images == 24
    for name, place in ((f"few:3:{classes}", classes), (f"labels:{a}", a), (f"few:3:crops:{a}", a)):
        assert made_of(name) == [place] and looked(name).splits.keys() == looked(place).splits.keys()
    (tooth,) = (f for f in looked(f"levels:{classes}").faults)
    assert "levels.json" in tooth.problem and not tooth.safe
    doc = coco_doc(3)
    doc["categories"][0]["name"] = "cow"
    make_coco(tmp_path / "c", doc)
    (other,) = (f for f in looked(f"{a}+{tmp_path / 'c'}").faults)
    assert other.kind == "not to be opened together" and "class 1 is 'dog' and 'cow'" in other.problem
    with pytest.raises(DataError, match="nowhere"):
        looked(f"few:3:{tmp_path / 'nowhere'}")
    waves, fewer = looked("drawn:waves"), looked("few:3:drawn:waves")
    assert {k: v.images for k, v in waves.splits.items()} == {"train": 400, "val": 200, "test": 400}
    assert waves.classes == fewer.classes and len(waves.classes) == 8 and not waves.faults and not fewer.faults
    drawn = looked("drawn")
    assert made_of("drawn") == [f"drawn:{t}" for t in ("outlines", "waves", "counts", "colours")]
    assert len(drawn.splits) == 12 and drawn.splits["drawn:waves: val"].images == 200 and not drawn.faults
    assert "is 4 sets" in looked("few:3:drawn").faults[0].problem
    assert "is not drawn" in looked("drawn:wafes").faults[0].problem


def test_a_dozen_splits_are_counted_within_80_columns() -> None:
    """A table of as many splits as a line holds, and another of the next: no number and no name is cut."""
    names = [f"camera_{k:02d}_night" for k in range(12)]
    report = Report("data", "coco", ("boxes",), ("pedestrian", "bus"), {
        n: SplitFigures(10, 12_345 + k, classes={"pedestrian": 12_345 + k, "bus": 0}) for k, n in enumerate(names)})
    console = Console(file=io.StringIO(), width=80)
    render(report, console=console)
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert max(map(len, lines)) <= 80 and "…" not in "".join(lines)
    heads = [line.split()[1:] for line in lines if line.split()[:1] == ["class"]]
    assert [n for head in heads for n in head] == names and len(heads) > 1
    rows = [line.split()[1:] for line in lines if line.split()[:1] == ["pedestrian"]]
    assert [n for row in rows for n in row] == [f"{12_345 + k:,}" for k in range(12)]
