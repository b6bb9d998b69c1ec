"""Reading pictures: any file that Pillow knows, to uint8 (H, W, 3) RGB,
or a `DataError` that names the file and the mend.

Pillow decodes everything: on JPEG it was measured equal in speed and in bits to torchvision's decoder (both are
libjpeg-turbo), and it raises where the PNG decoder of torchvision 0.29 ends the process on a damaged stream, which
no training run survives.
"""
from __future__ import annotations

import os
import re
import struct
import warnings
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache, lru_cache
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8
from PIL import Image, UnidentifiedImageError

from stemma.core.outputs import JOURNAL, predicted
from stemma.core.samples import DataError
from stemma.core.sentence import many

from .options import spelled

MAX_PIXELS = 178_956_970  # Pillow's own line beyond which a picture is taken for a decompression bomb
LARGE_PIXELS = MAX_PIXELS // 2
SUFFIXES = frozenset({  # every kind that Pillow opens by itself
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".bmp", ".dib", ".gif", ".tif", ".tiff", ".webp", ".avif",
    ".avifs", ".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx", ".ppm", ".pgm", ".pnm", ".pbm", ".pfm", ".tga", ".icb",
    ".vda", ".vst", ".pcx", ".dcx", ".dds", ".sgi", ".rgb", ".rgba", ".bw", ".qoi", ".ico", ".icns", ".cur", ".im",
    ".msp", ".xbm", ".xpm", ".psd", ".ras", ".fits", ".fit", ".blp", ".fli", ".flc", ".ftc", ".ftu", ".gbr", ".pxr",
})  # but .pcd, which is a cloud of points more often than a Photo CD
UNREAD = frozenset({".heic", ".heif", ".jxl", ".jxr", ".cr2", ".cr3", ".nef", ".arw", ".dng", ".orf", ".raf", ".rw2",
                    ".exr", ".hdr", ".svg"})  # pictures that Pillow does not open
ROOMS = frozenset({"images", "image", "imgs", "img", "pictures", "photos", "jpegimages", "annotations", "annots", "ann",
                   "labels", "masks", "mask", "maps", "gt"})  # folders of pictures and of labels within a data set
_WIDE = (  # kinds that may hold more than 8 bits
    ".png", ".apng", ".tif", ".tiff", ".pgm", ".pnm", ".ppm", ".pfm", ".jp2", ".j2k", ".jpf", ".jpx", ".fits", ".fit",
    ".im", ".sgi",
)
# Pillow's remarks on damaged metadata and on sizes, which are judged here
_REMARKS = ("ignore", None, Warning, re.compile(r"PIL\."), 0)
_PLAIN = re.compile(r"[\w-][\w.-]*(?:/[\w-][\w.-]*)*", re.ASCII)
_FEW_BITS = re.compile(r"L;([24])")  # how Pillow calls grey of fewer than 8 bits
LOOK = 64  # pictures of a set that are looked at for its scale
_ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar")
_TURNED = (5, 6, 7, 8)  # EXIF orientations that swap height and width
_BROKEN = (OSError, ValueError, SyntaxError, EOFError, IndexError, KeyError, TypeError, OverflowError, MemoryError,
           struct.error, Image.DecompressionBombError)


class Header(NamedTuple):
    """What a picture's first bytes say of it; `height` and `width` are those of the stored raster."""

    height: int
    width: int
    orientation: int = 1  # EXIF 1..8

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) as the picture is meant to be looked at."""
        return (self.width, self.height) if self.orientation in _TURNED else (self.height, self.width)


def safe_join(root: str | Path, name: str, follow_links: bool = False) -> Path:
    """The path of `name` inside `root`. Raises DataError for absolute names, `..`,
    and symbolic links that lead outside."""
    check_name(name, str(root))
    path = Path(root) / PurePosixPath(name.replace("\\", "/"))
    if not follow_links:
        base = os.path.realpath(root)
        real = os.path.realpath(path)
        if real != base and not real.startswith(base.rstrip(os.sep) + os.sep):
            raise DataError(name, f"is a link that leads outside the data folder {root}",
                            f"copy the file into the folder, or say {spelled('follow_links')}")
    return path


def is_plain(name: str) -> bool:
    """Whether nothing can be wrong with a name, and it is spelled in one way alone: as most are."""
    return len(name) <= 4096 and _PLAIN.fullmatch(name) is not None


def check_name(name: str, source: str, record: str = "", field: str = "file_name") -> None:
    """Raises DataError where a file name read from `source` is empty, absolute,
    climbs with `..` or cannot be a file name."""
    if isinstance(name, str) and is_plain(name):
        return
    bad = ""
    if not isinstance(name, str) or not name.strip():
        bad = "is not a file name"
    elif "\0" in name or len(name) > 4096:
        bad = "cannot be a file name"
    else:
        parts = name.replace("\\", "/").split("/")
        if parts[0] == "" or (len(parts[0]) == 2 and parts[0][1] == ":"):
            bad = "is an absolute path"
        elif ".." in parts:
            bad = "climbs out of the data folder"
    if bad:
        raise DataError(source, f"{str(name)[:200]!r} {bad}", "write a path relative to the data folder, without '..'",
                        record, field)


def header(path: str | Path) -> Header:
    """Height, width and orientation from the file's first bytes: no pixel is decoded. Raises DataError."""
    path = Path(path)
    try:
        with path.open("rb") as f:
            head = f.read(32)
            if head[:8] == b"\x89PNG\r\n\x1a\n" and head[12:16] == b"IHDR":
                w, h = struct.unpack(">II", head[16:24])
                # an eXIf chunk may follow; it is rare, so only its name is looked for before Pillow is asked
                if w and h and b"eXIf" not in head + f.read(4096):
                    return Header(h, w)
            elif head[:3] == b"\xff\xd8\xff":
                f.seek(0)
                found = _jpeg_header(f.read(1 << 16))
                if found is not None:
                    return found
        _quiet()
        with Image.open(path) as im:
            return Header(im.height, im.width, _orientation(im))
    except FileNotFoundError:
        raise DataError(str(path), "there is no such image", "restore the file or remove its record") from None
    except _BROKEN as e:
        raise _unreadable(path, e) from None


def pages_of(path: str | Path) -> int:
    """How many pictures a TIFF holds, as a stack of a microscope; 1 for other kinds, whose frames are an animation's,
    and for what cannot be read."""
    if os.path.splitext(path)[1].lower() not in (".tif", ".tiff"):
        return 1
    try:
        _quiet()
        with Image.open(path) as im:
            return int(getattr(im, "n_frames", 1))
    except _BROKEN:
        return 1


def is_pointer(raw: bytes) -> bool:
    """Whether these bytes are what Git LFS leaves in the place of a file that was not fetched."""
    return len(raw) < 1024 and raw.startswith(b"version ") and b"\noid sha256:" in raw


def image_size(path: str | Path) -> tuple[int, int]:
    """(height, width) of a picture after its EXIF orientation, from the header alone. Raises DataError."""
    return header(path).size


def read_image(
    path: str | Path, expect: tuple[int, int] | None = None, at_least: int | None = None, limit: int = MAX_PIXELS,
    white: float | None = None,
) -> UInt8[np.ndarray, "H W 3"]:
    """A picture as uint8 (H, W, 3) RGB: grey and palettes expanded, alpha dropped, the first frame of animations, EXIF
    orientation applied.

    Wide pixels, of more than 8 bits or floats, are scaled so that `white` becomes 255: the same for all pictures of a
    set (`white_of`), or a grey would mean another thing in every picture. None takes the pictures of its folder for the
    set. `expect` is the (height, width) that annotations declare:
    where only the stored raster has it, the orientation is not applied, because the annotator saw the raster.
    `at_least` lets a JPEG be decoded at 1/2, 1/4 or 1/8 of its size, as long as its short side stays that long. Raises
    DataError for missing, damaged, truncated and monstrous files.
    """
    path = Path(path)
    head = header(path)
    pixels = head.height * head.width
    if pixels > limit:
        raise DataError(
            str(path), f"has {head.width} x {head.height} pixels, more than the {limit:,} that are read",
            "cut it into tiles, or pass a larger limit"
        )
    if pixels > LARGE_PIXELS and at_least is None:
        warnings.warn(f"{path}: {head.width} x {head.height} pixels take {pixels * 3 / 1e6:.0f} MB; cut it into tiles "
                      "if memory is short", stacklevel=2)
    try:
        _quiet()
        with Image.open(path) as im:
            if at_least is not None and im.format == "JPEG" and min(im.size) > at_least:
                short = min(im.size)
                im.draft("RGB", (im.width * at_least // short + 1, im.height * at_least // short + 1))
            out = _rgb(im, lambda: white if white is not None else _white_beside(path))
    except FileNotFoundError:
        raise DataError(str(path), "there is no such image", "restore the file or remove its record") from None
    except _BROKEN as e:
        raise _unreadable(path, e) from None
    turn = head.orientation
    if expect is not None and head.size != expect and (head.height, head.width) == expect:
        turn = 1
    return _turn(out, turn)


def read_map(path: str | Path, limit: int = MAX_PIXELS, colours: bool = False, tones: bool = False) -> np.ndarray:
    """A map of ids as it is stored: (H, W) of uint8, uint16 or int32, palettes as their indices, or (H, W, 3) uint8 for
    colour-coded maps. `colours`: (H, W, 3) uint8 of any map, palettes as the colours that they stand for. `tones`: what
    the numbers stand for where their largest is white, 0 to 255 of any number of bits, in place of the numbers."""
    path = Path(path)
    head = header(path)
    if head.height * head.width > limit:
        raise DataError(str(path), f"has {head.width} x {head.height} pixels, more than the {limit:,} that are read",
                        "cut it into tiles")
    try:
        _quiet()
        with Image.open(path) as im:
            stretched = None if colours or tones else _stretched(im)
            plain = "RGB" if colours else {"LA": "L", "RGBA": "RGB", "CMYK": "RGB", "YCbCr": "RGB"}.get(im.mode)
            out = np.array(im if plain is None else im.convert(plain))
    except FileNotFoundError:
        raise DataError(str(path), "there is no such map", "restore the file or remove its picture") from None
    except _BROKEN as e:
        raise _unreadable(path, e) from None
    if out.dtype == bool:
        out = out.astype(np.uint8)
    if out.dtype.kind == "f" or out.ndim not in (2, 3):
        raise DataError(str(path), f"is no map of ids ({out.dtype}, {out.ndim} axes)",
                        "store ids as a grey or palette PNG of 8 or 16 bits")
    if out.dtype.byteorder == ">":
        out = out.astype(out.dtype.newbyteorder("="))
    if stretched is not None:
        least, most = stretched
        out = ((out.astype(np.int64) * least + most // 2) // most).astype(out.dtype)
    return out


def _stretched(im: Image.Image) -> tuple[int, int] | None:
    """(The largest number that a file has room for, what Pillow makes of it) of an opened picture that is not decoded
    yet; None where numbers are read as they are stored. Pillow reads grey of 2 and 4 bits and portable grey maps of
    another largest number than 255 as tones: what is not white already is stretched until it is."""
    tiles = getattr(im, "tile", None)
    codec, _, _, args, *_ = tiles[0] if tiles else ("", None, 0, "")
    told = args if isinstance(args, tuple) else (args,)
    if codec.startswith("ppm") and len(told) > 1 and isinstance(told[1], int):
        return told[1], 65535 if im.mode == "I" else 255
    bits = _FEW_BITS.match(str(told[0])) if told else None
    return (2 ** int(bits[1]) - 1, 255) if bits else None


def to_uint8(pixels: np.ndarray, white: float | None = None) -> np.ndarray:
    """Wide pixels to 8 bits: `white` becomes 255, and so does what is brighter; NaN is black.

    Where `white` is not given, it is the range of the sensor that holds the brightest pixel (`range_of`).
    """
    if pixels.dtype == np.uint8:
        return pixels
    wide = np.nan_to_num(pixels.astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    if white is None:
        white = range_of(float(wide.max(initial=0.0)), pixels.dtype.kind == "f")
    narrow: np.ndarray = np.clip(wide * (255.0 / white) + 0.5, 0, 255).astype(np.uint8)
    return narrow


def range_of(top: float, floats: bool = False) -> float:
    """The range of a sensor whose brightest pixel is `top`: 2^n - 1, n of 8 or more;
    1 for floats of which none is brighter.

    Microscopes and cameras write 10, 12 or 14 bits into files of 16, which a plain division by 257 would turn black.
    """
    if floats and top <= 1.0:
        return 1.0
    return float((1 << max(8, int(top).bit_length() + (top > int(top) and (int(top) + 1).bit_count() == 1))) - 1)


class White(NamedTuple):
    """The value that is white in all pictures of a set, the brightest that was seen, in how many wide pictures, and how
    many of these it makes black for they hold nothing as bright as half a step of grey."""

    value: float
    top: float
    looked: int
    black: int = 0


def perhaps_wide(names: Sequence[str]) -> list[str]:
    """Those of many names for which `may_be_wide` holds; most have one of few endings."""
    tails = {t for t in {n[-5:] for n in names} if may_be_wide(t)}  # no ending is longer
    return [n for n in names if n[-5:] in tails] if tails else []


def may_be_wide(name: str | Path) -> bool:
    """Whether files of this ending can hold more than 8 bits."""
    return os.fspath(name).lower().endswith(_WIDE)


def white_of(paths: Sequence[str | Path], look: int = LOOK) -> White | None:
    """One scale for the wide pictures of a set, from `look` of them, evenly spread; None where none is wide.

    Files of kinds that hold 8 bits are not opened, nor are PNGs whose header says so decoded.
    """
    able = [Path(p) for p in paths if may_be_wide(p)]
    found: list[tuple[float, bool]] = []
    for k in np.unique(np.linspace(0, len(able) - 1, min(look, len(able))).astype(int)) if able else []:
        try:
            if not _may_be_wide(able[k]):
                continue
            _quiet()
            with Image.open(able[k]) as im:
                if im.width * im.height <= MAX_PIXELS and (im.mode.startswith("I") or im.mode == "F"):
                    pixels = np.nan_to_num(np.array(im).astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0)
                    found.append((float(pixels.max(initial=0.0)), im.mode == "F"))
        except _BROKEN:
            continue  # named where it is read
    if not found:
        return None
    top = max(t for t, _ in found)
    value = range_of(top, all(f for _, f in found))
    return White(value, top, len(found), sum(0 < 255 * t < value / 2 for t, _ in found))


def packed_in(folder: str | Path) -> str:
    """What to do with the archives in a folder: "unpack images.zip: archives are not read"; "" where there is none."""
    found = walk(folder, _ARCHIVES)
    more = f" and {len(found) - 3} more" if len(found) > 3 else ""
    return f"unpack {', '.join(found[:3])}{more}: archives are not read" if found else ""


def listing(folder: str | Path, suffixes: Iterable[str] = SUFFIXES) -> list[str]:
    """Names of the files with one of `suffixes` (any case) directly in `folder`, sorted;
    empty where there is no such folder.

    Hidden files, and what Stemma predicted and wrote there, are no data.
    """
    return _data_in(folder, _by_ending(folder), frozenset(suffixes))


def subfolders(folder: str | Path) -> list[str]:
    """Names of the folders directly in `folder`, sorted, hidden ones too. Raises `OSError`."""
    return looked_into(folder).folders


def shown(folder: str | Path) -> list[str]:
    """`subfolders` that are not hidden; none where the folder cannot be looked into."""
    try:
        return [n for n in subfolders(folder) if not n.startswith(".")]
    except OSError:
        return []


def _by_ending(folder: str | Path) -> dict[str, list[str]]:
    """Names in a folder that are not hidden, by their endings in small letters."""
    try:
        return looked_into(folder).names
    except (FileNotFoundError, NotADirectoryError):
        return {}


class Inside(NamedTuple):
    """What lies directly in a folder."""

    folders: list[str]  # sorted, those behind links too
    names: dict[str, list[str]]  # of all that is not hidden, by the endings in small letters
    hidden: list[str]
    odd: set[str]  # what is no plain file: folders and links among them


def looked_into(folder: str | Path) -> Inside:
    """What lies directly in a folder; no file of it is asked for. Raises `OSError`."""
    return _LOOKED.get()(os.fspath(folder))


def _look(folder: str) -> Inside:
    found = Inside([], {}, [], set())
    with os.scandir(folder) as entries:
        for e in entries:
            name = e.name
            if not e.is_file(follow_symlinks=False):
                found.odd.add(name)
                if e.is_dir():
                    found.folders.append(name)
            if name[:1] != ".":
                dot = name.rfind(".")
                found.names.setdefault(name[dot:].lower() if dot > 0 else "", []).append(name)
            else:
                found.hidden.append(name)
    found.folders.sort()
    return found


def _data_in(folder: str | Path, of: dict[str, list[str]], wanted: frozenset[str]) -> list[str]:
    """Of the names in a folder, by their endings, the wanted ones that Stemma did not predict, sorted."""
    names = sorted(n for ending, some in of.items() if ending in wanted for n in some)
    if names and os.path.exists(os.path.join(folder, JOURNAL)):
        names = [n for n in names if not predicted(os.path.join(folder, n))]
    return names


def walk(folder: str | Path, suffixes: Iterable[str] = SUFFIXES, follow_links: bool = False) -> list[str]:
    """As `listing`, of `folder` and all its sub-folders: paths relative to it with `/` between, sorted.
    Hidden folders are none of them.

    Folders behind a link are entered with `follow_links` alone, each once.
    """
    wanted = frozenset(suffixes)
    return sorted(inner + n for at, inner, of in _WALKED.get()(os.fspath(folder), follow_links)
                  for n in _data_in(at, of, wanted))


def unread_in(folder: str | Path) -> str:
    """What is said of pictures below a folder that are of no kind that is read; "" where none are there."""
    found = walk(folder, UNREAD)
    return (f"{many(len(found), 'picture is', 'pictures are')} of a kind that is not read, the first {found[0]}: save "
            f"{'it' if len(found) == 1 else 'them'} as JPEG or PNG" if found else "")


Room = tuple[str, str, dict[str, list[str]]]


def _rooms(folder: str, follow_links: bool) -> list[Room]:
    """(path, the same below `folder` with a "/" behind it, names by their endings) of a folder and all below."""
    out: list[Room] = []
    seen: set[str] = set()
    todo = [(folder, "")]
    while todo:
        at, below = todo.pop()
        real = os.path.realpath(at) if follow_links else at
        try:
            folders, names, *_ = looked_into(at)
        except OSError:
            continue
        if real in seen:
            continue
        seen.add(real)
        inner = [(os.path.join(at, f), f"{below}{f}/") for f in folders if not f.startswith(".")]
        todo += [(path, name) for path, name in reversed(inner) if follow_links or not os.path.islink(path)]
        out.append((at, below, names))
    return out


_WALKED: ContextVar[Callable[[str, bool], list[Room]]] = ContextVar("_WALKED", default=_rooms)
_LOOKED: ContextVar[Callable[[str], Inside]] = ContextVar("_LOOKED", default=_look)


@contextmanager
def walked_once() -> Iterator[None]:
    """Within, a folder is looked into once, and `walk` goes through it once, however many kinds of files are asked for:
    what changes meanwhile is not seen."""
    if _LOOKED.get() is not _look:  # within another
        yield
        return
    with _seen_by(_look):
        yield


@contextmanager
def without(folder: Path, names: Container[str]) -> Iterator[None]:
    """Within, the folders of these names directly in `folder` are not there."""
    at = os.fspath(folder)

    def look(path: str) -> Inside:
        found = _look(path)
        return found._replace(folders=[n for n in found.folders if path != at or n not in names])

    with _seen_by(look):
        yield


@contextmanager
def _seen_by(look: Callable[[str], Inside]) -> Iterator[None]:
    tokens = _WALKED.set(cache(_rooms)), _LOOKED.set(cache(look))
    try:
        yield
    finally:
        _WALKED.reset(tokens[0])
        _LOOKED.reset(tokens[1])


def child(folder: str | Path, *names: str) -> str:
    """The first sub-folder that is called one of `names`, in this order and in any case; "" where there is none."""
    try:
        there = subfolders(folder)
    except (FileNotFoundError, NotADirectoryError):
        return ""
    for name in names:
        for found in ([name] if name in there else []) + [t for t in there if t.lower() == name.lower()]:
            return found
    return ""


def cut_to_8_bits(paths: Sequence[str | Path], look: int = LOOK) -> str:
    """What to say of colour PNGs of 16 bits a channel among `look` of `paths`, whose lower 8 bits the decoder drops;
    "" without any."""
    able = [p for p in map(Path, paths) if p.suffix.lower() in (".png", ".apng")]
    found = []
    for k in np.unique(np.linspace(0, len(able) - 1, min(look, len(able))).astype(int)) if able else []:
        try:
            with able[k].open("rb") as f:
                head = f.read(26)
        except OSError:
            continue  # named where it is read
        if head[12:16] == b"IHDR" and head[24:25] == b"\x10" and head[25:26] in (b"\x02", b"\x06"):
            found.append(able[k])
    if not found:
        return ""
    return (f"{len(found)} colour pictures, the first {found[0].name}, have 16 bits a channel, of which the upper 8 "
            "alone are read: what a camera of 10 or 12 bits wrote becomes nearly black. Write them as 8 bits, or as "
            "grey of 16")


# ---------------------------------------------------------------- inside


def _quiet() -> None:
    """Nothing is heard of Pillow's remarks from here on. Pictures are read by many threads, and what
    `warnings.catch_warnings` puts back is the whole process's: of two threads the last one would leave it silent."""
    if _REMARKS not in warnings.filters:
        warnings.filterwarnings("ignore", module=r"PIL\.")


def _may_be_wide(path: Path) -> bool:
    """False for a PNG whose header says 8 bits a sample or fewer."""
    with path.open("rb") as f:
        head = f.read(26)
    return head[:8] != b"\x89PNG\r\n\x1a\n" or head[12:16] != b"IHDR" or head[24] > 8


def _white_beside(path: Path) -> float | None:
    """The white of the pictures of a file's folder, remembered while the folder is the same."""
    folder = path.parent
    try:
        return _white_in(str(folder), os.stat(folder).st_mtime_ns)
    except OSError:
        return None


@lru_cache(maxsize=256)
def _white_in(folder: str, changed: int) -> float | None:
    found = white_of([os.path.join(folder, n) for n in listing(folder, _WIDE)])
    return None if found is None else found.value


def _unreadable(path: Path, e: BaseException) -> DataError:
    try:
        size = path.stat().st_size
    except (OSError, ValueError):  # a name that no file can have
        size = -1
    if path.is_dir():
        return DataError(str(path), "is a folder, not an image", "name a file")
    if isinstance(e, PermissionError):
        return DataError(str(path), "may not be read", "give read permission")
    if isinstance(e, MemoryError):
        return DataError(str(path), "does not fit into memory", "cut it into tiles")
    if 0 < size < 1024 and is_pointer(path.read_bytes()):
        return DataError(str(path), "is a Git LFS pointer, not the picture itself",
                         "run `git lfs pull` in its repository")
    if size == 0:
        return DataError(str(path), "is empty", "fetch the image again or remove its record")
    said = " ".join(str(e).split())[:160]
    if "truncated" in said or "Truncated" in said:
        return DataError(str(path), f"is truncated ({size:,} bytes are there)",
                         "fetch the image again or remove its record")
    if isinstance(e, UnidentifiedImageError):
        return DataError(str(path), "is not an image that can be read",
                         "convert it to JPEG or PNG, or remove its record")
    return DataError(str(path), f"is damaged ({said or type(e).__name__})",
                     "fetch the image again or remove its record")


def _orientation(im: Image.Image) -> int:
    try:
        o = im.getexif().get(0x0112, 1)
    except _BROKEN:
        return 1  # damaged metadata is no reason to refuse the pixels
    return o if isinstance(o, int) and 1 <= o <= 8 else 1


def _jpeg_header(b: bytes) -> Header | None:
    """Size and orientation of a JPEG from its first bytes; None where the frame marker lies beyond them."""
    at, orientation = 2, 1
    while at + 9 <= len(b):
        if b[at] != 0xFF:
            return None
        mark = b[at + 1]
        if mark == 0xFF:
            at += 1
            continue
        if mark == 0x01 or 0xD0 <= mark <= 0xD8:
            at += 2
            continue
        n = (b[at + 2] << 8) | b[at + 3]
        if 0xC0 <= mark <= 0xCF and mark not in (0xC4, 0xC8, 0xCC):
            h, w = struct.unpack(">HH", b[at + 5 : at + 9])
            return Header(h, w, orientation) if h and w else None
        if mark == 0xE1 and b[at + 4 : at + 10] == b"Exif\0\0":
            orientation = _exif_orientation(b[at + 10 : at + 2 + n])
        if n < 2:
            return None
        at += 2 + n
    return None


def _exif_orientation(t: bytes) -> int:
    """Tag 0x0112 of the first directory of a TIFF block; 1 where it is absent or damaged."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(t[:4])
    if order is None or len(t) < 10:
        return 1
    at = struct.unpack(order + "I", t[4:8])[0]
    if at + 2 > len(t):
        return 1
    for k in range(struct.unpack(order + "H", t[at : at + 2])[0]):
        entry = t[at + 2 + 12 * k : at + 14 + 12 * k]
        if len(entry) < 12:
            return 1
        if struct.unpack(order + "H", entry[:2])[0] == 0x0112:
            value = struct.unpack(order + "H", entry[8:10])[0]
            return value if 1 <= value <= 8 else 1
    return 1


def _rgb(im: Image.Image, white: Callable[[], float | None]) -> np.ndarray:
    mode = im.mode
    if mode == "RGB":
        return np.array(im)
    if mode.startswith("I") or mode == "F":
        grey = to_uint8(np.array(im), white())
        return np.repeat(grey[:, :, None], 3, axis=2)
    return np.array(im.convert("RGB"))


def _turn(a: np.ndarray, orientation: int) -> np.ndarray:
    """The raster turned as EXIF asks (TIFF tag 274): 2 mirrored, 3 half turn, 4 flipped, 5 transposed, 6 and 8 quarter
    turns, 7 transversed."""
    if orientation == 1:
        return a
    return np.ascontiguousarray({
        2: lambda: a[:, ::-1],
        3: lambda: a[::-1, ::-1],
        4: lambda: a[::-1],
        5: lambda: a.transpose(1, 0, 2),
        6: lambda: np.rot90(a, -1),
        7: lambda: a[::-1, ::-1].transpose(1, 0, 2),
        8: lambda: np.rot90(a, 1),
    }[orientation]())


__all__ = ["MAX_PIXELS", "SUFFIXES", "Header", "check_name", "child", "cut_to_8_bits", "header", "image_size",
           "is_pointer", "listing", "pages_of", "read_image", "read_map", "safe_join", "shown", "subfolders",
           "to_uint8", "walk", "walked_once", "without"]
