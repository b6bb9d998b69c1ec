"""A budget of seconds is as many steps as it buys at the price of a step, which is found once and kept."""
from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

import stemma
from engine_help import short
from stemma.engine.language.learning import Learner
from stemma.engine.pictures import passes
from stemma.engine.pictures.trainer import Trainer
from stemma.engine.running import clock, prices
from stemma.engine.running.clock import Stopwatch
from stemma.engine.transfer import training
from test_clock import Hands
from test_passes import go, seen  # noqa: F401  a fixture


def costly(monkeypatch: pytest.MonkeyPatch, cost: float, tried: float | None = None) -> list[bool]:
    """Steps take `cost` seconds of work, those that are tried out `tried`; whether each was tried out."""
    hands, real, taken = Hands(monkeypatch), Trainer._step, list[bool]()

    def take(self: Trainer, *a: Any) -> None:
        real(self, *a)
        taken.append(self.still)
        hands.turn(cost if tried is None or not self.still else tried)

    monkeypatch.setattr(Trainer, "_step", take)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    return taken


def test_a_second_is_as_many_steps_again_and_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second training comes when every step takes three times as long, and ends at the same bytes."""
    monkeypatch.setenv("STEMMA_CACHE", str(tmp_path / "cache"))
    ends, tried = [], []
    for cost in (0.5, 1.5):
        with monkeypatch.context() as m:
            taken = costly(m, cost)
            run = short(tmp_path / str(cost), "4s")
        spent = run.record["spent"]
        assert spent["steps"] == 8 and spent["seconds"] == 4.0 and spent["worked"] == 8 * cost
        ends.append((run.path / "last.safetensors").read_bytes())
        tried.append(sum(taken))
    assert ends[0] == ends[1] and tried == [3, 0]
    [file] = (tmp_path / "cache" / "prices").iterdir()
    assert list(json.loads(file.read_text())) == ["-1"]


def test_steps_that_are_tried_out_leave_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many steps by seconds and by number: the same weights, averages and statistics."""
    monkeypatch.setenv("STEMMA_CACHE", str(tmp_path / "cache"))
    with monkeypatch.context() as m:
        costly(m, 1.0)
        seconds = short(tmp_path / "seconds", "5s")
    steps = short(tmp_path / "steps", "5steps")
    for name in ("last", "best"):
        assert (seconds.path / f"{name}.safetensors").read_bytes() == (steps.path / f"{name}.safetensors").read_bytes()


def test_a_price_found_on_a_busy_machine_is_mended_and_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                            capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("STEMMA_CACHE", str(tmp_path / "cache"))
    for name, steps in (("first", 4), ("second", 8)):
        with monkeypatch.context() as m:
            costly(m, 0.5, tried=1.0)
            run = short(tmp_path / name, "4s", progress=True)
        assert run.record["spent"]["steps"] == steps
        assert ("took 50 % less than they were counted at" in capsys.readouterr().err) == (name == "first")


def test_any_prices_that_were_too_high_are_mended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of one kind of work or several, by what all took together; a tenth is no matter."""
    monkeypatch.setenv("STEMMA_CACHE", str(tmp_path / "cache"))
    kept, watch = prices.Kept({"env": "pendulum"}), Stopwatch("cpu", 1)
    watch.work, watch.worked = 10.0, 9.1
    assert prices.mended(kept, {"collect": 2.0, "update": 1.0}, watch) is None is kept.read()
    watch.worked = 2.5
    assert prices.mended(kept, {"collect": 2.0, "update": 1.0}, watch) == 0.25
    assert kept.read() == {"collect": 0.5, "update": 0.25}
    assert prices.mended(None, {"collect": 2.0}, watch) is None is prices.mended(kept, {}, watch)


def test_what_cannot_be_read_is_found_anew_and_the_first_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEMMA_CACHE", str(tmp_path))
    kept = prices.Kept({"paper": "fpn", "batch": 16})
    assert kept.read() is None and kept.write({"-1": 0.5}) == {"-1": 0.5}
    assert kept.write({"-1": 0.7}) == {"-1": 0.5} and kept.write({"-1": 0.4}, anew=True) == {"-1": 0.4}
    assert prices.Kept({"batch": 16, "paper": "fpn"}).read() == {"-1": 0.4}
    assert prices.Kept({"paper": "fpn", "batch": 8}).read() is None
    for text in ("", "[1]", '{"-1": 0}', '{"-1": "x"}', "null"):
        kept.file.write_text(text)
        assert kept.read() is None
    kept.file.unlink()
    monkeypatch.setenv("STEMMA_CACHE", str(tmp_path / "file"))
    (tmp_path / "file").write_text("no folder")
    assert prices.Kept({}).write({"-1": 0.5}) == {"-1": 0.5}  # it counts for this training alone


def test_the_price_is_the_least_by_pixels_and_takes_little_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Five steps, of which four were disturbed; and the first, which does not count."""
    hands = Hands(monkeypatch)
    monkeypatch.setattr(clock, "own_seconds", lambda: hands.worked)
    sizes = iter([9.0, 1.0, 2.0, 4.0, 1.0, 2.0, 1.0])
    times = iter([1.0, 3.0, 2.0, 40.0, 2.0, 5.0, 1.0])

    def step() -> float:
        hands.turn(next(times))
        return next(sizes)

    assert prices.found(step, Stopwatch("cpu", 1), 51.0) == 1.0 and next(times) == 1.0  # not the first's ninth
    assert prices.room(175.0) == 8.75 and prices.room(2.0) == 0.5


def test_what_cannot_be_tried_out_is_clocked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first life is clocked, unit by unit, until there is a price; the next, in which all takes twice as long, is
    counted by it from its first unit."""
    monkeypatch.setenv("STEMMA_CACHE", str(tmp_path))
    hands = Hands(monkeypatch)
    watch, ledger = Stopwatch("cpu", 1), prices.Ledger(prices.Kept({"env": "pendulum"}))

    def work(kind: str, amount: float, seconds: float) -> float:
        before = watch.work
        watch.start()
        hands.turn(seconds)
        ledger.lap(watch, kind, amount)
        return watch.work - before

    assert [work("learn", 1, s) for s in (9.0, 3.0, 1.0, 2.0)] == [9.0, 3.0, 1.0, 2.0] and not ledger.prices
    assert work("live", 0, 1.0) == 1.0 and work("live", 10, 5.0) == 5.0
    ledger.settle("learn")
    assert ledger.prices == {"learn": 2.0} and work("learn", 3, 1.0) == 6.0
    ledger.settle()
    assert ledger.prices == {"learn": 2.0, "live": 0.5}
    ledger = prices.Ledger(prices.Kept({"env": "pendulum"}))
    assert work("learn", 1, 4.0) == 2.0 and work("live", 20, 20.0) == 10.0 and work("evolve", 1, 3.0) == 3.0
    for _ in range(prices.ENOUGH):
        work("evolve", 1, 1.0)
    assert ledger.prices["evolve"] == 1.0  # enough was seen
    ledger = prices.Ledger()
    assert work("learn", 1, 4.0) == 4.0 and ledger.settle() is None and ledger.prices == {}


def test_a_fit_without_gradient_is_counted_as_the_first_time(  # noqa: F811  pytest hands the fixture in
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seen: list[list[list[int]]]  # noqa: F811
) -> None:
    """Its second training sees as many pictures, though all takes four times as long."""
    monkeypatch.setenv("STEMMA_CACHE", str(tmp_path / "cache"))
    ends = []
    for cost in (0.25, 1.0):
        with monkeypatch.context() as m:
            hands, step, tick = Hands(m), Trainer._step, passes.Passes.tick

            def stepped(self: Trainer, *a: Any, hands: Any = hands, step: Any = step, cost: float = cost) -> None:
                step(self, *a)
                hands.turn(cost)

            def ticked(self: Any, *a: Any, hands: Any = hands, tick: Any = tick, cost: float = cost) -> float:
                hands.turn(cost)
                return float(tick(self, *a))

            m.setattr(Trainer, "_step", stepped)
            m.setattr(passes.Passes, "tick", ticked)
            m.setattr(torch, "get_num_threads", lambda: 1)
            run = go(tmp_path / str(cost), "4s", save_every=None)
        spent = run.record["spent"]
        ends.append((spent["steps"], spent["seconds"], (run.path / "last.safetensors").read_bytes()))
    assert ends[0] == ends[1] and ends[0][0] > 12 and seen[0] == seen[1]


def test_language_counts_steps_at_their_price_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second training, in which every step takes three times as long, is as many steps, and leaves the same bytes
    as one of that number of steps; so does the counting of pairs, which is not full from what was tried out."""
    monkeypatch.setenv("STEMMA_CACHE", str(tmp_path / "cache"))
    narrow = {"net.width": 16, "net.layers": 1, "net.heads": 2, "recipe.batch": 16}
    for preset, sets, steps in (("small", narrow, 8), ("nearest", {"recipe.batch": 90}, 5)):
        ends = []
        for name, cost in (("4s", 0.5), ("again", 1.5), (f"{steps}steps", 1.0)):
            with monkeypatch.context() as m:
                hands, real = Hands(m), Learner._step

                def step(self: Learner, hands: Hands = hands, real: Any = real, cost: float = cost) -> None:
                    real(self)
                    hands.turn(cost)

                m.setattr(Learner, "_step", step)
                m.setattr(torch, "get_num_threads", lambda: 1)
                run = stemma.train("rational-meaning", "scenes:pairs=400", "4s" if name == "again" else name, preset,
                                   tmp_path / preset / name, sets=sets, device="cpu", progress=False, val_every=0)
            assert run.record["spent"]["steps"] == steps and run.record["spent"]["worked"] == steps * cost
            ends.append((run.path / "last.safetensors").read_bytes())
        assert len(set(ends)) == 1


def test_language_mends_a_price_that_was_too_high(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps at half of what they were found to cost: the first training has half of its work, which its record says, and
    the next as many steps again."""
    monkeypatch.setenv("STEMMA_CACHE", str(tmp_path / "cache"))
    for name, steps, part in (("first", 8, 0.5), ("second", 16, None)):
        with monkeypatch.context() as m:
            hands, real = Hands(m), Learner._step

            def step(self: Learner, hands: Hands = hands, real: Any = real) -> None:
                real(self)
                hands.turn(0.25 if self.prices else 0.5)  # while they are tried out

            m.setattr(Learner, "_step", step)
            m.setattr(torch, "get_num_threads", lambda: 1)
            run = stemma.train("rational-meaning", "scenes:pairs=400", "4s", "small", tmp_path / name, sets={
                "net.width": 16, "net.layers": 1, "net.heads": 2, "recipe.batch": 16}, device="cpu", progress=False,
                val_every=0)
        assert (run.record["spent"]["steps"], run.record["mended"]) == (steps, part)


def test_trainings_of_a_protocol_count_steps_at_their_price_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A source and each training of a grid: as many steps, and the same bytes, when each takes three times as long."""
    monkeypatch.setenv("STEMMA_CACHE", str(tmp_path / "cache"))
    ends, counts = [], []
    for cost in (0.5, 1.5):
        with monkeypatch.context() as m:
            hands, real = Hands(m), training.Training.go

            def go(self: training.Training, stretch: int = training.STRETCH, hands: Hands = hands, real: Any = real,
                   cost: float = cost) -> bool:
                before = self.steps
                over: bool = real(self, stretch)
                hands.turn(cost * (self.steps - before))
                return over

            m.setattr(training.Training, "go", go)
            m.setattr(torch, "get_num_threads", lambda: 1)
            run = stemma.train("imagenet-transfer", "drawn:counts", "60s", "small", tmp_path / str(cost), device="cpu",
                               progress=False, sets={"network.name": "tiny-2", "probe.count": 2, "recipe.batch": 8})
        ends.append((run.path / "last.safetensors").read_bytes())
        counts.append(run.record["spent"]["steps"])
        assert run.record["mended"] is None
    assert ends[0] == ends[1] and counts[0] == counts[1] > 50
    assert {k.partition(",")[0] for f in (tmp_path / "cache" / "prices").iterdir() for k in json.loads(f.read_text())
            } >= {"source"}
