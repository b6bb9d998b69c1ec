"""Small data sets written by tests: pictures of noise with boxes, in every format."""
from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image


def noise(path: Path, height: int = 40, width: int = 60, seed: int = 0, **save: Any) -> np.ndarray:
    """A picture of noise, saved; its pixels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path, **save)
    return pixels


def coco_doc(images: int = 3, /, **change: Any) -> dict[str, Any]:
    """A COCO document of `images` pictures of 40 x 60, each with a box of every one of two classes (ids 7 and 3)."""
    doc: dict[str, Any] = {
        "images": [{"id": 100 + i, "file_name": f"{i}.png", "height": 40, "width": 60} for i in range(images)],
        "categories": [{"id": 7, "name": "dog", "supercategory": "animal"},
                       {"id": 3, "name": "cat", "supercategory": "animal"}],
        "annotations": [
            {"id": 10 * i + k, "image_id": 100 + i, "category_id": c, "bbox": [5 + k, 6, 20, 10], "area": 200,
             "iscrowd": 0, "segmentation": []}
            for i in range(images) for k, c in enumerate((7, 3))
        ],
    }
    return doc | change


def make_coco(root: Path, doc: Any = None, split: str = "train", images: int = 3) -> Path:
    """annotations/instances_SPLIT.json and images/SPLIT/*.png; the JSON's path.
    `doc` may be text, bytes or a document."""
    for i in range(images):
        noise(root / "images" / split / f"{i}.png", seed=i + 100 * len(split))
    path = root / "annotations" / f"instances_{split}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    doc = coco_doc(images) if doc is None else doc
    path.write_bytes(doc if isinstance(doc, bytes) else (doc if isinstance(doc, str) else json.dumps(doc)).encode())
    return path


def voc_xml(objects: Sequence[tuple[str, float, float, float, float]] = (("cat", 1, 1, 20, 10),), width: int = 60,
            height: int = 40, difficult: int = 0) -> str:
    """A VOC annotation."""
    rows = "".join(
        f"<object><name>{n}</name><difficult>{difficult}</difficult><bndbox><xmin>{a}</xmin><ymin>{b}</ymin>"
        f"<xmax>{c}</xmax><ymax>{d}</ymax></bndbox></object>"
        for n, a, b, c, d in objects
    )
    return (f"<annotation><size><width>{width}</width><height>{height}</height><depth>3</depth>"
            f"</size>{rows}</annotation>")


def make_voc(root: Path, xml: Sequence[str] | None = None, splits: dict[str, Sequence[int]] | None = None) -> Path:
    """JPEGImages, Annotations and, where `splits` are given, ImageSets/Main."""
    xml = [voc_xml(), voc_xml((("dog", 5, 5, 30, 30), ("cat", 2, 3, 9, 9))),
           voc_xml((("dog", 10, 10, 60, 40),), difficult=1)] if xml is None else xml
    (root / "Annotations").mkdir(parents=True)
    for i, text in enumerate(xml):
        noise(root / "JPEGImages" / f"v{i}.jpg", seed=i)
        (root / "Annotations" / f"v{i}.xml").write_text(text)
    for split, members in (splits or {}).items():
        path = root / "ImageSets" / "Main" / f"{split}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(f"v{i}" for i in members))
    return root


def make_yolo(root: Path, labels: Sequence[str] | None = None, yaml: str | None = None, split: str = "train") -> Path:
    """data.yaml, images/SPLIT and labels/SPLIT."""
    labels = ["0 0.5 0.5 0.5 0.5\n", "1 0.25 0.25 0.1 0.2\n0 0.5 0.5 1 1\n", ""] if labels is None else labels
    (root / "labels" / split).mkdir(parents=True)
    for i, text in enumerate(labels):
        noise(root / "images" / split / f"{i}.png", seed=i)
        if text:
            (root / "labels" / split / f"{i}.txt").write_text(text)
    (root / "data.yaml").write_text(f"path: .\n{split}: images/{split}\nnames: [cat, dog]\n" if yaml is None else yaml)
    return root


def make_maps(root: Path, maps: Sequence[np.ndarray], images: str = "images", labels: str = "labels") -> Path:
    """Images beside maps of ids."""
    (root / labels).mkdir(parents=True, exist_ok=True)
    for i, m in enumerate(maps):
        noise(root / images / f"m{i}.png", *m.shape, seed=i)
        Image.fromarray(m).save(root / labels / f"m{i}.png")
    return root
