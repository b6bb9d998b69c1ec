"""Proposals, points and counts through the same commands as everything else: evaluate, predict,
and the names they use."""
from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import stemma
from stemma.core.types import StemmaError
from stemma.data.scenes import Scenes
from stemma.engine.pictures.tasks import main_metric

DATA = Scenes(4, size=64, split="val")


def test_what_each_task_is_ranked_by() -> None:
    assert {t: main_metric(t) for t in ("detection", "proposals", "weak", "semantic")} == {
        "detection": "AP", "proposals": "AR100", "weak": "point_AP", "semantic": "mIoU"}


def test_the_proposals_of_a_two_stage_system_are_measured_as_a_proposal_method_s(tmp_path: Path) -> None:
    """An RPN's by themselves: recall without classes, and a file that names one class."""
    torch.manual_seed(0)
    model = stemma.build("faster-rcnn", "small", info=DATA.info)
    r = stemma.evaluate(model, DATA, of="proposals", out=tmp_path / "boxes.json", details=True)
    assert (r["task"] == "proposals" and r["AR100"] == r["AR1000"] >= r["AR10"] >= 0 and "AP" not in r
            and r["details"]["recall"]["count"][-1] == 1000)
    boxes = json.loads((tmp_path / "boxes.json").read_text())
    assert len(boxes) > 50 and {b["category_id"] for b in boxes} == {1}
    seen = model.proposals(torch.rand(2, 3, 64, 64))
    assert ((seen.scores.diff(dim=1) <= 1e-6).all() and set(seen.labels.unique().tolist()) <= {-1, 0}
            and not seen.boxes.requires_grad)


def test_boxes_from_outside_are_measured_too() -> None:
    """Boxes near the truth recall most of them; a grid fewer."""
    model = stemma.build("fast-rcnn", "small", info=DATA.info, sets={"recipe.proposals.kind": "jitter"})
    near = stemma.evaluate(model, DATA, of="proposals")
    grid = stemma.evaluate(model, DATA, of="proposals", proposals="grid")
    assert near["AR1000"] > 0.6 and near["AR1000"] > grid["AR1000"] > 0


def test_systems_without_proposals_say_so() -> None:
    model = stemma.build("retinanet", "small", info=DATA.info)
    with pytest.raises(StemmaError, match="retinanet makes no proposals"):
        stemma.evaluate(model, DATA, of="proposals")
    with pytest.raises(StemmaError, match="'predict' or 'proposals', not 'boxes'"):
        stemma.evaluate(model, DATA, of="boxes")


def test_proposals_are_called_objects(tmp_path: Path) -> None:
    image = DATA[0].image
    assert image is not None
    Image.fromarray(image).save(tmp_path / "a.png")
    torch.manual_seed(0)
    model = stemma.build("deepmask", "small", info=DATA.info)
    (found,) = stemma.predict(model, tmp_path / "a.png", tmp_path / "out", threshold=0.0)
    assert found["names"] and set(found["names"]) == {"object"} and len(found["masks"]) == len(found["scores"])
    written = json.loads((tmp_path / "out" / "predictions.json").read_text())
    assert (written["categories"] == [{"id": 1, "name": "object"}]
            and {a["category_id"] for a in written["annotations"]} == {1})
    r = stemma.evaluate(model, DATA)
    assert {"AR10", "AR100", "AR1000", "mask_AR100"} <= set(r) and 0 <= r["mask_AR100"] <= 1


def test_a_weak_system_is_measured_by_its_points() -> None:
    torch.manual_seed(0)
    model = stemma.build("localization-for-free", "small", info=DATA.info)
    r = stemma.evaluate(model, DATA, details=True)
    assert (r["task"] == "weak" and "AP" not in r and 0 <= r["point_AP"] <= r["image_AP"] <= 1
            and set(r["per_class"]) == set(DATA.info.classes.names))
    assert len(r["details"]["pr_mean"][1]) == 101


def test_detectors_tell_how_they_count_and_miss() -> None:
    torch.manual_seed(0)
    r = stemma.evaluate(stemma.build("reinspect", "small", info=DATA.info), DATA)
    assert {"AP50", "EER", "MR2", "count_error", "point_AP"} <= set(r) and 0 <= r["MR2"] <= 1
    objects = float(np.mean([len(DATA.truth(i).labels) for i in range(4)]))
    assert r["count_error"] == objects  # an untrained net is sure of nothing
