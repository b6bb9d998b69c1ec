"""Data sets of pictures with one class each, or several: what networks are carried over to.

    drawn, drawn:waves            sets that are drawn in memory (`data.drawn_classes`); drawn:levels: concepts that were
                                  seen and five levels of others (`data.drawn_concepts`)
    my/flowers                    folders train, val, test of class folders; or class folders alone, which are divided;
                                  or train.txt, val.txt, test.txt, "path class" a line
    digits.npz                    x_train, y_train, x_test, y_test (x_val, y_val), or x, y; pictures uint8 (N, H, W) or
                                  (N, H, W, 3), or features float (N, D), which no network is asked for
    my/cog_l5                     features_train/X_Y.pth and features_test/X_Y.pth, features as ImageNet-CoG's code
                                  extracts them (tensors X (N, D), Y (N,)); no network is asked for them
    few:30:my/caltech             of any of these 30 pictures of each class by chance to learn from, all others to
                                  measure on, as Caltech-101 is divided
    crops:my/boxes                every object of a set with boxes, cut out, by its class (any format of `data.open`)
    labels:my/boxes               its pictures, by all the classes that are in them
    levels:my/cog                 levels.json (or .pkl) beside folders of concepts, n02084071,
                                  and split.json (or .pkl) where
                                  it is there: the sets L1, L2 ... (ImageNet-CoG)

Several with commas between. What a set has no split for is divided off by a hash of the files' names, class by class:
a fifth of training to validate on, a fifth of all to test on.

Axes: N pictures, C classes, D features.
"""
from __future__ import annotations

import functools
import hashlib
import os
import warnings
import zlib
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, is_zipfile

import numpy as np
from numpy.typing import NDArray

from ..core.samples import DataError
from ..core.sentence import many
from . import drawn_classes, drawn_concepts
from .classes.folders import folder_of, lists_at, repeated, row_of
from .concepts import read_levels, read_split
from .files import SPLITS, lines_of, read_bytes
from .finding import each_of
from .images import check_name, listing, read_image, safe_join, walk
from .records import DataWarning, alike

Labels = NDArray[Any]
HELD = 0.2  # of training to validate on, of all to test on
LEAST = 16  # pixels: objects with a shorter side are no crops
FEWEST = 10  # crops of training: classes with fewer are left out
EXTRACTED = "features_{}/X_Y.pth"
ARRAYS = (("x", "y"), ("images", "labels"), ("data", "target"), ("X", "Y"))


@dataclass(frozen=True)
class Part:
    """A split: labels int64 (N,), or bool (N, C) where a picture may have several; `read(i)` gives a picture uint8
    (H, W, 3), or features float32 (D,). Equal contents have an equal `digest`; `each`: of every picture (N,), where it
    is known."""

    labels: Labels
    read: Callable[[int], NDArray[Any]]
    digest: str
    each: NDArray[Any] | None = None

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Labelled:
    """A data set: "train", "val" and "test"; `notes` say what was derived or left out."""

    name: str
    classes: tuple[str, ...]
    parts: dict[str, Part]
    notes: tuple[str, ...] = ()
    features: int = 0  # numbers a row where rows are features; 0: pictures

    @property
    def many(self) -> bool:
        """Whether a picture may have several classes."""
        return bool(self.parts["train"].labels.ndim == 2)

    @property
    def digest(self) -> str:
        """Of all that is in it."""
        return _digest(self.name, *self.classes, *(p.digest for p in self.parts.values()))


def open_sets(text: str | Path) -> list[Labelled]:
    """The data sets that `text` names, with commas between. Raises `DataError` for one that cannot be read, and where
    two have one name."""
    whole = str(text)
    given = [n for g in each_of(whole) if g.strip(" ,") for n in drawn_sets(g)]
    if not given:
        raise DataError(whole, "names no data set", "write a folder, a file or drawn, several with commas between")
    found = [s for g in given for s in (levelled(g.partition(":")[2]) if g.startswith("levels:") else [open_set(g)])]
    names = [s.name for s in found]
    if twice := sorted({n for n in names if names.count(n) > 1}):
        raise DataError(whole, f"holds two data sets that are called {twice[0]}", "rename a folder")
    return found


def drawn_sets(name: str) -> list[str]:
    """The drawn sets that a name stands for: "drawn" and "drawn:levels" for several; any other for itself."""
    sets: dict[str, Iterable[str]] = {"drawn": drawn_classes.TARGETS}
    if name == "drawn:levels":
        sets[name] = drawn_concepts.sets()
    return [f"drawn:{t}" for t in sets[name]] if name in sets else [name]


def open_set(where: str | Path) -> Labelled:
    """One data set. Raises `DataError`."""
    kind, colon, rest = str(where).partition(":")
    if len(several := drawn_sets(str(where))) > 1:
        raise DataError(str(where), f"is {len(several)} sets", f"name one: {', '.join(several)}")
    if kind == "drawn" and colon:
        return _drawn(rest)
    if kind == "few" and colon:
        return _fewer(rest)
    if kind in ("crops", "labels") and colon:
        return _of_boxes(kind, rest)
    path = Path(where).expanduser()
    if not path.exists():
        raise DataError(str(where), "there is no such folder or file", "check the path; drawn needs none")
    if (path / EXTRACTED.format("train")).is_file():
        return _extracted(path)
    return _arrays(path) if path.is_file() else _folder(path)


def _digest(*said: str) -> str:
    h = hashlib.blake2b(digest_size=16)
    for s in said:
        h.update(s.encode("utf-8", "surrogatepass") + b"\0")
    return h.hexdigest()


def _finished(name: str, classes: Sequence[str], parts: dict[str, Part], names: dict[str, list[str]],
              notes: Sequence[str] = (), features: int = 0) -> Labelled:
    """The set with the splits that it lacks divided off. names: what each part's pictures are called."""
    said = [*notes, *alike(classes)]
    if len(classes) < 2 and all(p.labels.ndim == 1 for p in parts.values()):
        raise DataError(name, f"has labels of {len(classes)} class(es)", "save pictures of two classes or more")
    if "train" not in parts:
        raise DataError(name, "has nothing to train on", "call a split train")
    if "test" not in parts and "val" in parts:
        parts["test"], names["test"] = parts.pop("val"), names.pop("val")
        said.append("measured on its val, for it has no test")
    for split, of in (("test", "all"), ("val", "train")):
        if split not in parts:
            keep, off = _apart(parts["train"], names["train"])
            parts[split], names[split] = _taken(parts["train"], off), [names["train"][i] for i in off]
            parts["train"], names["train"] = _taken(parts["train"], keep), [names["train"][i] for i in keep]
            said.append(f"a fifth of {of} is its {split}")
            if not len(parts[split]) and len(parts["train"]):
                raise DataError(name, f"has too few pictures of each class to hold some out as its {split}",
                                "give three or more pictures of a class, or a split of your own")
    for split, part in parts.items():
        if not len(part):
            raise DataError(name, f"has no picture in {split}", "add pictures, or let it be divided")
    if parts["train"].labels.ndim == 1:
        said += _lacking(classes, parts)
    said += _known_before(parts, names)
    return Labelled(name, tuple(classes), {s: parts[s] for s in SPLITS}, tuple(said), features)


def _lacking(classes: Sequence[str], parts: dict[str, Part]) -> list[str]:
    """Lines on classes that a split has no picture of."""
    there = {s: np.bincount(parts[s].labels, minlength=len(classes)) > 0 for s in ("train", "test")}
    found = []
    for lost, says in ((~there["train"] & there["test"], "have no picture in train, so none of theirs in test is told "
                        "right"), (~there["test"], "have no picture in test, so nothing is measured of them")):
        if lost.any():
            names = [str(classes[i]) for i in np.flatnonzero(lost).tolist()]
            found.append(f"{len(names)} of {len(classes)} class(es) {says}: {', '.join(names[:3])}"
                         + " ..." * (len(names) > 3))
    return found


def _known_before(parts: dict[str, Part], names: dict[str, list[str]]) -> list[str]:
    """Lines on pictures that a split shares with one that it is held against."""
    found = []
    for split, other, says in (("test", "train", "what is measured there was learned"),
                               ("test", "val", "what is measured there was chosen by"),
                               ("val", "train", "what is chosen by was learned")):
        one, two = parts[split].each, parts[other].each
        if one is not None and two is not None and (same := np.flatnonzero(np.isin(one, two))).size:
            found.append(f"{many(len(same), 'picture')} of {split} {'is' if len(same) == 1 else 'are'} in {other} too, "
                         f"so {says}; the first is {names[split][int(same[0])]}")
    return found


def _apart(part: Part, names: list[str]) -> tuple[list[int], list[int]]:
    """Index of what is kept and what is held out: of each class those whose names have the least hashes."""
    groups = part.labels if part.labels.ndim == 1 else np.zeros(len(part), np.int64)
    rank = np.array([_digest(n) for n in names])
    off: list[int] = []
    for g in np.unique(groups):
        at = np.flatnonzero(groups == g)
        off += at[np.argsort(rank[at], kind="stable")][: max(round(len(at) * HELD), int(len(at) > 1))].tolist()
    out = set(off)
    return [i for i in range(len(part)) if i not in out], sorted(off)


def _taken(part: Part, index: Sequence[int]) -> Part:
    """Some pictures of a split."""
    at = np.asarray(index, np.int64)
    return Part(part.labels[at], lambda i: part.read(int(at[i])),
                _digest(part.digest, hashlib.blake2b(at.tobytes(), digest_size=16).hexdigest()),
                None if part.each is None else part.each[at])


def few(part: Part, each: int, seed: int) -> Part:
    """`each` pictures of every class, by chance; all of a class that has fewer. In the order of the split."""
    return _taken(part, _some(part, each, seed))


def _some(part: Part, each: int, seed: int) -> list[int]:
    rng = np.random.default_rng([seed, each, 11])
    index = [rng.permutation(np.flatnonzero(part.labels == c))[:each] for c in np.unique(part.labels)]
    return sorted(np.concatenate(index).tolist())


def _fewer(text: str) -> Labelled:
    """"30:PLACE": so many pictures of each class of all that are at PLACE to learn from, the others to measure on."""
    number, _, place = text.partition(":")
    if not number.isdecimal() or not int(number) or not place:
        raise DataError(f"few:{text}", "says not how many pictures of which set", "write few:30:PLACE")
    one = open_set(place)
    if one.many:
        raise DataError(place, "has pictures of several classes", "few: takes sets of one class a picture")
    whole = joined(joined(one.parts["train"], one.parts["val"]), one.parts["test"])
    chosen = _some(whole, int(number), 0)
    index = {"train": chosen, "test": np.setdiff1d(np.arange(len(whole)), chosen).tolist()}
    note = f"{number} pictures of each class by chance to learn from, the others to measure on"
    return _finished(one.name, one.classes, {s: _taken(whole, at) for s, at in index.items()},
                     {s: [str(i) for i in at] for s, at in index.items()}, [note], one.features)


def joined(one: Part, other: Part) -> Part:
    """Two splits as one."""
    n = len(one)
    return Part(np.concatenate([one.labels, other.labels]), lambda i: one.read(i) if i < n else other.read(i - n),
                _digest(one.digest, other.digest),
                None if one.each is None or other.each is None else np.concatenate([one.each, other.each]))


# ---------------------------------------------------------------- drawn, arrays


@functools.lru_cache(maxsize=8)
def _drawn(name: str) -> Labelled:
    drawn = drawn_classes.SETS.get(name) or drawn_concepts.sets().get(name)
    if drawn is None:
        raise DataError(f"drawn:{name}", "is not drawn",
                        f"Name one of {', '.join([*drawn_classes.SETS, *drawn_concepts.sets(), 'levels'])}")
    parts = {}
    for split in SPLITS:
        x, y = drawn.split(split)
        parts[split] = Part(y, x.__getitem__, _digest(hashlib.blake2b(x.tobytes(), digest_size=16).hexdigest(),
                                                      hashlib.blake2b(y.tobytes(), digest_size=16).hexdigest()))
    return Labelled(name, drawn.classes, parts)


def _arrays(path: Path) -> Labelled:
    if path.suffix != ".npz":
        raise DataError(str(path), "is no data set of pictures with classes", "give a folder or an .npz")
    if not is_zipfile(path):
        raise DataError(str(path), "is no .npz, or cut short", "save plain arrays with numpy.savez")
    try:
        with np.load(path, allow_pickle=False) as file:
            held = {k: file[k] for k in file.files}
    except (OSError, EOFError, ValueError, BadZipFile, zlib.error) as e:
        raise DataError(str(path), f"cannot be read ({str(e)[:100]})", "save plain arrays with numpy.savez") from None
    found: dict[str, tuple[NDArray[Any], Labels]] = {}
    for split in ("train", "val", "test", ""):
        for x, y in ARRAYS:
            keys = (f"{x}_{split}", f"{y}_{split}") if split else (x, y)
            if keys[0] in held and keys[1] in held:
                found.setdefault(split or "train", (held[keys[0]], _row(held[keys[1]])))
    if not found:
        raise DataError(str(path), f"holds {', '.join(sorted(held)) or 'nothing'}",
                        "name its arrays x_train, y_train, x_test, y_test, or x, y")
    shown = next(iter(found.values()))[0]
    wide = int(shown.shape[1]) if shown.ndim == 2 else 0
    names = _class_names(str(path), [y for _, y in found.values()])
    columns = next(iter(found.values()))[1].shape[1:]
    for split, (rows, labels) in found.items():
        if rows.ndim == 2 and rows.shape[1] != wide or labels.shape[1:] != columns:
            raise DataError(str(path), f"{split} is of shapes {rows.shape} and {labels.shape}, which no other "
                            "split has", "save as many features and columns of labels in each split")
    notes = []
    if columns and all(y.dtype.kind != "b" and (y.sum(1) == 1).all() for _, y in found.values()):
        found = {s: (x, y.argmax(1)) for s, (x, y) in found.items()}
        notes = ["each row of its labels has a single 1, which is taken for its class; columns of yes and no (bool) "
                 "may have several"]
    parts = {s: _array_part(path, s, x, y, names) for s, (x, y) in found.items()}
    every = {s: [f"{s} {i}" for i in range(len(p))] for s, p in parts.items()}
    return _finished(path.stem, [str(n) for n in names], parts, every, notes, features=wide)


def _extracted(path: Path) -> Labelled:
    """Features that ImageNet-CoG's extract_features.py wrote, a file a split; of a pickle tensors are read alone."""
    import torch

    found: dict[str, tuple[NDArray[Any], Labels]] = {}
    for split in SPLITS:
        if (file := path / EXTRACTED.format(split)).is_file():
            try:
                held = torch.load(file, map_location="cpu", weights_only=True)
                x, y = (held[k].numpy() for k in ("X", "Y"))
            except Exception as e:  # torch raises pickle's own errors, and what else a strange file asks for
                raise DataError(str(file), f"holds no tensors X and Y ({' '.join(str(e).split())[:80]})",
                                "extract the features again: torch.save({'X': float (N, D), 'Y': long (N,)})") from None
            if x.ndim != 2 or y.ndim != 1 or y.dtype.kind not in "iu":
                raise DataError(str(file), f"has X of shape {x.shape} and Y of {y.dtype} {y.shape}",
                                "X is (N, D), and Y a row of class numbers")
            found[split] = x, y
    names, wide = _class_names(str(path), [y for _, y in found.values()]), found["train"][0].shape[1]
    if other := next((s for s, (x, _) in found.items() if x.shape[1] != wide), None):
        raise DataError(str(path), f"{other} has {found[other][0].shape[1]} features a picture and train {wide}",
                        "extract both by one network")
    parts = {s: _array_part(path, s, x, y, names) for s, (x, y) in found.items()}
    every = {s: [f"{s} {i}" for i in range(len(p))] for s, p in parts.items()}
    return _finished(path.resolve().name, [str(n) for n in names], parts, every, features=wide)


def _row(labels: Labels) -> Labels:
    """Classes in a column, as Keras keeps them, are a row of classes; a column of yes and no (bool) stays one."""
    return labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 and labels.dtype.kind != "b" else labels


def _class_names(where: str, labels: list[Labels]) -> list[Any]:
    if strange := [y.dtype for y in labels if y.dtype.kind not in "biufUS"]:
        raise DataError(where, f"has labels of {strange[0]}", "save class numbers, or names")
    if any(y.dtype.kind == "f" and not np.isfinite(y).all() for y in labels):
        raise DataError(where, "has labels that are not finite", "leave out the pictures that have none")
    if part := [v for y in labels if y.dtype.kind == "f" for v in np.unique(y[y % 1 != 0]).tolist()]:
        raise DataError(where, f"has {part[0]:g} among its labels", "save whole numbers for classes, or names")
    if labels[0].ndim == 2:
        if other := [v for y in labels for v in np.unique(y).tolist() if v not in (0, 1)]:
            raise DataError(where, f"has {other[0]} in labels of shape {labels[0].shape}",
                            "save 1 for each class that a picture has and 0 for the others, or a row of class numbers")
        return list(range(labels[0].shape[1]))
    if any(y.ndim != 1 for y in labels):
        raise DataError(where, "has labels that are no row of classes", "save one class a picture")
    if len({y.dtype.kind in "US" for y in labels}) > 1:
        raise DataError(where, "has numbers for labels in one split and text in another", "save one kind in all")
    return sorted({v for y in labels for v in y.tolist()})


def _array_part(path: Path, split: str, x: NDArray[Any], y: Labels, names: list[Any]) -> Part:
    grey, colour = x.ndim == 3, x.ndim == 4 and x.shape[3] == 3
    if x.ndim > 2 and not all(x.shape[1:3]):
        raise DataError(str(path), f"{split} has pictures of {x.shape[1]} x {x.shape[2]} pixels", "leave them out")
    if len(x) != len(y) or not (x.ndim == 2 and x.shape[1] or (grey or colour) and x.dtype == np.uint8):
        raise DataError(str(path), f"{split} is {x.dtype} of shape {x.shape} beside {len(y)} labels",
                        "save pictures as uint8 (N, H, W) or (N, H, W, 3), or features as (N, D)")
    at = {v: i for i, v in enumerate(names)}
    labels = y.astype(bool) if y.ndim == 2 else np.array([at[v] for v in y.tolist()], np.int64)
    said = _digest(*(hashlib.blake2b(np.ascontiguousarray(a).tobytes(), digest_size=16).hexdigest()
                     for a in (x, labels)))
    if x.ndim == 2:
        if x.dtype.kind not in "biuf" or not np.isfinite(x).all():
            raise DataError(str(path), f"{split} has features that are no numbers, or not finite",
                            "save them as float (N, D), and leave out the rows that have none")
        rows = x.astype(np.float32)
        return Part(labels, rows.__getitem__, said, _marks(rows))
    return Part(labels, lambda i: np.repeat(x[i][..., None], 3, -1) if grey else x[i], said, _marks(x))


def _marks(rows: NDArray[Any]) -> NDArray[Any]:
    """What tells rows of arrays apart by their contents."""
    return np.array([hashlib.blake2b(np.ascontiguousarray(r).tobytes(), digest_size=16).hexdigest() for r in rows])


# ---------------------------------------------------------------- folders


def _folder(path: Path) -> Labelled:
    if lists := lists_at(path):
        return _listed(path, lists)
    folders = {s: name for s in SPLITS if (name := folder_of(path, s))}
    if "train" not in folders:
        folders = {"train": "."}
    files = {s: [f for f in walk(path / name) if "/" in f] for s, name in folders.items()}
    classes = sorted({f.rpartition("/")[0] for of in files.values() for f in of})
    if len(classes) < 2:
        raise DataError(str(path), f"has {many(len(classes), 'folder')} of pictures, and a class is a folder",
                        "put the pictures of each class into a folder of its own")
    at = {c: i for i, c in enumerate(classes)}
    parts = {s: _files(path / folders[s], of, [at[f.rpartition("/")[0]] for f in of]) for s, of in files.items()}
    bare = [f"{d} of {s}" if len(folders) > 1 else d for s, name in folders.items() for d in _bare(path / name)]
    notes = [many(len(bare), "folder holds no picture and is no class there",
                  "folders hold no picture and are no classes there") + f": {', '.join(bare[:3])}"
             + " ..." * (len(bare) > 3)] if bare else []
    if inner := [c for c in classes if any(c.startswith(f"{o}/") for o in classes)]:
        notes.append(f"{many(len(inner), 'class lies', 'classes lie')} within another, each folder of pictures being "
                     f"one: {', '.join(inner[:3])}" + " ..." * (len(inner) > 3))
    return _finished(path.resolve().name, classes, parts, dict(files), notes)


def _bare(root: Path) -> list[str]:
    """Folders with neither a picture nor a folder in them."""
    found = [Path(at) for at, folders, _ in os.walk(root) if not [f for f in folders if not f.startswith(".")]]
    return sorted(p.relative_to(root).as_posix() for p in found if p != root and not listing(p)
                  and not any(x.startswith(".") for x in p.relative_to(root).parts))


def _files(root: Path, files: list[str], labels: list[int]) -> Part:
    paths = [safe_join(root, f) for f in files]
    said = [hashlib.blake2b(read_bytes(p), digest_size=16).hexdigest() for p in paths]
    return Part(np.array(labels, np.int64), lambda i: read_image(paths[i]),
                _digest(*(f"{s} {k}" for s, k in zip(said, labels))), np.array(said))


def _listed(path: Path, lists: dict[str, Path]) -> Labelled:
    """Split files: "path class" a line, or a path whose folder is its class."""
    rows: dict[str, list[tuple[str, str]]] = {}
    for split, file in lists.items():
        rows[split] = []
        for number, line in enumerate(lines_of(file), 1):
            if not line:
                continue
            name, label = row_of(line, path)
            if not name or not label:
                raise DataError(str(file), "has no class", "write path and class", f"line {number}")
            check_name(name, str(file), f"line {number}")
            if not safe_join(path, name).is_file():
                raise DataError(str(file), f"names {name}, and there is no such picture in {path}",
                                "restore it, or leave the line out", f"line {number}")
            rows[split].append((name, label))
    classes = sorted({c for of in rows.values() for _, c in of}, key=lambda c: (not c.isdecimal(), int(c) if
                                                                               c.isdecimal() else 0, c))
    at = {c: i for i, c in enumerate(classes)}
    parts = {s: _files(path, [f for f, _ in of], [at[c] for _, c in of]) for s, of in rows.items()}
    again = [f"{many(len(twice), 'line names', 'lines name')} a picture that a line before names; the first is "
             f"{Path(twice[0][0]).name}, {twice[0][1]}: {twice[0][2]} stands in {twice[0][3]}"
             ] if (twice := repeated(path)) else []
    return _finished(path.resolve().name, classes, parts, {s: [f for f, _ in of] for s, of in rows.items()}, again)


def levelled(where: str | Path) -> list[Labelled]:
    """The levels of ImageNet-CoG in a folder, a set each, labels in the order of the concepts' names. Pictures are
    known by their names and sizes, for there may be millions; one of the split file that is not there is left out, and
    it is said how many. Files may be called as in its release, and names in them begin with their concept's folder or
    not. Raises `DataError`."""
    root = Path(where).expanduser()
    files = {k: next((f for e in (f"{k}.json", f"{k}.pkl", f"cog_*{k}*.pkl") for f in sorted(root.glob(e))
                      if f.is_file()), None) for k in ("levels", "split")}
    if files["levels"] is None:
        raise DataError(str(where), "holds no levels.json or levels.pkl", "write a list of lists of concepts")
    split = read_split(files["split"]) if files["split"] else {}
    out = []
    for i, level in enumerate(read_levels(files["levels"]), 1):
        classes = sorted(level)
        listed: dict[str, list[str]] = {"train": [], "test": []} if split else {"train": []}
        for c in classes:
            if split and c not in split:
                raise DataError(str(files["split"]), "does not divide it", "write its train and test", c)
            for s, names in (split[c] if split else {"train": walk(root / c)}).items():
                listed[s] += [n if n.startswith(f"{c}/") else f"{c}/{n}" for n in names]
        at = {c: k for k, c in enumerate(classes)}
        parts = {}
        for s, names in listed.items():
            paths = [safe_join(root, n) for n in names]
            if lost := [k for k, p in enumerate(paths) if not p.is_file()]:
                gone, missing = set(lost), str(paths[lost[0]])
                names[:] = [n for k, n in enumerate(names) if k not in gone]
                paths = [p for k, p in enumerate(paths) if k not in gone]
                if not names:
                    raise DataError(missing, "there is no such image, nor any other of its split", "restore the files")
                warnings.warn(f"{where}: {len(lost)} of {len(lost) + len(names)} pictures of L{i}, {s}, are not there "
                              f"and left out; the first is {missing}", DataWarning, stacklevel=2)
            labels = np.array([at[n.partition("/")[0]] for n in names], np.int64)
            read = functools.partial(_read_at, paths)
            parts[s] = Part(labels, read, _digest(*(f"{n} {p.stat().st_size}" for n, p in zip(names, paths))))
        out.append(_finished(f"L{i}", classes, parts, listed))
    return out


def _read_at(paths: list[Path], i: int) -> NDArray[Any]:
    return read_image(paths[i])


# ---------------------------------------------------------------- of sets with boxes


def _of_boxes(kind: str, where: str) -> Labelled:
    """A set of `data.open`: its objects cut out, or its pictures by all that is in them."""
    from .open import open_dataset, splits

    there = splits(where)
    if "train" not in there:
        raise DataError(where, f"has nothing to train on: its splits are {', '.join(there)}", "call a split train")
    data = {s: open_dataset(where, s) for s in there if s in SPLITS}
    names = data["train"].info.classes.names
    parts: dict[str, Part] = {}
    called: dict[str, list[str]] = {}
    notes: list[str] = []
    for split, one in data.items():
        at, lost = _readable(one)
        if lost:
            notes.append(f"{many(len(lost), 'picture')} of {split} cannot be read and left out; the first: {lost[0]}")
        part, called[split] = _crops(one, at) if kind == "crops" else _pictures(one, at, len(names))
        parts[split] = replace(part, digest=_digest(kind, one.fingerprint, split, *lost))
    if kind == "crops":
        count = np.bincount(parts["train"].labels, minlength=len(names))
        kept = [c for c in range(len(names)) if count[c] >= FEWEST]
        if len(kept) < 2:
            raise DataError(where, f"has {len(kept)} class(es) with {FEWEST} objects or more of {LEAST} pixels",
                            "take a larger set")
        if len(kept) < len(names):
            notes.append(f"{len(names) - len(kept)} of {len(names)} classes have fewer than {FEWEST} objects of "
                         f"{LEAST} pixels in training and are left out")
        for split, part in parts.items():
            at = np.flatnonzero(np.isin(part.labels, kept)).tolist()
            fewer = _taken(part, at)
            parts[split] = replace(fewer, labels=np.searchsorted(kept, fewer.labels).astype(np.int64))
            called[split] = [called[split][i] for i in at]
        names = tuple(names[c] for c in kept)
    return _finished(Path(where).name or kind, names, parts, called, notes)


def _readable(data: Any) -> tuple[list[int], list[str]]:
    """(index of the pictures that can be read, what is wrong with the others); what is drawn is not looked at."""
    from .scenes import Scenes

    if isinstance(data, Scenes):
        return list(range(len(data))), []
    view = data.narrow(()) if hasattr(data, "narrow") else data

    def wrong(i: int) -> str:
        try:
            view[i]
        except DataError as e:
            return str(e)
        return ""

    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        found = list(pool.map(wrong, range(len(data))))
    return [i for i, w in enumerate(found) if not w], [w for w in found if w]


def _crops(data: Any, index: Sequence[int]) -> tuple[Part, list[str]]:
    """Every object of some pictures with sides of LEAST pixels or more, cut out of its picture."""
    at: list[tuple[int, int]] = []
    labels: list[int] = []
    called: list[str] = []
    for i in index:
        t = data.truth(i)
        sides = np.minimum(t.boxes[:, 2] - t.boxes[:, 0], t.boxes[:, 3] - t.boxes[:, 1])
        for k in np.flatnonzero((sides >= LEAST) & ~t.crowd):
            at.append((i, int(k)))
            labels.append(int(t.labels[k]))
            called.append(f"{t.file} {k}")
    shown = functools.lru_cache(maxsize=1)(data.__getitem__)

    def read(n: int) -> NDArray[Any]:
        i, k = at[n]
        s = shown(i)
        h, w = s.image.shape[:2]
        x0, y0, x1, y1 = (int(round(float(v))) for v in s.boxes[k])
        cut: NDArray[Any] = s.image[max(y0, 0) : min(y1, h), max(x0, 0) : min(x1, w)]
        return cut

    return Part(np.array(labels, np.int64), read, ""), called


def _pictures(data: Any, index: Sequence[int], classes: int) -> tuple[Part, list[str]]:
    """Some pictures with all the classes of their objects (of which VOC's difficult ones are none)."""
    labels = np.zeros((len(index), classes), bool)
    called = []
    for n, i in enumerate(index):
        t = data.truth(i)
        labels[n, t.labels[~t.crowd]] = True
        called.append(f"{t.file} {i}")
    return Part(labels, lambda n: np.asarray(data[index[n]].image), ""), called


def say(sets: Sequence[Labelled]) -> None:
    """Warn, once each, of what was derived or left out."""
    for s in sets:
        for note in s.notes:
            warnings.warn(f"{s.name}: {note}", stacklevel=2)


__all__ = ["Labelled", "Part", "few", "joined", "open_set", "open_sets", "say"]
