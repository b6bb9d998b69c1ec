"""Folders of images beside maps: instance ids (one number an object, 0 background) or class ids (one number a class),
as PNG.

Layouts: images/ + labels|masks|... (with or without a folder a split in each), SPLIT/ + SPLITannot/, and SPLIT/images +
SPLIT/masks. A map belongs to the image of its name. `maps="instance" | "class"` says what the numbers are where it
cannot be seen.
"""
from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stemma.core.types import IGNORE, Classes, DataError, Sample

from ..files import read_bytes
from ..images import check_name, listing, read_map
from ..records import Draft, Fault, table
from . import rle
from .coco import split_name

FORMAT = "maps"
_MAPS = ("labels", "masks", "mask", "annotations", "instances", "maps", "gt", "groundtruth", "segmentation",
         "SegmentationClass", "label")
_TAILS = ("", "_mask", "_masks", "_label", "_labels", "_seg", "_gt", "_L")  # what a map's name adds to its image's
_VOID = frozenset({"unlabelled", "unlabeled", "void", "ignore", "ignored", "unknown"})
_SUFFIXES = frozenset({".png", ".tif", ".tiff", ".bmp", ".gif"})
_LOOK = 12  # maps looked at to tell instances from classes


@dataclass(frozen=True)
class Source:
    """A split: folders of images and maps inside the root, and what picks from them (a list of pairs, or a column of
    index.csv)."""

    images: str
    maps: str
    pairs: str | None = None
    subset: str | None = None


def layouts(where: Path) -> dict[str, Source]:
    """split -> source of the first layout that fits; empty where none does."""
    if not where.is_dir():
        return {}
    out: dict[str, Source] = {}
    folders = sorted(p.name for p in where.iterdir() if p.is_dir() and not p.name.startswith("."))
    for name in folders:
        for tail in ("annot", "_annot", "annotations", "_labels", "_masks", "_mask", "labels", "masks"):
            if (split_name(name) and f"{name}{tail}" in folders and listing(where / name)
                and listing(where / f"{name}{tail}", _SUFFIXES)):
                pairs = f"{name}.txt" if (where / f"{name}.txt").is_file() else None
                out.setdefault(split_name(name), Source(name, f"{name}{tail}", pairs))
    if out:
        return out
    for image in ("images", "image", "imgs", "img", "JPEGImages"):
        for label in _MAPS:
            if image not in folders or label not in folders:
                continue
            for sub in sorted(p.name for p in (where / image).iterdir() if p.is_dir()):
                if split_name(sub) and listing(where / image / sub) and listing(where / label / sub, _SUFFIXES):
                    out.setdefault(split_name(sub), Source(f"{image}/{sub}", f"{label}/{sub}"))
            if out:
                return out
            if listing(where / image) and listing(where / label, _SUFFIXES):
                parts = sorted({s for s in _index_splits(where).values() if s})
                return {s: Source(image, label, subset=s) for s in parts} if parts else {"all": Source(image, label)}
    for name in folders:
        for image in ("images", "image", "imgs"):
            for label in _MAPS:
                if split_name(name) and listing(where / name / image) and listing(where / name / label, _SUFFIXES):
                    out.setdefault(split_name(name), Source(f"{name}/{image}", f"{name}/{label}"))
    return out


def splits(where: Path, **_: Any) -> dict[str, Source]:
    """split -> source. Raises DataError where no layout fits."""
    found = layouts(where)
    if not found:
        raise DataError(str(where), "holds no images beside maps",
                        "looked for images/ + labels|masks/, SPLIT/ + SPLITannot/, SPLIT/images + SPLIT/masks")
    return found


def _index(where: Path) -> list[dict[str, str]]:
    path = where / "index.csv"
    if not path.is_file():
        return []
    try:
        return [dict(r) for r in csv.DictReader(io.StringIO(read_bytes(path).decode("utf-8-sig", "replace")))]
    except csv.Error as e:
        raise DataError(str(path), f"is no CSV ({e})", "write it again, or remove it") from None


def _index_splits(where: Path) -> dict[str, str]:
    """stem -> split, from a column split, set or subset of index.csv; empty without one."""
    rows = _index(where)
    column = next((c for c in (rows[0] if rows else ()) if c and c.lower() in ("split", "set", "subset", "fold")), None)
    if column is None:
        return {}
    key = next(iter(rows[0]))
    return {Path(str(r.get(key) or "")).stem: split_name(str(r.get(column) or "")) for r in rows}


def pairs_of(where: Path, source: Source, faults: list[Fault]) -> list[tuple[str, str]]:
    """(image, map) names inside the root; images without a map are a fault and left out."""
    if source.pairs is not None:
        found = _listed(where, source, faults)
        if found:
            return found
    subset = _index_splits(where) if source.subset is not None else {}
    names = listing(where / source.maps, _SUFFIXES)
    stems = {Path(n).stem: n for n in names}
    out: list[tuple[str, str]] = []
    for image in listing(where / source.images):
        stem = Path(image).stem
        if source.subset is not None and subset.get(stem) != source.subset:
            continue
        label = next((stems[stem + t] for t in _TAILS if stem + t in stems), None)
        if label is None:
            faults.append(Fault(str(where / source.images / image), "", "", f"has no map in {source.maps}",
                                "the image is left out", True, "missing map"))
            continue
        out.append((f"{source.images}/{image}", f"{source.maps}/{label}"))
    return out


def _listed(where: Path, source: Source, faults: list[Fault]) -> list[tuple[str, str]]:
    """Pairs as the list file writes them, "image map" a line; its paths may start above the root, as SegNet's do, and
    only their tails are used."""
    assert source.pairs is not None
    path = where / source.pairs
    out: list[tuple[str, str]] = []
    there = {source.images: set(listing(where / source.images)),
             source.maps: set(listing(where / source.maps, _SUFFIXES))}
    for number, line in enumerate(read_bytes(path).decode("utf-8", "replace").splitlines(), 1):
        words = line.split()
        if len(words) != 2:
            continue
        image, label = (w.replace("\\", "/").rsplit("/", 1)[-1] for w in words)
        record = f"line {number}"
        try:
            check_name(image, str(path), record, "image")
            check_name(label, str(path), record, "map")
        except DataError as e:
            faults.append(Fault(e.file, e.record, e.field, e.problem, e.mend, False, "path"))
            continue
        if label not in there[source.maps]:
            faults.append(Fault(str(path), record, "map", f"the map {source.maps}/{label} is not there",
                                "the image is left out", True, "missing map"))
            continue
        out.append((f"{source.images}/{image}", f"{source.maps}/{label}"))
    return out


def kind_of(where: Path, maps: Sequence[str]) -> str:
    """ "instance", "class" or "binary" (class maps of 0 and 1, or 0 and 255), from a look at some maps. Raises
    DataError where it cannot be told."""
    if (where / "classes.txt").is_file():
        return "class"
    rows = _index(where)
    if rows and any(c and c.lower() in ("instances", "objects", "count") for c in rows[0]):
        return "instance"
    seen: set[int] = set()
    counts: list[int] = []
    consecutive = True
    for k in np.unique(np.linspace(0, len(maps) - 1, min(_LOOK, len(maps))).astype(int)):
        m = read_map(where / maps[k])
        if m.ndim == 3:
            raise DataError(str(where / maps[k]), "is a colour map, whose meaning cannot be seen",
                            "store ids as a grey PNG, or say maps='instance'")
        ids = np.unique(m)
        ids = ids[ids > 0]
        seen.update(ids.tolist())
        counts.append(len(ids))
        consecutive &= bool(len(ids) == 0 or (ids[0] == 1 and ids[-1] == len(ids)))
    if seen <= {1} or seen <= {255}:
        return "binary"
    if consecutive and len(set(counts)) > 1 and max(counts) > 2:
        return "instance"
    raise DataError(str(where), f"its maps could hold instances or classes (numbers seen: {sorted(seen)[:8]})",
                    "write the class names into classes.txt, one a line from id 0, or say maps='instance' or "
                    "maps='class'", field="maps")


def read_classes(path: Path) -> tuple[Classes, dict[int, int]]:
    """The classes of classes.txt (line k names id k, or "id name" a line) and id -> label;
    names that mean void are ignored (255)."""
    lines = [s.strip() for s in read_bytes(path).decode("utf-8-sig", "replace").splitlines()]
    names: list[str] = []
    ids: list[int] = []
    label_of: dict[int, int] = {IGNORE: IGNORE}
    rows = [s for s in lines if s]
    numbered = all(len(s.split(None, 1)) == 2 and s.split(None, 1)[0].strip(":,").isascii()
                   and s.split(None, 1)[0].strip(":,").isdigit() for s in rows)
    for k, row in enumerate(rows):
        number, name = k, row
        if numbered:
            head, name = row.split(None, 1)
            number = int(head.strip(":,")[:9])
        if number > 65535:
            raise DataError(str(path), f"{number} is no class id of a map", "use ids from 0 to 254", f"line {k + 1}")
        if name.lower() in _VOID:
            label_of[number] = IGNORE
            continue
        label_of[number] = len(names)
        names.append(name)
        ids.append(number)
    if not names or len(names) >= IGNORE:
        raise DataError(str(path), f"names {len(names)} classes; from 1 to {IGNORE - 1} are possible",
                        "write one class a line")
    if len(set(names)) < len(names):
        raise DataError(str(path), f"names {next(n for n in names if names.count(n) > 1)!r} twice",
                        "give each class its own name")
    return Classes(tuple(names), tuple(ids), (False,) * len(names)), label_of


def read(
    where: Path, source: Source, *, split: str = "", maps: str | None = None, names: Sequence[str] | None = None,
    follow_links: bool = False
) -> Draft:
    """A draft of one split. `names` calls the one class of instance maps (("object",) else), or the classes of class
    maps from id 0."""
    if maps not in (None, "instance", "class"):
        raise DataError(str(where), f"maps={maps!r} is unknown", "use 'instance' or 'class'")
    faults: list[Fault] = []
    pairs = pairs_of(where, source, faults)
    if not pairs:
        raise DataError(str(where / source.images), f"has no image with a map in {source.maps}",
                        "give image and map the same name")
    kind = kind_of(where, [m for _, m in pairs]) if maps is None else maps
    hashed = hashlib.sha256(kind.encode())
    for extra in ("classes.txt", "index.csv"):
        if (where / extra).is_file():
            hashed.update(read_bytes(where / extra))
    semantic: Classes
    layers: InstanceMaps | ClassMaps
    if kind == "instance":
        classes = Classes(tuple(names or ("object",)))
        if len(classes) != 1:
            raise DataError(str(where), f"instance maps have one class, not {len(classes)}", "pass one name")
        semantic = Classes(("background", classes.names[0]), (0, 1), (False, True))
        layers = InstanceMaps()
    elif kind == "binary":
        classes = semantic = Classes(tuple(names or ("background", "foreground")), (0, 1), (False, False))
        layers = ClassMaps(((0, 0), (1, 1), (255, 1)))
    else:
        if names is not None:
            semantic, label_of = (Classes(tuple(names), things=(False,) * len(names)),
                                  {IGNORE: IGNORE} | {k: k for k in range(len(names))})
        elif (where / "classes.txt").is_file():
            semantic, label_of = read_classes(where / "classes.txt")
        else:
            raise DataError(str(where), "its class maps have no names", "write classes.txt, one name a line from id 0")
        classes, layers = semantic, ClassMaps(tuple(label_of.items()))
    files = [a for a, _ in pairs]
    t = table(files, np.zeros((len(files), 2)), np.arange(len(files)), [], [], [], [str(where / m) for _, m in pairs],
              maps=[(m,) for _, m in pairs])
    kinds = ("boxes", "masks", "semantic") if kind == "instance" else ("semantic",)
    return Draft(where, FORMAT, t, classes, kinds, hashed.hexdigest(), str(where / source.maps), faults,
                 semantic=semantic, layers=layers, counted=kind != "instance", follow_links=follow_links, sized=False,
                 used={str(where / n) for n in ("classes.txt", "index.csv", source.pairs or "classes.txt")})


def _sized(path: Path, size: tuple[int, int]) -> np.ndarray:
    m = read_map(path)
    if m.shape[:2] != size:
        raise DataError(str(path), f"is {m.shape[1]} x {m.shape[0]}, and its picture is {size[1]} x {size[0]}",
                        "give both one size")
    return m


@dataclass(frozen=True)
class InstanceMaps:
    """Every number above 0 is an object of the one class. `extra["instances"]` gets int32 (H, W), k + 1 where object k
    is, 0 elsewhere."""

    def __call__(self, sample: Sample, paths: tuple[Path, ...], wanted: frozenset[str]) -> None:
        raw = _sized(paths[0], sample.size)
        ids = (raw.astype(np.int32) if raw.ndim == 2
               else raw.astype(np.int32) @ np.array([1, 256, 65536], dtype=np.int32))
        if ids.min(initial=0) < 0:
            raise DataError(str(paths[0]), f"has the id {int(ids.min())}", "number instances from 1, background 0")
        if ids.max(initial=0) < 1 << 20:
            counts = np.bincount(ids.reshape(-1), minlength=1)
            counts[0] = 0
            present = np.flatnonzero(counts)
            to = np.zeros(len(counts), dtype=np.int32)
            to[present] = np.arange(1, len(present) + 1)
            ids, area = to[ids], counts[present]
        else:
            present, inverse, counts = np.unique(ids, return_inverse=True, return_counts=True)
            shift = 0 if present[0] == 0 else 1
            ids, area = inverse.reshape(ids.shape).astype(np.int32) + shift, counts[1 - shift :]
        n = len(area)
        sample.boxes, sample.labels = rle.id_boxes(ids, n), np.zeros(n, dtype=np.int64)
        sample.crowd, sample.area = np.zeros(n, dtype=bool), area.astype(np.float32)
        sample.extra["instances"] = ids
        if "masks" in wanted:
            sample.masks = rle.id_masks(ids, sample.boxes)
        if "semantic" in wanted:
            sample.semantic = (ids > 0).astype(np.uint8)


@dataclass(frozen=True)
class ClassMaps:
    """Every number is a class: `labels` pairs the numbers that may stand in a map with their labels,
    255 for ignored."""

    labels: tuple[tuple[int, int], ...]

    def __call__(self, sample: Sample, paths: tuple[Path, ...], wanted: frozenset[str]) -> None:
        raw = _sized(paths[0], sample.size)
        if raw.ndim != 2:
            raise DataError(str(paths[0]), "is a colour picture, not a map of class ids",
                            "store the ids as a grey or palette PNG")
        to = np.full(max(int(raw.max(initial=0)) + 1, 256) if int(raw.max(initial=0)) < 1 << 20 else 256, -1,
                     dtype=np.int16)
        for number, label in self.labels:
            if number < len(to):
                to[number] = label
        wild = (raw < 0) | (raw >= len(to))
        out = to[np.where(wild, 0, raw)]
        wild |= out < 0
        if wild.any():
            raise DataError(str(paths[0]), f"has the class id {int(raw[wild][0])}, which the class list does not name",
                            "add it, or correct the map")
        if "semantic" in wanted:
            sample.semantic = out.astype(np.uint8)
