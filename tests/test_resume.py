"""Killed at any moment and resumed, a run ends with the same bytes as one left alone."""
from __future__ import annotations

import os
import random
import shutil
import signal
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from engine_help import alone_and_in_pieces, scenes, script, short
from layouts import LAYOUTS, truth
from made_data import noise
from stemma.core.types import StemmaError
from stemma.engine.pictures import fit
from stemma.engine.pictures.trainer import Trainer
from stemma.engine.running import checkpoint
from stemma.engine.running.runs import Run

CODE = """
import sys
from pathlib import Path
from test_resume import once
once(Path(sys.argv[1]), *sys.argv[2:])
"""
FILES = ("last.safetensors", "best.safetensors")


def once(folder: Path, budget: str, paper: str, optimizer: str) -> Run:
    """One training that saves its state after every step."""
    sets = {"recipe.optimizer": optimizer, "recipe.lr": 0.01}
    return short(folder, budget, paper=paper, resume=True, save_every="1steps", sets=sets, log_every=1)


def bytes_of(run: Path) -> list[bytes]:
    return [(run / f).read_bytes() for f in FILES]


def kill(start: Callable[[], int], folder: Path, wait: float) -> None:
    """Start a training in another process and SIGKILL it `wait` seconds after its first save; sooner, and anew, where
    it had ended by then."""
    for _ in range(20):
        pid = start()
        while not (folder / "state.safetensors").exists():
            assert os.waitpid(pid, os.WNOHANG) == (0, 0), "it ended before its first save"
            time.sleep(0.002)
        time.sleep(wait)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        if (state := Run.open(folder).state) == "running":
            return
        assert state == "finished", state
        shutil.rmtree(folder)  # a fast machine, or one that looked elsewhere for a while
        wait /= 2
    raise AssertionError("twenty times it ended before it was killed; give it more steps")


def same_end(killed: Path, alone: Path) -> None:
    assert bytes_of(killed) == bytes_of(alone)
    a, b = Run.open(killed), Run.open(alone)
    assert not list(killed.glob(".*")) and a.state == "finished" and a.record["best"] == b.record["best"]
    said = [[(e["kind"], e["step"], e["loss"]) for e in r.metrics()] for r in (a, b)]
    assert said[0] == said[1]


def forked(folder: Path, *how: str) -> int:
    """`once` in a process of its own; its id."""
    pid = os.fork()
    if pid == 0:
        try:
            once(folder, *how)
        except BaseException:
            os.write(2, traceback.format_exc().encode())
        finally:
            os._exit(1)
    return pid


forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="the test forks")


def test_killed_between_the_last_validation_and_the_last_save(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was said after the saved state is said again, not twice."""
    how = ("6steps", "retinanet", "muon")
    once(tmp_path / "alone", *how)
    save = Trainer._save

    def last(self: Trainer, final: bool = False) -> None:
        if final:
            raise KeyError("killed")
        save(self)

    monkeypatch.setattr(Trainer, "_save", last)
    with pytest.raises(KeyError, match="killed"):
        once(tmp_path / "killed", *how)
    monkeypatch.undo()
    assert [e["kind"] for e in Run.open(tmp_path / "killed").metrics()][-1] == "val"
    once(tmp_path / "killed", *how)
    same_end(tmp_path / "killed", tmp_path / "alone")


@forks
def test_a_killed_run_ends_as_one_left_alone(tmp_path: Path) -> None:
    how = ("25steps", "retinanet", "muon")
    once(tmp_path / "alone", *how)
    kill(lambda: forked(tmp_path / "killed", *how), tmp_path / "killed", random.Random(time.time()).uniform(0.0, 0.3))
    once(tmp_path / "killed", *how)
    same_end(tmp_path / "killed", tmp_path / "alone")


@pytest.mark.slow
@pytest.mark.parametrize("paper, optimizer, budget", [("retinanet", "adamw", "10epochs"), ("fcn", "sgd", "240images"),
                                                      ("faster-rcnn", "muon", "40steps")])
def test_ten_kills_at_random_moments(tmp_path: Path, paper: str, optimizer: str, budget: str) -> None:
    dice, how = random.Random(time.time()), (budget, paper, optimizer)
    once(tmp_path / "alone", *how)
    for k in range(10):
        folder = tmp_path / f"killed{k}"
        kill(lambda: script(CODE, str(folder), *how, wait=False).pid, folder, dice.uniform(0.0, 1.0))  # noqa: B023
        once(folder, *how)
        same_end(folder, tmp_path / "alone")


@pytest.mark.slow
def test_killed_and_finished_by_fresh_processes(tmp_path: Path) -> None:
    folder, how = tmp_path / "killed", ("60steps", "mask-rcnn", "sgd")
    kill(lambda: script(CODE, str(folder), *how, wait=False).pid, folder, 0.5)
    script(CODE, str(folder), *how)
    once(tmp_path / "alone", *how)
    same_end(folder, tmp_path / "alone")


@pytest.mark.parametrize("paper, optimizer", [("faster-rcnn", "sgd"), ("fcn", "adam"), ("retinanet", "adamw")])
def test_stopped_at_every_step_and_resumed(tmp_path: Path, paper: str, optimizer: str,
                                           monkeypatch: pytest.MonkeyPatch) -> None:
    """As if killed between two steps, at each of them: every step is computed by a trainer that came fresh from the
    disk."""
    sets = {"recipe.optimizer": optimizer, "recipe.lr": 0.01}
    settings: dict[str, Any] = {"budget": "5steps", "paper": paper, "sets": sets, "save_every": "1steps",
                                "data": scenes(8), "val": scenes(2, "val"), "workers": 1}
    alone, pieces = alone_and_in_pieces(tmp_path, monkeypatch, 4, **settings)
    assert bytes_of(pieces.path) == bytes_of(alone.path)


def test_the_scale_of_gradients_is_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make = fit.make_fabric

    def scaled(*a: Any, **k: Any) -> Any:
        fabric = make(*a, **k)
        # as fp16 has it on a GPU; it doubles every 2 steps
        fabric._precision.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**8, growth_interval=2)
        return fabric

    monkeypatch.setattr(fit, "make_fabric", scaled)
    settings: dict[str, Any] = {"precision": "bf16", "data": scenes(8), "val": scenes(2, "val"), "val_every": 0,
                                "sets": {"recipe.clip": 5.0}, "save_every": "1steps"}
    alone = short(tmp_path / "alone", "5steps", **settings)
    assert checkpoint.read_meta(alone.path / "state.safetensors")["scaler"]["scale"] == 2.0**10
    step = Trainer._step

    def stop(self: Trainer, *a: Any) -> None:
        if self.steps == 3:
            raise RuntimeError("killed")
        step(self, *a)

    monkeypatch.setattr(Trainer, "_step", stop)
    with pytest.raises(RuntimeError):
        short(tmp_path / "again", "5steps", **settings)
    monkeypatch.setattr(Trainer, "_step", step)
    again = short(tmp_path / "again", "5steps", resume=True, **settings)
    assert bytes_of(again.path) == bytes_of(alone.path)
    assert (checkpoint.read_meta(again.path / "state.safetensors")["scaler"]
            == checkpoint.read_meta(alone.path / "state.safetensors")["scaler"])


def test_a_time_budget_continues_its_seconds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    step = Trainer._step

    class Killed(BaseException):
        pass

    def half(self: Trainer, *a: Any) -> None:
        if self.clock.work > 0.5:
            raise Killed
        step(self, *a)

    monkeypatch.setattr(Trainer, "_step", half)
    with pytest.raises(Killed):
        short(tmp_path / "run", "1s", save_every="1steps", val_every=0, log_every=1)
    monkeypatch.undo()
    run = short(tmp_path / "run", "1s", save_every="1steps", val_every=0, log_every=1, resume=True)
    seconds = [e["seconds"] for e in run.metrics("train")]
    # the first step past it is the last
    assert seconds == sorted(seconds) and seconds[-1] >= 1.0 >= max([0.0, *seconds[:-1]])


def test_a_run_goes_on_with_the_same_pictures_alone(tmp_path: Path) -> None:
    data, it = tmp_path / "data", LAYOUTS["yolo"]
    it.write(data, truth(it.holds))
    go_on = lambda: short(tmp_path / "run", "2steps", data=str(data), val="val", resume=True)
    go_on()
    for split, what in (("train", "trained"), ("val", "validated")):
        file, more = data / f"images/{split}/a.png", data / f"images/{split}/more.png"
        own = file.read_bytes()

        def refused(what: str = what) -> None:
            with pytest.raises(StemmaError, match=f"run was {what} on other data .*, or its files have changed since"):
                go_on()

        file.unlink()
        refused()  # one is gone
        noise(file, 50, 80)
        refused()  # another stands in its place
        file.write_bytes(own)
        noise(more, 40, 60)
        (data / f"labels/{split}/more.txt").write_text("0 .5 .5 .2 .2\n")
        refused()  # there is one more
        more.unlink()
        (data / f"labels/{split}/more.txt").unlink()
    assert go_on().record["spent"]["steps"] == 2


def test_resuming_where_nothing_was_saved_begins_anew(tmp_path: Path) -> None:
    alone = short(tmp_path / "alone", "2steps")
    again = short(tmp_path / "again", "2steps", resume=True)
    (again.path / "state.safetensors").unlink()
    again.update(state="running", spent=None)  # as before anything is saved
    again.log({"kind": "train", "step": 99, "loss": 0.0})
    with open(again.path / "metrics.jsonl", "a", encoding="utf-8") as f:
        f.write('{"kind": "tra')  # cut off by the kill
    again = short(tmp_path / "again", "2steps", resume=True)
    assert bytes_of(again.path) == bytes_of(alone.path) and max(e["step"] for e in again.metrics()) == 2


def test_a_state_of_other_processes_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = short(tmp_path / "run", "2steps")
    tensors, meta = checkpoint.read_tensors(run.path / "state.safetensors")
    checkpoint.write_tensors(run.path / "state.safetensors", tensors, meta | {"world": 2})
    run.update(state="running")
    with pytest.raises(StemmaError, match="trained by 2 process"):
        short(tmp_path / "run", "2steps", resume=True)


def test_a_budget_that_is_spent_already_trains_no_step_more(tmp_path: Path) -> None:
    run = short(tmp_path / "run", "2steps")
    again = short(tmp_path / "run", "0.000001s", resume=True)
    assert again.state == "finished" and again.record["spent"]["steps"] == run.record["spent"]["steps"] == 2
