"""What the working commands show of systems that look at pictures."""
from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from ..core.sentence import many
from .reading import Json
from .screen import err, fitting, number, out, print_json, show, table

OVER = "95 % over pictures"  # heading of the intervals


def evaluated(result: dict[str, Any]) -> None:
    """Where it was measured, the measures in all with their intervals over pictures, and by class."""
    from ..report import words

    per_class, intervals = result.pop("per_class", {}), result.get("intervals", {})
    count, whole, split = result.pop("images"), result.pop("split_images"), result["split"]
    out.print(f"measured on {words.measured_on({'split': split, 'measured': count, 'whole': whole})}")
    t = table("measure", "value", OVER, numbers=("value",)) if intervals else table("measure", "value",
                                                                                    numbers=("value",))
    for k, v in result.items():
        if isinstance(v, (int, float)):
            ends = [" to ".join(map(number, intervals[k]))] if k in intervals else []
            t.add_row(k, number(v), *ends)
    show(t)
    if "rules" in result:
        out.print(f"[dim]by the rules of {escape(result['rules'])}[/]")
    if explained := result.get("explained"):
        _explained(explained)
    if result.get("timed_by") == "processor":
        out.print("[dim]images_per_second is of processor time: the machine was busy, and the clock could not be "
                  "trusted[/]")
    if per_class:
        keys = fitting(list(dict.fromkeys(k for row in per_class.values() for k in row))[:6],
                       [max(per_class, key=len)])  # --json has them all
        t = table("class", *keys, numbers=tuple(keys))
        for name, row in per_class.items():
            t.add_row(escape(name), *(number(row.get(k)) for k in keys))
        out.print()
        show(t)


def _explained(rules: list[dict[str, Any]]) -> None:
    """By which rules another program's numbers come out of these detections, nearest first; the first by name."""
    t = table("by this rule", "largest difference", "done by", numbers=("largest difference",))
    for r in rules[:8]:
        t.add_row(f"[bold]{escape(r['rule'])}[/]" if r["same"] else escape(r["rule"]), f"{r['apart']:.6f}",
                  escape(r["who"]))
    out.print()
    show(t)
    same = [r["rule"] for r in rules if r["same"]]
    out.print(f"their numbers come out by: {escape('; '.join(same))}" if same else
              "their numbers come out by none of these rules alone: other detections, other truth, or two rules at "
              "once (docs/differences.md)")


def plain(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Predictions as JSON holds them: without maps."""
    return [{k: v for k, v in f.items() if k not in ("semantic", "panoptic")} for f in found]


def predicted(found: list[dict[str, Any]], where: Path | None) -> None:
    """How many of what was found in each picture."""
    t = table("picture", "found")
    for f in found:
        counts: dict[str, int] = {}
        for name in f.get("names", []) if "semantic" not in f else []:
            counts[name] = counts.get(name, 0) + 1
        t.add_row(escape(f["file_name"]), escape(", ".join(f"{n} {k}" for k, n in counts.items())
                                                 or ("a map" if "semantic" in f else "nothing")))
    show(t)
    out.print(f"[bold]{escape(str(where))}[/]")


def compared(results: dict[str, Any]) -> None:
    """The answer, a table by section, what each idea bought, and what failed."""
    from ..report import words

    for main, title in words.SECTIONS.items():
        group = [s for s in results["systems"] if s["main"] == main]
        if not group:
            continue
        head, more = words.answer(results, main)
        out.print(f"\n[bold]{title}[/]\n{escape(head)}")
        for line in more:
            out.print(f"  • {escape(line)}")
        wanted = (main, "AP50", "image_AP", "mask_AR100", "mask_AP", "keypoint_AP", "mIoU_stuff_foreground", "SQ", "RQ",
                  "count_error", "MR2", "parameters", "images_per_second", "latency_ms")
        columns = [m for m in dict.fromkeys(wanted) if any(words.mean_of(s, m) is not None for s in group)]
        ends = {s["id"]: s["summary"][main].get("interval") for s in group}
        over = [OVER] if any(ends.values()) else []
        rows = [["system", words.heading(main), *over, *map(words.heading, columns[1:]), "untrained"]]
        for s in words.ranked(group, main):
            first, *cells = [words.with_spread(c, s["summary"].get(c, {})) for c in columns]
            said = words.between(ends[s["id"]] or ()) if ends[s["id"]] else "–"
            rows.append([s["title"], first, *([said] * len(over)), *cells,
                         words.score(s["summary"][main].get("untrained"))])
        while len(rows[0]) > 3 and sum(2 + max(len(r[i]) for r in rows) for i in range(len(rows[0]))) > out.width:
            rows = [[*r[:-2], r[-1]] for r in rows]  # the report has them all
        t = table(*rows[0], numbers=tuple(rows[0][1:]))
        for r in rows[1:]:
            t.add_row(*map(escape, r))
        show(t)
    if results["edges"]:
        out.print("\n[bold]What each idea bought[/]")
        titles = {s["id"]: s["title"] for s in results["systems"]}
        t = table("step", "gain", OVER, "", numbers=("gain",))
        for e in results["edges"]:
            gain = "–" if e["gain"] is None else f"{words.signed(e['gain'])} {words.MEASURES[e['metric']][0]}"
            via = f" (by way of {', '.join(e['through'])})" if e["through"] else ""
            gap = words.between(e["interval"], sign=True) if e.get("interval") else "–"
            also = " *" if e.get("trained") or e.get("besides") else ""
            t.add_row(escape(f"{titles[e['parent']]} → {titles[e['child']]}{via}{also}"), gain, gap,
                      words.edge_verdict(e))
        show(t)
        if any(e.get("trained") or e.get("besides") for e in results["edges"]):
            hint = "" if "--same-recipe" in results["command"] else "; --same-recipe trains all alike"
            out.print(f"[dim]* and set or trained differently, as the report says{hint}[/]")
    if said := words.measured_on(results["data"]):
        out.print(f"\nmeasured on {said}")
    if line := words.untrained_line(results):
        out.print("\n" + escape(line))
    for s in results["systems"]:
        for r in s["runs"]:
            if r["status"] != "done":
                err.print(f"[red]failed:[/] {escape(s['id'])} seed {r['seed']}: {escape(str(r.get('error')))}",
                          soft_wrap=True)
    for r in results["failed"]:
        err.print(f"[red]failed:[/] {escape(r['title'])} seed {r['seed']}: {escape(str(r.get('error')))}",
                  soft_wrap=True)


def exported(result: dict[str, Any]) -> None:
    """The outputs of what was written, and how far they are from PyTorch's."""
    if files := result.get("files"):
        out.print(f"[bold]{escape(', '.join(files))}[/]  {result['bytes'] / 1e6:.1f} MB, read back and found alike",
                  soft_wrap=True)
        return
    t = table("output", "shape", "largest difference from PyTorch", numbers=("largest difference from PyTorch",))
    for name, shape in result["outputs"].items():
        t.add_row(name, " x ".join(map(str, shape)), f"{result['differences'][name]:.2e}")
    show(t)
    out.print(f"[bold]{escape(result['path'])}[/]  {result['bytes'] / 1e6:.1f} MB, input 1 x 3 x {result['size'][0]} x "
              f"{result['size'][1]}", soft_wrap=True)
    if result.get("compared") == 0:
        out.print("[dim]nothing is found in the drawn scene that was looked at: two empty answers were compared[/]")


def import_darknet(
    cfg: Annotated[Path, typer.Argument(help="The net's layers: yolov3.cfg, yolov2.cfg, yolov2-voc.cfg, yolo9000.cfg, "
                                        "or one like them with anchors and classes of your own.")],
    file: Annotated[Path, typer.Argument(metavar="WEIGHTS", help="Its numbers, *.weights.")],
    target: Annotated[Path | None, typer.Argument(metavar="OUT", help="The weights file to write. \\[default: WEIGHTS "
                                                  "with the ending .safetensors]")] = None,
    names: Annotated[Path | None, typer.Option("--classes", help="A text file with one class name a line, such as "
                                               "coco.names.")] = None,
    tree: Annotated[Path | None, typer.Option("--tree", help="The tree that YOLO9000's classes stand on, where it is "
                                              "not beside the cfg.")] = None,
    as_json: Json = False,
) -> None:
    """Turn Darknet's YOLOv2, YOLO9000 or YOLOv3 into a checkpoint that evaluate, predict and export take."""
    from ..data.files import lines_of
    from ..engine.pictures.darknet import from_darknet
    from ..engine.running import checkpoint

    path = target or file.with_suffix(".safetensors")
    model = from_darknet(cfg, file, None if names is None else [x for x in lines_of(names) if x], tree)
    checkpoint.save(path, model)
    found = {"path": str(path), "paper": model.paper.cli_name, "preset": model.preset, "classes": model.classes,
             "pixels": model.recipe.resize.size, "tensors": len(model.state_dict())}
    if as_json:
        return print_json(found)
    out.print(f"[bold]{escape(str(path))}[/]  {found['paper']}, preset {found['preset']}, "
              f"{many(found['classes'], 'class', 'classes')}, "
              f"{found['pixels']} pixels, {found['tensors']} tensors", soft_wrap=True)
    return None


IMPORTS = {"darknet": import_darknet}  # of `stemma import`

__all__ = ["IMPORTS", "compared", "evaluated", "exported", "import_darknet", "plain", "predicted"]
