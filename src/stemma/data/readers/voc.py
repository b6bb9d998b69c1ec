"""Pascal VOC: Annotations/*.xml, ImageSets/Main/SPLIT.txt, JPEGImages, and the segmentation PNGs of
ImageSets/Segmentation.

Coordinates are pixel numbers from 1, both ends inclusive (VOC development kit, section 3): xmin, xmax become the edges
xmin - 1, xmax. `one_based=False` takes them as edges. A box with xmax <= xmin counts as degenerate under either
reading: labelling tools write it for a slip of the mouse. `difficult` objects are crowd: no loss, no cost in precision.
"""
from __future__ import annotations

import hashlib
import re
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.sax.saxutils import unescape

import numpy as np

from stemma.core.types import IGNORE, Classes, DataError, Sample

from ..images import SUFFIXES, check_name, listing, read_map
from ..records import Draft, Fault, table, with_background
from .coco import read_bytes, split_name

FORMAT = "voc"
_NAME = re.compile(r"<object>\s*(?:<(?!name>|object>)[^<>]*>[^<>]*</[^<>]*>\s*)*<name>([^<>]*)</name>")
_CLASS_FILES = ("classes.txt", "labels.txt", "predefined_classes.txt")


@dataclass(frozen=True)
class Source:
    """Where a split lies, relative to the root: its list of names (None: every XML there is), and the folders."""

    stems: str | None
    annotations: str
    images: str


def folders(where: Path) -> tuple[str, str] | None:
    """(annotations, images) of a VOC folder; None where it is none."""
    for xml in ("Annotations", "annotations", "xml", "labels", ""):
        if listing(where / xml, {".xml"}):
            return xml, next((i for i in ("JPEGImages", "images", "Images", xml) if listing(where / i)), "JPEGImages")
    return None


def splits(where: Path, which: str | None = None, **_: Any) -> dict[str, Source]:
    """split -> source: the lists of ImageSets/`which` (Main; Segmentation where there is no Main), or one folder a
    split, or everything."""
    if where.is_file():
        raise DataError(str(where), "is a file, and VOC data is a folder",
                        "name the folder that holds Annotations and JPEGImages")
    found = folders(where)
    if found is None:
        parts = {split_name(p.name): (p.name, folders(p)) for p in sorted(where.iterdir())
                 if p.is_dir() and split_name(p.name)}
        out = {s: Source(None, "/".join(x for x in (n, f[0]) if x), "/".join(x for x in (n, f[1]) if x))
               for s, (n, f) in parts.items() if f is not None}
        if out:
            return out
        raise DataError(str(where), "holds no VOC annotations", "looked for Annotations/*.xml, *.xml and SPLIT/*.xml")
    sets = where / "ImageSets"
    chosen = which or next((s for s in ("Main", "Segmentation") if (sets / s).is_dir()), "")
    lists = listing(sets / chosen, {".txt"})
    if which is not None and not lists:
        raise DataError(str(sets / which), "holds no lists",
                        f"use one of {', '.join(p.name for p in sorted(sets.iterdir())) if sets.is_dir() else 'none'}")
    names = {Path(n).stem for n in lists}
    plain = [n for n in sorted(names) if not any(n.endswith(f"_{s}") and s in names
                                                 for s in ("train", "val", "trainval", "test"))]
    if not plain:
        return {"all": Source(None, *found)}
    return {split_name(n) or n: Source(f"ImageSets/{chosen}/{n}.txt", *found) for n in plain}


def parse(raw: bytes, path: Path) -> ET.Element:
    """The root of an XML file. Raises DataError for what is not well formed, and for any document type or entity: they
    are never expanded."""
    try:
        if raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
            text = raw.decode("utf-16")
        else:
            text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = raw.decode("latin-1")
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise DataError(str(path), "declares a document type or entities, which annotations do not need",
                        "remove the <!DOCTYPE ...> part")
    try:
        root = ET.fromstring(re.sub(r"^\s*<\?xml[^>]*\?>", "", text, count=1))
    except ET.ParseError as e:
        line, column = e.position
        raise DataError(str(path), f"is no well-formed XML ({str(e).split(':')[0]}) at line {line}, column {column}",
                        "write the file again") from None
    except (ValueError, RecursionError) as e:
        raise DataError(str(path), f"is no XML that can be read ({str(e)[:80]})", "write the file again") from None
    return root


def class_file(where: Path) -> list[str] | None:
    """Names of a class list at the root, one a line; None where there is none."""
    for name in _CLASS_FILES:
        if (where / name).is_file():
            lines = [s.strip() for s in read_bytes(where / name).decode("utf-8", "replace").splitlines()]
            return [s for s in lines if s and not s.startswith("#")]
    return None


def _all_names(where: Path, source: Source, parts: dict[str, ET.Element], texts: dict[str, bytes]) -> list[str]:
    """Class names over the annotations of every split, so that all splits number them alike."""
    names: set[str] = set()
    directories = [source.annotations]
    if source.stems is None and "/" not in source.images and (where / source.annotations).parent == where:
        directories = [p.annotations for p in splits(where).values()]
    for directory in dict.fromkeys(directories):
        for file in listing(where / directory, {".xml"}):
            key = f"{directory}/{file}"
            text = texts.get(key)
            if text is None:
                text = read_bytes(where / directory / file)
            found = _NAME.findall(text.decode("utf-8", "replace"))
            if len(found) == text.count(b"<object"):
                names.update(unescape(n.strip()) for n in found)
                continue
            try:
                root = parts[key] if key in parts else parse(text, where / directory / file)
            except DataError:
                continue  # reported where its own split is opened
            names.update(n for o in root.findall("object") if (n := (o.findtext("name") or "").strip()))
    return sorted(n for n in names if n)


def read(
    where: Path, source: Source, *, split: str = "", which: str | None = None, one_based: bool = True,
    images: str | None = None, follow_links: bool = False,
) -> Draft:
    """A draft of one split. Raises DataError where nothing can be used;
    faults of single files and objects are collected."""
    faults: list[Fault] = []
    hashed = hashlib.sha256()
    if source.stems is not None:
        listed = read_bytes(where / source.stems)
        hashed.update(listed)
        stems = [s.split()[0] for s in listed.decode("utf-8", "replace").splitlines() if s.strip()]
        stems = [s[: -len(Path(s).suffix)] if Path(s).suffix.lower() in SUFFIXES else s for s in stems]
    else:
        stems = [Path(n).stem for n in listing(where / source.annotations, {".xml"})]
    folder = source.images if images is None else images
    if folder:
        check_name(folder, str(where), field="images")
    by_stem: dict[str, str] = {}
    for n in listing(where / folder):
        by_stem.setdefault(Path(n).stem, n)

    files: list[str] = []
    sizes: list[tuple[int, int]] = []
    origin: list[str] = []
    at: list[int] = []
    names: list[str] = []
    corners: list[tuple[float, float, float, float]] = []
    crowd: list[bool] = []
    record: list[int] = []
    used: list[str] = []
    trees: dict[str, ET.Element] = {}
    texts: dict[str, bytes] = {}
    for stem in stems:
        path = where / source.annotations / f"{stem}.xml"
        try:
            check_name(stem, str(where / (source.stems or "")), field="name")
            raw = read_bytes(path)
            root = parse(raw, path)
        except DataError as e:
            if e.file == str(path):
                faults.append(Fault(e.file, e.record, e.field, e.problem, "the image is left out", True,
                                    "broken annotation"))
            else:
                faults.append(Fault(e.file, e.record, e.field, e.problem, e.mend, False, "path"))
            continue
        hashed.update(raw)
        key = f"{source.annotations}/{stem}.xml"
        trees[key], texts[key] = root, raw
        i = len(files)
        short = stem.rsplit("/", 1)[-1]
        file = by_stem.get(short, f"{short}.jpg")
        files.append(f"{folder}/{file}" if folder else file)
        used.append(short)
        origin.append(str(path))
        sizes.append((_int(root.findtext("size/height")), _int(root.findtext("size/width"))))
        for k, o in enumerate(root.findall("object")):
            word = f"object {k}"
            name = (o.findtext("name") or "").strip()
            if not name:
                faults.append(Fault(str(path), word, "name", "the object has no class name", "it is left out", True,
                                    "broken record"))
                continue
            box = o.find("bndbox")
            if box is None:
                faults.append(Fault(str(path), word, "bndbox", "the object has no box", "it is left out", True,
                                    "broken record"))
                continue
            x1, y1, x2, y2 = (_float(box.findtext(c)) for c in ("xmin", "ymin", "xmax", "ymax"))
            if one_based and x2 > x1 and y2 > y1:
                x1, y1 = x1 - 1, y1 - 1
            at.append(i)
            names.append(name)
            corners.append((x1, y1, x2, y2))
            crowd.append(_int(o.findtext("difficult")) == 1)
            record.append(k)

    wanted = class_file(where)
    found = _all_names(where, source, trees, texts) if wanted is None else wanted
    if not found:
        raise DataError(str(where / source.annotations), "has no object in any annotation",
                        "add annotations; there is nothing to learn")
    if len(set(found)) < len(found):
        raise DataError(str(where), "its class list names a class twice",
                        f"write each once: {', '.join(sorted({x for x in found if found.count(x) > 1}))}")
    index = {n: k for k, n in enumerate(found)}
    labels = np.array([index.get(n, -1) for n in names], dtype=np.int64)
    for k in np.flatnonzero(labels < 0).tolist():
        faults.append(Fault(origin[at[k]], f"object {record[k]}", "name", f"the class {names[k]!r} is not in the class "
                            f"list of {where}", "add it to the list or correct the name", False, "unknown class"))
    known = labels >= 0
    classes = Classes(tuple(found))
    t = table(
        files, sizes, np.arange(len(files)), np.array(at, dtype=np.int64)[known],
        np.array(corners, dtype=np.float64).reshape(-1, 4)[known], labels[known],
        origin, crowd=np.array(crowd, dtype=bool)[known], record=np.array(record, dtype=np.int64)[known], word="object",
    )
    said = str(where / (source.stems or source.annotations))
    draft = Draft(where, FORMAT, t, classes, ("boxes",), hashed.hexdigest(), said, faults, follow_links=follow_links)
    if source.stems is not None and source.stems.startswith("ImageSets/Segmentation/"):
        semantic = with_background(classes)
        t.maps = [(f"SegmentationObject/{s}.png", f"SegmentationClass/{s}.png") for s in used]
        draft.kinds, draft.semantic, draft.layers = (("boxes", "masks", "semantic"), semantic,
                                                     Segmentation(len(semantic)))
    return draft


@dataclass(frozen=True)
class Segmentation:
    """SegmentationObject: pixel k belongs to the k-th object of the XML. SegmentationClass: 0 background, k the k-th
    class; 255 void in both."""

    classes: int  # background included

    def __call__(self, sample: Sample, paths: tuple[Path, ...], wanted: frozenset[str]) -> None:
        objects, classes = paths
        if "masks" in wanted:
            ids = _flat_map(objects, sample.size)
            numbers = np.asarray(sample.extra["record"]) + 1
            sample.masks = ids[None] == numbers[:, None, None]
            sample.area = sample.masks.sum((1, 2)).astype(np.float32)
        if "semantic" in wanted:
            out = _flat_map(classes, sample.size).astype(np.uint8)
            wild = np.asarray((out >= self.classes) & (out != IGNORE))
            if wild.any():
                raise DataError(str(classes), f"has the class id {int(out[wild][0])}, and there are {self.classes} "
                                "classes, background included",
                                "list all classes in classes.txt, in the order of the ids")
            sample.semantic = out


def _flat_map(path: Path, size: tuple[int, int]) -> np.ndarray:
    out = read_map(path)
    if out.ndim != 2:
        raise DataError(str(path), "is a colour picture, not a map of ids", "store it as a palette or grey PNG")
    if out.shape != size:
        raise DataError(str(path), f"is {out.shape[1]} x {out.shape[0]}, and its picture is {size[1]} x {size[0]}",
                        "give both one size")
    return out


def _int(text: str | None) -> int:
    value = _float(text)
    return int(value) if np.isfinite(value) and abs(value) < 1 << 20 else 0


def _float(text: str | None) -> float:
    try:
        return float(text) if text is not None else float("nan")
    except ValueError:
        return float("nan")  # vetted as "not finite", with its record


__all__ = ["FORMAT", "Source", "class_file", "folders", "parse", "read", "splits"]
