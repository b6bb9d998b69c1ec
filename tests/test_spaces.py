"""Environments of every kind of space: what is done in them, what is seen of them, and what is said of those that nothing
can be learned from."""
from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

gymnasium = pytest.importorskip("gymnasium", reason="pip install 'stemma-vision[worlds]'")
from gymnasium import spaces  # noqa: E402

from stemma.core.part import In  # noqa: E402
from stemma.core.types import StemmaError  # noqa: E402
from stemma.data.worlds import envs, gym, native  # noqa: E402
from stemma.engine.running import checkpoint  # noqa: E402
from stemma.parts.worlds.nets import symexp, symlog  # noqa: E402
from stemma.parts.worlds.normed import NumbersEncoder, NumbersHead  # noqa: E402

LARGEST = float(np.finfo(np.float32).max)
THREE = spaces.Box(-1, 1, (3,), np.float32)
NUMBER = itertools.count()


class World(gymnasium.Env):
    """Lasts five steps; refuses an action that its space does not hold."""

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"]}
    max_steps = 20

    def __init__(self, seen: Any = THREE, act: Any = spaces.Discrete(2), shows: Callable[[int], Any] | None = None,
                 pays: Callable[[int], Any] = lambda t: 1.0, last: int = 5) -> None:
        self.observation_space, self.action_space = seen, act
        self.shows, self.pays, self.last, self.done = shows or (lambda t: seen.sample()), pays, last, []

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.observation_space.seed(seed)
        self.t = 0
        return self.shows(0), {}

    def step(self, action: Any) -> Any:
        assert self.action_space.contains(action), action
        self.done.append(action)
        self.t += 1
        return self.shows(self.t), self.pays(self.t), self.t >= self.last, False, {}

    def render(self) -> Any:
        return np.full((20, 30, 3), self.t, np.uint8)


@pytest.fixture
def lives(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """A life by chance in a world that is given, by its own numbers and choices or ("") by its picture alone."""
    def of(world: Any, prefix: str = "gym:", episodes: int = 1) -> tuple[Any, list[envs.Episode]]:
        name = f"{prefix}Given{next(NUMBER)}-v0"  # what a name is, is remembered
        monkeypatch.setattr(native if prefix else gym, "made", lambda _: world)
        card = envs.get(name)
        inner = envs.make(name, 16, False, tuple(dict(card.inputs)) or ("image",))
        policy = lambda s: envs.RandomPolicy(card.law, len(card.actions), s, card.choices)
        return card, [envs.live(inner, policy(s), s) for s in range(episodes)]

    return of


ACTIONS = [
    (spaces.Discrete(2), (2,)), (spaces.Discrete(1), (1,)), (spaces.Discrete(7, start=-3), (7,)),
    (spaces.MultiDiscrete([2, 3], start=[5, -1]), (2, 3)), (spaces.MultiDiscrete([[2, 3], [4, 2]]), (2, 3, 4, 2)),
    (spaces.MultiBinary((2, 2)), (2, 2, 2, 2)), (spaces.Box(-2, np.array([3, 0]), (2,), np.int64), (6, 3)),
    (spaces.Tuple((spaces.Discrete(2), spaces.MultiBinary(2))), (2, 2, 2)),
    (spaces.Dict(go=spaces.Discrete(3, start=1), hand=spaces.Dict(a=spaces.Discrete(2))), (3, 2)),
    (spaces.Dict(go=spaces.Box(0, 2, (), np.float32), turn=spaces.Box(-1, np.inf, (2, 1), np.float64)), ()),
    (spaces.Box(-LARGEST, LARGEST, (2,), np.float32), ()), (spaces.Box(-5, 2, (2, 2), np.float64), ()),
]


@pytest.mark.parametrize("prefix", ["gym:", ""])
@pytest.mark.parametrize("space, sizes", ACTIONS)
def test_every_action_of_a_space_can_be_taken(space: Any, sizes: tuple[int, ...], prefix: str,
                                              lives: Callable[..., Any]) -> None:
    world = World(act=space)
    card, lived = lives(world, prefix, 60)
    assert len(world.done) == 300 and all(len(e["reward"]) == 6 for e in lived)
    if prefix:
        assert card.choices == sizes and len(card.actions) == (sum(sizes) or int(spaces.flatdim(space)))
    flat = np.array([np.concatenate([np.ravel(native.taken(a, keys)) for keys, _ in gym.parts_of(space)])
                     for a in world.done], np.float64)
    if sizes:  # each choice of each group was taken
        assert [len(np.unique(column)) for column in flat.T] == list(sizes)
    else:
        assert flat.std(0).min() > 0.4 and np.abs(flat).max() < 6


def test_choices_beside_numbers_are_done_by_pictures_alone(lives: Callable[..., Any]) -> None:
    both = spaces.Dict(go=spaces.Discrete(5), turn=spaces.Box(-1, 1, (2,), np.float32))
    with pytest.raises(StemmaError, match="holds choices and other numbers at once; where it draws itself, 'Given"):
        lives(World(act=both))
    card, _ = lives(World(act=both), "")
    assert card.actions == (*(f"go choice {i}" for i in range(5)), "turn action 0", "turn action 1")
    for odd in (spaces.Text(3), spaces.Box(-1, 1, (0,), np.float32), spaces.Box(0, 2**40, (1,), np.int64), spaces.Dict()):
        for prefix in ("gym:", ""):
            with pytest.raises(StemmaError, match="takes actions of .*; choices and boxes of fractions can be said"):
                lives(World(act=odd), prefix)


COLOURS = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
GREYS = COLOURS[..., 0]


@pytest.mark.parametrize("array, low, high, whole", [
    (COLOURS, 0, 255, COLOURS), (COLOURS.transpose(2, 0, 1), 0, 255, COLOURS), (GREYS, 0, 255, GREYS),
    (GREYS[None], 0, 255, GREYS), (GREYS[..., None], 0, 255, GREYS), (np.stack([0 * GREYS] * 3 + [GREYS]), 0, 255, GREYS),
    (np.stack([0 * COLOURS, COLOURS]), 0, 255, COLOURS), (np.dstack([COLOURS, GREYS]), 0, 255, COLOURS),
    (COLOURS / np.float32(255), 0, 1, COLOURS), (COLOURS / np.float32(127.5) - 1, -1, 1, COLOURS),
    (COLOURS.astype(np.int64), 0, 255, COLOURS), ((GREYS / np.float32(255))[None], 0, 1, GREYS),
])
def test_pictures_of_every_kind_are_seen(array: np.ndarray, low: float, high: float, whole: np.ndarray,
                                         lives: Callable[..., Any]) -> None:
    space = spaces.Box(low, high, array.shape, array.dtype)
    how = native.picture_of(space)
    assert how is not None
    np.testing.assert_array_equal(how(array), whole if whole.ndim == 3 else np.repeat(whole[..., None], 3, 2))
    card, (lived,) = lives(World(spaces.Dict(eye=space, x=THREE), shows=lambda t: {"eye": array, "x": np.ones(3)}))
    assert card.inputs == (("image", 0), ("vector", 3)) and lived["image"].dtype == np.uint8
    np.testing.assert_array_equal(lived["image"][3], gym.shrink(how(array), 16, False))


@pytest.mark.parametrize("space", [
    spaces.Box(0, 255, (7, 7, 3), np.uint8), spaces.Box(0, 1, (64, 64), np.float32), spaces.Box(0, 255, (128,), np.uint8),
    spaces.Box(-np.inf, np.inf, (20, 20, 3), np.float32), spaces.Box(0, 1, (8, 8, 111), np.uint8),
    spaces.Box(0, 1, (20, 20, 3), np.int64), spaces.Discrete(3)])
def test_what_is_no_picture_is_numbers(space: Any, lives: Callable[..., Any]) -> None:
    assert native.picture_of(space) is None
    card, (lived,) = lives(World(space))
    assert card.inputs == (("vector", spaces.flatdim(space)),) and lived["vector"].shape == (6, spaces.flatdim(space))


def test_what_is_left_out_of_a_picture_is_said(lives: Callable[..., Any]) -> None:
    with pytest.warns(UserWarning, match=r"is \(20, 30, 4\): its fourth colour is taken for opacity, and left out "
                                         r"\(several pictures stand in front: \(4, 20, 30\)\)"):
        lives(World(spaces.Box(0, 255, (20, 30, 4), np.uint8)))
    with pytest.warns(UserWarning, match=r"is \(4, 20, 30\): several pictures, of which the last is seen"):
        lives(World(spaces.Box(0, 255, (4, 20, 30), np.uint8)))


def test_a_life_of_one_step_and_rewards_in_arrays(lives: Callable[..., Any]) -> None:
    _, lived = lives(World(last=1, pays=lambda t: np.array([2.5])), episodes=3)
    for e in lived:
        assert e["reward"].tolist() == [0, 2.5] and e["terminal"].tolist() == [False, True]


@pytest.mark.parametrize("world, said", [
    ({"pays": lambda t: float("nan") if t == 3 else 1.0}, "rewards nan at a step"),
    ({"pays": lambda t: np.float32(np.inf)}, "rewards inf at a step"),
    ({"pays": lambda t: None}, "failed in its step.*a reward is one number, and this is None"),
    ({"pays": lambda t: np.zeros(2)}, "a reward is one number"),
    ({"shows": lambda t: np.array([0, np.nan if t else 0, 1])}, "shows nan in its vector at a step"),
    ({"shows": lambda t: np.array([0, 0, 1, 2])}, "shows 4 numbers, and its observation_space says Box"),
])
def test_what_nothing_can_be_learned_from_gets_a_line(world: dict[str, Any], said: str, lives: Callable[..., Any]) -> None:
    with pytest.raises(StemmaError, match=said) as told:
        lives(World(**world))
    assert "Given" in str(told.value) and "\n" not in str(told.value)


@pytest.mark.parametrize("drawn", [np.zeros((20, 20), np.uint8), np.zeros((20, 20, 3)), None])
def test_what_is_drawn_is_a_picture(drawn: Any, lives: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(World, "render", lambda self: drawn)
    for prefix in ("", "gym:"):
        world = World() if not prefix else World(spaces.Discrete(2))
        with pytest.raises(StemmaError, match="draws .*, and a picture is uint8"):
            if prefix:
                monkeypatch.setattr(native, "made", lambda _, world=world: world)
                envs.make(f"gym:Undrawn{next(NUMBER)}-v0+image", 16, False, ("image",)).reset(seed=0)
            lives(world, prefix)


@pytest.mark.parametrize("steps", [float("inf"), lambda self: 9, None, -1])
def test_a_length_that_is_no_number_is_none(steps: Any, lives: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(World, "max_steps", steps, raising=False)
    with pytest.warns(UserWarning, match="does not say how long"):
        card, _ = lives(World())
    assert card.limit == gym.LIMIT


def test_time_that_is_up_in_vizdoom_is_no_end_and_shows_what_was_seen(tmp_path: Path,
                                                                      monkeypatch: pytest.MonkeyPatch) -> None:
    """ViZDoom 1.3 says at its 300th tic that Basic has ended and was cut, and shows zeros."""
    pytest.importorskip("vizdoom", reason="pip install 'stemma-vision[worlds]'")
    monkeypatch.chdir(tmp_path)
    world = envs.make("gym:VizdoomBasic-v1", 16, False, ("image", "vector"))
    noop = np.eye(len(envs.get("gym:VizdoomBasic-v1").actions), dtype=np.float32)[0]
    try:
        lived = envs.live(world, lambda: noop, 3)
    finally:
        world.close()
    assert len(lived["reward"]) == 301 and not lived["terminal"].any()
    assert lived["image"][-1].any() and (lived["image"][-1] == lived["image"][-2]).all()
    assert not list(tmp_path.glob("*.ini"))
    with pytest.raises(StemmaError, match="VLN-CE needs Habitat"):
        envs.get("vln-ce:train")


# ---------------------------------------------------------------- numbers, flags and choices apart

MADE = (("choice", 4), ("numbers", 3), ("flags", 2), ("choice", 3))


def test_choices_and_flags_that_are_seen_are_told_by_their_chances() -> None:
    """As the authors' second version tells them (rssm.py, Decoder: "categorical" for what is discrete)."""
    torch.manual_seed(0)
    head = NumbersHead(In((8,), (1,), logits=12), units=16, layers=1, made=MADE)
    truth = torch.zeros(5, 12)
    truth[range(5), [0, 1, 2, 3, 0]] = truth[range(5), [9, 10, 11, 9, 9]] = 1
    truth[:, 4:7], truth[:, 7:9] = torch.randn(5, 3) * 9, (torch.rand(5, 2) < 0.5).float()
    said = head(torch.randn(5, 8))
    f = torch.nn.functional
    by_hand = (f.cross_entropy(said[:, :4], truth[:, :4].argmax(1), reduction="none")
               + (said[:, 4:7] - symlog(truth[:, 4:7])).square().sum(1)
               + f.binary_cross_entropy(said[:, 7:9].sigmoid(), truth[:, 7:9], reduction="none").sum(1)
               + f.cross_entropy(said[:, 9:], truth[:, 9:].argmax(1), reduction="none"))
    torch.testing.assert_close(head.loss(said, truth), by_hand)
    mean = head.mean(said)
    torch.testing.assert_close(mean[:, :4].sum(1), torch.ones(5))
    torch.testing.assert_close(mean[:, 4:7], symexp(said[:, 4:7]))
    assert mean[:, 7:].min() > 0 and mean[:, 7:].max() < 1
    encoder = NumbersEncoder(In((12,), (1,)), units=16, layers=1, made=MADE)
    seen: list[torch.Tensor] = []
    encoder.net.register_forward_pre_hook(lambda m, x: seen.append(x[0]))
    encoder(truth)
    torch.testing.assert_close(seen[0], torch.cat([truth[:, :4], symlog(truth[:, 4:7]), truth[:, 7:]], 1))


@pytest.mark.parametrize("preset, kinds", [("small", MADE), ("first-s", ())])
def test_a_world_says_which_of_its_numbers_are_choices(preset: str, kinds: Any, lives: Callable[..., Any]) -> None:
    seen = spaces.Tuple((spaces.Discrete(4), THREE, spaces.MultiBinary(2), spaces.Discrete(3)))
    card, (lived,) = lives(World(seen))
    info = envs.info_of(card.name)
    assert info.numbers == MADE and card.inputs == (("vector", 12),)
    assert (lived["vector"][:, :4].sum(1) == 1).all() and (lived["vector"][:, 9:].sum(1) == 1).all()
    assert checkpoint.info_from(checkpoint.jsonable(vars(info) | {"classes": vars(info.classes)})).numbers == MADE
    m: Any = checkpoint.build("dreamerv3", preset, sets={} if preset == "small" else {"dynamics.cell.size": 8, "dynamics.hidden": 8}, info=info)
    assert (m.senses["vector"].made, m.heads["vector"].made) == (kinds, kinds)
