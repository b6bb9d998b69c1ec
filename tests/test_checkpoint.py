"""Weights on disk: whole or not at all, never a pickle, and with what it takes to use them."""
from __future__ import annotations

import errno
import json
import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

import stemma
from engine_help import SETS, scenes, short
from stemma.core.recipe import Augment, Phase, Recipe, Resize
from stemma.core.types import Classes, DataError, Info, Points, StemmaError
from stemma.engine.pictures.measure import evaluate
from stemma.engine.pictures.trainer import Trainer
from stemma.engine.running import checkpoint, places


def model(seed: int = 0, info: Info | None = None) -> Any:
    torch.manual_seed(seed)
    return checkpoint.build("retinanet", "small", 4, sets=SETS, info=info)


def test_a_model_comes_back_with_all_that_it_needs(tmp_path: Path) -> None:
    info = scenes(1).info
    m = model(info=info).eval()
    checkpoint.save(tmp_path / "w.safetensors", m, step=7)
    back: Any = checkpoint.load(tmp_path / "w.safetensors")
    x = torch.rand(2, 3, 64, 64)
    a, b = m.predict(x), back.predict(x)
    assert torch.equal(a.boxes, b.boxes) and torch.equal(a.scores, b.scores)
    assert (back.info == info and back.recipe == m.recipe and back.spec == m.spec and back.preset == "small"
            and back.meta["step"] == 7)
    assert (back.meta["preprocess"]["mean"] == list(m.spec.preprocess.mean)
            and back.meta["info"]["classes"]["names"] == list(info.classes.names))


def test_a_model_has_a_class_or_more() -> None:
    for classes in (0, -1):
        with pytest.raises(StemmaError, match="classes must be 1 or more"):
            checkpoint.build("fcn", "small", classes)


def test_values_come_back_from_json() -> None:
    recipe = Recipe(lr_mult=(("a", 0.1),), loss_weights=(("b", 2.0),), phases=(Phase("p", 1.0),),
                    resize=Resize("square", 64, scales=(32, 64)), augment=Augment(crop=True))
    assert checkpoint.recipe_from(json.loads(json.dumps(recipe.as_dict()))) == recipe
    info = Info("n", "f", Classes(("a", "b"), (3, 9), (True, False), ("", "a")), ("boxes",), Classes(("x",)), None,
                Points(("l", "r"), (1, 0), ((0, 1),), (0.1, 0.1)))
    from dataclasses import asdict

    assert checkpoint.info_from(json.loads(json.dumps(asdict(info)))) == info


def test_equal_models_make_equal_files(tmp_path: Path) -> None:
    for name in "ab":
        checkpoint.save(tmp_path / name, model())
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_tied_and_sliced_tensors_are_saved_once_each(tmp_path: Path) -> None:
    whole = torch.arange(12.0)
    checkpoint.write_tensors(tmp_path / "t", {"a": whole[:6], "b": whole[3:], "c": whole}, {"format": 1})
    back, _ = checkpoint.read_tensors(tmp_path / "t")
    assert torch.equal(back["a"], whole[:6]) and torch.equal(back["b"], whole[3:]) and torch.equal(back["c"], whole)


# ---------------------------------------------------------------- files that are no checkpoint


class Evil:
    def __reduce__(self) -> Any:
        return os.mkdir, (os.environ["STEMMA_TEST_EVIL"],)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5, "torch", "legacy"])
def test_a_pickle_is_refused_and_never_run(tmp_path: Path, protocol: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEMMA_TEST_EVIL", str(tmp_path / "owned"))
    file = tmp_path / "model.safetensors"  # the name does not help
    if isinstance(protocol, int):
        file.write_bytes(pickle.dumps({"weights": Evil()}, protocol))
    else:
        torch.save({"weights": Evil()}, file, _use_new_zipfile_serialization=protocol == "torch")
    with pytest.raises(StemmaError, match="is a pickle.*from_torchvision"):
        checkpoint.load(file)
    assert not (tmp_path / "owned").exists()


def test_other_files_are_refused_in_one_line(tmp_path: Path) -> None:
    checkpoint.save(tmp_path / "good", model())
    whole = (tmp_path / "good").read_bytes()
    (tmp_path / "cut").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "text").write_text("hello, I am no model\n" * 20)
    save_file({"w": torch.zeros(2)}, tmp_path / "foreign")
    checkpoint.write_tensors(tmp_path / "newer", {"w": torch.zeros(2)}, {"format": 99})
    checkpoint.write_tensors(tmp_path / "state", {"w": torch.zeros(2)}, {"format": 1})
    for name, word in {
        "cut": "cut short", "empty": "not a whole safetensors", "text": "not a whole safetensors",
        "foreign": "not one that Stemma wrote",
        "newer": "install a newer", "state": "state of a training", "absent": "no checkpoint at",
    }.items():
        with pytest.raises(StemmaError) as said:
            checkpoint.load(tmp_path / name)
        assert word in str(said.value) and str(tmp_path / name) in str(said.value)
    (tmp_path / "folder").mkdir()
    with pytest.raises(StemmaError, match="no weights in"):
        checkpoint.load(tmp_path / "folder")


def test_weights_that_do_not_fit_say_which_setting_changed(tmp_path: Path) -> None:
    m = model()
    m.sets = {}  # as a version whose small preset has another size would read it
    state = {k: v for k, v in m.state_dict().items() if "head" not in k}
    checkpoint.save(tmp_path / "w", m, state)
    with pytest.raises(StemmaError, match="does not fit retinanet.*tensors differ, first 'head"):
        checkpoint.load(tmp_path / "w")


def test_a_setting_that_a_file_cannot_carry_is_told() -> None:
    m = model()
    m.sets = {"neck": m.spec.neck}
    with pytest.raises(StemmaError, match="setting 'neck' is a Part"):
        checkpoint.describe(m)


# ---------------------------------------------------------------- class lists


def test_a_class_list_that_disagrees_is_told_by_its_first_difference() -> None:
    info = scenes(1).info
    names = info.classes.names
    swapped = (names[1], names[0], *names[2:])
    m = model(info=info)
    checkpoint.check_classes(m, info)
    for other, words in ((swapped, (f"class 0 is '{swapped[0]}'", f"'{names[0]}' in the checkpoint")),
                         (names[:-1], (f"{len(names) - 1} classes", "'nothing'"))):
        with pytest.raises(DataError) as said:
            checkpoint.check_classes(m, Info("d", "x", Classes(other), ("boxes",)), "my/data")
        assert all(w in str(said.value) for w in (*words, "my/data", "field 'classes'"))
    with pytest.raises(DataError, match="built for 4"):
        checkpoint.check_classes(model(), info)


def test_evaluating_on_data_without_a_common_class_is_refused() -> None:
    data = scenes(2)
    m = model(info=Info("d", "x", Classes(tuple("abc")), ("boxes",)))
    with pytest.raises(DataError, match="has no class that the model knows"):
        evaluate(m, data, device="cpu")


# ---------------------------------------------------------------- a disk that is full


def _full(*_: Any) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def _closed(*_: Any) -> None:
    raise OSError(errno.EACCES, "Permission denied")


def test_weights_may_be_read_by_whom_other_new_files_may(tmp_path: Path) -> None:
    checkpoint.save(tmp_path / "w.safetensors", model())
    (tmp_path / "other").touch()
    assert (tmp_path / "w.safetensors").stat().st_mode == (tmp_path / "other").stat().st_mode


def test_a_full_disk_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "w.safetensors"
    checkpoint.save(file, model(0))
    before = file.read_bytes()
    monkeypatch.setattr(os, "fsync", _full)
    with pytest.raises(StemmaError, match="No space left.*the earlier file is untouched. Free some space.*--out"):
        checkpoint.save(file, model(1))
    assert file.read_bytes() == before and list(tmp_path.iterdir()) == [file]
    with pytest.raises(StemmaError, match="nothing was written"):
        checkpoint.save(tmp_path / "new", model(1))
    monkeypatch.setattr(os, "fsync", _closed)
    with pytest.raises(StemmaError, match="Permission denied; nothing was written. Choose another --out"):
        checkpoint.save(tmp_path / "new", model(1))
    assert list(tmp_path.iterdir()) == [file]


def test_a_full_disk_is_known_in_safetensors_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(checkpoint, "save_file", full)
    with pytest.raises(StemmaError, match="nothing was written. Free some space on the disk, or choose another --out"):
        checkpoint.save(tmp_path / "w.safetensors", model())


def test_a_file_that_the_system_cuts_off_keeps_the_old_one(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource", reason="only systems of the Unix kind limit files")
    file = tmp_path / "w.safetensors"
    checkpoint.save(file, model(0))
    before, limit = file.read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, limit[1]))  # a real write that really fails half-way
    try:
        with pytest.raises(StemmaError, match="the earlier file is untouched"):
            checkpoint.save(file, model(1))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert file.read_bytes() == before and list(tmp_path.iterdir()) == [file]


def test_training_outlives_a_disk_that_is_full_for_a_while(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    step, fsync = Trainer._step, os.fsync
    seen: list[int] = []

    def sometimes(fd: int) -> None:
        if full and not os.path.realpath(f"/proc/self/fd/{fd}").endswith("run.json"):
            seen.append(1)
            _full()
        fsync(fd)

    def counted(self: Trainer, *a: Any) -> None:
        nonlocal full
        full = 1 <= self.steps < 4
        step(self, *a)

    full = False
    monkeypatch.setattr(os, "fsync", sometimes)
    monkeypatch.setattr(Trainer, "_step", counted)
    run = short(tmp_path / "run", "6steps", save_every="1steps", val_every=0.5)
    assert run.state == "finished" and seen and checkpoint.read_meta(run.last)["step"] == 6


def test_a_disk_that_stays_full_ends_in_one_line_with_the_old_state(tmp_path: Path,
                                                                    monkeypatch: pytest.MonkeyPatch) -> None:
    step = Trainer._step

    def counted(self: Trainer, *a: Any) -> None:
        if self.steps == 2:
            monkeypatch.setattr(os, "fsync", _full)
        step(self, *a)

    monkeypatch.setattr(Trainer, "_step", counted)
    with pytest.raises(StemmaError, match="No space left") as said:
        short(tmp_path / "run", "4steps", save_every="1steps", val_every=0)
    assert "\n" not in str(said.value)
    assert checkpoint.read_meta(tmp_path / "run" / "state.safetensors")["steps"] == 2
    checkpoint.load(tmp_path / "run")


@pytest.mark.parametrize("setting,why", [
    ("backbone.widths=8", "cannot be built: levels"), ("neck.width=0", "fpn with neck.width=0 cannot be trained: "),
    ("stages=", "fpn with stages= cannot be trained: "),
])
def test_settings_with_which_nothing_can_be_built_or_run_get_one_line(setting: str, why: str, tmp_path: Path) -> None:
    name, _, value = setting.partition("=")
    with pytest.raises(StemmaError, match=why) as said:
        stemma.train("fpn", "scenes:64:4", "1steps", "small", tmp_path / "run", sets={name: value}, device="cpu",
                     progress=False)
    assert "\n" not in str(said.value) and said.value.__cause__ is not None
    for own in ({}, {"recipe.lr": 1.0}):  # of a system as its paper has it an error is no setting's
        assert checkpoint.told_of_sets("fpn", own, IndexError("x"), "built") is None


def test_who_names_no_run_is_told_those_that_are_there(tmp_path: Path) -> None:
    for name in ("fpn-s0", "ssd-s0"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "run.json").write_text("{}")
    there = f"; there are: {tmp_path / 'fpn-s0'}, {tmp_path / 'ssd-s0'}"
    for wrong, said in ((tmp_path / "fpn-seed0", "no checkpoint at"), (tmp_path, "no weights in")):
        with pytest.raises(StemmaError, match=said) as told:
            places.there(wrong)
        assert str(told.value).endswith(there)
    with pytest.raises(StemmaError, match="no checkpoint at .*fpn$"):
        places.there(tmp_path / "nowhere" / "fpn")
