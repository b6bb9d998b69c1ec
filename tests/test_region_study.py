"""The study of heads that look inside regions: its parts on known answers, its page, faults of a user."""
from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import stemma
from engine_help import scenes, short
from stemma.metrics.detection import Picture, Record
from stemma.parts.dense.post import SoftNMS
from stemma.parts.regions.heads import MaxPool
from stemma.studies import regions


def told(found: list[list[float]], scores: list[float], labels: list[int]) -> Record:
    """One picture with a disc and a square, and what was found."""
    record = Record(("disc", "square"), ("boxes",))
    boxes = np.array([[10.0, 10, 30, 30], [60, 60, 90, 90]])
    record.add(Picture(0, (100, 100), boxes, np.array([0, 1]), np.zeros(2, bool), np.array([400.0, 900.0]),
                       np.array(found, float).reshape(-1, 4), np.array(scores), np.array(labels)))
    return record


def test_ap_falls_where_a_group_is_found_less_exactly() -> None:
    """The disc is found exactly, the square with an IoU of 24 / 30."""
    record = told([[10, 10, 30, 30], [60, 60, 84, 90]], [0.9, 0.8], [0, 1])
    found = regions.by_overlap(record, regions.groups_of(["disc", "square"], record.names))
    assert found["disc"] == pytest.approx([1.0] * 10)
    assert found["square"] == pytest.approx([1.0] * 7 + [0.0] * 3)
    assert found["all"] == pytest.approx([1.0] * 7 + [0.5] * 3)
    with pytest.raises(stemma.StemmaError, match="--of disc,star: there is no class 'star' among disc, square"):
        regions.groups_of(["disc,star"], record.names)


def test_only_sure_mistakes_count_and_each_is_named() -> None:
    boxes: list[list[float]] = [[10, 10, 30, 30], [10, 10, 30, 30], [60, 60, 90, 90], [0, 60, 20, 80],
                                [60, 60, 78, 78], [40, 0, 55, 9]]
    record = told(boxes, [0.9, 0.8, 0.7, 0.6, 0.5, 0.2], [0, 0, 0, 1, 1, 1])
    assert regions.mistakes(record, 0.3) == {"class": 1, "localisation": 1, "both": 0, "duplicate": 1, "background": 1,
                                             "right": 1}
    assert regions.mistakes(record, 0.1)["background"] == 2 and regions.mistakes(record, 0.95)["right"] == 0


@pytest.mark.parametrize("paper,own", [("faster-rcnn", 0.3), ("relation-networks", regions.NONE)])
def test_suppression_and_recall_are_asked_of_the_model_and_it_stays_as_it_was(paper: str, own: float) -> None:
    """At the least overlap fewer boxes are left than at the most; what suppresses nothing is asked so too."""
    torch.manual_seed(0)
    data = scenes(3, "val")
    model: Any = stemma.build(paper, "small", info=data.info).eval()
    was = model.spec
    found = regions.suppression(model, data, "cpu")
    assert found is not None and found["own"] == own
    assert [row[0] for row in found["rows"]] == [*regions.ALLOWED, *[own] * (own > 1)]
    left = []
    for iou in (0.3, 0.8):
        with regions.allowed(model, iou):
            left.append(sum(len(one.scores) for one in regions.seen(model, data, "cpu")))
    recall = regions.proposals(model, data, "cpu")
    assert recall is not None and 0 <= recall["AR50"] <= recall["AR100"] <= recall["AR300"] and recall["AR300"] > 0
    assert model.spec is was and left[0] <= left[1]
    assert regions.levels(model, data, "cpu") is None


def test_boxes_whose_scores_would_fall_softly_are_dropped_at_the_overlaps_that_are_asked(
        monkeypatch: pytest.MonkeyPatch) -> None:
    """`nms` of Relation Networks as published has soft suppression, which no overlap changes: at each of those that are
    asked boxes are dropped, as of a net with the plain rule, and only the last row is of the net as it is."""
    torch.manual_seed(0)
    data = scenes(3, "val")
    soft: Any = stemma.build("relation-networks", "nms-small", info=data.info).eval()
    plain = soft.spec.post[0]
    found = regions.suppression(soft, data, "cpu")
    soft.spec = replace(soft.spec, post=(SoftNMS(plain.iou, plain.score, plain.keep, pre=plain.pre, sigma=0.6),))
    own = regions.suppression(soft, data, "cpu")
    assert found is not None and own is not None and own["own"] == regions.NONE
    assert [row[0] for row in own["rows"]] == [*regions.ALLOWED, regions.NONE]
    asked: list[Any] = []
    monkeypatch.setattr(regions, "seen", lambda m, *_: asked.append(m.spec.post[0]) or told([[0, 0, 9, 9]], [0.9], [0]))
    regions.suppression(soft, data, "cpu")
    assert [(p.iou, p.sigma) for p in asked] == [*((t, 0.0) for t in regions.ALLOWED), (plain.iou, 0.6)]
    assert own["rows"][:-1] == found["rows"]


def test_shares_of_levels_are_those_of_the_head_by_the_size_of_the_object() -> None:
    torch.manual_seed(0)
    data = scenes(4, "val")
    model: Any = stemma.build("panet", "small", info=data.info).eval()
    found = regions.levels(model, data, "cpu")
    assert found is not None and sum(x["objects"] for x in found) == sum(len(data.truth(i).boxes) for i in range(4))
    assert all(abs(sum(x["from"]) - 1) < 1e-5 for x in found)
    sides = [x["side"] for x in sorted(found, key=lambda x: x["level"])]
    assert sides == sorted(sides)


def test_what_a_detector_said_before_its_finds_were_named_again() -> None:
    """The same detector answers as a Faster R-CNN with its weights does; then DCR again as ever."""
    torch.manual_seed(0)
    data = scenes(2, "val")
    model: Any = stemma.build("dcr", "small", info=data.info).eval()
    plain: Any = stemma.build("faster-rcnn", "small", info=data.info).eval()
    plain.load_state_dict({k: v for k, v in model.state_dict().items() if not k.startswith("crop")})
    plain.spec = replace(plain.spec, post=model.spec.post)
    refined = regions.seen(model, data, "cpu")
    with regions.unrefined(model):
        before = regions.seen(model, data, "cpu")
    for a, b, c in zip(before, regions.seen(plain, data, "cpu"), regions.seen(model, data, "cpu"), strict=True):
        np.testing.assert_allclose(a.scores, b.scores, atol=1e-5)
        assert len(a.found) and not np.array_equal(a.scores, c.scores)
    for a, b in zip(refined, regions.seen(model, data, "cpu"), strict=True):
        np.testing.assert_array_equal(a.scores, b.scores)


def test_a_detector_that_names_its_own_finds_again_multiplies_its_two_words() -> None:
    """Held against the detector's parts called one by one; then DCR again as ever."""
    torch.manual_seed(0)
    data = scenes(2, "val")
    model: Any = stemma.build("dcr", "small", info=data.info).eval()
    model.spec = replace(model.spec, post=(replace(model.spec.post[0], iou=regions.NONE, score=0.0),))
    images = torch.rand(1, 3, 128, 128)
    size = torch.tensor([[128.0, 128.0]])
    was = model.predict(images, size)
    with regions.itself(model):
        said = model.predict(images, size)
    with torch.no_grad():
        raw = model(images)
        boxes, scores = model.found(raw, size)
        (logits, _), _ = model.see(0, model.prepared(raw.levels)[0], boxes)
        want = (scores * logits.softmax(-1)[..., :-1]).flatten(1).sort(descending=True).values
    kept = said.scores[said.labels >= 0]
    assert len(kept) == model.spec.post[0].keep
    torch.testing.assert_close(kept, want[0, : len(kept)])
    assert not torch.equal(was.scores, said.scores)
    torch.testing.assert_close(model.predict(images, size).scores, was.scores)


def test_counts_are_of_what_the_best_f1_accepts() -> None:
    """Both objects and one false find below them: at the best F1 two are counted; one more above it is counted too."""
    exact: list[list[float]] = [[10, 10, 30, 30], [60, 60, 90, 90], [0, 60, 20, 80]]
    assert regions.miscounted(told(exact, [0.9, 0.8, 0.3], [0, 1, 1])) == 0.0
    assert regions.miscounted(told(exact, [0.9, 0.8, 0.85], [0, 1, 1])) == 1.0


def test_bins_collapse_where_a_region_has_fewer_cells_than_bins() -> None:
    """7 bins of a map of stride 16: 112 pixels and up along both sides; over levels, by the level that is read."""
    boxes = torch.tensor([[0.0, 0, 112, 112], [0, 0, 111, 300], [0, 0, 300, 111], [0, 0, 0, 0]])
    assert regions.collapsed(MaxPool(7), (16,), boxes).tolist() == [False, True, True, True]
    assert regions.collapsed(MaxPool(7), (4,), boxes[:, None]).tolist() == [[False], [False], [False], [True]]
    # FPN's eq. 1: 112 pixels read stride 8, 448 read stride 32
    square = torch.tensor([[0.0, 0, 112, 112], [0, 0, 448, 448], [0, 0, 448, 200]])
    assert regions.collapsed(MaxPool(7, 4), (4, 8, 16, 32), square).tolist() == [False, False, False]
    assert regions.collapsed(MaxPool(15, 4), (4, 8, 16, 32), square).tolist() == [True, True, True]


def test_who_is_missed_is_told_by_height() -> None:
    """The low object is found, the high one is not; an object at the end of a range belongs to the next."""
    record = told([[10, 10, 30, 30]], [0.9], [0])
    rows = regions.missed_by_height(record)
    assert [r["objects"] for r in rows] == [1, 0, 0, 1] and [r["to"] for r in rows[:3]] == [22.5, 25.0, 27.5]
    assert rows[0]["miss"] < 1e-6 and rows[3]["miss"] == pytest.approx(1.0) and np.isnan(rows[1]["miss"])


@pytest.mark.parametrize("paper,preset,stride,bins", [("faster-rcnn", "small", 8, 7), ("rpn-bf", "small", 4, 5),
                                                      ("rpn-bf", "rpn-small", None, None)])
def test_miss_rate_and_collapsing_by_height(paper: str, preset: str, stride: int | None, bins: int | None) -> None:
    """Every object and every proposal lies in one range of height; what is pooled is that of the head, or nothing."""
    torch.manual_seed(0)
    data = scenes(4, "val", 96)
    model: Any = stemma.build(paper, preset, info=data.info).eval()
    rows = regions.heights(model, data, "cpu")
    assert sum(r["objects"] for r in rows) == sum(len(data.truth(i).boxes) for i in range(4))
    assert rows[0]["from"] == 0 and rows[-1]["to"] == np.inf and all(0 <= r["miss"] < 1.01 for r in rows)
    if stride is None or bins is None:
        assert all(r["regions"] == 0 and np.isnan(r["collapsed"]) for r in rows)
        return
    every = [r["collapsed"] for r in rows if r["regions"]]
    assert every == sorted(every, reverse=True) and every[0] == 1.0  # the lowest regions have no cell a bin
    again = regions.seen(model, data, "cpu", "proposals")
    wide = [(b.found[:, 2:] - b.found[:, :2]) * 128 / 96 for b in again]
    count = sum(int((side < stride * bins).any(1).sum()) for side in wide)
    assert abs(sum(r["regions"] * r["collapsed"] for r in rows if r["regions"]) - count) <= 1


def test_effective_dilation_is_told_by_what_a_cell_stands_on() -> None:
    """Taps that are pushed apart where the picture is bright: on objects, by two cells each way, and not beside them."""
    from stemma.parts.regions.deformable import DeformConv

    torch.manual_seed(0)
    data = scenes(4, "val")
    model: Any = stemma.build("deformable-convnets", "small", info=data.info).eval()
    layers = [(n, m) for n, m in model.named_modules() if isinstance(m, DeformConv)]
    found = regions.offsets(model, data, "cpu")
    assert found is not None and [x["layer"] for x in found] == [n for n, _ in layers]
    for x, (_, m) in zip(found, layers, strict=True):  # they begin as plain layers
        assert x["plain"] == m.dilation[0] == pytest.approx(x["background"])
        assert all(o["dilation"] == pytest.approx(x["plain"]) for o in x["objects"])
        assert x["objects"][0]["from"] == 0 and x["objects"][-1]["to"] == np.inf
        # (row, column) of each tap about the middle one, once more: twice as far apart
        grid = torch.stack(torch.meshgrid(torch.arange(3.0) - 1, torch.arange(3.0) - 1, indexing="ij"), -1)
        m.offset.bias.data.copy_(grid.flatten().repeat(m.offset.out_channels // 18) * m.dilation[0])
    wide = regions.offsets(model, data, "cpu")
    assert wide is not None
    for x in wide:
        assert x["background"] == pytest.approx(2 * x["plain"], rel=1e-5)
        assert all(o["dilation"] == pytest.approx(2 * x["plain"], rel=1e-5) for o in x["objects"])
    cells = [sum(o["cells"] for o in x["objects"]) for x in wide]
    assert min(cells) > 0
    assert regions.offsets(stemma.build("fpn", "small", info=data.info), data, "cpu") is None


def test_cells_are_of_the_smallest_object_that_holds_their_middle(monkeypatch: pytest.MonkeyPatch) -> None:
    """One cell in ten pixels: what each of them is counted to, by a loop."""
    data = scenes(4, "val")
    model: Any = stemma.build("deformable-convnets", "small", info=data.info).eval()
    name = next(n for n, m in model.named_modules() if type(m).__name__ == "DeformConv")
    value = torch.arange(64.0).view(1, 8, 8)
    monkeypatch.setattr(regions, "dilations", lambda m, images: {name: value.expand(len(images), 8, 8)})
    for n, m in list(model.named_modules()):
        if type(m).__name__ == "DeformConv" and n != name:
            above, leaf = n.rpartition(".")[::2]
            setattr(model.get_submodule(above), leaf, torch.nn.Identity())
    (row,) = regions.offsets(model, data, "cpu") or []
    sides, held, free = [], [], []
    for i in range(4):
        s = data.truth(i)
        scale = 128 / max(s.size)
        boxes = s.boxes * scale
        side = np.sqrt((boxes[:, 2:] - boxes[:, :2]).prod(1))
        sides += side.tolist()
        for r in range(8):
            for c in range(8):
                y, x = 16 * r + 8, 16 * c + 8
                of = [k for k, b in zip(side, boxes, strict=True) if b[0] <= x < b[2] and b[1] <= y < b[3]]
                (held if of else free).append((min(of, default=0), 8 * r + c))
    ends = np.quantile(sides, [1 / 3, 2 / 3])
    assert row["background"] == pytest.approx(np.mean([v for _, v in free]))
    for o, mine in zip(row["objects"], ([h for h in held if h[0] < ends[0]],
                                        [h for h in held if ends[0] <= h[0] < ends[1]],
                                        [h for h in held if h[0] >= ends[1]]), strict=True):
        assert o["cells"] == len(mine)
        assert not mine or o["dilation"] == pytest.approx(np.mean([v for _, v in mine]))


def test_proposals_are_measured_without_their_classes(tmp_path: Path) -> None:
    run = short(tmp_path / "run", "1steps", paper="attractionet", val_every=0)
    (row,) = regions.study([run.path], scenes(2, "val"), tmp_path / "out", parts=["overlap", "mistakes"],
                           device="cpu")["rows"]
    assert list(row["overlap"]) == ["all"] and len(row["overlap"]["all"]) == 10 and row["mistakes"] is None


def test_runs_side_by_side_on_a_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [str(short(tmp_path / name, "1steps", paper=name, val_every=0).path) for name in ("retinanet", "panet")]
    data = scenes(2, "val")
    record = regions.study(runs, data, tmp_path / "out", of=["square"], device="cpu")
    one, two = record["rows"]
    assert one["proposals"] is None and one["suppression"] is None and one["levels"] is None
    assert two["levels"] and set(two["overlap"]) == {"all", "square"}
    page = (tmp_path / "out" / "regions.html").read_text()
    assert "<svg" in page and page.count("<h2>") == 6
    assert [title for title, _, rows in regions.tables(record)] and (tmp_path / "out" / "regions.json").is_file()
    regions.main([runs[0], "--data", "scenes:64:4", "--part", "mistakes", "--out", str(tmp_path / "b"),
                  "--device", "cpu"])
    assert "Finds that score 0.3 or more: run, class" in capsys.readouterr().out
    with pytest.raises(stemma.StemmaError, match="--part takes one of overlap, suppression"):
        regions.study(runs, data, tmp_path / "c", parts=["speed"])
