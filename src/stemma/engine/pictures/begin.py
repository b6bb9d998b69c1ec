"""How a training on new pictures begins: at which size, and whether they may be turned, chosen from the training split.

The presets for two cores were made on drawn scenes of 128 pixels, which have no upright. On other pictures the size and
the turning follow the data (`data.look`), in one line that says why, unless a setting says otherwise; published presets
stay as published. What is chosen becomes settings ("size", "upright") of the run, and of all systems of a comparison.
"""
from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ...core.paper import Paper
from ...core.part import diff
from ...core.types import Dataset, Info, StemmaError
from ...data.look import look
from ..running import checkpoint
from .advice import Begin, of

SIZED, TURNED = ("size", "recipe.resize.size"), ("upright", "recipe.augment.vertical", "recipe.augment.quarter")


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


__all__ = ["Wish", "choose", "for_two_cores", "kept", "left_behind", "settings", "settled"]
