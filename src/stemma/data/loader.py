"""The loader: a data set and a recipe become padded batches.

The batch at (epoch, k) is a function of the seed, epoch and k alone: not of workers, of what was loaded before, or of
how many ranks share it. So an interrupted run goes on with `epoch(e, start=k)` and sees what it would have seen.

Shapes repeat from step to step: objects are padded to a multiple of `BUCKET`, pictures to the recipe's divisor.
Where pictures keep their aspect, tall and wide ones are not mixed in a training batch if the data set has
`image_sizes`. Drawn scenes that were cached, at their own size and with symmetries and colour alone,
take a path for whole batches.
"""
from __future__ import annotations

import threading
import warnings
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from ..core.recipe import Recipe
from ..core.types import IGNORE, Batch, DataError, Dataset, Sample, StemmaError, Targets
from . import augment as aug
from .records import DataWarning
from .transforms import network_size, padded_size, prepare

BUCKET = 8
IMAGENET = (0.485, 0.456, 0.406)
_ORDER, _SAMPLE, _SCALE, _WARP = 1, 2, 3, 4  # separate streams of random numbers


@runtime_checkable
class Gathers(Protocol):
    """A data set of square pictures of one size that hands out many at once."""

    @property
    def size(self) -> int: ...
    def gather(self, index: np.ndarray, kinds: frozenset[str]) -> aug.Stack | None: ...


class Loader:
    """Batches of `dataset` under `recipe`.

    train: shuffled, augmented, the last incomplete batch dropped (a data set smaller than a batch repeats its samples).
    Not train: in order, unchanged, every picture once, the last batch smaller.
    batch: pictures in the global batch; with `world` > 1, rank r gets the r-th of `world` equal,
    contiguous slices of it.
    mean: RGB in 0..1 that fills the padding. needs: kinds of target to load;
    boxes and labels come whenever there are any.
    workers: threads that read ahead; 0 loads in the caller. max_objects: pad to exactly this many,
    dropping what is beyond it.
    pin: batches in page-locked memory, from which a GPU copies while it computes.

    A picture that cannot be read (`DataError`, `OSError`) is replaced by the next one that can in training and left out
    otherwise, with one `DataWarning` a file. Raises `DataError` when the data set is empty or nothing in it can be
    read.
    """

    def __init__(
        self,
        dataset: Dataset,
        recipe: Recipe,
        *,
        train: bool,
        batch: int,
        mean: tuple[float, ...] = IMAGENET,
        needs: frozenset[str] | set[str] = frozenset({"boxes"}),
        seed: int = 0,
        workers: int = 0,
        rank: int = 0,
        world: int = 1,
        max_objects: int | None = None,
        pin: bool = False,
    ):
        if len(dataset) == 0:
            raise DataError(dataset.info.name, "the data set has no pictures", "check the path and the split")
        if batch < 1:
            raise StemmaError(f"batch must be 1 or more, not {batch}")
        if batch % world:
            raise StemmaError(f"a batch of {batch} cannot be split evenly over {world} processes; use a multiple "
                              f"of {world}")
        # which classes there are, objects say
        known = set(dataset.info.kinds) | ({"image_labels"} if "boxes" in dataset.info.kinds else set())
        missing = sorted(set(needs) - known)
        if missing:
            have = ", ".join(dataset.info.kinds) or "none"
            raise DataError(dataset.info.name, f"the data set has no {' and no '.join(missing)}, which this paper is "
                            "trained on", f"it has: {have}")
        self.mixed = bool(getattr(dataset, "partly_boxed", False))
        if self.mixed and "boxes" in dataset.info.kinds and "image_labels" not in needs and train:
            raise DataError(dataset.info.name, "some pictures have labels of the whole and no boxes, and this paper "
                            "learns from boxes alone", "train it on the part that has boxes, or YOLO9000 on both")
        narrow = getattr(dataset, "narrow", None)  # a data set that can be told what not to prepare
        self.dataset: Dataset = dataset if narrow is None else narrow(needs)
        self.recipe, self.train, self.batch, self.pin = recipe, train, batch, pin
        self.mean, self.needs, self.seed, self.workers = tuple(mean), frozenset(needs), seed % 2**63, workers
        self.rank, self.world, self.max_objects = rank, world, max_objects
        self.broken: dict[int, str] = {}  # data set index -> message, of what could not be read
        self._crowded = False
        self._lock = threading.Lock()
        self._order: tuple[int, np.ndarray] = (-1, np.arange(0))
        self._wide = self._shapes() if train else None

    def __len__(self) -> int:
        """Batches an epoch."""
        n = len(self.dataset)
        return max(n // self.batch, 1) if self.train else -(-n // self.batch)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """The batches of an epoch from the `start`-th on. Not in training, a rank whose slice of the last batch is
        empty skips it."""
        jobs = range(start, len(self))
        if self.workers <= 0:
            for k in jobs:
                made = self._job(epoch, k)
                if made is not None:
                    yield made
            return
        pool = ThreadPoolExecutor(self.workers, thread_name_prefix="stemma-data")
        ahead: deque[Future[Batch | None]] = deque()
        try:
            todo = iter(jobs)
            for k in todo:
                ahead.append(pool.submit(self._job, epoch, k))
                if len(ahead) > self.workers + 1:
                    made = ahead.popleft().result()
                    if made is not None:
                        yield made
            while ahead:
                made = ahead.popleft().result()
                if made is not None:
                    yield made
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def order(self, epoch: int) -> np.ndarray:
        """Data set index of every position of an epoch, global over ranks: int64 (n,)."""
        n = len(self.dataset)
        if not self.train:
            return np.arange(n)
        known, order = self._order
        if known != epoch:
            order = np.random.default_rng([self.seed, _ORDER, epoch]).permutation(n)
            if self._wide is not None:
                order = _grouped(order, self._wide, self.batch)
            order = np.resize(order, max(n // self.batch, 1) * self.batch)  # drops the end, or repeats a small set
            self._order = epoch, order
        return order

    def _shapes(self) -> np.ndarray | None:
        """Which pictures are wider than high, bool (n,), where that matters to the padding and the data set's
        `image_sizes` (n, 2) says it."""
        sizes = getattr(self.dataset, "image_sizes", None)
        if sizes is None or self.recipe.resize.kind not in ("shortest", "keep"):
            return None
        sizes = np.asarray(sizes)
        wide: np.ndarray = sizes[:, 1] > sizes[:, 0]
        return wide if wide.any() and not wide.all() else None

    def load(self, epoch: int, k: int) -> Batch | None:
        """The `k`-th batch of an epoch, this rank's slice; None where nothing of it could be read (never in
        training)."""
        share = self.batch // self.world
        first = k * self.batch + self.rank * share
        order = self.order(epoch)
        places = range(first, min(first + share, len(order), (k + 1) * self.batch))
        if not len(places):
            return None
        short = None
        if self.train and self.recipe.resize.scales:  # one size a batch, the same on every rank
            scales = self.recipe.resize.scales
            hold = max(self.recipe.resize.hold, 1)
            # counted over epochs, so that a size is held across their ends
            turn = [epoch, k] if hold == 1 else [(epoch * len(self) + k) // hold]
            short = scales[int(np.random.default_rng([self.seed, _SCALE, *turn]).integers(len(scales)))]
        index = order[places.start : places.stop]
        if self._fast(short):
            assert isinstance(self.dataset, Gathers)
            stack = self.dataset.gather(index, self.needs)
            if stack is not None:
                return self._stacked(stack, index, epoch, places)
        samples: list[Sample] = []
        original: list[tuple[int, int]] = []
        found: list[int] = []
        for place, i in zip(places, index.tolist()):
            got = self._read(i)
            if got is None:
                continue
            i, s = got
            original.append(s.size)
            samples.append(self._change(self._only(s), epoch, place, short))
            found.append(i)
        return self._collate(samples, original, found, short) if samples else None

    def _job(self, epoch: int, k: int) -> Batch | None:
        made = self.load(epoch, k)
        return made.pin() if made is not None and self.pin else made

    # ------------------------------------------------------------ one sample

    def _read(self, i: int) -> tuple[int, Sample] | None:
        """Sample `i`, or in training the next that can be read."""
        n = len(self.dataset)
        for step in range(n if self.train else 1):
            j = (i + step) % n
            if j in self.broken:
                continue
            try:
                return j, self.dataset[j]
            except (DataError, OSError) as error:
                self._mark(j, error)
        if self.train:
            raise DataError(self.dataset.info.name, f"none of {n} pictures can be read",
                            f"the last one: {self.broken[i]}")
        return None

    def _mark(self, i: int, error: Exception) -> None:
        with self._lock:
            if i in self.broken:
                return
            try:
                name = getattr(error, "file", None) or self.dataset.truth(i).file or f"picture {i}"
            except (DataError, OSError):
                name = f"picture {i}"
            self.broken[i] = f"{name}: {error}"
            what = "another picture takes its place" if self.train else "it is left out"
            text = str(error) if str(name) in str(error) else f"{name}: {error}"
            warnings.warn(f"{text} ({what})", DataWarning, stacklevel=3)

    def _only(self, s: Sample) -> Sample:
        """Without the kinds of truth that nobody asked for, so that no work goes into them."""
        drop = {k: None for k in ("masks", "amodal", "keypoints", "semantic", "panoptic", "image_labels", "proposals")
                if k not in self.needs}
        if "panoptic" not in self.needs:
            drop |= {"segments": None, "segments_crowd": None}
        return replace(s, **drop)  # type: ignore[arg-type]

    def _change(self, s: Sample, epoch: int, place: int, short: int | None) -> Sample:
        a = self.recipe.augment
        if self.train:
            if self.recipe.difficult and self.dataset.info.difficult:
                s = replace(s, crowd=np.zeros_like(s.crowd))
            s = aug.augment(s, np.random.default_rng([self.seed, _SAMPLE, epoch, place]), a, self.mean,
                            self.dataset.info.points)
        s = prepare(s, self.recipe.resize, short)
        if self.train and a.elastic:
            s = aug.elastic(s, np.random.default_rng([self.seed, _WARP, epoch, place]), a.elastic)
        return s

    # ------------------------------------------------------------ a batch

    def _room(self, counts: list[int]) -> int:
        if self.max_objects is not None:
            return self.max_objects
        return max(-(-max(counts) // BUCKET) * BUCKET, BUCKET)

    def _collate(self, samples: list[Sample], original: list[tuple[int, int]], index: list[int],
                 short: int | None) -> Batch:
        b, (h, w) = len(samples), padded_size([s.size for s in samples], self.recipe.resize, short)
        samples = [self._labelled(self._fit(s)) for s in samples]
        n = self._room([len(s.labels) for s in samples])
        images, mean = torch.empty(b, 3, h, w), torch.tensor(self.mean)[:, None, None]
        boxes, labels, crowd = (torch.zeros(b, n, 4), torch.full((b, n), -1, dtype=torch.int64),
                                torch.zeros(b, n, dtype=torch.bool))
        for k, s in enumerate(samples):
            assert s.image is not None, "a data set's [i] gives the picture"
            y, x = s.size
            images[k, :, :y, :x].copy_(torch.from_numpy(s.image).permute(2, 0, 1)).mul_(1 / 255)
            images[k, :, :y, x:], images[k, :, y:] = mean, mean
            m = len(s.labels)
            boxes[k, :m], labels[k, :m], crowd[k, :m] = _tensor(s.boxes).float(), _tensor(s.labels), _tensor(s.crowd)
        targets = Targets(
            boxes, labels, crowd,
            masks=self._padded("masks", samples, (n, h, w), torch.bool, 0),
            amodal=self._padded("amodal", samples, (n, h, w), torch.bool, 0),
            keypoints=self._padded("keypoints", samples, (n, None, 3), torch.float32, 0),
            semantic=self._padded("semantic", samples, (h, w), torch.int64, IGNORE),
            panoptic=self._padded("panoptic", samples, (h, w), torch.int64, 0),
            segments=self._padded("segments", samples, (None,), torch.int64, -1),
            segments_crowd=self._padded("segments_crowd", samples, (None,), torch.bool, 0),
            image_labels=self._padded("image_labels", samples, (None,), torch.float32, 0),
            proposals=self._padded("proposals", samples, (self.recipe.proposals.count if self.recipe.proposals.kind
                                                          != "none" else None, 4), torch.float32, 0),
            boxed=torch.tensor([s.boxed for s in samples]) if self.mixed else None,
        )  # fmt: skip
        sizes = torch.tensor([s.size for s in samples], dtype=torch.float32)
        return Batch(images, targets, sizes, torch.tensor(original, dtype=torch.float32), torch.tensor(index))

    def _labelled(self, s: Sample) -> Sample:
        """With image labels where they are asked for: the data set's own,
        or those of the objects that are (still) in the picture."""
        if "image_labels" not in self.needs or s.image_labels is not None:
            return s
        there = np.zeros(len(self.dataset.info.classes), np.float32)
        there[s.labels] = 1
        return replace(s, image_labels=there)

    def _fit(self, s: Sample) -> Sample:
        """At most `max_objects`, those that pay a loss first."""
        most = self.max_objects
        if most is None or len(s.labels) <= most:
            return s
        with self._lock:
            if not self._crowded:
                self._crowded = True
                warnings.warn(f"{s.file}: {len(s.labels)} objects, of which {most} are used; raise max_objects to "
                              "use more", DataWarning, stacklevel=3)
        keep = np.zeros(len(s.labels), bool)
        keep[np.argsort(s.crowd, kind="stable")[:most]] = True
        return aug.select(s, keep)

    def _padded(self, name: str, samples: list[Sample], shape: tuple[int | None, ...], dtype: torch.dtype,
                fill: int) -> Tensor | None:
        """One kind of truth of every sample in one tensor (B, *shape); a free length (None) is the longest found,
        `segments` and proposals by eights."""
        values: list[Any] = [getattr(s, name) for s in samples]
        if any(v is None for v in values):
            return None
        full = [max(v.shape[k] for v in values) if side is None else side for k, side in enumerate(shape)]
        if name in ("segments", "segments_crowd", "proposals") and shape[0] is None:
            full[0] = max(-(-full[0] // BUCKET) * BUCKET, BUCKET)
        out = torch.full((len(values), *full), fill, dtype=dtype)
        for k, v in enumerate(values):
            out[k][tuple(slice(0, side) for side in v.shape)] = _tensor(v).to(dtype)
        return out

    # ------------------------------------------------------------ many cached scenes at once

    def _fast(self, short: int | None) -> bool:
        if not isinstance(self.dataset, Gathers) or (self.train and not aug.only_symmetries(self.recipe.augment)):
            return False
        side = (self.dataset.size, self.dataset.size)
        return network_size(side, self.recipe.resize, short) == side == padded_size([side], self.recipe.resize, short)

    def _stacked(self, stack: aug.Stack, index: np.ndarray, epoch: int, places: range) -> Batch:
        a, b = self.recipe.augment, len(index)
        which, factors = [aug.Symmetry()] * b, np.ones((b, 4), np.float32)
        if self.train:
            rngs = [np.random.default_rng([self.seed, _SAMPLE, epoch, place]) for place in places]
            which = [aug.draw_symmetry(r, a) for r in rngs]
            if a.colour:
                factors = np.stack([aug.draw_colour(r, a) for r in rngs])
        pixels, boxes, keypoints = aug.turn_stack(stack, which, self.dataset.info.points)
        side = pixels.shape[1]
        images = torch.from_numpy(pixels)[..., :3].float().mul_(1 / 255).permute(0, 3, 1, 2)
        if self.train and a.colour:
            images = aug.colour(images, torch.from_numpy(factors)).mul_(255).round_().mul_(1 / 255)
        labels = stack.labels
        n = self._room((labels >= 0).sum(1).tolist())
        boxes, labels = _to(boxes, n, 0), _to(labels, n, -1)
        regions = pixels[..., 3]
        targets = Targets(
            torch.from_numpy(boxes), torch.from_numpy(labels), torch.zeros(b, n, dtype=torch.bool),
            masks=self._masks(regions, n) if "masks" in self.needs else None,
            keypoints=torch.from_numpy(_to(keypoints, n, 0)) if keypoints is not None else None,
            **self._regions(regions, labels, stack),
        )  # fmt: skip
        sizes = torch.full((b, 2), float(side))
        return Batch(images, targets, sizes, sizes.clone(), torch.from_numpy(index.astype(np.int64)))

    @staticmethod
    def _masks(regions: np.ndarray, n: int) -> Tensor:
        ids = torch.arange(aug.OBJECT, aug.OBJECT + n, dtype=torch.uint8)
        return torch.from_numpy(np.ascontiguousarray(regions))[:, None] == ids[None, :, None, None]

    def _regions(self, regions: np.ndarray, labels: np.ndarray, stack: aug.Stack) -> dict[str, Tensor]:
        """Semantic and panoptic maps and image labels, from the region bytes through one table a picture."""
        out: dict[str, Tensor] = {}
        b, n = labels.shape
        if "semantic" in self.needs:
            tables = np.full((b, 256), IGNORE, np.int64)
            tables[:, : stack.stuff] = stack.things + np.arange(stack.stuff)
            tables[:, aug.OBJECT : aug.OBJECT + n] = labels
            out["semantic"] = torch.from_numpy(np.stack([t[r] for t, r in zip(tables, regions)]))
        if "panoptic" in self.needs:
            counts = (labels >= 0).sum(1)
            present = [np.flatnonzero(np.bincount(r.ravel(), minlength=256)[: stack.stuff]) for r in regions]
            longest = max(int(c) + len(p) for c, p in zip(counts, present))
            segments, maps = np.full((b, -(-longest // BUCKET) * BUCKET), -1, np.int64), []
            for k, (c, p) in enumerate(zip(counts.tolist(), present)):  # objects, then the stuff that is seen
                table = np.zeros(256, np.int64)
                table[aug.OBJECT : aug.OBJECT + c], table[p] = 1 + np.arange(c), 1 + c + np.arange(len(p))
                segments[k, :c], segments[k, c : c + len(p)] = labels[k, :c], stack.things + p
                maps.append(table[regions[k]])
            out["panoptic"], out["segments"] = torch.from_numpy(np.stack(maps)), torch.from_numpy(segments)
            out["segments_crowd"] = torch.zeros(segments.shape, dtype=torch.bool)
        if "image_labels" in self.needs:
            found = np.zeros((b, stack.things + 1), np.float32)
            found[np.arange(b)[:, None], labels] = 1  # -1, the padding, marks the column that is cut off
            out["image_labels"] = torch.from_numpy(found[:, :-1])
        return out


def _grouped(order: np.ndarray, kind: np.ndarray, batch: int) -> np.ndarray:
    """`order` (n,) rearranged so that whole batches are of one kind, each where its last picture was; what is over
    comes mixed at the end."""
    batches: list[tuple[int, np.ndarray]] = []  # (place of the last picture, the pictures)
    rest = []
    for k in (False, True):
        places = np.flatnonzero(kind[order] == k)
        whole = len(places) // batch * batch
        batches += [(int(p[-1]), order[p]) for p in places[:whole].reshape(-1, batch)]
        rest.append(places[whole:])
    return np.concatenate([b for _, b in sorted(batches, key=lambda b: b[0])] + [order[np.sort(np.concatenate(rest))]])


def _tensor(v: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(v))


def _to(v: np.ndarray, n: int, fill: int) -> np.ndarray:
    """Axis 1 cut or padded to `n`."""
    if v.shape[1] >= n:
        return np.ascontiguousarray(v[:, :n])
    return np.pad(v, [(0, 0), (0, n - v.shape[1])] + [(0, 0)] * (v.ndim - 2), constant_values=fill)


__all__ = ["BUCKET", "DataWarning", "Gathers", "Loader"]
