"""From what a labelling tool says of each picture to a draft: shapes become boxes and masks, names of classes numbers,
and names of pictures files.

A reader hands out a `Page` a picture, with its `Shape`s in pixels of the file, edges continuous. A shape that cannot be
read as an object takes its picture out, as everywhere: it would be trained as background.
"""
from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from stemma.core.samples import Classes, DataError, Points

from ..files import class_list, given_folder, read_bytes, split_name
from ..finding import Pictures, plain_name
from ..images import MAX_PIXELS, child, header, listing, walk
from ..misread import Spelt
from ..options import spelled
from ..records import ONE_OUT, OUT, Draft, Fault, joined, table
from . import rle
from .points import PERSON, points_named

IMAGES = ("images", "image", "imgs", "img", "JPEGImages")
# boxes of a person besides the one that is read
OTHER = {"full": "a box of the whole person besides (--people full reads it)",
         "visible": "a box of what is seen besides (--people visible reads it; its share of the whole is kept)",
         "head": "a box of the head besides (--people head reads it)"}
ROUND = 64  # points of a polygon that stands for a circle or an ellipse


@dataclass
class Shape:
    """One object: its class, and a box (x1, y1, x2, y2), polygons (flat lists of x, y), or run lengths; `why` it cannot
    be read, where it cannot. The name is without the blanks around it with which it is `written`."""

    name: str
    box: Sequence[float] | None = None
    rings: list[list[float]] = field(default_factory=list)
    mask: dict[str, Any] | None = None
    crowd: bool = False
    record: int = 0
    why: str = ""
    visible: float = math.nan  # share of the box that can be seen
    points: dict[str, tuple[float, float, int]] = field(default_factory=dict)  # name -> x, y, 1 hidden or 2 seen
    kind: str = "broken record"  # of the fault, where it cannot be read
    unread: Sequence[str] = ()  # what is said of it besides, and is not read
    written: str = field(init=False)

    def __post_init__(self) -> None:
        self.written, self.name = self.name, self.name.strip()


@dataclass(frozen=True)
class Spot:
    """A point of its own: the keypoint's name, x, y, 1 hidden or 2 seen, and the `group` that says whose it is."""

    name: str
    x: float
    y: float
    group: Any = None
    seen: int = 2
    record: int = 0


@dataclass
class Page:
    """One picture: its name as it is written, its (height, width) or (0, 0), the file that says so, and its shapes;
    `why` these cannot be read, where they cannot."""

    name: str
    size: tuple[int, int]
    origin: Path
    shapes: list[Shape] = field(default_factory=list)
    split: str = ""
    spanned: set[int] = field(default_factory=set)  # records of objects whose boxes follow from their points
    other: str = ""  # another name of the picture, for where none has the first
    why: str = ""
    held: bool = False  # the picture stands within the file of annotations, too


@dataclass(frozen=True)
class Source:
    """A split: the files of annotations, and the split that a page must name ("" for all)."""

    files: tuple[Path, ...]
    split: str = ""


# ---------------------------------------------------------------- shapes


def everywhere(place: Shape, names: Iterable[str]) -> list[Shape]:
    """A place in which nothing counts: a crowd of every class."""
    return [Shape(n, place.box, place.rings, place.mask, True, place.record, place.why) for n in names]


def ellipse(cx: float, cy: float, rx: float, ry: float, degrees: float = 0.0) -> list[float]:
    """A polygon of `ROUND` points on an ellipse."""
    t, a = np.arange(ROUND) * (2 * np.pi / ROUND), math.radians(degrees)
    x, y = rx * np.cos(t), ry * np.sin(t)
    points = np.stack([cx + x * math.cos(a) - y * math.sin(a), cy + x * math.sin(a) + y * math.cos(a)], 1)
    return [float(v) for v in points.reshape(-1)]


def filled(mask: np.ndarray, left: int, top: int, size: tuple[int, int]) -> dict[str, Any]:
    """Run lengths of a picture of (height, width) `size` from a mask (h, w) at (left, top);
    what lies outside is cut.
    Raises ValueError for a picture too large to be one."""
    if size[0] * size[1] > MAX_PIXELS:
        raise ValueError(f"is a mask of a picture of {size[1]} x {size[0]}")
    whole = np.zeros(size, dtype=bool)
    y1, x1 = max(top, 0), max(left, 0)
    y2, x2 = min(top + mask.shape[0], size[0]), min(left + mask.shape[1], size[1])
    if y2 > y1 and x2 > x1:
        whole[y1:y2, x1:x2] = mask[y1 - top : y2 - top, x1 - left : x2 - left]
    return rle.encode(whole)


def grouped(page: Page, spots: Iterable[Spot], objects: Mapping[Any, Sequence[Shape]]) -> None:
    """Give points to the one object of their group, `objects` by group. A point that belongs to none takes its picture
    out, and is told."""
    for s in spots:
        own = objects.get(s.group, ()) if s.group is not None else ()
        if len(own) == 1 and s.name not in own[0].points and s.name and math.isfinite(s.x + s.y):
            own[0].points[s.name] = s.x, s.y, s.seen
            continue
        why = ("has no name" if not s.name else "is in no group, so that no object has it" if s.group is None else
               "is not made of two finite numbers" if not math.isfinite(s.x + s.y) else
               f"has the group {s.group!r}, in which {len(own)} boxes or outlines are" if len(own) != 1 else
               "is the second of this name in its object")
        page.shapes.append(Shape(s.name or "point", record=s.record, why=f"the point {s.name[:60]!r} {why}",
                                 kind="point without an object"))


def classes_of(pages: Iterable[Page]) -> set[str]:
    """Names of classes; points that are nobody's name none."""
    return {n.strip() for n in written_of(pages)}


def written_of(pages: Iterable[Page]) -> set[str]:
    """`classes_of`, with the blanks around them."""
    return {s.written or s.name for p in pages for s in p.shapes if s.name and s.kind != "point without an object"}


def points_of(pages: Iterable[Page]) -> set[str]:
    """Names of the keypoints of objects."""
    return {n for p in pages for s in p.shapes for n in s.points}


def around(shape: Shape) -> None:
    """The box of an object that has points alone: what they span."""
    xy = np.array([p[:2] for p in shape.points.values()]).reshape(-1, 2)
    if len(xy) < 2 or (np.ptp(xy, axis=0) <= 0).any():
        shape.why = shape.why or f"{len(xy)} labelled points span no box"
    else:
        shape.box = (*xy.min(0).tolist(), *xy.max(0).tolist())


def seen_share(box: Sequence[float], visible: Sequence[float]) -> float:
    """Which share of a box (x1, y1, x2, y2) its visible part's box is, at most all of it; NaN for a box of no area."""
    area = [max(b[2] - b[0], 0.0) * max(b[3] - b[1], 0.0) for b in (box, visible)]
    return min(area[1] / area[0], 1.0) if area[0] > 0 else math.nan


def check_boxes(where: Path, people: str, known: Iterable[str]) -> None:
    """Raises DataError where a format of people has no boxes of a kind."""
    if people not in known:
        raise DataError(str(where), f"has no boxes called '{people}'", f"it has {', '.join(known)}: say "
                        f"{spelled('people', 'visible')}", field="people")


# ---------------------------------------------------------------- where things lie


def head(path: Path, size: int = 1 << 16) -> bytes:
    """The first bytes of a file; none where it cannot be read."""
    try:
        with open(path, "rb") as f:
            return f.read(size)
    except OSError:
        return b""


def beside_such(fits: Callable[[Path], bool], ending: str) -> Callable[[Path], bool]:
    """Whether a file lies in a folder of annotations (one of the first fifty of that `ending` `fits`), be it empty or
    broken itself; each folder is looked into once."""
    known: dict[Path, bool] = {}

    def such(path: Path) -> bool:
        if path.parent not in known:
            known[path.parent] = any(fits(p) for p in sorted(path.parent.glob(f"*{ending}"))[:50])
        return known[path.parent]

    return such


def file_splits(where: Path, fits: Callable[[Path], bool], ending: str, kind: str, labels: str | Path | None = None,
                folders: Sequence[str] = ("annotations", "labels", "annots", "json", "jsons"),
                beside: bool = False) -> dict[str, Source]:
    """split -> files of annotations that `fits`: those at `where` itself, in a folder called like one of `folders`,
    beside the images, or in a folder a split. Raises DataError where there are none. `beside`: as for `candidates`."""
    if where.is_file():
        return {"all": Source((where,))}
    if labels is not None:
        named = next((p for p in (where / labels, Path(labels).expanduser()) if p.is_file()), None)
        if named is not None:
            return {"all": Source((named,))}
        folder = given_folder(where, labels, "labels")
        found = [folder / n for n in walk(folder, {ending}, follow_links=True) if fits(folder / n)]
    else:
        found = candidates(where, fits, ending, folders, beside)
    if not found:
        raise DataError(str(where), f"holds no annotations of {kind}", f"looked for *{ending} here, in "
                        f"{', '.join(folders)}, beside the images and in a folder a split; say {spelled('labels')}")
    parts: dict[str, list[Path]] = {}
    for path in found:
        try:
            inner = path.relative_to(where).parts
        except ValueError:
            inner = (path.name,)
        said = next((split_name(p) for p in inner[:-1] if split_name(p)), "")
        if not said and len(found) <= 12:  # a file a split, and not one a picture
            said = split_name(Path(inner[-1]).stem)
        parts.setdefault(said, []).append(path)
    if len(parts) == 1:
        return {next(iter(parts)) or "all": Source(tuple(found))}
    return {s or "all": Source(tuple(p)) for s, p in parts.items()}


def candidates(where: Path, fits: Callable[[Path], bool], ending: str, folders: Sequence[str],
               beside: bool = False) -> list[Path]:
    """Files of annotations of a kind in the usual places; `beside`: where none is there, in any folder that holds
    pictures too."""
    names = [n for n in walk(where, {ending}, follow_links=True)]
    near = {child(where, f) for f in (*folders, *IMAGES)} - {""}
    out = []
    for n in names:
        first, _, rest = n.partition("/")
        if not rest or first in near or split_name(first):
            out.append(where / n)
    found = [p for p in out if fits(p)]
    if beside and not found:
        pictured = {d for d in {n.rpartition("/")[0] for n in names} if listing(where / d)}
        found = [where / n for n in names if n.rpartition("/")[0] in pictured and fits(where / n)]
    return found


def any_fits(where: Path, fits: Callable[[Path], bool], ending: str,
             folders: Sequence[str] = ("annotations", "labels", "annots", "json", "jsons"),
             beside: bool = False) -> bool:
    """Whether a folder holds such annotations: a few files are looked at. `beside`: as for `candidates`."""
    seen: list[Path] = []

    def some(path: Path) -> bool:
        seen.append(path)
        return len(seen) <= 40 and fits(path)

    return bool(candidates(where, some, ending, folders, beside))


# ---------------------------------------------------------------- the draft


def draft_of(
    where: Path, source: Source, pages: Iterable[Page], format: str, split: str, *, images: str | Path | None = None,
    names: Any = None, order: Sequence[str] | None = None, every: Callable[[], Iterable[str]] | None = None,
    word: str = "object", faults: list[Fault] | None = None, notes: list[str] | None = None, follow_links: bool = False,
    used: Iterable[Path] = (), points: Points | None = None, every_point: Callable[[], Iterable[str]] | None = None,
    spelt: Spelt = "",
) -> Draft:
    """A draft of the pages of a split. points: the keypoints that the tool declares; else they are those that the
    objects have, here or in any split (`every_point`). `spelt`: what the four numbers of a box are.

    Classes are `names` where they are told, else `order` (the tool's own list), else what `every` says of all splits,
    sorted. Raises DataError where nothing can be used.
    """
    faults, notes = faults if faults is not None else [], notes if notes is not None else []
    base = where if where.is_dir() else where.parent
    root = base if images is None else given_folder(base, images, "images")
    pictures = Pictures(root, walk(root, follow_links=True))
    pages = list(pages)
    found = list(class_list(names, base)) if names is not None else list(order or ())
    written = written_of(pages)
    if names is None and not order:
        written |= set(every() if every is not None else ())
        found = sorted({n.strip() for n in written})
    if not found:
        raise DataError(str(source.files[0] if source.files else where), "has no object of a class in any picture",
                        "add annotations; there is nothing to learn or to measure")
    if len(set(found)) < len(found):
        twice = next(n for n in found if found.count(n) > 1)
        raise DataError(str(where), f"the class {twice!r} is named twice", "give each class its own name")
    index = {n: k for k, n in enumerate(found)}
    notes += [n for n in joined(written, found) if n not in notes]
    grown = _Columns(faults, word)
    for page in pages:
        grown.add(page, pictures, split, index, base)
    notes += grown.useless(split, index)
    if grown.renamed:
        said, file = grown.renamed[0]
        notes.append(f"{_many(grown.renamed)} no picture that is there, the first {said[:120]!r}, which is read as "
                     f"{file}")
    if grown.crossed:
        said, file = grown.crossed[0]
        notes.append(f"{_many(grown.crossed)} another picture than that of their own name: the one that is called like "
                     f"{file} names {said[:120]!r}, which is taken. Are these the right pictures?")
    hashed = hashlib.sha256("\0".join(found).encode("utf-8", "surrogatepass"))
    for path in source.files:
        hashed.update(read_bytes(path))
    keypoints = None
    if any(grown.points) or points is not None:
        declared = points.names if points is not None else ()
        more = {n for own in grown.points for n in own} | set(every_point() if every_point is not None else ())
        named = [*declared, *sorted(more - set(declared))]
        if set(named) == set(PERSON):
            named = list(PERSON)
        lines = [(named.index(declared[a]), named.index(declared[b])) for a, b in points.lines] if points else []
        points = points_named(named, lines)
        keypoints = np.array([[own.get(n, (0.0, 0.0, 0)) for n in named] for own in grown.points],
                             dtype=np.float64).reshape(-1, len(named), 3)
    masks = any(s is not None for s in grown.segments)
    if masks:
        faults += [Fault(grown.origin[grown.image[k]], f"{word} {grown.record[k]} of {grown.files[grown.image[k]]}", "",
                         "has no mask, where others have one", "its box is taken as the mask", True, "no mask")
                   for k, s in enumerate(grown.segments) if s is None]
    t = table(
        grown.files, grown.sizes, np.arange(len(grown.files)), grown.image,
        np.array(grown.boxes, dtype=np.float64).reshape(-1, 4), grown.labels, grown.origin, crowd=grown.crowd,
        record=grown.record, word=word, segments=grown.segments if masks else None,
        visible=None if np.isnan(grown.visible).all() else grown.visible, keypoints=keypoints,
    )
    kinds = ("boxes", *(("masks",) if masks else ()), *(("keypoints",) if points is not None else ()))
    unread = Counter(what for p in pages for s in p.shapes for what in dict.fromkeys(s.unread))
    return Draft(
        root, format, t, Classes(tuple(found)), kinds, hashed.hexdigest(),
        str(source.files[0] if len(source.files) == 1 else where), faults, follow_links=follow_links, out=grown.out,
        lost=grown.lost, notes=notes, used={str(p) for p in (*source.files, *used)}, points=points, spelt=spelt,
        unread=dict(unread),
    )


def _many(rows: Sequence[Any]) -> str:
    return f"{len(rows)} annotation{'s' * (len(rows) > 1)} name{'s' * (len(rows) == 1)}"


def found_by(pictures: Pictures, name: str, split: str, origin: Path) -> str | None:
    """The picture that a file of annotations means by a name: the one beside it, or nearest to it. Raises `LookupError`
    where several are."""
    name, beside = plain_name(name), pictures.below(origin.parent)
    whole = f"{beside}/{name}" if beside and "/" not in name else name
    return pictures.find(whole, near=split, beside=beside)


@dataclass
class _Columns:
    """Columns grown from pages."""

    faults: list[Fault]
    word: str
    files: list[str] = field(default_factory=list)
    sizes: list[tuple[int, int]] = field(default_factory=list)
    origin: list[str] = field(default_factory=list)
    image: list[int] = field(default_factory=list)
    boxes: list[Sequence[float]] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    crowd: list[bool] = field(default_factory=list)
    record: list[int] = field(default_factory=list)
    segments: list[Any] = field(default_factory=list)
    visible: list[float] = field(default_factory=list)
    points: list[dict[str, tuple[float, float, int]]] = field(default_factory=list)
    out: set[int] = field(default_factory=set)
    lost: set[int] = field(default_factory=set)  # those of `out` of which nothing can be read
    renamed: list[tuple[str, str]] = field(default_factory=list)  # a page's name, and the picture of its other name
    crossed: list[tuple[str, str]] = field(default_factory=list)
    unusable: dict[str, list[tuple[int, str]]] = field(default_factory=dict)  # class -> (picture, why) of its records

    def useless(self, split: str, index: dict[str, int]) -> list[str]:
        """What is said of each class of which no record of a split can be used, such as one drawn as lines alone."""
        said = []
        for name, records in self.unusable.items():
            if index.get(name) in self.labels:
                continue
            gone = {i for i, _ in records}
            others = sum(i in gone for i in self.image)
            said.append(f"no {self.word} of class {name[:60]!r} in split {split!r} can be used ({records[0][1]}), and "
                        f"{len(gone)} of {len(self.files)} pictures, with {others} of other classes, are left out for "
                        "it: mend its records or draw boxes, or, if they may be background, say "
                        f"{spelled('drop_records')}")
        return said

    @staticmethod
    def _other(page: Page, pictures: Pictures, split: str, needed: bool) -> str | None:
        """The picture of a page's other name. Where several are, none; or `LookupError`, where it is needed."""
        try:
            return found_by(pictures, page.other, split, page.origin) if page.other else None
        except LookupError:
            if needed:
                raise
            return None

    def add(self, page: Page, pictures: Pictures, split: str, index: dict[str, int], base: Path) -> None:
        name = plain_name(page.name)
        try:
            hit = found_by(pictures, name, split, page.origin)
            other = self._other(page, pictures, split, hit is None)
            if other is not None and (hit is None or hit != other and page.other == page.origin.stem):
                (self.renamed if hit is None else self.crossed).append((page.name, other))
            hit = hit or other
        except LookupError as e:
            self.faults.append(Fault(str(page.origin), f"image {page.name[:200]}", "", f"could mean {e}",
                                     "write the path below the data folder", False, "picture not told apart"))
            return
        i = len(self.files)
        self.files.append(hit or name.lstrip("/").replace("../", "") or page.origin.stem)
        self.origin.append(str(page.origin))
        size = page.size
        if not all(0 < v < 1 << 20 for v in size):
            try:
                size = header(pictures.root / self.files[-1]).size
            except DataError:
                size = (0, 0)  # named as missing or unreadable where pictures are vetted
        self.sizes.append(size)
        if page.why:
            self.faults.append(Fault(str(page.origin), f"image {self.files[i]}", "", page.why, OUT, True,
                                     "broken record", self.files[i]))
            self.out.add(i)
            self.lost.add(i)
        for s in page.shapes:
            self._shape(i, s, size, page, index)

    def _shape(self, i: int, s: Shape, size: tuple[int, int], page: Page, index: dict[str, int]) -> None:
        record = f"{self.word} {s.record} of {self.files[i]}"
        if not s.why and not s.name:
            s.why = "the object has no class name"
        segment: Any = s.mask or s.rings or None
        box = s.box
        if not s.why and segment is not None:
            wrong = rle.problem(segment, *size) if any(size) else ""
            if wrong:
                s.why = f"the mask {wrong}"
            elif box is None:
                box = rle.bounds(segment, *size)
        if not s.why and box is None:
            s.why = "the object has neither a box nor a mask"
        if s.why or box is None:
            self.faults.append(Fault(str(page.origin), record, "", s.why, ONE_OUT, True, s.kind, self.files[i]))
            self.out.add(i)
            if s.name:
                self.unusable.setdefault(s.name, []).append((i, s.why))
            return
        label = index.get(s.written, index.get(s.name))
        if label is None:
            self.faults.append(Fault(str(page.origin), record, "", f"the class {s.name!r} is not in the list "
                                     "of classes", "add it to the list or correct the name", False, "unknown class"))
            return
        self.image.append(i)
        self.boxes.append(box)
        self.labels.append(label)
        self.crowd.append(s.crowd)
        self.record.append(s.record)
        self.segments.append(segment)
        self.visible.append(s.visible)
        self.points.append(s.points)


__all__ = [
    "IMAGES", "OTHER", "Page", "Shape", "Source", "Spot", "any_fits", "around", "candidates", "check_boxes",
    "classes_of", "draft_of", "ellipse", "everywhere", "file_splits", "filled", "found_by", "grouped", "head",
    "points_of", "seen_share", "written_of",
]
