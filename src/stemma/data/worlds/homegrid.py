"""HomeGrid: a house of three rooms, tasks in words, hints about where things are and how they work (arXiv 2308.01399,
sec. 4.1; the package `homegrid`, which knows the older gym alone).

    homegrid:task, homegrid:future, homegrid:dynamics, homegrid:corrections      what is spoken of besides the task

A token a step: its number among those that the package has for its sentences, of which 0 is padding ("token"), or what
T5's encoder says of it in its sentence ("token_embed"). In steps of "reading" the picture has half its brightness and
the world stands still, but for the last of them: what is done there is carried out. Each kind has such steps, `task`
and `corrections` one at the beginning of a life.

The package keeps its sentences in a file that it would run to read; here its arrays are taken out of it (`plain`).
"""
from __future__ import annotations

import contextlib
import importlib
import io
import random
import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from ...core.types import DataError, StemmaError
from .gym import check_senses, shrink
from .plain import plain

KINDS = ("task", "future", "dynamics", "corrections")
ACTIONS = ("left", "right", "up", "down", "pick up", "drop", "get", "pedal", "grasp", "lift")
LIMIT = 100 + 28  # decisions, and steps of reading before them at most
EMBEDDED = 512
INNER = "▁"  # a piece without a word of its own


def package() -> Any:
    """The package, without the older gym's notice on every import."""
    with contextlib.redirect_stderr(io.StringIO()):
        return importlib.import_module("homegrid")


def sentences() -> tuple[dict[str, Any], dict[str, Any]]:
    """(sentence -> T5's numbers of its tokens, sentence -> what T5's encoder says of each, float32 [tokens, 512]).
    Raises `DataError` where the package's file is another than it should be."""
    path = Path(package().__file__).parent / "homegrid_embeds.pkl"
    try:
        with path.open("rb") as f:
            cache, embeds = plain(f.read())
        return dict(cache), dict(embeds)
    except (OSError, ValueError, TypeError, LookupError, AttributeError) as error:
        raise DataError(str(path), f"not HomeGrid's sentences ({error})", "Install homegrid 0.1.1 anew") from error


def pieces(sentence: str) -> list[str]:
    """Words and marks of a sentence."""
    return re.findall(r"\w+|[^\w\s]", sentence)


@lru_cache(maxsize=1)
def vocabulary() -> tuple[tuple[int, ...], tuple[str, ...]]:
    """(T5's numbers of all tokens, 0 first; the word of each). What a number stands for is found from the sentences:
    of words that are not yet known, one alone is what is left of its sentence, and the first of two is what is left
    alike wherever it stands."""
    cache, _ = sentences()
    told = {s: [int(t) for t in np.atleast_1d(v)] for s, v in cache.items() if s != "<pad>"}
    known: dict[str, list[int]] = {}
    for s, numbers in told.items():
        if len(parts := pieces(s)) == len(numbers):
            known.update(zip(parts, ([n] for n in numbers)))
    for _ in range(3):
        left: dict[str, list[list[int]]] = {}
        for s, numbers in told.items():
            parts = pieces(s)
            if new := [i for i, w in enumerate(parts) if w not in known]:
                before, after = (sum(len(known[w]) for w in x) for x in (parts[: new[0]], parts[new[-1] + 1 :]))
                rest = numbers[before : len(numbers) - after]
                known |= {parts[new[0]]: rest} if len(new) == 1 else {}
                left.setdefault(parts[new[0]], []).append(rest)
        for word, rests in left.items():
            if word not in known:
                known[word] = [a[0] for a in zip(*rests) if len(set(a)) == 1]
    words = {n: INNER for numbers in known.values() for n in numbers[:-1]} | {v[-1]: w for w, v in known.items() if v}
    every = sorted({n for numbers in told.values() for n in numbers})
    return (0, *every), ("", *(words.get(n, f"<{n}>") for n in every))


def spoken(words: list[str]) -> str:
    """Words as a sentence."""
    return " ".join(w for w in words if w not in ("", INNER)).replace(" ,", ",")


def kind_of(name: str) -> str:
    """The kind of a name. Raises `StemmaError` for one that there is not."""
    kind = name.partition(":")[2]
    if kind not in KINDS:
        raise StemmaError(f"no HomeGrid of the kind '{kind}'; there are: {', '.join(KINDS)}")
    return kind


def world(name: str, size: int, grey: bool, senses: tuple[str, ...]) -> Any:
    """A house as a world of ours that shows the channels of `senses` and whether a step is one of "reading"; what is
    being said is told beside it as "said". Raises `StemmaError` for a kind or a channel that there is not."""
    import gymnasium
    from gymnasium import spaces

    kind = kind_of(name)
    check_senses("HomeGrid", senses, ("image", "token", "token_embed"))
    house = package()
    speech: Any = importlib.import_module("homegrid.language_wrappers")
    own, speech.pickle = speech.pickle, SimpleNamespace(load=lambda f: plain(f.read()))
    try:
        inner = house.HomeGrid(lang_types=list(dict.fromkeys(("task", kind))))
    finally:
        speech.pickle = own
    number = {t: i for i, t in enumerate(vocabulary()[0])}

    class House(gymnasium.Env):
        observation_space = spaces.Dict({
            **{k: spaces.Box(0, 255, (size, size, 1 if grey else 3), np.uint8) if k == "image"
               else spaces.Box(0, len(number) - 1, (), np.int32) if k == "token"
               else spaces.Box(-np.inf, np.inf, (EMBEDDED,), np.float32) for k in senses},
            "reading": spaces.Box(0, 1, (), np.bool_)})
        action_space = spaces.Box(-1.0, 1.0, (len(ACTIONS),), np.float32)
        chance: Any = None

        @contextlib.contextmanager
        def _own(self) -> Iterator[None]:
            """The package draws from Python's and NumPy's global generators: they are lent its own state."""
            kept = random.getstate(), np.random.get_state()
            random.setstate(self.chance[0])
            np.random.set_state(self.chance[1])
            try:
                yield
            finally:
                self.chance = random.getstate(), np.random.get_state()
                random.setstate(kept[0])
                np.random.set_state(kept[1])

        def _seen(self, seen: Any) -> dict[str, np.ndarray]:
            every = {"image": lambda: shrink(np.asarray(seen["image"], np.uint8), size, grey, nearest=not grey),
                     "token": lambda: np.array(number[int(seen["token"])], np.int32),
                     "token_embed": lambda: np.asarray(seen["token_embed"], np.float32).reshape(EMBEDDED)}
            return {k: every[k]() for k in senses} | {"reading": np.array(bool(seen["is_read_step"]))}

        def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
            super().reset(seed=seed)
            begun = int(self.np_random.integers(1 << 31))
            self.chance = random.Random(begun).getstate(), np.random.RandomState(begun).get_state()
            inner.env.unwrapped._np_random = np.random.default_rng(begun)
            with self._own():
                seen, _ = inner.reset()
            return self._seen(seen), {"said": seen["log_language_info"]}

        def step(self, action: np.ndarray) -> Any:
            with self._own():
                seen, reward, over, cut, _ = inner.step(int(np.argmax(action)))
            # as the authors' wrappers have it, a life that its time ends is over (embodied/envs/from_gym.py)
            return self._seen(seen), float(reward), bool(over or cut), False, {"said": seen["log_language_info"]}

        def render(self) -> Any:
            with self._own():
                return inner.env.unwrapped.render()

        def close(self) -> None:
            inner.close()

    return House()


__all__ = ["ACTIONS", "EMBEDDED", "INNER", "KINDS", "LIMIT", "kind_of", "package", "pieces", "sentences", "spoken",
           "vocabulary", "world"]
