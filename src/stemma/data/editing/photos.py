"""Pictures of which nothing is known, below a folder, to be spoiled and mended (`restored`)."""
from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from ...core.samples import Classes, DataError, Info, Sample
from ..files import SPLITS
from ..formats import formats_at
from ..images import read_image, walk
from .restored import HELD


def are_photos(where: str) -> bool:
    """Whether a folder holds pictures and is no data set of a known format."""
    path = Path(where)
    return path.is_dir() and not formats_at(path) and bool(walk(path))


class Photos:
    """A split of the pictures below a folder, in the order of their names. Every twentieth is held out for val, from
    the first on, and for test, from the eleventh on; of ten or fewer the first and the second; of fewer than three each
    split is all of them. Raises `DataError` for another split."""

    def __init__(self, where: str, split: str, follow_links: bool = False) -> None:
        if split not in SPLITS:
            raise DataError(where, f"has no split '{split}'", f"it has {', '.join(SPLITS)}", field="split")
        self.root, self.split = Path(where), split
        every = walk(self.root, follow_links=follow_links)
        held = {"val": 0, "test": HELD // 2 if len(every) > HELD // 2 else 1}
        mine = lambda k: k == held[split] if split in held else k not in held.values()
        self.files = [f for n, f in enumerate(every) if len(every) < 3 or mine(n % HELD)]
        self.info = Info(self.root.name, "pictures", Classes(()), ())
        said = [(f, (self.root / f).stat().st_size) for f in self.files]
        self.fingerprint = hashlib.sha256(repr(said).encode()).hexdigest()

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, i: int) -> Sample:
        image = read_image(self.root / self.files[i])
        sample = self.truth(i)
        sample.image, sample.size = image, (image.shape[0], image.shape[1])
        return sample

    def truth(self, i: int) -> Sample:
        """Of no size: that is not known before the picture is read."""
        none = np.zeros(0, np.int64)
        return Sample(None, (0, 0), np.zeros((0, 4), np.float32), none, none.astype(bool), none.astype(np.float32),
                      file=self.files[i], id=i)


__all__ = ["Photos", "are_photos"]
