"""Told to end by Ctrl-C, SIGTERM or SIGHUP: every command leaves what can be continued, nobody behind,
and the status of its signal.

Commands run in processes of their own, most of them forked (a fresh one would spend seconds on imports), and are struck
at random moments. One that is over sooner than it is struck, on a fast machine or because this one looked elsewhere, is
run anew and struck sooner.
"""
from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import os
import random
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import stemma
import test_agents as lives
import test_resume as runs
from engine_help import ROOT, SETS, script, short
from stemma.cli import main
from stemma.core import interrupts, outputs
from stemma.core.interrupts import Interrupted, Wishes
from stemma.core.types import StemmaError
from stemma.engine.comparing import compare as comparing
from stemma.engine.comparing.job import Job
from stemma.engine.pictures import trainer
from stemma.engine.running import runs as folders
from stemma.engine.running.runs import Run

DICE = random.Random(time.time())
STATUS = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}
SMALL = [word for k, v in SETS.items() for word in ("--set", f"{k}={v}")]
pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="signals of POSIX, and tests that fork")
each_signal = pytest.mark.parametrize("number", list(STATUS), ids=lambda s: s.name)


@pytest.fixture(autouse=True)
def heard() -> Iterator[None]:
    """As in a terminal: a signal that whoever began these tests has ignored, as nohup does, is ignored by all that they
    begin."""
    was = {number: signal.getsignal(number) for number in STATUS}
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    for number, handler in was.items():
        signal.signal(number, handler)


class Struck:
    """A process that leads a session of its own, as a terminal's job does; what it prints goes into a file."""

    def __init__(self, begin: Callable[[], object], said: Path, folder: Path | None = None) -> None:
        self.said = said
        self.status: int | None = None
        self.pid = os.fork()
        if self.pid == 0:
            code = 70
            try:
                os.setsid()
                os.chdir(folder or said.parent)
                with open(said, "w", buffering=1) as f:
                    sys.stdout = sys.stderr = f
                    code = _status(begin)
            finally:
                os._exit(code)

    @classmethod
    def command(cls, said: Path, *words: str, folder: Path | None = None) -> Struck:
        """`stemma WORDS` in `folder`."""
        def begin() -> None:
            sys.argv = ["stemma", *words]
            main()

        return cls(begin, said, folder)

    @property
    def text(self) -> str:
        return self.said.read_text() if self.said.exists() else ""

    @property
    def hears(self) -> bool:
        """Whether SIGTERM has a handler there."""
        if self.over:
            return False
        caught = next(x for x in Path(f"/proc/{self.pid}/status").read_text().splitlines() if x.startswith("SigCgt"))
        return bool(int(caught.split()[1], 16) >> int(signal.SIGTERM) - 1 & 1)

    @property
    def over(self) -> bool:
        """Whether it has ended; its status is kept."""
        if self.status is None and (found := os.waitpid(self.pid, os.WNOHANG)) != (0, 0):
            self.status = os.waitstatus_to_exitcode(found[1])
        return self.status is not None

    def wait_for(self, there: Callable[[], bool], most: float = 300.0, or_over: bool = False) -> None:
        """Until something is there; or_over: or it has ended."""
        until = time.monotonic() + most
        while not there():
            if self.over and or_over:
                return
            assert not self.over, f"it ended before it was struck:\n{self.text}"
            if time.monotonic() > until:
                raise self._end(f"nothing happened:\n{self.text}")
            time.sleep(0.01)

    def _end(self, why: str) -> AssertionError:
        interrupts.end_group(self.pid)
        os.waitpid(self.pid, 0)
        return AssertionError(why)

    def strike(self, number: int, group: bool = False, most: float = 300.0, or_over: bool = False) -> int:
        """Strike it, or all of its session as a terminal does. Its status; nobody whom it had started is left."""
        self.wait_for(lambda: self.hears, or_over=or_over)
        begun = interrupts.descendants(self.pid)
        if not self.over:
            (os.killpg if group else os.kill)(self.pid, number)
        return self.ended(begun, most)

    def _left(self, begun: list[int]) -> list[int]:
        """Of those that it had begun who lives still, and its own number where its group does."""
        left = [p for p in begun if _lives(p)]
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, 0)
            left.append(self.pid)
        return left

    def ended(self, begun: list[int], most: float = 300.0) -> int:
        until = time.monotonic() + most
        while not self.over:
            if time.monotonic() > until:
                raise self._end(f"it did not end:\n{self.text}")
            time.sleep(0.01)
        until = time.monotonic() + 5  # who was told to end needs a moment, on a busy machine more than one
        while (left := self._left(begun)) and time.monotonic() < until:
            time.sleep(0.01)
        assert not left, f"{len(left)} processes are left behind"
        assert "Traceback" not in self.text, self.text
        assert self.status is not None
        return self.status


def strike(begin: Callable[[], Struck], number: int, within: float, *, after: float = 0.0, group: bool = False,
           ready: Callable[[], bool] = lambda: True, tidy: Callable[[], object] = lambda: None) -> Struck:
    """Strike what `begin` begins, `after` and up to `within` seconds after it is ready, while it works."""
    for _ in range(20):
        one = begin()
        one.wait_for(ready, or_over=True)
        time.sleep(after + DICE.uniform(0.0, within))
        status = one.strike(number, group, or_over=True)
        if status == STATUS[number]:
            return one
        assert status in (0, -number), one.text  # it was over, or its interpreter was ending
        tidy()
        after, within = after / 2, within / 2
    raise AssertionError("it was always over before it was struck")


def _status(begin: Callable[[], object]) -> int:
    try:
        begin()
    except SystemExit as end:
        return int(end.code or 0)
    except BaseException:
        traceback.print_exc()
        return 70
    return 0


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def any_signal() -> signal.Signals:
    return DICE.choice(list(STATUS))


def lines(run: Path) -> int:
    file = run / "metrics.jsonl"
    return file.read_bytes().count(b"\n") if file.is_file() else 0


# ---------------------------------------------------------------- the words


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    before = {s: signal.getsignal(s) for s in STATUS}
    yield
    assert {s: signal.getsignal(s) for s in STATUS} == before, "handlers are put back"


@each_signal
def test_a_wish_waits_until_it_is_heeded_or_is_heeded_at_once(number: int) -> None:
    wishes, done = Wishes(), []
    with pytest.raises(Interrupted) as heeded, wishes.watched():
        os.kill(os.getpid(), number)
        done.append("a unit")
        wishes.heed()
        done.append("another")
    assert done == ["a unit"] and heeded.value.whole and heeded.value.status == STATUS[signal.Signals(number)]

    wishes = Wishes()
    with pytest.raises(Interrupted) as heeded, wishes.watched(), wishes.anywhere():
        os.kill(os.getpid(), number)
        done.append("never")
    assert heeded.value.whole and "never" not in done

    with pytest.raises(Interrupted) as heeded, interrupts.raised():
        os.kill(os.getpid(), number)
        done.append("never")
    assert not heeded.value.whole and heeded.value.number == number and "never" not in done


def test_a_second_ctrl_c_does_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless it is the first, sent twice; and a second SIGTERM waits, as who sends it does."""
    wishes, done = Wishes(), []
    with pytest.raises(Interrupted) as heeded, wishes.watched():
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGTERM)
        done.append("waited")
        monkeypatch.setattr(interrupts, "SAME", 0.0)
        os.kill(os.getpid(), signal.SIGTERM)
        done.append("waited still")
        os.kill(os.getpid(), signal.SIGINT)
        done.append("never")
    assert done == ["waited", "waited still"] and not heeded.value.whole and heeded.value.status == 130


def test_what_nobody_heeded_is_raised_at_the_end_and_nohup_holds() -> None:
    with pytest.raises(Interrupted, match="SIGTERM"), Wishes().watched():
        os.kill(os.getpid(), signal.SIGTERM)
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with interrupts.raised(), Wishes().watched():
            os.kill(os.getpid(), signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_threads_hear_nothing() -> None:
    found: list[Any] = []

    def inside() -> None:
        with interrupts.raised(), Wishes().watched():
            found.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=inside)
    thread.start()
    thread.join()
    assert found == [signal.getsignal(signal.SIGTERM)]


def test_shielded_children_do_not_hear_and_our_handlers_are_put_back() -> None:
    libc = ctypes.CDLL(None)
    with pytest.raises(Interrupted, match="SIGTERM"), interrupts.raised():
        with interrupts.shielded():
            child = subprocess.Popen(["sleep", "60"], start_new_session=True)
            libc.signal(int(signal.SIGTERM), ctypes.c_void_p(1))  # as a library that ignores it
        os.killpg(child.pid, signal.SIGTERM)
        os.killpg(child.pid, signal.SIGINT)
        with pytest.raises(subprocess.TimeoutExpired):
            child.wait(0.2)
        interrupts.end_group(child.pid)
        assert child.wait(10) == -signal.SIGKILL
        os.kill(os.getpid(), signal.SIGTERM)


def test_a_file_is_whole_or_not_there(tmp_path: Path) -> None:
    def half(fresh: Path) -> None:
        fresh.write_text("half")
        raise Interrupted

    for old in (None, "old"):
        with pytest.raises(Interrupted):
            outputs.replace(tmp_path / "sub" / "x.txt", half)
        assert [p.read_text() for p in (tmp_path / "sub").iterdir()] == ([old] if old else [])
        outputs.replace(tmp_path / "sub" / "x.txt", lambda p: p.write_text("old"))
    assert [p.name for p in (tmp_path / "sub").iterdir()] == ["x.txt"]


# ---------------------------------------------------------------- trainings


@pytest.mark.whole
def test_a_training_struck_at_a_random_moment_ends_as_one_left_alone(tmp_path: Path) -> None:
    how = ("25steps", "fcn", "muon")  # boxes are measured by threads (hotcoco's), which no forked process inherits
    runs.once(tmp_path / "alone", *how)
    number = any_signal()
    strike(lambda: Struck(lambda: _as_command(lambda: runs.once(tmp_path / "struck", *how)), tmp_path / "said"),
           number, 1.0, ready=(tmp_path / "struck" / "run.json").exists,
           tidy=lambda: shutil.rmtree(tmp_path / "struck"))
    assert Run.open(tmp_path / "struck").state == "stopped" and not list((tmp_path / "struck").glob(".*"))
    runs.once(tmp_path / "struck", *how)
    runs.same_end(tmp_path / "struck", tmp_path / "alone")


def _as_command(work: Callable[[], object]) -> None:
    interrupts.command(work)


def test_a_validation_and_its_end_are_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measure = trainer.measure

    def endless(*a: Any, **k: Any) -> Any:
        (tmp_path / "measuring").touch()
        time.sleep(600)

    how = ("4steps", "retinanet", "sgd")
    runs.once(tmp_path / "alone", *how)
    monkeypatch.setattr(trainer, "measure", endless)
    one = Struck(lambda: _as_command(lambda: runs.once(tmp_path / "struck", *how)), tmp_path / "said")
    one.wait_for((tmp_path / "measuring").exists)
    assert one.strike(signal.SIGTERM) == 143 and Run.open(tmp_path / "struck").state == "stopped"
    assert Run.open(tmp_path / "struck").record["spent"]["steps"] == 2
    monkeypatch.setattr(trainer, "measure", measure)
    runs.once(tmp_path / "struck", *how)
    runs.same_end(tmp_path / "struck", tmp_path / "alone")


def test_a_second_ctrl_c_in_the_midst_of_a_step_keeps_what_was_saved(tmp_path: Path,
                                                                     monkeypatch: pytest.MonkeyPatch) -> None:
    from stemma.engine.pictures.trainer import Trainer

    step = Trainer._step

    def impatient(self: Trainer, *a: Any) -> None:
        step(self, *a)
        if self.steps == 4:  # the optimiser has stepped, the clock not yet: no state to save
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(interrupts, "SAME", 0.0)
    monkeypatch.setattr(Trainer, "_step", impatient)
    with pytest.raises(Interrupted):
        short(tmp_path / "run", "8steps", save_every="2steps")
    run = Run.open(tmp_path / "run")
    assert run.state == "stopped"
    monkeypatch.undo()
    short(tmp_path / "alone", "8steps", save_every="2steps")
    short(tmp_path / "run", "8steps", save_every="2steps", resume=True)
    assert (tmp_path / "run" / "last.safetensors").read_bytes() == (tmp_path / "alone"
                                                                    / "last.safetensors").read_bytes()


@pytest.mark.whole
@lives.each
def test_a_life_struck_at_a_random_moment_ends_as_one_left_alone(which: str, tmp_path: Path) -> None:
    lives.life(tmp_path / "alone", which)
    for k in range(2):
        number = any_signal()
        one = Struck(lambda: _as_command(lambda: lives.life(tmp_path / "struck", which)), tmp_path / f"said{k}")
        file = tmp_path / "struck" / "run.json"
        one.wait_for(file.exists, or_over=True)
        time.sleep(DICE.uniform(0.0, 0.3))
        assert one.strike(number, or_over=True) in (STATUS[number], 0)  # it may have ended before
        assert Run.open(tmp_path / "struck").state in ("stopped", "finished")
    lives.life(tmp_path / "struck", which)
    lives.same_end(tmp_path / "struck", tmp_path / "alone")


def test_what_fails_before_a_training_begins_is_no_running_one(tmp_path: Path) -> None:
    short(tmp_path / "run", "2steps", val_every=0)
    Run.open(tmp_path / "run").update(state="running")
    (tmp_path / "run" / "state.safetensors").write_bytes(b"no state")
    with pytest.raises(stemma.StemmaError, match="not a whole safetensors file"):
        short(tmp_path / "run", "2steps", val_every=0, resume=True)
    assert Run.open(tmp_path / "run").state == "failed"


@pytest.mark.parametrize("state", ["finished", "stopped", "running"])
def test_a_run_whose_state_is_gone_is_not_begun_anew_over_its_weights(tmp_path: Path, state: str) -> None:
    """Twice, since a refusal changes nothing; a run that failed before it saved begins anew."""
    run = short(tmp_path / "run", "2steps", val_every=0)
    learned = run.last.read_bytes()
    run.update(state=state)
    (run.path / "state.safetensors").unlink()
    for _ in range(2):
        with pytest.raises(stemma.StemmaError, match="holds weights and no state.safetensors"):
            short(tmp_path / "run", "3steps", val_every=0, resume=True)
    assert run.last.read_bytes() == learned
    run.update(state="failed")
    assert short(tmp_path / "run", "3steps", val_every=0, resume=True).record["spent"]["steps"] == 3


def test_two_processes_do_not_train_in_one_folder(tmp_path: Path) -> None:
    """The second is refused and changes nothing; the lock is gone with whoever held it."""
    run = short(tmp_path / "run", "1steps", val_every=0)
    before = {f.name: f.read_bytes() for f in run.path.iterdir()}
    with folders.alone(run.path), pytest.raises(stemma.StemmaError, match="another process is at work in .*run; let it end"):
        short(run.path, "2steps", val_every=0, resume=True)
    assert {f.name: f.read_bytes() for f in run.path.iterdir()} == before
    assert short(run.path, "2steps", val_every=0, resume=True).record["spent"]["steps"] == 2


def test_two_processes_do_not_compare_in_one_folder(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    with folders.alone(tmp_path / "x"), pytest.raises(stemma.StemmaError, match="another process is at work in .*x; let it"):
        stemma.compare(["fpn"], "scenes:64:8", "1steps", out=tmp_path / "x")
    assert not (tmp_path / "x" / "jobs").exists()


def test_a_worker_does_not_keep_the_folder_of_a_process_that_is_gone(tmp_path: Path) -> None:
    """Readers are forked while a folder is locked; whoever is killed leaves them behind for a while."""
    fork = multiprocessing.get_context("fork")
    begun = fork.Event()
    worker = fork.Process(target=lambda: (begun.set(), time.sleep(60)))
    with folders.alone(tmp_path):
        worker.start()
        assert begun.wait(60)
    try:
        with folders.alone(tmp_path):
            assert worker.is_alive()
    finally:
        worker.kill()
        worker.join()


def test_weights_that_are_read_in_the_place_of_others_are_told(tmp_path: Path) -> None:
    run = short(tmp_path / "run", "1steps")
    run.best.unlink()
    with warnings.catch_warnings():  # they are the last ones
        warnings.simplefilter("error")
        stemma.load(run)
    run.update(best=run.record["best"] | {"step": 0})
    with pytest.warns(UserWarning, match="has no best.safetensors: last.safetensors is read"):
        stemma.load(run)


def test_how_the_record_of_a_killed_training_is_corrected(tmp_path: Path) -> None:
    (tmp_path / "jobs").mkdir()
    run = Run.create(tmp_path / "x-s0", {"paper": "fpn", "state": "running"})
    state = comparing.State(Job("x-s0", "fpn", "small", 0, "scenes", "60s", str(run.path)))
    comparing._ended(state, -signal.SIGKILL, tmp_path)
    assert run.state == "failed" and "SIGKILL" in run.record["error"]


# ---------------------------------------------------------------- commands


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A detector, an agent, pictures."""
    folder = tmp_path_factory.mktemp("trained")
    short(folder / "run", "2steps", val_every=0)
    short(folder / "maps", "2steps", paper="fcn", val_every=0)
    lives.life(folder / "agent", "world-models")
    from PIL import Image

    (folder / "photos").mkdir()
    Image.fromarray(stemma.Scenes(1, size=96)[0].image).save(folder / "photos" / "0.png")
    for i in range(1, 400):
        os.link(folder / "photos" / "0.png", folder / "photos" / f"{i}.png")
    return folder


TRAIN = ["train", "retinanet", "--data", "scenes:64:24", "--budget", "2000steps", "--batch", "4", "--out",
         "run with a space", *SMALL]


def test_train(tmp_path: Path) -> None:
    number = any_signal()
    one = Struck.command(tmp_path / "said", *TRAIN, "--workers", "2")
    one.wait_for(lambda: lines(tmp_path / "run with a space") > 0)
    time.sleep(DICE.uniform(0.0, 0.3))
    assert one.strike(number, group=DICE.random() < 0.5) == STATUS[number]
    run = Run.open(tmp_path / "run with a space")
    assert run.state == "stopped" and (run.path / "state.safetensors").is_file() and not list(run.path.glob(".*"))
    last = one.text.splitlines()[-1]
    assert last == f"stopped; resume with: {shlex.join(['stemma', *TRAIN, '--workers', '2', '--resume'])}"
    steps = run.record["spent"]["steps"]
    again = Struck.command(tmp_path / "again", *shlex.split(last.split(": ", 1)[1])[1:])
    again.wait_for(lambda: f"continuing {run.path.name} at step {steps}" in again.text)
    again.wait_for(lambda: run.state == "running")
    # what the training says, and the command
    assert again.strike(number) == STATUS[number] and again.text.count("--resume") == 2


def test_train_before_anything_is_there(tmp_path: Path) -> None:
    """Struck while drawing scenes, in processes."""
    number = any_signal()
    one = Struck.command(tmp_path / "said", *TRAIN[:3], "scenes:128:20000", *TRAIN[4:])
    time.sleep(DICE.uniform(0.5, 1.0))
    assert one.strike(number, group=True) == STATUS[number]
    assert "stopped; resume with: stemma train" in one.text and one.text.strip().endswith("--resume")


def test_the_terminal_is_closed(tmp_path: Path) -> None:
    """SIGHUP comes to the whole job, and nothing can be printed any more."""
    pid, terminal = os.forkpty()
    if pid == 0:
        code = 70
        try:
            os.chdir(tmp_path)
            sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)  # noqa: SIM115
            sys.argv = ["stemma", *TRAIN]
            code = _status(main)
        finally:
            os._exit(code)
    run = tmp_path / "run with a space"
    threading.Thread(target=_read_all, args=(terminal,), daemon=True).start()
    until = time.monotonic() + 300
    while not lines(run) and time.monotonic() < until:
        time.sleep(0.01)
    begun = interrupts.descendants(pid)
    os.close(terminal)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 129 and Run.open(run).state == "stopped" and not any(map(_lives, begun))


def _read_all(terminal: int) -> None:
    with contextlib.suppress(OSError):
        while os.read(terminal, 65536):
            pass


LIVE = ["train", "world-models", "--budget", "100000steps", "--set", "recipe.life.first.0.amount=100000",
        "--out", "life"]


@pytest.mark.whole
@pytest.mark.parametrize(("world", "package"),
                         [("drawn-dodge", "gymnasium"), ("takecover", "vizdoom"), ("cartpole", "pygame")])
def test_an_agent_and_the_processes_of_its_worlds(tmp_path: Path, world: str, package: str) -> None:
    """ViZDoom's engines are processes of their own; SDL, which draws cart-pole, takes SIGTERM where nobody else has."""
    pytest.importorskip(package, reason=f"{world}: pip install 'stemma-vision[worlds]'")
    number = any_signal()
    one = Struck.command(tmp_path / "said", *LIVE, "--env", world, "--workers", "2")
    one.wait_for(lambda: lines(tmp_path / "life") > 1)
    time.sleep(DICE.uniform(0.0, 0.5))
    assert len(interrupts.descendants(one.pid)) == (4 if world == "takecover" else 2)
    assert one.strike(number, group=True) == STATUS[number]
    run = Run.open(tmp_path / "life")
    assert run.state == "stopped" and (run.path / "state.safetensors").is_file() and not list(run.path.rglob(".*"))
    assert (one.text.strip().splitlines()[-1] == "stopped; resume with: "
            f"{shlex.join(['stemma', *LIVE, '--env', world, '--workers', '2', '--resume'])}")
    assert run.record["episodes"] == len(list(run.metrics("episode")))


COMPARE = ["compare", "fcn", "--data", "scenes:64:24", "--budget", "2000steps", "--batch", "2", "--limit",
           "4", "--out", "c"]


@pytest.mark.whole
def test_compare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its trainings lead sessions of their own: a terminal strikes the parent alone, which tells them."""
    monkeypatch.setenv("STEMMA_CACHE", str(tmp_path / "cache"))
    number = any_signal()
    one = Struck.command(tmp_path / "said", *COMPARE)
    one.wait_for(lambda: lines(tmp_path / "c" / "fcn-s0") > 0)
    assert interrupts.descendants(one.pid)
    assert one.strike(number, group=True) == STATUS[number]
    run = Run.open(tmp_path / "c" / "fcn-s0")
    assert run.state == "stopped" and (run.path / "state.safetensors").is_file()
    assert one.text.strip().splitlines()[-1] == f"stopped; resume with: {shlex.join(['stemma', *COMPARE])}"
    assert not (tmp_path / "c" / "results.json").exists() and not list((tmp_path / "c").glob("jobs/*.error"))


WORK = {
    "evaluate": (["evaluate", "{0}/run", "--data", "scenes:64:40000", "--workers", "2", "--out", "out/found.json"],
                 0.3),
    "evaluate an agent": (["evaluate", "{0}/agent", "--limit", "5000", "--workers", "2"], 0.3),
    "predict": (["predict", "{0}/run", "{0}/photos", "--out", "out", "--threshold", "0"], 0.3),
    "predict maps": (["predict", "{0}/maps", "{0}/photos", "--out", "out"], 0.3),
    "films": (["predict", "{0}/agent", "--out", "out"], 0.0),
    "export": (["export", "{0}/run", "out/model.pt2"], 0.3),
    "doctor": (["doctor", "scenes:128:20000"], 0.3),
}


@pytest.mark.parametrize("what", list(WORK))
def test_what_keeps_no_state(what: str, tmp_path: Path, trained: Path) -> None:
    """It ends at once, and what it had written so far is whole."""
    from PIL import Image

    words, after = WORK[what]
    number = any_signal()
    one = strike(lambda: Struck.command(tmp_path / "said", *(w.format(trained) for w in words)), number, 0.3,
                 after=after, group=DICE.random() < 0.5,
                 tidy=lambda: shutil.rmtree(tmp_path / "out", ignore_errors=True))
    assert one.text.strip().splitlines()[-1] == "stopped; nothing was left half-written"
    left = [p for p in (tmp_path / "out").rglob("*") if p.is_file() and p.name != outputs.JOURNAL]
    assert all(p.suffix in (".jpg", ".png", ".gif") for p in left), left
    for p in left:
        picture = Image.open(p)
        picture.seek(getattr(picture, "n_frames", 1) - 1)
        picture.load()


def test_import(tmp_path: Path) -> None:
    from torchvision.models.detection import ssd300_vgg16

    number = any_signal()
    torch.save(ssd300_vgg16(weights=None, weights_backbone=None).state_dict(), tmp_path / "ssd.pth")
    strike(lambda: Struck.command(tmp_path / "said", "import", "torchvision", "ssd", "ssd.pth", "out.safetensors"),
           number, 0.2, tidy=(tmp_path / "out.safetensors").unlink)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["said", "ssd.pth"]


@pytest.mark.whole
def test_a_fresh_process(tmp_path: Path) -> None:
    """From the shell, as a service manager does it."""
    env = os.environ | {"PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
    one = subprocess.Popen([sys.executable, "-m", "stemma", *TRAIN], cwd=tmp_path, env=env, stderr=subprocess.PIPE,
                           text=True, start_new_session=True)
    until = time.monotonic() + 120
    while not lines(tmp_path / "run with a space") and time.monotonic() < until:
        time.sleep(0.05)
    one.send_signal(signal.SIGTERM)
    _, said = one.communicate(timeout=60)
    assert one.returncode == 143 and Run.open(tmp_path / "run with a space").state == "stopped"
    again = shlex.join([sys.executable, "-m", "stemma", *TRAIN, "--resume"])
    assert said.strip().endswith(f"stopped; resume with: {again}")


@pytest.mark.slow
@each_signal
def test_two_processes_that_train_together(tmp_path: Path, number: int) -> None:
    words = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone", "-m",
             "stemma", *TRAIN]
    env = os.environ | {"PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
    one = subprocess.Popen(words, cwd=tmp_path, env=env, stderr=subprocess.PIPE, text=True, start_new_session=True)
    until = time.monotonic() + 120
    while not lines(tmp_path / "run with a space") and time.monotonic() < until:
        time.sleep(0.05)
    begun = interrupts.descendants(one.pid)
    one.send_signal(number)
    _, said = one.communicate(timeout=90)
    assert Run.open(tmp_path / "run with a space").state == "stopped" and not any(map(_lives, begun))
    resume = shlex.join(["torchrun", "--nproc-per-node", "2", "-m", "stemma", *TRAIN, "--resume"])
    assert said.count("resume with") == 1 and f"stopped; resume with: {resume}" in said


CODE = "from stemma.cli import main; main()"


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A comparison that was left alone, in the folder `c`."""
    folder = tmp_path_factory.mktemp("alone")
    words = [*COMPARE[:5], "20steps", *COMPARE[6:-1], str(folder / "c")]
    script(CODE, *words, env={"STEMMA_CACHE": str(folder / "cache")})
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("wait", [0.3, 1.0, 3.0, 5.0, 8.0, 12.0])
def test_a_comparison_struck_at_any_moment_ends_as_one_left_alone(tmp_path: Path, alone: Path, wait: float) -> None:
    number = any_signal()
    words, env = [*COMPARE[:5], "20steps", *COMPARE[6:-1], str(tmp_path / "c")], {"STEMMA_CACHE": str(alone / "cache")}
    one = script(CODE, *words, wait=False, env=env)
    time.sleep(wait + DICE.uniform(0, 2))
    begun = interrupts.descendants(one.pid)
    one.send_signal(number)
    _, said = one.communicate(timeout=90)
    # before its first line runs, Python's own way; and it may have ended before
    assert one.returncode in (STATUS[number], -number, 0), said
    assert not any(map(_lives, begun))
    assert all(Run.open(p.parent).state in ("stopped", "finished") for p in (tmp_path / "c").glob("*/run.json"))
    script(CODE, *words, env=env)
    for file in ("last.safetensors", "best.safetensors"):
        assert (tmp_path / "c" / "fcn-s0" / file).read_bytes() == (alone / "c" / "fcn-s0" / file).read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("words", [["evaluate", "--limit", "64", "--workers", "2"], ["predict", "--out", "out"]],
                         ids=lambda words: words[0])
def test_engines_of_a_measured_agent(tmp_path: Path, trained: Path, words: list[str]) -> None:
    """ViZDoom's engines in our own process, while an agent that grew up elsewhere is measured and filmed there."""
    pytest.importorskip("vizdoom")
    number = any_signal()
    one = Struck.command(tmp_path / "said", words[0], str(trained / "agent"), *words[1:], "--env", "takecover")
    one.wait_for(lambda: len(interrupts.descendants(one.pid)) > 1)
    time.sleep(DICE.uniform(0.0, 0.5))
    assert one.strike(number, group=True) == STATUS[number], one.text


def test_a_kill_in_the_first_write_of_a_run_leaves_a_folder_that_is_taken(tmp_path: Path) -> None:
    """What is half-written there is nobody's file, and nothing of a run yet; any other file is."""
    (tmp_path / ".run.4711.new.json").write_text('{"format": 1, "pap')
    assert Run.create(tmp_path, {"paper": "fpn", "state": "running"}).state == "running"
    assert [p.name for p in tmp_path.iterdir()] == ["run.json"]
    for name in (".run.4711.new.json.txt", "run.4711.new.json"):
        (tmp_path / name[-5:]).mkdir()
        (tmp_path / name[-5:] / name).write_text("mine")
        with pytest.raises(StemmaError, match="holds files that are not a run's"):
            Run.create(tmp_path / name[-5:], {})
