"""Round trips between formats: what a format and a format that is written can both hold comes back, through `stemma
convert` and each one's reader: equal boxes to .01 pixel, equal masks, classes and splits."""
from __future__ import annotations

from pathlib import Path

import pytest

from engine_help import ROOT
from layouts import LAYOUTS, WHAT, trip
from stemma.data.convert import FORMATS


@pytest.mark.parametrize("to", FORMATS)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.filterwarnings("ignore::stemma.data.records.DataWarning")
def test_what_both_formats_hold_comes_back(tmp_path: Path, layout: str, to: str) -> None:
    """What the layout's owners write is read as it was meant; and so is what comes of it in the other format."""
    it = LAYOUTS[layout]
    far, pixels, wrong = trip(it, to, tmp_path)
    assert not wrong and not pixels and far <= 0.01, (far, pixels, wrong)


def test_the_page_says_what_is_held() -> None:
    """docs/formats.md has the table that the command prints: a row for each layout, with what it can hold."""
    rows = [[c.strip() for c in line.strip("|").split("|")] for line in
            (ROOT / "docs" / "formats.md").read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    said = {r[0]: r for r in rows[1:]}
    assert set(said) == {it.title for it in LAYOUTS.values()}
    for it in LAYOUTS.values():
        assert [c == "yes" for c in said[it.title][1 : 1 + len(WHAT)]] == [w in it.holds for w in WHAT], it.title
        assert all(float(c) <= 0.01 for c in said[it.title][1 + len(WHAT) :]), "a number in every cell"
