"""Weights files that say in words whose they are: safetensors with the metadata network="timm NAME(SETTINGS), ...",
input="224 px, mean = std = 0.5, RGB" and top1="70.9 by ..."."""
from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open

from ...core.types import StemmaError


@dataclass(frozen=True)
class Worded:
    """What a file says of its network: the library it is of, its name there, what its builder is told besides (as
    keyword arguments are written), how pictures are shown to it, and its accuracy."""

    kind: str
    name: str
    how: str
    input: str
    top1: str


def metadata(path: Path) -> dict[str, str]:
    """What stands in the head of a safetensors file, {} of any other. Raises `StemmaError` for one that is cut."""
    if path.suffix != ".safetensors":
        return {}
    try:
        with safe_open(path, framework="pt") as f:
            return dict(f.metadata() or {})
    except (SafetensorError, OSError) as error:
        raise StemmaError(f"{path} is not a whole safetensors file ({error})") from error


def worded(path: Path) -> Worded | None:
    """What a file says; None where it says nothing of its network. Raises `StemmaError` as `metadata`."""
    meta = metadata(path)
    said = re.match(r"(timm|torchvision) (\w+)(?:\((.*)\))?", meta.get("network", ""))
    return Worded(said[1], said[2], said[3] or "", meta.get("input", ""), meta.get("top1", "")) if said else None


__all__ = ["Worded", "metadata", "worded"]
