"""A name that somebody typed, among those that there are."""
from __future__ import annotations

import difflib
from collections.abc import Collection

from .samples import StemmaError


def paper_key(name: str, known: Collection[str]) -> str:
    """The one of `known`, papers by the names of their files, that `name` means: hyphens, underscores and case do not
    matter. Raises `StemmaError` with the nearest names where there is none."""
    key = name.strip().lower().replace("-", "_")
    if key in known:
        return key
    squeezed = {k.replace("_", ""): k for k in known}
    if key.replace("_", "") in squeezed:
        return squeezed[key.replace("_", "")]
    near = difflib.get_close_matches(key, known, 3, 0.5)
    hint = (f"did you mean {' or '.join(n.replace('_', '-') for n in near)}?" if near
            else "`stemma list` shows them all")
    raise StemmaError(f"no paper named '{name}'; {hint}")


__all__ = ["paper_key"]
