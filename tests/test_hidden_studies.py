"""The studies of unseen classes and of whole objects: their parts on known answers, their pages, faults of a user."""
from __future__ import annotations

import json
import re
import warnings
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import stemma
from engine_help import scenes, short
from stemma import studies
from stemma.core.types import StemmaError
from stemma.data.readers.amodal import coco_a
from stemma.data.records import DataWarning
from stemma.data.scenes import Scenes
from stemma.metrics.detection import Picture, Record
from stemma.studies import annotators, temperature, unseen, whole


def test_pictures_with_an_object_of_a_held_out_class_are_left_out() -> None:
    data = scenes(24)
    left = unseen.without(data, (0, 6))
    held = [i for i in range(24) if not {0, 6} & set(data.truth(i).labels.tolist())]
    assert 0 < len(left) < 24 and [left[k].id for k in range(len(left))] == [data[i].id for i in held]
    with pytest.raises(stemma.StemmaError, match="every picture has an object of a class that is held out"):
        unseen.without(data, range(8))


def test_recall_is_of_the_objects_of_a_group_alone() -> None:
    """One of two discs is found exactly, the square by an IoU of .75: at five of ten thresholds and at none above."""
    record = Record(("disc", "square"), ("boxes",))
    boxes = np.array([[10.0, 10, 30, 30], [40, 10, 60, 30], [60, 60, 100, 100]])
    found = np.array([[10.0, 10, 30, 30], [60, 60, 90, 100]])
    record.add(Picture(0, (120, 120), boxes, np.array([0, 0, 1]), np.zeros(3, bool), np.array([400.0, 400, 1600]),
                       found, np.array([0.9, 0.8]), np.zeros(2, int)))
    assert unseen.recall(record, (0,)) == pytest.approx([0.5] * 3)
    assert unseen.recall(record, (1,)) == pytest.approx([0.6] * 3)
    assert unseen.recall(record, (0, 1)) == pytest.approx([1.6 / 3] * 3)


def test_what_was_held_out_stands_beside_the_same_classes_where_they_were_seen() -> None:
    rows = [{"name": "A", "recall": [[0.1] * 3, [0.5] * 3]}, {"name": "A", "recall": [[0.4] * 3, [0.3] * 3]}]
    _, said = unseen.table({"held": ["disc", "square"], "rows": rows})
    assert [r[:3] for r in said] == [["A", "seen", "0.450 ± 0.071"], ["A", "held out", "0.200 ± 0.141"],
                                     ["A", "difference", "-0.250 ± 0.071"]]


def test_the_study_goes_on_where_it_was_stopped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["faster-rcnn", "attractionet", "--data", "scenes:64:40", "--without", "disc,star", "--without", "square",
             "--budget", "1steps", "--limit", "3", "--out", str(tmp_path / "out"), "--device", "cpu"]
    unseen.main(words)
    said, page = capsys.readouterr().out, (tmp_path / "out" / "unseen.html").read_text()
    assert said.count("held out") == 2 and "disc,star; square" in page
    runs = sorted(p.parent for p in (tmp_path / "out").glob("*/run.json"))
    assert [p.name for p in runs] == ["attractionet-0", "attractionet-1", "faster-rcnn-0", "faster-rcnn-1"]
    before = [(p / "last.safetensors").stat().st_mtime_ns for p in runs]
    unseen.main(words)
    assert [(p / "last.safetensors").stat().st_mtime_ns for p in runs] == before
    with pytest.raises(stemma.StemmaError, match="two groups of classes or more"):
        unseen.study(["faster-rcnn"], "scenes:64:40", tmp_path / "b", ["disc", "disc,star"])


def test_three_answers_of_one_net(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The modal answer is the first net's; what grows has boxes at least as large; and the model stays as it was."""
    torch.manual_seed(0)
    data = scenes(2, "val")
    model: Any = stemma.build("amodal-instance", "small", info=data.info).eval()
    torch.nn.init.constant_(model.head.score[0].bias, 3.0)  # everything is warm
    was = model.rule
    images = torch.rand(1, 3, 64, 64)
    first = model.modal.rule.predict(model.modal, model.modal(images), None)
    with whole.answering(model, "seen"):
        assert torch.equal(model.predict(images).boxes, first.boxes)
    sizes = {}
    for how in ("at once", "grown"):
        with whole.answering(model, how):
            assert (model.rule.grow is None) == (how == "at once")
            d = model.predict(images)
            sizes[how] = ((d.boxes[..., 2:] - d.boxes[..., :2]).prod(-1) * (d.labels >= 0)).sum()
    assert model.rule is was and "predict" not in model.__dict__ and sizes["grown"] >= sizes["at once"] > 0
    run = short(tmp_path / "run", "2steps", paper="amodal-instance", val_every=0)
    whole.main([str(run.path), "--data", "scenes:64:20", "--limit", "2", "--out", str(tmp_path / "out"), "--device",
                "cpu"])
    assert capsys.readouterr().out.count("at once") == 1 and (tmp_path / "out" / "whole.html").is_file()
    other = short(tmp_path / "other", "1steps", paper="retinanet", val_every=0)
    with pytest.raises(stemma.StemmaError, match="says nothing of whole objects"):
        whole.study([run.path, other.path], scenes(1, "val"), tmp_path / "c")
    mask = short(tmp_path / "mask", "1steps", paper="semantic-amodal", val_every=0)
    rows = whole.study([mask.path], scenes(1, "val"), tmp_path / "d", "val", 1, device="cpu")["rows"]
    assert [r["answer"] for r in rows] == ["whole"] and 0 <= rows[0]["mask_AR100"] <= 1


def test_a_perfect_whole_answer_is_perfect_where_nothing_or_much_is_hidden() -> None:
    """The true whole masks as the answer: every measure 1; the true seen masks: less, where something is hidden."""
    data = scenes(30, "val")
    for which, least in (("amodal", 1.0), ("masks", 0.0)):
        found = _answers(data, which)
        numbers = whole.numbers(found)
        assert numbers["mask_AR100_none"] == pytest.approx(1.0)
        assert numbers["AR100 of hidden"] >= least and (which == "amodal") == (numbers["mask_AR100_heavy"] == 1.0)


def _answers(data: Any, which: str) -> Any:
    from stemma.metrics import Evaluator

    found = Evaluator(data.info, "amodal", kinds=("boxes", "masks"))
    for i in range(len(data)):
        truth = data.truth(i)
        masks = getattr(truth, which)
        found.add(truth, {"masks": masks, "scores": np.ones(len(masks)), "labels": np.zeros(len(masks), int)}, i)
    return found


@pytest.mark.whole
def test_answers_without_classes_are_measured_on_objects_of_any(tmp_path: Path) -> None:
    """Data of other classes are no obstacle to proposals and whole regions; to a detector they are."""
    from stemma.data.convert import convert

    convert("scenes:64:20", "coco-a", tmp_path / "other")
    for paper, of in (("amodal-instance", "predict"), ("attractionet", "predict"), ("faster-rcnn", "proposals")):
        run = short(tmp_path / paper, "1steps", paper=paper, val_every=0)
        found = stemma.evaluate(run, str(tmp_path / "other"), split="test", of=of, device="cpu")
        same = stemma.evaluate(run, "scenes:64:20", split="test", of=of, device="cpu")
        key = "mask_AR100" if paper == "amodal-instance" else "AR100"
        assert found["images"] == same["images"] == 2 and found[key] == pytest.approx(same[key]), paper
    with pytest.raises(stemma.StemmaError, match="has no class that the model knows"):
        stemma.evaluate(run, str(tmp_path / "other"), split="test", device="cpu")


def test_annotators_agree_less_on_what_is_hidden_and_files_with_several_are_read(tmp_path: Path,
                                                                                capsys: pytest.CaptureFixture[str]) -> None:
    still = annotators.numbers(annotators.drawn(12, 0.0))
    assert still["F"] == still["order"] == 1 and set(still["IoU"].values()) <= {1.0, None}
    shaken = annotators.numbers(annotators.drawn(40, 0.08))
    assert shaken["IoU"]["heavy"] < shaken["IoU"]["none"] < 1 and shaken["F"] < 1 and shaken["ordered"] > 20
    data = Scenes(3, size=64, seed=2)
    doc = coco_a(data)
    doc["annotations"] += [{**a, "id": 9 + k} for k, a in enumerate(doc["annotations"])]
    (tmp_path / "two.json").write_text(json.dumps(doc))
    annotators.main([str(tmp_path / "two.json"), "--out", str(tmp_path / "out")])
    record = json.loads((tmp_path / "out" / "annotators.json").read_text())
    assert record["pairs"] == 3 and record["F"] == record["order"] == 1.0
    assert "3 pairs of annotations: F 1.000" in capsys.readouterr().out
    (tmp_path / "one.json").write_text(json.dumps(coco_a(data)))
    with pytest.raises(StemmaError, match="no picture has two annotations"):
        annotators.main([str(tmp_path / "one.json"), "--out", str(tmp_path / "no")])


STUDIES = sorted(p.stem for p in Path(studies.__file__).parent.glob("[a-z]*.py"))


@pytest.mark.parametrize("name", STUDIES)
def test_every_study_says_what_it_is_asked_and_takes_a_mistake_with_a_line(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each argument is told, with its default; a line that cannot be read is a `StemmaError`, and the module is run by
    `interrupts.command`, which makes one line of that and of Ctrl-C."""
    module = import_module(f"stemma.studies.{name}")
    assert "    interrupts.command(main)\n" in Path(str(module.__file__)).read_text()
    with pytest.raises(SystemExit):
        module.main(["--help"])
    said = capsys.readouterr().out
    assert said.startswith(f"usage: python -m stemma.studies.{name}") and "SUPPRESS" not in said
    options = [x for x in said.splitlines() if re.match(r"  (--|[a-z{])", x)]
    below = said.splitlines()
    assert options and all(len(x.split()) > 2 or below[below.index(x) + 1].startswith(" " * 20) for x in options), said
    with pytest.raises(StemmaError, match=f"see `python -m stemma.studies.{name} --help`"):
        module.main(["--nonsense"])


def test_what_a_study_keeps_is_json_that_any_program_reads(tmp_path: Path) -> None:
    studies.keep(tmp_path / "a.json", {"x": [float("nan"), float("inf"), np.float32(0.5)], "y": (1, np.arange(2))})
    assert json.loads((tmp_path / "a.json").read_text(), parse_constant=pytest.fail) == {
        "x": [None, None, 0.5], "y": [1, [0, 1]]}
    for name in STUDIES:
        assert "put_text(file, json" not in Path(str(import_module(f"stemma.studies.{name}").__file__)).read_text(), name


def test_a_warning_of_a_study_is_told_once_as_a_note(capsys: pytest.CaptureFixture[str]) -> None:
    from stemma.core import interrupts

    def warned() -> None:
        for _ in range(2):
            warnings.warn("a picture\n is left out", DataWarning, stacklevel=1)

    with pytest.raises(SystemExit):
        interrupts.command(warned)
    assert capsys.readouterr().err == "note: a picture is left out\n"


def test_a_class_that_is_none_is_said_of_the_option_that_named_it() -> None:
    with pytest.raises(StemmaError, match="^--without disc,moon: there is no class 'moon' among "):
        unseen.main(["fpn", "--data", "scenes:64:4", "--without", "disc,moon", "--out", "x"])


def test_numbers_that_a_study_cannot_take_are_a_line() -> None:
    for words, said in (["--scenes", "0"], "'0' is no whole number of 1 or more"), (
            ["--noise", "nan"], "'nan' is no number of 0 or more"), (["--seed", "-1"], "of 0 or more and 4,294,967,295"):
        with pytest.raises(StemmaError, match=f"argument {words[0]}: .*{said}"):
            annotators.main(words)
    with pytest.raises(StemmaError, match="'0' is no number above 0"):
        temperature.main(["run", "--temperatures", "1", "0"])


def test_a_mistake_at_a_study_is_a_line_and_no_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    from stemma.core import interrupts

    with pytest.raises(SystemExit) as ended:
        interrupts.command(lambda: whole.main(["nowhere", "--data", "scenes:64:4"]))
    said = capsys.readouterr().err
    assert ended.value.code == 2 and said.startswith("error: ") and "nowhere" in said and said.count("\n") == 1
