"""COCO files that say the hidden part of objects too: COCO-A's ordered regions, and flat annotations with a visible
mask beside the whole one, as D2SA and KINS have them.

COCO-A (https://github.com/Wakeupbuddy/amodalAPI): an annotation a picture and annotator, with `regions`, each of them a
whole `segmentation`, a `visible_mask`, an `occlude_rate`, `isStuff` and `name`; and `depth_constraint`, pairs
"front-back,..." of regions counted from 1. Flat: `segmentation` is the whole object, `visible_mask` (D2SA, COCOA-cls)
or `inmodal_seg` (KINS; `a_segm` and `i_segm` in its update) what is seen of it. An empty one says that nothing is.
"""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from hotcoco import mask as coco_mask

from stemma.core.samples import Classes, DataError, Dataset, Sample
from stemma.core.values import flag, ident
from stemma.ops.depth import depth_pairs, front_first

from ..records import Fault
from . import rle

VISIBLE = ("visible_mask", "inmodal_seg")
# what KINS's update_train_2020.json and update_test_2020.json call the fields: amodal and inmodal
LATER = {"a_segm": "segmentation", "i_segm": "inmodal_seg", "a_bbox": "bbox", "a_area": "area"}
OUTSIDE = 0.02  # share of the visible pixels that may lie outside the whole: polygons and runs are drawn apart
RATE = 0.05  # by which an occlusion rate may differ from its masks'
Pairs = tuple[tuple[int, int], ...]


def flat(doc: dict[str, Any], said: str, faults: list[Fault],
         notes: list[str]) -> tuple[dict[str, Any], dict[Any, Pairs]]:
    """(the document with one annotation an object, image_id -> pairs of annotation ids); as it is where no annotation
    has `regions`."""
    rows = doc.get("annotations")
    if not isinstance(rows, list) or not any(isinstance(a, dict) and isinstance(a.get("regions"), list) for a in rows):
        return doc, {}
    out: list[dict[str, Any]] = []
    pairs: dict[Any, Pairs] = {}
    more = 0
    for a in rows:
        if not isinstance(a, dict) or not isinstance(a.get("regions"), list):
            out.append(a)
            continue
        image = ident(a.get("image_id"))
        if image is not None and image in pairs:
            more += 1
            continue
        first = len(out) + 1
        for k, r in enumerate(a["regions"]):
            r = r if isinstance(r, dict) else {}
            seg = r.get("segmentation")
            if isinstance(seg, list) and seg and not isinstance(seg[0], list):
                seg = [seg]
            try:
                stuff = flag(r.get("isStuff"))
            except ValueError as e:
                stuff = False
                faults.append(Fault(said, f"region {k + 1} of image {str(a.get('image_id'))[:40]}", "isStuff", str(e),
                                    "it counts as a thing", True, "broken record"))
            out.append({**r, "id": first + k, "image_id": a.get("image_id"), "segmentation": seg,
                        "category_id": 2 if stuff else 1})
        pairs[image] = _ordered(a, first, len(a["regions"]), said, faults)
    if more:
        notes.append(f"{more} pictures' worth of regions are by a second annotator or a later one: of each picture the "
                     "first is read")
    categories = [{"id": 1, "name": "thing", "isthing": 1}, {"id": 2, "name": "stuff", "isthing": 0}]
    return {**doc, "annotations": out, "categories": categories}, pairs


def _ordered(a: dict[str, Any], first: int, count: int, said: str, faults: list[Fault]) -> Pairs:
    """The pairs of one picture as annotation ids; none where they are no order."""
    record, text = f"image {str(a.get('image_id'))[:40]}", a.get("depth_constraint") or ""
    found: list[tuple[int, int]] = []
    for word in str(text).split(","):
        if not word.strip():
            continue
        front, _, back = word.partition("-")
        if not (front.strip().isdecimal() and back.strip().isdecimal()
                and 1 <= int(front) <= count and 1 <= int(back) <= count):
            faults.append(Fault(said, record, "depth_constraint", f"{word.strip()[:40]!r} names no two of the {count} "
                                "regions", "the pair is left out", True, "depth order"))
            continue
        found.append((first + int(front) - 1, first + int(back) - 1))
    _, stuck = front_first(range(first, first + count), found)
    if stuck:
        which = ", ".join(str(k - first + 1) for k in stuck[:8])
        faults.append(Fault(said, record, "depth_constraint", f"the order runs in a circle among the regions {which}",
                            "no order is measured in this picture", True, "depth order"))
        return ()
    return tuple(found)


def annotated(doc: Any, said: str) -> dict[Any, list[Sample]]:
    """Every annotation of each picture of a COCO-A document, by image id: visible and whole masks and the depth order,
    labels of things and stuff. Raises `DataError` for what is no such document and for a mask that cannot be read."""
    rows = doc.get("annotations") if isinstance(doc, dict) else None
    listed = doc.get("images") if isinstance(doc, dict) else None
    if not isinstance(rows, list) or not isinstance(listed, list):
        raise DataError(said, "has no annotations of pictures", "give a COCO-A file", field="annotations")
    sizes = {ident(i.get("id")): (i.get("height"), i.get("width")) for i in listed if isinstance(i, dict)}
    found: dict[Any, list[Sample]] = {}
    for a in rows:
        regions = a.get("regions") if isinstance(a, dict) else None
        if not isinstance(regions, list) or not regions:
            continue
        image = ident(a.get("image_id"))
        h, w = sizes.get(image, (None, None)) if image is not None else (None, None)
        if not (isinstance(h, int) and isinstance(w, int) and h > 0 and w > 0):
            raise DataError(said, "is of a picture whose size is not told", "list it under 'images'",
                            f"annotation {str(a.get('id'))[:40]}", "image_id")
        masks = []
        for k, r in enumerate(regions):
            r = r if isinstance(r, dict) else {}
            seg = r.get("segmentation")
            seg = [seg] if isinstance(seg, list) and seg and not isinstance(seg[0], list) else seg
            seen = _seen(r)
            for name, one in (("visible_mask", seg if seen is None else seen), ("segmentation", seg)):
                if name == "visible_mask" and one in ([], {}):
                    masks.append(np.zeros((h, w), bool))
                    continue
                if wrong := _unreadable(one, h, w):
                    raise DataError(said, wrong, "correct it", f"region {k + 1} of annotation {str(a.get('id'))[:40]}",
                                    name)
                masks.append(rle.decode(one, h, w))
        visible, whole = np.stack(masks[::2]), np.stack(masks[1::2])
        n, faults = len(regions), list[Fault]()
        pairs = np.asarray(_ordered(a, 0, n, said, faults), np.int64).reshape(-1, 2)
        kind = np.zeros(n, np.int64)
        for k, r in enumerate(regions):
            try:
                kind[k] = flag(r.get("isStuff") if isinstance(r, dict) else None)
            except ValueError as e:
                raise DataError(said, str(e), "write 0 or 1", f"region {k + 1} of annotation {str(a.get('id'))[:40]}",
                                "isStuff") from None
        found.setdefault(image, []).append(Sample(
            None, (h, w), np.zeros((n, 4), np.float32), kind, np.zeros(n, bool), whole.sum((1, 2)).astype(np.float32),
            masks=visible, amodal=whole, extra={"depth": pairs}, file=said))
    return found


def modal(rows: Sequence[Any], sizes: dict[Any, tuple[int, int]], said: str, faults: list[Fault],
          notes: list[str]) -> list[Any]:
    """Annotations, whichever of KINS's names they have, with the visible mask as `segmentation` and its box, and the
    whole as `amodal`; as they are where no annotation has a visible mask. `sizes`: image_id -> (height, width).

    Objects of which nothing is seen are left out, which is said.
    """
    rows = [{name: a[k] for k, name in LATER.items() if k in a} | a if isinstance(a, dict) else a for a in rows]
    if not any(isinstance(a, dict) and _seen(a) is not None for a in rows):
        return rows
    out, gone = [], 0
    for a in rows:
        size = sizes.get(ident(a.get("image_id"))) if isinstance(a, dict) else None
        if size is None or not min(size):
            if size is not None and _seen(a) is not None:
                faults.append(Fault(said, f"annotation {str(a.get('id'))[:40]}", "visible_mask",
                                    "is of a picture whose size is not told", "the whole mask is taken as visible",
                                    True, "visible mask"))
            out.append(a)
            continue
        h, w = size
        whole, seen = a.get("segmentation"), _seen(a)
        if seen in ([], {}):
            gone += 1
            continue
        record = f"annotation {str(a.get('id'))[:40]}"
        wrong = _unreadable(whole, h, w)
        if wrong:
            out.append(a)  # what is wrong with it is said with all other masks
            continue
        if seen is not None and (wrong := _unreadable(seen, h, w)):
            faults.append(Fault(said, record, "visible_mask", wrong, "the whole mask is taken as visible", True,
                                "visible mask"))
            seen = None
        both = [rle.to_rle(s, h, w) for s in (whole, seen if seen is not None else whole)]
        area = [float(coco_mask.area(r)) for r in both]
        if not area[1]:
            gone += 1
            continue
        outside = area[1] - float(coco_mask.area(coco_mask.merge(both, True)))
        if outside > max(OUTSIDE * area[1], 8):
            faults.append(Fault(said, record, "visible_mask", f"{outside:.0f} of {area[1]:.0f} visible pixels lie "
                                f"outside the whole mask of {area[0]:.0f}", "the whole is taken to hold them too", True,
                                "visible outside amodal"))
        rate, true = a.get("occlude_rate"), max(1 - area[1] / max(area[0], 1), 0.0)
        if isinstance(rate, int | float) and abs(rate - true) > RATE:
            faults.append(Fault(said, record, "occlude_rate", f"says {rate:.2f}, and the masks {true:.2f}",
                                "it is taken from the masks", True, "occlusion rate"))
        x, y, bw, bh = (float(v) for v in coco_mask.toBbox(both[1]))
        out.append({**a, "segmentation": rle.jsonable(both[1]), "amodal": whole, "bbox": [x, y, bw, bh],
                    "area": area[1]})
    if gone:
        notes.append(f"{gone} objects of which nothing is seen are left out")
    return out


def _seen(a: Mapping[str, Any]) -> Any:
    """What an annotation says is seen of its object: None where it says nothing, an empty list or object where it says
    that nothing is."""
    said = [a[k] for k in VISIBLE if a.get(k) is not None]
    return next((s for s in said if s), said[0] if said else None)


def _unreadable(seg: Any, h: int, w: int) -> str:
    """What is wrong with a segmentation, "" where nothing is."""
    if not seg:
        return "is missing"
    wrong = rle.problem(seg, h, w)
    text = isinstance(seg, dict) and isinstance(seg.get("counts"), str | bytes)
    if not wrong and text and rle.string_faults([seg["counts"]], np.array([h * w]))[0]:
        return "has run lengths that cannot be decoded"
    return wrong


# ---------------------------------------------------------------- writing


def coco_a(dataset: Dataset, author: str = "stemma", names: Sequence[str] = ()) -> dict[str, Any]:
    """The truth of a data set with visible and amodal masks as COCO-A's document, regions from front to back. names: of
    the pictures; else the last part of their files'."""
    doc: dict[str, Any] = {"info": {"description": dataset.info.name}, "images": [], "annotations": []}
    for i in range(len(dataset)):
        s = dataset.truth(i)
        assert s.masks is not None and s.amodal is not None, "needs visible and amodal masks"
        pairs = s.extra.get("depth", depth_pairs(s.masks, s.amodal))
        order, stuck = front_first(range(len(s.labels)), [(int(a), int(b)) for a, b in pairs])
        order += stuck
        place = {k: n + 1 for n, k in enumerate(order)}
        regions = [_region(s.masks[k], s.amodal[k], dataset.info.classes, int(s.labels[k]), n + 1)
                   for n, k in enumerate(order)]
        file = names[i] if names else s.file.replace("\\", "/").rsplit("/", 1)[-1] or f"{i:06d}.png"
        doc["images"].append({"id": i + 1, "file_name": file, "height": s.size[0], "width": s.size[1]})
        doc["annotations"].append({
            "id": i + 1, "image_id": i + 1, "author": author, "size": len(regions), "regions": regions,
            "depth_constraint": ",".join(f"{place[int(a)]}-{place[int(b)]}" for a, b in pairs),
        })
    return doc


def _region(seen: np.ndarray, whole: np.ndarray, classes: Classes, label: int, order: int) -> dict[str, Any]:
    whole = whole | seen
    out = {"id": order, "order": order, "name": classes.names[label], "isStuff": int(not classes.things[label]),
           "segmentation": rle.encode(whole), "visible_mask": rle.encode(seen), "area": int(whole.sum()),
           "occlude_rate": 1 - float(seen.sum()) / max(float(whole.sum()), 1.0)}
    if (whole & ~seen).any():
        out["invisible_mask"] = rle.encode(whole & ~seen)
    return out
