"""Worlds of which only a part comes through: text to be read, a world to be watched, a world without its words; and one
that pays another coin.

    text:FILE, text:FILE@WORLD        a file's words, one a step; with WORLD's words, actions and (unseen) pictures
    video:WORLD                       what WORLD shows where somebody acts by chance: no word, no reward, no own action
    mute:WORLD                        WORLD in which nothing is said: every token is padding
    astray:WORLD                      WORLD in which is heard what is said in another life there, lived by chance
    pictures:WORLD                    WORLD's pictures alone
    once:WORLD                        WORLD whose first sentence is told whole as a life begins, and no word after it
    times:100:WORLD                   WORLD whose rewards are 100 times as large

The last tenth of a text is held out: `text-held:FILE` is the world of it, in which what was read is evaluated.
"""
from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from ...core.types import DataError, StemmaError

STRETCH = 256  # words of an episode, at most
MOST = 32_000  # kinds of words that a text's own vocabulary has; what is rarer is one kind
OTHER = "<other>"
SHOWN = ("token", "token_embed")


@dataclass(frozen=True)
class Text:
    """A file as numbers of words: the part that is read and the one that is held out; the words, padding first; how
    many of the file's are none of them."""

    read: np.ndarray
    held: np.ndarray
    words: tuple[str, ...]
    other: int


def split_of(text: str) -> list[str]:
    """A text's words and marks, in small letters."""
    return re.findall(r"\w+(?:'\w+)*|[^\w\s]", text.lower())


@lru_cache(maxsize=8)
def text_of(path: str, words: tuple[str, ...] = ()) -> Text:
    """A file as numbers of `words`, or of its own. Raises `DataError` for a file that is no text, is too short, or has
    words that `words` lacks."""
    try:
        found = split_of(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(path, f"cannot be read as text ({error})", "Name a file of UTF-8") from error
    if len(found) < 100:
        raise DataError(path, f"holds {len(found)} words", "100 or more are needed; the last tenth is held out")
    counts, own = Counter(found), {w: i for i, w in enumerate(words) if w}
    if not words:
        kept = [w for w, _ in counts.most_common(MOST)]
        words = ("", *sorted(kept), *([OTHER] if len(counts) > MOST else []))
        own = {w: i for i, w in enumerate(words) if w}
    strange = [w for w in counts if w not in own]
    if strange and OTHER not in own:
        raise DataError(path, f"holds {len(strange)} words that this world does not know, '{strange[0]}' first",
                        "Read it without a world, or leave them out")
    numbers = np.array([own.get(w, own.get(OTHER, 0)) for w in found], np.int32)
    cut = len(numbers) - max(len(numbers) // 10, 10)
    return Text(numbers[:cut], numbers[cut:], words, sum(counts[w] for w in strange))


def reading(tokens: np.ndarray, actions: int, words: int) -> Any:
    """A world that reads stretches of `tokens`, from a place that the seed chooses; whatever is done earns nothing."""
    import gymnasium
    from gymnasium import spaces

    class Reading(gymnasium.Env):
        observation_space = spaces.Dict({"token": spaces.Box(0, words - 1, (), np.int32)})
        action_space = spaces.Box(-1.0, 1.0, (actions,), np.float32)
        limit = min(STRETCH, len(tokens)) - 1
        place = taken = 0

        def _seen(self) -> dict[str, np.ndarray]:
            return {"token": np.array(tokens[self.place + self.taken], np.int32)}

        def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
            super().reset(seed=seed)
            self.place, self.taken = int(self.np_random.integers(len(tokens) - self.limit)), 0
            return self._seen(), {}

        def step(self, action: np.ndarray) -> Any:
            self.taken += 1
            return self._seen(), 0.0, False, self.taken >= self.limit, {}

    return Reading()


def watched(inner: Any, policy: Any) -> Any:
    """`inner` as it is seen by one who does not act there: `policy(seed)` gives who does. Its pictures and numbers,
    no word, and no reward."""
    import gymnasium

    class Watched(gymnasium.Env):
        observation_space = inner.observation_space
        action_space = inner.action_space

        def _seen(self, seen: Any) -> dict[str, np.ndarray]:
            return {k: v for k, v in seen.items() if k not in SHOWN}

        def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
            self.other = policy(int(seed or 0))
            seen, more = inner.reset(seed=seed, options=options)
            return self._seen(seen), more

        def step(self, action: np.ndarray) -> Any:
            seen, _, over, cut, more = inner.step(self.other())
            return self._seen(seen), 0.0, False, bool(over or cut), more

        def close(self) -> None:
            inner.close()

    return Watched()


def muted(inner: Any) -> Any:
    """`inner` in which every token is padding."""
    import gymnasium

    class Muted(gymnasium.ObservationWrapper):
        def observation(self, observation: Any) -> Any:
            return {k: np.zeros_like(v) if k in SHOWN else v for k, v in observation.items()}

    return Muted(inner)


def strayed(inner: Any, other: Any, policy: Any) -> Any:
    """`inner` whose tokens are those of lives in `other`, a second one of its kind, where `policy(seed)` acts: as many
    words and of the same kinds, that tell nothing of what is seen."""
    import gymnasium

    class Strayed(gymnasium.Wrapper):
        seed = 0
        told: dict[str, Any] = {}

        def _heard(self, seen: Any) -> dict[str, Any]:
            return {k: self.told[k] if k in SHOWN else v for k, v in seen.items()}

        def _begin(self) -> dict[str, Any]:
            self.seed = (self.seed * 48_271 + 1) % (1 << 31)
            self.does = policy(self.seed)
            self.told, more = other.reset(seed=self.seed)
            return {k: v for k, v in more.items() if k == "said"}

        def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
            seen, more = self.env.reset(seed=seed, options=options)
            self.seed = int(seed or 0)
            more |= self._begin()
            return self._heard(seen), more

        def step(self, action: Any) -> Any:
            seen, reward, over, cut, more = self.env.step(action)
            self.told, _, ended, up, _ = other.step(self.does())
            if ended or up:
                self._begin()
            return self._heard(seen), reward, over, cut, more

        def close(self) -> None:
            super().close()
            other.close()

    return Strayed(inner)


def at_once(inner: Any, name: str, words: tuple[str, ...]) -> Any:
    """`inner`, which shows no token, with a channel "told": how often each of `words` is in what is said first, at the
    first step; zeros after it. Raises `StemmaError` where a world does not say its sentence as a life begins."""
    import gymnasium
    from gymnasium import spaces

    number = {w: i for i, w in enumerate(words) if w}

    class Once(gymnasium.Wrapper):
        def __init__(self) -> None:
            super().__init__(inner)
            self.observation_space = spaces.Dict({**inner.observation_space.spaces, "told": spaces.Box(
                0, np.inf, (len(words),), np.float32)})

        def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
            seen, more = self.env.reset(seed=seed, options=options)
            if "said" not in more:
                raise StemmaError(f"what is said in '{name}' is not known as a life begins; it can be heard a word a "
                                  f"step, or not at all: mute:{name}")
            told = np.zeros(len(words), np.float32)
            for w in re.findall(r"\w+(?:'\w+)*|[^\w\s]", str(more["said"])):
                if (i := number.get(w, number.get(w.lower()))) is not None:
                    told[i] += 1
            return seen | {"told": told}, more

        def step(self, action: Any) -> Any:
            seen, reward, over, cut, more = self.env.step(action)
            return seen | {"told": np.zeros(len(words), np.float32)}, reward, over, cut, more

    return Once()


def paying(inner: Any, factor: float) -> Any:
    """`inner` whose rewards are `factor` times as large."""
    import gymnasium

    class Paying(gymnasium.Wrapper):
        def step(self, action: Any) -> Any:
            seen, reward, over, cut, more = self.env.step(action)
            return seen, factor * float(reward), over, cut, more

    return Paying(inner)


__all__ = ["OTHER", "STRETCH", "Text", "at_once", "muted", "paying", "reading", "split_of", "strayed", "text_of",
           "watched"]
