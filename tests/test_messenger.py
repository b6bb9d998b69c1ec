"""Messenger, its rules written down again: games, motions, what is touched, the manual, and an agent that reads it."""
from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("gymnasium", reason="worlds need gymnasium: pip install 'stemma-vision[worlds]'")

from stemma.core.part import In
from stemma.core.types import StemmaError
from stemma.data.worlds import envs, messenger
from stemma.data.worlds.messenger import BARE, BEARER, FIGURES, LIMITS, MOTIONS, Game
from stemma.engine.running import checkpoint
from stemma.engine.worlds import agents, lives
from stemma.parts.worlds.grids import GridEncoder, GridHead

TINY = {"dynamics.cell.size": 16, "dynamics.cell.hidden": 6, "dynamics.hidden": 6, "behaviour.horizon": 2,
        "heads.0.net.depth": 2, "senses.0.net.depth": 2}


def game(stage: str, seed: int = 0, split: str = "train") -> Game:
    return Game(stage, split, np.random.default_rng(seed))


def test_games_are_as_many_as_published_and_parts_that_were_kept_are_new() -> None:
    several, single = messenger.games("train")
    (val,), (test,) = messenger.games("val"), messenger.games("test")
    assert (len(several), len(single), len(val), len(test)) == (40, 4, 32, 32)
    assert not set(val) & set(test) and {w for g in (*several, *single, *val) for w in g} == set(FIGURES)
    known = {(i, w) for g in (*several, *single) for i, w in enumerate(g)}
    assert not known & {(i, w) for g in (*val, *test) for i, w in enumerate(g)}
    # who always comes together is told apart by the manual alone; of the others company says something
    assert {frozenset(g) for g in single} == {frozenset(("dog", "fish", "bird")), frozenset(("sword", "ball", "mage"))}
    assert not {w for g in single for w in g} & {w for g in several for w in g}


def test_motions_of_stage_three_are_the_published_eighteen() -> None:
    every = messenger.motions()
    assert len(every) == len(set(every)) == 18 and Counter(m[:3] for m in every) == dict.fromkeys(
        itertools.permutations(MOTIONS), 3)
    assert all(m[3] != m[1] and m[4] != m[2] and m[3] != m[4] for m in every)


@pytest.mark.parametrize("stage", ["s1", "s2", "s3"])
def test_who_chases_draws_near_and_who_flees_goes_off(stage: str) -> None:
    for seed in range(20):
        g = game(stage, seed)
        for _ in range(6):
            before = [f.copy() for f in g.figures]
            at = g.at.copy()
            reward, over = g.step(4)
            for how, a, b in zip(g.moves, before, g.figures):
                d = int(np.abs(b - at).sum() - np.abs(a - at).sum())
                assert d == 0 if how == "immovable" else d == -1 if how == "chaser" else d in (0, 1)
                if how == "fleeing" and d == 0:
                    assert b.min() == 0 or b.max() == 18  # it stands at the edge
            if over:
                break


def put(g: Game, part: int, by: tuple[int, int] = (2, 0)) -> None:
    """Figure `part` a place beside who is played, and standing; the others far off."""
    g.at = np.array([10, 10])
    g.moves = ["immovable"] * len(g.moves)
    g.figures = [np.array([0, 18]) for _ in g.figures]
    g.figures[part] = g.at + np.array(by)


@pytest.mark.parametrize("stage", ["s2", "s3"])
def test_what_is_touched_is_fetched_brought_or_kills(stage: str) -> None:
    for part, bears, earned in ((0, False, (-1.0, True)), (0, True, (-1.0, True)), (1, False, (0.5, False)),
                                (2, False, (-1.0, True)), (2, True, (1.0, True))):
        g = game(stage)
        put(g, part)
        g.bears = bears
        assert g.step(3) == earned, (part, bears)
    if stage == "s3":
        for part in (3, 4):  # who looks like the message or the goal
            g = game(stage)
            put(g, part)
            g.bears = True
            assert g.names[part] == g.names[part - 2] and g.step(3) == (-1.0, True)
    g = game(stage)
    put(g, 1)
    before = g.grid()
    assert before[5, 5, BARE] == 1 and before[..., BEARER].sum() == 0
    g.step(3)
    after = g.grid()
    assert after[5, 6, BEARER] == 1 and after[..., BARE].sum() == 0
    assert stage == "s3" or not after[..., 2 + FIGURES.index(g.names[1])].any()  # it was taken away
    put(g, 0, (3, 0))  # half a place apart, and a step of a whole one
    assert g.step(4) == (0.0, False) and g.step(3)[1]


def test_a_life_that_is_not_done_in_time_is_lost() -> None:
    for stage in ("s2", "s3"):
        g = game(stage)
        put(g, 1, (6, 0))
        said = [g.step(4) for _ in range(LIMITS[stage])]
        assert said[:-1] == [(0.0, False)] * (LIMITS[stage] - 1) and said[-1] == (-1.0, True)


def test_who_knows_the_parts_wins_stage_one() -> None:
    """Two steps to the message, or to the goal with it; to any other it is lost."""
    for seed in range(30):
        g = game("s1", seed)
        right = 2 if g.bears else 1
        for aim in (right, 3 - right, 0):
            one = game("s1", seed)
            way = int(np.argmin([np.abs(one.at + 2 * w - one.figures[aim]).sum() for w in messenger.WAYS]))
            assert one.step(way) == (0.0, False) and one.step(way) == ((1.0 if aim == right else -1.0), True)
    begun = np.mean([game("s1", seed).bears for seed in range(2000)])
    assert abs(begun - messenger.BEGUN) < 0.03


@pytest.mark.parametrize("stage, told", [("s1", 3), ("s2", 3), ("s3", 6)])
def test_the_manual_is_read_first_and_the_world_stands_still(stage: str, told: int) -> None:
    """Streamed words are the manual; reading earns nothing; what is done at its last word is carried out."""
    env, words = envs.make(f"messenger:{stage}", 16, True, ("grid", "token")), messenger.words()
    moved = 0
    for seed in range(10):
        seen, more = env.reset(seed=seed)
        begun, heard, steps = seen["grid"], [], 0
        while seen["reading"]:
            assert np.array_equal(seen["grid"], begun) and env.observation_space.contains(seen)
            heard.append(words[int(seen["token"])])
            seen, reward, over, _, _ = env.step(np.eye(5, dtype=np.float32)[steps % 5])
            steps += 1
            assert reward == 0 or not seen["reading"]
        moved += not np.array_equal(seen["grid"], begun)
        assert " ".join(heard) == more["said"] and heard.count(".") == told and len(heard) < envs.READ
        assert seen["token"] == 0
        env.reset(seed=seed)
        again, _ = env.reset(seed=seed)
        assert np.array_equal(again["grid"], begun)
    assert moved >= 5 and "" not in heard and set(heard) <= set(words)


def test_a_manual_names_its_figures_and_their_parts() -> None:
    names = {w: k for k, v in messenger.NAMES.items() for w in v}
    meant = {w.split()[-1]: k for k, v in messenger.MEANT.items() for w in v}
    for stage, seed in itertools.product(("s1", "s2", "s3"), range(20)):
        g = game(stage, seed)
        told = [s.split() for s in " ".join(g.manual()).split(" .") if s]
        found = Counter((next(names[w] for w in s if w in names), next(meant[w] for w in s if w in meant))
                        for s in told)
        true = Counter(zip(g.names, g.parts))
        if stage == "s3":  # one sentence is not so: the enemy's figure as something else
            (false,) = (found - true).elements()
            assert false[0] == g.names[0] and false[1] != "enemy"
        else:
            assert found == true


def test_names_that_there_are_not_are_told() -> None:
    for name in ("messenger:s4", "messenger:s2-held"):
        with pytest.raises(StemmaError, match="no Messenger of the name"):
            envs.get(name)
    with pytest.raises(StemmaError, match="shows no image; it shows grid, token"):
        envs.make("messenger:s1", 16, True, ("image",))
    with pytest.raises(StemmaError, match="no grid of 10 x 10"):
        GridEncoder(In((1650,), (1,)))


@pytest.mark.oracle("binary likelihood", "dynalang", how="torch.distributions.Bernoulli")
def test_a_grid_is_told_as_ones_and_zeros() -> None:
    head = GridHead(In((6,), (1,), logits=1700), depth=2, norm="rms")
    said, truth = head(torch.randn(3, 6)), (torch.rand(3, 1700) < 0.1).float()
    there = torch.distributions.Independent(torch.distributions.Bernoulli(logits=said), 1)
    torch.testing.assert_close(head.loss(said, truth), -there.log_prob(truth))
    net = GridEncoder(In((1700,), (1,)), depth=2, norm="rms")
    grid = torch.zeros(1, 10, 10, 17)
    grid[0, 9, 9, 3] = 1
    assert net(grid.flatten(1)).shape == (1, net.out.channels[0]) == (1, 64)
    assert (net(grid.flatten(1)) != net(torch.zeros(1, 1700))).any()


@pytest.mark.whole
@pytest.mark.parametrize("paper, env", [("dynalang", "messenger:s2"), ("dynalang", "mute:messenger:s1"),
                                        ("dreamerv3", "messenger:s3")])
def test_agents_live_learn_and_are_asked_there(paper: str, env: str, tmp_path: Path) -> None:
    short = {"recipe.life.first.0.amount": 2, "recipe.life.then.0.amount": 2, "recipe.life.then.0.sequence": 6,
             "recipe.batch": 4, "recipe.life.then.0.ratio": 0.0}
    run = agents.train(paper, f"env:{env}", "3steps", "small", tmp_path / "run", 0, TINY | short, progress=False,
                       val_every=0, device="cpu")
    said = lives.evaluate(run, episodes=2, device="cpu", which="last", random_episodes=2)
    assert said["env"] == env and -1 <= said["return"] <= 1.5 and ("language" in said) == (paper == "dynalang")
    shown = lives.film(run, tmp_path / "film", which="last", device="cpu", episodes=1)
    assert len(shown["films"]) == 1 and np.isfinite(shown["error"]["grid"]).all()


def test_the_published_net_reads_a_grid() -> None:
    from stemma.papers.worlds import dynalang

    spec = dynalang.prepare(dynalang.spec("paper"), envs.info_of("messenger:s1"))
    assert [s.channel for s in spec.senses] == ["grid", "token"]
    with torch.device("meta"):
        model: Any = spec.build(5)
    assert model.senses["grid"].out.channels == (2 * 96 * 16,)
    assert checkpoint.build("dynalang", "small", info=envs.info_of("messenger:s1")).classes == 5


def test_the_second_stage_mixes_its_games_by_half() -> None:
    """emma's wrappers and dynalang's messenger.py: prob_env_1 is .75 in the first and third stage, .5 in the second."""
    several, single = messenger.games("train")
    for stage, share in (("s1", 0.75), ("s2", 0.5), ("s3", 0.75)):
        first = [tuple(messenger.Game(stage, "train", np.random.default_rng(i)).names[:3]) in several for i in range(600)]
        assert abs(np.mean(first) - share) < 3 * (share * (1 - share) / 600) ** 0.5, stage
