"""CityPersons: boxes of people in Cityscapes' pictures, the whole extent and what can be seen of it, as
NAME_gtBboxCityPersons.json a picture or as anno_train.mat and anno_val.mat, a MATLAB file a split.

A pedestrian counts. Riders, people who sit, people in other postures, groups and ignored regions are places in which
nothing counts, as in the benchmark's own evaluation. Formats: Cityscapes' scripts (annotation.py) and the benchmark's
readme (Zhang et al. 2017, arXiv 1702.05693).
"""
from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from stemma.core.samples import DataError

from ..files import read_bytes, text_of
from ..records import OUT, Draft, Fault
from . import matlab, pages
from .pages import Page, Shape, Source

FORMAT = "citypersons"
FOLDERS = ("annotations", "labels", "gtBboxCityPersons", "gtBbox_cityPersons_trainval")
ENDING = "_gtBboxCityPersons.json"
BOXES = ("full", "visible")
LABELS = ("ignore", "pedestrian", "rider", "sitting person", "person (other)", "person group")
PEDESTRIAN = 1  # of the classes of the .mat files: 0 ignored, 2 rider, 3 sitting, 4 other posture, 5 group


def _json(path: Path) -> bool:
    return path.name.endswith(ENDING)


def _mat(path: Path) -> bool:
    return re.fullmatch(r"anno_\w+\.mat", path.name) is not None


def looks_like(path: Path) -> bool:
    """Whether a file is, or a folder holds, annotations of CityPersons."""
    if path.is_file():
        return _json(path) or _mat(path)
    return pages.any_fits(path, _json, ".json", FOLDERS) or pages.any_fits(path, _mat, ".mat", FOLDERS)


def splits(where: Path, labels: str | Path | None = None, **_: Any) -> dict[str, Source]:
    """split -> its files."""
    mats = _mat(where) or (where.is_dir() and not pages.any_fits(where, _json, ".json", FOLDERS) and labels is None)
    fits, ending = (_mat, ".mat") if mats else (_json, ".json")
    return pages.file_splits(where, fits, ending, "CityPersons", labels, FOLDERS)


def read(
    where: Path, source: Source, *, split: str = "", images: str | Path | None = None, labels: str | Path | None = None,
    names: str | Path | Sequence[str] | None = None, people: str = "full", follow_links: bool = False,
) -> Draft:
    """A draft of one split; `people`: which boxes, full or visible. Raises DataError where nothing can be used."""
    pages.check_boxes(where, people, BOXES)
    faults: list[Fault] = []
    found = [p for path in source.files for p in (_of_mat(path, people, faults) if _mat(path)
                                                  else _of_json(path, people, faults))]
    aside = sum(s.crowd for p in found for s in p.shapes)
    notes = [f"{aside} of the boxes are to be ignored (riders, groups, regions): they are crowds"] if aside else []
    return pages.draft_of(where, source, found, FORMAT, split, images=images, names=names, order=("pedestrian",)
                          if names is None else None, word="box", faults=faults, notes=notes,
                          follow_links=follow_links)


def _shape(number: int, aside: bool, box: list[float] | None, seen: list[float] | None, which: str) -> Shape | None:
    """A box of x, y, width and height and its visible part; None for a place in which nothing counts that has no
    area."""
    shape = Shape("pedestrian", crowd=aside, record=number)
    if box is None or seen is None:
        shape.why = f"box {number} is not made of four numbers, or its visible part is not"
        return shape
    if aside and min(box[2], box[3]) <= 0:
        return None
    whole, part = ((b[0], b[1], b[0] + b[2], b[1] + b[3]) for b in (box, seen))
    shape.visible = pages.seen_share(whole, part)
    shape.box = part if which == "visible" and not aside else whole
    shape.unread = [pages.OTHER["full" if which == "visible" else "visible"]] if part != whole and not aside else []
    return shape


def _of_json(path: Path, which: str, faults: list[Fault]) -> Iterator[Page]:
    try:
        said = json.loads(text_of(read_bytes(path), path))
        objects = said["objects"]
        size = int(said.get("imgHeight", 0)), int(said.get("imgWidth", 0))
        assert isinstance(objects, list)
    except (ValueError, OverflowError, RecursionError, KeyError, TypeError, AssertionError, AttributeError,
            DataError) as e:
        why = f"is no JSON object with a list 'objects' ({str(e)[:60]})"
        faults.append(Fault(str(path), "", "objects", why, OUT, True, "broken annotation"))
        return
    page = Page(path.name.removesuffix(ENDING) + "_leftImg8bit.png", size, path)
    for k, o in enumerate(objects):
        o = o if isinstance(o, dict) else {}
        box, label = matlab.numbers(o.get("bbox"), 4), str(o.get("label")).strip().lower()
        shape = _shape(k, label != "pedestrian", box, matlab.numbers(o.get("bboxVis", o.get("bbox")), 4), which)
        if label not in LABELS:
            shape = Shape("pedestrian", record=k, why=f"the label {label[:40]!r} of box {k} is none of "
                          f"{', '.join(LABELS)}")
        page.shapes += [shape] if shape is not None else []
    yield page


def _of_mat(path: Path, which: str, faults: list[Fault]) -> Iterator[Page]:
    try:
        held = matlab.variables(path, r"anno_\w+")
        if not held:
            raise DataError(str(path), "holds no variable called anno_..., such as anno_train_aligned",
                            "download it anew")
    except DataError as e:
        faults.append(Fault.of(e, "broken annotation", OUT))
        return
    for record in matlab.rows(next(iter(held.values()))):
        record = record if isinstance(record, dict) else {}
        name = record.get("im_name")
        if not isinstance(name, str):
            faults.append(Fault(str(path), "", "im_name", "a record has no text 'im_name'", OUT, True,
                                "broken annotation"))
            continue
        page = Page(name, (0, 0), path)
        for k, row in enumerate(matlab.rows(record.get("bbs", []))):
            v = matlab.numbers(row, 10)
            shape = _shape(k, v is not None and v[0] != PEDESTRIAN, v and v[1:5], v and v[6:], which)
            page.shapes += [shape] if shape is not None else []
        yield page


__all__ = ["FORMAT", "looks_like", "read", "splits"]
