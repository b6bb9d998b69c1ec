"""A name that somebody typed, among those that there are."""
from __future__ import annotations

import difflib
from collections.abc import Collection
from typing import Any

from .samples import StemmaError


class NoPaper(StemmaError):
    """A name that no paper has; `near`: those that are like it."""

    def __init__(self, name: str, near: list[str]) -> None:
        hint = f"did you mean {' or '.join(near)}?" if near else "`stemma list` shows them all"
        super().__init__(f"no paper named '{name}'; {hint}")
        self.near = near


def paper_key(name: str, known: Collection[str]) -> str:
    """The one of `known`, papers by the names of their files, that `name` means: hyphens, underscores and case do not
    matter. Raises `NoPaper` with the nearest names where there is none."""
    key = name.strip().lower().replace("-", "_")
    if key in known:
        return key
    squeezed = {k.replace("_", ""): k for k in known}
    if key.replace("_", "") in squeezed:
        return squeezed[key.replace("_", "")]
    raise NoPaper(name, [n.replace("_", "-") for n in difflib.get_close_matches(key, known, 3, 0.5)])


def preset_of(card: Any, name: str) -> str:
    """A preset's name as a paper's card writes it. Raises `StemmaError` where the card has none of that name."""
    preset = name.replace("_", "-")
    if preset not in card.presets:
        raise StemmaError(f"{card.cli_name} has no preset '{name}'; it has: {', '.join(card.presets)}")
    return preset


__all__ = ["NoPaper", "paper_key", "preset_of"]
