"""What every file format is read into: one flat table of pictures and objects, its faults, and the data set over it.

Axes: I pictures, O objects of all pictures together (sorted by picture), N objects of one picture, K keypoints, H W
pixels of the file. A reader fills a `Draft`; `vetting.finish` makes a data set of it.
"""
from __future__ import annotations

import hashlib
import os
import re
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from stemma.core.samples import IGNORE, Classes, DataError, Info, Points, Sample

from .images import check_name, looked_into, read_image
from .misread import Spelt
from .options import flag_of, spelled
from .readers import rle
from .readers.segments import Segments

OnFault = Literal["mend", "refuse", "report"]
OUT = "the picture is left out"  # the mend of annotations of a picture that cannot be read
# of one record that cannot be read as the object that it may stand for; and what is said where it alone is left out
ONE_OUT = f"{OUT}; {flag_of('drop_records')} leaves out this record alone"
DROPPED = "the record is left out, and what it marks counts as background"


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
    sound: np.ndarray  # bool (O,) of which it is known that their vetting says nothing
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
            area=self.area[at], record=self.record[at], sound=self.sound[at], segments=None if self.segments is None
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
    sound: np.ndarray | None = None,
) -> Table:
    """A `Table` from columns in any order of objects, with the dtypes that it promises."""
    at = np.asarray(image, dtype=np.int64).reshape(-1)
    n = len(at)
    order: Any = np.argsort(at, kind="stable") if (at[1:] < at[:-1]).any() else slice(None)
    return Table(
        files=files, sizes=np.asarray(sizes, dtype=np.int64).reshape(-1, 2), ids=np.asarray(ids, dtype=np.int64)
        .reshape(-1), image=at[order], boxes=np.asarray(boxes, dtype=np.float64).reshape(-1, 4)[order],
        labels=np.asarray(labels, dtype=np.int64).reshape(-1)[order],
        crowd=(np.zeros(n, dtype=bool) if crowd is None else np.asarray(crowd, dtype=bool).reshape(-1))[order],
        area=(np.full(n, np.nan) if area is None else np.asarray(area, dtype=np.float64).reshape(-1))[order],
        record=(np.arange(n, dtype=np.int64) if record is None
                else np.asarray(record, dtype=np.int64).reshape(-1))[order],
        source=source, word=word, sound=np.zeros(n, dtype=bool) if sound is None else sound[order],
        segments=None if segments is None else
        (segments if isinstance(segments, Segments) else Segments.of(segments)).take(order),
        keypoints=None if keypoints is None else np.asarray(keypoints, dtype=np.float64)[order], maps=maps,
        amodal=None if amodal is None else [amodal[k] for k in np.arange(n)[order]], depth=depth,
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
    out: set[int] = field(default_factory=set)  # pictures of which a record cannot be read: they are left out
    lost: set[int] = field(default_factory=set)  # those of them of which nothing can be read
    drop: bool = False  # a record that cannot be read as an object is left out alone, and its picture stays
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
        there = {"", *(self.table.files[k] for k in new)}
        return replace(self, table=self.table.images(keep), out={new[i] for i in self.out if i in new},
                       lost={new[i] for i in self.lost if i in new},
                       faults=[f for f in self.faults if f.picture in there], notes=list(self.notes))


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
    """Which files are there under a root, each directory listed once; names that lead outside are refused."""

    def __init__(self, root: Path, follow_links: bool = False):
        self.root, self.follow = root, follow_links
        self.base = os.path.realpath(root)
        self._listed: set[str] = set()
        self._outside: set[str] = set()
        self.known: set[str] = set()  # the files inside the root that were listed, by their plain names

    def _inside(self, path: str) -> bool:
        real = os.path.realpath(path)
        return self.follow or real == self.base or real.startswith(self.base.rstrip(os.sep) + os.sep)

    def _list(self, directory: str) -> None:
        path, start = os.path.join(self.root, directory) if directory else str(self.root), directory and f"{directory}/"
        self._listed.add(directory)
        try:
            found, inside = looked_into(path), self._inside(path)
        except (ValueError, OSError):
            return  # every file in it will be reported as missing
        for names in (*found.names.values(), found.hidden):
            (self.known if inside else self._outside).update([start + n for n in names if n not in found.odd])
        for n in found.odd:
            at = os.path.join(path, n)
            if os.path.islink(at) and not self._inside(at):
                self._outside.add(start + n)
            elif os.path.islink(at) and os.path.exists(at):
                self.known.add(start + n)

    def has(self, name: str, source: str = "", record: str = "", fld: str = "file_name") -> bool:
        """Whether the file `name` is there. Raises DataError where it leads outside."""
        check_name(name, source or str(self.root), record, fld)
        plain = name.replace("\\", "/")
        directory = plain.rpartition("/")[0]
        if directory not in self._listed:
            self._list(directory)
        if plain in self._outside:
            raise DataError(
                source or str(self.root), f"{name!r} is a link that leads outside the data folder {self.root}",
                f"copy the file into the folder, or say {spelled('follow_links')}", record, fld,
            )
        return plain in self.known


class Records:
    """A split of a data set on disk (the core `Dataset` protocol). `faults` lists what was wrong with it,
    mended ones included.

    `narrow` gives a view that prepares only the kinds of target asked for: decoding masks that nobody uses is the cost
    of opening a picture.
    """

    def __init__(self, table: Table, info: Info, draft: Draft, faults: list[Fault], split: str):
        self.table, self._info, self.root, self.split, self.faults = table, info, draft.root, split, faults
        self.layers, self.counted, self.notes, self.sized = draft.layers, draft.counted, draft.notes, draft.sized
        self.numbered, self.unread = draft.numbered, draft.unread
        self.source = split  # the data's own split that this is a part of
        self._reads = reads_of(draft)
        self.wanted = frozenset(info.kinds)
        self._digest = draft.digest
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
            for name in self.table.files:
                picture = os.path.join(self.root, name)
                size = os.stat(picture).st_size if os.path.exists(picture) else -1
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
        new.table, new._print = self.table.images(np.asarray(at)), None
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


def few(names: Sequence[str], n: int = 5) -> str:
    return ", ".join(repr(x) for x in names[:n]) + (f" and {len(names) - n} more" if len(names) > n else "")


def same_classes(a: Info, b: Info, where: str = "") -> None:
    """Raises DataError where two splits (or a checkpoint and a data set) do not have one class list."""
    for what, x, y in (("classes", a.classes, b.classes), ("semantic", a.semantic, b.semantic),
                       ("panoptic", a.panoptic, b.panoptic)):
        if x is None or y is None or x.names == y.names:
            continue
        only_a, only_b = [n for n in x.names if n not in y.names], [n for n in y.names if n not in x.names]
        said = "; ".join(s for s in (only_a and f"only the first has {few(only_a)}",
                                     only_b and f"only the second has {few(only_b)}") if s)
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


def joined(written: Iterable[str], classes: Iterable[str]) -> list[str]:
    """Notes on names of classes as they are `written` that differ in blanks around them alone, and are one of `classes`
    without these."""
    of, known = defaultdict[str, list[str]](list), set(classes)
    for name in sorted({n for n in written if n.strip()}):
        of[name if name in known else name.strip()].append(name)
    return [f"{' and '.join(map(repr, names))} differ in blanks around them alone and are one class, {one!r}"
            for one, names in of.items() if len(names) > 1]


def alike(classes: Iterable[str]) -> list[str]:
    """Notes on classes whose names differ in case, blanks or hyphens alone, as Cat in one split and cat in another."""
    of = defaultdict[str, list[str]](list)
    for c in classes:
        of[re.sub(r"[\s_-]+", "", c).casefold()].append(c)
    return [f"{' and '.join(map(repr, same))} are classes of their own, and differ in case, blanks or hyphens alone: "
            "give them one name where they are one" for same in of.values() if len(same) > 1]


_SAID: set[str] = set()


def say_once(message: str, stacklevel: int = 3) -> None:
    """A `DataWarning` that is given once a process, however often the data is opened."""
    if message not in _SAID:
        _SAID.add(message)
        warnings.warn(message, DataWarning, stacklevel=stacklevel)
