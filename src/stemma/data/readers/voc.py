"""Pascal VOC: Annotations/*.xml, ImageSets/Main/SPLIT.txt, JPEGImages, and the segmentation PNGs of
ImageSets/Segmentation.

Coordinates are pixel numbers from 1, both ends inclusive (VOC development kit, section 3): xmin, xmax become the edges
xmin - 1, xmax. Many tools write edges from 0 instead. In such data more corners are 0 than 1, half of the boxes have
fractions, or none is 1 and half of them have decimal points (CVAT, Datumaro) or are Label Studio's; then it is read so,
and it is said. `one_based` decides otherwise. A box with xmax <= xmin counts as degenerate under either reading:
labelling tools write it for a slip of the mouse. `difficult` objects are crowd: no loss, no cost in precision.

An annotation's key is its path below the folder of annotations, without its ending;
so two of one base name are two pictures.
"""
from __future__ import annotations

import hashlib
import os
import re
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.sax.saxutils import unescape

import numpy as np

from stemma.core.samples import IGNORE, Classes, DataError, Sample
from stemma.core.values import flag

from ..files import class_file, class_list, class_path, given_folder, read_bytes, split_name
from ..finding import Pictures, plain_name
from ..images import SUFFIXES, check_name, child, listing, read_map, shown, subfolders, walk
from ..records import ONE_OUT, OUT, Draft, Fault, joined, table, with_background
from . import colours

FORMAT = "voc"
_PICTURES = ("JPEGImages", "images", "imgs", "img", "Data")  # ImageNet's are in Data
_LISTS = ("Main", "Segmentation", "DET", "CLS-LOC")
_NAME = re.compile(r"<object>\s*(?:<(?!name>|object>)[^<>]*>[^<>]*</[^<>]*>\s*)*<name>([^<>]*)</name>")
_OBJECT = re.compile(rb"<object", re.I)
_DECLARED = re.compile(rb"""\s*<\?xml[^>]*\sencoding\s*=\s*["']([\w.:-]{1,40})["']""")
_ROOT = re.compile(rb"<([A-Za-z_][\w.-]*)")
_BOX = re.compile(rb"<bndbox>(.*?)</bndbox>", re.S | re.I)
_STUDIO = re.compile(rb"<owner>(?:(?!</owner>).)*<name>\s*Label Studio\s*<", re.S | re.I)
_CORNER = re.compile(rb"<([xy]m(?:in|ax))>\s*([0-9.]{1,20})\s*</", re.I)


@dataclass(frozen=True)
class Source:
    """Where a split lies, relative to the root: its list of names (None: every XML there is), and the folders."""

    stems: str | None
    annotations: str
    images: str


def keys_of(folder: Path, deep: bool = True) -> dict[str, str]:
    """key -> file of the XML annotations in a folder (and, `deep`, its sub-folders); both relative to it."""
    names = walk(folder, {".xml"}) if deep else listing(folder, {".xml"})
    return {os.path.splitext(n)[0]: n for n in names}


def folders(where: Path, deep: bool = False) -> tuple[str, str] | None:
    """(annotations, images) of a VOC folder; None where it is none. `deep`: annotations may lie in any sub-folder."""
    named = child(where, "Annotations", "xml", "labels", "annots", "xmls")
    for xml in ([named] if named else []) + [""]:
        found = keys_of(where / xml, deep=bool(xml) or deep)
        if any(_is_voc(where / xml / n) for n in list(found.values())[:5]):
            return xml, child(where, *_PICTURES) or xml
    return _other_names(where)


def _other_names(where: Path) -> tuple[str, str] | None:
    """(annotations, images) where both lie in folders of any names: the only one below that holds VOC's XML, and the
    only other one that holds pictures."""
    below = [n for n in shown(where) if not split_name(n)]
    found = [n for n in below if any(_is_voc(where / n / x) for x in listing(where / n, {".xml"})[:5])]
    if len(found) != 1:
        return None
    pictures = [n for n in below if n not in found and listing(where / n)]
    return found[0], pictures[0] if len(pictures) == 1 else found[0]


def _is_voc(path: Path) -> bool:
    """Whether an XML's first element is VOC's, as that of CVAT's and other tools' is not.
    What cannot be read is named where it is."""
    try:
        with open(path, "rb") as f:
            found = _ROOT.search(f.read(4096).replace(b"\0", b""))  # UTF-16 has a zero in every second byte
    except OSError:
        return True
    return found is None or found[1].lower() == b"annotation"


def splits(where: Path, which: str | None = None, labels: str | Path | None = None, **_: Any) -> dict[str, Source]:
    """split -> source: the lists of ImageSets/`which` (Main; Segmentation without Main), or one folder a split,
    or everything. `labels`: a folder of annotations, or such a `which`."""
    if where.is_file():
        raise DataError(str(where), "is a file, and VOC data is a folder",
                        "name the folder that holds Annotations and JPEGImages")
    found = folders(where)
    lists_of = child(where, "ImageSets")
    if labels is not None and which is None and lists_of and child(where / lists_of, str(labels)):
        which = str(labels)
    elif labels is not None:
        at = os.path.relpath(given_folder(where, labels, "labels"), where).replace(os.sep, "/")
        found = "" if at == "." else at, found[1] if found else child(where, *_PICTURES)
    if found is None:
        parts = {split_name(n): (n, folders(where / n, deep=True)) for n in subfolders(where) if split_name(n)}
        own = {s: Source(None, *("/".join(x for x in (n, part) if x) for part in f))
               for s, (n, f) in parts.items() if f is not None}
        if own:
            return own
        found = folders(where, deep=True)
    if found is None:
        raise DataError(str(where), "holds no VOC annotations", "looked for Annotations/*.xml, *.xml and SPLIT/*.xml")
    base = child(where, "ImageSets")
    sets = where / base
    chosen = which or (next((s for s in (child(sets, n) for n in _LISTS) if s), "") if base else "")
    lists = listing(sets / chosen, {".txt"}) if base else []
    if which is not None and not lists:
        has = ", ".join(p.name for p in sorted(sets.iterdir())) if base else "none"
        raise DataError(str(sets / which), "holds no lists", f"use one of {has}")
    names = {Path(n).stem: n for n in lists}
    plain = [n for n in sorted(names)
             if not any(n.endswith(f"_{s}") and s in names for s in ("train", "val", "trainval", "test"))]
    if not plain:
        return {"all": Source(None, *found)}
    if len(plain) == 1 and not split_name(plain[0]):  # CVAT's default.txt lists all there is
        return {"all": Source("/".join(x for x in (base, chosen, names[plain[0]]) if x), *found)}
    out: dict[str, Source] = {}
    for n in plain:
        split, source = split_name(n) or n, Source("/".join(x for x in (base, chosen, names[n]) if x), *found)
        if split in out:
            first = Path(str(out[split].stems)).name
            raise DataError(str(sets / chosen), f"has two lists of the split '{split}', {first} and {names[n]}",
                            "put all of its names into one of them, and remove the other")
        out[split] = source
    return out


def decoded(raw: bytes) -> str:
    """The text of an XML file: in the encoding that it declares, as gb2312 or windows-1251; else UTF-8, or UTF-16 with
    its mark. What is none of them is taken byte by byte, as Latin 1."""
    if raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return raw.decode("utf-16", "replace")
    said = _DECLARED.match(raw)
    for encoding in ("utf-8-sig", said[1].decode("ascii") if said else "latin-1"):
        try:
            return raw.decode(encoding)
        except (UnicodeError, LookupError):
            continue
    return raw.decode("latin-1")


def parse(raw: bytes, path: Path) -> ET.Element:
    """The root of an XML file. Raises DataError for what is not well formed, and for any document type or entity: they
    are never expanded."""
    text = decoded(raw)
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise DataError(str(path), "declares a document type or entities, which annotations do not need",
                        "remove the <!DOCTYPE ...> part")
    try:
        root = ET.fromstring(re.sub(r"^\s*<\?xml[^>]*\?>", "", text, count=1))
    except ET.ParseError as e:
        line, column = e.position
        raise DataError(str(path), f"is no well-formed XML ({str(e).split(':')[0]}) at line {line}, column {column}",
                        "write the file again") from None
    except (ValueError, RecursionError) as e:
        raise DataError(str(path), f"is no XML that can be read ({str(e)[:80]})", "write the file again") from None
    return root


def _plain(root: ET.Element) -> ET.Element:
    """An annotation whose elements are called in small letters, however a tool writes them: <Object>, <BndBox>."""
    for e in root.iter():
        if isinstance(e.tag, str) and not e.tag.islower():
            e.tag = e.tag.lower()
    return root


@dataclass
class Survey:
    """What the annotations of all splits say together: class names, and where a corner stands that cannot be in a file
    that counts from 1."""

    names: set[str] = field(default_factory=set)  # with the blanks around them
    boxes: int = 0
    zeros: int = 0  # of xmin and ymin
    ones: int = 0
    broken: int = 0  # boxes with a fraction among their corners
    tools: int = 0  # boxes whose corners have a decimal point, or that Label Studio wrote
    first: str = ""  # the file of the first of any

    @property
    def from_zero(self) -> bool:
        """Whether corners count from 0: more boxes begin at 0 than at 1, half of them have fractions, or none begins at
        1 and half of them are of tools that count so. Of files that count from 1 a few have slips of either kind, as in
        VOC 2012."""
        many = max(self.broken, self.tools * (not self.ones))
        return self.zeros > self.ones or 0 < self.boxes <= 2 * many

    def _corners(self, text: bytes, name: str) -> None:
        studio = _STUDIO.search(text) is not None
        for block in _BOX.findall(text):
            at: dict[bytes, float] = {}
            tool = studio
            for k, v in _CORNER.findall(block):
                at[k.lower()] = _float(v.decode())
                tool |= b"." in v
            if len(at) < 4 or not (at[b"xmax"] > at[b"xmin"] and at[b"ymax"] > at[b"ymin"]):
                continue  # a slip of the mouse tells nothing
            self.boxes += 1
            least = at[b"xmin"], at[b"ymin"]
            broken = any(v != int(v) for v in at.values())
            self.zeros, self.ones, self.broken, self.tools = (
                self.zeros + least.count(0.0), self.ones + least.count(1.0), self.broken + broken, self.tools + tool)
            self.first = self.first or (name if broken or tool or 0.0 in least else "")


def survey(where: Path, source: Source, parts: dict[str, ET.Element], texts: dict[str, bytes]) -> Survey:
    """Looks through the annotations of every split, so that all of them are read by one rule. `parts`, `texts`: those
    that are read already."""
    out = Survey()
    directories = [source.annotations]
    if source.stems is None:
        try:
            parts_of = splits(where).values()
        except DataError:
            parts_of = {}.values()  # it took an option to find this one
        directories = [p.annotations for p in parts_of] if source in parts_of else directories
    for directory in dict.fromkeys(directories):
        for file in keys_of(where / directory).values():
            name = f"{directory}/{file}" if directory else file
            text = texts.get(name)
            if text is None:
                text = read_bytes(where / name)
            out._corners(text, name)
            found = _NAME.findall(decoded(text))
            if len(found) == len(_OBJECT.findall(text)):
                out.names.update(n for n in map(unescape, found) if n.strip())
                continue
            try:
                root = parts[name] if name in parts else _plain(parse(text, where / name))
            except DataError:
                continue  # reported where its own split is opened
            out.names.update(n for o in root.findall("object") if (n := o.findtext("name") or "").strip())
    return out


def _pictures_of(where: Path, folder: str, every: Sequence[str]) -> tuple[Pictures, dict[str, list[str]]]:
    """The pictures of a folder, and key -> pictures that have the very path of an annotation, with any endings."""
    pictures = Pictures(where / folder)
    exact: dict[str, list[str]] = {}
    for n in pictures.names:
        exact.setdefault(os.path.splitext(n)[0], []).append(n)
    return pictures, {k: exact[k] for k in every if k in exact}


@dataclass
class _Keys:
    """Which annotation or picture a line of a list means."""

    xml: dict[str, str]
    pictures: Pictures

    def __post_init__(self) -> None:
        self.among = Pictures("", self.xml)

    def find(self, line: str) -> tuple[str, str | None] | None:
        """(key, its picture where the line alone tells it) of a line: one name,
        with or without ending and folders before it.

        Only lists of one class have a second word, 1, 0 or -1. None where the line means nothing that is there.
        """
        words = line.rsplit(None, 1)
        for text in [line] + ([words[0]] if len(words) == 2 and words[1] in ("1", "-1", "0") else []):
            name = plain_name(text)
            stem, suffix = os.path.splitext(name)
            for key in (name, stem) if suffix.lower() in SUFFIXES | {".xml"} else (name,):
                if key in self.xml:
                    return key, None
            for key in (name, stem) if suffix.lower() in SUFFIXES | {".xml"} else (name,):
                try:
                    if found := self.among.find(key):
                        return found, None
                    if picture := self.pictures.find(key):
                        return os.path.splitext(picture)[0], picture
                except LookupError:
                    continue
        return None


def read(
    where: Path, source: Source, *, split: str = "", which: str | None = None, one_based: bool | None = None,
    images: str | Path | None = None, labels: str | Path | None = None, names: str | Path | Sequence[str] | None = None,
    follow_links: bool = False,
) -> Draft:
    """A draft of one split. `one_based`: whether corners count pixels from 1; None looks. `images`, `labels` name
    folders where they are not found; `names` the classes, in their order.

    Raises DataError where nothing can be used; faults of single files and objects are collected.
    """
    faults: list[Fault] = []
    notes: list[str] = []
    hashed = hashlib.sha256()
    base, folder = where, source.images
    if images is not None:
        given = given_folder(where, images, "images")
        folder = os.path.relpath(given, where).replace(os.sep, "/")
        base, folder = (given, "") if folder.startswith("..") else (where, folder.removeprefix("."))
    every = keys_of(where / source.annotations)
    pictures, own = _pictures_of(base, folder, list(every))
    taken = {n for names_of in own.values() for n in names_of}
    listed: list[tuple[str, str | None]] = [(k, None) for k in every]
    if source.stems is not None:
        raw = read_bytes(where / source.stems)
        hashed.update(raw)
        listed = _listed(raw, where / source.stems, _Keys(every, pictures), faults)

    rows = _Rows(faults)
    used: list[str] = []
    files: list[str] = []
    sizes: list[tuple[int, int]] = []
    origin: list[str] = []
    trees: dict[str, ET.Element] = {}
    texts: dict[str, bytes] = {}
    bare = 0
    for key, known in listed:
        name = f"{source.annotations}/{every[key]}" if key in every and source.annotations else every.get(key, "")
        root = None
        if name:
            try:
                raw = read_bytes(where / name)
                root = _plain(parse(raw, where / name))
            except DataError as e:
                faults.append(Fault.of(e, "broken annotation", "the image is left out"))
                continue
            hashed.update(raw)
            trees[name], texts[name] = root, raw
        else:
            bare += 1
        try:
            file = known or _own(own.get(key, ()), root) or _named(key, root, pictures, taken)
        except LookupError as e:
            faults.append(Fault(str(where / name), "", "filename", f"could mean {e}",
                                "write the picture's folder into <filename>", False, "picture not told apart"))
            continue
        file = file or f"{key}.jpg"
        used.append(key)
        files.append(f"{folder}/{file}" if folder else file)
        origin.append(str(where / (name or source.stems or "")))
        sizes.append((0, 0) if root is None
                     else (_int(root.findtext("size/height")), _int(root.findtext("size/width"))))
        if root is not None:
            rows.add(len(files) - 1, root, origin[-1])
    if bare:
        notes.append(f"{bare} picture{'s' * (bare > 1)} of the list without annotation: taken as without objects")

    wanted = class_file(where) if names is None else class_list(names, where)
    looked = survey(where, source, trees, texts) if wanted is None or one_based is None else Survey()
    found = sorted({n.strip() for n in looked.names}) if wanted is None else wanted
    if not found:
        why = f"; the first that is none: {faults[0]}" if faults else ""
        raise DataError(str(where / source.annotations), f"has no object in any annotation{why}",
                        "add annotations; there is nothing to learn")
    if len(set(found)) < len(found):
        raise DataError(str(where), "its class list names a class twice",
                        f"write each once: {', '.join(sorted({x for x in found if found.count(x) > 1}))}")
    if one_based is None and looked.first:
        odd = (f"{looked.zeros} corners are 0 and {looked.ones} are 1, {looked.broken} of {looked.boxes} boxes have "
               "fractions; ")
        if looked.tools > looked.broken:
            odd = f"{looked.tools} boxes have decimal points or are Label Studio's, as tools write from 0; {odd}"
        odd += f"the first of these in {looked.first}"
        notes.append(f"corners count from 0 ({odd}); say --one-based (in Python one_based=True) where they do not"
                     if looked.from_zero else
                     f"corners count from 1, and a few cannot ({odd}); say --zero-based (in Python one_based=False) "
                     "where all count from 0")
    corners = rows.corners(one_based=not looked.from_zero if one_based is None else one_based)
    index = {n: k for k, n in enumerate(found)}
    notes += joined({*rows.names, *(looked.names if wanted is None else ())}, found)
    numbers = np.array([index.get(n, index.get(n.strip(), -1)) for n in rows.names], dtype=np.int64)
    for k in np.flatnonzero(numbers < 0).tolist():
        faults.append(Fault(origin[rows.image[k]], f"object {rows.record[k]}", "name",
                            f"the class {rows.names[k].strip()!r} is not in the class list of {where}",
                            "add it to the list or correct the name", False, "unknown class"))
    ok = numbers >= 0
    classes = Classes(tuple(found))
    t = table(
        files, sizes, np.arange(len(files)), np.array(rows.image, dtype=np.int64)[ok], corners[ok], numbers[ok], origin,
        crowd=np.array(rows.crowd, dtype=bool)[ok], record=np.array(rows.record, dtype=np.int64)[ok], word="object",
    )
    said = str(where / (source.stems or source.annotations))
    sets = child(where, "ImageSets") or "ImageSets"
    draft = Draft(
        base, FORMAT, t, classes, ("boxes",), hashed.hexdigest(), said, faults, follow_links=follow_links, notes=notes,
        out=rows.out, lost=rows.lost,
        used={str(where / n) for n in (*trees, *(f"{sets}/{n}" for n in walk(where / sets, {".txt"})))} | {
        str(p) for p in (class_path(where), colours.find(where)) if p}, crowds="difficult",
        unmark="write <difficult>0</difficult>", spelt="corners", unread=dict(rows.unread),
    )
    if source.stems is not None and source.stems.lower().startswith("imagesets/segmentation/"):
        semantic = with_background(classes)
        to = "" if base == where else os.path.relpath(where, base) + "/"
        t.maps = [(f"{to}SegmentationObject/{s}.png", f"{to}SegmentationClass/{s}.png") for s in used]
        draft.kinds, draft.semantic, draft.layers = (("boxes", "masks", "semantic"), semantic,
                                                     Segmentation(len(semantic)))
    return draft


def _listed(raw: bytes, path: Path, keys: _Keys, faults: list[Fault]) -> list[tuple[str, str | None]]:
    """(key, picture) of every line of a list of names; ImageNet numbers its lines in a second word."""
    out: list[tuple[str, str | None]] = []
    lines = raw.decode("utf-8-sig", "replace").splitlines()
    numbered = len(lines) > 0 and all(line.split()[1:] == [str(n)] for n, line in enumerate(lines, 1))
    for number, line in enumerate(lines, 1):
        text = line.split()[0] if numbered else line.strip()
        if not text:
            continue
        found = keys.find(text)
        if found is not None:
            out.append(found)
            continue
        try:
            check_name(plain_name(text), str(path), f"line {number}", "name")
        except DataError as e:
            faults.append(Fault.of(e, "path"))
            continue
        faults.append(Fault(str(path), f"line {number}", "name", f"{text[:200]!r} is neither an annotation nor a "
                            "picture that is there", "it is left out", True, "broken annotation"))
    return out


def _own(found: Sequence[str], root: ET.Element | None) -> str | None:
    """Of the pictures that have an annotation's path, with several endings, the one that its <filename> says."""
    said = "" if root is None or len(found) < 2 else plain_name((root.findtext("filename") or "").strip())
    return next((n for n in found if n.rpartition("/")[2] == said.rpartition("/")[2]), found[0] if found else None)


def _named(key: str, root: ET.Element | None, pictures: Pictures, taken: set[str]) -> str | None:
    """The picture of an annotation whose path none has: that of its <filename>,
    or one of its base name where folders differ.

    Never one that is another annotation's own. Raises `LookupError` where several fit alike.
    """
    said = "" if root is None else plain_name((root.findtext("filename") or "").strip())
    stem = os.path.splitext(said)[0]
    clash: LookupError | None = None
    beside = key.rpartition("/")[0]
    for name in dict.fromkeys((f"{beside}/{said}" if beside and said else said, said, stem, key)):
        if not name:
            continue
        try:
            found = pictures.find(name)
        except LookupError as e:
            clash = clash or e
            continue
        if found is None or found in taken:
            continue
        shared = name.split("/")[-2:-1] == found.split("/")[-2:-1]
        if shared or "/" not in name or "/" not in found:
            return found
    if clash is not None:
        raise clash
    return None


def _drawn(o: ET.Element) -> str:
    """What stands in the place of an object's box."""
    if o.find("robndbox") is not None:
        return "a turned box alone, which is not read: write <bndbox> of the upright one"
    if o.find("polygon") is not None:
        return "an outline alone (LabelMe's XML), which is not read: write <bndbox>, or COCO's JSON"
    return "no box"


_READ = ("name", "bndbox", "difficult")
_NOTHING = ("", "0", "false", "no", "unspecified")  # of marks of an object that say nothing of it


class _Rows:
    """Columns grown from annotations."""

    def __init__(self, faults: list[Fault]):
        self.faults = faults
        self.image: list[int] = []
        self.names: list[str] = []
        self.crowd: list[bool] = []
        self.record: list[int] = []
        self.out: set[int] = set()
        self.lost: set[int] = set()  # those of them of which nothing can be read
        self.unread: Counter[str] = Counter()
        self._corners: list[tuple[float, float, float, float]] = []

    def add(self, image: int, root: ET.Element, path: str) -> None:
        for o in root:
            if o.tag == "object" or not isinstance(o.tag, str):
                continue
            if next(o.iter("object"), None) is not None:  # as FAIR1M's <objects>
                self.faults.append(Fault(path, f"<{o.tag[:40]}>", "", "holds each <object>, which is read where it "
                                         f"stands in <{root.tag[:40]}> itself, with a <bndbox>", OUT, True,
                                         "broken annotation"))
                self.out.add(image)
                self.lost.add(image)
            elif next(o.iter("bndbox"), None) is not None:
                self.faults.append(Fault(path, f"<{o.tag[:40]}>", "", "holds a <bndbox> and is no <object>", ONE_OUT,
                                         True, "broken record"))
                self.out.add(image)
        for k, o in enumerate(root.findall("object")):
            word = f"object {k}"
            name = o.findtext("name") or ""
            box = o.find("bndbox")
            several = len(o.findall("bndbox")) > 1 or len(o.findall("name")) > 1
            if not name.strip() or box is None or several:
                field, said = (("bndbox", "several names or boxes") if several else ("name", "no class name")
                               if not name.strip() else ("bndbox", _drawn(o)))
                self.faults.append(Fault(path, word, field, f"the object has {said}", ONE_OUT, True, "broken record"))
                self.out.add(image)
                continue
            hard = False
            try:
                hard = flag(o.findtext("difficult"))
            except ValueError as e:
                self.faults.append(Fault(path, word, "difficult", str(e), "it counts as no", True, "broken record"))
            self.image.append(image)
            self.names.append(name)
            x1, y1, x2, y2 = (_float(box.findtext(c)) for c in ("xmin", "ymin", "xmax", "ymax"))
            self._corners.append((x1, y1, x2, y2))
            self.crowd.append(hard)
            self.unread.update({f"the mark <{e.tag[:60]}>" for e in o if e.tag not in _READ and (
                len(e) or (e.text or "").strip().lower() not in _NOTHING)})
            self.record.append(k)

    def corners(self, one_based: bool) -> np.ndarray:
        """float64 (O, 4): the edges of the boxes."""
        out = np.array(self._corners, dtype=np.float64).reshape(-1, 4)
        if one_based:
            with np.errstate(invalid="ignore"):
                out[:, :2] -= ((out[:, 2] > out[:, 0]) & (out[:, 3] > out[:, 1]))[:, None]
        return out


@dataclass(frozen=True)
class Segmentation:
    """SegmentationObject: pixel k belongs to the k-th object of the XML. SegmentationClass: 0 background, k the k-th
    class; 255 void in both."""

    classes: int  # background included

    def __call__(self, sample: Sample, paths: tuple[Path, ...], wanted: frozenset[str]) -> None:
        objects, classes = paths
        if "masks" in wanted:
            ids = _flat_map(objects, sample.size)
            numbers = np.asarray(sample.extra["record"]) + 1
            sample.masks = ids[None] == numbers[:, None, None]
            sample.area = sample.masks.sum((1, 2)).astype(np.float32)
        if "semantic" in wanted:
            out = _flat_map(classes, sample.size).astype(np.uint8)
            wild = np.asarray((out >= self.classes) & (out != IGNORE))
            if wild.any():
                raise DataError(str(classes), f"has the class id {int(out[wild][0])}, and there are {self.classes} "
                                "classes, background included",
                                "list all classes in classes.txt, in the order of the ids")
            sample.semantic = out


def _flat_map(path: Path, size: tuple[int, int]) -> np.ndarray:
    out = read_map(path)
    if out.ndim != 2:
        raise DataError(str(path), "is a colour picture, not a map of ids", "store it as a palette or grey PNG")
    if out.shape != size:
        raise DataError(str(path), f"is {out.shape[1]} x {out.shape[0]}, and its picture is {size[1]} x {size[0]}",
                        "give both one size")
    return out


def _int(text: str | None) -> int:
    value = _float(text)
    return int(value) if np.isfinite(value) and abs(value) < 1 << 20 else 0


def _float(text: str | None) -> float:
    try:
        return float(text) if text is not None else float("nan")
    except ValueError:
        return float("nan")  # vetted as "not finite", with its record


__all__ = ["FORMAT", "Source", "folders", "keys_of", "parse", "read", "splits"]
