"""A draft becomes a data set: its pictures, boxes and masks are judged in whole columns, what is safe is mended and the
rest refused. Axes: I pictures, O objects of all pictures, M boxes of a block. No object is dropped from a picture that
stays unless that is told (`drop_records`): what is not known to be an object would be trained as background.
"""
from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from stemma.core.samples import IGNORE, Classes, DataError, Info
from stemma.core.sentence import many

from .images import ROOMS, Header, cut_to_8_bits, header, packed_in, perhaps_wide, unread_in, walk, white_of
from .misread import SHARE, masks_misread, misread
from .options import spelled
from .readers import rle
from .readers.sound import apart, blocks, judged, mask_faults
from .records import (
    DROPPED,
    ONE_OUT,
    OUT,
    Draft,
    Fault,
    Folder,
    OnFault,
    Records,
    Table,
    alike,
    few,
    say_once,
    settle,
    with_background,
)

_LOSES = ("path", "unreadable image")


def vet(
    t: Table, root: Path, follow_links: bool = False, out: Iterable[int] = (), drop: bool = False
) -> tuple[Table, list[Fault]]:
    """Faults of a table's pictures and boxes, and the table with the safe ones mended.
    `out`: pictures of which an object cannot be read. `drop`: as for `vet_boxes`."""
    faults: list[Fault] = []
    folder = Folder(root, follow_links)
    keep = np.ones(len(t.files), dtype=bool)
    twice: dict[str, int] = {}
    unreadable, once, known = set(out), len(set(t.files)) == len(t.files), folder.known
    for i, name in enumerate(t.files):
        if once and name in known and t.maps is None:
            continue
        record = f"image {t.ids[i]}"
        try:
            there = folder.has(name, t.origin(i), record)
            for m in t.maps[i] if t.maps is not None else ():
                folder.has(m, t.origin(i), record, "map")
        except DataError as e:
            faults.append(Fault.of(e, "path"))
            keep[i] = False
            continue
        if not there:
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
    lost = np.zeros(len(t.files), dtype=bool)
    lost[list(unreadable)] = True
    if not keep.all():
        at = np.flatnonzero(keep)
        t, lost = t.images(at), lost[at]
    t, more = vet_boxes(t, lost, drop)
    return t, faults + more


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


def vet_boxes(t: Table, out: np.ndarray, drop: bool = False) -> tuple[Table, list[Fault]]:
    """Faults of the boxes and masks alone, the table without the pictures of which a box cannot be meant (NaN, without
    extent, outside the picture) and those that are `out` (bool, I). Such a
    box is taken from the object's mask where that is sound; broken masks fall back to the box. A crowd without extent
    or outside its picture is left out alone: within the picture it hides nothing; so is a click (`_clicks`).
    `drop`: every such box is left out alone, and its picture stays."""
    faults: list[Fault] = []
    b = t.boxes
    doubt = np.flatnonzero(~t.sound)
    wrongs = np.zeros((4, len(b)), dtype=bool)
    wrongs[:, doubt] = blocks(judged, b[doubt], t.sizes[t.image[doubt]])
    broken, flat, gone, over = wrongs

    def say(rows: np.ndarray, problem: str, mend: str, kind: str) -> None:
        for k in np.flatnonzero(rows):
            i = int(t.image[k])
            x1, y1, x2, y2 = (f"{v:.6g}" for v in b[k])
            faults.append(Fault(
                t.origin(i), f"{t.word} {t.record[k]} of {t.files[i]}", "box",
                problem.format(box=f"({x1}, {y1}, {x2}, {y2})", w=t.sizes[i, 1], h=t.sizes[i, 0]), mend, True, kind,
                t.files[i], tuple(b[k].tolist()),
            ))

    around = _around_masks(t, broken | flat | gone)
    drawn = np.zeros(len(b), dtype=bool)
    drawn[list(around)] = True
    aside = (flat | gone) & t.crowd & ~drawn & ~_masked_inside(t, (flat | gone) & t.crowd)
    clicks = _clicks(t, flat & ~aside & ~drawn, broken | flat | gone)
    for rows, problem, kind in (
        (broken, "the box {box} is not made of finite numbers", "box not finite"),
        (flat, "the box {box} has no extent", "degenerate box"),
        (gone, "the box {box} lies outside the picture of {w} x {h}", "box outside"),
    ):
        say(rows & ~aside & ~drawn & ~clicks, problem, DROPPED if drop else ONE_OUT, kind)
        say(rows & clicks, problem, "it is left out: a click marks no place", kind)
        say(rows & drawn, problem, "it is taken from the mask", kind)
        say(rows & aside, problem.replace("{box}", "{box} of what does not count"), "it is left out", kind)
    say(over, "the box {box} reaches outside the picture of {w} x {h}", "it is clipped", "box partly outside")
    wrong = (broken | flat | gone) & ~aside & ~drawn & ~clicks
    if drop:
        aside, wrong = aside | wrong, np.zeros_like(wrong)
    aside |= clicks
    if wrongs.any():
        boxes = b.copy()
        boxes[over] = np.clip(b[over], 0.0, t.sizes[t.image[over]][:, [1, 0, 1, 0]])
        boxes[list(around)] = np.array(list(around.values())).reshape(-1, 4)
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
    return t, faults


def _clicks(t: Table, flat: np.ndarray, wrong: np.ndarray) -> np.ndarray:
    """bool (O,): those of the boxes without extent, `flat`, that are a single point within their pictures, such as a
    slip of the mouse leaves: no place is marked, and so none is taken for background without them. Not where they are
    more than slips, over `SHARE` of the boxes of a class, nor where a picture has no other object that is not
    `wrong`: then they may be what somebody meant to mark."""
    b = t.boxes
    with np.errstate(invalid="ignore"):
        found: np.ndarray = flat & (b[:, :2] == b[:, 2:]).all(1) & (b[:, :2] > 0).all(1) & (
            b[:, :2] < t.sizes[t.image][:, ::-1]).all(1)
    if not found.any():
        return found
    c = int(t.labels.max()) + 1
    slips = np.bincount(t.labels[found], minlength=c) <= SHARE * np.bincount(t.labels, minlength=c)
    others = np.bincount(t.image[~wrong & ~t.crowd], minlength=len(t.files)) > 0
    out: np.ndarray = found & slips[t.labels] & others[t.image]
    return out


def _around_masks(t: Table, of: np.ndarray) -> dict[int, np.ndarray]:
    """object -> float64 (4,): of those of the objects `of` (bool, O) that have a sound mask, the boxes around them
    within their pictures."""
    out: dict[int, np.ndarray] = {}
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
    new: dict[int, Any] = {}
    doubt = np.flatnonzero(~t.sound)
    odd = {k: t.segments[k] for k in doubt[t.segments.take(doubt).odd()].tolist()}
    wrong = mask_faults(odd, sizes)

    def fault(k: int, problem: str, mend: str, kind: str) -> None:
        i = int(t.image[k])
        faults.append(Fault(t.origin(i), f"{t.word} {t.record[k]} of {t.files[i]}", "segmentation", problem, mend, True,
                            kind, t.files[i], tuple(t.boxes[k].tolist())))

    for k, seg in odd.items():
        if k not in wrong:
            new |= {k: rle.compact(seg)} if isinstance(seg, list) else {}
        elif (other := rle.respelled(seg)) is not None and not rle.problem(other, *sizes[k].tolist()):
            del wrong[k]
            new[k] = rle.compact(other)
            fault(k, "the polygon is not written as a list of flat lists [[x, y, x, y, ...]]", "it is read as one",
                  "polygon in other brackets")
    for k in sorted(wrong):
        seg = odd[k]
        whole = ([ring for ring in seg if not rle.problem([ring], *sizes[k].tolist())] if isinstance(seg, list)
                 else [])
        new[k] = rle.compact(whole) or None
        fault(k, f"the mask {wrong[k]}", "its sound polygons are kept" if whole else "its box is taken as the mask",
              "broken mask")
    t, more = _boxes_beside(replace(t, segments=t.segments.mended(new)) if new else t)
    return t, faults + more


def _boxes_beside(t: Table) -> tuple[Table, list[Fault]]:
    """Boxes that overlap the bounds of their own masks by an IoU below one half, and not for a pixel or two: y counted
    from below, corners in the place of width and height. The mask is drawn point by point,
    and the box follows from it."""
    assert t.segments is not None
    doubt = np.flatnonzero(~t.sound)
    if not blocks(apart, t.boxes[doubt], t.segments.take(doubt).bounds()).any():
        return t, []
    around = t.segments.bounds()
    beside = blocks(apart, t.boxes, around)
    if 2 * beside.sum() > np.isfinite(around).all(1).sum():  # of the whole set, not of single records
        beside = np.abs(t.boxes - around).max(1) > 2.0
    faults = []
    for k in np.flatnonzero(beside):
        i = int(t.image[k])
        box, own = (", ".join(f"{v:.6g}" for v in b[k]) for b in (t.boxes, around))
        faults.append(Fault(
            t.origin(i), f"{t.word} {t.record[k]} of {t.files[i]}", "box",
            f"the box ({box}) lies beside its own mask, which fills ({own})", "its box is taken from the mask", True,
            "box beside mask", t.files[i], tuple(t.boxes[k].tolist()),
        ))
    if (other := masks_misread(t.boxes, t.sizes[t.image], around, beside, partial(_by_rows, t))) is not None:
        faults.append(Fault(faults[0].file, "", "segmentation", *other, False, "masks in other numbers"))
    h, w = t.sizes[t.image].T
    limit = np.stack([w, h, w, h], 1).astype(np.float64)
    cut = np.clip(around, 0.0, limit)
    beside &= ((cut[:, 2:] > cut[:, :2]).all(1))
    return replace(t, boxes=np.where(beside[:, None], cut, t.boxes)), faults


def _by_rows(t: Table, k: int) -> np.ndarray:
    """What an object's run lengths fill if they go row by row, xyxy; NaN where its mask is no run lengths."""
    assert t.segments is not None
    if not isinstance(seg := t.segments[k], dict):
        return np.full(4, np.nan)
    h, w = t.sizes[t.image[k]].tolist()
    found: np.ndarray = rle.id_boxes(rle.decode(seg, h, w).reshape(-1, order="F").reshape(h, w).astype(int), 1)[0]
    return found


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
    t, faults = vet(draft.table, draft.root, draft.follow_links, draft.lost if draft.drop else draft.out, draft.drop)
    faults = [replace(f, mend=DROPPED) if draft.drop and f.mend == ONE_OUT else f for f in draft.faults] + faults
    if (other := _misread(draft)) is not None:
        faults.append(other)
    wrong = _nothing(draft, t, faults, split)
    white = _white(t.files, draft, scale)
    draft.notes += [*_about_points(draft, t, split), *alike(draft.classes.names)]
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
        t = t.images(at)
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
    return Records(t, info, draft, faults, split)


def _misread(draft: Draft) -> Fault | None:
    """The fault of boxes that were written by another rule than they are read by."""
    t = draft.table
    bare = np.ones(len(t.boxes), dtype=bool) if t.segments is None else t.segments.absent()
    doubt = ~t.sound  # a sound box is neither a fraction nor wrong: with so few others there is nothing to look for
    if 2 * doubt.sum() < len(bare) and (doubt & bare).sum() <= SHARE * (t.sound & bare).sum():
        return None
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
    notes = [f"split '{split}' has keypoints that are labelled in no object: {few(never)}"] if never else []
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
    paths = [draft.root / f for f in perhaps_wide(files)]
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
        like = _of_another_ending(draft.root, first)
        packed += f"{found}; or " if (found := unread_in(draft.root)) else ""
        mend = (f"{like} is: write the ending of the pictures into the annotations" if like and there is None else
                f"{packed}put the images there or say {spelled('images')}" if there is None else
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


def _of_another_ending(root: Path, name: str) -> str:
    """A picture below the root that is called as one that is not there, but for its ending; "" where none is. It is not
    taken for it: of one name may be a map, too."""
    stem = Path(name).stem
    return next((n for n in walk(root) if n != name and Path(n).stem == stem), "")


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
    said = "; ".join(x for x in (extra and f"only the data has {few(extra)}",
                                 lack and f"only the wanted list has {few(lack)}") if x)
    problem = f"the class list disagrees with the one wanted ({said or 'another order'})"
    return DataError(draft.source, problem, "rename the classes, or train on this data", field="classes")
