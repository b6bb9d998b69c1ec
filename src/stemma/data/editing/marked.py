"""What drawn edits are about as pictures with a class at every pixel: so a segmenter, which reads no sentence, learns
and is asked what an editor is told to mark."""
from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...core.samples import Classes, Info, Sample
from .drawn import SHAPES, Edits

GROUND = "ground"


@dataclass
class Marked:
    """The pictures of drawn edits as they were: the ground, and each shape where it stands."""

    edits: Edits

    @property
    def split(self) -> str:
        return self.edits.split

    @property
    def info(self) -> Info:
        classes = Classes((GROUND, *SHAPES), things=(False, *(True for _ in SHAPES)))
        return Info("edits", "edits", classes, ("semantic",), semantic=classes)

    @property
    def fingerprint(self) -> str:
        return self.edits.fingerprint

    def __len__(self) -> int:
        return len(self.edits)

    def __getitem__(self, i: int) -> Sample:
        picture, what = self.edits.scene(i)
        none = np.zeros(0, np.float32)
        return Sample(picture, what.shape, np.zeros((0, 4), np.float32), none.astype(np.int64), none.astype(bool), none,
                      semantic=what, file=f"{self.edits.split} {i}", id=i)

    def truth(self, i: int) -> Sample:
        sample = self[i]
        sample.image = None
        return sample


__all__ = ["GROUND", "Marked"]
