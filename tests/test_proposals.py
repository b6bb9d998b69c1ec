"""Boxes from outside: sources, their cache, and their way through loader, training, evaluation and prediction."""
from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stemma.core.recipe import Augment, ProposalSource, Recipe, Resize
from stemma.core.types import DataError, StemmaError
from stemma.data import proposals as pr
from stemma.data.loader import Loader
from stemma.data.scenes import Scenes

FAST = ProposalSource("selective-search", count=200, width=0, least=6, sigma=0.5, scales=(20,), colours=("lab",),
                      likeness=("ctsf",))


def scenes(count: int = 3) -> Scenes:
    return Scenes(count, size=96, seed=5)


def ious(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    low, high = np.maximum(a[:, None, :2], b[None, :, :2]), np.minimum(a[:, None, 2:], b[None, :, 2:])
    common = (high - low).clip(0).prod(2)
    area = lambda x: (x[:, 2:] - x[:, :2]).prod(1)  # noqa: E731
    return np.asarray(common / (area(a)[:, None] + area(b)[None] - common))


def test_selective_search_finds_objects_and_always_the_same_boxes() -> None:
    s = scenes()[0]
    assert s.image is not None
    one, two = pr.selective_search(s.image, FAST), pr.selective_search(s.image.copy(), FAST)
    assert np.array_equal(one, two)
    assert one.dtype == np.float32 and 20 < len(one) <= 200
    h, w = s.size
    assert (one >= 0).all() and (one[:, 2:] <= [w, h]).all() and ((one[:, 2:] - one[:, :2]) >= 6).all()
    found = np.concatenate([ious(t.boxes, pr.selective_search(t.image, FAST)).max(1)
                            for t in (scenes()[i] for i in range(3)) if t.image is not None])
    assert (found > 0.5).mean() > 0.6


def test_the_published_settings_are_looked_at_500_pixels_wide() -> None:
    """R-CNN sec. 2.1 and its code: the least side is 20 of 500 pixels, so 20 x 64 / 500 of a picture of 64."""
    image = scenes()[0].image
    assert image is not None
    boxes = pr.selective_search(image[:48, :64],
                                ProposalSource("selective-search", scales=(100,), colours=("hsv",), likeness=("tsf",)))
    assert len(boxes) and (boxes[:, 2:] - boxes[:, :2]).min() >= 20 * 64 / 500 - 1e-4
    assert (boxes[:, 2] <= 64).all() and (boxes[:, 3] <= 48).all()


def test_edge_boxes_are_inside_and_find_what_has_an_outline() -> None:
    image = np.full((120, 160, 3), 40, np.uint8)
    image[30:80, 50:120] = 200
    boxes = pr.edge_boxes(image, replace(FAST, kind="edge-boxes", count=50))
    assert 0 < len(boxes) <= 50 and (boxes >= 0).all() and (boxes <= [160, 120, 160, 120]).all()
    assert ious(np.array([[50.0, 30, 120, 80]]), boxes).max() > 0.7


@settings(max_examples=25, deadline=None)
@given(h=st.integers(8, 300), w=st.integers(8, 300), count=st.integers(1, 900))
def test_the_grid_stays_inside_and_keeps_to_its_count(h: int, w: int, count: int) -> None:
    boxes = pr.grid((h, w), count)
    assert (len(boxes) <= count and (boxes[:, :2] >= -1e-3).all() and (boxes[:, 2] <= w + 1e-3).all()
            and (boxes[:, 3] <= h + 1e-3).all())
    assert ((boxes[:, 2:] - boxes[:, :2]) > 0).all() and np.array_equal(boxes, pr.grid((h, w), count))


def test_jitter_stays_near_the_truth() -> None:
    s = scenes()[0]
    boxes = pr.jitter(s, 0, 200, 0.1)
    assert np.array_equal(boxes, pr.jitter(s, 0, 200, 0.1)) and not np.array_equal(boxes, pr.jitter(s, 1, 200, 0.1))
    best = ious(boxes, s.boxes).max(1)
    assert np.median(best[::2]) > 0.6 > np.median(best[1::2])


def test_files_of_both_kinds(tmp_path: Path) -> None:
    s = replace(scenes()[0], file="a/b/cat.png", id=7)
    (tmp_path / "r.json").write_text(json.dumps([
        {"image_id": 7, "bbox": [1, 2, 10, 20], "score": 0.1}, {"image_id": 7, "bbox": [5, 5, 500, 5], "score": 0.9},
        {"image_id": 8, "bbox": [0, 0, 1, 1]},
    ]))
    np.savez(tmp_path / "r.npz", cat=np.array([[1.0, 2, 11, 22, 0.1], [5, 5, 505, 10, 0.9]]))
    for name in ("r.json", "r.npz"):
        got = pr.Filed(tmp_path / name)(s, 5)
        assert got.tolist() == [[5, 5, 96, 10], [1, 2, 11, 22]]
        assert len(pr.Filed(tmp_path / name)(s, 1)) == 1
    with pytest.raises(DataError, match="no proposals for dog.png"):
        pr.Filed(tmp_path / "r.npz")(replace(s, file="dog.png", id=9), 5)


def test_files_with_faults_are_named(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text('[{"image_id": 1, "bbox": [1, 2, 3]}]')
    with pytest.raises(DataError, match=r"x\.json.*record 0.*bbox"):
        pr.Filed(tmp_path / "x.json")
    (tmp_path / "y.json").write_text("{")
    with pytest.raises(DataError, match="is not JSON"):
        pr.Filed(tmp_path / "y.json")
    np.savez(tmp_path / "z.npz", a=np.zeros((2, 3)))
    with pytest.raises(DataError, match=r"z\.npz.*record a.*shape"):
        pr.Filed(tmp_path / "z.npz")
    np.savez(tmp_path / "p.npz", a=np.array([{}], dtype=object))
    with pytest.raises(DataError, match="plain arrays"):
        pr.Filed(tmp_path / "p.npz")
    with pytest.raises(DataError, match="no such file"):
        pr.Filed(tmp_path / "none.npz")


def test_what_was_computed_is_kept_and_found_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = pr.Proposed(scenes(), FAST, tmp_path)
    told: list[int] = []
    data.fill(workers=2, bar=told.append)
    assert sorted(told) == [1, 2, 3] and len(list(tmp_path.rglob("*.npy"))) == 3 and not list(tmp_path.rglob("*.new"))
    expected = data[1].proposals
    monkeypatch.setattr(pr, "boxes_of", lambda image, how: pytest.fail("computed anew"))
    again = pr.Proposed(scenes(), FAST, tmp_path)
    again.fill()
    assert np.array_equal(again[1].proposals, expected)  # type: ignore[arg-type]
    assert again.fingerprint == scenes().fingerprint and "proposals" in again.info.kinds
    monkeypatch.undo()
    other = pr.Proposed(scenes(), replace(FAST, count=10), tmp_path)
    assert len(other[1].proposals) == 10  # type: ignore[arg-type]


def test_a_damaged_file_is_computed_anew_and_an_unwritable_folder_is_told(tmp_path: Path) -> None:
    data = pr.Proposed(scenes(), FAST, tmp_path)
    expected = data[0].proposals
    kept = next(tmp_path.rglob("*.npy"))
    kept.write_bytes(kept.read_bytes()[:40])
    with pytest.warns(pr.DataWarning, match="computed anew"):
        assert np.array_equal(data[0].proposals, expected)  # type: ignore[arg-type]
    (tmp_path / "file").write_text("")
    blocked = pr.Proposed(scenes(), FAST, tmp_path / "file")
    with pytest.warns(pr.DataWarning, match="kept in memory"):
        assert np.array_equal(blocked[0].proposals, expected)  # type: ignore[arg-type]
    assert np.array_equal(blocked[0].proposals, expected)  # type: ignore[arg-type]


def test_without_opencv_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(StemmaError, match=r"stemma-vision\[proposals\]"):
        pr.Proposed(scenes(), FAST).fill()
    with pytest.raises(StemmaError, match="opencv-contrib-python-headless"):
        pr.Proposed(scenes(), FAST)[0]


def test_the_loader_flips_scales_and_pads_them() -> None:
    recipe = Recipe(resize=Resize("square", 192), augment=Augment(flip=1.0),
                    proposals=replace(FAST, kind="jitter", count=40))
    data = pr.Proposed(scenes(), recipe.proposals)
    make = lambda r, train: next(iter(Loader(data, r, train=train, batch=3,  # noqa: E731
                                             needs=frozenset({"boxes", "proposals"})).epoch(0)))
    plain, turned = make(recipe, False), make(recipe, True)
    p = plain.targets.proposals
    assert p is not None and p.shape == (3, 40, 4)
    first = torch.from_numpy(np.asarray(data[0].proposals))
    torch.testing.assert_close(p[0], first * 2)
    at = turned.index.tolist().index(0)
    assert turned.targets.proposals is not None
    flipped = turned.targets.proposals[at]
    torch.testing.assert_close(flipped[:, [0, 2]], 192 - p[0][:, [2, 0]])
    torch.testing.assert_close(flipped[:, [1, 3]], p[0][:, [1, 3]])
    few = Loader(data, replace(recipe, proposals=replace(recipe.proposals, count=64)), train=False, batch=1,
                 needs=frozenset({"boxes", "proposals"}))
    padded = next(iter(few.epoch(0))).targets.proposals
    assert padded is not None and padded.shape == (1, 64, 4) and (padded[0, 40:] == 0).all()
    bare = Loader(data, recipe, train=False, batch=3, needs=frozenset({"boxes"}))
    assert next(iter(bare.epoch(0))).targets.proposals is None


def test_several_processes_may_share_a_folder(tmp_path: Path) -> None:
    import threading

    sets = [pr.Proposed(scenes(), FAST, tmp_path) for _ in range(3)]
    threads = [threading.Thread(target=d.fill) for d in sets]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(list(tmp_path.rglob("*.npy"))) == 3 and not list(tmp_path.rglob("*.new"))
    boxes: Any = [d[2].proposals for d in sets]
    assert np.array_equal(boxes[0], boxes[1]) and np.array_equal(boxes[1], boxes[2])


# ---------------------------------------------------------------- through the engine


def test_keys_of_filed_proposals_are_paths(tmp_path: Path) -> None:
    """Two pictures of one base name have boxes of their own; a base name that both share is refused."""
    s = Scenes(1, 64)[0]
    a, b = replace(s, file=str(tmp_path / "camA/1.png"), id=1), replace(s, file=str(tmp_path / "camB/1.png"), id=2)
    boxes = {k: np.array([[0.0, 0, 10 + i, 10]]) for i, k in enumerate(("camA/1.png", "camB/1", "1.png"))}
    np.savez(tmp_path / "p.npz", **boxes)  # type: ignore[arg-type]
    filed = pr.Filed(tmp_path / "p.npz")
    assert [float(filed(x, 5)[0, 2]) for x in (a, b)] == [10, 11]
    np.savez(tmp_path / "base.npz", **{"1": boxes["1.png"]})  # type: ignore[arg-type]
    filed = pr.Filed(tmp_path / "base.npz")
    assert filed(a, 5)[0, 2] == 12 == filed(a, 5)[0, 2]
    with pytest.raises(DataError, match="has the key '1' alone for both .*camA/1.png and .*camB/1.png"):
        filed(b, 5)
    records = [{"image_id": k, "bbox": [0, 0, 10 * k, 5], "score": 0.5} for k in (1, 2)]
    (tmp_path / "r.json").write_text(json.dumps(records))
    assert [float(pr.Filed(tmp_path / "r.json")(x, 5)[0, 2])
            for x in (a, b)] == [10, 20], "results speak of ids, whatever files are called"


def test_a_source_belongs_to_papers_that_want_one() -> None:
    from stemma.core import paper as cards
    from stemma.engine.pictures import outside
    from stemma.engine.running import checkpoint

    wanting, making = cards.get("r_cnn").recipe("small"), cards.get("fpn").recipe("small")
    assert outside.wants(wanting) and not outside.wants(making)
    assert outside.sourced(wanting, "grid").proposals.kind == "grid" and outside.sourced(wanting, None) is wanting
    filed = outside.sourced(wanting, "boxes/val.npz").proposals
    assert (filed.kind, filed.file, filed.count) == ("file", "boxes/val.npz", wanting.proposals.count)
    with pytest.raises(StemmaError, match="makes its own boxes"):
        outside.sourced(making, "grid")
    with pytest.raises(StemmaError, match="no source of proposals 'gird'; there are selective-search"):
        outside.sourced(wanting, "gird")
    with pytest.raises(StemmaError, match="takes its boxes from outside"):
        checkpoint.plan("r_cnn", "small", {"recipe.proposals.kind": "none"})
    with pytest.raises(StemmaError, match="makes its own boxes"):
        checkpoint.plan("fpn", "small", {"recipe.proposals.kind": "grid"})
    _, _, recipe = checkpoint.plan("r_cnn", "small", {"proposals": "grid", "recipe.proposals.count": "30"})
    assert (recipe.proposals.kind, recipe.proposals.count) == ("grid", 30)
    assert checkpoint.recipe_from(checkpoint.jsonable(recipe)) == recipe


def test_a_comparison_hands_a_common_source_to_those_that_want_one() -> None:
    from stemma.engine.comparing.compare import _sets_of

    sets = {"proposals": "grid", "fpn:recipe.lr": 0.1}
    assert _sets_of(sets, "r_cnn") == {"proposals": "grid"} and _sets_of(sets, "fpn") == {"recipe.lr": 0.1}


def test_evaluation_takes_another_source(tmp_path: Path) -> None:
    import stemma
    from stemma.engine.pictures.measure import measure

    data = scenes(2)
    model = stemma.build("spp_net", "small", info=data.info, sets={"proposals": "grid", "recipe.proposals.count": 24})
    np.savez(tmp_path / "x.npz", **{str(data[i].id): data[i].boxes for i in range(2)})
    found = measure(model, data, proposals=str(tmp_path / "x.npz"), losses=True)
    assert found["images"] == 2 and np.isfinite(found["loss"])
    assert "AP" in measure(model, data)


def test_results_are_tied_to_pictures_by_their_files(tmp_path: Path) -> None:
    """Splits that are each numbered from 0 do not take each other's boxes; ids alone are told."""
    s = Scenes(1, 64)[0]
    files = {}
    for split in ("train", "val"):
        for k in (0, 1):
            files[split, k] = tmp_path / "set" / split / f"00000{k}.png"
            files[split, k].parent.mkdir(parents=True, exist_ok=True)
            files[split, k].touch()
    one = lambda split, k, i: replace(s, file=str(files[split, k]), id=i)  # noqa: E731
    (tmp_path / "p.json").write_text(json.dumps([{"image_id": 0, "bbox": [0, 0, 10, 5], "score": 0.5}]))
    images = [{"id": k, "file_name": f"00000{k}.png", "height": 64, "width": 64} for k in (0, 1)]
    (tmp_path / "p.images.json").write_text(json.dumps({"folder": str(tmp_path / "set/val"), "images": images}))
    filed = pr.Filed(tmp_path / "p.json")
    assert filed(one("val", 0, 1), 5).tolist() == [[0, 0, 10, 5]], "by its file, whatever its id"
    assert filed(one("val", 1, 0), 5).shape == (0, 4), "it was looked at, and nothing was proposed"
    with pytest.raises(DataError, match=r"no proposals for .*train/000000.png: p.images.json does not name it"):
        filed(one("train", 0, 0), 5)
    moved = pr.Filed(tmp_path / "p.json")(replace(s, file="elsewhere/val/000000.png", id=3), 5)
    assert len(moved) == 1, "data that were moved"
    with pytest.raises(DataError, match="has boxes of a picture of 64x64 pixels for"):
        filed(replace(one("val", 0, 0), size=(32, 64)), 5)
    (tmp_path / "p.images.json").write_text(json.dumps({"images": images}))
    assert pr.Filed(tmp_path / "p.json").bare, "which is told"
    assert len(pr.Filed(tmp_path / "p.json")(one("train", 0, 0), 5)) == 1
    (tmp_path / "p.images.json").unlink()
    with pytest.warns(pr.DataWarning, match="says image ids and no file names: they are taken for those of"):
        pr.Proposed(Scenes(1, 64), ProposalSource("file", file=str(tmp_path / "p.json")))
    with pytest.raises(DataError, match="says image ids alone, and x.png has none"):
        pr.Filed(tmp_path / "p.json")(replace(s, file="x.png", id=-1), 5)


def test_prediction_takes_a_file_of_proposals_by_the_names_of_pictures(tmp_path: Path) -> None:
    from PIL import Image

    import stemma

    data = scenes(2)
    for i in range(2):
        (tmp_path / "val").mkdir(exist_ok=True)
        Image.fromarray(np.asarray(data[i].image)).save(tmp_path / "val" / f"{i}.png")
    model = stemma.build("spp_net", "small", info=data.info, sets={"proposals": "grid", "recipe.proposals.count": 24})
    file = tmp_path / "p.json"
    file.write_text(json.dumps([{"image_id": 0, "bbox": [0, 0, 40, 40], "score": 0.5}]))
    with pytest.raises(DataError, match="says image ids alone, and pictures to predict for have none"):
        stemma.predict(model, str(tmp_path / "val/1.png"), proposals=str(file))
    images = [{"id": 0, "file_name": "1.png", "height": 96, "width": 96}]
    (tmp_path / "p.images.json").write_text(json.dumps({"folder": str(tmp_path / "val"), "images": images}))
    assert len(stemma.predict(model, str(tmp_path / "val/1.png"), proposals=str(file))) == 1
    with pytest.raises(DataError, match="holds no proposals for any of the 1 pictures here"):
        stemma.predict(model, str(tmp_path / "val/0.png"), proposals=str(file))
    with pytest.raises(StemmaError, match="boxes of whole pictures and none of tiles"):
        stemma.predict(model, str(tmp_path / "val/1.png"), proposals=str(file), tile=40)
