"""A comparison of editors as one page, `report.html`: who made most of the edits, what else they changed, what can be
read back out of their pictures, and the pictures."""
from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

from ..core import outputs
from ..core.sentence import many
from . import charts, words
from .sheet import PALETTE, answered, definitions, fold, made_on, page, remark, runs_of
from .tags import table, tag, text

System = dict[str, Any]
# measure -> (heading, what it is); the order of the columns
COLUMNS: dict[str, tuple[str, str]] = {
    "right": ("edits made", "share of edits that are as they were asked for"),
    "background": ("else changed", "mean change of a colour, 0 to 1, where nothing should"),
    "direction": ("direction", "cosine of what changed and what should, over pixels"),
    "clip_direction": ("CLIP direction", "cosine of how CLIP sees the picture change and how its caption does"),
    "clip_picture": ("CLIP picture", "cosine of how CLIP sees the picture before and after"),
    "iou": ("mask IoU", "intersection over union of the mask that is read out of what was marked"),
    "ciou": ("cumulative IoU", "pixels that were marked rightly, of all edits together, over those of either mask"),
    "iou_read": ("IoU, read", "the same of the mask that its reader sees"),
    "framed": ("boxes found", "share of what was marked whose box overlaps the thing's by half"),
    "found": ("points found", "share of points that were encircled within two radii of where they are"),
    "found_read": ("points, read", "the same of what its reader sees"),
    "pck": ("joints, PCK", "share of joints within a fifth of the longer side of the person's box"),
    "oks": ("joints, OKS", "COCO's similarity of the joint that was encircled, its mean"),
    "psnr": ("PSNR, dB", "peak signal to noise of the mended picture"),
    "ssim": ("SSIM", "its structural similarity with the sound one"),
    "distance": ("pixels off", "mean distance of the discs from their points, in the network's pixels"),
    "false_area": ("false area", "share of the picture marked for something that is not there"),
    "named": ("named", "share of pictures of one thing that are classified as it: every thing is asked for, the one "
              "that covers most wins"),
    "ap": ("box AP", "COCO's, of what is detected by asking for every thing"),
    "ap50": ("box AP50", "the same at an overlap of half"),
    "mask_ap": ("mask AP", "the same of masks"),
}
MAIN = "right"
EDITED = ("right", "background", "direction", "clip_direction", "clip_picture", "psnr", "ssim")
PER = 6  # measures of a table: more do not fit a window of 1,200 pixels


def answer(r: dict[str, Any]) -> tuple[str, list[str]]:
    """(the first sentence, more): who made most edits, and whether that is clear of the seeds' spread and of nothing
    learned."""
    systems = [s for s in r["systems"] if MAIN in s["summary"]]
    if not systems:
        return "Nothing was measured.", []
    best = systems[0]
    bare = best["runs"][0]["untrained"].get(MAIN, 0.0)
    head = (f"{best['title']} made {_mean(best)} of the edits that it was asked for (the picture as it was: "
            f"{words.score(best['runs'][0]['copy'].get(MAIN, 0.0))}, an untrained net: {words.score(bare)}).")
    if best["summary"][MAIN]["mean"] <= bare + 0.05:
        head = f"None has learned to edit yet: {head}"
    more = []
    for s in systems[1:]:
        values = best["summary"][MAIN]["values"], s["summary"][MAIN]["values"]
        apart = ("one seed each: the spread is unknown" if min(map(len, values)) < 2 else
                 "clear of the seeds' spread" if min(values[0]) > max(values[1]) else "within the spread of the seeds")
        more.append(f"{s['title']} made {_mean(s)}; {apart}.")
    held = r["data"].get("held", {})
    if len({tuple(sorted(kinds)) for kinds in held.values()}) > 1:
        asked = "; ".join(f"{ident}: {', '.join(kinds)}" for ident, kinds in held.items())
        more.append("They were not asked for the same kinds of edit, so that the shares are of different things "
                    f"({asked}).")
    return head, more


def _mean(s: System, key: str = MAIN) -> str:
    x = s["summary"][key]
    return words.score(x["mean"]) + (f" ± {words.score(x['spread'])} over {len(x['values'])} seeds"
                                     if x["spread"] is not None else "")


def write(results: dict[str, Any], folder: Path | str) -> Path:
    """Write `report.html` into `folder`, where the runs and their pictures are. Raises `FileNotFoundError` where a
    picture is missing."""
    path = Path(folder) / "report.html"
    return outputs.put_text(path, render(results, Path(folder)))


def render(r: dict[str, Any], folder: Path) -> str:
    """The page as text."""
    colour = {s["id"]: i % PALETTE for i, s in enumerate(r["systems"])}
    sections = [
        ("results", "Results", "Results", _table(r["systems"], colour)),
        ("kinds", "Kinds", "By kind of instruction", _kinds(r["systems"], colour)),
        ("learning", "Learning", "Learning", _learning(r["systems"], colour, words.seconds(r))),
        ("pictures", "Pictures", "Before, as it should become, as it was made", _pictures(r["systems"], folder)),
        ("made", "Method", "How this was made", _made(r)),
    ]
    title = f"{many(len(r['systems']), 'editor')}, {words.length(r)} each"
    about = f"{r['data']['where']} · {many(r['seeds'], 'seed')} each · preset {r['preset']}"
    return page(r, title, f"{about} · {r['machine']['device']}",
                answered(r, "Editing " + r["data"]["name"], answer(r)), sections)


def _cells(measures: dict[str, Any], columns: list[str]) -> list[str]:
    return [tag("td", words.score(measures.get(k)), data_sort=f"{measures.get(k) or 0.0:.6g}") for k in columns]


def _columns(systems: list[System]) -> list[str]:
    return [k for k in COLUMNS if any(k in s["summary"] for s in systems)]


def _heads(first: list[str], columns: list[str]) -> str:
    names = [*first, *(COLUMNS[k][0] for k in columns)]
    return "".join(tag("th", tag("button", n), scope="col", cls="left" * (n == "kind")) for n in names)


def _tables(columns: list[str], first: list[str], rows: list[tuple[list[str], dict[str, Any]]],
            says: bool = False) -> str:
    """Rows of (cells, measures) in tables that fit a window: what is said of edits, then what is read out of marks. A
    row or a column without a number is left out. says: what the measures are stands above each."""
    columns = [k for k in columns if any(m.get(k) is not None for _, m in rows)]
    edits, marks = [k for k in columns if k in EDITED], [k for k in columns if k not in EDITED]
    out = ""
    for part in [p[i : i + PER] for p in (edits, marks) for i in range(0, len(p), PER)]:
        own = [tag("tr", *cells, *_cells(m, part)) for cells, m in rows if any(m.get(k) is not None for k in part)]
        said = remark("; ".join(f"{COLUMNS[k][0]}: {COLUMNS[k][1]}" for k in part) + ".") if says else ""
        out += said + table(_heads(first, part), own, "sortable") if own else ""
    return out


def _table(systems: list[System], colour: dict[str, int]) -> str:
    rows: list[tuple[list[str], dict[str, Any]]] = []
    for s in systems:
        for x in s["runs"]:
            name = tag("th", charts.legend_swatch(colour[s["id"]]), " ", text(s["title"]), scope="row")
            rows.append(([name, tag("td", str(x["seed"]))], x["metrics"]))
        for said, key in (("the picture as it was", "copy"), ("the sentence alone", "words"),
                          ("untrained", "untrained")):
            name = tag("th", text(f"{s['title']}: {said}"), scope="row")
            if key in s["runs"][0]:  # who reads no sentence has none of the second
                rows.append(([name, tag("td", "–")], s["runs"][0][key]))
    return _tables(_columns(systems), ["editor", "seed"], rows, says=True)


def _kinds(systems: list[System], colour: dict[str, int]) -> str:
    rows = [([tag("th", charts.legend_swatch(colour[s["id"]]), " ", text(s["title"]), scope="row"),
              tag("td", text(kind), cls="left")], measures)
            for s in systems for kind, measures in s["runs"][0]["by_kind"].items()]
    return remark("The first seed of each.") + _tables(_columns(systems), ["editor", "kind"], rows)


def _learning(systems: list[System], colour: dict[str, int], seconds: str) -> str:
    panels = []
    for key, head, label in (("images", "Against pairs seen", "pairs"), ("seconds", "Against time", seconds)):
        lines = [charts.Line(colour[s["id"]], f"{s['title']}, seed {x['seed']}", tuple(
            (float(p[key]), float(p["value"])) for p in x["curve"] if p["value"] is not None)) for s in systems
            for x in s["runs"]]
        if drawn := charts.line_chart(lines, label, "edits made", f"Edits made against {label}", y_max=1.0):
            panels.append(tag("div", tag("h4", head), drawn))
    return tag("div", *panels, cls="two") if panels else ""


def _pictures(systems: list[System], folder: Path) -> str:
    """A row an edit, what each system made of it beside the others'."""
    rows: dict[tuple[int, str], list[str]] = {}
    for s in systems:
        for k, one in enumerate(s["runs"][0]["shown"]):
            data = base64.b64encode((folder / s["runs"][0]["folder"] / "shown" / one["file"]).read_bytes()).decode()
            said = text(one["instruction"])
            image = (f'<img src="data:image/png;base64,{data}" alt="{said}" '
                     'style="width:100%;image-rendering:pixelated">')
            caption = tag("figcaption", tag("b", text(s["title"])), " ", said)
            rows.setdefault((k, one["instruction"]), []).append(tag("figure", image, caption))
    return "".join(tag("div", *figures, cls="row") for figures in rows.values())


def _made(r: dict[str, Any]) -> str:
    facts = {
        "command": tag("code", text(r["command"])),
        "data": text(f"{r['data']['where']}, measured on {r['data']['split']}"),
        "budget": text(f"{words.length(r)} for each of {many(r['seeds'], 'seed')}"),
        **made_on(r),
    }
    return definitions(facts) + fold("Every run", runs_of(r, {"seed": "seed", "folder": "folder",
                                                             "finished": "finished"}))


__all__ = ["COLUMNS", "answer", "render", "write"]
