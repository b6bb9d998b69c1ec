"""Small folders of every format that is read, each spoilt one to three times: is anything lost without a word?

    python benchmarks/fuzz_folders.py                        10,000 folders, the table, and what failed
    python benchmarks/fuzz_folders.py --count 500 --seed 3
    python benchmarks/fuzz_folders.py --formats panoptic maps
    python benchmarks/fuzz_folders.py --only 417 --keep /tmp/kept    one of them again, its folder kept

Of each folder it is known which object was written on which picture, and which of them the spoiling took away (then
nobody can know of it) or touched. On the folder run `stemma doctor --json`, what `train` reads, and of every eighth
`stemma convert`, all in this process. What must hold:

- no exception reaches the user but the product's own error;
- every object that was written is read on its own picture (pictures are known by their pixels), its box and its mask
  where there is one, or its picture, its record or the file of its picture is named, or training refuses the data with
  a line;
- a picture of which nothing was touched has no object but its own;
- what training skips or refuses the doctor names;
- no file of the input, nor of what lies beside it, is changed.

The exit status is the number of folders that failed, 100 at most.
"""
from __future__ import annotations

import argparse
import contextlib
import copy
import csv
import gzip
import hashlib
import io
import json
import os
import re
import shutil
import sys
import tempfile
import time
import traceback
import unicodedata
import warnings
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from small_folders import FORMATS, Folder, H, Lines, Many, Picture, Thing, W, digest, fresh, noisy, png

ODD: tuple[Any, ...] = (None, "", "nan", "text", -1, -7.5, float("nan"), float("inf"), 1e300, 10**25, 0, 1, True, [],
                        {}, [None], "7", "Ω", {"a": 1}, [1, 2])
TABLES = ("csv", "open-images")  # messages name a record of theirs by its line
WORDS = ("", "nan", "inf", "-1", "-0.5", "1e300", "x", "99", "1,5", "0.5", "1", "0", "Ω", "#", '"', "NULL")


# ---------------------------------------------------------------- spoiling what is written


def _below(f: Folder, node: Any) -> list[Thing]:
    """The objects in a part of a document."""
    if id(node) in f.of:
        return [f.of[id(node)]]
    inner: Any = node.values() if isinstance(node, dict) else node if isinstance(node, (list, ET.Element)) else ()
    return [t for x in inner for t in _below(f, x)]


def _steps(node: Any, way: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any, Any]]:
    """(nodes above, parent, key) of everything in a JSON document."""
    listed: Any = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for k, v in listed:
        yield (*way, node), node, k
        yield from _steps(v, (*way, node))


def _concerned(f: Folder, above: tuple[Any, ...], node: Any) -> list[Thing]:
    """The objects that a change at a place of a document may touch: its own record, those below, or those of its
    picture; all where it is of none."""
    own = [f.of[id(n)] for n in (*above, node) if id(n) in f.of]
    page = [f.pages[id(n)] for n in (*above, node) if id(n) in f.pages]
    if own:
        return own
    if page:
        return page[-1].things
    f.shared = True
    return f.things


def json_value(f: Folder, rng: np.random.Generator) -> str:
    """A value of a document is another, is gone, or has another key."""
    name, doc = _pick(f, rng, (dict, list))
    if doc is None:
        return ""
    ways = list(_steps(doc))
    if not ways:
        return ""
    above, parent, key = ways[int(rng.integers(len(ways)))]
    old = parent[key]
    what = str(rng.choice(["odd", "odd", "odd", "drop", "rename", "double", "text"]))
    whole = isinstance(parent, list) and (id(old) in f.of or id(old) in f.pages)
    concerned = _below(f, old) if whole else _concerned(f, above, old)
    if what == "drop":
        del parent[key]
        for t in concerned if whole else ():
            t.state = "gone"
        if whole and f.format in ("coco", "lvis", "panoptic") and id(old) in f.pages:
            f.touch(f.pages[id(old)].things)
    elif what == "rename" and isinstance(parent, dict):
        parent[str(rng.choice([key.upper() or "A", f"{key}_", key.capitalize() + "s", ""]))] = parent.pop(key)
    elif what == "double" and isinstance(parent, list):
        parent.insert(int(rng.integers(len(parent) + 1)), copy.deepcopy(old))
        for p in f.pictures:
            p.more |= any(t in p.things for t in concerned) or id(old) in f.pages
        if whole:
            return f"{name}: a record of {key} twice"
    elif what == "text":
        parent[key] = json.dumps(old) if not isinstance(old, str) else old.upper()
    else:
        what, odd = "odd", ODD[int(rng.integers(len(ODD)))]
        for t in _below(f, old) if isinstance(old, list) and not odd and isinstance(odd, (list, dict)) else ():
            t.state = "gone"  # a list of nothing says that there is nothing
        parent[key] = copy.deepcopy(odd)
    f.touch(concerned)
    if key == "image_id" and what == "odd" and not isinstance(parent[key], bool):  # it may mean another picture now
        meant = [q for q in f.pictures if str(f.pictures.index(q) + 1) == str(parent[key])]
        for t in concerned if meant else ():
            t.state = "gone"
        for q in meant:
            q.more = True
    new = parent.get(key) if isinstance(parent, dict) else ""
    return f"{name}: {what} {key!r} of {str(old)[:60]!r} -> {str(new)[:40]}"


def xml_value(f: Folder, rng: np.random.Generator) -> str:
    """An element or attribute of a document is another, gone, or called otherwise."""
    name, root = _pick(f, rng, (ET.Element,))
    if root is None:
        return ""
    above = {c: p for p in root.iter() for c in p}
    nodes = list(root.iter())
    e = nodes[int(rng.integers(len(nodes)))]
    way: list[Any] = [e]
    while way[-1] in above:
        way.append(above[way[-1]])
    whole = id(e) in f.of or id(e) in f.pages
    concerned = _below(f, e) if whole and e is not root else _concerned(f, tuple(way[::-1]), e)
    what = str(rng.choice(["text", "attribute", "drop", "rename", "double"]))
    if what == "drop" and e in above:
        above[e].remove(e)
        for t in concerned if whole else ():
            t.state = "gone"
    elif what == "rename":
        e.tag = str(rng.choice([e.tag.capitalize(), e.tag + "s", "x"]))
    elif what == "double" and e in above:
        above[e].insert(0, copy.deepcopy(e))
        for p in f.pictures:
            p.more |= any(t in p.things for t in concerned)
    elif what == "attribute" and e.attrib:
        key = str(rng.choice(sorted(e.attrib)))
        if rng.integers(3):
            e.set(key, str(rng.choice(WORDS)))
        else:
            del e.attrib[key]
    else:
        e.text = str(rng.choice(WORDS))
    f.touch(concerned)
    return f"{name}: {what} <{e.tag}>"


def line_value(f: Folder, rng: np.random.Generator) -> str:
    """A line of a text has another word, one more or less, is twice there or not at all."""
    name, text = _pick(f, rng, (Lines,))
    if text is None or not text.rows:
        return ""
    k = int(rng.integers(len(text.rows)))
    row, thing = text.rows[k]
    words = row.split(text.part)
    at = int(rng.integers(len(words)))
    own = name in {p.labels for p in f.pictures}
    concerned = [thing] if thing else [] if own else f.things
    f.shared |= not thing and not own
    what = str(rng.choice(["word", "word", "less", "more", "twice", "drop", "part", "blank"]))
    if what == "drop":
        text.rows.pop(k)
        if thing:
            thing.state = "gone"
    elif what == "twice":
        text.rows.insert(k, text.rows[k])
        for p in f.pictures:
            p.more |= thing in p.things
        if thing:
            return f"{name}: line {k + 1} twice"
    elif what == "blank":
        text.rows.insert(k, (str(rng.choice(["", "   ", "\t", "#", "# a remark"])), None))
        for t in f.things:  # lines move
            if f.format in TABLES and t.said:
                t.said = (*t.said, f"line {int(t.said[0].split()[1]) + 1}")
        return f"{name}: a blank line or a remark before line {k + 1}"
    else:
        words = {"word": [*words[:at], str(rng.choice(WORDS)), *words[at + 1 :]], "less": words[:at] + words[at + 1 :],
                 "more": [*words, str(rng.choice(WORDS))], "part": words}[what]
        text.rows[k] = ((";" if what == "part" else text.part).join(words), thing)
        if thing and not text.rows[k][0].strip():
            thing.state = "gone"
        if thing and f.format in TABLES:  # it may name another picture, which is not there
            thing.said = (*thing.said, f"image {words[0] if words else ''}")
    f.touch(concerned)
    return f"{name}: {what} in line {k + 1} {row[:60]!r}"


def _pick(f: Folder, rng: np.random.Generator, kinds: tuple[type, ...]) -> tuple[str, Any]:
    names = sorted(n for n, v in f.files.items() if isinstance(v, kinds))
    if not names:
        return "", None
    name = names[int(rng.integers(len(names)))]
    return name, f.files[name]


# ---------------------------------------------------------------- spoiling files


def _text(f: Folder, rng: np.random.Generator) -> tuple[str, Any]:
    """A file of annotations, now bytes, and what it was; "" where there is none."""
    names = sorted(n for n, v in f.files.items() if not isinstance(v, bytes) or n.endswith(
        (".json", ".xml", ".txt", ".csv", ".yaml", ".odgt")))
    if not names:
        return "", None
    name = names[int(rng.integers(len(names)))]
    old = f.files[name]
    f.files[name] = written(old)
    return name, old


def written(value: Any) -> bytes:
    """The bytes of a file."""
    if isinstance(value, bytes):
        return value
    if isinstance(value, Lines):
        return "".join(f"{r}\n" for r, _ in value.rows).encode()
    if isinstance(value, Many):
        return "".join(f"{json.dumps(v, ensure_ascii=False)}\n" for v in value).encode()
    if isinstance(value, ET.Element):
        return ET.tostring(value, encoding="utf-8")
    return json.dumps(value, ensure_ascii=False).encode()


def _in_file(f: Folder, name: str) -> list[Thing]:
    """The objects that a file may speak of."""
    page = [p for p in f.pictures if p.labels == name]
    f.shared |= not page
    return page[0].things if page else f.things


def spelling(f: Folder, rng: np.random.Generator) -> str:
    """Byte order marks, ends of lines and encodings that editors write: nothing is lost by them."""
    name, _ = _text(f, rng)
    if not name:
        return ""
    raw = f.files[name]
    if raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return ""  # an editor spells text, not bytes: what follows is for one of bytes
    what = str(rng.choice(["mark", "crlf", "cr", "mixed", "utf-16", "spaces", "end", "pretty", "pretty"]))
    f.files[name] = {
        "pretty": lambda: _pretty(name, raw),
        "mark": lambda: b"\xef\xbb\xbf" + raw, "crlf": lambda: raw.replace(b"\n", b"\r\n"),
        "cr": lambda: raw.replace(b"\n", b"\r"), "mixed": lambda: raw.replace(b"\n", b"\r\n", 1),
        "utf-16": lambda: raw.decode("utf-8", "replace").encode("utf-16"), "spaces": lambda: raw + b"  \n\n \t\n",
        "end": lambda: raw.rstrip(b"\n"),
    }[what]()
    return f"{name}: {what}"


def _pretty(name: str, raw: bytes) -> bytes:
    """The same document as another program lays it out: lines and blanks, letters by their numbers, keys in order,
    every cell between quotation marks."""
    if name.lower().endswith(".json"):
        with contextlib.suppress(ValueError, TypeError):
            return json.dumps(json.loads(raw), indent=2, ensure_ascii=True, sort_keys=True).encode()
    if name.lower().endswith(".xml"):
        with contextlib.suppress(ET.ParseError, ValueError):
            root = ET.fromstring(raw)
            ET.indent(root, "\t")
            text: bytes = ET.tostring(root, encoding="us-ascii", xml_declaration=True)
            return text
    if name.lower().endswith(".csv") and b'"' not in raw:
        with contextlib.suppress(ValueError):
            out = io.StringIO()
            csv.writer(out, quoting=csv.QUOTE_ALL).writerows(csv.reader(io.StringIO(raw.decode())))
            return out.getvalue().encode()
    return raw


def damage(f: Folder, rng: np.random.Generator) -> str:
    """A file of annotations is cut, empty, garbage, or holds a wrong byte."""
    name, old = _text(f, rng)
    if not name:
        return ""
    raw = f.files[name]
    what = str(rng.choice(["cut", "empty", "garbage", "byte", "zeros", "pointer", "packed"]))
    at = int(rng.integers(max(len(raw), 1)))
    f.files[name] = {
        "cut": lambda: raw[:at], "empty": lambda: b"", "garbage": lambda: rng.bytes(60),
        "byte": lambda: raw[:at] + bytes([int(rng.integers(256))]) + raw[at + 1 :],
        "zeros": lambda: bytes(len(raw)), "packed": lambda: gzip.compress(raw, mtime=0),
        "pointer": lambda: b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 99\n",
    }[what]()
    f.touch(_in_file(f, name))
    for t in _in_file(f, name):  # the file is named, or what stands in it now
        t.said = (*t.said, name.rpartition("/")[2].casefold()) if what not in ("cut", "byte") else (
            *t.said, "is not there") if what == "byte" and name.lower().endswith(".csv") else t.said
    table = name.lower().endswith(".csv")
    lines = table or name.lower().endswith(".txt")
    if lines and (what == "cut" or what == "empty" and not table):
        _cut(f, name, old, at if what == "cut" else 0)
    for p in f.pictures:  # a wrong byte may end one name and begin another
        p.more |= what in ("cut", "byte") and (p.labels == name or name not in {q.labels for q in f.pictures})
    return f"{name}: {what}"


def _cut(f: Folder, name: str, old: Any, at: int) -> None:
    """Of a text of lines that ends at byte `at`, the objects of the lines that are no more there are gone."""
    if not isinstance(old, Lines):
        for t in _in_file(f, name):
            t.state = "gone"
        return
    for row, thing in old.rows:
        if thing is not None and at <= 0:
            thing.state = "gone"
        at -= len(row.encode()) + 1


def paths(f: Folder, rng: np.random.Generator) -> str:
    """Names of pictures in the annotations are paths of another machine, in other case, or have no ending."""
    own = {p.labels for p in f.pictures}
    names = sorted({n for n in f.files if n not in own and n.endswith((".json", ".xml", ".csv", ".txt", ".odgt"))}
                   or (own if f.format in ("voc", "labelme") else ()))
    if not names:
        return ""
    name = names[int(rng.integers(len(names)))]
    if name not in f.files:
        return ""
    text = written(f.files[name]).decode("utf-8", "replace")
    style = str(rng.choice(["/home/me/set/{}", "../{}", "..\\\\pics\\\\{}", "C:\\\\data\\\\{}", "./{}", "upper", "bare",
                            "nfd", "{} ", "http://host/a/{}?x=1"]))
    if not name.endswith(".json"):
        style = style.replace("\\\\", "\\")
    for p in f.pictures:
        whole = p.called
        new = {"upper": whole.upper(), "bare": p.stem, "nfd": unicodedata.normalize("NFD", whole)}.get(
            style, style.format(whole))
        text = text.replace(whole, new)
    f.files[name] = text.encode("utf-8", "surrogatepass")
    return f"{name}: names as {style}"


def picture(f: Folder, rng: np.random.Generator) -> str:
    """A picture is gone, broken, of another size, another kind, in another place, or a link."""
    p = f.pictures[int(rng.integers(len(f.pictures)))]
    if p.file not in f.files:
        return ""
    raw = f.files.pop(p.file)
    folder, _, last = p.file.rpartition("/")
    stem, ending = os.path.splitext(last)
    at = f"{folder}/" if folder else ""
    what = str(rng.choice(["gone", "cut", "empty", "garbage", "text", "size", "jpeg", "upper", "ending", "deep", "nfd",
                           "link", "inner link", "copy", "blank", "top", "folder", "twin"]))
    new = p.file
    if what in ("cut", "empty", "garbage", "text"):
        raw = {"cut": raw[: len(raw) // 2], "empty": b"", "garbage": rng.bytes(200), "text": b"not found"}[what]
        p.broken = True
    elif what == "size":
        with Image.open(io.BytesIO(p.raw)) as im:
            grown = np.asarray(im.resize((W + 8, H + 3)))
        raw, p.digest = png(grown), digest(grown)
        f.touch(p.things)
    elif what == "jpeg":
        with Image.open(io.BytesIO(p.raw)) as im:
            out = io.BytesIO()
            im.save(out, "JPEG")
        raw = out.getvalue()
        with Image.open(io.BytesIO(raw)) as im:
            p.digest = digest(np.asarray(im.convert("RGB")))
        new = p.file if rng.integers(2) else f"{at}{stem}.jpg"
    elif what == "twin":  # another picture, whose name differs in its letters' case alone
        f.files[f"{at}{stem.swapcase()}{ending}"] = noisy(78)[0]
    elif what in ("gone", "link", "folder"):
        p.broken = what != "link"
        if what == "folder":  # of that very name
            f.files[f"{p.file}/notes.txt"] = b"nothing"
        if what == "link":
            f.links[p.file] = f"outside/{last}"
            f.files["../outside/" + last] = raw
    elif what == "inner link":
        f.links[p.file] = f"in/{at}real_{last}"
        f.files[f"{at}real_{last}"] = raw
    elif what == "copy":
        f.files[str(rng.choice([f"{at}{stem} copy{ending}", f"old/{last}", f"{at}deep/{last}"]))] = raw
        p.more = True
    else:
        new = {"upper": f"{at}{stem.upper()}{ending}", "ending": f"{at}{stem}{ending.upper()}", "deep":
               f"{at}a/b/{last}", "nfd": unicodedata.normalize("NFD", p.file), "blank": f"{at}{stem} {ending}",
               "top": f"{last}"}[what]
    if what not in ("gone", "link", "inner link", "folder"):
        f.files[new] = raw
    p.file = new
    p.names |= {os.path.splitext(new.rpartition("/")[2])[0]}
    return f"{at}{last}: {what}"


def label_file(f: Folder, rng: np.random.Generator) -> str:
    """A file of annotations is gone, elsewhere, called otherwise, doubled, or a link."""
    own = [p for p in f.pictures if p.labels in f.files]
    names = [p.labels for p in own] or [n for n in f.files if n.endswith((".json", ".xml", ".csv", ".odgt", "_gt.txt"))]
    if not names:
        return ""
    name = sorted(names)[int(rng.integers(len(names)))]
    of = [p for p in own if p.labels == name]
    if isinstance(f.files[name], bytes) and not of:
        return ""
    value = f.files.pop(name)
    folder, _, last = name.rpartition("/")
    at = f"{folder}/" if folder else ""
    stem, ending = os.path.splitext(last)
    what = str(rng.choice(["gone", "upper", "ending", "deep", "other", "copy", "link", "nfd", "top"]))
    new = {"upper": f"{at}{stem.upper()}{ending}", "ending": f"{at}{stem}{ending.upper()}", "deep": f"{at}a/{last}",
           "other": f"{at}{stem}_old{ending}", "nfd": unicodedata.normalize("NFD", name), "top": last}.get(what, name)
    if what == "gone":
        inner = [t for _, t in value.rows if t] if isinstance(value, Lines) else _below(f, value)
        for t in of[0].things if of else inner:
            t.state = "gone"
        for t in f.things if last.startswith("class-descriptions") else ():  # the codes are the names then
            t.said = (*t.said, "classes are called by codes")
        return f"{name}: gone"
    if what == "link":
        f.files["../outside/" + last] = written(value)
        f.links[name] = f"outside/{last}"
        return f"{name}: a link that leads out"
    if what == "copy":
        f.files[str(rng.choice([f"{at}{stem} copy{ending}", f"old/{last}"]))] = written(value)
        for p in f.pictures:
            p.more = True
    f.files[new] = value
    for p in of:
        p.labels = new
        p.names |= {os.path.splitext(new.rpartition("/")[2])[0]}
    return f"{name}: {what}"


def map_file(f: Folder, rng: np.random.Generator) -> str:
    """A map of numbers is gone, broken, of another size, kind or place, or has a number more or less."""
    own = [p for p in f.pictures if p.map in f.files]
    if not own:
        return ""
    p = own[int(rng.integers(len(own)))]
    raw = f.files.pop(p.map)
    folder, _, last = p.map.rpartition("/")
    stem, ending = os.path.splitext(last)
    at = f"{folder}/" if folder else ""
    what = str(rng.choice(["gone", "cut", "empty", "garbage", "text", "zeros", "one less", "one more", "size",
                           "jpeg", "rgb", "palette", "alpha", "wide", "upper", "ending", "deep", "copy", "tail", "top",
                           "link"]))
    new = p.map
    if what in ("gone", "cut", "empty", "garbage", "text"):
        raw = {"cut": raw[: len(raw) // 2], "garbage": rng.bytes(200), "text": b"not found"}.get(what, b"")
        f.touch(p.things)
    elif what in ("upper", "ending", "deep", "tail", "top"):
        new = {"upper": f"{at}{stem.upper()}{ending}", "ending": f"{at}{stem}{ending.upper()}", "deep":
               f"{at}a/b/{last}", "tail": f"{at}{stem}_mask{ending}", "top": last}[what]
    elif what == "copy":
        f.files[str(rng.choice([f"{at}{stem} copy{ending}", f"old/{last}", f"{at}deep/{last}"]))] = raw
    elif what == "link":
        f.files["../outside/" + last] = raw
        f.links[p.map] = f"outside/{last}"
    else:
        raw, new = _redrawn(f, rng, p, raw, what)
    if what not in ("gone", "link"):
        f.files[new] = raw
        p.map = new
    p.names |= {os.path.splitext(new.rpartition("/")[2])[0]}
    return f"{at}{last}: {what}"


def _redrawn(f: Folder, rng: np.random.Generator, p: Picture, raw: bytes, what: str) -> tuple[bytes, str]:
    """(bytes, path) of a map whose pixels are stored otherwise, or are others."""
    try:
        with Image.open(io.BytesIO(raw)) as im:
            im.load()
    except (OSError, SyntaxError, ValueError):
        return raw, p.map
    pixels = np.array(im)
    grey = pixels.ndim == 2 and pixels.dtype == np.uint8
    stored: dict[str, Any] = {}
    name = p.map
    if what in ("zeros", "one less"):
        for t in p.things if what == "zeros" else p.things[:1]:
            x1, y1, x2, y2 = t.box
            pixels[y1:y2, x1:x2] = 0
            t.state = "gone" if f.format == "maps" else "touched"
        if what == "zeros":
            pixels[:] = 0
    elif what == "one more":
        pixels[0:2, 0:3] = int(rng.choice([9, 77, 200, 254, 255]))
        f.touch(p.things)
        p.more = True
    elif what == "size":
        pixels = np.array(im.resize((W + 8, H + 3), Image.Resampling.NEAREST))
        f.touch(p.things)
    elif what == "jpeg":
        stored = {"format": "JPEG"}
        name = p.map if rng.integers(2) else os.path.splitext(p.map)[0] + ".jpg"
        pixels = pixels[..., :3]
        f.touch(p.things)
        f.shared |= f.alike
    elif what == "rgb" and grey:
        pixels = np.stack([pixels] * 3, -1)
    elif what == "alpha":
        pixels = np.concatenate([*[np.atleast_3d(pixels)] * (3 if grey else 1), np.full((*pixels.shape[:2], 1), 255)],
                                -1).astype(np.uint8)
    elif what == "wide" and grey:
        pixels = pixels.astype(np.uint16)
    made = Image.fromarray(pixels)
    if what == "palette" and grey:
        made.putpalette([int(v) for v in rng.permutation(256).repeat(3)])
    out = io.BytesIO()
    made.save(out, **(stored or {"format": "PNG"}))
    return out.getvalue(), name


def other_files(f: Folder, rng: np.random.Generator) -> str:
    """Files that other programs leave in a folder."""
    p = f.pictures[int(rng.integers(len(f.pictures)))]
    folder, _, last = p.file.rpartition("/")
    at = f"{folder}/" if folder else ""
    name, raw = (
        (f"{at}._{last}", b"\0\5\x16\7" + bytes(80)), (f"{at}.DS_Store", bytes(40)), (f"{at}Thumbs.db", bytes(40)),
        ("notes.txt", b"bolt and nut\n"), ("extra.json", b"{}"), ("extra.json", b"[1, 2"), ("extra.xml", b"<a/>"),
        ("extra.csv", b"a,b\n1,2\n"), ("labels/old.txt", b"0 0.5 0.5 0.2 0.2\n"), (f"{at}video.mp4", bytes(99)),
        ("extra.yaml", b"a: [1\n"), (f"{at}new.png", noisy(77)[0]), ("README.md", b"# parts\n"),
        ("runs/run.json", b"{}"),
    )[int(rng.integers(14))]
    f.files.setdefault(name, raw)
    return f"{name} besides"


SPOILING: tuple[tuple[Callable[[Folder, np.random.Generator], str], int], ...] = (
    (json_value, 6), (xml_value, 6), (line_value, 6), (spelling, 2), (damage, 2), (paths, 2), (picture, 4),
    (label_file, 2), (map_file, 6), (other_files, 1),
)


def spoilt(seed: int, number: int, formats: Sequence[str] = tuple(FORMATS)) -> Folder:
    """Folder `number` of a seed."""
    rng = np.random.default_rng([seed, number])
    f = fresh(rng, formats[number % len(formats)])
    weights = np.array([w for _, w in SPOILING], float)
    want = int(rng.integers(1, 4))
    while len(f.done) < want:
        said = SPOILING[int(rng.choice(len(SPOILING), p=weights / weights.sum()))][0](f, rng)
        f.done += [said] if said else []
    for p in f.pictures:  # a picture and its map that are both away, and no list names them: nobody can know
        away = [p.file, p.map] if f.format == "maps" else []
        if away and not {*away} & {*f.files, *f.links} and not any(
                p.stem.encode() in written(v) for n, v in f.files.items() if n.lower().endswith((".txt", ".csv"))):
            for t in p.things:
                t.state = "gone"
    return f


def write(f: Folder, base: Path) -> Path:
    """The folder `in` below `base`, and beside it `outside`, where links lead."""
    place = base / "in"
    place.mkdir(parents=True)
    (base / "outside").mkdir()
    for name, value in f.files.items():
        path = base / name[3:] if name.startswith("../") else place / name
        with contextlib.suppress(OSError):  # a file where a folder should be: then it is not there
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(written(value))
    for name, to in f.links.items():
        path = place / name
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.symlink_to(base / to)
    return place


# ---------------------------------------------------------------- judging


def tree(folder: Path) -> dict[str, bytes]:
    """Everything below a folder, with the hash of its bytes or where it leads."""
    out = {}
    for at, below, names in os.walk(folder):
        for n in (*below, *names):
            path = os.path.join(at, n)
            out[path] = (b"link " + os.readlink(path).encode() if os.path.islink(path) else b"folder"
                         if os.path.isdir(path) else hashlib.blake2b(Path(path).read_bytes(), digest_size=12).digest())
    return out


Row = tuple[str, tuple[float, ...]]


@dataclass
class Seen:
    """What the commands said of a folder, and what training reads: digest of a picture -> (class, box) of its objects;
    `drawn`: the same with the bounds of their masks, where there are masks. Where training does not begin `error` is
    the line that says so."""

    lines: list[str] = field(default_factory=list)
    read: dict[bytes, list[Row]] = field(default_factory=dict)
    drawn: dict[bytes, list[Row]] = field(default_factory=dict)
    error: str = ""
    crash: str = ""
    warned: str = ""
    unknown: list[str] = field(default_factory=list)  # what training finds wrong and the doctor does not


def command(*words: str) -> tuple[int, str, str]:
    """(exit status, what was printed, what was printed as an error) of a command; 70 for a traceback."""
    from stemma.cli import main
    from stemma.data import records

    out, err, code = io.StringIO(), io.StringIO(), 0
    records._SAID.clear()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), warnings.catch_warnings():
        warnings.simplefilter("always")
        try:
            main(list(words))
        except SystemExit as done:
            code = int(done.code or 0)
        except BaseException:
            code = 70
            traceback.print_exc(file=err)
    if code in (129, 130, 143):  # SIGHUP, Ctrl-C or SIGTERM: the whole was to end, and no folder is wrong for it
        raise KeyboardInterrupt
    return code, out.getvalue(), err.getvalue()


def bounds(mask: np.ndarray) -> tuple[float, ...]:
    """(x1, y1, x2, y2) of what is True in a mask (H, W); zeros where nothing is."""
    y, x = np.nonzero(mask)
    return tuple(map(float, (x.min(), y.min(), x.max() + 1, y.max() + 1))) if len(x) else (0.0,) * 4


def look(place: Path, out: Path, convert: str) -> Seen:
    """The doctor, what training reads, and a conversion."""
    from stemma.core.samples import StemmaError
    from stemma.data import records
    from stemma.data.open import open_dataset as opened
    from stemma.data.open import open_pair, splits

    seen = Seen()
    code, said, wrong = command("doctor", str(place), "--json")
    if code == 70:
        seen.crash = wrong
        return seen
    seen.lines = wrong.splitlines()
    if code in (0, 1):
        report = json.loads(said)
        seen.lines += [" ".join(str(x) for k, x in fault.items() if k not in ("kind", "safe", "box"))
                       for fault in report["faults"]]
        seen.lines += report["notes"] + [n for names in report["unused"].values() for n in names]
    known = "\n".join(seen.lines)
    records._SAID.clear()
    try:
        with warnings.catch_warnings(record=True) as heard:
            warnings.simplefilter("always")
            pair = open_pair(place)
            for data in [*pair, *([opened(place, "test")] if "test" in splits(place) else [])]:
                for i in range(len(data)):
                    try:
                        s = data[i]
                    except StemmaError as e:  # training skips it
                        seen.lines.append(str(e))
                        seen.unknown += [str(e)] * (getattr(e, "file", "") not in known)
                        continue
                    assert s.image is not None
                    names, key = data.info.classes.names, digest(s.image)
                    if "boxes" not in data.info.kinds:
                        assert s.semantic is not None
                        labels = [k for k, n in enumerate(names) if n != "background"]
                        found = zip(labels, (s.semantic == k for k in labels))
                        seen.read[key] = [(names[k], bounds(m)) for k, m in found if m.any()]
                        continue
                    rows = [(names[int(k)], tuple(float(v) for v in b)) for k, b in zip(s.labels, s.boxes)]
                    apart = {b: n for k, (n, b) in enumerate(rows) if s.crowd[k]}  # a crowd of every class is one
                    seen.read[key] = [r for k, r in enumerate(rows) if not s.crowd[k] or apart[r[1]] == r[0]]
                    if s.masks is not None:
                        seen.drawn[key] = [(names[int(k)], bounds(m)) for k, m in zip(s.labels, s.masks)]
        seen.warned = "\n".join(str(w.message) for w in heard)
        seen.lines += seen.warned.splitlines()
    except StemmaError as e:
        seen.error = str(e)
        seen.unknown += [str(e)] * (code == 0 and "there is no split 'train'" not in known)
        if "\n" in seen.error.strip():
            seen.crash = f"an error of several lines: {seen.error}"
    except Exception:
        seen.crash = traceback.format_exc()
    if convert and not seen.crash:
        code, said, wrong = command("convert", str(place), "--to", convert, "--out", str(out))
        if code == 70 or code not in (0, 2):
            seen.crash = f"convert --to {convert}: status {code}: {wrong}"
        elif code == 2 and not wrong.strip():
            seen.crash = "convert gives no line"
    return seen


def judge(f: Folder, seen: Seen) -> list[str]:
    """What is wrong: an object that vanished, or one on a picture that is not its own."""
    if seen.unknown:
        return [f"the doctor does not know: {x}" for x in seen.unknown]
    if seen.error or f.alike and "--maps instance" in "".join(seen.lines):
        return []  # training refuses the data, with a line
    masks = _held(f, seen, {**seen.read, **seen.drawn}) if seen.drawn else []
    return list(dict.fromkeys([*_held(f, seen, seen.read), *(f"mask of {w}" for w in masks)]))


def _held(f: Folder, seen: Seen, read: dict[bytes, list[Row]]) -> list[str]:
    """`judge` of what was read: boxes, or the bounds of masks."""
    out = []
    loud = [unicodedata.normalize("NFC", x) for x in seen.lines]
    text = "\n".join(loud).casefold()
    near = 1.02 if "corners count from" in text else 0.02  # one rule for all corners, and it is said
    for p in f.pictures:
        there = [t for t in p.things if t.state != "gone"]
        rows = list(read.get(p.digest, ()))
        spare = list(rows)
        lost = []
        for t in there:
            hit = next((r for r in spare if r[0] == t.name and np.abs(np.subtract(r[1], t.box)).max() < near), None)
            if hit is not None:
                spare.remove(hit)
            else:
                lost.append(t)
        touched = [t for t in lost if t.state == "touched"]
        others = len(lost) - len(touched)
        vanished = [t for t in lost if t.state == "whole"] + touched[len(spare) :]
        called = p.digest in read and not lost and (not spare or p.more)
        if called or not there and not spare:
            continue
        names = {unicodedata.normalize("NFC", n).casefold() for n in p.names}
        if any(re.search(rf"(?<!\w){re.escape(n)}(?!\w)", text) for n in names):
            continue
        for t in vanished:
            if not any(re.search(rf"(?<!\w){re.escape(s)}(?!\w)", text) for s in t.said):
                out.append(f"{p.file}: {t.name} {t.box} ({t.state}) is not read and not named")
        strange = len(spare) - len(touched)
        if strange > 0 and not p.more and not others and not f.shared:
            out.append(f"{p.file}: has {strange} objects that nobody wrote: {spare[:2]}")
    return out


def one(seed: int, number: int, base: Path,
        formats: Sequence[str] = tuple(FORMATS)) -> tuple[Folder, str, list[str]]:
    """(folder, outcome, what was wrong) of one folder; it is left at `base`."""
    f = spoilt(seed, number, formats)
    place = write(f, base)
    before = tree(base)
    seen = look(place, base / "result", ("coco", "yolo", "voc")[number // 8 % 3] if number % 8 == 0 else "")
    after = {k: v for k, v in tree(base).items() if not k.startswith(str(base / "result"))}
    if seen.crash:
        return f, "traceback", [seen.crash]
    if after != before:
        return f, "changed", [str(k) for k in before.keys() ^ after.keys()] or ["a file has other bytes"]
    wrong = judge(f, seen)
    if wrong:
        return f, "vanished", wrong
    if seen.error:
        return f, "refused", []
    whole = all(any(r[0] == t.name and np.abs(np.subtract(r[1], t.box)).max() < 0.02 for r in seen.read.get(
        p.digest, ())) for p in f.pictures for t in p.things if t.state != "gone")
    return f, "whole" if whole else "told", []


OUTCOMES = ("whole", "told", "refused", "vanished", "traceback", "changed")


def main() -> int:
    """Spoil, look, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="The number of the first folder.")
    parser.add_argument("--formats", nargs="*", default=list(FORMATS), choices=list(FORMATS), metavar="FORMAT")
    parser.add_argument("--only", type=int, nargs="*", help="These folders alone, and what is said of them.")
    parser.add_argument("--keep", type=Path, help="Where folders that fail are kept.")
    args = parser.parse_args()
    numbers = args.only if args.only is not None else range(args.first, args.first + args.count)
    base = Path(tempfile.mkdtemp(prefix="stemma-fuzz-"))
    table: Counter[tuple[str, str]] = Counter()
    failed: list[int] = []
    begun = told = time.monotonic()
    try:
        for done, n in enumerate(numbers, 1):
            at = base / str(n)
            f, outcome, wrong = one(args.seed, n, at, args.formats)
            table[f.format, outcome] += 1
            if wrong:
                failed.append(n)
                print(f"[{n}] {f.format} {outcome}: {'; '.join(f.done)}", flush=True)
                print("".join(f"      {w.strip()[-1500:]}\n" for w in wrong[:3]), end="", flush=True)
                if args.keep:
                    shutil.copytree(at, args.keep / str(n), symlinks=True, dirs_exist_ok=True)
            elif args.only is not None:
                print(f"[{n}] {f.format} {outcome}: {'; '.join(f.done)}")
            shutil.rmtree(at, ignore_errors=True)
            if time.monotonic() - told > 8:
                told = time.monotonic()
                print(f"... {done:,} folders, {len(failed)} failed, {told - begun:.0f} s", file=sys.stderr, flush=True)
    finally:
        shutil.rmtree(base, ignore_errors=True)
    print(f"{'format':14}" + "".join(f"{o:>11}" for o in OUTCOMES))
    for name in args.formats:
        print(f"{name:14}" + "".join(f"{table[name, o]:11,}" for o in OUTCOMES))
    print(f"{'all':14}" + "".join(f"{sum(table[n, o] for n in args.formats):11,}" for o in OUTCOMES))
    if failed:
        print(f"failed with --seed {args.seed} of these formats: --only {' '.join(map(str, failed))}")
    return len(failed)


if __name__ == "__main__":
    np.seterr(all="ignore")
    sys.exit(min(main(), 100))
