"""The published protocol: trained on trainval, on joined sets, measured as Pascal VOC measures; boxes from outside cost
what they cost."""
from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from made_data import make_voc, voc_xml
from stemma.core import paper as cards
from stemma.core.types import DataError, Sample
from stemma.data.mix import is_mixture
from stemma.data.open import held_out, open_dataset, open_pair, splits
from stemma.data.scenes import Scenes
from stemma.engine.pictures import outside, results
from stemma.engine.pictures.measure import evaluate
from stemma.engine.pictures.wing import prepare
from stemma.engine.running import checkpoint
from stemma.engine.wings import Asked
from stemma.metrics import Evaluator
from stemma.metrics.voc import voc

SPLITS = {"train": [0], "val": [1], "test": [2]}


XML = [voc_xml((("cat", 1, 1, 20, 10), ("dog", 10, 10, 60, 40)))] * 3


def names(data: Any) -> list[str]:
    return sorted(Path(data.truth(i).file).stem for i in range(len(data)))


def test_trainval_is_train_and_val_together(tmp_path: Path) -> None:
    root = make_voc(tmp_path / "v", XML, splits=SPLITS)
    data = open_dataset(root, train_split="trainval")
    assert names(data) == ["v0", "v1"] and names(open_dataset(root, "test", train_split="trainval")) == ["v2"]
    assert splits(root, train_split="trainval") == splits(root)
    own = make_voc(tmp_path / "w", XML, splits={**SPLITS, "trainval": [0, 1, 2]})
    assert names(open_dataset(own, train_split="trainval")) == ["v0", "v1", "v2"], "a list of that name comes first"
    assert names(open_dataset(own, train_split="val")) == ["v1"]
    train, val = open_pair(root, None, train_split="trainval")
    assert (names(train), names(val)) == (["v0", "v1"], ["v1"])
    held = held_out(str(root), options={"train_split": "trainval"})
    assert (held.split, held.weights, names(held.measured)) == ("test", "last", ["v2"])
    assert held_out(str(root)).weights == "best"
    with pytest.raises(DataError, match="no split 'nosuch'"):
        open_dataset(root, train_split="nosuch")


def test_sets_of_equal_classes_are_joined(tmp_path: Path) -> None:
    one, two = make_voc(tmp_path / "voc07", XML, splits=SPLITS), make_voc(tmp_path / "voc12", XML, splits=SPLITS)
    where = f"{one}+{two}"
    assert is_mixture(where) and not is_mixture(str(one)) and not is_mixture(f"{one}+nowhere")
    data = open_dataset(where)
    assert len(data) == 2 and data.info.classes.names == ("cat", "dog") and "boxes" in data.info.kinds
    assert len(open_dataset(where, train_split="trainval")) == 4
    test = open_dataset(where, "test")
    assert names(test) == ["v2"] and "test" in splits(where), "what is measured on is the first's"
    plus = make_voc(tmp_path / "a+b", XML, splits=SPLITS)
    assert not is_mixture(str(plus)) and len(open_dataset(plus)) == 1, "a folder may have a plus in its name"
    other = make_voc(tmp_path / "other", [voc_xml((("horse", 1, 1, 9, 9),))] * 3, splits=SPLITS)
    with pytest.raises(DataError, match="have not the same classes: class 0 is 'cat' and 'horse'"):
        open_dataset(f"{one}+{other}")
    with pytest.raises(DataError, match="have not the same classes"):
        open_dataset(f"{one}+{other}", train_split="trainval")


def test_evaluation_says_vocs_numbers() -> None:
    """Two objects of one class, the second found after a false alarm: AP 5/6 under the curve, at eleven recalls
    (6 x 1 + 5 x 2/3) / 11; a difficult one counts for nothing."""
    info = Scenes(1).info
    measured = Evaluator(info)
    boxes = np.array([[0, 0, 10, 10], [20, 20, 30, 30], [40, 40, 60, 60]], np.float32)
    truth = Sample(None, (64, 64), boxes, np.zeros(3, np.int64), np.array([False, False, True]),
                   np.array([100, 100, 400], np.float32))
    found = np.array([[0, 0, 10, 10], [0, 50, 5, 60], [20, 20, 30, 30]], np.float32)
    measured.add(truth, {"boxes": found, "scores": np.array([0.9, 0.8, 0.7]), "labels": np.zeros(3, np.int64)})
    said = measured.result()
    assert said["VOC_AP50"] == pytest.approx((1 + 2 / 3) / 2) == pytest.approx(voc(measured.record).mean)
    assert said["VOC_AP50_11"] == pytest.approx((6 + 5 * 2 / 3) / 11)


def test_boxes_from_outside_cost_what_they_cost(monkeypatch: pytest.MonkeyPatch) -> None:
    import stemma.data.proposals as proposals

    recipe = cards.get("fast_rcnn").recipe("small")
    made: list[int] = []

    def slow(image: Any, how: Any) -> Any:
        made.append(sum(k * k for k in range(200_000)) and 1)
        return np.array([[0, 0, 5, 5]], np.float32)

    monkeypatch.setattr(proposals, "boxes_of", slow)
    kept = proposals.Proposed(Scenes(3), recipe.proposals)
    kept.fill(workers=1)
    before = len(made)
    busy, wall = outside.cost(kept, recipe)
    assert len(made) == before + 3, "made anew, though they are kept"
    assert busy > 0 and wall > 0
    assert outside.cost(Scenes(3), cards.get("fpn").recipe("small")) == (0.0, 0.0)
    said = results.beside("fast-rcnn", 900.0, 200)
    assert "900 ms a picture" in said and "180 s of one core for the 200 training pictures, beside its budget" in said


def test_a_comparison_makes_all_boxes_before_its_first_training(tmp_path: Path,
                                                                monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of the pictures that learning curves are measured on, too, which would else be made inside a training."""
    made: set[str] = set()
    monkeypatch.setattr(outside, "fill", lambda data, **_: made.update(names(data.base)))
    root = make_voc(tmp_path / "voc", XML, splits=SPLITS)
    told = {"format": None, "data_options": {}, "limit": None, "size": "64", "upright": "preset"}
    prepare(Asked({"fast-rcnn": ("fast_rcnn", "small")}, str(root), lambda _: {}, told)).compute()
    assert made == set(names(open_dataset(root, "train")) + names(open_dataset(root, "val"))
                       + names(open_dataset(root, "test"))) and len(made) == 3


def test_a_model_answers_by_the_papers_settings() -> None:
    data = Scenes(4)
    model: Any = checkpoint.build("faster-rcnn", "small", info=data.info)
    said = evaluate(model, data, published=True, device="cpu", precision="fp32")
    assert said["published"]["post.0.score"] == (0.02, 0.05) and said["published"]["rpn.proposals.keep"] == (100, 300)
    assert not {k for k in said["published"] if "sample" in k or "head" in k}
    other, changed = checkpoint.as_published(model)
    now: Any = other
    assert now.spec.post[0].score == 0.05 and model.spec.post[0].score == 0.02, "the model itself stays as it was"
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), other.state_dict().values()))
    assert changed == said["published"] and "published" not in evaluate(model, data, device="cpu", precision="fp32")
    assert checkpoint.as_published(other)[1] == {}
