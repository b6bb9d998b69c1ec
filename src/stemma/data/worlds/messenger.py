"""Messenger: a manual tells who carries a message, who wants it and who is deadly, and nothing else does
(arXiv 2101.07393). Its rules written down again here, after the authors' code (ahjwang/messenger-emma and its py-vgdl);
the manuals are of our own words.

    messenger:s1, messenger:s2, messenger:s3        its three stages, games to learn from
    messenger:s2-val, messenger:s2-test             games whose parts were never seen in these places

A game gives three of twelve figures the parts of enemy, message and goal. Enemies kill; the message is fetched and
brought to the goal. In stage 1 all stand still, and one step of fetching or of bringing is the whole life. In stage 2
one chases, one flees and one stands, whichever. In stage 3 there are two figures more, which look as the message and
the goal do and kill: only how they move tells them from these. The manual says it all, and one thing that is not so.

It is read first, a word a step, while the world stands still (Dynalang, arXiv 2308.01399); what is done at the last
word is carried out. The world is seen as "grid": of each of 10 x 10 places, which of 17 kinds are there, 0 or 1.
"""
from __future__ import annotations

import itertools
from functools import lru_cache
from typing import Any

import numpy as np

from ...core.types import StemmaError
from .gym import check_senses

SIDE, KINDS, BARE, BEARER = 10, 17, 15, 16  # 0 and 1 are ground, 14 a wall; then who has no message, and who has it
FIGURES = ("airplane", "mage", "dog", "bird", "fish", "scientist", "thief", "ship", "ball", "robot", "queen", "sword")
PARTS, MOTIONS = ("enemy", "message", "goal"), ("chaser", "fleeing", "immovable")
LIMITS = {"s1": 4, "s2": 64, "s3": 128}  # decisions (Dynalang's run_messenger_*.sh)
SPLITS = ("train", "val", "test")
ACTIONS = ("up", "down", "left", "right", "stay")
WAYS = np.array([(0, -1), (0, 1), (-1, 0), (1, 0), (0, 0)])
PLACES = {"s1": ((5, 3), (3, 5), (7, 5), (5, 7)), "s2": ((2, 2), (7, 2), (2, 7), (7, 7)),
          "s3": ((2, 1), (8, 1), (5, 4), (1, 6), (9, 6), (5, 9))}
BEGUN = 0.2  # how often a life of stage 1 begins with the message

# ---------------------------------------------------------------- games


@lru_cache(maxsize=8)
def games(split: str) -> tuple[tuple[tuple[str, str, str], ...], ...]:
    """(enemy, message, goal) of every game: for "train" those whose figures come in many companies, then those
    whose three always come together; 40 and 4, as published. "val" and "test" share 64 games in which no figure has a
    part that it has in training."""
    if split == "train":
        several = itertools.product(("queen", "robot", "ship", "thief"), ("airplane", "scientist", "ship", "thief"),
                                    ("airplane", "queen", "robot", "scientist"))
        single = (("dog", "fish", "bird"), ("fish", "bird", "dog"), ("sword", "ball", "mage"),
                  ("ball", "mage", "sword"))
        return tuple(g for g in several if len(set(g)) == 3), single
    odd = {"bird", "mage", "queen", "sword", "fish", "ship"}
    every = itertools.product(("airplane", "bird", "mage", "scientist"), ("dog", "queen", "robot", "sword"),
                              ("ball", "fish", "ship", "thief"))
    return (tuple(g for g in every if len(odd & set(g)) % 2 == (split == "test")),)


@lru_cache(maxsize=1)
def motions() -> tuple[tuple[str, ...], ...]:
    """How enemy, message, goal and the two that look like the last two may move in stage 3: the three differ, and so do
    the two, from each other and from what they look like. The first three alone are stage 2's."""
    return tuple((*own, *others) for own in itertools.permutations(MOTIONS)
                 for others in itertools.permutations(MOTIONS, 2) if others[0] != own[1] and others[1] != own[2])


# ---------------------------------------------------------------- what is told

NAMES = {"airplane": ("airplane", "plane", "jet"), "mage": ("mage", "wizard", "sorcerer"),
         "dog": ("dog", "hound", "cur"), "bird": ("bird", "hawk", "eagle"), "fish": ("fish", "trout", "pike"),
         "scientist": ("scientist", "scholar", "chemist"), "thief": ("thief", "robber", "burglar"),
         "ship": ("ship", "boat", "ferry"), "ball": ("ball", "orb", "globe"), "robot": ("robot", "android", "machine"),
         "queen": ("queen", "empress", "sovereign"), "sword": ("sword", "blade", "sabre")}
MEANT = {"enemy": ("deadly enemy", "dangerous foe", "lethal opponent"),
         "message": ("secret message", "hidden report", "classified letter"),
         "goal": ("vital goal", "crucial target", "important aim")}
MOVED = {"chaser": ("comes towards you", "chases you", "draws near"),
         "fleeing": ("runs away from you", "flees from you", "keeps off"),
         "immovable": ("stands still", "does not move", "stays where it is")}
FRAMES = ("the {who} that {how} is the {part}", "the {part} is the {who} and it {how}", "look for the {part} where "
          "a {who} {how}", "what {how} is a {who} and also the {part}")
BARELY = ("the {who} is the {part}", "the {part} is with the {who}", "look for the {part} where a {who} is")
ALONE = {"s1": 0.75, "s2": 0.5, "s3": 0.75}  # how often the first group of games is played (emma, prob_env_1)
UNTOLD = 0.15  # how often stage 2's manual does not say how a figure moves


@lru_cache(maxsize=1)
def words() -> tuple[str, ...]:
    """Every word that a manual has, padding first; "." ends a sentence."""
    every = [*itertools.chain(*NAMES.values(), *MEANT.values(), *MOVED.values()), *FRAMES, *BARELY, "."]
    return ("", *sorted({w for s in every for w in s.split() if not w.startswith("{")}))


def sentence(rng: np.random.Generator, who: str, part: str, how: str = "") -> list[str]:
    """A figure's part, and how it moves unless that is left out, in words that the dice choose."""
    pick = lambda options: options[int(rng.integers(len(options)))]
    frame = pick(FRAMES) if how else pick(BARELY)
    told = frame.format(who=pick(NAMES[who]), part=pick(MEANT[part]), how=pick(MOVED[how]) if how else "")
    return [*told.split(), "."]


# ---------------------------------------------------------------- the world


class Game:
    """A life: figures and who is played, on a grid whose places are two wide, so that a figure moves by half a place
    and who is played by a whole one. Positions are (x, y) in halves; figures touch where they overlap at all."""

    def __init__(self, stage: str, split: str, rng: np.random.Generator) -> None:
        self.stage, self.rng, self.steps = stage, rng, 0
        several = games(split)
        group = several[0] if len(several) == 1 or rng.random() < ALONE[stage] else several[1]
        self.names = list(group[int(rng.integers(len(group)))])
        self.parts = list(PARTS)
        places = [2 * np.array(PLACES[stage][i]) for i in rng.permutation(len(PLACES[stage]))]
        self.bears = stage == "s1" and rng.random() < BEGUN
        if stage == "s1":
            self.moves = ["immovable"] * 3
            self.at, self.figures = np.array([10, 10]), places[:3]
        else:
            every = motions()
            self.moves = list(every[int(rng.integers(len(every)))])[: 3 if stage == "s2" else 5]
            self.names += self.names[1:] if stage == "s3" else []
            self.parts += ["enemy", "enemy"] if stage == "s3" else []
            self.at, self.figures = places[-1], places[:-1]
        self.there = [True] * len(self.figures)

    def manual(self) -> list[str]:
        """The sentences of this life, in any order, as words."""
        told = []
        for who, part, how in zip(self.names, self.parts, self.moves):
            bare = self.rng.random() < (0.5 if self.stage == "s1" else UNTOLD if self.stage == "s2" else 0.0)
            told.append(sentence(self.rng, who, part, "" if bare else how))
        if self.stage == "s3":  # of the enemy, what it is not
            how = [m for m in MOTIONS if m != self.moves[0]][int(self.rng.integers(2))]
            told.append(sentence(self.rng, self.names[0], PARTS[int(self.rng.integers(1, 3))], how))
        return [w for i in self.rng.permutation(len(told)) for w in told[i]]

    def _moved(self, i: int) -> np.ndarray:
        """Where a figure goes: half a place nearer to who is played or farther off, by chance which way; one that finds
        no such way goes anywhere. Beyond the edge it does not go."""
        here = self.figures[i]
        if self.moves[i] == "immovable":
            return here
        before = np.abs(here - self.at).sum()
        after = np.abs(here + WAYS[:4] - self.at).sum(1)
        ways = np.flatnonzero(after < before if self.moves[i] == "chaser" else after > before)
        new = here + WAYS[int(self.rng.choice(ways if len(ways) else 4))]
        return here if new.min() < 0 or new.max() > 2 * SIDE - 2 else new

    def step(self, action: int) -> tuple[float, bool]:
        """(what is earned, whether it is over)."""
        self.steps += 1
        self.figures = [self._moved(i) for i in range(len(self.figures))]
        new = self.at + 2 * WAYS[action]
        self.at = self.at if new.min() < 0 or new.max() > 2 * SIDE - 2 else new
        touched = {p: any(self.there[i] and np.abs(f - self.at).max() < 2 for i, f in enumerate(self.figures)
                          if self.parts[i] == p) for p in PARTS}
        late = self.steps >= LIMITS[self.stage]
        if touched["enemy"] or touched["goal"] and not self.bears:
            return -1.0, True
        if touched["goal"]:
            return 1.0, True
        if self.stage == "s1" and touched["message"]:
            return -1.0 if self.bears else 1.0, True
        if touched["message"]:
            self.bears, self.there[1] = True, False
            return (-1.0, True) if late else (0.5, False)
        return (-1.0, True) if late else (0.0, False)

    def grid(self) -> np.ndarray:
        """uint8 [10, 10, 17], 1 where something is; who is between two places is in the first."""
        out = np.zeros((SIDE, SIDE, KINDS), np.uint8)
        for name, (x, y), there in zip(self.names, self.figures, self.there):
            if there:
                out[y // 2, x // 2, 2 + FIGURES.index(name)] = 1
        out[self.at[1] // 2, self.at[0] // 2, BEARER if self.bears else BARE] = 1
        return out


def parsed(name: str) -> tuple[str, str]:
    """(stage, split) of a name. Raises `StemmaError` for one that there is not."""
    stage, _, split = name.partition(":")[2].partition("-")
    if stage not in LIMITS or (split or "train") not in SPLITS:
        raise StemmaError(f"no Messenger of the name '{name}'; there are messenger:s1, messenger:s2 and messenger:s3, "
                          "and behind each -val and -test")
    return stage, split or "train"


def world(name: str, size: int, grey: bool, senses: tuple[str, ...]) -> Any:
    """Messenger as a world of ours that shows the channels of `senses`, "grid" and "token", and whether a step is one
    of "reading"; the manual is told beside it as "said". Raises `StemmaError` for a channel that there is not."""
    import gymnasium
    from gymnasium import spaces

    stage, split = parsed(name)
    check_senses("Messenger", senses, ("grid", "token"))
    number = {w: i for i, w in enumerate(words())}

    class Messenger(gymnasium.Env):
        observation_space = spaces.Dict({
            **{k: spaces.Box(0, len(number) - 1, (), np.int32) if k == "token"
               else spaces.Box(0, 1, (SIDE * SIDE * KINDS,), np.uint8) for k in senses},
            "reading": spaces.Box(0, 1, (), np.bool_)})
        action_space = spaces.Box(-1.0, 1.0, (len(ACTIONS),), np.float32)
        game: Game
        said: list[str]
        read = 0

        def _seen(self) -> dict[str, np.ndarray]:
            word = self.said[self.read] if self.read < len(self.said) else ""
            every = {"grid": lambda: self.game.grid().reshape(-1), "token": lambda: np.array(number[word], np.int32)}
            return {k: every[k]() for k in senses} | {"reading": np.array(self.read < len(self.said))}

        def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
            super().reset(seed=seed)
            self.game, self.read = Game(stage, split, self.np_random), 0
            self.said = self.game.manual()
            return self._seen(), {"said": " ".join(self.said)}

        def step(self, action: np.ndarray) -> Any:
            self.read += 1
            if self.read < len(self.said):
                return self._seen(), 0.0, False, False, {"said": " ".join(self.said)}
            reward, over = self.game.step(int(np.argmax(action)))
            return self._seen(), reward, over, False, {"said": " ".join(self.said)}

        def render(self) -> Any:
            return pictured(self.game.grid()[None])[0]

    return Messenger()


def pictured(grid: np.ndarray) -> np.ndarray:
    """Grids [T, 10, 10, 17] of numbers in 0..1 as pictures uint8 [T, 160, 160, 3], a colour a kind."""
    hue = np.arange(KINDS) * 2.4
    colours = np.stack([0.55 + 0.45 * np.cos(hue + k) for k in (0.0, 2.1, 4.2)], 1) * 255
    colours[0] = colours[1] = 0
    picture = (grid[..., None] * colours).max(-2).clip(0, 255).astype(np.uint8)
    wide: np.ndarray = picture.repeat(16, 1).repeat(16, 2)
    return wide


__all__ = ["ACTIONS", "BARE", "BEARER", "FIGURES", "KINDS", "LIMITS", "MOTIONS", "PARTS", "SIDE", "Game", "games",
           "motions", "parsed", "pictured", "sentence", "words", "world"]
