"""Predicting for pictures: what is taken, what comes back, tiles, drawings and files."""
from __future__ import annotations

import json
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import stemma
from engine_help import SETS, scenes
from made_data import make_coco, make_voc
from stemma.core.outputs import JOURNAL
from stemma.core.types import Batch, Classes, Detections, Info, PanopticMap, Points, SemanticMap, StemmaError, Targets
from stemma.data.readers.coco import write_coco
from stemma.engine.pictures import draw
from stemma.engine.pictures.answers import to_file
from stemma.engine.pictures.export import export
from stemma.engine.pictures.predict import merge, shifted, windows
from stemma.engine.running import checkpoint
from stemma.engine.running.asked import drawn_names, find_pictures
from stemma.ops.masks import decode, encode
from stemma.report import lineage


def model(paper: str = "retinanet", **sets: Any) -> Any:
    torch.manual_seed(0)
    low = {"rule.score": 0.001} if paper == "retinanet" else {}
    return checkpoint.build(paper, "small", sets=SETS | low | sets, info=scenes(1).info).eval()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("photos")
    data = scenes(3)
    for i, (name, size) in enumerate((("a.png", (96, 64)), ("b.jpg", (64, 64)), ("deep/c.png", (50, 80)))):
        (root / name).parent.mkdir(exist_ok=True)
        Image.fromarray(data[i].image).resize(size).save(root / name)
    (root / "notes.txt").write_text("no picture")
    return root


# ---------------------------------------------------------------- what is taken and what comes back


def test_files_folders_patterns_arrays_and_lists_are_pictures(folder: Path) -> None:
    def names(x: Any) -> list[str]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return find_pictures(x).names

    assert names(folder) == ["a.png", "b.jpg", "deep/c.png"] and names(folder / "a.png") == ["a.png"]
    assert names(f"{folder}/*.jpg") == ["b.jpg"] and names(f"{folder}/**/c.png") == ["deep/c.png"]
    assert names(f"{folder}/*") == ["a.png", "b.jpg", "deep/c.png"], ("a folder that a pattern matches, as a shell "
                                                                      "would name it")
    assert names([folder / "b.jpg", f"{folder}/**/c.png"]) == ["b.jpg", "deep/c.png"]
    assert names([folder, folder / "a.png"]) == ["a.png", "b.jpg", "deep/c.png"], "each picture once"
    array = np.zeros((8, 8, 3), np.uint8)
    assert find_pictures([array, folder / "a.png"]).sources[0] is array
    for nothing, word in ((folder / "x.png", "no picture at"), (f"{folder}/*.gif", "pattern in quotes")):
        with pytest.raises(StemmaError, match=word):
            find_pictures(nothing)
    (folder / "void").mkdir(exist_ok=True)
    with pytest.raises(StemmaError, match="no pictures in"):
        find_pictures(folder / "void")


def test_pictures_of_one_base_name_keep_their_folders(tmp_path: Path) -> None:
    for i, name in enumerate(("camA/1.png", "camB/1.png", "camB/1.jpg")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(scenes(3)[i].image).save(tmp_path / name)
    every = find_pictures([tmp_path / "camA", tmp_path / "camB"])
    assert every.names == ["camA/1.png", "camB/1.jpg", "camB/1.png"], "below what both have in common"
    assert drawn_names(every.names) == ["camA/1", "camB/1.jpg", "camB/1.png"]
    assert len({n.casefold() for n in drawn_names(["a.png", "a.jpg", "a.png.jpg", "A.PNG", "b.gif"])}) == 5
    stemma.predict(model(), tmp_path, tmp_path / "out", threshold=0.0, device="cpu")
    said = json.loads((tmp_path / "out" / "predictions.json").read_text())
    assert [(i["file_name"], i["drawn"]) for i in said["images"]] == [
        ("camA/1.png", "camA/1.jpg"), ("camB/1.jpg", "camB/1.jpg.jpg"), ("camB/1.png", "camB/1.png.jpg"),
    ]
    assert all((tmp_path / "out" / i["drawn"]).is_file() for i in said["images"])


def test_every_kind_that_is_read_is_predicted_and_what_is_left_out_is_said(tmp_path: Path) -> None:
    image = Image.fromarray(scenes(1)[0].image)
    for name, kind in (("a.avif", "AVIF"), ("b.jp2", "JPEG2000"), ("c.JPE", "JPEG"), (".hidden.png", "PNG")):
        image.save(tmp_path / name, format=kind)
    for name in ("d.heic", "notes.txt", "more.txt"):
        (tmp_path / name).write_text("not really")
    (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere.png")
    with pytest.warns(UserWarning) as told:
        found = find_pictures(tmp_path)
    assert found.names == ["a.avif", "b.jp2", "c.JPE"]
    (said,) = (str(w.message) for w in told)
    assert "left out: 3 files of a kind that is not read as a picture (2 .txt, 1 .heic)" in said and "gone.png" in said
    assert len(stemma.predict(model(), [tmp_path / n for n in found.names], device="cpu")) == 3


def test_a_pillow_picture_brings_no_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (found,) = stemma.predict(model(), Image.new("L", (20, 30)), device="cpu", precision="fp32")
    assert found["size"] == (30, 20)


def test_detections_are_in_pixels_of_the_file(folder: Path) -> None:
    found = stemma.predict(model(), folder, threshold=0.0, device="cpu", precision="fp32")
    assert ([Path(p["file"]).name for p in found] == ["a.png", "b.jpg", "c.png"]
            and [p["size"] for p in found] == [(64, 96), (64, 64), (80, 50)])
    for p in found:
        h, w = p["size"]
        assert len(p["boxes"]) == len(p["scores"]) == len(p["labels"]) == len(p["names"]) > 0
        assert (p["boxes"] >= 0).all() and (p["boxes"][:, 2] <= w).all() and (p["boxes"][:, 3] <= h).all()
        assert set(p["names"]) <= set(scenes(1).info.classes.names) and (np.diff(p["scores"]) <= 0).all()
    few = stemma.predict(model(), folder, threshold=float(found[0]["scores"][3]), device="cpu", precision="fp32")
    assert len(few[0]["boxes"]) == 4


def test_the_size_of_a_batch_changes_nothing(folder: Path) -> None:
    m, pictures = model(), [scenes(4)[i].image for i in range(4)]
    one, all_ = (stemma.predict(m, pictures, threshold=0.0, batch=b, device="cpu", precision="fp32") for b in (1, 4))
    for a, b in zip(one, all_, strict=True):
        np.testing.assert_allclose(a["scores"], b["scores"], atol=1e-5)


def test_a_network_box_maps_to_the_file_by_hand() -> None:
    batch = Batch(torch.zeros(1, 3, 64, 96), Targets(torch.zeros(1, 0, 4), torch.zeros(1, 0).long()),
                  torch.tensor([[50.0, 80.0]]), torch.tensor([[100.0, 240.0]]), torch.tensor([0]))
    d = Detections(
        torch.tensor([[[8.0, 5.0, 40.0, 25.0], [0, 0, 0, 0]]]), torch.tensor([[0.9, 0.0]]), torch.tensor([[1, -1]]),
        masks=torch.ones(1, 2, 4, 4), keypoints=torch.tensor([[[[8.0, 5.0, 0.7]], [[0, 0, 0]]]]),
    )
    (found,) = to_file(d, batch)
    np.testing.assert_allclose(found["boxes"], [[24, 10, 120, 50]])
    np.testing.assert_allclose(found["keypoints"], [[[24, 10, 0.7]]], rtol=1e-6)
    ys, xs = np.nonzero(decode(found["masks"][0]))
    assert (decode(found["masks"][0]).shape == (100, 240) and abs(xs.min() - 24) <= 2 and abs(xs.max() - 119) <= 2
            and abs(ys.min() - 10) <= 2 and abs(ys.max() - 49) <= 2)


def test_maps_are_cut_to_the_picture_and_resized() -> None:
    batch = Batch(torch.zeros(1, 3, 64, 64), Targets(torch.zeros(1, 0, 4), torch.zeros(1, 0).long()),
                  torch.tensor([[32.0, 48.0]]), torch.tensor([[64.0, 96.0]]), torch.tensor([0]))
    labels = torch.zeros(1, 64, 64, dtype=torch.long)
    labels[0, :, 24:48], labels[0, 32:] = 2, 7  # 7 lies in the padding alone
    (plain,) = to_file(SemanticMap(labels), batch)
    assert (plain["semantic"].shape == (64, 96) and set(np.unique(plain["semantic"])) == {0, 2}
            and (plain["semantic"][:, 48:] == 2).all())
    scores = torch.nn.functional.one_hot(labels, 8).permute(0, 3, 1, 2).float()
    (soft,) = to_file(SemanticMap(labels, scores), batch)
    assert (soft["semantic"] == plain["semantic"]).mean() > 0.97
    (segments,) = to_file(PanopticMap(labels, torch.tensor([[4, 5, -1]]), torch.tensor([[0.9, 0.8, 0.0]])), batch)
    assert segments["segments"].tolist() == [4, 5] and (segments["panoptic"] == plain["semantic"]).all()


def test_semantic_papers_give_maps(folder: Path) -> None:
    found = stemma.predict(model("fcn"), folder, device="cpu")
    assert [p["semantic"].shape for p in found] == [(64, 96), (64, 64), (80, 50)] and "boxes" not in found[0]


def test_models_without_data_have_numbered_classes() -> None:
    torch.manual_seed(0)
    m = checkpoint.build("retinanet", "small", 3, sets=SETS | {"rule.score": 0.001})
    (found,) = stemma.predict(m, np.zeros((64, 64, 3), np.uint8), threshold=0.0, device="cpu")
    assert set(found["names"]) <= {"class 0", "class 1", "class 2"}
    with pytest.raises(StemmaError, match="does not say which paper"):
        stemma.predict(torch.nn.Linear(1, 1), np.zeros((8, 8, 3), np.uint8))


def test_a_broken_file_is_left_out_with_a_warning(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing more")
    (tmp_path / "good.png").write_bytes((folder / "a.png").read_bytes())
    for tile in (None, 48):
        with pytest.warns(UserWarning, match="bad.png"):
            found = stemma.predict(model(), tmp_path, tile=tile, device="cpu")
        assert [Path(p["file"]).name for p in found] == ["good.png"]
    (tmp_path / "good.png").unlink()
    with warnings.catch_warnings(), pytest.raises(StemmaError, match="none of the pictures"):
        warnings.simplefilter("ignore")
        stemma.predict(model(), tmp_path, device="cpu")


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (3, 2)])
def test_tiny_pictures_work(size: tuple[int, int]) -> None:
    for paper in ("retinanet", "fcn"):
        (found,) = stemma.predict(model(paper), np.full((*size, 3), 90, np.uint8), threshold=0.0, device="cpu")
        assert found["size"] == size


# ---------------------------------------------------------------- tiles


@pytest.mark.parametrize("size, tile, overlap",
                         [((100, 70), 32, 0.2), ((32, 32), 32, 0.2), ((20, 500), 64, 0.5), ((33, 33), 32, 0.0)])
def test_windows_cover_everything_and_overlap(size: tuple[int, int], tile: int, overlap: float) -> None:
    cuts = windows(size, tile, overlap)
    seen = np.zeros(size, int)
    for x1, y1, x2, y2 in cuts:
        assert 0 <= x1 < x2 <= size[1] and 0 <= y1 < y2 <= size[0] and x2 - x1 <= tile and y2 - y1 <= tile
        seen[y1:y2, x1:x2] += 1
    assert seen.min() >= 1
    starts = sorted({c[0] for c in cuts})
    assert all(b - a <= tile * (1 - overlap) + 1 for a, b in zip(starts, starts[1:]))


def test_masks_are_moved_without_filling_the_picture() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        h, w = rng.integers(1, 12, 2)
        size = (int(h + rng.integers(0, 9)), int(w + rng.integers(0, 9)))
        x, y = int(rng.integers(0, size[1] - w + 1)), int(rng.integers(0, size[0] - h + 1))
        mask = rng.random((h, w)) < rng.choice([0.0, 0.3, 0.8, 1.0])
        whole = np.zeros(size, bool)
        whole[y : y + h, x : x + w] = mask
        assert np.array_equal(decode(shifted(encode(mask), (x, y), size)), whole)


def one(boxes: Any, scores: Any, labels: Any) -> dict[str, Any]:
    return {"boxes": np.array(boxes, np.float32).reshape(-1, 4), "scores": np.array(scores, np.float32),
            "labels": np.array(labels, np.int64)}


def test_tiles_are_merged_by_hand() -> None:
    cuts = [(0, 0, 100, 100), (80, 0, 180, 100), (0, 0, 180, 100)]
    parts = [
        # the second ends at the cut edge: half of an object
        one([[10, 10, 30, 30], [70, 40, 100, 60]], [0.9, 0.95], [0, 1]),
        one([[-0, 40, 25, 60], [5, 10, 20, 25]], [0.3, 0.6], [1, 0]),  # in the picture 80..105; cut on its left too
        one([[70, 40, 105, 60], [11, 10, 31, 30], [11, 10, 31, 30]], [0.5, 0.8, 0.7], [1, 0, 1]),
    ]
    got = merge(parts, cuts, (100, 180))
    assert got["scores"].tolist() == pytest.approx([0.9, 0.7, 0.6, 0.5]) and got["labels"].tolist() == [0, 1, 0, 1]
    assert got["boxes"][3].tolist() == [70, 40, 105, 60] and got["boxes"][2].tolist() == [85, 10, 100, 25]


def test_nothing_found_in_tiles_is_nothing() -> None:
    got = merge([one([], [], []), one([], [], [])], [(0, 0, 10, 10), (5, 0, 15, 10)], (10, 15))
    assert got["boxes"].shape == (0, 4) and got["labels"].dtype == np.int64


def test_tiled_maps_take_each_pixel_from_the_deepest_tile() -> None:
    from stemma.engine.pictures.predict import _join_maps

    cuts = windows((20, 50), 20, 0.25)
    parts = [{"semantic": np.full((y2 - y1, x2 - x1), k)} for k, (x1, y1, x2, y2) in enumerate(cuts)]
    joined = _join_maps(parts, cuts, (20, 50))["semantic"]
    assert sorted(np.unique(joined)) == list(range(len(cuts))) and (np.diff(joined[0]) >= 0).all()
    edge = int(np.flatnonzero(np.diff(joined[0]))[0]) + 1
    middle = (cuts[1][0] + cuts[0][2]) / 2
    assert abs(edge - middle) <= 1


def test_tiled_prediction_runs_from_end_to_end(folder: Path, tmp_path: Path) -> None:
    big = tmp_path / "big.png"
    Image.fromarray(np.tile(scenes(1)[0].image, (2, 3, 1))).save(big)
    (found,) = stemma.predict(model(), big, tile=64, threshold=0.0, device="cpu")
    assert found["size"] == (128, 192) and len(found["boxes"]) and found["boxes"][:, 2].max() > 100
    (maps,) = stemma.predict(model("fcn"), big, tile=64, device="cpu")
    assert maps["semantic"].shape == (128, 192)
    (masks,) = stemma.predict(model("mask-rcnn"), big, tile=64, threshold=0.0, device="cpu")
    assert all(decode(c).shape == (128, 192) for c in masks["masks"])
    for bad in ({"tile": 4}, {"tile": 64, "overlap": 0.95}):
        with pytest.raises(StemmaError, match="make no sense"):
            stemma.predict(model(), big, **bad)


# ---------------------------------------------------------------- files and drawings


def files(folder: Path) -> dict[str, bytes]:
    """Every file below a folder but the journals, with its bytes."""
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*"))
            if p.is_file() and p.name != JOURNAL}


def test_pictures_and_coco_json_are_written(folder: Path, tmp_path: Path) -> None:
    found = stemma.predict(model(), [folder, folder / "a.png"], out=tmp_path / "out", threshold=0.0, device="cpu")
    assert set(files(tmp_path / "out")) == {"a.jpg", "b.jpg", "deep/c.jpg", "predictions.json"}
    said = json.loads((tmp_path / "out" / "predictions.json").read_text())
    assert ([i["file_name"] for i in said["images"]] == ["a.png", "b.jpg", "deep/c.png"]
            == [p["file_name"] for p in found])
    assert len(said["annotations"]) == sum(len(p["boxes"]) for p in found)
    a, p = said["annotations"][0], found[0]
    corners = [a["bbox"][0], a["bbox"][1], a["bbox"][0] + a["bbox"][2], a["bbox"][1] + a["bbox"][3]]
    np.testing.assert_allclose(corners, p["boxes"][0], atol=1e-9)
    assert a["score"] == float(p["scores"][0]), "what is written is what was found, to the last bit"
    assert said["categories"][int(p["labels"][0])] == {"id": a["category_id"], "name": p["names"][0]}
    with Image.open(tmp_path / "out" / "a.jpg") as drawn:
        assert drawn.size == (96, 64)


def test_maps_are_written_as_pictures(folder: Path, tmp_path: Path) -> None:
    found = stemma.predict(model("fcn"), folder / "a.png", out=tmp_path / "out", device="cpu")
    assert set(files(tmp_path / "out")) == {"a.jpg", "a_labels.png", "predictions.json"}
    with Image.open(tmp_path / "out" / "a_labels.png") as labels:
        assert np.array_equal(np.asarray(labels), found[0]["semantic"])
    said = json.loads((tmp_path / "out" / "predictions.json").read_text())
    assert said["images"][0]["map"] == "a_labels.png"


def test_pictures_of_16_bits_are_read_at_the_scale_of_the_training(tmp_path: Path) -> None:
    """A run that saw 12 bits keeps 4095 for white, whatever the brightest pixel of the pictures that it is asked
    about."""
    learned = replace(scenes(1).info, white=4095.0)
    checkpoint.save(tmp_path / "m.safetensors", checkpoint.build("retinanet", "small", sets=SETS, info=learned))
    assert checkpoint.load(tmp_path / "m.safetensors").info.white == 4095  # type: ignore[union-attr]
    (tmp_path / "in").mkdir()
    for name, top in (("a", 2000), ("b", 65535)):
        grey = np.full((64, 64), 2000, np.uint16)
        grey[0, 0] = top
        Image.fromarray(grey).save(tmp_path / f"in/{name}.png")
    # without a scale of its own: one for all that is asked
    for m, want in ((tmp_path / "m.safetensors", 125), (model(), 8)):
        stemma.predict(m, tmp_path / "in", tmp_path / f"out{want}", threshold=1.0, device="cpu")
        for name in ("a", "b"):
            with Image.open(tmp_path / f"out{want}/{name}.jpg") as drawn:
                assert abs(int(np.asarray(drawn)[40, 40, 0]) - want) <= 1


# ---------------------------------------------------------------- what is not ours stays as it is


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Pictures of a person's own, two of one base name, and a file that a result would be called like."""
    for i, name in enumerate(("a.jpg", "sub/a.jpg", "b.png")):
        (tmp_path / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(scenes(3)[i].image).save(tmp_path / "photos" / name, quality=95)
    return tmp_path / "photos"


def test_drawn_copies_never_land_on_the_pictures(photos: Path) -> None:
    before = files(photos)
    for out in (photos, photos.parent / "sub" / ".." / "photos"):
        with pytest.raises(StemmaError, match="where the pictures come from.*another --out"):
            stemma.predict(model(), photos, out, device="cpu")
    with pytest.raises(StemmaError, match=r"a\.jpg is there, and it is not as Stemma wrote it.*another --out"):
        stemma.predict(model(), photos / "a.jpg", photos, device="cpu")
    (photos.parent / "link").symlink_to(photos)
    with pytest.raises(StemmaError, match="where the pictures come from"):
        stemma.predict(model(), photos, photos.parent / "link", device="cpu")
    assert files(photos) == before and not list(photos.rglob(JOURNAL))


def test_a_second_run_refreshes_its_own_output_and_takes_none_of_it_as_input(photos: Path) -> None:
    before, out = files(photos), photos / "drawn"
    first = stemma.predict(model(), photos, out, device="cpu")
    with pytest.warns(UserWarning, match=r"3 pictures that Stemma drew itself \(.*drawn/a.jpg"):
        second = stemma.predict(model(), photos, out, device="cpu")
    assert [p["file_name"] for p in first] == [p["file_name"] for p in second] == ["a.jpg", "b.png", "sub/a.jpg"]
    assert {k: v for k, v in files(photos).items() if not k.startswith("drawn/")} == before
    with pytest.raises(StemmaError, match="drawn by Stemma; name the pictures themselves"):
        stemma.predict(model(), out / "a.jpg", device="cpu")


def test_a_result_that_was_changed_is_no_longer_ours(photos: Path) -> None:
    out = photos.parent / "out"
    stemma.predict(model(), photos / "b.png", out, device="cpu")
    (out / "predictions.json").write_text("my notes")
    with pytest.raises(StemmaError, match="predictions.json is there, and it is not as Stemma wrote it"):
        stemma.predict(model(), photos / "b.png", out, device="cpu")
    (out / "predictions.json").unlink()
    (photos / "a.jpg").replace(out / "b.jpg")  # a picture of a person's own under the name of a drawn one
    before = files(out)
    with pytest.raises(StemmaError, match=r"b\.jpg is there"):
        stemma.predict(model(), photos / "b.png", out, device="cpu")
    assert files(out) == before and find_pictures(out).names == ["b.jpg"]


def test_nothing_that_is_written_replaces_what_is_not_ours(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.write_text("mine")
    for path, write in (
        (tmp_path / "tree.html", lambda p: lineage.write(p)),
        (tmp_path / "det.json", lambda p: stemma.evaluate(model(), scenes(2), out=p, device="cpu")),
        (tmp_path / "net.onnx", lambda p: export(model(), p)),
        (tmp_path / "net.safetensors", lambda p: stemma.save(p, model())),
        (tmp_path / "truth.json", lambda p: write_coco(scenes(1), p)),
    ):
        path.write_text("mine")
        with pytest.raises(StemmaError, match="it is not as Stemma wrote it, so it is not replaced"):
            write(path)
        assert path.read_text() == "mine"
        path.unlink()
        path.symlink_to(mine)  # nor what a link leads to, nor the link
        with pytest.raises(StemmaError, match="not replaced"):
            write(path)
        assert path.is_symlink() and mine.read_text() == "mine"
        path.unlink()
        if path.suffix in (".json", ".safetensors"):
            write(path)
            write(path)  # what we wrote may be written again
    assert not list(tmp_path.glob(".*.new*"))


def test_results_have_the_ids_of_the_data_that_were_measured(tmp_path: Path) -> None:
    """A model of (dog, cat) on COCO JSON with cat 3 and dog 7: matched by name,
    and its results are COCO's for that file."""
    from stemma.metrics.coco import evaluate_files

    path = make_coco(tmp_path)
    info = replace(stemma.open_dataset(path, "all").info, classes=Classes(("dog", "cat")), semantic=None)
    torch.manual_seed(0)
    m = checkpoint.build("retinanet", "small", sets=SETS | {"rule.score": 0.001}, info=info).eval()
    with pytest.warns(UserWarning, match="matched by name with the model's, whose order is another"):
        got = stemma.evaluate(m, path, split="all", out=tmp_path / "det.json", device="cpu")
    assert {r["category_id"] for r in json.loads((tmp_path / "det.json").read_text())} <= {3, 7}
    said = evaluate_files(path, tmp_path / "det.json").numbers()
    assert all(abs(got[k] - v) < 1e-9 for k, v in said.items() if not np.isnan(v)) and got["AR100"] > 0


def test_the_images_of_results_are_named(tmp_path: Path) -> None:
    make_voc(tmp_path / "voc", splits={"val": [1, 0]})
    m = checkpoint.build("retinanet", "small", sets=SETS | {"rule.score": 0.001},
                         info=stemma.open_dataset(tmp_path / "voc", "val").info).eval()
    stemma.evaluate(m, tmp_path / "voc", out=tmp_path / "det.json", device="cpu")
    said = json.loads((tmp_path / "det.images.json").read_text())
    assert ([i["file_name"] for i in said["images"]] == ["v1.jpg", "v0.jpg"]
            and [c["name"] for c in said["categories"]] == ["cat", "dog"])
    assert {r["image_id"] for r in json.loads((tmp_path / "det.json").read_text())} <= {i["id"] for i in said["images"]}


def test_truth_of_every_kind_is_drawn() -> None:
    data = scenes(2)
    s, info = data[1], data.info
    assert s.image is not None
    for task in ("detection", "instances", "keypoints", "semantic", "panoptic"):
        drawn = np.asarray(draw.draw(s.image, draw.as_prediction(s, task), info.classes_for(task).names, info.points))
        assert drawn.shape == s.image.shape and (drawn != s.image).any(), task
    plain = np.asarray(draw.draw(s.image, one([], [], []), info.classes.names))
    assert np.array_equal(plain, s.image)


def test_a_box_is_drawn_where_it_is_in_its_colour() -> None:
    image = np.zeros((400, 400, 3), np.uint8)
    drawn = np.asarray(draw.draw(image, one([[100, 200, 300, 350]], [0.9], [1]), ["a", "b"]))
    assert tuple(drawn[275, 100]) == draw.colour(1) == tuple(drawn[350, 200]) and drawn[275, 200].sum() == 0
    nothing = np.asarray(draw.draw(image, one([[100, 200, 300, 350]], [0.9], [1]), ["a", "b"], threshold=0.95))
    assert nothing.sum() == 0


def test_no_line_goes_through_a_word() -> None:
    image = np.zeros((400, 400, 3), np.uint8)
    weak, sure = [100, 200, 300, 350], [110, 150, 390, 260]  # the left edge of the sure box passes the weak one's word
    alone = np.asarray(draw.draw(image, one([weak], [0.5], [0]), ["a", "b"]))
    both = np.asarray(draw.draw(image, one([weak, sure], [0.5, 0.9], [0, 1]), ["a", "b"]))
    word = (alone == draw.colour(0)).all(-1)
    word[198:] = False
    assert word[:, 110].any() and (both[word] == draw.colour(0)).all()
    assert tuple(both[220, 110]) == draw.colour(1)


def test_names_stay_inside_the_picture_and_are_readable() -> None:
    image = np.full((60, 200, 3), 128, np.uint8)
    drawn = np.asarray(draw.draw(image, one([[150, 0, 199, 20]], [0.5], [0]), ["a rather long name"])).astype(int)
    field = (drawn == draw.colour(0)).all(-1)
    ys, xs = np.nonzero(field)
    assert field.sum() > 100 and xs.max() <= 199 and ys.min() == 0
    # dark letters on a light field
    assert (drawn[ys.min() : ys.max() + 1, xs.min() : xs.max() + 1].sum(-1) < 60).sum() > 10


def test_overlays_are_opaque_at_outlines_alone() -> None:
    mask = np.zeros((20, 20), bool)
    mask[5:15, 5:15] = True
    picture = draw.overlay(one([[5, 5, 15, 15]], [1], [0]) | {"masks": [encode(mask)]}, (20, 20), alpha=0.5)
    assert picture is not None and picture.mode == "RGBA"
    a = np.asarray(picture)[..., 3]
    assert a[0, 0] == 0 and a[10, 10] == 128 and a[5, 10] == 255
    assert draw.overlay(one([], [], []), (4, 4)) is None


def test_keypoints_and_lines_are_drawn() -> None:
    image = np.zeros((200, 200, 3), np.uint8)
    points = Points(("a", "b"), (1, 0), ((0, 1),), (0.1, 0.1))
    p = one([[20, 20, 180, 180]], [0.9], [0]) | {"keypoints": np.array([[[50, 100, 1], [150, 100, 1]]], np.float32)}
    drawn = np.asarray(draw.draw(image, p, ["x"], points))
    assert tuple(drawn[100, 100]) == draw.colour(0) == tuple(drawn[100, 50])
    hidden = p | {"keypoints": np.array([[[50, 100, 1], [150, 100, 0]]], np.float32)}
    assert np.asarray(draw.draw(image, hidden, ["x"], points))[100, 100].sum() == 0


def test_info_of_many_classes_has_colours_for_all() -> None:
    assert len({draw.colour(i) for i in range(80)}) >= 78
    info = Info("x", "y", Classes(tuple(map(str, range(80)))), ())
    assert replace(info).classes_for("semantic") == info.classes
