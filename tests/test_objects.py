"""A semantic system that keeps objects apart answers with objects too: measured, predicted, drawn."""
from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import stemma


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Bright discs on a dark ground, some touching, as pictures beside instance maps."""
    where, rng = tmp_path_factory.mktemp("cells"), np.random.default_rng(0)
    (where / "images").mkdir()
    (where / "labels").mkdir()
    y, x = np.mgrid[:48, :48]
    for i in range(12):
        ids = np.zeros((48, 48), np.uint16)
        for k in range(5):
            cy, cx = rng.uniform(6, 42, 2)
            ids[(y - cy) ** 2 + (x - cx) ** 2 < 36] = k + 1
        pixels = np.where(ids[..., None] > 0, 200, 30) + rng.normal(0, 8, (48, 48, 3))
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(where / "images" / f"{i}.png")
        Image.fromarray(ids).save(where / "labels" / f"{i}.png")
    return where


def test_a_u_net_on_cells_is_measured_and_drawn_as_objects(cells: Path, tmp_path: Path) -> None:
    settings = {"recipe.resize.kind": "keep", "recipe.batch": 4, "recipe.lr": 0.01}
    run = stemma.train("u-net", cells, budget="30steps", out=tmp_path / "run", sets=settings, progress=False,
                       format="maps", data_options={"maps": "instance"})
    found = stemma.evaluate(run, cells, split="all", format="maps", data_options={"maps": "instance"},
                            out=tmp_path / "found.json")
    assert {"mIoU", "AP50", "mask_AP", "mask_AP50"} <= found.keys()
    assert found["mIoU"] > 0.8 and found["mask_AP50"] > 0.4
    records = json.loads((tmp_path / "found.json").read_text())
    assert records and all("segmentation" in r and r["category_id"] == 0 for r in records)
    said = stemma.predict(run, cells / "images", out=tmp_path / "drawn")
    assert len(said[0]["objects"]["labels"]) >= 2 and set(said[0]["objects"]["names"]) == {"object"}
    kept = json.loads((tmp_path / "drawn" / "predictions.json").read_text())
    assert (len(kept["annotations"]) == sum(len(s["objects"]["labels"]) for s in said)
            and kept["categories"] == [{"id": 0, "name": "object"}])
    assert (tmp_path / "drawn" / "0.jpg").is_file() and (tmp_path / "drawn" / "0_labels.png").is_file()


def test_systems_that_do_not_keep_objects_apart_give_none(cells: Path) -> None:
    from stemma.data.open import open_dataset
    from stemma.engine.pictures.answers import apart

    info = open_dataset(cells, "all", "maps", maps="instance").info
    assert apart(stemma.build("u-net", preset="small", classes=2, info=info), info) is not None
    assert apart(stemma.build("fcn", preset="small", classes=2, info=info), info) is None
