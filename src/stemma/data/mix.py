"""Data sets put together: one that marks its objects, and one that says of each whole picture what is in it (YOLO9000
sec. 4).

    open_dataset("my/boxes+labels:my/pictures")          every picture of both once an epoch
    open_dataset("my/boxes*4+labels:my/pictures")        the first four times an epoch
    open_dataset("labels:scenes:128:2000")               the labels of whole pictures alone, whatever else the data mark
    open_dataset("my/voc07+my/voc12")                    sets of equal classes, joined

"labels:" before a folder of folders, one a class, reads the class of each picture from its folder (ImageNet's layout:
FOLDER/CLASS/PICTURE, or FOLDER/SPLIT/CLASS/PICTURE); before any other data it takes the classes of the objects and
hides their boxes.

What is measured on, any split but train, is that of the first part; where others that are joined have it too, a line
says that theirs is not read. `stemma convert` writes every split of all of them.

A mixture is a list of pictures like any other: the loader's order is a function of seed and epoch,
so a run resumes exactly.
"""
from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..core.samples import Classes, DataError, Dataset, Info, Sample
from .formats import LABELS, formats_at, is_scenes, open_at, splits_at
from .images import header, read_image, white_of
from .records import say_once
from .subset import Subset, read_at

_TIMES = re.compile(r"(.+)\*(\d{1,4})")
_ENDS = (".jpg", ".jpeg", ".png", ".webp", ".bmp")


def is_mixture(where: str | Path) -> bool:
    """Whether `where` names labels of whole pictures, alone or beside other data, or sets that are joined."""
    return isinstance(where, str) and (where.startswith(LABELS) or f"+{LABELS}" in where or is_joined(where))


def is_joined(where: str) -> bool:
    """Whether `where` names several sets that each mark their objects: a "+" between places that are there, where there
    is no place of the whole name."""
    parts = where.split("+")
    return (len(parts) > 1 and f"+{LABELS}" not in where and not where.startswith(LABELS)
            and not Path(where).expanduser().exists()
            and all(is_scenes(p) or Path(p).expanduser().exists() for p in (_placed(x) for x in parts)))


def _placed(text: str) -> str:
    many = _TIMES.fullmatch(text)
    return many[1] if many else text


def parts_of(where: str) -> list[tuple[str, int, bool]]:
    """(place, times an epoch, labels alone) of each part. Raises `DataError` where a part has no name."""
    out = []
    for k, text in enumerate(where.split("+") if is_joined(where) else re.split(rf"\+(?={LABELS})", where)):
        alone = text.startswith(LABELS)
        place = text[len(LABELS) :] if alone else text
        many = _TIMES.fullmatch(place)
        place, times = (many[1], int(many[2])) if many else (place, 1)
        if not place or times < 1:
            raise DataError(where, f"part {k + 1} of the mixture names no data",
                            "write BOXES+labels:PICTURES, or BOXES*4+labels:PICTURES")
        out.append((place, times, alone))
    return out


def absolute(where: str) -> str:
    """The same mixture with its folders named from the root of the file system."""
    said = []
    for place, times, alone in parts_of(where):
        place = place if is_scenes(place) else str(Path(place).expanduser().resolve())
        said.append((LABELS if alone else "") + place + (f"*{times}" if times > 1 else ""))
    return "+".join(said)


# ---------------------------------------------------------------- labels of whole pictures


class Labelled:
    """A data set whose objects are hidden: of each picture its `image_labels` alone are known (`Sample.boxed` is
    false)."""

    partly_boxed = True

    def __init__(self, base: Dataset):
        self.base = base

    @property
    def info(self) -> Info:
        return replace(self.base.info, kinds=("image_labels",), semantic=None, panoptic=None, points=None)

    @property
    def fingerprint(self) -> str:
        return f"labels:{self.base.fingerprint}"

    def __len__(self) -> int:
        return len(self.base)

    def __getitem__(self, i: int) -> Sample:
        return self._hide(self.base[i])

    def truth(self, i: int) -> Sample:
        return self._hide(self.base.truth(i))

    def over(self, change: Callable[[Dataset], Dataset]) -> Labelled:
        """The same over `change(base)`."""
        return Labelled(change(self.base))

    def _hide(self, s: Sample) -> Sample:
        there = s.image_labels
        if there is None:
            there = np.zeros(len(self.base.info.classes), np.float32)
            there[s.labels] = 1
        return unboxed(s.image, s.size, there, s.file, s.id)


def unboxed(image: np.ndarray | None, size: tuple[int, int], there: np.ndarray, file: str, id: int) -> Sample:
    """A picture of which only the classes in it are known: `there` (C,) is 1 for those."""
    none = np.zeros(0, np.float32)
    return Sample(image, size, np.zeros((0, 4), np.float32), none.astype(np.int64), none.astype(bool), none,
                  image_labels=there, boxed=False, file=file, id=id)


class Folders:
    """Pictures in folders named by their classes. A picture's class is all that is known of it. Raises `DataError`
    where there are none."""

    partly_boxed = True

    def __init__(self, root: str | Path, split: str = "train"):
        root = Path(root)
        place = root / split if (root / split).is_dir() else root
        names = (sorted(p.name for p in place.iterdir() if p.is_dir() and not p.name.startswith(".")) if place.is_dir()
                 else [])
        self.files = [(p, k) for k, name in enumerate(names) for p in sorted((place / name).iterdir())
                      if p.suffix.lower() in _ENDS]
        if not self.files:
            raise DataError(str(root), "holds no pictures in folders named by their classes",
                            "use FOLDER/CLASS/PICTURE, or FOLDER/train/CLASS/PICTURE")
        self.root = place
        found = white_of([p for p, _ in self.files])
        self._info = Info(root.name, "folders", Classes(tuple(names)), ("image_labels",),
                          white=None if found is None else found.value)

    def with_white(self, white: float) -> Folders:
        """The same pictures read at the scale of another set."""
        new = object.__new__(Folders)
        new.__dict__.update(self.__dict__)
        new._info = replace(self._info, white=white)
        return new

    @property
    def info(self) -> Info:
        return self._info

    @property
    def fingerprint(self) -> str:
        said = [f"{os.path.relpath(p, self.root)}:{p.stat().st_size}" for p, _ in self.files]
        return hashlib.sha256("\n".join(said).encode("utf-8", "surrogatepass")).hexdigest()

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, i: int) -> Sample:
        image = read_image(self.files[i][0], white=self._info.white)
        return self._sample(i, image, (image.shape[0], image.shape[1]))

    def truth(self, i: int) -> Sample:
        return self._sample(i, None, header(self.files[i][0]).size)

    def _sample(self, i: int, image: np.ndarray | None, size: tuple[int, int]) -> Sample:
        path, k = self.files[i]
        return unboxed(image, size, np.eye(1, len(self._info.classes), k, dtype=np.float32)[0], str(path), i)


# ---------------------------------------------------------------- several at once


def union(lists: Sequence[Classes]) -> Classes:
    """All classes of several lists, in the order of their first mention; equal names are one class. A parent told
    anywhere is kept."""
    names = list(dict.fromkeys(n for c in lists for n in c.names))
    first = {n: (c, c.names.index(n)) for c in reversed(lists) for n in c.names}
    parent = {n: p for c in reversed(lists) for n, p in zip(c.names, c.parent) if p}
    if lists and tuple(names) == lists[0].names:
        return replace(lists[0], parent=tuple(parent.get(n, "") for n in names))
    things = tuple(first[n][0].things[first[n][1]] for n in names)
    return Classes(tuple(names), (), things, tuple(parent.get(n, "") for n in names))


class Relabelled:
    """A data set under a longer class list that holds all its names."""

    def __init__(self, base: Dataset, classes: Classes):
        self.base, self.classes = base, classes
        own = base.info.classes.names
        self.same = own == classes.names
        self.table = np.array([classes.names.index(n) for n in own], np.int64)
        self.partly_boxed = bool(getattr(base, "partly_boxed", False))

    @property
    def info(self) -> Info:
        return replace(self.base.info, classes=self.classes)

    @property
    def fingerprint(self) -> str:
        said = "|".join((self.base.fingerprint, *self.classes.names, *self.classes.parent))
        return hashlib.sha256(said.encode("utf-8", "surrogatepass")).hexdigest()

    def __len__(self) -> int:
        return len(self.base)

    def __getitem__(self, i: int) -> Sample:
        return self._rename(self.base[i])

    def truth(self, i: int) -> Sample:
        return self._rename(self.base.truth(i))

    def over(self, change: Callable[[Dataset], Dataset]) -> Relabelled:
        """The same over `change(base)`."""
        return Relabelled(change(self.base), self.classes)

    def _rename(self, s: Sample) -> Sample:
        if self.same:
            return s
        there = s.image_labels
        if there is not None:
            wide = np.zeros(len(self.classes), np.float32)
            wide[self.table] = there
            there = wide
        return replace(s, labels=self.table[s.labels] if len(s.labels) else s.labels, image_labels=there)


class Mixture:
    """Several data sets as one, each `times` an epoch, dealt out evenly: after any stretch each has been read nearly in
    proportion.

    Classes are joined by name. Kinds of truth that only some parts have are left out, but for boxes and image labels: a
    part without boxes gives pictures whose `boxed` is false.
    """

    def __init__(self, parts: Sequence[Dataset], times: Sequence[int] | None = None):
        if not parts:
            raise DataError("a mixture", "has no parts", "name at least one data set")
        white = max((p.info.white for p in parts if p.info.white is not None), default=None)
        parts = [read_at(p, white) for p in parts]  # one scale for all
        self.white = white
        self.times = tuple(times or (1,) * len(parts))
        self.classes = union([p.info.classes for p in parts])
        self.parts: list[Any] = [Relabelled(p, self.classes) for p in parts]
        self.partly_boxed = any(p.partly_boxed for p in self.parts)
        count = [len(p) * t for p, t in zip(self.parts, self.times)]
        place = np.concatenate([(np.arange(n) + 0.5) / max(n, 1) for n in count])
        order = np.argsort(place, kind="stable")
        self.part = np.repeat(np.arange(len(parts)), count)[order]
        self.at = np.concatenate([np.arange(n) % max(len(p), 1) for n, p in zip(count, self.parts)])[order]

    @property
    def info(self) -> Info:
        infos = [p.info for p in self.parts]
        kinds = [k for k in infos[0].kinds if all(k in i.kinds for i in infos)]
        kinds = [k for k in kinds if k not in ("boxes", "image_labels")]
        if any(i.points is None or infos[0].points is None or i.points.names != infos[0].points.names for i in infos):
            kinds = [k for k in kinds if k != "keypoints"]  # a point's number means one thing
        boxes = ["boxes"] if any("boxes" in i.kinds for i in infos) else []
        alike = all(p.same and i.frequency == infos[0].frequency for p, i in zip(self.parts, infos))
        name = "+".join(i.name for i in infos)
        return Info(name, "mixture", self.classes, (*boxes, *kinds, "image_labels"),
                    points=infos[0].points if "keypoints" in kinds else None, white=self.white,
                    frequency=infos[0].frequency if alike else (), difficult=all(i.difficult for i in infos))

    @property
    def fingerprint(self) -> str:
        said = "|".join(f"{p.fingerprint}*{t}" for p, t in zip(self.parts, self.times))
        return hashlib.sha256(said.encode()).hexdigest()

    def __len__(self) -> int:
        return len(self.part)

    def __getitem__(self, i: int) -> Sample:
        found: Sample = self.parts[self.part[i]][int(self.at[i])]
        return found

    def truth(self, i: int) -> Sample:
        found: Sample = self.parts[self.part[i]].truth(int(self.at[i]))
        return found

    def over(self, change: Callable[[Dataset], Dataset]) -> Mixture:
        """The same of `change(part)` for each part."""
        return Mixture([change(p.base) for p in self.parts], self.times)


def origin(data: Dataset, i: int) -> tuple[Dataset, int]:
    """The data set that picture `i` of one that stands around others is read from, and its number there."""
    while True:
        if isinstance(data, Mixture):
            part = data.part[i]
            i, data = int(data.at[i]), data.parts[part]
        elif isinstance(data, Subset):
            i, data = int(data.at[i]), data.base
        elif isinstance(data, Relabelled):
            data = data.base
        else:
            return data, i


def open_mixture(where: str, split: str = "train", **options: Any) -> Dataset:
    """What `where` names. The train split is the mixture; any other is that of the first part,
    under the classes of all.

    What is measured on needs its truth, so only in training are boxes hidden. Where others that are joined have the
    split too, it is said that theirs is not read. Raises `DataError`.
    """
    asked, joined = parts_of(where), is_joined(where)
    train = [_open(place, "train", alone, options if k == 0 or joined else {})
             for k, (place, _, alone) in enumerate(asked)]
    if joined:
        alike(where, [p for p, _, _ in asked], [p.info.classes for p in train])
    if split == "train":
        return train[0] if len(train) == 1 and asked[0][1] == 1 else Mixture(train, [t for _, t, _ in asked])
    place, _, alone = asked[0]
    if joined and (others := [p for p, _, _ in asked[1:] if p != place and split in splits_at(p, **_told(options))]):
        say_once(f"{where}: the split '{split}' is that of {place} alone; that of {', '.join(others)} is not read: "
                 f"measure on it by itself, or write all as one set with `stemma convert`")
    whole = train[0] if alone and isinstance(train[0], Folders) else open_at(place, split, **options)
    if isinstance(whole, Folders):
        whole = Folders(Path(place).expanduser(), split)
    return whole if len(train) == 1 else Relabelled(whole, union([p.info.classes for p in train]))


def _told(options: dict[str, Any]) -> dict[str, Any]:
    """The options that say which splits there are."""
    return {k: v for k, v in options.items() if k not in ("on_fault", "classes")}


def alike(where: str, places: Sequence[str], lists: Sequence[Classes]) -> None:
    """Raises `DataError` where sets that are joined have not the same classes in the same order."""
    for place, other in zip(places[1:], lists[1:]):
        if other.names != lists[0].names:
            at = next((i for i, (a, b) in enumerate(zip(lists[0].names, other.names)) if a != b),
                      min(len(lists[0]), len(other)))
            mine, theirs = (x.names[at] if at < len(x) else "nothing" for x in (lists[0], other))
            raise DataError(where, f"{places[0]} and {place} have not the same classes: class {at} is '{mine}' and "
                            f"'{theirs}'", "give both one list with --classes", field="classes")


def _open(place: str, split: str, alone: bool, options: dict[str, Any]) -> Dataset:
    path = Path(place).expanduser()
    if alone and not is_scenes(place) and path.is_dir() and not formats_at(path):
        return Folders(path, split)
    data = open_at(place, split, **options)
    return Labelled(data) if alone else data


def splits_of(where: str) -> tuple[str, ...]:
    """The splits that can be opened: those of the first part."""
    place, _, alone = parts_of(where)[0]
    path = Path(place).expanduser()
    if alone and not is_scenes(place) and path.is_dir() and not formats_at(path):
        found = [s for s in ("train", "val", "test") if (path / s).is_dir()]
        return tuple(found) or ("train",)
    return splits_at(place)


__all__ = ["Folders", "Labelled", "Mixture", "Relabelled", "absolute", "is_mixture", "open_mixture", "origin",
           "parts_of", "splits_of", "unboxed", "union"]
