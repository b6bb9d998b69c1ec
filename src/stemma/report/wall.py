"""The wall of pictures: the truth beside every system's answer, as one base picture with vector boxes on it."""
from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

from ..core.sentence import many
from ..engine.pictures.gallery import COLOURS
from .tags import tag, text
from .words import score

MIME = {".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".png": "image/png"}


def data_uri(path: Path) -> str:
    """A picture file as a `data:` address, so that the page needs no other file."""
    return f"data:{MIME[path.suffix.lower()]};base64,{base64.b64encode(path.read_bytes()).decode()}"


def wall(pictures: list[dict[str, Any]], systems: list[dict[str, Any]], classes: list[str], folder: Path,
         key: str) -> str:
    """One row a picture. `pictures` as in `results.json`; their files lie in `folder`. Empty where there are none."""
    rows, bases = [], []
    colour = {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(classes)}
    for i, p in enumerate(pictures):
        ident = f"p-{key}-{i}"
        bases.append(tag("image", id=ident, href=data_uri(folder / p["image"]), width=p["width"], height=p["height"]))
        boxes, crowds = p["truth"].get("boxes"), sum(p["truth"].get("crowd") or [])
        held = f" · {many(len(boxes) - crowds, 'object')}" if boxes is not None else ""
        held += f" and {many(crowds, 'crowd')}" if crowds else ""
        cells = [_cell(p, p["truth"], ident, "Ground truth", p["file"] + held, colour, folder)]
        for s in systems:
            if s["id"] in p["systems"]:
                shown = p["systems"][s["id"]]
                cells.append(_cell(p, shown, ident, s["title"],
                                   f"{shown['measure']} {score(shown['quality'], 2)} on this picture", colour, folder))
        rows.append(tag("div", *cells, cls="row", role="group", aria_label=f"Picture {p['file']}", tabindex=0))
    if not rows:
        return ""
    hidden = tag("svg", tag("defs", *bases), width=0, height=0, style="position:absolute", aria_hidden="true")
    return hidden + tag("div", *rows, cls="wall")


def _cell(p: dict[str, Any], shown: dict[str, Any], ident: str, name: str, note: str, colour: dict[str, str],
          folder: Path) -> str:
    w, h = p["width"], p["height"]
    boxes, labels = shown.get("boxes") or [], shown.get("labels") or []
    scores, right = shown.get("scores") or [None] * len(boxes), shown.get("ok") or [True] * len(boxes)
    crowd = shown.get("crowd") or [False] * len(boxes)
    size = max(w, h) / 19
    crowded = len(boxes) > 5  # then only what is right is named in the picture; the rest when pointed at
    marks = []
    for (x1, y1, x2, y2), label, s, ok, of_many in zip(boxes, labels, scores, right, crowd):
        called = label + " (crowd)" * of_many
        at = {"x": f"{x1:.1f}", "y": f"{y1:.1f}", "width": f"{max(x2 - x1, 0.5):.1f}",
              "height": f"{max(y2 - y1, 0.5):.1f}"}
        tip = called + (f" {score(s, 2)}" if s is not None else "") + ("" if ok else ": matches no object")
        down = y1 - size * 0.28 if y1 > size * 1.2 else min(y2, h) - size * 0.35
        quiet = crowded and not ok
        far = x1 > w / 2  # the word stands where it has room
        word = "" if quiet else tag("text", text(called), x=f"{min(x2, w) if far else max(x1, 1):.1f}", y=f"{down:.1f}",
                                    font_size=f"{size:.1f}", stroke_width=f"{size / 4:.1f}",
                                    text_anchor="end" if far else None)
        line = tag("rect", cls="box" if ok else "box wrong", stroke=colour.get(label, "#fff"), **at)
        marks.append(tag("g", tag("title", text(tip)), tag("rect", cls="box under", **at), line, word))
    marks += [tag("circle", cx=f"{x:.1f}", cy=f"{y:.1f}", r=f"{size / 6:.1f}", cls="point")
              for x, y in shown.get("points") or []]
    overlay = tag("image", href=data_uri(folder / shown["overlay"]), width=w, height=h) if shown.get("overlay") else ""
    said = f"{name}: " + (", ".join(labels) or ("a map of classes" if overlay else "nothing found"))
    drawn = tag("svg", tag("use", href=f"#{ident}"), overlay, *marks, viewBox=f"0 0 {w} {h}", role="img",
                aria_label=said)
    return tag("figure", drawn, tag("figcaption", tag("b", text(name)), tag("span", text(note))))


__all__ = ["data_uri", "wall"]
