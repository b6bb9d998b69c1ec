"""Pages of the site that are written from the code: commands from their own help, the Python API from its docstrings.

`conf.py` calls `write` before Sphinx reads anything. What is written lies in docs/made, which git ignores.
"""
from __future__ import annotations

import ast
import io
import os
import re
import subprocess
import sys
import tokenize
from pathlib import Path

ROOMS = {  # as `docs/house.md` has them
    "core": "The vocabulary: parts, papers, recipes and the values that flow.",
    "ops": "Functions of tensors.",
    "parts": "What two papers share.",
    "skeletons": "The few shapes that systems have.",
    "papers": "One file a paper. Their cards: `stemma show`.",
    "data": "Reading, drawing, checking, loading.",
    "metrics": "Measures.",
    "engine": "Training, comparing, measuring, predicting, exporting.",
    "report": "Pages of results.",
    "studies": "Questions about papers, each an experiment with a page.",
}

HELPS = """
import runpy, sys
for module in sys.argv[1:]:
    sys.argv[1:] = ["--help"]
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        if end.code:
            raise
        print(end="\\0")
"""

MARKUP = re.compile(r"\[/?[a-z ]*\]")  # the terminal's: [bold], [/]


def write(source: Path, to: Path) -> list[Path]:
    """Write every page under `to` from the package at `source` (src/stemma); pages that are no longer written go."""
    texts = {"commands.md": commands(source), **api(source)}
    for old in to.rglob("*.*"):
        if old.relative_to(to).as_posix() not in texts:
            old.unlink()
    for name, text in texts.items():
        path = to / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.is_file() or path.read_text(encoding="utf-8") != text:  # the unchanged keeps its time: read once
            path.write_text(text, encoding="utf-8")
    return [to / name for name in texts]


# ---------------------------------------------------------------- commands


def commands(source: Path) -> str:
    """The page of commands: what each says of itself, and the studies' help."""
    said = help_of("typer", "stemma.cli", "utils", "docs", "--name", "stemma", source=source)
    studies = [p.stem for p in sorted((source / "studies").glob("*.py")) if p.stem != "__init__"]
    lines = [unmarked(said).replace("# `stemma`", "# Commands", 1).rstrip(), "", "## Studies", ""]
    for name, shown in zip(studies, helps(studies, source), strict=True):
        lines += [f"### `python -m stemma.studies.{name}`", "", "```text", shown.rstrip(), "```", ""]
    return "\n".join(lines)


def helps(studies: list[str], source: Path) -> list[str]:
    """What `python -m stemma.studies.NAME --help` prints, of each: one process, as each alone would import PyTorch."""
    modules = [f"stemma.studies.{name}" for name in studies]
    said = printed("-c", HELPS, *modules, source=source).split("\0")
    if len(said) != len(studies) + 1:
        raise RuntimeError(f"{len(studies)} studies, {len(said) - 1} helps: one of them prints no help and goes on")
    return said[:-1]


def help_of(module: str, *args: str, source: Path) -> str:
    """What `python -m module args` prints, at a width of 100 and without colours."""
    return printed("-m", module, *args, source=source)


def printed(*words: str, source: Path) -> str:
    path = os.pathsep.join([str(source.parent), os.environ.get("PYTHONPATH", "")])
    env = {**os.environ, "COLUMNS": "100", "NO_COLOR": "1", "PYTHONPATH": path}
    done = subprocess.run([sys.executable, *words], env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"python {' '.join(words)}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def unmarked(text: str) -> str:
    """Typer's page of help without the terminal's markup: headings of examples are strong, the examples are code."""
    out: list[str] = []
    for line in text.splitlines():
        if line.startswith("  [cyan]"):
            if out and out[-1] == "```":
                out.pop()
            else:
                out += ["", "```console"]
            out += [MARKUP.sub("", line).strip(), "```"]
        elif line.startswith("[bold]"):
            out.append(f"**{MARKUP.sub('', line).strip()}**")
        else:
            out.append(line)
    return "\n".join(out) + "\n"


# ---------------------------------------------------------------- the Python API


def api(source: Path) -> dict[str, str]:
    """{file: text} of the API's pages: the names of the package, then a page a room with a section a module."""
    package = source.name
    rooms: dict[str, list[str]] = {}
    for path in sorted(source.rglob("*.py")):
        parts = path.relative_to(source).with_suffix("").parts
        if parts[0] not in ROOMS or (parts[-1] == "__init__" and not path.stat().st_size):
            continue
        name = parts[:-1] if parts[-1] == "__init__" else parts
        rooms.setdefault(".".join(parts[:-1]), []).append(".".join((package, *name)))
    ordered = sorted(rooms, key=lambda r: (list(ROOMS).index(r.split(".")[0]), r))
    pages = {"api/stemma.rst": heading("The package", "=") + f".. automodule:: {package}\n   :members:\n\n"}
    for room in ordered:
        text = heading(room, "=")
        text += f"{ROOMS[room]}\n\n".replace("`", "``") if room in ROOMS else ""
        for module in rooms[room]:
            text += heading(module.removeprefix(f"{package}."), "-") + f".. automodule:: {module}\n"
            text += "   :members:\n   :undoc-members:\n   :ignore-module-all:\n\n"
        pages[f"api/{room}.rst"] = text
    tree = "".join(f"   {name.removeprefix('api/').removesuffix('.rst')}\n" for name in pages)
    pages["api/index.rst"] = heading("Python", "=") + f".. toctree::\n   :maxdepth: 1\n   :titlesonly:\n\n{tree}"
    return pages


def comments(source: Path) -> dict[str, str]:
    """{"stemma.data.records.Table.files": "relative to the root"}: what stands behind or above the fields of classes.

    A field has no docstring of its own; its shape, dtype and unit are in the comment beside it.
    """
    found: dict[str, str] = {}
    for path in sorted(source.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        tokens = tokenize.generate_tokens(io.StringIO(text).readline)
        said = {t.start[0]: t for t in tokens if t.type == tokenize.COMMENT}
        parts = path.relative_to(source.parent).with_suffix("").parts
        module = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        for c in ast.walk(ast.parse(text)):
            for node in c.body if isinstance(c, ast.ClassDef) else ():
                if not isinstance(node, ast.AnnAssign) or not isinstance(node.target, ast.Name):
                    continue
                lines = [said[node.end_lineno]] if node.end_lineno in said else []
                if not lines:
                    above = node.lineno - 1
                    while above in said and not said[above].line[: said[above].start[1]].strip():
                        lines, above = [said[above], *lines], above - 1
                if lines and "type:" not in lines[0].string and "noqa" not in lines[0].string:
                    found[f"{module}.{c.name}.{node.target.id}"] = " ".join(t.string.lstrip("# ") for t in lines)
    return found


def classes(source: Path) -> set[str]:
    """The names of all classes of the package."""
    trees = (ast.parse(p.read_text(encoding="utf-8")) for p in source.rglob("*.py"))
    return {c.name for tree in trees for c in ast.walk(tree) if isinstance(c, ast.ClassDef)}


def heading(text: str, line: str) -> str:
    return f"{text}\n{line * len(text)}\n\n"


def restructured(lines: list[str]) -> list[str]:
    """A docstring as reStructuredText that says the same: prose is escaped, `code` is code, indented blocks stay.

    Our docstrings are plain text. Read as markup, `*args`, `|x|` or `x_` would be lost or refused.
    """
    out: list[str] = []
    blocks: list[list[str]] = [[]]
    for line in [*lines, ""]:
        if line.strip():
            blocks[-1].append(line.rstrip())
        elif blocks[-1]:
            blocks.append([])
    for block in blocks:
        if not block:
            continue
        bullets = block[0].startswith(("- ", "* "))
        prose, rest = block, []
        if not bullets:
            cut = next((i for i, x in enumerate(block) if x.startswith("   ")), len(block))
            prose, rest = block[:cut], block[cut:]
        out += [marked(x) for x in prose]
        if prose:
            out.append("")
        if rest:
            out += ["::", "", *("   " + x for x in rest), ""]
    return out


def marked(line: str) -> str:
    """One line of prose: what stands between single backticks is code, every other character itself."""
    bullet, text = (line[:2], line[2:]) if line.startswith(("- ", "* ")) else ("", line)
    pieces = re.split(r"(`+[^`]+`+)", text)
    said = []
    for piece in pieces:
        code = piece.strip("`")
        if len(piece) > 2 and piece[0] == piece[-1] == "`" and code.strip():
            said.append(f"``{code.strip()}``\\ ")
        else:
            said.append(re.sub(r"([\\*`|_])", r"\\\1", piece))
    return bullet + "".join(said).rstrip().removesuffix("\\")
