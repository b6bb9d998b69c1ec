"""Pictures to be mended: blurred by a motion, noisy or under a watermark, and as they should be; asked for as
InstructDiffusion asks (its sec. 3.1).

restored:DATA   the pictures of any data that `data.open` reads, or of any folder (`photos`), spoiled here, in each of
                three ways
SPLIT/...       folders of spoiled and sound pictures as InstructDiffusion's release reads them (dataset/low_level), by
                what they are called: input and target (GoPro), blur and sharp (REDS, and GoPro as it is published),
                input and gt (SIDD), Watermarked_image and Watermark_free_image (CLWD). Partners have one name, but for
                NOISY and GT in it

In training a picture is cut to a square by chance, in words, and spoiled, by chance, at each of its versions; else it
has one. A folder without a split val (test) holds every twentieth of train out for it, from the first (eleventh) on.
"""
from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ...core.samples import DataError, Info
from ..files import SPLITS
from ..images import listing, read_image, shown, walk
from ..records import Fault
from .folders import MISSING, Entry, Folder
from .pairs import RESTORED, VISITS, Pair, info_of, same_size, square

VERSION = 1
WORDS: dict[str, tuple[str, ...]] = {
    "deblur": ("make the picture sharp", "remove the blur from the picture", "undo the motion of the camera",
               "sharpen what is blurred here", "bring this picture into focus", "deblur the picture",
               "restore the edges that the motion smeared", "give me the sharp version of this photo",
               "the picture is blurred: mend it", "take the motion blur away"),
    "denoise": ("remove the noise from the picture", "denoise the picture", "make the picture clean",
                "take the grain out of this photo", "smooth away the sensor's noise", "clean this noisy picture up",
                "the picture is noisy: mend it", "give me this photo without its noise",
                "remove the speckles and keep the details", "restore the picture under the noise"),
    "watermark": ("remove the watermark", "take the watermark off the picture", "erase the mark over the picture",
                  "restore what the watermark covers", "give me this photo without the watermark",
                  "clear the picture of its watermark", "there is a watermark: take it away",
                  "remove the text that was laid over the photo", "wipe the watermark off",
                  "show the picture as it was before it was marked"),
}
MARKS = ("sample", "preview", "(c) photo", "draft", "copyright", "stock")
MOTION, SHOT, READ, OPACITY = (0.06, 0.14), (0.002, 0.02), (0.01, 0.05), (0.3, 0.6)
LAYOUTS: tuple[tuple[str, str, str, int], ...] = (  # spoiled, sound, what is asked for, pixels of a cut (0: all)
    ("Watermarked_image", "Watermark_free_image", "watermark", 0), ("input", "target", "deblur", 0),
    ("input", "gt", "denoise", 256), ("blur", "sharp", "deblur", 0))
FEW = 48  # colours of a map of classes, at most
HELD = 20  # every so manieth of train, where a split is missing
_STREAM = {"train": 61, "val": 62, "test": 63}


def blurred(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Moved along a line by 6 to 14 % of the shorter side while it was taken; float [3, H, W]."""
    from scipy.signal import fftconvolve

    length, angle = max(rng.uniform(*MOTION) * min(picture.shape[1:]), 2.0), rng.uniform(0, math.pi)
    half = math.ceil(length / 2)
    kernel = np.zeros((2 * half + 1,) * 2, np.float64)
    for s in np.linspace(-length / 2, length / 2, 8 * half + 1):  # bilinear: a point between four cells
        x, y = half + s * math.cos(angle), half + s * math.sin(angle)
        i, j = min(int(y), 2 * half - 1), min(int(x), 2 * half - 1)
        for di, dj in ((0, 0), (0, 1), (1, 0), (1, 1)):
            kernel[i + di, j + dj] += (1 - abs(y - i - di)) * (1 - abs(x - j - dj))
    wide = np.pad(picture, ((0, 0), (half, half), (half, half)), mode="edge")
    return np.asarray(fftconvolve(wide, (kernel / kernel.sum())[None], mode="valid", axes=(1, 2)))


def noisy(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """With a sensor's noise, whose variance grows with the light: shot * x + read^2."""
    variance = rng.uniform(*SHOT) * picture + rng.uniform(*READ) ** 2
    return np.asarray(picture + rng.normal(size=picture.shape) * np.sqrt(variance))


def watermarked(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Under a word in white or black, 30 to 60 % opaque, turned and somewhere near the middle."""
    h, w = picture.shape[1:]
    side, word = min(h, w), MARKS[int(rng.integers(len(MARKS)))]
    font = ImageFont.load_default(max(side * float(rng.uniform(0.16, 0.3)), 5.0))
    layer = Image.new("L", (w, h), 0)
    across, down = rng.uniform(0.3, 0.7, 2)
    at = (float(across) * w, float(down) * h)
    ImageDraw.Draw(layer).text(at, word, 255, font, anchor="mm")
    layer = layer.rotate(float(rng.uniform(-40, 40)), Image.Resampling.BILINEAR, center=at)
    cover = np.asarray(layer, np.float64) / 255 * rng.uniform(*OPACITY)
    return np.asarray(picture + cover * (float(rng.integers(2)) - picture))


SPOIL: dict[str, Callable[[np.ndarray, np.random.Generator], np.ndarray]] = {
    "deblur": blurred, "denoise": noisy, "watermark": watermarked}


def spoiled(picture: np.ndarray, kind: str, rng: np.random.Generator) -> np.ndarray:
    """A picture, uint8 (H, W, 3), as one from which `kind`, of `RESTORED`, should be taken away; uint8."""
    x = SPOIL[kind](picture.transpose(2, 0, 1).astype(np.float64) / 255, rng)
    return np.ascontiguousarray(np.rint(x.clip(0, 1) * 255).astype(np.uint8).transpose(1, 2, 0))


def is_restored(where: object) -> bool:
    """Whether `where` asks for pictures of other data to be spoiled and mended."""
    return isinstance(where, str) and where.startswith("restored:")


class Restored:
    """A split of pictures that are spoiled here: each in three ways."""

    def __init__(self, data: Any, split: str, seed: int = 0) -> None:
        self.data, self.split, self.seed = data, split, seed
        self.info: Info = info_of(data.info.name, "restored", RESTORED)

    @property
    def fingerprint(self) -> str:
        said = repr((VERSION, self.data.fingerprint, self.split, self.seed))
        return hashlib.blake2b(said.encode(), digest_size=16).hexdigest()

    def __len__(self) -> int:
        return len(RESTORED) * len(self.data)

    def kind(self, i: int) -> str:
        return RESTORED[i % len(RESTORED)]

    def versions(self, i: int) -> int:
        return VISITS if self.split == "train" else 1

    def pair(self, i: int, version: int = 0) -> Pair:
        rng = np.random.default_rng([self.seed, _STREAM.get(self.split, 64), i, version])
        sample, kind = self.data[i // len(RESTORED)], self.kind(i)
        picture = np.asarray(sample.image)
        after = np.ascontiguousarray(picture[square(picture.shape[:2], rng if self.split == "train" else None)])
        said = WORDS[kind][int(rng.integers(len(WORDS[kind])))]
        return Pair(spoiled(after, kind, rng), after, said, kind, file=sample.file)


@dataclass
class Spoiled(Folder):
    """A split of a published folder of spoiled and sound pictures."""

    cut: int = 0  # pixels of the square that is cut out; 0: of the shorter side

    def pair(self, i: int, version: int = 0) -> Pair:
        """Raises `DataError` for pictures that are missing, damaged or of two sizes."""
        whole = same_size(super().pair(i))
        rng = np.random.default_rng([_STREAM[self.split], i, version])
        at = square(whole.before.shape[:2], rng if self.split == "train" else None, self.cut)
        before, after = (np.ascontiguousarray(p[at]) for p in (whole.before, whole.after))
        return replace(whole, before=before, after=after, kind=self.task,
                       instruction=WORDS[self.task][int(rng.integers(len(WORDS[self.task])))])


def layout_at(path: Path) -> tuple[str, str, str, int] | None:
    """Which of `LAYOUTS` a folder has: by the folders in its first split, or one below that."""
    for split in SPLITS:
        below = shown(path / split)
        within = [(path / split, below), *((path / split / n, shown(path / split / n)) for n in below[:1])]
        for names in LAYOUTS:
            for at, there in within:
                if {names[0], names[1]} <= set(there) and _photos(at / names[1]):
                    return names
    return None


def _photos(folder: Path) -> bool:
    """Whether the first picture of a folder, or of the first folder in it, is none of a few colours or greys, as maps
    of classes are."""
    for at in (folder, *(folder / n for n in shown(folder)[:1])):
        for name in listing(at)[:1]:
            try:
                picture = read_image(at / name)
            except DataError:
                return True
            return len(np.unique(picture.reshape(-1, 3)[:: max(picture.size // 300_000, 1)], axis=0)) > FEW
    return False


def splits_at(path: Path) -> tuple[str, ...]:
    """All three where there is one to train on; else those that are there."""
    there = tuple(s for s in SPLITS if (path / s).is_dir())
    return tuple(SPLITS) if "train" in there else there


def open_spoiled(path: Path, split: str, follow_links: bool = False) -> Spoiled:
    """A split with all its entries, sound or not. Raises `DataError` where there is none."""
    names = layout_at(path)
    assert names is not None
    at = split if (path / split).is_dir() else "train"
    files = walk(path / at, follow_links=follow_links)
    before, after = ([f for f in files if name in PurePosixPath(f).parts[:-1]] for name in names[:2])
    paired = {_key(f, names[1]): f for f in after}
    entries, faults = [], []
    for n, f in enumerate(before):
        partner = paired.pop(_key(f, names[0]), None)
        if partner is None:
            said = str(_at(PurePosixPath(f), names[0], names[1]))
            faults.append(Fault(str(path / at / f), f"picture {n}", "", f"has no partner {at}/{said}",
                                "bring it, or take the picture out; training leaves it out", True, MISSING))
            continue
        entries.append(Entry(WORDS[names[2]][0], ((f"{at}/{f}", f"{at}/{partner}"),), f"{at}/{f}:{n}"))
    faults += [Fault(str(path / at / f), "", "", f"has no partner in {names[0]}",
                     "bring it, or take the picture out; training leaves it out", True, MISSING)
               for f in paired.values()]
    held = {s: e for s, e in (("val", 0), ("test", HELD // 2)) if not (path / s).is_dir()}
    own = [e for n, e in enumerate(entries) if (n % HELD == held.get(split) if at != split else at != "train" or
                                                n % HELD not in held.values())]
    digest = hashlib.sha256(repr((VERSION, split, names, files)).encode()).hexdigest()
    return Spoiled(path, "restoration", split, own, digest, follow_links, faults if at == split else [],
                   task=names[2], visits=VISITS, cut=names[3])


def _key(file: str, folder: str) -> str:
    """What two partners share: where they are, less the folder of their kind, and their name less its kind."""
    at = _at(PurePosixPath(file), folder, "")
    stem = at.stem.upper().replace("NOISY", "GT") if at.stem else ""
    return str(at.with_name(stem))


def _at(file: PurePosixPath, folder: str, other: str) -> PurePosixPath:
    """The path with the last folder of that name as another."""
    parts = list(file.parts)
    k = max(i for i, p in enumerate(parts[:-1]) if p == folder)
    return PurePosixPath(*parts[:k], *([other] if other else []), *parts[k + 1 :])


__all__ = ["LAYOUTS", "WORDS", "Restored", "Spoiled", "blurred", "is_restored", "layout_at", "noisy", "open_spoiled",
           "splits_at", "spoiled", "watermarked"]
