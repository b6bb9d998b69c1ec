"""COCO panoptic: JSON with segments_info, and one PNG an image whose colour is the segment's id, R + 256 G + 65536 B;
0 is void.

Format: https://cocodataset.org/#format-data, "panoptic segmentation". `encoding="2ch"` reads panopticapi's two-channel
PNGs instead, which need no JSON but the categories: R is the category id, G the instance. Objects are the things; stuff
appears in the panoptic and semantic maps.
"""
from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from stemma.core.samples import IGNORE, Classes, DataError, Sample

from ..files import given_folder
from ..finding import below, common, plain_name
from ..images import check_name, listing, read_map
from ..options import spelled
from ..records import Draft, Fault, Folder, table
from . import rle
from .coco import choose_labels, crowds, data_root, find_images, located, lookup, part_of, read_categories, read_images
from .documents import load_json, numbers, real, whole

FORMAT = "panoptic"
_BASE = np.array([1, 256, 65536], dtype=np.int32)


def splits(where: Path, which: str | None = None, encoding: str = "rgb", labels: str | Path | None = None,
           maps: str | Path | None = None, **_: Any) -> dict[str, Path]:
    """split -> JSON file; with encoding "2ch", the folder of PNGs as "all"."""
    if encoding == "2ch":
        folder = where if maps is None else given_folder(where, maps, "maps")
        if not listing(folder, {".png"}):
            raise DataError(str(folder), "holds no PNGs",
                            f"name the folder of two-channel PNGs, or say {spelled('maps', 'FOLDER')}")
        return {"all": folder}
    if encoding != "rgb":
        raise DataError(str(where), f"encoding={encoding!r} is unknown", "use 'rgb' or '2ch'")
    return choose_labels(where, FORMAT, which, labels)


@dataclass(frozen=True)
class Segments:
    """The segments of one map, in the order of the JSON."""

    ids: np.ndarray  # int64 (S,)
    labels: np.ndarray  # int64 (S,) among all classes
    crowd: np.ndarray  # bool (S,)


def read(
    where: Path, source: Path, *, split: str = "", images: str | Path | None = None, maps: str | Path | None = None,
    which: str | None = None, labels: str | Path | None = None, encoding: str = "rgb",
    names: str | Path | None = None, categories: str | Path | None = None, follow_links: bool = False,
) -> Draft:
    """A draft of one split. `images`, `maps` name folders where they are not found;
    `names` or `categories` the category JSON that 2ch needs."""
    faults: list[Fault] = []
    if encoding == "2ch":
        root = where if maps is not None else source.parent
        doc, digest = _two_channels(source, root, categories or names, images)
    else:
        doc, digest = load_json(source)
        root = where if where.is_dir() else data_root(where)
    said = str(source)
    classes, label_of, _ = read_categories(part_of(doc, "categories", source), source, stuff=True)
    files, sizes, ids, index = read_images(part_of(doc, "images", source), source, faults)
    rows = part_of(doc, "annotations", source)
    if len(classes) >= IGNORE:
        raise DataError(said, f"has {len(classes)} classes; fewer than {IGNORE} fit a semantic map",
                        "drop the unused ones", field="categories")

    of_image = _annotated(rows, index, said, faults)
    faults += [Fault(said, f"image {ids[i]}", "", "has no panoptic annotation", "it is left out", True,
                     "missing map") for i in range(len(files)) if i not in of_image]
    order = sorted(of_image)
    if not order:
        for f in faults:
            if not f.safe:
                raise f.error()
        raise DataError(said, "has no image with a panoptic annotation", "check which file this is",
                        field="annotations")
    files, sizes, ids = [files[i] for i in order], sizes[order], ids[order]
    pngs = [of_image[i][0] for i in order]
    base = where if where.is_dir() else data_root(where)
    map_folder = _map_folder(base, pngs, split, source, maps) if encoding == "rgb" else (
        os.path.relpath(source, root).replace(os.sep, "/"))
    own = root
    root, image_folder = find_images(root, files, split, source, images, but=map_folder)
    if images is not None:  # maps and pictures need one root, by which both are called
        root, (image_folder, map_folder) = _one_root(root, own / map_folder)
    notes: list[str] = []
    files, there = located(root, image_folder, files, ids, split, source, faults, notes, follow_links)
    paths = [f"{map_folder}/{p}" if map_folder else p for p in pngs]

    things = np.flatnonzero(classes.things)
    to_thing = np.full(len(classes), -1, dtype=np.int64)
    to_thing[things] = np.arange(len(things))
    segments: dict[str, Segments] = {}
    folder = Folder(root, follow_links)
    at, boxes, kind, crowd, area, record = [], [], [], [], [], []
    for n, i in enumerate(order):
        if not there[n]:
            continue  # named with its picture
        try:
            bare = not folder.has(paths[n], said, f"image {ids[n]}")
        except DataError as e:
            faults.append(Fault.of(e, "path"))
            there[n] = False
            continue
        if bare:
            faults.append(Fault(said, f"image {ids[n]}", "file_name", f"the map {paths[n]} is not there",
                                "the image is left out", True, "missing map"))
            there[n] = False
            continue
        found = _found(of_image[i][1], pngs[n], label_of, said, faults)
        mine = segments[str(root / paths[n])] = Segments(found.ids, found.labels, found.crowd)
        try:
            rects, areas = _extents(found, root / paths[n], mine)
        except DataError as e:  # one broken map; the others are sound
            faults.append(Fault.of(e, "unusable map", "the image is left out"))
            there[n] = False
            continue
        for k in np.flatnonzero(to_thing[mine.labels] >= 0).tolist():
            at.append(n)
            boxes.append(rects[k])
            kind.append(int(to_thing[mine.labels[k]]))
            crowd.append(bool(mine.crowd[k]))
            area.append(float(areas[k]))
            record.append(k)
    t = table(files, sizes, ids, at, np.array(boxes).reshape(-1, 4), kind, said, crowd=crowd, area=area,
              record=record, word="segment", maps=[(p,) for p in paths])
    if not there.all():
        t = t.images(np.flatnonzero(there))
    objects = classes
    kinds: tuple[str, ...] = ("semantic", "panoptic")  # of stuff alone
    if len(things):
        objects = Classes(tuple(classes.names[k] for k in things), tuple(classes.ids[k] for k in things), (),
                          tuple(classes.parent[k] for k in things))
        kinds = ("boxes", "masks", *kinds)
    return Draft(root, FORMAT, t, objects, kinds, digest, said, faults, semantic=classes, panoptic=classes,
                 layers=PanopticMaps(segments), follow_links=follow_links, notes=notes, used={said}, numbered=True)


def _annotated(rows: Sequence[Any], index: Mapping[Any, int], said: str,
               faults: list[Fault]) -> dict[int, tuple[str, list[Any]]]:
    """The map's file name and `segments_info` of each picture that has an annotation, by its place."""
    out: dict[int, tuple[str, list[Any]]] = {}
    for k, a in enumerate(rows):
        name = a.get("file_name") if isinstance(a, dict) else None
        i = lookup(index, a.get("image_id")) if isinstance(a, dict) else -1
        if i < 0 or not isinstance(name, str) or not isinstance(a.get("segments_info"), list):
            faults.append(Fault(said, f"annotation {k}", "image_id" if i < 0 else "segments_info",
                                "has no known image, file name or segments", "it is left out", True, "broken record"))
            continue
        name = plain_name(name)
        try:
            check_name(name, said, f"annotation {k}")
        except DataError as e:
            faults.append(Fault.of(e, "path"))
            continue
        if i in out:
            same = out[i] == (name, a["segments_info"])
            faults.append(Fault(said, f"annotation {k}", "image_id", f"is a second one of image {a.get('image_id')}",
                                "it is left out" if same else "put all of its segments into one of the two", same,
                                "image listed twice"))
            continue
        out[i] = (name, a["segments_info"])
    return out


class Found(NamedTuple):
    """What `segments_info` says of a map, a column a field: S segments."""

    ids: np.ndarray  # int64 (S,)
    labels: np.ndarray  # int64 (S,) among all classes
    crowd: np.ndarray  # bool (S,)
    boxes: np.ndarray  # float64 (S, 4) x, y, width, height; NaN where it says none
    areas: np.ndarray  # float64 (S,); NaN where it says none


def _found(infos: Sequence[Any], png: str, label_of: Mapping[Any, int], said: str, faults: list[Fault]) -> Found:
    """The segments of one map that have an id and a known category; the others are faults."""
    rows: list[tuple[int, int, bool, Any, float]] = []
    for k, s in enumerate(infos):
        number = whole(s.get("id"), -1) if isinstance(s, dict) else -1
        label = lookup(label_of, s.get("category_id")) if isinstance(s, dict) else -1
        if label < 0 or number <= 0:
            field, what = ("category_id", "unknown class") if number > 0 else ("id", "broken record")
            faults.append(Fault(said, f"segment {k} of {png}", field, "has no known category, or no id above 0",
                                "correct it", False, what))
            continue
        (many,) = crowds([s], [k], said, faults)
        rows.append((number, label, many, s.get("bbox"), real(s.get("area"))))
    return Found(np.array([r[0] for r in rows], dtype=np.int64), np.array([r[1] for r in rows], dtype=np.int64),
                 np.array([r[2] for r in rows], dtype=bool), numbers([r[3] for r in rows], 4),
                 np.array([r[4] for r in rows], dtype=np.float64))


def _extents(found: Found, path: Path, segments: Segments) -> tuple[np.ndarray, np.ndarray]:
    """Boxes float64 (S, 4) x1, y1, x2, y2 and areas (S,) as written; from the map where one of them is not."""
    rects = np.concatenate([found.boxes[:, :2], found.boxes[:, :2] + found.boxes[:, 2:]], 1)
    if np.isfinite(rects).all() and (found.areas > 0).all():
        return rects, found.areas
    tight, pixels = _measured(path, segments)
    return (np.where(np.isfinite(rects).all(1, keepdims=True), rects, tight),
            np.where(found.areas > 0, found.areas, pixels))


def _one_root(*folders: Path) -> tuple[Path, list[str]]:
    """(the deepest folder that holds all of `folders`, what they are called below it). Raises DataError."""
    root = common(list(folders))
    if root is None:
        raise DataError(str(folders[0]), f"has no folder in common with {folders[1]}", "put both on one drive")
    return root, [below(f, root).removeprefix(".") for f in folders]


def _map_folder(root: Path, pngs: Sequence[str], split: str, source: Path, maps: str | Path | None) -> str:
    """The folder of PNGs inside the root: the one given, the one named like the JSON, or the one that has them."""
    if maps is not None:
        for folder in (Path(maps), root / maps):
            if folder.is_dir():
                if not folder.resolve().is_relative_to(root.resolve()):
                    raise DataError(str(folder), f"lies outside the data folder {root}", "put the maps inside it")
                return folder.resolve().relative_to(root.resolve()).as_posix()
        raise DataError(str(maps), "is no folder of maps", f"check {spelled('maps')}")
    for folder in (source.parent / source.stem, root / source.stem):
        if any((folder / p).is_file() for p in pngs[:8]):
            return folder.relative_to(root).as_posix()
    return find_images(root, pngs, split, source)[1]


def decode(path: Path) -> np.ndarray:
    """int32 (H, W) segment ids of a panoptic PNG. Raises DataError where it is no colour PNG."""
    rgb = read_map(path)
    if rgb.ndim == 2:  # ids that fit one channel
        return rgb.astype(np.int32)
    return rgb[..., :3].astype(np.int32) @ _BASE


def encode(ids: np.ndarray) -> np.ndarray:
    """uint8 (H, W, 3) colours of segment ids (H, W), for writing a panoptic PNG."""
    return np.stack([ids & 255, (ids >> 8) & 255, (ids >> 16) & 255], -1).astype(np.uint8)


def _indices(ids: np.ndarray, segments: Segments, path: Path) -> np.ndarray:
    """int32 (H, W): 0 void, else 1 + the segment's index. Raises DataError for an id that no segment has, and for one
    that has no pixel: it would be trained as background."""
    order = np.argsort(segments.ids, kind="stable")
    ascending = segments.ids[order]
    if not len(order):
        if ids.any():
            raise DataError(str(path), f"has the id {int(ids.max())}, which segments_info does not name",
                            "write both again")
        return np.zeros(ids.shape, dtype=np.int32)
    at = np.minimum(np.searchsorted(ascending, ids), len(ascending) - 1)
    hit = ascending[at] == ids
    wild = ~hit & (ids != 0)
    if wild.any():
        raise DataError(str(path), f"has the id {int(ids[wild][0])}, which segments_info does not name",
                        "write both again")
    index = np.where(hit, order[at] + 1, 0).astype(np.int32)
    bare = np.bincount(index.reshape(-1), minlength=len(order) + 1)[1:] == 0
    if bare.any():
        raise DataError(str(path), f"has no pixel of the segment {int(segments.ids[bare][0])}, which segments_info "
                        "names", "write both again")
    return index


def _measured(path: Path, segments: Segments) -> tuple[np.ndarray, np.ndarray]:
    """Tight boxes float64 (S, 4) and pixels (S,) of the segments, from the map itself."""
    index, count = _indices(decode(path), segments, path), len(segments.ids)
    return rle.id_boxes(index, count).astype(np.float64), np.bincount(index.reshape(-1), minlength=count + 1)[1:]


@dataclass(frozen=True)
class PanopticMaps:
    """The panoptic, semantic and instance targets of one map; `segments` by the map's path."""

    segments: dict[str, Segments]

    def __call__(self, sample: Sample, paths: tuple[Path, ...], wanted: frozenset[str]) -> None:
        if not wanted & {"masks", "semantic", "panoptic"}:
            return
        segments = self.segments[str(paths[0])]
        ids = decode(paths[0])
        if ids.shape != sample.size:
            raise DataError(str(paths[0]), f"is {ids.shape[1]} x {ids.shape[0]}, and its picture is {sample.size[1]} x "
                            f"{sample.size[0]}", "give both one size")
        index = _indices(ids, segments, paths[0])
        if "panoptic" in wanted:
            sample.panoptic, sample.segments, sample.segments_crowd = (index, segments.labels.copy(),
                                                                       segments.crowd.copy())
        if "semantic" in wanted:
            sample.semantic = np.concatenate([[IGNORE], segments.labels]).astype(np.uint8)[index]
        if "masks" in wanted:
            sample.masks = index[None] == np.asarray(sample.extra["record"])[:, None, None] + 1


def _two_channels(folder: Path, root: Path, categories: str | Path | None,
                  images: str | Path | None) -> tuple[dict[str, Any], str]:
    """A document like the JSON's and its digest, from two-channel PNGs and a category list. Raises DataError."""
    if categories is None:
        raise DataError(str(folder), "two-channel PNGs carry no class names",
                        f"say {spelled('names')}, a JSON list of categories", field="categories")
    rows, digest = load_json(Path(categories))
    rows = rows.get("categories") if isinstance(rows, dict) else rows
    if not isinstance(rows, list):
        raise DataError(str(categories), "is no list of categories", "pass the category JSON")
    names = listing(folder, {".png"})
    hashed = hashlib.sha256(digest.encode())
    doc: dict[str, Any] = {"categories": rows, "images": [], "annotations": []}
    _, folder_of_images = find_images(root, [f"{Path(n).stem}.jpg" for n in names], "", folder / "x.json", images)
    base = given_folder(root, images, "images") if images is not None else root / folder_of_images
    suffix = {Path(n).stem: Path(n).suffix for n in listing(base) if base != folder}
    for k, name in enumerate(names):
        ids = decode(folder / name)
        hashed.update(ids.tobytes())
        present = np.unique(ids[ids > 0])
        doc["images"].append({"id": k, "file_name": Path(name).stem + suffix.get(Path(name).stem, ".jpg"),
                              "height": ids.shape[0], "width": ids.shape[1]})
        doc["annotations"].append({"image_id": k, "file_name": name,
                                   "segments_info": [{"id": int(v), "category_id": int(v) & 255} for v in present]})
    return doc, hashed.hexdigest()
