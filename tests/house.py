"""The picture of the house, read from the code: who imports whom, between rooms as a table, between files as circles.

    python tests/house.py                     # this tree: rooms, then the rooms inside rooms, then the circles
    python tests/house.py OTHER/src/stemma    # another checkout's
"""
from __future__ import annotations

import ast
import functools
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

Imports = Mapping[str, frozenset[str]]  # module -> the modules of the same package that it imports
FLOORS = (  # from the ground up
    "core", "ops", "parts", "skeletons", "papers", "data", "metrics", "engine", "report", "studies", "cli",
)


def modules(root: Path) -> dict[str, Path]:
    """Every module of the package at `root` by its full name."""
    found: dict[str, Path] = {}
    for path in sorted(root.rglob("*.py")):
        parts = (root.name, *path.relative_to(root).with_suffix("").parts)
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def _running(tree: ast.AST) -> Iterator[ast.AST]:
    """Nodes of a tree without what stands under `if TYPE_CHECKING:`, which no run carries out."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            for other in node.orelse:
                yield other
                yield from _running(other)
            continue
        yield node
        yield from _running(node)


def imported(path: Path, root: Path, *, typing: bool = True) -> set[str]:
    """Full names that a file imports from its package, at the top or inside functions: "stemma.data.open.splits".

    `typing`: count what is imported for the type checker alone too.
    """
    package = (root.name, *path.relative_to(root).parts[:-1])
    return set(_imported(path.read_text(encoding="utf-8"), package, typing))


@functools.cache
def _imported(text: str, package: tuple[str, ...], typing: bool) -> frozenset[str]:
    tree = ast.parse(text)
    found: set[str] = set()
    for node in ast.walk(tree) if typing else _running(tree):
        if isinstance(node, ast.Import):
            found |= {a.name for a in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            module = ".".join(x for x in (base, node.module or "") if x)
            found |= {f"{module}.{a.name}" for a in node.names}
    return frozenset(m for m in found if m.split(".")[0] == package[0])


def graph(root: Path, *, typing: bool = False) -> dict[str, frozenset[str]]:
    """Every module and the modules that it imports; a name that is no module counts for the module that defines it.

    `typing`: with what is imported for the type checker alone. Not that of the package's own face, whose names are
    loaded when they are used.
    """
    known = modules(root)

    def home(name: str) -> str:
        while name not in known:
            name = name.rpartition(".")[0]
        return name

    names = {m: imported(p, root, typing=typing and m != root.name) for m, p in known.items()}
    return {m: frozenset(home(n) for n in found) - {m} for m, found in names.items()}


def circles(imports: Imports) -> list[list[str]]:
    """Groups of modules that import one another, however far round (Tarjan's strongly connected), sorted."""
    number: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(m: str) -> None:
        number[m] = low[m] = len(number)
        stack.append(m)
        for n in sorted(imports[m]):
            if n not in number:
                visit(n)
                low[m] = min(low[m], low[n])
            elif n in stack:
                low[m] = min(low[m], number[n])
        if low[m] == number[m]:
            group = [stack.pop()]
            while group[-1] != m:
                group.append(stack.pop())
            if len(group) > 1:
                found.append(sorted(group))

    for m in imports:
        if m not in number:
            visit(m)
    return sorted(found)


def room(module: str, depth: int = 1, packages: Iterable[str] = ()) -> str:
    """The room of a module: "data" of stemma.data.readers.coco, at depth 2 "data.readers"; "" beside the rooms."""
    parts = module.split(".")[1:]
    inside = parts if module in packages else parts[:-1]
    return ".".join(inside[:depth])


def between(root: Path, depth: int = 1) -> Counter[tuple[str, str]]:
    """(room, room that it imports) -> how many imports of modules lead there, without those for the type checker."""
    known = modules(root)
    packages = {m for m, p in known.items() if p.stem == "__init__"}
    counts: Counter[tuple[str, str]] = Counter()
    for m, others in graph(root).items():
        for n in others:
            counts[room(m, depth, packages), room(n, depth, packages)] += 1
    return counts


def table(root: Path, depth: int = 1) -> str:
    """Rows import columns. Floors are in order, so that what stands right of the diagonal climbs.

    At depth 2 columns are numbered as rows are.
    """
    counts = between(root, depth)
    known = modules(root)
    packages = {m for m, p in known.items() if p.stem == "__init__"}
    files = Counter(room(m, depth, packages) for m, p in known.items() if m not in packages or p.stat().st_size)
    rooms = sorted((r for r in files if r), key=lambda r: (FLOORS.index(r.split(".")[0]), r))
    head = [r if depth == 1 else str(i + 1) for i, r in enumerate(rooms)]
    cell = max(3, *(len(h) for h in head)) + 1
    tags = [r if depth == 1 else f"{i + 1:>2} {r}" for i, r in enumerate(rooms)]
    wide = max(19, *map(len, tags))
    lines = [f"{'rows import columns':<{wide}} files" + "".join(f"{h:>{cell}}" for h in head)]
    for r, t in zip(rooms, tags):
        lines.append(f"{t:<{wide}} {files[r]:>5}" + "".join(f"{counts[r, c] or '.':>{cell}}" for c in rooms))
    return "\n".join(lines)


def picture(root: Path) -> str:
    """Both tables and the circles, as text."""
    found = circles(graph(root, typing=True))
    said = [f"circle: {' - '.join(m.removeprefix(root.name + '.') for m in c)}" for c in found]
    said = said or ["no circle between files"]
    return "\n\n".join((table(root), table(root, 2), "\n".join(said)))


if __name__ == "__main__":
    print(picture(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parents[1] / "src" / "stemma"))
