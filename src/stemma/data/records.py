"""What every file format is read into: one flat table of pictures and objects, its faults, and the data set over it.

Axes: I pictures, O objects of all pictures together (sorted by picture), N objects of one picture, K keypoints, H W
pixels of the file. A reader fills a `Draft`; `finish` vets it in whole columns,
mends what is safe and refuses the rest.
"""
from __future__ import annotations

import hashlib
import os
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from stemma.core.samples import IGNORE, Classes, DataError, Info, Points, Sample
from stemma.core.sentence import many

from .images import ROOMS, Header, check_name, cut_to_8_bits, header, may_be_wide, packed_in, read_image, white_of
from .misread import Spelt, misread
from .options import spelled
from .readers import rle
from .readers.segments import Segments

OnFault = Literal["mend", "refuse", "report"]
OUT = "the picture is left out"  # the mend of a record that cannot be read as the object that it may stand for
_LOSES = ("path", "unreadable image")
# pixels by which a box may leave its picture through rounding or 1-based counting: no fault; training clips it
SLACK = 1.0


class DataWarning(UserWarning):
    """Faults that were mended while a data set was opened, said once a split."""


@dataclass(frozen=True)
class Fault:
    """Something wrong with data: where, what, and what is done about it. `safe`: training mends it by itself.
    `picture`: the file, relative to the data's root, and `box` the place in it (x1, y1, x2, y2 in pixels) where that
    can be looked at."""

    file: str
    record: str
    field: str
    problem: str
    mend: str
    safe: bool = True
    kind: str = "other"
    picture: str = ""
    box: tuple[float, ...] = ()

    @classmethod
    def of(cls, error: DataError, kind: str, mend: str = "") -> Fault:
        """What an error says, as a fault of a kind. `mend`: what training does about it by itself; without it the
        error's own advice stands, and training does nothing."""
        return cls(error.file, error.record, error.field, error.problem, mend or error.mend, bool(mend), kind)

    def __str__(self) -> str:
        return str(self.error())

    def error(self) -> DataError:
        return DataError(self.file, self.problem, self.mend, self.record, self.field)

    def as_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return dict(vars(self)) | {"box": [v if np.isfinite(v) else None for v in self.box]}


@dataclass
class Table:
    """Columns over the pictures and objects of a split. Boxes are xyxy in file pixels, edges continuous."""

    files: list[str]  # relative to the root
    sizes: np.ndarray  # int64 (I, 2): height, width; 0 where the source does not say
    ids: np.ndarray  # int64 (I,)
    image: np.ndarray  # int64 (O,) ascending
    boxes: np.ndarray  # float64 (O, 4)
    labels: np.ndarray  # int64 (O,)
    crowd: np.ndarray  # bool (O,)
    area: np.ndarray  # float64 (O,), NaN where the source does not say
    record: np.ndarray  # int64 (O,) the source's number of each object, for messages
    source: list[str] | str  # the annotation file of each picture, or of all
    word: str = "object"  # what the source calls a record
    segments: Segments | None = None  # of each object, None where it has none
    keypoints: np.ndarray | None = None  # float64 (O, K, 3)
    maps: list[tuple[str, ...]] | None = None  # of each picture, relative to the root
    amodal: list[Any] | None = None  # segments of each object with its hidden part; None where that is not said
    depth: list[tuple[tuple[int, int], ...]] | None = None  # of each picture: (record in front, record behind)
    visible: np.ndarray | None = None  # float64 (O,) share of a box that can be seen, NaN where that is not said
    searched: list[tuple[np.ndarray, np.ndarray]] | None = None  # of each picture: labels that are absent, and partial

    def origin(self, i: int) -> str:
        return self.source if isinstance(self.source, str) else self.source[i]

    def objects(self, keep: np.ndarray) -> Table:
        """The table with the objects `keep` (bool mask or ascending index) alone."""
        at = np.flatnonzero(keep) if keep.dtype == bool else keep
        return replace(
            self, image=self.image[at], boxes=self.boxes[at], labels=self.labels[at], crowd=self.crowd[at],
            area=self.area[at], record=self.record[at], segments=None if self.segments is None
            else self.segments.take(at), keypoints=None if self.keypoints is None else self.keypoints[at],
            amodal=None if self.amodal is None else [self.amodal[k] for k in at],
            visible=None if self.visible is None else self.visible[at],
        )

    def images(self, keep: np.ndarray) -> Table:
        """The table with the pictures at the ascending index `keep` and their objects."""
        new = np.full(len(self.files), -1, dtype=np.int64)
        new[keep] = np.arange(len(keep))
        t = self.objects(new[self.image] >= 0)
        return replace(
            t, files=[self.files[k] for k in keep], sizes=self.sizes[keep], ids=self.ids[keep], image=new[t.image],
            source=self.source if isinstance(self.source, str) else [self.source[k] for k in keep],
            maps=None if self.maps is None else [self.maps[k] for k in keep],
            depth=None if self.depth is None else [self.depth[k] for k in keep],
            searched=None if self.searched is None else [self.searched[k] for k in keep],
        )


def table(
    files: list[str], sizes: Any, ids: Any, image: Any, boxes: Any, labels: Any, source: list[str] | str, *,
    crowd: Any = None, area: Any = None, record: Any = None, word: str = "object",
    segments: Segments | list[Any] | None = None, keypoints: np.ndarray | None = None,
    maps: list[tuple[str, ...]] | None = None,
    amodal: list[Any] | None = None, depth: list[tuple[tuple[int, int], ...]] | None = None, visible: Any = None,
) -> Table:
    """A `Table` from columns in any order of objects, with the dtypes that it promises."""
    at = np.asarray(image, dtype=np.int64).reshape(-1)
    n = len(at)
    order = np.argsort(at, kind="stable")
    return Table(
        files=files, sizes=np.asarray(sizes, dtype=np.int64).reshape(-1, 2), ids=np.asarray(ids, dtype=np.int64)
        .reshape(-1), image=at[order], boxes=np.asarray(boxes, dtype=np.float64).reshape(-1, 4)[order],
        labels=np.asarray(labels, dtype=np.int64).reshape(-1)[order],
        crowd=(np.zeros(n, dtype=bool) if crowd is None else np.asarray(crowd, dtype=bool).reshape(-1))[order],
        area=(np.full(n, np.nan) if area is None else np.asarray(area, dtype=np.float64).reshape(-1))[order],
        record=(np.arange(n, dtype=np.int64) if record is None
                else np.asarray(record, dtype=np.int64).reshape(-1))[order],
        source=source, word=word, segments=None if segments is None else
        (segments if isinstance(segments, Segments) else Segments.of(segments)).take(order),
        keypoints=None if keypoints is None else np.asarray(keypoints, dtype=np.float64)[order], maps=maps,
        amodal=None if amodal is None else [amodal[k] for k in order], depth=depth,
        visible=None if visible is None else np.asarray(visible, dtype=np.float64).reshape(-1)[order],
    )


class Layers(Protocol):
    """Reads the maps of one picture into its sample: instance ids, classes or panoptic segments."""

    def __call__(self, sample: Sample, paths: tuple[Path, ...], wanted: frozenset[str]) -> None: ...


@dataclass
class Draft:
    """A split as its reader found it, before it is vetted."""

    root: Path
    format: str
    table: Table
    classes: Classes
    kinds: tuple[str, ...]
    digest: str  # of the annotation bytes
    source: str  # the file or folder of the annotations, for messages
    faults: list[Fault] = field(default_factory=list)
    semantic: Classes | None = None
    panoptic: Classes | None = None
    points: Points | None = None
    layers: Layers | None = None
    counted: bool = True  # objects are in the table; False: they are found in the maps, one picture at a time
    follow_links: bool = False
    out: set[int] = field(default_factory=set)  # pictures of which an object cannot be read: they are left out
    notes: list[str] = field(default_factory=list)  # how the data is read where that could be doubted; said once
    used: set[str] = field(default_factory=set)  # files that were read besides pictures and maps
    sized: bool = True  # the source says the sizes of the pictures
    hint: str = ""  # what to do where no picture has an object
    frequency: tuple[str, ...] = ()  # of the classes of federated data
    crowds: str = "crowds"  # what the format calls objects that do not count
    unmark: str = "write iscrowd 0"
    spelt: Spelt = ""  # what the four numbers of its boxes are
    numbered: bool = False  # its pictures and objects have numbers of their own, which are kept
    unread: dict[str, int] = field(default_factory=dict)  # what it says of objects besides and is not read -> how often

    def images(self, keep: np.ndarray) -> Draft:
        """The draft with the pictures at the ascending index `keep`."""
        new = {int(old): k for k, old in enumerate(keep)}
        return replace(self, table=self.table.images(keep), out={new[i] for i in self.out if i in new})


Reads = tuple[Path, Sequence[str], Sequence[tuple[str, ...]], set[str]]  # root, pictures, maps, other files


def reads_of(draft: Draft) -> Reads:
    """What `used_by` makes paths of."""
    return draft.root, draft.table.files, draft.table.maps or (), draft.used


def used_by(reads: Reads) -> frozenset[str]:
    """Absolute paths of the pictures, maps and files of annotations that a draft names."""
    root, files, maps, others = reads
    there = {os.path.abspath(os.path.join(root, f)) for f in (*files, *(m for row in maps for m in row))}
    return frozenset(there | {os.path.abspath(f) for f in others})


class Folder:
    """Sizes in bytes of the files under a root, each directory listed once; names that lead outside are refused."""

    def __init__(self, root: Path, follow_links: bool = False):
        self.root, self.follow = root, follow_links
        self.base = os.path.realpath(root)
        self._seen: dict[str, dict[str, tuple[int, bool]]] = {}
        self.known: dict[str, int] = {}  # bytes of the files inside the root that were listed, by their plain names

    def _inside(self, path: str) -> bool:
        real = os.path.realpath(path)
        return self.follow or real == self.base or real.startswith(self.base.rstrip(os.sep) + os.sep)

    def _list(self, directory: str) -> dict[str, tuple[int, bool]]:
        found: dict[str, tuple[int, bool]] = {}
        path = os.path.join(self.root, directory)
        try:
            with os.scandir(path) as entries:
                inside = self._inside(path)
                for e in entries:
                    if e.is_symlink():
                        found[e.name] = (os.stat(e.path).st_size if os.path.exists(e.path) else -1,
                                         self._inside(e.path))
                    elif e.is_file():
                        found[e.name] = (e.stat().st_size, inside)
        except (FileNotFoundError, NotADirectoryError, ValueError, OSError):
            return found  # every file in it will be reported as missing
        return found

    def size(self, name: str, source: str = "", record: str = "", fld: str = "file_name") -> int:
        """Bytes of the file `name`, -1 where there is none. Raises DataError where it leads outside."""
        check_name(name, source or str(self.root), record, fld)
        directory, _, file = (name.replace("\\", "/") if "\\" in name else name).rpartition("/")
        if directory not in self._seen:
            there = self._seen[directory] = self._list(directory)
            start = f"{directory}/" if directory else ""
            self.known |= {start + n: size for n, (size, inside) in there.items() if inside and size >= 0}
        size, inside = self._seen[directory].get(file, (-1, True))
        if not inside:
            raise DataError(
                source or str(self.root), f"{name!r} is a link that leads outside the data folder {self.root}",
                f"copy the file into the folder, or say {spelled('follow_links')}", record, fld,
            )
        return size


class Records:
    """A split of a data set on disk (the core `Dataset` protocol). `faults` lists what was wrong with it,
    mended ones included.

    `narrow` gives a view that prepares only the kinds of target asked for: decoding masks that nobody uses is the cost
    of opening a picture.
    """

    def __init__(self, table: Table, info: Info, draft: Draft, faults: list[Fault], split: str,
                 bytes_of: Sequence[int]):
        self.table, self._info, self.root, self.split, self.faults = table, info, draft.root, split, faults
        self.layers, self.counted, self.notes, self.sized = draft.layers, draft.counted, draft.notes, draft.sized
        self.numbered, self.unread = draft.numbered, draft.unread
        self.source = split  # the data's own split that this is a part of
        self._reads = reads_of(draft)
        self.wanted = frozenset(info.kinds)
        self._digest, self._bytes = draft.digest, list(bytes_of)
        self._start = np.searchsorted(table.image, np.arange(len(table.files) + 1))
        self._print: str | None = None

    def __repr__(self) -> str:
        return (f"{self._info.name}[{self.split}]: {len(self)} pictures, {len(self._info.classes)} classes, "
                f"{self._info.format}")

    @property
    def info(self) -> Info:
        return self._info

    @property
    def annotations(self) -> str:
        """sha256 of the annotation bytes."""
        return self._digest

    @property
    def used(self) -> frozenset[str]:
        """`used_by` of what was read, pictures that were left out included."""
        return used_by(self._reads)

    @property
    def fingerprint(self) -> str:
        """sha256 over the annotation bytes and the names and sizes of the pictures and maps of this split."""
        if self._print is None:
            h = hashlib.sha256(self._digest.encode())
            for name, size in zip(self.table.files, self._bytes):
                h.update(f"{name}\0{size}\n".encode("utf-8", "surrogatepass"))
            for maps in self.table.maps or ():  # maps are the annotations: their bytes count
                for m in maps:
                    path = self.root / m
                    h.update(m.encode("utf-8", "surrogatepass") + (path.read_bytes() if path.is_file() else b"\0"))
            h.update("\0".join(self._info.classes.names).encode("utf-8", "surrogatepass"))
            self._print = h.hexdigest()
        return self._print

    def narrow(self, kinds: Iterable[str]) -> Records:
        """The same split, preparing these kinds of target alone ("boxes" and labels always come)."""
        new = object.__new__(Records)
        new.__dict__.update(self.__dict__)
        new.wanted = frozenset(kinds) & frozenset(self._info.kinds)
        return new

    def part(self, at: Sequence[int]) -> Records:
        """The pictures at the ascending index `at` alone."""
        new = object.__new__(Records)
        new.__dict__.update(self.__dict__)
        new.table, new._bytes, new._print = self.table.images(np.asarray(at)), [self._bytes[i] for i in at], None
        new._start = np.searchsorted(new.table.image, np.arange(len(at) + 1))
        return new

    def with_white(self, white: float) -> Records:
        """The same split, its wide pictures read at the scale of another set: of that which a model was trained on."""
        new = object.__new__(Records)
        new.__dict__.update(self.__dict__)
        new._info = replace(self._info, white=white)
        return new

    def __len__(self) -> int:
        return len(self.table.files)

    def path(self, i: int) -> Path:
        """The picture's file."""
        return self.root / self.table.files[i]

    def rows(self, i: int) -> slice:
        """Where the objects of a picture stand in the table."""
        return slice(int(self._start[i]), int(self._start[i + 1]))

    def __getitem__(self, i: int) -> Sample:
        path = self.path(i)
        size = (int(self.table.sizes[i, 0]), int(self.table.sizes[i, 1]))
        image = read_image(path, expect=size, white=self._info.white)
        if image.shape[:2] != size:
            raise size_error(str(path), self.table.origin(i), image.shape[:2], size)
        sample = self.truth(i)
        sample.image, sample.visible = image, None
        limit = np.array([size[1], size[0], size[1], size[0]], dtype=np.float32)
        sample.boxes, sample.area = np.clip(sample.boxes.astype(np.float32), 0.0, limit), sample.area.astype(np.float32)
        if sample.keypoints is not None:
            sample.keypoints = sample.keypoints.astype(np.float32)
        return sample

    def truth(self, i: int) -> Sample:
        """The sample without its picture. Boxes, areas and keypoints are float64 and as the file has them: what is
        measured is not rounded."""
        if not -len(self) <= i < len(self):
            raise IndexError(i)
        i %= len(self)
        t = self.table
        at = self.rows(i)
        h, w = int(t.sizes[i, 0]), int(t.sizes[i, 1])
        sample = Sample(
            image=None, size=(h, w), boxes=t.boxes[at].copy(), labels=t.labels[at].copy(), crowd=t.crowd[at].copy(),
            area=t.area[at].copy(), file=str(self.path(i)), id=int(t.ids[i]),
            visible=None if t.visible is None else t.visible[at].copy(),
        )
        if t.searched is not None:
            sample.extra["absent"], sample.extra["partial"] = t.searched[i]
        if t.keypoints is not None and "keypoints" in self.wanted:
            sample.keypoints = t.keypoints[at].copy()
        if self.layers is not None and t.maps is not None:
            sample.extra["record"] = t.record[at]
            self.layers(sample, tuple(self.root / m for m in t.maps[i]), self.wanted)
        elif t.segments is not None and self.wanted & {"masks", "semantic", "amodal"}:
            try:
                masks = rle.decode_all(t.segments[at], t.boxes[at], h, w)
                if t.amodal is not None and "amodal" in self.wanted:
                    whole = [s if a is None else a for a, s in zip(t.amodal[at], t.segments[at], strict=True)]
                    sample.amodal = rle.decode_all(whole, t.boxes[at], h, w) | masks
            except (ValueError, OverflowError) as e:
                said = f"has a mask that cannot be decoded ({e})"
                raise DataError(t.origin(i), said, "run `stemma doctor` on the data", f"image {t.ids[i]}",
                                "segmentation") from None
            if "semantic" in self.wanted:
                sample.semantic = paint(masks, sample.labels + 1, sample.crowd, sample.area)
            if "masks" in self.wanted:
                sample.masks = masks
            if t.depth is not None:
                place = {int(r): k for k, r in enumerate(t.record[at])}
                both = [(place[a], place[b]) for a, b in t.depth[i] if a in place and b in place]
                sample.extra["depth"] = np.asarray(both, dtype=np.int64).reshape(-1, 2)
        return sample

    def counts(self) -> np.ndarray:
        """int64 (C,): objects of each class, crowds included. Reads every map where objects live in maps."""
        c = len(self._info.classes)
        if self.counted:
            return np.bincount(self.table.labels, minlength=c)
        view = self.narrow({"boxes"})
        out = np.zeros(c, dtype=np.int64)
        for i in range(len(view)):
            out += np.bincount(view.truth(i).labels, minlength=c)
        return out


def size_error(file: str, source: str, found: Sequence[int], declared: Sequence[int]) -> DataError:
    """The fault of a picture that has not the size its annotations declare."""
    return DataError(
        file, f"is {found[1]} x {found[0]} pixels, and {source} says {declared[1]} x {declared[0]}: the boxes belong "
        "to another picture",
        "correct width and height in the annotations, or put the right picture there", field="size",
    )


def paint(masks: np.ndarray, labels: np.ndarray, crowd: np.ndarray, area: np.ndarray) -> np.ndarray:
    """uint8 (H, W) semantic map from masks (N, H, W): 0 background, the small over the large, crowds ignored (255)."""
    out = np.zeros(masks.shape[1:], dtype=np.uint8)
    for k in np.lexsort((-area, ~crowd)):  # crowds first, so that what is labelled singly shows
        out[masks[k]] = IGNORE if crowd[k] else labels[k]
    return out


def with_background(classes: Classes) -> Classes:
    """The classes of a semantic map painted from objects: "background", then the objects' own."""
    name = "background"
    while name in classes.names:
        name += "_"
    return Classes((name, *classes.names), (0, *range(1, len(classes) + 1)), (False, *classes.things),
                   ("", *classes.parent))


# ---------------------------------------------------------------- vetting


def vet(
    t: Table, root: Path, follow_links: bool = False, out: Iterable[int] = ()
) -> tuple[Table, list[Fault], list[int]]:
    """Faults of a table's pictures and boxes, the table with the safe ones mended,
    and the bytes of each picture left. `out`: pictures of which an object cannot be read.

    No object is dropped from a picture that stays: what is not known to be an object would be trained as background.
    """
    faults: list[Fault] = []
    folder = Folder(root, follow_links)
    keep = np.ones(len(t.files), dtype=bool)
    found = [-1] * len(t.files)
    twice: dict[str, int] = {}
    unreadable = set(out)
    for i, name in enumerate(t.files):
        found[i] = folder.known.get(name, -1)
        if found[i] >= 0 and t.maps is None and name not in twice:
            twice[name] = i
            continue
        record = f"image {t.ids[i]}"
        try:
            found[i] = folder.size(name, t.origin(i), record)
            for m in t.maps[i] if t.maps is not None else ():
                folder.size(m, t.origin(i), record, "map")
        except DataError as e:
            faults.append(Fault.of(e, "path"))
            keep[i] = False
            continue
        if found[i] < 0:
            faults.append(Fault(t.origin(i), record, "file_name", f"the image {name} is not there",
                                "its record is left out", True, "missing image"))
            keep[i] = False
        elif name in twice:
            first = twice[name]
            same = not isinstance(t.source, str) and _alike(t, first, i) and (first in unreadable) >= (i in unreadable)
            other = "" if same or isinstance(t.source, str) else f" by {t.origin(first)}, with other objects"
            faults.append(Fault(t.origin(i), record, "file_name",
                                f"the image {name} is listed before{other}, as image {t.ids[first]}",
                                "the second record is left out" if same else "put all of its objects into one of the "
                                "two records and remove the other" if other else "remove one of the two records", same,
                                "image listed twice"))
            keep[i] = False
        else:
            twice[name] = i
    for i in np.flatnonzero(keep & (t.sizes <= 0).any(1)).tolist():
        try:
            drawn = [root / m for m in t.maps[i]] if t.maps is not None else []
            t.sizes[i] = _drawn_on(header(root / t.files[i]), drawn)
        except DataError as e:
            faults.append(Fault(e.file, f"image {t.ids[i]}", "", e.problem, "its record is left out", True,
                                "unreadable image"))
            keep[i] = False
    sizes = np.array(found, dtype=np.int64)
    lost = np.zeros(len(t.files), dtype=bool)
    lost[list(unreadable)] = True
    if not keep.all():
        at = np.flatnonzero(keep)
        t, sizes, lost = t.images(at), sizes[at], lost[at]
    t, more, left = vet_boxes(t, lost)
    return t, faults + more, sizes[left].tolist()


def _alike(t: Table, one: int, two: int) -> bool:
    """Whether two records of one picture say the same of it: their objects, or their maps."""
    if t.maps is not None and t.maps[one] != t.maps[two]:
        return False
    rows = []
    for i in (one, two):
        a, b = np.searchsorted(t.image, (i, i + 1))
        found = np.concatenate([t.boxes[a:b], t.labels[a:b, None], t.crowd[a:b, None]], 1)
        rows.append(found[np.lexsort(found.T)])
    return np.array_equal(rows[0], rows[1], equal_nan=True)


_BLOCK = 1 << 14  # boxes whose columns stay in a processor's cache


def _blocks(judge: Callable[..., np.ndarray], *columns: np.ndarray) -> np.ndarray:
    """What `judge` says of columns (M, ...), asked block by block: (..., M)."""
    starts = range(0, max(len(columns[0]), 1), _BLOCK)
    return np.concatenate([judge(*(c[k : k + _BLOCK] for c in columns)) for k in starts], -1)


def _judged(b: np.ndarray, hw: np.ndarray) -> np.ndarray:
    """bool (4, M): which boxes (M, 4) in pictures (M, 2) are not finite, have no extent, lie outside, reach outside."""
    limit = hw[:, [1, 0, 1, 0]].astype(np.float64)
    with np.errstate(invalid="ignore"):
        broken = ~np.isfinite(b).all(1)
        flat = ~broken & ((b[:, 2] <= b[:, 0]) | (b[:, 3] <= b[:, 1]))
        cut = np.clip(b, 0.0, limit)
        gone = ~broken & ~flat & ((cut[:, 2] <= cut[:, 0]) | (cut[:, 3] <= cut[:, 1]))
        over = ~broken & ~flat & ~gone & ((b < -SLACK) | (b > limit + SLACK)).any(1)
    return np.stack([broken, flat, gone, over])


def vet_boxes(t: Table, out: np.ndarray) -> tuple[Table, list[Fault], np.ndarray]:
    """Faults of the boxes and masks alone, the table without the pictures of which a box cannot be meant (NaN, without
    extent, outside the picture) and those that are `out` (bool, I), and the ascending index of those that stay. Such a
    box is taken from the object's mask where that is sound; broken masks fall back to the box. A crowd without extent
    or outside its picture is left out alone: within the picture it hides nothing."""
    faults: list[Fault] = []
    b = t.boxes
    hw = t.sizes[t.image]
    broken, flat, gone, over = _blocks(_judged, b, hw)

    def say(rows: np.ndarray, problem: str, mend: str, kind: str) -> None:
        for k in np.flatnonzero(rows):
            i = int(t.image[k])
            x1, y1, x2, y2 = (f"{v:.6g}" for v in b[k])
            faults.append(Fault(
                t.origin(i), f"{t.word} {t.record[k]} of {t.files[i]}", "box",
                problem.format(box=f"({x1}, {y1}, {x2}, {y2})", w=hw[k, 1], h=hw[k, 0]), mend, True, kind,
                t.files[i], tuple(b[k].tolist()),
            ))

    around = _around_masks(t, broken | flat | gone)
    drawn = np.isfinite(around[:, 0])
    aside = (flat | gone) & t.crowd & ~drawn & ~_masked_inside(t, (flat | gone) & t.crowd)
    for rows, problem, kind in (
        (broken, "the box {box} is not made of finite numbers", "box not finite"),
        (flat, "the box {box} has no extent", "degenerate box"),
        (gone, "the box {box} lies outside the picture of {w} x {h}", "box outside"),
    ):
        say(rows & ~aside & ~drawn, problem, OUT, kind)
        say(rows & drawn, problem, "it is taken from the mask", kind)
        say(rows & aside, problem.replace("{box}", "{box} of what does not count"), "it is left out", kind)
    say(over, "the box {box} reaches outside the picture of {w} x {h}", "it is clipped", "box partly outside")
    wrong = (broken | flat | gone) & ~aside & ~drawn
    boxes = b.copy()
    boxes[over] = np.clip(b[over], 0.0, hw[over][:, [1, 0, 1, 0]])
    boxes[drawn] = around[drawn]
    boxes[wrong] = 0.0
    t = replace(t, boxes=boxes)
    stays = ~out
    stays[t.image[wrong]] = False
    if aside.any():
        t = t.objects(~aside)
    left = np.flatnonzero(stays)
    if len(left) < len(t.files):
        t = t.images(left)
    if t.segments is not None:
        t, more = _vet_masks(t)
        faults += more
    unknown = ~(t.area > 0)
    if unknown.any():
        area = t.area.copy()
        area[unknown] = (t.boxes[unknown, 2] - t.boxes[unknown, 0]) * (t.boxes[unknown, 3] - t.boxes[unknown, 1])
        for k in np.flatnonzero(unknown).tolist():
            if t.segments is not None and t.segments[k] is not None:
                h, w = t.sizes[t.image[k]]
                area[k] = rle.area(t.segments[k], int(h), int(w))
        t = replace(t, area=area)
    return t, faults, left


def _around_masks(t: Table, of: np.ndarray) -> np.ndarray:
    """float64 (O, 4): of the objects `of` (bool, O) the boxes around their masks, within their pictures; NaN of the
    others, and where there is no sound mask."""
    out = np.full((len(t.image), 4), np.nan)
    for k in np.flatnonzero(of).tolist():
        h, w = t.sizes[t.image[k]].tolist()
        segment = None if t.segments is None else t.segments[k]
        found, _ = (None, "") if segment is None else rle.around(segment, h, w)
        box = np.clip(found if found is not None else np.zeros(4), 0.0, [w, h, w, h])
        if box[2] > box[0] and box[3] > box[1]:
            out[k] = box
    return out


def _masked_inside(t: Table, of: np.ndarray) -> np.ndarray:
    """bool (O,): which of the objects `of` (bool, O) have a mask that reaches into their picture, or may: one that is
    not known to be sound polygons."""
    found = np.zeros(len(t.image), dtype=bool)
    at = np.flatnonzero(of)
    if t.segments is not None and len(at):
        odd = t.segments.take(at).odd()
        found[at[odd]] = True
        at = np.delete(at, odd)
        around, (h, w) = t.segments.take(at).bounds(), t.sizes[t.image[at]].T
        with np.errstate(invalid="ignore"):
            found[at] = ((around[:, :2] < np.stack([w, h], 1)) & (around[:, 2:] > 0)).all(1)
    return found


def _vet_masks(t: Table) -> tuple[Table, list[Fault]]:
    faults: list[Fault] = []
    assert t.segments is not None
    sizes = t.sizes[t.image]
    wrong: dict[int, str] = {}
    new: dict[int, Any] = {}
    odd = {k: t.segments[k] for k in t.segments.odd()}
    strings: list[int] = []

    def fault(k: int, problem: str, mend: str, kind: str) -> None:
        i = int(t.image[k])
        faults.append(Fault(t.origin(i), f"{t.word} {t.record[k]} of {t.files[i]}", "segmentation", problem, mend, True,
                            kind, t.files[i], tuple(t.boxes[k].tolist())))

    for k, seg in odd.items():
        said = rle.problem(seg, *sizes[k].tolist())
        if said and (other := rle.respelled(seg)) is not None and not rle.problem(other, *sizes[k].tolist()):
            new[k] = rle.compact(other)
            fault(k, "the polygon is not written as a list of flat lists [[x, y, x, y, ...]]", "it is read as one",
                  "polygon in other brackets")
        elif said:
            wrong[k] = said
        elif isinstance(seg, list):
            new[k] = rle.compact(seg)
        elif isinstance(seg["counts"], str | bytes):
            strings.append(k)
    for lo in range(0, len(strings), 4096):
        part = strings[lo : lo + 4096]
        bad = rle.string_faults([odd[k]["counts"] for k in part], sizes[part].prod(1))
        wrong.update({part[j]: "has run lengths that do not fill the picture" for j in np.flatnonzero(bad)})
    runs = [k for k, seg in odd.items() if k not in wrong and isinstance(seg, dict)]
    wrong.update({k: "has no pixel" for k, n in zip(runs, rle.areas([odd[k] for k in runs])) if not n})
    for k in sorted(wrong):
        seg = odd[k]
        whole = ([ring for ring in seg if not rle.problem([ring], *sizes[k].tolist())] if isinstance(seg, list)
                 else [])
        new[k] = rle.compact(whole) or None
        fault(k, f"the mask {wrong[k]}", "its sound polygons are kept" if whole else "its box is taken as the mask",
              "broken mask")
    t, more = _boxes_beside(replace(t, segments=t.segments.mended(new)) if new else t)
    return t, faults + more


def _lie_apart(boxes: np.ndarray, around: np.ndarray) -> np.ndarray:
    """Which boxes are not those around their masks (M, 4); NaN where a mask has none."""
    with np.errstate(invalid="ignore", divide="ignore"):
        side = np.clip(np.minimum(boxes[:, 2:], around[:, 2:]) - np.maximum(boxes[:, :2], around[:, :2]), 0, None)
        one, two = ((b[:, 2] - b[:, 0]) * (b[:, 3] - b[:, 1]) for b in (boxes, around))
        common = side.prod(1)
        found: np.ndarray = (common / (one + two - common) < 0.5) & (np.abs(boxes - around).max(1) > 2.0)
    return found


def _boxes_beside(t: Table) -> tuple[Table, list[Fault]]:
    """Boxes that overlap the bounds of their own masks by an IoU below one half, and not for a pixel or two: y counted
    from below, corners in the place of width and height. The mask is drawn point by point,
    and the box follows from it."""
    assert t.segments is not None
    around = t.segments.bounds()
    apart = _blocks(_lie_apart, t.boxes, around)
    if not apart.any():
        return t, []
    if 2 * apart.sum() > np.isfinite(around).all(1).sum():  # of the whole set, not of single records
        apart = np.abs(t.boxes - around).max(1) > 2.0
    faults = []
    for k in np.flatnonzero(apart):
        i = int(t.image[k])
        box, own = (", ".join(f"{v:.6g}" for v in b[k]) for b in (t.boxes, around))
        faults.append(Fault(
            t.origin(i), f"{t.word} {t.record[k]} of {t.files[i]}", "box",
            f"the box ({box}) lies beside its own mask, which fills ({own})", "its box is taken from the mask", True,
            "box beside mask", t.files[i], tuple(t.boxes[k].tolist()),
        ))
    h, w = t.sizes[t.image].T
    limit = np.stack([w, h, w, h], 1).astype(np.float64)
    cut = np.clip(around, 0.0, limit)
    apart &= ((cut[:, 2:] > cut[:, :2]).all(1))
    return replace(t, boxes=np.where(apart[:, None], cut, t.boxes)), faults


# ---------------------------------------------------------------- finishing


def finish(
    draft: Draft, *, name: str, split: str, on_fault: OnFault = "mend", classes: Classes | None = None,
    select: Any = None, scale: Callable[[], Sequence[Path]] | None = None
) -> Records:
    """A vetted data set from a draft. `select(files) -> ascending index` takes a part of it;
    `classes` is the list its labels must fit; `scale` names the pictures that say what is white in wide ones, where
    these are not its own.

    Raises DataError for what is not safe to mend, and with `on_fault="refuse"` for any fault; "report" never raises for
    faults of records.
    """
    t, faults, sizes = vet(draft.table, draft.root, draft.follow_links, draft.out)
    faults = draft.faults + faults
    if (other := _misread(draft)) is not None:
        faults.append(other)
    wrong = _nothing(draft, t, faults, split)
    white = _white(t.files, draft, scale)
    draft.notes += _about_points(draft, t, split)
    if on_fault != "report":
        if draft.table.files:
            settle(faults, on_fault, f"{name}, split '{split}'", len(set(draft.table.files)) - len(t.files))
        for note in draft.notes:
            say_once(f"{draft.root}: {note}")
        if wrong is not None:
            raise wrong.error()
    elif wrong is not None:
        faults.append(wrong)
    if select is not None:
        at = np.asarray(select(t.files), dtype=np.int64)
        t, sizes = t.images(at), [sizes[k] for k in at]
    have, semantic, frequency = draft.classes, draft.semantic, draft.frequency
    if classes is not None and classes.names != have.names:
        t, have, semantic = _relabel(t, draft, classes)
        known = dict(zip(draft.classes.names, draft.frequency))
        frequency = tuple(known.get(n, "") for n in have.names) if known else ()
    kinds = draft.kinds
    if "masks" in kinds and semantic is None and draft.layers is None and len(have) < IGNORE - 1:
        semantic, kinds = with_background(have), (*kinds, "semantic")
    info = Info(name, draft.format, have, kinds, semantic, draft.panoptic, draft.points, white, frequency=frequency,
                difficult=draft.crowds == "difficult")
    return Records(t, info, draft, faults, split, sizes)


def _misread(draft: Draft) -> Fault | None:
    """The fault of boxes that were written by another rule than they are read by."""
    t = draft.table
    bare = np.ones(len(t.boxes), dtype=bool) if t.segments is None else t.segments.absent()
    found = misread(t.boxes, t.sizes[t.image], bare, draft.spelt) if len(t.boxes) else None
    return None if found is None else Fault(draft.source, "", "box", *found, False, "boxes in other numbers")


def _about_points(draft: Draft, t: Table, split: str) -> list[str]:
    """What is to be said of keypoints: those that nobody labelled, that none has sides, and those that lie beside
    their objects."""
    if t.keypoints is None or draft.points is None or not len(t.boxes):
        return []
    seen = t.keypoints[..., 2] > 0
    never = [n for n, k in zip(draft.points.names, seen.sum(0).tolist()) if not k]
    if len(never) == len(draft.points.names):
        return [f"split '{split}' has no labelled keypoint in any of its {len(t.boxes)} objects: there are boxes to "
                "learn, and no points"]
    notes = [f"split '{split}' has keypoints that are labelled in no object: {_few(never)}"] if never else []
    if 1 < len(draft.points.names) and draft.points.flip == tuple(range(len(draft.points.names))):
        notes.append(f"none of the {len(draft.points.names)} keypoints is the mirror image of another, so that each "
                     "keeps its place where pictures are mirrored: if some have sides, say left and right in their "
                     "names (YOLO: flip_idx), or train with --set recipe.augment.flip=0")
    low, high = t.boxes[:, None, :2], t.boxes[:, None, 2:]
    half = (high - low) / 2  # a hand may leave the box of what is seen
    beside = seen & ((t.keypoints[..., :2] < low - half) | (t.keypoints[..., :2] > high + half)).any(-1)
    if 10 * beside.sum() > seen.sum():
        k = int(np.flatnonzero(beside.any(1))[0])
        notes.append(f"split '{split}': {int(beside.sum())} of {int(seen.sum())} labelled keypoints lie beside their "
                     f"objects, by more than half of the box, the first of {t.word} {t.record[k]} of "
                     f"{t.files[int(t.image[k])]}: are they fractions, or of a picture of another size?")
    return notes


def _white(files: Sequence[str], draft: Draft, scale: Callable[[], Sequence[Path]] | None) -> float | None:
    """One scale for the pictures of a split that have more than 8 bits, and a note of it."""
    paths = [draft.root / f for f in files if may_be_wide(f)]
    if cut := cut_to_8_bits(paths):
        draft.notes.append(cut)
    found = white_of(paths)
    if found is None:
        return None
    found = (white_of(scale()) if scale is not None else None) or found
    draft.notes.append(f"pictures of more than 8 bits: {found.value:.6g} is white in all of them ({found.top:.6g} is "
                       f"the brightest pixel of {found.looked})" + (
                           f"; {found.black} of these are all black then: are their numbers fractions of white, or of "
                           "fewer bits? Write all in one range" if found.black else ""))
    return found.value


def _nothing(draft: Draft, t: Table, faults: list[Fault], split: str) -> Fault | None:
    """The fault of a split of which nothing can be learned or measured."""
    def fault(kind: str, problem: str, mend: str) -> Fault:
        return Fault(draft.source, "", "", problem, mend, False, kind)

    n = len(draft.table.files)
    if not n:
        why = (f"; of its records, {len(draft.faults)} cannot be used, the first because: {draft.faults[0]}"
               if draft.faults else "")
        return fault("unusable split", f"has no images in split '{split}'{why}",
                     "add images, or name another split or format")
    if not t.files:
        lost = next((f for f in faults if f.kind != "missing image" and (OUT in f.mend or f.kind in _LOSES)), None)
        if lost is not None:
            return fault("unusable split", f"none of the {n} images of split '{split}' can be used",
                         f"the first fault: {lost}")
        first = draft.table.files[0]
        there = _beside(draft.root, first)
        packed = f"{found}; or " if (found := packed_in(draft.root)) else ""
        mend = (f"{packed}put the images there or say {spelled('images')}" if there is None else
                f"{there} is: name {draft.root.resolve().parent}, which holds the annotations too")
        return fault("unusable split", f"none of the {n} images of split '{split}' is there",
                     f"the first one looked for is {draft.root / first}; {mend}")
    if not draft.counted or draft.table.maps is not None:
        return None
    if not len(t.boxes):
        return fault("no objects", f"has no objects in any of the {many(len(t.files), 'image')} of split '{split}'",
                     draft.hint or "add annotations, or name another split; there is nothing to learn or to measure")
    if t.crowd.all():
        return fault("all crowd", f"all {len(t.boxes)} objects of split '{split}' are {draft.crowds}: they pay no loss "
                     "and cost no precision, so nothing is left to learn or to measure", f"{draft.unmark} for every "
                     "object that is outlined alone; some labelling tools write 1 for all that is drawn by a brush")
    return None


def _drawn_on(picture: Header, maps: Sequence[Path]) -> tuple[int, int]:
    """(height, width) of a picture as its maps have it: of the stored raster where they were drawn on that, and EXIF
    would turn the picture alone."""
    stored = (picture.height, picture.width)
    if picture.size != stored and maps:
        try:
            drawn = header(maps[0])  # as it is stored: a map is read so, whatever EXIF was copied into it
            return stored if (drawn.height, drawn.width) == stored else picture.size
        except DataError:
            return picture.size  # the map is told where it is read
    return picture.size


def _beside(root: Path, name: str) -> Path | None:
    """Where a picture that is not in `root` lies in a folder beside it: the annotations alone were named. None where
    `root` is not called so: a picture of that name beside it is another set's."""
    if root.resolve().name.lower() not in ROOMS:
        return None
    around = root.resolve().parent
    try:
        rooms = [r for r in sorted(around.iterdir()) if r.is_dir() and r.name != root.resolve().name][:50]
        rooms += [s for r in rooms for s in sorted(r.iterdir())[:50] if s.is_dir()]
        return next((r / name for r in rooms if (r / name).is_file()), None)
    except (OSError, ValueError):
        return None


def _relabel(t: Table, draft: Draft, want: Classes) -> tuple[Table, Classes, Classes | None]:
    """Labels by name into another class list, such as a checkpoint's."""
    if draft.layers is not None:
        target = draft.semantic or draft.classes
        if target.names == want.names or draft.classes.names == want.names or (draft.panoptic
                                                                               and draft.panoptic.names == want.names):
            return t, draft.classes, draft.semantic
        raise _disagree(draft, target, want)
    index = {n: k for k, n in enumerate(want.names)}
    to = np.array([index.get(n, -1) for n in draft.classes.names], dtype=np.int64)
    used = np.unique(t.labels)
    if (to[used] < 0).any():
        raise _disagree(draft, draft.classes, want)
    searched = None if t.searched is None else [(to[a][to[a] >= 0], to[b][to[b] >= 0]) for a, b in t.searched]
    return replace(t, labels=to[t.labels], searched=searched), want, None


def _disagree(draft: Draft, have: Classes, want: Classes) -> DataError:
    extra = [n for n in have.names if n not in want.names]
    lack = [n for n in want.names if n not in have.names]
    said = "; ".join(x for x in (extra and f"only the data has {_few(extra)}",
                                 lack and f"only the wanted list has {_few(lack)}") if x)
    problem = f"the class list disagrees with the one wanted ({said or 'another order'})"
    return DataError(draft.source, problem, "rename the classes, or train on this data", field="classes")


def _few(names: Sequence[str], n: int = 5) -> str:
    return ", ".join(repr(x) for x in names[:n]) + (f" and {len(names) - n} more" if len(names) > n else "")


def same_classes(a: Info, b: Info, where: str = "") -> None:
    """Raises DataError where two splits (or a checkpoint and a data set) do not have one class list."""
    for what, x, y in (("classes", a.classes, b.classes), ("semantic", a.semantic, b.semantic),
                       ("panoptic", a.panoptic, b.panoptic)):
        if x is None or y is None or x.names == y.names:
            continue
        only_a, only_b = [n for n in x.names if n not in y.names], [n for n in y.names if n not in x.names]
        said = "; ".join(s for s in (only_a and f"only the first has {_few(only_a)}",
                                     only_b and f"only the second has {_few(only_b)}") if s)
        raise DataError(where or a.name, f"the class lists disagree ({said or 'another order'})",
                        "give both the same classes in the same order", field=what)


def settle(faults: list[Fault], on_fault: OnFault, where: str, out: int = 0) -> None:
    """Says once what is mended, and how many pictures are left `out`, or raises DataError for what is not."""
    if on_fault not in ("mend", "refuse", "report"):
        raise DataError(where, f"on_fault={on_fault!r} is unknown", "use 'mend', 'refuse' or 'report'")
    if on_fault == "report" or not faults:
        return
    refused = faults if on_fault == "refuse" else [f for f in faults if not f.safe]
    if refused:
        f = refused[0]
        more = f" (and {len(refused) - 1} more; `stemma doctor` lists them)" if len(refused) > 1 else ""
        raise DataError(f.file, f.problem, f.mend + more, f.record, f.field)
    kinds = ", ".join(f"{n} x {k}" for k, n in Counter(f.kind for f in faults).most_common())
    lost = f"; {out} picture{'s are' if out > 1 else ' is'} left out" if out else ""
    say_once(f"{where}: mended {len(faults)} fault{'s' * (len(faults) > 1)} ({kinds}){lost}; the first: {faults[0]}. "
             "`stemma doctor` lists all.", stacklevel=5)


_SAID: set[str] = set()


def say_once(message: str, stacklevel: int = 3) -> None:
    """A `DataWarning` that is given once a process, however often the data is opened."""
    if message not in _SAID:
        _SAID.add(message)
        warnings.warn(message, DataWarning, stacklevel=stacklevel)
