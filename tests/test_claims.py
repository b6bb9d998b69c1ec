"""Claims are read, and held against what was measured, by program."""
from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from stemma.core import paper as cards
from stemma.core.types import StemmaError
from stemma.report import claims
from stemma.report.claims import Measured, Order, of_number, of_order, orders, stated

VOC = tuple(f"c{i}" for i in range(20))
FAST, FASTER = cards.get("fast_rcnn"), cards.get("faster_rcnn")


def measured(paper: str, *values: float, measure: str = "VOC_AP50_11", **more: Any) -> Measured:
    card = cards.get(paper)
    return Measured(**{"name": paper, "paper": paper, "preset": "paper", "values": {measure: list(values)},
                       "data": "voc07", "classes": VOC, "split": "test", "pictures": 4952,
                       "budget": card.recipe("paper").length, **more})


@pytest.mark.parametrize("paper,nth,measure,data", [
    ("fast_rcnn", 0, "VOC_AP50_11", "VOC 2007"), ("fast_rcnn", 2, "VOC_AP50", "VOC 2012"),
    ("fast_rcnn", 5, "AP", "COCO"), ("deepmask", 1, "AR100", "COCO"), ("deepmask", 4, "mask_AR100", "COCO"),
    ("ohem", 1, "VOC_AP50_11", "VOC 2007"), ("fcn", 0, "mIoU", "VOC 2011 seg val"), ("mask_rcnn", 0, "mask_AP", "COCO"),
    ("mask_rcnn", 7, "keypoint_AP", "COCO"), ("panoptic_fpn", 0, "PQ", "COCO"), ("reinspect", 1, "EER", "Brainwash"),
    ("yolo_v1", 1, "", ""), ("r_cnn", 0, "VOC_AP50_11", "VOC 2007"), ("r_cnn", 4, "VOC_AP50", "VOC 2010"),
    ("localization_for_free", 1, "point_AP", "VOC 2012"), ("yolo_v2", 5, "", "VOC 2007"),
])
def test_a_claims_words_name_measure_and_data(paper: str, nth: int, measure: str, data: str) -> None:
    found = stated(cards.get(paper))[nth]
    assert (found.measure, found.data) == (measure, data)
    assert ("no measure" in found.takes) is (measure == "")


def test_every_claim_is_listed_with_its_source() -> None:
    rows = claims.listed()
    assert len(rows) == sum(len(p.claims) for p in cards.papers())
    assert all(r["source"] and r["takes"] for r in rows)
    assert [r["what"] for r in claims.listed("ssd")] == [c.what for c in cards.get("ssd").claims]


def first(paper: cards.Paper = FAST) -> claims.Stated:
    return stated(paper)[0]  # VOC 2007 test mAP, .669


@pytest.mark.parametrize("values,more,word,why", [
    ((0.665, 0.672), {}, "reproduced", "0.669 claimed"),
    ((0.60, 0.61), {}, "contradicted", "over 2 seeds"),
    ((0.60,), {}, "cannot say", "one seed"),
    ((0.55, 0.70), {}, "reproduced", "0.625 measured"),
    ((0.665,), {"data": "scenes", "classes": ("a",)}, "cannot say", "other data: scenes, claimed on VOC 2007"),
    ((0.665,), {"pictures": 100}, "cannot say", "other data"),
    ((0.665,), {"preset": "small"}, "cannot say", "other scale: preset small"),
    ((0.665,), {"budget": "60s"}, "cannot say", "other length: 60s, published"),
    ((0.665,), {"settings": ("neck.width=3",)}, "cannot say", "other settings: neck.width=3"),
    ((0.665,), {"values": {"AP": [0.3]}}, "cannot say", "VOC_AP50_11 was not measured"),
])
def test_a_number_is_reproduced_contradicted_or_not_spoken_to(values: tuple[float, ...], more: dict[str, Any],
                                                              word: str, why: str) -> None:
    verdict = of_number(first(), measured("fast_rcnn", *values, **more))
    assert verdict.word == word and why in verdict.why
    assert "published 100s" not in verdict.why, "the length of a preset of ours is no published one"


def order() -> Order:
    (found,) = (o for o in orders([FAST, FASTER]) if (o.first.measure, o.first.data) == ("VOC_AP50_11", "VOC 2007")
                and "trained on 07" in o.says and "07+12" not in o.says)
    return found


def test_two_papers_state_an_ordering() -> None:
    found = order()
    assert (found.first.paper.name, found.second.paper.name) == ("faster_rcnn", "fast_rcnn")
    assert (found.first.claim.value, found.second.claim.value) == (0.699, 0.669)
    assert "faster-rcnn 0.699 above fast-rcnn 0.669" in found.says
    assert not any(o.first.paper is o.second.paper for o in orders(cards.papers()))


@pytest.mark.parametrize("a,b,more,word,why", [
    ((0.5, 0.6), (0.3, 0.4), {}, "same order", "over 2 seeds"),
    ((0.3, 0.4), (0.5, 0.6), {}, "contradicted", "over 2 seeds"),
    ((0.5, 0.6), (0.55, 0.65), {}, "cannot say", "seeds overlap"),
    ((0.5,), (0.3,), {}, "cannot say", "one seed"),
    ((0.5, 0.6), (0.3, 0.4), {"budget": "9s"}, "cannot say", "not measured on the same data"),
])
def test_an_ordering_is_borne_out_or_not(a: tuple[float, ...], b: tuple[float, ...], more: dict[str, Any], word: str,
                                         why: str) -> None:
    here = {"preset": "small", "budget": "60s", "data": "scenes", "measure": "AP"}
    verdict = of_order(order(), [measured("faster_rcnn", *a, **here), measured("fast_rcnn", *b, **here | more)])
    assert verdict.word == word and why in verdict.why


def comparison(folder: Path) -> Path:
    folder.mkdir()
    system = lambda name, *v: {"id": name, "paper": name, "preset": "small",  # noqa: E731
                               "summary": {"AP": {"values": list(v)}, "flops": {"values": []}}}
    results = {"budget": "60s", "data": {"where": "scenes", "classes": ["a"], "split": "val", "measured": 64},
               "systems": [system("fast-rcnn", 0.1, 0.2), system("faster-rcnn", 0.3, 0.4)]}
    (folder / "results.json").write_text(json.dumps(results))
    return folder


def test_a_comparison_is_held_against_its_papers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from stemma.cli import main

    where = comparison(tmp_path / "c")
    found = claims.checked(claims.read(where))
    assert {r["verdict"] for r in found["orders"]} == {"same order"} and found["orders"]
    assert {r["verdict"] for r in found["numbers"]} == {"cannot say"}
    assert claims.of_results(json.loads((where / "results.json").read_text())) == found["orders"]
    with pytest.raises(SystemExit) as end:
        main(["claims", "--check", str(where), "--json"])
    assert end.value.code == 0 and json.loads(capsys.readouterr().out) == found
    with pytest.raises(SystemExit):
        main(["claims", "ssd", "--json"])
    assert len(json.loads(capsys.readouterr().out)) == len(cards.get("ssd").claims)


def test_a_run_is_held_against_its_paper(tmp_path: Path) -> None:
    (tmp_path / "r").mkdir()
    record = {"paper": "ssd", "preset": "small", "budget": "60s", "sets": {"size": 96}, "info": {
        "classes": {"names": ["a"]}}, "data": {"where": "scenes", "val_images": 10}}
    (tmp_path / "r" / "run.json").write_text(json.dumps(record))
    with pytest.raises(StemmaError, match="not measured yet"):
        claims.read(tmp_path / "r")
    (tmp_path / "r" / "metrics.jsonl").write_text(json.dumps({"kind": "val", "AP": 0.3, "VOC_AP50_11": 0.5}) + "\n")
    (one,) = claims.read(tmp_path / "r")
    assert one.values["AP"] == [0.3] and one.settings == ("size=96",) and one.classes == ("a",)
    assert "other data" in of_number(stated(cards.get("ssd"))[0], replace(one, settings=())).why
    with pytest.raises(StemmaError, match="neither a run nor a comparison"):
        claims.read(tmp_path)
