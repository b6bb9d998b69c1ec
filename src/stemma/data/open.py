"""The one door to data: from a path or a name and a task to splits that are read as the task wants them,
cached and cut to size.

    open_dataset("scenes:128")            drawn at run time
    open_dataset("crowds:128")            drawn too: many objects that hide one another
    open_dataset("my/folder", "val")      COCO, Pascal VOC, YOLO, COCO panoptic, or images beside maps
    open_dataset("A+labels:B")            pictures with boxes and pictures with labels of the whole (`data.mix`)
"""
from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..core.outputs import cache
from ..core.samples import Classes, DataError, Dataset
from . import formats, mix
from .formats import FORMATS, call, formats_at, is_scenes, module_of, recognise, splits_order
from .readers import coco
from .records import DataWarning, OnFault, Records, same_classes, say_once
from .subset import spread, subset


def absolute(where: str | Path) -> str:
    """The same data named from the root of the file system, for a process that may run elsewhere."""
    if mix.is_mixture(where):
        return mix.absolute(str(where))
    return str(where) if is_scenes(where) else str(Path(where).resolve())


def splits(where: str | Path, format: str | None = None, **options: Any) -> tuple[str, ...]:
    """The splits that can be opened, derived ones included, train first."""
    options.pop("train_split", None)
    if mix.is_mixture(where):
        return mix.splits_of(str(where))
    return formats.splits_at(where, format, **options)


def open_dataset(
    where: str | Path, split: str = "train", format: str | None = None, on_fault: OnFault = "mend", *,
    classes: Classes | None = None, **options: Any
) -> Dataset:
    """A split of the data at `where`.

    `where`: a folder, a COCO JSON, a data.yaml, "scenes[:SIZE[:COUNT]]", "crowds[...]", or several (`data.mix`).
    `split`: train, val (valid), test, or a name of the data's own; undivided data is divided 80/10/10 by a hash of the
    file names, a missing val is a tenth of train, and "all" is the whole of data of one split. `on_fault`: "mend" what
    is safe, warning once; "refuse" any fault; "report" collects them in `.faults` (the doctor's way). `classes`: a list
    the labels must fit by name, such as a checkpoint's. Other options go to the format's
    reader: images, labels, maps, names, split_file, one_based, drop_records, follow_links, encoding (`data.options`).
    `train_split`: what "train" means.
    Raises DataError.
    """
    wanted = options.pop("train_split", None)
    if wanted and split == "train":
        return _trained_on(where, str(wanted), format, on_fault, classes=classes, **options)
    if mix.is_mixture(where):
        return mix.open_mixture(str(where), split, format=format, on_fault=on_fault, **options)
    return formats.open_at(where, split, format, on_fault, classes=classes, **options)


def _trained_on(where: str | Path, split: str, format: str | None, on_fault: OnFault, **options: Any) -> Dataset:
    """The split that is meant by "train"; "trainval" is train and val together where the data have none of that name.
    Of sets that are joined, that of each."""
    if mix.is_mixture(where):
        asked = mix.parts_of(str(where))
        if any(alone for _, _, alone in asked):
            raise DataError(str(where), "labels of whole pictures have no splits to choose", "leave out --train-split")
        options.pop("classes", None)
        parts = [_trained_on(place, split, format, on_fault, classes=None, **options) for place, _, _ in asked]
        mix.alike(str(where), [place for place, _, _ in asked], [p.info.classes for p in parts])
        return mix.Mixture(parts, [times for _, times, _ in asked])
    names = {k: v for k, v in options.items() if k != "classes"}
    if split == "trainval" and split not in formats.splits_at(where, format, **names):
        both = [formats.open_at(where, s, format, on_fault, **options) for s in ("train", "val")]
        return mix.Mixture(both)
    return formats.open_at(where, split, format, on_fault, **options)


def every_split(where: str | Path, format: str | None = None, **options: Any) -> dict[str, Dataset]:
    """Every split by name, train first, but for those that hold what others hold; of sets that are joined, that of each
    that has it. Parts of a mixture of which the labels of whole pictures alone are read are not among them. Raises
    DataError."""
    asked = mix.parts_of(str(where)) if mix.is_mixture(where) else [(str(where), 1, False)]
    places = [place for place, _, alone in asked if not alone]
    if not places:
        return {name: open_split(where, name, format, **options) for name in formats.apart(splits(where))}
    names = [formats.apart(splits(place, format, **options)) for place in places]
    out: dict[str, Dataset] = {}
    for split in splits_order({s: None for of in names for s in of}):
        there = [place for place, of in zip(places, names) if split in of]
        parts = [open_split(place, split, format, **options) for place in there]
        mix.alike(str(where), there, [p.info.classes for p in parts])
        out[split] = parts[0] if len(places) == 1 else mix.Mixture(parts)
    return out


# ---------------------------------------------------------------- for a task


def suited(
    data: str | Path | Dataset, task: str, format: str | None = None, options: dict[str, Any] | None = None
) -> tuple[str | None, dict[str, Any]]:
    """Format and options with which a folder that holds annotations of several kinds is read for a task; what was told
    stays as it is."""
    options = dict(options or {})
    if isinstance(data, (str, Path)) and Path(data).is_dir():
        if task == "panoptic" and format is None and coco.json_groups(Path(data), "panoptic"):
            format = "panoptic"
        if task == "keypoints" and format in (None, "coco") and not {"which", "labels"} & set(options):
            named = [g for g in coco.json_groups(Path(data), "coco") if "keypoints" in g]
            options |= {"which": named[0]} if named else {}
    return format, options


def open_split(data: str | Path | Dataset, split: str, format: str | None = None, **options: Any) -> Dataset:
    """A data set as it is, or the split of what a path names; drawn scenes come from their cache."""
    if not isinstance(data, (str, Path)):
        return data
    return cached(open_dataset(data, split, format, **options))


def _found(where: str | Path, format: str | None) -> str | None:
    """The format that was told, else the one that is recognised: once, and not for every split."""
    return format if format or mix.is_mixture(where) or is_scenes(where) else recognise(where)


def open_pair(
    data: str | Path | Dataset, val: str | Path | Dataset | None = None, format: str | None = None, **options: Any
) -> tuple[Dataset, Dataset]:
    """The pictures to train on and those to validate on. Of a `Dataset` without a `val`,
    every tenth picture is held out."""
    if isinstance(data, (str, Path)):
        format = _found(data, format)
        names = splits(data, format, **options)
        whole = open_split(data, "train", format, **options)
        if val is None or val in names:
            held = open_split(data, str(val or "val"), format, **options)
            same_classes(whole.info, held.info, str(data))
            say_unused(data, format, [whole, held], **options)
            if not options.get("train_split"):
                say_learned(data, whole, held, str(val or "val"))
            return whole, held
        say_unused(data, format, [whole], **options)
    else:
        whole = data
    if val is not None:
        return whole, open_split(val, "val")
    if len(whole) < 10:
        return whole, whole
    return subset(whole, [i for i in range(len(whole)) if i % 10]), subset(whole, range(0, len(whole), 10))


def say_unused(where: str | Path, format: str | None, opened: Sequence[Dataset], **options: Any) -> None:
    """Says once how many files of a data folder no split reads."""
    options.pop("train_split", None)
    known = {str(k): d for k, d in enumerate(opened) if isinstance(d, Records)}
    if len(known) == len(opened):
        found = formats.unused_at(where, format, known, **options)
        said = found.said(others=False) if found is not None else ""
        if said:
            say_once(f"{where}: not used: {said}; `stemma doctor` names them")


def say_learned(where: str | Path, trained: Dataset, held: Dataset, split: str) -> None:
    """Says once how many pictures of a data folder are trained on and in the split `held`, too."""
    both = len(_places(trained) & (there := _places(held)))
    if both:
        say_once(f"{where}: {both:,} of the {len(there):,} pictures of split '{split}' are trained on: what is "
                 "measured there was seen in training. take them out of one split")


def _places(data: Dataset) -> set[str]:
    """Which files on the disk a data set's pictures are."""
    if isinstance(data, mix.Mixture):
        return set().union(*(_places(part.base) for part in data.parts))
    return {os.path.join(data.root, f) for f in data.table.files} if isinstance(data, Records) else set()


@dataclass(frozen=True)
class HeldOut:
    """What the systems of a comparison are trained on, validated on and measured on."""

    train: Dataset
    val: Dataset
    measured: Dataset  # of `split`, of whose `whole` pictures it may be a part
    split: str
    whole: int
    weights: str  # which are measured, "best" or "last"


def held_out(
    data: str, format: str | None = None, limit: int | None = None, task: str = "detection",
    options: dict[str, Any] | None = None
) -> HeldOut:
    """The splits of a comparison, as they are read for a task; `limit`: measure on at most so many pictures.

    With a `train_split` that is told the last weights are measured, since it may hold the pictures of validation.
    With a test split besides the one used for validation, the best weights by validation are measured on it. Otherwise
    the last weights are measured on the validation pictures, since the best were chosen by them.
    """
    format, options = suited(data, task, format, options)
    format = _found(data, format)
    train, val = open_pair(data, None, format, **options)
    names = splits(data, format, **options)
    if "test" in names and any(n in names for n in ("val", "valid")):
        test = open_split(data, "test", format, **options)
        say_learned(data, train, test, "test")
        return HeldOut(train, val, spread(test, limit), "test", len(test),
                       "last" if (options or {}).get("train_split") else "best")
    return HeldOut(train, val, spread(val, limit), "val", len(val), "last")


def cached(data: Dataset) -> Dataset:
    """Scenes drawn once and kept under `$STEMMA_CACHE` (default ~/.cache/stemma), in memory where that cannot be
    written; other data as they are."""
    if isinstance(data, Records):
        return data  # scenes bring torch, for which a doctor need not wait
    from .scenes import Scenes

    if hasattr(data, "over"):  # one that stands around others
        return data.over(cached)  # type: ignore[no-any-return]
    if not isinstance(data, Scenes):
        return data
    folder = cache()
    workers = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        return data.cache(folder, workers)
    except OSError:
        return data.cache(None, workers)


__all__ = [
    "FORMATS", "DataWarning", "HeldOut", "absolute", "cached", "call", "every_split", "formats_at", "held_out",
    "is_scenes", "module_of", "open_dataset", "open_pair", "open_split", "recognise", "same_classes", "splits",
    "splits_order", "spread", "subset", "suited",
]
