"""What the working commands show of editors: edits made beside the baselines, strips of pictures, a comparison."""
from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from ..core.sentence import many
from .reading import Json
from .screen import err, number, out, print_json, show, table

_PANEL = "Of systems that edit pictures"
_GUIDED: dict[str, Any] = {
    "text_guidance": Annotated[float | None, typer.Option(
        "--text-guidance", help="How closely it keeps to the sentence. Its own when not given.",
        rich_help_panel=_PANEL)],
    "image_guidance": Annotated[float | None, typer.Option(
        "--image-guidance", help="How closely it keeps to the picture. Its own when not given.",
        rich_help_panel=_PANEL)],
    "steps": Annotated[int | None, typer.Option(
        "--steps", help="Steps from noise to a picture. Its own when not given.", rich_help_panel=_PANEL)],
    "tokenizer": Annotated[Path | None, typer.Option(
        "--tokenizer", help="The folder with CLIP's vocab.json and merges.txt, where the model knows none or it lies "
        "elsewhere.", rich_help_panel=_PANEL)],
}
DATA = "For editors pairs with instructions, or `edits[:SIZE]` (drawn)."  # of --data
OPTIONS: dict[str, dict[str, Any]] = {  # of a common command, that this wing alone has
    "evaluate": {**_GUIDED, "clip": Annotated[Path | None, typer.Option(
        "--clip", help="The folder of a CLIP, which says whether pictures changed as their captions did.",
        rich_help_panel=_PANEL)]},
    "predict": {
        "instruction": Annotated[str | None, typer.Option(
            "--instruction", "-i", help="What is to be done to the pictures: 'make the disc red'.",
            rich_help_panel=_PANEL)],
        **_GUIDED,
        "seed": Annotated[int | None, typer.Option(
            "--seed", help="Of the noise that an edit begins with. \\[default: 0]", rich_help_panel=_PANEL)],
        "size": Annotated[int | None, typer.Option(
            "--size", help="Edit at so many pixels, the longer side. Those at which it learned when not given; the "
            "authors of InstructPix2Pix edit at 512 what learned at 256.", rich_help_panel=_PANEL)],
        "vary": Annotated[bool | None, typer.Option(
            "--vary/--no-vary", help="Draw each picture's two scales, up to a fifth less or more. \\[default: no-vary]",
            rich_help_panel=_PANEL)],
    },
}


def evaluated(said: dict[str, Any]) -> None:
    """The measures in all and by kind of instruction, beside the picture as it was and an untrained net."""
    from ..report.editing import COLUMNS

    kinds = said["by_kind"] if len(said["by_kind"]) > 1 else {}
    whose = {"all": said, **kinds, "as it was": said["copy"],
             **({"no picture": said["words"]} if "words" in said else {}), "untrained": said["untrained"]}
    t = table("measure", *map(escape, whose), numbers=tuple(whose))
    measures = [k for k in COLUMNS if k in said]
    for k in measures:
        t.add_row(COLUMNS[k][0], *(number(of.get(k)) for of in whose.values()))
    show(t)
    if taken := said.get("taken_for"):
        seen = table("asked of one thing, taken for", *taken, "nothing", numbers=(*taken, "nothing"))
        for thing, of in taken.items():
            seen.add_row(thing, *(str(of[k]) for k in (*taken, "")))
        show(seen)
    out.print(f"{said['paper'].replace('_', '-')} on {many(said['edits'], 'edit')} of {escape(said['split'])}, "
              f"{said['size']} pixels, {many(said['steps'], 'step')}, {said['ms']:.0f} ms an edit; beside it the "
              f"pictures as they were, the same told no picture but the sentence, and an untrained net, both on "
              f"{said['untrained']['edits']}")
    out.print(f"[dim]{'; '.join(f'{COLUMNS[k][0]}: {COLUMNS[k][1]}' for k in measures)}[/]")
    if turns := said.get("in_turn"):
        _in_turn(turns)


def _in_turn(said: dict[str, Any]) -> None:
    """What becomes of sessions, where one edit follows upon another."""
    words = {"alone": "each from the true picture", "all": "each from what was made", "final": "the last of these"}
    measures = {"right": "made", "l1": "L1", "l2": "L2", "alike": "alike"}
    there = [k for k in measures if k in said["all"]]
    t = table("turns", "edits", *(measures[k] for k in there), "L1 as it was",
              numbers=("edits", *(measures[k] for k in there), "L1 as it was"))
    for k, name in words.items():
        t.add_row(name, str(said[k]["edits"]), *(number(said[k].get(m)) for m in there), number(said["copy"][k]["l1"]))
    for row in said["by_turn"]:
        t.add_row(f"  turn {row['turn']}, from what was made", str(row["all"]["edits"]),
                  *(number(row["all"].get(m)) for m in there), "")
    show(t)
    out.print(f"[dim]{many(said['sessions'], 'session')} of edits that follow upon each other. made: all that changed "
              "since the first picture did; L1, L2: mean distance of a colour (0 to 1) and its square from the picture "
              "that it should be" + ("; alike: cosine of CLIP's features of both" if "alike" in there else "") + "[/]")


def import_diffusers(
    source: Annotated[Path, typer.Argument(help="A folder of diffusers (unet, vae, text_encoder), or the one file of "
                                           "the original release as .safetensors.")],
    target: Annotated[Path, typer.Argument(metavar="OUT", help="The weights file to write, *.safetensors.")],
    paper: Annotated[str, typer.Option("--paper", help="The editor that they are to be.")] = "instruct-pix2pix",
    tokenizer: Annotated[Path | None, typer.Option("--tokenizer", help="The folder with CLIP's vocab.json and "
                                                   "merges.txt, where the checkpoint has none.")] = None,
    as_json: Json = False,
) -> None:
    """Turn a Stable Diffusion or InstructPix2Pix checkpoint into one that train --start, evaluate and predict take."""
    from ..engine.editing.bring import saved

    model: Any = saved(source, target, paper=paper, tokenizer=tokenizer)
    count = len(model.state_dict())
    if as_json:
        return print_json({"path": str(target), "paper": model.paper.cli_name, "preset": model.preset,
                           "tensors": count, "tokenizer": model.text.files})
    out.print(f"[bold]{escape(str(target))}[/]  {model.paper.cli_name}, preset {model.preset}, {count} tensors; "
              + (f"sentences by {escape(model.text.files)}" if model.text.files else "it knows no words yet: say "
                 "--tokenizer FOLDER"), soft_wrap=True)
    return None


def import_pairs(
    model: Annotated[Path, typer.Argument(help="What draws the pictures: a run or weights file of an editor, or a "
                                          "folder of diffusers (Stable Diffusion 1).")],
    target: Annotated[Path, typer.Argument(metavar="OUT", help="The folder to write, as InstructPix2Pix publishes its "
                                           "pairs.")],
    count: Annotated[int, typer.Option("--count", help="Edits in words.")] = 100,
    samples: Annotated[int, typer.Option("--samples", help="Pairs that are drawn for each.")] = 100,
    keep: Annotated[int, typer.Option("--keep", help="Pairs of each that are kept at most.")] = 4,
    captions: Annotated[Path | None, typer.Option("--captions", help="A text file, a caption a line, for the language "
                                                  "model.")] = None,
    language: Annotated[Path | None, typer.Option("--language", help="The folder of a language model that writes the "
                                                  "edits; without it a grammar of the drawn world does.")] = None,
    clip: Annotated[Path | None, typer.Option("--clip", help="The folder of a CLIP that filters the pairs; without it "
                                              "none is left out.")] = None,
    steps: Annotated[int | None, typer.Option("--steps", help="Steps from noise to a picture. The model's own when not "
                                              "given.")] = None,
    seed: Annotated[int, typer.Option("--seed", help="Of words and noise.")] = 0,
    as_json: Json = False,
) -> None:
    """Make pairs to learn from, as InstructPix2Pix did: edits in words, both pictures drawn with shared attention."""
    from ..core.types import StemmaError
    from ..engine.editing.making import make

    try:
        lines = captions.read_text(encoding="utf-8").splitlines() if captions is not None else []
    except (OSError, ValueError) as error:
        raise StemmaError(f"cannot read {captions}: {error}") from None
    tell = None if as_json else lambda line: err.print(escape(line), soft_wrap=True)
    found = make(model, target, count, samples, keep, sentences=lines, language=language, clip=clip, steps=steps,
                 seed=seed, say=tell)
    if as_json:
        return print_json(found)
    how = "kept by CLIP" if found["filtered"] else "none left out: no --clip was given"
    out.print(f"[bold]{escape(found['where'])}[/]  {many(found['pairs'], 'pair')} of {many(found['prompts'], 'edit')}, "
              f"of {found['drawn']} that were drawn, {how}", soft_wrap=True)
    return None


IMPORTS = {"diffusers": import_diffusers, "pairs": import_pairs}  # of `stemma import`


def plain(said: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What was done to each picture, as JSON holds it."""
    from ..engine.editing.show import plain as without_pictures

    return without_pictures(said)


def predicted(said: list[dict[str, Any]], where: Path | None) -> None:
    """What was changed of each picture, and where the strips are."""
    for one in said:
        t, i = one["text_guidance"], one["image_guidance"]
        sides = [" x ".join(map(str, one[k])) for k in ("size", "whole")]
        out.print(f"[bold]{escape(one['file_name'])}[/]  {escape(one['instruction'])}: {100 * one['changed']:.1f} % "
                  f"changed (text {t:g}, image {i:g}, {many(one['steps'], 'step')}, seed {one['seed']}), "
                  f"{sides[0]} pixels" + (f" of {sides[1]}" if sides[1] != sides[0] else ""), soft_wrap=True)
    if where is not None:
        out.print(f"before, after and what changed, and the edited pictures, in [bold]{escape(str(where))}[/]",
                  soft_wrap=True)


def compared(results: dict[str, Any]) -> None:
    """The table of a comparison of editors, best first."""
    from ..report.editing import COLUMNS, answer

    head, more = answer(results)
    out.print(f"\n{escape(head)}")
    for line in more:
        out.print(f"  • {escape(line)}")
    columns = [k for k in COLUMNS if any(k in s["summary"] for s in results["systems"])]
    runs = [(f"{s['title']} {r['seed']}", r) for s in results["systems"] for r in s["runs"]]
    t = table("measure", *(escape(name) for name, _ in runs), numbers=tuple(name for name, _ in runs))
    for k in columns:
        t.add_row(COLUMNS[k][0], *(number(r["metrics"].get(k)) for _, r in runs))
    t.add_row("steps", *(number(r["steps"]) for _, r in runs))
    show(t)
    for r in results["failed"]:
        err.print(f"[red]failed:[/] {escape(r['title'])} seed {r['seed']}: {escape(str(r.get('error')))}",
                  soft_wrap=True)


__all__ = ["DATA", "IMPORTS", "OPTIONS", "compared", "evaluated", "import_diffusers", "import_pairs", "plain",
           "predicted"]
