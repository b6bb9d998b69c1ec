"""A data set under the classes of a model: matched by name, whatever their order, numbers and ids."""
from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from ..core.samples import IGNORE, Classes, DataError, Dataset, Info, Sample
from .records import say_once

_COLUMNS = ("boxes", "labels", "crowd", "area", "masks", "amodal", "keypoints", "visible")


class ByName:
    """`base` with the labels of `like`. Objects of classes that `like` does not know are left out, pixels of such
    classes are ignored, and so are panoptic segments. Class ids stay those of `base`;
    classes that it lacks have ids above them."""

    def __init__(self, base: Dataset, like: Info):
        self.base, self.like = base, like
        self.partly_boxed = bool(getattr(base, "partly_boxed", False))
        self.split = getattr(base, "split", None)
        info = base.info
        self._of = _table(info.classes, like.classes)
        self._semantic = _pixels(info.semantic, like.semantic)
        self._segment = _table(info.panoptic, like.panoptic)
        self._info = replace(
            info, classes=_with_ids(like.classes, info.classes),
            frequency=tuple(dict(zip(info.classes.names, info.frequency)).get(n, "") for n in like.classes.names)
            if info.frequency else (),
            semantic=like.semantic if info.semantic is not None else None,
            panoptic=like.panoptic if info.panoptic is not None else None,
        )

    @property
    def info(self) -> Info:
        return self._info

    @property
    def fingerprint(self) -> str:
        return self.base.fingerprint

    def __len__(self) -> int:
        return len(self.base)

    def __getitem__(self, i: int) -> Sample:
        return self._rename(self.base[i])

    def truth(self, i: int) -> Sample:
        return self._rename(self.base.truth(i))

    def narrow(self, kinds: Iterable[str]) -> ByName:
        """The same, preparing these kinds of target alone where the base can."""
        narrow: Callable[[Any], Dataset] | None = getattr(self.base, "narrow", None)
        return self if narrow is None else ByName(narrow(kinds), self.like)

    def over(self, change: Callable[[Dataset], Dataset]) -> ByName:
        """The same over `change(base)`."""
        return ByName(change(self.base), self.like)

    def _rename(self, s: Sample) -> Sample:
        new: dict[str, Any] = {}
        label = self._of[s.labels] if len(s.labels) else s.labels
        keep = label >= 0
        for name in _COLUMNS:
            column = getattr(s, name)
            if column is not None:
                new[name] = column[keep]
        new["labels"] = label[keep]
        if "absent" in s.extra:
            searched = {k: self._of[s.extra[k]] for k in ("absent", "partial")}
            new["extra"] = s.extra | {k: v[v >= 0] for k, v in searched.items()}
        if s.image_labels is not None:
            there = np.zeros(len(self.like.classes), np.float32)
            known = self._of >= 0
            there[self._of[known]] = s.image_labels[known]
            new["image_labels"] = there
        if s.semantic is not None and self._semantic is not None:
            new["semantic"] = self._semantic[s.semantic]
        if s.panoptic is not None and s.segments is not None:
            of = self._segment[s.segments] if len(s.segments) else s.segments
            stays = of >= 0
            index = np.concatenate([[0], np.where(stays, np.cumsum(stays), 0)]).astype(s.panoptic.dtype)
            new |= {"panoptic": index[s.panoptic], "segments": of[stays]}
            if s.segments_crowd is not None:
                new["segments_crowd"] = s.segments_crowd[stays]
        return replace(s, **new)


def named_as(data: Dataset, like: Info | None, task: str, where: str = "") -> Dataset:
    """`data` under the classes of a model's `like`, for a task; itself where they are the same in the same order.

    What the model does not know is left out, and said. Raises `DataError` where no class has a name in common.
    """
    if like is None:
        return data
    have, want = data.info.classes_for(task), like.classes_for(task)
    if have.names == want.names:
        return data
    common = [n for n in have.names if n in want.names]
    name = where or data.info.name
    if not common:
        raise DataError(name, f"has no class that the model knows: it has {_few(have.names)}, and the model "
                        f"{_few(want.names)}", "rename the classes, or train a model on this data", field="classes")
    foreign = [n for n in have.names if n not in common]
    lack = [n for n in want.names if n not in common]
    said = "; ".join(x for x in (
        foreign and f"left out, for the model does not know {'them' if len(foreign) > 1 else 'it'}: {_few(foreign)}",
        lack and f"not in the data: {_few(lack)}") if x)
    say_once(f"{name}: classes are matched by name with the model's"
             + (f"; {said}" if said else ", whose order is another"))
    return ByName(data, like)


def _table(have: Classes | None, want: Classes | None) -> np.ndarray:
    """int64 (C,): the label of each class of `have` among `want`, -1 where it is none of them."""
    if have is None or want is None:
        return np.zeros(0, np.int64)
    index = {n: k for k, n in enumerate(want.names)}
    return np.array([index.get(n, -1) for n in have.names], np.int64)


def _pixels(have: Classes | None, want: Classes | None) -> np.ndarray | None:
    """uint8 (256,): the label of each label of a semantic map."""
    if have is None or want is None:
        return None
    out = np.full(256, IGNORE, np.uint8)
    of = _table(have, want)
    out[: len(of)] = np.where(of >= 0, of, IGNORE)
    return out


def _with_ids(classes: Classes, ids: Classes) -> Classes:
    """`classes` with the ids that `ids` gives to their names, and others above these."""
    known = dict(zip(ids.names, ids.ids, strict=True))
    free = max(ids.ids, default=-1)
    out = []
    for n in classes.names:
        if n not in known:
            free += 1
        out.append(known.get(n, free))
    return replace(classes, ids=tuple(out))


def _few(names: Iterable[str], n: int = 8) -> str:
    every = [repr(x) for x in names]
    return ", ".join(every[:n]) + (f" and {len(every) - n} more" if len(every) > n else "")


__all__ = ["ByName", "named_as"]
