"""YOLO: a data.yaml (or darknet's obj.data), folders or lists of images, and one text file of labels an image: boxes,
polygons, or poses where kpt_shape says so.

A line is `class cx cy w h`, or `class x y x y x y ...`, in fractions of the image. What a model wrote after the box, a
confidence or the number of a track, is left out. A line that cannot be read takes its image out: an object that is
passed over would be trained as background. An image without a label file has no objects.

Labels lie where the last folder `images` of a path is called `labels`, beside the image, or in `labels=`; names are
found in any case, and folders are read with all that lies below them.
"""
from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from stemma.core.samples import Classes, DataError, Points
from stemma.core.values import ident

from ..files import SPLIT_OF, class_file, class_list, class_path, given_folder, inside, read_bytes, split_name, text_of
from ..finding import Pictures, foreign, plain_name, same_letters
from ..images import SUFFIXES, check_name, child, header, listing, packed_in, shown, subfolders, unread_in, walk
from ..options import spelled
from ..records import ONE_OUT, OUT, Draft, Fault, table
from .points import points_named

FORMAT = "yolo"
_YAMLS = ("data.yaml", "data.yml", "dataset.yaml", "dataset.yml")
_IMAGES = ("images", "image", "imgs", "img", "JPEGImages")
_LABELS = ("labels", "label", "annotations", "annots", "annotation", "txt")
_DARKNET = re.compile(r"obj_(.+)_data", re.I)
_COMMA = re.compile(r"-?\d+,\d+")
FAR = 2.0  # a fraction beyond this is none: the numbers are pixels


@dataclass(frozen=True)
class Source:
    """A split: folders of images, lists and images inside the root, and the configuration that names them (None: a
    folder without one). `absent`: what the configuration names besides and is not there. `loose`: labels lie beside
    images, and folders without any are none of it."""

    root: Path
    entries: tuple[str, ...]
    config: Path | None = None
    absent: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    loose: bool = False


# ---------------------------------------------------------------- what says where things are


def find_config(where: Path) -> Path | None:
    """The data.yaml of a folder: by its name in any case, the only YAML there with `names`, or darknet's *.data."""
    there = {n.lower(): n for n in reversed(listing(where, {".yaml", ".yml"}))}
    for name in _YAMLS:
        if name in there:
            return where / there[name]
    found = [where / n for n in sorted(there.values()) if b"names" in read_bytes(where / n)]
    if len(found) == 1:
        return found[0]
    found = [where / n for n in listing(where, {".data"}) if "train" in _darknet(where / n)]
    return found[0] if len(found) == 1 else None


def _darknet(path: Path) -> dict[str, str]:
    """The `key = value` lines of an obj.data."""
    try:
        lines = text_of(read_bytes(path), path).splitlines()
    except DataError:
        return {}
    rows = [line.partition("=") for line in lines if "=" in line and not line.lstrip().startswith("#")]
    return {k.strip().lower(): v.strip() for k, _, v in rows}


def load_config(path: Path) -> dict[str, Any]:
    """A data.yaml, or an obj.data in the same words: names, train, val, test. Raises DataError."""
    if path.suffix.lower() != ".data":
        return load_yaml(path)
    said = _darknet(path)
    doc: dict[str, Any] = {k: v for k, v in said.items() if v and split_name(k)}
    names = said.get("names", "")
    file = _shorter(path.parent, names) if names else None
    listed = path.parent / file if file else class_path(path.parent)
    if listed is None:
        raise DataError(str(path), f"names the classes in {names or 'no file'}, which is not there",
                        f"put obj.names beside it, or say {spelled('names')}", field="names")
    return doc | {"names": class_file(listed.parent) if listed == class_path(listed.parent)
                  else class_list(listed, Path())}


def load_yaml(path: Path) -> dict[str, Any]:
    """A YAML mapping of plain values, `names` as the texts that are written: `off` and `01` are names, and neither a
    truth value nor a number. Raises DataError; a tag that constructs objects is refused, never run."""
    raw = read_bytes(path)
    if b"<<" in raw and b"*" in raw:
        raise DataError(str(path), "uses merge keys (<<: *name), which can be nested to any size",
                        "write the values out")
    try:
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        doc = yaml.load(raw, Loader=loader)
        written = (_names_as_written(yaml.compose(raw, Loader=loader)) if isinstance(doc, dict) and "names" in doc
                   else None)
    except yaml.constructor.ConstructorError as e:
        at = e.problem_mark
        line = f" at line {at.line + 1}" if at is not None else ""
        said = f"has a tag or key that plain data does not need{line} ({str(e.problem)[:120]})"
        raise DataError(str(path), said, "remove the tag; only plain values are read") from None
    except yaml.MarkedYAMLError as e:
        at = e.problem_mark
        line = f" at line {at.line + 1}, column {at.column + 1}" if at is not None else ""
        raise DataError(str(path), f"is no YAML{line} ({str(e.problem)[:120]})", "correct it") from None
    except RecursionError:
        raise DataError(str(path), "is nested too deeply to be a data.yaml", "check what wrote it") from None
    except (yaml.YAMLError, ValueError, TypeError, OverflowError, AttributeError, LookupError) as e:
        said = " ".join(str(e).split())[:120]
        raise DataError(str(path), f"is no YAML that can be read ({said})", "correct it") from None
    if not isinstance(doc, dict):
        raise DataError(str(path), "is no mapping with 'names', 'train' and 'val'", "write a data.yaml")
    return doc if written is None else doc | {"names": written}


def _names_as_written(doc: yaml.Node | None) -> list[str] | dict[int | str, str] | None:
    """The scalars of `names`, a list or a mapping, as text; None where they are none."""
    assert isinstance(doc, yaml.MappingNode)
    node = next(v for k, v in reversed(doc.value) if k.value == "names")
    if isinstance(node, yaml.SequenceNode):
        items = [(str(k), v) for k, v in enumerate(node.value)]
    elif isinstance(node, yaml.MappingNode):
        items = [(str(k.value), v) for k, v in node.value]
    else:
        return None
    if not all(isinstance(v, yaml.ScalarNode) and v.value.strip() for _, v in items):
        return None
    if isinstance(node, yaml.SequenceNode):
        return [v.value for _, v in items]
    return {int(k) if k.isdecimal() and k.isascii() else k: v.value for k, v in items}


def class_names(doc: Mapping[str, Any], path: Path) -> tuple[str, ...]:
    """`names` as a list or as a mapping from 0, 1, 2, ... Raises DataError, also where `nc` disagrees."""
    names = doc.get("names")
    if isinstance(names, dict):
        if not all(type(k) is int for k in names) or sorted(names) != list(range(len(names))):
            raise DataError(str(path), "the keys of 'names' are not 0, 1, 2, ... without a gap",
                            "number the classes from 0", field="names")
        names = [names[k] for k in range(len(names))]
    if not isinstance(names, list) or not names or not all(isinstance(n, str) for n in names):
        raise DataError(str(path), "has no list of class names", "write names: [first, second]", field="names")
    out = tuple(names)
    if len(set(out)) < len(out):
        twice = next(n for n in out if out.count(n) > 1)
        raise DataError(str(path), f"the class {twice!r} is named twice", "give each class its own name", field="names")
    if "nc" in doc and ident(doc["nc"]) != len(out):
        raise DataError(str(path), f"nc is {str(doc['nc'])[:20]}, and there are {len(out)} names",
                        "make them agree", field="nc")
    return out


def root_of(where: Path, doc: Mapping[str, Any] | None = None) -> tuple[Path, str]:
    """(the folder that paths of the YAML are relative to, what to say of it). That is its `path` where it exists and
    lies inside the YAML's own folder, or anywhere if the YAML itself was named; else the YAML's own folder."""
    base = where.parent if where.is_file() else where
    inner = (doc or {}).get("path")
    if not isinstance(inner, str) or not inner.strip():
        return base, ""
    named = Path(plain_name(inner.strip()))
    at = named if named.is_absolute() else inside(base, str(named)) if ".." not in named.parts else base / named
    if not at.is_dir():
        return base, ""
    if at.resolve().is_relative_to(base.resolve()):
        return at, ""
    return at, f"its path {inner!r} leads out of the folder of the YAML"


def _settings(where: Path) -> tuple[Path | None, dict[str, Any], Path, str]:
    """(configuration, what it says, root, what is to be said of the root). A path that leads out is followed where the
    file itself was named: a folder that was handed on says nothing of the rest of this machine."""
    config = where if where.is_file() else find_config(where)
    if config is None:
        return None, {}, where, ""
    doc = load_config(config)
    root, said = root_of(config, doc)
    if said and not where.is_file():
        return config, doc, config.parent, f"{said}; it is not followed. Name {config} itself to follow it"
    return config, doc, root, ""


def _shorter(root: Path, text: str) -> str | None:
    """What a path written elsewhere means inside the root: itself in any case, or what is there of it after its first
    folders ("data/train.txt", "/content/set/train/images"). None where nothing is."""
    parts = [p for p in plain_name(text.strip()).split("/") if p not in ("", ".")]
    for k in range(len(parts)):
        rest = parts[k:]
        if ".." in rest or (len(rest[0]) == 2 and rest[0][1] == ":"):
            continue
        at = inside(root, "/".join(rest))
        # a folder of one name could be another one of that name, unless nothing but dots was before it
        if at.exists() and (at.is_file() or len(rest) > 1 or set(parts[:k]) <= {".."}):
            return at.relative_to(root).as_posix()
    return None


def _entry(text: str, root: Path, config: Path, key: str) -> tuple[str, bool, str]:
    """(path inside the root, whether it is there, what is to be said). One leading `../` is Roboflow's way to name what
    lies beside the YAML."""
    name = plain_name(text.strip()).rstrip("/")
    if Path(name).is_absolute() and Path(name).is_relative_to(root.resolve()):
        name = Path(name).relative_to(root.resolve()).as_posix()
    beside = name[3:] if name.startswith("../") else name
    if beside in ("", "."):
        return "", True, ""
    found = None if foreign(name) and not name.startswith("../") and Path(name).is_dir() else _shorter(root, name)
    if found is None:
        check_name(beside, str(config), field=key)
        return beside, False, ""
    said = "" if found.lower() in (name.lower(), beside.lower()) else f"{config.name} names {text!r}; read is {found}"
    return found, True, said


def splits(where: Path, images: str | Path | None = None, **_: Any) -> dict[str, Source]:
    """split -> source: what the configuration names as train, val and test, or the folders images/SPLIT, SPLIT/images,
    SPLIT, or all images there are."""
    config, doc, root, said = _settings(where)
    notes = (said,) if said else ()
    if images is not None:
        folder = given_folder(root, images, "images")
        if folder.resolve().is_relative_to(root.resolve()):
            entry = folder.resolve().relative_to(root.resolve()).as_posix().removeprefix(".")
        else:
            root, entry = folder, ""
        parts = _parts(root / entry)
        return ({s: Source(root, tuple(f"{entry}/{n}" if entry else n for n in of), config) for s, of in parts.items()}
                or {"all": Source(root, (entry,), config)})
    out: dict[str, Source] = {}
    absent: list[str] = []
    for key, value in doc.items():
        if isinstance(key, str) and value and (split_name(key) and key.isalpha() or _own_split(key, value, root)):
            entries = value if isinstance(value, list) else [value]
            if not all(isinstance(v, str) for v in entries) or config is None:
                raise DataError(str(config), "is no path or list of paths",
                                "name a folder of images or a .txt list", field=key)
            found = [_entry(v, root, config, key) for v in entries]
            lost = [e for e, there, _ in found if not there]
            split = split_name(key) or key
            if split == "train" and len(lost) == len(found):
                more = f". {said}" if said else ""
                raise DataError(str(config), f"names {lost[0]!r}, and {root / lost[0]} is neither a folder nor a list "
                                f"of images{more}", packed_in(root) or "correct the path")
            absent += [f"{key}: {e}" for e in lost]
            if len(lost) < len(found):
                told = tuple(t for _, _, t in found if t)
                out[split] = Source(root, tuple(e for e, there, _ in found if there), config, notes=told)
    if out:
        first = "train" if "train" in out else next(iter(out))
        old = out[first]
        out[first] = Source(root, old.entries, config, tuple(absent), notes + old.notes)
        return out
    return _found(root, config, notes, absent)


def _own_split(key: str, value: Any, root: Path) -> bool:
    """Whether a key names a split of its own name: a folder of images that is called so, as holdout: images/holdout."""
    return (isinstance(value, str) and not foreign(value) and key in plain_name(value).split("/")
            and bool(walk(root / plain_name(value), follow_links=True)))


def _parts(folder: Path) -> dict[str, list[str]]:
    """split -> sub-folders that are called like it and hold pictures, as train2014 and train2017."""
    out: dict[str, list[str]] = {}
    for name in shown(folder):
        if split_name(name) and walk(folder / name, follow_links=True):
            out.setdefault(split_name(name), []).append(name)
    return out


def _found(root: Path, config: Path | None, notes: tuple[str, ...], absent: list[str]) -> dict[str, Source]:
    """The sources of a folder whose configuration names none."""
    def source(*entries: str, loose: bool = False) -> Source:
        return Source(root, entries, config, tuple(absent), notes, loose)

    images = child(root, *_IMAGES)
    parts = _parts(root / images) if images else {}
    if parts:
        return {s: source(*(f"{images}/{n}" for n in of)) for s, of in parts.items()}
    dark = {split_name(m[1]) or m[1].lower(): n for n in subfolders(root)
            if (m := _DARKNET.fullmatch(n))} if root.is_dir() else {}
    if dark:
        return {s if len(dark) > 1 else "all": source(n) for s, n in dark.items()}
    parts = _parts(root)
    if parts:
        own = {n: child(root / n, *_IMAGES) for of in parts.values() for n in of}
        return {s: source(*(f"{n}/{own[n]}" if own[n] else n for n in of), loose=not all(own[n] for n in of))
                for s, of in parts.items()}
    if lists := _lists(root):
        said = f"{' and '.join(sorted(lists.values()))} divide the data, for no configuration does"
        return {s: Source(root, (n,), config, tuple(absent), (*notes, said)) for s, n in lists.items()}
    if images and walk(root / images, follow_links=True):
        return {"all": source(images)}
    if walk(root, follow_links=True):
        return {"all": source("", loose=True)}
    if other := unread_in(root):
        raise DataError(str(config or root), "has no pictures that are read", other)
    raise DataError(str(config or root), "names no train, val or test images",
                    f"write train: images/train and val: images/val, or say {spelled('images')}")


def _lists(root: Path) -> dict[str, str]:
    """split -> its list of images, train.txt among them, as darknet has it; none where one holds something else."""
    found = {SPLIT_OF[n[:-4].lower()]: n for n in listing(root, {".txt"}) if n[:-4].lower() in SPLIT_OF}
    for name in found.values():
        first = next((s for s in text_of(read_bytes(root / name), root / name).splitlines() if s.strip()), "")
        if os.path.splitext(first.strip())[1].lower() not in SUFFIXES:
            return {}
    return found if "train" in found else {}


def looks_like(where: Path) -> bool:
    """Whether a folder holds YOLO data: a configuration, or text files of labels for images."""
    if find_config(where) is not None:
        return True
    labels = child(where, "labels")
    if labels and walk(where / labels, {".txt"}, follow_links=True):
        return True
    parts = [n for n in shown(where) if split_name(n) or _DARKNET.fullmatch(n)]
    parts += [n for n in (child(where, *_LABELS), child(where, *_IMAGES)) if n]
    parts += shown(where) if class_path(where) is not None else []  # of any names below a list of classes
    texts = listing(where, {".txt"}) + [f"{n}/{t}" for n in dict.fromkeys(parts)
                                        for t in walk(where / n, {".txt"}, follow_links=True)]
    stems = {_stem(p) for p in walk(where, follow_links=True)} if texts else set()
    own = [t for t in texts if _stem(t) in stems]
    return any(_row_like(where / t) for t in own[:: max(1, len(own) // 20)])


def has_rows(where: Path) -> bool:
    """Whether one of some text files below a folder begins as YOLO's do."""
    texts = walk(where, {".txt"}, follow_links=True)
    return any(_row_like(where / t) for t in texts[:: max(1, len(texts) // 40)])


def _stem(path: str) -> str:
    return same_letters(os.path.splitext(path.rpartition("/")[2])[0])


def _row_like(path: Path) -> bool:
    """Whether the first line of a text file begins with a class and four numbers."""
    try:
        with open(path, "rb") as f:
            words = f.read(400).lstrip(b"\xef\xbb\xbf").split(b"\n")[0].split()
        return len(words) >= 5 and words[0].isdigit() and all(float(w) > -1e9 for w in words)
    except (OSError, ValueError):
        return False


# ---------------------------------------------------------------- images and their labels


def image_files(source: Source) -> tuple[list[str], list[bytes], list[Path]]:
    """Names of the images inside the root, and the bytes and paths of the lists that named them. Raises DataError."""
    files: list[str] = []
    lists: list[bytes] = []
    paths: list[Path] = []
    known: Pictures | None = None
    root = source.root
    for entry in source.entries:
        path = root / entry
        if path.is_dir():
            files += [f"{entry}/{n}" if entry else n for n in walk(path, follow_links=True)]
        elif path.is_file() and path.suffix.lower() == ".txt":
            raw = read_bytes(path)
            lists.append(raw)
            paths.append(path)
            for k, line in enumerate(text_of(raw, path).splitlines()):
                name = plain_name(line.strip())
                if not name:
                    continue
                if Path(name).is_absolute() and Path(name).is_relative_to(root.resolve()):
                    name = Path(name).relative_to(root.resolve()).as_posix()
                beside = (Path(entry).parent / name).as_posix()
                if foreign(name) or not (root / name).exists():
                    if not foreign(beside) and (root / beside).exists():
                        name = beside
                    else:
                        known = known or Pictures(root, walk(root, follow_links=True))
                        try:
                            name = known.find(name) or _here(root, name)
                        except LookupError as e:
                            raise DataError(str(path), f"names {name!r}, which could be {str(e)}",
                                            "write paths relative to the data folder", f"line {k + 1}",
                                            "image") from None
                check_name(name, str(path), f"line {k + 1}", "image")
                files.append(name)
        elif path.is_file() and path.suffix.lower() in SUFFIXES:
            files.append(entry)
        else:
            raise DataError(str(source.config or root),
                            f"names {entry!r}, and {path} is neither a folder nor a list of images", "correct the path")
    return files, lists, paths


def _here(root: Path, name: str) -> str:
    """A name that no image has, with the folder that it means here: its labels are still to be found."""
    folder, _, last = name.rpartition("/")
    found = _shorter(root, folder) if folder else None
    return f"{found}/{last}" if found else name


def label_file(image: str) -> str:
    """The label file of an image: its last folder `images` (any case) becomes `labels`, its suffix .txt."""
    parts = image.split("/")
    for k in range(len(parts) - 2, -1, -1):
        if parts[k].lower() == "images":
            parts[k] = {"images": "labels", "IMAGES": "LABELS"}.get(parts[k], "Labels")
            break
    parts[-1] = Path(parts[-1]).stem + ".txt"
    return "/".join(parts)


class _Labels:
    """Finds label files; each folder is listed once."""

    def __init__(self, root: Path, given: Path | None):
        self.root, self.given = root, given
        self._there: dict[Path, dict[str, str]] = {}
        self._where: dict[str, list[Path]] = {}

    def _stems(self, folder: Path) -> dict[str, str]:
        if folder not in self._there:
            found: dict[str, str] = {}
            for n in listing(folder, {".txt"}):
                found.setdefault(same_letters(n[:-4]) + "/", n)  # any case; "/" keeps it apart from an exact one
                found[n[:-4]] = n
            self._there[folder] = found
        return self._there[folder]

    def _folders(self, image: str) -> list[Path]:
        """Where the labels of the images of one folder may lie, best first."""
        at = image.rpartition("/")[0]
        if at in self._where:
            return self._where[at]
        parts = at.split("/") if at else []
        out: list[Path] = []
        if self.given is not None:
            tails = ["/".join(parts[k:]) for k in range(len(parts) + 1)]
            out = [inside(self.given, t) if t else self.given for t in tails]
        else:
            for k in range(len(parts) - 1, -1, -1):
                if parts[k].lower() in [n.lower() for n in _IMAGES]:
                    above = self.root / "/".join(parts[:k])
                    for name in _LABELS:
                        if found := child(above, name):
                            out.append(inside(above / found, "/".join(parts[k + 1 :])))
                    break
            out.append(self.root / at)
            if labels := child(self.root, "labels"):
                out.append(inside(self.root / labels, at))
        self._where[at] = [p for p in dict.fromkeys(out) if p.is_dir()]
        return self._where[at]

    def find(self, image: str) -> Path | None:
        """The label file of an image; None where it has none."""
        stem = os.path.splitext(image.rpartition("/")[2])[0]
        for folder in self._folders(image):
            there = self._stems(folder)
            found = there.get(stem) or there.get(same_letters(stem) + "/")
            if found is not None:
                return folder / found
        return None

    def looked(self, image: str) -> str:
        """Where the labels of an image were looked for."""
        folders = self._folders(image) or [self.root / label_file(image).rpartition("/")[0]]
        return " and ".join(dict.fromkeys(str(f) for f in folders[:3]))


def read(
    where: Path, source: Source, *, split: str = "", images: str | Path | None = None, labels: str | Path | None = None,
    names: str | Path | Sequence[str] | None = None, follow_links: bool = False,
) -> Draft:
    """A draft of one split. `images`, `labels` name folders where they are not found; `names` the classes: a list, or a
    file of one a line. Raises DataError where nothing can be used; faults of single lines are collected."""
    config, doc, base, _ = _settings(where)
    root = source.root
    given = None if labels is None else given_folder(base, labels, "labels")
    notes = list(source.notes)
    classes, said = _names(base, root, source, doc, names, given, notes)
    points = _points(doc, config, notes)
    hashed = hashlib.sha256("\0".join(classes).encode("utf-8", "surrogatepass"))
    files, lists, used = image_files(source)
    for raw in lists:
        hashed.update(raw)
    finder = _Labels(root, given)
    found = [finder.find(f) for f in files]
    if source.loose:
        with_labels = {f.rpartition("/")[0] for f, p in zip(files, found) if p is not None}
        keep = [k for k, f in enumerate(files) if f.rpartition("/")[0] in with_labels]
        files, found = [files[k] for k in keep], [found[k] for k in keep]
    faults = [Fault(str(config), "", a.partition(":")[0], f"names {a.partition(': ')[2]!r}, which is not there",
                    "the data is read without it", True, "missing split") for a in source.absent]
    reader = _Lines(classes, points, faults)
    origin: list[str] = []
    sizes: list[tuple[int, int]] = []
    of: dict[Path, str] = {}
    for i, (name, path) in enumerate(zip(files, found)):
        try:
            size = header(root / name).size
        except DataError:
            size = (0, 0)  # vetted as missing or unreadable, by name
        sizes.append(size)
        origin.append(str(root / label_file(name) if path is None else path))
        if path is None:
            continue
        if path in of and of[path] != name:
            faults.append(Fault(str(path), "", "", f"is the label file of two images, {of[path]} and {name}",
                                "both are read with it; remove the one that it does not belong to", True,
                                "label of two images"))
        of.setdefault(path, name)
        raw = read_bytes(path)
        hashed.update(raw)
        reader.add(i, raw, path)
    reader.finish(sizes, config)
    bare = [n for n, p in zip(files, found) if p is None]
    notes += reader.notes
    if bare and len(bare) < len(files):
        notes.append(f"{len(bare)} of {len(files)} images have no label file and are read as images without objects, "
                     f"the first {bare[0]}")
    segments = reader.segments if any(s is not None for s in reader.segments) else None
    if segments is not None:
        faults += [Fault(origin[reader.image[k]], f"line {reader.record[k]}", "", "has no mask, where others have one",
                         "its box is taken as the mask", True, "no mask") for k, s in enumerate(segments) if s is None]
    kinds = ("boxes", *(("masks",) if segments is not None else ()), *(("keypoints",) if points is not None else ()))
    k = len(points.names) if points is not None else 0
    t = table(
        files, sizes, np.arange(len(files)), reader.image, np.array(reader.boxes, dtype=np.float64).reshape(-1, 4),
        reader.labels, origin, record=reader.record, word="line", segments=segments,
        keypoints=np.array(reader.keypoints, dtype=np.float64).reshape(-1, k, 3) if points is not None else None,
    )
    hint = (f"labels were looked for in {finder.looked(files[0])}; say {spelled('labels')} where "
            "they lie elsewhere") if bare and len(bare) == len(files) else ""
    read_files = {str(p) for p in [*used, *of, *([config] if config else []), *([said] if said else [])]}
    return Draft(root, FORMAT, t, Classes(classes), kinds, hashed.hexdigest(), str(source.config or where), faults,
                 points=points, follow_links=follow_links, out=reader.out, lost=reader.lost, notes=notes,
                 used=read_files, hint=hint, sized=False, spelt="centre")


def _class_path(base: Path, root: Path, source: Source, labels: Path | None) -> Path | None:
    """The first class list at the top, or in a folder of labels or of images."""
    above = [Path(e).parent for e in source.entries if Path(e).name.lower() in [n.lower() for n in _IMAGES]]
    folders = [base, *([labels] if labels else []), *(root / f for f in (child(root, "labels"), *source.entries)),
               *(root / a / f for a in above for n in _LABELS if (f := child(root / a, n)))]
    return next((p for f in folders if f.is_dir() and (p := class_path(f)) is not None), None)


def _names(base: Path, root: Path, source: Source, doc: Mapping[str, Any], names: Any, labels: Path | None,
           notes: list[str]) -> tuple[tuple[str, ...], Path | None]:
    """(class names, the file that lists them where it is not the configuration). Another list that disagrees is noted.
    Raises DataError."""
    listed: Path | None = None
    if names is not None:
        out = tuple(class_list(names, base))
    elif source.config is not None and (doc.get("names") is not None or source.config.suffix.lower() != ".data"):
        if source.config.suffix.lower() == ".data":
            listed = class_path(base)
        out = class_names(doc, source.config)
        other = None if listed else _class_path(base, root, source, labels)
        if other is not None and (theirs := tuple(class_list(other, base))) != out:
            notes.append(f"{other} lists other classes than {source.config.name}, or in another order "
                         f"({', '.join(theirs[:4])}{', ...' if len(theirs) > 4 else ''} and {', '.join(out[:4])}"
                         f"{', ...' if len(out) > 4 else ''}); those of {source.config.name} are taken")
        return out, listed
    else:
        listed = _class_path(base, root, source, labels)
        if listed is None:
            below = next((f"; {p} may be it: name that file itself" for p in sorted(base.glob("*/*.y*ml"))), "")
            raise DataError(str(base), "has neither a data.yaml nor a classes.txt", "write the class names into "
                            f"data.yaml: names: [first, second], or say {spelled('names')}{below}")
        out = tuple(class_list(listed, base))
    if len(set(out)) < len(out):
        twice = next(n for n in out if out.count(n) > 1)
        raise DataError(str(listed or names), f"the class {twice!r} is named twice", "give each class its own name")
    return out, listed


# ---------------------------------------------------------------- lines


@dataclass
class _Line:
    """A line with numbers: its image, file, place, class and what follows the class."""

    image: int
    path: Path
    number: int
    label: int
    values: list[float]
    text: str


@dataclass
class _Lines:
    """Columns grown from label files. What a sixth or seventh number is, is decided once for all files."""

    classes: tuple[str, ...]
    points: Points | None
    faults: list[Fault]
    image: list[int] = field(default_factory=list)
    boxes: list[Sequence[float]] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    record: list[int] = field(default_factory=list)
    segments: list[Any] = field(default_factory=list)
    keypoints: list[np.ndarray] = field(default_factory=list)
    out: set[int] = field(default_factory=set)
    lost: set[int] = field(default_factory=set)  # those of `out` of which nothing can be read
    notes: list[str] = field(default_factory=list)
    rows: list[_Line] = field(default_factory=list)

    def _leave(self, image: int, path: Path, record: str, problem: str, kind: str = "broken record") -> None:
        self.faults.append(Fault(str(path), record, "", problem, ONE_OUT if record else OUT, True, kind))
        self.out.add(image)
        if not record:
            self.lost.add(image)

    def add(self, image: int, raw: bytes, path: Path) -> None:
        """The lines of one file."""
        try:
            text = text_of(raw, path)
        except DataError as e:
            return self._leave(image, path, "", e.problem, "broken annotation")
        if text and not text.strip("\0\r\n\t "):
            if "\0" in text:
                self._leave(image, path, "", "is made of zeros: what it held is lost", "broken annotation")
            return None
        # a number is a place in the list, also where a class is called by a number
        index = {n: k for k, n in enumerate(self.classes) if not n.replace(".", "", 1).isdecimal()}
        for number, line in enumerate(text.splitlines(), 1):
            words = line.replace("\0", " ").split()
            if not words:
                continue
            try:
                values = [float(x) for x in _points_for_commas(words[1:])]
                first = float(index.get(words[0], words[0]))
            except ValueError:
                self._leave(image, path, f"line {number}", f"{line[:60]!r} are not numbers")
                continue
            label = int(first) if abs(first) < 1e9 and first == int(first) else -1
            if not 0 <= label < len(self.classes):
                self.faults.append(Fault(str(path), f"line {number}", "class", f"the class {words[0][:20]} is not one "
                                         f"of the {len(self.classes)} (0 to {len(self.classes) - 1})",
                                         "correct it, or add its name to data.yaml", False, "unknown class"))
                continue
            self.rows.append(_Line(image, path, number, label, values, line))
        return None

    def finish(self, sizes: Sequence[tuple[int, int]], config: Path | None = None) -> None:
        """What each line means, now that all are known."""
        if self.points is None and (found := _poses([r.values for r in self.rows])) is not None:
            k, each = found
            first = self.rows[[len(r.values) for r in self.rows].index(4 + k * each)]
            self.faults.append(Fault(
                str(first.path), f"line {first.number}", "", f"is a box and {k} keypoints of {each} numbers, as all "
                f"lines of {5 + k * each} numbers are, and no kpt_shape says so",
                f"write kpt_shape: [{k}, {each}] into {config or 'a data.yaml'}", False, "poses without kpt_shape"))
            self.rows = [r for r in self.rows if len(r.values) == 4]
        more = {n: [r.values for r in self.rows if len(r.values) == n] for n in (5, 6)} if self.points is None else {}
        sixth = [v[4] for v in more.get(5, ())]
        scored = bool(sixth) and all(0 <= s <= 1 or (0 <= s < 1e9 and s == int(s)) for s in sixth)
        # a triangle has fractions alone; `class box confidence track` has whole numbers beyond one at its end
        tracked = any(v[5] > 1 and v[5] == v[5] // 1 for v in more.get(6, ())) and all(
            0 <= v[4] <= 1 and v[5] >= 0 and v[5] == v[5] // 1 for v in more[6])
        if scored:
            sure = all(0 <= s <= 1 for s in sixth)
            self.notes.append(f"{len(sixth)} lines have a sixth number, as models write it "
                              f"({'confidences' if sure else 'confidences or numbers of tracks'}); it is left out"
                              + ("" if sure else ". Were they angles, these boxes would be read as if none was turned"))
        if tracked:
            self.notes.append(f"{len(more[6])} lines have a confidence and the number of a track; these are left out")
        if self.points is None and (turned := _turned([(r.values, *sizes[r.image]) for r in self.rows])):
            self.notes.append(f"{turned} lines are the four corners of turned boxes: they are read as outlines, and a "
                              "box is the upright one around them")
        for r in self.rows:
            n = len(r.values)
            if (n == 5 and scored) or (n == 6 and tracked):
                r.values = r.values[:4]
            self._line(r, *sizes[r.image])

    def _line(self, r: _Line, h: int, w: int) -> None:
        record, values, n = f"line {r.number}", r.values, len(r.values)
        segment: Any = None
        points = None
        is_box = n == 4 or (self.points is not None and n > 4)
        if not is_box and (n < 6 or n % 2 or self.points is not None):
            turned = "; a box that is turned is not read" if n == 5 else ""
            return self._leave(r.image, r.path, record,
                               f"has {n + 1} numbers; a box has 5, a polygon 7, 9, 11, ...{turned}")
        part = values[:4] if is_box else values
        if any(abs(v) > FAR for v in part if v == v and abs(v) != float("inf")):
            most = max(abs(v) for v in part)
            return self._leave(r.image, r.path, record,
                               f"{r.text[:60]!r} are no fractions of the picture ({most:g} is far "
                               "beyond 1): they look like pixels; divide them by its width and height", "not fractions")
        if is_box:
            cx, cy, bw, bh = values[:4]
            box = ((cx - bw / 2) * w, (cy - bh / 2) * h, (cx + bw / 2) * w, (cy + bh / 2) * h)
            if self.points is not None:
                points = self._pose(values[4:], w, h)
                if points is None:
                    self.faults.append(Fault(str(r.path), record, "", f"has {n - 4} numbers of keypoints, not "
                                             f"{len(self.points.names)} times 2 or 3",
                                             "they count as unlabelled", True, "broken keypoints"))
                    points = np.zeros((len(self.points.names), 3))
        else:
            xs, ys = [x * w for x in values[0::2]], [y * h for y in values[1::2]]
            box = (min(xs), min(ys), max(xs), max(ys))
            if not all(v - v == 0.0 for v in values):
                box = (float("nan"),) * 4
            segment = [[v for xy in zip(xs, ys) for v in xy]]
        self.image.append(r.image)
        self.boxes.append(box)
        self.labels.append(r.label)
        self.record.append(r.number)
        self.segments.append(segment)
        if points is not None:
            self.keypoints.append(points)
        return None

    def _pose(self, values: Sequence[float], w: int, h: int) -> np.ndarray | None:
        assert self.points is not None
        k = len(self.points.names)
        if len(values) not in (2 * k, 3 * k) or not np.isfinite(values).all():
            return None
        rows = np.array(values, dtype=np.float64).reshape(k, -1)
        seen = rows[:, 2:3] if rows.shape[1] == 3 else 2.0 * (rows > 0).any(1, keepdims=True)
        return np.concatenate([rows[:, :2] * np.array([w, h], dtype=np.float64) * (seen > 0), seen], 1)


def _points_for_commas(words: list[str]) -> list[str]:
    """Numbers with a decimal comma, as programs write them in some languages, with a point; others as they are. Of two
    commas, or of a comma beside a point, nobody knows what it is."""
    return [w.replace(",", ".") for w in words] if words and all(_COMMA.fullmatch(w) for w in words) else words


def _turned(rows: Sequence[tuple[Sequence[float], int, int]]) -> int:
    """How many of (numbers, height, width) are four corners of a rectangle that stands aslant in its picture; 0 where
    an outline is none of a rectangle."""
    corners = [np.reshape(v, (4, 2)) * (w, h) for v, h, w in rows if len(v) == 8]
    if not corners or any(len(v) > 5 and len(v) != 8 for v, _, _ in rows):
        return 0
    p = np.stack(corners)
    if not (np.abs(p) < 1e9).all():
        return 0
    one, two = p[:, 1] - p[:, 0], p[:, 2] - p[:, 1]
    long = np.maximum(np.linalg.norm(one, axis=1), np.linalg.norm(two, axis=1))
    right = np.abs((one * two).sum(1)) < 0.03 * np.linalg.norm(one, axis=1) * np.linalg.norm(two, axis=1) + 1e-9
    shut = np.abs(p[:, 0] + p[:, 2] - p[:, 1] - p[:, 3]).max(1) < 0.02 * long + 1
    aslant = np.minimum(np.abs(one), np.abs(two)).max(1) > 1
    return int(aslant.sum()) if (right & shut).all() else 0


def _poses(rows: Sequence[Sequence[float]]) -> tuple[int, int] | None:
    """(number of keypoints, numbers of each) where all lines but boxes are a box and its keypoints, and none is a
    polygon: of (x, y, v) every third number is 0, 1 or 2, which no fractions are; of (x, y) all lie in the box, and the
    box's width and height, taken for a point of a polygon, would often lie far from the others."""
    long = [r for r in rows if len(r) > 5]
    n = len(long[0]) if long else 0
    if n < 7 or any(len(r) != n for r in long):
        return None
    values = np.array(long, dtype=np.float64)
    if not np.isfinite(values).all():
        return None
    middle, side = values[:, None, :2], values[:, None, 2:4]
    for each in (3, 2):
        if (n - 4) % each:
            continue
        points = values[:, 4:].reshape(len(values), -1, each)
        seen = points[..., 2] > 0 if each == 3 else np.any(points > 0, axis=-1)
        beside: np.ndarray = np.any(np.abs(points[..., :2] - middle) > side / 2 + 0.01, axis=-1) & seen
        if beside.any(1).sum() > 0.05 * len(values) or not seen.any():
            continue
        if each == 3 and np.isin(points[..., 2], (0, 1, 2)).all():
            return points.shape[1], each
        others = np.where(seen[..., None], points[..., :2], middle)
        low, high = np.minimum(others.min(1), middle[:, 0]), np.maximum(others.max(1), middle[:, 0])
        far = ((side[:, 0] < 2 * low - high) | (side[:, 0] > 2 * high - low)).any(-1)
        if each == 2 and 4 * far.sum() > len(values):
            return points.shape[1], each
    return None


def _points(doc: Mapping[str, Any], config: Path | None, notes: list[str]) -> Points | None:
    shape = doc.get("kpt_shape")
    if shape is None:
        return None
    if (not isinstance(shape, list) or len(shape) != 2 or not all(type(v) is int for v in shape)
        or not 0 < shape[0] <= 1000 or shape[1] not in (2, 3)):
        raise DataError(str(config), "is not [number of keypoints, 2 or 3]", "write kpt_shape: [17, 3]",
                        field="kpt_shape")
    k = shape[0]
    flip = doc.get("flip_idx")
    good = isinstance(flip, list) and all(type(v) is int for v in flip) and sorted(flip) == list(range(k))
    names = _point_names(doc, k, notes)
    found = points_named(names or [f"point_{i}" for i in range(k)])
    return replace(found, flip=tuple(flip)) if good and isinstance(flip, list) else found


def _point_names(doc: Mapping[str, Any], k: int, notes: list[str]) -> list[str]:
    """The names of the k points that kpt_names gives every class, a list or one a class; none where it gives others,
    which is noted."""
    said = doc.get("kpt_names")
    if said is None:
        return []
    of = list(said.values()) if isinstance(said, dict) else said
    of = [of] if isinstance(of, list) and all(isinstance(n, str) for n in of) else of
    if isinstance(of, list) and of and all(isinstance(x, list) and len(x) == k and x == of[0] for x in of) and all(
            isinstance(n, str) for n in of[0]) and len(set(of[0])) == k:
        return list(of[0])
    notes.append(f"kpt_names is not read: it gives no {k} different names that are those of every class")
    return []
