"""A row for every paper: what is counted exactly, which tests assert its identities and against what, and what its
`small` preset learns.

    python benchmarks/papers.py                                  # every paper of `localization` that has no result yet,
                                                                 then the page
    python benchmarks/papers.py fpn ssd --budget 3000images      # some of them
    python benchmarks/papers.py --budget 40s --seeds 3 --long    # and two more seeds of each that has none, and each at
                                                                 the length that its `small` preset says itself
    python benchmarks/papers.py --tests                          # run each paper's tests, and note what passed and how
                                                                 far oracles agree; no training
    python benchmarks/papers.py --page                           # write docs/papers.md from what is known,
                                                                 training nothing

Results are kept in docs/papers.json after every paper, and a paper that was interrupted goes on where its run was
saved, so that the whole may be done in parts. A result counts for one budget and data set; --again measures anew.
All systems train under the same budget, in which each sees as many pictures as it manages (the page says how many),
and are measured on the same held-out scenes with their last weights.
"""
from __future__ import annotations

import argparse
import ast
import importlib
import json
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parents[1]
SOURCE, TESTS, DOCS = ROOT / "src", ROOT / "tests", ROOT / "docs"
# of all papers alike
ELSEWHERE = {  # the section of docs/measured.md that says what a paper, or a wing's, learns: no 40 s of scenes can
    "worlds": "agents", "editing": "editors", "transfer": "networks-that-are-carried-over",
    "rational-meaning": "sentences-and-their-meanings", "calibrated-hallucination": "facts-and-what-is-said-of-them"}
GENERAL = ("test_battery", "test_lineage", "test_house", "test_cli", "test_lineage_page", "test_report")
Node = tuple[str, str]  # module, name at its top level


# ---------------------------------------------------------------- which test is about which paper


def module_of(path: Path) -> str:
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def names_in(tree: ast.AST) -> set[str]:
    """Every name that is read in a piece of code, "a.b" for an attribute of a name, and its short strings, quoted."""
    found: set[str] = set()
    for n in ast.walk(tree):
        if isinstance(n, ast.Name):
            found.add(n.id)
        elif isinstance(n, ast.Attribute) and isinstance(n.value, ast.Name):
            found |= {n.value.id, f"{n.value.id}.{n.attr}"}
        elif isinstance(n, ast.Constant) and isinstance(n.value, str) and len(n.value) < 40:
            found.add(repr(n.value))
    return found


def imports_of(tree: ast.Module, package: str) -> dict[str, Node]:
    """Local name -> (module, name) of what a file imports from stemma; the name is "" for a whole module."""
    found: dict[str, Node] = {}
    for n in ast.walk(tree):
        if not isinstance(n, ast.ImportFrom):
            continue
        up = package.split(".")[: len(package.split(".")) - n.level + 1] if n.level else []
        base = ".".join([*up, *([n.module] if n.module else [])])
        if base.split(".")[0] != "stemma":
            continue
        for a in n.names:
            whole = SOURCE.joinpath(*base.split("."), a.name)
            is_module = whole.with_suffix(".py").is_file() or whole.is_dir()
            found[a.asname or a.name] = (f"{base}.{a.name}", "") if is_module else (base, a.name)
    return found


def definitions(tree: ast.Module) -> dict[str, ast.AST]:
    """What a file defines at its top level."""
    found: dict[str, ast.AST] = {}
    for n in tree.body:
        if isinstance(n, (ast.FunctionDef, ast.ClassDef)):
            found[n.name] = n
        elif isinstance(n, ast.Assign):
            found |= {t.id: n for t in n.targets if isinstance(t, ast.Name)}
        elif isinstance(n, ast.AnnAssign) and isinstance(n.target, ast.Name):
            found[n.target.id] = n
    return found


def resolved(names: set[str], local: dict[str, Node], own: dict[str, ast.AST], module: str) -> set[Node]:
    """The definitions that names of a file stand for."""
    found: set[Node] = set()
    for name in names:
        head, _, tail = name.partition(".")
        if name in own:
            found.add((module, name))
        elif head in local:
            home, what = local[head]
            if what and not tail:
                found.add((home, what))
            elif not what:
                found.add((home, tail))
    return found


def graph() -> dict[Node, set[Node]]:
    """Every definition under src/stemma and the definitions that it uses."""
    uses: dict[Node, set[Node]] = {}
    for path in SOURCE.rglob("*.py"):
        tree, module = ast.parse(path.read_text(encoding="utf-8")), module_of(path)
        local, own = (imports_of(tree, module.rpartition(".")[0] if path.stem != "__init__" else module),
                      definitions(tree))
        for name, code in own.items():
            uses[module, name] = resolved(names_in(code), local, own, module) - {(module, name)}
    return uses


def owned(papers: list[Any], uses: dict[Node, set[Node]]) -> dict[str, set[Node]]:
    """By paper, the definitions outside papers that nothing but it and its descendants use,
    directly or through one another.

    What nothing uses inside the package is there to be called by its reader; a use by it does not count.
    """
    users: dict[Node, set[Node]] = defaultdict(set)
    called = {node for used in uses.values() for node in used}
    for user, used in uses.items():
        for node in used:
            if user in called or user[0].startswith("stemma.papers."):
                users[node].add(user)
    out: dict[str, set[Node]] = {}
    for p in papers:
        family = {q.spec.__module__ for q in papers if p.name in q.ancestors()}
        mine: set[Node] = {n for n in uses if n[0] == p.spec.__module__}
        grown = True
        while grown:
            near = {m for n in mine for m in uses.get(n, set())} - mine
            new = {m for m in near if m in uses and not m[0].startswith("stemma.papers.")
                   and all(u in mine or u[0] in family for u in users[m])}
            grown = bool(new)
            mine |= new
        out[p.name] = mine
    return out


def tests_of(papers: list[Any]) -> dict[str, list[dict[str, Any]]]:
    """By paper, its tests as {"id": "tests/x.py::test_y", "oracle": name or ""}: those that name it, or what it alone
    uses, or are marked as its own."""
    mine = owned(papers, graph())
    out: dict[str, list[dict[str, Any]]] = {p.name: [] for p in papers}
    for path in sorted(TESTS.glob("test_*.py")):
        if path.stem in GENERAL:
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        local, own = imports_of(tree, ""), definitions(tree)
        for name, code in own.items():
            if not name.startswith("test_"):
                continue
            names = closure(code, own)
            nodes = resolved(names, local, {}, "")
            oracle, theirs = marked(code)
            for p in papers:
                named = {repr(p.name), repr(p.cli_name)} & names or any(home == p.spec.__module__ for home, _ in nodes)
                if named or nodes & mine[p.name] or p.name in theirs:
                    out[p.name].append({"id": f"tests/{path.name}::{name}",
                                        "oracle": oracle if p.name in theirs else ""})
    return out


def marked(code: ast.AST) -> tuple[str, tuple[str, ...]]:
    """(oracle, papers) of a test's mark `oracle`, or ("", ())."""
    for d in getattr(code, "decorator_list", []):
        if isinstance(d, ast.Call) and ast.unparse(d.func) == "pytest.mark.oracle":
            oracle, *theirs = (str(ast.literal_eval(a)) for a in d.args)
            return oracle, tuple(theirs)
    return "", ()


def closure(code: ast.AST, own: dict[str, ast.AST]) -> set[str]:
    """Names that a test reads, itself or through helpers of its file."""
    names, open_, seen = set[str](), [code], set[str]()
    while open_:
        found = names_in(open_.pop())
        open_ += [own[n] for n in found if n in own and n not in seen]
        seen |= found & set(own)
        names |= found
    return names


def run_tests(ids: list[str]) -> Path:
    """Run tests, those that are left out by default included, and return pytest's report."""
    out = ROOT / "runs" / "papers-tests.xml"
    out.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run([sys.executable, "-m", "pytest", "-q", "-m", "", "-p", "no:cacheprovider", f"--junitxml={out}",
                    *ids], cwd=ROOT, check=False)
    return out


def cases_of(reports: list[Path]) -> dict[str, list[dict[str, str]]]:
    """By test, its cases in pytest's reports: {"outcome", and of one with an oracle "oracle" and "agreement" or "how"}.
    Of a case in several reports the last one counts."""
    last: dict[tuple[str, str], dict[str, str]] = {}
    for c in (c for r in reports for c in ElementTree.parse(r).getroot().iter("testcase")):
        bad = c.find("failure") is not None or c.find("error") is not None
        case = {"outcome": "failed" if bad else "skipped" if c.find("skipped") is not None else "passed"}
        case |= {p.get("name", ""): p.get("value", "") for p in c.iter("property")}
        last[c.get("classname", "").replace(".", "/"), c.get("name", "")] = case
    found: dict[str, list[dict[str, str]]] = defaultdict(list)
    for (file, name), case in last.items():
        found[f"{file}.py::{name.partition('[')[0]}"].append(case)
    return found


def summary(cases: list[dict[str, str]]) -> dict[str, Any]:
    """{"passed", "skipped", "failed"}, and "agreement": by oracle, the largest difference that its tests found, or how
    else they agree."""
    agreement: dict[str, Any] = {}
    for c in cases:
        if "how" in c:
            agreement[c["oracle"]] = c["how"]
        elif "agreement" in c and not isinstance(agreement.get(c["oracle"]), str):
            agreement[c["oracle"]] = max(agreement.get(c["oracle"], 0.0), float(c["agreement"]))
    return ({k: sum(c["outcome"] == k for c in cases) for k in ("passed", "skipped", "failed")}
            | {"agreement": agreement})


# ---------------------------------------------------------------- counts and training


def counts(p: Any) -> list[dict[str, Any]]:
    """Every count that the card states; those of all parameters are taken from the net itself, built without memory."""
    import torch

    from stemma.core.part import edit
    from stemma.core.sentence import many

    out = []
    for f in p.facts:
        row: dict[str, Any] = {"what": f.what, "value": f.value,
                               "of": " ".join(x for x in (f.variant, many(f.classes, "class", "classes")) if x)}
        if f.what == "parameters":
            spec = p.spec(f.variant or "paper")
            for path, value in f.sets:
                spec = edit(spec, path, value)
            with torch.device("meta"):
                row["found"] = sum(x.numel() for x in spec.build(f.classes).parameters())
        out.append(row)
    return out


def numbers(result: dict[str, Any]) -> dict[str, float]:
    return {k: v for k, v in result.items() if isinstance(v, (int, float)) and not isinstance(v, bool)
            and k not in ("images", "loss")}


def learn(p: Any, preset: str, data: str, budget: str, val: int, seed: int, folder: Path) -> dict[str, Any]:
    """What a paper's preset learns of `budget`, and what its net says before."""
    import torch

    import stemma
    from stemma.engine.pictures.tasks import main_metric

    began = time.process_time()
    run = stemma.train(p.name, data, budget=budget, preset=preset, out=folder, seed=seed, resume=True, val_every=0,
                       val_images=8, progress=False)
    steps = list(run.metrics("train"))
    torch.manual_seed(seed)
    trained = stemma.evaluate(run, data, which="last", limit=val)
    net = stemma.build(p.name, preset=preset, info=run.load("last").info)
    untrained = stemma.evaluate(net, data, limit=val)
    return {
        "main": main_metric(p.task_of(preset)), "trained": numbers(trained), "untrained": numbers(untrained),
        "day": time.strftime("%Y-%m-%d"), "images": steps[-1]["images"], "steps": steps[-1]["step"],
        "seconds": round(steps[-1]["wall"], 1),
        "core_seconds": round(time.process_time() - began, 1), "parameters": run.record["parameters"],
    }


def asked(p: Any, budget: str, seeds: int, long: bool, row: dict[str, Any]) -> Iterator[tuple[Any, str, str, int]]:
    """(where the result goes, under which name, budget, seed) of each training that a row lacks."""
    if "learned" not in row:
        yield row, "learned", budget, 0
    others = row.setdefault("others", {})
    for seed in range(1, seeds):
        if str(seed) not in others:
            yield others, str(seed), budget, seed
    if long and "long" not in row and p.recipe("small").length != budget:
        yield row, "long", p.recipe("small").length, 0


# ---------------------------------------------------------------- the page


def score(v: float | None) -> str:
    return "–" if v is None else f"{v:.3f}".replace("0.", ".", 1) if abs(v) < 1 else f"{v:.3f}"


LIBRARIES = ("torchvision", "torch", "scipy", "scikit-learn", "pydensecrf", "pycocotools", "panopticapi", "cma", "timm",
             "diffusers", "transformers", "numpy", "scikit-image")
OURS = ("restated", "loop", "by hand", "pixel by pixel", "procedure", "equations", "paths")


def kind_of(oracle: str) -> str:
    """What an oracle is. "library": another library's own computation; "authors' numbers": those that they published;
    "restated by us": the paper's or the authors' procedure, written again by us, slowly; "our own other path": our code
    reached in another way. The first two alone are independent."""
    words = oracle.lower()
    if "authors' numbers" in words or "published numbers" in words:
        return "authors' numbers"
    if any(w in words for w in OURS):
        return "restated by us"
    if words == "autograd" or any(words == n or words.startswith(f"{n}'") or words.endswith(f" of {n}")
                                  for n in LIBRARIES):
        return "library"
    return "our own other path"


def said_of(oracle: str, agreement: float | str | None) -> str:
    """An oracle, called what it is, with what was found when it was asked."""
    oracle = f"{kind_of(oracle)}: {oracle}"
    if agreement is None:
        return oracle
    return (f"{oracle}: {agreement}" if isinstance(agreement, str) else f"{oracle}: {agreement:.0e}" if agreement
            else f"{oracle}: equal")


def reached(row: dict[str, Any], measure: str) -> list[float]:
    """What every seed of a row reached by a measure, the first seed first."""
    every = [row["learned"], *(row.get("others", {})[k] for k in sorted(row.get("others", {}), key=int))]
    return [r["trained"][measure] for r in every if measure in r["trained"]]


def spread(values: list[float]) -> str:
    """A mean, and with two values or more their deviation and how many they are."""
    if len(values) < 2:
        return score(values[0] if values else None)
    return f"{score(statistics.mean(values))} ± {score(statistics.stdev(values))} ({len(values)} seeds)"


def longer(row: dict[str, Any]) -> str:
    """What the preset reached in the length that it says itself."""
    if "long" not in row:
        return ""
    r = row["long"]
    return f"{score(r['trained'].get(r['main']))} ({r['budget']}, {r['images']:,} images)"


def apart(mine: dict[str, Any], theirs: dict[str, Any]) -> bool:
    """Whether two rows were measured at times too different to be compared: more than a day lies between, or one alone
    says when."""
    if "day" not in mine or "day" not in theirs:
        return mine.get("day") != theirs.get("day")
    return abs((date.fromisoformat(mine["day"]) - date.fromisoformat(theirs["day"])).days) > 1


def beside(p: Any, known: dict[str, Any]) -> Iterator[str]:
    """What each parent reached under the same budget, in the measure that both have."""
    mine = known[p.name].get("learned")
    for edge in p.parents:
        theirs = known.get(edge.paper.name, {}).get("learned")
        if not mine or not theirs:
            yield f"{edge.paper.label}: not measured"
            continue
        if apart(mine, theirs):
            yield f"{edge.paper.label}: measured on another day"
            continue
        parent = known[edge.paper.name]
        both = [m for m in (mine["main"], theirs["main"]) if m in mine["trained"] and m in theirs["trained"]]
        if not both:
            yield f"{edge.paper.label}: measured by {theirs['main']}"
            continue
        means = [score(statistics.mean(reached(r, both[0]))) for r in (known[p.name], parent)]
        here = "" if both[0] == mine["main"] else f" (this one {means[0]})"
        yield f"{edge.paper.label}: {both[0]} {means[1]}{here}"


def page(papers: list[Any], known: dict[str, Any], settings: dict[str, Any]) -> str:
    """docs/papers.md."""
    lines = [
        "# The papers, one by one", "",
        "This page is written by `python benchmarks/papers.py`; nothing in it is typed by hand.", "",
        f"Learned: the `small` preset after {settings['budget']} of `{settings['data']}`, on "
        f"{settings['val']} held-out scenes, beside its own net with random weights and beside its parents under the "
        "same budget; and, where that was measured, after the length that the preset says itself. Mean and deviation "
        "where a row says its seeds, else one seed: gaps under .03 are noise. Seconds are those of the first seed, "
        "of the training loop by the clock, and of the processor over training and both measurements. 40 seconds hold "
        "more work on one machine and day than on another, so a row stands beside its parents' of that day or the next "
        "alone. `small` presets "
        "are ours, for two cores; they are not the papers' settings.", "", "Besides its own tests, each paper runs the "
        "battery (`tests/test_battery.py`), and every sentence of its lineage is held against the two systems "
        "(`tests/test_lineage.py`).", "",
        "An oracle is called what it is: another `library`, `authors' numbers`, `restated by us` (the published "
        "procedure in slow code of ours) or `our own other path`. The first two alone are independent.", "",
        "| paper | file | measure | untrained | learned | at its own length | its parents | images | seconds (core) "
        "| day | counts | tests | oracles |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for p in papers:
        row = known.get(p.name, {})
        learned, tests = row.get("learned"), row.get("tests", [])
        ran = row.get("ran")
        wrong = [c for c in row.get("counts", []) if c.get("found", c["value"]) != c["value"]]
        counted = f"{len(row.get('counts', []))}" + (f", {len(wrong)} WRONG" if wrong else "")
        agreed = (ran or {}).get("agreement", {})
        oracles = [said_of(o, agreed.get(o)) for o in sorted({t["oracle"] for t in tests} - {""})]
        done = f"{len(tests)}"
        if ran:
            done += (f" ({ran['passed']} cases passed"
                     + "".join(f", {ran[k]} {k}" for k in ("skipped", "failed") if ran[k]) + ")")
        cells = [f"[{p.label}](#{p.cli_name})", f"{row.get('lines', '')} lines"]
        if learned:
            m = learned["main"]
            cells += [m, score(learned["untrained"].get(m)), f"**{spread(reached(row, m))}**", longer(row),
                      "; ".join(beside(p, known)) or "–",
                      f"{learned['images']:,}", f"{learned['seconds']:.0f} ({learned['core_seconds']:.0f})",
                      learned.get("day", "")]
        else:
            section = ELSEWHERE.get(p.name) or ELSEWHERE.get(p.spec.__module__.split(".")[-2])
            where = f"[measured apart](measured.md#{section})" if section else "not measured"
            cells += ["", "", row.get("failed", where), "",
                      "; ".join(e.paper.label for e in p.parents) or "–", "", "", ""]
        lines.append("| " + " | ".join([*cells, counted, done, "; ".join(oracles) or "–"]) + " |")
    for p in papers:
        row = known.get(p.name, {})
        said = p.line.partition(": ")[2] or p.line
        lines += ["", f"<a id=\"{p.cli_name}\"></a>", "", f"## {p.label}", ""]
        lines += [f"{p.title} ({p.authors}, {p.year}, arXiv {p.arxiv}). {said[:1].upper()}{said[1:]}", ""]
        for e in p.parents:
            lines += [f"From {e.paper.label}: " + "; ".join(w for _, w in e.changes) + ".", ""]
        if row.get("counts"):
            told = "; ".join(f"{c['what']} ({c['of']}) {c['value']:,}" for c in row["counts"])
            lines += [f"Counts, parameters built and compared by this script, all of them by tests: {told}.", ""]
        if row.get("tests"):
            told = ", ".join(f"`{t['id'].partition('::')[2]}`" + (f" ({t['oracle']})" if t["oracle"] else "")
                             for t in row["tests"])
            lines += [f"Tests: {told}."]
    return "\n".join(lines) + "\n"


def main() -> None:
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("papers", nargs="*", help="names; default: all of --group")
    ap.add_argument("--group", default="localization")
    ap.add_argument("--budget", default="3000images")
    ap.add_argument("--data", default="scenes:128:6000")
    ap.add_argument("--val", type=int, default=200)
    ap.add_argument("--seeds", type=int, default=1, help="trainings of each")
    ap.add_argument("--long", action="store_true", help="each for the length that its preset says itself, too")
    ap.add_argument("--tests", nargs="*", type=Path, metavar="REPORT",
                    help="train nothing; run each paper's tests, or read what pytest said of them: make test-slow "
                    "REPORT=slow.xml")
    ap.add_argument("--page", action="store_true", help="train and run nothing")
    ap.add_argument("--again", action="store_true", help="measure what is known already anew")
    ap.add_argument("--out", type=Path, default=DOCS / "papers.md")
    ap.add_argument("--runs", type=Path, default=ROOT / "runs" / "papers")
    args = ap.parse_args()

    from stemma.core import paper as cards
    from stemma.core.types import StemmaError
    from stemma.engine.running.checkpoint import write_text

    cache = args.out.with_suffix(".json")
    settings = {k: getattr(args, k) for k in ("budget", "data", "val")} | {"seed": 0}
    stored = json.loads(cache.read_text(encoding="utf-8")) if cache.is_file() else {}
    every = cards.papers()
    shown = every  # agents have rows too; what they learn is measured elsewhere (`benchmarks/worlds.py`)
    chosen = [cards.get(n) for n in args.papers] or [p for p in every
                                                     if p.spec.__module__.split(".")[-2] == args.group]
    still = args.page or args.tests is not None  # trains nothing: what was learned, and how, stays as it is stored
    if (any("learned" in row for row in stored.get("papers", {}).values()) and stored["settings"] != settings
        and not still):
        if not args.again:
            raise SystemExit(f"{cache} holds results of {stored['settings']}, not {settings}; give those settings, or "
                             "--again to begin anew")
        stored = {}
    settings = stored["settings"] if stored and still else settings
    known: dict[str, Any] = stored.get("papers", {})
    found = tests_of(every)
    for p in shown:
        source = Path(importlib.import_module(p.spec.__module__).__file__ or "")
        known.setdefault(p.name, {}).update(lines=len(source.read_text(encoding="utf-8").splitlines()),
                                            tests=found[p.name], counts=counts(p))

    def keep() -> None:
        write_text(cache, json.dumps({"settings": settings, "papers": known}, indent=1) + "\n")
        write_text(args.out, page(shown, known, settings))

    keep()
    for p in () if still else chosen:
        row = known.setdefault(p.name, {})
        if args.again:
            for key in ("learned", "others", "long"):
                row.pop(key, None)
        for into, key, budget, seed in asked(p, args.budget, args.seeds, args.long, row):
            print(f"{p.cli_name}: training, {budget}, seed {seed}", flush=True)
            try:
                folder = args.runs / f"{p.name}-{budget}-s{seed}"
                got = learn(p, "small", args.data, budget, args.val, seed, folder)
                into[key] = got | {"budget": budget}
                row.pop("failed", None)
                m = got["main"]
                print(f"  {m} {score(got['untrained'].get(m))} -> {score(got['trained'].get(m))}, {got['seconds']} s",
                      flush=True)
            except StemmaError as error:
                row["failed"] = str(error)
                print(f"  {error}", flush=True)
                break
            finally:
                keep()
    if args.tests is not None:
        cases = cases_of(args.tests or [run_tests(sorted({t["id"] for p in chosen for t in found[p.name]}))])
        for p in chosen:
            known.setdefault(p.name, {})["ran"] = summary([c for t in found[p.name] for c in cases.get(t["id"], [])])
            print(f"{p.cli_name}: {known[p.name]['ran']}", flush=True)
    keep()


if __name__ == "__main__":
    main()
