"""The doctor finds what was put wrong, says where, and prints it."""
from __future__ import annotations

import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from made_data import coco_doc, make_coco, make_maps, make_voc, noise, voc_xml
from stemma.core.types import DataError
from stemma.data.doctor import Report, examine


def shown(report: Report) -> str:
    console = Console(file=io.StringIO(), width=150)
    report.render(console)
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
    doc = coco_doc(6)
    for i in range(6):
        doc["images"][i]["file_name"] = f"{i}.jpg"
    doc["annotations"][0]["bbox"] = [5, 5, float("nan"), 4]
    doc["annotations"][2]["bbox"] = [5, 5, 0, 4]
    doc["annotations"][3]["category_id"] = 5
    doc["annotations"] = doc["annotations"][:10]
    path = make_coco(tmp_path, doc, images=0)
    for i in range(6):
        noise(tmp_path / f"images/train/{i}.jpg", seed=i)
    shutil.copy(tmp_path / "images/train/0.jpg", tmp_path / "images/train/1.jpg")
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
    assert by["duplicate image"].file.endswith("1.jpg") and "0.jpg" in by["duplicate image"].problem
    assert ("train and val" in by["duplicate across splits"].problem
            or "val and train" in by["duplicate across splits"].problem)
    assert "'dog'" in by["class lists disagree"].problem and "'cow'" in by["class lists disagree"].problem
    assert all(f.file and f.problem and f.mend for f in report.faults)
    assert any("no object" in n for n in report.notes)
    text = shown(report)
    assert "training refuses" in text and str(path) in text.replace("\n", "")


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


def test_scenes_have_figures_and_no_faults() -> None:
    report = examine("scenes:64:20")
    assert report.status == 0 and report.splits["train"].images == 20 and report.splits["train"].objects > 20
    assert "drawn" in shown(report)


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
