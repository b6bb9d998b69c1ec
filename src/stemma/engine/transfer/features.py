"""What a network sees of data sets, computed once and kept on disk by content: of the weights, of how pictures are
shown, and of the pictures."""
from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable
from dataclasses import astuple
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from ...core import outputs
from ...core.modes import evaluating
from ...core.types import StemmaError
from ...data.labelled import Part
from ...skeletons.protocol import Look

AT_ONCE = 64  # pictures


def home() -> Path:
    """Where features are kept: `$STEMMA_CACHE` (default ~/.cache/stemma)."""
    return outputs.cache() / "features"


def digest_of(network: nn.Module) -> str:
    """Of a network's name and weights."""
    m: Any = network
    h = hashlib.blake2b(m.name.encode(), digest_size=16)
    for name, t in sorted(network.state_dict().items()):
        h.update(name.encode() + t.detach().cpu().contiguous().numpy().tobytes())
    return h.hexdigest()


def middle(picture: NDArray[Any], size: int, short: int = 0) -> NDArray[np.uint8]:
    """The middle `size` x `size` pixels of a picture whose short side has `short` (0: `size`), bicubic."""
    h, w = picture.shape[:2]
    short = short or size
    if h == w == short == size:
        return picture
    ratio = short / min(h, w)
    tall, wide = max(round(h * ratio), size), max(round(w * ratio), size)
    top, left = (tall - size) // 2, (wide - size) // 2
    box = (left * w / wide, top * h / tall, (left + size) * w / wide, (top + size) * h / tall)
    return np.asarray(Image.fromarray(picture).resize((size, size), Image.Resampling.BICUBIC, box=box))


def batches(part: Part, size: int, short: int = 0, at_once: int = AT_ONCE) -> Any:
    """uint8 tensors (B, size, size, 3) of a split, in order."""
    for i in range(0, len(part), at_once):
        yield torch.from_numpy(np.stack([middle(part.read(k), size, short)
                                         for k in range(i, min(i + at_once, len(part)))]))


def place(network: str, look: Look, part: Part) -> Path:
    """Where the features of a split are kept; network: `digest_of` it."""
    key = hashlib.blake2b("\0".join((network, repr(astuple(look)), part.digest)).encode(), digest_size=16).hexdigest()
    return home() / key[:2] / f"{key}.npy"


@torch.no_grad()
def of(network: nn.Module, look: Look, part: Part, wide: int = 0, known: str = "",
       told: Callable[[int], None] | None = None, wait: Callable[[], None] | None = None) -> Tensor:
    """Features float32 (N, D) of a split, from the disk where they were computed before.

    wide: rows are features already, so many numbers each. known: `digest_of(network)`, where it is known. told: hears
    how many are done; wait: is called between batches, and may raise.
    """
    if wide:
        return torch.from_numpy(np.stack([part.read(i) for i in range(len(part))]))
    path = place(known or digest_of(network), look, part)
    if path.is_file():
        try:
            kept = np.load(path, allow_pickle=False)
            if len(kept) == len(part):
                return torch.from_numpy(kept)
        except (OSError, ValueError):  # cut short: it is computed anew
            path.unlink(missing_ok=True)
    m: Any = network
    device = next(m.parameters()).device
    found: list[Tensor] = []
    done = 0
    with evaluating(network):
        for pictures in batches(part, look.size):
            found.append(m.features(look(pictures.to(device))).float().cpu())
            done += len(pictures)
            if told is not None:
                told(done)
            if wait is not None:
                wait()
    rows = torch.cat(found)
    try:
        def write(fresh: Path) -> None:
            with open(fresh, "wb") as f:
                np.save(f, rows.numpy())

        outputs.replace(path, write)
    except (StemmaError, OSError) as error:
        warnings.warn(f"features cannot be kept in {home()} ({error}); they are computed anew each time", stacklevel=2)
    return rows


__all__ = ["batches", "digest_of", "home", "middle", "of", "place"]
