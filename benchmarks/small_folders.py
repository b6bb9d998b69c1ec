"""Small data sets in memory, as their owners or tools lay them out: five pictures, and where each of their objects is
told. `fuzz_folders.py` spoils them."""
from __future__ import annotations

import base64
import hashlib
import io
import os
import unicodedata
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
from PIL import Image

W, H = 48, 40
CLASSES = ("bolt", "nut", "washer")


@dataclass(eq=False)
class Thing:
    """An object as it was written: (x1, y1, x2, y2) in pixels. `state`: whole, touched, or gone with its record.
    `said`: how messages may name its record."""

    name: str
    box: tuple[int, int, int, int]
    state: str = "whole"
    said: tuple[str, ...] = ()

    @property
    def extent(self) -> list[int]:
        """[x, y, width, height]."""
        x1, y1, x2, y2 = self.box
        return [x1, y1, x2 - x1, y2 - y1]


@dataclass(eq=False)
class Picture:
    """A picture: where it lies in the folder, its split, its objects. `digest`: of its pixels. `labels`: the file that
    is of it alone. `names`: all it was ever called."""

    stem: str
    split: str
    things: list[Thing]
    raw: bytes
    digest: bytes
    file: str = ""
    labels: str = ""
    map: str = ""  # the PNG of numbers that is of it alone
    called: str = ""  # how annotations call it, where not by its stem with .png
    names: set[str] = field(default_factory=set)
    broken: bool = False
    more: bool = False  # records were doubled: it may have others than its own


class Many(list[Any]):
    """JSON documents, one a line."""


@dataclass(eq=False)
class Lines:
    """A text of lines, each with the object that it tells."""

    rows: list[tuple[str, Thing | None]]
    part: str = " "


@dataclass(eq=False)
class Folder:
    """A data set in memory: path -> JSON document, XML root, lines, or bytes. `of`: id of a node -> its object;
    `pages`: id of a node -> the picture that it speaks of."""

    format: str
    pictures: list[Picture]
    files: dict[str, Any] = field(default_factory=dict)
    of: dict[int, Thing] = field(default_factory=dict)
    pages: dict[int, Picture] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)  # path -> what it leads to
    done: list[str] = field(default_factory=list)
    shared: bool = False  # something that all records need was touched
    alike: bool = False  # numbers of its maps mean objects, whichever they are

    @property
    def things(self) -> list[Thing]:
        return [t for p in self.pictures for t in p.things]

    def touch(self, things: list[Thing]) -> None:
        for t in things:
            t.state = "touched" if t.state == "whole" else t.state


# ---------------------------------------------------------------- pictures and formats


def png(pixels: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


@cache
def noisy(k: int) -> tuple[bytes, bytes]:
    """(PNG, digest of its pixels) of a picture of noise."""
    pixels = np.random.default_rng(k).integers(0, 256, (H, W, 3), dtype=np.uint8)
    return png(pixels), digest(pixels)


def digest(pixels: np.ndarray) -> bytes:
    return hashlib.blake2b(np.ascontiguousarray(pixels).tobytes(), digest_size=12).digest()


def fresh(rng: np.random.Generator, format: str) -> Folder:
    """Five pictures, one of them without objects, in one split or in two."""
    divided = bool(rng.integers(2))
    stems = [f"{'im' if rng.integers(2) else 'IMG_'}{k:02d}" for k in range(5)]
    if rng.integers(3) == 0:
        stems[0] = unicodedata.normalize("NFC", "bär é 0")
    out = []
    for k, stem in enumerate(stems):
        things = []
        for _ in range(0 if k == 2 else int(rng.integers(1, 4))):
            x, y, w, h = (int(rng.integers(*r)) for r in ((1, 22), (1, 18), (6, 24), (6, 20)))
            things.append(Thing(CLASSES[int(rng.integers(3))], (x, y, x + w, y + h)))
        split = ("train" if k < 3 else "val") if divided else ""
        raw, known = noisy(k)
        out.append(Picture(stem, split, things, raw, known, names={stem}))
    folder = Folder(format, out)
    FORMATS[format](folder, rng, divided)
    for p in out:
        p.called = p.called or f"{p.stem}.png"
    for p in out:
        folder.files[p.file] = p.raw
    return folder


def _split_files(f: Folder) -> dict[str, list[Picture]]:
    """Split -> its pictures."""
    return {s: [p for p in f.pictures if p.split == s] for s in dict.fromkeys(p.split for p in f.pictures)}


def _coco(f: Folder, rng: np.random.Generator, divided: bool) -> None:
    number = 10
    masks = bool(rng.integers(2))
    for split, pictures in _split_files(f).items():
        doc: dict[str, Any] = {"images": [], "annotations": [], "categories":
                               [{"id": 3 * k + 1, "name": n, "supercategory": "part"} for k, n in enumerate(CLASSES)]}
        for p in pictures:
            i = f.pictures.index(p)
            p.file = f"images/{split}/{p.stem}.png" if split else f"images/{p.stem}.png"
            im = {"id": i + 1, "file_name": f"{p.stem}.png", "width": W, "height": H}
            f.pages[id(im)] = p
            doc["images"].append(im)
            for t in p.things:
                x1, y1, x2, y2 = t.box
                number += 1
                a = {"id": number, "image_id": i + 1, "category_id": 3 * CLASSES.index(t.name) + 1,
                     "bbox": t.extent, "area": (x2 - x1) * (y2 - y1), "iscrowd": 0}
                if masks:
                    a["segmentation"] = [[x1, y1, x2, y1, x2, y2, x1, y2]]
                t.said = (f"annotation {number}",)
                f.of[id(a)] = t
                doc["annotations"].append(a)
        f.files[f"annotations/instances_{split}.json" if split else "annotations/instances.json"] = doc


def _yolo(f: Folder, rng: np.random.Generator, divided: bool) -> None:
    polygons = rng.integers(4) == 0

    def line(t: Thing) -> str:
        x1, y1, x2, y2 = t.box
        v = ([x1 / W, y1 / H, x2 / W, y1 / H, x2 / W, y2 / H, x1 / W, y2 / H] if polygons else
             [(x1 + x2) / 2 / W, (y1 + y2) / 2 / H, (x2 - x1) / W, (y2 - y1) / H])
        return f"{CLASSES.index(t.name)} " + " ".join(f"{x:.6f}" for x in v)

    for p in f.pictures:
        inner = f"{p.split}/" if p.split else ""
        p.file, p.labels = f"images/{inner}{p.stem}.png", f"labels/{inner}{p.stem}.txt"
        f.files[p.labels] = Lines([(line(t), t) for t in p.things])
    head = ["path: .", *(["train: images/train", "val: images/val"] if divided else ["train: images", "val: images"])]
    if divided or rng.integers(2):
        names = f"names: [{', '.join(CLASSES)}]"
        f.files["data.yaml"] = Lines([(r, None) for r in (*head[: 3 if divided else 1], "nc: 3", names)])
    else:
        f.files["classes.txt"] = Lines([(n, None) for n in CLASSES])


def _voc(f: Folder, rng: np.random.Generator, divided: bool) -> None:
    for p in f.pictures:
        p.file, p.labels = f"JPEGImages/{p.stem}.png", f"Annotations/{p.stem}.xml"
        root = ET.Element("annotation")
        ET.SubElement(root, "filename").text = f"{p.stem}.png"
        size = ET.SubElement(root, "size")
        for tag, v in (("width", W), ("height", H), ("depth", 3)):
            ET.SubElement(size, tag).text = str(v)
        for t in p.things:
            o = ET.SubElement(root, "object")
            ET.SubElement(o, "name").text = t.name
            ET.SubElement(o, "difficult").text = "0"
            box = ET.SubElement(o, "bndbox")
            for tag, v in zip(("xmin", "ymin", "xmax", "ymax"), (t.box[0] + 1, t.box[1] + 1, *t.box[2:])):
                ET.SubElement(box, tag).text = str(v)
            f.of[id(o)] = t
        f.pages[id(root)] = p
        f.files[p.labels] = root
    for split in ("train", "val") if divided else ():
        f.files[f"ImageSets/Main/{split}.txt"] = Lines([(p.stem, None) for p in f.pictures if p.split == split])


def _cvat(f: Folder, rng: np.random.Generator, divided: bool) -> None:
    root = ET.Element("annotations")
    ET.SubElement(root, "version").text = "1.1"
    labels = ET.SubElement(ET.SubElement(ET.SubElement(root, "meta"), "task"), "labels")
    for n in CLASSES:
        ET.SubElement(ET.SubElement(labels, "label"), "name").text = n
    for k, p in enumerate(f.pictures):
        p.file = f"images/{p.split}/{p.stem}.png" if p.split else f"images/{p.stem}.png"
        e = ET.SubElement(root, "image", id=str(k), name=f"{p.stem}.png", width=str(W), height=str(H))
        if p.split:
            e.set("subset", p.split)
        f.pages[id(e)] = p
        for t in p.things:
            x1, y1, x2, y2 = t.box
            if rng.integers(2):
                o = ET.SubElement(e, "box", label=t.name, occluded="0", xtl=str(x1), ytl=str(y1), xbr=str(x2),
                                  ybr=str(y2))
            else:
                o = ET.SubElement(e, "polygon", label=t.name, points=f"{x1},{y1};{x2},{y1};{x2},{y2};{x1},{y2}")
            f.of[id(o)] = t
    f.files["annotations.xml"] = root


def _labelme(f: Folder, rng: np.random.Generator, divided: bool) -> None:
    for p in f.pictures:
        p.file = f"{p.split}/{p.stem}.png" if p.split else f"{p.stem}.png"
        p.labels = os.path.splitext(p.file)[0] + ".json"
        doc: dict[str, Any] = {"version": "5.2.1", "flags": {}, "shapes": [], "imagePath": f"{p.stem}.png",
                               "imageData": None, "imageHeight": H, "imageWidth": W}
        for t in p.things:
            x1, y1, x2, y2 = t.box
            kind = "rectangle" if rng.integers(2) else "polygon"
            shape = {"label": t.name, "points": [[x1, y1], [x2, y2]] if kind == "rectangle" else
                     [[x1, y1], [x2, y1], [x2, y2], [x1, y2]], "group_id": None, "shape_type": kind, "flags": {}}
            f.of[id(shape)] = t
            doc["shapes"].append(shape)
        f.pages[id(doc)] = p
        f.files[p.labels] = doc


def _via(f: Folder, rng: np.random.Generator, divided: bool) -> None:
    for split, pictures in _split_files(f).items():
        doc: dict[str, Any] = {}
        for p in pictures:
            p.file = f"{split}/{p.stem}.png" if split else f"{p.stem}.png"
            entry: dict[str, Any] = {"filename": f"{p.stem}.png", "size": len(p.raw), "regions": [],
                                     "file_attributes": {}}
            for t in p.things:
                x1, y1, x2, y2 = t.box
                if rng.integers(2):
                    shape: dict[str, Any] = {"name": "rect", "x": x1, "y": y1, "width": x2 - x1, "height": y2 - y1}
                else:
                    shape = {"name": "polygon", "all_points_x": [x1, x2, x2, x1], "all_points_y": [y1, y1, y2, y2]}
                region = {"shape_attributes": shape, "region_attributes": {"label": t.name}}
                f.of[id(region)] = t
                entry["regions"].append(region)
            f.pages[id(entry)] = p
            doc[f"{p.stem}.png{len(p.raw)}"] = entry
        f.files[f"{split}/via_region_data.json" if split else "via_region_data.json"] = doc


def _label_studio(f: Folder, rng: np.random.Generator, divided: bool) -> None:
    tasks = []
    for k, p in enumerate(f.pictures):
        p.file, p.split = f"images/{p.stem}.png", ""
        rows = []
        for j, t in enumerate(p.things):
            x1, y1, x2, y2 = t.box
            r = {"id": f"r{k}{j}", "type": "rectanglelabels", "from_name": "label", "to_name": "image",
                 "original_width": W, "original_height": H, "image_rotation": 0,
                 "value": {"x": 100 * x1 / W, "y": 100 * y1 / H, "width": 100 * (x2 - x1) / W,
                           "height": 100 * (y2 - y1) / H, "rotation": 0, "rectanglelabels": [t.name]}}
            f.of[id(r)] = t
            rows.append(r)
        task = {"id": k + 1, "data": {"image": f"/data/upload/1/{p.stem}.png"}, "annotations": [
            {"id": k + 50, "was_cancelled": False, "ground_truth": False, "result": rows}]}
        f.pages[id(task)] = p
        tasks.append(task)
    f.files["result.json"] = tasks


def _createml(f: Folder, rng: np.random.Generator, divided: bool) -> None:
    for split, pictures in _split_files(f).items():
        doc = []
        for p in pictures:
            p.file = f"{split}/{p.stem}.png" if split else f"{p.stem}.png"
            row: dict[str, Any] = {"image": f"{p.stem}.png", "annotations": []}
            for t in p.things:
                x1, y1, x2, y2 = t.box
                a = {"label": t.name, "coordinates": {"x": (x1 + x2) / 2, "y": (y1 + y2) / 2, "width": x2 - x1,
                                                      "height": y2 - y1}}
                f.of[id(a)] = t
                row["annotations"].append(a)
            f.pages[id(row)] = p
            doc.append(row)
        f.files[f"{split}/_annotations.createml.json" if split else "_annotations.createml.json"] = doc


def _csv(f: Folder, rng: np.random.Generator, divided: bool) -> None:
    part = ";" if rng.integers(4) == 0 else ","
    for split, pictures in _split_files(f).items():
        rows: list[tuple[str, Thing | None]] = [
            (part.join(("filename", "width", "height", "class", "xmin", "ymin", "xmax", "ymax")), None)]
        for p in pictures:
            p.file = f"{split}/{p.stem}.png" if split else f"{p.stem}.png"
            for t in p.things:
                t.said = (f"line {len(rows) + 1}",)
                rows.append((part.join(map(str, (f"{p.stem}.png", W, H, t.name, *t.box))), t))
            if not p.things:
                rows.append((part.join((f"{p.stem}.png", str(W), str(H), "", "", "", "", "")), None))
        f.files[f"{split}/_annotations.csv" if split else "_annotations.csv"] = Lines(rows, part)


def _kitti(f: Folder, rng: np.random.Generator, divided: bool) -> None:
    for p in f.pictures:
        top = {"train": "training/", "val": "validation/", "": ""}[p.split]
        p.file, p.labels = f"{top}image_2/{p.stem}.png", f"{top}label_2/{p.stem}.txt"
        f.files[p.labels] = Lines([("{} 0.00 0 -1.57 {:.2f} {:.2f} {:.2f} {:.2f} 1.5 1.6 3.9 -2.1 1.7 18.4 -1.6".format(
            t.name, *t.box), t) for t in p.things])


def _named(f: Folder, *names: str) -> None:
    """Give objects the classes of a format that has its own."""
    for t in f.things:
        t.name = names[CLASSES.index(t.name) % len(names)]


def _aside(f: Folder, once: bool = False) -> None:
    """Objects side by side, so that a map can hold them; `once`: of each class one a picture."""
    for p in f.pictures:
        if once:
            p.things[:] = list({t.name: t for t in p.things}.values())
        for k, t in enumerate(p.things):
            x1, y1, x2, y2 = t.box
            x1 = 1 + 16 * k
            t.box = (x1, y1, x1 + min(x2 - t.box[0], 13), y2)


def _panoptic(f: Folder, rng: np.random.Generator, divided: bool) -> None:
    _aside(f)
    sky, measured = bool(rng.integers(2)), bool(rng.integers(4))
    for split, pictures in _split_files(f).items():
        doc: dict[str, Any] = {"images": [], "annotations": [], "categories": [
            {"id": 3 * k + 1, "name": n, "isthing": int(n != "sky"), "supercategory": "part"}
            for k, n in enumerate((*CLASSES, "sky"))]}
        tail = f"_{split}" if split else ""
        for p in pictures:
            i = f.pictures.index(p)
            p.file = f"images/{split}/{p.stem}.png" if split else f"images/{p.stem}.png"
            p.map = f"annotations/panoptic{tail}/{p.stem}.png"
            ids = np.full((H, W), 70_000 + i if sky else 0, np.int32)
            rows: list[dict[str, Any]] = []
            for k, t in enumerate(p.things):
                x1, y1, x2, y2 = t.box
                ids[y1:y2, x1:x2] = 300 * k + 7
                rows.append({"id": 300 * k + 7, "category_id": 3 * CLASSES.index(t.name) + 1, "iscrowd": 0})
                if measured:
                    rows[-1] |= {"bbox": t.extent, "area": (x2 - x1) * (y2 - y1)}
                t.said = (f"segment {k} of {p.stem}.png",)
                f.of[id(rows[-1])] = t
            if sky:
                rows.append({"id": 70_000 + i, "category_id": 10, "iscrowd": 0, "bbox": [0, 0, W, H],
                             "area": int((ids == 70_000 + i).sum())})
            f.files[p.map] = png(np.stack([ids & 255, ids >> 8 & 255, ids >> 16], -1).astype(np.uint8))
            im = {"id": i + 1, "file_name": f"{p.stem}.png", "width": W, "height": H}
            own = {"image_id": i + 1, "file_name": f"{p.stem}.png", "segments_info": rows}
            f.pages[id(im)] = f.pages[id(own)] = p
            doc["images"].append(im)
            doc["annotations"].append(own)
        f.files[f"annotations/panoptic{tail}.json"] = doc


def _maps(f: Folder, rng: np.random.Generator, divided: bool) -> None:
    """Numbers of objects, of classes, or colours."""
    kind = str(rng.choice(["object", "class", "colour"]))
    f.alike = kind == "object"
    _aside(f, once=not f.alike)
    if f.alike:
        _named(f, "object")
        for p, want in zip(f.pictures[:2], (1, 3)):  # as many as make it plain what the numbers mean
            p.things[:] = [p.things[0], *[Thing("object", (1 + 16 * k, 3, 9 + 16 * k, 20)) for k in range(1, want)]]
    colours = {n: (40 * k, 200 - 30 * k, 90) for k, n in enumerate(CLASSES, 1)} | {"background": (0, 0, 0)}
    for p in f.pictures:
        inner = f"{p.split}/" if p.split else ""
        p.file, p.map = f"images/{inner}{p.stem}.png", f"masks/{inner}{p.stem}.png"
        m = np.zeros((H, W, 3) if kind == "colour" else (H, W), np.uint8)
        for k, t in enumerate(p.things, 1):
            x1, y1, x2, y2 = t.box
            m[y1:y2, x1:x2] = colours[t.name] if kind == "colour" else k if f.alike else 1 + CLASSES.index(t.name)
        f.files[p.map] = png(m)
    if kind == "class":
        f.files["classes.txt"] = Lines([(n, None) for n in ("background", *CLASSES)])
    elif kind == "colour":
        f.files["labelmap.txt"] = Lines([(f"{n}:{r},{g},{b}::", None) for n, (r, g, b) in colours.items()])


def _supervisely(f: Folder, rng: np.random.Generator, divided: bool) -> None:
    graphs = bool(rng.integers(2))
    more = {"geometry_config": {"nodes": {k: {"label": k, "loc": [1, 1]} for k in "ab"}, "edges": []}} if graphs else {}
    f.files["meta.json"] = {"classes": [{"title": n, "shape": "any", "color": "#00FF00", "id": k, **more}
                                        for k, n in enumerate(CLASSES)], "tags": []}
    for p in f.pictures:
        part = p.split or "ds"
        p.file, p.labels = f"{part}/img/{p.stem}.png", f"{part}/ann/{p.stem}.png.json"
        doc: dict[str, Any] = {"description": "", "tags": [], "size": {"height": H, "width": W}, "objects": []}
        for t in p.things:
            x1, y1, x2, y2 = t.box
            kind = str(rng.choice(["rectangle", "graph"] if graphs else ["rectangle", "polygon", "bitmap"]))
            figure: dict[str, Any] = {"classTitle": t.name, "geometryType": kind, "tags": []}
            if kind == "bitmap":
                mask = png(np.full((y2 - y1, x2 - x1), 255, np.uint8))
                figure["bitmap"] = {"data": base64.b64encode(mask).decode(), "origin": [x1, y1]}
            elif kind == "graph":
                figure["nodes"] = {"a": {"loc": [x1, y1]}, "b": {"loc": [x2 - 1, y2 - 1]}}
            else:
                figure["points"] = {"interior": [], "exterior": [[x1, y1], [x2 - 1, y2 - 1]] if kind == "rectangle" else
                                    [[x1, y1], [x2, y1], [x2, y2], [x1, y2]]}
            f.of[id(figure)] = t
            doc["objects"].append(figure)
        f.pages[id(doc)] = p
        f.files[p.labels] = doc


def _datumaro(f: Folder, rng: np.random.Generator, divided: bool) -> None:
    for split, pictures in _split_files(f).items():
        items: list[Any] = []
        for p in pictures:
            p.file = f"images/{split or 'default'}/{p.stem}.png"
            own: list[dict[str, Any]] = []
            for k, t in enumerate(p.things):
                x1, y1, x2, y2 = t.box
                a: dict[str, Any] = {"id": k, "label_id": CLASSES.index(t.name), "group": 0, "attributes": {},
                                     "z_order": 0}
                a |= ({"type": "bbox", "bbox": t.extent} if rng.integers(2) else
                      {"type": "polygon", "points": [x1, y1, x2, y1, x2, y2, x1, y2]})
                f.of[id(a)] = t
                own.append(a)
            item = {"id": p.stem, "image": {"path": f"{p.stem}.png", "size": [H, W]}, "annotations": own}
            f.pages[id(item)] = p
            items.append(item)
        f.files[f"annotations/{split or 'default'}.json"] = {
            "info": {}, "categories": {"label": {"labels": [{"name": n, "parent": "", "attributes": []}
                                                             for n in CLASSES], "attributes": []}}, "items": items}


def _visdrone(f: Folder, rng: np.random.Generator, divided: bool) -> None:
    numbers = {"car": 4, "van": 5, "bus": 9}
    _named(f, *numbers)
    for p in f.pictures:
        top = f"VisDrone2019-DET-{p.split}/" if p.split else ""
        p.file, p.labels = f"{top}images/{p.stem}.png", f"{top}annotations/{p.stem}.txt"
        f.files[p.labels] = Lines([(",".join(map(str, (*t.extent, 1, numbers[t.name], 0, 0))), t) for t in p.things],
                                  ",")


def _wider(f: Folder, rng: np.random.Generator, divided: bool) -> None:
    _named(f, "face")
    for split, pictures in _split_files(f).items():
        rows: list[tuple[str, Thing | None]] = []
        for p in pictures:
            p.file = f"WIDER_{split or 'train'}/images/0--March/{p.stem}.png"
            rows += [(f"0--March/{p.stem}.png", None), (str(len(p.things)), None)]
            rows += [("{} {} {} {} 0 0 0 0 0 0 ".format(*t.extent), t) for t in p.things]
            rows += [] if p.things else [("0 0 0 0 0 0 0 0 0 0 ", None)]
        name = f"wider_face_{split or 'train'}_bbx_gt.txt"
        for number, (_, t) in enumerate(rows, 1):
            if t is not None:
                t.said = (f"{name} line {number}",)
        f.files[f"wider_face_split/{name}"] = Lines(rows)


def _crowdhuman(f: Folder, rng: np.random.Generator, divided: bool) -> None:
    _named(f, "person")
    for split, pictures in _split_files(f).items():
        docs = Many()
        for p in pictures:
            p.called, p.file = p.stem, f"Images/{p.stem}.jpg"
            boxes = []
            for k, t in enumerate(p.things):
                a = {"tag": "person", "fbox": t.extent, "vbox": t.extent, "hbox": [*t.box[:2], 5, 5],
                     "head_attr": {"ignore": 0, "occ": 0, "unsure": 0}, "extra": {"box_id": k, "occ": 0}}
                f.of[id(a)] = t
                boxes.append(a)
            page = {"ID": p.stem, "gtboxes": boxes}
            f.pages[id(page)] = p
            docs.append(page)
            for t in p.things:
                t.said = (f"annotation_{split or 'train'}.odgt line {len(docs)}",)
        f.files[f"annotation_{split or 'train'}.odgt"] = docs


def _citypersons(f: Folder, rng: np.random.Generator, divided: bool) -> None:
    _named(f, "pedestrian")
    for k, p in enumerate(f.pictures):
        part = p.split or "train"
        p.stem = f"ulm_{k:06d}_000019"
        p.called, p.names = f"{p.stem}_leftImg8bit.png", {f"{p.stem}_leftImg8bit", f"{p.stem}_gtBboxCityPersons"}
        p.file = f"leftImg8bit/{part}/ulm/{p.called}"
        p.labels = f"gtBboxCityPersons/{part}/ulm/{p.stem}_gtBboxCityPersons.json"
        doc: dict[str, Any] = {"imgHeight": H, "imgWidth": W, "objects": []}
        for n, t in enumerate(p.things):
            o = {"instanceId": 24_000 + n, "label": "pedestrian", "bbox": t.extent, "bboxVis": t.extent}
            f.of[id(o)] = t
            doc["objects"].append(o)
        f.pages[id(doc)] = p
        f.files[p.labels] = doc


def _caltech(f: Folder, rng: np.random.Generator, divided: bool) -> None:
    _named(f, "person")
    for k, p in enumerate(f.pictures):
        p.stem = f"set0{6 if p.split == 'val' else 0}_V000_I{30 * k + 29:05d}"
        p.names = {p.stem}
        p.file, p.labels = f"images/{p.stem}.png", f"annotations/{p.stem}.txt"
        boxes = [("person {} {} {} {} 0 0 0 0 0 0 0".format(*t.extent), t) for t in p.things]
        f.files[p.labels] = Lines([("% bbGt version=3", None), *boxes])


def _lvis(f: Folder, rng: np.random.Generator, divided: bool) -> None:
    _coco(f, rng, divided)
    by_address = bool(rng.integers(2))  # as in LVIS v1; v0.5 has names
    for p in f.pictures:
        p.file = f"{p.split or 'val'}2017/{p.stem}.png"
    for name, doc in [(n, v) for n, v in f.files.items() if isinstance(v, dict)]:
        f.files["annotations/lvis_v1" + name.removeprefix("annotations/instances")] = f.files.pop(name)
        for c in doc["categories"]:
            c |= {"frequency": "f", "image_count": 200, "instance_count": 900, "synset": f"{c['name']}.n.01"}
        for im in doc["images"]:
            p = f.pages[id(im)]
            if by_address:
                im["coco_url"] = f"http://images.cocodataset.org/{p.file}"
                del im["file_name"]
            there = {t.name for t in p.things}
            im |= {"neg_category_ids": [c["id"] for c in doc["categories"] if c["name"] not in there],
                   "not_exhaustive_category_ids": []}


def _open_images(f: Folder, rng: np.random.Generator, divided: bool) -> None:
    f.files["class-descriptions-boxable.csv"] = Lines([(f"/m/{n},{n}", None) for n in CLASSES], ",")
    for split, pictures in _split_files(f).items():
        rows: list[tuple[str, Thing | None]] = [(
            "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsTruncated,IsGroupOf,IsDepiction,"
            "IsInside", None)]
        for p in pictures:
            p.called = p.stem
            p.file = f"{split or 'train'}/{p.stem}.png"
            for t in p.things:
                x1, y1, x2, y2 = t.box
                t.said = (f"line {len(rows) + 1}",)
                rows.append((f"{p.stem},xclick,/m/{t.name},1,{x1 / W:.6f},{x2 / W:.6f},{y1 / H:.6f},{y2 / H:.6f},0,0,0,"
                             "0,0", t))
            if not p.things:
                rows.append((f"{p.stem},xclick,,,,,,,,,,,", None))
        f.files[f"{split or 'train'}-annotations-bbox.csv"] = Lines(rows, ",")


FORMATS: dict[str, Callable[[Folder, np.random.Generator, bool], None]] = {
    "coco": _coco, "yolo": _yolo, "voc": _voc, "cvat": _cvat, "labelme": _labelme, "via": _via,
    "label-studio": _label_studio, "createml": _createml, "csv": _csv, "kitti": _kitti, "panoptic": _panoptic,
    "maps": _maps, "supervisely": _supervisely, "datumaro": _datumaro, "visdrone": _visdrone, "wider": _wider,
    "crowdhuman": _crowdhuman, "citypersons": _citypersons, "caltech": _caltech, "lvis": _lvis,
    "open-images": _open_images,
}

