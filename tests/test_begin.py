"""How a training on new pictures begins: what is chosen, for whom, what overrules it, and that it is said and kept."""
from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import stemma
from made_data import make_yolo
from stemma.core import paper as cards
from stemma.core.types import StemmaError
from stemma.data.look import Look
from stemma.data.open import open_dataset
from stemma.data.scenes import Scenes
from stemma.engine.pictures import advice as first
from stemma.engine.pictures.advice import Begin, working_size
from stemma.engine.pictures.begin import Wish, choose, settings

FPN, SSD = cards.get("fpn"), cards.get("ssd")
SMALL: dict[str, Any] = {"budget": "1steps", "batch": 4, "device": "cpu", "progress": False, "val_every": 0,
                         "precision": "fp32"}


def seen(**what: Any) -> Look:
    return Look(**{"pictures": 100, "short": 480, "upright": True, "why": "because", "tenth": 0.1, **what})


@pytest.mark.parametrize("tenth,short,size,says", [
    (0.2, 480, 128, "as the preset, a tenth of the objects is smaller than 26 pixels there, 16 are asked"),
    (0.1, 480, 160, "a tenth of the objects is smaller than 16 pixels there, 16 are asked"),
    (0.08, 480, 224, "a tenth of the objects is smaller than 18 pixels there, 16 are asked"),
    (0.02, 480, 256, "smaller than 5 pixels there; 16 would take 800, but 2 times the preset's is the most"),
    (0.02, 256, 256, "16 would take 800, but 2 times the preset's is the most"),  # nor have the pictures more
    (0.05, 200, 192, "16 would take 320, but the pictures have no more"),
    (0.05, 64, 128, "the pictures have no more"),
    (None, 480, 128, "no boxes say how large things are"),
])
def test_the_size_follows_the_smallest_tenth_within_bounds(tenth: float | None, short: int, size: int,
                                                           says: str) -> None:
    found, why = working_size(seen(tenth=tenth, short=short), 128)
    assert found == size and says in why


def test_one_line_says_what_was_chosen_and_why() -> None:
    for upright, words in ((True, "; upright: because, so pictures are mirrored left to right alone"),
                           (False, "; no upright: because, so pictures are turned too"),
                           (None, "; taken for upright: because, so pictures are mirrored left to right alone")):
        chosen = first.of(seen(upright=upright), 128)
        assert chosen.says.startswith("size 160: ") and chosen.says.endswith(words) and "\n" not in chosen.says
        assert chosen.upright is (upright is not False)


@pytest.mark.parametrize("wish, sets, said", [
    (Wish(), {}, (True, True)), (Wish(160), {}, (False, True)), (Wish("auto", "yes"), {}, (True, False)),
    (Wish(), {"size": 160}, (False, True)), (Wish(), {"recipe.augment.quarter": 0.5}, (True, False)),
])
def test_only_what_is_left_to_the_data_is_said(wish: Wish, sets: dict[str, Any], said: tuple[bool, bool],
                                               tmp_path: Path) -> None:
    make_yolo(tmp_path)
    chosen = choose([(FPN, "small", sets)], open_dataset(tmp_path), wish)
    assert chosen and (chosen.says.startswith("size "), "upright: " in chosen.says) == said
    both = choose([(FPN, "small", sets), (SSD, "small", {})], open_dataset(tmp_path), Wish())
    assert both and both.says.startswith("size ") and "upright: " in both.says, "one of the two leaves it"


def test_what_is_asked() -> None:
    assert (Wish.of() == Wish() == Wish.of("auto", "auto")
            and Wish.of("160", "no").sets == {"size": 160, "upright": "no"})
    assert Wish.of(160, True).sets == {"size": 160, "upright": "yes"} and Wish.of("preset", "preset").sets == {}
    for size, upright in (("large", None), (0, None), ("-3", None), (None, "maybe"), (1.5, None)):
        with pytest.raises(StemmaError, match="takes"):
            Wish.of(size, upright)  # type: ignore[arg-type]


@pytest.mark.parametrize("preset,sets,wish,gains", [
    ("small", {}, Wish(), {"size": 160, "upright": "yes"}),
    ("paper", {}, Wish(), {}),
    ("small", {"size": 96}, Wish(), {"upright": "yes"}),
    ("small", {"recipe.resize.size": 96}, Wish(), {"upright": "yes"}),
    ("small", {"upright": "no"}, Wish(), {"size": 160}),
    ("small", {"recipe.augment.quarter": 0.2}, Wish(), {"size": 160}),
    ("small", {}, Wish("preset", "preset"), {}),
    ("small", {}, Wish(96, "no"), {"size": 96, "upright": "no"}),
    ("paper", {}, Wish(640, "no"), {"size": 640, "upright": "no"}),
])
def test_a_system_gains_what_it_leaves_open(preset: str, sets: dict[str, Any], wish: Wish,
                                            gains: dict[str, Any]) -> None:
    assert settings(FPN, preset, sets, wish, Begin(160, True, "")) == gains


def test_what_is_as_the_preset_has_it_is_no_setting() -> None:
    assert settings(FPN, "small", {}, Wish(), Begin(128, False, "")) == {}


def test_upright_is_a_setting_of_the_recipe() -> None:
    from stemma.engine.running.checkpoint import plan

    for preset, upright, want in (("small", "yes", (0, 0)), ("small", "no", (0.5, 0.5)), ("paper", "no", (0.5, 0.5)),
                                  ("paper", "yes", (0, 0))):
        augment = plan("fpn", preset, {"upright": upright})[2].augment
        assert (augment.vertical, augment.quarter) == want and augment.flip == 0.5
    assert plan("u_net", "paper", {"upright": "no"})[2].augment.quarter == 0.75  # its own is more
    assert plan("fpn", "small", {"upright": "yes", "recipe.augment.vertical": 0.2})[2].augment.vertical == 0.2
    with pytest.raises(StemmaError, match="upright takes yes or no"):
        plan("fpn", "small", {"upright": "perhaps"})


def test_nothing_is_looked_at_where_nothing_is_open(monkeypatch: pytest.MonkeyPatch) -> None:
    def no(data: Any) -> Any:
        raise AssertionError("looked at")

    monkeypatch.setattr(first, "look", no)
    data = Scenes(4)
    assert choose([(FPN, "small", {})], data, Wish()) is None  # drawn
    assert choose([(FPN, "paper", {}), (SSD, "ssd512", {})], data, Wish()) is None
    assert choose([(FPN, "small", {"size": 96, "upright": "yes"})], data, Wish()) is None
    assert choose([(FPN, "small", {})], data, Wish(96, "no")) is None


# ---------------------------------------------------------------- in trainings


def folder(root: Path, standing: bool, count: int = 80) -> Path:
    """COCO data of grey pictures of 96 x 128 with small objects, all in the lower half where they are `standing`."""
    rng = np.random.default_rng(0)
    doc: dict[str, Any] = {"images": [], "annotations": [], "categories": [{"id": 1, "name": "thing"}]}
    (root / "images" / "train").mkdir(parents=True)
    (root / "annotations").mkdir()
    for i in range(count):
        pixels = np.full((96, 128, 3), 90, np.uint8)
        for k in range(3):
            x, y = int(rng.integers(0, 116)), int(rng.integers(44 if standing else 0, 84))
            pixels[y : y + 12, x : x + 12] = 200
            doc["annotations"].append({"id": 3 * i + k + 1, "image_id": i, "category_id": 1,
                                       "bbox": [x, y, 12, 12], "area": 144,
                                       "iscrowd": 0})
        Image.fromarray(pixels).save(root / "images" / "train" / f"{i}.png")
        doc["images"].append({"id": i, "file_name": f"{i}.png", "height": 96, "width": 128})
    (root / "annotations" / "instances_train.json").write_text(json.dumps(doc))
    return root


@pytest.mark.parametrize("standing", [True, False])
def test_a_training_begins_as_its_pictures_are(standing: bool, tmp_path: Path,
                                               capfd: pytest.CaptureFixture[str]) -> None:
    data = folder(tmp_path / "data", standing)
    run = stemma.train("ssd", data, out=tmp_path / "run", **SMALL | {"progress": True})
    record = run.record
    assert record["begin"]["upright"] is standing and record["begin"]["size"] == 128
    assert record["sets"] == ({"upright": "yes"} if standing else {})
    assert record["recipe"]["augment"]["quarter"] == (0 if standing else 0.5)
    assert record["begin"]["says"] in capfd.readouterr().err
    paper: Any = stemma.build("ssd", sets={"recipe.resize.size": 300})
    assert paper.recipe.augment.vertical == 0


def test_a_resumed_training_keeps_its_beginning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = folder(tmp_path / "data", True)
    stemma.train("ssd", data, out=tmp_path / "run", **SMALL)
    monkeypatch.setattr(first, "look", lambda data: seen(upright=False, tenth=0.01))  # what it would say now
    again = stemma.train("ssd", data, out=tmp_path / "run", resume=True, **SMALL | {"budget": "2steps"})
    assert again.record["spent"]["steps"] == 2 and again.record["sets"] == {"upright": "yes"}
    with pytest.raises(StemmaError, match="was run with sets"):
        stemma.train("ssd", data, out=tmp_path / "run", resume=True, upright="no", **SMALL | {"budget": "2steps"})


def test_a_run_of_before_goes_on_as_it_was(tmp_path: Path) -> None:
    data = folder(tmp_path / "data", True)
    run = stemma.train("ssd", data, out=tmp_path / "run", size="preset", upright="preset", **SMALL)
    record = json.loads((run.path / "run.json").read_text())
    del record["begin"]
    (run.path / "run.json").write_text(json.dumps(record))
    again = stemma.train("ssd", data, out=tmp_path / "run", resume=True, **SMALL | {"budget": "2steps"})
    assert again.record["spent"]["steps"] == 2 and again.record["recipe"]["augment"]["vertical"] == 0.5


def test_a_comparison_begins_alike_and_says_so_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from stemma.engine.comparing import compare as module

    data = folder(tmp_path / "data", True)
    jobs: list[Any] = []
    told: list[str] = []

    def stop(work: list[Any], *rest: Any) -> Any:
        jobs.extend(work)
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "_run_all", stop)
    names = ["ssd", "yolo-v2", "fpn:paper"]
    with pytest.raises(KeyboardInterrupt):
        module.compare(names, data, "1steps", out=tmp_path / "c", sets={"yolo-v2:recipe.resize.size": 160},
                       say=told.append)
    assert [j.sets for j in jobs] == [{"upright": "yes"}, {"recipe.resize.size": 160, "upright": "yes"}, {}]
    kept = json.loads((tmp_path / "c" / "compare.json").read_text())
    assert kept["begin"] == asked(names, data).about["data"]["begin"]
    assert told == [kept["begin"]["says"]] and kept["begin"]["upright"] is True
    monkeypatch.setattr(first, "look", lambda data: seen(upright=False, tenth=0.01))
    with pytest.raises(KeyboardInterrupt):
        module.compare([*names, "retinanet"], data, "1steps", out=tmp_path / "c",
                       sets={"yolo-v2:recipe.resize.size": 160})
    assert jobs[-1].paper == "retinanet" and jobs[-1].sets == {"upright": "yes"}
    assert json.loads((tmp_path / "c" / "compare.json").read_text()) == kept


def asked(names: list[str], data: Path) -> Any:
    """What the wing makes ready for a comparison of `names`."""
    from stemma.engine.pictures.wing import prepare
    from stemma.engine.wings import Asked

    systems = {n: (cards.get(n.split(":")[0]).name, n.partition(":")[2] or "small") for n in names}
    options = {"format": None, "limit": None, "size": None, "upright": None, "data_options": {}}
    return prepare(Asked(systems, str(data), lambda name: {}, options))


def test_drawn_scenes_begin_as_ever(tmp_path: Path) -> None:
    run = stemma.train("ssd", "scenes:64:12", out=tmp_path / "run", **SMALL)
    assert run.record["begin"] is None and run.record["sets"] == {} and run.record["recipe"]["resize"]["size"] == 128


@pytest.mark.data
@pytest.mark.parametrize("name,format,size,upright", [("bccd", "voc", 224, False), ("neu_det", "voc", 128, False),
                                                      ("coco549", "coco", 256, True), ("camvid", "maps", 128, True)])
def test_real_data(name: str, format: str, size: int, upright: bool, shared_data: Path) -> None:
    card = cards.get("fcn" if name == "camvid" else "fpn")
    chosen = choose([(card, "small", {})], open_dataset(shared_data / name, "train", format), Wish())
    assert chosen is not None and (chosen.size, chosen.upright) == (size, upright)


# ---------------------------------------------------------------- the doctor's advice


def test_the_doctor_says_what_to_begin_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                            capsys: pytest.CaptureFixture[str]) -> None:
    from stemma.cli import main

    data = folder(tmp_path / "data", True)
    chosen = choose([(FPN, "small", {})], open_dataset(data), Wish())
    monkeypatch.setattr(first, "find_spec", lambda name: None)
    advice = first.first_command(str(data))
    assert advice is not None and chosen is not None and advice["says"].startswith(chosen.says)
    assert shlex.split(advice["command"]) == ["stemma", "compare", "fpn", "retinanet", "ssd", "--data", str(data),
                                              "--size", "128", "--upright", "yes", "--budget", "4m"]
    monkeypatch.setattr(first, "find_spec", lambda name: object())
    with pytest.raises(SystemExit):
        main(["doctor", str(data), "--quick", "--json"])
    said = json.loads(capsys.readouterr().out)["begin"]
    assert "--backbone tf_efficientnet_lite0:imagenet" in said["command"]
    with pytest.raises(SystemExit):
        main(["doctor", str(data), "--quick"])
    assert said["command"] in capsys.readouterr().out
    words = shlex.split(said["command"])
    words[words.index("--budget") + 1] = "never"
    with pytest.raises(SystemExit) as end:  # the whole line is read, and only the budget found fault with
        main(words[1:])
    assert end.value.code == 2 and "never" in capsys.readouterr().err


@pytest.mark.parametrize("kinds,command", [(("boxes", "masks"), "compare fpn"), (("semantic",), "compare fcn"),
                                           (("panoptic",), "train panoptic-fpn"),
                                           (("image_labels",), "--preset classifier-small"), ((), None)])
def test_the_first_systems_are_of_the_kind_of_truth(kinds: tuple[str, ...], command: str | None,
                                                    monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    class Of(Scenes):
        @property
        def info(self) -> Any:
            return replace(super().info, kinds=kinds)

    data = Of(40)
    monkeypatch.setattr(first, "open_split", lambda where, split, format: data)
    advice = first.first_command("scenes")
    assert (advice is None) if command is None else advice is not None and command in advice["command"]
    if advice is not None:
        assert "--size" not in advice["command"] and "drawn" in advice["says"]


def test_broken_data_get_faults_and_no_advice(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from stemma.cli import main

    data = folder(tmp_path / "data", True, count=2)
    (data / "annotations" / "instances_train.json").write_text('{"images": [{"id": 1}], "annotations": [], '
                                                               '"categories": []}')
    with pytest.raises(SystemExit):
        main(["doctor", str(data), "--json"])
    said = json.loads(capsys.readouterr().out)
    assert said["faults"] and said["begin"] is None
