"""Things taken out of photographs, as GQA-Inpaint publishes them (Yildirim et al., 2023): train_scenes.json and
test_scenes.json, {IMAGE: {"objects": {OBJECT: {"name", "attributes", "relations": [{"name", "object"}, ...],
"bidirected"}}, "image_relative_positions": {OBJECT: "to the left"}}}, images/IMAGE.jpg before and
images_inpainted/IMAGE/OBJECT.jpg after. InstructDiffusion reads the same folder by a meta_info.json of its own
(`listed`), which comes first where it is there.

Scenes hold no sentences. They are made as the release makes them (inst-inpaint, dataset/gqa_inpaint.py): "remove the",
one attribute, the name, and a relation to another thing, or where in the picture it stands; of a name that one thing
has the relation is left out half of the time. Of three things with a name, or two at the same place, none is told. In
training each visit makes another sentence. SPLIT_instructions*.json, {"iIMAGE-oOBJECT": TEXT}, says them instead.
"""
from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from ...core.samples import DataError
from ..readers.documents import load_json
from ..records import Fault
from .folders import RECORD, Entry, Folder
from .pairs import VISITS, Pair

FILES = {"train": "train_scenes.json", "test": "test_scenes.json"}
_STREAM = {"train": 81, "test": 82}
_SAYS = {"to the left of": "at the left of", "to the right of": "at the right of", "to the left": "at the left",
         "to the center": "at the center", "to the right": "at the right"}  # of one added, of one removed


@dataclass
class Removed(Folder):
    """A split of scenes. An entry's instruction is a file's, or "remove the NAME", of which its visits say more."""

    scenes: dict[str, Any] = field(default_factory=dict)
    given: bool = False  # whether a file says the instructions

    def pair(self, i: int, version: int = 0) -> Pair:
        """Raises `DataError` for pictures that are missing, damaged or of two sizes."""
        made = replace(super().pair(i), sided=True)
        if self.given:
            return made
        _, image, thing = self.entries[i].files[0][1].removesuffix(".jpg").split("/")
        return replace(made, instruction=sentence(self.scenes[image], thing, np.random.default_rng(
            [_STREAM[self.split], i, version])))


def lists_at(path: Path) -> list[Path]:
    """The files that say what is where."""
    return [path / name for name in FILES.values() if (path / name).is_file()]


def splits_at(path: Path) -> tuple[str, ...]:
    """The splits that are there."""
    return tuple(s for s, name in FILES.items() if (path / name).is_file())


def open_removed(path: Path, split: str, follow_links: bool = False) -> Removed:
    """A split with all its entries that can be made sense of. Raises `DataError`."""
    file = path / FILES[split]
    scenes, digest = load_json(file)
    said = min(path.glob(f"{split}_instructions*.json"), key=lambda p: (len(p.name), p.name), default=None)
    words, second = load_json(said) if said is not None else ({}, "")
    for at, held in ((file, scenes), (said, words)):
        if not isinstance(held, dict):
            raise DataError(str(at), f"holds a {type(held).__name__} and nothing by number of a picture",
                            "fetch the file again")
    out = Removed(path, "gqa-inpaint", split, [], hashlib.sha256(f"{digest} {second} {split}".encode()).hexdigest(),
                  follow_links, visits=0 if said is not None else VISITS, given=said is not None)
    mend = "mend the entry; training leaves it out"
    for image, scene in scenes.items():
        if why := next(_faults(scene), None):
            out.faults.append(Fault(str(file), image, *why, mend, True, RECORD))
            continue
        out.scenes[image] = scene = told_apart(scene)
        for thing, o in scene["objects"].items():
            if not o.get("bidirected"):
                continue
            text = words.get(f"i{image}-o{thing}") if said is not None else f"remove the {o['name']}"
            if not isinstance(text, str):
                out.faults.append(Fault(str(said), f"i{image}-o{thing}", "", "is not there, or is no text", mend, True,
                                        RECORD))
                continue
            files = f"images/{image}.jpg", f"images_inpainted/{image}/{thing}.jpg"
            out.entries.append(Entry(" ".join(text.split()), (files,), f"{(said or file).name}:i{image}-o{thing}"))
    return out


def told_apart(scene: dict[str, Any]) -> dict[str, Any]:
    """The scene with the things that a name, or a name and a place, tells apart, and their relations to such of another
    name."""
    things, where = scene["objects"], scene["image_relative_positions"]
    names = Counter(o["name"] for o in things.values())
    places = Counter((o["name"], where[k]) for k, o in things.items())
    kept = {k: o for k, o in things.items() if names[o["name"]] < 3 and places[o["name"], where[k]] == 1}
    other = lambda o, r: r["object"] in kept and kept[r["object"]]["name"] != o["name"]
    return scene | {"objects": {k: o | {"relations": [r for r in o["relations"] if other(o, r)]}
                                for k, o in kept.items()}}


def sentence(scene: dict[str, Any], thing: str, rng: np.random.Generator) -> str:
    """What is said to have a thing removed."""
    things = scene["objects"]

    def called(k: str) -> str:
        own = things[k].get("attributes") or [""]
        return f"{own[int(rng.integers(len(own)))]} {things[k]['name']}".strip()

    alone = sum(o["name"] == things[thing]["name"] for o in things.values()) == 1
    said = f"remove the {called(thing)}"
    if alone and rng.random() < 0.5:
        return said
    if related := things[thing]["relations"]:
        r = related[int(rng.integers(len(related)))]
        return f"{said} {_SAYS.get(r['name'], r['name'])} the {called(r['object'])}"
    where = scene["image_relative_positions"][thing]
    return f"{said} {_SAYS.get(where, where)}"


def _faults(scene: Any) -> Iterator[tuple[str, str]]:
    """(field, what is wrong) of a scene."""
    things = scene.get("objects") if isinstance(scene, dict) else None
    if not isinstance(things, dict):
        yield "objects", "is not there, or holds nothing by number"
        return
    text = lambda v, *keys: isinstance(v, dict) and all(isinstance(v.get(k), str) for k in keys)
    where = scene.get("image_relative_positions")
    for k, o in things.items():
        if not text(o, "name"):
            yield "objects", f"{k} has no name that is text"
        elif not text(where, k):
            yield "image_relative_positions", f"has no place of {k} that is text"
        elif not (isinstance(o.get("relations"), list) and all(text(r, "name", "object") for r in o["relations"])):
            yield "objects", f'{k} has no relations, [{{"name": TEXT, "object": NUMBER}}, ...]'
        elif not (isinstance(own := o.get("attributes") or [], list) and all(isinstance(a, str) for a in own)):
            yield "objects", f"{k} has attributes that are no list of text"


__all__ = ["FILES", "Removed", "lists_at", "open_removed", "sentence", "splits_at", "told_apart"]
