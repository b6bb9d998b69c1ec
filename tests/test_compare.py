"""Comparisons: what is asked, resumed, measured and told. The trainings themselves are a few steps on tiny scenes."""
from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from made_data import noise
from stemma.core import outputs
from stemma.core import paper as cards
from stemma.core.types import StemmaError
from stemma.engine import wings
from stemma.engine.comparing import compare as engine
from stemma.engine.comparing import processes
from stemma.engine.comparing.job import Job
from stemma.engine.editing import wing as editing_wing
from stemma.engine.pictures import gallery, results
from stemma.engine.pictures import wing as picture_wing
from stemma.engine.pictures.paired import FILE, Paired
from stemma.engine.pictures.trial import quality
from stemma.engine.running.runs import alone
from stemma.engine.transfer import wing as transfer_wing
from stemma.metrics.resample import Ratios, Tallies


def fake(name: str, main: str, values: list[float]) -> dict[str, Any]:
    return {"id": name, "paper": name, "preset": "small", "main": main, "summary": {main: results.summarise(values)}}


def test_means_and_spreads_by_hand() -> None:
    s = results.summarise([0.2, 0.4, None], [0.0, 0.02])
    assert (s["mean"] == pytest.approx(0.3) and s["spread"] == pytest.approx(0.02**0.5) and s["values"] == [0.2, 0.4]
            and s["untrained"] == pytest.approx(0.01))
    assert results.summarise([0.2])["spread"] is None and results.summarise([])["mean"] is None


def test_a_gain_knows_its_spread_and_whether_seeds_overlap() -> None:
    parent, child = fake("fpn", "AP", [0.30, 0.34]), fake("retinanet", "AP", [0.40, 0.44])
    g = results.gain(parent, child)
    assert (g["metric"] == "AP" and g["gain"] == pytest.approx(0.10) and g["spread"] == pytest.approx(0.04)
            and g["overlap"] is False)
    assert results.gain(parent, fake("retinanet", "AP", [0.33, 0.50]))["overlap"] is True
    assert results.gain(fake("fpn", "AP", [0.3]), fake("retinanet", "AP", [0.4]))["overlap"] is None
    none = results.gain(fake("fcn", "mIoU", [0.3]), child)
    assert none["gain"] is None and "no common measure" in none["note"]


def counted(folder: Path, above: np.ndarray, fingerprint: str = "cells") -> Path:
    """A run's folder with what each picture adds to mIoU, of one class whose union is one pixel in each."""
    folder.mkdir(parents=True)
    tally = Ratios(above[:, None].astype(float), np.ones((len(above), 1)))
    Tallies(fingerprint, np.arange(len(above)), {"mIoU": tally}).save(folder / FILE)
    return folder


def test_gaps_are_paired_picture_by_picture(tmp_path: Path) -> None:
    """Two systems that vary much from picture to picture and differ by the same little on each: apart each is unsure,
    their gap is not."""
    r = np.random.default_rng(0)
    hard, more = r.uniform(0.1, 0.8, 24), r.normal(0.05, 0.01, 24)
    runs = {"a": [counted(tmp_path / "a-s0", hard)],
            "b": [counted(tmp_path / f"b-s{k}", hard + more + d) for k, d in enumerate((-0.02, 0.02))]}
    paired = Paired(runs)
    low, high = paired.own("a", "mIoU") or (0, 0)
    assert low < hard.mean() - 0.05 and high > hard.mean() + 0.05
    gap = paired.gap("a", "b", "mIoU")
    assert (gap["pictures"] == 24 and not gap["few"]
            and gap["interval"] == pytest.approx([more.mean() - 0.005, more.mean() + 0.005], abs=0.003))
    back = paired.gap("b", "a", "mIoU")["interval"]
    assert back == pytest.approx([-gap["interval"][1], -gap["interval"][0]]) and not paired.notes
    assert paired.gap("a", "b", "AP") == {"interval": None, "pictures": 24, "few": False}


def test_where_there_is_no_pair_it_is_said(tmp_path: Path) -> None:
    x = np.linspace(0.2, 0.6, 5)
    few = Paired({"a": [counted(tmp_path / "a-s0", x)], "b": [counted(tmp_path / "b-s0", x + 0.1)]})
    assert few.gap("a", "b", "mIoU") == {"interval": None, "pictures": 5, "few": True} and few.own("a", "mIoU") is None
    (tmp_path / "c-s0").mkdir()
    lost = Paired({"a": [tmp_path / "a-s0"], "c": [tmp_path / "c-s0"], "d": [counted(tmp_path / "d-s0", x, "other")]})
    assert lost.notes == ["no interval over pictures for c: c-s0/pictures.npz is not there",
                          "no interval over pictures for d: it was measured on other pictures"]
    for other in ("c", "d"):
        assert lost.gap("a", other, "mIoU") == {"interval": None, "pictures": None, "few": False}


def test_the_first_is_held_against_every_other() -> None:
    systems = [fake("fpn", "AP", [0.3, 0.4]), fake("retinanet", "AP", [0.5, 0.6]), fake("ssd", "AP", [0.1, 0.55]),
               fake("fcn", "mIoU", [0.7])]
    leads = results.leading(systems)
    assert [(g["first"], g["second"], round(g["gain"], 3), g["overlap"]) for g in leads["AP"]] == [
        ("retinanet", "fpn", 0.2, False), ("retinanet", "ssd", 0.225, True)]
    assert leads["mIoU"] == [] and set(leads) == {"AP", "mIoU"}


def test_edges_follow_the_cards_and_skip_who_is_not_there() -> None:
    direct = results.edges([fake("faster-rcnn", "AP", [0.2]), fake("fpn", "AP", [0.3]), fake("mask-rcnn", "AP", [0.4])])
    assert {(e["parent"], e["child"]) for e in direct} == {("faster-rcnn", "fpn"), ("fpn", "mask-rcnn")}
    told = tuple((tuple(c["slots"]), c["what"]) for c in next(e for e in direct if e["child"] == "fpn")["changes"])
    assert told == cards.get("fpn").parents[0].told
    (skipped,) = results.edges([fake("faster-rcnn", "AP", [0.2]), fake("mask-rcnn", "AP", [0.4])])
    assert skipped["through"] == ["fpn"] and {c["by"] for c in skipped["changes"]} == {"fpn", "mask-rcnn"}
    assert [c["by"] for c in skipped["changes"]][0] == "fpn"
    assert results.edges([fake("fcn", "mIoU", [0.2]), fake("yolo-v1", "AP", [0.4])]) == []


def test_pictures_are_those_of_most_disagreement() -> None:
    shown = {"a": {str(i): {"quality": q} for i, q in enumerate([1.0, 0.5, 0.0, 0.3])},
             "b": {str(i): {"quality": q} for i, q in enumerate([1.0, 0.9, 1.0, None])}}
    assert [i for i, _ in results.choose(["0", "1", "2", "3"], shown, 2)] == ["2", "1"]
    assert [i for i, _ in results.choose(["0", "1", "2", "3"], {"a": shown["a"]}, 3)] == ["2", "1", "0"]


def test_layers_tint_inside_and_mark_edges() -> None:
    mask = np.zeros((20, 30), bool)
    mask[5:15, 5:25] = True
    layer = gallery.mask_layer([mask], [1], (20, 30))
    assert layer.shape == (20, 30, 4) and layer[0, 0, 3] == 0 and layer[5, 5, 3] > layer[10, 10, 3] > 0
    classes = np.zeros((1000, 500), np.uint8)
    classes[:, 250:] = 255
    big = gallery.map_layer(classes, (1000, 500))
    assert big.shape == (384, 192, 4) and big[10, 10, 3] > 0 and big[10, 190, 3] == 0


def test_quality_of_a_picture_by_hand() -> None:
    from stemma.data.scenes import Scenes

    data = Scenes(4, size=64)
    truth = data.truth(0)
    n = len(truth.labels)
    perfect = {"boxes": truth.boxes, "scores": np.ones(n), "labels": truth.labels}
    assert quality(perfect, truth, data.info, "detection", 0.5) == 1.0
    assert quality({k: v[:0] for k, v in perfect.items()}, truth, data.info, "detection", 0.5) == 0.0
    doubled = {k: np.concatenate([v, v]) for k, v in perfect.items()}
    assert quality(doubled, truth, data.info, "detection", 0.5) == pytest.approx(2 / 3)
    assert quality({"semantic": truth.semantic}, truth, data.info, "semantic", 0.5) == 1.0


def test_what_is_asked_is_checked_before_anything_is_trained(tmp_path: Path) -> None:
    with pytest.raises(StemmaError, match="name the papers"):
        engine.compare([], "scenes:64:8", out=tmp_path / "a")
    with pytest.raises(StemmaError, match="no preset 'huge'"):
        engine.compare(["fpn:huge"], "scenes:64:8", out=tmp_path / "a")
    with pytest.raises(StemmaError, match="seeds"):
        engine.compare(["fpn"], "scenes:64:8", seeds=0, out=tmp_path / "a")
    with pytest.raises(StemmaError, match="no setting"):
        engine.compare(["fpn", "ssd"], "scenes:64:8", sets={"fpn:nick.width": 3}, out=tmp_path / "a")
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "thesis.tex").write_text("x")
    with pytest.raises(StemmaError, match="not a comparison's"):
        engine.compare(["fpn"], "scenes:64:8", out=tmp_path / "taken")
    assert not (tmp_path / "a").exists()


def test_threads_that_wait_are_asleep(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spinning until another thread is done would be counted as work, and a busy machine would buy less."""
    monkeypatch.setenv("OMP_WAIT_POLICY", "")  # put back afterwards
    monkeypatch.delenv("OMP_WAIT_POLICY")
    assert "OMP_WAIT_POLICY" not in processes.environment(1)
    two = processes.environment(2)
    assert (two["OMP_WAIT_POLICY"], two["OMP_NUM_THREADS"]) == ("PASSIVE", "2")
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    assert processes.environment(2)["OMP_WAIT_POLICY"] == "ACTIVE"  # who says so knows why


def test_a_folder_holds_one_comparison(tmp_path: Path) -> None:
    engine._claim(tmp_path / "c", {"budget": "60s", "data": "scenes"})
    engine._claim(tmp_path / "c", {"budget": "60s", "data": "scenes"})
    with pytest.raises(StemmaError, match="budget = 60s, not 90s"):
        engine._claim(tmp_path / "c", {"budget": "90s", "data": "scenes"})
    outputs.put_text(tmp_path / "c" / "pictures" / "0.jpg", "drawn")  # run again when it is finished, with its pictures
    engine._claim(tmp_path / "c", {"budget": "60s", "data": "scenes"})
    (tmp_path / "c" / "pictures" / "mine.jpg").write_text("not drawn here")
    with pytest.raises(StemmaError, match="mine.jpg is there"):
        engine._claim(tmp_path / "c", {"budget": "60s", "data": "scenes"})


@pytest.mark.parametrize("split", ["train", "val"])
def test_a_comparison_goes_on_with_the_same_data_alone(tmp_path: Path, split: str) -> None:
    data = tmp_path / "data"
    for s in ("train", "val"):
        for k in range(4):
            noise(data / s / f"{k}.png", 48, 64, seed=k + 4 * (s == "val"))
        (data / f"{s}.json").write_text(json.dumps({
            "images": [{"id": k, "file_name": f"{s}/{k}.png", "height": 48, "width": 64} for k in range(4)],
            "categories": [{"id": 1, "name": "bolt"}],
            "annotations": [{"id": k, "image_id": k, "category_id": 1, "bbox": [4, 4, 20, 20]} for k in range(4)]}))

    def claim() -> None:
        ready = picture_wing.prepare(wings.Asked(
            {"retinanet": ("retinanet", "small")}, str(data), lambda _: {}, dict.fromkeys(
                ("format", "precision", "batch", "limit", "size", "upright", "data_options", "start")), False, None, {}))
        engine._claim(tmp_path / "c", {"budget": "60s"}, ready.fingerprint)

    claim()
    claim()
    file = data / f"{split}.json"
    file.write_text(file.read_text().replace("[4, 4, 20, 20]", "[4, 4, 20, 21]", 1))
    with pytest.raises(StemmaError, match="have changed since .* was begun"):
        claim()


def test_a_comparison_goes_on_with_data_that_moved(tmp_path: Path) -> None:
    old, new = str(tmp_path / "gone"), str(tmp_path / "there")
    engine._claim(tmp_path / "c", {"budget": "60s", "data": old, "data_options": {"maps": "class"}}, "print")
    with pytest.raises(StemmaError, match="holds a comparison with data = .*gone, not .*there"):
        engine._claim(tmp_path / "c", {"budget": "60s", "data": new}, "another")
    assert engine._told(tmp_path / "c", new)["data_options"] == {"maps": "class"}
    engine._claim(tmp_path / "c", {"budget": "60s", "data": new}, "print")
    (tmp_path / "there").mkdir()
    assert json.loads((tmp_path / "c" / "compare.json").read_text())["data"] == new
    assert not engine._told(tmp_path / "c", old)


def prints(wing: wings.Wing, paper: str, data: Path, networks: dict[str, str]) -> str:
    """What a comparison of one system, "it", knows its data by."""
    return wing.prepare(wings.Asked({"it": (paper, "small")}, str(data), lambda _: {}, {"limit": None}, False, None,
                                    networks)).fingerprint


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_a_comparison_of_editors_knows_the_pictures_and_sentences_that_it_is_of(tmp_path: Path, split: str) -> None:
    lists = {}
    for s in ("train", "val", "test"):
        for k in range(4):
            for side in ("before", "after"):
                noise(tmp_path / s / side / f"{k}.png", 40, 60, seed=k + 4 * (side == "after"))
        lists[s] = tmp_path / s / "prompts.txt"
        lists[s].write_text("".join(f"make it {k}\n" for k in range(4)))
    ask = lambda: prints(editing_wing, "instruct-pix2pix", tmp_path, {})
    said = ask()
    assert ask() == said
    picture = tmp_path / split / "after" / "2.png"
    own = picture.read_bytes()
    noise(picture, 40, 60, seed=99)
    with picture.open("ab") as f:
        f.write(b"\0")  # of another size in bytes, as another picture is
    assert ask() != said
    picture.write_bytes(own)
    assert ask() == said
    lists[split].write_text(lists[split].read_text().replace("make it 2", "make it 3"))
    assert ask() != said


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_comparison_of_networks_knows_the_pictures_that_it_is_of(tmp_path: Path, split: str) -> None:
    for s in ("train", "test"):
        for k in range(12):
            noise(tmp_path / s / "ab"[k % 2] / f"{k}.png", 40, 60, seed=k + 12 * (s == "test"))
    ask = lambda: prints(transfer_wing, "imagenet-transfer", tmp_path, {"it": "resnet18"})
    said = ask()
    assert ask() == said
    (tmp_path / split / "a" / "2.png").rename(tmp_path / split / "b" / "2.png")
    moved = ask()
    noise(tmp_path / split / "b" / "2.png", 40, 60, seed=99)
    assert len({said, moved, ask()}) == 3


def test_two_comparisons_that_begin_at_once_do_not_share_a_folder(tmp_path: Path) -> None:
    with alone(tmp_path), pytest.raises(StemmaError, match="another process is at work in"):
        engine.compare(["ssd"], "scenes:64:16", "1steps", out=tmp_path, device="cpu")
    assert not list(tmp_path.iterdir())  # what the other one is about to write was not written for it


def test_settings_reach_the_paper_they_name() -> None:
    sets = {"recipe.lr": 1, "fpn:neck.width": 32, "mask-rcnn:recipe.batch": 4}
    assert engine._sets_of(sets, "fpn") == {"recipe.lr": 1, "neck.width": 32}
    assert engine._sets_of(sets, "ssd") == {"recipe.lr": 1}


def test_a_job_survives_being_written(tmp_path: Path) -> None:
    job = Job("fpn-s0", "fpn", "small", 0, "scenes", "60s", "/x", sets={"recipe.lr": 0.1})
    job.save(tmp_path / "j.json")
    assert Job.read(tmp_path / "j.json") == job


def test_how_a_training_ended_is_told(tmp_path: Path) -> None:
    (tmp_path / "jobs").mkdir()
    state = engine.State(Job("x-s0", "fpn", "small", 0, "scenes", "60s", str(tmp_path / "x-s0")))
    engine._ended(state, -signal.SIGKILL, tmp_path)
    assert state.status == "failed" and "SIGKILL" in state.error
    (tmp_path / "jobs" / "x-s0.error").write_text("the loss is not a finite number")
    engine._ended(state, 2, tmp_path)
    assert state.error == "the loss is not a finite number"


TINY = {"data": "scenes:64:24", "budget": "2steps", "validations": 2, "limit": 4, "batch": 2}


@pytest.mark.slow
def test_two_systems_are_trained_measured_reported_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import stemma

    monkeypatch.setenv("STEMMA_CACHE", str(tmp_path / "cache"))
    out, more = tmp_path / "c", TINY | {"data": "scenes:64:80", "limit": 8}
    done = stemma.compare(["fcn", "u-net", "retinanet"], out=out, seeds=1, **more)
    assert not done.failed and (out / "report.html").is_file()
    r = json.loads((out / "results.json").read_text())
    assert [s["id"] for s in r["systems"]] == ["fcn", "u-net", "retinanet"]
    for s in r["systems"]:
        assert s["summary"][s["main"]]["untrained"] is not None
        for k in ("parameters", "flops", "images_per_second", "latency_ms", "peak_memory_mb"):
            assert s["summary"][k]["mean"] > 0, k
        assert len(s["curves"][0]["points"]) == 2
        trial = json.loads((out / f"{s['id']}-s0" / "trial.json").read_text())
        assert (trial["split"], trial["images_measured"], trial["split_images"]) == ("test", 8, 8)
        kept = Tallies.read(out / f"{s['id']}-s0" / FILE)
        low, high = s["summary"][s["main"]]["interval"]
        assert len(kept.order) == 8 and low <= s["summary"][s["main"]]["mean"] <= high
        value = kept.by_measure[s["main"]].at(np.ones((1, 8)))
        assert value == pytest.approx(s["summary"][s["main"]]["values"], abs=1e-9)
    assert (r["data"]["split"], r["data"]["measured"], r["data"]["whole"]) == ("test", 8, 8)
    (lead,) = r["leads"]["mIoU"]
    (step,) = r["edges"]
    sign = 1 if lead["first"] == "u-net" else -1
    assert lead["pictures"] == 8 and sorted(sign * v for v in lead["interval"]) == pytest.approx(step["interval"])
    assert "measured on 8 pictures of test" in (out / "report.html").read_text()
    assert [(e["parent"], e["child"]) for e in r["edges"]] == [("fcn", "u-net")]
    before = {p: p.stat().st_mtime_ns for p in out.glob("*/trial.json")}
    stemma.compare(["fcn", "u-net", "retinanet"], out=out, seeds=1, **more)
    assert {p: p.stat().st_mtime_ns for p in out.glob("*/trial.json")} == before


@pytest.mark.slow
def test_a_failure_is_reported_and_the_others_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import stemma

    monkeypatch.setenv("STEMMA_CACHE", str(tmp_path / "cache"))
    done = stemma.compare(["fcn", "u-net"], out=tmp_path / "c", sets={"u-net:recipe.lr": 1e38},
                          **TINY | {"budget": "4steps"})
    (failed,) = done.failed
    assert failed["title"] == "u-net" and failed["status"] == "failed" and "finite" in failed["error"]
    assert "Not finished" in (tmp_path / "c" / "report.html").read_text()


@pytest.mark.slow
def test_a_killed_comparison_resumes(tmp_path: Path) -> None:
    env = os.environ | {"STEMMA_CACHE": str(tmp_path / "cache")}
    words = [sys.executable, "-m", "stemma", "compare", "fcn", "--data", "scenes:64:24", "--budget", "40steps",
             "--batch", "2", "--out", str(tmp_path / "c"), "--limit", "4"]
    first = subprocess.Popen(words, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    metrics = tmp_path / "c" / "fcn-s0" / "metrics.jsonl"
    until = time.monotonic() + 120
    while not (metrics.is_file() and metrics.stat().st_size) and time.monotonic() < until:
        time.sleep(0.1)
    first.kill()
    first.wait()
    assert not (tmp_path / "c" / "results.json").exists()
    done = subprocess.run(words, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (s,) = json.loads((tmp_path / "c" / "results.json").read_text())["systems"]
    assert s["runs"][0]["steps"] == 40


@pytest.mark.whole
def test_on_a_ray_cluster_of_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray", reason="a cluster: pip install 'stemma-vision[ray]'")
    import stemma

    monkeypatch.setenv("STEMMA_CACHE", str(tmp_path / "cache"))
    done = stemma.compare(["fcn", "u-net"], out=tmp_path / "c", on="ray", jobs=1, **TINY)
    assert not done.failed and len(done.results["systems"]) == 2


# ---------------------------------------------------------------- proposals and points


def test_quality_and_drawing_of_proposals_and_points() -> None:
    """Scene 0 answered by its truth, by nothing, and by boxes moved far away; what is drawn names the object that a
    proposal is nearest to."""
    from stemma.data.scenes import Scenes
    from stemma.engine.pictures.trial import show

    data = Scenes(4, size=64)
    truth, names = data.truth(0), list(data.info.classes.names)
    n = len(truth.labels)
    perfect = {"boxes": truth.boxes, "scores": np.linspace(1, 0.6, n), "labels": truth.labels}
    nothing = {k: v[:0] for k, v in perfect.items()}
    away = perfect | {"boxes": truth.boxes + 500}
    for task in ("proposals", "weak"):
        assert [quality(p, truth, data.info, task, 0.5) for p in (perfect, nothing, away)] == [1.0, 0.0, 0.0]
    drawn = show(perfect | {"labels": np.zeros(n, int), "masks": list(np.asarray(truth.masks))}, truth,
                 "proposals", names, 0.5)
    assert drawn["labels"] == [names[k] for k in truth.labels] and all(drawn["ok"]) and drawn["layer"] is not None
    assert show(nothing, truth, "proposals", names,
                0.5)["boxes"] == [] == show(away, truth, "proposals", names, 0.5)["boxes"]
    pointed = show(perfect, truth, "weak", names, 0.5)
    assert len(pointed["points"]) == len(set(truth.labels.tolist())) == len(pointed["boxes"]) and all(pointed["ok"])
    assert not any(show(away, truth, "weak", names, 0.5)["ok"]) and show(perfect, truth, "weak", names,
                                                                         1.1)["points"] == []


def test_what_a_system_is_ranked_by() -> None:
    """By its task's measure; a detector's AR100 is no common measure with a proposal method's,
    their points are with a weak system's."""
    def made(name: str, metrics: dict[str, float], task: str) -> dict[str, Any]:
        trial = {"paper": name, "preset": "small", "task": task, "metrics": metrics, "untrained": {},
                 "input": [128, 128], "batch": 8, "weights": "last",
                 "precision": "fp32", "images": 10, "seed": 0, "curve": [], "per_class": {}}
        return results.system(name, [trial], [])

    detector = made("fpn", {"AP": 0.3, "AR100": 0.4, "point_AP": 0.6}, "detection")
    proposer = made("retinanet", {"AR10": 0.2, "AR100": 0.5}, "proposals")
    weak = made("yolo_v1", {"point_AP": 0.5, "image_AP": 0.7}, "weak")
    assert [s["main"] for s in (detector, proposer, weak)] == ["AP", "AR100", "point_AP"]
    assert results.gain(detector, proposer)["gain"] is None
    assert (results.gain(detector, weak) | {"spread": None, "overlap": None}
            == {"metric": "point_AP", "gain": pytest.approx(-0.1), "spread": None, "overlap": None})
    assert results.gain(proposer, proposer)["metric"] == "AR100"
    assert made("fpn", {"AR100": None}, "proposals")["main"] == "AR100"  # type: ignore[dict-item]


def test_a_training_that_begins_anew_forgets_what_it_warned_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """That a full disk did not take its weights is not so any more; what it goes on from keeps its warnings."""
    from stemma.engine.comparing import trial

    noted, run_folder = tmp_path / "a.warnings", tmp_path / "run"
    run_folder.mkdir()
    monkeypatch.setattr(trial.Job, "read", lambda _: type("Job", (), {"folder": str(run_folder)})())
    monkeypatch.setattr(trial, "run", lambda job, file: warnings.warn("now", UserWarning, stacklevel=1))
    monkeypatch.setattr(trial.interrupts, "end_with_parent", lambda: None)
    for there, said in ((False, ["now"]), (True, ["before", "now"])):
        noted.write_text(json.dumps("before") + "\n")
        if there:
            (run_folder / "state.safetensors").touch()
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            assert trial.main([str(tmp_path / "a.json")]) == 0
        assert trial.warnings_in(noted) == said
