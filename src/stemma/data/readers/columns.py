"""COCO's JSON read record by record into columns, in the memory of the columns; and the columns kept on disk, so that a
large file is parsed once.

A document that is not plain is not read here: one that is no JSON as the standard has it (NaN, UTF-16, what is cut
short), or has hidden parts of objects. A record that is not plain is handed on as it stands. So what is wrong is named
where all other faults are, in the same words.
"""
from __future__ import annotations

import codecs
import hashlib
import io
import json
import mmap
import os
import re
import struct
import time
import zipfile
import zlib
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from math import nan
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np
from jaxtyping import Bool, Float, Int
from msgspec import Raw

from stemma.core import outputs
from stemma.core.samples import StemmaError
from stemma.core.values import told

from .amodal import LATER, VISIBLE
from .segments import Growing, Segments, Store

KEPT = 1 << 24  # bytes of a file from which on its columns are kept
_TURNED = re.compile(rb'"rotation"\s*:\s*"?-?[\d.]*[1-9]')
VERSION = 6  # of the kept columns, and of what `sound` says of them
_BLOCK = 1 << 22
_ROWS = 16  # that are parsed before their numbers are taken: few enough to lie in a processor's cache
_HIDDEN = ("regions", *VISIBLE, "amodal", *LATER)
_LOOKED = 20_000  # annotations that are looked at for what is said besides
_KNOWN = ("num_keypoints", "occlude_rate")
_YES_NO = (0, 1, None)
LISTS = (b'"images"', b'"annotations"', b'"categories"')
_LONG = re.compile(rb"[0-9]{4301}")  # a number that Python does not read, and msgspec passes over
_DAMAGED = (OSError, ValueError, KeyError, IndexError, EOFError, TypeError, RuntimeError, OverflowError, MemoryError,
            SyntaxError, struct.error, zlib.error, zipfile.BadZipFile, msgspec.MsgspecError)


_Id = Annotated[int, msgspec.Meta(ge=-(1 << 63), le=(1 << 63) - 1)]


class _Parts(msgspec.Struct, gc=False):
    """A document whose records are left as they stand."""

    images: list[Raw]
    annotations: list[Raw]
    categories: Raw


class _Row(msgspec.Struct, gc=False):
    """An annotation as COCO writes it."""

    id: _Id
    image_id: _Id
    category_id: _Id
    bbox: Annotated[list[float], msgspec.Meta(min_length=4, max_length=4)]
    segmentation: list[list[float]] | dict[str, Any] | None = None
    area: float | None = None
    iscrowd: bool | int | None = None
    ignore: bool | int | None = None
    keypoints: list[float] | msgspec.UnsetType = msgspec.UNSET
    regions: Raw | None = None
    visible_mask: Raw | None = None
    inmodal_seg: Raw | None = None
    vis_ratio: float | None = None
    a_segm: Raw | None = None
    i_segm: Raw | None = None
    amodal: Raw | None = None


def beside(a: Any) -> list[str]:
    """What an annotation says and is not read."""
    out = []
    for k, v in a.items() if isinstance(a, dict) else ():
        if k not in _Row.__struct_fields__ and k not in _KNOWN:
            out += told(v, ("rotation",)) if isinstance(v, dict) else told({k: v})
    return out


@dataclass
class Annotations:
    """n annotations as columns. Those that are not as COCO writes them are in `odd` too, as they stand but for the
    outline; their numbers here mean nothing."""

    number: Int[np.ndarray, " n"]
    image: Int[np.ndarray, " n"]
    category: Int[np.ndarray, " n"]
    boxes: Float[np.ndarray, "n 4"]  # x, y, width, height
    area: Float[np.ndarray, " n"]  # NaN where the file does not say
    visible: Float[np.ndarray, " n"]  # vis_ratio, the share of the box that can be seen; NaN where it is not said
    crowd: Bool[np.ndarray, " n"]
    ignore: Bool[np.ndarray, " n"]  # what COCO's older files have beside iscrowd
    segments: Segments
    points: Float[np.ndarray, " q"]  # the keypoints of all annotations, one behind the other
    lengths: Int[np.ndarray, " n"]  # how many of them each has; -1 without the field
    odd: dict[int, Any]
    sound: Bool[np.ndarray, " n"]  # those of which a vetting says nothing; none of `odd` is
    unread: dict[str, int] = field(default_factory=dict)  # what is said besides -> how often

    def __len__(self) -> int:
        return len(self.number)


class _Growing:
    """`Annotations` in the making."""

    def __init__(self) -> None:
        self.ids, self.lengths = array("q"), array("q")  # of an annotation, its picture and its category
        self.numbers, self.points, self.crowd, self.ignore = array("d"), array("d"), bytearray(), bytearray()
        self.segments, self.odd = Growing(), dict[int, Any]()
        self.unread, self.step, self.looked = Counter[str](), 1, 0

    def look(self, a: Any) -> None:
        """Count what an annotation says besides."""
        self.looked += 1
        self.unread.update(beside(a))

    def extend(self, rows: list[_Row]) -> None:
        self.ids.extend(chain.from_iterable([(a.id, a.image_id, a.category_id) for a in rows]))
        self.numbers.extend(chain.from_iterable([
            (*a.bbox, nan if a.area is None else a.area, nan if a.vis_ratio is None else a.vis_ratio) for a in rows]))
        self.crowd.extend([bool(a.iscrowd) for a in rows])
        self.ignore.extend([bool(a.ignore) for a in rows])
        self.segments.extend([a.segmentation or None for a in rows])
        for points in [a.keypoints for a in rows]:
            if type(points) is list:
                self.points.fromlist(points)
                self.lengths.append(len(points))
            else:
                self.lengths.append(-1)

    def add_odd(self, a: Any) -> None:
        self.odd[len(self.lengths)] = a
        self.segments.add((a.pop("segmentation", None) or None) if isinstance(a, dict) else None)
        self.ids.extend((0, 0, 0))
        self.numbers.extend((nan,) * 6)
        self.crowd.append(0)
        self.ignore.append(0)
        self.lengths.append(-1)

    def done(self) -> Annotations:
        some = f" (of {self.looked:,} that were looked at)" if self.step > 1 else ""
        unread = {what + some: n for what, n in self.unread.items()}
        number, image, category = np.array(self.ids, dtype=np.int64).reshape(-1, 3).T.copy()
        numbers = np.array(self.numbers, dtype=np.float64).reshape(-1, 6)
        return Annotations(number, image, category, numbers[:, :4].copy(), numbers[:, 4].copy(), numbers[:, 5].copy(),
                           np.array(self.crowd, dtype=bool), np.array(self.ignore, dtype=bool),
                           self.segments.segments(), np.array(self.points, dtype=np.float64),
                           np.array(self.lengths, dtype=np.int64), self.odd, np.zeros(len(number), dtype=bool), unread)


def gathered(rows: Iterable[Any]) -> Annotations:
    """The columns of annotations that are parsed already, all of them as they stand."""
    new = _Growing()
    for a in rows:
        new.look(a)
        new.add_odd(dict(a) if isinstance(a, dict) else a)
    return new.done()


# ---------------------------------------------------------------- a document


class NotPlain(Exception):
    """A document that must be read as a whole."""


class Document:
    """A COCO file of which one record at a time is parsed. Raises `NotPlain`."""

    def __init__(self, path: Path):
        try:
            with open(path, "rb") as f:
                self._bytes = mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError):
            raise NotPlain from None
        self.digest, self._gone = self._hash(), 0
        try:
            parts = msgspec.json.decode(self._bytes, type=_Parts)
            self._images, self._annotations, self.categories = parts.images, parts.annotations, _value(parts.categories)
        except (msgspec.DecodeError, RecursionError):
            raise NotPlain from None
        self._begin = self._at(self._bytes)
        lists = sorted((self._at(x[0]), self._at(x[-1])) for x in (self._images, self._annotations) if x)
        gaps = [(a - self._begin, b - self._begin) for a, b in zip(
            [self._begin, *(b for _, b in lists)], [*(a for a, _ in lists), self._begin + len(self._bytes)])]
        if any(_LONG.search(self._bytes, a, b) for a, b in gaps) or any(
                sum(self._bytes[a:b].count(key) for a, b in gaps) > 1 for key in LISTS):  # of two the last was taken
            raise NotPlain

    @staticmethod
    def _at(x: Any) -> int:
        """Where bytes lie in the memory."""
        at: int = np.frombuffer(x, np.uint8, 1).__array_interface__["data"][0]
        return at

    def _hash(self) -> str:
        """sha256 of the bytes, which are UTF-8."""
        found, text = hashlib.sha256(), codecs.getincrementaldecoder("utf-8")()
        begun = False  # a letter that goes on in the next block
        for at in range(0, len(self._bytes), _BLOCK):
            block = self._bytes[at : at + _BLOCK]
            found.update(block)
            if begun or not block.isascii():
                try:
                    text.decode(block, at + _BLOCK >= len(self._bytes))
                except UnicodeDecodeError:
                    raise NotPlain from None
                begun = bool(text.getstate()[0])
        return found.hexdigest()

    def images(self) -> Iterator[Any]:
        """The image records, whatever they are."""
        return map(_value, self._images)

    def annotations(self) -> Annotations:
        """The annotations as columns."""
        decode, new = msgspec.json.Decoder(_Row).decode, _Growing()
        plain: list[_Row] = []
        new.step = len(self._annotations) // _LOOKED + 1
        some_turned = self._bytes.find(b'"rotation"') >= 0
        for k, raw in enumerate(self._annotations):
            if k % new.step == 0:
                new.look(_value(raw))
            if memoryview(raw).nbytes > 4300 and _LONG.search(raw):
                raise NotPlain
            try:
                a = decode(raw)
            except msgspec.DecodeError:
                a = None
            if a is not None and not (a.regions is a.visible_mask is a.inmodal_seg is a.amodal is None
                                      and a.a_segm is a.i_segm is None):
                raise NotPlain
            sure = (a is not None and a.iscrowd in _YES_NO and a.ignore in _YES_NO
                    and not (some_turned and _TURNED.search(raw)))
            if a is not None and sure:
                plain.append(a)
                if len(plain) < _ROWS:
                    continue
            new.extend(plain)
            plain.clear()
            if not sure:
                whole = _value(raw)
                if isinstance(whole, dict) and not whole.keys().isdisjoint(_HIDDEN):
                    raise NotPlain
                new.add_odd(whole)
            self._forget(raw)
        new.extend(plain)
        self._annotations.clear()
        return new.done()

    def _forget(self, raw: Raw) -> None:
        """Give back the memory of what lies before a record."""
        if hasattr(mmap, "MADV_DONTNEED"):
            at = (self._at(raw) - self._begin) // mmap.PAGESIZE * mmap.PAGESIZE
            if at > self._gone + _BLOCK:
                self._bytes.madvise(mmap.MADV_DONTNEED, self._gone, at - self._gone)
                self._gone = at


def _value(raw: Raw | bytes) -> Any:
    """A part of a document as `json` has it. Raises `NotPlain`."""
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, ValueError, RecursionError):
        pass  # such as a number beyond any float, which json reads
    try:
        return json.loads(bytes(raw))
    except (ValueError, RecursionError):
        raise NotPlain from None


# ---------------------------------------------------------------- kept on disk


@dataclass
class Listed:
    """The I pictures of a document, in ascending id."""

    files: list[str]
    sizes: Int[np.ndarray, "I 2"]
    ids: Int[np.ndarray, " I"]
    keys: list[Any]  # the ids as the document has them (`ident`)
    faults: list[list[Any]]  # the fields of each `Fault`, less the file
    federated: list[dict[str, Any]]  # of LVIS's records, what says where was searched
    plain: bool  # nothing can be wrong with any of the files' names


@dataclass
class Plain:
    """What a plain document says."""

    digest: str
    categories: list[Any]
    images: Listed
    rows: Annotations


_COLUMNS = ("number", "image", "category", "boxes", "area", "visible", "crowd", "ignore", "lengths", "sound")


def _place(path: Path) -> Path:
    name = hashlib.sha256(os.path.realpath(path).encode("utf-8", "surrogateescape")).hexdigest()[:32]
    return outputs.cache() / "columns" / f"{name}.npz"


def stamp(path: Path) -> str | None:
    """By what a file is known to be the same as before; None for a small one, and for one that was written a moment
    ago, which could be written again within one tick of the clock."""
    try:
        s = path.stat()
    except (OSError, ValueError):
        return None
    if s.st_size < KEPT or abs(time.time() - s.st_mtime) < 2:
        return None
    return " ".join(map(str, (VERSION, s.st_size, s.st_mtime_ns, s.st_ctime_ns, s.st_ino)))


def keep(path: Path, known: str, kind: str, plain: Plain) -> None:
    """Columns onto the disk, for a file of this stamp. Where they cannot be written, the file is parsed again."""
    try:
        columns = _written(plain) | {"stamp": np.array([known]), "kind": np.array([kind])}
        outputs.replace(_place(path), lambda p: np.savez(p, **columns))
    except (StemmaError, OSError, RecursionError, MemoryError):
        pass  # a full or read-only disk, a record that is nested too deeply: nothing is lost but time


def _written(plain: Plain) -> dict[str, Any]:
    """The columns and, as JSON, the rest."""
    r, t, i = plain.rows, plain.rows.segments.store, plain.images
    text = {"digest": plain.digest, "categories": plain.categories, "files": i.files, "keys": i.keys,
            "faults": i.faults, "federated": i.federated, "plain": i.plain, "unread": r.unread,
            "odd": [list(r.odd), list(r.odd.values())], "others": [list(t.others), list(t.others.values())]}
    return {name: np.ascontiguousarray(getattr(r, name)) for name in _COLUMNS} | {
        "sizes": i.sizes, "ids": i.ids, "keypoints": r.points, "rings": t.rings, "first": t.first,
        "points": t.points, "text": np.frombuffer(json.dumps(text).encode(), dtype=np.uint8)}


def kind(path: Path, known: str) -> str:
    """The kind of a file of this stamp whose columns are kept; "" of another."""
    try:
        with np.load(_place(path), allow_pickle=False) as f:
            return str(f["kind"][0]) if f["stamp"].tolist() == [known] else ""
    except _DAMAGED:
        return ""


def kept(path: Path, known: str) -> Plain | None:
    """The columns of a file of this stamp; None where there are none, or others, or damaged ones."""
    try:
        c = _arrays(_place(path))
        if c["stamp"].tolist() != [known]:
            return None
        text = _value(c["text"].tobytes())
        store = Store(c["points"], c["rings"], c["first"], dict(zip(*text["others"], strict=True)))
        rows = Annotations(**{name: c[name] for name in _COLUMNS}, segments=Segments(store), points=c["keypoints"],
                           odd=dict(zip(*text["odd"], strict=True)), unread=text["unread"])
        images = Listed(text["files"], c["sizes"], c["ids"], text["keys"], text["faults"], text["federated"],
                        text["plain"])
        return Plain(text["digest"], text["categories"], images, rows)
    except (NotPlain, *_DAMAGED):
        return None


def _arrays(path: Path) -> dict[str, np.ndarray]:
    """What `np.load` gives of an .npz that is not compressed, its checksums held, in a fifth of the time: it reads a
    quarter of a megabyte at once, and each twice."""
    out: dict[str, np.ndarray] = {}
    room = path.stat().st_size
    with open(path, "rb") as f, zipfile.ZipFile(f) as z:
        for info in z.infolist():
            f.seek(info.header_offset + 26)
            f.seek(sum(struct.unpack("<HH", f.read(4))), io.SEEK_CUR)
            raw = np.empty(info.file_size if info.file_size <= room else 0, np.uint8)
            if info.compress_type or f.readinto(raw.data) != info.file_size or zlib.crc32(raw.data) != info.CRC:
                raise zipfile.BadZipFile
            head = io.BytesIO(raw[:4096].tobytes())
            np.lib.format.read_magic(head)
            shape, _, dtype = np.lib.format.read_array_header_1_0(head)
            out[info.filename.removesuffix(".npy")] = raw[head.tell() :].view(dtype).reshape(shape)
    return out


__all__ = ["Annotations", "Document", "Listed", "NotPlain", "Plain", "gathered", "keep", "kept", "kind",
           "stamp"]
