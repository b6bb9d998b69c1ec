"""The rules of the house, read from the code itself."""
from __future__ import annotations

import ast
import importlib
from pathlib import Path
from typing import get_args

import pytest

import house
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
    return house.imported(path, ROOT)


@pytest.mark.whole
def test_the_picture_of_the_house() -> None:
    """Printed with `-s`: the table of imports between rooms. Right of the diagonal nothing stands."""
    print("\n" + house.picture(ROOT))
    rooms = [r for r in house.FLOORS if (ROOT / r).is_dir()]
    counts = house.between(ROOT)
    assert {r for pair in counts for r in pair} <= {*rooms, ""}, "a room without a floor"
    assert counts["papers", "parts"] > 100 and counts["core", "core"] > 0, "nothing was read"
    floor = {r: i for i, r in enumerate(rooms)}
    assert not {(a, b): n for (a, b), n in counts.items() if floor.get(b, 0) > floor.get(a, len(floor))}


def test_no_files_import_one_another_in_a_circle() -> None:
    assert house.circles(house.graph(ROOT, typing=True)) == []


def test_a_circle_is_found_wherever_the_import_stands(tmp_path: Path) -> None:
    root = tmp_path / "pkg"
    (root / "room").mkdir(parents=True)
    (root / "__init__.py").write_text("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from .a import f\n")
    (root / "room" / "__init__.py").write_text("")
    (root / "a.py").write_text("from .room import b\n\ndef f(): ...\n")
    (root / "room" / "b.py").write_text("def g():\n    from .c import h\n    return h\n")
    (root / "room" / "c.py").write_text(
        "from typing import TYPE_CHECKING\nfrom .. import a\nif TYPE_CHECKING:\n    from pkg.room.d import k\n"
    )
    (root / "room" / "d.py").write_text("import pkg.room.c\n")
    whole = [["pkg.a", "pkg.room.b", "pkg.room.c", "pkg.room.d"]]
    assert house.circles(house.graph(root, typing=True)) == whole
    assert house.circles(house.graph(root)) == [whole[0][:3]]
    (root / "room" / "b.py").write_text("")
    assert house.circles(house.graph(root)) == [] and house.circles(house.graph(root, typing=True)) == [whole[0][2:]]
    assert house.between(root) == {("", "room"): 1, ("room", ""): 1, ("room", "room"): 1}


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
    assert len(path.read_text().splitlines()) <= 180
    assert ast.get_docstring(ast.parse(path.read_text())), "the first line says what the paper is"


@pytest.mark.parametrize("path", sorted((ROOT / "skeletons").glob("*.py")), ids=lambda p: p.stem)
def test_a_skeleton_stays_small(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 240


def test_nothing_unpickles() -> None:
    for path in ROOT.rglob("*.py"):
        text = path.read_text()
        assert ("import pickle" not in text and "allow_pickle=True" not in text
                and "weights_only=False" not in text), path


COMMON = sorted(
    [ROOT / "engine" / "wings.py", *(ROOT / "cli" / f"{n}.py" for n in ("__init__", "working", "live", "screen")),
     *(ROOT / "engine" / "running").glob("*.py"), *(ROOT / "engine" / "comparing").glob("*.py")]
)


@pytest.mark.parametrize("path", COMMON, ids=lambda p: "/".join(p.parts[-2:]))
def test_a_common_file_names_no_task_and_no_wing(path: Path) -> None:
    """Common commands ask the wing that a card's task belongs to; they know none."""
    wings = {p.parent.name for p in (ROOT / "engine").glob("*/wing.py")}
    tasks = set(get_args(cards.Task)) - {"proposals"}  # which is a setting too
    assert {"pictures", "worlds"} <= wings and "detection" in tasks
    tree = ast.parse(path.read_text(encoding="utf-8"))
    asks = [n for n in ast.walk(tree) if isinstance(n, (ast.Compare, ast.MatchValue))]
    assert not {c.value for n in asks for c in ast.walk(n) if isinstance(c, ast.Constant)} & tasks, "asks for a task"
    taken = {x for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)
             for x in (*(n.module or "").split("."), *(a.name for a in n.names))}
    assert not taken & wings, "imports from a wing"


WINGS = sorted(p.parent for p in (ROOT / "engine").glob("*/wing.py"))


@pytest.mark.parametrize("wing", WINGS, ids=lambda p: p.name)
def test_a_wing_imports_no_other_wing(wing: Path) -> None:
    """What two wings need lies in `engine/running`, or below the engine."""
    others = {w.name for w in WINGS} - {wing.name}
    assert len(others) >= 4
    wrong = {f"{path.relative_to(ROOT)} imports {m}" for path in wing.rglob("*.py") for m in imports(path)
             if m.split(".")[1] == "engine" and m.split(".")[2:3] and m.split(".")[2] in others}
    assert not wrong, "\n".join(sorted(wrong))
