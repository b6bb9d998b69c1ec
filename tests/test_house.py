"""The rules of the house, read from the code itself."""
from __future__ import annotations

import ast
import importlib
from pathlib import Path

import pytest

import stemma
from stemma.core import paper as cards

ROOT = Path(stemma.__file__).parent
ABOVE = {  # room -> rooms that it may import
    "core": set(),
    "ops": {"core"},
    "parts": {"core", "ops"},
    "skeletons": {"core", "ops", "parts"},
    "papers": {"core", "ops", "parts", "skeletons", "papers"},
    "data": {"core", "ops"},
    "metrics": {"core", "ops"},
    "engine": {"core", "ops", "parts", "skeletons", "papers", "data", "metrics"},
    "report": {"core", "ops", "parts", "skeletons", "papers", "data", "metrics", "engine"},
}


def imports(path: Path) -> set[str]:
    """Full names of the `stemma` modules that a file imports, at the top or inside functions."""
    package = ("stemma", *path.relative_to(ROOT).parts[:-1])
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {a.name for a in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            module = ".".join(x for x in (base, node.module or "") if x)
            found |= {f"{module}.{a.name}" for a in node.names}
    return {m for m in found if m.split(".")[0] == "stemma"}


@pytest.mark.parametrize("room", ABOVE)
def test_a_room_imports_only_what_lies_below_it(room: str) -> None:
    wrong = []
    for path in (ROOT / room).rglob("*.py"):
        for module in imports(path):
            other = module.split(".")[1]
            if (ROOT / other).is_dir() and other not in ABOVE[room] | {room}:
                wrong.append(f"{path.relative_to(ROOT)} imports {module}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("name", cards.names())
def test_a_paper_imports_only_its_ancestors_and_reads_in_one_sitting(name: str) -> None:
    card = cards.get(name)
    path = Path(importlib.import_module(card.spec.__module__).__file__ or "")
    used = {part for m in imports(path) if m.startswith("stemma.papers.") for part in m.split(".")[3:4]}
    assert used <= card.ancestors() - {name}
    assert len(path.read_text().splitlines()) <= 150
    assert ast.get_docstring(ast.parse(path.read_text())), "the first line says what the paper is"


@pytest.mark.parametrize("path", sorted((ROOT / "skeletons").glob("*.py")), ids=lambda p: p.stem)
def test_a_skeleton_stays_small(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 200


def test_nothing_unpickles() -> None:
    for path in ROOT.rglob("*.py"):
        text = path.read_text()
        assert ("import pickle" not in text and "allow_pickle=True" not in text
                and "weights_only=False" not in text), path
