"""Training from end to end on small scenes: what a run leaves, what ends it, and what it refuses."""
from __future__ import annotations

import json
import math
import time
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import stemma
from engine_help import SETS, scenes, script, short
from stemma.core import memory
from stemma.core import paper as papers
from stemma.core.part import leaves
from stemma.core.recipe import Phase
from stemma.core.types import DataError, StemmaError
from stemma.data.open import open_pair, spread, suited
from stemma.engine import wings
from stemma.engine.pictures import trainer
from stemma.engine.pictures.fit import train
from stemma.engine.pictures.measure import measure
from stemma.engine.pictures.trainer import Trainer
from stemma.engine.running import checkpoint, devices, optim
from stemma.engine.running.devices import seed_step
from stemma.engine.running.runs import Run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return short(tmp_path_factory.mktemp("engine") / "run", "8steps", log_every=2)


def test_a_run_leaves_its_record(run: Run) -> None:
    r = run.record
    assert (r["paper"] == "retinanet" and r["preset"] == "small" and r["state"] == "finished"
            and r["budget"] == "8steps" and r["seed"] == 0)
    assert r["spent"]["steps"] == 8 and r["spent"]["images"] == 32 and r["spent"]["epochs"] == pytest.approx(8 / 6)
    assert (r["recipe"]["resize"]["size"] == 64 and r["sets"] == SETS | {"rule.score": 0.001}
            and r["data"]["fingerprint"] == scenes().fingerprint)
    m: Any = run.load()
    assert r["spec"] == {k: checkpoint.jsonable(v) for k, v in leaves(m.spec)} and len(r["spec"]) > 20
    assert r["versions"]["torch"] == torch.__version__ and r["parameters"] == sum(p.numel() for p in m.parameters())
    assert {p.name for p in run.path.iterdir()} == {"run.json", "metrics.jsonl", "best.safetensors", "last.safetensors",
                                                    "state.safetensors"}


def test_metrics_are_lines_of_json(run: Run) -> None:
    lines = list(run.metrics())
    assert ([e["step"] for e in run.metrics("train")] == [2, 4, 6, 8]
            and [e["step"] for e in run.metrics("val")] == [4, 8])
    for e in lines:
        assert {"kind", "step", "images", "seconds", "epoch", "loss", "losses"} <= e.keys() and math.isfinite(e["loss"])
        assert e["images"] == e["step"] * 4 and e["loss"] == pytest.approx(sum(e["losses"].values()), rel=1e-4)
    assert all("AP" in e and "AP50" in e and e["val_images"] == 6 for e in lines if e["kind"] == "val")
    assert all(e["lr"] > 0 for e in lines if e["kind"] == "train")


def test_the_trained_model_is_loaded_with_its_card(run: Run) -> None:
    m: Any = stemma.load(run.path)
    assert (m.paper.name == "retinanet" and m.recipe.resize.size == 64 and m.info.classes == scenes().info.classes
            and not m.training)
    tensors, meta = checkpoint.read_tensors(run.best)
    assert (all(torch.equal(v, tensors[k]) for k, v in m.state_dict().items())
            and meta["step"] == run.record["best"]["step"])
    found = m.predict(torch.rand(1, 3, 64, 64))
    assert found.boxes.shape[-1] == 4


def test_evaluate_takes_models_runs_and_paths(run: Run) -> None:
    val = scenes(6, "val")
    results = [stemma.evaluate(x, val, device="cpu", precision="fp32", losses=True)
               for x in (run, run.path, run.best, run.load())]
    for r in results:
        for how_fast in ("images_per_second", "timed_by"):  # with other work beside, another clock may be told
            r.pop(how_fast)
    assert all(r == results[0] for r in results) and results[0]["images"] == 6 and results[0]["task"] == "detection"
    assert results[0]["split"] == "val" and results[0]["split_images"] == 6 and "AP" in results[0]["intervals"]
    best = next(e for e in run.metrics("val") if e["step"] == run.record["best"]["step"])
    assert results[0]["AP"] == best["AP"] and results[0]["loss"] == pytest.approx(best["loss"], rel=1e-6)


def test_evaluation_writes_coco_results(run: Run, tmp_path: Path) -> None:
    val = scenes(6, "val")
    stemma.evaluate(run, val, device="cpu", out=tmp_path / "found.json")
    found = json.loads((tmp_path / "found.json").read_text())
    assert found and {"image_id", "category_id", "bbox", "score"} <= found[0].keys()
    assert ({e["image_id"] for e in found} <= {val.truth(i).id for i in range(6)}
            and {e["category_id"] for e in found} <= set(val.info.classes.ids))


def test_same_seed_same_weights_and_another_seed_others(run: Run, tmp_path: Path) -> None:
    again = short(tmp_path / "again", "8steps", val_every=0.25, save_every="1steps")
    other = short(tmp_path / "other", "8steps", seed=1)
    last = lambda r: (r.path / "last.safetensors").read_bytes()  # noqa: E731
    assert last(again) == last(run)  # validating and saving more often changes nothing
    assert last(other) != last(run)


def test_semantic_and_instance_papers_train(tmp_path: Path) -> None:
    sets = {"recipe.batch": 2}
    for paper, metric in (("fcn", "mIoU"), ("mask-rcnn", "mask_AP")):
        r = short(tmp_path / paper, "2steps", paper, data=scenes(4), val=scenes(2, "val"), batch=2,
                  sets=sets, val_every=0)
        assert metric in next(r.metrics("val"))


def test_time_budget_ends_and_counts_training_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(*a: Any, **k: Any) -> Any:
        until = time.process_time() + 0.6
        while time.process_time() < until:
            pass
        return measure(*a, **k)

    monkeypatch.setattr(trainer, "measure", slow)
    r = short(tmp_path / "timed", "0.6s", val_every=0.5, log_every=1)
    seconds = [e["seconds"] for e in r.metrics("train")]
    # the first step past it is the last (a line rounds to a thousandth);
    # two validations worked as long as the whole training
    assert seconds[-1] >= 0.6 >= max([0.0, *seconds[:-1]])
    rates = [e["lr"] for e in r.metrics("train")]
    assert rates[-1] < max(rates)  # decayed by the clock


def test_accumulation_sees_as_many_pictures_a_step(tmp_path: Path) -> None:
    r = short(tmp_path / "parts", "3steps", sets={"recipe.accumulate": 2}, log_every=1)
    assert r.record["spent"] == r.record["spent"] | {"steps": 3, "images": 12, "epochs": 0.5}
    with pytest.raises(StemmaError, match="choose a multiple"):
        short(tmp_path / "odd", "3steps", sets={"recipe.accumulate": 3})


# as CUDA says it, and the processor
NO_ROOM = [torch.OutOfMemoryError("too little memory"),
           RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes.")]


@pytest.mark.parametrize("full", NO_ROOM)
def test_a_batch_that_does_not_fit_is_taken_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, full: Exception) -> None:
    losses = Trainer._losses

    def small(most: int) -> Any:
        def limited(self: Trainer, batch: Any) -> Any:
            if len(batch) > most:
                raise full
            return losses(self, batch)

        return limited

    monkeypatch.setattr(Trainer, "_losses", small(2))
    r = short(tmp_path / "run", "0.3s", batch=8, val_every=0)
    spent = r.record["spent"]
    assert spent["images"] == 8 * spent["steps"] and spent["epochs"] == pytest.approx(spent["images"] / 24)
    assert checkpoint.read_meta(r.path / "state.safetensors")["parts"] == 4
    monkeypatch.setattr(Trainer, "_losses", small(0))
    with pytest.raises(StemmaError, match="8 parts does not fit into the memory of cpu; a part is one picture already; --batch 4 is"):
        short(tmp_path / "none", "0.3s", batch=8)
    with pytest.raises(StemmaError, match="batch of 6 in 1 part does .*recipe.accumulate=2 takes .*; --batch 3 is half of it$"):
        short(tmp_path / "steps", "3steps", batch=6)
    with pytest.raises(StemmaError, match="batch of 1 in 1 part does .*; a smaller --size or another preset is left$"):
        short(tmp_path / "one", "3steps", batch=1)


def test_a_word_is_said_before_memory_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once, with what would take less; a system that kills says nothing. The machine's own numbers make sense."""
    room = memory.free()
    assert room is None or 0 < room[0] <= room[1]
    monkeypatch.setattr(memory, "EVERY", 0.01)
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        short(tmp_path / "quiet", "2steps", batch=2)
    monkeypatch.setattr(memory, "free", lambda: (2**28, 2**34))
    with pytest.warns(RuntimeWarning, match=r"nearly full: 0.2 of 16.0 GiB are left.*recipe.accumulate=2.*--batch 1") as told:
        short(tmp_path / "run", "2steps", batch=2)
    assert sum("nearly full" in str(w.message) for w in told) == 1
    monkeypatch.undo()
    monkeypatch.setattr(memory.Path, "read_text", lambda self, **k: "MemAvailable: 1 kB\nMemTotal: 9 kB" if self.name == "meminfo" else
                        {"cgroup": "0::/x", "memory.max": "max", "memory.current": "5"}[self.name])
    assert memory.free() == (1024, 9 * 1024)  # a group without a limit
    limits = {"meminfo": "MemAvailable: 9 kB\nMemTotal: 9 kB", "cgroup": "9:name=systemd:/\n4:memory:/a:b/c",
              "memory.limit_in_bytes": "4096", "memory.usage_in_bytes": "4000", "memory.stat": "cache 9\ntotal_inactive_file 1000"}
    monkeypatch.setattr(memory.Path, "read_text", lambda self, **k: limits[self.name])
    assert memory.free() == (1096, 4096)


def test_phases_let_parts_sleep(tmp_path: Path) -> None:
    card = papers.get("retinanet")
    two = replace(card, recipe=lambda preset: replace(
        card.recipe(preset), phases=(Phase("head", 0.5, train="^head", losses="cls"), Phase("all", 0.5)), ema=0.0
    ))
    names: list[str] = []
    r = train(two, scenes(), "4steps", out=tmp_path / "run", sets=SETS, val=scenes(4, "val"), batch=4, device="cpu",
              progress=False, val_every=0, log_every=1)
    lines = [sorted(e["losses"]) for e in r.metrics("train")]
    assert lines[0] == ["cls"] == lines[1] and len(lines[2]) == 2, names


def test_a_sleeping_phase_changes_no_weights(tmp_path: Path) -> None:
    card = papers.get("retinanet")
    asleep = replace(card, recipe=lambda preset: replace(card.recipe(preset),
                                                         phases=(Phase("head", 1.0, train="^head"),), ema=0.0))
    model = checkpoint.build(card, "small", sets=SETS, info=scenes().info)
    fresh = {k: v.clone() for k, v in model.state_dict().items()}
    r = train(asleep, scenes(), "2steps", out=tmp_path / "run", sets=SETS, val=scenes(4, "val"), batch=4, device="cpu",
              progress=False, val_every=0, start=model)
    now = checkpoint.read_tensors(r.last)[0]
    moved = {k.split(".")[0] for k in fresh if not torch.equal(fresh[k], now[k]) and "running" not in k
             and "num_batches" not in k}
    assert moved == {"head"}


def test_loss_weights_weigh(tmp_path: Path) -> None:
    card = papers.get("retinanet")
    heavy = replace(card, recipe=lambda preset: replace(card.recipe(preset), loss_weights=(("box", 3.0),)))
    losses = []
    for name, c in (("plain", card), ("heavy", heavy)):
        r = train(c, scenes(), "1steps", out=tmp_path / name, sets=SETS, val=scenes(4, "val"), batch=4, device="cpu",
                  progress=False, val_every=0, log_every=1)
        losses.append(next(r.metrics("train"))["losses"])
    assert (losses[1]["box"] == pytest.approx(3 * losses[0]["box"])
            and losses[1]["cls"] == pytest.approx(losses[0]["cls"]))


def test_patience_ends_a_run_that_does_not_get_better(tmp_path: Path) -> None:
    r = short(tmp_path / "run", "20steps", sets={"recipe.lr": 0.0, "recipe.other_lr": 1e-30, "recipe.ema": 0.0},
              val_every=0.1, patience=2)
    assert r.state == "finished" and r.record["spent"]["steps"] < 20


def test_starting_from_other_weights(run: Run, tmp_path: Path) -> None:
    r = short(tmp_path / "run", "1steps", start=run.path,
              sets={"recipe.lr": 1e-30, "recipe.other_lr": 1e-30, "recipe.ema": 0.0}, val_every=0)
    assert r.record["start"]["left"] == [] and r.record["start"]["taken"] > 50
    old, new = checkpoint.read_tensors(run.best)[0], checkpoint.read_tensors(r.last)[0]
    assert all(torch.allclose(old[k], new[k], atol=1e-6) for k in old if "running" not in k and "num_batches" not in k)


# ---------------------------------------------------------------- what goes wrong


def test_a_loss_that_is_nan_names_the_pictures_and_keeps_good_weights(tmp_path: Path,
                                                                      monkeypatch: pytest.MonkeyPatch) -> None:
    data = scenes()
    losses = Trainer._losses

    def poisoned(self: Trainer, batch: Any) -> Any:
        said = losses(self, batch)
        return {k: v * (math.nan if 7 in batch.index.tolist() else 1.0) for k, v in said.items()}

    monkeypatch.setattr(Trainer, "_losses", poisoned)
    with pytest.raises(StemmaError) as said:
        short(tmp_path / "run", "30steps", data=data, val_every=0)
    text = str(said.value)
    assert ("not a finite number at step" in text and data.truth(7).file in text and "\n" not in text
            and "cls = nan" in text)
    kept, meta = checkpoint.read_tensors(tmp_path / "run" / "last.safetensors")
    assert (all(bool(torch.isfinite(v).all()) for v in kept.values() if v.is_floating_point())
            and f"at step {meta['step']} " in text)
    assert Run.open(tmp_path / "run").state == "failed" and "NaN" not in (tmp_path / "run" / "run.json").read_text()


def test_each_number_of_a_gradient_is_cut(tmp_path: Path) -> None:
    """A step of plain descent at rate 1 moves every weight by the bound at most."""
    sets = {"recipe.optimizer": "sgd", "recipe.momentum": 0.0, "recipe.weight_decay": 0.0, "recipe.warmup": 0.0,
            "recipe.ema": 0.0, "recipe.clip_value": 1e-3}
    still, moved = (short(tmp_path / str(lr), "1steps", sets=sets | {"recipe.lr": lr, "recipe.precision": "fp32"},
                          batch=16, val_every=0).load() for lr in (0.0, 1.0))
    off = torch.cat([(a - b).detach().flatten().abs() for a, b in zip(still.parameters(), moved.parameters())])
    assert off.max() == pytest.approx(1e-3, rel=1e-3) and 0 < off.median() < 1e-3


def test_weights_that_diverged_do_not_replace_good_ones(tmp_path: Path) -> None:
    with pytest.raises(StemmaError, match="no longer finite|weights from before"):
        short(tmp_path / "run", "30steps", sets={"recipe.optimizer": "sgd", "recipe.lr": 1e20, "recipe.warmup": 0.0,
                                                 "recipe.ema": 0.0}, save_every="1steps", val_every=0)
    file = tmp_path / "run" / "last.safetensors"
    assert not file.exists() or all(bool(torch.isfinite(v).all()) for v in checkpoint.read_tensors(file)[0].values()
                                    if v.is_floating_point())


def test_ctrl_c_saves_and_resume_ends_as_if_nothing_was(run: Run, tmp_path: Path,
                                                        monkeypatch: pytest.MonkeyPatch) -> None:
    import os
    import signal

    step = Trainer._step

    def interrupted(self: Trainer, *a: Any) -> None:
        if self.steps == 3:
            os.kill(os.getpid(), signal.SIGINT)
        step(self, *a)

    monkeypatch.setattr(Trainer, "_step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        short(tmp_path / "run", "8steps", log_every=2)
    assert Run.open(tmp_path / "run").state == "stopped"
    monkeypatch.undo()
    again = short(tmp_path / "run", "8steps", log_every=2, resume=True)
    assert (again.path / "last.safetensors").read_bytes() == (run.path / "last.safetensors").read_bytes()
    assert [e["step"] for e in again.metrics("val")] == [e["step"] for e in run.metrics("val")]


def test_folders_that_are_not_runs_are_left_alone(run: Run, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(StemmaError, match="not a run's"):
        short(tmp_path, "1steps")
    with pytest.raises(StemmaError, match="--resume"):
        short(run.path, "8steps")
    assert (tmp_path / "notes.txt").read_text() == "mine"
    with pytest.raises(StemmaError, match="no run at"):
        Run.open(tmp_path / "nowhere")


def test_resume_with_other_settings_or_data_is_refused(run: Run) -> None:
    with pytest.raises(StemmaError, match="seed = 0, not 1"):
        short(run.path, "8steps", seed=1, resume=True)
    with pytest.raises(StemmaError, match="other data"):
        short(run.path, "8steps", data=scenes(12), resume=True)
    with pytest.raises(StemmaError, match="was run with sets"):
        short(run.path, "8steps", sets={"recipe.lr": 0.5}, resume=True)
    assert short(run.path, "8steps", resume=True).record == run.record  # finished: nothing to do


def test_a_run_of_an_older_version_is_resumed_and_what_differs_is_named(tmp_path: Path) -> None:
    """Fields that came later are at their defaults; of a recipe that differs the fields are told and not the whole."""
    run = short(tmp_path / "run", "2steps")
    record = json.loads((run.path / "run.json").read_text())
    del record["recipe"]["difficult"], record["recipe"]["no_decay"]
    (run.path / "run.json").write_text(json.dumps(record))
    assert short(run.path, "4steps", resume=True).record["spent"]["steps"] == 4
    record["recipe"] |= {"lr": 9.0, "difficult": True}
    (run.path / "run.json").write_text(json.dumps(record))
    with pytest.raises(StemmaError) as told:
        short(run.path, "8steps", resume=True)
    said = str(told.value)
    assert "was run with recipe.lr = 9.0, not " in said and ("recipe.difficult = True, not False; resume with the "
                                                              "version that began it") in said
    assert "batch" not in said and len(said) < 400


def test_data_that_do_not_fit_are_refused_before_anything_is_made(tmp_path: Path) -> None:
    data = scenes(4)

    class Boxes:
        info = replace(data.info, kinds=("boxes",))
        fingerprint = "x"
        __len__, __getitem__, truth = data.__len__, data.__getitem__, data.truth

        def __len__(self) -> int:  # noqa: F811
            return len(data)

    with pytest.raises(DataError, match="needs boxes, masks"):
        train("mask-rcnn", Boxes(), "1steps", out=tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()


def test_mistakes_are_one_line(tmp_path: Path) -> None:
    for change, word in (
        ({"paper": "retinanot"}, "did you mean retinanet"), ({"preset": "huge"}, "it has: paper, small"),
        ({"budget": "soon"}, "cannot read the budget"),
        ({"sets": {"rule.nothing": 1}}, "no setting 'rule.nothing'"),
        ({"sets": {"recipe.lr": "fast"}}, "cannot read 'fast'"), ({"device": "tpu"}, "no device 'tpu'"),
        ({"val_every": 3.0}, "fraction"),
    ):
        settings: dict[str, Any] = {"paper": "retinanet", "data": scenes(2), "budget": "1steps",
                                    "out": tmp_path / "run", "progress": False} | change
        with pytest.raises(StemmaError) as said:
            train(**settings)
        assert word in str(said.value) and "\n" not in str(said.value)
    assert not (tmp_path / "run").exists()


# ---------------------------------------------------------------- small parts


def test_a_tenth_is_held_out_where_there_is_no_split() -> None:
    train_set, val_set = open_pair(scenes(30))
    assert (len(train_set), len(val_set)) == (27, 3)
    seen = {train_set.truth(i).id for i in range(27)}
    assert not seen & {val_set.truth(i).id for i in range(3)} and train_set.fingerprint != val_set.fingerprint


def test_random_numbers_of_a_step_depend_on_nothing_else() -> None:
    seed_step(3, 5, 0)
    first = torch.rand(4)
    torch.rand(100)
    seed_step(3, 5, 0)
    assert torch.equal(first, torch.rand(4))
    for other in ((3, 6, 0), (4, 5, 0), (3, 5, 1)):
        seed_step(*other)
        assert not torch.equal(first, torch.rand(4))


def test_spread_takes_pictures_from_all_over() -> None:
    few = spread(scenes(24), 4)
    assert [few.truth(i).id for i in range(len(few))] == [scenes(24).truth(i).id for i in (0, 6, 12, 18)]


def test_precision_is_picked_by_what_the_machine_does_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STEMMA_PRECISION", raising=False)
    assert devices.pick_precision("cpu", "fp32") == "fp32"
    assert devices.pick_precision("cpu") == ("bf16" if devices.cpu_gain() > 1.15 else "fp32")
    with pytest.raises(StemmaError, match="fp16 training wants a GPU"):
        devices.pick_precision("cpu", "fp16")
    state = torch.random.get_rng_state()
    devices.cpu_gain.cache_clear()
    devices.cpu_gain()
    assert torch.equal(state, torch.random.get_rng_state())


def test_the_environment_says_what_auto_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    auto = {"sets": {"recipe.precision": "auto"}, "data": scenes(4), "val": scenes(2, "val"), "val_every": 0}
    for wanted in ("bf16", "fp32"):
        monkeypatch.setenv("STEMMA_PRECISION", wanted)
        assert devices.pick_precision("cpu") == wanted and devices.pick_precision("cpu", "bf16") == "bf16"
        assert short(tmp_path / wanted, "1steps", **auto).record["precision"] == wanted
    monkeypatch.setenv("STEMMA_PRECISION", "fp8")
    with pytest.raises(StemmaError, match="no precision 'fp8'.*environment variable STEMMA_PRECISION"):
        devices.pick_precision("cpu")
    assert devices.pick_precision("cpu", "fp32") == "fp32"
    monkeypatch.setenv("STEMMA_PRECISION", "")
    assert devices.pick_precision("cpu") in ("fp32", "bf16")


def test_what_cannot_be_compiled_is_said_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from torch._inductor import config

    monkeypatch.setattr(config.cpp, "cxx", (None, "no-such-compiler"))
    with pytest.raises(StemmaError, match="wants a C.. compiler.*leave --compile out"):
        wings.train("retinanet", "scenes", "2steps", out=tmp_path / "run", compile=True, device="cpu")
    assert not (tmp_path / "run").exists()


def test_the_environment_says_what_the_device_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    for wanted in ("cpu", "cuda:1"):
        monkeypatch.setenv("STEMMA_DEVICE", wanted)
        assert devices.pick_device() == wanted and devices.pick_device("cuda:0") == "cuda:0"
    for wrong, message in (("tpu", "no device 'tpu'.*STEMMA_DEVICE"), ("cuda:2", "no 'cuda:2'.*STEMMA_DEVICE")):
        monkeypatch.setenv("STEMMA_DEVICE", wrong)
        with pytest.raises(StemmaError, match=message):
            devices.pick_device()
    monkeypatch.setenv("STEMMA_DEVICE", "")
    assert devices.pick_device() == "cuda"


def test_bf16_trains_where_it_is_asked_for(tmp_path: Path) -> None:
    r = short(tmp_path / "run", "2steps", precision="bf16", val_every=0)
    assert r.record["precision"] == "bf16" and next(r.metrics("val"))["loss"] > 0
    assert all(v.dtype != torch.bfloat16 for v in checkpoint.read_tensors(r.last)[0].values())


def test_deterministic_operators_are_asked_for_in_the_training_alone(tmp_path: Path,
                                                                     monkeypatch: pytest.MonkeyPatch) -> None:
    losses, seen = Trainer._losses, []

    def watched(self: Trainer, batch: Any) -> Any:
        seen.append(torch.are_deterministic_algorithms_enabled())
        return losses(self, batch)

    monkeypatch.setattr(Trainer, "_losses", watched)
    one, two = (short(tmp_path / name, "2steps", deterministic=True, val_every=0) for name in "ab")
    assert len(seen) == 4 and all(seen) and not torch.are_deterministic_algorithms_enabled()
    assert one.last.read_bytes() == two.last.read_bytes()


def test_importing_stemma_imports_nothing_heavy() -> None:
    code = ("import sys, stemma; assert not {'torch', 'numpy', 'torchvision', 'PIL'} & set(sys.modules), "
            "sorted(sys.modules); assert 'train' in dir(stemma)")
    script(code)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        stemma.nothing  # noqa: B018
    assert stemma.build is checkpoint.build and optim.Muon is not None


def test_annotations_of_the_papers_kind_are_found(tmp_path: Path) -> None:
    (tmp_path / "annotations").mkdir()
    for name in ("instances_train2017", "person_keypoints_train2017"):
        (tmp_path / "annotations"
         / f"{name}.json").write_text(json.dumps({"images": [], "annotations": [], "categories": []}))
    assert suited(tmp_path, "keypoints") == (None, {"which": "person_keypoints"})
    assert suited(tmp_path, "detection") == (None, {})
    assert suited(tmp_path, "keypoints", None, {"which": "mine"}) == (None, {"which": "mine"})
    panoptic = {"images": [], "annotations": [{"image_id": 1, "file_name": "a.png", "segments_info": []}],
                "categories": []}
    (tmp_path / "annotations" / "panoptic_train2017.json").write_text(json.dumps(panoptic))
    assert suited(tmp_path, "panoptic") == ("panoptic", {}) and suited("scenes", "panoptic") == (None, {})


@pytest.mark.parametrize("text", ['{"tool": "x"}', "[1, 2]", "no json"])
def test_a_run_json_of_another_tool_is_no_run(tmp_path: Path, text: str) -> None:
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(StemmaError, match="run"):
        short(tmp_path, resume=True)
    assert (tmp_path / "run.json").read_text() == text and len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("narrow", [False, True])
def test_a_validation_leaves_the_layout_in_which_a_network_learns(narrow: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if narrow:
        monkeypatch.setattr(devices, "NARROW", 64)
    model: Any = stemma.build("fcn", "small", classes=len(scenes(2).info.semantic))
    laid = devices.layout(model, True, torch.device("cpu"))
    assert (laid is torch.contiguous_format) == narrow
    model.to(memory_format=laid)
    measure(model, scenes(2))
    wide = [m.weight for m in model.modules() if isinstance(m, torch.nn.Conv2d) and m.kernel_size == (3, 3)]
    assert wide and all(w.is_contiguous(memory_format=laid) for w in wide)
