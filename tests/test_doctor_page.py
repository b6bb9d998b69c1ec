"""The doctor's page: what was found is shown where it is, nothing is fetched, and a trained system may doubt labels."""
from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from engine_help import short
from made_data import coco_doc, make_coco, make_maps, noise
from stemma.core.types import StemmaError
from stemma.data.doctor import examine
from stemma.data.records import Records
from stemma.engine import doubts as doubting
from stemma.engine.doubts import Doubt, doubts
from stemma.report import doctor as page
from test_cli import run
from test_report import CHROMIUM, NO_CHROMIUM, opened

pytestmark = pytest.mark.filterwarnings("ignore::stemma.data.records.DataWarning")


@pytest.fixture
def faulty(tmp_path: Path) -> Path:
    """Boxes outside, without extent and partly outside, a broken mask and picture, and two alike across splits."""
    doc = coco_doc(6)
    for k, box in ((0, [50, 6, 20, 10]), (3, [5, 6, 0, 10]), (5, [70, 50, 5, 5])):
        doc["annotations"][k]["bbox"] = box
    doc["annotations"][7]["segmentation"] = [[1, 1, 2]]
    root = tmp_path / "data"
    make_coco(root, doc, "train", 6)
    make_coco(root, coco_doc(3), "val", 3)
    smooth = np.add.outer(np.arange(40) * 5, np.arange(60) * 0.8)[..., None] + [0, 20, 40]
    Image.fromarray(smooth.astype(np.uint8)).save(root / "images" / "train" / "4.png")
    Image.fromarray((smooth + 2).astype(np.uint8)).save(root / "images" / "val" / "1.png")
    (root / "images" / "train" / "5.png").write_bytes(b"no picture")
    return root


def test_faults_are_drawn_where_they_are(faulty: Path) -> None:
    report = examine(faulty)
    text = page.render(report, {"command": "stemma compare <x>", "says": "why"})
    for kind in {f.kind for f in report.faults}:
        assert f"× {kind}" in text
    drawn = re.findall(r"<figure>.*?</figure>", text, re.S)
    beside = {kind: next(f for f in drawn if f"{kind}</text>" in f) for kind in (
        "box outside", "degenerate box", "box partly outside", "broken mask")}
    assert 'x="50.0" y="6.0" width="20.0" height="10.0"' in beside["box partly outside"]
    assert "<circle" in beside["degenerate box"] and "<circle" not in beside["box partly outside"]
    assert "images/train/1.png" in beside["degenerate box"]  # left out of its split, and shown for it
    assert text.count('class="pair across"') == 1 and "stemma compare &lt;x&gt;" in text
    assert "images/train/4.png" in text and "images/val/1.png" in text


def test_nothing_is_fetched_and_a_class_may_be_called_anything(tmp_path: Path) -> None:
    doc = coco_doc(3)
    doc["categories"][0]["name"] = "</style><b>x"
    make_coco(tmp_path, doc)
    text = page.render(examine(tmp_path))
    assert "<b>x" not in text and not re.search(r'(?:href|src)="(?!data:|#)', text)


def test_objects_of_maps_have_figures_too(tmp_path: Path) -> None:
    maps = [np.zeros((40, 60), np.uint8) for _ in range(4)]
    for k, m in enumerate(maps):
        m[5 + k : 20, 8:30], m[25:30, 40:44] = 1, 2
    make_maps(tmp_path, maps)
    text = page.render(examine(tmp_path, maps="instance"))
    assert 'id="boxes"' in text and 'id="tops"' in text and "20 square pixels" in text


@pytest.mark.skipif(CHROMIUM is None, reason=NO_CHROMIUM)
def test_the_page_opens_in_a_browser(faulty: Path, tmp_path: Path) -> None:
    path = page.write(examine(faulty), tmp_path / "page.html")
    said, asked = opened(path, tmp_path / "profile", "--window-size=1200,1600", f"--screenshot={tmp_path / 'shot.png'}")
    assert not said and not asked, (said, asked)
    assert len(np.unique(np.asarray(Image.open(tmp_path / "shot.png").convert("L")))) > 20


def answering(boxes: dict[str, list[tuple[list[float], str, float]]], known: tuple[str, ...] = ("cat", "dog")) -> Any:
    """What stands for a trained system: its answers by the picture's name."""
    class Card:
        cli_name = "detector"
        task = "detection"

    class Model:
        paper = Card
        info = type("Info", (), {"classes": type("Classes", (), {"names": known})})

    def predict(model: Any, paths: list[Path], **_: Any) -> list[dict[str, Any]]:
        out = []
        for p in paths:
            found = boxes.get(p.name, [])
            out.append({"file": str(p), "boxes": np.array([b for b, _, _ in found]).reshape(-1, 4),
                        "scores": np.array([s for _, _, s in found]), "names": [n for _, n, _ in found]})
        return out

    return Model, predict


def test_a_sure_system_doubts_what_it_does_not_see(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_coco(tmp_path)  # dog (5, 6, 25, 16) and cat (6, 6, 26, 16) in each
    doc = coco_doc(3)
    doc["annotations"] = [a for a in doc["annotations"] if a["category_id"] == 7]
    make_coco(tmp_path, doc)
    splits: dict[str, Records] = examine(tmp_path).opened
    right, far = [5.0, 6.0, 25.0, 16.0], [30.0, 20.0, 50.0, 35.0]
    said = {
        "0.png": [(right, "cat", 0.9), (far, "cat", 0.8), (far, "dog", 0.3)],  # another class, and one more
        "1.png": [(right, "dog", 0.95), (right, "cat", 0.8)],  # agreed, more surely than the doubt
        "2.png": [(far, "dog", 0.1)],  # nothing where the label is
    }
    model, predict = answering(said)
    monkeypatch.setattr(doubting, "predict", predict)
    monkeypatch.setattr(doubting.checkpoint, "resolve", lambda run: model)
    found = doubts("run", splits)
    assert [(d.picture, d.truth, d.found, d.score) for d in found] == [
        (0, "dog", "cat", 0.9), (0, "", "cat", 0.8), (2, "dog", "", 0.0)]
    assert found[1].box == tuple(far) and str(found[2]) == "labelled dog, and nothing is found there"
    model, predict = answering({"0.png": [(far, "cat", 0.9)]})  # what has learned next to nothing misses nearly all
    monkeypatch.setattr(doubting, "predict", predict)
    with pytest.warns(UserWarning, match="nothing at all of 3 of 3 labelled things: it has learned too little"):
        assert [(d.picture, d.truth, d.found) for d in doubts("run", splits)] == [(0, "", "cat")]
    model, predict = answering(said, ("cat",))  # of what a system never learned nothing is said
    monkeypatch.setattr(doubting, "predict", predict)
    monkeypatch.setattr(doubting.checkpoint, "resolve", lambda run: model)
    assert [(d.truth, d.found) for d in doubts("run", splits)] == [("", "cat")]
    model.paper.task = "world"
    with pytest.raises(StemmaError, match="detector finds no boxes, and labels are doubted by boxes"):
        doubts("run", splits)


def test_the_commands(faulty: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    short(tmp_path / "run", "2steps", val_every=0)
    short(tmp_path / "maps", "2steps", paper="fcn", val_every=0)
    html = tmp_path / "page.html"
    status, _, error = run(capsys, "doctor", str(faulty), "--html", str(html))
    assert status == 1 and f"wrote {html}" in error and 'id="doubts"' not in html.read_text()
    status, _, _ = run(capsys, "doctor", str(faulty), "--html", str(html), "--with", str(tmp_path / "run"))
    assert status == 1 and 'id="doubts"' in html.read_text()
    status, _, error = run(capsys, "doctor", str(faulty), "--with", str(tmp_path / "run"))
    assert status == 2 and "--html" in error
    status, _, error = run(capsys, "doctor", str(faulty), "--html", str(html), "--with", str(tmp_path / "maps"))
    assert status == 2 and "fcn finds no boxes" in error and "Traceback" not in error
    mine = tmp_path / "mine.html"
    mine.write_text("mine")
    status, _, error = run(capsys, "doctor", str(faulty), "--html", str(mine))
    assert status == 2 and mine.read_text() == "mine"


def test_a_picture_that_cannot_be_read_is_not_drawn(tmp_path: Path) -> None:
    make_coco(tmp_path)
    noise(tmp_path / "images" / "train" / "1.png", seed=3)
    (tmp_path / "images" / "train" / "1.png").write_bytes(b"no picture")
    report = examine(tmp_path)
    text = page.render(report, doubts=[Doubt("train", 1, (1.0, 2.0, 3.0, 4.0), "cat", "", 0.0)])
    assert "unreadable image" in text and "1 place where" in text


def test_bars_stand_on_one_line_and_classes_that_are_nowhere_are_folded(tmp_path: Path) -> None:
    doc = coco_doc(6)
    doc["categories"] += [{"id": 70 + k, "name": f"none{k}"} for k in range(3)]
    report = examine(make_coco(tmp_path, doc, "all", 6).parent.parent)
    text = page.render(report)
    bars = re.findall(r'class="bin" x="[\d.]+" y="([\d.]+)" width="[\d.]+" height="([\d.]+)"', text)
    assert len(bars) == 44 and {float(y) + float(h) for y, h in bars} == {180.0}
    assert min(float(h) for _, h in bars if float(h)) >= 1, "a bin with one object can be seen"
    for most, said in ((3, "3"), (2438, "2.5k"), (12_583, "15k"), (999_999, "1M")):  # a number that fits beside them
        assert f'text-anchor="end">{said}<' in page._bars(np.zeros(most), np.linspace(0, 1, 3), "share")
    assert "3 classes do not appear" in text and "none0, none1, none2" in text and "<th>none0" not in text
    heads = re.findall(r'<th class="plain" scope="col">(.*?)</th>', text)
    assert "objects, all" in heads and "all" not in heads, "the only split is the whole"
    report.faults += [page.Fault("a.json", str(k), "", "is broken", "mend it", True, "broken record") for k in range(60)]
    assert "50 of 60 records" in page.render(report)
