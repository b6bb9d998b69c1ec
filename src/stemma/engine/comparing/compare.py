"""Train several papers alike and measure them alike: every training a process and a run folder of its own,
all of it resumable.

    compare(["fpn", "retinanet", "ssd"], "scenes", budget="60s", seeds=2, out="runs/x")

leaves runs/x/results.json, runs/x/pictures and a run folder a system and seed. Run again with the same settings, it
keeps what is finished, continues what was killed, and adds the papers or seeds that are new.
"""
from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ...core import interrupts, outputs
from ...core import paper as papers
from ...core.types import StemmaError, at_least
from ...data.options import anchored, typed
from ...data.proposals import wants
from .. import wings
from ..running import checkpoint
from ..running.budget import Budget, Spent
from ..running.devices import processor
from ..running.runs import Run, alone
from . import again, remarks, terms
from .job import Job
from .processes import GRACE, environment, start


@dataclass(frozen=True)
class Comparison:
    """A finished comparison: its folder and what `results.json` holds."""

    path: Path
    results: dict[str, Any]

    @property
    def failed(self) -> list[dict[str, Any]]:
        """The runs that did not finish, with `error`."""
        return ([r for s in self.results["systems"] for r in s["runs"] if r["status"] != "done"]
                + list(self.results["failed"]))


@dataclass
class State:
    """What is known of a training while it runs: for the progress display."""

    job: Job
    status: str = "waiting"  # waiting, training, measuring, done, kept, failed
    fraction: float = 0.0
    spent: Spent = Spent()
    loss: float | None = None
    last: str = ""
    error: str = ""


Show = Callable[[list[State]], None]


@dataclass(frozen=True)
class Ray:
    """What a cluster is told besides: the data that its nodes need, trainings at a time, and who hears of nodes."""

    files: tuple[str, ...]
    most: int | None
    say: Callable[[str], None] | None


def compare(
    names: Sequence[str], data: str | Path, budget: str = "60s", seeds: int = 1, preset: str = "small",
    out: str | Path = "runs/compare", jobs: int | None = None, on: str = "local", *, format: str | None = None,
    sets: dict[str, Any] | None = None, device: str = "auto", precision: str | None = None, batch: int | None = None,
    workers: int = 0, limit: int | None = None, validations: int = 6, command: str = "", show: Show | None = None,
    wall: str | None = None, size: int | str | None = None, upright: bool | str | None = None,
    say: Callable[[str], None] | None = None, data_options: dict[str, Any] | None = None, same_recipe: bool = False,
    start: Sequence[str] = (),
) -> Comparison:
    """Train each of `names` with each of `seeds` seeds under one budget, measure all, and write `out`/results.json.

    names: papers, "fpn" or "mask-rcnn:c4" for another preset than `preset`. jobs: trainings at a time; None: one a core
    with one thread each, or one a GPU. on: "local" or "ray" (the cluster at RAY_ADDRESS, which needs no shared
    disk, else one started here: `cluster`).
    sets: settings for all, {"recipe.lr": 0.01}, or for one paper, {"fpn:neck.width": 32}.
    limit: measure on at most so many pictures.
    validations: how many points a learning curve has. show: is told the states about once a second.
    data_options: how the data is read (`data.options`); None, in a folder that holds the comparison: as before.
    size, upright: the same for all, as `train` takes them; what the data decide is decided once and told to `say`.
    wall: "1h": the most time by the clock for each training, whatever the budget.
    same_recipe: all are trained by the first one's recipe, as far as their shapes allow it.
    start: weights to begin from, as `train` takes them: each for those that it fits, or "fpn:resnet50.pth" for one.

    A budget in seconds counts work (`engine.running.clock`), so that a system is not served worse for the moment at
    which it trained; a processor that others use does less in a second of it, which steps do not. What "auto" means for
    the precision, and the threads of a training, are decided once (`terms`).

    A training that fails is reported in the results, and the others go on. Raises `StemmaError` for settings or data
    that no training could use, for a folder that holds another comparison, and when not one training finished;
    `KeyboardInterrupt` after the running ones have saved their state.
    """
    folder, where = Path(out), str(data)
    length = Budget.parse(budget, wall)
    wall = None if length.wall is None else f"{length.wall:g}s"
    plan = {"data": where, "format": format, "budget": str(length), "preset": preset,
            "sets": checkpoint.jsonable(sets or {}),
            "precision": precision, "batch": batch, "limit": limit, "validations": validations, "wall": wall,
            "size": size, "upright": upright}
    given = [_start(s) for s in start]
    plan["start"] = given or None
    told = anchored(data_options, where)
    if not told and (before := _told(folder, where)):
        told, format = before["data_options"], format or before["format"]
    if told:
        plan |= {"data_options": told, "format": format}
    systems, networks = _systems(names, preset)
    if same_recipe:
        name, own = next(iter(systems.values()))
        sets = {"trained-as": f"{papers.get(name).cli_name}:{own}", **(sets or {})}
        plan |= {"sets": checkpoint.jsonable(sets)}
    at_least(1, seeds=seeds, jobs=jobs, batch=batch, limit=limit)
    at_least(0, workers=workers)
    if on not in ("local", "ray"):
        raise StemmaError(f"a comparison runs on 'local' or 'ray', not '{on}'")
    home = wings.together((papers.get(name), p) for name, p in systems.values())
    wing = wings.named(home)
    for name, _ in systems.values():
        wings.check_sets(papers.get(name), _sets_of(sets, name))
    options = {"format": format, "precision": precision, "batch": batch, "limit": limit, "size": size,
               "upright": upright, "data_options": told, "start": given}
    ready = wing.prepare(wings.Asked(systems, where, lambda name: _sets_of(sets, name), options, show is not None,
                                     _kept(folder), networks))
    at_once, threads, device = _room(jobs, device, precision)
    _made(folder)
    with alone(folder):
        _claim(folder, plan | {"data": ready.data, "begin": ready.begin}, ready.fingerprint)
        if given and not ready.starts:
            raise StemmaError("none of these begins from weights of a file; leave --start out")
        for line in [*([ready.begin["says"]] if ready.begin else []), *_begins(ready.starts)]:
            if say is not None:
                say(line)
        agreed, notes = terms.settle(folder, terms.here(device, threads))
        at_once = at_once if jobs or agreed.threads == threads else max(1, _cores() // agreed.threads)
        threads = agreed.threads
        for note in notes:
            warnings.warn(note, stacklevel=2)
        ready.compute()
        work = [
            Job(f"{ident.replace(':', '@')}-s{seed}", name, p, seed, ready.place, plan["budget"],
                str((folder / f"{ident.replace(':', '@')}-s{seed}").resolve()), format,
                _sets_of(sets, name) | ready.sets.get(ident, {}), device, precision, batch, workers, limit, validations,
                wall, told, agreed.precision, ready.starts.get(ident, []), home, ready.told, where)
            for seed in range(seeds) for ident, (name, p) in systems.items()
        ]
        states = _run_all(work, folder, at_once, threads, device, show,
                          Ray((*ready.files, *(f for v in ready.starts.values() for f in v)), jobs, say) if on == "ray"
                          else None)
        for line in again.told(work, folder):
            notes = [*notes, line]
            warnings.warn(line, stacklevel=2)
        errors = {s.job.id: s.error for s in states if s.status == "failed"}
        done = [j for j in work if (Path(j.folder) / "trial.json").is_file()]
        if not done:
            raise StemmaError("not one training finished: " + "; ".join(f"{k}: {v}" for k, v in errors.items()))
        about = (_about(systems, plan | {"data": ready.data}, seeds, out, command, at_once, threads, device, on)
                 | ready.about)
        about |= {"latency": _latencies(folder, done, states, device, threads, show)
                  if hasattr(wing, "latency") else {}}
        record = {"wing": home, **ready.collect(folder, work, errors, about)}
        record = remarks.of(record, folder, work, about["latency"], agreed, notes) | {"starts": ready.starts}
        outputs.put_text(folder / "results.json", json.dumps(checkpoint.jsonable(record), indent=1))
        return Comparison(folder, record)


def _run_all(
    work: list[Job], folder: Path, at_once: int, threads: int, device: str, show: Show | None, ray: Ray | None
) -> list[State]:
    """Run what is not finished, here or on Ray, and once more what had too little of its work; how each ended."""
    (folder / "jobs").mkdir(parents=True, exist_ok=True)
    states = [State(j, "kept", 1.0) if (Path(j.folder) / "trial.json").is_file() else State(j) for j in work]
    while todo := [s for s in states if s.status == "waiting"]:
        if ray is not None:
            _on_ray(todo, states, folder, at_once, threads, show, ray)
        else:
            _locally(todo, states, folder, at_once, threads, device, show)
        for s in states:
            if again.due(s.job, folder):
                again.begin(s.job, folder)
                s.status, s.fraction, s.spent, s.last = "waiting", 0.0, Spent(), ""
    return states


def _about(
    systems: dict[str, tuple[str, str]], plan: dict[str, Any], seeds: int, out: str | Path, command: str, at_once: int,
    threads: int, device: str, on: str
) -> dict[str, Any]:
    """How a comparison was made."""
    return {
        "stemma": _version(), "created": time.strftime("%Y-%m-%d %H:%M"), "command":
        command or _as_command(list(systems), plan, seeds, out), "budget": plan["budget"], "preset": plan["preset"],
        "seeds": seeds, "versions": {"python": sys.version.split()[0], **checkpoint.versions()},
        "machine": {"cpu": processor(), "cores": _cores(), "threads": threads, "jobs": at_once,
                    "device": _device_name(device), "on": on},
    }


# ---------------------------------------------------------------- what is asked for


def _systems(names: Sequence[str], preset: str) -> tuple[dict[str, tuple[str, str]], dict[str, str]]:
    """{"fpn": ("fpn", "small"), "mask-rcnn:c4": ("mask_rcnn", "c4")} in the order given; and the networks of those that
    name one, {"imagenet-transfer@resnet50": "resnet50"}. A network by itself stands for what its wing makes of it.
    Raises `StemmaError` for unknown ones and for none."""
    out: dict[str, tuple[str, str]] = {}
    networks: dict[str, str] = {}
    for given in names:
        try:
            papers.get(given.partition("@")[0].partition(":")[0])
        except StemmaError:
            if (whole := wings.stands_for(given)) is None:
                raise
            given = whole
        head, at, network = given.partition("@")
        name, _, own = head.partition(":")
        card = papers.get(name)
        ident = f"{card.cli_name}:{own}" if own else card.cli_name
        if at:
            wing: Any = wings.wing_of(card.task)
            if not getattr(wing, "NETWORKS", False):
                raise StemmaError(f"'{given}': {card.cli_name} {wing.ABOUT}; say --backbone {network} for all")
            short = re.sub(r"[^\w.-]+", "-", wing.label(network))
            ident = f"{ident}@{short}"
            if networks.get(ident, network) != network:
                raise StemmaError(f"{network} and {networks[ident]} would have one name; rename a file")
            networks[ident] = network
        out[ident] = (card.name, own or preset)
    if not out:
        raise StemmaError("name the papers to compare, for example: stemma compare fpn retinanet ssd --data scenes")
    return out, networks


def _sets_of(sets: dict[str, Any] | None, name: str) -> dict[str, Any]:
    """The settings meant for one paper: those without a paper's name before a colon, and those with its own."""
    out = {}
    for path, value in (sets or {}).items():
        whose, colon, rest = path.partition(":")
        if not colon:
            # meant for those that take boxes from outside
            if path != "proposals" or wants(papers.get(name).recipe("paper")):
                out[path] = value
        elif papers.get(whose).name == name:
            out[rest] = value
    return out


def _start(given: str) -> str:
    """A source of weights as other processes find it: "fpn:/folder/resnet50.pth", or without a paper."""
    whose, colon, path = given.partition(":")
    own = bool(colon) and not Path(given).exists()
    name = f"{papers.get(whose).name}:" if own else ""
    return name + str(Path(path if own else given).resolve())


def _begins(starts: dict[str, list[str]]) -> list[str]:
    """What each begins from, a line each."""
    return [f"{ident} begins from {' and '.join(Path(f).name for f in files) or 'random weights'}"
            for ident, files in starts.items()]


def _kept(folder: Path) -> dict[str, Any] | None:
    """What a folder's compare.json holds; None where there is none."""
    file = folder / "compare.json"
    kept: dict[str, Any] | None = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None
    return kept


def _told(folder: Path, where: str) -> dict[str, Any]:
    """How a comparison that the folder holds reads these data, or those that were where nothing is now: "format" and
    "data_options"."""
    old = _kept(folder) or {}
    same = old.get("data") == where or not Path(str(old.get("data"))).exists()
    return old if old.get("data_options") and same else {}


def _made(folder: Path) -> None:
    """Make the folder, where it is not there. Raises `StemmaError`."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise StemmaError(f"{folder} is a file; a comparison needs a folder. Choose another --out") from None
    except OSError as error:
        raise StemmaError(f"cannot make {folder}: {error.strerror or error}. Choose another --out") from error


def _claim(folder: Path, plan: dict[str, Any], fingerprint: str = "") -> None:
    """Make the folder this comparison's, within `alone`. `fingerprint`: of its data, which may lie in another place
    than before. Raises `StemmaError` when it holds something else."""
    file = folder / "compare.json"
    if file.is_file():
        drawn = [p for p in (folder / "pictures").glob("*") if p.name != outputs.JOURNAL]
        outputs.claim([file, folder / "results.json", folder / "report.html", *drawn])
        old = _kept(folder) or {}
        moved = bool(fingerprint) and old.get("fingerprint") == fingerprint
        for key, value in plan.items():
            if old.get(key) != value and not (key == "data" and moved):
                raise StemmaError(f"{folder} holds a comparison with {key} = {old.get(key)}, not {value}; choose "
                                  "another --out")
        if old.get("fingerprint", fingerprint) != fingerprint:
            raise StemmaError(f"the files of {old.get('data')} have changed since {folder} was begun, and trainings on "
                              "other data are no comparison; choose another --out")
        plan = old | plan
    elif folder.is_dir() and any(folder.iterdir()):
        raise StemmaError(f"{folder} holds files that are not a comparison's; choose an empty or new folder with --out")
    outputs.put_text(file, json.dumps(plan | {"fingerprint": fingerprint}, indent=1))


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _room(jobs: int | None, device: str, precision: str | None = None) -> tuple[int, int, str]:
    """(trainings at a time, threads for each, device). Raises `StemmaError` where there is no such device, or it has
    no such precision."""
    import torch

    from ..running.devices import pick_device, pick_precision

    device = pick_device(device)
    if precision is not None:
        pick_precision(device, precision)
    at_once = (jobs if jobs is not None else _cores() if device == "cpu" else max(1, torch.cuda.device_count())
               if device == "cuda" else 1)
    return at_once, max(1, _cores() // at_once), device


def _device_name(device: str) -> str:
    import torch

    return torch.cuda.get_device_name() if device.startswith("cuda") else device


def _version() -> str:
    from ... import __version__

    return str(__version__)


def _as_command(systems: list[str], plan: dict[str, Any], seeds: int, out: str | Path) -> str:
    options = {"data": plan["data"], "budget": plan["budget"], "seeds": seeds, "preset": plan["preset"], "out": out}
    words = [*(f"--{k} {shlex.quote(str(v))}" for k, v in options.items()),
             *(f"--start {shlex.quote(s)}" for s in plan.get("start") or []),
             *map(shlex.quote, typed(plan.get("data_options", {})))]
    return " ".join(["stemma", "compare", *systems, *words])


# ---------------------------------------------------------------- here, in processes


def _locally(todo: list[State], states: list[State], folder: Path, at_once: int, threads: int, device: str,
             show: Show | None) -> None:
    """Run the trainings, `at_once` at a time. Told to end, it tells all to save and stop, then raises `Interrupted`; a
    second Ctrl-C kills them."""
    waiting = list(todo)
    running: dict[subprocess.Popen[bytes], tuple[State, int]] = {}
    slots = list(range(at_once))
    wishes = interrupts.Wishes()
    with wishes.watched():
        try:
            while waiting or running:
                wishes.heed()
                while waiting and slots:
                    state, slot = waiting.pop(0), slots.pop(0)
                    path = folder / "jobs" / f"{state.job.id}.json"
                    state.job.save(path)
                    gpu = slot if device == "cuda" else None
                    running[start([str(path)], path.with_suffix(".log"), environment(threads, gpu))] = (state, slot)
                    state.status = "training"
                for process, (state, slot) in list(running.items()):
                    if process.poll() is not None:
                        del running[process]
                        interrupts.end_group(process.pid)
                        slots.append(slot)
                        slots.sort()
                        _ended(state, process.returncode, folder)
                    else:
                        _look(state)
                if show is not None:
                    show(states)
                if running:
                    with wishes.anywhere():
                        time.sleep(0.5)
        except BaseException:
            _stop({process: state for process, (state, _) in running.items()})
            raise


def _stop(running: dict[subprocess.Popen[bytes], State]) -> None:
    """Let trainings save their state and end, at most `GRACE` seconds, then kill what is left of them."""
    try:
        for process in running:
            process.terminate()
        until = time.monotonic() + GRACE
        while any(p.poll() is None for p in running) and time.monotonic() < until:
            time.sleep(0.05)
    finally:
        for process, state in running.items():
            interrupts.end_group(process.pid)
            process.wait()
            _not_running(state, "stopped", "interrupted")


def _not_running(state: State, now: str, why: str) -> None:
    """Correct the record of a training whose process ended before it could say so itself."""
    with contextlib.suppress(StemmaError):  # there is none, or the disk is full: how it ended is told all the same
        run = Run.open(state.job.folder)
        if run.state == "running":
            run.update(state=now, error=why)


def _ended(state: State, code: int, folder: Path) -> None:
    """Note how a training's process ended, and pass its warnings on."""
    for said in remarks.warnings_of(folder, state.job):
        warnings.warn(said, stacklevel=2)  # each once, whichever training gave it first
    if code == 0 and (Path(state.job.folder) / "trial.json").is_file():
        state.status, state.fraction = "done", 1.0
        return
    trouble = folder / "jobs" / f"{state.job.id}.error"
    log = folder / "jobs" / f"{state.job.id}.log"
    state.status = "failed"
    if trouble.is_file():
        state.error = trouble.read_text(encoding="utf-8")
    elif code < 0:
        state.error = f"ended by signal {signal.Signals(-code).name}" + (" (the machine may be short of memory)"
                                                                         if code == -signal.SIGKILL else "")
        _not_running(state, "failed", state.error)
    else:
        state.error = f"ended with status {code}; its log is {log}"


def _look(state: State) -> None:
    """Read how far a training is from the last line of its metrics."""
    file = Path(state.job.folder) / "metrics.jsonl"
    try:
        with open(file, "rb") as f:
            f.seek(max(0, file.stat().st_size - 65536))
            lines = f.read().split(b"\n")
        entry = json.loads(lines[-2]) if len(lines) > 1 else None
    except (OSError, ValueError):
        return  # not begun, or a line that is being written
    if entry:
        state.spent = Spent(entry["seconds"], entry["step"], entry.get("epoch", 0.0), entry["images"],
                            entry.get("wall", entry["seconds"]))
        state.fraction = max(state.fraction, entry.get("fraction", state.job.length.fraction(state.spent)))
        state.loss = entry.get("loss", state.loss)
        value = next((entry[k] for k in wings.wing_of(papers.get(state.job.paper).task).SCORES
                      if entry.get(k) is not None), None)
        if entry["kind"] == "val" and value is not None:
            state.last = f"{value:.3f}"
        if state.fraction >= 1 and entry["kind"] == "val":
            state.status = "measuring"


def _latencies(folder: Path, done: list[Job], states: list[State], device: str, threads: int,
               show: Show | None) -> dict[str, Any]:
    """How long an answer takes by run folder ("milliseconds"), and by which clock ("by"), measured in one process when
    no training runs; the first seed stands for a system.

    In the place of a number there may be a sentence that says why there is none.
    """
    file = folder / "latency.json"
    first = {j.id.rsplit("-s", 1)[0]: j.folder for j in reversed(done)}
    known: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {"milliseconds": {}}
    known = known if "milliseconds" in known else {"milliseconds": known}  # before there were two clocks
    if set(first.values()) <= {k for k, v in known["milliseconds"].items() if not isinstance(v, str)}:
        return {"by": "wall", **known}
    spec = folder / "jobs" / "latency.json"
    job = done[0]
    asked = {"folders": list(first.values()), "data": job.data, "format": job.format, "device": device,
             "out": str(file.resolve()), "data_options": job.data_options}
    checkpoint.write_text(spec, json.dumps(asked))
    late = State(replace(job, id="latencies"), "measuring", 1.0)
    wishes = interrupts.Wishes()
    with wishes.watched():
        process = start(["--latency", str(spec)], spec.with_suffix(".log"), environment(threads))
        try:
            while process.poll() is None:
                if show is not None:
                    show([*states, late])
                with wishes.anywhere(), contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(0.5)
        finally:
            interrupts.end_group(process.pid)
            process.wait()
    if process.returncode == 0:
        return dict(json.loads(file.read_text(encoding="utf-8")))
    why = (spec.with_suffix(".error").read_text(encoding="utf-8") if spec.with_suffix(".error").is_file()
           else f"see {spec.with_suffix('.log')}")
    return {"milliseconds": {f: why for f in first.values()}, "by": "wall"}


# ---------------------------------------------------------------- on Ray


def _on_ray(todo: list[State], states: list[State], folder: Path, at_once: int, threads: int, show: Show | None,
            ray: Ray) -> None:
    """Run the trainings on a cluster, which need not share this disk (`cluster.run`)."""
    from . import cluster

    of = {s.job.id: s for s in todo}

    def began(job: Job) -> None:
        of[job.id].status = "training"

    def failed(job: Job, why: str) -> None:
        of[job.id].status, of[job.id].error = "failed", why
        _not_running(of[job.id], "failed", why)

    watch = cluster.Watch(began, lambda job, code: _ended(of[job.id], code, folder), failed,
                          lambda job: _look(of[job.id]), lambda: None if show is None else show(states))
    for state in todo:
        state.job.save(folder / "jobs" / f"{state.job.id}.json")
    try:
        cluster.run([s.job for s in todo], ray.files, folder, at_once, ray.most, threads, watch, ray.say)
    except BaseException:
        for state in todo:
            _not_running(state, "stopped", "interrupted")
        raise


__all__ = ["Comparison", "State", "compare"]
