"""Episodes on disk and in memory: one file an episode, whole or not there, and batches of sequences drawn from them.

    store = Replay(folder, capacity=100_000)
    store.add(7, episode)                    writes folder/000007.npz, then holds it
    store.sample(rng, batch=50, sequence=50) {"image": [50, 50, H, W, C], "action": ..., "first": ..., ...}

Episodes are numbered from 0 in the order in which they were lived; what is written can be taken again by its number, so
that a training that was killed neither loses nor doubles one. Files are zip archives of plain arrays;
nothing is ever unpickled.
"""
from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np

from ...core import outputs
from ...core.types import DataError, StemmaError

Episode = dict[str, np.ndarray]
NEEDED = ("action", "reward", "first", "terminal")


class Replay:
    """A bounded store. `capacity` counts steps; when there are more, the oldest episodes are let go of (`prune` deletes
    their files)."""

    def __init__(self, folder: Path, capacity: int = 1_000_000) -> None:
        self.folder, self.capacity = Path(folder), capacity
        self.low = 0  # number of the oldest episode that is held
        self.lengths: list[int] = []  # of the held ones
        # channels of all held episodes, one after another; room is left at the end
        self.arrays: dict[str, np.ndarray] = {}
        self.used = 0
        self.gone, self.handed = 0, 0  # steps let go of; steps, of all that were lived, that `newest` has given

    # ------------------------------------------------------------ the disk

    def path(self, number: int) -> Path:
        return self.folder / f"{number:06d}.npz"

    def on_disk(self) -> list[int]:
        """Numbers of the episodes that are there as files."""
        return sorted(int(p.stem) for p in self.folder.glob("[0-9]*.npz"))

    def read(self, number: int) -> Episode:
        """An episode's channels from its file. Raises `DataError` when the file is damaged."""
        path = self.path(number)
        try:
            with np.load(path, allow_pickle=False) as z:
                episode = {k: z[k] for k in z.files}
        except (OSError, ValueError, zipfile.BadZipFile, EOFError, KeyError) as error:
            raise DataError(str(path), f"not a whole episode ({error})",
                            "Delete it, and the training will live it again") from error
        lengths = {k: len(v) for k, v in episode.items()}
        if not set(NEEDED) <= set(lengths) or len(set(lengths.values())) != 1:
            raise DataError(str(path),
                            f"channels {lengths} are not an episode: {', '.join(NEEDED)} of one length are needed")
        return episode

    def write(self, number: int, episode: Episode) -> None:
        """Write an episode's file, whole or not at all. Raises `StemmaError` when the disk does not take it."""
        held = io.BytesIO()
        np.savez_compressed(held, allow_pickle=False, **episode)
        outputs.replace(self.path(number), lambda p: p.write_bytes(held.getvalue()))

    def tidy(self) -> None:
        """Remove files that a kill left half-written."""
        for p in self.folder.glob(".*.new*"):
            p.unlink(missing_ok=True)

    def prune(self) -> None:
        """Delete the files of episodes that were let go of."""
        for number in self.on_disk():
            if number < self.low:
                self.path(number).unlink(missing_ok=True)

    # ------------------------------------------------------------ memory

    @property
    def count(self) -> int:
        """How many episodes were lived: the number of the next one."""
        return self.low + len(self.lengths)

    @property
    def steps(self) -> int:
        """Steps that are held."""
        return self.used

    def add(self, number: int, episode: Episode, write: bool = True) -> None:
        """Hold the next episode, and write it unless it came from the disk."""
        assert number == self.count, f"episode {number} is not the next one, {self.count}"
        if write:
            self.write(number, episode)
        n = len(episode["reward"])
        for k, v in episode.items():
            have = self.arrays.get(k)
            if have is None:
                have = self.arrays[k] = np.zeros((max(1024, 2 * n), *v.shape[1:]), v.dtype)
            if self.used + n > len(have):
                grown = np.zeros((max(self.used + n, len(have) + len(have) // 2), *have.shape[1:]), have.dtype)
                grown[: self.used] = have[: self.used]
                have = self.arrays[k] = grown
            have[self.used : self.used + n] = v
        self.lengths.append(n)
        self.used += n
        self._let_go()

    def load(self, low: int, count: int) -> None:
        """Hold the episodes `low` .. `count` - 1 from their files.
        Raises `DataError` where one is missing or damaged."""
        self.low, self.lengths, self.arrays, self.used = low, [], {}, 0
        for number in range(low, count):
            self.add(number, self.read(number), write=False)

    def put(self, name: str, values: np.ndarray) -> None:
        """Give every held step one more channel, such as its code: `values` [steps, ...]."""
        assert len(values) == self.used, f"{len(values)} values for {self.used} steps"
        room = len(next(iter(self.arrays.values())))
        self.arrays[name] = np.concatenate([values, np.zeros((room - self.used, *values.shape[1:]), values.dtype)])

    def renew(self, rows: np.ndarray, values: dict[str, np.ndarray]) -> None:
        """Write channels of the steps `rows` [B, T] anew, `values` [B, T, ...]; of a step held twice, one."""
        for name, value in values.items():
            self.arrays[name][rows] = value

    def drop(self, name: str) -> None:
        """Forget a channel that was put."""
        self.arrays.pop(name, None)

    def _let_go(self) -> None:
        gone = 0
        while len(self.lengths) > 1 and self.used - gone > self.capacity:
            gone += self.lengths.pop(0)
            self.low += 1
        if gone:
            for v in self.arrays.values():
                v[: self.used - gone] = v[gone : self.used].copy()
            self.used -= gone
            self.gone += gone

    # ------------------------------------------------------------ batches

    def sample(
        self, rng: np.random.Generator, batch: int, sequence: int, *, recent: float = 0.0, endings: float = 0.0,
        cross: bool = False, channels: tuple[str, ...] | None = None, newest: bool = False,
    ) -> Episode:
        """`batch` sequences of `sequence` steps, [B, T, ...], a function of `rng`'s state and what is held.

        A sequence lies within one episode where that is long enough, unless `cross`; otherwise it runs on into the next
        ones (the oldest follow the newest), and "first" says where they begin. recent: share of the batch from the
        newest tenth of the episodes (PlaNet's loader takes half from recent ones). endings: share of the batch that
        holds a step where an episode failed. newest: stretches that were never given come first, end to end
        (DreamerV3's queue). "row" says where each step is held (`renew`).
        """
        if not self.lengths:
            raise StemmaError("there is nothing to learn from: no episode was lived yet")
        lengths = np.array(self.lengths)
        begin = np.concatenate([[0], np.cumsum(lengths)])
        pick = rng.integers(0, self.used, batch)
        tenth = begin[max(0, len(lengths) - max(1, len(lengths) // 10))]
        late = rng.random(batch) < recent
        pick = np.where(late, rng.integers(tenth, self.used, batch), pick)
        episode = np.searchsorted(begin, pick, "right") - 1
        start = pick
        if not cross:
            long = lengths[episode] >= sequence
            offset = (rng.random(batch) * (lengths[episode] - sequence + 1)).astype(np.int64)
            start = np.where(long, begin[episode] + offset, pick)
        ends = np.flatnonzero(self.arrays["terminal"][: self.used])
        if endings and len(ends):
            chosen = rng.random(batch) < endings
            start = np.where(chosen, ends[rng.integers(0, len(ends), batch)] - rng.integers(0, sequence, batch), start)
        for i in range(batch if newest else 0):
            self.handed = max(self.handed, self.gone)
            if self.handed + sequence > self.gone + self.used:
                break
            start[i], self.handed = self.handed - self.gone, self.handed + sequence
        rows = (start[:, None] + np.arange(sequence)) % self.used
        out = {k: v[rows] for k, v in self.arrays.items() if channels is None or k in channels}
        out["first"] = out["first"] | (rows == 0)  # the oldest may follow the newest
        return out | {"row": rows}


__all__ = ["Episode", "Replay"]
