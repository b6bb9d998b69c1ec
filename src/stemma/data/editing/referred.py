"""Things that are told by a sentence, as RefCOCO and gRefCOCO publish them: the folder of `instances.json` and of
`grefs(unc).json` or `refs(NAME).json`, [{"ref_id", "image_id", "ann_id": ID or [ID, ...], "split", "sentences":
[{"sent"}, ...]}, ...], an ann_id of -1 where the sentence speaks of nothing in the picture; pictures in the same folder
or below. RefCOCO publishes refs(NAME).p, which only Python's pickle reads and which nothing here opens.

Asked as InstructDiffusion's release asks (dataset/seg/grefcoco_segmentation.py): a square is cut out, what the sentence
speaks of is half covered by a colour. In training a reference has several versions, each with a sentence, colour, words
and square by chance; else every sentence is asked once. The split test is also testA and testB together.
"""
from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ...core.samples import DataError
from ..files import SPLITS
from ..images import read_image, walk
from ..readers import rle
from ..readers.documents import load_json
from ..records import Fault
from .asked import brought, marking, painted
from .folders import RECORD, Entry, Folder
from .pairs import VISITS, Pair, square

_STREAM = {"train": 71, "val": 72, "test": 73}


@dataclass
class Referred(Folder):
    """A split of references. An entry's `about` are the numbers of its objects in `masks`, none where the sentence
    speaks of nothing; its instruction is its sentences, a line each."""

    objects: dict[int, tuple[Any, int, int]] = field(default_factory=dict)  # id -> (segmentation, height, width)

    def pair(self, i: int, version: int = 0) -> Pair:
        """Raises `DataError` for a picture that is missing, damaged or of another size than its record says."""
        e, rng = self.entries[i], np.random.default_rng([_STREAM[self.split], i, version])
        file = self.path(e.files[0][0])
        picture = read_image(file)
        mask = np.zeros(picture.shape[:2], bool)
        for k in e.about:
            seg, h, w = self.objects[k]
            if (h, w) != picture.shape[:2]:
                raise DataError(str(file), f"has {picture.shape[1]} x {picture.shape[0]} pixels, and instances.json "
                                f"says {w} x {h}", "fetch the picture again", e.record)
            mask |= rle.decode(seg, h, w)
        at = square(picture.shape[:2], rng if self.split == "train" else None)
        picture, mask = brought(np.ascontiguousarray(picture[at]), mask[at])
        said = e.instruction.split("\n")
        thing = said[int(rng.integers(len(said)))]
        words, rgb = marking(thing.lower(), rng)
        return Pair(picture, painted(picture, mask, rgb) if mask.any() else picture, words, "refer", mask, None, rgb,
                    thing=thing, file=str(file), sided=True)


def lists_at(path: Path) -> list[Path]:
    """The lists of references that can be read."""
    if not (path / "instances.json").is_file():
        return []
    return sorted(p for p in path.glob("*refs(*).json") if p.is_file())


def is_referred(path: Path) -> bool:
    """Whether a folder holds references, those that cannot be read among them."""
    return (path / "instances.json").is_file() and any(path.glob("*refs(*).*"))


def listed(path: Path) -> Path:
    """The one list of a folder. Raises `DataError` where there is none that can be read, or several."""
    found = lists_at(path)
    if len(found) == 1:
        return found[0]
    if found:
        raise DataError(str(path), f"holds {len(found)} lists of references: {', '.join(p.name for p in found)}",
                        "keep one in the folder")
    raise DataError(str(next(iter(sorted(path.glob('*refs(*).*'))))), "is no JSON; a pickle can run what it likes, and "
                    "none is opened here", "where you trust it, write it as refs(NAME).json beside it with Python's "
                    "pickle and json")


def open_referred(path: Path, split: str, follow_links: bool = False) -> Referred:
    """A split with all its entries that can be made sense of. Raises `DataError`."""
    file = listed(path)
    (refs, digest), (instances, second) = load_json(file), load_json(path / "instances.json")
    if not isinstance(refs, list):
        raise DataError(str(file), f"holds a {type(refs).__name__} and no list of references", "fetch the file again")
    kept = {k: {r["id"]: r for r in instances.get(k) or () if isinstance(r, dict) and _whole(r.get("id"))}
            if isinstance(instances, dict) else {} for k in ("images", "annotations")}
    names = {f.rpartition("/")[2]: f for f in walk(path, follow_links=follow_links)}
    out = Referred(path, "refcoco", split, [], hashlib.sha256(f"{digest} {second} {split}".encode()).hexdigest(),
                   follow_links, task="refer", visits=VISITS)
    for n, r in enumerate(refs):
        why = _fault(r, kept)
        if why:
            out.faults.append(Fault(str(file), f"entry {n}", why[0], why[1],
                                    "mend the entry; training leaves it out", True, RECORD))
            continue
        if not (r["split"] == split or (split == "test" and r["split"].startswith("test"))):
            continue
        image = kept["images"][r["image_id"]]
        ids = [k for k in _ids(r["ann_id"]) if k != -1 and not kept["annotations"][k].get("iscrowd")]
        for k in ids:
            out.objects[k] = kept["annotations"][k]["segmentation"], image["height"], image["width"]
        name = image["file_name"].replace("\\", "/").rpartition("/")[2]
        said = [s["sent"].strip() for s in r["sentences"] if s["sent"].strip()]
        for each in (["\n".join(said)] if split == "train" else said):
            where = names.get(name, name)
            out.entries.append(Entry(each, ((where, where),), f"{file.name}:{n}", about=tuple(ids)))
    return out


def _whole(x: Any) -> bool:
    return isinstance(x, int) and not isinstance(x, bool)


def _ids(said: Any) -> list[Any]:
    return said if isinstance(said, list) else [said]


def _fault(r: Any, kept: dict[str, dict[int, Any]]) -> tuple[str, str] | None:
    """(field, what is wrong) of a reference."""
    if not isinstance(r, dict):
        return "", "is no record of a reference"
    if not isinstance(r.get("split"), str):
        return "split", "is not there, or is no text"
    sentences = r.get("sentences")
    if not (isinstance(sentences, list) and sentences and all(isinstance(s, dict) and isinstance(s.get("sent"), str)
                                                              for s in sentences)):
        return "sentences", 'holds no sentence, [{"sent": TEXT}, ...]'
    if not any(s["sent"].strip() for s in sentences):
        return "sentences", "are all empty"
    image = kept["images"].get(r["image_id"]) if _whole(r.get("image_id")) else None
    if image is None or not isinstance(image.get("file_name"), str) or not all(
            _whole(image.get(k)) and image[k] > 0 for k in ("height", "width")):
        return "image_id", f"{r.get('image_id')} is no picture of instances.json with file_name, height and width"
    return _objects(_ids(r.get("ann_id")), r["image_id"], image, kept["annotations"])


def _objects(ids: list[Any], image_id: int, image: dict[str, Any],
             annotations: dict[int, Any]) -> tuple[str, str] | None:
    for k in ids:
        if k == -1:
            continue
        a = annotations.get(k) if _whole(k) else None
        if a is None:
            return "ann_id", f"{k} is no annotation of instances.json"
        if a.get("image_id") != image_id:
            return "ann_id", f"{k} is an object of another picture, {a.get('image_id')}"
        if bad := rle.problem(a.get("segmentation"), image["height"], image["width"]):
            return "ann_id", f"the segmentation of {k} {bad}"
    return None if ids else ("ann_id", "is empty; -1 says that the sentence speaks of nothing")


def splits_at(path: Path) -> tuple[str, ...]:
    """The splits that some reference names. Raises `DataError` as `listed` does."""
    refs, _ = load_json(listed(path))
    there = set(_splits(refs))
    return tuple(s for s in SPLITS if s in there or (s == "test" and there & {"testA", "testB", "testC"}))


def _splits(refs: Any) -> Iterator[str]:
    for r in refs if isinstance(refs, list) else ():
        if isinstance(r, dict) and isinstance(r.get("split"), str):
            yield r["split"]


__all__ = ["Referred", "is_referred", "listed", "open_referred", "splits_at"]
