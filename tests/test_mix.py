"""Data sets put together: boxes beside labels of whole pictures."""
from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import stemma
from engine_help import scenes, short
from made_data import noise
from stemma.core.recipe import Augment, Recipe, Resize
from stemma.core.types import Classes, DataError
from stemma.data.loader import Loader
from stemma.data.mix import Folders, Labelled, Mixture, Relabelled, absolute, is_mixture, parts_of, union
from stemma.data.open import cached, open_dataset, splits

RECIPE = Recipe(batch=8, resize=Resize("letterbox", 64), augment=Augment(flip=0.5))
NEEDS = frozenset({"boxes", "image_labels"})


def test_addresses() -> None:
    assert parts_of("scenes:64:20*4+labels:some/folder") == [("scenes:64:20", 4, False), ("some/folder", 1, True)]
    assert (is_mixture("labels:x") and is_mixture("x+labels:y") and not is_mixture("x+y")
            and not is_mixture(Path("labels:x")))
    assert absolute("scenes:64*2+labels:here") == f"scenes:64*2+labels:{Path('here').resolve()}"
    for wrong in ("+labels:x", "x+labels:", "x*0+labels:y"):
        with pytest.raises(DataError, match="names no data"):
            parts_of(wrong)


def test_a_mixture_is_dealt_out_evenly_and_complete() -> None:
    data = Mixture([scenes(6), Labelled(scenes(24))], (2, 1))
    assert len(data) == 36 and data.partly_boxed
    for n in (6, 12, 30):
        assert abs((data.part[:n] == 0).sum() - n / 3) <= 1
    for part, (count, times) in enumerate(((6, 2), (24, 1))):
        assert np.bincount(data.at[data.part == part]).tolist() == [times] * count
    boxed = [data.truth(i).boxed for i in range(36)]
    assert boxed == [p == 0 for p in data.part]
    hidden = data.truth(boxed.index(False))
    assert len(hidden.boxes) == 0 and hidden.image_labels is not None and hidden.image_labels.sum() >= 1


def test_the_loader_says_which_pictures_have_boxes_and_goes_on_where_it_was() -> None:
    data = Mixture([scenes(10), Labelled(scenes(14))])
    whole = list(Loader(data, RECIPE, train=True, batch=8, needs=NEEDS, seed=5).epoch(2))
    rest = list(Loader(data, RECIPE, train=True, batch=8, needs=NEEDS, seed=5, workers=2).epoch(2, start=1))
    assert len(whole) == 3
    for a, b in zip(whole[1:], rest, strict=True):
        assert ((a.images == b.images).all() and a.targets.boxed is not None and b.targets.boxed is not None
                and (a.targets.boxed == b.targets.boxed).all())
    for batch in whole:
        t = batch.targets
        assert t.boxed is not None and t.image_labels is not None
        assert t.boxed.tolist() == [data.truth(int(i)).boxed for i in batch.index]
        assert (t.labels[~t.boxed] == -1).all() and (t.image_labels.sum(1) >= 1).all()


def test_classes_are_joined_by_name() -> None:
    a, b = Classes(("dog", "car"), parent=("animal", "")), Classes(("husky", "dog"), parent=("dog", ""))
    both = union([a, b])
    assert both.names == ("dog", "car", "husky") and both.parent == ("animal", "", "dog")
    data = Relabelled(scenes(4), union([Classes(("extra",)), scenes(4).info.classes]))
    one, other = data.truth(1), scenes(4).truth(1)
    assert (one.labels == other.labels + 1).all() and one.image_labels is not None and one.image_labels[0] == 0
    assert [data.info.classes.names[k] for k in one.labels] == [scenes(4).info.classes.names[k] for k in other.labels]


def test_folders_named_by_classes(tmp_path: Path) -> None:
    for split in ("train", "val"):
        for k, name in enumerate(("star", "moon")):
            for i in range(3):
                noise(tmp_path / split / name / f"{i}.png", 30 + k, 40, seed=i)
    data = Folders(tmp_path)
    assert len(data) == 6 and data.info.classes.names == ("moon", "star") and data.info.kinds == ("image_labels",)
    s = data[5]
    assert (s.image is not None and s.size == (30, 40) == data.truth(5).size and s.image_labels is not None
            and s.image_labels.tolist() == [0, 1] and not s.boxed)
    assert splits(f"labels:{tmp_path}") == ("train", "val")
    where = f"scenes:64:12*2+labels:{tmp_path}"
    both = cached(open_dataset(where))
    assert len(both) == 30 and both.info.classes.names[-1] == "moon" and len(both.info.classes) == 9  # a star is a star
    val = open_dataset(where, "val")
    assert val.info.classes.names == both.info.classes.names and "boxes" in val.info.kinds
    other = open_dataset(f"labels:{tmp_path}", "val")
    assert other[0].file.endswith("val/moon/0.png") and other.fingerprint == data.fingerprint  # the same pictures
    with pytest.raises(DataError, match="folders named by their classes"):
        Folders(tmp_path / "train" / "star")


def test_a_paper_that_needs_boxes_refuses_pictures_without(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="learns from boxes alone"):
        short(tmp_path / "run", "1steps", paper="retinanet", data=Mixture([scenes(12), Labelled(scenes(12))]))


def test_joint_training_from_the_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import json

    from typer.testing import CliRunner

    from stemma.cli import app

    monkeypatch.setenv("STEMMA_CACHE", str(tmp_path / "cache"))
    words = ["train", "yolo-v2", "--preset", "yolo9000-small", "--data", "scenes:64:16*2+labels:scenes:64:32",
             "--budget", "2steps", "--batch", "8", "--out", str(tmp_path / "run"), "--json", "--device", "cpu"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout[done.stdout.index("{") :])["state"] == "finished"
    assert stemma.Run.open(tmp_path / "run").record["data"]["format"] == "mixture"
    measured = CliRunner().invoke(app, ["evaluate", str(tmp_path / "run"), "--data", "scenes:64:20", "--json",
                                        "--device", "cpu"])
    assert measured.exit_code == 0, measured.output
