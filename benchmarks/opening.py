"""Opening a COCO file of train2017's size: drawn once into a folder, then opened by another commit's build and by this
one in turns, each in a process of its own.

    python benchmarks/opening.py draw FOLDER [--pictures 118287] [--objects 860001] [--classes 80]
    python benchmarks/opening.py beside COMMIT FOLDER [--rounds 3] [--kept]
    python benchmarks/opening.py same COMMIT [--count 2000] [--formats coco lvis panoptic]
    python benchmarks/opening.py grow
    python benchmarks/opening.py parsers FOLDER

Processor time of opening alone, system time included, and the peak of the process's memory, with everything that it had
to import. The first line says whether both opened the same: a hash over every column, polygon and run length. `--kept`
measures second openings, each build's with what its own first one kept. `same` writes small spoilt folders
(`fuzz_folders.py`) and holds the doctor's reports, what training reads, and every message of both builds against one
another. `grow` opens and reads sets of ever more pictures, classes and objects a picture, each in a process of its own.

The file has the shape of train2017's: a polygon of 22 points in the mean with two decimals, one object of a hundred a
crowd of run lengths, a few objects of several polygons. Its pictures are links to one small JPEG, because opening reads
none of them: it looks up their names and sizes in bytes.
"""
from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any, TextIO

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
LINKS = 50_000  # to one file, of which file systems allow some ten thousands
NAME = "instances_train2017"


# ---------------------------------------------------------------- drawing


def draw(folder: Path, pictures: int, objects: int, classes: int, side: int = 0, seed: int = 0) -> Path:
    """A folder of COCO's layout; the JSON is written picture by picture. `side`: of square pictures, which can be read;
    0 for COCO's sizes, which the pictures have not."""
    from PIL import Image

    rng = np.random.default_rng(seed)
    (folder / "annotations").mkdir(parents=True)
    (folder / "train2017").mkdir()
    for k in range(pictures):
        name = folder / "train2017" / f"{k:012d}.jpg"
        if k % LINKS == 0:
            first = name
            Image.effect_noise((side or 16, side or 16), 40).convert("RGB").save(name)
        else:
            os.link(first, name)
    each = np.bincount(rng.integers(0, pictures, objects), minlength=pictures)
    sizes = np.where(rng.random((pictures, 1)) < 0.7, (480, 640), (640, 480))
    sizes = np.full_like(sizes, side) if side else sizes
    path = folder / "annotations" / f"{NAME}.json"
    with open(path, "w", encoding="utf-8") as f:
        f.write('{"info": {"description": "drawn in the shape of COCO 2017"}, "licenses": [], "images": [')
        for k in range(pictures):
            f.write(", " * (k > 0) + json.dumps({
                "license": 3, "file_name": f"{k:012d}.jpg", "coco_url": f"http://localhost/train2017/{k:012d}.jpg",
                "height": int(sizes[k, 0]), "width": int(sizes[k, 1]), "date_captured": "2013-11-14 11:18:45",
                "flickr_url": f"http://localhost/9364/{k:010d}_8927a62a0c_z.jpg", "id": k + 1}))
        f.write('], "annotations": [')
        _annotations(f, rng, each, sizes, classes)
        listed = [{"supercategory": f"kind {c // 8}", "id": c + 1, "name": f"class {c}"} for c in range(classes)]
        f.write(f'], "categories": {json.dumps(listed)}}}')
    return path


def _annotations(f: TextIO, rng: np.random.Generator, each: np.ndarray, sizes: np.ndarray, classes: int) -> None:
    number = 0
    for k, n in enumerate(each.tolist()):
        h, w = sizes[k].tolist()
        for _ in range(n):
            number += 1
            bw, bh = np.minimum(np.exp(rng.normal(4.0, 0.9, 2)) * w / 640 + 4, (w * 0.9, h * 0.9)).tolist()
            x, y = rng.uniform(0, w - bw), rng.uniform(0, h - bh)
            crowd = bool(rng.random() < 0.012)
            seg: Any = _runs(rng, h, w) if crowd else _polygons(rng, x, y, bw, bh)
            points = np.concatenate([[0, 0, w, h], *([] if crowd else seg)][not crowd :]).reshape(-1, 2)
            (x, y), (bw, bh) = points.min(0).tolist(), np.ptp(points, 0).round(2).tolist()
            f.write(", " * (number > 1) + json.dumps({
                "segmentation": seg, "area": round(bw * bh * 0.6, 4), "iscrowd": int(crowd), "image_id": k + 1,
                "bbox": [x, y, bw, bh], "category_id": int(rng.integers(1, classes + 1)),
                "id": 900_000 + number}))


def _polygons(rng: np.random.Generator, x: float, y: float, w: float, h: float) -> list[list[float]]:
    """One or more stars of points about the middle of a box, which fill it."""
    out = []
    for _ in range(1 + int(rng.random() < 0.07)):
        n = int(np.clip(np.exp(rng.normal(2.8, 0.7)), 4, 300))
        turn = np.sort(rng.random(n)) * 2 * np.pi
        r = rng.uniform(0.7, 1.0, n)
        points = np.stack([x + w / 2 * (1 + r * np.cos(turn)), y + h / 2 * (1 + r * np.sin(turn))], 1)
        out.append(points.round(2).reshape(-1).tolist())
    return out


def _runs(rng: np.random.Generator, h: int, w: int) -> dict[str, Any]:
    ends = np.sort(rng.choice(h * w, 120, replace=False))
    return {"counts": np.diff(ends, prepend=0, append=h * w).tolist(), "size": [h, w]}


# ---------------------------------------------------------------- opening


def said_of(data: Any) -> str:
    """A hash over every column of a split."""
    t, h = data.table, hashlib.blake2b(digest_size=16)
    for column in (t.sizes, t.ids, t.image, t.boxes, t.labels, t.crowd, t.area, t.record):
        h.update(np.ascontiguousarray(column).tobytes())
    h.update("\0".join(t.files).encode())
    for seg in t.segments or ():
        h.update(b"".join(np.asarray(r, dtype=np.float64).tobytes() + b"|" for r in seg) if isinstance(seg, list)
                 else repr(seg if seg is None else sorted(seg.items())).encode())
    h.update(data.fingerprint.encode())
    return h.hexdigest()


def child(folder: str, hashed: bool) -> None:
    from stemma.data.open import open_dataset

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        start = time.process_time()
        data: Any = open_dataset(folder, "all")
        took = time.process_time() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    busy = [i for i in range(min(len(data), 400)) if len(data.truth(i).labels)][:200]
    view = data.narrow({"masks"})
    masks = []
    for i in busy:
        begin = time.process_time()
        view.truth(i)
        masks.append(1e3 * (time.process_time() - begin))
    print(json.dumps({"seconds": took, "mb": peak, "pictures": len(data), "objects": len(data.table.boxes),
                      "masks": statistics.median(masks) if masks else 0.0, "said": said_of(data) if hashed else "",
                      "warned": sorted(str(w.message) for w in caught)}))


def opened(src: Path, folder: Path, cache: Path, hashed: bool = False) -> dict[str, Any]:
    """What a process said that opened `folder` with the package at `src`."""
    env = {**os.environ, "PYTHONPATH": str(src), "OMP_NUM_THREADS": "1", "STEMMA_CACHE": str(cache)}
    words = [sys.executable, __file__, "child", str(folder), *(["--hashed"] if hashed else [])]
    found: dict[str, Any] = json.loads(subprocess.run(words, env=env, check=True, stdout=subprocess.PIPE, text=True)
                                       .stdout)
    return found


def beside(commit: str, folder: Path, rounds: int, kept: bool) -> None:
    from builds import ratio, source_of

    with contextlib.ExitStack() as stack:
        old = stack.enter_context(source_of(commit))
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        pairs = []
        for k in range(rounds + kept):  # the first of all keeps, and is none of the second openings
            room = 0 if kept else k
            was = opened(old, folder, scratch / f"old{room}", k < 1 + kept)
            now = opened(ROOT / "src", folder, scratch / f"new{room}", k < 1 + kept)
            pairs.append((was, now))
            if k < 1 + kept:
                print(f"{was['pictures']:,} pictures, {was['objects']:,} objects; the same: "
                      f"{was['said'] == now['said'] == pairs[0][0]['said']}, and the same said: "
                      f"{was['warned'] == now['warned'] == pairs[0][0]['warned']}", flush=True)
    for what, unit in (("seconds", "s"), ("mb", "MB"), ("masks", "ms a picture's masks")):
        a, b = [[p[side][what] for p in pairs[kept:]] for side in (0, 1)]
        which = "second" if kept else "first"
        print(f"{which} opening {statistics.median(a):8.2f} -> {statistics.median(b):7.2f} {unit}   "
              f"{ratio(zip(a, b, strict=True))}", flush=True)


# ---------------------------------------------------------------- the same said of spoilt folders


def told(place: Path) -> dict[str, Any]:
    """All that is said of a folder and read from it."""
    from stemma.core.samples import StemmaError
    from stemma.data import records
    from stemma.data.doctor import examine
    from stemma.data.open import open_dataset

    out: dict[str, Any] = {}

    def tried(name: str, work: Any) -> None:
        records._SAID.clear()
        with warnings.catch_warnings(record=True) as heard:
            warnings.simplefilter("always")
            try:
                out[name] = work()
            except StemmaError as e:
                out[name] = str(e)
        out[name, "warned"] = [str(w.message) for w in heard]

    def rows(split: str) -> list[Any]:
        data: Any = open_dataset(place, split)
        found = [data.info.classes.names, data.info.kinds, data.fingerprint]
        for i in range(len(data)):
            try:
                s = data.truth(i)
            except StemmaError as e:
                found.append(str(e))
                continue
            found.append([s.file, s.id, s.size, *(None if v is None else np.asarray(v).tolist() for v in (
                s.boxes, s.labels, s.crowd, s.area, s.keypoints)), *(
                    None if v is None else hashlib.blake2b(v.tobytes()).hexdigest()
                    for v in (s.masks, s.amodal, s.semantic, s.panoptic))])
        return found

    tried("doctor", lambda: examine(place, workers=1).as_dict())
    for split in ("train", "val", "test", "all"):
        tried(split, lambda split=split: rows(split))
    return {str(k): repr(v) for k, v in out.items()}


def spoilt_child(base: Path, seed: int, count: int, formats: list[str]) -> None:
    """A line of JSON a folder."""
    import shutil

    from fuzz_folders import spoilt, write
    from small_folders import FORMATS

    for number in range(count):
        f = spoilt(seed, number, formats or tuple(FORMATS))
        place = write(f, base)
        print(json.dumps(told(place)), flush=True)
        shutil.rmtree(base)


def same(commit: str, seed: int, count: int, formats: list[str]) -> int:
    """How many folders are told of otherwise."""
    from builds import source_of

    wrong = said = 0
    with source_of(commit) as old, tempfile.TemporaryDirectory() as scratch:
        words = [sys.executable, __file__, "spoilt", str(Path(scratch) / "base"), "--seed", str(seed), "--count",
                 str(count), "--formats", *formats]
        lines = []
        for src in (old, ROOT / "src"):
            env = {**os.environ, "PYTHONPATH": str(src), "OMP_NUM_THREADS": "1", "STEMMA_CACHE": f"{scratch}/cache"}
            lines.append(subprocess.run(words, env=env, check=True, stdout=subprocess.PIPE, text=True)
                         .stdout.splitlines())
    for number, (a, b) in enumerate(zip(*map(lambda x: map(json.loads, x), lines), strict=True)):
        said += sum(len(v) > 2 for v in a.values())
        for k in a:
            if a[k] != b[k]:
                at = next(i for i, (x, y) in enumerate(zip(a[k] + "\0", b[k] + "\1")) if x != y)
                print(f"folder {number}, {k}: ...{a[k][max(at - 90, 0) : at + 120]}\n    now ..."
                      f"{b[k][max(at - 90, 0) : at + 120]}")
                wrong += 1
                break
    print(f"{len(lines[0]):,} folders, {said:,} answers: {wrong} otherwise")
    return wrong


# ---------------------------------------------------------------- growth


def grown_child(folder: str, count: int) -> None:
    """Seconds of opening, milliseconds a picture of an epoch's batches by kind of truth, and megabytes after each."""
    import torch

    from stemma.core.recipe import Augment, Recipe, Resize
    from stemma.data.loader import Loader
    from stemma.data.open import open_dataset

    torch.set_num_threads(1)

    def peak() -> float:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3

    before = peak()
    start = time.process_time()
    data = open_dataset(folder, "all")
    out = {"opening s": time.process_time() - start, "opening MB": peak() - before}
    recipe = Recipe(resize=Resize("square", 128), augment=Augment(flip=0.5))
    for name, needs in {"boxes": {"boxes"}, "masks": {"boxes", "masks"}, "labels": {"boxes", "image_labels"}}.items():
        loader = Loader(data, recipe, train=True, batch=16, needs=needs)
        took = []
        for turn in range(3):
            begin, seen = time.process_time(), 0
            for batch in loader.epoch(turn):
                seen += len(batch)
                if seen >= count:
                    break
            took.append(1e3 * (time.process_time() - begin) / seen)
        out[f"{name} ms"] = statistics.median(took)
    out["reading MB"] = peak() - before - out["opening MB"]
    print(json.dumps(out))


GROWTH = {
    "pictures": [(1_000, 7, 80), (10_000, 7, 80), (100_000, 7, 80)],
    "classes": [(1_000, 7, 1), (1_000, 7, 80), (1_000, 7, 1_000), (1_000, 7, 9_000)],
    "objects a picture": [(1_000, 1, 80), (1_000, 10, 80), (1_000, 100, 80), (1_000, 500, 80)],
}


def grow(rounds: int) -> None:
    for what, cases in GROWTH.items():
        for pictures, each, classes in cases:
            with tempfile.TemporaryDirectory() as scratch:
                folder = Path(scratch) / "set"
                draw(folder, pictures, pictures * each, classes, side=128)
                env = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
                found: list[dict[str, float]] = []
                for k in range(rounds):
                    env["STEMMA_CACHE"] = f"{scratch}/{k}"  # nothing is kept from the round before
                    done = subprocess.run([sys.executable, __file__, "grown", str(folder)], check=True, env=env,
                                          stdout=subprocess.PIPE, text=True)
                    found.append(json.loads(done.stdout))
            middle = {k: statistics.median(f[k] for f in found) for k in found[0]}
            cells = (f"{v:.3g}" if k.endswith("s") else f"{v:.0f}" for k, v in middle.items())
            print(f"| {what} | {pictures:,} | {each} | {classes:,} | {' | '.join(cells)} |", flush=True)


# ---------------------------------------------------------------- parsers


def parsers(folder: Path) -> None:
    """What libraries take to parse the file alone, each in its process."""
    path = next((folder / "annotations").glob("*.json"))
    for name, code in {
        "json": "import json; d = json.loads(open(P, 'rb').read())",
        "orjson": "import orjson; d = orjson.loads(open(P, 'rb').read())",
        "msgspec, untyped": "import msgspec; d = msgspec.json.decode(open(P, 'rb').read())",
        "hotcoco": "import hotcoco; d = hotcoco.COCO(P)",
        "pycocotools": "from pycocotools.coco import COCO; d = COCO(P)",
    }.items():
        tail = ("\nimport time, resource; print(f'{time.process_time():.1f} s, "
                "{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3:,.0f} MB')")
        done = subprocess.run([sys.executable, "-c", f"import gc; gc.disable(); P = {str(path)!r}\n{code}{tail}"],
                              text=True, capture_output=True)
        print(f"{name:20} {done.stdout.strip().splitlines()[-1] if not done.returncode else 'is not here'}", flush=True)


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    jobs = p.add_subparsers(dest="job", required=True)
    made = jobs.add_parser("draw")
    made.add_argument("folder", type=Path)
    for name, count in (("pictures", 118_287), ("objects", 860_001), ("classes", 80)):
        made.add_argument(f"--{name}", type=int, default=count)
    both = jobs.add_parser("beside")
    both.add_argument("commit")
    both.add_argument("folder", type=Path)
    both.add_argument("--rounds", type=int, default=3)
    both.add_argument("--kept", action="store_true")
    jobs.add_parser("parsers").add_argument("folder", type=Path)
    jobs.add_parser("grow").add_argument("--rounds", type=int, default=3)
    some = jobs.add_parser("grown")
    some.add_argument("folder")
    some.add_argument("--count", type=int, default=320)
    for name in ("same", "spoilt"):
        job = jobs.add_parser(name)
        job.add_argument("commit" if name == "same" else "base")
        job.add_argument("--seed", type=int, default=0)
        job.add_argument("--count", type=int, default=2000)
        job.add_argument("--formats", nargs="*", default=[])
    one = jobs.add_parser("child")
    one.add_argument("folder")
    one.add_argument("--hashed", action="store_true")
    a = p.parse_args()
    if a.job == "draw":
        path = draw(a.folder, a.pictures, a.objects, a.classes)
        print(f"{path}: {path.stat().st_size / 1e6:.0f} MB")
    elif a.job == "beside":
        beside(a.commit, a.folder, a.rounds, a.kept)
    elif a.job == "parsers":
        parsers(a.folder)
    elif a.job == "same":
        raise SystemExit(min(same(a.commit, a.seed, a.count, a.formats), 100))
    elif a.job == "grow":
        grow(a.rounds)
    elif a.job == "grown":
        grown_child(a.folder, a.count)
    elif a.job == "spoilt":
        spoilt_child(Path(a.base), a.seed, a.count, a.formats)
    else:
        child(a.folder, a.hashed)


if __name__ == "__main__":
    main()
