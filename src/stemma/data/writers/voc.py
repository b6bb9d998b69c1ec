"""Pascal VOC: Annotations/*.xml, ImageSets/Main/SPLIT.txt, JPEGImages/, classes.txt. Corners are pixel numbers from 1,
as the development kit has them; where half of the boxes have fractions, edges from 0, as the tools write that draw such
boxes. Crowds are written as `difficult` objects, which cost nothing either."""
from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np

from stemma.core.samples import DataError

from ..files import fits_line
from .pages import AREAS, PARENTS, SEARCHED, SEEN, Book, Page, other_area, plain, shares

FRACTIONS = "{n} boxes have fractions of pixels: all corners are written as edges from 0"
CROWDS = "{n} crowds are written as difficult objects"
MASKS = "{n} masks are left out: an annotation holds boxes"
BLANKS = "{n} class names lose the blanks around them: those of an XML text are layout"
POINTS = "{n} objects' points are left out: an annotation holds boxes"


def picture(split: str, name: str) -> str:
    """Where a picture of a split goes: every one into one folder, under its split's name."""
    return f"JPEGImages/{split}/{name}"


def holds(name: str) -> bool:
    """Whether a class may be called so: it is a line of the class list."""
    return fits_line(name)


def write(place: Path, book: Book) -> None:
    """Write an annotation for each picture, and the lists of the splits."""
    first = int(not _broken(book))
    names = [n.strip() for n in book.classes.names]
    if twice := [n for n in book.classes.names if names.count(n.strip()) > 1]:
        raise DataError(str(place), f"would have the classes {twice[0]!r} and {twice[1]!r}, which differ in blanks "
                        "around them alone: those of an XML text are layout", "rename one, or use coco")
    book.lose(BLANKS, sum(n != own for n, own in zip(names, book.classes.names)))
    sets = place / "ImageSets" / "Main"
    sets.mkdir(parents=True, exist_ok=True)
    (place / "classes.txt").write_text("".join(f"{n}\n" for n in names), encoding="utf-8")
    book.lose(PARENTS, book.parents)
    for split in book.splits:
        keys = []
        for page in book.pages(split):
            key = Path(split) / Path(page.name).with_suffix("")
            keys.append(key.as_posix())
            file = place / "Annotations" / f"{key}.xml"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(_annotation(page, f"{split}/{page.name}", book, first))
        (sets / f"{split}.txt").write_text("".join(f"{k}\n" for k in keys), encoding="utf-8")


def _broken(book: Book) -> bool:
    """Whether half of the boxes have fractions."""
    boxes = [b for split in book.splits for page in book.pages(split) for b in (page.boxes,) if len(b)]
    every = np.concatenate([*boxes, np.zeros((0, 4))])
    broken = int((np.abs(every - every.round()) > 1e-6).any(1).sum())
    if broken and 2 * broken >= len(every):
        book.lose(FRACTIONS, broken)
        return True
    return False


def _annotation(page: Page, name: str, book: Book, first: int) -> bytes:
    root = ET.Element("annotation")
    folder, _, file = f"JPEGImages/{name}".rpartition("/")
    h, w = page.size
    ET.SubElement(root, "folder").text = folder
    ET.SubElement(root, "filename").text = file
    size = ET.SubElement(root, "size")
    for key, value in (("width", w), ("height", h), ("depth", 3)):
        ET.SubElement(size, key).text = str(value)
    ET.SubElement(root, "segmented").text = "0"
    book.lose(SEARCHED, int(page.searched is not None))
    book.lose(SEEN, shares(page))
    for k, box in enumerate(page.boxes):
        one = ET.SubElement(root, "object")
        ET.SubElement(one, "name").text = book.classes.names[int(page.labels[k])].strip()
        ET.SubElement(one, "difficult").text = str(int(page.crowd[k]))
        corners = ET.SubElement(one, "bndbox")
        for key, value in zip(("xmin", "ymin", "xmax", "ymax"), box + np.array([first, first, 0, 0])):
            ET.SubElement(corners, key).text = str(plain(value))
        book.lose(CROWDS, int(page.crowd[k] and not book.difficult))
        book.lose(AREAS, other_area(page, k, None))
        book.lose(MASKS, int(page.segments[k] is not None))
        book.lose(POINTS, int(page.keypoints is not None))
    ET.indent(root)
    text: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return text
