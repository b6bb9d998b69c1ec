"""Layouts that are known and not read: who has one is told which, and what to export in its place."""
from __future__ import annotations

import re
from pathlib import Path

from .images import walk

MEDICAL = "write its slices as PNG or TIFF, and its masks beside them"
# (what it is, how the path of one of its files ends, what must stand in the file's first bytes, what to do)
KNOWN = (
    ("DICOM", r"\.dcm", rb"", MEDICAL),
    ("NIfTI", r"\.nii(\.gz)?", rb"", MEDICAL),
    ("TensorFlow's records", r"\.(tf)?records?", rb"", "export COCO's JSON from what wrote them"),
    ("Ultralytics' NDJSON", r"\.ndjson", rb'"type"\s*:\s*"(dataset|image)"', "export the YOLO folder"),
    ("an NDJSON of a labelling tool", r"\.ndjson", rb"", "export COCO's JSON"),
    ("V7's Darwin JSON", r"\.json", rb"darwin_json|darwin-public", "export COCO's JSON"),
    ("FiftyOne's own JSON", r"labels\.json", rb'^\s*\{\s*"(classes|labels)"', "export it as COCODetectionDataset or "
     "YOLOv5Dataset"),
    ("MOTChallenge's tables", r"(^|/)gt/gt\.txt", rb"", "write the boxes of its frames as COCO's JSON, or as a CSV of "
     "pictures and boxes"),
    ("a project of VIA 3", r"\.json", rb'"data_format_version"\s*:\s*"3', "export COCO's JSON"),
    ("Cityscapes' polygons", r"_gt(Fine|Coarse)_polygons\.json", rb"", "make COCO's panoptic JSON of them with "
     "cityscapesscripts' createPanopticImgs.py"),
    ("VoTT's JSON", r"\.(json|vott)", rb'"videoSettings"|"assets"\s*:|"asset"\s*:', "export it as Pascal VOC or CSV"),
)
_ENDS = (".dcm", ".nii", ".gz", ".tfrecord", ".tfrecords", ".record", ".records", ".ndjson", ".json", ".vott", ".txt")
FEW = 200  # files that are looked into
HEAD = 1 << 14


def stranger(where: Path) -> tuple[str, str] | None:
    """(what a folder holds that is known and not read, what to do); None where nothing is known."""
    names = walk(where, _ENDS)
    for what, ends, begins, mend in KNOWN:
        found = [n for n in names if re.search(f"(?:{ends})$", n, re.I)]
        hit = next((n for n in found[:FEW] if not begins or re.search(begins, _head(where / n))), None)
        if hit is not None:
            return f"{hit} is {what}, which is not read", mend
    return None


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as f:
            return f.read(HEAD)
    except OSError:
        return b""


__all__ = ["KNOWN", "stranger"]
