"""The programs that make tables: what they ask for, what they keep, and how they say it."""
from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from stemma.core import paper as cards

ROOT = Path(__file__).resolve().parents[1]


def program(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"benchmarks_{name}", ROOT / "benchmarks" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


def learned(value: float, **more: Any) -> dict[str, Any]:
    return {"main": "AP", "trained": {"AP": value}, "untrained": {"AP": 0.0}, "images": 1000, "seconds": 40.0,
            "core_seconds": 44.0, "budget": "40s"} | more


def test_the_page_of_papers_trains_only_what_is_not_there() -> None:
    papers, ssd = program("papers"), cards.get("ssd")
    row: dict[str, Any] = {}
    for into, key, budget, _ in papers.asked(ssd, "40s", 3, True, row):
        into[key] = learned(0.1, budget=budget)
    assert set(row) == {"learned", "others", "long"} and set(row["others"]) == {"1", "2"}
    assert row["long"]["budget"] == ssd.recipe("small").length != row["learned"]["budget"]
    assert not list(papers.asked(ssd, "40s", 3, True, row))
    assert [k for _, k, _, _ in papers.asked(ssd, "40s", 4, True, row)] == ["3"]


def test_the_page_of_papers_says_seeds_and_the_longer_length() -> None:
    papers, settings = program("papers"), {"budget": "40s", "data": "scenes", "val": 200, "seed": 0}
    known: dict[str, Any] = {
        "ssd": {"learned": learned(0.1), "others": {"1": learned(0.2), "10": learned(0.4), "2": learned(0.3)},
                "long": learned(0.45, budget="100s", images=2500)},
        "yolo_v1": {"learned": learned(0.05)},
    }
    assert papers.reached(known["ssd"], "AP") == [0.1, 0.2, 0.3, 0.4] and not papers.reached(known["ssd"], "mIoU")
    line = next(x for x in papers.page([cards.get("ssd")], known, settings).splitlines() if x.startswith("| [SSD]"))
    assert "**.250 ± .129 (4 seeds)** | .450 (100s, 2,500 images) | YOLO: AP .050; Faster R-CNN: not measured" in line
    alone = next(x for x in papers.page([cards.get("yolo_v1")], known, settings).splitlines() if "[YOLO]" in x)
    assert "| **.050** |  |" in alone and "seeds" not in alone


def test_a_preset_is_kept_as_soon_as_its_test_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    presets, rows = program("presets"), dict[str, Any]()
    monkeypatch.setattr(presets, "KEPT", tmp_path / "presets.json")
    keeper = presets.Keeper(rows, {"a": "fpn:paper", "b": "ssd:paper"})
    row = {"preset": "fpn:paper", "pixels": 96, "steps": 6, "phases": 1, "losses": {"": [3.0, 1.5]}}
    said = {"location": ("", 0, ""), "keywords": {}, "duration": 1.0}
    for when in ("setup", "call", "teardown"):
        keeper.pytest_runtest_logreport(pytest.TestReport(nodeid="a", outcome="passed", longrepr=None, when=when,
                                                          user_properties=[("row", json.dumps(row))], **said))
        kept = json.loads(presets.KEPT.read_text()) if presets.KEPT.exists() else {}
        assert kept == ({} if when == "setup" else {"fpn:paper": row})
    keeper.pytest_runtest_logreport(pytest.TestReport(nodeid="b", outcome="failed", when="call",
                                                      longrepr="E   AssertionError: it rose\nsome.py:3", **said))
    assert json.loads(presets.KEPT.read_text())["ssd:paper"] == {"preset": "ssd:paper",
                                                                 "failed": "E AssertionError: it rose"}
    lines = presets.table(rows).splitlines()
    assert lines[2] == "| fpn:paper | 96 | 6 | 1 | 3 → 1.5 |" and "**failed**: E AssertionError: it rose" in lines[3]
