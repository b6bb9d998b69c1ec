"""Edits that follow upon each other: sessions, each turn by itself and one after another."""
from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import stemma
from stemma.cli import main
from stemma.data.editing.open import Chosen, Joined, open_edits
from stemma.data.editing.sessions import sessions, spread_out
from stemma.engine.editing import measure
from stemma.engine.editing.sessions import in_turn

torch.set_num_threads(1)


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stop:
        main(list(words))
    said = capsys.readouterr()
    return int(stop.value.code or 0), said.out, said.err


def in_grey(root: Path, chains: dict[str, list[int]], split: str = "dev") -> Path:
    """Sessions of pictures of one grey, as MagicBrush publishes them."""
    turns = []
    for name, greys in chains.items():
        files = [f"{name}-input.png", *(f"{name}-output{k}.png" for k in range(1, len(greys)))]
        for file, grey in zip(files, greys):
            at = root / split / "images" / name
            at.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (16, 16), (grey,) * 3).save(at / file)
        turns += [{"input": a, "output": b, "instruction": "lighter"} for a, b in zip(files, files[1:])]
    (root / split / "edit_turns.json").write_text(json.dumps(turns[::-1]))
    return root


def test_edits_that_follow_upon_each_other_are_sessions(tmp_path: Path) -> None:
    """By their files, in whatever order they are listed; one turn alone is none, and what leads back to its beginning
    has no first turn."""
    data = open_edits(in_grey(tmp_path / "a", {"1": [10, 20, 30, 40], "2": [10, 20], "3": [0, 50, 90]}), "val")
    named = [[Path(data.pair(i).file).name for i in turns] for turns in sessions(data)]
    assert sorted(named) == [["1-input.png", "1-output1.png", "1-output2.png"], ["3-input.png", "3-output1.png"]]
    picked = Chosen(data, np.array([i for i in range(len(data)) if Path(data.pair(i).file).name != "1-output1.png"]))
    assert [[Path(picked.pair(i).file).name for i in turns] for turns in sessions(picked)] == [
        ["3-input.png", "3-output1.png"]]
    both = Joined([picked, data])
    assert len(sessions(data)) == 2 and sum(map(len, sessions(both))) >= 5
    assert spread_out([[0, 1], [2, 3, 4], [5, 6], [7, 8, 9]], 5) == [[0, 1], [5, 6]]
    assert spread_out([[0, 1, 2]], 1) == [[0, 1, 2]] and spread_out([[0, 1]], None) == [[0, 1]]
    for grey in (0, 1):
        Image.new("RGB", (16, 16), (grey,) * 3).save(tmp_path / f"{grey}.png")
    (tmp_path / "edits.csv").write_text("before,after,instruction,split\n0.png,1.png,there,val\n1.png,0.png,back,val\n")
    assert sessions(open_edits(tmp_path, "val")) == []


def test_what_an_editor_errs_by_adds_up_over_turns(tmp_path: Path) -> None:
    """Of greys 51, 102, 153 (and 0, 51) an editor that adds 25 of 255 where 51 are asked for is wrong by 26 each time,
    and by 52 after two turns in a row; it has made more than half the way neither alone nor in turn, one that adds 31
    has. A copy is wrong by 51 and 102."""
    data = open_edits(in_grey(tmp_path / "a", {"1": [51, 102, 153], "2": [0, 51, 102]}), "val")
    found = sessions(data)

    def adding(n: float) -> Any:
        return lambda before, pairs, index: before + n / 255

    said = in_turn(data, found, 8, adding(25), batch=3)
    l1 = lambda rows: round(rows["l1"] * 255, 3)
    assert said["sessions"] == 2 and [said[k]["edits"] for k in ("alone", "all", "final")] == [4, 4, 2]
    assert [l1(said[k]) for k in ("alone", "all", "final")] == [26, 39, 52]
    assert [(r["turn"], l1(r["alone"]), l1(r["all"])) for r in said["by_turn"]] == [(1, 26, 26), (2, 26, 52)]
    assert said["final"]["l2"] == pytest.approx((52 / 255) ** 2) and said["final"]["right"] == 0
    assert in_turn(data, found, 8, adding(31))["all"]["right"] == 1
    copied = in_turn(data, found, 8, measure.copying)
    assert [l1(copied[k]) for k in ("alone", "all", "final")] == [51, 76.5, 102]
    truth = {i: torch.from_numpy(data.pair(i).after.transpose(2, 0, 1)[:, ::2, ::2]).float() / 255
             for i in range(len(data))}
    best = in_turn(data, found, 8, lambda before, pairs, index: torch.stack([truth[i] for i in index]))
    assert all(best[k]["l1"] < 1e-6 and best[k]["right"] == 1 for k in ("alone", "all", "final"))


def test_sessions_are_measured_in_turn_and_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = tmp_path / "a"
    for split in ("train", "dev"):
        in_grey(root, {"1": [51, 102, 153], "2": [0, 51, 102], "3": [9, 99]}, split)
    (root / "dev" / "images" / "2" / "2-output1.png").unlink()
    code, out, _ = run(capsys, "doctor", str(root))
    assert "train: 4 of 5 edits follow upon each other, in 2 sessions of up to 2 turns" in " ".join(out.split())
    stemma.train("instruct-pix2pix", root, "1steps", out=tmp_path / "run", progress=False, val_every=0)
    code, out, err = run(capsys, "evaluate", str(tmp_path / "run"), "--steps", "1")
    assert code == 0, err
    assert "each from what was made" in out and "turn 2, from what was made" in out and "1 session of edits" in out
    assert max(map(len, out.splitlines())) <= 80
    code, out, _ = run(capsys, "evaluate", str(tmp_path / "run"), "--steps", "1", "--split", "train", "--json")
    said = json.loads(out)["in_turn"]
    assert said["sessions"] == 2 and round(said["copy"]["final"]["l1"] * 255, 3) == 102
