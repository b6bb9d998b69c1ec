"""Work and wall time: what is counted, where it ends, and that a busy machine takes nothing away.
Clocks are turned by hand."""
from __future__ import annotations

import json
import math
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

import stemma
from engine_help import short
from stemma.core.types import StemmaError
from stemma.engine.pictures.trainer import Trainer
from stemma.engine.running import clock, prices, progress
from stemma.engine.running.budget import Budget, Spent
from stemma.engine.running.clock import Stopwatch
from stemma.engine.running.runs import Run


class Hands:
    """Both clocks, turned by hand: `wall` seconds pass, and the processor works `share` of them on each of
    `threads`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, threads: int = 1) -> None:
        self.worked = self.passed = 0.0
        self.threads = threads
        monkeypatch.setattr(clock, "processor_seconds", lambda: self.worked)
        monkeypatch.setattr(clock, "own_seconds", lambda: self.worked / self.threads)
        monkeypatch.setattr(clock, "wall_seconds", lambda: self.passed)

    def turn(self, wall: float, share: float = 1.0) -> None:
        self.passed += wall
        self.worked += wall * share * self.threads


def test_work_is_processor_time_over_the_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    hands = Hands(monkeypatch, threads=4)
    watch = Stopwatch("cpu", threads=4)
    hands.turn(10)
    watch.start()  # what came before does not count
    hands.turn(8, share=0.25)
    watch.lap()
    hands.turn(2)
    watch.lap()
    assert (watch.by, watch.work, watch.wall) == ("processor", 4.0, 10.0)
    assert (watch.told, watch.seconds) == ("processor", 4.0)
    hands.turn(40)
    watch.lap()
    assert (watch.told, watch.seconds) == ("wall", 50.0)


def test_threads_with_too_little_to_do_are_no_busy_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """The leading thread was at work all the time: the wall's clock can be trusted, whatever the others did."""
    hands = Hands(monkeypatch, threads=16)
    monkeypatch.setattr(clock, "own_seconds", lambda: 0.95 * hands.passed)
    watch = Stopwatch("cpu", threads=16)
    hands.turn(10, share=0.1)
    watch.lap()
    assert (watch.work, watch.told, watch.seconds) == (pytest.approx(1.0), "wall", 10.0)


def test_on_a_gpu_seconds_are_the_walls(monkeypatch: pytest.MonkeyPatch) -> None:
    hands = Hands(monkeypatch)
    watch = Stopwatch("cuda:1")
    hands.turn(8, share=0.1)
    watch.lap()
    assert (watch.by, watch.work, watch.wall, watch.told) == ("wall", 8.0, 8.0, "wall")


def burn(seconds: float) -> str:
    return f"import time\nwhile time.process_time() < {seconds}: pass"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="children that live are read from /proc")
def test_children_count_while_they_live_and_after() -> None:
    """Real clocks: sleeping is no work; what a child works, and what its own child does, is."""
    begin = clock.processor_seconds()
    time.sleep(0.3)
    assert clock.processor_seconds() - begin < 0.15
    inner = ("import subprocess, sys\nsubprocess.run([sys.executable, '-c', "
             f"{burn(0.3)!r}])\n{burn(0.3)}\nprint('done', flush=True)\nsys.stdin.read()")
    begin, own = clock.processor_seconds(), time.process_time()
    with subprocess.Popen([sys.executable, "-c", inner], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None and child.stdout.readline() == b"done\n"
        alive = clock.processor_seconds() - begin
    after, own = clock.processor_seconds() - begin, time.process_time() - own
    assert 0.55 < alive - own < 5 and abs(after - alive) < 0.2  # 10 ms is what the system counts in


def test_a_budget_is_cut_by_the_wall() -> None:
    budget = Budget.parse("100s", wall="1h")
    assert budget == Budget(100, "seconds", 3600.0) and str(budget) == "100s" and not budget.repeatable
    assert budget.fraction(Spent(seconds=50, wall=360)) == 0.5 and budget.fraction(Spent(seconds=50, wall=2700)) == 0.75
    assert budget.fraction(Spent(seconds=50, wall=4000)) == 1 == budget.fraction(Spent(seconds=100, wall=100))
    assert budget.cut(Spent(seconds=100, wall=3700)) is None and budget.cut(Spent(seconds=63, wall=3599)) is None
    ran = "wall time of 3600 s ran out at 63 % of the budget of 100s"
    then = Spent(seconds=63, steps=5, images=10, wall=3700)
    assert budget.cut(Spent(seconds=63, wall=3600)) == ran == budget.cut(then, Spent(seconds=62, steps=4, images=8))
    assert budget.cut(then, then) == (ran + ": 3700 s were spent before, so that nothing more was learned; --wall counts "
                                      "all that a run takes")
    steps = Budget.parse("90steps", wall="10s")
    assert (not steps.repeatable and steps.fraction(Spent(steps=9, wall=5)) == 0.5
            and steps.for_batch(2, 4) == Budget(45, "steps", 10))
    for text in ("10steps", "soon", "-1s", "0s"):
        with pytest.raises(StemmaError, match=r"wall time is limited to a time above 0, such as 90s, 30m or 1h, not"):
            Budget.parse("10s", wall=text)


def test_times_are_told_by_both_clocks() -> None:
    assert str(Spent(seconds=35.2, wall=52.4)) == "35 s of work in 52 s" and str(Spent(seconds=7, wall=7)) == "7 s"
    old = {"spent": {"seconds": 7.0, "steps": 3, "epochs": 0.5, "images": 12}}
    assert Spent.of(old) == Spent(7, 3, 0.5, 12, 7, 7)
    assert Budget.parse("60s").passed(Spent(seconds=1, wall=1), Spent(seconds=2, wall=61))  # saves go by the clock
    assert not Budget.parse("60s").passed(Spent(seconds=1, wall=1), Spent(seconds=61, wall=60.5))


# ---------------------------------------------------------------- trainings


def timed(monkeypatch: pytest.MonkeyPatch, share: float = 1.0, step: float = 1.0, death: int | None = None) -> Hands:
    """Trainings in which a step is `step` seconds of work, on a machine that gives `share` of the time; the one at step
    `death` is killed."""
    hands, real = Hands(monkeypatch), Trainer._step

    def take(self: Trainer, *a: Any) -> None:
        if self.steps == death and not self.still:
            raise RuntimeError("killed")
        real(self, *a)
        hands.turn(step / share, share)

    monkeypatch.setattr(Trainer, "_step", take)
    monkeypatch.setattr(prices.Kept, "read", lambda self: None)
    monkeypatch.setattr(prices.Kept, "write", lambda self, found, anew=False: found)
    monkeypatch.setattr(torch, "get_num_threads", lambda: hands.threads)
    return hands


def test_a_busy_machine_takes_longer_and_takes_as_many_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ends = []
    for share in (1.0, 0.25):
        with monkeypatch.context() as m:
            timed(m, share)
            run = short(tmp_path / str(share), "5s", log_every=1)
        record = run.record
        ends.append((run.path / "last.safetensors").read_bytes())
        assert record["spent"] | {"steps": 5, "seconds": 5.0, "wall": 5 / share} == record["spent"]
        assert record["clock"] == "processor" and record["wall_limit"] is None and record["cut"] is None
        assert [(e["seconds"], e["wall"]) for e in run.metrics("train")] == [(i, i / share) for i in range(1, 6)]
        assert record["images_per_second"] == 4.0
    assert ends[0] == ends[1]


def test_wall_time_caps_a_training_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                               capsys: pytest.CaptureFixture[str]) -> None:
    cosine = {"recipe.schedule": "cosine", "recipe.warmup": 0.0}
    with monkeypatch.context() as m:
        timed(m, share=0.25)
        run = short(tmp_path / "run", "8s", wall="20s", log_every=1, progress=True, sets=cosine)
        assert (run.record["spent"] | {"steps": 5, "wall": 20.0} == run.record["spent"] and run.state == "finished"
                and run.record["wall_limit"] == 20.0)
        assert (run.record["cut"] == "wall time of 20 s ran out at 62 % of the budget of 8s"
                and run.record["cut"] in capsys.readouterr().err)
        rates = [e["lr"] for e in run.metrics("train")]
        # the last of five steps: rates end with the wall time
        assert rates[-1] / rates[0] == pytest.approx((1 + math.cos(0.8 * math.pi)) / 2)
        again = short(tmp_path / "run", "8s", wall="20s", resume=True, sets=cosine)
        assert again.record["spent"]["steps"] == 5  # it is over
        capsys.readouterr()
        less = short(tmp_path / "run", "9s", wall="18s", resume=True, progress=True, sets=cosine)
        assert less.record["spent"]["steps"] == 5 and "nothing more was learned" in less.record["cut"]
        assert less.record["cut"] in capsys.readouterr().err
        more = short(tmp_path / "run", "8s", resume=True, sets=cosine)
        assert (more.record["spent"] | {"steps": 8, "seconds": 8.0, "wall": 32.0} == more.record["spent"]
                and more.record["cut"] is None)
    other = short(tmp_path / "other", "2steps", wall="1h")
    assert other.record["cut"] is None and other.record["spent"]["steps"] == 2
    # a limit that did not bite changes nothing
    assert short(tmp_path / "other", "2steps", resume=True).record["ended"] == other.record["ended"]


def test_a_resumed_training_keeps_both_clocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as m, pytest.raises(RuntimeError, match="killed"):
        timed(m, share=0.5, death=3)
        short(tmp_path / "run", "6s", save_every="1steps")
    with monkeypatch.context() as m:
        timed(m)
        run = short(tmp_path / "run", "6s", save_every="1steps", resume=True)
    assert run.record["spent"] | {"steps": 6, "seconds": 6.0, "wall": 9.0} == run.record["spent"]


def test_a_state_from_before_work_was_counted_resumes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from stemma.engine.running import checkpoint

    with monkeypatch.context() as m, pytest.raises(RuntimeError, match="killed"):
        timed(m, death=2)
        short(tmp_path / "run", "4s", save_every="1steps")
    tensors, meta = checkpoint.read_tensors(tmp_path / "run" / "state.safetensors")
    checkpoint.write_tensors(tmp_path / "run" / "state.safetensors", tensors,
                             {k: v for k, v in meta.items() if k != "wall"})
    record = {k: v for k, v in Run.open(tmp_path / "run").record.items() if k not in ("wall_limit", "clock", "cut")}
    (tmp_path / "run" / "run.json").write_text(json.dumps(record))
    with monkeypatch.context() as m:
        timed(m)
        run = short(tmp_path / "run", "4s", resume=True)
    assert run.record["spent"] | {"steps": 4, "seconds": 4.0, "wall": 4.0} == run.record["spent"]


def test_saves_go_by_the_wall(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saves: list[int] = []
    real = Trainer._save
    monkeypatch.setattr(Trainer, "_save", lambda self, final=False: (saves.append(self.steps), real(self, final))[1])
    with monkeypatch.context() as m:
        timed(m, share=0.1)
        short(tmp_path / "run", "6s", save_every="20s", val_every=0)
    assert saves == [2, 4, 6, 6]


def test_without_a_terminal_a_line_comes_every_ten_seconds(monkeypatch: pytest.MonkeyPatch,
                                                           capsys: pytest.CaptureFixture[str]) -> None:
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    bar = progress.Training("fpn")
    with progress.counting("evaluating", 40) as count:
        for step in range(31):
            now[0] = float(step)
            bar.update(step / 100, Spent(step, step, 0, step * 8, step * 2), step / 10 if step > 9 else float("nan"))
            assert count is not None
            count(step)
    said = capsys.readouterr().err.splitlines()
    assert [s for s in said if "fpn" in s] == [f"fpn: {s} %, {s} s of work in {2 * s} s, loss {s / 10:.3f}"
                                               for s in (10, 20, 30)]
    assert [s for s in said if "evaluating" in s] == [f"evaluating: {s} of 40" for s in (10, 20, 30)]
    with progress.counting("evaluating", 40, show=False) as count:
        assert count is None


def test_on_a_terminal_no_loss_is_shown_before_there_is_one(monkeypatch: pytest.MonkeyPatch,
                                                            capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "80")
    bar = progress.Training("fpn")
    bar.update(0.0, Spent(), float("nan"))
    bar.stop()
    before = capsys.readouterr().err
    assert "fpn" in before and "0%" in before and "nan" not in before and "loss" not in before
    bar = progress.Training("fpn")
    bar.update(0.5, Spent(1, 2, 0, 16, 1), 1.25)
    bar.stop()
    assert "loss 1.250" in capsys.readouterr().err


def test_what_is_gone_through_says_how_much_is_done(monkeypatch: pytest.MonkeyPatch,
                                                    capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(progress, "QUIET", 0.0)
    assert list(progress.going((k for k in "abc"), "seeds")) == ["a", "b", "c"]
    assert capsys.readouterr().err.splitlines() == ["seeds: 1 of 3", "seeds: 2 of 3", "seeds: 3 of 3"]


def test_what_goes_wrong_is_not_lost_where_progress_is_off(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.warns(UserWarning, match="the disk is full"):
        progress.Training("fpn", show=False).trouble("the disk is full")
    progress.Training("fpn").trouble("the disk is full")
    assert capsys.readouterr().err == "the disk is full\n"


def test_a_clock_says_what_was_spent_and_goes_on_where_it_was_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    hands = Hands(monkeypatch)
    watch = Stopwatch("cpu", threads=1)
    hands.turn(4, share=0.5)
    watch.lap(3.0)
    assert watch.spent(7, 0.5, 28) == Spent(3.0, 7, 0.5, 28, 4.0, 2.0)
    again = Stopwatch("cpu", threads=1)
    again.resume(json.loads(json.dumps(watch.kept())))
    assert again.spent(7, 0.5, 28) == watch.spent(7, 0.5, 28)
    again.resume({"seconds": 5.0})  # of a state from before the others were counted
    assert again.spent(0, 0.0, 0) == Spent(5.0, 0, 0.0, 0, 5.0, 5.0)


@pytest.mark.parametrize("paper,data,sets", [
    ("calibrated-hallucination", "facts:words=8,facts=60,documents=120,places=3,alpha=0.7", {}),
    ("imagenet-transfer", "drawn:outlines", {"network.name": "tiny-4", "probe.count": 2, "recipe.batch": 16}),
])
def test_every_wing_says_what_processors_worked(paper: str, data: str, sets: dict[str, Any], tmp_path: Path) -> None:
    """Else a comparison would tell that its trainings got none of a core."""
    run = stemma.train(paper, data, "1steps", out=tmp_path / "run", sets=sets, device="cpu", progress=False)
    assert run.record["spent"]["worked"] == run.record["spent"]["seconds"] > 0
