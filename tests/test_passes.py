"""Phases without gradient: a method of the model sees training pictures, and what it fits survives a kill."""
from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from engine_help import SETS, scenes
from stemma.core import paper as papers
from stemma.core.paper import Paper
from stemma.core.recipe import Phase, Recipe
from stemma.core.types import Batch, StemmaError
from stemma.engine.pictures.fit import train
from stemma.engine.running import checkpoint, schedule
from stemma.engine.running.runs import Run
from stemma.skeletons.dense import DenseModel

Pictures = Callable[[], Iterator[Batch]]
PHASES = (Phase("learn", 0.5), Phase("fit", 0.5, run="fit_mean", passes=2))


def card(phases: tuple[Phase, ...] = PHASES, ema: float = 0.9) -> Paper:
    c = papers.get("retinanet")
    return replace(c, recipe=lambda preset: replace(c.recipe(preset), phases=phases, ema=ema))


def go(out: Path, budget: str = "8steps", c: Paper | None = None, **more: Any) -> Run:
    settings: dict[str, Any] = {"batch": 4, "device": "cpu", "progress": False, "val_every": 0, "save_every": "1steps",
                                "val": scenes(4, "val")} | more
    return train(c or card(), scenes(), budget, out=out, sets=SETS, **settings)


def held(model: Any) -> torch.Tensor:
    """The bias that stands for what a method fits."""
    biases: dict[str, torch.Tensor] = {n: p for n, p in model.state_dict().items() if n.endswith(".bias")}
    return biases[min(biases)]


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[list[list[int]]]:
    """Gives DenseModel a method that keeps the mean colour in a bias; the pictures of every pass, by call."""
    calls: list[list[list[int]]] = []

    def fit_mean(self: Any, pictures: Pictures, say: Callable[[str], None]) -> None:
        assert not self.training and not torch.is_grad_enabled()
        calls.append([])
        total = torch.zeros(3)
        for _ in range(2):
            calls[-1].append([])
            for batch in pictures():
                assert batch.targets.boxes.shape[0] == 4
                calls[-1][-1] += batch.index.tolist()
                total += batch.images.mean((0, 2, 3))
        held(self)[:3] = total
        say("the mean colour is kept")

    monkeypatch.setattr(DenseModel, "fit_mean", fit_mean, raising=False)
    return calls


def bias_of(run: Run, which: str = "last") -> torch.Tensor:
    tensors = checkpoint.read_tensors(run.path / f"{which}.safetensors")[0]
    return tensors[min(k for k in tensors if k.endswith(".bias"))][:3]


def test_passes_see_the_same_pictures_once_and_use_their_share(tmp_path: Path, seen: list[list[list[int]]]) -> None:
    run = go(tmp_path / "run")
    (one, two), = seen
    assert one == two and len(set(one)) == len(one) == 8
    assert run.record["spent"]["steps"] == 8 and run.record["spent"]["images"] == 32
    assert (bias_of(run) > 0.5).all() and run.record["state"] == "finished"
    assert torch.equal(bias_of(run, "best"), bias_of(run))


def test_the_averaged_weights_are_fitted(tmp_path: Path, seen: list[list[list[int]]]) -> None:
    with_average, without = go(tmp_path / "a"), go(tmp_path / "b", c=card(ema=0.0))
    assert torch.equal(bias_of(with_average), bias_of(without))


def test_a_pass_takes_no_picture_twice(tmp_path: Path, seen: list[list[list[int]]]) -> None:
    run = go(tmp_path / "run", "100steps", card((Phase("learn", 0.02), Phase("fit", 0.98, run="fit_mean", passes=2))))
    assert [sorted(p) for p in seen[0]] == [list(range(24))] * 2
    assert run.record["spent"]["steps"] == 2 + 12 and run.record["state"] == "finished"


def test_steps_go_on_after_it(tmp_path: Path, seen: list[list[list[int]]]) -> None:
    run = go(tmp_path / "run", "8steps",
             card((Phase("a", 0.25), Phase("fit", 0.5, run="fit_mean", passes=2), Phase("b", 0.25))), log_every=1)
    assert [e["step"] for e in run.metrics("train")] == [1, 2, 7, 8]


class Killed(BaseException):
    pass


@pytest.mark.parametrize("when", [1, 3, 4])
def test_killed_in_its_midst_it_ends_as_if_left_alone(tmp_path: Path, seen: list[list[list[int]]], when: int,
                                                      monkeypatch: pytest.MonkeyPatch) -> None:
    alone = go(tmp_path / "alone")
    from stemma.engine.pictures.passes import Passes

    tick, count = Passes.tick, [0]

    def failing(self: Passes, kind: str, amount: float) -> float:
        count[0] += 1
        if count[0] == when:
            raise Killed
        return tick(self, kind, amount)

    monkeypatch.setattr(Passes, "tick", failing)
    with pytest.raises(Killed):
        go(tmp_path / "killed", resume=True)
    monkeypatch.undo()
    monkeypatch.setattr(DenseModel, "fit_mean", seen_method(seen), raising=False)
    again = go(tmp_path / "killed", resume=True)
    assert (again.path / "last.safetensors").read_bytes() == (alone.path / "last.safetensors").read_bytes()
    assert again.record["spent"]["steps"] == alone.record["spent"]["steps"]


def seen_method(calls: list[list[list[int]]]) -> Callable[..., None]:
    def fit_mean(self: Any, pictures: Pictures, say: Callable[[str], None]) -> None:
        total = torch.zeros(3)
        for _ in range(2):
            for batch in pictures():
                total += batch.images.mean((0, 2, 3))
        held(self)[:3] = total

    return fit_mean


def test_told_to_stop_it_is_put_back_to_where_the_phase_began(tmp_path: Path, seen: list[list[list[int]]],
                                                              monkeypatch: pytest.MonkeyPatch) -> None:
    alone = go(tmp_path / "alone")
    plain = DenseModel.fit_mean  # type: ignore[attr-defined]

    def stopped(self: Any, pictures: Pictures, say: Callable[[str], None]) -> None:
        for _ in pictures():
            held(self).zero_()
            raise KeyboardInterrupt

    monkeypatch.setattr(DenseModel, "fit_mean", stopped, raising=False)
    with pytest.raises(KeyboardInterrupt):
        go(tmp_path / "run", resume=True)
    assert Run.open(tmp_path / "run").record["spent"]["steps"] == 4
    monkeypatch.setattr(DenseModel, "fit_mean", plain, raising=False)
    again = go(tmp_path / "run", resume=True)
    assert (again.path / "last.safetensors").read_bytes() == (alone.path / "last.safetensors").read_bytes()


def test_mistakes_are_told(tmp_path: Path, seen: list[list[list[int]]]) -> None:
    with pytest.raises(StemmaError, match="DenseModel has no method 'conjure'.*phase 'x'"):
        go(tmp_path / "a", c=card((Phase("learn", 0.5), Phase("x", 0.5, run="conjure"))))
    with pytest.raises(StemmaError, match="phase 'x' was declared with 1 pass"):
        go(tmp_path / "b", c=card((Phase("learn", 0.5), Phase("x", 0.5, run="fit_mean"))))


def test_a_budget_of_seconds_fits_too(tmp_path: Path, seen: list[list[list[int]]]) -> None:
    run = go(tmp_path / "run", "1.5s")
    assert len(seen) == 1 and seen[0][1] == seen[0][0][: len(seen[0][1])] and run.record["state"] == "finished"


def test_rates_run_over_the_phases_with_gradient() -> None:
    phases = (Phase("a", 0.4), Phase("b", 0.2, run="x"), Phase("c", 0.4))
    assert [round(schedule.learning(phases, f), 6) for f in (0, 0.2, 0.4, 0.5, 0.6, 0.8,
                                                             1)] == [0, 0.25, 0.5, 0.5, 0.5, 0.75, 1]
    assert schedule.learning((), 0.3) == 0.3 and schedule.span(phases, 1) == (0.4, pytest.approx(0.6))
    late = (Phase("x", 0.2, run="x"), Phase("a", 0.4), Phase("y", 0.2, run="x"), Phase("c", 0.2))  # begun late, and over
    assert [round(schedule.learning(late, f), 6) for f in (0.1, 0.4, 0.7, 0.9)] == [0, 0.333333, 0.666667, 0.833333]


def test_a_phase_with_milestones_begins_the_schedule_anew() -> None:
    phases = (Phase("a", 0.4, milestones=(0.5,)), Phase("b", 0.4, milestones=(0.25, 0.75)), Phase("c", 0.2))
    r = Recipe(milestones=(0.9,), warmup=0.0, phases=phases)
    rates = {f: schedule.rate(r, f, schedule.phase_at(phases, f)) for f in (0, 0.1, 0.25, 0.45, 0.55, 0.75, 0.85, 0.95)}
    assert rates == pytest.approx({0: 1, 0.1: 1, 0.25: 0.1, 0.45: 1, 0.55: 0.1, 0.75: 0.01, 0.85: 1, 0.95: 0.1})
    assert checkpoint.recipe_from(json.loads(json.dumps(r.as_dict()))) == r
    for name, preset, wanted in (("faster_rcnn", "alternating", [(60, 80), (30, 40), (60, 80), (30, 40)]),
                                 ("mr_cnn", "paper", [(200, 250), (160, 180), (120, 180)])):
        r = papers.get(name).recipe(preset)  # thousands of steps before the last drop, and in all, as the solvers say
        whole, total = float(r.length.removesuffix("steps")), sum(p.share for p in r.phases)
        assert [(p.milestones[-1] * k, k) for p in r.phases if not p.run for k in [p.share / total * whole / 1e3]
                ] == [pytest.approx(w, rel=1e-3) for w in wanted]
