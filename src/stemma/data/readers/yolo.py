"""YOLO: a data.yaml, folders or lists of images, and one text file of labels an image: boxes, polygons, or poses where
kpt_shape says so.

A line is `class cx cy w h`, or `class x y x y x y ...`, in fractions of the image.
An image without a label file has no objects.
"""
from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from stemma.core.types import Classes, DataError, Points

from ..images import SUFFIXES, check_name, header, listing
from ..records import Draft, Fault, table
from .coco import read_bytes, split_name
from .voc import class_file

FORMAT = "yolo"
_YAMLS = ("data.yaml", "data.yml", "dataset.yaml", "dataset.yml")


@dataclass(frozen=True)
class Source:
    """A split: what the YAML says of it (paths inside the root), and the YAML itself (None: a folder without one)."""

    entries: tuple[str, ...]
    config: Path | None


def find_config(where: Path) -> Path | None:
    """The data.yaml of a folder: by its name, or the only YAML there with `names`."""
    for name in _YAMLS:
        if (where / name).is_file():
            return where / name
    found = [where / n for n in listing(where, {".yaml", ".yml"}) if b"names" in read_bytes(where / n)]
    return found[0] if len(found) == 1 else None


def load_yaml(path: Path) -> dict[str, Any]:
    """A YAML mapping of plain values. Raises DataError; a tag that constructs objects is refused, never run."""
    raw = read_bytes(path)
    if b"<<" in raw and b"*" in raw:
        raise DataError(str(path), "uses merge keys (<<: *name), which can be nested to any size",
                        "write the values out")
    try:
        doc = yaml.load(raw, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
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
        raise DataError(str(path), f"is no YAML that can be read ({str(e)[:120]})", "correct it") from None
    if not isinstance(doc, dict):
        raise DataError(str(path), "is no mapping with 'names', 'train' and 'val'", "write a data.yaml")
    return doc


def class_names(doc: Mapping[str, Any], path: Path) -> tuple[str, ...]:
    """`names` as a list or as a mapping from 0, 1, 2, ... Raises DataError, also where `nc` disagrees."""
    names = doc.get("names")
    if isinstance(names, dict):
        if not all(type(k) is int for k in names) or sorted(names) != list(range(len(names))):
            raise DataError(str(path), "the keys of 'names' are not 0, 1, 2, ... without a gap",
                            "number the classes from 0", field="names")
        names = [names[k] for k in range(len(names))]
    if not isinstance(names, list) or not names or not all(isinstance(n, str | int | float) for n in names):
        raise DataError(str(path), "has no list of class names", "write names: [first, second]", field="names")
    out = tuple(str(n) for n in names)
    if len(set(out)) < len(out):
        twice = next(n for n in out if out.count(n) > 1)
        raise DataError(str(path), f"the class {twice!r} is named twice", "give each class its own name", field="names")
    if "nc" in doc and doc["nc"] != len(out):
        raise DataError(str(path), f"nc is {str(doc['nc'])[:20]}, and there are {len(out)} names",
                        "make them agree", field="nc")
    return out


def root_of(where: Path, doc: Mapping[str, Any] | None = None) -> Path:
    """The folder that paths of the YAML are relative to: its `path` where that lies inside the data folder and exists,
    else the YAML's own."""
    base = where.parent if where.is_file() else where
    inner = (doc or {}).get("path")
    if (isinstance(inner, str) and inner and not Path(inner).is_absolute() and ".." not in Path(inner).parts
        and (base / inner).is_dir()):
        return base / inner
    return base


def splits(where: Path, **_: Any) -> dict[str, Source]:
    """split -> source, from the YAML's train, val and test, or from the folders images/SPLIT and SPLIT/images."""
    config = where if where.is_file() else find_config(where)
    if config is not None:
        doc = load_yaml(config)
        out: dict[str, Source] = {}
        for key, value in doc.items():
            if isinstance(key, str) and split_name(key) and key.isalpha() and value:
                entries = value if isinstance(value, list) else [value]
                if not all(isinstance(v, str) for v in entries):
                    raise DataError(str(config), "is no path or list of paths",
                                    "name a folder of images or a .txt list", field=key)
                out[split_name(key)] = Source(tuple(_inside(v, root_of(config, doc), config, key) for v in entries),
                                              config)
        if out:
            return out
    for pattern in ("images/{}", "{}/images"):
        out = {}
        for name in ("train", "val", "valid", "validation", "test"):
            if listing(where / pattern.format(name)):
                out.setdefault(split_name(name), Source((pattern.format(name),), config))
        if out:
            return out
    for folder in ("images", "obj_train_data", ""):
        if listing(where / folder):
            return {"all": Source((folder,), config)}
    raise DataError(str(config or where), "names no train, val or test images",
                    "write train: images/train and val: images/val")


def _inside(entry: str, root: Path, config: Path, key: str) -> str:
    """An entry as a path inside the root. Leading `../` is tried without, as Roboflow writes it for files that lie
    beside the YAML."""
    text = entry.replace("\\", "/").strip()
    if Path(text).is_absolute() and Path(text).is_relative_to(root.resolve()):
        text = Path(text).relative_to(root.resolve()).as_posix()
    while text.startswith("../") and not (root / text[3:]).exists() and text.startswith("../../"):
        text = text[3:]
    if text.startswith("../") and (root / text[3:]).exists():
        text = text[3:]
    text = text.removeprefix("./").rstrip("/")
    if text not in ("", "."):
        check_name(text, str(config), field=key)
    return "" if text == "." else text


def image_files(root: Path, source: Source) -> tuple[list[str], list[bytes]]:
    """Names of the images inside the root, and the bytes of the lists that named them. Raises DataError."""
    files: list[str] = []
    lists: list[bytes] = []
    for entry in source.entries:
        path = root / entry
        if path.is_dir():
            files += [f"{entry}/{n}" if entry else n for n in listing(path)]
        elif path.is_file() and path.suffix.lower() == ".txt":
            raw = read_bytes(path)
            lists.append(raw)
            for k, line in enumerate(raw.decode("utf-8", "replace").splitlines()):
                name = line.strip().replace("\\", "/")
                if not name:
                    continue
                if Path(name).is_absolute() and Path(name).is_relative_to(root.resolve()):
                    name = Path(name).relative_to(root.resolve()).as_posix()
                check_name(name, str(path), f"line {k + 1}", "image")
                name = name.removeprefix("./")
                beside = (Path(entry).parent / name).as_posix()
                files.append(name if (root / name).exists() or not (root / beside).exists() else beside)
        elif path.is_file() and path.suffix.lower() in SUFFIXES:
            files.append(entry)
        else:
            raise DataError(str(source.config or root),
                            f"names {entry!r}, and {path} is neither a folder nor a list of images", "correct the path")
    return files, lists


def label_file(image: str) -> str:
    """The label file of an image: its last folder `images` becomes `labels`, its suffix .txt."""
    parts = image.split("/")
    for k in range(len(parts) - 2, -1, -1):
        if parts[k] == "images":
            parts[k] = "labels"
            break
    parts[-1] = Path(parts[-1]).stem + ".txt"
    return "/".join(parts)


def read(where: Path, source: Source, *, split: str = "", follow_links: bool = False) -> Draft:
    """A draft of one split. Raises DataError where nothing can be used; faults of single lines are collected."""
    doc = load_yaml(source.config) if source.config is not None else {}
    root = root_of(source.config, doc) if source.config is not None else where
    listed = None if source.config is not None else class_file(where) or class_file(where / "labels")
    if source.config is None and listed is None:
        raise DataError(str(where), "has neither a data.yaml nor a classes.txt",
                        "write the class names into data.yaml: names: [first, second]")
    names = class_names(doc, source.config) if source.config is not None else tuple(listed or ())
    points = _points(doc, source.config)
    hashed = hashlib.sha256("\0".join(names).encode("utf-8", "surrogatepass"))
    files, lists = image_files(root, source)
    for raw in lists:
        hashed.update(raw)
    faults: list[Fault] = []
    reader = _Lines(len(names), points, faults)
    origin: list[str] = []
    sizes: list[tuple[int, int]] = []
    for i, name in enumerate(files):
        try:
            size = header(root / name).size
        except DataError:
            size = (0, 0)  # vetted as missing or unreadable, by name
        sizes.append(size)
        path = root / label_file(name)
        origin.append(str(path))
        if path.is_file():
            raw = read_bytes(path)
            hashed.update(raw)
            reader.add(i, raw, str(path), size)
    segments = reader.segments if any(s is not None for s in reader.segments) else None
    kinds = ("boxes", *(("masks",) if segments is not None else ()), *(("keypoints",) if points is not None else ()))
    k = len(points.names) if points is not None else 0
    t = table(
        files, sizes, np.arange(len(files)), reader.image, np.array(reader.boxes, dtype=np.float64).reshape(-1, 4),
        reader.labels, origin, record=reader.record, word="line", segments=segments,
        keypoints=np.array(reader.keypoints, dtype=np.float32).reshape(-1, k, 3) if points is not None else None,
    )
    return Draft(root, FORMAT, t, Classes(names), kinds, hashed.hexdigest(), str(source.config or where), faults,
                 points=points, follow_links=follow_links)


class _Lines:
    """Columns grown from label files."""

    def __init__(self, classes: int, points: Points | None, faults: list[Fault]):
        self.classes, self.points, self.faults = classes, points, faults
        self.image: list[int] = []
        self.boxes: list[Sequence[float]] = []
        self.labels: list[int] = []
        self.record: list[int] = []
        self.segments: list[Any] = []
        self.keypoints: list[np.ndarray] = []

    def add(self, image: int, raw: bytes, path: str, size: tuple[int, int]) -> None:
        h, w = size
        for number, line in enumerate(raw.decode("utf-8", "replace").splitlines(), 1):
            words = line.split()
            if not words:
                continue
            record = f"line {number}"
            try:
                values = [float(x) for x in words]
            except ValueError:
                self.faults.append(Fault(path, record, "", f"{line[:60]!r} are not numbers", "the line is left out",
                                         True, "broken record"))
                continue
            label = (int(values[0]) if values[0] == values[0] and abs(values[0]) < 1e9 and values[0] == int(values[0])
                     else -1)
            if not 0 <= label < self.classes:
                self.faults.append(Fault(path, record, "class", f"the class {words[0][:20]} is not one of the "
                                         f"{self.classes} (0 to {self.classes - 1})",
                                         "correct it, or add its name to data.yaml", False, "unknown class"))
                continue
            segment: Any = None
            points = None
            n = len(values) - 1
            if n == 4 or (self.points is not None and n > 4):
                cx, cy, bw, bh = values[1:5]
                box = ((cx - bw / 2) * w, (cy - bh / 2) * h, (cx + bw / 2) * w, (cy + bh / 2) * h)
                if self.points is not None:
                    points = self._pose(values[5:], w, h)
                    if points is None:
                        self.faults.append(Fault(path, record, "", f"has {n - 4} numbers of keypoints, not "
                                                 f"{len(self.points.names)} times 2 or 3",
                                                 "they count as unlabelled", True, "broken keypoints"))
                        points = np.zeros((len(self.points.names), 3), dtype=np.float32)
            elif n >= 6 and n % 2 == 0 and self.points is None:
                xs, ys = [x * w for x in values[1::2]], [y * h for y in values[2::2]]
                box = (min(xs), min(ys), max(xs), max(ys))
                if not all(v - v == 0.0 for v in values):
                    box = (float("nan"),) * 4
                segment = [[v for xy in zip(xs, ys) for v in xy]]
            else:
                said = f"has {n + 1} numbers; a box has 5, a polygon 7, 9, 11, ..."
                self.faults.append(Fault(path, record, "", said, "the line is left out", True, "broken record"))
                continue
            self.image.append(image)
            self.boxes.append(box)
            self.labels.append(label)
            self.record.append(number)
            self.segments.append(segment)
            if points is not None:
                self.keypoints.append(points)

    def _pose(self, values: Sequence[float], w: int, h: int) -> np.ndarray | None:
        assert self.points is not None
        k = len(self.points.names)
        if len(values) not in (2 * k, 3 * k) or not np.isfinite(values).all():
            return None
        rows = np.array(values, dtype=np.float32).reshape(k, -1)
        seen = rows[:, 2:3] if rows.shape[1] == 3 else 2.0 * (rows > 0).any(1, keepdims=True)
        return np.concatenate([rows[:, :2] * np.array([w, h], dtype=np.float32) * (seen > 0), seen], 1)


def _points(doc: Mapping[str, Any], config: Path | None) -> Points | None:
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
    return Points(tuple(f"point_{i}" for i in range(k)),
                  tuple(flip) if good and isinstance(flip, list) else tuple(range(k)), (), (0.05,) * k)
