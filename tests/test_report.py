"""The report page: its sentences, its structure, and that it opens in a browser without fetching anything."""
from __future__ import annotations

import copy
import html as html_module
import json
import random
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from made_data import noise
from stemma.core.sentence import many
from stemma.report import charts, language, wall, words
from stemma.report import pictures as page
from stemma.report.cards import cards
from stemma.report.tags import tag

CLASSES = ["disc", "ring", "square", "triangle", "star", "cross", "arrow", "heart"]


def summary(values: list[float], untrained: float | None = None) -> dict[str, Any]:
    mean = sum(values) / len(values)
    spread = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return {"mean": mean, "spread": spread, "values": values, "untrained": untrained}


def system(name: str, title: str, main: str, base: float, speed: float, r: random.Random) -> dict[str, Any]:
    values = [base, base + 0.02]
    s: dict[str, Any] = {
        "id": name, "paper": name, "title": title, "year": 2017, "preset": "small", "task": "detection",
        "main": main, "about": f"{title} in a sentence.", "images_seen": 9000 * speed,
        "runs": [{"seed": k, "status": "done", "folder": f"{name}-s{k}", "steps": 500, "images": 8000, "seconds": 60.0}
                 for k in (0, 1)],
        "summary": {main: summary(values, 0.001), "parameters": summary([1.2e6 * speed]),
                    "flops": summary([4.1e8 / speed]), "images_per_second": summary([150 * speed, 148 * speed]),
                    "latency_ms": summary([9.1 / speed, 9.0 / speed]), "peak_memory_mb": summary([900, 910])},
        "curves": [{"seed": k, "points": [{"seconds": 6.0 * i, "images": 900 * i * speed,
                                           "value": values[k] * (1 - 0.75**i)} for i in range(1, 11)]} for k in (0, 1)],
    }
    if main == "AP":
        s["summary"] |= {"AP50": summary([v + 0.25 for v in values], 0.003),
                         "AP75": summary([v + 0.03 for v in values]), "AP_small": summary([base / 2, base / 2]),
                         "AP_medium": summary([base, base]), "AP_large": summary([base + 0.1, base + 0.1])}
        recall = [i / 50 for i in range(51)]
        s["pr"] = {"recall": recall, "precision": {"0.50": [max(0.0, 1 - (x / (base + 0.4)) ** 4) for x in recall],
                                                   "0.75": [max(0.0, 1 - (x / (base + 0.15)) ** 2) for x in recall]}}
        s["errors"] = {k: r.uniform(0.01, 0.12) for k in words.ERRORS}
        matrix = [[120.0 * (i == j) + r.random() * 9 // 1 for j in range(9)] for i in range(9)]
        s["confusion"] = {"rows": [*CLASSES, "(nothing)"], "columns": [*CLASSES, "(missed)"], "matrix": matrix}
    s["per_class"] = {c: {"AP": base + r.uniform(-0.1, 0.1), "IoU": base + r.uniform(-0.1, 0.1)} for c in CLASSES}
    return s


def synthetic(folder: Path) -> dict[str, Any]:
    """A comparison that never ran: four detectors and a segmenter with invented numbers."""
    r = random.Random(0)
    systems = [system("faster-rcnn", "Faster R-CNN", "AP", 0.30, 0.5, r), system("fpn", "FPN", "AP", 0.42, 0.55, r),
               system("retinanet", "RetinaNet", "AP", 0.415, 0.9, r),
               system("yolo-v1", "YOLO", "AP", 0.21, 2.2, r), system("u-net", "U-Net", "mIoU", 0.81, 1.0, r)]
    (folder / "pictures").mkdir(parents=True, exist_ok=True)
    pictures: dict[str, list[dict[str, Any]]] = {"AP": [], "mIoU": []}
    g = np.random.default_rng(0)
    for i in range(3):
        noise = np.kron(g.integers(60, 190, (8, 8, 3)), np.ones((16, 16, 1))).astype(np.uint8)
        Image.fromarray(noise).save(folder / f"pictures/{i}.jpg", quality=88)
        mask = np.zeros((128, 128, 4), np.uint8)
        mask[20:70, 30:90] = (230, 159, 0, 130)
        Image.fromarray(mask).save(folder / f"pictures/{i}-m.png")
        truth = {"boxes": [[20, 16, 70, 60], [66, 70, 120, 118]], "labels": ["disc", "star"],
                 "overlay": f"pictures/{i}-m.png"}
        shown = {s["id"]: {"boxes": [[22, 15, 69, 63], [4, 80, 40, 120]], "labels": ["disc", "arrow"],
                           "scores": [0.93, 0.41], "ok": [True, False], "measure": "F1", "quality": 0.5,
                           "overlay": None} for s in systems if s["main"] == "AP"}
        pictures["AP"].append({"index": i, "file": f"scene {i}", "width": 128, "height": 128,
                               "image": f"pictures/{i}.jpg", "disagreement": 0.4, "truth": truth, "systems": shown})
        pictures["mIoU"].append({"index": i, "file": f"scene {i}", "width": 128, "height": 128,
                                 "image": f"pictures/{i}.jpg", "disagreement": 0.4,
                                 "truth": {"overlay": f"pictures/{i}-m.png"}, "systems":
                                 {"u-net": {"overlay": f"pictures/{i}-m.png", "measure": "mIoU", "quality": 0.7}}})
    edges = [
        {"parent": "faster-rcnn", "child": "fpn", "through": [], "changes": [
            {"slots": ["neck"], "what": "a top-down pyramid of features in place of one level"},
            {"slots": ["rpn", "rpn_head"], "what": "one anchor scale a level"}], "metric": "AP", "gain": 0.12,
         "spread": 0.014, "overlap": False},
        {"parent": "fpn", "child": "retinanet", "through": [],
         "changes": [{"slots": [""], "what": "one stage, with focal loss"}], "metric": "AP", "gain": -0.005,
         "spread": 0.014, "overlap": True},
    ]
    return {
        "stemma": "0.1.0", "created": "2026-01-01 12:00", "command": "stemma compare faster-rcnn fpn retinanet "
        "yolo-v1 u-net --data scenes --budget 60s --seeds 2", "budget": "60s", "preset": "small", "seeds": 2,
        "data": {"name": "scenes", "where": "scenes:128", "train": 6000, "val": 200, "split": "test", "measured": 150,
                 "whole": 200, "untrained": 100, "curve": 128, "classes": CLASSES, "fingerprint": "0123456789abcdef",
                 "begin": {"size": 160, "upright": True, "says": "size 160: things are <small> there"}},
        "machine": {"cpu": "a processor", "cores": 2, "threads": 1, "jobs": 2, "device": "cpu"},
        "versions": {"torch": "2.11"}, "systems": systems, "edges": edges, "pictures": pictures, "failed": [],
    }


class Structure(HTMLParser):
    """Collects what the page holds and whether its elements close in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.count: dict[str, int] = {}
        self.ids: list[str] = []
        self.addresses: list[str] = []
        self.problems: list[str] = []

    def handle_starttag(self, name: str, attrs: list[tuple[str, str | None]]) -> None:
        self.count[name] = self.count.get(name, 0) + 1
        given = dict(attrs)
        self.ids += [given["id"] or ""] if "id" in given else []
        self.addresses += [given[k] or "" for k in ("href", "src") if k in given]
        if name in {"image", "use", "rect", "line"} and not (self.get_starttag_text() or "").endswith("/>"):
            self.problems.append(f"{name} is left open: what follows would not be drawn")
        if name == "svg" and not (given.get("aria-label") or given.get("aria-hidden")):
            self.problems.append(f"svg without a name: {given}")
        if not (self.get_starttag_text() or "").endswith("/>"):
            self.open.append(name)

    def handle_startendtag(self, name: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(name, attrs)

    def handle_endtag(self, name: str) -> None:
        if not self.open or self.open.pop() != name:
            self.problems.append(f"</{name}> closes nothing")


def test_the_page_is_whole_and_self_contained(tmp_path: Path) -> None:
    path = page.write(synthetic(tmp_path), tmp_path)
    html = path.read_text(encoding="utf-8")
    s = Structure()
    s.feed(html)
    assert not s.problems and not s.open
    assert len(s.ids) == len(set(s.ids))
    assert all(a.startswith(("#", "data:")) for a in s.addresses)
    assert "http://" not in html and "https://" not in html and "@import" not in html and "url(" not in html
    for ident in ("results", "ideas", "learning", "precision", "classes", "errors", "confusion", "pictures", "made"):
        assert ident in s.ids
    assert "size 160: things are &lt;small&gt; there" in html
    assert "<code>compare --same-recipe</code> trains all alike" in html
    assert "`" not in html.split("<main")[-1].split("<script")[0]
    assert s.count["figure"] == 3 * 5 + 3 * 2
    assert not (tmp_path / "report.html.part").exists()


def test_the_page_says_by_which_clock(tmp_path: Path) -> None:
    """On a GPU, and in comparisons of before, seconds are the wall's; on a CPU they are work, and both are told."""
    results = synthetic(tmp_path)
    page.write(results, tmp_path)
    html = (tmp_path / "report.html").read_text()
    assert f"{words.budget(results['budget'])} each" in html and "processor time" not in html
    assert "trainings got" not in html and "latencies are of" not in html
    for s in results["systems"]:
        for r in s["runs"]:
            r |= {"wall": 250.0, "share": 0.24, "clock": "processor", "threads": 1, "cut": None}
    cut = "wall time of 250 s ran out at 80 % of the budget of 60s"
    results["systems"][0]["runs"][1]["cut"] = cut
    results |= {"clock": "processor", "latency": {"by": "processor", "share": 0.3}, "notes": ["the <terms> were kept"],
                "warnings": [{"text": "a.jpg is broken", "trainings": ["fpn-s0", "ssd-s0"]}]}
    page.write(results, tmp_path)
    html = (tmp_path / "report.html").read_text()
    assert "60 s of processor time each" in html and "seconds of processor time in training" in html
    assert "In the same 60 s of processor time it saw" in html or "in the same 60 s of processor time (" in html
    for said in ("Beside the numbers", "trainings got .24 of a core", f"Faster R-CNN, seed 1: {cut}",
                 "latencies are of processor time", "The &lt;terms&gt; were kept.", "a.jpg is broken (2 trainings)",
                 "s by the clock</th>", "<td>250</td><td>0.24</td>"):
        assert said in html, said


def test_proposals_and_points_have_their_sections(tmp_path: Path) -> None:
    """Recall against number and overlap, the point curve, their tables; a lower miss rate leads, and a detector's AR
    stands in the fold."""
    r = synthetic(tmp_path)
    a, b, c, d = copy.deepcopy(r["systems"][:4])
    for s, main, value in ((a, "AR100", 0.5), (b, "AR100", 0.4), (c, "point_AP", 0.7)):
        s["main"], s["id"], s["title"] = main, f"x-{s['id']}", f"X {s['title']}"
        s["summary"] = {main: summary([value], 0.01), "MR2": summary([value])}
        for k in ("pr", "errors", "confusion"):
            s.pop(k)
    for s in (a, b):
        s["recall"] = {"iou": [0.5, 0.75, 1.0], "100": [0.9, 0.5, 0.0], "1000": [1.0, 0.6, 0.0],
                       "count": [1, 10, 100, 1000], "AR": [0.1, 0.3, 0.5, 0.6]}
    c["pr"] = {"recall": [0, 0.5, 1], "precision": {"points": [1, 0.8, 0.2]}}
    d["summary"] |= {"AR100": summary([0.4]), "point_AP": summary([0.6])}
    html = page.render({**r, "systems": [a, b, c, d], "edges": [], "pictures": {}}, tmp_path)
    s_ = Structure()
    s_.feed(html)
    assert not s_.problems and not s_.open and "recall" in s_.ids
    for said in ("Proposing objects", "Localisation from image labels", "average recall against proposals a picture",
                 "of the best point of a class", "AR@100"):
        assert said in html, said
    # YOLO's own AR@100 is of another kind
    for said in ("point mAP of each class", "X Faster R-CNN did best: AR@100 .500, .100 ahead of X FPN (.400)"):
        assert said in html, said
    assert page._best([a, b], "MR2") == b["id"] and page._best([a, b], "AR100") == a["id"]
    assert page._split([d], "AP") == {"": [m for m in words.MEASURES if m in d["summary"]
                                           and m not in ("AP", "AR100", "point_AP", *words.COSTS)],
                                      "What it costs": [m for m in words.COSTS if m in d["summary"]]}
    assert "AR@100" in page._tables({"AP": [d]}, {d["id"]: 0}, r["data"])


def test_a_page_of_next_to_nothing_still_reads(tmp_path: Path) -> None:
    r = synthetic(tmp_path)
    only = r["systems"][4]
    bare = {k: only[k] for k in ("id", "title", "main", "summary", "runs")} | {"summary": {"mIoU": summary([0.4])}}
    html = page.render({**r, "systems": [bare], "edges": [], "pictures": {}, "seeds": 1}, tmp_path)
    assert "U-Net reached mIoU .400 with one seed." in html and "Learning" not in html


def test_what_comes_from_outside_is_escaped(tmp_path: Path) -> None:
    r = synthetic(tmp_path)
    evil = "<script>alert(1)</script>"
    r["data"]["name"] = r["systems"][0]["title"] = r["command"] = evil
    r["data"]["classes"][0] = r["pictures"]["AP"][0]["file"] = evil
    r["systems"][1]["runs"][0] |= {"status": "failed", "error": evil}
    html = page.render(r, tmp_path)
    assert evil not in html and "&lt;script&gt;" in html
    assert tag("b", data_x='"><i>') == '<b data-x="&quot;&gt;&lt;i&gt;"></b>'


def test_the_answer_names_the_best_only_where_the_seeds_bear_it_out(tmp_path: Path) -> None:
    r = synthetic(tmp_path)
    head, _ = words.answer(r, "AP")
    assert head.startswith("FPN has the highest AP") and "RetinaNet" in head and "cannot be told from it" in head
    clear = copy.deepcopy(r)
    clear["systems"][2]["summary"]["AP"] = summary([0.36, 0.37])
    head, more = words.answer(clear, "AP")
    assert head.startswith("FPN did best: AP .430 ± .014 over 2 seeds, .065 ahead of RetinaNet (.365 ± .007)")
    assert any("quickest" in m and "YOLO" in m for m in more)
    one = copy.deepcopy(r)
    for s in one["systems"]:
        s["summary"] = {k: summary(v["values"][:1]) for k, v in s["summary"].items()}
    head, _ = words.answer(one, "AP")
    assert "only .005 ahead of RetinaNet (.415): with one seed that may be chance" in head
    one["systems"][2]["summary"]["AP"] = summary([0.3])
    assert "spread is unknown" in words.answer(one, "AP")[0]
    for s in one["systems"]:
        s["summary"] = {k: summary([0.01], 0.0) for k in s["summary"]}
    assert words.answer(one, "AP")[0].startswith("None has learned much yet")
    assert words.answer({"systems": []}, "AP") == ("", [])


def test_a_command_in_a_sentence_is_set_as_code(tmp_path: Path) -> None:
    r = synthetic(tmp_path)
    r["warnings"] = [{"text": "<x> is broken. `stemma doctor` lists all", "trainings": ["fpn-s0"]}]
    assert "&lt;x&gt; is broken. <code>stemma doctor</code> lists all (fpn-s0)" in page.write(r, tmp_path).read_text()


def test_what_is_said_of_all_sections_stands_in_none_of_them(tmp_path: Path) -> None:
    """A margin of a detector told below maps reads as one of maps."""
    r = synthetic(tmp_path)
    boxes = page.render(r, tmp_path).partition("Beside the numbers")
    assert "its own untrained net" in boxes[2] and "its own untrained net" not in boxes[0]
    alone = page.render({**r, "systems": r["systems"][:4]}, tmp_path)
    assert "its own untrained net" in alone.partition("Results</h2>")[0]


def test_margins_over_untrained_nets_are_told_good_or_bad(tmp_path: Path) -> None:
    r = synthetic(tmp_path)
    assert words.untrained_line(r).startswith("Every system stands above its own untrained net; the narrowest "
                                              "margin is +.219")
    r["systems"][0]["summary"]["AP"] = summary([0.001, 0.002], 0.001)
    assert words.untrained_line(r).startswith("Not every system learned")


@pytest.mark.parametrize(("low", "high", "first", "last"),
                         [(0, 1, 0, 1), (0, 0.537, 0, 0.4), (0, 61000, 0, 60000), (3, 3, 3, 3)])
def test_ticks_are_round_and_inside(low: float, high: float, first: float, last: float) -> None:
    t = charts.ticks(low, high)
    assert (t[0], t[-1]) == (first, last) and len(t) <= 7


@pytest.mark.parametrize(("highest", "said"), [
    (2500, ["0", "0.5k", "1k", "1.5k", "2k", "2.5k"]), (0.5, ["0", "0.1", "0.2", "0.3", "0.4", "0.5"]),
    (50_000, ["0", "10k", "20k", "30k", "40k", "50k"]), (900, ["0", "200", "400", "600", "800"]),
])
def test_the_numbers_of_an_axis_are_in_one_unit(highest: float, said: list[str]) -> None:
    t = charts.ticks(0, highest)
    assert [charts.plain(v, t) for v in t] == said


def test_a_spread_has_the_decimals_of_its_mean() -> None:
    rows = (("images_per_second", 5.9, 0.000122, "5.9 ± 0.0"), ("images_per_second", 1.96, 0.139, "1.96 ± 0.14"),
            ("latency_ms", 107.4, 2.34, "107 ± 2"),
            ("AP", 0.523, 0.011, ".523 ± .011"), ("peak_memory_mb", 1824.0, 1210.4, "1,824 ± 1,210"))
    for measure, mean, spread, said in rows:
        assert words.with_spread(measure, {"mean": mean, "spread": spread}) == said


def test_a_word_stands_inside_its_picture() -> None:
    """The word of a box at the right edge ends with the box, or with the picture."""
    shown = {"boxes": [[5, 30, 60, 60], [90, 30, 130, 60]], "labels": ["RBC", "Platelets"]}
    cell = wall._cell({"width": 120, "height": 90}, shown, "p", "Ground truth", "", {}, Path())
    found = re.findall(r'<text x="([\d.]+)"[^>]*?(?:text-anchor="(\w+)")?>(\w+)<', cell)
    assert found == [("5.0", "", "RBC"), ("120.0", "end", "Platelets")]


def test_scores_are_written_without_a_leading_zero() -> None:
    assert [words.score(v) for v in (0.5234, 1.0, 0.0, -0.02, None,
                                     float("nan"))] == [".523", "1.000", ".000", "−.020", "–", "–"]
    assert (words.signed(0.034), words.signed(-0.034), words.written("parameters", 41_532_886),
            words.written("flops", 2.07e11)) == ("+.034", "−.034", "41.53 M", "207")
    assert (words.score(-0.0002), words.signed(-0.0002)) == (".000", "+.000"), "nothing has no sign"
    assert [many(n, "class", "classes") for n in (1, 2, 1800)] == ["1 class", "2 classes", "1,800 classes"]


def test_cards_read_from_source_equal_the_imported_ones() -> None:
    from stemma.core import paper

    for c in cards():
        p = paper.get(c.name)
        for name in ("title", "authors", "year", "arxiv", "task", "summary", "presets", "line"):
            assert getattr(c, name) == getattr(p, name)
        assert c.parents == tuple((e.paper.name, e.told) for e in p.parents)


def test_of_thousands_of_classes_the_page_shows_those_that_systems_differ_in(tmp_path: Path) -> None:
    made = synthetic(tmp_path)
    for s in made["systems"]:
        s["per_class"] = {f"class {i}": {"AP": 0.5, "IoU": 0.5} for i in range(2000)}
    made["systems"][0]["per_class"]["class 1999"]["AP"] = 0.25
    made["systems"][1]["per_class"]["class 1998"] = {"AP": None}
    html = page.write(made, tmp_path).read_text(encoding="utf-8")
    part = html[html.index('id="classes"') : html.index('id="errors"')]
    assert part.count('<th scope="row">') == 2 * page.MOST_ROWS  # detection's table and segmentation's
    assert part.index(">class 0<") < part.index(">class 1999<") and ">class 1998<" not in part
    assert f"The {page.MOST_ROWS} classes in which systems lie furthest apart, of 2,000" in part


def test_every_class_of_a_page_has_a_rule_in_its_own_style() -> None:
    """A class whose rule stands in another page's style lays nothing out."""
    here = Path(page.__file__).parent
    for file in sorted(here.glob("*.py")):
        rules = "".join(x.read_text() for x in (here / "page.css", *(file.with_suffix(e) for e in (".css", ".js")))
                        if x.is_file())
        for said in re.findall(r'(?:cls=|class=\\?)"([^"\\{]*)\\?"', file.read_text()):
            for name in said.split():
                assert re.search(rf"\.{re.escape(name)}(?![\w-])", rules), (file.name, name)


def test_a_line_of_one_point_is_seen_in_a_chart_of_curves_alone() -> None:
    one, two = charts.Line(0, "one", ((1.0, 0.5),)), charts.Line(1, "two", ((1.0, 0.2), (2.0, 0.4)))
    assert [charts.line_chart([line], "x", "y", "t", markers=False).count("<title>one") for line in (one, two)] == [2, 0]
    assert charts.line_chart([two], "x", "y", "t", markers=False).count("<title>two") == 1


CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
NO_CHROMIUM = "no browser opened the pages: install Chromium (apt-get install chromium)"
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync",
         "--disable-features=NetworkTimeServiceQuerying,OptimizationHints", "--host-resolver-rules=MAP * ~NOTFOUND",
         "--hide-scrollbars", "--virtual-time-budget=3000")


def opened(page_path: Path, profile: Path, *more: str) -> tuple[str, set[str]]:
    """What the browser's console said of a page, and the addresses that the page (not the browser itself) asked for."""
    log = profile.with_suffix(".json")
    done = subprocess.run([str(CHROMIUM), *FLAGS, f"--user-data-dir={profile}", "--enable-logging=stderr",
                           "--log-level=0", f"--log-net-log={log}", *more, page_path.as_uri()],
                          capture_output=True, text=True, timeout=600)
    said = "\n".join(x for x in done.stderr.splitlines() if "CONSOLE" in x)
    asked = [e["params"] for e in json.loads(log.read_text())["events"] if isinstance(e.get("params"), dict)
             and "initiator" in e["params"]]
    return said, {p["url"] for p in asked if p["initiator"] != "not an origin"}


@pytest.mark.skipif(CHROMIUM is None, reason=NO_CHROMIUM)
def test_the_page_opens_in_a_browser_without_errors_or_requests(tmp_path: Path) -> None:
    path = page.write(synthetic(tmp_path / "run"), tmp_path / "run")
    shot = tmp_path / "shot.png"
    said, asked = opened(path, tmp_path / "profile", "--window-size=1280,900", f"--screenshot={shot}")
    assert not said and not asked, (said, asked)
    assert len(np.unique(np.asarray(Image.open(shot).convert("L")))) > 20
    control = tmp_path / "control.html"  # what the test would see if the page did either
    control.write_text('<img src="http://example.invalid/x.png"><script>console.error("bad")</script>')
    said, asked = opened(control, tmp_path / "profile2", f"--screenshot={tmp_path / 'control.png'}")
    assert "bad" in said and asked == {"http://example.invalid/x.png"}


@pytest.mark.skipif(CHROMIUM is None, reason=NO_CHROMIUM)
def test_the_script_chooses_one_confusion_matrix(tmp_path: Path) -> None:
    path = page.write(synthetic(tmp_path / "run"), tmp_path / "run")
    dom = subprocess.run([str(CHROMIUM), *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom",
                          path.as_uri()], capture_output=True, text=True, timeout=600).stdout
    assert dom.count('data-panel-of="confusion"') == 4 and len(re.findall(r'data-panel="[^"]+" hidden', dom)) == 3


def everything(folder: Path) -> dict[str, Any]:
    """`synthetic` with every measure that detectors, masks and keypoints have at once,
    spreads and intervals with them."""
    r = synthetic(folder)
    for s in r["systems"][:4]:
        s["title"] = "Deformable " + s["title"]
        for m in ("MR2", "count_error", "point_AP", "AR10", "AR100", *words.MORE, "mask_AP", "mask_AP50", "keypoint_AP",
                  "PQ", "SQ", "RQ", "mIoU", "boundary_F"):
            s["summary"][m] = summary([0.4123, 0.4377] if m != "count_error" else [12.3, 14.1], 0.001)
        for m in ("AP", "mask_AP", "keypoint_AP"):
            s["summary"][m]["interval"] = [0.3871, 0.4512]
    return r


def cut(path: Path, width: int, folder: Path) -> dict[str, list[str]]:
    """The tables of a page that are wider than their frames in a window of so many pixels,
    by section: their last headings."""
    script = (
        "<script>const cut = {}; for (const d of document.querySelectorAll('details')) d.open = true;"
        "for (const f of document.querySelectorAll('section .scroll')) { const id = f.closest('section').id; "
        "cut[id] ??= [];"
        "if (f.scrollWidth > f.clientWidth) cut[id].push([...f.querySelectorAll('thead th')].at(-1).textContent); }"
        "document.documentElement.dataset.cut = JSON.stringify(cut);</script>"
    )
    page_path = folder / f"cut{width}.html"
    page_path.write_text(path.read_text(encoding="utf-8").replace("</body>", script + "</body>"), encoding="utf-8")
    command = [str(CHROMIUM), *FLAGS, f"--user-data-dir={folder / f'profile{width}'}",
               f"--window-size={width},900", "--dump-dom"]
    dom = subprocess.run([*command, page_path.as_uri()], capture_output=True, text=True, timeout=600).stdout
    (found,) = re.findall(r'data-cut="([^"]*)"', dom)
    return dict(json.loads(html_module.unescape(found)))


@pytest.mark.skipif(CHROMIUM is None, reason=NO_CHROMIUM)
def test_no_table_of_results_is_cut_at_1200_pixels(tmp_path: Path) -> None:
    path = page.write(everything(tmp_path / "run"), tmp_path / "run")
    wide = cut(path, 1200, tmp_path)
    assert wide["results"] == [] and wide["made"] == [], wide
    assert cut(path, 500, tmp_path)["results"]  # a telephone's width: what the test would see


def facts_page() -> dict[str, Any]:
    """A comparison of systems of language as long in every cell as they come, whose data have no space to break at."""
    world = {"short": "references, alpha 1.5, tilt 4", "violated": False, "vacuous": True, "regular": True, "regularity": 1.0,
             "documents": 10_000, "knobs": [], "curve": [{"step": 10 * i, "seconds": float(i), "nats": 9.0 - i,
                                                         "hallucination": 0.4, "miscalibration": 0.5} for i in (1, 2, 3)],
             **dict.fromkeys(("hallucination", "monofacts", "miscalibration", "binned", "token_error"), 0.999),
             "bound": -25.899, "slack": 26.258, "nats": 17.911}
    run = {"seed": 0, "worlds": [world], "folder": "a-s0", "finished": "", "seconds": 10.0}
    systems = [{"id": f"{i}", "title": "kneser-ney", "main": "nats", "higher": False, "summary": {}, "runs": [run]} for i in range(2)]
    return {"subject": "facts", "data": "facts:alpha=0+1,words=20,facts=400,documents=400,places=3,tilt=4", "systems": systems,
            "seeds": 1, "preset": "small", "budget": "60steps", "command": "stemma", "created": "", "clock": "processor",
            "machine": {"jobs": 1, "threads": 1, "device": "cpu"}, "failed": []}


@pytest.mark.skipif(CHROMIUM is None, reason=NO_CHROMIUM)
def test_a_page_of_language_lies_within_its_window(tmp_path: Path) -> None:
    """Its tables and its title; a chart alone takes no more room than one of two."""
    path = tmp_path / "report.html"
    path.write_text(language.render(facts_page()).replace("</body>", """<script>
        const h = document.querySelector("h1"), c = [...document.querySelectorAll(".chart")].map((x) => x.getBoundingClientRect());
        document.documentElement.dataset.wide = JSON.stringify([h.scrollWidth > h.clientWidth, Math.max(...c.map((r) => r.width))]);
        </script></body>"""))
    assert cut(path, 1200, tmp_path)["results"] == []
    command = [str(CHROMIUM), *FLAGS, f"--user-data-dir={tmp_path / 'again'}", "--window-size=1200,900", "--dump-dom"]
    dom = subprocess.run([*command, path.as_uri()], capture_output=True, text=True, timeout=600).stdout
    over, widest = json.loads(html_module.unescape(re.findall(r'data-wide="([^"]*)"', dom)[0]))
    assert not over and widest < 600


@pytest.mark.parametrize("highest", [0.0, 1e-40, 1e-12, 3e-7, 0.4, 250.0])
def test_a_curve_of_any_height_is_drawn(highest: float) -> None:
    """Rewards that never come are foreseen without an error, or with one that rounds to nothing."""
    drawn = charts.line_chart([charts.Line(0, "a", ((0, 0.0), (1, highest)))], "x", "y", "t", markers=False)
    assert drawn.startswith("<svg") and "nan" not in drawn and "inf" not in drawn


def test_words_of_a_plain_table_stand_left_and_numbers_right() -> None:
    from stemma.report.sheet import grid

    found = grid(("run", "asked for", "made", "AP"), [("a", "<b> move it", "4 of 12", "0.5"), ("b", "–", "–", "-0.25")])
    assert found.count('class="left"') == 4 and found.count('class="plain left"') == 2
    assert '<td class="left">&lt;b&gt; move it</td><td>4 of 12</td><td>0.5</td>' in found


def test_a_crowd_is_no_object_under_a_picture(tmp_path: Path) -> None:
    noise(tmp_path / "a.jpg", 40, 60)
    truth = {"boxes": [[1, 1, 9, 9], [20, 1, 50, 30]], "labels": ["cat", "cat"], "crowd": [False, True]}
    one = {"file": "a.jpg", "image": "a.jpg", "width": 60, "height": 40, "truth": truth, "systems": {}}
    said = wall.wall([one], [], ["cat"], tmp_path, "AP")
    assert "1 object and 1 crowd" in said and said.count(">cat (crowd)<") == 2 and said.count(">cat<") == 2
    assert "2 objects" in wall.wall([one | {"truth": truth | {"crowd": [False] * 2}}], [], ["cat"], tmp_path, "AP")
