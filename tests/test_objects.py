"""A semantic system that keeps objects apart answers with objects too: measured, predicted, drawn."""
from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import stemma
from learning import Learned
from stemma.data.open import open_dataset
from stemma.engine.pictures.answers import apart

MAPS: dict[str, Any] = {"format": "maps", "data_options": {"maps": "instance"}}


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Bright discs of twelve pixels on a dark ground, some nearly touching, as pictures beside instance maps."""
    where, rng = tmp_path_factory.mktemp("cells"), np.random.default_rng(0)
    (where / "images").mkdir()
    (where / "labels").mkdir()
    y, x = np.mgrid[:48, :48]
    for i in range(12):
        ids = np.zeros((48, 48), np.uint16)
        centres: list[np.ndarray] = []
        while len(centres) < 5:
            new = rng.uniform(6, 42, 2)
            if all(np.hypot(*(new - c)) >= 13 for c in centres):
                centres.append(new)
        for k, (cy, cx) in enumerate(centres):
            ids[(y - cy) ** 2 + (x - cx) ** 2 < 36] = k + 1
        pixels = np.where(ids[..., None] > 0, 200, 30) + rng.normal(0, 8, (48, 48, 3))
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(where / "images" / f"{i}.png")
        Image.fromarray(ids).save(where / "labels" / f"{i}.png")
    return where


@pytest.mark.whole
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_u_net_on_cells_is_measured_and_drawn_as_objects(precision: str, cells: Path, tmp_path: Path,
                                                           learned: Learned) -> None:
    sets = {"recipe.resize.kind": "keep", "recipe.batch": 4, "recipe.lr": 0.01}
    run = stemma.train("u-net", cells, "30steps", out=tmp_path / "run", sets=sets, progress=False,
                       precision=precision, **MAPS)
    assert run.record["precision"] == precision
    found = stemma.evaluate(run, cells, split="all", out=tmp_path / "found.json", precision=precision, **MAPS)
    assert {"mIoU", "AP50", "mask_AP", "mask_AP50"} <= found.keys()
    torch.manual_seed(0)
    bare = stemma.build("u-net", preset="small", sets=sets,
                        info=open_dataset(cells, "all", "maps", maps="instance").info)
    untrained = stemma.evaluate(bare, cells, split="all", precision=precision, **MAPS)
    learned("mask_AP50", found["mask_AP50"], at_least=0.3, untrained=untrained["mask_AP50"])
    learned("1 - mIoU", 1 - found["mIoU"], at_most=0.1, untrained=1 - untrained["mIoU"])
    records = json.loads((tmp_path / "found.json").read_text())
    assert records and all("segmentation" in r and r["category_id"] == 0 for r in records)
    said = stemma.predict(run, cells / "images", out=tmp_path / "drawn")
    assert len(said[0]["objects"]["labels"]) >= 2 and set(said[0]["objects"]["names"]) == {"object"}
    kept = json.loads((tmp_path / "drawn" / "predictions.json").read_text())
    assert (len(kept["annotations"]) == sum(len(s["objects"]["labels"]) for s in said)
            and kept["categories"] == [{"id": 0, "name": "object"}])
    assert (tmp_path / "drawn" / "0.jpg").is_file() and (tmp_path / "drawn" / "0_labels.png").is_file()


def test_systems_that_do_not_keep_objects_apart_give_none(cells: Path) -> None:
    info = open_dataset(cells, "all", "maps", maps="instance").info
    assert apart(stemma.build("u-net", preset="small", classes=2, info=info), info) is not None
    assert apart(stemma.build("fcn", preset="small", classes=2, info=info), info) is None
