"""What the site is made of: pages written from the code, and the check that nothing in it is broken or from outside."""
from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "docs"))

import check  # noqa: E402
import pages  # noqa: E402

SOURCE = ROOT / "src" / "stemma"
WRITTEN = [p for p in (*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *ROOT.glob("findings/*.md"))]


@pytest.mark.parametrize("path", WRITTEN, ids=lambda p: p.name)
def test_links_between_pages_lead_to_files_and_places(path: Path) -> None:
    text = re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.M | re.S)
    links = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'(?:src|href)="([^"]+)"', text)
    wrong = []
    for link in links:
        if re.match(r"[a-z]+:", link):
            continue
        file, _, place = link.partition("#")
        into = path.parent / file if file else path
        if not into.exists() or place and into.suffix == ".md" and place not in places(into):
            wrong.append(link)
    assert not wrong


def places(page: Path) -> set[str]:
    """What a link into a page may name: its headings as GitHub and MyST spell them, and its own anchors."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    heads = re.findall(r"^#+ (.*)$", text, re.M)
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in heads} | set(re.findall(r'id="([^"]+)"', text))


def test_the_measurements_answer_first_and_their_head_leads_to_each() -> None:
    """A section begins with its answer, one bold sentence or two, and no two have one name; the head names each."""
    text = (ROOT / "docs" / "measured.md").read_text(encoding="utf-8")
    heads = re.findall(r"^(##+) (.*)$", text, re.M)
    assert len({h for _, h in heads}) == len(heads) > 80
    first = re.findall(r"^## .*\n\n(.*)", text, re.M)
    assert len(first) > 30 and [x for x in first if not x.startswith("**")] == []
    told = set(re.findall(r"\]\(#([^)]+)\)", text.partition("\n## ")[0]))
    every = {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for level, h in heads if level == "##"}
    assert every <= told


def test_no_two_commands_of_the_readme_write_into_one_folder() -> None:
    """They can be typed one after another: a run's folder is that of `--out`, else runs/PAPER or runs/compare."""
    blocks = re.findall(r"^```console\n(.*?)^```", (ROOT / "README.md").read_text(encoding="utf-8"), re.M | re.S)
    lines = [shlex.split(x, comments=True) for b in blocks for x in b.splitlines() if re.match("stemma (train|compare) ", x)]
    into = [w[w.index("--out") + 1] if "--out" in w else f"runs/{'compare' if w[1] == 'compare' else w[2]}" for w in lines]
    assert len(into) > 10 and len(set(into)) == len(into), into


def site(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        stem, _, kind = name.rpartition("_")
        (folder / f"{stem}.{kind}").write_text(text, encoding="utf-8")
    return folder


def test_a_whole_site_has_no_faults(tmp_path: Path) -> None:
    wrong, outside = check.faults(site(
        tmp_path,
        index_html='<link rel="stylesheet" href="a.css"><a href="b.html#two">b</a> <a href="#one"></a><p id="one"></p>'
        '<a href="https://example.org/x#y">out</a><img src="data:image/gif;base64,R0lGOD">'
        '<link rel="next" href="b.html">',
        b_html='<h1 id="two">&lt;img src="http://x"&gt;</h1><a href="index.html?q=1">i</a><a name="three"></a>'
        '<a href="#three">', a_css="p { background: url('c.svg') } /* url(http://gone) */", c_svg="<svg/>",
    ))
    assert wrong == [] and outside == 1


@pytest.mark.parametrize("bad,said", [
    ('<a href="gone.html">', "leads to no file"),
    ('<a href="#gone">', "no such place"),
    ('<a href="index.html#gone">', "no such place"),
    ('<a href="/index.html">', "root of the file system"),
    ('<a href="file:///tmp/x">', "links to file:"),
    ('<script src="https://example.org/x.js"></script>', "from outside"),
    ('<script src="//example.org/x.js"></script>', "from outside"),
    ('<img srcset="a.png 1x, https://example.org/b.png 2x" src="a.png">', "from outside"),
    ('<link rel="preconnect" href="https://fonts.example.org">', "from outside"),
    ('<style>@import "https://example.org/a.css";</style>', "from outside"),
    ('<p style="background: url(https://example.org/a.png)">', "from outside"),
    ('<img src="gone.png">', "leads to no file"),
])
def test_what_is_broken_or_from_outside_is_told(tmp_path: Path, bad: str, said: str) -> None:
    wrong, _ = check.faults(site(tmp_path, index_html=f"<p>{bad}</p>", a_png="x"))
    assert len(wrong) == 1 and said in wrong[0] and wrong[0].startswith("index.html: "), wrong
    assert check.main(str(tmp_path)) == 1


def test_an_empty_site_is_a_fault(tmp_path: Path) -> None:
    assert check.main(str(tmp_path)) == 1


def test_the_page_of_commands_is_their_own_help() -> None:
    text = pages.commands(SOURCE)
    for name in ("list", "show", "doctor", "train", "evaluate", "predict", "compare", "export", "import torchvision"):
        assert re.search(rf"^#+ `stemma {name}`$", text, re.M)
    assert "* `-b, --budget <str>`" in text and "### `python -m stemma.studies.temperature`" in text
    assert "```console\nstemma list\n" in text and not re.search(r"\[/|\[(bold|cyan|dim)\]", text)
    assert text.count("```") % 2 == 0


def test_docstrings_keep_every_character() -> None:
    said = pages.restructured(["`*A` candidates, **kw and |x|, a_ name_.", "", "    code: a * b", "",
                               "- one `two`", "- three"])
    assert said == ["``*A``\\  candidates, \\*\\*kw and \\|x\\|, a\\_ name\\_.", "", "::", "", "       code: a * b", "",
                    "- one ``two``", "- three", ""]


def test_fields_are_told_by_the_comments_beside_or_above_them(tmp_path: Path) -> None:
    package = tmp_path / "pkg"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "a.py").write_text(
        "class C:\n    x: int  # int64 (I,)\n    # of each picture,\n    # top first\n    y: float = 1.0\n    z: str\n"
        "    w: int = f(  # type: ignore[misc]\n    )\n"
    )
    assert pages.comments(package) == {"pkg.a.C.x": "int64 (I,)", "pkg.a.C.y": "of each picture, top first"}


def test_every_module_has_its_place_in_the_api() -> None:
    text = "\n".join(pages.api(SOURCE).values())
    told = set(re.findall(r"^\.\. automodule:: (\S+)$", text, re.M))
    names = (p.relative_to(SOURCE.parent).with_suffix("").as_posix().replace("/", ".") for p in SOURCE.rglob("*.py")
             if p.stem not in ("__init__", "__main__") and p.relative_to(SOURCE).parts[0] != "cli")
    assert set(names) <= told and "stemma" in told


def told_commands() -> list[tuple[str, bool]]:
    """Every command `stemma ...` of the pages, and whether it stands in a block to be copied or within a sentence."""
    out: list[tuple[str, bool]] = []
    for path in WRITTEN:
        text = path.read_text(encoding="utf-8")
        blocks = re.findall(r"^```console\n(.*?)^```", text, re.M | re.S)
        out += [(line, True) for block in blocks for line in block.splitlines() if line.startswith("stemma ")]
        text = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
        out += [(" ".join(line.split()), False) for line in re.findall(r"`(stemma [^`]+)`", text)]
    return out


def test_every_command_of_the_pages_is_one_that_the_command_line_takes() -> None:
    """Its options, its papers with their presets, and the settings that it makes. What stands in capitals stands for
    something else, S for a seed, and "..." for more; giou is the page's own (`test_adding.py`)."""
    import typer

    from stemma.cli import app
    from stemma.cli.screen import parse_sets
    from stemma.core import paper as papers
    from stemma.engine import wings
    from stemma.engine.comparing import compare
    from stemma.engine.running import checkpoint

    wrong, taken = [], 0
    for line, whole in dict.fromkeys(told_commands()):
        words = [w for w in shlex.split(line, comments=True)[1:] if w != "..."]
        words = ["0" if before == "--seed" and w == "S" else w for before, w in zip(["", *words], words)]
        command: object = typer.main.get_command(app)
        while words and (name := words[0]) in getattr(command, "commands", {}):
            command = command.commands[words.pop(0)]  # type: ignore[attr-defined]
        try:
            if not words or words == ["--help"]:
                continue
            given = command.make_context(name, words).params  # type: ignore[attr-defined]
            named = given.get("papers") or [p for p in (given.get("paper"), given.get("a"), given.get("b")) if p]
            named = [p for p in named if not p.isupper() and p != "giou"]
            sets = parse_sets([x for x in given.get("sets") or () if not x.partition("=")[2].isupper()])
            for paper, preset in compare._systems(named, given.get("preset") or "small")[0].values() if named else ():
                own = compare._sets_of(sets, paper)
                wings.check_sets(papers.get(paper), own)
                checkpoint.plan(papers.get(paper), preset, own)
            taken += 1
        except Exception as error:
            if whole or type(error).__name__ != "MissingParameter":
                wrong.append(f"{line}: {error}")
    assert not wrong and taken > 90, "\n".join(wrong)
