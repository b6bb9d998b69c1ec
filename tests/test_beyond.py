"""Wholes told from parts: regions that are given, what is painted over, the study's record and its faults."""
from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import stemma
from engine_help import scenes, short
from stemma.core.types import Detections
from stemma.ops import boxes as bx
from stemma.studies import beyond


def test_what_lies_below_the_upper_part_is_painted_over() -> None:
    boxes = torch.tensor([[[1.0, 2, 3, 6], [0, 0, 0, 0]]])
    seen = beyond.hidden(torch.ones(1, 3, 8, 8), boxes, 0.5, (0.1, 0.2, 0.3))
    over = seen != 1
    assert over[0, 0].nonzero().tolist() == [[4, 1], [4, 2], [5, 1], [5, 2]] and over.sum() == 12
    assert seen[0, :, 4, 1].tolist() == pytest.approx([0.1, 0.2, 0.3])
    assert beyond.upper(boxes, 0.25)[0, 0].tolist() == [1, 2, 3, 3]


@pytest.mark.parametrize("paper", ["fpn", "grid-rcnn", "cascade-rcnn"])
def test_a_region_is_answered_as_the_detector_answers_for_its_proposals(paper: str) -> None:
    """The regions that a detector found, as it moved them: in its own answer, and when they are handed to it."""
    torch.manual_seed(0)
    model: Any = stemma.build(paper, "small", 3).eval()
    images, size = torch.rand(2, 3, 128, 128), torch.full((2, 2), 128.0)
    with torch.no_grad():
        raw = model(images)
        regions = model.propose(raw, size, False)[:, :6]
        d = model.pairs(raw, model.prepared(raw.levels), size, None)
    label = torch.tensor([0, 1, 2, 0, 1, 2]).expand(2, -1)
    own = d.boxes.unflatten(1, (-1, 3))[:, :6].gather(2, label[..., None, None].expand(-1, -1, 1, 4))[:, :, 0]
    if paper == "grid-rcnn":
        own = bx.clip(model.branches[0].predict(raw.levels, Detections(own, torch.ones(2, 6), label), None).boxes, size)
    torch.testing.assert_close(beyond.told(model, images, size, regions, label), own)


def test_regions_without_area_and_a_whole_that_is_known() -> None:
    """A detector whose boxes stand still says of a part the part: IoU is its share, the edge is off by the rest."""
    data = scenes(3, "val")
    model: Any = stemma.build("fpn", "small", info=data.info).eval()
    for p in model.heads[0].predict.box.parameters():
        torch.nn.init.zeros_(p)
    rows = beyond.measured(model, data, "cpu", (1.0, 0.5))
    assert [(r["share"], r["painted"]) for r in rows] == [(1.0, False), (0.5, False), (0.5, True)]
    assert all(r["objects"] == sum(len(data.truth(i).boxes) for i in range(3)) for r in rows)
    assert rows[0]["iou"] == pytest.approx(1, abs=1e-4) and rows[0]["edge"] == pytest.approx(0, abs=1e-4)
    assert all(r["iou"] == pytest.approx(0.5, abs=1e-3) and r["edge"] == pytest.approx(0.5, abs=1e-3) for r in rows[1:])


def test_runs_are_studied_and_what_takes_no_regions_is_refused(tmp_path: Path) -> None:
    runs = [short(tmp_path / "fpn", "2steps", "fpn").path, short(tmp_path / "attractionet", "2steps", "attractionet").path]
    record = beyond.study(runs, scenes(2, "val"), tmp_path / "out", shares=(0.5,), limit=2, device="cpu")
    assert len(record["rows"]) == 4 == len(beyond.table(record)[1])
    assert all(0 <= r["half"] <= 1 for r in record["rows"])
    assert (tmp_path / "out" / "beyond.json").is_file() and "Beyond" in (tmp_path / "out" / "beyond.html").read_text()
    other = short(tmp_path / "ssd", "2steps", "ssd").path
    with pytest.raises(stemma.StemmaError, match="ssd answers for no region that it is given"):
        beyond.study([other], scenes(2, "val"), tmp_path / "out", device="cpu")
