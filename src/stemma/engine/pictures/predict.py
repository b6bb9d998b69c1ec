"""Predict for pictures: a file, a folder, a pattern or arrays; large ones in tiles on request;
drawn and written as COCO JSON."""
from __future__ import annotations

import json
import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch import nn

from ...core import outputs
from ...core.types import Classes, DataError, Info, Sample, StemmaError
from ...data.images import cut_to_8_bits, read_image, white_of
from ...data.proposals import Filed, images_file
from ...ops.masks import decode
from ..running import checkpoint
from ..running.asked import Asked, drawn_names, find_pictures
from ..running.devices import pick_device, pick_precision
from ..running.progress import counting
from ..running.runs import Run
from . import draw
from .answers import apart, coco_entries, said_of
from .compress import shortened
from .measure import run_over
from .outside import sourced


@dataclass
class Pictures:
    """Pictures without truth, as a data set. A source is a path or an array (H, W, 3) uint8."""

    sources: Sequence[Any]
    info: Info
    fingerprint: str = ""
    white: float | None = None  # at which pictures of more than 8 bits are read
    _sizes: dict[int, tuple[int, int]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.sources)

    def name(self, i: int) -> str:
        return str(self.sources[i]) if isinstance(self.sources[i], (str, Path)) else f"picture_{i}"

    def pixels(self, i: int) -> np.ndarray:
        """The picture, uint8 (H, W, 3). Raises `DataError` when it cannot be read."""
        source = self.sources[i]
        if isinstance(source, (str, Path)):
            return read_image(source, white=self.white)
        if isinstance(source, Image.Image):
            # a copy: what Pillow hands out cannot be written to, which PyTorch warns of
            return np.array(source.convert("RGB"))
        pixels = np.asarray(source)
        if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8 or 0 in pixels.shape:
            raise DataError(self.name(i), f"an array of {pixels.shape}, {pixels.dtype}",
                            "Give pictures as uint8 arrays (height, width, 3), RGB")
        return pixels

    def __getitem__(self, i: int) -> Sample:
        pixels = self.pixels(i)
        self._sizes[i] = (pixels.shape[0], pixels.shape[1])
        return _sample(pixels, self.name(i))

    def truth(self, i: int) -> Sample:
        return Sample(None, self._sizes.get(i, (0, 0)), *_nothing(), file=self.name(i), id=-1)


@dataclass
class Tiles:
    """Overlapping tiles of one picture, and the whole of it last where objects are sought, as a data set."""

    pixels: np.ndarray
    windows: list[tuple[int, int, int, int]]  # x1, y1, x2, y2
    info: Info
    fingerprint: str = ""

    def __len__(self) -> int:
        return len(self.windows)

    def __getitem__(self, i: int) -> Sample:
        x1, y1, x2, y2 = self.windows[i]
        return _sample(np.ascontiguousarray(self.pixels[y1:y2, x1:x2]), f"tile {i}")

    def truth(self, i: int) -> Sample:
        x1, y1, x2, y2 = self.windows[i]
        return Sample(None, (y2 - y1, x2 - x1), *_nothing(), file=f"tile {i}", id=-1)


def _nothing() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    return np.zeros((0, 4), np.float32), np.zeros(0, np.int64), np.zeros(0, bool), np.zeros(0, np.float32)


def _sample(pixels: np.ndarray, file: str) -> Sample:
    return Sample(pixels, (pixels.shape[0], pixels.shape[1]), *_nothing(), file=file, id=-1)  # it has no id


def predict(
    model: nn.Module | Run | str | Path, images: Any, out: str | Path | None = None, tile: int | None = None, *,
    threshold: float = 0.3, overlap: float = 0.2,
    which: str = "best", batch: int = 1, device: str = "auto", precision: str = "auto", pictures: bool = True,
    progress: bool = False, proposals: str | None = None, svd: Sequence[int] = (),
) -> list[dict[str, Any]]:
    """Predict for pictures. Returns one dict a picture, in pixels of the file.

    All: `file` (its path), `file_name` (the path relative to what was asked for, as in predictions.json),
    `size` (height, width).
    Detection: `boxes` (n, 4), `scores`, `labels`, `names`, and `masks` (COCO run lengths), `keypoints` (n, K, 3)
    where the paper has them; only what scores `threshold` or more. Semantic: `semantic` (H, W) labels and all class
    `names`; `objects`, with boxes, scores, labels, names and masks, where the system learned to keep objects of a class
    apart (U-Net on cells).
    Panoptic: `panoptic` (H, W) ids, `segments` (S,) labels, `names` of the segments.

    images: a file, folder, pattern, uint8 RGB array, PIL picture, or a list of these. A file that cannot be read is
            left out, with a warning. What Stemma drew earlier is no input.
    out:    a folder for drawn pictures, in sub-folders as the pictures themselves, and `predictions.json` (COCO:
            images, categories, annotations with scores), or label maps as PNG. A file that Stemma did not write is
            never replaced
    tile:   cut pictures larger than this into tiles of so many file pixels, overlapping by `overlap`, and merge what
            they say; for objects, the whole picture is looked at too, for what is larger than a tile
    proposals: another source of boxes than the recipe's, or a file of them, for a system that takes them from outside
    svd:    predict with the fully connected layers of the region heads shortened to these ranks (`compress`)
    Raises `StemmaError` when there are no pictures, when something stands where a result would go, or when tiles are
    asked for where they cannot be merged (panoptic).
    """
    if images is None or isinstance(images, (list, tuple)) and not images:
        raise StemmaError(f"{checkpoint.card_of(model, which).cli_name} looks at pictures; name pictures: files, a "
                          "folder, or a pattern in quotes")
    net = shortened(model, svd, which)
    m: Any = net
    task = m.paper.task_of(m.preset)
    info = said_of(m.info or Info("pictures", "pictures", Classes(tuple(f"class {i}" for i in range(m.classes))), ()),
                   task)
    classes = info.classes_for(task)
    if not 0 <= threshold <= 1:
        raise StemmaError(f"threshold is a score, 0 to 1, not {threshold}")
    if tile is not None and (tile < 16 or not 0 <= overlap < 0.9):
        raise StemmaError(f"tiles of {tile} pixels overlapping by {overlap} make no sense; a tile has 16 pixels or "
                          "more, an overlap lies in 0 to 0.9")
    if tile is not None and task == "panoptic":
        raise StemmaError("panoptic maps cannot be merged from tiles; leave the tiles out, or use an instance or a "
                          "semantic segmenter")
    recipe = sourced(m.recipe, proposals)
    if recipe.proposals.kind == "file":
        _filed(recipe.proposals.file, tile)
    asked = find_pictures(images)
    data = Pictures(asked.sources, info, white=_white_for(asked, m.info))
    writer = _Writer(Path(out), data, asked, info, task, pictures) if out is not None else None
    device = pick_device(device)
    net.to(device)
    settings: dict[str, Any] = {"batch": batch, "device": device, "precision": pick_precision(device, precision),
                                "needs": frozenset(), "recipe": recipe, "show": progress}
    results: list[dict[str, Any]] = []
    with counting("predicting", len(data), progress) as bar:
        for i, found in _tiled(net, data, tile, overlap, settings) if tile is not None else _plain(net, data, settings):
            found = draw.above(found, threshold)
            if "objects" in found:
                found["objects"] |= {"names": [info.classes.names[int(k)] for k in found["objects"]["labels"]]}
            entry = {"file": data.name(i), "file_name": asked.names[i], "size": data._sizes[i], **found}
            labels = () if "semantic" in found else found["segments" if "panoptic" in found else "labels"]
            entry["names"] = list(classes.names) if "semantic" in found else [classes.names[int(k)] for k in labels]
            results.append(entry)
            if writer is not None:
                writer.add(i, entry)
            if bar is not None:
                bar(len(results))
    if not results:
        raise StemmaError("none of the pictures could be read; the warnings say why")
    if writer is not None:
        writer.close()
    return results


def _filed(file: str, tile: int | None) -> None:
    """Raises `StemmaError` where a file of proposals cannot be tied to the pictures, or to their tiles."""
    if tile is not None:
        raise StemmaError(f"{file} has boxes of whole pictures and none of tiles; leave the tiles out, or take another "
                          "source of proposals")
    if not Filed(file).tied:
        raise DataError(file, "says image ids alone, and pictures to predict for have none",
                        f"Put {images_file(file).name} beside it, as evaluate writes it, or give an .npz by file names")


def _white_for(asked: Asked, learned: Info | None) -> float | None:
    """The scale of pictures of more than 8 bits: that which the model was trained at,
    else one for all that is asked."""
    paths = [p for p in asked.sources if isinstance(p, Path)]
    if cut := cut_to_8_bits(paths):
        warnings.warn(cut, stacklevel=3)
    if learned is not None and learned.white is not None:
        return learned.white
    found = white_of(paths)
    return None if found is None else found.value


def _plain(net: nn.Module, data: Pictures, settings: dict[str, Any]) -> Any:
    for seen in run_over(net, data, **settings):
        yield from zip(seen.batch.index.tolist(), seen.predictions, strict=True)


# ---------------------------------------------------------------- tiles


def windows(size: tuple[int, int], tile: int, overlap: float) -> list[tuple[int, int, int, int]]:
    """Tiles (x1, y1, x2, y2) that cover a picture of `size` (height, width), evenly spread, overlapping by `overlap` of
    a tile at least."""
    def starts(length: int) -> list[int]:
        if length <= tile:
            return [0]
        n = -(-(length - tile) // max(1, int(tile * (1 - overlap)))) + 1
        return [round(i * (length - tile) / (n - 1)) for i in range(n)]

    h, w = size
    return [(x, y, min(x + tile, w), min(y + tile, h)) for y in starts(h) for x in starts(w)]


def _tiled(net: nn.Module, data: Pictures, tile: int, overlap: float, settings: dict[str, Any]) -> Any:
    m: Any = net
    for i in range(len(data)):
        try:
            pixels = data[i].image
        except (DataError, OSError) as error:
            warnings.warn(f"{error} (it is left out)", stacklevel=2)
            continue
        assert pixels is not None
        size = (pixels.shape[0], pixels.shape[1])
        cuts = windows(size, tile, overlap)
        maps = m.paper.task_of(m.preset) == "semantic"
        if len(cuts) > 1 and not maps:
            cuts.append((0, 0, size[1], size[0]))
        parts = [p for seen in run_over(net, Tiles(pixels, cuts, data.info), **settings) for p in seen.predictions]
        whole = parts[0] if len(cuts) == 1 else _join_maps(parts, cuts, size) if maps else merge(parts, cuts, size)
        if len(cuts) > 1 and (objects := apart(net, data.info)) is not None:
            whole["objects"] = objects(whole["semantic"])
        yield i, whole


def _join_maps(parts: list[dict[str, Any]], cuts: list[tuple[int, int, int, int]],
               size: tuple[int, int]) -> dict[str, Any]:
    """Every pixel from the tile in whose middle it lies deepest."""
    out, depth = np.zeros(size, np.int32), np.full(size, -1, np.int32)
    h, w = size
    for p, (x1, y1, x2, y2) in zip(parts, cuts, strict=True):
        xs, ys = np.arange(x1, x2), np.arange(y1, y2)
        far = max(h, w)
        from_x = np.minimum(xs - x1 if x1 else far, x2 - 1 - xs if x2 < w else far)
        from_y = np.minimum(ys - y1 if y1 else far, y2 - 1 - ys if y2 < h else far)
        mine = np.minimum(np.broadcast_to(from_y, (len(ys),))[:, None], np.broadcast_to(from_x, (len(xs),))[None])
        better = mine > depth[y1:y2, x1:x2]
        out[y1:y2, x1:x2][better] = p["semantic"][better]
        depth[y1:y2, x1:x2][better] = mine[better]
    return {"semantic": out}


def merge(parts: list[dict[str, Any]], cuts: list[tuple[int, int, int, int]], size: tuple[int, int], iou: float = 0.5,
          inside: float = 0.7) -> dict[str, Any]:
    """Detections of tiles as those of the picture, best first.

    Of two of one class that overlap by `iou` the better stays. One that ends at a tile's cut edge saw part of an object
    only: it is ranked behind all others, and goes as well when `inside` of the smaller of the two lies in the other.
    """
    boxes, scores, labels, cut, source = [], [], [], [], []
    for k, (p, (x1, y1, x2, y2)) in enumerate(zip(parts, cuts, strict=True)):
        b = np.asarray(p["boxes"], np.float32).reshape(-1, 4) + np.array([x1, y1, x1, y1], np.float32)
        near = 2.0
        open_edge = np.array([x1 > 0, y1 > 0, x2 < size[1], y2 < size[0]])
        touches = np.abs(b - np.array([x1, y1, x2, y2], np.float32)) < near
        boxes.append(b)
        cut.append((touches & open_edge).any(1))
        scores.append(np.asarray(p["scores"], np.float32))
        labels.append(np.asarray(p["labels"], np.int64))
        source += [(k, j) for j in range(len(b))]
    box, score, label, partial = (np.concatenate(boxes), np.concatenate(scores), np.concatenate(labels),
                                  np.concatenate(cut))
    area = np.prod((box[:, 2:] - box[:, :2]).clip(0), axis=1)
    kept: list[int] = []
    for k in np.lexsort((-score, partial)):
        if kept:
            rivals = np.array([j for j in kept if label[j] == label[k]], int)
            side = (np.minimum(box[rivals, 2:], box[k, 2:]) - np.maximum(box[rivals, :2], box[k, :2])).clip(0)
            common = side.prod(1)
            if ((common > iou * (area[rivals] + area[k] - common)).any()
                or (partial[k] and (common > inside * np.minimum(area[rivals], area[k])).any())):
                continue
        kept.append(int(k))
    kept.sort(key=lambda k: -score[k])
    out: dict[str, Any] = {"boxes": box[kept], "scores": score[kept], "labels": label[kept]}
    for name in ("masks", "visible"):
        if any(name in p for p in parts):
            out[name] = [shifted(parts[source[k][0]][name][source[k][1]], cuts[source[k][0]][:2], size) for k in kept]
    if any("keypoints" in p for p in parts):
        shift = [np.array([*cuts[source[k][0]][:2], 0], np.float32) for k in kept]
        points = [parts[source[k][0]]["keypoints"][source[k][1]] + s for k, s in zip(kept, shift)]
        out["keypoints"] = np.stack(points) if points else np.zeros((0, 0, 3), np.float32)
    return out


def shifted(code: dict[str, Any], corner: tuple[int, int], size: tuple[int, int]) -> dict[str, Any]:
    """A mask's run lengths moved to `corner` (x, y) of a picture of `size` (height, width),
    without filling that picture.

    Runs go down the columns; one of the tile is cut at its columns' ends,
    and lies at column x height + row of the picture.
    """
    mask = decode(code)
    if mask.shape == size and tuple(corner) == (0, 0):
        return code
    columns = np.flatnonzero(mask.any(0))
    wide = np.zeros((len(columns), mask.shape[0] + 2), np.int8)
    wide[:, 1:-1] = mask[:, columns].T
    steps = np.diff(wide, axis=1)
    which, first = np.nonzero(steps == 1)
    _, last = np.nonzero(steps == -1)
    at = (columns[which] + corner[0]).astype(np.int64) * size[0] + corner[1]
    begin, end = at + first, at + last
    # full-height runs meet
    joined = np.concatenate([[True], begin[1:] > end[:-1]]) if len(begin) else np.zeros(0, bool)
    begin, end = begin[joined], end[np.concatenate([joined[1:], [True]])] if len(begin) else end
    edges = np.stack([begin, end], 1).reshape(-1)
    counts = np.diff(np.concatenate([[0], edges, [size[0] * size[1]]]))
    from hotcoco import mask as rle

    found: dict[str, Any] = rle.frPyObjects({"size": list(size), "counts": [int(c) for c in counts]}, *size)
    return found


# ---------------------------------------------------------------- writing


class _Writer:
    """Drawn pictures and predictions.json in a folder; label maps for systems that give maps.

    All names are known, and seen to be free or ours, before the first picture is looked at.
    """

    def __init__(self, folder: Path, data: Pictures, asked: Asked, info: Info, task: str, pictures: bool):
        self.folder, self.data, self.info, self.classes, self.pictures = (folder, data, info,
                                                                          info.classes_for(task), pictures)
        self.names, self.drawn = asked.names, drawn_names(asked.names)
        self.images: list[dict[str, Any]] = []
        self.annotations: list[dict[str, Any]] = []
        if any(os.path.realpath(folder) == os.path.realpath(f) for f in asked.folders):
            raise StemmaError(f"{folder} is where the pictures come from, and drawn copies would lie among them; "
                              "choose another --out")
        endings = ([".jpg"] if pictures else []) + {"semantic": ["_labels.png"],
                                                    "panoptic": ["_panoptic.png"]}.get(task, [])
        outputs.claim(folder / f"{name}{e}" for name in self.drawn for e in endings)
        outputs.claim([folder / "predictions.json"])
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StemmaError(f"cannot make the folder {folder}: {error}") from error

    def add(self, i: int, entry: dict[str, Any]) -> None:
        name, number = self.drawn[i], len(self.images) + 1
        image = {"id": number, "file_name": self.names[i], "height": entry["size"][0], "width": entry["size"][1]}
        if "semantic" in entry:
            image["map"] = f"{name}_labels.png"
            self._save(Image.fromarray(entry["semantic"].astype(np.uint8)), image["map"])
            if "objects" in entry:
                self._keep(entry["objects"], number)
        elif "panoptic" in entry:
            ids = entry["panoptic"].astype(np.int64)
            map_name = f"{name}_panoptic.png"
            self._save(Image.fromarray(np.stack([ids & 255, ids >> 8 & 255, ids >> 16 & 255], -1).astype(np.uint8)),
                       map_name)
            segments = [{"id": j + 1, "category_id": int(self.classes.ids[int(c)])}
                        for j, c in enumerate(entry["segments"])]
            self.annotations.append({"image_id": number, "file_name": map_name, "segments_info": segments})
        else:
            self._keep(entry, number)
        if self.pictures:
            image["drawn"] = f"{name}.jpg"
            self._save(draw.draw(self.data.pixels(i), entry, self.classes.names, self.info.points), image["drawn"])
        self.images.append(image)

    def _save(self, picture: Image.Image, name: str) -> None:
        more: dict[str, Any] = {"quality": 92} if name.endswith(".jpg") else {}
        outputs.put(self.folder / name, lambda p: picture.save(p, **more), prediction=True)

    def _keep(self, found: dict[str, Any], number: int) -> None:
        for a in coco_entries(found, number, self.info.classes.ids):
            area = a["bbox"][2] * a["bbox"][3]
            self.annotations.append({"id": len(self.annotations) + 1, "iscrowd": 0, "area": area, **a})

    def close(self) -> None:
        classes = self.info.classes if any("bbox" in a for a in self.annotations) else self.classes
        categories: list[dict[str, Any]] = [{"id": int(k), "name": n} for k, n in zip(classes.ids, classes.names)]
        if self.info.points is not None and any("keypoints" in a for a in self.annotations):
            for c in categories:
                c |= {"keypoints": list(self.info.points.names),
                      "skeleton": [[a + 1, b + 1] for a, b in self.info.points.lines]}
        whole = {"images": self.images, "categories": categories, "annotations": self.annotations}
        outputs.put_text(self.folder / "predictions.json", json.dumps(whole), prediction=True)


__all__ = ["Pictures", "Tiles", "merge", "predict", "shifted", "windows"]
