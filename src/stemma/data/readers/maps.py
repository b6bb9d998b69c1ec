"""Folders of images beside maps: instance ids (one number an object, 0 background), class ids (one number a class), or
colours that a list explains (`readers.colours`).

Layouts: images/ + labels|masks|... (with or without a folder a split in each), SPLIT/ + SPLITannot/, SPLIT/images +
SPLIT/masks, JPEGImages/ + SegmentationClass/ with the lists of ImageSets, and NAME.jpg beside NAME_mask.png. Folders
are read with all below them, whatever the case of their names. A map belongs to the image of its path and name. `maps`
says what the numbers are where it cannot be seen: "instance", "class" or "binary".

A binary map of in-between greys (once a JPEG, or resized) is cut at the middle, and that is said.
"""
from __future__ import annotations

import csv
import hashlib
import io
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from stemma.core.samples import IGNORE, Classes, DataError, Sample

from ..files import class_list, class_path, given_folder, lines_of, named_lines, read_bytes, split_name, text_of
from ..finding import Pictures, plain_name, same_letters
from ..images import check_name, child, read_map, shown, walk
from ..options import spelled
from ..records import Draft, Fault, Folder, table
from . import colours, imagefolder, rle

FORMAT = "maps"
_IMAGES = ("images", "image", "imgs", "img", "JPEGImages", "PNGImages")
_MAPS = ("labels", "masks", "mask", "annotations", "instances", "maps", "gt", "groundtruth", "segmentation",
         "SegmentationClass", "label", "annots", "annot", "PedMasks")
_BESIDE = ("annot", "_annot", "annotations", "_labels", "_masks", "_mask", "labels", "masks")
# what a map's name adds to its image's
_TAILS = ("", "_mask", "_masks", "_label", "_labels", "_seg", "_gt", "_L", "-mask", ".mask")
_VOID = frozenset({"unlabelled", "unlabeled", "void", "ignore", "ignored", "unknown"})
_SUFFIXES = frozenset({".png", ".tif", ".tiff", ".bmp", ".gif"})
_LOSSY = frozenset({".jpg", ".jpeg", ".jpe", ".jfif", ".webp"})  # ids do not survive in them, black and white does
_LOOK = 12  # maps looked at to tell instances from classes
_NEAR = 32  # greys that mean black or white in a binary map


@dataclass(frozen=True)
class Source:
    """A split: folders of images and maps inside the root, and what picks from them: a list of pairs, a column of
    index.csv, or a list of names. `tails`: maps lie among the images, and their names end so. `table`: Hugging Face's
    list that names both, below its own folder."""

    images: str
    maps: str
    pairs: str | None = None
    subset: str | None = None
    listed: str | None = None
    tails: tuple[str, ...] = _TAILS
    table: str | None = None


def maps_in(folder: Path) -> list[str]:
    """The maps of a folder and all below; JPEGs where it holds nothing else."""
    return walk(folder, _SUFFIXES, follow_links=True) or walk(folder, _LOSSY, follow_links=True)


def _pictures_in(folder: Path) -> bool:
    return bool(walk(folder, follow_links=True))


def layouts(where: Path) -> dict[str, Source]:
    """split -> source of the first layout that fits; empty where none does."""
    if not where.is_dir():
        return {}
    if tables := imagefolder.mapped(where):
        return {s: Source(f := n.rpartition("/")[0], f, table=n) for s, n in tables.items()}
    out: dict[str, Source] = {}
    folders = shown(where)
    for name in folders:
        for tail in _BESIDE:
            beside = child(where, f"{name}{tail}") if split_name(name) else ""
            if beside and _pictures_in(where / name) and maps_in(where / beside):
                pairs = f"{name}.txt" if (where / f"{name}.txt").is_file() else None
                out.setdefault(split_name(name), Source(name, beside, pairs))
    if out:
        return out
    for image in (n for w in _IMAGES if (n := child(where, w))):
        for label in (n for w in _MAPS if (n := child(where, w))):
            for sub in shown(where / image):
                own = child(where / label, sub)
                if split_name(sub) and own and _pictures_in(where / image / sub) and maps_in(where / label / own):
                    out.setdefault(split_name(sub), Source(f"{image}/{sub}", f"{label}/{own}"))
            if out:
                return out
            if _pictures_in(where / image) and maps_in(where / label):
                parts = sorted({s for s in _index_splits(where).values() if s})
                if parts:
                    return {s: Source(image, label, subset=s) for s in parts}
                lists = _lists(where)
                return ({s: Source(image, label, listed=p) for s, p in lists.items()} if lists
                        else {"all": Source(image, label)})
    for name in folders:
        if split_name(name):
            image, label = child(where / name, *_IMAGES), child(where / name, *_MAPS)
            if image and label and _pictures_in(where / name / image) and maps_in(where / name / label):
                out.setdefault(split_name(name), Source(f"{name}/{image}", f"{name}/{label}"))
    return out or _besides(where, folders) or _together(where, folders)


def _besides(where: Path, folders: Sequence[str]) -> dict[str, Source]:
    """The sources of NAME/ + NAMEannot/ where no NAME is one of a split, as CVAT's default/ + defaultannot/."""
    found = {n: beside for n in folders for tail in _BESIDE if (beside := child(where, f"{n}{tail}"))
             and _pictures_in(where / n) and maps_in(where / beside)}
    return {n if len(found) > 1 else "all": Source(n, beside, f"{n}.txt" if (where / f"{n}.txt").is_file() else None)
            for n, beside in found.items()}


def _lists(where: Path) -> dict[str, str]:
    """split -> list of names in ImageSets/Segmentation."""
    base = child(where, "ImageSets")
    inner = child(where / base, "Segmentation") if base else ""
    names = walk(where / base / inner, {".txt"}) if inner else []
    one = len(names) == 1 and not split_name(names[0])
    return {"all" if one else split_name(n) or Path(n).stem: f"{base}/{inner}/{n}" for n in names}


def _together(where: Path, folders: Sequence[str]) -> dict[str, Source]:
    """The source of NAME.jpg beside NAME_mask.png, here or in folders of splits."""
    tails = tuple(t for t in _TAILS if t)

    def fits(folder: str) -> bool:
        names = walk(where / folder, follow_links=True) if folder else [
            n for n in walk(where, follow_links=True) if "/" not in n]
        stems = {os.path.splitext(n)[0] for n in names}
        return sum(s + t in stems for s in stems for t in tails) * 2 >= max(len(stems) - 1, 1)

    out: dict[str, Source] = {}
    for name in folders:
        if split_name(name) and fits(name):
            out.setdefault(split_name(name), Source(name, name, tails=tails))
    return out or ({"all": Source("", "", tails=tails)} if fits("") else {})


def splits(where: Path, images: str | Path | None = None, labels: str | Path | None = None,
           **_: Any) -> dict[str, Source]:
    """split -> source. `images`, `labels`: folders that are told. Raises DataError where no layout fits."""
    if images is not None or labels is not None:
        at = [_told(where, given, option) if given is not None else child(where, *names) for given, option, names in (
            (images, "images", _IMAGES), (labels, "labels", _MAPS))]
        parts = {split_name(s): (s, own) for s in shown(where / at[0])
                 if split_name(s) and (own := child(where / at[1], s))}
        return ({k: Source(f"{at[0]}/{s}", f"{at[1]}/{own}") for k, (s, own) in parts.items()}
                or {"all": Source(at[0], at[1])})
    found = layouts(where)
    if not found:
        raise DataError(str(where), "holds no images beside maps",
                        "looked for images/ + labels|masks/, SPLIT/ + SPLITannot/, SPLIT/images + SPLIT/masks, "
                        f"NAME.jpg + NAME_mask.png; say {spelled('images')} and {spelled('labels', 'FOLDER')}")
    return found


def _told(where: Path, given: str | Path, option: str) -> str:
    """A folder that an option names, relative to the root, in which it must lie: maps and images are one data set."""
    at = os.path.relpath(given_folder(where, given, option), where).replace(os.sep, "/")
    if at.startswith(".."):
        raise DataError(str(given), f"lies outside the data folder {where}", "name a folder that holds images and maps")
    return "" if at == "." else at


def _index(where: Path) -> list[dict[str, str]]:
    path = where / "index.csv"
    if not path.is_file():
        return []
    try:
        return [dict(r) for r in csv.DictReader(io.StringIO(text_of(read_bytes(path), path)))]
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
    if source.table is not None:
        return _named_both(where, source, faults)
    subset = _index_splits(where) if source.subset is not None else {}
    among = source.images == source.maps
    pictures = walk(where / source.images, follow_links=True)
    maps = maps_in(where / source.maps) if not among else pictures
    if among and not source.images:
        pictures = maps = [n for n in pictures if "/" not in n]
    exact = {os.path.splitext(n)[0]: n for n in reversed(maps)}
    alone: dict[str, list[str]] = {}
    for n in maps:
        alone.setdefault(same_letters(os.path.splitext(n)[0].rpartition("/")[2]), []).append(n)
    chosen = pictures if source.listed is None else _named(where, source, pictures, faults)
    if among:
        chosen = [n for n in chosen if not any((s := os.path.splitext(n)[0]).endswith(t) and s[: -len(t)] in exact
                                               for t in source.tails)]
    out: list[tuple[str, str]] = []
    called = Counter(same_letters(os.path.splitext(n)[0].rpartition("/")[2]) for n in chosen)
    for image in chosen:
        stem = os.path.splitext(image)[0]
        short = stem.rpartition("/")[2]
        if source.subset is not None and subset.get(short) != source.subset:
            continue
        label = next((exact[stem + t] for t in source.tails if stem + t in exact), None)
        if label is None and called[same_letters(short)] == 1:  # else the map is that of another folder's picture
            ends = (same_letters(short + t) for t in source.tails)
            label = next((alone[e][0] for e in ends if len(alone.get(e, ())) == 1), None)
        if label is None:
            faults.append(Fault(str(where / source.images / image), "", "", f"has no map in {source.maps or where}",
                                "the image is left out", True, "missing map"))
            continue
        out.append((_under(source.images, image), _under(source.maps, label)))
    return out


def _under(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name


def _named(where: Path, source: Source, pictures: list[str], faults: list[Fault]) -> list[str]:
    """The pictures that a list of names means."""
    assert source.listed is not None
    path, among, out = where / source.listed, Pictures(where / source.images, pictures), []
    for number, name in enumerate(lines_of(path), 1):
        if not name:
            continue
        try:
            found = among.find(plain_name(name))
        except LookupError as e:
            faults.append(Fault(str(path), f"line {number}", "name", f"{name[:200]!r} could mean {e}",
                                "write the path below the folder of images", False, "picture not told apart"))
            continue
        if found is None:
            faults.append(Fault(str(path), f"line {number}", "name", f"there is no image {name[:200]!r}",
                                "it is left out", True, "missing image"))
        else:
            out.append(found)
    return out


def _listed(where: Path, source: Source, faults: list[Fault]) -> list[tuple[str, str]]:
    """Pairs as the list file writes them, "image map" a line; its paths may start above the root, as SegNet's do, and
    only their tails are used."""
    assert source.pairs is not None
    path = where / source.pairs
    out: list[tuple[str, str]] = []
    pictures = Pictures(where / source.images, walk(where / source.images, follow_links=True))
    maps = Pictures(where / source.maps, maps_in(where / source.maps))
    wrong: list[Fault] = []
    for number, line in enumerate(read_bytes(path).decode("utf-8-sig", "replace").splitlines(), 1):
        words, record = line.split(), f"line {number}"
        if len(words) != 2:
            if words:
                wrong.append(Fault(str(path), record, "", f"{line[:60]!r} is not a picture and its map",
                                   "it is left out: remove blanks from names", True, "broken record"))
            continue
        image, label = (w.replace("\\", "/").rsplit("/", 1)[-1] for w in words)
        try:
            check_name(image, str(path), record, "image")
            check_name(label, str(path), record, "map")
            own, drawn = pictures.find(words[0]), maps.find(words[1])
        except DataError as e:
            faults.append(Fault.of(e, "path"))
            continue
        except LookupError as e:
            faults.append(Fault(str(path), record, "", f"could mean {e}", "write the path below the data folder", False,
                                "picture not told apart"))
            continue
        if drawn is None:
            faults.append(Fault(str(path), record, "map", f"the map {source.maps}/{label} is not there",
                                "the image is left out", True, "missing map"))
            continue
        out.append((_under(source.images, own or image), _under(source.maps, drawn)))
    if out:  # else a list of names
        faults += wrong
    return out


def _named_both(where: Path, source: Source, faults: list[Fault]) -> list[tuple[str, str]]:
    """Pairs as Hugging Face's list names them."""
    assert source.table is not None
    path, out = where / source.table, []
    for line, *names in imagefolder.maps_of(path, faults):
        try:
            image, label = (_under(source.images, plain_name(n)) for n in names)
            for n in (image, label):
                check_name(n, str(path), f"line {line}")
        except DataError as e:
            faults.append(Fault.of(e, "path"))
            continue
        if not (where / label).is_file():
            faults.append(Fault(str(path), f"line {line}", "", f"the map {label} is not there",
                                "the image is left out", True, "missing map"))
            continue
        out.append((image, label))
    return out


# ---------------------------------------------------------------- what the numbers are


def flat(m: np.ndarray) -> np.ndarray:
    """A map whose three channels are alike as one of them: it was grey when it was drawn."""
    if m.ndim == 3 and (m[..., :1] == m).all():
        return np.ascontiguousarray(m[..., 0])
    return m


@dataclass
class Kind:
    """What the maps of a set hold: `word` is "instance", "class", "binary", "soft" (binary, with in-between greys) or
    "colour"; what is to be said of it."""

    word: str
    labels: colours.LabelMap | None = None
    notes: list[str] = field(default_factory=list)
    void: bool = False  # of binary ones: 255 beside 1 is ignored
    cut: int = 128  # of soft ones: the least tone of foreground


def kind_of(where: Path, source: Source, maps: Sequence[str], asked: str | None = None,
            follow_links: bool = False) -> Kind:
    """What the maps hold, by the lists beside them and a look at some. Raises DataError where it cannot be told."""
    listed = colours.find(where, source.maps, source.images)
    known = colours.read(listed) if listed is not None and not (where / "classes.txt").is_file() else None
    if asked is not None and asked != "binary":
        return Kind(asked, known if asked == "class" else None)
    folder = Folder(where, follow_links)
    sample = _sample(folder, maps)
    if asked == "binary":
        values = set[int]().union(*(np.unique(read_map(where / m, tones=True)).tolist() for m in sample))
        return Kind("binary" if values <= {0, 1} else "soft", cut=1 if 1 in values and values <= {0, 1, 255} else 128)
    lossy = [m for m in sample if os.path.splitext(m)[1].lower() in _LOSSY]
    if known is not None and known.colours and not lossy:
        wild = _unknown_colour(where, sample, known)
        if wild is None:
            return Kind("colour", known)
        if any(flat(read_map(where / m)).ndim == 3 for m in sample):
            raise DataError(str(where / wild[0]), f"has the colour {wild[1]}, which {known.path.name} does not name",
                            "add it there, or correct the map")
        known = colours.LabelMap(known.path, known.names, tuple(range(len(known.names))))
    if (where / "classes.txt").is_file() or known is not None:
        return Kind("class", known)
    rows = _index(where)
    if rows and any(c and c.lower() in ("instances", "objects", "count") for c in rows[0]):
        return Kind("instance")
    return _seen(folder, maps, sample, bool(lossy))


def _map(folder: Folder, name: str) -> np.ndarray:
    """A map as it is stored. Raises DataError where it cannot be read, or leads outside."""
    folder.has(name)
    return read_map(folder.root / name)


def _sample(folder: Folder, maps: Sequence[str]) -> list[str]:
    """Some maps from all over the list; others in the place of those that cannot be read, which are named with their
    pictures. Raises DataError where none can."""
    spread = [maps[k] for k in np.unique(np.linspace(0, len(maps) - 1, min(_LOOK, len(maps))).astype(int))]
    out, wrong = [], []
    for name in dict.fromkeys([*spread, *maps]):
        try:
            _map(folder, name)
            out.append(name)
        except DataError as e:
            wrong.append(e)
        if len(out) == len(spread):
            break
    if not out:
        raise wrong[0]
    return out


def _unknown_colour(where: Path, sample: Sequence[str], known: colours.LabelMap) -> tuple[str, str] | None:
    """(map, colour) of the first colour that a list does not name."""
    codes = {r + 256 * g + 65536 * b for r, g, b in known.colours}
    for name in sample:
        for code in np.unique(_codes(read_map(where / name, colours=True))).tolist():
            if code not in codes:
                return name, f"({code % 256}, {code // 256 % 256}, {code // 65536})"
    return None


def _codes(rgb: np.ndarray) -> np.ndarray:
    out: np.ndarray = rgb.astype(np.int32) @ np.array([1, 256, 65536], dtype=np.int32)
    return out


def _seen(folder: Folder, maps: Sequence[str], sample: Sequence[str], lossy: bool) -> Kind:
    """`kind_of` without any list: by the numbers that stand in the maps."""
    where = folder.root
    histogram = np.zeros(256, dtype=np.int64)
    seen: set[int] = set()
    both = False  # 1 and 255 in one map
    counts: list[int] = []
    consecutive = True
    for name in dict.fromkeys([*sample, *maps]):
        if len(counts) >= len(sample) and seen:
            break  # more than the sample is looked at only while all is 0
        try:
            m = flat(_map(folder, name))
        except DataError:
            continue
        if m.ndim == 3 and lossy:
            m = np.asarray(m.max(2))  # chroma of a JPEG is never quite grey
        if m.ndim == 3:
            raise DataError(str(where / name), "is a colour map, whose meaning cannot be seen",
                            "write its colours into labelmap.txt, one name:r,g,b a line, or say "
                            f"{spelled('maps', 'instance')}")
        ids, n = np.unique(m, return_counts=True)
        if ids.max(initial=0) < 256 and ids.min(initial=0) >= 0:
            histogram[ids] += n
        ids = ids[ids > 0]
        seen.update(ids.tolist())
        both |= bool({1, 255} <= set(ids.tolist()))
        counts.append(len(ids))
        consecutive &= bool(len(ids) == 0 or (ids[0] == 1 and ids[-1] == len(ids)))
    if not seen:
        raise DataError(str(where), f"has nothing but 0 in all of its {len(maps)} maps",
                        "check that these are the right maps; there is nothing to learn", field="maps")
    if both and seen <= {1, 255}:
        return Kind("binary", notes=["maps hold 1 and 255 besides 0: 1 is read as foreground, and 255 beside it is "
                                     f"ignored, as in Pascal VOC; say {spelled('maps', 'binary')} where it is "
                                     "foreground too"], void=True)
    if seen <= {1} or seen <= {255} or seen <= {1, 255}:
        return Kind("binary", notes=["maps hold one number besides 0: they are read as background and foreground; say "
                                     f"{spelled('maps', 'instance')} where each is of one object"])
    total, between = int(histogram.sum()), int(histogram[1:255].sum())
    white, middle = int(histogram[256 - _NEAR :].sum()), int(histogram[_NEAR : 256 - _NEAR].sum())
    if total and max(seen) < 256 and (white > histogram[1 : 256 - _NEAR].sum() and 4 * middle < total
                                      or lossy and white):
        return Kind("soft", notes=[f"maps are read as black and white, cut at 128: {between:,} of {total:,} pixels of "
                                   f"the {len(counts)} maps looked at lie between 0 and 255"])
    if lossy:
        raise DataError(str(where / sample[0]), "is a JPEG, in which numbers of classes or objects do not survive",
                        "write the maps again as PNG")
    if consecutive and len(set(counts)) > 1 and max(counts) > 2:
        return Kind("instance")
    raise DataError(str(where), f"its maps could hold instances or classes (numbers seen: {sorted(seen)[:8]})",
                    "write the class names into classes.txt, one a line from id 0, or say "
                    f"{spelled('maps', 'instance')}, or --maps class with {spelled('names')}", field="maps")


def read_classes(path: Path) -> tuple[Classes, dict[int, int]]:
    """The classes of classes.txt (line k names id k, or "id name" a line) and id -> label;
    names that mean void are ignored (255)."""
    names: list[str] = []
    ids: list[int] = []
    label_of: dict[int, int] = {IGNORE: IGNORE}
    rows = named_lines(path)
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
    where: Path, source: Source, *, split: str = "", maps: str | None = None,
    names: str | Path | Sequence[str] | None = None, images: str | Path | None = None, labels: str | Path | None = None,
    follow_links: bool = False,
) -> Draft:
    """A draft of one split. `names` calls the one class of instance maps (("object",) else), or the classes of class
    maps from id 0."""
    if maps not in (None, "instance", "class", "binary"):
        raise DataError(str(where), f"the kind of maps {maps!r} is unknown",
                        f"say {spelled('maps', 'instance')}, class or binary")
    faults: list[Fault] = []
    pairs = pairs_of(where, source, faults)
    if not pairs:
        raise DataError(str(where / source.images), f"has no image with a map in {source.maps}",
                        "give image and map the same name")
    given = None if names is None else tuple(class_list(names, where) if not isinstance(names, str) or "," in names
                                             or (where / names).is_file() or Path(names).is_file() else [names])
    told = splits(where, images, labels)  # numbers mean the same in every split
    both = {m: None for s in told.values() for _, m in (pairs if s == source else pairs_of(where, s, []))}
    kind = kind_of(where, source, list(both), maps, follow_links)
    hashed = hashlib.sha256(kind.word.encode())
    extra = [p for p in (class_path(where), where / "index.csv", kind.labels.path if kind.labels else None)
             if p is not None and p.is_file()]
    for path in extra:
        hashed.update(read_bytes(path))
    lists = (source.pairs, source.listed, source.table)
    used = {str(p) for p in extra} | {str(where / f) for f in lists if f is not None}
    classes: Classes
    layers: InstanceMaps | ClassMaps
    if kind.word == "instance":
        classes = Classes(given or ("object",))
        if len(classes) != 1:
            raise DataError(str(where), f"instance maps have one class, not {len(classes)}", "name one class")
        semantic = Classes(("background", classes.names[0]), (0, 1), (False, True))
        layers = InstanceMaps()
    elif kind.word in ("binary", "soft"):
        classes = semantic = Classes(given or ("background", "foreground"), (0, 1), (False, False))
        layers = ClassMaps(((0, 0), (1, 1), (255, IGNORE if kind.void else 1)),
                           cut=kind.cut if kind.word == "soft" else 0)
    else:
        semantic, layers = _classes_of(where, kind, given)
        classes = semantic
    files = [a for a, _ in pairs]
    t = table(files, np.zeros((len(files), 2)), np.arange(len(files)), [], [], [], [str(where / m) for _, m in pairs],
              maps=[(m,) for _, m in pairs])
    kinds = ("boxes", "masks", "semantic") if kind.word == "instance" else ("semantic",)
    return Draft(where, FORMAT, t, classes, kinds, hashed.hexdigest(), str(where / source.maps), faults,
                 semantic=semantic, layers=layers, counted=kind.word != "instance", follow_links=follow_links,
                 sized=False, used=used, notes=kind.notes)


def _classes_of(where: Path, kind: Kind, given: tuple[str, ...] | None) -> tuple[Classes, ClassMaps]:
    """Classes of maps of class ids or colours, by the names that are told, a list of numbers or colours,
    or classes.txt."""
    if kind.word == "colour":
        assert kind.labels is not None
        codes = [r + 256 * g + 65536 * b for r, g, b in kind.labels.colours]
        named, label_of = _without_void(list(zip(kind.labels.names, codes)), kind.labels.path)
        return Classes(named.names, (), named.things), ClassMaps(tuple(label_of.items()), colours=True)
    if given is not None:
        return (Classes(given, things=(False,) * len(given)),
                ClassMaps(tuple(({IGNORE: IGNORE} | {k: k for k in range(len(given))}).items())))
    if kind.labels is not None:
        named, label_of = _without_void(list(zip(kind.labels.names, kind.labels.ids)), kind.labels.path)
        return named, ClassMaps(tuple(({IGNORE: IGNORE} | label_of).items()))
    if (where / "classes.txt").is_file():
        named, label_of = read_classes(where / "classes.txt")
        return named, ClassMaps(tuple(label_of.items()))
    raise DataError(str(where), "its class maps have no names",
                    f"write classes.txt, one name a line from id 0, or say {spelled('names')}")


def _without_void(rows: list[tuple[str, int]], path: Path) -> tuple[Classes, dict[int, int]]:
    """Classes of (name, number) rows and number -> label; names that mean void are ignored."""
    kept = [(n, k) for n, k in rows if n.lower() not in _VOID]
    if not kept or len(kept) >= IGNORE:
        raise DataError(str(path), f"names {len(kept)} classes; from 1 to {IGNORE - 1} are possible", "name fewer")
    label_of = {k: IGNORE for n, k in rows if n.lower() in _VOID} | {k: i for i, (_, k) in enumerate(kept)}
    return Classes(tuple(n for n, _ in kept), tuple(k for _, k in kept), (False,) * len(kept)), label_of


def _sized(path: Path, size: tuple[int, int], colours: bool = False, tones: bool = False) -> np.ndarray:
    m = read_map(path, colours=colours, tones=tones)
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
    """Every number is a class: `labels` pairs the numbers that may stand in a map with their labels, 255 for ignored.
    `colours`: the numbers are those of colours, R + 256 G + 65536 B. `cut`: tones (0 to 255) from it on are 1, others
    0."""

    labels: tuple[tuple[int, int], ...]
    colours: bool = False
    cut: int = 0

    def __call__(self, sample: Sample, paths: tuple[Path, ...], wanted: frozenset[str]) -> None:
        raw = _sized(paths[0], sample.size, self.colours, tones=bool(self.cut))
        raw = _codes(raw) if self.colours else flat(raw)
        if raw.ndim != 2 and self.cut:
            raw = np.asarray(raw.max(2))
        if raw.ndim != 2:
            raise DataError(str(paths[0]), "is a colour picture, not a map of class ids",
                            "store the ids as a grey or palette PNG")
        if self.cut:
            raw = (raw >= self.cut).astype(np.uint8)
        numbers = np.array(sorted(k for k, _ in self.labels))
        to = np.array([label for _, label in sorted(self.labels)], dtype=np.uint8)
        at = np.minimum(np.searchsorted(numbers, raw), len(numbers) - 1) if self.colours else None
        if at is None:
            top = int(numbers.max()) + 1
            table_of = np.full(top, -1, dtype=np.int64)
            table_of[numbers] = np.arange(len(numbers))
            at = table_of[np.where((raw < 0) | (raw >= top), 0, raw)]
            wild = (at < 0) | (raw < 0) | (raw >= top)
        else:
            wild = numbers[at] != raw
        if wild.any():
            first = int(raw[wild][0])
            what = (f"colour ({first % 256}, {first // 256 % 256}, {first // 65536})" if self.colours
                    else f"class id {first}")
            raise DataError(str(paths[0]), f"has the {what}, which the class list does not name",
                            "add it, or correct the map")
        if "semantic" in wanted:
            sample.semantic = to[at]


__all__ = ["FORMAT", "ClassMaps", "InstanceMaps", "Kind", "Source", "kind_of", "layouts", "pairs_of", "read",
           "read_classes", "splits"]
