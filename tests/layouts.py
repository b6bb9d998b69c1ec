"""One truth written in every layout that is read, as its owners or tools write it, and what each can hold.

A truth is split -> picture's name without ending -> its objects. Boxes are the bounds of masks, objects do not overlap,
so that maps can hold them too.
"""
from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from stemma.data.convert import convert
from stemma.data.open import open_dataset, recognise, splits
from stemma.data.readers import rle
from stemma.data.readers.panoptic import encode

W, H = 60, 40
# what a format may hold: boxes between pixels; outlines of one ring; masks of several pieces and with holes; crowds;
# points; classes by name; splits
WHAT = ("fractions", "outlines", "masks", "crowds", "points")
POINTS = ("centre", "left_ear", "right_ear")
LINES = ((0, 1), (0, 2))


@dataclass(frozen=True)
class Thing:
    """An object: box (x1, y1, x2, y2); `ring` (x, y, ...) where it has an outline; bool `mask` (H, W) where it has no
    one ring; `points` (K, 3)."""

    name: str
    box: tuple[float, float, float, float]
    ring: tuple[float, ...] = ()
    mask: Any = None
    crowd: bool = False
    points: Any = None

    @property
    def xywh(self) -> list[float]:
        a, b, x, y = self.box
        return [a, b, x - a, y - b]

    @property
    def pixels(self) -> Any:
        """Its mask, None of a box alone."""
        return rle.decode([list(self.ring)], H, W) if self.ring else self.mask


Truth = dict[str, dict[str, list[Thing]]]


def truth(holds: frozenset[str], names: Sequence[str] = ("cat", "dog"), parts: Sequence[str] = ("train", "val")) -> Truth:
    """Five pictures a split, the last without objects, two of one base name; with what a format `holds`."""
    out: Truth = {}
    for s, split in enumerate(parts):
        out[split] = {}
        for i, name in enumerate(("a", "cam_1/b", "cam_2/b", "c", "empty")):
            part = 0.25 * ("fractions" in holds)
            rows: list[Thing] = []
            for k in range(0 if name == "empty" else 3):
                x, y = 2 + 18 * k + part, 3 + 2 * i + s
                wide, high = 12 + k, 14 + i
                box = (x, y, x + wide, y + high)
                ring: tuple[float, ...] = ()
                mask, points = None, None
                if "masks" in holds and k == 1:
                    box = tuple(map(float, map(int, box)))  # type: ignore[assignment]
                    mask = np.zeros((H, W), bool)
                    mask[int(y) : int(y) + high, int(x) : int(x) + 4] = True
                    mask[int(y) + 3 : int(y) + high, int(x) + 8 : int(x) + wide] = True
                    mask[int(y) + 4 : int(y) + 6, int(x) + 1 : int(x) + 3] = False
                elif "outlines" in holds or "masks" in holds:
                    ring = (x, y, x + wide, y, x + wide, y + high - 4, x + wide - 5, y + high, x, y + high)
                if "points" in holds:
                    points = np.array([[x + 1, y + 2, 2], [x + 5, y + 4, 2], [0, 0, 0] if k == 2 else [x + 7, y + 1, 2]])
                rows.append(Thing(names[(i + k) % 2], box, ring, mask, "crowds" in holds and k == 2 and i == 1, points))
            out[split][name] = rows
    return out


def picture(path: Path | io.BytesIO, split: str, name: str, kind: str | None = None) -> None:
    """A picture of noise that no other one of a truth resembles."""
    if isinstance(path, Path):
        path.parent.mkdir(parents=True, exist_ok=True)
    seed = sum((k + 1) * ord(c) for k, c in enumerate(split + name))
    pixels = np.random.default_rng(seed).integers(0, 256, (H, W, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path, format=kind)


def digest(pixels: Any) -> str:
    """A picture by its pixels."""
    return hashlib.blake2b(np.ascontiguousarray(pixels).tobytes(), digest_size=16).hexdigest()


def put(path: Path, doc: Any) -> None:
    """A text or a JSON document as a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(doc if isinstance(doc, str) else json.dumps(doc), encoding="utf-8")


def classes(t: Truth) -> list[str]:
    return sorted({x.name for pages in t.values() for rows in pages.values() for x in rows})


def folders(root: Path, t: Truth, place: str = "{split}/images/{name}.png") -> None:
    for split, pages in t.items():
        for name in pages:
            picture(root / place.format(split=split, name=name), split, name)


# ---------------------------------------------------------------- one writer a layout


def coco(root: Path, t: Truth) -> None:
    folders(root, t, "images/{split}/{name}.png")
    names = classes(t)
    for split, pages in t.items():
        rows = [{"id": 1 + k + 10 * i, "image_id": i + 1, "category_id": names.index(x.name) + 1, "bbox": x.xywh,
                 "area": float(x.pixels.sum()) if x.pixels is not None else x.xywh[2] * x.xywh[3],
                 "iscrowd": int(x.crowd),
                 **({"segmentation": [list(x.ring)]} if x.ring else {"segmentation": rle.encode(x.mask)}
                    if x.mask is not None else {}),
                 **({"keypoints": x.points.reshape(-1).tolist()} if x.points is not None else {})}
                for i, objects in enumerate(pages.values()) for k, x in enumerate(objects)]
        points = {"keypoints": list(POINTS), "skeleton": [[a + 1, b + 1] for a, b in LINES]} if any(
            "keypoints" in r for r in rows) else {}
        kind = "person_keypoints" if points else "instances"
        put(root / "annotations" / f"{kind}_{split}.json", {
            "images": [{"id": i + 1, "file_name": f"{n}.png", "height": H, "width": W} for i, n in enumerate(pages)],
            "annotations": rows, "categories": [{"id": k + 1, "name": n, **points} for k, n in enumerate(names)]})


def voc(root: Path, t: Truth) -> None:
    folders(root, t, "JPEGImages/{split}/{name}.png")
    first = int(not any(v != int(v) for pages in t.values() for rows in pages.values() for x in rows for v in x.box))
    for split, pages in t.items():
        put(root / "ImageSets" / "Main" / f"{split}.txt", "".join(f"{split}/{n}\n" for n in pages))
        for name, rows in pages.items():
            said = "".join(
                f"<object><name>{x.name}</name><difficult>{int(x.crowd)}</difficult><bndbox><xmin>{x.box[0] + first:g}"
                f"</xmin><ymin>{x.box[1] + first:g}</ymin><xmax>{x.box[2]:g}</xmax><ymax>{x.box[3]:g}</ymax></bndbox>"
                "</object>" for x in rows)
            put(root / "Annotations" / split / f"{name}.xml",
                f"<annotation><filename>{name.rpartition('/')[2]}.png</filename><size><width>{W}</width><height>{H}"
                f"</height><depth>3</depth></size>{said}</annotation>")


def voc_maps(root: Path, t: Truth) -> None:
    voc(root, t)
    (root / "ImageSets" / "Main").rename(root / "ImageSets" / "Segmentation")
    for split, pages in t.items():
        for name, rows in pages.items():
            maps = np.zeros((2, H, W), np.uint8)
            for k, x in enumerate(rows):
                maps[:, x.pixels] = [[k + 1], [1 + classes(t).index(x.name)]]
            for folder, m in zip(("SegmentationObject", "SegmentationClass"), maps):
                path = root / folder / split / f"{name}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(m).save(path)


def yolo(root: Path, t: Truth) -> None:
    folders(root, t, "images/{split}/{name}.png")
    size = np.array([W, H])
    shaped = any(x.points is not None for pages in t.values() for rows in pages.values() for x in rows)
    for split, pages in t.items():
        for name, rows in pages.items():
            lines = []
            for x in rows:
                a, b, w, h = x.xywh
                values = [(a + w / 2) / W, (b + h / 2) / H, w / W, h / H]
                if x.ring:
                    values = (np.array(x.ring).reshape(-1, 2) / size).reshape(-1).tolist()
                if x.points is not None:
                    values += (x.points / [W, H, 1]).reshape(-1).tolist()
                lines.append(" ".join([str(classes(t).index(x.name)), *(f"{v:.8f}" for v in values)]))
            put(root / "labels" / split / f"{name}.txt", "\n".join(lines))
    put(root / "data.yaml", "".join([*(f"{s}: images/{s}\n" for s in t), f"names: {json.dumps(classes(t))}\n",
                                     "kpt_shape: [3, 3]\nflip_idx: [0, 2, 1]\n" * shaped]))


def panoptic(root: Path, t: Truth) -> None:
    folders(root, t, "images/{split}/{name}.png")
    names = classes(t)
    for split, pages in t.items():
        rows = []
        for i, (name, objects) in enumerate(pages.items()):
            ids = np.zeros((H, W), np.int32)
            for k, x in enumerate(objects):
                ids[x.pixels] = 1000 * k + 300
            path = root / "annotations" / f"panoptic_{split}" / f"{name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(encode(ids)).save(path)
            rows.append({"image_id": i + 1, "file_name": f"{name}.png", "segments_info": [
                {"id": 1000 * k + 300, "category_id": names.index(x.name) + 1, "iscrowd": int(x.crowd), "bbox": x.xywh,
                 "area": int(x.pixels.sum())} for k, x in enumerate(objects)]})
        put(root / "annotations" / f"panoptic_{split}.json", {
            "images": [{"id": i + 1, "file_name": f"{n}.png", "height": H, "width": W} for i, n in enumerate(pages)],
            "annotations": rows, "categories": [{"id": k + 1, "name": n, "isthing": 1} for k, n in enumerate(names)]})


def maps(root: Path, t: Truth) -> None:
    folders(root, t, "images/{split}/{name}.png")
    for split, pages in t.items():
        for name, rows in pages.items():
            m = np.zeros((H, W), np.uint16)
            for k, x in enumerate(rows):
                m[x.pixels] = k + 1
            path = root / "masks" / split / f"{name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(m).save(path)


def labelme(root: Path, t: Truth) -> None:
    folders(root, t)
    for split, pages in t.items():
        for name, rows in pages.items():
            shapes = []
            for x in rows:
                a, b, right, low = x.box
                one: dict[str, Any] = {"label": x.name, "group_id": None, "flags": {}, "shape_type": "rectangle",
                                       "points": [[a, b], [right, low]]}
                if x.mask is not None:
                    cut = x.mask[int(b) : int(low), int(a) : int(right)]
                    one |= {"shape_type": "mask", "mask": png64(cut), "points": [[a, b], [right - 1, low - 1]]}
                elif x.ring:
                    one |= {"shape_type": "polygon", "points": np.array(x.ring).reshape(-1, 2).tolist()}
                shapes.append(one)
                if x.points is not None:
                    one["group_id"] = len(shapes)
                    shapes += [{"label": n, "group_id": one["group_id"], "flags": {}, "shape_type": "point",
                                "points": [[px, py]]} for n, (px, py, v) in zip(POINTS, x.points) if v]
            put(root / split / "images" / f"{name}.json", {
                "version": "5.4.1", "flags": {}, "shapes": shapes, "imagePath": f"{name.rpartition('/')[2]}.png",
                "imageData": None, "imageHeight": H, "imageWidth": W})


def png64(mask: Any) -> str:
    out = io.BytesIO()
    Image.fromarray(mask).save(out, format="PNG")
    return base64.b64encode(out.getvalue()).decode()


def runs(mask: Any) -> list[int]:
    """Run lengths row by row, background first."""
    flat = mask.reshape(-1)
    cut = np.flatnonzero(np.diff(flat)) + 1
    lengths: list[int] = np.diff([0, *cut, len(flat)]).tolist()
    return [0, *lengths] if flat[0] else lengths


def cvat(root: Path, t: Truth) -> None:
    folders(root, t, "images/{split}/{name}.png")
    rows, number = [], 0
    for split, pages in t.items():
        for name, objects in pages.items():
            shapes = ""
            for k, x in enumerate(objects):
                a, b, right, low = x.box
                for n, (px, py, v) in zip(POINTS, x.points if x.points is not None else ()):
                    if v:
                        shapes += (f'<points label="{n}" source="manual" occluded="0" points="{px:.2f},{py:.2f}" '
                                   f'z_order="0" group_id="{k + 1}"/>')
                if x.mask is not None:
                    cut = x.mask[int(b) : int(low), int(a) : int(right)]
                    shapes += (f'<mask label="{x.name}" source="manual" occluded="0" rle="{", ".join(map(str, runs(cut)))}" '
                               f'left="{a:g}" top="{b:g}" width="{cut.shape[1]}" height="{cut.shape[0]}" z_order="0"/>')
                elif x.ring:
                    said = ";".join(f"{p[0]:.2f},{p[1]:.2f}" for p in np.array(x.ring).reshape(-1, 2))
                    shapes += f'<polygon label="{x.name}" occluded="0" points="{said}" z_order="0"/>'
                else:
                    shapes += (f'<box label="{x.name}" occluded="0" group_id="{k + 1}" xtl="{a:.2f}" ytl="{b:.2f}" xbr="{right:.2f}" '
                               f'ybr="{low:.2f}" z_order="0"/>')
            rows.append(f'<image id="{number}" name="{split}/{name}.png" subset="{split}" width="{W}" height="{H}">'
                        f"{shapes}</image>")
            number += 1
    labels = "".join(f"<label><name>{n}</name></label>" for n in classes(t))
    put(root / "annotations.xml", '<?xml version="1.0" encoding="utf-8"?><annotations><version>1.1</version><meta>'
        "<task><id>1</id><name>drawn</name><size>10</size><mode>annotation</mode><overlap>0</overlap>"
        f"<labels>{labels}</labels></task></meta>{''.join(rows)}</annotations>")


def painted(mask: Any) -> list[int]:
    """A mask as Label Studio's brush writes it: RGBA values, alternately as runs and as single words."""
    flat = np.stack([mask * 255] * 4, -1).astype(np.uint8).reshape(-1)
    bits: list[int] = []

    def give(value: int, n: int) -> None:
        bits.extend(value >> (n - 1 - k) & 1 for k in range(n))

    sizes = (3, 8, 12, 16)
    give(len(flat), 32)
    give(7, 5)
    for s in sizes:
        give(s - 1, 4)
    cuts = [0, *(np.flatnonzero(np.diff(flat.astype(int))) + 1).tolist(), len(flat)]
    for a, b in zip(cuts, cuts[1:]):
        while a < b:
            n = min(b - a, 1 << 16)
            k = next(k for k, s in enumerate(sizes) if n - 1 < 1 << s)
            give(int(k > 0), 1)  # short stretches are written as words
            give(k, 2)
            give(n - 1, sizes[k])
            for v in flat[a : a + n][: 1 if k else n].tolist():
                give(v, 8)
            a += n
    bits += [0] * (-len(bits) % 8)
    found: list[int] = np.packbits(np.array(bits, dtype=np.uint8)).tolist()
    return found


def region(kind: str, label: str, **value: Any) -> dict[str, Any]:
    """A region as Label Studio writes it."""
    return {"original_width": W, "original_height": H, "image_rotation": 0, "type": kind, "from_name": "label",
            "to_name": "image", "id": label, "value": {**value, kind: [label]}}


def percent(a: float, b: float, x: float, y: float) -> dict[str, float]:
    return {"x": 100 * a / W, "y": 100 * b / H, "width": 100 * (x - a) / W, "height": 100 * (y - b) / H, "rotation": 0}


def label_studio(root: Path, t: Truth) -> None:
    folders(root, t)
    for split, pages in t.items():
        tasks = []
        for i, (name, rows) in enumerate(pages.items()):
            regions = [region("brushlabels", x.name, format="rle", rle=painted(x.mask)) if x.mask is not None else
                       region("polygonlabels", x.name, points=(np.array(x.ring).reshape(-1, 2) / [W, H] * 100).tolist())
                       if x.ring else region("rectanglelabels", x.name, **percent(*x.box)) for x in rows]
            for k, x in enumerate(rows):
                regions[k]["id"] = f"r{k}"
                for n, (px, py, v) in zip(POINTS, x.points if x.points is not None else ()):
                    regions += [region("keypointlabels", n, x=100 * px / W, y=100 * py / H, width=0.5) | {
                        "id": f"{k}{n}", "parentID": f"r{k}"}] * bool(v)
            tasks.append({"id": i, "data": {"image": f"/data/local-files/?d=store/{split}/images/{name}.png"},
                          "annotations": [{"id": i, "was_cancelled": False, "result": regions}]})
        put(root / f"export_{split}.json", tasks)


def shape_attributes(x: Thing) -> dict[str, Any]:
    """As VIA writes a region."""
    a, b, w, h = x.xywh
    return ({"name": "polygon", "all_points_x": list(x.ring[::2]), "all_points_y": list(x.ring[1::2])} if x.ring
            else {"name": "rect", "x": a, "y": b, "width": w, "height": h})


def via(root: Path, t: Truth) -> None:
    folders(root, t)
    for split, pages in t.items():
        put(root / split / "via_project.json", {"_via_settings": {}, "_via_attributes": {}, "_via_img_metadata": {
            f"{n}.png7": {"filename": f"{n}.png", "size": 7, "file_attributes": {}, "regions": [
                {"shape_attributes": shape_attributes(x), "region_attributes": {"label": x.name}} for x in rows]}
            for n, rows in pages.items()}})


def via_csv(root: Path, t: Truth) -> None:
    folders(root, t)
    for split, pages in t.items():
        out = io.StringIO()
        table = csv.writer(out)
        table.writerow(["filename", "file_size", "file_attributes", "region_count", "region_id",
                        "region_shape_attributes", "region_attributes"])
        for n, rows in pages.items():
            for k, x in enumerate(rows):
                table.writerow([f"{n}.png", 9, "{}", len(rows), k, json.dumps(shape_attributes(x)),
                                json.dumps({"label": x.name})])
            if not rows:
                table.writerow([f"{n}.png", 9, "{}", 0, 0, "{}", "{}"])
        put(root / split / "via.csv", out.getvalue())


def createml(root: Path, t: Truth) -> None:
    folders(root, t)
    for split, pages in t.items():
        put(root / split / "_annotations.createml.json", [
            {"image": f"{n}.png", "annotations": [{"label": x.name, "coordinates": {
                "x": (x.box[0] + x.box[2]) / 2, "y": (x.box[1] + x.box[3]) / 2, "width": x.xywh[2],
                "height": x.xywh[3]}} for x in rows]} for n, rows in pages.items()])


def supervisely(root: Path, t: Truth) -> None:
    folders(root, t, "{split}/img/{name}.png")
    nodes = {f"k{k}": {"label": n, "loc": [k, k], "color": "#0000FF"} for k, n in enumerate(POINTS)}
    graph = {"nodes": nodes, "edges": [{"src": f"k{a}", "dst": f"k{b}", "color": "#00FF00"} for a, b in LINES]}
    pointed = any(x.points is not None for pages in t.values() for rows in pages.values() for x in rows)
    put(root / "meta.json", {"tags": [], "classes": [
        {"title": n, "shape": "any", **({"geometry_config": graph} if pointed else {})} for n in classes(t)]})
    for split, pages in t.items():
        for name, rows in pages.items():
            figures = []
            for x in rows:
                a, b, right, low = x.box
                if x.mask is not None:
                    cut = x.mask[int(b) : int(low), int(a) : int(right)]
                    figures.append({"geometryType": "bitmap", "bitmap": {"data": png64(cut), "origin": [int(a), int(b)]}})
                elif x.ring:
                    figures.append({"geometryType": "polygon", "points": {
                        "exterior": np.array(x.ring).reshape(-1, 2).tolist(), "interior": []}})
                else:
                    figures.append({"geometryType": "rectangle", "points": {
                        "exterior": [[a, b], [right - 1, low - 1]], "interior": []}})
                figures[-1] |= {"classTitle": x.name}
                if x.points is not None:
                    figures[-1] |= {"instance": f"one {len(figures)}"}
                    figures.append({"classTitle": x.name, "geometryType": "graph", "instance": figures[-1]["instance"],
                                    "nodes": {f"k{k}": {"loc": [px, py]} for k, (px, py, v) in enumerate(x.points.tolist())
                                              if v}})
            put(root / split / "ann" / f"{name}.png.json", {
                "description": "", "tags": [], "size": {"height": H, "width": W},
                "objects": [{"tags": [], **f} for f in figures]})


def datumaro(root: Path, t: Truth) -> None:
    folders(root, t, "images/{split}/{name}.png")
    for split, pages in t.items():
        items = []
        for name, rows in pages.items():
            own: list[dict[str, Any]] = []
            for k, x in enumerate(rows):
                one: dict[str, Any] = {"id": k, "label_id": classes(t).index(x.name), "group": 0,
                                       "attributes": {"is_crowd": x.crowd}, "z_order": 0}
                own.append(one | ({"type": "mask", "rle": rle.encode(x.mask)} if x.mask is not None else
                                  {"type": "polygon", "points": list(x.ring)} if x.ring else
                                  {"type": "bbox", "bbox": x.xywh}))
                if x.points is not None:
                    one["group"] = own[-1]["group"] = k + 1
                    own.append(one | {"type": "points", "points": x.points[:, :2].reshape(-1).tolist(),
                                      "visibility": x.points[:, 2].astype(int).tolist()})
            items.append({"id": name, "image": {"path": f"{name}.png", "size": [H, W]}, "annotations": own})
        put(root / "annotations" / f"{split}.json", {
            "info": {}, "categories": {"label": {"labels": [{"name": n, "parent": "", "attributes": []}
                                                             for n in classes(t)], "attributes": []},
                                      "points": {"items": [{"label_id": k, "labels": list(POINTS), "joints": [
                                          [a + 1, b + 1] for a, b in LINES]} for k in range(len(classes(t)))]}},
            "items": items})


def imagefolder(root: Path, t: Truth) -> None:
    folders(root, t, "{split}/{name}.png")
    for split, pages in t.items():
        rows = [{"file_name": f"{name}.png", "objects": {
            "bbox": [x.xywh for x in own], "category": [classes(t).index(x.name) for x in own], "iscrowd": [
                x.crowd for x in own], "segmentation": [
                    [list(x.ring)] if x.ring else None if x.mask is None else rle.encode(x.mask) for x in own]}}
            for name, own in pages.items()]
        put(root / split / "metadata.jsonl", "\n".join(map(json.dumps, rows)))
    put(root / "README.md", "---\ndataset_info:\n  features:\n  - name: objects\n    sequence:\n    - name: category\n"
        f"      dtype:\n        class_label:\n          names: {json.dumps(classes(t))}\n---\n")


def bdd100k(root: Path, t: Truth) -> None:
    folders(root, t, "images/100k/{split}/{name}.png")
    for split, pages in t.items():
        put(root / "labels" / "det_20" / f"det_{split}.json", [{"name": f"{name}.png", "labels": [
            {"category": x.name, "attributes": {"crowd": x.crowd}} | (
                {"rle": rle.encode(x.mask)} if x.mask is not None else {"poly2d": [
                    {"vertices": [list(x.ring[k : k + 2]) for k in range(0, len(x.ring), 2)], "closed": True}]}
                if x.ring else {"box2d": dict(zip(("x1", "y1", "x2", "y2"), (*x.box[:2], x.box[2] - 1, x.box[3] - 1)))})
            for x in own]} for name, own in pages.items()])


def kitti(root: Path, t: Truth) -> None:
    folders(root, t, "{split}/image_2/{name}.png")
    for split, pages in t.items():
        for name, rows in pages.items():
            put(root / split / "label_2" / f"{name}.txt", "".join(
                f"{x.name} 0.00 0 -1.57 {x.box[0]:.2f} {x.box[1]:.2f} {x.box[2]:.2f} {x.box[3]:.2f} 1.5 1.6 3.9 1.8 1.5 "
                "8.4 -1.6\n" for x in rows))


def visdrone(root: Path, t: Truth) -> None:
    from stemma.data.readers.visdrone import NAMES

    folders(root, t, "VisDrone2019-DET-{split}/images/{name}.png")
    for split, pages in t.items():
        for name, rows in pages.items():
            put(root / f"VisDrone2019-DET-{split}" / "annotations" / f"{name}.txt", "".join(
                ",".join(str(int(v)) for v in (*x.xywh, not x.crowd, NAMES.index(x.name) + 1, 0, 0)) + "\n" for x in rows))


def crowdhuman(root: Path, t: Truth) -> None:
    folders(root, t, "Images/{split}_{name}.jpg")
    for split, pages in t.items():
        put(root / f"annotation_{split}.odgt", "".join(json.dumps({"ID": f"{split}_{n}", "gtboxes": [
            {"tag": "person", "fbox": x.xywh, "vbox": x.xywh, "hbox": x.xywh, "head_attr": {"ignore": int(x.crowd)},
             "extra": {"box_id": k, "ignore": int(x.crowd)}} for k, x in enumerate(rows)]}) + "\n"
            for n, rows in pages.items()))


def citypersons(root: Path, t: Truth) -> None:
    for split, pages in t.items():
        for n, (name, rows) in enumerate(pages.items()):
            key = f"{split}town_000000_{n:06d}"
            picture(root / "leftImg8bit" / split / f"{split}town" / f"{key}_leftImg8bit.png", split, name)
            put(root / "gtBboxCityPersons" / split / f"{split}town" / f"{key}_gtBboxCityPersons.json", {
                "imgHeight": H, "imgWidth": W, "objects": [
                    {"instanceId": k, "label": "rider" if x.crowd else "pedestrian", "bbox": x.xywh, "bboxVis": x.xywh}
                    for k, x in enumerate(rows)]})


def caltech(root: Path, t: Truth) -> None:
    for s, pages in enumerate(t.values()):
        for n, (name, rows) in enumerate(pages.items()):
            key = f"set{6 * s:02d}_V000_I{30 * n + 59:05d}"
            picture(root / "images" / f"{key}.jpg", list(t)[s], name)
            put(root / "annotations" / f"{key}.txt", "% bbGt version=3\n" + "".join(
                f"person {' '.join(f'{v:g}' for v in x.xywh)} 0 0 0 0 0 {int(x.crowd)} 0\n" for x in rows))


def wider(root: Path, t: Truth) -> None:
    folders(root, t, "WIDER_{split}/images/0--{split}/{name}.jpg")
    for split, pages in t.items():
        put(root / "wider_face_split" / f"wider_face_{split}_bbx_gt.txt", "".join(
            f"0--{split}/{n}.jpg\n{len(rows)}\n" + ("".join(" ".join(str(int(v)) for v in (
                *x.xywh, 0, 0, 0, x.crowd, 0, 0)) + "\n" for x in rows) or "0 0 0 0 0 0 0 0 0 0\n")
            for n, rows in pages.items()))


def csv_table(root: Path, t: Truth) -> None:
    folders(root, t, "images/{split}/{name}.png")
    lines = ["filename,width,height,class,xmin,ymin,xmax,ymax,iscrowd,split"]
    for split, pages in t.items():
        for n, rows in pages.items():
            lines += [f"{split}/{n}.png,{W},{H},{x.name},{','.join(f'{v:g}' for v in x.box)},{int(x.crowd)},{split}"
                      for x in rows] or [f"{split}/{n}.png,{W},{H},,,,,,,{split}"]
    put(root / "annotations.csv", "\n".join(lines))


def open_images(root: Path, t: Truth) -> None:
    folders(root, t, "{split}/{name}.png")
    for split, pages in t.items():
        lines = ["ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsTruncated,IsGroupOf"]
        for n, rows in pages.items():
            lines += [f"{n},xclick,/m/{x.name},1,{x.box[0] / W},{x.box[2] / W},{x.box[1] / H},{x.box[3] / H},0,0,"
                      f"{int(x.crowd)}" for x in rows] or [f"{n},xclick,,,,,,,,,"]
        put(root / f"{split}-annotations-bbox.csv", "\n".join(lines))
    put(root / "class-descriptions-boxable.csv", "".join(f"/m/{n},{n}\n" for n in classes(t)))


@dataclass(frozen=True)
class Layout:
    """How a layout is written, the format that it is recognised as, what it can hold, the classes that it has, its
    splits, and how it is read where it must be told."""

    title: str
    write: Callable[[Path, Truth], None]
    format: str
    holds: frozenset[str]
    names: tuple[str, str] = ("cat", "dog")
    parts: tuple[str, ...] = ("train", "val")
    always: frozenset[str] = frozenset()  # what every truth of it has: objects of maps have masks
    options: dict[str, Any] = field(default_factory=dict)

    def truth(self, holds: frozenset[str]) -> Truth:
        return truth(holds | self.always, self.names, self.parts)


def _layout(title: str, write: Callable[[Path, Truth], None], format: str, holds: str, **more: Any) -> Layout:
    return Layout(title, write, format, frozenset(holds.split()), **more)


MASKS = frozenset({"masks"})
LAYOUTS: dict[str, Layout] = {
    "coco": _layout("COCO", coco, "coco", "fractions outlines masks crowds"),
    "coco_points": _layout("COCO, keypoints", coco, "coco", "fractions outlines masks crowds points"),
    "voc": _layout("Pascal VOC", voc, "voc", "fractions crowds"),
    "voc_maps": _layout("Pascal VOC, SegmentationObject", voc_maps, "voc", "masks crowds", always=MASKS),
    "yolo": _layout("YOLO", yolo, "yolo", "fractions outlines"),
    "yolo_pose": _layout("YOLO, poses", yolo, "yolo", "fractions points"),
    "panoptic": _layout("COCO panoptic", panoptic, "panoptic", "masks crowds", always=MASKS),
    "maps": _layout("Maps of instances", maps, "maps", "masks", always=MASKS, names=("object", "object")),
    "labelme": _layout("labelme", labelme, "labelme", "fractions outlines masks points"),
    "cvat": _layout("CVAT for images", cvat, "cvat", "fractions outlines masks"),
    "cvat_points": _layout("CVAT for images, points", cvat, "cvat", "fractions points"),
    "label_studio": _layout("Label Studio", label_studio, "label-studio",
                            "fractions outlines masks points"),
    "via": _layout("VIA, JSON", via, "via", "fractions outlines"),
    "via_csv": _layout("VIA, CSV", via_csv, "via", "fractions outlines"),
    "createml": _layout("CreateML", createml, "createml", "fractions"),
    "supervisely": _layout("Supervisely", supervisely, "supervisely", "outlines masks"),
    "supervisely_points": _layout("Supervisely, graphs", supervisely, "supervisely", "points"),
    "datumaro": _layout("Datumaro", datumaro, "datumaro", "fractions outlines masks crowds points"),
    "kitti": _layout("KITTI", kitti, "kitti", "fractions"),
    "visdrone": _layout("VisDrone", visdrone, "visdrone", "crowds", names=("car", "bus")),
    "crowdhuman": _layout("CrowdHuman", crowdhuman, "crowdhuman", "fractions crowds", names=("person", "person")),
    "citypersons": _layout("CityPersons", citypersons, "citypersons", "crowds", names=("pedestrian", "pedestrian")),
    "caltech": _layout("Caltech Pedestrians", caltech, "caltech", "fractions crowds", names=("person", "person"),
                       parts=("train", "test")),
    "wider": _layout("WIDER FACE", wider, "wider", "crowds", names=("face", "face")),
    "csv": _layout("CSV table", csv_table, "csv", "fractions crowds"),
    "bdd100k": _layout("BDD100K", bdd100k, "bdd100k", "fractions outlines masks crowds"),
    "imagefolder": _layout("Hugging Face's imagefolder", imagefolder, "imagefolder",
                           "fractions outlines masks crowds"),
    "open_images": _layout("OpenImages CSV", open_images, "csv", "fractions crowds"),
}
WRITTEN = {"coco": LAYOUTS["coco_points"].holds, "voc": LAYOUTS["voc"].holds,
           "yolo": frozenset({"fractions", "outlines", "points"})}

Held = dict[str, dict[str, list[tuple[str, bool, Any, Any, Any]]]]


def held(where: Path, **options: Any) -> tuple[Held, list[str]]:
    """split -> picture by its pixels -> (class, crowd, box, mask, points) of its objects from left to right; and what
    classes there are."""
    out: Held = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for split in splits(where, **options):
            if split == "all":
                continue
            data = open_dataset(where, split, **options)
            names = data.info.classes.names
            out[split] = {}
            for i in range(len(data)):
                s, image = data.truth(i), data[i].image
                assert image is not None
                rows = [(names[s.labels[k]], bool(s.crowd[k]), s.boxes[k], None if s.masks is None else s.masks[k],
                         None if s.keypoints is None else s.keypoints[k]) for k in range(len(s.labels))]
                out[split][digest(image)] = sorted(rows, key=lambda r: r[2].tolist())
    return out, list(names)


def expected(t: Truth, like: Held) -> Held:
    """What a truth says, by the pixels of its pictures, PNG or JPEG as they are in `like`."""
    out: Held = {}
    for split, pages in t.items():
        out[split] = {}
        for name, rows in pages.items():
            both = []
            for ending in ("PNG", "JPEG"):
                file = io.BytesIO()
                picture(file, split, name, ending)
                with Image.open(file) as im:
                    both.append(digest(im.convert("RGB")))
            key = both[both[1] in like.get(split, {})]
            out[split][key] = [(x.name, x.crowd, np.array(x.box, float), x.pixels, x.points) for x in rows]
    return out


# what is told of besides that which the table of formats is of
_ELSE = ("fractions of pixels", "as difficult", "difficult objects are", "lines between points", "can be seen",
         "not read")


def trip(it: Layout, to: str, folder: Path) -> tuple[float, int, str]:
    """`apart` of a layout's truth that a written format holds too, read from there and from what `stemma convert` makes
    of it: the larger of both."""
    both = it.holds & WRITTEN[to]
    if to == "yolo" and "points" in both:
        both -= {"outlines"}  # a line is one or the other
    t = it.truth(both)
    it.write(folder / "data", t)
    assert recognise(folder / "data") == it.format
    first, names = held(folder / "data", **it.options)
    done = convert(folder / "data", to, folder / "out", **it.options)
    then, again = held(folder / "out")
    wrong = "" if names == again else f"classes {names} {again}"
    if "val" not in it.parts:  # it is derived
        for h in (first, then):
            h["train"] |= h.pop("val")
    if not both & {"outlines", "masks"}:
        first, then = bare(first), bare(then)
    meant = expected(t, first)
    meant = meant if both & {"outlines", "masks"} else bare(meant)
    one, two = apart(meant, first), apart(first, then)
    lost = [x for x in done.lost if both >= it.always and not any(word in x for word in _ELSE)]
    return max(one[0], two[0]), one[1] + two[1], one[2] or two[2] or wrong or "; ".join(lost)


def bare(h: Held) -> Held:
    """Without masks."""
    return {s: {k: [(*r[:3], None, r[4]) for r in rows] for k, rows in p.items()} for s, p in h.items()}


def apart(a: Held, b: Held) -> tuple[float, int, str]:
    """(largest difference of boxes and points in pixels, pixels of masks that differ, what else differs)."""
    if {s: set(p) for s, p in a.items()} != {s: set(p) for s, p in b.items()}:
        return float("inf"), 0, f"pictures {({s: len(p) for s, p in a.items()}, {s: len(p) for s, p in b.items()})}"
    far, pixels = 0.0, 0
    for split, pages in a.items():
        for key, mine in pages.items():
            theirs = b[split][key]
            if [r[:2] for r in mine] != [r[:2] for r in theirs]:
                return float("inf"), 0, f"objects {[r[:2] for r in mine]} {[r[:2] for r in theirs]}"
            for one, other in zip(mine, theirs):
                far = max(far, float(np.abs(one[2] - other[2]).max()))
                if (one[3] is None) != (other[3] is None):
                    return far, 0, "masks are there and are not"
                pixels += 0 if one[3] is None else int((one[3] != other[3]).sum())
                if (one[4] is None) != (other[4] is None):
                    return far, 0, "points are there and are not"
                if one[4] is not None:
                    if ((one[4][:, 2] > 0) != (other[4][:, 2] > 0)).any():
                        return far, 0, "other points are labelled"
                    far = max(far, float(np.abs(one[4][:, :2] - other[4][:, :2]).max()))
    return far, pixels, ""
