"""The page of all papers: its drawing, its cards, its code, and that it opens in a browser without fetching
anything."""
from __future__ import annotations

import html
import itertools
import random
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stemma.cli import main
from stemma.core import paper as cards
from stemma.report import lineage
from stemma.report.layout import Edge, apart, crossings, lay
from test_report import CHROMIUM, FLAGS, NO_CHROMIUM, Structure, opened

FEW = [cards.get(n) for n in ("fcn", "deeplab", "faster_rcnn", "fpn", "mask_rcnn", "panoptic_segmentation",
                              "panoptic_fpn")]


def test_a_year_stands_over_the_boxes_of_its_row() -> None:
    """So that a page narrower than the tree can keep it in sight beside whatever is there."""
    drawn = lineage.drawing(cards.papers())
    years = [int(y) for y in re.findall(r'<text class="year" x="4" y="(\d+)">', drawn)]
    tops = [float(y) for y in re.findall(r'<rect class="box" x="[\d.]+" y="([\d.]+)"', drawn)]
    assert len(years) > 5 and len(tops) == len(cards.papers())
    assert not any(top - 1 < y < top + lineage.BOX[1] + 10 for y in years for top in tops)


def test_boxes_keep_apart_and_time_runs_down() -> None:
    r = random.Random(1)
    years = {f"p{i}": 2010 + r.randrange(6) for i in range(24)}
    edges: list[Edge] = [(a, b) for a, b in itertools.combinations(years, 2)
                         if r.random() < 0.1 and years[a] <= years[b]]
    plan = lay(years, edges, width=100, gap=10)
    for (a, (x, y)), (b, (u, v)) in itertools.combinations(plan.at.items(), 2):
        assert y != v or abs(x - u) >= 110 - 1e-6, (a, b)
        assert (y < v) == (years[a] < years[b]) or years[a] == years[b]
    for (a, b), points in plan.lines.items():
        assert points[0] == plan.at[a] and points[-1] == plan.at[b]
        assert all(q[1] > p[1] for p, q in zip(points, points[1:]))
    assert all(50 <= x <= plan.width - 50 for x, _ in plan.at.values()) and plan.years == sorted(plan.years)


def test_order_uncrosses_what_can_be_uncrossed() -> None:
    years = {"a": 1, "b": 1, "c": 1, "x": 2, "y": 2, "z": 2}
    edges: list[Edge] = [("a", "z"), ("b", "y"), ("c", "x")]
    assert crossings([["a", "b", "c"], ["x", "y", "z"]], {"a": ["z"], "b": ["y"], "c": ["x"], "x": [], "y": [],
                                                          "z": []}) == 3
    at = lay(years, edges).at
    assert [n for n in sorted("abc", key=lambda n: at[n][0])] == [{"z": "a", "y": "b", "x": "c"}[n]
                                                                  for n in sorted("xyz", key=lambda n: at[n][0])]


def test_places_are_the_nearest_that_keep_apart() -> None:
    g = np.random.default_rng(0)
    for _ in range(20):
        wanted, room = g.normal(0, 30, 5).tolist(), g.uniform(5, 20, 5).tolist()
        got = np.array(apart(wanted, room))
        need = [(a + b) / 2 for a, b in zip(room, room[1:])]
        assert (np.diff(got) >= np.array(need) - 1e-9).all()
        cost = ((got - wanted) ** 2).sum()
        for _ in range(200):  # no small allowed move is better
            other = np.sort(got + g.normal(0, 1, 5))
            assert (np.diff(other) < need).any() or ((other - wanted) ** 2).sum() >= cost - 1e-9
    assert apart([0.0, 50.0, 100.0], [10, 10, 10]) == [0.0, 50.0, 100.0]


def test_highlighting_changes_no_character() -> None:
    for p in FEW:
        source = (Path(lineage.__file__).parents[1].joinpath(*p.spec.__module__.split(".")[1:])
                  .with_suffix(".py").read_text())
        shown = lineage.highlighted(source)
        assert html.unescape(re.sub(r"</?span[^>]*>", "", shown)) == source
        assert ('<span class="k">def</span> <span class="d">spec</span>' in shown
                and shown.startswith('<span class="s">"""'))


def test_the_page_holds_every_card_and_is_whole(tmp_path: Path) -> None:
    path = lineage.write(tmp_path / "made" / "lineage.html", FEW)
    text = path.read_text(encoding="utf-8")
    s = Structure()
    s.feed(text)
    assert not s.problems and not s.open and len(s.ids) == len(set(s.ids))
    assert all(a.startswith(("#", "data:", "https://arxiv.org/abs/")) for a in s.addresses)
    assert {a[1:] for a in s.addresses if a.startswith("#")} <= set(s.ids)
    assert "@import" not in text and "url(" not in text and "src=" not in text
    for p in FEW:
        assert p.cli_name in s.ids
        for said in (p.title, *(w for e in p.parents for _, w in e.told), *p.notes, *(c.source for c in p.claims)):
            assert html.escape(said, quote=False) in text
    lines = re.findall(r'data-from="(\w+)" data-to="(\w+)"', text)
    assert sorted(lines) == sorted((e.paper.name, p.name) for p in FEW for e in p.parents if e.paper in FEW)
    assert ("fcn", "deeplab") in lines and not list(tmp_path.rglob("*.part"))


def test_kin_are_ancestors_and_descendants() -> None:
    assert {p.name for p in lineage.kin(FEW, "fpn")} == {"faster_rcnn", "fpn", "mask_rcnn", "panoptic_segmentation",
                                                         "panoptic_fpn"}
    assert {p.name for p in lineage.kin(FEW, "deeplab")} == {"fcn", "deeplab"}


@pytest.mark.skipif(CHROMIUM is None, reason=NO_CHROMIUM)
def test_the_page_opens_in_a_browser_without_errors_or_requests(tmp_path: Path) -> None:
    path = lineage.write(tmp_path / "lineage.html", FEW)
    shot = tmp_path / "shot.png"
    said, asked = opened(path, tmp_path / "profile", "--window-size=1280,900", f"--screenshot={shot}")
    assert not said and not asked, (said, asked)
    assert len(np.unique(np.asarray(Image.open(shot).convert("L")))) > 20


@pytest.mark.skipif(CHROMIUM is None, reason=NO_CHROMIUM)
def test_a_chosen_paper_shows_its_card_and_lights_its_descent(tmp_path: Path) -> None:
    path = lineage.write(tmp_path / "lineage.html", FEW)
    wanted = path.as_uri() + "#mask-rcnn"
    dom = subprocess.run([str(CHROMIUM), *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", wanted],
                         capture_output=True, text=True, timeout=600).stdout
    shown = [s for s in re.findall(r"<section [^>]*>", dom) if "hidden" not in s]
    assert len(shown) == 1 and 'id="mask-rcnn"' in shown[0]
    lit = {m for a in re.findall(r"<a [^>]*data-paper[^>]*>", dom) if "kin" in a
           for m in re.findall(r'data-paper="(\w+)"', a)}
    assert lit == {"faster_rcnn", "fpn", "mask_rcnn", "panoptic_segmentation", "panoptic_fpn"}


def test_the_command_writes_it_and_says_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as done:
        main(["tree", "deeplab", "--html", str(tmp_path / "x.html")])
    assert done.value.code in (0, None) and "x.html" in capsys.readouterr().out
    text = (tmp_path / "x.html").read_text(encoding="utf-8")
    assert 'id="deeplab"' in text and 'id="fcn"' in text and 'id="ssd"' not in text
    (tmp_path / "file").write_text("")
    with pytest.raises(SystemExit) as wrong:
        main(["tree", "--html", str(tmp_path / "file" / "x.html")])
    assert wrong.value.code == 2
