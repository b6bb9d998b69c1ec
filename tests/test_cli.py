"""The command line: what it prints, its JSON, and that a mistake gets one line."""
from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

import pytest
import typer
from PIL import Image

import stemma
from made_data import make_yolo
from stemma.cli import app, main
from stemma.cli.reads import look_first
from stemma.cli.screen import started
from stemma.core import paper as cards
from stemma.core.samples import StemmaError


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    """Exit status, stdout and stderr of a command line."""
    with pytest.raises(SystemExit) as stop:
        main(list(words))
    said = capsys.readouterr()
    return int(stop.value.code or 0), said.out, said.err


def test_list_names_every_paper(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "list", "--json")
    found = json.loads(out)
    assert code == 0 and {c["name"] for c in found} == {n.replace("_", "-") for n in cards.names()}
    assert [c["year"] for c in found] == sorted(c["year"] for c in found)
    code, out, _ = run(capsys, "list", "--task", "semantic")
    assert code == 0 and "u-net" in out and "retinanet" not in out


@pytest.mark.parametrize("columns", [80, 140, None])
def test_list_is_a_line_a_paper(columns: int | None) -> None:
    env = {k: v for k, v in os.environ.items() if k != "COLUMNS"} | ({"COLUMNS": str(columns)} if columns else {})
    lines = subprocess.run([sys.executable, "-m", "stemma", "list"], capture_output=True, text=True, env=env,
                           check=True).stdout.splitlines()
    papers = [c.replace("_", "-") for c in cards.names()]
    assert (sorted(x.split()[0] for x in lines[1 : len(papers) + 1]) == sorted(papers)
            and len(lines) == len(papers) + 1 + bool(columns))
    assert ("from" in lines[0]) == (columns != 80) and "what it is" in lines[0]
    assert all(len(x) <= (columns or 999) for x in lines) and any("…" in x for x in lines) == bool(columns)


@pytest.mark.parametrize("words", [("claims", "calibrated-hallucination")])
def test_a_name_is_whole_on_a_narrow_terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
                                              words: tuple[str, ...]) -> None:
    from rich.console import Console

    from stemma.cli import reading

    monkeypatch.setattr(reading, "out", Console(width=80))
    _, out, _ = run(capsys, *words)
    assert "calibrated-hallucination " in out and "…" not in out


def test_tree_hangs_every_paper_once(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = run(capsys, "tree", "--json")

    def flat(node: dict[str, object]) -> list[str]:
        children = node["children"]
        assert isinstance(children, list)
        return [str(node["name"]), *(n for c in children for n in flat(c))]

    names = [n for root in json.loads(out) for n in flat(root)]
    assert sorted(names) == sorted(n.replace("_", "-") for n in cards.names())
    code, out, _ = run(capsys, "tree", "faster_rcnn")
    assert code == 0 and "fpn" in out and "u-net" not in out


@pytest.mark.parametrize("name", ["mask-rcnn", "mask_rcnn", "Mask-RCNN", "maskrcnn"])
def test_a_name_may_be_written_as_one_likes(capsys: pytest.CaptureFixture[str], name: str) -> None:
    code, out, _ = run(capsys, "show", name, "--json")
    assert code == 0 and json.loads(out)["name"] == "mask-rcnn"


def test_show_tells_the_card(capsys: pytest.CaptureFixture[str]) -> None:
    p = cards.get("retinanet")
    code, out, _ = run(capsys, "show", "retinanet", "--preset", "small")
    joined = " ".join(out.split())
    assert (code == 0 and p.title in joined and " ".join(p.summary.split()[:5]) in joined
            and p.claims[0].source in joined)
    for edge in p.parents:
        assert f"From {edge.paper.cli_name}" in joined
    code, out, _ = run(capsys, "show", "retinanet", "--flat")
    assert code == 0 and all(" = " in line for line in out.strip().splitlines()) and any(x.startswith("recipe.lr = ")
                                                                                         for x in out.splitlines())


@pytest.mark.parametrize(("name", "has", "lacks"), [
    ("planet", ("lr", "life.then.0.sequence", "life.then.1.noise"),
     ("resize", "augment", "proposals", "precision", "life.then.0.strategy", "life.then.1.sequence")),
    ("rational-meaning", ("batch", "phases.0.run"), ("resize", "augment", "proposals", "difficult", "life", "ema")),
    ("instruct-pix2pix", ("resize.size", "augment.flip", "ema"), ("resize.kind", "augment.crop", "proposals", "life")),
    ("imagenet-cog", ("batch", "augment.flip"), ("lr", "resize", "phases", "proposals", "life")),
    ("fpn", ("resize.kind", "augment.crop", "proposals.kind", "lr"), ("life", "warmup_steps", "clips")),
])
def test_show_has_the_settings_that_a_wing_reads(capsys: pytest.CaptureFixture[str], name: str, has: tuple[str, ...],
                                                 lacks: tuple[str, ...]) -> None:
    _, out, _ = run(capsys, "show", name, "--flat")
    told = [line.split(" = ")[0].removeprefix("recipe.") for line in out.splitlines()]
    assert set(has) <= set(told)
    assert not [t for t in told for path in lacks if t == path or t.startswith(f"{path}.")]


@pytest.mark.parametrize(("words", "told"), [
    (("train", "planet", "--env", "drawn-pendulum", "--set", "recipe.resize.size=32"),
     "'recipe.resize.size' means nothing here: planet lives in a world"),
    (("compare", "calibrated-hallucination", "--data", "facts:who-what", "--set", "recipe.augment.flip=0"),
     "'recipe.augment.flip' means nothing here: calibrated-hallucination reads sentences"),
    (("train", "fpn", "--data", "scenes", "--set", "recipe.life.rounds=1"), "'recipe.life.rounds' means nothing here"),
])
def test_a_setting_that_a_wing_does_not_read_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path,
                                                        words: tuple[str, ...], told: str) -> None:
    code, _, err = run(capsys, *words, "--out", str(tmp_path / "run"))
    assert code == 2 and told in " ".join(err.split()) and not (tmp_path / "run").exists()


def test_diff_shows_what_the_child_changed(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "diff", "fcn", "u-net", "--json")
    d = json.loads(out)
    assert code == 0 and d["changes"] and any(k.startswith("decoder") for k in d["settings"])
    code, out, _ = run(capsys, "diff", "fcn", "fcn")
    assert code == 0 and "equal" in out


@pytest.mark.parametrize(("words", "said"), [
    (("show", "fnp"), "did you mean fpn"),
    (("show", "fpn", "--preset", "tiny"), "fpn has no preset 'tiny'; it has: paper, small"),
    (("diff", "fcn", "fpn", "--preset", "keypoints"), "fcn has no preset 'keypoints'"),
    (("list", "--task", "juggling"), "no paper of task"),
    (("train", "fpn", "--data", "/nowhere/at/all"), "/nowhere/at/all"),
    (("train", "fpn", "--data", "scenes", "--budget", "many"), "budget"),
    (("train", "fpn", "--data", "scenes", "--set", "recipe.lr"), "PATH=VALUE"),
    (("evaluate", "/nowhere/at/all", "--data", "scenes"), "/nowhere/at/all"),
    (("doctor", "/nowhere/at/all"), "/nowhere/at/all"),
    (("compare", "fpn", "nothing", "--data", "scenes"), "no paper named 'nothing'"),
    (("compare", "fpn", "--data", "scenes", "--on", "moon"), "moon"),
    (("export", "/nowhere/at/all", "x.onnx"), "/nowhere/at/all"),
    (("shw", "fpn"), "no such command 'shw'"),
    (("show",), "missing argument 'paper' (see `stemma show --help`)"),
    (("show", "fpn", "--presett", "small"), "no such option: --presett"),
    (("train", "fpn", "--data", "scenes", "--seed", "x"), "invalid value for '--seed'"),
    (("train", "fpn", "--data", "scenes", "--budget", "90"), "one number and one unit"),
    (("train", "fpn", "--env", "drawn-pendulum"), "learns from pictures"),
    (("train", "fpn"), "--data"),
    (("train", "fpn", "--data", "scenes", "--batch", "0"), "batch must be 1 or more"),
    (("train", "fpn", "--data", "scenes", "--seed", "-1"), "seed must be from 0 to 2,147,483,647, not -1"),
    (("train", "planet", "--env", "drawn-pendulum", "--seed", "2147483648"), "seed must be from 0"),
    (("train", "fpn", "--data", "/nowhere/at/all", "--preset", "big"), "fpn has no preset 'big'; it has: paper, small"),
    (("train", "fnp"), "did you mean fpn"),
    (("train", "fpn", "--data", "scenes", "--workers", "-1"), "workers must be 0 or more"),
    (("train", "fpn", "--data", "scenes", "--patience", "-1"), "patience must be 0 or more"),
    (("train", "fpn", "--data", "scenes", "--device", "abacus"), "no device 'abacus'"),
    (("train", "fpn", "--data", "scenes", "--precision", "fp8"), "no precision 'fp8'"),
    (("train", "fpn", "--data", "scenes", "--set", "recipe.lr=-1"), "recipe.lr must be 0 or more"),
    (("train", "fpn", "--data", "scenes", "--set", "recipe.lr=fast"), "cannot read 'fast'"),
    (("train", "fpn", "--data", "scenes", "--set", "recipe.accumulate=0"), "recipe.accumulate must be 1 or more"),
    (("train", "fpn", "--data", "scenes", "--set", "recipe.resize.size=0"), "recipe.resize.size must be 1 or more"),
    (("train", "fpn", "--data", "scenes", "--set", "neck.breadth=3"), "no setting 'neck.breadth'"),
    (("train", "fpn", "--data", "scenes", "--backbone", "resnet1800"), "timm cannot build 'resnet1800'"),
    (("train", "fpn", "--data", "scenes", "--val", "nothing"), "nothing"),
    (("compare", "fpn", "--data", "scenes", "--jobs", "0"), "jobs must be 1 or more"),
    (("compare", "fpn", "--data", "scenes", "--limit", "0"), "limit must be 1 or more"),
    (("compare", "fpn", "--data", "scenes", "--device", "abacus"), "no device 'abacus'"),
    (("compare", "fpn", "planet", "--data", "scenes"), "compare them apart"),
    (("import", "torchvision", "fpn", "/nowhere/at/all.pth", "x.safetensors"), "/nowhere/at/all.pth"),
])
def test_a_mistake_gets_one_clear_line(capsys: pytest.CaptureFixture[str], tmp_path: Path,
                                       monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], said: str) -> None:
    monkeypatch.chdir(tmp_path)
    few = ["scenes:64:8" if w == "scenes" else w for w in words]  # drawing many takes a busy machine lines of progress
    code, out, err = run(capsys, *few)
    assert code == 2 and not out
    assert err.startswith("error: ") and said in err and len(err.strip().splitlines()) == 1
    assert not any(tmp_path.iterdir()), "a mistake that leaves a folder is in the way of the next try"


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "--version")[:2] == (0, f"stemma {stemma.__version__}\n")


def test_debug_shows_where_it_arose() -> None:
    with pytest.raises(stemma.StemmaError):
        main(["show", "fnp", "--debug"])


def test_a_faulty_program_is_not_dressed_up_as_a_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stemma.core.paper.get", lambda name: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        main(["show", "fpn"])


def test_too_little_memory_is_no_fault_of_the_program(capsys: pytest.CaptureFixture[str],
                                                      monkeypatch: pytest.MonkeyPatch) -> None:
    """PyTorch's allocator of processors raises a RuntimeError: it is told in a line, and any other one is not."""
    said = "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried 9 bytes."
    for raised in (RuntimeError(said), MemoryError()):
        monkeypatch.setattr("stemma.cli.reading.print_json", lambda _, raised=raised: (_ for _ in ()).throw(raised))
        got = run(capsys, "list", "--json")
        assert got[0] == 2 and got[2].startswith("error: there is not enough memory") and got[2].count("\n") == 1
    monkeypatch.setattr("stemma.cli.reading.print_json", lambda _: (_ for _ in ()).throw(RuntimeError("another")))
    with pytest.raises(RuntimeError, match="another"):
        main(["list", "--json"])


def test_ctrl_c_says_how_to_go_on(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
                                  tmp_path: Path) -> None:
    make_yolo(tmp_path / "my folder")
    monkeypatch.chdir(tmp_path)

    def interrupted(*args: object, **more: object) -> None:
        raise KeyboardInterrupt

    words = ["train", "fpn", "--data", "my folder", "--out", "x"]
    monkeypatch.setattr("stemma.engine.wings.train", interrupted)
    monkeypatch.setattr(sys, "argv", ["stemma", *words])
    code, _, err = run(capsys, *words)
    assert code == 130 and err.strip() == "stopped; resume with: stemma train fpn --data 'my folder' --out x --resume"


def test_what_is_said_to_be_pasted_begins_as_the_program_was_started(monkeypatch: pytest.MonkeyPatch,
                                                                     tmp_path: Path) -> None:
    """`stemma` where the shell finds this one, else the script's path, `python -m stemma` or torchrun."""
    here, there = tmp_path / "venv/bin", tmp_path / "other/bin"
    for folder in (here, there):
        folder.mkdir(parents=True)
        (folder / "stemma").write_text("")
        (folder / "stemma").chmod(0o755)
    monkeypatch.chdir(tmp_path)
    words = ["train", "fpn", "--out", "x"]
    monkeypatch.setattr(sys, "argv", ["venv/bin/stemma", *words])
    monkeypatch.setenv("PATH", str(here))
    assert started() == ["stemma"]
    monkeypatch.setenv("PATH", str(there))
    assert started() == ["venv/bin/stemma"]
    monkeypatch.setenv("PATH", "")
    assert started() == ["venv/bin/stemma"]
    monkeypatch.setattr(sys, "argv", ["a/program.py", *words])  # one that calls main
    assert started() == ["stemma"]
    module = ModuleType("__main__")
    module.__spec__ = ModuleSpec("stemma.__main__", None)
    monkeypatch.setitem(sys.modules, "__main__", module)
    monkeypatch.setattr(sys, "argv", [str(tmp_path / "stemma/__main__.py"), *words])
    monkeypatch.setattr(sys, "orig_argv", ["my env/python", "-X", "dev", "-m", "stemma", *words])
    assert started() == ["my env/python", "-X", "dev", "-m", "stemma"]
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    assert started() == ["torchrun", "--nproc-per-node", "2", "-m", "stemma"]


@pytest.mark.parametrize("command", ["list", "show", "tree", "diff", "doctor", "train", "evaluate", "predict",
                                     "compare", "export", "import"])
def test_help_teaches_with_examples(capsys: pytest.CaptureFixture[str], command: str) -> None:
    words = [command, "torchvision"] if command == "import" else [command]
    for asked in (words, [command]):
        code, out, _ = run(capsys, *asked, "--help")
        assert code == 0 and "Examples" in out and f"stemma {command}" in out


def test_help_fits_a_terminal_and_is_broken_nowhere_else() -> None:
    """Examples can be copied whole from 80 columns, those of `import` are each command's own, and what a command does
    is one line, wherever the code breaks it."""
    group = typer.main.get_command(app)
    ctx = typer.Context(group, info_name="stemma")
    commands = {n: group.get_command(ctx, n) for n in group.list_commands(ctx)}  # type: ignore[attr-defined]
    bring = commands.pop("import")
    own = {f"import {n}": bring.get_command(ctx, n) for n in bring.list_commands(ctx)}
    for name, command in {"": group, "import": bring, **commands, **own}.items():
        _, *lines = re.sub(r"\[/?[a-z]*\]", "", command.epilog).splitlines()
        assert lines and max(len(x.strip()) for x in lines) <= 78, name
        assert name not in own or all(f"stemma {name} " in x for x in lines), name
        assert "\n" not in command.help.partition("\n\n")[0] or name in ("", "import"), name
    data = next(p.help for p in commands["train"].params if p.name == "data")
    assert all(word in data for word in ("scenes", "edits", "facts", "tug-of-war", "class folders"))


def test_help_and_list_do_not_wait_for_torch() -> None:
    program = ("import sys; from stemma.cli import main\ntry: main(sys.argv[1:])\nexcept SystemExit: pass\nassert "
               "'torch' not in sys.modules and 'numpy' not in sys.modules")
    for words in (["--help"], ["list"], ["tree"]):
        done = subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


def test_a_doctor_says_what_to_begin_with_and_does_not_wait_for_torch(tmp_path: Path) -> None:
    """Of pictures whose boxes do not tell top from bottom, too, so that their light is looked at."""
    for k in range(12):
        place = tmp_path / "images" / f"{k}.png"
        place.parent.mkdir(exist_ok=True)
        Image.effect_noise((64, 48), 60).convert("RGB").save(place)
    rows = [{"id": k, "image_id": k, "category_id": 1, "bbox": [4 + k, 4, 20, 16], "area": 320, "iscrowd": 0}
            for k in range(12)]
    (tmp_path / "a.json").write_text(json.dumps({
        "images": [{"id": k, "file_name": f"{k}.png", "height": 48, "width": 64} for k in range(12)],
        "annotations": rows, "categories": [{"id": 1, "name": "cell"}]}))
    program = ("import sys\nfrom stemma.cli import main\n"
               f"try:\n    main(['doctor', {str(tmp_path)!r}, '--json'])\nexcept SystemExit:\n    pass\n"
               "assert 'torch' not in sys.modules")
    said = subprocess.run([sys.executable, "-c", program], text=True, capture_output=True)
    assert not said.returncode, said.stderr
    assert json.loads(said.stdout)["begin"]["command"].startswith("stemma compare fpn retinanet ssd")


@pytest.mark.whole
def test_a_card_does_not_wait_for_pytorchs_compiler() -> None:
    """torchvision 0.29.1 imports `torch._dynamo` for one question in `ops/roi_align.py`: as long again as PyTorch."""
    program = ("import sys; from stemma.cli import main\ntry: main(sys.argv[1:])\nexcept SystemExit: pass\n"
               "assert 'torch' in sys.modules and not {'torchvision', 'torch._dynamo', 'timm'} & set(sys.modules)")
    for words in (["show", "fpn"], ["diff", "faster-rcnn", "fpn"], ["claims", "fpn"]):
        done = subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


@pytest.mark.whole
def test_a_training_does_not_wait_for_torchmetrics() -> None:
    """lightning-fabric 2.6.6 imports all of it to learn its version (`utilities/imports.py`); others may still have it."""
    program = ("import sys; from stemma.engine.running.devices import make_fabric\nmake_fabric('cpu', 'fp32')\n"
               "assert 'lightning_fabric' in sys.modules and 'torchmetrics' not in sys.modules\nimport torchmetrics")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(("words", "said"), [
    ("train retinanett -d scenes", "no paper named 'retinanett'; did you mean retinanet"),
    ("train fpm -d scenes --resume", "no paper named 'fpm'"), ("compare fpn nosuch -d scenes", "no paper named 'nosuch'"),
    ("compare fpn sdd:small -d scenes", "did you mean ssd or dssd"), ("show nosuch", "no paper named 'nosuch'"),
    ("weights nosuch", "no paper named 'nosuch'"), ("diff fpn nosuch", "no paper named 'nosuch'"),
    ("evaluate nowhere -d scenes", "no checkpoint at nowhere"), ("predict nowhere a.png", "no checkpoint at nowhere"),
    ("export nowhere a.onnx", "no checkpoint at nowhere"), ("predict . a.png", "no weights in"),
])
def test_a_wrong_name_is_told_before_anything_heavy_is_loaded(words: str, said: str, tmp_path: Path) -> None:
    program = ("import sys; from stemma.cli import main\ntry: main(sys.argv[1:])\nexcept SystemExit as e: assert e.code "
               "== 2\nassert 'torch' not in sys.modules")
    done = subprocess.run([sys.executable, "-c", program, *words.split()], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0 and said in done.stderr and not list(tmp_path.iterdir()), done.stderr


def test_train_evaluate_predict_and_export_from_the_command_line(capsys: pytest.CaptureFixture[str], tmp_path: Path,
                                                                 monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEMMA_CACHE", str(tmp_path / "cache"))
    run_folder, data = str(tmp_path / "run"), "scenes:64:16"
    code, out, err = run(capsys, "train", "fcn", "--data", data, "--budget", "2steps", "--batch", "2", "--out",
                         run_folder, "--json")
    assert code == 0, err
    assert json.loads(out)["spent"]["steps"] == 2 and json.loads(out)["best"]["on"] == "1 picture of val"
    code, out, err = run(capsys, "evaluate", run_folder, "--data", data, "--limit", "4", "--json")
    assert code == 0 and 0 <= json.loads(out)["mIoU"] <= 1, err
    assert (json.loads(out)["split"], json.loads(out)["images"], json.loads(out)["intervals"]) == ("val", 1, {})
    code, again, err = run(capsys, "evaluate", run_folder, "--json")  # on what it was trained on
    assert code == 0 and json.loads(again)["mIoU"] == json.loads(out)["mIoU"], err
    more = "scenes:64:100"  # ten pictures of val: enough for an interval
    code, out, err = run(capsys, "evaluate", run_folder, "--data", more, "--split", "test", "--limit", "8")
    assert code == 0 and "measured on 8 of the 10 pictures of test" in out and "95 % over pictures" in out, err
    code, out, err = run(capsys, "evaluate", run_folder, "--data", more, "--split", "test", "--json")
    found = json.loads(out)
    (low, high), count = found["intervals"]["mIoU"], (found["split"], found["images"], found["split_images"])
    assert count == ("test", 10, 10) and low <= found["mIoU"] <= high and low < high
    from PIL import Image

    Image.new("RGB", (80, 60), (90, 120, 60)).save(tmp_path / "one.png")
    code, out, err = run(capsys, "predict", run_folder, str(tmp_path / "one.png"), "--out", str(tmp_path / "drawn"))
    assert code == 0 and "one.png" in out and any((tmp_path / "drawn").iterdir()), err
    code, out, err = run(capsys, "export", run_folder, str(tmp_path / "m.pt2"), "--size", "64", "--json")
    assert code == 0 and json.loads(out)["difference"] < 1e-4, err
    for words, said in (
        (("train", "fcn", "--data", data, "--budget", "2steps", "--out", run_folder), "--resume"),
        (("train", "fpn", "--data", data, "--budget", "2steps", "--out", run_folder, "--resume"), "was run with paper"),
        (("evaluate", run_folder, "--data", data, "--split", "tst"), "no split 'tst'"),
        (("evaluate", run_folder, "--data", data, "--which", "worst"), "not 'worst'"),
        (("evaluate", run_folder, "--data", data, "--limit", "0"), "limit must be 1 or more"),
        (("predict", run_folder), "name pictures"),
        (("predict", run_folder, "no*.jpg"), "no picture at no*.jpg"),
        (("predict", run_folder, str(tmp_path / "one.png"), "--threshold", "3"), "threshold is a score"),
        (("export", run_folder, str(tmp_path / "one.png" / "m.pt2"), "--size", "64"), "cannot write"),
        (("compare", "fcn", "--data", data, "--out", run_folder), "not a comparison's"),
    ):
        code, _, err = run(capsys, *words)
        assert code == 2 and err.startswith("error: ") and said in err and len(err.strip().splitlines()) == 1, (words,
                                                                                                                err)


def test_a_warning_is_one_line_without_our_code(capsys: pytest.CaptureFixture[str],
                                                monkeypatch: pytest.MonkeyPatch) -> None:
    import warnings

    from stemma import cli

    monkeypatch.setattr(cli, "app", lambda *_, **__:
                        [warnings.warn("two boxes\nwere dropped", UserWarning, stacklevel=k) for k in (1, 2)])
    code, _, said = run(capsys, "list")
    assert code == 0 and said == "note: two boxes were dropped\n"


def test_a_table_wider_than_the_terminal_is_shown_in_parts(capsys: pytest.CaptureFixture[str],
                                                           monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is cut off: the columns of numbers stand below one another, each time beside the names."""
    from rich.console import Console

    from stemma.cli import screen

    monkeypatch.setattr(screen, "out", Console(width=40))
    numbers = [f"measure {k}" for k in range(7)]
    t = screen.table("system", "on", *numbers, title="all", numbers=tuple(numbers))
    for name in ("world-models", "planet [small]"):
        t.add_row(name.replace("[", r"\["), "tug-of-war", *(f"{k}.000" for k in range(7)))
    screen.show(t)
    lines = capsys.readouterr().out.splitlines()
    assert all(len(x.rstrip()) <= 40 for x in lines) and "…" not in "".join(lines)
    assert [x.split()[-1] for x in lines if "world-models" in x] == ["0.000", "1.000", "2.000", "3.000", "4.000",
                                                                    "5.000", "6.000"]
    assert sum("tug-of-war" in x for x in lines) == 14 and sum("all" in x.split() for x in lines) == 1


def test_help_says_what_a_second_is(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    for command in ("train", "compare"):
        code, out, _ = run(capsys, command, "--help")
        assert code == 0 and "A second is one of work" in out and "--wall" in out and "processor time" in out


def test_wall_time_is_a_time(capsys: pytest.CaptureFixture[str], tmp_path: Path,
                             monkeypatch: pytest.MonkeyPatch) -> None:
    """A mistake gets one line before anything is trained; threads that wait are put to sleep before PyTorch is
    loaded."""
    monkeypatch.setenv("OMP_WAIT_POLICY", "")  # put back afterwards
    monkeypatch.delenv("OMP_WAIT_POLICY")
    for words in (("train", "fcn", "--data", "scenes:64:24"), ("compare", "fcn", "--data", "scenes:64:24")):
        code, _, err = run(capsys, *words, "--wall", "10steps", "--out", str(tmp_path / "x"))
        assert code == 2 and "wall time is limited to a time above 0, such as 90s, 30m or 1h, not '10steps'" in err
    assert os.environ["OMP_WAIT_POLICY"] == "PASSIVE" and not (tmp_path / "x").exists()


@pytest.mark.whole
def test_options_of_the_readers_are_kept_by_runs_and_comparisons(tmp_path: Path,
                                                                capsys: pytest.CaptureFixture[str]) -> None:
    """The same options on doctor, train, evaluate and compare; what was told once need not be told again."""
    root = make_yolo(tmp_path / "y", ["0 0.5 0.5 0.5 0.5\n1 0.2 0.2 0.2 0.2\n"] * 4, split="all")
    (root / "data.yaml").unlink()
    (root / "images").rename(tmp_path / "store")
    (root / "labels").rename(root / "boxes")
    told = ["--format", "yolo", "--images", str(tmp_path / "store"), "--labels", "boxes", "--classes", "cat,dog"]
    assert run(capsys, "doctor", str(root), *told)[0] == 0
    assert run(capsys, "doctor", str(root))[0] == 2
    small = ["--budget", "1steps", "--batch", "2", "--set", "recipe.resize.size=64"]
    folder = tmp_path / "run"
    assert run(capsys, "train", "ssd", "-d", str(root), *told, *small, "--val-every", "0", "-o", str(folder))[0] == 0
    kept = json.loads((folder / "run.json").read_text())["data"]
    assert kept["options"] == {"images": str(tmp_path / "store"), "labels": "boxes", "names": "cat,dog"}
    code, out, _ = run(capsys, "evaluate", str(folder), "-d", str(root), "--json")
    assert code == 0 and json.loads(out)["images"] >= 1
    assert run(capsys, "train", "ssd", "-d", str(root), *small, "--val-every", "0", "-o", str(folder),
               "--resume")[0] == 0
    said = ["compare", "ssd", "-d", str(root), *small, "--jobs", "1", "-o", str(tmp_path / "c")]
    assert run(capsys, *said, *told)[0] == 0
    plan = json.loads((tmp_path / "c/compare.json").read_text())
    assert plan["data_options"] == kept["options"]
    assert run(capsys, *said)[0] == 0
    code, _, err = run(capsys, *said, *told[:-1], "dog,cat")
    assert code == 2 and "data_options" in err


@pytest.mark.parametrize("what", ["torchvision", "darknet"])
def test_names_of_classes_that_cannot_be_read_get_one_line(what: str, tmp_path: Path,
                                                           capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "l1.txt").write_bytes("M\xf6we".encode("latin-1"))
    for name, why in (("nofile.txt", "there is no such file"), ("l1.txt", "is no UTF-8 text")):
        status, _, error = run(capsys, "import", what, *(["fpn"] if what == "torchvision" else ["a.cfg"]),
                               str(tmp_path / "w.pth"), str(tmp_path / "o.safetensors"), "--classes",
                               str(tmp_path / name))
        assert status == 2 and why in error and name in error and error.count("\n") == 1


def test_a_networks_name_may_be_like_a_papers() -> None:
    look_first(["tf_efficientnet_lite0:imagenet", "imagenet-transfer@tiny-16"], None, networks=True)
    with pytest.raises(StemmaError, match="did you mean fpn"):
        look_first(["fpm", "ssd"], None, networks=True)
