"""Machines that share nothing: data as bytes, runs that come home in parcels, and a node that dies in the midst."""
from __future__ import annotations

import contextlib
import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine_help import ROOT
from made_data import make_coco
from stemma.core.types import StemmaError
from stemma.data import packing
from stemma.data.scenes import Scenes
from stemma.engine.comparing import cluster, node, processes
from stemma.engine.comparing.job import Job

# ---------------------------------------------------------------- data


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Files in folders, one of them behind a link, one with a name that is no ASCII."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "far.bin").write_bytes(random.Random(0).randbytes(5000))
    data = tmp_path / "data"
    (data / "images" / "deep").mkdir(parents=True)
    (data / "images" / "deep" / "ä.png").write_bytes(random.Random(1).randbytes(70_001))
    (data / "labels.json").write_text("{}")
    (data / "empty").touch()
    (data / "link").symlink_to(tmp_path / "elsewhere")
    return data


def held(path: Path) -> dict[str, bytes]:
    return {name: file.read_bytes() for name, file in packing.files_in(path)}


@pytest.mark.parametrize("chunk", [1, 512, 4096, 1 << 20])
def test_a_folder_travels_as_pieces(folder: Path, tmp_path: Path, chunk: int) -> None:
    if chunk == 1:
        (folder / "images" / "deep" / "ä.png").write_bytes(b"small")
        (folder / "link" / "far.bin").write_bytes(b"small too")
    pieces: list[bytes] = []
    known = packing.pack(folder, pieces.append, chunk)
    assert all(len(p) == chunk for p in pieces[:-1]) and 0 < len(pieces[-1]) <= chunk
    packing.unpack(iter(pieces), tmp_path / "there")
    assert held(tmp_path / "there") == held(folder) and "link/far.bin" in held(folder)
    assert packing.signature(tmp_path / "there") == packing.signature(folder)
    os.utime(folder / "labels.json", (1, 1))
    os.chmod(folder / "labels.json", 0o600)
    assert packing.pack(folder, lambda piece: None, 999) == known, "the hash is of names and contents alone"
    (folder / "labels.json").write_text("[]")
    assert packing.pack(folder, lambda piece: None) != known


def test_whether_the_same_lies_there_is_told_by_names_and_sizes(folder: Path, tmp_path: Path) -> None:
    before = packing.signature(folder)
    assert before and packing.signature(tmp_path / "nothing") == "" == packing.signature(tmp_path / "elsewhere" / "x")
    assert packing.signature(folder / "labels.json") not in ("", before)
    (folder / "more").touch()
    more = packing.signature(folder)
    (folder / "more").rename(folder / "much")
    assert len({before, more, packing.signature(folder)}) == 3


def test_too_much_is_refused_with_what_to_do(folder: Path) -> None:
    with pytest.raises(StemmaError, match=r"holds 0.0 GB, and at most 0.0 GB are sent.*the same path on every one"):
        packing.weigh(folder, 1000)
    assert packing.weigh(folder) == sum(map(len, held(folder).values()))


@pytest.mark.parametrize("kind", ["above", "absolute", "link"])
def test_nothing_is_unpacked_outside(tmp_path: Path, kind: str) -> None:
    entry = tarfile.TarInfo({"above": "../evil", "absolute": str(tmp_path / "evil"), "link": "evil"}[kind])
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w") as tar:
        if kind == "link":
            entry.type, entry.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(entry, io.BytesIO(b""))
    # of an absolute path the beginning is taken off
    with contextlib.nullcontext() if kind == "absolute" else pytest.raises(tarfile.TarError):
        packing.unpack([held.getvalue()], tmp_path / "there" / "data")
    assert not (tmp_path / "evil").exists() and not (tmp_path / "there" / "evil").exists()
    assert not any(p.is_symlink() for p in tmp_path.rglob("*"))


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A COCO folder of drawn scenes."""
    from PIL import Image

    data = tmp_path_factory.mktemp("here") / "drawn"
    for split, count in (("train", 24), ("val", 8)):
        scenes, pictures_, objects = Scenes(count, 64, split=split), [], []
        (data / "images" / split).mkdir(parents=True)
        for i in range(count):
            one = scenes[i]
            assert one.image is not None
            Image.fromarray(one.image).save(data / "images" / split / f"{i}.png")
            pictures_.append({"id": i, "file_name": f"{i}.png", "height": 64, "width": 64})
            for (x1, y1, x2, y2), k in zip(one.boxes.tolist(), one.labels.tolist(), strict=True):
                objects.append({"id": len(objects) + 1, "image_id": i, "category_id": k + 1, "iscrowd": 0,
                                "bbox": [x1, y1, x2 - x1, y2 - y1], "area": (x2 - x1) * (y2 - y1)})
        kinds = [{"id": k + 1, "name": n} for k, n in enumerate(scenes.info.classes.names)]
        make_coco(data, {"images": pictures_, "annotations": objects, "categories": kinds}, split, 0)
    return data


def test_what_a_name_stands_for(pictures: Path, tmp_path: Path) -> None:
    assert packing.needed("scenes:64:8") == []
    assert packing.needed(pictures) == [pictures] == packing.needed(str(pictures / "." / "images" / ".."))
    assert packing.needed(pictures / "annotations" / "instances_train.json") == [pictures]
    assert packing.needed(f"{pictures}*2+labels:scenes:64:8") == [pictures]


def test_paths_in_a_job_are_those_of_the_node() -> None:
    moved = {"/a/data": "/n/1/data", "/a/data2": "/n/2/data2"}
    job = {"data": "/a/data*2+labels:/a/data2/x", "sets": {"x": "/a/database", "y": ["/a/data/f.npz", 3]}, "seed": 1}
    assert node._moved(job, moved) == {"data": "/n/1/data*2+labels:/n/2/data2/x",
                                       "sets": {"x": "/a/database", "y": ["/n/1/data/f.npz", 3]}, "seed": 1}


# ---------------------------------------------------------------- parcels


SAVES = """
import os, sys, time
from pathlib import Path
run = Path(sys.argv[1])
def put(name, text):
    fresh = run / f".{name}.new"
    fresh.write_text(text)
    os.replace(fresh, run / name)
run.mkdir(exist_ok=True)
for k in range(int(sys.argv[2]), int(sys.argv[2]) + 400):
    with open(run / "metrics.jsonl", "a") as f: f.write(f"{k}\\n")
    put(f"{k:06d}.npz", str(k)); put("last.safetensors", str(k)); put("state.safetensors", str(k)); put("run.json", str(k))
    (run / f"{k - 3:06d}.npz").unlink(missing_ok=True)
    time.sleep(0.001)
"""


@pytest.fixture
def training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[node.Training]:
    """A training whose process saves four hundred states, as fast as it can."""
    def start(words: list[str], log: Path, env: dict[str, str]) -> subprocess.Popen[bytes]:
        job = json.loads(Path(words[0]).read_text())
        known = Path(job["folder"]) / "state.safetensors"
        begin = int(known.read_text()) + 1 if known.is_file() else 0
        return subprocess.Popen([sys.executable, "-IS", "-c", SAVES, job["folder"], str(begin)], start_new_session=True)

    monkeypatch.setattr(processes, "start", start)
    monkeypatch.setattr(node, "EVERY", 0.0)
    made = node.Training(lambda piece: piece)
    yield made
    made.close()
    assert not made.scratch.exists()


def job(folder: Path, data: str = "scenes:64:24") -> dict[str, Any]:
    return vars(Job("fcn-s0", "fcn", "small", 0, data, "8steps", str(folder)))


def test_a_parcel_is_of_one_moment_and_home_is_a_run_at_every_moment(training: node.Training, tmp_path: Path) -> None:
    home, seen, code = tmp_path / "home", [], None
    training.begin(job(home), 1, {}, {}, {})
    while code is None:
        parcel = training.look(0.0)
        code = parcel.code
        cluster.unpacked(parcel, home)
        if parcel.names is None:
            assert set(parcel.files) <= {"metrics.jsonl"}
            continue
        assert {n for n, _ in packing.files_in(home)} == parcel.names
        if "state.safetensors" in parcel.names:
            state = int((home / "state.safetensors").read_text())
            seen.append(state)
            assert int((home / "last.safetensors").read_text()) in (state, state + 1)
            assert int((home / "run.json").read_text() or 0) <= state if (home / "run.json").is_file() else state == 0
            assert (home / "metrics.jsonl").read_text().count("\n") > state
            assert {f"{k:06d}.npz" for k in range(max(0, state - 2), state + 1)} <= parcel.names
    assert code == 0 and len(set(seen)) > 3 and seen == sorted(seen) and seen[-1] == 399


def test_a_training_goes_on_where_it_came_from(training: node.Training, tmp_path: Path) -> None:
    home = tmp_path / "home"
    training.begin(job(home), 1, {}, {}, {})
    while training._new([node.STATE]) == {}:
        time.sleep(0.01)
    training.sent.clear()
    cluster.unpacked(training.stop(10), home)
    begin = int((home / "state.safetensors").read_text())
    other = node.Training(lambda piece: piece)
    other.begin(job(home), 1, held(home), {".warnings": b"one\n"}, {})
    assert (other.job.with_suffix(".warnings")).read_bytes() == b"one\n"
    parcel = other.look(60)
    assert parcel.code == 0 and int(parcel.files["state.safetensors"]) == begin + 400
    assert parcel.beside[".warnings"] == b"one\n"
    assert parcel.files["metrics.jsonl"].splitlines()[: begin + 1] == [str(k).encode() for k in range(begin + 1)]
    other.close()


def test_data_are_kept_on_a_node_and_called_as_at_home(
    training: node.Training, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STEMMA_CACHE", str(tmp_path / "cache"))
    pieces: list[bytes] = []
    packed = node.Packed("data", packing.pack(folder, pieces.append, 1 << 14), tuple(range(len(pieces))))
    fetched: list[int] = []
    training.fetch = lambda k: (fetched.append(k), pieces[k])[1]
    wanted = {str(folder): packing.signature(folder), "/not/there": "0"}
    assert training.look_around(wanted).missing == ("/not/there",)
    for _ in range(2):
        place = training._unpacked(packed)
    assert fetched == list(range(len(pieces))) and place.name == "data" and held(place) == held(folder)
    assert not list((tmp_path / "cache" / "sent").glob(".*"))
    training.moved = {str(folder): str(place)}
    assert training._as_at_home(f'{{"where": "{place}/x"}}'.encode()) == f'{{"where": "{folder}/x"}}'.encode()


def test_a_node_that_cannot_run_it_is_told_clearly() -> None:
    said = "The actor died because of an error raised in its creation task\nModuleNotFoundError: No module named 'torch'"
    why = cluster._why(RuntimeError(said), "host7")
    assert why.startswith("host7 of the cluster cannot run Stemma (ModuleNotFoundError: No module named 'torch')")
    assert cluster._why(RuntimeError("The node\ndied"), "host7") == "Ray: The node died"


# ---------------------------------------------------------------- two nodes


CLOCKS = {"seconds", "wall", "worked", "share", "created", "command", "latency", "latency_ms",
          "train_images_per_second", "images_per_second", "predict_images_per_second", "peak_memory_mb", "finished",
          "notes", "machine"}


def without_clocks(value: Any) -> Any:
    """Results but for what a clock, or the place where they were made, decides."""
    if isinstance(value, dict):
        return {k: without_clocks(v) for k, v in value.items() if k not in CLOCKS}
    return [without_clocks(v) for v in value] if isinstance(value, list) else value


def hidden(words: list[str], folders: list[Path]) -> list[str]:
    """A command that does not see what is in `folders`, where the system lets us hide it (Linux: mount namespaces)."""
    mounts = "; ".join(f"mount -t tmpfs none '{f}'" for f in folders)
    head = ["unshare", "-m"] if hasattr(os, "geteuid") and os.geteuid() == 0 else ["unshare", "-rm"]
    trial = shutil.which("unshare") and subprocess.run([*head, "sh", "-c", f"{mounts}"], capture_output=True)
    return words if not trial or trial.returncode else [*head, "sh", "-c", f'{mounts}; exec "$0" "$@"', *words]


class Nodes:
    """Two Ray nodes, each with a home and folders of its own; the second sees nothing of the first's."""

    def __init__(self, folder: Path, unseen: list[Path]) -> None:
        self.ray, self.folder, self.processes = str(Path(sys.executable).with_name("ray")), folder, []
        self.address = f"127.0.0.1:{random.Random(time.time_ns()).randint(20000, 40000)}"
        begin = ["start", "--block", "--num-cpus=1", "--disable-usage-stats"]
        self.first = self._start("one", [self.ray, *begin, "--head", f"--port={self.address.split(':')[1]}",
                                         "--node-ip-address=127.0.0.1", "--include-dashboard=false",
                                         f"--temp-dir={folder / 'r'}"])
        self._until(lambda: "Ray runtime started" in self.said("one"))
        more = [*begin, f"--address={self.address}", "--node-ip-address=127.0.0.2"]
        self.second = self._start("two", hidden([self.ray, *more], [*unseen, folder / "r", folder / "one"]))
        self._until(lambda: "Ray runtime started" in self.said("two"))

    def _start(self, name: str, words: list[str]) -> subprocess.Popen[bytes]:
        home = self.folder / name
        home.mkdir()
        env = os.environ | {"HOME": str(home), "STEMMA_CACHE": str(home / "cache"), "RAY_worker_niceness": "0"}
        env.pop("PYTHONPATH", None)  # Stemma comes with the work
        with open(self.folder / f"{name}.log", "wb") as log:
            one = subprocess.Popen(words, stdout=log, stderr=log, env=env, cwd=home, start_new_session=True)
        self.processes.append(one)
        return one

    def said(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()

    def _until(self, there: Any, most: float = 120) -> None:
        until = time.monotonic() + most
        while not there():
            assert time.monotonic() < until, self.said("one")
            time.sleep(0.2)

    def kill(self) -> None:
        """The second node, all at once."""
        os.killpg(self.second.pid, signal.SIGKILL)

    def close(self) -> None:
        for one in self.processes:
            if one.poll() is None:
                os.killpg(one.pid, signal.SIGKILL)
            one.wait()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="nodes are kept apart by Linux")
def test_a_node_dies_and_the_results_are_those_of_one_machine(pictures: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray")
    short = Path("/tmp") / f"stemma-{os.getpid()}"  # the paths of sockets have at most 107 bytes
    short.mkdir()
    words = [sys.executable, "-m", "stemma", "compare", "retinanet", "ssd", "--data", str(pictures), "--budget",
             "90steps", "--batch", "4", "--limit", "8", "--jobs", "2", "--precision", "fp32", "--out"]
    env = os.environ | {"PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1", "STEMMA_CACHE": str(tmp_path / "c")}
    subprocess.run([*words, str(tmp_path / "local")], env=env, check=True, capture_output=True)
    (tmp_path / "away").mkdir()
    nodes = Nodes(short, [pictures, tmp_path / "away"])
    try:
        env |= {"RAY_ADDRESS": nodes.address}
        one = subprocess.Popen([*words, str(tmp_path / "away" / "c"), "--on", "ray"], env=env, stderr=subprocess.PIPE,
                               stdout=subprocess.DEVNULL, text=True)
        log = tmp_path / "away" / "c" / "jobs" / "cluster.log"
        homes = ("retinanet-s0: its state came home", "ssd-s0: its state came home")
        nodes._until(lambda: one.poll() is not None or log.exists() and all(h in log.read_text() for h in homes), 240)
        nodes.kill()
        _, said = one.communicate(timeout=300)
        assert one.returncode == 0, said
    finally:
        nodes.close()
        shutil.rmtree(short, ignore_errors=True)
    assert "is not on every node and is sent" in log.read_text() and "it goes on elsewhere from step" in log.read_text()
    a, b = (json.loads((tmp_path / p / "results.json").read_text()) for p in ("local", "away/c"))
    assert without_clocks(a) == without_clocks(b) and a["machine"]["threads"] == b["machine"]["threads"]
    for name in ("retinanet-s0", "ssd-s0"):
        for file in ("last.safetensors", "best.safetensors"):
            there = (tmp_path / "away" / "c" / name / file).read_bytes()
            assert (tmp_path / "local" / name / file).read_bytes() == there
        assert json.loads((tmp_path / "away" / "c" / name / "run.json").read_text())["data"]["where"] == str(pictures)
