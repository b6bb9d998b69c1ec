"""A comparison on a Ray cluster, whose nodes need not share anything with this machine nor with each other.

Data that a node does not have go out to it once. Each training works in a folder of its node, and what is new of it
comes home: the lines of its metrics about once a second, its state whenever it was saved. A node that dies takes
nothing with it but the time since then: its trainings go on elsewhere from the last state that came home, and end as
they would have ended there. `jobs/cluster.log` says what went where.
"""
from __future__ import annotations

import functools
import os
import signal
import time
import warnings
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ...core import interrupts, outputs
from ...core.types import StemmaError
from ...data import packing
from . import node, processes
from .job import Job
from .node import Packed, Parcel, Place

LOOK = 1.0  # seconds that a look at a training waits for something new
LIVES = 3  # nodes that may die under a training before it counts as failed
LAST = (node.STATE, "run.json", "trial.json")  # written in this order, after the rest: what they speak of is there then


@dataclass
class Away:
    """A training on a node. `doing`: what its actor was last asked."""

    job: Job
    actor: Any
    doing: str
    place: Place | None = None


class Cluster:
    """The cluster at RAY_ADDRESS, one that is connected already, or one that is started here for `at_once`
    trainings."""

    def __init__(self, folder: Path, at_once: int, threads: int, gpu: bool, say: Callable[[str], None] | None) -> None:
        try:
            with interrupts.shielded(signal.SIGTERM):
                import ray
        except ImportError as error:
            raise StemmaError("--on ray needs the package ray: pip install 'stemma-vision[ray]'") from error
        self.ray, self.folder, self.threads, self.say = ray, folder, threads, say
        self.log = folder / "jobs" / "cluster.log"
        self.began, self.packed, self.told = time.monotonic(), dict[str, Packed](), set[str]()
        self.own = not ray.is_initialized()
        if self.own:
            self._connect(at_once)
        widest = max((int(n["Resources"].get("CPU", 0)) for n in ray.nodes() if n["Alive"]), default=1)
        self.actor = ray.remote(num_cpus=max(1, min(threads, widest)), num_gpus=int(gpu), max_restarts=0)(_Actor)

    def _connect(self, at_once: int) -> None:
        # Ray's workers step back before other processes; a training would then wait for whatever else runs
        os.environ.setdefault("RAY_worker_niceness", "0")
        more: dict[str, Any] = {"runtime_env": {"py_modules": [str(Path(processes.PACKAGE_ROOT) / "stemma")]}}
        if not os.environ.get("RAY_ADDRESS"):
            more = {"num_cpus": at_once * self.threads, "include_dashboard": False,
                    "runtime_env": {"env_vars": {"PYTHONPATH": str(processes.PACKAGE_ROOT)}}}
        try:
            # what Ray starts here is ended by Ray; its own handler of SIGTERM gives way to ours
            with interrupts.shielded(signal.SIGTERM):
                self.ray.init(log_to_driver=False, configure_logging=False, **more)
        except (ConnectionError, RuntimeError) as error:
            where = os.environ.get("RAY_ADDRESS", "here")
            raise StemmaError(f"no Ray cluster at {where}: {' '.join(str(error).split())[:200]}") from error

    def close(self) -> None:
        if self.own:
            self.ray.shutdown()

    def note(self, text: str, loud: bool = False) -> None:
        """A line of the log; `loud`: said as well."""
        with open(self.log, "a", encoding="utf-8") as f:
            f.write(f"{time.strftime('%H:%M:%S')} {time.monotonic() - self.began:7.1f} s  {text}\n")
        if loud and self.say is not None:
            self.say(text)

    # ------------------------------------------------------------ a training

    def send(self, job: Job, wanted: dict[str, str]) -> tuple[Any, Away]:
        """Look for a place for a training: an actor, and what it was asked."""
        actor: Any = self.actor.remote()
        return actor.look_around.remote(wanted), Away(job, actor, "look_around")

    def begin(self, away: Away) -> Any:
        """Start it where it found a place, from what is at home."""
        assert away.place is not None
        data = {p: self._pack(Path(p)) for p in away.place.missing}
        run = {n: p.read_bytes() for n, p in packing.files_in(Path(away.job.folder))} if _has_run(away.job) else {}
        beside = {s: p.read_bytes() for s in node.BESIDE if (p := self._beside(away.job, s)).is_file()}
        away.doing = "begin"
        return away.actor.begin.remote(asdict(away.job), self.threads, run, beside, data)

    def look(self, away: Away) -> Any:
        away.doing = "look"
        return away.actor.look.remote(LOOK)

    def _pack(self, path: Path) -> Packed:
        """Data on their way, packed once however many nodes want them. Raises `StemmaError` for what must lie where it
        is: a file that settings name, and too large a folder."""
        if path.is_file():
            raise StemmaError(f"{path} is not on every node of the cluster, and the systems that are trained with it "
                              "name it; put it at the same path on every one")
        if str(path) not in self.packed:
            pieces: list[Any] = []
            self.note(f"{path} ({packing.weigh(path) / 2**20:.1f} MB) is not on every node and is sent", loud=True)
            found = packing.pack(path, lambda piece: pieces.append(self.ray.put(piece)))
            self.packed[str(path)] = Packed(path.name, found, tuple(pieces))
        return self.packed[str(path)]

    def _beside(self, job: Job, suffix: str) -> Path:
        return self.folder / "jobs" / f"{job.id}{suffix}"

    def home(self, job: Job, parcel: Parcel) -> None:
        """Put what came where a training here would have left it."""
        unpacked(parcel, Path(job.folder))
        for suffix, content in parcel.beside.items():
            self._beside(job, suffix).write_bytes(content)
        if node.STATE in parcel.files:
            self.note(f"{job.id}: its state came home ({_step(job)})")

    def check(self, away: Away) -> None:
        """Say where a node differs in what decides a training's bits."""
        assert away.place is not None
        mine = node.versions()
        other = [f"{k} {v}, here {mine[k]}" for k, v in away.place.versions.items() if v != mine[k]]
        if other and away.place.host not in self.told:
            self.told.add(away.place.host)
            warnings.warn(f"{away.place.host} has {'; '.join(other)}: its trainings may differ in the last bits",
                          stacklevel=2)

    def stop(self, away: Iterable[Away]) -> None:
        """Let trainings save their state, bring it home, and end them."""
        asked = {a.actor.stop.remote(): a for a in away}
        until = time.monotonic() + processes.GRACE + 5
        while asked and time.monotonic() < until:
            ready, _ = self.ray.wait(list(asked), timeout=0.5)
            for ref in ready:
                one = asked.pop(ref)
                try:
                    self.home(one.job, self.ray.get(ref))
                except self.ray.exceptions.RayError as error:
                    self.note(f"{one.job.id}: its last state did not come home: {_said(error)}")
                self.end(one)
        for one in asked.values():
            self.ray.kill(one.actor)

    def end(self, away: Away) -> None:
        """Nothing of a training is left on its node but data that others may use."""
        try:
            self.ray.get(away.actor.close.remote(), timeout=30)
        except (self.ray.exceptions.RayError, TimeoutError):
            self.note(f"{away.job.id}: its node did not clear up")
        self.ray.kill(away.actor)


class _Actor:
    """`node.Training` behind Ray."""

    def __init__(self) -> None:
        import ray

        def fetch(piece: Any) -> bytes:
            content: bytes = ray.get(piece)
            return content

        self.training = node.Training(fetch)

    def look_around(self, wanted: dict[str, str]) -> Place:
        return self.training.look_around(wanted)

    def begin(self, *given: Any) -> None:
        self.training.begin(*given)

    def look(self, seconds: float) -> Parcel:
        return self.training.look(seconds)

    def stop(self) -> Parcel:
        return self.training.stop()

    def close(self) -> None:
        self.training.close()


def unpacked(parcel: Parcel, run: Path) -> None:
    """Put a parcel into a run's folder, so that what stands there is a run that can go on at every moment."""
    for name in sorted(parcel.files, key=lambda n: LAST.index(n) if n in LAST else -1):
        outputs.replace(run / name, functools.partial(Path.write_bytes, data=parcel.files[name]))
    if parcel.names is not None:
        for name, path in list(packing.files_in(run)):
            if name not in parcel.names:
                path.unlink()


# ---------------------------------------------------------------- all trainings


@dataclass(frozen=True)
class Watch:
    """What a comparison wants to hear: `began`, `ended` (with the exit status), `failed` (why), `looked`, each of a
    job, and `turn` between two looks."""

    began: Callable[[Job], None]
    ended: Callable[[Job, int], None]
    failed: Callable[[Job, str], None]
    looked: Callable[[Job], None]
    turn: Callable[[], None]


def run(jobs: list[Job], files: Iterable[str], folder: Path, at_once: int, most: int | None, threads: int, watch: Watch,
        say: Callable[[str], None] | None = None) -> None:
    """Run the trainings, each an actor of the cluster. files: paths of data that they read. at_once: trainings of a
    cluster that is started here; most: trainings at a time, as many as there is room for where None.

    Raises `Interrupted` after the trainings have saved their state and it has come home, `StemmaError` where there is
    no cluster, or data are too large to be sent.
    """
    wanted = {p: packing.signature(p) for p in files}
    waiting, lives = list(jobs), dict.fromkeys((j.id for j in jobs), LIVES)
    away: dict[Any, Away] = {}
    wishes = interrupts.Wishes()
    with wishes.watched():
        cluster = Cluster(folder, at_once, threads, bool(jobs) and jobs[0].device.startswith("cuda"), say)
        try:
            while waiting or away:
                wishes.heed()
                while waiting and (most is None or len(away) < most):
                    ref, one = cluster.send(waiting.pop(0), wanted)
                    away[ref] = one
                ready, _ = cluster.ray.wait(list(away), num_returns=len(away), timeout=0.3)
                for ref in ready:
                    one = away.pop(ref)
                    try:
                        again = _step_on(cluster, one, cluster.ray.get(ref), watch)
                    except cluster.ray.exceptions.ActorUnschedulableError as error:
                        watch.failed(one.job, f"no node has room for it: {_said(error)}")
                    except cluster.ray.exceptions.RayActorError as error:
                        cluster.ray.kill(one.actor)  # one that is out of reach may live: two must not go on
                        lives[one.job.id] -= 1
                        where = one.place.host if one.place is not None else "a node"
                        if _unfit(error) or not lives[one.job.id]:
                            watch.failed(one.job, _why(error, where))
                            continue
                        cluster.note(f"{one.job.id}: {where} is gone ({_said(error)[:120]}); it goes on elsewhere from "
                                     f"{_step(one.job)}", loud=True)
                        waiting.insert(0, one.job)
                    except cluster.ray.exceptions.RayError as error:
                        cluster.end(one)
                        watch.failed(one.job, _why(error, one.place.host if one.place is not None else "a node"))
                    else:
                        if again is not None:
                            away[again] = one
                        else:
                            cluster.end(one)
                for one in away.values():
                    watch.looked(one.job)
                watch.turn()
        except BaseException:
            cluster.stop(away.values())
            raise
        finally:
            cluster.close()


def _step_on(cluster: Cluster, one: Away, said: Any, watch: Watch) -> Any:
    """Ask a training the next thing after what it `said`; None where it has ended."""
    if one.doing == "look_around":
        one.place = said
        cluster.check(one)
        cluster.note(f"{one.job.id}: on {one.place.host} from {_step(one.job)}")
        return cluster.begin(one)
    if one.doing == "begin":
        watch.began(one.job)
    elif said is not None:
        cluster.home(one.job, said)
        if said.code is not None:
            cluster.note(f"{one.job.id}: ended with status {said.code}")
            watch.ended(one.job, said.code)
            return None
    return cluster.look(one)


def _has_run(job: Job) -> bool:
    return (Path(job.folder) / "run.json").is_file()


def _step(job: Job) -> str:
    """Where the state at home is, in words."""
    from ..running import checkpoint

    file = Path(job.folder) / node.STATE
    return f"step {checkpoint.read_meta(file)['steps']}" if file.is_file() else "its beginning"


def _said(error: BaseException) -> str:
    return " ".join(str(error).split())[:300]


def _unfit(error: BaseException) -> bool:
    """Whether an actor died because its node cannot run Stemma at all."""
    return "ModuleNotFoundError" in str(error) or "ImportError" in str(error) or "runtime_env" in str(error)


def _why(error: BaseException, where: str) -> str:
    if _unfit(error):
        lines = [x.strip() for x in str(error).splitlines() if "Error" in x]
        return (f"{where} of the cluster cannot run Stemma ({(lines or [_said(error)])[-1][:200]}); install there what "
                "is installed here, the same versions")
    return f"Ray: {_said(error)}"


__all__ = ["Cluster", "Watch", "run", "unpacked"]
