"""Thirty-one folders as people have them, each with its right outcome in its docstring, written before it was tried.

    python benchmarks/fresh_cases.py                       the table of `folder_cases.py` for all of them
    python benchmarks/fresh_cases.py --only kitti_sequences

Where nothing else is said a folder holds twelve drawn pictures with two objects each, of the classes bolt and nut.
"""
from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from folder_cases import Case, Seen, boxes_fit, made, stemma, table, tiny, tree, whole
from stemma.core.samples import DataError

W, H = 128, 96
NAMES = ("bolt", "nut")
COLOURS = ((220, 40, 40), (40, 60, 220))
Box = tuple[int, int, int, int, int]  # class, x1, y1, x2, y2
CASES: dict[str, tuple[Callable[[Path], None], Callable[[Case], Seen]]] = {}


def case(rule: Callable[[Case], Seen]) -> Callable[[Callable[[Path], None]], Callable[[Path], None]]:
    """A writer whose outcome `rule` holds."""
    def keep(writer: Callable[[Path], None]) -> Callable[[Path], None]:
        CASES[writer.__name__] = writer, rule
        return writer

    return keep


def scene(k: int) -> tuple[np.ndarray, list[Box]]:
    """A picture uint8 (H, W, 3) with a coloured object in each half, and the objects."""
    rng = np.random.default_rng(k)
    pixels = rng.integers(90, 140, (H, W, 3)).astype(np.uint8)
    pixels[:] = pixels[..., :1]
    out = []
    for j in range(2):
        w, h = rng.integers(18, 34, 2).tolist()
        x, y = int(rng.integers(2, W // 2 - w)) + W // 2 * j, int(rng.integers(2, H - h - 2))
        c = (k + j) % 2
        pixels[y : y + h, x : x + w] = COLOURS[c]
        out.append((c, x, y, x + w, y + h))
    return pixels, out


def save(k: int, path: Path, **more: Any) -> list[Box]:
    """Scene `k` as a file; its objects."""
    pixels, objects = scene(k)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **more)
    return objects


def put(path: Path, doc: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes((doc if isinstance(doc, str) else json.dumps(doc)).encode())


def coco(rows: list[tuple[str, list[Box]]], **more: Any) -> dict[str, Any]:
    """A COCO document of (file name, objects)."""
    return {
        "images": [{"id": i, "file_name": n, "width": W, "height": H} for i, (n, _) in enumerate(rows, 1)],
        "categories": [{"id": k, "name": n} for k, n in enumerate(NAMES, 1)],
        "annotations": [{"id": 10 * i + j, "image_id": i, "category_id": c + 1, "bbox": [a, b, x - a, y - b], "area":
                         (x - a) * (y - b), "iscrowd": 0} | more for i, (_, objects) in enumerate(rows, 1)
                        for j, (c, a, b, x, y) in enumerate(objects)]}


def yolo(objects: list[Box], part: str = " ") -> str:
    return "".join(part.join((str(c), *(f"{v:.6f}" for v in ((a + x) / 2 / W, (b + y) / 2 / H, (x - a) / W, (
        y - b) / H)))) + "\n" for c, a, b, x, y in objects)


def voc(file: str, objects: list[Box], difficult: str = "0") -> str:
    rows = "".join(f"<object><name>{NAMES[c]}</name><difficult>{difficult}</difficult><bndbox><xmin>{a + 1}</xmin>"
                   f"<ymin>{b + 1}</ymin><xmax>{x}</xmax><ymax>{y}</ymax></bndbox></object>"
                   for c, a, b, x, y in objects)
    return (f"<annotation><filename>{file}</filename><size><width>{W}</width><height>{H}</height><depth>3</depth>"
            f"</size>{rows}</annotation>")


def labelme(name: str, objects: list[Box]) -> dict[str, Any]:
    return {"version": "5.5.0", "flags": {}, "imagePath": name, "imageData": None, "imageHeight": H, "imageWidth": W,
            "shapes": [{"label": NAMES[c], "points": [[a, b], [x, y]], "group_id": None, "shape_type": "rectangle",
                        "flags": {}} for c, a, b, x, y in objects]}


def own_boxes(c: Case) -> Seen:
    yield c.holds(12, 24)
    yield "boxes lie on their objects", boxes_fit(c.open())


# ---------------------------------------------------------------- outputs, keys, scales


def _out_is_data(c: Case) -> Seen:
    before = tree(c.at)
    said = stemma("convert", c.at / "data", "--to", "yolo", "--out", c.at / "result")
    yield str(said), said.code == 2 and "--out" in said.err
    yield "nothing changed", tree(c.at) == before


@case(_out_is_data)
def out_is_data(at: Path) -> None:
    """`result` is a link to an empty folder within the data: what is written there would be read as data.
    Right: `convert --out result` is refused, naming --out; no file changes."""
    put(at / "data/annotations/instances.json", coco([(f"{k}.png", save(k, at / f"data/images/{k}.png"))
                                                      for k in range(12)]))
    (at / "data/images/later").mkdir()
    (at / "result").symlink_to(at / "data/images/later")


@case(own_boxes)
def kitti_sequences(at: Path) -> None:
    """KITTI whose frames lie in a folder a drive: image_2/0001/000000.png, label_2/0001/000000.txt, the same names
    under 0002. Right: twelve pictures, each with its own boxes."""
    for k in range(12):
        objects = save(k, at / f"image_2/{k // 6:04d}/{k % 6:06d}.png")
        put(at / f"label_2/{k // 6:04d}/{k % 6:06d}.txt", "".join(
            f"{NAMES[c]} 0 0 0 {a} {b} {x} {y} 1 1 1 0 0 9 0\n" for c, a, b, x, y in objects))


@case(own_boxes)
def labelme_cameras(at: Path) -> None:
    """labelme's files beside pictures of the same names in two folders, imagePath a bare name.
    Right: twelve pictures, each with its own boxes."""
    for k in range(12):
        name = f"{k % 6:03d}.png"
        put(at / f"cam{k // 6}/{name[:-4]}.json", labelme(name, save(k, at / f"cam{k // 6}/{name}")))


def _dark_val(c: Case) -> Seen:
    greys = [int(c.open(s)[0].image[:4, :4].mean().round()) for s in ("train", "val")]
    yield f"the same value is {greys[0]} in train and {greys[1]} in val", abs(greys[0] - greys[1]) <= 1


@case(_dark_val)
def dark_val(at: Path) -> None:
    """Pictures of 16 bits; those of val were taken in the dark and have no value above 900, those of train reach 4,000.
    Right: a value means one grey in both splits."""
    for split, top in (("train", 4000), ("val", 900)):
        rows = []
        for k in range(4):
            pixels = np.full((H, W), 300, np.uint16)
            pixels[20:50, 30:70] = top
            path = at / f"images/{split}/{k}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(path)
            rows.append((f"{k}.png", [(k % 2, 30, 20, 70, 50)]))
        put(at / f"annotations/instances_{split}.json", coco(rows))


# ---------------------------------------------------------------- passed over, safe mends


def _pictures_besides(c: Case) -> Seen:
    report = c.doctor()
    yield f"not used: {len(report['unused']['pictures'])} pictures", len(report["unused"]["pictures"]) == 5
    said = c.learns()
    yield "training says so", said.code == 0 and "5 pictures" in said.err


@case(_pictures_besides)
def pictures_besides(at: Path) -> None:
    """COCO with train and val, and five pictures in images/test of which no file speaks.
    Right: the doctor names the five, training says their count."""
    for split, some in (("train", range(8)), ("val", range(8, 12))):
        put(at / f"annotations/instances_{split}.json", coco([(f"{k}.png", save(k, at / f"images/{split}/{k}.png"))
                                                              for k in some]))
    for k in range(20, 25):
        save(k, at / f"images/test/{k}.png")


@case(own_boxes)
def voc_camera_endings(at: Path) -> None:
    """Pascal VOC of a camera that writes .JPG; <filename> says .jpg. Right: twelve pictures, 24 objects."""
    for k in range(12):
        put(at / f"Annotations/DSC{k}.xml", voc(f"DSC{k}.jpg", save(k, at / f"JPEGImages/DSC{k}.JPG", format="JPEG",
                                                                    quality=97, subsampling=0)))


def _yolo_list(c: Case) -> Seen:
    yield c.holds(8, 16, "train")
    yield c.holds(4, 8, "val")


@case(_yolo_list)
def yolo_list(at: Path) -> None:
    """Lists train.txt and val.txt with a byte order mark, CRLF, names with blanks, and a leading ./ .
    Right: eight and four pictures with all their objects."""
    for k in range(12):
        put(at / f"labels/part {k}.txt", yolo(save(k, at / f"images/part {k}.png")))
    for split, some in (("train", range(8)), ("val", range(8, 12))):
        text = "\ufeff" + "".join(f"./images/part {k}.png\r\n" for k in some)
        (at / f"{split}.txt").write_bytes(text.encode())
    put(at / "data.yaml", "train: train.txt\nval: val.txt\nnames: [bolt, nut]\n")


def _one_left_out(name: str, pictures: int = 12) -> Callable[[Case], Seen]:
    def rule(c: Case) -> Seen:
        found = c.counts()
        named = any(name in f["file"] + f["record"] + f["problem"] for f in c.doctor()["faults"])
        yield (f"{found[0]} pictures, {found[1]} objects, {'named' if named else 'not named'}",
               found == (pictures, 2 * pictures) or found == (pictures - 1, 2 * pictures - 2) and named)
    return rule


@case(_one_left_out("im3"))
def yolo_commas(at: Path) -> None:
    """One label file has commas between its numbers. Right: it is read, or its picture is left out and named."""
    for k in range(12):
        put(at / f"labels/im{k}.txt", yolo(save(k, at / f"images/im{k}.png"), "," if k == 3 else " "))
    put(at / "classes.txt", "bolt\nnut\n")


@case(_one_left_out("im3"))
def csv_not_available(at: Path) -> None:
    """A table of boxes in which one cell says n/a. Right: the picture of this row is left out and named, with all its
    rows."""
    rows = ["filename,class,xmin,ymin,xmax,ymax"]
    for k in range(12):
        for j, (c, *box) in enumerate(save(k, at / f"im{k}.png")):
            cells = [f"im{k}.png", NAMES[c], *map(str, box)]
            rows.append(",".join([*cells[:2], "n/a", *cells[3:]] if (k, j) == (3, 1) else cells))
    put(at / "labels.csv", "\n".join(rows))


def _text_boxes(c: Case) -> Seen:
    said = stemma("doctor", c.at, "--json")
    try:
        found = c.counts()
    except DataError as error:
        yield f"refused: {error}", "bbox" in str(error) or "box" in str(error)
        return
    yield f"{found}, status {said.code}", found == (12, 24)


@case(_text_boxes)
def coco_text_boxes(at: Path) -> None:
    """COCO whose boxes are texts: ["10", "12", "20", "30"]. Right: all objects are read, or the data is refused with a
    line that speaks of the box; never a picture without its objects."""
    doc = coco([(f"{k}.png", save(k, at / f"images/{k}.png")) for k in range(12)])
    for a in doc["annotations"]:
        a["bbox"] = [str(v) for v in a["bbox"]]
    put(at / "annotations/instances.json", doc)


# ---------------------------------------------------------------- the doctor, names, truth values


def _web_pages(c: Case) -> Seen:
    report = c.doctor()
    bad = [f for f in report["faults"] if "pictures/" in f["file"] or "pictures/" in f["problem"]]
    yield f"{len(bad)} are named", len(bad) >= 12 and report["status"] == 1
    said = c.learns()
    yield str(said), said.code == 2


@case(_web_pages)
def web_pages(at: Path) -> None:
    """A download that failed: every .jpg holds a web page that says 404.
    Right: the doctor names each file without a traceback, training refuses with one line."""
    for k in range(12):
        put(at / f"pictures/{k}.jpg", "<!DOCTYPE html><title>404</title>not found")
    put(at / "annotations.json", coco([(f"{k}.jpg", scene(k)[1]) for k in range(12)]))


@case(own_boxes)
def voc_turned(at: Path) -> None:
    """Pascal VOC of a telephone: the pictures are stored on their side with an EXIF orientation of 6, the boxes were
    drawn on them upright. Right: boxes lie on their objects."""
    for k in range(12):
        pixels, objects = scene(k)
        exif = Image.Exif()
        exif[0x0112] = 6
        (at / "JPEGImages").mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.rot90(pixels)).save(at / f"JPEGImages/{k}.jpg", exif=exif, quality=98, subsampling=0)
        put(at / f"Annotations/{k}.xml", voc(f"{k}.jpg", objects))


@case(lambda c: whole(c))
def createml_windows(at: Path) -> None:
    """CreateML's JSON with the names of a Windows machine, C:\\set\\im 1.png. Right: twelve pictures, 24 objects."""
    put(at / "annotations.json", [
        {"image": f"C:\\set\\im {k}.png", "annotations": [
            {"label": NAMES[c], "coordinates": {"x": (a + x) / 2, "y": (b + y) / 2, "width": x - a, "height": y - b}}
            for c, a, b, x, y in save(k, at / f"images/im {k}.png")]} for k in range(12)])


def _crowd_words(c: Case) -> Seen:
    data = c.open()
    crowds = [sum(int(data.truth(i).crowd.sum()) for i in range(len(data)))]
    yield f"{crowds[0]} crowds", crowds == [4]
    yield c.holds(12, 24)


@case(_crowd_words)
def crowd_words(at: Path) -> None:
    """iscrowd as texts: "false", "no" and "0" but for four objects that say "true". Right: four crowds, nothing
    lost."""
    doc = coco([(f"{k}.png", save(k, at / f"images/{k}.png")) for k in range(12)])
    for k, a in enumerate(doc["annotations"]):
        a["iscrowd"] = "true" if k % 6 == 5 else ("false", "no", "0")[k % 3]
    put(at / "annotations/instances.json", doc)


def _difficult_words(c: Case) -> Seen:
    data = c.open()
    hard = sum(int(data.truth(i).crowd.sum()) for i in range(len(data)))
    yield f"{hard} difficult", hard == 6
    odd = [f for f in c.doctor()["faults"] if f["field"] == "difficult"]
    yield f"{len(odd)} are named", len(odd) == 2
    yield c.holds(12, 24)


@case(_difficult_words)
def difficult_words(at: Path) -> None:
    """<difficult> says True in three pictures, Unspecified in one. Right: six objects are difficult, the two
    unspecified ones count as not and are named; nothing is lost."""
    for k in range(12):
        word = "True" if k < 3 else "Unspecified" if k == 3 else "False"
        put(at / f"Annotations/{k}.xml", voc(f"{k}.png", save(k, at / f"JPEGImages/{k}.png"), word))


@case(lambda c: whole(c, ("no", "null")))
def yaml_no_null(at: Path) -> None:
    """data.yaml with the classes `no` and `null` as a mapping, nc as a text. Right: these are their names."""
    for k in range(12):
        put(at / f"labels/{k}.txt", yolo(save(k, at / f"images/{k}.png")))
    put(at / "data.yaml", "nc: '2'\nnames:\n  0: no\n  1: null\n")


# ---------------------------------------------------------------- options, exports, models and data


def _folders_told(c: Case) -> Seen:
    said = stemma("doctor", c.at)
    yield f"with nothing told: status {said.code}", said.code == 0 or "--labels" in said.all
    yield c.holds(12, 24, labels="truth", images="photos", format="voc")
    told = stemma("doctor", c.at, "--format", "voc", "--labels", "truth", "--images", "photos")
    yield f"with --labels and --images: status {told.code}", told.code == 0


@case(_folders_told)
def folders_told(at: Path) -> None:
    """Pascal VOC's XML in `truth` beside pictures in `photos`: folders that nothing tells.
    Right: it opens, or the answer names --labels; and with --labels and --images the data opens whole."""
    for k in range(12):
        put(at / f"truth/{k}.xml", voc(f"{k}.png", save(k, at / f"photos/{k}.png")))


@case(own_boxes)
def labelme_beside(at: Path) -> None:
    """labelme's files in `jsons` beside `images`, imagePath ..\\images\\x.png of a Windows machine.
    Right: twelve pictures, 24 objects, each on its own."""
    for k in range(12):
        put(at / f"jsons/{k}.json", labelme(f"..\\images\\{k}.png", save(k, at / f"images/{k}.png")))


@case(lambda c: whole(c))
def open_images(at: Path) -> None:
    """OpenImages: fractions, ImageID without ending, classes by codes that class-descriptions-boxable.csv spells out.
    Right: twelve pictures, 24 objects of bolt and nut."""
    rows = ["ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsTruncated,IsGroupOf"]
    for k in range(12):
        rows += [f"{k:016x},x,/m/0{c}z,1,{a / W},{x / W},{b / H},{y / H},0,0,0"
                 for c, a, b, x, y in save(k, at / f"images/{k:016x}.png")]
    put(at / "annotations-bbox.csv", "\n".join(rows) + "\n")
    put(at / "class-descriptions-boxable.csv", "/m/00z,bolt\n/m/01z,nut\n")


def _other_classes(c: Case) -> Seen:
    said = stemma("evaluate", tiny(), "--data", c.at, "--device", "cpu")
    yield str(said), said.code == 2 and "bolt" in said.err and "classes" in said.err


@case(_other_classes)
def other_classes(at: Path) -> None:
    """A model of drawn scenes is measured on data of which it knows no class.
    Right: one line that names the classes of both; no number."""
    put(at / "annotations/instances.json", coco([(f"{k}.png", save(k, at / f"images/{k}.png")) for k in range(12)]))


def _said_what(what: str) -> Callable[[Case], Seen]:
    def rule(c: Case) -> Seen:
        for command in ("doctor", "convert"):
            more = ("--to", "coco", "--out", c.at.parent / "out") if command == "convert" else ()
            said = stemma(command, c.at, *more)
            yield f"{command}: {said}", said.code != 0 and what in said.err + said.out and "Traceback" not in said.err
        yield "nothing written", not (c.at.parent / "out").exists()

    return rule


@case(_said_what("Vertex AI's table of boxes"))
def vertex_table(at: Path) -> None:
    """Vertex AI's table of boxes: split, address, class, fractions of two corners between empty cells, no head.
    Right: it is called by its name, with what to do; nothing is written."""
    rows = [f"TRAINING,gs://bucket/images/{k}.png,{NAMES[c]},{a / W:.4f},{b / H:.4f},,,{x / W:.4f},{y / H:.4f},,"
            for k in range(12) for c, a, b, x, y in save(k, at / f"images/{k}.png")]
    put(at / "import.csv", "\n".join(rows) + "\n")


@case(_said_what("labels.jsonl"))
def unknown_lines(at: Path) -> None:
    """A JSONL of a tool that nobody knows beside pictures. Right: the file is named, and nothing is written."""
    put(at / "labels.jsonl", "".join(json.dumps({"pic": k, "things": save(k, at / f"images/{k}.png")}) + "\n"
                                     for k in range(12)))


@case(lambda c: whole(c))
def two_annotators(at: Path) -> None:
    """Label Studio, outlines in percent, one task labelled by two people. Right: twelve pictures, 24 objects, no
    object of that task twice."""
    tasks = []
    for k in range(12):
        regions = [{"id": f"{k}-{j}", "type": "polygonlabels", "original_width": W, "original_height": H,
                    "image_rotation": 0, "value": {"closed": True, "polygonlabels": [NAMES[c]], "points": [
                        [p / W * 100, q / H * 100] for p, q in ((a, b), (x, b), (x, y), (a, y))]}}
                   for j, (c, a, b, x, y) in enumerate(save(k, at / f"images/{k}.png"))]
        tasks.append({"id": k, "data": {"image": f"/data/upload/1/ab{k:02x}cdef-{k}.png"}, "annotations": [
            {"id": 9 * k + j, "was_cancelled": False, "result": regions} for j in range(1 + (k == 0))]})
    put(at / "export.json", tasks)


@case(_one_left_out("Annotations/5.xml"))
def voc_empty_file(at: Path) -> None:
    """Pascal VOC, of which a file of annotations is empty of any byte. Right: eleven pictures, and 5 is named."""
    for k in range(12):
        objects = save(k, at / f"JPEGImages/{k}.png")
        put(at / f"Annotations/{k}.xml", "" if k == 5 else voc(f"{k}.png", objects))


@case(_said_what("training/label_02/0000.txt is KITTI's tracks"))
def kitti_tracks(at: Path) -> None:
    """KITTI's tracking: two drives of six frames in image_02/0000, a text of all their boxes in label_02/0000.txt.
    Right: it is called by its name, and is no folder of the classes 0000 and 0001; nothing is written."""
    for drive in range(2):
        put(at / f"training/label_02/{drive:04d}.txt", "".join(
            f"{f} {j} {('Car', 'Van')[c]} 0 0 -1.57 {a}.0 {b}.0 {x}.0 {y}.0 1.5 1.6 3.9 -2 1.7 20 -1.6\n"
            for f in range(6) for j, (c, a, b, x, y) in enumerate(
                save(6 * drive + f, at / f"training/image_02/{drive:04d}/{f:06d}.png"))))


@case(_said_what("train.csv is a table of run lengths or outlines"))
def cells_of_runs(at: Path) -> None:
    """A competition's table id,annotation,width,height of run lengths, an object a line. Right: what it is is said,
    with what to do; nothing is written."""
    rows = [f"{k},{' '.join(f'{i * W + a + 1} {x - a}' for i in range(b, y))},{W},{H}"
            for k in range(12) for _, a, b, x, y in save(k, at / f"train/{k}.png")]
    put(at / "train.csv", "id,annotation,width,height\n" + "\n".join(rows) + "\n")


@case(own_boxes)
def signs_table(at: Path) -> None:
    """LISA's table of traffic signs: semicolons, "Annotation tag", "Upper left corner X", a comma within a column's
    name. Right: twelve pictures, each with its own boxes."""
    rows = [f"frames/{k}.png;{NAMES[c]};{a};{b};{x};{y};0,0;v.avi;{k}"
            for k in range(12) for c, a, b, x, y in save(k, at / f"frames/{k}.png")]
    put(at / "frameAnnotations.csv", "Filename;Annotation tag;Upper left corner X;Upper left corner Y;Lower right "
        "corner X;Lower right corner Y;Occluded,On another road;Origin file;Origin frame number\n" + "\n".join(rows))


@case(own_boxes)
def driving_table(at: Path) -> None:
    """Udacity's table: frame,xmin,xmax,ymin,ymax,class, both x before both y. Right: twelve pictures, each with its own
    boxes."""
    rows = [f"{k}.png,{a},{x},{b},{y},{NAMES[c]}"
            for k in range(12) for c, a, b, x, y in save(k, at / f"images/{k}.png")]
    put(at / "labels.csv", "frame,xmin,xmax,ymin,ymax,class\n" + "\n".join(rows))


@case(own_boxes)
def yolo_decimal_commas(at: Path) -> None:
    """YOLO's lines as a spreadsheet of another language saves them, 0 0,5 0,25 0,1 0,2. Right: twelve pictures, each
    with its own boxes."""
    for k in range(12):
        put(at / f"labels/{k}.txt", yolo(save(k, at / f"images/{k}.png")).replace(".", ","))
    put(at / "classes.txt", "bolt\nnut\n")


@case(_one_left_out("Annotations/5.xml"))
def objects_of_objects(at: Path) -> None:
    """Pascal VOC, of which one file has its objects within <objects>, as FAIR1M writes them. Right: it is read, or its
    picture is left out and named; never a picture without its objects."""
    for k in range(12):
        text = voc(f"{k}.png", save(k, at / f"JPEGImages/{k}.png"))
        put(at / f"Annotations/{k}.xml", text.replace("</size>", "</size><objects>").replace(
            "</annotation>", "</objects></annotation>") if k == 5 else text)


def _slip(c: Case) -> Seen:
    yield from own_boxes(c)
    said = [str(f) for f in c.open().faults]
    yield f"said: {said}", len(said) == 1 and "a click marks no place" in said[0]


@case(_slip)
def stray_click(at: Path) -> None:
    """COCO, in which one picture has a third annotation of no width and no height, a slip of the mouse. Right: twelve
    pictures with their 24 objects, and the slip is named."""
    doc = coco([(f"{k}.png", save(k, at / f"images/{k}.png")) for k in range(12)])
    doc["annotations"].append({"id": 999, "image_id": 4, "category_id": 1, "bbox": [60, 40, 0, 0], "iscrowd": 0})
    put(at / "annotations/instances.json", doc)


def main() -> int:
    """Write the folders and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--keep", type=Path)
    args = parser.parse_args()
    os.environ.setdefault("STEMMA_CACHE", str(made() / "cache"))
    chosen = {n: v for n, v in CASES.items() if not args.only or n in args.only}
    return table(chosen, args.keep or made())


if __name__ == "__main__":
    np.seterr(all="ignore")
    sys.exit(min(main(), 100))
