"""One data set at its place: the format is recognised, the split found or derived, faults mended or refused.
`data.open` is the door."""
from __future__ import annotations

import gc
import hashlib
import inspect
import re
import tarfile
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from ..core.samples import Classes, DataError, Dataset
from . import around, division
from .classes import folders
from .files import NOTES, SPLIT_OF, SPLITS, Unused, class_file, split_name, unused
from .images import packed_in, subfolders, unread_in, walk, walked_once
from .options import flag_of
from .readers import (
    bdd100k,
    caltech,
    citypersons,
    coco,
    createml,
    crowdhuman,
    csv_tables,
    cvat,
    datumaro,
    documents,
    dota,
    imagefolder,
    kitti,
    label_studio,
    labelme,
    maps,
    panoptic,
    supervisely,
    via,
    visdrone,
    voc,
    wider,
    yolo,
)
from .records import DataWarning, Draft, OnFault, Records, reads_of, same_classes, say_once, used_by
from .strangers import stranger
from .vetting import finish

# of labelling tools and tables: each knows its own files
TOOLS: tuple[ModuleType, ...] = (labelme, cvat, label_studio, via, createml, supervisely, datumaro, kitti, visdrone,
                                 crowdhuman, citypersons, caltech, wider, bdd100k, dota, imagefolder, csv_tables)
FORMATS: dict[str, ModuleType] = {m.FORMAT: m for m in (coco, voc, yolo, panoptic, maps, *TOOLS)}
_READ_APART = ("voc", *(m.FORMAT for m in TOOLS))  # `labels` may name the folder of their annotations
LABELS = "labels:"  # before a part of a mixture of which the labels of whole pictures are read (`data.mix`)
_SCENES = re.compile(r"(scenes|crowds)(?::(\d{1,5})(?::(\d{1,8}))?)?")
# IoU above .5 in 45 % of the pictures
_CROWDS: dict[str, Any] = {"objects": (6, 24), "sizes": (0.12, 0.2), "overlap": 0.85, "crowd": 1.0, "visible": 0.2}
_SMALL = 1 << 26  # bytes of a JSON that is looked into to say what is wrong with it
_SCENES_COUNT = {"train": 2000, "val": 200, "test": 200}
_LOOKED = (
    "COCO (*.json or annotations/*.json with images and annotations), Pascal VOC (Annotations/*.xml), YOLO (data.yaml, "
    "or images/ and labels/*.txt), COCO panoptic (JSON with segments_info), images beside maps (images/ and labels/ or "
    "masks/ of PNGs, SPLIT/ and SPLITannot/), exports of labelme, CVAT, Label Studio, VIA, CreateML, Supervisely and "
    "Datumaro, KITTI (label_2/), VisDrone (annotations/*.txt), CrowdHuman (*.odgt), CityPersons "
    "(*_gtBboxCityPersons.json, anno_*.mat), Caltech Pedestrians (*.vbb, bbGt's text files), WIDER FACE "
    "(*_bbx_gt.txt), BDD100K (*.json of frames), DOTA (labelTxt/), Hugging Face's imagefolder (metadata.jsonl), CSV "
    "tables of boxes"
)


def is_scenes(where: str | Path) -> bool:
    """Whether `where` asks for drawn scenes: "scenes" or "crowds", with ":SIZE" or ":SIZE:COUNT"."""
    return (isinstance(where, str) and (where in ("scenes", "crowds") or where.startswith(("scenes:", "crowds:")))
            and f"+{LABELS}" not in where)


def _place(where: str | Path) -> Path:
    path = Path(where).expanduser()
    try:
        there = path.exists()
    except (OSError, ValueError):
        there = False
    if not there:
        raise DataError(str(where)[:400], "there is no such file or folder",
                        "check the path; 'scenes' is data that needs none")
    return path


def recognise(where: str | Path) -> str:
    """The format of what lies at `where`: "coco", "voc", "yolo", "panoptic", "maps" or "scenes". Raises DataError where
    none or several fit."""
    if is_scenes(where):
        return "scenes"
    path = _place(where)
    if path.is_file():
        kind = {".json": coco.looks_like(path), ".yaml": "yolo", ".yml": "yolo"}.get(path.suffix.lower(), "")
        kind = kind or next((m.FORMAT for m in TOOLS if m.looks_like(path)), "")
        if not kind and path.suffix.lower() == ".json":
            # says what is wrong with the file, where something is
            coco.part_of(documents.load_json(path)[0], "annotations", path)
            coco.part_of(documents.load_json(path)[0], "images", path)
            return "coco"
        if not kind and (zipfile.is_zipfile(path) or tarfile.is_tarfile(path)):
            raise DataError(str(path), "is an archive", "unpack it, and name the folder")
        if not kind:
            raise DataError(str(path), "is no file of annotations that is known",
                            f"name a folder, a COCO JSON or a data.yaml. Looked for: {_LOOKED}")
        return kind
    found = formats_at(path)
    if "coco" in found and "panoptic" in found and "instances" in coco.json_groups(path, "coco"):
        found.remove("panoptic")  # COCO's own annotations folder holds both; instances are meant unless told
    if len(found) == 1:
        return found[0]
    if found:
        raise DataError(str(path), f"could be {' or '.join(found)}",
                        f"say which with {' or '.join(f'--format {k}' for k in found)} (in Python format='{found[0]}')",
                        field="format")
    raise _unknown(path)


def _unknown(path: Path) -> DataError:
    """What is said of a folder that is no data set: which is, near it, what it holds, or what was looked for."""
    if path.is_dir() and not any(path.iterdir()):
        return DataError(str(path), "is an empty folder", "put the pictures and what is known of them into it, or name "
                         "another", field="format")
    near = sets_near(path)
    if near:
        one = len(near) == 1
        (folder, kinds), *_ = near
        if one and not walk(folder, follow_links=True) and kinds[0] in _READ_APART and walk(path):
            return DataError(str(path), f"holds the annotations of a data set, {folder}, and pictures elsewhere",
                             f"say --format {kinds[0]} {flag_of('labels')} {folder.relative_to(path)}", field="format")
        return DataError(str(path), "holds no data set of a known format itself",
                         f"{'this folder below does' if one else 'these folders below do'}: {around.said(near)}; name "
                         f"{'that' if one else 'one'}", field="format")
    if (whole := around.above(path, formats_at)) is not None:
        return DataError(str(path), "holds no data set of a known format: it is a part of one", f"name {whole}",
                         field="format")
    if by_class := folders.error(path):
        return by_class
    pictures, packed = len(walk(path)), packed_in(path)
    holds = f"; it holds {pictures:,} picture{'s' * (pictures != 1)} without annotations of any" if pictures else ""
    tool = ""
    if (other := stranger(path)) is not None:
        return DataError(str(path), f"holds no data set of a known format{holds}; {other[0]}", other[1], field="format")
    if beside := walk(path, NOTES)[:4]:
        several = "hold" if len(beside) > 1 else "holds"
        holds += f"; {', '.join(beside[:3])}{', ...' if len(beside) > 3 else ''} {several} none that is known"
        if (wrong := _no_json(path, beside)) is not None:
            return DataError(wrong.file, wrong.problem, wrong.mend, wrong.record, wrong.field)
        tool = "If a labelling tool wrote them, export COCO's JSON from it. "
    if packed or (packed := unread_in(path)):
        return DataError(str(path), f"holds no data set of a known format{holds}", packed, field="format")
    return DataError(str(path), f"holds no data set of a known format{holds}", tool + "Where folders have other names, "
                     f"say --format, {flag_of('labels')} and {flag_of('images')}. Looked for: {_LOOKED}",
                     field="format")


def _no_json(path: Path, names: Iterable[str]) -> DataError | None:
    """What is wrong with the first of the JSON files `names` that is none; large ones are not looked into."""
    for name in names:
        if name.lower().endswith(".json") and (path / name).stat().st_size < _SMALL:
            try:
                documents.load_json(path / name)
            except DataError as e:
                return e
    return None


@walked_once()
def sets_near(path: Path) -> list[tuple[Path, list[str]]]:
    """(folder, formats) of the data sets below a folder that is none, the nearest first; none where the folder holds
    pictures by class, most of which lie elsewhere."""
    found = around.below(path, formats_at)
    classes = [c for of in folders.counts(path).values() for c, n in of.items() if n]
    return found if not classes or 2 * around.among(path, found, classes) >= len(classes) else []


@walked_once()
def formats_at(path: Path) -> list[str]:
    """The formats whose files lie in a folder."""
    found = [kind for kind in ("coco", "panoptic") if coco.json_groups(path, kind)]
    parts = [path / n for n in subfolders(path) if split_name(n)]
    if voc.folders(path) is not None or any(voc.folders(p) is not None for p in parts):
        found.append("voc")
    if yolo.looks_like(path):
        found.append("yolo")
    found += [m.FORMAT for m in TOOLS if m.looks_like(path)]
    if "yolo" in found and {"dota", "kitti", "visdrone"} & set(found):  # a text file in labels/ need not be YOLO's
        rows = yolo.has_rows(path)
        found = [k for k in found if k != ("dota" if rows else "yolo")]  # DOTA's lie beside those made of them
    if found == ["yolo"] and not (yolo.find_config(path) or class_file(path) or yolo.has_rows(path) or stranger(
            path) is None):
        found = []  # text files in labels/ that are known to be others'
    if "csv" in found and len(found) > 1:
        found.remove("csv")  # a table beside annotations is about them
    if not found and maps.layouts(path) or found == ["yolo"] and maps.layouts(path):
        found.append("maps")
    return found


def module_of(where: str | Path, format: str | None) -> tuple[Path, ModuleType]:
    """The path and the format's reader. Raises DataError."""
    name = format or recognise(where)
    if name not in FORMATS:
        raise DataError(str(where), f"the format '{name}' is unknown", f"use one of {', '.join(FORMATS)}",
                        field="format")
    return _place(where), FORMATS[name]


def call(function: Any, where: Path, *given: Any, **options: Any) -> Any:
    """Calls a reader with the options it knows. Raises DataError for others."""
    known = inspect.signature(function).parameters
    unknown = [k for k in options if k not in known and not any(p.kind is p.VAR_KEYWORD for p in known.values())]
    if unknown:
        allowed = sorted(k for k, p in known.items() if p.kind is p.KEYWORD_ONLY and k != "split" and flag_of(k) != k)
        raise DataError(str(where), f"the option '{flag_of(unknown[0])}' is unknown to this format",
                        f"it has {', '.join(flag_of(k) for k in [*allowed, 'split_file', 'drop_records'])}")
    collecting = gc.isenabled()
    gc.disable()  # a document of a million records holds no cycles; searching it for them doubles the time of reading
    try:
        return function(where, *given, **options)
    except OSError as e:
        raise DataError(str(getattr(e, "filename", None) or where), f"cannot be read ({e.strerror or e})",
                        "check the path and its permissions") from None
    finally:
        if collecting:
            gc.enable()


def drafts_at(path: Path, module: ModuleType, **options: Any) -> dict[str, Callable[[], Draft]]:
    """split -> what reads it: the data's own splits, or those that `split_file` says, or where there is one alone those
    that its folders or lists say. Raises DataError."""
    drop, files = bool(options.pop("drop_records", False)), options.pop("split_file", None)
    own = call(module.splits, path, **options)
    reads: dict[str, Callable[[], Draft]] = division.as_train({
        s: partial(_read, module, path, own[s], drop, split=s, **options) for s in own})
    root = path if path.is_dir() else coco.data_root(path)
    if files is None and (len(own) > 1 or not any(map(division.may_say, {root, *_told(root, **options)}))):
        return reads
    if files is None:
        try:
            whole: Draft = next(iter(reads.values()))()
        except DataError:
            return reads  # told where it is opened
        apart = division.told(whole, root)
        return {s: partial(whole.images, at) for s, at in apart.items()} or {next(iter(own)): lambda: whole}
    if len(own) > 1:
        raise DataError(str(path), f"is divided already ({', '.join(splits_order(own))})",
                        f"leave out {flag_of('split_file')}, which divides data of one split")
    draft: Draft = next(iter(reads.values()))()
    parts = division.divide(draft, path, [files] if isinstance(files, (str, Path)) else list(files))
    return {s: partial(draft.images, at) for s, at in parts.items()}


def _read(module: ModuleType, path: Path, source: Any, drop: bool, **options: Any) -> Draft:
    draft: Draft = call(module.read, path, source, **options)
    return replace(draft, drop=drop)


def _told(root: Path, images: str | Path | None = None, **_: Any) -> list[Path]:
    """The folder of pictures that an option names."""
    return [] if images is None else [p for p in (root / images, Path(images).expanduser()) if p.is_dir()][:1]


def splits_at(where: str | Path, format: str | None = None, **options: Any) -> tuple[str, ...]:
    """The splits that can be opened, derived ones included, train first."""
    if is_scenes(where):
        return ("train", "val", "test")
    path, module = module_of(where, format)
    own = set(drafts_at(path, module, **options))
    if own == {"all"}:
        return ("train", "val", "test", "all")
    if "train" in own and "val" not in own:
        own.add("val")
    first = [s for s in ("train", "val", "test") if s in own]
    return (*first, *sorted(own - set(first)))


@walked_once()
def open_at(
    where: str | Path, split: str = "train", format: str | None = None, on_fault: OnFault = "mend", *,
    classes: Classes | None = None, **options: Any
) -> Dataset:
    """A split of one data set, as `data.open.open_dataset` describes it."""
    if is_scenes(where):
        return _scenes(str(where), split, classes, options)
    path, module = module_of(where, format)
    own = drafts_at(path, module, **options)
    options.pop("drop_records", None)
    wanted = split if split in own else SPLIT_OF.get(split.lower(), split.lower())
    source, part = _choose(path, own, wanted, split)
    if (module in (coco, panoptic) and classes is None and on_fault != "report" and len(own) > 1
        and "split_file" not in options and source in (files := call(module.splits, path, **options))):
        coco.same_categories({s: f for s, f in files.items() if s in SPLITS or s == source}, source)
    draft = own[source]()
    select = None
    if part is not None:
        (of, shares), files = part, draft.table.files
        dealt, n = _dealt(files, shares), len(files)
        said = ("; a hash of the file names divides it: "
                + ", ".join(f"{s} {len(at)}" for s, at in dealt.items()) if n >= len(shares)
                else f", too few for {' and '.join(shares)}: each of them is all of it")
        own_name = "it is not divided into splits" if source == "all" else f"it has no val; {source}"
        say_once(f"{path}: {own_name} ({n} image{'s' * (n != 1)}){said}")
        select = lambda left: (dealt if left == files else _dealt(left, shares))[of]  # noqa: E731
    found = finish(draft, name=name_of(path), split=wanted, on_fault=on_fault, classes=classes, select=select,
                   scale=scale_of(own, source))
    found.source = source
    return found


def scale_of(own: dict[str, Callable[[], Draft]], split: str) -> Callable[[], list[Path]] | None:
    """The pictures of the training split, which say what is white in those of another: a value means one grey in all
    splits. None for training's own, and where there is none."""
    if split == "train" or "train" not in own:
        return None

    def files() -> list[Path]:
        draft = own["train"]()
        return [draft.root / f for f in draft.table.files]

    return files


def unused_at(where: str | Path, format: str | None, opened: dict[str, Records], **options: Any) -> Unused | None:
    """Files of a data folder that none of its splits reads. `opened`: splits as they were opened, by name; the others
    that `apart` names are read for their names. None where that fails: then nobody knows."""
    path, module = module_of(where, format)
    used: set[str] = set()
    roots = [path if path.is_dir() else coco.data_root(path)]
    for data in opened.values():
        used |= data.used
        roots.append(data.root)
    own = drafts_at(path, module, **options)
    for name in apart(own):
        reads = own[name]
        if not any(name == data.source for data in opened.values()):
            try:
                draft = reads()
            except DataError:
                return None
            used |= used_by(reads_of(draft))
            roots.append(draft.root)
    found = Unused()
    real = {r.resolve(): r for r in reversed(roots)}
    for root in [r for r in real if not any(r != o and r.is_relative_to(o) for o in real)]:
        more = unused(real[root], used)
        for mine, theirs in zip(vars(found).values(), vars(more).values()):
            mine += theirs
    return found


_ROOMS = {"images", "image", "imgs", "img", "pictures", "photos", "jpegimages", "annotations", "annots", "labels",
          "masks", *SPLIT_OF}  # folders within a data set, by which nobody calls it
_STORES = {"data", "dataset", "datasets"}


def name_of(path: Path) -> str:
    """What people call the data at a path: the nearest folder that is not one of images, of annotations or of a split;
    "cells/data" where that is called no more than data."""
    where = path.resolve()
    above = [p for p in (where, *where.parents)[path.is_file() :] if p.name]
    told = [p for p in above if p.name.lower().rstrip("0123456789") not in _ROOMS] or above
    if not told:
        return where.name
    name, over = told[0].name, told[0].parent.name
    return f"{over}/{name}" if name.lower() in _STORES and over else name


_THIRDS = {"train": 0.8, "val": 0.1, "test": 0.1}
_HALVES = {"train": 0.9, "val": 0.1}


def _choose(path: Path, own: dict[str, Any], wanted: str,
            asked: str) -> tuple[str, tuple[str, dict[str, float]] | None]:
    """(source split, the part of it to take): None where the whole is taken."""
    if wanted == "all" and len(own) == 1:
        return next(iter(own)), None
    if set(own) == {"all"} and wanted in _THIRDS:
        return "all", (wanted, _THIRDS)
    if wanted in ("train", "val") and "train" in own and "val" not in own:
        return "train", (wanted, _HALVES)
    if wanted in own:
        return wanted, None
    have = ", ".join(s for s in splits_order(own))
    raise DataError(str(path), f"has no split '{asked}'", f"it has {have}", field="split")


def splits_order(own: dict[str, Any]) -> list[str]:
    """Split names, train, val and test first."""
    return sorted(own, key=lambda s: ({"train": 0, "val": 1, "test": 2}.get(s, 3), s))


def apart(own: Iterable[str]) -> list[str]:
    """Split names in order, without those that hold what others hold: "all", and trainval beside train and val."""
    names = splits_order(dict.fromkeys(own))
    whole = {"all"} if len(names) > 1 else set()
    return [s for s in names if s not in (whole | {"trainval"} if {"train", "val"} <= set(names) else whole)]


def _dealt(files: list[str], shares: dict[str, float]) -> dict[str, np.ndarray]:
    """Ascending index of the files of each derived split: ranked by the sha256 of their names, cut at exact shares,
    at least one each.

    With fewer files than splits, every split is all of them.
    """
    n = len(files)
    if n < len(shares):
        return dict.fromkeys(shares, np.arange(n))
    rank = np.array(sorted(range(n), key=lambda k:
                           hashlib.sha256(files[k].rsplit("/", 1)[-1].encode("utf-8", "surrogatepass")).digest()))
    out = {}
    for s in sorted(shares, key="train".__eq__):  # training has what the others leave
        out[s], rank = np.split(rank, [n if s == "train" else max(1, round(n * shares[s]))])
    return {s: np.sort(out[s]) for s in shares}


def _scenes(where: str, split: str, classes: Classes | None, options: dict[str, Any]) -> Dataset:
    from .scenes import Scenes

    found = _SCENES.fullmatch(where)
    wanted = SPLIT_OF.get(split.lower(), split.lower())
    if found is None:
        raise DataError(where, "is no description of scenes",
                        "write scenes, scenes:SIZE or scenes:SIZE:COUNT, as scenes:128:2000; or crowds")
    if wanted not in _SCENES_COUNT:
        raise DataError(where, f"has no split '{split}'", "it has train, val, test", field="split")
    size = int(found[2]) if found[2] else 128
    options = (_CROWDS if found[1] == "crowds" else {}) | options
    if not 16 <= size <= 4096:
        raise DataError(where, f"a side of {size} pixels cannot be drawn", "use 16 to 4096", field="size")
    count = int(found[3]) if found[3] else _SCENES_COUNT[wanted]
    if wanted != "train" and found[3]:
        count = max(1, count // 10)
    if count < 1:
        raise DataError(where, "asks for no scene", "use a count of 1 or more", field="count")
    known = inspect.signature(Scenes).parameters
    for k in options:
        if k not in known:
            raise DataError(where, f"the option '{k}' is unknown to scenes", f"it has {', '.join(known)}")
    data: Dataset = Scenes(count=count, size=size, split=wanted, **options)
    if (classes is not None and classes.names
        not in {c.names for c in (data.info.classes, data.info.semantic, data.info.panoptic) if c is not None}):
        raise DataError(where, "the class list disagrees with the one wanted", "train on this data", field="classes")
    return data


__all__ = [
    "FORMATS", "LABELS", "DataWarning", "apart", "call", "drafts_at", "formats_at", "is_scenes", "module_of", "open_at",
    "recognise", "same_classes", "splits_at", "splits_order", "unused_at",
]
