"""CSV tables of boxes with the usual column names: filename, class, xmin, ymin, xmax, ymax (TensorFlow's and Roboflow's
_annotations.csv); ImageID, LabelName, XMin, XMax, YMin, YMax in fractions (OpenImages); without a head path, x1, y1,
x2, y2, class, with the picture's width and height behind it (SKU-110K), or MakeSense's class, x, y, width, height,
picture, width, height; a column bbox of
"[x, y, width, height]" in any brackets; x_center, y_center, width, height. Names may have capitals, blanks or hyphens.
width and height are those of the box where no other columns say its size.

Columns may be parted by semicolons or tabs, and numbers have a decimal comma, as spreadsheets of some languages write
them. Fractions are told from pixels once for all rows: a box within one pixel is none. A row without a box is a
picture without objects. IsGroupOf is a crowd.
"""
from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from stemma.core.samples import DataError
from stemma.core.values import YES, flag

from ..files import class_path, given_folder, head_of, named_lines, read_bytes, rows_of, split_name, table_of, text_of
from ..finding import Pictures
from ..images import SUFFIXES, header, walk
from ..misread import Spelt
from ..records import Draft, Fault
from . import pages
from .pages import Page, Shape, Source

FORMAT = "csv"
_NAMES = {
    "file": ("filename", "file_name", "image_id", "imageid", "image", "image_name", "imagename", "image_path", "path",
             "img", "img_name", "file", "imgname", "fname", "img_path", "imagepath", "filepath", "file_path",
             "image_file", "image_filename", "patientid", "frame"),
    "class": ("class", "label", "labelname", "class_name", "name", "category", "classname", "label_name",
              "categoryname", "category_name", "type", "species", "class_id", "classid", "label_id", "category_id",
              "categoryid", "annotation_tag"),
    **{c: (f"{c[0]}{least}", f"{c[0]}_{least}", c, side, f"b{c}", f"bbox_{c}", f"box_{c}", f"roi_{c}",
           f"{corner}_corner_{c[0]}")
       for c, least, side, corner in (("x1", "min", "left", "upper_left"), ("y1", "min", "top", "upper_left"),
                                      ("x2", "max", "right", "lower_right"), ("y2", "max", "bottom", "lower_right"))},
    "x": ("x", "bbox_x", "box_x"), "y": ("y", "bbox_y", "box_y"), "w":
    ("w", "bbox_width", "bbox_w", "box_w", "box_width"), "h": ("h", "bbox_height", "bbox_h", "box_h", "box_height"),
    "cx": ("cx", "x_center", "xcenter", "center_x", "x_centre", "centre_x", "xc", "centerx"),
    "cy": ("cy", "y_center", "ycenter", "center_y", "y_centre", "centre_y", "yc", "centery"),
    "bbox": ("bbox", "box"), "split": ("split", "set", "subset", "fold"), "group": ("isgroupof", "iscrowd"),
    "width": ("width", "img_width", "image_width"), "height": ("height", "img_height", "image_height"),
}
_MARKS = ("isoccluded", "istruncated", "isdepiction", "isinside", "occluded", "truncated", "difficult")
_SCORES = ("confidence", "score")
_SIZES = ("w", "h")
_UNKNOWN = "-1"  # as OpenImages' IsGroupOf of boxes that nobody was asked about
_LAYOUTS = (("x1", "y1", "x2", "y2"), ("x", "y", *_SIZES), ("cx", "cy", *_SIZES), ("bbox",))  # the first there is
_BOX = frozenset(c for layout in _LAYOUTS for c in layout)


@dataclass(frozen=True)
class Head:
    """Which column is what; `first` is the line of the first row, `width` the number of columns, `names` theirs;
    `marks`: columns that say more of an object, and is not read."""

    at: dict[str, int]
    first: int
    width: int
    names: tuple[str, ...] = ()
    marks: tuple[int, ...] = ()

    @property
    def layout(self) -> tuple[str, ...]:
        """The columns that say the box; none where none do."""
        return next((x for x in _LAYOUTS if set(x) <= set(self.at)), ())

    @property
    def usable(self) -> bool:
        return bool(self.layout) and "file" in self.at


def looks_like(path: Path) -> bool:
    """Whether a CSV file or a folder holds a table of boxes."""
    return any(pages.any_fits(path, _fits, e) for e in (".csv", ".tsv")) if path.is_dir() else _fits(path)


def _fits(path: Path) -> bool:
    try:
        text = head_of(path, 1 << 14)
        rows = rows_of(text[: text.rfind("\n") + 1] or text, path)[:20]
    except (OSError, DataError):
        return False
    found = _head(rows)
    return found is not None and found.usable


def _head(rows: list[list[str]]) -> Head | None:
    if not rows:
        return None
    said = [re.sub(r"[\s_.-]+", "_", c.strip().lower().lstrip("\ufeff")) for c in rows[0]]
    at = {what: next(said.index(w) for w in words if w in said) for what, words in _NAMES.items()
          if any(w in said for w in words)}
    if "file" in at:
        found = Head(at, 2, len(said), tuple(rows[0]), tuple(
            k for k, n in enumerate(said) if n.replace("_", "") in _MARKS + _SCORES))
        if not found.usable and ({"x", "y"} <= set(at) or {"cx", "cy"} <= set(at)):
            sizes = {new: at[old] for new, old in zip(_SIZES, ("width", "height")) if old in at and new not in at}
            found = replace(found, at={k: v for k, v in at.items() if k not in ("width", "height")} | sizes)
        return found
    eights = [r for r in rows if len(r) == 8]
    if len(said) == 8 and all(_numbers((*r[1:5], *r[6:])) for r in eights):
        # SKU-110K's picture,x1,y1,x2,y2,class,width,height; MakeSense's label,x,y,width,height,picture,width,height
        if all(Path(r[0]).suffix.lower() in SUFFIXES for r in eights):
            return Head({"file": 0, "x1": 1, "y1": 2, "x2": 3, "y2": 4, "class": 5, "width": 6, "height": 7}, 1, 8)
        if not any(_numbers(r[5:6]) for r in eights):
            return Head({"class": 0, "x": 1, "y": 2, "w": 3, "h": 4, "file": 5, "width": 6, "height": 7}, 1, 8)
    # path,x1,y1,x2,y2,class
    if len(said) == 6 and all(_numbers(r[1:5]) or not any(r[1:]) for r in rows if len(r) == 6):
        return Head({"file": 0, "x1": 1, "y1": 2, "x2": 3, "y2": 4, "class": 5}, 1, 6)
    return None


def _number(text: str) -> float:
    """A number, also with a decimal comma. Raises ValueError."""
    return float(text.replace(",", ".") if text.count(",") == 1 and "." not in text else text)


def _numbers(cells: Sequence[str]) -> bool:
    try:
        return all(math.isfinite(_number(c)) for c in cells)
    except ValueError:
        return False


def splits(where: Path, labels: str | Path | None = None, **_: Any) -> dict[str, Source]:
    """split -> its tables, by folders, names of files, or a column of theirs."""
    ending = ".csv" if where.is_file() or labels or pages.any_fits(where, _fits, ".csv") else ".tsv"
    found = pages.file_splits(where, _fits, ending, "boxes", labels)
    if set(found) != {"all"}:
        return found
    named = set()
    for path in found["all"].files:
        head, rows = _table(path)
        if "split" in head.at:
            named |= {split_name(r[head.at["split"]]) or r[head.at["split"]] for r in rows if len(r) > head.at["split"]}
    return {s: Source(found["all"].files, s) for s in sorted(n for n in named if n)} or found


def _table(path: Path) -> tuple[Head, list[list[str]]]:
    """Cells are without the blanks around them, but for those of a class."""
    written = rows_of(text_of(read_bytes(path), path), path, stripped=False)
    rows = [[c.strip() for c in row] for row in written]
    head = _head([r for r in rows if r])
    if head is None or not head.usable:
        raise DataError(str(path), "has no columns of pictures and boxes",
                        "write filename,class,xmin,ymin,xmax,ymax in its first line")
    if (at := head.at.get("class", -1)) >= 0:
        for row, own in zip(rows, written):
            row[at : at + 1] = own[at : at + 1] if any(row[at : at + 1]) else row[at : at + 1]
    return head, rows[head.first - 1 :]


def read(
    where: Path, source: Source, *, split: str = "", images: str | Path | None = None, labels: str | Path | None = None,
    names: str | Path | Sequence[str] | None = None, follow_links: bool = False,
) -> Draft:
    """A draft of one split. Raises DataError where nothing can be used."""
    faults: list[Fault] = []
    tables = {path: _table(path) for path in source.files}
    others = {f: _table(f) for s in splits(where, labels).values() for f in s.files if f not in tables}
    lists = _descriptions(where)
    described = _described(lists)
    numbered = _numbered(where if where.is_dir() else where.parent, [*tables.values(), *others.values()])
    if numbered is not None:
        lists, described = [*lists, numbered[0]], described | numbered[1]
    fractions = _fractions([*tables.values(), *others.values()])
    base = where if where.is_dir() else where.parent
    root = base if images is None else given_folder(base, images, "images")
    pictures = Pictures(root, walk(root, follow_links=True)) if fractions else None
    found: list[Page] = []
    for path, (head, rows) in tables.items():
        of: dict[str, Page] = {}
        for k, row in enumerate(rows, head.first):
            if not any(row):
                continue
            cell = _Cells(row, head)
            name = cell("file")
            if any("\n" in cell(c) for c in ("file", "class", "x1", "y1", "x2", "y2")) or _rows_within(row, head):
                faults.append(Fault(str(path), f"line {k}", "", "holds several lines in one cell: a quotation mark "
                                    "is not closed", "close it, or remove it", False, "broken record"))
                continue
            if any(row[head.width :]):
                said = f"has {len(row)} cells for {head.width} columns: which is which is not known"
                faults.append(Fault(str(path), f"line {k}", "", said, "put what holds the delimiter, as a decimal "
                                    "comma, between quotation marks", False, "broken record"))
                continue
            if not name:
                faults.append(Fault(str(path), f"line {k}", "", "names no picture", "correct it, or remove it", False,
                                    "broken record"))
                continue
            if source.split and (split_name(cell("split")) or cell("split")) != source.split:
                continue
            page = of.get(name)
            if page is None:
                page = of[name] = Page(name, _size(cell, name, pictures, split, path), path)
            if len(row) <= max(v for c, v in head.at.items() if c in _BOX):
                page.why = f"its line {k} ends after {len(row)} cells"
                continue
            shape = _shape(cell, k, page.size if fractions else (1, 1), described)
            if shape is not None:
                page.shapes.append(shape)
        found += of.values()

    def every() -> set[str]:
        rows = [_Cells(r, h) for h, body in (*tables.values(), *others.values()) for r in body if any(r)]
        return {n for c in rows if _box(c) is not None and (n := c.label(described))}

    notes = ["boxes are fractions of the picture: few numbers or none are beyond 1"] if fractions else []
    if numbered is not None:
        notes.append(f"classes that are numbers are called as the lines of {numbered[0].name}, from 0: "
                     + ", ".join(f"{k} {n}" for k, n in list(numbered[1].items())[:4]))
    for path, (head, _) in tables.items():
        if head.names and "class" not in head.at:
            notes.append(f"no column of {path.name} is known to say a class ({', '.join(head.names)[:200]}): all of "
                         "its boxes are of the class 'object'. Call the column that does 'class'")
    unknown = sum(_Cells(r, h)("group") == _UNKNOWN for h, body in tables.values() for r in body)
    if unknown:
        notes.append(f"of {unknown} boxes it is not known whether they are of a group ({_UNKNOWN}): they count as no "
                     "crowds")
    codes = sorted({s.name for p in found for s in p.shapes if s.name.startswith(("/m/", "/g/"))})
    if codes:
        notes.append(f"{len(codes)} classes are called by codes ({', '.join(codes[:3])}), as class-descriptions*.csv "
                     "beside the table would name them")
    return pages.draft_of(where, source, found, FORMAT, split, images=images, names=names, every=every, word="line",
                          faults=faults, notes=notes, follow_links=follow_links, used=lists, spelt=_spelt(tables))


def _spelt(tables: Mapping[Path, tuple[Head, Any]]) -> Spelt:
    """What the numbers of boxes are; "" where two tables have other columns."""
    kinds: set[Spelt] = {"corners" if "x1" in h.layout else "centre" if "cx" in h.layout else "size"
                         for h, _ in tables.values()}
    return kinds.pop() if len(kinds) == 1 else ""


@dataclass(frozen=True)
class _Cells:
    row: list[str]
    head: Head

    def __call__(self, what: str) -> str:
        k = self.head.at.get(what, -1)
        return self.row[k].strip() if 0 <= k < len(self.row) else ""

    def label(self, described: Mapping[str, str]) -> str:
        """The class with the blanks around it, or what is `described` under it; "object" where the table has no column
        for it."""
        if "class" not in self.head.at:
            return "object"
        said = self("class")
        return described.get(said, self.row[self.head.at["class"]]) if said else ""


def _rows_within(row: list[str], head: Head) -> bool:
    """Whether a cell of whatever column holds what looks like other rows."""
    return any(max(line.count(d) for d in ",;\t") >= head.width // 2
               for text in row if "\n" in text for line in text.split("\n")[1:])


def _box(cell: _Cells) -> tuple[float, float, float, float] | None:
    """Corners as they are written; None where the row has no box, NaN where it has a broken one."""
    nan = (math.nan,) * 4
    layout = cell.head.layout
    try:
        if layout == ("bbox",):
            text = cell("bbox")
            cells = re.split(r"\s*[,;]\s*|\s+", text.strip("[](){} ")) if text else []
        else:
            cells = [cell(c) for c in layout]
        if not any(cells):
            return None
        x, y, w, h = (_number(c) for c in cells)
        if "x1" in layout:
            return x, y, w, h
        if "cx" in layout:
            x, y = x - w / 2, y - h / 2
        return x, y, x + w, y + h
    except ValueError:
        return nan


def _fractions(tables: Sequence[tuple[Head, list[list[str]]]]) -> bool:
    """Whether boxes are fractions of their pictures: one that lies in a single pixel is no box of pixels, so most
    decide, and a wrong number here and there does not."""
    boxes = [b for head, rows in tables for r in rows if any(r) and (b := _box(_Cells(r, head))) is not None
             and all(map(math.isfinite, b))]
    return 2 * sum(max(b) <= 1.0 for b in boxes) > len(boxes)


def _size(cell: _Cells, name: str, pictures: Pictures | None, split: str, origin: Path) -> tuple[int, int]:
    """(height, width): as written, or of the file where fractions need it."""
    try:
        h, w = (int(_number(cell(c))) for c in ("height", "width"))
        return h, w
    except (ValueError, OverflowError):
        pass
    if pictures is None:
        return 0, 0
    try:
        found = pages.found_by(pictures, name, split, origin)
        return header(pictures.root / found).size if found is not None else (0, 0)
    except (LookupError, DataError):
        return 0, 0  # named where pictures are vetted


def _shape(cell: _Cells, line: int, scale: tuple[int, int], described: dict[str, str]) -> Shape | None:
    box = _box(cell)
    if box is None:
        return None  # a picture without objects
    h, w = scale
    out = Shape(cell.label(described), tuple(v * s for v, s in zip(box, (w, h, w, h))), record=line)
    out.unread = [f"the mark {name!r}" for k in cell.head.marks if _says(cell.row, k, name := cell.head.names[k])]
    try:
        group = cell("group")
        out.crowd = group not in ("", _UNKNOWN) and flag(group)
    except ValueError as e:
        out.why = str(e)
    return out


def _says(row: list[str], k: int, name: str) -> bool:
    """Whether a mark is set, or a score is not one."""
    text = row[k].strip().lower() if k < len(row) else ""
    return text not in ("", "1", "1.0") if name.strip().lower() in _SCORES else text in YES


def _described(lists: Sequence[Path]) -> dict[str, str]:
    """LabelName -> class, with the blanks around it, of OpenImages' class-descriptions*.csv."""
    out: dict[str, str] = {}
    for path in lists:
        for row in table_of(text_of(read_bytes(path), path), path, stripped=False):
            if len(row) == 2 and row[0].strip().startswith("/"):
                out[row[0].strip()] = row[1]
    return out


def _numbered(base: Path, tables: Sequence[tuple[Head, list[list[str]]]]) -> tuple[Path, dict[str, str]] | None:
    """(a list of classes beside the tables, number -> name), where all classes of the tables are places in it."""
    path = class_path(base)
    if path is None:
        return None
    names = named_lines(path)
    at = {str(k): n for k, n in enumerate(names)}
    said = {c for head, rows in tables for r in rows if any(r) and (c := _Cells(r, head)("class"))}
    return (path, at) if said and said <= at.keys() and len(set(names)) == len(names) else None


def _descriptions(where: Path) -> list[Path]:
    """OpenImages' lists of names, here or two folders below, as FiftyOne has them."""
    base = where if where.is_dir() else where.parent
    return [base / n for n in walk(base, {".csv"}) if n.count("/") < 3
            and n.rpartition("/")[2].lower().startswith(("class-descriptions", "classes.csv"))]


__all__ = ["FORMAT", "looks_like", "read", "splits"]
