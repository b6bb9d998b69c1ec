"""Commands that do work: `doctor`, `convert`, `train`, `evaluate`, `predict`, `compare`, `export`, `import`."""
from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable
from importlib import import_module
from inspect import signature
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

import typer
from rich.markup import escape

from ..core.sentence import many
from .reading import Json, examples, hang
from .reads import asks_wings, is_split, is_there, known, look_again, look_first, of_wings, reads_data
from .screen import err, number, out, parse_sets, print_json, said, show, started, table

Env = Annotated[str | None, typer.Option("--env", metavar="NAME", help="The same as --data env:NAME, a world to live "
                                         "in: drawn-pendulum, takecover or cartpole-swingup.")]
Data = Annotated[str | None, typer.Option("--data", "-d", help="A folder or file of pictures with truth, or "
                                          "`scenes[:SIZE[:COUNT]]`, `crowds[...]` (drawn). "
                                          + " ".join(filter(None, of_wings("DATA"))))]
DataFormat = Annotated[str | None, typer.Option("--format", help="coco, voc, yolo, panoptic, maps, cvat, labelme, "
                                                "label-studio, via, createml, supervisely, datumaro, "
                                                "kitti, visdrone, crowdhuman, citypersons, caltech, "
                                                "wider, bdd100k, dota, imagefolder or csv, where it is not "
                                                "recognised by itself.")]
Device = Annotated[str, typer.Option("--device",
                                     help="auto, cpu, cuda, cuda:N or mps. STEMMA_DEVICE in the environment is what "
                                     "auto takes.")]
Precision = Annotated[str | None, typer.Option("--precision",
                                               help="auto, fp32, bf16 or fp16; the recipe's when not given. "
                                               "STEMMA_PRECISION in the environment is what auto takes.")]
BatchSize = Annotated[int | None, typer.Option("--batch", help="Pictures a step; the learning rate follows it. The "
                                               "recipe's when not given.")]
Sets = Annotated[list[str] | None, typer.Option("--set", metavar="PATH=VALUE", help="Change a setting (`stemma show "
                                                "PAPER --flat` lists them). Repeatable.")]
Backbone = Annotated[str | None, typer.Option("--backbone", help="A timm network in the place of the preset's: NAME, "
                                              "or NAME:imagenet for its weights.")]
Source = Annotated[str | None, typer.Option("--proposals", help="Boxes from outside, for papers that take them: "
                                            "selective-search, edge-boxes, grid, "
                                            "or a file (COCO results JSON, .npz). The recipe's when not given.")]
Size = Annotated[str | None, typer.Option("--size", metavar="N", help="Pixels of a picture's side, the same for all; "
                                         "`stemma show PAPER` says what it does to one. auto: as large as the objects "
                                         "ask; preset: as the preset has it. \\[default: auto for `small`]")]
Upright = Annotated[str | None, typer.Option("--upright", metavar="yes|no|auto", help="Whether things in the pictures "
                                            "have an upright: yes, mirror them left to right alone; no, turn them too; "
                                            "auto: look; preset: as the preset has it. \\[default: auto for `small`]")]
FromScratch = Annotated[bool, typer.Option("--from-scratch", help="Train everything from random weights: nothing "
                                           "frozen, batch norms that learn (`stemma weights PAPER`).")]
Svd = Annotated[str | None, typer.Option("--svd", metavar="RANKS", help="Shorten the region head's fully connected "
                                         "layers by truncated SVD first: 1024,256.")]
Workers = Annotated[int, typer.Option("--workers", help="Processes that read pictures meanwhile.")]
SECOND = ("A second is one of work, which a busy machine takes longer for: on a CPU of processor time for each thread, "
          "steps at what they cost here; on a GPU by the clock.")
Budget = Annotated[str, typer.Option("--budget", "-b", help="How long to train, in one unit: 90s, 5m, 2000steps, "
                                     f"12epochs, 50000images; or `paper`. {SECOND}")]
Wall = Annotated[str | None, typer.Option("--wall", metavar="TIME", help="The most time by the clock that a training "
                                          "may take, whatever the budget: "
                                          "90s, 30m, 1h. Rates fall to their end by then.")]
Which = Annotated[str, typer.Option("--which", help="best or last weights of the run.")]


EXAMPLES = {
    "doctor": ("stemma doctor my/folder", "stemma doctor my/folder --html look.html",
               "stemma doctor my/folder --html look.html --with runs/mine",
               "stemma doctor my/folder --quick --json | jq .fault_counts",
               "stemma doctor annotations.json --images my/pictures",
               "stemma doctor my/folder --fix my/mended"),
    "convert": ("stemma convert my/cvat-export --to yolo --out my/yolo", "stemma convert scenes:128:200 --to coco "
                "--out drawn"),
    "train": (
        "stemma train retinanet --data scenes --budget 60s",
        "stemma train fpn -d my/folder -b 12epochs --out runs/mine",
        "stemma train fpn -d my/folder -b 12epochs --out runs/mine --resume",
        "stemma train ssd -d scenes -b 90s --set recipe.lr=0.01",
        "stemma train planet --env drawn-pendulum -b 10m",
        "stemma train imagenet-transfer -d drawn,my/flowers --backbone resnet18",
        "torchrun --nproc-per-node 4 -m stemma train fpn -d my/folder -b 12epochs",
    ),
    "weights": ("stemma weights fpn", "stemma weights r-fcn --json",
                "stemma train fpn -p paper -d my/folder --start resnet50.pth",
                "stemma train fpn -p paper -d my/folder --from-scratch"),
    "evaluate": (
        "stemma evaluate runs/mine --data my/folder",
        "stemma evaluate runs/mine -d my/folder --split test --json",
        "stemma evaluate runs/planet --limit 50",
        "stemma evaluate runs/mine -d my/folder --out detections.json",
    ),
    "predict": (
        "stemma predict runs/mine photo.jpg",
        "stemma predict runs/mine 'photos/*.jpg' --out drawn --threshold 0.5",
        "stemma predict runs/planet --out films",
        "stemma predict runs/mine aerial.tif --tile 800 --json",
        "stemma predict runs/edits photo.png -i 'make the disc red' --text-guidance 3",
    ),
    "compare": (
        "stemma compare fpn retinanet ssd yolo-v1 --data scenes --budget 60s --seeds 2",
        "stemma compare fpn mask-rcnn:c4 -d my/folder -b 10m --out runs/mine",
        "stemma compare fpn retinanet -d scenes -b 60s --set fpn:recipe.lr=0.01",
        "stemma compare fpn ssd -d my/folder -b 30m --wall 1h",
        "stemma compare fpn ssd -d scenes -b 60s --on ray",
        "stemma compare world-models planet --env drawn-pendulum -b 5m",
        "stemma compare tf_efficientnet_lite0:imagenet my.pth -d my/flowers -p linear",
        "stemma compare imagenet-cog@tiny-8 imagenet-cog@tiny-16 -d drawn:levels",
    ),
    "export": ("stemma export runs/mine model.onnx", "stemma export runs/mine model.pt2",
               "stemma export runs/mine raw.onnx --outputs raw --size 480x640"),
    "import": (
        "stemma import torchvision fpn fasterrcnn_resnet50_fpn_coco.pth fpn.safetensors",
        "stemma predict fpn.safetensors photo.jpg",
        "stemma import backbone resnet101-caffe R-101.pth",
        "stemma import backbone darknet53 darknet53.conv.74",
        "stemma import darknet yolov3.cfg yolov3.weights --classes coco.names",
        "stemma import diffusers instruct-pix2pix/ runs/editor.safetensors",
        "stemma import pairs runs/editor my/pairs --count 20",
    ),
}


def register(app: typer.Typer) -> None:
    """Hang the working commands on `app`."""
    command: Callable[..., Any]
    for command in (doctor, convert, weights, train, evaluate, predict, compare, export):
        gains, made = signature(command).parameters, command
        made = reads_data(made) if "data_options" in gains else made
        made = asks_wings(made) if "own" in gains else made
        hang(app, made, *EXAMPLES[command.__name__])
    bring = typer.Typer(help="Weights of other libraries, as checkpoints of ours.", no_args_is_help=True,
                        epilog=examples(*EXAMPLES["import"]))
    imports: dict[str, Callable[..., Any]] = {"torchvision": import_torchvision, "backbone": import_backbone}
    for own in of_wings("IMPORTS"):
        imports |= own
    for name, brought in imports.items():
        hang(bring, brought, *(x for x in EXAMPLES["import"] if x.startswith(f"stemma import {name} ")), name=name)
    app.add_typer(bring, name="import")


def doctor(
    data: Annotated[str, typer.Argument(help="A folder or annotation file, or `scenes`.")],
    format: DataFormat = None,
    quick: Annotated[bool, typer.Option("--quick", help="Do not read the pictures themselves: no check for broken or "
                                        "duplicate ones.")] = False,
    rows: Annotated[int, typer.Option("--rows", help="Faults of a kind to print.")] = 3,
    html: Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Write a page that shows what was found: "
                                              "faults drawn into their pictures, pictures that look alike, what the "
                                              "boxes are like.")] = None,
    run: Annotated[Path | None, typer.Option("--with", metavar="RUN", help="On that page, where this trained system "
                                             "doubts a label.")] = None,
    fix: Annotated[Path | None, typer.Option("--fix", help="Write a mended copy into this new folder: in the format of "
                                             "the data where that is written, else COCO.")] = None,
    as_json: Json = False,
    data_options: dict[str, Any] | None = None,
) -> None:
    """Look for faults in a data set: broken pictures, bad boxes, unknown classes, duplicates; and say which command one
    may begin with.

    In red: what training refuses until it is mended by hand.
    In yellow: what it mends by itself, or leaves out with its picture.
    Notes: no faults, but worth knowing: how the data are read, files that
    nothing reads, pictures that look alike across splits.
    Exit status 0: no faults; 1: faults; 2: nothing that can be read."""
    from ..data.doctors import examiner
    from .examined import render

    shown = not as_json and not quick and err.is_terminal
    if run is not None and html is None:
        raise typer.BadParameter("doubts of labels are drawn; say --html FILE too", param_hint="--with")
    if fix is not None:
        from ..data.convert import check_room

        check_room(fix, data, "--fix")
    if html is not None:
        from ..core.outputs import claim

        claim([html], "--html")
    report = examiner(data, format)(data, format, decode=not quick, near=not quick,
                                    progress=_counted("reading") if shown else None, **(data_options or {}))
    if not as_json:
        render(report, examples=rows)
    first = None if report.refused else _first(data, format, data_options)
    mended = None
    if fix is not None:
        from ..data.convert import FORMATS
        from ..data.convert import convert as written_as

        mended = written_as(data, report.format if report.format in FORMATS else "coco", fix, format,
                            leave=[*report.unreadable, *report.twice], progress=_counted("copying") if shown else None,
                            **(data_options or {}))
    if as_json:
        print_json(report.as_dict() | {"begin": first} | ({} if mended is None else {"mended": mended.as_dict()}))
    elif first is not None:
        command = " ".join([shlex.join(started()), *first["command"].split(" ")[1:]])
        out.print(f"\n[bold]To begin with[/]\n  [cyan]{escape(command)}[/]", soft_wrap=True)
        out.print(f"[dim]{escape(first['says'])}[/]")
    if mended is not None and not as_json:
        _say_converted(mended)
    if html is not None:
        from ..report import doctor as page

        found = None if run is None else _doubts(run, report.opened, shown)
        err.print(f"wrote {escape(str(page.write(report, html, first, found)))}", soft_wrap=True, highlight=False)
    raise typer.Exit(report.status)


def _doubts(run: Path, splits: Any, show: bool) -> Any:
    from ..engine.doubts import doubts

    return doubts(run, splits, show=show)


def convert(
    data: Annotated[str, typer.Argument(help="A folder or annotation file, or `scenes`.")],
    to: Annotated[str, typer.Option("--to", help="coco, voc or yolo, or coco-a of data with hidden parts.")],
    folder: Annotated[Path, typer.Option("--out", "-o", help="The new folder.")],
    format: DataFormat = None,
    as_json: Json = False,
    data_options: dict[str, Any] | None = None,
) -> None:
    """Write a data set in another format: the truth as training sees it, the pictures as they are. Says what was mended
    and what the format cannot hold."""
    from ..data.convert import convert as written_as

    done = written_as(data, to, folder, format,
                      progress=_counted("copying") if not as_json and err.is_terminal else None, **(data_options or {}))
    if as_json:
        print_json(done.as_dict())
    else:
        _say_converted(done)


def _say_converted(done: Any) -> None:
    """What was written, and what was not."""
    t = table("split", "pictures", "objects", numbers=("pictures", "objects"))
    for split, n in done.pictures.items():
        t.add_row(escape(split), f"{n:,}", f"{done.objects[split]:,}")
    show(t)
    for line in done.lost:
        out.print(f"[yellow]not held[/] {escape(line)}", soft_wrap=True, highlight=False)
    if done.mended:
        out.print(f"{len(done.mended)} faults were mended; {escape(str(done.place / 'CHANGES.md'))} lists them",
                  soft_wrap=True, highlight=False)
    out.print(f"{done.format}: {escape(str(done.place))}", soft_wrap=True, highlight=False)


def _first(data: str, format: str | None, data_options: dict[str, Any] | None) -> dict[str, str] | None:
    """What to begin with on data that can be used."""
    from ..core.samples import StemmaError
    from ..engine.homes import first_command

    try:
        return first_command(data, format, data_options)
    except StemmaError:
        return None  # what cannot be opened is among the faults


def _counted(doing: str) -> Callable[[int, int], None]:
    """A line of how many pictures are done, each fifty."""
    def told(done: int, total: int) -> None:
        if done % 50 == 0 or done == total:
            err.print(f"{doing} pictures {done:,} of {total:,}", end="\n" if done == total else "\r")

    return told


def train(
    paper: Annotated[str, typer.Argument(help="A paper's name, with hyphens or underscores (`stemma list`).")],
    data: Data = None,
    env: Env = None,
    budget: Budget = "60s",
    wall: Wall = None,
    preset: Annotated[str, typer.Option("--preset", "-p", help="`small` for two cores, `paper` as published, or "
                                        "another of its card.")] = "small",
    backbone: Backbone = None,
    size: Size = None,
    upright: Upright = None,
    proposals: Source = None,
    folder: Annotated[Path | None,
                      typer.Option("--out", "-o", help="The run's folder. \\[default: runs/PAPER]")] = None,
    seed: Annotated[int, typer.Option("--seed", help="Of weights, order, augmentation and samplers.")] = 0,
    sets: Sets = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the run in the folder, exactly; begin where there "
                                         "is none.")] = False,
    val: Annotated[str | None, typer.Option("--val", help="A split's name or another data set to validate on.")] = None,
    format: DataFormat = None,
    start: Annotated[list[str] | None,
                     typer.Option("--start", help="Weights to begin from: a run, a weights file, or a backbone's "
                                  "state dict (`stemma weights PAPER`). Repeatable.")] = None,
    from_scratch: FromScratch = False,
    device: Device = "auto",
    precision: Precision = None,
    batch: BatchSize = None,
    val_every: Annotated[float, typer.Option("--val-every", help="Fraction of the budget between validations; 0: at "
                                             "the end alone.")] = 0.2,
    patience: Annotated[int, typer.Option("--patience",
                                          help="Stop after so many validations without a better score; 0: never.")] = 0,
    workers: Workers = 0,
    deterministic: Annotated[bool, typer.Option("--deterministic",
                                                help="Ask PyTorch for deterministic operators.")] = False,
    compile: Annotated[bool, typer.Option("--compile",
                                          help="Compile the training step first, which takes minutes on a "
                                               "processor and a C++ compiler: worth it for long runs.")] = False,
    as_json: Json = False,
    data_options: dict[str, Any] | None = None,
) -> None:
    """Train one paper. Ctrl-C saves; --resume continues exactly where it was."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # read when PyTorch is loaded: threads that wait do not work
    known(paper, "paper" if resume else preset)
    named = place(data, env)
    if not resume:  # a run knows how its data are read
        look_first([paper], data, format=format)
        if val is not None and data is not None and not is_split(val, data, format, data_options):
            look_first([paper], val, format=format)
    from .. import train as run_training
    from ..engine.running.budget import Spent

    where = folder or Path("runs") / paper.strip().lower().replace("_", "-")
    run = run_training(
        paper, named, None if budget == "paper" else budget, preset, where, seed,
        parse_sets(sets, backbone, proposals, from_scratch), resume, val=val, format=format, device=device,
        precision=precision, batch=batch, val_every=val_every, patience=patience, workers=workers,
        deterministic=deterministic, compile=compile, progress=not as_json, wall=wall, size=size,
        start=start[0] if start and len(start) == 1 else start or None,
        upright=upright, data_options=data_options or None,
    )
    record = run.record
    last = next(iter(list(run.metrics("val"))[-1:]), {})
    if as_json:
        return print_json({"run": str(run.path), "state": record["state"], "spent": record["spent"],
                           "best": record["best"], "last": last,
                           "cut": record.get("cut")})
    best = record["best"]
    on = f" on {best['on']}" if best.get("on") else ""
    score = (f"best {best['metric']} {number(best['score'])}{on} at step {best['step']}; "
             if best.get("score") is not None else "")
    spent = Spent.of(record)
    out.print(f"{score}{many(spent.steps, 'step')} in {spent}. [bold]{escape(str(run.path))}[/]", soft_wrap=True)
    what = f"--data {shlex.quote(data)}" if data else f"--env {env}"
    head = shlex.join([*started(), "evaluate", str(run.path)])
    out.print(f"[dim]next: {escape(head)} {escape(what)}[/]", soft_wrap=True)
    return None


def weights(
    paper: Annotated[str, typer.Argument(help="A paper's name (`stemma list`).")],
    preset: Annotated[str, typer.Option("--preset", "-p", help="The preset that would be trained.")] = "paper",
    sets: Sets = None,
    as_json: Json = False,
) -> None:
    """What a system begins from, where people get such weights, and what there is without them."""
    known(paper, preset)
    from ..core import paper as cards
    from ..engine.wings import weights as asked

    found = asked(cards.get(paper), preset, parse_sets(sets))
    if as_json:
        return print_json(found)
    say = lambda text: out.print(escape(text), soft_wrap=True)  # noqa: E731
    say(f"{found['paper']}, preset {found['preset']}: {found['begins'] or 'its card does not say what it begins from'}")
    for b in found["backbones"]:
        say(f"  {b['backbone']} takes {b['net']}: --start FILE")
        say(f"    {b['from']}")
    for p in found["classifiers"]:
        say(f"  the preset {p} trains such a net: stemma train {found['paper']} -p {p} ..., then --start that run")
    if found["asleep"]:
        say(f"  {found['asleep']} of its tensors never learn, so without weights for them it is not trained")
    elif not found["backbones"]:
        say("  no classifier's network is in it: every weight begins at random and learns")
    changed = "; ".join(f"{k} {a} -> {b}" for k, (a, b) in list(found["from_scratch"].items())[:8])
    if found["backbones"] or found["asleep"]:
        say(f"  --from-scratch: {changed or 'changes nothing, everything learns already'}")
        say("  --backbone NAME:imagenet: another network, whose weights timm brings or a package")
    return None


def screen(wing: str) -> ModuleType:
    """What shows a wing's answers on a terminal."""
    return import_module(f".{wing}", __package__)


def screen_of(run: str, which: str) -> ModuleType:
    """`screen` of the wing that a run's system belongs to."""
    from ..engine import wings
    from ..engine.running.checkpoint import card_of

    return screen(wings.name_of(card_of(run, which).task))


def place(data: str | None, env: str | None, needed: bool = True) -> str | None:
    """What `--data` or `--env` names. Raises `StemmaError` where both do, or none and one is needed."""
    from ..core.samples import StemmaError

    if data is not None and env is not None or needed and data is None and env is None:
        raise StemmaError("name the data with --data, or for an agent the world with --env"
                          + ("" if data is None else ", and not both"))
    return data if env is None else f"env:{env}"


def evaluate(
    run: Annotated[str, typer.Argument(help="A run's folder or a weights file.")],
    data: Data = None,
    env: Env = None,
    split: Annotated[str | None, typer.Option("--split", help="The split to measure on. \\[default: val]")] = None,
    format: DataFormat = None,
    which: Which = "best",
    limit: Annotated[int | None, typer.Option("--limit", help="At most so many pictures, evenly spread; of an agent, "
                                              "episodes.")] = None,
    batch: Annotated[int | None, typer.Option("--batch", help="Pictures at a time. \\[default: 8]")] = None,
    device: Device = "auto",
    precision: Annotated[str | None, typer.Option(
        "--precision", help="auto, fp32, bf16 or fp16; STEMMA_PRECISION in the environment is what auto takes. "
        "\\[default: auto]",
    )] = None,
    workers: Workers = 0,
    size: Annotated[str | None, typer.Option("--size", metavar="N", help="Measure at another size than it was trained "
                                             "at, in pixels.")] = None,
    proposals: Source = None,
    svd: Svd = None,
    of: Annotated[str | None, typer.Option("--of", help="predict, or proposals: what a two-stage system looks at, by "
                                           "average recall. \\[default: predict]")] = None,
    published: Annotated[bool, typer.Option("--published", help="Answer by the paper's test-time settings, not the "
                                            "preset's: least score, NMS, how many are kept.")] = False,
    file: Annotated[Path | None, typer.Option("--out", "-o", help="Write the detections as COCO JSON.")] = None,
    explain: Annotated[Path | None, typer.Option("--explain-difference", metavar="THEIR.json", help="Another program's "
                                                 "numbers: by which rules of measuring do they come out?")] = None,
    as_json: Json = False,
    data_options: dict[str, Any] | None = None,
    own: dict[str, Any] | None = None,
) -> None:
    """Measure a trained model: AP, mIoU, PQ, AR or point mAP, as its task has it, in all and by class; an agent by its
    returns, beside chance."""
    look_again(run, which, data, format)
    from .. import evaluate as measure

    result = measure(run, place(data, env, needed=False), **said(
        split=split, format=format, which=which, batch=batch, device=device, precision=precision, limit=limit,
        workers=workers, out=file, progress=not as_json, proposals=proposals, of=of, svd=_ranks(svd), size=size,
        published=published or None, explain_difference=explain, data_options=data_options or None), **(own or {}))
    if as_json:
        return print_json(result)
    screen_of(run, which).evaluated(result)
    return None


def predict(
    run: Annotated[str, typer.Argument(help="A run's folder or a weights file.")],
    images: Annotated[list[str] | None, typer.Argument(help="Pictures, or texts where texts are read: files, "
                                                       "folders, or patterns in quotes. None for an agent.")] = None,
    env: Env = None,
    folder: Annotated[Path | None, typer.Option("--out", "-o", help="Where drawn pictures and predictions.json go. "
                                                "\\[default: predictions]")] = None,
    threshold: Annotated[float | None, typer.Option("--threshold", "-t",
                                                    help="Least score that is kept. \\[default: 0.3]")] = None,
    tile: Annotated[int | None, typer.Option("--tile", help="Cut larger pictures into overlapping tiles of so many "
                                             "pixels and merge the answers.")] = None,
    overlap: Annotated[float | None,
                       typer.Option("--overlap", help="Least overlap of tiles, as a share. \\[default: 0.2]")] = None,
    proposals: Source = None,
    svd: Svd = None,
    pictures: Annotated[bool | None, typer.Option("--pictures/--no-pictures",
                                                  help="Draw the answers. \\[default: pictures]")] = None,
    which: Which = "best",
    device: Device = "auto",
    as_json: Json = False,
    own: dict[str, Any] | None = None,
) -> None:
    """Predict for pictures: drawn copies and COCO JSON in a folder. An agent's films: the world beside what it
    foresees, open loop. A dialogue with a system of language: sentences, text files with one a line, or - to type."""
    look_again(run, which, images=images)
    from .. import predict as run_prediction

    where = folder or (None if as_json else Path("predictions"))
    screen = screen_of(run, which)
    found = run_prediction(run, images, where, **said(
        data=place(None, env, needed=False), tile=tile, threshold=threshold, overlap=overlap, which=which,
        device=device, pictures=pictures, progress=not as_json, proposals=proposals, svd=_ranks(svd),
        told=None if as_json else getattr(screen, "told", None)), **(own or {}))
    if as_json:
        return print_json(screen.plain(found))
    screen.predicted(found, where)
    return None


def compare(
    papers: Annotated[list[str], typer.Argument(help="Papers; PAPER:PRESET for another preset than the common one. "
                                             "Networks that a protocol measures: NAME, a file of weights, "
                                             "PAPER@NAME.")],
    data: Data = None,
    env: Env = None,
    budget: Annotated[str, typer.Option("--budget", "-b", help="The same for each: 90s, 5m, 2000steps, 12epochs or "
                                        f"50000images. {SECOND}")] = "60s",
    wall: Wall = None,
    seeds: Annotated[int, typer.Option("--seeds", help="Trainings of each paper; two or more give a spread.")] = 1,
    preset: Annotated[str, typer.Option("--preset", "-p", help="Of all papers that name none.")] = "small",
    backbone: Backbone = None,
    size: Size = None,
    upright: Upright = None,
    proposals: Source = None,
    same_recipe: Annotated[bool, typer.Option("--same-recipe", help="Train all by the first one's recipe, as far as "
                                              "their shapes allow it: a gain is then the idea's.")] = False,
    start: Annotated[list[str] | None,
                     typer.Option("--start", help="Weights to begin from, each for those that it fits; PAPER:FILE for "
                                  "one (`stemma weights PAPER`). Repeatable.")] = None,
    folder: Annotated[Path, typer.Option("--out", "-o", help="Where runs, results.json and report.html go; again, it "
                                         "resumes.")] = Path("runs/compare"),
    jobs: Annotated[int | None, typer.Option("--jobs", "-j",
                                             help="Trainings at a time. \\[default: one a core, or one a GPU]")] = None,
    on: Annotated[str, typer.Option("--on", help="local, or ray: the cluster at RAY_ADDRESS; "
                                                 "no disk need be shared.")] = "local",
    format: DataFormat = None,
    sets: Sets = None,
    from_scratch: FromScratch = False,
    device: Device = "auto",
    precision: Precision = None,
    batch: BatchSize = None,
    workers: Workers = 0,
    limit: Annotated[int | None, typer.Option("--limit", help="Measure on at most so many pictures, or an agent on so "
                                              "many episodes.")] = None,
    as_json: Json = False,
    data_options: dict[str, Any] | None = None,
) -> None:
    """Train several papers alike and write one report that says which did best, and why.
    Interrupted, the same command resumes."""
    where = str(place(data, env))
    begun = (folder / "compare.json").is_file()  # it knows how its data are read
    look_first(papers, None if begun else data, format=format, networks=True)
    from ..report import clocks
    from ..report import compare as run_comparison
    from .live import Board

    with Board(budget, quiet=as_json) as board:
        done = run_comparison(
            papers, where, budget, seeds, preset, folder, jobs=jobs, on=on, format=format,
            sets=parse_sets(sets, backbone, proposals, from_scratch), device=device, data_options=data_options or None,
            precision=precision, batch=batch, workers=workers, limit=limit, wall=wall, size=size, upright=upright,
            same_recipe=same_recipe, start=start or (), say=board.say,
            command=" ".join(["stemma", *map(shlex.quote, sys.argv[1:])]), show=board.show,
        )
    if as_json:
        return print_json({k: v for k, v in done.results.items() if k != "pictures"} | {"path": str(done.path)})
    screen(done.results["wing"]).compared(done.results)
    for line in clocks.lines(done.results):
        out.print(f"[yellow]note:[/] {escape(line)}", soft_wrap=True)
    out.print(f"\n[bold]{escape(str(done.path / 'report.html'))}[/]  [dim]and results.json beside it[/]",
              soft_wrap=True)
    if done.failed:
        raise typer.Exit(1)
    return None


def export(
    run: Annotated[str, typer.Argument(help="A run's folder or a weights file.")],
    file: Annotated[Path, typer.Argument(help="What to write: model.onnx, model.pt2 for torch.export, or of a YOLO "
                                         "model.weights for Darknet, with model.cfg beside it.")],
    format: Annotated[str | None, typer.Option("--format", help="onnx, torch or darknet; by the file's ending when not "
                                               "given.")] = None,
    size: Annotated[str | None, typer.Option("--size", help="Input size, 512 or HEIGHTxWIDTH; the recipe's when "
                                             "not given.")] = None,
    outputs: Annotated[str | None, typer.Option("--outputs", help="predictions: boxes after NMS, or maps. raw: the "
                                                "network before that. \\[default: predictions]")] = None,
    svd: Svd = None,
    which: Which = "best",
    as_json: Json = False,
) -> None:
    """Write the network for other runtimes, and check it against PyTorch on the spot."""
    is_there(run, which)
    from .. import export as write

    kind = format or {".onnx": "onnx", ".pt2": "torch", ".weights": "darknet"}.get(file.suffix, "onnx")
    result = write(run, file, kind, **said(size=_size(size), outputs=outputs, which=which, svd=_ranks(svd)))
    if as_json:
        return print_json(result)
    screen_of(run, which).exported(result)
    return None


def _ranks(text: str | None) -> tuple[int, ...]:
    """`1024,256` as numbers."""
    parts = [] if text is None else text.split(",")
    if not all(p.strip().isdigit() for p in parts):
        from ..core.samples import StemmaError

        raise StemmaError("--svd takes ranks with commas between, one a layer and 0 for a layer as it is, such as "
                          f"1024,256, not '{text}'")
    return tuple(int(p) for p in parts)


def _size(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    parts = text.lower().split("x")
    if len(parts) > 2 or not all(p.strip().isdigit() and int(p) > 0 for p in parts):
        from ..core.samples import StemmaError

        raise StemmaError(f"--size takes 512 or HEIGHTxWIDTH such as 480x640, not '{text}'")
    return int(parts[0]), int(parts[-1])


def import_backbone(
    net: Annotated[str, typer.Argument(metavar="NAME", help="resnet50, resnet101, resnet152, the same with -caffe "
                                       "(strides on the first 1x1), vgg11 to vgg19, alexnet, googlenet, "
                                       "darknet19, darknet53.")],
    file: Annotated[Path, typer.Argument(help="Its state dict: .pth (read with weights_only) or safetensors; of "
                                         "darknet19 and darknet53 Darknet's own file.")],
    target: Annotated[Path | None, typer.Argument(metavar="OUT", help="The file to write. \\[default: "
                                                  "NAME.safetensors]")] = None,
    as_json: Json = False,
) -> None:
    """Check a backbone's weights and keep them with what they mean, for `train --start`."""
    from ..core import outputs
    from ..core.samples import StemmaError
    from ..engine.running import layouts
    from ..engine.running.foreign import read_state

    try:
        source = (layouts.of_darknet(file, net) if net in layouts.DARKNETS
                  else layouts.told(layouts.recognised(read_state(file)), net))
    except StemmaError as error:
        raise StemmaError(str(error) if str(file) in str(error) else f"{file}: {error}") from error
    path = target or Path(f"{net}.safetensors")
    outputs.claim([path], "file", lambda p: layouts.kept(p) is not None)
    layouts.keep(path, source)
    if as_json:
        return print_json({"path": str(path), "net": source.net, "says": source.says, "tensors": len(source.state),
                           "left": list(source.left)})
    out.print(f"[bold]{escape(str(path))}[/]  {source.says}: {len(source.state)} tensors; left in the file: "
              f"{escape(', '.join(source.left[:6]) or 'none')}", soft_wrap=True)
    return None


def import_torchvision(
    paper: Annotated[str, typer.Argument(help="fpn, mask-rcnn, retinanet or ssd: the system that the weights "
                                         "belong to.")],
    file: Annotated[Path, typer.Argument(help="A state dict saved by torch.save (read with weights_only) or a "
                                         "safetensors file.")],
    target: Annotated[Path, typer.Argument(metavar="OUT", help="The weights file to write, *.safetensors.")],
    names: Annotated[Path | None, typer.Option("--classes", help="A text file with one class name a line; COCO's where "
                                               "the counts are COCO's.")] = None,
    as_json: Json = False,
) -> None:
    """Turn torchvision's weights into a checkpoint that evaluate, predict and export take."""
    from .. import from_torchvision
    from ..data.files import lines_of
    from ..engine.running import checkpoint
    from ..engine.running.foreign import read_state

    classes = [x for x in lines_of(names) if x] if names else None
    state = read_state(file)
    model = from_torchvision(paper, state, classes)
    checkpoint.save(target, model)
    count = len(model.state_dict())
    if as_json:
        return print_json({"path": str(target), "paper": model.paper.cli_name, "preset": model.preset,
                           "classes": model.classes, "tensors": count})
    about = f"{model.paper.cli_name}, preset {model.preset}, {many(model.classes, 'class', 'classes')}, {count} tensors"
    out.print(f"[bold]{escape(str(target))}[/]  {about}", soft_wrap=True)
    return None
