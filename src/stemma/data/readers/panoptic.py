"""COCO panoptic: JSON with segments_info, and one PNG an image whose colour is the segment's id, R + 256 G + 65536 B;
0 is void.

Format: https://cocodataset.org/#format-data, "panoptic segmentation". `encoding="2ch"` reads panopticapi's two-channel
PNGs instead, which need no JSON but the categories: R is the category id, G the instance. Objects are the things; stuff
appears in the panoptic and semantic maps.
"""
from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stemma.core.samples import IGNORE, Classes, DataError, Sample

from ..files import given_folder
from ..finding import below, common, plain_name
from ..images import check_name, listing, read_map
from ..options import spelled
from ..records import Draft, Fault, Folder, table
from . import rle
from .coco import (
    choose_labels,
    crowds,
    data_root,
    find_images,
    load_json,
    located,
    lookup,
    numbers,
    part_of,
    read_categories,
    read_images,
    real,
    whole,
)

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
        said = source
    else:
        doc, digest = load_json(source)
        root = where if where.is_dir() else data_root(where)
        said = source
    classes, label_of, _ = read_categories(part_of(doc, "categories", said), said, stuff=True)
    files, sizes, ids, index = read_images(part_of(doc, "images", said), said, faults)
    rows = part_of(doc, "annotations", said)
    if len(classes) >= IGNORE:
        raise DataError(str(said), f"has {len(classes)} classes; fewer than {IGNORE} fit a semantic map",
                        "drop the unused ones", field="categories")

    of_image: dict[int, tuple[str, list[Any]]] = {}
    for k, a in enumerate(rows):
        name = a.get("file_name") if isinstance(a, dict) else None
        i = lookup(index, a.get("image_id")) if isinstance(a, dict) else -1
        if i < 0 or not isinstance(name, str) or not isinstance(a.get("segments_info"), list):
            faults.append(Fault(str(said), f"annotation {k}", "image_id" if i < 0 else "segments_info",
                                "has no known image, file name or segments", "it is left out", True, "broken record"))
            continue
        name = plain_name(name)
        try:
            check_name(name, str(said), f"annotation {k}")
        except DataError as e:
            faults.append(Fault.of(e, "path"))
            continue
        of_image[i] = (name, a["segments_info"])
    for i in range(len(files)):
        if i not in of_image:
            faults.append(Fault(str(said), f"image {ids[i]}", "", "has no panoptic annotation", "it is left out", True,
                                "missing map"))
    order = sorted(of_image)
    if not order:
        for f in faults:
            if not f.safe:
                raise f.error()
        raise DataError(str(said), "has no image with a panoptic annotation", "check which file this is",
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
            bare = folder.size(paths[n], str(said), f"image {ids[n]}") < 0
        except DataError as e:
            faults.append(Fault.of(e, "path"))
            there[n] = False
            continue
        if bare:
            faults.append(Fault(str(said), f"image {ids[n]}", "file_name", f"the map {paths[n]} is not there",
                                "the image is left out", True, "missing map"))
            there[n] = False
            continue
        kept: list[tuple[int, int, bool, Any, float]] = []
        for k, s in enumerate(of_image[i][1]):
            number = whole(s.get("id"), -1) if isinstance(s, dict) else -1
            label = lookup(label_of, s.get("category_id")) if isinstance(s, dict) else -1
            if label < 0 or number <= 0:
                what = "unknown class" if number > 0 else "broken record"
                faults.append(Fault(str(said), f"segment {k} of {pngs[n]}", "category_id" if number > 0 else "id",
                                    "has no known category, or no id above 0", "correct it", False, what))
                continue
            (many,) = crowds([s], [k], str(said), faults)
            kept.append((number, label, many, s.get("bbox"), real(s.get("area"))))
        mine = segments[str(root / paths[n])] = Segments(
            np.array([x[0] for x in kept], dtype=np.int64), np.array([x[1] for x in kept], dtype=np.int64),
            np.array([x[2] for x in kept], dtype=bool)
        )
        rects, sizes_of = numbers([x[3] for x in kept], 4), np.array([x[4] for x in kept])
        rects[:, 2:] += rects[:, :2]
        if not (np.isfinite(rects).all() and (sizes_of > 0).all()):
            try:
                found, pixels = _measured(root / paths[n], mine)
            except DataError as e:  # one broken map; the others are sound
                faults.append(Fault.of(e, "unusable map", "the image is left out"))
                there[n] = False
                continue
            rects = np.where(np.isfinite(rects).all(1, keepdims=True), rects, found)
            sizes_of = np.where(sizes_of > 0, sizes_of, pixels)
        for k, (_, label, many, _, _) in enumerate(kept):
            if to_thing[label] >= 0:
                at.append(n)
                boxes.append(rects[k])
                kind.append(int(to_thing[label]))
                crowd.append(many)
                area.append(float(sizes_of[k]))
                record.append(k)
    kept_images = np.flatnonzero(there)
    t = table(files, sizes, ids, at, np.array(boxes).reshape(-1, 4), kind, str(said), crowd=crowd, area=area,
              record=record, word="segment", maps=[(p,) for p in paths])
    if not there.all():
        t = t.images(kept_images)
    objects = classes
    kinds: tuple[str, ...] = ("semantic", "panoptic")  # of stuff alone
    if len(things):
        objects = Classes(tuple(classes.names[k] for k in things), tuple(classes.ids[k] for k in things), (),
                          tuple(classes.parent[k] for k in things))
        kinds = ("boxes", "masks", *kinds)
    return Draft(root, FORMAT, t, objects, kinds, digest, str(said), faults, semantic=classes, panoptic=classes,
                 layers=PanopticMaps(segments), follow_links=follow_links, notes=notes, used={str(said)}, numbered=True)


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
