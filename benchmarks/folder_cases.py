"""Labelled folders as people have them: each case writes one input, commands run on it, and what comes out is judged.

    python benchmarks/folder_cases.py CASES                  every script NAME.py in the folder CASES
    python benchmarks/folder_cases.py CASES --only voc_spaces sixteen_bit
    python benchmarks/folder_cases.py CASES --keep /tmp/kept    leaves the inputs and outputs there

`python CASES/NAME.py FOLDER` writes an input into FOLDER. The checks below have the script's name and yield what was
seen, and whether it is right. A script without a check counts as wrong. The exit status is the number of cases that are
not right.
"""
from __future__ import annotations

import argparse
import contextlib
import functools
import hashlib
import io
import json
import subprocess
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

STOPPED = (129, 130, 143)  # what a command answers to SIGHUP, Ctrl-C and SIGTERM
Seen = Iterator[tuple[str, bool]]
CHECKS: dict[str, Callable[[Case], Seen]] = {}


def check(function: Callable[[Case], Seen]) -> Callable[[Case], Seen]:
    """Holds the outcome of the case that the function is named like."""
    CHECKS[function.__name__] = function
    return function


@dataclass(frozen=True)
class Said:
    """What a command said. `code`: 0 well, 1 faults were found, 2 the user is told what to do;
    70 stands for a traceback."""

    code: int
    out: str
    err: str

    @property
    def all(self) -> str:
        return " ".join((self.out + " " + self.err).split())

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    def __str__(self) -> str:
        return f"status {self.code}: {self.all[:160]}"


def stemma(*words: object) -> Said:
    """The command line, in this process."""
    from stemma.cli import main
    from stemma.data import records

    out, err, code = io.StringIO(), io.StringIO(), 0
    records._SAID.clear()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), warnings.catch_warnings():
        warnings.simplefilter("always")
        try:
            main([str(w) for w in words])
        except SystemExit as done:
            code = int(done.code or 0)
        except BaseException:
            traceback.print_exc()
            code = 70
    if code in STOPPED:
        raise KeyboardInterrupt  # the whole was to end, and no case is wrong for it
    return Said(code, out.getvalue(), err.getvalue())


@functools.cache
def made() -> Path:
    """A folder for what all cases share."""
    return Path(tempfile.mkdtemp(prefix="stemma-cases-"))


@functools.cache
def tiny(paper: str = "retinanet") -> Path:
    """A run of two steps on drawn scenes: what it finds is of no account here."""
    run = made() / paper
    said = stemma("train", paper, "--data", "scenes:64:16", "--budget", "2steps", "--batch", 2, "--set",
                  "recipe.resize.size=64", "--out", run)
    assert said.code == 0, said.err
    return run


def tree(folder: Path) -> dict[str, str]:
    """Every file below a folder, with the hash of its bytes."""
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest()
            for p in sorted(folder.rglob("*")) if p.is_file()}


@dataclass(frozen=True)
class Case:
    """One input: `at` is where its script wrote it, `free` an empty folder beside it for results."""

    name: str
    at: Path
    free: Path

    def open(self, split: str = "all", where: str = ".", **options: Any) -> Any:
        """The data set, or the error that is told."""
        from stemma.data.open import open_dataset

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return open_dataset(self.at / where, split, **options)

    def counts(self, split: str = "all", where: str = ".", **options: Any) -> tuple[int, int]:
        """Pictures that can be read, and objects."""
        data = self.open(split, where, **options)
        samples = [data[i] for i in range(len(data))]
        return len(samples), sum(len(s.labels) for s in samples)

    def doctor(self, where: str = ".", *more: object) -> dict[str, Any]:
        """The doctor's report. Raises AssertionError where it gives none."""
        said = stemma("doctor", self.at / where, "--json", *more)
        assert said.code in (0, 1), said
        found: dict[str, Any] = said.json
        return found

    def holds(self, pictures: int, objects: int, split: str = "all", where: str = ".",
              **options: Any) -> tuple[str, bool]:
        """Whether a split has so many pictures, all of which can be read, and objects."""
        found = self.counts(split, where, **options)
        return f"{found[0]} pictures, {found[1]} objects", found == (pictures, objects)

    def learns(self, *more: object, data: str = ".") -> Said:
        """A training of two steps on the data."""
        return stemma("train", "retinanet", "--data", self.at / data, "--budget", "2steps", "--batch", 2, "--set",
                      "recipe.resize.size=64", "--val-every", 0, "--out", self.free / "run", *more)


def boxes_fit(data: Any) -> bool:
    """Whether every box is where the scripts drew a coloured object on a grey ground, to the pixel.

    A JPEG carries colour over an odd edge by one pixel, and never back over an edge.
    """
    for i in range(len(data)):
        s = data[i]
        if not len(s.boxes):
            return False
        pixels = s.image.astype(int)
        coloured = pixels.max(-1) - pixels.min(-1) > 60
        for x1, y1, x2, y2 in np.round(s.boxes).astype(int):
            left, top = max(x1 - 4, 0), max(y1 - 4, 0)
            ys, xs = np.nonzero(coloured[top : y2 + 4, left : x2 + 4])
            if not len(ys):
                return False
            out = [x1 - xs.min() - left, y1 - ys.min() - top, xs.max() + 1 + left - x2, ys.max() + 1 + top - y2]
            if min(out) < 0 or max(out) > 1:
                return False
    return True


# ---------------------------------------------------------------- outputs, keys, scales, names, truth values, classes


@check
def predict_folder(c: Case) -> Seen:
    photos, out = c.at / "photos", c.at / "drawn"
    before = tree(photos)
    said = stemma("predict", tiny(), photos, "--out", photos, "--device", "cpu")
    yield ("onto the photos: refused" if said.code == 2 else str(said),
           said.code == 2 and tree(photos) == before and "--out" in said.err)
    first = stemma("predict", tiny(), photos, "--out", out, "--device", "cpu")
    names = [i["file_name"] for i in json.loads((out / "predictions.json").read_text())["images"]]
    yield f"predicted {', '.join(names)}", sorted(names) == ["a.jpg", "b.avif", "c.jp2", "d.JPE", "sub/a.jpg"]
    yield "left out is said", all(x in first.err for x in (".heic", ".txt", ".mp4")) and tree(photos) == before
    stemma("predict", tiny(), c.at, "--out", out, "--device", "cpu")
    again = [i["file_name"] for i in json.loads((out / "predictions.json").read_text())["images"]]
    yield f"the second run takes {len(again)}", sorted(again) == sorted(f"photos/{n}" for n in names)


@check
def voc_filename(c: Case) -> Seen:
    yield c.holds(12, 24)
    yield "no fault", not c.doctor()["faults"]


@check
def voc_spaces(c: Case) -> Seen:
    yield c.holds(12, 24, "train")
    yield c.holds(4, 8, "val")


@check
def voc_upper_xml(c: Case) -> Seen:
    yield c.holds(12, 24)
    yield "no fault", not c.doctor()["faults"]


@check
def cvat_voc_subfolders(c: Case) -> Seen:
    yield c.holds(12, 24)
    data = c.open()
    one, two = ({Path(s.file).parent.name: s.boxes.tolist() for s in map(data.truth, range(len(data)))
                 if Path(s.file).stem == "0001"}[cam] for cam in ("camA", "camB"))
    yield "camA/0001 and camB/0001 have their own boxes", one != two and boxes_fit(data)


@check
def voc_zero_based(c: Case) -> Seen:
    data = c.open()
    yield "corners are where the objects are", boxes_fit(data)
    yield "it is said", any("count from 0" in n for n in c.doctor()["notes"])


@check
def coco_backslash(c: Case) -> Seen:
    yield c.holds(12, 24)
    yield "no fault", not c.doctor()["faults"]
    said = c.learns()
    yield "it trains" if said.code == 0 else str(said), said.code == 0


@check
def coco_foreign_paths(c: Case) -> Seen:
    yield c.holds(12, 24)
    report = c.doctor()
    yield "one note, no fault", not report["faults"] and sum("lead nowhere" in n for n in report["notes"]) == 1


@check
def panoptic_same_names(c: Case) -> Seen:
    data = c.open()
    right = len(data) == 12
    for i in range(len(data)):
        s = data[i]
        (x1, y1, x2, y2), = s.boxes.astype(int)
        names = data.info.semantic.names
        right &= names[s.semantic[y1 + 1, x1 + 1]] == "car" and names[s.semantic[-1, -1]] == "road"
        right &= bool(s.masks[0].sum() == (x2 - x1) * (y2 - y1))
    yield "each picture has its own segments", right


@check
def results_without_area(c: Case) -> Seen:
    from stemma.metrics.coco import evaluate_files

    for words in ("", "_words"):
        found = evaluate_files(c.at / f"truth{words}.json", c.at / f"results{words}.json").numbers()
        yield ("ids as words: " if words else "") + "AP 1 in all and of each size", all(
            abs(found[k] - 1) < 1e-9 for k in ("AP", "AP_small", "AP_medium"))


@check
def keypoints_unnamed(c: Case) -> Seen:
    data = c.open()
    shapes = {data.truth(i).keypoints.shape for i in range(len(data)) if data.truth(i).keypoints is not None}
    yield f"keypoints {sorted(shapes)}", shapes == {(2, 3, 3)}
    yield "it is said", any("24 annotations have 3 keypoints that no category names" in n for n in c.doctor()["notes"])


@check
def cvat_all_crowd(c: Case) -> Seen:
    kinds = c.doctor()["fault_counts"]
    yield f"faults: {kinds}", "all crowd" in kinds
    said = c.learns()
    yield "training refuses" if said.code == 2 else str(said), said.code == 2 and "crowd" in said.err


@check
def bbox_against_polygon(c: Case) -> Seen:
    faults = [f for f in c.doctor()["faults"] if f["kind"] == "box beside mask"]
    data = c.open()
    beside = sum(int((np.abs(np.array([m.any(0).argmax(), m.any(1).argmax()]) - b[:2]) > 2).any())
                 for s in (data[i] for i in range(len(data))) for m, b in zip(s.masks, s.boxes))
    yield f"{len(faults)} named, {beside} boxes beside their masks", len(faults) > 0 and beside == 0
    said = c.learns()
    yield "training says so", "box beside mask" in said.err


@check
def yaml_on_off(c: Case) -> Seen:
    for where, want in (("lamps", ("off", "on")), ("numbers", ("01", "02"))):
        names = c.open("train", where).info.classes.names
        yield f"classes {', '.join(names)}", names == want


@check
def sixteen_bit(c: Case) -> Seen:
    from stemma.data.images import read_image

    data = c.open()
    greys = set()
    for i in range(len(data)):
        s = data[i]
        x1, y1, x2, y2 = s.boxes[0].astype(int)
        greys |= set(np.unique(s.image[y1:y2, x1:x2]).tolist())
    yield f"greys of the object: {sorted(greys)}", max(greys) - min(greys) <= 1 and min(greys) > 30
    pair = [read_image(c.at / f"images/0{k}.png") for k in (0, 1)]
    yield "a picture alone too", abs(int(pair[0].max()) - int(np.median(pair[1][pair[1] > pair[1].min()]))) <= 1
    yield "it is said", any("is white in all of them" in n for n in c.doctor()["notes"])
    said = c.learns()
    kept = json.loads((c.free / "run/run.json").read_text())["data"]["white"] if said.code == 0 else None
    yield f"run.json keeps {kept}", kept == data.info.white


@check
def evaluate_other_order(c: Case) -> Seen:
    run = c.free / "run"
    said = stemma("train", "retinanet", "--data", c.at / "mine", "--budget", "150steps", "--batch", 4, "--val-every", 0,
                  "--set", "recipe.resize.size=96", "--out", run, "--device", "cpu")
    assert said.code == 0, said
    mine, theirs = (stemma("evaluate", run, "--data", c.at / d, "--device", "cpu", "--json")
                    for d in ("mine", "theirs"))
    assert theirs.code == 0, theirs
    rows = [{k: said.json["per_class"][k]["AP"] for k in ("bolt", "nut")} for said in (mine, theirs)]
    same = all(abs(rows[0][k] - rows[1][k]) < 1e-9 for k in rows[0])
    yield f"AP {rows[0]} and {rows[1]}", same and min(rows[0].values()) > 0
    yield "the foreign class is named", "washer" in theirs.err


@check
def own_world(c: Case) -> Seen:
    for name in ("my_world:Catch-v0", "CartPole-v1"):
        run = c.free / name.partition(":")[0]
        with contextlib.chdir(c.at):
            said = stemma("train", "planet", "--env", name, "--budget", "6steps", "--device", "cpu", "--out", run)
        yield f"{name}: lived in" if said.code == 0 else str(said), said.code == 0


# ---------------------------------------------------------------- nothing lost, mends that can be typed, exports


def whole(c: Case, classes: tuple[str, ...] = ("bolt", "nut")) -> Seen:
    """All 12 pictures and 24 objects of undivided data, read without an option."""
    yield c.holds(12, 24)
    names = tuple(c.doctor()["classes"])
    yield f"classes {', '.join(names)}", names == classes


@check
def yolo_bom(c: Case) -> Seen:
    yield from whole(c)


@check
def labelimg_flat(c: Case) -> Seen:
    yield from whole(c)


@check
def label_studio_yolo(c: Case) -> Seen:
    yield from whole(c)


@check
def cvat_yolo11(c: Case) -> Seen:
    yield from whole(c)
    unused = c.doctor()["unused"]
    yield f"not used: {unused}", not any(unused.values())


@check
def yolo_confidence(c: Case) -> Seen:
    yield c.holds(12, 24, "train")
    notes = [n for n in c.doctor()["notes"] if "sixth number" in n]
    yield f"said {len(notes)} times", len(notes) == 1


@check
def yolo_mixed_rows(c: Case) -> Seen:
    yield c.holds(12, 24, "train")
    bare = c.doctor()["fault_counts"].get("no mask", 0)
    yield f"{bare} without a mask are named", bare == 12  # of the files that train and val both are, each once
    yield "training says so", "no mask" in c.learns().err


@check
def yolo_nested(c: Case) -> Seen:
    yield c.holds(12, 24, "train")
    yield c.holds(4, 8, "val")


@check
def capital_folders(c: Case) -> Seen:
    yield c.holds(12, 24, "train")
    yield c.holds(4, 8, "val")


@check
def yaml_elsewhere(c: Case) -> Seen:
    yield c.holds(12, 24, "train", "configs/parts.yaml")
    yield c.holds(4, 8, "val", "configs/parts.yaml")


@check
def symlinked_images(c: Case) -> Seen:
    said = stemma("doctor", c.at / "data")
    yield "the error names --follow-links", said.code == 1 and "--follow-links" in said.all
    yield c.holds(12, 24, "all", "data", follow_links=True)
    found = stemma("doctor", c.at / "data", "--follow-links")
    yield f"with it: status {found.code}", found.code == 0


@check
def symlinked_yolo(c: Case) -> Seen:
    said = stemma("doctor", c.at / "data")
    yield "the error names --follow-links", said.code == 1 and "--follow-links" in said.all
    yield c.holds(12, 24, "train", "data", follow_links=True)
    learned = c.learns("--follow-links", data="data")
    yield f"training with it: status {learned.code}", learned.code == 0


@check
def lfs_pointers(c: Case) -> Seen:
    report = c.doctor()
    named = [f for f in report["faults"] if "Git LFS pointer" in f["problem"]]
    yield f"{len(named)} pointers are named", len(named) == 12 and report["status"] == 1


def painted(c: Case, split: str = "all") -> tuple[set[str], bool]:
    """The class names of semantic data, and whether each picture's map has its classes where its colours are."""
    data = c.open(split)
    names, right = data.info.semantic.names, len(data) > 0
    for i in range(len(data)):
        s = data[i]
        vivid = s.image.max(2).astype(int) - s.image.min(2)  # objects are red or blue, the rest is grey
        right &= bool(vivid[s.semantic == 1].mean() > 100 and vivid[s.semantic == 0].mean() < 40)
    return set(names), right


@check
def jpg_masks(c: Case) -> Seen:
    names, right = painted(c)
    yield f"{sorted(names)}", names == {"background", "foreground"} and right
    yield "it is said", any("cut at 128" in n for n in c.doctor()["notes"])


@check
def soft_masks(c: Case) -> Seen:
    names, right = painted(c)
    yield f"{sorted(names)}", names == {"background", "foreground"} and right
    yield "it is said", any("lie between 0 and 255" in n for n in c.doctor()["notes"])


@check
def rgb_binary_masks(c: Case) -> Seen:
    names, right = painted(c)
    yield f"{sorted(names)}", names == {"background", "foreground"} and right


@check
def cvat_segmentation_mask(c: Case) -> Seen:
    data = c.open()
    names = data.info.semantic.names
    yield f"{names}", names == ("background", "bolt", "nut") and len(data) == 12
    said = stemma("train", "u-net", "--data", c.at, "--budget", "2steps", "--batch", 2, "--val-every", 0, "--out",
                  c.free / "run")
    yield "U-Net trains" if said.code == 0 else str(said), said.code == 0


@check
def roboflow_png_masks(c: Case) -> Seen:
    sizes = {s: len(c.open(s)) for s in ("train", "val")}
    names = c.open("train").info.semantic.names
    yield f"{names}, {sizes}", names == ("background", "bolt", "nut") and sizes == {"train": 12, "val": 4}


@check
def roboflow_root_row(c: Case) -> Seen:
    names = {s: c.open(s).info.classes.names for s in ("train", "val", "test")}
    yield f"{names['train']}", set(names.values()) == {("bolt", "nut")}
    yield c.holds(12, 24, "train")
    yield "it is said", any("left out of the classes" in n for n in c.doctor()["notes"])


# ---------------------------------------------------------------- the table


def main() -> int:
    """Run the cases and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cases", type=Path)
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--keep", type=Path)
    args = parser.parse_args()
    scripts = sorted(p for p in args.cases.glob("*.py") if not args.only or p.stem in args.only)
    if not scripts:
        parser.error(f"no case in {args.cases}")
    cases = {p.stem: (partial(written_by, p), CHECKS.get(p.stem, _no_check)) for p in scripts}
    return table(cases, args.keep or made())


def written_by(script: Path, at: Path) -> None:
    """A script's input."""
    done = subprocess.run([sys.executable, str(script), str(at)], capture_output=True, text=True)
    if done.returncode:
        raise OSError(f"not written: {done.stderr[-200:]}")


def _no_check(c: Case) -> Seen:
    yield "no check", False


def table(cases: Mapping[str, tuple[Callable[[Path], None], Callable[[Case], Seen]]], base: Path) -> int:
    """Writes each case below `base`, judges it and prints its row; the number that is not right."""
    wrong = 0
    for name, (writer, rule) in cases.items():
        at, free = base / name / "input", base / name / "output"
        at.mkdir(parents=True, exist_ok=True)
        free.mkdir(parents=True, exist_ok=True)
        seen: list[tuple[str, bool]] = []
        try:
            writer(at)
            seen += rule(Case(name, at, free))
        except Exception as error:
            seen.append((f"{type(error).__name__}: {' '.join(str(error).split())[:300]}", False))
        right = all(ok for _, ok in seen) and bool(seen)
        wrong += not right
        said = "; ".join(text if ok else f"[WRONG] {text}" for text, ok in seen)
        print(f"{name:24} {'right' if right else 'WRONG':6} {said}", flush=True)
    print(f"{len(cases) - wrong} of {len(cases)} right")
    return wrong


if __name__ == "__main__":
    np.seterr(all="ignore")
    sys.exit(min(main(), 100))
