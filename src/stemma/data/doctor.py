"""The doctor: every fault of a data set with file, record, field and mend, and the figures to judge it by, before a
minute is trained.

Every picture is decoded once: that finds truncated files, sizes that are not as annotated, and duplicates by the hash
of their pixels. Near duplicates are noted, not blamed: an 8 x 8 difference hash (each bit: is a cell brighter than the
one to its left) within `NEAR_BITS`, confirmed by the correlation of 16 x 16 thumbnails.
"""
from __future__ import annotations

import hashlib
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from stemma.core.samples import DataError, Dataset
from stemma.core.sentence import many

from .files import Unused
from .formats import apart, drafts_at, scale_of, unused_at
from .images import header, pages_of, read_image
from .open import is_scenes, module_of, open_dataset, same_classes
from .records import Fault, Records, size_error
from .vetting import finish

SMALL, MEDIUM = 32.0**2, 96.0**2  # COCO's borders of area, file pixels
RELATIVE = (0.0, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.0)  # sqrt(object area / picture area)
ASPECT = (0.0, 0.25, 0.5, 0.8, 1.25, 2.0, 4.0, float("inf"))  # width / height
NEAR_BITS, NEAR_CORRELATION, NEAR_LIMIT = 4, 0.99, 20_000
_SCENES_LOOK = 200  # drawn scenes that figures are taken from

Progress = Callable[[int, int], None]


@dataclass
class SplitFigures:
    """What a split holds."""

    images: int = 0
    objects: int = 0
    crowd: int = 0
    empty: int = 0
    fingerprint: str = ""
    classes: dict[str, int] = field(default_factory=dict)  # objects of each class; of semantic data: pixels
    unit: str = "objects"
    coco_sizes: dict[str, int] = field(default_factory=dict)
    relative_sizes: dict[str, int] = field(default_factory=dict)
    aspects: dict[str, int] = field(default_factory=dict)
    per_image: dict[str, float] = field(default_factory=dict)  # least, median, mean, most
    image_sizes: dict[str, list[int]] = field(default_factory=dict)  # least, median, most of (height, width)


@dataclass
class Objects:
    """All objects of a split, O in its I pictures, in file pixels."""

    image: np.ndarray  # int64 (O,) ascending
    labels: np.ndarray  # int64 (O,)
    boxes: np.ndarray  # float64 (O, 4) xyxy
    area: np.ndarray  # float64 (O,)
    sizes: np.ndarray  # int64 (I, 2): height, width


@dataclass
class Report:
    """What the doctor found. `status`: 0 clean, 1 faults."""

    where: str
    format: str
    kinds: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    splits: dict[str, SplitFigures] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    unused: Unused = field(default_factory=Unused)  # what lies in the folder and no split reads
    derived: bool = False  # the data is not divided; splits will be derived
    opened: dict[str, Records] = field(default_factory=dict)  # the splits that can be opened
    objects: dict[str, Objects] = field(default_factory=dict)  # of each split that has any
    alike: list[tuple[str, int, str, int]] = field(default_factory=list)  # pairs: split, picture, split, picture
    twice: list[str] = field(default_factory=list)  # files of one split that another one is, pixels and objects
    each: str = "image"  # what a split's `images` are
    sort: str = "class"  # what a split's `classes` are

    @property
    def status(self) -> int:
        return 1 if self.faults else 0

    @property
    def about(self) -> list[str]:
        """How many classes there are, in words, where there can be any."""
        return [many(len(self.classes), *self.sorts)] if self.sort == "class" else []

    @property
    def sorts(self) -> tuple[str, str]:
        """`sort`, of one and of several."""
        return self.sort, "classes" if self.sort == "class" else f"{self.sort}s"

    @property
    def refused(self) -> bool:
        """Whether training would refuse the data until a fault is mended by hand."""
        return any(not f.safe for f in self.faults)

    @property
    def unreadable(self) -> list[str]:
        """Files of pictures that cannot be decoded, or are not of the size that their truth belongs to."""
        return [f.file for f in self.faults if f.kind in ("unreadable image", "wrong size")]

    def as_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return {
            "where": self.where, "format": self.format, "kinds": list(self.kinds),
            "classes": list(self.classes), "status": self.status, "refused": self.refused,
            "splits": {k: dict(vars(v)) for k, v in self.splits.items()}, "faults": [f.as_dict() for f in self.faults],
            "fault_counts": dict(Counter(f.kind for f in self.faults)), "notes": list(self.notes),
            "unused": self.unused.as_dict(),
        }


def examine(
    where: str | Path, format: str | None = None, *, progress: Progress | None = None, decode: bool = True,
    near: bool = True, workers: int | None = None, **options: Any,
) -> Report:
    """Looks at everything of a data set, all its splits. `progress(done, total)` is called while pictures are decoded.

    Raises DataError only where nothing can be examined: no such place, no known format, an unknown option.
    """
    if is_scenes(where):
        return _scenes(str(where), options)
    path, module = module_of(where, format)
    options.pop("train_split", None)  # every split is looked at
    own = drafts_at(path, module, **options)
    report = Report(str(path), module.FORMAT, derived=set(own) == {"all"})
    opened = report.opened
    for name in apart(own):
        try:
            opened[name] = finish(own[name](), name=path.name, split=name, on_fault="report", scale=scale_of(own, name))
            report.faults += opened[name].faults
        except DataError as e:
            if "unknown to this format" in e.problem:
                raise
            report.faults.append(Fault.of(e, "unusable split"))
    report.faults = list(dict.fromkeys(report.faults))  # of a file that several splits are read from
    if not opened:
        return report
    report.unused = unused_at(where, module.FORMAT, opened, **options) or Unused()
    first = next(iter(opened.values()))
    report.kinds, report.classes = first.info.kinds, first.info.classes.names
    for other in list(opened)[1:]:
        try:
            same_classes(first.info, opened[other].info, str(path))
        except DataError as e:
            problem = f"{e.problem} between the splits {next(iter(opened))} and {other}"
            report.faults.append(Fault(e.file, "", e.field, problem, e.mend, False, "class lists disagree"))
    _overlaps(opened, report)
    if decode:
        _decode_all(opened, report, progress, workers, near)
    for name, data in opened.items():
        report.splits[name] = _figures(data, report, name)
        _nothing(name, data, report)
    _remarks(opened, report)
    return report


# ---------------------------------------------------------------- pictures


@dataclass
class _Look:
    """One decoded picture: the hash of its pixels, its difference hash and thumbnail, or what was wrong."""

    digest: bytes = b""
    bits: int = 0
    thumb: np.ndarray | None = None
    fault: Fault | None = None
    turn: str = ""  # of a picture with an EXIF orientation: "turned", "stored", or "either" where its size cannot tell


def _look(data: Records, i: int, near: bool) -> _Look:
    path, t = data.path(i), data.table
    declared = (int(t.sizes[i, 0]), int(t.sizes[i, 1]))
    record = f"image {t.ids[i]}"
    try:
        image = read_image(path, expect=declared, white=data.info.white)
    except DataError as e:
        return _Look(fault=Fault(e.file, record, "", e.problem, f"{e.mend}; training skips it", True,
                                 "unreadable image"))
    fault = None
    if image.shape[:2] != declared:
        wrong = size_error(str(path), t.origin(i), image.shape[:2], declared)
        fault = Fault(wrong.file, record, wrong.field, wrong.problem, f"{wrong.mend}; training skips it",
                      True, "wrong size")
    digest = hashlib.blake2b(image.tobytes() + repr(image.shape).encode(), digest_size=16).digest()
    head, turn = header(path), ""
    if head.orientation != 1:
        sure = (data.sized or t.maps is not None) and head.size != (head.height, head.width)
        turn = "either" if not sure else "turned" if declared == head.size else "stored"
    if not near:
        return _Look(digest, fault=fault, turn=turn)
    step = max(1, min(image.shape[:2]) // 128)
    grey = Image.fromarray(np.ascontiguousarray(image[::step, ::step])).convert("L")
    cells = np.asarray(grey.resize((9, 8), Image.Resampling.BOX), dtype=np.int16)
    bits = int.from_bytes(np.packbits(cells[:, 1:] > cells[:, :-1]).tobytes(), "big")
    return _Look(digest, bits, np.asarray(grey.resize((16, 16), Image.Resampling.BOX), dtype=np.float32).reshape(-1),
                 fault, turn)


def _decode_all(opened: dict[str, Records], report: Report, progress: Progress | None, workers: int | None,
                near: bool) -> None:
    jobs = [(name, i) for name, data in opened.items() for i in range(len(data))]
    looks: list[_Look] = []
    with ThreadPoolExecutor(workers or min(8, os.cpu_count() or 1)) as pool:
        for done, look in enumerate(pool.map(lambda job: _look(opened[job[0]], job[1], near), jobs), 1):
            looks.append(look)
            if look.fault is not None:
                report.faults.append(look.fault)
            if progress is not None:
                progress(done, len(jobs))
    paths = [opened[name].path(i) for name, i in jobs]
    _turns(looks, paths, report)
    stacks = [(p, n) for p, look in zip(paths, looks) if look.digest and (n := pages_of(p)) > 1]
    if stacks:
        have = "s have" if len(stacks) > 1 else " has"
        report.notes.append(f"{len(stacks)} picture{have} several pages, of which the first alone is read: "
                            f"{stacks[0][0]} has {stacks[0][1]}")
    same: dict[bytes, list[int]] = defaultdict(list)
    for k, look in enumerate(looks):
        if look.digest:
            same[look.digest].append(k)
    alone = []
    for group in same.values():
        alone.append(group[0])
        a_split, a = jobs[group[0]]
        for k in group[1:]:
            b_split, b = jobs[k]
            first, second = opened[a_split].path(a), opened[b_split].path(b)
            if first == second:
                continue  # the same file in two splits is reported by name
            across = a_split != b_split
            if not across and _same_truth(opened[a_split], a, b):
                report.twice.append(str(second))
            report.faults.append(Fault(
                str(second), f"image {opened[b_split].table.ids[b]}", "",
                f"has the very pixels of {first}" + (f", in the splits {b_split} and {a_split}" if across else ""),
                "remove one of them: what is trained on is "
                "measured" if across else "remove one of them: it counts twice", True,
                "duplicate across splits" if across else "duplicate image",
            ))
    if near:
        _near(opened, jobs, looks, sorted(alone), report)


def _same_truth(data: Records, a: int, b: int) -> bool:
    """Whether two pictures of a split have the same objects."""
    try:
        one, other = data.truth(a), data.truth(b)
    except DataError:
        return False
    rows = [sorted(zip(s.labels.tolist(), s.crowd.tolist(), s.boxes.tolist())) for s in (one, other)]
    if rows[0] != rows[1]:
        return False
    maps = ((one.semantic, other.semantic), (one.panoptic, other.panoptic), (one.masks, other.masks),
            (one.keypoints, other.keypoints))
    return all(x is y is None or x is not None and y is not None and np.array_equal(x, y) for x, y in maps)


def _turns(looks: Sequence[_Look], paths: Sequence[Path], report: Report) -> None:
    """A note on pictures that their EXIF orientation turns: boxes belong to one of two views."""
    of = {what: [p for look, p in zip(looks, paths) if look.turn == what] for what in ("turned", "stored", "either")}
    said = [f"{len(of[what])} {words}, as the annotated size says" for what, words in (
        ("turned", "read turned"), ("stored", "read as stored")) if of[what]]
    if of["either"]:
        said.append(f"{len(of['either'])} read turned, of which no annotated size tells whether their labels were "
                    f"drawn so: look at {of['either'][0]} with its labels")
    if said:
        n = sum(map(len, of.values()))
        report.notes.append(f"{n} picture{'s have' if n > 1 else ' has'} an EXIF orientation: {'; '.join(said)}")


def _near(opened: dict[str, Records], jobs: Sequence[tuple[str, int]], looks: Sequence[_Look], alone: Sequence[int],
          report: Report) -> None:
    """Notes on pairs that look alike but are not the same."""
    if len(alone) < 2:
        return
    bits = np.array([looks[k].bits for k in alone], dtype=np.uint64)
    thumbs = np.array([looks[k].thumb for k in alone], dtype=np.float32).reshape(len(alone), -1)
    centred = thumbs - thumbs.mean(1, keepdims=True)
    norm = np.linalg.norm(centred, axis=1)
    unit = centred / np.maximum(norm, 1e-6)[:, None]
    textured = norm > 2.0 * 16  # a standard deviation of two grey levels: blank pictures resemble each other
    pairs: list[tuple[int, int]] = []
    if len(alone) <= NEAR_LIMIT:
        for lo in range(0, len(alone), 512):
            apart = np.bitwise_count(bits[lo : lo + 512, None] ^ bits[None, :])
            a, b = np.nonzero(apart <= NEAR_BITS)
            pairs += [(int(x) + lo, int(y)) for x, y in zip(a, b) if int(x) + lo < y]
    else:
        order = np.argsort(bits, kind="stable")
        equal = np.flatnonzero(bits[order][1:] == bits[order][:-1])
        pairs = [(int(order[k]), int(order[k + 1])) for k in equal]
    pairs = [(a, b) for a, b in pairs if textured[a] and textured[b] and float(unit[a] @ unit[b]) >= NEAR_CORRELATION]
    if not pairs:
        return
    across = [(a, b) for a, b in pairs if jobs[alone[a]][0] != jobs[alone[b]][0]]
    report.alike = [(*jobs[alone[a]], *jobs[alone[b]]) for a, b in sorted(pairs, key=lambda pair: pair not in across)]

    def names(a: int, b: int) -> str:
        (s, i), (r, j) = jobs[alone[a]], jobs[alone[b]]
        return f"{s}: {opened[s].table.files[i]} and {r}: {opened[r].table.files[j]}"

    shown = "; ".join(names(a, b) for a, b in (across or pairs)[:3])
    where = (f", {len(across)} of them across splits, where they flatter the measured score" if across
             else ", none of them across splits")
    report.notes.append(f"{len(pairs)} pair{'s' * (len(pairs) > 1)} of pictures look alike{where}: {shown}")


def _overlaps(opened: dict[str, Records], report: Report) -> None:
    """The same file in two splits."""
    of: dict[str, str] = {}
    for name, data in opened.items():
        for i, file in enumerate(data.table.files):
            if file in of and of[file] != name:
                report.faults.append(Fault(str(data.path(i)), f"image {data.table.ids[i]}", "",
                                           f"is in the splits {of[file]} and {name}", "take it out of one: what is "
                                           "trained on is measured", True, "image in two splits"))
            of.setdefault(file, name)


# ---------------------------------------------------------------- figures


def _columns(data: Dataset, report: Report, limit: int | None = None) -> tuple[np.ndarray, ...]:
    """image, labels, crowd, boxes, area of all objects, sizes of all pictures, and pixels a semantic class."""
    semantic = data.info.semantic
    pixels = np.zeros(len(semantic) if semantic is not None else 0, dtype=np.int64)
    if isinstance(data, Records) and data.layers is None:
        t = data.table
        return t.image, t.labels, t.crowd, t.boxes, t.area, t.sizes, pixels
    only_maps = "boxes" not in data.info.kinds
    kinds = {"semantic"} if only_maps else {"boxes", "panoptic"}  # a panoptic map is looked into, as training does
    view: Dataset = data.narrow(kinds) if isinstance(data, Records) else data
    parts: list[tuple[np.ndarray, ...]] = []
    sizes: list[tuple[int, int]] = []
    for i in range(len(view) if limit is None else min(limit, len(view))):
        try:
            s = view.truth(i)
        except DataError as e:
            report.faults.append(Fault(e.file, f"image {i}", e.field, e.problem, f"{e.mend}; training skips it", True,
                                       "unusable map"))
            continue
        sizes.append(s.size)
        parts.append((np.full(len(s.labels), len(sizes) - 1), s.labels, s.crowd, s.boxes, s.area))
        if only_maps and s.semantic is not None:
            pixels += np.bincount(s.semantic.reshape(-1), minlength=256)[: len(pixels)]
    if not parts:
        return (np.zeros(0, int), np.zeros(0, int), np.zeros(0, bool), np.zeros((0, 4)), np.zeros(0),
                np.zeros((0, 2), int), pixels)
    image, labels, crowd, boxes, area = (np.concatenate(c) for c in zip(*parts))
    return image, labels, crowd, boxes, area, np.array(sizes, dtype=np.int64), pixels


def _figures(data: Dataset, report: Report, name: str, limit: int | None = None) -> SplitFigures:
    image, labels, crowd, boxes, area, sizes, pixels = _columns(data, report, limit)
    if len(labels):
        report.objects[name] = Objects(image, labels, boxes, area, sizes)
    out = SplitFigures(len(sizes), len(labels), int(crowd.sum()), fingerprint=data.fingerprint)
    if len(sizes):
        out.image_sizes = {"least": sizes.min(0).tolist(), "median": np.median(sizes, axis=0).astype(int).tolist(),
                           "most": sizes.max(0).tolist()}
    if "boxes" not in data.info.kinds:
        names = (data.info.semantic or data.info.classes).names
        out.classes, out.unit = {n: int(k) for n, k in zip(names, pixels)}, "pixels"
        return out
    counts = np.bincount(labels, minlength=len(data.info.classes))
    out.classes = {n: int(k) for n, k in zip(data.info.classes.names, counts)}
    each = np.bincount(image, minlength=len(sizes))
    out.empty = int((each == 0).sum())
    if len(each):
        out.per_image = {"least": int(each.min()), "median": float(np.median(each)),
                         "mean": round(float(each.mean()), 3), "most": int(each.max())}
    out.coco_sizes = {"small": int((area < SMALL).sum()), "medium": int(((area >= SMALL) & (area < MEDIUM)).sum()),
                      "large": int((area >= MEDIUM).sum())}
    if len(labels):
        share = np.sqrt(area / np.maximum(sizes[image].prod(1), 1))
        out.relative_sizes = _histogram(share, RELATIVE, lambda a, b: f"{a:.0%} to {b:.0%}")
        ratio = (boxes[:, 2] - boxes[:, 0]) / np.maximum(boxes[:, 3] - boxes[:, 1], 1e-9)
        out.aspects = _histogram(ratio, ASPECT, lambda a, b: f"{a:g} to {b:g}" if np.isfinite(b) else f"over {a:g}")
    return out


def _nothing(name: str, data: Records, report: Report) -> None:
    """The fault of maps in which nothing is left to learn: no object, or one class alone."""
    figures = report.splits[name]
    there = [c for c, n in figures.classes.items() if n]
    if data.layers is None or not figures.images or figures.unit == "objects" and figures.objects > figures.crowd:
        return
    if figures.unit == "objects" or len(there) < 2:
        what = "hold no object" if figures.unit == "objects" else f"are all {there[0]}" if there else "are all void"
        report.faults.append(Fault(str(data.root), "", "", f"the maps of split '{name}' {what}: nothing is left "
                                   "to learn", "check that these are the right maps", True, "nothing to learn"))


def _histogram(values: np.ndarray, edges: Sequence[float], say: Callable[[float, float], str]) -> dict[str, int]:
    at = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, len(edges) - 2)
    counts = np.bincount(at, minlength=len(edges) - 1)
    return {say(edges[k], edges[k + 1]): int(counts[k]) for k in range(len(edges) - 1)}


def _remarks(opened: dict[str, Records], report: Report) -> None:
    """Notes on what is no fault but worth knowing."""
    report.notes += dict.fromkeys(note for data in opened.values() for note in data.notes)
    counted: dict[int, list[str]] = defaultdict(list)  # the splits that one file's counts are of
    for name, data in opened.items():
        counted[id(data.unread)].append(name)
    report.notes += [f"{', '.join(names)}: {n:,} objects have {what}, which is not read" for names in counted.values()
                     for what, n in opened[names[0]].unread.items()]
    if odd := [c for c in report.classes if c != c.strip() or not c]:
        report.notes.append(f"the class{'es' * (len(odd) > 1)} {', '.join(map(repr, odd[:4]))} "
                            f"{'have' if len(odd) > 1 else 'has'} blanks around the name, or no name: a typing error?")
    for name, figures in report.splits.items():
        if figures.empty:
            report.notes.append(f"{name}: {figures.empty} of {figures.images} pictures have no object: all of each is "
                                "background")
        absent = [c for c, n in figures.classes.items() if n == 0]
        if absent:
            shown = ", ".join(absent[:8]) + (f" and {len(absent) - 8} more" if len(absent) > 8 else "")
            report.notes.append(f"{name}: {len(absent)} of {len(figures.classes)} classes do not appear: {shown}")
        counts = [n for n in figures.classes.values() if n]
        if len(counts) > 1 and max(counts) > 100 * min(counts):
            report.notes.append(f"{name}: the commonest class has {max(counts) / min(counts):,.0f} times as many "
                                f"{figures.unit} as the rarest")
    for name, data in opened.items():
        t = data.table
        if len(t.boxes):
            rows = np.concatenate([t.image[:, None], t.labels[:, None], np.round(t.boxes, 2)], 1)
            twice = len(rows) - len(np.unique(rows, axis=0))
            if twice:
                report.notes.append(f"{name}: {twice} object{'s have' if twice > 1 else ' has'} the box and class of "
                                    "another one in the same picture")
            tiny = int(((t.boxes[:, 2] - t.boxes[:, 0] <= 1) | (t.boxes[:, 3] - t.boxes[:, 1] <= 1)).sum())
            if tiny:
                report.notes.append(f"{name}: {tiny} box{'es are' if tiny > 1 else ' is'} one pixel wide or "
                                    "high, or less")
            sides, edge = t.boxes[:, 2:] - t.boxes[:, :2], t.sizes[t.image][:, ::-1]
            inside = (t.boxes[:, :2] > 0).all(1) & (t.boxes[:, 2:] < edge).all(1)  # those at the edge may be clipped
            wide = int((~t.crowd & inside & (t.area > 1.01 * sides.prod(1) + 0.5)).sum())
            if wide:
                report.notes.append(f"{name}: the area of {many(wide, 'object')} is larger than the box: small, medium "
                                    "and large are told by it")
    if report.unused:
        report.notes.append(f"not used: {report.unused.said()}")
    if "train" not in opened and not report.derived:
        report.notes.append(f"there is no split 'train' to learn from; {', '.join(opened)} can be measured on")
    if report.derived:
        few = sum(len(d.table.files) for d in opened.values()) < 3
        report.notes.append("the data is not divided into splits: " + (
            "with fewer than three pictures train, val and test will each be all of it" if few else
            "train, val and test will be 80, 10 and 10 % by a hash of the file names"))


def _scenes(where: str, options: dict[str, Any]) -> Report:
    report = Report(where, "scenes")
    for name in ("train", "val", "test"):
        data = open_dataset(where, name, **options)
        report.kinds, report.classes = data.info.kinds, data.info.classes.names
        report.splits[name] = _figures(data, report, name, _SCENES_LOOK)
    report.notes.append(f"scenes are drawn, without files or faults; the figures are those of the first {_SCENES_LOOK} "
                        "or fewer of each split")
    return report
