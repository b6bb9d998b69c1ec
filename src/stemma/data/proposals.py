"""Boxes from outside: selective search and other sources, as a data set around a data set,
computed once a picture and kept on disk.

What is kept is one small .npy file a picture, named by the picture's pixels and the settings: it is found again
whatever the data set, split or run, and is written whole or not at all,
so any number of processes may share the folder.
"""
from __future__ import annotations

import contextlib
import hashlib
import json
import os
import threading
import warnings
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, replace
from pathlib import Path
from typing import Any, get_args, get_type_hints
from zipfile import BadZipFile

import numpy as np
from jaxtyping import Float32, UInt8

from ..core.recipe import ProposalSource, Recipe
from ..core.samples import DataError, Dataset, Info, Sample, StemmaError
from .records import DataWarning

EXTRA = ("selective search and edge boxes need OpenCV's contributed modules: pip install 'stemma-vision[proposals]' "
         "(opencv-contrib-python-headless), or take the boxes from elsewhere: --proposals grid, or --proposals FILE")
KEPT = ("selective-search", "edge-boxes")  # what is worth keeping
KINDS: tuple[str, ...] = tuple(k for k in get_args(get_type_hints(ProposalSource)["kind"]) if k not in ("none", "file"))
VERSION = 1  # of what is kept: raised when equal settings would give other boxes
Boxes = Float32[np.ndarray, "P 4"]


# ---------------------------------------------------------------- sources



def wants(recipe: Recipe) -> bool:
    """Whether a system takes its boxes from outside."""
    return recipe.proposals.kind != "none"


def sourced(recipe: Recipe, given: str | None) -> Recipe:
    """The recipe with its boxes from `given`: the name of a source, or a file of proposals. None leaves it as it is.

    Raises `StemmaError` for a system that makes its own, and for what is neither a source nor a file.
    """
    if given is None:
        return recipe
    if not wants(recipe):
        raise StemmaError(f"this system makes its own boxes; proposals from '{given}' would change nothing")
    if given in KINDS:
        return replace(recipe, proposals=ProposalSource(**{**vars(recipe.proposals), "kind": given, "file": ""}))
    if Path(given).suffix not in (".json", ".npz"):
        raise StemmaError(f"no source of proposals '{given}'; there are {', '.join(KINDS)}, or a file: COCO results "
                          "JSON or .npz")
    return replace(recipe, proposals=replace(recipe.proposals, kind="file", file=str(given)))


def boxes_of(image: UInt8[np.ndarray, "H W 3"], how: ProposalSource) -> Boxes:
    """The proposals of a picture by `how`, which looks at nothing but the picture.
    Raises `StemmaError` where a package is missing."""
    if how.kind == "selective-search":
        return selective_search(image, how)
    if how.kind == "edge-boxes":
        return edge_boxes(image, how)
    assert how.kind == "grid", f"{how.kind} needs more than the picture"
    return grid((image.shape[0], image.shape[1]), how.count)


def _contrib() -> Any:
    """cv2 with its contributed modules. Raises `StemmaError`."""
    try:
        import cv2
    except ImportError as error:
        raise StemmaError(EXTRA) from error
    if not hasattr(cv2, "ximgproc") or not hasattr(cv2.ximgproc, "segmentation"):
        raise StemmaError(f"the OpenCV installed here lacks its contributed modules (cv2.ximgproc). {EXTRA}")
    return cv2


def _looked_at(cv2: Any, image: np.ndarray, width: int) -> np.ndarray:
    h, w = image.shape[:2]
    bgr = np.ascontiguousarray(image[..., ::-1])
    if width and w != width:
        bgr = cv2.resize(bgr, (width, max(1, round(h * width / w))),
                         interpolation=cv2.INTER_AREA if width < w else cv2.INTER_LINEAR)
    return np.asarray(bgr)


def selective_search(image: UInt8[np.ndarray, "H W 3"], how: ProposalSource) -> Boxes:
    """Selective search (Uijlings et al. 2013; the settings of `how` are R-CNN's "fast" ones unless told otherwise).

    The boxes of all groupings without duplicates, ordered by rank x a random number as in their sec. 3.3, where a box's
    rank counts from the largest down. The random numbers are a function of the boxes,
    so a picture always has the same proposals.
    """
    cv2 = _contrib()
    looked = _looked_at(cv2, image, how.width)
    seg = cv2.ximgproc.segmentation
    search = seg.createSelectiveSearchSegmentation()
    search.setBaseImage(looked)
    spaces = {"hsv": cv2.COLOR_BGR2HSV, "lab": cv2.COLOR_BGR2Lab, "rgb": cv2.COLOR_BGR2RGB, "grey": cv2.COLOR_BGR2GRAY,
              "yuv": cv2.COLOR_BGR2YUV}
    for colour in how.colours:
        if colour not in spaces:
            raise StemmaError(f"recipe.proposals.colours: no colour space '{colour}'; there are {', '.join(spaces)}")
        search.addImage(cv2.cvtColor(looked, spaces[colour]))
    for k in how.scales:
        search.addGraphSegmentation(seg.createGraphSegmentation(how.sigma, float(k), int(k)))
    made = {"c": seg.createSelectiveSearchSegmentationStrategyColor,
            "t": seg.createSelectiveSearchSegmentationStrategyTexture, "s":
            seg.createSelectiveSearchSegmentationStrategySize, "f": seg.createSelectiveSearchSegmentationStrategyFill}
    for letters in how.likeness:
        if not letters or set(letters) - set(made):
            raise StemmaError(f"recipe.proposals.likeness: '{letters}' is not made of the letters c, t, s, f (colour, "
                              "texture, size, fill)")
        mixture = seg.createSelectiveSearchSegmentationStrategyMultiple()
        for letter in letters:
            mixture.addStrategy(made[letter](), 1.0 / len(letters))
        search.addStrategy(mixture)
    rects = np.unique(np.asarray(search.process(), np.int64).reshape(-1, 4), axis=0)
    rects = rects[(rects[:, 2:] >= how.least).all(1)]
    rects = rects[np.argsort(-rects[:, 2] * rects[:, 3], kind="stable")]
    chance = np.random.default_rng([len(rects), *rects[:8].ravel().tolist()]).random(len(rects))
    rects = rects[np.argsort((1 + np.arange(len(rects))) * chance, kind="stable")][: how.count]
    return _back(np.concatenate([rects[:, :2], rects[:, :2] + rects[:, 2:]], 1), looked, image)


def edge_boxes(image: UInt8[np.ndarray, "H W 3"], how: ProposalSource) -> Boxes:
    """Edge Boxes (Zitnick & Dollar 2014), best first; edges are the blurred picture's gradients and not a structured
    forest's, which needs a model file."""
    cv2 = _contrib()
    looked = _looked_at(cv2, image, how.width)
    grey = cv2.GaussianBlur(cv2.cvtColor(looked, cv2.COLOR_BGR2GRAY).astype(np.float32) / 255, (0, 0), 1.0)
    dx, dy = cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1)
    edges, angle = np.hypot(dx, dy), (np.arctan2(dy, dx) % np.pi).astype(np.float32)
    finder = cv2.ximgproc.createEdgeBoxes(maxBoxes=how.count, minBoxArea=float(how.least**2))
    rects = np.asarray(finder.getBoundingBoxes(edges / max(float(edges.max()), 1e-6), angle)[0],
                       np.float32).reshape(-1, 4)
    rects = rects[(rects[:, 2:] >= how.least).all(1)][: how.count]
    return _back(np.concatenate([rects[:, :2], rects[:, :2] + rects[:, 2:]], 1), looked, image)


def _back(boxes: np.ndarray, looked: np.ndarray, image: np.ndarray) -> Boxes:
    """Boxes in pixels of the picture that was looked at, in those of the picture, cut to it."""
    h, w = image.shape[:2]
    scaled = boxes.astype(np.float32) * np.array([w / looked.shape[1], h / looked.shape[0]] * 2, np.float32)
    return np.clip(scaled, 0, np.array([w, h, w, h], np.float32)).astype(np.float32)


def grid(size: tuple[int, int], count: int) -> Boxes:
    """Sliding windows over a picture of `size` (height, width): sides from all of it down to an eighth, shapes 1:1, 1:2
    and 2:1, a step of a quarter of a side; large ones first, the smallest size that `count` cannot hold thinned
    evenly."""
    h, w = size
    found: list[np.ndarray] = []
    for k in range(7):
        level = []
        for shape in (1.0, 0.5, 2.0):
            bw, bh = min(w * 2 ** (-k / 2) * shape**0.5, w), min(h * 2 ** (-k / 2) / shape**0.5, h)
            xs, ys = (np.linspace(0, side - b, 1 + int(np.ceil((side - b) / (b / 4) - 1e-9)))
                      for side, b in ((w, bw), (h, bh)))
            x, y = (v.ravel() for v in np.meshgrid(xs, ys))
            level.append(np.stack([x, y, x + bw, y + bh], 1))
        found.append(np.concatenate(level))
        room = count - sum(map(len, found[:-1]))
        if len(found[-1]) >= room:
            found[-1] = found[-1][np.arange(room) * len(found[-1]) // room]
            break
    return np.asarray(np.concatenate(found), np.float32)


def jitter(s: Sample, i: int, count: int, noise: float) -> Boxes:
    """Half the boxes are objects of `s` moved and stretched by `noise` of their size, half anywhere; the same for the
    same picture number `i`."""
    rng = np.random.default_rng([i, count])
    h, w = s.size
    truth = s.boxes[~s.crowd].astype(np.float64)
    a, b = rng.random((2, count, 2))
    corner = np.minimum(a, b) * [w, h]
    boxes = np.concatenate([corner, np.maximum(corner + 1, np.maximum(a, b) * [w, h])], 1)
    if len(truth):
        picked = truth[rng.integers(len(truth), size=count)]
        side = picked[:, 2:] - picked[:, :2]
        centre = (picked[:, :2] + picked[:, 2:]) / 2 + noise * side * rng.standard_normal((count, 2))
        half = side / 2 * np.exp(noise * rng.standard_normal((count, 2)))
        boxes = np.where((np.arange(count) % 2 == 0)[:, None], np.concatenate([centre - half, centre + half], 1), boxes)
    return np.asarray(np.clip(boxes, 0, [w, h, w, h]), np.float32)


def _tails(file: str) -> list[str]:
    """What a file may be called, the most of its path first: a/b/c.jpg, a/b/c, b/c.jpg, b/c, c.jpg, c."""
    if not file:
        return []
    parts = Path(file).parts
    out = [file]
    for k in range(len(parts)):
        tail = Path(*parts[k:])
        out += [tail.as_posix(), tail.with_suffix("").as_posix()]
    return out


def _ends(file: str) -> list[str]:
    """`_tails` of a path that keep its ending."""
    return _tails(file)[1::2] if len(Path(file).parts) > 1 else [file]


def images_file(path: str | Path) -> Path:
    """Where `evaluate --out` says which file each image_id of its results is."""
    path = Path(path)
    return path.with_name(f"{path.stem}.images.json")


class Filed:
    """Proposals read from a file: COCO results JSON (`image_id`, `bbox`, `score`), or .npz, an array an image id or a
    file, named by as much of its path as tells it apart, with or without ending.

    A results JSON is matched by file names where `images_file` lies beside it, as `evaluate` writes it; else by image
    ids, and for pictures that have none not at all. `tied`: whether it names files.
    Raises `DataError` where the file cannot be read, or a record has not these fields.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        if not self.path.is_file():
            raise DataError(str(path), "there is no such file of proposals",
                            "Name a COCO results JSON or an .npz, or another source (selective-search, grid)")
        self._used: dict[str, str] = {}  # key -> the picture that it was taken for
        npz = self.path.suffix == ".npz"
        self.found = self._npz() if npz else self._json()
        self._of: dict[str, tuple[str, Any] | None] = {}  # tail of a path -> image id and size; None: of two pictures
        self.bare = False  # whether it names files without a folder, and two splits may call theirs alike
        beside = images_file(self.path)
        self.tied = npz or beside.is_file()
        self._named = self.tied and not npz
        if self._named:
            self._name(beside)

    def _npz(self) -> dict[str, np.ndarray]:
        try:
            with np.load(self.path, allow_pickle=False) as f:
                read = {k: np.asarray(f[k]) for k in f.files}
        except (OSError, ValueError, BadZipFile) as error:
            raise DataError(str(self.path), f"is not an .npz of plain arrays ({error})") from error
        for k, v in read.items():
            if v.ndim != 2 or v.shape[1] not in (4, 5) or not np.issubdtype(v.dtype, np.number):
                raise DataError(str(self.path), f"has the shape {v.shape} of {v.dtype}",
                                "Give arrays (n, 4) or (n, 5): x1, y1, x2, y2, score", record=k)
        return {k: self._ranked(k, v.astype(np.float64)) for k, v in read.items()}

    def _json(self) -> dict[str, np.ndarray]:
        try:
            records = json.loads(self.path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise DataError(str(self.path), f"is not JSON ({error})", "Give a COCO results file or an .npz") from error
        if not isinstance(records, list):
            raise DataError(str(self.path), "is not a list of COCO results",
                            'Give [{"image_id": 1, "bbox": [x, y, w, h], "score": 0.5}, ...]')
        rows: dict[str, list[list[float]]] = {}
        for n, r in enumerate(records):
            try:
                x, y, w, h = (float(v) for v in r["bbox"])
                rows.setdefault(str(r["image_id"]), []).append([x, y, x + w, y + h, float(r.get("score", 0.0))])
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                raise DataError(str(self.path), f"no box of four numbers with an image_id ({error!r})", record=str(n),
                                field="bbox") from error
        return {k: self._ranked(k, np.asarray(v)) for k, v in rows.items()}

    def _name(self, beside: Path) -> None:
        """Which file each image id is, by the tails of its path: by two parts of it or more where its folder is told,
        since two splits may call their pictures alike."""
        try:
            doc = json.loads(beside.read_text(encoding="utf-8"))
            folder = str(doc.get("folder") or "")
            told = [(str(im["id"]), str(im["file_name"]), (im.get("height"), im.get("width"))) for im in doc["images"]]
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(str(beside), f"does not say which file each image is ({error!r})",
                            'Give {"images": [{"id": 1, "file_name": "a.jpg"}, ...]}, or take the file away') from error
        self.bare = not folder and any(Path(name).suffix and "/" not in name for _, name, _ in told)
        for key, name, size in told:
            whole = os.path.join(folder, name)
            tails = _ends(whole)
            for tail in (tails[:-1] if folder and len(tails) > 1 else tails):
                known = self._of.setdefault(tail, (key, size))
                if known is not None and known[0] != key:
                    self._of[tail] = None

    def _ranked(self, record: str, rows: np.ndarray) -> Boxes:
        if not np.isfinite(rows).all():
            raise DataError(str(self.path), "holds a box that is not finite", record=record)
        order = np.argsort(-rows[:, 4], kind="stable") if rows.shape[1] == 5 else np.arange(len(rows))
        return rows[order, :4].astype(np.float32)

    def knows(self, s: Sample) -> bool:
        """Whether it has something for this picture."""
        if self._named:
            return any(t in self._of for t in self._paths(s))
        return any(name in self.found for name in (*(_tails(s.file) if self.tied else ()), str(s.id)))

    def __call__(self, s: Sample, count: int) -> Boxes:
        """Raises `DataError` where the file has nothing for this picture, or a key of it that two pictures share."""
        if self._named:
            return self._cut(s, self._by_name(s), count)
        names = _tails(s.file) if self.tied else ()
        if not self.tied and s.id < 0:
            raise DataError(str(self.path), f"says image ids alone, and {s.file} has none",
                            f"Put {images_file(self.path).name} beside it, or give an .npz by file names")
        for name in (*names, *((str(s.id),) if s.id >= 0 else ())):
            if name in self.found:
                self._once(name, s)
                return self._cut(s, self.found[name], count)
        raise DataError(str(self.path), f"holds no proposals for {s.file or 'a picture'}"
                        + (f" (image id {s.id})" if s.id >= 0 else ""),
                        "Make the file for this split, or name another source")

    @staticmethod
    def _paths(s: Sample) -> list[str]:
        whole = os.path.abspath(s.file) if os.path.exists(s.file) else s.file
        return _ends(whole)

    def _by_name(self, s: Sample) -> np.ndarray:
        name = next((t for t in self._paths(s) if t in self._of), None)
        if name is None:
            raise DataError(str(self.path), f"holds no proposals for {s.file or 'a picture'}: "
                            f"{images_file(self.path).name} does not name it", "Make the file for these pictures, or "
                            "name another source")
        known = self._of[name]
        if known is None:
            raise DataError(str(self.path), f"has two pictures '{name}', of which {s.file} may be either",
                            "Make the file for these pictures, or name another source", record=name)
        key, size = known
        self._once(name, s)
        if None not in size and tuple(size) != tuple(s.size):
            raise DataError(str(self.path), f"has boxes of a picture of {size[1]}x{size[0]} pixels for {s.file}, which "
                            f"has {s.size[1]}x{s.size[0]}", "Make the file for these pictures, or name another source",
                            record=name)
        return self.found.get(key, np.zeros((0, 4), np.float32))

    def _once(self, name: str, s: Sample) -> None:
        other = self._used.setdefault(name, s.file)
        if other != s.file:
            raise DataError(str(self.path), f"has the key '{name}' alone for both {other} and {s.file}",
                            "Give each its path, such as FOLDER/NAME, or its image id", record=name)

    @staticmethod
    def _cut(s: Sample, boxes: np.ndarray, count: int) -> Boxes:
        h, w = s.size
        return np.asarray(np.clip(boxes[:count], 0, np.array([w, h, w, h], np.float32)), np.float32)


# ---------------------------------------------------------------- the data set around a data set


class Proposed:
    """`base` with `Sample.proposals` by `how`, float32 (P, 4) in pixels of the picture, best first,
    at most `how.count`.

    folder: where selective search is kept; None, or one that cannot be written, keeps it in memory.
    The fingerprint is `base`'s: the pictures and their truth are the same.
    """

    def __init__(self, base: Dataset, how: ProposalSource, folder: str | Path | None = None,
                 _memory: dict[str, np.ndarray] | None = None):
        if how.kind == "none":
            raise StemmaError("a source of proposals is needed: selective-search, edge-boxes, grid, jitter or a file")
        if how.count < 1:
            raise StemmaError(f"recipe.proposals.count must be 1 or more, not {how.count}")
        self.base, self.how = base, how
        self.settings = hashlib.blake2b(repr((VERSION, astuple(how))).encode(), digest_size=8).hexdigest()
        self.folder = None if folder is None or how.kind not in KEPT else Path(folder) / "proposals" / self.settings
        self._memory: dict[str, np.ndarray] = {} if _memory is None else _memory
        self._root = folder
        self._lock = threading.Lock()
        self._filed = Filed(how.file) if how.kind == "file" else None
        if self._filed is not None and len(base) and not any(self._filed.knows(base.truth(i))
                                                             for i in range(len(base))):
            raise DataError(how.file, f"holds no proposals for any of the {len(base)} pictures here",
                            "Make the file for these pictures, or name another source")
        if self._filed is not None and not self._filed.tied:
            warnings.warn(f"{how.file} says image ids and no file names: they are taken for those of "
                          f"{base.info.name}, which it must be made for ({images_file(how.file).name} beside it would "
                          "tell)", DataWarning, stacklevel=2)
        if self._filed is not None and self._filed.bare:
            warnings.warn(f"{images_file(how.file)} names files and not their folder: pictures of that name in any "
                          'folder are taken for them (a "folder" in it would tell)', DataWarning, stacklevel=2)

    @property
    def info(self) -> Info:
        info = self.base.info
        return info if "proposals" in info.kinds else replace(info, kinds=(*info.kinds, "proposals"))

    @property
    def fingerprint(self) -> str:
        return self.base.fingerprint

    def __len__(self) -> int:
        return len(self.base)

    def __getitem__(self, i: int) -> Sample:
        s = self.base[i]
        return replace(s, proposals=self.proposals(i, s))

    def truth(self, i: int) -> Sample:
        return self.base.truth(i)

    def over(self, change: Callable[[Dataset], Dataset]) -> Proposed:
        """The same around `change(base)`."""
        return Proposed(change(self.base), self.how, self._root, self._memory)

    def __getattr__(self, name: str) -> Any:
        if name == "image_sizes":  # what a loader may ask of a data set; whatever else the base can do is not handed on
            return self.base.image_sizes  # type: ignore[attr-defined]
        raise AttributeError(name)

    def narrow(self, needs: Iterable[str]) -> Dataset:
        """Only what is needed: without "proposals", the base itself."""
        narrow: Callable[[Any], Dataset] | None = getattr(self.base, "narrow", None)
        rest = frozenset(needs) - {"proposals"}
        base = self.base if narrow is None else narrow(rest)
        return Proposed(base, self.how, self._root, self._memory) if "proposals" in needs else base

    def proposals(self, i: int, s: Sample) -> Boxes:
        """The proposals of sample `i`, found in the cache or computed and put there."""
        if self._filed is not None:
            return self._filed(s, self.how.count)
        if self.how.kind == "jitter":
            return jitter(s, i, self.how.count, self.how.noise)
        if self.how.kind == "grid":
            return grid(s.size, self.how.count)
        assert s.image is not None, "proposals are made from the picture"
        key = hashlib.blake2b(np.ascontiguousarray(s.image).data, digest_size=16,
                              salt=f"{s.size[0]}x{s.size[1]}".encode()[:16]).hexdigest()
        known = self._memory.get(f"{self.settings}{key}")
        if known is not None:
            return known
        path = None if self.folder is None else self.folder / key[:2] / f"{key}.npy"
        if path is not None and path.is_file():
            try:
                kept: np.ndarray = np.load(path, allow_pickle=False)
                if kept.ndim == 2 and kept.shape[1] == 4 and kept.dtype == np.float32:
                    return kept
            except (OSError, ValueError, EOFError):
                warnings.warn(f"{path} cannot be read; its proposals are computed anew", DataWarning, stacklevel=2)
        made = boxes_of(s.image, self.how)
        if path is None or not self._keep(path, made):
            self._memory[f"{self.settings}{key}"] = made
        return made

    def _keep(self, path: Path, boxes: Boxes) -> bool:
        """Write a file whole or not at all; False where the disk does not take it."""
        fresh = path.with_name(f".{path.stem}.{os.getpid()}.{threading.get_ident()}.new")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with open(fresh, "wb") as f:
                np.save(f, boxes, allow_pickle=False)
            os.replace(fresh, path)
        except OSError as error:
            with contextlib.suppress(OSError):  # where there is no folder, there is nothing to remove
                fresh.unlink(missing_ok=True)
            with self._lock:
                if self.folder is not None:
                    warnings.warn(f"proposals cannot be kept in {self.folder} ({error}); they are kept in memory",
                                  DataWarning, stacklevel=3)
                    self.folder = None
            return False
        return True

    def fill(self, at: Iterable[int] | None = None, workers: int = 1, bar: Callable[[int], None] | None = None) -> None:
        """Compute what is not yet kept, of the pictures `at` or of all, in `workers` threads (OpenCV computes outside
        Python's lock).

        `bar` is told how many are done. Pictures that cannot be read are left to the loader. Several processes that
        fill the same folder begin at different pictures, so that they share the work.
        """
        if self.how.kind not in KEPT:
            return
        _contrib()
        done = (None if self.folder is None or at is not None
                else self.folder / f"all-{hashlib.blake2b(self.fingerprint.encode(), digest_size=16).hexdigest()}")
        if done is not None and done.is_file():
            return
        which = list(range(len(self)) if at is None else at)
        turn = os.getpid() * 7919 % max(len(which), 1)
        which = which[turn:] + which[:turn]
        count = 0

        def one(i: int) -> None:
            nonlocal count
            try:
                self[i]
            except (DataError, OSError):
                return  # the loader meets it again, and says what it does about it
            finally:
                with self._lock:
                    count += 1
                    if bar is not None:
                        bar(count)

        pool = ThreadPoolExecutor(max(1, workers), thread_name_prefix="stemma-proposals")
        try:
            for _ in pool.map(one, which):
                ...
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
        if done is not None and self.folder is not None:
            with contextlib.suppress(OSError):  # without the mark the next run looks again, at nothing to do
                self.folder.mkdir(parents=True, exist_ok=True)
                done.touch()


__all__ = [
    "EXTRA", "KINDS", "Filed", "Proposed", "boxes_of", "edge_boxes", "grid", "images_file", "jitter",
    "selective_search", "sourced", "wants",
]
