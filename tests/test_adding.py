"""docs/adding.md is carried out: its files are written into a copy of the package, its commands and code run there."""
from __future__ import annotations

import importlib
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from stemma.engine import wings

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "adding.md"
BLOCK = re.compile(r"(?:^`([\w/.]+)`:\n\n)?^```(\w+)\n(.*?)^```$", re.M | re.S)


@dataclass(frozen=True)
class Block:
    """A fenced block of the page: a file where its name stands before it, a command line, code, or what was said."""

    file: str
    kind: str
    text: str


def section(title: str) -> str:
    """What stands under a heading of the page."""
    found = re.split(r"^## (.*)\n", PAGE.read_text(encoding="utf-8"), flags=re.M)
    return dict(zip(found[1::2], found[2::2]))[title]


def blocks(title: str) -> list[Block]:
    return [Block(*m) for m in BLOCK.findall(section(title))]


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    """A checkout without its history: the package, its tests, and what writes the page of papers."""
    for name in ("src/stemma", "tests"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__", "goldens"))
    for name in ("benchmarks/papers.py", "docs/papers.json", "pyproject.toml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def said(scratch: Path, *command: str) -> str:
    """What a command prints in the scratch folder; it must end well."""
    ours = {"stemma": ["-m", "stemma"], "pytest": ["-m", "pytest", "-p", "no:cacheprovider"], "python": []}
    line = [sys.executable, *ours[command[0]], *command[1:]] if command[0] in ours else list(command)
    env = {**os.environ, "PYTHONPATH": str(scratch / "src"), "COLUMNS": "160", "NO_COLOR": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(line, cwd=scratch, env=env, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, f"{shlex.join(command)}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


def carried_out(title: str, scratch: Path) -> dict[str, str]:
    """Does all that a section says, in order; the commands and what they printed. Every line of a block of text must be
    in what the commands before it printed."""
    printed: dict[str, str] = {}
    for b in blocks(title):
        if b.file:
            assert not (scratch / b.file).exists(), f"{b.file} is there already: choose another example"
            (scratch / b.file).parent.mkdir(parents=True, exist_ok=True)
            (scratch / b.file).write_text(b.text, encoding="utf-8")
        elif b.kind == "console":
            for line in b.text.splitlines():
                printed[line] = said(scratch, *shlex.split(line))
        elif b.kind == "python":
            said(scratch, "python", "-c", b.text)
        else:
            assert b.kind == "text"
            assert not [x for x in b.text.splitlines() if x not in "\n".join(printed.values())], printed
    return printed


@pytest.mark.whole
def test_the_paper_of_the_page_is_one_of_the_house(scratch: Path) -> None:
    made = [b for b in blocks("A paper") if b.file]
    assert len(made) == 1 and len(made[0].text.splitlines()) < 60
    printed = carried_out("A paper", scratch)
    assert not [x for x in printed.values() if "WRONG" in x], "a count of the card"
    tests = next(v for k, v in printed.items() if k.startswith("pytest"))
    passed = re.search(r"(\d+) passed", tests)
    assert passed and int(passed[1]) >= 12 and "failed" not in tests and "skipped" not in tests, tests


def test_the_reader_of_the_page_reads(scratch: Path) -> None:
    assert len([b for b in blocks("A reader") if b.file]) == 1
    carried_out("A reader", scratch)


def test_the_network_of_the_page_is_carried_over(scratch: Path) -> None:
    assert [b.kind for b in blocks("A network to carry over")] == ["python"]
    carried_out("A network to carry over", scratch)


def test_the_wing_of_the_page_has_the_files_and_names_of_the_wings_there_are() -> None:
    text = section("A wing")
    rows = [r.split("|")[1].strip() for r in text.splitlines() if r.startswith("| `")]
    files, names = [r.strip("`") for r in rows if "/" in r], [r.strip("`") for r in rows if "/" not in r]
    assert sorted(names) == sorted(wings.Wing.__annotations__)
    there = {p.parent.name for p in (ROOT / "src" / "stemma" / "engine").glob("*/wing.py")}
    assert len(there) >= 2 and "tracking" not in there, "choose another name for the example"
    shown = re.search(r"on a terminal: (.*) \|", text)
    assert shown
    for wing in there:
        for file in files:
            assert (ROOT / "src" / "stemma" / file.replace("tracking", wing)).is_file(), (wing, file)
        module = importlib.import_module(f"stemma.engine.{wing}.wing")
        assert all(hasattr(module, n) for n in names)
        screen = importlib.import_module(f"stemma.cli.{wing}")
        assert all(hasattr(screen, n) for n in re.findall(r"`(\w+)`", shown[1]))
        assert hasattr(importlib.import_module(f"stemma.report.{wing}"), "write")
