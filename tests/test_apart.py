"""Agents that differ in one setting learn apart: what they are told by, and that a study goes on where it was."""
from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from stemma.core.types import StemmaError
from stemma.studies import apart

pytest.importorskip("gymnasium")
torch.set_num_threads(1)


def test_the_mean_of_what_is_told_misses_by_all_that_varies() -> None:
    """1 for the mean at every row, 0 for the truth; an error of a half where numbers are -1 and 1 is .25."""
    truth = torch.tensor([[[-1.0, 10], [1, 20]], [[1, 20], [-1, 10]]])
    rows = [0, 1]
    mean = truth.flatten(0, 1).mean(0).expand(2, 2, 2)
    assert apart.shares_missed(mean, truth, rows) == [1, 1]
    assert apart.shares_missed(truth, truth, rows) == [0, 0]
    assert apart.shares_missed(truth + torch.tensor([0.5, 2.5]), truth, rows) == [0.25, 0.25]
    assert apart.shares_missed(truth[:, 1:], truth, [1]) == [0]


def test_the_interval_is_students() -> None:
    """Of 1, 2 and 3: 4.3027 (97.5 % with two degrees of freedom) times 1 / sqrt(3)."""
    assert apart.interval([1.0, 2.0, 3.0]) == pytest.approx(4.302653 / 3**0.5, rel=1e-6)
    assert apart.interval([2.0, 2.0]) == 0


def test_lives_that_are_too_short_to_say_are_refused() -> None:
    with pytest.raises(StemmaError, match="a life by chance of 9 steps is too short for 45 to be foreseen"):
        apart.astray(SimpleNamespace(), [{"reward": np.zeros(9, np.float32)}])


def test_what_learned_is_not_learned_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                           capsys: pytest.CaptureFixture[str]) -> None:
    paper, world, common, own = apart.QUESTIONS["foresight"]
    few: dict[str, Any] = common | {"recipe.batch": 2, "recipe.life.first.0.amount": 2}
    two = {k: apart.sized(n, 8, 4) for k, n in (("memory of 16", 16), ("memory of 32", 32))}
    monkeypatch.setitem(apart.QUESTIONS, "foresight", (paper, world, few, two))
    monkeypatch.setitem(apart.BUDGET, "foresight", "2steps")
    out = tmp_path / "s"
    apart.main(["foresight", "--seeds", "1", "--episodes", "2", "--out", str(out)])
    said = capsys.readouterr().out
    assert "memory of 32" in said and "one seed; 2 fresh episodes each" in said
    first = json.loads((out / "apart.json").read_text())
    assert [len(r["found"]) for r in first["rows"]] == [4, 4]
    assert first["rows"][0]["parameters"] < first["rows"][1]["parameters"]
    again = apart.study("foresight", out, 2, episodes=2)
    assert again["rows"][:2] == first["rows"] and [r["seed"] for r in again["rows"]] == [0, 0, 1, 1]
    assert "±" in apart.table(again)[1][1]
    with pytest.raises(StemmaError, match="other settings"):
        apart.study("foresight", out, 2, episodes=3)
