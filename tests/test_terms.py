"""The terms of a comparison: one precision and one machine state for all that is compared, and what is told of clocks,
wall time and warnings."""
from __future__ import annotations

import dataclasses
import json
import warnings
from pathlib import Path
from typing import Any

import pytest

from engine_help import SETS, scenes, short
from stemma.core import outputs
from stemma.engine.comparing import again, remarks, terms
from stemma.engine.comparing import compare as engine
from stemma.engine.comparing import trial as process
from stemma.engine.comparing.job import Job
from stemma.engine.comparing.terms import Terms
from stemma.engine.pictures import trial
from stemma.engine.pictures.measure import measure
from stemma.engine.pictures.verdict import LESS
from stemma.engine.running import clock, devices
from stemma.engine.running.ranks import Ranks
from stemma.engine.running.runs import Run
from stemma.report import clocks, words

HERE = Terms("bf16", 1, "cpu", "Gauss 9000")
THERE = Terms("fp32", 2, "cpu", "Euler 100")


def plan(folder: Path, **more: Any) -> Path:
    folder.mkdir()
    outputs.put_text(folder / "compare.json", json.dumps({"budget": "60s", "precision": None} | more))
    return folder


def begun(folder: Path, name: str, precision: str, threads: int = 1, asked: str = "auto") -> None:
    (folder / name).mkdir()
    record = {"precision": precision, "recipe": {"precision": asked}, "machine": {"threads": threads}}
    (folder / name / "run.json").write_text(json.dumps(record))


def test_terms_are_decided_once_and_kept(tmp_path: Path) -> None:
    folder = plan(tmp_path / "c")
    assert terms.settle(folder, HERE) == (HERE, [])
    kept = json.loads((folder / "compare.json").read_text())
    assert kept["terms"] == dataclasses.asdict(HERE) and kept["budget"] == "60s"
    assert terms.settle(folder, HERE) == (HERE, [])
    again, said = terms.settle(folder, THERE)
    assert again == HERE and said == [
        "this comparison began on Gauss 9000 with bf16 on cpu, 1 thread a training, and goes on so; now it would be "
        "fp32 on cpu, 2 threads a training"
    ]
    engine._claim(folder, {"budget": "60s", "precision": None})  # claiming it anew forgets nothing
    assert terms.settle(folder, HERE) == (HERE, [])


def test_a_comparison_from_before_takes_the_terms_of_its_trainings(tmp_path: Path) -> None:
    alike, mixed, pinned, new = (plan(tmp_path / x) for x in ("alike", "mixed", "pinned", "new"))
    begun(alike, "fpn-s0", "fp32", 2)
    assert terms.settle(alike, HERE)[0] == Terms("fp32", 2, "cpu")
    assert terms.settle(alike, HERE)[0] == Terms("fp32", 2, "cpu")  # now it is kept
    for i, p in enumerate(("bf16", "fp32", "bf16")):
        begun(mixed, f"ssd-s{i}", p)
    kept, said = terms.settle(mixed, Terms("fp32", 1, "cpu", "Gauss 9000"))
    assert kept.precision == "bf16"
    assert (said[0] == "each training had chosen its precision for itself, 2 in bf16 and 1 in fp32: those go on as "
            "they began, and new ones compute in bf16")
    begun(pinned, "planet-s0", "fp32", asked="fp32")  # its recipe says so: that decides nothing for others
    assert terms.settle(pinned, HERE)[0].precision == "bf16"
    assert terms.settle(new, HERE)[0] == HERE


def test_auto_means_what_the_comparison_decided() -> None:
    job = Job("a", "fpn", "small", 0, "scenes", "60s", "/x", auto="bf16")
    assert [job.precision_of(r) for r in ("auto", "fp32")] == ["bf16", "fp32"]
    asked = dataclasses.replace(job, precision="fp32")
    assert [asked.precision_of(r) for r in ("auto", "bf16")] == ["fp32", "fp32"]
    assert dataclasses.replace(job, precision="auto").precision_of("fp32") == "bf16"
    assert dataclasses.replace(job, wall="1h").length.wall == 3600


def test_a_trial_computes_and_is_timed_on_these_terms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The processor of this process would choose fp32; the comparison chose bf16.
    A run that had begun otherwise stays so."""
    monkeypatch.setenv("STEMMA_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("STEMMA_PRECISION", raising=False)
    monkeypatch.setattr(devices, "cpu_gain", lambda: 0.0)
    seen: list[str] = []
    real = devices.autocast

    def autocast(device: str, precision: str) -> Any:
        seen.append(precision)
        return real(device, precision)

    monkeypatch.setattr(trial, "autocast", autocast)
    job = Job("fcn-s0", "fcn", "small", 0, "scenes:64:16", "2steps", str(tmp_path / "a"), device="cpu", batch=4,
              limit=2, validations=1, auto="bf16")
    told = process.run(job)
    assert told["precision"] == "bf16" == Run.open(tmp_path / "a").record["precision"] and told["clock"] == "processor"
    assert (told["seconds"] > 0 and told["wall"] > 0 and told["threads"] == 1 and told["cut"] is None
            and told["warnings"] == [])
    late = trial.latency([job.folder], job.data, None, "cpu", rounds=1)
    assert set(seen) == {"bf16"} and late["milliseconds"][job.folder] > 0 and late["by"] in ("wall", "processor")
    hands = [0.0, 0.0]

    def tick(which: int, step: float) -> float:
        hands[which] += step
        return hands[which]

    monkeypatch.setattr(clock, "own_seconds", lambda: hands[0])
    monkeypatch.setattr(clock, "processor_seconds", lambda: tick(0, 0.003))
    monkeypatch.setattr(clock, "wall_seconds", lambda: tick(1, 0.01))
    late = trial.latency([job.folder], job.data, None, "cpu", rounds=1)
    assert (late["by"] == "processor" and late["milliseconds"][job.folder] == pytest.approx(3.0)
            and late["share"] == pytest.approx(0.3))
    monkeypatch.setattr(clock, "processor_seconds", lambda: tick(0, 0.009))
    late = trial.latency([job.folder], job.data, None, "cpu", rounds=1)
    assert late["by"] == "wall" and late["milliseconds"][job.folder] == pytest.approx(10.0)


def test_a_resumed_training_keeps_its_precision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sets = {"recipe.precision": "auto"}
    monkeypatch.delenv("STEMMA_PRECISION", raising=False)
    monkeypatch.setattr(devices, "cpu_gain", lambda: 2.0)
    assert short(tmp_path / "run", "1steps", sets=sets).record["precision"] == "bf16"
    monkeypatch.setattr(devices, "cpu_gain", lambda: 0.0)
    resumed = short(tmp_path / "run", "2steps", sets=sets, resume=True)
    assert resumed.record["precision"] == "bf16" and resumed.record["spent"]["steps"] == 2
    job = Job("r-s0", "retinanet", "small", 0, "scenes", "2steps", str(tmp_path / "run"), auto="fp32")
    assert trial.precision_for(job, tmp_path / "run", "auto") is None  # the trial of a comparison leaves it to the run


def test_one_reads_the_same_clock_threshold() -> None:
    assert clocks.BUSY == clock.TRUSTED == LESS


# ---------------------------------------------------------------- several processes


class Apart(Ranks):
    """Two processes one after the other: what the second gathers waits for the first."""

    held: list[Any] = []

    def gather(self, mine: Any) -> list[Any]:
        if self.rank:
            self.held.append(mine)
            return []
        return [mine, self.held.pop(0)]

    def told(self, answer: Any) -> Any:
        return answer


@pytest.mark.parametrize("count, batch", [(7, 2), (5, 4), (8, 2), (1, 2)])
def test_shared_pictures_count_once(count: int, batch: int) -> None:
    from stemma.engine.running import checkpoint

    data = scenes(count, "val")
    model = checkpoint.build("retinanet", "small", sets=SETS | {"rule.score": 0.001}, info=data.info)
    alone_found: list[Any] = []
    shared_found: list[Any] = []
    alone = measure(model, data, batch=batch, losses=True, collect=alone_found)
    assert measure(model, data, batch=batch, losses=True, ranks=Apart(1, 2)) == {}
    shared = measure(model, data, batch=batch, losses=True, ranks=Apart(0, 2), collect=shared_found)
    assert Apart.held == [] and shared["images"] == count == len(shared_found)
    assert [f["index"] for f in shared_found] == [f["index"] for f in alone_found] == list(range(count))
    for k in ("images_per_second", "timed_by"):
        alone.pop(k), shared.pop(k)
    assert shared == alone


# ---------------------------------------------------------------- what is told


def test_warnings_are_noted_once_and_not_those_for_programmers(tmp_path: Path) -> None:
    file = tmp_path / "x.warnings"
    for _ in range(2):  # as by a trial that was killed and begun anew
        with warnings.catch_warnings(record=True), process.noting(file):
            for said in ("a.jpg: cut short (another\n picture takes its place)", "the disk is full"):
                warnings.warn(said, stacklevel=1)
            warnings.warn("will go", DeprecationWarning, stacklevel=1)
    assert process.warnings_in(file) == ["a.jpg: cut short (another picture takes its place)", "the disk is full"]
    assert len(file.read_text().splitlines()) == 2 and process.warnings_in(tmp_path / "none") == []
    with open(file, "a") as f:
        f.write('"half a li')
    assert len(process.warnings_in(file)) == 2


def compared(folder: Path, trials: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The record of a comparison with these trials, one a system."""
    jobs = []
    for ident, said in trials.items():
        (folder / ident).mkdir(parents=True)
        base = {"id": ident, "seconds": 60.0, "wall": 61.0, "clock": "processor", "threads": 1, "precision": "fp32"}
        (folder / ident / "trial.json").write_text(json.dumps(base | said))
        jobs.append(Job(ident, "fpn", "small", 0, "scenes", "60s", str(folder / ident)))
    systems = [{"id": i, "title": i, "runs": [{"seed": 0, "folder": i, "status": "done"}]} for i in trials]
    record = {"systems": systems, "budget": "60s", "notes": []}
    return remarks.of(record, folder, jobs, {"milliseconds": {}, "by": "wall", "share": 0.99}, HERE, [])


def test_the_record_has_both_clocks_and_every_warning_once(tmp_path: Path) -> None:
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs" / "ssd-s0.warnings").write_text('"b.jpg is broken"\n')
    cut = "wall time of 100 s ran out at 31 % of the budget of 60s"
    r = compared(tmp_path, {"fpn-s0": {"warnings": ["a.jpg is broken"]},
                            "ssd-s0": {"wall": 100.0, "seconds": 18.75, "cut": cut, "warnings": ["a.jpg is broken"]}})
    assert (r["clock"] == "processor" and r["terms"]["precision"] == "bf16"
            and r["latency"] == {"by": "wall", "share": 0.99})
    assert (r["systems"][1]["runs"][0] | {"seconds": 18.75, "wall": 100.0, "share": 0.1875, "cut": cut}
            == r["systems"][1]["runs"][0])
    assert r["warnings"] == [{"text": "a.jpg is broken", "trainings": ["fpn-s0", "ssd-s0"]},
                             {"text": "b.jpg is broken", "trainings": ["ssd-s0"]}]
    assert clocks.lines(r) + clocks.noted(r) == [
        "The machine was busy: trainings got .19 to .98 of a core, and 19 s of work took up to 100 s by the clock.",
        "Wall time cut 1 of 2 trainings, which ended on time, and had less work than the others: ssd-s0, seed "
        f"0: {cut}.", "a.jpg is broken (2 trainings)", "b.jpg is broken (ssd-s0)",
    ]


@pytest.mark.parametrize("named, data, warned, told", [
    ("my/", "/there/my", "/there/my/a.xml: no", "my/a.xml: no"),
    ("my+2*b", "/there/my+2*/there/b", "/there/b/x.jpg of /there/my", "b/x.jpg of my"),
    ("asked:my,edits:64", "asked:/there/my,edits:64", "/there/my/x is gone", "my/x is gone"),
    ("my", "/a+b/my", "/a+b/my/x.jpg", "my/x.jpg"),
    ("/there/my", "/there/my", "/there/my/x.jpg", "/there/my/x.jpg"),
    ("", "/there/my", "/there/my/x.jpg", "/there/my/x.jpg"),  # a job of an older build
])
def test_a_training_warns_of_the_data_by_the_name_that_the_command_has(tmp_path: Path, named: str, data: str, warned: str,
                                                                       told: str) -> None:
    """Else the same fault is told twice: by the comparison, and by its trainings, which are told where it lies."""
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs" / "a-s0.warnings").write_text(json.dumps(warned) + "\n")
    job = Job("a-s0", "fpn", "small", 0, data, "60s", str(tmp_path / "a-s0"), named=named)
    assert remarks.warnings_of(tmp_path, job) == [told]


def test_a_quiet_comparison_has_nothing_to_remark(tmp_path: Path) -> None:
    r = compared(tmp_path, {"fpn-s0": {}, "ssd-s0": {}})
    assert (clocks.lines(r) == [] == clocks.noted(r) and words.length(r) == "60 s of processor time"
            and words.seconds(r) == "seconds of processor time")
    assert words.length(r | {"clock": "wall"}) == "60 s" and words.length(r | {"budget": "2000steps"}) == "2000 steps"


def test_a_price_that_was_too_high_is_said(tmp_path: Path) -> None:
    r = compared(tmp_path, {"fpn-s0": {"worked": 59.0}, "ssd-s0": {"worked": 37.0},
                            "yolo-s0": {"seconds": 0.012, "worked": 0.005}})  # the last counted all once, and was done
    [said] = [line for line in clocks.lines(r) if "less work than their budget bought" in line]
    assert "(ssd-s0, seed 0: .62 of it)" in said and "fpn-s0" not in said and "yolo" not in said
    assert not any("each had as much" in line for line in clocks.lines(r))


def test_who_had_too_little_work_at_a_price_that_is_mended_is_made_again_once(tmp_path: Path) -> None:
    (tmp_path / "jobs").mkdir()
    jobs = {}
    for ident, said in {"a-s0": {"mended": 0.11}, "b-s0": {"mended": 0.85}, "c-s0": {"mended": None}, "d-s0": {},
                        "e-s0": {"mended": 0.4, "cut": "wall time ran out"}}.items():
        jobs[ident] = Job(ident, "fpn", "small", 0, "scenes", "60s", str(tmp_path / ident))
        (tmp_path / ident).mkdir()
        (tmp_path / ident / "state.safetensors").write_bytes(b"x")
        (tmp_path / ident / "trial.json").write_text(json.dumps({"seconds": 60.0, **said}))
    assert [i for i, j in jobs.items() if again.due(j, tmp_path)] == ["a-s0"]
    assert not again.told(jobs.values(), tmp_path)
    again.begin(jobs["a-s0"], tmp_path)
    assert not (tmp_path / "a-s0").exists() and [p.name for p in (tmp_path / "jobs").iterdir()] == ["a-s0.again"]
    [said] = again.told(jobs.values(), tmp_path)
    assert said.startswith("made again,") and said.endswith("that they had: a-s0 .11)")
    (tmp_path / "a-s0").mkdir()
    (tmp_path / "a-s0" / "trial.json").write_text(json.dumps({"seconds": 60.0, "mended": 0.5}))
    assert not again.due(jobs["a-s0"], tmp_path)  # the report says that it was starved


@pytest.mark.whole
def test_a_comparison_makes_up_for_a_price_that_was_found_on_a_starved_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STEMMA_CACHE", str(tmp_path / "cache"))
    how: dict[str, Any] = {"budget": "3s", "jobs": 1, "limit": 2, "device": "cpu", "precision": "fp32", "batch": 2,
                           "validations": 1}
    steps = []
    for name in ("first", "second"):
        done = engine.compare(["u-net"], "scenes:64:12", out=tmp_path / name, **how)
        steps.append(json.loads((tmp_path / name / "u-net-s0" / "run.json").read_text())["spent"]["steps"])
        made = [n for n in done.results["notes"] if n.startswith("made again")]
        assert len(made) == (name == "second")
        [kept] = (tmp_path / "cache" / "prices").glob("*.json")
        kept.write_text(json.dumps({k: 8 * v for k, v in json.loads(kept.read_text()).items()}))  # as if starved
    assert steps[1] > 0.4 * steps[0] > 4  # an eighth, had it not been made again


def test_what_was_over_at_once_had_no_busy_machine_nor_as_much_work(tmp_path: Path) -> None:
    """"0 s of work took up to 0 s by the clock" was said of systems that count and are done."""
    over = {"seconds": 0.01, "wall": 0.04, "threads": 2}
    assert not clocks.lines(compared(tmp_path, {"ssd-s0": over}))
    long = {"seconds": 60.0, "wall": 200.0}
    [said] = clocks.lines(compared(tmp_path / "alike", {"fpn-s0": long, "ssd-s0": {}}))
    assert said.endswith("60 s of work took up to 200 s by the clock. Work is what the budget counts, so each had as much.")
    [said] = clocks.lines(compared(tmp_path / "unlike", {"fpn-s0": long, "ssd-s0": over}))
    assert said.endswith("60 s of work took up to 200 s by the clock.")


def test_mixed_comparisons_say_so(tmp_path: Path) -> None:
    r = compared(tmp_path,
                 {"fpn-s0": {"precision": "bf16", "clock": "wall"}, "ssd-s0": {"threads": 2, "seconds": 30.0}})
    assert words.length(r) == "60 s"
    r |= {"latency": {"by": "processor", "share": 0.4}}
    assert clocks.lines(r) + clocks.noted(r) == [
        "Trainings used .49 of the 2 threads that each was given: the machine was busy, or they had not enough to do "
        "for so many, and 30 s of work took up to 61 s by the clock.",
        "When single pictures were timed the machine gave .40 of what they wanted: latencies are of processor time, "
        "for the clock could not be trusted.",
        "Some of these trainings are from before work was counted: theirs are seconds by the clock.",
        "Not all were trained in the same precision: bf16: fpn-s0; fp32: ssd-s0.",
    ]


def test_without_a_terminal_the_board_speaks_every_ten_seconds(monkeypatch: pytest.MonkeyPatch,
                                                               capsys: pytest.CaptureFixture[str]) -> None:
    from stemma.cli import live
    from stemma.engine.running.budget import Spent

    now = [0.0]
    monkeypatch.setattr(live.time, "monotonic", lambda: now[0])
    board = live.Board("60s")
    job = Job("fpn-s0", "fpn", "small", 0, "scenes", "60s", "/x")
    states = [engine.State(job, "training"), engine.State(dataclasses.replace(job, id="ssd-s0"))]
    for second in range(0, 33):
        now[0] = float(second)
        if second == 12:
            states[0] = dataclasses.replace(states[0], fraction=0.2, spent=Spent(12, 100, 1, 800, 24),
                                            loss=1.25, last=".153")
        if second == 25:
            states[0].status = "measuring"
        board.show(states)
    assert [" ".join(s.split()) for s in capsys.readouterr().err.splitlines()] == [
        "0 s fpn-s0: training", "10 s fpn-s0: training; 1 waiting",
        "20 s fpn-s0: 20 %, 12 s of work in 24 s, loss 1.250, last .153; 1 waiting", "25 s fpn-s0: measuring .153",
    ]


def test_how_far_a_training_without_steps_is(tmp_path: Path) -> None:
    """A network that is carried over says it of its parts: 3 of 4 searches, and no step."""
    from stemma.cli import live

    said = {"kind": "trial", "step": 0, "images": 0, "seconds": 47.4, "wall": 129.2, "epoch": 3, "fraction": 0.75}
    (tmp_path / "metrics.jsonl").write_text(json.dumps(said) + "\n")
    state = engine.State(Job("cog-s0", "imagenet-cog", "paper", 0, "drawn", "2000steps", str(tmp_path)), "training")
    engine._look(state)
    assert live._far(state) == "cog-s0: 75 %, 47 s of work in 129 s"
