"""What might be done to a picture, in words: a caption, an instruction, the caption that then holds (InstructPix2Pix
sec. 3.1.1), by a grammar of the drawn world or out of what a language model wrote; and the released layout that the
pairs are written in."""
from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from ...core import outputs
from .drawn import COLOURS, SHAPES, WORDS

ASK, PART, STOP = "\n##\n", "\n%%\n", "\nEND"  # the release's: after a caption, between both answers, after them


@dataclass(frozen=True)
class Told:
    """A caption, what is to be done, and the caption that then holds."""

    before: str
    instruction: str
    after: str


def by_grammar(rng: np.random.Generator) -> Told:
    """Two things of the drawn world, of which one is to get another colour or to become another thing."""
    a, b, other = rng.permutation(SHAPES)
    c, d, new = rng.permutation(list(COLOURS))[:3]
    caption = f"a {c} {a} and a {d} {b}"
    if rng.random() < 0.5:
        words = WORDS["recolour"]
        said = words[int(rng.integers(len(words)))].format(s=a, c=new)
        return Told(caption, said, f"a {new} {a} and a {d} {b}")
    return Told(caption, f"turn the {a} into a {other}", f"a {c} {other} and a {d} {b}")


def read(caption: str, written: str) -> Told | None:
    """What a language model wrote after a caption; None where it is not exactly two parts, or the caption stays as it
    was but for case and what ends a sentence (the release's rules)."""
    parts = [p.strip() for p in written.partition(STOP)[0].split(PART)]
    if len(parts) != 2 or not all(parts):
        return None
    plain = lambda s: s.strip().strip(".!?").casefold()
    return None if plain(parts[1]) == plain(caption) else Told(caption.strip(), parts[0], parts[1])


def write(folder: Path, number: int, told: Told, pairs: dict[int, tuple[np.ndarray, np.ndarray]]) -> list[object]:
    """The pairs of one prompt, {seed: (before, after)} as uint8 (H, W, 3), in the released layout; its entry of
    seeds.json."""
    name = f"{number:07d}"
    for seed, both in pairs.items():
        for k, picture in enumerate(both):
            outputs.put(folder / name / f"{seed}_{k}.jpg", _jpeg(picture))
    outputs.put_text(folder / name / "prompt.json", json.dumps(
        {"input": told.before, "edit": told.instruction, "output": told.after}))
    return [name, [str(s) for s in pairs]]


def _jpeg(picture: np.ndarray) -> Callable[[Path], object]:
    return lambda path: Image.fromarray(picture).save(path, "JPEG", quality=100)


__all__ = ["ASK", "PART", "STOP", "Told", "by_grammar", "read", "write"]
